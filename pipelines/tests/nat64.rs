//! IPv6 clients of an IPv4 origin: every kind of packet, error and size, both ways.
#![allow(clippy::unwrap_used)] // a failed unwrap fails its test

mod common;

use common::*;
use packet::fragment::{Piece, Pieces};
use packet::ip::{Fragment, Packet, parse};
use packet::{Addr, Reason, checksum, mss};

const CLIENT: &str = "2001:db8:c::77";
const VIP: &str = "2001:db8:a::10";
const MTU: u16 = 1500 - 76;

fn lab() -> Lab {
    let mut topology = topology();
    topology.applications[0].origins.retain(|origin| origin.address.is_ipv4());
    topology.applications[0].origins.truncate(1);
    Lab::with(&topology, 1)
}

/// Passes a client's packet, and returns what reaches the origin with its addresses and ports.
fn to_origin(lab: &mut Lab, frame: &[u8]) -> (Packet, Vec<u8>) {
    let sent = lab.give(EDGE, OUTSIDE, frame);
    let left = lab.run(sent);
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].0, &left[0].2[12..14]), (GATEWAY, &[8u8, 0][..]));
    (read(&left[0].2), left[0].2.clone())
}

fn to_client(lab: &mut Lab, frame: &[u8]) -> Vec<Vec<u8>> {
    let sent = lab.give(GATEWAY, OUTSIDE, frame);
    let left = lab.run(sent);
    assert!(left.iter().all(|(node, _, frame)| *node == EDGE && frame[12..14] == [0x86, 0xdd]));
    left.into_iter().map(|(_, _, frame)| frame).collect()
}

