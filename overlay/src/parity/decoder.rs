//! The receiver's half: recent packets, parity packets that wait, and what is rebuilt of both.
//!
//! A packet that passed is copied to a log, where newer ones overwrite it in time, and noted by its stream and number. A parity packet of
//! whose group nothing is missing is done with; otherwise it stands in the same log, and the numbers that are missing are noted as
//! *wanted*. A group is solved as soon as no more is missing than parity packets are there, and forgotten after a bounded time.
//!
//! Nothing here judges whether a packet may pass: what is rebuilt goes through opening and elimination as if it had come.

use super::log::{Log, Position, Staged};
use super::{Kind, PARITY_MAX, SHARD_MAX, SPAN, Shard, field};
use crate::elimination::StreamIndex;
use crate::topology::NodeId;
use crate::wire::Parity;

/// How much a receiver keeps, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Memory for recent packets, bytes.
    pub bytes: usize,
    /// Groups that wait for packets at one time at most.
    pub groups: usize,
    /// A group waits for so long at most, nanoseconds.
    pub hold_ns: u64,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { bytes: 16 << 20, groups: 1024, hold_ns: 100_000_000 }
    }
}

/// Bytes of the log for which there is a place in the index.
const BYTES_PER_PLACE: usize = 256;
/// Places among which one for a packet is chosen.
const WAYS: usize = 4;
/// No group.
const NONE: u16 = u16::MAX;

/// Where a parity packet came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct From {
    /// Its stream's place.
    pub place: StreamIndex,
    /// The sending node.
    pub source: NodeId,
    /// The stream's number.
    pub stream: u16,
    /// The key epoch of the group's packets.
    pub epoch: u8,
    /// The caller's number of the path that it came over.
    pub path: u16,
}

/// What became of a parity packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// Nothing was missing.
    Unneeded,
    /// Its group can be solved, by [`Decoder::rebuild`].
    Ready,
    /// More is missing than can be rebuilt yet.
    Waits,
    /// Packets of its group are no longer here.
    Unusable,
    /// It contradicts itself, or its group's other parity packets.
    Malformed,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DecoderCounts {
    /// Parity packets of groups of which nothing was missing.
    pub unneeded: u64,
    /// Groups that were given up: too little of them came in time.
    pub unfinished: u64,
    /// Groups that could not be solved: packets of them were no longer there, or contradicted each other.
    pub unusable: u64,
}

/// A number of a stream.
#[derive(Clone, Copy, Default)]
struct Entry {
    sequence: u64,
    /// Where its packet stands, if `len` is not 0; else when it was noted.
    position: Position,
    place: StreamIndex,
    len: u16,
    /// The group that it is missing from.
    wanted: u16,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Free,
    Waiting,
    Ready,
}

#[derive(Clone, Copy, Default)]
struct Group {
    state: State,
    from: From,
    first: u64,
    members: u64,
    missing: u64,
    until_ns: u64,
    parity: [Option<Staged>; PARITY_MAX],
}

impl Group {
    fn parity_count(&self) -> u32 {
        self.parity.iter().flatten().count() as u32
    }

    fn is_solvable(&self) -> bool {
        self.missing.count_ones() <= self.parity_count()
    }

    /// The bit of a number, if it is missing.
    fn missing_bit(&self, place: StreamIndex, sequence: u64) -> Option<u64> {
        let step = sequence.checked_sub(self.first).filter(|step| *step < SPAN)?;
        let is_missing =
            self.state != State::Free && self.from.place == place && self.missing >> step & 1 == 1;
        is_missing.then_some(1 << step)
    }
}

/// Recent packets of all streams that one worker receives, and groups that wait.
#[derive(Default)]
pub struct Decoder {
    bounds: Option<Bounds>,
    log: Option<Log>,
    index: Box<[Entry]>,
    groups: Box<[Group]>,
    /// Where the next group goes, and the oldest that may still be there: in the order in which they came.
    next: usize,
    oldest: usize,
    waiting: usize,
    /// Groups to be solved.
    ready: Vec<u16>,
    /// Sums under work, and one packet.
    scratch: Box<[u8]>,
    counts: DecoderCounts,
}

