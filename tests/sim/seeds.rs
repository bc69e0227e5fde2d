//! Running a test over many seeds, and saying how to repeat the one that failed.

use std::env;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Runs a test once for each seed: from 1 to `default`, or to `PROA_SIM_SEEDS` times as many, or for
/// `PROA_SIM_SEED` alone. A failure names its seed and the command that repeats it. `file` is the test's file
/// without its ending, `name` the test.
pub fn seeds(file: &str, name: &str, default: u64, mut run: impl FnMut(u64)) {
    let number = |variable: &str| env::var(variable).ok().and_then(|value| value.parse::<u64>().ok());
    let chosen = match number("PROA_SIM_SEED") {
        Some(seed) => seed..=seed,
        None => 1..=default * number("PROA_SIM_SEEDS").unwrap_or(1),
    };
    for seed in chosen {
        if let Err(failure) = catch_unwind(AssertUnwindSafe(|| run(seed))) {
            eprintln!(
                "\nseed {seed} failed; to repeat it:\n  PROA_SIM_SEED={seed} cargo test -p proa-tests --test {file} -- --exact {name} --nocapture\n"
            );
            resume_unwind(failure);
        }
    }
}

/// As many as the seed says, between two bounds: a shorthand for tests that vary a number.
pub fn several(seed: u64, least: u64, most: u64) -> u64 {
    super::Random::new(seed, 77).within(least..=most)
}
