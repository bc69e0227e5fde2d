//! A fixed shuffle: flows must never come counting up, and every run must see the same order.

/// The numbers below `count` in an order that a seed decides (Fisher and Yates).
pub fn order(count: u32, seed: u64) -> Vec<u32> {
    let mut numbers: Vec<u32> = (0..count).collect();
    let mut random = SplitMix(seed);
    for last in (1..numbers.len()).rev() {
        let pick = (random.next() % (last as u64 + 1)) as usize;
        numbers.swap(last, pick);
    }
    numbers
}

/// SplitMix64: the smallest generator whose low bits are fit for a shuffle.
struct SplitMix(u64);

impl SplitMix {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_once_and_out_of_order() {
        let mut numbers = order(1_008, 7);
        assert_eq!(numbers, order(1_008, 7), "the same seed gives the same order");
        assert!(numbers.windows(2).filter(|pair| pair[0] + 1 == pair[1]).count() < 10);
        numbers.sort_unstable();
        assert!(numbers.iter().copied().eq(0..1_008));
    }
}
