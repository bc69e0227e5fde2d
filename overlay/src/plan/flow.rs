//! Bhandari's algorithm: the cheapest set of paths of which no two share a region.
//!
//! Every region is split into an entry and an exit with room for one path between. The paths are a flow of
//! least cost, found path by path: each search may also take back what earlier paths use. Distances to the gateway,
//! the same for all edges, make every arc's reduced cost non-negative from the start, as in Suurballe's algorithm; so
//! each search is Dijkstra's, and reaches little beyond the paths themselves.
//!
//! Where links at one of the two ends share a risk, paths through that end use one of them at most. Such a group becomes a
//! region of its own between the end and its links: still exact.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::ends::{Ban, Ends};
use super::graph::{Element, FAR, Weight};
use crate::topology::RiskIndex;

const NONE: u32 = u32::MAX;

/// A place of a search: a region's entry or its exit.
fn entry(vertex: usize) -> usize {
    2 * vertex
}

fn exit(vertex: usize) -> usize {
    2 * vertex + 1
}

/// Memory of the searches, used again and again. Vertices are regions, then groups at the ends.
#[derive(Default)]
pub(super) struct Flow {
    /// By place: the price of being there. Starts as the distance to the gateway.
    price: Vec<Weight>,
    /// By vertex: the one before it on its path, and the weight between; [`NONE`] off all paths.
    before: Vec<(u32, Weight)>,
    /// By vertex: the one after it on its path.
    after: Vec<u32>,
    /// By place: distance in the running search, and the place it was reached from. Valid if in `touched`.
    reached: Vec<(Weight, u32)>,
    touched: Vec<u32>,
    open: BinaryHeap<Reverse<(Weight, u32)>>,
    goal: usize,
    /// By region: the group that it is behind at the edge, and at the gateway.
    group: [Vec<u32>; 2],
    /// The regions behind each group, first those at the edge.
    grouped: Vec<Vec<u32>>,
    groups_at_edge: usize,
    banned_regions: Vec<bool>,
    banned_links: Vec<bool>,
    bans: Vec<Element>,
}

impl Flow {
    /// Finds at most `count` paths; how many there are. Fewer means that no more exist.
    pub(super) fn run(&mut self, ends: &Ends<'_>, count: usize) -> usize {
        self.begin(ends);
        let mut found = 0;
        // Without a way at all there is nothing to search.
        while found < count && ends.distances[ends.edge] != FAR && self.search(ends) {
            self.augment(ends);
            found += 1;
        }
        found
    }

    /// The paths, as the regions between the two ends.
    pub(super) fn paths(&self, ends: &Ends<'_>) -> Vec<Vec<usize>> {
        let regions = ends.graph.regions();
        let edge = ends.edge as u32;
        let starts = (0..self.before.len()).filter(|vertex| self.before[*vertex].0 == edge);
        let paths = starts.map(|start| {
            let mut via = Vec::new();
            let mut vertex = start;
            while vertex != ends.gateway {
                if vertex < regions {
                    via.push(vertex);
                }
                vertex = self.after[vertex] as usize;
            }
            via
        });
        paths.collect()
    }

    /// The places whose price is no longer the distance to the gateway, with what was added.
    pub(super) fn raised(&self, distances: &[Weight]) -> Vec<(u32, Weight)> {
        let prices = self.price.iter().zip(0u32..).take(2 * distances.len());
        let raised = prices.filter_map(|(price, place)| match distances[place as usize / 2] {
            FAR => None,
            distance => (*price != distance).then(|| (place, price - distance)),
        });
        raised.collect()
    }

    /// The regions whose link to an end is in a group, in order.
    pub(super) fn grouped(&self) -> Vec<u32> {
        let mut all: Vec<u32> = self.grouped.iter().flatten().copied().collect();
        all.sort_unstable();
        all
    }

    fn begin(&mut self, ends: &Ends<'_>) {
        let regions = ends.graph.regions();
        self.ban(ends);
        for group in &mut self.group {
            group.clear();
            group.resize(regions, NONE);
        }
        self.grouped.clear();
        self.groups_at_edge = 0;
        self.goal = entry(ends.gateway);
        if ends.graph.has_risks() {
            self.add_groups(ends, 0);
            self.groups_at_edge = self.grouped.len();
            self.add_groups(ends, 1);
        }
        let vertices = regions + self.grouped.len();
        self.price.clear();
        self.price.extend(ends.distances.iter().flat_map(|distance| [*distance; 2]));
        for group in 0..self.grouped.len() {
            let price = if group < self.groups_at_edge { ends.distances[ends.edge] } else { 0 };
            self.price.extend([price; 2]);
        }
        self.before.clear();
        self.before.resize(vertices, (NONE, 0));
        self.after.clear();
        self.after.resize(vertices, NONE);
        self.touched.clear();
        self.reached.clear();
        self.reached.resize(2 * vertices, (FAR, NONE));
    }

