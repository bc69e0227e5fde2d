//! Two gateways of one region that stand in for each other, as edges, clients and origins meet them: what is known of a
//! connection's binding, who gets it back, and who may not.
#![allow(clippy::unwrap_used)] // a failed unwrap fails its test

mod common;

use common::*;
use overlay::topology::{NodeId, Takeover, Topology};
use overlay::wire::{CARRIER, RECORD_LEN, Record, RecordKind};
use packet::heap::{HeapBuf, HeapPool};
use packet::{Addr, Mac, PacketBuf, Reason};
use pipelines::leases::Lease;
use pipelines::tables::{Block, Dead, Hops, Input, Mtus};
use pipelines::{Burst, Forwarder, Output, PortIndex, Setup, Tables, WorkerCounters};
use proptest::prelude::*;
use std::sync::Arc;

/// The other gateway.
const SECOND_GATEWAY: usize = 4;
const CLIENT: &str = "198.51.100.77";
const VIP: &str = "203.0.113.10";
const MS: u64 = 1_000_000;
/// Flags of TCP.
const SYN: u8 = 2;
const ACK: u8 = 16;

fn pair_topology() -> Topology {
    let mut topology = topology();
    let mut second = topology.nodes[GATEWAY].clone();
    second.name = "gateway-2".into();
    second.id = NodeId(5);
    second.underlay = vec![ip("192.0.2.5"), ip("2001:db8:1::5")];
    second.nat_pool =
        vec![ip("10.9.0.104")..=ip("10.9.0.105"), ip("2001:db8:9::104")..=ip("2001:db8:9::105")];
    topology.nodes.push(second);
    topology.takeovers =
        vec![Takeover { gateways: [NodeId(4), NodeId(5)], witnesses: vec![NodeId(1)], lease_ms: 1000 }];
    topology
}

/// Who holds the pools of the first gateway and of the second.
fn blocks(owners: [u16; 2], revision: u64) -> Vec<Block> {
    let block =
        |home: u16, owner: u16| Block { home: NodeId(home), owner: NodeId(owner), revision, passes: false };
    vec![block(4, owners[0]), block(5, owners[1])]
}

fn compile(topology: &Topology, node: usize, blocks: &[Block], previous: Option<&Tables>) -> Tables {
    let mut neighbors = neighbors();
    for text in ["192.0.2.5", "2001:db8:1::5"] {
        neighbors.push((UNDERLAY, addr(text), mac(SECOND_GATEWAY, UNDERLAY)));
    }
    for number in 2..60 {
        neighbors.push((OUTSIDE, addr(&format!("198.51.100.{number}")), mac(9, OUTSIDE)));
    }
    Tables::compile(&Input {
        topology,
        node: NodeId(node as u16 + 1),
        interfaces: &interfaces(node),
        neighbors: &neighbors,
        seed: 3,
        previous,
        dead: &Dead::default(),
        mtus: &Mtus::default(),
        hops: &Hops::default(),
        blocks,
        neighbors_only: false,
    })
    .unwrap()
}

struct One {
    forwarder: Forwarder<HeapPool>,
    counters: Arc<WorkerCounters>,
    out: Output<HeapBuf>,
}

/// An overlay of five nodes.
struct Pair {
    topology: Topology,
    nodes: Vec<One>,
    pool: HeapPool,
    now_ns: u64,
    /// Nodes that are dead: what is sent to them is lost.
    dead: Vec<usize>,
    /// Frames lost between the gateways, percent, and what decides which.
    loss: (u64, u64),
}

impl Pair {
    /// Both gateways hold their own pools, at revision 1.
    fn new() -> Pair {
        let topology = pair_topology();
        let mut nodes = Vec::new();
        for node in 0..5 {
            let counters = Arc::new(WorkerCounters::default());
            let tables = Arc::new(compile(&topology, node, &blocks([4, 5], 1), None));
            let pool_of = |node: usize| {
                topology.nodes[node].nat_pool.iter().flat_map(pipelines::tables::pool_addresses).collect()
            };
            let peer = match node {
                GATEWAY => Some((NodeId(5), pool_of(SECOND_GATEWAY))),
                SECOND_GATEWAY => Some((NodeId(4), pool_of(GATEWAY))),
                _ => None,
            };
            let setup = Setup {
                ordering: overlay::ordering::Bounds::default(),
                parity: overlay::parity::Bounds::default(),
                worker: 0,
                workers: 1,
                flows: 1000,
                nat: nat::Config {
                    sessions_max: 1000,
                    pool: pool_of(node),
                    worker: 0,
                    workers: 1,
                    rss: None,
                    rules: nat::Rules::default(),
                    timeouts: nat::Timeouts::default(),
                    seed: 5 + node as u64,
                },
                peer,
                bindings: true,
                streams: 64,
                window: 1024,
                watching: Default::default(),
                flow_idle_s: 300,
                refuses_aloud: true,
                answers_per_second: 100,
                seed: 9,
                first_sequence: 1 << 40,
                unix_offset_ns: 1_700_000_000 * SECOND,
            };
            let forwarder = Forwarder::new(&setup, tables, counters.clone()).unwrap();
            nodes.push(One { forwarder, counters, out: Output::default() });
        }
        let mut pair = Pair {
            topology,
            nodes,
            pool: HeapPool::new(512),
            now_ns: 1000 * SECOND,
            dead: vec![],
            loss: (0, 1),
        };
        pair.lease(GATEWAY, [1, 0]);
        pair.lease(SECOND_GATEWAY, [1, 0]);
        // Past the time in which bindings of an earlier tenure are awaited.
        pair.now_ns += 20 * SECOND;
        pair.renew();
        pair
    }

