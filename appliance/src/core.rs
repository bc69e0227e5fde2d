//! The control thread's state and work, apart from its sockets: the slow path, snapshots, answers to operators.

use std::sync::Arc;
use std::time::Duration;

use conf::Config;
use overlay::keys::Identity;
use overlay::linkstate::Refused;
use overlay::plans::Planning;
use overlay::topology::IpVersion;
use packet::{BufPool, PacketBuf};
use pipelines::choices::Choices;
use pipelines::keys::{self, Keys};
use pipelines::ladders::Ladders;
use pipelines::linkstate::{self, LinkState};
use pipelines::live::{self, Live};
use pipelines::receipts::Receipts;
use pipelines::slow::SlowPath;
use pipelines::tables::Interface;
use pipelines::takeover::{self, Takeovers};
use pipelines::{Cause, PortIndex, Punt, Tables, WorkerCounters};

use crate::alarms::Alarms;
use crate::events::Events;
use crate::exchange::{Exchange, Order};
use crate::incoming::Tallies;
use crate::keyring::Keyring;
use crate::lists::Lists;
use crate::setup::{self, Start};
use crate::takeover::Leases;
use crate::traces::Traces;
use crate::worker::OwnCounters;

/// Punted frames handled before anything else gets its turn.
const PUNTS_AT_ONCE: usize = 256;
/// Pause between two snapshots because of neighbours, ns: many that appear at once become one snapshot.
const COMPILE_NS: u64 = 5_000_000;
const MS: u64 = 1_000_000;

/// How often link state that is not taken is told of, ns.
const TELL_NS: u64 = 60_000_000_000;

/// A worker that has not turned its loop for so long is stuck, ns.
const WORKER_SILENCE_NS: u64 = 2_000_000_000;
/// How often and how far apart a worker is told to stop.
const STOP_TRIES: usize = 1000;
const STOP_PAUSE: Duration = Duration::from_millis(1);

/// What one worker counts.
#[derive(Clone, Default)]
pub struct Counters {
    /// The data path's counters.
    pub path: Arc<WorkerCounters>,
    /// The worker's own.
    pub own: Arc<OwnCounters>,
}

/// The control thread's state.
pub struct Core<P: BufPool> {
    /// The configuration in force.
    pub config: Config,
    /// The node's ports as the tables know them.
    pub interfaces: Vec<Interface>,
    /// The snapshot in force.
    pub tables: Arc<Tables>,
    /// ARP, neighbour discovery, echo.
    pub slow: SlowPath,
    /// BFD with neighbours, probes of paths.
    pub live: Live,
    /// What all nodes say of their links.
    pub link_state: LinkState,
    /// What goes over the overlay and what straight, where that is weighed.
    pub choices: Choices,
    /// With what redundancy packets are sent, where that is adaptive.
    pub ladders: Ladders,
    /// What is told to others whose redundancy is.
    pub receipts: Receipts,
    /// Path sets that follow the links: the topology in `config` is the one in force.
    pub planning: Planning,
    /// Who holds which block of NAT addresses.
    pub takeovers: Takeovers,
    pub(crate) leases: Leases,
    /// Keys shared with other nodes; `None` where this node has no key.
    pub keyring: Option<Keyring>,
    /// Queues to the workers.
    pub exchange: Arc<Exchange<P::Buf>>,
    /// What the workers count.
    pub counters: Vec<Counters>,
    /// Data that the workers received, and what was lost of it on each path.
    pub(crate) tallies: Tallies,
    /// What was told of streams.
    pub(crate) alarms: Alarms,
    /// Lists under way.
    pub lists: Lists,
    /// Configurations taken over and refused since the start.
    pub reloads: (u64, u64),
    /// Frames of the slow path that were given to a worker.
    pub injected: u64,
    /// Frames of the slow path that found no buffer or no room in a queue.
    pub not_injected: u64,
    /// Messages about keys to a node that has none.
    pub without_keys: u64,
    /// What hop records told.
    pub traces: Traces,
    /// Where events of sessions are written.
    pub events: Option<Events>,
    /// When [`Core::pump`] last ran, ns.
    pub now_ns: u64,
    seed: u64,
    /// Where its frames' buffers come from.
    pub pool: P,
    /// Snapshots that a worker may still use: freed here, never by a worker.
    retired: Vec<Arc<Tables>>,
    /// Snapshots that found a worker's queue full, to be published again.
    unpublished: bool,
    /// What the snapshot in force was compiled from: the versions of neighbours, of what is dead, of plans, of links, of choices, and of ladders.
    compiled_versions: [u64; 6],
    compiled_ns: u64,
    /// When link state that is not taken was told of last, ns.
    told_ns: Option<u64>,
}

