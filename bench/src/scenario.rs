//! What a worker does all day, for measurements in process: a role with its packets.

use crate::node::{BURST, Node, SetupError, Shape};
use crate::source::Source;
use crate::world::Role;
use packet::BufPool;
use pipelines::Burst;

/// A role and the packets that it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Clients' packets enter the overlay at the edge, in so many copies.
    Edge(u8),
    /// Copies on their way to the next node.
    Intermediate,
    /// The same, each with room for a hop record.
    Traced,
    /// Copies leave the overlay, so many of each packet, and one goes to the origin.
    Forward(u8),
    /// The origin's replies enter the overlay, in so many copies.
    Reverse(u8),
}

impl Scenario {
    /// All that are measured.
    pub const ALL: [Scenario; 8] = [
        Scenario::Edge(1),
        Scenario::Edge(2),
        Scenario::Intermediate,
        Scenario::Traced,
        Scenario::Forward(1),
        Scenario::Forward(2),
        Scenario::Reverse(1),
        Scenario::Reverse(2),
    ];

    /// What the tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Scenario::Edge(1) => "edge, 1 copy",
            Scenario::Edge(_) => "edge, 2 copies",
            Scenario::Intermediate => "intermediate",
            Scenario::Traced => "intermediate, hop records",
            Scenario::Forward(1) => "gateway",
            Scenario::Forward(_) => "gateway, 2 copies",
            Scenario::Reverse(1) => "gateway, replies",
            Scenario::Reverse(_) => "gateway, replies ×2",
        }
    }
}

/// A scenario under way.
pub struct Running<P: BufPool> {
    node: Node<P>,
    source: Source,
    burst: Burst<P::Buf>,
    sent: u64,
}

impl<P: BufPool> Running<P> {
    /// Sets a scenario up, for so many flows of clients' frames of this size.
    ///
    /// # Errors
    /// Where the node cannot be set up.
    pub fn start(
        scenario: Scenario,
        flows: u32,
        size: usize,
        pool: &mut P,
    ) -> Result<Running<P>, SetupError> {
        let (role, copies) = match scenario {
            Scenario::Edge(copies) => (Role::Edge, copies),
            Scenario::Intermediate | Scenario::Traced => (Role::Intermediate, 1),
            Scenario::Forward(copies) | Scenario::Reverse(copies) => (Role::Gateway, copies),
        };
        let shape = Shape { role, copies, worker: 0, workers: 1, capacity: flows.next_multiple_of(1_024) };
        let mut node = Node::new(shape)?;
        let source = match scenario {
            Scenario::Edge(_) => Source::clients(0..flows, size),
            Scenario::Intermediate => Source::transit(0..flows, size),
            Scenario::Traced => Source::traced(0..flows, size),
            Scenario::Forward(copies) => Source::overlay(0..flows, size, copies),
            Scenario::Reverse(_) => {
                Source::origin(&node.open(Source::overlay(0..flows, size, 1), pool)?, size)
            }
        };
        Ok(Running { node, source, burst: Burst::new(), sent: 0 })
    }

    /// Makes a burst, takes it through, and frees what comes out.
    #[inline]
    pub fn turn(&mut self, now_ns: u64, pool: &mut P) {
        self.source.fill(pool, &mut self.burst, BURST);
        let sent = &mut self.sent;
        self.node.step(now_ns, &mut self.burst, pool, |pool, frames| {
            *sent += frames.len() as u64;
            frames.drain(..).for_each(|frame| pool.free(frame));
        });
    }

    /// Makes a burst and frees it: what making packets costs.
    #[inline]
    pub fn idle_turn(&mut self, pool: &mut P) {
        self.source.fill(pool, &mut self.burst, BURST);
        self.burst.drain(..).for_each(|frame| pool.free(frame));
    }

    /// Frames sent so far.
    pub fn sent(&self) -> u64 {
        self.sent
    }

    /// What was dropped so far, by reason.
    pub fn drops(&self) -> Vec<(&'static str, u64)> {
        self.node.drops()
    }
}
