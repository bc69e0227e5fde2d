use crate::{
    Config, Filtering, Key, Nat, NewSession, Rules, Seconds, ServiceId, SessionIndex, Tag, Timeouts,
};
use packet::checksum::{self, pseudo_header};
use packet::transport::{GRE, SCTP, UDP_LITE};
use packet::{Addr, IpVersion, Reason, ip};
use proptest::prelude::*;
use std::collections::HashSet;

const NOW: Seconds = Seconds(1000);

fn addr(version: IpVersion, net: u8, number: u16) -> Addr {
    let [high, low] = number.to_be_bytes();
    match version {
        IpVersion::V4 => Addr::from_v4([10, net, high, low]),
        IpVersion::V6 => Addr::from_v6([0x20, 1, 0xd, 0xb8, 0, net, 0, 0, 0, 0, 0, 0, 0, 0, high, low]),
    }
}

fn nat(addresses: u16, worker: u16, workers: u16) -> Nat {
    let versions = [IpVersion::V4, IpVersion::V6];
    let pool =
        versions.iter().flat_map(|version| (0..addresses).map(|number| addr(*version, 4, number))).collect();
    let config = Config {
        sessions_max: 1000,
        pool,
        worker,
        workers,
        rss: None,
        timeouts: Timeouts::default(),
        rules: Rules::default(),
        seed: 11,
    };
    Nat::new(&config).unwrap()
}

/// A packet of UDP-Lite whose checksum covers so many bytes, of SCTP, or of any other protocol.
fn packet(protocol: u8, src: (Addr, u16), dst: (Addr, u16), coverage: u16, payload: &[u8]) -> Vec<u8> {
    let mut transport = Vec::new();
    match protocol {
        UDP_LITE | SCTP => {
            transport.extend(src.1.to_be_bytes());
            transport.extend(dst.1.to_be_bytes());
            transport.extend(coverage.to_be_bytes());
            transport.extend([0, 0]);
            transport.extend(payload);
        }
        _ => transport.extend(payload),
    }
    if protocol == UDP_LITE {
        let sum = match !covered(&transport, src.0, dst.0) {
            0 => 0xffff,
            sum => sum,
        };
        transport[6..8].copy_from_slice(&sum.to_be_bytes());
    }
    let len = transport.len() as u16;
    let mut bytes = if src.0.is_v4() {
        let mut head = vec![0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, protocol, 0, 0];
        head[2..4].copy_from_slice(&(20 + len).to_be_bytes());
        head.extend(src.0.v4_bytes());
        head.extend(dst.0.v4_bytes());
        let sum = !checksum::sum(&head);
        head[10..12].copy_from_slice(&sum.to_be_bytes());
        head
    } else {
        let mut head = vec![0x60, 0, 0, 0];
        head.extend(len.to_be_bytes());
        head.extend([protocol, 64]);
        head.extend(src.0.v6_bytes());
        head.extend(dst.0.v6_bytes());
        head
    };
    bytes.extend(transport);
    bytes
}

/// The sum over what the checksum of UDP-Lite covers (RFC 3828 section 3.1); all ones where it is right.
fn covered(transport: &[u8], src: Addr, dst: Addr) -> u16 {
    let coverage = match u16::from_be_bytes([transport[4], transport[5]]) {
        0 => transport.len(),
        some => some as usize,
    };
    let pseudo = pseudo_header(src, dst, UDP_LITE, transport.len() as u32);
    checksum::sum_onto(pseudo, &transport[..coverage])
}

struct Flow {
    protocol: u8,
    client: (Addr, u16),
    vip: (Addr, u16),
    origin: (Addr, u16),
}

impl Flow {
    fn new(protocol: u8, version: IpVersion, client: u16, port: u16) -> Flow {
        let ports = matches!(protocol, UDP_LITE | SCTP);
        let port_of = |port| if ports { port } else { 0 };
        Flow {
            protocol,
            client: (addr(version, 1, client), port_of(port)),
            vip: (addr(version, 2, 9), port_of(80)),
            origin: (addr(version, 3, 2), port_of(if protocol == UDP_LITE { 8080 } else { 80 })),
        }
    }

