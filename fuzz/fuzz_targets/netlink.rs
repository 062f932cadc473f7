//! Whatever is written to a netlink socket, the answers are messages with lengths that add up, and the stack can still be
//! configured.
//!
//! ```text
//! scripts/fuzz netlink
//! ```
//!
//! With an odd first byte the rest is a datagram. With an even one it is pieces: a type, flags, a length, and what the
//! message has behind its header.
#![no_main]

use ioth::{
    AF_NETLINK, MSG_DONTWAIT, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK, NETLINK_ROUTE, SOCK_CLOEXEC, SOCK_RAW,
    SOL_NETLINK, Stack,
};

/// `RTM_BASE`, and behind the last type that there is something about.
const TYPES: std::ops::Range<u8> = 16..35;

fn datagram(data: &[u8]) -> Vec<u8> {
    let Some((&[form], mut rest)) = data.split_first_chunk() else { return Vec::new() };
    if form % 2 == 1 {
        return rest.to_vec();
    }
    let mut bytes = Vec::new();
    while let Some((&[kind, flags, len], behind)) = rest.split_first_chunk() {
        let (payload, next) = behind.split_at(usize::from(len).min(behind.len()));
        bytes.extend((16 + payload.len() as u32).to_ne_bytes());
        bytes.extend(u16::from(TYPES.start + kind % (TYPES.end - TYPES.start)).to_ne_bytes());
        // Requests, most of them to be acknowledged.
        bytes.extend([1 | flags & 4, flags >> 3 & 15]);
        bytes.extend([1, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        rest = next;
    }
    bytes
}

/// The lengths of messages in a row add up.
fn check(mut rest: &[u8]) {
    while !rest.is_empty() {
        let len = u32::from_ne_bytes(rest[..4].try_into().expect("a length")) as usize;
        assert!(len >= 16 && len <= rest.len(), "{len} of {}", rest.len());
        rest = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let bytes = datagram(data);
    // No links are opened, and no files written.
    if bytes.is_empty() || bytes.windows(3).any(|three| three == b"://") {
        return;
    }
    let stack = Stack::new("eth0:switch://fuzz", "ip=10.0.0.1/24,gw=10.0.0.9").expect("a stack");
    let open = || ioth::msocket(&stack, AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE).expect("a socket");
    let (fd, watcher) = (open(), open());
    ioth::any::bind(&watcher, &ioth::SockAddr::Netlink { port: 0, groups: u32::MAX }).expect("bound");
    for name in [NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK] {
        ioth::setsockopt_int(&fd, SOL_NETLINK, name, i32::from(data[0] & 2)).expect("set");
    }
    let mut room = vec![0; 1 << 17];
    if ioth::send(&fd, &bytes, MSG_DONTWAIT).is_ok() {
        for fd in [&fd, &watcher] {
            while let Ok(len) = ioth::recv(fd, &mut room, MSG_DONTWAIT) {
                check(&room[..len]);
            }
        }
    }
    stack.configure("dns=10.0.0.7").expect("nothing that can fail");
});
