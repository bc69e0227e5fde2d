//! Frames as the three roles receive them: a client's packet to the virtual IP, and the same packet inside the
//! overlay (`docs/protocol.md`).
//!
//! The overlay's headers are written here by hand, apart from the codec that is measured.

use etherparse::PacketBuilder;
use std::net::Ipv4Addr;

/// The station that sends to the measured port.
pub const SENDER_MAC: [u8; 6] = [0x02, 0, 0, 0, 0, 0x01];
/// The measured port: the address that DPDK's `net_pcap0` reports.
pub const PORT_MAC: [u8; 6] = [0x02, 0x70, 0x63, 0x61, 0x70, 0x00];
/// The virtual IP of the measured application.
pub const VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// Its UDP port.
pub const SERVICE_PORT: u16 = 443;
/// Flows per client address.
pub const FLOWS_PER_CLIENT: u32 = 16;
/// The frame check sequence, which counts in a frame's size on the wire but not in memory.
const FCS_LEN: usize = 4;
/// What the overlay puts in front of the client's IP packet, behind Ethernet, over IPv4.
pub const OVERLAY_LEN: usize = 20 + 8 + GENEVE_LEN;
const GENEVE_LEN: usize = 48;
const ETHERNET_LEN: usize = 14;

/// One client flow: an address and a port that follow from a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The client's address.
    pub client: Ipv4Addr,
    /// The client's UDP port.
    pub port: u16,
}

impl Flow {
    /// The flow of a number: distinct below 2^26.
    pub fn nth(number: u32) -> Flow {
        let client = Ipv4Addr::from(0x0a40_0000 + number / FLOWS_PER_CLIENT);
        // A stride without a common factor with the port range, so that ports of one client lie apart.
        let port = 1_024 + (number % FLOWS_PER_CLIENT) as u16 * 3_989;
        Flow { client, port }
    }
}

/// A client's UDP frame to the virtual IP. `size` is the frame's length on the wire, check sequence included
/// (64 or more); the bytes are those in memory, 4 fewer.
pub fn client_frame(flow: Flow, size: usize) -> Vec<u8> {
    udp_frame((flow.client, flow.port), (VIP, SERVICE_PORT), size - FCS_LEN)
}

/// A UDP frame of `len` bytes in memory, checksums right.
pub fn udp_frame(source: (Ipv4Addr, u16), destination: (Ipv4Addr, u16), len: usize) -> Vec<u8> {
    let headers = ETHERNET_LEN + 20 + 8;
    let payload = vec![0x5a; len.saturating_sub(headers)];
    let mut frame = Vec::with_capacity(len);
    PacketBuilder::ethernet2(SENDER_MAC, PORT_MAC)
        .ipv4(source.0.octets(), destination.0.octets(), 64)
        .udp(source.1, destination.1)
        .write(&mut frame, &payload)
        .unwrap_or_default();
    frame
}

/// Bytes of a trace option with room for one hop record.
pub const TRACE_LEN: usize = 4 + 12 + 16;

/// An overlay frame as it is when it is sampled: with room for one hop record.
pub fn with_trace(frame: &[u8]) -> Vec<u8> {
    let (head, inner) = frame.split_at(ETHERNET_LEN + OVERLAY_LEN);
    let mut option = vec![0; TRACE_LEN];
    option[..5].copy_from_slice(&[0xff, 0x50, 0x03, (TRACE_LEN / 4 - 1) as u8, 0x10]);
    let mut sampled = [head, &option, inner].concat();
    sampled[ETHERNET_LEN + 28] += (TRACE_LEN / 4) as u8;
    let len = sampled.len() - ETHERNET_LEN;
    sampled[ETHERNET_LEN + 2..ETHERNET_LEN + 4].copy_from_slice(&(len as u16).to_be_bytes());
    sampled[ETHERNET_LEN + 24..ETHERNET_LEN + 26].copy_from_slice(&(len as u16 - 20).to_be_bytes());
    sampled[ETHERNET_LEN + 10..ETHERNET_LEN + 12].fill(0);
    let sum = !packet::checksum::sum(&sampled[ETHERNET_LEN..ETHERNET_LEN + 20]);
    sampled[ETHERNET_LEN + 10..ETHERNET_LEN + 12].copy_from_slice(&sum.to_be_bytes());
    sampled
}

