//! The VIPs and origins that sessions talk to, each kept once: a session names them in two bytes instead of sixteen.

use packet::index::HashIndex;
use packet::{Addr, Reason};

/// Addresses in use at one time, at most.
const ADDRESSES_MAX: usize = u16::MAX as usize;

#[derive(Clone, Copy)]
struct Entry {
    address: Addr,
    sessions: u32,
}

pub(crate) struct Addresses {
    entries: Box<[Entry]>,
    index: HashIndex,
    free: Vec<u16>,
}

impl Addresses {
    /// Room for the addresses of `sessions_max` sessions.
    pub(crate) fn new(sessions_max: usize) -> Addresses {
        let capacity = sessions_max.min(ADDRESSES_MAX);
        Addresses {
            entries: vec![Entry { address: Addr::UNSPECIFIED, sessions: 0 }; capacity].into_boxed_slice(),
            index: HashIndex::new(capacity),
            free: (0..capacity as u16).rev().collect(),
        }
    }

    #[inline(always)]
    pub(crate) fn address(&self, at: u16) -> Addr {
        self.entries[at as usize].address
    }

    /// Counts one more session with an address; `hash` is its own. Each needs one [`Addresses::release`].
    pub(crate) fn hold(&mut self, hash: u64, address: Addr) -> Result<u16, Reason> {
        let entries = &mut self.entries;
        if let Some(at) = self.index.find(hash, |at| entries[at as usize].address == address) {
            entries[at as usize].sessions += 1;
            return Ok(at as u16);
        }
        let at = *self.free.last().ok_or(Reason::NatTableFull)?;
        self.index.insert(hash, at as u32).map_err(|_| Reason::NatTableFull)?;
        self.free.pop();
        entries[at as usize] = Entry { address, sessions: 1 };
        Ok(at)
    }

    /// Counts one session with an address less; with the last one it is forgotten. `hash` is its own.
    pub(crate) fn release(&mut self, hash: u64, at: u16) {
        let held = &mut self.entries[at as usize];
        held.sessions -= 1;
        if held.sessions == 0 {
            self.index.remove(hash, at as u32);
            self.free.push(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_kept_as_long_as_it_has_sessions() {
        let mut vips = Addresses::new(2);
        let address = |last| Addr::from_v4([192, 0, 2, last]);
        let (first, second) = (vips.hold(1, address(1)).unwrap(), vips.hold(2, address(2)).unwrap());
        assert_ne!(first, second);
        assert_eq!(vips.hold(1, address(1)), Ok(first));
        assert_eq!((vips.address(first), vips.address(second)), (address(1), address(2)));
        assert_eq!(vips.hold(3, address(3)), Err(Reason::NatTableFull));
        vips.release(1, first);
        assert_eq!(vips.hold(3, address(3)), Err(Reason::NatTableFull));
        vips.release(1, first);
        let third = vips.hold(3, address(3)).unwrap();
        assert_eq!(vips.address(third), address(3));
        assert_eq!(vips.index.len(), 2);
    }
}
