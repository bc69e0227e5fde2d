//! The sequence recovery function: one window per received stream, allocated at start, and what is counted of it.

mod latent;
mod shares;
mod watch;

pub use shares::{PathCounts, SHARES};
pub use watch::Watching;

use crate::topology::NodeId;
use crate::window::{Verdict, Window, words_for};
use foldhash::fast::FixedState;
use packet::Reason;
use packet::index::HashIndex;
use prefetch_index::prefetch_index;
use shares::{NEAR, Share};
use std::hash::BuildHasher;
use watch::Watch;

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

/// A stream, for listings.
#[derive(Clone, Copy, Debug)]
pub struct StreamView {
    /// Its name.
    pub key: StreamKey,
    /// Highest sequence number that passed since it last began anew.
    pub highest: Option<u64>,
    /// Its counts.
    pub counts: Counts,
    /// Times that it began anew.
    pub resets: u64,
    /// Whether a path owes its copies, one that is not known included.
    pub latent: bool,
    /// Its paths by the caller's numbers, what each contributed, and whether it is silent.
    pub paths: [Option<(u16, PathCounts, bool)>; SHARES],
}

/// All that a packet touches of its stream: one cache line.
#[repr(C, align(64))]
struct Stream {
    key: StreamKey,
    /// Which life of its sender the window is of; 0 where it is not sealed, or nothing came yet.
    life: u16,
    window: Window,
    /// What was lost since the sweep came by last.
    lost: u32,
    /// Copies beyond the first of packets that passed since then.
    owed: u32,
    near: [Share; NEAR],
}

const _: () = assert!(core::mem::size_of::<Stream>() == 64, "a stream fits a cache line");

/// Streams whose places are found without hashing.
const RECENT: usize = 1024;

/// Where the place of a stream is noted: those of one sender stand side by side, each sender's at the other end of a
/// stride. Whom another one displaces is found by its hash.
#[inline(always)]
fn recent(key: StreamKey) -> usize {
    let StreamKey { source, stream, sealed } = key;
    let (worker, bucket) = (stream >> 8, stream & 0xff);
    (bucket ^ (worker << 4) ^ source.0.wrapping_mul(0x6d) ^ u16::from(sealed) << 9) as usize % RECENT
}

/// The windows of all streams that one worker receives.
pub struct Elimination {
    index: HashIndex,
    /// Places of streams that were looked up before, by [`recent`].
    recent: Box<[u32; RECENT]>,
    hasher: FixedState,
    streams: Vec<Stream>,
    /// Further paths of each stream.
    far: Vec<[Share; SHARES - NEAR]>,
    watches: Vec<Watch>,
    watching: Watching,
    /// Where the sweep goes on.
    swept: usize,
    totals: Totals,
    rings: Box<[u64]>,
    words: usize,
    size: u64,
}

/// What all streams together have counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Packets lost, as far as the sweep has come by.
    pub lost: u64,
    /// Times that streams began anew.
    pub resets: u64,
    /// Steps ahead by more than [`Watching::jump`], of sealed streams.
    pub jumps: u64,
    /// The last stream that made one: source node and stream id.
    pub jumped: (u16, u16),
    /// Streams of which a path is silent now.
    pub latent: u64,
    /// Latent errors found.
    pub latent_errors: u64,
}

impl Elimination {
    /// Windows of `size` sequence numbers (rounded up to a multiple of 64) for at most `streams` streams.
    /// The memory, `streams` × (`size` ÷ 8 + about 400) bytes (`size` rounded up to a power of two), is claimed here and
    /// touched as streams appear.
    pub fn new(streams: usize, size: usize, seed: u64) -> Elimination {
        let size = size.max(64).next_multiple_of(64);
        let words = words_for(size);
        Elimination {
            index: HashIndex::new(streams),
            recent: Box::new([u32::MAX; RECENT]),
            hasher: FixedState::with_seed(seed),
            streams: Vec::with_capacity(streams),
            far: Vec::with_capacity(streams),
            watches: Vec::with_capacity(streams),
            watching: Watching::default(),
            swept: 0,
            totals: Totals::default(),
            rings: vec![0; streams * words].into_boxed_slice(),
            words,
            size: size as u64,
        }
    }

    /// Watches streams in this way from now on.
    pub fn watch(&mut self, watching: Watching) {
        self.watching = watching;
    }

    /// The place of a stream, made on its first packet.
    ///
    /// # Errors
    /// [`Reason::OverlayUnknownStream`] when all places are taken.
    #[inline(always)]
    pub fn stream(&mut self, key: StreamKey) -> Result<StreamIndex, Reason> {
        let recent = self.recent[recent(key)];
        match self.streams.get(recent as usize) {
            Some(stream) if stream.key == key => Ok(StreamIndex(recent)),
            _ => self.seek(key),
        }
    }

    #[inline(never)]
    fn seek(&mut self, key: StreamKey) -> Result<StreamIndex, Reason> {
        let hash = self.hasher.hash_one(key);
        let streams = &self.streams;
        let same = |slot: u32| streams.get(slot as usize).is_some_and(|stream| stream.key == key);
        let place = match self.index.find(hash, same) {
            Some(slot) => StreamIndex(slot),
            None => self.open(hash, key)?,
        };
        self.recent[recent(key)] = place.0;
        Ok(place)
    }

