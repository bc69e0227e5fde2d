//! The table of what is sent beside packets, where that is adaptive.

use crate::choices::Redundancy;
use crate::table::Table;

pub(crate) fn show_steps(steps: &[Redundancy]) -> String {
    if steps.is_empty() {
        return String::new();
    }
    let head = [
        "application",
        "direction",
        "to",
        "redundancy",
        "paths lose",
        "leaves",
        "changes",
        "shed",
        "because",
    ];
    let mut table = Table::new(&head);
    for one in steps {
        let lost = one.loss_percent.iter().map(|percent| format!("{percent:.1}"));
        let lost = lost.collect::<Vec<_>>().join(", ");
        table.row([
            one.application.clone(),
            one.direction.replace('_', " "),
            one.destination.clone(),
            one.step.clone(),
            format!("{lost} %"),
            format!("{:.2} %", one.residual_percent),
            one.changes.to_string(),
            one.sheds.to_string(),
            one.why.clone(),
        ]);
    }
    format!("\n{}", table.text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_step_is_shown_with_what_paths_lose_and_why() {
        let one = Redundancy {
            application: "web".into(),
            direction: "to_client".into(),
            destination: "edge".into(),
            step: "copy".into(),
            why: "it leaves less loss than the target".into(),
            changes: 3,
            sheds: 1,
            loss_percent: vec![12.34, 0.5],
            residual_percent: 0.062,
        };
        let text = show_steps(&[one]);
        for part in ["web", "to client", "edge", "copy", "12.3, 0.5 %", "0.06 %", "less loss"] {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(show_steps(&[]).is_empty());
    }
}
