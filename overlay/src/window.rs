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

/// A window over a ring of 64-bit words that lives in its caller's memory; see [`words_for`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// The highest sequence number that passed, plus one; 0 before the first.
    next: u64,
}

/// Words of the ring for a window of `size` sequence numbers, a multiple of 64. One word more than the window
/// needs, since the newest word is only partly filled; a power of two, so that a place is found by a mask.
pub const fn words_for(size: usize) -> usize {
    (size.div_ceil(64) + 1).next_power_of_two()
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

    /// Remembers a sequence number that [`Window::look`] let pass.
    #[inline(always)]
    pub fn mark(&mut self, ring: &mut [u64], sequence: u64) {
        if sequence >= self.next {
            self.advance(ring, sequence);
        }
        ring[place(ring, sequence)] |= 1 << (sequence % 64);
    }

    /// Moves the window's front to `sequence`, clearing the words that it enters.
    #[inline(always)]
    fn advance(&mut self, ring: &mut [u64], sequence: u64) {
        let front = self.next.wrapping_sub(1) / 64;
        let target = sequence / 64;
        if self.next == 0 || target - front >= ring.len() as u64 {
            ring.fill(0);
        } else {
            for word in front + 1..=target {
                ring[word as usize & (ring.len() - 1)] = 0;
            }
        }
        // The highest number of all has no successor: the window then stays one short, and that number alone
        // could pass again. A sender re-keys long before (see the protocol).
        self.next = sequence.saturating_add(1);
    }

    /// The highest sequence number that passed.
    pub fn highest(&self) -> Option<u64> {
        self.next.checked_sub(1)
    }
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
