//! `proa run`: starts the node, serves it until a signal, and stops it with every packet accounted for.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use conf::{Config, Membership};
use dpdk::{Clock, Eal, Mempool, Pool, Port};
use mio::{Events, Token};
use signal_hook::consts::SIGHUP;
use signal_hook_mio::v1_0::Signals;

use crate::balance::{self, Balance};
use crate::core::Core;
use crate::join;
use crate::membership;
use crate::serve::Serving;
use crate::server;
use crate::socket::{self, Socket};
use crate::start;
use crate::sync::{self, Sync};
use crate::thread::{self, Ending};

pub(crate) const WAKER: Token = Token(0);
pub(crate) const SIGNALS: Token = Token(1);
/// Longest sleep of the control thread.
const TICK: Duration = Duration::from_secs(1);
/// Pause between two signs of life for the service manager, ns.
const WATCHDOG_NS: u64 = 1_000_000_000;
/// How long handing over to the other gateway may take: millions of sessions take some of it.
const HAND_OVER_MAX: Duration = Duration::from_secs(60);
/// How long that gateway may take to show any sign of taking something.
const HAND_OVER_BEGIN_MAX: Duration = Duration::from_secs(1);
/// How long packets are passed on to it after that.
const PASS_ON_MAX: Duration = Duration::from_secs(3);
/// As long as this none must have come for the last one to have come.
const PASS_ON_QUIET: Duration = Duration::from_millis(300);
/// How long workers may take to hand out what is inside.
const STOP_MAX: Duration = Duration::from_secs(5);

