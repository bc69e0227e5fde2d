//! Link state: each node tells all others what its links are like now, by flooding.
//!
//! A node writes a [record](Record) about its links when one of them comes, goes or changes noticeably, and otherwise every
//! [`REFRESH_MS`]. It hands it to its neighbours, which check it, keep it and hand it on; of each key only the newest
//! counts. Neighbours acknowledge what they get and repeat what is not acknowledged; when they meet, and now and then, they
//! tell each other what they hold, and fill each other's gaps. What is not renewed is forgotten after [`AGE_MS_MAX`].
//!
//! ```text
//!   links, measured ──► Reporter ──► Flood ◄──── messages ────► neighbours
//!                                      │
//!                    LinkView ◄── view() : tables, plans
//! ```
//!
//! Pure: time is passed in, messages are taken with [`Flood::handle`] and given with [`Flood::poll_transmit`].

mod flood;
mod links;
mod message;
mod neighbor;
mod record;
mod reporter;
mod view;

pub use flood::{Counters, Flood, Member, Refused, Settings};
pub use links::{LINKS_MAX, LinkNow, Links, pieces};
pub use message::{Entries, Entry, Item, Items, MESSAGE_LEN_MAX, Message, PORT, Writer};
pub use record::{BODY_LEN_MAX, HEADER_LEN, Key, Kind, RECORD_LEN_MAX, Record, write};
pub use reporter::Reporter;
pub use view::view;

/// How often a record is renewed that has not changed, ms.
pub const REFRESH_MS: u64 = 60_000;
/// Records that are older than this are forgotten, ms: three renewals may be missed.
pub const AGE_MS_MAX: u64 = 200_000;
/// A record of the same key is not written again within this, ms.
pub const PAUSE_MS: u64 = 100;
