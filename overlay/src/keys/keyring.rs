//! Our private epoch keys and our peers' public ones: made, verified, replaced, erased.

use super::agreement::EpochSecret;
use super::derive::End;
use super::epoch::Epoch;
use super::identity::{Identity, PublicIdentity};
use super::message::Acknowledgement;
use super::peer::{Peer, PeerEpoch, Rejected};
use super::signed::SignedKey;
use super::{DRAIN_MS, EPOCHS_MAX, Now, PACKETS_MAX, ROTATION_MAX_S, ROTATION_MIN_S};
use crate::seal::{Pair, PeerKeys, SealTable};
use crate::topology::NodeId;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a keyring is told once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The overlay's number.
    pub overlay_id: u32,
    /// This node.
    pub node: NodeId,
    /// How long an epoch is used before the next is made, seconds;
    /// [`ROTATION_MIN_S`] to [`ROTATION_MAX_S`].
    pub rotation_s: u32,
}

/// What an introduced key was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introduced {
    /// The first key of a node, or of another life of it: it has none of our keys.
    Life,
    /// A new epoch of a node that goes on.
    Epoch,
    /// One that is held already.
    Known,
}

/// How we stand with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The newest epoch of it that we know.
    pub newest: Option<Epoch>,
    /// The epoch of ours that we seal from, as of the table compiled last; `None` where nothing can be sealed.
    pub sending: Option<Epoch>,
    /// Whether it has our newest.
    pub acknowledged: bool,
}

/// An epoch of our own.
struct Own {
    secret: EpochSecret,
    signed: SignedKey,
    made_ms: u64,
    /// The first table that opens what is sealed to it; 0 before there is one.
    generation: u64,
}

impl Own {
    fn end(&self) -> End {
        End { node: self.signed.node, epoch: self.signed.epoch, public: self.signed.public }
    }
}

/// A life of a node.
struct Life {
    identity: PublicIdentity,
    /// When it began, Unix milliseconds, by the node's word.
    life: u64,
    /// Its number among those of the node that were met.
    number: u16,
}

/// The keys of a node.
pub struct Keyring {
    settings: Settings,
    identity: Identity,
    life: u64,
    /// Our epochs, the oldest first: one to [`EPOCHS_MAX`].
    own: Vec<Own>,
    peers: BTreeMap<NodeId, Peer>,
    /// The last life of each node that ever was a peer: one that is taken out and in again must not seem to start anew.
    lives: BTreeMap<NodeId, Vec<Life>>,
    /// The table that was compiled last, and the one that workers read.
    generation: u64,
    published: u64,
    changed: bool,
}

impl Keyring {
    /// A keyring with its first epoch, of 32 random bytes. `None` where the library can not use them.
    pub fn new(settings: Settings, identity: Identity, now: Now, random: &[u8; 32]) -> Option<Keyring> {
        let rotation_s = settings.rotation_s.clamp(ROTATION_MIN_S, ROTATION_MAX_S);
        let mut keyring = Keyring {
            settings: Settings { rotation_s, ..settings },
            identity,
            life: now.unix_ms.max(1),
            own: Vec::with_capacity(EPOCHS_MAX + 1),
            peers: BTreeMap::new(),
            lives: BTreeMap::new(),
            generation: 0,
            published: 0,
            changed: true,
        };
        keyring.make(now, random).then_some(keyring)
    }

    /// Who we are.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Our identity's public half.
    pub fn identity(&self) -> PublicIdentity {
        self.identity.public()
    }

    /// The nodes to share keys with, and their identities. A node that is gone, or that has another identity than
    /// before, loses all its keys with the next table; the others keep theirs. Ourselves are skipped.
    pub fn set_peers(&mut self, peers: impl IntoIterator<Item = (NodeId, PublicIdentity)>) {
        let mut before = std::mem::take(&mut self.peers);
        for (node, identity) in peers.into_iter().filter(|(node, _)| *node != self.settings.node) {
            let kept = before.remove(&node).filter(|peer| peer.identity == identity);
            self.changed |= kept.is_none();
            self.peers.insert(node, kept.unwrap_or_else(|| Peer::new(identity)));
        }
        self.changed |= !before.is_empty();
    }

