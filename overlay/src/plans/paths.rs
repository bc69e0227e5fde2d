//! The body of a record about a planned path set.
//!
//! ```text
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |  fingerprint of the topology's regions, 8 bytes               |  0
//! |          edge region          |         gateway region        |  8
//! |        number of paths        |               0               | 12
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |          path's number        |   regions between the ends    | 16  and again for each path
//! |            region             |               …               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Regions are positions in the topology file, from 0. They mean the same to two nodes only if both have the same list: that is what
//! the fingerprint is for.

use crate::plan::{PATHS_MAX, VIA_MAX};
use crate::topology::{Path, PathId, RegionIndex, Topology};

const HEADER_LEN: usize = 16;

/// The paths of a set, as its owner says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// What the region indices are of.
    pub fingerprint: u64,
    /// The clients' end.
    pub edge: RegionIndex,
    /// The origins' end.
    pub gateway: RegionIndex,
    /// In order of preference.
    pub paths: Vec<Path>,
}

/// FNV-1a over the regions' names in order.
pub fn fingerprint(topology: &Topology) -> u64 {
    let names = topology.regions.iter().flat_map(|region| region.name.bytes().chain([0]));
    names.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

impl Paths {
    /// Reads a body; none for anything else.
    pub fn parse(body: &[u8]) -> Option<Paths> {
        let (header, mut rest) = body.split_first_chunk::<HEADER_LEN>()?;
        let half = |at: usize| header.get(at..at + 2).map_or(0, |two| u16::from_be_bytes([two[0], two[1]]));
        let count = usize::from(half(12));
        if count > PATHS_MAX {
            return None;
        }
        let mut paths = Vec::with_capacity(count);
        for _ in 0..count {
            let ([i0, i1, n0, n1], behind) = rest.split_first_chunk::<4>()?;
            let regions = usize::from(u16::from_be_bytes([*n0, *n1]));
            if regions > VIA_MAX {
                return None;
            }
            let (via, behind) = behind.split_at_checked(2 * regions)?;
            let via = via.chunks_exact(2).map(|two| RegionIndex(u16::from_be_bytes([two[0], two[1]])));
            paths.push(Path { id: PathId(u16::from_be_bytes([*i0, *i1])), via: via.collect() });
            rest = behind;
        }
        let fingerprint = u64::from_be_bytes(*header.first_chunk()?);
        let (edge, gateway) = (RegionIndex(half(8)), RegionIndex(half(10)));
        rest.is_empty().then_some(Paths { fingerprint, edge, gateway, paths })
    }

    /// The body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.paths.len() * (4 + 2 * VIA_MAX));
        bytes.extend(self.fingerprint.to_be_bytes());
        bytes.extend(self.edge.0.to_be_bytes());
        bytes.extend(self.gateway.0.to_be_bytes());
        bytes.extend((self.paths.len() as u16).to_be_bytes());
        bytes.extend([0, 0]);
        for path in &self.paths {
            bytes.extend(path.id.0.to_be_bytes());
            bytes.extend((path.via.len() as u16).to_be_bytes());
            path.via.iter().for_each(|region| bytes.extend(region.0.to_be_bytes()));
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::linkstate::BODY_LEN_MAX;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(
            fingerprint: u64,
            ends: (u16, u16),
            paths in proptest::collection::vec((any::<u16>(), proptest::collection::vec(any::<u16>(), 0..=VIA_MAX)), 0..=PATHS_MAX),
        ) {
            let path = |(id, via): (u16, Vec<u16>)| Path {
                id: PathId(id),
                via: via.into_iter().map(RegionIndex).collect(),
            };
            let (edge, gateway) = (RegionIndex(ends.0), RegionIndex(ends.1));
            let paths = Paths { fingerprint, edge, gateway, paths: paths.into_iter().map(path).collect() };
            let bytes = paths.to_bytes();
            prop_assert!(bytes.len() <= BODY_LEN_MAX);
            prop_assert_eq!(Paths::parse(&bytes), Some(paths));
            for cut in 0..bytes.len() {
                prop_assert_eq!(Paths::parse(&bytes[..cut]), None);
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(paths) = Paths::parse(&body) {
                prop_assert!(paths.paths.len() <= PATHS_MAX);
            }
        }
    }
}
