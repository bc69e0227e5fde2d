//! Dijkstra's tree over one direction of every link.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What a route minimizes: its metric in the upper half, what settles ties below.
pub(super) type Weight = u128;

/// No way.
pub(super) const FAR: Weight = Weight::MAX;

/// A direction of a link, seen from one of its ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arc {
    pub(super) to: u32,
    /// From this end to the other, by [`Metric`](super::Metric).
    pub(super) out: [Weight; 2],
    /// From the other end to this one.
    pub(super) back: [Weight; 2],
}

/// How far all regions are from a root, or to it, and the neighbour on the way towards the root.
pub(super) struct Tree {
    pub(super) distance: Vec<Weight>,
    /// Towards the root; of no meaning for the root itself and for what is [`FAR`].
    pub(super) parent: Vec<u32>,
}

/// Builds the tree of the ways out of a root, by what `weigh` reads, through regions of transit.
pub(super) fn grow(arcs: &[Vec<Arc>], transit: &[bool], root: usize, weigh: impl Fn(&Arc) -> Weight) -> Tree {
    let mut tree = Tree { distance: vec![FAR; arcs.len()], parent: vec![0; arcs.len()] };
    let mut open = BinaryHeap::new();
    if let Some(distance) = tree.distance.get_mut(root) {
        *distance = 0;
        open.push(Reverse((0, root)));
    }
    while let Some(Reverse((distance, region))) = open.pop() {
        if distance > tree.distance[region] || region != root && !transit[region] {
            continue;
        }
        for arc in &arcs[region] {
            let (to, weight) = (arc.to as usize, weigh(arc));
            let further = distance.saturating_add(weight);
            // Of equal ways the one by the lower number, whatever the order of the queue.
            let nearer = further < tree.distance[to]
                || further == tree.distance[to] && further != FAR && (region as u32) < tree.parent[to];
            if nearer && to != root {
                if further < tree.distance[to] {
                    open.push(Reverse((further, to)));
                }
                tree.distance[to] = further;
                tree.parent[to] = region as u32;
            }
        }
    }
    tree
}
