//! The proa daemon: workers on DPDK that forward, and a control thread that does the rest.
//!
//! ```text
//!   ports ──► worker ──► ports          worker: receive, process, transmit; never blocks, locks or allocates
//!               │  ▲
//!         punts │  │ snapshots, orders, frames        (bounded queues, see `exchange`)
//!               ▼  │
//!            control: ARP, NDP, echo; proactl; metrics; signals; reload; the control server
//! ```

pub mod admission;
mod alarms;
pub mod balance;
pub mod check;
pub mod cli;
pub mod core;
pub mod eal;
pub mod events;
pub mod exchange;
pub mod host;
pub mod idle;
mod incoming;
pub mod io;
mod ipfix;
pub mod join;
pub mod key;
pub mod keyring;
pub mod listing;
pub mod lists;
pub mod membership;
pub mod metrics;
mod metrics_liveness;
mod metrics_traces;
pub mod reload;
pub mod replay;
pub mod report;
mod report_choices;
mod report_keys;
mod report_links;
mod report_liveness;
mod report_plans;
mod report_prefixes;
mod report_server;
mod report_steps;
mod report_takeover;
pub mod run;
pub mod sandbox;
pub mod serve;
pub mod server;
pub mod setup;
pub mod socket;
mod start;
mod sums;
mod sync;
mod takeover;
pub mod thread;
pub mod traces;
pub mod worker;
