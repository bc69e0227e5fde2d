//! Answers to operators, out of the counters.

use std::collections::{BTreeMap, BTreeSet};

use ctl::{Drop, Link, NeighborStatus, Path, Port, Status, Worker};
use overlay::topology::PathId;
use packet::{BufPool, Reason};

use crate::core::{Core, Counters};

/// What only the devices know of a port.
#[derive(Clone, Copy, Debug, Default)]
pub struct Device {
    /// Its link.
    pub link: Link,
    /// Frames that it lost.
    pub missed: u64,
}

/// What only the process knows.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Packet buffers in use.
    pub buffers_used: u64,
    /// The ports' devices, in the order of the configuration.
    pub devices: Vec<Device>,
    /// Each worker's busy share since the last question.
    pub busy: Vec<f64>,
}

impl<P: BufPool> Core<P> {
    /// Answers "status".
    pub fn status(&self, process: &Process) -> Status {
        let config = &self.config;
        let node = config.this_node();
        let region = node.and_then(|node| config.topology.region(node.region));
        let sum = |of: fn(&Counters) -> u64| self.counters.iter().map(of).sum::<u64>();
        let workers = self.counters.len() as u64;
        let roles = node.map(|node| node.roles).unwrap_or_default();
        let capacity = |has: bool, limit: u32| if has { limit as u64 * workers } else { 0 };
        Status {
            ready: true,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            dpdk: dpdk::Eal::version().to_owned(),
            node: node.map_or_else(String::new, |node| node.name.clone()),
            id: config.node.0,
            region: region.map_or_else(String::new, |region| region.name.clone()),
            roles: [("edge", roles.edge), ("intermediate", roles.intermediate), ("gateway", roles.gateway)]
                .into_iter()
                .filter(|(_, has)| *has)
                .map(|(name, _)| name.to_owned())
                .collect(),
            uptime_seconds: process.uptime_seconds,
            reloads: self.reloads.0,
            reloads_refused: self.reloads.1,
            ports: self.ports(process),
            workers: self.workers(process),
            buffers_used: process.buffers_used,
            buffers_capacity: config.local.limits.buffers.into(),
            flows_used: sum(|worker| worker.path.roles.flows.get()),
            flows_capacity: capacity(roles.edge, config.local.limits.flows),
            sessions_used: sum(|worker| worker.path.roles.sessions.get()),
            sessions_capacity: capacity(roles.gateway, config.local.limits.sessions),
            neighbors: self.neighbors(),
            links: self.links(),
        }
    }

    fn ports(&self, process: &Process) -> Vec<Port> {
        let settings = self.config.local.ports.iter().zip(&self.interfaces).enumerate();
        settings
            .map(|(index, (port, interface))| {
                let device = process.devices.get(index).copied().unwrap_or_default();
                let counters = || self.counters.iter().filter_map(move |worker| worker.path.ports.get(index));
                Port {
                    name: port.name.clone(),
                    device: port.device.clone(),
                    mac: interface.mac.to_string(),
                    link: device.link,
                    rx_packets: counters().map(|c| c.rx_packets.get()).sum(),
                    rx_bytes: counters().map(|c| c.rx_bytes.get()).sum(),
                    rx_missed: device.missed,
                    tx_packets: counters().map(|c| c.tx_packets.get()).sum(),
                    tx_bytes: counters().map(|c| c.tx_bytes.get()).sum(),
                }
            })
            .collect()
    }

    fn workers(&self, process: &Process) -> Vec<Worker> {
        let cores = self.config.local.workers.cores.iter().zip(&self.counters).enumerate();
        cores
            .map(|(index, (core, counters))| Worker {
                core: *core,
                busy: process.busy.get(index).copied().unwrap_or_default(),
                packets: counters.own.packets.get(),
                flows: counters.path.roles.flows.get(),
                sessions: counters.path.roles.sessions.get(),
                streams: counters.path.roles.streams.get(),
                handed_off: counters.path.roles.handoff_out.get(),
                latent_streams: counters.path.roles.latent.get(),
            })
            .collect()
    }

