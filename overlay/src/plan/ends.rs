//! What one search is about: two ends, and what may lie between them.

use super::graph::{Element, Graph, Scale, Weight};
use crate::topology::RiskIndex;

/// What a search must not use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ban {
    One(Element),
    /// All that has the risk but these.
    Risk(RiskIndex, Vec<Element>),
}

/// The ways between one edge region and one gateway region.
pub(super) struct Ends<'a> {
    pub(super) graph: &'a Graph,
    pub(super) edge: usize,
    pub(super) gateway: usize,
    pub(super) scale: Scale,
    /// [`super::tree::distances`] on the same scale.
    pub(super) distances: &'a [Weight],
    pub(super) bans: &'a [Ban],
}

impl Ends<'_> {
    /// Whether the risk is one of the ends' own: no choice of paths helps against it.
    pub(super) fn are_in(&self, risk: RiskIndex) -> bool {
        [self.edge, self.gateway].iter().any(|end| self.graph.risks(Element::Region(*end)).contains(&risk))
    }
}
