//! What one node says, and everybody carries on: a record, signed by its origin where that has a public key.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |     kind      |    signed     |        length of the body     |  0
//! |                          overlay id                           |  4
//! |          origin               |             index             |  8
//! |                           sequence                            | 12
//! |                                                               | 16
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             body                              | 20
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |            signature, 64 bytes, where signed is 1             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! The signature (Ed25519) is over a domain string and everything before it. The sequence is the time at which the record was
//! made, Unix milliseconds, or one more than that of the one before, whichever is higher: so a node that was restarted is ahead of what
//! it said in its last life, and a record of long ago is known as such.

use crate::keys::{Identity, PublicIdentity};
use crate::topology::NodeId;

/// Bytes before the body.
pub const HEADER_LEN: usize = 20;
/// Bytes of the longest body.
pub const BODY_LEN_MAX: usize = 1024;
const SIGNATURE_LEN: usize = 64;
/// Bytes of the longest record.
pub const RECORD_LEN_MAX: usize = HEADER_LEN + BODY_LEN_MAX + SIGNATURE_LEN;
/// What is signed begins with this, so that no signature of another kind can stand in for one.
const DOMAIN: &[u8] = b"proa overlay v1 link state";

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The origin's links; the index counts pieces.
    Links = 1,
    /// The paths of a set, planned by its owner; the index is the edge region's.
    Plan = 2,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        [Kind::Links, Kind::Plan].into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// Names what a node says of one thing; of each there is one newest record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Who says it.
    pub origin: NodeId,
    /// About what.
    pub kind: Kind,
    /// Which of several.
    pub index: u16,
}

impl Key {
    /// Bytes of a key in messages.
    pub(super) const LEN: usize = 5;

    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend(self.origin.0.to_be_bytes());
        bytes.push(self.kind as u8);
        bytes.extend(self.index.to_be_bytes());
    }

    pub(super) fn read(bytes: &[u8; Key::LEN]) -> Option<Key> {
        let [o0, o1, kind, i0, i1] = *bytes;
        let (origin, index) = (u16::from_be_bytes([o0, o1]), u16::from_be_bytes([i0, i1]));
        Some(Key { origin: NodeId(origin), kind: Kind::of(kind)?, index })
    }
}

/// A record as it was read: its bytes, and what stands in its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// What it is about.
    pub key: Key,
    /// Which is the newest is told by this.
    pub sequence: u64,
    /// The overlay's number.
    pub overlay_id: u32,
    /// What is said.
    pub body: &'a [u8],
    /// All of it.
    pub bytes: &'a [u8],
    signature: Option<&'a [u8; SIGNATURE_LEN]>,
}

impl<'a> Record<'a> {
    /// Reads a record that fills these bytes; none for anything else. No signature is verified.
    pub fn parse(bytes: &'a [u8]) -> Option<Record<'a>> {
        let (header, rest) = bytes.split_first_chunk::<HEADER_LEN>()?;
        let [kind, signed, l0, l1, v0, v1, v2, v3, o0, o1, i0, i1, sequence @ ..] = *header;
        let body_len = usize::from(u16::from_be_bytes([l0, l1]));
        if body_len > BODY_LEN_MAX {
            return None;
        }
        let (body, behind) = rest.split_at_checked(body_len)?;
        let signature = match (signed, behind.len()) {
            (0, 0) => None,
            (1, SIGNATURE_LEN) => behind.first_chunk(),
            _ => return None,
        };
        let key = Key {
            origin: NodeId(u16::from_be_bytes([o0, o1])),
            kind: Kind::of(kind)?,
            index: u16::from_be_bytes([i0, i1]),
        };
        let overlay_id = u32::from_be_bytes([v0, v1, v2, v3]);
        Some(Record { key, sequence: u64::from_be_bytes(sequence), overlay_id, body, bytes, signature })
    }

    /// Whether it bears a signature.
    pub fn is_signed(&self) -> bool {
        self.signature.is_some()
    }

    /// Whether this identity signed it.
    pub fn is_signed_by(&self, identity: &PublicIdentity) -> bool {
        let Some(signature) = self.signature else { return false };
        let signed = self.bytes.len() - SIGNATURE_LEN;
        let message = [DOMAIN, self.bytes.get(..signed).unwrap_or_default()].concat();
        identity.verify(&message, signature)
    }
}

/// A new record's bytes; none where the body is too long.
pub fn write(
    overlay_id: u32,
    key: Key,
    sequence: u64,
    body: &[u8],
    identity: Option<&Identity>,
) -> Option<Vec<u8>> {
    let len = u16::try_from(body.len()).ok().filter(|len| usize::from(*len) <= BODY_LEN_MAX)?;
    let mut bytes = Vec::with_capacity(HEADER_LEN + body.len() + SIGNATURE_LEN);
    bytes.extend([key.kind as u8, identity.is_some().into()]);
    bytes.extend(len.to_be_bytes());
    bytes.extend(overlay_id.to_be_bytes());
    bytes.extend(key.origin.0.to_be_bytes());
    bytes.extend(key.index.to_be_bytes());
    bytes.extend(sequence.to_be_bytes());
    bytes.extend(body);
    if let Some(identity) = identity {
        let signature = identity.sign(&[DOMAIN, &bytes].concat());
        bytes.extend(signature);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key { origin: NodeId(0x0102), kind: Kind::Links, index: 3 };

    #[test]
    fn what_is_written_is_read_and_every_byte_is_signed() {
        let [ours, other] = [1, 2].map(|seed| Identity::from_seed(&[seed; 32]).unwrap());
        let bytes = write(7, KEY, 9, b"body", Some(&ours)).unwrap();
        let record = Record::parse(&bytes).unwrap();
        assert_eq!((record.key, record.sequence, record.overlay_id, record.body), (KEY, 9, 7, &b"body"[..]));
        assert!(record.is_signed() && record.is_signed_by(&ours.public()));
        assert!(!record.is_signed_by(&other.public()));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x10;
            assert!(
                !Record::parse(&changed).is_some_and(|record| record.is_signed_by(&ours.public())),
                "{at}"
            );
        }
        let open = write(7, KEY, 9, b"body", None).unwrap();
        assert!(!Record::parse(&open).unwrap().is_signed_by(&ours.public()));
    }

    #[test]
    fn lengths_that_lie_are_no_record() {
        let bytes = write(7, KEY, 9, &[5; BODY_LEN_MAX], None).unwrap();
        assert!(Record::parse(&bytes).is_some());
        for cut in 0..bytes.len() {
            assert_eq!(Record::parse(&bytes[..cut]), None);
        }
        assert_eq!(Record::parse(&[&bytes[..], &[0]].concat()), None);
        assert_eq!(write(7, KEY, 9, &[5; BODY_LEN_MAX + 1], None), None);
        let mut kind = bytes.clone();
        kind[0] = 9;
        assert_eq!(Record::parse(&kind), None);
    }

    #[test]
    fn keys_are_read_as_written() {
        let mut bytes = Vec::new();
        KEY.write(&mut bytes);
        assert_eq!(Key::read(bytes.first_chunk().unwrap()), Some(KEY));
        assert_eq!(bytes, [1, 2, 1, 0, 3]);
    }
}