    /// The nodes to share keys with.
    pub fn peers(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.peers.keys().copied()
    }

    /// A peer's identity.
    pub fn identity_of(&self, node: NodeId) -> Option<PublicIdentity> {
        self.peers.get(&node).map(|peer| peer.identity)
    }

    /// Takes a peer's public epoch key, wherever it came from: a message, a file, a control server.
    ///
    /// # Errors
    /// Why it is not taken; [`Rejected::BadSignature`] comes last, since finding that out is the costly part.
    pub fn introduce(&mut self, key: &SignedKey, now: Now) -> Result<Introduced, Rejected> {
        let kind = self.screen(key, now)?;
        let peer = self.peers.get_mut(&key.node).ok_or(Rejected::UnknownNode)?;
        if kind == Introduced::Known {
            return Ok(kind);
        }
        // A key that nothing can be agreed with would take the place of a good one.
        let usable = self.own.last().is_some_and(|own| own.secret.agree(&key.public).is_some());
        if !key.is_signed_by(&peer.identity) || !usable {
            return Err(Rejected::BadSignature);
        }
        peer.take(key, now);
        let identity = peer.identity;
        if kind == Introduced::Life {
            self.number_life(key, identity);
        }
        self.changed = true;
        Ok(kind)
    }

    /// What [`Keyring::introduce`] would say if the signature held, at next to no cost.
    pub(super) fn screen(&self, key: &SignedKey, now: Now) -> Result<Introduced, Rejected> {
        if key.overlay_id != self.settings.overlay_id {
            return Err(Rejected::OtherOverlay);
        }
        let peer = self.peers.get(&key.node).ok_or(Rejected::UnknownNode)?;
        let kind = peer.screen(key, now)?;
        if self.life_of(key.node, peer.identity).is_some_and(|last| key.life < last.life) {
            Err(Rejected::Replayed)
        } else {
            Ok(kind)
        }
    }

    /// Gives a peer's life a number that no life of it had before; the same one if it is only met again.
    fn number_life(&mut self, key: &SignedKey, identity: PublicIdentity) {
        if self.life_of(key.node, identity).is_some_and(|last| last.life == key.life) {
            return;
        }
        let lives = self.lives.entry(key.node).or_default();
        // 0 is no life. Who has met 65,535 lives of a node without a packet of a stream takes the next for the first.
        let last = lives.iter().map(|life| life.number).max().unwrap_or(0);
        lives.retain(|life| life.identity != identity);
        lives.push(Life { identity, life: key.life, number: last.checked_add(1).unwrap_or(1) });
    }

    fn life_of(&self, node: NodeId, identity: PublicIdentity) -> Option<&Life> {
        self.lives.get(&node)?.iter().find(|life| life.identity == identity)
    }

    /// What [`Keyring::acknowledged`] would say if the signature held. `false` where it says nothing new.
    pub(super) fn screen_acknowledgement(&self, ack: &Acknowledgement) -> Result<bool, Rejected> {
        if ack.overlay_id != self.settings.overlay_id {
            return Err(Rejected::OtherOverlay);
        }
        let peer = self.peers.get(&ack.from).ok_or(Rejected::UnknownNode)?;
        if ack.to != self.settings.node {
            return Err(Rejected::UnknownNode);
        }
        // One of another life, or about a key that is gone, was said long ago.
        if peer.life() != Some(ack.life) || !self.own.iter().any(|own| own.signed.epoch == ack.epoch) {
            return Err(Rejected::Replayed);
        }
        Ok(peer.acknowledged.is_none_or(|(newest, _)| newest < ack.epoch))
    }

