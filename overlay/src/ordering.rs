//! The packet ordering function (RFC 9550): packets of a flow that came by several ways leave in the order in which they
//! came into the overlay, each after a bounded time.
//!
//! ```text
//!             flow 7: 1 2 ─ 4 5       3 is missing: 4 and 5 are held, until 3 comes or 4 has waited for long enough
//!             flow 8: 1 2 3 4 5       goes on meanwhile
//! ```
//!
//! Each packet says which packet of its flow went before it ([`Order`](crate::wire::Order)), in numbers of its stream, so a
//! flow's state is one number: up to where its packets have left or were given up. What is forgotten costs order, or one
//! hold time, and never a packet. Memory is claimed once; a flow has a quarter of the places at most.

mod chains;
mod flows;
mod held;

pub use chains::Chains;

use crate::topology::NodeId;
use flows::Flows;
use held::Slots;

/// No place.
const NONE: u32 = u32::MAX;

/// A flow that goes back by so many numbers of its stream has a sender that began anew: at 2^20 per millisecond, a second.
const RESTART: u64 = 1 << 30;

/// How much is held, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// A packet is held for so long at most, nanoseconds.
    pub hold_ns: u64,
    /// Packets held at one time at most.
    pub packets: usize,
    /// Flows that are remembered.
    pub flows: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { hold_ns: 50_000_000, packets: 1024, flows: 16_384 }
    }
}

/// Names a flow among all that a node receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FlowKey(u64);

impl FlowKey {
    /// A flow of a stream of a node.
    pub fn new(source: NodeId, stream: u16, flow: u32) -> FlowKey {
        FlowKey(u64::from(source.0) << 48 | u64::from(stream) << 32 | u64::from(flow))
    }
}

/// What was counted, in packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Held for what went before them.
    pub held: u64,
    /// Held until their time was over: what went before them was given up.
    pub given_up: u64,
    /// Came after a later packet of their flow had left; they left at once.
    pub late: u64,
    /// Left before their turn for want of room.
    pub no_room: u64,
}

/// Holds packets, each an `T`, until it is their turn.
pub struct Ordering<T> {
    flows: Flows,
    slots: Slots<T>,
    hold_ns: u64,
    of_one_flow: u32,
    /// Flows whose first held packet may leave.
    ready: [u32; 2],
    counts: Counts,
    is_closed: bool,
}

impl<T> Ordering<T> {
    /// Holds nothing yet; claims the memory for all that it ever will.
    pub fn new(bounds: Bounds, seed: u64) -> Ordering<T> {
        Ordering {
            flows: Flows::new(bounds.flows, seed),
            slots: Slots::new(bounds.packets),
            hold_ns: bounds.hold_ns,
            of_one_flow: (bounds.packets / 4).max(1) as u32,
            ready: [NONE; 2],
            counts: Counts::default(),
            is_closed: false,
        }
    }

    /// Takes a packet of a flow that has this number in its stream, and is to leave after the one with the number
    /// `before`, or after none where that is 0. Returns a packet that leaves now: this one if it is its turn, or the first
    /// of its flow where there is no room for all. What else may leave now, [`Ordering::take`] gives.
    pub fn offer(&mut self, now_ns: u64, key: FlowKey, sequence: u64, before: u64, item: T) -> Option<T> {
        let flow = if self.is_closed { None } else { self.flows.find(key, now_ns) };
        let Some((at, flow)) = flow else {
            self.counts.no_room += 1;
            return Some(item);
        };
        if flow.first == NONE && flow.through.saturating_sub(sequence) >= RESTART {
            flow.through = 0;
        }
        let first = self.slots.sequence(flow.first);
        let precedes = first.is_none_or(|first| sequence < first);
        let is_turn = precedes && before <= flow.through;
        let is_full = flow.count >= self.of_one_flow || !self.slots.has_room();
        if is_turn || (is_full && precedes) {
            if is_turn {
                self.counts.late += u64::from(sequence < flow.through);
            } else {
                self.counts.no_room += 1;
            }
            flow.through = flow.through.max(sequence);
            self.look(at);
            return Some(item);
        }
        let mut leaving = None;
        if is_full {
            // What went before the first is given up, and its place is this one's.
            self.counts.no_room += 1;
            leaving = self.take_first(at);
        }
        let until_ns = now_ns.saturating_add(self.hold_ns);
        if let Some(flow) = self.flows.get(at) {
            self.slots.insert(flow, at, sequence, before, until_ns, item);
            self.counts.held += 1;
        }
        self.look(at);
        leaving
    }

    /// Whether packets may leave now.
    #[inline(always)]
    pub fn has_ready(&self) -> bool {
        self.ready[0] != NONE
    }

    /// Whether [`Ordering::take`] would give one.
    #[inline(always)]
    pub fn is_due(&self, now_ns: u64) -> bool {
        self.has_ready() || now_ns >= self.slots.due_ns()
    }

    /// The next packet whose turn has come, or whose time is over.
    pub fn take(&mut self, now_ns: u64) -> Option<T> {
        loop {
            if !self.has_ready() && !self.give_up(now_ns) {
                return None;
            }
            let at = self.ready[0];
            let flow = self.flows.get(at)?;
            if self.slots.may_leave(flow) {
                return self.take_first(at);
            }
            (self.ready[0], flow.is_ready) = (flow.next_ready, false);
            if self.ready[0] == NONE {
                self.ready[1] = NONE;
            }
        }
    }

    /// Gives up what the packet that is held longest waits for, if its time is over.
    fn give_up(&mut self, now_ns: u64) -> bool {
        let Some((at, sequence)) = self.slots.overdue(now_ns) else { return false };
        let Some(flow) = self.flows.get(at) else { return false };
        flow.through = flow.through.max(sequence);
        self.counts.given_up += 1;
        self.look(at);
        true
    }

    /// Takes a flow's first packet.
    fn take_first(&mut self, at: u32) -> Option<T> {
        let flow = self.flows.get(at)?;
        let (sequence, item) = self.slots.remove_first(flow)?;
        flow.through = flow.through.max(sequence);
        Some(item)
    }

    /// Notes a flow whose first packet may leave.
    fn look(&mut self, at: u32) {
        let Some(flow) = self.flows.get(at) else { return };
        if flow.is_ready || !self.slots.may_leave(flow) {
            return;
        }
        (flow.is_ready, flow.next_ready) = (true, NONE);
        match self.flows.get(self.ready[1]) {
            Some(last) => last.next_ready = at,
            None => self.ready[0] = at,
        }
        self.ready[1] = at;
    }

    /// How many packets are held.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether no packet is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Gives up all packets, and holds no more: from now on each leaves at once.
    pub fn close(&mut self) -> impl Iterator<Item = T> + '_ {
        (self.is_closed, self.ready) = (true, [NONE; 2]);
        self.slots.drain()
    }
}

#[cfg(test)]
mod tests;
