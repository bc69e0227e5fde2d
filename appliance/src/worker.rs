//! One worker: receives bursts, has them processed, transmits; at batch borders it takes orders.
//!
//! Nothing here blocks, allocates, locks or logs. The loop's only system calls are the idle ramp's sleep and, at
//! most once per sleep of the control thread, the write that wakes it.

use std::sync::Arc;

use packet::{BufPool, PacketBuf, Reason};
use pipelines::{Burst, Forwarder, Output, PORTS_MAX, PortIndex, WorkerCounters};

use crate::admission::{self, Admission};
use crate::exchange::{Desk, Order};
use crate::io::{Receive, Transmit};
use crate::listing;

/// Times that a device is asked again to take frames, when it takes none of them.
const TRANSMIT_RETRIES: usize = 64;
/// What a worker counts of itself, beside the data path's counters.
#[derive(Debug, Default)]
pub struct OwnCounters {
    /// Time of the loop's turns in which there was something to do, ns.
    pub busy_ns: packet::Counter,
    /// Frames handled, from ports and from other workers.
    pub packets: packet::Counter,
    /// Frames sent for the control thread, or dropped in its place.
    pub injected: packet::Counter,
    /// When its loop last turned, ns of the node's clock; refreshed every millisecond.
    pub seen_ns: packet::Counter,
    /// Which of the control thread's key tables it reads.
    pub keys_generation: packet::Counter,
    /// Which order about leases it has taken.
    pub leases_generation: packet::Counter,
    /// Which tenure of each block of addresses it translates; 0 where it translates none.
    pub tenures: [packet::Counter; nat::BLOCKS],
    /// Which tenure of each block, which the other gateway is to have, may be ended: that knows its sessions. 0 for none.
    pub copied: [packet::Counter; nat::BLOCKS],
    /// Of which tenure of each block that was ended the other gateway knows all; 0 for none.
    pub whole: [packet::Counter; nat::BLOCKS],
    /// Frames that devices gave in several pieces, which their queues dropped.
    pub unfit: packet::Counter,
    /// Hop records for which the control thread had no room.
    pub traces_lost: packet::Counter,
    /// Events of sessions for which there was no room.
    pub events_lost: packet::Counter,
}

/// One worker's state.
pub struct Worker<P: BufPool, R, T> {
    forwarder: Forwarder<P>,
    counters: Arc<WorkerCounters>,
    own: Arc<OwnCounters>,
    pool: P,
    /// The queues to receive from, with their ports.
    rx: Vec<(PortIndex, R)>,
    /// The queue to transmit to, by port.
    tx: Vec<T>,
    desk: Desk<P::Buf>,
    burst: Burst<P::Buf>,
    burst_max: usize,
    out: Box<Output<P::Buf>>,
    admission: Admission,
    clock: Clock,
    sweep_at_ns: u64,
    stopping: bool,
}

/// Tells the node's time, ns: for what happens within a turn of the loop.
pub type Clock = Box<dyn Fn() -> u64 + Send>;

/// What a worker is made from.
pub struct Parts<P: BufPool, R, T> {
    /// Its data path.
    pub forwarder: Forwarder<P>,
    /// What that counts in.
    pub counters: Arc<WorkerCounters>,
    /// What the worker counts in.
    pub own: Arc<OwnCounters>,
    /// Where its buffers come from.
    pub pool: P,
    /// The queues to receive from, with their ports.
    pub rx: Vec<(PortIndex, R)>,
    /// The queue to transmit to, by port.
    pub tx: Vec<T>,
    /// Its queues to other threads.
    pub desk: Desk<P::Buf>,
    /// Frames taken from a queue at once.
    pub burst_max: usize,
    /// Unpredictable.
    pub seed: u64,
    /// The node's clock.
    pub clock: Clock,
}

impl<P: BufPool, R: Receive<P::Buf>, T: Transmit<P::Buf>> Worker<P, R, T> {
    /// A worker.
    pub fn new(parts: Parts<P, R, T>) -> Worker<P, R, T> {
        let Parts { forwarder, counters, own, pool, rx, tx, desk, burst_max, seed, clock } = parts;
        Worker {
            forwarder,
            counters,
            own,
            pool,
            rx,
            tx,
            desk,
            burst: Burst::new(),
            burst_max: burst_max.clamp(1, pipelines::BURST_MAX),
            out: Box::default(),
            admission: Admission::new(seed),
            clock,
            sweep_at_ns: 0,
            stopping: false,
        }
    }