    /// A peer says that it opens what is sealed from an epoch of ours. Returns whether that is news.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn acknowledged(&mut self, ack: &Acknowledgement, now: Now) -> Result<bool, Rejected> {
        let news = self.screen_acknowledgement(ack)?;
        let peer = self.peers.get_mut(&ack.from).ok_or(Rejected::UnknownNode)?;
        if news {
            if !ack.is_signed_by(&peer.identity) {
                return Err(Rejected::BadSignature);
            }
            peer.acknowledged = Some((ack.epoch, now.monotonic_ms));
            self.changed = true;
        }
        Ok(news)
    }

    /// Counts packets that workers sealed to a peer, so that the keys are changed before they are worn out.
    pub fn count_sealed(&mut self, node: NodeId, packets: u64) {
        if let Some(peer) = self.peers.get_mut(&node) {
            peer.packets = peer.packets.saturating_add(packets);
        }
    }

    /// When [`Keyring::rotate`] is due, monotonic milliseconds.
    pub fn rotation_at_ms(&self) -> u64 {
        let worn_out = self.peers.values().any(|peer| peer.packets >= PACKETS_MAX);
        let after_s = if worn_out { ROTATION_MIN_S } else { self.settings.rotation_s };
        self.own.last().map_or(0, |own| own.made_ms + u64::from(after_s) * 1000)
    }

    /// Makes the next epoch, of 32 random bytes, if it is due. The one that is erased for it, if any, is three
    /// rotations old. Returns whether there is a new one.
    pub fn rotate(&mut self, now: Now, random: &[u8; 32]) -> bool {
        now.monotonic_ms >= self.rotation_at_ms() && self.make(now, random)
    }

    /// Makes the next epoch before its time. `false` where a private key that may still be needed would have to be
    /// erased for it: after two in a row, until all peers have the newest for [`DRAIN_MS`].
    pub fn rotate_early(&mut self, now: Now, random: &[u8; 32]) -> bool {
        self.expire(now);
        self.own.len() < EPOCHS_MAX && self.make(now, random)
    }

    fn make(&mut self, now: Now, random: &[u8; 32]) -> bool {
        let Some(secret) = EpochSecret::new(random) else { return false };
        let public = secret.public();
        let first = Epoch::first(now.unix_ms, public[0]);
        let lifetime_s = self.settings.rotation_s * EPOCHS_MAX as u32;
        let signed = SignedKey {
            overlay_id: self.settings.overlay_id,
            node: self.settings.node,
            life: self.life,
            epoch: self.own.last().map_or(first, |own| own.signed.epoch.next(now.unix_ms)),
            not_before_s: now.unix_s(),
            lifetime_s,
            public,
            signature: [0; 64],
        };
        let signed = signed.sign(&self.identity);
        self.own.push(Own { secret, signed, made_ms: now.monotonic_ms, generation: 0 });
        if self.own.len() > EPOCHS_MAX {
            self.own.remove(0);
        }
        self.peers.values_mut().for_each(|peer| peer.packets = 0);
        self.changed = true;
        true
    }

    /// Erases what nobody needs any more: private keys older than every peer's newest, once what was under way has
    /// arrived; peers' keys whose time is over. To be called now and then, every second say.
    pub fn expire(&mut self, now: Now) {
        let now_ms = now.monotonic_ms;
        for peer in self.peers.values_mut() {
            self.changed |= peer.expire(now_ms);
        }
        let before = self.own.len();
        let newest = self.own.last().map(|own| own.signed.epoch);
        let needed = |epoch: Epoch| self.peers.values().any(|peer| peer.may_need(epoch, now_ms, DRAIN_MS));
        self.own.retain(|own| Some(own.signed.epoch) == newest || needed(own.signed.epoch));
        self.changed |= before != self.own.len();
    }

    /// The table that workers should read now; `None` where they have it, or are about to get it.
    pub fn compile(&mut self) -> Option<SealTable> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        self.generation += 1;
        let (overlay_id, generation) = (self.settings.overlay_id, self.generation);
        let first = |seen: &mut u64| *seen = if *seen == 0 { generation } else { *seen };
        self.own.iter_mut().for_each(|own| first(&mut own.generation));
        for peer in self.peers.values_mut() {
            peer.epochs.iter_mut().for_each(|epoch| first(&mut epoch.generation));
            derive_pairs(overlay_id, &self.own, peer);
            peer.sending = sending(peer).map(|(ours, _)| ours);
        }
        let peers = self.peers.iter().map(|(node, peer)| {
            let life = self.life_of(*node, peer.identity).map_or(0, |life| life.number);
            (*node, keys_of(life, peer))
        });
        Some(SealTable::new(generation, peers))
    }

    /// Every worker reads the table of this generation, or a later one.
    pub fn published(&mut self, generation: u64) {
        self.published = self.published.max(generation.min(self.generation));
    }

    /// Our newest key that workers open packets for: what to announce.
    pub(super) fn to_announce(&self) -> Option<&SignedKey> {
        self.own.iter().rev().find(|own| self.is_published(own.generation)).map(|own| &own.signed)
    }

    /// Whether a peer said that it has this epoch of ours, or a later one.
    pub(super) fn is_acknowledged_by(&self, node: NodeId, epoch: Epoch) -> bool {
        let newest = self.peers.get(&node).and_then(|peer| peer.acknowledged);
        newest.is_some_and(|(newest, _)| newest >= epoch)
    }

    /// What to acknowledge to a peer: its newest key, once workers open what is sealed from it.
    pub(super) fn to_acknowledge(&self, node: NodeId) -> Option<Acknowledgement> {
        let held = |held: &&PeerEpoch| self.is_published(held.generation);
        let epoch = self.peers.get(&node)?.newest().filter(held)?.signed.epoch;
        let Settings { overlay_id, node: from, .. } = self.settings;
        let ack = Acknowledgement { overlay_id, from, to: node, life: self.life, epoch, signature: [0; 64] };
        Some(ack.sign(&self.identity))
    }

    fn is_published(&self, generation: u64) -> bool {
        (1..=self.published).contains(&generation)
    }

    /// Our newest epoch, and when it was made, monotonic milliseconds.
    pub fn newest(&self) -> Option<(Epoch, u64)> {
        self.own.last().map(|own| (own.signed.epoch, own.made_ms))
    }

    /// How we stand with a peer.
    pub fn standing(&self, node: NodeId) -> Option<Standing> {
        let peer = self.peers.get(&node)?;
        Some(Standing {
            newest: peer.newest().map(|held| held.signed.epoch),
            sending: peer.sending,
            acknowledged: self.own.last().is_some_and(|own| self.is_acknowledged_by(node, own.signed.epoch)),
        })
    }

    /// How many private keys there are.
    pub fn own_epochs(&self) -> usize {
        self.own.len()
    }
}

