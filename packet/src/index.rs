//! A fixed-capacity hash index: from a seeded hash to the slot of an entry that lives elsewhere.
//!
//! One cache line holds eight places, each a 32-bit tag of the hash and a 32-bit slot number. A look-up reads one
//! line (rarely a second) and can be prefetched, so that a batch overlaps its cache misses. Nothing is allocated
//! after start.

use prefetch_index::prefetch_index;
use wide::u32x8;

const PLACES: usize = 8;

/// One cache line: eight places. Tags stand together, so that all are compared at once, without a branch that
/// depends on where the entry is (a mispredicted one costs more than the comparisons).
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Bucket {
    tags: [u32; PLACES],
    /// The slot's number plus 1; 0 for an empty place.
    slots: [u32; PLACES],
}

impl Bucket {
    const EMPTY: Bucket = Bucket { tags: [0; PLACES], slots: [0; PLACES] };

    /// One bit per place whose tag is this one. Empty places have a tag of 0, which some hashes have too.
    #[inline(always)]
    fn places_of(&self, tag: u32) -> u32 {
        u32x8::new(self.tags).simd_eq(u32x8::splat(tag)).to_bitmask()
    }

    /// The first place with this tag and this content.
    #[inline(always)]
    fn place(&self, tag: u32, mut is_it: impl FnMut(u32) -> bool) -> Option<usize> {
        let mut places = self.places_of(tag);
        while places != 0 {
            let at = places.trailing_zeros() as usize % PLACES;
            if is_it(self.slots[at]) {
                return Some(at);
            }
            places &= places - 1;
        }
        None
    }

    /// Puts an entry in a free place, if there is one.
    #[inline(always)]
    fn put(&mut self, tag: u32, slot: u32) -> bool {
        let Some(at) = self.slots.iter().position(|held| *held == 0) else { return false };
        (self.tags[at], self.slots[at]) = (tag, slot);
        true
    }
}

/// The part of a hash that is kept in the index.
#[inline(always)]
fn tag_of(hash: u64) -> u32 {
    (hash >> 32) as u32
}

/// A hash index over at most [`HashIndex::capacity`] slots.
pub struct HashIndex {
    buckets: Box<[Bucket]>,
    mask: u64,
    len: usize,
    capacity: usize,
}

/// The index has no free place for this hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the hash index is full")]
pub struct Full;

impl HashIndex {
    /// An index for `capacity` slots: half its places stay empty, so that in a bucket or its alternative one can
    /// practically always be found or made before `capacity` is reached. Takes 16 to 32 bytes per slot.
    pub fn new(capacity: usize) -> HashIndex {
        let buckets = (capacity.max(1) * 2).div_ceil(PLACES).next_power_of_two();
        HashIndex {
            buckets: vec![Bucket::EMPTY; buckets].into_boxed_slice(),
            mask: buckets as u64 - 1,
            len: 0,
            capacity,
        }
    }

    /// Slots held.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no slot is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Slots that it was made for.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    #[inline(always)]
    fn first(&self, hash: u64) -> usize {
        (hash & self.mask) as usize
    }

    /// The other bucket of a tag; from it the first is found by the same step.
    #[inline(always)]
    fn other(&self, tag: u32, bucket: usize) -> usize {
        let step = (tag as u64 | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20 | 1;
        (bucket as u64 ^ step & self.mask) as usize
    }

    /// Hints that this hash is looked up soon.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        prefetch_index(&self.buckets, self.first(hash));
    }

    /// The first slot under this hash for which `is_it` says yes.
    #[inline(always)]
    pub fn find(&self, hash: u64, mut is_it: impl FnMut(u32) -> bool) -> Option<u32> {
        let mut is_it = |slot: u32| slot != 0 && is_it(slot - 1);
        let (tag, first) = (tag_of(hash), self.first(hash));
        let bucket = &self.buckets[first];
        if let Some(at) = bucket.place(tag, &mut is_it) {
            return Some(bucket.slots[at] - 1);
        }
        let bucket = &self.buckets[self.other(tag, first)];
        bucket.place(tag, &mut is_it).map(|at| bucket.slots[at] - 1)
    }

