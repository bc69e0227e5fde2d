//! Starting a node: what fails most often first, then DPDK, then the workers.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use conf::{Config, Poll};
use dpdk::{Clock, Eal, Pool, Port};
use mio::Waker;
use pipelines::PortIndex;
use pipelines::choices::Choices;
use pipelines::ladders::Ladders;
use pipelines::tables::{Dead, Mtus};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

use crate::core::{Core, Counters, Parts};
use crate::eal;
use crate::events::Events;
use crate::exchange::Exchange;
use crate::keyring;
use crate::run::{Error, Node, SIGNALS, WAKER};
use crate::serve::Serving;
use crate::server::Server;
use crate::setup::{self, Start};
use crate::socket::Socket;
use crate::sync::Sync;
use crate::thread::{self, Ending, Plan};

/// Starts everything; nothing is left behind when it fails.
///
/// # Errors
/// [`Error`].
pub(crate) fn start(config_file: &Path, config: Config) -> Result<Node, Error> {
    let local = &config.local;
    let this = config.this_node().ok_or(pipelines::tables::CompileError::NoSuchNode(config.node))?;
    // First what fails most often, and leaves nothing behind.
    let (socket, listener) = Socket::bind(&local.control.socket)?;
    let poll = mio::Poll::new()?;
    let metrics = local.control.metrics;
    let server =
        Server::new(poll.registry().try_clone()?, listener, metrics).map_err(|error| match metrics {
            Some(address) => Error::Metrics(address, error),
            None => Error::System(error),
        })?;
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    poll.registry().register(&mut signals, SIGNALS, mio::Interest::READABLE)?;
    let sync = match &local.server {
        Some(servers) => Some((poll.registry().try_clone()?, this.name.clone(), this.id.0, servers.clone())),
        None => None,
    };
    let waker = Waker::new(poll.registry(), WAKER)?;

    let identity = match config.identity()? {
        Some(identity) => {
            let random = keyring::random().ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?;
            Some((identity, random))
        }
        None => None,
    };
    let signers = [config.identity()?, config.identity()?];
    let events =
        local.events.as_ref().map(|settings| Events::open(settings, &this.name, this.id.0)).transpose()?;
    let eal = Eal::init(eal::arguments(local))?;
    let clock = Clock::new(&eal);
    let mempool = eal::pool(&eal, local)?;
    let started = eal::start_ports(&eal, &config, this, &mempool)?;
    let unix_ns = unix_ns();
    let unix_offset_ns = unix_ns.wrapping_sub(clock.now_ns());
    let begun = Start { seed: random()?, unix_ms: unix_ns / 1_000_000, unix_offset_ns };
    let interfaces = setup::interfaces(&config, &eal::macs(&started));
    let tables = Arc::new(setup::compile(
        &config,
        &interfaces,
        &[],
        begun.seed,
        (&Dead::default(), &Mtus::default(), &Default::default(), &Choices::default(), &Ladders::default()),
        &[],
        None,
        false,
    )?);

    let workers = local.workers.cores.len();
    let wake = Box::new(move || drop(waker.wake()));
    let exchange = Exchange::new(workers, local.limits.punt_queue_packets as usize, wake);
    let counters: Vec<Counters> = (0..workers).map(|_| Counters::default()).collect();
    let ending = Arc::new(Ending::default());
    let (ports, mut queues) = share_out(started, workers);
    let mut threads = Vec::new();
    for (worker, core) in local.workers.cores.iter().enumerate() {
        let (rx, tx) = core::mem::take(&mut queues[worker]);
        let plan = Plan {
            eal: eal.clone(),
            core: *core,
            busy: local.workers.poll == Poll::Busy,
            burst_max: local.workers.burst as usize,
            clock,
            mempool: mempool.clone(),
            setup: setup::forwarder(&config, this, begun, worker as u16),
            tells: local.events.is_some(),
            tables: tables.clone(),
            counters: counters[worker].clone(),
            rx,
            tx,
            exchange: exchange.clone(),
            ending: ending.clone(),
        };
        threads.push(thread::start(plan)?);
    }
    log_start(&config, &ports);
    let pool = Pool::new(&mempool);
    let parts =
        Parts { config, interfaces, tables, exchange, counters, start: begun, identity, signers, pool };
    let mut core = Core::new(clock.now_ns(), parts);
    core.events = events.map(|mut events| {
        events.set_clock(unix_offset_ns / 1_000_000_000);
        events
    });
    let serving = Serving::new(server, clock.now_ns(), workers);
    let sync = match sync {
        Some((registry, name, number, servers)) => {
            Some(Sync::new(clock.now_ns(), registry, (&name, number), servers)?)
        }
        None => None,
    };
    Ok(Node {
        config_file: config_file.to_owned(),
        core,
        clock,
        mempool,
        ports,
        threads,
        ending,
        poll,
        signals,
        serving,
        sync,
        watched: sd_notify::watchdog_enabled().is_some(),
        fed_ns: 0,
        _socket: socket,
        _eal: eal,
    })
}

type Queues = (Vec<(PortIndex, dpdk::RxQueue)>, Vec<dpdk::TxQueue>);

/// Gives each worker its queues of all ports.
fn share_out(started: Vec<eal::Started>, workers: usize) -> (Vec<Port>, Vec<Queues>) {
    let mut queues: Vec<Queues> = (0..workers).map(|_| Queues::default()).collect();
    let mut ports = Vec::new();
    for (index, started) in (0..).map(PortIndex).zip(started) {
        for (queue, of) in started.rx.into_iter().zip(&mut queues) {
            of.0.push((index, queue));
        }
        for (queue, of) in started.tx.into_iter().zip(&mut queues) {
            of.1.push(queue);
        }
        ports.push(started.port);
    }
    (ports, queues)
}

fn log_start(config: &Config, ports: &[Port]) {
    let node = config.this_node().map_or("", |node| node.name.as_str());
    for (settings, port) in config.local.ports.iter().zip(ports) {
        let info = port.info();
        tracing::info!("port {}: {} ({}), {}", settings.name, info.name, info.driver, info.mac);
    }
    tracing::info!("{node} runs on {}, workers on cores {:?}", Eal::version(), config.local.workers.cores);
}

fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if filled == bytes.len() {
        Ok(u64::from_ne_bytes(bytes))
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
