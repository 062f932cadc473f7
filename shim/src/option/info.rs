//! `TCP_INFO` of tcp(7): a connection as `struct tcp_info` of `include/uapi/linux/tcp.h` has it. What is not known is 0.

use super::Target;
use ioth_stack::snapshot::{State, Tcp};
use std::time::Duration;

/// Bytes of the structure as Linux 6.12 has it.
const LEN: usize = 248;

pub(super) fn of(target: &Target<'_>) -> Vec<u8> {
    let mut info = Info(vec![0; LEN]);
    let (state, tcp) = target.ask(|engine, id| engine.figures(id)).unwrap_or((State::Closed, None));
    info.0[0] = number_of(state);
    if let Some(tcp) = tcp {
        info.fill(&tcp);
    }
    info.0
}

struct Info(Vec<u8>);

impl Info {
    fn word(&mut self, at: usize, value: impl TryInto<u32>) {
        self.0[at..at + 4].copy_from_slice(&value.try_into().unwrap_or(u32::MAX).to_ne_bytes());
    }

    fn double(&mut self, at: usize, value: u64) {
        self.0[at..at + 8].copy_from_slice(&value.to_ne_bytes());
    }

    fn fill(&mut self, tcp: &Tcp) {
        let micros = |time: Duration| time.as_micros();
        let mss = tcp.segment_size.max(1);
        let segments = |bytes: u64| bytes.div_ceil(mss as u64);
        // Retransmits and backoff count timeouts in a row.
        let timeouts = u8::try_from(tcp.timeouts).unwrap_or(u8::MAX);
        (self.0[2], self.0[4]) = (timeouts, timeouts);
        self.0[5] = [
            (tcp.timestamps, TIMESTAMPS),
            (tcp.selective, SACK),
            (tcp.window_scales.is_some(), WINDOW_SCALES),
        ]
        .into_iter()
        .filter(|(on, _)| *on)
        .map(|(_, bit)| bit)
        .sum();
        let (theirs, ours) = tcp.window_scales.unwrap_or_default();
        // Two fields of four bits.
        self.0[6] = theirs & 0xf | ours << 4;
        self.word(SACKED, segments(tcp.sacked));
        self.word(LOST, segments(tcp.lost));
        self.word(RTO, micros(tcp.retransmission_timeout));
        self.word(SND_MSS, tcp.segment_size);
        self.word(RCV_MSS, tcp.segment_size);
        self.word(UNACKED, segments(tcp.sent.saturating_sub(tcp.acknowledged)));
        self.word(PMTU, tcp.path_mtu);
        // As Linux: one that was measured is never 0.
        self.word(RTT, tcp.round_trip.map_or(0, |time| micros(time).max(1)));
        self.word(RTTVAR, micros(tcp.round_trip_variation.unwrap_or_default()));
        // As Linux: TCP_INFINITE_SSTHRESH while no loss has set it.
        self.word(SND_SSTHRESH, tcp.slow_start_threshold.map_or(NO_THRESHOLD, segments));
        self.word(SND_CWND, segments(tcp.congestion_window as u64));
        self.word(ADVMSS, tcp.segment_size);
        self.word(RCV_SPACE, tcp.receive_space);
        self.word(TOTAL_RETRANS, tcp.retransmissions);
        self.double(MAX_PACING_RATE, u64::MAX);
        self.double(BYTES_ACKED, tcp.acknowledged);
        self.double(BYTES_RECEIVED, tcp.received.into());
        self.word(SEGS_OUT, tcp.segments_out.0);
        self.word(SEGS_IN, tcp.segments_in.0);
        self.word(DATA_SEGS_IN, tcp.segments_in.1);
        self.word(DATA_SEGS_OUT, tcp.segments_out.1);
        self.word(NOTSENT_BYTES, tcp.unsent);
        self.word(MIN_RTT, tcp.shortest_round_trip.map_or(0, |time| micros(time).max(1)));
        self.word(DELIVERED, segments(tcp.acknowledged));
        self.double(BYTES_SENT, tcp.sent + tcp.retransmitted);
        self.double(BYTES_RETRANS, tcp.retransmitted);
        self.word(SND_WND, tcp.send_window);
        self.word(RCV_WND, tcp.receive_space);
    }
}

/// `enum` of `include/net/tcp_states.h`.
const fn number_of(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynReceived => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => 10,
        State::Closing => 11,
    }
}

/// `TCP_INFINITE_SSTHRESH`.
const NO_THRESHOLD: u64 = 0x7fff_ffff;

/// `TCPI_OPT_TIMESTAMPS`, `TCPI_OPT_SACK`, `TCPI_OPT_WSCALE`.
const TIMESTAMPS: u8 = 1;
const SACK: u8 = 2;
const WINDOW_SCALES: u8 = 4;

/// Where the fields stand.
const RTO: usize = 8;
const SND_MSS: usize = 16;
const RCV_MSS: usize = 20;
const UNACKED: usize = 24;
const SACKED: usize = 28;
const LOST: usize = 32;
const PMTU: usize = 60;
const RTT: usize = 68;
const RTTVAR: usize = 72;
const SND_SSTHRESH: usize = 76;
const SND_CWND: usize = 80;
const ADVMSS: usize = 84;
const RCV_SPACE: usize = 96;
const TOTAL_RETRANS: usize = 100;
const MAX_PACING_RATE: usize = 112;
const BYTES_ACKED: usize = 120;
const BYTES_RECEIVED: usize = 128;
const SEGS_OUT: usize = 136;
const SEGS_IN: usize = 140;
const NOTSENT_BYTES: usize = 144;
const MIN_RTT: usize = 148;
const DATA_SEGS_IN: usize = 152;
const DATA_SEGS_OUT: usize = 156;
const DELIVERED: usize = 192;
const BYTES_SENT: usize = 200;
const BYTES_RETRANS: usize = 208;
const SND_WND: usize = 228;
const RCV_WND: usize = 232;
