//! The counters as OpenMetrics text.

use std::fmt::Error;

use packet::{BufPool, Reason};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, MetricEncoder, NoLabelSet, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::core::{Core, Counters};
use crate::metrics_liveness;
use crate::metrics_traces;
use crate::report::Process;
use crate::report_choices;
use crate::report_keys;
use crate::report_links;
use crate::report_plans;
use crate::report_prefixes;
use crate::report_steps;
use crate::report_takeover;

/// The type of what [`text`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// One metric: its name without prefix and suffix, what it says, and its values under their labels.
#[derive(Debug)]
pub(crate) struct Metric {
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    values: Values,
}

/// Values under their labels.
pub(crate) type Values = Vec<(Labels, Value)>;
pub(crate) type Labels = Vec<(&'static str, String)>;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Value {
    Count(u64),
    Seconds(f64),
}

#[derive(Debug)]
struct Metrics(Vec<Metric>);

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), Error> {
        for metric in &self.0 {
            let descriptor = encoder.encode_descriptor(metric.name, metric.help, None, metric.kind)?;
            Encoded(metric).encode(descriptor)?;
        }
        Ok(())
    }
}

struct Encoded<'a>(&'a Metric);

impl EncodeMetric for Encoded<'_> {
    fn encode(&self, mut encoder: MetricEncoder) -> Result<(), Error> {
        for (labels, value) in &self.0.values {
            let mut encoder = encoder.encode_family(labels)?;
            match (self.0.kind, *value) {
                (MetricType::Gauge, Value::Count(count)) => encoder.encode_gauge(&count)?,
                (MetricType::Gauge, Value::Seconds(seconds)) => encoder.encode_gauge(&seconds)?,
                (_, Value::Count(count)) => encoder.encode_counter::<NoLabelSet, _, f64>(&count, None)?,
                (_, Value::Seconds(seconds)) => {
                    encoder.encode_counter::<NoLabelSet, _, f64>(&seconds, None)?
                }
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        self.0.kind
    }
}

/// All metrics of the node.
pub fn text<P: BufPool>(core: &Core<P>, process: &Process) -> String {
    let mut registry = Registry::with_prefix("proa");
    registry.register_collector(Box::new(Metrics(collect(core, process))));
    let mut text = String::new();
    match text::encode(&mut text, &registry) {
        Ok(()) => text,
        // Writing to a string fails only when a collector says so, and this one has no reason to.
        Err(_) => String::new(),
    }
}

fn collect<P: BufPool>(core: &Core<P>, process: &Process) -> Vec<Metric> {
    let mut metrics = Vec::new();
    drops(core, &mut metrics);
    ports(core, process, &mut metrics);
    paths(core, &mut metrics);
    metrics_liveness::path_ends(core, &mut metrics);
    metrics_liveness::incoming(core, &mut metrics);
    metrics_liveness::links(core, &mut metrics);
    metrics_liveness::link_quality(core, &mut metrics);
    report_links::metrics(core, &mut metrics);
    report_plans::metrics(core, &mut metrics);
    report_choices::metrics(core, &mut metrics);
    report_prefixes::metrics(core, &mut metrics);
    report_steps::metrics(core, &mut metrics);
    report_keys::metrics(core, &mut metrics);
    report_takeover::metrics(core, &mut metrics);
    metrics_traces::metrics(core, &mut metrics);
    workers(core, &mut metrics);
    node(core, process, &mut metrics);
    metrics
}

pub(crate) fn counter(metrics: &mut Vec<Metric>, name: &'static str, help: &'static str, values: Values) {
    metrics.push(Metric { name, help, kind: MetricType::Counter, values });
}

pub(crate) fn gauge(metrics: &mut Vec<Metric>, name: &'static str, help: &'static str, values: Values) {
    metrics.push(Metric { name, help, kind: MetricType::Gauge, values });
}

pub(crate) fn one(value: u64) -> Values {
    vec![(Labels::new(), Value::Count(value))]
}

fn drops<P: BufPool>(core: &Core<P>, metrics: &mut Vec<Metric>) {
    let drop =
        |reason: &Reason| (vec![("reason", reason.name().to_owned())], Value::Count(core.dropped(*reason)));
    counter(metrics, "drops", "Packets dropped, by reason", Reason::ALL.iter().map(drop).collect());
}

fn ports<P: BufPool>(core: &Core<P>, process: &Process, metrics: &mut Vec<Metric>) {
    let status = core.status(process);
    let each = |of: fn(&ctl::Port) -> u64| {
        status.ports.iter().map(|port| (vec![("port", port.name.clone())], Value::Count(of(port)))).collect()
    };
    counter(metrics, "port_receive_packets", "Frames received", each(|port| port.rx_packets));
    counter(metrics, "port_receive_bytes", "Bytes received", each(|port| port.rx_bytes));
    counter(metrics, "port_receive_missed", "Frames that the device lost", each(|port| port.rx_missed));
    counter(metrics, "port_transmit_packets", "Frames sent", each(|port| port.tx_packets));
    counter(metrics, "port_transmit_bytes", "Bytes sent", each(|port| port.tx_bytes));
    gauge(metrics, "port_up", "Whether the link carries traffic", each(|port| port.link.up.into()));
}

fn paths<P: BufPool>(core: &Core<P>, metrics: &mut Vec<Metric>) {
    let paths = core.paths();
    let each = |of: fn(&ctl::Path) -> u64| {
        paths.iter().map(|path| (vec![("path", path.path.to_string())], Value::Count(of(path)))).collect()
    };
    counter(metrics, "path_sent", "Copies sent as the first", each(|path| path.sent));
    counter(metrics, "path_forwarded", "Copies forwarded between others", each(|path| path.forwarded));
    counter(metrics, "path_passed", "First copies: the path won", each(|path| path.passed));
    counter(metrics, "path_discarded", "Later copies, eliminated", each(|path| path.discarded));
    counter(metrics, "path_rogue", "Copies older than the window", each(|path| path.rogue));
    counter(
        metrics,
        "path_out_of_order",
        "First copies after a younger packet",
        each(|path| path.out_of_order),
    );
    gauge(
        metrics,
        "path_silent_streams",
        "Streams to which the path brings nothing while others do",
        each(|path| path.silent_streams),
    );
}

fn workers<P: BufPool>(core: &Core<P>, metrics: &mut Vec<Metric>) {
    let each = |of: &dyn Fn(&Counters) -> Value| {
        let workers = core.counters.iter().enumerate();
        workers.map(|(number, worker)| (vec![("worker", number.to_string())], of(worker))).collect()
    };
    counter(
        metrics,
        "worker_packets",
        "Frames handled",
        each(&|worker| Value::Count(worker.own.packets.get())),
    );
    let busy = each(&|worker| Value::Seconds(worker.own.busy_ns.get() as f64 / 1e9));
    counter(metrics, "worker_busy_seconds", "Time with frames to handle", busy);
    let handed = each(&|worker| Value::Count(worker.path.roles.handoff_out.get()));
    counter(metrics, "worker_handed_off", "Frames given to other workers", handed);
    gauge(
        metrics,
        "flows",
        "Flow entries in use",
        each(&|worker| Value::Count(worker.path.roles.flows.get())),
    );
    gauge(
        metrics,
        "sessions",
        "Translated sessions",
        each(&|worker| Value::Count(worker.path.roles.sessions.get())),
    );
    let made = each(&|worker| Value::Count(worker.path.roles.sessions_made.get()));
    counter(metrics, "sessions_made", "Translated sessions made", made);
    gauge(
        metrics,
        "fragments_held",
        "Fragments that wait for their datagram's first",
        each(&|worker| Value::Count(worker.path.roles.fragments_held.get())),
    );
    gauge(
        metrics,
        "connections_held",
        "Connections from outside that are held before they are answered",
        each(&|worker| Value::Count(worker.path.roles.connections_held.get())),
    );
    gauge(
        metrics,
        "streams",
        "Streams received so far",
        each(&|worker| Value::Count(worker.path.roles.streams.get())),
    );
    gauge(
        metrics,
        "order_waiting",
        "Packets that wait for their turn in their flow",
        each(&|worker| Value::Count(worker.path.roles.order_waiting.get())),
    );
    let roles = |of: fn(&pipelines::counters::RoleCounters) -> u64| {
        each(&move |worker: &Counters| Value::Count(of(&worker.path.roles)))
    };
    counter(metrics, "order_held", "Packets that have waited", roles(|roles| roles.order_held.get()));
    let name = "order_given_up";
    counter(metrics, name, "Packets that waited in vain", roles(|roles| roles.order_given_up.get()));
    let name = "order_late";
    counter(metrics, name, "Packets after their turn", roles(|roles| roles.order_late.get()));
    let name = "order_no_room";
    counter(metrics, name, "Packets before their turn", roles(|roles| roles.order_no_room.get()));
    let name = "adaptive_bytes";
    counter(metrics, name, "Bytes of packets by adaptive", roles(|roles| roles.adaptive_bytes.get()));
    let (name, help) = ("adaptive_extra_bytes", "Bytes of redundancy beside them");
    counter(metrics, name, help, roles(|roles| roles.adaptive_extra_bytes.get()));
    let (name, help) = ("adaptive_capped", "Packets with less redundancy than asked for, by the cap");
    counter(metrics, name, help, roles(|roles| roles.adaptive_capped.get()));
    counter(metrics, "parity_sent", "Parity packets sent", roles(|roles| roles.parity_sent.get()));
    let name = "parity_groups_full";
    counter(metrics, name, "Groups that had all their packets", roles(|roles| roles.parity_full.get()));
    let name = "parity_groups_short";
    counter(metrics, name, "Groups that ended before", roles(|roles| roles.parity_short.get()));
    let name = "parity_received";
    counter(metrics, name, "Parity packets received", roles(|roles| roles.parity_received.get()));
    let name = "parity_unneeded";
    counter(
        metrics,
        name,
        "Parity packets of which nothing was missing",
        roles(|roles| roles.parity_unneeded.get()),
    );
    counter(metrics, "parity_rebuilt", "Packets rebuilt", roles(|roles| roles.parity_rebuilt.get()));
    let name = "parity_unfinished";
    counter(metrics, name, "Groups of which too little came", roles(|roles| roles.parity_unfinished.get()));
    let name = "parity_unusable";
    counter(
        metrics,
        name,
        "Groups whose packets were no longer kept",
        roles(|roles| roles.parity_unusable.get()),
    );
    let name = "parity_waiting";
    gauge(
        metrics,
        name,
        "Groups that wait for more of their packets",
        roles(|roles| roles.parity_waiting.get()),
    );
    counter(metrics, "stream_lost", "Packets of which no copy came in time", roles(|roles| roles.lost.get()));
    counter(metrics, "stream_resets", "Times that a stream began anew", roles(|roles| roles.resets.get()));
    let name = "stream_jumps";
    counter(metrics, name, "Steps of sealed streams beyond what is usual", roles(|roles| roles.jumps.get()));
    let name = "streams_latent";
    gauge(metrics, name, "Streams of which a path brings nothing", roles(|roles| roles.latent.get()));
    let name = "latent_errors";
    counter(metrics, name, "Paths of streams that fell silent", roles(|roles| roles.latent_errors.get()));
    let role = |of: fn(&Counters) -> u64| one(core.counters.iter().map(of).sum());
    let name = "edge_ingress_packets";
    counter(metrics, name, "Packets from clients", role(|worker| worker.path.roles.edge_ingress.get()));
    let name = "edge_egress_packets";
    counter(
        metrics,
        name,
        "Packets delivered to clients",
        role(|worker| worker.path.roles.edge_egress.get()),
    );
    let name = "gateway_forward_packets";
    counter(
        metrics,
        name,
        "Packets handed to origins",
        role(|worker| worker.path.roles.gateway_forward.get()),
    );
    let name = "gateway_reverse_packets";
    counter(metrics, name, "Packets from origins", role(|worker| worker.path.roles.gateway_reverse.get()));
}

fn node<P: BufPool>(core: &Core<P>, process: &Process, metrics: &mut Vec<Metric>) {
    let status = core.status(process);
    gauge(metrics, "uptime_seconds", "Seconds since the start", one(status.uptime_seconds));
    gauge(metrics, "buffers_used", "Packet buffers in use", one(status.buffers_used));
    gauge(metrics, "buffers_capacity", "Packet buffers in all", one(status.buffers_capacity));
    gauge(metrics, "flows_capacity", "Flow entries in all", one(status.flows_capacity));
    gauge(metrics, "sessions_capacity", "Room for translated sessions", one(status.sessions_capacity));
    gauge(metrics, "neighbors", "Neighbours known", one(status.neighbors.known));
    let unresolved = status.neighbors.unresolved.len() as u64;
    gauge(metrics, "next_hops_unresolved", "Configured next hops that do not answer", one(unresolved));
    counter(metrics, "address_conflicts", "Our addresses claimed by others", one(status.neighbors.conflicts));
    counter(metrics, "reloads", "Configurations taken over", one(status.reloads));
    counter(metrics, "reloads_refused", "Configurations refused", one(status.reloads_refused));
}
