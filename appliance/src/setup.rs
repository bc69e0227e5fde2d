//! From the checked configuration to what the data path and the slow path are made from.

use conf::Config;
use overlay::elimination::Watching;
use overlay::ordering::Bounds;
use overlay::routing::LinkView;
use overlay::topology::{Node, NodeId};
use packet::{Addr, Mac};
use pipelines::choices::Choices;
use pipelines::ladders::Ladders;
use pipelines::tables::{self, Block, Dead, Hops, Input, Interface, Local, Mtus};
use pipelines::{PortIndex, Setup, Tables, slow};

/// ICMP errors that a worker sends per second.
const ANSWERS_PER_SECOND: u64 = 1000;
/// Streams that a worker can receive at least, so that a small overlay may grow without a restart.
const STREAMS_MIN: usize = 256;

/// What differs from start to start.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Seeds hashes and the choice of NAT ports: unpredictable.
    pub seed: u64,
    /// Milliseconds since 1970: where sequence numbers start.
    pub unix_ms: u64,
    /// Nanoseconds from 1970 to the zero of the node's clock.
    pub unix_offset_ns: u64,
}

impl Start {
    /// The seed of one worker: as unpredictable as the whole, and its own.
    fn seed_of(&self, worker: u16) -> u64 {
        // SplitMix64's output function over distinct inputs gives distinct outputs.
        let mut mixed = self.seed.wrapping_add((worker as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The node's ports with the Ethernet addresses that their devices have.
pub fn interfaces(config: &Config, macs: &[Mac]) -> Vec<Interface> {
    let ports = config.local.ports.iter().zip(macs);
    ports
        .map(|(port, mac)| Interface {
            mac: *mac,
            vlan: port.vlan.unwrap_or(0),
            mtu: port.mtu_bytes,
            addresses: port.addresses.clone(),
            routes: port.routes.iter().map(|route| tables::Route { to: route.to, via: route.via }).collect(),
        })
        .collect()
}

/// A snapshot of the configuration and the neighbours.
///
/// # Errors
/// What no snapshot can hold.
#[expect(clippy::too_many_arguments, reason = "all that a snapshot follows from")]
pub fn compile(
    config: &Config,
    interfaces: &[Interface],
    neighbors: &[(PortIndex, Addr, Mac)],
    seed: u64,
    (dead, mtus, views, choices, ladders): (&Dead, &Mtus, &[LinkView; 2], &Choices, &Ladders),
    blocks: &[Block],
    previous: Option<&Tables>,
    neighbors_only: bool,
) -> Result<Tables, tables::CompileError> {
    let (topology, node) = (&config.topology, config.node);
    let hops = Hops {
        views: views.clone(),
        detours: config.local.detours.clone(),
        straight: choices.straight().clone(),
        steps: ladders.steps(),
    };
    Tables::compile(&Input {
        topology,
        node,
        interfaces,
        neighbors,
        seed,
        previous,
        dead,
        mtus,
        hops: &hops,
        blocks,
        neighbors_only,
    })
}

/// What one worker's data path is made from.
pub fn forwarder(config: &Config, node: &Node, start: Start, worker: u16) -> Setup {
    let workers = config.local.workers.cores.len() as u16;
    let (limits, timeouts) = (&config.local.limits, &config.local.timeouts);
    let seed = start.seed_of(worker);
    Setup {
        worker,
        workers,
        flows: limits.flows as usize,
        nat: nat::Config {
            sessions_max: limits.sessions as usize,
            pool: pool_addresses(node),
            worker,
            workers,
            rss: node.rss.clone(),
            rules: rules(&config.local.nat),
            timeouts: nat::Timeouts {
                tcp_established: timeouts.tcp_established_seconds,
                tcp_opening: timeouts.tcp_opening_seconds,
                tcp_closing: timeouts.tcp_closing_seconds,
                udp: timeouts.udp_seconds,
                icmp: timeouts.icmp_seconds,
            },
            seed,
        },
        peer: peer(config),
        bindings: !config.topology.takeovers.is_empty(),
        streams: streams(config, workers),
        window: limits.window_packets as usize,
        watching: watching(&config.local.elimination),
        ordering: bounds(&config.local.ordering),
        parity: kept(&config.local.parity),
        flow_idle_s: timeouts.flow_idle_seconds,
        refuses_aloud: config.local.nat.icmp_errors,
        answers_per_second: ANSWERS_PER_SECOND,
        seed,
        first_sequence: overlay::wire::initial_sequence(start.unix_ms),
        unix_offset_ns: start.unix_offset_ns,
    }
}

fn watching(elimination: &conf::Elimination) -> Watching {
    Watching {
        reset_ns: u64::from(elimination.reset_ms) * 1_000_000,
        latent_period_ns: u64::from(elimination.latent_period_ms) * 1_000_000,
        latent_difference: elimination.latent_difference.into(),
        jump: elimination.jump_packets.into(),
    }
}

/// The gateway that this one stands in for, with its pool.
fn peer(config: &Config) -> Option<(NodeId, Vec<Addr>)> {
    let pair = config.topology.takeover_of(config.node)?;
    let peer = config.topology.node(*pair.gateways.iter().find(|gateway| **gateway != config.node)?)?;
    Some((peer.id, pool_addresses(peer)))
}

fn kept(parity: &conf::Parity) -> overlay::parity::Bounds {
    overlay::parity::Bounds {
        bytes: (parity.memory_mib as usize) << 20,
        groups: parity.groups as usize,
        hold_ns: u64::from(parity.hold_ms) * 1_000_000,
    }
}

fn bounds(ordering: &conf::Ordering) -> Bounds {
    Bounds {
        hold_ns: u64::from(ordering.hold_ms) * 1_000_000,
        packets: ordering.packets as usize,
        flows: ordering.flows as usize,
    }
}

/// How a worker of a gateway translates.
fn rules(nat: &conf::Nat) -> nat::Rules {
    nat::Rules {
        clients_max: nat.clients as usize,
        client: nat::ClientLimits {
            sessions: nat.sessions_per_client,
            ports: nat.ports_per_client,
            sessions_per_second: nat.sessions_per_second,
            burst: nat.burst,
        },
        reserve_percent: nat.reserve_percent,
        few: nat.few,
        quarantine_s: nat.quarantine_seconds,
        parity: nat.parity,
        inbound_refresh: nat.inbound_refresh,
    }
}

/// Streams that one of `workers` workers can receive: all that the ends of the overlay may send here, with as much
/// again for nodes that a reload adds.
fn streams(config: &Config, workers: u16) -> usize {
    let topology = &config.topology;
    let ends = topology.nodes.iter().filter(|node| node.roles.edge || node.roles.gateway);
    let senders: usize = ends.filter(|node| node.id != config.node).map(|node| node.workers as usize).sum();
    let buckets = (topology.streams as usize).div_ceil(workers.max(1) as usize);
    (senders * buckets * 2).max(STREAMS_MIN)
}

/// A gateway's external addresses, one by one.
fn pool_addresses(node: &Node) -> Vec<Addr> {
    let mut addresses = Vec::new();
    for range in &node.nat_pool {
        let (first, last) = (Addr::from(*range.start()), Addr::from(*range.end()));
        let is_v4 = first.is_v4();
        let bits =
            |addr: Addr| if is_v4 { u32::from_be_bytes(addr.v4_bytes()) as u128 } else { addr.to_bits() };
        addresses.extend((bits(first)..=bits(last)).map(|bits| {
            if is_v4 { Addr::from_v4((bits as u32).to_be_bytes()) } else { Addr::from_v6(bits.to_be_bytes()) }
        }));
    }
    addresses
}

/// What the slow path is made from.
pub fn slow(config: &Config, interfaces: &[Interface], tables: &Tables, seed: u64) -> slow::Config {
    let ports = interfaces.iter().map(|interface| slow::Port {
        mac: interface.mac,
        vlan: Some(interface.vlan).filter(|vlan| *vlan != 0),
        addresses: interface.addresses.clone(),
    });
    slow::Config {
        ports: ports.collect(),
        answered: answered(tables),
        next_hops: tables.next_hops.clone(),
        neighbors_max: config.local.limits.neighbors as usize,
        seed,
    }
}

/// Addresses beside the ports' own for which the node answers on their links.
pub fn answered(tables: &Tables) -> Vec<Addr> {
    let local = tables.local.iter();
    let mut addresses: Vec<Addr> = local
        .filter(|(_, what)| matches!(what, Local::Vip(_) | Local::Pool | Local::Underlay))
        .map(|(addr, _)| addr)
        .collect();
    addresses.sort_unstable();
    addresses
}
