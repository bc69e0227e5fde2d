//! What gateways and voters say to each other about blocks, as bytes: one UDP datagram, always of the same length.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |   version 1   |     kind      |            sender             |  0
//! |                          overlay id                           |  4
//! |           receiver            |      the first gateway        |  8
//! |                        digest of the pair                     | 12
//! |                                                               | 16
//! |                      life of the gateway                      | 20
//! |                                                               | 24
//! |                    stamp of the gateway's clock               | 28
//! |                                                               | 32
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |     flags     |       0       |            holder             | 36  block of the first gateway,
//! |                           revision                            | 40  and again for the second's
//! |                                                               | 44
//! |         holder before         |               0               | 48
//! |                       revision before                         | 52
//! |                                                               | 56
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |           Ed25519 signature, where the sender has a key       | 84
//! ```

use crate::keys::{Identity, PublicIdentity};
use crate::topology::NodeId;

/// UDP port of messages about blocks, at both ends.
pub const PORT: u16 = 4797;

/// Bytes of a message without its signature.
pub const MESSAGE_LEN: usize = 84;
const SIGNATURE_LEN: usize = 64;
const VERSION: u8 = 1;
const ITEMS_AT: usize = 36;
const ITEM_LEN: usize = 24;
/// What is signed begins with this, so that no signature is taken for one of another kind.
const DOMAIN: &[u8] = b"proa lease v1";

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A gateway tells what it holds and wishes.
    Ask,
    /// A voter answers.
    Answer,
}

/// What is said of one block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Item {
    /// Of [`Item::HELD`] and its like.
    pub flags: u8,
    /// Ask: the sender, or 0 where it names no revision. Answer: whom the voter has promised the block to last.
    pub holder: NodeId,
    /// Of the tenure that is asked for, or promised.
    pub revision: u64,
    /// Answer: whom the voter had promised the block to before that.
    pub before: (NodeId, u64),
}

impl Item {
    /// Ask: the gateway translates this block.
    pub const HELD: u8 = 1;
    /// Ask: the gateway wants the promise, for the first time or once more.
    pub const WISH: u8 = 2;
    /// Ask: the gateway has stopped, and lets go of its promise.
    pub const RELEASED: u8 = 4;
    /// Ask: the gateway, whose home the block is, wants it back.
    pub const BACK: u8 = 8;
    /// Ask: the gateway drains, and wants no block.
    pub const DRAINING: u8 = 16;
    /// Answer: the wish is granted.
    pub const GRANTED: u8 = 32;

    /// Whether a flag is set.
    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// A message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message {
    /// Which way it goes.
    pub kind: Kind,
    /// Who says it.
    pub from: NodeId,
    /// To whom.
    pub to: NodeId,
    /// The first gateway of the pair, which names it.
    pub pair: NodeId,
    /// Of all that both ends must know alike.
    pub digest: u64,
    /// When the gateway started, milliseconds since 1970; an answer has its ask's.
    pub life: u64,
    /// The gateway's clock as it asked; an answer has its ask's.
    pub stamp: u64,
    /// Of the blocks of the first gateway and of the second.
    pub items: [Item; 2],
}

