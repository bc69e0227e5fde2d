//! Redundancy that changes in mid-stream, through four real data paths.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a failed unwrap fails its test

mod common;

use common::*;
use overlay::adaptive::{Entry, Report, Step};
use overlay::protocol::Protocol;
use overlay::topology::*;
use packet::Reason;
use pipelines::ladders::Ladders;
use pipelines::receipts::Receipts;
use pipelines::step::StepCell;
use proptest::prelude::*;
use std::sync::Arc;

const CLIENT: &str = "198.51.100.77";
const VIP: &str = "203.0.113.10";
/// Where GENEVE starts in a frame, and fields from there.
const GENEVE_AT: usize = 14 + 20 + 8;
const PROTOCOL_AT: usize = GENEVE_AT + 13;
const PATH_AT: usize = GENEVE_AT + 34;

fn adaptive() -> Topology {
    let mut topology = topology();
    let (to_origin, to_client) = (Protocol::Adaptive, Protocol::Adaptive);
    topology.applications[0].routing = Routing { to_origin, to_client, ..Routing::default() };
    topology
}

fn lab() -> Lab {
    Lab::of(&adaptive(), 1, |_| ())
}

/// What the edge's packets of the application are sent with.
fn cell(lab: &Lab) -> Arc<StepCell> {
    let tables = lab.nodes[EDGE].forwarder.tables();
    tables.flights.iter().find_map(|flight| flight.adaptive.clone()).unwrap()
}

fn request(lab: &mut Lab, number: u8) -> Vec<Sent> {
    lab.give(EDGE, OUTSIDE, &frame(EDGE, CLIENT, 40000, VIP, 53, 17, &[number; 100]))
}

#[test]
fn the_step_says_how_many_copies_leave_and_over_which_paths() {
    let mut lab = lab();
    let cell = cell(&lab);
    cell.allow(200);
    for (step, paths) in [
        (Step::None, vec![11]),
        (Step::Copy, vec![11, 12]),
        (Step::None, vec![11]),
        // There are only two paths.
        (Step::Triple, vec![11, 12]),
    ] {
        cell.set(step);
        let sent = request(&mut lab, 1);
        let mut seen: Vec<u8> = sent.iter().map(|sent| sent.2[PATH_AT + 1]).collect();
        seen.sort_unstable();
        assert_eq!(seen, paths, "{step:?}");
        assert!(sent.iter().all(|sent| sent.2[PROTOCOL_AT] == 6));
        assert_eq!(lab.run(sent).len(), 1);
    }
    let roles = &lab.nodes[EDGE].counters.roles;
    let inner = 20 + 8 + 100;
    assert_eq!([roles.adaptive_bytes.get(), roles.adaptive_extra_bytes.get()], [4 * inner, 2 * inner]);
    assert_eq!(roles.adaptive_capped.get(), 0);
}

#[test]
fn what_is_above_the_cap_is_not_sent_and_data_always_is() {
    let mut lab = lab();
    let cell = cell(&lab);
    cell.allow(0);
    cell.set(Step::Copy);
    let (mut copies, mut left) = (0, 0);
    for number in 0..1000u32 {
        let sent = request(&mut lab, number as u8);
        copies += sent.len();
        left += lab.run(sent).len();
    }
    assert_eq!(left, 1000);
    // 64 KiB to begin with, of packets of 128 bytes.
    assert_eq!(copies, 1000 + 65_536 / 128);
    assert_eq!(lab.nodes[EDGE].counters.roles.adaptive_capped.get(), 1000 - 65_536 / 128);
}

