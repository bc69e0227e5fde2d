//! Keys: every node that carries what is sealed has one, and each its own.

use std::collections::BTreeMap;

use overlay::keys::PublicIdentity;
use overlay::topology::Seal;

use super::addresses::title;
use super::names::Unique;
use crate::node_file::NodeFile;
use crate::problems::{At, Problems, error};
use crate::topology_file::{RawApplication, RawNode, TopologyFile};

/// Tells public keys that two nodes share.
pub(crate) fn identities(file: &TopologyFile, p: &mut Problems) {
    let mut keys = Unique::default();
    for key in file.nodes.items.iter().filter_map(|node| node.value.public_key.as_ref()) {
        let Some(value) = key.value else { continue };
        let message = || "another node has this public key".to_owned();
        let help = "give every node a key of its own: run `proa key generate` there";
        keys.add(value, key.place, message, help, p);
    }
}

/// Gives nodes that have joined the key that they joined with, where the file has none; tells where it has another.
pub(crate) fn introduce(file: &mut TopologyFile, known: &BTreeMap<String, PublicIdentity>, p: &mut Problems) {
    for node in &mut file.nodes.items {
        let name = node.value.name.as_ref().map(|name| name.value.as_str());
        let Some((name, joined)) = name.and_then(|name| known.get_key_value(name)) else { continue };
        match &node.value.public_key {
            None => node.value.public_key = Some(At { value: Some(*joined), place: node.place }),
            Some(written) if written.value.is_some_and(|written| written != *joined) => {
                error(written.place, format!("`{name}` has joined with another key"))
                    .help(p, "leave public_key out: nodes tell the server their keys when they join");
            }
            Some(_) => {}
        }
    }
}

/// Tells nodes without a key on the way of an application that is sealed, which every one is unless it says otherwise.
pub(crate) fn application<'a>(
    application: &At<RawApplication>,
    nodes: impl Iterator<Item = &'a RawNode>,
    p: &mut Problems,
) {
    let written = application.value.seal.as_ref();
    if written.is_some_and(|seal| seal.value != Some(Seal::Aes256Gcm)) {
        return;
    }
    let lacking: Vec<String> = nodes
        .filter(|node| node.public_key.is_none())
        .filter_map(|node| node.name.as_ref())
        .map(|name| format!("`{}`", name.value))
        .collect();
    if !lacking.is_empty() {
        let who = title("application", &application.value.name);
        let message = format!(
            "{who} is sealed, but these nodes on its paths have no public key: {}",
            lacking.join(", ")
        );
        let help = "run `proa key generate` on each and put the line that it prints below its [[node]]; on a network \
                    between nodes that is trusted, seal = \"none\" here does without";
        error(written.map_or(application.place, |seal| seal.place), message).help(p, help);
    }
}

/// Tells a node with one half of a key; `node` is this node in the topology.
pub(crate) fn private(file: &NodeFile, node: Option<&RawNode>, p: &mut Problems) {
    let (Some(name), Some(node)) = (&file.node, node) else { return };
    match (&file.key_file, &node.public_key) {
        (None, Some(key)) if key.value.is_some() => {
            error(
                name.place,
                format!("`{}` has a public key in the topology, but no private key here", name.value),
            )
            .help(p, "add [key] with file = \"…\", the file that `proa key generate` wrote");
        }
        (Some(key), None) => {
            error(key.place, format!("the topology has no public key of `{}`", name.value))
                .help(p, "put the line that `proa key show FILE` prints below its [[node]], on every node");
        }
        _ => {}
    }
}
