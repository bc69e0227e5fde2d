//! An overlay of a thousand nodes on a map: regions with edges, intermediates and a gateway each, and flows across it that every
//! routing protocol carries.

use super::contender::Contender;
use super::map::{Map, REGIONS};
use crate::sim::Random;
use overlay::plan::{Graph, Quality, Solver, VIA_MAX};
use overlay::topology::{
    Application, Ground, IpVersion, Link, Liveness, Node, NodeId, Origin, Path, PathId, PathSet, Probing,
    Region, RegionIndex, Risk, RiskIndex, Roles, Routing, Sampling, Seal, Service, Topology, Translation,
    Vip,
};
use packet::Mac;
use pipelines::tables::Interface;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;

/// Nodes in all.
pub const NODES: usize = 1000;
/// Intermediates of each region; the next node is a gateway, the others are edges.
pub const INTERMEDIATES_PER_REGION: usize = 2;
/// Nodes of a region at least.
const REGION_MIN: usize = INTERMEDIATES_PER_REGION + 2;
/// Clients of a flow: as many streams.
pub const CLIENTS: u8 = 4;
/// Port that applications listen on.
pub const SERVICE_PORT: u16 = 53;
/// Paths that a flow's set has: enough for three copies.
const PATHS: usize = 3;
/// Interval of probes and of liveness, ms.
pub const PROBE_MS: u32 = 100;
/// Interval of BFD, ms, and how many may be missed.
pub const LIVENESS: (u32, u8) = (50, 3);

/// Traffic from the clients of one edge to the origin of one gateway, by every protocol at once.
#[derive(Clone, Debug)]
pub struct Flow {
    /// The edge, as an index of nodes.
    pub edge: usize,
    /// The gateway, as an index of nodes.
    pub gateway: usize,
}

/// What is simulated.
pub struct Overlay {
    /// Where everything lies.
    pub map: Map,
    /// The topology of all nodes.
    pub topology: Topology,
    /// Where each region's nodes begin, and where the last one's end.
    starts: Vec<usize>,
    /// Who sends to whom.
    pub flows: Vec<Flow>,
    /// The protocols that carry it.
    pub contenders: Vec<Contender>,
}

impl Overlay {
    /// The overlay of a seed, with so many flows.
    ///
    /// # Panics
    /// Where the map leaves fewer pairs of regions with disjoint paths than flows are asked for.
    pub fn draw(seed: u64, flows: usize, contenders: &[Contender]) -> Overlay {
        let map = Map::draw(seed);
        let starts = starts(&map);
        let mut topology = Topology {
            overlay_id: 77,
            streams: 16,
            regions: (0..REGIONS).map(|region| Region { name: format!("region-{region}") }).collect(),
            nodes: (0..REGIONS)
                .flat_map(|region| nodes(region, starts[region]..starts[region + 1]))
                .collect(),
            ground: ground(&map),
            liveness: Some(Liveness {
                interval_ms: LIVENESS.0,
                multiplier: LIVENESS.1,
                hold_down_ms: 1_000,
                damping_seconds: 0,
            }),
            quality: Some(Probing { interval_ms: PROBE_MS, packet_bytes: vec![200] }),
            ..Topology::default()
        };
        let mut random = Random::new(seed, 33);
        let graph = Graph::new(&topology).expect("a map is a graph");
        let mut drawn = Vec::new();
        let mut pairs: Vec<(usize, usize)> =
            (0..REGIONS).flat_map(|a| (0..REGIONS).map(move |b| (a, b))).collect();
        random.shuffle(&mut pairs);
        let mut taken = [false; REGIONS];
        for (from, to) in pairs {
            if drawn.len() == flows {
                break;
            }
            // What is far is of interest.
            if map.continents[from] == map.continents[to] || taken[from] || taken[to] {
                continue;
            }
            let [edge, gateway] = [from, to].map(|region| RegionIndex(region as u16));
            let plan = Solver::new(gateway, VIA_MAX).plan(&graph, edge, PATHS);
            if plan.alarm().is_some() {
                continue;
            }
            (taken[from], taken[to]) = (true, true);
            let first = (drawn.len() * PATHS + 1) as u16;
            topology.certificates.push(plan.certificate(gateway, (first..).map(PathId)));
            let paths = plan.routes.into_iter().zip(first..);
            let paths = paths.map(|(route, id)| Path { id: PathId(id), via: route.via }).collect();
            topology.path_sets.push(PathSet { name: format!("set-{from}-{to}"), edge, gateway, paths });
            let edge = starts[from] + INTERMEDIATES_PER_REGION + 1;
            drawn.push(Flow { edge, gateway: starts[to] + INTERMEDIATES_PER_REGION });
        }
        assert_eq!(drawn.len(), flows, "seed {seed}: too few pairs of regions with {PATHS} disjoint paths");
        let mut overlay = Overlay { map, topology, starts, flows: drawn, contenders: contenders.to_vec() };
        for flow in 0..flows {
            overlay.add_applications(flow);
        }
        overlay
    }

