//! Forgetting sessions whose time is over, and listing those that live: both a few at a time.

use crate::session::{Expiry, Seconds, SessionIndex, SessionView};
use crate::table::Nat;

/// Sessions whose cache misses overlap.
const BATCH: usize = 32;

impl Nat {
    /// Looks at up to `budget` sessions whose second has come, and forgets those that have had no traffic for too
    /// long. Returns how many that were. What is left over comes with the next call.
    pub fn sweep(&mut self, now: Seconds, budget: usize) -> usize {
        let mut left = budget;
        let mut forgotten = 0;
        let mut batch = [0; BATCH];
        while left > 0 {
            let room = left.min(BATCH);
            let count = self.wheel.take(now, &mut batch[..room]);
            forgotten += self.judge(now, &batch[..count]);
            if count < room {
                break;
            }
            left -= count;
        }
        forgotten
    }

    /// Whether the last [`Nat::sweep`] has left some over.
    pub fn is_behind(&self) -> bool {
        self.wheel.is_behind()
    }

    fn judge(&mut self, now: Seconds, batch: &[u32]) -> usize {
        let mut due = [(0, 0); BATCH];
        let mut found = 0;
        for at in batch {
            let session = &mut self.sessions[*at as usize];
            if session.expiry.is_due(now) {
                match session.expiry.state().after_silence() {
                    Some(state) => session.expiry = Expiry::new(now, self.lifetimes.of(state), state),
                    None => {
                        due[found] = (0, *at);
                        found += 1;
                        continue;
                    }
                }
            }
            self.wheel.look_in(now, self.sessions[*at as usize].expiry.seconds_left(now), *at);
        }
        for (hash, at) in &mut due[..found] {
            let session = &self.sessions[*at as usize];
            *hash = self.hash(&session.key());
            self.prefetch(*hash);
            self.accounts.prefetch(self.hash_address(session.client));
            if let Some((_, slot)) = self.space_and_slot(*at) {
                self.prefetch_reverse(slot);
            }
        }
        for (hash, at) in &due[..found] {
            self.remove(now, *hash, *at);
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
