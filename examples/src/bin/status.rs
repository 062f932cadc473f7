//! What a stack shows of itself: two stacks on a switch, a connection, and both printed as `ip` and `ss` print the kernel's.

use std::io::Write;

use ioth::Stack;
use ioth::net::{TcpListener, TcpStream};

fn main() -> anyhow::Result<()> {
    let [red, blue] = [("red", "ip=10.0.0.1/24,ip=fd00::1/64"), ("blue", "ip=10.0.0.2/24,ip=fd00::2/64")]
        .map(|(name, config)| {
            Stack::builder().name(name).interface("eth0", "switch://lab").config(config).build()
        });
    let (red, blue) = (red?, blue?);
    let listener = TcpListener::bind(&red, "10.0.0.1:7")?;
    let mut stream = TcpStream::connect(&blue, "10.0.0.1:7")?;
    let _accepted = listener.accept()?;
    stream.write_all(b"hello")?;

    for stack in [&red, &blue] {
        println!("--- {} ---\n{}", stack.name(), stack.snapshot()?);
    }
    Ok(())
}
