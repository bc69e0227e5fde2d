//! Proa's configuration: two TOML files, read and checked as a whole.
//!
//! The *topology file* is the same on every node: regions, nodes, path sets, applications.
//! The *node file* concerns one node: its cores, ports, limits and control socket; it names the topology file.
//!
//! Where a control server keeps the topology, the node file names that instead; [`server`] is the server's own file.
//!
//! Everything wrong with either is told at once, each with file, line, column and mend.
//! `examples/` holds commented files to copy, `schema/` their JSON Schemas for editors.
#![forbid(unsafe_code)]

mod build;
mod certificate;
mod check;
pub mod dns;
mod events;
mod ground;
pub mod key;
mod load;
mod local;
mod monitoring;
mod node_file;
mod node_values;
mod plan;
mod problem;
mod problems;
mod reader;
mod revoked;
mod routing;
#[cfg(test)]
mod schema;
pub mod server;
mod service;
mod source;
mod suggest;
mod takeover;
mod topology_file;
mod topology_values;
mod translation;
mod values;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use overlay::keys::{Identity, PublicIdentity};
use overlay::protocol::Protocol;
use overlay::topology::{Node, NodeId, Routing, Topology};

pub use crate::certificate::{Certificate, CertifiedPath};
pub use crate::local::{
    Control, Eal, Elimination, Events, Limits, Local, Nat, Ordering, Parity, Poll, Port, Route, Servers,
    Timeouts, Workers,
};
pub use crate::problem::{Errors, Problem, Severity};
pub use crate::source::FILE_BYTES_MAX;

/// A whole configuration, checked: every reference leads somewhere and every range is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The overlay, the same on every node.
    pub topology: Topology,
    /// Which of its nodes this is.
    pub node: NodeId,
    /// What concerns this node only.
    pub local: Local,
    /// Who has which key, and what is sealed.
    pub keys: Keys,
}

/// Who has which key. No private key is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// The file of this node's private key; there where this node has a public key.
    pub file: Option<PathBuf>,
    /// How long an epoch key is used, seconds, 60 to 86,400. Default 3600.
    pub rotation_s: u32,
    /// The public keys of the nodes that have one; all nodes on the way of what is sealed do.
    pub identities: Vec<(NodeId, PublicIdentity)>,
}

/// A configuration that can be used, with what is odd about it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// Problems of [`Severity::Warning`], in the order of the files.
    pub warnings: Vec<Problem>,
}

/// What a node file says of the control server, by itself: before there is a topology.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The node's name.
    pub node: String,
    /// The server.
    pub server: Servers,
    /// The file of the private key that seals its traffic, if it has one.
    pub key_file: Option<PathBuf>,
}

/// What is known of nodes beside a topology's text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Public keys of nodes that have joined, by name: they stand for what the text leaves out, and may not be contradicted by it.
    pub keys: BTreeMap<String, PublicIdentity>,
    /// Names of nodes that are revoked, as if the text said so.
    pub revoked: BTreeSet<String>,
}

/// A topology by itself, checked; its paths are planned.
#[derive(Clone, Debug)]
pub struct Overlay {
    /// The overlay.
    pub topology: Topology,
    /// The public keys of the nodes that have one.
    pub identities: Vec<(NodeId, PublicIdentity)>,
    /// What the server's DNS goes by.
    pub dns: dns::Dns,
    /// Problems of [`Severity::Warning`].
    pub warnings: Vec<Problem>,
}

impl Config {
    /// This node's entry in the topology; a checked configuration has one.
    pub fn this_node(&self) -> Option<&Node> {
        self.topology.node(self.node)
    }

    /// Whether any packets are routed hop by hop, by what is known of links.
    pub fn routes_by_links(&self) -> bool {
        let routings = self.topology.applications.iter().map(|application| &application.routing);
        routings.flat_map(Routing::protocols).any(Protocol::is_hop_by_hop)
    }

    /// This node's private key, read from its file; `None` where it needs none.
    ///
    /// # Errors
    /// Why the file can not be used; [`key::KeyError::Other`] where it is not the key that the topology names.
    pub fn identity(&self) -> Result<Option<Identity>, key::KeyError> {
        let Some(file) = &self.keys.file else { return Ok(None) };
        let identity = key::read(file)?;
        let named = self.keys.identities.iter().find(|(node, _)| *node == self.node);
        if named.is_none_or(|(_, public)| *public != identity.public()) {
            return Err(key::KeyError::Other(file.clone(), identity.public()));
        }
        Ok(Some(identity))
    }
}
