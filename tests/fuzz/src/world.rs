//! The overlay of the configuration's examples: an edge, two intermediates and a gateway with many workers, each
//! with its tables, made from the example files. Ethernet addresses tell node and port, so that frames find their way.

use conf::Config;
use overlay::topology::Seal;
use packet::heap::HeapPool;
use packet::{Addr, Mac};
use pipelines::slow::{self, SlowPath};
use pipelines::tables::{Input, Interface, Route, Tables, pool_addresses};
use pipelines::{Forwarder, PortIndex, Setup, WorkerCounters};
use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

/// The node files, in the order of the nodes' numbers here.
const NODE_FILES: [&str; 4] = [
    include_str!("../../../conf/examples/edge-1.toml"),
    include_str!("../../../conf/examples/mid-1.toml"),
    include_str!("../../../conf/examples/mid-2.toml"),
    include_str!("../../../conf/examples/gateway-1.toml"),
];
const TOPOLOGY_FILE: &str = include_str!("../../../conf/examples/overlay.toml");

/// The edge among the nodes here.
pub const EDGE: u8 = 0;
/// The first intermediate.
pub const MID: u8 = 1;
/// The gateway.
pub const GATEWAY: u8 = 3;

/// Workers of the gateway. Ports are dealt out among them, and a small share is made quickly.
const GATEWAY_WORKERS: u16 = 64;
/// Whoever is no node: clients, routers, origins.
const ELSEWHERE: u8 = 0xff;
/// Table sizes: small, so that they fill up.
const PLACES: usize = 64;

/// Both files of each example node, as texts.
pub fn examples() -> impl Iterator<Item = (&'static str, &'static str)> {
    NODE_FILES.into_iter().map(|node| (node, TOPOLOGY_FILE))
}

/// The Ethernet address of a port.
pub fn mac(node: u8, port: u8) -> Mac {
    Mac([2, 0, 0, 0, node, port])
}

/// The node behind an Ethernet address and its port, where there is one.
pub fn place(mac: &[u8]) -> Option<(u8, PortIndex)> {
    match *mac {
        [2, 0, 0, 0, node, port] if (node as usize) < NODE_FILES.len() => Some((node, PortIndex(port))),
        _ => None,
    }
}

/// The node's ports as the data path wants them.
fn interfaces(config: &Config, node: u8) -> Vec<Interface> {
    let port = |(number, port): (usize, &conf::Port)| Interface {
        mac: mac(node, number as u8),
        vlan: port.vlan.unwrap_or(0),
        mtu: port.mtu_bytes,
        addresses: port.addresses.clone(),
        routes: port.routes.iter().map(|route| Route { to: route.to, via: route.via }).collect(),
    };
    config.local.ports.iter().enumerate().map(port).collect()
}

/// A checked configuration must compile.
pub fn compile(
    config: &Config,
    node: u8,
    neighbors: &[(PortIndex, Addr, Mac)],
    previous: Option<&Tables>,
) -> Tables {
    let interfaces = interfaces(config, node);
    let input = Input {
        topology: &config.topology,
        node: config.node,
        interfaces: &interfaces,
        neighbors,
        seed: 1,
        previous,
        dead: &pipelines::tables::Dead::default(),
        mtus: &pipelines::tables::Mtus::default(),
        hops: &Default::default(),
        blocks: &[],
        neighbors_only: false,
    };
    Tables::compile(&input).expect("a checked configuration compiles")
}

/// The addresses that a node translates to.
fn pool(config: &Config) -> Vec<Addr> {
    config.this_node().iter().flat_map(|node| &node.nat_pool).flat_map(pool_addresses).collect()
}

/// What does not change from input to input.
struct Plan {
    config: Config,
    tables: Arc<Tables>,
}

fn plans() -> &'static [Plan] {
    static PLANS: OnceLock<Vec<Plan>> = OnceLock::new();
    PLANS.get_or_init(|| {
        let read =
            |(node, topology)| Config::load_str(node, topology).expect("the examples are right").config;
        let mut configs: Vec<Config> = examples().map(read).collect();
        for config in &mut configs {
            // Nobody has keys here: what is sealed would end at the edge.
            for application in &mut config.topology.applications {
                application.seal = Seal::None;
            }
            for node in &mut config.topology.nodes {
                if node.roles.gateway {
                    node.workers = GATEWAY_WORKERS;
                    // One address of each IP version: fewer ports to deal out for each input.
                    let mut seen = [false; 2];
                    node.nat_pool.retain(|range| {
                        !std::mem::replace(&mut seen[range.start().is_ipv4() as usize], true)
                    });
                    for range in &mut node.nat_pool {
                        *range = *range.start()..=*range.start();
                    }
                }
            }
        }
        let configs = configs.into_iter().enumerate();
        configs
            .map(|(node, config)| Plan { tables: Arc::new(tables(&config, node as u8, None)), config })
            .collect()
    })
}

