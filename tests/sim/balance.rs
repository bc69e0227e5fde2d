//! Every buffer is found again: what a worker was given, plus the copies that it made, equals what it sent, punted,
//! handed over, dropped and keeps waiting; and every copy that reached its stream's worker passed, or was eliminated, or was rogue.

use overlay::topology::Topology;
use overlay::wire::{HOP_LIMIT_DEFAULT, TYPE_PARITY};
use packet::{Counter, Reason};
use pipelines::{Tables, WorkerCounters};
use std::collections::{BTreeMap, BTreeSet};

/// What went into and came out of one worker's data path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Frames given: received, or handed over by other workers.
    pub given: u64,
    /// Frames to transmit.
    pub transmitted: u64,
    /// Frames for the control thread.
    pub punted: u64,
    /// Frames for other workers.
    pub handed: u64,
}

impl Tally {
    /// Checks that nothing is unaccounted for.
    pub(super) fn check(&self, counters: &WorkerCounters, ordering_held: usize, who: &str) {
        let into = self.given + counters.roles.copies_made.get();
        let waiting = counters.roles.fragments_held.get() + counters.roles.connections_held.get();
        let waiting = waiting + ordering_held as u64;
        let out = self.transmitted + self.punted + self.handed + counters.drops_total() + waiting;
        assert_eq!(into, out, "{who}: buffers in and out: {self:?}, drops {:?}", drops(counters));
    }
}

/// What was dropped, by reason.
pub(super) fn drops(counters: &WorkerCounters) -> BTreeMap<Reason, u64> {
    let counted = Reason::ALL.iter().map(|reason| (*reason, counters.drops[reason.index()].get()));
    counted.filter(|(_, count)| *count > 0).collect()
}

/// A copy on the wire, by its header as a sender writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CopyHeader {
    pub source: u16,
    pub destination: u16,
    pub stream: u16,
    pub path: u16,
    pub sequence: u64,
    pub hop_limit: u8,
}

/// Reads a frame's overlay header, if it has one and is laid out as senders do.
pub(super) fn copy_header(frame: &[u8]) -> Option<CopyHeader> {
    let at = if frame.get(12..14)? == [0x81, 0] { 18 } else { 14 };
    let (protocol, udp) = match frame.get(at)? >> 4 {
        4 => (*frame.get(at + 9)?, at + 20),
        _ => (*frame.get(at + 6)?, at + 40),
    };
    if protocol != 17 || frame.get(udp + 2..udp + 4)? != 6081u16.to_be_bytes() {
        return None;
    }
    let header = frame.get(udp + 8..udp + 56)?;
    // A parity packet is no copy of a packet, and no window judges it.
    if frame.get(udp + 56..udp + 59) == Some(&[0xff, 0x50, TYPE_PARITY]) && header[0] > 10 {
        return None;
    }
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    Some(CopyHeader {
        hop_limit: header[14],
        source: word(16),
        destination: word(18),
        stream: word(32),
        path: word(34),
        sequence: u64::from_be_bytes(header[40..48].try_into().ok()?),
    })
}

/// The copies that one worker was given and has to judge, apart from its own counting.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    by_path: BTreeMap<u16, u64>,
    hop_limits: BTreeSet<(u16, u8)>,
    packets: BTreeSet<(u16, u16, u64)>,
}

impl Arrivals {
    pub(super) fn note(&mut self, copy: &CopyHeader) {
        *self.by_path.entry(copy.path).or_default() += 1;
        self.hop_limits.insert((copy.path, copy.hop_limit));
        self.packets.insert((copy.source, copy.stream, copy.sequence));
    }

    /// Checks the worker's counters of each path against what arrived.
    pub(super) fn check(&self, topology: &Topology, tables: &Tables, counters: &WorkerCounters, who: &str) {
        for path in topology.path_sets.iter().flat_map(|set| &set.paths) {
            let left = HOP_LIMIT_DEFAULT - path.via.len() as u8;
            let seen = self.hop_limits.iter().filter(|(id, _)| *id == path.id.0);
            assert!(seen.clone().all(|(_, limit)| *limit == left), "{who}: hop limits on {path:?}: {seen:?}");
        }
        let get = |counter: &Counter| counter.get();
        let (mut passed, mut rogue) = (0, 0);
        for (slot, path) in tables.registry.paths.iter().enumerate() {
            let counted = &counters.paths[slot];
            let judged = get(&counted.passed) + get(&counted.discarded) + get(&counted.rogue);
            let arrived = self.by_path.get(&path.0).copied().unwrap_or(0);
            assert_eq!(judged, arrived, "{who}: copies over path {}: {counted:?}", path.0);
            assert!(get(&counted.out_of_order) <= get(&counted.passed), "{who}: {counted:?}");
            passed += get(&counted.passed);
            rogue += get(&counted.rogue);
        }
        let packets = self.packets.len() as u64;
        let rebuilt = get(&counters.roles.parity_rebuilt);
        assert!(
            passed <= packets && packets <= passed + rogue + rebuilt,
            "{who}: {packets} packets, {passed} passed"
        );
        let dropped = |reason: Reason| counters.drops[reason.index()].get();
        assert_eq!(rogue, dropped(Reason::Rogue), "{who}");
        let discarded: u64 = counters.paths.iter().map(|path| path.discarded.get()).sum();
        assert_eq!(discarded, dropped(Reason::Duplicate), "{who}");
    }
}
