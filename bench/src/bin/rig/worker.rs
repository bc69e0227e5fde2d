//! A role in a process of its own, without the daemon around it: the real data path on real mbufs, fed by a
//! source that makes packets, sending to a port that discards.

use crate::host::CONTROL_CORE;
use crate::peers::DISCARD;
use clap::{Args, ValueEnum};
use dpdk::{Clock, Device, Eal, Mempool, PoolConfig, PortConfig, TxQueue};
use miette::{IntoDiagnostic, Result, bail};
use packet::{BufPool, Counter, PacketBuf};
use pipelines::Burst;
use proa_bench::node::{BURST, Node, Shape};
use proa_bench::source::Source;
use proa_bench::world::Role;
use std::io::Write;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of the clients' frames before their IP packets.
const ETHERNET_LEN: usize = 14;

/// What a worker process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Job {
    /// Makes packets and discards them: what the source itself costs.
    Source,
    /// Copies packets into buffers out of the mempool and sends the copies, which the port frees, and nothing else.
    Copy,
    /// The same within the worker's own stash: the same few buffers, and neither the mempool nor the port takes part.
    CopyInStash,
    /// Clients' packets into the overlay.
    Edge,
    /// From one node to the next.
    Intermediate,
    /// Out of the overlay to the origin.
    Forward,
    /// From the origin into the overlay.
    Reverse,
    /// As forward, but each packet is the first of its session.
    NewSessions,
}

/// A worker process.
#[derive(Args, Clone, Debug)]
pub struct Worker {
    /// What to do
    #[arg(long)]
    pub job: Job,
    /// Different flows or sessions
    #[arg(long)]
    pub flows: u32,
    /// Clients' frames on the wire in bytes
    #[arg(long)]
    pub size: usize,
    /// Copies: sent of each packet at the edge and by the gateway, received of each packet from the overlay
    #[arg(long, default_value_t = 1)]
    pub copies: u8,
    /// Cores, one worker on each
    #[arg(long, value_delimiter = ',')]
    pub cores: Vec<usize>,
    /// Where the counters are told
    #[arg(long)]
    pub socket: PathBuf,
    /// Keeps DPDK processes apart
    #[arg(long)]
    pub file_prefix: String,
    /// Mbufs
    #[arg(long, default_value_t = 16_384)]
    pub buffers: u32,
    /// How DPDK is to claim memory; --no-huge under an instruction counter
    #[arg(long, default_value = "--in-memory")]
    pub memory: String,
    /// End after so many packets, for an instruction counter
    #[arg(long, default_value_t = u64::MAX)]
    pub packets: u64,
}

/// What a worker tells while it runs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Told {
    received: Counter,
    sent: Counter,
    /// Time spent in what is measured, where that is not all of it, ns.
    busy_ns: Counter,
}

/// Runs until the process is ended.
///
/// # Errors
/// Where DPDK or the node cannot be set up.
pub fn run(worker: &Worker) -> Result<()> {
    let memory = worker.buffers / 300 + 64;
    let mut arguments = vec![format!("--lcores=0@{CONTROL_CORE}"), worker.memory.clone(), "--no-pci".into()];
    arguments.extend(["-m".to_owned(), memory.to_string(), format!("--file-prefix={}", worker.file_prefix)]);
    let eal = Eal::init(&arguments).into_diagnostic()?;
    let pool = PoolConfig { capacity: worker.buffers, ..PoolConfig::default() };
    let mempool = Mempool::new(&eal, &pool).into_diagnostic()?;
    let cores = worker.cores.len() as u16;
    let config = PortConfig { tx_queues: cores, ..PortConfig::default() };
    let (sink, _unused, mut tx) =
        Device::find(&eal, DISCARD).and_then(|device| device.start(&config, &mempool)).into_diagnostic()?;
    let told: Vec<Arc<Told>> = worker.cores.iter().map(|_| Arc::default()).collect();
    for (number, core) in worker.cores.iter().enumerate() {
        let (told, core, worker) = (told[number].clone(), *core, worker.clone());
        let (eal, mempool, tx) = (eal.clone(), mempool.clone(), tx.remove(0));
        std::thread::Builder::new()
            .name(format!("worker-{number}"))
            .spawn(move || {
                if let Err(error) = work(&worker, core, &eal, &mempool, tx, &told) {
                    eprintln!("{error:?}");
                    std::process::exit(1);
                }
            })
            .into_diagnostic()?;
    }
    tell(worker, &told)?;
    drop(sink);
    Ok(())
}

/// Answers each byte on the socket with the sums of all workers' counters.
fn tell(worker: &Worker, told: &[Arc<Told>]) -> Result<()> {
    let _ = std::fs::remove_file(&worker.socket);
    let listener = UnixListener::bind(&worker.socket).into_diagnostic()?;
    for stream in listener.incoming() {
        let mut stream: UnixStream = stream.into_diagnostic()?;
        while std::io::Read::read(&mut stream, &mut [0; 1]).into_diagnostic()? == 1 {
            let sum = |field: fn(&Told) -> &Counter| told.iter().map(|told| field(told).get()).sum::<u64>();
            let line = format!(
                "{} {} {}\n",
                sum(|told| &told.received),
                sum(|told| &told.sent),
                sum(|told| &told.busy_ns)
            );
            stream.write_all(line.as_bytes()).into_diagnostic()?;
        }
    }
    Ok(())
}

type Pool = dpdk::Pool;

/// One worker thread.
struct Loop<'a> {
    pool: Pool,
    tx: TxQueue,
    clock: Clock,
    told: &'a Told,
    burst: Burst<dpdk::Mbuf>,
    packets: u64,
}

