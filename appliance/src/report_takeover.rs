//! What operators are told of gateways that stand in for each other, and what they may have them do.

use ctl::{Block, Gateways, Voter};
use overlay::lease::Party;
use packet::BufPool;
use pipelines::counters::RoleCounters;

use crate::core::Core;
use crate::metrics::{Metric, Value, Values, counter, gauge};

/// Why there is nothing to do.
const NO_PEER: &str =
    "this node is no gateway that stands in for another: no [[takeover]] of its topology names it";
const MS: u64 = 1_000_000;

impl<P: BufPool> Core<P> {
    /// Answers "gateway show".
    pub fn gateways(&self) -> Gateways {
        let sum = |of| self.sum_roles(of);
        let own = self.takeovers.parties().iter().find(|party| party.own().is_some());
        Gateways {
            blocks: self.takeovers.parties().iter().flat_map(|party| self.blocks_of(party)).collect(),
            draining: own.map(Party::is_draining),
            bindings_sent: sum(|roles| roles.bindings_sent.get()),
            bindings_taken: sum(|roles| roles.bindings_taken.get()),
            bindings_refused: sum(|roles| roles.bindings_refused.get()),
            bindings: sum(|roles| roles.bindings.get()),
            sessions_told: sum(|roles| roles.sessions_told.get()),
            sessions_stored: sum(|roles| roles.sessions_stored.get()),
            passed_on: sum(|roles| roles.passed_on.get()),
        }
    }

    /// What all workers count together.
    pub(crate) fn sum_roles(&self, of: fn(&RoleCounters) -> u64) -> u64 {
        self.counters.iter().map(|worker| of(&worker.path.roles)).sum()
    }

    fn blocks_of(&self, party: &Party) -> Vec<Block> {
        let is_own = party.own().is_some();
        let voter = |node: &overlay::topology::NodeId| Voter {
            node: self.node_name(*node),
            heard_ms: party.heard_ns(*node).map(|heard_ns| self.now_ns.saturating_sub(heard_ns) / MS),
        };
        let block = |(number, home): (usize, &overlay::topology::NodeId)| {
            let owner = party.owners()[number];
            let pool =
                self.config.topology.node(*home).map(|node| node.nat_pool.as_slice()).unwrap_or_default();
            let addresses = pool.iter().map(|range| match range.start() == range.end() {
                true => range.start().to_string(),
                false => format!("{} to {}", range.start(), range.end()),
            });
            let until_ns = party.until_ns(number);
            Block {
                home: self.node_name(*home),
                addresses: addresses.collect(),
                holder: self.node_name(owner.node),
                revision: owner.revision,
                phase: is_own.then(|| party.phase(number).name().to_owned()),
                lease_ms: (until_ns != 0).then(|| until_ns.saturating_sub(self.now_ns) / MS),
                voters: party.pair().voters.iter().map(voter).collect(),
            }
        };
        party.pair().gateways.iter().enumerate().map(block).collect()
    }

    /// Answers "gateway drain": hands everything over to the other gateway.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn drain_gateway(&mut self, now_ns: u64) -> Result<Gateways, String> {
        let party = self.takeovers.own().ok_or(NO_PEER)?;
        if !party.drain(now_ns) {
            return Err("the other gateway is not heard, or drains itself: nobody could take over".to_owned());
        }
        tracing::warn!("draining, as an operator wished");
        self.pump_takeover(now_ns);
        Ok(self.gateways())
    }

    /// Answers "gateway resume": takes part again, and asks for the node's own pool back.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn resume_gateway(&mut self, now_ns: u64) -> Result<Gateways, String> {
        self.takeovers.own().ok_or(NO_PEER)?.resume(now_ns);
        tracing::warn!("taking part again, as an operator wished");
        self.pump_takeover(now_ns);
        Ok(self.gateways())
    }
}

pub(crate) fn metrics<P: BufPool>(core: &Core<P>, metrics: &mut Vec<Metric>) {
    let gateways = core.gateways();
    if gateways.blocks.is_empty() {
        return;
    }
    let one = |value: u64| -> Values { vec![(Vec::new(), Value::Count(value))] };
    let blocks = gateways.blocks.iter();
    let held = blocks.clone().map(|block| {
        let labels = vec![("home", block.home.clone()), ("holder", block.holder.clone())];
        (labels, Value::Count((block.revision != 0) as u64))
    });
    gauge(metrics, "takeover_holder", "1 for who translates a gateway's NAT pool", held.collect());
    let holds = blocks.map(|block| {
        let holds = matches!(block.phase.as_deref(), Some("holding" | "handing"));
        (vec![("home", block.home.clone())], Value::Count(holds as u64))
    });
    gauge(metrics, "takeover_holding", "Whether this node holds a gateway's NAT pool", holds.collect());
    let (mut took, mut lapsed, mut refused, mut other) = (0, 0, 0, 0);
    for party in core.takeovers.parties() {
        let counters = party.counters();
        took += counters.took;
        lapsed += counters.lapsed;
        refused += counters.refused;
        other += counters.other_pair;
    }
    let forged = core.takeovers.counters().forged;
    counter(metrics, "takeover_taken", "NAT pools taken, this node's own included", one(took));
    counter(metrics, "takeover_lapsed", "Leases on NAT pools that ran out", one(lapsed));
    let messages = vec![
        (vec![("reason", "forged".to_owned())], Value::Count(forged)),
        (vec![("reason", "other_topology".to_owned())], Value::Count(other)),
        (vec![("reason", "old_or_stranger".to_owned())], Value::Count(refused - other)),
    ];
    counter(metrics, "takeover_rejected", "Messages about NAT pools not taken, by reason", messages);
    gauge(metrics, "bindings", "Flows whose binding at a gateway is known", one(gateways.bindings));
    counter(metrics, "bindings_sent", "Binding records sent", one(gateways.bindings_sent));
    counter(metrics, "bindings_taken", "Binding records taken", one(gateways.bindings_taken));
    counter(metrics, "bindings_refused", "Binding records not taken", one(gateways.bindings_refused));
    let told = "Sessions that the other gateway was told of before it took over";
    counter(metrics, "sessions_told", told, one(gateways.sessions_told));
    let stored = "Sessions that the other gateway has told of before this one took over";
    counter(metrics, "sessions_stored", stored, one(gateways.sessions_stored));
    let passed_on = "Packets that came late and were passed on to the gateway that has taken over";
    counter(metrics, "passed_on", passed_on, one(gateways.passed_on));
}
