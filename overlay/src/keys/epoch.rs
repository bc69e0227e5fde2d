//! An epoch's number, and the four bits by which packets name it.

/// The number of a node's epoch: the Unix milliseconds at which it was made × 16, plus its name.
///
/// Numbers of one node only grow, over restarts too, as long as its clock does not go back further than it was up;
/// the clock's part gives that without storing anything. The name is one of 1 to 15, each the one after the name
/// before, so that neighbours in time never share one. 0 is no name: a packet whose epoch field is 0 is not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(pub u64);

/// How many names there are.
const NAMES: u64 = 15;

impl Epoch {
    /// The first epoch of a node's life. It gets a random name, so that it hardly meets one of the life before.
    pub const fn first(unix_ms: u64, random: u8) -> Epoch {
        Epoch(unix_ms << 4 | (1 + random as u64 % NAMES))
    }

    /// The epoch after this one.
    pub const fn next(self, unix_ms: u64) -> Epoch {
        let behind = (self.0 >> 4) + 1;
        let at = if unix_ms > behind { unix_ms } else { behind };
        Epoch(at << 4 | (1 + self.name() as u64 % NAMES))
    }

    /// What packets call it: 1 to 15; 0 for a number that is none.
    pub const fn name(self) -> u8 {
        (self.0 & 0xf) as u8
    }
}

/// How a packet names the pair of keys that it is sealed with: the sender's epoch in the high half, the receiver's
/// in the low one.
pub const fn pair_name(sender: Epoch, receiver: Epoch) -> u8 {
    sender.name() << 4 | receiver.name()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_grow_and_names_go_round_without_zero() {
        let mut epoch = Epoch::first(1000, 255);
        for step in 0..100 {
            // The clock stands still, or goes back.
            let next = epoch.next(1000 - step);
            assert!(next > epoch);
            assert!((1..=15).contains(&next.name()));
            assert_eq!(next.name() % 15, (epoch.name() + 1) % 15);
            epoch = next;
        }
        assert_eq!(pair_name(Epoch(0x123), Epoch(0x45f)), 0x3f);
        assert!((0..=255).all(|random| (1..=15).contains(&Epoch::first(7, random).name())));
    }
}
