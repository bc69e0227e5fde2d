//! IPv4 (RFC 791) and IPv6 (RFC 8200) packets, down to the ports of their transport header.

use crate::checksum;
use crate::headers::Headers;
use crate::icmp;
use crate::transport::{ICMP, ICMPV6, SCTP, TCP, UDP, UDP_LITE};
use crate::{Addr, Reason};
use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Version of the Internet Protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum IpVersion {
    /// IPv4, RFC 791.
    #[default]
    V4,
    /// IPv6, RFC 8200.
    V6,
}

impl IpVersion {
    /// The version of an address.
    pub fn of(address: core::net::IpAddr) -> IpVersion {
        if address.is_ipv4() { IpVersion::V4 } else { IpVersion::V6 }
    }
}

/// An IPv4 header without its options.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ipv4 {
    /// Version (4 bits) and header length in 32-bit words (4 bits).
    pub version_ihl: u8,
    /// DS field and ECN.
    pub tos: u8,
    /// Header and payload, bytes.
    pub total_len: U16,
    /// Identification for reassembly.
    pub identification: U16,
    /// Reserved, DF, MF (3 bits), fragment offset in units of 8 bytes (13 bits).
    pub fragment: U16,
    /// Time to live.
    pub ttl: u8,
    /// What follows.
    pub protocol: u8,
    /// Checksum over the header.
    pub checksum: U16,
    /// Source address.
    pub src: [u8; 4],
    /// Destination address.
    pub dst: [u8; 4],
}

impl Ipv4 {
    /// Bytes without options.
    pub const LEN: usize = 20;
    /// "Don't fragment", in [`Ipv4::fragment`].
    pub const DONT_FRAGMENT: u16 = 0x4000;
    /// "More fragments" and the offset, in [`Ipv4::fragment`]: zero in a whole packet.
    pub const FRAGMENT_MASK: u16 = 0x3fff;
}

/// An IPv6 header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Ipv6 {
    /// Version (4 bits), traffic class (8 bits), flow label (20 bits).
    pub version_class_flow: U32,
    /// Bytes behind this header.
    pub payload_len: U16,
    /// What follows.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Source address.
    pub src: [u8; 16],
    /// Destination address.
    pub dst: [u8; 16],
}

impl Ipv6 {
    /// Bytes.
    pub const LEN: usize = 40;
}

/// Whether a packet is a fragment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Fragment {
    /// A whole packet.
    #[default]
    No,
    /// The first fragment: it has the transport header.
    First,
    /// A later fragment: it has no ports.
    Later,
}

/// What the headers of an IP packet say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Packet {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// The source port of TCP, UDP, UDP-Lite or SCTP; an ICMP echo's identifier; else 0.
    pub src_port: u16,
    /// The destination port of TCP, UDP, UDP-Lite or SCTP; an ICMP echo's identifier; else 0.
    pub dst_port: u16,
    /// IP version.
    pub version: IpVersion,
    /// Protocol of the transport header, behind all extension headers.
    pub protocol: u8,
    /// TTL or hop limit.
    pub ttl: u8,
    /// TCP: the flags. ICMP: the type. Else 0.
    pub detail: u8,
    /// Whether it is a fragment.
    pub fragment: Fragment,
    /// IPv4's "don't fragment"; always set for IPv6.
    pub dont_fragment: bool,
    /// Where the transport header starts, bytes from the IP header's start.
    pub transport_at: u16,
    /// The packet's length by its IP header, bytes; what lies behind is padding.
    pub len: u16,
}

/// Extension headers walked before giving up (RFC 8504 section 5.3 lets a node limit them).
const EXTENSIONS_MAX: usize = 8;

/// Reads an IP packet: all lengths checked, the IPv4 header checksum verified, extension headers walked, ports
/// read. `bytes` starts at the IP header and may have padding behind the packet.
///
/// # Errors
/// The [`Reason`] to drop it for.
#[inline]
pub fn parse(bytes: &[u8]) -> Result<Packet, Reason> {
    match bytes.first().map(|byte| byte >> 4) {
        Some(4) => parse_v4(bytes),
        Some(6) => parse_v6(bytes),
        Some(_) => Err(Reason::IpMalformed),
        None => Err(Reason::IpTruncated),
    }
}

