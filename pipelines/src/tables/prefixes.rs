//! Which clients are translated by prefix, and to what.

use nat::PrefixPair;
use overlay::topology::NodeId;
use packet::Addr;

/// Clients of a virtual IP whose addresses are translated by prefix. An address outside tells it all: the virtual IP, its
/// application and its edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Prefixed {
    /// Which prefix becomes which.
    pub pair: PrefixPair,
    /// What the clients send to.
    pub vip: Addr,
    /// The edge that holds it.
    pub edge: NodeId,
    /// The application's number.
    pub application: u16,
}

/// All rules of a gateway. Outside prefixes are apart from each other, and so are the inside prefixes of a virtual IP.
#[derive(Clone, Debug, Default)]
pub struct Prefixes {
    /// In the order of their outside prefixes.
    rules: Vec<Prefixed>,
    /// Virtual IP, first address inside and the rule's place, in order.
    inside: Vec<(Addr, Addr, u16)>,
}

impl Prefixes {
    /// Rules in any order.
    pub fn new(mut rules: Vec<Prefixed>) -> Prefixes {
        rules.sort_unstable_by_key(|rule| rule.pair.outside().0);
        let mut inside: Vec<_> =
            rules.iter().zip(0..).map(|(rule, at)| (rule.vip, rule.pair.inside().0, at)).collect();
        inside.sort_unstable();
        Prefixes { rules, inside }
    }

    /// Whether there are none.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// All, in the order of their outside prefixes.
    pub fn iter(&self) -> impl Iterator<Item = &Prefixed> {
        self.rules.iter()
    }

    /// The rule for a client of a virtual IP.
    pub fn of_client(&self, vip: Addr, client: Addr) -> Option<&Prefixed> {
        let next = self.inside.partition_point(|(at, first, _)| (*at, *first) <= (vip, client));
        let (_, _, rule) = self.inside.get(next.checked_sub(1)?)?;
        self.rules.get(*rule as usize).filter(|rule| rule.vip == vip && rule.pair.has_inside(client))
    }

    /// The rule that an address is outside of.
    pub fn of_outside(&self, address: Addr) -> Option<&Prefixed> {
        let next = self.rules.partition_point(|rule| rule.pair.outside().0 <= address);
        self.rules.get(next.checked_sub(1)?).filter(|rule| rule.pair.has_outside(address))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn addr(bits: u128) -> Addr {
        Addr::from_v6(bits.to_be_bytes())
    }

    /// Prefixes of 48 to 52 bits that are apart: the first bits behind the first 40 are a number of their own.
    fn rule(number: u8, vip: u8, len: u8) -> Prefixed {
        let prefix = |net: u128| addr(net << 96 | u128::from(number) << 80);
        Prefixed {
            pair: PrefixPair::new(prefix(0xfd00_0000), prefix(0x2001_0db8), len).unwrap(),
            vip: addr(0x2001 << 112 | u128::from(vip)),
            edge: NodeId(vip.into()),
            application: number.into(),
        }
    }

    proptest! {
        #[test]
        fn finds_what_a_search_finds(
            drawn in prop::collection::btree_map(any::<u8>(), (0u8..3, 48u8..=52), 0..20),
            asked in prop::collection::vec((any::<u8>(), 0u128..1 << 80, 0u8..3), 50),
        ) {
            let rules: Vec<_> = drawn.iter().map(|(number, (vip, len))| rule(*number, *vip, *len)).collect();
            let prefixes = Prefixes::new(rules.iter().rev().copied().collect());
            for (number, low, vip) in asked {
                let vip = addr(0x2001 << 112 | u128::from(vip));
                let client = addr(0xfd00_0000 << 96 | u128::from(number) << 80 | low);
                let found = rules.iter().find(|rule| rule.vip == vip && rule.pair.has_inside(client));
                prop_assert_eq!(prefixes.of_client(vip, client), found);
                let outside = addr(0x2001_0db8 << 96 | u128::from(number) << 80 | low);
                let found = rules.iter().find(|rule| rule.pair.has_outside(outside));
                prop_assert_eq!(prefixes.of_outside(outside), found);
            }
        }
    }
}
