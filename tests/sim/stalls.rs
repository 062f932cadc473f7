//! Where smoltcp would wait for ever, or forget something that a peer says once only.

use std::time::Duration;

use ioth_stack::{EndpointId, Error, Shutdown};

use crate::guards::opened;
use crate::wire::frames::{ACK, FIN, Tcp};
use crate::wire::{Host, Stranger, Wire};

/// A connection that a stranger has opened to host b, and the segment it says next.
struct Talk {
    wire: Wire,
    host: Host,
    stranger: Stranger,
    id: EndpointId,
    segment: Tcp,
}

impl Talk {
    fn new() -> Self {
        let (wire, host, stranger, id, ack) = opened(4096);
        let segment = Tcp { flags: ACK, seq: 1000, ack, window: 1000, ..Tcp::default() };
        Self { wire, host, stranger, id, segment }
    }

    /// The engine sends so many bytes, which the stranger sees in one segment.
    fn sends(&mut self, len: usize) {
        assert_eq!(self.wire.send(self.host, self.id, &vec![7; len]), Ok(len));
        let heard = self.stranger.hears(&mut self.wire);
        assert_eq!(heard.iter().map(|tcp| tcp.payload.len()).collect::<Vec<_>>(), [len]);
    }

    /// The stranger acknowledges so many bytes and offers a window, in multiples of 128 bytes.
    fn acknowledges(&mut self, len: u32, window: u16) {
        let ack = self.segment.ack.wrapping_add(len);
        self.stranger.says(&mut self.wire, &Tcp { ack, window, ..self.segment.clone() });
    }

    /// What the engine says within some time.
    fn hears(&mut self, time: Duration) -> Vec<Tcp> {
        self.wire.record.clear();
        self.wire.run(time);
        self.wire.sent_by(self.host).filter_map(|sent| Tcp::parse(&sent.bytes)).collect()
    }
}

#[test]
fn a_window_that_closes_on_data_and_opens_again_rfc_9293_3_8_6() {
    let mut talk = Talk::new();
    talk.sends(500);
    talk.acknowledges(256, 0);
    talk.acknowledges(256, 8);
    let heard = talk.hears(Duration::from_secs(10));
    let rest = heard.iter().find(|tcp| !tcp.payload.is_empty()).expect("the rest is sent again");
    assert_eq!((rest.seq, rest.payload.len()), (talk.segment.ack.wrapping_add(256), 244));
}

#[test]
fn a_window_that_closes_and_nobody_says_when_it_opens_rfc_9293_3_8_6_1() {
    let mut talk = Talk::new();
    talk.sends(500);
    talk.acknowledges(0, 0);
    // It is asked about again and again, with longer and longer pauses.
    let mut probes = 0;
    for _ in 0..15 {
        probes += talk.hears(Duration::from_secs(20)).len();
        // It is still there.
        Stranger::new(&mut talk.wire, talk.host, 5000, 80);
    }
    assert!((5..15).contains(&probes), "{probes} probes");
    talk.acknowledges(0, 8);
    let heard = talk.hears(Duration::from_secs(60));
    assert!(heard.iter().any(|tcp| tcp.seq == talk.segment.ack && tcp.payload.len() == 500));
}

#[test]
fn a_fin_that_is_lost_and_three_duplicate_acknowledgements_rfc_9293_3_10_7_4() {
    let mut talk = Talk::new();
    talk.sends(100);
    talk.acknowledges(100, 1000);
    let now = talk.wire.now();
    talk.wire[talk.host].shutdown(now, talk.id, Shutdown::Write).unwrap();
    let fin = talk.stranger.hears(&mut talk.wire).pop().expect("a FIN");
    assert_eq!(fin.flags & FIN, FIN);
    for _ in 0..4 {
        talk.acknowledges(100, 1000);
    }
    let heard = talk.hears(Duration::from_secs(10));
    let again = heard.iter().find(|tcp| tcp.flags & FIN != 0).expect("the FIN is sent again");
    assert_eq!((again.seq, again.ack), (fin.seq, fin.ack));
    talk.acknowledges(101, 1000);
    assert!(talk.hears(Duration::from_secs(60)).is_empty());
    assert!(talk.wire[talk.host].is_flushed());
}

#[test]
fn data_with_an_old_acknowledgement_rfc_9293_3_10_7_4() {
    let mut talk = Talk::new();
    talk.sends(100);
    talk.acknowledges(100, 1000);
    // It was sent before the other, and overtaken.
    let late = Tcp { payload: b"late".to_vec(), window: 1, ..talk.segment.clone() };
    talk.stranger.says(&mut talk.wire, &late);
    talk.wire.settle();
    assert_eq!(talk.wire.try_recv(talk.host, talk.id), Ok(b"late".to_vec()));
    // Nor does its window count: what does not fit it goes out at once.
    talk.sends(500);
}

