//! UDP packets, read and written: those between nodes, and those inside probes.

use overlay::topology::IpVersion;
use packet::ip::{self, Fragment, Ipv4};
use packet::transport::UDP;
use packet::{Addr, Reason, checksum, ethernet};

use crate::PortIndex;
use crate::tables::{Egress, Tables};

const UDP_LEN: usize = 8;

/// A UDP packet.
pub(crate) struct Udp<'a> {
    pub(crate) packet: ip::Packet,
    pub(crate) payload: &'a [u8],
    /// Header and payload.
    datagram: &'a [u8],
}

impl<'a> Udp<'a> {
    /// Out of an Ethernet frame.
    pub(crate) fn of_frame(bytes: &'a [u8]) -> Result<Udp<'a>, Reason> {
        let link = ethernet::parse(bytes)?;
        Udp::of_packet(bytes.get(link.payload_at..).ok_or(Reason::EthernetTruncated)?)
    }

    /// Out of an IP packet.
    pub(crate) fn of_packet(bytes: &'a [u8]) -> Result<Udp<'a>, Reason> {
        let packet = ip::parse(bytes)?;
        if packet.protocol != UDP || packet.fragment != Fragment::No {
            return Err(Reason::SlowPath);
        }
        let transport = bytes.get(packet.transport_at.into()..packet.len.into());
        let transport = transport.ok_or(Reason::TransportTruncated)?;
        let len = transport.get(4..6).map_or(0, |len| u16::from_be_bytes([len[0], len[1]]));
        let datagram = transport.get(..len.into()).ok_or(Reason::TransportTruncated)?;
        let payload = datagram.get(UDP_LEN..).ok_or(Reason::TransportTruncated)?;
        Ok(Udp { packet, payload, datagram })
    }

    /// Whether its checksum is right; that of IPv4 may be left out.
    pub(crate) fn is_intact(&self) -> bool {
        let left_out = self.datagram.get(6..8) == Some(&[0, 0]);
        let start =
            checksum::pseudo_header(self.packet.src, self.packet.dst, UDP, self.datagram.len() as u32);
        left_out && self.packet.version == IpVersion::V4 || checksum::sum_onto(start, self.datagram) == 0xffff
    }
}

/// What stands in a UDP packet's headers.
pub(crate) struct Headers {
    pub(crate) from: Addr,
    pub(crate) to: Addr,
    /// Source and destination.
    pub(crate) ports: (u16, u16),
    /// DS field and ECN.
    pub(crate) class: u8,
    pub(crate) ttl: u8,
}

impl Headers {
    /// The IP packet that carries this payload, padded with zeros to `len` bytes of payload.
    pub(crate) fn packet(&self, payload: &[u8], len: usize) -> Vec<u8> {
        let udp_len = UDP_LEN + payload.len().max(len);
        let mut bytes = Vec::with_capacity(40 + udp_len);
        if self.from.is_v4() {
            bytes.extend([0x45, self.class]);
            bytes.extend(((Ipv4::LEN + udp_len) as u16).to_be_bytes());
            // An atomic packet needs no identification (RFC 6864).
            bytes.extend([0, 0, 0x40, 0, self.ttl, UDP, 0, 0]);
            bytes.extend(self.from.v4_bytes());
            bytes.extend(self.to.v4_bytes());
            let sum = !checksum::sum(&bytes);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        } else {
            bytes.extend([0x60 | self.class >> 4, self.class << 4, 0, 0]);
            bytes.extend((udp_len as u16).to_be_bytes());
            bytes.extend([UDP, self.ttl]);
            bytes.extend(self.from.v6_bytes());
            bytes.extend(self.to.v6_bytes());
        }
        let at = bytes.len();
        bytes.extend(self.ports.0.to_be_bytes());
        bytes.extend(self.ports.1.to_be_bytes());
        bytes.extend((udp_len as u16).to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(payload);
        bytes.resize(at + udp_len, 0);
        let start = checksum::pseudo_header(self.from, self.to, UDP, udp_len as u32);
        // A sum of zero is sent as all ones (RFC 768).
        let sum = match !checksum::sum_onto(start, &bytes[at..]) {
            0 => 0xffff,
            sum => sum,
        };
        bytes[at + 6..at + 8].copy_from_slice(&sum.to_be_bytes());
        bytes
    }
}

/// The frame that carries an IP packet to its next hop; `None` until that one's Ethernet address is known.
pub(crate) fn ethernet(tables: &Tables, egress: Egress, packet: &[u8]) -> Option<(PortIndex, Vec<u8>)> {
    let port = egress.hop.port;
    let own = tables.ports.get(port.0 as usize)?;
    let mut frame = Vec::with_capacity(18 + packet.len());
    frame.extend(egress.mac?.0);
    frame.extend(own.mac.0);
    if own.vlan != 0 {
        frame.extend(ethernet::TYPE_VLAN.to_be_bytes());
        frame.extend(own.vlan.to_be_bytes());
    }
    let is_v4 = packet.first().is_some_and(|byte| byte >> 4 == 4);
    frame.extend(if is_v4 { ethernet::TYPE_IPV4 } else { ethernet::TYPE_IPV6 }.to_be_bytes());
    frame.extend(packet);
    Some((port, frame))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    #[test]
    fn what_is_written_is_read_and_intact() {
        for (from, to) in [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2")] {
            let [from, to] = [from, to].map(|text| Addr::from(text.parse::<IpAddr>().unwrap()));
            let headers = Headers { from, to, ports: (50_000, 4784), class: 0xc0, ttl: 255 };
            let mut bytes = headers.packet(b"proa", 9);
            let read = Udp::of_packet(&bytes).unwrap();
            assert!(read.is_intact());
            assert_eq!((read.packet.src, read.packet.dst, read.packet.ttl), (from, to, 255));
            assert_eq!((read.packet.src_port, read.packet.dst_port), (50_000, 4784));
            assert_eq!(read.payload, b"proa\0\0\0\0\0");
            assert!(etherparse::SlicedPacket::from_ip(&bytes).unwrap().transport.is_some());
            *bytes.last_mut().unwrap() ^= 1;
            assert!(!Udp::of_packet(&bytes).unwrap().is_intact());
        }
    }
}
