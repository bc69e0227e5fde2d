//! What an origin answers.

use crate::mend;
use etherparse::PacketBuilder;
use packet::icmp::{self, Kind};
use packet::ip;
use packet::transport::{ICMP, TCP, UDP};
use packet::{Headers, IpVersion};

/// The packet with source and destination exchanged, an echo request as its reply. `None` for one with options or
/// extension headers, where what they say does not hold for the way back.
pub fn turned(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut reply = bytes.to_vec();
    let packet = ip::parse(&reply).ok()?;
    let at = packet.transport_at as usize;
    let (addresses, len) = match packet.version {
        IpVersion::V4 if at == 20 => (12, 4),
        IpVersion::V6 if at == 40 => (8, 16),
        _ => return None,
    };
    for place in addresses..addresses + len {
        reply.swap(place, place + len);
    }
    match packet.icmp_kind() {
        Kind::EchoRequest if packet.protocol == ICMP => reply[at] = icmp::V4_ECHO_REPLY,
        Kind::EchoRequest => reply[at] = icmp::V6_ECHO_REPLY,
        Kind::Other if matches!(packet.protocol, TCP | UDP) => {
            reply.swap(at, at + 2);
            reply.swap(at + 1, at + 3);
        }
        _ => return None,
    }
    mend::ip(&mut reply);
    Some(reply)
}

/// An ICMP error of this type and code about a packet, from its destination to its source.
pub fn error_about(bytes: &[u8], kind: u8, code: u8) -> Option<Vec<u8>> {
    let packet = ip::parse(bytes).ok()?;
    let quoted = &bytes[..bytes.len().min(200)];
    let mut error = Vec::new();
    let written = match packet.version {
        IpVersion::V4 => PacketBuilder::ipv4(packet.dst.v4_bytes(), packet.src.v4_bytes(), 64)
            .icmpv4_raw(kind, code, [0, 0, 5, 0])
            .write(&mut error, quoted),
        IpVersion::V6 => PacketBuilder::ipv6(packet.dst.v6_bytes(), packet.src.v6_bytes(), 64)
            .icmpv6_raw(kind, code, [0, 0, 5, 0])
            .write(&mut error, quoted),
    };
    written.ok().map(|()| error)
}
