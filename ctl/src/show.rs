//! Answers in the form that people read.

use crate::liveness::{Neighbor, Percentiles};
use crate::response::{Drop, End, Flow, Path, Port, Response, Session, Status, Worker};
use crate::show_choices::show_choices;
use crate::show_gateways::show_gateways;
use crate::show_keys::show_keys;
use crate::show_links;
use crate::show_nat::{show_clients, show_pool, show_prefixes};
use crate::show_steps::show_steps;
use crate::show_streams::{show_alarms, show_streams};
use crate::show_traces::show_traces;
use crate::table::{Table, percent, thousands};

/// An answer as text; `all` shows reasons that never occurred, and all nodes' links, too.
pub fn print(answer: &[Response], all: bool) -> String {
    let mut text = String::new();
    let flows: Vec<&Flow> =
        answer.iter().filter_map(|r| if let Response::Flow(flow) = r { Some(flow) } else { None }).collect();
    let sessions: Vec<&Session> = answer
        .iter()
        .filter_map(|r| if let Response::Session(session) = r { Some(session) } else { None })
        .collect();
    if !flows.is_empty() {
        text += &show_flows(&flows);
    }
    if !sessions.is_empty() {
        text += &show_sessions(&sessions);
    }
    text +=
        &show_pool(answer.iter().filter_map(|r| if let Response::PoolUse(p) = r { Some(p) } else { None }));
    text +=
        &show_clients(answer.iter().filter_map(|r| if let Response::Client(c) = r { Some(c) } else { None }));
    text +=
        &show_streams(answer.iter().filter_map(|r| if let Response::Stream(s) = r { Some(s) } else { None }));
    for response in answer {
        match response {
            Response::Status(status) => text += &show_status(status),
            Response::Paths(shown) => {
                text +=
                    &(show_paths(&shown.paths) + &show_choices(&shown.choices) + &show_steps(&shown.steps));
            }
            Response::Drops(drops) => text += &show_drops(drops, all),
            Response::Keys(keys) => text += &show_keys(keys),
            Response::Gateways(gateways) => text += &show_gateways(gateways),
            Response::Prefixes(prefixes) => text += &show_prefixes(prefixes),
            Response::Traces(traces) => text += &show_traces(traces),
            Response::Links(links) => text += &show_links::show_links(links, all),
            Response::End(End { shown: 0, .. }) => text += "none\n",
            Response::End(End { shown, more: true }) => {
                text += &format!("the first {}; there are more\n", thousands(*shown));
            }
            Response::End(_)
            | Response::Flow(_)
            | Response::Session(_)
            | Response::PoolUse(_)
            | Response::Client(_)
            | Response::Stream(_)
            | Response::Error(_) => {}
        }
    }
    text
}

fn show_status(status: &Status) -> String {
    let Status { node, id, region, version, dpdk, .. } = status;
    let ready = if status.ready { "ready" } else { "not ready" };
    let mut text = format!("{node} (node {id}, {}, {region}): {ready}\n", status.roles.join(" and "));
    text += &format!("proa {version} on {dpdk}, up {}", duration(status.uptime_seconds));
    if status.reloads + status.reloads_refused > 0 {
        text += &format!(", {} reloads, {} refused", status.reloads, status.reloads_refused);
    }
    text += "\n\n";
    text += &show_ports(&status.ports);
    text.push('\n');
    text += &show_workers(&status.workers);
    text.push('\n');
    text += &show_alarms(&status.workers);
    if !status.links.is_empty() {
        text += &show_links(&status.links);
        text.push('\n');
    }
    let mut table = Table::new(&["", "used", "of", ""]);
    for (name, used, capacity) in [
        ("buffers", status.buffers_used, status.buffers_capacity),
        ("flows", status.flows_used, status.flows_capacity),
        ("sessions", status.sessions_used, status.sessions_capacity),
    ] {
        table.row([name.to_owned(), thousands(used), thousands(capacity), percent(used, capacity)]);
    }
    text += &table.text();
    text += &format!("\nneighbours known: {}", thousands(status.neighbors.known));
    for (port, address) in &status.neighbors.unresolved {
        text += &format!("\nnext hop without an answer: {address} on {port}");
    }
    if status.neighbors.conflicts > 0 {
        text +=
            &format!("\nour addresses claimed by others: {} times", thousands(status.neighbors.conflicts));
    }
    text + "\n"
}

fn show_ports(ports: &[Port]) -> String {
    let mut table = Table::new(&[
        "port",
        "link",
        "ethernet",
        "rx packets",
        "rx bytes",
        "rx missed",
        "tx packets",
        "tx bytes",
    ]);
    for port in ports {
        let link = match (port.link.up, port.link.speed_mbps) {
            (false, _) => "down".to_owned(),
            (true, None) => "up".to_owned(),
            (true, Some(mbps)) if mbps % 1000 == 0 => format!("up, {} Gbit/s", mbps / 1000),
            (true, Some(mbps)) => format!("up, {mbps} Mbit/s"),
        };
        let counts = [port.rx_packets, port.rx_bytes, port.rx_missed, port.tx_packets, port.tx_bytes];
        table.row([port.name.clone(), link, port.mac.clone()].into_iter().chain(counts.map(thousands)));
    }
    table.text()
}

