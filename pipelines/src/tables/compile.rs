//! From the topology and the node's own interfaces to the snapshot.

use super::dead::Dead;
use super::flight::{Coded, Copy, Flight, V6_MTU_MIN};
use super::hops::{self, Hops, NextHops};
use super::link::Link;
use super::mtus::Mtus;
use super::registry::{Registry, number};
use super::routes::{Interface, Routes};
use super::{
    AddressTable, Application, Block, Local, Origin, PathEntry, Peer, Port, Prefixed, Prefixes, Served,
    Service, Services, Tables,
};
use crate::batch::{PORTS_MAX, PortIndex};
use crate::counters::PATHS_MAX;
use crate::slow;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ipnetwork::IpNetwork;
use nat::PrefixPair;
use overlay::adaptive;
use overlay::parity::SHARD_HEAD;
use overlay::plan::{self, Refused};
use overlay::protocol::Protocol;
use overlay::seal::TAG_LEN;
use overlay::topology::{self, IpVersion, NodeId, PathSet, RegionIndex, Seal, Topology};
use overlay::wire::{
    COPIES_MASK, HEADER_LEN, HOP_LIMIT_DEFAULT, Header, ORDER_DATA_LEN, ORDER_LEN, PARITY_LEN,
};
use packet::transport::{ICMP, ICMPV6, SCTP, TCP, UDP, UDP_LITE};
use packet::{Addr, Mac};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

/// What a snapshot is compiled from.
pub struct Input<'a> {
    /// The overlay.
    pub topology: &'a Topology,
    /// Which node this is.
    pub node: NodeId,
    /// Its ports.
    pub interfaces: &'a [Interface],
    /// Ethernet addresses of neighbours known now.
    pub neighbors: &'a [(PortIndex, Addr, Mac)],
    /// Seeds the hashes of tables whose keys come from the wire.
    pub seed: u64,
    /// The snapshot before this one: numbers given out stay.
    pub previous: Option<&'a Tables>,
    /// What is known to be dead now.
    pub dead: &'a Dead,
    /// What links and paths were found to carry.
    pub mtus: &'a Mtus,
    /// What next hops follow from.
    pub hops: &'a Hops,
    /// Who holds the blocks of gateways that stand in for each other.
    pub blocks: &'a [Block],
    /// Whether only neighbours, what is dead or MTUs changed since `previous`: flows then stay compiled.
    pub neighbors_only: bool,
}

/// Why no snapshot can be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CompileError {
    /// The topology has no such node.
    #[error("the topology has no node of number {}", .0.0)]
    NoSuchNode(NodeId),
    /// More ports than can be indexed.
    #[error("{0} ports are more than a node can have, {PORTS_MAX}")]
    Ports(usize),
    /// More paths, over the life of the process, than can be counted.
    #[error(
        "{0} paths have appeared since the start, more than the {PATHS_MAX} that can be counted: restart the node"
    )]
    Paths(usize),
    /// Paths that are not what they claim: copies over them could all be lost at once.
    #[error("{0}")]
    PathSet(#[from] Refused),
}

/// Index of an IP version in pairs.
fn at(version: IpVersion) -> usize {
    match version {
        IpVersion::V4 => 0,
        IpVersion::V6 => 1,
    }
}

fn port(interface: &Interface) -> Port {
    let first = |version| {
        let mut addresses = interface.addresses.iter().map(|address| address.ip());
        addresses.find(|address| IpVersion::of(*address) == version).map(Addr::from)
    };
    Port {
        mac: interface.mac,
        vlan: interface.vlan,
        mtu: interface.mtu,
        address: [first(IpVersion::V4), first(IpVersion::V6)],
    }
}

/// An application's clients that are translated by prefix.
fn prefixed(application: &topology::Application, index: u16) -> impl Iterator<Item = Prefixed> {
    application.translation.prefixes.iter().filter_map(move |rule| {
        let vip = application.vips.iter().find(|vip| vip.address == rule.vip)?;
        let [inside, outside] = [rule.inside, rule.outside].map(|network| Addr::from(network.ip()));
        Some(Prefixed {
            pair: PrefixPair::new(inside, outside, rule.inside.prefix())?,
            vip: Addr::from(vip.address),
            edge: vip.node,
            application: index,
        })
    })
}