/// Why the node did not start, or did not stop as it should: one sentence each that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is wrong.
    #[error("{0}")]
    Config(conf::Errors),
    /// DPDK refuses.
    #[error(transparent)]
    Dpdk(#[from] dpdk::Error),
    /// A worker does not start.
    #[error(transparent)]
    Worker(#[from] thread::Error),
    /// The node's private key can not be used.
    #[error(transparent)]
    Key(#[from] conf::key::KeyError),
    /// The topology can not be compiled.
    #[error(transparent)]
    Compile(#[from] pipelines::tables::CompileError),
    /// The node can not speak with its server.
    #[error(transparent)]
    Membership(#[from] membership::Error),
    /// Events of sessions can not be written.
    #[error(transparent)]
    Events(#[from] crate::events::Error),
    /// No control socket.
    #[error(transparent)]
    Socket(#[from] socket::Error),
    /// No metrics.
    #[error("metrics can not be served on {0} ({1}): set another control.metrics, or none")]
    Metrics(std::net::SocketAddr, io::Error),
    /// The system refuses something that it never does.
    #[error("the system refuses ({0})")]
    System(#[from] io::Error),
    /// A worker is gone.
    #[error("worker {0} has ended by itself; the node can not go on")]
    WorkerDied(usize),
    /// The final account does not balance.
    #[error("the packets do not balance: {0}")]
    Balance(Balance),
}

/// A node that runs.
pub(crate) struct Node {
    pub(crate) config_file: PathBuf,
    pub(crate) core: Core<Pool>,
    pub(crate) clock: Clock,
    pub(crate) mempool: Mempool,
    pub(crate) ports: Vec<Port>,
    pub(crate) threads: Vec<JoinHandle<()>>,
    pub(crate) ending: Arc<Ending>,
    pub(crate) poll: mio::Poll,
    pub(crate) signals: Signals,
    pub(crate) serving: Serving,
    /// The control server, where the node has one.
    pub(crate) sync: Option<Sync>,
    /// Whether the service manager wants to hear from us, and when it last has.
    pub(crate) watched: bool,
    pub(crate) fed_ns: u64,
    // The last to go: the socket's name, then DPDK.
    pub(crate) _socket: Socket,
    pub(crate) _eal: Eal,
}

/// Runs a node until it is told to stop.
///
/// # Errors
/// [`Error`].
pub fn run(config_file: &Path) -> Result<(), Error> {
    // What is wrong with the file is told below, together with what is wrong with the topology.
    if let Ok(Some(membership)) = Membership::load(config_file) {
        join::first_snapshot(&membership)?;
    }
    let loaded = Config::load(config_file).map_err(Error::Config)?;
    for warning in &loaded.warnings {
        tracing::warn!("{warning}");
    }
    let mut node = start::start(config_file, loaded.config)?;
    let notified = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    if let Err(error) = notified {
        tracing::warn!("the service manager could not be told: {error}");
    }
    let served = node.serve();
    drop(sd_notify::notify(&[sd_notify::NotifyState::Stopping]));
    let stopped = node.stop();
    served.and(stopped)
}

impl Node {
    /// Serves until a signal says to stop.
    fn serve(&mut self) -> Result<(), Error> {
        let mut events = Events::with_capacity(64);
        let mut more = true;
        loop {
            self.core.exchange.alarm().sleep();
            // What was queued before the alarm was set rings nobody.
            let timeout =
                if more || self.core.exchange.control_has_work() { Duration::ZERO } else { self.timeout() };
            let polled = self.poll.poll(&mut events, Some(timeout));
            self.core.exchange.alarm().awake();
            match polled {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error.into()),
                _ => {}
            }
            let now_ns = self.clock.now_ns();
            for event in &events {
                match event.token() {
                    // What has come from the server is read below.
                    WAKER | sync::SERVER => {}
                    SIGNALS => {
                        if self.take_signals(now_ns) {
                            return Ok(());
                        }
                    }
                    token => {
                        let Node { serving, core, ports, mempool, .. } = self;
                        serving.ready(token, now_ns, core, ports, mempool);
                    }
                }
            }
            more = self.core.pump(now_ns);
            self.serving.supply(&mut self.core);
            if let Some(sync) = &mut self.sync {
                sync.pump(now_ns, &mut self.core, &self.config_file);
            }
            if let Some(died) = self.threads.iter().position(JoinHandle::is_finished) {
                return Err(Error::WorkerDied(died));
            }
            self.feed_watchdog(now_ns);
        }
    }

    /// Tells the service manager now and then that all workers turn.
    fn feed_watchdog(&mut self, now_ns: u64) {
        let due = now_ns.saturating_sub(self.fed_ns) >= WATCHDOG_NS;
        if self.watched && due && self.core.workers_turn(now_ns) {
            self.fed_ns = now_ns;
            drop(sd_notify::notify(&[sd_notify::NotifyState::Watchdog]));
        }
    }

    fn timeout(&self) -> Duration {
        let now_ns = self.clock.now_ns();
        let due = self.core.timeout().into_iter().chain(self.sync.as_ref().map(Sync::timeout)).min();
        let due = due.map(|at| Duration::from_nanos(at.saturating_sub(now_ns)));
        due.map_or(TICK, |due| due.min(TICK))
    }

    /// Whether a signal says to stop.
    fn take_signals(&mut self, now_ns: u64) -> bool {
        let pending: Vec<i32> = self.signals.pending().collect();
        for signal in &pending {
            if *signal != SIGHUP {
                tracing::info!("stopping");
                return true;
            }
            if let Some(events) = &mut self.core.events {
                events.reopen();
            }
            match self.core.reload(now_ns, &self.config_file) {
                Ok(later) if later.is_empty() => tracing::info!("configuration taken over"),
                Ok(later) => {
                    tracing::warn!(
                        "configuration taken over, but until a restart without its {}",
                        later.join(", ")
                    );
                }
                Err(refused) => {
                    for line in refused.to_string().lines() {
                        tracing::error!("{line}");
                    }
                    tracing::error!("the new configuration is refused; the node goes on with the one it has");
                }
            }
        }
        false
    }

    /// Lets the other gateway have what this one holds, where there is another, before it stops.
    fn hand_over(&mut self) {
        let began = Instant::now();
        let goes_on = |core: &Core<_>| {
            let limit = if core.is_handing_over() { HAND_OVER_MAX } else { HAND_OVER_BEGIN_MAX };
            core.holds_blocks() && began.elapsed() < limit
        };
        if self.core.drain_gateway(self.clock.now_ns()).is_ok() {
            while goes_on(&self.core) {
                self.turn();
            }
            self.pass_on();
        }
        self.core.withdraw_blocks(self.clock.now_ns());
    }

    /// Does what is due while the node stops, and waits a moment.
    fn turn(&mut self) {
        self.core.pump(self.clock.now_ns());
        std::thread::sleep(Duration::from_micros(200));
    }

    /// Passes packets on to the gateway that has taken over, until none comes any more.
    fn pass_on(&mut self) {
        let deadline = Instant::now() + PASS_ON_MAX;
        let (mut passed, mut since) = (self.core.passed_on(), Instant::now());
        while since.elapsed() < PASS_ON_QUIET && Instant::now() < deadline {
            self.turn();
            if self.core.passed_on() != passed {
                (passed, since) = (self.core.passed_on(), Instant::now());
            }
        }
    }

    /// Stops: receives nothing more, hands out what is inside, and draws up the account.
    fn stop(mut self) -> Result<(), Error> {
        let workers = self.threads.len();
        self.hand_over();
        let deadline = Instant::now() + STOP_MAX;
        self.core.stop_workers();
        let is_quiet = |node: &Node| {
            node.ending.quiet.load(Ordering::Acquire) >= workers && !node.core.exchange.handoffs_waiting()
        };
        while !is_quiet(&self) && Instant::now() < deadline {
            self.turn();
        }
        self.ending.may_end.store(true, Ordering::Release);
        let mut died = None;
        for (worker, thread) in self.threads.drain(..).enumerate() {
            if thread.join().is_err() {
                died = Some(Error::WorkerDied(worker));
            }
        }
        while self.core.pump(self.clock.now_ns()) {}
        let Core { events, exchange, .. } = &mut self.core;
        if let Some(events) = events {
            while events.write(self.clock.now_ns(), exchange) {}
        }
        self.core.slow.stop();
        self.core.exchange.clear();
        self.core.pool.flush();
        // Frames that a device still has come back when it is closed.
        self.ports.clear();
        let missing = self.mempool.capacity().saturating_sub(self.mempool.available());
        let balance = Balance::of(&self.core, missing as u64);
        tracing::info!("drops: {}", balance::drops(&self.core));
        if let Some(died) = died {
            return Err(died);
        }
        if !balance.holds() {
            return Err(Error::Balance(balance));
        }
        tracing::info!("stopped, and every packet is accounted for: {balance}");
        Ok(())
    }
}

const _: () = assert!(
    WAKER.0 < server::FIRST_TOKEN && SIGNALS.0 < server::FIRST_TOKEN && sync::SERVER.0 < server::FIRST_TOKEN
);
