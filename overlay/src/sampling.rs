//! Which packets of a stream are sampled: told by their numbers alone, so that all copies agree and nothing is counted.
//!
//! A number is multiplied by the golden ratio's share of 2^64. Of consecutive numbers the products lie as evenly as any
//! sequence can (the three-gap theorem): of every N in a row one is below 2^64 / N, give or take one, and no period
//! of the traffic can hide from it.

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Below this, a product is sampled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Threshold(u64);

impl Threshold {
    /// One in so many; none for 0.
    pub fn one_in(count: u32) -> Threshold {
        Threshold(u64::MAX.checked_div(count.into()).unwrap_or(0))
    }

    /// Whether the packet of this number is sampled.
    #[inline(always)]
    pub fn takes(self, sequence: u64) -> bool {
        sequence.wrapping_mul(GOLDEN) < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn one_in_n_of_any_numbers_in_a_row(first: u64, n in 1u32..2000) {
            let threshold = Threshold::one_in(n);
            let taken: Vec<u64> =
                (0..10 * u64::from(n)).filter(|at| threshold.takes(first.wrapping_add(*at))).collect();
            prop_assert!((8..=12).contains(&taken.len()), "{} of ten times {n}", taken.len());
            let widest = taken.windows(2).map(|pair| pair[1] - pair[0]).max();
            prop_assert!(widest.is_none_or(|gap| gap <= 3 * u64::from(n)));
        }

        #[test]
        fn every_one_and_none(sequence: u64) {
            prop_assert!(Threshold::one_in(1).takes(sequence) || sequence.wrapping_mul(GOLDEN) == u64::MAX);
            prop_assert!(!Threshold::one_in(0).takes(sequence));
        }
    }
}
