//! The immutable snapshot that workers forward by: topology, routes and neighbours compiled into look-ups.
//!
//! The control thread compiles a new one when anything changes and publishes it; each worker takes it at its next
//! batch border. Numbers that live longer than a snapshot (in sessions, sequence counters, per-path counters)
//! are given out once and never reused: [`Registry`] carries them from one snapshot to the next.

mod addresses;
mod compile;
mod dead;
mod flight;
mod hops;
mod link;
mod mtus;
mod prefixes;
mod registry;
mod routed;
mod routes;
mod template;

pub use addresses::AddressTable;
pub use compile::{CompileError, Input, pool_addresses};
pub use dead::Dead;
pub use flight::{Coded, Copy, Departure, Extension, Flight, Spread};
pub use hops::{Hops, NextHops};
pub use link::Link;
pub use mtus::Mtus;
pub use prefixes::{Prefixed, Prefixes};
pub use registry::{Incoming, Registry};
pub use routed::NO_PATH;
pub use routes::{Egress, Interface, NextHop, Route, Routes};
pub use template::{Common, LINK_LEN_MAX, PLAIN_COPY_LEN, Passenger, Template};

use crate::batch::PortIndex;
use crate::step::StepCell;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use overlay::topology::{Filtering, NodeId, RegionIndex, Roles, Translation};
use packet::transport::{ICMP, ICMPV6, TCP, UDP, is_common};
use packet::{Addr, Mac, Reason};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What an address of this node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Local {
    /// A virtual IP that this node holds, of this application.
    Vip(u16),
    /// Where other nodes send overlay packets to.
    Underlay,
    /// An address that clients are translated to.
    Pool,
    /// One that was until a moment ago: packets to it go to the gateway that has it now.
    Passing,
    /// An interface's own address.
    Own,
}

/// Another node, or this one.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Where it stands.
    pub region: RegionIndex,
    /// Whether it passes packets on between others.
    pub intermediate: bool,
    /// How many workers it spreads received streams over, and so how many sending workers it has at most.
    pub workers: u16,
    /// Links to it, by IP version (4, 6); `None` for this node itself and where it has no such address.
    pub link: [Option<u16>; 2],
}

/// A path as an intermediate and a receiver see it.
#[derive(Clone, Debug)]
pub struct PathEntry {
    /// The slot of its counters.
    pub slot: u16,
    /// The clients' end.
    pub edge: RegionIndex,
    /// The origins' end.
    pub gateway: RegionIndex,
    /// The regions beside this node's on the path: towards the edge and towards the gateway. `None` at an end,
    /// and both `None` when the path does not lead through here.
    pub beside: [Option<RegionIndex>; 2],
    /// The links to nodes of the next region when that is an intermediate region: towards the edge and towards
    /// the gateway, by IP version.
    pub next: [[Vec<u16>; 2]; 2],
    /// The nodes at the path's other end, where it ends here, and where what their worker 0 sends is counted.
    pub incoming: Vec<(NodeId, u32)>,
}

/// A port of this node.
#[derive(Clone, Debug)]
pub struct Port {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its VLAN; 0 for untagged.
    pub vlan: u16,
    /// Bytes that an IP packet may have there.
    pub mtu: u16,
    /// Its own first address of each IP version, which ICMP errors come from.
    pub address: [Option<Addr>; 2],
}

/// The services of a virtual IP.
#[derive(Clone, Copy, Debug)]
pub struct Services {
    /// Their numbers, by protocol.
    numbers: [u16; 4],
    /// The node that holds it.
    pub node: NodeId,
    /// Whether it takes sealed packets only.
    pub sealed: bool,
}

impl Services {
    const NONE: u16 = u16::MAX;
    /// Of no protocol, and always none.
    const NOWHERE: u8 = 3;
    /// Where each protocol stands.
    const PLACES: [u8; 256] = {
        let mut places = [Services::NOWHERE; 256];
        places[TCP as usize] = 0;
        places[UDP as usize] = 1;
        places[ICMP as usize] = 2;
        places[ICMPV6 as usize] = 2;
        places
    };

