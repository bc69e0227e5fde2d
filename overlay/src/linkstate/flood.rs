//! Everything a node holds of link state, and its conversations with its neighbours about it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::links::{LinkNow, Links};
use super::message::{Entries, Item, Message, Writer};
use super::neighbor::{FIRST, LAST, Neighbor};
use super::record::{self, Key, Kind, Record};
use super::{AGE_MS_MAX, PAUSE_MS, REFRESH_MS};
use crate::keys::{CLOCK_SLACK_S, Identity, Now, PublicIdentity};
use crate::plans::Paths;
use crate::topology::NodeId;

/// Who takes part.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// The overlay's number.
    pub overlay_id: u32,
    /// Which node this is.
    pub node: NodeId,
}

/// A node of the topology.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    /// Its identity; where it has one, its records must be signed.
    pub identity: Option<PublicIdentity>,
    /// Pieces that its links may take.
    pub pieces: u16,
    /// Regions whose path sets it may plan: all below this.
    pub plans: u16,
}

/// Why something of a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Refused {
    /// It is no message to this node, or its lengths lie.
    #[error("no message for this node")]
    Malformed,
    /// Its sender is no neighbour, or speaks for another.
    #[error("its sender is no neighbour")]
    Stranger,
    /// A record of a node that is not in the topology, or about more than that can have.
    #[error("a record of nobody that is known")]
    UnknownOrigin,
    /// A record that makes no sense.
    #[error("a record that makes no sense")]
    BadRecord,
    /// A record whose origin has a public key, and not its signature; or the other way round.
    #[error("a record without its origin's signature")]
    Forged,
    /// A record of long ago.
    #[error("a record of long ago")]
    Ancient,
    /// A record of a time to come.
    #[error("a record of a time to come")]
    Future,
    /// A record older than the one that is held.
    #[error("a record older than the one that is held")]
    Old,
    /// Too many signatures were to be verified for this neighbour.
    #[error("too many records from this neighbour")]
    Limited,
}

impl Refused {
    /// A stable name for counters, in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Refused::Malformed => "no_message",
            Refused::Stranger => "stranger",
            Refused::UnknownOrigin => "unknown_origin",
            Refused::BadRecord => "bad_record",
            Refused::Forged => "forged",
            Refused::Ancient => "ancient",
            Refused::Future => "future",
            Refused::Old => "old",
            Refused::Limited => "limited",
        }
    }
}

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Records of this node written.
    pub originated: u64,
    /// Records of others taken.
    pub taken: u64,
    /// Records that were held already.
    pub known: u64,
    /// Records forgotten because nobody renewed them.
    pub aged: u64,
    /// Messages sent, and their bytes.
    pub sent: u64,
    /// Bytes of these.
    pub sent_bytes: u64,
}

/// The newest record of a key.
struct Held {
    sequence: u64,
    /// When it was made, by this node's clock, ms; may be before its zero.
    made_ms: i64,
    /// None once it is too old: then only its sequence is remembered, so that it does not come again.
    content: Option<Content>,
}

struct Content {
    bytes: Arc<[u8]>,
    /// Where it is about links.
    links: Option<Links>,
}

/// What this node says.
struct Own {
    body: Vec<u8>,
    /// Not told yet.
    is_news: bool,
    told_ms: Option<u64>,
}

/// A node's link state.
pub struct Flood {
    settings: Settings,
    identity: Option<Identity>,
    members: BTreeMap<NodeId, Member>,
    neighbors: BTreeMap<NodeId, Neighbor>,
    held: BTreeMap<Key, Held>,
    own: BTreeMap<Key, Own>,
    version: u64,
    /// When held records are looked through for old ones, ms.
    expire_ms: u64,
    counters: Counters,
    refused: BTreeMap<Refused, u64>,
}

