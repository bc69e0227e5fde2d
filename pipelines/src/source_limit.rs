//! A rate for each source of what a node answers, in bounded memory: buckets that sources share by a seeded hash.
//!
//! Each source has one bucket in each of two rows, as in a count-min sketch, and may go on while either has a token: who
//! floods empties its two, and whom it meets in one row it hardly meets in the other. Many sources that flood together are
//! held by the rate of their cause, which comes after this one.

use crate::slow::Bucket;
use foldhash::fast::FixedState;
use packet::Addr;
use std::hash::BuildHasher;

/// Buckets of a row; 32 bytes each.
const CELLS: usize = 1024;

/// Rates by source.
pub struct SourceLimit {
    rows: [Box<[Bucket]>; 2],
    hasher: FixedState,
}

impl SourceLimit {
    /// So many per second for each source, a tenth of that at once.
    pub fn new(per_second: u32, seed: u64) -> SourceLimit {
        let row = || vec![Bucket::new(per_second); CELLS].into_boxed_slice();
        SourceLimit { rows: [row(), row()], hasher: FixedState::with_seed(seed) }
    }

    /// Whether one more of this source may go on.
    pub fn take(&mut self, now_ns: u64, source: Addr) -> bool {
        let hash = self.hasher.hash_one(source.to_bits());
        let places = [hash as usize % CELLS, (hash >> 32) as usize % CELLS];
        let mut any = false;
        for (row, place) in self.rows.iter_mut().zip(places) {
            any |= row.get_mut(place).is_some_and(|bucket| bucket.take(now_ns));
        }
        any
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(number: u32) -> Addr {
        Addr::from_v4(number.to_be_bytes())
    }

    #[test]
    fn a_source_that_floods_leaves_the_others_theirs() {
        let mut limit = SourceLimit::new(100, 7);
        let flood = (0..100_000).filter(|at| limit.take(1 + at * 10_000, addr(1))).count();
        // A second's worth, and what was saved before.
        assert!((100..=115).contains(&flood), "{flood}");
        let others = (2..1002).filter(|source| limit.take(1_000_000_000, addr(*source))).count();
        assert!(others >= 999, "{others}");
    }

    #[test]
    fn of_a_hundred_floods_few_others_notice() {
        let mut limit = SourceLimit::new(100, 9);
        for at in 0..100_000u64 {
            limit.take(1_000_000, addr(at as u32 % 100));
        }
        // One in a hundred meets a flood in both rows.
        let others = (1000..2000).filter(|source| limit.take(1_000_000, addr(*source))).count();
        assert!(others >= 970, "{others}");
    }
}
