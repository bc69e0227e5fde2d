//! A block's sessions move from one gateway to another: what the second one stores is what the first one had.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod common;

use common::*;
use packet::transport::{ICMP, ICMPV6, SCTP, TCP, UDP, UDP_LITE};
use packet::{Addr, IpVersion, Reason};
use proa_nat::*;
use proptest::prelude::*;

const GRE: u8 = 47;

fn pool(from: u16) -> Vec<Addr> {
    let versions = [IpVersion::V4, IpVersion::V6];
    versions
        .iter()
        .flat_map(|version| (from..from + 4).map(|number| address(*version, POOL, number)))
        .collect()
}

/// A gateway whose own block is the first pool, or the second; it holds that.
fn gateway(second: bool, seed: u64) -> Nat {
    let [own, peers] = if second { [pool(100), pool(0)] } else { [pool(0), pool(100)] };
    let rules = Rules { quarantine_s: 0, ..Rules::default() };
    let config = Config { pool: own, worker: 0, workers: 1, seed, rules, ..config() };
    let mut nat = Nat::with_peer(&config, &peers).unwrap();
    nat.set_held(0, true);
    nat
}

fn open(nat: &mut Nat, flow: &Flow, protocol: u8) -> Result<SessionIndex, Reason> {
    // Services of different protocols are different services.
    let (key, new) = (Key { service: ServiceId(protocol.into()), ..flow.key() }, flow.new_session());
    match protocol {
        TCP | UDP | ICMP | ICMPV6 => nat.create_in(NOW, nat.hash(&key), key, new, 0),
        _ => nat.create_other(NOW, key, new, 0),
    }
}

fn tell(of: &SessionView, to: &mut Nat) -> Result<(), Reason> {
    let new = NewSession {
        protocol: of.inside_protocol(),
        vip: of.vip,
        vip_port: of.vip_port,
        origin: of.origin,
        origin_port: of.origin_port,
        tag: Tag(7),
        filtering: Filtering::EndpointIndependent,
    };
    let at = Elsewhere { external: of.external, port: of.external_port, state: of.state.number() };
    to.store(NOW, of.key, new, at)
}

/// All sessions, by the steps in which a gateway goes through them.
fn all(nat: &Nat, places: u32) -> Vec<SessionIndex> {
    let (mut found, mut from) = (Vec::new(), Some(0));
    while let Some(at) = from {
        let (session, next) = nat.session_from(at, places);
        found.extend(session);
        from = next;
    }
    found
}

fn find(nat: &Nat, view: &SessionView) -> Option<SessionView> {
    let common = nat.find(nat.hash(&view.key), &view.key).and_then(|session| nat.session(session));
    common.or_else(|| nat.find_other(&view.key).and_then(|session| nat.any_session(session)))
}

type Opened = (bool, u8, u16, u16);

fn opened() -> impl Strategy<Value = Opened> {
    let protocol = proptest::sample::select(vec![TCP, TCP, UDP, UDP, ICMP, GRE, SCTP, UDP_LITE]);
    (any::<bool>(), protocol, 1u16..6, 1024u16..1030)
}

fn flow_of((v4, protocol, client, port): Opened) -> (Flow, u8) {
    let version = if v4 { IpVersion::V4 } else { IpVersion::V6 };
    let protocol = if protocol == ICMP { icmp_of(version) } else { protocol };
    let port = if protocol == GRE { 0 } else { port };
    (Flow::new(version, protocol, client, port), protocol)
}

