//! Who may translate which block of a pair of gateways, and until when: leases by votes, as a state machine that knows no
//! clock, device or thread. `docs/decisions/0026-gateways-may-die.md` has the reasons.
//!
//! ```text
//!             claims     majority promises   drain, or     sessions are        workers have stopped,
//!                                            given back    with the other      and told the other the rest
//!       Idle ──────► Claiming ──────► Holding ──────► Handing ──────► Stopping ──────► Idle
//!         ▲              │               │ ▲             │ │
//!         └──────────────┴───────────────┴─┼─────────────┘ │
//!          no majority    lease ran out    └───────────────┘ the other is gone
//! ```
//!
//! A block is named by its home, the gateway whose pool it is: 0 is the first gateway's, 1 the second's. A party is fed with
//! [`Party::handle`] and [`Party::tick`], and says by [`Party::poll_transmit`] what to send. A gateway translates a block while
//! the time is before [`Party::until_ns`], and tells with [`Party::ready`] that its workers do, with [`Party::stopped`] that they no longer do.
//! Another authority than voters, such as a control server, would take the place of [`Voter`] alone.

mod claims;
mod message;
mod pair;
mod tenure;
mod voter;

use std::collections::{BTreeMap, VecDeque};

use crate::topology::NodeId;

pub use message::{Item, Kind, MESSAGE_LEN, Message, PORT, is_signed_by};
pub use pair::Pair;
pub use tenure::Phase;

use tenure::Tenure;
use voter::Voter;

/// Messages that wait at most; what comes on top is lost, and said again soon.
const OUT_MAX: usize = 256;
const MS: u64 = 1_000_000;

/// Who a party is.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// This node.
    pub node: NodeId,
    /// When it started, milliseconds since 1970: later than all its former lives.
    pub life: u64,
    /// Milliseconds from 1970 to the zero of the caller's clock.
    pub unix_offset_ms: u64,
}

/// What has happened to a block at a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It may be translated from now on. Unless `kept`, sessions of a former tenure must be forgotten first.
    Took {
        /// Which block.
        block: usize,
        /// The tenure's revision.
        revision: u64,
        /// Whether nobody else had it since this gateway's last tenure.
        kept: bool,
        /// Revision of the other gateway's tenure, where that was the last before this one; 0 where it was not, or nobody knows.
        after: u64,
    },
    /// Its lease ran out.
    Lapsed {
        /// Which block.
        block: usize,
    },
    /// It is to be the other gateway's: workers tell that of its sessions, and go on with them; [`Party::handed_over`] is
    /// awaited.
    HandOver {
        /// Which block.
        block: usize,
    },
    /// It is not to be the other gateway's after all.
    Keep {
        /// Which block.
        block: usize,
    },
    /// Workers must stop translating it; [`Party::stopped`] is awaited.
    Stop {
        /// Which block.
        block: usize,
    },
    /// Somebody else has it: sessions of this gateway's last tenure are of no use any more.
    Superseded {
        /// Which block.
        block: usize,
    },
}

/// Who holds a block, as far as a node has heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The gateway; its home where nobody has said anything yet.
    pub node: NodeId,
    /// The tenure's revision; 0 where nobody has said anything yet.
    pub revision: u64,
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Messages that counted.
    pub taken: u64,
    /// Messages that were old, of a stranger, or of a node with another topology.
    pub refused: u64,
    /// Of these, messages of a node with another topology.
    pub other_pair: u64,
    /// Blocks taken.
    pub took: u64,
    /// Leases that ran out.
    pub lapsed: u64,
}

/// What was heard of a gateway.
#[derive(Clone, Copy, Debug, Default)]
struct Heard {
    at_ns: Option<u64>,
    /// The newest life and stamp.
    newest: (u64, u64),
    items: [Item; 2],
    /// Since when it says of each block that it holds it not.
    without_since_ns: [u64; 2],
}

