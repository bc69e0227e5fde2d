//! What stages ask of an IP packet's headers, however these were read.

use crate::icmp::{self, Kind};
use crate::ip::{Fragment, Packet};
use crate::transport::{ICMP, ICMPV6, is_common};
use crate::{Addr, IpVersion};

/// The headers of an IP packet.
///
/// Stages are written once over this and compiled twice: for [`Packet`], which any packet can be read into, and for
/// [`Plain`](crate::plain::Plain), which holds the common case and nothing else, so that every question about options,
/// fragments or IP versions is answered when it is compiled.
pub trait Headers: Copy {
    /// All of it, for code that seldom runs.
    fn packet(&self) -> Packet;

    /// Source address.
    fn src(&self) -> Addr;
    /// Destination address.
    fn dst(&self) -> Addr;
    /// TCP's or UDP's source port; an ICMP echo's identifier; else 0.
    fn src_port(&self) -> u16;
    /// TCP's or UDP's destination port; an ICMP echo's identifier; else 0.
    fn dst_port(&self) -> u16;
    /// Both ports, the source's in the high half.
    #[inline(always)]
    fn ports(&self) -> u32 {
        (self.src_port() as u32) << 16 | self.dst_port() as u32
    }
    /// IP version.
    fn version(&self) -> IpVersion;
    /// Protocol of the transport header.
    fn protocol(&self) -> u8;
    /// TTL or hop limit.
    fn ttl(&self) -> u8;
    /// TCP: the flags. ICMP: the type. Else 0.
    fn detail(&self) -> u8;
    /// Whether it is a fragment.
    fn fragment(&self) -> Fragment;
    /// Where the transport header starts, bytes from the IP header's start.
    fn transport_at(&self) -> u16;
    /// The packet's length by its IP header, bytes.
    fn total_len(&self) -> u16;

    /// For ICMP and ICMPv6 of the packet's own IP version: what the message is for.
    #[inline(always)]
    fn icmp_kind(&self) -> Kind {
        match (self.version(), self.protocol()) {
            (IpVersion::V4, ICMP) => icmp::Kind::of_v4(self.detail()),
            (IpVersion::V6, ICMPV6) => icmp::Kind::of_v6(self.detail()),
            _ => icmp::Kind::Other,
        }
    }

    /// Whether the protocol is TCP, UDP, ICMP or ICMPv6.
    #[inline(always)]
    fn is_common(&self) -> bool {
        is_common(self.protocol())
    }

    /// Whether a router may forward a packet with this source address: not loopback, multicast, unspecified,
    /// broadcast or link-local (RFC 1812 section 5.3.7, RFC 4291 section 2.5).
    #[inline(always)]
    fn source_is_forwardable(&self) -> bool {
        if self.version() == IpVersion::V4 {
            let src = u32::from_be_bytes(self.src().v4_bytes());
            let network = src >> 24;
            network != 0 && network != 127 && network < 224 && src >> 16 != 0xa9fe
        } else {
            let high = self.src().to_bits() >> 64;
            let top = (high >> 48) as u16;
            top >> 8 != 0xff && top & 0xffc0 != 0xfe80 && high != 0
        }
    }
}

impl Headers for Packet {
    #[inline(always)]
    fn packet(&self) -> Packet {
        *self
    }
    #[inline(always)]
    fn src(&self) -> Addr {
        self.src
    }
    #[inline(always)]
    fn dst(&self) -> Addr {
        self.dst
    }
    #[inline(always)]
    fn src_port(&self) -> u16 {
        self.src_port
    }
    #[inline(always)]
    fn dst_port(&self) -> u16 {
        self.dst_port
    }
    #[inline(always)]
    fn version(&self) -> IpVersion {
        self.version
    }
    #[inline(always)]
    fn protocol(&self) -> u8 {
        self.protocol
    }
    #[inline(always)]
    fn ttl(&self) -> u8 {
        self.ttl
    }
    #[inline(always)]
    fn detail(&self) -> u8 {
        self.detail
    }
    #[inline(always)]
    fn fragment(&self) -> Fragment {
        self.fragment
    }
    #[inline(always)]
    fn transport_at(&self) -> u16 {
        self.transport_at
    }
    #[inline(always)]
    fn total_len(&self) -> u16 {
        self.len
    }
}
