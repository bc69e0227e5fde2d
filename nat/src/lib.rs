//! The gateway's network address translation: destination (VIP to origin) and source (client to an address and
//! port of the gateway) in one session, undone together on the way back.
//!
//! ```text
//!            client:port -> VIP:port            external:port -> origin:port
//!  client ------------------------------- NAT -------------------------------- origin
//!            client:port <- VIP:port            external:port <- origin:port
//! ```
//!
//! One [`Nat`] belongs to one worker: it owns its sessions and its share of the ports, and nothing is locked or
//! allocated after [`Nat::new`]. Time comes in as [`Seconds`]; randomness as one seed.
//!
//! Clients of IPv6 may be translated by their prefix instead, without a session: [`PrefixPair`] and [`Ends`].
//!
//! Tables are far larger than caches, so each look-up is cut in steps that a batch takes one after the other, with
//! a prefetch between: for the client's side [`Nat::hash`] and [`Nat::prefetch`], [`Nat::guess`],
//! [`Nat::find_guessed`], [`Nat::forward`]; for the origin's side [`Nat::reverse_slot`] and [`Nat::prefetch_reverse`],
//! [`Nat::guess_prefetch_reverse`], [`Nat::find_reverse`], [`Nat::reverse`].
#![forbid(unsafe_code)]

mod accounts;
mod addresses;
mod blocks;
mod config;
mod create;
mod events;
mod expiry;
mod handover;
mod icmp;
mod lookup;
mod mapping;
mod nat64;
mod nat64_errors;
mod other;
mod ports;
mod prefix;
mod quote;
mod reverse;
mod ring;
mod rules;
mod sequence;
mod session;
mod share;
mod state;
mod stateless;
mod step;
mod table;
mod translate;
mod wheel;

pub use accounts::ClientUse;
pub use blocks::BLOCKS;
pub use config::{Config, InvalidConfig, Timeouts};
pub use events::{Event, Refusal};
pub use handover::Elsewhere;
pub use mapping::Mapping;
pub use prefix::PrefixPair;
pub use quote::Quote;
pub use reverse::ReverseSlot;
pub use rules::{ClientLimits, Filtering, Rules};
pub use session::{Guess, Key, NewSession, Seconds, ServiceId, SessionIndex, SessionView, Tag};
pub use share::{PORT_MIN, PoolUse, owner};
pub use state::State;
pub use stateless::Ends;
pub use table::Nat;
