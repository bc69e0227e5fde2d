//! Forgetting sessions whose time is over, and listing those that live: both a few at a time.

use crate::session::{Seconds, SessionIndex, SessionView};
use crate::table::Nat;

/// Sessions whose cache misses overlap.
const BATCH: usize = 32;

impl Nat {
    /// Looks at `budget` places of the table, going on where the last call ended, and forgets the sessions whose
    /// time is over. Returns how many that were. A session lives until the sweep finds it, so the table should be
    /// swept around once in a few seconds.
    pub fn sweep(&mut self, now: Seconds, budget: usize) -> usize {
        let mut left = budget.min(self.used as usize);
        let mut forgotten = 0;
        while left > 0 {
            if self.sweep_at >= self.used {
                self.sweep_at = 0;
            }
            let count = left.min(BATCH).min((self.used - self.sweep_at) as usize);
            forgotten += self.sweep_batch(now, count);
            self.sweep_at += count as u32;
            left -= count;
        }
        forgotten
    }

    fn sweep_batch(&mut self, now: Seconds, count: usize) -> usize {
        let mut due = [(0, 0); BATCH];
        let mut found = 0;
        let from = self.sweep_at as usize;
        for (at, session) in self.sessions[from..from + count].iter().enumerate() {
            if session.is_live() && session.expiry.is_due(now) {
                due[found] = (0, (from + at) as u32);
                found += 1;
            }
        }
        for (hash, at) in &mut due[..found] {
            *hash = self.hash(&self.sessions[*at as usize].key());
            self.prefetch(*hash);
            if let Some((_, slot)) = self.space_and_slot(*at) {
                self.prefetch_reverse(slot);
            }
        }
        for (hash, at) in &due[..found] {
            self.remove(*hash, *at);
        }
        found
    }

    /// Shows the live sessions among `count` places of the table from `from` on. Returns where to go on, or `None`
    /// at the end. Sessions made or forgotten between two calls may be missed, but none is shown twice.
    pub fn list(&self, from: u32, count: usize, mut show: impl FnMut(SessionView)) -> Option<u32> {
        let end = (from as usize).saturating_add(count).min(self.used as usize) as u32;
        (from..end).filter_map(|at| self.session(SessionIndex(at))).for_each(&mut show);
        (end < self.used && end > from).then_some(end)
    }
}