proptest! {
    // Each has three gateways with all their ports.
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn the_second_gateway_translates_as_the_first_did(
        before in proptest::collection::vec(opened(), 0..60), later in proptest::collection::vec(opened(), 0..20),
        stale in proptest::collection::vec(opened(), 0..20), places in 1u32..50, seeds: [u64; 2],
    ) {
        let mut first = gateway(false, seeds[0]);
        let mut second = gateway(true, seeds[1]);
        // Of a move that was broken off long ago: none of it is true any more.
        let mut former = gateway(false, seeds[0] ^ 99);
        for one in stale {
            let (flow, protocol) = flow_of(one);
            if let Ok(session) = open(&mut former, &flow, protocol) {
                tell(&former.any_session(session).unwrap(), &mut second).unwrap();
            }
        }
        for one in before {
            let (flow, protocol) = flow_of(one);
            let _ = open(&mut first, &flow, protocol);
        }
        first.remember_made(true);
        for session in all(&first, places) {
            prop_assert_eq!(tell(&first.any_session(session).unwrap(), &mut second), Ok(()));
        }
        for one in later {
            let (flow, protocol) = flow_of(one);
            let _ = open(&mut first, &flow, protocol);
        }
        while let Some(session) = first.next_made() {
            prop_assert_eq!(tell(&first.any_session(session).unwrap(), &mut second), Ok(()));
        }
        prop_assert!(!first.has_forgotten_made() && second.has_stored(1));
        second.set_held(1, true);
        for session in all(&first, 7) {
            let was = first.any_session(session).unwrap();
            let is = find(&second, &was).unwrap();
            prop_assert_eq!((is.external, is.external_port), (was.external, was.external_port));
            prop_assert_eq!((is.origin, is.origin_port, is.vip, is.vip_port), (was.origin, was.origin_port, was.vip, was.vip_port));
            prop_assert_eq!((is.state, second.block_of_session(is.index)), (was.state, Some(1)));
            prop_assert!(is.seconds_left(NOW) <= was.seconds_left(NOW));
        }
        // What is held is no more written to, and all of it ends like any session.
        if let Some(session) = all(&first, 99).first() {
            prop_assert_eq!(tell(&first.any_session(*session).unwrap(), &mut second), Err(Reason::NatNotHolder));
        }
        second.sweep(Seconds(NOW.0 + 8000), usize::MAX);
        (0..100).for_each(|_| second.sweep_others(Seconds(NOW.0 + 8000), 1000));
        prop_assert!(second.is_empty() && second.others_len() == 0 && second.clients() == 0);
        prop_assert!(second.pool_use().all(|pool| pool.used == 0));
    }
}

#[test]
fn a_connection_lives_as_long_as_one_that_opens_and_a_state_must_be_one() {
    let (mut first, mut second) = (gateway(false, 1), gateway(true, 2));
    let flow = Flow::new(IpVersion::V4, TCP, 1, 5000);
    let session = open(&mut first, &flow, TCP).unwrap();
    let view = first.session(session).unwrap();
    tell(&view, &mut second).unwrap();
    let stored = find(&second, &view).unwrap();
    assert_eq!(stored.seconds_left(NOW), Timeouts::default().tcp_opening);
    let new = NewSession { vip_port: 81, ..flow.new_session() };
    for (state, external, expected) in [
        (1, view.external, Reason::Transport),
        (0, view.external, Reason::Transport),
        (255, view.external, Reason::Transport),
        (0x23, pool(100)[0], Reason::NatNotHolder),
        (0x23, address(IpVersion::V4, POOL, 999), Reason::NatNotHolder),
    ] {
        let key = Key { port: 5001, ..flow.key() };
        let at = Elsewhere { external, port: 40_000, state };
        assert_eq!(second.store(NOW, key, new, at), Err(expected), "{state} {external:?}");
    }
    assert_eq!(second.len(), 1);
    second.begin_purge(1);
    assert!(!second.has_stored(1));
    second.purge(NOW, 10_000);
    assert!(second.is_empty());
}

#[test]
fn more_new_sessions_than_are_remembered_are_noticed() {
    let config = Config { sessions_max: 10_000, worker: 0, workers: 1, pool: pool(0), ..config() };
    let mut nat = Nat::with_peer(&config, &pool(100)).unwrap();
    nat.set_held(0, true);
    nat.remember_made(true);
    for client in 0..5000u16 {
        open(&mut nat, &Flow::new(IpVersion::V4, UDP, client % 500, 5000 + client / 500), UDP).unwrap();
    }
    assert!(nat.has_forgotten_made() && !nat.has_forgotten_made());
    assert!(core::iter::from_fn(|| nat.next_made()).count() < 5000);
    nat.remember_made(false);
    open(&mut nat, &Flow::new(IpVersion::V4, UDP, 6000, 5000), UDP).unwrap();
    assert_eq!(nat.next_made(), None);
}
