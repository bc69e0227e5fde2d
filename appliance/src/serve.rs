//! Between the server's clients and the node's state: who asks what, and gets which answer.

use std::time::Instant;

use ctl::{Link, ListRequest, Request, Response};
use dpdk::{Mempool, Pool, Port};
use mio::Token;

use crate::core::Core;
use crate::listing::Table;
use crate::metrics;
use crate::report::{Device, Process};
use crate::server::{Asked, Server};

/// Shortest time over which a busy share is told, ns.
const BUSY_NS_MIN: u64 = 100_000_000;

/// The server, and what it must remember between questions.
pub struct Serving {
    server: Server,
    started_ns: u64,
    busy: Busy,
}

/// The workers' busy time at the last question.
struct Busy {
    asked_ns: u64,
    busy_ns: Vec<u64>,
    shares: Vec<f64>,
}

impl Serving {
    /// Serves from now on.
    pub fn new(server: Server, now_ns: u64, workers: usize) -> Serving {
        let busy = Busy { asked_ns: now_ns, busy_ns: vec![0; workers], shares: vec![0.0; workers] };
        Serving { server, started_ns: now_ns, busy }
    }

    /// Something happened at one of the server's tokens.
    pub fn ready(
        &mut self,
        token: Token,
        now_ns: u64,
        core: &mut Core<Pool>,
        ports: &[Port],
        mempool: &Mempool,
    ) {
        let Some((client, asked)) = self.server.ready(token) else { return };
        // Ages are told as of now.
        core.now_ns = now_ns;
        match asked {
            Asked::Http(line) => {
                let process = self.process(now_ns, core, ports, mempool);
                let answer = http(&line, || metrics::text(core, &process));
                self.server.reply(client, answer.as_bytes(), true);
            }
            Asked::Control(Err(problem)) => self.respond(client, Response::Error(problem)),
            Asked::Control(Ok(request)) => match request {
                Request::Status => {
                    let process = self.process(now_ns, core, ports, mempool);
                    let mut status = core.status(&process);
                    status.ready = core.workers_turn(now_ns);
                    self.respond(client, Response::Status(Box::new(status)));
                }
                Request::Paths => {
                    let paths =
                        ctl::Paths { paths: core.paths(), choices: core.chosen(), steps: core.steps() };
                    self.respond(client, Response::Paths(Box::new(paths)));
                }
                Request::Drops => self.respond(client, Response::Drops(core.drops())),
                Request::Links => self.respond(client, Response::Links(Box::new(core.all_links()))),
                Request::Keys => {
                    let keys = core.keys();
                    self.respond(client, keys_or_why(keys));
                }
                Request::RotateKey => {
                    let keys = core.rotate_key(now_ns);
                    self.respond(client, keys_or_why(keys));
                }
                Request::Gateways => {
                    self.respond(client, Response::Gateways(Box::new(core.gateways())));
                }
                Request::DrainGateway => {
                    let gateways = core.drain_gateway(now_ns);
                    self.respond(client, gateways_or_why(gateways));
                }
                Request::ResumeGateway => {
                    let gateways = core.resume_gateway(now_ns);
                    self.respond(client, gateways_or_why(gateways));
                }
                Request::Prefixes { address } => {
                    self.respond(client, Response::Prefixes(Box::new(core.prefixes(address))));
                }
                Request::Traces(wanted) => {
                    core.pump_traces(now_ns);
                    let response = core.traces(&wanted);
                    self.respond(client, response);
                }
                Request::Flows(wanted) => self.list(client, core, Table::Flows, wanted),
                Request::Streams(wanted) => self.list(client, core, Table::Streams, wanted),
                Request::Sessions(wanted) => self.list(client, core, Table::Sessions, wanted),
                Request::Pool(wanted) => self.list(client, core, Table::Pool, wanted),
                Request::Clients(wanted) => self.list(client, core, Table::Clients, wanted),
            },
        }
    }

