//! What is too large for the overlay: segment sizes lowered in passing, datagrams cut.
#![allow(clippy::unwrap_used)] // a failed unwrap fails its test

mod common;

use common::*;
use packet::fragment::{Piece, Pieces};
use packet::{Reason, mss};

const FAMILIES: [(&str, &str, packet::IpVersion); 2] = [
    ("198.51.100.77", "203.0.113.10", packet::IpVersion::V4),
    ("2001:db8:c::77", "2001:db8:a::10", packet::IpVersion::V6),
];
/// What the test overlay carries.
const MTU: u16 = 1500 - 76;

/// A SYN that announces this segment size; behind an odd number of bytes, so that it straddles two words.
fn syn(node: usize, src: (&str, u16), dst: (&str, u16), size: u16) -> Vec<u8> {
    let [high, low] = size.to_be_bytes();
    let options = [1, 2, 4, high, low, 1, 1, 1];
    let mut frame = frame(node, src.0, src.1, dst.0, dst.1, 6, &options);
    let packet = packet::ip::parse(&frame[14..]).unwrap();
    let tcp = &mut frame[14 + packet.transport_at as usize..];
    tcp[12] = 0x70;
    tcp[16..18].fill(0);
    let pseudo = packet::checksum::pseudo_header(packet.src, packet.dst, 6, tcp.len() as u32);
    let sum = !packet::checksum::sum_onto(pseudo, tcp);
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// The segment size that a frame's TCP header announces; [`read`] has seen its checksum.
fn announced(frame: &[u8]) -> u16 {
    let at = 14 + read(frame).transport_at as usize + 23;
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

#[test]
fn segment_sizes_are_lowered_in_both_directions_and_never_raised() {
    for (client, vip, version) in FAMILIES {
        let fits = mss::of_mtu(version, MTU);
        for (size, wanted) in [(8960, fits), (fits + 1, fits), (fits, fits), (536, 536)] {
            let mut lab = Lab::new();
            let copies = lab.give(EDGE, OUTSIDE, &syn(EDGE, (client, 40000), (vip, 80), size));
            assert_eq!(copies.len(), 2);
            let left = lab.run(copies);
            assert_eq!(announced(&left[0].2), wanted);
            let at_origin = read(&left[0].2);
            let (origin, external) = (at_origin.dst.to_string(), at_origin.src.to_string());
            let reply = syn(GATEWAY, (&origin, at_origin.dst_port), (&external, at_origin.src_port), size);
            let copies = lab.give(GATEWAY, OUTSIDE, &reply);
            let left = lab.run(copies);
            assert_eq!((left[0].0, announced(&left[0].2)), (EDGE, wanted));
        }
    }
}

/// A datagram of so many bytes without "don't fragment", in frames as a host with this MTU sends it.
fn datagram(node: usize, src: (&str, u16), dst: (&str, u16), len: usize, mtu: u16) -> Vec<Vec<u8>> {
    let payload: Vec<u8> = (0..len).map(|at| (at % 251) as u8).collect();
    let mut whole = frame(node, src.0, src.1, dst.0, dst.1, 17, &payload);
    whole[14 + 4..14 + 8].copy_from_slice(&[0x12, 0x34, 0, 0]);
    whole[24..26].fill(0);
    let sum = !packet::checksum::sum(&whole[14..34]);
    whole[24..26].copy_from_slice(&sum.to_be_bytes());
    if whole.len() - 14 <= mtu as usize {
        return vec![whole];
    }
    let write = |piece: Piece| {
        let mut out = whole[..14].to_vec();
        out.resize(14 + piece.len(), 0);
        piece.write(&whole[14..], &mut out[14..]);
        out
    };
    Pieces::of(&whole[14..], mtu).unwrap().map(write).collect()
}

/// Puts frames together as a receiver does, and checks what comes out against what was sent.
fn assembled(frames: &[Vec<u8>], len: usize, mtu: usize) -> (packet::Addr, packet::Addr, u16, u16) {
    let mut pool = etherparse::defrag::IpDefragPool::<(), ()>::new();
    let mut found = None;
    for frame in frames {
        assert!(frame.len() - 14 <= mtu);
        assert_eq!(packet::checksum::sum(&frame[14..34]), 0xffff);
        let sliced = etherparse::SlicedPacket::from_ip(&frame[14..]).unwrap();
        found = pool.process_sliced_packet(&sliced, (), ()).unwrap().or(found);
    }
    let udp = found.map_or_else(|| frames[0][34..].to_vec(), |found| found.payload);
    let first = packet::ip::parse(&frames[0][14..]).unwrap();
    let pseudo = packet::checksum::pseudo_header(first.src, first.dst, 17, udp.len() as u32);
    assert_eq!(packet::checksum::sum_onto(pseudo, &udp), 0xffff);
    assert!(udp.len() == 8 + len && udp[8..].iter().enumerate().all(|(at, byte)| *byte == (at % 251) as u8));
    (first.src, first.dst, first.src_port, first.dst_port)
}

const CLIENT: (&str, u16) = ("198.51.100.77", 40000);
const VIP: (&str, u16) = ("203.0.113.10", 53);

/// Gives all frames to a node in turn and returns what leaves the overlay.
fn pass(lab: &mut Lab, node: usize, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let mut left = Vec::new();
    for frame in frames {
        let copies = lab.give(node, OUTSIDE, frame);
        assert!(copies.iter().all(|(_, _, copy)| copy.len() <= 14 + 1500));
        left.extend(lab.run(copies).into_iter().map(|(_, _, frame)| frame));
    }
    left
}

#[test]
fn datagrams_of_any_size_pass_in_both_directions() {
    for (len, mtu) in [(1390, 1500), (1400, 1500), (1472, 1500), (3000, 1500), (3000, 1424), (9000, 600)] {
        let mut lab = Lab::new();
        let left = pass(&mut lab, EDGE, &datagram(EDGE, CLIENT, VIP, len, mtu));
        let (external, origin, from, to) = assembled(&left, len, 1500);
        assert!(external.to_string().starts_with("10.9.0.10") && origin.to_string().starts_with("10.9.0."));
        let (origin, external) = (origin.to_string(), external.to_string());
        let reply = datagram(GATEWAY, (&origin, to), (&external, from), len, mtu);
        let left = pass(&mut lab, GATEWAY, &reply);
        let (src, dst, from, to) = assembled(&left, len, 1500);
        assert_eq!((src, dst, from, to), (addr(VIP.0), addr(CLIENT.0), VIP.1, CLIENT.1));
        assert_eq!(lab.pool.available(), lab.pool.capacity());
    }
}

#[test]
fn clients_behind_one_address_get_different_identifications() {
    let mut lab = Lab::new();
    let mut seen = std::collections::HashSet::new();
    for port in 0..20 {
        let left = pass(&mut lab, EDGE, &datagram(EDGE, (CLIENT.0, 1024 + port), VIP, 3000, 1500));
        let ids: std::collections::HashSet<_> = left.iter().map(|frame| frame[18..20].to_vec()).collect();
        assert_eq!(ids.len(), 1);
        assert!(seen.insert(left[0][18..20].to_vec()));
    }
}

#[test]
fn orphans_wait_for_a_while_and_their_reason_is_counted() {
    let mut lab = Lab::new();
    let frames = datagram(EDGE, CLIENT, VIP, 3000, 1424);
    assert_eq!(pass(&mut lab, EDGE, &frames[1..2]).len(), 0);
    assert_eq!(lab.nodes[GATEWAY].counters.roles.fragments_held.get(), 1);
    lab.now_ns += 3 * SECOND;
    lab.sweep();
    assert_eq!(lab.dropped(GATEWAY, Reason::FragmentOrphan), 1);
    lab.now_ns += 30 * SECOND;
    assert_eq!(pass(&mut lab, EDGE, &frames).len(), 3);
    let stray = datagram(GATEWAY, ("10.9.0.2", 8080), ("10.9.0.100", 5000), 3000, 1424);
    assert_eq!(pass(&mut lab, GATEWAY, &stray).len(), 0);
    assert_eq!(lab.dropped(GATEWAY, Reason::NatNoSession), 3);
    assert_eq!(lab.pool.available(), lab.pool.capacity());
}

#[test]
fn what_may_not_be_cut_is_answered() {
    let mut lab = Lab::new();
    let mut large = datagram(EDGE, CLIENT, VIP, 1472, 1500).remove(0);
    large[14 + 6] = 0x40;
    large[24..26].fill(0);
    let sum = !packet::checksum::sum(&large[14..34]);
    large[24..26].copy_from_slice(&sum.to_be_bytes());
    let left = lab.give(EDGE, OUTSIDE, &large);
    let error = read(&left[0].2);
    assert_eq!((error.protocol, error.detail), (1, 3));
    assert_eq!(lab.dropped(EDGE, Reason::TooBig), 1);
}
