//! What a run found: ratios against goals, the table, and the JSON file.

use crate::host::Host;
use crate::sample::{LOSS_SHARE_MAX, Plan, Series, WAIT_SHARE_MAX};
use miette::{IntoDiagnostic, Result};
use serde::Serialize;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The middle of a handful of figures, and how far they spread.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// Half of the figures are below.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of any figures; all zero where there are none.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Spread {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let at = |index: usize| figures.get(index).copied().unwrap_or(0.0);
        let middle = figures.len() / 2;
        let median =
            if figures.len() % 2 == 1 { at(middle) } else { (at(middle) + at(middle.wrapping_sub(1))) / 2.0 };
        Spread { median, min: at(0), max: at(figures.len().wrapping_sub(1)) }
    }
}

/// A comparison within one case: how many times faster `ours` is than `theirs`, pair by pair.
#[derive(Clone, Debug, Serialize)]
pub struct Ratio {
    /// The forwarder above the line.
    pub ours: String,
    /// The forwarder below it.
    pub theirs: String,
    /// Ours ÷ theirs in packets received per second, of the windows of one round.
    pub speed: Spread,
    /// What the ratio must reach, where there is a goal.
    pub goal: Option<f64>,
}

/// A case: some forwarders on the same frames.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// What is measured.
    pub name: String,
    /// Different flows.
    pub flows: u32,
    /// The clients' frame on the wire in bytes.
    pub frame: usize,
    /// Every forwarder's windows.
    pub series: Vec<Series>,
    /// Ratios between them.
    pub ratios: Vec<Ratio>,
    /// Rates with goals of their own.
    pub rates: Vec<Rate>,
}

impl Case {
    /// Adds a rate that one of the case's forwarders must reach; does nothing where it was not run.
    pub fn reach(&mut self, name: &str, goal: f64) {
        let Some(series) = self.series.iter().find(|series| series.name == name) else { return };
        let pps = Spread::of(series.samples.iter().map(|sample| sample.received_pps));
        self.rates.push(Rate { name: name.to_owned(), pps, goal });
    }

    /// Adds the ratio of two of the case's forwarders; does nothing where one was not run.
    pub fn compare(&mut self, ours: &str, theirs: &str, goal: Option<f64>) {
        let find = |name: &str| self.series.iter().find(|series| series.name == name);
        let (Some(over), Some(under)) = (find(ours), find(theirs)) else { return };
        let pairs = over.samples.iter().zip(&under.samples);
        let speed = Spread::of(pairs.map(|(over, under)| over.received_pps / under.received_pps));
        self.ratios.push(Ratio { ours: ours.to_owned(), theirs: theirs.to_owned(), speed, goal });
    }
}

/// A rate that a forwarder must reach by itself.
#[derive(Clone, Debug, Serialize)]
pub struct Rate {
    /// The forwarder.
    pub name: String,
    /// Packets received per second.
    pub pps: Spread,
    /// What it must reach.
    pub goal: f64,
}

/// A whole run.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Seconds since 1970.
    pub at: u64,
    /// The machine.
    pub host: Host,
    /// How windows were taken.
    pub plan: Plan,
    /// All cases.
    pub cases: Vec<Case>,
}

impl Report {
    /// An empty report, of now.
    pub fn new(host: Host, plan: Plan) -> Report {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        Report { at, host, plan, cases: Vec::new() }
    }

    /// Writes `rig-<time>.json` and `latest.json`.
    ///
    /// # Errors
    /// Where the directory is not writable.
    pub fn write(&self, out: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self).into_diagnostic()?;
        fs::write(out.join(format!("rig-{}.json", self.at)), &text).into_diagnostic()?;
        fs::write(out.join("latest.json"), &text).into_diagnostic()
    }

    /// Whether every goal is reached.
    pub fn reaches_goals(&self) -> bool {
        let ratios = self.cases.iter().flat_map(|case| &case.ratios).all(Ratio::reaches_goal);
        let rates = self.cases.iter().flat_map(|case| &case.rates).all(|rate| rate.pps.median >= rate.goal);
        ratios && rates
    }
}

impl Ratio {
    fn reaches_goal(&self) -> bool {
        self.goal.is_none_or(|goal| self.speed.median >= goal)
    }
}

/// Prints one case as a table.
pub fn print(case: &Case, tsc_hz: f64) {
    println!("\n{} · {} flows · {} B frames", case.name, case.flows, case.frame);
    println!(
        "  {:<24} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9}",
        "", "Mpps", "ns", "cycles", "out/in", "spread %", "wait %"
    );
    for series in &case.series {
        let received = Spread::of(series.samples.iter().map(|sample| sample.received_pps));
        let copies = Spread::of(series.samples.iter().map(|sample| sample.sent_pps / sample.received_pps));
        let wait = Spread::of(series.samples.iter().map(|sample| sample.wait_share));
        println!(
            "  {:<24} {:>8.2} {:>8.1} {:>8.0} {:>9.3} {:>9.1} {:>9.2}{}",
            series.name,
            received.median / 1e6,
            1e9 / received.median,
            tsc_hz / received.median,
            copies.median,
            (received.max - received.min) / received.median * 100.0,
            wait.max * 100.0,
            remark(copies.median / series.sends, wait),
        );
    }
    for ratio in &case.ratios {
        let verdict = match ratio.goal {
            None => String::new(),
            Some(goal) if ratio.reaches_goal() => format!("  reaches {goal:.2}"),
            Some(goal) => format!("  MISSES {goal:.2}"),
        };
        println!(
            "  {} ÷ {}: {:.2} ({:.2} to {:.2}){verdict}",
            ratio.ours, ratio.theirs, ratio.speed.median, ratio.speed.min, ratio.speed.max
        );
    }
    for rate in &case.rates {
        let verdict = if rate.pps.median >= rate.goal { "reaches" } else { "MISSES" };
        println!("  {}: {:.2} M/s  {verdict} {:.2} M/s", rate.name, rate.pps.median / 1e6, rate.goal / 1e6);
    }
}

/// What to think of a row: `delivered` is the share of the packets due that were sent.
fn remark(delivered: f64, wait: Spread) -> &'static str {
    if (delivered - 1.0).abs() > LOSS_SHARE_MAX {
        "  loses packets"
    } else if wait.max > WAIT_SHARE_MAX {
        "  disturbed"
    } else {
        ""
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        let empty = Spread::of([]);
        assert_eq!((empty.median, empty.min, empty.max), (0.0, 0.0, 0.0));
    }
}