    /// Gives a gateway leases of its own pool and its peer's, of these revisions; 0 for none.
    fn lease(&mut self, gateway: usize, revisions: [u64; 2]) {
        let until_ns = self.now_ns + SECOND;
        let lease = |revision| Lease {
            revision,
            until_ns: if revision == 0 { 0 } else { until_ns },
            ..Lease::default()
        };
        self.nodes[gateway].forwarder.set_leases(self.now_ns, revisions.map(lease));
        self.nodes[gateway].forwarder.sweep(self.now_ns);
    }

    fn renew(&mut self) {
        self.lease(GATEWAY, [1, 0]);
        self.lease(SECOND_GATEWAY, [1, 0]);
    }

    /// The first gateway dies, and the second takes its pool at revision 2.
    fn take_over(&mut self) {
        self.dead.push(GATEWAY);
        self.lease(SECOND_GATEWAY, [1, 2]);
        self.tell(
            &[EDGE, SECOND_GATEWAY],
            &[Block { revision: 2, ..blocks([5, 5], 0)[0] }, blocks([5, 5], 1)[1]],
        );
    }

    fn tell(&mut self, nodes: &[usize], blocks: &[Block]) {
        for node in nodes {
            let before = self.nodes[*node].forwarder.tables().clone();
            let tables = compile(&self.topology, *node, blocks, Some(&before));
            self.nodes[*node].forwarder.swap_tables(Arc::new(tables));
        }
    }

    fn drain(&mut self, node: usize) -> Vec<Sent> {
        let mut sent = Vec::new();
        let out = &mut self.nodes[node].out;
        for (number, queue) in out.tx.iter_mut().enumerate() {
            sent.extend(queue.drain(..).map(|buf| (node, PortIndex(number as u8), buf.data().to_vec())));
        }
        out.ports = 0;
        sent
    }

    fn give(&mut self, node: usize, port: PortIndex, frame: &[u8]) -> Vec<Sent> {
        if self.dead.contains(&node) {
            return Vec::new();
        }
        let mut burst = Burst::new();
        burst.push(self.pool.with(frame).unwrap());
        let One { forwarder, out, .. } = &mut self.nodes[node];
        forwarder.process(self.now_ns, port, &mut burst, &mut self.pool, out);
        self.drain(node)
    }

    fn loses(&mut self) -> bool {
        let (percent, random) = &mut self.loss;
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (*random >> 33) % 100 < *percent
    }

    /// Passes frames on through the underlay until they leave it.
    fn run(&mut self, frames: Vec<Sent>) -> Vec<Sent> {
        let mut left = Vec::new();
        let mut queue = std::collections::VecDeque::from(frames);
        while let Some((node, port, frame)) = queue.pop_front() {
            if port == UNDERLAY && frame[4] < 5 {
                if is_between_gateways(node, frame[4] as usize) && self.loses() {
                    continue;
                }
                queue.extend(self.give(frame[4] as usize, UNDERLAY, &frame));
            } else {
                left.push((node, port, frame));
            }
        }
        left
    }

    /// What the edge does without a packet: it gives bindings back.
    fn catch_up(&mut self) -> Vec<Sent> {
        let One { forwarder, out, .. } = &mut self.nodes[EDGE];
        if !forwarder.is_due(self.now_ns) {
            return Vec::new();
        }
        forwarder.catch_up(self.now_ns, &mut self.pool, out);
        let sent = self.drain(EDGE);
        self.run(sent)
    }

    fn dropped(&self, node: usize, reason: Reason) -> u64 {
        self.nodes[node].counters.drops[reason.index()].get()
    }

    fn roles(&self, node: usize) -> &pipelines::counters::RoleCounters {
        &self.nodes[node].counters.roles
    }

