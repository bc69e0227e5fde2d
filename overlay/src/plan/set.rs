//! A planned path set.

use super::certificate::{Certificate, Proof};
use super::graph::Weight;
use crate::topology::{PathId, RegionIndex, RiskIndex};

/// A planned path set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The clients' end.
    pub edge: RegionIndex,
    /// How many paths were asked for.
    pub wanted: usize,
    /// The paths, the cheapest first: no two share an intermediate region or a risk. Fewer than wanted where no more were
    /// found.
    pub routes: Vec<Route>,
    /// Whether it is certain that there are no more paths and no cheaper ones. Otherwise the search's budget or its gaps
    /// may have missed some; what was found is no less disjoint.
    pub proven: bool,
    pub(super) basis: Basis,
}

/// A path of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The regions between the ends, edge first.
    pub via: Vec<RegionIndex>,
    /// The risks of its links and regions in order, each once, without those that an end itself is in.
    pub risks: Vec<RiskIndex>,
    /// What its links cost, µs.
    pub cost_us: u64,
}

/// Why a plan needs attention.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// No path at all.
    Cut,
    /// One path, though two or more were wanted: its failure stops everything.
    Single,
    /// Fewer paths than wanted, two at least.
    Fewer,
}

/// What a plan rests on, and so which changes of links can matter to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Basis {
    /// One run of the flow: it holds as long as no link is cheaper than its ends' difference in price.
    Prices {
        /// Places with a price above the distance to the gateway, and how far above.
        raised: Vec<(u32, Weight)>,
        /// Regions whose link to an end is in a group of shared risk.
        grouped: Vec<u32>,
    },
    /// A search: any change may matter.
    Search,
}

impl Plan {
    /// What the operator must know of it.
    pub fn alarm(&self) -> Option<Alarm> {
        match self.routes.len() {
            0 => Some(Alarm::Cut),
            found if found >= self.wanted => None,
            1 => Some(Alarm::Single),
            _ => Some(Alarm::Fewer),
        }
    }

    /// The proof that goes with its paths, which get these numbers in turn; a path without one is left out.
    pub fn certificate(
        &self,
        gateway: RegionIndex,
        numbers: impl IntoIterator<Item = PathId>,
    ) -> Certificate {
        let proof = |(route, id): (&Route, PathId)| Proof {
            id,
            via: route.via.clone(),
            risks: route.risks.clone(),
            cost_us: route.cost_us,
        };
        let paths: Vec<Proof> = self.routes.iter().zip(numbers).map(proof).collect();
        let cost_us = paths.iter().map(|path| path.cost_us).sum();
        Certificate { edge: self.edge, gateway, paths, cost_us }
    }

    /// What all its paths cost, µs.
    pub fn cost_us(&self) -> u64 {
        self.routes.iter().map(|route| route.cost_us).sum()
    }
}
