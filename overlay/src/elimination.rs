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

struct Stream {
    key: StreamKey,
    window: Window,
}

/// The windows of all streams that one worker receives.
pub struct Elimination {
    index: HashIndex,
    hasher: FixedState,
    streams: Vec<Stream>,
    rings: Box<[u64]>,
    words: usize,
    size: u64,
}

impl Elimination {
    /// Windows of `size` sequence numbers (rounded up to a multiple of 64) for at most `streams` streams.
    /// The memory, `streams` × `size` ÷ 4 bytes at most, is claimed here and touched as streams appear.
    pub fn new(streams: usize, size: usize, seed: u64) -> Elimination {
        let size = size.max(64).next_multiple_of(64);
        let words = words_for(size);
        Elimination {
            index: HashIndex::new(streams),
            hasher: FixedState::with_seed(seed),
            streams: Vec::with_capacity(streams),
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
        self.streams.push(Stream { key, window: Window::default() });
        Ok(StreamIndex(slot))
    }

    /// Hints that a sequence number of a stream is judged soon.
    #[inline(always)]
    pub fn prefetch(&self, stream: StreamIndex, sequence: u64) {
        let word = (sequence / 64) as usize & (self.words - 1);
        prefetch_index(&self.rings, stream.0 as usize * self.words + word);
    }

    /// Judges a sequence number without remembering it.
    #[inline(always)]
    pub fn look(&self, stream: StreamIndex, sequence: u64) -> Verdict {
        let at = stream.0 as usize * self.words;
        match (self.streams.get(stream.0 as usize), self.rings.get(at..at + self.words)) {
            (Some(stream), Some(ring)) => stream.window.look(ring, self.size, sequence),
            _ => Verdict::Rogue,
        }
    }

    /// Remembers a sequence number that [`Elimination::look`] let pass, once its packet is known to be whole: a
    /// forged or damaged copy must not take the place of the good one.
    #[inline(always)]
    pub fn mark(&mut self, stream: StreamIndex, sequence: u64) {
        let at = stream.0 as usize * self.words;
        if let (Some(stream), Some(ring)) =
            (self.streams.get_mut(stream.0 as usize), self.rings.get_mut(at..at + self.words))
        {
            stream.window.mark(ring, sequence);
        }
    }

    /// Judges a sequence number and remembers it at once if it passes, where there is nothing to check in between.
    #[inline(always)]
    pub fn offer(&mut self, stream: StreamIndex, sequence: u64) -> Verdict {
        let verdict = self.look(stream, sequence);
        if verdict.passes() {
            self.mark(stream, sequence);
        }
        verdict
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
}
