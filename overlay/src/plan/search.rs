//! From disjoint paths to path sets: also no shared risk, and no more regions than the hop limit allows.
//!
//! Both make the problem hard (NP-hard in general), so this search has a budget. It begins with the cheapest disjoint
//! paths and, as long as two of them share a risk, branches: one member of the risk must go, or the other. The cheapest branch goes on
//! first, so the first one without a conflict is the best of all but those where *one* path takes both members, which
//! no branch holds. Two more branches, where the risk belongs to one of the paths alone, end the search early
//! in most cases. Paths with too many hops are planned again with hops made dearer, in steps, until hops are all that counts.
//!
//! [`Plan::proven`] says when none of this left anything open.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::ends::{Ban, Ends};
use super::flow::Flow;
use super::graph::{Element, Graph, Scale, Weight, cost_us};
use super::set::{Basis, Plan, Route};
use super::tree;
use crate::topology::{RegionIndex, RiskIndex};

/// Most regions between the ends: a packet leaves with this hop limit, and each region takes one.
pub const VIA_MAX: usize = crate::wire::HOP_LIMIT_DEFAULT as usize;

/// Most paths of a set.
pub const PATHS_MAX: usize = 8;

/// Runs of the flow that the search for one set, with one number of paths, may take.
const RUNS_MAX: usize = 48;

/// Each planned set's search goes through these in turn while paths are too long.
const SCALES: [Scale; 7] = [
    Scale::Plus(0),
    Scale::Plus(1_000),
    Scale::Plus(4_000),
    Scale::Plus(16_000),
    Scale::Plus(64_000),
    Scale::Plus(256_000),
    Scale::Hops,
];

/// Plans path sets towards one gateway region.
pub struct Solver {
    pub(super) gateway: usize,
    /// Paths with more regions between their ends are none.
    via_max: usize,
    /// By scale, made when first needed.
    distances: [Option<Vec<Weight>>; SCALES.len()],
    flow: Flow,
}

/// A state of the search: paths, and what led to them.
struct Branch {
    bans: Vec<Ban>,
    scale: usize,
    paths: Vec<Vec<usize>>,
}

enum Conflict {
    TooLong,
    Shared { risk: RiskIndex, one: (usize, Element), other: (usize, Element) },
}

/// What the search came to: paths, or none, and whether that is certain.
struct Outcome {
    paths: Option<Vec<Vec<usize>>>,
    proven: bool,
}

impl Solver {
    /// For one gateway region of the graph, which must be the same in every call.
    pub fn new(gateway: RegionIndex, via_max: usize) -> Solver {
        Solver {
            gateway: usize::from(gateway.0),
            via_max,
            distances: Default::default(),
            flow: Flow::default(),
        }
    }

    /// Forgets what it knows of the graph, which has changed.
    pub(super) fn forget(&mut self) {
        self.distances = Default::default();
    }

    pub(super) fn distances(&mut self, graph: &Graph) -> &[Weight] {
        let gateway = self.gateway;
        self.distances[0].get_or_insert_with(|| tree::distances(graph, gateway, SCALES[0]))
    }

    /// Plans at most `wanted` paths, [`PATHS_MAX`] at most. Ends that are none, or the same, have no path.
    pub fn plan(&mut self, graph: &Graph, edge: RegionIndex, wanted: usize) -> Plan {
        let wanted = wanted.clamp(1, PATHS_MAX);
        let mut plan = Plan { edge, wanted, routes: Vec::new(), proven: true, basis: Basis::Search };
        let edge = usize::from(edge.0);
        if edge == self.gateway || edge.max(self.gateway) >= graph.regions() {
            return plan;
        }
        let paths = self.run(graph, edge, wanted, 0, &[]);
        let prices = Basis::Prices {
            raised: self.flow.raised(self.distances[0].as_deref().unwrap_or_default()),
            grouped: self.flow.grouped(),
        };
        let found = paths.len();
        if self.conflict(graph, edge, &paths).is_none() {
            plan.basis = prices;
            plan.routes = self.routes(graph, edge, paths);
            return plan;
        }
        let mut first = Some(paths);
        for count in (1..=found).rev() {
            let paths = first.take().unwrap_or_else(|| self.run(graph, edge, count, 0, &[]));
            let outcome = self.search(graph, edge, paths);
            plan.proven &= outcome.proven;
            if let Some(paths) = outcome.paths {
                plan.routes = self.routes(graph, edge, paths);
                break;
            }
        }
        plan
    }

    /// Looks for as many paths as there are, without a conflict.
    fn search(&mut self, graph: &Graph, edge: usize, paths: Vec<Vec<usize>>) -> Outcome {
        let count = paths.len();
        let weight = weigh(graph, edge, self.gateway, &paths);
        let mut branches = vec![Branch { bans: Vec::new(), scale: 0, paths }];
        let mut open = BinaryHeap::from([Reverse((weight, 0))]);
        let mut best: Option<(Weight, usize)> = None;
        let (mut proven, mut runs) = (true, 0);
        while let Some(Reverse((weight, at))) = open.pop() {
            if best.is_some_and(|(best, _)| best <= weight) {
                break;
            }
            let Some(conflict) = self.conflict(graph, edge, &branches[at].paths) else {
                best = Some((weight, at));
                break;
            };
            if runs >= RUNS_MAX {
                proven = false;
                break;
            }
            proven &= conflict.is_covered(graph, [edge, self.gateway]);
            for (bans, scale) in branches[at].children(graph, edge, self.gateway, &conflict) {
                runs += 1;
                let paths = self.run(graph, edge, count, scale, &bans);
                if paths.len() < count {
                    continue;
                }
                let weight = weigh(graph, edge, self.gateway, &paths);
                let at = branches.len();
                if best.is_none_or(|(best, _)| weight < best) {
                    if self.conflict(graph, edge, &paths).is_none() {
                        best = Some((weight, at));
                    } else {
                        open.push(Reverse((weight, at)));
                    }
                    branches.push(Branch { bans, scale, paths });
                }
            }
        }
        let paths = best.map(|(_, at)| branches.swap_remove(at).paths);
        Outcome { paths, proven }
    }

