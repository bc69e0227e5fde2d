//! What `auto` has chosen, for operators and as metrics.

use ctl::{Choice, Weighed};
use overlay::auto::{Auto, Known, Side};
use overlay::protocol::Protocol;
use packet::BufPool;

use crate::core::Core;
use crate::metrics::{Metric, Value, Values, counter, gauge};

impl<P: BufPool> Core<P> {
    /// Every choice of this node.
    pub fn chosen(&self) -> Vec<Choice> {
        let topology = &self.config.topology;
        let each = self.choices.iter().filter_map(|((index, destination), choice)| {
            let application = topology.applications.get(usize::from(index))?;
            let side = choice.auto.side();
            let routing = match side {
                Side::Direct => Protocol::Direct,
                Side::Overlay => application.routing.towards(choice.towards_gateway),
            };
            let direction = if choice.towards_gateway { "to_origin" } else { "to_client" };
            Some(Choice {
                application: choice.application.clone(),
                direction: direction.to_owned(),
                destination: topology.node(destination)?.name.clone(),
                routing: routing.name().to_owned(),
                chosen: side.name().to_owned(),
                why: choice.auto.why().name().to_owned(),
                changes: choice.auto.changes(),
                direct: weighed(&choice.auto, Side::Direct),
                overlay: weighed(&choice.auto, Side::Overlay),
            })
        });
        each.collect()
    }
}

/// What is chosen as metrics.
pub(crate) fn metrics<P: BufPool>(core: &Core<P>, metrics: &mut Vec<Metric>) {
    let topology = &core.config.topology;
    let each = |of: fn(&Auto) -> u64| -> Values {
        let labels = |destination, application: &String, towards_gateway: bool| {
            let name = topology.node(destination).map_or_else(String::new, |node| node.name.clone());
            let direction = if towards_gateway { "to_origin" } else { "to_client" };
            vec![
                ("application", application.clone()),
                ("direction", direction.to_owned()),
                ("destination", name),
            ]
        };
        let values = core.choices.iter().map(|((_, destination), choice)| {
            (labels(destination, &choice.application, choice.towards_gateway), Value::Count(of(&choice.auto)))
        });
        values.collect()
    };
    let direct = |auto: &Auto| (auto.side() == Side::Direct).into();
    gauge(metrics, "auto_direct", "Whether packets go straight, by the choice of auto", each(direct));
    counter(metrics, "auto_changes", "Times that auto chose the other way", each(Auto::changes));
}

fn weighed(auto: &Auto, side: Side) -> Weighed {
    let state = |state: &str| Weighed { state: state.to_owned(), ..Weighed::default() };
    match auto.known(side) {
        Known::Nothing => state("unknown"),
        Known::Dead => state("dead"),
        Known::Measured(quality) => Weighed {
            latency_ms: Some(f64::from(quality.latency_us) / 1e3),
            loss_percent: Some(f64::from(quality.loss_ppm) / 1e4),
            cost_ms: auto.cost_us(side).map(|us| us as f64 / 1e3),
            ..state("measured")
        },
    }
}
