//! Seals and opens inner packets in place: AES-256-GCM (NIST SP 800-38D) with 128-bit tags.

use super::shared::{Shared, Template, nonce};
use super::{SEQUENCE_MAX, TAG_LEN};
use crate::keys::{DirectionKeys, End, pair_name};
use crate::wire::Order;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use packet::Reason;

/// The key of one direction, made ready.
struct Context {
    key: LessSafeKey,
    salt: [u8; 12],
    template: Template,
}

/// Seals packets to one node under one pair of epochs.
pub struct Sealer(Context);

/// Opens packets of one node under one pair of epochs.
pub struct Opener(Context);

impl Context {
    fn new(keys: &DirectionKeys, overlay_id: u32, from: &End, to: &End) -> Option<Context> {
        let key = UnboundKey::new(&AES_256_GCM, &keys.seal).ok().map(LessSafeKey::new)?;
        let epoch = pair_name(from.epoch, to.epoch);
        let template = Template::new(overlay_id, from.node, to.node, epoch);
        Some(Context { key, salt: keys.salt, template })
    }
}

impl Sealer {
    /// For packets from one end to the other; `None` where the library fails.
    pub fn new(keys: &DirectionKeys, overlay_id: u32, from: &End, to: &End) -> Option<Sealer> {
        Context::new(keys, overlay_id, from, to).map(Sealer)
    }

    /// What the header's key epoch must say.
    #[inline(always)]
    pub fn epoch(&self) -> u8 {
        self.0.template.epoch()
    }

    /// Seals an inner packet in place and returns the tag, which goes behind it.
    ///
    /// The caller's part of the bargain: one stream's numbers never repeat while this process runs, a reload of the
    /// configuration included. (A process that starts again has other keys.)
    ///
    /// # Errors
    /// [`Reason::OverlayNoKey`] where the sequence is beyond [`SEQUENCE_MAX`], or the library fails.
    #[inline]
    pub fn seal(&self, shared: &Shared, inner: &mut [u8]) -> Result<[u8; TAG_LEN], Reason> {
        self.seal_over(shared, self.0.template.fill(shared), inner)
    }

    /// The same for a packet with a place in its flow, which is covered as well.
    ///
    /// # Errors
    /// As [`Sealer::seal`].
    pub fn seal_ordered(
        &self,
        shared: &Shared,
        order: Order,
        inner: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Reason> {
        self.seal_over(shared, self.0.template.fill_ordered(shared, order), inner)
    }

    #[inline(always)]
    fn seal_over(
        &self,
        shared: &Shared,
        data: impl AsRef<[u8]>,
        inner: &mut [u8],
    ) -> Result<[u8; TAG_LEN], Reason> {
        if shared.sequence > SEQUENCE_MAX {
            return Err(Reason::OverlayNoKey);
        }
        let Context { key, salt, .. } = &self.0;
        let nonce = Nonce::assume_unique_for_key(nonce(salt, shared));
        let tag = key
            .seal_in_place_separate_tag(nonce, Aad::from(data), inner)
            .map_err(|_| Reason::OverlayNoKey)?;
        tag.as_ref().try_into().map_err(|_| Reason::OverlayNoKey)
    }
}

impl Opener {
    /// For packets from one end to the other; `None` where the library fails.
    pub fn new(keys: &DirectionKeys, overlay_id: u32, from: &End, to: &End) -> Option<Opener> {
        Context::new(keys, overlay_id, from, to).map(Opener)
    }

    /// The name of the epochs that it is for.
    #[inline(always)]
    pub fn epoch(&self) -> u8 {
        self.0.template.epoch()
    }

    /// Opens a sealed inner packet, tag included, in place. Returns the inner packet's length, bytes; behind it is what
    /// was the tag. Only now may the packet's number be marked in its window.
    ///
    /// # Errors
    /// [`Reason::OverlayForged`] where the seal does not hold, or the sequence is beyond [`SEQUENCE_MAX`]; what is in
    /// the buffer then is nothing to read.
    #[inline]
    pub fn open(&self, shared: &Shared, sealed: &mut [u8]) -> Result<usize, Reason> {
        self.open_over(shared, self.0.template.fill(shared), sealed)
    }

    /// The same for a packet with a place in its flow.
    ///
    /// # Errors
    /// As [`Opener::open`], also where it was sealed with another place or none.
    pub fn open_ordered(&self, shared: &Shared, order: Order, sealed: &mut [u8]) -> Result<usize, Reason> {
        self.open_over(shared, self.0.template.fill_ordered(shared, order), sealed)
    }

