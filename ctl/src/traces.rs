//! What the daemon tells of hop records.
//!
//! Transit delays and margins are of one clock. Times over links and whole paths are differences of two nodes' clocks: `fastest_us`
//! contains how far these are apart, and may be negative; `above_us`, what others took more, does not.

use serde::{Deserialize, Serialize};

use crate::liveness::Percentiles;

/// What hop records of an application's packets told at this node, the end of their paths. Percentiles are of the last
/// one to two minutes and within 6 %, counts since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Traces {
    /// The application.
    pub application: String,
    /// One in so many packets that this node sends carries records; 0: none.
    pub one_in: u32,
    /// Paths that end here, by sender.
    pub paths: Vec<TracePath>,
    /// Their nodes, and the links before them.
    pub hops: Vec<TraceHop>,
    /// The newest packets, newest first.
    pub packets: Vec<TracedPacket>,
    /// Records of any application that were lost between worker and control thread, or could not be told.
    pub missed: u64,
}

/// A path.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TracePath {
    /// Its number.
    pub path: u16,
    /// The node that sent.
    pub source: String,
    /// Packets whose first copy came over it.
    pub won: u64,
    /// Copies that came over it after another.
    pub lost: u64,
    /// Copies that came too late for that to be told.
    pub late: u64,
    /// How much earlier its first copies came than the second.
    pub margin_us: Option<Percentiles>,
    /// From the sender to here.
    pub delay: TraceLink,
}

/// A time between two nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TraceLink {
    /// The least difference of their clocks.
    pub fastest_us: Option<f64>,
    /// What was above that.
    pub above_us: Option<Percentiles>,
}

/// A node of a path and the link before it; of the receiver, the link alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TraceHop {
    /// The path.
    pub path: u16,
    /// The node that sent.
    pub source: String,
    /// The node's place after that, from 1.
    pub place: u8,
    /// The node before the link.
    pub from: String,
    /// The node.
    pub node: String,
    /// Copies that told of it.
    pub copies: u64,
    /// Over the link.
    pub link: TraceLink,
    /// In the node; nothing at the receiver.
    pub transit_us: Option<Percentiles>,
    /// Most frames that were to leave before a copy; 255 and more are 255.
    pub queue_max: u8,
}

/// A packet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TracedPacket {
    /// The node that sent it.
    pub source: String,
    /// Its stream.
    pub stream: u16,
    /// Its number in the stream.
    pub sequence: u64,
    /// When it was sent, by the sender's clock, ns since 1970.
    pub sent_unix_ns: u64,
    /// Its copies in the order in which they came.
    pub copies: Vec<TraceCopy>,
}

/// A copy of a packet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TraceCopy {
    /// Its path.
    pub path: u16,
    /// `won`, `lost`, or `late`.
    pub outcome: String,
    /// How much later it came than the first, ns.
    pub behind_ns: u64,
    /// From the sender's clock to this node's, ns.
    pub delay_ns: i64,
    /// Whether there were more hops than records.
    pub overflow: bool,
    /// Its records.
    pub records: Vec<TraceRecord>,
}

/// What a node said of a copy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TraceRecord {
    /// The node.
    pub node: String,
    /// The node from which the copy came.
    pub ingress: String,
    /// The node to which it went.
    pub egress: String,
    /// The overlay's hop limit with which it went.
    pub hop_limit: u8,
    /// Frames that were to leave before it; 255 and more are 255.
    pub queue: u8,
    /// From the clock of the node before to this node's, ns.
    pub link_ns: i64,
    /// In the node, ns.
    pub transit_ns: u32,
}
