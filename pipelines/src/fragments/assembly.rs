//! Datagrams under way in fragments, in one direction: what has come of each, where it goes, and what waits.
//!
//! ```text
//!   hash of the source ──► set of 64 places ──► place of a datagram: coverage, target
//!                                                 ▲
//!   held fragments (256): buffer, note, place ────┘
//! ```
//!
//! A source has one set for all its datagrams, so that no flood from one source takes the places of others; the oldest
//! of the set makes room. Fragments that wait for their first are few, of each source and altogether. Nothing is
//! allocated after the start, and nothing waits for long.

use super::coverage::Coverage;
use core::hash::BuildHasher;
use foldhash::quality::FixedState;
use nat::SessionIndex;
use packet::extent::Extent;
use packet::{Addr, Reason};

/// What the fragments of one datagram have in common (RFC 791 section 3.2, RFC 8200 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Datagram {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Identification.
    pub identification: u32,
    /// Protocol; 0 for IPv6, which does not tell by it.
    pub protocol: u8,
}

/// Where the fragments of a datagram go, once its first has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Through a session, with this identification.
    Session(SessionIndex, u32),
    /// To another worker, which has the session.
    Worker(u16),
    /// Nowhere.
    Nowhere(Reason),
}

/// Which datagram; valid until the next one is tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(u32);

#[derive(Clone, Copy, Debug)]
struct Entry {
    datagram: Datagram,
    coverage: Coverage,
    target: Option<Target>,
    until_s: u32,
    held: u16,
}

#[derive(Debug)]
struct Held<B, T> {
    buf: B,
    note: T,
    place: u32,
    since_s: u32,
}

const SETS: usize = 64;
const WAYS: usize = 64;
/// Fragments that wait at most, of one set and of all.
const HELD_SET_MAX: u16 = 96;
const HELD_MAX: usize = 256;
/// How long a datagram is remembered, seconds: as long as receivers wait (RFC 1122 section 3.3.2, Linux' 30 s).
const LIFETIME_S: u32 = 30;
/// How long a fragment waits for its first, seconds, and at most one more: far longer than paths differ.
const HOLD_S: u32 = 1;
/// The tag of an empty place.
const EMPTY: u32 = 0;

/// The datagrams of one direction; `T` is what is kept with a fragment that waits.
#[derive(Debug)]
pub struct Assembly<B, T> {
    entries: Box<[Option<Entry>]>,
    /// A part of each datagram's hash, apart, so that a search reads few cache lines.
    tags: Box<[u32]>,
    /// By set: the place to take when all are taken.
    oldest: [u8; SETS],
    held_of_set: [u16; SETS],
    held: Box<[Option<Held<B, T>>]>,
    held_next: usize,
    held_count: usize,
    hasher: FixedState,
    swept_s: u32,
}

impl<B, T> Assembly<B, T> {
    /// Room for 4096 datagrams, or for none where the node needs none.
    pub fn new(seed: u64, wanted: bool) -> Assembly<B, T> {
        let (places, held) = if wanted { (SETS * WAYS, HELD_MAX) } else { (0, 0) };
        Assembly {
            entries: vec![None; places].into_boxed_slice(),
            tags: vec![EMPTY; places].into_boxed_slice(),
            oldest: [0; SETS],
            held_of_set: [0; SETS],
            held: (0..held).map(|_| None).collect(),
            held_next: 0,
            held_count: 0,
            hasher: FixedState::with_seed(seed),
            swept_s: 0,
        }
    }

    /// Fragments that wait for their first.
    pub fn held(&self) -> usize {
        self.held_count
    }

    /// Notes a fragment of a datagram. Gives the datagram's place and where it goes, as far as that is known; what
    /// waited for a datagram that had to make room comes out by `thrown`.
    ///
    /// # Errors
    /// What the fragment is to be dropped for.
    pub fn track(
        &mut self,
        now_s: u32,
        datagram: Datagram,
        part: Extent,
        thrown: impl FnMut(B, Reason),
    ) -> Result<(Place, Option<Target>), Reason> {
        if self.entries.is_empty() {
            return Err(Reason::WrongRole);
        }
        let place = self.place_of(now_s, datagram, thrown);
        let entry = self.entries[place].as_mut().ok_or(Reason::FragmentLimit)?;
        if let Some(Target::Nowhere(reason)) = entry.target {
            return Err(reason);
        }
        match entry.coverage.add(part) {
            Ok(()) => {}
            Err(Reason::FragmentDuplicate) => return Err(Reason::FragmentDuplicate),
            Err(reason) => {
                entry.target = Some(Target::Nowhere(reason));
                return Err(reason);
            }
        }
        let target = entry.target;
        if entry.coverage.is_whole() && target.is_some() {
            self.forget(place);
        }
        Ok((Place(place as u32), target))
    }

    /// Says where a datagram goes, whose first fragment has come; what waits for it is to be taken with
    /// [`Assembly::release`].
    pub fn settle(&mut self, place: Place, target: Target) {
        let Some(Some(entry)) = self.entries.get_mut(place.0 as usize) else { return };
        entry.target = Some(target);
        if entry.held == 0 && entry.coverage.is_whole() && !matches!(target, Target::Nowhere(_)) {
            self.forget(place.0 as usize);
        }
    }

