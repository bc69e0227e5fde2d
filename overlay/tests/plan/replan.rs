//! Planning again what a change matters to comes out as planning everything again.

use super::draw::{Draw, Shape, geometric, quality, small};
use super::sound;
use proa_overlay::plan::{Graph, Planner, Quality};
use proa_overlay::topology::{LinkIndex, RegionIndex, Topology};
use proptest::prelude::*;

fn edges(topology: &Topology, gateway: RegionIndex) -> Vec<RegionIndex> {
    (0..topology.regions.len() as u16).map(RegionIndex).filter(|region| *region != gateway).collect()
}

/// Changes links one after the other, and compares after each; gives how many plans were made anew.
fn change(
    topology: &mut Topology,
    gateway: RegionIndex,
    wanted: usize,
    changes: usize,
    mut draw: Draw,
    mut better: impl FnMut(&mut Draw, Quality) -> Option<Quality>,
) -> usize {
    let all = edges(topology, gateway);
    let mut planner = Planner::new(Graph::new(topology).unwrap(), gateway, all.clone(), wanted);
    let mut anew = 0;
    let original = topology.ground.links.clone();
    let mut now: Vec<Option<Quality>> = original.iter().map(|link| Some(link.quality)).collect();
    for _ in 0..changes {
        let link = draw.below(original.len() as u64) as usize;
        now[link] = better(&mut draw, original[link].quality);
        anew += planner.change(LinkIndex(link as u32), now[link]).len();
        topology.ground.links = original
            .iter()
            .zip(&now)
            .filter_map(|(link, quality)| {
                let mut link = link.clone();
                link.quality = (*quality)?;
                Some(link)
            })
            .collect();
        let whole = Planner::new(Graph::new(topology).unwrap(), gateway, all.clone(), wanted);
        for (again, whole) in planner.plans().zip(whole.plans()) {
            sound_if_links(topology, again, gateway);
            assert_eq!(again.routes, whole.routes, "towards {gateway:?} from {:?}", again.edge);
            assert_eq!(again.proven, whole.proven);
        }
    }
    anew
}

/// Without any link left nothing is known of links, and no plan to hold against it.
fn sound_if_links(topology: &Topology, plan: &proa_overlay::plan::Plan, gateway: RegionIndex) {
    if !topology.ground.links.is_empty() {
        sound(topology, plan, gateway);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn small_graphs(seed: u64, regions in 4usize..10, density in 25u64..90, risks in 0usize..5, wanted in 1usize..4) {
        let mut topology = small(seed, Shape { regions, density, risks });
        prop_assume!(!topology.ground.links.is_empty());
        change(&mut topology, RegionIndex(0), wanted, 12, Draw(seed), |draw, _| {
            (!draw.percent(25)).then(|| quality(draw))
        });
    }
}

#[test]
fn a_large_graph() {
    let mut topology = geometric(11, 120, 1_200, 0);
    let anew = change(&mut topology, RegionIndex(5), 2, 120, Draw(1), |draw, was| match draw.below(4) {
        0 => None,
        1 => Some(was),
        2 => Some(Quality { latency_us: was.latency_us / 2, ..was }),
        _ => Some(Quality { latency_us: was.latency_us * 2, ..was }),
    });
    // Most changes matter to few.
    assert!(anew < 120 * 119 / 5, "{anew}");
}
