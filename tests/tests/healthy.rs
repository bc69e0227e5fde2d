//! A network without faults: everything arrives once, unharmed, and nothing is dropped but second copies.

use packet::Reason;
use proa_tests::sim::{MILLISECOND, Plan, SECOND, Shape, World, seeds};

/// Checks that every exchange is complete and nothing was lost anywhere.
fn check(world: &mut World) {
    world.finish();
    world.check_complete(|_| true);
    for node in &world.nodes {
        let drops = node.drops();
        assert!(drops.keys().all(|reason| *reason == Reason::Duplicate), "{}", world.report());
        assert_eq!((node.missed, node.handoffs_lost), (0, 0), "{}", world.report());
    }
    for segment in &world.segments {
        assert_eq!(segment.wire.sent, segment.wire.arrived, "{}", world.report());
    }
}

#[test]
fn everything_arrives_once_and_only_duplicates_are_dropped() {
    seeds("healthy", "everything_arrives_once_and_only_duplicates_are_dropped", 100, |seed| {
        let plan = Plan::draw(seed, &Shape::default());
        let mut world = World::new(plan, seed, 5 * MILLISECOND);
        world.plan_requests(300, 60, 3 * SECOND, 4 * SECOND);
        world.run_until(4 * SECOND);
        check(&mut world);
    });
}

/// Those who are translated by prefix meet gateways that remember nothing, and their replies may come in at any of a region's.
#[test]
fn clients_that_are_translated_by_prefix_lose_nothing() {
    seeds("healthy", "clients_that_are_translated_by_prefix_lose_nothing", 40, |seed| {
        let shape = Shape { prefixes: true, gateways: 1..=3, ..Shape::default() };
        let mut world = World::new(Plan::draw(seed, &shape), seed, 5 * MILLISECOND);
        world.plan_requests(300, 60, 3 * SECOND, 4 * SECOND);
        world.run_until(4 * SECOND);
        check(&mut world);
        let translated: u64 =
            world.nodes.iter().map(|node| node.sum(|worker| &worker.roles.prefix_reverse)).sum();
        assert!(translated > 0, "{}", world.report());
    });
}

/// Neighbours are asked time and again whether they are still there, and tables swept, without a packet lost.
#[test]
fn minutes_pass_and_nothing_is_lost() {
    seeds("healthy", "minutes_pass_and_nothing_is_lost", 6, |seed| {
        let mut world = World::new(Plan::draw(seed, &Shape::default()), seed, 5 * MILLISECOND);
        world.plan_requests(600, 60, 3 * SECOND, 180 * SECOND);
        world.run_until(180 * SECOND);
        check(&mut world);
    });
}
