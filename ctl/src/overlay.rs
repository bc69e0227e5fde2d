//! `proactl` against the control server: nodes, events, and the overlay's definition.

use std::io::{IsTerminal, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::cli::{DnsVerb, EventVerb, NodeVerb, Noun, OperatorVerb, OverlayVerb, Role};
use crate::http::request;
use crate::table::Table;

const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// Does what a noun of the control server says; returns what to print.
///
/// # Errors
/// Why the server does not do it.
pub fn run(noun: &Noun, socket: &Path, as_json: bool) -> Result<String> {
    let get = |target: &str| request(socket, "GET", target, (JSON, b""));
    let shown = |value: Value, table: fn(&Value) -> String| -> Result<String> {
        Ok(if as_json { serde_json::to_string_pretty(&value)? + "\n" } else { table(&value) })
    };
    match noun {
        Noun::Node(NodeVerb::Show) => shown(get("/v1/nodes")?, nodes),
        Noun::Node(NodeVerb::Add { name }) => {
            let body = json!({ "name": name }).to_string();
            shown(request(socket, "POST", "/v1/nodes", (JSON, body.as_bytes()))?, |answer| {
                format!("{}\n", text(answer, "token"))
            })
        }
        Noun::Node(NodeVerb::Revoke { name }) => {
            let body = json!({ "name": name }).to_string();
            shown(request(socket, "POST", "/v1/nodes/revoke", (JSON, body.as_bytes()))?, |answer| {
                format!("{} is revoked\n", text(answer, "revoked"))
            })
        }
        Noun::Event(EventVerb::Show { after }) => shown(get(&format!("/v1/events?after={after}"))?, events),
        Noun::Event(EventVerb::Audit) => shown(get("/v1/audit")?, audit),
        Noun::Overlay(OverlayVerb::Show) => {
            shown(get("/v1/overlay")?, |answer| text(answer, "text").to_owned())
        }
        Noun::Overlay(OverlayVerb::Status) => shown(get("/v1/status")?, status),
        Noun::Operator(OperatorVerb::Show) => shown(get("/v1/operators")?, operators),
        Noun::Operator(OperatorVerb::Add { name, role }) => {
            let role = match role {
                Role::Viewer => "viewer",
                Role::Operator => "operator",
            };
            let body = json!({ "name": name, "role": role }).to_string();
            let answer = request(socket, "POST", "/v1/operators", (JSON, body.as_bytes()))?;
            shown(answer, |answer| format!("{}\n", text(answer, "token")))
        }
        Noun::Operator(OperatorVerb::Remove { name }) => {
            let body = json!({ "name": name }).to_string();
            let answer = request(socket, "POST", "/v1/operators/remove", (JSON, body.as_bytes()))?;
            shown(answer, |answer| format!("{} is removed\n", text(answer, "removed")))
        }
        Noun::Dns(DnsVerb::Show) => shown(get("/v1/dns")?, dns),
        Noun::Plan { file } => {
            let definition = std::fs::read(file).with_context(|| file.display().to_string())?;
            shown(request(socket, "POST", "/v1/overlay", (TEXT, &definition))?, change)
        }
        Noun::Apply { file, yes } => {
            let definition = std::fs::read(file).with_context(|| file.display().to_string())?;
            let planned = request(socket, "POST", "/v1/overlay", (TEXT, &definition))?;
            if !as_json {
                std::io::stdout().write_all(change(&planned).as_bytes())?;
            }
            if list(&planned, "changes").is_empty() && planned["base"] != 0 {
                return shown(planned, |_| String::new());
            }
            if !yes && !agreed()? {
                bail!("nothing is changed");
            }
            let target = format!("/v1/overlay?base={}", planned["base"]);
            let applied = request(socket, "POST", &target, (TEXT, &definition))?;
            shown(applied, |applied| format!("the overlay is of revision {}\n", applied["revision"]))
        }
        _ => bail!("this is asked of a node"),
    }
}

/// Asks whoever sits at the terminal.
fn agreed() -> Result<bool> {
    if !std::io::stdin().is_terminal() {
        bail!("nobody is there to agree: look at it with `proactl plan`, then apply with --yes");
    }
    print!("Apply? [y/N] ");
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "yes"))
}

fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map_or(&[], Vec::as_slice)
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or("")
}

fn change(planned: &Value) -> String {
    let mut out = String::new();
    for line in list(planned, "changes").iter().filter_map(Value::as_str) {
        out += &format!("{line}\n");
    }
    if out.is_empty() {
        out += "nothing changes\n";
    }
    for set in list(planned, "path_sets") {
        for path in list(set, "paths") {
            let via = path[1].as_array().map_or(&[][..], Vec::as_slice);
            let via: Vec<&str> = via.iter().filter_map(Value::as_str).collect();
            out += &format!("  path set {}: path {} via {}\n", text(set, "name"), path[0], via.join(", "));
        }
    }
    for line in list(planned, "warnings").iter().filter_map(Value::as_str) {
        out += &format!("warning: {line}\n");
    }
    out
}

