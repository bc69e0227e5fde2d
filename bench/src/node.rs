//! One worker's data path with what surrounds it in a measurement: set up for a role, fed with bursts, emptied.

use crate::source::Source;
use crate::world::{self, Role};
use arrayvec::ArrayVec;
use overlay::seal::SealTable;
use overlay::wire::initial_sequence;
use packet::{BufPool, PacketBuf, Reason};
use pipelines::batch::TX_MAX;
use pipelines::tables::{CompileError, Tables, pool_addresses};
use pipelines::{Burst, Forwarder, Output, PortIndex, Setup, WorkerCounters};
use std::net::Ipv4Addr;
use std::sync::Arc;

/// Packets per burst, as the appliance takes by default.
pub const BURST: usize = 32;

/// How a node is measured.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// What it does.
    pub role: Role,
    /// Copies that it sends of each packet that enters the overlay at it.
    pub copies: u8,
    /// Which worker this is.
    pub worker: u16,
    /// Workers of the node.
    pub workers: u16,
    /// Flows or sessions that it has room for.
    pub capacity: u32,
}

/// Why a node cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The overlay does not compile.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// The gateway's translation cannot be made.
    #[error(transparent)]
    Nat(#[from] nat::InvalidConfig),
    /// A session was not opened.
    #[error("a session was refused after {opened} were opened; dropped so far: {drops:?}")]
    Refused {
        /// Sessions opened before.
        opened: usize,
        /// What the node dropped, by reason.
        drops: Vec<(&'static str, u64)>,
    },
}

/// A worker's data path.
pub struct Node<P: BufPool> {
    forwarder: Forwarder<P>,
    counters: Arc<WorkerCounters>,
    output: Box<Output<P::Buf>>,
    sweep_at_ns: u64,
}

impl<P: BufPool> Node<P> {
    /// Claims all memory that the node will need.
    ///
    /// # Errors
    /// Where the shape asks for what no node can be.
    pub fn new(shape: Shape) -> Result<Node<P>, SetupError> {
        Node::of(shape, world::tables(shape.role, shape.copies, shape.workers, shape.capacity)?)
    }

    /// The same by other tables than [`world::tables`].
    ///
    /// # Errors
    /// As [`Node::new`].
    pub fn of(shape: Shape, tables: Tables) -> Result<Node<P>, SetupError> {
        let Shape { worker, workers, capacity, .. } = shape;
        let tables = Arc::new(tables);
        let counters = Arc::new(WorkerCounters::default());
        let nat = nat::Config {
            sessions_max: capacity as usize,
            pool: pool_addresses(&world::nat_pool(capacity)).collect(),
            worker,
            workers,
            rss: None,
            // All that is claimed is used, by as many clients as there are.
            rules: nat::Rules {
                clients_max: capacity as usize,
                reserve_percent: 0,
                quarantine_s: 0,
                ..nat::Rules::default()
            },
            timeouts: nat::Timeouts::default(),
            seed: 0x5eed,
        };
        let setup = Setup {
            worker,
            workers,
            flows: capacity as usize,
            nat,
            peer: None,
            bindings: false,
            streams: 256,
            window: 65_536,
            watching: overlay::elimination::Watching::default(),
            ordering: overlay::ordering::Bounds::default(),
            parity: overlay::parity::Bounds::default(),
            flow_idle_s: 300,
            refuses_aloud: true,
            answers_per_second: 100,
            seed: 0x5eed,
            first_sequence: initial_sequence(1_700_000_000_000),
            unix_offset_ns: 1_700_000_000_000_000_000,
        };
        let forwarder = Forwarder::new(&setup, tables, counters.clone())?;
        Ok(Node { forwarder, counters, output: Box::default(), sweep_at_ns: 0 })
    }

    /// Works with these keys from now on.
    pub fn swap_keys(&mut self, keys: Arc<SealTable>) {
        self.forwarder.swap_keys(keys);
    }

    /// Takes a burst through the data path. `transmit` is given frames until it has taken them all; what else
    /// comes out is freed.
    #[inline]
    pub fn step(
        &mut self,
        now_ns: u64,
        burst: &mut Burst<P::Buf>,
        pool: &mut P,
        mut transmit: impl FnMut(&mut P, &mut ArrayVec<P::Buf, TX_MAX>),
    ) {
        self.forwarder.process(now_ns, PortIndex(0), burst, pool, &mut self.output);
        if !self.output.stamps.is_empty() {
            self.output.stamp(now_ns);
        }
        while self.output.ports != 0 {
            let port = self.output.ports.trailing_zeros() as usize;
            self.output.ports &= self.output.ports - 1;
            let frames = &mut self.output.tx[port];
            while !frames.is_empty() {
                transmit(pool, frames);
            }
        }
        self.output.punts.drain(..).for_each(|punt| pool.free(punt.buf));
        self.output.handoffs.drain(..).for_each(|handoff| pool.free(handoff.buf));
        if now_ns >= self.sweep_at_ns {
            self.sweep(now_ns);
        }
    }

    /// Opens a gateway's session for every flow of a source, and returns the addresses and ports that the origin
    /// replies to.
    ///
    /// # Errors
    /// [`SetupError::Refused`] where a session is not opened.
    pub fn open(&mut self, mut source: Source, pool: &mut P) -> Result<Vec<(Ipv4Addr, u16)>, SetupError> {
        let mut sessions = Vec::with_capacity(source.flows());
        let mut burst = Burst::new();
        while sessions.len() < source.flows() {
            let before = sessions.len();
            source.fill(pool, &mut burst, BURST.min(source.flows() - before));
            let asked = burst.len();
            self.step(1_000_000_000, &mut burst, pool, |pool, frames| {
                for frame in frames.drain(..) {
                    sessions.extend(udp_source(frame.data()));
                    pool.free(frame);
                }
            });
            if sessions.len() != before + asked || asked == 0 {
                return Err(SetupError::Refused { opened: sessions.len(), drops: self.drops() });
            }
        }
        Ok(sessions)
    }

    /// Forgets what is idle, in one piece of the tables.
    pub fn sweep(&mut self, now_ns: u64) {
        self.sweep_at_ns = now_ns + self.forwarder.sweep(now_ns);
    }

    /// What the data path has counted.
    pub fn counters(&self) -> &WorkerCounters {
        &self.counters
    }

    /// What was dropped, by reason.
    pub fn drops(&self) -> Vec<(&'static str, u64)> {
        let counted = |reason: &Reason| (reason.name(), self.counters.drops[reason.index()].get());
        Reason::ALL.iter().map(counted).filter(|(_, count)| *count > 0).collect()
    }

    /// Translated sessions now.
    pub fn sessions(&self) -> usize {
        self.nat().map_or(0, nat::Nat::len)
    }

    /// The gateway's translation.
    pub fn nat(&self) -> Option<&nat::Nat> {
        self.forwarder.nat()
    }
}

/// The source address and port of a UDP packet over IPv4 in an untagged frame.
fn udp_source(frame: &[u8]) -> Option<(Ipv4Addr, u16)> {
    let address: [u8; 4] = frame.get(26..30)?.try_into().ok()?;
    let port: [u8; 2] = frame.get(34..36)?.try_into().ok()?;
    Some((Ipv4Addr::from(address), u16::from_be_bytes(port)))
}
