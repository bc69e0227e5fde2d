//! Plans that follow links: nobody ever sends over a path that another node does not know, or knows as another.

use std::collections::BTreeMap;

use proa_overlay::linkstate::{Flood, view};
use proa_overlay::plan::{Alarm, Checker, Graph, Quality, Solver, VIA_MAX};
use proa_overlay::plans::{Paths, Planning, Plans, Refused, fingerprint};
use proa_overlay::routing::LinkView;
use proa_overlay::topology::{
    IpVersion, Link, NodeId, Path, PathId, PathSet, Planned, Region, RegionIndex, Roles, Topology,
};

use crate::draw;
use crate::network::{DETECTION_MS, Network, id};

const EDGE: usize = 0;
const GATEWAYS: [usize; 2] = [4, 5];
const ENDS: (RegionIndex, RegionIndex) = (RegionIndex(0), RegionIndex(4));

/// An edge, three intermediates and two gateways of one region; every intermediate is beside the edge and both gateways.
fn topology(latencies_us: [u32; 3]) -> Topology {
    let mut topology = draw::regions(6);
    for (at, node) in topology.nodes.iter_mut().enumerate() {
        node.region = RegionIndex(at.min(4) as u16);
        node.roles = Roles { edge: at == EDGE, intermediate: (1..4).contains(&at), gateway: at >= 4 };
    }
    topology.regions = (0..5).map(|at: u16| Region { name: format!("region-{at}") }).collect();
    for (mid, latency_us) in (1..4).zip(latencies_us) {
        for end in [ENDS.0, ENDS.1] {
            let quality = Quality { latency_us, loss_ppm: 0 };
            topology.ground.links.push(Link { between: [end, RegionIndex(mid)], quality, risks: Vec::new() });
        }
    }
    let graph = Graph::new(&topology).unwrap();
    let plan = Solver::new(ENDS.1, VIA_MAX).plan(&graph, ENDS.0, 2);
    let paths = (0..)
        .zip(&plan.routes)
        .map(|(number, route)| Path { id: PathId(40_000 + number), via: route.via.clone() });
    topology.path_sets =
        vec![PathSet { name: "set".to_owned(), edge: ENDS.0, gateway: ENDS.1, paths: paths.collect() }];
    topology.planned = vec![Planned { edge: ENDS.0, gateway: ENDS.1, paths: 2 }];
    topology
}

struct Overlay {
    network: Network,
    topology: Topology,
    planning: Vec<Planning>,
    seen: Vec<(u64, LinkView)>,
}

impl Overlay {
    fn new(seed: u64, loss_percent: u64) -> Overlay {
        let topology = topology([5_000, 6_000, 7_000]);
        let mut pairs: Vec<[usize; 2]> = (1..4).map(|mid| [EDGE, mid]).collect();
        pairs.extend((1..4).flat_map(|mid| GATEWAYS.map(|gateway| [mid, gateway])));
        let mut network = Network::of(seed, 6, pairs, loss_percent, true);
        for edge in &mut network.edges {
            let mid = if edge.ends[0] == EDGE { edge.ends[1] } else { edge.ends[0] };
            edge.quality.latency_us = 4_000 + 1_000 * mid as u32;
        }
        let planning = topology.nodes.iter().map(|node| Planning::new(&topology, node.id)).collect();
        Overlay { network, topology, planning, seen: vec![(u64::MAX, LinkView::default()); 6] }
    }

    fn step(&mut self) {
        self.network.step();
        let now_ms = self.network.now_ms;
        for node in 0..6 {
            let flood: &mut Flood = &mut self.network.nodes[node];
            if self.seen[node].0 != flood.version() {
                self.seen[node] = (flood.version(), view(flood, &self.topology, IpVersion::V4));
            }
            let told = self.planning[node].tick(now_ms, flood, &self.seen[node].1);
            assert!(told.is_empty(), "{told:?}");
        }
        self.check();
    }

    fn run(&mut self, ms: u64) {
        (0..ms).for_each(|_| self.step());
    }