/// A neighbour's ARP request (RFC 826) to a node; the neighbour's Ethernet address ends with `station`.
pub fn arp_request(station: u8, neighbor: Ipv4Addr, node: Ipv4Addr) -> Vec<u8> {
    let mac = [0x02, 0, 0, 0, 1, station];
    let mut frame = [[0xff; 6], mac].concat();
    // Ethernet type ARP; Ethernet and IPv4, 6 and 4 bytes; request.
    frame.extend([0x08, 0x06, 0, 1, 0x08, 0x00, 6, 4, 0, 1]);
    frame.extend(mac);
    frame.extend(neighbor.octets());
    frame.extend([0; 6]);
    frame.extend(node.octets());
    frame.resize(60, 0);
    frame
}

/// The overlay's fields that differ between frames.
#[derive(Clone, Copy, Debug)]
pub struct Overlay {
    /// Outer source and destination.
    pub addresses: (Ipv4Addr, Ipv4Addr),
    /// Source and destination node of the route option.
    pub nodes: (u16, u16),
    /// The path that this copy takes.
    pub path: u16,
    /// Hops left.
    pub hop_limit: u8,
    /// Sending worker and bucket.
    pub stream: (u8, u8),
    /// Sequence in the stream.
    pub sequence: u64,
}

/// Where the sequence stands in an overlay frame over IPv4: the last 8 bytes of the stream option.
pub const SEQUENCE_OFFSET: usize = ETHERNET_LEN + OVERLAY_LEN - 8;
/// Where the path id stands.
pub const PATH_OFFSET: usize = ETHERNET_LEN + OVERLAY_LEN - 14;

/// The overlay frame that carries `inner`'s IP packet (an Ethernet frame's bytes in memory).
pub fn overlay_frame(overlay: Overlay, inner: &[u8]) -> Vec<u8> {
    let packet = &inner[ETHERNET_LEN..];
    let mut payload = Vec::with_capacity(GENEVE_LEN + packet.len());
    // Version 0, 10 words of options; critical options present; IPv4 inside; overlay 1.
    payload.extend([10, 0x40, 0x08, 0x00, 0, 0, 1, 0]);
    // The route option: version 1, protocol `replicate`.
    payload.extend([0xff, 0x50, 0x81, 4, 0x10, 2, overlay.hop_limit, 0]);
    payload.extend(overlay.nodes.0.to_be_bytes());
    payload.extend(overlay.nodes.1.to_be_bytes());
    payload.extend([0; 8]);
    // The stream option.
    payload.extend([0xff, 0x50, 0x82, 4, overlay.stream.0, overlay.stream.1]);
    payload.extend(overlay.path.to_be_bytes());
    payload.extend([0; 4]);
    payload.extend(overlay.sequence.to_be_bytes());
    payload.extend(packet);

    let mut frame = Vec::new();
    PacketBuilder::ethernet2(SENDER_MAC, PORT_MAC)
        .ipv4(overlay.addresses.0.octets(), overlay.addresses.1.octets(), 64)
        .udp(49_152 + u16::from(overlay.stream.1), 6_081)
        .write(&mut frame, &payload)
        .unwrap_or_default();
    // The overlay sends no UDP checksum over IPv4.
    frame[ETHERNET_LEN + 26..ETHERNET_LEN + 28].fill(0);
    frame
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn flows_are_distinct() {
        let flows: HashSet<_> = (0..64_512).map(Flow::nth).map(|flow| (flow.client, flow.port)).collect();
        assert_eq!(flows.len(), 64_512);
    }

    #[test]
    fn sizes_are_those_on_the_wire() {
        for size in [64, 512, 1_400] {
            let frame = client_frame(Flow::nth(5), size);
            assert_eq!(frame.len(), size - 4);
            let parsed = etherparse::SlicedPacket::from_ethernet(&frame).unwrap();
            assert!(matches!(parsed.transport, Some(etherparse::TransportSlice::Udp(_))));
        }
    }

    #[test]
    fn the_overlay_frame_carries_its_fields() {
        let inner = client_frame(Flow::nth(5), 64);
        let overlay = Overlay {
            addresses: (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)),
            nodes: (1, 4),
            path: 7,
            hop_limit: 8,
            stream: (0, 3),
            sequence: 0x0102_0304_0506_0708,
        };
        let frame = overlay_frame(overlay, &inner);
        assert_eq!(frame.len(), inner.len() + OVERLAY_LEN);
        assert_eq!(frame[SEQUENCE_OFFSET..SEQUENCE_OFFSET + 8], overlay.sequence.to_be_bytes());
        assert_eq!(frame[PATH_OFFSET..PATH_OFFSET + 2], [0, 7]);
        assert_eq!(frame[ETHERNET_LEN + OVERLAY_LEN..], inner[ETHERNET_LEN..]);
    }
}
