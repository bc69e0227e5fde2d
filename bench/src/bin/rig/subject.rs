//! A forwarder under measurement: a paused process with one busy worker on the measured core.

use crate::host::MEASURED_CORE;
use crate::process::Process;
use crate::telemetry::{self, Telemetry};
use miette::{IntoDiagnostic, Result, WrapErr, miette};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long a forwarder may take to start.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Packets since the process started.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// When they were read.
    pub at: Instant,
    /// Packets received on all ports.
    pub received: u64,
    /// Packets sent on all ports.
    pub sent: u64,
    /// Time spent on these packets, where the process did something else as well.
    pub busy: Option<Duration>,
}

/// Where a forwarder's packets are counted.
enum Counting {
    /// By DPDK.
    Telemetry(Telemetry),
    /// By the rig's own worker process, behind its socket.
    Worker(BufReader<UnixStream>),
    /// By Proa's daemon, behind its control socket.
    Daemon(PathBuf),
    /// By the kernel, at the devices that packets come in at and are delivered to.
    Devices { received: Device, sent: Device },
}

/// A network device that counts received packets.
pub struct Device {
    /// The `/proc/PID/net/dev` that shows it.
    pub table: PathBuf,
    /// Its name.
    pub name: String,
}

/// A running forwarder.
pub struct Subject {
    name: String,
    /// Packets that it should send for each that it receives.
    sends: f64,
    process: Process,
    counting: Counting,
    /// One per worker.
    schedstats: Vec<PathBuf>,
    /// What must live as long as the forwarder: its database server, for one.
    _helpers: Vec<Process>,
}

impl Subject {
    /// Takes over a DPDK program: waits until its ports count packets, finds its worker, and pauses it.
    ///
    /// # Errors
    /// Where the process ends, or forwards nothing.
    pub fn attach(
        name: &str,
        mut process: Process,
        file_prefix: &str,
        ports: usize,
        helpers: Vec<Process>,
    ) -> Result<Subject> {
        let path = telemetry::path(file_prefix);
        let telemetry = process.wait_for(&format!("{name}'s ports"), START_LIMIT, || {
            Telemetry::connect(&path).ok().filter(|telemetry| telemetry.ports() == ports)
        })?;
        Subject::new(name, process, Counting::Telemetry(telemetry), &[MEASURED_CORE], helpers)
    }

    /// Takes over one of the rig's own worker processes, which counts behind `socket`.
    ///
    /// # Errors
    /// Where the process ends, or forwards nothing.
    pub fn attach_worker(
        name: &str,
        mut process: Process,
        socket: &Path,
        cores: &[usize],
    ) -> Result<Subject> {
        let stream = process
            .wait_for(&format!("{name}'s socket"), START_LIMIT, || UnixStream::connect(socket).ok())?;
        Subject::new(name, process, Counting::Worker(BufReader::new(stream)), cores, Vec::new())
    }

    /// Takes over Proa's daemon, which counts behind its control socket.
    ///
    /// # Errors
    /// Where the process ends, or forwards nothing.
    pub fn attach_daemon(name: &str, process: Process, socket: &Path) -> Result<Subject> {
        Subject::new(name, process, Counting::Daemon(socket.to_owned()), &[MEASURED_CORE], Vec::new())
    }

    /// Takes over the kernel at work: the process sends on the measured core, devices count what comes of it.
    ///
    /// # Errors
    /// Where the process ends, or nothing is delivered.
    pub fn attach_kernel(
        name: &str,
        process: Process,
        received: Device,
        sent: Device,
        helpers: Vec<Process>,
    ) -> Result<Subject> {
        Subject::new(name, process, Counting::Devices { received, sent }, &[MEASURED_CORE], helpers)
    }

    fn new(
        name: &str,
        mut process: Process,
        mut counting: Counting,
        cores: &[usize],
        helpers: Vec<Process>,
    ) -> Result<Subject> {
        process.wait_for(&format!("{name}'s first packet"), START_LIMIT, || {
            counting.counts().ok().filter(|counts| counts.sent > 0)
        })?;
        let pid = process.pid().as_raw_nonzero().get();
        let mut schedstats = Vec::new();
        for core in cores {
            let found =
                process.wait_for(&format!("{name}'s worker"), START_LIMIT, || worker(pid, *core).ok())?;
            schedstats.push(found);
        }
        process.pause()?;
        Ok(Subject { name: name.to_owned(), sends: 1.0, process, counting, schedstats, _helpers: helpers })
    }

    /// With so many packets sent for each received, where that is not one.
    pub fn sending(self, sends: f64) -> Subject {
        Subject { sends, ..self }
    }

