//! Routing protocols through four real data paths: each packet goes by the protocol that it names and by each node's own
//! table.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a failed unwrap fails its test

mod common;

use common::*;
use overlay::plan::Quality;
use overlay::protocol::Protocol;
use overlay::topology::*;
use overlay::wire::trace::Trace;
use packet::Reason;
use std::sync::Arc;

const CLIENT: &str = "198.51.100.77";
/// Where GENEVE starts in a frame, and fields from there.
const GENEVE_AT: usize = 14 + 20 + 8;
const PROTOCOL_AT: usize = GENEVE_AT + 13;
const HOP_LIMIT_AT: usize = GENEVE_AT + 14;
const PATH_AT: usize = GENEVE_AT + 34;
const SOURCE_ROUTE_AT: usize = GENEVE_AT + 48;

/// London is quick and loses packets, Madrid is slow and loses none. Each protocol has an application of its own:
/// `203.0.113.` and the protocol's number.
fn routed() -> Topology {
    let mut topology = topology();
    let link = |a: u16, b: u16, latency_us, loss_ppm| Link {
        between: [RegionIndex(a), RegionIndex(b)],
        quality: Quality { latency_us, loss_ppm },
        risks: Vec::new(),
    };
    topology.ground.links = vec![
        link(0, 1, 1000, 10_000),
        link(1, 3, 1000, 0),
        link(0, 2, 9000, 0),
        link(2, 3, 9000, 0),
        link(1, 2, 20_000, 0),
    ];
    let template = topology.applications.remove(0);
    for protocol in Protocol::ALL {
        let vip = format!("203.0.113.{}", protocol.id());
        let hops = vec![NodeId(2), NodeId(3)];
        topology.applications.push(Application {
            name: protocol.name().into(),
            vips: vec![Vip { address: ip(&vip), node: NodeId(1) }],
            routing: Routing { to_origin: protocol, to_client: protocol, hops, ..Routing::default() },
            ..template.clone()
        });
    }
    topology
}

fn request(protocol: Protocol) -> Vec<u8> {
    frame(EDGE, CLIENT, 40000, &format!("203.0.113.{}", protocol.id()), 53, 17, b"question")
}

/// Passes frames on until they leave the overlay; returns what left, and who received each frame on the way.
fn follow(lab: &mut Lab, frames: Vec<Sent>) -> (Vec<Sent>, Vec<usize>) {
    let (mut left, mut seen) = (Vec::new(), Vec::new());
    let mut queue = std::collections::VecDeque::from(frames);
    while let Some((node, port, frame)) = queue.pop_front() {
        if port != UNDERLAY {
            left.push((node, port, frame));
            continue;
        }
        let to = frame[4] as usize;
        seen.push(to);
        queue.extend(lab.give(to, UNDERLAY, &frame));
    }
    (left, seen)
}

