//! A program that knows nothing of stacks: it receives a descriptor over its standard input (`SCM_RIGHTS`, unix(7)), and sends
//! back what it reads there, to the end.

use std::io::IoSliceMut;
use std::mem::MaybeUninit;

use anyhow::{Context, Result};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

fn main() -> Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    recvmsg(rustix::stdio::stdin(), &mut [IoSliceMut::new(&mut [0])], &mut control, RecvFlags::empty())?;
    let descriptor = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
        _ => None,
    });
    let mut stream = std::fs::File::from(descriptor.context("no descriptor came")?);
    std::io::copy(&mut stream.try_clone()?, &mut stream)?;
    Ok(())
}
