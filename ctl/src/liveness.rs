//! What the daemon tells of links and paths: whether they live, and how well.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A link to a neighbouring node, watched by BFD.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Neighbor {
    /// The node's name.
    pub node: String,
    /// Its underlay address.
    pub address: IpAddr,
    /// The session's state: `up`, `init`, `down`, `admin_down`.
    pub session: String,
    /// The state that the other end has told.
    pub remote: String,
    /// Why the session last went down.
    pub diagnostic: String,
    /// Whether the link is used: `up`, `starting`; or not: `held`, `down`.
    pub state: String,
    /// Since when, milliseconds ago.
    pub since_ms: u64,
    /// Times that it died.
    pub deaths: u64,
    /// Interval between packets of this end, microseconds.
    pub interval_us: u32,
    /// How long the other end may be silent, milliseconds.
    pub detection_ms: u64,
    /// Packets sent.
    pub sent: u64,
    /// Packets received that counted.
    pub received: u64,
    /// Packets received that did not: of an earlier life, too many, or forged.
    pub refused: u64,
    /// Bytes that an IP packet may have on the link, as its probes found; 0 before there is a way to the node.
    pub mtu: u16,
    /// Whether larger packets are being tried.
    pub mtu_searching: bool,
    /// Times that packets which had passed were too large.
    pub black_holes: u64,
    /// What its probes measure; nothing where it is not probed.
    #[serde(default)]
    pub quality: Option<Quality>,
    /// What it is like now, as other nodes are told.
    #[serde(default)]
    pub now: Option<LinkNow>,
}

/// What a link is like now: follows a change within a second or a few, where percentiles take minutes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LinkNow {
    /// Half the round-trip time, microseconds.
    pub latency_us: u32,
    /// Lost on the way to the other end, percent.
    pub loss_percent: f64,
}

/// A path to one node at its other end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PathEnd {
    /// The node's name.
    pub node: String,
    /// IP version of the underlay, 4 or 6.
    pub version: u8,
    /// Whether packets take the path as far as there is a choice.
    pub usable: bool,
    /// What its probes say: `up`, `starting`, `held`, `down`.
    pub state: String,
    /// Since when, milliseconds ago.
    pub since_ms: u64,
    /// Times that it died.
    pub deaths: u64,
    /// What its probes measure; nothing where it is not probed.
    pub quality: Option<Quality>,
}

/// Data that came over a path from one node, by the node's own numbers on that path: the way back of what
/// [`Quality`] calls there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Incoming {
    /// The node's name.
    pub node: String,
    /// Copies received since the start.
    pub received: u64,
    /// Copies that were lost on the way since the start.
    pub lost: u64,
    /// Share lost in the last one to two minutes, percent.
    pub loss_percent: Option<f64>,
}

/// What a path's probes measure. Losses are counted since the start; shares and percentiles are of the last one to two
/// minutes. Of packets that are lost while no answer comes at all, the direction is told by the next answer; until then
/// they count as lost on the way there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Quality {
    /// Probes sent, and answered or given up since.
    pub probes: u64,
    /// Of these, lost on the way there.
    pub lost_forward: u64,
    /// Of these, lost on the way back.
    pub lost_backward: u64,
    /// Share lost on the way there, percent.
    pub loss_forward_percent: Option<f64>,
    /// Share lost on the way back, percent.
    pub loss_backward_percent: Option<f64>,
    /// Round-trip time.
    pub round_trip_us: Option<Percentiles>,
    /// Delay variation between consecutive probes on the way there.
    pub variation_forward_us: Option<Percentiles>,
    /// Delay variation between consecutive probes on the way back.
    pub variation_backward_us: Option<Percentiles>,
}

/// Percentiles of a time, microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Percentiles {
    /// The median.
    pub p50: f64,
    /// Nine of ten are not above.
    pub p90: f64,
    /// Ninety-nine of a hundred are not above.
    pub p99: f64,
}
