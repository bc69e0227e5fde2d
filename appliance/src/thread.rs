//! A worker's thread: bound to its core, known to DPDK, turning its loop until the node stops.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use dpdk::{Clock, Eal, Mempool, Pool, Registration, RxQueue, TxQueue};
use packet::BufPool;
use pipelines::{Forwarder, PortIndex, Setup, Tables};

use crate::core::Counters;
use crate::exchange::{Desk, Exchange};
use crate::idle::Ramp;
use crate::io::{Receive, Transmit};
use crate::worker::{Parts, Worker};

/// Why a worker did not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// DPDK refuses, or the core.
    #[error(transparent)]
    Dpdk(#[from] dpdk::Error),
    /// The gateway's translation can not be made from the configuration.
    #[error("the gateway can not translate ({0}): correct nat_pool, workers or [limits]")]
    Nat(#[from] nat::InvalidConfig),
    /// The system has no thread left.
    #[error("no thread for a worker ({0}): raise the limit of tasks")]
    Thread(io::Error),
    /// It ended while starting.
    #[error("a worker ended while it started")]
    Died,
}

/// What all workers and the control thread share about their end.
#[derive(Debug, Default)]
pub struct Ending {
    /// Workers that receive nothing more and have nothing left to do.
    pub quiet: AtomicUsize,
    /// Whether a quiet worker may end: no other will hand it anything.
    pub may_end: AtomicBool,
}

/// What a worker's thread is made from.
pub struct Plan {
    /// DPDK's environment.
    pub eal: Eal,
    /// The core to run on.
    pub core: u16,
    /// Whether it never sleeps.
    pub busy: bool,
    /// Frames taken from a queue at once.
    pub burst_max: usize,
    /// The node's clock.
    pub clock: Clock,
    /// The node's buffers.
    pub mempool: Mempool,
    /// What its data path is made from.
    pub setup: Setup,
    /// Whether what happens to sessions is told.
    pub tells: bool,
    /// The snapshot it starts with.
    pub tables: Arc<Tables>,
    /// What it counts in.
    pub counters: Counters,
    /// Queues to receive from.
    pub rx: Vec<(PortIndex, RxQueue)>,
    /// Queues to transmit to, by port.
    pub tx: Vec<TxQueue>,
    /// Queues to other threads.
    pub exchange: Arc<Exchange<dpdk::Mbuf>>,
    /// How it ends.
    pub ending: Arc<Ending>,
}

/// Starts a worker's thread and waits until its tables are allocated, on its own core's memory.
///
/// # Errors
/// [`Error`], before anything was received.
pub fn start(plan: Plan) -> Result<JoinHandle<()>, Error> {
    let (report, reported) = std::sync::mpsc::sync_channel(1);
    let name = format!("worker-{}", plan.setup.worker);
    let thread = std::thread::Builder::new().name(name).spawn(move || {
        let (clock, busy, ending) = (plan.clock, plan.busy, plan.ending.clone());
        let prepared = prepare(plan);
        match prepared {
            Ok((_registration, mut worker)) => {
                drop(report.send(Ok(())));
                turn(&mut worker, clock, Ramp::new(busy), &ending);
            }
            Err(error) => drop(report.send(Err(error))),
        }
    });
    let thread = thread.map_err(Error::Thread)?;
    reported.recv().unwrap_or(Err(Error::Died))?;
    Ok(thread)
}

fn prepare(plan: Plan) -> Result<(Registration, Worker<Pool, RxQueue, TxQueue>), Error> {
    dpdk::pin_to_core(plan.core as usize)?;
    let registration = Registration::new(&plan.eal)?;
    // Sleeps of some microseconds shall last as long; without this the kernel rounds them up to fifty more.
    let _ = rustix::thread::set_current_timer_slack(std::num::NonZeroU64::new(1));
    let worker = plan.setup.worker as usize;
    let mut forwarder = Forwarder::new(&plan.setup, plan.tables, plan.counters.path.clone())?;
    if plan.tells {
        forwarder.record_events();
    }
    let parts = Parts {
        forwarder,
        counters: plan.counters.path,
        own: plan.counters.own,
        pool: Pool::new(&plan.mempool),
        rx: plan.rx,
        tx: plan.tx,
        desk: Desk::new(&plan.exchange, worker),
        burst_max: plan.burst_max,
        seed: plan.setup.seed.rotate_left(11),
        clock: Box::new(move || plan.clock.now_ns()),
    };
    Ok((registration, Worker::new(parts)))
}

/// The loop. The clock is read once per turn.
fn turn<P, R, T>(worker: &mut Worker<P, R, T>, clock: Clock, mut ramp: Ramp, ending: &Ending)
where
    P: BufPool,
    R: Receive<P::Buf>,
    T: Transmit<P::Buf>,
{
    let mut before_ns = clock.now_ns();
    let mut handled = 0;
    let mut quiet = false;
    loop {
        let now_ns = clock.now_ns();
        if handled > 0 {
            worker.count(handled, now_ns.saturating_sub(before_ns));
            ramp.worked();
        }
        before_ns = now_ns;
        handled = worker.step(now_ns);
        if handled > 0 {
            continue;
        }
        if worker.is_stopping() {
            if ending.may_end.load(Ordering::Acquire) {
                return;
            }
            if !quiet {
                quiet = true;
                ending.quiet.fetch_add(1, Ordering::AcqRel);
            }
        }
        ramp.rest(now_ns);
    }
}
