//! A gateway that stands in for another: blocks, sessions made elsewhere, and what is forgotten.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod common;

use common::*;
use packet::ip::parse;
use packet::transport::TCP;
use packet::{Addr, IpVersion, Reason};
use proa_nat::*;

/// Another gateway's pool.
fn peers() -> Vec<Addr> {
    (0..4).map(|number| address(IpVersion::V4, POOL, 100 + number)).collect()
}

fn own() -> Vec<Addr> {
    (0..4).map(|number| address(IpVersion::V4, POOL, number)).collect()
}

/// A NAT of two blocks, of which these are held; one worker has all ports.
fn paired(seed: u64, held: [bool; BLOCKS]) -> Nat {
    let rules = Rules { quarantine_s: 0, ..Rules::default() };
    let config = Config { pool: own(), worker: 0, workers: 1, seed, rules, ..config() };
    let mut nat = Nat::with_peer(&config, &peers()).unwrap();
    (0..BLOCKS).for_each(|block| nat.set_held(block, held[block]));
    nat
}

fn flow(client: u16, port: u16) -> Flow {
    Flow::new(IpVersion::V4, TCP, client, port)
}

fn new(flow: &Flow) -> NewSession {
    flow.new_session()
}

fn create(nat: &mut Nat, flow: &Flow, block: usize) -> Result<SessionIndex, Reason> {
    let key = flow.key();
    nat.create_in(NOW, nat.hash(&key), key, new(flow), block)
}

fn install(nat: &mut Nat, flow: &Flow, external: Addr, port: u16) -> Result<SessionIndex, Reason> {
    let key = flow.key();
    nat.install(NOW, nat.hash(&key), key, new(flow), external, port)
}

/// A segment of an established connection.
fn segment(src: End, dst: End) -> Vec<u8> {
    let mut bytes = Vec::new();
    let builder = etherparse::PacketBuilder::ipv4(src.0.v4_bytes(), dst.0.v4_bytes(), 64);
    builder.tcp(src.1, dst.1, 77, 2).ack(99).write(&mut bytes, b"in the middle").unwrap();
    bytes
}

#[test]
fn a_connection_goes_on_in_the_middle_with_its_address_and_port() {
    let mut nat = paired(3, [true, true]);
    let (flow, external) = (flow(1, 5000), End(peers()[2], 40_001));
    let session = install(&mut nat, &flow, external.0, external.1).unwrap();
    let view = nat.session(session).unwrap();
    assert_eq!(
        (view.external, view.external_port, view.state.name()),
        (external.0, external.1, "established")
    );
    assert_eq!(nat.block_of_session(session), Some(1));
    assert_eq!(view.seconds_left(NOW), Timeouts::default().tcp_opening, "until its next packet");
    assert_eq!(install(&mut nat, &flow, external.0, external.1), Ok(session), "again");
    // From the client, and from the origin, without any handshake.
    let mut bytes = segment(flow.client, flow.vip);
    let packet = parse(&bytes).unwrap();
    nat.forward(NOW, session, &mut bytes, &packet).unwrap();
    let sent = parse_valid(&bytes);
    assert_eq!((End(sent.src, sent.src_port), End(sent.dst, sent.dst_port)), (external, flow.origin));
    assert_eq!(nat.session(session).unwrap().seconds_left(NOW), Timeouts::default().tcp_established);
    let mut bytes = segment(flow.origin, external);
    let packet = parse(&bytes).unwrap();
    let slot = nat.reverse_slot(packet.dst, TCP, packet.dst_port).unwrap();
    assert_eq!(nat.find_reverse(slot, packet.src, packet.src_port), Ok(session));
    nat.reverse(NOW, session, &mut bytes, &packet).unwrap();
    let back = parse_valid(&bytes);
    assert_eq!((End(back.src, back.src_port), End(back.dst, back.dst_port)), (flow.vip, flow.client));
}

#[test]
fn a_port_is_given_to_nobody_else() {
    let mut nat = paired(3, [true, true]);
    let external = peers()[0];
    install(&mut nat, &flow(1, 5000), external, 40_000).unwrap();
    assert_eq!(install(&mut nat, &flow(2, 5000), external, 40_000), Err(Reason::NatWrongPeer));
    assert_eq!(
        install(&mut nat, &flow(1, 5000), external, 40_002),
        Err(Reason::NatWrongPeer),
        "it has another"
    );
    assert_eq!(install(&mut nat, &flow(3, 5000), external, 0), Err(Reason::NatWrongPeer));
    let stranger = address(IpVersion::V4, POOL, 999);
    assert_eq!(install(&mut nat, &flow(3, 5000), stranger, 40_004), Err(Reason::NatNotHolder));
    assert_eq!(
        (nat.len(), nat.client(flow(2, 0).client.0), nat.client(flow(3, 0).client.0)),
        (1, None, None)
    );
    // Nor is it chosen: every other port of the address comes out, and that one never.
    let mut ports = std::collections::HashSet::new();
    let mut client = 10;
    while let Ok(session) = create(&mut nat, &flow(client, 6000), 1) {
        let view = nat.session(session).unwrap();
        assert!(peers().contains(&view.external));
        assert!(view.external != external || view.external_port != 40_000);
        assert!(ports.insert((view.external, view.external_port)));
        client += 1;
    }
    assert!(ports.len() > 400, "{}", ports.len());
}

