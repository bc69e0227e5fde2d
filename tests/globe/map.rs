//! Where regions lie on the globe, which cables join them, and what those share: drawn from a seed.
//!
//! Regions gather on continents. Each is joined to the nearest others, each continent is one piece, and continents are joined by long
//! cables. A cable is as slow as it is long. What shares a trench or a power grid is a shared-risk group.

use crate::sim::Random;
use std::collections::BTreeSet;

/// Regions of a map as the large simulation draws it.
pub const REGIONS: usize = 50;
const CONTINENTS: usize = 6;
/// How far regions lie from the middle of their continent, radians: some 1,300 km.
const SPREAD: f64 = 0.2;
/// Cables from a region to its nearest neighbours, at least.
const NEAREST: usize = 2;
/// Cables between two continents.
const BETWEEN_CONTINENTS: usize = 2;
/// Kilometres that light in glass makes in a millisecond.
const KM_PER_MS: f64 = 200.0;
const EARTH_RADIUS_KM: f64 = 6371.0;
/// How much longer cables are than the great circle.
const CABLE_STRETCH: f64 = 1.3;
/// What equipment at both ends of a cable adds, µs.
const EQUIPMENT_US: f64 = 200.0;

/// A point on the unit sphere.
type Point = [f64; 3];

/// A cable between two regions.
#[derive(Clone, Debug, PartialEq)]
pub struct Cable {
    /// Its ends, the lower first.
    pub between: [usize; 2],
    /// One way, µs.
    pub latency_us: u32,
    /// Indices of the risks that it is in.
    pub risks: Vec<usize>,
}

/// What one event stops.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hazard {
    /// Its name.
    pub name: String,
    /// Regions that it stops; cables name theirs themselves.
    pub regions: Vec<usize>,
}

/// A world.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    places: Vec<Point>,
    /// By region.
    pub continents: Vec<usize>,
    /// In the order of their ends.
    pub cables: Vec<Cable>,
    /// Trenches that cables share, grids that regions share.
    pub hazards: Vec<Hazard>,
    /// By pair of regions: how much longer the way is that the Internet takes than the great circle, percent.
    detours: Vec<u32>,
}

impl Map {
    /// The map of a seed.
    pub fn draw(seed: u64) -> Map {
        let mut random = Random::new(seed, 31);
        let middles = scattered(&mut random);
        let continents: Vec<usize> = (0..REGIONS).map(|region| region % CONTINENTS).collect();
        let places: Vec<Point> =
            continents.iter().map(|continent| near(&mut random, middles[*continent])).collect();
        let detours = (0..REGIONS * REGIONS).map(|_| random.within(120..=200) as u32).collect();
        let mut map = Map { places, continents, cables: Vec::new(), hazards: Vec::new(), detours };
        map.lay_cables(&mut random);
        map.draw_hazards(&mut random);
        map
    }

    /// Kilometres along the great circle.
    pub fn distance_km(&self, a: usize, b: usize) -> f64 {
        let [p, q] = [self.places[a], self.places[b]];
        let cosine: f64 = p.iter().zip(q).map(|(p, q)| p * q).sum();
        cosine.clamp(-1.0, 1.0).acos() * EARTH_RADIUS_KM
    }

    /// One way over the Internet at large, as routing among its networks leads, µs.
    pub fn direct_us(&self, a: usize, b: usize) -> u32 {
        let (low, high) = (a.min(b), a.max(b));
        let stretch = f64::from(self.detours[low * REGIONS + high]) / 100.0;
        latency_us(self.distance_km(a, b) * stretch)
    }

    /// The cable between two regions.
    pub fn cable(&self, a: usize, b: usize) -> Option<usize> {
        let ends = [a.min(b), a.max(b)];
        self.cables.binary_search_by_key(&ends, |cable| cable.between).ok()
    }

