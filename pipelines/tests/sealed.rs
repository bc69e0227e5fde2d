//! Sealed streams and authenticated hops through four real data paths, with keys that the nodes agreed on themselves.
#![allow(clippy::unwrap_used)] // a failed unwrap fails its test

mod common;

use common::*;
use overlay::keys::{Announcer, Identity, Keyring, Now, ROTATION_MIN_S, Settings};
use overlay::protocol::Protocol;
use overlay::seal::{SealTable, tail};
use overlay::topology::{NodeId, Routing, Sampling, Seal};
use overlay::wire::{self, trace::Trace};
use packet::Reason;
use pipelines::PortIndex;
use proptest::prelude::*;
use std::sync::Arc;

const CLIENT: &str = "198.51.100.77";
const VIP: &str = "203.0.113.10";
const UNIX_MS: u64 = 1_780_000_000_000;
/// Where GENEVE starts in a frame.
const GENEVE_AT: usize = 14 + 20 + 8;

/// The nodes' control threads, as far as keys go.
struct Control {
    announcers: Vec<Announcer>,
    /// What the nodes' workers have.
    tables: [Option<Arc<SealTable>>; 4],
    now_ms: u64,
    random: u8,
}

impl Control {
    fn new() -> Control {
        let identity = |node: u16| Identity::from_seed(&[node as u8; 32]).unwrap();
        let now = Now { monotonic_ms: 0, unix_ms: UNIX_MS };
        let announcers = (1..=4).map(|node| {
            let settings = Settings { overlay_id: 7, node: NodeId(node), rotation_s: ROTATION_MIN_S };
            let mut keyring = Keyring::new(settings, identity(node), now, &[node as u8; 32]).unwrap();
            keyring.set_peers((1..=4).map(|peer| (NodeId(peer), identity(peer).public())));
            Announcer::new(keyring)
        });
        Control { announcers: announcers.collect(), tables: Default::default(), now_ms: 0, random: 10 }
    }

    /// A node has started anew, and remembers nothing but who it is.
    fn restart(&mut self, node: usize, random: u8) {
        let number = node as u16 + 1;
        let identity = |node: u16| Identity::from_seed(&[node as u8; 32]).unwrap();
        let now = Now { monotonic_ms: self.now_ms, unix_ms: UNIX_MS + self.now_ms };
        let settings = Settings { overlay_id: 7, node: NodeId(number), rotation_s: ROTATION_MIN_S };
        let mut keyring = Keyring::new(settings, identity(number), now, &[random; 32]).unwrap();
        keyring.set_peers((1..=4).map(|peer| (NodeId(peer), identity(peer).public())));
        self.announcers[node] = Announcer::new(keyring);
    }

    /// Lets time pass: keys are made, announced, acknowledged, and given to the workers.
    fn pass(&mut self, lab: &mut Lab, ms: u64) {
        self.now_ms += ms;
        for _ in 0..4 {
            let now = Now { monotonic_ms: self.now_ms, unix_ms: UNIX_MS + self.now_ms };
            let mut messages = Vec::new();
            let nodes = lab.nodes.iter_mut().zip(&mut self.tables);
            for (announcer, (node, held)) in self.announcers.iter_mut().zip(nodes) {
                self.random = self.random.wrapping_add(1);
                let keyring = announcer.keyring_mut();
                keyring.rotate(now, &[self.random; 32]);
                keyring.expire(now);
                if let Some(table) = keyring.compile() {
                    let generation = table.generation();
                    let table = Arc::new(table);
                    *held = Some(table.clone());
                    node.forwarder.swap_keys(table);
                    keyring.published(generation);
                }
                while let Some(message) = announcer.poll_transmit(now) {
                    messages.push(message);
                }
            }
            for (to, message) in messages {
                let _ = self.announcers[to.0 as usize - 1].handle(&message, now);
            }
        }
    }
}

fn sealed() -> (Lab, Control) {
    sealed_and_sampled(0)
}

/// The same with records of hops in one of so many packets.
fn sealed_and_sampled(one_in: u32) -> (Lab, Control) {
    let mut topology = topology();
    topology.applications[0].seal = Seal::Aes256Gcm;
    topology.applications[0].trace = Sampling { one_in, hops_max: 8 };
    let mut lab = Lab::with(&topology, 1);
    let mut control = Control::new();
    (0..5).for_each(|_| control.pass(&mut lab, 100));
    (lab, control)
}

