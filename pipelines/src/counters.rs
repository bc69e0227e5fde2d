//! What a worker counts. It alone writes; the control thread reads at any time.

use crate::batch::{Cause, PORTS_MAX};
use crate::trace::TraceCounters;
use crate::way_counters::{WAYS_MAX, WayCounters};
use crossbeam_utils::CachePadded;
use packet::{Counter, Reason};

/// Paths that can be counted apart; a configuration may not have more.
pub const PATHS_MAX: usize = 4096;

/// One worker's counters.
#[derive(Debug)]
pub struct WorkerCounters {
    /// Packets dropped, by [`Reason::index`].
    pub drops: CachePadded<[Counter; Reason::COUNT]>,
    /// Packets handed to the control thread, by [`Cause::index`].
    pub punts: [Counter; Cause::COUNT],
    /// Per port.
    pub ports: [PortCounters; PORTS_MAX],
    /// Per path, by the path's slot in the tables.
    pub paths: Box<[PathCounters]>,
    /// Data that ends here, per path and worker of its sender, by [`Incoming::first`](crate::tables::Incoming).
    pub ways: Box<[WayCounters]>,
    /// The roles' own.
    pub roles: CachePadded<RoleCounters>,
    /// Hop records.
    pub traces: TraceCounters,
}

/// Frames through one port, as this worker saw them.
#[derive(Debug, Default)]
pub struct PortCounters {
    /// Frames received.
    pub rx_packets: Counter,
    /// Bytes received, without the frame check sequence.
    pub rx_bytes: Counter,
    /// Frames that the device took.
    pub tx_packets: Counter,
    /// Bytes that the device took.
    pub tx_bytes: Counter,
}

/// One path, seen from this node.
#[derive(Debug, Default)]
pub struct PathCounters {
    /// Copies that this node put on the path.
    pub sent: Counter,
    /// Copies that this node forwarded along the path.
    pub forwarded: Counter,
    /// First copies that came over the path.
    pub passed: Counter,
    /// First copies that came after one with a higher sequence number; also counted as passed.
    pub out_of_order: Counter,
    /// Later copies that came over the path and were eliminated.
    pub discarded: Counter,
    /// Copies older than the window.
    pub rogue: Counter,
    /// Streams now in which the path owes its copies while others bring theirs.
    pub silent: Counter,
}

/// What the roles do beyond forwarding.
#[derive(Debug, Default)]
pub struct RoleCounters {
    /// Packets from clients that entered the overlay, copies not counted.
    pub edge_ingress: Counter,
    /// Packets delivered to clients.
    pub edge_egress: Counter,
    /// Packets handed to origins.
    pub gateway_forward: Counter,
    /// Packets from origins that entered the overlay, copies not counted.
    pub gateway_reverse: Counter,
    /// Of the packets handed to origins, those of clients that are translated by prefix.
    pub prefix_forward: Counter,
    /// Of the packets from origins, those to clients that are translated by prefix.
    pub prefix_reverse: Counter,
    /// Copies forwarded between other nodes.
    pub intermediate: Counter,
    /// Copies made beyond each packet's first: frames that leave without having come in.
    pub copies_made: Counter,
    /// Bytes of packets whose redundancy is adaptive, headers of the overlay not counted.
    pub adaptive_bytes: Counter,
    /// Bytes of the redundancy that was sent beside them.
    pub adaptive_extra_bytes: Counter,
    /// Packets that were sent with less redundancy than their step asks for: it was above its cap.
    pub adaptive_capped: Counter,
    /// Packets sealed.
    pub sealed: Counter,
    /// ICMP errors sent in the place of packets.
    pub answers: Counter,
    /// Binding records sent, with a packet or alone.
    pub bindings_sent: Counter,
    /// Binding records taken: kept by the edge, made into a session by the gateway.
    pub bindings_taken: Counter,
    /// Binding records that were not.
    pub bindings_refused: Counter,
    /// Packets received that held nothing but a binding record.
    pub carriers: Counter,
    /// Sessions that the other gateway was told of, as it is to have their block.
    pub sessions_told: Counter,
    /// Sessions that the other gateway has told of, and that were stored.
    pub sessions_stored: Counter,
    /// Packets that came late and went on to the gateway that has taken over.
    pub passed_on: Counter,
    /// Flows whose binding is known now.
    pub bindings: Counter,
    /// Flows compiled.
    pub flows_compiled: Counter,
    /// Packets handed to another worker.
    pub handoff_out: Counter,
    /// Packets taken from another worker.
    pub handoff_in: Counter,
    /// Flows in the table now.
    pub flows: Counter,
    /// NAT sessions now.
    pub sessions: Counter,
    /// NAT sessions made so far.
    pub sessions_made: Counter,
    /// Fragments that wait for their datagram's first now.
    pub fragments_held: Counter,
    /// Connections from outside that are held before they are answered, now.
    pub connections_held: Counter,
    /// Packets that wait for their turn in their flow now.
    pub order_waiting: Counter,
    /// Packets that have waited for their turn.
    pub order_held: Counter,
    /// Of these, the ones that left when their time was over: what went before them did not come.
    pub order_given_up: Counter,
    /// Packets that came after a later one of their flow had left.
    pub order_late: Counter,
    /// Packets that left before their turn for want of room.
    pub order_no_room: Counter,
    /// Parity packets sent.
    pub parity_sent: Counter,
    /// Groups of packets that had all their packets when their parity packets left.
    pub parity_full: Counter,
    /// Groups of packets that ended before, by their time or for want of room.
    pub parity_short: Counter,
    /// Parity packets received, malformed ones not counted.
    pub parity_received: Counter,
    /// Packets that were rebuilt and passed.
    pub parity_rebuilt: Counter,
    /// Parity packets of groups of which nothing was missing.
    pub parity_unneeded: Counter,
    /// Groups that were given up: too little of them came in time.
    pub parity_unfinished: Counter,
    /// Groups that could not be solved: packets of them were no longer kept, or contradicted each other.
    pub parity_unusable: Counter,
    /// Groups that wait for more of their packets now.
    pub parity_waiting: Counter,
    /// Streams received so far.
    pub streams: Counter,
    /// Packets of which no copy came in time.
    pub lost: Counter,
    /// Times that a stream began anew: nothing had passed for a while, or its sender was in another life.
    pub resets: Counter,
    /// Steps of sealed streams' sequence numbers beyond what is usual.
    pub jumps: Counter,
    /// Who made the last: source node × 65,536 + stream.
    pub jumped: Counter,
    /// Streams of which a path is silent now.
    pub latent: Counter,
    /// Latent errors found.
    pub latent_errors: Counter,
}

impl Default for WorkerCounters {
    fn default() -> WorkerCounters {
        WorkerCounters {
            drops: CachePadded::new(core::array::from_fn(|_| Counter::default())),
            punts: Default::default(),
            ports: Default::default(),
            paths: (0..PATHS_MAX).map(|_| PathCounters::default()).collect(),
            ways: (0..WAYS_MAX).map(|_| WayCounters::default()).collect(),
            roles: CachePadded::default(),
            traces: TraceCounters::default(),
        }
    }
}

impl WorkerCounters {
    /// Counts a dropped packet.
    #[inline(always)]
    pub fn drop(&self, reason: Reason) {
        self.drops[reason.index()].add(1);
    }

    /// Packets dropped for any reason.
    pub fn drops_total(&self) -> u64 {
        self.drops.iter().map(Counter::get).sum()
    }
}
