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
    /// Ours ÷ theirs in packets received per second (the inverse of times), of the windows of one round.
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

    /// Adds the ratio of two of the case's forwarders; does nothing where one was not run. Goals are set for
    /// the smallest frames.
    pub fn compare(&mut self, ours: &str, theirs: &str, goal: Option<f64>) {
        self.compare_costs(Cost::Whole(ours), Cost::Whole(theirs), goal);
    }

    /// As [`Case::compare`], where either may be what one forwarder costs above another.
    pub fn compare_costs(&mut self, ours: Cost, theirs: Cost, goal: Option<f64>) {
        let (Some(own), Some(other)) = (self.times(ours), self.times(theirs)) else { return };
        let speed = Spread::of(own.iter().zip(&other).map(|(own, other)| other / own));
        let goal = goal.filter(|_| self.frame == GOAL_FRAME);
        self.ratios.push(Ratio { ours: ours.name(), theirs: theirs.name(), speed, goal });
    }

    /// Seconds per packet received, round by round.
    fn times(&self, cost: Cost) -> Option<Vec<f64>> {
        let times = |name: &str| {
            let series = self.series.iter().find(|series| series.name == name)?;
            Some(series.samples.iter().map(|sample| sample.received_pps.recip()).collect::<Vec<_>>())
        };
        match cost {
            Cost::Whole(name) => times(name),
            Cost::Above(name, base) => {
                Some(times(name)?.iter().zip(times(base)?).map(|(whole, base)| whole - base).collect())
            }
        }
    }
}

/// The frames that goals are set for: bytes on the wire.
const GOAL_FRAME: usize = 64;

/// A time per packet to compare.
#[derive(Clone, Copy, Debug)]
pub enum Cost<'a> {
    /// A forwarder's.
    Whole(&'a str),
    /// What the first forwarder takes longer than the second.
    Above(&'a str, &'a str),
}

impl Cost<'_> {
    fn name(self) -> String {
        match self {
            Cost::Whole(name) => name.to_owned(),
            Cost::Above(name, base) => format!("({name} − {base})"),
        }
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
    use crate::sample::Sample;

    #[test]
    fn the_median_is_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]).median, 2.0);
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]).median, 2.5);
        let empty = Spread::of([]);
        assert_eq!((empty.median, empty.min, empty.max), (0.0, 0.0, 0.0));
    }

    #[test]
    fn baselines_are_taken_out_round_by_round_and_goals_are_for_small_frames() {
        let series = |name: &str, ns: [f64; 2]| Series {
            name: name.to_owned(),
            sends: 1.0,
            samples: ns
                .map(|ns| Sample { received_pps: 1e9 / ns, sent_pps: 0.0, wait_share: 0.0, repeated: 0 })
                .into(),
        };
        let mut case = Case {
            name: String::new(),
            flows: 1,
            frame: 64,
            series: vec![
                series("ours", [50.0, 60.0]),
                series("base", [10.0, 20.0]),
                series("theirs", [400.0, 800.0]),
            ],
            ratios: Vec::new(),
            rates: Vec::new(),
        };
        case.compare_costs(Cost::Above("ours", "base"), Cost::Whole("theirs"), Some(10.0));
        case.frame = 512;
        case.compare("ours", "theirs", Some(10.0));
        case.compare("ours", "nobody", None);
        let [net, whole] = &case.ratios[..] else { panic!("{:?}", case.ratios) };
        assert!((net.speed.min - 10.0).abs() < 1e-6 && (net.speed.max - 20.0).abs() < 1e-6);
        assert_eq!(net.goal, Some(10.0));
        assert!((whole.speed.min - 8.0).abs() < 1e-6);
        assert_eq!(whole.goal, None);
    }
}
