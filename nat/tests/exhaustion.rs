//! Whatever runs out, new sessions are refused by the right reason, nothing that lives is touched, nothing is left of the attempt, and
//! what ends makes room again (RFC 6888 REQ-11): for every resource, IP version and protocol.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod common;

use common::*;
use packet::transport::{GRE, SCTP, TCP, UDP, UDP_LITE};
use packet::{IpVersion, Reason};
use proa_nat::*;

/// Between which IP versions is translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
    V6ToV4,
}

const FAMILIES: [Family; 3] = [Family::V4, Family::V6, Family::V6ToV4];

impl Family {
    fn version(self) -> IpVersion {
        if self == Family::V4 { IpVersion::V4 } else { IpVersion::V6 }
    }

    fn flow(self, protocol: u8, client: u16, port: u16) -> Flow {
        let flow = Flow::new(self.version(), protocol, client, port);
        match self {
            Family::V6ToV4 => Flow { origin: End(address(IpVersion::V4, ORIGINS, 2), 8080), ..flow },
            _ => flow,
        }
    }

    fn protocols(self) -> [u8; 3] {
        [TCP, UDP, icmp_of(self.version())]
    }
}

/// What runs out.
#[derive(Clone, Copy, Debug)]
enum Resource {
    /// External ports of a client's address, to one client or to as many as there are.
    Ports,
    /// Sessions, to one client or to as many as there are.
    Sessions,
    /// Places for clients.
    Clients,
    /// What one client may have of sessions and of ports, and how fast.
    ClientSessions,
    ClientPorts,
    ClientRate,
}

use Resource::{ClientPorts, ClientRate, ClientSessions, Clients, Ports, Sessions};

impl Resource {
    fn nat(self) -> Nat {
        // One address of each version; of its ports this worker has some ninety.
        let pool = [IpVersion::V4, IpVersion::V6].map(|version| address(version, POOL, 1)).into();
        let mut rules = Rules { reserve_percent: 0, quarantine_s: 0, ..Rules::default() };
        let (mut sessions_max, mut workers) = (1000, 700);
        match self {
            Ports => {}
            Sessions => (sessions_max, workers) = (60, 6),
            Clients => rules.clients_max = 30,
            ClientSessions => rules.client.sessions = [40; 3],
            ClientPorts => rules.client.ports = 40,
            ClientRate => (rules.client.sessions_per_second, rules.client.burst) = (1, 40),
        }
        Nat::new(&Config { sessions_max, pool, workers, rules, ..config() }).unwrap()
    }

    fn reason(self) -> Reason {
        match self {
            Ports => Reason::NatPortsExhausted,
            Sessions | Clients => Reason::NatTableFull,
            ClientSessions | ClientPorts => Reason::NatClientLimit,
            ClientRate => Reason::NatClientRate,
        }
    }

    /// Whether other clients notice.
    fn is_shared(self) -> bool {
        matches!(self, Ports | Sessions | Clients)
    }
}

/// The `number`th flow of a flood: from one client, or each from another.
fn flood(family: Family, protocol: u8, by_many: bool, number: u16) -> Flow {
    match by_many {
        true => family.flow(protocol, 100 + number, 5000),
        false => family.flow(protocol, 100, 5000 + number),
    }
}

/// Makes sessions until `times` in a row are refused, all by this reason; returns those that were made.
fn exhaust(nat: &mut Nat, wanted: Reason, mut flow: impl FnMut(u16) -> Flow) -> Vec<(Flow, SessionView)> {
    let (mut made, mut refused, mut number) = (Vec::new(), 0, 0);
    while refused < 50 {
        let flow = flow(number);
        let held = |nat: &Nat| {
            let ports: usize = nat.pool_use().map(|pool| pool.used).sum();
            (nat.len(), nat.clients(), ports, nat.client(flow.client.0))
        };
        let before = held(nat);
        match flow.create(nat) {
            Ok(index) => made.push((flow, nat.session(index).unwrap())),
            Err(reason) => {
                assert_eq!(reason, wanted);
                assert_eq!(held(nat), before, "something is left of an attempt");
                refused += 1;
            }
        }
        number += 1;
        assert!(number < 10_000, "nothing ran out");
    }
    made
}