    #[cold]
    fn open(&mut self, hash: u64, key: StreamKey) -> Result<StreamIndex, Reason> {
        let slot = self.streams.len() as u32;
        if self.streams.len() == self.streams.capacity() || self.index.insert(hash, slot).is_err() {
            return Err(Reason::OverlayUnknownStream);
        }
        let near = [Share::default(); NEAR];
        self.streams.push(Stream { key, life: 0, window: Window::default(), lost: 0, owed: 0, near });
        self.far.push([Share::default(); SHARES - NEAR]);
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
        let first = stream.0 as usize * self.words;
        let ring = self.rings.get_mut(first..first + self.words)?;
        let at = stream.0 as usize;
        let stream = self.streams.get_mut(at)?;
        let (far, size, jump, totals) = (&mut self.far, &self.size, &self.watching.jump, &mut self.totals);
        Some(Recovery { stream, ring, at, far, size, jump, totals })
    }

    /// Judges a sequence number of a packet with one copy, and remembers it at once if it passes, where there is nothing
    /// to check in between.
    #[inline(always)]
    pub fn offer(&mut self, stream: StreamIndex, sequence: u64) -> Verdict {
        let Some(mut recovery) = self.recovery(stream) else { return Verdict::Rogue };
        let verdict = recovery.look(sequence);
        if verdict.passes() {
            recovery.pass(sequence, verdict, 0, 1)
        } else {
            recovery.refuse(verdict, 0)
        }
        verdict
    }

    /// Begins a stream's window anew in another life of its sender, of which a packet has just been authenticated: the keys
    /// of the life before are gone, so nothing that was recorded in it opens any more, and of this life nothing has passed
    /// yet. Once only for each life, or what passed could pass again.
    #[cold]
    pub fn begin(&mut self, stream: StreamIndex, life: u16) {
        let at = stream.0 as usize;
        let ring = self.rings.get_mut(at * self.words..(at + 1) * self.words);
        let (Some(stream), Some(watch), Some(ring)) =
            (self.streams.get_mut(at), self.watches.get_mut(at), ring)
        else {
            return;
        };
        if stream.life == life {
            return;
        }
        stream.life = life;
        if stream.window.highest().is_some() {
            let lost = stream.window.reset(ring);
            watch.lost += lost;
            watch.resets += 1;
            self.totals.lost += lost;
            self.totals.resets += 1;
        }
    }

    /// The streams from number `from` on.
    pub fn list(&self, from: usize) -> impl Iterator<Item = StreamView> + '_ {
        let all = self.streams.iter().zip(&self.far).zip(&self.watches).skip(from);
        all.map(|((stream, far), watch)| watch.view(stream, far))
    }

    /// What all streams together have counted.
    pub fn totals(&self) -> Totals {
        self.totals
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
    at: usize,
    // What few packets need is read when one does.
    far: &'a mut Vec<[Share; SHARES - NEAR]>,
    size: &'a u64,
    jump: &'a u64,
    totals: &'a mut Totals,
}

