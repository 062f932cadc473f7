//! Sends a test stream and leaves: the process ends at once, whatever is still queued.
//!
//! `leaver VNL CONFIG PEER BYTES library|plain`: by library calls, or by plain writes on the descriptor.

use std::io::Write;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result};
use ioth::Stack;
use ioth::net::TcpStream;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [vnl, config, peer, bytes, how] = &arguments[..] else {
        anyhow::bail!("usage: leaver VNL CONFIG PEER BYTES library|plain");
    };
    let stack = Stack::new(vnl, config)?;
    let mut stream =
        TcpStream::connect(&stack, peer.as_str()).with_context(|| format!("connect to {peer}"))?;
    let bytes = ioth_tests::pattern::stream(bytes.parse()?);
    if how == "plain" {
        std::fs::File::from(OwnedFd::from(stream)).write_all(&bytes)?;
    } else {
        stream.write_all(&bytes)?;
        std::mem::forget(stream);
    }
    Ok(())
}
