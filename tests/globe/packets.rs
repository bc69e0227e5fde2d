//! What clients send: one UDP packet after the other that says whose it is and when it was sent, in its last bytes.

use super::layout::{Overlay, SERVICE_PORT, client_net, vip};
use crate::sim::{Body, Datagram};
use overlay::topology::NodeId;
use packet::Mac;

/// Bytes of a client's IP packet.
pub const INNER_LEN: usize = 500;
/// Bytes of an Ethernet header.
pub const ETHERNET_LEN: usize = 14;
const HEADERS_LEN: usize = 20 + 8;
/// Contender, flow, number, time.
const MARK_LEN: usize = 16;
/// Where GENEVE starts in a frame between nodes; then the number of the routing protocol and that of the source.
const GENEVE_AT: usize = ETHERNET_LEN + 20 + 8;
const PROTOCOL_AT: usize = GENEVE_AT + 13;
const SOURCE_AT: usize = GENEVE_AT + 16;

/// What a packet says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Which protocol carries it, as an index of contenders.
    pub contender: usize,
    /// Of which flow it is.
    pub flow: usize,
    /// Its number.
    pub number: u32,
    /// When it was sent, ns.
    pub sent_ns: u64,
}

impl Mark {
    /// What stands at the end of a packet.
    pub fn read(packet: &[u8]) -> Option<Mark> {
        let mark = packet.last_chunk::<MARK_LEN>()?;
        let [contender, flow, 0xb0, 0x47, rest @ ..] = *mark else { return None };
        let (number, sent_ns) = rest.split_first_chunk::<4>()?;
        Some(Mark {
            contender: contender.into(),
            flow: flow.into(),
            number: u32::from_be_bytes(*number),
            sent_ns: u64::from_be_bytes(sent_ns.try_into().ok()?),
        })
    }

    fn write(self, packet: &mut [u8]) {
        let at = packet.len() - MARK_LEN;
        packet[at..at + 4].copy_from_slice(&[self.contender as u8, self.flow as u8, 0xb0, 0x47]);
        packet[at + 4..at + 8].copy_from_slice(&self.number.to_be_bytes());
        packet[at + 8..].copy_from_slice(&self.sent_ns.to_be_bytes());
    }
}

/// Frames of a flow's client by a protocol, all but their marks.
pub fn template(overlay: &Overlay, flow: usize, contender: usize, client: u8) -> Vec<u8> {
    let datagram = Datagram {
        src: client_net(flow, 10 + client),
        dst: vip(flow, contender),
        ttl: 64,
        class: 0,
        label: 0,
        dont_fragment: true,
        body: Body::Udp {
            ports: (40_000 + u16::from(client), SERVICE_PORT),
            checked: false,
            payload: vec![0; INNER_LEN - HEADERS_LEN],
        },
    };
    let edge = overlay.flows[flow].edge;
    let to = overlay.interfaces(edge)[1].mac;
    let mut frame = Vec::with_capacity(ETHERNET_LEN + INNER_LEN);
    frame.extend(to.0);
    frame.extend(Mac([2, 0, 0, 3, 0, 1]).0);
    frame.extend([8, 0]);
    frame.extend(datagram.encode());
    frame
}

/// The frame of a template with a mark.
pub fn marked(template: &[u8], mark: Mark) -> Vec<u8> {
    let mut frame = template.to_vec();
    mark.write(&mut frame);
    frame
}

/// The routing protocol's number and the source of a frame between nodes.
pub fn route_of(frame: &[u8]) -> Option<(u8, NodeId)> {
    let source = frame.get(SOURCE_AT..SOURCE_AT + 2)?;
    Some((*frame.get(PROTOCOL_AT)?, NodeId(u16::from_be_bytes([source[0], source[1]]))))
}
