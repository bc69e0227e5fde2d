//! What the daemon tells of keys. No private key is in it.

use serde::{Deserialize, Serialize};

/// The node's keys, and how it stands with its peers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// The node's public identity.
    pub identity: String,
    /// Its newest epoch.
    pub epoch: u64,
    /// What packets call that: 1 to 15.
    pub name: u8,
    /// Seconds since it was made.
    pub age_seconds: u64,
    /// Seconds until the next is made.
    pub next_seconds: u64,
    /// Private keys that are held: the newest, and those that a peer may still need.
    pub held: u64,
    /// Epochs made since the start.
    pub rotations: u64,
    /// Messages that were not taken, by reason.
    pub rejected: Vec<Rejection>,
    /// The nodes to share keys with.
    pub peers: Vec<KeyPeer>,
}

/// Messages that were not taken for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejection {
    /// The reason's name.
    pub reason: String,
    /// How many messages.
    pub messages: u64,
}

/// How the node stands with a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyPeer {
    /// The node's name.
    pub node: String,
    /// Its public identity.
    pub identity: String,
    /// Its newest epoch that is known.
    pub epoch: Option<u64>,
    /// The name of this node's epoch that packets to it are sealed from; nothing where none can be.
    pub sending: Option<u8>,
    /// Whether it has this node's newest epoch.
    pub acknowledged: bool,
    /// Seconds since it said something that counted.
    pub heard_seconds: Option<u64>,
}
