//! Taking a new configuration over while packets flow.
//!
//! The topology (regions, nodes, paths, applications) and the node's routes change at once, by a new snapshot. What
//! was allocated or started with the process stays until a restart. What the node itself is can not change: its
//! number, region, roles, workers and NAT pool.

use std::path::Path;

use conf::{Config, Loaded, Local};
use packet::BufPool;

use crate::core::Core;
use crate::setup;

/// Why the running configuration stays.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The new one is wrong.
    #[error("{0}")]
    Invalid(conf::Errors),
    /// It is for another node, or this one would be another.
    #[error("{0} can not change while the node runs: restart it")]
    NeedsRestart(String),
    /// It can not be compiled.
    #[error("{0}")]
    Compile(#[from] pipelines::tables::CompileError),
}

impl<P: BufPool> Core<P> {
    /// Reads the configuration again and forwards by it. Returns what of it waits for a restart.
    ///
    /// # Errors
    /// [`Refused`]; nothing has changed then.
    pub fn reload(&mut self, now_ns: u64, file: &Path) -> Result<Vec<&'static str>, Refused> {
        self.take_over(now_ns, Config::load(file))
    }

    /// The same with a topology that the server offers, in place of the one that is kept.
    ///
    /// # Errors
    /// [`Refused`]; nothing has changed then.
    pub fn reload_offered(
        &mut self,
        now_ns: u64,
        file: &Path,
        topology: String,
    ) -> Result<Vec<&'static str>, Refused> {
        self.take_over(now_ns, Config::load_offered(file, topology))
    }

    fn take_over(
        &mut self,
        now_ns: u64,
        loaded: Result<Loaded, conf::Errors>,
    ) -> Result<Vec<&'static str>, Refused> {
        let result = loaded.map_err(Refused::Invalid).and_then(|loaded| self.try_reload(now_ns, loaded));
        match &result {
            Ok(_) => self.reloads.0 += 1,
            Err(_) => self.reloads.1 += 1,
        }
        result
    }

    fn try_reload(&mut self, now_ns: u64, loaded: Loaded) -> Result<Vec<&'static str>, Refused> {
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let mut new = loaded.config;
        let fixed = fixed_changes(&self.config, &new);
        if !fixed.is_empty() {
            return Err(Refused::NeedsRestart(fixed.join(", ")));
        }
        let mut later = deferred_changes(&self.config.local, &new.local);
        if new.keys.rotation_s != self.config.keys.rotation_s {
            later.push("key_rotation");
            new.keys.rotation_s = self.config.keys.rotation_s;
        }
        // Routes and next hops are part of a snapshot; everything else of the node file is as it was at the start.
        let mut local = self.config.local.clone();
        local.detours = core::mem::take(&mut new.local.detours);
        if later.iter().all(|what| *what != PORTS) {
            for (port, changed) in local.ports.iter_mut().zip(core::mem::take(&mut new.local.ports)) {
                port.routes = changed.routes;
            }
        }
        new.local = local;

        // Plans that are in force stay, where the overlay is the same.
        let planning = self.planning.renewed(&new.topology, new.node);
        new.topology = planning.as_ref().unwrap_or(&self.planning).topology().clone();

        let macs: Vec<_> = self.interfaces.iter().map(|interface| interface.mac).collect();
        let interfaces = setup::interfaces(&new, &macs);
        let before = core::mem::replace(&mut self.interfaces, interfaces);
        match self.compile(&new, false) {
            Ok(tables) => {
                self.config = new;
                if let Some(planning) = planning {
                    self.planning = planning;
                }
                self.publish(tables);
                self.reconfigure_slow_path(now_ns);
                Ok(later)
            }
            Err(error) => {
                self.interfaces = before;
                Err(error.into())
            }
        }
    }
}

/// The gateway that a node stands in for, with its pool.
fn peers(
    config: &Config,
) -> Vec<(overlay::topology::NodeId, Vec<std::ops::RangeInclusive<std::net::IpAddr>>)> {
    let pair = config.topology.takeover_of(config.node);
    let nodes = pair.into_iter().flat_map(|pair| pair.gateways).filter_map(|id| config.topology.node(id));
    nodes.map(|node| (node.id, node.nat_pool.clone())).collect()
}

const PORTS: &str = "[[port]] beside its routes";

/// What the node is, where it differs.
fn fixed_changes(old: &Config, new: &Config) -> Vec<&'static str> {
    let (Some(was), Some(is)) = (old.this_node(), new.this_node()) else { return vec!["node"] };
    let region = |config: &Config, node: &overlay::topology::Node| {
        config.topology.region(node.region).map(|region| region.name.clone())
    };
    let identity = |config: &Config| {
        config.keys.identities.iter().find(|(node, _)| *node == config.node).map(|(_, public)| *public)
    };
    [
        ("node", was.id != is.id || was.name != is.name),
        ("the node's region", region(old, was) != region(new, is)),
        ("the node's roles", was.roles != is.roles),
        ("the node's workers", was.workers != is.workers),
        ("the node's nat_pool", was.nat_pool != is.nat_pool),
        ("the [[takeover]] that the node is in", peers(old) != peers(new)),
        ("the node's rss", was.rss != is.rss),
        ("the node's public_key", identity(old) != identity(new)),
        ("streams", old.topology.streams != new.topology.streams),
    ]
    .into_iter()
    .filter(|(_, changed)| *changed)
    .map(|(name, _)| name)
    .collect()
}

/// Sections of the node file that differ and wait for a restart.
fn deferred_changes(old: &Local, new: &Local) -> Vec<&'static str> {
    let started = |local: &Local| {
        let mut ports = local.ports.clone();
        ports.iter_mut().for_each(|port| port.routes.clear());
        ports
    };
    [
        ("[eal]", old.eal != new.eal),
        ("[workers]", old.workers != new.workers),
        (PORTS, started(old) != started(new)),
        ("[limits]", old.limits != new.limits),
        ("[timeouts]", old.timeouts != new.timeouts),
        ("[events]", old.events != new.events),
        ("[control]", old.control != new.control),
        ("[server]", old.server != new.server),
    ]
    .into_iter()
    .filter(|(_, changed)| *changed)
    .map(|(name, _)| name)
    .collect()
}
