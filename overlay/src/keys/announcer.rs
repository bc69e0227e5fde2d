//! Carries keys between nodes: says when to send what to whom, and takes what came. No sockets, no clock.
//!
//! Every peer gets our newest key until it acknowledges it, at growing intervals, for as long as it takes. Every
//! announcement that holds is acknowledged. Nothing is sent in answer to a message that is not signed by a peer,
//! no answer is longer than what it answers, and both the signatures that we verify and the answers that we give
//! are limited per peer.

use super::Now;
use super::bucket::Bucket;
use super::epoch::Epoch;
use super::identity::PublicIdentity;
use super::keyring::{Introduced, Keyring};
use super::message::Message;
use super::peer::Rejected;
use crate::topology::NodeId;
use std::collections::BTreeMap;

/// First wait for an acknowledgement, milliseconds; doubled after each.
const RETRY_MIN_MS: u64 = 250;
/// Longest wait, milliseconds: how long a healed network may be without keys.
const RETRY_MAX_MS: u64 = 5000;
/// Signatures verified for each peer: at once, and each second. One costs some 50 µs.
const VERIFICATIONS: (u64, u64) = (8, 4);
/// Acknowledgements to each peer: at once, and each second.
const ANSWERS: (u64, u64) = (4, 4);

/// What a message was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A peer's key: the keyring may have a new table to compile.
    Key(NodeId, Introduced),
    /// A peer has a key of ours; `true` where that is news, and the keyring has a new table to compile.
    Acknowledged(NodeId, bool),
}

/// Why nothing came of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is no message for this node.
    #[error("no message for this node")]
    Malformed,
    /// Too many signatures of this peer were to be verified.
    #[error("too many messages in the name of this node")]
    Limited,
    /// The keyring did not take it.
    #[error(transparent)]
    Rejected(#[from] Rejected),
}

impl Refused {
    /// A stable name for counters, in snake case.
    pub const fn name(self) -> &'static str {
        match self {
            Refused::Malformed => "no_message",
            Refused::Limited => "limited",
            Refused::Rejected(why) => why.name(),
        }
    }
}

/// What goes on with a peer.
struct Contact {
    /// The epoch of ours that is being announced, when next, and the wait after that.
    announcing: Option<Epoch>,
    next_ms: u64,
    wait_ms: u64,
    answer_due: bool,
    answers: Bucket,
    verifications: Bucket,
}

impl Contact {
    fn new() -> Contact {
        Contact {
            announcing: None,
            next_ms: 0,
            wait_ms: RETRY_MIN_MS,
            answer_due: false,
            answers: Bucket::new(ANSWERS.0, ANSWERS.1),
            verifications: Bucket::new(VERIFICATIONS.0, VERIFICATIONS.1),
        }
    }

    /// Begins anew, at once.
    fn restart(&mut self, epoch: Epoch) {
        (self.announcing, self.next_ms, self.wait_ms) = (Some(epoch), 0, RETRY_MIN_MS);
    }
}

/// A keyring, and the conversations about its keys.
pub struct Announcer {
    keyring: Keyring,
    contacts: BTreeMap<NodeId, Contact>,
}

impl Announcer {
    /// Begins to announce the keyring's keys, once they are published.
    pub fn new(keyring: Keyring) -> Announcer {
        Announcer { keyring, contacts: BTreeMap::new() }
    }

    /// The keys.
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// The keys, to rotate, compile, introduce others by another way than messages.
    pub fn keyring_mut(&mut self) -> &mut Keyring {
        &mut self.keyring
    }

    /// A message came, from anywhere: nothing is concluded from where.
    ///
    /// # Errors
    /// Why nothing came of it.
    pub fn handle(&mut self, message: &[u8], now: Now) -> Result<Event, Refused> {
        let message = Message::from_bytes(message, &self.keyring.identity()).ok_or(Refused::Malformed)?;
        match message {
            Message::Announcement(key) => {
                let kind = self.keyring.screen(&key, now)?;
                let contact = self.contacts.entry(key.node).or_insert_with(Contact::new);
                if kind != Introduced::Known && !contact.verifications.take(now.monotonic_ms) {
                    return Err(Refused::Limited);
                }
                self.keyring.introduce(&key, now)?;
                contact.answer_due = true;
                if kind != Introduced::Known {
                    // It can be reached, and where it begins a new life it needs our key.
                    (contact.next_ms, contact.wait_ms) = (0, RETRY_MIN_MS);
                }
                Ok(Event::Key(key.node, kind))
            }
            Message::Acknowledgement(ack) => {
                let news = self.keyring.screen_acknowledgement(&ack)?;
                let contact = self.contacts.entry(ack.from).or_insert_with(Contact::new);
                if news && !contact.verifications.take(now.monotonic_ms) {
                    return Err(Refused::Limited);
                }
                Ok(Event::Acknowledged(ack.from, self.keyring.acknowledged(&ack, now)?))
            }
        }
    }

    /// The next message to send, and to whom; to be called until there is none.
    pub fn poll_transmit(&mut self, now: Now) -> Option<(NodeId, Vec<u8>)> {
        let now_ms = now.monotonic_ms;
        let peers: Vec<(NodeId, PublicIdentity)> = self.peers();
        self.contacts.retain(|node, _| peers.binary_search_by_key(node, |(peer, _)| *peer).is_ok());
        for (node, identity) in peers {
            let contact = self.contacts.entry(node).or_insert_with(Contact::new);
            if contact.answer_due
                && let Some(ack) = self.keyring.to_acknowledge(node)
                && contact.answers.take(now_ms)
            {
                contact.answer_due = false;
                return Some((node, Message::Acknowledgement(ack).to_bytes(&identity)));
            }
            let Some(key) = self.keyring.to_announce() else { continue };
            if self.keyring.is_acknowledged_by(node, key.epoch) {
                contact.announcing = None;
                continue;
            }
            if contact.announcing != Some(key.epoch) {
                contact.restart(key.epoch);
            }
            if contact.next_ms <= now_ms {
                contact.next_ms = now_ms + contact.wait_ms;
                contact.wait_ms = (contact.wait_ms * 2).min(RETRY_MAX_MS);
                return Some((node, Message::Announcement(*key).to_bytes(&identity)));
            }
        }
        None
    }

    /// When [`Announcer::poll_transmit`] will have something, monotonic milliseconds, if nothing else happens; `None`
    /// where everything is said. [`Keyring::rotation_at_ms`] is another date to keep.
    pub fn next_ms(&self, now: Now) -> Option<u64> {
        let key = self.keyring.to_announce();
        let dates = self.keyring.peers().flat_map(|node| {
            let contact = self.contacts.get(&node);
            let answering = contact.filter(|contact| contact.answer_due);
            let answering = answering.filter(|_| self.keyring.to_acknowledge(node).is_some());
            let answer_ms =
                answering.map(|contact| now.monotonic_ms + contact.answers.wait_ms(now.monotonic_ms));
            let unheard = key.filter(|key| !self.keyring.is_acknowledged_by(node, key.epoch));
            let announcement_ms = unheard.map(|key| match contact {
                Some(contact) if contact.announcing == Some(key.epoch) => contact.next_ms,
                _ => now.monotonic_ms,
            });
            [answer_ms, announcement_ms]
        });
        dates.flatten().min()
    }

    fn peers(&self) -> Vec<(NodeId, PublicIdentity)> {
        let identity = |node| Some((node, self.keyring.identity_of(node)?));
        self.keyring.peers().filter_map(identity).collect()
    }
}
