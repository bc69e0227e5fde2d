//! Every path set towards one gateway region, kept current while links change.

use std::rc::Rc;

use super::cost::Quality;
use super::graph::{FAR, Graph, Weight};
use super::search::{Solver, VIA_MAX};
use super::set::{Basis, Plan};
use crate::topology::{LinkIndex, RegionIndex};

/// Plans from every edge region to one gateway region, and plans again what a changed link can matter to.
///
/// Every plan that one run of the flow found comes with prices: by the duality of linear programs it is the cheapest as
/// long as no link it could take costs less than the difference of prices between its ends. So a link that gets worse matters to the
/// plans that use it, and one that gets better to the plans whose prices it undercuts; others would come out the same.
pub struct Planner {
    graph: Graph,
    solver: Solver,
    wanted: usize,
    plans: Vec<(Plan, Rc<[Weight]>)>,
}

impl Planner {
    /// Plans `wanted` paths from each edge to the gateway.
    pub fn new(
        graph: Graph,
        gateway: RegionIndex,
        edges: impl IntoIterator<Item = RegionIndex>,
        wanted: usize,
    ) -> Planner {
        let mut solver = Solver::new(gateway, VIA_MAX);
        let known = usize::from(gateway.0) < graph.regions();
        let distances: Rc<[Weight]> = if known { solver.distances(&graph).into() } else { Rc::new([]) };
        let plans = edges
            .into_iter()
            .map(|edge| (solver.plan(&graph, edge, wanted), Rc::clone(&distances)))
            .collect();
        Planner { graph, solver, wanted, plans }
    }

    /// The plans, in the order of the edges.
    pub fn plans(&self) -> impl Iterator<Item = &Plan> {
        self.plans.iter().map(|(plan, _)| plan)
    }

    /// The graph as it is now.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// Takes in that a link has another quality, or none while it is down; gives the positions of the plans that were made anew.
    pub fn change(&mut self, link: LinkIndex, quality: Option<Quality>) -> Vec<usize> {
        let Some((old, new)) = self.graph.set(link, quality) else { return Vec::new() };
        if old == new {
            return Vec::new();
        }
        let ends = self.graph.ends(link.0 as usize);
        let matters =
            |(plan, distances): &(Plan, Rc<[Weight]>)| self.matters(plan, distances, ends, old, new);
        let again: Vec<usize> =
            self.plans.iter().enumerate().filter(|(_, plan)| matters(plan)).map(|(at, _)| at).collect();
        self.solver.forget();
        if again.is_empty() {
            return again;
        }
        let distances: Rc<[Weight]> = self.solver.distances(&self.graph).into();
        for at in &again {
            let plan = self.solver.plan(&self.graph, self.plans[*at].0.edge, self.wanted);
            self.plans[*at] = (plan, Rc::clone(&distances));
        }
        again
    }

    /// Whether a link's change can matter to a plan.
    fn matters(&self, plan: &Plan, distances: &[Weight], ends: [usize; 2], old: Weight, new: Weight) -> bool {
        let Basis::Prices { raised, grouped } = &plan.basis else { return true };
        let edge = usize::from(plan.edge.0);
        let gateway = self.solver.gateway;
        let [a, b] = ends;
        // A path leads through another region, so the link between the ends is on none.
        if (a, b) == (edge, gateway) || (b, a) == (edge, gateway) {
            return false;
        }
        if plan.routes.iter().any(|route| takes(edge, gateway, &route.via, ends)) {
            return true;
        }
        if new > old {
            return false;
        }
        let at_end = |end: usize, other: usize| {
            (end == edge || end == gateway) && grouped.binary_search(&(other as u32)).is_ok()
        };
        if plan.routes.len() < plan.wanted && old == FAR || at_end(a, b) || at_end(b, a) {
            return true;
        }
        let price = |place: usize| {
            let above = raised.binary_search_by_key(&(place as u32), |(place, _)| *place);
            let above = above.ok().and_then(|at| raised.get(at)).map_or(0, |(_, above)| *above);
            distances[place / 2].saturating_add(above)
        };
        let undercuts = |from: usize, to: usize| {
            let leaves = from == edge || from != gateway && self.graph.is_transit(from);
            let arrives = to == gateway || to != edge && self.graph.is_transit(to);
            // At or below: an equal one may be marked otherwise.
            leaves && arrives && new.saturating_add(price(2 * to)) <= price(2 * from + 1)
        };
        undercuts(a, b) || undercuts(b, a)
    }
}

/// Whether a path takes the link between two regions.
fn takes(edge: usize, gateway: usize, via: &[RegionIndex], [a, b]: [usize; 2]) -> bool {
    let via = || via.iter().map(|region| usize::from(region.0));
    let hops = [edge].into_iter().chain(via()).zip(via().chain([gateway]));
    hops.into_iter().any(|hop| hop == (a, b) || hop == (b, a))
}