    fn run(
        &mut self,
        graph: &Graph,
        edge: usize,
        count: usize,
        scale: usize,
        bans: &[Ban],
    ) -> Vec<Vec<usize>> {
        let (gateway, kind) = (self.gateway, SCALES[scale]);
        let distances = self.distances[scale].get_or_insert_with(|| tree::distances(graph, gateway, kind));
        let ends = Ends { graph, edge, gateway, scale: kind, distances, bans };
        self.flow.run(&ends, count);
        self.flow.paths(&ends)
    }

    fn conflict(&self, graph: &Graph, edge: usize, paths: &[Vec<usize>]) -> Option<Conflict> {
        if paths.iter().any(|path| path.len() > self.via_max) {
            return Some(Conflict::TooLong);
        }
        if !graph.has_risks() {
            return None;
        }
        let ends = [edge, self.gateway];
        let mut risks = Vec::new();
        for (path, via) in paths.iter().enumerate() {
            for (place, element) in elements(graph, ends, via).enumerate() {
                risks.extend(graph.risks(element).iter().map(|risk| (*risk, path, place, element)));
            }
        }
        risks.sort_unstable_by_key(|(risk, path, place, _)| (*risk, *path, *place));
        risks.retain(|(risk, ..)| !ends.iter().any(|end| graph.risks(Element::Region(*end)).contains(risk)));
        let pair = risks.windows(2).find(|pair| pair[0].0 == pair[1].0 && pair[0].1 != pair[1].1)?;
        let [(risk, one, _, a), (_, other, _, b)] = pair else { return None };
        Some(Conflict::Shared { risk: *risk, one: (*one, *a), other: (*other, *b) })
    }

    fn routes(&self, graph: &Graph, edge: usize, paths: Vec<Vec<usize>>) -> Vec<Route> {
        let ends = [edge, self.gateway];
        let weighed =
            paths.into_iter().map(|via| (weigh(graph, edge, self.gateway, core::slice::from_ref(&via)), via));
        let mut weighed: Vec<(Weight, Vec<usize>)> = weighed.collect();
        weighed.sort();
        let own = |risk: &RiskIndex| ends.iter().any(|end| graph.risks(Element::Region(*end)).contains(risk));
        let route = |(weight, via): (Weight, Vec<usize>)| {
            let risks = elements(graph, ends, &via).flat_map(|element| graph.risks(element).iter().copied());
            let mut risks: Vec<RiskIndex> = risks.filter(|risk| !own(risk)).collect();
            risks.sort_unstable();
            risks.dedup();
            let via = via.into_iter().map(|region| RegionIndex(region as u16)).collect();
            Route { via, risks, cost_us: cost_us(weight) }
        };
        weighed.into_iter().map(route).collect()
    }
}

impl Conflict {
    /// Whether the branches hold every solution: no path takes two of an end's own links.
    fn is_covered(&self, graph: &Graph, ends: [usize; 2]) -> bool {
        match self {
            Conflict::TooLong => false,
            Conflict::Shared { one, other, .. } => match (one.1, other.1) {
                (Element::Link(a), Element::Link(b)) => {
                    ends.iter().any(|end| graph.ends(a).contains(end) && graph.ends(b).contains(end))
                }
                _ => false,
            },
        }
    }
}

impl Branch {
    fn children(
        &self,
        graph: &Graph,
        edge: usize,
        gateway: usize,
        conflict: &Conflict,
    ) -> Vec<(Vec<Ban>, usize)> {
        let with = |ban| {
            let mut bans = self.bans.clone();
            bans.push(ban);
            (bans, self.scale)
        };
        match *conflict {
            Conflict::TooLong if self.scale + 1 < SCALES.len() => vec![(self.bans.clone(), self.scale + 1)],
            Conflict::TooLong => Vec::new(),
            Conflict::Shared { risk, one, other } => {
                let alone = |path: usize| {
                    let own = elements(graph, [edge, gateway], &self.paths[path]);
                    Ban::Risk(risk, own.filter(|element| graph.risks(*element).contains(&risk)).collect())
                };
                vec![with(alone(one.0)), with(alone(other.0)), with(Ban::One(one.1)), with(Ban::One(other.1))]
            }
        }
    }
}

/// The links and regions of a path in order, without the regions at its ends.
fn elements<'a>(graph: &'a Graph, ends: [usize; 2], via: &'a [usize]) -> impl Iterator<Item = Element> + 'a {
    let stops = via.iter().copied().chain([ends[1]]);
    let before = [ends[0]].into_iter().chain(via.iter().copied());
    before.zip(stops).flat_map(move |(from, to)| {
        let link = graph.arc(from, to).map(|arc| Element::Link(arc.link as usize));
        link.into_iter().chain((to != ends[1]).then_some(Element::Region(to)))
    })
}

fn weigh(graph: &Graph, edge: usize, gateway: usize, paths: &[Vec<usize>]) -> Weight {
    let links = paths.iter().flat_map(|via| elements(graph, [edge, gateway], via));
    let weights = links.filter_map(|element| match element {
        Element::Link(link) => Some(graph.weight(link)),
        Element::Region(_) => None,
    });
    weights.sum()
}
