//! Events of sessions, taken from the workers and written: JSON lines, IPFIX into a file, IPFIX to a collector.
//!
//! Whatever can not be written is counted and lost: sessions never wait for their log.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use ctl::Family;
use nat::{Event, Refusal, SessionView};
use packet::Reason;
use serde_json::json;

use crate::exchange::Exchange;
use crate::ipfix::{Exporter, Record, Side, What, nat_event, quota};

/// Events taken from each worker before anything else gets its turn.
const AT_ONCE: usize = 2048;
/// How often the workers' queues are looked into, ns.
const LOOK_NS: u64 = 20_000_000;
/// How often a place that can not be written to is told of, ns.
const TELL_NS: u64 = 60_000_000_000;

/// Why events can not be written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file.
    #[error("events can not be written to {path} ({source}): make its directory, or correct [events]")]
    File {
        /// Its path.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// A collector.
    #[error("events can not be sent to {collector} ({source}): correct ipfix_collector in [events]")]
    Collector {
        /// Where it is.
        collector: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
}

/// A file that is appended to.
struct Log {
    path: PathBuf,
    file: File,
}

impl Log {
    fn open(path: &Path) -> Result<Log, Error> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.map_err(|source| Error::File { path: path.display().to_string(), source })?;
        Ok(Log { path: path.to_owned(), file })
    }
}

/// Where events go.
pub struct Events {
    node: String,
    destinations: bool,
    /// See [`Events::set_clock`].
    unix_offset_s: u64,
    json: Option<Log>,
    ipfix: Option<(Log, Exporter)>,
    collector: Option<(UdpSocket, Exporter)>,
    /// Events written, to all places together.
    pub written: u64,
    /// Events that a place did not take.
    pub failed: u64,
    look_ns: u64,
    told_ns: Option<u64>,
}

impl Events {
    /// Opens all places. `domain` is the node's number.
    ///
    /// # Errors
    /// [`Error`] of the first that can not be opened.
    pub fn open(settings: &conf::Events, node: &str, domain: u16) -> Result<Events, Error> {
        let exporter = || Exporter::new(domain.into());
        let collector = settings.ipfix_collector.map(|collector| {
            let any: IpAddr =
                if collector.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind((any, 0)).and_then(|socket| {
                socket.connect(collector)?;
                socket.set_nonblocking(true)?;
                Ok(socket)
            });
            socket.map_err(|source| Error::Collector { collector, source })
        });
        Ok(Events {
            node: node.to_owned(),
            destinations: settings.destinations,
            unix_offset_s: 0,
            json: settings.json_file.as_deref().map(Log::open).transpose()?,
            ipfix: settings.ipfix_file.as_deref().map(Log::open).transpose()?.map(|log| (log, exporter())),
            collector: collector.transpose()?.map(|socket| (socket, exporter())),
            written: 0,
            failed: 0,
            look_ns: 0,
            told_ns: None,
        })
    }

    /// Opens the files again, so that they can be moved away.
    pub fn reopen(&mut self) {
        let logs = self.json.iter_mut().chain(self.ipfix.iter_mut().map(|(log, _)| log));
        for log in logs {
            match Log::open(&log.path) {
                Ok(new) => *log = new,
                Err(error) => tracing::error!("{error}; the file that was open stays in use"),
            }
        }
        if let Some((_, exporter)) = &mut self.ipfix {
            exporter.begin_anew();
        }
    }

    /// The node's clock is so far behind 1970's, s.
    pub fn set_clock(&mut self, unix_offset_s: u64) {
        self.unix_offset_s = unix_offset_s;
    }

    /// When the workers' queues are to be looked into again, ns.
    pub fn timeout(&self) -> u64 {
        self.look_ns
    }

    /// Takes what the workers have left, and writes it, if it is time for that.
    pub fn pump<B>(&mut self, now_ns: u64, exchange: &Exchange<B>) {
        if now_ns >= self.look_ns {
            self.write(now_ns, exchange);
        }
    }

    /// The same at once; says whether more is left.
    pub fn write<B>(&mut self, now_ns: u64, exchange: &Exchange<B>) -> bool {
        let now_ms = (now_ns / 1_000_000).saturating_add(self.unix_offset_s.saturating_mul(1000));
        let mut lines = Vec::new();
        let (mut taken, mut full) = (0u64, false);
        for worker in 0..exchange.workers() {
            for left in (0..AT_ONCE).rev() {
                let Some(event) = exchange.event(worker) else { break };
                full |= left == 0;
                taken += 1;
                self.take(now_ms, worker, &event, &mut lines);
            }
        }
        self.look_ns = if full { now_ns } else { now_ns + LOOK_NS };
        if taken == 0 {
            return false;
        }
        let mut problem = None;
        if let Some(log) = &mut self.json
            && let Err(error) = log.file.write_all(&lines)
        {
            problem = Some(format!("{}: {error}", log.path.display()));
        }
        let last = self.ipfix.as_mut().and_then(|(_, exporter)| exporter.finish(now_ms));
        if let Some(message) = last {
            self.write_ipfix(&message, &mut problem);
        }
        let last = self.collector.as_mut().and_then(|(_, exporter)| exporter.finish(now_ms));
        if let Some(message) = last {
            self.send_ipfix(&message, &mut problem);
        }
        match problem {
            None => self.written += taken,
            Some(problem) => {
                self.failed += taken;
                if self.told_ns.is_none_or(|told_ns| now_ns.saturating_sub(told_ns) >= TELL_NS) {
                    self.told_ns = Some(now_ns);
                    tracing::error!("events of sessions are lost: {problem}");
                }
            }
        }
        full
    }

