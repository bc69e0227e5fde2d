//! Paths planned over drawn links carry everything, over as many hops as they come to.

use overlay::plan::{Graph, Quality, Solver, VIA_MAX};
use overlay::topology::{Link, Path, PathId, RegionIndex, Topology};
use proa_tests::sim::{MILLISECOND, Plan, Random, SECOND, Shape, World, seeds};

/// Draws links, and plans every path set over them. Sets without enough paths there keep those they have, over links of
/// their own. Gives how many paths have several hops.
fn replan(topology: &mut Topology, random: &mut Random) -> usize {
    let count = topology.regions.len() as u16;
    let mut drawn = |a, b| Link {
        between: [RegionIndex(a), RegionIndex(b)],
        quality: Quality { latency_us: random.within(1_000..=40_000) as u32, loss_ppm: 0 },
        risks: Vec::new(),
    };
    let all: Vec<Link> =
        (0..count).flat_map(|a| (0..a).map(move |b| (a, b))).map(|(a, b)| drawn(a, b)).collect();
    let mut some = all.clone();
    some.retain(|_| random.chance(0.6));
    let mut next = 30_000;
    let mut long = 0;
    let mut planned = topology.clone();
    for links in [all, some] {
        topology.ground.links = links;
        let graph = Graph::new(topology).unwrap();
        let (mut sets, mut certificates) = (topology.path_sets.clone(), Vec::new());
        let mut enough = true;
        for set in &mut sets {
            let plan = Solver::new(set.gateway, VIA_MAX).plan(&graph, set.edge, set.paths.len());
            enough &= plan.alarm().is_none();
            let numbers = (next..).map(PathId);
            next += plan.routes.len() as u16;
            certificates.push(plan.certificate(set.gateway, numbers.clone()));
            let routes = plan.routes.into_iter().zip(numbers);
            set.paths = routes.map(|(route, id)| Path { id, via: route.via }).collect();
        }
        if enough {
            planned = topology.clone();
            long = sets.iter().flat_map(|set| &set.paths).filter(|path| path.via.len() > 1).count();
            (planned.path_sets, planned.certificates) = (sets, certificates);
        }
    }
    *topology = planned;
    long
}

#[test]
fn everything_arrives_over_planned_paths() {
    seeds("planned", "everything_arrives_over_planned_paths", 40, |seed| {
        let mut plan = Plan::draw(seed, &Shape { regions: 3..=6, ..Shape::default() });
        replan(&mut plan.topology, &mut Random::new(seed, 77));
        let mut world = World::new(plan, seed, 5 * MILLISECOND);
        world.plan_requests(200, 60, 3 * SECOND, 4 * SECOND);
        world.run_until(4 * SECOND);
        world.finish();
        world.check_complete(|_| true);
    });
}

/// Otherwise the test above would test nothing new.
#[test]
fn planned_paths_have_several_hops_at_times() {
    let plans = (1..60).map(|seed| {
        let mut plan = Plan::draw(seed, &Shape { regions: 3..=6, ..Shape::default() });
        replan(&mut plan.topology, &mut Random::new(seed, 77))
    });
    assert!(plans.sum::<usize>() > 20);
}