    #[inline(always)]
    fn open_over(&self, shared: &Shared, data: impl AsRef<[u8]>, sealed: &mut [u8]) -> Result<usize, Reason> {
        if shared.sequence > SEQUENCE_MAX {
            return Err(Reason::OverlayForged);
        }
        let Context { key, salt, .. } = &self.0;
        let nonce = Nonce::assume_unique_for_key(nonce(salt, shared));
        key.open_in_place(nonce, Aad::from(data), sealed)
            .map(|inner| inner.len())
            .map_err(|_| Reason::OverlayForged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Epoch, derive};
    use crate::topology::{IpVersion, NodeId};
    use proptest::prelude::*;

    fn ends() -> (End, End) {
        let end = |node| End { node: NodeId(node), epoch: Epoch(node as u64), public: [node as u8; 32] };
        (end(1), end(2))
    }

    fn pair() -> (Sealer, Opener) {
        let (from, to) = ends();
        let keys = derive(&[3; 32], 1, &from, &to).unwrap();
        (Sealer::new(&keys, 1, &from, &to).unwrap(), Opener::new(&keys, 1, &from, &to).unwrap())
    }

    fn shared() -> Shared {
        Shared { protocol: 2, inner: IpVersion::V4, stream: 0x0305, sequence: 77 << 40 }
    }

    fn sealed(sealer: &Sealer, inner: &[u8]) -> Vec<u8> {
        let mut bytes = inner.to_vec();
        let tag = sealer.seal(&shared(), &mut bytes).unwrap();
        bytes.extend(tag);
        bytes
    }

    #[test]
    fn every_shared_field_is_covered() {
        let (sealer, opener) = pair();
        let bytes = sealed(&sealer, b"an inner packet");
        let good = shared();
        let others = [
            Shared { protocol: 3, ..good },
            Shared { inner: IpVersion::V6, ..good },
            Shared { stream: 0x0306, ..good },
            Shared { sequence: good.sequence + 1, ..good },
        ];
        for other in others {
            assert_eq!(opener.open(&other, &mut bytes.clone()), Err(Reason::OverlayForged), "{other:?}");
        }
        assert_eq!(opener.open(&good, &mut bytes.clone()), Ok(15));
        assert_eq!(sealer.epoch(), 0x12);
        // The other direction's keys do not open it.
        let (from, to) = ends();
        let keys = derive(&[3; 32], 1, &to, &from).unwrap();
        let back = Opener::new(&keys, 1, &to, &from).unwrap();
        assert_eq!(back.open(&good, &mut bytes.clone()), Err(Reason::OverlayForged));
    }

    #[test]
    fn a_place_in_a_flow_is_covered_and_can_not_be_taken_off() {
        let (sealer, opener) = pair();
        let order = Order { flow: 7, back: 1 };
        let mut bytes = b"an inner packet".to_vec();
        let tag = sealer.seal_ordered(&shared(), order, &mut bytes).unwrap();
        bytes.extend(tag);
        for other in [Order { flow: 8, ..order }, Order { back: 0, ..order }] {
            let opened = opener.open_ordered(&shared(), other, &mut bytes.clone());
            assert_eq!(opened, Err(Reason::OverlayForged), "{other:?}");
        }
        assert_eq!(opener.open(&shared(), &mut bytes.clone()), Err(Reason::OverlayForged));
        let mut without = sealed(&sealer, b"an inner packet");
        let none = Order::default();
        assert_eq!(opener.open_ordered(&shared(), none, &mut without), Err(Reason::OverlayForged));
        assert_eq!(opener.open_ordered(&shared(), order, &mut bytes), Ok(15));
    }

    #[test]
    fn the_counter_ends_before_it_wraps() {
        let (sealer, opener) = pair();
        let at = |sequence| Shared { sequence, ..shared() };
        assert!(sealer.seal(&at(SEQUENCE_MAX), &mut [1; 20]).is_ok());
        assert_eq!(sealer.seal(&at(SEQUENCE_MAX + 1), &mut [1; 20]), Err(Reason::OverlayNoKey));
        assert_eq!(opener.open(&at(u64::MAX), &mut [1; 40]), Err(Reason::OverlayForged));
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_and_no_changed_bit_does(
            inner in proptest::collection::vec(any::<u8>(), 0..200),
            place in any::<prop::sample::Index>(),
        ) {
            let (sealer, opener) = pair();
            let bytes = sealed(&sealer, &inner);
            let mut opened = bytes.clone();
            let len = opener.open(&shared(), &mut opened).unwrap();
            prop_assert_eq!(&opened[..len], &inner[..]);
            let mut spoilt = bytes.clone();
            let bit = place.index(bytes.len() * 8);
            spoilt[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(opener.open(&shared(), &mut spoilt), Err(Reason::OverlayForged));
            let mut short = bytes[..place.index(bytes.len())].to_vec();
            prop_assert_eq!(opener.open(&shared(), &mut short), Err(Reason::OverlayForged));
        }
    }
}
