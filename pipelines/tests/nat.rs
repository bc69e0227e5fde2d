//! The gateway's translation as clients and origins meet it: who may send to a client, and who is told what.

mod common;

use common::*;
use overlay::topology::{Application, Filtering, NodeId, Origin, Service, Topology, Translation, Vip};
use packet::ip::Packet;
use packet::{Addr, BufPool, PacketBuf, Reason};

const CLIENT: &str = "198.51.100.77";
const VIP: &str = "203.0.113.10";
/// The other application's.
const OTHER_VIP: &str = "203.0.113.11";
const OTHER_ORIGIN: &str = "10.9.0.3";

/// The usual application with one origin, and another.
fn two_applications(translation: Translation) -> Topology {
    let mut topology = topology();
    let web = &mut topology.applications[0];
    web.origins.retain(|origin| origin.address != ip(OTHER_ORIGIN));
    web.translation = translation;
    let other = Application {
        name: "other".into(),
        vips: vec![Vip { address: ip(OTHER_VIP), node: NodeId(1) }],
        services: vec![Service::Tcp(8000..=8010), Service::Udp(8000..=8010)],
        origins: vec![Origin { address: ip(OTHER_ORIGIN), port: None }],
        ..web.clone()
    };
    topology.applications.push(other);
    topology
}

/// Sends from the client through the overlay; returns what its origin gets.
fn send(lab: &mut Lab, port: u16, vip: &str, vip_port: u16, protocol: u8) -> Option<Packet> {
    let request = frame(EDGE, CLIENT, port, vip, vip_port, protocol, b"out");
    let copies = lab.give(EDGE, OUTSIDE, &request);
    let left = lab.run(copies);
    left.first().filter(|sent| sent.0 == GATEWAY).map(|sent| read(&sent.2))
}

/// With this much behind its headers a packet pays for the ICMP error that it causes, as a SYN with its options does.
const ROOM: &[u8] = &[0; 20];

/// Sends from an origin to an external address and port; returns what comes out of the overlay, and where.
fn back(lab: &mut Lab, from: (&str, u16), to: (Addr, u16), protocol: u8) -> Vec<Sent> {
    let packet = frame(GATEWAY, from.0, from.1, &to.0.to_string(), to.1, protocol, ROOM);
    let copies = lab.give(GATEWAY, OUTSIDE, &packet);
    lab.run(copies)
}

/// What the gateway does without a packet.
fn catch_up(lab: &mut Lab) -> Vec<Vec<u8>> {
    let Lab { nodes, pool, now_ns } = lab;
    let node = &mut nodes[GATEWAY];
    if node.forwarder.is_due(*now_ns) {
        node.forwarder.catch_up(*now_ns, pool, &mut node.out);
    }
    let mut frames = Vec::new();
    for buf in node.out.tx.iter_mut().flat_map(|queue| queue.drain(..)) {
        frames.push(buf.data().to_vec());
        pool.free(buf);
    }
    node.out.ports = 0;
    frames
}

/// The type and code of an ICMP error.
fn error(frame: &[u8]) -> (u8, u8) {
    let packet = read(frame);
    let at = 14 + packet.transport_at as usize;
    (frame[at], frame[at + 1])
}

#[test]
fn rfc4787_req8_rfc5382_req3_an_origin_that_a_vip_stands_for_reaches_a_client_it_was_not_asked_by() {
    for protocol in [6, 17] {
        let mut lab = Lab::with(&two_applications(Translation::default()), 1);
        let (port, from) = if protocol == 6 { (80, 40000) } else { (53, 40001) };
        let sent = send(&mut lab, from, VIP, port, protocol).unwrap();
        let external = (sent.src, sent.src_port);
        let left = back(&mut lab, (OTHER_ORIGIN, 8003), external, protocol);
        let (node, _, delivered) = &left[0];
        let at_client = read(delivered);
        assert_eq!((*node, at_client.src, at_client.src_port), (EDGE, addr(OTHER_VIP), 8003));
        assert_eq!((at_client.dst, at_client.dst_port), (addr(CLIENT), from));
        // The client's answer leaves by the same external port.
        let answer = send(&mut lab, from, OTHER_VIP, 8003, protocol).unwrap();
        assert_eq!((answer.src, answer.src_port), external);
        assert_eq!((answer.dst, answer.dst_port), (addr(OTHER_ORIGIN), 8003));
        // What no VIP stands for could not be answered.
        assert!(back(&mut lab, (OTHER_ORIGIN, 9000), external, 17).is_empty());
        if protocol == 17 {
            assert_eq!(lab.dropped(GATEWAY, Reason::NatNoVip), 1);
        }
    }
}

