//! Latent error detection (IEEE 802.1CB section 7.4.4): a path of a stream has silently stopped to contribute while others
//! go on. Nothing is lost then, so nobody would notice before the next path fails.
//!
//! Every packet says how many copies of it left, so what must have come is known packet by packet: a sender that leaves
//! out a path on purpose, or sends some packets once and others twice, owes nothing.

use super::shares::SHARES;

/// What came of a stream during a test.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Packets passed.
    pub passed: u64,
    /// Copies of these beyond the first that left their sender.
    pub owed: u64,
    /// Copies that came over each path, passed or eliminated.
    pub contributed: [u64; SHARES],
}

/// Paths that are silent, a bit for each, and the [`UNKNOWN`] one.
pub type Silent = u8;
/// A path that never contributed, and so has no place.
pub const UNKNOWN: Silent = 1 << SHARES;

/// Which paths owe their copies; none where no more than `difference` copies are owed. `known` says when each path
/// contributed last, in a clock of the caller's: of those that are silent now the last ones to have spoken are meant; 0
/// for no path.
pub fn judge(seen: &Seen, known: &[u64; SHARES], difference: u64) -> Silent {
    if seen.owed <= difference || seen.passed == 0 {
        return 0;
    }
    let expected = 1 + seen.owed.div_ceil(seen.passed);
    let contributing = seen.contributed.iter().filter(|copies| **copies > 0).count() as u64;
    let mut silent = 0;
    for _ in contributing..expected {
        let candidates =
            (0..SHARES).filter(|at| known[*at] > 0 && seen.contributed[*at] == 0 && silent >> at & 1 == 0);
        silent |= candidates.max_by_key(|at| known[*at]).map_or(UNKNOWN, |at| 1 << at);
    }
    silent
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [u64; SHARES] = [9, 8, 3, 0];

    fn seen(passed: u64, owed: u64, contributed: [u64; SHARES]) -> Seen {
        Seen { passed, owed, contributed }
    }

    #[test]
    fn who_contributes_is_never_silent_however_much_it_loses() {
        assert_eq!(judge(&seen(1000, 1000, [1000, 1000, 0, 0]), &KNOWN, 10), 0);
        assert_eq!(judge(&seen(1000, 1000, [1000, 10, 0, 0]), &KNOWN, 10), 0);
        // A path that was used before another took its place.
        assert_eq!(judge(&seen(1000, 1000, [0, 1000, 1000, 0]), &KNOWN, 10), 0);
    }

    #[test]
    fn the_path_that_stopped_last_is_meant_and_a_path_that_never_came_is_unknown() {
        assert_eq!(judge(&seen(1000, 1000, [1000, 0, 0, 0]), &KNOWN, 10), 0b10);
        assert_eq!(judge(&seen(1000, 2000, [1000, 0, 0, 0]), &KNOWN, 10), 0b110);
        assert_eq!(judge(&seen(1000, 1000, [1000, 0, 0, 0]), &[5, 0, 0, 0], 10), UNKNOWN);
        // Half of the packets have one copy only.
        assert_eq!(judge(&seen(1000, 500, [1000, 0, 0, 0]), &KNOWN, 10), 0b10);
    }

    #[test]
    fn who_owes_little_or_nothing_is_not_judged() {
        assert_eq!(judge(&seen(1000, 0, [1000, 0, 0, 0]), &KNOWN, 0), 0);
        assert_eq!(judge(&seen(10, 10, [10, 0, 0, 0]), &KNOWN, 10), 0);
        assert_eq!(judge(&Seen::default(), &KNOWN, 0), 0);
    }
}