/// The same with a parity packet for each two.
fn sealed_and_coded() -> (Lab, Control) {
    let mut topology = topology();
    topology.applications[0].seal = Seal::Aes256Gcm;
    let coding = overlay::parity::Coding { packets: 2, parity: 1, wait_us: 5000 };
    let (to_origin, to_client) = (Protocol::Parity, Protocol::Parity);
    topology.applications[0].routing = Routing { to_origin, to_client, coding, ..Routing::default() };
    let mut lab = Lab::with(&topology, 1);
    let mut control = Control::new();
    (0..5).for_each(|_| control.pass(&mut lab, 100));
    (lab, control)
}

/// A sealed packet that is lost is rebuilt as it was sealed, and opened then; parity in which a bit was changed delivers nothing.
#[test]
fn what_is_rebuilt_is_opened_as_if_it_had_come() {
    for change in [false, true] {
        let (mut lab, _) = sealed_and_coded();
        let mut sent: Vec<Sent> = (0..2).flat_map(|_| request(&mut lab, 4001)).collect();
        assert_eq!(sent.len(), 3);
        if change {
            // Not in the last 16 bytes, which the hop authenticator covers.
            let at = sent[2].2.len() - 20;
            sent[2].2[at] ^= 1;
        }
        let come = vec![sent[0].clone(), sent[2].clone()];
        let left = lab.run(come);
        assert_eq!(left.len(), if change { 1 } else { 2 });
        assert!(left.iter().all(|left| left.2.ends_with(b"what nobody may read")));
        assert_eq!(lab.dropped(GATEWAY, Reason::OverlayForged), u64::from(change));
        // What was not delivered may still come.
        assert_eq!(lab.run(vec![sent[1].clone()]).len(), usize::from(change));
    }
}

/// A packet that does not open is not kept for others either.
#[test]
fn what_does_not_open_rebuilds_nothing() {
    let (mut lab, _) = sealed_and_coded();
    let mut sent: Vec<Sent> = (0..2).flat_map(|_| request(&mut lab, 4001)).collect();
    let whole = sent[0].clone();
    let at = sent[0].2.len() - 20;
    sent[0].2[at] ^= 1;
    assert!(lab.run(vec![sent[0].clone(), sent[2].clone()]).is_empty());
    assert_eq!(lab.dropped(GATEWAY, Reason::OverlayForged), 1);
    assert_eq!(lab.run(vec![whole]).len(), 2, "the one that came, and the one that was rebuilt of it");
}

fn request(lab: &mut Lab, port: u16) -> Vec<Sent> {
    lab.give(EDGE, OUTSIDE, &frame(EDGE, CLIENT, port, VIP, 53, 17, b"what nobody may read"))
}

/// A request and its reply; says whether both arrived, once.
fn exchange(lab: &mut Lab, port: u16) -> bool {
    let copies = request(lab, port);
    let left = lab.run(copies);
    let [(GATEWAY, _, delivered)] = left.as_slice() else { return false };
    let at_origin = read(delivered);
    assert!(delivered.ends_with(b"what nobody may read"));
    let (origin, external) = (at_origin.dst.to_string(), at_origin.src.to_string());
    let reply = frame(GATEWAY, &origin, 8080, &external, at_origin.src_port, 17, b"nor this");
    let copies = lab.give(GATEWAY, OUTSIDE, &reply);
    let left = lab.run(copies);
    let [(EDGE, _, delivered)] = left.as_slice() else { return false };
    assert_eq!(read(delivered).dst, addr(CLIENT));
    delivered.ends_with(b"nor this")
}