/// One node's part in a pair: gateway, voter, listener, or several of them.
#[derive(Clone, Debug)]
pub struct Party {
    start: Start,
    pair: Pair,
    /// Which of the gateways this node is.
    own: Option<usize>,
    voter: Option<Voter>,
    tenures: [Tenure; 2],
    heard: [Heard; 2],
    owners: [Owner; 2],
    version: u64,
    started_ns: u64,
    ask_ns: u64,
    draining: bool,
    /// The home block is wanted back.
    wants_back: bool,
    highest: [u64; 2],
    out: VecDeque<Message>,
    events: VecDeque<Event>,
    counters: Counters,
    /// When each voter was last heard, by place.
    voters_heard_ns: BTreeMap<NodeId, u64>,
}

impl Party {
    /// A node that knows nothing of any tenure.
    pub fn new(now_ns: u64, start: Start, pair: Pair) -> Party {
        let own = pair.gateways.iter().position(|gateway| *gateway == start.node);
        let voter = pair.voters.contains(&start.node).then(|| Voter::new(now_ns, pair.lease_ns));
        let owners = pair.gateways.map(|node| Owner { node, revision: 0 });
        Party {
            start,
            own,
            voter,
            tenures: Default::default(),
            heard: Default::default(),
            owners,
            version: 0,
            started_ns: now_ns,
            ask_ns: now_ns,
            draining: false,
            wants_back: false,
            highest: [0; 2],
            out: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            voters_heard_ns: BTreeMap::new(),
            pair,
        }
    }

    /// The pair.
    pub fn pair(&self) -> &Pair {
        &self.pair
    }

    /// Whether this node is one of the gateways: then its own block's number.
    pub fn own(&self) -> Option<usize> {
        self.own
    }

    /// Until when this gateway may translate a block, ns on the caller's clock; 0 where it may not.
    pub fn until_ns(&self, block: usize) -> u64 {
        let tenure = self.tenures.get(block).filter(|tenure| tenure.phase.holds());
        tenure.and_then(Tenure::asked_ns).map_or(0, |asked_ns| asked_ns.saturating_add(self.pair.hold_ns()))
    }

    /// Of this gateway's tenure of a block, or the last one.
    pub fn revision(&self, block: usize) -> u64 {
        self.tenures.get(block).map_or(0, |tenure| tenure.revision)
    }

    /// How this gateway stands to a block.
    pub fn phase(&self, block: usize) -> Phase {
        self.tenures.get(block).map_or(Phase::Idle, |tenure| tenure.phase)
    }

    /// Who holds each block, as far as it was heard.
    pub fn owners(&self) -> &[Owner; 2] {
        &self.owners
    }

    /// Grows whenever [`Party::owners`] has changed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Whether this gateway drains.
    pub fn is_draining(&self) -> bool {
        self.draining
    }

    /// What has been done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// When a voter, or the other gateway, was last heard, ns.
    pub fn heard_ns(&self, node: NodeId) -> Option<u64> {
        self.voters_heard_ns.get(&node).copied()
    }

    /// A message whose sender was made sure of.
    pub fn handle(&mut self, now_ns: u64, message: &Message) {
        let Pair { gateways, digest, .. } = &self.pair;
        if message.to != self.start.node || message.pair != gateways[0] || message.from == self.start.node {
            self.counters.refused += 1;
            return;
        }
        if message.digest != *digest {
            self.counters.refused += 1;
            self.counters.other_pair += 1;
            return;
        }
        let taken = match message.kind {
            Kind::Ask => self.take_ask(now_ns, message),
            Kind::Answer => self.take_answer(now_ns, message),
        };
        if taken {
            self.counters.taken += 1;
            self.voters_heard_ns.insert(message.from, now_ns);
            self.tick(now_ns);
        } else {
            self.counters.refused += 1;
        }
    }

