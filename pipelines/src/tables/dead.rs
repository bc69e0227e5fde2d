//! Links and paths that carry nothing now.

use overlay::topology::{IpVersion, NodeId, Path, PathId, PathSet};

/// What is to be left out of the tables, as far as something else is left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dead {
    /// Neighbouring nodes that are not reached, by IP version of the underlay.
    pub links: Vec<(NodeId, IpVersion)>,
    /// Paths over which a node at their other end is not reached, by IP version of the underlay.
    pub paths: Vec<(PathId, NodeId, IpVersion)>,
}

impl Dead {
    /// Of several nodes of a region, those that are reached, or all if none is: what is thought to be dead loses
    /// nothing that was not lost already.
    pub(super) fn without_links(&self, nodes: &mut Vec<(NodeId, u16)>, version: IpVersion) {
        let lives = |(node, _): &(NodeId, u16)| !self.links.contains(&(*node, version));
        if nodes.iter().any(lives) {
            nodes.retain(lives);
        }
    }

    /// Whether a neighbouring node is not reached.
    pub(super) fn has_link(&self, node: NodeId, version: IpVersion) -> bool {
        self.links.contains(&(node, version))
    }

    /// The first `copies` paths of a set over which a node is reached, or, if there is none, the first of all.
    pub(crate) fn choose<'a>(
        &self,
        set: &'a PathSet,
        copies: usize,
        destination: NodeId,
        version: IpVersion,
    ) -> Vec<&'a Path> {
        let lives = |path: &&Path| !self.paths.contains(&(path.id, destination, version));
        let living: Vec<&Path> = set.paths.iter().filter(lives).take(copies).collect();
        if living.is_empty() { set.paths.iter().take(copies).collect() } else { living }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use overlay::topology::RegionIndex;

    const V4: IpVersion = IpVersion::V4;

    #[test]
    fn of_a_regions_nodes_the_dead_are_left_out_unless_all_are_dead() {
        let nodes = vec![(NodeId(1), 10), (NodeId(2), 20)];
        let left = |links: &[(NodeId, IpVersion)]| {
            let mut nodes = nodes.clone();
            Dead { links: links.to_vec(), paths: Vec::new() }.without_links(&mut nodes, V4);
            nodes
        };
        assert_eq!(left(&[(NodeId(1), V4)]), nodes[1..]);
        assert_eq!(left(&[(NodeId(1), IpVersion::V6)]), nodes);
        assert_eq!(left(&[(NodeId(1), V4), (NodeId(2), V4)]), nodes);
    }

    #[test]
    fn a_dead_path_makes_room_for_the_next_and_leaves_other_nodes_theirs() {
        let path = |id| Path { id: PathId(id), via: vec![RegionIndex(id)] };
        let set = PathSet {
            name: String::new(),
            edge: RegionIndex(0),
            gateway: RegionIndex(9),
            paths: [1, 2, 3].map(path).to_vec(),
        };
        let (near, other) = (NodeId(1), NodeId(2));
        let dead = Dead { links: Vec::new(), paths: vec![(PathId(1), near, V4)] };
        let chosen = |dead: &Dead, copies, node| {
            dead.choose(&set, copies, node, V4).iter().map(|path| path.id.0).collect::<Vec<_>>()
        };
        assert_eq!([chosen(&dead, 1, near), chosen(&dead, 2, near)], [vec![2], vec![2, 3]]);
        assert_eq!(chosen(&dead, 2, other), [1, 2]);
        let all = Dead { links: Vec::new(), paths: [1, 2, 3].map(|id| (PathId(id), near, V4)).to_vec() };
        assert_eq!(chosen(&all, 2, near), [1, 2]);
    }
}
