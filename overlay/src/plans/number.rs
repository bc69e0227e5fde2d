//! The number of a planned path: it follows from the way.

use std::collections::HashSet;

/// Planned paths have this number or a higher one, so that lower ones are left to those who write paths by hand.
pub const NUMBER_MIN: u16 = 32_768;

/// A number for the way through these regions: FNV-1a's hash of their names, or the next that is free.
pub fn number<'a>(regions: impl Iterator<Item = &'a str>, taken: &mut HashSet<u16>) -> u16 {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for name in regions {
        // No name has a byte 0, so it keeps names apart.
        for byte in name.bytes().chain([0]) {
            hash = (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    let span = u64::from(u16::MAX - NUMBER_MIN) + 1;
    let first = NUMBER_MIN + ((hash ^ hash >> 32) % span) as u16;
    // Downwards, should all the upper ones ever be taken.
    let after = first..=u16::MAX;
    let before = (1..first).rev();
    let free = after.chain(before).find(|number| taken.insert(*number));
    free.unwrap_or(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_follows_from_the_way() {
        let mut taken = HashSet::new();
        let one = number(["paris", "london", "frankfurt"].into_iter(), &mut taken);
        assert!(one >= NUMBER_MIN);
        assert_eq!(number(["paris", "london", "frankfurt"].into_iter(), &mut HashSet::new()), one);
        assert_ne!(number(["paris", "madrid", "frankfurt"].into_iter(), &mut HashSet::new()), one);
        let again = number(["paris", "london", "frankfurt"].into_iter(), &mut taken);
        assert_ne!(again, one, "taken");
    }

    #[test]
    fn numbers_are_given_once_until_there_are_no_more() {
        let mut taken: HashSet<u16> = (2..=u16::MAX).collect();
        assert_eq!(number(["a"].into_iter(), &mut taken), 1);
    }
}
