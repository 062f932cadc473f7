//! Two TAPs, each in a network namespace of its own, with an impaired path between them: what netem would do
//! between two machines. Both are ordinary: frames have the length and the checksums that they have on a wire.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::str::FromStr;
use std::thread;

use anyhow::{Context, anyhow};
use ioth_stack::Vnl;
use ioth_stack::link::switch::Switches;
use ioth_stack::link::{self, Link};
use ioth_stack::vnl::Target;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// One end of the path.
#[derive(Clone, Debug)]
pub(crate) struct End {
    /// The namespace that the TAP is in, if it is not the one of this process.
    netns: Option<String>,
    vnl: Vnl,
}

impl FromStr for End {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (netns, vnl) = match text.strip_prefix("netns:") {
            Some(rest) => {
                let (name, vnl) = rest.split_once(',').context("write netns:NAME,VNL")?;
                (Some(name.to_owned()), vnl)
            }
            None => (None, text),
        };
        let mut vnl: Vnl = vnl.parse()?;
        match &mut vnl.target {
            // The kernel splits super-frames, as it does for a card that takes none.
            Target::Tap { offload, .. } => *offload = false,
            _ => anyhow::bail!("only TAPs have another side that is not in this process"),
        }
        Ok(Self { netns, vnl })
    }
}

impl End {
    fn open(&self) -> anyhow::Result<Box<dyn Link>> {
        let open = || Ok(link::open(&self.vnl, &Switches::default())?);
        let Some(name) = &self.netns else { return open() };
        // A TAP stays the one that was opened, wherever the thread that opened it is or was.
        let within = || {
            let path = format!("/run/netns/{name}");
            let file = File::open(&path).with_context(|| path.clone())?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).context(path)?;
            open()
        };
        thread::scope(|scope| scope.spawn(within).join()).map_err(|_| anyhow!("a thread panicked"))?
    }
}

/// Carries frames until a TAP is gone.
pub(crate) fn run(near: &End, far: &End) -> anyhow::Result<()> {
    let (mut near, mut far) = (near.open()?, far.open()?);
    println!("bridging");
    loop {
        carry(&mut *near, &mut *far)?;
        carry(&mut *far, &mut *near)?;
        if near.arm() && far.arm() {
            let mut both = [&near, &far].map(|link| PollFd::from_borrowed_fd(link.as_fd(), PollFlags::IN));
            match poll(&mut both, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Some frames one way, so that neither way waits for long.
fn carry(from: &mut dyn Link, to: &mut dyn Link) -> io::Result<()> {
    for _ in 0..BATCH {
        let Some(frame) = from.receive()? else { break };
        // What is refused is lost, as on any wire.
        let _ = to.transmit(frame);
    }
    Ok(())
}

const BATCH: usize = 64;
