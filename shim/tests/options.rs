//! Every option does what the table says, and the page about them is made from the table.

use ioth::option::{Row, Support, TABLE, markdown};
use ioth::{
    AF_INET, AF_INET6, AF_NETLINK, AF_PACKET, ETH_P_ALL, IPPROTO_ICMP, IPPROTO_ICMPV6, IPPROTO_UDP,
    SOCK_DGRAM, SOCK_RAW, SOCK_STREAM, SOL_NETLINK, Stack,
};
use std::collections::HashSet;
use std::os::fd::OwnedFd;

/// A socket of each kind and family that may have the option.
fn sockets(stack: &Stack, row: &Row) -> Vec<OwnedFd> {
    const OF_NETLINK: [(i32, i32, i32); 1] = [(AF_NETLINK, SOCK_RAW, 0)];
    const OTHERS: [(i32, i32, i32); 11] = [
        (AF_INET, SOCK_STREAM, 0),
        (AF_INET, SOCK_DGRAM, 0),
        (AF_INET, SOCK_DGRAM, IPPROTO_ICMP),
        (AF_INET, SOCK_RAW, IPPROTO_ICMP),
        (AF_INET, SOCK_RAW, IPPROTO_UDP),
        (AF_INET6, SOCK_STREAM, 0),
        (AF_INET6, SOCK_DGRAM, 0),
        (AF_INET6, SOCK_RAW, IPPROTO_ICMPV6),
        (AF_INET6, SOCK_RAW, IPPROTO_UDP),
        (AF_PACKET, SOCK_RAW, (ETH_P_ALL as u16).to_be() as i32),
        (AF_PACKET, SOCK_DGRAM, (ETH_P_ALL as u16).to_be() as i32),
    ];
    let kinds = if row.level.0 == SOL_NETLINK { &OF_NETLINK[..] } else { &OTHERS };
    let open = |&(domain, kind, protocol): &(i32, i32, i32)| {
        ioth::msocket(stack, domain, kind, protocol).expect("a socket")
    };
    kinds.iter().map(open).collect()
}

fn stack() -> Stack {
    Stack::new("switch://options", "ip=10.0.0.1/24,ip=fd00::1/64").expect("a stack")
}

/// What setting an integer comes to.
fn set(fd: &OwnedFd, row: &Row, value: i32) -> Result<(), i32> {
    ioth::setsockopt_int(fd, row.level.0, row.option.0, value)
        .map_err(|error| error.raw_os_error().unwrap_or(0))
}

fn get(fd: &OwnedFd, row: &Row) -> Option<i32> {
    ioth::getsockopt_int(fd, row.level.0, row.option.0).ok()
}

/// Whether the errno says that there is no such option.
fn unknown(result: Result<(), i32>) -> bool {
    const ENOPROTOOPT: i32 = 92;
    result == Err(ENOPROTOOPT)
}

#[test]
fn the_page_is_made_from_the_table() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/options.md");
    if std::env::var_os("IOTH_WRITE_DOCS").is_some() {
        std::fs::write(path, markdown()).expect("docs/options.md is written");
    }
    let page = std::fs::read_to_string(path).unwrap_or_default();
    assert!(page == markdown(), "docs/options.md is old: run this test with IOTH_WRITE_DOCS=1");
}

#[test]
fn no_option_stands_there_twice() {
    let mut seen = HashSet::new();
    for row in TABLE {
        assert!(seen.insert((row.level.0, row.option.0)), "{row:?}");
    }
}

#[test]
fn what_has_effect_or_is_stored_can_be_set() {
    let stack = stack();
    for row in TABLE.iter().filter(|row| matches!(row.support, Support::Effect | Support::Stored)) {
        let taken = |fd: &OwnedFd| [1, 0].iter().any(|value| !unknown(set(fd, row, *value)));
        assert!(sockets(&stack, row).iter().any(taken), "{row:?}");
    }
}

#[test]
fn what_is_stored_shows() {
    let stack = stack();
    for row in TABLE.iter().filter(|row| row.support == Support::Stored) {
        let mut shown = 0;
        for fd in sockets(&stack, row) {
            for value in [0, 1] {
                if set(&fd, row, value).is_ok() {
                    if row.note.contains("flags") {
                        assert!(value == 0 || get(&fd, row).is_some_and(|shown| shown & 1 == 1), "{row:?}");
                    } else {
                        let expected = if row.note.starts_with("shows 0") { 0 } else { value };
                        assert_eq!(get(&fd, row), Some(expected), "{row:?}");
                    }
                    shown += 1;
                }
            }
        }
        assert!(shown > 0, "{row:?}");
    }
}

#[test]
fn what_is_to_be_read_cannot_be_set() {
    let stack = stack();
    for row in TABLE.iter().filter(|row| row.support == Support::Shown) {
        let mut value = [0; 256];
        for fd in sockets(&stack, row) {
            assert!(set(&fd, row, 1).is_err(), "{row:?}");
        }
        let read = |fd: &OwnedFd| match ioth::getsockopt(fd, row.level.0, row.option.0, &mut value) {
            Ok(len) => len > 0,
            // IP_MTU: of what is connected.
            Err(error) => error.kind() == std::io::ErrorKind::NotConnected,
        };
        assert!(sockets(&stack, row).iter().any(read), "{row:?}");
    }
}

#[test]
fn what_is_refused_fails_as_the_table_says() {
    let stack = stack();
    let errnos = [("EINVAL", 22), ("ENOENT", 2), ("EOPNOTSUPP", 95), ("ENOPROTOOPT", 92)];
    for row in TABLE.iter().filter(|row| row.support == Support::Refused) {
        let (_, errno) = errnos
            .into_iter()
            .find(|(name, _)| row.note.starts_with(&format!("`{name}`")))
            .unwrap_or_else(|| panic!("{row:?} names no errno"));
        let results: Vec<_> = sockets(&stack, row).iter().map(|fd| set(fd, row, 1)).collect();
        assert!(results.iter().all(Result::is_err), "{row:?}: {results:?}");
        assert!(results.contains(&Err(errno)), "{row:?}: {results:?}");
    }
}