fn work(worker: &Worker, core: usize, eal: &Eal, mempool: &Mempool, tx: TxQueue, told: &Told) -> Result<()> {
    dpdk::pin_to_core(core).into_diagnostic()?;
    let _registered = dpdk::Registration::new(eal).into_diagnostic()?;
    let role = match worker.job {
        Job::Edge | Job::Source | Job::Copy | Job::CopyInStash => Role::Edge,
        Job::Intermediate => Role::Intermediate,
        Job::Forward | Job::Reverse | Job::NewSessions => Role::Gateway,
    };
    let copies = worker.copies;
    // Each worker is a node of its own: two workers share nothing but the mempool and the caches.
    let shape = Shape { role, copies, worker: 0, workers: 1, capacity: worker.flows.next_multiple_of(1_024) };
    let mut node = Node::new(shape).into_diagnostic()?;
    let pool = dpdk::Pool::new(mempool);
    let mut this =
        Loop { pool, tx, clock: Clock::new(eal), told, burst: Burst::new(), packets: worker.packets };
    let flows = 0..worker.flows;
    match worker.job {
        Job::Source => this.source(Source::clients(flows, worker.size)),
        Job::Copy => this.copy(Source::clients(flows, worker.size)),
        Job::CopyInStash => this.copy_in_stash(Source::clients(flows, worker.size)),
        Job::Edge => this.make(Source::clients(flows, worker.size), &mut node),
        Job::Intermediate => this.make(Source::transit(flows, worker.size), &mut node),
        Job::Forward => this.make(Source::overlay(flows, worker.size, copies), &mut node),
        Job::Reverse => {
            let requests = Source::overlay(flows, worker.size, 1);
            let sessions = node.open(requests, &mut this.pool).into_diagnostic()?;
            this.make(Source::origin(&sessions, worker.size), &mut node)
        }
        Job::NewSessions => this.renew(Source::overlay(flows, worker.size, 1), &mut node),
    }
}

impl Loop<'_> {
    fn step(&mut self, now_ns: u64, node: &mut Node<Pool>) {
        let (tx, mut sent) = (&mut self.tx, 0);
        node.step(now_ns, &mut self.burst, &mut self.pool, |_, frames| sent += tx.burst(frames));
        self.told.sent.add(sent as u64);
    }

    fn count_received(&mut self) {
        self.told.received.add(self.burst.len() as u64);
        if self.told.received.get() >= self.packets {
            std::process::exit(0);
        }
    }

    fn make(&mut self, mut source: Source, node: &mut Node<Pool>) -> Result<()> {
        loop {
            source.fill(&mut self.pool, &mut self.burst, BURST);
            self.count_received();
            self.step(self.clock.now_ns(), node);
        }
    }

    fn source(&mut self, mut source: Source) -> Result<()> {
        loop {
            source.fill(&mut self.pool, &mut self.burst, BURST);
            self.count_received();
            while !self.burst.is_empty() {
                self.told.sent.add(self.tx.burst(&mut self.burst) as u64);
            }
        }
    }

    /// The packets of a burst of frames, as they are copied: without Ethernet.
    fn fill_packets(&mut self, mut source: Source) -> Result<()> {
        source.fill(&mut self.pool, &mut self.burst, BURST);
        self.burst.iter_mut().try_for_each(|buf| buf.trim_front(ETHERNET_LEN)).into_diagnostic()
    }

    /// A burst is copied over and over: buffers come from the mempool and go back to it from the port, as those of
    /// every copy that is sent.
    fn copy(&mut self, source: Source) -> Result<()> {
        self.fill_packets(source)?;
        let mut copies = Burst::<dpdk::Mbuf>::new();
        loop {
            copies.extend(self.burst.iter().filter_map(|buf| self.pool.copy(buf)));
            self.count_received();
            while !copies.is_empty() {
                self.told.sent.add(self.tx.burst(&mut copies) as u64);
            }
        }
    }

    /// The same, but each copy is freed by the worker itself.
    fn copy_in_stash(&mut self, source: Source) -> Result<()> {
        self.fill_packets(source)?;
        let mut copies = Burst::<dpdk::Mbuf>::new();
        loop {
            copies.extend(self.burst.iter().filter_map(|buf| self.pool.copy(buf)));
            self.count_received();
            self.told.sent.add(copies.len() as u64);
            copies.drain(..).for_each(|copy| self.pool.free(copy));
        }
    }

    /// Opens all sessions, lets time pass until all are forgotten, and so on; counts the time of opening only.
    fn renew(&mut self, mut source: Source, node: &mut Node<Pool>) -> Result<()> {
        let mut now_ns = 1_000_000_000;
        loop {
            let mut left = source.flows();
            let mut failed = 0;
            while left > 0 {
                let start = self.clock.now_ns();
                for _ in 0..64 {
                    source.fill(&mut self.pool, &mut self.burst, BURST.min(left));
                    let count = self.burst.len();
                    left -= count;
                    now_ns += 1_000;
                    let before = self.told.sent.get();
                    self.step(now_ns, node);
                    self.told.received.add(count as u64);
                    failed += count as u64 - (self.told.sent.get() - before);
                }
                self.told.busy_ns.add(self.clock.now_ns() - start);
            }
            if failed > 0 {
                let drops = node.drops();
                bail!("{failed} sessions were refused: {drops:?}");
            }
            now_ns += 1_000_000_000_000;
            while node.sessions() > 0 {
                node.sweep(now_ns);
            }
        }
    }
}
