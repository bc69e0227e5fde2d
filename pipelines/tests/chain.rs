//! A client's packet goes edge → two intermediates → gateway → origin, and the reply the same way back.

mod common;

use common::*;
use packet::{Addr, Reason};
use proa_pipelines::Cause;

const CASES: [(&str, &str, &str, u8); 6] = [
    ("198.51.100.77", "203.0.113.10", "10.9.0.", 6),
    ("198.51.100.77", "203.0.113.10", "10.9.0.", 17),
    ("198.51.100.77", "203.0.113.10", "10.9.0.", 1),
    ("2001:db8:c::77", "2001:db8:a::10", "2001:db8:9::", 6),
    ("2001:db8:c::77", "2001:db8:a::10", "2001:db8:9::", 17),
    ("2001:db8:c::77", "2001:db8:a::10", "2001:db8:9::", 58),
];

/// Request and reply ports, or ICMP types, of a protocol.
fn ports(protocol: u8) -> (u16, u16) {
    match protocol {
        6 => (80, 8080),
        17 => (53, 8080),
        1 => (8, 0),
        _ => (128, 129),
    }
}

#[test]
fn there_and_back_again_with_both_translations_undone() {
    for (client, vip, origin_net, protocol) in CASES {
        let mut lab = Lab::new();
        let (dport, reply_port) = ports(protocol);
        let request = frame(EDGE, client, 40000, vip, dport, protocol, b"question");
        let copies = lab.give(EDGE, OUTSIDE, &request);
        assert_eq!(copies.len(), 2);
        assert_eq!(copies[0].2[4] as usize + copies[1].2[4] as usize, MID_1 + MID_2, "two first hops");
        let left = lab.run(copies);
        assert_eq!(left.len(), 1, "one copy passes: {client} {protocol}");
        let (node, port, delivered) = &left[0];
        assert_eq!((*node, *port), (GATEWAY, OUTSIDE));
        let at_origin = read(delivered);
        assert!(at_origin.dst.to_string().starts_with(origin_net) && at_origin.dst != addr(vip));
        assert!(at_origin.src.to_string().ends_with("100") || at_origin.src.to_string().ends_with("101"));
        assert_eq!(at_origin.ttl, 62);
        assert!(delivered.ends_with(b"question"));
        assert_eq!(lab.dropped(GATEWAY, Reason::Duplicate), 1);

        let (origin, external) = (at_origin.dst.to_string(), at_origin.src.to_string());
        let reply = if matches!(protocol, 6 | 17) {
            assert_eq!(at_origin.dst_port, reply_port);
            frame(GATEWAY, &origin, reply_port, &external, at_origin.src_port, protocol, b"answer!!")
        } else {
            frame(GATEWAY, &origin, at_origin.src_port, &external, reply_port, protocol, b"answer!!")
        };
        let copies = lab.give(GATEWAY, OUTSIDE, &reply);
        assert_eq!(copies.len(), 2);
        let left = lab.run(copies);
        assert_eq!(left.len(), 1);
        let (node, port, delivered) = &left[0];
        assert_eq!((*node, *port), (EDGE, OUTSIDE));
        let at_client = read(delivered);
        assert_eq!((at_client.src, at_client.dst), (addr(vip), addr(client)));
        let from = if matches!(protocol, 6 | 17) { dport } else { 40000 };
        assert_eq!((at_client.src_port, at_client.dst_port), (from, 40000));
        assert!(delivered.ends_with(b"answer!!"));
        assert_eq!(lab.pool.available(), lab.pool.capacity());
    }
}

#[test]
fn a_client_keeps_its_origin_and_address() {
    let mut lab = Lab::new();
    let mut seen = std::collections::HashSet::new();
    for port in 0..50 {
        let request = frame(EDGE, "198.51.100.77", 1024 + port, "203.0.113.10", 80, 6, b"");
        let copies = lab.give(EDGE, OUTSIDE, &request);
        let packet = read(&lab.run(copies)[0].2);
        seen.insert((packet.src, packet.dst));
    }
    assert_eq!(seen.len(), 1);
}