#[test]
fn rfc4787_req8a_filters_are_by_application_and_protocol() {
    let translation = Translation { udp: Filtering::AddressDependent, ..Translation::default() };
    let strict = Translation { udp: Filtering::AddressAndPortDependent, ..Translation::default() };
    for (translation, same_address) in [(translation, true), (strict, false)] {
        let mut lab = Lab::with(&two_applications(translation), 1);
        let udp = send(&mut lab, 40001, VIP, 53, 17).unwrap();
        let external = (udp.src, udp.src_port);
        assert!(back(&mut lab, (OTHER_ORIGIN, 8003), external, 17).is_empty());
        assert_eq!(lab.dropped(GATEWAY, Reason::NatWrongPeer), 1);
        // Once the client has sent to one port of the other origin, the filter decides about the next.
        send(&mut lab, 40001, OTHER_VIP, 8000, 17).unwrap();
        assert_eq!(back(&mut lab, (OTHER_ORIGIN, 8000), external, 17).len(), 1);
        assert_eq!(back(&mut lab, (OTHER_ORIGIN, 8003), external, 17).len(), same_address as usize);
        // TCP is as open as before.
        let tcp = send(&mut lab, 40000, VIP, 80, 6).unwrap();
        assert_eq!(back(&mut lab, (OTHER_ORIGIN, 8003), (tcp.src, tcp.src_port), 6).len(), 1);
    }
}

#[test]
fn another_origin_of_the_same_vip_does_not_get_into_a_session() {
    let mut topology = topology();
    topology.applications[0].services = vec![Service::Udp(53..=53)];
    let mut lab = Lab::with(&topology, 1);
    let sent = send(&mut lab, 40001, VIP, 53, 17).unwrap();
    let other = if sent.dst == addr("10.9.0.2") { "10.9.0.3" } else { "10.9.0.2" };
    assert!(back(&mut lab, (other, 8080), (sent.src, sent.src_port), 17).is_empty());
    assert_eq!(lab.dropped(GATEWAY, Reason::NatWrongPeer), 1);
}

#[test]
fn rfc5382_req4_an_unsolicited_syn_is_answered_after_six_seconds_at_the_earliest() {
    let strict = Translation { tcp: Filtering::AddressAndPortDependent, ..Translation::default() };
    let mut lab = Lab::with(&two_applications(strict), 1);
    let sent = send(&mut lab, 40000, VIP, 80, 6).unwrap();
    let external = (sent.src, sent.src_port);
    assert!(back(&mut lab, (OTHER_ORIGIN, 8003), external, 6).is_empty());
    lab.now_ns += 5_999_999_999;
    assert!(catch_up(&mut lab).is_empty());
    lab.now_ns += 1;
    let told = catch_up(&mut lab);
    assert_eq!(told.len(), 1);
    assert_eq!((error(&told[0]), read(&told[0]).dst), ((3, 3), addr(OTHER_ORIGIN)));
    assert_eq!(lab.dropped(GATEWAY, Reason::NatUnsolicited), 1);
    // If the client opens the same connection meanwhile, nobody is told anything.
    assert!(back(&mut lab, (OTHER_ORIGIN, 8004), external, 6).is_empty());
    lab.now_ns += 3_000_000_000;
    send(&mut lab, 40000, OTHER_VIP, 8004, 6).unwrap();
    lab.now_ns += 3_000_000_000;
    assert!(catch_up(&mut lab).is_empty());
    assert_eq!(lab.dropped(GATEWAY, Reason::NatUnsolicited), 2);
    assert_eq!(lab.pool.available(), lab.pool.capacity());
    // A flood of them is bounded.
    for port in 1000..1200 {
        let packet = frame(GATEWAY, OTHER_ORIGIN, port, &external.0.to_string(), external.1, 6, ROOM);
        assert!(lab.give(GATEWAY, OUTSIDE, &packet).is_empty());
    }
    assert_eq!(lab.pool.capacity() - lab.pool.available(), 64);
    lab.now_ns += 6_000_000_000;
    // All are let go at once, and its share of answers is all that one source gets.
    assert!((1..64).contains(&catch_up(&mut lab).len()));
    assert_eq!(lab.pool.available(), lab.pool.capacity());
    // Whoever stops gives them back.
    assert!(back(&mut lab, (OTHER_ORIGIN, 8005), external, 6).is_empty());
    lab.nodes[GATEWAY].forwarder.stop();
    assert!(back(&mut lab, (OTHER_ORIGIN, 8006), external, 6).is_empty());
    assert_eq!(lab.dropped(GATEWAY, Reason::Stopping), 1);
    assert_eq!(lab.pool.available(), lab.pool.capacity());
}