fn show_workers(workers: &[Worker]) -> String {
    let mut table =
        Table::new(&["worker", "core", "busy", "packets", "flows", "sessions", "streams", "handed off"]);
    for (number, worker) in workers.iter().enumerate() {
        let counts = [worker.packets, worker.flows, worker.sessions, worker.streams, worker.handed_off];
        let busy = format!("{:.1} %", worker.busy * 100.0);
        table.row(
            [number.to_string(), worker.core.to_string(), busy].into_iter().chain(counts.map(thousands)),
        );
    }
    table.text()
}

fn show_paths(paths: &[Path]) -> String {
    let won: u64 = paths.iter().map(|path| path.passed).sum();
    let mut table = Table::new(&[
        "path",
        "regions",
        "sent",
        "forwarded",
        "received",
        "passed",
        "discarded",
        "rogue",
        "out of order",
        "won",
    ]);
    for path in paths {
        let counts = [
            path.sent,
            path.forwarded,
            path.received,
            path.passed,
            path.discarded,
            path.rogue,
            path.out_of_order,
        ];
        let name = [path.path.to_string(), path.regions.join(" - ")];
        table.row(name.into_iter().chain(counts.map(thousands)).chain([percent(path.passed, won)]));
    }
    if paths.is_empty() {
        "none\n".to_owned()
    } else {
        table.text() + &show_ends(paths) + &show_incoming(paths)
    }
}

fn show_links(links: &[Neighbor]) -> String {
    let mut table = Table::new(&[
        "link to",
        "address",
        "MTU",
        "BFD",
        "used",
        "for",
        "deaths",
        "interval",
        "detection",
        "sent",
        "received",
        "refused",
    ]);
    for link in links {
        let session = match link.session.as_str() {
            "up" => "up".to_owned(),
            state => format!("{state} ({})", link.diagnostic),
        };
        let mtu = link.mtu.to_string() + if link.mtu_searching { "+" } else { "" };
        let name = [link.node.clone(), link.address.to_string(), mtu, session, link.state.clone()];
        let times = [
            duration(link.since_ms / 1000),
            thousands(link.deaths),
            format!("{} ms", link.interval_us / 1000),
            format!("{} ms", link.detection_ms),
        ];
        let counts = [link.sent, link.received, link.refused].map(thousands);
        table.row(name.into_iter().chain(times).chain(counts));
    }
    table.text()
}

/// Of paths that end here: whether they live, and how well.
fn show_ends(paths: &[Path]) -> String {
    let mut table = Table::new(&[
        "path",
        "to",
        "used",
        "state",
        "for",
        "deaths",
        "loss there",
        "loss back",
        "round trip ms",
        "variation there ms",
        "variation back ms",
    ]);
    let mut count = 0;
    for (path, end) in paths.iter().flat_map(|path| path.ends.iter().map(move |end| (path, end))) {
        let share =
            |percent: Option<f64>| percent.map_or("-".to_owned(), |percent| format!("{percent:.2} %"));
        let quality = end.quality.as_ref();
        let name = [path.path.to_string(), format!("{} (IPv{})", end.node, end.version)];
        let state = [
            if end.usable { "yes" } else { "no" }.to_owned(),
            end.state.clone(),
            duration(end.since_ms / 1000),
            thousands(end.deaths),
            share(quality.and_then(|quality| quality.loss_forward_percent)),
            share(quality.and_then(|quality| quality.loss_backward_percent)),
            percentiles(quality.and_then(|quality| quality.round_trip_us)),
            percentiles(quality.and_then(|quality| quality.variation_forward_us)),
            percentiles(quality.and_then(|quality| quality.variation_backward_us)),
        ];
        table.row(name.into_iter().chain(state));
        count += 1;
    }
    if count == 0 { String::new() } else { format!("\n{}(times: p50 / p90 / p99)\n", table.text()) }
}

/// Data on paths that end here, as their senders numbered it.
fn show_incoming(paths: &[Path]) -> String {
    let mut table = Table::new(&["path", "data from", "received", "lost on the way", "of the last minutes"]);
    let mut count = 0;
    for (path, from) in paths.iter().flat_map(|path| path.incoming.iter().map(move |from| (path, from))) {
        table.row([
            path.path.to_string(),
            from.node.clone(),
            thousands(from.received),
            thousands(from.lost),
            from.loss_percent.map_or("-".to_owned(), |percent| format!("{percent:.3} %")),
        ]);
        count += 1;
    }
    if count == 0 { String::new() } else { format!("\n{}", table.text()) }
}

