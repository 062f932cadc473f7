//! All options that socket(7), ip(7), ipv6(7), tcp(7), udp(7), raw(7), packet(7) and netlink(7) name, and what each does on
//! a socket of a stack.

use crate::sys::constants::*;
use std::fmt::Write as _;

/// An option and what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Row {
    /// The level, as a number and as it is written.
    pub level: (i32, &'static str),
    /// The option, as a number and as it is written.
    pub option: (i32, &'static str),
    /// What it does.
    pub support: Support,
    /// What there is to say about it.
    pub note: &'static str,
}

/// What an option does on a socket of a stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// What it does on Linux.
    Effect,
    /// It is taken as on Linux and shows what was set; nothing else follows.
    Stored,
    /// It can only be read, as on Linux.
    Shown,
    /// It is refused.
    Refused,
}

impl Support {
    const fn word(self) -> &'static str {
        match self {
            Self::Effect => "effect",
            Self::Stored => "stored",
            Self::Shown => "to be read",
            Self::Refused => "refused",
        }
    }
}

/// The table as a page, for `docs/options.md`.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(
        "# Socket options\n\n\
         Made from the list in `shim/src/option/table.rs`; a test compares, and tries every row. *effect*: as on Linux.\n\
         *stored*: taken as on Linux, shows what was set, nothing else follows. *to be read*: cannot be set.\n",
    );
    let mut level = "";
    for row in TABLE {
        if row.level.1 != level {
            level = row.level.1;
            let _ = write!(page, "\n## `{level}`\n\n| option | | |\n|---|---|---|\n");
        }
        let _ = writeln!(page, "| `{}` | {} | {} |", row.option.1, row.support.word(), row.note);
    }
    page
}

macro_rules! rows {
    ($($level:ident { $($support:ident { $($name:ident $note:literal)* })* })*) => {
        &[$($($(Row {
            level: ($level, stringify!($level)),
            option: ($name, stringify!($name)),
            support: Support::$support,
            note: $note,
        },)*)*)*]
    };
}

