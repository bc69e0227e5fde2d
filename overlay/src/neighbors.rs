//! Which nodes exchange packets without another node between them, or may.

use std::collections::HashSet;

use crate::topology::{Node, NodeId, RegionIndex, Topology};

/// The pairs of regions that packets go between.
pub struct Neighbors<'a> {
    topology: &'a Topology,
    /// Pairs that a path joins, by its two stops in the order of the path, with whether each is an end.
    hops: HashSet<(Stop, Stop)>,
    /// Pairs that a link joins, both ways.
    links: HashSet<(RegionIndex, RegionIndex)>,
    /// Pairs of nodes that may send each other packets straight, both ways: the direct way is measured as well.
    straight: HashSet<(NodeId, NodeId)>,
}

/// A place on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stop {
    Edge(RegionIndex),
    Via(RegionIndex),
    Gateway(RegionIndex),
}

impl Stop {
    fn is_of(self, node: &Node) -> bool {
        match self {
            Stop::Edge(region) => node.region == region && node.roles.edge,
            Stop::Via(region) => node.region == region && node.roles.intermediate,
            Stop::Gateway(region) => node.region == region && node.roles.gateway,
        }
    }
}

impl<'a> Neighbors<'a> {
    /// Those of a topology.
    pub fn new(topology: &'a Topology) -> Neighbors<'a> {
        let mut hops = HashSet::new();
        for set in &topology.path_sets {
            for path in &set.paths {
                let via = path.via.iter().map(|region| Stop::Via(*region));
                let stops: Vec<Stop> = [Stop::Edge(set.edge)]
                    .into_iter()
                    .chain(via)
                    .chain([Stop::Gateway(set.gateway)])
                    .collect();
                hops.extend(stops.windows(2).map(|pair| (pair[0], pair[1])));
            }
        }
        let both = |[a, b]: [RegionIndex; 2]| [(a, b), (b, a)];
        let links = topology.ground.links.iter().flat_map(|link| both(link.between)).collect();
        Neighbors { topology, hops, links, straight: straight(topology) }
    }

    /// Whether two nodes are neighbours: on some path one comes after the other, a link joins their regions and one of
    /// them can forward for the other, or packets may go straight between them.
    pub fn are(&self, one: &Node, other: &Node) -> bool {
        let on_path = |a: &Node, b: &Node| self.hops.iter().any(|(from, to)| from.is_of(a) && to.is_of(b));
        let linked = self.links.contains(&(one.region, other.region))
            && (one.roles.intermediate || other.roles.intermediate);
        let straight = self.straight.contains(&(one.id, other.id));
        one.id != other.id && (linked || straight || on_path(one, other) || on_path(other, one))
    }

    /// A node's neighbours, in the topology's order.
    pub fn of(&self, node: NodeId) -> Vec<NodeId> {
        let Some(this) = self.topology.node(node) else { return Vec::new() };
        // Of all stops only those beside this node's matter.
        let mut beside = HashSet::new();
        for (from, to) in &self.hops {
            if from.is_of(this) {
                beside.insert(*to);
            }
            if to.is_of(this) {
                beside.insert(*from);
            }
        }
        let is_beside = |other: &&Node| {
            let linked = self.links.contains(&(this.region, other.region))
                && (this.roles.intermediate || other.roles.intermediate);
            let straight = self.straight.contains(&(node, other.id));
            other.id != node && (linked || straight || beside.iter().any(|stop| stop.is_of(other)))
        };
        self.topology.nodes.iter().filter(is_beside).map(|other| other.id).collect()
    }
}

/// The edges and gateways of applications whose packets may go straight.
fn straight(topology: &Topology) -> HashSet<(NodeId, NodeId)> {
    let mut pairs = HashSet::new();
    for application in topology.applications.iter().filter(|one| one.routing.auto.is_some()) {
        let gateways = topology.nodes.iter().filter(|node| node.roles.gateway);
        for gateway in gateways.filter(|gateway| gateway.region == application.gateway) {
            for vip in &application.vips {
                pairs.extend([(vip.node, gateway.id), (gateway.id, vip.node)]);
            }
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Quality;
    use crate::topology::{Link, Path, PathId, PathSet, Region, Roles};

    fn node(id: u16, region: u16, edge: bool, intermediate: bool, gateway: bool) -> Node {
        Node {
            name: id.to_string(),
            id: NodeId(id),
            region: RegionIndex(region),
            roles: Roles { edge, intermediate, gateway },
            underlay: Vec::new(),
            workers: 1,
            nat_pool: Vec::new(),
            rss: None,
        }
    }

    /// Regions: 0 of the edge, 1 and 2 between, 3 of the gateway; the path leads over 1, links join 0 - 2, 2 - 3 and 0 - 3.
    fn topology() -> Topology {
        let link = |a, b| Link {
            between: [RegionIndex(a), RegionIndex(b)],
            quality: Quality { latency_us: 1, loss_ppm: 0 },
            risks: Vec::new(),
        };
        let mut topology = Topology {
            regions: (0..4).map(|at: u16| Region { name: at.to_string() }).collect(),
            nodes: vec![
                node(1, 0, true, false, false),
                node(2, 1, false, true, false),
                node(3, 2, false, true, false),
                node(4, 3, false, false, true),
            ],
            path_sets: vec![PathSet {
                name: "set".to_owned(),
                edge: RegionIndex(0),
                gateway: RegionIndex(3),
                paths: vec![Path { id: PathId(1), via: vec![RegionIndex(1)] }],
            }],
            ..Topology::default()
        };
        topology.ground.links = vec![link(0, 2), link(3, 2), link(0, 3)];
        topology
    }

    #[test]
    fn paths_and_links_make_neighbors_and_ends_alone_do_not() {
        let topology = topology();
        let neighbors = Neighbors::new(&topology);
        let of = |id| neighbors.of(NodeId(id)).iter().map(|node| node.0).collect::<Vec<_>>();
        assert_eq!(
            [of(1), of(2), of(3), of(4), of(9)],
            [vec![2, 3], vec![1, 4], vec![1, 4], vec![2, 3], vec![]]
        );
        for one in &topology.nodes {
            for other in &topology.nodes {
                assert_eq!(neighbors.are(one, other), of(one.id.0).contains(&other.id.0));
            }
        }
    }
}