#[test]
fn data_with_an_acknowledgement_of_another_time_rfc_5961_5_2() {
    let mut talk = Talk::new();
    talk.sends(100);
    talk.acknowledges(100, 1000);
    // Older than the largest window that the peer ever offered: blind injection.
    let ack = talk.segment.ack.wrapping_sub(10_000_000);
    let forged = Tcp { payload: b"forged".to_vec(), ack, ..talk.segment.clone() };
    let answer = talk.stranger.asks(&mut talk.wire, &forged);
    assert_eq!(talk.wire.try_recv(talk.host, talk.id), Err(Error::WouldBlock));
    assert_eq!((answer[0].flags, answer[0].ack), (ACK, 1000));
}

#[test]
fn an_acknowledgement_of_the_future_teaches_nothing_rfc_9293_3_10_7_4() {
    // Nothing was sent but the SYN-ACK.
    let mut talk = Talk::new();
    let ack = talk.segment.ack.wrapping_add(1_000_000);
    talk.stranger.says(&mut talk.wire, &Tcp { ack, ..talk.segment.clone() });
    talk.wire.settle();
    talk.stranger.says(&mut talk.wire, &Tcp { payload: b"word".to_vec(), ..talk.segment.clone() });
    talk.wire.settle();
    assert_eq!(talk.wire.try_recv(talk.host, talk.id), Ok(b"word".to_vec()));
    talk.sends(100);
}

#[test]
fn a_fin_that_comes_before_the_data_in_front_of_it_rfc_9293_3_10_7_4() {
    let mut talk = Talk::new();
    let piece =
        |seq: u32, flags: u8, data: &[u8]| Tcp { flags, seq, payload: data.to_vec(), ..Tcp::default() };
    let base = talk.segment.clone();
    let says = |talk: &mut Talk, segment: Tcp| {
        let segment = Tcp { ack: base.ack, window: base.window, ..segment };
        talk.stranger.says(&mut talk.wire, &segment);
        talk.wire.settle();
    };
    says(&mut talk, piece(1004, ACK | FIN, b"last"));
    assert!(!talk.wire[talk.host].readiness(talk.id).read_closed);
    says(&mut talk, piece(1000, ACK, b"one "));
    talk.wire.run(Duration::from_millis(100));
    let last = talk.wire.sent_by(talk.host).filter_map(|sent| Tcp::parse(&sent.bytes)).last();
    assert_eq!(last.expect("an acknowledgement").ack, 1009);
    assert_eq!(talk.wire.try_recv(talk.host, talk.id), Ok(b"one last".to_vec()));
    assert_eq!(talk.wire.try_recv(talk.host, talk.id), Ok(vec![]));
}

#[test]
fn an_acknowledgement_after_a_timeout_has_the_newest_number_rfc_9293_3_4() {
    // SND.NXT does not go back: what has an older number is not acceptable to a peer that got the rest, and two
    // who both send again never hear each other's acknowledgements.
    let mut talk = Talk::new();
    assert_eq!(talk.wire.send(talk.host, talk.id, &[7; 4000]), Ok(4000));
    let _ = talk.hears(Duration::from_millis(1500));
    let Talk { segment, .. } = &talk;
    let data = Tcp { payload: vec![7; 100], window: 1, ..segment.clone() };
    talk.stranger.says(&mut talk.wire, &data);
    let heard = talk.hears(Duration::from_millis(50));
    let sent =
        heard.iter().filter(|tcp| tcp.payload.is_empty()).map(|tcp| tcp.seq.wrapping_sub(talk.segment.ack));
    let sent: Vec<u32> = sent.collect();
    // As much as had left before the timeout.
    assert!(!sent.is_empty() && sent.iter().all(|ahead| *ahead >= 1072), "{sent:?}");
}

#[test]
fn a_closed_window_still_takes_acknowledgements_rfc_9293_3_10_7_4() {
    // "If the RCV.WND is zero, no segments will be acceptable, but special allowance should be made to accept valid
    // ACKs, URGs, and RSTs."
    let mut talk = Talk::new();
    talk.sends(500);
    let data = Tcp { payload: vec![7; 4096], ..talk.segment.clone() };
    talk.stranger.says(&mut talk.wire, &data);
    talk.wire.run(Duration::from_millis(50));
    // What the stranger says next has a byte more in front, its probe of the window.
    let ack = talk.segment.ack.wrapping_add(500);
    talk.stranger.says(&mut talk.wire, &Tcp { seq: 1000 + 4097, ack, ..talk.segment.clone() });
    talk.wire.settle();
    assert_eq!(talk.wire[talk.host].send_queue(talk.id), 0);
}
