//! Views of all nodes converge after every change, over links that lose and delay, after partitions and restarts; what is
//! forged, repeated or old changes nothing.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

#[path = "../plan/draw.rs"]
#[allow(dead_code, reason = "the planner's tests use the rest")]
mod draw;
mod hostile;
mod network;
mod planning;

use network::{DETECTION_MS, Network};
use proa_overlay::plan::Quality;
use proptest::prelude::*;

fn all(network: &Network) -> Vec<usize> {
    (0..network.nodes.len()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// At 10 % loss per message and up to 60 ms per hop.
    #[test]
    fn views_converge_within_a_second_of_every_change(seed: u64, count in 4usize..14, chords in 2usize..10) {
        let chords = chords.min(count * (count - 3) / 2);
        let mut network = Network::new(seed, count, chords, 10, false);
        let nodes = all(&network);
        let started = network.converge(&nodes, 5_000);
        prop_assert!(started.is_some(), "never at the start");
        let mut draw = draw::Draw(seed ^ 7);
        for _ in 0..4 {
            let edge = draw.below(network.edges.len() as u64) as usize;
            let limit_ms = if draw.percent(50) {
                let alive = !network.edges[edge].alive;
                network.cut(edge, alive);
                DETECTION_MS + 1_000
            } else {
                // Twice or half as slow: more than the hysteresis.
                let was = network.edges[edge].quality.latency_us;
                let latency_us = if was > 50_000 { was / 2 } else { was * 2 + 1_000 };
                network.edges[edge].quality = Quality { latency_us, loss_ppm: 0 };
                1_000
            };
            // Where a cut has parted the nodes, those who reach each other agree.
            let parted = (0..network.edges.len()).filter(|edge| !network.edges[*edge].alive).count() > 1;
            if !parted {
                let passed = network.converge(&nodes, limit_ms);
                prop_assert!(passed.is_some(), "not after {} ms", limit_ms);
            }
            (0..200).for_each(|_| network.step());
            if parted {
                for edge in 0..network.edges.len() {
                    if !network.edges[edge].alive {
                        network.cut(edge, true);
                    }
                }
                (0..3_000).for_each(|_| network.step());
                prop_assert!(network.agree(&nodes), "not after all links were back");
            }
        }
    }
}

/// A ring of eight, cut into two halves that both change, and joined again.
#[test]
fn after_a_partition_both_halves_learn_what_the_other_did() {
    for seed in 0..5 {
        let mut network = Network::new(seed, 8, 0, 10, true);
        let nodes = all(&network);
        assert!(network.converge(&nodes, 5_000).is_some());
        network.cut(3, false);
        network.cut(7, false);
        (0..DETECTION_MS + 1_000).for_each(|_| network.step());
        for edge in [1, 5] {
            network.edges[edge].quality.latency_us += 30_000;
        }
        let halves = [[0, 1, 2, 3], [4, 5, 6, 7]];
        for half in halves {
            assert!(network.converge(&half, 1_000).is_some(), "seed {seed}: {half:?}");
        }
        assert!(!network.agree(&nodes));
        network.cut(3, true);
        let healed = network.converge(&nodes, DETECTION_MS + 1_000);
        assert!(healed.is_some(), "seed {seed}: one of both cuts");
        network.cut(7, true);
        let healed = network.converge(&nodes, DETECTION_MS + 1_000);
        assert!(healed.is_some(), "seed {seed}");
    }
}

#[test]
fn a_node_that_is_gone_is_forgotten_and_one_that_is_back_is_heard_though_its_clock_went_back() {
    let mut network = Network::new(3, 4, 1, 5, true);
    let nodes = all(&network);
    assert!(network.converge(&nodes, 5_000).is_some());
    // An hour back: what it says first is older than what it said before.
    network.clocks_ms[2] = -3_600_000;
    network.restart(2);
    network.edges[2].quality.latency_us += 20_000;
    assert!(network.converge(&nodes, 3_000).is_some());
    for edge in 0..network.edges.len() {
        if network.edges[edge].ends.contains(&2) {
            network.cut(edge, false);
        }
    }
    assert!(network.told(0, 2).is_some());
    (0..proa_overlay::linkstate::AGE_MS_MAX + 2_000).for_each(|_| network.step());
    assert_eq!(network.told(0, 2), None);
    let others: Vec<usize> = nodes.iter().copied().filter(|node| *node != 2).collect();
    assert!(network.agree(&others));
}

#[test]
fn nothing_happening_costs_little() {
    let mut network = Network::new(5, 10, 10, 0, true);
    let nodes = all(&network);
    let started = network.converge(&nodes, 5_000).unwrap();
    (0..5_000).for_each(|_| network.step());
    network.bytes = 0;
    (0..60_000).for_each(|_| network.step());
    let per_node = network.bytes / 60 / nodes.len() as u64;
    println!("start {started} ms; at rest {per_node} bytes/s from each of 10 nodes with 4 links");
    assert!(per_node < 200, "{per_node} bytes/s");
    network.edges[0].quality.latency_us += 10_000;
    network.bytes = 0;
    let passed = network.converge(&nodes, 1_000).unwrap();
    (0..500).for_each(|_| network.step());
    println!("a change: {passed} ms, {} bytes from all nodes", network.bytes);
}

#[test]
fn convergence_takes_as_long_as_the_messages_and_a_repetition_or_two() {
    let mut times = Vec::new();
    for seed in 0..40 {
        let mut network = Network::new(seed, 10, 2, 10, false);
        let nodes = all(&network);
        assert!(network.converge(&nodes, 5_000).is_some());
        (0..300).for_each(|_| network.step());
        network.edges[1].quality.latency_us += 50_000;
        times.extend(network.converge(&nodes, 1_000));
    }
    times.sort_unstable();
    println!("ten nodes, 1 to 60 ms and 10 % loss per message: p50 {} ms, most {} ms", times[20], times[39]);
    assert_eq!(times.len(), 40);
    assert!(times[20] < 300, "{times:?}");
}
