//! Packets, an independent checksum and a NAT for the tests.
#![allow(dead_code, reason = "each test binary uses its part")]

use etherparse::{IpHeaders, PacketBuilder, PacketHeaders, TransportHeader};
use packet::ip::{Packet, parse};
use packet::transport::{ICMP, ICMPV6, TCP, UDP};
use packet::{Addr, IpVersion};
use proa_nat::*;

pub const NOW: Seconds = Seconds(1000);
pub const SERVICE: ServiceId = ServiceId(3);

/// An address of documentation prefixes, `number` within `net`.
pub fn address(version: IpVersion, net: u8, number: u16) -> Addr {
    let [high, low] = number.to_be_bytes();
    match version {
        IpVersion::V4 => Addr::from_v4([10, net, high, low]),
        IpVersion::V6 => Addr::from_v6([0x20, 0x01, 0x0d, 0xb8, 0, net, 0, 0, 0, 0, 0, 0, 0, 0, high, low]),
    }
}

pub const CLIENTS: u8 = 1;
pub const VIPS: u8 = 2;
pub const ORIGINS: u8 = 3;
pub const POOL: u8 = 4;
pub const ROUTERS: u8 = 5;

pub fn config() -> Config {
    let pool = [IpVersion::V4, IpVersion::V6]
        .iter()
        .flat_map(|version| (0..4).map(|number| address(*version, POOL, number)))
        .collect();
    Config {
        sessions_max: 1000,
        pool,
        worker: 5,
        workers: 700,
        rss: None,
        timeouts: Timeouts::default(),
        rules: Rules::default(),
        seed: 11,
    }
}

pub fn nat() -> Nat {
    Nat::new(&config()).unwrap()
}

/// ICMP's number in an IP version.
pub fn icmp_of(version: IpVersion) -> u8 {
    if version == IpVersion::V4 { ICMP } else { ICMPV6 }
}

/// One side of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End(pub Addr, pub u16);

/// A packet; of an echo, `request` says which, and the identifier is the client's side's port.
pub fn build(protocol: u8, src: End, dst: End, request: bool, payload: &[u8]) -> Vec<u8> {
    let builder = if src.0.is_v4() {
        PacketBuilder::ipv4(src.0.v4_bytes(), dst.0.v4_bytes(), 64)
    } else {
        PacketBuilder::ipv6(src.0.v6_bytes(), dst.0.v6_bytes(), 64)
    };
    build_on(builder, protocol, src.1, dst.1, request, payload)
}

pub fn build_on(
    builder: etherparse::PacketBuilderStep<IpHeaders>,
    protocol: u8,
    src: u16,
    dst: u16,
    request: bool,
    payload: &[u8],
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let identifier = if request { src } else { dst };
    match (protocol, request) {
        (TCP, _) => builder.tcp(src, dst, 1, 2).syn().write(&mut bytes, payload),
        (UDP, _) => builder.udp(src, dst).write(&mut bytes, payload),
        (ICMP, true) => builder.icmpv4_echo_request(identifier, 1).write(&mut bytes, payload),
        (ICMP, false) => builder.icmpv4_echo_reply(identifier, 1).write(&mut bytes, payload),
        (_, true) => builder.icmpv6_echo_request(identifier, 1).write(&mut bytes, payload),
        (_, false) => builder.icmpv6_echo_reply(identifier, 1).write(&mut bytes, payload),
    }
    .unwrap();
    bytes
}

/// The transport checksum in a packet, and what etherparse computes from all its bytes.
pub fn checksums(bytes: &[u8]) -> (u16, u16) {
    let headers = PacketHeaders::from_ip_slice(bytes).unwrap();
    let ip = headers.net.unwrap();
    let payload = headers.payload.slice();
    let (v4, v6) = (ip.ipv4_ref().map(|(header, _)| header), ip.ipv6_ref().map(|(header, _)| header));
    match (headers.transport.unwrap(), v4, v6) {
        (TransportHeader::Tcp(tcp), Some(ip), _) => {
            (tcp.checksum, tcp.calc_checksum_ipv4(ip, payload).unwrap())
        }
        (TransportHeader::Tcp(tcp), _, Some(ip)) => {
            (tcp.checksum, tcp.calc_checksum_ipv6(ip, payload).unwrap())
        }
        (TransportHeader::Udp(udp), Some(ip), _) => {
            (udp.checksum, udp.calc_checksum_ipv4(ip, payload).unwrap())
        }
        (TransportHeader::Udp(udp), _, Some(ip)) => {
            (udp.checksum, udp.calc_checksum_ipv6(ip, payload).unwrap())
        }
        (TransportHeader::Icmpv4(icmp), ..) => (icmp.checksum, icmp_checksum(bytes, 0)),
        (TransportHeader::Icmpv6(icmp), _, Some(ip)) => {
            let addresses: u64 = ip.source.chunks(2).chain(ip.destination.chunks(2)).map(word).sum();
            let len = bytes.len() - parse(bytes).unwrap().transport_at as usize;
            (icmp.checksum, icmp_checksum(bytes, addresses + len as u64 + 58))
        }
        other => panic!("{other:?}"),
    }
}

