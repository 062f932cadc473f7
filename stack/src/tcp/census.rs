//! Which connections opened, and how they ended: the counters of RFC 4022, counted when Linux counts them.

use super::connection::{Connection, Phase};
use crate::engine::Counters;
use crate::engine::snapshot::State;

/// How far a connection has come, as far as that was counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its handshake is under way; `passive`: the peer began it.
    Attempt { passive: bool },
    /// It is ESTABLISHED or CLOSE-WAIT.
    Open,
    /// It is being closed in order, or over.
    Past,
}

impl Stage {
    pub(super) const fn of(phase: Phase) -> Self {
        Self::Attempt { passive: matches!(phase, Phase::Embryonic) }
    }
}

/// Counts what has become of a connection since this was called last.
pub(super) fn take_stock(connection: &mut Connection, counters: &mut Counters) {
    if connection.stage == Stage::Past {
        return;
    }
    let state = connection.shown_state();
    if let Stage::Attempt { passive } = connection.stage {
        match state {
            State::SynSent | State::SynReceived => return,
            State::Closed => {
                counters.tcp_attempt_fails += 1;
                connection.stage = Stage::Past;
                return;
            }
            _ => counters.tcp_passive_opens += u64::from(passive),
        }
    }
    connection.stage = match state {
        State::Established | State::CloseWait => Stage::Open,
        State::Closed => {
            counters.tcp_established_resets += 1;
            Stage::Past
        }
        _ => Stage::Past,
    };
}
