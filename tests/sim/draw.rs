//! Drawing a [`Plan`] from a seed, within a [`Shape`].
//!
//! ```text
//!  segment 0: every node's underlay port        10.<10+e>.0.0/24, 2001:db8:<10+e>::/64: clients of edge e
//!  192.0.2.0/24, 2001:db8:1::/64                10.<50+g>.0.0/24, 2001:db8:<50+g>::/64: origins of gateway region g
//! ```

use super::plan::{Families, NodePlan, Plan, Shape, StationPlan, StationRole};
use super::random::Random;
use ipnetwork::{IpNetwork, Ipv6Network};
use overlay::parity::{Coding, SHARD_HEAD};
use overlay::protocol::Protocol;
use overlay::topology::{
    Application, IpVersion, Node, NodeId, Origin, Path, PathId, PathSet, PrefixRule, Region, RegionIndex,
    Roles, Routing, Rss, Sampling, Service, Topology, Vip,
};
use overlay::wire::{ORDER_LEN, PARITY_LEN, SourceRoute};
use packet::Mac;
use pipelines::tables::{Interface, Route};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;

struct Draw<'a> {
    random: Random,
    shape: &'a Shape,
    plan: Plan,
    edge_regions: Vec<RegionIndex>,
    gateway_regions: Vec<RegionIndex>,
    middle: Vec<RegionIndex>,
    families: Families,
    paths: u16,
}

impl Plan {
    /// The plan of a seed.
    pub fn draw(seed: u64, shape: &Shape) -> Plan {
        let mut random = Random::new(seed, 1);
        let families = match shape.underlay {
            Families::Any => *random.pick(&[Families::Both, Families::V4, Families::V6]),
            fixed => fixed,
        };
        let wan_mtu = random.within(shape.wan_mtu.clone()) as u16;
        let plan = Plan {
            topology: Topology {
                overlay_id: random.within(1..=0xff_ffff) as u32,
                streams: *random.pick(&[3, 4, 16, 64, 256]),
                ..Topology::default()
            },
            nodes: Vec::new(),
            stations: Vec::new(),
            segments: 1,
            window: shape.window,
            buffers: shape.buffers,
            wan_mtu,
            lan_mtu: shape.lan_mtu,
            inner_mtu: shape.lan_mtu.min(wan_mtu - 96 - extensions(shape)),
        };
        let mut draw = Draw {
            random,
            shape,
            plan,
            edge_regions: Vec::new(),
            gateway_regions: Vec::new(),
            middle: Vec::new(),
            families,
            paths: 0,
        };
        draw.regions_and_nodes();
        draw.applications();
        if shape.prefixes {
            draw.translate_by_prefix();
        }
        draw.plan
    }
}

/// Bytes that the largest extension of the protocols takes.
fn extensions(shape: &Shape) -> u16 {
    if shape.protocols == [Protocol::Replicate] {
        return 0;
    }
    let routed = shape.protocols.contains(&Protocol::SourceRoute);
    let coded = if shape.protocols.contains(&Protocol::Parity) { PARITY_LEN + SHARD_HEAD } else { 0 };
    (ORDER_LEN + coded.max(if routed { SourceRoute::option_len(HOPS) } else { 0 })) as u16
}

/// Hops of a source route at most.
const HOPS: usize = 2;

/// Network of clients behind their router, one for each IP version.
fn behind(number: u64) -> [IpAddr; 2] {
    let v4 = Ipv4Addr::from(0x6440_0000 + number as u32);
    let v6 = Ipv6Addr::from(0x2001_0db8_0c00_0000_0000_0000_0000_0000 + ((number as u128) << 3));
    [v4.into(), v6.into()]
}

fn network(third: u64, host: u64) -> [IpNetwork; 2] {
    let (v4, v6) = match third {
        0 => (format!("192.0.2.{host}/24"), format!("2001:db8:1::{host:x}/64")),
        _ => (format!("10.{third}.0.{host}/24"), format!("2001:db8:{third:x}::{host:x}/64")),
    };
    [v4.parse().unwrap(), v6.parse().unwrap()]
}

