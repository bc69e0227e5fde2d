//! IPv6 clients that are translated by prefix: every kind of packet, error and size, both ways, and nothing remembered.
#![allow(clippy::unwrap_used)] // a failed unwrap fails its test

mod common;

use common::*;
use nat::PrefixPair;
use overlay::topology::{PrefixRule, Service, Topology};
use packet::ip::{Fragment, parse};
use packet::{Addr, Reason, checksum};

const CLIENT: &str = "2001:db8:c::77";
const VIP: &str = "2001:db8:a::10";
const ORIGIN: &str = "2001:db8:9::2";
const ROUTER: &str = "2001:db8:9::99";
const INSIDE: &str = "2001:db8:c::/48";
const OUTSIDE_PREFIX: &str = "2001:db8:f0::/48";
/// What one copy of an IPv6 packet has room for.
const MTU: u16 = 1500 - 76;

fn topology() -> Topology {
    let mut topology = common::topology();
    let web = &mut topology.applications[0];
    web.services = vec![
        Service::Tcp(80..=80),
        Service::Udp(53..=53),
        Service::Icmp,
        Service::UdpLite(53..=53),
        Service::Sctp(9000..=9001),
        Service::Protocol(47),
    ];
    let (inside, outside) = (INSIDE.parse().unwrap(), OUTSIDE_PREFIX.parse().unwrap());
    web.translation.prefixes = vec![PrefixRule { inside, outside, vip: ip(VIP) }];
    topology
}

fn pair() -> PrefixPair {
    PrefixPair::new(addr("2001:db8:c::"), addr("2001:db8:f0::"), 48).unwrap()
}

fn external() -> Addr {
    pair().outward(addr(CLIENT)).unwrap()
}

fn lab() -> Lab {
    Lab::with(&topology(), 1)
}

