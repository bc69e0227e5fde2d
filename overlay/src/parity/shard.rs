//! A packet as the code sees it: how long it is, of what kind, and its bytes.

use crate::wire::{ORDER_DATA_LEN, Order};
use packet::IpVersion;

/// Bytes before a packet in its shard.
pub const SHARD_HEAD: usize = 4;
/// Bytes of a shard at most: a packet of 9216 bytes with its seal and place.
pub const SHARD_MAX: usize = 9216 + SHARD_HEAD + ORDER_DATA_LEN + 16 + 4;

/// The inner packet is IPv6.
const V6: u8 = 0x10;
/// The order option's data stands before the inner packet.
const ORDERED: u8 = 0x20;

/// What a packet's headers would have said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// Version of the inner packet.
    pub version: IpVersion,
    /// Its place in its flow, if it has one.
    pub order: Option<Order>,
}

/// A packet as the code sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard<'a> {
    /// What its headers say.
    pub kind: Kind,
    /// What stands behind its options.
    pub payload: &'a [u8],
}

impl Kind {
    /// Bytes before the payload.
    pub fn head_len(&self) -> usize {
        SHARD_HEAD + if self.order.is_some() { ORDER_DATA_LEN } else { 0 }
    }

    /// What stands before a payload of so many bytes; the array's first [`Kind::head_len`] bytes.
    #[inline]
    pub fn head(&self, payload: usize) -> [u8; SHARD_HEAD + ORDER_DATA_LEN] {
        let mut head = [0; SHARD_HEAD + ORDER_DATA_LEN];
        let mut flags = if self.version == IpVersion::V6 { V6 } else { 0 };
        let mut len = payload as u16;
        if let Some(order) = self.order {
            flags |= ORDERED;
            len += ORDER_DATA_LEN as u16;
            head[SHARD_HEAD..].copy_from_slice(&order.data());
        }
        head[..2].copy_from_slice(&len.to_be_bytes());
        head[2..SHARD_HEAD].copy_from_slice(&[0, flags]);
        head
    }
}

impl<'a> Shard<'a> {
    /// Reads a shard, which may have zeros behind it; `None` where it contradicts itself.
    pub fn read(bytes: &'a [u8]) -> Option<Shard<'a>> {
        let (&[high, low, 0, flags], rest) = bytes.split_first_chunk::<SHARD_HEAD>()? else { return None };
        let (inner, behind) = rest.split_at_checked(usize::from(u16::from_be_bytes([high, low])))?;
        if flags & !(V6 | ORDERED) != 0 || behind.iter().any(|byte| *byte != 0) {
            return None;
        }
        let version = if flags & V6 == 0 { IpVersion::V4 } else { IpVersion::V6 };
        let (order, payload) = match flags & ORDERED {
            0 => (None, inner),
            _ => (Some(Order::read(inner, 0)?), inner.get(ORDER_DATA_LEN..)?),
        };
        Some(Shard { kind: Kind { version, order }, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_layout_in_the_picture() {
        let order = Some(Order { flow: 1, back: 2 });
        let ordered = Kind { version: IpVersion::V6, order };
        assert_eq!(ordered.head(3), [0, 11, 0, 0x30, 0, 0, 0, 1, 0, 0, 0, 2]);
        let plain = Kind { version: IpVersion::V4, order: None };
        assert_eq!(plain.head(0x102)[..plain.head_len()], [1, 2, 0, 0]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(payload: Vec<u8>, zeros in 0usize..9, v6: bool, place: Option<(u32, u32)>) {
            let version = if v6 { IpVersion::V6 } else { IpVersion::V4 };
            let order = place.map(|(flow, back)| Order { flow, back });
            let kind = Kind { version, order };
            let mut bytes = kind.head(payload.len())[..kind.head_len()].to_vec();
            bytes.extend(&payload);
            bytes.extend(vec![0; zeros]);
            prop_assert_eq!(Shard::read(&bytes), Some(Shard { kind, payload: &payload }));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            if let Some(shard) = Shard::read(&bytes) {
                prop_assert!(shard.payload.len() <= bytes.len());
            }
        }
    }
}