#[test]
fn hop_records_are_outside_seal_and_authenticator_and_both_hold() {
    let (mut lab, _) = sealed_and_sampled(1);
    assert!(exchange(&mut lab, 4001));
    for (end, other) in [(GATEWAY, NodeId(1)), (EDGE, NodeId(4))] {
        let seen = &lab.nodes[end].seen;
        assert_eq!((seen.len(), seen[0].source, seen[0].application), (2, other, Some(0)));
        let records = seen.iter().map(|seen| Trace::parse(seen.trace()).unwrap().records.len());
        assert_eq!(records.sum::<usize>(), 2);
    }
    // Who is on the link can change a record, and nothing else: the packet passes, the wrong hop limit does not.
    let mut copies = request(&mut lab, 4002);
    assert!(copies.iter().all(|copy| copy.2[GENEVE_AT] > 10));
    copies[0].2[GENEVE_AT + 48 + 4 + 12] ^= 1;
    copies[1].2[GENEVE_AT + 14] ^= 1;
    assert_eq!(lab.run(copies).len(), 1);
    assert_eq!([MID_1, MID_2].map(|node| lab.dropped(node, Reason::OverlayForgedHop)).iter().sum::<u64>(), 1);
}

#[test]
fn copies_are_unreadable_and_differ_in_their_own_fields_alone() {
    let (mut lab, _) = sealed();
    let copies = request(&mut lab, 4000);
    assert_eq!(copies.len(), 2);
    for (_, _, copy) in &copies {
        assert!(!copy.windows(6).any(|part| part == b"nobody"), "in clear");
        assert_ne!(copy[GENEVE_AT + 36], 0, "a key epoch");
        assert_ne!(copy[GENEVE_AT + 20..GENEVE_AT + 28], [0; 8], "an authenticator");
    }
    // Sealed once: what is behind the headers is the same in both.
    assert_eq!(copies[0].2[GENEVE_AT + 48..], copies[1].2[GENEVE_AT + 48..]);
    assert!(exchange(&mut lab, 4001));
    assert_eq!(lab.dropped(GATEWAY, Reason::Duplicate), 1);
}

#[test]
fn without_an_acknowledged_key_nothing_leaves() {
    let mut topology = topology();
    topology.applications[0].seal = Seal::Aes256Gcm;
    let mut lab = Lab::with(&topology, 1);
    assert_eq!(request(&mut lab, 4000).len(), 0);
    assert_eq!(lab.dropped(EDGE, Reason::OverlayNoKey), 1);
}

#[test]
fn what_is_spoofed_dies_at_the_first_node() {
    let (mut lab, _) = sealed();
    let copies = request(&mut lab, 4000);
    let (_, port, copy) = copies[0].clone();
    let first = copy[4] as usize;
    // Another hop limit, stream, path, sequence, tag, authenticator or link epoch.
    let end = copy.len() - 1;
    for at in [14, 33, 35, 47, 20, 15].map(|at| GENEVE_AT + at).into_iter().chain([end]) {
        let mut forged = copy.clone();
        forged[at] ^= 1;
        assert_eq!(lab.give(first, port, &forged), vec![], "byte {at}");
    }
    let mut unsigned = copy.clone();
    unsigned[GENEVE_AT + 15] = 0;
    unsigned[GENEVE_AT + 20..GENEVE_AT + 28].fill(0);
    assert_eq!(lab.give(first, port, &unsigned), vec![]);
    let drops = lab.dropped(first, Reason::OverlayForgedHop) + lab.dropped(first, Reason::OverlayUnknownKey);
    assert_eq!(drops + lab.dropped(first, Reason::OverlayUnknownPath), 8);
    assert_eq!(lab.run(copies).len(), 1, "the good ones are unharmed");
}

#[test]
fn what_a_member_changed_is_opened_by_nobody_and_costs_the_good_copy_nothing() {
    let (mut lab, _) = sealed();
    let copies = request(&mut lab, 4000);
    // One intermediate changes a byte that its own authenticator does not cover, and the packet gets there first.
    let (_, port, mut bad) = copies[0].clone();
    bad[GENEVE_AT + 50] ^= 1;
    let first = bad[4] as usize;
    let forwarded = lab.give(first, port, &bad);
    assert_eq!(forwarded.len(), 1);
    assert_eq!(lab.run(forwarded), vec![]);
    assert_eq!(lab.dropped(GATEWAY, Reason::OverlayForged), 1);
    assert_eq!(lab.run(copies[1..].to_vec()).len(), 1);
}