impl Flood {
    /// Nothing known, nobody met. `identity` signs what this node says.
    pub fn new(settings: Settings, identity: Option<Identity>) -> Flood {
        Flood {
            settings,
            identity,
            members: BTreeMap::new(),
            neighbors: BTreeMap::new(),
            held: BTreeMap::new(),
            own: BTreeMap::new(),
            version: 0,
            expire_ms: 0,
            counters: Counters::default(),
            refused: BTreeMap::new(),
        }
    }

    /// Takes the nodes of a topology and which of them are neighbours; what nodes have said that are gone is forgotten.
    pub fn reconfigure(&mut self, members: BTreeMap<NodeId, Member>, neighbors: &[NodeId]) {
        self.members = members;
        let (held, known) = (&mut self.held, &self.members);
        held.retain(|key, _| known.get(&key.origin).is_some_and(|member| within(*key, member)));
        self.neighbors.retain(|node, _| neighbors.contains(node));
        for node in neighbors {
            self.neighbors.entry(*node).or_insert_with(Neighbor::new);
        }
        self.version += 1;
    }

    /// Whether a neighbour is reached.
    pub fn set_neighbor(&mut self, node: NodeId, up: bool, now: Now) {
        if let Some(neighbor) = self.neighbors.get_mut(&node) {
            neighbor.set_up(now.monotonic_ms, up);
        }
    }

    /// What this node says about something from now on: at once where it is news, else with the next renewal.
    pub fn say(&mut self, kind: Kind, index: u16, body: Vec<u8>, is_news: bool) {
        let key = Key { origin: self.settings.node, kind, index };
        let own =
            self.own.entry(key).or_insert_with(|| Own { body: Vec::new(), is_news: true, told_ms: None });
        own.is_news |= is_news && own.body != body;
        own.body = body;
    }

    /// This node says nothing about something any more; others forget it in time.
    pub fn fall_silent(&mut self, kind: Kind, from_index: u16) {
        let node = self.settings.node;
        self.own.retain(|key, _| !(key.kind == kind && key.index >= from_index));
        for (key, held) in &mut self.held {
            if key.origin == node && key.kind == kind && key.index >= from_index {
                self.version += u64::from(held.content.take().is_some());
            }
        }
    }

    /// A message from a member's address, of which it is known that it is `from`'s.
    ///
    /// # Errors
    /// The first thing that was not taken; the rest was, as far as it could be.
    pub fn handle(&mut self, from: NodeId, bytes: &[u8], now: Now) -> Result<(), Refused> {
        let taken = self.take(from, bytes, now);
        if let Err(why) = taken {
            *self.refused.entry(why).or_default() += 1;
        }
        taken
    }

    fn take(&mut self, from: NodeId, bytes: &[u8], now: Now) -> Result<(), Refused> {
        let own = self.identity.as_ref().map(Identity::public);
        let message =
            Message::parse(bytes, self.settings.overlay_id, own.as_ref()).ok_or(Refused::Malformed)?;
        if message.from != from || !self.neighbors.contains_key(&from) {
            return Err(Refused::Stranger);
        }
        let mut result = Ok(());
        for item in message.items().flatten() {
            let taken = match item {
                Item::Record { age_ms, record } => self.take_record(from, age_ms, record, now),
                Item::Acknowledgement(entries) => {
                    self.take_acknowledgements(from, &entries);
                    Ok(())
                }
                Item::Summary { after, last, entries } => {
                    self.take_summary(from, after, last, &entries, now);
                    Ok(())
                }
            };
            result = result.and(taken);
        }
        result
    }

