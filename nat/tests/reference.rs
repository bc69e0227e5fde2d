//! Mapping and filtering against a NAT that fits on one page: maps without limits, written from the RFCs' words.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod common;

use common::*;
use packet::ip::parse;
use packet::transport::{TCP, UDP};
use packet::{Addr, IpVersion, Reason};
use proa_nat::*;
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};

/// An inside endpoint of one protocol.
type Inside = (u16, u16, u8);

/// What the page knows of a mapping.
#[derive(Default)]
struct Mapping {
    external: Option<(Addr, u16)>,
    /// Origins' endpoints that belong to sessions.
    known: HashSet<(Addr, u16)>,
    /// Addresses that the client has sent to.
    asked: HashSet<Addr>,
    strictest: Filtering,
}

#[derive(Clone, Debug)]
enum Step {
    /// The client sends to one of four VIPs, each of which stands for an origin of its own.
    Out { inside: Inside, to: u16 },
    /// One of four origins, at its service's or another port, sends to the mapping of an inside endpoint.
    In { inside: Inside, from: u16, other_port: bool },
}

fn inside() -> impl Strategy<Value = Inside> {
    (0..3u16, 5000..5003u16, proptest::sample::select(vec![TCP, UDP, 1]))
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (inside(), 0..4u16).prop_map(|(inside, to)| Step::Out { inside, to }),
        (inside(), 0..4u16, any::<bool>()).prop_map(|(inside, from, other_port)| Step::In {
            inside,
            from,
            other_port
        }),
    ]
}

/// The first two services are as open as can be; the third and fourth as `filtering` says.
fn flow((client, port, protocol): Inside, to: u16) -> (Flow, ServiceId) {
    let mut flow = Flow::new(IpVersion::V4, protocol, client, port);
    flow.vip.0 = address(IpVersion::V4, VIPS, to);
    flow.origin.0 = address(IpVersion::V4, ORIGINS, to);
    (flow, ServiceId((protocol as u32) << 8 | to as u32))
}

fn create(
    nat: &mut Nat,
    (flow, service): (Flow, ServiceId),
    filtering: Filtering,
    slot: Option<ReverseSlot>,
) -> Result<SessionIndex, Reason> {
    let key = Key { service, ..flow.key() };
    let (End(vip, vip_port), End(origin, origin_port)) = (flow.vip, flow.origin);
    let new =
        NewSession { protocol: flow.protocol, vip, vip_port, origin, origin_port, tag: Tag(0), filtering };
    match slot {
        None => nat.create(NOW, nat.hash(&key), key, new),
        Some(slot) => nat.create_inbound(NOW, slot, key, new),
    }
}

