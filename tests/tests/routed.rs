//! Every routing protocol carries everything, several at once and another one back, and keeps all invariants.

use overlay::protocol::Protocol;
use packet::Reason;
use proa_tests::sim::{
    Action, Link, Loss, MICROSECOND, MILLISECOND, Plan, Random, SECOND, Shape, World, seeds,
};

/// Extensions take 32 bytes more of the links' MTU, order and source route or parity, and IPv6 needs its 1280 inside.
fn shape() -> Shape {
    Shape { protocols: Protocol::ALL.to_vec(), applications: 2..=5, wan_mtu: 1400..=1900, ..Shape::default() }
}

#[test]
fn everything_arrives_once_by_every_protocol() {
    seeds("routed", "everything_arrives_once_by_every_protocol", 60, |seed| {
        let mut world = World::new(Plan::draw(seed, &shape()), seed, 5 * MILLISECOND);
        world.plan_requests(300, 60, 3 * SECOND, 4 * SECOND);
        world.run_until(4 * SECOND);
        world.finish();
        world.check_complete(|_| true);
        for node in &world.nodes {
            let drops = node.drops();
            let usual = [Reason::Duplicate, Reason::Parity];
            assert!(drops.keys().all(|reason| usual.contains(reason)), "{}", world.report());
        }
    });
}

/// Links that lose, double, delay and reorder: what arrives does so once and unharmed, and every buffer is accounted for.
#[test]
fn bad_links_break_no_invariant() {
    seeds("routed", "bad_links_break_no_invariant", 40, |seed| {
        let mut random = Random::new(seed, 11);
        let mut world = World::new(Plan::draw(seed, &shape()), seed, 5 * MILLISECOND);
        world.plan_requests(300, 60, 3 * SECOND, 5 * SECOND);
        let count = world.nodes.len();
        for (from, to) in (0..count).flat_map(|a| (0..count).filter(move |b| *b != a).map(move |b| (a, b))) {
            let mut link = Link::perfect(random.within(10 * MICROSECOND..=20 * MILLISECOND));
            link.jitter_ns = random.below(10 * MILLISECOND);
            (link.reorder, link.reorder_ns) = (0.2, random.below(30 * MILLISECOND));
            link.duplicate = *random.pick(&[0.0, 0.02, 0.3]);
            link.loss = Loss::Random(*random.pick(&[0.0, 0.02, 0.3]));
            world.at(random.within(3 * SECOND..=4 * SECOND), Action::Wan { from, to, link });
        }
        world.run_until(5 * SECOND);
        world.finish();
        assert!(world.ledger.delivered() > 0);
    });
}
