//! Tables of next hops against plain enumeration of all ways, and packets that follow the tables of all nodes.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test fails by panicking")]

#[path = "../plan/draw.rs"]
#[allow(dead_code, reason = "the planner's tests use the rest")]
mod draw;

use std::collections::BTreeMap;

use proa_overlay::plan::{Quality, VIA_MAX};
use proa_overlay::routing::{LinkView, Metric, Network, Way, first_hops, next_hops};
use proa_overlay::topology::{Link, Path, PathId, PathSet, RegionIndex, Topology};
use proptest::prelude::*;

const METRICS: [Metric; 2] = [Metric::Latency, Metric::Loss];

type Hop = (RegionIndex, RegionIndex);

/// Qualities of all ways as they are: configured, or as told.
fn ways(topology: &Topology, view: &LinkView) -> BTreeMap<Hop, Quality> {
    let both = |link: &Link| {
        let [a, b] = link.between;
        [((a, b), link.quality), ((b, a), link.quality)]
    };
    let mut ways: BTreeMap<Hop, Quality> = topology.ground.links.iter().flat_map(both).collect();
    for (from, to, way) in view.iter() {
        match way {
            Way::Down => drop(ways.remove(&(from, to))),
            Way::Measured(quality) => drop(ways.insert((from, to), quality)),
        }
    }
    ways
}

/// What a hop costs, the metric first; whole numbers of what `cost_us` counts.
fn cost(quality: Quality, metric: Metric) -> (u64, u64) {
    let latency = u64::from(quality.latency_us.max(1));
    let loss = match quality.loss_ppm {
        0 => 0,
        loss_ppm => u64::from(Quality { latency_us: 0, loss_ppm }.cost_us()),
    };
    if metric == Metric::Latency { (latency, loss) } else { (loss, latency) }
}

/// The least costs between all regions (Floyd and Warshall, through regions of transit only).
fn least(topology: &Topology, view: &LinkView, metric: Metric) -> BTreeMap<Hop, (u64, u64)> {
    let mut least: BTreeMap<Hop, (u64, u64)> =
        ways(topology, view).into_iter().map(|(hop, quality)| (hop, cost(quality, metric))).collect();
    let all = || (0..topology.regions.len() as u16).map(RegionIndex);
    let transits =
        |region| topology.nodes.iter().any(|node| node.region == region && node.roles.intermediate);
    for via in all().filter(|via| transits(*via)) {
        for (from, to) in all().flat_map(|from| all().map(move |to| (from, to))) {
            let (Some(one), Some(two)) = (least.get(&(from, via)), least.get(&(via, to))) else { continue };
            let sum = (one.0 + two.0, one.1 + two.1);
            if from != to && from != via && to != via && least.get(&(from, to)).is_none_or(|now| sum < *now) {
                least.insert((from, to), sum);
            }
        }
    }
    least
}

fn view(topology: &Topology, seed: u64, told: u64) -> LinkView {
    let mut draw = draw::Draw(seed);
    let mut view = LinkView::default();
    for link in &topology.ground.links {
        let [a, b] = link.between;
        for (from, to) in [(a, b), (b, a)] {
            if draw.percent(told) {
                let way = if draw.percent(15) { Way::Down } else { Way::Measured(draw::quality(&mut draw)) };
                view.set(from, to, way);
            }
        }
    }
    view
}

/// Follows tables from region to region.
fn follow(tables: &[Vec<Option<RegionIndex>>], first: RegionIndex, to: RegionIndex) -> Vec<RegionIndex> {
    let mut way = vec![first];
    while *way.last().unwrap() != to {
        assert!(way.len() <= tables.len(), "{way:?} turns in a circle");
        way.push(tables[usize::from(way.last().unwrap().0)][usize::from(to.0)].unwrap());
    }
    way
}