#[test]
fn a_mapping_of_several_sessions_comes_back_whole() {
    let mut nat = paired(3, [true, true]);
    let external = peers()[1];
    let first = flow(1, 5000);
    let second = Flow { origin: End(first.origin.0, 81), vip: End(first.vip.0, 81), ..first };
    let (one, other) = (first.key(), Key { service: ServiceId(9), ..second.key() });
    for (key, flow) in [(one, &first), (other, &second)] {
        nat.install(NOW, nat.hash(&key), key, new(flow), external, 40_000).unwrap();
    }
    assert_eq!(nat.client(first.client.0).unwrap().ports, 1);
    let slot = nat.reverse_slot(external, TCP, 40_000).unwrap();
    for flow in [first, second] {
        assert!(nat.find_reverse(slot, flow.origin.0, flow.origin.1).is_ok());
    }
}

#[test]
fn what_is_not_held_is_not_translated_for_new_sessions() {
    let mut nat = paired(3, [true, false]);
    assert_eq!(create(&mut nat, &flow(1, 5000), 1), Err(Reason::NatNotHolder));
    assert_eq!(install(&mut nat, &flow(1, 5000), peers()[0], 40_000), Err(Reason::NatNotHolder));
    let session = create(&mut nat, &flow(1, 5000), 0).unwrap();
    assert!(own().contains(&nat.session(session).unwrap().external));
    nat.set_held(0, false);
    // Neither a second session of the mapping.
    let again = Flow { origin: End(flow(1, 5000).origin.0, 81), ..flow(1, 5000) };
    let key = Key { service: ServiceId(9), ..again.key() };
    let made = nat.create_in(NOW, nat.hash(&key), key, new(&again), 0);
    assert_eq!((made, nat.len()), (Err(Reason::NatNotHolder), 1));
    // Unpaired, everything is held for ever.
    assert!(Nat::new(&config()).unwrap().is_held(0));
}

#[test]
fn both_gateways_choose_a_clients_address_alike() {
    let [mut one, mut other] = [paired(3, [true, true]), paired(44, [true, true])];
    let mut seen = std::collections::HashSet::new();
    for client in 0..64 {
        let [a, b] = [&mut one, &mut other].map(|nat| {
            let session = create(nat, &flow(client, 5000), 0).unwrap();
            nat.session(session).unwrap().external
        });
        assert_eq!(a, b);
        seen.insert(a);
    }
    assert_eq!(seen.len(), own().len(), "and spread them");
}

#[test]
fn a_purge_forgets_one_block_piece_by_piece() {
    let mut nat = paired(3, [true, true]);
    for client in 0..100 {
        create(&mut nat, &flow(client, 5000), (client % 2) as usize).unwrap();
    }
    let used = |nat: &Nat| nat.pool_use().map(|pool| pool.used).collect::<Vec<_>>();
    assert_eq!(used(&nat).iter().sum::<usize>(), 100);
    nat.set_held(1, false);
    nat.begin_purge(1);
    let mut steps = 0;
    while nat.is_purging(1) {
        nat.purge(NOW, 30);
        steps += 1;
    }
    assert_eq!((steps, nat.len()), (4, 50));
    assert_eq!(used(&nat)[own().len() * 3..].iter().sum::<usize>(), 0);
    let mut left = Vec::new();
    nat.list(0, 1000, |view| left.push(view.external));
    assert!(left.len() == 50 && left.iter().all(|external| own().contains(external)));
    // Its ports can be had again.
    nat.set_held(1, true);
    assert!(create(&mut nat, &flow(1, 5000), 1).is_ok());
}

#[test]
fn what_comes_back_has_no_part_in_a_clients_rate() {
    let rules = Rules {
        client: ClientLimits { sessions_per_second: 1, burst: 1, ..ClientLimits::default() },
        ..Rules::default()
    };
    let config = Config { pool: own(), worker: 0, workers: 1, rules, ..config() };
    let mut nat = Nat::with_peer(&config, &peers()).unwrap();
    nat.set_held(1, true);
    for port in 0..50 {
        install(&mut nat, &flow(1, 5000 + port), peers()[0], 40_000 + port).unwrap();
    }
    assert!(create(&mut nat, &flow(1, 6000), 1).is_ok());
    assert_eq!(create(&mut nat, &flow(1, 6001), 1), Err(Reason::NatClientRate));
}
