//! Regions and the weights of the ways between them, and the tables that follow.

use std::collections::BTreeMap;

use super::tree::{Arc, FAR, Tree, Weight, grow};
use super::view::{LinkView, Way};
use crate::plan::{LATENCY_US_MAX, Quality, VIA_MAX, loss_us};
use crate::topology::{RegionIndex, Topology};

/// What makes a route better than another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// The sum of latencies; loss settles ties. Routing protocol `shortest`.
    Latency,
    /// The chance that a packet arrives, as the sum of −ln(1 − loss); latency settles ties. Routing protocol `cleanest`.
    Loss,
}

/// What counts of a hop where the topology names no links and nothing was measured: all such hops weigh the same.
const UNKNOWN: Quality = Quality { latency_us: 10_000, loss_ppm: 0 };

/// Bits of a weight: the metric from here on, its companion from [`SECOND`] on, and a mark below that no two sums should share.
const FIRST: u32 = 64;
const SECOND: u32 = 27;

/// The regions with the ways between them as they are at a time.
pub struct Network {
    transit: Vec<bool>,
    /// By region, in the order of the regions they lead to.
    arcs: Vec<Vec<Arc>>,
}

impl Network {
    /// The topology's links with what is known of them. A topology without links has those that its paths take.
    pub fn new(topology: &Topology, view: &LinkView) -> Network {
        let regions = topology.regions.len();
        let mut transit = vec![false; regions];
        for node in topology.nodes.iter().filter(|node| node.roles.intermediate) {
            if let Some(transit) = transit.get_mut(usize::from(node.region.0)) {
                *transit = true;
            }
        }
        let mut arcs: Vec<Vec<Arc>> = vec![Vec::new(); regions];
        for ((a, b), configured) in links(topology) {
            if usize::from(a.0.max(b.0)) >= regions {
                continue;
            }
            let weights = |from, to| match view.get(from, to) {
                Some(Way::Down) => [FAR; 2],
                Some(Way::Measured(quality)) => weights(a, b, quality),
                None => weights(a, b, configured),
            };
            let (out, back) = (weights(a, b), weights(b, a));
            arcs[usize::from(a.0)].push(Arc { to: b.0.into(), out, back });
            arcs[usize::from(b.0)].push(Arc { to: a.0.into(), out: back, back: out });
        }
        Network { transit, arcs }
    }

    /// By region: where packets that pass through `from` go next on their way there.
    pub fn next_hops(&self, from: RegionIndex, metric: Metric) -> Vec<Option<RegionIndex>> {
        let root = usize::from(from.0);
        self.first_steps(&self.tree_from(root, metric), root)
    }

    /// By region: where packets that begin their way in `from` go first. That is always an intermediate region, and
    /// one whose own way there does not lead back through `from`; none where there is none.
    pub fn first_hops(&self, from: RegionIndex, metric: Metric) -> Vec<Option<RegionIndex>> {
        let root = usize::from(from.0);
        let mut first = self.first_steps(&self.tree_from(root, metric), root);
        for (region, hop) in first.iter_mut().enumerate() {
            if hop.is_some_and(|hop| usize::from(hop.0) == region) {
                *hop = self.detour(root, region, metric);
            }
        }
        first
    }

    /// The regions from one to another that packets pass which begin their way there, both ends included; none where there is no way, or
    /// none within the hop limit.
    pub fn way(&self, from: RegionIndex, to: RegionIndex, metric: Metric) -> Option<Vec<RegionIndex>> {
        let mut way = vec![from];
        let mut at = *self.first_hops(from, metric).get(usize::from(to.0))?;
        while let Some(next) = at {
            way.push(next);
            if next == to {
                return Some(way);
            }
            if way.len() > VIA_MAX + 1 {
                break;
            }
            at = *self.next_hops(next, metric).get(usize::from(to.0))?;
        }
        None
    }

