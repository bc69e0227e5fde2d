//! The overlay's topology as plain data: regions, nodes, path sets, applications.
//!
//! Whoever builds one (the configuration) has checked every name and range;
//! the data path compiles it into tables and never reads these types per packet.

use core::net::IpAddr;
use core::ops::RangeInclusive;
use ipnetwork::{IpNetwork, Ipv6Network};
pub use packet::IpVersion;
pub use packet::rss::Rss;

use crate::adaptive;
use crate::auto::Settings;
use crate::parity::Coding;
use crate::plan::{Certificate, Quality};
use crate::protocol::Protocol;

/// An index into [`Topology::regions`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegionIndex(pub u16);

/// A node's number on the wire; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeId(pub u16);

/// A path's number on the wire, unique in the overlay; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathId(pub u16);

/// An index into [`Ground::links`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkIndex(pub u32);

/// An index into [`Ground::risks`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RiskIndex(pub u16);

/// The whole overlay, the same on every node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// Number of the overlay, 24 bits: GENEVE's virtual network identifier.
    pub overlay_id: u32,
    /// Streams per sending worker and destination, 1 to 256: buckets over which clients are spread.
    pub streams: u16,
    /// Regions; [`RegionIndex`] counts along this list.
    pub regions: Vec<Region>,
    /// Nodes, in the order of the file.
    pub nodes: Vec<Node>,
    /// Path sets, at most one for each pair of edge and gateway region.
    pub path_sets: Vec<PathSet>,
    /// What the planner, or whoever checked paths written by hand, states of path sets, one certificate for a set at
    /// most. Where a set has none, [`crate::plan::verify`] holds the same against what it finds itself.
    pub certificates: Vec<Certificate>,
    /// Path sets that are planned, and planned again as links change.
    pub planned: Vec<Planned>,
    /// Paths that others may send over though this node does not: those of plans that are to come or are gone.
    pub beside: Vec<PathSet>,
    /// What paths run over.
    pub ground: Ground,
    /// Applications.
    pub applications: Vec<Application>,
    /// Gateways that stand in for each other; a gateway is in one of these at most.
    pub takeovers: Vec<Takeover>,
    /// How nodes watch their links and paths; `None` for not at all.
    pub liveness: Option<Liveness>,
    /// How the ends of paths measure them; `None` for not at all.
    pub quality: Option<Probing>,
}

/// Two gateways of one region that stand in for each other: each takes over the other's pool when it dies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Takeover {
    /// The two.
    pub gateways: [NodeId; 2],
    /// Who votes with them on which of them has which pool.
    pub witnesses: Vec<NodeId>,
    /// How long a vote holds, milliseconds.
    pub lease_ms: u32,
}

/// How nodes watch their links and paths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Liveness {
    /// Interval between packets in each direction, milliseconds.
    pub interval_ms: u32,
    /// Packets in a row that must be missing before a link or path is dead.
    pub multiplier: u8,
    /// How long a link or path must live again before it is used, milliseconds.
    pub hold_down_ms: u32,
    /// Time in which the penalty of one that flaps halves, seconds; 0 for no damping.
    pub damping_seconds: u32,
}

/// How the ends of paths measure them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probing {
    /// Interval between probes of each path, milliseconds.
    pub interval_ms: u32,
    /// Lengths of the probes' inner packets, bytes, taken in turn; at least one.
    pub packet_bytes: Vec<u16>,
}

/// A place with one or more nodes that fail together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// The operator's name for it.
    pub name: String,
}

/// What paths run over: links between regions, and what links and regions share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ground {
    /// What to do with a path set whose paths can fail together.
    pub disjoint: Disjoint,
    /// Groups of links and regions that fail together.
    pub risks: Vec<Risk>,
    /// Links between regions, at most one for each pair. None at all: nothing is known of links, and any hop will do.
    pub links: Vec<Link>,
}

/// What to do with a path set whose paths can fail together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Disjoint {
    /// Refuse it.
    #[default]
    Require,
    /// Use it, and warn.
    Warn,
}

/// A shared-risk group: one event stops everything in it, as a cut through a duct or a failed power grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Risk {
    /// The operator's name for it.
    pub name: String,
    /// Regions that it stops. Links name their risks themselves.
    pub regions: Vec<RegionIndex>,
}

/// All ways between the nodes of two regions, both directions: a path names regions only, so these are one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// The two regions.
    pub between: [RegionIndex; 2],
    /// How good it is.
    pub quality: Quality,
    /// What it shares with other links and regions.
    pub risks: Vec<RiskIndex>,
}

/// What a node does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// Takes clients' traffic on virtual IPs.
    pub edge: bool,
    /// Forwards between other nodes.
    pub intermediate: bool,
    /// Translates and hands packets to origins.
    pub gateway: bool,
}

