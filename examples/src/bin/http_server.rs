//! A thread for each connection, blocking reads and writes: the shape of servers that use `std::net`.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::thread;
use std::time::Duration;

use clap::Parser;
use ioth::net::{TcpListener, TcpStream};
use ioth_examples::StackArg;

/// Serves the files of a directory; POST /echo sends back what it is sent.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration
    #[arg(long, default_value = "kernel", value_name = "VNL,CONFIG")]
    stack: StackArg,
    /// Where to listen; port 0 lets the stack choose one
    #[arg(long, default_value = "0.0.0.0:80", value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    /// The directory
    #[arg(long, default_value = ".")]
    root: PathBuf,
    /// End after this many connections, when all are served
    #[arg(long, value_name = "N")]
    count: Option<usize>,
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let root = fs::canonicalize(&args.root)?;
    let stack = args.stack.open()?;
    let listener = TcpListener::bind(&stack, args.listen)?;
    println!("listening on {}", listener.local_addr()?);
    thread::scope(|scope| {
        for stream in listener.incoming().take(args.count.unwrap_or(usize::MAX)) {
            let stream = stream?;
            // A client that goes away ends its own thread only.
            scope.spawn(|| serve(&root, stream));
        }
        Ok(())
    })
}

#[expect(clippy::needless_pass_by_value, reason = "the connection ends here")]
fn serve(root: &Path, stream: TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    let mut reader = BufReader::new(&stream);
    loop {
        let mut request = String::new();
        if (&mut reader).take(8192).read_line(&mut request)? == 0 {
            return Ok(());
        }
        let mut length = 0;
        let mut keep = request.trim_end().ends_with("HTTP/1.1");
        loop {
            let mut field = String::new();
            (&mut reader).take(8192).read_line(&mut field)?;
            let Some((name, value)) = field.trim_end().split_once(':') else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.trim().parse().map_err(io::Error::other)?,
                "connection" => keep &= !value.trim().eq_ignore_ascii_case("close"),
                _ => {}
            }
        }
        let mut words = request.split_whitespace();
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let answered = match (method, target) {
            ("POST", "/echo") => {
                head(&stream, "200 OK", length, keep)?;
                io::copy(&mut (&mut reader).take(length), &mut &stream)? == length
            }
            ("GET" | "HEAD", _) if length == 0 => match file(root, target) {
                Ok(mut file) => {
                    let len = file.metadata()?.len();
                    head(&stream, "200 OK", len, keep)?;
                    method == "HEAD" || io::copy(&mut (&mut file).take(len), &mut &stream)? == len
                }
                Err(_) => head(&stream, "404 Not Found", 0, keep).is_ok(),
            },
            // Its body was not read, so nothing can follow.
            _ => head(&stream, "405 Method Not Allowed", 0, false).is_err(),
        };
        println!("{} {method} {target}", stream.peer_addr()?);
        if !keep || !answered {
            return Ok(());
        }
    }
}

fn head(mut stream: &TcpStream, status: &str, len: u64, keep: bool) -> io::Result<()> {
    let connection = if keep { "keep-alive" } else { "close" };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {len}\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(head.as_bytes())
}

/// The file that `target` names. Nothing outside of `root` has a name, whatever it is spelled like and
/// wherever a symbolic link leads.
fn file(root: &Path, target: &str) -> io::Result<File> {
    let path = decode(target.split('?').next().unwrap_or_default()).ok_or(io::ErrorKind::InvalidInput)?;
    let relative: PathBuf =
        Path::new(&path).components().filter(|part| matches!(part, Component::Normal(_))).collect();
    let mut path = fs::canonicalize(root.join(relative))?;
    if path.is_dir() {
        path = fs::canonicalize(path.join("index.html"))?;
    }
    if !path.starts_with(root) || !path.is_file() {
        return Err(io::ErrorKind::NotFound.into());
    }
    File::open(path)
}

/// Replaces `%XX` by its byte (RFC 3986, 2.1).
fn decode(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let digits = part.get(..2).filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok().filter(|path| !path.contains('\0'))
}
