//! What a connection shows of itself; nothing here changes it.

use super::Connection;
use crate::engine::snapshot;
use crate::tcp::adapter::State;

impl Connection {
    /// Its state as RFC 9293 section 3.3.2 counts it, which is that of the application: a close is in FIN-WAIT-1 or
    /// LAST-ACK while data in front of the FIN waits (section 3.10.4); smoltcp hears of it when the FIN leaves.
    pub(crate) fn shown_state(&self) -> snapshot::State {
        match self.tcb.state() {
            _ if self.dead => snapshot::State::Closed,
            // smoltcp goes back to LISTEN when a half-open connection is reset.
            State::Closed | State::Listen => snapshot::State::Closed,
            State::SynSent => snapshot::State::SynSent,
            State::SynReceived => snapshot::State::SynReceived,
            State::Established if self.write_shutdown => snapshot::State::FinWait1,
            State::Established => snapshot::State::Established,
            State::FinWait1 => snapshot::State::FinWait1,
            State::FinWait2 => snapshot::State::FinWait2,
            State::CloseWait if self.write_shutdown => snapshot::State::LastAck,
            State::CloseWait => snapshot::State::CloseWait,
            State::Closing => snapshot::State::Closing,
            State::LastAck => snapshot::State::LastAck,
            State::TimeWait => snapshot::State::TimeWait,
        }
    }

    /// Largest IP packet in bytes that fits its path, as far as that is known.
    pub(crate) const fn path_mtu(&self) -> u16 {
        self.tcb.path().mtu
    }

    /// What it knows about its path.
    pub(crate) fn shown_figures(&self) -> snapshot::Tcp {
        let recovery = self.sender.recovery();
        let offer = self.guard.offer();
        let (round_trip, round_trip_variation) = recovery.smoothed().unzip();
        let [acknowledged, sent, written] = self.sender.progress();
        let (retransmissions, retransmitted) = self.sender.again();
        snapshot::Tcp {
            congestion_control: recovery.control(),
            congestion_window: self.sender.congestion_window(),
            segment_size: self.segment_size(),
            path_mtu: self.path_mtu(),
            round_trip,
            round_trip_variation,
            shortest_round_trip: recovery.round_trip(),
            retransmission_timeout: recovery.timeout(),
            timestamps: self.stamps.are_on(),
            under_way: usize::try_from(recovery.flying()).unwrap_or(usize::MAX),
            acknowledged,
            sent,
            unsent: written - sent.min(written),
            retransmissions,
            retransmitted,
            timeouts: recovery.timeouts(),
            received: self.receiver.count(),
            send_window: self.sender.window(),
            receive_space: self.receiver.capacity(),
            slow_start_threshold: recovery.threshold(),
            lost: recovery.lost(),
            sacked: recovery.sacked(),
            selective: offer.is_some_and(|offer| offer.selective),
            window_scales: offer.and_then(|offer| offer.shift).map(|theirs| (theirs, self.guard.shift())),
            segments_in: (self.traffic.received.segments, self.traffic.received.with_data),
            segments_out: (self.traffic.sent.segments, self.traffic.sent.with_data),
            orphan: self.orphan,
        }
    }
}
