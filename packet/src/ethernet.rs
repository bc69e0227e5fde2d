//! Ethernet II frames with at most one VLAN tag, and ARP.

use crate::{Mac, Reason};
use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// EtherType of IPv4.
pub const TYPE_IPV4: u16 = 0x0800;
/// EtherType of ARP.
pub const TYPE_ARP: u16 = 0x0806;
/// EtherType of IPv6.
pub const TYPE_IPV6: u16 = 0x86dd;
/// EtherType of an IEEE 802.1Q tag.
pub const TYPE_VLAN: u16 = 0x8100;
/// EtherType of an IEEE 802.1ad (outer) tag, which Proa refuses.
pub const TYPE_QINQ: u16 = 0x88a8;

/// Bytes of an untagged header.
pub const HEADER_LEN: usize = 14;
/// Bytes that a VLAN tag adds.
pub const VLAN_LEN: usize = 4;

/// An Ethernet II header.
///
/// ```text
///  0           6          12     14
/// +-----------+-----------+------+
/// |destination|  source   | type |
/// +-----------+-----------+------+
/// ```
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Whom the frame is for.
    pub destination: [u8; 6],
    /// Who sent it.
    pub source: [u8; 6],
    /// What follows.
    pub ether_type: U16,
}

/// An IEEE 802.1Q tag after the addresses: priority, VLAN, then the EtherType of what follows.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Tag {
    /// Priority (3 bits), drop eligibility (1 bit), VLAN (12 bits).
    pub control: U16,
    /// What follows.
    pub ether_type: U16,
}

/// ARP for IPv4 over Ethernet (RFC 826).
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Arp {
    /// 1 for Ethernet.
    pub hardware: U16,
    /// [`TYPE_IPV4`].
    pub protocol: U16,
    /// 6.
    pub hardware_len: u8,
    /// 4.
    pub protocol_len: u8,
    /// 1 asks, 2 answers.
    pub operation: U16,
    /// The sender's Ethernet address.
    pub sender_mac: [u8; 6],
    /// The sender's IPv4 address.
    pub sender_ip: [u8; 4],
    /// The target's Ethernet address; zero when asking.
    pub target_mac: [u8; 6],
    /// The target's IPv4 address.
    pub target_ip: [u8; 4],
}

impl Arp {
    /// Operation of a request.
    pub const REQUEST: u16 = 1;
    /// Operation of a reply.
    pub const REPLY: u16 = 2;
}

/// What an Ethernet header says, and where the packet in it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// EtherType of what the frame carries, behind the tag if there is one.
    pub ether_type: u16,
    /// The tag's VLAN, 1 to 4094; 0 for an untagged or priority-tagged frame.
    pub vlan: u16,
    /// Where what it carries starts, bytes from the frame's start.
    pub payload_at: usize,
}

/// Reads a frame's header.
///
/// # Errors
/// [`Reason::EthernetTruncated`] for a short frame, [`Reason::Vlan`] for a second tag.
#[inline(always)]
pub fn parse(frame: &[u8]) -> Result<Frame, Reason> {
    let (header, rest) = Header::ref_from_prefix(frame).map_err(|_| Reason::EthernetTruncated)?;
    match header.ether_type.get() {
        TYPE_VLAN => {
            let (tag, _) = Tag::ref_from_prefix(rest).map_err(|_| Reason::EthernetTruncated)?;
            match tag.ether_type.get() {
                TYPE_VLAN | TYPE_QINQ => Err(Reason::Vlan),
                ether_type => Ok(Frame {
                    ether_type,
                    vlan: tag.control.get() & 0xfff,
                    payload_at: HEADER_LEN + VLAN_LEN,
                }),
            }
        }
        TYPE_QINQ => Err(Reason::Vlan),
        ether_type => Ok(Frame { ether_type, vlan: 0, payload_at: HEADER_LEN }),
    }
}

/// Whom a frame is for. The frame holds at least a header.
#[inline(always)]
pub fn destination(frame: &[u8]) -> Option<Mac> {
    frame.first_chunk::<6>().map(|bytes| Mac(*bytes))
}

/// Who sent a frame.
#[inline(always)]
pub fn source(frame: &[u8]) -> Option<Mac> {
    frame.get(6..12)?.first_chunk::<6>().map(|bytes| Mac(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_tag_is_read_and_two_are_refused() {
        let mut frame = [0u8; 22];
        frame[12..14].copy_from_slice(&TYPE_IPV4.to_be_bytes());
        assert_eq!(parse(&frame).unwrap(), Frame { ether_type: TYPE_IPV4, vlan: 0, payload_at: 14 });
        frame[12..18].copy_from_slice(&[0x81, 0x00, 0xe0, 0x64, 0x86, 0xdd]);
        assert_eq!(parse(&frame).unwrap(), Frame { ether_type: TYPE_IPV6, vlan: 100, payload_at: 18 });
        frame[16..18].copy_from_slice(&TYPE_VLAN.to_be_bytes());
        assert_eq!(parse(&frame), Err(Reason::Vlan));
        assert_eq!(parse(&frame[..13]), Err(Reason::EthernetTruncated));
        assert_eq!(parse(&frame[..17]), Err(Reason::EthernetTruncated));
    }
}