    fn take_record(&mut self, from: NodeId, age_ms: u32, bytes: &[u8], now: Now) -> Result<(), Refused> {
        let record = Record::parse(bytes).ok_or(Refused::BadRecord)?;
        let key = record.key;
        let member = self.members.get(&key.origin).filter(|member| within(key, member));
        let member = *member
            .filter(|_| record.overlay_id == self.settings.overlay_id)
            .ok_or(Refused::UnknownOrigin)?;
        let now_ms = now.monotonic_ms;
        let held = self.held.get(&key);
        let neighbor = self.neighbors.get_mut(&from).ok_or(Refused::Stranger)?;
        match held {
            Some(held) if held.sequence == record.sequence => {
                self.counters.known += 1;
                neighbor.pending.remove(&key);
                neighbor.acknowledge((key, record.sequence));
                return Ok(());
            }
            Some(held) if held.sequence > record.sequence => {
                if held.content.is_some() {
                    neighbor.owe_if_not(now_ms, key);
                }
                return Err(Refused::Old);
            }
            _ => {}
        }
        let slack_ms = CLOCK_SLACK_S * 1000;
        if u64::from(age_ms) >= AGE_MS_MAX || record.sequence.saturating_add(slack_ms) < now.unix_ms {
            return Err(Refused::Ancient);
        }
        if record.sequence > now.unix_ms.saturating_add(slack_ms) {
            return Err(Refused::Future);
        }
        let links = read(key.kind, record.body).ok_or(Refused::BadRecord)?;
        match member.identity {
            None if record.is_signed() => return Err(Refused::Forged),
            None => {}
            Some(_) if !record.is_signed() => return Err(Refused::Forged),
            Some(_) if !neighbor.verifications.take(now_ms) => return Err(Refused::Limited),
            Some(identity) if !record.is_signed_by(&identity) => return Err(Refused::Forged),
            Some(_) => {}
        }
        neighbor.acknowledge((key, record.sequence));
        self.counters.taken += 1;
        if key.origin == self.settings.node {
            // Of an earlier life, whose clock was ahead: what is said now must be ahead of that.
            self.held.insert(key, Held { sequence: record.sequence, made_ms: now_ms as i64, content: None });
            if let Some(own) = self.own.get_mut(&key) {
                (own.is_news, own.told_ms) = (true, None);
            }
            return Ok(());
        }
        let content = Content { bytes: record.bytes.into(), links };
        let made_ms = now_ms as i64 - i64::from(age_ms);
        self.hold(key, Held { sequence: record.sequence, made_ms, content: Some(content) });
        self.spread(key, Some(from), now_ms);
        Ok(())
    }

    fn take_acknowledgements(&mut self, from: NodeId, entries: &Entries) {
        let Some(neighbor) = self.neighbors.get_mut(&from) else { return };
        for (key, sequence) in entries.iter() {
            if self.held.get(&key).is_none_or(|held| held.sequence <= sequence) {
                neighbor.pending.remove(&key);
            }
        }
    }

    fn take_summary(&mut self, from: NodeId, after: Key, last: Key, entries: &Entries, now: Now) {
        let Some(neighbor) = self.neighbors.get_mut(&from) else { return };
        if after >= last {
            return;
        }
        // Both in the order of keys, side by side: summaries are most of what nodes at rest exchange.
        let spoken_for = |key: Key| after < key && key <= last;
        let mut theirs: Vec<(Key, u64)> = entries.iter().filter(|(key, _)| spoken_for(*key)).collect();
        theirs.sort_unstable();
        let mut theirs = theirs.into_iter().peekable();
        let members = &self.members;
        let is_known = |key: Key| members.get(&key.origin).is_some_and(|member| within(key, member));
        let mut is_newer = false;
        let range = (std::ops::Bound::Excluded(after), std::ops::Bound::Included(last));
        for (key, held) in self.held.range(range) {
            while let Some((unheld, _)) = theirs.next_if(|(next, _)| next < key) {
                is_newer |= is_known(unheld);
            }
            let mut newest = None;
            while let Some((_, sequence)) = theirs.next_if(|(next, _)| next == key) {
                newest = Some(sequence);
            }
            is_newer |= newest > Some(held.sequence) && is_known(*key);
            match newest {
                _ if held.content.is_none() => {}
                Some(sequence) if sequence >= held.sequence => drop(neighbor.pending.remove(key)),
                _ => neighbor.owe_if_not(now.monotonic_ms, *key),
            }
        }
        is_newer |= theirs.any(|(key, _)| is_known(key) && !self.held.contains_key(&key));
        if is_newer {
            neighbor.ask(now.monotonic_ms);
        }
    }

