//! Packets of a flow over several paths, and in order at the end, through four real data paths.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a failed unwrap fails its test

mod common;

use common::*;
use overlay::ordering::Bounds;
use overlay::protocol::Protocol;
use overlay::topology::*;
use packet::Reason;
use proptest::prelude::*;

const CLIENT: &str = "198.51.100.77";
const VIP: &str = "203.0.113.10";
/// Where GENEVE starts in a frame, and fields from there.
const GENEVE_AT: usize = 14 + 20 + 8;
const PROTOCOL_AT: usize = GENEVE_AT + 13;
const PATH_AT: usize = GENEVE_AT + 34;
const ORDER_AT: usize = GENEVE_AT + 48;
const HOLD_NS: u64 = 20_000_000;
const MILLISECOND: u64 = 1_000_000;

fn topology_by(routing: Routing) -> Topology {
    let mut topology = topology();
    topology.applications[0].routing = routing;
    topology
}

fn spread(weights: &[u8]) -> Topology {
    let weights = weights.to_vec();
    let (to_origin, to_client) = (Protocol::Spread, Protocol::Spread);
    topology_by(Routing { to_origin, to_client, weights, ..Routing::default() })
}

fn lab(topology: &Topology, packets: usize) -> Lab {
    Lab::of(topology, 1, |setup| setup.ordering = Bounds { hold_ns: HOLD_NS, packets, flows: 64 })
}

/// What the edge sends for a client's packet: a number from one of its ports.
fn request(lab: &mut Lab, port: u16, number: u8) -> Vec<Sent> {
    lab.give(EDGE, OUTSIDE, &frame(EDGE, CLIENT, port, VIP, 53, 17, &[number; 4]))
}

/// The numbers that leave.
fn numbers(left: &[Sent]) -> Vec<u8> {
    left.iter().map(|sent| *sent.2.last().unwrap()).collect()
}

/// Two flows of a client take turns, each on its paths by weight, and each packet says which of its flow went before.
#[test]
fn packets_of_a_flow_alternate_by_weight_and_say_what_went_before() {
    let mut lab = lab(&spread(&[3, 1]), 64);
    let mut paths = [[0; 2]; 2];
    for number in 0..8 {
        let mut flows = Vec::new();
        for flow in 0..2 {
            let sent = request(&mut lab, 40000 + flow, number);
            assert_eq!(sent.len(), 1, "one copy of each");
            let frame = &sent[0].2;
            assert_eq!((frame[PROTOCOL_AT], frame[GENEVE_AT] & 0x3f), (4, 13));
            assert_eq!(frame[ORDER_AT..ORDER_AT + 4], [0xff, 0x50, 0x84, 2]);
            assert_eq!(frame[ORDER_AT + 8..ORDER_AT + 12], [0, 0, 0, if number > 0 { 2 } else { 0 }]);
            flows.push(frame[ORDER_AT + 4..ORDER_AT + 8].to_vec());
            paths[usize::from(flow)][usize::from(frame[PATH_AT + 1] == 12)] += 1;
            assert_eq!(numbers(&lab.run(sent)), [number]);
        }
        assert_ne!(flows[0], flows[1]);
    }
    assert_eq!(paths, [[6, 2]; 2]);
}

/// A path is slower: its packets are waited for, in their own flow only.
#[test]
fn one_slow_path_stalls_no_other_flow() {
    let mut lab = lab(&spread(&[]), 64);
    let (mut quick, mut slow) = (Vec::new(), Vec::new());
    for number in 0..6 {
        for sent in request(&mut lab, 40000, number) {
            if sent.2[PATH_AT + 1] == 11 { quick.push(sent) } else { slow.push(sent) }
        }
    }
    assert_eq!((quick.len(), slow.len()), (3, 3));
    let early = lab.run(quick);
    assert!(early.len() <= 1, "what came too early waits: {:?}", numbers(&early));
    let other = request(&mut lab, 41000, 77);
    assert_eq!(numbers(&lab.run(other)), [77]);
    let rest = lab.run(slow);
    let all: Vec<u8> = numbers(&early).into_iter().chain(numbers(&rest)).collect();
    assert_eq!(all, [0, 1, 2, 3, 4, 5]);
    assert_eq!(lab.nodes[GATEWAY].forwarder.ordering_held(), 0);
}

#[test]
fn what_does_not_come_is_given_up_and_what_comes_late_is_delivered() {
    let mut lab = lab(&spread(&[]), 64);
    let first = request(&mut lab, 40000, 0);
    assert_eq!(numbers(&lab.run(first)), [0]);
    let lost = request(&mut lab, 40000, 1);
    let next = request(&mut lab, 40000, 2);
    assert!(lab.run(next).is_empty());
    lab.now_ns += HOLD_NS - 1;
    assert!(catch_up(&mut lab, GATEWAY).is_empty());
    lab.now_ns += 1;
    assert_eq!(numbers(&catch_up(&mut lab, GATEWAY)), [2]);
    assert_eq!(numbers(&lab.run(lost.clone())), [1], "late, but not lost");
    assert!(lab.run(lost).is_empty());
    lab.sweep();
    let roles = &lab.nodes[GATEWAY].counters.roles;
    let counted = [&roles.order_held, &roles.order_given_up, &roles.order_late, &roles.order_no_room];
    assert_eq!(counted.map(packet::Counter::get), [1, 1, 1, 0]);
    assert_eq!(lab.dropped(GATEWAY, Reason::Duplicate), 1);
}

