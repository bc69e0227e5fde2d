//! The elimination window of one stream: which sequence numbers have passed (IEEE 802.1CB section 7.4.3.4,
//! vector recovery; the ring of words is that of RFC 6479).
//!
//! Looking and marking are two steps, so that a packet can be authenticated in between: nothing forged ever moves
//! a window.

/// What the window says about a sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The first copy, in order: newer than all before.
    Pass,
    /// The first copy, but one with a higher number passed before it.
    PassOutOfOrder,
    /// Another copy passed before.
    Discard,
    /// Older than the window reaches: it may have passed, so it must not pass now.
    Rogue,
}

impl Verdict {
    /// Whether the packet goes on.
    #[inline(always)]
    pub fn passes(self) -> bool {
        matches!(self, Verdict::Pass | Verdict::PassOutOfOrder)
    }
}

/// A window over a ring of bits that lives in its caller's memory; see [`words_for`]. Sequence number *s* has bit
/// *s* modulo the ring's length, so a bit is freed by the number that takes it over, and a bit found at 0 then is a
/// number that never passed: it is lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The highest sequence number that passed, plus one; 0 before the first, and then the ring is all 0.
    next: u64,
    /// The lowest sequence number that passed since the beginning: what is below was perhaps never sent.
    first: u64,
}

/// A step ahead by so many numbers is a sender that started anew, not packets that were lost: numbers start at
/// milliseconds × 2^20, and no sender comes back within a second; see the protocol.
pub const RESTART_STEP: u64 = 1 << 30;

/// Words of the ring for a window of `size` sequence numbers: a power of two, so that a place is found by a mask.
pub const fn words_for(size: usize) -> usize {
    size.div_ceil(64).next_power_of_two()
}

impl Window {
    /// Judges a sequence number without remembering it. `size` is the window's, `ring` the stream's words.
    #[inline(always)]
    pub fn look(&self, ring: &[u64], size: u64, sequence: u64) -> Verdict {
        if sequence >= self.next {
            return Verdict::Pass;
        }
        if self.next - 1 - sequence >= size {
            return Verdict::Rogue;
        }
        if ring[place(ring, sequence)] >> (sequence % 64) & 1 == 1 {
            Verdict::Discard
        } else {
            Verdict::PassOutOfOrder
        }
    }

    /// Remembers a sequence number that [`Window::look`] let pass; says how many older ones left without having
    /// passed.
    #[inline(always)]
    pub fn mark(&mut self, ring: &mut [u64], sequence: u64) -> u64 {
        let mut lost = 0;
        if sequence == self.next && sequence != 0 {
            // The highest number of all has no successor: the window then stays one short, and that number alone
            // could pass again. A sender re-keys long before (see the protocol).
            self.next = sequence.saturating_add(1);
            let oldest = self.first.saturating_add(bits(ring));
            let word = &mut ring[place(ring, sequence)];
            let bit = 1 << (sequence % 64);
            let was_free = *word & bit == 0;
            *word |= bit;
            return u64::from(was_free & (sequence >= oldest));
        } else if sequence > self.next || self.next == 0 {
            lost = self.advance(ring, sequence);
        } else if sequence < self.first {
            self.first = sequence;
        }
        ring[place(ring, sequence)] |= 1 << (sequence % 64);
        lost
    }

    /// Moves the window's front to `sequence`, over numbers that have not come yet.
    #[inline(never)]
    fn advance(&mut self, ring: &mut [u64], sequence: u64) -> u64 {
        let next = core::mem::replace(&mut self.next, sequence.saturating_add(1));
        if next == 0 {
            self.first = sequence;
            return 0;
        }
        let step = sequence - next;
        if step >= bits(ring) {
            let held = self.missing(ring, next);
            ring.fill(0);
            if step >= RESTART_STEP {
                self.first = sequence;
                return held;
            }
            // All between have left with the rest, but for those that are still within reach.
            return held + (step - bits(ring) + 1);
        }
        // Every number from `next` to `sequence` takes its bit over from one that is a ring older.
        let counted = self.first.saturating_add(bits(ring));
        let (mut lost, mut at) = (0, next);
        loop {
            let end = (at | 63).min(sequence);
            let mask = u64::MAX >> (63 - (end - at)) << (at % 64);
            let known = match counted {
                counted if counted <= at => u64::MAX,
                counted if counted > end => 0,
                counted => u64::MAX << (counted % 64),
            };
            let word = &mut ring[place(ring, at)];
            lost += (!*word & mask & known).count_ones() as u64;
            *word &= !mask;
            if end == sequence {
                return lost;
            }
            at = end + 1;
        }
    }

    /// Begins anew: any sequence number may pass next. Says how many of those before had not passed.
    pub fn reset(&mut self, ring: &mut [u64]) -> u64 {
        let lost = self.missing(ring, self.next);
        ring.fill(0);
        *self = Window::default();
        lost
    }