fn word(pair: &[u8]) -> u64 {
    (pair[0] as u64) << 8 | pair.get(1).copied().unwrap_or(0) as u64
}

/// The checksum of an ICMP message by the book: etherparse forgets fields of errors that it does not know.
fn icmp_checksum(bytes: &[u8], pseudo_header: u64) -> u16 {
    let mut message = bytes[parse(bytes).unwrap().transport_at as usize..].to_vec();
    message[2..4].fill(0);
    let mut sum = pseudo_header + message.chunks(2).map(word).sum::<u64>();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !(sum as u16)
}

/// Parses, which verifies the IPv4 header checksum, and verifies the transport checksum.
pub fn parse_valid(bytes: &[u8]) -> Packet {
    let packet = parse(bytes).unwrap();
    let (found, computed) = checksums(bytes);
    assert_eq!(found, computed, "transport checksum");
    packet
}

/// A client's conversation with a VIP, served by an origin.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    pub protocol: u8,
    pub client: End,
    pub vip: End,
    pub origin: End,
}

impl Flow {
    pub fn new(version: IpVersion, protocol: u8, client: u16, port: u16) -> Flow {
        Flow {
            protocol,
            client: End(address(version, CLIENTS, client), port),
            vip: End(address(version, VIPS, 9), 80),
            origin: End(address(version, ORIGINS, 2), 8080),
        }
    }

    pub fn key(&self) -> Key {
        Key { client: self.client.0, port: self.client.1, service: SERVICE }
    }

    pub fn new_session(&self) -> NewSession {
        let (End(vip, vip_port), End(origin, origin_port)) = (self.vip, self.origin);
        NewSession {
            protocol: self.protocol,
            vip,
            vip_port,
            origin,
            origin_port,
            tag: Tag(1),
            filtering: Filtering::default(),
        }
    }

    pub fn create(&self, nat: &mut Nat) -> Result<SessionIndex, packet::Reason> {
        let key = self.key();
        nat.create(NOW, nat.hash(&key), key, self.new_session())
    }

    pub fn find(&self, nat: &Nat) -> Option<SessionIndex> {
        let key = self.key();
        nat.find(nat.hash(&key), &key)
    }

    /// A packet from the client.
    pub fn request(&self, payload: &[u8]) -> Vec<u8> {
        build(self.protocol, self.client, self.vip, true, payload)
    }

    /// The origin's answer to a translated packet.
    pub fn reply(&self, translated: &Packet, payload: &[u8]) -> Vec<u8> {
        let (src, dst) = (End(translated.dst, translated.dst_port), End(translated.src, translated.src_port));
        build(self.protocol, src, dst, false, payload)
    }
}

/// Sends a packet from the client's side; the session must be there.
pub fn forward(nat: &mut Nat, flow: &Flow, bytes: &mut [u8]) -> SessionIndex {
    let packet = parse(bytes).unwrap();
    let session = flow.find(nat).unwrap();
    nat.forward(NOW, session, bytes, &packet).unwrap();
    session
}

/// Sends a packet from the origin's side.
pub fn reverse(nat: &mut Nat, bytes: &mut [u8]) -> Result<SessionIndex, packet::Reason> {
    let packet = parse(bytes).unwrap();
    let slot =
        nat.reverse_slot(packet.dst, packet.protocol, packet.dst_port).ok_or(packet::Reason::NatNoSession)?;
    let session = nat.find_reverse(slot, packet.src, packet.src_port)?;
    nat.reverse(NOW, session, bytes, &packet)?;
    Ok(session)
}

/// All four kinds of conversation, twice.
pub fn kinds() -> Vec<(IpVersion, u8)> {
    [IpVersion::V4, IpVersion::V6]
        .into_iter()
        .flat_map(|version| [TCP, UDP, icmp_of(version)].map(|protocol| (version, protocol)))
        .collect()
}
