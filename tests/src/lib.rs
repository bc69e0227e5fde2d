//! The simulators, and tests over the whole tree.
#![forbid(unsafe_code)]

#[path = "../globe/mod.rs"]
pub mod globe;
#[path = "../sim/mod.rs"]
pub mod sim;