/// Bytes that are written, and kept once their packet has passed.
#[derive(Clone, Copy, Debug)]
pub struct Copied(Staged);

impl Decoder {
    /// Claims all memory, if that has not been done.
    pub fn reserve(&mut self, bounds: Bounds) {
        if self.bounds.is_some() {
            return;
        }
        let places = (bounds.bytes / BYTES_PER_PLACE).next_power_of_two().max(WAYS);
        let groups = bounds.groups.clamp(1, usize::from(NONE));
        self.bounds = Some(bounds);
        self.log = Some(Log::new(bounds.bytes));
        self.index = vec![Entry { wanted: NONE, ..Entry::default() }; places].into();
        self.groups = vec![Group::default(); groups].into();
        self.ready = Vec::with_capacity(groups);
        self.scratch = vec![0; (PARITY_MAX + 1) * SHARD_MAX].into();
    }

    /// Copies what stands behind a packet's options, before it is opened.
    #[inline]
    pub fn copy(&mut self, kind: &Kind, payload: &[u8]) -> Option<Copied> {
        let head = kind.head(payload.len());
        self.log.as_mut()?.stage([head.get(..kind.head_len())?, payload]).map(Copied)
    }

    /// Keeps the copy that was made last: its packet has passed.
    #[inline]
    pub fn keep(&mut self, copied: Copied, place: StreamIndex, sequence: u64) {
        let Copied(Staged { position, len }) = copied;
        let Some(log) = &mut self.log else { return };
        log.keep(&copied.0);
        let entry = entry(&mut self.index, place, sequence);
        let Some(entry) = entry else { return };
        let same = entry.place == place && entry.sequence == sequence;
        let wanted = if same { entry.wanted } else { NONE };
        *entry = Entry { sequence, position, place, len, wanted: NONE };
        if wanted != NONE {
            self.came(wanted, place, sequence);
        }
    }

    /// Notes that what a group wanted has come.
    #[cold]
    fn came(&mut self, at: u16, place: StreamIndex, sequence: u64) {
        let Some(group) = self.groups.get_mut(usize::from(at)) else { return };
        let Some(bit) = group.missing_bit(place, sequence) else { return };
        group.missing &= !bit;
        if group.missing == 0 {
            group.state = State::Free;
            self.waiting -= 1;
        } else if group.is_solvable() {
            make_ready(group, at, &mut self.ready);
        }
    }

    /// Takes a parity packet's payload. `is_missing` says whether a number has not passed yet.
    pub fn take(
        &mut self,
        now_ns: u64,
        from: From,
        first: u64,
        parity: Parity,
        payload: &[u8],
        is_missing: impl Fn(u64) -> bool,
    ) -> Taken {
        let Parity { index, count, members } = parity;
        let sound = members & 1 == 1 && index < count && usize::from(count) <= PARITY_MAX;
        let fits = (super::SHARD_HEAD + 1..=SHARD_MAX).contains(&payload.len());
        if !sound || !fits || first.checked_add(SPAN).is_none() {
            return Taken::Malformed;
        }
        let mut missing = 0;
        for step in bits(members) {
            missing |= u64::from(is_missing(first + step)) << step;
        }
        if missing == 0 {
            self.counts.unneeded += 1;
            return Taken::Unneeded;
        }
        let known = bits(missing).next().and_then(|step| self.wanting(from, first, first + step));
        if let Some(at) = known {
            return self.add_parity(at, parity, payload);
        }
        let kept = |step| self.packet(from.place, first + step).is_some();
        if !bits(members & !missing).all(kept) {
            self.counts.unusable += 1;
            return Taken::Unusable;
        }
        self.open(now_ns, from, first, members, missing)
            .map_or(Taken::Unusable, |at| self.add_parity(at, parity, payload))
    }

