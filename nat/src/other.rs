//! Sessions of protocols other than TCP, UDP and ICMP. They are few, and stand apart from the others: a place per session,
//! found by hash from both sides, and no table of all ports.
//!
//! | protocol | towards the origin |
//! |---|---|
//! | UDP-Lite (RFC 3828) | address and port, as UDP; its checksum always covers both |
//! | SCTP (RFC 9260) | address; ports stay, for its CRC32c covers them, and a packet that is cut could not be mended |
//! | any other (GRE, ESP, …) | address: one session for each client and origin |
//!
//! What has no port of its own to be told apart by needs an external address where the same origin (SCTP: and the same
//! ports) is not taken: the client's own is tried first, then the others. Its reply has to reach the worker that has the
//! session, so these addresses are dealt out to the workers in turn.

use crate::blocks::BLOCKS;
use crate::handover::Elsewhere;
use crate::session::{Expiry, Key, NewSession, Seconds, SessionIndex, SessionView, Tag};
use crate::share::{PORT_MIN, PROTOCOLS};
use crate::state::State;
use crate::table::Nat;
use crate::translate::{Rewrite, addresses_delta};
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use foldhash::quality::FixedState;
use packet::checksum::{Delta, add};
use packet::index::HashIndex;
use packet::transport::{SCTP, UDP_LITE, is_common};
use packet::{Addr, Headers, Reason};
use std::hash::BuildHasher;

/// Seconds that a session lives without traffic. SCTP's own heartbeats come every 30 s (RFC 9260 section 16).
const IDLE_S: u32 = 300;
/// Set in the numbers of these sessions; those of the others have 31 bits.
pub(crate) const OTHER: u32 = 1 << 31;
/// Where they stand on a client's account, with ICMP.
const OTHER_SPACE: usize = PROTOCOLS - 1;
/// External ports of UDP-Lite, which are dealt out to the workers one by one.
const PORTS: u16 = u16::MAX - PORT_MIN + 1;
/// Ports tried for a session of UDP-Lite.
const TRIES: usize = 64;

/// What a packet from the origin's side is found by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Outside {
    external: Addr,
    origin: Addr,
    external_port: u16,
    origin_port: u16,
    protocol: u8,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Key,
    outside: Outside,
    vip: Addr,
    vip_port: u16,
    tag: Tag,
    until: Expiry,
    addresses: Delta,
    transport: Delta,
}

/// An external address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    address: Addr,
    block: usize,
    /// Which worker's it is follows from this.
    number: u16,
}

/// The sessions of one worker.
pub(crate) struct Others {
    entries: Box<[Option<Entry>]>,
    inside: HashIndex,
    outside: HashIndex,
    free: Vec<u32>,
    /// External addresses with their places among those of their block and IP version.
    pool: Vec<Place>,
    worker: u16,
    workers: u16,
    hasher: FixedState,
    random: ChaCha8Rng,
    sweep_at: usize,
}

impl Others {
    /// Room for `capacity` sessions.
    pub(crate) fn new(
        capacity: usize,
        pools: [&[Addr]; BLOCKS],
        worker: u16,
        workers: u16,
        seed: u64,
    ) -> Others {
        let mut pool = Vec::new();
        for (block, addresses) in pools.into_iter().enumerate() {
            let mut numbers = [0u16; 2];
            pool.extend(addresses.iter().map(|address| {
                let next = &mut numbers[address.is_v4() as usize];
                *next += 1;
                Place { address: *address, block, number: *next - 1 }
            }));
        }
        pool.sort_unstable();
        Others {
            entries: vec![None; capacity].into_boxed_slice(),
            inside: HashIndex::new(capacity),
            outside: HashIndex::new(capacity),
            free: (0..capacity as u32).rev().collect(),
            pool,
            worker,
            workers,
            hasher: FixedState::with_seed(seed.rotate_left(11)),
            random: ChaCha8Rng::seed_from_u64(seed ^ 0x0073_7265_6874_6f21),
            sweep_at: 0,
        }
    }

