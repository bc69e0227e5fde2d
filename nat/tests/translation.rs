//! Packets are translated, answered and translated back: addresses, ports and checksums come out as they must.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod common;

use common::*;
use etherparse::{Ipv4Header, PacketBuilder};
use packet::ip::parse;
use packet::transport::{TCP, UDP};
use packet::{IpVersion, Reason};
use proa_nat::*;
use proptest::prelude::*;

fn any_kind() -> impl Strategy<Value = (IpVersion, u8)> {
    proptest::sample::select(kinds())
}

proptest! {
    #[test]
    fn there_and_back((version, protocol) in any_kind(), client: u16, port: u16, vip_port: u16, origin_port: u16,
                      payload in proptest::collection::vec(any::<u8>(), 0..80)) {
        let mut nat = nat();
        let mut flow = Flow::new(version, protocol, client, port);
        (flow.vip.1, flow.origin.1) = (vip_port, origin_port);
        let index = flow.create(&mut nat).unwrap();
        let view = nat.session(index).unwrap();
        prop_assert!(config().pool.contains(&view.external));
        prop_assert_eq!(owner(protocol, view.external_port, 700), Some(5));

        let mut bytes = flow.request(&payload);
        let before = bytes.clone();
        forward(&mut nat, &flow, &mut bytes);
        let translated = parse_valid(&bytes);
        prop_assert_eq!((translated.src, translated.src_port), (view.external, view.external_port));
        prop_assert_eq!(translated.dst, flow.origin.0);
        if matches!(protocol, TCP | UDP) {
            prop_assert_eq!(translated.dst_port, origin_port);
        }
        prop_assert_eq!(&bytes[bytes.len() - payload.len()..], &payload[..]);
        prop_assert_eq!(bytes.len(), before.len());

        let mut reply = flow.reply(&translated, &payload);
        prop_assert_eq!(reverse(&mut nat, &mut reply), Ok(index));
        let delivered = parse_valid(&reply);
        prop_assert_eq!((delivered.dst, delivered.dst_port), (flow.client.0, flow.client.1));
        prop_assert_eq!(delivered.src, flow.vip.0);
        if matches!(protocol, TCP | UDP) {
            prop_assert_eq!(delivered.src_port, vip_port);
        }
        prop_assert_eq!(reply, build(protocol, End(flow.vip.0, vip_port), flow.client, false, &payload));
    }

    #[test]
    fn a_wrong_checksum_stays_exactly_as_wrong((version, protocol) in any_kind(), error in 1u16..0xffff) {
        let mut nat = nat();
        let flow = Flow::new(version, protocol, 7, 4321);
        flow.create(&mut nat).unwrap();
        let mut bytes = flow.request(b"data");
        let at = parse(&bytes).unwrap().transport_at as usize
            + match protocol { TCP => 16, UDP => 6, _ => 2 };
        let wrong = packet::checksum::add(u16::from_be_bytes([bytes[at], bytes[at + 1]]), error);
        prop_assume!(wrong != 0);
        bytes[at..at + 2].copy_from_slice(&wrong.to_be_bytes());
        forward(&mut nat, &flow, &mut bytes);
        let (found, computed) = checksums(&bytes);
        prop_assert_eq!(packet::checksum::add(computed, error) % 0xffff, found % 0xffff);
    }

    #[test]
    fn the_map_is_injective(clients in proptest::collection::hash_set((0u16..50, any::<u16>()), 1..80)) {
        let mut nat = nat();
        let mut seen = std::collections::HashSet::new();
        for (client, port) in &clients {
            for (version, protocol) in kinds() {
                let mut flow = Flow::new(version, protocol, *client, *port);
                flow.origin.1 = 443;
                let Key { client, port, .. } = flow.key();
                let key = Key { client, port, service: ServiceId(protocol as u32) };
                let new = NewSession { protocol, vip: flow.vip.0, vip_port: 1, origin: flow.origin.0,
                                       origin_port: 443, tag: Tag(0), filtering: Filtering::default() };
                match nat.create(NOW, nat.hash(&key), key, new) {
                    Ok(index) => {
                        let view = nat.session(index).unwrap();
                        prop_assert_eq!(view.key, key);
                        prop_assert!(seen.insert((view.external, view.protocol, view.external_port)));
                    }
                    Err(reason) => prop_assert_eq!(reason, Reason::NatPortsExhausted),
                }
            }
        }
    }
}

