//! The neighbour table: one state machine for ARP and neighbour discovery (RFC 4861 section 7.3, simplified).
//!
//! ```text
//!            wanted            answered               30 s
//!   nothing ────────► asking ────────────► reachable ───────► confirming
//!                       │                    ▲    ▲                │
//!                       │ 3 × no answer      │    └─── answered ───┤
//!                       ▼                    │                     │ 3 × no answer
//!                    backing off ── asked ───┘ ◄───────────────────┘
//! ```
//!
//! A neighbour that answers stays in the table: the fast path does not report use, and losing an entry in use would
//! cost packets. An address heard from its owner without having been asked for is used and then confirmed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use packet::{Addr, Mac};

use crate::PortIndex;

/// Frames that may wait for one neighbour: at 2,000 a second what comes in 32 ms, in which a busy host answers.
pub const HELD_PER_NEIGHBOR_MAX: usize = 64;
/// Frames that may wait for all neighbours together.
const HELD_MAX: usize = 1024;

const SECOND_NS: u64 = 1_000_000_000;
/// RFC 4861 section 10: RETRANS_TIMER, MAX_MULTICAST_SOLICIT and MAX_UNICAST_SOLICIT, REACHABLE_TIME,
/// DELAY_FIRST_PROBE_TIME.
const RETRANSMIT_NS: u64 = SECOND_NS;
const PROBES: u8 = 3;
const REACHABLE_NS: u64 = 30 * SECOND_NS;
const DELAY_NS: u64 = 5 * SECOND_NS;
/// Longest pause before asking again.
const BACK_OFF_NS_MAX: u64 = 60 * SECOND_NS;
/// The same for a next hop of the configuration, which should work as soon as it is there.
const BACK_OFF_KEPT_NS_MAX: u64 = 2 * SECOND_NS;

type Key = (PortIndex, Addr);

enum State {
    /// Asked everyone so many times; no address known.
    Asking { probes: u8 },
    /// Known, and confirmed or heard lately.
    Reachable { mac: Mac },
    /// Known, and asked so many times whether it is still so.
    Confirming { mac: Mac, probes: u8 },
    /// Did not answer; asked again when the pause is over, if wanted.
    BackingOff { wanted: bool },
}

struct Neighbor {
    state: State,
    /// When the state needs attention.
    due_ns: u64,
    /// Named by the configuration.
    kept: bool,
    /// Times in a row that it did not answer.
    failures: u8,
    held: VecDeque<Vec<u8>>,
}

/// What [`Neighbors::poll`] asks for.
pub(super) enum Action {
    /// Ask for a neighbour; with an Ethernet address, ask only there.
    Probe { port: PortIndex, addr: Addr, mac: Option<Mac> },
    /// A neighbour did not answer, and so many frames that waited for it are gone.
    GiveUp { held: usize },
}

/// No room to hold one more frame, or the neighbour lately did not answer.
pub(super) struct NotHeld;

/// The table.
pub(super) struct Neighbors {
    table: BTreeMap<Key, Neighbor>,
    due: BTreeSet<(u64, Key)>,
    dynamic_max: usize,
    dynamic: usize,
    held: usize,
    version: u64,
}

impl Neighbors {
    /// An empty table with room for `dynamic_max` neighbours beside those that are kept.
    pub(super) fn new(dynamic_max: usize) -> Neighbors {
        Neighbors {
            table: BTreeMap::new(),
            due: BTreeSet::new(),
            dynamic_max,
            dynamic: 0,
            held: 0,
            version: 0,
        }
    }

    /// Keeps these resolved from now on, and no others.
    pub(super) fn keep(&mut self, now_ns: u64, keys: &[Key]) {
        let wanted: BTreeSet<Key> = keys.iter().copied().collect();
        for (key, neighbor) in &mut self.table {
            neighbor.kept = wanted.contains(key);
        }
        for key in wanted {
            if !self.table.contains_key(&key) {
                self.insert(now_ns, key, State::Asking { probes: 0 }, true);
            }
        }
        self.dynamic = self.table.values().filter(|neighbor| !neighbor.kept).count();
    }

