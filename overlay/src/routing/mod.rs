//! Routing hop by hop: by which region packets go on towards each other region, over the links as they are now.
//!
//! A node routes by its own table: the packet names its destination and its routing protocol, each node on its way
//! looks up the next region. The table follows from the topology's links and a [`LinkView`], what nodes have told of
//! links; where nothing was told, what is configured counts.
//!
//! Every weight is positive, and a route is a way of the least sum. So each hop brings a packet strictly nearer to its destination, and
//! **while views agree there are no loops**, whichever of several equal ways a node takes. While they differ, the hop
//! limit ends what turns in a circle.

mod network;
mod quality;
mod tree;
mod view;

pub use network::{Metric, Network};
pub use quality::{along, combined};
pub use view::{LinkView, Way};

use crate::topology::{RegionIndex, Topology};

/// By region: where packets that pass through `from` go next on their way there; none to `from` itself, and where
/// there is no way within the hop limit. [`Network::next_hops`] for several questions about one view.
pub fn next_hops(
    topology: &Topology,
    view: &LinkView,
    from: RegionIndex,
    metric: Metric,
) -> Vec<Option<RegionIndex>> {
    Network::new(topology, view).next_hops(from, metric)
}

/// As [`next_hops`], for packets that begin their way in `from`: the first hop is always an intermediate region.
pub fn first_hops(
    topology: &Topology,
    view: &LinkView,
    from: RegionIndex,
    metric: Metric,
) -> Vec<Option<RegionIndex>> {
    Network::new(topology, view).first_hops(from, metric)
}