#[test]
fn several_protocols_at_once_each_by_its_own_way_both_ways() {
    let ways: [(Protocol, &[usize], &[usize]); 5] = [
        (Protocol::Shortest, &[MID_1, GATEWAY], &[MID_1, EDGE]),
        (Protocol::Cleanest, &[MID_2, GATEWAY], &[MID_2, EDGE]),
        (Protocol::Replicate, &[MID_2, MID_1, GATEWAY, GATEWAY], &[MID_2, MID_1, EDGE, EDGE]),
        (Protocol::SourceRoute, &[MID_1, MID_2, GATEWAY], &[MID_2, MID_1, EDGE]),
        (Protocol::Direct, &[GATEWAY], &[EDGE]),
    ];
    let mut lab = Lab::with(&routed(), 1);
    for round in 0..3 {
        for (protocol, there, back) in ways {
            let sent = lab.give(EDGE, OUTSIDE, &request(protocol));
            for (_, _, frame) in &sent {
                assert_eq!(frame[PROTOCOL_AT], protocol.id(), "{protocol:?} is on the wire (D5)");
                assert_eq!(frame[PATH_AT + 1] != 0, protocol.has_path());
            }
            let (left, seen) = follow(&mut lab, sent);
            assert_eq!((left.len(), &seen[..]), (1, there), "{protocol:?}, round {round}");
            let (node, port, delivered) = &left[0];
            assert_eq!((*node, *port), (GATEWAY, OUTSIDE));
            assert!(delivered.ends_with(b"question"));
            let packet = read(delivered);
            let (origin, external) = (packet.dst.to_string(), packet.src.to_string());
            let reply = frame(GATEWAY, &origin, packet.dst_port, &external, packet.src_port, 17, b"answer");
            let sent = lab.give(GATEWAY, OUTSIDE, &reply);
            let (left, seen) = follow(&mut lab, sent);
            assert_eq!((left.len(), &seen[..]), (1, back), "{protocol:?} back, round {round}");
            let packet = read(&left[0].2);
            assert_eq!((packet.dst, packet.src_port), (addr(CLIENT), 53));
            assert!(left[0].2.ends_with(b"answer"));
        }
    }
    for node in 0..4 {
        let others = Reason::ALL.iter().filter(|reason| **reason != Reason::Duplicate);
        assert!(others.clone().all(|reason| lab.dropped(node, *reason) == 0), "node {node}");
    }
}

#[test]
fn each_direction_has_a_protocol_of_its_own() {
    let mut topology = routed();
    topology.applications[0].routing =
        Routing { to_origin: Protocol::Shortest, to_client: Protocol::Replicate, ..Routing::default() };
    let mut lab = Lab::with(&topology, 1);
    let sent = lab.give(EDGE, OUTSIDE, &request(Protocol::Shortest));
    let (left, seen) = follow(&mut lab, sent);
    assert_eq!(seen, [MID_1, GATEWAY]);
    let packet = read(&left[0].2);
    let (origin, external) = (packet.dst.to_string(), packet.src.to_string());
    let reply = frame(GATEWAY, &origin, packet.dst_port, &external, packet.src_port, 17, b"answer");
    let sent = lab.give(GATEWAY, OUTSIDE, &reply);
    assert_eq!(sent.iter().map(|sent| sent.2[PROTOCOL_AT]).collect::<Vec<_>>(), [2, 2]);
    assert_eq!(follow(&mut lab, sent).0.len(), 1);
}

fn detour(lab: &mut Lab, node: usize, detours: &[Detour]) {
    let before = lab.nodes[node].forwarder.tables().clone();
    let tables = tables_with(&routed(), node, Some(&before), detours);
    lab.nodes[node].forwarder.swap_tables(Arc::new(tables));
}

/// D6: an intermediate's own table decides, with no word from the source.
#[test]
fn the_next_hop_changes_with_the_intermediates_own_table() {
    let mut lab = Lab::with(&routed(), 1);
    let sent = lab.give(EDGE, OUTSIDE, &request(Protocol::Shortest));
    assert_eq!(follow(&mut lab, sent).1, [MID_1, GATEWAY]);
    let by_mid_2 = |protocol| Detour { protocol, destination: NodeId(4), next: NodeId(3) };
    detour(&mut lab, MID_1, &[by_mid_2(Protocol::Shortest)]);
    for _ in 0..2 {
        let sent = lab.give(EDGE, OUTSIDE, &request(Protocol::Shortest));
        assert_eq!(sent[0].2[4] as usize, MID_1, "the source knows nothing of it");
        let (left, seen) = follow(&mut lab, sent);
        assert_eq!((left.len(), &seen[..]), (1, &[MID_1, MID_2, GATEWAY][..]));
    }
    detour(&mut lab, MID_1, &[by_mid_2(Protocol::Cleanest)]);
    let sent = lab.give(EDGE, OUTSIDE, &request(Protocol::Shortest));
    assert_eq!(follow(&mut lab, sent).1, [MID_1, GATEWAY], "another protocol's table is another's");
}

