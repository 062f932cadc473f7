//! A command of ip(8) as a message.

use std::net::IpAddr;
use std::os::fd::OwnedFd;

use anyhow::{Context, Result, bail};
use netlink_packet_core::{NLM_F_CREATE, NLM_F_EXCL};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::RouteNetlinkMessage as Message;
use netlink_packet_route::address::{AddressAttribute, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use netlink_packet_route::neighbour::{NeighbourAttribute, NeighbourMessage, NeighbourState};
use netlink_packet_route::route::{RouteAttribute, RouteMessage, RouteType};

use crate::ask;
use crate::show::show;

/// Does what a command says.
pub(crate) fn run(fd: &OwnedFd, command: &str) -> Result<()> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let adds = words.get(1) == Some(&"add");
    let message = match words[..] {
        [what, "show"] => return show(fd, what),
        ["link", verb, name, ..] => link(fd, &words, verb, name)?,
        ["addr", _, at, ..] => address(fd, &words, adds, at)?,
        ["route", _, to, ..] => route(fd, &words, adds, to)?,
        ["neigh", _, at, ..] => neighbour(fd, &words, adds, at)?,
        _ => bail!("link, addr, route or neigh; then show, add, del or set"),
    };
    ask(fd, message, if adds { NLM_F_CREATE | NLM_F_EXCL } else { 0 }).map(drop)
}

/// The word behind another.
fn after<'a>(words: &[&'a str], word: &str) -> Option<&'a str> {
    words.iter().position(|known| *known == word).and_then(|at| words.get(at + 1)).copied()
}

fn network(text: &str) -> Result<(IpAddr, u8)> {
    let (address, len) = text.split_once('/').map_or((text, None), |(address, len)| (address, Some(len)));
    let address: IpAddr = address.parse()?;
    let host = if address.is_ipv4() { 32 } else { 128 };
    Ok((address, len.map_or(Ok(host), str::parse)?))
}

fn family(address: IpAddr) -> AddressFamily {
    if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

fn index(fd: &OwnedFd, name: &str) -> Result<u32> {
    let mut link = LinkMessage::default();
    link.attributes.push(LinkAttribute::IfName(name.to_owned()));
    match ask(fd, Message::GetLink(link), 0)?.first() {
        Some(Message::NewLink(link)) => Ok(link.header.index),
        _ => bail!("{name} is no link"),
    }
}

fn device(fd: &OwnedFd, words: &[&str]) -> Result<u32> {
    index(fd, after(words, "dev").context("dev is missing")?)
}

fn link(fd: &OwnedFd, words: &[&str], verb: &str, name: &str) -> Result<Message> {
    let mut link = LinkMessage::default();
    link.header.index = index(fd, name)?;
    if verb == "del" {
        return Ok(Message::DelLink(link));
    }
    if let Some(state) = words.iter().find(|word| matches!(**word, "up" | "down")) {
        link.header.change_mask = LinkFlags::Up;
        link.header.flags = if *state == "up" { LinkFlags::Up } else { LinkFlags::empty() };
    }
    if let Some(mtu) = after(words, "mtu") {
        link.attributes.push(LinkAttribute::Mtu(mtu.parse()?));
    }
    Ok(Message::SetLink(link))
}

fn address(fd: &OwnedFd, words: &[&str], adds: bool, at: &str) -> Result<Message> {
    let (address, len) = network(at)?;
    let mut known = AddressMessage::default();
    known.header.family = family(address);
    known.header.prefix_len = len;
    known.header.index = device(fd, words)?;
    known.attributes = vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
    Ok(if adds { Message::NewAddress(known) } else { Message::DelAddress(known) })
}

fn route(fd: &OwnedFd, words: &[&str], adds: bool, to: &str) -> Result<Message> {
    let via: Option<IpAddr> = after(words, "via").map(str::parse).transpose()?;
    let mut route = RouteMessage::default();
    route.header.kind = if adds { RouteType::Unicast } else { RouteType::Unspec };
    if to == "default" {
        route.header.address_family = family(via.context("via is missing")?);
    } else {
        let (address, len) = network(to)?;
        route.header.address_family = family(address);
        route.header.destination_prefix_length = len;
        route.attributes.push(RouteAttribute::Destination(address.into()));
    }
    route.attributes.extend(via.map(|via| RouteAttribute::Gateway(via.into())));
    if words.contains(&"dev") {
        route.attributes.push(RouteAttribute::Oif(device(fd, words)?));
    }
    Ok(if adds { Message::NewRoute(route) } else { Message::DelRoute(route) })
}

fn neighbour(fd: &OwnedFd, words: &[&str], adds: bool, at: &str) -> Result<Message> {
    let (address, _) = network(at)?;
    let mut known = NeighbourMessage::default();
    known.header.family = family(address);
    known.header.state = NeighbourState::Permanent;
    known.header.ifindex = device(fd, words)?;
    known.attributes.push(NeighbourAttribute::Destination(address.into()));
    if let Some(mac) = after(words, "lladdr") {
        let octets = mac.split(':').map(|octet| u8::from_str_radix(octet, 16)).collect::<Result<_, _>>()?;
        known.attributes.push(NeighbourAttribute::LinkLayerAddress(octets));
    }
    Ok(if adds { Message::NewNeighbour(known) } else { Message::DelNeighbour(known) })
}
