//! The overlay: its wire format, streams and their elimination, topology and disjoint paths.
//!
//! Pure: no clock, I/O, randomness or threads.
#![forbid(unsafe_code)]

pub mod disjoint;
pub mod elimination;
pub mod pick;
pub mod steering;
pub mod topology;
pub mod window;
pub mod wire;
