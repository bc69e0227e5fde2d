//! Bidirectional forwarding detection (RFC 5880) in asynchronous mode, for links over several hops (RFC 5883).
//!
//! [`packet`] is what goes over the wire, [`session`] the state machine of one link. Both know neither clock, socket
//! nor randomness: time is nanoseconds of the caller's clock, random numbers are passed in.

pub mod packet;
pub mod session;

pub use packet::{Diagnostic, Packet, State};
pub use session::{Refusal, Session, Settings};

/// UDP destination port of control packets over several hops (RFC 5883 section 5).
pub const PORT: u16 = 4784;
/// First UDP source port that a sender may use (RFC 5881 section 4).
pub const SOURCE_PORT_MIN: u16 = 49152;
