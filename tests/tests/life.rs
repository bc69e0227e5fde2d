//! Nodes that stop and start again, and snapshots that change under traffic.

use overlay::topology::{Origin, Topology};
use packet::Reason;
use proa_tests::sim::{Action, Exchange, MILLISECOND, Plan, Random, SECOND, Shape, World, seeds};
use std::sync::Arc;

/// Two runs of one seed are the same, frame by frame.
#[test]
fn a_seed_is_a_run() {
    let run = |seed| {
        let mut world = World::new(Plan::draw(seed, &Shape::default()), seed, 5 * MILLISECOND);
        world.plan_requests(100, 30, 3 * SECOND, 4 * SECOND);
        world.run_until(5 * SECOND);
        (world.trace, world.ledger.returned())
    };
    for seed in [5, 6] {
        assert_eq!(run(seed), run(seed));
    }
    assert_ne!(run(5), run(6));
}

/// A restarted edge numbers on ahead of its former self, so nothing of it is taken for an old copy; a restarted
/// gateway begins anew. What is sent while they are there arrives.
#[test]
fn restarted_nodes_carry_on() {
    seeds("life", "restarted_nodes_carry_on", 40, |seed| {
        let mut random = Random::new(seed, 13);
        let mut world = World::new(Plan::draw(seed, &Shape::default()), seed, 5 * MILLISECOND);
        world.plan_requests(400, 40, 3 * SECOND, 9 * SECOND);
        let mut ends = world.plan.with_role(|roles| roles.edge || roles.gateway);
        random.shuffle(&mut ends);
        let (down, up) = (5 * SECOND, 5 * SECOND + random.within(20 * MILLISECOND..=SECOND));
        for node in ends.drain(..1) {
            world.at(down, Action::Crash(node));
            world.at(up, Action::Restart(node));
        }
        world.run_until(9 * SECOND);
        world.finish();
        let settled = up + 500 * MILLISECOND;
        world
            .check_complete(|one: &Exchange| one.sent_at + 100 * MILLISECOND < down || one.sent_at > settled);
        for node in &world.nodes {
            assert!(!node.drops().contains_key(&Reason::Rogue), "{}", world.report());
        }
    });
}

/// The same overlay after a change that leaves every path, virtual IP and old origin in place.
fn changed(topology: &Topology, random: &mut Random) -> Topology {
    let mut topology = topology.clone();
    for application in &mut topology.applications {
        let set = topology.path_sets.iter().find(|set| {
            let edge = topology.nodes.iter().find(|node| node.id == application.vips[0].node);
            set.gateway == application.gateway && edge.is_some_and(|edge| edge.region == set.edge)
        });
        let most = set.map_or(1, |set| set.paths.len() as u64);
        application.copies = random.within(1..=most) as u8;
        let new = Origin { address: application.origins[0].address, port: Some(9999) };
        if random.chance(0.5) {
            application.origins.push(new);
        }
        if random.chance(0.3) {
            random.shuffle(&mut application.origins);
        }
    }
    random.shuffle(&mut topology.applications);
    topology
}

#[test]
fn a_reload_loses_nothing_and_keeps_sessions() {
    seeds("life", "a_reload_loses_nothing_and_keeps_sessions", 60, |seed| {
        let mut random = Random::new(seed, 14);
        let mut world = World::new(Plan::draw(seed, &Shape::default()), seed, 5 * MILLISECOND);
        world.plan_requests(400, 40, 3 * SECOND, 5 * SECOND);
        let mut topology = world.plan.topology.clone();
        world.ledger.sticky = false;
        // Some replies come after a reload to sessions that no request has renewed since.
        world.think_ns = 600 * MILLISECOND;
        for round in 1..=3 {
            topology = changed(&topology, &mut random);
            let start = 3 * SECOND + round * 400 * MILLISECOND;
            for node in 0..world.nodes.len() {
                let at = start + random.below(100 * MILLISECOND);
                world.at(at, Action::Reload(node, Arc::new(topology.clone())));
            }
            world.run_until(start);
            world.ledger.take_topology(&topology);
        }
        world.run_until(5 * SECOND);
        world.finish();
        world.check_complete(|_| true);
        for node in &world.nodes {
            let drops = node.drops();
            assert!(drops.keys().all(|reason| *reason == Reason::Duplicate), "{}", world.report());
        }
    });
}

/// A gateway's role that comes with a reload: its workers have no translation table, and say so packet by packet.
#[test]
fn a_role_that_comes_with_a_reload_harms_nothing() {
    let mut world = World::new(Plan::draw(3, &Shape { gateways: 1..=1, ..Shape::default() }), 3, MILLISECOND);
    let gateway = world.plan.with_role(|roles| roles.gateway)[0];
    let mut without = world.plan.topology.clone();
    without.nodes[gateway].roles.gateway = false;
    let full = Arc::new(world.plan.topology.clone());
    world.nodes[gateway] = world.node_with(gateway, Arc::new(without));
    world.plan_requests(600, 40, 3 * SECOND, 4 * SECOND);
    world.at(2 * SECOND, Action::Reload(gateway, full));
    world.run_until(4 * SECOND);
    world.finish();
    assert_eq!(world.ledger.delivered(), 0);
    assert!(world.nodes[gateway].drops().contains_key(&Reason::WrongRole), "{}", world.report());
}