/// What a [`Core`] is made from.
pub struct Parts<P: BufPool> {
    /// The configuration.
    pub config: Config,
    /// The node's ports.
    pub interfaces: Vec<Interface>,
    /// The snapshot that the workers start with.
    pub tables: Arc<Tables>,
    /// Queues to the workers.
    pub exchange: Arc<Exchange<P::Buf>>,
    /// What the workers count.
    pub counters: Vec<Counters>,
    /// Seeds the tables; when the node started.
    pub start: Start,
    /// What the node's keys begin with, where it has a key.
    pub identity: Option<(Identity, [u8; 32])>,
    /// The same identity, to sign link state, and messages about blocks of addresses.
    pub signers: [Option<Identity>; 2],
    /// Where buffers for the slow path's frames come from.
    pub pool: P,
}

impl<P: BufPool> Core<P> {
    /// The state at the start; the node's addresses are announced with the first [`Core::pump`].
    pub fn new(now_ns: u64, parts: Parts<P>) -> Core<P> {
        let Parts { config, interfaces, tables, exchange, counters, start, identity, signers, pool } = parts;
        let [signer, voter] = signers;
        let slow =
            SlowPath::new(now_ns, &setup::slow(&config, &interfaces, &tables, start.seed.rotate_left(16)));
        let unix_offset_ns = start.unix_ms.wrapping_mul(1_000_000).wrapping_sub(now_ns);
        let begun = live::Start { unix_offset_ns, seed: start.seed.rotate_left(32) };
        let live = Live::new(now_ns, begun, &config.topology, &tables);
        let unix_offset_ms = unix_offset_ns / 1_000_000;
        let begun = linkstate::Start { identity: signer, unix_offset_ms };
        let link_state = LinkState::new(begun, &config.topology, config.node, &config.keys.identities);
        let begun = takeover::Start { identity: voter, unix_offset_ms };
        let identities = &config.keys.identities;
        let takeovers = Takeovers::new(now_ns, begun, &config.topology, config.node, identities);
        let planning = Planning::new(&config.topology, config.node);
        let choices = Choices::new(&config.topology, config.node);
        let ladders = Ladders::new(&config.topology, config.node);
        let receipts = Receipts::new(&config.topology, config.node, (start.seed >> 8) as u32);
        let keys = identity.and_then(|(identity, random)| {
            let begun = keys::Start { identity, rotation_s: config.keys.rotation_s, unix_offset_ms, random };
            Keys::new(now_ns, begun, &config.topology, config.node, &config.keys.identities)
        });
        let workers = exchange.workers();
        Core {
            config,
            interfaces,
            tables,
            slow,
            live,
            link_state,
            choices,
            ladders,
            receipts,
            planning,
            takeovers,
            leases: Leases::default(),
            keyring: keys.map(Keyring::new),
            exchange,
            counters,
            tallies: Tallies::default(),
            alarms: Alarms::default(),
            lists: Lists::new(workers),
            reloads: (0, 0),
            injected: 0,
            not_injected: 0,
            without_keys: 0,
            traces: Traces::default(),
            events: None,
            now_ns,
            seed: start.seed,
            pool,
            retired: Vec::new(),
            unpublished: false,
            compiled_versions: [0; 6],
            compiled_ns: 0,
            told_ns: None,
        }
    }

    /// Does what waits; says whether there is more to do at once.
    pub fn pump(&mut self, now_ns: u64) -> bool {
        self.now_ns = now_ns;
        self.pump_takeover(now_ns);
        let mut left = PUNTS_AT_ONCE;
        while left > 0
            && let Some(punt) = self.exchange.punted()
        {
            self.take(now_ns, punt);
            left -= 1;
        }
        // What came in counts before anything is found missing.
        self.live.tick(now_ns, &self.tables);
        self.link_state.tick(now_ns, &self.tables, self.live.links());
        self.choices.tick(now_ns, &self.config.topology, self.live.links(), self.link_state.views());
        self.pump_adaptive(now_ns);
        self.note_incoming(now_ns);
        self.look_for_alarms(now_ns);
        self.pump_plans(now_ns);
        self.pump_keys(now_ns);
        self.pump_takeover(now_ns);
        self.slow.tick(now_ns);
        self.send();
        self.refresh(now_ns);
        while let Some(page) = self.exchange.page() {
            self.lists.take(&page, &self.config, &self.tables);
        }
        self.lists.ask(&self.exchange);
        self.pump_traces(now_ns);
        if let Some(events) = &mut self.events {
            events.pump(now_ns, &self.exchange);
        }
        left == 0
    }

