//! Ways hop by hop: from this node to each end of the overlay, the next node by lowest latency and by lowest loss.
//!
//! Each node computes them on its own, from links as they are known to be ([`overlay::routing`]). Here regions become nodes:
//! those that live, the destination itself at the end of the way, and what an operator says instead.

use super::dead::Dead;
use crate::step::StepCell;
use overlay::protocol::Protocol;
use overlay::routing::{LinkView, Metric, Network, Way};
use overlay::topology::{Detour, IpVersion, NodeId, RegionIndex, Topology};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What next hops follow from, beside the topology.
#[derive(Clone, Debug, Default)]
pub struct Hops {
    /// What is known of links now, over IPv4 and over IPv6.
    pub views: [LinkView; 2],
    /// Where this node sends packets without a path on the operator's word.
    pub detours: Vec<Detour>,
    /// Applications, by their place in the topology, whose packets to a node go straight: by the choice of `auto`.
    pub straight: BTreeSet<(u16, NodeId)>,
    /// With what the packets of an application to a node are sent, where that is adaptive.
    pub steps: BTreeMap<(u16, NodeId), Arc<StepCell>>,
}

/// Where packets without a path go next from this node: by protocol, IP version of the underlay, and destination.
#[derive(Clone, Debug, Default)]
pub struct NextHops {
    by_destination: BTreeMap<(Protocol, bool, NodeId), Towards>,
}

/// The links by which a destination is reached, any of which will do.
#[derive(Clone, Debug, Default)]
struct Towards {
    /// For what others sent: to the destination itself, or to intermediates.
    onward: Vec<u16>,
    /// For what this node sends: to intermediates only.
    first: Vec<u16>,
}

impl NextHops {
    /// The links by which another node's packets go on to a destination.
    pub fn onward(&self, protocol: Protocol, version: IpVersion, destination: NodeId) -> &[u16] {
        self.towards(protocol, version, destination).map_or(&[], |towards| &towards.onward)
    }

    /// The links by which this node's own packets leave for a destination.
    pub fn first(&self, protocol: Protocol, version: IpVersion, destination: NodeId) -> &[u16] {
        self.towards(protocol, version, destination).map_or(&[], |towards| &towards.first)
    }

    fn towards(&self, protocol: Protocol, version: IpVersion, destination: NodeId) -> Option<&Towards> {
        self.by_destination.get(&(protocol, version == IpVersion::V6, destination))
    }

    /// Computes them for the protocols and destinations that applications use. `link` gives the link to a node, by IP
    /// version.
    pub(super) fn compile(
        topology: &Topology,
        node: NodeId,
        dead: &Dead,
        hops: &Hops,
        link: impl Fn(NodeId, IpVersion) -> Option<u16>,
    ) -> NextHops {
        let mut next_hops = NextHops::default();
        let Some(here) = topology.node(node).map(|node| node.region) else { return next_hops };
        for protocol in Protocol::ALL.into_iter().filter(|protocol| protocol.is_hop_by_hop()) {
            let metric = if protocol == Protocol::Cleanest { Metric::Loss } else { Metric::Latency };
            let destinations = destinations(topology, protocol, node);
            if destinations.is_empty() {
                continue;
            }
            for version in [IpVersion::V4, IpVersion::V6] {
                let lives = |to: NodeId| to != node && !dead.has_link(to, version);
                let network = Network::new(
                    topology,
                    &without_dead(topology, &hops.views[(version == IpVersion::V6) as usize], here, lives),
                );
                let (next, first) = (network.next_hops(here, metric), network.first_hops(here, metric));
                for destination in &destinations {
                    let Some(region) = topology.node(*destination).map(|node| node.region) else { continue };
                    let at =
                        |table: &[Option<RegionIndex>]| table.get(usize::from(region.0)).copied().flatten();
                    let links = |nodes: Vec<NodeId>| {
                        let living = nodes.into_iter().filter(|to| lives(*to));
                        living.filter_map(|to| link(to, version)).collect::<Vec<u16>>()
                    };
                    let mut towards = Towards {
                        // In the destination's own region it is the next.
                        onward: links(match at(&next) {
                            Some(next) if next != region => intermediates(topology, next),
                            _ => vec![*destination],
                        }),
                        first: links(at(&first).map_or_else(Vec::new, |next| intermediates(topology, next))),
                    };
                    if at(&next).is_none() && region != here {
                        towards.onward.clear();
                    }
                    let mut detours = hops.detours.iter();
                    let detour = detours.find(|at| at.protocol == protocol && at.destination == *destination);
                    if let Some((next, link)) = detour.and_then(|at| Some((at.next, link(at.next, version)?)))
                    {
                        towards.onward = vec![link];
                        if next != *destination {
                            towards.first = vec![link];
                        }
                    }
                    next_hops
                        .by_destination
                        .insert((protocol, version == IpVersion::V6, *destination), towards);
                }
            }
        }
        next_hops
    }
}

/// What is known of links, less those to regions beside this one in which no node is reached.
fn without_dead(
    topology: &Topology,
    view: &LinkView,
    here: RegionIndex,
    lives: impl Fn(NodeId) -> bool,
) -> LinkView {
    let mut view = view.clone();
    for (region, beside) in beside(topology, here).iter().enumerate().filter(|(_, beside)| **beside) {
        let region = RegionIndex(region as u16);
        let mut nodes = topology.nodes.iter().filter(|node| node.region == region).peekable();
        if *beside && region != here && nodes.peek().is_some() && !nodes.any(|node| lives(node.id)) {
            view.set(here, region, Way::Down);
        }
    }
    view
}

/// The nodes that take packets of a protocol out of the overlay, other than this one.
fn destinations(topology: &Topology, protocol: Protocol, node: NodeId) -> Vec<NodeId> {
    let mut found = Vec::new();
    for application in &topology.applications {
        if application.routing.to_origin == protocol {
            let gateways = topology.nodes.iter().filter(|node| node.roles.gateway);
            found.extend(gateways.filter(|node| node.region == application.gateway).map(|node| node.id));
        }
        if application.routing.to_client == protocol {
            found.extend(application.vips.iter().map(|vip| vip.node));
        }
    }
    found.sort_unstable();
    found.dedup();
    found.retain(|destination| *destination != node);
    found
}

/// Which regions are beside a node's: joined to it by a link or, where there are no links, by a hop of a path; and its own.
pub(super) fn beside(topology: &Topology, here: RegionIndex) -> Vec<bool> {
    let mut beside = vec![false; topology.regions.len()];
    let mut join = |a: RegionIndex, b: RegionIndex| {
        for (from, to) in [(a, b), (b, a)] {
            if let Some(to) = beside.get_mut(usize::from(to.0)).filter(|_| from == here) {
                *to = true;
            }
        }
    };
    join(here, here);
    topology.ground.links.iter().for_each(|link| join(link.between[0], link.between[1]));
    if topology.ground.links.is_empty() {
        for set in &topology.path_sets {
            for path in &set.paths {
                let stops = [set.edge].into_iter().chain(path.via.iter().copied()).chain([set.gateway]);
                let stops: Vec<RegionIndex> = stops.collect();
                stops.windows(2).for_each(|hop| join(hop[0], hop[1]));
            }
        }
    }
    beside
}

/// The nodes of a region that pass packets on.
fn intermediates(topology: &Topology, region: RegionIndex) -> Vec<NodeId> {
    let nodes = topology.nodes.iter().filter(|node| node.region == region && node.roles.intermediate);
    nodes.map(|node| node.id).collect()
}
