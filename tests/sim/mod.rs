//! A simulator of whole overlays: real nodes, modelled hosts and links, virtual time, one seed per run.
//!
//! ```text
//!  clients ─ segment ─ edge ─┐                             ┌─ gateway ─ segment ─ origins
//!                            ├─ segment ─ intermediates ───┤
//!  clients ─ segment ─ edge ─┘  (links with latency, jitter, loss, …) └─ gateway ─ segment ─ origins
//! ```
//!
//! A node is what the daemon runs, less its device: several [`pipelines::Forwarder`]s over one pool of
//! [`packet::heap`] buffers, hand-off queues between them, and a [`pipelines::slow::SlowPath`] whose neighbours are
//! compiled into new tables. Segments are Ethernet switches. Hosts are small models that check every byte that they
//! receive against the [`Ledger`], which knows what was sent.
//!
//! Nothing here reads a clock or the system's randomness: a seed decides the topology, the traffic, every delay and
//! every loss, so that a failing run is repeated by its seed alone (see [`seeds`]).

mod balance;
mod build;
mod decode;
mod draw;
mod events;
mod frame;
mod ledger;
mod link;
mod lone;
mod nic;
mod node;
mod packets;
mod plan;
mod random;
mod seeds;
mod segment;
mod station;
mod traffic;
mod world;

pub use balance::Tally;
pub use decode::decode;
pub(crate) use events::Events;
pub use frame::{ArpMessage, Discovery};
pub use ledger::{Exchange, Ledger};
pub use link::{Link, Loss};
pub use lone::Lone;
pub use node::{Node, NodeSetup};
pub use packets::{Body, Datagram};
pub use plan::{Families, NodePlan, Plan, Shape, StationPlan, StationRole};
pub use random::Random;
pub use seeds::{seeds, several};
pub use segment::{Segment, Wire};
pub use station::Station;
pub use world::{Action, World};

/// Nanoseconds of a microsecond.
pub const MICROSECOND: u64 = 1_000;
/// Nanoseconds of a millisecond.
pub const MILLISECOND: u64 = 1_000_000;
/// Nanoseconds of a second.
pub const SECOND: u64 = 1_000_000_000;
