//! Ethernet frames, ARP and neighbour discovery as hosts and switches see them.

use super::packets::{Body, Datagram};
use packet::Mac;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Shortest frame without its check sequence, bytes.
const LEN_MIN: usize = 60;
const TYPE_VLAN: u16 = 0x8100;
const TYPE_ARP: u16 = 0x0806;

/// An untagged frame.
pub(super) fn ethernet(dst: Mac, src: Mac, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(LEN_MIN.max(14 + payload.len()));
    frame.extend(dst.0);
    frame.extend(src.0);
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame.resize(frame.len().max(LEN_MIN), 0);
    frame
}

/// A frame for an IP packet.
pub(super) fn ip(dst: Mac, src: Mac, packet: &[u8]) -> Vec<u8> {
    ethernet(dst, src, if packet[0] >> 4 == 4 { 0x0800 } else { 0x86dd }, packet)
}

pub(super) fn destination(frame: &[u8]) -> Mac {
    Mac(frame[..6].try_into().unwrap())
}

pub(super) fn source(frame: &[u8]) -> Mac {
    Mac(frame[6..12].try_into().unwrap())
}

/// The VLAN of a frame's tag, if it has one.
pub(super) fn vlan(frame: &[u8]) -> Option<u16> {
    let tagged = frame.len() >= 18 && frame[12..14] == TYPE_VLAN.to_be_bytes();
    tagged.then(|| u16::from_be_bytes([frame[14], frame[15]]) & 0xfff)
}

/// The frame without its tag.
pub(super) fn untagged(mut frame: Vec<u8>) -> Vec<u8> {
    if vlan(&frame).is_some() {
        frame.drain(12..16);
    }
    frame
}

/// The frame with a tag.
pub(super) fn tagged(mut frame: Vec<u8>, vlan: u16) -> Vec<u8> {
    let [high, low] = vlan.to_be_bytes();
    frame.splice(12..12, [0x81, 0, high, low]);
    frame
}

/// EtherType and payload of an untagged frame.
pub(super) fn payload(frame: &[u8]) -> (u16, &[u8]) {
    (u16::from_be_bytes([frame[12], frame[13]]), &frame[14..])
}

/// Bytes of the IP packet in a frame, tagged or not; 0 where it holds none.
pub(super) fn ip_len(frame: &[u8]) -> usize {
    let at = if vlan(frame).is_some() { 18 } else { 14 };
    match (&frame[at - 2..at], frame.get(at..at + 6)) {
        ([0x08, 0x00], Some(ip)) => u16::from_be_bytes([ip[2], ip[3]]) as usize,
        ([0x86, 0xdd], Some(ip)) => 40 + u16::from_be_bytes([ip[4], ip[5]]) as usize,
        _ => 0,
    }
}

/// An ARP message.
#[derive(Clone, Copy, Debug)]
pub struct ArpMessage {
    /// Whether it asks.
    pub asks: bool,
    /// Who sends it.
    pub sender: (Mac, Ipv4Addr),
    /// Whom it asks for, or answers.
    pub target: (Mac, Ipv4Addr),
}

impl ArpMessage {
    /// As a frame to someone.
    pub fn frame(&self, to: Mac) -> Vec<u8> {
        let mut bytes = vec![0, 1, 8, 0, 6, 4, 0, if self.asks { 1 } else { 2 }];
        for (mac, ip) in [self.sender, self.target] {
            bytes.extend(mac.0);
            bytes.extend(ip.octets());
        }
        ethernet(to, self.sender.0, TYPE_ARP, &bytes)
    }

    /// Out of a frame's payload, if it is one.
    pub fn read(ether_type: u16, bytes: &[u8]) -> Option<ArpMessage> {
        if ether_type != TYPE_ARP || bytes.len() < 28 {
            return None;
        }
        let station = |at: usize| {
            let mac = Mac(bytes[at..at + 6].try_into().unwrap());
            (mac, Ipv4Addr::from(<[u8; 4]>::try_from(&bytes[at + 6..at + 10]).unwrap()))
        };
        Some(ArpMessage { asks: bytes[7] == 1, sender: station(8), target: station(18) })
    }
}

/// A neighbour solicitation or advertisement (RFC 4861), with the sender's Ethernet address as its option.
#[derive(Clone, Copy, Debug)]
pub struct Discovery {
    /// Whether it asks.
    pub asks: bool,
    /// Who sends it.
    pub sender: (Mac, Ipv6Addr),
    /// Whom it is sent to.
    pub to: Ipv6Addr,
    /// Whose address it is about.
    pub target: Ipv6Addr,
}

impl Discovery {
    /// As a frame to someone.
    pub fn frame(&self, to: Mac) -> Vec<u8> {
        let mut rest = self.target.octets().to_vec();
        rest.extend([if self.asks { 1 } else { 2 }, 1]);
        rest.extend(self.sender.0.0);
        let datagram = Datagram {
            src: self.sender.1.into(),
            dst: self.to.into(),
            ttl: 255,
            class: 0,
            label: 0,
            dont_fragment: true,
            body: Body::Error {
                kind: if self.asks { 135 } else { 136 },
                code: 0,
                rest: if self.asks { 0 } else { 0x6000_0000 },
                quote: rest,
            },
        };
        ip(to, self.sender.0, &datagram.encode())
    }

    /// Out of a packet, if it is one.
    pub fn read(datagram: &Datagram) -> Option<Discovery> {
        let (IpAddr::V6(src), IpAddr::V6(to)) = (datagram.src, datagram.dst) else { return None };
        match &datagram.body {
            Body::Error { kind: kind @ (135 | 136), quote, .. } if quote.len() >= 24 => Some(Discovery {
                asks: *kind == 135,
                sender: (Mac(quote[18..24].try_into().unwrap()), src),
                to,
                target: Ipv6Addr::from(<[u8; 16]>::try_from(&quote[..16]).unwrap()),
            }),
            _ => None,
        }
    }
}

/// The group that a solicitation for an address is sent to, and its Ethernet address.
pub(super) fn solicited_node(target: Ipv6Addr) -> (Ipv6Addr, Mac) {
    let octets = target.octets();
    let mut group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0];
    group[13..].copy_from_slice(&octets[13..]);
    let group = Ipv6Addr::from(group);
    (group, Mac::for_ipv6_multicast(group))
}
