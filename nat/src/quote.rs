//! The packet that an ICMP error quotes.
//!
//! ```text
//!  | IP | type code checksum … | quoted IP header | quoted transport header, … | RFC 4884 extensions |
//!                              ^ at               ^ at + transport_at          ^ end
//! ```

use packet::checksum::{add, pseudo_header, sum};
use packet::icmp::{self, Kind};
use packet::ip::{Fragment, Ipv4, Ipv6, Packet};
use packet::transport::{ICMP, ICMPV6, SCTP, TCP, UDP, UDP_LITE};
use packet::{Addr, Headers, IpVersion, Reason};

/// What an ICMP error says about the packet that it quotes. An error belongs where the quoted packet came from:
/// from the origin's side to the [`owner`](crate::owner) of [`Quote::src_port`], from the client's side to the
/// stream of the client [`Quote::dst`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quote {
    /// Source address of the quoted packet.
    pub src: Addr,
    /// Its destination address.
    pub dst: Addr,
    /// Its protocol: TCP, UDP, ICMP or ICMPv6, or one that is translated by address.
    pub protocol: u8,
    /// Its source port, or the identifier of a quoted echo.
    pub src_port: u16,
    /// Its destination port, or the identifier of a quoted echo.
    pub dst_port: u16,
    /// TCP: the quoted segment's sequence number.
    pub(crate) sequence: u32,
    /// Whether a quoted ICMP message is a request or a reply; else [`Kind::Other`].
    pub(crate) echo: Kind,
    /// Where the quoted IP header starts, bytes from the outer one's start.
    pub(crate) at: usize,
    /// Where the quoted transport header starts, bytes from the quoted IP header's start.
    pub(crate) transport_at: usize,
    /// Where the quoted packet ends or is cut, bytes from the outer IP header's start.
    pub(crate) end: usize,
}

/// Bytes of the quoted transport header that are needed, and that each router quotes (RFC 792).
const TRANSPORT_MIN: usize = 8;

impl Quote {
    /// Reads the quote of an ICMP or ICMPv6 error; `bytes` starts at the outer IP header.
    ///
    /// # Errors
    /// [`Reason::NatIcmp`] where it is no error, or about ICMP other than an echo, [`Reason::Fragment`],
    /// [`Reason::IcmpChecksum`] (RFC 5508 REQ-3), [`Reason::NatQuote`] where the quoted headers are malformed,
    /// too short, or have a wrong checksum (REQ-3a).
    pub fn of(bytes: &[u8], packet: &Packet) -> Result<Quote, Reason> {
        if packet.icmp_kind() != Kind::Error {
            return Err(Reason::NatIcmp);
        }
        if packet.fragment != Fragment::No {
            return Err(Reason::Fragment);
        }
        let message =
            bytes.get(packet.transport_at as usize..packet.len as usize).ok_or(Reason::TransportTruncated)?;
        let pseudo = match packet.version {
            IpVersion::V4 => 0,
            IpVersion::V6 => pseudo_header(packet.src, packet.dst, ICMPV6, message.len() as u32),
        };
        if add(pseudo, sum(message)) != 0xffff {
            return Err(Reason::IcmpChecksum);
        }
        let (header, rest) = message.split_first_chunk::<8>().ok_or(Reason::TransportTruncated)?;
        let quoted = &rest[..rest.len().min(extensions_at(header, packet.version))];
        let headers = match packet.version {
            IpVersion::V4 => v4(quoted),
            IpVersion::V6 => v6(quoted),
        };
        let mut quote = headers.ok_or(Reason::NatQuote)?;
        quote.at = packet.transport_at as usize + header.len();
        quote.end += quote.at;
        quote.read_ports(bytes)?;
        Ok(quote)
    }