fn mend(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let sum = !checksum::sum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn requests_and_replies_of_every_protocol_change_version_and_nothing_else() {
    for (protocol, port) in [(6u8, 80u16), (17, 53), (58, 128)] {
        let mut lab = lab();
        let mut request = frame(EDGE, CLIENT, 4000, VIP, port, protocol, b"hello");
        // DS field 0x2e, ECN 1.
        request[14] |= 0xb;
        request[15] = 0x90;
        let (at_origin, bytes) = to_origin(&mut lab, &request);
        assert_eq!((bytes[15], at_origin.ttl, at_origin.fragment), (0xb9, 62, Fragment::No));
        assert!(bytes.ends_with(b"hello") && at_origin.dst == addr("10.9.0.2"));
        assert!(at_origin.src.to_string().starts_with("10.9.0.10"));
        let (origin, external) = (at_origin.dst.to_string(), at_origin.src.to_string());
        let mut reply = match protocol {
            58 => {
                assert_eq!((at_origin.protocol, at_origin.detail), (1, 8));
                frame(GATEWAY, &origin, at_origin.src_port, &external, 0, 1, b"hello")
            }
            _ => {
                assert_eq!((at_origin.protocol, at_origin.dst_port), (protocol, 8080));
                frame(GATEWAY, &origin, 8080, &external, at_origin.src_port, protocol, b"world")
            }
        };
        reply[15] = 0x42;
        mend(&mut reply);
        let left = to_client(&mut lab, &reply);
        let back = read(&left[0]);
        assert_eq!((back.src, back.dst, back.ttl, back.protocol), (addr(VIP), addr(CLIENT), 62, protocol));
        let ports = if protocol == 58 { (4000, 4000) } else { (port, 4000) };
        assert_eq!((back.src_port, back.dst_port), ports);
        assert_eq!((left[0][14], left[0][15]), (0x64, 0x20));
        if protocol == 58 {
            assert_eq!(back.detail, 129);
        }
        assert_eq!(lab.pool.available(), lab.pool.capacity());
    }
}

#[test]
fn a_datagram_without_a_checksum_gets_one() {
    let mut lab = lab();
    let (at_origin, _) = to_origin(&mut lab, &frame(EDGE, CLIENT, 4000, VIP, 53, 17, b"hello"));
    let (origin, external) = (at_origin.dst.to_string(), at_origin.src.to_string());
    let mut reply = frame(GATEWAY, &origin, 8080, &external, at_origin.src_port, 17, b"world!!");
    reply[40..42].fill(0);
    let left = to_client(&mut lab, &reply);
    assert_eq!(read(&left[0]).dst, addr(CLIENT));
    assert_ne!(left[0][14 + 46..14 + 48], [0, 0]);
}

/// An ICMP or ICMPv6 error in a frame, about a packet.
fn error(node: usize, src: &str, dst: &str, kind: u8, code: u8, rest: u32, quoted: &[u8]) -> Vec<u8> {
    let protocol = if addr(src).is_v4() { 1 } else { 58 };
    let mut bytes = frame(node, src, (rest >> 16) as u16, dst, kind.into(), protocol, quoted);
    let at = 14 + parse(&bytes[14..]).unwrap().transport_at as usize;
    bytes[at + 1] = code;
    bytes[at + 4..at + 8].copy_from_slice(&rest.to_be_bytes());
    bytes[at + 2..at + 4].fill(0);
    let pseudo = match protocol {
        1 => 0,
        _ => checksum::pseudo_header(addr(src), addr(dst), 58, (bytes.len() - at) as u32),
    };
    let sum = !checksum::sum_onto(pseudo, &bytes[at..]);
    bytes[at + 2..at + 4].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// The type, code, rest and quoted packet of the error in a frame.
fn told(frame: &[u8]) -> (u8, u8, u32, Vec<u8>) {
    let at = 14 + read(frame).transport_at as usize;
    let rest = u32::from_be_bytes(frame[at + 4..at + 8].try_into().unwrap());
    (frame[at], frame[at + 1], rest, frame[at + 8..].to_vec())
}

#[test]
fn errors_about_requests_tell_the_client_of_its_own_packet() {
    for (protocol, port) in [(6u8, 80u16), (17, 53), (58, 128)] {
        let mut lab = lab();
        let request = frame(EDGE, CLIENT, 4000, VIP, port, protocol, &[7; 64]);
        let (at_origin, bytes) = to_origin(&mut lab, &request);
        let external = at_origin.src.to_string();
        for (told_v4, wanted) in [
            ((3, 1, 0), (1, 0, 0)),
            ((3, 3, 0), (1, 4, 0)),
            ((3, 13, 0), (1, 1, 0)),
            ((3, 2, 0), (4, 1, 6)),
            ((3, 4, 1400), (2, 0, 1420)),
            ((3, 4, 0), (2, 0, 1280)),
            ((3, 4, 576), (2, 0, 1280)),
            ((11, 0, 0), (3, 0, 0)),
            ((12, 0, 9 << 24), (4, 0, 6)),
        ] {
            let (kind, code, rest) = told_v4;
            let error = error(GATEWAY, "10.9.0.77", &external, kind, code, rest, &bytes[14..]);
            let left = to_client(&mut lab, &error);
            assert_eq!((read(&left[0]).src, read(&left[0]).dst), (addr(VIP), addr(CLIENT)));
            let (kind, code, rest, quoted) = told(&left[0]);
            assert_eq!((kind, code, rest), wanted);
            // It is the client's own packet, two hops older.
            let mut own = request[14..].to_vec();
            own[7] -= 2;
            assert_eq!(quoted, own, "protocol {protocol}");
        }
        // The last tells of an MTU that no path has.
        for (kind, code, rest) in [(3, 14, 0), (12, 1, 0), (12, 0, 5 << 24), (3, 4, 575)] {
            let error = error(GATEWAY, "10.9.0.77", &external, kind, code, rest, &bytes[14..]);
            assert!(to_client(&mut lab, &error).is_empty());
        }
        assert_eq!(lab.dropped(GATEWAY, Reason::NatIcmp), 3);
        assert_eq!(lab.dropped(GATEWAY, Reason::NatMtuFloor), 1);
        assert_eq!(lab.pool.available(), lab.pool.capacity());
    }
}

#[test]
fn a_client_s_errors_about_replies_tell_the_origin() {
    for (protocol, port) in [(6u8, 80u16), (17, 53), (58, 128)] {
        let mut lab = lab();
        let (at_origin, _) = to_origin(&mut lab, &frame(EDGE, CLIENT, 4000, VIP, port, protocol, b"hello"));
        let (origin, external) = (at_origin.dst.to_string(), at_origin.src.to_string());
        let reply = match protocol {
            58 => frame(GATEWAY, &origin, at_origin.src_port, &external, 0, 1, &[9; 50]),
            _ => frame(GATEWAY, &origin, 8080, &external, at_origin.src_port, protocol, &[9; 50]),
        };
        let back = to_client(&mut lab, &reply);
        for (told_v6, wanted) in [
            ((1, 4, 0), (3, 3, 0)),
            ((1, 1, 0), (3, 10, 0)),
            ((1, 0, 0), (3, 1, 0)),
            ((2, 0, 1400), (3, 4, 1380)),
            ((2, 0, 1280), (3, 4, 1260)),
            ((3, 0, 0), (11, 0, 0)),
            ((4, 1, 6), (3, 2, 0)),
            ((4, 0, 7), (12, 0, 8 << 24)),
        ] {
            let (kind, code, rest) = told_v6;
            let error = error(EDGE, CLIENT, VIP, kind, code, rest, &back[0][14..]);
            let (at_origin, bytes) = to_origin(&mut lab, &error);
            assert_eq!((at_origin.src, at_origin.dst), (addr(&external), addr(&origin)));
            let (kind, code, rest, quoted) = told(&bytes);
            assert_eq!((kind, code, rest), wanted);
            // It is the origin's own packet, but for what became of its TTL and its checksum.
            let own = parse(&reply[14..]).unwrap();
            let quoted_head = parse(&quoted).unwrap();
            assert_eq!((quoted_head.src, quoted_head.dst, quoted_head.len), (own.src, own.dst, own.len));
            assert_eq!(quoted[20..], reply[34..], "protocol {protocol}");
        }
        for (kind, code, rest) in [(4, 2, 0), (4, 0, 40), (1, 9, 0), (2, 0, 1279)] {
            let error = error(EDGE, CLIENT, VIP, kind, code, rest, &back[0][14..]);
            let sent = lab.give(EDGE, OUTSIDE, &error);
            assert!(lab.run(sent).is_empty());
        }
        assert_eq!(lab.pool.available(), lab.pool.capacity());
    }
}

/// What another library makes of fragments.
fn assembled(frames: &[Vec<u8>]) -> (Addr, Addr, Vec<u8>) {
    let mut pool = etherparse::defrag::IpDefragPool::<(), ()>::new();
    let mut found = None;
    for frame in frames {
        let sliced = etherparse::SlicedPacket::from_ip(&frame[14..]).unwrap();
        found = pool.process_sliced_packet(&sliced, (), ()).unwrap().or(found);
    }
    let first = parse(&frames[0][14..]).unwrap();
    let udp = found.unwrap().payload;
    let pseudo = checksum::pseudo_header(first.src, first.dst, 17, udp.len() as u32);
    assert_eq!(checksum::sum_onto(pseudo, &udp), 0xffff);
    (first.src, first.dst, udp[8..].to_vec())
}

#[test]
fn large_datagrams_pass_in_fragments_both_ways() {
    for with_checksum in [true, false] {
        let mut lab = lab();
        let content: Vec<u8> = (0..4000u32).map(|at| at as u8).collect();
        // From the client as its host cuts it, the last part first.
        let whole = frame(EDGE, CLIENT, 4000, VIP, 53, 17, &content);
        let mut left = Vec::new();
        let chunks: Vec<_> = whole[54..].chunks(1200).collect();
        for (at, chunk) in chunks.iter().enumerate().rev() {
            let mut piece = whole[..54].to_vec();
            piece[18..20].copy_from_slice(&(8 + chunk.len() as u16).to_be_bytes());
            piece[20] = 44;
            piece.extend([17, 0]);
            piece.extend(((at * 1200) as u16 | (at + 1 < chunks.len()) as u16).to_be_bytes());
            piece.extend([0, 9, 0, 9]);
            piece.extend(*chunk);
            let sent = lab.give(EDGE, OUTSIDE, &piece);
            left.extend(lab.run(sent).into_iter().map(|(_, _, frame)| frame));
        }
        let first =
            left.iter().position(|frame| parse(&frame[14..]).unwrap().fragment == Fragment::First).unwrap();
        left.swap(0, first);
        let (external, origin, arrived) = assembled(&left);
        assert_eq!(arrived, content);
        let port = parse(&left[0][14..]).unwrap().src_port;
        // Back as an origin's host cuts it, or as one that has a larger MTU than IPv6 is sure of does not.
        for (len, mtu) in [(4000usize, 1500u16), (1340, 1500), (1200, 1500)] {
            let mut whole =
                frame(GATEWAY, &origin.to_string(), 8080, &external.to_string(), port, 17, &content[..len]);
            whole[18..22].copy_from_slice(&[0x12, 0x34, 0, 0]);
            mend(&mut whole);
            if !with_checksum && len < 1500 {
                whole[40..42].fill(0);
            }
            let pieces: Vec<Vec<u8>> = match len > 1400 {
                true => {
                    let write = |piece: Piece| {
                        let mut out = whole[..14].to_vec();
                        out.resize(14 + piece.len(), 0);
                        piece.write(&whole[14..], &mut out[14..]);
                        out
                    };
                    Pieces::of(&whole[14..], mtu).unwrap().map(write).collect()
                }
                false => vec![whole.clone()],
            };
            let mut back = Vec::new();
            for piece in &pieces {
                back.extend(to_client(&mut lab, piece));
            }
            assert!(back.iter().all(|frame| frame.len() <= 14 + 1280), "IPv6 carries 1280 bytes everywhere");
            if len == 1200 {
                assert_eq!(read(&back[0]).len, 1248);
                continue;
            }
            let (src, dst, arrived) = assembled(&back);
            assert_eq!((src, dst), (addr(VIP), addr(CLIENT)));
            assert_eq!(arrived, content[..len]);
        }
        assert_eq!(lab.pool.available(), lab.pool.capacity());
    }
}

#[test]
fn who_sends_too_much_is_told_what_fits() {
    let mut lab = lab();
    let (at_origin, _) = to_origin(&mut lab, &frame(EDGE, CLIENT, 4000, VIP, 53, 17, b"hello"));
    let (origin, external) = (at_origin.dst.to_string(), at_origin.src.to_string());
    let fits = MTU as usize - 20 - 28;
    let reply = |len: usize| frame(GATEWAY, &origin, 8080, &external, at_origin.src_port, 17, &vec![7; len]);
    assert_eq!(to_client(&mut lab, &reply(fits)).len(), 1);
    let left = lab.give(GATEWAY, OUTSIDE, &reply(fits + 1));
    let (kind, code, rest, _) = told(&left[0].2);
    assert_eq!((kind, code, rest), (3, 4, MTU as u32 - 20));
}

#[test]
fn segments_fit_the_longer_header() {
    let mut lab = lab();
    let with_size = |mut frame: Vec<u8>| {
        let packet = parse(&frame[14..]).unwrap();
        let at = 14 + packet.transport_at as usize;
        frame[at + 12] = 0x60;
        frame[at + 16..at + 18].fill(0);
        let pseudo = checksum::pseudo_header(packet.src, packet.dst, 6, (frame.len() - at) as u32);
        let sum = !checksum::sum_onto(pseudo, &frame[at..]);
        frame[at + 16..at + 18].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    let announced = |frame: &[u8]| {
        let at = 14 + read(frame).transport_at as usize + 22;
        u16::from_be_bytes([frame[at], frame[at + 1]])
    };
    let option = [2, 4, 0x23, 0];
    let fits = mss::of_mtu(packet::IpVersion::V6, MTU);
    let (at_origin, bytes) = to_origin(&mut lab, &with_size(frame(EDGE, CLIENT, 4000, VIP, 80, 6, &option)));
    assert_eq!(announced(&bytes), fits);
    let (origin, external) = (at_origin.dst.to_string(), at_origin.src.to_string());
    let reply = with_size(frame(GATEWAY, &origin, 8080, &external, at_origin.src_port, 6, &option));
    assert_eq!(announced(&to_client(&mut lab, &reply)[0]), fits);
}

#[test]
fn what_can_not_be_translated_is_dropped_and_counted() {
    let mut lab = lab();
    let (at_origin, _) = to_origin(&mut lab, &frame(EDGE, CLIENT, 4000, VIP, 128, 58, b"hello"));
    let (origin, external) = (at_origin.dst.to_string(), at_origin.src.to_string());
    let mut reply = frame(GATEWAY, &origin, at_origin.src_port, &external, 0, 1, &[7; 64]);
    reply[20] = 0x20;
    mend(&mut reply);
    assert!(to_client(&mut lab, &reply).is_empty());
    assert_eq!(lab.dropped(GATEWAY, Reason::Fragment), 1);
    // A routing header that is not used up.
    let mut request = frame(EDGE, CLIENT, 4001, VIP, 53, 17, b"hello");
    request[20] = 43;
    request.splice(54..54, [17, 0, 0, 1, 0, 0, 0, 0]);
    let payload = (request.len() - 54) as u16;
    request[18..20].copy_from_slice(&payload.to_be_bytes());
    let sent = lab.give(EDGE, OUTSIDE, &request);
    assert!(lab.run(sent).is_empty());
    assert_eq!(lab.dropped(GATEWAY, Reason::IpExtension), 1);
    assert_eq!(lab.pool.available(), lab.pool.capacity());
}