#[test]
fn udp_without_checksum_stays_without() {
    let mut nat = nat();
    let flow = Flow::new(IpVersion::V4, UDP, 7, 4321);
    flow.create(&mut nat).unwrap();
    let mut bytes = flow.request(b"data");
    bytes[26..28].fill(0);
    forward(&mut nat, &flow, &mut bytes);
    assert_eq!(bytes[26..28], [0, 0]);
    let translated = parse(&bytes).unwrap();
    let mut reply = flow.reply(&translated, b"data");
    reply[26..28].fill(0);
    reverse(&mut nat, &mut reply).unwrap();
    assert_eq!(reply[26..28], [0, 0]);
    assert_eq!(parse(&reply).unwrap().dst, flow.client.0);
}

#[test]
fn headers_behind_ip_options_are_found() {
    let mut nat = nat();
    let flow = Flow::new(IpVersion::V4, TCP, 7, 4321);
    flow.create(&mut nat).unwrap();
    let mut header =
        Ipv4Header::new(0, 64, 6.into(), flow.client.0.v4_bytes(), flow.vip.0.v4_bytes()).unwrap();
    header.options = [1, 1, 1, 1, 1, 1, 1, 0].into();
    let builder = PacketBuilder::ip(etherparse::IpHeaders::Ipv4(header, Default::default()));
    let mut bytes = build_on(builder, TCP, 4321, 80, true, b"data");
    forward(&mut nat, &flow, &mut bytes);
    let translated = parse_valid(&bytes);
    assert_eq!((translated.transport_at, translated.dst_port), (28, 8080));
    assert_eq!(bytes[20..28], [1, 1, 1, 1, 1, 1, 1, 0]);
}

#[test]
fn fragments_keep_what_is_not_a_header() {
    let mut nat = nat();
    let flow = Flow::new(IpVersion::V4, UDP, 7, 4321);
    let index = flow.create(&mut nat).unwrap();
    let mut bytes = flow.request(&[0x55; 16]);
    bytes[6..8].copy_from_slice(&[0x00, 0x05]);
    bytes[10..12].fill(0);
    let sum = !packet::checksum::sum(&bytes[..20]);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    let payload = bytes[20..].to_vec();
    let packet = parse(&bytes).unwrap();
    nat.forward(NOW, index, &mut bytes, &packet).unwrap();
    assert_eq!(parse(&bytes).unwrap().dst, flow.origin.0);
    assert_eq!(bytes[20..], payload);
}

#[test]
fn only_the_origin_gets_through() {
    for (version, protocol) in kinds() {
        let mut nat = nat();
        let flow = Flow::new(version, protocol, 7, 4321);
        flow.create(&mut nat).unwrap();
        let mut bytes = flow.request(b"data");
        forward(&mut nat, &flow, &mut bytes);
        let translated = parse(&bytes).unwrap();
        let back = End(translated.src, translated.src_port);
        let from = |address, port, to| build(protocol, End(address, port), to, false, b"data");
        let mut wrong = vec![from(address(version, ORIGINS, 77), translated.dst_port, back)];
        if matches!(protocol, TCP | UDP) {
            wrong.push(from(translated.dst, translated.dst_port + 1, back));
        }
        for mut bytes in wrong {
            let before = bytes.clone();
            assert_eq!(reverse(&mut nat, &mut bytes), Err(Reason::NatWrongPeer));
            assert_eq!(bytes, before);
        }
        // Another free port of the same worker, another worker's port, a port below the pool's, no pool address.
        for port in [back.1 ^ 1, 1023, if back.1 > 60_000 { back.1 - 700 } else { back.1 + 700 }] {
            let mut bytes = from(translated.dst, translated.dst_port, End(back.0, port));
            assert_eq!(reverse(&mut nat, &mut bytes), Err(Reason::NatNoSession));
        }
        let mut bytes = from(translated.dst, translated.dst_port, End(address(version, POOL, 99), back.1));
        assert_eq!(reverse(&mut nat, &mut bytes), Err(Reason::NatNoSession));
    }
}
