//! The sequence recovery function: one window per received stream, allocated at start.

use crate::topology::NodeId;
use crate::window::{Verdict, Window, words_for};
use foldhash::fast::FixedState;
use packet::Reason;
use packet::index::HashIndex;
use prefetch_index::prefetch_index;
use std::hash::BuildHasher;

/// Names a stream among all that a node receives: the sending node, its worker, and the bucket of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamKey {
    /// The sending node.
    pub source: NodeId,
    /// Sending worker in the high byte, bucket in the low one.
    pub stream: u16,
    /// Whether its packets are sealed. What is not has a window of its own: anyone could poison it.
    pub sealed: bool,
}

/// A stream's place, until the [`Elimination`] is dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamIndex(u32);

/// A stream that has passed nothing for so long begins anew, ns: frerSeqRcvyResetMSec of IEEE 802.1CB. Longer than
/// one path can lead another by.
pub const RECOVERY_RESET_NS: u64 = 2_000_000_000;

/// What a stream has counted (IEEE 802.1CB section 10.8), in packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// First copies.
    pub passed: u64,
    /// Of these, the ones that came after a younger packet.
    pub out_of_order: u64,
    /// Further copies.
    pub discarded: u64,
    /// Copies older than the window.
    pub rogue: u64,
    /// Packets of which no copy came in time.
    pub lost: u64,
}

/// All that a packet touches of its stream: one cache line.
#[repr(C, align(64))]
struct Stream {
    key: StreamKey,
    window: Window,
    counts: Counts,
}

const _: () = assert!(core::mem::size_of::<Stream>() == 64, "a stream fits a cache line");

/// What the sweep knows of a stream.
#[derive(Clone, Copy, Default)]
struct Watch {
    /// Packets passed when the sweep came by last.
    passed: u64,
    /// Since when it is that many, ns.
    since_ns: u64,
    resets: u64,
}

/// The windows of all streams that one worker receives.
pub struct Elimination {
    index: HashIndex,
    hasher: FixedState,
    streams: Vec<Stream>,
    watches: Vec<Watch>,
    /// Where the sweep goes on.
    swept: usize,
    lost: u64,
    resets: u64,
    rings: Box<[u64]>,
    words: usize,
    size: u64,
}

impl Elimination {
    /// Windows of `size` sequence numbers (rounded up to a multiple of 64) for at most `streams` streams.
    /// The memory, `streams` × `size` ÷ 8 bytes (`size` rounded up to a power of two), is claimed here and touched as streams appear.
    pub fn new(streams: usize, size: usize, seed: u64) -> Elimination {
        let size = size.max(64).next_multiple_of(64);
        let words = words_for(size);
        Elimination {
            index: HashIndex::new(streams),
            hasher: FixedState::with_seed(seed),
            streams: Vec::with_capacity(streams),
            watches: Vec::with_capacity(streams),
            swept: 0,
            lost: 0,
            resets: 0,
            rings: vec![0; streams * words].into_boxed_slice(),
            words,
            size: size as u64,
        }
    }

    /// The place of a stream, made on its first packet.
    ///
    /// # Errors
    /// [`Reason::OverlayUnknownStream`] when all places are taken.
    #[inline(always)]
    pub fn stream(&mut self, key: StreamKey) -> Result<StreamIndex, Reason> {
        let hash = self.hasher.hash_one(key);
        let streams = &self.streams;
        let same = |slot: u32| streams.get(slot as usize).is_some_and(|stream| stream.key == key);
        match self.index.find(hash, same) {
            Some(slot) => Ok(StreamIndex(slot)),
            None => self.open(hash, key),
        }
    }

    #[cold]
    fn open(&mut self, hash: u64, key: StreamKey) -> Result<StreamIndex, Reason> {
        let slot = self.streams.len() as u32;
        if self.streams.len() == self.streams.capacity() || self.index.insert(hash, slot).is_err() {
            return Err(Reason::OverlayUnknownStream);
        }
        self.streams.push(Stream { key, window: Window::default(), counts: Counts::default() });
        self.watches.push(Watch::default());
        Ok(StreamIndex(slot))
    }

