//! A small map from addresses, for the look-ups that every packet makes.
//!
//! The keys are the operator's (this node's addresses, the members'), so they can not be picked to collide: a
//! multiplication spreads them, and a packet from the wire can only miss. Three quarters of the places stay empty.

use packet::Addr;

/// Which value belongs to an address.
pub struct AddressTable<T> {
    /// A power of two of places; an entry lies at its hash's or at one of the next, before any empty one.
    places: Box<[Option<(Addr, T)>]>,
    /// An odd number that nobody outside knows.
    factor: u64,
    shift: u32,
    len: usize,
}

const PLACES_MIN: usize = 16;

impl<T: Copy> AddressTable<T> {
    /// An empty table.
    pub fn new(seed: u64) -> AddressTable<T> {
        AddressTable::with_places(PLACES_MIN, (seed | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn with_places(places: usize, factor: u64) -> AddressTable<T> {
        let shift = u64::BITS - places.ilog2();
        AddressTable { places: (0..places).map(|_| None).collect(), factor, shift, len: 0 }
    }

    #[inline(always)]
    fn place(&self, address: Addr) -> usize {
        let bits = address.to_bits();
        let folded = bits as u64 ^ ((bits >> 64) as u64).rotate_left(31);
        (folded.wrapping_mul(self.factor) >> self.shift) as usize
    }

    /// The value of an address.
    #[inline(always)]
    pub fn get(&self, address: Addr) -> Option<T> {
        let mut at = self.place(address);
        loop {
            match self.places.get(at) {
                Some(Some((key, value))) if *key == address => return Some(*value),
                Some(Some(_)) => at += 1,
                Some(None) => return None,
                // Past the end it goes on at the front; there is always an empty place.
                None => at = 0,
            }
        }
    }

    /// Adds an address or changes its value.
    pub fn insert(&mut self, address: Addr, value: T) {
        if (self.len + 1) * 4 > self.places.len() {
            let mut larger = AddressTable::with_places(self.places.len() * 2, self.factor);
            self.iter().for_each(|(address, value)| larger.insert(address, value));
            *self = larger;
        }
        let mut at = self.place(address);
        while self.places[at].is_some_and(|(key, _)| key != address) {
            at = (at + 1) % self.places.len();
        }
        self.len += self.places[at].is_none() as usize;
        self.places[at] = Some((address, value));
    }

    /// All addresses with their values.
    pub fn iter(&self) -> impl Iterator<Item = (Addr, T)> {
        self.places.iter().flatten().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        #[test]
        fn behaves_as_a_map(
            seed: u64,
            entries in proptest::collection::vec((0u32..300, any::<u16>()), 0..400),
            v6: bool,
        ) {
            let address = |number: u32| match v6 {
                true => Addr::from_v6((0x2001_0db8u128 << 96 | (number as u128) << 48).to_be_bytes()),
                false => Addr::from_v4((0x0a00_0000 + number).to_be_bytes()),
            };
            let mut table = AddressTable::new(seed);
            let mut model = HashMap::new();
            for (number, value) in entries {
                table.insert(address(number), value);
                model.insert(address(number), value);
            }
            for number in 0..310 {
                prop_assert_eq!(table.get(address(number)), model.get(&address(number)).copied());
            }
            prop_assert_eq!(table.iter().collect::<HashMap<_, _>>(), model);
        }
    }
}
