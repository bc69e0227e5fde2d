//! The control protocol, and what `proactl` is made of.
//!
//! A client connects to the daemon's Unix socket and writes one [`Request`] as a line of JSON. The daemon answers
//! with lines of JSON, each one a [`Response`], and closes the connection after the last, which is always
//! [`Response::Status`], [`Response::Paths`], [`Response::Drops`], [`Response::Keys`],
//! [`Response::Links`], [`Response::Gateways`], [`Response::Traces`], [`Response::End`] or
//! [`Response::Error`].
//!
//! The control server is asked otherwise: by HTTP over its own Unix socket ([`overlay`]).

mod choices;
pub mod cli;
mod client;
mod gateways;
mod http;
mod keys;
mod links;
mod liveness;
pub mod overlay;
mod prefixes;
mod protocol;
mod response;
mod show;
mod show_choices;
mod show_gateways;
mod show_keys;
mod show_links;
mod show_nat;
mod show_steps;
mod show_streams;
mod show_traces;
mod table;
mod traces;

pub use choices::{Choice, Paths, Redundancy, Weighed};
pub use client::{Error, ask};
pub use gateways::{Block, Gateways, Voter};
pub use keys::{KeyPeer, Keys, Rejection};
pub use links::{Flood, Links, ToldLink};
pub use liveness::{Incoming, LinkNow, Neighbor, PathEnd, Percentiles, Quality};
pub use prefixes::{Prefix, Prefixes};
pub use protocol::{Family, Filter, ListRequest, REQUEST_BYTES_MAX, Request, TraceRequest};
pub use response::{
    Client, Drop, End, Flow, Link, NeighborStatus, Path, PoolUse, Port, Response, Session, Status, Stream,
    StreamPath, Worker,
};
pub use show::print;
pub use traces::{TraceCopy, TraceHop, TraceLink, TracePath, TraceRecord, TracedPacket, Traces};
