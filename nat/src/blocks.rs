//! Blocks of the pool: the gateway's own addresses, and those of another gateway that it stands in for. Only what is in
//! a block that is *held* may be translated; whoever drives the [`Nat`] sees to that, by asking it for the block of what
//! it is about to translate.
//!
//! A block that another gateway had meanwhile is *purged* before it is held again: a piece of the table at a time.

use crate::other::OTHER;
use crate::session::{Seconds, SessionIndex, UNTRANSLATED};
use crate::table::Nat;
use packet::Addr;

/// Blocks: the gateway's own, and that of its peer.
pub const BLOCKS: usize = 2;

/// Which addresses belong to which block, and which blocks may be translated.
pub(crate) struct Blocks {
    /// The place in the pool at which the peer's block begins.
    pub peers_from: u16,
    /// Whether there is a peer.
    pub is_paired: bool,
    held: [bool; BLOCKS],
    /// Where the purge of each block goes on, if there is one.
    purging: [Option<u32>; BLOCKS],
    /// Whether sessions that another gateway told of may stand in each block.
    stored: [bool; BLOCKS],
}

impl Blocks {
    /// Own addresses only, held for ever.
    pub(crate) fn alone(addresses: usize) -> Blocks {
        Blocks {
            peers_from: addresses as u16,
            is_paired: false,
            held: [true, false],
            purging: [None; BLOCKS],
            stored: [false; BLOCKS],
        }
    }

    /// Own addresses and a peer's behind them; none is held.
    pub(crate) fn paired(own: usize) -> Blocks {
        Blocks { held: [false; BLOCKS], is_paired: true, ..Blocks::alone(own) }
    }

    /// The block of a place in the pool.
    #[inline(always)]
    pub(crate) fn of(&self, place: u16) -> usize {
        (place >= self.peers_from) as usize
    }

    /// Another gateway has told of a session in a block.
    pub(crate) fn note_stored(&mut self, block: usize) {
        if let Some(place) = self.stored.get_mut(block) {
            *place = true;
        }
    }
}

impl Nat {
    /// Whether a block may be translated.
    pub fn is_held(&self, block: usize) -> bool {
        self.blocks.held.get(block).copied().unwrap_or(false)
    }

    /// Says whether a block may be translated from now on.
    pub fn set_held(&mut self, block: usize, held: bool) {
        if let Some(place) = self.blocks.held.get_mut(block) {
            *place = held;
        }
    }

    /// Whether sessions that another gateway told of may stand in a block.
    pub fn has_stored(&self, block: usize) -> bool {
        self.blocks.stored.get(block).copied().unwrap_or(false)
    }

    /// The block of an address of the pool.
    pub fn block_of(&self, address: Addr) -> Option<usize> {
        self.reverse.place(address).map(|place| self.blocks.of(place))
    }

    /// The block that a session's external address is in; `None` where the client keeps its own address.
    pub fn block_of_session(&self, index: SessionIndex) -> Option<usize> {
        if index.0 >= OTHER {
            return self.block_of(self.any_session(index)?.external);
        }
        let session = self.sessions.get(index.index()).filter(|session| session.external != UNTRANSLATED)?;
        Some(self.blocks.of(session.external))
    }

    /// Begins to forget a block's sessions, those of other protocols at once; see [`Nat::purge`].
    pub fn begin_purge(&mut self, block: usize) {
        if let Some(place) = self.blocks.purging.get_mut(block) {
            *place = Some(0);
            self.blocks.stored[block] = false;
            self.clear_others(block);
        }
    }

    /// Whether a block's sessions are being forgotten.
    pub fn is_purging(&self, block: usize) -> bool {
        self.blocks.purging.get(block).copied().flatten().is_some()
    }

    /// Forgets sessions of blocks whose purge has begun, of `places` places of the table at most.
    pub fn purge(&mut self, now: Seconds, places: u32) {
        for block in 0..BLOCKS {
            let Some(from) = self.blocks.purging[block] else { continue };
            let end = from.saturating_add(places).min(self.used);
            for at in from..end {
                let session = &self.sessions[at as usize];
                let belongs = session.is_live()
                    && session.external != UNTRANSLATED
                    && self.blocks.of(session.external) == block;
                if belongs {
                    let hash = self.hash(&session.key());
                    self.remove(now, hash, at);
                }
            }
            self.blocks.purging[block] = (end < self.used).then_some(end);
        }
    }
}
