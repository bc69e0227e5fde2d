//! What all nodes know alike of two gateways that stand in for each other.

use crate::topology::{NodeId, Takeover, Topology};

const MS: u64 = 1_000_000;

/// What all nodes know alike of a pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The two gateways.
    pub gateways: [NodeId; 2],
    /// Who votes: both gateways and their witnesses.
    pub voters: Vec<NodeId>,
    /// Who wants to know besides: edges that do not vote.
    pub listeners: Vec<NodeId>,
    /// How long a promise lasts, ns.
    pub lease_ns: u64,
    /// Differs where anything of this, or the gateways' pools, differs.
    pub digest: u64,
}

impl Pair {
    /// A pair of the topology.
    pub fn new(topology: &Topology, takeover: &Takeover) -> Pair {
        let mut voters = takeover.gateways.to_vec();
        voters.extend(takeover.witnesses.iter().filter(|node| !takeover.gateways.contains(node)));
        voters.sort_unstable();
        voters.dedup();
        let region = topology.node(takeover.gateways[0]).map(|node| node.region);
        let served = |region_of_edge| {
            let mut sets = topology.path_sets.iter();
            sets.any(|set| set.edge == region_of_edge && Some(set.gateway) == region)
        };
        let edges = topology.nodes.iter().filter(|node| node.roles.edge && served(node.region));
        let listeners = edges.map(|node| node.id).filter(|node| !voters.contains(node)).collect();
        let lease_ns = u64::from(takeover.lease_ms) * MS;
        let mut digest = 0xcbf2_9ce4_8422_2325;
        let mut mix = |text: &str| {
            for byte in text.bytes().chain([b'\n']) {
                digest = (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
            }
        };
        for gateway in takeover.gateways {
            let pool = topology.node(gateway).map(|node| node.nat_pool.as_slice()).unwrap_or_default();
            mix(&format!("{} {pool:?}", gateway.0));
        }
        mix(&format!("{voters:?} {lease_ns}"));
        Pair { gateways: takeover.gateways, voters, listeners, lease_ns, digest }
    }

    /// Of how many voters a majority is more than half.
    pub(super) fn quota(&self) -> usize {
        self.voters.len() / 2 + 1
    }

    /// How long a gateway counts on a promise: less than it lasts, for clocks that do not run alike.
    pub(super) fn hold_ns(&self) -> u64 {
        self.lease_ns - self.lease_ns / 8
    }

    /// How often a gateway asks.
    pub(super) fn ask_ns(&self) -> u64 {
        self.lease_ns / 6
    }
}
