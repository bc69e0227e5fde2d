//! What is fuzzed, each target as a plain function over bytes, so that libFuzzer, `cargo test` and a debugger run
//! the same code. A target panics where a promise is broken; any input at all must pass.
#![forbid(unsafe_code)]

pub mod bfd;
pub mod config;
pub mod frame;
pub mod handover;
pub mod headers;
mod input;
pub mod keys;
pub mod linkstate;
mod mend;
pub mod nat;
pub mod parity;
mod reply;
pub mod report;
pub mod seeds;
pub mod stamp;
pub mod sync;
pub mod takeover;
pub mod trace;
pub mod wire;
mod world;

/// A target: its name, and what runs an input.
pub type Target = (&'static str, fn(&[u8]));

/// Every target by the name of its binary and its corpus.
pub const TARGETS: &[Target] = &[
    ("wire", wire::run),
    ("headers", headers::run),
    ("config", config::run),
    ("nat", nat::run),
    ("frame", frame::run),
    ("bfd", bfd::run),
    ("report", report::run),
    ("stamp", stamp::run),
    ("trace", trace::run),
    ("parity", parity::run),
    ("keys", keys::run),
    ("linkstate", linkstate::run),
    ("takeover", takeover::run),
    ("handover", handover::run),
    ("sync", sync::run),
];
