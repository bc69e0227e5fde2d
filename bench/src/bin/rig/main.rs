//! The rig: Proa's roles and their peers in a closed loop on one core, on the same frames, in turns.

mod capture;
mod cases;
mod daemon;
mod host;
mod namespace;
mod peers;
mod proa;
mod process;
mod report;
mod sample;
mod send;
mod subject;
mod suite;
mod telemetry;
mod worker;

use clap::{Args, Parser, Subcommand};
use miette::{IntoDiagnostic, Result};
use std::path::PathBuf;

#[derive(Parser)]
#[command(name = "rig", about = "Measures Proa's roles and their peers in a closed loop on one core")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the cases, print their table and write it as JSON
    Run(Run),
    /// One role in a process of its own; the rig starts these itself
    #[command(hide = true)]
    Worker(worker::Worker),
    /// A capture into a network device of the kernel; the rig starts these itself
    #[command(hide = true)]
    Send(send::Sender),
}

/// What to run.
#[derive(Args)]
pub struct Run {
    /// Fewer and shorter windows, 64 B frames only: minutes become a minute
    #[arg(long)]
    quick: bool,
    /// The cases to run, by a part of their name; all of them without
    #[arg(long, value_name = "PART")]
    only: Vec<String>,
    /// Clients' frames on the wire, check sequence included, in bytes
    #[arg(long, value_delimiter = ',', num_args = 1.., default_value = "64,512,1400")]
    frames: Vec<usize>,
    /// Windows per forwarder and case
    #[arg(long)]
    rounds: Option<usize>,
    /// Length of a window in seconds
    #[arg(long)]
    window: Option<f64>,
    /// Where captures, logs and results go
    #[arg(long, default_value = "bench/out")]
    out: PathBuf,
}

fn main() -> Result<()> {
    match Cli::parse().command {
        Command::Worker(worker) => worker::run(&worker),
        Command::Send(sender) => send::run(&sender),
        Command::Run(run) => {
            std::fs::create_dir_all(&run.out).into_diagnostic()?;
            let report = suite::run(&run)?;
            report.write(&run.out)?;
            println!("\nwritten to {}", run.out.join(format!("rig-{}.json", report.at)).display());
            if !report.reaches_goals() {
                println!("not every goal is reached");
            }
            Ok(())
        }
    }
}