    /// From the client; returns which gateway it leaves at, and what the origin sees.
    fn send(&mut self, client: &str, port: u16, flags: u8) -> Option<(usize, packet::ip::Packet)> {
        let frame = with_flags(frame(EDGE, client, port, VIP, 80, 6, b""), flags);
        let copies = self.give(EDGE, OUTSIDE, &frame);
        let left = self.run(copies);
        left.into_iter().find(|(node, ..)| *node != EDGE).map(|(node, _, frame)| (node, read(&frame)))
    }

    /// From the origin to what it has seen; returns what the client gets.
    fn answer(&mut self, gateway: usize, seen: &packet::ip::Packet, flags: u8) -> Option<packet::ip::Packet> {
        let (origin, external) = (seen.dst.to_ip().to_string(), seen.src.to_ip().to_string());
        let reply = frame(gateway, &origin, seen.dst_port, &external, seen.src_port, 6, b"");
        let copies = self.give(gateway, OUTSIDE, &with_flags(reply, flags));
        let left = self.run(copies);
        left.into_iter().find(|(node, ..)| *node == EDGE).map(|(_, _, frame)| read(&frame))
    }

    /// A client of the first gateway.
    fn client(&self) -> String {
        let mut clients = (2..60).map(|number| format!("198.51.100.{number}"));
        let tables = self.nodes[GATEWAY].forwarder.tables().clone();
        clients.find(|client| tables.home_of(addr(client)) == Some(NodeId(4))).unwrap()
    }

    /// Opens a connection through the first gateway; returns what the origin sees.
    fn open(&mut self, client: &str, port: u16) -> packet::ip::Packet {
        let (gateway, seen) = self.send(client, port, SYN).unwrap();
        assert_eq!(gateway, GATEWAY);
        self.answer(GATEWAY, &seen, SYN | ACK).unwrap();
        self.send(client, port, ACK).unwrap();
        seen
    }
}

fn is_between_gateways(from: usize, to: usize) -> bool {
    [(GATEWAY, SECOND_GATEWAY), (SECOND_GATEWAY, GATEWAY)].contains(&(from, to))
}

/// The same TCP packet with other flags.
fn with_flags(mut frame: Vec<u8>, flags: u8) -> Vec<u8> {
    let at = 14 + 20 + 13;
    let old = u16::from_be_bytes([0x50, frame[at]]);
    frame[at] = flags;
    let sum_at = 14 + 20 + 16;
    let sum = u16::from_be_bytes([frame[sum_at], frame[sum_at + 1]]);
    let changed = u32::from(!sum) + u32::from(!old) + u32::from(0x5000 | u16::from(flags));
    let folded = (changed & 0xffff) + (changed >> 16);
    let folded = !(((folded & 0xffff) + (folded >> 16)) as u16);
    frame[sum_at..sum_at + 2].copy_from_slice(&folded.to_be_bytes());
    frame
}

fn is_it(a: &packet::ip::Packet, b: &packet::ip::Packet) -> bool {
    (a.src, a.src_port, a.dst, a.dst_port) == (b.src, b.src_port, b.dst, b.dst_port)
}

#[test]
fn a_connection_goes_on_at_the_other_gateway() {
    let mut pair = Pair::new();
    let client = pair.client();
    let seen = pair.open(&client, 5000);
    pair.nodes[EDGE].forwarder.sweep(pair.now_ns);
    assert_eq!(pair.roles(EDGE).bindings.get(), 1, "the SYN/ACK has brought its binding");
    pair.take_over();
    // The client's next segment brings the binding along.
    let (gateway, again) = pair.send(&client, 5000, ACK).unwrap();
    assert_eq!(gateway, SECOND_GATEWAY);
    assert!(is_it(&seen, &again), "{seen:?} {again:?}");
    assert_eq!(pair.roles(SECOND_GATEWAY).bindings_taken.get(), 1);
    assert_eq!(pair.roles(EDGE).bindings_taken.get(), 2, "and is answered");
    let back = pair.answer(SECOND_GATEWAY, &seen, ACK).unwrap();
    assert_eq!((back.src, back.src_port), (addr(VIP), 80));
    assert_eq!((back.dst, back.dst_port), (addr(&client), 5000));
    // From then on nothing is sent beside the packets.
    let sent = pair.roles(EDGE).bindings_sent.get();
    pair.send(&client, 5000, ACK).unwrap();
    pair.send(&client, 5000, ACK).unwrap();
    assert_eq!(pair.roles(EDGE).bindings_sent.get(), sent);
}