    fn create(&self, nat: &mut Nat) -> Result<SessionIndex, Reason> {
        let key =
            Key { client: self.client.0, port: self.client.1, service: ServiceId(self.protocol as u32) };
        let new = NewSession {
            protocol: self.protocol,
            vip: self.vip.0,
            vip_port: self.vip.1,
            origin: self.origin.0,
            origin_port: self.origin.1,
            tag: Tag(3),
            filtering: Filtering::default(),
        };
        nat.create_other(NOW, key, new, 0)
    }
}

const PROTOCOLS: [u8; 4] = [UDP_LITE, SCTP, GRE, 50];

proptest! {
    #[test]
    fn there_and_back(
        kind in 0usize..4, six: bool, client: u16, port: u16,
        payload in proptest::collection::vec(any::<u8>(), 8..80), cover in 0u16..16,
    ) {
        let version = if six { IpVersion::V6 } else { IpVersion::V4 };
        let protocol = PROTOCOLS[kind];
        let mut nat = nat(4, 1, 2);
        let flow = Flow::new(protocol, version, client, port);
        let session = flow.create(&mut nat).unwrap();
        prop_assert_eq!(flow.create(&mut nat), Ok(session));
        let view = nat.any_session(session).unwrap();
        prop_assert_eq!(nat.owner_other(protocol, view.external, view.external_port), Some(1));
        if protocol == SCTP {
            prop_assert_eq!(view.external_port, port);
        }
        // Coverage of SCTP is a part of its tag; of UDP-Lite all, or the header and some more.
        let coverage = if cover < 8 { 0 } else { cover };
        let before = packet(protocol, flow.client, flow.vip, coverage, &payload);
        let mut bytes = before.clone();
        let parsed = ip::parse(&bytes).unwrap();
        nat.forward_any(NOW, session, &mut bytes, &parsed).unwrap();
        let there = (view.external, view.external_port);
        prop_assert_eq!(&bytes, &packet(protocol, there, flow.origin, coverage, &payload));
        let mut reply = packet(protocol, flow.origin, there, coverage, &payload);
        let parsed = ip::parse(&reply).unwrap();
        let (from, to) = ((parsed.src, parsed.src_port), (parsed.dst, parsed.dst_port));
        prop_assert_eq!(nat.find_other_reverse(from, to, protocol), Ok(session));
        nat.reverse_any(NOW, session, &mut reply, &parsed).unwrap();
        prop_assert_eq!(reply, packet(protocol, flow.vip, flow.client, coverage, &payload));
    }

    /// What leaves never looks the same for two sessions, whatever workers make them.
    #[test]
    fn the_map_is_injective(clients in proptest::collection::hash_set((0u16..40, 0u16..20), 1..60)) {
        let mut seen = HashSet::new();
        for worker in 0..2 {
            let mut nat = nat(5, worker, 2);
            for (client, port) in &clients {
                for protocol in PROTOCOLS {
                    let flow = Flow::new(protocol, IpVersion::V4, *client * 2 + worker, *port);
                    let Ok(session) = flow.create(&mut nat) else { continue };
                    let view = nat.any_session(session).unwrap();
                    let outside = (view.external, view.external_port, view.origin, view.origin_port, protocol);
                    let client = (view.key.client, view.key.port);
                    prop_assert!(seen.insert((outside, client)) || !matches!(protocol, UDP_LITE | SCTP));
                    let again = seen.iter().filter(|(one, _)| *one == outside).count();
                    prop_assert_eq!(again, 1);
                }
            }
        }
    }
}

