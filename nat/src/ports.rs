//! Which ports of the pool's addresses are free, and which worker owns which.
//!
//! Each external address has one space of ports (or echo identifiers) per protocol, 1024 to 65535, dealt out to the
//! workers in turn: port `1024 + n` belongs to worker `n mod workers`. A worker's free ports of one space stand in
//! a ring that starts shuffled. Ports are taken near its head and come back at its tail, so that a port rests as
//! long as possible; each is picked among the first few at random, so that the order of the ports' return does not
//! tell the order of their next use (RFC 6056 section 3.5, RFC 7857 section 9).

use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use packet::transport::{ICMP, ICMPV6, TCP, UDP};
use packet::{Addr, Reason};

/// The lowest port that the NAT uses: below lie the well-known ports (RFC 4787 REQ-3a).
pub const PORT_MIN: u16 = 1024;

/// Ports of one space.
pub(crate) const PORTS: u16 = (u16::MAX - PORT_MIN) + 1;

/// Spaces of one address.
pub(crate) const PROTOCOLS: usize = 3;

/// How many ports at a ring's head the next is picked from; they share a cache line or two.
const CHOICE: u32 = 32;

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
    port.checked_sub(PORT_MIN)?.checked_rem(workers)
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
    worker: u16,
    workers: u16,
    /// 2^32 / workers, rounded up: a division by multiplication, exact for 16-bit numbers.
    reciprocal: u32,
    /// Ports per space.
    pub len: u32,
}

impl Share {
    pub(crate) fn new(worker: u16, workers: u16) -> Share {
        Share {
            worker,
            workers,
            reciprocal: ((1u64 << 32).div_ceil(workers as u64)).min(u32::MAX as u64) as u32,
            len: (PORTS - worker).div_ceil(workers) as u32,
        }
    }

    /// A port's number within the share, if it belongs to it.
    #[inline(always)]
    pub(crate) fn ordinal(&self, port: u16) -> Option<u32> {
        let offset = port.checked_sub(PORT_MIN)? as u32;
        if self.workers == 1 {
            return Some(offset);
        }
        let ordinal = ((offset as u64 * self.reciprocal as u64) >> 32) as u32;
        (offset - ordinal * self.workers as u32 == self.worker as u32).then_some(ordinal)
    }

    fn port(&self, ordinal: u32) -> u16 {
        PORT_MIN + self.worker + ordinal as u16 * self.workers
    }
}

/// A ring of free ports in its part of [`Ports::rings`].
#[derive(Clone, Copy)]
struct Ring {
    head: u32,
    free: u32,
}

/// The free ports of all spaces.
pub(crate) struct Ports {
    share: Share,
    rings: Box<[u16]>,
    spaces: Box<[Ring]>,
    random: ChaCha8Rng,
}

impl Ports {
    pub(crate) fn new(share: Share, spaces: usize, seed: u64) -> Ports {
        let mut ports = Ports {
            share,
            rings: (0..spaces).flat_map(|_| (0..share.len).map(|ordinal| share.port(ordinal))).collect(),
            spaces: vec![Ring { head: 0, free: share.len }; spaces].into_boxed_slice(),
            random: ChaCha8Rng::seed_from_u64(seed),
        };
        for ring in ports.rings.chunks_exact_mut(share.len as usize) {
            for place in (1..ring.len()).rev() {
                ring.swap(place, below(&mut ports.random, place as u32 + 1) as usize);
            }
        }
        ports
    }

    /// Takes a free port out of a space.
    pub(crate) fn take(&mut self, space: usize) -> Result<u16, Reason> {
        let (ring, places) = self.ring(space);
        if ring.free == 0 {
            return Err(Reason::NatPortsExhausted);
        }
        let Ring { head, free } = *ring;
        let len = places.len() as u32;
        ring.head = wrap(head + 1, len);
        ring.free = free - 1;
        let choice = below(&mut self.random, free.min(CHOICE));
        let (_, places) = self.ring(space);
        places.swap(head as usize, wrap(head + choice, len) as usize);
        Ok(places[head as usize])
    }

    /// Gives a port back that was taken out of the same space.
    pub(crate) fn give(&mut self, space: usize, port: u16) {
        let (ring, places) = self.ring(space);
        let len = places.len() as u32;
        debug_assert!(ring.free < len, "a port came back that was not taken");
        places[wrap(ring.head + ring.free, len) as usize] = port;
        ring.free += 1;
    }

