//! Hop records as metrics.

use packet::BufPool;
use pipelines::trace::TraceCounters;

use crate::core::Core;
use crate::metrics::{Metric, Value, Values, counter, gauge};

pub(crate) fn metrics<P: BufPool>(core: &Core<P>, metrics: &mut Vec<Metric>) {
    let sum = |of: fn(&TraceCounters) -> u64| -> Values {
        vec![(Vec::new(), Value::Count(core.counters.iter().map(|worker| of(&worker.path.traces)).sum()))]
    };
    let name = "traces_sampled";
    counter(metrics, name, "Packets sent with room for hop records", sum(|traces| traces.sampled.get()));
    let name = "traces_unfit";
    counter(metrics, name, "Packets too long for hop records", sum(|traces| traces.unfit.get()));
    counter(metrics, "trace_records", "Hop records written", sum(|traces| traces.records.get()));
    counter(metrics, "traces_full", "Copies without a free hop record", sum(|traces| traces.full.get()));
    let name = "traces_malformed";
    counter(metrics, name, "Copies whose hop records can not be read", sum(|traces| traces.malformed.get()));
    let name = "traces_ended";
    counter(metrics, name, "Copies with hop records that ended here", sum(|traces| traces.ended.get()));
    let missed = vec![(Vec::new(), Value::Count(core.traces_missed()))];
    counter(metrics, "traces_missed", "Hop records that could not be told", missed);
    paths(core, metrics);
    events(core, metrics);
}

fn events<P: BufPool>(core: &Core<P>, metrics: &mut Vec<Metric>) {
    let Some(events) = &core.events else { return };
    let lost = core.counters.iter().map(|worker| worker.own.events_lost.get()).sum::<u64>() + events.failed;
    let one = |count| vec![(Vec::new(), Value::Count(count))];
    counter(metrics, "events_written", "Events of sessions written", one(events.written));
    counter(
        metrics,
        "events_lost",
        "Events of sessions that found no room or could not be written",
        one(lost),
    );
}

fn paths<P: BufPool>(core: &Core<P>, metrics: &mut Vec<Metric>) {
    let collector = &core.traces.collector;
    let (mut won, mut lost, mut margin) = (Values::new(), Values::new(), Values::new());
    for application in collector.applications() {
        for path in collector.paths(application) {
            let source = core.config.topology.node(path.source);
            let labels = vec![
                ("application", application.to_owned()),
                ("path", path.path.0.to_string()),
                ("source", source.map_or_else(|| path.source.0.to_string(), |node| node.name.clone())),
            ];
            won.push((labels.clone(), Value::Count(path.won)));
            lost.push((labels.clone(), Value::Count(path.lost)));
            for (quantile, ns) in
                ["0.5", "0.9", "0.99"].into_iter().zip(path.margin.percentiles().into_iter().flatten())
            {
                let labels = [labels.clone(), vec![("quantile", quantile.to_owned())]].concat();
                margin.push((labels, Value::Seconds(ns as f64 / 1e9)));
            }
        }
    }
    counter(metrics, "trace_path_won", "Traced packets whose first copy came over the path", won);
    counter(metrics, "trace_path_lost", "Traced copies that came over the path after another", lost);
    let name = "trace_path_margin_seconds";
    gauge(metrics, name, "How much earlier the path's first copies came than the second", margin);
}