    fn ban(&mut self, ends: &Ends<'_>) {
        for element in self.bans.drain(..) {
            match element {
                Element::Region(region) => self.banned_regions[region] = false,
                Element::Link(link) => self.banned_links[link] = false,
            }
        }
        self.banned_regions.resize(ends.graph.regions(), false);
        self.banned_links.resize(ends.graph.links(), false);
        for ban in ends.bans {
            match ban {
                Ban::One(element) => self.bans.push(*element),
                Ban::Risk(risk, but) => {
                    let members = ends.graph.members(*risk).iter();
                    self.bans.extend(members.filter(|member| !but.contains(member)));
                }
            }
        }
        for element in &self.bans {
            match *element {
                Element::Region(region) => self.banned_regions[region] = true,
                Element::Link(link) => self.banned_links[link] = true,
            }
        }
    }

    /// Groups the links at one end by shared risk, the largest groups first; a link is in one group at most.
    fn add_groups(&mut self, ends: &Ends<'_>, side: usize) {
        let (end, other) = [(ends.edge, ends.gateway), (ends.gateway, ends.edge)][side];
        let mut by_risk: Vec<(RiskIndex, u32)> = Vec::new();
        for arc in ends
            .graph
            .arcs(end)
            .iter()
            .filter(|arc| arc.to as usize != other && self.is_open(arc.link, arc.weight))
        {
            let risks = ends.graph.risks(Element::Link(arc.link as usize)).iter();
            by_risk.extend(risks.filter(|risk| !ends.are_in(**risk)).map(|risk| (*risk, arc.to)));
        }
        by_risk.sort_unstable();
        let mut groups: Vec<&[(RiskIndex, u32)]> = by_risk.chunk_by(|a, b| a.0 == b.0).collect();
        groups.sort_by_key(|group| Reverse(group.len()));
        for group in groups {
            let free = group
                .iter()
                .map(|(_, region)| *region)
                .filter(|region| self.group[side][*region as usize] == NONE);
            let members: Vec<u32> = free.collect();
            if members.len() > 1 {
                let vertex = (ends.graph.regions() + self.grouped.len()) as u32;
                members.iter().for_each(|region| self.group[side][*region as usize] = vertex);
                self.grouped.push(members);
            }
        }
    }

    fn is_open(&self, link: u32, weight: Weight) -> bool {
        weight != FAR && !self.banned_links[link as usize]
    }

    /// Whether paths may lead through a region.
    fn is_transit(&self, ends: &Ends<'_>, region: usize) -> bool {
        region != ends.edge
            && ends.graph.is_transit(region)
            && ends.distances[region] != FAR
            && !self.banned_regions[region]
    }

    /// Dijkstra's search from the edge to the gateway through what the flow leaves; whether it arrives.
    fn search(&mut self, ends: &Ends<'_>) -> bool {
        for place in self.touched.drain(..) {
            self.reached[place as usize] = (FAR, NONE);
        }
        self.open.clear();
        let goal = self.goal;
        let start = exit(ends.edge);
        self.reached[start] = (0, NONE);
        self.touched.push(start as u32);
        self.open.push(Reverse((0, start as u32)));
        while let Some(Reverse((distance, place))) = self.open.pop() {
            let place = place as usize;
            if place == goal {
                return true;
            }
            if distance > self.reached[place].0 {
                continue;
            }
            let vertex = place / 2;
            if place == entry(vertex) {
                // Only entries on a path wait here; all they can do is take their path back.
                let (before, weight) = self.before[vertex];
                if before != ends.edge as u32 {
                    self.take_back(place, exit(before as usize), distance, weight);
                }
            } else {
                self.leave(ends, vertex, distance);
            }
        }
        false
    }

