//! What has come over each path from senders whose redundancy is adaptive: counted every 20 ms, and told to them.
//!
//! The same counts as those of [`crate::way_counters`] for operators, only read more often. A report goes back over one path in turn; what
//! tells of new losses, over all of them: one may be what loses.

use overlay::adaptive::{Entry, PATHS_MAX, REPORT_MS, Report};
use overlay::path_loss::{Reading, Tally};
use overlay::protocol::Protocol;
use overlay::topology::{IpVersion, NodeId, PathId, Topology};

use crate::tables::Incoming;

/// How often counts are read, ns.
const READ_NS: u64 = REPORT_MS * 1_000_000;
/// Readings over which late copies may still come, where some do: 80 ms.
const READINGS: usize = 4;
/// For how long a late copy says that others may be late, ns.
const LATE_NS: u64 = 1_000_000_000;

/// A report, and who is to hear it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// The sender that it tells of its packets.
    pub to: NodeId,
    /// IP version of the underlay.
    pub version: IpVersion,
    /// What has come.
    pub report: Report,
    /// Whether more was lost since the last one.
    pub is_news: bool,
}

struct Way {
    path: PathId,
    first: u32,
    tally: Tally,
    /// Copies that came late so far, and when the last did, ns.
    late: u64,
    late_ns: Option<u64>,
    /// How many were missing at the last readings.
    missing: [u64; READINGS],
    at: usize,
    lost: u64,
}

impl Way {
    fn new(path: PathId, first: u32) -> Way {
        let tally = Tally::default();
        Way { path, first, tally, late: 0, late_ns: None, missing: [0; READINGS], at: 0, lost: 0 }
    }

    /// Where copies come late, as over several nodes of a region, only those are lost that have been missing at some readings; where none
    /// does, what is missing is lost.
    fn note(&mut self, now_ns: u64, readings: impl Iterator<Item = Reading>) {
        let mut late = 0;
        self.tally.note(now_ns, readings.inspect(|reading| late += reading.late));
        if late > self.late {
            (self.late, self.late_ns) = (late, Some(now_ns));
        }
        let missing = self.tally.numbered() - self.tally.counts().received;
        if let Some(place) = self.missing.get_mut(self.at) {
            *place = missing;
        }
        self.at = (self.at + 1) % READINGS;
        let reorders = self.late_ns.is_some_and(|late_ns| now_ns.saturating_sub(late_ns) < LATE_NS);
        let least = self.missing.iter().copied().min().unwrap_or(missing);
        self.lost = self.lost.max(if reorders { least } else { missing });
    }
}

struct Sender {
    node: NodeId,
    version: IpVersion,
    ways: Vec<Way>,
    numbered: u64,
    lost: u64,
}

/// All that is counted for others.
pub struct Receipts {
    life: u32,
    senders: Vec<Sender>,
    due_ns: u64,
}

impl Receipts {
    /// What a topology asks of a node, in this life of it.
    pub fn new(topology: &Topology, node: NodeId, life: u32) -> Receipts {
        let mut receipts = Receipts { life, senders: Vec::new(), due_ns: 0 };
        receipts.reconfigure(topology, node);
        receipts
    }

    /// Takes another topology.
    pub fn reconfigure(&mut self, topology: &Topology, node: NodeId) {
        let mut before = core::mem::take(&mut self.senders);
        for (node, version) in senders(topology, node) {
            let known = before.iter().position(|sender| (sender.node, sender.version) == (node, version));
            let known = known.map(|at| before.swap_remove(at));
            let new = || Sender { node, version, ways: Vec::new(), numbered: 0, lost: 0 };
            self.senders.push(known.unwrap_or_else(new));
        }
        self.due_ns = 0;
    }

    /// Reads the counters, if that is due: `read` gives what each worker has counted of a way. Returns what is to be told.
    pub fn tick<I: Iterator<Item = Reading>>(
        &mut self,
        now_ns: u64,
        incoming: &[Incoming],
        read: impl Fn(u32) -> I,
    ) -> Vec<Told> {
        if now_ns < self.due_ns {
            return Vec::new();
        }
        self.due_ns = now_ns + READ_NS;
        let life = self.life;
        self.senders.iter_mut().filter_map(|sender| sender.tick(now_ns, life, incoming, &read)).collect()
    }

    /// When [`Receipts::tick`] has something to do, ns.
    pub fn timeout(&self) -> Option<u64> {
        (!self.senders.is_empty()).then_some(self.due_ns)
    }
}

impl Sender {
    fn tick<I: Iterator<Item = Reading>>(
        &mut self,
        now_ns: u64,
        life: u32,
        incoming: &[Incoming],
        read: &impl Fn(u32) -> I,
    ) -> Option<Told> {
        let ours = incoming.iter().filter(|one| one.source == self.node);
        for (path, number) in
            ours.flat_map(|one| (0..one.workers).map(|worker| (one.path, one.first + u32::from(worker))))
        {
            let known = self.ways.iter().position(|way| way.first == number);
            let at = known.unwrap_or_else(|| {
                self.ways.push(Way::new(path, number));
                self.ways.len() - 1
            });
            if let Some(way) = self.ways.get_mut(at) {
                way.note(now_ns, read(number));
            }
        }
        let mut sums: Vec<(PathId, u64, u64)> = Vec::new();
        for way in &self.ways {
            let (numbered, received) = (way.tally.numbered(), way.tally.numbered().saturating_sub(way.lost));
            match sums.iter_mut().find(|(path, ..)| *path == way.path) {
                Some((_, n, r)) => (*n, *r) = (*n + numbered, *r + received),
                None => sums.push((way.path, numbered, received)),
            }
        }
        sums.retain(|(_, _, received)| *received > 0);
        sums.truncate(PATHS_MAX);
        let numbered = sums.iter().map(|(_, numbered, _)| numbered).sum();
        let lost = sums.iter().map(|(_, numbered, received)| numbered.saturating_sub(*received)).sum();
        if numbered == self.numbered && lost == self.lost {
            return None;
        }
        let is_news = lost > self.lost;
        (self.numbered, self.lost) = (numbered, lost);
        let entry =
            |(path, numbered, received)| Entry { path, numbered: numbered as u32, received: received as u32 };
        let report = Report { life, entries: sums.into_iter().map(entry).collect() };
        Some(Told { to: self.node, version: self.version, report, is_news })
    }
}

/// The nodes that send a node packets with adaptive redundancy.
fn senders(topology: &Topology, node: NodeId) -> Vec<(NodeId, IpVersion)> {
    let mut found = Vec::new();
    for application in &topology.applications {
        for (sender, towards_gateway) in topology.opposites(node, application) {
            // Its packets go the other way.
            if application.routing.towards(!towards_gateway) == Protocol::Adaptive {
                found.push((sender.id, application.underlay));
            }
        }
    }
    found.sort_unstable_by_key(|(sender, version)| (*sender, *version == IpVersion::V6));
    found.dedup();
    found
}
