//! A node as the daemon runs it, less its device: workers with receive queues and hand-off rings, one buffer pool, and
//! the control side that answers for the node's addresses and compiles what it learns into new tables.

use super::balance::{Arrivals, Tally, copy_header, drops};
use super::build::{compile, forwarder, slow_config};
use super::plan::NodePlan;
use super::{frame, nic};
use overlay::adaptive::Step;
use overlay::topology::{self, Topology};
use packet::heap::{HeapBuf, HeapPool};
use packet::{Addr, BufPool, Counter, Mac, PacketBuf, Reason};
use pipelines::slow::SlowPath;
use pipelines::tables::{Interface, Tables};
use pipelines::trace::Seen;
use pipelines::{Burst, Cause, Forwarder, Handoff, Output, PortIndex, Punt, WorkerCounters};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

/// Frames that a worker takes at once.
const BURST: usize = 32;
/// Frames that wait in a receive queue, a hand-off ring, or for the control side.
const QUEUE: usize = 512;
/// Hop records that are kept.
const TRACES_MAX: usize = 4096;

/// What a node is made with.
#[derive(Clone, Debug)]
pub struct NodeSetup {
    /// Its ports.
    pub plan: NodePlan,
    /// Elimination window, packets.
    pub window: usize,
    /// Buffers.
    pub buffers: usize,
    /// Seeds its tables.
    pub seed: u64,
}

pub(super) struct Worker {
    pub forwarder: Forwarder<HeapPool>,
    pub counters: Arc<WorkerCounters>,
    pub tally: Tally,
    pub arrivals: Arrivals,
    pub polling: bool,
    /// When it looks again for packets that have waited for long enough, at the earliest.
    pub look_at: u64,
    /// By port.
    rx: Vec<VecDeque<HeapBuf>>,
    handed: VecDeque<Handoff<HeapBuf>>,
    injected: VecDeque<(PortIndex, Vec<u8>)>,
    tables: Option<Arc<Tables>>,
    polls: u64,
}

/// A node.
pub struct Node {
    /// What it was made with.
    pub setup: NodeSetup,
    /// The overlay as it knows it.
    pub topology: Arc<Topology>,
    /// Whether it runs.
    pub up: bool,
    /// How often it has been started.
    pub life: u32,
    /// Its buffers.
    pub pool: HeapPool,
    /// Frames lost for want of a buffer or of room in a queue, outside the data path.
    pub missed: u64,
    /// Frames that other workers did not take for want of room.
    pub handoffs_lost: u64,
    /// Hop records that ended here, the first so many.
    pub traces: Vec<Seen>,
    pub(super) workers: Vec<Worker>,
    pub(super) slow: SlowPath,
    pub(super) punts: VecDeque<Punt<HeapBuf>>,
    /// When the slow path is looked at next, ns; the last number for never.
    pub(super) tick_at: u64,
    slow_version: u64,
    tables: Arc<Tables>,
    out: Box<Output<HeapBuf>>,
}

/// What a worker's turn led to.
#[derive(Default)]
pub(super) struct Turn {
    /// Frames on the wire, by port.
    pub sent: Vec<(u8, Vec<u8>)>,
    /// Workers that were handed something.
    pub woken: Vec<usize>,
    /// Whether the control side has something to do.
    pub control: bool,
    /// Whether this worker has more to do.
    pub again: bool,
    /// Whether packets wait for their turn.
    pub waits: bool,
}

