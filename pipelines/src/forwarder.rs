//! One worker's whole data path.

use crate::answer::Answers;
use crate::batch::{Burst, Lane, Output, PortIndex, Told};
use crate::bindings::{self, Scan};
use crate::classify;
use crate::counters::WorkerCounters;
use crate::detour::Detour;
use crate::edge::{self, Ingress};
use crate::emit::Context;
use crate::encapsulate::Sequences;
use crate::flow::FlowTable;
use crate::fragments::Fragments;
use crate::gateway::inbound::{self, Held};
use crate::gateway::{self, Reply, Request};
use crate::handover::Handover;
use crate::known::Known;
use crate::leases::{Lease, Leases};
use crate::tables::Tables;
use crate::terminate::{self, Arrival, Waiting};
use crate::trace::Tracer;
use nat::{BLOCKS, Nat};
use overlay::elimination::{Elimination, Totals, Watching};
use overlay::ordering::{Bounds, Counts, Ordering};
use overlay::parity::{self, Decoder, DecoderCounts, Encoder, EncoderCounts};
use overlay::seal::SealTable;
use overlay::topology::NodeId;
use packet::ip::Packet;
use packet::plain::Plain;
use packet::{BufPool, Headers, Reason};
use std::sync::Arc;

/// Packets of a burst that have been read into one form of headers, sorted by what is to be done.
pub struct Sorted<B, H> {
    /// From clients into the overlay.
    pub ingress: Lane<B, Ingress<H>>,
    /// Out of the overlay, to origins.
    pub requests: Lane<B, Request<H>>,
    /// From origins into the overlay.
    pub replies: Lane<B, Reply<H>>,
}

impl<B, H: Copy + Default> Default for Sorted<B, H> {
    fn default() -> Sorted<B, H> {
        Sorted { ingress: Lane::default(), requests: Lane::default(), replies: Lane::default() }
    }
}

/// A burst, sorted. What goes on to another node has no lane: it waits for nothing.
pub struct Lanes<B> {
    /// Plain packets, which nearly all are: the stages have a version for them alone.
    pub plain: Sorted<B, Plain>,
    /// All others.
    pub general: Sorted<B, Packet>,
    /// Out of the overlay.
    pub arrivals: Lane<B, Arrival>,
}

impl<B> Default for Lanes<B> {
    fn default() -> Lanes<B> {
        Lanes { plain: Sorted::default(), general: Sorted::default(), arrivals: Lane::default() }
    }
}

/// The tables in which packets are looked for as soon as they have been classified.
#[derive(Clone, Copy)]
pub struct Stores<'a> {
    /// The edge's flows.
    pub flows: &'a FlowTable,
    /// The gateway's sessions.
    pub nat: Option<&'a Nat>,
}

/// What a worker is made with; memory is claimed once, by these numbers.
#[derive(Clone, Debug)]
pub struct Setup {
    /// This worker's number, from 0.
    pub worker: u16,
    /// Workers of the node.
    pub workers: u16,
    /// Flows that the edge keeps.
    pub flows: usize,
    /// Sessions that the gateway keeps.
    pub nat: nat::Config,
    /// The gateway that this one stands in for, with its pool.
    pub peer: Option<(NodeId, Vec<packet::Addr>)>,
    /// Whether an edge keeps its flows' bindings.
    pub bindings: bool,
    /// Streams that can be received.
    pub streams: usize,
    /// Elimination window of each, packets.
    pub window: usize,
    /// How received streams are watched.
    pub watching: Watching,
    /// How much of what is put in order is held, and for how long.
    pub ordering: Bounds,
    /// How much is kept of packets of which others may be rebuilt, and for how long.
    pub parity: parity::Bounds,
    /// Flows idle for so long are forgotten, seconds.
    pub flow_idle_s: u32,
    /// Whether a client is told by ICMP that it gets no session.
    pub refuses_aloud: bool,
    /// ICMP errors a second at most.
    pub answers_per_second: u64,
    /// Seeds the hashes of tables whose keys come from the wire.
    pub seed: u64,
    /// First sequence number of the streams that this worker sends; see [`overlay::wire::initial_sequence`].
    pub first_sequence: u64,
    /// Nanoseconds from 1970 to the zero of the clock that packets are processed by.
    pub unix_offset_ns: u64,
}