    fn find(&self, key: &Key) -> Option<u32> {
        let is_it = |at: u32| self.entries[at as usize].as_ref().is_some_and(|entry| entry.key == *key);
        self.inside.find(self.hasher.hash_one(key), is_it)
    }

    fn find_outside(&self, outside: &Outside) -> Option<u32> {
        let is_it =
            |at: u32| self.entries[at as usize].as_ref().is_some_and(|entry| entry.outside == *outside);
        self.outside.find(self.hasher.hash_one(outside), is_it)
    }

    /// An external address and port from which this origin is not spoken to yet. `paired` is the client's address for
    /// protocols with ports.
    fn choose(
        &mut self,
        key: &Key,
        new: &NewSession,
        (block, paired): (usize, Addr),
    ) -> Result<Outside, Reason> {
        let NewSession { protocol, origin, origin_port, .. } = *new;
        let ports = has_ports(protocol);
        let outside = |external, external_port| Outside {
            external,
            origin,
            external_port,
            origin_port: if ports { origin_port } else { 0 },
            protocol,
        };
        if protocol == UDP_LITE {
            let share = (PORTS - self.worker).div_ceil(self.workers) as u64;
            let random = &mut self.random;
            let drawn: [u16; TRIES] = core::array::from_fn(|_| {
                let ordinal = (random.next_u32() as u64 * share) >> 32;
                PORT_MIN + self.worker + ordinal as u16 * self.workers
            });
            let found = drawn.into_iter().map(|port| outside(paired, port));
            return found
                .into_iter()
                .find(|one| self.find_outside(one).is_none())
                .ok_or(Reason::NatPortsExhausted);
        }
        let version = key.client.is_v4();
        let (worker, workers) = (self.worker, self.workers);
        let own = |place: &&Place| {
            place.block == block && place.address.is_v4() == version && place.number % workers == worker
        };
        let count = self.pool.iter().filter(own).count();
        if count == 0 {
            return Err(Reason::NatNoPool);
        }
        let port = if ports { key.port } else { 0 };
        let start = (self.hasher.hash_one(key.client) as usize) % count;
        let turn = self.pool.iter().filter(own).cycle().skip(start).take(count);
        let mut turn = turn.map(|place| outside(place.address, port));
        turn.find(|one| self.find_outside(one).is_none()).ok_or(Reason::NatPortsExhausted)
    }

    /// Puts a session in a place that is free.
    fn insert(&mut self, at: u32, entry: Entry) -> Result<(), Reason> {
        let hash = self.hasher.hash_one(entry.key);
        self.inside.insert(hash, at).map_err(|_| Reason::NatTableFull)?;
        if self.outside.insert(self.hasher.hash_one(entry.outside), at).is_err() {
            self.inside.remove(hash, at);
            return Err(Reason::NatTableFull);
        }
        self.entries[at as usize] = Some(entry);
        Ok(())
    }

    fn remove(&mut self, at: u32) -> Option<Entry> {
        let entry = self.entries.get_mut(at as usize)?.take()?;
        self.inside.remove(self.hasher.hash_one(entry.key), at);
        self.outside.remove(self.hasher.hash_one(entry.outside), at);
        self.free.push(at);
        Some(entry)
    }

    /// Looks at the next place of the sweep; says which it is, where the time of its session is over.
    fn next_due(&mut self, now: Seconds) -> Option<u32> {
        let at = self.sweep_at;
        self.sweep_at = (at + 1) % self.entries.len();
        self.entries[at].is_some_and(|entry| entry.until.is_due(now)).then_some(at as u32)
    }

    /// The first session at a place or behind it, and where to go on; both as [`Nat::session_from`] has them.
    pub(crate) fn session_from(&self, from: u32, places: u32) -> (Option<SessionIndex>, Option<u32>) {
        let from = from.saturating_sub(OTHER) as usize;
        let end = from.saturating_add(places as usize).min(self.entries.len());
        let found = (from..end).find(|at| self.entries[*at].is_some());
        let next = found.map_or(end, |at| at + 1);
        let numbered = |at: usize| OTHER | at as u32;
        (found.map(numbered).map(SessionIndex), (next < self.entries.len()).then(|| numbered(next)))
    }

