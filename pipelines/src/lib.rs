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

mod answer;
pub mod batch;
mod classify;
pub mod counters;
mod edge;
mod emit;
mod encapsulate;
pub mod flow;
mod forwarder;
mod gateway;
mod intermediate;
mod known;
mod mss;