#[test]
fn a_loop_ends_with_the_hop_limit() {
    let mut lab = Lab::with(&routed(), 1);
    let to = |next| [Detour { protocol: Protocol::Shortest, destination: NodeId(4), next: NodeId(next) }];
    detour(&mut lab, MID_1, &to(3));
    detour(&mut lab, MID_2, &to(2));
    let sent = lab.give(EDGE, OUTSIDE, &request(Protocol::Shortest));
    let (left, seen) = follow(&mut lab, sent);
    assert_eq!((left.len(), seen.len()), (0, 9));
    assert_eq!(lab.dropped(MID_1, Reason::OverlayHopLimit), 1);
}

#[test]
fn a_first_hop_that_is_dead_is_left_out() {
    let topology = routed();
    let mut dead = proa_pipelines::tables::Dead::default();
    dead.links.push((NodeId(2), IpVersion::V4));
    let tables = Arc::new(tables_without(&topology, EDGE, &dead));
    let mut lab = Lab::with(&topology, 1);
    lab.nodes[EDGE].forwarder.swap_tables(tables);
    let sent = lab.give(EDGE, OUTSIDE, &request(Protocol::Shortest));
    assert_eq!(follow(&mut lab, sent).1, [MID_2, GATEWAY]);
}

/// Sends a frame to a node as another one, and says why it was dropped; `None` if it was not.
fn fate(lab: &mut Lab, from: usize, to: usize, frame: &[u8]) -> Option<Reason> {
    let before: Vec<u64> = Reason::ALL.iter().map(|reason| lab.dropped(to, *reason)).collect();
    let mut frame = frame.to_vec();
    frame[..6].copy_from_slice(&mac(to, UNDERLAY).0);
    frame[6..12].copy_from_slice(&mac(from, UNDERLAY).0);
    frame[14 + 15] = from as u8 + 1;
    frame[14 + 19] = to as u8 + 1;
    frame[14 + 10..14 + 12].fill(0);
    let sum = !packet::checksum::sum(&frame[14..34]);
    frame[14 + 10..14 + 12].copy_from_slice(&sum.to_be_bytes());
    lab.give(to, UNDERLAY, &frame);
    Reason::ALL.iter().copied().find(|reason| lab.dropped(to, *reason) > before[reason.index()])
}

fn sent_by_edge(lab: &mut Lab, protocol: Protocol) -> Vec<u8> {
    lab.give(EDGE, OUTSIDE, &request(protocol)).remove(0).2
}

#[test]
fn packets_without_a_path_come_from_where_their_protocol_sends_them() {
    let mut lab = Lab::with(&routed(), 1);
    let shortest = sent_by_edge(&mut lab, Protocol::Shortest);
    assert_eq!(
        fate(&mut lab, EDGE, GATEWAY, &shortest),
        Some(Reason::OverlayWrongHop),
        "straight: not in this mode (D10)"
    );
    assert_eq!(
        fate(&mut lab, GATEWAY, MID_1, &shortest),
        Some(Reason::OverlayWrongHop),
        "from no intermediate"
    );
    assert_eq!(fate(&mut lab, MID_2, MID_1, &shortest), None, "any intermediate beside it may send it");
    let direct = sent_by_edge(&mut lab, Protocol::Direct);
    assert_eq!(fate(&mut lab, MID_1, GATEWAY, &direct), Some(Reason::OverlayWrongHop));
    assert_eq!(fate(&mut lab, EDGE, MID_1, &direct), Some(Reason::OverlayWrongHop));
    let routed = sent_by_edge(&mut lab, Protocol::SourceRoute);
    assert_eq!(fate(&mut lab, EDGE, MID_2, &routed), Some(Reason::OverlayWrongHop), "a hop is left out");
    assert_eq!(
        fate(&mut lab, EDGE, GATEWAY, &routed),
        Some(Reason::OverlayWrongHop),
        "all hops are left out"
    );
    assert_eq!(fate(&mut lab, MID_2, MID_1, &routed), Some(Reason::OverlayWrongHop), "another sent it");
    assert_eq!(fate(&mut lab, EDGE, MID_1, &routed), None);
    let mut unknown = shortest.clone();
    for id in (0..=255).filter(|id| Protocol::of(*id).is_none()) {
        unknown[PROTOCOL_AT] = id;
        assert_eq!(fate(&mut lab, EDGE, MID_1, &unknown), Some(Reason::OverlayProtocol), "{id}");
    }
    let mut with_path = shortest.clone();
    with_path[PATH_AT + 1] = 11;
    assert_eq!(fate(&mut lab, EDGE, MID_1, &with_path), Some(Reason::OverlayUnknownPath));
    let mut back = shortest;
    back[GATEWAY_AT..GATEWAY_AT + 2].copy_from_slice(&[0, 2]);
    assert_eq!(fate(&mut lab, EDGE, MID_1, &back), Some(Reason::OverlayWrongHop), "its own source");
}