/// Reads an IPv4 packet; see [`parse`].
///
/// # Errors
/// The [`Reason`] to drop it for.
#[inline(always)]
pub fn parse_v4(bytes: &[u8]) -> Result<Packet, Reason> {
    let (header, _) = Ipv4::ref_from_prefix(bytes).map_err(|_| Reason::IpTruncated)?;
    let header_len = (header.version_ihl & 0xf) as usize * 4;
    let len = header.total_len.get() as usize;
    if header.version_ihl >> 4 != 4 || header_len < Ipv4::LEN || len < header_len {
        return Err(Reason::IpMalformed);
    }
    let packet = bytes.get(..len).ok_or(Reason::IpTruncated)?;
    let sum = match packet.first_chunk::<20>() {
        Some(plain) if header_len == Ipv4::LEN => checksum::sum_ipv4_header(plain),
        _ => checksum::sum(&packet[..header_len]),
    };
    if sum != 0xffff {
        return Err(Reason::IpChecksum);
    }
    let flags = header.fragment.get();
    let fragment = match flags & Ipv4::FRAGMENT_MASK {
        0 => Fragment::No,
        offset if offset & 0x1fff == 0 => Fragment::First,
        _ => Fragment::Later,
    };
    let mut parsed = Packet {
        src: Addr::from_v4(header.src),
        dst: Addr::from_v4(header.dst),
        src_port: 0,
        dst_port: 0,
        version: IpVersion::V4,
        protocol: header.protocol,
        ttl: header.ttl,
        detail: 0,
        fragment,
        dont_fragment: flags & Ipv4::DONT_FRAGMENT != 0,
        transport_at: header_len as u16,
        len: len as u16,
    };
    parse_transport(packet, &mut parsed)?;
    Ok(parsed)
}

/// Reads an IPv6 packet; see [`parse`].
///
/// # Errors
/// The [`Reason`] to drop it for.
#[inline]
pub fn parse_v6(bytes: &[u8]) -> Result<Packet, Reason> {
    let (header, _) = Ipv6::ref_from_prefix(bytes).map_err(|_| Reason::IpTruncated)?;
    if header.version_class_flow.get() >> 28 != 6 {
        return Err(Reason::IpMalformed);
    }
    let len = Ipv6::LEN + header.payload_len.get() as usize;
    // A jumbogram would not fit a frame, and its length does not fit the field.
    let packet = bytes.get(..len).filter(|_| len <= u16::MAX as usize).ok_or(Reason::IpTruncated)?;
    let mut parsed = Packet {
        src: Addr::from_v6(header.src),
        dst: Addr::from_v6(header.dst),
        src_port: 0,
        dst_port: 0,
        version: IpVersion::V6,
        protocol: header.next_header,
        ttl: header.hop_limit,
        detail: 0,
        fragment: Fragment::No,
        dont_fragment: true,
        transport_at: Ipv6::LEN as u16,
        len: len as u16,
    };
    // An IPv4-mapped address never stands in a packet (RFC 4038 section 4.2), and would pass for IPv4 in tables.
    if parsed.src.is_v4() || parsed.dst.is_v4() {
        return Err(Reason::IpAddress);
    }
    if is_extension(parsed.protocol) {
        walk_extensions(packet, &mut parsed)?;
    }
    parse_transport(packet, &mut parsed)?;
    Ok(parsed)
}

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

#[inline(always)]
fn is_extension(next_header: u8) -> bool {
    matches!(next_header, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS)
}

#[cold]
fn walk_extensions(packet: &[u8], parsed: &mut Packet) -> Result<(), Reason> {
    let mut at = parsed.transport_at as usize;
    let mut fragments = 0;
    for count in 0.. {
        if !is_extension(parsed.protocol) || parsed.fragment == Fragment::Later {
            break;
        }
        // Hop-by-hop options are allowed in first place only (RFC 8200 section 4.1).
        if count == EXTENSIONS_MAX || (parsed.protocol == HOP_BY_HOP && count > 0) {
            return Err(Reason::IpExtension);
        }
        let &[next, units, _, _, _, _, _, _] =
            packet.get(at..).and_then(|rest| rest.first_chunk::<8>()).ok_or(Reason::IpExtension)?;
        let len = match parsed.protocol {
            FRAGMENT => {
                // One is all that a source writes (RFC 8200 section 4.1); behind an atomic one a second would be another's.
                fragments += 1;
                if fragments > 1 {
                    return Err(Reason::IpExtension);
                }
                let field = u16::from_be_bytes([packet[at + 2], packet[at + 3]]);
                // Offset 0 without "more" is an atomic fragment: a whole packet (RFC 6946).
                parsed.fragment = match (field >> 3, field & 1) {
                    (0, 0) => Fragment::No,
                    (0, _) => Fragment::First,
                    _ => Fragment::Later,
                };
                8
            }
            AUTHENTICATION => (units as usize + 2) * 4,
            _ => (units as usize + 1) * 8,
        };
        at += len;
        if at > packet.len() {
            return Err(Reason::IpExtension);
        }
        parsed.protocol = next;
        parsed.transport_at = at as u16;
    }
    Ok(())
}