fn nodes(answer: &Value) -> String {
    let mut table = Table::new(&["node", "state", "revision", "in step", "links up", "alarms"]);
    for node in list(answer, "nodes") {
        let report = &node["report"];
        let state = match (node["joined"] == true, node["connected"] == true, report["ready"] == true) {
            _ if node["revoked"] == true => "revoked",
            (false, ..) => "invited",
            (true, false, _) => "away",
            (true, true, true) => "ready",
            (true, true, false) => "connected",
        };
        let links = list(report, "links");
        let up = links.iter().filter(|link| link["up"] == true).count();
        let revision =
            node["revision"].as_u64().map_or_else(|| "-".to_owned(), |revision| revision.to_string());
        let in_step = if node["in_step"] == true { "yes" } else { "no" };
        table.row([
            text(node, "name").to_owned(),
            state.to_owned(),
            revision,
            in_step.to_owned(),
            format!("{up}/{}", links.len()),
            list(report, "alarms").len().to_string(),
        ]);
    }
    let mut out = table.text();
    for node in list(answer, "nodes") {
        if let Some(refused) = node["refused"].as_array() {
            let why = refused.get(1).and_then(Value::as_str).unwrap_or("");
            out += &format!("{} refuses revision {}: {why}\n", text(node, "name"), refused[0]);
        }
        for alarm in list(&node["report"], "alarms").iter().filter_map(Value::as_str) {
            out += &format!("{}: {alarm}\n", text(node, "name"));
        }
    }
    out
}

fn operators(answer: &Value) -> String {
    let mut table = Table::new(&["operator", "role"]);
    for one in list(answer, "operators") {
        table.row(["name", "role"].map(|key| text(one, key).to_owned()));
    }
    table.text()
}

fn status(status: &Value) -> String {
    let ms = |us: &Value| us.as_f64().map_or_else(|| "-".to_owned(), |us| format!("{:.1}", us / 1e3));
    let percent =
        |ppm: &Value| ppm.as_f64().map_or_else(|| "-".to_owned(), |ppm| format!("{:.2}", ppm / 1e4));
    let mut links = Table::new(&["link", "up", "down", "round trip ms", "lost %"]);
    for link in list(status, "links") {
        let ends: Vec<&str> = list(link, "between").iter().filter_map(Value::as_str).collect();
        let counts = ["up", "down"].map(|key| link[key].to_string());
        let [up, down] = counts;
        links.row([ends.join(" - "), up, down, ms(&link["rtt_us"]), percent(&link["loss_ppm"])]);
    }
    let mut paths = Table::new(&["path set", "path", "through", "state", "round trip ms", "lost %", "won"]);
    for set in list(status, "path_sets") {
        for path in list(set, "paths") {
            let via: Vec<&str> = list(path, "via").iter().filter_map(Value::as_str).collect();
            let state = match path["up"].as_bool() {
                Some(true) => "up",
                Some(false) => "down",
                None => "-",
            };
            paths.row([
                text(set, "name").to_owned(),
                path["path"].to_string(),
                via.join(", "),
                state.to_owned(),
                ms(&path["rtt_us"]),
                percent(&path["loss_ppm"]),
                path["won"].to_string(),
            ]);
        }
    }
    let mut pools = Table::new(&["gateway", "state", "sessions", "room"]);
    for node in list(status, "nodes").iter().filter(|node| !node["sessions"].is_null()) {
        let of = |key: &str| node[key].to_string();
        pools.row([
            text(node, "name").to_owned(),
            text(node, "state").to_owned(),
            of("sessions"),
            of("sessions_max"),
        ]);
    }
    format!("{}\n{}\n{}", links.text(), paths.text(), pools.text())
}

fn dns(answer: &Value) -> String {
    let dns = &answer["dns"];
    if dns.is_null() {
        return "the server has no [dns] in its file\n".to_owned();
    }
    let mut table = Table::new(&["hostname", "address", "edge", "answered"]);
    for host in list(dns, "hosts") {
        for one in list(host, "addresses") {
            let answered = match (host["in_zone"] == true, one["why"].as_str(), one["preferred"] == true) {
                (false, ..) => "no: the name is in another zone".to_owned(),
                (true, Some(why), _) => format!("no: {why}"),
                (true, None, true) => "yes, also to clients in no prefix".to_owned(),
                (true, None, false) => "yes".to_owned(),
            };
            table.row(
                [text(host, "hostname"), text(one, "address"), text(one, "edge"), &answered]
                    .map(str::to_owned),
            );
        }
    }
    let questions = dns["questions"].as_object();
    let counts = questions.into_iter().flatten().filter(|(_, count)| **count != 0);
    let counts: Vec<String> =
        counts.map(|(what, count)| format!("{} {count}", what.replace('_', " "))).collect();
    let counts = if counts.is_empty() { "none yet".to_owned() } else { counts.join(", ") };
    format!("{}questions for {}: {counts}\n", table.text(), text(dns, "zone"))
}

fn events(answer: &Value) -> String {
    let line = |event: &Value| {
        let at = at(&event["at_ms"]);
        format!("{} {at} {} {}\n", event["number"], text(event, "node"), text(event, "what"))
    };
    list(answer, "events").iter().map(line).collect()
}

fn audit(answer: &Value) -> String {
    let line =
        |audit: &Value| format!("{} {} {}\n", at(&audit["at_ms"]), text(audit, "who"), text(audit, "what"));
    list(answer, "audit").iter().map(line).collect()
}

/// A time of day, UTC.
fn at(ms: &Value) -> String {
    let seconds = ms.as_u64().unwrap_or(0) / 1000;
    format!("{:02}:{:02}:{:02}", seconds / 3600 % 24, seconds / 60 % 60, seconds % 60)
}
