//! What paths of a set have in common: an intermediate region, or a shared risk.
//!
//! Copies of a packet protect against a failure only when no two of them pass through what fails.
//! The ends do not count: every path of a set begins and ends in the same two regions.

use std::collections::BTreeMap;

use crate::topology::PathId;

/// Something that lies on more than one path: a region, or a risk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared<T> {
    /// What cuts all these paths when it fails.
    pub shared: T,
    /// The paths through it, two or more, in the order of the set.
    pub paths: Vec<PathId>,
}

/// Everything that two or more of the paths have, in order.
///
/// A path that has one thing twice shares it with nobody, so that alone is no fault here.
pub fn shared<'a, T: Copy + Ord + 'a>(paths: impl IntoIterator<Item = (PathId, &'a [T])>) -> Vec<Shared<T>> {
    // Counted by position, not by number, so that paths with equal numbers still count as two.
    let mut through: BTreeMap<T, Vec<(usize, PathId)>> = BTreeMap::new();
    for (position, (id, has)) in paths.into_iter().enumerate() {
        for thing in has {
            let positions = through.entry(*thing).or_default();
            if positions.last().is_none_or(|(last, _)| *last != position) {
                positions.push((position, id));
            }
        }
    }
    let shared = through.into_iter().filter(|(_, paths)| paths.len() > 1);
    shared
        .map(|(shared, paths)| Shared { shared, paths: paths.into_iter().map(|(_, id)| id).collect() })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Paths = Vec<(PathId, Vec<u16>)>;

    fn of(paths: &Paths) -> Vec<Shared<u16>> {
        shared(paths.iter().map(|(id, via)| (*id, via.as_slice())))
    }

    fn path(id: u16, via: &[u16]) -> (PathId, Vec<u16>) {
        (PathId(id), via.to_vec())
    }

    #[test]
    fn names_everything_shared_with_its_paths() {
        assert_eq!(of(&vec![path(1, &[3]), path(2, &[4, 5])]), []);
        let expected = [(3, vec![7, 9]), (4, vec![7, 9]), (5, vec![8, 9])]
            .map(|(shared, paths)| Shared { shared, paths: paths.into_iter().map(PathId).collect() });
        assert_eq!(of(&vec![path(7, &[3, 4]), path(8, &[5]), path(9, &[4, 5, 3])]), expected);
    }

    #[test]
    fn nothing_is_shared_by_fewer_than_two_paths() {
        assert!(of(&vec![]).is_empty());
        assert!(of(&vec![path(1, &[3, 3])]).is_empty());
        assert!(of(&vec![path(1, &[3]), path(1, &[3])]).len() == 1);
    }

    fn any_paths() -> impl Strategy<Value = Paths> {
        let path = (1u16..6, prop::collection::vec(0u16..12, 0..5)).prop_map(|(id, via)| (PathId(id), via));
        prop::collection::vec(path, 0..6)
    }

    proptest! {
        /// The oracle: compare every two paths region by region.
        #[test]
        fn agrees_with_comparing_every_pair(paths in any_paths()) {
            let meet = |i: usize, j: usize| paths[i].1.iter().any(|region| paths[j].1.contains(region));
            let shares = (0..paths.len()).any(|i| (0..i).any(|j| meet(i, j)));
            let found = of(&paths);
            prop_assert_eq!(found.is_empty(), !shares);
            for Shared { shared, paths: ids } in found {
                let through = paths.iter().filter(|(_, via)| via.contains(&shared));
                prop_assert_eq!(through.map(|(id, _)| *id).collect::<Vec<_>>(), ids.clone());
                prop_assert!(ids.len() > 1);
            }
        }
    }
}
