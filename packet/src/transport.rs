//! TCP (RFC 9293) and UDP (RFC 768) headers, and the numbers of other protocols.

use zerocopy::byteorder::network_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Protocol number of ICMP.
pub const ICMP: u8 = 1;
/// Protocol number of TCP.
pub const TCP: u8 = 6;
/// Protocol number of UDP.
pub const UDP: u8 = 17;
/// Protocol number of ICMPv6.
pub const ICMPV6: u8 = 58;

/// Protocol number of generic routing encapsulation (RFC 2784).
pub const GRE: u8 = 47;
/// Protocol number of SCTP (RFC 9260).
pub const SCTP: u8 = 132;
/// Protocol number of UDP-Lite (RFC 3828).
pub const UDP_LITE: u8 = 136;

/// Whether a protocol is one of those that almost all packets are of: TCP, UDP, ICMP, ICMPv6.
#[inline(always)]
pub const fn is_common(protocol: u8) -> bool {
    matches!(protocol, TCP | UDP | ICMP | ICMPV6)
}

/// A TCP header without its options.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Tcp {
    /// The sender's port.
    pub source: U16,
    /// The receiver's port.
    pub destination: U16,
    /// Sequence number.
    pub sequence: U32,
    /// Acknowledgement number.
    pub acknowledgement: U32,
    /// Header length in 32-bit words in the high four bits.
    pub data_offset: u8,
    /// Flags from CWR (0x80) to FIN (0x01).
    pub flags: u8,
    /// Receive window.
    pub window: U16,
    /// Checksum over pseudo-header, header and data.
    pub checksum: U16,
    /// Urgent pointer.
    pub urgent: U16,
}

impl Tcp {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgement field counts.
    pub const ACK: u8 = 0x10;
    /// Where the checksum stands in the header, bytes.
    pub const CHECKSUM_AT: usize = 16;
    /// Where the flags stand in the header, bytes.
    pub const FLAGS_AT: usize = 13;
}

/// A UDP header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Udp {
    /// The sender's port.
    pub source: U16,
    /// The receiver's port.
    pub destination: U16,
    /// Header and data, bytes.
    pub length: U16,
    /// Checksum over pseudo-header, header and data; 0 for none.
    pub checksum: U16,
}

impl Udp {
    /// Where the checksum stands in the header, bytes.
    pub const CHECKSUM_AT: usize = 6;
}
