//! The overlay: its wire format, streams and their elimination, keys and sealing, topology, disjoint paths and their
//! planning.
//!
//! Pure: no clock, I/O, randomness or threads.
#![forbid(unsafe_code)]

pub mod disjoint;
pub mod elimination;
pub mod keys;
pub mod pick;
pub mod plan;
pub mod seal;
pub mod steering;
pub mod topology;
pub mod window;
pub mod wire;