    /// Free ports of a space.
    pub(crate) fn free(&self, space: usize) -> usize {
        self.spaces[space].free as usize
    }

    /// Ports of each space.
    pub(crate) fn total(&self) -> usize {
        self.share.len as usize
    }

    #[inline(always)]
    fn ring(&mut self, space: usize) -> (&mut Ring, &mut [u16]) {
        let len = self.share.len as usize;
        (&mut self.spaces[space], &mut self.rings[space * len..][..len])
    }
}

#[inline(always)]
fn wrap(place: u32, len: u32) -> u32 {
    if place >= len { place - len } else { place }
}

/// A random number below `bound`, each as likely as the others but for one part in 2^16 at most.
fn below(random: &mut ChaCha8Rng, bound: u32) -> u32 {
    ((random.next_u32() as u64 * bound as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_port_has_one_owner_and_one_ordinal() {
        for workers in [1u16, 2, 3, 7, 64, 1000, PORTS] {
            let shares: Vec<_> = (0..workers.min(64)).map(|worker| Share::new(worker, workers)).collect();
            let total: usize = (0..workers).map(|worker| Share::new(worker, workers).len as usize).sum();
            assert_eq!(total, PORTS as usize);
            for port in 0..=u16::MAX {
                let owner = owner(TCP, port, workers);
                assert_eq!(owner.is_some(), port >= PORT_MIN);
                for share in &shares {
                    let ordinal = share.ordinal(port);
                    assert_eq!(ordinal.is_some(), owner == Some(share.worker));
                    assert!(ordinal.is_none_or(|ordinal| ordinal < share.len && share.port(ordinal) == port));
                }
            }
        }
        assert_eq!(owner(47, 5000, 2), None);
        assert_eq!(owner(TCP, 5000, 0), None);
    }

    #[test]
    fn all_ports_come_out_once_and_freed_ports_rest() {
        let mut ports = Ports::new(Share::new(1, 4), 2, 7);
        let all: HashSet<_> = (0..ports.total()).map(|_| ports.take(1).unwrap()).collect();
        assert_eq!(all.len(), ports.total());
        assert!(all.iter().all(|port| owner(UDP, *port, 4) == Some(1)));
        assert_eq!(ports.take(1), Err(Reason::NatPortsExhausted));
        assert_eq!(ports.free(0), ports.total());
        for port in &all {
            ports.give(1, *port);
        }
        let first = ports.take(1).unwrap();
        ports.give(1, first);
        let until_again = (0..ports.total()).position(|_| ports.take(1) == Ok(first)).unwrap();
        assert!(until_again >= ports.total() - CHOICE as usize);
    }

    #[test]
    fn ports_are_spread_and_unlike_between_seeds() {
        let mut ports = Ports::new(Share::new(0, 1), 1, 42);
        let taken: Vec<_> = (0..10_000).map(|_| ports.take(0).unwrap()).collect();
        // 63 classes of 1024 ports: chi-squared with 62 degrees of freedom, below 100 with p > 0.99.
        let mut classes = [0f64; 63];
        for port in &taken {
            classes[(*port - PORT_MIN) as usize / 1024] += 1.0;
        }
        let expected = taken.len() as f64 / classes.len() as f64;
        let chi2: f64 = classes.iter().map(|count| (count - expected).powi(2) / expected).sum();
        assert!(chi2 < 100.0, "{chi2}");
        let neighbours = taken.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) <= 2).count();
        assert!(neighbours < 10, "{neighbours}");
        let mut other = Ports::new(Share::new(0, 1), 1, 43);
        let alike = taken.iter().filter(|port| other.take(0) == Ok(**port)).count();
        assert!(alike < 10, "{alike}");
    }

    #[test]
    fn the_order_of_return_is_not_the_order_of_use() {
        let mut ports = Ports::new(Share::new(0, 64), 1, 1);
        let mut once: Vec<_> = (0..ports.total()).map(|_| ports.take(0).unwrap()).collect();
        once.sort_unstable();
        once.iter().for_each(|port| ports.give(0, *port));
        let again: Vec<_> = (0..ports.total()).map(|_| ports.take(0).unwrap()).collect();
        assert!(once.iter().zip(&again).filter(|(before, after)| before == after).count() < 100);
    }
}
