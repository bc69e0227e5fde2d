//! Live planning on a node: plans the sets that it owns, takes over what other owners say, and keeps the topology that is in
//! force.

use std::collections::{BTreeMap, BTreeSet};

use super::in_force::{Ends, Plans, Refused};
use super::paths::Paths;
use super::replanner::Replanner;
use crate::linkstate::{Flood, Kind};
use crate::plan::{Alarm, Checker};
use crate::routing::LinkView;
use crate::topology::{NodeId, RegionIndex, Topology};

/// A set's plan is not changed again within this, ms: links that fail together are told one after the other.
const PAUSE_MS: u64 = 1_000;

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Plans that this node made and that were better than those in force.
    pub planned: u64,
    /// Plans taken over, its own included.
    pub taken: u64,
}

/// The planned path sets of a node.
pub struct Planning {
    /// As configured.
    base: Topology,
    /// As it is in force.
    current: Topology,
    node: NodeId,
    plans: Plans,
    /// Towards this node's own region, where it is a gateway.
    replanner: Option<(RegionIndex, Replanner)>,
    /// The flood's version that was looked at last.
    seen: Option<u64>,
    /// When each own set was last planned anew, ms.
    planned_ms: BTreeMap<Ends, u64>,
    owned: BTreeSet<Ends>,
    /// Owners' words that were not taken, so that each counts once.
    refused: BTreeMap<Ends, (NodeId, u64)>,
    alarms: BTreeMap<Ends, (Alarm, usize)>,
    counters: Counters,
    refusals: BTreeMap<Refused, u64>,
    version: u64,
}

impl Planning {
    /// With what the configuration has planned.
    pub fn new(topology: &Topology, node: NodeId) -> Planning {
        let gateway = topology.node(node).filter(|this| this.roles.gateway).map(|this| this.region);
        let replanner = gateway.and_then(|gateway| Some((gateway, Replanner::new(topology, gateway)?)));
        let plans = Plans::new(topology);
        Planning {
            base: topology.clone(),
            current: plans.apply(topology),
            node,
            plans,
            replanner,
            seen: None,
            planned_ms: BTreeMap::new(),
            owned: BTreeSet::new(),
            refused: BTreeMap::new(),
            alarms: BTreeMap::new(),
            counters: Counters::default(),
            refusals: BTreeMap::new(),
            version: 0,
        }
    }

    /// For another topology; none where it is the same, and plans go on.
    pub fn renewed(&self, topology: &Topology, node: NodeId) -> Option<Planning> {
        let mut other = Planning::new(topology, node);
        // Others notice that something has changed.
        other.version = self.version + 1;
        (self.base != *topology || self.node != node).then_some(other)
    }

    /// How many paths an own set lacks, as links are now.
    pub fn missing(&self, ends: Ends) -> usize {
        self.alarms.get(&ends).map_or(0, |(_, missing)| *missing)
    }

    /// The topology that is in force.
    pub fn topology(&self) -> &Topology {
        &self.current
    }