    /// The group of this first number that a number is missing from.
    fn wanting(&self, from: From, first: u64, sequence: u64) -> Option<u16> {
        let entry = look(&self.index, from.place, sequence)?;
        let group = self.groups.get(usize::from(entry.wanted))?;
        let same = group.first == first && group.from.epoch == from.epoch;
        (same && group.missing_bit(from.place, sequence).is_some()).then_some(entry.wanted)
    }

    /// The bytes of a packet that is still here.
    fn packet(&self, place: StreamIndex, sequence: u64) -> Option<&[u8]> {
        let entry = look(&self.index, place, sequence)?;
        self.log.as_ref()?.get(entry.position, entry.len).filter(|bytes| !bytes.is_empty())
    }

    /// A place for a group, in that of the oldest where there is none: what that still waited for is given up.
    fn open(&mut self, now_ns: u64, from: From, first: u64, members: u64, missing: u64) -> Option<u16> {
        let (at, now, bounds) = (self.next, self.log.as_ref()?.now(), self.bounds?);
        let count = self.groups.len();
        let group = self.groups.get_mut(at)?;
        self.next = (at + 1) % count;
        if at == self.oldest && self.waiting > 0 {
            // All the way round: the oldest of those that are left comes next.
            self.oldest = self.next;
        }
        if group.state != State::Free {
            self.counts.unfinished += 1;
            self.waiting -= 1;
        }
        let until_ns = now_ns.saturating_add(bounds.hold_ns);
        let (state, parity) = (State::Waiting, [None; PARITY_MAX]);
        *group = Group { state, from, first, members, missing, until_ns, parity };
        self.waiting += 1;
        for step in bits(missing) {
            let sequence = first + step;
            if let Some(entry) = entry(&mut self.index, from.place, sequence) {
                *entry = Entry { sequence, position: now, place: from.place, len: 0, wanted: at as u16 };
            }
        }
        Some(at as u16)
    }

    fn add_parity(&mut self, at: u16, parity: Parity, payload: &[u8]) -> Taken {
        let (Some(group), Some(log)) = (self.groups.get_mut(usize::from(at)), &mut self.log) else {
            return Taken::Unusable;
        };
        let len = payload.len() as u16;
        if group.members != parity.members || group.parity.iter().flatten().any(|other| other.len != len) {
            return Taken::Malformed;
        }
        let Some(place) = group.parity.get_mut(usize::from(parity.index)) else { return Taken::Malformed };
        if place.is_none() {
            let Some(staged) = log.stage([payload, &[]]) else { return Taken::Unusable };
            log.keep(&staged);
            *place = Some(staged);
        }
        if !group.is_solvable() {
            return Taken::Waits;
        }
        make_ready(group, at, &mut self.ready);
        Taken::Ready
    }

