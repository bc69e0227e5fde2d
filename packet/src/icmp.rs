//! ICMP (RFC 792) and ICMPv6 (RFC 4443): the header and the messages that Proa knows.

use zerocopy::byteorder::network_endian::U16;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// The first eight bytes of every ICMP and ICMPv6 message that Proa handles.
///
/// ```text
/// +------+------+----------+---------------------------------------+
/// | type | code | checksum | identifier, sequence | unused, MTU …   |
/// +------+------+----------+---------------------------------------+
/// ```
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct Header {
    /// Type of the message.
    pub kind: u8,
    /// Code within the type.
    pub code: u8,
    /// Checksum over the message; ICMPv6 adds a pseudo-header.
    pub checksum: U16,
    /// Echo: identifier. Too big: for ICMPv6 the high half of the MTU.
    pub identifier: U16,
    /// Echo: sequence number. Too big: the MTU (ICMPv6: its low half), bytes.
    pub sequence: U16,
}

impl Header {
    /// Where the checksum stands in the header, bytes.
    pub const CHECKSUM_AT: usize = 2;
    /// Where the identifier stands in the header, bytes.
    pub const IDENTIFIER_AT: usize = 4;
}

/// ICMP: echo reply.
pub const V4_ECHO_REPLY: u8 = 0;
/// ICMP: destination unreachable.
pub const V4_UNREACHABLE: u8 = 3;
/// ICMP: code of "fragmentation needed" under [`V4_UNREACHABLE`].
pub const V4_CODE_FRAGMENTATION_NEEDED: u8 = 4;
/// ICMP: echo request.
pub const V4_ECHO_REQUEST: u8 = 8;
/// ICMP: time exceeded.
pub const V4_TIME_EXCEEDED: u8 = 11;
/// ICMP: parameter problem.
pub const V4_PARAMETER_PROBLEM: u8 = 12;

/// ICMPv6: destination unreachable.
pub const V6_UNREACHABLE: u8 = 1;
/// ICMPv6: packet too big.
pub const V6_TOO_BIG: u8 = 2;
/// ICMPv6: time exceeded.
pub const V6_TIME_EXCEEDED: u8 = 3;
/// ICMPv6: parameter problem.
pub const V6_PARAMETER_PROBLEM: u8 = 4;
/// ICMPv6: echo request.
pub const V6_ECHO_REQUEST: u8 = 128;
/// ICMPv6: echo reply.
pub const V6_ECHO_REPLY: u8 = 129;
/// ICMPv6: neighbour solicitation (RFC 4861).
pub const V6_NEIGHBOR_SOLICITATION: u8 = 135;
/// ICMPv6: neighbour advertisement (RFC 4861).
pub const V6_NEIGHBOR_ADVERTISEMENT: u8 = 136;

/// What a message is for, the same for both versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Asks for an echo.
    EchoRequest,
    /// Answers an echo request.
    EchoReply,
    /// Reports an error about the packet that it quotes.
    Error,
    /// Anything else.
    Other,
}

impl Kind {
    /// The kind of an ICMP type.
    #[inline(always)]
    pub const fn of_v4(kind: u8) -> Kind {
        match kind {
            V4_ECHO_REQUEST => Kind::EchoRequest,
            V4_ECHO_REPLY => Kind::EchoReply,
            V4_UNREACHABLE | V4_TIME_EXCEEDED | V4_PARAMETER_PROBLEM => Kind::Error,
            _ => Kind::Other,
        }
    }

    /// The kind of an ICMPv6 type.
    #[inline(always)]
    pub const fn of_v6(kind: u8) -> Kind {
        match kind {
            V6_ECHO_REQUEST => Kind::EchoRequest,
            V6_ECHO_REPLY => Kind::EchoReply,
            V6_UNREACHABLE | V6_TOO_BIG | V6_TIME_EXCEEDED | V6_PARAMETER_PROBLEM => Kind::Error,
            _ => Kind::Other,
        }
    }
}
