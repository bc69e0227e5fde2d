//! What hop records told at this node, the end of their paths: taken from the workers, told to operators.

use conf::Config;
use ctl::{
    Percentiles, Response, TraceCopy, TraceHop, TraceLink, TracePath, TraceRecord, TraceRequest,
    TracedPacket, Traces as Told,
};
use overlay::topology::NodeId;
use overlay::traces::{Collector, Copy, Number, Outcome, Packet, Spread};
use overlay::wire::trace::Trace;
use packet::BufPool;
use pipelines::Tables;
use pipelines::trace::{self, Seen};

use crate::core::Core;
use crate::exchange::Exchange;

/// Records taken before anything else gets its turn.
const AT_ONCE: usize = 512;
/// How often workers' queues are looked into while records come, ns.
const LOOK_NS: u64 = 50_000_000;
/// The same while none come.
const LOOK_IDLE_NS: u64 = 1_000_000_000;

/// What hop records told.
#[derive(Default)]
pub struct Traces {
    /// All that was seen.
    pub collector: Collector,
    /// Records of paths, or in a form, that this node no longer knows.
    strange: u64,
    look_ns: u64,
}

impl Traces {
    /// Takes what the workers have left.
    pub fn pump<B>(&mut self, now_ns: u64, exchange: &Exchange<B>, config: &Config, tables: &Tables) {
        let mut taken = 0;
        while taken < AT_ONCE
            && let Some(seen) = exchange.traced()
        {
            taken += 1;
            self.take(&seen, config, tables);
        }
        let wait_ns = match taken {
            0 => LOOK_IDLE_NS,
            AT_ONCE => 0,
            _ => LOOK_NS,
        };
        // Looked into with every pump; this is how soon there must be one.
        self.look_ns = now_ns + wait_ns;
    }

    /// When the workers' queues are to be looked into again, ns.
    pub fn timeout(&self) -> Option<u64> {
        Some(self.look_ns)
    }

    fn take(&mut self, seen: &Seen, config: &Config, tables: &Tables) {
        let path = tables.registry.paths.get(seen.path_slot as usize).copied();
        let (Some(path), Some(trace)) = (path, Trace::parse(seen.trace())) else {
            self.strange += 1;
            return;
        };
        let outcome = match seen.outcome {
            trace::Outcome::Won => Outcome::Won,
            trace::Outcome::Lost => Outcome::Lost,
            trace::Outcome::Late => Outcome::Late,
        };
        let application = seen
            .application
            .filter(|_| seen.epoch == tables.epoch)
            .and_then(|number| config.topology.applications.get(number as usize));
        let number = Number { source: seen.source, stream: seen.stream, sequence: seen.sequence };
        let copy = Copy { path, outcome, arrived_ns: seen.arrived_ns, trace };
        self.collector.take(number, application.map(|application| application.name.as_str()), copy);
    }
}

impl<P: BufPool> Core<P> {
    /// Takes the hop records that workers have left.
    pub fn pump_traces(&mut self, now_ns: u64) {
        self.traces.pump(now_ns, &self.exchange, &self.config, &self.tables);
    }

    /// Answers "path trace".
    pub fn traces(&self, wanted: &TraceRequest) -> Response {
        let TraceRequest { application: name, packets } = wanted;
        let Some(application) =
            self.config.topology.applications.iter().find(|application| application.name == *name)
        else {
            return Response::Error(format!("the topology has no application called '{name}'"));
        };
        let collector = &self.traces.collector;
        let mut paths: Vec<TracePath> = collector.paths(name).map(|path| self.traced_path(path)).collect();
        paths.sort_by(|one, other| (&one.source, one.path).cmp(&(&other.source, other.path)));
        let mut hops: Vec<TraceHop> = collector.hops(name).map(|hop| self.traced_hop(hop)).collect();
        hops.sort_by(|one, other| {
            (&one.source, one.path, one.place).cmp(&(&other.source, other.path, other.place))
        });
        let packets = collector.packets(name).take(*packets).map(|packet| self.traced_packet(packet));
        Response::Traces(Box::new(Told {
            application: name.clone(),
            one_in: application.trace.one_in,
            paths,
            hops,
            packets: packets.collect(),
            missed: self.traces_missed(),
        }))
    }

