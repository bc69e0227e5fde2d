//! What is too large for the overlay: segment sizes lowered in passing.

mod common;

use common::*;
use packet::mss;

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
