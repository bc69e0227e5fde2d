//! A link: how packets reach a neighbouring node.

use super::routes::Egress;
use super::template::{LINK_LEN_MAX, Template};
use overlay::steering;
use overlay::topology::{NodeId, PathId, Rss};
use overlay::wire::{GENEVE_PORT, SOURCE_PORT_MIN};
use packet::Addr;

/// Ready-made headers from this node to another.
#[derive(Clone, Debug)]
pub struct Link {
    /// The node at its far end.
    pub to: NodeId,
    /// Ethernet, IP and UDP.
    pub template: Template<LINK_LEN_MAX>,
    /// The next hop, and its Ethernet address once known.
    pub egress: Egress,
    mtu: u16,
    onward: Vec<(PathId, u16)>,
    /// UDP source ports that put a packet on each worker's queue at the far end; empty where its NIC's hashing is
    /// not known.
    steer: Vec<u16>,
}

impl Link {
    /// The link to a node, from `src` to `dst`, both of one IP version, by a next hop. `rss` is how the far end spreads packets;
    /// `mtu` and `onward` are what was measured, of the link and of paths behind it.
    pub fn new(
        to: NodeId,
        (src, dst): (Addr, Addr),
        egress: Egress,
        rss: Option<&Rss>,
        mtu: Option<u16>,
        onward: Vec<(PathId, u16)>,
    ) -> Link {
        let steer = rss.map_or_else(Vec::new, |rss| {
            let port = |worker| steering::source_port(rss, src.to_ip(), dst.to_ip(), GENEVE_PORT, worker);
            (0..rss.queues).map_while(port).collect()
        });
        let mtu = mtu.unwrap_or(u16::MAX).min(egress.mtu);
        Link { to, template: Template::link(src, dst, &egress), egress, mtu, onward, steer }
    }

    /// Bytes that the IP packet has with this much behind the UDP header.
    #[inline(always)]
    pub fn ip_len(&self, payload: usize) -> usize {
        self.template.header_len() - self.template.ip_at() + payload
    }

    /// Bytes that an IP packet may have on this link.
    #[inline(always)]
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Bytes that an IP packet may have on this link and, along a path, on those behind it.
    pub fn mtu_along(&self, path: PathId) -> u16 {
        let behind = self.onward.iter().find(|(at, _)| *at == path);
        behind.map_or(self.mtu, |(_, mtu)| self.mtu.min(*mtu))
    }

    /// Whether UDP source ports decide which worker of the far end has a packet.
    pub fn is_steered(&self) -> bool {
        !self.steer.is_empty()
    }

    /// The UDP source port of a stream on this link: entropy for whoever spreads packets on the way.
    #[inline(always)]
    pub fn source_port(stream: u16) -> u16 {
        SOURCE_PORT_MIN | (stream.wrapping_mul(0x9e35) >> 2)
    }

    /// The UDP source port of a stream on the last link before its destination, which puts it on the worker that
    /// has the stream, where that is possible.
    #[inline(always)]
    pub fn last_source_port(&self, stream: u16) -> u16 {
        if self.steer.is_empty() {
            return Link::source_port(stream);
        }
        self.steer[overlay::wire::bucket(stream) as usize % self.steer.len()]
    }
}