    fn entry(&self, session: SessionIndex) -> Option<&Entry> {
        self.entries.get(session.0.checked_sub(OTHER)? as usize)?.as_ref()
    }

    fn entry_mut(&mut self, session: SessionIndex) -> Option<&mut Entry> {
        self.entries.get_mut(session.0.checked_sub(OTHER)? as usize)?.as_mut()
    }

    fn view(&self, at: u32) -> Option<SessionView> {
        let entry = self.entries.get(at as usize)?.as_ref()?;
        let Outside { external, origin, external_port, origin_port, protocol } = entry.outside;
        Some(SessionView {
            index: SessionIndex(OTHER | at),
            key: entry.key,
            protocol,
            vip: entry.vip,
            vip_port: entry.vip_port,
            origin,
            origin_port,
            external,
            external_port,
            state: State::UDP,
            tag: entry.tag,
            is_inbound: false,
            expiry: entry.until,
        })
    }
}

/// Which outside a session is to have.
#[derive(Clone, Copy)]
enum Wanted {
    /// One that is free, with an address of this block.
    AnyOf(usize),
    /// This one.
    This(Outside),
}

fn has_ports(protocol: u8) -> bool {
    matches!(protocol, UDP_LITE | SCTP)
}

impl Entry {
    fn towards_origin(&self) -> Rewrite {
        Rewrite {
            src: self.outside.external,
            dst: self.outside.origin,
            src_port: self.outside.external_port,
            dst_port: self.outside.origin_port,
            addresses: self.addresses,
            transport: self.transport,
        }
    }

    fn towards_client(&self) -> Rewrite {
        Rewrite {
            src: self.vip,
            dst: self.key.client,
            src_port: self.vip_port,
            dst_port: self.key.port,
            addresses: self.addresses.reversed(),
            transport: self.transport.reversed(),
        }
    }
}

/// Sessions of all protocols, those of other protocols among them. Slower than what is for the common ones alone.
impl Nat {
    /// The session of a packet from the client's side, of a protocol that is not common.
    pub fn find_other(&self, key: &Key) -> Option<SessionIndex> {
        self.others.find(key).map(|at| SessionIndex(OTHER | at))
    }

    /// Makes a session of a protocol that is not common, with an address of this block; see [`Nat::create_in`].
    ///
    /// # Errors
    /// [`Reason::NatNotHolder`], [`Reason::NoOrigin`], [`Reason::NatNoPool`], also where this worker has no address of its own,
    /// [`Reason::NatPortsExhausted`] where the origin is spoken to from all of them, [`Reason::NatTableFull`],
    /// [`Reason::NatClientLimit`], [`Reason::NatClientRate`].
    pub fn create_other(
        &mut self,
        now: Seconds,
        key: Key,
        new: NewSession,
        block: usize,
    ) -> Result<SessionIndex, Reason> {
        if let Some(session) = self.find_other(&key) {
            return Ok(session);
        }
        if !self.is_held(block) {
            return Err(Reason::NatNotHolder);
        }
        let made = self.make_other(now, key, new, Wanted::AnyOf(block));
        self.tell_made(now, key.client, new.protocol, made)
    }

    /// Stores a session of a protocol that is not common; see [`Nat::store`].
    pub(crate) fn store_other(
        &mut self,
        now: Seconds,
        key: Key,
        new: NewSession,
        at: Elsewhere,
    ) -> Result<(), Reason> {
        let outside = Outside {
            external: at.external,
            origin: new.origin,
            external_port: at.port,
            origin_port: if has_ports(new.protocol) { new.origin_port } else { 0 },
            protocol: new.protocol,
        };
        if let Some(known) = self.others.find(&key) {
            match &mut self.others.entries[known as usize] {
                Some(entry) if entry.outside == outside => {
                    entry.until = Expiry::new(now, IDLE_S, State::UDP);
                    return Ok(());
                }
                _ => self.remove_other(known),
            }
        }
        if let Some(stale) = self.others.find_outside(&outside) {
            self.remove_other(stale);
        }
        let made = self.make_other(now, key, new, Wanted::This(outside));
        self.tell_made(now, key.client, new.protocol, made).map(|_| ())
    }