    /// Follows the arcs out of a vertex.
    fn leave(&mut self, ends: &Ends<'_>, vertex: usize, distance: Weight) {
        let regions = ends.graph.regions();
        if vertex != ends.edge && self.before[vertex].0 != NONE {
            self.take_back(exit(vertex), entry(vertex), distance, 0);
        }
        if vertex >= regions {
            let group = vertex - regions;
            if group >= self.groups_at_edge {
                return self.advance(ends, vertex, ends.gateway, distance, 0);
            }
            for at in 0..self.grouped[group].len() {
                let to = self.grouped[group][at] as usize;
                if let Some(arc) = ends.graph.arc(ends.edge, to)
                    && self.is_transit(ends, to)
                {
                    self.advance(ends, vertex, to, distance, ends.scale.weigh(arc.weight));
                }
            }
            return;
        }
        for arc in ends.graph.arcs(vertex) {
            let to = arc.to as usize;
            if !self.is_open(arc.link, arc.weight) {
                continue;
            }
            if to == ends.gateway {
                let group = self.group[1][vertex];
                if vertex != ends.edge {
                    let to = if group == NONE { to } else { group as usize };
                    self.advance(ends, vertex, to, distance, ends.scale.weigh(arc.weight));
                }
            } else if self.is_transit(ends, to) && (vertex != ends.edge || self.group[0][to] == NONE) {
                self.advance(ends, vertex, to, distance, ends.scale.weigh(arc.weight));
            }
        }
        if vertex == ends.edge {
            for group in 0..self.groups_at_edge {
                self.advance(ends, vertex, regions + group, distance, 0);
            }
        }
    }

    /// Steps from a vertex's exit to another's entry, unless a path does already, and on to its exit if no path is there.
    fn advance(&mut self, ends: &Ends<'_>, from: usize, to: usize, distance: Weight, weight: Weight) {
        if to == ends.gateway {
            if self.after[from] != to as u32 && self.reach(exit(from), entry(to), distance, weight) {
                self.open.push(Reverse((self.reached[entry(to)].0, entry(to) as u32)));
            }
            return;
        }
        let before = self.before[to].0;
        if before == from as u32 || !self.reach(exit(from), entry(to), distance, weight) {
            return;
        }
        let distance = self.reached[entry(to)].0;
        if before != NONE {
            self.open.push(Reverse((distance, entry(to) as u32)));
        } else if self.reach(entry(to), exit(to), distance, 0) {
            self.open.push(Reverse((self.reached[exit(to)].0, exit(to) as u32)));
        }
    }

    /// Steps against a path.
    fn take_back(&mut self, from: usize, to: usize, distance: Weight, weight: Weight) {
        debug_assert!(self.price[to] >= self.price[from] + weight, "what is taken back is tight");
        let further = (distance + self.price[to]).saturating_sub(self.price[from] + weight);
        if self.improve(from, to, further) {
            self.open.push(Reverse((further, to as u32)));
        }
    }

    fn reach(&mut self, from: usize, to: usize, distance: Weight, weight: Weight) -> bool {
        debug_assert!(weight + self.price[to] >= self.price[from], "no arc costs less than nothing");
        let further = (distance + weight + self.price[to]).saturating_sub(self.price[from]);
        self.improve(from, to, further)
    }

    fn improve(&mut self, from: usize, to: usize, further: Weight) -> bool {
        // Beyond the goal nothing matters.
        if further >= self.reached[to].0 || further >= self.reached[self.goal].0 {
            return false;
        }
        let reached = &mut self.reached[to];
        if reached.0 == FAR {
            self.touched.push(to as u32);
        }
        *reached = (further, from as u32);
        true
    }

    /// Adds the way that the search found to the flow, and raises the prices so that nothing left is cheaper than 0.
    fn augment(&mut self, ends: &Ends<'_>) {
        let goal = self.goal;
        let whole = self.reached[goal].0;
        let mut steps = Vec::new();
        let mut place = goal;
        while place != exit(ends.edge) {
            let from = self.reached[place].1 as usize;
            steps.push((from, place));
            place = from;
        }
        // What is taken back goes first: its ends are used anew by the others.
        for (from, to) in &steps {
            let (from_vertex, to_vertex) = (from / 2, to / 2);
            if *from == entry(from_vertex) && from_vertex != to_vertex {
                self.before[from_vertex] = (NONE, 0);
                self.after[to_vertex] = NONE;
            }
        }
        for (from, to) in steps {
            let (from_vertex, to_vertex) = (from / 2, to / 2);
            if from == exit(from_vertex) && from_vertex != to_vertex {
                // Prices along the found way are tight, which gives the weight back.
                let taken = self.reached[to].0 + self.price[from];
                let weight = taken.saturating_sub(self.reached[from].0 + self.price[to]);
                if to != goal {
                    self.before[to_vertex] = (from_vertex as u32, weight);
                }
                if from_vertex != ends.edge {
                    self.after[from_vertex] = to_vertex as u32;
                }
            }
        }
        for place in &self.touched {
            let distance = self.reached[*place as usize].0;
            self.price[*place as usize] += whole.saturating_sub(distance);
        }
    }
}