/// Tables that know every node, one origin and one router; other neighbours are to be resolved.
fn tables(config: &Config, node: u8, previous: Option<&Tables>) -> Tables {
    let mut neighbors = Vec::new();
    for (number, other) in config.topology.nodes.iter().enumerate() {
        let number = ["edge-1", "mid-1", "mid-2", "gateway-1"]
            .iter()
            .position(|name| *name == other.name)
            .unwrap_or(number);
        for address in &other.underlay {
            neighbors.push((PortIndex(0), Addr::from(*address), mac(number as u8, 0)));
        }
    }
    let elsewhere = ["198.51.100.254", "2001:db8:c::fe", "10.9.0.2", "2001:db8:9::2"];
    for address in elsewhere.iter().filter_map(|text| text.parse::<std::net::IpAddr>().ok()) {
        neighbors.push((PortIndex(1), Addr::from(address), mac(ELSEWHERE, 1)));
    }
    compile(config, node, &neighbors, previous)
}

/// The four nodes in the state in which they start.
pub struct World {
    /// Counts for all of them.
    pub counters: Arc<WorkerCounters>,
    tables: Vec<Arc<Tables>>,
    workers: BTreeMap<(u8, u16), Forwarder<HeapPool>>,
    slow: BTreeMap<u8, SlowPath>,
}

impl World {
    /// Nodes that have seen nothing yet.
    pub fn new(counters: Arc<WorkerCounters>) -> World {
        let tables = plans().iter().map(|plan| plan.tables.clone()).collect();
        World { counters, tables, workers: BTreeMap::new(), slow: BTreeMap::new() }
    }

    /// Fragments, connections from outside and packets in order that wait in all nodes.
    pub fn waiting(&self) -> usize {
        let held = |worker: &Forwarder<HeapPool>| {
            worker.fragments_held() + worker.connections_held() + worker.ordering_held()
        };
        self.workers.values().map(held).sum()
    }

    /// How many ports a node has.
    pub fn ports(&self, node: u8) -> usize {
        self.tables[node as usize].ports.len()
    }

    /// The workers that have something to do without having received anything.
    pub fn due(&self, now_ns: u64) -> Vec<(u8, u16)> {
        let due = self.workers.iter().filter(|(_, worker)| worker.is_due(now_ns));
        due.map(|(name, _)| *name).collect()
    }

    /// A node's tables.
    pub fn tables(&self, node: u8) -> &Arc<Tables> {
        &self.tables[node as usize]
    }

    /// A node's worker, made when it is first needed.
    pub fn worker(&mut self, node: u8, worker: u16) -> &mut Forwarder<HeapPool> {
        let (tables, counters) = (&self.tables[node as usize], &self.counters);
        self.workers.entry((node, worker)).or_insert_with(|| {
            let config = &plans()[node as usize].config;
            let workers = config.this_node().map_or(1, |node| node.workers);
            let setup = Setup {
                worker,
                workers,
                flows: PLACES,
                nat: nat::Config {
                    sessions_max: PLACES,
                    pool: pool(config),
                    worker,
                    workers,
                    rss: None,
                    rules: nat::Rules::default(),
                    timeouts: nat::Timeouts::default(),
                    seed: 1,
                },
                peer: None,
                bindings: false,
                streams: PLACES,
                window: 64,
                watching: overlay::elimination::Watching::default(),
                ordering: overlay::ordering::Bounds::default(),
                parity: overlay::parity::Bounds { bytes: 1 << 16, groups: 16, hold_ns: 50_000_000 },
                flow_idle_s: 300,
                refuses_aloud: true,
                answers_per_second: 10,
                seed: 1,
                first_sequence: 1 << 60,
                unix_offset_ns: 0,
            };
            Forwarder::new(&setup, tables.clone(), counters.clone()).expect("the setup is right")
        })
    }

    /// A node's slow path, made when it is first needed.
    pub fn slow(&mut self, node: u8, now_ns: u64) -> &mut SlowPath {
        let tables = &self.tables[node as usize];
        self.slow.entry(node).or_insert_with(|| {
            let ports = interfaces(&plans()[node as usize].config, node).into_iter();
            let ports = ports.map(|port| slow::Port {
                mac: port.mac,
                vlan: (port.vlan != 0).then_some(port.vlan),
                addresses: port.addresses,
            });
            let config = slow::Config {
                ports: ports.collect(),
                answered: pool(&plans()[node as usize].config),
                next_hops: tables.next_hops.clone(),
                neighbors_max: PLACES,
                seed: 3,
            };
            SlowPath::new(now_ns, &config)
        })
    }

    /// The slow paths in use.
    pub fn slow_paths(&mut self) -> impl Iterator<Item = &mut SlowPath> {
        self.slow.values_mut()
    }

    /// The configuration is read again: all flows and sessions are compiled anew.
    pub fn reload(&mut self, node: u8) {
        let before = self.tables[node as usize].clone();
        let after = Arc::new(tables(&plans()[node as usize].config, node, Some(&before)));
        self.tables[node as usize] = after.clone();
        for (_, worker) in self.workers.range_mut((node, 0)..=(node, u16::MAX)) {
            worker.swap_tables(after.clone());
        }
    }

    /// Time passes on all nodes.
    pub fn sweep(&mut self, now_ns: u64) {
        self.workers.values_mut().for_each(|worker| {
            worker.sweep(now_ns);
        });
        self.slow.values_mut().for_each(|slow| slow.tick(now_ns));
    }
}
