//! Numbers that outlive a snapshot.

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
}

/// The number of `entry`, given out now if it has none yet.
pub(super) fn number<T: PartialEq>(entries: &mut Vec<T>, entry: T) -> u16 {
    let found = entries.iter().position(|known| *known == entry);
    found.unwrap_or_else(|| {
        entries.push(entry);
        entries.len() - 1
    }) as u16
}