    /// The planned sets whose owner this node is now.
    pub fn owned(&self) -> impl Iterator<Item = Ends> + '_ {
        self.owned.iter().copied()
    }

    /// Whether an own set has fewer disjoint paths than asked for, as links are now.
    pub fn alarm(&self, ends: Ends) -> Option<Alarm> {
        self.alarms.get(&ends).map(|(alarm, _)| *alarm)
    }

    /// What has been done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Plans that were not taken, by reason.
    pub fn refusals(&self) -> &BTreeMap<Refused, u64> {
        &self.refusals
    }

    /// Grows whenever [`Planning::topology`] has changed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// When [`Planning::tick`] has something to do next if nobody says anything, ms.
    pub fn due_ms(&self) -> Option<u64> {
        let paused = self.planned_ms.values().map(|at_ms| at_ms + PAUSE_MS);
        paused.chain(self.plans.due_ms()).min()
    }

    /// Does what is due at this time, with the links as they are. Gives what was not taken, to be told.
    pub fn tick(&mut self, now_ms: u64, flood: &mut Flood, view: &LinkView) -> Vec<(Ends, Refused)> {
        let mut told = Vec::new();
        if self.base.planned.is_empty() {
            return told;
        }
        let mut changed = self.plans.tick(now_ms);
        let pauses = self.planned_ms.len();
        self.planned_ms.retain(|_, at_ms| now_ms < *at_ms + PAUSE_MS);
        if self.seen != Some(flood.version()) || pauses != self.planned_ms.len() {
            changed |= self.own(now_ms, flood, view);
            changed |= self.hear(now_ms, flood, &mut told);
            self.seen = Some(flood.version());
        }
        if changed {
            self.current = self.plans.apply(&self.base);
            self.version += 1;
        }
        told
    }

    /// Plans the sets that this node owns, and says so.
    fn own(&mut self, now_ms: u64, flood: &mut Flood, view: &LinkView) -> bool {
        let Some((gateway, replanner)) = &mut self.replanner else { return false };
        let gateway = *gateway;
        if owner(&self.base, flood, gateway, self.node) != Some(self.node) {
            if !self.owned.is_empty() {
                flood.fall_silent(Kind::Plan, 0);
                (self.owned, self.alarms) = Default::default();
            }
            return false;
        }
        replanner.update(view);
        let mut changed = false;
        for ends in self.plans.sets().filter(|(_, end)| *end == gateway).collect::<Vec<_>>() {
            match replanner.alarm(ends.0) {
                Some(alarm) => drop(self.alarms.insert(ends, alarm)),
                None => drop(self.alarms.remove(&ends)),
            }
            let in_force = self.plans.newest(ends);
            let better = replanner.better(ends.0, in_force).filter(|_| !self.planned_ms.contains_key(&ends));
            let is_better = better.is_some();
            let said = match better {
                Some(ways) => self.plans.numbered(&self.base, ends, ways),
                None if self.owned.contains(&ends) => continue,
                None => self.plans.said(ends),
            };
            let from = (self.node, now_ms);
            match self.plans.take(&self.base, &Checker::new(&self.base), from, &said, now_ms) {
                Ok(is_other) => {
                    self.owned.insert(ends);
                    flood.say(Kind::Plan, ends.0.0, said.to_bytes(), true);
                    self.counters.taken += u64::from(is_other);
                    changed |= is_other;
                }
                Err(why) => *self.refusals.entry(why).or_default() += 1,
            }
            if is_better {
                self.planned_ms.insert(ends, now_ms);
                self.counters.planned += 1;
            }
        }
        changed
    }

    /// Takes over what owners of other sets say.
    fn hear(&mut self, now_ms: u64, flood: &Flood, told: &mut Vec<(Ends, Refused)>) -> bool {
        let mut changed = false;
        for ends in self.plans.sets().collect::<Vec<_>>() {
            let Some(owner) = owner(&self.base, flood, ends.1, self.node).filter(|id| *id != self.node)
            else {
                continue;
            };
            let mut records = flood.records().filter(|record| record.key.kind == Kind::Plan);
            let said = records.find(|record| (record.key.origin, record.key.index) == (owner, ends.0.0));
            let Some((said, sequence)) =
                said.and_then(|record| Some((Paths::parse(record.body)?, record.sequence)))
            else {
                continue;
            };
            let from = (owner, sequence);
            if self.plans.heard(ends) == Some(from) || self.refused.get(&ends) == Some(&from) {
                continue;
            }
            let taken = match (said.edge, said.gateway) == ends {
                true => self.plans.take(&self.base, &Checker::new(&self.base), from, &said, now_ms),
                false => Err(Refused::OtherTopology),
            };
            match taken {
                Ok(is_other) => {
                    self.counters.taken += u64::from(is_other);
                    changed |= is_other;
                }
                Err(why) => {
                    self.refused.insert(ends, from);
                    *self.refusals.entry(why).or_default() += 1;
                    told.push((ends, why));
                }
            }
        }
        changed
    }
}

/// The live gateway node with the lowest number in a region: this one, or one that somebody reaches.
fn owner(topology: &Topology, flood: &Flood, gateway: RegionIndex, own: NodeId) -> Option<NodeId> {
    let nodes = topology.nodes.iter().filter(|node| node.region == gateway && node.roles.gateway);
    let reached: BTreeSet<NodeId> =
        flood.links().filter(|(_, link)| link.up).map(|(_, link)| link.neighbor).collect();
    nodes.map(|node| node.id).filter(|id| *id == own || reached.contains(id)).min()
}
