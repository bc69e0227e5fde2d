//! The hop authenticator: 64 bits that only the two nodes of a link can make, one key for each direction.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |routing protoc.|   hop limit   |IP version 4, 6|   key epoch   |  0
//! |          source node          |       destination node        |  4
//! |           stream              |             path              |  8
//! |     length of the payload     |   link epoch  |copies |version| 12
//! |                           sequence                            | 16
//! |                                                               | 20
//! |                 last 16 bytes of the payload                  | 24
//! |                 (the tag, where it is sealed)                 | 36
//! |                 path sequence                 |                 40
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! SipHash-2-4 over these 43 bytes (the last three cost nothing: they share the block of the length), and over the data of
//! the packet's extensions behind them, if it has any: a pseudo-random function made for short inputs, with a 128-bit key and 64 bits of
//! output. Being one, it needs no nonce: a replayed or twice forwarded packet costs the key nothing. The tag stands
//! for the whole sealed packet, so an intermediate's work does not grow with the packet. The overlay's number is
//! bound by the key; the source and destination nodes are those of the packet, not of the link.

use crate::topology::IpVersion;
use crate::wire::{COPIES_MASK, Header, VERSION};
use core::hash::Hasher;
use siphasher::sip::SipHasher24;
use zeroize::Zeroize;

/// Bytes of the payload's end that the authenticator covers.
pub const TAIL_LEN: usize = 16;

/// The key of one direction of a link, for one pair of epochs; cleared when dropped.
pub struct HopKey {
    key: [u8; 16],
    epoch: u8,
}

/// What of a packet is authenticated, beside its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// Bytes behind the overlay's header: the inner packet, with its tag if it is sealed.
    pub payload_len: u16,
    /// Their last 16; see [`tail`].
    pub tail: [u8; TAIL_LEN],
}

/// What is authenticated of a payload; `None` where it is shorter than any IP header, or too long for a datagram.
#[inline(always)]
pub fn tail(payload: &[u8]) -> Option<Hop> {
    let tail = *payload.last_chunk()?;
    Some(Hop { payload_len: u16::try_from(payload.len()).ok()?, tail })
}

impl HopKey {
    /// The key of a direction whose epochs have this name.
    pub fn new(key: [u8; 16], epoch: u8) -> HopKey {
        HopKey { key, epoch }
    }

    /// What the header's link epoch must say.
    #[inline(always)]
    pub fn epoch(&self) -> u8 {
        self.epoch
    }

    /// The authenticator of a packet as it goes over the link: with the hop limit that it has there.
    #[inline(always)]
    pub fn authenticator(&self, header: &Header, hop: &Hop) -> u64 {
        SipHasher24::new_with_key(&self.key).hash(&self.input(header, hop))
    }

    /// The same for a packet with extensions; `extensions` is what is covered of them, and comes last.
    pub fn authenticator_over(&self, header: &Header, hop: &Hop, extensions: &[u8]) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&self.input(header, hop));
        hasher.write(extensions);
        hasher.finish()
    }

    #[inline(always)]
    fn input(&self, header: &Header, hop: &Hop) -> [u8; 43] {
        let version = match header.inner {
            IpVersion::V4 => 4,
            IpVersion::V6 => 6,
        };
        let route = (header.protocol as u64) << 56
            | (header.hop_limit as u64) << 48
            | version << 40
            | (header.epoch as u64) << 32
            | (header.source.0 as u64) << 16
            | header.destination.0 as u64;
        let stream = (header.stream as u64) << 48
            | (header.path.0 as u64) << 32
            | (hop.payload_len as u64) << 16
            | (self.epoch as u64) << 8
            | ((header.copies & COPIES_MASK) as u64) << 4
            | VERSION as u64;
        let mut input = [0; 43];
        input[..8].copy_from_slice(&route.to_be_bytes());
        input[8..16].copy_from_slice(&stream.to_be_bytes());
        input[16..24].copy_from_slice(&header.sequence.to_be_bytes());
        input[24..40].copy_from_slice(&hop.tail);
        input[40..].copy_from_slice(&header.path_sequence.to_be_bytes()[1..]);
        input
    }

    /// Whether the header's authenticator is the right one. Takes the same time for every wrong one.
    #[inline(always)]
    pub fn check(&self, header: &Header, hop: &Hop) -> bool {
        self.authenticator(header, hop) ^ header.authenticator == 0
    }
}

impl Drop for HopKey {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{NodeId, PathId};
    use proptest::prelude::*;

    fn header() -> Header {
        Header {
            vni: 1,
            inner: IpVersion::V4,
            protocol: 2,
            copies: 2,
            hop_limit: 8,
            source: NodeId(1),
            destination: NodeId(4),
            authenticator: 0,
            stream: 7,
            path: PathId(2),
            epoch: 0x12,
            path_sequence: 0xabcdef,
            sequence: 1 << 60,
        }
    }

    fn hop() -> Hop {
        tail(&[5; 100]).unwrap()
    }

    #[test]
    fn every_field_but_the_overlay_s_number_is_covered() {
        let key = HopKey::new([9; 16], 0x34);
        let good = header();
        let value = key.authenticator(&good, &hop());
        let others = [
            Header { inner: IpVersion::V6, ..good },
            Header { protocol: 3, ..good },
            Header { copies: 3, ..good },
            Header { hop_limit: 7, ..good },
            Header { source: NodeId(2), ..good },
            Header { destination: NodeId(5), ..good },
            Header { stream: 8, ..good },
            Header { path: PathId(3), ..good },
            Header { epoch: 0x13, ..good },
            Header { path_sequence: 0xabcdee, ..good },
            Header { path_sequence: 0x2bcdef, ..good },
            Header { sequence: good.sequence + 1, ..good },
        ];
        for other in others {
            assert_ne!(key.authenticator(&other, &hop()), value, "{other:?}");
        }
        assert_ne!(key.authenticator(&good, &tail(&[5; 101]).unwrap()), value);
        let mut payload = [5; 100];
        payload[84] = 6;
        assert_ne!(key.authenticator(&good, &tail(&payload).unwrap()), value);
        assert_ne!(HopKey::new([8; 16], 0x34).authenticator(&good, &hop()), value);
        assert_ne!(HopKey::new([9; 16], 0x35).authenticator(&good, &hop()), value);
        // What stands in the field is no input of it.
        assert_eq!(key.authenticator(&Header { authenticator: value, ..good }, &hop()), value);
    }

    #[test]
    fn extensions_are_covered_and_none_change_nothing() {
        let key = HopKey::new([9; 16], 0x34);
        let over = |extensions: &[u8]| key.authenticator_over(&header(), &hop(), extensions);
        assert_eq!(over(&[]), key.authenticator(&header(), &hop()));
        assert_ne!(over(&[0]), over(&[]));
        assert_ne!(over(&[1, 0, 0, 0, 0, 11]), over(&[1, 1, 0, 0, 0, 11]));
    }

    #[test]
    fn payloads_that_are_none() {
        assert_eq!(tail(&[0; TAIL_LEN - 1]), None);
        assert_eq!(tail(&[0; 1 << 16]), None);
        assert_eq!(tail(&[0; 65535]).map(|hop| hop.payload_len), Some(65535));
    }

    proptest! {
        #[test]
        fn only_the_right_authenticator_passes(key: [u8; 16], wrong in 1u64..) {
            let key = HopKey::new(key, 0x11);
            let right = key.authenticator(&header(), &hop());
            let checked = |value| key.check(&Header { authenticator: value, ..header() }, &hop());
            prop_assert!(checked(right));
            prop_assert!(!checked(right ^ wrong));
        }
    }
}
