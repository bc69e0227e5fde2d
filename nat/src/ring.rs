//! Rings of numbered nodes: circular, doubly linked lists in one array, so that a node leaves its ring at once
//! wherever it stands, and nothing is allocated.

/// A node's neighbours in its ring; a node alone is its own neighbour on both sides.
#[derive(Clone, Copy)]
struct Links {
    next: u32,
    before: u32,
}

/// All nodes, each in exactly one ring.
pub(crate) struct Rings(Box<[Links]>);

impl Rings {
    /// Nodes that are each alone.
    pub(crate) fn new(nodes: usize) -> Rings {
        Rings((0..nodes as u32).map(|node| Links { next: node, before: node }).collect())
    }

    /// The node behind this one.
    #[inline(always)]
    pub(crate) fn next(&self, node: u32) -> u32 {
        self.0[node as usize].next
    }

    /// Whether the node is alone.
    #[inline(always)]
    pub(crate) fn is_alone(&self, node: u32) -> bool {
        self.next(node) == node
    }

    /// Puts a node that is alone before another, which makes it the last of the ring that starts there.
    pub(crate) fn join(&mut self, node: u32, ring: u32) {
        let last = self.0[ring as usize].before;
        self.0[node as usize] = Links { next: ring, before: last };
        self.0[last as usize].next = node;
        self.0[ring as usize].before = node;
    }

    /// Takes a node out of its ring; it is alone then.
    pub(crate) fn leave(&mut self, node: u32) {
        let Links { next, before } = self.0[node as usize];
        self.0[before as usize].next = next;
        self.0[next as usize].before = before;
        self.0[node as usize] = Links { next: node, before: node };
    }

    /// A ring's nodes in order, from this one on.
    pub(crate) fn of(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        let mut at = Some(first);
        core::iter::from_fn(move || {
            let node = at?;
            at = Some(self.next(node)).filter(|next| *next != first);
            Some(node)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_join_and_leave_in_any_order() {
        let mut rings = Rings::new(6);
        assert!((0..6).all(|node| rings.is_alone(node)));
        (1..4).for_each(|node| rings.join(node, 0));
        rings.join(5, 4);
        assert_eq!(rings.of(0).collect::<Vec<_>>(), [0, 1, 2, 3]);
        assert_eq!(rings.of(2).collect::<Vec<_>>(), [2, 3, 0, 1]);
        assert_eq!(rings.of(4).collect::<Vec<_>>(), [4, 5]);
        rings.leave(0);
        rings.leave(2);
        assert_eq!(rings.of(1).collect::<Vec<_>>(), [1, 3]);
        assert!(rings.is_alone(0) && rings.is_alone(2));
        rings.leave(3);
        rings.leave(1);
        assert!(rings.is_alone(1) && rings.is_alone(3));
    }
}