impl Message {
    /// The bytes, signed where there is an identity.
    pub fn to_bytes(&self, overlay_id: u32, identity: Option<&Identity>) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(MESSAGE_LEN + SIGNATURE_LEN);
        bytes.extend([VERSION, (self.kind == Kind::Answer) as u8 + 1]);
        bytes.extend(self.from.0.to_be_bytes());
        bytes.extend(overlay_id.to_be_bytes());
        bytes.extend(self.to.0.to_be_bytes());
        bytes.extend(self.pair.0.to_be_bytes());
        for number in [self.digest, self.life, self.stamp] {
            bytes.extend(number.to_be_bytes());
        }
        for item in &self.items {
            bytes.extend([item.flags, 0]);
            bytes.extend(item.holder.0.to_be_bytes());
            bytes.extend(item.revision.to_be_bytes());
            bytes.extend(item.before.0.0.to_be_bytes());
            bytes.extend([0, 0]);
            bytes.extend(item.before.1.to_be_bytes());
        }
        if let Some(identity) = identity {
            let signature = identity.sign(&[DOMAIN, &bytes].concat());
            bytes.extend(signature);
        }
        bytes
    }

    /// Reads a message of this overlay; none for anything else. Whether it is signed by who says to be its sender is
    /// for [`is_signed_by`] to tell.
    pub fn parse(bytes: &[u8], overlay_id: u32) -> Option<Message> {
        if bytes.len() != MESSAGE_LEN && bytes.len() != MESSAGE_LEN + SIGNATURE_LEN {
            return None;
        }
        if *bytes.first()? != VERSION || u32::from_be_bytes(field(bytes, 4)?) != overlay_id {
            return None;
        }
        let kind = match *bytes.get(1)? {
            1 => Kind::Ask,
            2 => Kind::Answer,
            _ => return None,
        };
        let node = |at| Some(NodeId(u16::from_be_bytes(field(bytes, at)?)));
        let number = |at| Some(u64::from_be_bytes(field(bytes, at)?));
        let item = |at| {
            Some(Item {
                flags: *bytes.get(at)?,
                holder: node(at + 2)?,
                revision: number(at + 4)?,
                before: (node(at + 12)?, number(at + 16)?),
            })
        };
        Some(Message {
            kind,
            from: node(2)?,
            to: node(8)?,
            pair: node(10)?,
            digest: number(12)?,
            life: number(20)?,
            stamp: number(28)?,
            items: [item(ITEMS_AT)?, item(ITEMS_AT + ITEM_LEN)?],
        })
    }
}

/// Whether the message of these bytes was signed by this identity.
pub fn is_signed_by(bytes: &[u8], identity: &PublicIdentity) -> bool {
    let Some((message, signature)) = bytes.split_last_chunk::<SIGNATURE_LEN>() else { return false };
    message.len() == MESSAGE_LEN && identity.verify(&[DOMAIN, message].concat(), signature)
}

fn field<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message() -> Message {
        let item = |flags, revision| Item {
            flags,
            holder: NodeId(0x0304),
            revision,
            before: (NodeId(9), revision - 1),
        };
        Message {
            kind: Kind::Answer,
            from: NodeId(0x0102),
            to: NodeId(3),
            pair: NodeId(2),
            digest: 0x1122_3344_5566_7788,
            life: 5,
            stamp: u64::MAX,
            items: [item(Item::GRANTED, 7), item(0, u64::MAX)],
        }
    }

    #[test]
    fn what_is_written_is_read_and_every_byte_is_signed() {
        let [ours, other] = [1, 2].map(|seed| Identity::from_seed(&[seed; 32]).unwrap());
        let bytes = message().to_bytes(7, Some(&ours));
        assert_eq!(Message::parse(&bytes, 7), Some(message()));
        assert!(is_signed_by(&bytes, &ours.public()) && !is_signed_by(&bytes, &other.public()));
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 0x40;
            assert!(!is_signed_by(&changed, &ours.public()), "{at}");
        }
    }

    #[test]
    fn other_lengths_versions_kinds_and_overlays_are_none() {
        let bytes = message().to_bytes(7, None);
        assert_eq!((bytes.len(), Message::parse(&bytes, 7)), (MESSAGE_LEN, Some(message())));
        assert_eq!(Message::parse(&bytes, 8), None);
        assert!(!is_signed_by(&bytes, &PublicIdentity([0; 32])));
        for len in 0..bytes.len() {
            assert_eq!(Message::parse(&bytes[..len], 7), None);
        }
        for (at, value) in [(0, 2), (1, 0), (1, 3)] {
            let mut changed = bytes.clone();
            changed[at] = value;
            assert_eq!(Message::parse(&changed, 7), None);
        }
    }
}
