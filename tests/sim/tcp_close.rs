//! TCP connections end (RFC 9293 section 3.6).

use std::time::Duration;

use ioth_stack::{Error, Options, Shutdown};

use crate::wire::frames::{ACK, RST, Tcp};
use crate::wire::{Fate, Wire};

#[test]
fn half_closed_either_way_the_other_half_carries_on() {
    let (mut wire, a, b) = Wire::pair();
    for (closer, other) in [(a, b), (b, a)] {
        let ends = wire.connected(a, b, "10.0.0.2:80");
        let id = |host| if host == a { ends.0 } else { ends.1 };
        let now = wire.now();
        assert_eq!(wire.send(closer, id(closer), b"last"), Ok(4));
        wire[closer].shutdown(now, id(closer), Shutdown::Write).unwrap();
        assert_eq!(wire.send(closer, id(closer), b"x"), Err(Error::BrokenPipe));
        assert_eq!(wire.recv(other, id(other)), Ok(b"last".to_vec()));
        assert_eq!(wire.recv(other, id(other)), Ok(vec![]));
        assert!(wire[other].readiness(id(other)).read_closed);
        // Much later, and much.
        wire.run(Duration::from_secs(3600));
        let mut sent = 0;
        let mut received = 0;
        assert!(wire.run_until(Duration::from_secs(10), |wire| {
            while sent < 1 << 20
                && let Ok(more) = wire.send(other, id(other), &[7; 4096][..4096.min((1 << 20) - sent)])
            {
                sent += more;
            }
            while let Ok(data) = wire.try_recv(closer, id(closer)) {
                received += data.len();
            }
            received >= 1 << 20
        }));
        wire.close(other, id(other));
        assert_eq!(wire.recv(closer, id(closer)), Ok(vec![]));
        wire.close(closer, id(closer));
        wire.run(Duration::from_secs(70));
    }
}

#[test]
fn all_data_comes_before_the_end_of_the_stream() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    assert_eq!(wire.send(a, one, &[1; 100_000]), Ok(100_000));
    wire.close(a, one);
    wire.run(Duration::from_secs(30));
    let mut got = 0;
    loop {
        match wire.try_recv(b, other).unwrap().len() {
            0 => break,
            len => got += len,
        }
    }
    assert_eq!(got, 100_000);
    // Again and again.
    assert_eq!(wire.try_recv(b, other), Ok(vec![]));
    wire.close(b, other);
    wire.settle();
    assert!(!wire[a].has_orphans() && !wire[b].has_orphans());
}

#[test]
fn unread_data_outlives_time_wait() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    let now = wire.now();
    wire[a].shutdown(now, one, Shutdown::Write).unwrap();
    wire.settle();
    assert_eq!(wire.send(b, other, b"late"), Ok(4));
    wire.close(b, other);
    wire.run(Duration::from_secs(200));
    assert!(!wire[b].has_orphans(), "the FIN was not acknowledged");
    assert_eq!(wire.try_recv(a, one), Ok(b"late".to_vec()));
    assert_eq!(wire.try_recv(a, one), Ok(vec![]));
    wire.close(a, one);
}

#[test]
fn closing_with_unread_data_resets_rfc_2525_2_17() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    assert_eq!(wire.send(a, one, b"unread"), Ok(6));
    wire.settle();
    wire.close(b, other);
    wire.settle();
    assert!(wire[a].readiness(one).error);
    assert_eq!(wire.try_recv(a, one), Err(Error::ConnectionReset));
    assert_eq!(wire.try_recv(a, one), Ok(vec![]));
    assert_eq!(wire.send(a, one, b"x"), Err(Error::BrokenPipe));
    // Nothing is left: the same four-tuple may connect again.
    assert!(!wire[b].has_orphans());
}

#[test]
fn data_behind_a_close_resets_rfc_1122_4_2_2_13() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    wire.close(b, other);
    wire.settle();
    assert_eq!(wire.send(a, one, b"too late"), Ok(8));
    wire.settle();
    assert_eq!(wire.send(a, one, b"x"), Err(Error::BrokenPipe), "as Linux in CLOSE-WAIT");
    assert!(!wire[b].has_orphans());
}

#[test]
fn both_close_at_once_rfc_9293_3_6() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    wire.close(a, one);
    wire.close(b, other);
    wire.settle();
    assert!(wire[a].is_flushed() && wire[b].is_flushed());
    assert!(!wire[a].has_orphans() && !wire[b].has_orphans());
    assert!(wire.record.iter().filter_map(|sent| Tcp::parse(&sent.bytes)).all(|tcp| tcp.flags & RST == 0));
}

