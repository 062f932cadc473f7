//! Bounds and the order of eviction; what datagrams become of is tested in `tests/sim/fragments.rs`.

use super::*;
use crate::net::ethernet;

/// A fragment of 1000 bytes from a source, of the datagram with that number.
fn first_of(number: u32, source: u32) -> (Packet, Vec<u8>) {
    let mut frame = vec![0; ethernet::HEADER_LEN + ip::V4_HEADER_LEN + 1000];
    let header = &mut frame[ethernet::HEADER_LEN..];
    ip::emit(header, std::net::Ipv4Addr::from(source).into(), [10, 0, 0, 2].into(), checksum::UDP, 64);
    header[4..6].copy_from_slice(&(number as u16).to_be_bytes());
    header[6..8].copy_from_slice(&[0x20, 0]);
    header[10..12].fill(0);
    let sum = checksum::of(&header[..ip::V4_HEADER_LEN]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    (Packet::parse(&frame).unwrap(), frame)
}

fn insert(table: &mut Reassembly, number: u32, source: u32) {
    let (packet, frame) = first_of(number, source);
    let (part, interface) = (packet.part.unwrap(), InterfaceId(1));
    let fragment = Fragment { packet: &packet, part, frame: &frame, interface, to_one: true };
    assert!(matches!(table.insert(Instant::ZERO, &fragment), Outcome::Kept));
    assert!(table.cost <= COST && table.datagrams.len() <= DATAGRAMS);
    assert!(table.shares.values().all(|share| {
        share.cost <= SOURCE_COST && share.serials.len() <= SOURCE_DATAGRAMS && !share.serials.is_empty()
    }));
    assert_eq!(table.cost, table.datagrams.values().map(|datagram| datagram.cost).sum::<usize>());
    assert_eq!(table.serials.len(), table.datagrams.len());
}

fn has(table: &Reassembly, number: u32, source: u32) -> bool {
    table.serials.contains_key(&Key {
        source: std::net::Ipv4Addr::from(source).into(),
        destination: [10, 0, 0, 2].into(),
        protocol: checksum::UDP,
        identification: number,
        scope: 0,
    })
}

#[test]
fn one_source_evicts_its_own_only() {
    let mut table = Reassembly::new(LIFETIME_V4);
    for source in 0..100 {
        insert(&mut table, 7, source);
    }
    for number in 0..10_000 {
        insert(&mut table, number, 0xffff);
    }
    assert!((0..100).all(|source| has(&table, 7, source)));
    assert!(has(&table, 9_999, 0xffff) && !has(&table, 9_999 - SOURCE_DATAGRAMS as u32, 0xffff));
    assert_eq!(table.take_evicted(), 10_000 - SOURCE_DATAGRAMS as u64);
    assert_eq!(table.take_evicted(), 0);
}

#[test]
fn in_a_full_table_one_source_takes_one_place_of_another() {
    let mut table = Reassembly::new(LIFETIME_V4);
    for source in 0..DATAGRAMS as u32 {
        insert(&mut table, 7, source);
    }
    for number in 0..10_000 {
        insert(&mut table, number, 0xffff);
    }
    let left = (0..DATAGRAMS as u32).filter(|source| has(&table, 7, *source)).count();
    assert_eq!((left, has(&table, 7, 0)), (DATAGRAMS - 1, false));
}

#[test]
fn many_sources_evict_the_oldest() {
    let mut table = Reassembly::new(LIFETIME_V4);
    for source in 0..10_000 {
        insert(&mut table, 7, source);
    }
    assert!((0..10_000).all(|source| has(&table, 7, source) == (source >= 10_000 - DATAGRAMS as u32)));
}

#[test]
fn nothing_is_left_of_what_expired() {
    let mut table = Reassembly::new(LIFETIME_V4);
    for source in 0..10 {
        insert(&mut table, 7, source);
    }
    let end = Instant::ZERO + LIFETIME_V4;
    assert_eq!(table.poll_timeout(), Some(end));
    assert!(table.expire(Instant::from_millis(29_999)).is_none());
    assert_eq!(std::iter::from_fn(|| table.expire(end)).count(), 10);
    assert_eq!((table.cost, table.shares.len(), table.serials.len()), (0, 0, 0));
    assert_eq!(table.poll_timeout(), None);
}
