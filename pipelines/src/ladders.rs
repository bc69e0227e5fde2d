//! With what redundancy this node sends: for each application that is adaptive and node that it sends to, the step of the moment and why.
//!
//! The control thread passes what receivers report with [`Ladders::hear`], looks at the signs with [`Ladders::tick`], and compiles tables by
//! [`Ladders::steps`]. A change of a step needs no new tables: workers read it packet by packet.

use std::collections::BTreeMap;
use std::sync::Arc;

use overlay::adaptive::{Ladder, PATHS, REPORT_MS, Report, Signs, Spell};
use overlay::protocol::Protocol;
use overlay::topology::{IpVersion, NodeId, PathId, RegionIndex, Topology};

use crate::choices::Key;
use crate::step::StepCell;
use crate::tables::Dead;

/// How often signs are looked at, ns.
const LOOK_NS: u64 = REPORT_MS * 1_000_000;
const MS: u64 = 1_000_000;
/// Frames without room at own ports in one look that are a sign of congestion: fewer are a burst.
const DROPS_MIN: u64 = 8;
/// By which part the best latency is forgotten at each look: a quarter in a minute, so a way that stays slower is the usual one then.
const FORGET: u32 = 12_000;
/// Looks of which the least latency counts: a second.
const RECENT: usize = 50;

/// A sender's redundancy.
pub struct Rung {
    /// The application's name.
    pub application: String,
    /// Whether packets go to origins.
    pub towards_gateway: bool,
    /// Which step, and why.
    pub ladder: Ladder,
    cell: Arc<StepCell>,
    /// Edge and gateway: their path set.
    ends: [RegionIndex; 2],
    version: IpVersion,
    /// Packets for each parity packet.
    parity_packets: u8,
}

/// A path to a node.
type Way = (PathId, NodeId, IpVersion);

struct Heard {
    spell: Spell,
    best_us: u32,
    /// What was measured at the last looks, µs; 0 where nothing was.
    recent_us: [u32; RECENT],
    at: usize,
}

impl Default for Heard {
    fn default() -> Heard {
        Heard { spell: Spell::default(), best_us: 0, recent_us: [0; RECENT], at: 0 }
    }
}

impl Heard {
    /// Takes note of a latency; returns the least of late and of long. One probe that is late says nothing, as a busy machine is no congestion: a queue makes
    /// all of them late.
    fn latency(&mut self, now_us: u32, is_periodic: bool) -> (u32, u32) {
        if is_periodic {
            self.at = (self.at + 1) % RECENT;
            self.best_us = self.best_us.saturating_add(self.best_us / FORGET + 1);
        }
        if let Some(place) = self.recent_us.get_mut(self.at) {
            *place = now_us;
        }
        let least_us = self.recent_us.iter().copied().filter(|us| *us > 0).min().unwrap_or(now_us);
        self.best_us = if self.best_us <= 1 { least_us } else { self.best_us.min(least_us) };
        (least_us, self.best_us)
    }
}

/// All that a node sends.
#[derive(Default)]
pub struct Ladders {
    rungs: BTreeMap<Key, Rung>,
    /// By path, node, and whether the underlay is IPv6.
    heard: BTreeMap<(PathId, NodeId, bool), Heard>,
    due_ns: u64,
    /// When own ports are looked at next, which is not with every report, ns.
    ports_due_ns: u64,
    drops: u64,
    drops_here: bool,
    version: u64,
}

impl Ladders {
    /// Those that a topology asks of a node.
    pub fn new(topology: &Topology, node: NodeId) -> Ladders {
        let mut ladders = Ladders::default();
        ladders.reconfigure(topology, node);
        ladders
    }

