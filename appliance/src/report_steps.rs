//! Adaptive redundancy: what the control thread does for it, and what operators see of it.

use ctl::Redundancy;
use overlay::adaptive::Ladder;
use packet::{BufPool, Reason};
use pipelines::ladders::Rung;

use crate::core::Core;
use crate::metrics::{Metric, Value, Values, counter, gauge};

impl<P: BufPool> Core<P> {
    /// Tells others what has come of their packets, hears what has come of this node's, and looks what is to be sent beside them.
    pub(crate) fn pump_adaptive(&mut self, now_ns: u64) {
        let counters = &self.counters;
        let read = |number: u32| {
            counters.iter().filter_map(move |worker| Some(worker.path.ways.get(number as usize)?.read()))
        };
        for told in self.receipts.tick(now_ns, &self.tables.registry.incoming, read) {
            self.live.report(&self.tables, &told);
        }
        while let Some((from, version, report)) = self.live.poll_report() {
            self.ladders.hear(now_ns, from, version, &report);
        }
        let full = |worker: &crate::core::Counters| worker.path.drops[Reason::TransmitFull.index()].get();
        let drops = self.counters.iter().map(full).sum();
        let paths = self.live.paths();
        let latency_us = |(path, peer, version)| {
            let mut paths = paths.iter();
            let path = paths.find(|one| one.path == path && one.peer == peer && one.version == version)?;
            let (round_trip_ns, _) = path.stats()?.latest?;
            Some((round_trip_ns / 2_000) as u32)
        };
        self.ladders.tick(now_ns, &self.config.topology, self.live.dead(), latency_us, drops);
    }

    /// What is sent beside packets, where that is adaptive.
    pub fn steps(&self) -> Vec<Redundancy> {
        let topology = &self.config.topology;
        let each = self.ladders.iter().filter_map(|((_, destination), rung)| {
            let (ladder, signs) = (&rung.ladder, rung.ladder.signs());
            let lost = signs.lost_ppm.iter().take(signs.paths.into());
            Some(Redundancy {
                application: rung.application.clone(),
                direction: direction(rung).to_owned(),
                destination: topology.node(destination)?.name.clone(),
                step: ladder.step().name().to_owned(),
                why: ladder.why().name().to_owned(),
                changes: ladder.changes(),
                sheds: ladder.sheds(),
                loss_percent: lost.map(|ppm| f64::from(*ppm) / 1e4).collect(),
                residual_percent: f64::from(ladder.residual_ppm()) / 1e4,
            })
        });
        each.collect()
    }
}

fn direction(rung: &Rung) -> &'static str {
    if rung.towards_gateway { "to_origin" } else { "to_client" }
}

/// The same as metrics.
pub(crate) fn metrics<P: BufPool>(core: &Core<P>, metrics: &mut Vec<Metric>) {
    let topology = &core.config.topology;
    let each = |of: fn(&Ladder) -> u64| -> Values {
        let values = core.ladders.iter().map(|((_, destination), rung)| {
            let name = topology.node(destination).map_or_else(String::new, |node| node.name.clone());
            let labels = vec![
                ("application", rung.application.clone()),
                ("direction", direction(rung).to_owned()),
                ("destination", name),
            ];
            (labels, Value::Count(of(&rung.ladder)))
        });
        values.collect()
    };
    let help = "What is sent beside packets: 0 none, 1 parity, 2 a copy, 3 two copies";
    gauge(metrics, "adaptive_step", help, each(|ladder| ladder.step() as u64));
    counter(metrics, "adaptive_changes", "Times that the step has changed", each(Ladder::changes));
    counter(metrics, "adaptive_sheds", "Times that congestion has ended redundancy", each(Ladder::sheds));
}