    /// The next message to send, and to whom; to be called until there is none.
    pub fn poll_transmit(&mut self, now: Now) -> Option<(NodeId, Vec<u8>)> {
        self.expire(now.monotonic_ms);
        self.originate(now);
        let now_ms = now.monotonic_ms;
        let nodes: Vec<NodeId> = self.neighbors.keys().copied().collect();
        for node in nodes {
            let Some(neighbor) = self.neighbors.get_mut(&node) else { continue };
            neighbor.begin_summary(now_ms);
            if !neighbor.is_due(now_ms) || !neighbor.sending.take(now_ms) {
                continue;
            }
            let mut writer = Writer::new(self.settings.overlay_id, self.settings.node);
            fill(&mut writer, neighbor, &self.held, now_ms);
            if writer.is_empty() {
                continue;
            }
            let receiver = self.members.get(&node).and_then(|member| member.identity);
            let message = writer.finish(receiver.as_ref());
            self.counters.sent += 1;
            self.counters.sent_bytes += message.len() as u64;
            return Some((node, message));
        }
        None
    }

    /// When [`Flood::poll_transmit`] has something to do, monotonic ms.
    pub fn next_ms(&self, now: Now) -> u64 {
        let own = self.own.values().map(|own| own.due_ms());
        let neighbors = self.neighbors.values().map(|neighbor| neighbor.due_ms(now.monotonic_ms));
        own.chain(neighbors).fold(self.expire_ms, u64::min)
    }

    /// Grows whenever what nodes say has changed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What has been done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// What was not taken, by reason.
    pub fn refused(&self) -> &BTreeMap<Refused, u64> {
        &self.refused
    }

    /// Records held.
    pub fn records(&self) -> impl Iterator<Item = Record<'_>> {
        self.held.values().filter_map(|held| Record::parse(&held.content.as_ref()?.bytes))
    }

    /// The sequence of the newest record of a key that is held.
    pub fn sequence(&self, key: Key) -> Option<u64> {
        self.held.get(&key).filter(|held| held.content.is_some()).map(|held| held.sequence)
    }

    /// Milliseconds since the origin made the record of a key.
    pub fn age_ms(&self, key: Key, now: Now) -> Option<u64> {
        let held = self.held.get(&key).filter(|held| held.content.is_some())?;
        Some((now.monotonic_ms as i64 - held.made_ms).max(0) as u64)
    }

    /// Links as their ends tell them.
    pub fn links(&self) -> impl Iterator<Item = (NodeId, LinkNow)> + '_ {
        let pieces = |origin| {
            let first = self.held.get(&Key { origin, kind: Kind::Links, index: 0 });
            first.and_then(|held| Some(held.content.as_ref()?.links.as_ref()?.pieces)).unwrap_or(0)
        };
        let told = self.held.iter().filter_map(move |(key, held)| {
            let links = held.content.as_ref()?.links.as_ref()?;
            (key.index < pieces(key.origin)).then_some((key.origin, links))
        });
        told.flat_map(|(origin, links)| links.links.iter().map(move |link| (origin, *link)))
    }

    /// Writes what is to be told anew.
    fn originate(&mut self, now: Now) {
        let due: Vec<Key> = self
            .own
            .iter()
            .filter(|(_, own)| own.due_ms() <= now.monotonic_ms)
            .map(|(key, _)| *key)
            .collect();
        for key in due {
            let before = self.held.get(&key).map_or(0, |held| held.sequence);
            let sequence = now.unix_ms.max(before + 1);
            let Some(own) = self.own.get_mut(&key) else { continue };
            (own.is_news, own.told_ms) = (false, Some(now.monotonic_ms));
            let written =
                record::write(self.settings.overlay_id, key, sequence, &own.body, self.identity.as_ref());
            let Some(bytes) = written else { continue };
            let Some(links) = read(key.kind, &own.body) else { continue };
            let content = Content { bytes: bytes.into(), links };
            self.hold(key, Held { sequence, made_ms: now.monotonic_ms as i64, content: Some(content) });
            self.counters.originated += 1;
            self.spread(key, None, now.monotonic_ms);
        }
    }

    fn hold(&mut self, key: Key, held: Held) {
        let body = |held: &Held| {
            let content = held.content.as_ref()?;
            Record::parse(&content.bytes).map(|record| record.body.to_vec())
        };
        self.version += u64::from(self.held.get(&key).and_then(body) != body(&held));
        self.held.insert(key, held);
    }

    fn spread(&mut self, key: Key, except: Option<NodeId>, now_ms: u64) {
        for (node, neighbor) in &mut self.neighbors {
            if Some(*node) == except {
                neighbor.pending.remove(&key);
            } else {
                neighbor.owe(now_ms, key);
            }
        }
    }

    /// Forgets what nobody has renewed, but for its number.
    fn expire(&mut self, now_ms: u64) {
        if now_ms < self.expire_ms {
            return;
        }
        self.expire_ms = now_ms + 1000;
        let node = self.settings.node;
        for (key, held) in &mut self.held {
            let old = now_ms as i64 - held.made_ms >= AGE_MS_MAX as i64;
            if old && held.content.is_some() && key.origin != node {
                held.content = None;
                self.counters.aged += 1;
                self.version += 1;
            }
        }
    }
}