/// Where the source node's number stands in a frame.
const GATEWAY_AT: usize = GENEVE_AT + 16;

#[test]
fn source_routes_that_lie_are_dropped_and_named() {
    let mut lab = Lab::with(&routed(), 1);
    let good = sent_by_edge(&mut lab, Protocol::SourceRoute);
    assert_eq!(good[SOURCE_ROUTE_AT..SOURCE_ROUTE_AT + 12], [0xff, 0x50, 0x85, 2, 2, 0, 0, 0, 0, 2, 0, 3]);
    let data = SOURCE_ROUTE_AT + 4;
    for (what, at, value, reason) in [
        ("no hops", data, 0, Reason::OverlayOption),
        ("more hops than there is room for", data, 3, Reason::OverlayOption),
        ("255 hops", data, 255, Reason::OverlayOption),
        ("a length beyond the options", SOURCE_ROUTE_AT + 3, 31, Reason::OverlayOption),
        ("shorter than its hops", SOURCE_ROUTE_AT + 3, 1, Reason::OverlayOption),
        ("more passed than there are", data + 1, 3, Reason::OverlaySourceRoute),
        ("all passed, but not at its end", data + 1, 2, Reason::OverlayWrongHop),
        ("a loop", data + 7, 2, Reason::OverlaySourceRoute),
        ("through its source", data + 7, 1, Reason::OverlaySourceRoute),
        ("through its destination", data + 7, 4, Reason::OverlaySourceRoute),
        ("node 0", data + 7, 0, Reason::OverlaySourceRoute),
        ("a stranger", data + 7, 77, Reason::OverlayUnknownNode),
        ("no hop limit", HOP_LIMIT_AT, 0, Reason::OverlayHopLimit),
        ("no source route by its protocol", PROTOCOL_AT, 1, Reason::OverlayOption),
    ] {
        let mut bad = good.clone();
        bad[at] = value;
        assert_eq!(fate(&mut lab, EDGE, MID_1, &bad), Some(reason), "{what}");
    }
    assert_eq!(fate(&mut lab, EDGE, MID_1, &good), None);
}

/// Records stand before the options of a protocol, and each node on the way fills in one.
#[test]
fn sampled_packets_of_every_protocol_tell_their_hops() {
    for protocol in Protocol::ALL {
        let mut topology = routed();
        for application in &mut topology.applications {
            application.trace = Sampling { one_in: 1, hops_max: 8 };
        }
        let mut lab = Lab::with(&topology, 1);
        let sent = lab.give(EDGE, OUTSIDE, &request(protocol));
        let (left, seen) = follow(&mut lab, sent);
        assert_eq!(left.len(), 1, "{protocol:?}");
        assert!(left[0].2.ends_with(b"question"));
        let traces = &lab.nodes[GATEWAY].seen;
        let told = traces.iter().flat_map(|seen| Trace::parse(seen.trace()).unwrap().records);
        let mut told: Vec<usize> = told.map(|record| usize::from(record.node.0) - 1).collect();
        let mut passed: Vec<usize> = seen.into_iter().filter(|node| *node != GATEWAY).collect();
        told.sort_unstable();
        passed.sort_unstable();
        assert_eq!(told, passed, "{protocol:?}");
        assert!(!traces.is_empty());
    }
}
