//! More mistakes that others made, each with the test that would show it here: on single workers, step by step.

use overlay::topology::{IpVersion, Origin, Roles, Topology};
use packet::{Addr, Reason};
use pipelines::tables::Route;
use proa_tests::sim::{Body, Datagram, Families, Lone, Plan, Shape, decode};
use std::net::IpAddr;

fn vip(plan: &Plan, version: IpVersion) -> IpAddr {
    let vips = &plan.topology.applications[0].vips;
    vips.iter().map(|vip| vip.address).find(|address| IpVersion::of(*address) == version).unwrap()
}

fn client(plan: &Plan, version: IpVersion) -> IpAddr {
    *plan.stations[0].behind.iter().find(|own| IpVersion::of(**own) == version).unwrap()
}

fn tcp(src: IpAddr, dst: IpAddr, len: usize) -> Datagram {
    let headers = if src.is_ipv4() { 40 } else { 60 };
    let payload = vec![7; len - headers];
    let body = Body::Tcp { ports: (5000, 80), numbers: (1, 2), flags: 0x10, options: Vec::new(), payload };
    Datagram { src, dst, ttl: 64, class: 0, label: 0, dont_fragment: true, body }
}

fn frame(node: &Lone, packet: &[u8]) -> Vec<u8> {
    let mut frame = node.mac.0.to_vec();
    frame.extend([2, 0, 0, 0, 9, 9]);
    frame.extend(if packet[0] >> 4 == 4 { [0x08, 0x00] } else { [0x86, 0xdd] });
    frame.extend(packet);
    frame
}

/// A plan whose nodes have one untagged port and one worker each: one edge, two paths of one intermediate each, one
/// gateway; two copies of everything.
fn plain(underlay: Families) -> Plan {
    Plan::draw(
        1,
        &Shape {
            underlay,
            tagged: 0.0,
            one_armed: 1.0,
            wan_mtu: 1500..=1500,
            edges: 1..=1,
            regions: 2..=2,
            per_region: 1..=1,
            gateways: 1..=1,
            copies: 2..=2,
            workers: 1..=1,
            applications: 1..=1,
            ..Shape::default()
        },
    )
}

/// A copy larger than one path's MTU is lost there, each time: the limit is the smallest of all active paths, and
/// the sender is told.
#[test]
fn the_mtu_is_the_smallest_of_all_paths_and_the_sender_is_told() {
    for (underlay, overhead) in [(Families::V4, 76), (Families::V6, 96)] {
        for version in [IpVersion::V4, IpVersion::V6] {
            let plan = plain(underlay);
            let edge = plan.with_role(|roles| roles.edge)[0];
            // The second path's first hop lies behind another port, with less room.
            let set = &plan.topology.path_sets[0];
            let second = plan.topology.nodes.iter().find(|node| node.region == set.paths[1].via[0]).unwrap();
            let far = second.underlay[0];
            let via: IpAddr = if far.is_ipv4() { "198.51.100.2" } else { "2001:db8:51::2" }.parse().unwrap();
            let own = if far.is_ipv4() { "198.51.100.1/24" } else { "2001:db8:51::1/64" };
            let mut narrow = plan.nodes[edge].ports[0].0.clone();
            narrow.mtu = 1400;
            narrow.mac.0[5] ^= 0x80;
            narrow.addresses = vec![own.parse().unwrap()];
            narrow.routes = vec![Route { to: far.into(), via }];
            let ports = [plan.nodes[edge].ports[0].0.clone(), narrow];

            let mut node = Lone::new(&plan, edge, &ports, &plan.topology);
            let (src, dst) = (client(&plan, version), vip(&plan, version));
            let most = 1400 - overhead;
            let sent = node.give(0, &frame(&node, &tcp(src, dst, most).encode()));
            assert_eq!(sent.iter().map(|(port, _)| *port).collect::<Vec<_>>(), [0, 1], "a copy on each path");
            let request = tcp(src, dst, most + 1);
            let sent = node.give(0, &frame(&node, &request.encode()));
            assert_eq!(sent.len(), 1);
            let answer = decode(&sent[0].1[14..]).unwrap();
            let own = ports.iter().flat_map(|port| &port.addresses).any(|own| own.ip() == answer.src);
            assert!(own && answer.dst == src, "the node answers for itself: {answer:?}");
            let Body::Error { kind, code, rest, quote } = answer.body else { panic!("{answer:?}") };
            assert_eq!((kind, code), if src.is_ipv4() { (3, 4) } else { (2, 0) });
            assert_eq!(rest, most as u32);
            assert!(request.encode().starts_with(&quote));
            assert_eq!(node.dropped(Reason::TooBig), 1);
        }
    }
}

