//! What `show` prints, an object a line.

use std::os::fd::OwnedFd;

use anyhow::{Result, bail};
use netlink_packet_core::NLM_F_DUMP;
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::route::{RouteAttribute, RouteMessage};

use crate::ask;

/// Prints all of a kind.
pub(crate) fn show(fd: &OwnedFd, what: &str) -> Result<()> {
    let request = match what {
        "link" => Message::GetLink(LinkMessage::default()),
        "addr" => Message::GetAddress(AddressMessage::default()),
        "route" => Message::GetRoute(RouteMessage::default()),
        "neigh" => Message::GetNeighbour(NeighbourMessage::default()),
        _ => bail!("link, addr, route or neigh"),
    };
    for known in ask(fd, request, NLM_F_DUMP)? {
        match known {
            Message::NewLink(link) => print_link(&link),
            Message::NewAddress(address) => print_address(&address),
            // Those of the table local follow from the addresses.
            Message::NewRoute(route) if route.header.table == libc::RT_TABLE_MAIN => print_route(&route),
            Message::NewNeighbour(neighbour) => print_neighbour(&neighbour),
            _ => {}
        }
    }
    Ok(())
}

fn print_link(link: &LinkMessage) {
    let state = if link.header.flags.contains(LinkFlags::Up) { "UP" } else { "DOWN" };
    print!("{}: {state}", link.header.index);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => print!(" {name}"),
            LinkAttribute::Mtu(mtu) => print!(" mtu {mtu}"),
            _ => {}
        }
    }
    println!();
}

fn print_address(known: &AddressMessage) {
    for attribute in &known.attributes {
        if let AddressAttribute::Address(address) = attribute {
            println!("{}: {address}/{}", known.header.index, known.header.prefix_len);
        }
    }
}

fn print_route(route: &RouteMessage) {
    print!("{:?} /{}", route.header.kind, route.header.destination_prefix_length);
    for attribute in &route.attributes {
        match attribute {
            RouteAttribute::Destination(to) => print!(" to {to:?}"),
            RouteAttribute::Gateway(via) => print!(" via {via:?}"),
            RouteAttribute::Oif(index) => print!(" dev {index}"),
            _ => {}
        }
    }
    println!();
}

fn print_neighbour(known: &NeighbourMessage) {
    print!("{}: {:?}", known.header.ifindex, known.header.state);
    for attribute in &known.attributes {
        match attribute {
            NeighbourAttribute::Destination(at) => print!(" {at:?}"),
            NeighbourAttribute::LinkLayerAddress(octets) => print!(" {octets:02x?}"),
            _ => {}
        }
    }
    println!();
}
