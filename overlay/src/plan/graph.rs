//! The regions and links that paths are planned over.

use super::cost::Quality;
use crate::topology::{LinkIndex, RegionIndex, RiskIndex, Topology};

/// Most regions of a graph: sums of weights over all of them then fit into 64 bits.
pub const REGIONS_MAX: usize = 1024;

/// What the planner minimizes: costs in µs, shifted up by [`SHIFT`], above marks that no two sets of links should have
/// in common, so that the least is one only and every node finds the same.
pub(super) type Weight = u64;

/// No way.
pub(super) const FAR: Weight = Weight::MAX;

/// Bits below the cost: 1,024 marks of 16 bits.
const SHIFT: u32 = 27;

/// What stands for a link's weight in a search: the plain cost, or one that prefers fewer hops, to find paths
/// within the hop limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scale {
    /// The cost with so many microseconds more for each hop.
    Plus(u32),
    /// Hops alone.
    Hops,
}

impl Scale {
    pub(super) fn weigh(self, weight: Weight) -> Weight {
        match self {
            Scale::Plus(us) => weight + (Weight::from(us) << SHIFT),
            Scale::Hops => (weight & ((1 << SHIFT) - 1)) | 1 << SHIFT,
        }
    }
}

/// One direction of a link.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arc {
    pub(super) to: u32,
    pub(super) link: u32,
    /// [`FAR`] while the link is down.
    pub(super) weight: Weight,
}

/// A region or a link in a group of shared risk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Region(usize),
    Link(usize),
}

/// Regions with their links, made for planning. Indices are the topology's.
#[derive(Clone, Debug)]
pub struct Graph {
    /// By region: whether others' paths may lead through it.
    transit: Vec<bool>,
    region_risks: Vec<Vec<RiskIndex>>,
    ends: Vec<[usize; 2]>,
    link_risks: Vec<Vec<RiskIndex>>,
    /// By link: where its two arcs are.
    places: Vec<[usize; 2]>,
    /// By region: where its arcs begin; they are in the order of the regions they lead to.
    first: Vec<usize>,
    arcs: Vec<Arc>,
    /// By risk.
    members: Vec<Vec<Element>>,
}

/// What no graph can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    /// More regions than [`REGIONS_MAX`].
    #[error("{0} regions are more than can be planned over, {REGIONS_MAX}")]
    Regions(usize),
    /// A link names a region that is not there, a region twice, or a risk that is not there.
    #[error("link {} leads nowhere", .0.0)]
    Link(LinkIndex),
    /// A second link between the same two regions.
    #[error("link {} joins two regions that another link joins already", .0.0)]
    Again(LinkIndex),
    /// A risk names a region that is not there.
    #[error("risk {} names no region of the topology", .0.0)]
    Risk(RiskIndex),
}

