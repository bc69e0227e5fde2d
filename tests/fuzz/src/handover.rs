//! A gateway that another one tells of its sessions: any records, in any order, also such as no gateway would send.
//!
//! ```text
//! input  = record *
//! record = action (1 byte) | its data
//! action: 0 time passes: seconds (2 bytes); 1 the block is held or let go of; 2 what was told is forgotten; 3 an own session, of
//!         the client and port of a binding record (56 bytes); else a session that is told of, in a binding record
//! ```

use crate::input::Input;
use crate::nat::{SESSIONS, WORKERS, config};
use crate::seeds::Seed;
use nat::{Elsewhere, Filtering, Key, Nat, NewSession, Seconds, ServiceId, SessionView, Tag};
use overlay::topology::NodeId;
use overlay::wire::{RECORD_LEN, Record, RecordKind};
use packet::Addr;
use packet::transport::is_common;
use std::collections::BTreeSet;

const INPUT_MAX: usize = 8192;
/// The gateway's own block, and the other's.
const OWN: usize = 0;
const OTHER: usize = 1;
const VIPS: [[u8; 4]; 2] = [[203, 0, 113, 10], [203, 0, 113, 11]];

fn pool(last: u8) -> [Addr; 2] {
    let mut v6 = [0x20, 1, 0xd, 0xb8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];
    v6[15] = last;
    [Addr::from_v4([10, 9, 0, last]), Addr::from_v6(v6)]
}

/// Clients are of a few addresses, so that they meet.
fn client(record: &Record) -> Addr {
    let [high, low] = record.client_port.to_be_bytes();
    match record.origin.is_v4() && high & 1 == 0 {
        true => Addr::from_v4([198, 51, 100, low & 3]),
        false => Addr::from_v6([0x20, 1, 0xd, 0xb8, 0, 0xc, 0, 0, 0, 0, 0, 0, 0, 0, 0, low & 3]),
    }
}

fn session(record: &Record) -> (Key, NewSession) {
    let client = client(record);
    let vip = VIPS[usize::from(record.vip_port & 1)];
    let vip = if client.is_v4() { Addr::from_v4(vip) } else { Addr::from_v6([vip[3]; 16]) };
    let service = ServiceId(u32::from(record.protocol) << 1 | u32::from(record.vip_port & 1));
    let new = NewSession {
        protocol: record.protocol,
        vip,
        vip_port: record.vip_port,
        origin: record.origin,
        origin_port: record.origin_port,
        tag: Tag(record.revision),
        filtering: Filtering::EndpointIndependent,
    };
    (Key { client, port: record.client_port, service }, new)
}

/// No two sessions have one outside, what is told of is as it was told, and in a block that is held nothing is stored.
pub fn run(data: &[u8]) {
    let mut nat = Nat::with_peer(&config(&pool(100)), &pool(200)).expect("the configuration is right");
    nat.set_held(OWN, true);
    nat.remember_made(true);
    let mut now = Seconds(1);
    let mut input = Input(&data[..data.len().min(INPUT_MAX)]);
    while !input.is_empty() {
        match input.byte() {
            0 => {
                now = Seconds(now.0.wrapping_add(u32::from(input.word())));
                nat.sweep(now, SESSIONS);
                nat.sweep_others(now, SESSIONS);
            }
            1 => nat.set_held(OTHER, !nat.is_held(OTHER)),
            2 => {
                nat.set_held(OTHER, false);
                nat.begin_purge(OTHER);
                nat.purge(now, u32::MAX);
                assert!(!nat.is_purging(OTHER) && !nat.has_stored(OTHER));
                assert!(all(&nat).iter().all(|view| nat.block_of(view.external) == Some(OWN)));
            }
            3 => {
                let Some(record) = Record::parse(input.take(RECORD_LEN)) else { continue };
                let (key, new) = session(&record);
                let _ = match is_common(new.protocol) {
                    true => nat.create_in(now, nat.hash(&key), key, new, OWN),
                    false => nat.create_other(now, key, new, OWN),
                };
            }
            _ => {
                let Some(record) = Record::parse(input.take(RECORD_LEN)) else { continue };
                tell(&mut nat, now, &record);
            }
        }
        check(&nat);
    }
    // All of it ends, and nothing is left.
    let later = Seconds(now.0.wrapping_add(20_000));
    nat.sweep(later, usize::MAX);
    (0..2).for_each(|_| nat.sweep_others(later, SESSIONS));
    nat.sweep(Seconds(later.0.wrapping_add(20_000)), usize::MAX);
    assert!(nat.is_empty() && nat.others_len() == 0 && nat.clients() == 0);
    assert!(nat.pool_use().all(|pool| pool.used == 0));
}