#[test]
fn a_lost_segment_of_the_close_is_sent_again() {
    for lost in 0..4 {
        let (mut wire, a, b) = Wire::pair();
        let (one, other) = wire.connected(a, b, "10.0.0.2:80");
        let mut number = 0;
        wire.weather = Box::new(move |_| {
            number += 1;
            if number == lost + 1 { Fate::Lost } else { Fate::Arrives }
        });
        wire.close(a, one);
        assert_eq!(wire.recv(b, other), Ok(vec![]));
        wire.close(b, other);
        wire.run(Duration::from_secs(20));
        assert!(!wire[a].has_orphans() && !wire[b].has_orphans(), "lost {lost}: {}", wire.show());
        let resets =
            wire.record.iter().filter_map(|sent| Tcp::parse(&sent.bytes)).filter(|tcp| tcp.flags & RST != 0);
        assert_eq!(resets.count(), 0, "lost {lost}");
    }
}

#[test]
fn an_idle_connection_closes_in_order() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    wire.run(Duration::from_secs(7200));
    wire.close(a, one);
    assert_eq!(wire.recv(b, other), Ok(vec![]));
    wire.run(Duration::from_secs(7200));
    wire.close(b, other);
    wire.settle();
    assert!(!wire[b].has_orphans());
}

#[test]
fn an_aborted_connection_resets_its_peer() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    assert_eq!(wire.send(b, other, b"before"), Ok(6));
    wire.settle();
    let now = wire.now();
    wire[b].abort(now, other);
    wire.settle();
    // What came before the reset can still be read.
    assert_eq!(wire.try_recv(a, one), Ok(b"before".to_vec()));
    assert_eq!(wire.try_recv(a, one), Err(Error::ConnectionReset));
}

#[test]
fn an_orphan_is_not_kept_for_ever_tcp_7() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    wire.close(a, one);
    wire.run(Duration::from_secs(90));
    // FIN-WAIT-2 was given up: what the peer sends now meets nobody.
    assert_eq!(wire.send(b, other, b"x"), Ok(1));
    wire.settle();
    assert!(wire[b].readiness(other).write_closed);
    assert!(!wire[a].has_orphans());
}

#[test]
fn data_that_is_never_acknowledged_times_out_rfc_1122_4_2_3_5() {
    let (mut wire, a, b) = Wire::pair();
    let (one, _) = wire.connected(a, b, "10.0.0.2:80");
    wire.run(Duration::from_secs(5000));
    wire.weather = Box::new(|bytes| if bytes[12..14] == [8, 6] { Fate::Arrives } else { Fate::Lost });
    let start = wire.now();
    assert_eq!(wire.send(a, one, b"x"), Ok(1));
    assert!(wire.run_until(Duration::from_secs(2000), |wire| wire[a].readiness(one).error));
    let took = wire.now() - start;
    assert!((Duration::from_secs(900)..Duration::from_secs(1000)).contains(&took), "{took:?}");
    assert_eq!(wire.try_recv(a, one), Err(Error::TimedOut));
}

#[test]
fn time_wait_acknowledges_a_repeated_fin_rfc_9293_3_10_7_4() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    wire.close(a, one);
    wire.settle();
    wire.close(b, other);
    wire.settle();
    let fin = wire.sent_by(b).filter(|sent| Tcp::parse(&sent.bytes).is_some_and(|tcp| tcp.flags & 1 != 0));
    let fin = fin.last().unwrap().bytes.clone();
    wire.record.clear();
    wire.run(Duration::from_secs(30));
    wire.inject_bytes(a, &fin);
    wire.settle();
    let answer = Tcp::parse(&wire.sent_by(a).next().unwrap().bytes).unwrap();
    let fin = Tcp::parse(&fin).unwrap();
    assert_eq!((answer.flags, answer.ack, answer.seq), (0x10, fin.seq.wrapping_add(1), fin.ack));
}

#[test]
fn a_newer_syn_opens_a_connection_in_time_wait_again_rfc_9293_3_6_1() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 4);
    let from = "10.0.0.1:1000".parse().unwrap();
    let connect = |wire: &mut Wire| {
        let id = wire.open(a, ioth_stack::Kind::Stream, from);
        wire[a].bind(id, from).unwrap();
        let now = wire.now();
        assert_eq!(wire[a].connect(now, id, "10.0.0.2:80".parse().unwrap()), Err(Error::InProgress));
        (id, wire.accept(b, listener))
    };
    let (one, other) = connect(&mut wire);
    // The server closes first and has the record.
    wire.close(b, other);
    wire.settle();
    wire.close(a, one);
    wire.run(Duration::from_secs(1));
    let (one, other) = connect(&mut wire);
    assert!(wire.echoes([(a, one), (b, other)]));
}