#[test]
fn a_replay_is_a_duplicate() {
    let (mut lab, _) = sealed();
    let copies = request(&mut lab, 4000);
    assert_eq!(lab.run(copies.clone()).len(), 1);
    assert_eq!(lab.run(copies), vec![]);
    assert_eq!(lab.dropped(GATEWAY, Reason::Duplicate), 3);
}

#[test]
fn a_sealed_application_takes_nothing_unsealed() {
    // The edge's configuration says that the application is not sealed, the gateway's says that it is.
    let mut topology = topology();
    topology.applications[0].seal = Seal::Aes256Gcm;
    let mut lab = Lab::with(&topology, 1);
    topology.applications[0].seal = Seal::None;
    let open = tables(&topology, EDGE, Some(&lab.nodes[EDGE].forwarder.tables().clone()));
    lab.nodes[EDGE].forwarder.swap_tables(open.into());
    let copies = request(&mut lab, 4000);
    assert_eq!(copies.len(), 2);
    assert_eq!(lab.run(copies), vec![]);
    assert_eq!(lab.dropped(GATEWAY, Reason::OverlayUnsealed), 1);
    // With keys, as without.
    let mut control = Control::new();
    (0..5).for_each(|_| control.pass(&mut lab, 100));
    let copies = request(&mut lab, 4000);
    assert_eq!(lab.run(copies), vec![]);
    assert_eq!(lab.dropped(GATEWAY, Reason::OverlayUnsealed), 2);
}

#[test]
fn a_hundred_rotations_lose_nothing() {
    let (mut lab, mut control) = sealed();
    for turn in 0..100 * 6 {
        // What is under way while keys change arrives, too.
        let copies = request(&mut lab, 4000);
        control.pass(&mut lab, u64::from(ROTATION_MIN_S) * 1000 / 6);
        assert_eq!(lab.run(copies).len(), 1, "turn {turn}");
        assert!(exchange(&mut lab, 4000), "turn {turn}");
    }
}

/// Has a node forget the ways that it remembers, as a new snapshot does.
fn forget(lab: &mut Lab, node: usize) {
    let tables = lab.nodes[node].forwarder.tables().clone();
    lab.nodes[node].forwarder.swap_tables(tables);
}

/// Drops of a node so far, of all reasons.
fn drops(lab: &Lab, node: usize) -> Vec<u64> {
    lab.nodes[node].counters.drops.iter().map(packet::Counter::get).collect()
}

/// What a node makes of a frame: what it sends, and which reasons it counts.
fn outcome(lab: &mut Lab, node: usize, port: PortIndex, frame: &[u8]) -> (Vec<Sent>, Vec<u64>) {
    let before = drops(lab, node);
    let sent = lab.give(node, port, frame);
    (sent, drops(lab, node).iter().zip(before).map(|(now, before)| now - before).collect())
}

/// A frame as it is, and with each bit of its headers and the last of its tag changed, has the same outcome whether the
/// node remembers its way, by the frame `warm`, or not.
fn assert_judged_alike(lab: &mut Lab, node: usize, port: PortIndex, warm: &[u8], copy: &[u8]) {
    let inner_at = GENEVE_AT + 8 + usize::from(copy[GENEVE_AT] & 0x3f) * 4;
    let bits = (0..inner_at * 8).chain([(copy.len() - 1) * 8]);
    for bit in [None].into_iter().chain(bits.map(Some)) {
        let mut frame = copy.to_vec();
        if let Some(bit) = bit {
            frame[bit / 8] ^= 1 << (bit % 8);
        }
        forget(lab, node);
        let unknown = outcome(lab, node, port, &frame);
        forget(lab, node);
        lab.give(node, port, warm);
        let remembered = outcome(lab, node, port, &frame);
        assert_eq!(remembered, unknown, "node {node}, bit {bit:?}");
    }
}

