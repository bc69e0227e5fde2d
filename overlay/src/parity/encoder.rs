//! The sender's half: sums of the packets of each stream's open group.
//!
//! A packet is added to the sums as it leaves and is never kept. A group's places are claimed at start; where all are taken, the
//! oldest group ends early.

use super::{Coding, Kind, PARITY_MAX, SHARD_MAX, SPAN, field};

/// Groups that are open at one time at most, per worker.
const GROUPS: usize = 128;
/// Buckets of a destination.
const BUCKETS: usize = 256;
/// No group.
const NONE: u16 = u16::MAX;

/// A group's place in the encoder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupIndex(u16);

/// A packet that is about to be added.
#[derive(Clone, Copy, Debug)]
pub struct Member {
    /// Its destination's number, which a sender's sequences are counted by.
    pub destination: u16,
    /// Its stream's bucket.
    pub bucket: u8,
    /// Its number in the stream.
    pub sequence: u64,
    /// The key epoch that it is sealed under; 0 if it is not.
    pub epoch: u8,
    /// What its headers say.
    pub kind: Kind,
    /// How the sender codes now: it is the first packet's that counts for a group.
    pub coding: Coding,
    /// The caller's number for the way that parity packets of it go; the last packet's counts.
    pub way: u16,
}

#[derive(Clone, Copy)]
struct Group {
    destination: u16,
    bucket: u8,
    epoch: u8,
    is_open: bool,
    way: u16,
    coding: Coding,
    first: u64,
    members: u64,
    due_ns: u64,
    len: usize,
}

/// A group that has ended, as its parity packets tell it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The number of its destination.
    pub destination: u16,
    /// Its stream's bucket.
    pub bucket: u8,
    /// The key epoch that its packets are sealed under.
    pub epoch: u8,
    /// The number of its first packet.
    pub first: u64,
    /// Which numbers are of it: bit *n* for the number of the first plus *n*.
    pub members: u64,
    /// How many parity packets it has.
    pub parity: u8,
    /// The caller's number for their way.
    pub way: u16,
}

/// What was counted, in groups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncoderCounts {
    /// Groups that had all their packets.
    pub full: u64,
    /// Groups that ended before.
    pub short: u64,
}

/// The open groups of one worker.
#[derive(Default)]
pub struct Encoder {
    groups: Box<[Group]>,
    /// Sums, by group and parity packet.
    sums: Box<[u8]>,
    /// The open group of each stream, by destination × [`BUCKETS`] + bucket.
    of_stream: Vec<u16>,
    open: usize,
    /// No group is due before.
    due_ns: u64,
    counts: EncoderCounts,
}

impl Encoder {
    /// Makes room for streams to so many destinations; what is open stays.
    pub fn reserve(&mut self, destinations: usize) {
        if self.groups.is_empty() {
            let closed = Group {
                destination: 0,
                bucket: 0,
                epoch: 0,
                is_open: false,
                way: 0,
                coding: Coding::default(),
                first: 0,
                members: 0,
                due_ns: 0,
                len: 0,
            };
            self.groups = vec![closed; GROUPS].into();
            self.sums = vec![0; GROUPS * PARITY_MAX * SHARD_MAX].into();
            self.due_ns = u64::MAX;
        }
        let len = (destinations * BUCKETS).max(self.of_stream.len());
        self.of_stream.resize(len, NONE);
    }

    /// A group that must end before a packet can be added: its stream's, of which it can not be, or the oldest of all where
    /// there is no room. To be asked again until there is none.
    #[inline]
    pub fn in_the_way(&self, member: &Member) -> Option<GroupIndex> {
        let at = *self.of_stream.get(stream(member.destination, member.bucket))?;
        let Some(group) = self.groups.get(usize::from(at)) else {
            return if self.open < self.groups.len() { None } else { self.oldest() };
        };
        let fits = member.sequence.checked_sub(group.first).is_some_and(|step| step < SPAN);
        if fits && group.epoch == member.epoch { None } else { Some(GroupIndex(at)) }
    }