/// A server of the overlay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The operator's name for it.
    pub name: String,
    /// Its number on the wire.
    pub id: NodeId,
    /// Where it stands.
    pub region: RegionIndex,
    /// What it does.
    pub roles: Roles,
    /// Where other nodes send overlay packets to: at most one address of each IP version, at least one.
    pub underlay: Vec<IpAddr>,
    /// Workers over which it spreads received streams, 1 to 64.
    pub workers: u16,
    /// Addresses that a gateway translates clients' addresses to, first and last of each range.
    pub nat_pool: Vec<RangeInclusive<IpAddr>>,
    /// How its NIC spreads packets over queues, where that is known.
    pub rss: Option<Rss>,
}

/// A path set that is left to the planner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The clients' end.
    pub edge: RegionIndex,
    /// The origins' end.
    pub gateway: RegionIndex,
    /// How many paths are asked for.
    pub paths: u8,
}

/// The paths between an edge region and a gateway region.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathSet {
    /// The operator's name for it.
    pub name: String,
    /// The clients' end.
    pub edge: RegionIndex,
    /// The origins' end.
    pub gateway: RegionIndex,
    /// Paths in order of preference: an application with N copies uses the first N.
    pub paths: Vec<Path>,
}

/// One path, used in both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Its number on the wire.
    pub id: PathId,
    /// The intermediate regions in order from edge to gateway; at least one.
    pub via: Vec<RegionIndex>,
}

/// What clients reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Application {
    /// The operator's name for it.
    pub name: String,
    /// Virtual IPs, each held by one edge node.
    pub vips: Vec<Vip>,
    /// Protocols and ports on every virtual IP.
    pub services: Vec<Service>,
    /// The region whose gateways translate and hand over to the origins.
    pub gateway: RegionIndex,
    /// Servers to hand to; a client keeps its origin. An origin serves the virtual IPs of its own IP version.
    pub origins: Vec<Origin>,
    /// How many copies of each packet leave, each over its own path; 1 means no replication.
    pub copies: u8,
    /// IP version of the outer headers.
    pub underlay: IpVersion,
    /// How its packets are carried. A receiver goes by this, never by the packet.
    pub seal: Seal,
    /// Which of its packets carry records of their hops.
    pub trace: Sampling,
    /// How its packets find their ways.
    pub routing: Routing,
    /// How the gateway translates for it.
    pub translation: Translation,
}

/// How an application's packets find their ways.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routing {
    /// From clients to origins.
    pub to_origin: Protocol,
    /// From origins to clients.
    pub to_client: Protocol,
    /// The intermediate nodes of [`Protocol::SourceRoute`] in order from edge to gateway, which packets to clients pass
    /// the other way round; at most [`crate::wire::HOPS_MAX`].
    pub hops: Vec<NodeId>,
    /// Where packets go by the protocol of their direction only if that is worth it, and straight otherwise.
    pub auto: Option<AutoRouting>,
    /// Whether its packets leave the overlay in the order in which they came in, by whatever protocol.
    pub ordered: bool,
    /// The shares of a path set's paths in packets that are spread, 1 to 100; paths without one have 1.
    pub weights: Vec<u8>,
    /// How packets of [`Protocol::Parity`] are coded.
    pub coding: Coding,
    /// How the redundancy of packets of [`Protocol::Adaptive`] is chosen.
    pub adaptive: adaptive::Settings,
}

/// When packets of an application go straight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AutoRouting {
    /// From clients to origins.
    pub to_origin: bool,
    /// From origins to clients.
    pub to_client: bool,
    /// How either way is weighed.
    pub settings: Settings,
}

/// A node's own word on where packets go next, instead of what it finds itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Detour {
    /// Packets of this protocol, which is hop by hop,
    pub protocol: Protocol,
    /// to this node,
    pub destination: NodeId,
    /// go to this one.
    pub next: NodeId,
}

/// Which packets of an application carry records of their hops, and of how many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// One in so many packets; 0: none.
    pub one_in: u32,
    /// Links of a path that are recorded at most, its first to its last, 1 to [`Sampling::HOPS_MAX`].
    pub hops_max: u8,
}

impl Sampling {
    /// Links that can be recorded: those between the sender, as many nodes as an option has records, and the receiver.
    pub const HOPS_MAX: u8 = crate::wire::trace::RECORDS_MAX as u8 + 1;
}

impl Default for Sampling {
    fn default() -> Sampling {
        Sampling { one_in: 1_000, hops_max: Sampling::HOPS_MAX }
    }
}

/// How the gateway translates for an application.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Translation {
    /// Who may send to clients' external TCP ports.
    pub tcp: Filtering,
    /// Who may send to clients' external UDP ports.
    pub udp: Filtering,
    /// Origins that see clients' own addresses and ports.
    pub untranslated: Vec<IpNetwork>,
    /// Clients whose addresses are translated by prefix.
    pub prefixes: Vec<PrefixRule>,
}

