//! Finding sessions, in steps with a prefetch between, from either side.

use crate::reverse::ReverseSlot;
use crate::session::{Guess, Key, SessionIndex, Tag};
use crate::table::Nat;
use core::hash::Hasher;
use foldhash::{fast, quality};
use packet::{Addr, Reason};
use prefetch_index::prefetch_index;

impl Nat {
    /// The hash of a key, for the steps that follow.
    #[inline(always)]
    pub fn hash(&self, key: &Key) -> u64 {
        let mut hasher = fast::FoldHasher::with_seed(self.seed, &self.shared_seed);
        // An IPv4 client fits one word with the service: one multiplication instead of two.
        if key.client.is_v4() {
            let client = u32::from_be_bytes(key.client.v4_bytes());
            hasher.write_u64((client as u64) << 32 | key.service.0 as u64);
            hasher.write_u64(key.port as u64);
        } else {
            hasher.write_u128(key.client.to_bits());
            hasher.write_u64((key.service.0 as u64) << 16 | key.port as u64);
        }
        hasher.finish()
    }

    /// The hash of an address, good in all bits: neighbours must spread over few addresses of a pool.
    pub(crate) fn hash_address(&self, address: Addr) -> u64 {
        let mut hasher = quality::FoldHasher::with_seed(self.seed, &self.shared_seed);
        hasher.write_u128(address.to_bits());
        hasher.finish()
    }

    /// The hash that a client's external address follows from. Two gateways that stand in for each other choose alike, so
    /// it can not be this one's secret there.
    pub(crate) fn pair_hash(&self, client: Addr) -> u64 {
        if !self.blocks.is_paired {
            return self.hash_address(client);
        }
        let bits = client.to_bits();
        let half = |bits: u64| {
            let bits = (bits ^ bits >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
            bits ^ bits >> 32
        };
        half(half(bits as u64).wrapping_add((bits >> 64) as u64))
    }

    /// Hints that this hash is looked up soon.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Where the session under this hash stands, most likely, and hints that it is used soon.
    #[inline(always)]
    pub fn guess(&self, hash: u64) -> Guess {
        let session = self.index.guess(hash).unwrap_or(u32::MAX);
        prefetch_index(&self.sessions, session as usize);
        Guess(session)
    }

    /// The session of a key, which almost always stands where it was guessed to, and its tag.
    #[inline(always)]
    pub fn find_guessed(&self, Guess(at): Guess, hash: u64, key: &Key) -> Option<(SessionIndex, Tag)> {
        match self.sessions.get(at as usize) {
            Some(session) if session.is_for(key) & session.is_live() => Some((SessionIndex(at), session.tag)),
            _ => self.find(hash, key).map(|session| (session, self.tag(session))),
        }
    }

    /// The session of a key.
    #[inline(always)]
    pub fn find(&self, hash: u64, key: &Key) -> Option<SessionIndex> {
        let sessions = &self.sessions;
        self.index.find(hash, |at| sessions[at as usize].is_for(key)).map(SessionIndex)
    }

    /// The slot of an external address and port; `port` is an echo's identifier for ICMP. `None` where the address
    /// is not the pool's or the port not of this worker's share.
    #[inline(always)]
    pub fn reverse_slot(&self, dst: Addr, protocol: u8, port: u16) -> Option<ReverseSlot> {
        self.reverse.slot(dst, protocol, port)
    }

    /// Hints that this slot is looked up soon.
    #[inline(always)]
    pub fn prefetch_reverse(&self, slot: ReverseSlot) {
        self.reverse.prefetch(slot);
    }

    /// Hints that the session in this slot, if there is one, is used soon.
    #[inline(always)]
    pub fn guess_prefetch_reverse(&self, slot: ReverseSlot) {
        if let Some(session) = self.reverse.get(slot) {
            prefetch_index(&self.sessions, session as usize);
        }
    }

    /// The session in a slot's mapping that talks to where the packet comes from. `src_port` is an echo's identifier for
    /// ICMP.
    ///
    /// # Errors
    /// [`Reason::NatNoSession`], or [`Reason::NatWrongPeer`] where the packet comes from elsewhere.
    #[inline(always)]
    pub fn find_reverse(&self, slot: ReverseSlot, src: Addr, src_port: u16) -> Result<SessionIndex, Reason> {
        let at = self.reverse.get(slot).ok_or(Reason::NatNoSession)?;
        let session = &self.sessions[at as usize];
        if self.origins.address(session.origin) == src && session.origin_port == src_port {
            return Ok(SessionIndex(at));
        }
        self.find_further(at, src, src_port).map(SessionIndex).ok_or(Reason::NatWrongPeer)
    }
}
