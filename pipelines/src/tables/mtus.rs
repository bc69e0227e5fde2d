//! What links and paths were found to carry.

use overlay::topology::{IpVersion, NodeId, PathId};

/// Bytes that IP packets may have on links, where they were measured; the MTU of the port bounds them in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mtus {
    /// To neighbouring nodes, by IP version of the underlay.
    pub links: Vec<(NodeId, IpVersion, u16)>,
    /// From these nodes on along a path, as far as its other end.
    pub onward: Vec<(NodeId, IpVersion, PathId, u16)>,
}

impl Mtus {
    pub(super) fn of_link(&self, node: NodeId, version: IpVersion) -> Option<u16> {
        let mut links = self.links.iter();
        links.find(|(to, over, _)| (*to, *over) == (node, version)).map(|(_, _, mtu)| *mtu)
    }

    pub(super) fn behind(&self, node: NodeId, version: IpVersion) -> Vec<(PathId, u16)> {
        let onward = self.onward.iter().filter(|(to, over, _, _)| (*to, *over) == (node, version));
        onward.map(|(_, _, path, mtu)| (*path, *mtu)).collect()
    }
}
