//! Sums over many traced packets: by path, and by hop of each path.

use super::{Copy, HOPS_MAX, Outcome, PATHS_MAX, Packet};
use crate::topology::{NodeId, PathId};
use hdrhistogram::Histogram;

/// Longest time told apart, ns; longer ones count as this.
const LONGEST_NS: u64 = 10_000_000_000;
/// Significant decimal digits of a percentile: within 6 %, in two kilobytes.
const DIGITS: u8 = 1;

/// Times of the last one to two minutes, ns.
#[derive(Clone, Debug, Default)]
pub struct Spread {
    now: Option<Histogram<u32>>,
    before: Option<Histogram<u32>>,
    /// The least difference of two clocks that times are counted from, in this window and the one before.
    least: [Option<i64>; 2],
}

impl Spread {
    /// Adds a time.
    fn add(&mut self, ns: u64) {
        let made = || Histogram::new_with_bounds(1, LONGEST_NS, DIGITS).ok();
        if let Some(histogram) = &mut self.now {
            histogram.saturating_record(ns.min(LONGEST_NS));
        } else if let Some(mut histogram) = made() {
            histogram.saturating_record(ns.min(LONGEST_NS));
            self.now = Some(histogram);
        }
    }

    /// Adds a difference of two clocks: what it is above the least one.
    fn add_difference(&mut self, ns: i64) {
        let [now, _] = &mut self.least;
        *now = Some(now.map_or(ns, |least| least.min(ns)));
        let least = self.least_ns().unwrap_or(ns);
        self.add(ns.saturating_sub(least).unsigned_abs());
    }

    fn begin_window(&mut self) {
        self.before = self.now.take();
        self.least = [None, self.least[0]];
    }

    /// The least difference of the clocks, ns; it contains how far these are apart, and may be negative.
    pub fn least_ns(&self) -> Option<i64> {
        self.least.iter().flatten().min().copied()
    }

    /// Percentiles 50, 90 and 99, ns, each within 6 %; `None` before anything was seen. Of differences of clocks: what was
    /// above the least.
    pub fn percentiles(&self) -> Option<[u64; 3]> {
        let (first, second) = (self.now.as_ref().or(self.before.as_ref())?, self.before.as_ref());
        let mut all = first.clone();
        if let (Some(before), true) = (second, self.now.is_some()) {
            all.add(before).ok()?;
        }
        Some([0.5, 0.9, 0.99].map(|quantile| all.value_at_quantile(quantile)))
    }
}

/// What was seen of a path, for one application and one source.
#[derive(Clone, Debug)]
pub struct Path {
    pub(super) application: usize,
    /// The sender.
    pub source: NodeId,
    /// The path.
    pub path: PathId,
    /// Packets whose first copy came over it.
    pub won: u64,
    /// Copies that came over it after another.
    pub lost: u64,
    /// Copies that came too late for that to be told.
    pub late: u64,
    /// How much earlier its winners came than the second copy.
    pub margin: Spread,
    /// From the sender to here.
    pub delay: Spread,
}

/// What was seen of a node of a path and of the link before it; of the receiver, the link alone.
#[derive(Clone, Debug)]
pub struct Hop {
    pub(super) application: usize,
    /// The sender.
    pub source: NodeId,
    /// The path.
    pub path: PathId,
    /// Its place after the sender, from 1.
    pub place: u8,
    /// The node before the link.
    pub ingress: NodeId,
    /// The node; `None` for the receiver.
    pub node: Option<NodeId>,
    /// Copies that had a record of it.
    pub copies: u64,
    /// Over the link.
    pub link: Spread,
    /// In the node.
    pub transit: Spread,
    /// Most frames that were to leave before a copy; 255 and more are 255.
    pub queue_max: u8,
}

#[derive(Debug, Default)]
pub(super) struct Sums {
    pub(super) paths: Vec<Path>,
    pub(super) hops: Vec<Hop>,
}

impl Sums {
    pub(super) fn begin_window(&mut self) {
        for path in &mut self.paths {
            path.margin.begin_window();
            path.delay.begin_window();
        }
        for hop in &mut self.hops {
            hop.link.begin_window();
            hop.transit.begin_window();
        }
    }

    /// Adds the last copy of a packet; says whether there was room.
    pub(super) fn add(&mut self, application: usize, packet: &Packet) -> bool {
        let Some(copy) = packet.copies.last() else { return true };
        let source = packet.number.source;
        let Some(path) = self.path(application, source, copy.path) else { return false };
        match copy.outcome {
            Outcome::Won => path.won += 1,
            Outcome::Lost => path.lost += 1,
            Outcome::Late => path.late += 1,
        }
        path.delay.add_difference(difference(copy.trace.sent_ns, copy.arrived_ns));
        if packet.copies.len() == 2
            && let (Some(margin_ns), Some(winner)) = (packet.margin_ns(), packet.copies.first())
            && let Some(winner) = self.path(application, source, winner.path)
        {
            winner.margin.add(margin_ns);
        }
        self.add_hops(application, source, copy)
    }

    fn add_hops(&mut self, application: usize, source: NodeId, copy: &Copy) -> bool {
        let trace = &copy.trace;
        let mut left_ns = trace.sent_ns;
        let mut before = source;
        let mut place = 0;
        for record in &trace.records {
            place += 1;
            let came_ns = record.time_ns(copy.arrived_ns);
            let Some(hop) = self.hop((application, source, copy.path, place), before, Some(record.node))
            else {
                return false;
            };
            hop.copies += 1;
            hop.link.add_difference(difference(left_ns, came_ns));
            hop.transit.add(record.transit_ns.into());
            hop.queue_max = hop.queue_max.max(record.queue);
            left_ns = came_ns.saturating_add(record.transit_ns.into());
            before = record.node;
        }
        if trace.overflow {
            return true;
        }
        let Some(last) = self.hop((application, source, copy.path, place + 1), before, None) else {
            return false;
        };
        last.copies += 1;
        last.link.add_difference(difference(left_ns, copy.arrived_ns));
        true
    }

    fn path(&mut self, application: usize, source: NodeId, path: PathId) -> Option<&mut Path> {
        let is_it = |held: &Path| (held.application, held.source, held.path) == (application, source, path);
        if let Some(at) = self.paths.iter().position(is_it) {
            return self.paths.get_mut(at);
        }
        if self.paths.len() >= PATHS_MAX {
            return None;
        }
        let (margin, delay) = Default::default();
        self.paths.push(Path { application, source, path, won: 0, lost: 0, late: 0, margin, delay });
        self.paths.last_mut()
    }

    fn hop(
        &mut self,
        (application, source, path, place): (usize, NodeId, PathId, u8),
        ingress: NodeId,
        node: Option<NodeId>,
    ) -> Option<&mut Hop> {
        let key = (application, source, path, place, ingress, node);
        let is_it = |held: &Hop| {
            (held.application, held.source, held.path, held.place, held.ingress, held.node) == key
        };
        if let Some(at) = self.hops.iter().position(is_it) {
            return self.hops.get_mut(at);
        }
        if self.hops.len() >= HOPS_MAX {
            return None;
        }
        let (link, transit) = Default::default();
        self.hops.push(Hop {
            application,
            source,
            path,
            place,
            ingress,
            node,
            copies: 0,
            link,
            transit,
            queue_max: 0,
        });
        self.hops.last_mut()
    }
}

/// From one time to another, of clocks that may differ.
fn difference(from_ns: u64, to_ns: u64) -> i64 {
    to_ns.wrapping_sub(from_ns) as i64
}
