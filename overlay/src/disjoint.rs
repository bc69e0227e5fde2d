//! Whether the paths of a set share an intermediate region, with a proof either way.
//!
//! Copies of a packet protect against a region's failure only when no two of them pass through it.
//! The ends do not count: every path of a set begins and ends in the same two regions.

use std::collections::BTreeMap;

use crate::topology::{Path, PathId, RegionIndex};

/// Proof that no intermediate region lies on two paths: every region is named at most once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Each path with its intermediate regions, in the order of the set.
    pub paths: Vec<(PathId, Vec<RegionIndex>)>,
}

/// An intermediate region that lies on more than one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The region whose failure cuts all these paths.
    pub region: RegionIndex,
    /// The paths through it, two or more, in the order of the set.
    pub paths: Vec<PathId>,
}

/// Proves that the paths are disjoint, or names every shared region in order of its index.
///
/// A path that passes through one region twice shares it with nobody, so that alone is no fault here.
pub fn certify(paths: &[Path]) -> Result<Certificate, Vec<Shared>> {
    // Counted by position, not by number, so that paths with equal numbers still count as two.
    let mut through: BTreeMap<RegionIndex, Vec<usize>> = BTreeMap::new();
    for (position, path) in paths.iter().enumerate() {
        for region in &path.via {
            let positions = through.entry(*region).or_default();
            if positions.last() != Some(&position) {
                positions.push(position);
            }
        }
    }
    let shared: Vec<Shared> = through
        .into_iter()
        .filter(|(_, positions)| positions.len() > 1)
        .map(|(region, positions)| Shared {
            region,
            paths: positions.iter().filter_map(|position| paths.get(*position)).map(|path| path.id).collect(),
        })
        .collect();
    if shared.is_empty() {
        Ok(Certificate { paths: paths.iter().map(|path| (path.id, path.via.clone())).collect() })
    } else {
        Err(shared)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn path(id: u16, via: &[u16]) -> Path {
        Path { id: PathId(id), via: via.iter().copied().map(RegionIndex).collect() }
    }

    #[test]
    fn proves_disjoint_paths() {
        let paths = [path(1, &[3]), path(2, &[4, 5])];
        let certificate = certify(&paths).unwrap();
        assert_eq!(
            certificate.paths,
            [(PathId(1), vec![RegionIndex(3)]), (PathId(2), vec![RegionIndex(4), RegionIndex(5)])]
        );
    }

    #[test]
    fn names_every_shared_region_with_its_paths() {
        let paths = [path(7, &[3, 4]), path(8, &[5]), path(9, &[4, 5, 3])];
        let shared = certify(&paths).unwrap_err();
        let expected = [(3, vec![7, 9]), (4, vec![7, 9]), (5, vec![8, 9])].map(|(region, paths)| Shared {
            region: RegionIndex(region),
            paths: paths.into_iter().map(PathId).collect(),
        });
        assert_eq!(shared, expected);
    }

    #[test]
    fn nothing_is_shared_by_fewer_than_two_paths() {
        assert!(certify(&[]).is_ok());
        assert!(certify(&[path(1, &[3, 3])]).is_ok());
        assert!(certify(&[path(1, &[3]), path(1, &[3])]).is_err());
    }

    fn any_paths() -> impl Strategy<Value = Vec<Path>> {
        let via = prop::collection::vec((0u16..12).prop_map(RegionIndex), 0..5);
        let path = (1u16..6, via).prop_map(|(id, via)| Path { id: PathId(id), via });
        prop::collection::vec(path, 0..6)
    }

    proptest! {
        /// The oracle: compare every two paths region by region.
        #[test]
        fn agrees_with_comparing_every_pair(paths in any_paths()) {
            let meet = |a: &Path, b: &Path| a.via.iter().any(|region| b.via.contains(region));
            let shares = (0..paths.len()).any(|i| (0..i).any(|j| meet(&paths[i], &paths[j])));
            match certify(&paths) {
                Ok(certificate) => {
                    prop_assert!(!shares);
                    prop_assert_eq!(certificate.paths.len(), paths.len());
                }
                Err(shared) => {
                    prop_assert!(shares);
                    for Shared { region, paths: ids } in shared {
                        let through = paths.iter().filter(|path| path.via.contains(&region));
                        prop_assert_eq!(through.map(|path| path.id).collect::<Vec<_>>(), ids.clone());
                        prop_assert!(ids.len() > 1);
                    }
                }
            }
        }
    }
}
