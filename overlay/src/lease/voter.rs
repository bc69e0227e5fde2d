//! What a voter promises: each block to one gateway at a time, for one lease.

use super::message::Item;
use crate::topology::NodeId;

/// A voter's promise of one block.
#[derive(Clone, Copy, Debug, Default)]
struct Promise {
    /// To whom, and for which revision; node 0 where there was none.
    to: (NodeId, u64),
    /// The same before that.
    before: (NodeId, u64),
    until_ns: u64,
}

/// What a node has promised. It forgets it with a restart, and then waits until whatever it may have promised is over.
#[derive(Clone, Debug)]
pub(super) struct Voter {
    promises: [Promise; 2],
    lease_ns: u64,
    quiet_until_ns: u64,
}

impl Voter {
    pub(super) fn new(now_ns: u64, lease_ns: u64) -> Voter {
        let quiet_until_ns = now_ns.saturating_add(lease_ns + lease_ns / 4);
        Voter { promises: Default::default(), lease_ns, quiet_until_ns }
    }

    /// Answers what a gateway says of a block. A promise is given again to whom it was given last, for the same revision or a
    /// later one; to another only when it is over, and for a later revision.
    pub(super) fn answer(&mut self, now_ns: u64, from: NodeId, block: usize, ask: &Item) -> Item {
        let Voter { promises, lease_ns, quiet_until_ns } = self;
        let Some(promise) = promises.get_mut(block) else { return Item::default() };
        let (holder, revision) = promise.to;
        if ask.has(Item::RELEASED) && from == holder && ask.revision >= revision {
            promise.until_ns = promise.until_ns.min(now_ns);
        }
        let same = from == holder && ask.revision >= revision;
        let free = now_ns >= promise.until_ns && ask.revision > revision;
        let granted = ask.has(Item::WISH) && now_ns >= *quiet_until_ns && (same || free);
        if granted {
            if promise.to != (from, ask.revision) {
                promise.before = core::mem::replace(&mut promise.to, (from, ask.revision));
            }
            promise.until_ns = now_ns.saturating_add(*lease_ns);
        }
        Item {
            flags: if granted { Item::GRANTED } else { 0 },
            holder: promise.to.0,
            revision: promise.to.1,
            before: promise.before,
        }
    }

    /// Whether a block is promised to a gateway other than this one.
    pub(super) fn is_promised_elsewhere(&self, now_ns: u64, block: usize, node: NodeId) -> bool {
        let promise = self.promises.get(block);
        promise.is_some_and(|promise| promise.to.0 != node && now_ns < promise.until_ns)
    }

    /// To whom a block was promised last, with the revision.
    pub(super) fn last(&self, block: usize) -> (NodeId, u64) {
        self.promises.get(block).map(|promise| promise.to).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);
    const LEASE_NS: u64 = 1000;

    fn ask(flags: u8, revision: u64) -> Item {
        Item { flags, revision, ..Item::default() }
    }

    fn wishes(voter: &mut Voter, now_ns: u64, from: NodeId, revision: u64) -> bool {
        voter.answer(now_ns, from, 0, &ask(Item::WISH, revision)).has(Item::GRANTED)
    }

    #[test]
    fn a_promise_is_kept_until_it_is_over_or_let_go() {
        let mut voter = Voter::new(0, LEASE_NS);
        assert!(!wishes(&mut voter, 1249, A, 5), "it may have promised something before it started");
        assert!(wishes(&mut voter, 2000, A, 5) && wishes(&mut voter, 2500, A, 5));
        assert!(!wishes(&mut voter, 3499, B, 6));
        assert!(!wishes(&mut voter, 3600, B, 5), "not for a revision that somebody has had");
        assert!(wishes(&mut voter, 3600, B, 6) && !wishes(&mut voter, 9000, A, 5));
        let released = voter.answer(3700, A, 0, &ask(Item::RELEASED, 9));
        assert_eq!((released.holder, released.before), (B, (A, 5)));
        assert!(!wishes(&mut voter, 3700, A, 7), "only the holder lets go");
        voter.answer(3700, B, 0, &ask(Item::RELEASED, 6));
        assert!(wishes(&mut voter, 3700, A, 7));
        assert_eq!((voter.last(0), voter.last(1)), ((A, 7), (NodeId(0), 0)));
    }
}