    /// Where a protocol stands.
    fn place(protocol: u8) -> Option<usize> {
        let place = Services::PLACES[protocol as usize];
        (place != Services::NOWHERE).then_some(place as usize)
    }

    /// The number of one.
    #[inline(always)]
    fn of(self, protocol: u8) -> Option<u16> {
        // One word, shifted: asking for one protocol after the other takes longer.
        let [a, b, c, d] = self.numbers.map(u64::from);
        let word = a | b << 16 | c << 32 | d << 48;
        let number = (word >> (Services::PLACES[protocol as usize] * 16)) as u16;
        (number != Services::NONE).then_some(number)
    }
}

/// A virtual IP's protocol: what a service number stands for.
#[derive(Clone, Debug)]
pub struct Service {
    /// The virtual IP.
    pub vip: Addr,
    /// Protocol number.
    pub protocol: u8,
    /// Ports, first and last, with the application behind them.
    pub ports: Vec<(u16, u16, u16)>,
}

/// An application as the data path sees it.
#[derive(Clone, Debug)]
pub struct Application {
    /// Gateway nodes with the flights from this node to them, or to whoever holds their blocks; empty where this node holds none
    /// of its VIPs.
    pub gateways: Vec<(NodeId, u16)>,
    /// Origins by IP version, as origin numbers.
    pub origins: [Vec<u16>; 2],
    /// Whether its packets are sealed.
    pub sealed: bool,
    /// The region whose gateways answer for it.
    pub gateway: RegionIndex,
    /// How the gateway translates for it.
    pub translation: Translation,
}

impl Application {
    /// Who may send to clients' external ports.
    pub fn filtering(&self, protocol: u8) -> nat::Filtering {
        let filtering = if protocol == TCP { self.translation.tcp } else { self.translation.udp };
        match filtering {
            Filtering::EndpointIndependent => nat::Filtering::EndpointIndependent,
            Filtering::AddressDependent => nat::Filtering::AddressDependent,
            Filtering::AddressAndPortDependent => nat::Filtering::AddressAndPortDependent,
        }
    }

    /// Whether an origin sees clients' own addresses.
    pub fn is_untranslated(&self, origin: Addr) -> bool {
        self.translation.untranslated.iter().any(|prefix| prefix.contains(origin.to_ip()))
    }
}

/// How an origin's endpoint is reached by clients of an edge: what stands for it.
#[derive(Clone, Copy, Debug)]
pub struct Served {
    /// The edge.
    pub edge: NodeId,
    /// The service's number.
    pub service: u16,
    /// The service's ports, first and last.
    ports: (u16, u16),
    /// The origin's port, where it is not the service's own.
    port: Option<u16>,
    /// The application's number.
    pub application: u16,
    /// The origin's number.
    pub origin: u16,
}

impl Served {
    /// Whether it stands for this port of the origin.
    pub fn is_from(&self, port: u16) -> bool {
        self.port.map_or((self.ports.0..=self.ports.1).contains(&port), |own| own == port)
    }

    /// The virtual IP's port for a port of the origin: where many lead to one, the first.
    pub fn vip_port(&self, port: u16) -> u16 {
        if self.port.is_some() { self.ports.0 } else { port }
    }
}

/// An origin as the data path sees it.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    /// Its address.
    pub address: Addr,
    /// Its port; `None` for the service's own.
    pub port: Option<u16>,
    /// How packets get there; `None` without a route.
    pub egress: Option<Egress>,
}

impl Origin {
    /// A number that every gateway gives this origin, whatever it has seen before: of its address and port alone.
    pub fn identity(&self) -> u64 {
        let bits = self.address.to_bits();
        bits as u64 ^ ((bits >> 64) as u64).rotate_left(16) ^ (self.port.unwrap_or(0) as u64) << 48
    }
}