impl Node {
    pub(super) fn new(now: u64, setup: NodeSetup, topology: Arc<Topology>) -> Node {
        let interfaces: Vec<Interface> = setup.plan.ports.iter().map(|(port, _)| port.clone()).collect();
        let tables = Arc::new(compile(&setup, &topology, &interfaces, None, &[], false));
        let slow = SlowPath::new(now, &slow_config(&setup, &topology, &tables));
        let pool = HeapPool::new(setup.buffers);
        let this = topology.node(setup.plan.id).unwrap().clone();
        let workers = (0..this.workers).map(|worker| {
            let counters = Arc::new(WorkerCounters::default());
            let forwarder = forwarder(now, &setup, &this, worker, &tables, &counters);
            Worker {
                forwarder,
                counters,
                tally: Tally::default(),
                arrivals: Arrivals::default(),
                polling: false,
                look_at: 0,
                rx: setup.plan.ports.iter().map(|_| VecDeque::new()).collect(),
                handed: VecDeque::new(),
                injected: VecDeque::new(),
                tables: None,
                polls: 0,
            }
        });
        Node {
            topology: topology.clone(),
            up: true,
            life: 1,
            pool,
            missed: 0,
            handoffs_lost: 0,
            traces: Vec::new(),
            workers: workers.collect(),
            slow_version: slow.version(),
            slow,
            punts: VecDeque::new(),
            tick_at: u64::MAX,
            tables,
            out: Box::default(),
            setup,
        }
    }

    /// How it appears in messages.
    pub fn name(&self) -> String {
        format!("{} (life {})", self.this().name, self.life)
    }

    /// Its entry in the topology.
    pub fn this(&self) -> &topology::Node {
        self.topology.node(self.setup.plan.id).unwrap()
    }

    /// What its workers have dropped, by reason.
    pub fn drops(&self) -> BTreeMap<Reason, u64> {
        let mut all = BTreeMap::new();
        for (reason, count) in self.workers.iter().flat_map(|worker| drops(&worker.counters)) {
            *all.entry(reason).or_default() += count;
        }
        all
    }

    /// A counter of all workers together.
    pub fn sum(&self, counter: impl Fn(&WorkerCounters) -> &Counter) -> u64 {
        self.workers.iter().map(|worker| counter(&worker.counters).get()).sum()
    }

    /// The data path of a worker.
    pub fn forwarder(&self, worker: usize) -> &Forwarder<HeapPool> {
        &self.workers[worker].forwarder
    }

    /// The snapshot that the control side published last.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    /// A frame at a port: the worker whose queue the NIC put it in.
    pub(super) fn receive(&mut self, port: u8, bytes: &[u8]) -> Option<usize> {
        let own = self.setup.plan.ports[port as usize].0.mac;
        let to = frame::destination(bytes);
        if !self.up || (to != own && !to.is_group()) {
            return None;
        }
        let worker = nic::queue(bytes, self.this().rss.as_ref(), self.workers.len());
        let queue = &mut self.workers[worker].rx[port as usize];
        match self.pool.with(bytes).filter(|_| queue.len() < QUEUE) {
            Some(buf) => queue.push_back(buf),
            None => self.missed += 1,
        }
        Some(worker)
    }

    /// One loop of a worker.
    pub(super) fn poll(&mut self, now: u64, worker: usize) -> Turn {
        let mut turn = Turn::default();
        let at = &mut self.workers[worker];
        if let Some(tables) = at.tables.take() {
            at.forwarder.swap_tables(tables);
        }
        turn.sent.extend(at.injected.drain(..).map(|(port, frame)| (port.0, frame)));
        at.polls += 1;
        if at.polls.is_multiple_of(16) {
            at.forwarder.sweep(now);
        }
        for port in 0..self.setup.plan.ports.len() {
            let queue = &mut self.workers[worker].rx[port];
            let mut burst: Burst<HeapBuf> = queue.drain(..queue.len().min(BURST)).collect();
            self.process(now, worker, port, &mut burst, false, &mut turn);
        }
        let port = self.workers[worker].handed.front().map(|handoff| handoff.port);
        if let Some(port) = port {
            let mut burst = Burst::new();
            let handed = &mut self.workers[worker].handed;
            while burst.len() < BURST && handed.front().is_some_and(|next| next.port == port) {
                burst.extend(handed.pop_front().map(|handoff| handoff.buf));
            }
            self.process(now, worker, port.0 as usize, &mut burst, true, &mut turn);
        }
        if self.workers[worker].forwarder.is_due(now) {
            self.catch_up(now, worker, &mut turn);
        }
        let at = &self.workers[worker];
        turn.waits = at.forwarder.ordering_held() > 0 || at.forwarder.groups_open() > 0;
        turn.again = !at.handed.is_empty() || at.rx.iter().any(|queue| !queue.is_empty());
        turn
    }