/// A session is what it was, found from both sides, and where the IP version stays, translates.
fn assert_lives(nat: &mut Nat, flow: &Flow, view: &SessionView) {
    let index = flow.find(nat).unwrap();
    assert_eq!(nat.session(index).as_ref(), Some(view));
    let slot = nat.reverse_slot(view.external, view.protocol, view.external_port).unwrap();
    // An echo has one number on both sides.
    let port = if matches!(view.protocol, TCP | UDP) { view.origin_port } else { view.external_port };
    assert_eq!(nat.find_reverse(slot, view.origin, port), Ok(index));
    if view.external.is_v4() == view.key.client.is_v4() {
        let mut request = flow.request(b"payload");
        assert_eq!(forward(nat, flow, &mut request), index);
        let translated = parse_valid(&request);
        assert_eq!((translated.src, translated.src_port), (view.external, view.external_port));
        let mut reply = flow.reply(&translated, b"payload");
        assert_eq!(reverse(nat, &mut reply), Ok(index));
        let back = parse_valid(&reply);
        assert_eq!((back.dst, back.dst_port), (flow.client.0, flow.client.1));
    }
}

#[test]
fn rfc6888_req11_threat6_whatever_runs_out_refuses_and_removes_nothing() {
    for resource in [Ports, Sessions, Clients, ClientSessions, ClientPorts, ClientRate] {
        for family in FAMILIES {
            for protocol in family.protocols() {
                for by_many in [true, false] {
                    // Only many clients take all places for clients, and only one is over what one may have.
                    let fits = match resource {
                        Ports | Sessions => true,
                        Clients => by_many,
                        ClientSessions | ClientPorts | ClientRate => !by_many,
                    };
                    if !fits {
                        continue;
                    }
                    runs_out(resource, family, protocol, by_many);
                }
            }
        }
    }
}

fn runs_out(resource: Resource, family: Family, protocol: u8, by_many: bool) {
    let mut nat = resource.nat();
    // Somebody is there before, with every protocol.
    let old: Vec<(Flow, SessionView)> = family
        .protocols()
        .iter()
        .zip(4000..)
        .map(|(protocol, port)| {
            let flow = family.flow(*protocol, 1, port);
            let index = flow.create(&mut nat).unwrap();
            (flow, nat.session(index).unwrap())
        })
        .collect();
    let made = exhaust(&mut nat, resource.reason(), |number| flood(family, protocol, by_many, number));
    assert!(made.len() >= 28, "{resource:?} {family:?} {protocol} {by_many}: only {}", made.len());
    for (flow, view) in old.iter().chain(&made) {
        assert_lives(&mut nat, flow, view);
    }
    // Packets that live moved the states of some; what was not used ends, and all is free again.
    let neighbour = family.flow(protocol, 2, 4000).create(&mut nat);
    assert_eq!(neighbour.is_err(), resource.is_shared(), "{resource:?} {family:?} {protocol} {by_many}");
    nat.sweep(Seconds(NOW.0 + 8000), usize::MAX);
    assert!(nat.is_empty() && nat.clients() == 0 && nat.pool_use().all(|pool| pool.used == 0));
}

/// The same of protocols that have sessions in a table of their own.
fn create_other(
    nat: &mut Nat,
    version: IpVersion,
    protocol: u8,
    client: u16,
    port: u16,
) -> Result<SessionIndex, Reason> {
    let port = if protocol == GRE { 0 } else { port };
    let flow = Flow::new(version, protocol, client, port);
    nat.create_other(NOW, flow.key(), flow.new_session(), 0)
}