#[test]
fn a_client_that_only_listens_is_moved_too() {
    let mut pair = Pair::new();
    let client = pair.client();
    let seen: Vec<_> = (0..40).map(|port| pair.open(&client, 5000 + port)).collect();
    pair.take_over();
    assert!(pair.answer(SECOND_GATEWAY, &seen[0], ACK).is_none(), "not known there yet");
    pair.catch_up();
    for (port, seen) in (0..).zip(&seen) {
        let back = pair.answer(SECOND_GATEWAY, seen, ACK).unwrap();
        assert_eq!(back.dst_port, 5000 + port);
    }
    // One more round finds nothing to do, and then it is over.
    for _ in 0..3 {
        pair.now_ns += 60 * MS;
        pair.catch_up();
    }
    assert_eq!(pair.roles(EDGE).bindings_sent.get(), 40);
    pair.now_ns += SECOND;
    assert!(!pair.nodes[EDGE].forwarder.is_due(pair.now_ns));
}

#[test]
fn what_is_lost_is_given_back_again() {
    let mut pair = Pair::new();
    let client = pair.client();
    let seen = pair.open(&client, 5000);
    pair.take_over();
    pair.dead.push(SECOND_GATEWAY);
    pair.catch_up();
    assert_eq!(pair.send(&client, 5000, ACK), None);
    pair.dead.pop();
    pair.now_ns += 60 * MS;
    pair.catch_up();
    assert!(pair.answer(SECOND_GATEWAY, &seen, ACK).is_some());
}

#[test]
fn new_mappings_wait_and_segments_without_a_binding_longer() {
    let mut pair = Pair::new();
    let client = pair.client();
    pair.take_over();
    assert_eq!(pair.send(&client, 6000, SYN), None);
    assert_eq!(pair.dropped(SECOND_GATEWAY, Reason::NatSettling), 1);
    pair.now_ns += 600 * MS;
    let (_, seen) = pair.send(&client, 6000, SYN).unwrap();
    let own = [addr("10.9.0.100"), addr("10.9.0.101")];
    assert!(own.contains(&seen.src), "the client keeps the address that its gateway gave it: {seen:?}");
    assert_eq!(pair.send(&client, 6001, ACK), None);
    assert_eq!(pair.dropped(SECOND_GATEWAY, Reason::NatSettling), 2);
}

#[test]
fn one_that_wakes_translates_nothing() {
    let mut pair = Pair::new();
    let client = pair.client();
    let seen = pair.open(&client, 5000);
    pair.now_ns += 2 * SECOND;
    // What waited in its ports: nobody has told it anything.
    assert_eq!(pair.send(&client, 5000, ACK), None);
    assert!(pair.answer(GATEWAY, &seen, ACK).is_none());
    assert_eq!(pair.dropped(GATEWAY, Reason::NatNotHolder), 2);
    assert_eq!(pair.send(&client, 5001, SYN), None, "nor does it begin anything");
    // With the same tenure again it goes on; with another one it has forgotten everything.
    pair.lease(GATEWAY, [1, 0]);
    assert!(pair.send(&client, 5000, ACK).is_some());
    pair.lease(GATEWAY, [3, 0]);
    assert!(pair.answer(GATEWAY, &seen, ACK).is_none());
    assert_eq!(pair.nodes[GATEWAY].forwarder.nat().unwrap().len(), 0);
}

#[test]
fn a_lease_is_over_for_what_was_received_before() {
    let mut pair = Pair::new();
    assert_eq!(pair.nodes[GATEWAY].forwarder.fence_ns(), pair.now_ns + SECOND);
    assert_eq!(pair.nodes[EDGE].forwarder.fence_ns(), u64::MAX);
    pair.lease(GATEWAY, [0, 0]);
    assert_eq!(
        pair.nodes[GATEWAY].forwarder.fence_ns(),
        u64::MAX,
        "nothing is held, so nothing is translated"
    );
}

/// A record that an edge sends by hand, through the real edge's overlay.
fn record(seen: &packet::ip::Packet, port: u16, revision: u64) -> Record {
    Record {
        kind: RecordKind::Install,
        protocol: 6,
        state: 0,
        client_port: port,
        vip_port: 80,
        external_port: seen.src_port,
        origin_port: seen.dst_port,
        home: NodeId(4),
        number: 0,
        revision,
        external: seen.src,
        origin: seen.dst,
    }
}

/// Sends a packet with a record behind it to the second gateway, as a copy on a path; returns whether it was taken.
fn smuggle(pair: &mut Pair, src: Addr, dst: Addr, record: &Record, source: u16) -> bool {
    smuggle_bytes(pair, src, dst, &record.to_bytes(), source)
}

