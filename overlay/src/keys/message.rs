//! What nodes say to each other about keys, as bytes.
//!
//! ```text
//!    1             130                 8
//! +------+-----------------------+-----------+
//! |  1   |      signed key       | prefilter |  announcement: here is my epoch's key
//! +------+-----------------------+-----------+
//!    1       4       2    2     8       8         64          8
//! +------+---------+------+----+------+-------+-----------+-----------+
//! |  2   | overlay | from | to | life | epoch | signature | prefilter |  acknowledgement: I have your epoch's key
//! +------+---------+------+----+------+-------+-----------+-----------+
//! ```
//!
//! The prefilter is SipHash-2-4 over what is before it, under a key made of the receiver's public identity: who does
//! not know that (it stands in the topology file, not in packets) can not make us verify a signature.

use super::epoch::Epoch;
use super::identity::{Identity, PublicIdentity};
use super::signed::{SIGNED_LEN, SignedKey, array};
use crate::topology::NodeId;
use aws_lc_rs::digest::{SHA256, digest};
use siphasher::sip::SipHasher24;

const ANNOUNCEMENT: u8 = 1;
const ACKNOWLEDGEMENT: u8 = 2;
const PREFILTER_LEN: usize = 8;
const ANNOUNCEMENT_LEN: usize = 1 + SIGNED_LEN + PREFILTER_LEN;
/// Bytes of an acknowledgement that are signed.
const ACK_FIELDS_LEN: usize = 24;
const ACKNOWLEDGEMENT_LEN: usize = 1 + ACK_FIELDS_LEN + 64 + PREFILTER_LEN;
/// Bytes of the longest message. An answer is never longer than what it answers.
pub const MESSAGE_LEN_MAX: usize = ANNOUNCEMENT_LEN;

/// What is signed of an acknowledgement begins with this.
const ACK_DOMAIN: &[u8] = b"proa overlay v1 acknowledgement";
/// What the prefilter's key is made of, beside the identity.
const PREFILTER_DOMAIN: &[u8] = b"proa overlay v1 prefilter";

/// A node says that it opens what is sealed from an epoch of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledgement {
    /// The overlay's number.
    pub overlay_id: u32,
    /// Who says it.
    pub from: NodeId,
    /// To whom.
    pub to: NodeId,
    /// When the one who says it was started: the next life has forgotten.
    pub life: u64,
    /// Which epoch of the other.
    pub epoch: Epoch,
    /// The identity's signature.
    pub signature: [u8; 64],
}

/// A message about keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// Here is my epoch's key.
    Announcement(SignedKey),
    /// I have your epoch's key.
    Acknowledgement(Acknowledgement),
}

impl Acknowledgement {
    pub(super) fn sign(mut self, identity: &Identity) -> Acknowledgement {
        self.signature = identity.sign(&[ACK_DOMAIN, &self.fields()].concat());
        self
    }

    pub(super) fn is_signed_by(&self, identity: &PublicIdentity) -> bool {
        identity.verify(&[ACK_DOMAIN, &self.fields()].concat(), &self.signature)
    }

    fn fields(&self) -> [u8; ACK_FIELDS_LEN] {
        let mut bytes = [0; ACK_FIELDS_LEN];
        bytes[..4].copy_from_slice(&self.overlay_id.to_be_bytes());
        bytes[4..6].copy_from_slice(&self.from.0.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.to.0.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.life.to_be_bytes());
        bytes[16..].copy_from_slice(&self.epoch.0.to_be_bytes());
        bytes
    }
}

impl Message {
    /// The message as bytes, for the node of this identity.
    pub fn to_bytes(&self, receiver: &PublicIdentity) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MESSAGE_LEN_MAX);
        match self {
            Message::Announcement(key) => {
                bytes.push(ANNOUNCEMENT);
                bytes.extend(key.to_bytes());
            }
            Message::Acknowledgement(ack) => {
                bytes.push(ACKNOWLEDGEMENT);
                bytes.extend(ack.fields());
                bytes.extend(ack.signature);
            }
        }
        bytes.extend(prefilter(receiver, &bytes).to_be_bytes());
        bytes
    }

    /// Reads a message to the node of this identity; `None` for anything else. No signature is verified.
    pub fn from_bytes(bytes: &[u8], receiver: &PublicIdentity) -> Option<Message> {
        let (before, last) = bytes.split_last_chunk::<PREFILTER_LEN>()?;
        let (kind, fields) = before.split_first()?;
        let message = match *kind {
            ANNOUNCEMENT => Message::Announcement(SignedKey::from_bytes(fields.try_into().ok()?)),
            ACKNOWLEDGEMENT if bytes.len() == ACKNOWLEDGEMENT_LEN => {
                Message::Acknowledgement(Acknowledgement {
                    overlay_id: u32::from_be_bytes(array(fields, 0)),
                    from: NodeId(u16::from_be_bytes(array(fields, 4))),
                    to: NodeId(u16::from_be_bytes(array(fields, 6))),
                    life: u64::from_be_bytes(array(fields, 8)),
                    epoch: Epoch(u64::from_be_bytes(array(fields, 16))),
                    signature: array(fields, ACK_FIELDS_LEN),
                })
            }
            _ => return None,
        };
        (prefilter(receiver, before) == u64::from_be_bytes(*last)).then_some(message)
    }
}

/// What stands behind a message to the node of this identity.
pub fn prefilter(receiver: &PublicIdentity, message: &[u8]) -> u64 {
    let key = digest(&SHA256, &[PREFILTER_DOMAIN, &receiver.0].concat());
    SipHasher24::new_with_key(&array(key.as_ref(), 0)).hash(message)
}
