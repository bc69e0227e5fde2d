//! Rows of `docs/nat-compliance.md` about mappings, pools, ports and limits.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod common;

use common::*;
use packet::transport::{TCP, UDP};
use packet::{Addr, IpVersion, Reason};
use proa_nat::*;
use std::collections::{HashMap, HashSet};

/// A session of a client's port with a VIP of its own service and origin.
fn to(nat: &mut Nat, now: u32, flow: Flow, number: u16) -> Result<SessionView, Reason> {
    let version = if flow.client.0.is_v4() { IpVersion::V4 } else { IpVersion::V6 };
    let key = Key { service: ServiceId((flow.protocol as u32) << 16 | number as u32), ..flow.key() };
    let new = NewSession {
        protocol: flow.protocol,
        vip: address(version, VIPS, number),
        vip_port: flow.vip.1,
        origin: address(version, ORIGINS, number),
        origin_port: flow.origin.1,
        tag: Tag(0),
        filtering: Filtering::default(),
    };
    let index = nat.create(Seconds(now), nat.hash(&key), key, new)?;
    Ok(nat.session(index).unwrap())
}

fn v4(protocol: u8, client: u16, port: u16) -> Flow {
    Flow::new(IpVersion::V4, protocol, client, port)
}

fn one_worker(sessions_max: usize, addresses: usize, rules: Rules) -> Nat {
    let pool = config().pool[..addresses].to_vec();
    let rules = Rules { clients_max: sessions_max, ..rules };
    Nat::new(&Config { sessions_max, worker: 0, workers: 1, pool, rules, ..config() }).unwrap()
}

#[test]
fn rfc4787_req1_rfc5382_req1_rfc5508_req1a_mapping_is_endpoint_independent() {
    for (version, protocol) in kinds() {
        let mut nat = nat();
        let flow = Flow::new(version, protocol, 1, 4000);
        let first = to(&mut nat, 0, flow, 0).unwrap();
        for number in 1..20 {
            let view = to(&mut nat, 0, flow, number).unwrap();
            assert_eq!((view.external, view.external_port), (first.external, first.external_port));
        }
        // The ports of an origin too.
        let other = Flow { origin: End(flow.origin.0, flow.origin.1 + 1), ..flow };
        let view = to(&mut nat, 0, other, 30).unwrap();
        assert_eq!((view.external, view.external_port), (first.external, first.external_port));
    }
}

#[test]
fn rfc4787_req2_rfc6888_req2_pooling_is_paired() {
    let mut nat = one_worker(2000, 4, Rules::default());
    let mut addresses = HashSet::new();
    for number in 0..1000 {
        let protocol = [TCP, UDP, 1][number as usize % 3];
        addresses.insert(to(&mut nat, 0, v4(protocol, 1, 2000 + number), 0).unwrap().external);
    }
    assert_eq!(addresses.len(), 1);
}

#[test]
fn rfc4787_req3_rfc5382_req7_ports_are_not_overloaded() {
    for protocol in [TCP, UDP, 1] {
        let rules = Rules { reserve_percent: 0, ..Rules::default() };
        let mut nat = one_worker(70_000, 1, rules);
        let mut seen = HashSet::new();
        // All clients use the same port of their own, with the same origin, until there is no port left.
        let refused =
            (0..=u16::MAX).find_map(|client| match to(&mut nat, 0, v4(protocol, client, 4000), 0) {
                Ok(view) => {
                    assert!(seen.insert((view.external, view.external_port)));
                    None
                }
                Err(reason) => Some(reason),
            });
        assert_eq!(refused, Some(Reason::NatPortsExhausted));
    }
}

#[test]
fn rfc4787_req3a_well_known_ports_stay_well_known_and_others_do_not_become_so() {
    let mut nat = one_worker(70_000, 1, Rules::default());
    for protocol in [TCP, UDP] {
        for client in 0..200 {
            assert!(to(&mut nat, 0, v4(protocol, client, 500), 0).unwrap().external_port < 1024);
            assert!(to(&mut nat, 0, v4(protocol, client, 5000), 0).unwrap().external_port >= 1024);
        }
    }
    let mut nat = one_worker(70_000, 1, Rules { reserve_percent: 0, ..Rules::default() });
    let ports = (0..=u16::MAX).map_while(|client| to(&mut nat, 0, v4(TCP, client, 5000), 0).ok());
    assert!(ports.map(|view| view.external_port).all(|port| port >= 1024));
}

