//! The kernel's stack is the C library's: where nobody need be asked, ours must say the same.

use super::*;

fn said(stack: &Stack, node: Option<&str>, service: Option<&str>, hints: &Hints) -> String {
    match getaddrinfo(stack, node, service, hints) {
        Ok(found) => format!("{found:?}"),
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn numbers_and_errors_as_the_c_library() {
    let ours = Stack::new("switch://addrinfo", "ip=192.0.2.1/24,ip=2001:db8::1/64").unwrap();
    let nodes = [None, Some("10.0.0.1"), Some("127.1"), Some("2001:db8::9"), Some("not a number"), Some("")];
    let services = [None, Some("80"), Some("0"), Some("no-such-service"), Some("")];
    let kinds = [
        (0, 0),
        (SOCK_STREAM, 0),
        (SOCK_DGRAM, 0),
        (SOCK_RAW, 0),
        (SOCK_RAW, 89),
        (SOCK_STREAM, IPPROTO_UDP),
        (0, IPPROTO_UDP),
        (99, 0),
    ];
    let flags = [0, AI_PASSIVE, AI_CANONNAME, AI_NUMERICSERV, AI_V4MAPPED, AI_V4MAPPED | AI_ALL, 1 << 30];
    let families = [AF_UNSPEC, AF_INET, AF_INET6, 99];
    let mut differences = Vec::new();
    for (node, service) in nodes.iter().flat_map(|node| services.map(|service| (*node, service))) {
        for (socktype, protocol) in kinds {
            for (family, flags) in families.iter().flat_map(|family| flags.map(|flags| (*family, flags))) {
                // Nobody is asked.
                let hints = Hints { flags: flags | AI_NUMERICHOST, family, socktype, protocol };
                let [ours, theirs] =
                    [&ours, &Stack::kernel()].map(|stack| said(stack, node, service, &hints));
                if ours != theirs {
                    differences.push(format!("{node:?} {service:?} {hints:?}\n  {ours}\n  {theirs}\n"));
                }
            }
        }
    }
    let first = differences.iter().take(20).cloned().collect::<String>();
    assert!(differences.is_empty(), "{}:\n{first}", differences.len());
}
