//! `proa`: the daemon.

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use conf::{Config, Loaded};
use proa_appliance::cli::{Cli, Command, KeyCommand};
use proa_appliance::host::{self, Verdict};
use proa_appliance::replay::{self, Options};
use proa_appliance::{check, join, key, run};

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Run { config } => run_node(&config),
        Command::Check { config, host } => check_config(&config, host),
        Command::Replay { config, input, output, port, mac, neighbor } => {
            let options = Options { port, macs: mac, neighbors: neighbor };
            replay_capture(&config, &input, &output, &options)
        }
        Command::Join { config, token } => {
            let token = token.map_or_else(first_line, Ok);
            result(token.and_then(|token| join::join(&config, &token)).map(|line| println!("{line}")))
        }
        Command::Key { command } => {
            let line = match command {
                KeyCommand::Generate { out } => key::generate(&out),
                KeyCommand::Show { file } => key::show(&file),
            };
            result(line.map(|line| println!("{line}")))
        }
        Command::Version => {
            println!("proa {} on {}", env!("CARGO_PKG_VERSION"), dpdk::Eal::version());
            ExitCode::SUCCESS
        }
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "proa", &mut std::io::stdout());
            ExitCode::SUCCESS
        }
        Command::Man { directory } => {
            result(clap_mangen::generate_to(Cli::command(), directory).map_err(|error| error.to_string()))
        }
    }
}

fn first_line() -> Result<String, String> {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|error| error.to_string())?;
    Ok(line)
}

fn run_node(config: &Path) -> ExitCode {
    start_log();
    match run::run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(run::Error::Config(errors)) => tell(&errors),
        Err(error) => result(Err(error.to_string())),
    }
}

fn check_config(config: &Path, with_host: bool) -> ExitCode {
    let loaded = match load(config) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    print!("{}", check::summary(&loaded));
    if let Err(error) = loaded.config.identity() {
        return result(Err(error.to_string()));
    }
    if !with_host {
        return ExitCode::SUCCESS;
    }
    let findings = host::look(&loaded.config, Path::new("/"));
    findings.iter().for_each(|finding| println!("{finding}"));
    let works = findings.iter().all(|finding| finding.verdict != Verdict::Bad);
    if works { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay_capture(config: &Path, input: &Path, output: &Path, options: &Options) -> ExitCode {
    let loaded = match load(config) {
        Ok(loaded) => loaded,
        Err(code) => return code,
    };
    let replayed = replay::replay(loaded.config, input, output, options);
    result(replayed.map(|counters| print!("{counters}")).map_err(|error| error.to_string()))
}

/// A configuration, its warnings told; or everything wrong with it.
fn load(config: &Path) -> Result<Loaded, ExitCode> {
    let loaded = Config::load(config).map_err(|errors| tell(&errors))?;
    for warning in &loaded.warnings {
        eprint!("{}", warning.picture(stderr().is_terminal(), width()));
    }
    Ok(loaded)
}

fn tell(errors: &conf::Errors) -> ExitCode {
    eprint!("{}", errors.picture(stderr().is_terminal(), width()));
    ExitCode::FAILURE
}

fn result(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("proa: {message}");
            ExitCode::FAILURE
        }
    }
}

fn width() -> usize {
    rustix::termios::tcgetwinsize(stderr()).map_or(100, |size| usize::from(size.ws_col).clamp(60, 140))
}

/// Logs to standard error; the journal adds its own time.
fn start_log() {
    use tracing_subscriber::EnvFilter;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let log =
        tracing_subscriber::fmt().with_writer(stderr).with_ansi(stderr().is_terminal()).with_target(false);
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        log.with_env_filter(filter).without_time().init();
    } else {
        log.with_env_filter(filter).init();
    }
}