    /// Numbers in the ring that have not passed.
    fn missing(&self, ring: &[u64], next: u64) -> u64 {
        let mut at = self.first.max(next.saturating_sub(bits(ring)));
        let mut missing = 0;
        while at < next {
            let end = (at | 63).min(next - 1);
            let mask = u64::MAX >> (63 - (end - at)) << (at % 64);
            missing += (!ring[place(ring, at)] & mask).count_ones() as u64;
            at = end + 1;
        }
        missing
    }

    /// How far a sequence number is ahead of the one that is next; 0 before the first and for what is behind.
    #[inline(always)]
    pub fn step(&self, sequence: u64) -> u64 {
        if self.next == 0 { 0 } else { sequence.saturating_sub(self.next) }
    }

    /// The highest sequence number that passed.
    pub fn highest(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }
}

/// Numbers that a ring has room for.
#[inline(always)]
fn bits(ring: &[u64]) -> u64 {
    ring.len() as u64 * 64
}

/// The word of a sequence number. `ring.len()` is a power of two.
#[inline(always)]
fn place(ring: &[u64], sequence: u64) -> usize {
    (sequence / 64) as usize & (ring.len() - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    struct Model {
        window: Window,
        ring: Vec<u64>,
        size: u64,
    }

    impl Model {
        fn new(size: u64) -> Model {
            Model { window: Window::default(), ring: vec![0; words_for(size as usize)], size }
        }

        fn offer(&mut self, sequence: u64) -> Verdict {
            let verdict = self.window.look(&self.ring, self.size, sequence);
            if verdict.passes() {
                self.window.mark(&mut self.ring, sequence);
            }
            verdict
        }
    }

    #[test]
    fn the_second_copy_is_discarded_and_the_window_ends_where_it_says() {
        let mut model = Model::new(64);
        assert_eq!(model.offer(1000), Verdict::Pass);
        assert_eq!(model.offer(1000), Verdict::Discard);
        assert_eq!(model.offer(937), Verdict::PassOutOfOrder);
        assert_eq!(model.offer(937), Verdict::Discard);
        assert_eq!(model.offer(936), Verdict::Rogue);
        assert_eq!(model.offer(1001), Verdict::Pass);
        assert_eq!(model.offer(937), Verdict::Rogue);
        assert_eq!(model.offer(938), Verdict::PassOutOfOrder);
        assert_eq!(model.offer(1 << 60), Verdict::Pass);
        assert_eq!(model.offer((1 << 60) - 63), Verdict::PassOutOfOrder);
        assert_eq!(model.window.highest(), Some(1 << 60));
    }

    #[test]
    fn looking_changes_nothing() {
        let mut model = Model::new(128);
        model.offer(7);
        let before = (model.window, model.ring.clone());
        assert_eq!(model.window.look(&model.ring, 128, u64::MAX), Verdict::Pass);
        assert_eq!((model.window, model.ring), before);
    }

    proptest! {
        #[test]
        fn every_number_is_passed_or_lost_or_held(
            size in 1u64..6,
            start in prop_oneof![Just(0u64), 0..u64::MAX / 2],
            steps in proptest::collection::vec(prop_oneof![9 => -300i64..80, 1 => 0i64..2_000], 1..600),
        ) {
            let mut model = Model::new(size * 64);
            let (mut passed, mut lost) = (HashSet::new(), 0);
            let (mut highest, mut lowest) = (start, u64::MAX);
            for step in steps {
                let sequence = highest.saturating_add_signed(step);
                if model.window.look(&model.ring, model.size, sequence).passes() {
                    lost += model.window.mark(&mut model.ring, sequence);
                    passed.insert(sequence);
                    highest = highest.max(sequence);
                    lowest = lowest.min(sequence);
                }
            }
            lost += model.window.reset(&mut model.ring);
            let never = if passed.is_empty() { 0 } else { highest - lowest + 1 - passed.len() as u64 };
            prop_assert!(lost <= never && model.ring.iter().all(|word| *word == 0));
            // What came below the first after that had left the ring may be missed, nothing else.
            if passed.iter().all(|sequence| *sequence >= start) && lowest == start {
                prop_assert_eq!(lost, never);
            }
        }

        #[test]
        fn nothing_passes_twice_and_nothing_within_the_window_is_lost(
            size in 1u64..6,
            start in prop_oneof![Just(0u64), 0..u64::MAX / 2],
            steps in proptest::collection::vec(prop_oneof![9 => -400i64..200, 1 => 0i64..100_000], 1..600),
        ) {
            let size = size * 64;
            let mut model = Model::new(size);
            let mut passed = HashSet::new();
            let mut highest = start;
            for step in steps {
                let sequence = highest.saturating_add_signed(step);
                let verdict = model.offer(sequence);
                if verdict.passes() {
                    prop_assert!(passed.insert(sequence), "{sequence} passed twice");
                    highest = highest.max(sequence);
                } else if verdict == Verdict::Discard {
                    prop_assert!(passed.contains(&sequence));
                } else {
                    let newest = model.window.highest().unwrap();
                    prop_assert!(newest - sequence >= size);
                }
            }
        }
    }
}
