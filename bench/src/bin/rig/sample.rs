//! One window of one forwarder, and many windows of several, taken in turns.

use crate::subject::Subject;
use miette::Result;
use serde::Serialize;
use std::thread::sleep;
use std::time::Duration;

/// How windows are taken.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Plan {
    /// Windows per forwarder.
    pub rounds: usize,
    /// Length of a window in seconds.
    pub window_s: f64,
    /// How long a forwarder runs before its window begins, to warm its caches, in seconds.
    pub warm_up_s: f64,
    /// How often a disturbed window is repeated.
    pub repeats: usize,
}

/// The greatest share of a window that a worker may wait for its core.
pub const WAIT_SHARE_MAX: f64 = 0.01;
/// The greatest share of packets that a forwarder may lose; a daemon consumes the ARP requests in its capture.
pub const LOSS_SHARE_MAX: f64 = 0.005;

/// One window.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// Packets received per second of the worker's time on its core.
    pub received_pps: f64,
    /// Packets sent per second of the worker's time on its core.
    pub sent_pps: f64,
    /// Share of the window that the worker waited for its core.
    pub wait_share: f64,
    /// Windows thrown away before this one because their wait was too long.
    pub repeated: usize,
}

/// All windows of one forwarder.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    /// The forwarder.
    pub name: String,
    /// Packets that it should send for each that it receives.
    pub sends: f64,
    /// Its windows, in the order of the rounds.
    pub samples: Vec<Sample>,
}

/// Takes the plan's windows: every forwarder once per round, in the order given.
///
/// # Errors
/// Where a forwarder dies.
pub fn take(
    plan: Plan,
    subjects: &mut [Subject],
    mut progress: impl FnMut(usize, &str),
) -> Result<Vec<Series>> {
    let mut series: Vec<Series> = subjects
        .iter()
        .map(|subject| Series {
            name: subject.name().to_owned(),
            sends: subject.sends(),
            samples: Vec::new(),
        })
        .collect();
    for round in 0..plan.rounds {
        for (subject, series) in subjects.iter_mut().zip(&mut series) {
            progress(round, subject.name());
            subject.proceed()?;
            sleep(Duration::from_secs_f64(plan.warm_up_s));
            let sample = undisturbed(plan, subject)?;
            subject.pause()?;
            series.samples.push(sample);
        }
    }
    Ok(series)
}

fn undisturbed(plan: Plan, subject: &mut Subject) -> Result<Sample> {
    let mut best = window(plan, subject)?;
    for repeated in 1..=plan.repeats {
        if best.wait_share <= WAIT_SHARE_MAX {
            break;
        }
        let next = window(plan, subject)?;
        if next.wait_share < best.wait_share {
            best = next;
        }
        best.repeated = repeated;
    }
    Ok(best)
}

fn window(plan: Plan, subject: &mut Subject) -> Result<Sample> {
    let wait_before = subject.run_queue_wait()?;
    let before = subject.counts()?;
    sleep(Duration::from_secs_f64(plan.window_s));
    let after = subject.counts()?;
    let wait = subject.run_queue_wait()?.saturating_sub(wait_before).as_secs_f64();
    let elapsed = (after.at - before.at).as_secs_f64();
    let running = match before.busy.zip(after.busy) {
        Some((before, after)) => (after - before).as_secs_f64(),
        None => elapsed - wait,
    };
    let running = running.max(elapsed / 1_000.0);
    Ok(Sample {
        received_pps: (after.received - before.received) as f64 / running,
        sent_pps: (after.sent - before.sent) as f64 / running,
        wait_share: wait / elapsed,
        repeated: 0,
    })
}