/// Takes packets of one form of headers through the roles.
#[inline(always)]
fn serve<P: BufPool, H: Headers>(
    sorted: &mut Sorted<P::Buf, H>,
    flows: &mut FlowTable,
    nat: Option<&mut Nat>,
    context: &mut Context<P>,
) {
    if !sorted.ingress.is_empty() {
        edge::ingress(&mut sorted.ingress, flows, context);
    }
    let Some(nat) = nat else { return };
    if !sorted.requests.is_empty() {
        gateway::requests(&mut sorted.requests, nat, context);
    }
    if !sorted.replies.is_empty() {
        gateway::replies(&mut sorted.replies, nat, context);
    }
}

/// Takes all lanes through the roles: first the binding records that came with their packets, then what is of a block that may not be
/// translated now, then the packets.
#[inline(always)]
fn serve_all<P: BufPool>(
    lanes: &mut Lanes<P::Buf>,
    flows: &mut FlowTable,
    nat: &mut Option<Nat>,
    context: &mut Context<P>,
) {
    if !context.out.told.is_empty() {
        bindings::take(flows, nat.as_mut(), context);
    }
    if context.leases.is_fenced()
        && let Some(nat) = nat
    {
        gateway::fence(lanes, nat, context);
    }
    serve(&mut lanes.plain, flows, nat.as_mut(), context);
    serve(&mut lanes.general, flows, nat.as_mut(), context);
}

/// Takes packets whose turn has come through the roles, until none is left or there is no room for what comes of them.
#[cold]
#[inline(never)]
fn resume<P: BufPool>(
    lanes: &mut Lanes<P::Buf>,
    ordering: &mut Ordering<Waiting<P::Buf>>,
    flows: &mut FlowTable,
    nat: &mut Option<Nat>,
    context: &mut Context<P>,
) {
    while terminate::resume_ready(lanes, ordering, nat.as_ref(), context) {
        serve_all(lanes, flows, nat, context);
    }
}

/// Takes packets that can be rebuilt through the roles, until none is left or there is no room for what comes of them.
#[cold]
#[inline(never)]
fn rebuild<P: BufPool>(
    lanes: &mut Lanes<P::Buf>,
    (elimination, ordering, decoder): (&mut Elimination, &mut Ordering<Waiting<P::Buf>>, &mut Decoder),
    flows: &mut FlowTable,
    nat: &mut Option<Nat>,
    context: &mut Context<P>,
) {
    while terminate::rebuild_ready(lanes, elimination, ordering, decoder, nat.as_ref(), context) {
        serve_all(lanes, flows, nat, context);
    }
}

/// The number of a flight with parity packets to a destination, of packets that are sealed or not; of none, if there is none.
fn coded_flight(tables: &Tables, destination: u16, sealed: bool) -> u16 {
    let mut flights = tables.flights.iter();
    let found = flights
        .position(|flight| flight.coded.is_some() && flight.number == destination && flight.sealed == sealed);
    found.map_or(u16::MAX, |found| found as u16)
}

/// Places of each table looked at per sweep.
const SWEEP_PLACES: usize = 64;

/// Sessions looked at per sweep. Where millions of them lie apart, so many end within 15 µs.
const SWEEP_SESSIONS: usize = 32;

/// Pause between two sweeps, ns.
const SWEEP_NS: u64 = 1_000_000;

/// The same while sessions wait that should have been looked at already: what they are given is a quarter of the
/// worker's time at most, in pieces that no packet has to wait for.
const SWEEP_BEHIND_NS: u64 = 50_000;

