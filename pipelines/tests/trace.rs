//! Hop records through four real data paths: written on the way, read at the end, and never a packet's loss.
#![allow(clippy::unwrap_used)] // a failed unwrap fails its test

mod common;

use common::*;
use overlay::topology::{IpVersion, NodeId, Sampling, Topology};
use overlay::wire::trace::{HEAD_LEN, RECORD_LEN, Trace, option_len};
use packet::Reason;
use proa_pipelines::trace::{Outcome, Seen, TraceCounters};
use proptest::prelude::*;

const CLIENT: &str = "198.51.100.77";
const VIP: &str = "203.0.113.10";
/// Where GENEVE starts in a frame over IPv4, and where the option of a sampled packet does.
const GENEVE_AT: usize = 14 + 20 + 8;
const OPTION_AT: usize = GENEVE_AT + 48;
/// What each path of the lab has: one intermediate.
const ONE_RECORD: usize = option_len(1);

fn sampled(one_in: u32, hops_max: u8) -> Topology {
    let mut topology = topology();
    topology.applications[0].trace = Sampling { one_in, hops_max };
    topology
}

fn traces(lab: &Lab, node: usize) -> &TraceCounters {
    &lab.nodes[node].counters.traces
}

fn request(payload: usize) -> Vec<u8> {
    frame(EDGE, CLIENT, 4000, VIP, 53, 17, &vec![7; payload])
}

fn trace(seen: &Seen) -> Trace {
    Trace::parse(seen.trace()).unwrap()
}

#[test]
fn both_copies_tell_their_hops_and_what_is_delivered_is_the_same() {
    for version in [IpVersion::V4, IpVersion::V6] {
        let with = |one_in| {
            let mut topology = sampled(one_in, 8);
            topology.applications[0].underlay = version;
            let mut lab = Lab::with(&topology, 1);
            let copies = lab.give(EDGE, OUTSIDE, &request(100));
            (lab.run(copies), lab)
        };
        let (plain, _) = with(0);
        let (delivered, lab) = with(1);
        // The copies differ in their records, and still only the first passes.
        assert_eq!(delivered, plain);
        assert_eq!(lab.dropped(GATEWAY, Reason::Duplicate), 1);
        let seen = &lab.nodes[GATEWAY].seen;
        let unix_ns = 1_700_000_000 * SECOND + lab.now_ns;
        assert_eq!(seen.iter().map(|seen| seen.outcome).collect::<Vec<_>>(), [Outcome::Won, Outcome::Lost]);
        for (seen, application) in seen.iter().zip([Some(0), None]) {
            assert_eq!((seen.source, seen.arrived_ns, seen.application), (NodeId(1), unix_ns, application));
            let trace = trace(seen);
            assert_eq!((trace.sent_ns, trace.overflow, trace.records.len()), (unix_ns, false, 1));
            let record = trace.records[0];
            assert_eq!((record.ingress, record.egress, record.hop_limit), (NodeId(1), NodeId(4), 7));
            assert_eq!((record.queue, record.time_ns(unix_ns)), (0, unix_ns));
            assert_eq!(record.transit_ns, TRANSIT_NS as u32);
        }
        let nodes: Vec<_> = seen.iter().map(|seen| trace(seen).records[0].node).collect();
        assert!(nodes.contains(&NodeId(2)) && nodes.contains(&NodeId(3)));
        assert_eq!(seen[0].sequence, seen[1].sequence);
        assert_ne!(seen[0].path_slot, seen[1].path_slot);
        assert_eq!((traces(&lab, EDGE).sampled.get(), traces(&lab, GATEWAY).ended.get()), (1, 2));
        assert_eq!(traces(&lab, MID_1).records.get() + traces(&lab, MID_2).records.get(), 2);
        assert_eq!(lab.pool.available(), lab.pool.capacity());
    }
}

#[test]
fn replies_are_traced_like_requests() {
    let mut lab = Lab::with(&sampled(1, 8), 1);
    let copies = lab.give(EDGE, OUTSIDE, &request(10));
    let at_origin = read(&lab.run(copies)[0].2);
    let (origin, external) = (at_origin.dst.to_string(), at_origin.src.to_string());
    let reply = frame(GATEWAY, &origin, 8080, &external, at_origin.src_port, 17, b"answer");
    let copies = lab.give(GATEWAY, OUTSIDE, &reply);
    assert_eq!(lab.run(copies).len(), 1);
    let seen = &lab.nodes[EDGE].seen;
    assert_eq!((seen.len(), seen[0].application, seen[0].outcome), (2, Some(0), Outcome::Won));
    let record = trace(&seen[0]).records[0];
    assert_eq!((record.ingress, record.egress), (NodeId(4), NodeId(1)));
}

#[test]
fn one_in_so_many_and_all_copies_of_those() {
    let mut lab = Lab::with(&sampled(50, 8), 1);
    let mut traced = 0;
    for _ in 0..1000 {
        let copies = lab.give(EDGE, OUTSIDE, &request(10));
        let with = copies.iter().filter(|copy| copy.2[GENEVE_AT] != 10).count();
        assert!(with == 0 || with == 2, "{with} of two copies");
        traced += with / 2;
        assert_eq!(lab.run(copies).len(), 1);
    }
    assert!((18..=22).contains(&traced), "{traced} of 1,000");
    assert_eq!(traces(&lab, EDGE).sampled.get(), traced as u64);
}