    /// Has a fragment wait for its first. Where there is no room, one that waits longer comes out by `thrown`, or this one.
    pub fn hold(&mut self, now_s: u32, place: Place, buf: B, note: T, mut thrown: impl FnMut(B, Reason)) {
        let set = place.0 as usize / WAYS;
        if self.held.is_empty() || self.held_of_set[set] >= HELD_SET_MAX {
            return thrown(buf, Reason::FragmentLimit);
        }
        let free = (0..self.held.len()).map(|step| (self.held_next + step) % self.held.len());
        let at = free.into_iter().find(|at| self.held[*at].is_none()).unwrap_or(self.held_next);
        self.held_next = (at + 1) % self.held.len();
        if let Some(Held { buf, .. }) = self.unhold(at) {
            thrown(buf, Reason::FragmentLimit);
        }
        let Some(Some(entry)) = self.entries.get_mut(place.0 as usize) else {
            return thrown(buf, Reason::FragmentLimit);
        };
        entry.held += 1;
        self.held_of_set[set] += 1;
        self.held_count += 1;
        self.held[at] = Some(Held { buf, note, place: place.0, since_s: now_s });
    }

    /// The next fragment that waits for a datagram, about in the order of their coming.
    pub fn release(&mut self, place: Place) -> Option<(B, T)> {
        let waiting = self.entries.get(place.0 as usize)?.as_ref()?.held;
        if waiting == 0 {
            return None;
        }
        let steps = (0..self.held.len()).map(|step| (self.held_next + step) % self.held.len());
        let mine = |held: &Option<Held<B, T>>| held.as_ref().is_some_and(|held| held.place == place.0);
        let at = steps.into_iter().find(|at| mine(&self.held[*at]))?;
        let Held { buf, note, .. } = self.unhold(at)?;
        let entry = self.entries.get(place.0 as usize)?.as_ref()?;
        if waiting == 1
            && entry.coverage.is_whole()
            && !matches!(entry.target, Some(Target::Nowhere(_)) | None)
        {
            self.forget(place.0 as usize);
        }
        Some((buf, note))
    }

    /// Lets go of what has waited too long, once a second.
    pub fn sweep(&mut self, now_s: u32, mut thrown: impl FnMut(B, Reason)) {
        if self.held_count == 0 || self.swept_s == now_s {
            return;
        }
        self.swept_s = now_s;
        for at in 0..self.held.len() {
            let late = |held: &Held<B, T>| now_s.saturating_sub(held.since_s) > HOLD_S;
            if self.held[at].as_ref().is_some_and(late)
                && let Some(Held { buf, .. }) = self.unhold(at)
            {
                thrown(buf, Reason::FragmentOrphan);
            }
        }
    }

    /// Lets go of all that waits, and has nothing wait from now on.
    pub fn close(&mut self, mut thrown: impl FnMut(B, Reason)) {
        for at in 0..self.held.len() {
            if let Some(Held { buf, .. }) = self.unhold(at) {
                thrown(buf, Reason::Stopping);
            }
        }
        self.held = Box::default();
    }

    /// The place of a datagram, made for it if it has none.
    fn place_of(&mut self, now_s: u32, datagram: Datagram, mut thrown: impl FnMut(B, Reason)) -> usize {
        let set = self.hasher.hash_one(prefix(datagram.src)) as usize % SETS;
        let tag = (self.hasher.hash_one(datagram) as u32).max(EMPTY + 1);
        let places = set * WAYS..(set + 1) * WAYS;
        let tags = &self.tags[places.clone()];
        let is_it = |at: &usize| {
            self.tags[*at] == tag
                && self.entries[*at].as_ref().is_some_and(|entry| entry.datagram == datagram)
        };
        let found = places.clone().find(is_it);
        let at = found.or_else(|| tags.iter().position(|tag| *tag == EMPTY).map(|at| places.start + at));
        let at = at.unwrap_or_else(|| {
            let oldest = self.oldest[set] as usize;
            self.oldest[set] = ((oldest + 1) % WAYS) as u8;
            places.start + oldest
        });
        let live = |entry: &Entry| entry.datagram == datagram && now_s < entry.until_s;
        if !self.entries[at].as_ref().is_some_and(live) {
            while let Some((buf, _)) = self.release(Place(at as u32)) {
                thrown(buf, Reason::FragmentLimit);
            }
            let until_s = now_s.saturating_add(LIFETIME_S);
            self.entries[at] =
                Some(Entry { datagram, coverage: Coverage::NONE, target: None, until_s, held: 0 });
            self.tags[at] = tag;
        }
        at
    }

    fn forget(&mut self, place: usize) {
        self.entries[place] = None;
        self.tags[place] = EMPTY;
    }

    fn unhold(&mut self, at: usize) -> Option<Held<B, T>> {
        let held = self.held.get_mut(at)?.take()?;
        self.held_count -= 1;
        self.held_of_set[held.place as usize / WAYS] -= 1;
        if let Some(Some(entry)) = self.entries.get_mut(held.place as usize) {
            entry.held -= 1;
        }
        Some(held)
    }
}

/// What counts as one source: whoever has an IPv6 address has 2^64 of them.
fn prefix(source: Addr) -> u128 {
    let bits = source.to_bits();
    if source.is_v4() { bits } else { bits >> 64 }
}

#[cfg(test)]
#[path = "assembly_tests.rs"]
mod tests;