#[test]
fn rfc4787_req4_parity_is_kept_and_may_be_off() {
    let odd_ones = |rules| {
        let mut nat = one_worker(5000, 1, rules);
        let same =
            |(client, port)| to(&mut nat, 0, v4(UDP, client, port), 0).unwrap().external_port % 2 == port % 2;
        (0..1000).map(|number| (number, 5000 + number % 7)).map(same).filter(|same| !same).count()
    };
    assert_eq!(odd_ones(Rules::default()), 0);
    let odd = odd_ones(Rules { parity: false, ..Rules::default() });
    assert!((400..600).contains(&odd), "{odd}");
}

#[test]
fn rfc4787_req7_a_client_may_have_an_address_that_is_also_an_origins_or_the_pools() {
    let mut nat = nat();
    let mut flow = v4(UDP, 1, 4000);
    for address in [flow.origin.0, config().pool[0]] {
        flow.client.0 = address;
        let index = flow.create(&mut nat).unwrap();
        let mut bytes = flow.request(b"out");
        forward(&mut nat, &flow, &mut bytes);
        let sent = parse_valid(&bytes);
        let mut reply = flow.reply(&sent, b"back");
        assert_eq!(reverse(&mut nat, &mut reply), Ok(index));
        assert_eq!(parse_valid(&reply).dst, address);
    }
}

#[test]
fn rfc4787_req11_rfc6888_req7_the_mapping_is_the_same_when_the_table_is_full() {
    let mut nat = Nat::new(&Config { sessions_max: 64, ..config() }).unwrap();
    let first = to(&mut nat, 0, v4(UDP, 1, 4000), 0).unwrap();
    let full = (0..100).filter(|client| to(&mut nat, 0, v4(TCP, 100 + client, 1), 0).is_err()).count();
    assert!(full > 30);
    assert_eq!(to(&mut nat, 0, v4(UDP, 1, 4000), 0), Ok(first));
    nat.sweep(Seconds(240), usize::MAX);
    let view = to(&mut nat, 240, v4(UDP, 1, 4000), 7).unwrap();
    assert_eq!((view.external, view.external_port), (first.external, first.external_port));
}

#[test]
fn rfc7857_req4_a_full_address_refuses_although_others_are_free() {
    let mut nat = Nat::new(&Config { sessions_max: 5000, ..config() }).unwrap();
    let first = to(&mut nat, 0, v4(UDP, 1, 2000), 0).unwrap().external;
    let refused = (2001..3000).find_map(|port| to(&mut nat, 0, v4(UDP, 1, port), 0).err());
    assert_eq!(refused, Some(Reason::NatPortsExhausted));
    assert!(nat.pool_use().any(|pool| pool.address != first && pool.used == 0 && pool.address.is_v4()));
}

#[test]
fn rfc7857_req5_req6_a_tcp_mapping_does_not_admit_udp() {
    let mut nat = nat();
    let view = to(&mut nat, 0, v4(TCP, 1, 4000), 0).unwrap();
    let slot = nat.reverse_slot(view.external, UDP, view.external_port).unwrap();
    assert_eq!(nat.find_reverse(slot, view.origin, view.origin_port), Err(Reason::NatNoSession));
    assert_eq!(nat.mapping(slot, view.origin), Err(Reason::NatNoSession));
    let slot = nat.reverse_slot(view.external, TCP, view.external_port).unwrap();
    assert!(nat.mapping(slot, view.origin).is_ok());
}

