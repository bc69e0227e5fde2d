//! What a packet that arrived may be, by the receiver's own configuration: whether its application may come unsealed,
//! and whether its sender speaks for the virtual IP in it.
//!
//! Neither question is ever answered by the packet. A sealed application takes nothing that is not sealed, whatever
//! the header says, so no stream can be downgraded; and a node that holds keys can still only speak for its own
//! virtual IPs, not for another edge's.

use crate::topology::{NodeId, RegionIndex, Topology};
use foldhash::fast::FixedState;
use packet::index::HashIndex;
use packet::{Addr, Reason};
use std::hash::BuildHasher;

/// How an application's packets are carried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Seal {
    /// Encrypted and authenticated end to end.
    #[default]
    Aes256Gcm,
    /// As they are: whoever is on the path reads and changes them. For underlays that are trusted.
    None,
}

/// A virtual IP: who may send packets with it, and how.
struct Entry {
    vip: Addr,
    edge: NodeId,
    gateway: RegionIndex,
    seal: Seal,
}

/// The answers for every virtual IP of the overlay, at one look-up each.
pub struct Admission {
    index: HashIndex,
    hasher: FixedState,
    entries: Vec<Entry>,
    /// The gateways, in order of their numbers.
    gateways: Vec<(NodeId, RegionIndex)>,
}

impl Admission {
    /// The answers that a topology gives. `seals` says how each application is carried, in the topology's
    /// order; one that is not in it is sealed.
    pub fn new(topology: &Topology, seals: &[Seal], seed: u64) -> Admission {
        let entries: Vec<Entry> = topology
            .applications
            .iter()
            .enumerate()
            .flat_map(|(number, application)| {
                let (gateway, seal) = (application.gateway, seals.get(number).copied().unwrap_or_default());
                let vips = application.vips.iter();
                vips.map(move |vip| Entry { vip: vip.address.into(), edge: vip.node, gateway, seal })
            })
            .collect();
        let mut index = HashIndex::new(entries.len());
        let hasher = FixedState::with_seed(seed);
        for (number, entry) in entries.iter().enumerate() {
            // There is a place for each.
            let _ = index.insert(hasher.hash_one(entry.vip), number as u32);
        }
        let gateways = topology.nodes.iter().filter(|node| node.roles.gateway);
        let mut gateways: Vec<_> = gateways.map(|node| (node.id, node.region)).collect();
        gateways.sort_unstable();
        Admission { index, hasher, entries, gateways }
    }

    /// At a gateway: whether it takes a packet that `source` sent to `vip`, under the key epoch of its header.
    ///
    /// # Errors
    /// [`Reason::NoDestination`] where there is no such virtual IP, [`Reason::OverlayUnsealed`],
    /// [`Reason::OverlayInnerSource`] where another edge holds it.
    #[inline]
    pub fn from_edge(&self, vip: Addr, source: NodeId, epoch: u8) -> Result<(), Reason> {
        let entry = self.entry(vip, epoch)?;
        if entry.edge == source { Ok(()) } else { Err(Reason::OverlayInnerSource) }
    }

    /// At an edge: whether it takes a packet that `source` sent from `vip`, under the key epoch of its header.
    ///
    /// # Errors
    /// As [`Admission::from_edge`]; [`Reason::OverlayInnerSource`] where the application's origins are not behind
    /// this gateway.
    #[inline]
    pub fn from_gateway(&self, vip: Addr, source: NodeId, epoch: u8) -> Result<(), Reason> {
        let entry = self.entry(vip, epoch)?;
        let place = self.gateways.binary_search_by_key(&source, |(node, _)| *node);
        let gateway = place.ok().and_then(|place| self.gateways.get(place));
        match gateway {
            Some((_, region)) if *region == entry.gateway => Ok(()),
            _ => Err(Reason::OverlayInnerSource),
        }
    }

    #[inline]
    fn entry(&self, vip: Addr, epoch: u8) -> Result<&Entry, Reason> {
        let same = |slot: u32| self.entries.get(slot as usize).is_some_and(|entry| entry.vip == vip);
        let slot = self.index.find(self.hasher.hash_one(vip), same).ok_or(Reason::NoDestination)?;
        let entry = self.entries.get(slot as usize).ok_or(Reason::NoDestination)?;
        if entry.seal == Seal::Aes256Gcm && epoch == 0 { Err(Reason::OverlayUnsealed) } else { Ok(entry) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Application, IpVersion, Node, Roles, Vip};
    use core::net::IpAddr;

    const WEB: &str = "203.0.113.10";
    const OPEN: &str = "2001:db8::10";

    fn node(id: u16, region: u16, gateway: bool) -> Node {
        Node {
            name: format!("node-{id}"),
            id: NodeId(id),
            region: RegionIndex(region),
            roles: Roles { edge: !gateway, intermediate: true, gateway },
            underlay: vec![],
            workers: 1,
            nat_pool: vec![],
            rss: None,
        }
    }

    fn admission() -> Admission {
        let application = |name: &str, vip: &str, edge, gateway| Application {
            name: name.into(),
            vips: vec![Vip { address: vip.parse().unwrap(), node: NodeId(edge) }],
            services: vec![],
            gateway: RegionIndex(gateway),
            origins: vec![],
            copies: 2,
            underlay: IpVersion::V4,
        };
        let topology = Topology {
            nodes: vec![node(9, 2, true), node(1, 0, false), node(2, 0, false), node(8, 1, true)],
            applications: vec![application("web", WEB, 1, 1), application("open", OPEN, 2, 2)],
            ..Topology::default()
        };
        Admission::new(&topology, &[Seal::Aes256Gcm, Seal::None], 7)
    }

    fn vip(text: &str) -> Addr {
        text.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn nobody_speaks_for_another_edge_s_virtual_ip() {
        let admission = admission();
        assert_eq!(admission.from_edge(vip(WEB), NodeId(1), 0x11), Ok(()));
        for other in [2, 8, 9, 77] {
            assert_eq!(admission.from_edge(vip(WEB), NodeId(other), 0x11), Err(Reason::OverlayInnerSource));
        }
        assert_eq!(admission.from_gateway(vip(WEB), NodeId(8), 0x11), Ok(()));
        for other in [1, 2, 9, 77] {
            assert_eq!(
                admission.from_gateway(vip(WEB), NodeId(other), 0x11),
                Err(Reason::OverlayInnerSource)
            );
        }
        assert_eq!(admission.from_edge(vip("203.0.113.11"), NodeId(1), 0x11), Err(Reason::NoDestination));
    }

    #[test]
    fn a_sealed_application_takes_nothing_unsealed() {
        let admission = admission();
        assert_eq!(admission.from_edge(vip(WEB), NodeId(1), 0), Err(Reason::OverlayUnsealed));
        assert_eq!(admission.from_gateway(vip(WEB), NodeId(8), 0), Err(Reason::OverlayUnsealed));
        // What may be unsealed may be sealed: so a change goes from node to node without a gap.
        for epoch in [0, 0x11] {
            assert_eq!(admission.from_edge(vip(OPEN), NodeId(2), epoch), Ok(()));
            assert_eq!(admission.from_gateway(vip(OPEN), NodeId(9), epoch), Ok(()));
        }
    }
}