    fn add_applications(&mut self, flow: usize) {
        let Flow { edge, gateway } = self.flows[flow];
        self.topology.nodes[gateway].nat_pool = vec![origin_net(flow, 100)..=origin_net(flow, 103)];
        let set = &self.topology.path_sets[flow];
        // A source route over the first path, by the first node of each region.
        let hops: Vec<NodeId> =
            set.paths[0].via.iter().map(|region| id(self.starts[usize::from(region.0)])).collect();
        for (at, contender) in self.contenders.iter().enumerate() {
            let mut application = Application {
                name: format!("{}-{flow}", contender.name),
                vips: vec![Vip { address: vip(flow, at), node: id(edge) }],
                services: vec![Service::Udp(SERVICE_PORT..=SERVICE_PORT)],
                gateway: self.topology.nodes[gateway].region,
                origins: vec![Origin { address: origin_net(flow, 2), port: None }],
                copies: 1,
                underlay: IpVersion::V4,
                seal: Seal::None,
                trace: Sampling { one_in: 0, ..Sampling::default() },
                routing: Routing { hops: hops.clone(), ..Routing::default() },
                translation: Translation::default(),
            };
            (contender.configure)(&mut application);
            self.topology.applications.push(application);
        }
    }

    /// The nodes of a region.
    pub fn nodes(&self, region: usize) -> Range<usize> {
        self.starts[region]..self.starts[region + 1]
    }

    /// Those of them that pass packets on.
    pub fn intermediates(&self, region: usize) -> Range<usize> {
        self.starts[region]..self.starts[region] + INTERMEDIATES_PER_REGION
    }

    /// The region of a node.
    pub fn region(&self, node: usize) -> usize {
        usize::from(self.topology.nodes[node].region.0)
    }

    /// A node's ports: the underlay, and where it has clients or origins of a flow, another.
    pub fn interfaces(&self, node: usize) -> Vec<Interface> {
        let port = |mac: Mac, address: IpAddr, len: u8, mtu: u16| Interface {
            mac,
            vlan: 0,
            mtu,
            addresses: vec![ipnetwork::IpNetwork::new(address, len).expect("a prefix length of IPv4")],
            routes: Vec::new(),
        };
        let mut ports = vec![port(mac(node), underlay(node), 9, 1600)];
        for (number, flow) in self.flows.iter().enumerate() {
            let outside = Mac([2, 0, 0, 2, (node >> 8) as u8, node as u8]);
            if flow.edge == node {
                ports.push(port(outside, client_net(number, 1), 24, 1500));
            } else if flow.gateway == node {
                ports.push(port(outside, origin_net(number, 1), 24, 1500));
            }
        }
        ports
    }
}

/// A node's number on the wire.
pub fn id(node: usize) -> NodeId {
    NodeId(node as u16 + 1)
}

/// The Ethernet address of a node's underlay port.
pub fn mac(node: usize) -> Mac {
    Mac([2, 0, 0, 1, (node >> 8) as u8, node as u8])
}

/// Whose port has an Ethernet address of [`mac`].
pub fn node_of(mac: &[u8]) -> usize {
    usize::from(mac[4]) << 8 | usize::from(mac[5])
}

/// A node's address for outer headers.
pub fn underlay(node: usize) -> IpAddr {
    Ipv4Addr::from(0x0a80_0001 + node as u32).into()
}

/// The virtual IP of a flow by a protocol.
pub fn vip(flow: usize, contender: usize) -> IpAddr {
    Ipv4Addr::new(203, 0, flow as u8, contender as u8 + 1).into()
}

/// An address among a flow's clients; its clients are 10 and above, their edge is 1.
pub fn client_net(flow: usize, host: u8) -> IpAddr {
    Ipv4Addr::new(100, 64, flow as u8, host).into()
}

/// An address beside a flow's gateway; its origin is 2, the gateway is 1.
pub fn origin_net(flow: usize, host: u8) -> IpAddr {
    Ipv4Addr::new(172, 16, flow as u8, host).into()
}

/// Where each region's nodes begin. Where many cables meet there are few nodes, and most edges stand where cables end: near the
/// clients.
fn starts(map: &Map) -> Vec<usize> {
    let cables = |region: usize| map.cables.iter().filter(|cable| cable.between.contains(&region)).count();
    let weights: Vec<usize> = (0..REGIONS).map(|region| 1_000 / cables(region).max(1).pow(2)).collect();
    let (total, spare) = (weights.iter().sum::<usize>(), NODES - REGIONS * REGION_MIN);
    let (mut starts, mut sum, mut end) = (vec![0], 0, 0);
    for (region, weight) in weights.iter().enumerate() {
        sum += weight;
        // Rounded in sum, so that none is lost.
        let upto = (region + 1) * REGION_MIN + spare * sum / total;
        end = upto.max(end + REGION_MIN);
        starts.push(end);
    }
    starts
}

fn nodes(region: usize, range: Range<usize>) -> impl Iterator<Item = Node> {
    range.clone().map(move |at| {
        let place = at - range.start;
        let intermediate = place < INTERMEDIATES_PER_REGION;
        let gateway = place == INTERMEDIATES_PER_REGION;
        Node {
            name: format!("node-{at}"),
            id: id(at),
            region: RegionIndex(region as u16),
            roles: Roles { edge: !intermediate && !gateway, intermediate, gateway },
            underlay: vec![underlay(at)],
            workers: 1,
            nat_pool: Vec::new(),
            rss: None,
        }
    })
}

fn ground(map: &Map) -> Ground {
    let risk = |hazard: &super::map::Hazard| Risk {
        name: hazard.name.clone(),
        regions: hazard.regions.iter().map(|region| RegionIndex(*region as u16)).collect(),
    };
    let link = |cable: &super::map::Cable| Link {
        between: cable.between.map(|end| RegionIndex(end as u16)),
        quality: Quality { latency_us: cable.latency_us, loss_ppm: 0 },
        risks: cable.risks.iter().map(|risk| RiskIndex(*risk as u16)).collect(),
    };
    Ground {
        risks: map.hazards.iter().map(risk).collect(),
        links: map.cables.iter().map(link).collect(),
        ..Ground::default()
    }
}
