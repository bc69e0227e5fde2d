//! Which paths are in force, which are known beside them, and when that changes.

use std::collections::{BTreeMap, HashSet};

use super::paths::{Paths, fingerprint};
use super::{DRAIN_MS, SPREAD_MS, number};
use crate::plan::Checker;
use crate::topology::{Disjoint, NodeId, Path, PathId, PathSet, RegionIndex, Topology};

/// Why a plan is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refused {
    /// It is of no planned set, or of a topology whose regions are others.
    #[error("a plan of another topology")]
    OtherTopology,
    /// A number of a path means another way here.
    #[error("a plan with a number that is another way's")]
    TakenNumber,
    /// Its paths do not hold: they share what they must not, or lead where nothing is.
    #[error("a plan whose paths can fail together, or lead nowhere")]
    NotDisjoint,
}

impl Refused {
    /// A stable name for counters, in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Refused::OtherTopology => "other_topology",
            Refused::TakenNumber => "taken_number",
            Refused::NotDisjoint => "not_disjoint",
        }
    }
}

/// A set's ends.
pub type Ends = (RegionIndex, RegionIndex);

#[derive(Clone, Debug)]
struct Set {
    /// As configured: known for as long as the configuration is.
    configured: Vec<Path>,
    in_force: Vec<Path>,
    /// Known, and in force from then on, ms.
    next: Option<(Vec<Path>, u64)>,
    /// No longer in force, known until then, ms.
    old: Vec<(Vec<Path>, u64)>,
    /// What was heard last, and from whom.
    heard: Option<(NodeId, u64)>,
}

/// All planned sets of a node.
#[derive(Clone, Debug, Default)]
pub struct Plans {
    fingerprint: u64,
    sets: BTreeMap<Ends, Set>,
}

impl Plans {
    /// As the topology's file has planned them.
    pub fn new(topology: &Topology) -> Plans {
        let sets = topology.planned.iter().filter_map(|planned| {
            let paths = topology.path_set(planned.edge, planned.gateway)?.paths.clone();
            let set =
                Set { configured: paths.clone(), in_force: paths, next: None, old: Vec::new(), heard: None };
            Some(((planned.edge, planned.gateway), set))
        });
        Plans { fingerprint: fingerprint(topology), sets: sets.collect() }
    }