impl Recovery<'_> {
    /// Which life of its sender the window is of; see [`Elimination::begin`].
    #[inline(always)]
    pub fn life(&self) -> u16 {
        self.stream.life
    }

    /// Judges a sequence number without remembering it.
    #[inline(always)]
    pub fn look(&self, sequence: u64) -> Verdict {
        self.stream.window.look(self.ring, *self.size, sequence)
    }

    /// Remembers a sequence number that may pass, once its packet is known to be whole: a forged or damaged copy
    /// must not take the place of the good one. `path` is the caller's number for the path that it came over; so many
    /// copies of it left its sender, 0 if that is not known.
    #[inline(always)]
    pub fn pass(&mut self, sequence: u64, verdict: Verdict, path: u16, copies: u8) {
        let stream = &mut *self.stream;
        // What is not sealed may jump as it likes: its window begins anew.
        if stream.key.sealed && stream.window.step(sequence) > *self.jump {
            self.totals.jumps += 1;
            self.totals.jumped = (stream.key.source.0, stream.key.stream);
        }
        let lost = stream.window.mark(self.ring, sequence);
        if lost > 0 {
            stream.lost = stream.lost.saturating_add(u32::try_from(lost).unwrap_or(u32::MAX));
        }
        stream.owed = stream.owed.wrapping_add(u32::from(copies.saturating_sub(1)));
        shares::share(&mut stream.near, self.far, self.at, path).count(verdict);
    }

    /// Counts a copy that does not pass.
    #[inline(always)]
    pub fn refuse(&mut self, verdict: Verdict, path: u16) {
        shares::share(&mut self.stream.near, self.far, self.at, path).count(verdict);
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
                recovery.pass(sequence, verdict, 0, 1);
            }
            // Rogue packets do not keep it from resetting.
            let mut heard_ms = None;
            for ms in 1..5000 {
                elimination.sweep(ms * MS, 64, |_, _| {});
                if elimination.offer(stream, 1000 + ms).passes() && heard_ms.is_none() {
                    heard_ms = Some(ms);
                }
            }
            assert_eq!(heard_ms, (!sealed).then_some(2001));
            let view = elimination.list(0).next().unwrap();
            assert_eq!((view.counts.lost, view.resets), (0, !sealed as u64));
            assert_eq!(view.highest, Some(if sealed { (1 << 40) + 9 } else { 5999 }));
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
        assert_eq!(elimination.list(0).next().unwrap().counts.lost, 1000 + 10_000);
        elimination.sweep(1, 1, |_, _| {});
        assert_eq!(elimination.totals().lost, 1000 + 10_000);
    }

    #[test]
    fn a_life_begins_anew_once_and_nothing_of_it_passes_twice() {
        let mut elimination = Elimination::new(1, 64, 1);
        let stream = elimination.stream(StreamKey { source: NodeId(1), stream: 0, sealed: true }).unwrap();
        elimination.begin(stream, 1);
        assert!((1000..1010).all(|sequence| elimination.offer(stream, sequence).passes()));
        // Its clock went back.
        assert_eq!(elimination.offer(stream, 5), Verdict::Rogue);
        elimination.begin(stream, 2);
        assert!((5..10).all(|sequence| elimination.offer(stream, sequence).passes()));
        elimination.begin(stream, 2);
        assert!((5..10).all(|sequence| !elimination.offer(stream, sequence).passes()));
        let view = elimination.list(0).next().unwrap();
        assert_eq!((view.resets, view.highest), (1, Some(9)));
    }

    #[test]
    fn paths_are_counted_apart_and_more_than_have_a_place_together() {
        let mut elimination = Elimination::new(1, 64, 1);
        let stream = elimination.stream(StreamKey { source: NodeId(1), stream: 0, sealed: false }).unwrap();
        for sequence in 0..600u64 {
            let mut recovery = elimination.recovery(stream).unwrap();
            let verdict = recovery.look(sequence);
            recovery.pass(sequence, verdict, 10 + (sequence % 6) as u16, 2);
            let verdict = recovery.look(sequence);
            recovery.refuse(verdict, 10);
            if sequence % 50 == 0 {
                elimination.sweep(sequence, 1, |_, _| {});
            }
        }
        let view = elimination.list(0).next().unwrap();
        let paths: Vec<_> =
            view.paths.iter().flatten().map(|(path, counts, _)| (*path, counts.passed)).collect();
        assert_eq!(paths, [(10, 100), (11, 100), (12, 100), (13, 300)]);
        assert_eq!(view.paths[0].unwrap().1.discarded, 600);
        assert_eq!((view.counts.passed, view.counts.discarded), (600, 600));
    }

    #[test]
    fn a_jump_of_a_sealed_stream_is_told() {
        let mut elimination = Elimination::new(2, 64, 1);
        for sealed in [false, true] {
            let stream = elimination.stream(StreamKey { source: NodeId(7), stream: 3, sealed }).unwrap();
            for sequence in [1 << 40, (1 << 40) + 1, (1 << 40) + (1 << 21), (1 << 40) + 5, 1 << 50] {
                elimination.offer(stream, sequence);
            }
        }
        assert_eq!((elimination.totals().jumps, elimination.totals().jumped), (2, (7, 3)));
    }

    /// A stream over two paths, the second of which stops, comes back, is left out on purpose, and stops again.
    #[test]
    fn a_path_that_stops_is_told_within_two_periods_and_so_is_its_return() {
        const MS: u64 = 1_000_000;
        let mut elimination = Elimination::new(1, 1024, 1);
        let stream = elimination.stream(StreamKey { source: NodeId(1), stream: 0, sealed: false }).unwrap();
        let (mut sequence, mut now_ms, mut told) = (1000, 0, Vec::new());
        for (second_comes, copies, silent) in
            [(true, 2, false), (false, 2, true), (true, 2, false), (false, 1, false), (false, 2, true)]
        {
            // 100 packets a second for as long as one copy needs to be judged; 4.1 s are enough for two.
            let until = now_ms + if copies == 1 { 40_000 } else { 4100 };
            while now_ms < until {
                let mut recovery = elimination.recovery(stream).unwrap();
                let verdict = recovery.look(sequence);
                recovery.pass(sequence, verdict, 1, copies);
                if second_comes {
                    recovery.refuse(Verdict::Discard, 2);
                }
                (sequence, now_ms) = (sequence + 1, now_ms + 10);
                elimination.sweep(now_ms * MS, 1, |path, silent| told.push((path, silent)));
            }
            let view = elimination.list(0).next().unwrap();
            let second = view.paths.iter().flatten().find(|(path, ..)| *path == 2).unwrap();
            assert_eq!((second.2, view.latent, elimination.totals().latent), (silent, silent, silent as u64));
        }
        assert_eq!(told, [(2, true), (2, false), (2, true)]);
        assert_eq!(elimination.totals().latent_errors, 2);
    }
}