impl Draw<'_> {
    fn region(&mut self, name: String) -> RegionIndex {
        self.plan.topology.regions.push(Region { name });
        RegionIndex(self.plan.topology.regions.len() as u16 - 1)
    }

    fn regions_and_nodes(&mut self) {
        let shape = self.shape.clone();
        for number in 0..self.random.within(shape.regions) {
            let region = self.region(format!("middle-{number}"));
            self.middle.push(region);
            for _ in 0..self.random.within(shape.per_region.clone()) {
                self.node(region, Roles { intermediate: true, ..Roles::default() }, None);
            }
        }
        for number in 0..self.random.within(shape.edges) {
            let shared = self.edge_regions.last().copied().filter(|_| self.random.chance(0.3));
            let region = shared.unwrap_or_else(|| self.region(format!("edge-{number}")));
            self.edge_regions.push(region);
            let lan = 10 + number;
            let id = self.node(region, Roles { edge: true, ..Roles::default() }, Some((lan, 1)));
            self.client(id, lan);
        }
        for number in 0..self.random.within(shape.gateways) {
            let shared = self.gateway_regions.last().copied().filter(|_| self.random.chance(0.5));
            let region = shared.unwrap_or_else(|| self.region(format!("gateway-{number}")));
            let place = self.gateway_regions.iter().position(|known| *known == region);
            let lan = 50 + place.unwrap_or(number as usize) as u64;
            self.gateway_regions.push(region);
            self.node(region, Roles { gateway: true, ..Roles::default() }, Some((lan, 1 + number)));
            if place.is_none() {
                self.origins(region, lan, 1 + number);
            }
        }
    }

    /// The segment of a LAN: of its own, or the underlay's.
    fn lan_segment(&mut self, lan: u64) -> usize {
        let probe = network(lan, 1)[0];
        let of = |interface: &Interface| interface.addresses.iter().any(|own| probe.contains(own.ip()));
        let known = self.plan.nodes.iter().flat_map(|node| &node.ports).find(|(interface, _)| of(interface));
        match known {
            Some((_, segment)) => *segment,
            None if self.random.chance(self.shape.one_armed) => 0,
            None => {
                self.plan.segments += 1;
                self.plan.segments - 1
            }
        }
    }

    /// A node with its underlay port, and another on a LAN, or the same for both.
    fn node(&mut self, region: RegionIndex, roles: Roles, lan: Option<(u64, u64)>) -> NodeId {
        let number = self.plan.nodes.len() as u64 + 1;
        let id = NodeId(number as u16 * 3);
        let shape = self.shape;
        let workers = (self.random.within(shape.workers.clone()) as u16).min(self.plan.topology.streams);
        let vlan = if self.random.chance(shape.tagged) { self.random.within(2..=4094) as u16 } else { 0 };
        let mut wan = Interface {
            mac: Mac([2, 0, 0, 0, 1, number as u8]),
            vlan,
            mtu: self.plan.wan_mtu,
            addresses: network(0, number).to_vec(),
            routes: Vec::new(),
        };
        let underlay: Vec<IpAddr> = wan.addresses.iter().map(|own| own.ip()).collect();
        let mut nat_pool = Vec::new();
        let mut ports = Vec::new();
        if let Some((lan, host)) = lan {
            let segment = self.lan_segment(lan);
            let addresses = network(lan, host);
            let routes = if roles.edge { self.client_routes(lan) } else { Vec::new() };
            if roles.gateway {
                for own in addresses {
                    let first = network(lan, 0x60 + 4 * host)[own.is_ipv6() as usize].ip();
                    let last = network(lan, 0x60 + 4 * host + self.random.below(2))[own.is_ipv6() as usize];
                    nat_pool.push(first..=last.ip());
                }
            }
            if segment == 0 {
                wan.addresses.extend(addresses);
                wan.routes.extend(routes);
            } else {
                let vlan =
                    if self.random.chance(shape.tagged) { self.random.within(2..=4094) as u16 } else { 0 };
                let mac = Mac([2, 0, 0, 0, 2, number as u8]);
                let mtu = shape.lan_mtu;
                let lan = Interface { mac, vlan, mtu, addresses: addresses.to_vec(), routes };
                ports.push((lan, segment));
            }
        }
        let place = self.random.below(ports.len() as u64 + 1) as usize;
        ports.insert(place, (wan, 0));
        let rss = self.random.chance(shape.rss).then(|| Rss {
            key: (0..40).map(|_| self.random.bits() as u8).collect(),
            queues: workers,
            table: 128,
        });
        let speaks = |address: &IpAddr| match self.families {
            Families::V4 => address.is_ipv4(),
            Families::V6 => address.is_ipv6(),
            _ => true,
        };
        self.plan.topology.nodes.push(Node {
            name: format!("node-{number}"),
            id,
            region,
            roles,
            underlay: underlay.into_iter().filter(speaks).collect(),
            workers,
            nat_pool,
            rss,
        });
        self.plan.nodes.push(NodePlan { id, ports });
        id
    }

    fn client_routes(&mut self, lan: u64) -> Vec<Route> {
        let networks = ["100.64.0.0/10", "2001:db8:c00::/40"];
        let routers = network(lan, 2);
        networks
            .iter()
            .zip(routers)
            .map(|(to, via)| Route { to: to.parse().unwrap(), via: via.ip() })
            .collect()
    }

    fn station(&mut self, lan: u64, hosts: RangeInclusive<u64>, role: StationRole) -> &mut StationPlan {
        let number = self.plan.stations.len() as u8;
        let segment = self.lan_segment(lan);
        self.plan.stations.push(StationPlan {
            mac: Mac([2, 0, 0, 0, 3, number]),
            segment,
            addresses: hosts.flat_map(|host| network(lan, host)).collect(),
            behind: Vec::new(),
            routers: network(lan, 1).map(|own| own.ip()).to_vec(),
            role,
        });
        self.plan.stations.last_mut().unwrap()
    }

    /// A host with clients of its own and clients behind it. Those behind it are the same at every edge, as clients
    /// are that move from one edge to another.
    fn client(&mut self, edge: NodeId, lan: u64) {
        let station = self.station(lan, 2..=4, StationRole::Client { edge });
        station.behind = (0..12).flat_map(|number| behind(1 + number * 37)).collect();
    }

    /// Hosts behind a region's gateways; the one with this number is their router.
    fn origins(&mut self, region: RegionIndex, lan: u64, router: u64) {
        for number in 0..self.random.within(1..=3) {
            let station = self.station(lan, 20 + number..=20 + number, StationRole::Origin { region });
            station.routers = network(lan, router).map(|own| own.ip()).to_vec();
        }
    }

    /// Rules for the clients at each IPv6 virtual IP: those on the edge's link, and those behind them, which are the same everywhere.
    fn translate_by_prefix(&mut self) {
        let stations = &self.plan.stations;
        let mut number = 0;
        for application in &mut self.plan.topology.applications {
            // Replies tell the virtual IP's port by the origin's.
            for origin in application.origins.iter_mut().filter(|origin| origin.address.is_ipv6()) {
                origin.port = None;
            }
            for vip in application.vips.iter().filter(|vip| vip.address.is_ipv6()) {
                let of_edge = |station: &&StationPlan| station.role == StationRole::Client { edge: vip.node };
                let clients = stations.iter().find(of_edge).unwrap();
                let own = clients.addresses.iter().find_map(|own| match own {
                    IpNetwork::V6(own) => Some(Ipv6Network::new(own.network(), own.prefix()).unwrap()),
                    IpNetwork::V4(_) => None,
                });
                number += 1;
                let rule = |inside: Ipv6Network, kind: &str| {
                    let outside =
                        format!("2001:db8:{kind}{number:02x}::/{}", inside.prefix()).parse().unwrap();
                    PrefixRule { inside, outside, vip: vip.address }
                };
                let behind = "2001:db8:c00::/48".parse().unwrap();
                application.translation.prefixes.extend([rule(own.unwrap(), "e1"), rule(behind, "e2")]);
            }
        }
    }

    fn applications(&mut self) {
        for number in 0..self.random.within(self.shape.applications.clone()) {
            let gateway = *self.random.pick(&self.gateway_regions.clone());
            let mut edges = self.plan.with_role(|roles| roles.edge);
            self.random.shuffle(&mut edges);
            edges.truncate(self.random.within(1..=edges.len() as u64) as usize);
            let mut vips = Vec::new();
            for edge in edges {
                let Node { id, region, .. } = self.plan.topology.nodes[edge];
                self.path_set(region, gateway);
                let host = number * 16 + edge as u64;
                vips.push(Vip { address: format!("203.0.113.{host}").parse().unwrap(), node: id });
                vips.push(Vip { address: format!("2001:db8:f0::{host:x}").parse().unwrap(), node: id });
            }
            let sets = self.plan.topology.path_sets.iter().filter(|set| set.gateway == gateway);
            let paths = sets.map(|set| set.paths.len() as u64).min().unwrap();
            let copies = self.random.within(self.shape.copies.clone()).min(paths) as u8;
            let low = self.random.within(1..=30_000) as u16;
            let services = vec![
                Service::Tcp(80..=80),
                Service::Tcp(low.max(81)..=low.max(81) + 50),
                Service::Udp(low..=low + self.random.below(10_000) as u16),
                Service::Icmp,
            ];
            let origins = self.origins_of(gateway);
            let underlay = match self.families {
                Families::V4 => IpVersion::V4,
                Families::V6 => IpVersion::V6,
                _ => *self.random.pick(&[IpVersion::V4, IpVersion::V6]),
            };
            let trace = Sampling {
                one_in: *self.random.pick(&[0, 1, 3, 1000]),
                hops_max: self.random.within(1..=u64::from(Sampling::HOPS_MAX)) as u8,
            };
            let routing = self.routing();
            self.plan.topology.applications.push(Application {
                name: format!("application-{number}"),
                vips,
                services,
                gateway,
                origins,
                copies,
                underlay,
                seal: overlay::topology::Seal::None,
                trace,
                routing,
                translation: overlay::topology::Translation::default(),
            });
        }
    }

    /// A protocol for each direction, with hops for a source route.
    fn routing(&mut self) -> Routing {
        if self.shape.protocols == [Protocol::Replicate] {
            return Routing::default();
        }
        let protocols = self.shape.protocols.clone();
        let [to_origin, to_client] = [(); 2].map(|()| *self.random.pick(&protocols));
        let mut hops = self.plan.with_role(|roles| roles.intermediate);
        self.random.shuffle(&mut hops);
        hops.truncate(self.random.within(1..=HOPS as u64) as usize);
        let hops = hops.into_iter().map(|node| self.plan.topology.nodes[node].id).collect();
        let (ordered, weights) = (self.random.chance(0.2), vec![self.random.within(1..=3) as u8]);
        let packets = self.random.within(1..=12) as u8;
        let parity = self.random.within(1..=u64::from(packets.min(4))) as u8;
        let coding = Coding { packets, parity, wait_us: self.random.within(500..=10_000) as u32 };
        Routing { to_origin, to_client, hops, ordered, weights, auto: None, coding, ..Routing::default() }
    }

    /// Some origins of a region, at least one of each IP version.
    fn origins_of(&mut self, region: RegionIndex) -> Vec<Origin> {
        let role = StationRole::Origin { region };
        let stations: Vec<_> =
            self.plan.stations.iter().filter(|station| station.role == role).cloned().collect();
        let kept = self.random.within(1..=stations.len() as u64) as usize;
        let mut origins = Vec::new();
        for station in &stations[..kept] {
            for address in &station.addresses {
                let port = self.random.chance(0.5).then(|| 8000 + self.random.below(3) as u16);
                origins.push(Origin { address: address.ip(), port });
            }
        }
        origins
    }

    /// Disjoint paths over the intermediate regions.
    fn path_set(&mut self, edge: RegionIndex, gateway: RegionIndex) {
        if self.plan.topology.path_set(edge, gateway).is_some() {
            return;
        }
        let mut middle = self.middle.clone();
        self.random.shuffle(&mut middle);
        let count = self.random.within(self.shape.paths_min.min(middle.len() as u64)..=middle.len() as u64);
        let mut vias: Vec<Vec<RegionIndex>> =
            middle.drain(..count as usize).map(|region| vec![region]).collect();
        for region in middle {
            if self.random.chance(0.7) {
                let path = self.random.below(count) as usize;
                vias[path].push(region);
            }
        }
        let paths = vias.into_iter().map(|via| {
            self.paths += 1;
            Path { id: PathId(self.paths * 5), via }
        });
        let paths = paths.collect();
        let name = format!("set-{}-{}", edge.0, gateway.0);
        self.plan.topology.path_sets.push(PathSet { name, edge, gateway, paths });
    }
}
