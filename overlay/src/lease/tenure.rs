//! A gateway's side of one block: asking for it, holding it, letting it go.

use super::message::Item;
use crate::topology::NodeId;

/// How a gateway stands to a block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// It has nothing to do with it.
    #[default]
    Idle,
    /// It asks for promises.
    Claiming,
    /// A majority has promised it.
    Holding,
    /// The same, and its sessions are told to the other gateway, which is to have it.
    Handing,
    /// It has it no more, as soon as its workers have stopped.
    Stopping,
}

impl Phase {
    /// Whether the gateway has the block, while its promises last.
    pub fn holds(self) -> bool {
        matches!(self, Phase::Holding | Phase::Handing)
    }

    /// The stable name.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Idle => "idle",
            Phase::Claiming => "claiming",
            Phase::Holding => "holding",
            Phase::Handing => "handing",
            Phase::Stopping => "stopping",
        }
    }
}

/// A promise as the gateway counts it.
#[derive(Clone, Copy, Debug)]
struct Vote {
    /// When the gateway asked for it, by its own clock.
    asked_ns: u64,
    /// Whom the voter had promised the block to before.
    before: (NodeId, u64),
}

/// A gateway's tenure of one block.
#[derive(Clone, Debug, Default)]
pub(super) struct Tenure {
    pub(super) phase: Phase,
    /// Of this tenure, or the last one.
    pub(super) revision: u64,
    /// The revision before: that of the gateway's last tenure.
    pub(super) held_before: u64,
    /// The last one that was let go of, to be told until it is heard.
    pub(super) released: u64,
    /// Whether others are told that it is held: workers translate.
    pub(super) told: bool,
    pub(super) begun_ns: u64,
    /// No claim before this.
    pub(super) not_before_ns: u64,
    votes: Vec<Option<Vote>>,
}

impl Tenure {
    /// Begins to ask for a block.
    pub(super) fn claim(&mut self, now_ns: u64, revision: u64, voters: usize) {
        self.phase = Phase::Claiming;
        self.revision = revision;
        self.told = false;
        self.begun_ns = now_ns;
        self.votes.clear();
        self.votes.resize(voters, None);
    }

    /// Counts a voter's answer to what was asked at `asked_ns`.
    pub(super) fn count(&mut self, voter: usize, asked_ns: u64, answer: &Item) {
        let asks = self.phase == Phase::Claiming || self.phase.holds();
        if !asks || !answer.has(Item::GRANTED) || answer.revision != self.revision {
            return;
        }
        if let Some(vote) = self.votes.get_mut(voter) {
            let newest = vote.map_or(asked_ns, |vote| vote.asked_ns.max(asked_ns));
            *vote = Some(Vote { asked_ns: newest, before: answer.before });
        }
    }

    /// When the last promise of a majority was asked for; `None` without a majority.
    pub(super) fn asked_ns(&self) -> Option<u64> {
        let mut asked: Vec<u64> = self.votes.iter().flatten().map(|vote| vote.asked_ns).collect();
        asked.sort_unstable_by(|a, b| b.cmp(a));
        asked.get(self.votes.len() / 2).copied()
    }

    /// The tenure before this one, where all who have promised it say the same.
    fn before(&self) -> Option<(NodeId, u64)> {
        let mut votes = self.votes.iter().flatten().map(|vote| vote.before);
        let first = votes.next()?;
        votes.all(|before| before == first).then_some(first)
    }

    /// Whether this gateway had it before, at its last revision: nobody else had it meanwhile.
    pub(super) fn is_kept(&self, node: NodeId) -> bool {
        self.held_before != 0 && self.before() == Some((node, self.held_before))
    }

    /// The revision of this gateway's tenure before, if it was the last one; else 0.
    pub(super) fn after(&self, node: NodeId) -> u64 {
        self.before().filter(|(before, _)| *before == node).map_or(0, |(_, revision)| revision)
    }

    /// Ends it; nothing is held from now on.
    pub(super) fn end(&mut self, not_before_ns: u64) {
        if self.phase.holds() || self.phase == Phase::Stopping {
            self.held_before = self.revision;
        }
        self.phase = Phase::Idle;
        self.told = false;
        self.not_before_ns = not_before_ns;
        self.votes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_majority_counts_from_its_oldest_question() {
        let mut tenure = Tenure::default();
        let yes = |before| Item { flags: Item::GRANTED, holder: NodeId(1), revision: 9, before };
        tenure.claim(0, 9, 4);
        for (voter, asked_ns) in [(0, 50), (1, 10)] {
            tenure.count(voter, asked_ns, &yes((NodeId(1), 8)));
        }
        assert_eq!(tenure.asked_ns(), None, "two of four are no majority");
        tenure.count(2, 30, &Item { revision: 8, ..yes((NodeId(1), 8)) });
        tenure.count(2, 30, &Item { flags: 0, ..yes((NodeId(1), 8)) });
        assert_eq!(tenure.asked_ns(), None);
        tenure.count(2, 30, &yes((NodeId(1), 8)));
        assert_eq!(tenure.asked_ns(), Some(10));
        tenure.count(1, 40, &yes((NodeId(1), 8)));
        tenure.count(1, 20, &yes((NodeId(1), 8)));
        assert_eq!(tenure.asked_ns(), Some(30), "an old answer takes nothing back");
        assert!(!tenure.is_kept(NodeId(1)));
        tenure.held_before = 8;
        assert!(tenure.is_kept(NodeId(1)));
        assert_eq!([tenure.after(NodeId(1)), tenure.after(NodeId(2))], [8, 0]);
        tenure.count(3, 60, &yes((NodeId(2), 8)));
        assert!(!tenure.is_kept(NodeId(1)));
        assert_eq!([tenure.after(NodeId(1)), tenure.after(NodeId(2))], [0, 0], "they do not agree");
    }
}
