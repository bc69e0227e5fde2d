//! `auto`: whether an application's packets take the overlay or go straight, weighed by what either costs and what it brings.
//!
//! ```text
//!   direct way, measured ──────────────────────► its cost ─┐
//!   overlay's way, measured ► its cost + the price set on it ┴─► Auto ──► the way, and why
//! ```
//!
//! Either way costs what a path costs the planner ([`Quality::cost_us`]): its latency, and for each part that is lost the wait until it
//! is sent again. The overlay costs a price on top that the operator sets: it is to be used where it is worth that. What is chosen
//! stays unless the other is better by a margin, and for a while at least; a way that is dead is left at once.
//!
//! Nothing of this travels: packets bear the number of the routing protocol that was chosen.

mod weigh;

pub use weigh::{Auto, Known, Side, Why};

use crate::plan::Quality;
use crate::protocol::Protocol;
use crate::routing::{LinkView, Metric, Network, along, combined};
use crate::topology::{PathSet, RegionIndex, Routing, Topology};

/// What an operator sets for an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What the overlay must be worth, µs of latency.
    pub price_us: u32,
    /// By how much the other way must be better, percent of what it costs.
    pub margin_percent: u8,
    /// How long a choice stays at least, ms.
    pub dwell_ms: u32,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { price_us: 5_000, margin_percent: 10, dwell_ms: 10_000 }
    }
}

/// What is known of the overlay's way between two regions by a routing protocol, over links as they are; of copies, the first that comes
/// counts.
pub fn overlay_quality(
    topology: &Topology,
    view: &LinkView,
    routing: &Routing,
    copies: u8,
    [from, to]: [RegionIndex; 2],
    towards_gateway: bool,
) -> Known {
    let found = match routing.towards(towards_gateway) {
        Protocol::Shortest => by_hops(topology, view, [from, to], Metric::Latency),
        Protocol::Cleanest => by_hops(topology, view, [from, to], Metric::Loss),
        Protocol::SourceRoute => {
            let region = |hop| topology.node(hop).map(|node| node.region);
            let via: Vec<RegionIndex> = routing.hops.iter().filter_map(|hop| region(*hop)).collect();
            let stops = stops([from, to], &via, !towards_gateway);
            along(topology, view, &stops)
        }
        Protocol::Direct => None,
        // Whatever is sent over the paths of a set, arrives as soon as its first copy.
        _ => {
            let (edge, gateway) = if towards_gateway { (from, to) } else { (to, from) };
            let set = topology.path_set(edge, gateway);
            set.and_then(|set| by_paths(topology, view, set, copies, [from, to], towards_gateway))
        }
    };
    found.map_or(Known::Dead, Known::Measured)
}

fn stops([from, to]: [RegionIndex; 2], via: &[RegionIndex], reversed: bool) -> Vec<RegionIndex> {
    let mut via = via.to_vec();
    if reversed {
        via.reverse();
    }
    [from].into_iter().chain(via).chain([to]).collect()
}

fn by_hops(
    topology: &Topology,
    view: &LinkView,
    [from, to]: [RegionIndex; 2],
    metric: Metric,
) -> Option<Quality> {
    let way = Network::new(topology, view).way(from, to, metric)?;
    along(topology, view, &way)
}

fn by_paths(
    topology: &Topology,
    view: &LinkView,
    set: &PathSet,
    copies: u8,
    ends: [RegionIndex; 2],
    towards_gateway: bool,
) -> Option<Quality> {
    let paths =
        set.paths.iter().filter_map(|path| along(topology, view, &stops(ends, &path.via, !towards_gateway)));
    paths.take(usize::from(copies.max(1))).reduce(combined)
}
