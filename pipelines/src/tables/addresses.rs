//! A small map from addresses, for the look-ups that every packet makes.
//!
//! The keys are the operator's (this node's addresses, the members'), so they can not be picked to collide: a
//! multiplication spreads them, and a packet from the wire can only miss. Three quarters of the places stay empty.

use packet::Addr;

/// Which value belongs to an address. IPv4 and IPv6 addresses stand apart, so that both are compared in their own size.
pub struct AddressTable<T> {
    v4: Places<u32, T>,
    v6: Places<u128, T>,
}

impl<T: Copy> AddressTable<T> {
    /// An empty table.
    pub fn new(seed: u64) -> AddressTable<T> {
        AddressTable { v4: Places::new(seed), v6: Places::new(seed) }
    }

    /// The value of an address.
    #[inline(always)]
    pub fn get(&self, address: Addr) -> Option<T> {
        if address.is_v4() { self.v4.get(address.to_bits() as u32) } else { self.v6.get(address.to_bits()) }
    }

    /// Adds an address or changes its value.
    pub fn insert(&mut self, address: Addr, value: T) {
        match address.is_v4() {
            true => self.v4.insert(address.to_bits() as u32, value),
            false => self.v6.insert(address.to_bits(), value),
        }
    }

    /// All addresses with their values.
    pub fn iter(&self) -> impl Iterator<Item = (Addr, T)> {
        let v4 = self.v4.iter().map(|(bits, value)| (Addr::from_v4(bits.to_be_bytes()), value));
        v4.chain(self.v6.iter().map(|(bits, value)| (Addr::from_v6(bits.to_be_bytes()), value)))
    }
}

/// The bits of an address.
trait Bits: Copy + PartialEq {
    /// Folded into one word.
    fn fold(self) -> u64;
}

impl Bits for u32 {
    #[inline(always)]
    fn fold(self) -> u64 {
        self as u64
    }
}

impl Bits for u128 {
    #[inline(always)]
    fn fold(self) -> u64 {
        self as u64 ^ ((self >> 64) as u64).rotate_left(31)
    }
}

struct Places<K, T> {
    /// A power of two of places; an entry lies at its hash's or at one of the next, before any empty one.
    places: Box<[Option<(K, T)>]>,
    /// An odd number that nobody outside knows.
    factor: u64,
    shift: u32,
    len: usize,
}

const PLACES_MIN: usize = 16;

impl<K: Bits, T: Copy> Places<K, T> {
    fn new(seed: u64) -> Places<K, T> {
        Places::with(PLACES_MIN, (seed | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn with(places: usize, factor: u64) -> Places<K, T> {
        let shift = u64::BITS - places.ilog2();
        Places { places: (0..places).map(|_| None).collect(), factor, shift, len: 0 }
    }

    #[inline(always)]
    fn place(&self, key: K) -> usize {
        (key.fold().wrapping_mul(self.factor) >> self.shift) as usize
    }

    #[inline(always)]
    fn get(&self, key: K) -> Option<T> {
        let mut at = self.place(key);
        loop {
            match self.places.get(at) {
                Some(Some((held, value))) if *held == key => return Some(*value),
                Some(Some(_)) => at += 1,
                Some(None) => return None,
                // Past the end it goes on at the front; there is always an empty place.
                None => at = 0,
            }
        }
    }

    fn insert(&mut self, key: K, value: T) {
        if (self.len + 1) * 4 > self.places.len() {
            let mut larger = Places::with(self.places.len() * 2, self.factor);
            self.iter().for_each(|(key, value)| larger.insert(key, value));
            *self = larger;
        }
        let mut at = self.place(key);
        while self.places[at].is_some_and(|(held, _)| held != key) {
            at = (at + 1) % self.places.len();
        }
        self.len += self.places[at].is_none() as usize;
        self.places[at] = Some((key, value));
    }

    fn iter(&self) -> impl Iterator<Item = (K, T)> {
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