    fn read_ports(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        let transport = bytes
            .get(self.at + self.transport_at..self.end)
            .and_then(|transport| transport.first_chunk::<TRANSPORT_MIN>())
            .ok_or(Reason::NatQuote)?;
        let field = |at: usize| u16::from_be_bytes([transport[at], transport[at + 1]]);
        self.sequence = (field(4) as u32) << 16 | field(6) as u32;
        self.echo = match (self.protocol, self.src.is_v4()) {
            (ICMP, true) => Kind::of_v4(transport[0]),
            (ICMPV6, false) => Kind::of_v6(transport[0]),
            _ => Kind::Other,
        };
        (self.src_port, self.dst_port) = match (self.protocol, self.echo) {
            (TCP | UDP, _) => (field(0), field(2)),
            (_, Kind::EchoRequest | Kind::EchoReply) => (field(4), field(4)),
            (ICMP | ICMPV6, _) => return Err(Reason::NatIcmp),
            (UDP_LITE | SCTP, _) => (field(0), field(2)),
            _ => (0, 0),
        };
        Ok(())
    }
}

/// Where extensions start behind an original datagram whose length is given (RFC 4884 section 3).
fn extensions_at(header: &[u8; 8], version: IpVersion) -> usize {
    let len = match (version, header[0]) {
        (IpVersion::V4, icmp::V4_UNREACHABLE | icmp::V4_TIME_EXCEEDED | icmp::V4_PARAMETER_PROBLEM) => {
            header[5] as usize * 4
        }
        (IpVersion::V6, icmp::V6_UNREACHABLE | icmp::V6_TIME_EXCEEDED) => header[4] as usize * 8,
        _ => 0,
    };
    if len == 0 { usize::MAX } else { len }
}

/// The quoted IPv4 header, with `end` from its start.
fn v4(quoted: &[u8]) -> Option<Quote> {
    let header = quoted.first_chunk::<{ Ipv4::LEN }>()?;
    let header_len = (header[0] & 0xf) as usize * 4;
    let len = u16::from_be_bytes([header[2], header[3]]) as usize;
    let offset = u16::from_be_bytes([header[6], header[7]]) & 0x1fff;
    if header[0] >> 4 != 4 || header_len < Ipv4::LEN || offset != 0 {
        return None;
    }
    if sum(quoted.get(..header_len)?) != 0xffff {
        return None;
    }
    Some(Quote {
        src: Addr::from_v4([header[12], header[13], header[14], header[15]]),
        dst: Addr::from_v4([header[16], header[17], header[18], header[19]]),
        protocol: header[9],
        src_port: 0,
        dst_port: 0,
        sequence: 0,
        echo: Kind::Other,
        at: 0,
        transport_at: header_len,
        end: len.min(quoted.len()),
    })
}

/// The quoted IPv6 header and its extension headers, with `end` from its start.
fn v6(quoted: &[u8]) -> Option<Quote> {
    let header = quoted.first_chunk::<{ Ipv6::LEN }>()?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let len = Ipv6::LEN + u16::from_be_bytes([header[4], header[5]]) as usize;
    let end = len.min(quoted.len());
    let (protocol, transport_at) = skip_extensions(&quoted[..end], header[6])?;
    let address = |at: usize| quoted.get(at..)?.first_chunk::<16>().copied().map(Addr::from_v6);
    let (src, dst) = (address(8)?, address(24)?);
    if src.is_v4() || dst.is_v4() {
        return None;
    }
    Some(Quote {
        src,
        dst,
        protocol,
        src_port: 0,
        dst_port: 0,
        sequence: 0,
        echo: Kind::Other,
        at: 0,
        transport_at,
        end,
    })
}

/// Extension headers walked before giving up.
const EXTENSIONS_MAX: usize = 8;

/// The protocol behind the extension headers, and where it starts. `None` where there are too many, they are cut,
/// or a fragment other than the first is quoted.
fn skip_extensions(quoted: &[u8], mut next: u8) -> Option<(u8, usize)> {
    const HOP_BY_HOP: u8 = 0;
    const ROUTING: u8 = 43;
    const FRAGMENT: u8 = 44;
    const DESTINATION_OPTIONS: u8 = 60;
    let mut at = Ipv6::LEN;
    for _ in 0..=EXTENSIONS_MAX {
        if !matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS) {
            return Some((next, at));
        }
        let header = quoted.get(at..)?.first_chunk::<8>()?;
        if next == FRAGMENT && u16::from_be_bytes([header[2], header[3]]) >> 3 != 0 {
            return None;
        }
        at += if next == FRAGMENT { 8 } else { (header[1] as usize + 1) * 8 };
        next = header[0];
    }
    None
}