/// One worker's data path: give it bursts, and empty what it puts out.
pub struct Forwarder<P: BufPool> {
    worker: u16,
    workers: u16,
    flow_idle_s: u32,
    /// When all tables were swept last.
    swept_ns: u64,
    tables: Arc<Tables>,
    counters: Arc<WorkerCounters>,
    flows: FlowTable,
    nat: Option<Nat>,
    elimination: Elimination,
    ordering: Ordering<Waiting<P::Buf>>,
    encoder: Encoder,
    decoder: Decoder,
    parity: parity::Bounds,
    known: Known,
    keys: Arc<SealTable>,
    sequences: Sequences,
    answers: Answers,
    fragments: Fragments<P::Buf>,
    tracer: Tracer,
    held: Held<P::Buf>,
    leases: Leases,
    detour: Detour<P::Buf>,
    handover: Handover,
    scan: Scan,
    /// The tenures in force, by block; 0 where none is.
    tenures: [u64; BLOCKS],
    refuses_aloud: bool,
    lanes: Lanes<P::Buf>,
}

impl<P: BufPool> Forwarder<P> {
    /// A data path that forwards by `tables` and counts in `counters`.
    ///
    /// # Errors
    /// What is wrong with `setup.nat`, on a gateway.
    pub fn new(
        setup: &Setup,
        tables: Arc<Tables>,
        counters: Arc<WorkerCounters>,
    ) -> Result<Forwarder<P>, nat::InvalidConfig> {
        let flows = if tables.roles.edge { setup.flows } else { 0 };
        let nat = match &setup.peer {
            _ if !tables.roles.gateway => None,
            Some((_, pool)) => Some(Nat::with_peer(&setup.nat, pool)?),
            None => Some(Nat::new(&setup.nat)?),
        };
        let homes = setup.peer.as_ref().map(|(peer, _)| [tables.node, *peer]);
        let flows = if setup.bindings {
            FlowTable::with_bindings(flows, setup.seed)
        } else {
            FlowTable::new(flows, setup.seed)
        };
        let mut forwarder = Forwarder {
            worker: setup.worker,
            workers: setup.workers.max(1),
            flow_idle_s: setup.flow_idle_s,
            swept_ns: 0,
            counters,
            flows,
            nat,
            elimination: Elimination::new(setup.streams, setup.window, setup.seed ^ 1),
            ordering: Ordering::new(setup.ordering, setup.seed.rotate_left(41)),
            encoder: Encoder::default(),
            decoder: Decoder::default(),
            parity: setup.parity,
            known: Known::default(),
            keys: Arc::default(),
            sequences: Sequences::new(setup.first_sequence, setup.worker, setup.seed.rotate_left(7)),
            answers: Answers::new(setup.answers_per_second, setup.seed.rotate_left(29)),
            fragments: Fragments::new(
                setup.seed.rotate_left(17),
                setup.worker,
                setup.workers,
                tables.roles.gateway,
            ),
            tracer: Tracer::new(setup.unix_offset_ns),
            held: Held::default(),
            leases: Leases::new(homes),
            detour: Detour::new(homes.is_some()),
            handover: Handover::new(homes.is_some()),
            scan: Scan::default(),
            tenures: [0; BLOCKS],
            refuses_aloud: setup.refuses_aloud,
            lanes: Lanes::default(),
            tables: tables.clone(),
        };
        forwarder.elimination.watch(setup.watching);
        forwarder.swap_tables(tables);
        Ok(forwarder)
    }

    /// Forwards by another snapshot from the next burst on. Flows, sessions, windows and counters stay.
    pub fn swap_tables(&mut self, tables: Arc<Tables>) {
        self.sequences.reserve(tables.registry.destinations.len(), tables.registry.ways.len());
        if tables.flights.iter().any(|flight| flight.is_ordered) {
            self.sequences.reserve_chains();
        }
        if tables.flights.iter().any(|flight| flight.coded.is_some()) {
            self.encoder.reserve(tables.registry.destinations.len());
        }
        if tables.rebuilds {
            self.decoder.reserve(self.parity);
        }
        // Groups that are open end as they would have: by whatever flight leads where their packets went.
        self.encoder.renumber(|destination, sealed| coded_flight(&tables, destination, sealed));
        let cells = tables.flights.iter().filter_map(|flight| flight.adaptive.as_ref());
        let caps = cells.map(|cell| usize::from(cell.number()) + 1).max().unwrap_or(0);
        self.sequences.reserve_caps(caps);
        self.known.forget();
        if self.tables.blocks != tables.blocks {
            self.scan.start();
        }
        self.tables = tables;
    }

