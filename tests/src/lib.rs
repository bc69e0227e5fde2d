//! The simulator, and tests over the whole tree.
#![forbid(unsafe_code)]

#[path = "../sim/mod.rs"]
pub mod sim;