fn smuggle_bytes(pair: &mut Pair, src: Addr, dst: Addr, behind: &[u8], source: u16) -> bool {
    let taken = pair.roles(SECOND_GATEWAY).bindings_taken.get();
    let mut inner = vec![0x45, 0, 0, 20, 0, 0, 0x40, 0, 1, CARRIER, 0, 0];
    inner.extend(src.v4_bytes());
    inner.extend(dst.v4_bytes());
    let sum = !packet::checksum::sum(&inner);
    inner[10..12].copy_from_slice(&sum.to_be_bytes());
    inner.extend(behind);
    pair.now_ns += 1;
    let header = overlay::wire::Header {
        vni: 7,
        inner: packet::IpVersion::V4,
        protocol: 2,
        copies: 1,
        hop_limit: 7,
        source: NodeId(source),
        destination: NodeId(5),
        authenticator: 0,
        stream: 0,
        path: overlay::topology::PathId(11),
        epoch: 0,
        path_sequence: 0,
        sequence: pair.now_ns,
    };
    let mut geneve = [0; overlay::wire::HEADER_LEN];
    header.write(&mut geneve);
    let payload = [&geneve[..], &inner].concat();
    let mut frame = Vec::new();
    let Mac(to) = mac(SECOND_GATEWAY, UNDERLAY);
    frame.extend(to);
    frame.extend(mac(MID_1, UNDERLAY).0);
    frame.extend([8, 0]);
    let mut head = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, 17, 0, 0, 192, 0, 2, 2, 192, 0, 2, 5];
    head[2..4].copy_from_slice(&(28 + payload.len() as u16).to_be_bytes());
    let sum = !packet::checksum::sum(&head);
    head[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(head);
    frame.extend(50_000u16.to_be_bytes());
    frame.extend(6081u16.to_be_bytes());
    frame.extend((8 + payload.len() as u16).to_be_bytes());
    frame.extend([0, 0]);
    frame.extend(payload);
    pair.give(SECOND_GATEWAY, UNDERLAY, &frame);
    pair.roles(SECOND_GATEWAY).bindings_taken.get() > taken
}

#[test]
fn a_gateway_takes_back_only_what_it_may() {
    let mut pair = Pair::new();
    pair.now_ns += 150 * SECOND;
    pair.renew();
    let client = pair.client();
    let seen = pair.open(&client, 5000);
    let (src, vip) = (addr(&client), addr(VIP));
    let good = record(&seen, 5000, 2);
    assert!(!smuggle(&mut pair, src, vip, &good, 1), "it has not taken the pool over");
    pair.take_over();
    let own_pool = Record { external: addr("10.9.0.104"), ..good };
    let own_block = Record { home: NodeId(5), external: addr("10.9.0.104"), revision: 1, ..good };
    for (what, from, to, bad, source) in [
        ("another tenure", src, vip, record(&seen, 5000, 1), 1),
        ("an address of another block", src, vip, own_pool, 1),
        ("a block that it has had for long", src, vip, own_block, 1),
        ("a block of nobody", src, vip, Record { home: NodeId(1), ..good }, 1),
        ("another origin", src, vip, Record { origin: addr("10.9.0.77"), ..good }, 1),
        ("another port of the origin", src, vip, Record { origin_port: 81, ..good }, 1),
        ("UDP", src, vip, Record { protocol: 17, vip_port: 53, ..good }, 1),
        ("a service that nobody has", src, vip, Record { vip_port: 99, ..good }, 1),
        ("a virtual IP that nobody has", src, addr("203.0.113.99"), good, 1),
        ("a client that is the node itself", addr("10.9.0.1"), vip, good, 1),
        ("another kind", src, vip, Record { kind: RecordKind::Binding, ..good }, 1),
        ("a session that an edge tells of", src, vip, Record { kind: RecordKind::Session, ..good }, 1),
        ("an end that an edge tells of", src, vip, Record { kind: RecordKind::Whole, ..good }, 1),
        ("an answer that nobody awaits", src, vip, Record { kind: RecordKind::Stored, ..good }, 1),
        ("an edge that does not hold the virtual IP", src, vip, good, 3),
    ] {
        assert!(!smuggle(&mut pair, from, to, &bad, source), "{what}");
    }
    assert_eq!(pair.nodes[SECOND_GATEWAY].forwarder.nat().unwrap().len(), 0);
    assert!(smuggle(&mut pair, src, vip, &good, 1));
    assert!(smuggle(&mut pair, src, vip, &good, 1), "again, for an answer that was lost");
    let taken = Record { client_port: 5001, ..good };
    assert!(!smuggle(&mut pair, src, vip, &taken, 1), "the port is another session's");
    // Long after the takeover nothing new is taken, but what is there is answered.
    pair.now_ns += 200 * SECOND;
    pair.lease(SECOND_GATEWAY, [1, 2]);
    let late = Record { client_port: 5002, external_port: 44_000, ..good };
    assert!(!smuggle(&mut pair, src, vip, &late, 1), "too late");
    assert!(smuggle(&mut pair, src, vip, &good, 1));
}

