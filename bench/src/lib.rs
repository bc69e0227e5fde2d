//! What the benchmarks share: frames of the three roles and the order in which flows take turns.
//!
//! The binary `rig` runs roles and peers in a closed loop on one core; see `docs/benchmarks.md`.

pub mod frame;
pub mod node;
pub mod scenario;
pub mod shuffle;
pub mod source;
pub mod world;