impl Tables {
    /// Compiles a snapshot.
    ///
    /// # Errors
    /// [`CompileError`], where the topology asks for what no snapshot can hold, or its paths are not disjoint as their
    /// certificates and its policy say: the caller keeps what it has. Other references inside the topology
    /// were checked by whoever read it; one that leads nowhere is left out.
    pub fn compile(input: &Input) -> Result<Tables, CompileError> {
        let Input { topology, node, interfaces, .. } = *input;
        let this = topology.node(node).ok_or(CompileError::NoSuchNode(node))?;
        if interfaces.len() > PORTS_MAX {
            return Err(CompileError::Ports(interfaces.len()));
        }
        plan::verify(topology)?;
        let hasher = || FixedState::with_seed(input.seed);
        let mut tables = Tables {
            epoch: input.previous.map_or(1, |before| before.epoch.wrapping_add(!input.neighbors_only as u16)),
            node,
            region: this.region,
            roles: this.roles,
            overlay_id: topology.overlay_id,
            streams: topology.streams.clamp(1, 256),
            ports: interfaces.iter().map(port).collect(),
            local: AddressTable::new(input.seed),
            members: AddressTable::new(input.seed),
            peers: Vec::new(),
            paths: Vec::new(),
            next_hops_of: NextHops::default(),
            straight: BTreeSet::new(),
            steps: BTreeMap::new(),
            pathless: None,
            rebuilds: false,
            beside: hops::beside(topology, this.region),
            facing: vec![false; topology.regions.len()],
            links: Vec::new(),
            flights: Vec::new(),
            returns: HashMap::with_hasher(hasher()),
            services_of: AddressTable::new(input.seed),
            other_services: HashMap::with_hasher(hasher()),
            services: Vec::new(),
            blocks: input.blocks.to_vec(),
            partner: None,
            siblings: Vec::new(),
            applications: Vec::new(),
            origins: Vec::new(),
            served: HashMap::with_hasher(hasher()),
            has_untranslated: false,
            prefixes: Prefixes::default(),
            routes: Routes::new(interfaces, input.neighbors),
            registry: input.previous.map_or_else(Registry::default, |before| before.registry.clone()),
            next_hops: Vec::new(),
        };
        tables.add_local(topology, this, interfaces);
        tables.add_peers(topology, this, input.mtus);
        tables.add_paths(topology, input.dead)?;
        tables.add_ways(topology, input.dead, input.hops);
        tables.add_applications(topology, input.dead);
        tables.add_partner(topology);
        for interface in interfaces.iter().zip(0..) {
            let hops = interface.0.routes.iter().map(|route| (PortIndex(interface.1), Addr::from(route.via)));
            tables.next_hops.extend(hops);
        }
        tables.next_hops.sort_unstable();
        tables.next_hops.dedup();
        Ok(tables)
    }

    fn add_local(&mut self, topology: &Topology, this: &topology::Node, interfaces: &[Interface]) {
        for address in interfaces.iter().flat_map(|interface| &interface.addresses) {
            self.local.insert(Addr::from(address.ip()), Local::Own);
        }
        for interface in
            interfaces.iter().filter(|interface| interface.addresses.iter().any(IpNetwork::is_ipv6))
        {
            self.local.insert(slow::link_local(interface.mac), Local::Own);
        }
        let paired = topology.takeover_of(this.id).is_some();
        let is_held = |block: &Block| block.owner == this.id && block.revision != 0;
        let of = |block: &Block| match is_held(block) {
            true => Some((block.home, Local::Pool)),
            false => block.passes.then_some((block.home, Local::Passing)),
        };
        let pools: Vec<(NodeId, Local)> = match paired {
            true => self.blocks.iter().filter_map(of).collect(),
            false => vec![(this.id, Local::Pool)],
        };
        for (home, what) in pools {
            let ranges = topology.node(home).map(|home| home.nat_pool.as_slice()).unwrap_or_default();
            for address in ranges.iter().flat_map(pool_addresses) {
                self.local.insert(address, what);
            }
        }
        let gateways = topology.nodes.iter().filter(|node| node.roles.gateway && node.region == this.region);
        self.siblings = gateways.map(|node| node.id).collect();
        for address in &this.underlay {
            self.local.insert(Addr::from(*address), Local::Underlay);
        }
        for (application, number) in topology.applications.iter().zip(0..) {
            for vip in application.vips.iter().filter(|vip| vip.node == this.id && this.roles.edge) {
                self.local.insert(Addr::from(vip.address), Local::Vip(number));
            }
        }
    }