/// A packet of a protocol that [`frame`] does not make, with right ports and, of UDP-Lite, a right checksum.
fn other(node: usize, src: (&str, u16), dst: (&str, u16), protocol: u8) -> Vec<u8> {
    let mut out = frame(node, src.0, src.1, dst.0, dst.1, 17, b"some payload");
    out[20] = protocol;
    match protocol {
        136 => out[58..60].fill(0),
        132 => out[58..66].copy_from_slice(&[1, 2, 3, 4, 5, 6, 7, 8]),
        _ => out[54..62].copy_from_slice(&[0, 0, 8, 0, 1, 2, 3, 4]),
    }
    if protocol == 136 {
        let pseudo = checksum::pseudo_header(addr(src.0), addr(dst.0), 136, (out.len() - 54) as u32);
        let (head, transport) = out.split_at_mut(54);
        assert!(!head.is_empty());
        transport[6..8].fill(0);
        let sum = !checksum::sum_onto(pseudo, transport);
        transport[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    out
}

fn make(node: usize, src: (&str, u16), dst: (&str, u16), protocol: u8, is_reply: bool) -> Vec<u8> {
    match protocol {
        6 | 17 => frame(node, src.0, src.1, dst.0, dst.1, protocol, b"some payload"),
        58 if is_reply => frame(node, src.0, dst.1, dst.0, 129, 58, b"some payload"),
        58 => frame(node, src.0, src.1, dst.0, 128, 58, b"some payload"),
        _ => other(node, src, dst, protocol),
    }
}

/// Passes frames from one side; returns what leaves at the other.
fn pass(lab: &mut Lab, node: usize, frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let far = if node == EDGE { GATEWAY } else { EDGE };
    let mut left = Vec::new();
    for frame in frames {
        let sent = lab.give(node, OUTSIDE, frame);
        left.extend(lab.run(sent));
    }
    assert!(
        left.iter().all(|sent| sent.0 == far),
        "{:?}",
        left.iter().map(|sent| sent.0).collect::<Vec<_>>()
    );
    left.into_iter().map(|sent| sent.2).collect()
}

/// The packet in a frame as its sender had it, two hops before.
fn two_hops_before(frame: &[u8]) -> Vec<u8> {
    let mut packet = frame[14..].to_vec();
    packet[7] += 2;
    packet
}

const PROTOCOLS: [(u8, u16, u16); 6] =
    [(6, 80, 8080), (17, 53, 8080), (58, 0, 0), (136, 53, 8080), (132, 9001, 9001), (47, 0, 0)];

#[test]
fn requests_and_replies_of_every_protocol_are_exactly_reversed() {
    for (protocol, port, origin_port) in PROTOCOLS {
        let mut lab = lab();
        let request = make(EDGE, (CLIENT, 4000), (VIP, port), protocol, false);
        let left = pass(&mut lab, EDGE, std::slice::from_ref(&request));
        assert_eq!(left.len(), 1, "protocol {protocol}");
        let external = external().to_string();
        let wanted = make(GATEWAY, (&external, 4000), (ORIGIN, origin_port), protocol, false);
        assert_eq!(two_hops_before(&left[0]), wanted[14..], "protocol {protocol}");
        let reply = make(GATEWAY, (ORIGIN, origin_port), (&external, 4000), protocol, true);
        let left = pass(&mut lab, GATEWAY, &[reply]);
        let wanted = make(EDGE, (VIP, port), (CLIENT, 4000), protocol, true);
        assert_eq!(two_hops_before(&left[0]), wanted[14..], "protocol {protocol}");
        let roles = &lab.nodes[GATEWAY].counters.roles;
        assert_eq!(
            (roles.sessions_made.get(), roles.prefix_forward.get(), roles.prefix_reverse.get()),
            (0, 1, 1)
        );
        assert_eq!(lab.pool.available(), lab.pool.capacity());
    }
}

#[test]
fn nothing_is_remembered_so_any_worker_of_a_fresh_gateway_translates_back() {
    let topology = topology();
    let mut lab = Lab::with(&topology, 1);
    for worker in 0..3 {
        lab.nodes[GATEWAY] = Node_::new(&topology, GATEWAY, worker, 3);
        for (protocol, _, origin_port) in PROTOCOLS {
            let reply = make(GATEWAY, (ORIGIN, origin_port), (&external().to_string(), 4000), protocol, true);
            let copies = lab.give(GATEWAY, OUTSIDE, &reply);
            assert_eq!(copies.len(), 2, "worker {worker}, protocol {protocol}");
            assert!(lab.nodes[GATEWAY].out.handoffs.is_empty());
        }
    }
}

/// Fragments of a datagram, of 64 bytes of payload each but the last.
fn fragments(whole: &[u8]) -> Vec<Vec<u8>> {
    let chunks: Vec<_> = whole[54..].chunks(64).collect();
    let cut = |(at, chunk): (usize, &&[u8])| {
        let mut out = whole[..54].to_vec();
        out[18..20].copy_from_slice(&(8 + chunk.len() as u16).to_be_bytes());
        let next = core::mem::replace(&mut out[20], 44);
        out.extend([next, 0]);
        out.extend(((at * 64) as u16 | (at + 1 < chunks.len()) as u16).to_be_bytes());
        out.extend(77u32.to_be_bytes());
        out.extend(*chunk);
        out
    };
    chunks.iter().enumerate().map(cut).collect()
}

#[test]
fn each_fragment_passes_by_itself() {
    let long = vec![9; 150];
    let external = external().to_string();
    let outbound = frame(EDGE, CLIENT, 4000, VIP, 53, 17, &long);
    let at_origin = frame(GATEWAY, &external, 4000, ORIGIN, 8080, 17, &long);
    let inbound = frame(GATEWAY, ORIGIN, 8080, &external, 4000, 17, &long);
    let at_client = frame(EDGE, VIP, 53, CLIENT, 4000, 17, &long);
    for (node, sent, wanted) in [(EDGE, outbound, at_origin), (GATEWAY, inbound, at_client)] {
        let (sent, wanted) = (fragments(&sent), fragments(&wanted));
        for order in [[0, 1, 2], [2, 1, 0], [1, 2, 0]] {
            let mut lab = lab();
            for at in order {
                let left = pass(&mut lab, node, &sent[at..=at]);
                assert_eq!(two_hops_before(&left[0]), wanted[at][14..]);
            }
            assert_eq!(lab.nodes[GATEWAY].counters.roles.fragments_held.get(), 0);
        }
    }
}

/// An ICMPv6 error in a frame, about a packet.
fn error(node: usize, src: &str, dst: &str, (kind, code): (u8, u8), rest: u32, quoted: &[u8]) -> Vec<u8> {
    let mut bytes = frame(node, src, 0, dst, kind.into(), 58, quoted);
    bytes[55] = code;
    bytes[58..62].copy_from_slice(&rest.to_be_bytes());
    mend(&mut bytes);
    bytes
}

/// Gives an ICMPv6 message its checksum.
fn mend(frame: &mut [u8]) {
    frame[56..58].fill(0);
    let packet = parse(&frame[14..]).unwrap();
    let pseudo = checksum::pseudo_header(packet.src, packet.dst, 58, (frame.len() - 54) as u32);
    let sum = !checksum::sum_onto(pseudo, &frame[54..]);
    frame[56..58].copy_from_slice(&sum.to_be_bytes());
}

const KINDS: [((u8, u8), u32); 4] = [((1, 4), 0), ((2, 0), 1400), ((3, 0), 0), ((4, 1), 6)];

#[test]
fn errors_of_the_origins_side_quote_the_client_s_own_packet() {
    for (protocol, port, _) in PROTOCOLS {
        for (kind, rest) in KINDS {
            let mut lab = lab();
            let request = make(EDGE, (CLIENT, 4000), (VIP, port), protocol, false);
            let left = pass(&mut lab, EDGE, std::slice::from_ref(&request));
            let about = error(GATEWAY, ROUTER, &external().to_string(), kind, rest, &left[0][14..]);
            let left = pass(&mut lab, GATEWAY, &[about]);
            assert_eq!(left.len(), 1, "protocol {protocol}, {kind:?}");
            let told = read(&left[0]);
            assert_eq!((told.src, told.dst), (addr(VIP), addr(CLIENT)));
            assert_eq!((left[0][54], left[0][55]), kind);
            assert_eq!(left[0][58..62], rest.to_be_bytes());
            assert_eq!(two_hops_before(&left[0][48..]), request[14..], "protocol {protocol}, {kind:?}");
        }
    }
}

#[test]
fn a_client_s_errors_quote_the_origin_s_own_packet() {
    for (protocol, _, origin_port) in PROTOCOLS {
        for (kind, rest) in KINDS {
            let mut lab = lab();
            let external = external().to_string();
            let reply = make(GATEWAY, (ORIGIN, origin_port), (&external, 4000), protocol, true);
            let left = pass(&mut lab, GATEWAY, std::slice::from_ref(&reply));
            // From the client or from a router before it, whose address is not shown.
            for sender in [CLIENT, "2001:db8:dd::1"] {
                let about = error(EDGE, sender, VIP, kind, rest, &left[0][14..]);
                let left = pass(&mut lab, EDGE, &[about]);
                assert_eq!(left.len(), 1, "protocol {protocol}, {kind:?}");
                let told = read(&left[0]);
                assert_eq!((told.src, told.dst), (pair().outward(addr(CLIENT)).unwrap(), addr(ORIGIN)));
                assert_eq!(two_hops_before(&left[0][48..]), reply[14..], "protocol {protocol}, {kind:?}");
            }
        }
    }
}

#[test]
fn errors_about_nothing_that_was_sent_are_dropped() {
    let external = external().to_string();
    let quote =
        |src: &str, sport, dst: &str, dport| frame(GATEWAY, src, sport, dst, dport, 6, b"").split_off(14);
    let unreachable = |dst: &str, quoted: &[u8]| error(GATEWAY, ROUTER, dst, (1, 4), 0, quoted);
    let cases = [
        // About a packet to another server, from another port, to an application that is not there.
        (unreachable(&external, &quote(&external, 4000, "2001:db8:9::3", 8080)), Reason::NatWrongPeer),
        (unreachable(&external, &quote(&external, 4000, ORIGIN, 8081)), Reason::NatWrongPeer),
        // About another client's packet.
        (unreachable(&external, &quote("2001:db8:f0:5::1", 4000, ORIGIN, 8080)), Reason::NatQuote),
        // An MTU that no path has.
        (
            error(GATEWAY, ROUTER, &external, (2, 0), 1279, &quote(&external, 4000, ORIGIN, 8080)),
            Reason::NatMtuFloor,
        ),
        // Cut before the ports.
        (unreachable(&external, &quote(&external, 4000, ORIGIN, 8080)[..44]), Reason::NatQuote),
        // About an echo reply, which clients do not send.
        (unreachable(&external, &frame(GATEWAY, &external, 1, ORIGIN, 129, 58, b"")[14..]), Reason::NatIcmp),
    ];
    for (frame, reason) in cases {
        let mut lab = lab();
        assert!(pass(&mut lab, GATEWAY, &[frame]).is_empty());
        assert_eq!(lab.dropped(GATEWAY, reason), 1, "{}", reason.name());
    }
    let to = |quoted: &[u8]| error(EDGE, CLIENT, VIP, (1, 4), 0, quoted);
    let cases = [
        (to(&quote(VIP, 81, CLIENT, 4000)), Reason::UnknownService),
        (to(&quote("2001:db8:a::11", 80, CLIENT, 4000)), Reason::NatQuote),
        (to(&frame(GATEWAY, VIP, 1, CLIENT, 128, 58, b"")[14..]), Reason::NatIcmp),
    ];
    for (frame, reason) in cases {
        let mut lab = lab();
        assert!(pass(&mut lab, EDGE, &[frame]).is_empty());
        assert_eq!(lab.dropped(GATEWAY, reason), 1, "{}", reason.name());
    }
}

#[test]
fn who_is_not_the_client_s_origin_does_not_reach_it() {
    let external = external().to_string();
    let cases = [
        (frame(GATEWAY, ROUTER, 8080, &external, 4000, 17, b"x"), Reason::NatWrongPeer),
        (frame(GATEWAY, ORIGIN, 8081, &external, 4000, 17, b"x"), Reason::NatWrongPeer),
        (other(GATEWAY, (ORIGIN, 9009), (&external, 4000), 132), Reason::UnknownService),
        (other(GATEWAY, (ORIGIN, 0), (&external, 0), 50), Reason::UnknownService),
        (frame(GATEWAY, ORIGIN, 7, &external, 128, 58, b"x"), Reason::NatIcmp),
        // Of all ones a subnet's number can not be told from zero.
        (frame(GATEWAY, ORIGIN, 8080, "2001:db8:f0:ffff::1", 4000, 17, b"x"), Reason::NatPrefix),
        (frame(GATEWAY, ORIGIN, 8080, "2001:db8:f1::1", 4000, 17, b"x"), Reason::NoDestination),
    ];
    for (frame, reason) in cases {
        let mut lab = lab();
        assert!(pass(&mut lab, GATEWAY, &[frame]).is_empty());
        assert_eq!(lab.dropped(GATEWAY, reason), 1, "{}", reason.name());
    }
}

#[test]
fn who_claims_what_is_nobody_s_gets_nothing() {
    let ends = |src: &str| frame(EDGE, src, 4000, VIP, 53, 17, &[0; 60]);
    for (src, reason) in [
        // An address that others are translated to, and one that can not be translated.
        (external().to_string().as_str(), Reason::IpAddress),
        ("2001:db8:c:ffff::1", Reason::NatPrefix),
    ] {
        let mut lab = lab();
        assert!(pass(&mut lab, EDGE, &[ends(src)]).is_empty());
        assert_eq!(lab.dropped(GATEWAY, reason), 1, "{src}");
    }
    // There is no hairpin: an edge takes nothing to an address outside.
    let mut lab = lab();
    let hairpin = frame(EDGE, CLIENT, 4000, &external().to_string(), 80, 6, b"x");
    assert!(pass(&mut lab, EDGE, &[hairpin]).is_empty());
    assert_eq!(lab.dropped(EDGE, Reason::NoDestination), 1);
}

#[test]
fn other_clients_have_sessions_or_nothing() {
    let request = frame(EDGE, "2001:db8:d::5", 4000, VIP, 53, 17, &[0; 60]);
    let mut lab = lab();
    let left = pass(&mut lab, EDGE, std::slice::from_ref(&request));
    let at_origin = read(&left[0]);
    assert!(at_origin.src.to_string().starts_with("2001:db8:9::10"), "{at_origin:?}");
    assert_eq!(lab.nodes[GATEWAY].counters.roles.prefix_forward.get(), 0);
    // Without an IPv6 pool they are refused; who has a rule is not.
    let mut topology = topology();
    topology.nodes[GATEWAY].nat_pool.retain(|range| range.start().is_ipv4());
    let mut lab = Lab::with(&topology, 1);
    assert!(pass(&mut lab, EDGE, &[request]).is_empty());
    assert_eq!(lab.dropped(GATEWAY, Reason::NatNoPool), 1);
    assert_eq!(lab.nodes[GATEWAY].counters.roles.answers.get(), 1);
    let ours = frame(EDGE, CLIENT, 4000, VIP, 53, 17, b"x");
    assert_eq!(pass(&mut lab, EDGE, &[ours]).len(), 1);
}

#[test]
fn the_gateway_is_a_hop_that_tells_when_ttl_or_size_runs_out() {
    let external = external().to_string();
    let told = |lab: &mut Lab, node: usize, frame: &[u8]| {
        // Slowly: each source has its share of answers.
        lab.now_ns += SECOND;
        let sent = lab.give(node, OUTSIDE, frame);
        let left = lab.run(sent);
        assert_eq!(left[0].0, node);
        let error = read(&left[0].2);
        let rest = u32::from_be_bytes(left[0].2[58..62].try_into().unwrap());
        (error.src, error.dst, left[0].2[54], rest)
    };
    let mut lab = lab();
    let mut request = frame(EDGE, CLIENT, 4000, VIP, 53, 17, &[0; 60]);
    request[21] = 2;
    assert_eq!(told(&mut lab, EDGE, &request), (addr(VIP), addr(CLIENT), 3, 0));
    let mut reply = frame(GATEWAY, ORIGIN, 8080, &external, 4000, 17, &[0; 60]);
    reply[21] = 1;
    assert_eq!(told(&mut lab, GATEWAY, &reply), (addr("2001:db8:9::1"), addr(ORIGIN), 3, 0));
    let large = frame(GATEWAY, ORIGIN, 8080, &external, 4000, 17, &[0; 1450]);
    let wanted = (addr("2001:db8:9::1"), addr(ORIGIN), 2, MTU.into());
    assert_eq!(told(&mut lab, GATEWAY, &large), wanted);
}

#[test]
fn a_reload_takes_rules_away_and_brings_them_back() {
    let mut lab = lab();
    let request = frame(EDGE, CLIENT, 4000, VIP, 53, 17, b"x");
    let seen = |lab: &mut Lab| {
        let left = pass(lab, EDGE, std::slice::from_ref(&request));
        let packet = read(&left[0]);
        assert_eq!(packet.fragment, Fragment::No);
        packet.src
    };
    assert_eq!(seen(&mut lab), external());
    let mut previous = std::sync::Arc::new(tables(&topology(), GATEWAY, None));
    for with in [false, true] {
        let mut topology = topology();
        if !with {
            topology.applications[0].translation.prefixes.clear();
        }
        previous = std::sync::Arc::new(tables(&topology, GATEWAY, Some(&previous)));
        lab.nodes[GATEWAY].forwarder.swap_tables(previous.clone());
        assert_eq!(seen(&mut lab) == external(), with);
    }
}