/// The gateway spreads as well, and the edge puts in order.
#[test]
fn replies_come_back_in_order() {
    let mut lab = lab(&spread(&[]), 64);
    let sent = request(&mut lab, 40000, 0);
    let left = lab.run(sent);
    let at_origin = read(&left[0].2);
    let (origin, external) = (at_origin.dst.to_string(), at_origin.src.to_string());
    let mut copies = Vec::new();
    for number in 0..4u8 {
        let reply = frame(GATEWAY, &origin, 8080, &external, at_origin.src_port, 17, &[number; 4]);
        copies.extend(lab.give(GATEWAY, OUTSIDE, &reply));
    }
    copies.reverse();
    let left = lab.run(copies);
    assert_eq!(numbers(&left), [0, 1, 2, 3]);
    assert!(left.iter().all(|(node, port, _)| (*node, *port) == (EDGE, OUTSIDE)));
}

/// Copies may be put in order as well: the first of each counts, as ever.
#[test]
fn copies_are_ordered_on_request() {
    let mut lab = lab(&topology_by(Routing { ordered: true, ..Routing::default() }), 64);
    let mut copies: Vec<Sent> = (0..5).flat_map(|number| request(&mut lab, 40000, number)).collect();
    assert_eq!(copies.len(), 10);
    copies.reverse();
    assert_eq!(numbers(&lab.run(copies)), [0, 1, 2, 3, 4]);
    assert_eq!(lab.dropped(GATEWAY, Reason::Duplicate), 5);
}

/// Who says that every packet of his has one before it that never comes fills no more than his room, for no longer than the
/// hold time, and loses nothing by it.
#[test]
fn lies_about_what_went_before_are_bounded() {
    let mut lab = lab(&spread(&[]), 16);
    let mut left = 0;
    for number in 0..200u16 {
        let mut sent = request(&mut lab, 40000 + number % 40, number as u8);
        sent[0].2[ORDER_AT + 4..ORDER_AT + 12].copy_from_slice(&[7, 7, 7, number as u8, 0, 0, 0, 1]);
        left += lab.run(sent).len();
        assert!(lab.nodes[GATEWAY].forwarder.ordering_held() <= 16);
    }
    lab.now_ns += HOLD_NS;
    left += catch_up(&mut lab, GATEWAY).len();
    assert_eq!((left, lab.nodes[GATEWAY].forwarder.ordering_held()), (200, 0));
}

/// A stop leaves nothing behind.
#[test]
fn packets_that_wait_at_the_end_are_told() {
    let mut lab = lab(&spread(&[]), 64);
    let _lost = request(&mut lab, 40000, 0);
    let next = request(&mut lab, 40000, 1);
    assert!(lab.run(next).is_empty());
    lab.nodes[GATEWAY].forwarder.stop();
    assert_eq!(lab.dropped(GATEWAY, Reason::Stopping), 1);
    let next = request(&mut lab, 40000, 2);
    let next = [next, request(&mut lab, 40000, 3)];
    assert_eq!(numbers(&lab.run(next[1].clone())), [3], "from then on none waits");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Delays and losses of all kinds: every packet that came leaves once; in each flow they leave in order, where no packet
    /// is delayed by more than it is waited for.
    #[test]
    fn flows_leave_in_order(
        packets in proptest::collection::vec((0u16..3, 0u64..19, 0u8..10), 1..60), weights in proptest::collection::vec(1u8..4, 0..3),
    ) {
        let mut lab = lab(&spread(&weights), 256);
        let mut under_way = Vec::new();
        for (number, (flow, delay, lost)) in packets.iter().enumerate() {
            let sent = request(&mut lab, 40000 + flow, number as u8);
            if *lost > 0 {
                let at = lab.now_ns + (number as u64 + delay) * MILLISECOND;
                under_way.push((at, *flow, number as u8, sent));
            }
        }
        let expected: Vec<u8> = under_way.iter().map(|(_, _, number, _)| *number).collect();
        let flow_of: Vec<u16> = packets.iter().map(|(flow, ..)| *flow).collect();
        under_way.sort_by_key(|(at, ..)| *at);
        let mut left = Vec::new();
        let end = lab.now_ns + 200 * MILLISECOND;
        let mut next = under_way.into_iter().peekable();
        while lab.now_ns < end {
            lab.now_ns += MILLISECOND;
            while let Some((_, _, _, sent)) = next.next_if(|(at, ..)| *at <= lab.now_ns) {
                left.extend(numbers(&lab.run(sent)));
            }
            left.extend(numbers(&catch_up(&mut lab, GATEWAY)));
        }
        for flow in 0..3 {
            let of_flow: Vec<u8> = left.iter().copied().filter(|number| flow_of[usize::from(*number)] == flow).collect();
            prop_assert!(of_flow.is_sorted(), "flow {flow}: {of_flow:?}");
        }
        left.sort_unstable();
        prop_assert_eq!(left, expected);
    }
}
