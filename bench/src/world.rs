//! The overlay that the roles are measured in: one node per region, two disjoint paths, IPv4, one port per node.
//!
//! ```text
//!   clients ── edge (1) ──┬── intermediate (2) ──┬── gateway (4) ── origin
//!   10.64/10  192.0.2.1   └── intermediate (3) ──┘   192.0.2.4      10.9.0.2
//! ```

use crate::frame::{self, Flow, Overlay, SERVICE_PORT, VIP};
use overlay::pick;
use overlay::topology::{
    Application, IpVersion, Node, NodeId, Origin, Path, PathId, PathSet, Region, RegionIndex, Roles, Service,
    Topology, Vip,
};
use packet::{Addr, Mac};
use pipelines::PortIndex;
use pipelines::tables::{CompileError, Input, Interface, Route, Tables};
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;

/// The origin.
pub const ORIGIN: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
/// First of the gateway's NAT addresses.
const POOL: Ipv4Addr = Ipv4Addr::new(10, 9, 16, 0);
/// Sessions per NAT address: half of its ports.
const SESSIONS_PER_ADDRESS: u32 = 32_768;
/// The router towards the clients.
const ROUTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 254);
/// Buckets that clients are spread over.
pub const STREAMS: u16 = 16;
/// The edge node's number.
const EDGE: u16 = 1;
/// The gateway node's number.
const GATEWAY: u16 = 4;

/// What a node is measured as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The edge, packets from clients.
    Edge,
    /// The first path's intermediate, packets from the edge.
    Intermediate,
    /// The gateway, packets from the edge or from the origin.
    Gateway,
}

impl Role {
    /// The number of the node that plays the role.
    pub fn node(self) -> NodeId {
        NodeId(match self {
            Role::Edge => EDGE,
            Role::Intermediate => 2,
            Role::Gateway => GATEWAY,
        })
    }
}

/// The address of a node.
pub fn underlay(node: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(192, 0, 2, 0)) + u32::from(node))
}

/// The gateway's NAT addresses, enough for so many sessions.
pub fn nat_pool(sessions: u32) -> RangeInclusive<IpAddr> {
    let last = Ipv4Addr::from(u32::from(POOL) + sessions / SESSIONS_PER_ADDRESS);
    IpAddr::V4(POOL)..=IpAddr::V4(last)
}

/// The overlay, with this many copies of each packet, this many workers on every node, and NAT addresses for so
/// many sessions.
pub fn topology(copies: u8, workers: u16, sessions: u32) -> Topology {
    let region = |name: &str| Region { name: name.to_owned() };
    let node = |id: u16, name: &str, roles: Roles| Node {
        name: name.to_owned(),
        id: NodeId(id),
        region: RegionIndex(id - 1),
        roles,
        underlay: vec![IpAddr::V4(underlay(id))],
        workers,
        nat_pool: if roles.gateway { vec![nat_pool(sessions)] } else { Vec::new() },
        rss: None,
    };
    let edge = Roles { edge: true, ..Roles::default() };
    let intermediate = Roles { intermediate: true, ..Roles::default() };
    let gateway = Roles { gateway: true, ..Roles::default() };
    Topology {
        overlay_id: 1,
        streams: STREAMS,
        regions: ["west", "north", "south", "east"].map(region).to_vec(),
        nodes: vec![
            node(EDGE, "edge", edge),
            node(2, "north", intermediate),
            node(3, "south", intermediate),
            node(GATEWAY, "gateway", gateway),
        ],
        path_sets: vec![PathSet {
            name: "west-east".to_owned(),
            edge: RegionIndex(0),
            gateway: RegionIndex(3),
            paths: [1, 2].map(|id| Path { id: PathId(id), via: vec![RegionIndex(id)] }).to_vec(),
        }],
        applications: vec![Application {
            name: "measured".to_owned(),
            vips: vec![Vip { address: IpAddr::V4(VIP), node: NodeId(EDGE) }],
            services: vec![Service::Udp(SERVICE_PORT..=SERVICE_PORT)],
            gateway: RegionIndex(3),
            origins: vec![Origin { address: IpAddr::V4(ORIGIN), port: None }],
            copies,
            underlay: IpVersion::V4,
            seal: overlay::topology::Seal::None,
            trace: overlay::topology::Sampling::default(),
            routing: Default::default(),
            translation: overlay::topology::Translation::default(),
        }],
        ..Topology::default()
    }
}

