//! Identifications for fragments that leave with an address that several clients share: clients choose theirs without
//! knowing of each other, and RFC 6864 section 4.3 has them differ.

/// One worker's identifications.
#[derive(Debug)]
pub struct Identifications {
    /// Which of its identifications comes next.
    next: u32,
    worker: u16,
    workers: u16,
}

impl Identifications {
    /// Each worker gives out identifications of its own.
    pub fn new(seed: u64, worker: u16, workers: u16) -> Identifications {
        let workers = workers.max(1);
        Identifications { next: (seed >> 32) as u32, worker: worker % workers, workers }
    }

    /// Another one. Its low 16 bits, which IPv4 has room for, come again only after all others of this worker.
    pub fn take(&mut self) -> u32 {
        let turn = (1 << 16) / self.workers as u32;
        let low = self.next % turn * self.workers as u32 + self.worker as u32;
        let high = (self.next / turn) << 16;
        self.next = self.next.wrapping_add(1);
        high | low
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
            for _ in 0..21_845 {
                assert!(seen.insert(identifications.take() as u16));
            }
        }
        let mut identifications = Identifications::new(5, 1, 2);
        let wide: HashSet<u32> = (0..200_000).map(|_| identifications.take()).collect();
        assert_eq!(wide.len(), 200_000);
    }
}