    fn process(
        &mut self,
        now: u64,
        worker: usize,
        port: usize,
        burst: &mut Burst<HeapBuf>,
        handed: bool,
        turn: &mut Turn,
    ) {
        if burst.is_empty() {
            return;
        }
        self.change_steps(now);
        let name = self.name();
        let workers = self.workers.len() as u16;
        let (id, out) = (self.setup.plan.id.0, &mut self.out);
        let at = &mut self.workers[worker];
        at.tally.given += burst.len() as u64;
        for copy in burst.iter().filter_map(|buf| copy_header(buf.data())) {
            if copy.destination == id && copy.stream as u8 as u16 % workers == worker as u16 {
                at.arrivals.note(&copy);
            }
        }
        let port = PortIndex(port as u8);
        if handed {
            at.forwarder.process_handed(now, port, burst, &mut self.pool, out);
        } else {
            at.forwarder.process(now, port, burst, &mut self.pool, out);
        }
        assert!(burst.is_empty(), "{name}: a burst was left");
        self.empty(now, worker, handed, turn);
    }

    /// Adaptive redundancy changes at any time: here with the time itself, some of whose bits are as good as drawn.
    fn change_steps(&self, now: u64) {
        let drawn = now.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60;
        let cells = self.tables().flights.iter().filter_map(|flight| flight.adaptive.as_ref());
        for cell in cells {
            cell.allow(200);
            cell.set(Step::ALL[drawn as usize % Step::ALL.len()]);
        }
    }

    /// What a worker does without having received anything.
    fn catch_up(&mut self, now: u64, worker: usize, turn: &mut Turn) {
        self.workers[worker].forwarder.catch_up(now, &mut self.pool, &mut self.out);
        self.empty(now, worker, false, turn);
    }

    /// Empties what a worker's data path has put out.
    fn empty(&mut self, now: u64, worker: usize, handed: bool, turn: &mut Turn) {
        let name = self.name();
        let (at, out) = (&mut self.workers[worker], &mut self.out);
        out.stamp(now);
        let room = TRACES_MAX - self.traces.len();
        self.traces.extend(out.seen.drain(..).take(room));
        for (port, frames) in out.tx.iter_mut().enumerate() {
            assert_eq!(out.ports >> port & 1 == 1, !frames.is_empty(), "{name}: the ports' bits");
            at.tally.transmitted += frames.len() as u64;
            turn.sent.extend(frames.drain(..).map(|buf| (port as u8, buf.data().to_vec())));
        }
        out.ports = 0;
        at.tally.punted += out.punts.len() as u64;
        at.tally.handed += out.handoffs.len() as u64;
        let who = format!("{name}, worker {worker}");
        at.tally.check(&at.counters, at.forwarder.ordering_held(), &who);
        for punt in out.punts.drain(..) {
            turn.control = true;
            if self.punts.len() < QUEUE {
                self.punts.push_back(punt);
            } else {
                self.missed += 1;
            }
        }
        for handoff in out.handoffs.drain(..) {
            let to = handoff.worker as usize;
            assert_ne!(to, worker, "{name}: handed to itself");
            // An origin's fragments meet on one worker before they go to the one that has their session.
            let again = handed && !is_fragment(handoff.buf.data());
            assert!(!again, "{name}: handed over twice");
            if self.workers[to].handed.len() < QUEUE {
                self.workers[to].handed.push_back(handoff);
                turn.woken.push(to);
            } else {
                self.handoffs_lost += 1;
            }
        }
    }