#[test]
fn a_reset_does_not_end_time_wait_rfc_1337() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    wire.close(b, other);
    wire.settle();
    wire.close(a, one);
    wire.settle();
    let last = wire.sent_by(a).filter_map(|sent| Tcp::parse(&sent.bytes)).last().unwrap();
    let reset = Tcp { flags: RST, seq: last.seq.wrapping_add(1), ..last.clone() };
    let mac = wire.mac(b);
    let (from, to) = (
        ("10.0.0.1".parse::<std::net::Ipv4Addr>().unwrap(), last.source),
        ("10.0.0.2".parse::<std::net::Ipv4Addr>().unwrap(), 80),
    );
    wire.inject_bytes(b, &reset.in_frame(mac, from, to));
    wire.record.clear();
    let fin = Tcp { flags: 0x11, ..last };
    wire.inject_bytes(b, &fin.in_frame(mac, from, to));
    wire.settle();
    assert_eq!(
        wire.sent_by(b).filter_map(|sent| Tcp::parse(&sent.bytes)).map(|tcp| tcp.flags).collect::<Vec<_>>(),
        [0x10]
    );
}

#[test]
fn a_stack_that_is_shut_down_resets_and_refuses() {
    let (mut wire, a, b) = Wire::pair();
    let listener = wire.listen(b, "10.0.0.2:80", 4);
    let one = wire.connect(a, "10.0.0.2:80");
    let other = wire.accept(b, listener);
    let waiting = wire.connect(a, "10.0.0.2:80");
    assert_eq!(wire.connect_result(a, waiting), Ok(()));
    let datagram = wire.datagram(b, "10.0.0.2:9");
    wire[b].shut_down();
    wire.settle();
    assert_eq!(wire.try_recv(a, one), Err(Error::ConnectionReset));
    assert_eq!(wire.try_recv(a, waiting), Err(Error::ConnectionReset));
    for id in [listener, other, datagram] {
        assert_eq!(wire.try_recv(b, id), Err(Error::NetworkDown));
        let ready = wire[b].readiness(id);
        assert!(ready.read_closed && ready.write_closed, "whoever waits must wake");
    }
    assert_eq!(wire[b].accept(listener).err(), Some(Error::NetworkDown));
    let late = wire.connect(a, "10.0.0.2:80");
    assert_eq!(wire.connect_result(a, late), Err(Error::ConnectionRefused));
    wire.close(b, listener);
    wire.close(b, other);
    wire.close(b, datagram);
    assert!(wire[b].is_flushed());
}

/// What the peer hears that ends its side so long after the application at the other side is gone.
fn answer_to_a_late_end(fin_timeout: Option<Duration>, late: Duration) -> Vec<u8> {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    wire[a].set_options(one, Options { fin_timeout, ..Options::default() }).unwrap();
    wire.close(a, one);
    wire.run(late);
    wire.record.clear();
    let now = wire.now();
    // A reset may have come.
    let _ = wire[b].shutdown(now, other, Shutdown::Write);
    wire.run(Duration::from_secs(1));
    wire.sent_by(a).filter_map(|sent| Tcp::parse(&sent.bytes)).map(|tcp| tcp.flags).collect()
}

#[test]
fn an_end_is_waited_for_as_long_as_linger2_says_tcp_7() {
    for seconds in [1, 60, 120] {
        let time = Duration::from_secs(seconds);
        let margin = Duration::from_millis(500);
        assert_eq!(answer_to_a_late_end(Some(time), time - margin), [ACK], "{seconds}");
        assert_eq!(answer_to_a_late_end(Some(time), time + margin), [RST], "{seconds}");
    }
    assert_eq!(Options::default().fin_timeout, Some(Duration::from_secs(60)));
}

#[test]
fn without_any_time_for_its_end_the_peer_is_reset_tcp_7() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    wire[a].set_options(one, Options { fin_timeout: None, ..Options::default() }).unwrap();
    assert_eq!(wire.send(a, one, b"last"), Ok(4));
    wire.close(a, one);
    wire.run(Duration::from_secs(1));
    // As Linux: behind the end of the stream, which was acknowledged.
    let last = wire.sent_by(a).filter_map(|sent| Tcp::parse(&sent.bytes)).last().unwrap();
    assert_eq!(last.flags & RST, RST);
    assert_eq!(wire.recv(b, other), Ok(b"last".to_vec()));
    assert_eq!(wire.recv(b, other), Ok(vec![]));
    assert_eq!(wire.send(b, other, b"x"), Err(Error::BrokenPipe));
}

#[test]
fn linger2_is_not_for_what_is_still_to_be_acknowledged_tcp_7() {
    let (mut wire, a, b) = Wire::pair();
    let (one, other) = wire.connected(a, b, "10.0.0.2:80");
    let second = Some(Duration::from_secs(1));
    wire[a].set_options(one, Options { fin_timeout: second, ..Options::default() }).unwrap();
    assert_eq!(wire.send(a, one, b"last"), Ok(4));
    wire.close(a, one);
    wire.weather = Box::new(|_| Fate::Lost);
    wire.run(Duration::from_secs(5));
    wire.weather = Box::new(|_| Fate::Arrives);
    assert_eq!(wire.recv(b, other), Ok(b"last".to_vec()));
    assert_eq!(wire.recv(b, other), Ok(vec![]));
}
