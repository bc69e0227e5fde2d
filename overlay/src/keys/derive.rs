//! From a shared secret to the keys of one direction (HKDF with SHA-256, RFC 5869).

use super::epoch::Epoch;
use crate::topology::NodeId;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroize;

/// Input of the extraction beside the secret: names what all this is for.
const SALT: &[u8] = b"proa overlay v1 pair of epochs";
/// Says that a key seals inner packets.
const SEAL: &[u8] = b"seal";
/// Says that a key authenticates hops.
const HOP: &[u8] = b"hop ";

/// One end of a direction: a node with the epoch it uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The node.
    pub node: NodeId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The epoch's public key.
    pub public: [u8; 32],
}

/// The keys of one direction between two nodes, for one pair of their epochs. Cleared when dropped.
pub struct DirectionKeys {
    /// AES-256-GCM key of inner packets.
    pub seal: [u8; 32],
    /// What nonces are combined with.
    pub salt: [u8; 12],
    /// SipHash-2-4 key of the hop authenticator.
    pub hop: [u8; 16],
}

impl Drop for DirectionKeys {
    fn drop(&mut self) {
        self.seal.zeroize();
        self.salt.zeroize();
        self.hop.zeroize();
    }
}

/// Bytes asked of the derivation.
struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The keys for packets from one end to the other. Both ends come to the same; the other direction has others.
/// `None` where the library fails.
pub fn derive(secret: &[u8; 32], overlay_id: u32, from: &End, to: &End) -> Option<DirectionKeys> {
    let key = Salt::new(HKDF_SHA256, SALT).extract(secret);
    let fill = |label: &[u8], out: &mut [u8]| {
        // Every field has its fixed width, so no two directions spell the same.
        let overlay_id = overlay_id.to_be_bytes();
        let nodes = [from.node.0.to_be_bytes(), to.node.0.to_be_bytes()].concat();
        let epochs = [from.epoch.0.to_be_bytes(), to.epoch.0.to_be_bytes()].concat();
        let info = [label, &overlay_id, &nodes, &epochs, &from.public, &to.public];
        key.expand(&info, Length(out.len())).and_then(|okm| okm.fill(out)).ok()
    };
    let mut keys = DirectionKeys { seal: [0; 32], salt: [0; 12], hop: [0; 16] };
    let mut both = [0; 44];
    fill(SEAL, &mut both)?;
    keys.seal.copy_from_slice(&both[..32]);
    keys.salt.copy_from_slice(&both[32..]);
    both.zeroize();
    fill(HOP, &mut keys.hop)?;
    Some(keys)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(node: u16, epoch: u64) -> End {
        End { node: NodeId(node), epoch: Epoch(epoch), public: [node as u8; 32] }
    }

    #[test]
    fn everything_that_is_bound_changes_every_key() {
        let base = derive(&[7; 32], 1, &end(1, 17), &end(2, 33)).unwrap();
        let others = [
            derive(&[8; 32], 1, &end(1, 17), &end(2, 33)),
            derive(&[7; 32], 2, &end(1, 17), &end(2, 33)),
            derive(&[7; 32], 1, &end(2, 33), &end(1, 17)),
            derive(&[7; 32], 1, &end(1, 18), &end(2, 33)),
            derive(&[7; 32], 1, &end(1, 17), &end(2, 34)),
            derive(&[7; 32], 1, &end(3, 17), &end(2, 33)),
            derive(&[7; 32], 1, &End { public: [9; 32], ..end(1, 17) }, &end(2, 33)),
        ];
        for other in others {
            let other = other.unwrap();
            assert_ne!(base.seal, other.seal);
            assert_ne!(base.salt, other.salt);
            assert_ne!(base.hop, other.hop);
        }
        assert_ne!(base.seal[..16], base.hop);
    }
}
