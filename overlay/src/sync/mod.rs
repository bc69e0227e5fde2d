//! How a node keeps in step with the control server: frames, messages, and what either side makes of them.
//!
//! One TCP connection under TLS 1.3, opened by the node. Each message is a frame: its length in four bytes, big-endian, then
//! the message as postcard writes it. The node says who it is and what it has; the server answers with a complete
//! [`Snapshot`] of the node's part of the overlay, or that the node is in step, and again whenever that changes. Once a
//! second the node says how it is. `docs/control-protocol.md` has the messages byte by byte.
//!
//! [`Node`] and [`Server`] are the two sides of one connection, without I/O or clock: bytes and time go in, bytes and
//! [`node::Event`]s or [`server::Event`]s come out.

pub mod frame;
pub mod message;
pub mod node;
pub mod report;
pub mod server;
pub mod snapshot;
pub mod token;

pub use frame::{Frames, Oversized};
pub use message::{Code, Join, ToNode, ToServer, VERSION};
pub use node::Node;
pub use report::Report;
pub use server::Server;
pub use snapshot::{Checksum, Held, Snapshot};
pub use token::Token;

/// Largest message of a server in bytes: a topology of 4 MiB, and room for what stands around it.
pub const TO_NODE_BYTES_MAX: usize = 4 * 1024 * 1024 + 4096;
/// Largest message of a node in bytes: a report with every neighbour and path that there can be.
pub const TO_SERVER_BYTES_MAX: usize = 1024 * 1024;
/// How often a side that has nothing to say says so, milliseconds.
pub const ALIVE_MS: u64 = 2000;
/// After so long without a whole message the other side is taken to be gone, milliseconds.
pub const SILENCE_MS_MAX: u64 = 10_000;
/// How often a node reports, milliseconds.
pub const REPORT_MS: u64 = 1000;