#[test]
fn rfc7857_req9_rfc6056_rfc6888_req15_ports_can_not_be_guessed() {
    let mut nat = one_worker(20_000, 1, Rules { parity: false, ..Rules::default() });
    let ports: Vec<u16> = (0..10_000u16)
        .map(|number| to(&mut nat, 0, v4(UDP, number % 100, 2000 + number / 100), 0).unwrap().external_port)
        .collect();
    // 63 classes of 1024 ports: chi-squared with 62 degrees of freedom, below 100 with p > 0.99.
    let mut classes = [0f64; 63];
    ports.iter().for_each(|port| classes[(*port - 1024) as usize / 1024] += 1.0);
    let expected = ports.len() as f64 / classes.len() as f64;
    let chi2: f64 = classes.iter().map(|count| (count - expected).powi(2) / expected).sum();
    assert!(chi2 < 100.0, "{chi2}");
    // The step from one to the next tells nothing either.
    let mut steps = [0f64; 64];
    ports.windows(2).for_each(|pair| steps[(pair[1].wrapping_sub(pair[0]) >> 10) as usize] += 1.0);
    assert!(steps.iter().all(|count| *count < 400.0), "{steps:?}");
    assert!(ports.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 2).count() < 10);
    let mut other = Nat::new(&Config {
        seed: 12,
        workers: 1,
        worker: 0,
        sessions_max: 20_000,
        pool: config().pool[..1].to_vec(),
        ..config()
    })
    .unwrap();
    let alike = (0..10_000u16).filter(|number| {
        let view = to(&mut other, 0, v4(UDP, number % 100, 2000 + number / 100), 0).unwrap();
        view.external_port == ports[*number as usize]
    });
    assert!(alike.count() < 10);
}

#[test]
fn rfc6888_req3_the_pool_need_not_be_contiguous() {
    let pool: Vec<Addr> = [[10, 0, 0, 1], [10, 0, 0, 7], [192, 0, 2, 9]].map(Addr::from_v4).to_vec();
    let mut nat = Nat::new(&Config { pool: pool.clone(), ..config() }).unwrap();
    let mut used: HashMap<Addr, usize> = HashMap::new();
    for client in 0..150 {
        *used.entry(to(&mut nat, 0, v4(UDP, client, 4000), 0).unwrap().external).or_default() += 1;
    }
    assert_eq!(used.len(), 3);
    assert!(used.keys().all(|address| pool.contains(address)));
    let between = Addr::from_v4([10, 0, 0, 3]);
    assert_eq!(nat.reverse_slot(between, UDP, 10), None);
}

#[test]
fn rfc6888_req4_a_client_has_so_many_ports_and_its_neighbour_is_unaffected() {
    let client = ClientLimits { ports: 100, ..ClientLimits::default() };
    let mut nat = one_worker(5000, 1, Rules { client, ..Rules::default() });
    for port in 0..100 {
        assert!(to(&mut nat, 0, v4([TCP, UDP][port as usize % 2], 1, 2000 + port), 0).is_ok());
    }
    assert_eq!(to(&mut nat, 0, v4(TCP, 1, 3000), 0), Err(Reason::NatClientLimit));
    // A mapping that it has takes more sessions, and what ends makes room.
    assert!(to(&mut nat, 0, v4(TCP, 1, 2000), 9).is_ok());
    assert!((0..100).all(|port| to(&mut nat, 0, v4(TCP, 2, 2000 + port), 0).is_ok()));
    nat.sweep(Seconds(300), usize::MAX);
    assert!(to(&mut nat, 300, v4(TCP, 1, 3000), 0).is_ok());
}

#[test]
fn rfc6888_req4b_req5_limits_are_by_protocol_and_have_a_rate() {
    let client = ClientLimits { sessions: [5, 3, 1], ..ClientLimits::default() };
    let mut nat = one_worker(5000, 1, Rules { client, ..Rules::default() });
    for (protocol, most) in [(TCP, 5), (UDP, 3), (1, 1)] {
        let made = (0..50).filter(|port| to(&mut nat, 0, v4(protocol, 1, 2000 + port), 0).is_ok());
        assert_eq!(made.count(), most);
    }
    let usage = nat.client(v4(TCP, 1, 0).client.0).unwrap();
    assert_eq!((usage.sessions, usage.ports), ([5, 3, 1], 9));
    let client = ClientLimits { sessions_per_second: 10, burst: 20, ..ClientLimits::default() };
    let mut nat = one_worker(5000, 1, Rules { client, ..Rules::default() });
    let mut made = |now: u32, client| {
        let made =
            (0..100).filter(|port| to(&mut nat, now, v4(UDP, client, 2000 + port), now as u16).is_ok());
        made.count()
    };
    assert_eq!([made(1, 1), made(2, 1), made(2, 2)], [20, 10, 20]);
}

