//! From an IPv6 header to an IPv4 header and back (RFC 7915 sections 4.1 and 5.1); addresses and transport are others' work.
//!
//! ```text
//!  | IPv6, 40 B | fragment header, 8 B, if any | transport …        ⇄        | IPv4, 20 B | transport …
//! ```

use crate::ip::{Fragment, Ipv4, Ipv6, Packet};
use crate::{IpVersion, PacketBuf, Reason, checksum};

/// Bytes that a packet grows by when it becomes one of IPv6.
pub const GROWTH: u16 = 20;
/// Bytes more where it gets a fragment header.
pub const FRAGMENT_HEADER_LEN: u16 = 8;
/// What goes to IPv6 as "don't fragment" from here on: all that could not be carried by any link otherwise.
const ATOMIC_LEN_MIN: usize = 1260;
const FRAGMENT: u8 = 44;

/// Bytes that a packet will have in the other IP version.
pub fn len_after(packet: &Packet) -> usize {
    let payload = packet.len.saturating_sub(packet.transport_at) as usize;
    match (packet.version, packet.fragment) {
        (IpVersion::V6, _) => Ipv4::LEN + payload,
        (IpVersion::V4, Fragment::No) => Ipv6::LEN + payload,
        (IpVersion::V4, _) => Ipv6::LEN + FRAGMENT_HEADER_LEN as usize + payload,
    }
}

