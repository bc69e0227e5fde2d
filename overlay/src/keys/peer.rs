//! What we know of a peer: its identity, its public epoch keys, and which of ours it has.

use super::derive::End;
use super::epoch::Epoch;
use super::identity::PublicIdentity;
use super::keyring::Introduced;
use super::signed::SignedKey;
use super::{CLOCK_SLACK_S, EPOCHS_MAX, LIFETIME_MAX_S, Now, ROTATION_MIN_S};
use crate::seal::Pair;
use std::sync::Arc;

/// Why a signed key, or an acknowledgement, was not taken. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// It is of another overlay.
    #[error("it is of another overlay")]
    OtherOverlay,
    /// No node of this number has a public key here.
    #[error("no node of this number has a public key")]
    UnknownNode,
    /// Its epoch has no name, or the name of another epoch of the node.
    #[error("its epoch has no name of its own")]
    Malformed,
    /// It claims no lifetime, or one that is longer than any node's.
    #[error("its lifetime is absurd")]
    Lifetime,
    /// It may be used only in a time to come; the clocks may be apart.
    #[error("it is not valid yet; compare the nodes' clocks")]
    NotYet,
    /// It may no longer be used; the clocks may be apart.
    #[error("it is no longer valid; compare the nodes' clocks")]
    Expired,
    /// It is older than what the node has sent before.
    #[error("it is older than what is known of the node")]
    Replayed,
    /// The node makes new keys faster than any node does.
    #[error("the node's keys come too fast")]
    TooMany,
    /// The node's identity did not sign it, or its public key is none.
    #[error("its signature does not hold")]
    BadSignature,
}

impl Rejected {
    /// A stable name for counters, in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Rejected::OtherOverlay => "other_overlay",
            Rejected::UnknownNode => "unknown_node",
            Rejected::Malformed => "malformed",
            Rejected::Lifetime => "lifetime",
            Rejected::NotYet => "not_yet",
            Rejected::Expired => "expired",
            Rejected::Replayed => "replayed",
            Rejected::TooMany => "too_many",
            Rejected::BadSignature => "bad_signature",
        }
    }
}

/// A verified public key of a peer.
pub(super) struct PeerEpoch {
    pub(super) signed: SignedKey,
    pub(super) accepted_ms: u64,
    /// Monotonic milliseconds.
    pub(super) expires_ms: u64,
    /// The first table that opens what is sealed from it; 0 before there is one.
    pub(super) generation: u64,
}

impl PeerEpoch {
    pub(super) fn end(&self) -> End {
        End { node: self.signed.node, epoch: self.signed.epoch, public: self.signed.public }
    }
}

/// A peer.
pub(super) struct Peer {
    pub(super) identity: PublicIdentity,
    /// The peer's latest start that we know of, Unix milliseconds.
    life: u64,
    /// Its keys, the oldest first; at most [`EPOCHS_MAX`].
    pub(super) epochs: Vec<PeerEpoch>,
    /// The newest epoch of ours that it has, and since when we know, monotonic milliseconds.
    pub(super) acknowledged: Option<(Epoch, u64)>,
    /// What is derived, by our epoch and its.
    pub(super) pairs: Vec<(Epoch, Epoch, Arc<Pair>)>,
    /// The epoch of ours that the table compiled last seals from.
    pub(super) sending: Option<Epoch>,
    /// Packets sealed to it since the keys last changed.
    pub(super) packets: u64,
}

impl Peer {
    pub(super) fn new(identity: PublicIdentity) -> Peer {
        Peer {
            identity,
            life: 0,
            epochs: vec![],
            acknowledged: None,
            pairs: vec![],
            sending: None,
            packets: 0,
        }
    }

    /// The life that it is in, if it said something.
    pub(super) fn life(&self) -> Option<u64> {
        (self.life != 0).then_some(self.life)
    }

    pub(super) fn newest(&self) -> Option<&PeerEpoch> {
        self.epochs.last()
    }

    /// Everything that can be said of a key without the cost of verifying its signature.
    pub(super) fn screen(&self, key: &SignedKey, now: Now) -> Result<Introduced, Rejected> {
        if key.epoch.name() == 0 || key.life == 0 {
            return Err(Rejected::Malformed);
        }
        if key.lifetime_s == 0 || key.lifetime_s > LIFETIME_MAX_S {
            return Err(Rejected::Lifetime);
        }
        if key.not_before_s > now.unix_s() + CLOCK_SLACK_S {
            return Err(Rejected::NotYet);
        }
        let end_s = key.not_before_s.saturating_add(u64::from(key.lifetime_s) + CLOCK_SLACK_S);
        if end_s <= now.unix_s() {
            return Err(Rejected::Expired);
        }
        if key.life < self.life {
            return Err(Rejected::Replayed);
        }
        if key.life > self.life {
            return Ok(Introduced::Life);
        }
        if self.epochs.iter().any(|held| held.signed == *key) {
            return Ok(Introduced::Known);
        }
        if self.epochs.iter().any(|held| held.signed.epoch >= key.epoch) {
            return Err(Rejected::Replayed);
        }
        let full = self.epochs.len() == EPOCHS_MAX;
        if self.epochs.iter().skip(usize::from(full)).any(|held| held.signed.epoch.name() == key.epoch.name())
        {
            return Err(Rejected::Malformed);
        }
        let soon = |held: &PeerEpoch| {
            now.monotonic_ms.saturating_sub(held.accepted_ms) < u64::from(ROTATION_MIN_S) * 1000
        };
        if full && self.epochs.first().is_some_and(soon) {
            return Err(Rejected::TooMany);
        }
        Ok(Introduced::Epoch)
    }

    /// Takes a key that passed [`Peer::screen`] and whose signature holds.
    pub(super) fn take(&mut self, key: &SignedKey, now: Now) {
        if key.life > self.life {
            // Another life has none of its former private keys, and none of our public ones.
            (self.life, self.acknowledged) = (key.life, None);
            self.epochs.clear();
            self.pairs.clear();
        }
        if self.epochs.len() == EPOCHS_MAX {
            self.epochs.remove(0);
        }
        self.epochs.push(PeerEpoch {
            signed: *key,
            accepted_ms: now.monotonic_ms,
            expires_ms: now.monotonic_ms + u64::from(key.lifetime_s) * 1000,
            generation: 0,
        });
    }

    /// Forgets keys whose time is over. Says whether there were any.
    pub(super) fn expire(&mut self, now_ms: u64) -> bool {
        let before = self.epochs.len();
        self.epochs.retain(|held| held.expires_ms > now_ms);
        before != self.epochs.len()
    }

    /// Whether it may still seal to this epoch of ours.
    pub(super) fn may_need(&self, ours: Epoch, now_ms: u64, drain_ms: u64) -> bool {
        let has_newer = |(newest, since): (Epoch, u64)| newest > ours && now_ms >= since + drain_ms;
        !self.epochs.is_empty() && !self.acknowledged.is_some_and(has_newer)
    }
}
