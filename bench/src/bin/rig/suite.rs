//! Runs the cases: starts their forwarders, takes their windows in turns, and reports.

use crate::Run;
use crate::capture::Load;
use crate::cases::{CASES, Place, Spec};
use crate::host;
use crate::peers::l3fwd;
use crate::report::{self, Case, Report};
use crate::sample::{self, Plan};
use miette::{IntoDiagnostic, Result, WrapErr};
use std::io::{IsTerminal, stderr};

/// Free hugepages of 2 MiB that the largest case needs.
const HUGEPAGES: usize = 640;

/// Runs the cases that `run` asks for.
///
/// # Errors
/// Where the machine cannot run the rig, or a forwarder fails.
pub fn run(run: &Run) -> Result<Report> {
    host::prepare(HUGEPAGES)?;
    let mut report = Report::new(host::describe()?, plan(run));
    let out = run.out.canonicalize().into_diagnostic()?;
    let host = &report.host;
    println!("{} · {:.2} GHz · DPDK {}", host.processor, host.tsc_hz / 1e9, host.dpdk);
    l3fwd::build(&out)?;
    for (spec, size) in chosen(run) {
        let place = Place { out: out.clone(), load: Load { flows: spec.flows, size } };
        let case = take(spec, &place, report.plan).wrap_err_with(|| format!("{}, {size} B", spec.name))?;
        report::print(&case, report.host.tsc_hz);
        report.cases.push(case);
    }
    Ok(report)
}

fn take(spec: &Spec, place: &Place, plan: Plan) -> Result<Case> {
    let is_watched = stderr().is_terminal();
    let size = place.load.size;
    let mut subjects = (spec.start)(place)?;
    let series = sample::take(plan, &mut subjects, |round, subject| {
        if is_watched {
            eprint!("\r{}, {size} B: {} of {}: {subject:<28}", spec.name, round + 1, plan.rounds);
        }
    })?;
    if is_watched {
        eprint!("\r{:<78}\r", "");
    }
    let name = spec.name.to_owned();
    let mut case =
        Case { name, flows: spec.flows, frame: size, series, ratios: Vec::new(), rates: Vec::new() };
    (spec.compare)(&mut case);
    Ok(case)
}

fn chosen(run: &Run) -> Vec<(&'static Spec, usize)> {
    let is_wanted = |spec: &&Spec| match run.only.as_slice() {
        [] => spec.quick || !run.quick,
        parts => parts.iter().any(|part| spec.name.contains(part.as_str())),
    };
    let sizes = if run.quick { &run.frames[..1] } else { &run.frames };
    CASES
        .iter()
        .filter(is_wanted)
        .flat_map(|spec| {
            let sizes = if spec.all_sizes { sizes } else { &sizes[..1] };
            sizes.iter().map(move |size| (spec, *size))
        })
        .collect()
}

fn plan(run: &Run) -> Plan {
    let (rounds, window_s, repeats) = if run.quick { (3, 0.5, 1) } else { (7, 1.5, 4) };
    Plan {
        rounds: run.rounds.unwrap_or(rounds),
        window_s: run.window.unwrap_or(window_s),
        warm_up_s: 0.2,
        repeats,
    }
}
