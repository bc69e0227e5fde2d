//! A whole node in one thread, over heap buffers and a clock that is passed in: for replay and for tests.
//!
//! The same workers and the same control state as on DPDK; only the queues' far ends differ. All ports have one
//! receive queue, which worker 0 polls, so with several workers packets are handed over.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use arrayvec::ArrayVec;
use conf::Config;
use packet::heap::{HeapBuf, HeapPool};
use packet::{Mac, PacketBuf};
use pipelines::choices::Choices;
use pipelines::ladders::Ladders;
use pipelines::tables::{Dead, Mtus};
use pipelines::{Burst, Forwarder, PORTS_MAX, PortIndex, TX_MAX};

use crate::core::{Core, Counters, Parts};
use crate::exchange::{Desk, Exchange};
use crate::io::{Receive, Transmit};
use crate::setup::{self, Start};
use crate::worker::{self, Worker};

/// Turns after which a node that is still not at rest is taken to spin.
const TURNS_MAX: usize = 100_000;

/// A port's receive queue.
#[derive(Clone, Default)]
pub struct Source(Rc<RefCell<VecDeque<HeapBuf>>>);

impl Receive<HeapBuf> for Source {
    fn receive(&mut self, burst: &mut Burst<HeapBuf>, count: usize) -> usize {
        let mut queue = self.0.borrow_mut();
        let count = count.min(queue.len());
        burst.extend(queue.drain(..count));
        count
    }
}

/// Frames that all ports have sent, in their order.
type Sent = Rc<RefCell<Vec<(PortIndex, Vec<u8>)>>>;

/// A port's transmit queue.
#[derive(Clone, Default)]
pub struct Sink {
    port: PortIndex,
    sent: Sent,
}

impl Transmit<HeapBuf> for Sink {
    fn transmit(&mut self, frames: &mut ArrayVec<HeapBuf, TX_MAX>) -> usize {
        let count = frames.len();
        self.sent.borrow_mut().extend(frames.drain(..).map(|buf| (self.port, buf.data().to_vec())));
        count
    }
}

/// The node.
pub struct Sandbox {
    /// The control thread's state.
    pub core: Core<HeapPool>,
    workers: Vec<Worker<HeapPool, Source, Sink>>,
    pool: HeapPool,
    sources: Vec<Source>,
    sent: Sent,
}

/// Why a node can not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The topology can not be compiled.
    #[error(transparent)]
    Compile(#[from] pipelines::tables::CompileError),
    /// The gateway's translation can not be made from the configuration.
    #[error("the gateway can not translate ({0}): correct nat_pool, workers or [limits]")]
    Nat(#[from] nat::InvalidConfig),
}

impl Sandbox {
    /// A node whose ports have these Ethernet addresses.
    ///
    /// # Errors
    /// [`Error`].
    pub fn new(now_ns: u64, config: Config, macs: &[Mac], start: Start) -> Result<Sandbox, Error> {
        let node =
            config.this_node().ok_or(pipelines::tables::CompileError::NoSuchNode(config.node))?.clone();
        let interfaces = setup::interfaces(&config, macs);
        let tables = Arc::new(setup::compile(
            &config,
            &interfaces,
            &[],
            start.seed,
            (
                &Dead::default(),
                &Mtus::default(),
                &Default::default(),
                &Choices::default(),
                &Ladders::default(),
            ),
            &[],
            None,
            false,
        )?);
        let count = config.local.workers.cores.len();
        let exchange = Exchange::new(count, config.local.limits.punt_queue_packets as usize, Box::new(|| {}));
        let counters: Vec<Counters> = (0..count).map(|_| Counters::default()).collect();
        let pool = HeapPool::new(config.local.limits.buffers as usize);
        let sources: Vec<Source> = macs.iter().map(|_| Source::default()).collect();
        let sent = Sent::default();
        let ports = || (0..PORTS_MAX as u8).map(PortIndex).take(macs.len());
        let mut workers = Vec::new();
        for (worker, counters) in counters.iter().enumerate() {
            let setup = setup::forwarder(&config, &node, start, worker as u16);
            let rx = if worker == 0 { ports().zip(sources.iter().cloned()).collect() } else { Vec::new() };
            workers.push(Worker::new(worker::Parts {
                forwarder: Forwarder::new(&setup, tables.clone(), counters.path.clone())?,
                counters: counters.path.clone(),
                own: counters.own.clone(),
                pool: pool.clone(),
                rx,
                tx: ports().map(|port| Sink { port, sent: sent.clone() }).collect(),
                desk: Desk::new(&exchange, worker),
                burst_max: config.local.workers.burst as usize,
                seed: start.seed,
                clock: Box::new(move || now_ns),
            }));
        }
        let parts = Parts {
            config,
            interfaces,
            tables,
            exchange,
            counters,
            start,
            identity: None,
            signers: [None, None],
            pool: pool.clone(),
        };
        Ok(Sandbox { core: Core::new(now_ns, parts), workers, pool, sources, sent })
    }

    /// Puts a frame into a port's receive queue; says whether there was a buffer that holds it.
    pub fn offer(&mut self, port: PortIndex, frame: &[u8]) -> bool {
        let buf = self.pool.with(frame);
        match (self.sources.get(port.0 as usize), buf) {
            (Some(source), Some(buf)) => {
                source.0.borrow_mut().push_back(buf);
                true
            }
            _ => false,
        }
    }

    /// Lets the node work until it is at rest; says whether it came to rest.
    pub fn settle(&mut self, now_ns: u64) -> bool {
        for _ in 0..TURNS_MAX {
            let handled: usize = self.workers.iter_mut().map(|worker| worker.step(now_ns)).sum();
            let sent_before = self.core.injected;
            let more = self.core.pump(now_ns);
            let waits = self.core.exchange.handoffs_waiting() || self.core.exchange.control_has_work();
            if handled == 0 && !more && !waits && self.core.injected == sent_before {
                return true;
            }
        }
        false
    }

    /// Frames sent since the last call, in their order, with their ports.
    pub fn take_sent(&mut self) -> Vec<(PortIndex, Vec<u8>)> {
        core::mem::take(&mut self.sent.borrow_mut())
    }

    /// Stops the node and draws up its account.
    pub fn stop(mut self, now_ns: u64) -> crate::balance::Balance {
        self.settle(now_ns);
        self.core.stop_workers();
        self.settle(now_ns);
        self.core.slow.stop();
        self.core.exchange.clear();
        self.workers.clear();
        self.sources.iter().for_each(|source| source.0.borrow_mut().clear());
        let missing = self.pool.capacity() - self.pool.available();
        crate::balance::Balance::of(&self.core, missing as u64)
    }
}
