//! The VIPs that sessions talk to, each kept once: a session names its VIP in two bytes instead of sixteen.

use packet::index::HashIndex;
use packet::{Addr, Reason};

/// VIPs in use at one time, at most.
const VIPS_MAX: usize = u16::MAX as usize;

#[derive(Clone, Copy)]
struct Vip {
    address: Addr,
    sessions: u32,
}

pub(crate) struct Vips {
    vips: Box<[Vip]>,
    index: HashIndex,
    free: Vec<u16>,
}

impl Vips {
    /// Room for the VIPs of `sessions_max` sessions.
    pub(crate) fn new(sessions_max: usize) -> Vips {
        let capacity = sessions_max.min(VIPS_MAX);
        Vips {
            vips: vec![Vip { address: Addr::UNSPECIFIED, sessions: 0 }; capacity].into_boxed_slice(),
            index: HashIndex::new(capacity),
            free: (0..capacity as u16).rev().collect(),
        }
    }

    #[inline(always)]
    pub(crate) fn address(&self, vip: u16) -> Addr {
        self.vips[vip as usize].address
    }

    /// Counts one more session of a VIP; `hash` is the address's. Each needs one [`Vips::release`].
    pub(crate) fn hold(&mut self, hash: u64, address: Addr) -> Result<u16, Reason> {
        let vips = &mut self.vips;
        if let Some(vip) = self.index.find(hash, |vip| vips[vip as usize].address == address) {
            vips[vip as usize].sessions += 1;
            return Ok(vip as u16);
        }
        let vip = *self.free.last().ok_or(Reason::NatTableFull)?;
        self.index.insert(hash, vip as u32).map_err(|_| Reason::NatTableFull)?;
        self.free.pop();
        vips[vip as usize] = Vip { address, sessions: 1 };
        Ok(vip)
    }

    /// Counts one session of a VIP less; with the last one it is forgotten. `hash` is the address's.
    pub(crate) fn release(&mut self, hash: u64, vip: u16) {
        let held = &mut self.vips[vip as usize];
        held.sessions -= 1;
        if held.sessions == 0 {
            self.index.remove(hash, vip as u32);
            self.free.push(vip);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vip_is_kept_as_long_as_it_has_sessions() {
        let mut vips = Vips::new(2);
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