    /// What one node sends over, all take, and mean the same by; and no two paths in force share a region.
    fn check(&self) {
        for sender in &self.planning {
            let paths = &sender.topology().path_sets[0].paths;
            assert!(paths.len() == 2 && paths[0].via != paths[1].via, "{paths:?}");
            for other in &self.planning {
                let topology = other.topology();
                let sets = topology.path_sets.iter().chain(&topology.beside);
                let known: BTreeMap<PathId, &Path> =
                    sets.flat_map(|set| &set.paths).map(|path| (path.id, path)).collect();
                for path in paths {
                    assert_eq!(known.get(&path.id), Some(&path), "at {} ms", self.network.now_ms);
                }
            }
        }
    }

    /// The intermediates that a node's paths lead over.
    fn via(&self, node: usize) -> Vec<u16> {
        let mut via: Vec<u16> =
            self.planning[node].topology().path_sets[0].paths.iter().map(|path| path.via[0].0).collect();
        via.sort_unstable();
        via
    }

    fn all_via(&self, expected: &[u16]) -> bool {
        (0..6).all(|node| self.via(node) == expected)
    }

    fn slow(&mut self, mid: usize, latency_us: u32) {
        for edge in &mut self.network.edges {
            if edge.ends.contains(&mid) {
                edge.quality.latency_us = latency_us;
            }
        }
    }
}

#[test]
fn a_plan_moves_off_a_slow_link_and_back_and_everybody_knows_every_path_before_it_is_used() {
    for seed in 0..6 {
        let mut overlay = Overlay::new(seed, 10);
        overlay.run(4_000);
        assert!(overlay.all_via(&[1, 2]));
        overlay.slow(1, 60_000);
        let moved = (0..5_000).find(|_| {
            overlay.step();
            overlay.all_via(&[2, 3])
        });
        println!("seed {seed}: all send by the new plan {moved:?} ms after the link got slow");
        assert!(moved.is_some_and(|ms| ms <= 3_000), "{moved:?}");
        overlay.slow(1, 1_000);
        overlay.run(5_000);
        assert!(overlay.all_via(&[1, 2]), "it is better again by more than the hysteresis");
        assert_eq!(overlay.planning[4].counters().planned, 2);
    }
}

#[test]
fn what_wobbles_does_not_reshuffle_and_what_has_no_other_way_stays_with_an_alarm() {
    let mut overlay = Overlay::new(1, 0);
    overlay.run(4_000);
    for latency_us in [6_500, 5_000, 6_900, 7_200, 5_500] {
        overlay.slow(1, latency_us);
        overlay.run(1_500);
    }
    assert!(overlay.all_via(&[1, 2]));
    assert_eq!(overlay.planning[4].counters().planned, 0);
    // Two of three gone: one way is left, no pair.
    for mid in [1, 3] {
        for edge in 0..overlay.network.edges.len() {
            if overlay.network.edges[edge].ends.contains(&mid) {
                overlay.network.cut(edge, false);
            }
        }
    }
    for _ in 0..3_000 {
        overlay.network.step();
    }
    let mut owner = Planning::new(&overlay.topology, id(4));
    let flood = &mut overlay.network.nodes[4];
    let view = view(flood, &overlay.topology, IpVersion::V4);
    owner.tick(overlay.network.now_ms, flood, &view);
    assert_eq!((owner.alarm(ENDS), owner.missing(ENDS)), (Some(Alarm::Single), 1));
    assert_eq!(owner.topology().path_sets[0].paths.len(), 2);
}

#[test]
fn when_the_owner_dies_the_next_one_goes_on_from_its_plan() {
    let mut overlay = Overlay::new(2, 5);
    overlay.run(4_000);
    overlay.slow(2, 60_000);
    overlay.run(4_000);
    assert!(overlay.all_via(&[1, 3]));
    let owns = |overlay: &Overlay, node: usize| overlay.planning[node].owned().count() == 1;
    assert!(owns(&overlay, 4) && !owns(&overlay, 5));
    for edge in 0..overlay.network.edges.len() {
        if overlay.network.edges[edge].ends.contains(&4) {
            overlay.network.cut(edge, false);
        }
    }
    overlay.run(DETECTION_MS + 2_000);
    assert!(owns(&overlay, 5));
    let others = [0, 1, 2, 3, 5];
    assert!(others.iter().all(|node| overlay.via(*node) == [1, 3]), "the last plan stays");
    // Only those that are reached are looked at from now on: the dead one knows nothing of what comes.
    overlay.slow(1, 90_000);
    overlay.slow(2, 5_000);
    for _ in 0..5_000 {
        overlay.network.step();
        for node in others {
            let flood = &mut overlay.network.nodes[node];
            let view = view(flood, &overlay.topology, IpVersion::V4);
            overlay.planning[node].tick(overlay.network.now_ms, flood, &view);
        }
    }
    assert!(others.iter().all(|node| overlay.via(*node) == [2, 3]));
}