    /// Packets that it should send for each that it receives.
    pub fn sends(&self) -> f64 {
        self.sends
    }

    /// What the tables call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets it run.
    ///
    /// # Errors
    /// Where the process is gone.
    pub fn proceed(&mut self) -> Result<()> {
        self.process.proceed()
    }

    /// Stops it until [`Subject::proceed`].
    ///
    /// # Errors
    /// Where the process is gone.
    pub fn pause(&mut self) -> Result<()> {
        self.process.pause()
    }

    /// Its packet counters.
    ///
    /// # Errors
    /// Where the process is gone.
    pub fn counts(&mut self) -> Result<Counts> {
        self.counting.counts()
    }

    /// How long its workers have been ready to run without running, since they started: their mean.
    ///
    /// # Errors
    /// Where a worker is gone.
    pub fn run_queue_wait(&self) -> Result<Duration> {
        let mut sum = Duration::ZERO;
        for path in &self.schedstats {
            let text = fs::read_to_string(path).into_diagnostic().wrap_err("the worker")?;
            let nanoseconds = text
                .split_whitespace()
                .nth(1)
                .and_then(|field| field.parse().ok())
                .ok_or_else(|| miette!("{} holds '{text}'", path.display()))?;
            sum += Duration::from_nanos(nanoseconds);
        }
        Ok(sum / self.schedstats.len().max(1) as u32)
    }
}

impl Counting {
    fn counts(&mut self) -> Result<Counts> {
        let stream = match self {
            Counting::Telemetry(telemetry) => return telemetry.counts(),
            Counting::Daemon(socket) => return status(socket),
            Counting::Devices { received, sent } => {
                let start = Instant::now();
                let (received, sent) = (received.packets()?, sent.packets()?);
                return Ok(Counts { at: start + start.elapsed() / 2, received, sent, busy: None });
            }
            Counting::Worker(stream) => stream,
        };
        let start = Instant::now();
        stream.get_mut().write_all(b"?").into_diagnostic()?;
        let mut line = String::new();
        stream.read_line(&mut line).into_diagnostic()?;
        let mut fields = line.split_whitespace().filter_map(|field| field.parse::<u64>().ok());
        let mut field = || fields.next().ok_or_else(|| miette!("a worker told '{}'", line.trim()));
        let (received, sent, busy) = (field()?, field()?, field()?);
        let busy = (busy > 0).then_some(Duration::from_nanos(busy));
        Ok(Counts { at: start + start.elapsed() / 2, received, sent, busy })
    }
}

impl Device {
    /// Packets received so far.
    ///
    /// # Errors
    /// Where the device or its namespace is gone.
    pub fn packets(&self) -> Result<u64> {
        let text = fs::read_to_string(&self.table).into_diagnostic()?;
        text.lines()
            .filter_map(|line| line.trim_start().strip_prefix(self.name.as_str())?.strip_prefix(':'))
            .find_map(|fields| fields.split_whitespace().nth(1)?.parse().ok())
            .ok_or_else(|| miette!("{} does not count {}", self.table.display(), self.name))
    }
}

/// What a daemon's ports have counted.
fn status(socket: &Path) -> Result<Counts> {
    let start = Instant::now();
    let (mut received, mut sent) = (0, 0);
    ctl::ask(socket, &ctl::Request::Status, |response| {
        if let ctl::Response::Status(status) = response {
            received = status.ports.iter().map(|port| port.rx_packets).sum();
            sent = status.ports.iter().map(|port| port.tx_packets).sum();
        }
    })
    .into_diagnostic()?;
    Ok(Counts { at: start + start.elapsed() / 2, received, sent, busy: None })
}

/// The busiest thread among those that may run on one core only.
fn worker(pid: i32, core: usize) -> Result<PathBuf> {
    let mut best = None;
    for task in fs::read_dir(format!("/proc/{pid}/task")).into_diagnostic()? {
        let task = task.into_diagnostic()?.path();
        let status = fs::read_to_string(task.join("status")).into_diagnostic()?;
        let is_pinned = status
            .lines()
            .filter_map(|line| line.strip_prefix("Cpus_allowed_list:"))
            .any(|list| list.trim() == core.to_string());
        let schedstat = task.join("schedstat");
        let text = fs::read_to_string(&schedstat).into_diagnostic()?;
        let run: u64 = text.split_whitespace().next().and_then(|run| run.parse().ok()).unwrap_or(0);
        if is_pinned && best.as_ref().is_none_or(|(most, _)| run > *most) {
            best = Some((run, schedstat));
        }
    }
    best.map(|(_, schedstat)| schedstat).ok_or_else(|| miette!("no thread is pinned to core {core}"))
}
