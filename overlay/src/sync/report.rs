//! How a node is: what it tells the server every second.

use serde::{Deserialize, Serialize};

/// Entries of each kind that a report may have.
pub const ENTRIES_MAX: usize = 4096;

/// A node's word about itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Since the node started, seconds.
    pub uptime_s: u64,
    /// Version of its program.
    pub version: String,
    /// Whether its workers run and its ports are started.
    pub ready: bool,
    /// Its links to neighbouring nodes.
    pub links: Vec<Link>,
    /// Paths that begin, end or pass here.
    pub paths: Vec<Path>,
    /// What it counts.
    pub counters: Counters,
    /// What is wrong, a sentence each.
    pub alarms: Vec<String>,
    /// How much its workers have to do.
    pub load: Load,
}

/// How much workers have to do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// Since the node started, milliseconds.
    pub uptime_ms: u64,
    /// For how long of that each worker had frames to handle, milliseconds.
    pub busy_ms: Vec<u64>,
}

impl Load {
    /// How busy the busiest worker was since an earlier report, percent; `None` where that can not be told.
    pub fn busy_percent_since(&self, before: &Load) -> Option<u8> {
        let passed = self.uptime_ms.checked_sub(before.uptime_ms).filter(|passed| *passed > 0)?;
        let workers = self.busy_ms.iter().zip(&before.busy_ms);
        let busiest = workers.map(|(now, before)| now.saturating_sub(*before)).max()?;
        Some((busiest.saturating_mul(100) / passed).min(100) as u8)
    }
}

/// A link to a neighbouring node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// The neighbour's name.
    pub neighbor: String,
    /// IP version of the underlay, 4 or 6.
    pub version: u8,
    /// Whether it is used.
    pub up: bool,
    /// Round-trip time, microseconds; nothing before it is measured.
    pub rtt_us: Option<u32>,
    /// Lost on the way there, parts per million; nothing before it is measured.
    pub loss_ppm: Option<u32>,
}

/// A path, as one node sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Path {
    /// Its number on the wire.
    pub path: u16,
    /// Its path set's name.
    pub set: String,
    /// Whether packets are sent over it.
    pub in_force: bool,
    /// Whether it lives, where it ends here and is watched.
    pub up: Option<bool>,
    /// Round-trip time, microseconds, where it ends here and is measured.
    pub rtt_us: Option<u32>,
    /// Lost of probes, parts per million, the worse direction, where it ends here and is measured.
    pub loss_ppm: Option<u32>,
    /// Copies sent as the first here.
    pub sent: u64,
    /// Copies forwarded between others.
    pub forwarded: u64,
    /// First copies that ended here: how often it won.
    pub passed: u64,
}

/// What a node counts, since its start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Counters {
    /// Packets dropped, by reason; only those that occurred.
    pub drops: Vec<(String, u64)>,
    /// Flow entries in use.
    pub flows: u64,
    /// Translated sessions in use.
    pub sessions: u64,
    /// Room for translated sessions.
    pub sessions_max: u64,
    /// Packet buffers in use.
    pub buffers: u64,
}
