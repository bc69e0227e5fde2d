//! What the sweep knows of a stream: long-term counts, when it last passed something, and which of its paths are silent.

use super::latent::{self, Seen, Silent, UNKNOWN};
use super::shares::{NEAR, PathCounts, SHARES, Share};
use super::{Counts, Elimination, Stream, StreamView};

/// How streams are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Watching {
    /// An unsealed stream that has passed nothing for so long begins anew, ns (frerSeqRcvyResetMSec). Longer than one path
    /// can lead another by.
    pub reset_ns: u64,
    /// How long a latent error test takes, ns (frerSeqRcvyLatentErrorPeriod).
    pub latent_period_ns: u64,
    /// More copies than this must be owed in it (frerSeqRcvyLatentErrorDifference).
    pub latent_difference: u64,
    /// The largest step of a sealed stream's sequence numbers that is not told.
    pub jump: u64,
}

impl Default for Watching {
    fn default() -> Watching {
        Watching {
            reset_ns: 2_000_000_000,
            latent_period_ns: 2_000_000_000,
            latent_difference: 100,
            jump: 1 << 20,
        }
    }
}

/// A test goes on for so many periods at most, while too little comes for a verdict.
const PERIODS_MAX: u64 = 15;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Watch {
    paths: [PathCounts; SHARES],
    pub(super) lost: u64,
    pub(super) resets: u64,
    /// Packets passed when the sweep came by last, and since when it is that many, ns.
    passed: u64,
    since_ns: u64,
    /// The test under way: since when, ns, and what has come since.
    test_ns: u64,
    seen: Seen,
    /// When each path last contributed, ns; 0 for never.
    heard_ns: [u64; SHARES],
    silent: Silent,
}

impl Watch {
    /// Takes what was counted since the last time; says how many packets were lost.
    fn fold(&mut self, now_ns: u64, stream: &mut Stream, far: &mut [Share; SHARES - NEAR]) -> u64 {
        self.seen.owed += u64::from(core::mem::take(&mut stream.owed));
        for (at, share) in stream.near.iter_mut().chain(far).enumerate() {
            let counts = share.take();
            let contributed = counts.passed + counts.discarded;
            self.paths[at] += counts;
            self.seen.passed += counts.passed;
            self.seen.contributed[at] += contributed;
            if contributed > 0 {
                self.heard_ns[at] = now_ns.max(1);
            }
        }
        let lost = u64::from(core::mem::take(&mut stream.lost));
        self.lost += lost;
        lost
    }

    /// Ends the test if it is time, and gives the paths that are silent now.
    fn test(&mut self, now_ns: u64, watching: &Watching) -> Silent {
        let passed_ns = now_ns.saturating_sub(self.test_ns);
        let decided = self.seen.owed > watching.latent_difference;
        if self.test_ns == 0 {
            (self.test_ns, self.seen) = (now_ns.max(1), Seen::default());
        } else if passed_ns >= watching.latent_period_ns
            && (decided || passed_ns >= watching.latent_period_ns.saturating_mul(PERIODS_MAX))
        {
            // A stream that is quiet says nothing about its paths.
            if self.seen.passed > 0 {
                self.silent = latent::judge(&self.seen, &self.heard_ns, watching.latent_difference);
            }
            (self.test_ns, self.seen) = (now_ns, Seen::default());
        }
        self.silent
    }

    pub(super) fn view(&self, stream: &Stream, far: &[Share; SHARES - NEAR]) -> StreamView {
        let mut counts = Counts { lost: self.lost + u64::from(stream.lost), ..Counts::default() };
        let mut paths = [None; SHARES];
        for (at, share) in stream.near.iter().chain(far).enumerate().filter(|(_, share)| share.is_taken()) {
            let mut own = self.paths[at];
            own += share.counts();
            counts.passed += own.passed;
            counts.out_of_order += own.out_of_order;
            counts.discarded += own.discarded;
            counts.rogue += own.rogue;
            paths[at] = Some((share.path, own, self.silent >> at & 1 == 1));
        }
        StreamView {
            key: stream.key,
            highest: stream.window.highest(),
            counts,
            resets: self.resets,
            latent: self.silent != 0,
            paths,
        }
    }
}

impl Elimination {
    /// Adds up what was counted, finds latent errors, and has streams begin anew that passed nothing for
    /// [`Watching::reset_ns`], so that a sender whose clock was set back is heard again. Looks at so many streams, and ends
    /// with the first that begins anew: clearing a window takes a while. A sealed stream keeps its window: what was
    /// recorded off the wire must never pass again, and its sender starts anew with keys of its own.
    ///
    /// `told` gets each path that fell silent in a stream, or speaks again.
    pub fn sweep(&mut self, now_ns: u64, streams: usize, mut told: impl FnMut(u16, bool)) {
        for _ in 0..streams.min(self.streams.len()) {
            let at = if self.swept < self.streams.len() { self.swept } else { 0 };
            self.swept = at + 1;
            let (Some(stream), Some(far), Some(watch)) =
                (self.streams.get_mut(at), self.far.get_mut(at), self.watches.get_mut(at))
            else {
                return;
            };
            self.totals.lost += watch.fold(now_ns, stream, far);
            let before = watch.silent;
            let silent = watch.test(now_ns, &self.watching);
            if silent != before {
                for (at, share) in stream.near.iter().chain(far.iter()).enumerate() {
                    if (silent ^ before) >> at & 1 == 1 {
                        told(share.path, silent >> at & 1 == 1);
                    }
                }
                self.totals.latent += u64::from(before == 0);
                self.totals.latent -= u64::from(silent == 0);
                self.totals.latent_errors += u64::from((silent & !before).count_ones());
            }
            let passed = watch.paths.iter().map(|path| path.passed).sum();
            if passed != watch.passed || watch.since_ns == 0 {
                (watch.passed, watch.since_ns) = (passed, now_ns.max(1));
                continue;
            }
            let idle = now_ns.saturating_sub(watch.since_ns) >= self.watching.reset_ns;
            if !idle || stream.key.sealed || stream.window.highest().is_none() {
                continue;
            }
            if let Some(ring) = self.rings.get_mut(at * self.words..(at + 1) * self.words) {
                let lost = stream.window.reset(ring);
                watch.lost += lost;
                watch.resets += 1;
                self.totals.lost += lost;
                self.totals.resets += 1;
                return;
            }
        }
    }
}

const _: () = assert!(UNKNOWN == 1 << SHARES && SHARES < 8);
