//! Numbers that outlive a snapshot.

use crate::way_counters::WAYS_MAX;
use overlay::topology::{NodeId, PathId};
use packet::Addr;

/// Numbers given out to services, origins, paths and nodes that streams go to, in the order of their first
/// appearance. An entry keeps its number for as long as the process lives, so that sessions, sequence counters and
/// per-path counters stay right across reloads.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// (Virtual IP, protocol).
    pub services: Vec<(Addr, u8)>,
    /// (Address, port) of origins; port 0 stands for the service's own.
    pub origins: Vec<(Addr, u16)>,
    /// Paths.
    pub paths: Vec<PathId>,
    /// Nodes that this node sends streams to.
    pub destinations: Vec<NodeId>,
    /// Paths to them: what copies are numbered by.
    pub ways: Vec<(PathId, NodeId)>,
    /// Paths from nodes whose streams end here.
    pub incoming: Vec<Incoming>,
}

/// What a node puts on a path that ends here, worker by worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Incoming {
    /// The path.
    pub path: PathId,
    /// The sender.
    pub source: NodeId,
    /// The number of its worker 0 among all [ways](crate::WorkerCounters::ways); the others follow.
    pub first: u32,
    /// Workers.
    pub workers: u16,
}

impl Registry {
    /// The number of a path to a node, given out now if it has none yet.
    pub(super) fn way(&mut self, path: PathId, destination: NodeId) -> u32 {
        let entry = (path, destination);
        let found = self.ways.iter().position(|known| *known == entry);
        found.unwrap_or_else(|| {
            self.ways.push(entry);
            self.ways.len() - 1
        }) as u32
    }

    /// The number of what worker 0 of a node puts on a path, given out now if there is none for so many workers; `None`
    /// where no numbers are left.
    pub(super) fn incoming(&mut self, path: PathId, source: NodeId, workers: u16) -> Option<u32> {
        let known = |known: &&Incoming| (known.path, known.source) == (path, source);
        if let Some(known) = self.incoming.iter().rev().find(known).filter(|known| known.workers >= workers) {
            return Some(known.first);
        }
        let first = self.incoming.last().map_or(0, |last| last.first + u32::from(last.workers));
        let fits = first as usize + usize::from(workers) <= WAYS_MAX;
        fits.then(|| {
            self.incoming.push(Incoming { path, source, first, workers });
            first
        })
    }
}

/// The number of `entry`, given out now if it has none yet.
pub(super) fn number<T: PartialEq>(entries: &mut Vec<T>, entry: T) -> u16 {
    let found = entries.iter().position(|known| *known == entry);
    found.unwrap_or_else(|| {
        entries.push(entry);
        entries.len() - 1
    }) as u16
}