    fn take_ask(&mut self, now_ns: u64, ask: &Message) -> bool {
        let Some(place) = self.pair.gateways.iter().position(|gateway| *gateway == ask.from) else {
            return false;
        };
        // What was said before the newest that was heard is somebody's replay, or has been overtaken.
        if (ask.life, ask.stamp) <= self.heard[place].newest {
            return false;
        }
        let heard = &mut self.heard[place];
        for (block, item) in ask.items.iter().enumerate() {
            let held_before = heard.at_ns.is_some() && !heard.items[block].has(Item::HELD);
            if item.has(Item::HELD) || !held_before {
                heard.without_since_ns[block] = now_ns;
            }
        }
        (heard.at_ns, heard.newest, heard.items) = (Some(now_ns), (ask.life, ask.stamp), ask.items);
        for (block, item) in ask.items.iter().enumerate() {
            self.highest[block] = self.highest[block].max(item.revision);
            if item.has(Item::HELD) {
                self.note_owner(block, Owner { node: ask.from, revision: item.revision });
            }
        }
        if let Some(voter) = &mut self.voter {
            let mut answer = Message {
                kind: Kind::Answer,
                from: self.start.node,
                to: ask.from,
                items: Default::default(),
                ..*ask
            };
            for (block, item) in ask.items.iter().enumerate() {
                answer.items[block] = voter.answer(now_ns, ask.from, block, item);
            }
            self.send(answer);
        }
        true
    }

    fn take_answer(&mut self, now_ns: u64, answer: &Message) -> bool {
        let Some(voter) = self.pair.voters.iter().position(|voter| *voter == answer.from) else {
            return false;
        };
        if self.own.is_none() || answer.life != self.start.life || answer.stamp > now_ns {
            return false;
        }
        for (block, item) in answer.items.iter().enumerate() {
            self.highest[block] = self.highest[block].max(item.revision);
            self.tenures[block].count(voter, answer.stamp, item);
        }
        true
    }

    /// Notes who says to hold a block, if that is news.
    fn note_owner(&mut self, block: usize, owner: Owner) {
        let Some(known) = self.owners.get_mut(block) else { return };
        if owner.revision > known.revision {
            *known = owner;
            self.version += 1;
            let tenure = &self.tenures[block];
            let holds_not = matches!(tenure.phase, Phase::Idle | Phase::Claiming);
            if owner.node != self.start.node && tenure.held_before != 0 && holds_not {
                self.tenures[block].held_before = 0;
                self.events.push_back(Event::Superseded { block });
            }
        }
    }

    /// Does what is due at this time.
    pub fn tick(&mut self, now_ns: u64) {
        let Some(own) = self.own else { return };
        let mut news = false;
        for block in 0..2 {
            news |= match self.tenures[block].phase {
                Phase::Idle => self.may_claim(now_ns, own, block) && self.claim(now_ns, block),
                Phase::Claiming => self.look_at_claim(now_ns, own, block),
                Phase::Holding | Phase::Handing => self.look_at_lease(now_ns, own, block),
                Phase::Stopping => false,
            };
        }
        let claims = self.tenures.iter().any(|tenure| tenure.phase == Phase::Claiming);
        if news || now_ns >= self.ask_ns {
            self.ask_ns = now_ns + if claims { self.pair.ask_ns() / 4 } else { self.pair.ask_ns() };
            self.ask(now_ns);
        }
    }

    /// Tells everybody what this gateway holds and wishes.
    fn ask(&mut self, now_ns: u64) {
        let Some(own) = self.own else { return };
        let mut items: [Item; 2] = Default::default();
        for (block, item) in items.iter_mut().enumerate() {
            let tenure = &self.tenures[block];
            let flags = match tenure.phase {
                Phase::Idle if tenure.released != 0 => Item::RELEASED,
                Phase::Idle => 0,
                Phase::Claiming => Item::WISH,
                Phase::Holding | Phase::Handing if tenure.told => Item::WISH | Item::HELD,
                Phase::Holding | Phase::Handing => Item::WISH,
                Phase::Stopping => 0,
            };
            let without = matches!(tenure.phase, Phase::Idle | Phase::Claiming);
            let wants_back = self.wants_back && block == own && without;
            item.flags = flags
                | if self.draining { Item::DRAINING } else { 0 }
                | if wants_back { Item::BACK } else { 0 };
            item.revision = if flags & Item::RELEASED != 0 { tenure.released } else { tenure.revision };
            item.holder = self.start.node;
        }
        let ask = Message {
            kind: Kind::Ask,
            from: self.start.node,
            to: NodeId(0),
            pair: self.pair.gateways[0],
            digest: self.pair.digest,
            life: self.start.life,
            stamp: now_ns,
            items,
        };
        // Its own vote.
        if let (Some(voter), Some(place)) =
            (&mut self.voter, self.pair.voters.iter().position(|voter| *voter == self.start.node))
        {
            for (block, item) in items.iter().enumerate() {
                let answer = voter.answer(now_ns, self.start.node, block, item);
                self.tenures[block].count(place, now_ns, &answer);
            }
        }
        let others = self.pair.voters.iter().chain(&self.pair.listeners);
        let others: Vec<NodeId> = others.copied().filter(|node| *node != self.start.node).collect();
        others.into_iter().for_each(|to| self.send(Message { to, ..ask }));
    }