#[test]
fn protocols_without_ports_have_as_many_clients_as_addresses() {
    for (worker, room) in [(0, 3), (1, 2)] {
        let mut nat = nat(5, worker, 2);
        for client in 0..room {
            Flow::new(GRE, IpVersion::V4, client, 0).create(&mut nat).unwrap();
        }
        let refused = Flow::new(GRE, IpVersion::V4, 77, 0).create(&mut nat);
        assert_eq!(refused, Err(Reason::NatPortsExhausted));
        // Another protocol, another origin and another source port of SCTP have the same room again.
        Flow::new(50, IpVersion::V4, 77, 0).create(&mut nat).unwrap();
        let mut elsewhere = Flow::new(GRE, IpVersion::V4, 77, 0);
        elsewhere.origin.0 = addr(IpVersion::V4, 3, 3);
        elsewhere.create(&mut nat).unwrap();
        assert_eq!(nat.others_len(), room as usize + 2);
    }
    let mut lone = nat(1, 1, 2);
    assert_eq!(Flow::new(GRE, IpVersion::V4, 1, 0).create(&mut lone), Err(Reason::NatNoPool));
    Flow::new(UDP_LITE, IpVersion::V4, 1, 5).create(&mut lone).unwrap();
}

#[test]
fn idle_sessions_are_forgotten_and_their_places_come_again() {
    let mut nat = nat(1, 0, 1);
    let flow = Flow::new(GRE, IpVersion::V6, 1, 0);
    let session = flow.create(&mut nat).unwrap();
    nat.sweep_others(Seconds(1299), 1000);
    assert!(nat.any_session(session).is_some());
    let mut listed = Vec::new();
    let mut cursor = Some(0);
    while let Some(at) = cursor {
        cursor = nat.list_all(at, 100, |view| listed.push((view.protocol, view.key.client)));
    }
    assert_eq!(listed, [(GRE, flow.client.0)]);
    nat.sweep_others(Seconds(1300), 1000);
    assert_eq!((nat.any_session(session), nat.others_len()), (None, 0));
    assert_eq!(Flow::new(GRE, IpVersion::V6, 2, 0).create(&mut nat), Ok(session));
}

#[test]
fn strangers_find_nothing() {
    let mut nat = nat(1, 0, 1);
    let flow = Flow::new(UDP_LITE, IpVersion::V4, 1, 5);
    let session = flow.create(&mut nat).unwrap();
    let view = nat.any_session(session).unwrap();
    let there = (view.external, view.external_port);
    assert!(nat.find_other_reverse(flow.origin, there, UDP_LITE).is_ok());
    for (origin, there, protocol) in [
        ((addr(IpVersion::V4, 3, 9), 8080), there, UDP_LITE),
        ((flow.origin.0, 8081), there, UDP_LITE),
        (flow.origin, (there.0, there.1 ^ 1), UDP_LITE),
        (flow.origin, there, SCTP),
    ] {
        assert_eq!(nat.find_other_reverse(origin, there, protocol), Err(Reason::NatNoSession));
    }
}

#[test]
fn errors_about_them_are_translated() {
    for protocol in PROTOCOLS {
        let mut nat = nat(3, 0, 1);
        let flow = Flow::new(protocol, IpVersion::V4, 1, 5);
        let session = flow.create(&mut nat).unwrap();
        let view = nat.any_session(session).unwrap();
        let there = (view.external, view.external_port);
        // A router behind the gateway, about a request; and one before the edge, about a reply.
        let router = addr(IpVersion::V4, 5, 1);
        let mut error = error_about(router, there.0, &packet(protocol, there, flow.origin, 0, &[7; 20]));
        let parsed = ip::parse(&error).unwrap();
        assert_eq!(nat.reverse_error_other(&mut error, &parsed), Ok(session));
        assert_eq!(
            error,
            error_about(flow.vip.0, flow.client.0, &packet(protocol, flow.client, flow.vip, 0, &[7; 20]))
        );
        let mut error =
            error_about(router, flow.vip.0, &packet(protocol, flow.vip, flow.client, 0, &[7; 20]));
        let parsed = ip::parse(&error).unwrap();
        let find = |_, protocol, _| Some(ServiceId(protocol as u32));
        assert_eq!(nat.forward_error_other(&mut error, &parsed, find), Ok(session));
        assert_eq!(
            error,
            error_about(there.0, flow.origin.0, &packet(protocol, flow.origin, there, 0, &[7; 20]))
        );
    }
}

/// "Fragmentation needed" about a packet.
fn error_about(src: Addr, dst: Addr, quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![3, 4, 0, 0, 0, 0, 5, 0];
    message.extend(quoted);
    let sum = !checksum::sum(&message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    packet(1, (src, 0), (dst, 0), 0, &message)
}
