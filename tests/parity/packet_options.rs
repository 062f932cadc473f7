//! Options of packet sockets, and what stands beside a frame; packet(7).

use std::io::{self, IoSliceMut};

use anyhow::Result;
use ioth::*;
use ioth_tests::netns::Test;

use crate::calls::{option, send};
use crate::packet::{PROTOCOL, frame, interface, next, packet, seeing, show, station};
use crate::world::World;

pub(crate) fn tests() -> Vec<Test> {
    crate::behaviours![alone:
        outgoing_can_be_ignored,
        link_memberships,
        packet_statistics,
        beside_a_frame,
        programs_choose_frames,
    ]
}

fn outgoing_can_be_ignored(w: &World) -> Result<()> {
    let (here, beside) = (seeing(&w.client, SOCK_RAW, 0)?, seeing(&w.client, SOCK_RAW, ETH_P_ALL)?);
    for value in [0, 2, -1, 1] {
        w.note("set", setsockopt_int(&beside, SOL_PACKET, PACKET_IGNORE_OUTGOING, value));
        w.note("shows", option(&beside, SOL_PACKET, PACKET_IGNORE_OUTGOING));
    }
    let frame = [&[2, 0, 0, 0, 0, 9][..], &station(&w.client)?, &PROTOCOL.to_be_bytes(), &[1; 60]].concat();
    w.note("send", send(&here, &frame));
    std::thread::sleep(crate::world::MOMENT);
    let mut seen = false;
    let mut room = [0; 100];
    while let Ok((_, Some(SockAddr::Link(link)))) = any::recvfrom(&beside, &mut room, MSG_DONTWAIT) {
        seen |= link.protocol == PROTOCOL;
    }
    w.note("seen", seen);
    Ok(())
}

fn link_memberships(w: &World) -> Result<()> {
    let fd = packet(&w.client, SOCK_RAW, 0)?;
    let index = interface(&w.client)?;
    let mreq = |interface: u32, kind: i32, len: u16| {
        let halves = [kind as u16, len].map(u16::to_ne_bytes).concat();
        [&interface.to_ne_bytes()[..], &halves, &[1, 0, 0x5e, 1, 2, 3, 0, 0]].concat()
    };
    let set = |name: i32, value: &[u8]| setsockopt(&fd, SOL_PACKET, name, value);
    for (what, kind, len) in [
        ("promiscuous", PACKET_MR_PROMISC, 0),
        ("all groups", PACKET_MR_ALLMULTI, 0),
        ("a group", PACKET_MR_MULTICAST, 6),
        ("a short one", PACKET_MR_MULTICAST, 5),
        ("a long one", PACKET_MR_MULTICAST, 7),
    ] {
        let wanted = mreq(index, kind, len);
        w.note(what, set(PACKET_ADD_MEMBERSHIP, &wanted));
        w.note("again", set(PACKET_ADD_MEMBERSHIP, &wanted));
        w.note("drop", set(PACKET_DROP_MEMBERSHIP, &wanted));
        w.note("drop", set(PACKET_DROP_MEMBERSHIP, &wanted));
        w.note("once too often", set(PACKET_DROP_MEMBERSHIP, &wanted));
    }
    w.note("nowhere", set(PACKET_ADD_MEMBERSHIP, &mreq(999, PACKET_MR_PROMISC, 0)));
    w.note("short", set(PACKET_ADD_MEMBERSHIP, &mreq(index, PACKET_MR_PROMISC, 0)[..15]));
    Ok(())
}

