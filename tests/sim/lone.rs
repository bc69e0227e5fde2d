//! One worker of one node alone, driven by hand: for tests of single steps. Every neighbour is known to it.

use super::plan::Plan;
use overlay::topology::{NodeId, Topology};
use packet::heap::{HeapBuf, HeapPool};
use packet::{Addr, BufPool, Mac, PacketBuf, Reason};
use pipelines::tables::{Input, Interface, Tables, pool_addresses};
use pipelines::{Burst, Forwarder, Output, PortIndex, Setup, WorkerCounters};
use std::sync::Arc;

/// Where everything stands that is no node of the plan.
const ELSEWHERE: Mac = Mac([2, 0, 0, 0, 9, 9]);

/// A worker.
pub struct Lone {
    /// Its data path.
    pub forwarder: Forwarder<HeapPool>,
    /// What it has counted.
    pub counters: Arc<WorkerCounters>,
    /// Its buffers.
    pub pool: HeapPool,
    /// What it puts out; [`Lone::give`] empties it.
    pub out: Box<Output<HeapBuf>>,
    /// The Ethernet address of its first port.
    pub mac: Mac,
    /// Its time, ns; a burst takes a millisecond.
    pub now_ns: u64,
    interfaces: Vec<Interface>,
    macs: Vec<(Addr, Mac)>,
    node: NodeId,
}

impl Lone {
    /// The only worker of a node of a plan, with these ports.
    pub fn new(plan: &Plan, node: usize, interfaces: &[Interface], topology: &Topology) -> Lone {
        let ports = plan.nodes.iter().flat_map(|node| &node.ports);
        let macs =
            ports.flat_map(|(port, _)| port.addresses.iter().map(|own| (Addr::from(own.ip()), port.mac)));
        let macs: Vec<_> = macs.collect();
        let id = plan.nodes[node].id;
        let tables = Arc::new(compile(topology, id, interfaces, &macs, None));
        let this = topology.node(id).unwrap();
        let setup = Setup {
            worker: 0,
            workers: 1,
            flows: 1024,
            nat: nat::Config {
                sessions_max: 1024,
                pool: this.nat_pool.iter().flat_map(pool_addresses).collect(),
                worker: 0,
                workers: 1,
                rss: None,
                rules: nat::Rules::default(),
                timeouts: nat::Timeouts::default(),
                seed: 7,
            },
            peer: None,
            bindings: false,
            streams: 1024,
            window: 1024,
            watching: overlay::elimination::Watching::default(),
            ordering: overlay::ordering::Bounds::default(),
            parity: overlay::parity::Bounds::default(),
            flow_idle_s: 300,
            refuses_aloud: true,
            answers_per_second: 1000,
            seed: 7,
            first_sequence: 1 << 40,
            unix_offset_ns: 0,
        };
        let counters = Arc::new(WorkerCounters::default());
        Lone {
            forwarder: Forwarder::new(&setup, tables, counters.clone()).unwrap(),
            counters,
            pool: HeapPool::new(512),
            out: Box::default(),
            mac: interfaces[0].mac,
            now_ns: 1,
            interfaces: interfaces.to_vec(),
            macs,
            node: id,
        }
    }

    /// The same as [`Lone::new`] with the plan's own ports and topology.
    pub fn of(plan: &Plan, node: usize) -> Lone {
        let ports: Vec<Interface> = plan.nodes[node].ports.iter().map(|(port, _)| port.clone()).collect();
        Lone::new(plan, node, &ports, &plan.topology)
    }

    /// Takes another topology.
    pub fn reload(&mut self, topology: &Topology) {
        let before = self.forwarder.tables().clone();
        let tables = compile(topology, self.node, &self.interfaces, &self.macs, Some(&before));
        self.forwarder.swap_tables(Arc::new(tables));
    }

    /// Takes a burst of frames through; `take` sees the port and the bytes of what is transmitted.
    pub fn run(&mut self, port: u8, frames: &[Vec<u8>], mut take: impl FnMut(u8, &[u8])) {
        self.now_ns += 1_000_000;
        let mut burst: Burst<HeapBuf> = Burst::new();
        for frame in frames {
            burst.push(self.pool.with(frame).unwrap());
        }
        self.forwarder.process(self.now_ns, PortIndex(port), &mut burst, &mut self.pool, &mut self.out);
        self.forwarder.sweep(self.now_ns);
        if self.forwarder.is_due(self.now_ns) {
            self.forwarder.catch_up(self.now_ns, &mut self.pool, &mut self.out);
        }
        for (port, queue) in self.out.tx.iter_mut().enumerate() {
            for buf in queue.drain(..) {
                take(port as u8, buf.data());
                self.pool.free(buf);
            }
        }
        self.out.ports = 0;
        assert!(self.out.punts.is_empty() && self.out.handoffs.is_empty());
    }

    /// Takes one frame through, and returns what is transmitted.
    pub fn give(&mut self, port: u8, frame: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut sent = Vec::new();
        self.run(port, &[frame.to_vec()], |port, bytes| sent.push((port, bytes.to_vec())));
        sent
    }

    /// How many packets were dropped for a reason.
    pub fn dropped(&self, reason: Reason) -> u64 {
        self.counters.drops[reason.index()].get()
    }
}

fn compile(
    topology: &Topology,
    node: NodeId,
    interfaces: &[Interface],
    macs: &[(Addr, Mac)],
    previous: Option<&Tables>,
) -> Tables {
    let once = |neighbors: &[(PortIndex, Addr, Mac)]| {
        Tables::compile(&Input {
            topology,
            node,
            interfaces,
            neighbors,
            seed: 7,
            previous,
            dead: &pipelines::tables::Dead::default(),
            mtus: &pipelines::tables::Mtus::default(),
            hops: &Default::default(),
            blocks: &[],
            neighbors_only: false,
        })
        .unwrap()
    };
    let owner = |address| macs.iter().find(|(own, _)| *own == address).map_or(ELSEWHERE, |(_, mac)| *mac);
    let hops = once(&[]).next_hops;
    let known: Vec<_> = hops.iter().map(|(port, address)| (*port, *address, owner(*address))).collect();
    once(&known)
}
