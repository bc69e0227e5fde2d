//! Nodes that are not to be trusted any more: for the others it is as if they were nowhere.

use std::collections::BTreeSet;

use overlay::topology::Topology;

use crate::check::addresses::title;
use crate::problems::{At, Problems, error};
use crate::topology_file::{RawNode, TopologyFile};

/// Whether a node is revoked.
pub(crate) fn is_revoked(node: &RawNode) -> bool {
    node.revoked.as_ref().is_some_and(|at| at.value)
}

/// Marks nodes of these names.
pub(crate) fn introduce(file: &mut TopologyFile, names: &BTreeSet<String>) {
    for node in &mut file.nodes.items {
        if node.value.name.as_ref().is_some_and(|name| names.contains(&name.value)) {
            node.value.revoked = Some(At { value: true, place: node.place });
        }
    }
}

/// Tells a node that it is revoked itself.
pub(crate) fn check(this: &RawNode, p: &mut Problems) {
    if let Some(at) = this.revoked.as_ref().filter(|at| at.value) {
        error(
            at.place,
            format!("{} is revoked: the others take none of its packets", title("node", &this.name)),
        )
        .help(p, "give it a new key and a new certificate, then leave `revoked` out");
    }
}

/// Takes the addresses of such nodes out of a topology that is right: nothing that comes from there is a node's, and nothing is sent there.
/// What else is said of them stays, since others' paths, pools and votes are counted by it.
pub(crate) fn leave_out(file: &TopologyFile, topology: &mut Topology) {
    for (raw, node) in file.nodes.items.iter().zip(&mut topology.nodes) {
        if is_revoked(&raw.value) {
            node.underlay.clear();
        }
    }
}