#[test]
fn an_edge_that_is_refused_forgets_the_binding() {
    let mut pair = Pair::new();
    let client = pair.client();
    let seen = pair.open(&client, 5000);
    pair.take_over();
    // Somebody else has its port there.
    assert!(smuggle(
        &mut pair,
        addr(&client),
        addr(VIP),
        &Record { client_port: 7, ..record(&seen, 5000, 2) },
        1
    ));
    pair.catch_up();
    pair.nodes[EDGE].forwarder.sweep(pair.now_ns);
    assert_eq!(pair.roles(EDGE).bindings.get(), 0);
}

#[test]
fn whatever_stands_behind_an_inner_packet_and_is_no_record_is_refused() {
    let mut pair = Pair::new();
    let client = pair.client();
    let seen = pair.open(&client, 5000);
    pair.take_over();
    let good = record(&seen, 5000, 2).to_bytes();
    let (src, vip) = (addr(&client), addr(VIP));
    assert_eq!(good.len(), RECORD_LEN);
    let mut wrong_version = good;
    wrong_version[0] = 9;
    for (refused, behind) in [&wrong_version[..], &good[..RECORD_LEN - 1], &[0]].into_iter().enumerate() {
        assert!(!smuggle_bytes(&mut pair, src, vip, behind, 1));
        assert_eq!(pair.dropped(SECOND_GATEWAY, Reason::OverlayInner), refused as u64 + 1);
    }
    assert!(smuggle_bytes(&mut pair, src, vip, &good, 1));
}

#[test]
fn without_a_peer_nothing_is_put_behind_packets() {
    let mut lab = Lab::new();
    let request = frame(EDGE, CLIENT, 5000, VIP, 80, 6, b"");
    let copies = lab.give(EDGE, OUTSIDE, &request);
    let left = lab.run(copies);
    let seen = read(&left[0].2);
    let (origin, external) = (seen.dst.to_ip().to_string(), seen.src.to_ip().to_string());
    let reply = frame(GATEWAY, &origin, seen.dst_port, &external, seen.src_port, 6, b"");
    let copies = lab.give(GATEWAY, OUTSIDE, &with_flags(reply, SYN | ACK));
    assert!(lab.run(copies).iter().any(|(node, ..)| *node == EDGE));
    assert_eq!(lab.nodes[GATEWAY].counters.roles.bindings_sent.get(), 0);
}

/// Leases of both gateways in the middle of a move of the first one's block: what each of them says of it.
impl Pair {
    fn set(&mut self, gateway: usize, own: Lease, peers: Lease) {
        self.nodes[gateway].forwarder.set_leases(self.now_ns, [own, peers]);
        self.nodes[gateway].forwarder.sweep(self.now_ns);
    }

    fn held(&self, revision: u64) -> Lease {
        Lease { revision, until_ns: self.now_ns + 100 * SECOND, ..Lease::default() }
    }

    /// Turns both gateways' loops for some time, without a packet from outside.
    fn idle(&mut self, ms: u64) -> Vec<Sent> {
        let mut left = Vec::new();
        for _ in 0..ms {
            self.now_ns += MS;
            for node in [GATEWAY, SECOND_GATEWAY] {
                let One { forwarder, out, .. } = &mut self.nodes[node];
                if forwarder.is_due(self.now_ns) {
                    forwarder.catch_up(self.now_ns, &mut self.pool, out);
                }
                let sent = self.drain(node);
                left.extend(self.run(sent));
            }
        }
        left
    }

    /// The first gateway begins to leave its block to the second.
    fn begin_move(&mut self) {
        let own = Lease { leaving: true, ..self.held(1) };
        self.set(GATEWAY, own, Lease::default());
    }

    /// Its workers stop.
    fn stop_translating(&mut self) {
        self.set(GATEWAY, Lease { revision: 1, leaving: true, ..Lease::default() }, Lease::default());
        let passing = [Block { revision: 0, passes: true, ..blocks([4, 5], 1)[0] }, blocks([4, 5], 1)[1]];
        self.tell(&[GATEWAY], &passing);
    }

    /// The second gateway takes the block, and all but the edge hear of it.
    fn end_move(&mut self) {
        let (own, peers) = (self.held(1), Lease { after: 1, ..self.held(2) });
        self.set(SECOND_GATEWAY, own, peers);
        let taken = Block { revision: 2, ..blocks([5, 5], 0)[0] };
        self.tell(&[SECOND_GATEWAY], &[taken, blocks([4, 5], 1)[1]]);
        self.tell(&[GATEWAY], &[Block { passes: true, ..taken }, blocks([4, 5], 1)[1]]);
        self.set(GATEWAY, Lease { leaving: true, ..Lease::default() }, Lease::default());
    }

