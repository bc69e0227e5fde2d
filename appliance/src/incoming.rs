//! Loss of data on the paths that end here, put together from what the workers count.

use ctl::Incoming;
use overlay::path_loss::{Counts, NOTE_NS, Tally};
use overlay::topology::{NodeId, PathId};
use packet::BufPool;

use crate::core::{Core, Counters};

/// One tally for each worker of each node at the other end of each path, by their numbers in the tables' registry.
#[derive(Default)]
pub struct Tallies {
    ways: Vec<Tally>,
    noted_ns: u64,
}

impl Tallies {
    /// Reads the workers' counters, when it is time to, of so many ways.
    pub fn note(&mut self, now_ns: u64, ways: usize, counters: &[Counters]) {
        if now_ns < self.due_ns() {
            return;
        }
        self.noted_ns = now_ns;
        self.ways.resize_with(ways.max(self.ways.len()), Tally::default);
        for (number, tally) in self.ways.iter_mut().enumerate() {
            let readings = counters.iter().filter_map(|worker| Some(worker.path.ways.get(number)?.read()));
            tally.note(now_ns, readings);
        }
    }

    /// When it is time to read again, ns; `None` where nothing is to be read.
    pub fn timeout(&self) -> Option<u64> {
        (!self.ways.is_empty()).then(|| self.due_ns())
    }

    fn due_ns(&self) -> u64 {
        self.noted_ns.saturating_add(NOTE_NS)
    }
}

impl<P: BufPool> Core<P> {
    /// Reads what the workers have counted of data that ends here.
    pub(crate) fn note_incoming(&mut self, now_ns: u64) {
        let last = self.tables.registry.incoming.last();
        let ways = last.map_or(0, |last| last.first as usize + usize::from(last.workers));
        self.tallies.note(now_ns, ways, &self.counters);
    }

    /// What came over a path, from each node at its other end that has sent something.
    pub(crate) fn incoming(&self, path: PathId) -> Vec<Incoming> {
        let mut nodes: Vec<(NodeId, Counts, Counts)> = Vec::new();
        for incoming in self.tables.registry.incoming.iter().filter(|incoming| incoming.path == path) {
            let first = incoming.first as usize;
            for tally in self.tallies.ways.iter().skip(first).take(incoming.workers.into()) {
                let (all, recent) = (tally.counts(), tally.recent());
                match nodes.iter_mut().find(|(node, ..)| *node == incoming.source) {
                    Some(known) => (known.1, known.2) = (known.1 + all, known.2 + recent),
                    None => nodes.push((incoming.source, all, recent)),
                }
            }
        }
        nodes.retain(|(_, all, _)| all.received > 0);
        let show = |(node, all, recent): (NodeId, Counts, Counts)| Incoming {
            node: self.node_name(node),
            received: all.received,
            lost: all.lost,
            loss_percent: recent.loss().map(|share| share * 100.0),
        };
        nodes.into_iter().map(show).collect()
    }
}
