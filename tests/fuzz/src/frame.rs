//! Whole frames into the whole data path: four nodes, whose frames reach each other.
//!
//! ```text
//! input  = record *
//! record = control (1 byte) | length (2 bytes, big endian) | bytes
//! control: bits 0-1 the node, bit 2 its port, bits 3-5 the kind
//! ```

use crate::input::Input;
use crate::mend;
use crate::reply::{error_about, turned};
use crate::world::{GATEWAY, World, mac, place};
use overlay::wire::{self, GENEVE_PORT};
use packet::ethernet::{self, TYPE_IPV4, TYPE_IPV6, TYPE_VLAN};
use packet::heap::{DATA_ROOM, HeapBuf, HeapPool};
use packet::ip::{self, Fragment, Packet};
use packet::transport::UDP;
use packet::{Counter, PacketBuf};
use pipelines::{Burst, Cause, Output, PortIndex, WorkerCounters};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

/// Kinds of record, in the control byte.
pub mod kind {
    /// An IP packet, to be framed for the port; its checksums are mended.
    pub const PACKET: u8 = 0;
    /// A frame as it is.
    pub const FRAME: u8 = 1 << 3;
    /// Time passes: as many seconds as the record has bytes, squared.
    pub const TIME: u8 = 2 << 3;
    /// The node reads its configuration again.
    pub const RELOAD: u8 = 3 << 3;
    /// An origin answers the last packet that it got; with bytes, by an ICMP error of that type and code.
    pub const ANSWER: u8 = 4 << 3;
    /// All of them.
    pub const MASK: u8 = 7 << 3;
}

/// Buffers: more than one input can hold at once, so that none of this is about running out of them.
const BUFFERS: usize = 1024;
/// Frames that one input may cause.
const FRAMES_MAX: usize = 256;
const SECOND_NS: u64 = 1_000_000_000;

/// What is made once and used for all inputs.
struct Stage {
    pool: HeapPool,
    out: Box<Output<HeapBuf>>,
    counters: Arc<WorkerCounters>,
    /// The IP packet that last went to an origin.
    to_origin: Option<Vec<u8>>,
}

thread_local! {
    static STAGE: RefCell<Stage> = RefCell::new(Stage {
        pool: HeapPool::new(BUFFERS),
        out: Box::default(),
        counters: Arc::default(),
        to_origin: None,
    });
}

/// Every frame is sent on, handed over, punted or dropped, and none is counted twice; what is sent is well formed;
/// afterwards all buffers are back.
pub fn run(data: &[u8]) {
    STAGE.with_borrow_mut(|stage| {
        stage.to_origin = None;
        let mut world = World::new(stage.counters.clone());
        let mut input = Input(data);
        let mut now_ns = SECOND_NS;
        let mut budget = FRAMES_MAX;
        while !input.is_empty() && budget > 0 {
            let control = input.byte();
            let len = input.word() as usize;
            let bytes = input.take(len.min(DATA_ROOM));
            let node = control & 3;
            let port = (control >> 2 & 1) % world.ports(node) as u8;
            let frame = match control & kind::MASK {
                kind::FRAME => Some((node, PortIndex(port), bytes.to_vec())),
                kind::TIME => {
                    now_ns += (bytes.len() as u64).pow(2) * SECOND_NS;
                    world.sweep(now_ns);
                    catch_up(stage, &mut world, now_ns, &mut budget);
                    None
                }
                kind::RELOAD => {
                    world.reload(node);
                    None
                }
                kind::ANSWER => {
                    let answer = match (stage.to_origin.take(), bytes) {
                        (Some(sent), [kind, code, ..]) => error_about(&sent, *kind, *code),
                        (Some(sent), _) => turned(&sent),
                        (None, _) => None,
                    };
                    answer.map(|packet| frame_of(&world, GATEWAY, 1, &packet))
                }
                _ => Some(frame_of(&world, node, port, bytes)),
            };
            if let Some(frame) = frame {
                feed(stage, &mut world, now_ns, &mut budget, frame);
            }
        }
        for slow in world.slow_paths() {
            while slow.poll_frame().is_some() {}
            slow.stop();
            let counters = slow.counters();
            let ended = counters.consumed + counters.released + slow.drops().iter().sum::<u64>();
            assert_eq!(counters.taken, ended, "frames in the slow path");
        }
        drop(world);
        assert_eq!(stage.pool.available(), BUFFERS, "buffers are lost");
    });
}

