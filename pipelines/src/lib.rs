//! The data path: batches, stages, and the roles edge, intermediate and gateway.
//!
//! ```text
//!                 ┌── edge ingress ──── flow ── encapsulate ─ replicate ──┐
//!  frames ─ classify ── intermediate ── next hop of the path ─────────────┤─ transmit
//!                 ├── terminate ── eliminate ── decapsulate ┬─ gateway ───┤
//!                 │                                         └─ deliver ───┤
//!                 └── gateway reverse ── session ── encapsulate ──────────┘
//! ```
//!
//! Pure: no clock, I/O, randomness or threads; time, seeds and buffers are passed in, and nothing is allocated
//! per packet. The same code runs on DPDK, in the simulator and under a fuzzer.
#![forbid(unsafe_code)]

mod adaptive;
mod answer;
pub mod batch;
mod bindings;
pub mod choices;
mod classify;
pub mod counters;
mod datagram;
mod detour;
mod edge;
mod emit;
mod encapsulate;
pub mod flow;
mod forwarder;
mod fragments;
mod gateway;
mod handover;
mod intermediate;
mod keyed;
pub mod keys;
mod known;
pub mod ladders;
pub mod leases;
pub mod linkstate;
pub mod live;
mod mss;
mod oversize;
mod parity;
pub mod receipts;
mod seal;
pub mod slow;
pub mod source_limit;
pub mod step;
pub mod tables;
pub mod takeover;
mod terminate;
pub mod trace;
pub mod way_counters;

pub use batch::{BURST_MAX, Burst, Cause, Handoff, Output, PORTS_MAX, PortIndex, Punt, TX_MAX, Told};
pub use counters::WorkerCounters;
pub use forwarder::{Forwarder, Setup};
pub use tables::Tables;
