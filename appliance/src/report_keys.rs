//! What operators are told of keys.

use ctl::{KeyPeer, Keys, Rejection};
use overlay::topology::NodeId;
use packet::BufPool;

use crate::core::Core;
use crate::keyring;
use crate::metrics::{Metric, Value, counter, gauge};

/// Why there is nothing to tell.
const NO_KEYS: &str = "this node has no key: its topology names no public_key of it";

impl<P: BufPool> Core<P> {
    /// Answers "key show".
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn keys(&self) -> Result<Keys, String> {
        let keys = &self.keyring.as_ref().ok_or(NO_KEYS)?.keys;
        let ring = keys.keyring();
        let now_ms = self.now_ns / 1_000_000;
        let (epoch, made_ms) = ring.newest().ok_or(NO_KEYS)?;
        let name_of =
            |node: NodeId| self.config.topology.node(node).map_or_else(String::new, |node| node.name.clone());
        let peer = |node: NodeId| {
            let standing = ring.standing(node)?;
            Some(KeyPeer {
                node: name_of(node),
                identity: ring.identity_of(node)?.to_string(),
                epoch: standing.newest.map(|epoch| epoch.0),
                sending: standing.sending.map(|epoch| epoch.name()),
                acknowledged: standing.acknowledged,
                heard_seconds: keys
                    .heard_ns(node)
                    .map(|heard_ns| self.now_ns.saturating_sub(heard_ns) / 1_000_000_000),
            })
        };
        let rejection = |(reason, messages): (&&str, &u64)| Rejection {
            reason: (*reason).to_owned(),
            messages: *messages,
        };
        Ok(Keys {
            identity: ring.identity().to_string(),
            epoch: epoch.0,
            name: epoch.name(),
            age_seconds: now_ms.saturating_sub(made_ms) / 1000,
            next_seconds: ring.rotation_at_ms().saturating_sub(now_ms) / 1000,
            held: ring.own_epochs() as u64,
            rotations: keys.counters().rotations,
            rejected: keys.refused().iter().map(rejection).collect(),
            peers: ring.peers().filter_map(peer).collect(),
        })
    }

    /// Answers "key rotate": makes a new key, which is used as soon as a peer has it.
    ///
    /// # Errors
    /// A sentence for the operator.
    pub fn rotate_key(&mut self, now_ns: u64) -> Result<Keys, String> {
        let ring = self.keyring.as_mut().ok_or(NO_KEYS)?;
        let random = keyring::random().ok_or("the kernel gave no random bytes; try again")?;
        if !ring.keys.rotate_early(now_ns, &random) {
            return Err("the keys before may still be needed: packets may be under way, or a peer has not acknowledged \
                        the newest; try again in a minute"
                .to_owned());
        }
        tracing::info!("a new key, as an operator wished");
        self.keys()
    }
}

pub(crate) fn metrics<P: BufPool>(core: &Core<P>, metrics: &mut Vec<Metric>) {
    let Ok(keys) = core.keys() else { return };
    let one = |value: u64| vec![(Vec::new(), Value::Count(value))];
    counter(metrics, "key_rotations", "Epoch keys made", one(keys.rotations));
    let ready = keys.peers.iter().filter(|peer| peer.sending.is_some()).count() as u64;
    gauge(metrics, "key_peers", "Nodes to share keys with", one(keys.peers.len() as u64));
    gauge(metrics, "key_peers_ready", "Nodes that packets can be sealed to", one(ready));
    let rejected = keys.rejected.into_iter();
    let rejected =
        rejected.map(|rejection| (vec![("reason", rejection.reason)], Value::Count(rejection.messages)));
    counter(metrics, "key_rejected", "Messages about keys not taken, by reason", rejected.collect());
}
