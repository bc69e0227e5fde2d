//! What plans are held against: every path there is, and max-flow.

use proa_overlay::topology::{Link, RegionIndex, RiskIndex, Topology};

/// A path as found by walking, with what it uses as bits.
#[derive(Clone, Debug)]
pub struct Walk {
    pub via: Vec<RegionIndex>,
    pub cost_us: u64,
    regions: u64,
    risks: u64,
}

impl Walk {
    pub fn risks(&self) -> Vec<RiskIndex> {
        (0..64).filter(|bit| self.risks & 1 << bit != 0).map(RiskIndex).collect()
    }
}

/// Risks of a set of regions and links as bits.
fn bits(risks: &[RiskIndex]) -> u64 {
    risks.iter().fold(0, |bits, risk| bits | 1 << risk.0)
}

fn of_region(topology: &Topology, region: RegionIndex) -> u64 {
    let risks = topology.ground.risks.iter().enumerate();
    risks.filter(|(_, risk)| risk.regions.contains(&region)).fold(0, |bits, (number, _)| bits | 1 << number)
}

pub fn is_transit(topology: &Topology, region: RegionIndex) -> bool {
    topology.nodes.iter().any(|node| node.region == region && node.roles.intermediate)
}

/// Every path between two regions.
pub fn walks(topology: &Topology, edge: RegionIndex, gateway: RegionIndex, via_max: usize) -> Vec<Walk> {
    let own = of_region(topology, edge) | of_region(topology, gateway);
    let mut found = Vec::new();
    let start = Walk { via: Vec::new(), cost_us: 0, regions: 0, risks: 0 };
    walk(topology, edge, (edge, gateway), via_max, start, &mut found);
    for walk in &mut found {
        walk.risks &= !own;
    }
    found
}

fn walk(
    topology: &Topology,
    at: RegionIndex,
    ends: (RegionIndex, RegionIndex),
    via_max: usize,
    so_far: Walk,
    found: &mut Vec<Walk>,
) {
    for Link { between: [a, b], quality, risks } in &topology.ground.links {
        let to = if *a == at {
            *b
        } else if *b == at {
            *a
        } else {
            continue;
        };
        let mut next = so_far.clone();
        next.cost_us += u64::from(quality.cost_us());
        next.risks |= bits(risks);
        if to == ends.1 {
            if !next.via.is_empty() {
                found.push(next);
            }
        } else if to != ends.0
            && is_transit(topology, to)
            && next.regions & 1 << to.0 == 0
            && next.via.len() < via_max
        {
            next.via.push(to);
            next.regions |= 1 << to.0;
            next.risks |= of_region(topology, to);
            walk(topology, to, ends, via_max, next, found);
        }
    }
}

/// The most paths, `count` at most, that share nothing, and the least that so many can cost.
pub fn best(walks: &[Walk], count: usize) -> (usize, u64) {
    let mut best = (0, 0);
    let mut sorted: Vec<&Walk> = walks.iter().collect();
    sorted.sort_by_key(|walk| walk.cost_us);
    choose(&sorted, count, (0, 0, 0, 0), &mut best);
    best
}

fn choose(
    walks: &[&Walk],
    count: usize,
    (found, cost, regions, risks): (usize, u64, u64, u64),
    best: &mut (usize, u64),
) {
    if found > best.0 || found == best.0 && cost < best.1 {
        *best = (found, cost);
    }
    if found == count {
        return;
    }
    for (at, walk) in walks.iter().enumerate() {
        // They come in order of cost: all that follow cost as much at least.
        if best.0 == count && cost + walk.cost_us * (count - found) as u64 >= best.1 {
            return;
        }
        if walk.regions & regions == 0 && walk.risks & risks == 0 {
            let state = (found + 1, cost + walk.cost_us, regions | walk.regions, risks | walk.risks);
            choose(&walks[at + 1..], count, state, best);
        }
    }
}

/// How many paths share no region, by max-flow.
pub fn max_flow(topology: &Topology, edge: RegionIndex, gateway: RegionIndex) -> usize {
    let mut graph = petgraph::graph::DiGraph::<(), u32>::new();
    let places: Vec<_> = topology.regions.iter().map(|_| (graph.add_node(()), graph.add_node(()))).collect();
    for (region, (entry, exit)) in places.iter().enumerate() {
        let region = RegionIndex(region as u16);
        if region != edge && region != gateway && is_transit(topology, region) {
            graph.add_edge(*entry, *exit, 1);
        }
    }
    for link in &topology.ground.links {
        let [a, b] = link.between;
        if link.between.contains(&edge) && link.between.contains(&gateway) {
            continue;
        }
        for (from, to) in [(a, b), (b, a)] {
            graph.add_edge(places[usize::from(from.0)].1, places[usize::from(to.0)].0, 1);
        }
    }
    let (from, to) = (places[usize::from(edge.0)].1, places[usize::from(gateway.0)].0);
    petgraph::algo::ford_fulkerson(&graph, from, to).0 as usize
}