#[test]
fn records_take_what_the_mtu_leaves_and_no_more() {
    // Inside of the outer IP packet: headers and the inner packet's own 28 bytes before the payload.
    let largest = 1500 - 76 - 28;
    for (spare, room) in [
        (0, None),
        (option_len(0) - 1, None),
        (option_len(0), Some(0)),
        (ONE_RECORD - 1, Some(0)),
        (ONE_RECORD, Some(1)),
        (ONE_RECORD + 500, Some(1)),
    ] {
        let mut lab = Lab::with(&sampled(1, 8), 1);
        let copies = lab.give(EDGE, OUTSIDE, &request(largest - spare));
        assert_eq!(copies.len(), 2);
        for (_, _, copy) in &copies {
            assert!(copy.len() <= 1514);
            let words = room.map_or(10, |records| 10 + option_len(records) / 4);
            assert_eq!(copy[GENEVE_AT] as usize, words, "{spare} bytes to spare");
        }
        assert_eq!(lab.run(copies).len(), 1);
        assert_eq!(traces(&lab, EDGE).unfit.get(), room.is_none() as u64);
        let ended = traces(&lab, GATEWAY).ended.get();
        assert_eq!(ended, if room.is_some() { 2 } else { 0 });
        if room == Some(0) {
            assert!(lab.nodes[GATEWAY].seen.iter().all(|seen| trace(seen).overflow));
            assert_eq!(traces(&lab, MID_1).full.get(), 1);
        }
    }
}

#[test]
fn hops_max_bounds_the_records() {
    let mut lab = Lab::with(&sampled(1, 1), 1);
    let copies = lab.give(EDGE, OUTSIDE, &request(10));
    assert!(copies.iter().all(|copy| copy.2[GENEVE_AT] as usize == 10 + option_len(0) / 4));
    assert_eq!(lab.run(copies).len(), 1);
    assert!(lab.nodes[GATEWAY].seen.iter().all(|seen| trace(seen).records.is_empty()));
}

#[test]
fn what_claims_255_hops_goes_on_untouched_and_is_counted() {
    let mut lab = Lab::with(&sampled(1, 8), 1);
    let mut copies = lab.give(EDGE, OUTSIDE, &request(10));
    for (_, _, copy) in &mut copies {
        copy[OPTION_AT + 5] = 255;
    }
    let forwarded: Vec<_> =
        copies.iter().flat_map(|(_, port, copy)| lab.give(copy[4] as usize, *port, &copy.clone())).collect();
    for (copy, sent) in forwarded.iter().zip(&copies) {
        assert_eq!(copy.2[OPTION_AT..], sent.2[OPTION_AT..]);
    }
    assert_eq!(lab.run(forwarded).len(), 1);
    assert!(lab.nodes[GATEWAY].seen.is_empty());
    for node in [MID_1, MID_2] {
        assert_eq!((traces(&lab, node).malformed.get(), traces(&lab, node).records.get()), (1, 0));
    }
    assert_eq!((traces(&lab, GATEWAY).malformed.get(), traces(&lab, GATEWAY).ended.get()), (2, 2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever stands in the option's data, the packet arrives whole, and only records ever change.
    #[test]
    fn nothing_in_a_trace_costs_a_packet(
        data in proptest::collection::vec(any::<u8>(), HEAD_LEN + RECORD_LEN),
        keep in 0..HEAD_LEN,
    ) {
        let mut lab = Lab::with(&sampled(1, 8), 1);
        let mut copies = lab.give(EDGE, OUTSIDE, &request(10));
        for (_, _, copy) in &mut copies {
            copy[OPTION_AT + 4 + keep..OPTION_AT + ONE_RECORD].copy_from_slice(&data[keep..]);
        }
        let left = lab.run(copies);
        prop_assert_eq!(left.len(), 1);
        prop_assert!(left[0].2.ends_with(&[7; 10]));
        prop_assert_eq!(traces(&lab, GATEWAY).ended.get(), 2);
    }

    /// Another length of the option, which then does not fit the others: dropped for a reason that is counted.
    #[test]
    fn lengths_that_lie_are_dropped_or_carried(length in 0u8..32, words in 0u8..64) {
        let mut lab = Lab::with(&sampled(1, 8), 1);
        let mut copies = lab.give(EDGE, OUTSIDE, &request(40));
        for (_, _, copy) in &mut copies {
            copy[OPTION_AT + 3] = length;
            copy[GENEVE_AT] = words;
        }
        let left = lab.run(copies).len() as u64;
        let dropped: u64 = lab.nodes.iter().map(|node| node.counters.drops_total()).sum();
        prop_assert_eq!(left + dropped, 2);
        prop_assert_eq!(lab.pool.available(), lab.pool.capacity());
    }
}
