//! What neighbours say to each other about link state, as bytes: one UDP datagram with items.
//!
//! ```text
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |   version 1   |       0       |            sender             |  0
//! |                          overlay id                           |  4
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |     type      |       0       |     length of the value       |  8  and again for each item
//! |                            value                              |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |        prefilter, 8 bytes, where the receiver has a key       |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//!
//!  type 1, record:           age, ms, u32 | record
//!  type 2, acknowledgement:  key | sequence, u64; one or more of them
//!  type 3, summary:          key | key | of each record held behind the first and up to the second: key | sequence
//!
//!  key: origin, u16 | kind, u8 | index, u16
//! ```
//!
//! The prefilter is that of messages about keys.

use super::record::Key;
use crate::keys::{PublicIdentity, prefilter};
use crate::topology::NodeId;

/// UDP port of messages about link state, at both ends.
pub const PORT: u16 = 4796;
/// Bytes of the longest message: with all headers it fits IPv6's least MTU.
pub const MESSAGE_LEN_MAX: usize = 1200;
const VERSION: u8 = 1;
const HEADER_LEN: usize = 8;
const ITEM_LEN: usize = 4;
const PREFILTER_LEN: usize = 8;
const RECORD: u8 = 1;
const ACKNOWLEDGEMENT: u8 = 2;
const SUMMARY: u8 = 3;
/// Bytes of a key with a sequence.
const ENTRY_LEN: usize = Key::LEN + 8;

/// A key with the sequence of its newest record.
pub type Entry = (Key, u64);

/// A piece of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A record, as old as this when it was sent.
    Record {
        /// Milliseconds since its origin made it.
        age_ms: u32,
        /// [`Record::parse`](super::Record::parse) reads it.
        record: &'a [u8],
    },
    /// The sender has these.
    Acknowledgement(Entries<'a>),
    /// What the sender holds behind a key and up to another.
    Summary {
        /// Everything listed comes after this.
        after: Key,
        /// The last key that is spoken for.
        last: Key,
        /// What is held.
        entries: Entries<'a>,
    },
}

/// Keys with sequences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entries<'a>(&'a [u8]);

impl Entries<'_> {
    /// One after the other; those whose kind is not known are left out.
    pub fn iter(&self) -> impl Iterator<Item = Entry> + '_ {
        self.0.chunks_exact(ENTRY_LEN).filter_map(|entry| {
            let (key, sequence) = entry.split_first_chunk::<{ Key::LEN }>()?;
            Some((Key::read(key)?, u64::from_be_bytes(*sequence.first_chunk()?)))
        })
    }
}

/// A message that was read: who says to be its sender, and its items.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The sender, by its own word.
    pub from: NodeId,
    items: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a message of this overlay to a node of this identity, if it has one; none for anything else. Every item's length is
    /// checked.
    pub fn parse(bytes: &'a [u8], overlay_id: u32, receiver: Option<&PublicIdentity>) -> Option<Message<'a>> {
        let bytes = match receiver {
            None => bytes,
            Some(receiver) => {
                let (before, last) = bytes.split_last_chunk::<PREFILTER_LEN>()?;
                (prefilter(receiver, before) == u64::from_be_bytes(*last)).then_some(before)?
            }
        };
        let (header, items) = bytes.split_first_chunk::<HEADER_LEN>()?;
        let [version, _, f0, f1, overlay @ ..] = *header;
        if version != VERSION || u32::from_be_bytes(overlay) != overlay_id || bytes.len() > MESSAGE_LEN_MAX {
            return None;
        }
        let message = Message { from: NodeId(u16::from_be_bytes([f0, f1])), items };
        let (mut left, mut at) = (items, message.items());
        // Read once to the end, so that nothing of a message that lies is believed.
        while at.next().is_some() {
            left = at.left;
        }
        left.is_empty().then_some(message)
    }

    /// Its items; those of types that are not known are left out.
    pub fn items(&self) -> Items<'a> {
        Items { left: self.items }
    }
}

/// The items of a message.
#[derive(Clone, Copy, Debug)]
pub struct Items<'a> {
    left: &'a [u8],
}

impl<'a> Iterator for Items<'a> {
    type Item = Option<Item<'a>>;

    /// The next item, `Some(None)` for one of a type that is not known; ends at the first whose length lies.
    fn next(&mut self) -> Option<Option<Item<'a>>> {
        let (header, rest) = self.left.split_first_chunk::<ITEM_LEN>()?;
        let [kind, _, l0, l1] = *header;
        let (value, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
        let item = match kind {
            RECORD => {
                let (age, record) = value.split_first_chunk::<4>()?;
                Some(Item::Record { age_ms: u32::from_be_bytes(*age), record })
            }
            ACKNOWLEDGEMENT => Some(Item::Acknowledgement(entries(value)?)),
            SUMMARY => {
                let (after, value) = value.split_first_chunk::<{ Key::LEN }>()?;
                let (last, value) = value.split_first_chunk::<{ Key::LEN }>()?;
                let (after, last) = (bound(after), bound(last));
                Some(Item::Summary { after: after?, last: last?, entries: entries(value)? })
            }
            _ => None,
        };
        self.left = rest;
        Some(item)
    }
}

fn entries(value: &[u8]) -> Option<Entries<'_>> {
    value.len().is_multiple_of(ENTRY_LEN).then_some(Entries(value))
}

fn bound(bytes: &[u8; Key::LEN]) -> Option<Key> {
    Key::read(bytes)
}

/// A message that is being put together.
pub struct Writer {
    bytes: Vec<u8>,
}

