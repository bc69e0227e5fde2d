//! Outer headers to a neighbouring node, ready-made.

use super::routes::Egress;
use overlay::steering;
use overlay::topology::Rss;
use overlay::wire::{GENEVE_PORT, SOURCE_PORT_MIN};
use packet::checksum;
use packet::ethernet::{TYPE_IPV4, TYPE_IPV6, TYPE_VLAN};
use packet::transport::UDP;
use packet::{Addr, Mac};

/// Longest outer header: Ethernet with a tag, IPv6, UDP.
pub const LINK_LEN_MAX: usize = 18 + 40 + 8;

/// Ethernet, IP and UDP headers from this node to another, complete but for lengths and UDP source port.
#[derive(Clone, Debug)]
pub struct Link {
    header: [u8; LINK_LEN_MAX],
    len: u8,
    ip_at: u8,
    v4: bool,
    /// Sum over the IPv4 header with the length left out; unused for IPv6.
    sum: u16,
    /// The next hop, and its Ethernet address once known.
    pub egress: Egress,
    /// Bytes that an IP packet may have on this link.
    pub mtu: u16,
    /// UDP source ports that put a packet on each worker's queue at the far end; empty where its NIC's hashing is
    /// not known.
    steer: Vec<u16>,
}

impl Link {
    /// The headers from `src` to `dst`, both of one IP version, out of a port with this Ethernet address, VLAN and
    /// MTU. `rss` is how the far end spreads packets.
    pub fn new(
        src: Addr,
        dst: Addr,
        egress: Egress,
        mac: Mac,
        vlan: u16,
        mtu: u16,
        rss: Option<&Rss>,
    ) -> Link {
        let mut header = [0; LINK_LEN_MAX];
        let mut len = 0;
        let mut put = |bytes: &[u8]| {
            header[len..len + bytes.len()].copy_from_slice(bytes);
            len += bytes.len();
            len
        };
        put(&egress.mac.unwrap_or_default().0);
        put(&mac.0);
        if vlan != 0 {
            put(&TYPE_VLAN.to_be_bytes());
            put(&vlan.to_be_bytes());
        }
        let v4 = src.is_v4();
        let ip_at = put(&if v4 { TYPE_IPV4 } else { TYPE_IPV6 }.to_be_bytes());
        let mut sum = 0;
        if v4 {
            // Atomic packets (RFC 6864): DF set, identification 0.
            put(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, UDP, 0, 0]);
            put(&src.v4_bytes());
            let end = put(&dst.v4_bytes());
            sum = checksum::sum(&header[ip_at..end]);
            len = end;
        } else {
            put(&[0x60, 0, 0, 0, 0, 0, UDP, 64]);
            put(&src.v6_bytes());
            len = put(&dst.v6_bytes());
        }
        header[len + 2..len + 4].copy_from_slice(&GENEVE_PORT.to_be_bytes());
        len += 8;
        let steer = rss.map_or_else(Vec::new, |rss| {
            let port = |worker| steering::source_port(rss, src.to_ip(), dst.to_ip(), GENEVE_PORT, worker);
            (0..rss.queues).map_while(port).collect()
        });
        Link { header, len: len as u8, ip_at: ip_at as u8, v4, sum, egress, mtu, steer }
    }

    /// Bytes of Ethernet, IP and UDP.
    #[inline(always)]
    pub fn header_len(&self) -> usize {
        self.len as usize
    }

    /// Bytes of Ethernet with its tag.
    #[inline(always)]
    pub fn ethernet_len(&self) -> usize {
        self.ip_at as usize
    }

    /// Bytes that the IP packet has with this much behind the UDP header.
    #[inline(always)]
    pub fn ip_len(&self, payload: usize) -> usize {
        self.header_len() - self.ethernet_len() + payload
    }

    /// Writes the headers to the start of `frame`, which already holds the UDP payload behind them.
    #[inline(always)]
    pub fn write(&self, frame: &mut [u8], source_port: u16) {
        let (len, ip_at) = (self.len as usize, self.ip_at as usize);
        let total = frame.len();
        let (Some(head), Some(source)) = (frame.get_mut(..len), self.header.get(..len)) else { return };
        copy_head(head, source);
        let Some(udp) = head.last_chunk_mut::<8>() else { return };
        udp[0..2].copy_from_slice(&source_port.to_be_bytes());
        udp[4..6].copy_from_slice(&((total - len + 8) as u16).to_be_bytes());
        let Some(ip) = head.get_mut(ip_at..ip_at + 20) else { return };
        if self.v4 {
            let ip_len = (total - ip_at) as u16;
            ip[2..4].copy_from_slice(&ip_len.to_be_bytes());
            ip[10..12].copy_from_slice(&(!checksum::add(self.sum, ip_len)).to_be_bytes());
        } else {
            ip[4..6].copy_from_slice(&((total - ip_at - 40) as u16).to_be_bytes());
        }
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

/// Copies 32 to 66 bytes by pieces of fixed size that overlap in the middle, which compile to a few moves; a copy of
/// variable size is a call.
#[inline(always)]
fn copy_head(to: &mut [u8], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<32>(), from.first_chunk::<32>()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<32>(), from.last_chunk::<32>()) {
        *to = *from;
    }
    // Only the longest header leaves a gap between its first and its last 32 bytes.
    if let (Some(to), Some(from)) = (to.get_mut(32..34), from.get(32..34)) {
        to.copy_from_slice(from);
    }
}