    /// Translates by these leases from the next burst on, where this gateway has a peer.
    pub fn set_leases(&mut self, now_ns: u64, leases: [Lease; BLOCKS]) {
        if let Some(nat) = &mut self.nat {
            self.leases.set(now_ns, leases, nat);
            self.handover.set(self.leases.leaving(), nat);
        }
    }

    /// Of each block that is to be the other gateway's, the revision of the tenure that may be ended: the other gateway knows its
    /// sessions.
    pub fn copied(&self) -> [u64; BLOCKS] {
        self.handover.copied()
    }

    /// Of each block that was ended, the revision of the tenure of which the other gateway knows all.
    pub fn whole(&self) -> [u64; BLOCKS] {
        self.handover.whole()
    }

    /// From this time on nothing may be transmitted that was received before, ns: a lease is over then. `u64::MAX` where
    /// none runs.
    #[inline(always)]
    pub fn fence_ns(&self) -> u64 {
        self.leases.next_ns()
    }

    /// Works with other keys from the next burst on.
    pub fn swap_keys(&mut self, keys: Arc<SealTable>) {
        self.known.forget();
        self.keys = keys;
    }

    /// The snapshot in use.
    pub fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    /// Takes a burst of frames from a port through all stages. `burst` is empty afterwards; `out` holds what is to
    /// be sent, punted and handed over.
    #[inline]
    pub fn process(
        &mut self,
        now_ns: u64,
        port: PortIndex,
        burst: &mut Burst<P::Buf>,
        pool: &mut P,
        out: &mut Output<P::Buf>,
    ) {
        self.forward(now_ns, port, burst, pool, out, false);
    }

    /// Never inlined, so that it is there once, and its stages are inlined into it because nobody else calls them.
    #[inline(never)]
    fn forward(
        &mut self,
        now_ns: u64,
        port: PortIndex,
        burst: &mut Burst<P::Buf>,
        pool: &mut P,
        out: &mut Output<P::Buf>,
        handed: bool,
    ) {
        let Self {
            worker,
            workers,
            tables,
            counters,
            flows,
            nat,
            elimination,
            ordering,
            decoder,
            known,
            keys,
            sequences,
            encoder,
            answers,
            fragments,
            tracer,
            held,
            leases,
            detour,
            handover,
            refuses_aloud,
            lanes,
            ..
        } = self;
        out.stamps.clear();
        out.seen.clear();
        let now_s = (now_ns / 1_000_000_000) as u32;
        let (worker, workers) = (*worker, *workers);
        if now_ns >= leases.next_ns()
            && let Some(nat) = nat
        {
            leases.look(now_ns, nat);
        }
        let mut context = Context {
            now_ns,
            now_s,
            worker,
            workers,
            tables,
            keys,
            counters,
            pool,
            out,
            sequences,
            encoder,
            answers,
            fragments,
            tracer,
            held,
            detour,
            handover,
            leases,
            refuses_aloud: *refuses_aloud,
            handed,
        };
        let context = &mut context;

        let stores = Stores { flows, nat: nat.as_ref() };
        classify::run(port, burst, lanes, known, stores, context);
        if !lanes.arrivals.is_empty() {
            terminate::run(lanes, elimination, ordering, decoder, nat.as_ref(), context);
        }
        serve_all(lanes, flows, nat, context);
        if decoder.has_ready() {
            rebuild(lanes, (elimination, ordering, decoder), flows, nat, context);
        }
        if ordering.has_ready() {
            resume(lanes, ordering, flows, nat, context);
        }
    }

    /// Whether something is to be done although nothing has come: then [`Forwarder::catch_up`] does it.
    #[inline(always)]
    pub fn is_due(&self, now_ns: u64) -> bool {
        self.held.is_due(now_ns)
            || self.handover.is_busy()
            || self.detour.is_due(&self.tables, &self.leases)
            || self.scan.is_due(now_ns)
            || self.ordering.is_due(now_ns)
            || self.encoder.is_due(now_ns)
            || self.decoder.has_ready()
    }