#[test]
fn one_path_is_enough_and_late_copies_are_eliminated() {
    let mut lab = Lab::new();
    for lost in [MID_1, MID_2] {
        let request = frame(EDGE, "198.51.100.77", 7, "203.0.113.10", 80, 6, b"x");
        let (dead, living): (Vec<_>, Vec<_>) =
            lab.give(EDGE, OUTSIDE, &request).into_iter().partition(|sent| sent.2[4] as usize == lost);
        assert_eq!(lab.run(living).len(), 1);
        assert_eq!(lab.run(dead).len(), 0);
    }
    let counters = &lab.nodes[GATEWAY].counters;
    let paths: Vec<_> =
        counters.paths[..2].iter().map(|path| (path.passed.get(), path.discarded.get())).collect();
    assert_eq!(paths, [(1, 1), (1, 1)]);
}

#[test]
fn what_nobody_listens_on_is_dropped_with_its_reason() {
    let mut lab = Lab::new();
    let mut check = |dst: &str, dport, protocol, reason| {
        let before = lab.dropped(EDGE, reason);
        let request = frame(EDGE, "198.51.100.77", 7, dst, dport, protocol, b"");
        assert!(lab.give(EDGE, OUTSIDE, &request).is_empty());
        assert_eq!(lab.dropped(EDGE, reason), before + 1, "{reason:?}");
    };
    check("203.0.113.10", 82, 6, Reason::UnknownService);
    check("203.0.113.10", 80, 17, Reason::UnknownService);
    check("203.0.113.11", 80, 6, Reason::NoDestination);
    check("203.0.113.10", 8, 47, Reason::Transport);
    for (number, claimed) in ["127.0.0.1", "203.0.113.10", "192.0.2.1"].into_iter().enumerate() {
        let request = frame(EDGE, claimed, 7, "203.0.113.10", 80, 6, b"");
        assert!(lab.give(EDGE, OUTSIDE, &request).is_empty());
        assert_eq!(lab.dropped(EDGE, Reason::IpAddress), number as u64 + 1);
    }
    // The node's own address is the control thread's.
    let ping = frame(EDGE, "198.51.100.77", 7, "198.51.100.1", 8, 1, b"");
    assert!(lab.give(EDGE, OUTSIDE, &ping).is_empty());
    assert_eq!(lab.punts(EDGE), [Cause::Local]);
}

#[test]
fn the_overlay_is_two_hops_that_tell_when_ttl_or_size_runs_out() {
    for (client, vip) in [("198.51.100.77", "203.0.113.10"), ("2001:db8:c::77", "2001:db8:a::10")] {
        let v6 = client.contains(':');
        for (ttl, node) in [(1, EDGE), (2, GATEWAY)] {
            let mut lab = Lab::new();
            // An error about a shorter packet would be longer than it.
            let mut request = frame(EDGE, client, 7, vip, 80, 6, &[7; 40]);
            if v6 {
                request[14 + 7] = ttl;
            } else {
                request[14 + 8] = ttl;
                request[14 + 10..14 + 12].fill(0);
                let sum = !packet::checksum::sum(&request[14..34]);
                request[24..26].copy_from_slice(&sum.to_be_bytes());
            }
            let sent = lab.give(EDGE, OUTSIDE, &request);
            let left = lab.run(sent);
            assert_eq!(left.len(), 1);
            let error = read(&left[0].2);
            // The edge speaks for itself; the gateway is known to the client by the virtual IP only.
            let own = if v6 { "2001:db8:c::1" } else { "198.51.100.1" };
            let source = if node == EDGE { own } else { vip };
            assert_eq!((left[0].0, error.src, error.dst), (EDGE, addr(source), addr(client)));
            assert_eq!(error.detail, if v6 { 3 } else { 11 });
            assert_eq!(lab.dropped(node, Reason::TtlExpired), 1);
        }
        let mut lab = Lab::new();
        let big = frame(EDGE, client, 7, vip, 80, 6, &[0; 1420]);
        let left = lab.give(EDGE, OUTSIDE, &big);
        let error = read(&left[0].2);
        let at = 14 + error.transport_at as usize;
        let mtu = u16::from_be_bytes([left[0].2[at + 6], left[0].2[at + 7]]);
        assert_eq!((error.detail, mtu), (if v6 { 2 } else { 3 }, 1500 - 76));
        assert_eq!(lab.dropped(EDGE, Reason::TooBig), 1);
    }
}