/// The whole loop without a clock or network: losses on the first path, counted by the gateway's data path, told to the edge's
/// ladder, which has the next packet copied.
#[test]
fn losses_that_the_gateway_counts_have_the_edge_send_copies_and_their_end_ends_them() {
    let topology = adaptive();
    let [edge, gateway] = [EDGE, GATEWAY].map(|node| NodeId(node as u16 + 1));
    let mut lab = lab();
    let mut ladders = Ladders::new(&topology, edge);
    let mut receipts = Receipts::new(&topology, gateway, 7);
    let (mut steps, mut sent_in_spell, mut copied_at) = (Vec::new(), 0, None);
    let source = cell(&lab);
    source.allow(200);
    for ms in 0..28_000u64 {
        lab.now_ns = (ms + 1) * 1_000_000;
        let lossy = (2_000..4_000).contains(&ms);
        let mut sent = request(&mut lab, ms as u8);
        if lossy {
            sent_in_spell += sent.len();
            sent.retain(|sent| sent.2[PATH_AT + 1] != 11 || ms % 5 != 0);
        }
        let left = lab.run(sent);
        assert!(left.len() == 1 || lossy, "{ms} ms: lost or repeated");
        let counters = &lab.nodes[GATEWAY].counters;
        let incoming = &lab.nodes[GATEWAY].forwarder.tables().registry.incoming;
        let read = |number: u32| counters.ways.get(number as usize).map(|way| way.read()).into_iter();
        for told in receipts.tick(lab.now_ns, incoming, read) {
            assert_eq!(told.to, edge);
            ladders.hear(lab.now_ns, gateway, told.version, &told.report);
        }
        ladders.tick(lab.now_ns, &topology, &Default::default(), |_| None, 0);
        let step = ladders.iter().next().unwrap().1.ladder.step();
        source.set(step);
        if step == Step::Copy && copied_at.is_none() {
            copied_at = Some(ms);
        }
        if steps.last().is_none_or(|(_, last)| *last != step) {
            steps.push((ms, step));
        }
    }
    let copied_at = copied_at.unwrap();
    assert!((2_000..2_150).contains(&copied_at), "copies after {} ms", copied_at - 2_000);
    assert_eq!(
        steps.iter().map(|(_, step)| *step).collect::<Vec<_>>(),
        [Step::None, Step::Parity, Step::Copy, Step::Parity, Step::None]
    );
    // Ten seconds after the last loss left the two seconds' window, and ten more.
    assert!((25_000..27_000).contains(&steps[4].0), "none at {} ms", steps[4].0);
    assert!(sent_in_spell > 3_900);
}

/// Paths that both lose packets get copies, however unsteady their latency is; where all probes of a second are late, there is a queue, and copies
/// would make it longer.
#[test]
fn late_probes_are_no_congestion_and_a_queue_is() {
    let topology = adaptive();
    let [edge, gateway] = [EDGE, GATEWAY].map(|node| NodeId(node as u16 + 1));
    let mut ladders = Ladders::new(&topology, edge);
    for look in 0..300u32 {
        let now_ns = u64::from(look + 1) * 20_000_000;
        let entry = |path| Entry { path: PathId(path), numbered: look * 20, received: look * 19 };
        let report = Report { life: 1, entries: vec![entry(11), entry(12)] };
        ladders.hear(now_ns, gateway, IpVersion::V4, &report);
        let latency_us = if look < 200 && look % 10 == 0 { 10_000 } else { 60_000 };
        ladders.tick(now_ns, &topology, &Default::default(), |_| Some(latency_us), 0);
        let ladder = &ladders.iter().next().unwrap().1.ladder;
        if (20..200).contains(&look) {
            assert_eq!(ladder.step(), Step::Copy, "{look}: {:?}", ladder.why());
        }
        if look >= 250 {
            assert_eq!((ladder.step(), ladder.sheds()), (Step::None, 1), "{look}: {:?}", ladder.why());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    /// Steps that change at any packet, copies that come in any order: each packet leaves once, as long as one of its copies comes.
    #[test]
    fn no_change_of_the_step_loses_or_repeats_a_packet(
        packets in proptest::collection::vec((0usize..4, 0usize..8, 0u8..6), 1..200),
    ) {
        let mut lab = lab();
        let cell = cell(&lab);
        cell.allow(200);
        let mut line: Vec<(usize, Sent)> = Vec::new();
        let mut owed = 0;
        for (at, (step, late, lost)) in packets.into_iter().enumerate() {
            cell.set(Step::ALL[step]);
            let mut sent = request(&mut lab, at as u8);
            // Of two copies one may be lost.
            if Step::ALL[step] >= Step::Copy && lost == 0 {
                sent.remove(0);
            }
            owed += 1;
            line.extend(sent.into_iter().enumerate().map(|(copy, sent)| (at + late * copy, sent)));
        }
        line.sort_by_key(|(at, _)| *at);
        let left = lab.run(line.into_iter().map(|(_, sent)| sent).collect());
        prop_assert_eq!(left.len(), owed);
        prop_assert_eq!(lab.dropped(GATEWAY, Reason::Rogue), 0);
    }
}