/// What all inputs of this thread together have counted.
pub fn counters() -> Arc<WorkerCounters> {
    STAGE.with_borrow(|stage| stage.counters.clone())
}

/// An IP packet as it comes in by a port.
fn frame_of(world: &World, node: u8, port: u8, packet: &[u8]) -> (u8, PortIndex, Vec<u8>) {
    let mut frame = Vec::with_capacity(packet.len() + 18);
    frame.extend(mac(node, port).0);
    frame.extend(mac(0xff, port).0);
    let vlan = world.tables(node).ports[port as usize].vlan;
    if vlan != 0 {
        frame.extend(TYPE_VLAN.to_be_bytes());
        frame.extend(vlan.to_be_bytes());
    }
    let six = packet.first().is_some_and(|byte| byte >> 4 == 6);
    frame.extend(if six { TYPE_IPV6 } else { TYPE_IPV4 }.to_be_bytes());
    let at = frame.len();
    frame.extend(packet);
    frame.truncate(DATA_ROOM);
    mend::ip(&mut frame[at..]);
    (node, PortIndex(port), frame)
}

/// Has all nodes do what is due by now, and what that sends go on.
fn catch_up(stage: &mut Stage, world: &mut World, now_ns: u64, budget: &mut usize) {
    for (node, worker) in world.due(now_ns) {
        let before = Totals::of(&stage.counters, world);
        world.worker(node, worker).catch_up(now_ns, &mut stage.pool, &mut stage.out);
        Totals::of(&stage.counters, world).check(&before, 0, &stage.out);
        let mut queue = VecDeque::new();
        empty(stage, world, now_ns, node, &mut queue);
        queue.into_iter().for_each(|frame| feed(stage, world, now_ns, budget, frame));
    }
}

/// Brings a frame to a node, and what that sends to the next, until all is quiet.
fn feed(
    stage: &mut Stage,
    world: &mut World,
    now_ns: u64,
    budget: &mut usize,
    first: (u8, PortIndex, Vec<u8>),
) {
    let mut queue = VecDeque::from([first]);
    while let Some((node, port, frame)) = queue.pop_front() {
        if *budget == 0 {
            break;
        }
        *budget -= 1;
        let Some(buf) = stage.pool.with(&frame) else { continue };
        let mut burst = Burst::from_iter([buf]);
        let before = Totals::of(&stage.counters, world);
        world.worker(node, 0).process(now_ns, port, &mut burst, &mut stage.pool, &mut stage.out);
        assert!(burst.is_empty());
        Totals::of(&stage.counters, world).check(&before, 1, &stage.out);
        hand_over(stage, world, now_ns, node);
        empty(stage, world, now_ns, node, &mut queue);
    }
}

/// Gives packets to the workers that they are for; those must keep them, but for fragments that only met there.
fn hand_over(stage: &mut Stage, world: &mut World, now_ns: u64, node: u8) {
    let mut handed =
        VecDeque::from_iter(core::mem::take(&mut stage.out.handoffs).into_iter().map(|one| (one, 1)));
    while let Some((handoff, times)) = handed.pop_front() {
        let fragment = ip_of(handoff.buf.data()).is_some_and(|packet| packet.fragment != Fragment::No);
        let mut burst = Burst::from_iter([handoff.buf]);
        let before = Totals::of(&stage.counters, world);
        let sent = sent(&stage.out);
        let punted = stage.out.punts.len();
        let worker = world.worker(node, handoff.worker);
        worker.process_handed(now_ns, handoff.port, &mut burst, &mut stage.pool, &mut stage.out);
        assert!(burst.is_empty());
        assert!(stage.out.handoffs.is_empty() || fragment && times == 1, "handed over too often");
        Totals::of(&stage.counters, world).check(&before, 1 + sent + punted, &stage.out);
        handed.extend(core::mem::take(&mut stage.out.handoffs).into_iter().map(|one| (one, times + 1)));
    }
}