    /// Records that were lost on their way to the control thread, or could not be told.
    pub fn traces_missed(&self) -> u64 {
        let lost: u64 = self.counters.iter().map(|worker| worker.own.traces_lost.get()).sum();
        let missed = self.traces.collector.missed();
        lost + self.traces.strange + missed.unmatched + missed.unknown + missed.crowded
    }

    fn traced_path(&self, path: &overlay::traces::Path) -> TracePath {
        TracePath {
            path: path.path.0,
            source: self.traced_node(path.source),
            won: path.won,
            lost: path.lost,
            late: path.late,
            margin_us: percentiles(&path.margin),
            delay: link(&path.delay),
        }
    }

    fn traced_hop(&self, hop: &overlay::traces::Hop) -> TraceHop {
        TraceHop {
            path: hop.path.0,
            source: self.traced_node(hop.source),
            place: hop.place,
            from: self.traced_node(hop.ingress),
            node: self.traced_node(hop.node.unwrap_or(self.tables.node)),
            copies: hop.copies,
            link: link(&hop.link),
            transit_us: percentiles(&hop.transit),
            queue_max: hop.queue_max,
        }
    }

    fn traced_packet(&self, packet: &Packet) -> TracedPacket {
        let Number { source, stream, sequence } = packet.number;
        let first_ns = packet.copies.first().map_or(0, |copy| copy.arrived_ns);
        TracedPacket {
            source: self.traced_node(source),
            stream,
            sequence,
            sent_unix_ns: packet.copies.first().map_or(0, |copy| copy.trace.sent_ns),
            copies: packet.copies.iter().map(|copy| self.traced_copy(copy, first_ns)).collect(),
        }
    }

    fn traced_copy(&self, copy: &Copy, first_ns: u64) -> TraceCopy {
        let mut left_ns = copy.trace.sent_ns;
        let records = copy.trace.records.iter().map(|record| {
            let came_ns = record.time_ns(copy.arrived_ns);
            let link_ns = came_ns.wrapping_sub(left_ns) as i64;
            left_ns = came_ns.saturating_add(record.transit_ns.into());
            TraceRecord {
                node: self.traced_node(record.node),
                ingress: self.traced_node(record.ingress),
                egress: self.traced_node(record.egress),
                hop_limit: record.hop_limit,
                queue: record.queue,
                link_ns,
                transit_ns: record.transit_ns,
            }
        });
        TraceCopy {
            path: copy.path.0,
            outcome: match copy.outcome {
                Outcome::Won => "won",
                Outcome::Lost => "lost",
                Outcome::Late => "late",
            }
            .to_owned(),
            behind_ns: copy.arrived_ns.saturating_sub(first_ns),
            delay_ns: copy.arrived_ns.wrapping_sub(copy.trace.sent_ns) as i64,
            overflow: copy.trace.overflow,
            records: records.collect(),
        }
    }

    /// A node's name; records may claim nodes that there are none of.
    fn traced_node(&self, node: NodeId) -> String {
        let known = self.config.topology.node(node);
        known.map_or_else(|| format!("node {}", node.0), |node| node.name.clone())
    }
}

fn link(spread: &Spread) -> TraceLink {
    TraceLink { fastest_us: spread.least_ns().map(|ns| ns as f64 / 1e3), above_us: percentiles(spread) }
}

fn percentiles(spread: &Spread) -> Option<Percentiles> {
    let [p50, p90, p99] = spread.percentiles()?.map(|ns| ns as f64 / 1e3);
    Some(Percentiles { p50, p90, p99 })
}
