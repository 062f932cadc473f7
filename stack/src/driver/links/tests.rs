//! What is taken from a link for sockets that have no room.

use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::*;
use crate::driver::Runtime;
use crate::engine::Engine;
use crate::engine::endpoint::{Family, Kind};
use crate::link::{Capabilities, Checksum, Frame, SegmentKind, Segmentation};
use crate::net::mac::Mac;
use crate::net::{checksum, ethernet, ip};
use crate::tcp::isn::Secret;

const MAC: Mac = Mac::new([2, 0, 0, 0, 0, 2]);
/// Data of a super-frame, and of a datagram in it.
const LEN: usize = 56_000;
const SIZE: u16 = 1400;

/// A link that has a super-frame of UDP whenever it is asked, and counts them.
#[derive(Debug)]
struct Endless {
    fd: OwnedFd,
    taken: Arc<AtomicUsize>,
    most: usize,
}

impl Link for Endless {
    fn capabilities(&self) -> Capabilities {
        Capabilities { mtu: 1500, offload: true }
    }

    fn receive(&mut self) -> std::io::Result<Option<Frame>> {
        if self.taken.load(Ordering::Relaxed) >= self.most {
            return Ok(None);
        }
        self.taken.fetch_add(1, Ordering::Relaxed);
        Ok(Some(super_frame()))
    }

    fn transmit(&mut self, _: Frame) -> std::io::Result<()> {
        Ok(())
    }

    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn super_frame() -> Frame {
    const FRONT: usize = ethernet::HEADER_LEN + ip::V4_HEADER_LEN + 8;
    let mut frame = Frame::with_capacity(FRONT + LEN);
    frame.set_len(FRONT + LEN);
    let bytes = frame.bytes_mut();
    bytes.fill(0);
    let header = ethernet::Header {
        destination: MAC,
        source: Mac::new([2, 0, 0, 0, 0, 1]),
        ethertype: ethernet::IPV4,
    };
    header.emit(bytes);
    let [from, to] = [1, 2].map(|last| IpAddr::from([10, 0, 0, last]));
    ip::emit(&mut bytes[ethernet::HEADER_LEN..], from, to, checksum::UDP, 64);
    let udp = &mut bytes[ethernet::HEADER_LEN + ip::V4_HEADER_LEN..];
    udp[..4].copy_from_slice(&[0, 9, 0, 9]);
    udp[4..6].copy_from_slice(&(LEN as u16 + 8).to_be_bytes());
    frame.checksum = Checksum::Verified;
    frame.segmentation = Some(Segmentation { kind: SegmentKind::Udp, size: SIZE, header_len: FRONT as u16 });
    frame
}

/// A stack with one socket that has room for a few datagrams, and how many frames one visit takes from a link that has so many.
fn taken_by_a_visit(most: usize) -> usize {
    let mut engine = Engine::new(Secret::from_seed(1));
    let settings = InterfaceSettings { name: "eth0".into(), mac: MAC, mtu: 1500, offload: true };
    let eth = engine.add_interface(settings).unwrap();
    engine.add_address(eth, "10.0.0.2/24".parse().unwrap()).unwrap();
    let id = engine.open(Kind::Datagram, Family::V4);
    engine.bind(id, "10.0.0.2:9".parse().unwrap()).unwrap();
    let mut options = engine.options(id).unwrap();
    options.recv_buffer = 8192;
    engine.set_options(id, options).unwrap();
    let runtime = Runtime::new().unwrap();
    let shared = Shared::new(&runtime, None, engine, Vec::new(), Duration::ZERO, Duration::ZERO).unwrap();
    let taken = Arc::new(AtomicUsize::new(0));
    let fd = rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap();
    let link = Endless { fd, taken: Arc::clone(&taken), most };
    // The driver cannot come in between.
    let mut core = shared.core.lock();
    core.links = vec![None, Some(Box::new(link))];
    assert_eq!(shared.take_in(&mut core, 64), most < 5);
    let all = taken.load(Ordering::Relaxed);
    assert!(core.engine.counters().udp_overflows > 0);
    core.links.clear();
    all
}

#[test]
fn what_finds_no_room_stays_in_its_link() {
    // 256 KiB and the one that passes it, of a thousand that 64 turns of 16 frames would take.
    assert_eq!(taken_by_a_visit(10_000), (256 << 10) / LEN + 1);
    assert_eq!(taken_by_a_visit(3), 3);
}