    /// The control side's turn: answers what was punted. Says whether workers have something to do.
    pub(super) fn control(&mut self, now: u64) -> bool {
        while let Some(punt) = self.punts.pop_front() {
            let bytes = punt.buf.data();
            match punt.cause {
                // No simulated topology asks for liveness: what bears it is as lost as any other packet to the node.
                Cause::NeighborDiscovery
                | Cause::Local
                | Cause::Liveness
                | Cause::Keys
                | Cause::LinkState
                | Cause::Takeover => self.slow.handle(now, punt.port, bytes),
                Cause::Unresolved(hop) => self.slow.resolve(now, punt.port, hop, bytes.to_vec()),
            }
            self.pool.free(punt.buf);
        }
        self.slow.tick(now);
        let mut woken = false;
        if self.slow.version() != self.slow_version {
            self.slow_version = self.slow.version();
            self.publish(true);
            woken = true;
        }
        while let Some((port, frame)) = self.slow.poll_frame() {
            let queue = &mut self.workers[0].injected;
            if queue.len() < QUEUE {
                queue.push_back((port, frame));
            } else {
                self.missed += 1;
            }
            woken = true;
        }
        woken
    }

    /// Takes another topology, as a reload does.
    pub(super) fn reload(&mut self, now: u64, topology: Arc<Topology>) {
        self.topology = topology;
        self.publish(false);
        let config = slow_config(&self.setup, &self.topology, &self.tables);
        self.slow.reconfigure(now, &config.answered, &config.next_hops);
    }

    fn publish(&mut self, neighbors_only: bool) {
        let interfaces: Vec<Interface> = self.setup.plan.ports.iter().map(|(port, _)| port.clone()).collect();
        let neighbors: Vec<(PortIndex, Addr, Mac)> = self.slow.neighbors().collect();
        let before = self.tables.clone();
        let tables =
            compile(&self.setup, &self.topology, &interfaces, Some(&before), &neighbors, neighbors_only);
        self.tables = Arc::new(tables);
        for worker in &mut self.workers {
            worker.tables = Some(self.tables.clone());
        }
    }

    /// Lets go of everything, as at the end of a run or at a crash; afterwards all buffers are back.
    pub(super) fn drop_everything(&mut self) {
        for worker in &mut self.workers {
            worker.rx.iter_mut().for_each(VecDeque::clear);
            worker.handed.clear();
            worker.injected.clear();
            worker.forwarder.stop();
        }
        self.punts.clear();
    }

    /// Checks that all buffers are back and that the counters agree with what came in.
    pub(super) fn audit(&self, judged: bool) {
        let name = self.name();
        let held = |worker: &Worker| {
            worker.counters.roles.connections_held.get() as usize + worker.forwarder.ordering_held()
        };
        let waiting: usize =
            self.workers.iter().map(|worker| worker.forwarder.fragments_held() + held(worker)).sum();
        assert_eq!(self.pool.available() + waiting, self.pool.capacity(), "{name}: buffers at rest");
        for (number, worker) in self.workers.iter().enumerate() {
            let who = format!("{name}, worker {number}");
            worker.tally.check(&worker.counters, worker.forwarder.ordering_held(), &who);
            if judged {
                worker.arrivals.check(&self.topology, &self.tables, &worker.counters, &who);
            }
        }
    }

    /// The same node after a crash: nothing is remembered but the configuration.
    pub(super) fn restart(&mut self, now: u64) {
        let mut fresh = Node::new(now, self.setup.clone(), self.topology.clone());
        fresh.life = self.life + 1;
        fresh.missed = self.missed;
        *self = fresh;
    }
}

/// Whether an Ethernet frame holds a fragment; that of IPv6 comes first of its extension headers here.
fn is_fragment(frame: &[u8]) -> bool {
    let at = if frame.get(12..14) == Some(&[0x81, 0]) { 18 } else { 14 };
    match frame.get(at..at + 8) {
        Some([first, _, _, _, _, _, high, low]) if first >> 4 == 4 => [high & 0x3f, *low] != [0, 0],
        Some([.., next, _]) => *next == 44,
        _ => false,
    }
}
