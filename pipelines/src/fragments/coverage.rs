//! Which parts of a datagram have come: nothing twice, nothing that overlaps (RFC 5722, held for IPv4 as well).

use packet::Reason;
use packet::extent::Extent;

/// Stretches that may stand apart at one time. The 47 fragments of the longest datagram have at most 24 between them,
/// whatever their order.
const STRETCHES_MAX: usize = 24;

/// What of a datagram has come: stretches in units of 8 bytes, in order, none touching another.
#[derive(Clone, Copy, Debug)]
pub struct Coverage {
    stretches: [(u16, u16); STRETCHES_MAX],
    count: u8,
    /// Where the datagram ends; 0 until its last fragment has come.
    end: u16,
}

impl Coverage {
    /// Nothing has come.
    pub const NONE: Coverage = Coverage { stretches: [(0, 0); STRETCHES_MAX], count: 0, end: 0 };

    /// Whether all of the datagram has come.
    pub fn is_whole(&self) -> bool {
        self.end != 0 && self.stretches() == [(0, self.end)]
    }

    /// Adds a fragment's part.
    ///
    /// # Errors
    /// [`Reason::FragmentDuplicate`] where all of it has come before: the fragment alone is to be dropped, as two may
    /// be equal without anybody's fault. [`Reason::FragmentOverlap`], [`Reason::FragmentMalformed`] where it
    /// contradicts the datagram's end, and [`Reason::FragmentLimit`]: the rest of the datagram is to be dropped too.
    pub fn add(&mut self, part: Extent) -> Result<(), Reason> {
        let Extent { start, end, last } = part;
        let furthest = self.stretches().last().map_or(0, |(_, end)| *end);
        let fits = match (last, self.end) {
            (true, 0) => furthest <= end,
            (true, known) => known == end,
            (false, 0) => true,
            (false, known) => {
                end < known || self.stretches().iter().any(|(from, to)| *from <= start && end <= *to)
            }
        };
        if !fits {
            return Err(Reason::FragmentMalformed);
        }
        // The first stretch that ends at this part or behind it.
        let at = self.stretches().iter().take_while(|(_, to)| *to < start).count();
        let touched = self.stretches().get(at..).unwrap_or_default();
        for (from, to) in touched.iter().take_while(|(from, _)| *from < end) {
            if *from <= start && end <= *to {
                return Err(Reason::FragmentDuplicate);
            }
            if start < *to {
                return Err(Reason::FragmentOverlap);
            }
        }
        self.join(at, start, end)?;
        if last {
            self.end = end;
        }
        Ok(())
    }

    /// Adds a stretch that overlaps none, which belongs before or onto the one at `at`.
    fn join(&mut self, at: usize, start: u16, end: u16) -> Result<(), Reason> {
        let count = self.count as usize;
        let onto = at < count && self.stretches[at].1 == start;
        let next = at + onto as usize;
        let before = next < count && self.stretches[next].0 == end;
        match (onto, before) {
            (true, true) => {
                self.stretches[at].1 = self.stretches[next].1;
                self.stretches.copy_within(next + 1..count, next);
                self.count -= 1;
            }
            (true, false) => self.stretches[at].1 = end,
            (false, true) => self.stretches[next].0 = start,
            (false, false) if count < STRETCHES_MAX => {
                self.stretches.copy_within(at..count, at + 1);
                self.stretches[at] = (start, end);
                self.count += 1;
            }
            (false, false) => return Err(Reason::FragmentLimit),
        }
        Ok(())
    }

    fn stretches(&self) -> &[(u16, u16)] {
        self.stretches.get(..self.count as usize).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn part(start: u16, end: u16, last: bool) -> Extent {
        Extent { start, end, last }
    }

    #[test]
    fn overlaps_are_told_from_repetitions() {
        let mut coverage = Coverage::NONE;
        coverage.add(part(10, 20, false)).unwrap();
        coverage.add(part(30, 40, true)).unwrap();
        for (start, end) in [(10, 20), (12, 18), (30, 40), (35, 39)] {
            assert_eq!(
                coverage.add(part(start, end, end == 40)),
                Err(Reason::FragmentDuplicate),
                "{start} {end}"
            );
        }
        for (start, end) in [(5, 11), (9, 21), (19, 22), (0, 35), (15, 32)] {
            assert_eq!(coverage.add(part(start, end, false)), Err(Reason::FragmentOverlap), "{start} {end}");
        }
        for (start, end, last) in [(35, 41, true), (20, 25, true), (41, 42, false), (38, 42, false)] {
            assert_eq!(coverage.add(part(start, end, last)), Err(Reason::FragmentMalformed), "{start} {end}");
        }
        coverage.add(part(20, 30, false)).unwrap();
        assert!(!coverage.is_whole());
        coverage.add(part(0, 10, false)).unwrap();
        assert!(coverage.is_whole());
    }

    #[test]
    fn too_many_holes_are_refused_and_change_nothing() {
        let mut coverage = Coverage::NONE;
        for at in 0..STRETCHES_MAX as u16 {
            coverage.add(part(at * 2, at * 2 + 1, false)).unwrap();
        }
        assert_eq!(coverage.add(part(100, 101, false)), Err(Reason::FragmentLimit));
        coverage.add(part(1, 2, false)).unwrap();
        coverage.add(part(100, 101, false)).unwrap();
    }

    proptest! {
        /// Against a plain map of units.
        #[test]
        fn behaves_as_a_map_of_units(parts in proptest::collection::vec((0u16..60, 1u16..12, proptest::bool::weighted(0.1)), 1..40)) {
            let mut coverage = Coverage::NONE;
            let mut units = [false; 80];
            let mut total = None;
            for (start, len, last) in parts {
                let end = start + len;
                let there = units[start as usize..end as usize].iter().filter(|unit| **unit).count();
                let furthest = units.iter().rposition(|unit| *unit).map_or(0, |at| at as u16 + 1);
                let lies = match (last, total) {
                    (true, None) => furthest > end,
                    (true, Some(total)) => total != end,
                    (false, Some(total)) => end >= total && there < len as usize,
                    (false, None) => false,
                };
                let wanted = match there {
                    _ if lies => Err(Reason::FragmentMalformed),
                    0 => Ok(()),
                    there if there == len as usize => Err(Reason::FragmentDuplicate),
                    _ => Err(Reason::FragmentOverlap),
                };
                prop_assert_eq!(coverage.add(part(start, end, last)), wanted);
                if wanted.is_ok() {
                    units[start as usize..end as usize].fill(true);
                    total = total.or(last.then_some(end));
                }
                let whole = total.is_some_and(|total| units[..total as usize].iter().all(|unit| *unit));
                prop_assert_eq!(coverage.is_whole(), whole);
            }
        }

        #[test]
        fn the_longest_datagram_comes_in_any_order(seed: u64) {
            let mut order: Vec<u16> = (0..47).collect();
            let mut state = seed | 1;
            for at in (1..order.len()).rev() {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                order.swap(at, (state >> 33) as usize % (at + 1));
            }
            let mut coverage = Coverage::NONE;
            for at in order {
                prop_assert!(!coverage.is_whole());
                coverage.add(part(at * 170, at * 170 + 170, at == 46)).unwrap();
            }
            prop_assert!(coverage.is_whole());
        }
    }
}
