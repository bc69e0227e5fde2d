//! What the daemon tells of links: its own, and those of all nodes.

use serde::{Deserialize, Serialize};

use crate::keys::Rejection;
use crate::liveness::Neighbor;

/// Links, and how the word about them goes round.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Links {
    /// The node's own links.
    pub links: Vec<Neighbor>,
    /// What all nodes say of theirs.
    pub overlay: Vec<ToldLink>,
    /// How that came.
    pub flood: Flood,
}

/// One end's word about a link.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ToldLink {
    /// Whose word it is.
    pub node: String,
    /// The node at the other end.
    pub neighbor: String,
    /// IP version of the underlay, 4 or 6.
    pub version: u8,
    /// Whether it is used.
    pub up: bool,
    /// Latency in one direction, microseconds; nothing before it is measured.
    pub latency_us: Option<u32>,
    /// Lost on the way to the other end, percent; nothing before it is measured.
    pub loss_percent: Option<f64>,
    /// Since it was said, milliseconds.
    pub age_ms: u64,
}

/// How nodes tell each other of links.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flood {
    /// Records held.
    pub records: u64,
    /// Records of this node written since the start.
    pub originated: u64,
    /// Records of others taken.
    pub taken: u64,
    /// Records that came once more.
    pub known: u64,
    /// Records forgotten because nobody renewed them.
    pub aged: u64,
    /// Messages sent.
    pub sent: u64,
    /// Bytes of these.
    pub sent_bytes: u64,
    /// What was not taken, by reason.
    pub rejected: Vec<Rejection>,
}
