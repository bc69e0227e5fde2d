//! The owner's side: plans again as links change, and says when another plan is worth the change.

use std::collections::BTreeMap;

use crate::plan::{Alarm, Graph, Planner, Quality};
use crate::routing::{LinkView, Way};
use crate::topology::{LinkIndex, Path, RegionIndex, Topology};

/// Another plan must be better by more than a part of the cost of the one in force,
const BETTER_PART: u64 = 5;
/// and by more than this, µs.
const BETTER_US_MIN: u64 = 1_000;

/// Plans of all sets towards one gateway region.
pub struct Replanner {
    planner: Planner,
    edges: Vec<(RegionIndex, usize)>,
    gateway: RegionIndex,
    links: Vec<[RegionIndex; 2]>,
    configured: Vec<Quality>,
    now: Vec<Option<Quality>>,
    index: BTreeMap<(RegionIndex, RegionIndex), usize>,
}

impl Replanner {
    /// For the planned sets of one gateway region; none where the topology's links are none to plan over.
    pub fn new(topology: &Topology, gateway: RegionIndex) -> Option<Replanner> {
        let wanted = topology.planned.iter().filter(|planned| planned.gateway == gateway);
        let edges: Vec<_> = wanted.map(|planned| (planned.edge, usize::from(planned.paths))).collect();
        let most = edges.iter().map(|(_, wanted)| *wanted).max()?;
        let graph = Graph::new(topology).ok()?;
        let planner = Planner::new(graph, gateway, edges.iter().map(|(edge, _)| *edge), most);
        let configured: Vec<Quality> = topology.ground.links.iter().map(|link| link.quality).collect();
        let links: Vec<_> = topology.ground.links.iter().map(|link| link.between).collect();
        let index = links.iter().enumerate().map(|(at, [a, b])| ((*a.min(b), *a.max(b)), at)).collect();
        let now = configured.iter().copied().map(Some).collect();
        Some(Replanner { planner, edges, gateway, links, configured, now, index })
    }

    /// Takes the links as they are; returns whether any plan has changed.
    pub fn update(&mut self, view: &LinkView) -> bool {
        let mut changed = false;
        for at in 0..self.links.len() {
            let quality = self.quality(at, view);
            if quality != self.now[at] {
                self.now[at] = quality;
                changed |= !self.planner.change(LinkIndex(at as u32), quality).is_empty();
            }
        }
        changed
    }

    /// Both directions together: their mean, or none where one is down.
    fn quality(&self, at: usize, view: &LinkView) -> Option<Quality> {
        let [a, b] = self.links[at];
        match [view.get(a, b), view.get(b, a)] {
            [None, None] => Some(self.configured[at]),
            [Some(Way::Down), _] | [_, Some(Way::Down)] => None,
            [Some(Way::Measured(one)), Some(Way::Measured(other))] => Some(Quality {
                latency_us: one.latency_us / 2 + other.latency_us / 2,
                loss_ppm: one.loss_ppm / 2 + other.loss_ppm / 2,
            }),
            [Some(Way::Measured(one)), None] | [None, Some(Way::Measured(one))] => Some(one),
        }
    }

    /// The ways that the set of an edge should take instead of the paths in force; none where those are good enough, or where
    /// there are no others as many.
    pub fn better(&self, edge: RegionIndex, in_force: &[Path]) -> Option<Vec<Vec<RegionIndex>>> {
        let plan = self.planner.plans().find(|plan| plan.edge == edge)?;
        let wanted = self.edges.iter().find(|(of, _)| *of == edge)?.1;
        let found: Vec<Vec<RegionIndex>> =
            plan.routes.iter().take(wanted).map(|route| route.via.clone()).collect();
        let same = found.iter().all(|via| in_force.iter().any(|path| path.via == *via));
        if found.len() < wanted.min(in_force.len().max(1)) || same && found.len() == in_force.len() {
            return None;
        }
        let cost = |ways: &mut dyn Iterator<Item = &Vec<RegionIndex>>| {
            ways.map(|via| self.cost_us(edge, via)).sum::<Option<u64>>()
        };
        let Some(now_us) = cost(&mut in_force.iter().map(|path| &path.via)) else { return Some(found) };
        let then_us = cost(&mut found.iter())?;
        let more = found.len() > in_force.len();
        let better_us = now_us.saturating_sub(then_us);
        (more || better_us > (now_us / BETTER_PART).max(BETTER_US_MIN)).then_some(found)
    }

    /// What the operator must know of the set of an edge, as links are now, and how many paths are missing.
    pub fn alarm(&self, edge: RegionIndex) -> Option<(Alarm, usize)> {
        let plan = self.planner.plans().find(|plan| plan.edge == edge)?;
        let wanted = self.edges.iter().find(|(of, _)| *of == edge)?.1;
        let missing = wanted.saturating_sub(plan.routes.len());
        let alarm = match plan.routes.len() {
            _ if missing == 0 => return None,
            0 => Alarm::Cut,
            1 => Alarm::Single,
            _ => Alarm::Fewer,
        };
        Some((alarm, missing))
    }

    /// What a way costs now, µs; none where one of its links is down or is not there.
    fn cost_us(&self, edge: RegionIndex, via: &[RegionIndex]) -> Option<u64> {
        let from = [edge].into_iter().chain(via.iter().copied());
        let hops = from.zip(via.iter().copied().chain([self.gateway]));
        hops.map(|(a, b)| {
            let at = self.index.get(&(a.min(b), a.max(b)))?;
            (*self.now.get(*at)?).map(|quality| u64::from(quality.cost_us()))
        })
        .sum()
    }
}
