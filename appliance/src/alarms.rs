//! What streams say of their paths and senders, as log lines: a path that has silently stopped to contribute, and one that
//! does so again; a sender whose numbers step ahead. Of a path there is a line for each change, and it changes once in a
//! period of the latent error test at most; of steps there is one line a second.

use overlay::topology::PathId;
use packet::BufPool;

use crate::core::{Core, Counters};

/// Between two looks, ns: shorter than the shortest period of the latent error test, or a silence could pass unseen.
const LOOK_NS: u64 = 50_000_000;
/// Between two lines about steps, ns.
const JUMPS_NS: u64 = 1_000_000_000;

/// What was told last.
#[derive(Default)]
pub struct Alarms {
    /// Streams in which a path is silent, by the path's slot.
    silent: Vec<u64>,
    /// Streams of which a path that never came is silent.
    nameless: u64,
    jumps: u64,
    jumps_told_ns: u64,
    looked_ns: u64,
}

impl Alarms {
    fn look(&mut self, now_ns: u64, paths: &[PathId], counters: &[Counters]) {
        if now_ns.saturating_sub(self.looked_ns) < LOOK_NS {
            return;
        }
        self.looked_ns = now_ns;
        self.silent.resize(paths.len().max(self.silent.len()), 0);
        let mut named = 0;
        for ((slot, path), before) in paths.iter().enumerate().zip(&mut self.silent) {
            let silent = |worker: &Counters| worker.path.paths.get(slot).map_or(0, |path| path.silent.get());
            let now: u64 = counters.iter().map(silent).sum();
            match (core::mem::replace(before, now), now) {
                (0, 1..) => tracing::warn!(
                    "path {} brings nothing to {now} streams that it should, while other paths do",
                    path.0
                ),
                (1.., 0) => tracing::info!("path {} brings its copies again, or is not to", path.0),
                _ => {}
            }
            named += now;
        }
        let sum = |of: fn(&Counters) -> u64| counters.iter().map(of).sum::<u64>();
        let latent = sum(|worker| worker.path.roles.latent.get());
        let nameless = if named == 0 { latent } else { 0 };
        match (core::mem::replace(&mut self.nameless, nameless), nameless) {
            (0, 1..) => tracing::warn!("a path that never came owes its copies of {nameless} streams"),
            (1.., 0) => tracing::info!("no path that never came owes copies any more"),
            _ => {}
        }
        if now_ns.saturating_sub(self.jumps_told_ns) < JUMPS_NS {
            return;
        }
        self.jumps_told_ns = now_ns;
        let jumps = sum(|worker| worker.path.roles.jumps.get());
        let new = jumps - core::mem::replace(&mut self.jumps, jumps);
        if new > 0 {
            let last = counters.iter().map(|worker| worker.path.roles.jumped.get()).max().unwrap_or(0);
            let (node, stream) = (last >> 16, last & 0xffff);
            tracing::warn!(
                "{new} times a sealed stream's numbers stepped far ahead: node {node}, stream {stream}"
            );
        }
    }
}

impl<P: BufPool> Core<P> {
    /// Tells what the workers have found since the last time.
    pub(crate) fn look_for_alarms(&mut self, now_ns: u64) {
        self.alarms.look(now_ns, &self.tables.registry.paths, &self.counters);
    }
}