fn percentiles(us: Option<Percentiles>) -> String {
    let show = |Percentiles { p50, p90, p99 }| {
        let [p50, p90, p99] = [p50, p90, p99].map(|us: f64| format!("{:.2}", us / 1000.0));
        format!("{p50} / {p90} / {p99}")
    };
    us.map_or("-".to_owned(), show)
}

fn show_drops(drops: &[Drop], all: bool) -> String {
    let mut table = Table::new(&["reason", "packets", "description"]);
    let shown: Vec<&Drop> = drops.iter().filter(|drop| all || drop.packets > 0).collect();
    for drop in &shown {
        table.row([drop.reason.clone(), thousands(drop.packets), drop.description.clone()]);
    }
    if shown.is_empty() { "none\n".to_owned() } else { table.text() }
}

fn show_flows(flows: &[&Flow]) -> String {
    let mut table = Table::new(&[
        "protocol",
        "client",
        "virtual IP",
        "application",
        "gateway",
        "routing",
        "stream",
        "worker",
        "idle s",
    ]);
    for flow in flows {
        table.row([
            flow.protocol.name().to_owned(),
            end_point(flow.client, flow.client_port),
            end_point(flow.vip, flow.vip_port),
            flow.application.clone(),
            flow.gateway.clone(),
            flow.routing.clone(),
            flow.stream.to_string(),
            flow.worker.to_string(),
            thousands(flow.packets),
            flow.idle_seconds.to_string(),
        ]);
    }
    table.text()
}

fn show_sessions(sessions: &[&Session]) -> String {
    let mut table =
        Table::new(&["protocol", "client", "virtual IP", "external", "origin", "state", "worker", "left s"]);
    for session in sessions {
        table.row([
            session.protocol.name().to_owned(),
            end_point(session.client, session.client_port),
            end_point(session.vip, session.vip_port),
            end_point(session.external, session.external_port),
            end_point(session.origin, session.origin_port),
            session.state.clone(),
            session.worker.to_string(),
            session.seconds_left.to_string(),
        ]);
    }
    table.text()
}

fn end_point(address: std::net::IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(address, port).to_string()
}

pub(crate) fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {minutes} min"),
        _ => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choices::Paths;
    use crate::liveness::{PathEnd, Quality};

    #[test]
    fn paths_show_who_won() {
        let path = |path, passed, discarded| Path {
            path,
            passed,
            discarded,
            received: passed + discarded,
            regions: vec!["paris".to_owned(), "london".to_owned(), "frankfurt".to_owned()],
            ..Path::default()
        };
        let text = print(
            &[Response::Paths(Box::new(Paths {
                paths: vec![path(1, 75, 25), path(2, 25, 75)],
                choices: Vec::new(),
                steps: Vec::new(),
            }))],
            false,
        );
        assert!(text.contains("paris - london - frankfurt"), "{text}");
        assert!(text.lines().nth(1).unwrap().ends_with("75.0 %"), "{text}");
    }

    #[test]
    fn a_dead_path_is_seen_and_a_path_without_probes_shows_no_figures() {
        let end = |usable, quality| PathEnd {
            node: "gateway-1".to_owned(),
            version: 4,
            usable,
            state: if usable { "up" } else { "down" }.to_owned(),
            since_ms: 65_000,
            deaths: 1,
            quality,
        };
        let round_trip_us = Some(Percentiles { p50: 1500.0, p90: 2500.0, p99: 12_345.6 });
        let quality = Quality {
            probes: 1000,
            lost_forward: 5,
            lost_backward: 0,
            loss_forward_percent: Some(0.5),
            loss_backward_percent: Some(0.0),
            round_trip_us,
            variation_forward_us: None,
            variation_backward_us: None,
        };
        let path =
            Path { path: 7, ends: vec![end(true, Some(quality)), end(false, None)], ..Path::default() };
        let text = print(
            &[Response::Paths(Box::new(Paths { paths: vec![path], choices: Vec::new(), steps: Vec::new() }))],
            false,
        );
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[4].contains("0.50 %") && lines[4].contains("1.50 / 2.50 / 12.35"), "{text}");
        assert!(lines[5].contains("down") && !lines[5].contains('%'), "{text}");
    }

    #[test]
    fn drops_hide_what_never_happened_unless_asked() {
        let drop = |reason: &str, packets| Drop {
            reason: reason.to_owned(),
            packets,
            description: "It.".to_owned(),
        };
        let answer = [Response::Drops(vec![drop("one", 0), drop("two", 7)])];
        assert_eq!(print(&answer, false).lines().count(), 2);
        assert_eq!(print(&answer, true).lines().count(), 3);
        assert_eq!(print(&[Response::Drops(Vec::new())], false), "none\n");
    }

    #[test]
    fn durations_keep_two_units() {
        let shown = [5, 65, 3700, 90_000].map(duration);
        assert_eq!(shown, ["5 s", "1 min 5 s", "1 h 1 min", "1 d 1 h"]);
    }
}
