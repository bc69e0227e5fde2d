//! A public epoch key with its node's signature: what peers, the configuration and a control server hand on.
//!
//! ```text
//!   4        2      8      8       8            4          32           64
//! +---------+------+------+-------+------------+----------+------------+-----------+
//! | overlay | node | life | epoch | not before | lifetime | public key | signature |
//! +---------+------+------+-------+------------+----------+------------+-----------+
//! ```
//!
//! All numbers are big endian. The signature is over a domain string and everything before it.

use super::epoch::Epoch;
use super::identity::{Identity, PublicIdentity};
use crate::topology::NodeId;

/// Bytes of a signed key.
pub const SIGNED_LEN: usize = 66 + 64;

/// What is signed begins with this, so that no signature of another kind can stand in for one.
const DOMAIN: &[u8] = b"proa overlay v1 epoch key";

/// A public epoch key and who says so. Nothing is verified by having one: [`Keyring::introduce`] does that.
///
/// [`Keyring::introduce`]: super::Keyring::introduce
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedKey {
    /// The overlay's number.
    pub overlay_id: u32,
    /// Whose key it is.
    pub node: NodeId,
    /// When the node was started, Unix milliseconds: another life has forgotten all keys of this one.
    pub life: u64,
    /// The epoch's number.
    pub epoch: Epoch,
    /// From when on it may be used, Unix seconds.
    pub not_before_s: u64,
    /// How long it may be used, seconds.
    pub lifetime_s: u32,
    /// The X25519 public key.
    pub public: [u8; 32],
    /// The identity's signature.
    pub signature: [u8; 64],
}

impl SignedKey {
    /// Puts the identity's signature in place of whatever stands there.
    pub fn sign(mut self, identity: &Identity) -> SignedKey {
        self.signature = identity.sign(&self.message());
        self
    }

    /// Whether the identity signed all fields.
    pub fn is_signed_by(&self, identity: &PublicIdentity) -> bool {
        identity.verify(&self.message(), &self.signature)
    }

    /// The layout above.
    pub fn to_bytes(&self) -> [u8; SIGNED_LEN] {
        let mut bytes = [0; SIGNED_LEN];
        bytes[..4].copy_from_slice(&self.overlay_id.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.node.0.to_be_bytes());
        bytes[6..14].copy_from_slice(&self.life.to_be_bytes());
        bytes[14..22].copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes[22..30].copy_from_slice(&self.not_before_s.to_be_bytes());
        bytes[30..34].copy_from_slice(&self.lifetime_s.to_be_bytes());
        bytes[34..66].copy_from_slice(&self.public);
        bytes[66..].copy_from_slice(&self.signature);
        bytes
    }

    /// Reads the layout above; any bytes are some key.
    pub fn from_bytes(bytes: &[u8; SIGNED_LEN]) -> SignedKey {
        SignedKey {
            overlay_id: u32::from_be_bytes(array(bytes, 0)),
            node: NodeId(u16::from_be_bytes(array(bytes, 4))),
            life: u64::from_be_bytes(array(bytes, 6)),
            epoch: Epoch(u64::from_be_bytes(array(bytes, 14))),
            not_before_s: u64::from_be_bytes(array(bytes, 22)),
            lifetime_s: u32::from_be_bytes(array(bytes, 30)),
            public: array(bytes, 34),
            signature: array(bytes, 66),
        }
    }

    fn message(&self) -> Vec<u8> {
        let bytes = self.to_bytes();
        let signed = bytes.split_last_chunk::<64>().map_or(&bytes[..], |(signed, _)| signed);
        [DOMAIN, signed].concat()
    }
}

/// The `N` bytes from `at` on; zeros beyond the end, where no caller reads.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}
