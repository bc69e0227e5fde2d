//! UDP-Lite, SCTP, GRE and any other protocol through the overlay, both ways, to any worker, also in fragments.
#![allow(clippy::unwrap_used)] // a failed unwrap fails its test

mod common;

use common::*;
use overlay::topology::Service;
use packet::fragment::{Piece, Pieces};
use packet::heap::HeapBuf;
use packet::transport::{GRE, SCTP, UDP_LITE};
use packet::{Addr, PacketBuf, Reason, checksum, ip};
use pipelines::{Burst, PortIndex};

const FAMILIES: [(&str, &str); 2] = [("198.51.100.77", "203.0.113.10"), ("2001:db8:c::77", "2001:db8:a::10")];
const PROTOCOLS: [u8; 4] = [UDP_LITE, SCTP, GRE, 50];

fn topology() -> overlay::topology::Topology {
    let mut topology = common::topology();
    let application = &mut topology.applications[0];
    application.services.extend([
        Service::UdpLite(5000..=5001),
        Service::Sctp(3868..=3868),
        Service::Protocol(GRE),
        Service::Protocol(50),
    ]);
    application.origins.iter_mut().for_each(|origin| origin.port = None);
    topology
}

fn port_of(protocol: u8) -> u16 {
    match protocol {
        UDP_LITE => 5000,
        SCTP => 3868,
        _ => 0,
    }
}

/// A packet in a frame; the checksum of UDP-Lite covers its header and four bytes.
fn other(node: usize, src: (&str, u16), dst: (&str, u16), protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = frame(node, src.0, src.1, dst.0, dst.1, 17, payload);
    let v4 = addr(src.0).is_v4();
    let at = if v4 { 34 } else { 54 };
    match protocol {
        UDP_LITE => {
            bytes[at + 4..at + 8].copy_from_slice(&[0, 12, 0, 0]);
            let pseudo =
                checksum::pseudo_header(addr(src.0), addr(dst.0), UDP_LITE, (bytes.len() - at) as u32);
            let sum = !checksum::sum_onto(pseudo, &bytes[at..at + 12]);
            bytes[at + 6..at + 8].copy_from_slice(&sum.to_be_bytes());
        }
        SCTP => bytes[at + 4..at + 8].copy_from_slice(&[1, 2, 3, 4]),
        _ => bytes[at..at + 8].copy_from_slice(&[0, 0, 8, 0, 9, 9, 9, 9]),
    }
    if v4 {
        bytes[23] = protocol;
        bytes[20] = 0;
        bytes[24..26].fill(0);
        let sum = !checksum::sum(&bytes[14..34]);
        bytes[24..26].copy_from_slice(&sum.to_be_bytes());
    } else {
        bytes[20] = protocol;
    }
    bytes
}

/// Checks what a frame's IP header and UDP-Lite's checksum say; gives its ends.
fn ends(frame: &[u8]) -> ((Addr, u16), (Addr, u16)) {
    let packet = ip::parse(&frame[14..]).unwrap();
    let transport = &frame[14 + packet.transport_at as usize..];
    if packet.protocol == UDP_LITE {
        let pseudo = checksum::pseudo_header(packet.src, packet.dst, UDP_LITE, transport.len() as u32);
        assert_eq!(checksum::sum_onto(pseudo, &transport[..12]), 0xffff);
    }
    ((packet.src, packet.src_port), (packet.dst, packet.dst_port))
}

#[test]
fn requests_and_replies_are_exactly_reversed() {
    for (client, vip) in FAMILIES {
        for protocol in PROTOCOLS {
            let mut lab = Lab::with(&topology(), 1);
            let port = port_of(protocol);
            let client_port = if port == 0 { 0 } else { 4000 };
            for _ in 0..3 {
                let sent =
                    lab.give(EDGE, OUTSIDE, &other(EDGE, (client, 4000), (vip, port), protocol, &[7; 30]));
                let left = lab.run(sent);
                assert_eq!(left.len(), 1, "{protocol}");
                let (external, origin) = ends(&left[0].2);
                assert_eq!(origin.1, port);
                assert_eq!(left[0].2[left[0].2.len() - 30..], [7; 30]);
                if protocol == SCTP {
                    assert_eq!(external.1, 4000);
                }
                let (from, to) = (origin.0.to_string(), external.0.to_string());
                let reply = other(GATEWAY, (&from, origin.1), (&to, external.1), protocol, &[8; 30]);
                let sent = lab.give(GATEWAY, OUTSIDE, &reply);
                let left = lab.run(sent);
                assert_eq!(left.len(), 1, "{protocol}");
                let (from, to) = ends(&left[0].2);
                assert_eq!((from, to), ((addr(vip), port), (addr(client), client_port)));
                assert_eq!(left[0].2[left[0].2.len() - 30..], [8; 30]);
            }
            assert_eq!(lab.nodes[GATEWAY].forwarder.nat().unwrap().others_len(), 1);
            assert_eq!(lab.pool.available(), lab.pool.capacity());
        }
    }
}