    /// Hints that a sequence number of a stream is judged soon.
    #[inline(always)]
    pub fn prefetch(&self, stream: StreamIndex, sequence: u64) {
        let word = (sequence / 64) as usize & (self.words - 1);
        prefetch_index(&self.rings, stream.0 as usize * self.words + word);
    }

    /// A stream's window, to judge a packet by and then to count it.
    #[inline(always)]
    pub fn recovery(&mut self, stream: StreamIndex) -> Option<Recovery<'_>> {
        let at = stream.0 as usize * self.words;
        let ring = self.rings.get_mut(at..at + self.words)?;
        let stream = self.streams.get_mut(stream.0 as usize)?;
        Some(Recovery { stream, ring, size: self.size, lost: &mut self.lost })
    }

    /// Judges a sequence number and remembers it at once if it passes, where there is nothing to check in between.
    #[inline(always)]
    pub fn offer(&mut self, stream: StreamIndex, sequence: u64) -> Verdict {
        let Some(mut recovery) = self.recovery(stream) else { return Verdict::Rogue };
        let verdict = recovery.look(sequence);
        if verdict.passes() {
            recovery.pass(sequence, verdict)
        } else {
            recovery.refuse(verdict)
        }
        verdict
    }

    /// Has streams begin anew that passed nothing for [`RECOVERY_RESET_NS`], so that a sender whose clock was set
    /// back is heard again. Looks at so many streams, and ends with the first that does: clearing a window takes
    /// a while. A sealed stream keeps its window: what was recorded off the wire must never
    /// pass again, and its sender starts anew with a key of its own.
    pub fn sweep(&mut self, now_ns: u64, streams: usize) {
        for _ in 0..streams.min(self.streams.len()) {
            let at = if self.swept < self.streams.len() { self.swept } else { 0 };
            self.swept = at + 1;
            let (Some(stream), Some(watch)) = (self.streams.get_mut(at), self.watches.get_mut(at)) else {
                return;
            };
            if stream.counts.passed != watch.passed || watch.since_ns == 0 {
                (watch.passed, watch.since_ns) = (stream.counts.passed, now_ns);
                continue;
            }
            let idle = now_ns.saturating_sub(watch.since_ns) >= RECOVERY_RESET_NS;
            if !idle || stream.key.sealed || stream.window.highest().is_none() {
                continue;
            }
            if let Some(ring) = self.rings.get_mut(at * self.words..(at + 1) * self.words) {
                let lost = stream.window.reset(ring);
                stream.counts.lost += lost;
                self.lost += lost;
                watch.resets += 1;
                self.resets += 1;
                return;
            }
        }
    }

    /// The streams from number `from` on: key, highest sequence number that passed since the last reset, counts,
    /// resets.
    pub fn list(&self, from: usize) -> impl Iterator<Item = (StreamKey, Option<u64>, Counts, u64)> + '_ {
        let both = self.streams.iter().zip(&self.watches).skip(from);
        both.map(|(stream, watch)| (stream.key, stream.window.highest(), stream.counts, watch.resets))
    }

    /// Packets lost in all streams.
    pub fn lost(&self) -> u64 {
        self.lost
    }

    /// Resets of all streams.
    pub fn resets(&self) -> u64 {
        self.resets
    }

    /// Streams seen so far.
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether no stream was seen yet.
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Streams that have a place.
    pub fn capacity(&self) -> usize {
        self.streams.capacity()
    }
}

/// One stream's window: looking and passing are two steps, with authentication in between.
pub struct Recovery<'a> {
    stream: &'a mut Stream,
    ring: &'a mut [u64],
    size: u64,
    lost: &'a mut u64,
}

