//! From an external address and port to the first session of its mapping, without hashing: one place per port of this
//! worker's share.

use crate::blocks::BLOCKS;
use crate::share::{PROTOCOLS, Share, space_of};
use packet::transport::{ICMP, ICMPV6};
use packet::{Addr, IpVersion};
use prefetch_index::prefetch_index;

/// An external address and port of this worker's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReverseSlot(u32);

const NO_SESSION: u32 = u32::MAX;
const NO_ADDRESS: u16 = u16::MAX;

/// The pool's addresses, and which session holds which of their ports.
pub(crate) struct Reverse {
    share: Share,
    addresses: Box<[Addr]>,
    /// Places of the IPv4 and of the IPv6 addresses in `addresses`, of each block.
    by_block: [[Box<[u16]>; 2]; BLOCKS],
    /// Open addressing with linear probing, at most a quarter full.
    lookup: Box<[(Addr, u16)]>,
    /// Per address, protocol and port of the share: the first session of the mapping.
    sessions: Box<[u32]>,
}

impl Reverse {
    pub(crate) fn new(share: Share, pool: &[Addr], peers_from: u16) -> Reverse {
        let places = |of: core::ops::Range<u16>, v4: bool| {
            of.filter(|at| pool[*at as usize].is_v4() == v4).collect::<Box<[u16]>>()
        };
        let blocks = [0..peers_from, peers_from..pool.len() as u16];
        let mut lookup = vec![(Addr::UNSPECIFIED, NO_ADDRESS); (pool.len() * 4).next_power_of_two()];
        for (place, address) in pool.iter().enumerate() {
            let mut at = probe_start(*address, lookup.len());
            while lookup[at].1 != NO_ADDRESS {
                at = (at + 1) & (lookup.len() - 1);
            }
            lookup[at] = (*address, place as u16);
        }
        Reverse {
            share,
            addresses: pool.into(),
            by_block: blocks.map(|block| [true, false].map(|v4| places(block.clone(), v4))),
            lookup: lookup.into_boxed_slice(),
            sessions: vec![NO_SESSION; pool.len() * PROTOCOLS * share.len as usize].into_boxed_slice(),
        }
    }

    /// The address in a place of the pool.
    #[inline(always)]
    pub(crate) fn address(&self, place: u16) -> Addr {
        self.addresses[place as usize]
    }

    /// The address in a place of the pool; `None` beyond it.
    #[inline(always)]
    pub(crate) fn get_address(&self, place: u16) -> Option<Addr> {
        self.addresses.get(place as usize).copied()
    }

    /// How many addresses the pool has.
    pub(crate) fn addresses(&self) -> usize {
        self.addresses.len()
    }

    /// The address for a client out of a block, always the same one for the same hash (paired pooling, RFC 4787 REQ-2).
    pub(crate) fn choose(&self, hash: u64, version: IpVersion, block: usize) -> Option<u16> {
        let places = &self.by_block.get(block)?[(version == IpVersion::V6) as usize];
        places.get(((hash as u128 * places.len() as u128) >> 64) as usize).copied()
    }

    /// The place of an address in the pool.
    #[inline(always)]
    pub(crate) fn place(&self, address: Addr) -> Option<u16> {
        let mut at = probe_start(address, self.lookup.len());
        loop {
            match self.lookup[at] {
                (_, NO_ADDRESS) => return None,
                (found, place) if found == address => return Some(place),
                _ => at = (at + 1) & (self.lookup.len() - 1),
            }
        }
    }

    #[inline(always)]
    pub(crate) fn slot(&self, address: Addr, protocol: u8, port: u16) -> Option<ReverseSlot> {
        let ordinal = self.share.ordinal(port)?;
        let space = space_of(protocol)?;
        let place = self.place(address)?;
        let other_icmp = if address.is_v4() { ICMPV6 } else { ICMP };
        if protocol == other_icmp {
            return None;
        }
        Some(ReverseSlot((place as u32 * PROTOCOLS as u32 + space as u32) * self.share.len + ordinal))
    }

    /// The slot of a port that a session holds, from the number of its space.
    pub(crate) fn slot_in(&self, space: usize, port: u16) -> Option<ReverseSlot> {
        Some(ReverseSlot(space as u32 * self.share.len + self.share.ordinal(port)?))
    }

    #[inline(always)]
    pub(crate) fn prefetch(&self, slot: ReverseSlot) {
        prefetch_index(&self.sessions, slot.0 as usize);
    }

    /// The first session of the mapping at the slot.
    #[inline(always)]
    pub(crate) fn get(&self, slot: ReverseSlot) -> Option<u32> {
        self.sessions.get(slot.0 as usize).copied().filter(|session| *session != NO_SESSION)
    }

    pub(crate) fn set(&mut self, slot: ReverseSlot, session: Option<u32>) {
        self.sessions[slot.0 as usize] = session.unwrap_or(NO_SESSION);
    }
}

#[inline(always)]
fn probe_start(address: Addr, len: usize) -> usize {
    let bits = address.to_bits();
    let mixed = (bits as u64 ^ (bits >> 64) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed >> 32) as usize & (len - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::transport::{TCP, UDP};
    use std::collections::HashSet;

    fn v4(number: u32) -> Addr {
        Addr::from_v4(number.to_be_bytes())
    }

    #[test]
    fn slots_are_distinct_and_only_for_the_pool() {
        let pool: Vec<_> = (0..50).map(|n| v4(n * 7)).chain([Addr::from_v6([9; 16])]).collect();
        let reverse = Reverse::new(Share::new(3, 4096), &pool, pool.len() as u16);
        let mut seen = HashSet::new();
        for address in &pool {
            for protocol in [TCP, UDP, ICMP, ICMPV6] {
                for port in 0..=u16::MAX {
                    if let Some(slot) = reverse.slot(*address, protocol, port) {
                        assert!(seen.insert(slot.0));
                        assert_eq!((port >> 1) % 4096, 3);
                        assert_ne!(protocol, if address.is_v4() { ICMPV6 } else { ICMP });
                    }
                }
            }
        }
        assert_eq!(seen.len(), reverse.sessions.len());
        for stranger in [v4(1), Addr::UNSPECIFIED, Addr::from_v6([8; 16])] {
            assert_eq!(reverse.slot(stranger, TCP, 6), None);
        }
        let empty = Reverse::new(Share::new(0, 1), &[], 0);
        assert_eq!(empty.slot(v4(1), TCP, 2000), None);
        assert_eq!(empty.choose(u64::MAX, IpVersion::V4, 0), None);
    }
}