#[test]
fn what_is_not_served_does_not_enter() {
    let mut lab = Lab::new();
    for protocol in PROTOCOLS {
        let sent = lab.give(
            EDGE,
            OUTSIDE,
            &other(EDGE, ("198.51.100.77", 4000), ("203.0.113.10", 80), protocol, &[7; 30]),
        );
        assert!(sent.is_empty());
    }
    assert_eq!(lab.dropped(EDGE, Reason::Transport), 4);
    let mut lab = Lab::with(&topology(), 1);
    let sent = lab.give(
        EDGE,
        OUTSIDE,
        &other(EDGE, ("198.51.100.77", 4000), ("203.0.113.10", 80), UDP_LITE, &[7; 30]),
    );
    assert!(sent.is_empty());
    assert_eq!(lab.dropped(EDGE, Reason::UnknownService), 1);
}

#[test]
fn fragments_of_them_pass_in_any_order() {
    for protocol in PROTOCOLS {
        let mut lab = Lab::with(&topology(), 1);
        let whole =
            other(EDGE, ("198.51.100.77", 4000), ("203.0.113.10", port_of(protocol)), protocol, &[7; 300]);
        let write = |piece: Piece| {
            let mut out = whole[..14].to_vec();
            out.resize(14 + piece.len(), 0);
            piece.write(&whole[14..], &mut out[14..]);
            out
        };
        let pieces: Vec<_> = Pieces::of(&whole[14..], 116).unwrap().map(write).collect();
        let mut left = Vec::new();
        for piece in pieces.iter().rev() {
            let sent = lab.give(EDGE, OUTSIDE, piece);
            left.extend(lab.run(sent));
        }
        assert_eq!(left.len(), pieces.len(), "{protocol}");
        assert_eq!(lab.pool.available(), lab.pool.capacity());
    }
}

/// Whichever worker the NIC gives a reply to, it ends at the one that has the session.
#[test]
fn replies_find_their_worker() {
    for workers in 1..4u16 {
        let mut topology = topology();
        topology.nodes[GATEWAY].workers = workers;
        topology.nodes[GATEWAY].nat_pool = vec![common::ip("10.9.0.100")..=common::ip("10.9.0.105")];
        for protocol in PROTOCOLS {
            let mut lab = Lab::with(&topology, 1);
            let nodes = (0..workers).map(|worker| Node_::new(&topology, GATEWAY, worker, workers));
            let mut gateway: Vec<Node_> = nodes.collect();
            let request =
                other(EDGE, ("198.51.100.77", 4000), ("203.0.113.10", port_of(protocol)), protocol, &[7; 30]);
            let copies = lab.give(EDGE, OUTSIDE, &request);
            let mut left = Vec::new();
            for (_, _, copy) in copies {
                for (_, _, copy) in lab.give(copy[4] as usize, UNDERLAY, &copy) {
                    left.extend(give(&mut lab, &mut gateway, 0, UNDERLAY, &copy));
                }
            }
            assert_eq!(left.len(), 1);
            let (external, origin) = ends(&left[0]);
            let (from, to) = (origin.0.to_string(), external.0.to_string());
            for worker in 0..workers as usize {
                let reply = other(GATEWAY, (&from, origin.1), (&to, external.1), protocol, &[8; 30]);
                assert_eq!(
                    give(&mut lab, &mut gateway, worker, OUTSIDE, &reply).len(),
                    2,
                    "copies of the reply"
                );
            }
        }
    }
}

/// Gives a frame to a worker, and what it hands over to the others; returns what leaves.
fn give(lab: &mut Lab, workers: &mut [Node_], worker: usize, port: PortIndex, frame: &[u8]) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    let mut queue = vec![(worker, port, lab.pool.with(frame).unwrap(), false)];
    while let Some((worker, port, buf, handed)) = queue.pop() {
        let mut burst: Burst<HeapBuf> = Burst::new();
        burst.push(buf);
        let Node_ { forwarder, out, .. } = &mut workers[worker];
        match handed {
            true => forwarder.process_handed(lab.now_ns, port, &mut burst, &mut lab.pool, out),
            false => forwarder.process(lab.now_ns, port, &mut burst, &mut lab.pool, out),
        }
        out.tx.iter_mut().for_each(|frames| sent.extend(frames.drain(..).map(|buf| buf.data().to_vec())));
        out.ports = 0;
        for handoff in out.handoffs.drain(..) {
            assert!(!handed, "handed over twice");
            queue.push((handoff.worker as usize, handoff.port, handoff.buf, true));
        }
    }
    sent
}
