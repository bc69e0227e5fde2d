//! Sealing: what the data path does with the keys. AES-256-GCM end to end, sealed once before replication; a 64-bit
//! keyed authenticator on every hop.
//!
//! Workers read an immutable [`SealTable`], which the control thread compiles from the
//! [`Keyring`](crate::keys::Keyring) and swaps at a batch border. Per packet there is no lock, no allocation, no
//! reference count.
//!
//! ```text
//!  sender                        intermediate                    receiver
//!  [Sealer::seal]                [HopKey::check] neighbour in    [HopKey::check]
//!  for each copy:                hop limit - 1                   look at the window
//!    [HopKey::authenticator]     [HopKey::authenticator] out     [Opener::open]
//!                                                                mark the window
//! ```

mod hop;
mod sealer;
mod shared;
mod table;

pub use hop::{Hop, HopKey, TAIL_LEN, tail};
pub use sealer::{Opener, Sealer};
pub use shared::Shared;
pub(crate) use table::Pair;
pub use table::{PeerKeys, SealTable};

/// Bytes that sealing adds behind the inner packet.
pub const TAG_LEN: usize = 16;

/// The last sequence number that is sealed or opened: long before the counter's end, so that no nonce repeats and no
/// window meets its highest number.
pub const SEQUENCE_MAX: u64 = u64::MAX - (1 << 48);