/// The options, by level, and within by what they do.
pub const TABLE: &[Row] = rows! {
    SOL_SOCKET {
        Effect {
            SO_ATTACH_FILTER "of raw and packet sockets; read as `SO_GET_FILTER`, in bytes"
            SO_BINDTODEVICE "what is sent leaves by the interface, and nothing else is heard"
            SO_BINDTOIFINDEX "the same by number"
            SO_BROADCAST ""
            SO_DETACH_FILTER "of raw and packet sockets"
            SO_DONTROUTE "over no router: `ENETUNREACH`"
            SO_KEEPALIVE ""
            SO_LINGER "close of this crate waits; a plain close(2) does not"
            SO_LOCK_FILTER ""
            SO_NO_CHECK "of UDP over IPv4"
            SO_OOBINLINE ""
            SO_RCVBUF "within bounds of ours, not the sysctl's"
            SO_RCVBUFFORCE "as `SO_RCVBUF`; needs no privilege"
            SO_RCVLOWAT "receiving and poll(2) wait for so many bytes of a stream"
            SO_RCVTIMEO ""
            SO_REUSEADDR ""
            SO_REUSEPORT ""
            SO_RXQ_OVFL "on datagrams"
            SO_SNDBUF "within bounds of ours, not the sysctl's"
            SO_SNDBUFFORCE "as `SO_SNDBUF`; needs no privilege"
            SO_SNDTIMEO ""
            SO_TIMESTAMP "on datagrams"
            SO_TIMESTAMPING "received datagrams, by software; other stamps are stored"
            SO_TIMESTAMPNS "on datagrams"
        }
        Stored {
            SO_BSDCOMPAT "shows 0, as on Linux"
            SO_BUSY_POLL "`busy_poll=` of the configuration has the effect"
            SO_DEBUG "needs no privilege"
            SO_INCOMING_CPU ""
            SO_MARK "needs no privilege"
            SO_MAX_PACING_RATE ""
            SO_NOFCS ""
            SO_PREFER_BUSY_POLL ""
            SO_PRIORITY "needs no privilege"
            SO_SELECT_ERR_QUEUE ""
            SO_WIFI_STATUS ""
        }
        Shown {
            SO_ACCEPTCONN ""
            SO_COOKIE ""
            SO_DOMAIN ""
            SO_ERROR "takes the error"
            SO_INCOMING_NAPI_ID "0"
            SO_PEERCRED "nobody, as on Linux"
            SO_PROTOCOL ""
            SO_SNDLOWAT "1"
            SO_TYPE ""
        }
        Refused {
            SO_ATTACH_BPF "`ENOPROTOOPT`"
            SO_ATTACH_REUSEPORT_CBPF "`ENOPROTOOPT`"
            SO_ATTACH_REUSEPORT_EBPF "`ENOPROTOOPT`"
            SO_PASSCRED "`EOPNOTSUPP`, as on Linux"
            SO_PASSSEC "`EOPNOTSUPP`, as on Linux"
            SO_PEEK_OFF "`EOPNOTSUPP`"
            SO_PEERSEC "`ENOPROTOOPT`, as on Linux"
            SO_ZEROCOPY "`EOPNOTSUPP`; `MSG_ZEROCOPY` copies, as on Linux without this option"
        }
    }
    IPPROTO_IP {
        Effect {
            IP_ADD_MEMBERSHIP "on datagrams"
            IP_ADD_SOURCE_MEMBERSHIP "on datagrams"
            IP_BIND_ADDRESS_NO_PORT ""
            IP_BLOCK_SOURCE "on datagrams"
            IP_DROP_MEMBERSHIP "on datagrams"
            IP_DROP_SOURCE_MEMBERSHIP "on datagrams"
            IP_FREEBIND "bind(2) to an address that is not there"
            IP_HDRINCL "of raw sockets"
            IP_LOCAL_PORT_RANGE "within the range of the stack, as on Linux"
            IP_MINTTL "on connections (RFC 5082)"
            IP_MSFILTER "sources in their order"
            IP_MTU_DISCOVER "on datagrams"
            IP_MULTICAST_ALL ""
            IP_MULTICAST_IF "on datagrams"
            IP_MULTICAST_LOOP ""
            IP_MULTICAST_TTL "on datagrams"
            IP_PKTINFO "on datagrams"
            IP_RECVERR "on datagrams"
            IP_RECVORIGDSTADDR "on datagrams"
            IP_RECVTOS "on datagrams"
            IP_RECVTTL "on datagrams"
            IP_TOS "TCP keeps the bits of ECN to itself"
            IP_TRANSPARENT "as `IP_FREEBIND`; needs no privilege"
            IP_TTL ""
            IP_UNBLOCK_SOURCE "on datagrams"
            IP_UNICAST_IF "on datagrams"
            MCAST_BLOCK_SOURCE "on datagrams; those of IPv6 at its level"
            MCAST_JOIN_GROUP ""
            MCAST_JOIN_SOURCE_GROUP "on datagrams"
            MCAST_LEAVE_GROUP ""
            MCAST_LEAVE_SOURCE_GROUP "on datagrams"
            MCAST_MSFILTER "sources in their order"
            MCAST_UNBLOCK_SOURCE "on datagrams"
        }
        Stored {
            IP_CHECKSUM ""
            IP_NODEFRAG "of raw sockets"
            IP_PASSSEC ""
            IP_RECVERR_RFC4884 ""
            IP_RECVFRAGSIZE "on datagrams"
            IP_RECVOPTS ""
            IP_RETOPTS ""
        }
        Shown {
            IP_MTU "of what is connected"
            IP_PROTOCOL "of raw sockets; of others the port, as on Linux"
            IP_ROUTER_ALERT "0; to set it is `EINVAL`"
        }
        Refused {
            IP_OPTIONS "`EINVAL`: headers leave without any; none can be set, which shows, and taken away"
        }
    }
    IPPROTO_IPV6 {
        Effect {
            IPV6_ADD_MEMBERSHIP "on datagrams"
            IPV6_CHECKSUM "of raw sockets"
            IPV6_DONTFRAG "on datagrams"
            IPV6_DROP_MEMBERSHIP "on datagrams"
            IPV6_FREEBIND "bind(2) to an address that is not there"
            IPV6_HDRINCL "of raw sockets"
            IPV6_MINHOPCOUNT "on connections (RFC 5082)"
            IPV6_MTU "on datagrams; shows the path's"
            IPV6_MTU_DISCOVER "on datagrams"
            IPV6_MULTICAST_ALL ""
            IPV6_MULTICAST_HOPS "on datagrams"
            IPV6_MULTICAST_IF "on datagrams"
            IPV6_MULTICAST_LOOP ""
            IPV6_RECVERR "on datagrams"
            IPV6_RECVHOPLIMIT "on datagrams"
            IPV6_RECVORIGDSTADDR "on datagrams"
            IPV6_RECVPKTINFO "on datagrams"
            IPV6_RECVTCLASS "on datagrams"
            IPV6_TCLASS "TCP keeps the bits of ECN to itself"
            IPV6_TRANSPARENT "as `IPV6_FREEBIND`; needs no privilege"
            IPV6_UNICAST_HOPS ""
            IPV6_UNICAST_IF "on datagrams"
            IPV6_V6ONLY ""
        }
        Stored {
            IPV6_2292DSTOPTS ""
            IPV6_2292HOPLIMIT ""
            IPV6_2292HOPOPTS ""
            IPV6_2292PKTINFO ""
            IPV6_2292RTHDR ""
            IPV6_ADDR_PREFERENCES "flags of which one each shows; sources are chosen without them"
            IPV6_AUTOFLOWLABEL ""
            IPV6_FLOWINFO ""
            IPV6_FLOWINFO_SEND ""
            IPV6_RECVDSTOPTS ""
            IPV6_RECVERR_RFC4884 ""
            IPV6_RECVFRAGSIZE ""
            IPV6_RECVHOPOPTS ""
            IPV6_RECVPATHMTU "`IPV6_RECVERR` says it"
            IPV6_RECVRTHDR ""
        }
        Shown {
            IPV6_PATHMTU "of what is connected"
            IPV6_ROUTER_ALERT "0: of raw sockets, to set it is `ENOPROTOOPT`"
        }
        Refused {
            IPV6_ADDRFORM "`EINVAL`, `ENOTCONN`, `EADDRNOTAVAIL`: a socket stays of its family"
            IPV6_DSTOPTS "`ENOPROTOOPT`"
            IPV6_HOPOPTS "`ENOPROTOOPT`"
            IPV6_JOIN_ANYCAST "`ENOPROTOOPT`"
            IPV6_LEAVE_ANYCAST "`ENOPROTOOPT`"
            IPV6_RTHDR "`ENOPROTOOPT`"
        }
    }
    IPPROTO_TCP {
        Effect {
            TCP_CONGESTION "\"cubic\" or \"reno\"; `ENOENT` for others"
            TCP_CORK ""
            TCP_DEFER_ACCEPT ""
            TCP_KEEPCNT ""
            TCP_KEEPIDLE ""
            TCP_KEEPINTVL ""
            TCP_LINGER2 ""
            TCP_MAXSEG "of connections that are made later, as on Linux; shows what holds"
            TCP_NODELAY ""
            TCP_QUICKACK ""
            TCP_SYNCNT ""
            TCP_USER_TIMEOUT ""
            TCP_WINDOW_CLAMP ""
        }
        Stored {
            TCP_FASTOPEN_CONNECT ""
            TCP_FASTOPEN_NO_COOKIE ""
            TCP_INQ ""
            TCP_NOTSENT_LOWAT ""
            TCP_SAVE_SYN ""
            TCP_THIN_DUPACK "shows 0, as on Linux"
            TCP_THIN_LINEAR_TIMEOUTS ""
        }
        Shown {
            TCP_FASTOPEN "0"
            TCP_INFO "what is not known is 0"
            TCP_TIMESTAMP ""
        }
        Refused {
            TCP_CC_INFO "`ENOPROTOOPT`"
            TCP_FASTOPEN_KEY "`ENOPROTOOPT`"
            TCP_MD5SIG "`ENOPROTOOPT`"
            TCP_QUEUE_SEQ "`ENOPROTOOPT`"
            TCP_REPAIR "`ENOPROTOOPT`"
            TCP_SAVED_SYN "`ENOPROTOOPT`"
            TCP_ULP "`ENOENT`: none is known"
            TCP_ZEROCOPY_RECEIVE "`ENOPROTOOPT`"
        }
    }
    IPPROTO_UDP {
        Effect {
            UDP_CORK ""
            UDP_GRO "what arrives in one frame"
            UDP_NO_CHECK6_RX ""
            UDP_NO_CHECK6_TX ""
            UDP_SEGMENT ""
        }
        Stored {
        }
        Shown {
            UDP_ENCAP "0: nothing is encapsulated"
        }
    }
    SOL_RAW {
        Effect {
            ICMP_FILTER "of raw sockets of ICMP"
            IPV6_CHECKSUM "of raw sockets of IPv6"
            IPV6_HDRINCL "of raw sockets of IPv6"
        }
    }
    IPPROTO_ICMPV6 {
        Effect {
            ICMP6_FILTER "of raw sockets of ICMPv6"
        }
    }
    SOL_PACKET {
        Effect {
            PACKET_ADD_MEMBERSHIP ""
            PACKET_AUXDATA ""
            PACKET_DROP_MEMBERSHIP ""
            PACKET_IGNORE_OUTGOING ""
        }
        Stored {
            PACKET_LOSS "there are no rings"
            PACKET_ORIGDEV "every interface is its own"
            PACKET_QDISC_BYPASS "there is no queueing discipline"
            PACKET_TIMESTAMP "there are no rings"
        }
        Shown {
            PACKET_STATISTICS "takes the counts"
        }
        Refused {
            PACKET_COPY_THRESH "`ENOPROTOOPT`"
            PACKET_FANOUT "`ENOPROTOOPT`"
            PACKET_HDRLEN "`ENOPROTOOPT`"
            PACKET_RESERVE "`ENOPROTOOPT`"
            PACKET_RX_RING "`ENOPROTOOPT`: no memory is shared"
            PACKET_TX_RING "`ENOPROTOOPT`: no memory is shared"
            PACKET_VERSION "`ENOPROTOOPT`: of rings"
            PACKET_VNET_HDR "`ENOPROTOOPT`"
        }
    }
    SOL_NETLINK {
        Effect {
            NETLINK_ADD_MEMBERSHIP ""
            NETLINK_CAP_ACK ""
            NETLINK_DROP_MEMBERSHIP ""
            NETLINK_EXT_ACK ""
            NETLINK_GET_STRICT_CHK ""
            NETLINK_NO_ENOBUFS ""
        }
        Shown {
            NETLINK_LIST_MEMBERSHIPS ""
        }
        Refused {
            NETLINK_BROADCAST_ERROR "`ENOPROTOOPT`"
            NETLINK_LISTEN_ALL_NSID "`ENOPROTOOPT`"
            NETLINK_PKTINFO "`ENOPROTOOPT`"
            NETLINK_RX_RING "`ENOPROTOOPT`, as on Linux"
            NETLINK_TX_RING "`ENOPROTOOPT`, as on Linux"
        }
    }
};