    fn lay_cables(&mut self, random: &mut Random) {
        let mut pairs = BTreeSet::new();
        for region in 0..REGIONS {
            let mut others: Vec<usize> = (0..REGIONS).filter(|other| *other != region).collect();
            others.sort_by(|a, b| self.distance_km(region, *a).total_cmp(&self.distance_km(region, *b)));
            pairs.extend(others[..NEAREST].iter().map(|other| [region.min(*other), region.max(*other)]));
        }
        for continent in 0..CONTINENTS {
            let members: Vec<usize> =
                (0..REGIONS).filter(|region| self.continents[*region] == continent).collect();
            // Each to the nearest before it: one piece.
            for (at, region) in members.iter().enumerate().skip(1) {
                let nearest = members[..at]
                    .iter()
                    .min_by(|a, b| self.distance_km(*region, **a).total_cmp(&self.distance_km(*region, **b)));
                pairs.extend(nearest.map(|other| [*region.min(other), *region.max(other)]));
            }
            for other in 0..continent {
                let far: Vec<usize> =
                    (0..REGIONS).filter(|region| self.continents[*region] == other).collect();
                for _ in 0..BETWEEN_CONTINENTS {
                    let [a, b] = [*random.pick(&members), *random.pick(&far)];
                    pairs.insert([a.min(b), a.max(b)]);
                }
            }
        }
        let cable = |between: [usize; 2]| Cable {
            between,
            latency_us: latency_us(self.distance_km(between[0], between[1]) * CABLE_STRETCH),
            risks: Vec::new(),
        };
        self.cables = pairs.into_iter().map(cable).collect();
    }

    /// Half of the pairs of continents have one trench for all their cables; some neighbouring regions one power grid.
    fn draw_hazards(&mut self, random: &mut Random) {
        for (a, b) in (0..CONTINENTS).flat_map(|a| (0..a).map(move |b| (a, b))) {
            let continents = self.continents.clone();
            let crosses = move |cable: &Cable| {
                let [from, to] = cable.between.map(|end| continents[end]);
                (from.max(to), from.min(to)) == (a, b)
            };
            if self.cables.iter().filter(|cable| crosses(cable)).count() < 2 || !random.chance(0.5) {
                continue;
            }
            self.hazards.push(Hazard { name: format!("trench-{b}-{a}"), regions: Vec::new() });
            let risk = self.hazards.len() - 1;
            self.cables.iter_mut().filter(|cable| crosses(cable)).for_each(|cable| cable.risks.push(risk));
        }
        for grid in 0..CONTINENTS {
            let region = random.below(REGIONS as u64) as usize;
            let near = |other: &usize| *other != region && self.distance_km(region, *other) < 800.0;
            let shared = (0..REGIONS).find(near);
            let regions = [region].into_iter().chain(shared).collect();
            self.hazards.push(Hazard { name: format!("grid-{grid}"), regions });
        }
    }
}

fn latency_us(km: f64) -> u32 {
    (km / KM_PER_MS * 1000.0 + EQUIPMENT_US) as u32
}

/// Middles of continents, far from each other.
fn scattered(random: &mut Random) -> Vec<Point> {
    let mut middles: Vec<Point> = Vec::new();
    while middles.len() < CONTINENTS {
        let point = unit([0; 3].map(|_| normal(random)));
        let apart = |other: &Point| other.iter().zip(point).map(|(p, q)| p * q).sum::<f64>() < 0.6;
        if middles.iter().all(apart) {
            middles.push(point);
        }
    }
    middles
}

fn near(random: &mut Random, middle: Point) -> Point {
    unit(middle.map(|along| along + SPREAD * normal(random)))
}

fn unit(vector: Point) -> Point {
    let length = vector.iter().map(|along| along * along).sum::<f64>().sqrt().max(1e-9);
    vector.map(|along| along / length)
}

/// Nearly normal: the sum of twelve even draws.
fn normal(random: &mut Random) -> f64 {
    (0..12).map(|_| random.below(1 << 32) as f64 / f64::from(u32::MAX)).sum::<f64>() - 6.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_region_is_reached_and_latency_follows_distance() {
        for seed in 1..20 {
            let map = Map::draw(seed);
            assert_eq!(map, Map::draw(seed));
            let mut seen = BTreeSet::from([0]);
            let mut open = vec![0];
            while let Some(at) = open.pop() {
                for cable in map.cables.iter().filter(|cable| cable.between.contains(&at)) {
                    let other = cable.between[usize::from(cable.between[0] == at)];
                    if seen.insert(other) {
                        open.push(other);
                    }
                }
            }
            assert_eq!(seen.len(), REGIONS, "seed {seed}");
            let slowest = map.cables.iter().map(|cable| cable.latency_us).max().unwrap();
            assert!((30_000..200_000).contains(&slowest), "half around the globe: {slowest} µs");
            for cable in &map.cables {
                let [a, b] = cable.between;
                assert!(f64::from(cable.latency_us) >= map.distance_km(a, b) * 5.0);
                assert_eq!(map.cable(b, a).map(|at| &map.cables[at]), Some(cable));
            }
        }
    }
}
