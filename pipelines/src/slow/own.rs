//! Which addresses are this node's, and on which ports it answers for them.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use ipnetwork::IpNetwork;
use packet::{Addr, Mac};

use super::Port;
use crate::PortIndex;

/// The node's addresses.
pub(super) struct Own {
    /// Address and port on which the node says "this is me".
    answered: BTreeSet<(Addr, PortIndex)>,
    /// Addresses that take an echo request, on whichever port it comes.
    echoed: BTreeSet<Addr>,
    networks: Vec<(PortIndex, IpNetwork)>,
}

impl Own {
    pub(super) fn new(ports: &[Port], further: &[Addr]) -> Own {
        let mut own = Own { answered: BTreeSet::new(), echoed: BTreeSet::new(), networks: Vec::new() };
        for (port, settings) in (0..).map(PortIndex).zip(ports) {
            for network in &settings.addresses {
                let addr = Addr::from(network.ip());
                own.answered.insert((addr, port));
                own.echoed.insert(addr);
                own.networks.push((port, *network));
            }
            // RFC 4291 section 2.8: an interface with IPv6 has a link-local address.
            if settings.addresses.iter().any(IpNetwork::is_ipv6) {
                own.answered.insert((link_local(settings.mac), port));
                own.echoed.insert(link_local(settings.mac));
            }
        }
        for addr in further {
            let on_link = own.networks.iter().filter(|(_, network)| network.contains(addr.to_ip()));
            let ports: Vec<PortIndex> = on_link.map(|(port, _)| *port).collect();
            own.answered.extend(ports.into_iter().map(|port| (*addr, port)));
        }
        own
    }

    /// Whether the node answers ARP or neighbour discovery for this address on this port.
    pub(super) fn answers(&self, port: PortIndex, addr: Addr) -> bool {
        self.answered.contains(&(addr, port))
    }

    /// Whether the node answers echo requests to this address.
    pub(super) fn echoes(&self, addr: Addr) -> bool {
        self.echoed.contains(&addr)
    }

    /// What is announced at start: every answered address on each of its ports.
    pub(super) fn announced(&self) -> Vec<(PortIndex, Addr)> {
        self.answered.iter().map(|(addr, port)| (*port, *addr)).collect()
    }

    /// Whether an address belongs to a network on this port's link, link-local ones included.
    pub(super) fn on_link(&self, port: PortIndex, addr: Addr) -> bool {
        is_link_local(addr)
            || self.networks.iter().any(|(at, network)| *at == port && network.contains(addr.to_ip()))
    }

    /// The address from which to ask for a neighbour: of its network if there is one, else of its IP version.
    pub(super) fn source_for(&self, port: PortIndex, neighbor: Addr) -> Option<Addr> {
        let same =
            |network: &&(PortIndex, IpNetwork)| network.0 == port && network.1.is_ipv4() == neighbor.is_v4();
        let near = self.networks.iter().filter(same).find(|(_, network)| network.contains(neighbor.to_ip()));
        near.or_else(|| self.networks.iter().find(same)).map(|(_, network)| Addr::from(network.ip()))
    }
}

/// The link-local address formed from an Ethernet address (RFC 2464 section 5).
pub fn link_local(mac: Mac) -> Addr {
    let [a, b, c, d, e, f] = mac.0;
    let high = u16::from_be_bytes;
    Addr::from(Ipv6Addr::new(
        0xfe80,
        0,
        0,
        0,
        high([a ^ 2, b]),
        high([c, 0xff]),
        high([0xfe, d]),
        high([e, f]),
    ))
}

/// Whether an address is IPv6 link-local (fe80::/10).
pub(super) fn is_link_local(addr: Addr) -> bool {
    !addr.is_v4() && addr.to_bits() >> 118 == 0xfe80 >> 6
}
