//! What happens when: a queue in virtual time. Events of one instant happen in the order in which they were added.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

struct Entry<T> {
    at: u64,
    number: u64,
    event: T,
}

impl<T> PartialEq for Entry<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<T> Eq for Entry<T> {}

impl<T> PartialOrd for Entry<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Entry<T> {
    /// The heap gives out its greatest entry: the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

/// Events to come.
pub(crate) struct Events<T> {
    heap: BinaryHeap<Entry<T>>,
    added: u64,
}

impl<T> Events<T> {
    pub(crate) fn new() -> Events<T> {
        Events { heap: BinaryHeap::new(), added: 0 }
    }

    pub(crate) fn add(&mut self, at: u64, event: T) {
        self.heap.push(Entry { at, number: self.added, event });
        self.added += 1;
    }

    /// The next event up to a time, with its own time.
    pub(crate) fn next(&mut self, until: u64) -> Option<(u64, T)> {
        if self.heap.peek()?.at > until {
            return None;
        }
        self.heap.pop().map(|entry| (entry.at, entry.event))
    }
}