/// Where the fragment header of an IPv6 packet stands, bytes from the packet's start.
pub(crate) fn fragment_header_at(packet: &[u8]) -> Option<usize> {
    let (mut next, mut at) = (*packet.get(6)?, Ipv6::LEN);
    for _ in 0..EXTENSIONS_MAX {
        let header = packet.get(at..)?.first_chunk::<8>()?;
        at += match next {
            FRAGMENT => return Some(at),
            AUTHENTICATION => (header[1] as usize + 2) * 4,
            _ if is_extension(next) => (header[1] as usize + 1) * 8,
            _ => return None,
        };
        next = header[0];
    }
    None
}

#[inline(always)]
fn parse_transport(packet: &[u8], parsed: &mut Packet) -> Result<(), Reason> {
    if parsed.fragment == Fragment::Later {
        return Ok(());
    }
    // A first fragment has the whole transport header, or filters would decide without it (RFC 1858, RFC 7112).
    let truncated = match parsed.fragment {
        Fragment::No => Reason::TransportTruncated,
        _ => Reason::FragmentTiny,
    };
    let transport = packet.get(parsed.transport_at as usize..).ok_or(truncated)?;
    match parsed.protocol {
        TCP => {
            let header = transport.first_chunk::<20>().ok_or(truncated)?;
            let header_len = (header[12] >> 4) as usize * 4;
            if header_len > transport.len() && parsed.fragment != Fragment::No {
                return Err(Reason::FragmentTiny);
            }
            if header_len < 20 || header_len > transport.len() {
                return Err(Reason::TransportMalformed);
            }
            parsed.src_port = u16::from_be_bytes([header[0], header[1]]);
            parsed.dst_port = u16::from_be_bytes([header[2], header[3]]);
            parsed.detail = header[13];
        }
        UDP => {
            let header = transport.first_chunk::<8>().ok_or(truncated)?;
            let len = u16::from_be_bytes([header[4], header[5]]) as usize;
            if len < 8 || (len > transport.len() && parsed.fragment == Fragment::No) {
                return Err(Reason::TransportMalformed);
            }
            parsed.src_port = u16::from_be_bytes([header[0], header[1]]);
            parsed.dst_port = u16::from_be_bytes([header[2], header[3]]);
        }
        ICMP | ICMPV6 => {
            let header = transport.first_chunk::<8>().ok_or(truncated)?;
            parsed.detail = header[0];
            if matches!(parsed.icmp_kind(), icmp::Kind::EchoRequest | icmp::Kind::EchoReply) {
                let identifier = u16::from_be_bytes([header[4], header[5]]);
                parsed.src_port = identifier;
                parsed.dst_port = identifier;
            }
        }
        SCTP | UDP_LITE => parse_other(transport, parsed, truncated)?,
        _ => {}
    }
    Ok(())
}

/// Reads the ports of UDP-Lite (RFC 3828 section 3) and SCTP (RFC 9260 section 3.1), which stand where UDP's do.
#[cold]
fn parse_other(transport: &[u8], parsed: &mut Packet, truncated: Reason) -> Result<(), Reason> {
    let header_len = if parsed.protocol == SCTP { 12 } else { 8 };
    let Some((header, true)) =
        transport.first_chunk::<8>().map(|header| (header, transport.len() >= header_len))
    else {
        return Err(truncated);
    };
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    // How much the checksum covers: 0 for all; the header at least.
    let coverage = word(4) as usize;
    let beyond = parsed.fragment == Fragment::No && coverage > transport.len();
    if parsed.protocol == UDP_LITE && (beyond || (1..8).contains(&coverage)) {
        return Err(Reason::TransportMalformed);
    }
    (parsed.src_port, parsed.dst_port) = (word(0), word(2));
    Ok(())
}

/// Takes one from the TTL (with its checksum) or hop limit of the IP packet at the start of `bytes`. The caller
/// has parsed it and seen a TTL above 1.
#[inline(always)]
pub fn decrement_ttl(bytes: &mut [u8]) {
    match bytes {
        [first, _, _, _, _, _, _, hop_limit, ..] if *first >> 4 == 6 => {
            *hop_limit = hop_limit.wrapping_sub(1)
        }
        _ => {
            if let Some(header) = bytes.first_chunk_mut() {
                decrement_ttl_v4(header);
            }
        }
    }
}