impl Recovery<'_> {
    /// Judges a sequence number without remembering it.
    #[inline(always)]
    pub fn look(&self, sequence: u64) -> Verdict {
        self.stream.window.look(self.ring, self.size, sequence)
    }

    /// Remembers a sequence number that may pass, once its packet is known to be whole: a forged or damaged copy
    /// must not take the place of the good one.
    #[inline(always)]
    pub fn pass(&mut self, sequence: u64, verdict: Verdict) {
        let counts = &mut self.stream.counts;
        counts.passed += 1;
        counts.out_of_order += (verdict == Verdict::PassOutOfOrder) as u64;
        let lost = self.stream.window.mark(self.ring, sequence);
        if lost > 0 {
            counts.lost += lost;
            *self.lost += lost;
        }
    }

    /// Counts a copy that does not pass.
    #[inline(always)]
    pub fn refuse(&mut self, verdict: Verdict) {
        self.stream.counts.discarded += (verdict == Verdict::Discard) as u64;
        self.stream.counts.rogue += (verdict == Verdict::Rogue) as u64;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_apart_and_bounded() {
        let mut elimination = Elimination::new(2, 64, 1);
        let capacity = elimination.capacity();
        let key = |stream| StreamKey { source: NodeId(1), stream, sealed: false };
        let first = elimination.stream(key(1)).unwrap();
        let second = elimination.stream(key(2)).unwrap();
        assert_eq!(elimination.offer(first, 5), Verdict::Pass);
        assert_eq!(elimination.offer(second, 5), Verdict::Pass);
        assert_eq!(elimination.offer(first, 5), Verdict::Discard);
        assert_eq!(elimination.stream(key(1)), Ok(first));
        let mut refused = 0;
        for stream in 3..100 {
            refused += elimination.stream(key(stream)).is_err() as usize;
        }
        assert_eq!(refused, 97 - (capacity - 2));
        assert_eq!(elimination.len(), capacity);
    }

    #[test]
    fn a_sender_whose_clock_was_set_back_is_heard_again_unless_it_is_sealed() {
        const MS: u64 = 1_000_000;
        for sealed in [false, true] {
            let mut elimination = Elimination::new(1, 64, 1);
            let stream = elimination.stream(StreamKey { source: NodeId(1), stream: 0, sealed }).unwrap();
            for sequence in (1 << 40)..(1 << 40) + 10 {
                let mut recovery = elimination.recovery(stream).unwrap();
                let verdict = recovery.look(sequence);
                recovery.pass(sequence, verdict);
            }
            // Rogue packets do not keep it from resetting.
            let mut heard_ms = None;
            for ms in 1..5000 {
                elimination.sweep(ms * MS, 64);
                if elimination.offer(stream, 1000 + ms).passes() && heard_ms.is_none() {
                    heard_ms = Some(ms);
                }
            }
            assert_eq!(heard_ms, (!sealed).then_some(2001));
            let (_, highest, counts, resets) = elimination.list(0).next().unwrap();
            assert_eq!((counts.lost, resets), (0, !sealed as u64));
            assert_eq!(highest, Some(if sealed { (1 << 40) + 9 } else { 5999 }));
            assert_eq!(elimination.offer(stream, (1 << 40) + 9).passes(), !sealed);
        }
    }

    #[test]
    fn what_no_path_delivered_is_counted_as_lost_once() {
        let mut elimination = Elimination::new(1, 128, 1);
        let stream = elimination.stream(StreamKey { source: NodeId(1), stream: 0, sealed: false }).unwrap();
        for sequence in (5_000_000..5_010_000u64).filter(|sequence| sequence % 10 != 3) {
            elimination.offer(stream, sequence);
        }
        elimination.offer(stream, 5_020_000);
        elimination.offer(stream, 5_020_000 + (1 << 31));
        assert_eq!(elimination.lost(), 1000 + 10_000);
    }
}