    /// When [`Core::pump`] has something to do even if nothing comes in, ns.
    pub fn timeout(&self) -> Option<u64> {
        let compile = self.wants_snapshot().then_some(self.compiled_ns + COMPILE_NS);
        let keys = self.keyring.as_ref().map(|keyring| keyring.timeout(self.now_ns));
        let (tallies, traces) = (self.tallies.timeout(), self.traces.timeout());
        let link_state = self.link_state.poll_timeout(self.now_ns);
        let plans = self.planning.due_ms().map(|due_ms| due_ms.saturating_mul(MS));
        let live = [
            self.live.poll_timeout(),
            link_state,
            plans,
            tallies,
            self.takeover_timeout(),
            self.choices.timeout(),
            self.ladders.timeout(),
            self.receipts.timeout(),
        ];
        let events = self.events.as_ref().map(Events::timeout);
        let own = live.into_iter().chain([self.slow.poll_timeout(), keys, compile, traces, events]);
        own.flatten().min()
    }

    fn take(&mut self, now_ns: u64, punt: Punt<P::Buf>) {
        let Punt { buf, port, cause } = punt;
        match cause {
            Cause::NeighborDiscovery | Cause::Local => self.slow.handle(now_ns, port, buf.data()),
            Cause::Liveness => self.live.handle(now_ns, &self.tables, buf.data()),
            Cause::Keys => match &mut self.keyring {
                Some(keyring) => keyring.handle(now_ns, buf.data()),
                None => self.without_keys += 1,
            },
            Cause::LinkState => {
                let refused = self.link_state.handle(now_ns, &self.tables, buf.data());
                self.tell(now_ns, refused);
            }
            Cause::Takeover => self.takeovers.handle(now_ns, &self.tables, buf.data()),
            Cause::Unresolved(next_hop) => self.slow.resolve(now_ns, port, next_hop, buf.data().to_vec()),
        }
        self.pool.free(buf);
    }

    /// Tells now and then of link state that is not taken.
    fn tell(&mut self, now_ns: u64, refused: Option<Refused>) {
        let Some(why) = refused else { return };
        if self.told_ns.is_none_or(|told_ns| now_ns.saturating_sub(told_ns) >= TELL_NS) {
            self.told_ns = Some(now_ns);
            let count: u64 = self.link_state.flood().refused().values().sum();
            tracing::warn!("a message about link state is not taken: {why}; {count} so far");
        }
    }

    /// Gives its frames to workers, those of liveness first, each port's to the same one so that they keep their order.
    fn send(&mut self) {
        while let Some((port, frame)) = self.next_frame() {
            let worker = port.0 as usize % self.exchange.workers().max(1);
            let filled = self.pool.alloc().and_then(|mut buf| {
                buf.append(frame.len()).ok()?;
                buf.data_mut().copy_from_slice(&frame);
                Some(buf)
            });
            match filled.map(|buf| self.exchange.inject(worker, port, buf)) {
                Some(Ok(())) => self.injected += 1,
                Some(Err(buf)) => {
                    self.pool.free(buf);
                    self.not_injected += 1;
                }
                None => self.not_injected += 1,
            }
        }
    }

    /// The next frame of liveness, keys, link state, or the slow path.
    fn next_frame(&mut self) -> Option<(PortIndex, Vec<u8>)> {
        let keys = |keyring: &mut Option<Keyring>| keyring.as_mut()?.keys.poll_frame();
        let urgent = self.live.poll_frame().or_else(|| keys(&mut self.keyring));
        let urgent = urgent.or_else(|| self.takeovers.poll_frame());
        let urgent = urgent.or_else(|| self.link_state.poll_frame());
        urgent.or_else(|| self.slow.poll_frame())
    }

    /// Plans again, takes over what others have planned, and puts in force what is due.
    fn pump_plans(&mut self, now_ns: u64) {
        let mut applications = self.config.topology.applications.iter();
        let uses_v4 = applications.any(|application| application.underlay == IpVersion::V4);
        let version = if uses_v4 { IpVersion::V4 } else { IpVersion::V6 };
        let (flood, view) = self.link_state.flood_and_view(version);
        let before = self.planning.version();
        for (ends, why) in self.planning.tick(now_ns / MS, flood, view) {
            let set = self.config.topology.path_set(ends.0, ends.1);
            tracing::error!("path set {}: {why}; it keeps its paths", set.map_or("?", |set| &set.name));
        }
        if self.planning.version() != before {
            self.config.topology = self.planning.topology().clone();
            self.live.reconfigure(now_ns, &self.config.topology, &self.tables);
        }
    }