#[test]
fn rfc5508_req8_req9_rfc6888_req11_a_client_without_a_session_is_told_so_if_the_operator_likes() {
    for aloud in [true, false] {
        let mut lab = Lab::of(&topology(), 1, |setup| {
            setup.refuses_aloud = aloud;
            setup.nat.sessions_max = 10;
            setup.nat.rules.reserve_percent = 0;
        });
        let mut errors = Vec::new();
        for port in 0..20 {
            // Slowly: each source has its share of answers.
            lab.now_ns += 200_000_000;
            let request = frame(EDGE, CLIENT, 40000 + port, VIP, 80, 6, ROOM);
            let copies = lab.give(EDGE, OUTSIDE, &request);
            errors.extend(lab.run(copies).into_iter().filter(|sent| sent.0 == EDGE));
        }
        assert_eq!(lab.dropped(GATEWAY, Reason::NatTableFull), 10);
        assert_eq!(errors.len(), if aloud { 10 } else { 0 });
        assert!(errors.iter().all(|sent| error(&sent.2) == (3, 1) && read(&sent.2).src == addr(VIP)));
        // What lives, lives.
        assert!((0..10).all(|port| send(&mut lab, 40000 + port, VIP, 80, 6).is_some()));
    }
    let mut lab = Lab::of(&topology(), 1, |setup| setup.nat.rules.client.sessions = [1; 3]);
    send(&mut lab, 40000, VIP, 80, 6).unwrap();
    let request = frame(EDGE, CLIENT, 40001, VIP, 80, 6, ROOM);
    let copies = lab.give(EDGE, OUTSIDE, &request);
    assert_eq!(lab.run(copies).iter().map(|sent| error(&sent.2)).collect::<Vec<_>>(), [(3, 13)]);
    assert_eq!(lab.dropped(GATEWAY, Reason::NatClientLimit), 1);
}

#[test]
fn rfc6888_req6_an_origin_may_see_its_clients() {
    let prefix = "10.9.0.2/32".parse().unwrap();
    let translation = Translation { untranslated: vec![prefix], ..Translation::default() };
    let mut lab = Lab::with(&two_applications(translation), 1);
    for (protocol, port, origin_port) in [(6, 80, 8080), (17, 53, 8080)] {
        let sent = send(&mut lab, 40000, VIP, port, protocol).unwrap();
        assert_eq!((sent.src, sent.src_port), (addr(CLIENT), 40000));
        let left = back(&mut lab, ("10.9.0.2", origin_port), (addr(CLIENT), 40000), protocol);
        let at_client = read(&left[0].2);
        assert_eq!((at_client.src, at_client.src_port, at_client.dst), (addr(VIP), port, addr(CLIENT)));
        // Nobody else gets to the client that way.
        assert!(back(&mut lab, (OTHER_ORIGIN, origin_port), (addr(CLIENT), 40000), protocol).is_empty());
        // An application without the rule translates.
        let other = send(&mut lab, 40000, OTHER_VIP, 8000, protocol).unwrap();
        assert!(other.src != addr(CLIENT));
    }
    assert_eq!(lab.dropped(GATEWAY, Reason::NatNoSession), 2);
    // Where no application has it, such packets are for nobody.
    let mut lab = Lab::new();
    assert!(back(&mut lab, ("10.9.0.2", 8080), (addr(CLIENT), 40000), 6).is_empty());
    assert_eq!(lab.dropped(GATEWAY, Reason::NoDestination), 1);
}

#[test]
fn rfc5508_req10_req11_what_is_neither_echo_nor_error_is_dropped() {
    // Source quench, redirect, router advertisement and solicitation, timestamp, information, mask.
    for kind in [4, 5, 9, 10, 13, 14, 15, 16, 17, 18] {
        let mut lab = Lab::new();
        assert!(send(&mut lab, 1, VIP, kind, 1).is_none());
        assert_eq!(lab.dropped(EDGE, Reason::NatIcmp), 1, "type {kind}");
        assert!(back(&mut lab, ("10.9.0.2", 1), (addr("10.9.0.100"), kind), 1).is_empty());
        assert_eq!(lab.dropped(GATEWAY, Reason::NatIcmp), 1, "type {kind}");
    }
}