/// The snapshot of the node that plays a role, every neighbour known.
///
/// # Errors
/// Where the overlay does not compile, which a test excludes.
pub fn tables(role: Role, copies: u8, workers: u16, sessions: u32) -> Result<Tables, CompileError> {
    compile(role, &topology(copies, workers, sessions))
}

/// The same of an overlay that differs.
///
/// # Errors
/// Where it does not compile.
pub fn compile(role: Role, topology: &Topology) -> Result<Tables, CompileError> {
    let network = |address: Ipv4Addr, length: u8| format!("{address}/{length}").parse().into_iter();
    let own = network(underlay(role.node().0), 24);
    let default = network(Ipv4Addr::UNSPECIFIED, 0).map(|to| Route { to, via: IpAddr::V4(ROUTER) });
    let interface = Interface {
        mac: Mac(frame::PORT_MAC),
        vlan: 0,
        mtu: 1_500,
        addresses: own.chain(network(Ipv4Addr::new(10, 9, 0, 1), 16)).collect(),
        routes: default.collect(),
    };
    let stations = (1..=4).map(underlay).chain([ROUTER, ORIGIN]);
    let neighbors: Vec<_> = stations
        .zip(1..)
        .map(|(address, number)| (PortIndex(0), Addr::from(address), Mac([2, 0, 0, 0, 1, number])))
        .collect();
    Tables::compile(&Input {
        topology,
        node: role.node(),
        interfaces: &[interface],
        neighbors: &neighbors,
        seed: 0x5eed,
        previous: None,
        dead: &pipelines::tables::Dead::default(),
        mtus: &pipelines::tables::Mtus::default(),
        hops: &Default::default(),
        blocks: &[],
        neighbors_only: false,
    })
}

/// The overlay frame that the intermediate receives from the edge for a client's frame.
pub fn from_edge(flow: Flow, size: usize, sequence: u64) -> Vec<u8> {
    let overlay = Overlay {
        addresses: (underlay(EDGE), underlay(2)),
        nodes: (EDGE, GATEWAY),
        path: 1,
        hop_limit: 8,
        stream: (0, bucket(flow)),
        sequence,
    };
    frame::overlay_frame(overlay, &frame::client_frame(flow, size))
}

/// The overlay frame that the gateway receives from a path's intermediate (paths 1 and 2) for a client's frame.
pub fn from_intermediate(flow: Flow, size: usize, path: u16) -> Vec<u8> {
    let overlay = Overlay {
        addresses: (underlay(1 + path), underlay(GATEWAY)),
        nodes: (EDGE, GATEWAY),
        path,
        hop_limit: 7,
        stream: (0, bucket(flow)),
        sequence: 0,
    };
    frame::overlay_frame(overlay, &frame::client_frame(flow, size))
}

/// The origin's frame to an address and port of the NAT pool.
pub fn from_origin(to: (Ipv4Addr, u16), size: usize) -> Vec<u8> {
    frame::udp_frame((ORIGIN, SERVICE_PORT), to, size - 4)
}

/// The bucket that a flow's client falls into.
pub fn bucket(flow: Flow) -> u8 {
    pick::bucket(Addr::from(flow.client), STREAMS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_role_compiles() {
        for role in [Role::Edge, Role::Intermediate, Role::Gateway] {
            assert!(tables(role, 2, 1, 1_000_000).is_ok());
        }
    }
}
