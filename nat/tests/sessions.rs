//! Sessions against a model; pools, ports and what happens when they run out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod common;

use common::*;
use packet::ip::parse;
use packet::rss::Rss;
use packet::transport::{TCP, UDP};
use packet::{Addr, IpVersion, Reason};
use proa_nat::*;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

#[derive(Clone, Debug)]
enum Step {
    Packet { kind: usize, client: u16, port: u16 },
    Reply { which: usize },
    Wait { seconds: u32 },
    Sweep { budget: usize },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..6usize, 0..6u16, 0..12u16).prop_map(|(kind, client, port)| Step::Packet { kind, client, port }),
        3 => any::<usize>().prop_map(|which| Step::Reply { which }),
        1 => (0..200u32).prop_map(|seconds| Step::Wait { seconds }),
        1 => (0..100usize).prop_map(|budget| Step::Sweep { budget }),
    ]
}

#[derive(Clone, Copy)]
struct Entry {
    flow: Flow,
    index: SessionIndex,
    external: Addr,
    port: u16,
    expires: u32,
}

/// Nothing is kept back from anybody, and ports do not rest.
fn all_at_once() -> Rules {
    Rules { reserve_percent: 0, quarantine_s: 0, ..Rules::default() }
}

/// Room for a few thousand sessions.
fn roomy() -> Config {
    Config { sessions_max: 4000, rules: all_at_once(), ..config() }
}