impl Graph {
    /// The graph of a topology. Paths lead through regions with an intermediate node.
    ///
    /// # Errors
    /// [`GraphError`], where regions or links are not what [`Topology`] says they are.
    pub fn new(topology: &Topology) -> Result<Graph, GraphError> {
        let regions = topology.regions.len();
        let ground = &topology.ground;
        if regions > REGIONS_MAX {
            return Err(GraphError::Regions(regions));
        }
        let mut transit = vec![false; regions];
        for node in topology.nodes.iter().filter(|node| node.roles.intermediate) {
            if let Some(transit) = transit.get_mut(usize::from(node.region.0)) {
                *transit = true;
            }
        }
        let mut members = vec![Vec::new(); ground.risks.len()];
        let mut region_risks = vec![Vec::new(); regions];
        for (index, risk) in ground.risks.iter().enumerate() {
            let number = RiskIndex(index as u16);
            for region in risk.regions.iter().map(|region| usize::from(region.0)) {
                region_risks.get_mut(region).ok_or(GraphError::Risk(number))?.push(number);
                members[index].push(Element::Region(region));
            }
        }
        let mut from: Vec<Vec<Arc>> = vec![Vec::new(); regions];
        let mut ends = Vec::with_capacity(ground.links.len());
        for (index, link) in ground.links.iter().enumerate() {
            let number = LinkIndex(index as u32);
            let [a, b] = link.between.map(|region| usize::from(region.0));
            if a >= regions || b >= regions || a == b {
                return Err(GraphError::Link(number));
            }
            for risk in &link.risks {
                let members = members.get_mut(usize::from(risk.0)).ok_or(GraphError::Link(number))?;
                members.push(Element::Link(index));
            }
            let weight = weight(link.between, Some(link.quality));
            from[a].push(Arc { to: b as u32, link: index as u32, weight });
            from[b].push(Arc { to: a as u32, link: index as u32, weight });
            ends.push([a, b]);
        }
        let mut first = vec![0];
        let mut arcs: Vec<Arc> = Vec::with_capacity(2 * ends.len());
        let mut places = vec![[0; 2]; ends.len()];
        for (region, mut out) in from.into_iter().enumerate() {
            out.sort_by_key(|arc| (arc.to, arc.link));
            if let Some(pair) = out.windows(2).find(|pair| pair[0].to == pair[1].to) {
                return Err(GraphError::Again(LinkIndex(pair[1].link)));
            }
            for arc in out {
                let side = usize::from(ends[arc.link as usize][1] == region);
                places[arc.link as usize][side] = arcs.len();
                arcs.push(arc);
            }
            first.push(arcs.len());
        }
        let link_risks = ground.links.iter().map(|link| link.risks.clone()).collect();
        Ok(Graph { transit, region_risks, ends, link_risks, places, first, arcs, members })
    }

    /// Changes a link's quality; none: the link is down. Gives what it was by weight, or none if there is no such link.
    pub(super) fn set(&mut self, link: LinkIndex, quality: Option<Quality>) -> Option<(Weight, Weight)> {
        let index = link.0 as usize;
        let [a, b] = *self.ends.get(index)?;
        let new = weight([RegionIndex(a as u16), RegionIndex(b as u16)], quality);
        let [here, there] = self.places[index];
        let old = core::mem::replace(&mut self.arcs[here].weight, new);
        self.arcs[there].weight = new;
        Some((old, new))
    }

    /// How many regions there are.
    pub fn regions(&self) -> usize {
        self.transit.len()
    }

    pub(super) fn weight(&self, link: usize) -> Weight {
        self.arcs[self.places[link][0]].weight
    }

    pub(super) fn links(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn is_transit(&self, region: usize) -> bool {
        self.transit[region]
    }

    pub(super) fn arcs(&self, region: usize) -> &[Arc] {
        &self.arcs[self.first[region]..self.first[region + 1]]
    }

    pub(super) fn arc(&self, from: usize, to: usize) -> Option<&Arc> {
        let arcs = self.arcs(from);
        arcs.binary_search_by_key(&to, |arc| arc.to as usize).ok().and_then(|place| arcs.get(place))
    }

    pub(super) fn ends(&self, link: usize) -> [usize; 2] {
        self.ends[link]
    }

    pub(super) fn has_risks(&self) -> bool {
        !self.members.is_empty()
    }

    pub(super) fn risks(&self, element: Element) -> &[RiskIndex] {
        match element {
            Element::Region(region) => &self.region_risks[region],
            Element::Link(link) => &self.link_risks[link],
        }
    }

    pub(super) fn members(&self, risk: RiskIndex) -> &[Element] {
        &self.members[usize::from(risk.0)]
    }
}

/// The cost of a weight, µs.
pub(super) fn cost_us(weight: Weight) -> u64 {
    weight >> SHIFT
}

/// Weighs a link. Among equal costs fewer hops win as a rule, else a mark that follows from the two regions.
fn weight(between: [RegionIndex; 2], quality: Option<Quality>) -> Weight {
    let Some(quality) = quality else { return FAR };
    let (a, b) = (between[0].0.min(between[1].0), between[0].0.max(between[1].0));
    let mut mark = (u64::from(a) << 16 | u64::from(b)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    // SplitMix64's finish: neighbouring numbers give marks that have nothing to do with each other.
    mark = (mark ^ mark >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mark = (mark ^ mark >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    Weight::from(quality.cost_us()) << SHIFT | 1 << 15 | (mark >> 49)
}