proptest! {
    #[test]
    fn packets_take_the_least_ways_and_never_turn_in_a_circle(
        seed: u64,
        regions in 2usize..9,
        density in 10u64..100,
        told in 0u64..100,
    ) {
        let topology = draw::small(seed, draw::Shape { regions, density, risks: 0 });
        let view = view(&topology, seed ^ 1, told);
        let all: Vec<RegionIndex> = (0..regions as u16).map(RegionIndex).collect();
        for metric in METRICS {
            let least = least(&topology, &view, metric);
            let ways = ways(&topology, &view);
            let network = Network::new(&topology, &view);
            let tables: Vec<_> = all.iter().map(|from| network.next_hops(*from, metric)).collect();
            for (from, to) in all.iter().flat_map(|from| all.iter().map(move |to| (*from, *to))) {
                let next = tables[usize::from(from.0)][usize::from(to.0)];
                prop_assert_eq!(next.is_some(), least.contains_key(&(from, to)), "{:?} to {:?}", from, to);
                if next.is_some() {
                    let way = follow(&tables, from, to);
                    let costs = way.windows(2).map(|hop| cost(ways[&(hop[0], hop[1])], metric));
                    let sum = costs.fold((0, 0), |sum, cost| (sum.0 + cost.0, sum.1 + cost.1));
                    prop_assert_eq!(sum, least[&(from, to)], "{:?}", way);
                }
            }
            for from in &all {
                let first = network.first_hops(*from, metric);
                for (to, hop) in all.iter().zip(first).filter_map(|(to, hop)| Some((to, hop?))) {
                    let way = follow(&tables, hop, *to);
                    prop_assert!(ways.contains_key(&(*from, hop)) && hop != *to, "through another");
                    prop_assert!(!way.contains(from), "{:?} begins anew at {:?}", way, from);
                }
            }
        }
    }
}

fn line(regions: usize) -> Topology {
    let mut topology = draw::regions(regions);
    let link = |at: u16| Link {
        between: [RegionIndex(at), RegionIndex(at + 1)],
        quality: Quality { latency_us: 1_000, loss_ppm: 0 },
        risks: Vec::new(),
    };
    topology.ground.links = (0..regions as u16 - 1).map(link).collect();
    topology
}

#[test]
fn no_route_is_longer_than_the_hop_limit() {
    let topology = line(VIA_MAX + 3);
    let next = next_hops(&topology, &LinkView::default(), RegionIndex(0), Metric::Latency);
    let reached = next.iter().filter(|next| **next == Some(RegionIndex(1))).count();
    assert_eq!((reached, next[VIA_MAX + 1], next[VIA_MAX + 2]), (VIA_MAX + 1, Some(RegionIndex(1)), None));
}

#[test]
fn what_begins_here_goes_through_an_intermediate_even_to_a_neighbour() {
    // 0 and 2 are neighbours, and 1 joins both at a higher price.
    let mut topology = line(3);
    let straight = Link { between: [RegionIndex(2), RegionIndex(0)], ..topology.ground.links[0].clone() };
    topology.ground.links.push(straight);
    let view = LinkView::default();
    assert_eq!(next_hops(&topology, &view, RegionIndex(0), Metric::Latency)[2], Some(RegionIndex(2)));
    assert_eq!(first_hops(&topology, &view, RegionIndex(0), Metric::Latency)[2], Some(RegionIndex(1)));
    // Where the one between would send it straight back, there is none.
    let mut view = LinkView::default();
    let far = Way::Measured(Quality { latency_us: 50_000, loss_ppm: 0 });
    view.set(RegionIndex(1), RegionIndex(2), far);
    assert_eq!(first_hops(&topology, &view, RegionIndex(0), Metric::Latency)[2], None);
}

#[test]
fn without_links_the_hops_of_paths_are_what_there_is() {
    let mut topology = draw::regions(4);
    let path = |id, via| Path { id: PathId(id), via: vec![RegionIndex(via)] };
    let set = PathSet {
        name: "set".to_owned(),
        edge: RegionIndex(0),
        gateway: RegionIndex(3),
        paths: vec![path(1, 1), path(2, 2)],
    };
    topology.path_sets = vec![set];
    let mut view = LinkView::default();
    let before = next_hops(&topology, &view, RegionIndex(0), Metric::Loss)[3];
    for (from, to) in [(0, 1), (1, 3)] {
        let lossy = Way::Measured(Quality { latency_us: 10, loss_ppm: 1_000 });
        view.set(RegionIndex(from), RegionIndex(to), lossy);
    }
    assert!(before.is_some());
    assert_eq!(next_hops(&topology, &view, RegionIndex(0), Metric::Loss)[3], Some(RegionIndex(2)));
    assert_eq!(next_hops(&topology, &view, RegionIndex(0), Metric::Latency)[3], Some(RegionIndex(1)));
    view.set(RegionIndex(1), RegionIndex(3), Way::Down);
    assert_eq!(next_hops(&topology, &view, RegionIndex(0), Metric::Latency)[3], Some(RegionIndex(2)));
}

#[test]
fn a_region_that_is_not_there_has_no_routes() {
    let topology = line(2);
    let next = next_hops(&topology, &LinkView::default(), RegionIndex(9), Metric::Latency);
    assert_eq!(next, [None, None]);
}