    /// Takes another topology: what was found for an application of the same name stays.
    pub fn reconfigure(&mut self, topology: &Topology, node: NodeId) {
        let before = core::mem::take(&mut self.rungs).into_iter();
        let mut before: BTreeMap<(String, NodeId), Rung> =
            before.map(|((_, to), rung)| ((rung.application.clone(), to), rung)).collect();
        let mut used: Vec<u16> = before.values().map(|rung| rung.cell.number()).collect();
        for (index, application) in (0..).zip(&topology.applications) {
            for (there, towards_gateway) in topology.opposites(node, application) {
                let here = topology.node(node).map(|this| this.region);
                let is_adaptive = application.routing.towards(towards_gateway) == Protocol::Adaptive;
                let (Some(here), destination, true) = (here, there.id, is_adaptive) else { continue };
                let ends = if towards_gateway { [here, there.region] } else { [there.region, here] };
                let (settings, coding) = (application.routing.adaptive, application.routing.coding);
                // Without parity packets there is no such step.
                let parity_packets = coding.packets.checked_div(coding.parity).unwrap_or(0);
                let known = before.remove(&(application.name.clone(), destination));
                let (mut ladder, cell) = known.map_or_else(
                    || {
                        let number = (0..u16::MAX).find(|number| !used.contains(number)).unwrap_or(u16::MAX);
                        used.push(number);
                        (Ladder::new(settings), Arc::new(StepCell::new(number)))
                    },
                    |rung| (rung.ladder, rung.cell),
                );
                ladder.configure(settings);
                cell.allow(settings.extra_percent);
                let (application, version) = (application.name.clone(), application.underlay);
                let rung = Rung { application, towards_gateway, ladder, cell, ends, version, parity_packets };
                self.rungs.insert((index, destination), rung);
            }
        }
        let Ladders { rungs, heard, .. } = self;
        heard.retain(|(_, to, _), _| rungs.keys().any(|(_, destination)| destination == to));
        self.due_ns = 0;
        self.version += 1;
    }

    /// A node's report of what has come from this one.
    pub fn hear(&mut self, now_ns: u64, from: NodeId, version: IpVersion, report: &Report) {
        // Of others nothing is kept, so nobody can fill the table.
        if !self.rungs.keys().any(|(_, destination)| *destination == from) {
            return;
        }
        for entry in &report.entries {
            if let Some(heard) = self.heard.get_mut(&(entry.path, from, version == IpVersion::V6)) {
                heard.spell.take(now_ns / MS, report.life, entry.numbered, entry.received);
            }
        }
        self.due_ns = now_ns.min(self.due_ns);
    }

    /// Looks at all signs, if that is due: what paths lose, which of them live, what `latency_us` gives for them, and how many frames have found no room
    /// at own ports so far.
    pub fn tick(
        &mut self,
        now_ns: u64,
        topology: &Topology,
        dead: &Dead,
        latency_us: impl Fn(Way) -> Option<u32>,
        drops: u64,
    ) {
        if now_ns < self.due_ns || self.rungs.is_empty() {
            return;
        }
        self.due_ns = now_ns + LOOK_NS;
        let is_periodic = now_ns >= self.ports_due_ns;
        if is_periodic {
            self.ports_due_ns = now_ns + LOOK_NS;
            self.drops_here = drops.saturating_sub(self.drops) >= DROPS_MIN;
            self.drops = drops;
        }
        let drops_here = self.drops_here;
        for ((_, destination), rung) in &mut self.rungs {
            let [edge, gateway] = rung.ends;
            let Some(set) = topology.path_set(edge, gateway) else { continue };
            let mut signs = Signs { drops_here, parity_packets: rung.parity_packets, ..Signs::default() };
            let paths = dead.choose(set, PATHS, *destination, rung.version);
            signs.paths = paths.len().min(PATHS) as u8;
            for (at, path) in paths.into_iter().enumerate().take(PATHS) {
                let way = (path.id, *destination, rung.version);
                let heard =
                    self.heard.entry((path.id, *destination, rung.version == IpVersion::V6)).or_default();
                signs.lost_ppm[at] = heard.spell.ppm(now_ns / MS);
                let Some(now_us) = latency_us(way) else { continue };
                (signs.latency_us[at], signs.latency_best_us[at]) = heard.latency(now_us, is_periodic);
            }
            if rung.ladder.look(now_ns / MS, signs) {
                rung.cell.set(rung.ladder.step());
            }
        }
    }

    /// When [`Ladders::tick`] has something to do, ns.
    pub fn timeout(&self) -> Option<u64> {
        (!self.rungs.is_empty()).then_some(self.due_ns)
    }

    /// What tables are compiled with.
    pub fn steps(&self) -> BTreeMap<Key, Arc<StepCell>> {
        self.rungs.iter().map(|(key, rung)| (*key, rung.cell.clone())).collect()
    }

    /// Grows whenever [`Ladders::steps`] has changed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Every rung, by application and destination.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Rung)> {
        self.rungs.iter().map(|(key, rung)| (*key, rung))
    }
}