    fn take(&mut self, now_ms: u64, worker: usize, event: &Event, lines: &mut Vec<u8>) {
        if self.json.is_some() {
            let line = self.line(worker, event);
            lines.extend_from_slice(line.to_string().as_bytes());
            lines.push(b'\n');
        }
        let record = self.record(event);
        let mut problem = None;
        if let Some(message) = self.ipfix.as_mut().and_then(|(_, exporter)| exporter.add(now_ms, &record)) {
            self.write_ipfix(&message, &mut problem);
        }
        if let Some(message) = self.collector.as_mut().and_then(|(_, exporter)| exporter.add(now_ms, &record))
        {
            self.send_ipfix(&message, &mut problem);
        }
        self.failed += u64::from(problem.is_some());
    }

    fn write_ipfix(&mut self, message: &[u8], problem: &mut Option<String>) {
        if let Some((log, _)) = &mut self.ipfix
            && let Err(error) = log.file.write_all(message)
        {
            *problem = Some(format!("{}: {error}", log.path.display()));
        }
    }

    fn send_ipfix(&mut self, message: &[u8], problem: &mut Option<String>) {
        if let Some((socket, _)) = &self.collector
            && let Err(error) = socket.send(message)
        {
            *problem = Some(format!("the collector: {error}"));
        }
    }

    fn unix_s(&self, at: nat::Seconds) -> u64 {
        u64::from(at.0).saturating_add(self.unix_offset_s)
    }

    fn line(&self, worker: usize, event: &Event) -> serde_json::Value {
        let time = |at| {
            humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(self.unix_s(at))).to_string()
        };
        let protocol = |number| Family::of(number).map_or("other", Family::name);
        match event {
            Event::Created(at, view) | Event::Deleted(at, view) => {
                let name =
                    if matches!(event, Event::Created(..)) { "session-create" } else { "session-delete" };
                let mut line = json!({
                    "time": time(*at),
                    "node": self.node,
                    "worker": worker,
                    "event": name,
                    "protocol": protocol(view.protocol),
                    "client": view.key.client.to_ip(),
                    "client_port": view.key.port,
                    "external": view.external.to_ip(),
                    "external_port": view.external_port,
                });
                if self.destinations {
                    line["vip"] = json!(view.vip.to_ip());
                    line["vip_port"] = json!(view.vip_port);
                    line["origin"] = json!(view.origin.to_ip());
                    line["origin_port"] = json!(view.origin_port);
                }
                line
            }
            Event::Refused(refusal) => json!({
                "time": time(refusal.at),
                "node": self.node,
                "worker": worker,
                "event": match refusal.reason {
                    Reason::NatPortsExhausted | Reason::NatNoPool => "pool-exhausted",
                    Reason::NatTableFull => "table-full",
                    _ => "limit-reached",
                },
                "reason": refusal.reason.name(),
                "protocol": protocol(refusal.protocol),
                "client": refusal.client.to_ip(),
                "further": refusal.further,
            }),
        }
    }

    fn record(&self, event: &Event) -> Record {
        match event {
            Event::Created(at, view) => self.session(*at, view, true),
            Event::Deleted(at, view) => self.session(*at, view, false),
            Event::Refused(Refusal { at, client, protocol, reason, .. }) => {
                let client = client.to_ip();
                let (event, what) = match reason {
                    Reason::NatNoPool => (nat_event::ADDRESSES_EXHAUSTED, What::Exhausted(client)),
                    Reason::NatPortsExhausted => (nat_event::PORTS_EXHAUSTED, What::Exhausted(client)),
                    Reason::NatTableFull => (nat_event::QUOTA_EXCEEDED, What::Quota(client, quota::SESSIONS)),
                    _ => (nat_event::QUOTA_EXCEEDED, What::Quota(client, quota::PER_USER)),
                };
                Record { at_ms: self.unix_s(*at).saturating_mul(1000), event, protocol: *protocol, what }
            }
        }
    }

    fn session(&self, at: nat::Seconds, view: &SessionView, begins: bool) -> Record {
        let versions = (view.key.client.is_v4(), view.external.is_v4());
        let [create, delete] = match versions {
            (true, true) => [nat_event::NAT44_CREATE, nat_event::NAT44_DELETE],
            (false, true) => [nat_event::NAT64_CREATE, nat_event::NAT64_DELETE],
            _ => [nat_event::CREATE, nat_event::DELETE],
        };
        let source = Side {
            before: (view.key.client.to_ip(), view.key.port),
            after: (view.external.to_ip(), view.external_port),
        };
        let destination = Side {
            before: (view.vip.to_ip(), view.vip_port),
            after: (view.origin.to_ip(), view.origin_port),
        };
        Record {
            at_ms: self.unix_s(at).saturating_mul(1000),
            event: if begins { create } else { delete },
            protocol: view.protocol,
            what: What::Session { source, destination: self.destinations.then_some(destination) },
        }
    }
}