impl Own {
    fn due_ms(&self) -> u64 {
        let pause = if self.is_news { PAUSE_MS } else { REFRESH_MS };
        self.told_ms.map_or(0, |told| told + pause)
    }
}

/// Whether a member may say something of this key.
fn within(key: Key, member: &Member) -> bool {
    match key.kind {
        Kind::Links => key.index < member.pieces,
        Kind::Plan => key.index < member.plans,
    }
}

/// Reads a body: its links, if it is about links; none where it makes no sense.
fn read(kind: Kind, body: &[u8]) -> Option<Option<Links>> {
    match kind {
        Kind::Links => Links::parse(body).map(Some),
        Kind::Plan => Paths::parse(body).map(|_| None),
    }
}

/// Puts into a message what a neighbour is owed, as much as fits.
fn fill(writer: &mut Writer, neighbor: &mut Neighbor, held: &BTreeMap<Key, Held>, now_ms: u64) {
    if !neighbor.acks.is_empty() {
        let count = neighbor.acks.len().min(writer.entries_max());
        let acks: Vec<_> = neighbor.acks.drain(..count).collect();
        writer.acknowledgements(&acks);
    }
    let due: Vec<Key> = neighbor
        .pending
        .iter()
        .filter(|(_, pending)| pending.next_ms <= now_ms)
        .map(|(key, _)| *key)
        .collect();
    for key in due {
        let Some((held, content)) = held.get(&key).and_then(|held| Some((held, held.content.as_ref()?)))
        else {
            neighbor.pending.remove(&key);
            continue;
        };
        let age_ms = (now_ms as i64 - held.made_ms).clamp(0, i64::from(u32::MAX)) as u32;
        if !writer.record(age_ms, &content.bytes) {
            break;
        }
        neighbor.sent(now_ms, key);
    }
    if let Some(after) = neighbor.summary_after
        && writer.entries_max() > 0
    {
        let range = (std::ops::Bound::Excluded(after), std::ops::Bound::Unbounded);
        let entries: Vec<_> = held
            .range(range)
            .filter(|(_, held)| held.content.is_some())
            .map(|(key, held)| (*key, held.sequence))
            .take(writer.entries_max() + 1)
            .collect();
        let fits = entries.len().min(writer.entries_max());
        let (listed, rest) = entries.split_at(fits);
        let last = if rest.is_empty() { LAST } else { listed.last().map_or(FIRST, |(key, _)| *key) };
        writer.summary(after, last, listed);
        neighbor.summary_after = (last != LAST).then_some(last);
    }
}
