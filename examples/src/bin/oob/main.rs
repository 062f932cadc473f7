//! Urgent data: `MSG_OOB`, the signal that tells of it, and the mark where it stands in the stream.

mod sys;

use std::net::SocketAddr;

use clap::Parser;
use ioth::{AF_INET, MSG_OOB, SOCK_STREAM};
use ioth_examples::StackArg;

/// A stack talks to itself: two words, an urgent byte between them.
#[derive(Parser)]
struct Args {
    /// The stack: a network locator, then its configuration
    #[arg(long, default_value = "kernel", value_name = "VNL,CONFIG")]
    stack: StackArg,
}

fn main() -> anyhow::Result<()> {
    let stack = Args::parse().stack.open()?;
    let listener = ioth::msocket(&stack, AF_INET, SOCK_STREAM, 0)?;
    ioth::bind(&listener, &SocketAddr::from(([127, 0, 0, 1], 0)))?;
    ioth::listen(&listener, 1)?;
    let sender = ioth::msocket(&stack, AF_INET, SOCK_STREAM, 0)?;
    ioth::connect(&sender, &ioth::getsockname(&listener)?)?;
    let (receiver, _) = ioth::accept(&listener)?;

    let signal = sys::Urgent::of(&receiver)?;
    ioth::send(&sender, b"before", 0)?;
    // The last byte is the urgent one.
    ioth::send(&sender, b"!", MSG_OOB)?;
    ioth::send(&sender, b"behind", 0)?;
    signal.wait()?;
    println!("SIGURG");

    let mut urgent = [0];
    ioth::recv(&receiver, &mut urgent, MSG_OOB)?;
    println!("urgent: {}", char::from(urgent[0]));
    let mut word = [0; 64];
    // Receiving stops at the mark, so that a program can throw away what stands in front of it.
    while !ioth::sockatmark(&receiver)? {
        let len = ioth::recv(&receiver, &mut word, 0)?;
        println!("in front of the mark: {}", String::from_utf8_lossy(&word[..len]));
    }
    let len = ioth::recv(&receiver, &mut word[..6], ioth::MSG_WAITALL)?;
    println!("behind it: {}", String::from_utf8_lossy(&word[..len]));
    Ok(())
}