#[test]
fn rfc6888_req11_threat6_other_protocols_run_out_alike() {
    for version in [IpVersion::V4, IpVersion::V6] {
        for (protocol, rules, wanted, by_many) in [
            // Protocols without ports have as many clients as addresses, four here, each origin.
            (GRE, Rules::default(), Reason::NatPortsExhausted, true),
            // SCTP keeps its ports: as many clients of one port as addresses.
            (SCTP, Rules::default(), Reason::NatPortsExhausted, true),
            (
                UDP_LITE,
                limited(ClientLimits { sessions: [1000, 1000, 40], ..ClientLimits::default() }),
                Reason::NatClientLimit,
                false,
            ),
            (
                SCTP,
                limited(ClientLimits { sessions: [1000, 1000, 40], ..ClientLimits::default() }),
                Reason::NatClientLimit,
                false,
            ),
            (
                UDP_LITE,
                limited(ClientLimits { ports: 40, ..ClientLimits::default() }),
                Reason::NatClientLimit,
                false,
            ),
            (
                UDP_LITE,
                limited(ClientLimits { sessions_per_second: 1, burst: 40, ..ClientLimits::default() }),
                Reason::NatClientRate,
                false,
            ),
            (UDP_LITE, Rules::default(), Reason::NatTableFull, false),
        ] {
            let mut nat = Nat::new(&Config { worker: 0, workers: 1, rules, ..config() }).unwrap();
            let (mut made, mut refused, mut number) = (Vec::new(), 0, 0);
            while refused < 50 {
                let (client, port) = if by_many { (100 + number, 5000) } else { (100, 5000 + number) };
                let (others, clients) = (nat.others_len(), nat.clients());
                match create_other(&mut nat, version, protocol, client, port) {
                    Ok(index) => made.push((index, nat.any_session(index).unwrap())),
                    Err(reason) => {
                        assert_eq!(
                            (reason, nat.others_len(), nat.clients()),
                            (wanted, others, clients),
                            "{protocol}"
                        );
                        refused += 1;
                    }
                }
                number += 1;
                assert!(number < 10_000, "nothing ran out");
            }
            assert!(made.len() >= 4);
            for (index, view) in &made {
                assert_eq!(nat.any_session(*index).as_ref(), Some(view));
                let found = nat.find_other_reverse(
                    (view.origin, view.origin_port),
                    (view.external, view.external_port),
                    protocol,
                );
                assert_eq!(found, Ok(*index));
            }
            // One client alone harms no other.
            if !by_many {
                assert!(create_other(&mut nat, version, protocol, 7, 4999).is_ok(), "{protocol} {wanted:?}");
            }
            nat.sweep_others(Seconds(NOW.0 + 300), usize::MAX);
            assert_eq!((nat.others_len(), nat.clients()), (0, 0));
        }
    }
}

fn limited(client: ClientLimits) -> Rules {
    Rules { client, ..Rules::default() }
}

/// A client that takes all it can get, by default rules: what is reserved is left for those who have little, whatever it took.
#[test]
fn threat6_one_client_from_all_its_ports_leaves_others_what_they_need() {
    for family in FAMILIES {
        for protocol in family.protocols() {
            let mut nat =
                Nat::new(&Config { sessions_max: 2000, worker: 0, workers: 40, ..config() }).unwrap();
            let friend = family.flow(protocol, 1, 4000);
            let before = friend.create(&mut nat).unwrap();
            let before = nat.session(before).unwrap();
            let flood = (0..60_000)
                .filter(|port| family.flow(protocol, 666, 1024 + port).create(&mut nat).is_ok())
                .count();
            assert!((1000..2000).contains(&flood), "{family:?} {protocol}: {flood}");
            assert_lives(&mut nat, &friend, &before);
            // Whoever comes now finds a session and a port, also at the address that the flood is behind.
            let latecomers = (2..60)
                .filter(|client| family.flow(protocol, *client, 4000).create(&mut nat).is_ok())
                .count();
            assert_eq!(latecomers, 58, "{family:?} {protocol}");
        }
    }
}