fn tell(nat: &mut Nat, now: Seconds, record: &Record) {
    let (key, new) = session(record);
    let at = Elsewhere { external: record.external, port: record.external_port, state: record.state };
    let held = nat.block_of(at.external).is_none_or(|block| nat.is_held(block));
    let own: Vec<SessionView> = of_block(nat, OWN);
    let stored = nat.store(now, key, new, at);
    assert!(!(held && stored.is_ok()), "stored in a block that is held");
    if stored.is_ok() {
        let found = all(nat).into_iter().find(|view| view.key == key && view.protocol == stored_as(record));
        let found = found.expect("what was stored is there");
        assert_eq!((found.external, found.external_port), (at.external, at.port));
    } else if held {
        assert_eq!(of_block(nat, OWN), own, "what is refused changes nothing");
    }
}

/// The protocol that a session has towards its origin.
fn stored_as(record: &Record) -> u8 {
    let is_echo = record.protocol == packet::transport::ICMPV6 && record.origin.is_v4();
    if is_echo { packet::transport::ICMP } else { record.protocol }
}

fn of_block(nat: &Nat, block: usize) -> Vec<SessionView> {
    all(nat).into_iter().filter(|view| nat.block_of(view.external) == Some(block)).collect()
}

fn all(nat: &Nat) -> Vec<SessionView> {
    let (mut found, mut from) = (Vec::new(), Some(0));
    while let Some(at) = from {
        let (session, next) = nat.session_from(at, 5);
        found.extend(session.and_then(|session| nat.any_session(session)));
        from = next;
    }
    found
}

fn check(nat: &Nat) {
    let sessions = all(nat);
    assert_eq!(sessions.len(), nat.len() + nat.others_len());
    let outside = |view: &SessionView| {
        // An echo's port is its identifier, at both ends.
        (view.protocol, view.external, view.external_port, view.origin, view.origin_port)
    };
    let outsides: BTreeSet<_> = sessions.iter().map(outside).collect();
    assert_eq!(outsides.len(), sessions.len(), "two sessions have one outside");
}

/// Sessions told of, again, with a port that another has, in a block that is held, and forgotten.
pub fn seeds() -> Vec<Seed> {
    let record = |protocol: u8, state: u8, client_port: u16, external_port: u16| Record {
        kind: RecordKind::Session,
        protocol,
        state,
        client_port,
        vip_port: 80,
        external_port,
        origin_port: if matches!(protocol, 1 | 47) { 0 } else { 80 },
        home: NodeId(5),
        number: 1,
        revision: 7,
        external: pool(200)[0],
        origin: Addr::from_v4([10, 9, 0, 2]),
    };
    let told = |record: Record| [&[9][..], &record.to_bytes()].concat();
    let own = |record: Record| [&[3][..], &record.to_bytes()].concat();
    // Ports of the first worker.
    let (one, other) = (2 * WORKERS, 4 * WORKERS);
    let (tcp, udp, echo) = (record(6, 0x23, 1, one), record(17, 1, 2, one), record(1, 2, 3, other));
    let nat64 = Record { client_port: 0x0101, ..tcp };
    let gre = record(47, 1, 0, 0);
    vec![
        ("told".to_owned(), [told(tcp), told(udp), told(echo), told(gre), vec![1]].concat()),
        ("again".to_owned(), [told(tcp), told(tcp), told(Record { external_port: other, ..tcp })].concat()),
        ("taken".to_owned(), [told(tcp), told(Record { client_port: 5, ..tcp }), told(nat64)].concat()),
        ("held".to_owned(), [told(udp), vec![1], told(tcp), vec![1], told(tcp), vec![2], own(tcp)].concat()),
        (
            "late".to_owned(),
            [told(tcp), vec![0, 1, 0], told(tcp), vec![0, 40, 0], own(udp), own(gre)].concat(),
        ),
    ]
}
