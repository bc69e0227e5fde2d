//! Path sets that the operator leaves to the planner.
//!
//! Planned paths are put where written ones would stand, so that every check applies alike. Every node plans for itself, from
//! the same file to the same paths. A path's number follows from the names of the regions along it: a number once used for a
//! way is not used for another, and while a reload goes round the overlay no two nodes mean different ways by it.

use std::collections::{BTreeMap, HashSet};

use overlay::plan::{Certificate, Graph, Plan, Solver, VIA_MAX};
use overlay::plans::number;
use overlay::topology::{PathId, RegionIndex, Topology};

use crate::check::names::Links;
use crate::ground::index;
use crate::problems::{At, Place};
use crate::reader::List;
use crate::topology_file::{RawPath, TopologyFile};

/// What the planner says of a path set.
pub(crate) struct Planned {
    pub(crate) plan: Plan,
    pub(crate) certificate: Certificate,
}

/// Plans every path set that asks for it; by path set, none where paths are written, or where links or regions could not
/// be read, which has been told.
pub(crate) fn paths(file: &mut TopologyFile, links: &mut Links, ground: &Topology) -> Vec<Option<Planned>> {
    let mut planned: Vec<Option<Planned>> = file.path_sets.items.iter().map(|_| None).collect();
    if !is_whole(file, links) || file.path_sets.items.iter().all(|set| set.value.plan.is_none()) {
        return planned;
    }
    let Ok(graph) = Graph::new(ground) else { return planned };
    let written = file.path_sets.items.iter().flat_map(|set| &set.value.paths.items);
    let mut taken: HashSet<u16> =
        written.filter_map(|path| path.value.id.as_ref()).map(|id| id.value).collect();
    let mut solvers: BTreeMap<RegionIndex, Solver> = BTreeMap::new();
    for (at, (set, ends)) in file.path_sets.items.iter_mut().zip(&mut links.path_sets).enumerate() {
        let Some(wanted) = &set.value.plan else { continue };
        let ends_known = |end: Option<usize>| end.and_then(index);
        let (Some(edge), Some(gateway)) = (ends_known(ends.edge), ends_known(ends.gateway)) else { continue };
        let solver = solvers.entry(gateway).or_insert_with(|| Solver::new(gateway, VIA_MAX));
        let plan = solver.plan(&graph, edge, usize::from(wanted.value));
        let place = wanted.place;
        let mut paths = List { items: Vec::new(), complete: true };
        let mut numbers = Vec::new();
        for route in &plan.routes {
            let whole = [edge].into_iter().chain(route.via.iter().copied()).chain([gateway]);
            let number = number(whole.map(|region| name(ground, region)), &mut taken);
            numbers.push(PathId(number));
            ends.via.push(route.via.iter().map(|region| Some(usize::from(region.0))).collect());
            paths.items.push(written_as(number, route.via.iter().map(|region| name(ground, *region)), place));
        }
        set.value.paths = paths;
        let certificate = plan.certificate(gateway, numbers);
        if let Some(slot) = planned.get_mut(at) {
            *slot = Some(Planned { plan, certificate });
        }
    }
    planned
}

/// Whether nothing is missing that paths run over: the plan would be of another overlay.
fn is_whole(file: &TopologyFile, links: &Links) -> bool {
    let (regions, nodes, all) = (&file.regions, &file.nodes, &file.links);
    regions.complete
        && regions.items.iter().all(|region| region.value.name.is_some() && region.value.shared_risk.complete)
        && nodes.complete
        && nodes.items.iter().all(|node| node.value.roles.is_some())
        && links.node_regions.iter().all(Option::is_some)
        && all.complete
        && all.items.iter().all(|link| link.value.latency_us.is_some() && link.value.shared_risk.complete)
        && links.links.iter().flatten().all(Option::is_some)
}

fn name(ground: &Topology, region: RegionIndex) -> &str {
    ground.region(region).map_or("?", |region| region.name.as_str())
}

/// The path as if it stood in the file.
fn written_as<'a>(number: u16, via: impl Iterator<Item = &'a str>, place: Place) -> At<RawPath> {
    let items = via.map(|name| At { value: name.to_owned(), place }).collect();
    let via = List { items, complete: true };
    At { value: RawPath { id: Some(At { value: number, place }), via }, place }
}