#[test]
fn plans_that_share_a_region_lead_nowhere_or_take_a_number_twice_are_refused() {
    let topology = topology([5_000, 6_000, 7_000]);
    let checker = Checker::new(&topology);
    let mut plans = Plans::new(&topology);
    let path = |id, via: &[u16]| Path { id: PathId(id), via: via.iter().copied().map(RegionIndex).collect() };
    let said = |paths: Vec<Path>| Paths {
        fingerprint: fingerprint(&topology),
        edge: ENDS.0,
        gateway: ENDS.1,
        paths,
    };
    let cases = [
        (Refused::NotDisjoint, said(vec![path(50_000, &[3]), path(50_001, &[3])])),
        (Refused::NotDisjoint, said(vec![path(50_000, &[4]), path(50_001, &[3])])),
        (Refused::NotDisjoint, said(vec![path(50_000, &[1, 2]), path(50_001, &[3])])),
        (Refused::NotDisjoint, said(vec![path(50_000, &[9]), path(50_001, &[3])])),
        (Refused::NotDisjoint, said(Vec::new())),
        (Refused::TakenNumber, said(vec![path(40_000, &[3]), path(40_001, &[2])])),
        (
            Refused::OtherTopology,
            Paths { fingerprint: 1, ..said(vec![path(50_000, &[1]), path(50_001, &[3])]) },
        ),
        (
            Refused::OtherTopology,
            Paths { edge: RegionIndex(1), ..said(vec![path(50_000, &[2]), path(50_001, &[3])]) },
        ),
    ];
    for (why, said) in &cases {
        assert_eq!(plans.take(&topology, &checker, (NodeId(5), 1), said, 0), Err(*why), "{said:?}");
        assert_eq!(plans.apply(&topology).path_sets, topology.path_sets);
    }
    let good = said(vec![path(50_000, &[1]), path(50_001, &[3])]);
    assert_eq!(plans.take(&topology, &checker, (NodeId(5), 2), &good, 0), Ok(true));
}

#[test]
fn paths_are_known_before_and_after_they_are_in_force() {
    use proa_overlay::plans::{DRAIN_MS, SPREAD_MS};
    let topology = topology([5_000, 6_000, 7_000]);
    let checker = Checker::new(&topology);
    let mut plans = Plans::new(&topology);
    let configured = topology.path_sets[0].paths.clone();
    let said = |plans: &Plans, ways: [u16; 2]| {
        plans.numbered(&topology, ENDS, ways.map(|via| vec![RegionIndex(via)]).to_vec())
    };
    let known = |plans: &Plans| {
        let now = plans.apply(&topology);
        assert!(proa_overlay::plan::verify(&now).is_ok());
        let beside = now.beside.iter().flat_map(|set| set.paths.iter().map(|path| path.via[0].0)).collect();
        let in_force: Vec<u16> = now.path_sets[0].paths.iter().map(|path| path.via[0].0).collect();
        let beside: Vec<u16> = beside;
        (in_force, beside)
    };
    assert_eq!(known(&plans), (vec![1, 2], vec![]));
    let next = said(&plans, [2, 3]);
    assert_eq!(next.paths[0].id, configured[1].id, "a way keeps its number");
    assert_eq!(plans.take(&topology, &checker, (NodeId(5), 1), &next, 0), Ok(true));
    assert_eq!(known(&plans), (vec![1, 2], vec![3]));
    assert!(!plans.tick(SPREAD_MS - 1) && plans.tick(SPREAD_MS));
    assert_eq!(known(&plans), (vec![2, 3], vec![1]));
    let back = said(&plans, [1, 2]);
    assert_eq!(plans.take(&topology, &checker, (NodeId(5), 2), &back, 20_000), Ok(true));
    assert!(plans.tick(20_000 + SPREAD_MS));
    assert_eq!(known(&plans), (vec![1, 2], vec![3]));
    assert!(plans.tick(20_000 + SPREAD_MS + DRAIN_MS));
    assert_eq!(known(&plans), (vec![1, 2], vec![]));
    assert_eq!(plans.due_ms(), None);
}
