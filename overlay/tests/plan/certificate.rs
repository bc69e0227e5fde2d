//! Certificates that state anything but the truth are found out, and no certificate makes the check panic.

use super::draw::{Shape, small};
use super::{EDGE, GATEWAY, oracle};
use proa_overlay::plan::{Certificate, Checker, Graph, Proof, Solver, VIA_MAX, verify};
use proa_overlay::topology::{Disjoint, PathId, RegionIndex, RiskIndex, Topology};
use proptest::prelude::*;

/// What a liar may change.
#[derive(Clone, Debug)]
enum Lie {
    Via(prop::sample::Index, Vec<u16>),
    Risks(prop::sample::Index, Vec<u16>),
    PathCost(prop::sample::Index, u64),
    Cost(u64),
    Number(prop::sample::Index, u16),
    Add(Vec<u16>),
    Ends(u16, u16),
}

fn lie() -> impl Strategy<Value = Lie> {
    let at = any::<prop::sample::Index>;
    let regions = || prop::collection::vec(0u16..10, 0..5);
    prop_oneof![
        (at(), regions()).prop_map(|(at, via)| Lie::Via(at, via)),
        (at(), prop::collection::vec(0u16..7, 0..4)).prop_map(|(at, risks)| Lie::Risks(at, risks)),
        (at(), 0u64..60).prop_map(|(at, cost)| Lie::PathCost(at, cost)),
        any::<u64>().prop_map(Lie::Cost),
        (at(), 1u16..4).prop_map(|(at, number)| Lie::Number(at, number)),
        regions().prop_map(Lie::Add),
        (0u16..12, 0u16..12).prop_map(|(edge, gateway)| Lie::Ends(edge, gateway)),
    ]
}

fn tell(certificate: &mut Certificate, lie: Lie) {
    let regions = |via: Vec<u16>| via.into_iter().map(RegionIndex).collect::<Vec<_>>();
    let count = certificate.paths.len();
    let mut path = |at: prop::sample::Index, change: &mut dyn FnMut(&mut Proof)| {
        if count > 0 {
            change(&mut certificate.paths[at.index(count)]);
        }
    };
    match lie {
        Lie::Via(at, via) => path(at, &mut |path| path.via = regions(via.clone())),
        Lie::Risks(at, risks) => {
            path(at, &mut |path| path.risks = risks.iter().copied().map(RiskIndex).collect())
        }
        Lie::PathCost(at, cost) => path(at, &mut |path| path.cost_us = cost),
        Lie::Number(at, number) => path(at, &mut |path| path.id = PathId(number)),
        Lie::Cost(cost) => certificate.cost_us = cost,
        Lie::Add(via) => {
            let id = PathId(9);
            certificate.paths.push(Proof { id, via: regions(via), risks: Vec::new(), cost_us: 0 });
        }
        Lie::Ends(edge, gateway) => {
            (certificate.edge, certificate.gateway) = (RegionIndex(edge), RegionIndex(gateway))
        }
    }
}

/// Whether all that a certificate states is true, as the walk through all paths knows it.
fn is_true(topology: &Topology, certificate: &Certificate) -> bool {
    let regions = topology.regions.len() as u16;
    if certificate.edge.0 >= regions
        || certificate.gateway.0 >= regions
        || certificate.edge == certificate.gateway
    {
        return false;
    }
    let walks = oracle::walks(topology, certificate.edge, certificate.gateway, VIA_MAX);
    let found: Vec<_> = certificate
        .paths
        .iter()
        .filter_map(|path| {
            let walk = walks.iter().find(|walk| walk.via == path.via)?;
            (walk.cost_us == path.cost_us && walk.risks() == path.risks).then(|| walk.clone())
        })
        .collect();
    let count = certificate.paths.len();
    let mut numbers: Vec<u16> = certificate.paths.iter().map(|path| path.id.0).collect();
    numbers.sort_unstable();
    numbers.dedup();
    count > 0
        && numbers.len() == count
        && found.len() == count
        && oracle::best(&found, count).0 == count
        && certificate.cost_us == found.iter().map(|walk| walk.cost_us).sum::<u64>()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn only_the_truth_holds(seed: u64, regions in 4usize..9, density in 40u64..95, risks in 0usize..5,
                            lies in prop::collection::vec(lie(), 0..3)) {
        let topology = small(seed, Shape { regions, density, risks });
        // Without links nothing is known of hops.
        prop_assume!(!topology.ground.links.is_empty());
        let plan = Solver::new(GATEWAY, VIA_MAX).plan(&Graph::new(&topology).unwrap(), EDGE, 2);
        let mut certificate = plan.certificate(GATEWAY, (1..).map(PathId));
        lies.into_iter().for_each(|lie| tell(&mut certificate, lie));
        let found = Checker::new(&topology).check(&certificate);
        prop_assert_eq!(found.is_empty(), is_true(&topology, &certificate), "{:?}", found);
        prop_assert_eq!(certificate.verify(&topology).is_ok(), found.is_empty());
    }
}

/// The policy accepts what can fail together, never what does not work.
#[test]
fn a_warning_accepts_shared_fate_alone() {
    let mut topology = small(1, Shape { regions: 6, density: 100, risks: 0 });
    topology.nodes.iter_mut().for_each(|node| node.roles.intermediate = true);
    let plan = Solver::new(GATEWAY, VIA_MAX).plan(&Graph::new(&topology).unwrap(), EDGE, 2);
    let mut set = super::set(&plan, GATEWAY);
    set.paths[1].via = set.paths[0].via.clone();
    topology.path_sets = vec![set];
    assert!(verify(&topology).is_err());
    topology.ground.disjoint = Disjoint::Warn;
    assert_eq!(verify(&topology), Ok(()));
    topology.path_sets[0].paths[1].via.clear();
    assert!(verify(&topology).is_err());
}
