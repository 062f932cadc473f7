//! What the network said of datagrams, kept for the application: `IP_RECVERR` of ip(7).

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::endpoint::{Arrival, EndpointId};
use super::{Endpoint, Engine, Role};
use crate::error::Error;
use crate::time::Instant;

/// Who reports an error, the `ee_origin` of ip(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reporter {
    /// `SO_EE_ORIGIN_LOCAL`: this stack.
    Local,
    /// `SO_EE_ORIGIN_ICMP`: somebody, by ICMP of IPv4.
    Icmp,
    /// `SO_EE_ORIGIN_ICMP6`: somebody, by ICMPv6.
    Icmp6,
}

/// What was said of one datagram, the `sock_extended_err` of ip(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorReport {
    /// The errno that it comes to.
    pub error: Error,
    /// Who reports it.
    pub reporter: Reporter,
    /// Type of the ICMP message; 0 for a local one.
    pub kind: u8,
    /// Its code.
    pub code: u8,
    /// The MTU of what was too long; else 0, or for IPv6 the second word of the message.
    pub info: u32,
    /// Who sent the message, with port 0; `None` for a local one.
    pub offender: Option<SocketAddr>,
    /// Where the datagram was to go.
    pub destination: SocketAddr,
    /// When it was said.
    pub at: Instant,
    /// How the ICMP message arrived, if one did.
    pub arrival: Option<Arrival>,
}

/// An error taken from the queue of an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedError {
    /// The error; addresses are in the family of the endpoint.
    pub report: ErrorReport,
    /// Bytes copied of what is quoted of the datagram.
    pub copied: usize,
    /// How much is quoted; more than `copied` when it was cut (`MSG_TRUNC`).
    pub len: usize,
}

/// The errors that wait. What it holds counts in the receive buffer of its endpoint.
#[derive(Debug, Default)]
pub(crate) struct ErrorQueue {
    reports: VecDeque<(ErrorReport, Vec<u8>)>,
    bytes: usize,
}

impl ErrorQueue {
    /// What a queued error costs besides its bytes.
    const OVERHEAD: usize = 256;

    /// Bytes that it takes of the receive buffer.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds an error if there is so much room.
    pub(crate) fn push(&mut self, report: ErrorReport, quoted: &[u8], room: usize) {
        let cost = quoted.len() + Self::OVERHEAD;
        if cost <= room {
            self.bytes += cost;
            self.reports.push_back((report, quoted.to_vec()));
        }
    }

    fn pop(&mut self) -> Option<(ErrorReport, Vec<u8>)> {
        let (report, quoted) = self.reports.pop_front()?;
        self.bytes -= quoted.len() + Self::OVERHEAD;
        Some((report, quoted))
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Engine {
    /// Takes the oldest error from the queue of an endpoint, as recvmsg(2) with `MSG_ERRQUEUE`, and copies what it quotes:
    /// the payload of the datagram as far as the report has it.
    ///
    /// # Errors
    /// [`Error::WouldBlock`] when there is none.
    pub fn recv_error(&mut self, id: EndpointId, buffer: &mut [u8]) -> Result<ReceivedError, Error> {
        let endpoint = self.endpoint_mut(id)?;
        let family = endpoint.family;
        let Endpoint { role: Role::Datagram(datagram), error, .. } = endpoint else {
            return Err(Error::WouldBlock);
        };
        let (mut report, quoted) = datagram.errors.pop().ok_or(Error::WouldBlock)?;
        // As Linux: the pending error follows what was said by others; it is the next one, or over.
        let next = datagram.errors.reports.front().filter(|(next, _)| next.reporter != Reporter::Local);
        match next {
            Some((next, _)) => *error = Some(next.error),
            None if report.reporter != Reporter::Local => *error = None,
            None => {}
        }
        let copied = buffer.len().min(quoted.len());
        buffer[..copied].copy_from_slice(&quoted[..copied]);
        report.destination = super::calls::present(family, report.destination);
        report.offender = report.offender.map(|offender| super::calls::present(family, offender));
        Ok(ReceivedError { report, copied, len: quoted.len() })
    }
}
