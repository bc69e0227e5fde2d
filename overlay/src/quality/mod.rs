//! How well a path carries packets: test packets as of STAMP (RFC 8762), one session for each path and each node at
//! its other end.
//!
//! The *session-sender* numbers its own packets, so no path is judged by another's sequence. The *session-reflector*
//! sends each back with a number of its own (stateful mode), and so the sender can tell in which direction one was lost.
//! An answer counts only for the packet whose number, time and path it repeats.

pub mod gauge;
pub mod reflector;
pub mod sender;
pub mod stamp;
pub mod stats;

pub use gauge::{Gauge, Reading};
pub use reflector::Reflector;
pub use sender::{Refusal, Sender, Settings};
pub use stamp::{Reflected, Test, Timestamp};
pub use stats::{Counts, Stats};

/// UDP port of session-reflectors (RFC 8762 section 4.1).
pub const PORT: u16 = 862;
