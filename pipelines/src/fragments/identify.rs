//! Identifications of packets that leave with an address that several clients share, as fragments or such as a router may cut:
//! clients choose theirs without knowing of each other, and RFC 6864 sections 4.3 and 5.3 have them differ.

/// Pairs of ends that have a number of their own; others share one.
const PAIRS: usize = 1024;

/// One worker's identifications: every second one is for fragments, the others are for whole packets.
#[derive(Debug)]
pub struct Identifications {
    /// Which of its identifications for fragments comes next.
    next: u32,
    /// The same for whole packets, by their ends: what one pair uses is not used up by others.
    whole: Box<[u16; PAIRS]>,
    worker: u16,
    workers: u16,
}

impl Identifications {
    /// Each worker gives out identifications of its own.
    pub fn new(seed: u64, worker: u16, workers: u16) -> Identifications {
        let workers = workers.max(1);
        let mixed = |pair: usize| (seed.wrapping_mul(pair as u64 * 2 + 1) >> 40) as u16;
        let whole = Box::new(core::array::from_fn(mixed));
        Identifications { next: (seed >> 32) as u32, whole, worker: worker % workers, workers }
    }

    /// How many of each kind this worker has among 16 bits.
    fn turn(&self) -> u32 {
        (1 << 15) / self.workers as u32
    }

    fn numbered(&self, number: u32, whole: bool) -> u32 {
        (number % self.turn() * 2 + whole as u32) * self.workers as u32 + self.worker as u32
    }

    /// Another one for fragments. Its low 16 bits, which IPv4 has room for, come again only after all others of this worker.
    pub fn take(&mut self) -> u32 {
        let (low, high) = (self.numbered(self.next, false), (self.next / self.turn()) << 16);
        self.next = self.next.wrapping_add(1);
        high | low
    }

    /// Another one for a whole packet between these ends. It comes again between them only after all others of this worker.
    pub fn take_whole(&mut self, pair: usize) -> u16 {
        let turn = self.turn();
        let next = &mut self.whole[pair % PAIRS];
        let number = u32::from(*next) % turn;
        *next = (number + 1) as u16;
        self.numbered(number, true) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn identifications_are_each_workers_own_and_come_again_only_after_all_others() {
        let mut seen = HashSet::new();
        for worker in 0..3 {
            let mut identifications = Identifications::new(0xffff_1234 << 32, worker, 3);
            for _ in 0..10_922 {
                assert!(seen.insert(identifications.take() as u16));
                assert!(seen.insert(identifications.take_whole(7)));
            }
            identifications.take_whole(8);
        }
        let mut identifications = Identifications::new(5, 1, 2);
        let wide: HashSet<u32> = (0..200_000).map(|_| identifications.take()).collect();
        assert_eq!(wide.len(), 200_000);
        // 64 workers, of which each has few: they come round without a gap in between.
        let mut few = Identifications::new(9, 63, 64);
        let round: Vec<u16> = (0..1024).map(|_| few.take_whole(1)).collect();
        assert_eq!(round[..512], round[512..]);
    }
}
