//! A node that packets cross: real tables, compiled whenever what it knows changes, and from the first packet on a real data path.

use super::layout::{Overlay, client_net, id, mac, origin_net, underlay};
use crate::sim::MILLISECOND;
use overlay::adaptive::Report;
use overlay::routing::LinkView;
use overlay::topology::IpVersion;
use overlay::wire::initial_sequence;
use packet::heap::{HeapBuf, HeapPool};
use packet::{Addr, BufPool, Mac, PacketBuf, Reason};
use pipelines::ladders::Ladders;
use pipelines::receipts::{Receipts, Told};
use pipelines::tables::{Dead, Hops, Input, Interface, Tables, pool_addresses};
use pipelines::{Burst, Forwarder, Output, PortIndex, Setup, WorkerCounters};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Unix time at the start of a run, ms.
pub const UNIX_MS: u64 = 1_800_000_000_000;
/// The port that leads to other nodes.
pub const UNDERLAY: PortIndex = PortIndex(0);
/// The port that leads to clients or origins.
pub const OUTSIDE: PortIndex = PortIndex(1);
/// Where hosts stand.
const HOST: Mac = Mac([2, 0, 0, 3, 0, 1]);
/// Packets that a window remembers: a second at any rate here.
const WINDOW: usize = 4096;
/// How often sessions and windows are looked through, ns.
const SWEEP_NS: u64 = 16 * MILLISECOND;

/// A node that packets cross.
pub struct Router {
    node: usize,
    interfaces: Vec<Interface>,
    neighbors: Vec<(PortIndex, Addr, Mac)>,
    tables: Arc<Tables>,
    worker: Option<Box<Worker>>,
    /// Redundancy of its own packets, and what it tells of others'.
    ladders: Ladders,
    receipts: Receipts,
}

struct Worker {
    forwarder: Forwarder<HeapPool>,
    counters: Arc<WorkerCounters>,
    pool: HeapPool,
    out: Box<Output<HeapBuf>>,
    swept_ns: u64,
}

impl Router {
    /// A node that knows of links what is configured.
    pub fn new(overlay: &Overlay, node: usize) -> Router {
        let interfaces = overlay.interfaces(node);
        let mut neighbors: Vec<(PortIndex, Addr, Mac)> = (0..overlay.topology.nodes.len())
            .map(|other| (UNDERLAY, Addr::from(underlay(other)), mac(other)))
            .collect();
        for flow in 0..overlay.flows.len() {
            let hosts = (2..=20).flat_map(|host| [client_net(flow, host), origin_net(flow, host)]);
            neighbors.extend(hosts.map(|host| (OUTSIDE, Addr::from(host), HOST)));
        }
        let ladders = Ladders::new(&overlay.topology, id(node));
        let receipts = Receipts::new(&overlay.topology, id(node), node as u32);
        let known = (&Dead::default(), &LinkView::default(), &ladders);
        let first = compile(overlay, node, &interfaces, &neighbors, None, known);
        Router { node, interfaces, neighbors, tables: Arc::new(first), worker: None, ladders, receipts }
    }

    /// Compiles its tables anew, by what it knows of links now and which of its own are dead.
    pub fn learn(&mut self, overlay: &Overlay, view: &LinkView, dead: &Dead) {
        let before = self.tables.clone();
        let tables = compile(
            overlay,
            self.node,
            &self.interfaces,
            &self.neighbors,
            Some(&before),
            (dead, view, &self.ladders),
        );
        self.tables = Arc::new(tables);
        if let Some(worker) = &mut self.worker {
            worker.forwarder.swap_tables(self.tables.clone());
        }
    }

    /// The tables that it forwards by.
    pub fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Looks at what has come, and at the signs for its own redundancy; returns what it tells others of their packets.
    pub fn adapt(&mut self, overlay: &Overlay, now_ns: u64) -> Vec<Told> {
        self.ladders.tick(now_ns, &overlay.topology, &Dead::default(), |_| None, 0);
        let Some(worker) = &self.worker else { return Vec::new() };
        let read = |number: u32| worker.counters.ways.get(number as usize).map(|way| way.read()).into_iter();
        self.receipts.tick(now_ns, &self.tables.registry.incoming, read)
    }