/// Who holds a gateway's block of NAT addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The gateway whose pool it is.
    pub home: NodeId,
    /// The gateway that translates it now.
    pub owner: NodeId,
    /// Of the owner's tenure; 0 where nobody has said anything yet.
    pub revision: u64,
    /// Whether packets to its addresses are still taken here, for the other gateway.
    pub passes: bool,
}

/// The gateway that stands in for this one, and this one for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partner {
    /// Which node it is.
    pub node: NodeId,
    /// Flights straight to it: of packets that are not sealed, and of those that are.
    pub(super) flights: [Option<u16>; 2],
}

impl Partner {
    /// The number of the flight straight to it, sealed or not as asked for, or as there is one.
    pub fn flight(&self, sealed: bool) -> Option<u16> {
        let [plain, with_seal] = self.flights;
        if sealed { with_seal.or(plain) } else { plain.or(with_seal) }
    }

    /// Whether what is not about a single session may come from it: sealed, where anything is.
    pub fn may_say(&self, sealed: bool) -> bool {
        sealed || self.flights[1].is_none()
    }
}

/// The snapshot.
pub struct Tables {
    /// Counts up with each change of the configuration, not with each neighbour: flows compiled under another
    /// epoch are compiled anew.
    pub epoch: u16,
    /// Which node this is.
    pub node: NodeId,
    /// Where it stands.
    pub region: RegionIndex,
    /// What it does.
    pub roles: Roles,
    /// The overlay's number on the wire.
    pub overlay_id: u32,
    /// Buckets that clients are spread over.
    pub streams: u16,
    /// The node's ports, by [`PortIndex`].
    pub ports: Vec<Port>,
    /// What the node's addresses are.
    pub local: AddressTable<Local>,
    /// Underlay addresses of all nodes.
    pub members: AddressTable<NodeId>,
    /// Nodes by number; `None` where no node has it.
    pub peers: Vec<Option<Peer>>,
    /// Paths by number; `None` where no path has it. Numbers reach far: a place takes a word.
    pub paths: Vec<Option<Box<PathEntry>>>,
    /// Where packets that name no path go next.
    pub next_hops_of: NextHops,
    /// Applications, by their place in the topology, whose packets to a node go straight though they are written otherwise.
    pub straight: BTreeSet<(u16, NodeId)>,
    /// With what the packets of an application to a node are sent, where that is adaptive.
    pub steps: BTreeMap<(u16, NodeId), Arc<StepCell>>,
    /// The slot that packets without a path are counted in; `None` where no application sends any.
    pub pathless: Option<u16>,
    /// Whether lost packets are rebuilt here: packets of some application that end here have parity packets.
    pub rebuilds: bool,
    /// Regions that packets without a path may come from, by number: those beside this node's.
    pub beside: Vec<bool>,
    /// Regions whose packets end here, by number: those at the other end of a path set.
    pub facing: Vec<bool>,
    /// Outer headers to each neighbouring node.
    pub links: Vec<Link>,
    /// How packets reach a node that takes them out of the overlay.
    pub flights: Vec<Flight>,
    /// Flights from this gateway, by edge node and application.
    pub returns: HashMap<(NodeId, u16), u16, FixedState>,
    /// Numbers of the services of each virtual IP.
    services_of: AddressTable<Services>,
    /// Numbers of services of protocols that are not common.
    other_services: HashMap<(Addr, u8), u16, FixedState>,
    /// Services by their number.
    pub services: Vec<Service>,
    /// Who holds the blocks of gateways that stand in for each other.
    pub blocks: Vec<Block>,
    /// The other one of a pair of gateways, if this is one.
    pub partner: Option<Partner>,
    /// Gateways of this node's region, in the order of the topology: clients are spread over them.
    pub siblings: Vec<NodeId>,
    /// Applications by their number in this epoch.
    pub applications: Vec<Application>,
    /// Origins by their number.
    pub origins: Vec<Origin>,
    /// What stands for an origin's address and protocol, on a gateway.
    pub served: HashMap<(Addr, u8), Vec<Served>, FixedState>,
    /// Whether some origin of this gateway sees clients' own addresses.
    pub has_untranslated: bool,
    /// Clients that are translated by prefix, on a gateway.
    pub prefixes: Prefixes,
    /// Routes to clients.
    pub routes: Routes,
    /// Numbers given out so far.
    pub registry: Registry,
    /// Next hops that the configuration names and the control thread keeps resolved.
    pub next_hops: Vec<(PortIndex, Addr)>,
}