/// Clients of one virtual IP whose addresses are translated by prefix (RFC 6296).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixRule {
    /// Their prefix.
    pub inside: Ipv6Network,
    /// What origins see instead: of the same length, and routed to the gateways of the application's region.
    pub outside: Ipv6Network,
    /// What they send to.
    pub vip: IpAddr,
}

/// Which outside endpoints may send to a client's external address and port (RFC 4787 section 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Filtering {
    /// All that a virtual IP stands for.
    #[default]
    EndpointIndependent,
    /// Those of them at an address that the client has sent to.
    AddressDependent,
    /// Those that the client has sent to.
    AddressAndPortDependent,
}

/// How an application's packets are carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seal {
    /// Encrypted and authenticated end to end.
    #[default]
    Aes256Gcm,
    /// As they are: whoever is on the path reads and changes them. For underlays that are trusted.
    None,
}

/// A virtual IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vip {
    /// The address that clients send to; unique in the overlay.
    pub address: IpAddr,
    /// The edge node that holds it.
    pub node: NodeId,
}

/// A protocol with its ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Service {
    /// TCP ports, first and last.
    Tcp(RangeInclusive<u16>),
    /// UDP ports, first and last.
    Udp(RangeInclusive<u16>),
    /// ICMP or ICMPv6 echo.
    Icmp,
    /// UDP-Lite ports, first and last.
    UdpLite(RangeInclusive<u16>),
    /// SCTP ports, first and last.
    Sctp(RangeInclusive<u16>),
    /// An IP protocol of this number, translated by address alone.
    Protocol(u8),
}

/// A server behind a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its address.
    pub address: IpAddr,
    /// Its port, where it differs from the service's.
    pub port: Option<u16>,
}

impl Routing {
    /// The protocol of a direction.
    pub fn towards(&self, origin: bool) -> Protocol {
        if origin { self.to_origin } else { self.to_client }
    }

    /// How a direction's packets are weighed between overlay and direct way; none where they are not.
    pub fn auto_towards(&self, origin: bool) -> Option<Settings> {
        let auto = self.auto.filter(|auto| if origin { auto.to_origin } else { auto.to_client })?;
        Some(auto.settings)
    }

    /// The protocols that packets of either direction may have.
    pub fn protocols(&self) -> impl Iterator<Item = Protocol> {
        let direct =
            self.auto.is_some_and(|auto| auto.to_origin || auto.to_client).then_some(Protocol::Direct);
        [self.to_origin, self.to_client].into_iter().chain(direct)
    }

    /// Whether packets of a direction are put in order.
    pub fn is_ordered(&self, towards_origin: bool) -> bool {
        self.ordered || self.towards(towards_origin) == Protocol::Spread
    }
}

impl Topology {
    /// The node of this number.
    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// The pair of gateways that a node is one of.
    pub fn takeover_of(&self, gateway: NodeId) -> Option<&Takeover> {
        self.takeovers.iter().find(|takeover| takeover.gateways.contains(&gateway))
    }

    /// The region behind an index.
    pub fn region(&self, index: RegionIndex) -> Option<&Region> {
        self.regions.get(index.0 as usize)
    }

    /// The path set between two regions.
    pub fn path_set(&self, edge: RegionIndex, gateway: RegionIndex) -> Option<&PathSet> {
        self.path_sets.iter().find(|set| set.edge == edge && set.gateway == gateway)
    }

    /// The nodes at the other ends of an application's ways from a node, each with whether packets to it go to origins: the gateways,
    /// where this node holds a virtual IP, and the edges that hold one, where it is one of the gateways. Never itself.
    pub fn opposites(&self, node: NodeId, application: &Application) -> Vec<(&Node, bool)> {
        let Some(this) = self.node(node) else { return Vec::new() };
        let mut found = Vec::new();
        if this.roles.edge && application.vips.iter().any(|vip| vip.node == node) {
            let gateways =
                self.nodes.iter().filter(|one| one.roles.gateway && one.region == application.gateway);
            found.extend(gateways.map(|gateway| (gateway, true)));
        }
        if this.roles.gateway && this.region == application.gateway {
            let mut edges: Vec<NodeId> = application.vips.iter().map(|vip| vip.node).collect();
            edges.sort_unstable();
            edges.dedup();
            found.extend(edges.into_iter().filter_map(|edge| Some((self.node(edge)?, false))));
        }
        found.retain(|(opposite, _)| opposite.id != node);
        found
    }
}

impl Node {
    /// Its address for outer headers of an IP version.
    pub fn underlay(&self, version: IpVersion) -> Option<IpAddr> {
        self.underlay.iter().copied().find(|address| IpVersion::of(*address) == version)
    }
}