    /// The slot of the first place whose tag equals the hash's, without asking the entry: a hint for
    /// prefetching the entry, right except for one look-up in some hundred million.
    #[inline(always)]
    pub fn guess(&self, hash: u64) -> Option<u32> {
        let bucket = &self.buckets[self.first(hash)];
        let at = bucket.places_of(tag_of(hash)).trailing_zeros() as usize;
        bucket.slots.get(at)?.checked_sub(1)
    }

    /// Adds a slot under a hash. The caller has made sure that it is not there yet.
    ///
    /// # Errors
    /// [`Full`] when `capacity` is reached or no place can be made for this hash; nothing is changed.
    pub fn insert(&mut self, hash: u64, slot: u32) -> Result<(), Full> {
        if self.len >= self.capacity || slot == u32::MAX {
            return Err(Full);
        }
        let (tag, first) = (tag_of(hash), self.first(hash));
        let other = self.other(tag, first);
        let slot = slot + 1;
        let put = self.buckets[first].put(tag, slot)
            || self.buckets[other].put(tag, slot)
            || self.put_aside(first, tag, slot)
            || self.put_aside(other, tag, slot);
        self.len += put as usize;
        if put { Ok(()) } else { Err(Full) }
    }

    /// Puts an entry in a full bucket, in the place of one that goes to its own other bucket. Filling a table to
    /// half its places needs this for one insertion in four thousand.
    #[cold]
    fn put_aside(&mut self, bucket: usize, tag: u32, slot: u32) -> bool {
        for at in 0..PLACES {
            let Bucket { tags, slots } = self.buckets[bucket];
            let other = self.other(tags[at], bucket);
            if other != bucket && self.buckets[other].put(tags[at], slots[at]) {
                (self.buckets[bucket].tags[at], self.buckets[bucket].slots[at]) = (tag, slot);
                return true;
            }
        }
        false
    }

    /// Removes a slot that stands under a hash; says whether it was there.
    pub fn remove(&mut self, hash: u64, slot: u32) -> bool {
        let (tag, first) = (tag_of(hash), self.first(hash));
        for bucket in [first, self.other(tag, first)] {
            let bucket = &mut self.buckets[bucket];
            if let Some(at) = bucket.place(tag, |held| held == slot.wrapping_add(1) && held != 0) {
                (bucket.tags[at], bucket.slots[at]) = (0, 0);
                self.len -= 1;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// As good as random (the finalizer of splitmix64): a mere multiplication fills all buckets alike.
    fn spread(key: u64) -> u64 {
        let mut x = key.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    }

    #[test]
    fn holds_its_whole_capacity() {
        for capacity in [1, 1000, 1 << 14, 1 << 17] {
            let mut index = HashIndex::new(capacity);
            for slot in 0..capacity as u32 {
                index.insert(spread(slot as u64), slot).unwrap();
            }
            assert_eq!(index.insert(spread(1 << 40), 7), Err(Full));
            for slot in 0..capacity as u32 {
                assert_eq!(index.find(spread(slot as u64), |found| found == slot), Some(slot));
            }
        }
    }

    proptest! {
        #[test]
        fn behaves_as_a_map(steps in proptest::collection::vec((any::<bool>(), 0u32..64), 0..400)) {
            let mut index = HashIndex::new(64);
            let mut model = HashMap::new();
            for (insert, slot) in steps {
                // Few distinct hashes, so that buckets collide and overflow into their alternatives.
                let hash = spread(slot as u64 % 5);
                if insert && !model.contains_key(&slot) {
                    if index.insert(hash, slot).is_ok() {
                        model.insert(slot, hash);
                    }
                } else {
                    prop_assert_eq!(index.remove(hash, slot), model.remove(&slot).is_some());
                }
                prop_assert_eq!(index.len(), model.len());
                for (slot, hash) in &model {
                    prop_assert_eq!(index.find(*hash, |found| found == *slot), Some(*slot));
                }
            }
        }
    }
}