#[test]
fn overlay_packets_that_come_from_elsewhere_die() {
    let mut lab = Lab::new();
    let request = frame(EDGE, "198.51.100.77", 7, "203.0.113.10", 80, 6, b"");
    let copies = lab.give(EDGE, OUTSIDE, &request);
    let at_mid = copies[0].2.clone();
    let mid = at_mid[4] as usize;
    let at_gateway = lab.give(mid, UNDERLAY, &at_mid)[0].2.clone();
    let outer_from = |frame: &[u8], last: u8| {
        let mut frame = frame.to_vec();
        frame[14 + 15] = last;
        frame[24..26].fill(0);
        let sum = !packet::checksum::sum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
        frame
    };
    let mut check = |node, frame: &[u8], reason| {
        let before = lab.dropped(node, reason);
        assert!(lab.give(node, UNDERLAY, frame).is_empty());
        assert_eq!(lab.dropped(node, reason), before + 1, "{reason:?}");
    };
    check(GATEWAY, &outer_from(&at_gateway, 99), Reason::OverlayNotMember);
    check(mid, &outer_from(&at_mid, 99), Reason::OverlayNotMember);
    // The other intermediate is a member, but not on this path.
    check(GATEWAY, &outer_from(&at_gateway, 4 - mid as u8), Reason::OverlayWrongHop);
    check(mid, &outer_from(&at_mid, 4), Reason::OverlayWrongHop);
    let geneve = 14 + 28;
    let with = |frame: &[u8], at: usize, value: u8| {
        let mut frame = frame.to_vec();
        frame[geneve + at] = value;
        frame
    };
    check(mid, &with(&at_mid, 14, 0), Reason::OverlayHopLimit);
    check(mid, &with(&at_mid, 13, 9), Reason::OverlayProtocol);
    check(mid, &with(&at_mid, 19, 77), Reason::OverlayUnknownNode);
    check(mid, &with(&at_mid, 35, 99), Reason::OverlayUnknownPath);
    check(mid, &with(&at_mid, 6, 9), Reason::OverlayNotMember);
    check(GATEWAY, &with(&at_gateway, 33, 16), Reason::OverlayUnknownStream);
    check(GATEWAY, &with(&at_gateway, 32, 1), Reason::OverlayUnknownStream);
    check(GATEWAY, &with(&at_gateway, 48, 0x65), Reason::OverlayInner);
}

#[test]
fn a_damaged_copy_does_not_cost_the_good_one() {
    let mut lab = Lab::new();
    let request = frame(EDGE, "198.51.100.77", 7, "203.0.113.10", 80, 6, b"");
    let mut copies = lab.give(EDGE, OUTSIDE, &request);
    // A byte of the inner IPv4 header flips on the first path.
    copies[0].2[14 + 28 + 48 + 8] ^= 1;
    assert_eq!(lab.run(copies).len(), 1);
    assert_eq!(lab.dropped(GATEWAY, Reason::OverlayInner), 1);
    assert_eq!(lab.dropped(GATEWAY, Reason::Duplicate), 0);
}

#[test]
fn an_unresolved_next_hop_is_the_control_threads() {
    let topology = topology();
    let input = pipelines::tables::Input {
        topology: &topology,
        node: overlay::topology::NodeId(1),
        interfaces: &interfaces(EDGE),
        neighbors: &[],
        seed: 3,
        previous: None,
        dead: &pipelines::tables::Dead::default(),
        mtus: &pipelines::tables::Mtus::default(),
        hops: &Default::default(),
        blocks: &[],
        neighbors_only: false,
    };
    let tables = pipelines::Tables::compile(&input).unwrap();
    let mut lab = Lab::new();
    lab.nodes[EDGE].forwarder.swap_tables(tables.into());
    let request = frame(EDGE, "198.51.100.77", 7, "203.0.113.10", 80, 6, b"");
    assert!(lab.give(EDGE, OUTSIDE, &request).is_empty());
    let hops: Vec<_> = ["192.0.2.3", "192.0.2.2"].map(|hop| Cause::Unresolved(addr(hop))).into();
    assert_eq!(lab.punts(EDGE), hops);
}