#[test]
fn a_remembered_way_asks_of_each_packet_what_is_asked_of_the_first() {
    let (mut lab, _) = sealed();
    let (_, port, warm) = request(&mut lab, 4000)[0].clone();
    let (_, _, copy) = request(&mut lab, 4001)[0].clone();
    let first = copy[4] as usize;
    let onward = |lab: &mut Lab, frame: &[u8]| lab.give(first, port, frame)[0].2.clone();
    let at_the_end = (onward(&mut lab, &warm), onward(&mut lab, &copy));
    // At the gateway both have come before, so that what is good is a duplicate each time.
    assert!([&at_the_end.0, &at_the_end.1].iter().all(|frame| lab.give(GATEWAY, port, frame).len() == 1));
    for (node, (warm, copy)) in [(first, (warm, copy)), (GATEWAY, at_the_end)] {
        assert_judged_alike(&mut lab, node, port, &warm, &copy);
    }
}

#[test]
fn what_is_forged_on_a_remembered_way_dies_at_each_node() {
    let (mut lab, _) = sealed();
    assert!(exchange(&mut lab, 4000) && exchange(&mut lab, 4000));
    let copies = request(&mut lab, 4000);
    let (_, port, copy) = copies[0].clone();
    let first = copy[4] as usize;
    let onward = lab.give(first, port, &copy)[0].2.clone();
    for (node, good) in [(first, &copy), (GATEWAY, &onward)] {
        let before = lab.dropped(node, Reason::OverlayForgedHop);
        for at in 20..28 {
            let mut forged = good.clone();
            forged[GENEVE_AT + at] ^= 0x80;
            assert_eq!(lab.give(node, port, &forged), vec![], "byte {at}");
        }
        assert_eq!(lab.dropped(node, Reason::OverlayForgedHop) - before, 8);
    }
    assert_eq!(lab.run(copies).len(), 1, "the good ones are unharmed");
}

#[test]
fn a_remembered_way_ends_with_the_hop_limit_and_with_its_keys() {
    let (mut lab, mut control) = sealed();
    let (_, port, copy) = request(&mut lab, 4000)[0].clone();
    let first = copy[4] as usize;
    assert_eq!(lab.give(first, port, &copy).len(), 1);
    // Authenticated by the edge, which has sent it with its last hop.
    let mut last = copy.clone();
    last[GENEVE_AT + wire::HOP_LIMIT_AT] = 0;
    let found = wire::locate_keyed(&last[GENEVE_AT..]).unwrap();
    let keys = control.tables[EDGE].clone().unwrap();
    let key = keys.peer(NodeId(first as u16 + 1)).unwrap().hop_out().unwrap();
    let hop = tail(&last[GENEVE_AT + found.inner_at..]).unwrap();
    let authenticator = key.authenticator(&found.header, &hop);
    wire::write_hop(&mut last[GENEVE_AT..], found.hop_limit_at, key.epoch(), authenticator).unwrap();
    assert_eq!(lab.give(first, port, &last), vec![]);
    assert_eq!(lab.dropped(first, Reason::OverlayHopLimit), 1);
    // Keys of long ago open no way, however often it was gone.
    for _ in 0..20 {
        control.pass(&mut lab, u64::from(ROTATION_MIN_S) * 1000);
        assert!(exchange(&mut lab, 4000));
    }
    assert_eq!(lab.give(first, port, &copy), vec![]);
    let refused =
        lab.dropped(first, Reason::OverlayUnknownKey) + lab.dropped(first, Reason::OverlayForgedHop);
    assert_eq!(refused, 1);
}

/// What leaves the edge for a request, as it comes to the gateway.
fn at_the_gateway(lab: &mut Lab, port: u16) -> Vec<Vec<u8>> {
    let copies = request(lab, port);
    let forwarded = copies.iter().flat_map(|(_, port, copy)| lab.give(copy[4] as usize, *port, copy));
    forwarded.map(|(_, _, frame)| frame).collect()
}

