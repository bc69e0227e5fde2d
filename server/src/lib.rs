//! The control server: keeps the overlay's definition, admits its nodes, brings each in step with its part, and hears how
//! they are.
//!
//! `registry` is what it knows for good, in a `store`; `hub` what it knows for now. `nodes` speaks with nodes
//! (`overlay::sync` under TLS), `http` with operators. Nothing here touches packets: nodes go on without it.
#![forbid(unsafe_code)]

pub mod authority;
pub mod away;
pub mod cli;
pub mod diff;
pub mod dns;
pub mod http;
pub mod hub;
pub mod nodes;
pub mod operators;
pub mod part;
pub mod registry;
pub mod run;
pub mod status;
pub mod store;
pub mod strangers;
pub mod tls;

/// Milliseconds since 1970.
pub fn unix_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}