    fn add_peers(&mut self, topology: &Topology, this: &topology::Node, mtus: &Mtus) {
        for node in &topology.nodes {
            let mut link = [None, None];
            for address in &node.underlay {
                self.members.insert(Addr::from(*address), node.id);
                let version = IpVersion::of(*address);
                if node.id == this.id {
                    continue;
                }
                let (Some(source), Some(egress)) =
                    (this.underlay(version), self.routes.egress(Addr::from(*address)))
                else {
                    continue;
                };
                self.next_hops.push((egress.hop.port, egress.hop.address));
                link[at(version)] = Some(self.links.len() as u16);
                let (source, address) = (Addr::from(source), Addr::from(*address));
                let measured = (mtus.of_link(node.id, version), mtus.behind(node.id, version));
                self.links.push(Link::new(
                    node.id,
                    (source, address),
                    egress,
                    node.rss.as_ref(),
                    measured.0,
                    measured.1,
                ));
            }
            let place = node.id.0 as usize;
            if self.peers.len() <= place {
                self.peers.resize(place + 1, None);
            }
            self.peers[place] = Some(Peer {
                region: node.region,
                intermediate: node.roles.intermediate,
                workers: node.workers,
                link,
            });
        }
    }

    fn add_paths(&mut self, topology: &Topology, dead: &Dead) -> Result<(), CompileError> {
        for set in topology.path_sets.iter().chain(&topology.beside) {
            for path in &set.paths {
                let slot = number(&mut self.registry.paths, path.id);
                if self.registry.paths.len() > PATHS_MAX {
                    return Err(CompileError::Paths(self.registry.paths.len()));
                }
                let regions: Vec<_> =
                    [set.edge].into_iter().chain(path.via.iter().copied()).chain([set.gateway]).collect();
                let here = regions.iter().position(|region| *region == self.region);
                let beside = match here {
                    Some(here) => [here.checked_sub(1).and_then(|at| regions.get(at)), regions.get(here + 1)]
                        .map(|region| region.copied()),
                    None => [None, None],
                };
                let next = beside.map(|region| match region {
                    Some(region) if path.via.contains(&region) => [IpVersion::V4, IpVersion::V6]
                        .map(|version| self.intermediates(topology, region, version, dead)),
                    _ => [Vec::new(), Vec::new()],
                });
                let far = if self.region == set.edge { set.gateway } else { set.edge };
                let senders = topology.nodes.iter().filter(|node| node.region == far && here.is_some());
                let ends_here = [set.edge, set.gateway].contains(&self.region);
                let incoming = senders.filter(|_| ends_here).filter_map(|node| {
                    Some((node.id, self.registry.incoming(path.id, node.id, node.workers)?))
                });
                let incoming = incoming.collect();
                let place = path.id.0 as usize;
                if self.paths.len() <= place {
                    self.paths.resize(place + 1, None);
                }
                let (edge, gateway) = (set.edge, set.gateway);
                self.paths[place] = Some(Box::new(PathEntry { slot, edge, gateway, beside, next, incoming }));
            }
        }
        Ok(())
    }

    /// Links to a region's intermediate nodes: those that live, if any does.
    fn intermediates(
        &self,
        topology: &Topology,
        region: RegionIndex,
        version: IpVersion,
        dead: &Dead,
    ) -> Vec<u16> {
        let nodes = topology.nodes.iter().filter(|node| node.region == region && node.roles.intermediate);
        let mut links: Vec<_> =
            nodes.filter_map(|node| Some((node.id, self.peer(node.id)?.link[at(version)]?))).collect();
        dead.without_links(&mut links, version);
        links.into_iter().map(|(_, link)| link).collect()
    }

