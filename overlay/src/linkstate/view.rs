//! From what nodes say of their links to what is known of the ways between regions.

use std::collections::BTreeMap;

use super::flood::Flood;
use super::links::LinkNow;
use crate::plan::Quality;
use crate::routing::{LinkView, Way};
use crate::topology::{IpVersion, NodeId, RegionIndex, Topology};

/// What is known of the ways between regions, over one IP version.
///
/// A link is up if no end says that it is down, and one says that it is up. A way between two regions is the mean of the links that
/// are up between their nodes, since packets are spread over all of them; it is down where all are down.
pub fn view(flood: &Flood, topology: &Topology, version: IpVersion) -> LinkView {
    let regions: BTreeMap<NodeId, RegionIndex> =
        topology.nodes.iter().map(|node| (node.id, node.region)).collect();
    let mut told: BTreeMap<(NodeId, NodeId), LinkNow> = BTreeMap::new();
    for (origin, link) in flood.links().filter(|(_, link)| link.version == version) {
        told.insert((origin, link.neighbor), link);
    }
    let mut sums: BTreeMap<(RegionIndex, RegionIndex), Sum> = BTreeMap::new();
    for ((from, to), link) in &told {
        let [Some(here), Some(there)] = [from, to].map(|node| regions.get(node).copied()) else { continue };
        if here == there {
            continue;
        }
        let other = told.get(&(*to, *from));
        let up = link.up && other.is_none_or(|other| other.up);
        sums.entry((here, there))
            .or_default()
            .add(up, link.quality.or(other.and_then(|other| other.quality)));
        if other.is_none() {
            // The other end says nothing: this one's word counts for both directions.
            sums.entry((there, here)).or_default().add(up, link.quality);
        }
    }
    let mut view = LinkView::default();
    for ((from, to), sum) in sums {
        if let Some(way) = sum.way() {
            view.set(from, to, way);
        }
    }
    view
}

#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    up: u64,
    measured: u64,
    latency_us: u64,
    loss_ppm: u64,
}

impl Sum {
    fn add(&mut self, up: bool, quality: Option<Quality>) {
        if !up {
            return;
        }
        self.up += 1;
        if let Some(quality) = quality {
            self.measured += 1;
            self.latency_us += u64::from(quality.latency_us);
            self.loss_ppm += u64::from(quality.loss_ppm);
        }
    }

    /// None where it is up, but was not measured yet: what is configured counts.
    fn way(&self) -> Option<Way> {
        match (self.up, self.measured) {
            (0, _) => Some(Way::Down),
            (_, 0) => None,
            (_, count) => Some(Way::Measured(Quality {
                latency_us: (self.latency_us / count) as u32,
                loss_ppm: (self.loss_ppm / count) as u32,
            })),
        }
    }
}
