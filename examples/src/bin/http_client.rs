//! A stream that reads and writes like the standard library's: HTTP/1.1 by hand over it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use clap::Parser;
use ioth::net::TcpStream;
use ioth_examples::StackArg;

/// Fetches a page: its body goes to the standard output, the status to the standard error.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration
    #[arg(long, default_value = "kernel", value_name = "VNL,CONFIG")]
    stack: StackArg,
    /// Send this with POST
    #[arg(long, value_name = "TEXT")]
    data: Option<String>,
    /// Show the header lines of the answer too
    #[arg(long)]
    headers: bool,
    /// http://ADDRESS/PATH or http://ADDRESS:PORT/PATH; an IPv6 address stands in brackets
    url: Url,
}

#[derive(Clone)]
struct Url {
    host: String,
    server: SocketAddr,
    path: String,
}

impl FromStr for Url {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let rest = text.strip_prefix("http://").context("it does not begin with http://")?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let server = host.parse().or_else(|_| format!("{host}:80").parse());
        let server = server.context("an address is needed; dns_query finds that of a name")?;
        Ok(Self { host: host.into(), server, path: if path.is_empty() { "/".into() } else { path.into() } })
    }
}

fn main() -> anyhow::Result<()> {
    let Args { stack, data, headers, url } = Args::parse();
    let stack = stack.open()?;
    let stream =
        TcpStream::connect(&stack, url.server).with_context(|| format!("connect to {}", url.server))?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;

    let method = if data.is_some() { "POST" } else { "GET" };
    let body = data.unwrap_or_default();
    let request = format!(
        "{method} {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
        url.path,
        url.host,
        body.len()
    );
    (&stream).write_all(request.as_bytes())?;

    let mut reader = BufReader::new(&stream);
    let status = line(&mut reader)?;
    eprintln!("{status}");
    let code: u16 = status.split(' ').nth(1).and_then(|code| code.parse().ok()).context("no status line")?;
    let mut fields = Vec::new();
    loop {
        let field = line(&mut reader)?;
        let Some((name, value)) = field.split_once(':') else { break };
        if headers {
            eprintln!("{field}");
        }
        fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let field =
        |wanted: &str| fields.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());

    let mut out = io::stdout().lock();
    // RFC 9112, 6.3: how long the body is.
    if field("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        loop {
            let size = line(&mut reader)?;
            let size = size.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).with_context(|| format!("chunk size {size:?}"))?;
            copy_exactly(&mut reader, &mut out, size)?;
            line(&mut reader)?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = field("content-length") {
        copy_exactly(&mut reader, &mut out, length.parse().context("Content-Length")?)?;
    } else {
        io::copy(&mut reader, &mut out)?;
    }
    out.flush()?;
    ensure!(code < 400, "the server refused: {status}");
    Ok(())
}

fn line(reader: &mut impl BufRead) -> anyhow::Result<String> {
    let mut line = String::new();
    if reader.take(64 * 1024).read_line(&mut line)? == 0 {
        bail!("the answer ends early");
    }
    Ok(line.trim_end().to_owned())
}

fn copy_exactly(reader: &mut impl Read, out: &mut impl Write, len: u64) -> anyhow::Result<()> {
    ensure!(io::copy(&mut reader.take(len), out)? == len, "the answer ends early");
    Ok(())
}
