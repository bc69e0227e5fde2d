//! `proa-server`: the control server.

use std::io::{IsTerminal, stderr};
use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use proa_server::cli::{Cli, Command, NodeCommand};
use proa_server::run;

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Init { config } => run::init(&config),
        Command::Run { config } => {
            start_log();
            run::run(&config)
        }
        Command::Node(NodeCommand::Add { name, config }) => run::registry(&config).and_then(|registry| {
            println!("{}", registry.add_node(&name, "proa-server")?);
            Ok(())
        }),
        Command::Node(NodeCommand::Revoke { name, config }) => run::registry(&config).and_then(|registry| {
            registry.revoke(&name, "proa-server node revoke")?;
            println!("{name} is revoked");
            Ok(())
        }),
        Command::Completions { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "proa-server", &mut std::io::stdout());
            Ok(())
        }
        Command::Man { directory } => {
            clap_mangen::generate_to(Cli::command(), directory).map_err(run::Error::from)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(run::Error::Config(errors)) => {
            eprint!("{}", errors.picture(stderr().is_terminal(), 100));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("proa-server: {error}");
            ExitCode::FAILURE
        }
    }
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
