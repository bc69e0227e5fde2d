//! Planned paths carry packets both ways, and paths that could fail together are not compiled.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails its test")]

mod common;

use common::*;
use overlay::plan::{Graph, Quality, Solver, VIA_MAX, Violation};
use overlay::topology::*;
use pipelines::Tables;
use proa_pipelines::tables::{CompileError, Input};

/// The overlay with links, and its path set planned over them.
fn planned() -> Topology {
    let mut topology = topology();
    let link = |a, b, latency_us| Link {
        between: [RegionIndex(a), RegionIndex(b)],
        quality: Quality { latency_us, loss_ppm: 0 },
        risks: Vec::new(),
    };
    topology.ground.links =
        vec![link(0, 3, 1), link(0, 1, 10), link(0, 2, 10), link(1, 2, 1), link(1, 3, 20), link(3, 2, 30)];
    let graph = Graph::new(&topology).unwrap();
    let set = &mut topology.path_sets[0];
    let plan = Solver::new(set.gateway, VIA_MAX).plan(&graph, set.edge, 2);
    let numbers = [PathId(40_000), PathId(50_000)];
    let paths = plan.routes.iter().zip(numbers).map(|(route, id)| Path { id, via: route.via.clone() });
    set.paths = paths.collect();
    topology.certificates = vec![plan.certificate(set.gateway, numbers)];
    topology
}

fn refusal(topology: &Topology) -> Option<Violation> {
    let compiled = Tables::compile(&Input {
        topology,
        node: NodeId(1),
        interfaces: &interfaces(EDGE),
        neighbors: &neighbors(),
        seed: 1,
        previous: None,
        dead: &Default::default(),
        mtus: &Default::default(),
        hops: &Default::default(),
        blocks: &[],
        neighbors_only: false,
    });
    match compiled {
        Err(CompileError::PathSet(refused)) => Some(refused.violation),
        other => {
            other.unwrap();
            None
        }
    }
}

#[test]
fn packets_travel_over_planned_paths() {
    let topology = planned();
    assert_eq!(refusal(&topology), None);
    let mut lab = Lab::with(&topology, 1);
    let request = frame(EDGE, "198.51.100.77", 40_000, "203.0.113.10", 80, 6, b"question");
    let copies = lab.give(EDGE, OUTSIDE, &request);
    assert_eq!(copies.len(), 2);
    let left = lab.run(copies);
    assert_eq!(left.len(), 1, "one copy passes");
    let arrived = read(&left[0].2);
    let (origin, external) = (arrived.dst.to_string(), arrived.src.to_string());
    let reply = frame(GATEWAY, &origin, arrived.dst_port, &external, arrived.src_port, 6, b"answer");
    let copies = lab.give(GATEWAY, OUTSIDE, &reply);
    assert_eq!(copies.len(), 2);
    let left = lab.run(copies);
    assert_eq!((left.len(), left[0].0), (1, EDGE));
    assert_eq!(read(&left[0].2).dst, addr("198.51.100.77"));
}

#[test]
fn what_is_not_what_it_claims_is_refused() {
    let mut other = planned();
    other.path_sets[0].paths.swap(0, 1);
    assert_eq!(refusal(&other), Some(Violation::OtherPaths));

    let mut dearer = planned();
    dearer.ground.links[1].quality.latency_us += 1;
    assert_eq!(refusal(&dearer), Some(Violation::OtherCost));

    let mut risky = planned();
    risky.ground.risks = vec![Risk { name: "duct".to_owned(), regions: Vec::new() }];
    risky.ground.links[1].risks = vec![RiskIndex(0)];
    risky.ground.links[2].risks = vec![RiskIndex(0)];
    assert_eq!(refusal(&risky), Some(Violation::OtherRisks(PathId(40_000))));
    risky.certificates.clear();
    assert!(matches!(refusal(&risky), Some(Violation::SharedRisk(shared)) if shared.paths.len() == 2));
    risky.ground.disjoint = Disjoint::Warn;
    assert_eq!(refusal(&risky), None, "the operator accepts it");

    let mut shared = topology();
    shared.path_sets[0].paths[1].via = vec![RegionIndex(2), RegionIndex(1)];
    assert!(matches!(refusal(&shared), Some(Violation::SharedRegion(_))));

    let mut direct = topology();
    direct.path_sets[0].paths[1].via.clear();
    direct.ground.disjoint = Disjoint::Warn;
    assert_eq!(refusal(&direct), Some(Violation::Direct(PathId(12))), "nobody can accept that");
}
