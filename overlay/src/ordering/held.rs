//! The places of held packets: each stands in its flow's list, by number, and in that of all, by age.

use super::NONE;
use super::flows::Flow;

struct Slot<T> {
    item: Option<T>,
    sequence: u64,
    /// The number that is to leave before it.
    before: u64,
    until_ns: u64,
    flow: u32,
    /// Neighbours in the flow's list.
    previous: u32,
    next: u32,
    /// Neighbours in the list by age; of a free place, the next free one.
    older: u32,
    younger: u32,
}

pub(super) struct Slots<T> {
    slots: Box<[Slot<T>]>,
    free: u32,
    oldest: u32,
    youngest: u32,
    due_ns: u64,
    len: usize,
}

impl<T> Slots<T> {
    pub(super) fn new(capacity: usize) -> Slots<T> {
        let slot = |at: u32| Slot {
            item: None,
            sequence: 0,
            before: 0,
            until_ns: 0,
            flow: NONE,
            previous: NONE,
            next: NONE,
            older: NONE,
            younger: if at as usize + 1 < capacity { at + 1 } else { NONE },
        };
        let slots: Box<[Slot<T>]> = (0..capacity as u32).map(slot).collect();
        let free = if slots.is_empty() { NONE } else { 0 };
        Slots { slots, free, oldest: NONE, youngest: NONE, due_ns: u64::MAX, len: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn has_room(&self) -> bool {
        self.free != NONE
    }

    /// When the oldest has been held for long enough.
    #[inline(always)]
    pub(super) fn due_ns(&self) -> u64 {
        self.due_ns
    }

    /// The number of the packet in a place.
    pub(super) fn sequence(&self, at: u32) -> Option<u64> {
        self.slots.get(at as usize).map(|slot| slot.sequence)
    }

    /// Whether it is the turn of a flow's first packet, or what it waits for was given up.
    pub(super) fn may_leave(&self, flow: &Flow) -> bool {
        let first = self.slots.get(flow.first as usize);
        first.is_some_and(|first| first.before.min(first.sequence) <= flow.through)
    }

    /// The flow and the number of the oldest packet, if it has been held for long enough.
    pub(super) fn overdue(&self, now_ns: u64) -> Option<(u32, u64)> {
        let oldest = self.slots.get(self.oldest as usize)?;
        (now_ns >= oldest.until_ns).then_some((oldest.flow, oldest.sequence))
    }

    /// Holds a packet of the flow at a place; the caller has seen that there is room. `until_ns` never goes back.
    pub(super) fn insert(
        &mut self,
        flow: &mut Flow,
        flow_at: u32,
        sequence: u64,
        before: u64,
        until_ns: u64,
        item: T,
    ) {
        let at = self.free;
        // From the end on: the packets of the quicker way come there, those of the slower one fill the gap at the start.
        let mut previous = flow.last;
        while let Some(slot) = self.slots.get(previous as usize).filter(|slot| slot.sequence > sequence) {
            previous = slot.previous;
        }
        let next = self.slots.get(previous as usize).map_or(flow.first, |slot| slot.next);
        let older = self.youngest;
        let Some(slot) = self.slots.get_mut(at as usize) else { return };
        self.free = slot.younger;
        let item = Some(item);
        *slot =
            Slot { item, sequence, before, until_ns, flow: flow_at, previous, next, older, younger: NONE };
        match self.slots.get_mut(previous as usize) {
            Some(slot) => slot.next = at,
            None => flow.first = at,
        }
        match self.slots.get_mut(next as usize) {
            Some(slot) => slot.previous = at,
            None => flow.last = at,
        }
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.younger = at,
            None => (self.oldest, self.due_ns) = (at, until_ns),
        }
        self.youngest = at;
        flow.count += 1;
        self.len += 1;
    }

    /// Takes a flow's first packet with its number.
    pub(super) fn remove_first(&mut self, flow: &mut Flow) -> Option<(u64, T)> {
        let at = flow.first;
        let slot = self.slots.get_mut(at as usize)?;
        let (item, sequence) = (slot.item.take()?, slot.sequence);
        let (next, older, younger) = (slot.next, slot.older, slot.younger);
        slot.younger = self.free;
        self.free = at;
        flow.first = next;
        flow.count -= 1;
        self.len -= 1;
        match self.slots.get_mut(next as usize) {
            Some(slot) => slot.previous = NONE,
            None => flow.last = NONE,
        }
        match self.slots.get_mut(older as usize) {
            Some(slot) => slot.younger = younger,
            None => self.oldest = younger,
        }
        match self.slots.get_mut(younger as usize) {
            Some(slot) => slot.older = older,
            None => self.youngest = older,
        }
        self.due_ns = self.slots.get(self.oldest as usize).map_or(u64::MAX, |slot| slot.until_ns);
        Some((sequence, item))
    }

    /// Takes all packets for good: no place is free afterwards.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = T> + '_ {
        (self.free, self.oldest, self.youngest, self.due_ns, self.len) = (NONE, NONE, NONE, u64::MAX, 0);
        self.slots.iter_mut().filter_map(|slot| slot.item.take())
    }
}
