//! Outages of whole regions and of whatever shares a trench or a power grid: paths of a set never fail together, so copies over two
//! of them lose nothing, whatever the outage; a single path does.

use proa_tests::globe::{CONTENDERS, Overlay, World};
use proa_tests::sim::{MILLISECOND, Random, SECOND, seeds};
use std::collections::BTreeSet;

/// How long an outage lasts, and how long all is well after it.
const OUTAGE_NS: u64 = 40 * MILLISECOND;
const PAUSE_NS: u64 = 400 * MILLISECOND;

/// Something stops, or is there again.
fn set(world: &mut World, regions: &[usize], cables: &[usize], stops: bool) {
    for region in regions {
        world.conditions.dark[*region] = stops;
    }
    for cable in cables {
        world.conditions.cut[*cable] = u32::from(stops);
    }
    world.change();
}

#[test]
fn two_disjoint_paths_survive_every_single_outage() {
    seeds("globe_outages", "two_disjoint_paths_survive_every_single_outage", 3, |seed| {
        let overlay = Overlay::draw(seed, 2, CONTENDERS);
        let map = overlay.map.clone();
        let ends: BTreeSet<usize> = overlay
            .flows
            .iter()
            .flat_map(|flow| [flow.edge, flow.gateway].map(|node| overlay.region(node)))
            .collect();
        let vias = overlay.topology.path_sets.iter().flat_map(|set| &set.paths).flat_map(|path| &path.via);
        let regions: BTreeSet<usize> =
            vias.map(|region| usize::from(region.0)).filter(|region| !ends.contains(region)).collect();
        // Each region alone; each cable alone; and what shares a risk, unless an end is in it: then the end is gone anyway.
        let mut outages: Vec<(Vec<usize>, Vec<usize>)> =
            regions.iter().map(|region| (vec![*region], vec![])).collect();
        outages.extend((0..map.cables.len()).map(|cable| (vec![], vec![cable])));
        for (risk, hazard) in map.hazards.iter().enumerate() {
            let cables =
                (0..map.cables.len()).filter(|cable| map.cables[*cable].risks.contains(&risk)).collect();
            if !hazard.regions.iter().any(|region| ends.contains(region)) {
                outages.push((hazard.regions.clone(), cables));
            }
        }
        Random::new(seed, 36).shuffle(&mut outages);
        outages.truncate(40);
        let mut world = World::new(overlay, seed, None);
        world.send(4 * MILLISECOND, SECOND + outages.len() as u64 * (OUTAGE_NS + PAUSE_NS));
        world.run_until(SECOND);
        for (regions, cables) in &outages {
            set(&mut world, regions, cables, true);
            world.run_until(world.now_ns + OUTAGE_NS);
            set(&mut world, regions, cables, false);
            world.run_until(world.now_ns + PAUSE_NS);
        }
        world.run_until(world.now_ns + SECOND);
        world.check_once();
        let lost = |name: &str| {
            let at = CONTENDERS.iter().position(|contender| contender.name == name).expect("a contender");
            world.scores[at].sent - world.scores[at].delivered
        };
        assert_eq!((lost("replicate ×2"), lost("replicate ×3")), (0, 0), "{outages:?}");
        assert!(lost("one path") > 0 && lost("shortest") > 0, "no outage met a path: nothing was tested");
    });
}