    /// Gives clients what has become ready for them, and writes.
    pub fn supply(&mut self, core: &mut Core<Pool>) {
        if !self.server.has_clients() {
            return;
        }
        for client in self.server.waiting() {
            if let Some((entries, ended)) = core.lists.ready(client) {
                let lines: String = entries.iter().map(line).collect();
                self.server.reply(client, lines.as_bytes(), ended);
            }
        }
        for gone in self.server.flush(Instant::now()) {
            core.lists.forget(gone);
        }
    }

    fn list(&mut self, client: u64, core: &mut Core<Pool>, table: Table, wanted: ListRequest) {
        if let Err(problem) = core.lists.start(client, table, wanted) {
            self.respond(client, Response::Error(problem));
        }
    }

    fn respond(&mut self, client: u64, response: Response) {
        self.server.reply(client, line(&response).as_bytes(), true);
    }

    fn process(&mut self, now_ns: u64, core: &Core<Pool>, ports: &[Port], mempool: &Mempool) -> Process {
        let device = |port: &Port| Device {
            link: port
                .link()
                .map_or(Link::default(), |link| Link { up: link.up, speed_mbps: link.speed_mbps }),
            missed: port.stats().map_or(0, |stats| stats.rx_missed + stats.rx_no_buffer),
        };
        self.busy.update(now_ns, core);
        Process {
            uptime_seconds: now_ns.saturating_sub(self.started_ns) / 1_000_000_000,
            buffers_used: mempool.capacity().saturating_sub(mempool.available()) as u64,
            devices: ports.iter().map(device).collect(),
            busy: self.busy.shares.clone(),
        }
    }
}

impl Busy {
    fn update(&mut self, now_ns: u64, core: &Core<Pool>) {
        let passed_ns = now_ns.saturating_sub(self.asked_ns);
        if passed_ns < BUSY_NS_MIN {
            return;
        }
        self.asked_ns = now_ns;
        for ((counters, before), share) in core.counters.iter().zip(&mut self.busy_ns).zip(&mut self.shares) {
            let busy_ns = counters.own.busy_ns.get();
            *share = (busy_ns - *before) as f64 / passed_ns as f64;
            *before = busy_ns;
        }
    }
}

fn keys_or_why(keys: Result<ctl::Keys, String>) -> Response {
    keys.map_or_else(Response::Error, |keys| Response::Keys(Box::new(keys)))
}

fn gateways_or_why(gateways: Result<ctl::Gateways, String>) -> Response {
    gateways.map_or_else(Response::Error, |gateways| Response::Gateways(Box::new(gateways)))
}

fn line(response: &Response) -> String {
    // The types have string keys only and no value that JSON lacks.
    serde_json::to_string(response).unwrap_or_default() + "\n"
}

fn http(request: &str, metrics: impl FnOnce() -> String) -> String {
    let mut words = request.split(' ');
    let (status, body) = match (words.next(), words.next()) {
        (Some("GET"), Some("/metrics")) => ("200 OK", metrics()),
        (Some("GET"), _) => ("404 Not Found", "the metrics are at /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "only GET is answered\n".to_owned()),
    };
    let kind = if status.starts_with("200") { metrics::CONTENT_TYPE } else { "text/plain; charset=utf-8" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_answers_one_path_and_one_method() {
        let answer = |request| http(request, || "x 1\n".to_owned());
        assert!(answer("GET /metrics HTTP/1.1").starts_with("HTTP/1.1 200 OK\r\n"));
        assert!(
            answer("GET /metrics HTTP/1.1").ends_with("Content-Length: 4\r\nConnection: close\r\n\r\nx 1\n")
        );
        assert!(answer("GET / HTTP/1.1").starts_with("HTTP/1.1 404 "));
        assert!(answer("POST /metrics HTTP/1.1").starts_with("HTTP/1.1 405 "));
        assert!(answer("").starts_with("HTTP/1.1 405 "));
    }
}
