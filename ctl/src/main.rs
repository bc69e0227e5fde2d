//! `proactl`: the operator's command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{CommandFactory, Parser};
use proa_ctl::cli::{Cli, NatVerb, Noun};
use proa_ctl::{Response, ask, overlay, print};
use serde_json::{Value, json};

/// Where daemons put their sockets unless told otherwise.
const SOCKETS: &str = "/run/proa";

/// Where the control server puts its socket unless told otherwise.
const SERVER: &str = "/run/proa-server/server.sock";

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proactl: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    if cli.noun.is_for_the_server() {
        let socket = cli.server.as_deref().unwrap_or(Path::new(SERVER));
        return write(&overlay::run(&cli.noun, socket, cli.json)?);
    }
    let Some(request) = cli.noun.request().map_err(anyhow::Error::msg)? else {
        return without_daemon(&cli.noun);
    };
    let socket = match &cli.socket {
        Some(path) => path.clone(),
        None => only_socket(Path::new(SOCKETS))?,
    };
    let mut answer = Vec::new();
    ask(&socket, &request, |response| answer.push(response))?;
    if answer.is_empty() {
        bail!("proa has closed the connection without an answer");
    }
    let text = if cli.json {
        serde_json::to_string_pretty(&as_json(&cli.noun, answer))? + "\n"
    } else {
        print(&answer, cli.noun.wants_all())
    };
    write(&text)
}

/// A reader that has seen enough (`| head`) is no error.
fn write(text: &str) -> Result<()> {
    use std::io::Write;
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        result => result.context("standard output"),
    }
}

fn as_json(noun: &Noun, answer: Vec<Response>) -> Value {
    let name = match noun {
        Noun::Nat(NatVerb::Show(_)) => "sessions",
        Noun::Nat(NatVerb::Pool { .. }) => "pool",
        Noun::Nat(NatVerb::Client { .. }) => "clients",
        Noun::Stream(_) => "streams",
        _ => "flows",
    };
    let mut entries = Vec::new();
    for response in answer {
        match response {
            Response::Status(status) => return json!(status),
            Response::Paths(paths) => return json!(paths),
            Response::Drops(drops) => return json!({ "drops": drops }),
            Response::Keys(keys) => return json!(keys),
            Response::Gateways(gateways) => return json!(gateways),
            Response::Prefixes(prefixes) => return json!(prefixes),
            Response::Traces(traces) => return json!(traces),
            Response::Links(links) => return json!(links),
            Response::Flow(flow) => entries.push(json!(flow)),
            Response::Session(session) => entries.push(json!(session)),
            Response::Stream(stream) => entries.push(json!(stream)),
            Response::PoolUse(used) => entries.push(json!(used)),
            Response::Client(client) => entries.push(json!(client)),
            Response::End(end) => return json!({ name: entries, "more": end.more }),
            Response::Error(_) => {}
        }
    }
    Value::Null
}

fn only_socket(directory: &Path) -> Result<PathBuf> {
    let entries = std::fs::read_dir(directory).with_context(|| {
        format!("no proa has its socket in {}; name one with --socket", directory.display())
    })?;
    let mut sockets: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "sock"))
        .collect();
    match (sockets.pop(), sockets.is_empty()) {
        (Some(socket), true) => Ok(socket),
        (None, _) => bail!("no proa has its socket in {}; name one with --socket", directory.display()),
        _ => bail!("several sockets in {}; name one with --socket", directory.display()),
    }
}

fn without_daemon(noun: &Noun) -> Result<()> {
    let mut command = Cli::command();
    match noun {
        Noun::Completions { shell } => {
            clap_complete::generate(*shell, &mut command, "proactl", &mut std::io::stdout());
        }
        Noun::Man { directory } => clap_mangen::generate_to(command, directory)?,
        _ => {}
    }
    Ok(())
}