    /// Does what is due without a packet.
    #[cold]
    pub fn catch_up(&mut self, now_ns: u64, pool: &mut P, out: &mut Output<P::Buf>) {
        let Self {
            worker,
            workers,
            tables,
            counters,
            flows,
            nat,
            elimination,
            keys,
            sequences,
            encoder,
            answers,
            fragments,
            tracer,
            held,
            leases,
            detour,
            handover,
            scan,
            ordering,
            decoder,
            lanes,
            refuses_aloud,
            ..
        } = self;
        if now_ns >= leases.next_ns()
            && let Some(nat) = nat
        {
            leases.look(now_ns, nat);
        }
        let mut none = Held::default();
        let mut context = Context {
            now_ns,
            now_s: (now_ns / 1_000_000_000) as u32,
            worker: *worker,
            workers: *workers,
            tables,
            keys,
            counters,
            pool,
            out,
            sequences,
            encoder,
            answers,
            fragments,
            tracer,
            held: &mut none,
            detour,
            handover,
            leases,
            refuses_aloud: *refuses_aloud,
            handed: false,
        };
        if let Some(nat) = nat {
            inbound::release(held, nat, &mut context);
            if context.handover.is_busy() {
                context.tell_sessions(nat);
            }
        }
        context.end_detour();
        if scan.is_due(now_ns) {
            bindings::scan(scan, flows, &mut context);
        }
        context.end_overdue_groups();
        if decoder.has_ready() {
            rebuild(lanes, (elimination, ordering, decoder), flows, nat, &mut context);
        }
        resume(lanes, ordering, flows, nat, &mut context);
    }

    /// Takes frames that other workers handed over; they came in by `port` there.
    pub fn process_handed(
        &mut self,
        now_ns: u64,
        port: PortIndex,
        burst: &mut Burst<P::Buf>,
        pool: &mut P,
        out: &mut Output<P::Buf>,
    ) {
        self.counters.roles.handoff_in.add(burst.len() as u64);
        self.forward(now_ns, port, burst, pool, out, true);
    }

    /// Forgets what has been idle for too long, a bounded piece of the tables at a time, and refreshes the gauges.
    /// To be called again after as long as it says, ns.
    pub fn sweep(&mut self, now_ns: u64) -> u64 {
        let now_s = (now_ns / 1_000_000_000) as u32;
        let mut pause_ns = SWEEP_NS;
        if let Some(nat) = &mut self.nat {
            if self.leases.is_paired() {
                self.tenures = self.leases.sweep(now_ns, nat);
            }
            nat.sweep(nat::Seconds(now_s), SWEEP_SESSIONS);
            if nat.is_behind() {
                pause_ns = SWEEP_BEHIND_NS;
            }
        }
        if now_ns.saturating_sub(self.swept_ns) >= SWEEP_NS {
            self.swept_ns = now_ns;
            self.sweep_others(now_ns, now_s);
        }
        pause_ns
    }

