//! A node's side of a connection to the server.

use std::collections::VecDeque;

use super::frame::{Frames, frame, read};
use super::message::{Code, ToNode, ToServer, VERSION};
use super::report::Report;
use super::snapshot::{Held, Snapshot};
use super::{ALIVE_MS, SILENCE_MS_MAX, TO_NODE_BYTES_MAX, TO_SERVER_BYTES_MAX};

/// What the server wants, or what became of the connection.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// A snapshot that is whole and newer than what the node has: [`Node::applied`] or [`Node::refused`] answers.
    Apply(Box<Snapshot>),
    /// What the node has is now of this revision too.
    InStep(Held),
    /// A snapshot that is older than what the node has, or another of the same revision, was left alone.
    Stale {
        /// What came.
        offered: u64,
        /// What the node has.
        held: u64,
    },
    /// The node's certificate grows old: [`Node::renew`] answers.
    Renew,
    /// The new certificate, DER.
    Renewed(Vec<u8>),
    /// The connection is of no use any more.
    Ended(End),
}

/// Why a connection is of no use any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The server said so.
    #[error("the server ends the connection: {1}")]
    Told(Code, String),
    /// What it sends is no message, or one longer than allowed.
    #[error("what the server sends is not understood")]
    Nonsense,
    /// It says nothing.
    #[error("the server is silent")]
    Silent,
}

/// One connection of a node.
#[derive(Debug)]
pub struct Node {
    frames: Frames,
    held: Option<Held>,
    /// Offered and not answered for.
    offered: Option<Held>,
    output: Vec<u8>,
    events: VecDeque<Event>,
    heard_ms: u64,
    said_ms: u64,
    /// Whether a certificate was asked for that has not come.
    asked_renewal: bool,
    ended: bool,
}

impl Node {
    /// A connection that has just been made, by a node that has something or nothing.
    pub fn new(now_ms: u64, name: &str, held: Option<Held>) -> Node {
        let mut node = Node {
            frames: Frames::new(TO_NODE_BYTES_MAX),
            held,
            offered: None,
            output: Vec::new(),
            events: VecDeque::new(),
            heard_ms: now_ms,
            said_ms: now_ms,
            asked_renewal: false,
            ended: false,
        };
        node.say(now_ms, &ToServer::Hello { version: VERSION, node: name.to_owned(), held });
        node
    }

    /// Takes what has come.
    pub fn handle(&mut self, now_ms: u64, bytes: &[u8]) {
        if self.ended {
            return;
        }
        let mut pushed = self.frames.push(bytes).map_err(drop);
        while pushed.is_ok() && !self.ended {
            match self.frames.pop() {
                Ok(Some(body)) => match read(&body) {
                    Some(message) => self.take(now_ms, message),
                    None => pushed = Err(()),
                },
                Ok(None) => return,
                Err(_) => pushed = Err(()),
            }
        }
        if pushed.is_err() {
            self.end(End::Nonsense);
        }
    }

    /// Does what is due: says that it lives, or gives the server up.
    pub fn tick(&mut self, now_ms: u64) {
        if now_ms.saturating_sub(self.heard_ms) >= SILENCE_MS_MAX {
            self.end(End::Silent);
        } else if now_ms.saturating_sub(self.said_ms) >= ALIVE_MS {
            self.say(now_ms, &ToServer::Alive);
        }
    }

    /// When [`Node::tick`] has something to do.
    pub fn timeout_ms(&self) -> u64 {
        (self.said_ms + ALIVE_MS).min(self.heard_ms + SILENCE_MS_MAX)
    }

    /// A snapshot that was offered is in force and kept.
    pub fn applied(&mut self, now_ms: u64, held: Held) {
        self.offered = None;
        if self.held.is_none_or(|before| before.revision <= held.revision) {
            self.held = Some(held);
            self.say(now_ms, &ToServer::Applied(held));
        }
    }

    /// A snapshot that was offered can not be applied: the node goes on with what it has.
    pub fn refused(&mut self, now_ms: u64, held: Held, why: &str) {
        self.offered = None;
        let why = why.chars().take(4096).collect();
        self.say(now_ms, &ToServer::Refused { held, why });
    }

    /// Asks for a certificate with a request of a new key.
    pub fn renew(&mut self, now_ms: u64, request: Vec<u8>) {
        self.asked_renewal = true;
        self.say(now_ms, &ToServer::Renew(request));
    }

    /// Says how the node is.
    pub fn report(&mut self, now_ms: u64, report: Report) {
        self.say(now_ms, &ToServer::Report(Box::new(report)));
    }

    /// What the node has.
    pub fn held(&self) -> Option<Held> {
        self.held
    }

    /// What happened, in its order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Bytes to send, all that wait.
    pub fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.output)
    }

    fn take(&mut self, now_ms: u64, message: ToNode) {
        self.heard_ms = now_ms;
        match message {
            ToNode::Snapshot(snapshot) => self.offer(now_ms, snapshot),
            ToNode::InStep(held) => match self.held {
                Some(before) if before.checksum == held.checksum && before.revision <= held.revision => {
                    self.held = Some(held);
                    self.events.push_back(Event::InStep(held));
                }
                Some(before) if before.revision > held.revision => self.stale(held, before),
                _ => self.end(End::Nonsense),
            },
            ToNode::Error { code, why } => self.end(End::Told(code, why)),
            ToNode::Alive => {}
            ToNode::Renew => self.events.push_back(Event::Renew),
            // One that was not asked for is of no key that the node has.
            ToNode::Renewed(certificate) if self.asked_renewal => {
                self.asked_renewal = false;
                self.events.push_back(Event::Renewed(certificate));
            }
            ToNode::Joined { .. } | ToNode::Renewed(_) => self.end(End::Nonsense),
        }
    }

    fn offer(&mut self, now_ms: u64, snapshot: Box<Snapshot>) {
        let newest = self.offered.or(self.held);
        match newest {
            _ if !snapshot.is_whole() => self.end(End::Nonsense),
            Some(before) if before.revision > snapshot.held.revision => self.stale(snapshot.held, before),
            // The same again: it may not know that we have it.
            Some(before) if before == snapshot.held => {
                if self.offered.is_none() {
                    self.say(now_ms, &ToServer::Applied(before));
                }
            }
            Some(before) if before.revision == snapshot.held.revision => self.stale(snapshot.held, before),
            _ => {
                self.offered = Some(snapshot.held);
                self.events.push_back(Event::Apply(snapshot));
            }
        }
    }

    fn stale(&mut self, offered: Held, held: Held) {
        self.events.push_back(Event::Stale { offered: offered.revision, held: held.revision });
    }

    fn end(&mut self, end: End) {
        if !self.ended {
            self.ended = true;
            self.events.push_back(Event::Ended(end));
        }
    }

    fn say(&mut self, now_ms: u64, message: &ToServer) {
        // A report that is too long is left out: the next is a second away.
        if let Some(bytes) = frame(message, TO_SERVER_BYTES_MAX).filter(|_| !self.ended) {
            self.output.extend_from_slice(&bytes);
            self.said_ms = now_ms;
        }
    }
}
