//! The table of protocols by loss over a thousand nodes: as it stands in `docs/simulation.txt`, and as theory has it.
//!
//! `PROA_RENEW=1 cargo test -p proa-tests --test globe_table` writes table and figure anew.

use proa_tests::globe::{COLUMNS, Cell, Size, Table, chart, measure};
use std::path::Path;

/// One run for all checks: it takes its time.
#[test]
fn protocols_leave_spend_and_take_what_they_should_and_are_told_to() {
    let table = measure(&Size::SMALL, |_| ());
    replicas_over_independent_paths_leave_the_product_of_their_losses(&table);
    parity_leaves_what_more_losses_than_it_has_leave(&table);
    every_copy_is_paid_for_and_none_twice(&table);
    further_paths_make_nothing_slower(&table);
    the_table_is_as_it_is_told(&table);
}

/// Whether losses of a share are what so many packets may have: within five deviations and a packet or two. In spells packets are lost
/// together, which `together` of them count as one.
fn is_near(cell: &Cell, share: f64, together: f64) -> bool {
    let sent = cell.sent as f64 / together;
    let deviation = (share * (1.0 - share) / sent).sqrt();
    (cell.residual() - share).abs() <= 5.0 * deviation + 2.0 / sent
}

fn near(table: &Table, contender: &str, column: &str, share: f64, together: f64) {
    let cell = table.cell(contender, column);
    assert!(
        is_near(cell, share, together),
        "{contender} at {column}: {:.4} % of {} instead of {:.4} %",
        cell.residual() * 100.0,
        cell.sent,
        share * 100.0
    );
}

fn replicas_over_independent_paths_leave_the_product_of_their_losses(table: &Table) {
    for (column, share, together) in [
        ("none", 0.0, 1.0),
        ("1 %", 0.01, 1.0),
        ("5 %", 0.05, 1.0),
        ("10 %", 0.10, 1.0),
        ("5 % bursts", 0.05, 20.0),
        ("10 % bursts", 0.10, 20.0),
    ] {
        for single in ["direct", "source-route", "shortest", "cleanest", "one path"] {
            near(table, single, column, share, together);
        }
        near(table, "replicate ×2", column, share * share, together);
        near(table, "replicate ×3", column, share * share * share, together);
    }
    // Near p² is to mean something: there were losses to count.
    let twice = table.cell("replicate ×2", "10 %");
    assert!((0.005..0.02).contains(&twice.residual()), "{}", twice.residual());
}

/// A packet stays lost where at least two others of its group's ten are lost as well. What is left is lost three and more at a time.
fn parity_leaves_what_more_losses_than_it_has_leave(table: &Table) {
    for (column, p) in [("none", 0.0_f64), ("1 %", 0.01), ("5 %", 0.05), ("10 %", 0.10)] {
        let share = p * (1.0 - (1.0 - p).powi(9) - 9.0 * p * (1.0 - p).powi(8));
        near(table, "parity 8+2", column, share, 4.0);
    }
    let spent = table.cell("parity 8+2", "none").bandwidth();
    // 76 bytes for 500 with each, and 20 more with two for eight.
    let full = (8.0 * 576.0 + 2.0 * 596.0) / (8.0 * 500.0);
    assert!((spent - full).abs() < 0.01, "{spent} instead of {full}");
}

fn every_copy_is_paid_for_and_none_twice(table: &Table) {
    for column in COLUMNS {
        let spent = |contender| table.cell(contender, column.name).bandwidth();
        let one = spent("one path");
        assert!((one - 1.152).abs() < 1e-6, "76 bytes for 500: {one}");
        assert!((spent("replicate ×2") - 2.0 * one).abs() < 1e-6);
        assert!((spent("replicate ×3") - 3.0 * one).abs() < 1e-6);
    }
}

/// What arrives first counts: further paths never make a flow slower, and no path of a set is quicker than the shortest way. What the
/// first path has lost and the second brings comes later, though: that is the tail.
fn further_paths_make_nothing_slower(table: &Table) {
    for column in COLUMNS {
        let latency = |contender, percent| table.cell(contender, column.name).latency_ms(percent);
        assert!(latency("replicate ×2", 50) <= latency("one path", 50) + 1.0, "{}", column.name);
        assert!(latency("shortest", 50) <= latency("one path", 50) + 1.0, "{}", column.name);
    }
    let tail = |contender| table.cell(contender, "none").latency_ms(99);
    assert!(tail("replicate ×2") <= tail("one path") + 1.0);
}

fn the_table_is_as_it_is_told(table: &Table) {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    for (name, content) in [("simulation.txt", table.text()), ("simulation.svg", chart(table))] {
        let path = docs.join(name);
        if std::env::var_os("PROA_RENEW").is_some() {
            std::fs::write(&path, &content).unwrap();
        }
        let told = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            told == content,
            "{name} tells something else; if that is right: PROA_RENEW=1 cargo test -p proa-tests --test globe_table\n{content}"
        );
    }
}