    fn make_other(
        &mut self,
        now: Seconds,
        key: Key,
        new: NewSession,
        wanted: Wanted,
    ) -> Result<SessionIndex, Reason> {
        let (vip, origin) = (new.vip, new.origin);
        if is_common(new.protocol) || [origin, vip].iter().any(|one| one.is_v4() != key.client.is_v4()) {
            return Err(Reason::NoOrigin);
        }
        let hash = self.hash_address(key.client);
        let is_new = matches!(wanted, Wanted::AnyOf(_));
        let account = self.accounts.open(now, hash, key.client, OTHER_SPACE, is_new)?;
        let is_large = self.accounts.sessions(account) > self.rules.few;
        let has_port = new.protocol == UDP_LITE;
        let made = match has_port.then(|| self.accounts.take_port(account)).transpose() {
            Ok(_) => self.place_other(now, key, &new, wanted, is_large).inspect_err(|_| {
                if has_port {
                    self.accounts.give_port(hash, key.client);
                }
            }),
            Err(reason) => Err(reason),
        };
        made.inspect_err(|_| self.accounts.close(hash, key.client, OTHER_SPACE))
    }

    /// Puts a session of a client that may have it in its place.
    fn place_other(
        &mut self,
        now: Seconds,
        key: Key,
        new: &NewSession,
        wanted: Wanted,
        is_large: bool,
    ) -> Result<SessionIndex, Reason> {
        let (vip, origin) = (new.vip, new.origin);
        let paired = match wanted {
            Wanted::AnyOf(block) => self.paired_address(key.client, block).ok_or(Reason::NatNoPool)?,
            Wanted::This(outside) => outside.external,
        };
        let others = &mut self.others;
        let at = *others.free.last().ok_or(Reason::NatTableFull)?;
        let reserved = others.entries.len() * self.rules.reserve_percent as usize / 100;
        if is_large && others.free.len() <= reserved {
            return Err(Reason::NatTableFull);
        }
        let outside = match wanted {
            Wanted::AnyOf(block) => others.choose(&key, new, (block, paired))?,
            Wanted::This(outside) => outside,
        };
        let addresses = addresses_delta((key.client, vip), (outside.external, origin));
        let ports =
            Delta::between(add(key.port, new.vip_port), add(outside.external_port, outside.origin_port));
        let entry = Entry {
            key,
            outside,
            vip,
            vip_port: if has_ports(new.protocol) { new.vip_port } else { 0 },
            tag: new.tag,
            until: Expiry::new(now, IDLE_S, State::UDP),
            addresses,
            transport: if new.protocol == UDP_LITE { addresses.and(ports) } else { Delta::NONE },
        };
        others.insert(at, entry)?;
        others.free.pop();
        Ok(SessionIndex(OTHER | at))
    }

    /// Forgets a session, and takes it off its client's account.
    fn remove_other(&mut self, at: u32) {
        let Some(entry) = self.others.remove(at) else { return };
        let client = entry.key.client;
        let hash = self.hash_address(client);
        if entry.outside.protocol == UDP_LITE {
            self.accounts.give_port(hash, client);
        }
        self.accounts.close(hash, client, OTHER_SPACE);
    }

    /// Forgets the sessions of other protocols in a block.
    pub(crate) fn clear_others(&mut self, block: usize) {
        if self.others_len() == 0 {
            return;
        }
        for at in 0..self.others.entries.len() {
            let external = self.others.entries[at].map(|entry| entry.outside.external);
            if external.is_some_and(|external| self.block_of(external) == Some(block)) {
                self.remove_other(at as u32);
            }
        }
    }

    /// The session of a packet from the origin's side, of a protocol that is not common: its addresses, its ports
    /// (0 where it has none) and its protocol.
    ///
    /// # Errors
    /// [`Reason::NatNoSession`].
    pub fn find_other_reverse(
        &self,
        (origin, origin_port): (Addr, u16),
        (external, external_port): (Addr, u16),
        protocol: u8,
    ) -> Result<SessionIndex, Reason> {
        let outside = Outside { external, origin, external_port, origin_port, protocol };
        let found = self.others.find_outside(&outside);
        found.map(|at| SessionIndex(OTHER | at)).ok_or(Reason::NatNoSession)
    }