    fn pump_keys(&mut self, now_ns: u64) {
        let Some(keyring) = &mut self.keyring else { return };
        if let Some(table) = keyring.pump::<P>(now_ns, &self.tables, &self.exchange, &self.counters) {
            self.live.swap_keys(table);
        }
    }

    fn wants_snapshot(&self) -> bool {
        self.unpublished || self.versions() != self.compiled_versions
    }

    /// What a snapshot depends on beside the configuration.
    fn versions(&self) -> [u64; 6] {
        // Where nothing goes hop by hop, what others say of links changes nothing.
        let links = if self.config.routes_by_links() { self.link_state.version() } else { 0 };
        let (plans, choices) = (self.planning.version(), self.choices.version());
        [self.slow.version(), self.live.version(), plans, links, choices, self.ladders.version()]
    }

    /// Publishes a new snapshot when neighbours or what is dead have changed.
    fn refresh(&mut self, now_ns: u64) {
        self.retired.retain(|tables| Arc::strong_count(tables) > 1);
        if !self.wants_snapshot() || now_ns.saturating_sub(self.compiled_ns) < COMPILE_NS {
            return;
        }
        self.compiled_ns = now_ns;
        match self.compile(&self.config.clone(), true) {
            Ok(tables) => self.publish(tables),
            // The same topology compiled before; neither can make it fail.
            Err(error) => tracing::error!("no new snapshot: {error}"),
        }
    }

    /// Compiles a snapshot of a configuration and of the neighbours known now.
    ///
    /// # Errors
    /// What no snapshot can hold.
    pub fn compile(
        &mut self,
        config: &Config,
        neighbors_only: bool,
    ) -> Result<Tables, pipelines::tables::CompileError> {
        let neighbors: Vec<_> = self.slow.neighbors().collect();
        let versions = self.versions();
        let known =
            (self.live.dead(), self.live.mtus(), self.link_state.views(), &self.choices, &self.ladders);
        let previous = Some(&*self.tables);
        let blocks = self.blocks();
        let (interfaces, seed) = (&self.interfaces, self.seed);
        let tables =
            setup::compile(config, interfaces, &neighbors, seed, known, &blocks, previous, neighbors_only)?;
        self.compiled_versions = versions;
        Ok(tables)
    }

    /// Has all workers forward by a snapshot from their next batch on.
    pub fn publish(&mut self, tables: Tables) {
        let tables = Arc::new(tables);
        self.unpublished = false;
        for worker in 0..self.exchange.workers() {
            if self.exchange.order(worker, Order::Tables(tables.clone())).is_err() {
                self.unpublished = true;
            }
        }
        self.retired.push(core::mem::replace(&mut self.tables, tables));
    }

    /// Takes a checked configuration over for the addresses that the slow path answers and resolves, and for the
    /// links and paths that are watched.
    pub fn reconfigure_slow_path(&mut self, now_ns: u64) {
        let answered = setup::answered(&self.tables);
        let next_hops = self.tables.next_hops.clone();
        self.slow.reconfigure(now_ns, &answered, &next_hops);
        self.live.reconfigure(now_ns, &self.config.topology, &self.tables);
        let Config { topology, node, keys, .. } = &self.config;
        self.takeovers.reconfigure(now_ns, topology, *node, &keys.identities);
        self.link_state.reconfigure(topology, *node, &keys.identities);
        self.choices.reconfigure(topology, *node);
        self.ladders.reconfigure(topology, *node);
        self.receipts.reconfigure(topology, *node);
        if let Some(keyring) = &mut self.keyring {
            keyring.keys.reconfigure(topology, *node, &keys.identities);
        }
    }

    /// Whether all workers turn their loops.
    pub fn workers_turn(&self, now_ns: u64) -> bool {
        self.counters.iter().all(|worker| now_ns.saturating_sub(worker.own.seen_ns.get()) < WORKER_SILENCE_NS)
    }

    /// Tells the workers to end once they have handed out what is inside.
    pub fn stop_workers(&self) {
        for worker in 0..self.exchange.workers() {
            // A full queue empties within a turn of the worker's loop; one that does not has no worker any more.
            for _ in 0..STOP_TRIES {
                if self.exchange.order(worker, Order::Stop).is_ok() {
                    break;
                }
                std::thread::sleep(STOP_PAUSE);
            }
        }
    }
}