    /// One turn of the loop; says how many frames were handled.
    #[inline]
    pub fn step(&mut self, now_ns: u64) -> usize {
        let mut handled = 0;
        if self.desk.rang() {
            handled += self.take_orders(now_ns);
        }
        if !self.stopping {
            for queue in 0..self.rx.len() {
                handled += self.receive(now_ns, queue);
            }
        }
        for from in 0..self.desk.workers() {
            handled += self.take_handoffs(now_ns, from);
        }
        if now_ns >= self.sweep_at_ns {
            self.sweep_at_ns = now_ns + self.forwarder.sweep(now_ns);
            while let Some(told) = self.desk.astray() {
                self.forwarder.take_astray(&told);
            }
            if self.forwarder.is_due(now_ns) {
                self.forwarder.catch_up(now_ns, &mut self.pool, &mut self.out);
                self.flush(now_ns);
            }
            let (own, forwarder) = (&self.own, &self.forwarder);
            for (counters, numbers) in [
                (&own.tenures, forwarder.tenures()),
                (&own.copied, forwarder.copied()),
                (&own.whole, forwarder.whole()),
            ] {
                counters.iter().zip(numbers).for_each(|(counter, number)| counter.set(number));
            }
            self.own.seen_ns.set(now_ns);
            self.own.unfit.set(self.rx.iter().map(|(_, queue)| queue.unfit()).sum());
        }
        if self.forwarder.has_events() {
            self.leave_events();
        }
        handled
    }

    /// Whether it was told to end. Frames may still be handed over by workers that were not.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Counts a turn of the loop that handled so many frames and took so long.
    #[inline(always)]
    pub fn count(&self, handled: usize, busy_ns: u64) {
        self.own.packets.add(handled as u64);
        self.own.busy_ns.add(busy_ns);
    }

    #[inline(always)]
    fn receive(&mut self, now_ns: u64, queue: usize) -> usize {
        let Some((port, rx)) = self.rx.get_mut(queue) else { return 0 };
        let count = rx.receive(&mut self.burst, self.burst_max);
        if count == 0 {
            return 0;
        }
        let port = *port;
        if let Some(counters) = self.counters.ports.get(port.0 as usize) {
            counters.rx_packets.add(count as u64);
            counters.rx_bytes.add(self.burst.iter().map(|buf| buf.len() as u64).sum());
        }
        self.forwarder.process(now_ns, port, &mut self.burst, &mut self.pool, &mut self.out);
        self.flush(now_ns);
        count
    }

    #[inline(always)]
    fn take_handoffs(&mut self, now_ns: u64, from: usize) -> usize {
        let mut count = 0;
        let mut port = PortIndex(0);
        while count < self.burst_max {
            let Some(handoff) = self.desk.handoff(from) else { break };
            count += 1;
            if handoff.port != port && !self.burst.is_empty() {
                self.process_handed(now_ns, port);
            }
            port = handoff.port;
            self.burst.push(handoff.buf);
        }
        if !self.burst.is_empty() {
            self.process_handed(now_ns, port);
        }
        count
    }

    fn process_handed(&mut self, now_ns: u64, port: PortIndex) {
        self.forwarder.process_handed(now_ns, port, &mut self.burst, &mut self.pool, &mut self.out);
        self.flush(now_ns);
    }

    #[cold]
    fn take_orders(&mut self, now_ns: u64) -> usize {
        self.desk.answer_bell();
        while let Some(order) = self.desk.order() {
            match order {
                Order::Tables(tables) => self.forwarder.swap_tables(tables),
                Order::Keys(keys) => {
                    let generation = keys.generation();
                    self.forwarder.swap_keys(keys);
                    self.own.keys_generation.set(generation);
                }
                Order::Leases(leases, generation) => {
                    self.forwarder.set_leases(now_ns, leases);
                    self.own.leases_generation.set(generation);
                }
                Order::List(query) => self.desk.hand_in(listing::fill(query, &self.forwarder, now_ns)),
                Order::Stop => {
                    self.stopping = true;
                    self.forwarder.stop();
                }
            }
        }
        let mut count = 0;
        while let Some((port, buf)) = self.desk.frame() {
            count += 1;
            self.own.injected.add(1);
            match self.out.tx.get_mut(port.0 as usize) {
                Some(queue) if !queue.is_full() => {
                    queue.push(buf);
                    self.out.ports |= 1 << port.0;
                }
                _ => self.drop(buf, Reason::TransmitFull),
            }
        }
        self.flush(now_ns);
        count
    }