    /// What can wait for a while.
    fn sweep_others(&mut self, now_ns: u64, now_s: u32) {
        self.flows.sweep(now_s, self.flow_idle_s, SWEEP_PLACES);
        if let Some(nat) = &mut self.nat {
            nat.sweep_others(nat::Seconds(now_s), SWEEP_PLACES);
            self.counters.roles.sessions.set((nat.len() + nat.others_len()) as u64);
            self.counters.roles.sessions_made.set(nat.made());
        }
        let Self { fragments, counters, .. } = self;
        fragments.sweep(now_s, |reason| WorkerCounters::drop(counters, reason));
        counters.roles.fragments_held.set(fragments.held() as u64);
        let paths = &self.counters.paths;
        self.elimination.sweep(now_ns, SWEEP_PLACES, |path, silent| {
            if let Some(path) = paths.get(path as usize) {
                let streams = path.silent.get();
                path.silent.set(if silent { streams + 1 } else { streams.saturating_sub(1) });
            }
        });
        let Totals { lost, resets, jumps, jumped, latent, latent_errors } = self.elimination.totals();
        let roles = &self.counters.roles;
        roles.lost.set(lost);
        roles.resets.set(resets);
        roles.jumps.set(jumps);
        roles.jumped.set(u64::from(jumped.0) << 16 | u64::from(jumped.1));
        roles.latent.set(latent);
        roles.latent_errors.set(latent_errors);
        let Counts { held, given_up, late, no_room } = self.ordering.counts();
        roles.order_waiting.set(self.ordering.len() as u64);
        roles.order_held.set(held);
        roles.order_given_up.set(given_up);
        roles.order_late.set(late);
        roles.order_no_room.set(no_room);
        self.decoder.sweep(now_ns);
        let DecoderCounts { unneeded, unfinished, unusable } = self.decoder.counts();
        let EncoderCounts { full, short } = self.encoder.counts();
        roles.parity_unneeded.set(unneeded);
        roles.parity_unfinished.set(unfinished);
        roles.parity_unusable.set(unusable);
        roles.parity_waiting.set(self.decoder.len() as u64);
        roles.parity_full.set(full);
        roles.parity_short.set(short);
        self.counters.roles.flows.set(self.flows.len() as u64);
        self.counters.roles.bindings.set(self.flows.bound() as u64);
        self.counters.roles.streams.set(self.elimination.len() as u64);
    }

    /// Lets go of all that waits inside, as the worker ends.
    pub fn stop(&mut self) {
        let Self { fragments, held, detour, ordering, counters, .. } = self;
        detour.close().for_each(|_| WorkerCounters::drop(counters, Reason::Stopping));
        ordering.close().for_each(|_| WorkerCounters::drop(counters, Reason::Stopping));
        fragments.close(|reason| WorkerCounters::drop(counters, reason));
        counters.roles.fragments_held.set(0);
        held.close().for_each(|_| WorkerCounters::drop(counters, Reason::Stopping));
        counters.roles.connections_held.set(0);
        counters.roles.order_waiting.set(0);
    }

    /// Takes a binding record that another worker could make nothing of; says whether this one could.
    #[cold]
    pub fn take_astray(&mut self, told: &Told) -> bool {
        let is_taken = bindings::remember(told, &mut self.flows, &self.tables).is_ok();
        if is_taken {
            self.counters.roles.bindings_taken.add(1);
        }
        is_taken
    }

    /// Which tenure of each block is in force as of the last sweep; 0 where none is.
    pub fn tenures(&self) -> [u64; BLOCKS] {
        self.tenures
    }

    /// Fragments that wait for their datagram's first.
    pub fn fragments_held(&self) -> usize {
        self.fragments.held()
    }

    /// Packets that wait for their turn.
    pub fn ordering_held(&self) -> usize {
        self.ordering.len()
    }

    /// Groups of packets whose parity packets have not left yet.
    pub fn groups_open(&self) -> usize {
        self.encoder.len()
    }

    /// Packets that wait for the gateway that is to have their block.
    pub fn detour_held(&self) -> usize {
        self.detour.len()
    }

    /// How many connections from outside are held before they are answered.
    pub fn connections_held(&self) -> usize {
        self.held.len()
    }

    /// The flows, for listings.
    pub fn flows(&self) -> &FlowTable {
        &self.flows
    }

    /// The received streams, for listings.
    pub fn elimination(&self) -> &Elimination {
        &self.elimination
    }

    /// Keeps what happens to sessions from now on, for [`Forwarder::drain_events`].
    pub fn record_events(&mut self) {
        if let Some(nat) = &mut self.nat {
            nat.record_events();
        }
    }

    /// Whether something has happened to sessions.
    #[inline(always)]
    pub fn has_events(&self) -> bool {
        self.nat.as_ref().is_some_and(Nat::has_events)
    }

    /// Takes what has happened to sessions; returns how much of it was lost. See [`Nat::drain_events`].
    pub fn drain_events(&mut self, take: impl FnMut(nat::Event)) -> u64 {
        self.nat.as_mut().map_or(0, |nat| nat.drain_events(take))
    }

    /// The sessions, for listings; `None` where this node is no gateway.
    pub fn nat(&self) -> Option<&Nat> {
        self.nat.as_ref()
    }
}
