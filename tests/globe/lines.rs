//! The lines between nodes: how long they take, what they lose, whether they are there; and what happens to the world.

use super::loss::{Losses, Weather, exponential};
use super::map::Map;
use crate::sim::{MICROSECOND, Random};
use std::collections::{BTreeMap, HashMap};

/// Between nodes of one region, µs.
const LOCAL_US: u32 = 100;

/// What the world is like now.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// By cable: its latency, percent of what it is on the map.
    pub slowed: Vec<u32>,
    /// By cable: how many reasons there are that nothing passes.
    pub cut: Vec<u32>,
    /// By cable: what it loses.
    pub weather: Vec<Weather>,
    /// By region: whether it is without power.
    pub dark: Vec<bool>,
    /// What lines out of a node lose, whatever they lead through.
    pub leaving: BTreeMap<usize, Weather>,
    /// Mean of what waiting in queues adds, parts per thousand of the latency.
    pub waiting_permille: u32,
}

impl Conditions {
    /// As on the map, and nothing lost.
    pub fn fair(map: &Map) -> Conditions {
        Conditions {
            slowed: vec![100; map.cables.len()],
            cut: vec![0; map.cables.len()],
            weather: vec![Weather::Fair; map.cables.len()],
            dark: vec![false; map.continents.len()],
            leaving: BTreeMap::new(),
            waiting_permille: 0,
        }
    }

    /// What a cable takes now, µs.
    pub fn latency_us(&self, map: &Map, cable: usize) -> u32 {
        (u64::from(map.cables[cable].latency_us) * u64::from(self.slowed[cable]) / 100) as u32
    }

    /// Whether anything passes a cable.
    pub fn passes(&self, map: &Map, cable: usize) -> bool {
        self.cut[cable] == 0 && map.cables[cable].between.iter().all(|end| !self.dark[*end])
    }
}

struct Line {
    is_up: bool,
    latency_ns: u64,
    waiting_ns: f64,
    losses: Losses,
    weather: Weather,
    last_ns: u64,
    random: Random,
}

/// All lines that anything has gone over, one for each pair of nodes and direction.
pub struct Lines {
    /// By from and to.
    lines: HashMap<(usize, usize), Line>,
    seed: u64,
}

impl Lines {
    /// None yet.
    pub fn new(seed: u64) -> Lines {
        Lines { lines: HashMap::new(), seed }
    }

    /// When something arrives that is sent now; none where it is lost. What one line carries arrives in order.
    pub fn pass(
        &mut self,
        map: &Map,
        conditions: &Conditions,
        now_ns: u64,
        [from, to]: [(usize, usize); 2],
    ) -> Option<u64> {
        let seed = self.seed;
        let line =
            self.lines.entry((from.0, to.0)).or_insert_with(|| Line::new(seed, now_ns, [from.0, to.0]));
        if line.latency_ns == 0 {
            line.set(map, conditions, now_ns, [from, to], seed);
        }
        if !line.is_up || line.losses.loses(now_ns) {
            return None;
        }
        let waiting_ns =
            if line.waiting_ns > 0.0 { exponential(&mut line.random) * line.waiting_ns } else { 0.0 };
        line.last_ns = line.last_ns.max(now_ns + line.latency_ns + waiting_ns as u64);
        Some(line.last_ns)
    }

    /// Has every line look again at what the world is like.
    pub fn change(&mut self) {
        self.lines.values_mut().for_each(|line| line.latency_ns = 0);
    }
}

impl Line {
    fn new(seed: u64, now_ns: u64, [from, to]: [usize; 2]) -> Line {
        let own = seed.wrapping_mul(0x9e37_79b9).wrapping_add((from as u64) << 16 | to as u64);
        Line {
            is_up: true,
            latency_ns: 0,
            waiting_ns: 0.0,
            losses: Losses::new(Weather::Fair, now_ns, own),
            weather: Weather::Fair,
            last_ns: 0,
            random: Random::new(own, 34),
        }
    }

    fn set(
        &mut self,
        map: &Map,
        conditions: &Conditions,
        now_ns: u64,
        [(from, here), (to, there)]: [(usize, usize); 2],
        seed: u64,
    ) {
        let cable = map.cable(here, there).filter(|_| here != there);
        let latency_us = match cable {
            Some(cable) => conditions.latency_us(map, cable),
            None if here == there => LOCAL_US,
            None => map.direct_us(here, there),
        };
        self.is_up = match cable {
            Some(cable) => conditions.passes(map, cable),
            None => !conditions.dark[here] && !conditions.dark[there],
        };
        let of_cable = cable.map_or(Weather::Fair, |cable| conditions.weather[cable]);
        let weather = conditions.leaving.get(&from).copied().unwrap_or(of_cable);
        if weather != self.weather {
            self.weather = weather;
            let own = seed.wrapping_mul(0x51_7cc1).wrapping_add((from as u64) << 16 | to as u64);
            self.losses = Losses::new(weather, now_ns, own ^ now_ns);
        }
        self.latency_ns = u64::from(latency_us.max(1)) * MICROSECOND;
        self.waiting_ns = self.latency_ns as f64 * f64::from(conditions.waiting_permille) / 1000.0;
    }
}