/// Fragments have no ports but in the first of them: later ones make no flow and no session, and without their first get
/// no further than the gateway.
#[test]
fn fragments_without_ports_make_nothing() {
    let plan = plain(Families::Both);
    let edge = plan.with_role(|roles| roles.edge)[0];
    let gateway = plan.with_role(|roles| roles.gateway)[0];
    let pool =
        *plan.topology.nodes[gateway].nat_pool.iter().find(|range| range.start().is_ipv4()).unwrap().start();
    let origin =
        plan.topology.applications[0].origins.iter().find(|one| one.address.is_ipv4()).unwrap().address;
    for (node, src, dst) in
        [(edge, client(&plan, IpVersion::V4), vip(&plan, IpVersion::V4)), (gateway, origin, pool)]
    {
        let mut node = Lone::of(&plan, node);
        for fragment in [0x2010u16, 0x0040] {
            let mut bytes = tcp(src, dst, 196).encode();
            bytes[6..8].copy_from_slice(&fragment.to_be_bytes());
            bytes[10..12].fill(0);
            let sum = !packet::checksum::sum(&bytes[..20]);
            bytes[10..12].copy_from_slice(&sum.to_be_bytes());
            let is_edge = node.forwarder.nat().is_none();
            assert_ne!(node.give(0, &frame(&node, &bytes)).is_empty(), is_edge);
        }
        // They wait for their first for a while, at the gateway.
        let orphans = if node.forwarder.nat().is_some() { 2 } else { 0 };
        node.now_ns += 3_000_000_000;
        node.forwarder.sweep(node.now_ns);
        assert_eq!(node.dropped(Reason::FragmentOrphan), orphans);
        assert!(node.forwarder.flows().is_empty() && node.forwarder.nat().is_none_or(nat::Nat::is_empty));
    }
}

/// Hairpinning: what comes from the origins' side to an address of the pool finds a session of its own peer or
/// none, whoever sends it.
#[test]
fn the_pool_is_not_open_to_others() {
    let plan = plain(Families::Both);
    let gateway = plan.with_role(|roles| roles.gateway)[0];
    let mut node = Lone::of(&plan, gateway);
    let pool =
        *plan.topology.nodes[gateway].nat_pool.iter().find(|range| range.start().is_ipv4()).unwrap().start();
    let origin =
        plan.topology.applications[0].origins.iter().find(|one| one.address.is_ipv4()).unwrap().address;
    for src in [origin, pool, client(&plan, IpVersion::V4)] {
        let mut request = tcp(src, pool, 100);
        request.body = request.body.with_ports((80, 40_000));
        assert!(node.give(0, &frame(&node, &request.encode())).is_empty());
    }
    let refused = node.dropped(Reason::NatNoSession) + node.dropped(Reason::IpAddress);
    assert_eq!(refused, 3);
}

/// Which origin the gateway picks for a client.
fn origin_of(edge: &mut Lone, middle: &mut Lone, gateway: &mut Lone, src: IpAddr, dst: IpAddr) -> IpAddr {
    let copies = edge.give(0, &frame(edge, &tcp(src, dst, 100).encode()));
    let ours = copies.iter().find(|(_, copy)| copy[..6] == middle.mac.0).unwrap();
    let forwarded = middle.give(0, &ours.1);
    let delivered = gateway.give(0, &forwarded[0].1);
    decode(&delivered[0].1[14..]).unwrap().dst
}

/// Numbers given out in the order of appearance must not decide: a gateway that has seen reloads and one that has
/// just started pick the same origin for a client.
#[test]
fn a_client_keeps_its_origin_when_the_gateway_restarts_after_reloads() {
    let plan = plain(Families::V4);
    let with_origins = |numbers: &[u8]| -> Topology {
        let mut topology = plan.topology.clone();
        let origin = |number: &u8| Origin { address: IpAddr::from([10, 50, 0, *number]), port: None };
        topology.applications[0].origins = numbers.iter().map(origin).collect();
        topology
    };
    let (before, after) = (with_origins(&[30, 31, 32]), with_origins(&[33, 32, 31]));
    let edge = plan.with_role(|roles| roles.edge)[0];
    let middle = plan.with_role(|roles| roles.intermediate)[0];
    let gateway = plan.with_role(|roles| roles.gateway)[0];
    let (mut edge, mut middle) = (Lone::of(&plan, edge), Lone::of(&plan, middle));
    let ports = [plan.nodes[gateway].ports[0].0.clone()];
    let mut old = Lone::new(&plan, gateway, &ports, &before);
    old.reload(&after);
    let mut new = Lone::new(&plan, gateway, &ports, &after);
    for number in 0..40u8 {
        let (src, dst) = (IpAddr::from([100, 64, 7, number]), vip(&plan, IpVersion::V4));
        let known = origin_of(&mut edge, &mut middle, &mut old, src, dst);
        assert_eq!(
            known,
            origin_of(&mut edge, &mut middle, &mut new, src, dst),
            "client {}",
            Addr::from(src)
        );
    }
}

/// Only a question opens a session (RFC 5508 section 3.1): an answer that nobody asked for goes nowhere.
#[test]
fn an_echo_reply_opens_no_session() {
    for version in [IpVersion::V4, IpVersion::V6] {
        let plan = plain(Families::Both);
        let roles: [fn(&Roles) -> bool; 3] =
            [|roles| roles.edge, |roles| roles.intermediate, |roles| roles.gateway];
        let [mut edge, mut middle, mut gateway] = roles.map(|has| Lone::of(&plan, plan.with_role(has)[0]));
        let mut packet = tcp(client(&plan, version), vip(&plan, version), 100);
        for (request, opened) in [(false, 0), (true, 1)] {
            packet.body = Body::Echo { request, identifier: 7, number: 1, payload: vec![1; 50] };
            for (_, copy) in edge.give(0, &frame(&edge, &packet.encode())) {
                if copy[..6] == middle.mac.0 {
                    for (_, copy) in middle.give(0, &copy) {
                        assert_eq!(gateway.give(0, &copy).len(), opened);
                    }
                }
            }
            assert_eq!(gateway.forwarder.nat().map(nat::Nat::len), Some(opened), "request {request}");
        }
    }
}