    /// A UDP datagram from the client, as [`Pair::send`].
    fn ask(&mut self, client: &str, port: u16) -> Option<(usize, packet::ip::Packet)> {
        let copies = self.give(EDGE, OUTSIDE, &frame(EDGE, client, port, VIP, 53, 17, b"who"));
        let left = self.run(copies);
        left.into_iter().find(|(node, ..)| *node != EDGE).map(|(node, _, frame)| (node, read(&frame)))
    }

    fn reply_frame(&self, gateway: usize, seen: &packet::ip::Packet) -> Vec<u8> {
        let (origin, external) = (seen.dst.to_ip().to_string(), seen.src.to_ip().to_string());
        frame(gateway, &origin, seen.dst_port, &external, seen.src_port, seen.protocol, b"me")
    }
}

#[test]
fn a_block_moves_and_not_a_packet_is_lost() {
    let mut pair = Pair::new();
    let client = pair.client();
    let tcp: Vec<_> = (0..300).map(|port| pair.open(&client, 5000 + port)).collect();
    let (_, udp) = pair.ask(&client, 7000).unwrap();
    pair.begin_move();
    pair.idle(1);
    // It goes on meanwhile, and what is made then is told as well.
    let late = pair.open(&client, 6000);
    assert!(pair.answer(GATEWAY, &tcp[0], ACK).is_some());
    pair.idle(10);
    assert_eq!(pair.nodes[GATEWAY].forwarder.copied(), [1, 0]);
    assert_eq!(pair.nodes[GATEWAY].forwarder.whole(), [0, 0]);
    let last = pair.open(&client, 6001);
    assert_eq!(pair.send(&client, 5001, ACK).unwrap().0, GATEWAY);
    pair.stop_translating();
    // Nobody translates: what comes now waits.
    assert_eq!(pair.send(&client, 5000, ACK), None);
    assert_eq!(pair.send(&client, 6100, SYN), None);
    assert_eq!(pair.ask(&client, 7000), None);
    let reply = pair.reply_frame(GATEWAY, &udp);
    assert!(pair.give(GATEWAY, OUTSIDE, &reply).is_empty());
    assert_eq!(pair.nodes[GATEWAY].forwarder.detour_held(), 4);
    pair.idle(3);
    assert_eq!(pair.nodes[GATEWAY].forwarder.whole(), [1, 0]);
    let known = pair.nodes[SECOND_GATEWAY].forwarder.nat().unwrap().len();
    assert_eq!(known, pair.nodes[GATEWAY].forwarder.nat().unwrap().len());
    assert!(pair.roles(SECOND_GATEWAY).sessions_stored.get() >= known as u64);
    pair.end_move();
    let arrived = pair.idle(1);
    let at = |node: usize| arrived.iter().filter(move |(at, ..)| *at == node);
    assert_eq!((at(SECOND_GATEWAY).count(), at(EDGE).count()), (3, 1), "what waited has arrived");
    let first = read(&at(SECOND_GATEWAY).next().unwrap().2);
    assert!(is_it(&first, &tcp[0]), "in its order: {first:?}");
    // The edge has not heard of it: all goes on by way of the first gateway.
    let (gateway, again) = pair.send(&client, 5001, ACK).unwrap();
    assert!(gateway == SECOND_GATEWAY && is_it(&again, &tcp[1]));
    let (gateway, fresh) = pair.send(&client, 6200, SYN).unwrap();
    assert_eq!((gateway, fresh.src), (SECOND_GATEWAY, tcp[0].src), "a new client need not wait");
    let reply = pair.reply_frame(GATEWAY, &late);
    let passed = pair.give(GATEWAY, OUTSIDE, &reply);
    assert!(pair.run(passed).iter().any(|(node, ..)| *node == EDGE), "what an origin sends to the first");
    // Then it hears, and sends there straight.
    pair.tell(&[EDGE], &[Block { revision: 2, ..blocks([5, 5], 0)[0] }, blocks([5, 5], 1)[1]]);
    let passed_on = pair.roles(GATEWAY).passed_on.get();
    assert_eq!(passed_on, 4 + 3);
    for (port, seen) in (5000..).zip(&tcp).chain([(6000, &late), (6001, &last)]) {
        let (gateway, again) = pair.send(&client, port, ACK).unwrap();
        assert!(gateway == SECOND_GATEWAY && is_it(&again, seen), "{port}");
        assert!(pair.answer(SECOND_GATEWAY, seen, ACK).is_some());
    }
    let (gateway, again) = pair.ask(&client, 7000).unwrap();
    assert!(gateway == SECOND_GATEWAY && is_it(&again, &udp));
    assert_eq!(pair.roles(GATEWAY).passed_on.get(), passed_on);
    for node in [EDGE, GATEWAY, SECOND_GATEWAY] {
        let dropped: Vec<_> = Reason::ALL
            .iter()
            .filter(|reason| pair.dropped(node, **reason) > 0)
            .map(|one| one.name())
            .collect();
        assert!(dropped.is_empty() || dropped == ["duplicate"], "{node}: {dropped:?}");
    }
}