    /// Whether a group can be solved.
    #[inline(always)]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Solves one group, if one can be: gives each packet that was missing, with its number, to `emit`. Returns whether there was
    /// a group. What has passed meanwhile is rebuilt all the same: whoever takes it eliminates it.
    pub fn rebuild(&mut self, mut emit: impl FnMut(From, u64, Shard<'_>)) -> bool {
        let Some(at) = self.ready.pop() else { return false };
        let Some(group) = self.groups.get_mut(usize::from(at)) else { return true };
        if group.state != State::Ready {
            return true;
        }
        group.state = State::Free;
        self.waiting -= 1;
        let group = *group;
        let mut scratch = core::mem::take(&mut self.scratch);
        if self.solve(&group, &mut scratch, &mut emit).is_none() {
            self.counts.unusable += 1;
        }
        self.scratch = scratch;
        true
    }

    fn solve(
        &self,
        group: &Group,
        scratch: &mut [u8],
        emit: &mut impl FnMut(From, u64, Shard<'_>),
    ) -> Option<()> {
        let size = group.missing.count_ones() as usize;
        let log = self.log.as_ref()?;
        let (sums, packet) = scratch.split_at_mut_checked(PARITY_MAX * SHARD_MAX)?;
        let mut matrix = [[0; PARITY_MAX]; PARITY_MAX];
        let came = group.parity.iter().zip(0..).filter_map(|(staged, index)| Some(((*staged)?, index)));
        let mut len = 0;
        for (row, (staged, index)) in came.take(size).enumerate() {
            let bytes = log.get(staged.position, staged.len)?;
            len = bytes.len();
            let sum = sums.get_mut(row * SHARD_MAX..row * SHARD_MAX + len)?;
            sum.copy_from_slice(bytes);
            for step in bits(group.members & !group.missing) {
                let shard = self.packet(group.from.place, group.first + step)?;
                if shard.len() > len {
                    return None;
                }
                field::add_product(sum, shard, field::coefficient(index, step as usize));
            }
            for (column, step) in bits(group.missing).enumerate() {
                *matrix.get_mut(row)?.get_mut(column)? = field::coefficient(index, step as usize);
            }
        }
        let solution = field::invert(matrix, size)?;
        for (row, step) in solution.iter().zip(bits(group.missing)) {
            let packet = packet.get_mut(..len)?;
            packet.fill(0);
            for (factor, sum) in row.iter().zip(sums.chunks_exact(SHARD_MAX)).take(size) {
                field::add_product(packet, sum.get(..len)?, *factor);
            }
            emit(group.from, group.first + step, Shard::read(packet)?);
        }
        Some(())
    }

    /// Gives up groups whose time is over.
    pub fn sweep(&mut self, now_ns: u64) {
        while self.waiting > 0 {
            let Some(group) = self.groups.get_mut(self.oldest) else { return };
            if group.state != State::Free {
                if now_ns < group.until_ns {
                    return;
                }
                group.state = State::Free;
                self.waiting -= 1;
                self.counts.unfinished += 1;
            }
            self.oldest = (self.oldest + 1) % self.groups.len();
        }
        self.oldest = self.next;
    }

    /// Groups that wait now.
    pub fn len(&self) -> usize {
        self.waiting
    }

    /// Whether no group waits.
    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// What was counted so far.
    pub fn counts(&self) -> DecoderCounts {
        self.counts
    }
}

fn make_ready(group: &mut Group, at: u16, ready: &mut Vec<u16>) {
    // Each group stands there once; one that was given up meanwhile may leave a number behind, and then there is no room.
    if group.state == State::Waiting && ready.len() < ready.capacity() {
        group.state = State::Ready;
        ready.push(at);
    }
}

/// The numbers of a word's bits that are set, from the lowest.
fn bits(mut word: u64) -> impl Iterator<Item = u64> {
    core::iter::from_fn(move || {
        let bit = u64::from(word.trailing_zeros());
        word &= word.wrapping_sub(1);
        (bit < SPAN).then_some(bit)
    })
}

/// Where a stream's number has its places: numbers that follow each other stand side by side.
fn set(index: &[Entry], place: StreamIndex, sequence: u64) -> usize {
    let sets = (index.len() / WAYS).max(1);
    let spread = u64::from(place.0).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20;
    (spread.wrapping_add(sequence) % sets as u64) as usize * WAYS
}

fn look(index: &[Entry], place: StreamIndex, sequence: u64) -> Option<&Entry> {
    let at = set(index, place, sequence);
    let ways = index.get(at..at + WAYS)?;
    ways.iter().find(|entry| entry.sequence == sequence && entry.place == place)
}

/// The place of a stream's number, or the one among its places that is the oldest.
fn entry(index: &mut [Entry], place: StreamIndex, sequence: u64) -> Option<&mut Entry> {
    let at = set(index, place, sequence);
    let ways = index.get_mut(at..at + WAYS)?;
    let is_own = |entry: &Entry| entry.sequence == sequence && entry.place == place;
    let own = ways.iter().position(is_own);
    let oldest = || (0..WAYS).min_by_key(|way| ways.get(*way).map(|entry| entry.position));
    let way = own.or_else(oldest)?;
    ways.get_mut(way)
}
