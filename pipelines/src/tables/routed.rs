//! Flights of protocols without a path: one copy, to the next hop that the protocol gives.

use super::dead::Dead;
use super::flight::{Copy, Extension, Flight, V6_MTU_MIN};
use super::hops::{Hops, NextHops};
use super::link::Link;
use super::registry::number;
use super::{Partner, Tables};
use overlay::protocol::Protocol;
use overlay::seal::TAG_LEN;
use overlay::topology::{self, IpVersion, NodeId, PathId, Seal, Topology};
use overlay::wire::{HEADER_LEN, HOP_LIMIT_DEFAULT, Header, ORDER_LEN};
use packet::IpVersion as Inner;
use std::borrow::Cow;

/// What stands in the place of a path's number in packets without one.
pub const NO_PATH: PathId = PathId(0);

impl Tables {
    /// What packets without a path need: next hops, and who may send them here.
    pub(super) fn add_ways(&mut self, topology: &Topology, dead: &Dead, hops: &Hops) {
        for set in &topology.path_sets {
            for (here, there) in [(set.edge, set.gateway), (set.gateway, set.edge)] {
                if here == self.region
                    && let Some(facing) = self.facing.get_mut(there.0 as usize)
                {
                    *facing = true;
                }
            }
        }
        let pathless = topology
            .applications
            .iter()
            .any(|application| application.routing.protocols().any(|protocol| !protocol.has_path()));
        let pathless = pathless || topology.takeover_of(self.node).is_some();
        self.pathless = pathless.then(|| number(&mut self.registry.paths, NO_PATH));
        let link = |to: NodeId, version: IpVersion| self.peer(to)?.link[(version == IpVersion::V6) as usize];
        self.next_hops_of = NextHops::compile(topology, self.node, dead, hops, link);
        self.straight.clone_from(&hops.straight);
        self.steps.clone_from(&hops.steps);
    }

    /// An application as its packets to a node are carried now: as it is written, or straight.
    pub(super) fn chosen<'a>(
        &self,
        application: &'a topology::Application,
        index: u16,
        destination: NodeId,
    ) -> Cow<'a, topology::Application> {
        if !self.straight.contains(&(index, destination)) {
            return Cow::Borrowed(application);
        }
        let mut straight = application.clone();
        (straight.routing.to_origin, straight.routing.to_client) = (Protocol::Direct, Protocol::Direct);
        Cow::Owned(straight)
    }

    /// The other one of a pair of gateways, with flights straight to it.
    pub(super) fn add_partner(&mut self, topology: &Topology) {
        let pair = topology.takeover_of(self.node).map(|takeover| takeover.gateways);
        let other = pair.and_then(|pair| pair.into_iter().find(|node| *node != self.node));
        let Some(node) = other.filter(|_| self.roles.gateway) else { return };
        let link = self.peer(node).map(|peer| peer.link).unwrap_or_default();
        let underlay = if link[0].is_some() { IpVersion::V4 } else { IpVersion::V6 };
        let flights = [false, true].map(|sealed| {
            let mut here = topology.applications.iter().filter(|one| one.gateway == self.region);
            let mut straight = here.find(|one| (one.seal != Seal::None) == sealed)?.clone();
            straight.underlay = underlay;
            (straight.routing.to_origin, straight.routing.ordered) = (Protocol::Direct, false);
            straight.trace.one_in = 0;
            self.add_routed(&straight, node, true)
        });
        self.partner = Some(Partner { node, flights });
    }

    /// The flight of an application's packets to a node; `None` for a source route without hops.
    pub(super) fn add_routed(
        &mut self,
        application: &topology::Application,
        destination: NodeId,
        towards_gateway: bool,
    ) -> Option<u16> {
        let version = application.underlay;
        let protocol = application.routing.towards(towards_gateway);
        let mut hops = application.routing.hops.clone();
        if !towards_gateway {
            hops.reverse();
        }
        let to_node = |node: NodeId| self.peer(node)?.link[(version == IpVersion::V6) as usize];
        let (links, extension) = match protocol {
            Protocol::SourceRoute => {
                let first = to_node(*hops.first()?);
                (first.into_iter().collect(), Some(Extension::source_route(&hops)))
            }
            Protocol::Direct => (to_node(destination).into_iter().collect(), None),
            _ => (self.next_hops_of.first(protocol, version, destination).to_vec(), None),
        };
        let order_len = if application.routing.is_ordered(towards_gateway) { ORDER_LEN } else { 0 };
        let extension_len = order_len + extension.as_ref().map_or(0, |extension| extension.bytes().len());
        let sealed = application.seal != Seal::None;
        let own = HEADER_LEN + extension_len + if sealed { TAG_LEN } else { 0 };
        let links = || links.iter().filter_map(|link: &u16| self.links.get(*link as usize));
        let room = |link: &Link| link.mtu().saturating_sub(link.ip_len(own) as u16);
        let mtu = links().map(room).min().unwrap_or(u16::MAX);
        // Of the links behind the first no MTU is known: what every link carries is room enough for a trace.
        let room = |link: &Link| V6_MTU_MIN.saturating_sub(link.ip_len(own) as u16);
        let (links_max, traced_mtu) = match protocol {
            Protocol::Direct => (1, mtu),
            Protocol::SourceRoute => (hops.len() as u8 + 1, links().map(room).min().unwrap_or(0)),
            _ => (HOP_LIMIT_DEFAULT, links().map(room).min().unwrap_or(0)),
        };
        let header = Header {
            vni: self.overlay_id,
            inner: Inner::V4,
            protocol: protocol.id(),
            copies: 1,
            hop_limit: HOP_LIMIT_DEFAULT,
            source: self.node,
            destination,
            authenticator: 0,
            stream: 0,
            path: NO_PATH,
            epoch: 0,
            path_sequence: 0,
            sequence: 0,
        };
        let way = self.registry.way(NO_PATH, destination);
        let copy = Copy::new(self.pathless?, way, mtu, links_max, links(), header, extension_len)
            .with_traced_mtu(traced_mtu);
        let number = number(&mut self.registry.destinations, destination);
        let flight = Flight::new(destination, number, copy, Vec::new(), None, sealed, application.trace);
        let flight = flight.routed(protocol.id(), extension);
        self.flights.push(if order_len > 0 { flight.ordered() } else { flight });
        Some(self.flights.len() as u16 - 1)
    }
}