    fn add_applications(&mut self, topology: &Topology, dead: &Dead) {
        let mut prefixes = Vec::new();
        for (index, application) in topology.applications.iter().enumerate() {
            let index = index as u16;
            let mut gateways = Vec::new();
            let ours = application.vips.iter().any(|vip| vip.node == self.node) && self.roles.edge;
            if let Some(set) = topology.path_set(self.region, application.gateway).filter(|_| ours) {
                // One without an address is revoked: only its clients' sessions, which another may hold, count.
                let counts =
                    |node: &&topology::Node| !node.underlay.is_empty() || self.block(node.id).is_some();
                let nodes = topology.nodes.iter().filter(counts).collect::<Vec<_>>();
                for node in
                    nodes.into_iter().filter(|one| one.roles.gateway && one.region == application.gateway)
                {
                    let application = self.chosen(application, index, node.id);
                    let holder = self.block(node.id).map_or(node.id, |block| block.owner);
                    let flight = self.add_flight(topology, set, (index, &application), holder, true, dead);
                    gateways.extend(flight.map(|flight| (node.id, flight)));
                }
            }
            if self.roles.gateway && application.gateway == self.region {
                self.add_returns(topology, application, index, dead);
            }
            let mut origins = [Vec::new(), Vec::new()];
            for origin in &application.origins {
                let slot = self.add_origin(origin, application.gateway == self.region && self.roles.gateway);
                origins[at(IpVersion::of(origin.address))].push(slot);
            }
            let is_end = |from: NodeId| topology.node(from).is_some_and(|node| node.region == self.region);
            let routing = &application.routing;
            let from_clients = self.roles.gateway && application.gateway == self.region;
            let to_clients = self.roles.edge && application.vips.iter().any(|vip| is_end(vip.node));
            self.rebuilds |=
                (from_clients && is_coded(routing.to_origin)) || (to_clients && is_coded(routing.to_client));
            let sealed = application.seal != Seal::None;
            let translation = application.translation.clone();
            let gateway = application.gateway;
            let here = self.roles.gateway && gateway == self.region;
            self.has_untranslated |= here && !translation.untranslated.is_empty();
            if here {
                prefixes.extend(prefixed(application, index));
            }
            self.applications.push(Application { gateways, origins, sealed, gateway, translation });
            self.add_services(application, index);
        }
        self.prefixes = Prefixes::new(prefixes);
        // Numbers whose service or origin is gone keep their place.
        for at in self.services.len()..self.registry.services.len() {
            let (vip, protocol) = self.registry.services[at];
            self.services.push(Service { vip, protocol, ports: Vec::new() });
        }
        for at in self.origins.len()..self.registry.origins.len() {
            let (address, port) = self.registry.origins[at];
            self.origins.push(Origin { address, port: (port != 0).then_some(port), egress: None });
        }
    }

    fn add_returns(
        &mut self,
        topology: &Topology,
        application: &topology::Application,
        index: u16,
        dead: &Dead,
    ) {
        for vip in &application.vips {
            let edge = topology.node(vip.node).map(|node| node.region);
            let set = edge.and_then(|edge| topology.path_set(edge, application.gateway));
            let application = self.chosen(application, index, vip.node);
            if let Some(set) = set.filter(|_| !self.returns.contains_key(&(vip.node, index)))
                && let Some(flight) =
                    self.add_flight(topology, set, (index, &application), vip.node, false, dead)
            {
                self.returns.insert((vip.node, index), flight);
            }
        }
    }

    fn add_origin(&mut self, origin: &topology::Origin, here: bool) -> u16 {
        let address = Addr::from(origin.address);
        let slot = number(&mut self.registry.origins, (address, origin.port.unwrap_or(0)));
        while self.origins.len() <= slot as usize {
            let (address, port) = self.registry.origins[self.origins.len()];
            self.origins.push(Origin { address, port: (port != 0).then_some(port), egress: None });
        }
        if here {
            let egress = self.routes.egress(address);
            self.origins[slot as usize].egress = egress;
            self.next_hops.extend(egress.map(|egress| (egress.hop.port, egress.hop.address)));
        }
        slot
    }