/// The IP packet in a frame.
fn ip_of(frame: &[u8]) -> Option<Packet> {
    let link = ethernet::parse(frame).ok()?;
    ip::parse(frame.get(link.payload_at..)?).ok()
}

/// Checks what leaves a node, and passes on what goes to other nodes and to the slow path.
fn empty(
    stage: &mut Stage,
    world: &mut World,
    now_ns: u64,
    node: u8,
    queue: &mut VecDeque<(u8, PortIndex, Vec<u8>)>,
) {
    for punt in core::mem::take(&mut stage.out.punts) {
        let slow = world.slow(node, now_ns);
        match punt.cause {
            Cause::Unresolved(next_hop) => {
                assert_eq!(punt.buf.data()[..6], [0; 6]);
                slow.resolve(now_ns, punt.port, next_hop, punt.buf.data().to_vec());
            }
            _ => slow.handle(now_ns, punt.port, punt.buf.data()),
        }
        while let Some((_, frame)) = slow.poll_frame() {
            assert!(ethernet::parse(&frame).is_ok());
        }
    }
    stage.out.ports = 0;
    for port in 0..stage.out.tx.len() {
        for buf in core::mem::take(&mut stage.out.tx[port]) {
            let frame = buf.data();
            let packet_at = well_formed(world, node, port, frame);
            if node == GATEWAY && port == 1 {
                stage.to_origin = Some(frame[packet_at..].to_vec());
            }
            if let Some((to, at)) = place(&frame[..6]).filter(|(to, _)| *to != node) {
                queue.push_back((to, at, frame.to_vec()));
            }
        }
    }
}

/// What a node sends is right as far as Ethernet, VLAN, IP, its MTU and the overlay's header. Returns where the IP
/// packet starts.
fn well_formed(world: &World, node: u8, port: usize, frame: &[u8]) -> usize {
    let own = &world.tables(node).ports[port];
    let link = ethernet::parse(frame).expect("Ethernet");
    assert_eq!(link.vlan, own.vlan);
    assert_eq!(ethernet::source(frame), Some(own.mac));
    let bytes = &frame[link.payload_at..];
    let packet = ip::parse(bytes).expect("IP");
    assert_eq!(packet.len as usize, bytes.len(), "no padding");
    assert!(packet.len <= own.mtu, "larger than the MTU");
    if from_the_overlay(&packet, world, node) {
        let geneve = &bytes[packet.transport_at as usize + 8..];
        let (header, inner_at) = wire::Header::parse(geneve).expect("the overlay's header");
        if inner_at == wire::HEADER_LEN && header.source == world.tables(node).node {
            let inner = ip::parse(&geneve[inner_at..]).expect("the inner packet");
            assert_eq!((inner.version, inner.len as usize), (header.inner, geneve.len() - inner_at));
        }
    }
    link.payload_at
}

/// Whether this node sent the packet as one of the overlay's.
fn from_the_overlay(packet: &Packet, world: &World, node: u8) -> bool {
    let own = world.tables(node).members.get(packet.src) == Some(world.tables(node).node);
    own && packet.protocol == UDP && packet.dst_port == GENEVE_PORT
}

fn sent(out: &Output<HeapBuf>) -> usize {
    out.tx.iter().map(|queue| queue.len()).sum()
}

/// Counters that a frame's fate shows in.
struct Totals {
    dropped: u64,
    made: u64,
    waiting: usize,
}

impl Totals {
    fn of(counters: &WorkerCounters, world: &World) -> Totals {
        let made = Counter::get(&counters.roles.copies_made);
        Totals { dropped: counters.drops_total(), made, waiting: world.waiting() }
    }

    /// Each of `taken` frames, and each copy made, is in exactly one place.
    fn check(&self, before: &Totals, taken: usize, out: &Output<HeapBuf>) {
        let here = sent(out) + out.punts.len() + out.handoffs.len();
        let dropped = (self.dropped - before.dropped) as usize;
        let made = (self.made - before.made) as usize;
        let (waited, waits) = (before.waiting, self.waiting);
        assert_eq!(
            taken + made + waited,
            here + dropped + waits,
            "{dropped} dropped, {made} copies made, {waited} then {waits} wait"
        );
    }
}