    /// The planned sets.
    pub fn sets(&self) -> impl Iterator<Item = Ends> + '_ {
        self.sets.keys().copied()
    }

    /// What was heard last of a set, and from whom.
    pub fn heard(&self, ends: Ends) -> Option<(NodeId, u64)> {
        self.sets.get(&ends)?.heard
    }

    /// What is in force, or will be before long.
    pub fn newest(&self, ends: Ends) -> &[Path] {
        let set = self.sets.get(&ends);
        set.map_or(&[], |set| set.next.as_ref().map_or(&set.in_force, |(paths, _)| paths))
    }

    /// What the owner says: these ways, each with its number.
    pub fn numbered(&self, topology: &Topology, ends: Ends, ways: Vec<Vec<RegionIndex>>) -> Paths {
        let known: BTreeMap<&[RegionIndex], PathId> = match self.sets.get(&ends) {
            Some(set) => set.known().map(|path| (path.via.as_slice(), path.id)).collect(),
            None => BTreeMap::new(),
        };
        let mut taken: HashSet<u16> = self.taken(topology).into_iter().map(|id| id.0).collect();
        let name = |region: RegionIndex| topology.region(region).map_or("?", |region| region.name.as_str());
        let path = |via: Vec<RegionIndex>| {
            let whole = [ends.0].into_iter().chain(via.iter().copied()).chain([ends.1]);
            let id = known.get(via.as_slice()).copied();
            let id = id.unwrap_or_else(|| PathId(number(whole.map(name), &mut taken)));
            Path { id, via }
        };
        let paths = ways.into_iter().map(path).collect();
        Paths { fingerprint: self.fingerprint, edge: ends.0, gateway: ends.1, paths }
    }

    /// What is in force, as the owner says it.
    pub fn said(&self, ends: Ends) -> Paths {
        let paths = self.newest(ends).to_vec();
        Paths { fingerprint: self.fingerprint, edge: ends.0, gateway: ends.1, paths }
    }

    /// Takes the owner's word of a set: known at once, in force a little later. Says whether anything has changed.
    ///
    /// # Errors
    /// [`Refused`]; what is in force stays.
    pub fn take(
        &mut self,
        topology: &Topology,
        checker: &Checker,
        from: (NodeId, u64),
        said: &Paths,
        now_ms: u64,
    ) -> Result<bool, Refused> {
        let ends = (said.edge, said.gateway);
        if said.fingerprint != self.fingerprint || !self.sets.contains_key(&ends) {
            return Err(Refused::OtherTopology);
        }
        let others = self.taken(topology);
        let set = self.sets.get_mut(&ends).ok_or(Refused::OtherTopology)?;
        set.heard = Some(from);
        let name = topology.path_set(ends.0, ends.1).map_or_else(String::new, |set| set.name.clone());
        let claimed = PathSet { name, edge: ends.0, gateway: ends.1, paths: said.paths.clone() };
        let means =
            |path: &Path| set.known().find(|known| known.id == path.id).map(|known| known.via == path.via);
        let clashes = |path: &Path| means(path).map_or(others.contains(&path.id), |same| !same);
        if said.paths.iter().any(clashes) {
            return Err(Refused::TakenNumber);
        }
        let warn = topology.ground.disjoint == Disjoint::Warn;
        let violations = checker.check(&checker.certify(&claimed));
        if violations.iter().any(|violation| !(warn && violation.may_be_accepted())) {
            return Err(Refused::NotDisjoint);
        }
        let newest = set.next.as_ref().map_or(&set.in_force, |(paths, _)| paths);
        if *newest == said.paths {
            return Ok(false);
        }
        // What was to come, and does not, may be in force elsewhere for a while.
        if let Some((paths, _)) = set.next.take() {
            set.old.push((paths, now_ms + SPREAD_MS + DRAIN_MS));
        }
        if said.paths != set.in_force {
            set.next = Some((said.paths.clone(), now_ms + SPREAD_MS));
        }
        Ok(true)
    }

    /// Lets time pass. Says whether anything has changed.
    pub fn tick(&mut self, now_ms: u64) -> bool {
        let mut changed = false;
        for set in self.sets.values_mut() {
            if let Some((paths, _)) = set.next.take_if(|(_, due_ms)| *due_ms <= now_ms) {
                let old = core::mem::replace(&mut set.in_force, paths);
                set.old.push((old, now_ms + DRAIN_MS));
                changed = true;
            }
            let before = set.old.len();
            set.old.retain(|(_, until_ms)| *until_ms > now_ms);
            changed |= set.old.len() != before;
        }
        changed
    }

    /// When [`Plans::tick`] changes something, ms.
    pub fn due_ms(&self) -> Option<u64> {
        let dates = self.sets.values().flat_map(|set| {
            let next = set.next.as_ref().map(|(_, due_ms)| *due_ms);
            next.into_iter().chain(set.old.iter().map(|(_, until_ms)| *until_ms))
        });
        dates.min()
    }

    /// The topology with what is in force now, and what is known beside it.
    pub fn apply(&self, topology: &Topology) -> Topology {
        let mut now = topology.clone();
        for (ends, set) in &self.sets {
            let Some(at) = now.path_sets.iter().position(|found| (found.edge, found.gateway) == *ends) else {
                continue;
            };
            let mut beside: Vec<Path> = Vec::new();
            for path in set.known() {
                let listed = |paths: &[Path]| paths.iter().any(|other| other.id == path.id);
                if !listed(&set.in_force) && !listed(&beside) {
                    beside.push(path.clone());
                }
            }
            let name = now.path_sets[at].name.clone();
            now.path_sets[at].paths.clone_from(&set.in_force);
            now.certificates.retain(|found| (found.edge, found.gateway) != *ends);
            if !beside.is_empty() {
                now.beside.push(PathSet { name, edge: ends.0, gateway: ends.1, paths: beside });
            }
        }
        let certificates: Vec<_> = {
            let checker = Checker::new(topology);
            let of = |set: &&PathSet| self.sets.contains_key(&(set.edge, set.gateway));
            now.path_sets.iter().filter(of).map(|set| checker.certify(set)).collect()
        };
        now.certificates.extend(certificates);
        now
    }

    /// Numbers that mean something already.
    fn taken(&self, topology: &Topology) -> HashSet<PathId> {
        let configured = topology.path_sets.iter().flat_map(|set| &set.paths).map(|path| path.id);
        let known = self.sets.values().flat_map(Set::known).map(|path| path.id);
        configured.chain(known).collect()
    }
}

impl Set {
    fn known(&self) -> impl Iterator<Item = &Path> {
        let next = self.next.iter().flat_map(|(paths, _)| paths);
        let old = self.old.iter().flat_map(|(paths, _)| paths);
        self.in_force.iter().chain(next).chain(old).chain(&self.configured)
    }
}