/// The same for a packet that is known to be of IPv4.
#[inline(always)]
pub fn decrement_ttl_v4(header: &mut [u8; Ipv4::LEN]) {
    let word = word_after_a_hop(header);
    header[8..12].copy_from_slice(&word);
}

/// TTL, protocol and checksum, which are one word, after one hop more.
#[inline(always)]
fn word_after_a_hop(header: &[u8; Ipv4::LEN]) -> [u8; 4] {
    let word = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
    // The TTL is the high byte of its 16 bits: one less there is 0x0100 less in the sum. Adding to the checksum
    // itself would come out as 0xffff where 0 is right (RFC 1624 section 3).
    let sum = checksum::add(!(word as u16), !0x0100);
    ((word.wrapping_sub(1 << 24) & 0xffff_0000) | u32::from(!sum)).to_be_bytes()
}

/// What one hop more changes in a packet, found once and written into each of its copies.
#[derive(Clone, Copy, Debug)]
pub struct HopMore {
    at: u8,
    word: [u8; 4],
}

impl HopMore {
    /// Of a packet of this version; `None` where it is too short to be one.
    #[inline(always)]
    pub fn of(version: IpVersion, bytes: &[u8]) -> Option<HopMore> {
        if version == IpVersion::V4 {
            let header: &[u8; Ipv4::LEN] = bytes.first_chunk()?;
            return Some(HopMore { at: 8, word: word_after_a_hop(header) });
        }
        // The hop limit is the last byte of its word.
        let [_, _, _, _, a, b, c, hop_limit] = *bytes.first_chunk()?;
        Some(HopMore { at: 4, word: [a, b, c, hop_limit.wrapping_sub(1)] })
    }