    fn add_services(&mut self, application: &topology::Application, index: u16) {
        for vip in &application.vips {
            let address = Addr::from(vip.address);
            for service in &application.services {
                let (protocol, first, last) = match service {
                    topology::Service::Tcp(ports) => (TCP, *ports.start(), *ports.end()),
                    topology::Service::Udp(ports) => (UDP, *ports.start(), *ports.end()),
                    topology::Service::Icmp if address.is_v4() => (ICMP, 0, u16::MAX),
                    topology::Service::Icmp => (ICMPV6, 0, u16::MAX),
                    topology::Service::UdpLite(ports) => (UDP_LITE, *ports.start(), *ports.end()),
                    topology::Service::Sctp(ports) => (SCTP, *ports.start(), *ports.end()),
                    topology::Service::Protocol(number) => (*number, 0, u16::MAX),
                };
                let slot = number(&mut self.registry.services, (address, protocol));
                while self.services.len() <= slot as usize {
                    let (vip, protocol) = self.registry.services[self.services.len()];
                    self.services.push(Service { vip, protocol, ports: Vec::new() });
                }
                let sealed = application.seal != Seal::None;
                let none = Services { numbers: [Services::NONE; 4], node: vip.node, sealed };
                let mut services = self.services_of.get(address).unwrap_or(none);
                match Services::place(protocol) {
                    Some(at) => services.numbers[at] = slot,
                    None => drop(self.other_services.insert((address, protocol), slot)),
                }
                self.services_of.insert(address, services);
                let entry = &mut self.services[slot as usize];
                entry.ports.push((first, last, index));
                if self.roles.gateway && application.gateway == self.region {
                    self.add_served(vip.node, slot, (first, last), index);
                }
            }
        }
    }

    /// What stands for the origins of a service.
    fn add_served(&mut self, edge: NodeId, service: u16, ports: (u16, u16), application: u16) {
        let Service { vip, protocol, .. } = self.services[service as usize];
        let version = if vip.is_v4() { IpVersion::V4 } else { IpVersion::V6 };
        for origin in self.applications[application as usize].origins[at(version)].clone() {
            let Origin { address, port, .. } = self.origins[origin as usize];
            let served = Served { edge, service, ports, port, application, origin };
            self.served.entry((address, protocol)).or_default().push(served);
        }
    }

    /// The flight of an adaptive application's packets while parity packets protect them.
    fn add_coded(
        &mut self,
        topology: &Topology,
        set: &PathSet,
        (index, application): (u16, &topology::Application),
        destination: NodeId,
        towards_gateway: bool,
        dead: &Dead,
    ) -> Option<u16> {
        let mut coded = application.clone();
        (coded.routing.to_origin, coded.routing.to_client) = (Protocol::Parity, Protocol::Parity);
        coded.copies = 2;
        self.add_flight(topology, set, (index, &coded), destination, towards_gateway, dead)
    }