    /// The Ethernet address of a neighbour.
    pub(super) fn mac(&self, port: PortIndex, addr: Addr) -> Option<Mac> {
        self.table.get(&(port, addr)).and_then(Neighbor::mac)
    }

    /// All that are known.
    pub(super) fn known(&self) -> impl Iterator<Item = (PortIndex, Addr, Mac)> + '_ {
        self.table.iter().filter_map(|((port, addr), neighbor)| Some((*port, *addr, neighbor.mac()?)))
    }

    /// Kept ones that are not known.
    pub(super) fn unresolved(&self) -> impl Iterator<Item = Key> + '_ {
        self.table
            .iter()
            .filter(|(_, neighbor)| neighbor.kept && neighbor.mac().is_none())
            .map(|(key, _)| *key)
    }

    /// Grows with every change of what [`Neighbors::known`] lists.
    pub(super) fn version(&self) -> u64 {
        self.version
    }

    /// Frames that wait.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    /// Holds a frame until a neighbour is known, and asks for it.
    pub(super) fn hold(
        &mut self,
        now_ns: u64,
        port: PortIndex,
        addr: Addr,
        frame: Vec<u8>,
    ) -> Result<(), NotHeld> {
        let key = (port, addr);
        if !self.table.contains_key(&key) {
            if !self.make_room() {
                return Err(NotHeld);
            }
            self.insert(now_ns, key, State::Asking { probes: 0 }, false);
        }
        let held = self.held;
        let neighbor = self.table.get_mut(&key).ok_or(NotHeld)?;
        if let State::BackingOff { wanted } = &mut neighbor.state {
            *wanted = true;
            return Err(NotHeld);
        }
        if neighbor.held.len() >= HELD_PER_NEIGHBOR_MAX || held >= HELD_MAX {
            return Err(NotHeld);
        }
        neighbor.held.push_back(frame);
        self.held += 1;
        Ok(())
    }

    /// A neighbour has answered our question: the frames that waited for it.
    pub(super) fn confirmed(
        &mut self,
        now_ns: u64,
        port: PortIndex,
        addr: Addr,
        mac: Mac,
    ) -> VecDeque<Vec<u8>> {
        self.known_now(now_ns + REACHABLE_NS, (port, addr), mac)
    }

    /// A neighbour has told its address unasked: updates its entry, and makes one if `may_create`. It is confirmed
    /// soon. Returns the frames that waited for it.
    pub(super) fn heard(
        &mut self,
        now_ns: u64,
        port: PortIndex,
        addr: Addr,
        mac: Mac,
        may_create: bool,
    ) -> VecDeque<Vec<u8>> {
        let key = (port, addr);
        match self.table.get(&key) {
            // Nothing new: its timer runs on, so that hearsay alone never keeps an entry.
            Some(neighbor) if neighbor.mac() == Some(mac) => return VecDeque::new(),
            Some(_) => {}
            None => {
                if !may_create || !self.make_room() {
                    return VecDeque::new();
                }
                self.insert(now_ns, key, State::Asking { probes: 0 }, false);
            }
        }
        self.known_now(now_ns + DELAY_NS, key, mac)
    }

    /// Somebody else claims a neighbour's address: ask the neighbour.
    pub(super) fn doubt(&mut self, now_ns: u64, port: PortIndex, addr: Addr) {
        if let Some(Neighbor { state: State::Reachable { .. }, .. }) = self.table.get(&(port, addr)) {
            self.schedule((port, addr), now_ns);
        }
    }

    /// The next thing that is due.
    pub(super) fn poll(&mut self, now_ns: u64) -> Option<Action> {
        while let Some((due_ns, key)) = self.due.first().copied() {
            if due_ns > now_ns {
                return None;
            }
            if let Some(action) = self.attend(now_ns, key) {
                return Some(action);
            }
        }
        None
    }

    /// When [`Neighbors::poll`] has something to do.
    pub(super) fn next(&self) -> Option<u64> {
        self.due.first().map(|(due_ns, _)| *due_ns)
    }

    /// Drops everything held and says how much it was.
    pub(super) fn let_go(&mut self) -> usize {
        self.table.values_mut().for_each(|neighbor| neighbor.held.clear());
        core::mem::take(&mut self.held)
    }

    /// Moves a neighbour whose time has come to its next state.
    fn attend(&mut self, now_ns: u64, key: Key) -> Option<Action> {
        let neighbor = self.table.get_mut(&key)?;
        let (port, addr) = key;
        match neighbor.state {
            State::Asking { probes } if probes < PROBES => {
                neighbor.state = State::Asking { probes: probes + 1 };
                self.schedule(key, now_ns + RETRANSMIT_NS);
                Some(Action::Probe { port, addr, mac: None })
            }
            State::Reachable { mac } => {
                neighbor.state = State::Confirming { mac, probes: 1 };
                self.schedule(key, now_ns + RETRANSMIT_NS);
                Some(Action::Probe { port, addr, mac: Some(mac) })
            }
            State::Confirming { mac, probes } if probes < PROBES => {
                neighbor.state = State::Confirming { mac, probes: probes + 1 };
                self.schedule(key, now_ns + RETRANSMIT_NS);
                Some(Action::Probe { port, addr, mac: Some(mac) })
            }
            State::Confirming { .. } => {
                // Its address may have moved to another station: ask everyone before giving up.
                neighbor.state = State::Asking { probes: 0 };
                self.version += 1;
                self.schedule(key, now_ns);
                None
            }
            State::Asking { .. } => {
                let max_ns = if neighbor.kept { BACK_OFF_KEPT_NS_MAX } else { BACK_OFF_NS_MAX };
                let pause_ns = (SECOND_NS << neighbor.failures.min(6)).min(max_ns);
                neighbor.failures = neighbor.failures.saturating_add(1);
                neighbor.state = State::BackingOff { wanted: false };
                let held = core::mem::take(&mut neighbor.held).len();
                self.held -= held;
                self.schedule(key, now_ns + pause_ns);
                (held > 0).then_some(Action::GiveUp { held })
            }
            State::BackingOff { wanted } if wanted || neighbor.kept => {
                neighbor.state = State::Asking { probes: 0 };
                self.schedule(key, now_ns);
                None
            }
            State::BackingOff { .. } => {
                self.remove(key);
                None
            }
        }
    }

    fn known_now(&mut self, due_ns: u64, key: Key, mac: Mac) -> VecDeque<Vec<u8>> {
        let Some(neighbor) = self.table.get_mut(&key) else { return VecDeque::new() };
        if neighbor.mac() != Some(mac) {
            self.version += 1;
        }
        neighbor.state = State::Reachable { mac };
        neighbor.failures = 0;
        let held = core::mem::take(&mut neighbor.held);
        self.held -= held.len();
        self.schedule(key, due_ns);
        held
    }

    /// Makes sure that one more neighbour fits: the place of one that does not answer is free.
    fn make_room(&mut self) -> bool {
        if self.dynamic < self.dynamic_max {
            return true;
        }
        let silent = |n: &Neighbor| !n.kept && matches!(n.state, State::BackingOff { .. });
        let key = self.table.iter().find(|(_, neighbor)| silent(neighbor)).map(|(key, _)| *key);
        if let Some(key) = key {
            self.remove(key);
        }
        key.is_some()
    }

    fn insert(&mut self, due_ns: u64, key: Key, state: State, kept: bool) {
        self.table.insert(key, Neighbor { state, due_ns, kept, failures: 0, held: VecDeque::new() });
        self.due.insert((due_ns, key));
        self.dynamic += usize::from(!kept);
    }

    /// Only for a neighbour for which nothing waits.
    fn remove(&mut self, key: Key) {
        if let Some(neighbor) = self.table.remove(&key) {
            self.due.remove(&(neighbor.due_ns, key));
            self.dynamic -= usize::from(!neighbor.kept);
        }
    }

    fn schedule(&mut self, key: Key, due_ns: u64) {
        if let Some(neighbor) = self.table.get_mut(&key) {
            self.due.remove(&(neighbor.due_ns, key));
            neighbor.due_ns = due_ns;
            self.due.insert((due_ns, key));
        }
    }
}

impl Neighbor {
    fn mac(&self) -> Option<Mac> {
        match self.state {
            State::Reachable { mac } | State::Confirming { mac, .. } => Some(mac),
            State::Asking { .. } | State::BackingOff { .. } => None,
        }
    }
}
