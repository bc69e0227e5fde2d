//! Topologies to plan over, drawn by a seed.

use std::net::{IpAddr, Ipv4Addr};

use proa_overlay::plan::Quality;
use proa_overlay::topology::{
    Ground, Link, Node, NodeId, Region, RegionIndex, Risk, RiskIndex, Roles, Topology,
};

/// SplitMix64.
pub struct Draw(pub u64);

impl Draw {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }

    /// Whether something of so many percent happens.
    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }
}

/// Regions with a node of every role, without links.
pub fn regions(count: usize) -> Topology {
    let node = |number: u16| Node {
        name: format!("node-{number}"),
        id: NodeId(number + 1),
        region: RegionIndex(number),
        roles: Roles { edge: true, intermediate: true, gateway: true },
        underlay: vec![IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + u32::from(number)))],
        workers: 1,
        nat_pool: Vec::new(),
        rss: None,
    };
    Topology {
        regions: (0..count).map(|number| Region { name: format!("region-{number}") }).collect(),
        nodes: (0..count as u16).map(node).collect(),
        ..Topology::default()
    }
}

/// What [`small`] draws.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    pub regions: usize,
    /// Percent of all pairs that have a link.
    pub density: u64,
    pub risks: usize,
}

/// Any graph; costs are small, so that many sets cost the same, and some regions have no intermediate.
pub fn small(seed: u64, shape: Shape) -> Topology {
    let mut draw = Draw(seed);
    let mut topology = regions(shape.regions);
    for node in &mut topology.nodes {
        node.roles.intermediate = draw.percent(90);
    }
    let mut ground = Ground::default();
    for number in 0..shape.risks {
        let regions = (0..shape.regions as u16).map(RegionIndex);
        let regions = regions.filter(|_| draw.percent(8)).collect();
        ground.risks.push(Risk { name: format!("risk-{number}"), regions });
    }
    for a in 0..shape.regions as u16 {
        for b in 0..a {
            if draw.percent(shape.density) {
                let quality = quality(&mut draw);
                let risks = (0..shape.risks as u16).map(RiskIndex).filter(|_| draw.percent(15)).collect();
                // Ends in either order.
                let between = if draw.percent(50) { [a, b] } else { [b, a] }.map(RegionIndex);
                ground.links.push(Link { between, quality, risks });
            }
        }
    }
    topology.ground = ground;
    topology
}

pub fn quality(draw: &mut Draw) -> Quality {
    let loss_ppm = if draw.percent(20) { draw.below(20) as u32 } else { 0 };
    Quality { latency_us: 1 + draw.below(12) as u32, loss_ppm }
}

/// Points on a square of 40 ms a side, with more short links than long ones; `cables` are risks with some links
/// side by side each.
pub fn geometric(seed: u64, count: usize, links: usize, cables: usize) -> Topology {
    let mut draw = Draw(seed);
    let mut topology = regions(count);
    let places: Vec<(f64, f64)> =
        (0..count).map(|_| (draw.below(40_000) as f64, draw.below(40_000) as f64)).collect();
    let distance = |a: usize, b: usize| (places[a].0 - places[b].0).hypot(places[a].1 - places[b].1);
    // Waxman's model: the longer, the less probable.
    let mut joined = std::collections::HashSet::new();
    while joined.len() < links {
        let (a, b) = (draw.below(count as u64) as usize, draw.below(count as u64) as usize);
        let chance = (-distance(a, b) / 4_000.0).exp() * 1e6;
        if a != b && (draw.below(1_000_000) as f64) < chance && joined.insert((a.min(b), a.max(b))) {
            let latency_us = (distance(a, b) * (1.05 + draw.below(50) as f64 / 100.0)) as u32 + 100;
            let loss_ppm = if draw.percent(10) { draw.below(5_000) as u32 } else { draw.below(50) as u32 };
            let between = [a, b].map(|region| RegionIndex(region as u16));
            topology.ground.links.push(Link {
                between,
                quality: Quality { latency_us, loss_ppm },
                risks: Vec::new(),
            });
        }
    }
    for number in 0..cables {
        topology.ground.risks.push(Risk { name: format!("cable-{number}"), regions: Vec::new() });
        let first =
            topology.ground.links[draw.below(links as u64) as usize].between.map(|end| usize::from(end.0));
        let duct = draw.percent(50);
        let mut left = 2 + draw.below(4);
        for link in &mut topology.ground.links {
            let [a, b] = link.between.map(|end| usize::from(end.0));
            // A duct out of one region, or a cable along which links between several regions run.
            let beside = if duct {
                a == first[0] || b == first[0]
            } else {
                distance(a, first[0]) < 3_000.0 && distance(b, first[1]) < 3_000.0
            };
            if beside && left > 0 {
                link.risks.push(RiskIndex(number as u16));
                left -= 1;
            }
        }
    }
    topology
}