#[test]
fn a_move_that_is_not_completed_leaves_nothing_behind() {
    let mut pair = Pair::new();
    let client = pair.client();
    let seen = pair.open(&client, 5000);
    pair.begin_move();
    pair.idle(10);
    assert_eq!(pair.roles(SECOND_GATEWAY).sessions_stored.get(), 1);
    // It stays after all; nothing that the second one has been told is translated there.
    pair.set(GATEWAY, pair.held(1), Lease::default());
    assert!(pair.answer(SECOND_GATEWAY, &seen, ACK).is_none());
    assert!(pair.answer(GATEWAY, &seen, ACK).is_some());
    // It dies: the second one goes by what edges know, and by that alone.
    pair.take_over();
    assert_eq!(pair.nodes[SECOND_GATEWAY].forwarder.nat().unwrap().len(), 0);
    let (gateway, again) = pair.send(&client, 5000, ACK).unwrap();
    assert!(gateway == SECOND_GATEWAY && is_it(&again, &seen));
    assert_eq!(pair.send(&client, 6000, SYN), None, "what was told before is not to be relied on");
}

#[test]
fn records_that_are_lost_are_sent_again() {
    let mut pair = Pair::new();
    let client = pair.client();
    for port in 5000..5020 {
        pair.open(&client, port);
    }
    pair.dead.push(SECOND_GATEWAY);
    pair.begin_move();
    pair.idle(20);
    assert_eq!(pair.nodes[GATEWAY].forwarder.copied(), [0, 0]);
    pair.dead.pop();
    pair.idle(30);
    assert_eq!(pair.nodes[GATEWAY].forwarder.copied(), [1, 0]);
    assert_eq!(pair.nodes[SECOND_GATEWAY].forwarder.nat().unwrap().len(), 20);
    assert_eq!(pair.roles(GATEWAY).sessions_told.get(), 20, "each is counted once");
    pair.dead.push(SECOND_GATEWAY);
    pair.stop_translating();
    pair.idle(20);
    assert_eq!(pair.nodes[GATEWAY].forwarder.whole(), [0, 0]);
    pair.dead.pop();
    pair.idle(30);
    assert_eq!(pair.nodes[GATEWAY].forwarder.whole(), [1, 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Loss between the gateways makes a move longer; it changes nobody's address, and no two translate at once.
    #[test]
    fn a_move_over_a_wire_that_loses_keeps_every_binding(
        before in 0u16..400, meanwhile in proptest::collection::vec(0u8..5, 0..60), percent in 0u64..50, random: u64,
    ) {
        let mut pair = Pair::new();
        let client = pair.client();
        let mut opened: Vec<_> = (0..before).map(|port| pair.open(&client, 5000 + port)).collect();
        pair.loss = (percent, random | 1);
        pair.begin_move();
        let translates = |pair: &Pair| [GATEWAY, SECOND_GATEWAY].map(|gateway| {
            let nat = pair.nodes[gateway].forwarder.nat().unwrap();
            nat.is_held(usize::from(gateway == SECOND_GATEWAY))
        });
        let mut turns = meanwhile.into_iter();
        for _ in 0..2000 {
            match turns.next() {
                Some(0) => opened.push(pair.open(&client, 5000 + opened.len() as u16)),
                Some(1) if !opened.is_empty() => {
                    let (_, seen) = pair.send(&client, 5000, ACK).unwrap();
                    prop_assert!(is_it(&seen, &opened[0]));
                }
                None if pair.nodes[GATEWAY].forwarder.copied()[0] == 1 => break,
                _ => drop(pair.idle(1)),
            }
            prop_assert_eq!(translates(&pair), [true, false]);
        }
        prop_assert_eq!(pair.nodes[GATEWAY].forwarder.copied(), [1, 0]);
        pair.stop_translating();
        prop_assert_eq!(translates(&pair), [false, false]);
        for _ in 0..2000 {
            pair.idle(1);
            if pair.nodes[GATEWAY].forwarder.whole()[0] == 1 {
                break;
            }
        }
        prop_assert_eq!(pair.nodes[GATEWAY].forwarder.whole(), [1, 0]);
        pair.end_move();
        prop_assert_eq!(translates(&pair), [false, true]);
        pair.tell(&[EDGE], &[Block { revision: 2, ..blocks([5, 5], 0)[0] }, blocks([5, 5], 1)[1]]);
        for (port, seen) in (5000..).zip(&opened) {
            let (gateway, again) = pair.send(&client, port, ACK).unwrap();
            prop_assert!(gateway == SECOND_GATEWAY && is_it(&again, seen), "{port}: {again:?}");
        }
    }
}
