//! What operators are told of plans that follow links.

use overlay::topology::PathSet;
use packet::BufPool;

use crate::core::Core;
use crate::metrics::{Metric, Value, Values, counter, gauge};

pub(crate) fn metrics<P: BufPool>(core: &Core<P>, metrics: &mut Vec<Metric>) {
    let planning = &core.planning;
    let topology = &core.config.topology;
    let planned = || {
        let sets = topology.path_sets.iter();
        sets.filter(|set| {
            topology.planned.iter().any(|planned| (planned.edge, planned.gateway) == (set.edge, set.gateway))
        })
    };
    let each = |of: &dyn Fn(&PathSet) -> u64| -> Values {
        planned().map(|set| (vec![("path_set", set.name.clone())], Value::Count(of(set)))).collect()
    };
    let owns = |set: &PathSet| planning.owned().any(|ends| ends == (set.edge, set.gateway)).into();
    gauge(metrics, "plan_owned", "Whether this node plans the path set for all", each(&owns));
    let missing = |set: &PathSet| planning.missing((set.edge, set.gateway)) as u64;
    let name = "plan_missing_paths";
    gauge(metrics, name, "Paths that links as they are do not allow for, though asked for", each(&missing));
    let one = |value: u64| -> Values { vec![(Vec::new(), Value::Count(value))] };
    let counters = planning.counters();
    counter(
        metrics,
        "plan_made",
        "Plans of this node that were better than those in force",
        one(counters.planned),
    );
    counter(metrics, "plan_changes", "Plans taken over, this node's included", one(counters.taken));
    let refused = planning.refusals().iter();
    let refused = refused.map(|(why, count)| (vec![("reason", why.name().to_owned())], Value::Count(*count)));
    counter(metrics, "plan_refused", "Plans not taken, by reason", refused.collect());
}
