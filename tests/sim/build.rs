//! What a node is built from at its start and at each reload: tables, workers' data paths, the slow path's addresses.

use super::node::NodeSetup;
use overlay::topology::{self, Topology};
use overlay::wire::initial_sequence;
use packet::heap::HeapPool;
use packet::{Addr, Mac};
use pipelines::tables::{Dead, Input, Interface, Tables, pool_addresses};
use pipelines::{Forwarder, PortIndex, Setup, WorkerCounters, slow};
use std::sync::Arc;

/// Unix time at the start of a run, ms.
const EPOCH_MS: u64 = 1_800_000_000_000;

pub(super) fn compile(
    setup: &NodeSetup,
    topology: &Topology,
    interfaces: &[Interface],
    previous: Option<&Tables>,
    neighbors: &[(PortIndex, Addr, Mac)],
    neighbors_only: bool,
) -> Tables {
    let node = setup.plan.id;
    let seed = setup.seed;
    let dead = &Dead::default();
    Tables::compile(&Input {
        topology,
        node,
        interfaces,
        neighbors,
        seed,
        previous,
        dead,
        mtus: &Default::default(),
        hops: &Default::default(),
        blocks: &[],
        neighbors_only,
    })
    .unwrap()
}

pub(super) fn forwarder(
    now: u64,
    setup: &NodeSetup,
    this: &topology::Node,
    worker: u16,
    tables: &Arc<Tables>,
    counters: &Arc<WorkerCounters>,
) -> Forwarder<HeapPool> {
    let seed = setup.seed.wrapping_mul(64) + u64::from(worker) + now;
    let setup = Setup {
        worker,
        workers: this.workers,
        flows: 2048,
        nat: nat::Config {
            sessions_max: 2048,
            pool: this.nat_pool.iter().flat_map(pool_addresses).collect(),
            worker,
            workers: this.workers,
            rss: this.rss.clone(),
            // No run is so long that a session of it should expire.
            rules: nat::Rules::default(),
            timeouts: nat::Timeouts {
                tcp_established: 7440,
                tcp_opening: 7440,
                tcp_closing: 7440,
                udp: 7440,
                icmp: 7440,
            },
            seed,
        },
        peer: None,
        bindings: false,
        streams: 2048,
        window: setup.window,
        watching: overlay::elimination::Watching::default(),
        ordering: overlay::ordering::Bounds::default(),
        parity: overlay::parity::Bounds { bytes: 1 << 20, groups: 64, hold_ns: 60_000_000 },
        flow_idle_s: 30,
        refuses_aloud: true,
        answers_per_second: 1000,
        seed,
        first_sequence: initial_sequence(EPOCH_MS + now / 1_000_000),
        unix_offset_ns: EPOCH_MS * 1_000_000,
    };
    Forwarder::new(&setup, tables.clone(), counters.clone()).unwrap()
}

pub(super) fn slow_config(setup: &NodeSetup, topology: &Topology, tables: &Tables) -> slow::Config {
    let port = |interface: &Interface| slow::Port {
        mac: interface.mac,
        vlan: (interface.vlan != 0).then_some(interface.vlan),
        addresses: interface.addresses.clone(),
    };
    let this = topology.node(setup.plan.id).unwrap();
    let vips = topology.applications.iter().flat_map(|application| &application.vips);
    let held = vips.filter(|vip| vip.node == this.id).map(|vip| Addr::from(vip.address));
    slow::Config {
        ports: setup.plan.ports.iter().map(|(interface, _)| port(interface)).collect(),
        answered: held.chain(this.nat_pool.iter().flat_map(pool_addresses)).collect(),
        next_hops: tables.next_hops.clone(),
        neighbors_max: 256,
        seed: 3,
    }
}
