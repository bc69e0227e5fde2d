//! How clients are translated by prefix, for operators and as metrics.

use std::net::IpAddr;

use ctl::{Prefix, Prefixes};
use packet::{Addr, BufPool};
use pipelines::counters::RoleCounters;
use pipelines::tables::Prefixed;

use crate::core::Core;
use crate::metrics::{Metric, counter, one};

impl<P: BufPool> Core<P> {
    /// The rules of this gateway; with an address those that it is inside or outside of, with what it is on the other
    /// side.
    pub fn prefixes(&self, address: Option<IpAddr>) -> Prefixes {
        let rules = self.tables.prefixes.iter();
        Prefixes {
            prefixes: rules.filter_map(|rule| self.prefix(rule, address.map(Addr::from))).collect(),
            to_origin: total(self, |roles| roles.prefix_forward.get()),
            to_client: total(self, |roles| roles.prefix_reverse.get()),
        }
    }

    fn prefix(&self, rule: &Prefixed, asked: Option<Addr>) -> Option<Prefix> {
        let topology = &self.config.topology;
        let pair = &rule.pair;
        let translated = match asked {
            Some(address) if pair.has_inside(address) => pair.outward(address),
            Some(address) if pair.has_outside(address) => pair.inward(address),
            Some(_) => return None,
            None => None,
        };
        let written = |(first, _): (Addr, Addr)| format!("{first}/{}", pair.len_bits());
        Some(Prefix {
            application: topology.applications.get(usize::from(rule.application))?.name.clone(),
            vip: rule.vip.to_ip(),
            edge: topology.node(rule.edge)?.name.clone(),
            inside: written(pair.inside()),
            outside: written(pair.outside()),
            translated: translated.map(Addr::to_ip),
        })
    }
}

fn total<P: BufPool>(core: &Core<P>, of: fn(&RoleCounters) -> u64) -> u64 {
    core.counters.iter().map(|worker| of(&worker.path.roles)).sum()
}

/// What was translated by prefix, as metrics.
pub(crate) fn metrics<P: BufPool>(core: &Core<P>, metrics: &mut Vec<Metric>) {
    let name = "prefix_forward_packets";
    let packets = total(core, |roles| roles.prefix_forward.get());
    counter(metrics, name, "Packets translated by prefix towards origins", one(packets));
    let name = "prefix_reverse_packets";
    let packets = total(core, |roles| roles.prefix_reverse.get());
    counter(metrics, name, "Packets translated by prefix towards clients", one(packets));
}