proptest! {
    #[test]
    fn behaves_as_the_reference(steps in proptest::collection::vec(step(), 1..200), third in 0..3usize) {
        let modes = [Filtering::EndpointIndependent, Filtering::AddressDependent,
                     Filtering::AddressAndPortDependent];
        let of = |to: u16| if to < 2 { Filtering::EndpointIndependent } else { modes[third] };
        let mut nat = nat();
        let mut reference: HashMap<Inside, Mapping> = HashMap::new();
        for step in steps {
            match step {
                Step::Out { inside, to } => {
                    let (flow, service) = flow(inside, to);
                    let index = create(&mut nat, (flow, service), of(to), None).unwrap();
                    let view = nat.session(index).unwrap();
                    let mapping = reference.entry(inside).or_default();
                    let external = *mapping.external.get_or_insert((view.external, view.external_port));
                    prop_assert_eq!((view.external, view.external_port), external);
                    // A session that is there already keeps what it was made with.
                    let port = if inside.2 == 1 { view.external_port } else { view.origin_port };
                    if mapping.known.insert((view.origin, port)) {
                        mapping.strictest = mapping.strictest.max(of(to));
                    }
                    mapping.asked.insert(view.origin);
                    let mut bytes = flow.request(b"out");
                    let packet = parse(&bytes).unwrap();
                    nat.forward(NOW, index, &mut bytes, &packet).unwrap();
                    let sent = parse_valid(&bytes);
                    prop_assert_eq!((sent.src, sent.src_port), external);
                    prop_assert_eq!(sent.dst, flow.origin.0);
                }
                Step::In { inside, from, other_port } => {
                    let Some(mapping) = reference.get_mut(&inside) else { continue };
                    let (mut flow, mut service) = flow(inside, from);
                    let icmp = inside.2 == 1;
                    if icmp && !mapping.asked.contains(&flow.origin.0) {
                        continue;
                    }
                    if other_port && !icmp {
                        flow.origin.1 += 1;
                        service = ServiceId(service.0 | 0x80);
                        flow.vip.1 += 1;
                    }
                    let (address, port) = mapping.external.unwrap();
                    let mut bytes = build(inside.2, flow.origin, End(address, port), false, b"in");
                    let packet = parse(&bytes).unwrap();
                    let from_port = if icmp { port } else { flow.origin.1 };
                    let slot = nat.reverse_slot(packet.dst, packet.protocol, packet.dst_port).unwrap();
                    let lets_in = mapping.known.contains(&(flow.origin.0, from_port))
                        || match mapping.strictest {
                            Filtering::EndpointIndependent => true,
                            Filtering::AddressDependent => mapping.asked.contains(&flow.origin.0),
                            Filtering::AddressAndPortDependent => false,
                        };
                    let found = nat.find_reverse(slot, packet.src, packet.src_port).or_else(|reason| {
                        assert_eq!(reason, Reason::NatWrongPeer);
                        let found = nat.mapping(slot, packet.src)?;
                        assert_eq!((found.client, found.client_port), (flow.client.0, flow.client.1));
                        create(&mut nat, (flow, service), of(from), Some(slot))
                    });
                    prop_assert_eq!(found.is_ok(), lets_in, "{:?}", found);
                    let Ok(index) = found else { continue };
                    if mapping.known.insert((flow.origin.0, from_port)) {
                        mapping.strictest = mapping.strictest.max(of(from));
                    }
                    nat.reverse(NOW, index, &mut bytes, &packet).unwrap();
                    let delivered = parse_valid(&bytes);
                    prop_assert_eq!((delivered.dst, delivered.dst_port), (flow.client.0, flow.client.1));
                    prop_assert_eq!(delivered.src, flow.vip.0);
                }
            }
        }
        let sessions: usize = reference.values().map(|mapping| mapping.known.len()).sum();
        prop_assert_eq!(nat.len(), sessions);
        let ports: usize = nat.pool_use().map(|pool| pool.used).sum();
        prop_assert_eq!(ports, reference.len());
        // All goes, in whatever order, and leaves nothing behind.
        let mut now = NOW.0;
        while !nat.is_empty() {
            now += 37;
            nat.sweep(Seconds(now), 5);
        }
        prop_assert!(nat.pool_use().all(|pool| pool.used == 0));
        prop_assert_eq!(nat.clients(), 0);
    }
}

#[test]
fn two_vips_of_one_origin_get_a_port_each() {
    let mut nat = nat();
    let (first, service) = flow((1, 5000, UDP), 0);
    let (mut second, other) = flow((1, 5000, UDP), 1);
    second.origin = first.origin;
    let one = create(&mut nat, (first, service), Filtering::default(), None).unwrap();
    let two = create(&mut nat, (second, other), Filtering::default(), None).unwrap();
    let (one, two) = (nat.session(one).unwrap(), nat.session(two).unwrap());
    assert_eq!(one.external, two.external);
    assert_ne!(one.external_port, two.external_port);
    // What is alone lets nobody else in, and further sessions have the mapping's port.
    let slot = nat.reverse_slot(two.external, UDP, two.external_port).unwrap();
    assert_eq!(nat.mapping(slot, address(IpVersion::V4, ORIGINS, 3)), Err(Reason::NatWrongPeer));
    let third = create(&mut nat, flow((1, 5000, UDP), 2), Filtering::default(), None).unwrap();
    assert_eq!(nat.session(third).unwrap().external_port, one.external_port);
    for (view, flow) in [(one, first), (two, second)] {
        let slot = nat.reverse_slot(view.external, UDP, view.external_port).unwrap();
        assert_eq!(nat.find_reverse(slot, flow.origin.0, flow.origin.1), Ok(view.index));
    }
}