    /// Empties what the data path has put out.
    #[inline(always)]
    fn flush(&mut self, now_ns: u64) {
        if !self.out.stamps.is_empty() || !self.out.seen.is_empty() {
            self.flush_traces();
        }
        // Whoever was stopped in the middle of this burst may have lost what it was translated by.
        let fence_ns = self.forwarder.fence_ns();
        if fence_ns != u64::MAX && (self.clock)() >= fence_ns {
            self.withhold();
        }
        while self.out.ports != 0 {
            let port = self.out.ports.trailing_zeros() as usize;
            self.out.ports &= self.out.ports - 1;
            self.transmit(port);
        }
        if !self.out.punts.is_empty() {
            self.punt(now_ns);
        }
        if !self.out.astray.is_empty() {
            self.pass_around();
        }
        for handoff in self.out.handoffs.drain(..) {
            if let Err((buf, reason)) = self.desk.hand_over(handoff) {
                WorkerCounters::drop(&self.counters, reason);
                self.pool.free(buf);
            }
        }
    }

    /// Gives binding records to whoever has their flows.
    #[cold]
    fn pass_around(&mut self) {
        for told in self.out.astray.drain(..) {
            let lost = self.desk.pass_around(told);
            self.counters.roles.bindings_refused.add(lost);
        }
    }

    /// Leaves what has happened to sessions for the control thread.
    #[cold]
    fn leave_events(&mut self) {
        let Worker { forwarder, desk, own, .. } = self;
        let lost = forwarder.drain_events(|event| own.events_lost.add(!desk.leave_event(event) as u64));
        self.own.events_lost.add(lost);
    }

    /// Completes the hop records of a burst, and leaves those that ended here for the control thread.
    #[cold]
    fn flush_traces(&mut self) {
        if !self.out.stamps.is_empty() {
            self.out.stamp((self.clock)());
        }
        for seen in self.out.seen.drain(..) {
            self.own.traces_lost.add(!self.desk.leave_trace(seen) as u64);
        }
    }

    #[inline(always)]
    fn transmit(&mut self, port: usize) {
        let Some(frames) = self.out.tx.get_mut(port) else { return };
        let (count, bytes) = (frames.len(), frames.iter().map(|buf| buf.len() as u64).sum::<u64>());
        if let Some(queue) = self.tx.get_mut(port) {
            let mut retries = 0;
            while !frames.is_empty() && retries < TRANSMIT_RETRIES {
                if queue.transmit(frames) == 0 {
                    retries += 1;
                    std::hint::spin_loop();
                }
            }
        }
        let (left, left_bytes) = match frames.len() {
            0 => (0, 0),
            left => (left, frames.iter().map(|buf| buf.len() as u64).sum()),
        };
        if let Some(counters) = self.counters.ports.get(port) {
            counters.tx_packets.add((count - left) as u64);
            counters.tx_bytes.add(bytes - left_bytes);
        }
        if left > 0 {
            self.discard(port);
        }
    }

    /// Drops all that waits to be transmitted.
    #[cold]
    fn withhold(&mut self) {
        for frames in &mut self.out.tx {
            self.counters.drops[Reason::LeaseStale.index()].add(frames.len() as u64);
            frames.drain(..).for_each(|buf| self.pool.free(buf));
        }
        self.out.ports = 0;
    }

    /// Drops what a device did not take.
    #[cold]
    fn discard(&mut self, port: usize) {
        let Some(frames) = self.out.tx.get_mut(port) else { return };
        self.counters.drops[Reason::TransmitFull.index()].add(frames.len() as u64);
        for buf in frames.drain(..) {
            self.pool.free(buf);
        }
    }

    #[cold]
    fn punt(&mut self, now_ns: u64) {
        for punt in self.out.punts.drain(..) {
            let cause = punt.cause.index();
            let kind = admission::kind(&punt, &self.forwarder);
            let source = admission::source(punt.buf.data());
            let admitted = self.admission.admit(now_ns, kind, source);
            let handed_over = if admitted { self.desk.punt(punt) } else { Err(punt.buf) };
            match handed_over {
                Ok(()) => self.counters.punts[cause].add(1),
                Err(buf) => {
                    WorkerCounters::drop(&self.counters, Reason::PuntLimited);
                    self.pool.free(buf);
                }
            }
        }
    }

    fn drop(&mut self, buf: P::Buf, reason: Reason) {
        WorkerCounters::drop(&self.counters, reason);
        self.pool.free(buf);
    }
}

const _: () = assert!(PORTS_MAX <= 16, "a bit of Output::ports for each port");
