//! Which bind, listen and connect may share a port: the rules of socket(7).

use ioth_stack::{EndpointId, Error, Family, Kind, Options};

use crate::wire::{Host, Wire};

fn bind(wire: &mut Wire, host: Host, address: &str, reuse: bool) -> Result<EndpointId, Error> {
    let address = address.parse().unwrap();
    let id = wire.open(host, Kind::Stream, address);
    wire[host].set_options(id, Options { reuse_address: reuse, ..Options::default() })?;
    wire[host].bind(id, address).map(|()| id)
}

#[test]
fn a_port_has_one_owner() {
    let (mut wire, a, _) = Wire::pair();
    let first = bind(&mut wire, a, "10.0.0.1:80", false).unwrap();
    assert_eq!(bind(&mut wire, a, "10.0.0.1:80", false), Err(Error::AddressInUse));
    assert_eq!(bind(&mut wire, a, "0.0.0.0:80", false), Err(Error::AddressInUse));
    assert_eq!(bind(&mut wire, a, "[::]:80", false), Err(Error::AddressInUse));
    assert!(bind(&mut wire, a, "127.0.0.1:80", false).is_ok());
    assert!(bind(&mut wire, a, "[fd00::1]:80", false).is_ok());
    // UDP has ports of its own.
    let _ = wire.datagram(a, "10.0.0.1:80");
    wire.close(a, first);
    assert!(bind(&mut wire, a, "10.0.0.1:80", false).is_ok());
}

#[test]
fn reuse_lets_two_bind_and_one_listen() {
    let (mut wire, a, _) = Wire::pair();
    let first = bind(&mut wire, a, "10.0.0.1:80", true).unwrap();
    let second = bind(&mut wire, a, "10.0.0.1:80", true).unwrap();
    wire[a].listen(first, 1).unwrap();
    assert_eq!(wire[a].listen(second, 1), Err(Error::AddressInUse));
    assert_eq!(bind(&mut wire, a, "10.0.0.1:80", true), Err(Error::AddressInUse));
}

#[test]
fn an_address_of_somebody_else_is_not_available() {
    let (mut wire, a, _) = Wire::pair();
    assert_eq!(bind(&mut wire, a, "10.0.0.7:80", false), Err(Error::AddressNotAvailable));
    let id = wire[a].open(Kind::Stream, Family::V4);
    assert_eq!(wire[a].bind(id, "[fd00::1]:80".parse().unwrap()), Err(Error::AddressFamily));
}

#[test]
fn connections_keep_the_port_of_their_listener_socket_7() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    assert_eq!(bind(&mut wire, b, "10.0.0.2:80", false), Err(Error::AddressInUse));
    wire.close(b, other);
    wire.close(a, one);
    wire.settle();
    // The server closed first: TIME-WAIT is here.
    assert_eq!(bind(&mut wire, b, "10.0.0.2:80", false), Err(Error::AddressInUse));
    wire.run(std::time::Duration::from_secs(61));
    assert!(bind(&mut wire, b, "10.0.0.2:80", false).is_ok());
}

#[test]
fn a_restarted_server_listens_again_with_reuse_socket_7() {
    let (mut wire, a, b) = Wire::pair();
    let listener = bind(&mut wire, b, "10.0.0.2:80", true).unwrap();
    wire[b].listen(listener, 1).unwrap();
    let one = wire.connect(a, "10.0.0.2:80");
    let other = wire.accept(b, listener);
    wire.close(b, listener);
    assert!(wire.echoes([(a, one), (b, other)]));
    let again = bind(&mut wire, b, "10.0.0.2:80", true).unwrap();
    wire[b].listen(again, 1).unwrap();
}

#[test]
fn any_port_is_a_free_one() {
    let (mut wire, a, _) = Wire::pair();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..200 {
        let id = bind(&mut wire, a, "10.0.0.1:0", false).unwrap();
        let port = wire[a].local_address(id).unwrap().port();
        assert!(port >= 32_768 && seen.insert(port));
    }
}

#[test]
fn two_connects_from_one_address_to_one_peer_clash() {
    let (mut wire, a, b) = Wire::pair();
    let _listener = wire.listen(b, "10.0.0.2:80", 8);
    let (now, peer) = (wire.now(), "10.0.0.2:80".parse().unwrap());
    let one = bind(&mut wire, a, "10.0.0.1:5000", true).unwrap();
    let other = bind(&mut wire, a, "10.0.0.1:5000", true).unwrap();
    assert_eq!(wire[a].connect(now, one, peer), Err(Error::InProgress));
    assert_eq!(wire[a].connect(now, one, peer), Err(Error::AlreadyInProgress));
    assert_eq!(wire[a].connect(now, other, peer), Err(Error::AddressNotAvailable));
    assert_eq!(wire.connect_result(a, one), Ok(()));
    assert_eq!(wire[a].connect(now, one, peer), Err(Error::AlreadyConnected));
}
