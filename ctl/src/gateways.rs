//! What the daemon tells of gateways that stand in for each other.

use serde::{Deserialize, Serialize};

/// The blocks of NAT addresses that move between gateways, as far as the node knows of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateways {
    /// One for the pool of each gateway that has a peer.
    pub blocks: Vec<Block>,
    /// Whether this gateway drains; nothing where it is none.
    pub draining: Option<bool>,
    /// Binding records sent.
    pub bindings_sent: u64,
    /// Binding records taken.
    pub bindings_taken: u64,
    /// Binding records that were not.
    pub bindings_refused: u64,
    /// Flows whose binding this edge knows.
    pub bindings: u64,
    /// Sessions that the other gateway was told of before it took over.
    pub sessions_told: u64,
    /// Sessions that the other gateway has told of before this one took over.
    pub sessions_stored: u64,
    /// Packets that came late and were passed on to the gateway that has taken over.
    pub passed_on: u64,
}

/// The pool of a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// The gateway whose pool it is.
    pub home: String,
    /// Its addresses, first and last of each range.
    pub addresses: Vec<String>,
    /// The gateway that translates it, as it was heard last.
    pub holder: String,
    /// Of the holder's tenure; 0 where nobody has said anything yet.
    pub revision: u64,
    /// `idle`, `claiming`, `holding`, `handing` or `stopping`: how this gateway stands to it; nothing where it is none.
    pub phase: Option<String>,
    /// Milliseconds left of this gateway's lease.
    pub lease_ms: Option<u64>,
    /// Voters of which more than half must agree.
    pub voters: Vec<Voter>,
}

/// Who votes on the holder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voter {
    /// The node.
    pub node: String,
    /// Milliseconds since it was heard; nothing where it never was, or is this node.
    pub heard_ms: Option<u64>,
}