    fn neighbors(&self) -> NeighborStatus {
        let port_name = |port: pipelines::PortIndex| {
            self.config.local.ports.get(port.0 as usize).map_or_else(String::new, |port| port.name.clone())
        };
        NeighborStatus {
            known: self.slow.neighbors().count() as u64,
            unresolved: self.slow.unresolved().map(|(port, addr)| (port_name(port), addr.to_ip())).collect(),
            conflicts: self.slow.counters().conflicts,
        }
    }

    /// Answers "path show": the paths of the configuration, and any other that has counted something.
    pub fn paths(&self) -> Vec<Path> {
        let topology = &self.config.topology;
        let mut known = BTreeMap::new();
        let sets = topology.path_sets.iter().map(|set| (set, true));
        for (set, in_force) in sets.chain(topology.beside.iter().map(|set| (set, false))) {
            for path in &set.paths {
                let regions = [set.edge].into_iter().chain(path.via.iter().copied()).chain([set.gateway]);
                let names = regions.filter_map(|index| Some(topology.region(index)?.name.clone())).collect();
                known.insert(path.id, (set.name.clone(), names, in_force));
            }
        }
        // What has no path is counted as path 0, under the names of the protocols that send so.
        let routings = topology.applications.iter().map(|application| &application.routing);
        let used: BTreeSet<_> = routings
            .flat_map(overlay::topology::Routing::protocols)
            .filter(|protocol| !protocol.has_path())
            .collect();
        if !used.is_empty() {
            let names = used.iter().map(|protocol| protocol.name()).collect::<Vec<_>>();
            known.insert(PathId(0), (names.join(", "), Vec::new(), true));
        }
        let mut paths = Vec::new();
        for (slot, id) in self.tables.registry.paths.iter().enumerate() {
            let configured = known.remove(id);
            let counters = || self.counters.iter().filter_map(move |worker| worker.path.paths.get(slot));
            let is_configured = configured.is_some();
            let (set, regions, in_force) = configured.unwrap_or_default();
            let (passed, discarded, rogue) = (
                counters().map(|c| c.passed.get()).sum::<u64>(),
                counters().map(|c| c.discarded.get()).sum::<u64>(),
                counters().map(|c| c.rogue.get()).sum::<u64>(),
            );
            let path = Path {
                path: id.0,
                set,
                regions,
                in_force,
                sent: counters().map(|c| c.sent.get()).sum(),
                forwarded: counters().map(|c| c.forwarded.get()).sum(),
                received: passed + discarded + rogue,
                passed,
                discarded,
                rogue,
                out_of_order: counters().map(|c| c.out_of_order.get()).sum(),
                silent_streams: counters().map(|c| c.silent.get()).sum(),
                ends: self.ends(*id),
                incoming: self.incoming(*id),
            };
            if is_configured || path.sent + path.forwarded + path.received > 0 {
                paths.push(path);
            }
        }
        paths.sort_by_key(|path| path.path);
        paths
    }

    /// Packets dropped for a reason, by workers and by the slow path.
    pub fn dropped(&self, reason: Reason) -> u64 {
        let workers: u64 = self.counters.iter().map(|worker| worker.path.drops[reason.index()].get()).sum();
        let unfit = match reason {
            Reason::MultiSegment => self.counters.iter().map(|worker| worker.own.unfit.get()).sum(),
            _ => 0,
        };
        workers + unfit + self.dropped_by_control(reason)
    }

    /// Punted packets that the control thread dropped for a reason.
    pub fn dropped_by_control(&self, reason: Reason) -> u64 {
        let keys = match (&self.keyring, reason) {
            (Some(keyring), _) => keyring.keys.drops()[reason.index()],
            (None, Reason::OverlayUnexpectedKey) => self.without_keys,
            (None, _) => 0,
        };
        let [slow, live, links] = [self.slow.drops(), self.live.drops(), self.link_state.drops()];
        let takeovers = self.takeovers.drops();
        slow[reason.index()] + takeovers[reason.index()] + live[reason.index()] + links[reason.index()] + keys
    }

    /// Answers "drops show".
    pub fn drops(&self) -> Vec<Drop> {
        let drop = |reason: &Reason| Drop {
            reason: reason.name().to_owned(),
            packets: self.dropped(*reason),
            description: reason.description().to_owned(),
        };
        Reason::ALL.iter().map(drop).collect()
    }
}
