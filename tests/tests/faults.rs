//! Faults on all paths but one: what is sent arrives, once and unharmed, as long as one path is whole.

use proa_tests::sim::{
    Action, Link, Loss, MICROSECOND, MILLISECOND, Plan, Random, SECOND, Shape, World, seeds,
};
use std::collections::BTreeSet;

/// Pairs of nodes whose links stay whole: those along one path of each set, which every application uses.
fn whole_pairs(plan: &Plan, random: &mut Random) -> BTreeSet<(usize, usize)> {
    let topology = &plan.topology;
    let mut pairs = BTreeSet::new();
    for set in &topology.path_sets {
        let users = topology.applications.iter().filter(|one| one.gateway == set.gateway);
        let copies = users.map(|one| u64::from(one.copies)).min().unwrap_or(1);
        let path = &set.paths[random.below(copies) as usize];
        let regions: Vec<_> =
            [set.edge].into_iter().chain(path.via.iter().copied()).chain([set.gateway]).collect();
        let nodes = |region| (0..plan.nodes.len()).filter(move |node| topology.nodes[*node].region == region);
        for hop in regions.windows(2) {
            pairs.extend(nodes(hop[0]).flat_map(|a| nodes(hop[1]).flat_map(move |b| [(a, b), (b, a)])));
        }
    }
    pairs
}

fn bad_link(random: &mut Random) -> Link {
    let mut link = Link::perfect(random.within(10 * MICROSECOND..=20 * MILLISECOND));
    if random.chance(0.2) {
        link.mtu = random.within(500..=1500) as usize;
    }
    link.jitter_ns = random.below(20 * MILLISECOND);
    link.reorder = *random.pick(&[0.0, 0.1, 0.5]);
    link.reorder_ns = random.below(30 * MILLISECOND);
    link.duplicate = *random.pick(&[0.0, 0.02, 0.3]);
    link.loss = match random.below(4) {
        0 => Loss::None,
        1 => Loss::Random(0.02),
        2 => Loss::Random(0.5),
        _ => Loss::Bursts { worsens: 0.05, mends: 0.1, lost: 0.9 },
    };
    link.up = random.chance(0.7);
    link
}

/// Makes every link bad that need not be whole, time and again, and has intermediates die that lie on no whole path.
fn trouble(world: &mut World, random: &mut Random, from: u64, until: u64) {
    let whole = whole_pairs(&world.plan, random);
    let count = world.nodes.len();
    for a in 0..count {
        for b in (0..count).filter(|b| a != *b && !whole.contains(&(a, *b))) {
            for _ in 0..random.within(1..=4) {
                let link = bad_link(random);
                world.at(random.within(from..=until), Action::Wan { from: a, to: b, link });
            }
        }
    }
    for node in world.plan.with_role(|roles| roles.intermediate) {
        if !whole.iter().any(|(a, _)| *a == node) && random.chance(0.5) {
            let at = random.within(from..=until);
            world.at(at, Action::Crash(node));
            if random.chance(0.5) {
                world.at(at + random.within(MILLISECOND..=SECOND), Action::Restart(node));
            }
        }
    }
}

#[test]
fn one_whole_path_is_enough() {
    seeds("faults", "one_whole_path_is_enough", 100, |seed| {
        let mut random = Random::new(seed, 10);
        let shape = Shape { copies: 2..=3, ..Shape::default() };
        let mut world = World::new(Plan::draw(seed, &shape), seed, 5 * MILLISECOND);
        world.plan_requests(300, 60, 3 * SECOND, 5 * SECOND);
        trouble(&mut world, &mut random, 2 * SECOND, 5 * SECOND);
        world.run_until(5 * SECOND);
        world.finish();
        world.check_complete(|_| true);
    });
}
