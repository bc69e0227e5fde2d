//! IPv6 prefix translation (RFC 6296): an address inside becomes one outside by its prefix alone, and back. No session is
//! kept and no port is changed.
//!
//! ```text
//!  |<------------ length ------------>|
//!  | inside prefix                    | subnet, interface |
//!  | outside prefix                   | the same, but one 16-bit word |
//! ```
//!
//! That one word takes up what the change of prefixes does to a sum, so no checksum over the address changes. It is bits
//! 48 to 63 for prefixes of up to 48 bits, else the first word of the interface identifier that is not all ones. Words are counted
//! modulo 65,535, where 0 and 0xffff are the same number: a word of all ones can not be told apart on the way back.

use packet::Addr;
use packet::checksum::{add, sum};

/// Where the word stands for prefixes of up to 48 bits.
const SUBNET: usize = 3;
/// The first word of the interface identifier.
const INTERFACE: usize = 4;
/// Stands for no number of its own (see above).
const ALL_ONES: u16 = 0xffff;

/// Which prefix becomes which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixPair {
    inside: u128,
    outside: u128,
    mask: u128,
    /// What is added to the word on the way out.
    adjustment: u16,
    /// Whether the word is one of the interface identifier.
    is_long: bool,
}

impl PrefixPair {
    /// Longest prefixes, bits: what is behind is the interface identifier, which has to have room for the word.
    pub const LEN_MAX: u8 = 64;
    /// Shortest prefixes, bits: what a registry gives to one network at most.
    pub const LEN_MIN: u8 = 16;

    /// A pair of prefixes of the same length; bits behind them do not count. `None` for one that is not of IPv6, or too
    /// long or short.
    pub fn new(inside: Addr, outside: Addr, len: u8) -> Option<PrefixPair> {
        if inside.is_v4() || outside.is_v4() || !(PrefixPair::LEN_MIN..=PrefixPair::LEN_MAX).contains(&len) {
            return None;
        }
        let mask = u128::MAX << (128 - u32::from(len));
        let (inside, outside) = (inside.to_bits() & mask, outside.to_bits() & mask);
        let adjustment = add(sum(&inside.to_be_bytes()), !sum(&outside.to_be_bytes()));
        Some(PrefixPair { inside, outside, mask, adjustment, is_long: len > 48 })
    }

    /// Whether an address has the inside prefix.
    #[inline]
    pub fn has_inside(&self, address: Addr) -> bool {
        address.to_bits() & self.mask == self.inside
    }

    /// Whether an address has the outside prefix.
    #[inline]
    pub fn has_outside(&self, address: Addr) -> bool {
        address.to_bits() & self.mask == self.outside
    }

    /// First and last address inside.
    pub fn inside(&self) -> (Addr, Addr) {
        self.ends(self.inside)
    }

    /// First and last address outside.
    pub fn outside(&self) -> (Addr, Addr) {
        self.ends(self.outside)
    }

    fn ends(&self, prefix: u128) -> (Addr, Addr) {
        [prefix, prefix | !self.mask].map(|bits| Addr::from_v6(bits.to_be_bytes())).into()
    }

    /// Bits of the prefixes.
    pub fn len_bits(&self) -> u8 {
        self.mask.count_ones() as u8
    }

    /// What an address inside is outside. `None` for one that has not the prefix, or can not be translated: where the subnet is
    /// all ones (up to 48 bits), where the interface identifier is, or where it is zero here or there, which is no host's (RFC 6296
    /// section 3.7).
    #[inline]
    pub fn outward(&self, address: Addr) -> Option<Addr> {
        self.translate(address, self.inside, self.outside, self.adjustment)
    }

    /// What an address outside is inside; the reverse of [`PrefixPair::outward`].
    #[inline]
    pub fn inward(&self, address: Addr) -> Option<Addr> {
        self.translate(address, self.outside, self.inside, !self.adjustment)
    }

    fn translate(&self, address: Addr, from: u128, to: u128, adjustment: u16) -> Option<Addr> {
        let bits = address.to_bits();
        if bits & self.mask != from {
            return None;
        }
        let bits = bits & !self.mask | to;
        let at = if self.is_long {
            (INTERFACE..8).find(|at| word(bits, *at) != ALL_ONES)?
        } else {
            Some(SUBNET).filter(|at| word(bits, *at) != ALL_ONES)?
        };
        let adjusted = match add(word(bits, at), adjustment) {
            ALL_ONES => 0,
            adjusted => adjusted,
        };
        let shift = 112 - 16 * at as u32;
        let translated = bits & !(0xffff << shift) | u128::from(adjusted) << shift;
        let is_nobody = self.is_long && (bits as u64 == 0 || translated as u64 == 0);
        (!is_nobody).then(|| Addr::from_v6(translated.to_be_bytes()))
    }
}

