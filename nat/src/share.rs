//! Which worker owns which port of the pool's addresses.
//!
//! Each external address has one space of ports (or echo identifiers) per protocol, dealt out to the workers pair by
//! pair: ports `2n` and `2n + 1` belong to worker `n mod workers`, so that each has even and odd ones, below 1024 and
//! above. Port 0 is never used.

use packet::Addr;
use packet::transport::{ICMP, ICMPV6, TCP, UDP};

/// The lowest port that is not well known: those below are kept for clients that use one of them themselves (RFC 4787
/// REQ-3 a).
pub const PORT_MIN: u16 = 1024;

/// Pairs of ports of one space.
pub(crate) const PAIRS: u16 = 1 << 15;

/// Pairs of well-known ports.
const LOW_PAIRS: u32 = PORT_MIN as u32 / 2;

/// Spaces of one address.
pub(crate) const PROTOCOLS: usize = 3;

/// The number of a protocol's space; ICMP and ICMPv6 share one, as an address is of one IP version.
#[inline(always)]
pub(crate) fn space_of(protocol: u8) -> Option<usize> {
    match protocol {
        TCP => Some(0),
        UDP => Some(1),
        ICMP | ICMPV6 => Some(2),
        _ => None,
    }
}

/// Which of `workers` owns an external port or echo identifier, alike for all addresses of the pool: the one that
/// a packet from the origin's side must reach. `None` for what no worker gives out.
#[inline(always)]
pub fn owner(protocol: u8, port: u16, workers: u16) -> Option<u16> {
    space_of(protocol)?;
    if port == 0 { None } else { (port >> 1).checked_rem(workers) }
}

/// How one address of the pool is used, for one protocol and this worker's share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolUse {
    /// The address.
    pub address: Addr,
    /// TCP, UDP, or ICMP of the address's IP version.
    pub protocol: u8,
    /// Ports in use.
    pub used: usize,
    /// Ports in this worker's share.
    pub total: usize,
}

/// This worker's share of the ports.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Share {
    pub worker: u16,
    workers: u16,
    /// 2^32 / workers, rounded up: a division by multiplication, exact for 16-bit numbers.
    reciprocal: u32,
    /// Places per space: two for each pair.
    pub len: u32,
    /// Places of the well-known ports among them, which come first.
    pub low: u32,
}

impl Share {
    pub(crate) fn new(worker: u16, workers: u16) -> Share {
        let (first, step) = (worker as u32, workers as u32);
        let pairs_below = |end: u32| end.saturating_sub(first).div_ceil(step);
        Share {
            worker,
            workers,
            reciprocal: ((1u64 << 32).div_ceil(workers as u64)).min(u32::MAX as u64) as u32,
            len: pairs_below(PAIRS as u32) * 2,
            low: pairs_below(LOW_PAIRS) * 2,
        }
    }

    /// A port's number within the share, if it belongs to it.
    #[inline(always)]
    pub(crate) fn ordinal(&self, port: u16) -> Option<u32> {
        let pair = (port >> 1) as u32;
        if self.workers == 1 {
            return Some(port as u32);
        }
        let round = ((pair as u64 * self.reciprocal as u64) >> 32) as u32;
        let is_ours = pair - round * self.workers as u32 == self.worker as u32;
        is_ours.then_some(round << 1 | (port & 1) as u32)
    }

    /// The port with a number within the share.
    pub(crate) fn port(&self, ordinal: u32) -> u16 {
        let pair = self.worker + (ordinal >> 1) as u16 * self.workers;
        pair << 1 | (ordinal & 1) as u16
    }

    /// Ports of each space: all places but that of port 0.
    pub(crate) fn ports(&self) -> usize {
        self.len as usize - (self.worker == 0) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_port_has_one_owner_and_one_ordinal() {
        for workers in [1u16, 2, 3, 7, 64, 1000, PAIRS] {
            let shares: Vec<_> = (0..workers.min(64)).map(|worker| Share::new(worker, workers)).collect();
            let total: usize = (0..workers).map(|worker| Share::new(worker, workers).ports()).sum();
            assert_eq!(total, u16::MAX as usize);
            for port in 0..=u16::MAX {
                let owner = owner(TCP, port, workers);
                assert_eq!(owner.is_some(), port != 0);
                for share in &shares {
                    let ordinal = share.ordinal(port);
                    assert_eq!(
                        ordinal.is_some(),
                        port >> 1 != 0 && owner == Some(share.worker) || port >> 1 == 0 && share.worker == 0
                    );
                    assert!(ordinal.is_none_or(|ordinal| ordinal < share.len && share.port(ordinal) == port));
                    assert!(ordinal.is_none_or(|ordinal| (ordinal < share.low) == (port < PORT_MIN)));
                }
            }
        }
        assert_eq!(owner(47, 5000, 2), None);
        assert_eq!(owner(TCP, 5000, 0), None);
    }
}
