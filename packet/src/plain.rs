//! The packet that almost all traffic consists of, read in one go: IPv4 without options, no fragment, TCP or UDP.

use crate::headers::Headers;
use crate::ip::{Fragment, Ipv4, Packet};
use crate::transport::{TCP, UDP};
use crate::{Addr, IpVersion, checksum};

/// The headers of a plain packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Plain {
    src: u32,
    dst: u32,
    /// Source port and destination port.
    ports: u32,
    len: u16,
    /// TTL and protocol, as they stand there.
    ttl_and_protocol: [u8; 2],
    /// Flags and offset.
    fragment: u16,
    /// TCP's.
    flags: u8,
}

const TRANSPORT_AT: usize = Ipv4::LEN;
const UDP_LEN: usize = 8;
const TCP_LEN: usize = 20;

impl Plain {
    /// Reads a packet that is plain and has nothing wrong with it; what it refuses is read by
    /// [`ip::parse`](crate::ip::parse), which says what is wrong, if anything is. `bytes` starts at the IP header and
    /// may have padding behind the packet.
    #[inline(always)]
    pub fn read(bytes: &[u8]) -> Option<Plain> {
        let head = bytes.first_chunk::<{ TRANSPORT_AT + UDP_LEN }>()?;
        let u16_at = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let u32_at = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let (len, fragment, protocol) = (u16_at(2), u16_at(6), head[9]);
        // Everything at once: one branch that is never taken costs less than one for each question.
        let sound = (head[0] == 0x45)
            & (fragment & Ipv4::FRAGMENT_MASK == 0)
            & (len as usize <= bytes.len())
            & (len as usize >= TRANSPORT_AT + UDP_LEN)
            & head.first_chunk().is_some_and(checksum::is_right);
        if !sound {
            return None;
        }
        let transport_len = len as usize - TRANSPORT_AT;
        let flags = match protocol {
            UDP => {
                let udp_len = u16_at(TRANSPORT_AT + 4) as usize;
                if udp_len < UDP_LEN || udp_len > transport_len {
                    return None;
                }
                0
            }
            TCP => {
                let tcp = bytes.get(TRANSPORT_AT..)?.first_chunk::<TCP_LEN>()?;
                let header_len = (tcp[12] >> 4) as usize * 4;
                if header_len < TCP_LEN || header_len > transport_len {
                    return None;
                }
                tcp[13]
            }
            _ => return None,
        };
        Some(Plain {
            src: u32_at(12),
            dst: u32_at(16),
            ports: u32_at(TRANSPORT_AT),
            len,
            ttl_and_protocol: [head[8], head[9]],
            fragment,
            flags,
        })
    }
}

impl Headers for Plain {
    #[inline(always)]
    fn packet(&self) -> Packet {
        Packet {
            src: self.src(),
            dst: self.dst(),
            src_port: self.src_port(),
            dst_port: self.dst_port(),
            version: IpVersion::V4,
            protocol: self.protocol(),
            ttl: self.ttl(),
            detail: self.flags,
            fragment: Fragment::No,
            dont_fragment: self.fragment & Ipv4::DONT_FRAGMENT != 0,
            transport_at: TRANSPORT_AT as u16,
            len: self.len,
        }
    }
    #[inline(always)]
    fn src(&self) -> Addr {
        Addr::from_v4(self.src.to_be_bytes())
    }
    #[inline(always)]
    fn dst(&self) -> Addr {
        Addr::from_v4(self.dst.to_be_bytes())
    }
    #[inline(always)]
    fn src_port(&self) -> u16 {
        (self.ports >> 16) as u16
    }
    #[inline(always)]
    fn dst_port(&self) -> u16 {
        self.ports as u16
    }
    #[inline(always)]
    fn ports(&self) -> u32 {
        self.ports
    }
    #[inline(always)]
    fn version(&self) -> IpVersion {
        IpVersion::V4
    }
    #[inline(always)]
    fn protocol(&self) -> u8 {
        self.ttl_and_protocol[1]
    }
    #[inline(always)]
    fn ttl(&self) -> u8 {
        self.ttl_and_protocol[0]
    }
    #[inline(always)]
    fn detail(&self) -> u8 {
        self.flags
    }
    #[inline(always)]
    fn fragment(&self) -> Fragment {
        Fragment::No
    }
    #[inline(always)]
    fn transport_at(&self) -> u16 {
        TRANSPORT_AT as u16
    }
    #[inline(always)]
    fn total_len(&self) -> u16 {
        self.len
    }
    // It is TCP or UDP.
    #[inline(always)]
    fn is_common(&self) -> bool {
        true
    }
    // It is never ICMP.
    #[inline(always)]
    fn icmp_kind(&self) -> crate::icmp::Kind {
        crate::icmp::Kind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip;
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    /// Whether a packet of [`ip::parse`] is of the plain kind.
    fn is_plain(packet: &Packet) -> bool {
        packet.version == IpVersion::V4
            && packet.transport_at == 20
            && packet.fragment == Fragment::No
            && matches!(packet.protocol, TCP | UDP)
    }

    proptest! {
        #[test]
        fn reads_what_the_general_reader_reads(
            ttl: u8, src: [u8; 4], dst: [u8; 4], ports: (u16, u16), tcp: bool,
            payload in proptest::collection::vec(any::<u8>(), 0..64),
            damage in proptest::option::of((0usize..44, any::<u8>(), any::<bool>())),
            padding in 0usize..8, cut in 0usize..60,
        ) {
            let mut bytes = Vec::new();
            let builder = PacketBuilder::ipv4(src, dst, ttl);
            if tcp {
                builder.tcp(ports.0, ports.1, 1, 2).ack(9).write(&mut bytes, &payload).unwrap();
            } else {
                builder.udp(ports.0, ports.1).write(&mut bytes, &payload).unwrap();
            }
            bytes.extend(vec![0; padding]);
            if let Some((at, value, mend)) = damage
                && at < bytes.len()
            {
                bytes[at] = value;
                if mend {
                    bytes[10..12].fill(0);
                    let sum = !crate::checksum::sum(&bytes[..20]);
                    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
                }
            }
            if cut > 30 {
                bytes.truncate(cut);
            }
            let general = ip::parse(&bytes).ok().filter(is_plain);
            prop_assert_eq!(Plain::read(&bytes).map(|plain| plain.packet()), general);
            if let (Some(plain), Some(general)) = (Plain::read(&bytes), general) {
                prop_assert_eq!(plain.source_is_forwardable(), general.source_is_forwardable());
                prop_assert_eq!(plain.icmp_kind(), general.icmp_kind());
            }
        }
    }
}
