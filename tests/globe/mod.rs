//! The large simulation: a thousand nodes in fifty regions of a globe, in virtual time.
//!
//! ```text
//!   Map ──► Overlay ──► World ─┬─ Control: a real flood in every node, real BFD and STAMP on links that change
//!   (regions, cables, risks)   ├─ Router: real tables and real data path in every node that packets cross
//!                              └─ Lines: latency by distance, loss at random and in spells, outages
//! ```
//!
//! The small simulator ([`crate::sim`]) holds every byte of a handful of nodes to account. This one asks what protocols are worth in
//! a large overlay, and whether link state keeps its promises there. What is real and what is modelled is written down in
//! `docs/decisions/0028-large-simulation.md`. A seed decides everything.

mod chart;
mod contender;
mod control;
mod layout;
mod lines;
mod loss;
mod map;
mod packets;
mod router;
mod score;
mod table;
mod watch;
mod world;

pub use chart::chart;
pub use contender::{CONTENDERS, Contender, adaptive};
pub use control::Control;
pub use layout::{Flow, NODES, Overlay, id};
pub use lines::Conditions;
pub use loss::{Losses, Weather};
pub use map::{Cable, Hazard, Map, REGIONS};
pub use packets::Mark;
pub use router::Router;
pub use score::Score;
pub use table::{COLUMNS, Cell, Column, Size, Table, measure};
pub use world::World;