    /// Adds a packet with what stands behind its options. Returns its group if that has all its packets now: its parity packets are to be
    /// sent behind this one.
    pub fn add(&mut self, now_ns: u64, member: &Member, payload: &[u8]) -> Option<GroupIndex> {
        let head = member.kind.head(payload.len());
        let head = head.get(..member.kind.head_len())?;
        let len = head.len() + payload.len();
        if len > SHARD_MAX || member.coding.parity == 0 {
            return None;
        }
        let at = self.group_of(now_ns, member)?;
        let group = self.groups.get_mut(usize::from(at))?;
        let place = member.sequence.checked_sub(group.first).filter(|place| *place < SPAN)?;
        group.members |= 1 << place;
        group.way = member.way;
        let (before, longest) = (group.len, group.len.max(len));
        group.len = longest;
        let base = usize::from(at) * PARITY_MAX;
        for index in 0..usize::from(group.coding.parity).min(PARITY_MAX) {
            let from = (base + index) * SHARD_MAX;
            let sum = self.sums.get_mut(from..from + longest)?;
            // What nothing was added to yet is of former groups.
            sum.get_mut(before..)?.fill(0);
            let factor = field::coefficient(index, place as usize);
            let (front, behind) = sum.split_at_mut_checked(head.len())?;
            field::add_product(front, head, factor);
            field::add_product(behind, payload, factor);
        }
        (group.members.count_ones() >= u32::from(group.coding.packets)).then_some(GroupIndex(at))
    }

    /// The open group of a packet's stream, opened with it if there is none.
    fn group_of(&mut self, now_ns: u64, member: &Member) -> Option<u16> {
        let slot = self.of_stream.get_mut(stream(member.destination, member.bucket))?;
        if *slot != NONE {
            return Some(*slot);
        }
        let at = self.groups.iter().position(|group| !group.is_open)?;
        let due_ns = now_ns.saturating_add(u64::from(member.coding.wait_us) * 1000);
        let Member { destination, bucket, sequence: first, epoch, coding, way, .. } = *member;
        let (is_open, members, len) = (true, 0, 0);
        self.groups[at] =
            Group { destination, bucket, epoch, is_open, way, coding, first, members, due_ns, len };
        *slot = at as u16;
        self.open += 1;
        self.due_ns = self.due_ns.min(due_ns);
        Some(at as u16)
    }

    fn oldest(&self) -> Option<GroupIndex> {
        let open = self.groups.iter().zip(0..).filter(|(group, _)| group.is_open);
        open.min_by_key(|(group, _)| group.due_ns).map(|(_, at)| GroupIndex(at))
    }

    /// Whether [`Encoder::overdue`] may give a group.
    #[inline(always)]
    pub fn is_due(&self, now_ns: u64) -> bool {
        self.open > 0 && now_ns >= self.due_ns
    }

    /// A group whose time is over; it is given again until it is closed.
    pub fn overdue(&mut self, now_ns: u64) -> Option<GroupIndex> {
        let oldest = self.oldest();
        let due_ns = oldest.and_then(|at| self.groups.get(usize::from(at.0))).map(|group| group.due_ns);
        self.due_ns = due_ns.unwrap_or(u64::MAX);
        oldest.filter(|_| now_ns >= self.due_ns)
    }

    /// Ends a group: the next packet of its stream begins another one. What [`Encoder::sum`] gives of it stays until then.
    /// A group of fewer packets than parity packets has no more of these than of those.
    pub fn close(&mut self, at: GroupIndex) -> Option<Closed> {
        let group = self.groups.get_mut(usize::from(at.0)).filter(|group| group.is_open)?;
        group.is_open = false;
        self.open -= 1;
        if let Some(slot) = self.of_stream.get_mut(stream(group.destination, group.bucket)) {
            *slot = NONE;
        }
        let Group { destination, bucket, epoch, way, coding, first, members, .. } = *group;
        let count = members.count_ones();
        let is_full = count >= u32::from(coding.packets);
        *(if is_full { &mut self.counts.full } else { &mut self.counts.short }) += 1;
        let parity = (coding.parity as u32).min(count).min(PARITY_MAX as u32) as u8;
        Some(Closed { destination, bucket, epoch, first, members, parity, way })
    }

    /// What a parity packet of a group holds, by its number from 0.
    pub fn sum(&self, at: GroupIndex, index: u8) -> Option<&[u8]> {
        let group = self.groups.get(usize::from(at.0))?;
        let from = (usize::from(at.0) * PARITY_MAX + usize::from(index)) * SHARD_MAX;
        self.sums.get(from..from + group.len)
    }

    /// Has the caller number ways anew: by a group's destination, and whether it is sealed.
    pub fn renumber(&mut self, way: impl Fn(u16, bool) -> u16) {
        for group in self.groups.iter_mut().filter(|group| group.is_open) {
            group.way = way(group.destination, group.epoch != 0);
        }
    }

    /// How many groups are open.
    pub fn len(&self) -> usize {
        self.open
    }

    /// Whether no group is open.
    pub fn is_empty(&self) -> bool {
        self.open == 0
    }

    /// What was counted so far.
    pub fn counts(&self) -> EncoderCounts {
        self.counts
    }
}

fn stream(destination: u16, bucket: u8) -> usize {
    usize::from(destination) * BUCKETS + usize::from(bucket)
}