#[test]
fn a_sealed_sender_that_starts_anew_with_its_old_numbers_is_heard_at_once_and_no_replay_ever_is() {
    let (mut lab, mut control) = sealed();
    let mut recorded: Vec<Vec<u8>> = Vec::new();
    let mut delivered = 0;
    let give = |lab: &mut Lab, frames: &[Vec<u8>]| {
        frames.iter().map(|frame| lab.give(GATEWAY, UNDERLAY, frame).len()).sum::<usize>()
    };
    for life in 0..3u8 {
        for number in 0..50 {
            let frames = at_the_gateway(&mut lab, 4000 + number);
            assert_eq!(frames.len(), 2, "life {life}");
            // Some never came; they may come from the recording later, but in their own life only.
            if number % 10 != 9 {
                delivered += give(&mut lab, &frames);
                assert_eq!(delivered, usize::from(life) * 45 + usize::from(number - number / 10) + 1);
            }
            recorded.extend(frames);
        }
        assert_eq!(give(&mut lab, &recorded), 5, "life {life}: what had not come yet, once");
        assert_eq!(give(&mut lab, &recorded), 0, "life {life}");
        // The edge starts anew: other keys, and the numbers of its first life once more, as if its clock had gone back.
        let mut topology = topology();
        topology.applications[0].seal = Seal::Aes256Gcm;
        lab.nodes[EDGE] = Lab::with(&topology, 1).nodes.swap_remove(EDGE);
        control.restart(EDGE, 100 + life);
        (0..8).for_each(|_| control.pass(&mut lab, 500));
        assert_eq!(give(&mut lab, &recorded), 0, "after life {life}");
    }
    // One reset for each life after the first, of the one stream.
    lab.nodes[GATEWAY].forwarder.sweep(lab.now_ns);
    assert_eq!(lab.nodes[GATEWAY].counters.roles.resets.get(), 2);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_changed_bit_gets_through(bit in any::<prop::sample::Index>(), beyond in any::<bool>()) {
        let (mut lab, _) = sealed();
        let copies = request(&mut lab, 4000);
        let (_, port, good) = copies[0].clone();
        let first = good[4] as usize;
        let mut frame = if beyond { lab.give(first, port, &good)[0].2.clone() } else { good };
        let (node, port) = if beyond { (GATEWAY, port) } else { (first, port) };
        let at = GENEVE_AT * 8 + bit.index((frame.len() - GENEVE_AT) * 8);
        frame[at / 8] ^= 1 << (at % 8);
        let left = lab.give(node, port, &frame);
        let delivered = lab.run(left);
        // Some bits of GENEVE are reserved, and ignored.
        let reserved = [1, 7, 11, 31].map(|byte| GENEVE_AT + byte);
        prop_assert!(delivered.is_empty() || reserved.contains(&(at / 8)), "bit {at}");
    }
}

/// Whatever way packets go, they are sealed end to end and authenticated hop by hop, their source route included.
#[test]
fn every_protocol_is_sealed_and_its_route_authenticated() {
    for protocol in Protocol::ALL {
        let mut topology = topology();
        topology.applications[0].seal = Seal::Aes256Gcm;
        topology.applications[0].routing = Routing {
            to_origin: protocol,
            to_client: protocol,
            hops: vec![NodeId(2), NodeId(3)],
            ..Routing::default()
        };
        let mut lab = Lab::with(&topology, 1);
        let mut control = Control::new();
        (0..5).for_each(|_| control.pass(&mut lab, 100));
        let sent = lab.give(EDGE, OUTSIDE, &frame(EDGE, CLIENT, 40000, VIP, 53, 17, b"question"));
        let first = sent[0].2.clone();
        assert_eq!(lab.run(sent).len(), 1, "{protocol:?}");
        let to = first[4] as usize;
        let forged = lab.dropped(to, Reason::OverlayForgedHop);
        // The last byte of the overlay's part before the inner packet: of the route's last hop, or of the sequence.
        let end = GENEVE_AT + 8 + usize::from(first[GENEVE_AT] & 0x3f) * 4;
        let mut changed = first.clone();
        changed[end - 1] ^= 0x10;
        assert!(lab.give(to, UNDERLAY, &changed).is_empty(), "{protocol:?}");
        assert_eq!(lab.dropped(to, Reason::OverlayForgedHop), forged + 1, "{protocol:?}");
        // The number of copies, of which no remembered way says anything.
        let mut changed = first.clone();
        changed[GENEVE_AT + wire::COPIES_AT] ^= 1;
        assert!(lab.give(to, UNDERLAY, &changed).is_empty(), "{protocol:?}");
        assert_eq!(lab.dropped(to, Reason::OverlayForgedHop), forged + 2, "{protocol:?}");
        assert_judged_alike(&mut lab, to, UNDERLAY, &first, &first);
    }
}
