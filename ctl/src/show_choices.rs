//! The table of what `auto` has chosen.

use crate::choices::{Choice, Weighed};
use crate::table::Table;

pub(crate) fn show_choices(choices: &[Choice]) -> String {
    if choices.is_empty() {
        return String::new();
    }
    let mut table = Table::new(&[
        "application",
        "direction",
        "to",
        "chosen",
        "by",
        "direct way",
        "its cost",
        "overlay's way",
        "its cost",
        "changes",
        "because",
    ]);
    for choice in choices {
        let Choice { application, direction, destination, chosen, routing, why, .. } = choice;
        let direction = direction.replace('_', " ");
        let cells = [application, &direction, destination, chosen, routing].map(String::from);
        let ways = [&choice.direct, &choice.overlay].into_iter().flat_map(|way| [shown(way), cost(way)]);
        table.row(cells.into_iter().chain(ways).chain([choice.changes.to_string(), why.clone()]));
    }
    format!("\n{}", table.text())
}

fn shown(way: &Weighed) -> String {
    match (way.latency_ms, way.loss_percent) {
        (Some(latency_ms), Some(loss_percent)) => format!("{latency_ms:.1} ms, {loss_percent:.1} %"),
        _ => way.state.clone(),
    }
}

fn cost(way: &Weighed) -> String {
    way.cost_ms.map_or_else(|| "-".to_owned(), |cost_ms| format!("{cost_ms:.1} ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_is_shown_with_both_ways_and_why() {
        let measured = |latency_ms, loss_percent, cost_ms| Weighed {
            state: "measured".into(),
            latency_ms: Some(latency_ms),
            loss_percent: Some(loss_percent),
            cost_ms: Some(cost_ms),
        };
        let choice = Choice {
            application: "web".into(),
            direction: "to_origin".into(),
            destination: "gateway".into(),
            routing: "shortest".into(),
            chosen: "overlay".into(),
            why: "it costs less".into(),
            changes: 3,
            direct: measured(40.0, 2.0, 60.2),
            overlay: measured(42.5, 0.0, 47.5),
        };
        let text = show_choices(std::slice::from_ref(&choice));
        for part in
            ["web", "to origin", "40.0 ms, 2.0 %", "60.2 ms", "42.5 ms, 0.0 %", "47.5 ms", "it costs less"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        let dead = Choice { direct: Weighed { state: "dead".into(), ..Weighed::default() }, ..choice };
        assert!(show_choices(&[dead]).contains("dead"));
        assert!(show_choices(&[]).is_empty());
    }
}
