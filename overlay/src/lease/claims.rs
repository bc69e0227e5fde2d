//! When a gateway asks for a block, when it has it, and when it has it no more.

use super::message::Item;
use super::tenure::Phase;
use super::voter::Voter;
use super::{Event, MS, Party};

impl Party {
    /// Whether this gateway should ask for a block that it does not have.
    pub(super) fn may_claim(&self, now_ns: u64, own: usize, block: usize) -> bool {
        let lease_ns = self.pair.lease_ns;
        let peer = &self.heard[1 - own];
        if self.draining || now_ns < self.tenures[block].not_before_ns {
            return false;
        }
        let promised = |voter: &Voter| voter.is_promised_elsewhere(now_ns, block, self.start.node);
        if self.voter.as_ref().is_none_or(promised) {
            return false;
        }
        let silent = peer.at_ns.is_none_or(|at_ns| now_ns.saturating_sub(at_ns) >= lease_ns);
        let item = &peer.items[block];
        if block == own {
            return silent || !item.has(Item::HELD);
        }
        // Who has just started leaves the other the time to start as well, unless that says that it wants nothing.
        let is_settled = now_ns.saturating_sub(self.started_ns) >= lease_ns * 3;
        let without = now_ns.saturating_sub(peer.without_since_ns[block]) >= lease_ns * 3;
        let given_up = item.has(Item::DRAINING) && !item.has(Item::HELD);
        if silent { is_settled } else { given_up || (is_settled && without && !item.has(Item::HELD)) }
    }

    pub(super) fn claim(&mut self, now_ns: u64, block: usize) -> bool {
        let unix_ms = (now_ns / MS).wrapping_add(self.start.unix_offset_ms);
        let last = self.voter.as_ref().map_or(0, |voter| voter.last(block).1);
        // A voter that lies may have said any number.
        let after = self.highest[block].max(last).saturating_add(1);
        let revision = unix_ms.max(after);
        self.highest[block] = revision;
        self.tenures[block].claim(now_ns, revision, self.pair.voters.len());
        true
    }

    pub(super) fn look_at_claim(&mut self, now_ns: u64, own: usize, block: usize) -> bool {
        let (lease_ns, hold_ns) = (self.pair.lease_ns, self.pair.hold_ns());
        let node = self.start.node;
        let tenure = &mut self.tenures[block];
        if tenure.asked_ns().is_some_and(|asked_ns| now_ns < asked_ns.saturating_add(hold_ns)) {
            tenure.phase = Phase::Holding;
            let (revision, kept) = (tenure.revision, tenure.is_kept(node));
            let after = tenure.after(self.pair.gateways[1 - own]);
            self.counters.took += 1;
            self.events.push_back(Event::Took { block, revision, kept, after });
            return true;
        }
        if now_ns.saturating_sub(tenure.begun_ns) >= lease_ns * 2 || self.draining {
            // Both may have claimed it at once; the one whose home it is comes first the next time.
            let pause_ns = if block == own { lease_ns / 8 } else { lease_ns / 2 };
            tenure.released = tenure.revision;
            tenure.end(now_ns + pause_ns);
            return true;
        }
        false
    }

    pub(super) fn look_at_lease(&mut self, now_ns: u64, own: usize, block: usize) -> bool {
        if now_ns >= self.until_ns(block) {
            self.counters.lapsed += 1;
            // Who was away hears first what has happened meanwhile.
            self.tenures[block].end(now_ns + self.pair.lease_ns / 8);
            self.events.push_back(Event::Lapsed { block });
            return true;
        }
        let peer = &self.heard[1 - own];
        let lease_ns = self.pair.lease_ns;
        let alive = peer.at_ns.is_some_and(|at_ns| now_ns.saturating_sub(at_ns) < lease_ns);
        let back = block != own && peer.items[block].has(Item::BACK);
        let leaves = alive && self.tenures[block].told && (self.draining || back);
        let tenure = &mut self.tenures[block];
        match (tenure.phase, leaves) {
            (Phase::Holding, true) => {
                tenure.phase = Phase::Handing;
                self.events.push_back(Event::HandOver { block });
            }
            (Phase::Handing, false) => {
                tenure.phase = Phase::Holding;
                self.events.push_back(Event::Keep { block });
            }
            _ => {}
        }
        false
    }
}