/// Turns the IPv6 packet in the buffer, which holds nothing else, into one of IPv4. A whole packet gets this
/// identification if it may be cut on its way, a fragment always.
///
/// # Errors
/// [`Reason::IpExtension`] where extension headers must not be left away, or stand between fragment header and transport;
/// the packet is unchanged then.
pub fn to_v4<B: PacketBuf>(
    buf: &mut B,
    packet: &Packet,
    (src, dst): ([u8; 4], [u8; 4]),
    protocol: u8,
    identification: u16,
) -> Result<(), Reason> {
    let fragment = extensions(buf.data(), packet)?;
    let [first, second, .., hop_limit] = *buf.data().first_chunk::<8>().ok_or(Reason::IpTruncated)?;
    let at = packet.transport_at as usize;
    let len = packet.len as usize - at + Ipv4::LEN;
    let (identification, field) = match fragment {
        Some(field) => (identification, field >> 3 | (field & 1) << 13),
        None if len > ATOMIC_LEN_MIN => (0, Ipv4::DONT_FRAGMENT),
        None => (identification, 0),
    };
    buf.trim_front(at - Ipv4::LEN).map_err(|_| Reason::IpTruncated)?;
    let header = buf.data_mut().first_chunk_mut::<{ Ipv4::LEN }>().ok_or(Reason::IpTruncated)?;
    header[..2].copy_from_slice(&[0x45, first << 4 | second >> 4]);
    header[2..4].copy_from_slice(&(len as u16).to_be_bytes());
    header[4..6].copy_from_slice(&identification.to_be_bytes());
    header[6..8].copy_from_slice(&field.to_be_bytes());
    header[8..12].copy_from_slice(&[hop_limit, protocol, 0, 0]);
    header[12..16].copy_from_slice(&src);
    header[16..].copy_from_slice(&dst);
    let sum = !checksum::sum_ipv4_header(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    Ok(())
}

/// Turns the IPv4 packet in the buffer, which holds nothing else, into one of IPv6. Options are left away.
///
/// # Errors
/// [`Reason::NoHeadroom`]; the packet is unchanged then.
pub fn to_v6<B: PacketBuf>(
    buf: &mut B,
    packet: &Packet,
    (src, dst): ([u8; 16], [u8; 16]),
    protocol: u8,
) -> Result<(), Reason> {
    let old = *buf.data().first_chunk::<{ Ipv4::LEN }>().ok_or(Reason::IpTruncated)?;
    let fragment = packet.fragment != Fragment::No;
    let head = Ipv6::LEN + if fragment { FRAGMENT_HEADER_LEN as usize } else { 0 };
    let at = packet.transport_at as usize;
    match head.checked_sub(at) {
        Some(more) => buf.prepend(more).map_err(|_| Reason::NoHeadroom)?,
        None => buf.trim_front(at - head).map_err(|_| Reason::IpTruncated)?,
    }
    let payload = (packet.len as usize - at + head - Ipv6::LEN) as u16;
    let bytes = buf.data_mut();
    let header = bytes.first_chunk_mut::<{ Ipv6::LEN }>().ok_or(Reason::IpTruncated)?;
    header[..4].copy_from_slice(&[0x60 | old[1] >> 4, old[1] << 4, 0, 0]);
    header[4..6].copy_from_slice(&payload.to_be_bytes());
    header[6..8].copy_from_slice(&[if fragment { FRAGMENT } else { protocol }, old[8]]);
    header[8..24].copy_from_slice(&src);
    header[24..].copy_from_slice(&dst);
    if fragment && let Some(header) = bytes.get_mut(Ipv6::LEN..head) {
        let field = u16::from_be_bytes([old[6], old[7]]);
        let field = field << 3 | field >> 13 & 1;
        header[..2].copy_from_slice(&[protocol, 0]);
        header[2..4].copy_from_slice(&field.to_be_bytes());
        header[4..8].copy_from_slice(&[0, 0, old[4], old[5]]);
    }
    Ok(())
}

/// The fragment header's offset and flags, if there is one, where all extension headers may be left away.
fn extensions(bytes: &[u8], packet: &Packet) -> Result<Option<u16>, Reason> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const DESTINATION_OPTIONS: u8 = 60;
    let mut next = *bytes.get(6).ok_or(Reason::IpTruncated)?;
    let (mut at, mut fragment) = (Ipv6::LEN, None);
    while at < packet.transport_at as usize {
        let header = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()).ok_or(Reason::IpExtension)?;
        at += match next {
            FRAGMENT => {
                fragment = Some(u16::from_be_bytes([header[2], header[3]]));
                8
            }
            // What is left of a route says where it should have gone (RFC 7915 section 5.1).
            ROUTING if header[3] == 0 => (header[1] as usize + 1) * 8,
            // Behind a fragment header they are a part of what was cut.
            HOP_BY_HOP | DESTINATION_OPTIONS if fragment.is_none() => (header[1] as usize + 1) * 8,
            _ => return Err(Reason::IpExtension),
        };
        next = header[0];
    }
    Ok(fragment)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::heap::HeapBuf;
    use crate::ip::parse;
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    const V4: ([u8; 4], [u8; 4]) = ([192, 0, 2, 1], [192, 0, 2, 2]);
    const V6: ([u8; 16], [u8; 16]) = ([0x20; 16], [0x21; 16]);

    proptest! {
        #[test]
        fn there_and_back_again(class: u8, ttl: u8, payload in proptest::collection::vec(any::<u8>(), 0..1400)) {
            let mut bytes = Vec::new();
            PacketBuilder::ipv6(V6.0, V6.1, ttl).udp(7, 9).write(&mut bytes, &payload).unwrap();
            bytes[0] |= class >> 4;
            bytes[1] = class << 4;
            let mut buf = HeapBuf::detached(&bytes);
            let packet = parse(&bytes).unwrap();
            to_v4(&mut buf, &packet, V4, 17, 0x1234).unwrap();
            let four = parse(buf.data()).unwrap();
            prop_assert_eq!((four.len as usize, buf.len()), (len_after(&packet), len_after(&packet)));
            prop_assert_eq!((four.ttl, four.src_port, four.dst_port, four.fragment), (ttl, 7, 9, Fragment::No));
            prop_assert_eq!((buf.data()[1], four.dont_fragment), (class, buf.len() > 1260));
            prop_assert!(etherparse::SlicedPacket::from_ip(buf.data()).is_ok());
            to_v6(&mut buf, &four, V6, 17).unwrap();
            prop_assert_eq!(buf.data(), &bytes[..]);
        }

        #[test]
        fn fragments_keep_their_place(offset in 0u16..0x1000, more: bool, id: u16, len in 1usize..50) {
            prop_assume!(offset > 0 || more);
            let field = offset << 3 | more as u16;
            let mut bytes = vec![0x60, 0, 0, 0, 0, 0, 44, 9];
            bytes[4..6].copy_from_slice(&(8 + len as u16 * 8).to_be_bytes());
            bytes.extend(V6.0);
            bytes.extend(V6.1);
            bytes.extend([99, 0]);
            bytes.extend(field.to_be_bytes());
            bytes.extend([0, 0]);
            bytes.extend(id.to_be_bytes());
            bytes.extend(vec![7; len * 8]);
            let mut buf = HeapBuf::detached(&bytes);
            let packet = parse(&bytes).unwrap();
            let part = crate::extent::Extent::of(&bytes, &packet);
            to_v4(&mut buf, &packet, V4, 99, id).unwrap();
            let four = parse(buf.data()).unwrap();
            prop_assert_eq!(crate::extent::Extent::of(buf.data(), &four), part);
            prop_assert_eq!(len_after(&four), bytes.len());
            to_v6(&mut buf, &four, V6, 99).unwrap();
            prop_assert_eq!(buf.data(), &bytes[..]);
        }

        #[test]
        fn any_packet_is_translated_or_refused(bytes in proptest::collection::vec(any::<u8>(), 40..200), six: bool) {
            let mut bytes = bytes;
            bytes[0] = if six { 0x60 } else { 0x40 | bytes[0] & 0xf };
            let header = (bytes[0] & 0xf) as usize * 4;
            if !six && (20..=bytes.len()).contains(&header) {
                bytes[2..4].copy_from_slice(&[0, 40]);
                bytes[10..12].fill(0);
                let sum = !checksum::sum(&bytes[..header]);
                bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            }
            let Ok(packet) = parse(&bytes) else { return Ok(()) };
            let mut buf = HeapBuf::detached(&bytes[..packet.len as usize]);
            let done = match packet.version {
                IpVersion::V6 => to_v4(&mut buf, &packet, V4, packet.protocol, 1),
                IpVersion::V4 => to_v6(&mut buf, &packet, V6, packet.protocol),
            };
            match done {
                Ok(()) => prop_assert_eq!(buf.len(), len_after(&packet)),
                Err(reason) => {
                    prop_assert_eq!(reason, Reason::IpExtension);
                    prop_assert_eq!(buf.data(), &bytes[..packet.len as usize]);
                }
            }
        }
    }
}
