//! What is simulated: an overlay and the hosts around it.

use ipnetwork::IpNetwork;
use overlay::protocol::Protocol;
use overlay::topology::{NodeId, RegionIndex, Roles, Topology};
use packet::Mac;
use pipelines::tables::Interface;
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// Which IP versions the underlay speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Families {
    /// Both, or one of them.
    Any,
    /// Both.
    Both,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

/// Bounds of what is drawn.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Edge nodes.
    pub edges: RangeInclusive<u64>,
    /// Intermediate regions.
    pub regions: RangeInclusive<u64>,
    /// Nodes of each.
    pub per_region: RangeInclusive<u64>,
    /// Gateway nodes.
    pub gateways: RangeInclusive<u64>,
    /// Paths of each set at least.
    pub paths_min: u64,
    /// Copies of each packet; never more than paths.
    pub copies: RangeInclusive<u64>,
    /// Routing protocols that applications have, each direction its own.
    pub protocols: Vec<Protocol>,
    /// Workers of each node.
    pub workers: RangeInclusive<u64>,
    /// Applications.
    pub applications: RangeInclusive<u64>,
    /// IP versions of the underlay.
    pub underlay: Families,
    /// Probability of a VLAN tag on a port.
    pub tagged: f64,
    /// Probability that an edge or gateway has one port for everything.
    pub one_armed: f64,
    /// Probability that a node's RSS is known to the overlay.
    pub rss: f64,
    /// MTU of underlay ports, bytes: 1376 at least, so that IPv6 has its 1280 inside.
    pub wan_mtu: RangeInclusive<u64>,
    /// MTU of ports towards clients and origins, bytes.
    pub lan_mtu: u16,
    /// Whether IPv6 clients of all applications are translated by prefix.
    pub prefixes: bool,
    /// Elimination window, packets.
    pub window: usize,
    /// Buffers of each node.
    pub buffers: usize,
}

impl Default for Shape {
    fn default() -> Shape {
        Shape {
            edges: 1..=3,
            regions: 2..=4,
            per_region: 1..=2,
            gateways: 1..=2,
            paths_min: 2,
            copies: 1..=3,
            protocols: vec![Protocol::Replicate],
            workers: 1..=3,
            applications: 1..=3,
            underlay: Families::Any,
            tagged: 0.3,
            one_armed: 0.3,
            rss: 0.5,
            wan_mtu: 1376..=1900,
            lan_mtu: 1500,
            prefixes: false,
            window: 1024,
            buffers: 1024,
        }
    }
}

/// A node with its ports.
#[derive(Clone, Debug)]
pub struct NodePlan {
    /// Its number.
    pub id: NodeId,
    /// Its ports; the segment that each is on.
    pub ports: Vec<(Interface, usize)>,
}

/// What a host does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StationRole {
    /// Sends requests to virtual IPs of this edge.
    Client {
        /// The edge.
        edge: NodeId,
    },
    /// Answers requests.
    Origin {
        /// The gateways' region.
        region: RegionIndex,
    },
}

/// A host.
#[derive(Clone, Debug)]
pub struct StationPlan {
    /// Its Ethernet address.
    pub mac: Mac,
    /// The segment that it is on.
    pub segment: usize,
    /// Its addresses on the segment.
    pub addresses: Vec<IpNetwork>,
    /// Addresses behind it, for which it is the router.
    pub behind: Vec<IpAddr>,
    /// Its routers, by IP version.
    pub routers: Vec<IpAddr>,
    /// What it does.
    pub role: StationRole,
}

/// What is simulated.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The overlay.
    pub topology: Topology,
    /// Its nodes, in the topology's order.
    pub nodes: Vec<NodePlan>,
    /// The hosts.
    pub stations: Vec<StationPlan>,
    /// Segments.
    pub segments: usize,
    /// Elimination window, packets.
    pub window: usize,
    /// Buffers of each node.
    pub buffers: usize,
    /// MTU of underlay ports, bytes.
    pub wan_mtu: u16,
    /// MTU of ports towards clients and origins, bytes.
    pub lan_mtu: u16,
    /// Bytes that a client's or origin's IP packet may have everywhere.
    pub inner_mtu: u16,
}

impl Plan {
    /// The index of a node.
    pub fn node(&self, id: NodeId) -> usize {
        self.topology.nodes.iter().position(|node| node.id == id).unwrap()
    }

    /// Indices of the nodes that have a role.
    pub fn with_role(&self, has: impl Fn(&Roles) -> bool) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| has(&self.topology.nodes[*node].roles)).collect()
    }
}