/// A 16-bit word of an address, counted from the front.
fn word(bits: u128, at: usize) -> u16 {
    (bits >> (112 - 16 * at as u32)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    fn addr(text: &str) -> Addr {
        text.parse::<core::net::Ipv6Addr>().unwrap().into()
    }

    fn pair(inside: &str, outside: &str, len: u8) -> PrefixPair {
        PrefixPair::new(addr(inside), addr(outside), len).unwrap()
    }

    #[test]
    fn rfc6296_section_3_6_example() {
        let pair = pair("fd01:203:405::", "2001:db8:1::", 48);
        let (inside, outside) = (addr("fd01:203:405:1::1234"), addr("2001:db8:1:d550::1234"));
        assert_eq!(pair.outward(inside), Some(outside));
        assert_eq!(pair.inward(outside), Some(inside));
        assert_eq!(pair.outward(outside), None);
        assert_eq!(pair.inward(inside), None);
    }

    #[test]
    fn what_can_not_be_told_apart_is_refused() {
        let short = pair("fd01:203:405::", "2001:db8:1::", 48);
        assert_eq!(short.outward(addr("fd01:203:405:ffff::1")), None);
        assert_eq!(short.inward(addr("2001:db8:1:ffff::1")), None);
        let long = pair("fd01:203:405:6::", "2001:db8:1:2::", 64);
        assert_eq!(long.outward(addr("fd01:203:405:6::")), None);
        assert_eq!(long.outward(addr("fd01:203:405:6:ffff:ffff:ffff:ffff")), None);
        // The first word that is not all ones is changed, and only that.
        let outside = long.outward(addr("fd01:203:405:6:ffff:1:2:3")).unwrap();
        assert_eq!(outside.to_bits() >> 48 & 0xffff, 0xffff);
        assert_eq!(outside.to_bits() as u32, 0x0002_0003);
        assert_eq!(long.inward(outside), Some(addr("fd01:203:405:6:ffff:1:2:3")));
        // What would be nobody's address outside is refused inside.
        let nobody = !long.adjustment;
        assert_eq!(long.outward(addr(&format!("fd01:203:405:6:{nobody:x}::"))), None);
    }

    #[test]
    fn a_subnets_words_have_one_place_each() {
        let pair = pair("fd01:203:405::", "2001:db8:1::", 48);
        let inside = |subnet: u16| Addr::from_v6((pair.inside | u128::from(subnet) << 64 | 7).to_be_bytes());
        let outside: HashSet<_> = (0..=u16::MAX).filter_map(|subnet| pair.outward(inside(subnet))).collect();
        assert_eq!(outside.len(), 65_535);
    }

    fn pairs() -> impl Strategy<Value = PrefixPair> {
        (any::<[u128; 2]>(), PrefixPair::LEN_MIN..=PrefixPair::LEN_MAX).prop_map(
            |([inside, outside], len)| {
                // Away from the addresses that stand for IPv4.
                let global = |bits: u128| Addr::from_v6((bits >> 3 | 1 << 125).to_be_bytes());
                PrefixPair::new(global(inside), global(outside), len).unwrap()
            },
        )
    }

    /// Words that are all ones or zero are where the rules bite.
    fn interfaces() -> impl Strategy<Value = u64> {
        prop::array::uniform4(prop_oneof![Just(0), Just(0xffff), any::<u16>()])
            .prop_map(|words| words.into_iter().fold(0, |bits, word| bits << 16 | u64::from(word)))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn is_neutral_injective_and_reversed_exactly(
            pair in pairs(),
            high in interfaces(),
            [low, other] in prop::array::uniform2(interfaces()),
        ) {
            let inside = |low: u64| {
                let bits = pair.inside | !pair.mask & (u128::from(high) << 64 | u128::from(low));
                Addr::from_v6(bits.to_be_bytes())
            };
            let (one, two) = (inside(low), inside(other));
            if let Some(outside) = pair.outward(one) {
                prop_assert!(pair.has_outside(outside));
                prop_assert_eq!(sum(&outside.v6_bytes()) % 0xffff, sum(&one.v6_bytes()) % 0xffff);
                prop_assert_eq!(pair.inward(outside), Some(one));
                prop_assert!(one == two || pair.outward(two) != Some(outside));
            }
            // And the other way: what has an address inside has that one's outside.
            let outside = Addr::from_v6((pair.outside | one.to_bits() & !pair.mask).to_be_bytes());
            if let Some(inside) = pair.inward(outside) {
                prop_assert_eq!(pair.outward(inside), Some(outside));
            }
        }

        /// An independent way to the same: arithmetic modulo 65,535 instead of one's complement.
        #[test]
        fn is_what_arithmetic_modulo_65535_says(
            pair in pairs(),
            [high, low] in prop::array::uniform2(interfaces()),
        ) {
            let inside = pair.inside | !pair.mask & (u128::from(high) << 64 | u128::from(low));
            let total = |bits: u128| (0..8).map(|at| u64::from(word(bits, at))).sum::<u64>();
            let swapped = inside & !pair.mask | pair.outside;
            if let Some(outside) = pair.outward(Addr::from_v6(inside.to_be_bytes())) {
                let differs = |at: &usize| word(swapped, *at) != word(outside.to_bits(), *at);
                let changed: Vec<_> = (0..8).filter(differs).collect();
                prop_assert!(changed.len() <= 1);
                let at = changed.first().copied().unwrap_or(SUBNET);
                let rest = total(swapped) - u64::from(word(swapped, at));
                let wanted = (total(inside) + 65_535 * 8 - rest) % 65_535;
                prop_assert_eq!(u64::from(word(outside.to_bits(), at)) % 65_535, wanted);
            }
        }
    }
}
