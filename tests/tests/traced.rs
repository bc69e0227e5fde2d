//! Hop records in whole overlays, under one clock: what they say is what happened.

use overlay::protocol::Protocol;
use overlay::topology::{NodeId, Sampling, Topology};
use overlay::wire::trace::Trace;
use pipelines::tables::NO_PATH;
use pipelines::trace::{Outcome, Seen};
use proa_tests::sim::{MILLISECOND, Plan, SECOND, Shape, World, seeds};

fn all_traced(seed: u64, shape: &Shape) -> World {
    let mut plan = Plan::draw(seed, shape);
    for application in &mut plan.topology.applications {
        application.trace = Sampling { one_in: 1, hops_max: 8 };
    }
    World::new(plan, seed, 5 * MILLISECOND)
}

/// The nodes from a sender to a receiver by the records, both included.
fn way(seen: &Seen, trace: &Trace, receiver: NodeId) -> Vec<NodeId> {
    let records = trace.records.iter();
    let mut way = vec![seen.source];
    for record in records {
        assert_eq!(way.last(), Some(&record.ingress), "{trace:?}");
        way.push(record.node);
    }
    way.push(receiver);
    for (record, next) in trace.records.iter().zip(&way[2..]) {
        assert_eq!(record.egress, *next, "{trace:?}");
    }
    way
}

/// The regions between the ends of a copy's path, in the direction that it took; `None` of a copy without a path.
fn regions_between(topology: &Topology, world: &World, node: usize, seen: &Seen) -> Option<Vec<u16>> {
    let path = world.nodes[node].tables().registry.paths[seen.path_slot as usize];
    if path == NO_PATH {
        return None;
    }
    let (set, path) = topology
        .path_sets
        .iter()
        .find_map(|set| Some((set, set.paths.iter().find(|held| held.id == path)?)))
        .expect("a path of the topology");
    let mut via: Vec<u16> = path.via.iter().map(|region| region.0).collect();
    if topology.node(seen.source).map(|node| node.region) == Some(set.gateway) {
        via.reverse();
    }
    Some(via)
}

/// Checks each trace of a run in which every packet was sampled; returns how many copies and records there were.
fn check_traces(world: &mut World) -> (usize, usize) {
    let (mut copies, mut records) = (0, 0);
    let topology = world.plan.topology.clone();
    for node in 0..world.nodes.len() {
        let receiver = world.nodes[node].this().id;
        for seen in &world.nodes[node].traces.clone() {
            let trace = Trace::parse(seen.trace()).expect("nobody spoilt it");
            copies += 1;
            records += trace.records.len();
            if let Some(via) = regions_between(&topology, world, node, seen) {
                // A packet near the MTU has room for fewer records than there are hops, and then says so.
                assert_eq!(trace.overflow, trace.records.len() < via.len(), "{trace:?}");
                for (record, region) in trace.records.iter().zip(&via) {
                    assert_eq!(topology.node(record.node).map(|node| node.region.0), Some(*region));
                }
            }
            if trace.overflow {
                continue;
            }
            let mut left_ns = trace.sent_ns;
            let came = trace.records.iter().map(|record| record.time_ns(seen.arrived_ns));
            for (pair, came_ns) in way(seen, &trace, receiver).windows(2).zip(came.chain([seen.arrived_ns])) {
                let (from, to) = (world.plan.node(pair[0]), world.plan.node(pair[1]));
                let latency_ns = world.wan(from, to).latency_ns;
                // Times are told in microseconds.
                assert!(came_ns + 2_000 >= left_ns + latency_ns, "{trace:?}");
                left_ns = came_ns;
            }
        }
    }
    (copies, records)
}

#[test]
fn every_record_names_the_hop_that_was_taken_and_no_link_is_faster_than_it_is() {
    let (mut copies, mut records) = (0, 0);
    seeds(
        "traced",
        "every_record_names_the_hop_that_was_taken_and_no_link_is_faster_than_it_is",
        30,
        |seed| {
            let mut world = all_traced(seed, &Shape::default());
            world.plan_requests(200, 60, 3 * SECOND, 4 * SECOND);
            world.run_until(4 * SECOND);
            world.finish();
            world.check_complete(|_| true);
            let (of_copies, of_records) = check_traces(&mut world);
            copies += of_copies;
            records += of_records;
        },
    );
    assert!(copies > 5_000 && records > copies / 2, "{copies} copies with {records} records");
}

/// Records stand before whatever options a protocol has, and everything arrives by each of them.
#[test]
fn packets_of_every_protocol_carry_records() {
    for protocol in Protocol::ALL {
        let (mut copies, mut records) = (0, 0);
        seeds("traced", "packets_of_every_protocol_carry_records", 5, |seed| {
            let (protocols, wan_mtu) = (vec![protocol], 1400..=1900);
            let mut world = all_traced(seed, &Shape { protocols, wan_mtu, ..Shape::default() });
            world.plan_requests(200, 60, 3 * SECOND, 4 * SECOND);
            world.run_until(4 * SECOND);
            world.finish();
            world.check_complete(|_| true);
            let (of_copies, of_records) = check_traces(&mut world);
            copies += of_copies;
            records += of_records;
        });
        // Straight over one link there is no node between to be recorded.
        let expected = if protocol == Protocol::Direct { 0 } else { copies / 3 };
        assert!(copies > 500 && records >= expected, "{protocol:?}: {copies} copies with {records} records");
    }
}

/// Of each packet one copy wins, and it is the one that came first.
#[test]
fn one_copy_of_each_packet_wins() {
    seeds("traced", "one_copy_of_each_packet_wins", 10, |seed| {
        let mut world = all_traced(seed, &Shape { copies: 2..=3, ..Shape::default() });
        world.plan_requests(200, 60, 3 * SECOND, 4 * SECOND);
        world.run_until(4 * SECOND);
        world.finish();
        for node in &world.nodes {
            let mut winners = std::collections::HashMap::new();
            for seen in &node.traces {
                let key = (seen.source, seen.stream, seen.sequence);
                if seen.outcome == Outcome::Won {
                    assert_eq!(winners.insert(key, seen.arrived_ns), None, "two winners: {seen:?}");
                } else {
                    assert!(winners[&key] <= seen.arrived_ns, "{seen:?}");
                }
            }
        }
    });
}