#[test]
fn rfc6888_req6_an_origin_may_see_the_clients_own_address() {
    for (version, protocol) in kinds() {
        let mut nat = nat();
        let flow = Flow::new(version, protocol, 1, 500);
        let key = flow.key();
        let (End(vip, vip_port), End(origin, origin_port)) = (flow.vip, flow.origin);
        let filtering = Filtering::default();
        let new = NewSession { protocol, vip, vip_port, origin, origin_port, tag: Tag(0), filtering };
        let index = nat.create_untranslated(NOW, nat.hash(&key), key, new).unwrap();
        assert!(nat.pool_use().all(|pool| pool.used == 0));
        let mut bytes = flow.request(b"out");
        forward(&mut nat, &flow, &mut bytes);
        let sent = parse_valid(&bytes);
        assert_eq!((sent.src, sent.src_port, sent.dst), (flow.client.0, 500, origin));
        let mut reply = flow.reply(&sent, b"back");
        let packet = packet::ip::parse(&reply).unwrap();
        let (dst, src) = ((packet.dst, packet.dst_port), (packet.src, packet.src_port));
        assert_eq!(nat.find_untranslated(dst, protocol, src), Ok(index));
        nat.reverse(NOW, index, &mut reply, &packet).unwrap();
        assert_eq!(parse_valid(&reply).src, vip);
        let stranger = (address(version, ORIGINS, 99), src.1);
        assert_eq!(nat.find_untranslated(dst, protocol, stranger), Err(Reason::NatNoSession));
        // The same origin's port under another VIP can not be told apart.
        let key = Key { service: ServiceId(77), ..key };
        let again = NewSession { vip: address(version, VIPS, 5), ..new };
        let refused = nat.create_untranslated(NOW, nat.hash(&key), key, again);
        assert_eq!(refused, Err(Reason::NatPortsExhausted));
        nat.sweep(Seconds(NOW.0 + 10_000), usize::MAX);
        assert!(nat.is_empty() && nat.clients() == 0);
    }
}

#[test]
fn rfc6888_req8_a_freed_port_rests_for_two_minutes() {
    let rules = Rules { reserve_percent: 0, parity: false, ..Rules::default() };
    let mut nat = Nat::new(&Config { rules, pool: config().pool[..1].to_vec(), ..config() }).unwrap();
    let ports = |nat: &mut Nat, now, client| {
        (1024..u16::MAX).map_while(|port| to(nat, now, v4(UDP, client, port), 0).ok()).count()
    };
    let all = ports(&mut nat, 0, 1);
    assert!(all > 80);
    assert_eq!(nat.sweep(Seconds(300), usize::MAX), all);
    assert_eq!(ports(&mut nat, 300, 2), 0);
    assert_eq!(ports(&mut nat, 419, 2), 0);
    assert_eq!(ports(&mut nat, 424, 2), all);
}

#[test]
fn rfc6888_req11_nothing_that_lives_is_removed_for_what_is_new() {
    let mut nat = Nat::new(&Config { sessions_max: 1000, workers: 1, worker: 0, ..config() }).unwrap();
    let old: Vec<_> = (0..10).map(|port| to(&mut nat, 0, v4(TCP, 1, 2000 + port), 0).unwrap()).collect();
    // One client from all its ports, and then as many clients as there are.
    let flood = (0..60_000).filter(|port| to(&mut nat, 1, v4(TCP, 2, *port), 0).is_ok()).count();
    assert_eq!(flood, 940);
    // What is reserved is left for a client that has little.
    assert!(to(&mut nat, 1, v4(UDP, 3, 2000), 0).is_ok());
    let refused = (10..2000).find_map(|client| to(&mut nat, 1, v4(TCP, client, 2000), 0).err());
    assert_eq!(refused, Some(Reason::NatTableFull));
    for view in old {
        let slot = nat.reverse_slot(view.external, TCP, view.external_port).unwrap();
        assert_eq!(nat.find_reverse(slot, view.origin, view.origin_port), Ok(view.index));
    }
    nat.sweep(Seconds(1 + 300), usize::MAX);
    assert!(nat.is_empty() && nat.clients() == 0);
}

#[test]
fn rfc6888_req13_all_ports_are_used_before_one_is_refused() {
    let mut nat = one_worker(70_000, 1, Rules { reserve_percent: 0, ..Rules::default() });
    let used = (0..=u16::MAX).take_while(|client| to(&mut nat, 0, v4(UDP, *client, 4000), 0).is_ok()).count();
    assert_eq!(used, 65_536 - 1024);
}