    /// Makes the change.
    #[inline(always)]
    pub fn write(self, bytes: &mut [u8]) {
        let at = self.at as usize;
        if let Some(word) = bytes.get_mut(at..at + 4) {
            word.copy_from_slice(&self.word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    fn udp_v4(options: &[u8]) -> Vec<u8> {
        let mut bytes =
            vec![0x45 + options.len() as u8 / 4, 0, 0, 31 + options.len() as u8, 0, 0, 0, 0, 64, UDP, 0, 0];
        bytes.extend([192, 0, 2, 1, 198, 51, 100, 2]);
        bytes.extend(options);
        let sum = !checksum::sum(&bytes);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes.extend([4, 210, 0, 80, 0, 11, 0, 0, 1, 2, 3]);
        bytes
    }

    #[test]
    fn reads_options_and_ignores_padding() {
        let mut bytes = udp_v4(&[7, 4, 4, 0]);
        let len = bytes.len();
        bytes.extend([0; 9]);
        let packet = parse(&bytes).unwrap();
        assert_eq!((packet.src_port, packet.dst_port, packet.protocol), (1234, 80, UDP));
        assert_eq!((packet.transport_at, packet.len as usize), (24, len));
        assert_eq!(parse(&bytes[..len - 1]), Err(Reason::IpTruncated));
    }

    #[test]
    fn lying_lengths_have_their_reasons() {
        let good = udp_v4(&[]);
        let with = |at: usize, value: u8, mend: bool| {
            let mut bytes = good.clone();
            bytes[at] = value;
            if mend {
                bytes[10..12].fill(0);
                let sum = !checksum::sum(&bytes[..20]);
                bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            parse(&bytes)
        };
        assert_eq!(with(0, 0x44, true), Err(Reason::IpMalformed));
        assert_eq!(with(0, 0x55, true), Err(Reason::IpMalformed));
        assert_eq!(with(3, 19, true), Err(Reason::IpMalformed));
        assert_eq!(with(3, 200, true), Err(Reason::IpTruncated));
        assert_eq!(with(3, 24, true), Err(Reason::TransportTruncated));
        assert_eq!(with(8, 63, false), Err(Reason::IpChecksum));
        assert_eq!(with(25, 7, false), Err(Reason::TransportMalformed));
        assert_eq!(with(25, 12, false), Err(Reason::TransportMalformed));
        assert_eq!(with(6, 0x20, true).unwrap().fragment, Fragment::First);
        let later = with(7, 1, true).unwrap();
        assert_eq!((later.fragment, later.src_port), (Fragment::Later, 0));
        assert_eq!(parse(&[]), Err(Reason::IpTruncated));
    }

    #[test]
    fn walks_extension_headers_up_to_a_limit() {
        let chain = |count: usize, last: &[u8]| {
            let mut bytes = vec![0x60, 0, 0, 0, 0, 0, DESTINATION_OPTIONS, 64];
            bytes.extend([0x20; 32]);
            for number in 0..count {
                let next = if number + 1 == count { UDP } else { DESTINATION_OPTIONS };
                bytes.extend([next, 0, 1, 4, 0, 0, 0, 0]);
            }
            bytes.extend(last);
            let payload = (bytes.len() - 40) as u16;
            bytes[4..6].copy_from_slice(&payload.to_be_bytes());
            parse(&bytes)
        };
        let udp = [0, 5, 0, 6, 0, 8, 0, 0];
        let packet = chain(EXTENSIONS_MAX, &udp).unwrap();
        assert_eq!((packet.src_port, packet.dst_port, packet.transport_at), (5, 6, 104));
        assert_eq!(chain(EXTENSIONS_MAX + 1, &udp), Err(Reason::IpExtension));
        assert_eq!(chain(2, &udp[..4]), Err(Reason::TransportTruncated));
    }

    #[test]
    fn ttl_goes_down_and_the_checksum_stays_right() {
        for ttl in [2u8, 64, 255] {
            let mut bytes = Vec::new();
            PacketBuilder::ipv4([192, 0, 2, 1], [198, 51, 100, 2], ttl)
                .udp(1, 2)
                .write(&mut bytes, &[])
                .unwrap();
            decrement_ttl(&mut bytes);
            assert_eq!(parse(&bytes).unwrap().ttl, ttl - 1);
        }
    }

    #[test]
    fn the_checksum_after_a_hop_is_that_of_a_new_header() {
        for identification in 0..=u16::MAX {
            let header = |ttl: u8| {
                let [high, low] = identification.to_be_bytes();
                let mut bytes =
                    [0x45, 0, 0, 20, high, low, 0, 0, ttl, UDP, 0, 0, 192, 0, 2, 1, 198, 51, 100, 2];
                let sum = !checksum::sum(&bytes);
                bytes[10..12].copy_from_slice(&sum.to_be_bytes());
                bytes
            };
            let mut bytes = header(64);
            let hop = HopMore::of(IpVersion::V4, &bytes).unwrap();
            let mut copy = bytes;
            hop.write(&mut copy);
            decrement_ttl(&mut bytes);
            assert_eq!(bytes, header(63));
            assert_eq!(copy, bytes);
        }
    }

    #[test]
    fn sources_that_no_router_forwards() {
        let v4 = |src: [u8; 4]| {
            let mut bytes = Vec::new();
            PacketBuilder::ipv4(src, [198, 51, 100, 2], 9).udp(1, 2).write(&mut bytes, &[]).unwrap();
            parse(&bytes).unwrap().source_is_forwardable()
        };
        assert!(v4([192, 0, 2, 1]) && v4([10, 0, 0, 1]));
        assert!(
            !v4([127, 0, 0, 1])
                && !v4([224, 0, 0, 1])
                && !v4([255; 4])
                && !v4([0; 4])
                && !v4([169, 254, 1, 1])
        );
    }

    proptest! {
        #[test]
        fn agrees_with_etherparse(ttl: u8, src: [u8; 16], dst: [u8; 16], sport: u16, dport: u16, tcp: bool, v6: bool,
                                  payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut bytes = Vec::new();
            let four = |a: [u8; 16]| [a[0], a[1], a[2], a[3]];
            let builder = if v6 { PacketBuilder::ipv6(src, dst, ttl) } else { PacketBuilder::ipv4(four(src), four(dst), ttl) };
            if tcp {
                builder.tcp(sport, dport, 1, 2).syn().write(&mut bytes, &payload).unwrap();
            } else {
                builder.udp(sport, dport).write(&mut bytes, &payload).unwrap();
            }
            let packet = parse(&bytes).unwrap();
            prop_assert_eq!((packet.src_port, packet.dst_port, packet.ttl), (sport, dport, ttl));
            prop_assert_eq!(packet.src, if v6 { Addr::from_v6(src) } else { Addr::from_v4(four(src)) });
            prop_assert_eq!(packet.dst, if v6 { Addr::from_v6(dst) } else { Addr::from_v4(four(dst)) });
            prop_assert_eq!(packet.len as usize, bytes.len());
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120), version in 0u8..16) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = version << 4 | *first & 0xf;
            }
            if let Ok(packet) = parse(&bytes) {
                prop_assert!(packet.len as usize <= bytes.len());
                prop_assert!(packet.transport_at <= packet.len);
            }
        }
    }
}