    /// The best neighbour by which to reach a region that is a neighbour itself.
    fn detour(&self, from: usize, to: usize, metric: Metric) -> Option<RegionIndex> {
        let tree = grow(&self.arcs, &self.transit, to, |arc| arc.back[metric as usize]);
        // The regions from a neighbour on, itself included, the last one not.
        let way = |by: usize| {
            let steps = core::iter::successors(Some(by), |at| tree.parent.get(*at).map(|at| *at as usize));
            steps.take_while(|at| *at != to).take(VIA_MAX + 1)
        };
        let by = self.arcs.get(from)?.iter().filter(|arc| {
            let by = arc.to as usize;
            let leads = by != to && self.transit[by] && tree.distance[by] != FAR;
            leads && way(by).count() <= VIA_MAX && way(by).all(|at| at != from)
        });
        let weigh =
            |arc: &&Arc| (arc.out[metric as usize].saturating_add(tree.distance[arc.to as usize]), arc.to);
        let best = by.min_by_key(weigh).filter(|arc| weigh(arc).0 != FAR)?;
        Some(RegionIndex(best.to as u16))
    }

    fn tree_from(&self, root: usize, metric: Metric) -> Tree {
        grow(&self.arcs, &self.transit, root, |arc| arc.out[metric as usize])
    }

    /// By region: the root's neighbour on the way there.
    fn first_steps(&self, tree: &Tree, root: usize) -> Vec<Option<RegionIndex>> {
        // A region's step is its parent's, so each is found once, however long the ways are.
        const UNSEEN: (u32, u8) = (u32::MAX, 0);
        let mut steps = vec![UNSEEN; self.arcs.len()];
        let mut way = Vec::new();
        for region in 0..self.arcs.len() {
            if region == root || tree.distance[region] == FAR {
                continue;
            }
            let mut at = region;
            while steps[at] == UNSEEN && tree.parent[at] as usize != root {
                way.push(at);
                at = tree.parent[at] as usize;
            }
            if steps[at] == UNSEEN {
                steps[at] = (at as u32, 0);
            }
            while let Some(next) = way.pop() {
                let (step, via) = steps[at];
                steps[next] = (step, via.saturating_add(1));
                at = next;
            }
        }
        let step = |(step, via): (u32, u8)| {
            ((step, via) != UNSEEN && usize::from(via) <= VIA_MAX).then_some(RegionIndex(step as u16))
        };
        steps.into_iter().map(step).collect()
    }
}

/// Pairs of regions that a link joins, with what is configured of it.
pub(super) fn links(topology: &Topology) -> BTreeMap<(RegionIndex, RegionIndex), Quality> {
    let ordered = |[a, b]: [RegionIndex; 2]| (a.min(b), a.max(b));
    if !topology.ground.links.is_empty() {
        return topology.ground.links.iter().map(|link| (ordered(link.between), link.quality)).collect();
    }
    let mut links = BTreeMap::new();
    for set in &topology.path_sets {
        for path in &set.paths {
            let stops = [set.edge].into_iter().chain(path.via.iter().copied()).chain([set.gateway]);
            let stops: Vec<RegionIndex> = stops.collect();
            links.extend(stops.windows(2).map(|hop| (ordered([hop[0], hop[1]]), UNKNOWN)));
        }
    }
    links
}

/// A way's weight by either metric: positive, so that every hop leads nearer.
fn weights(a: RegionIndex, b: RegionIndex, quality: Quality) -> [Weight; 2] {
    let latency = Weight::from(quality.latency_us.clamp(1, LATENCY_US_MAX));
    let loss = Weight::from(loss_us(quality.loss_ppm));
    let mut mark = (u64::from(a.0) << 16 | u64::from(b.0)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    // SplitMix64's finish: neighbouring numbers give marks that have nothing to do with each other.
    mark = (mark ^ mark >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mark = (mark ^ mark >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    // Among equals fewer hops win as a rule.
    let mark = Weight::from(1 << 15 | mark >> 49);
    [latency << FIRST | loss << SECOND | mark, loss << FIRST | latency << SECOND | mark]
}
