//! What goes on with one neighbour: records that it has not acknowledged, acknowledgements and summaries that it is owed.

use std::collections::BTreeMap;

use super::message::Entry;
use super::record::{Key, Kind};
use crate::keys::Bucket;
use crate::topology::NodeId;

/// First wait for an acknowledgement, ms; doubled after each.
const RETRY_MIN_MS: u64 = 50;
/// Longest wait, ms.
const RETRY_MAX_MS: u64 = 2_000;
/// Waits between summaries after the neighbour came up, ms; the last one holds on.
const SUMMARIES_MS: [u64; 4] = [0, 1_000, 3_000, 60_000];
/// Messages to a neighbour: at once, and each second.
const MESSAGES: (u64, u64) = (20, 400);
/// Signatures verified for each neighbour: at once, and each second. One costs some 50 µs.
const VERIFICATIONS: (u64, u64) = (256, 256);
/// Acknowledgements that may wait; what comes on top is sent again.
const ACKNOWLEDGEMENTS_MAX: usize = 1024;

/// Before all keys, and after them.
pub(super) const FIRST: Key = Key { origin: NodeId(0), kind: Kind::Links, index: 0 };
pub(super) const LAST: Key = Key { origin: NodeId(u16::MAX), kind: Kind::Plan, index: u16::MAX };

#[derive(Clone, Copy, Debug)]
pub(super) struct Pending {
    pub(super) next_ms: u64,
    wait_ms: u64,
}

/// A neighbour.
#[derive(Clone, Debug)]
pub(super) struct Neighbor {
    pub(super) up: bool,
    pub(super) pending: BTreeMap<Key, Pending>,
    /// When the first of them is due, ms, or somewhat later than this.
    earliest_ms: u64,
    pub(super) acks: Vec<Entry>,
    /// Where the summary under way goes on.
    pub(super) summary_after: Option<Key>,
    summary_ms: u64,
    summaries: usize,
    pub(super) sending: Bucket,
    pub(super) verifications: Bucket,
}

impl Neighbor {
    pub(super) fn new() -> Neighbor {
        Neighbor {
            up: false,
            pending: BTreeMap::new(),
            earliest_ms: u64::MAX,
            acks: Vec::new(),
            summary_after: None,
            summary_ms: u64::MAX,
            summaries: 0,
            sending: Bucket::new(MESSAGES.0, MESSAGES.1),
            verifications: Bucket::new(VERIFICATIONS.0, VERIFICATIONS.1),
        }
    }

    /// It is reached from now on, or no longer.
    pub(super) fn set_up(&mut self, now_ms: u64, up: bool) {
        if up == self.up {
            return;
        }
        self.up = up;
        self.pending.clear();
        self.earliest_ms = u64::MAX;
        self.acks.clear();
        self.summary_after = None;
        self.summaries = 0;
        self.summary_ms = if up { now_ms } else { u64::MAX };
    }

    /// It is to have the newest record of a key.
    pub(super) fn owe(&mut self, now_ms: u64, key: Key) {
        if self.up {
            self.pending.insert(key, Pending { next_ms: now_ms, wait_ms: RETRY_MIN_MS });
            self.earliest_ms = self.earliest_ms.min(now_ms);
        }
    }

    /// It is owed, but was not told for the first time just now.
    pub(super) fn owe_if_not(&mut self, now_ms: u64, key: Key) {
        if !self.pending.contains_key(&key) {
            self.owe(now_ms, key);
        }
    }

    pub(super) fn acknowledge(&mut self, entry: Entry) {
        if self.acks.len() < ACKNOWLEDGEMENTS_MAX && !self.acks.contains(&entry) {
            self.acks.push(entry);
        }
    }

    /// It holds something newer than we: it shall see so from a summary.
    pub(super) fn ask(&mut self, now_ms: u64) {
        self.summary_ms = self.summary_ms.min(now_ms + SUMMARIES_MS[1]);
    }

    /// Begins the summary that is due.
    pub(super) fn begin_summary(&mut self, now_ms: u64) {
        if self.up && self.summary_ms <= now_ms && self.summary_after.is_none() {
            self.summary_after = Some(FIRST);
            self.summaries = (self.summaries + 1).min(SUMMARIES_MS.len() - 1);
            self.summary_ms = now_ms + SUMMARIES_MS[self.summaries];
        }
    }

    /// A record was sent.
    pub(super) fn sent(&mut self, now_ms: u64, key: Key) {
        if let Some(pending) = self.pending.get_mut(&key) {
            pending.next_ms = now_ms + pending.wait_ms;
            pending.wait_ms = (pending.wait_ms * 2).min(RETRY_MAX_MS);
        }
    }

    /// Whether there is something to send, to be asked before it is sent.
    pub(super) fn is_due(&mut self, now_ms: u64) -> bool {
        if self.due_ms(now_ms) > now_ms {
            return false;
        }
        // What was due may have been acknowledged.
        self.earliest_ms = self.pending.values().map(|pending| pending.next_ms).min().unwrap_or(u64::MAX);
        self.due_ms(now_ms) <= now_ms
    }

    /// When there is something to send, ms, or somewhat before that: it is asked of all neighbours for each message.
    pub(super) fn due_ms(&self, now_ms: u64) -> u64 {
        if !self.up {
            return u64::MAX;
        }
        let at_once = !self.acks.is_empty() || self.summary_after.is_some();
        let due = if at_once { now_ms } else { self.earliest_ms.min(self.summary_ms) };
        if due == u64::MAX { due } else { due.max(now_ms + self.sending.wait_ms(now_ms)) }
    }
}