    /// `None` for a set without a path.
    fn add_flight(
        &mut self,
        topology: &Topology,
        set: &PathSet,
        (index, application): (u16, &topology::Application),
        destination: NodeId,
        towards_gateway: bool,
        dead: &Dead,
    ) -> Option<u16> {
        let protocol = application.routing.towards(towards_gateway);
        if !protocol.has_path() {
            return self.add_routed(application, destination, towards_gateway);
        }
        let version = application.underlay;
        let sealed = application.seal != Seal::None;
        let tag = if sealed { TAG_LEN } else { 0 };
        let (spread, coded) = (protocol == Protocol::Spread, protocol == Protocol::Parity);
        let adaptive = protocol == Protocol::Adaptive;
        let count = match protocol {
            Protocol::Spread => set.paths.len(),
            Protocol::Parity => application.copies.max(2) as usize,
            Protocol::Adaptive => adaptive::PATHS,
            _ => application.copies.max(1) as usize,
        };
        let order_len = if application.routing.is_ordered(towards_gateway) { ORDER_LEN } else { 0 };
        let own = HEADER_LEN + order_len + tag;
        // A parity packet is as long as the longest packet that it covers, and what it says of that.
        let place_len = if order_len > 0 { ORDER_DATA_LEN } else { 0 };
        let shard_len = SHARD_HEAD + place_len + tag;
        let longest = if coded { own.max(HEADER_LEN + PARITY_LEN + shard_len) } else { own };
        let links = |tables: &Tables, path: &topology::Path, dead| {
            let first = if towards_gateway { path.via.first() } else { path.via.last() };
            first.map_or_else(Vec::new, |region| tables.intermediates(topology, *region, version, dead))
        };
        let chosen = dead.choose(set, count, destination, version);
        // How many copies leave is not known yet where it differs from packet to packet.
        let told = match protocol {
            Protocol::Spread | Protocol::Parity => 1,
            Protocol::Adaptive => 0,
            _ => chosen.len().min(usize::from(COPIES_MASK)) as u8,
        };
        let (mut copies, mut weights, mut parity) = (Vec::new(), Vec::new(), Vec::new());
        for path in chosen {
            let place = set.paths.iter().position(|one| one.id == path.id);
            let weight = place.and_then(|place| application.routing.weights.get(place));
            weights.push(weight.copied().unwrap_or(1));
            let links = links(self, path, dead);
            let links = || links.iter().filter_map(|link| self.links.get(*link as usize));
            let room = |link: &Link| link.mtu_along(path.id).saturating_sub(link.ip_len(own) as u16);
            let mtu = links().map(room).min().unwrap_or(u16::MAX);
            let header = Header {
                vni: self.overlay_id,
                inner: IpVersion::V4,
                protocol: protocol.id(),
                copies: told,
                hop_limit: HOP_LIMIT_DEFAULT,
                source: self.node,
                destination,
                authenticator: 0,
                stream: 0,
                path: path.id,
                epoch: 0,
                path_sequence: 0,
                sequence: 0,
            };
            let path_slot = number(&mut self.registry.paths, path.id);
            let way = self.registry.way(path.id, destination);
            let hops = path.via.len() as u8 + 1;
            if coded && !copies.is_empty() {
                let room = |link: &Link| {
                    let len = link.ip_len(HEADER_LEN + PARITY_LEN) as u16;
                    link.mtu_along(path.id).saturating_sub(len)
                };
                let mtu = links().map(room).min().unwrap_or(u16::MAX);
                parity.push(Copy::new(path_slot, way, mtu, hops, links(), header, PARITY_LEN));
                continue;
            }
            copies.push(Copy::new(path_slot, way, mtu, hops, links(), header, order_len));
        }
        // Paths that come and go must not change what the configuration allows for: those that are preferred count,
        // dead or alive, with the MTUs of their ports.
        let all = Dead::default();
        let preferred = set.paths.iter().take(count).flat_map(|path| links(self, path, &all));
        let room = |link: &Link| link.egress.mtu.saturating_sub(link.ip_len(longest) as u16);
        let most = preferred.filter_map(|link| self.links.get(link as usize)).map(room).min();
        let most = parity.iter().map(|copy| copy.mtu.saturating_sub(shard_len as u16)).chain(most).min();
        let mut copies = copies.into_iter();
        let mut first = copies.next()?;
        // What its sender is told is bounded by this one path's MTU where the flight's is less than IPv6 allows.
        if coded && let Some(most) = most.filter(|most| *most >= V6_MTU_MIN) {
            first.mtu = first.mtu.min(most);
        }
        let number = number(&mut self.registry.destinations, destination);
        let flight =
            Flight::new(destination, number, first, copies.collect(), most, sealed, application.trace);
        let flight = match (spread, order_len) {
            (true, _) => flight.spread(&weights),
            (false, 0) => flight,
            (false, _) => flight.ordered(),
        };
        if adaptive {
            // At the step of parity packets go by another flight, whose packets are a little shorter.
            let coded =
                self.add_coded(topology, set, (index, application), destination, towards_gateway, dead);
            let most =
                coded.and_then(|number| self.flights.get(usize::from(number))).map(|flight| flight.mtu);
            let cell = self.steps.get(&(index, destination)).cloned().unwrap_or_default();
            self.flights.push(flight.adaptive(cell, coded, most));
            return Some(self.flights.len() as u16 - 1);
        }
        let own_number = self.flights.len() as u16;
        let coding = application.routing.coding;
        self.flights.push(match coded {
            true => flight.coded(Coded { number: own_number, coding, copies: parity }),
            false => flight,
        });
        Some(self.flights.len() as u16 - 1)
    }
}

/// Whether packets of a protocol may have parity packets.
fn is_coded(protocol: Protocol) -> bool {
    matches!(protocol, Protocol::Parity | Protocol::Adaptive)
}

/// Every address of a pool's range.
pub fn pool_addresses(range: &std::ops::RangeInclusive<IpAddr>) -> impl Iterator<Item = Addr> + use<> {
    let (first, last, v4) = match (*range.start(), *range.end()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => (first.to_bits() as u128, last.to_bits() as u128, true),
        (first, last) => (Addr::from(first).to_bits(), Addr::from(last).to_bits(), false),
    };
    (first..=last).map(move |bits| match v4 {
        true => Addr::from_v4((bits as u32).to_be_bytes()),
        false => Addr::from_v6(bits.to_be_bytes()),
    })
}