#[test]
fn sessions_and_sequences_outlive_a_reload() {
    let mut lab = Lab::new();
    let request = frame(EDGE, "198.51.100.77", 7, "203.0.113.10", 80, 6, b"");
    let copies = lab.give(EDGE, OUTSIDE, &request);
    let before = read(&lab.run(copies)[0].2);
    let mut changed = topology();
    changed.applications.insert(
        0,
        overlay::topology::Application {
            name: "first".into(),
            vips: vec![overlay::topology::Vip {
                address: ip("203.0.113.9"),
                node: overlay::topology::NodeId(1),
            }],
            ..changed.applications[0].clone()
        },
    );
    changed.path_sets[0].paths.reverse();
    for node in 0..4 {
        let next = tables(&changed, node, Some(&lab.nodes[node].forwarder.tables().clone()));
        lab.nodes[node].forwarder.swap_tables(next.into());
    }
    let copies = lab.give(EDGE, OUTSIDE, &request);
    let after = read(&lab.run(copies)[0].2);
    assert_eq!((after.src, after.src_port, after.dst), (before.src, before.src_port, before.dst));
    let reply = frame(GATEWAY, &after.dst.to_string(), 8080, &after.src.to_string(), after.src_port, 6, b"");
    let copies = lab.give(GATEWAY, OUTSIDE, &reply);
    assert_eq!(read(&lab.run(copies)[0].2).dst, addr("198.51.100.77"));
    assert_eq!(lab.nodes[GATEWAY].forwarder.nat().unwrap().len(), 1);
    assert_ne!(before.src, Addr::UNSPECIFIED);
}

#[test]
fn no_client_has_an_address_of_the_gateways_own() {
    let mut lab = Lab::new();
    // Of the pool, and towards the origins, where nobody but the gateway can tell: a packet to an edge knows neither.
    for (number, claimed) in ["10.9.0.100", "10.9.0.1"].into_iter().enumerate() {
        let request = frame(EDGE, claimed, 7, "203.0.113.10", 80, 6, b"");
        let copies = lab.give(EDGE, OUTSIDE, &request);
        assert!(lab.run(copies).is_empty());
        assert_eq!(lab.dropped(GATEWAY, Reason::IpAddress), number as u64 + 1);
    }
    assert_eq!(lab.nodes[GATEWAY].forwarder.nat().unwrap().len(), 0);
    // One that becomes the gateway's while its client has a session.
    let request = frame(EDGE, "10.9.0.102", 7, "203.0.113.10", 80, 6, b"");
    let copies = lab.give(EDGE, OUTSIDE, &request);
    assert_eq!(lab.run(copies).len(), 1);
    let mut changed = topology();
    changed.nodes[GATEWAY].nat_pool[0] = ip("10.9.0.100")..=ip("10.9.0.102");
    let next = tables(&changed, GATEWAY, Some(&lab.nodes[GATEWAY].forwarder.tables().clone()));
    lab.nodes[GATEWAY].forwarder.swap_tables(next.into());
    let copies = lab.give(EDGE, OUTSIDE, &request);
    assert!(lab.run(copies).is_empty());
    assert_eq!(lab.dropped(GATEWAY, Reason::IpAddress), 3);
}

#[test]
fn what_a_path_loses_of_data_is_counted_by_its_own_numbers() {
    use overlay::path_loss::{Counts, NOTE_NS, READINGS, Tally};
    use overlay::topology::PathId;
    let mut lab = Lab::new();
    let incoming = lab.nodes[GATEWAY].forwarder.tables().registry.incoming.clone();
    let way = |path| incoming.iter().find(|way| way.path == PathId(path)).unwrap().first as usize;
    let mut tallies = [(way(11), Tally::default()), (way(12), Tally::default())];
    for number in 0..600 {
        let request = frame(EDGE, "198.51.100.77", 1024 + number, "203.0.113.10", 53, 17, b"question");
        let mut copies = lab.give(EDGE, OUTSIDE, &request);
        assert_eq!(copies.len(), 2);
        // The first path loses every fifth; the network doubles a copy on the second.
        copies.retain(|copy| copy.2[4] as usize != MID_1 || number % 5 != 2);
        if number == 300 {
            copies.insert(0, copies[0].clone());
        }
        lab.run(copies);
        let times = if number == 599 { 1 + READINGS } else { (number % 50 == 0) as usize };
        for _ in 0..times {
            lab.now_ns += NOTE_NS;
            for (way, tally) in &mut tallies {
                tally.note(lab.now_ns, [lab.nodes[GATEWAY].counters.ways[*way].read()].into_iter());
            }
        }
    }
    let [(_, first), (_, second)] = &tallies;
    assert_eq!(first.counts(), Counts { received: 480, lost: 120 });
    assert_eq!(second.counts(), Counts { received: 601, lost: 0 });
}