impl Writer {
    /// An empty message.
    pub fn new(overlay_id: u32, from: NodeId) -> Writer {
        let mut bytes = Vec::with_capacity(MESSAGE_LEN_MAX);
        bytes.extend([VERSION, 0]);
        bytes.extend(from.0.to_be_bytes());
        bytes.extend(overlay_id.to_be_bytes());
        Writer { bytes }
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.bytes.len() == HEADER_LEN
    }

    /// Bytes that an item's value may still have.
    fn room(&self) -> usize {
        MESSAGE_LEN_MAX.saturating_sub(self.bytes.len() + ITEM_LEN + PREFILTER_LEN)
    }

    /// Entries that a summary or acknowledgement may still have.
    pub fn entries_max(&self) -> usize {
        self.room().saturating_sub(2 * Key::LEN) / ENTRY_LEN
    }

    /// Adds a record; `false` where it does not fit.
    pub fn record(&mut self, age_ms: u32, record: &[u8]) -> bool {
        let fits = 4 + record.len() <= self.room();
        if fits {
            self.item(RECORD, &[&age_ms.to_be_bytes(), record]);
        }
        fits
    }

    /// Adds acknowledgements, no more than [`Writer::entries_max`].
    pub fn acknowledgements(&mut self, entries: &[Entry]) {
        self.item(ACKNOWLEDGEMENT, &[&listed(entries)]);
    }

    /// Adds a summary of at most [`Writer::entries_max`] entries.
    pub fn summary(&mut self, after: Key, last: Key, entries: &[Entry]) {
        let mut range = Vec::with_capacity(2 * Key::LEN);
        after.write(&mut range);
        last.write(&mut range);
        self.item(SUMMARY, &[&range, &listed(entries)]);
    }

    fn item(&mut self, kind: u8, parts: &[&[u8]]) {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.bytes.extend([kind, 0]);
        self.bytes.extend((len as u16).to_be_bytes());
        parts.iter().for_each(|part| self.bytes.extend(*part));
    }

    /// The message for a node of this identity, if it has one.
    pub fn finish(mut self, receiver: Option<&PublicIdentity>) -> Vec<u8> {
        if let Some(receiver) = receiver {
            let value = prefilter(receiver, &self.bytes);
            self.bytes.extend(value.to_be_bytes());
        }
        self.bytes
    }
}

fn listed(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(entries.len() * ENTRY_LEN);
    for (key, sequence) in entries {
        key.write(&mut bytes);
        bytes.extend(sequence.to_be_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::super::record::{Kind, RECORD_LEN_MAX};
    use super::*;
    use crate::keys::Identity;
    use proptest::prelude::*;

    const KEY: Key = Key { origin: NodeId(5), kind: Kind::Links, index: 0 };

    fn message() -> Writer {
        let mut writer = Writer::new(7, NodeId(3));
        writer.acknowledgements(&[(KEY, 9)]);
        writer.summary(KEY, KEY, &[(KEY, 8), (KEY, 7)]);
        assert!(writer.record(250, b"record"));
        writer
    }

    #[test]
    fn items_are_read_as_written() {
        let identity = Identity::from_seed(&[1; 32]).unwrap().public();
        for receiver in [None, Some(&identity)] {
            let bytes = message().finish(receiver);
            let read = Message::parse(&bytes, 7, receiver).unwrap();
            let items: Vec<Item> = read.items().flatten().collect();
            assert_eq!(read.from, NodeId(3));
            let [Item::Acknowledgement(acks), Item::Summary { after, last, entries }, record] = items[..]
            else {
                panic!("{items:?}");
            };
            assert_eq!(acks.iter().collect::<Vec<_>>(), [(KEY, 9)]);
            assert_eq!((after, last), (KEY, KEY));
            assert_eq!(entries.iter().collect::<Vec<_>>(), [(KEY, 8), (KEY, 7)]);
            assert_eq!(record, Item::Record { age_ms: 250, record: b"record" });
            assert!(Message::parse(&bytes, 8, receiver).is_none());
            for cut in 1..bytes.len() {
                let left = Message::parse(&bytes[..cut], 7, receiver);
                assert!(left.is_none_or(|left| left.items().count() < 3));
            }
        }
        let forged = message().finish(None);
        assert!(Message::parse(&forged, 7, Some(&identity)).is_none());
    }

    #[test]
    fn the_longest_record_fits_and_nothing_longer_than_a_message_does() {
        let identity = Identity::from_seed(&[1; 32]).unwrap().public();
        let mut writer = Writer::new(7, NodeId(3));
        assert!(writer.record(0, &[0; RECORD_LEN_MAX]));
        assert!(!writer.record(0, &[0; 100]));
        assert!(writer.finish(Some(&identity)).len() <= MESSAGE_LEN_MAX);
        let mut writer = Writer::new(7, NodeId(3));
        let most = vec![(KEY, 1); writer.entries_max()];
        writer.summary(KEY, KEY, &most);
        let bytes = writer.finish(Some(&identity));
        assert!(bytes.len() <= MESSAGE_LEN_MAX && Message::parse(&bytes, 7, Some(&identity)).is_some());
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
            at in 0usize..200,
            value: u8,
        ) {
            let _ = Message::parse(&bytes, 7, None);
            let mut good = message().finish(None);
            let at = at % good.len();
            good[at] = value;
            if let Some(message) = Message::parse(&good, 7, None) {
                for item in message.items().flatten() {
                    if let Item::Summary { entries, .. } | Item::Acknowledgement(entries) = item {
                        prop_assert!(entries.iter().count() <= good.len() / ENTRY_LEN);
                    }
                }
            }
        }
    }
}
