//! Messages of ICMP by their kinds: the tables of RFC 4293 section 3.2.4, for IPv4 and IPv6 together.

/// Messages that went one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IcmpCounters {
    /// All of them, received ones with mistakes in them too (`InMsgs`, `OutMsgs`).
    pub messages: u64,
    /// Destination unreachable (`DestUnreachs`); over IPv4 that includes what was too long.
    pub unreachable: u64,
    /// Packet too big, IPv6 (`PktTooBigs`).
    pub too_big: u64,
    /// Time exceeded (`TimeExcds`).
    pub time_exceeded: u64,
    /// Parameter problem (`ParmProbs`).
    pub parameter_problems: u64,
    /// Redirect (`Redirects`).
    pub redirects: u64,
    /// Echo request (`Echos`).
    pub echos: u64,
    /// Echo reply (`EchoReps`).
    pub echo_replies: u64,
    /// Router solicitation (`RouterSolicits`).
    pub router_solicitations: u64,
    /// Router advertisement (`RouterAdvertisements`).
    pub router_advertisements: u64,
    /// Neighbour solicitation, IPv6 (`NeighborSolicits`).
    pub neighbour_solicitations: u64,
    /// Neighbour advertisement, IPv6 (`NeighborAdvertisements`).
    pub neighbour_advertisements: u64,
}

impl IcmpCounters {
    /// Counts a message of that type, besides [`messages`](Self::messages).
    pub(crate) const fn count_kind(&mut self, v6: bool, kind: u8) {
        // RFC 792, RFC 1256; RFC 4443, RFC 4861.
        let counter = match (v6, kind) {
            (false, 3) | (true, 1) => &mut self.unreachable,
            (true, 2) => &mut self.too_big,
            (false, 11) | (true, 3) => &mut self.time_exceeded,
            (false, 12) | (true, 4) => &mut self.parameter_problems,
            (false, 5) | (true, 137) => &mut self.redirects,
            (false, 8) | (true, 128) => &mut self.echos,
            (false, 0) | (true, 129) => &mut self.echo_replies,
            (false, 10) | (true, 133) => &mut self.router_solicitations,
            (false, 9) | (true, 134) => &mut self.router_advertisements,
            (true, 135) => &mut self.neighbour_solicitations,
            (true, 136) => &mut self.neighbour_advertisements,
            _ => return,
        };
        *counter += 1;
    }
}