fn lifetime(protocol: u8) -> u32 {
    let timeouts = Timeouts::default();
    match protocol {
        TCP => timeouts.tcp_opening,
        UDP => timeouts.udp,
        _ => timeouts.icmp,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn behaves_as_its_model(steps in proptest::collection::vec(step(), 1..400), seed: u64) {
        // Eight ports per space and 60 sessions, so that both run out.
        let config = Config { sessions_max: 60, workers: 10_000, seed, rules: all_at_once(), ..config() };
        let mut nat = Nat::new(&config).unwrap();
        let mut model: HashMap<(usize, u16, u16), Entry> = HashMap::new();
        let mut now = 1000;
        for step in steps {
            match step {
                Step::Packet { kind, client, port } => {
                    let (version, protocol) = kinds()[kind];
                    let flow = Flow::new(version, protocol, client, port);
                    let service = ServiceId(kind as u32);
                    let key = Key { service, ..flow.key() };
                    let hash = nat.hash(&key);
                    let known = model.get(&(kind, client, port)).copied();
                    prop_assert_eq!(nat.find(hash, &key), known.map(|entry| entry.index));
                    let (End(vip, vip_port), End(origin, origin_port)) = (flow.vip, flow.origin);
                    let new = NewSession { protocol, vip, vip_port, origin, origin_port, tag: Tag(9), filtering: Filtering::default() };
                    let used = nat.pool_use().map(|pool| pool.used).sum::<usize>();
                    match nat.create(Seconds(now), hash, key, new) {
                        Ok(index) => {
                            let mut bytes = flow.request(b"x");
                            let packet = parse(&bytes).unwrap();
                            nat.forward(Seconds(now), index, &mut bytes, &packet).unwrap();
                            let view = nat.session(index).unwrap();
                            prop_assert_eq!((view.key, view.seconds_left(Seconds(now))), (key, lifetime(protocol)));
                            prop_assert!(known.is_none_or(|entry| entry.port == view.external_port));
                            let entry = Entry { flow, index, external: view.external, port: view.external_port,
                                                expires: now + lifetime(protocol) };
                            model.insert((kind, client, port), entry);
                        }
                        Err(Reason::NatTableFull) => prop_assert_eq!(model.len(), 60),
                        Err(reason) => {
                            prop_assert_eq!(reason, Reason::NatPortsExhausted);
                            let full: Vec<_> = nat.pool_use()
                                .filter(|pool| pool.protocol == protocol && pool.used == pool.total)
                                .map(|pool| pool.address).collect();
                            prop_assert!(full.iter().any(|address| address.is_v4() == (version == IpVersion::V4)));
                            prop_assert_eq!(nat.pool_use().map(|pool| pool.used).sum::<usize>(), used);
                        }
                    }
                }
                Step::Reply { which } => {
                    let mut entries: Vec<_> = model.values_mut().collect();
                    entries.sort_by_key(|entry| entry.index);
                    if entries.is_empty() { continue; }
                    let place = which % entries.len();
                    let entry = &mut *entries[place];
                    let (flow, back) = (entry.flow, End(entry.external, entry.port));
                    let from = if matches!(flow.protocol, TCP | UDP) { flow.origin } else { End(flow.origin.0, 0) };
                    let mut bytes = build(flow.protocol, from, back, false, b"y");
                    let packet = parse(&bytes).unwrap();
                    let slot = nat.reverse_slot(packet.dst, packet.protocol, packet.dst_port).unwrap();
                    prop_assert_eq!(nat.find_reverse(slot, packet.src, packet.src_port), Ok(entry.index));
                    nat.reverse(Seconds(now), entry.index, &mut bytes, &packet).unwrap();
                    let delivered = parse_valid(&bytes);
                    prop_assert_eq!((delivered.dst, delivered.dst_port), (flow.client.0, flow.client.1));
                    // While a connection opens, the origin's side does not keep it.
                    if flow.protocol != TCP {
                        entry.expires = now + lifetime(flow.protocol);
                    }
                }
                Step::Wait { seconds } => now += seconds,
                Step::Sweep { budget } => {
                    // In parts: what is forgotten is due, and a whole round leaves nothing that is.
                    let forgotten = nat.sweep(Seconds(now), budget) + nat.sweep(Seconds(now), 60);
                    let before = model.len();
                    model.retain(|_, entry| entry.expires > now);
                    prop_assert_eq!(forgotten, before - model.len());
                }
            }
            prop_assert_eq!(nat.len(), model.len());
            let ports: HashSet<_> =
                model.values().map(|entry| (entry.external, entry.flow.protocol, entry.port)).collect();
            prop_assert_eq!(ports.len(), model.len());
            for pool in nat.pool_use() {
                let used = ports.iter().filter(|port| (port.0, port.1) == (pool.address, pool.protocol)).count();
                prop_assert_eq!(used, pool.used);
            }
        }
        nat.sweep(Seconds(now + 100_000), usize::MAX);
        prop_assert!(nat.is_empty());
        prop_assert!(nat.pool_use().all(|pool| pool.used == 0));
        prop_assert_eq!(nat.list(0, usize::MAX, |view| panic!("{view:?}")), None);
    }
}

/// Makes sessions of one client until it is refused; returns how many there were.
fn exhaust(nat: &mut Nat, protocol: u8, client: u16) -> usize {
    (0..)
        .position(|port| match Flow::new(IpVersion::V4, protocol, client, port).create(nat) {
            Ok(_) => false,
            Err(reason) => {
                assert_eq!(reason, Reason::NatPortsExhausted);
                true
            }
        })
        .unwrap()
}

fn external(nat: &mut Nat, client: u16) -> Addr {
    let index = Flow::new(IpVersion::V4, TCP, client, 60_000).create(nat).unwrap();
    nat.session(index).unwrap().external
}

#[test]
fn an_exhausted_address_refuses_and_harms_no_other() {
    let mut nat = Nat::new(&Config { sessions_max: 5000, rules: all_at_once(), ..config() }).unwrap();
    let address = external(&mut nat, 1);
    let total = nat.pool_use().next().unwrap().total;
    assert_eq!(exhaust(&mut nat, UDP, 1), total);
    let full: Vec<_> = nat.pool_use().filter(|pool| pool.used == pool.total).collect();
    assert_eq!(full, [PoolUse { address, protocol: UDP, used: total, total }]);
    // Its client's other protocols go on, as do neighbours on other addresses, and all that it has already.
    assert!(Flow::new(IpVersion::V4, TCP, 1, 5).create(&mut nat).is_ok());
    let neighbour = (2..100).find(|client| external(&mut nat, *client) != address).unwrap();
    assert_eq!(exhaust(&mut nat, UDP, neighbour), total);
    assert!((0..total as u16).all(|port| Flow::new(IpVersion::V4, UDP, 1, port).find(&nat).is_some()));
    // Expiry gives the ports back.
    nat.sweep(Seconds(NOW.0 + 300), usize::MAX);
    assert!(nat.pool_use().all(|pool| pool.used == 0));
    assert_eq!(exhaust(&mut nat, UDP, 1), total);
}

#[test]
fn a_refused_session_holds_nothing() {
    let mut nat =
        Nat::new(&Config { sessions_max: 100, workers: 10_000, rules: all_at_once(), ..config() }).unwrap();
    let total = exhaust(&mut nat, UDP, 1);
    // Each with a VIP of its own, and more of them than there is room for.
    for number in 0..200 {
        let vip = End(address(IpVersion::V4, VIPS, 1000 + number), 80);
        let flow = Flow { vip, ..Flow::new(IpVersion::V4, UDP, 1, 5000) };
        assert_eq!(flow.create(&mut nat), Err(Reason::NatPortsExhausted));
    }
    assert_eq!((nat.len(), nat.pool_use().map(|pool| pool.used).sum()), (total, total));
}

#[test]
fn a_client_keeps_its_address_and_clients_spread() {
    let mut nat = Nat::new(&Config { sessions_max: 100_000, workers: 1, worker: 0, ..config() }).unwrap();
    let mut clients: HashMap<Addr, usize> = HashMap::new();
    for client in 0..1000 {
        let mut addresses = HashSet::new();
        for protocol in [TCP, UDP, 1] {
            for port in 0..5 {
                let key = Key {
                    service: ServiceId(protocol as u32),
                    ..Flow::new(IpVersion::V4, protocol, client, port).key()
                };
                let flow = Flow::new(IpVersion::V4, protocol, client, port);
                let new = NewSession {
                    protocol,
                    vip: flow.vip.0,
                    vip_port: 1,
                    origin: flow.origin.0,
                    origin_port: 2,
                    tag: Tag(0),
                    filtering: Filtering::default(),
                };
                let index = nat.create(NOW, nat.hash(&key), key, new).unwrap();
                addresses.insert(nat.session(index).unwrap().external);
            }
        }
        assert_eq!(addresses.len(), 1);
        *clients.entry(*addresses.iter().next().unwrap()).or_default() += 1;
    }
    assert_eq!(clients.len(), 4);
    assert!(clients.values().all(|clients| (190..310).contains(clients)), "{clients:?}");
}

#[test]
fn workers_never_share_a_port() {
    let mut seen = HashSet::new();
    for worker in 0..3 {
        let (pool, rules) = (config().pool[..1].into(), all_at_once());
        let config = Config { worker, workers: 3, sessions_max: 1 << 16, pool, rules, ..config() };
        let mut nat = Nat::new(&config).unwrap();
        exhaust(&mut nat, TCP, worker);
        assert_eq!(
            nat.list(0, usize::MAX, |view| {
                assert_eq!(owner(TCP, view.external_port, 3), Some(worker));
                assert!(seen.insert(view.external_port));
            }),
            None
        );
    }
    assert_eq!(seen.len(), 65_535);
}

#[test]
fn a_full_table_refuses_and_evicts_nobody() {
    let mut nat = Nat::new(&Config { sessions_max: 10, ..config() }).unwrap();
    let flow = |port| Flow::new(IpVersion::V6, TCP, 1, port);
    let sessions: Vec<_> = (0..10).map(|port| flow(port).create(&mut nat).unwrap()).collect();
    assert_eq!(flow(10).create(&mut nat), Err(Reason::NatTableFull));
    // The same key again is the same session, also in a full table.
    assert_eq!(flow(3).create(&mut nat), Ok(sessions[3]));
    assert!((0..10).all(|port| flow(port).find(&nat) == Some(sessions[port as usize])));
    assert_eq!(nat.pool_use().map(|pool| pool.used).sum::<usize>(), 10);
}

#[test]
fn a_table_takes_its_whole_capacity_of_neighbouring_keys() {
    for shift in [0, 4, 8] {
        let sessions_max = 1 << 14;
        let rules = Rules { clients_max: sessions_max, ..all_at_once() };
        let mut nat = Nat::new(&Config { sessions_max, worker: 0, workers: 1, rules, ..config() }).unwrap();
        for number in 0..sessions_max as u16 {
            let (client, port) = (number >> shift, 1024 + (number & ((1 << shift) - 1)));
            Flow::new(IpVersion::V4, TCP, client, port).create(&mut nat).unwrap();
        }
        assert_eq!(nat.len(), nat.capacity());
    }
}

#[test]
fn what_can_not_be_translated_is_refused() {
    let pool = vec![address(IpVersion::V4, POOL, 1)];
    let mut nat = Nat::new(&Config { pool, ..config() }).unwrap();
    let refused = |nat: &mut Nat, flow: Flow| flow.create(nat).unwrap_err();
    let v4 = Flow::new(IpVersion::V4, TCP, 1, 1);
    let v6 = Flow::new(IpVersion::V6, TCP, 1, 1);
    assert_eq!(refused(&mut nat, v6), Reason::NatNoPool);
    assert_eq!(refused(&mut nat, Flow { origin: v6.origin, ..v4 }), Reason::NoOrigin);
    assert_eq!(refused(&mut nat, Flow { vip: v6.vip, ..v4 }), Reason::NoOrigin);
    assert_eq!(refused(&mut nat, Flow { protocol: 47, ..v4 }), Reason::Transport);
    assert_eq!(refused(&mut nat, Flow { protocol: 58, ..v4 }), Reason::Transport);
    assert!(nat.is_empty() && nat.pool_use().all(|pool| pool.used == 0));
}

#[test]
fn a_configuration_is_checked() {
    let invalid = |config| Nat::new(&config).err().unwrap();
    assert_eq!(invalid(Config { sessions_max: 0, ..config() }), InvalidConfig::Sessions);
    assert_eq!(invalid(Config { worker: 700, ..config() }), InvalidConfig::Worker);
    assert_eq!(invalid(Config { workers: u16::MAX, ..config() }), InvalidConfig::Worker);
    let pool = (0..30_000).map(|number| address(IpVersion::V4, POOL, number)).collect();
    assert_eq!(invalid(Config { pool, worker: 0, workers: 1, ..config() }), InvalidConfig::Pool);
    let timeouts = Timeouts { udp: 0, ..Timeouts::default() };
    assert_eq!(invalid(Config { timeouts, ..config() }), InvalidConfig::Timeout);
    // An address that is listed twice is one address.
    let pool = vec![address(IpVersion::V4, POOL, 1); 3];
    assert_eq!(Nat::new(&Config { pool, ..config() }).unwrap().pool_use().count(), 3);
}

#[test]
fn lists_go_on_where_they_ended() {
    let mut nat = nat();
    for client in 0..50 {
        Flow::new(IpVersion::V4, UDP, client, 1).create(&mut nat).unwrap();
    }
    let (mut seen, mut from) = (Vec::new(), Some(0));
    while let Some(next) = from {
        from = nat.list(next, 7, |view| seen.push(view.key.client));
    }
    assert_eq!(seen.len(), 50);
    assert_eq!(nat.list(0, 0, |_| panic!("nothing was asked for")), None);
    let index = Flow::new(IpVersion::V4, UDP, 3, 1).find(&nat).unwrap();
    nat.set_tag(index, Tag(77));
    assert_eq!((nat.tag(index), nat.session(index).unwrap().tag), (Tag(77), Tag(77)));
}

/// Where replies come in is known of a NIC whose hash is: the worker that has the session gets them, and nothing is handed over.
#[test]
fn ports_are_chosen_by_the_queue_of_their_replies() {
    let rss =
        Rss { key: (0..40).map(|byte: u8| byte.wrapping_mul(37) ^ 0x6d).collect(), queues: 4, table: 128 };
    for worker in 0..4 {
        let mut ports = HashSet::new();
        let config = Config { worker, workers: 4, rss: Some(rss.clone()), seed: 5, ..roomy() };
        let mut nat = Nat::new(&config).unwrap();
        for number in 0..2000u16 {
            let version = if number % 2 == 0 { IpVersion::V4 } else { IpVersion::V6 };
            let protocol = if number % 3 == 0 { UDP } else { TCP };
            let flow = Flow::new(version, protocol, number / 20, 2000 + number);
            let session = flow.create(&mut nat).unwrap();
            let view = nat.session(session).unwrap();
            let (origin, external) = (view.origin.to_ip(), view.external.to_ip());
            let queue = rss.queue(origin, external, view.origin_port, view.external_port);
            assert_eq!(
                (queue, owner(protocol, view.external_port, 4)),
                (worker, Some(worker)),
                "{number} {view:?}"
            );
            assert_eq!(view.external_port % 2, flow.client.1 % 2, "and keeps its parity");
            ports.insert(view.external_port);
        }
        assert!(ports.len() > 1000, "{} ports", ports.len());
    }
    // Without it, as many of them come in elsewhere as chance has it.
    let mut nat = Nat::new(&Config { workers: 4, worker: 1, seed: 5, ..roomy() }).unwrap();
    let comes_elsewhere = |number: &u16| {
        let flow = Flow::new(IpVersion::V4, TCP, number / 20, 2000 + number);
        let session = flow.create(&mut nat).unwrap();
        let view = nat.session(session).unwrap();
        let (origin, external) = (view.origin.to_ip(), view.external.to_ip());
        rss.queue(origin, external, view.origin_port, view.external_port) != 1
    };
    assert!((1300..1700).contains(&(0..2000).filter(comes_elsewhere).count()));
}