    /// Hears what has come of its packets.
    pub fn hear(&mut self, now_ns: u64, from: usize, report: &Report) {
        self.ladders.hear(now_ns, id(from), IpVersion::V4, report);
    }

    /// Takes frames at a port; `send` sees what it transmits, with its port.
    pub fn give(
        &mut self,
        overlay: &Overlay,
        now_ns: u64,
        port: PortIndex,
        frames: &[Vec<u8>],
        mut send: impl FnMut(PortIndex, &[u8]),
    ) {
        let (node, tables) = (self.node, &self.tables);
        let worker = self.worker.get_or_insert_with(|| Box::new(Worker::new(overlay, node, tables, now_ns)));
        let Worker { forwarder, pool, out, swept_ns, .. } = worker.as_mut();
        if now_ns >= *swept_ns + SWEEP_NS {
            *swept_ns = now_ns;
            forwarder.sweep(now_ns);
        }
        let mut burst: Burst<HeapBuf> = Burst::new();
        for frame in frames {
            burst.push(pool.with(frame).expect("a pool as large as all bursts"));
        }
        forwarder.process(now_ns, port, &mut burst, pool, out);
        if forwarder.is_due(now_ns) {
            forwarder.catch_up(now_ns, pool, out);
        }
        out.seen.clear();
        for (port, queue) in out.tx.iter_mut().enumerate() {
            for buf in queue.drain(..) {
                send(PortIndex(port as u8), buf.data());
                pool.free(buf);
            }
        }
        out.ports = 0;
        assert!(out.punts.is_empty() && out.handoffs.is_empty(), "all neighbours are known");
    }

    /// Whether groups of packets are open, which it is to end in time.
    pub fn has_open_groups(&self) -> bool {
        self.worker.as_ref().is_some_and(|worker| worker.forwarder.groups_open() > 0)
    }

    /// What it has dropped, by reason.
    pub fn drops(&self) -> BTreeMap<Reason, u64> {
        let Some(worker) = &self.worker else { return BTreeMap::new() };
        let counts = Reason::ALL.iter().map(|reason| (*reason, worker.counters.drops[reason.index()].get()));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

impl Worker {
    fn new(overlay: &Overlay, node: usize, tables: &Arc<Tables>, now_ns: u64) -> Worker {
        let this = &overlay.topology.nodes[node];
        let seed = node as u64 + 1;
        let setup = Setup {
            worker: 0,
            workers: 1,
            flows: 256,
            nat: nat::Config {
                sessions_max: 256,
                pool: this.nat_pool.iter().flat_map(pool_addresses).collect(),
                worker: 0,
                workers: 1,
                rss: None,
                rules: nat::Rules::default(),
                timeouts: nat::Timeouts::default(),
                seed,
            },
            peer: None,
            bindings: false,
            ordering: overlay::ordering::Bounds::default(),
            parity: overlay::parity::Bounds::default(),
            streams: 256,
            window: WINDOW,
            watching: overlay::elimination::Watching::default(),
            flow_idle_s: 300,
            refuses_aloud: false,
            answers_per_second: 100,
            seed,
            first_sequence: initial_sequence(UNIX_MS + now_ns / MILLISECOND),
            unix_offset_ns: UNIX_MS * MILLISECOND,
        };
        let counters = Arc::new(WorkerCounters::default());
        Worker {
            forwarder: Forwarder::new(&setup, tables.clone(), counters.clone()).expect("a worker"),
            counters,
            pool: HeapPool::new(256),
            out: Box::default(),
            swept_ns: now_ns,
        }
    }
}

fn compile(
    overlay: &Overlay,
    node: usize,
    interfaces: &[Interface],
    neighbors: &[(PortIndex, Addr, Mac)],
    previous: Option<&Tables>,
    (dead, view, ladders): (&Dead, &LinkView, &Ladders),
) -> Tables {
    debug_assert!(overlay.topology.applications.iter().all(|one| one.underlay == IpVersion::V4));
    Tables::compile(&Input {
        topology: &overlay.topology,
        node: id(node),
        interfaces,
        neighbors,
        seed: node as u64,
        previous,
        dead,
        mtus: &Default::default(),
        blocks: &[],
        hops: &Hops { views: [view.clone(), LinkView::default()], steps: ladders.steps(), ..Hops::default() },
        neighbors_only: previous.is_some(),
    })
    .expect("a topology that holds")
}