    fn send(&mut self, message: Message) {
        if self.out.len() < OUT_MAX {
            self.out.push_back(message);
        }
    }

    /// All workers translate a block that was taken with this revision: others may be told.
    pub fn ready(&mut self, now_ns: u64, block: usize, revision: u64) {
        let Some(tenure) = self.tenures.get_mut(block) else { return };
        if tenure.phase != Phase::Holding || tenure.revision != revision || tenure.told {
            return;
        }
        tenure.told = true;
        if self.own == Some(block) {
            self.wants_back = false;
        }
        self.note_owner(block, Owner { node: self.start.node, revision });
        self.ask_ns = now_ns;
        self.tick(now_ns);
    }

    /// The other gateway knows a block's sessions, as far as they will be known, after [`Event::HandOver`].
    pub fn handed_over(&mut self, block: usize) {
        let tenure = self.tenures.get_mut(block).filter(|tenure| tenure.phase == Phase::Handing);
        if let Some(tenure) = tenure {
            tenure.phase = Phase::Stopping;
            self.events.push_back(Event::Stop { block });
        }
    }

    /// No worker translates a block any more, after [`Event::Stop`].
    pub fn stopped(&mut self, now_ns: u64, block: usize) {
        let lease_ns = self.pair.lease_ns;
        let Some(tenure) = self.tenures.get_mut(block).filter(|tenure| tenure.phase == Phase::Stopping)
        else {
            return;
        };
        tenure.released = tenure.revision;
        // The other one is to have it; if it does not come, this one takes it back.
        tenure.end(now_ns + lease_ns * 3);
        self.ask_ns = now_ns;
        self.tick(now_ns);
    }

    /// Hands all blocks over to the other gateway, and takes none any more.
    ///
    /// # Errors
    /// `false` where the other gateway is not heard.
    pub fn drain(&mut self, now_ns: u64) -> bool {
        let Some(own) = self.own else { return false };
        let peer = &self.heard[1 - own];
        let alive = peer.at_ns.is_some_and(|at_ns| now_ns.saturating_sub(at_ns) < self.pair.lease_ns);
        if !alive || peer.items[own].has(Item::DRAINING) {
            return false;
        }
        self.draining = true;
        self.wants_back = false;
        self.tick(now_ns);
        true
    }

    /// Takes part again, and asks for its own block back.
    pub fn resume(&mut self, now_ns: u64) {
        self.draining = false;
        self.wants_back = self.own.is_some_and(|own| !self.tenures[own].phase.holds());
        self.ask_ns = now_ns;
        self.tick(now_ns);
    }

    /// The next message to send.
    pub fn poll_transmit(&mut self) -> Option<Message> {
        self.out.pop_front()
    }

    /// What has happened.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Party::tick`] has something to do next, ns; `None` for who only listens or votes.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.own?;
        let lapses = (0..2).map(|block| self.until_ns(block)).filter(|until_ns| *until_ns != 0);
        Some(lapses.fold(self.ask_ns, u64::min))
    }

    /// How many voters have to be heard for a gateway to hold anything.
    pub fn quota(&self) -> usize {
        self.pair.quota()
    }
}