    /// The worker that has the sessions of a protocol that is not common at an external address and port.
    pub fn owner_other(&self, protocol: u8, external: Addr, port: u16) -> Option<u16> {
        let Others { pool, workers, .. } = &self.others;
        if protocol == UDP_LITE {
            return port.checked_sub(PORT_MIN)?.checked_rem(*workers);
        }
        let at = pool.binary_search_by_key(&external, |place| place.address).ok()?;
        pool.get(at)?.number.checked_rem(*workers)
    }

    /// As [`Nat::session`] for sessions of all protocols.
    pub fn any_session(&self, session: SessionIndex) -> Option<SessionView> {
        match session.0.checked_sub(OTHER) {
            Some(at) => self.others.view(at),
            None => self.session(session),
        }
    }

    /// As [`Nat::tag`] and [`Nat::key`]; `None` where it has expired.
    pub fn any_tag_and_key(&self, session: SessionIndex) -> Option<(Tag, Key)> {
        match self.others.entry(session) {
            Some(entry) => Some((entry.tag, entry.key)),
            None => self.session(session).map(|view| (view.tag, view.key)),
        }
    }

    /// As [`Nat::set_tag`].
    pub fn set_any_tag(&mut self, session: SessionIndex, tag: Tag) {
        match self.others.entry_mut(session) {
            Some(entry) => entry.tag = tag,
            None if session.0 < OTHER => self.set_tag(session, tag),
            None => {}
        }
    }

    /// As [`Nat::forward`], of a session of any protocol.
    ///
    /// # Errors
    /// As there.
    pub fn forward_any(
        &mut self,
        now: Seconds,
        session: SessionIndex,
        bytes: &mut [u8],
        packet: &impl Headers,
    ) -> Result<(), Reason> {
        match self.others.entry_mut(session) {
            Some(entry) => {
                entry.until = Expiry::new(now, IDLE_S, State::UDP);
                entry.towards_origin().packet(bytes, packet);
                Ok(())
            }
            None => self.forward(now, session, bytes, packet),
        }
    }

    /// As [`Nat::reverse`], of a session of any protocol.
    ///
    /// # Errors
    /// As there.
    pub fn reverse_any(
        &mut self,
        now: Seconds,
        session: SessionIndex,
        bytes: &mut [u8],
        packet: &impl Headers,
    ) -> Result<(), Reason> {
        match self.others.entry_mut(session) {
            Some(entry) => {
                entry.until = Expiry::new(now, IDLE_S, State::UDP);
                entry.towards_client().packet(bytes, packet);
                Ok(())
            }
            None => self.reverse(now, session, bytes, packet),
        }
    }

    /// As [`Nat::sweep`], of sessions of other protocols.
    pub fn sweep_others(&mut self, now: Seconds, budget: usize) {
        for _ in 0..budget.min(self.others.entries.len()) {
            if let Some(at) = self.others.next_due(now) {
                self.tell_deleted(now, SessionIndex(OTHER | at));
                self.remove_other(at);
            }
        }
    }

    /// Sessions of other protocols.
    pub fn others_len(&self) -> usize {
        self.others.inside.len()
    }

    /// As [`Nat::list`], of sessions of all protocols.
    pub fn list_all(&self, from: u32, count: usize, mut show: impl FnMut(SessionView)) -> Option<u32> {
        if from < OTHER {
            return self
                .list(from, count, show)
                .or_else(|| (!self.others.inside.is_empty()).then_some(OTHER));
        }
        let from = (from - OTHER) as usize;
        let end = from.saturating_add(count).min(self.others.entries.len());
        (from..end).filter_map(|at| self.others.view(at as u32)).for_each(&mut show);
        (end < self.others.entries.len() && end > from).then_some(OTHER | end as u32)
    }
}

#[path = "other_errors.rs"]
mod errors;

#[cfg(test)]
#[path = "other_tests.rs"]
mod tests;
