//! Whoever forges a source must not have a node send more to it than was sent to the node: bytes out for bytes in, port by
//! port and protocol by protocol, through the data path and the slow path together.
#![allow(clippy::unwrap_used)] // a failed unwrap fails its test

mod common;

use common::*;
use packet::{Reason, checksum};
use proa_pipelines as pipelines;
use proa_pipelines::slow::{self, SlowPath};

const V4: [&str; 3] = ["203.0.113.10", "198.51.100.1", "192.0.2.1"];
const V6: [&str; 3] = ["2001:db8:a::10", "2001:db8:c::1", "2001:db8:1::1"];
/// BFD, PLPMTUD, keys, GENEVE, a service of either protocol, a closed one.
const PORTS: [u16; 7] = [4784, 4794, 4795, 6081, 53, 80, 1];

/// Bytes of a frame's IP packet, or of what else it holds.
fn ip_len(frame: &[u8]) -> usize {
    packet::ip::parse(&frame[14..]).map_or(frame.len() - 14, |packet| packet.len.into())
}

struct Rig {
    lab: Lab,
    slow: SlowPath,
    received: usize,
    sent: usize,
}

impl Rig {
    fn new(lab: Lab) -> Rig {
        let port = |interface: &pipelines::tables::Interface| slow::Port {
            mac: interface.mac,
            vlan: None,
            addresses: interface.addresses.clone(),
        };
        let config = slow::Config {
            ports: interfaces(EDGE).iter().map(port).collect(),
            answered: vec![addr(V4[0]), addr(V6[0])],
            next_hops: Vec::new(),
            neighbors_max: 64,
            seed: 1,
        };
        let mut slow = SlowPath::new(lab.now_ns, &config);
        // Its own announcements answer nobody.
        slow.tick(lab.now_ns + 60 * SECOND);
        while slow.poll_frame().is_some() {}
        Rig { lab, slow, received: 0, sent: 0 }
    }

    /// Gives the edge a frame from outside and counts what comes back there, in bytes of IP: Ethernet pads all alike.
    fn give(&mut self, frame: &[u8]) {
        self.lab.now_ns += 5_000_000;
        self.received += ip_len(frame);
        let back = self.lab.give(EDGE, OUTSIDE, frame).into_iter().filter(|(_, port, _)| *port == OUTSIDE);
        self.sent += back.map(|(_, _, frame)| ip_len(&frame)).sum::<usize>();
        let punts: Vec<_> = self.lab.nodes[EDGE].out.punts.drain(..).collect();
        for punt in punts {
            let now_ns = 2000 * SECOND + self.lab.now_ns;
            self.slow.handle(now_ns, punt.port, packet::PacketBuf::data(&punt.buf));
        }
        while let Some((port, frame)) = self.slow.poll_frame() {
            self.sent += if port == OUTSIDE { ip_len(&frame) } else { 0 };
        }
        assert!(self.sent <= self.received, "{} bytes for {}", self.sent, self.received);
    }
}

/// The same packet with this TTL or hop limit.
fn with_ttl(mut frame: Vec<u8>, ttl: u8) -> Vec<u8> {
    if frame[14] >> 4 == 4 {
        frame[22] = ttl;
        frame[24..26].fill(0);
        let sum = !checksum::sum(&frame[14..34]);
        frame[24..26].copy_from_slice(&sum.to_be_bytes());
    } else {
        frame[21] = ttl;
    }
    frame
}

#[test]
fn nothing_that_anybody_sends_brings_more_bytes_than_it_has() {
    let mut answered = 0;
    for v6 in [false, true] {
        let targets: &[&str] = if v6 { &V6 } else { &V4 };
        for target in targets {
            for protocol in [17, 6, if v6 { 58 } else { 1 }] {
                let ports: &[u16] = if matches!(protocol, 6 | 17) { &PORTS } else { &[8, 0, 128, 1] };
                for port in ports {
                    for (ttl, payload) in [(64, 100), (1, 0), (1, 12), (1, 600)] {
                        // Each kind alone: another may not pay for it.
                        let mut rig = Rig::new(Lab::new());
                        for host in 0..8u32 {
                            let source = match v6 {
                                true => format!("2001:db8:ffff::{host:x}"),
                                false => format!("198.18.{host}.7"),
                            };
                            let sent =
                                frame(EDGE, &source, 40_000, target, *port, protocol, &vec![7; payload]);
                            rig.give(&with_ttl(sent.clone(), ttl));
                            // The same again from one source, and cut: a first fragment.
                            rig.give(&with_ttl(
                                frame(EDGE, &source, 40_000, target, *port, protocol, &vec![7; payload]),
                                ttl,
                            ));
                            if !v6 {
                                let mut first = with_ttl(sent, ttl);
                                first[20] |= 0x20;
                                first[20] &= !0x40;
                                rig.give(&with_ttl(first, ttl));
                            }
                        }
                        answered += usize::from(rig.sent > 0);
                    }
                }
            }
        }
    }
    // Errors and echo replies are among it, or this would show nothing.
    assert!(answered >= 30, "{answered}");
    assert!(packet::ip::parse(&frame(EDGE, "198.18.0.1", 1, V4[0], 53, 17, b"")[14..]).is_ok());
}

#[test]
fn no_packet_is_copied_more_often_than_the_configuration_says() {
    // An overlay that is wired into a circle: the origin is the virtual IP itself, so that what leaves the gateway comes to
    // the edge again. It is copied again, and ends at the gateway, whose own address it comes from by now.
    let mut looped = topology();
    let copies = u64::from(looped.applications[0].copies);
    let vip = "10.9.0.2";
    looped.applications[0].vips[0].address = ip(vip);
    looped.applications[0].origins = vec![overlay::topology::Origin { address: ip(vip), port: Some(80) }];
    let mut lab = Lab::new();
    for node in [EDGE, GATEWAY] {
        lab.nodes[node].forwarder.swap_tables(tables(&looped, node, None).into());
    }
    let mut given = 1;
    let mut queue = std::collections::VecDeque::from([frame(EDGE, "198.51.100.77", 7, vip, 80, 6, b"x")]);
    while let Some(next) = queue.pop_front() {
        let sent = lab.give(EDGE, OUTSIDE, &next);
        assert!(sent.len() as u64 <= copies);
        for out in lab.run(sent).into_iter().filter(|(node, port, _)| (*node, *port) == (GATEWAY, OUTSIDE)) {
            given += 1;
            queue.push_back([&mac(EDGE, OUTSIDE).0[..], &out.2[6..]].concat());
        }
        assert!(given <= 64, "it goes round for ever");
    }
    assert_eq!((given, lab.dropped(GATEWAY, Reason::IpAddress)), (2, 1));
    let counters = |node: usize| &lab.nodes[node].counters;
    let passed: u64 = counters(GATEWAY).paths.iter().map(|path| path.passed.get()).sum();
    let discarded: u64 = counters(GATEWAY).paths.iter().map(|path| path.discarded.get()).sum();
    assert_eq!((passed, passed + discarded), (given, copies * given));
}
