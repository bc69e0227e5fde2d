//! Keys: who a node is, what each two nodes seal with, and how the keys change without losing a packet.
//!
//! A node has an [`Identity`] (Ed25519) that stays, and *epoch keys* (X25519) that are made anew, signed by the
//! identity, announced, used, and erased. Each two nodes derive, for each pair of their epochs and for each
//! direction, a key to seal with and a key to authenticate a hop with; nobody else can, the control server included.
//!
//! - [`Keyring`] holds our private keys and our peers' verified public ones; it compiles them into the
//!   [`SealTable`](crate::seal::SealTable) that workers read.
//! - [`Announcer`] carries them: messages in, messages out, time passed in.
//!
//! No packet is lost in a rotation because nobody uses a key that the other end may not have:
//!
//! 1. a node makes an epoch key, and compiles a table that opens what is sealed to it;
//! 2. once the workers have that table ([`Keyring::published`]), the key is announced;
//! 3. a peer verifies it, compiles, and once *its* workers have the table, acknowledges; it seals to the new key now;
//! 4. with the acknowledgement, the node seals *from* the new key to that peer;
//! 5. when every peer has acknowledged and what was under way has arrived, the old private key is erased.
//!
//! `docs/protocol.md` has the messages and the derivation, `docs/decisions/0009-keys-and-sealing.md` the reasons.

mod agreement;
mod announcer;
mod bucket;
pub(crate) use bucket::Bucket;
mod derive;
mod epoch;
mod identity;
mod keyring;
mod message;
mod peer;
mod signed;

pub use agreement::EpochSecret;
pub use announcer::{Announcer, Event, Refused};
pub use derive::{DirectionKeys, End, derive};
pub use epoch::{Epoch, pair_name};
pub use identity::{BadKey, Identity, PublicIdentity};
pub use keyring::{Introduced, Keyring, Settings, Standing};
pub use message::{Acknowledgement, MESSAGE_LEN_MAX, Message, prefilter};
pub use peer::Rejected;
pub use signed::{SIGNED_LEN, SignedKey};

/// Epochs of one node that are held at a time: the one before, the current one, the next.
pub const EPOCHS_MAX: usize = 3;
/// How far the clocks of two nodes may be apart, seconds: the signed times only keep announcements of long ago from
/// a node that was restarted and has forgotten them. What runs is timed by a clock that never jumps.
pub const CLOCK_SLACK_S: u64 = 86_400;
/// The longest life that a signed key may claim, seconds.
pub const LIFETIME_MAX_S: u32 = 14 * 86_400;
/// Rotation where nothing else is configured, seconds.
pub const ROTATION_DEFAULT_S: u32 = 3600;
/// The quickest rotation, seconds: there are 15 names for epochs, and a peer takes no more than
/// [`EPOCHS_MAX`] keys in the time of this.
pub const ROTATION_MIN_S: u32 = 60;
/// The slowest rotation, seconds.
pub const ROTATION_MAX_S: u32 = 86_400;
/// Packets sealed from one epoch to one peer after which the epoch is rotated at once. AES-GCM with nonces that
/// never repeat loses 2^-43 of its promise at so many packets of 1500 bytes (σ² / 2^129 with 2^43 blocks,
/// NIST SP 800-38D; RFC 9001 appendix B counts alike), and there is an epoch's time left to rotate in.
pub const PACKETS_MAX: u64 = 1 << 36;
/// How long packets may be under way, milliseconds: an old private key outlives its last use by this.
pub const DRAIN_MS: u64 = 60_000;

/// The time, twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that never jumps, from any start: what timers run by.
    pub monotonic_ms: u64,
    /// Milliseconds since 1970-01-01 00:00 UTC: what is signed.
    pub unix_ms: u64,
}

impl Now {
    /// Whole seconds since 1970.
    pub(crate) fn unix_s(self) -> u64 {
        self.unix_ms / 1000
    }
}
