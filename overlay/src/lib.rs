//! The overlay: its wire format, streams and their elimination, keys and sealing, topology, disjoint paths and their
//! planning, whether links and paths live and how well, and how nodes keep in step with the control server.
//!
//! Pure: no clock, I/O, randomness or threads.
#![forbid(unsafe_code)]

pub mod adaptive;
pub mod allowance;
pub mod auto;
pub mod bfd;
pub mod disjoint;
pub mod elimination;
pub mod health;
pub mod keys;
pub mod lease;
pub mod linkstate;
pub mod neighbors;
pub mod ordering;
pub mod parity;
pub mod path_loss;
pub mod pick;
pub mod plan;
pub mod plans;
pub mod plpmtud;
pub mod protocol;
pub mod quality;
pub mod routing;
pub mod sampling;
pub mod seal;
pub mod steering;
pub mod sync;
pub mod topology;
pub mod traces;
pub mod window;
pub mod wire;