fn packet_statistics(w: &World) -> Result<()> {
    if w.client.same_as(&w.server) {
        // A host has no link to itself.
        w.note("alone", 0);
        return Ok(());
    }
    let (here, there) = (seeing(&w.client, SOCK_RAW, 0)?, seeing(&w.server, SOCK_RAW, PROTOCOL.into())?);
    let ask = || {
        let mut value = [0; 8];
        let len = getsockopt(&there, SOL_PACKET, PACKET_STATISTICS, &mut value)?;
        let word = |at: usize| u32::from_ne_bytes([value[at], value[at + 1], value[at + 2], value[at + 3]]);
        io::Result::Ok((len, word(0), word(4)))
    };
    w.note("fresh", format!("{:?}", ask()?));
    for _ in 0..3 {
        w.note("send", send(&here, frame(w, &[7; 100])?));
    }
    for _ in 0..3 {
        let _ = next(&there, PROTOCOL)?;
    }
    w.note("three", format!("{:?}", ask()?));
    w.note("anew", format!("{:?}", ask()?));
    w.note("room", setsockopt_int(&there, SOL_SOCKET, SO_RCVBUF, 4096));
    let frame = frame(w, &[7; 1000])?;
    for _ in 0..300 {
        let _ = send(&here, &frame);
    }
    std::thread::sleep(crate::world::MOMENT);
    let (_, seen, dropped) = ask()?;
    w.note("all count", seen);
    w.note("some were dropped", dropped > 200);
    Ok(())
}

fn beside_a_frame(w: &World) -> Result<()> {
    if w.client.same_as(&w.server) {
        // A host has no link to itself.
        w.note("alone", 0);
        return Ok(());
    }
    for kind in [SOCK_RAW, SOCK_DGRAM] {
        let (here, there) = (seeing(&w.client, SOCK_RAW, 0)?, seeing(&w.server, kind, ETH_P_ALL)?);
        w.note("set", setsockopt_int(&there, SOL_PACKET, PACKET_AUXDATA, 1));
        w.note("shows", option(&there, SOL_PACKET, PACKET_AUXDATA));
        w.note("set", setsockopt_int(&there, SOL_SOCKET, SO_TIMESTAMP, 1));
        let plain = frame(w, &[7; 100])?;
        let mut tagged = plain.clone();
        tagged.splice(12..12, [0x81, 0, 0x20, 5]);
        for frame in [plain, tagged] {
            w.note("send", send(&here, &frame));
            let mut room = [0; 200];
            let message = loop {
                let (message, from) = any::recvmsg(&there, &mut [IoSliceMut::new(&mut room)], 0)?;
                if matches!(from, Some(SockAddr::Link(link)) if link.protocol == PROTOCOL) {
                    w.note("from", show(from.as_ref()));
                    break message;
                }
            };
            w.note("length", message.len);
            for control in message.controls {
                match control {
                    Control::Timestamp(_) => w.note("a time", 0),
                    Control::Auxiliary(known) => {
                        // Who vouches for a checksum, the link says.
                        let known = Auxiliary { status: known.status & !0x88, ..known };
                        w.note("auxiliary", format!("{known:?}"));
                    }
                    other => w.note("other", format!("{other:?}")),
                }
            }
        }
    }
    Ok(())
}

fn programs_choose_frames(w: &World) -> Result<()> {
    if w.client.same_as(&w.server) {
        // A host has no link to itself.
        w.note("alone", 0);
        return Ok(());
    }
    let (here, there) = (seeing(&w.client, SOCK_RAW, 0)?, seeing(&w.server, SOCK_RAW, ETH_P_ALL)?);
    let one = |code, jt, jf, k| FilterInstruction { code, jt, jf, k };
    // The type, by the bytes and by what is known of it; 20 bytes of that.
    let program = [
        one(0x28, 0, 0, 12),
        one(0x15, 0, 3, PROTOCOL.into()),
        one(0x20, 0, 0, 0xffff_f000),
        one(0x15, 0, 1, PROTOCOL.into()),
        one(0x06, 0, 0, 20),
        one(0x06, 0, 0, 0),
    ];
    w.note("attach", attach_filter(&there, &program));
    while recv(&there, &mut [0; 10], MSG_DONTWAIT).is_ok() {}
    w.note("send", send(&here, frame(w, &[7; 100])?));
    let (seen, from) = next(&there, PROTOCOL)?;
    w.note("cut", seen.len());
    w.note("from", show(Some(&from)));
    Ok(())
}