impl Tables {
    /// A node by its number.
    #[inline(always)]
    pub fn peer(&self, id: NodeId) -> Option<&Peer> {
        self.peers.get(id.0 as usize)?.as_ref()
    }

    /// Whether a node is the other one of a pair of gateways.
    pub fn is_partner(&self, node: NodeId) -> bool {
        self.partner.is_some_and(|partner| partner.node == node)
    }

    /// Who holds a gateway's block, where it has a peer.
    pub fn block(&self, home: NodeId) -> Option<&Block> {
        self.blocks.iter().find(|block| block.home == home)
    }

    /// The gateway whose clients these are, at a gateway.
    pub fn home_of(&self, client: Addr) -> Option<NodeId> {
        let choice = overlay::pick::rendezvous(client, self.siblings.iter().map(|node| node.0 as u64));
        self.siblings.get(choice?).copied()
    }

    /// A path by its number.
    #[inline(always)]
    pub fn path(&self, id: overlay::topology::PathId) -> Option<&PathEntry> {
        self.paths.get(id.0 as usize)?.as_deref()
    }

    /// Whether a node's region is among some.
    #[inline]
    fn is_in(&self, id: NodeId, regions: &[bool]) -> bool {
        let region = self.peer(id).and_then(|peer| regions.get(peer.region.0 as usize));
        region.copied().unwrap_or(false)
    }

    /// Whether packets without a path may come from a node: it is beside this one.
    pub fn is_beside(&self, id: NodeId) -> bool {
        self.is_in(id, &self.beside)
    }

    /// Whether packets of a node may end here: it is at the other end of a path set.
    pub fn is_facing(&self, id: NodeId) -> bool {
        self.is_in(id, &self.facing)
    }

    /// The number of a virtual IP's service.
    #[inline(always)]
    pub fn service_of(&self, vip: Addr, protocol: u8) -> Option<u16> {
        match is_common(protocol) {
            true => self.services_of.get(vip)?.of(protocol),
            false => self.other_service_of(vip, protocol),
        }
    }

    #[cold]
    fn other_service_of(&self, vip: Addr, protocol: u8) -> Option<u16> {
        self.other_services.get(&(vip, protocol)).copied()
    }

    /// What a virtual IP's services have in common, and the number of one of them. `is_common` is whether the protocol is,
    /// which is known without asking of plain packets.
    ///
    /// # Errors
    /// [`Reason::UnknownService`].
    #[inline(always)]
    pub fn service_at(&self, vip: Addr, protocol: u8, is_common: bool) -> Result<(Services, u16), Reason> {
        let services = self.services_of.get(vip).ok_or(Reason::UnknownService)?;
        let number = match is_common {
            true => services.of(protocol),
            false => self.other_service_of(vip, protocol),
        };
        Ok((services, number.ok_or(Reason::UnknownService)?))
    }

    /// What a virtual IP's services have in common.
    pub fn services_at(&self, vip: Addr) -> Option<Services> {
        self.services_of.get(vip)
    }

    /// The application that listens on a port of a service.
    #[inline(always)]
    pub fn application_of(&self, service: u16, port: u16) -> Option<u16> {
        let service = self.services.get(service as usize)?;
        let found = service.ports.iter().find(|(first, last, _)| (*first..=*last).contains(&port));
        found.map(|(_, _, application)| *application)
    }
}
