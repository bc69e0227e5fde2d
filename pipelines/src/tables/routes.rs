//! Routes of the node and the Ethernet addresses of its next hops.

use crate::batch::PortIndex;
use foldhash::fast::FixedState;
use hashbrown::HashMap;
use ipnetwork::{IpNetwork, Ipv4Network, Ipv6Network};
use packet::{Addr, Mac};
use prefix_trie::PrefixMap;
use std::net::IpAddr;

/// A port of this node with its addresses and routes, as configured.
#[derive(Clone, Debug)]
pub struct Interface {
    /// Its Ethernet address.
    pub mac: Mac,
    /// Its VLAN; 0 for untagged.
    pub vlan: u16,
    /// Bytes that an IP packet may have there.
    pub mtu: u16,
    /// Its addresses with their prefixes.
    pub addresses: Vec<IpNetwork>,
    /// Routes through it.
    pub routes: Vec<Route>,
}

/// A route through a port.
#[derive(Clone, Debug)]
pub struct Route {
    /// Where to.
    pub to: IpNetwork,
    /// The router, on one of the port's own prefixes.
    pub via: IpAddr,
}

/// Where a packet goes next: a port and the next hop's address there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NextHop {
    /// The port.
    pub port: PortIndex,
    /// The next hop's address: a router's, or the destination's own.
    pub address: Addr,
}

/// A next hop with its Ethernet address, once that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Egress {
    /// Where to.
    pub hop: NextHop,
    /// Its Ethernet address.
    pub mac: Option<Mac>,
    /// The port's own Ethernet address.
    pub source: Mac,
    /// The port's VLAN; 0 for untagged.
    pub vlan: u16,
    /// Bytes that an IP packet may have there.
    pub mtu: u16,
    /// The Ethernet addresses as they stand in a frame, destination first.
    pub addresses: [u8; 12],
}

impl Egress {
    /// A next hop by a port with its own Ethernet address, VLAN (0 for untagged) and MTU.
    pub fn new(hop: NextHop, mac: Option<Mac>, (source, vlan, mtu): (Mac, u16, u16)) -> Egress {
        let mut addresses = [0; 12];
        addresses[..6].copy_from_slice(&mac.unwrap_or_default().0);
        addresses[6..].copy_from_slice(&source.0);
        Egress { hop, mac, source, vlan, mtu, addresses }
    }
}

/// The routes of both IP versions, longest prefix first, and the neighbours.
#[derive(Default)]
pub struct Routes {
    v4: PrefixMap<Ipv4Network, (PortIndex, Option<Addr>)>,
    v6: PrefixMap<Ipv6Network, (PortIndex, Option<Addr>)>,
    neighbors: HashMap<NextHop, Mac, FixedState>,
    ports: Vec<(Mac, u16, u16)>,
}

impl Routes {
    /// Connected prefixes and configured routes of all interfaces, with the neighbours known now.
    pub fn new(interfaces: &[Interface], neighbors: &[(PortIndex, Addr, Mac)]) -> Routes {
        let mut routes = Routes::default();
        for (number, interface) in interfaces.iter().enumerate() {
            let port = PortIndex(number as u8);
            routes.ports.push((interface.mac, interface.vlan, interface.mtu));
            for address in &interface.addresses {
                routes.add(*address, (port, None));
            }
            for route in &interface.routes {
                routes.add(route.to, (port, Some(Addr::from(route.via))));
            }
        }
        for (port, address, mac) in neighbors {
            routes.neighbors.insert(NextHop { port: *port, address: *address }, *mac);
        }
        routes
    }

    fn add(&mut self, to: IpNetwork, hop: (PortIndex, Option<Addr>)) {
        match to {
            IpNetwork::V4(to) => drop(self.v4.insert(to, hop)),
            IpNetwork::V6(to) => drop(self.v6.insert(to, hop)),
        }
    }

    /// How packets get to an address; `None` without a route.
    #[inline]
    pub fn egress(&self, to: Addr) -> Option<Egress> {
        let (port, via) = match to.to_ip() {
            IpAddr::V4(v4) => *self.v4.get_lpm(&Ipv4Network::from(v4))?.1,
            IpAddr::V6(v6) => *self.v6.get_lpm(&Ipv6Network::from(v6))?.1,
        };
        let hop = NextHop { port, address: via.unwrap_or(to) };
        let (source, vlan, mtu) = *self.ports.get(port.0 as usize)?;
        Some(Egress::new(hop, self.neighbors.get(&hop).copied(), (source, vlan, mtu)))
    }
}