/// Derives the pairs that are new, and drops those that one end has erased.
fn derive_pairs(overlay_id: u32, own: &[Own], peer: &mut Peer) {
    let mut pairs = Vec::with_capacity(own.len() * peer.epochs.len());
    for theirs in peer.epochs.iter().rev() {
        for ours in own.iter().rev() {
            let (our_epoch, their_epoch) = (ours.signed.epoch, theirs.signed.epoch);
            let held = peer.pairs.iter().find(|(a, b, _)| (*a, *b) == (our_epoch, their_epoch));
            let pair = held
                .map(|(_, _, pair)| pair.clone())
                .or_else(|| Pair::new(overlay_id, &ours.secret, &ours.end(), &theirs.end()).map(Arc::new));
            pairs.extend(pair.map(|pair| (our_epoch, their_epoch, pair)));
        }
    }
    peer.pairs = pairs;
}

/// We send from the newest epoch that the peer has said it has, to the newest that we have of it.
fn sending(peer: &Peer) -> Option<(Epoch, &Arc<Pair>)> {
    let ends = peer.acknowledged.zip(peer.newest()).map(|((ours, _), theirs)| (ours, theirs.signed.epoch))?;
    peer.pairs.iter().find(|(a, b, _)| (*a, *b) == ends).map(|(ours, _, pair)| (*ours, pair))
}

fn keys_of(life: u16, peer: &Peer) -> PeerKeys {
    PeerKeys::new(
        life,
        sending(peer).map(|(_, pair)| pair.clone()),
        peer.pairs.iter().map(|(_, _, pair)| pair.clone()),
    )
}
