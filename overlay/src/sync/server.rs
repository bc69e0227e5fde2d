//! The server's side of a connection from a node.

use std::collections::VecDeque;

use super::frame::{Frames, frame, read};
use super::message::{Code, Join, ToNode, ToServer, VERSION};
use super::report::{ENTRIES_MAX, Report};
use super::snapshot::{Held, Snapshot};
use super::{ALIVE_MS, SILENCE_MS_MAX, TO_NODE_BYTES_MAX, TO_SERVER_BYTES_MAX};

/// What a node wants, or what became of its connection.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// A node that has proved its name is there: [`Server::offer`] answers, now and whenever its part changes.
    Hello(Option<Held>),
    /// One without certificate wants to join: [`Server::joined`] or [`Server::refuse`] answers.
    Join(Box<Join>),
    /// A snapshot is in force.
    Applied(Held),
    /// A snapshot can not be applied, and why.
    Refused(Held, String),
    /// How the node is.
    Report(Box<Report>),
    /// It asks for the certificate that [`Server::ask_renewal`] has offered: [`Server::renewed`] or [`Server::refuse`] answers.
    Renew(Vec<u8>),
    /// Close the connection once [`Server::take_output`] is sent.
    Ended(End),
}

/// Why a connection ends.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum End {
    /// The node broke a rule, and has been told.
    #[error("{1}")]
    Refused(Code, String),
    /// It says nothing.
    #[error("it is silent")]
    Silent,
    /// All is said.
    #[error("all is said")]
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was said yet.
    New,
    /// A join waits for its answer.
    Joining,
    /// A node that keeps in step.
    Node,
    Ended,
}

/// One connection.
#[derive(Debug)]
pub struct Server {
    /// The name that the certificate proves; `None` without one.
    name: Option<String>,
    state: State,
    frames: Frames,
    held: Option<Held>,
    /// Whether a request for another certificate is awaited.
    renewal_asked: bool,
    output: Vec<u8>,
    events: VecDeque<Event>,
    heard_ms: u64,
    said_ms: u64,
}

impl Server {
    /// A connection that has just been made, and the name that its certificate proves.
    pub fn new(now_ms: u64, name: Option<String>) -> Server {
        Server {
            name,
            state: State::New,
            frames: Frames::new(TO_SERVER_BYTES_MAX),
            held: None,
            renewal_asked: false,
            output: Vec::new(),
            events: VecDeque::new(),
            heard_ms: now_ms,
            said_ms: now_ms,
        }
    }

    /// Takes what has come.
    pub fn handle(&mut self, now_ms: u64, bytes: &[u8]) {
        if self.state == State::Ended {
            return;
        }
        if let Err(long) = self.frames.push(bytes) {
            return self.refuse(Code::Protocol, &long.to_string());
        }
        while self.state != State::Ended {
            match self.frames.pop() {
                Ok(Some(body)) => match read(&body) {
                    Some(message) => self.take(now_ms, message),
                    None => self.refuse(Code::Protocol, "a message that makes no sense"),
                },
                Ok(None) => return,
                Err(long) => self.refuse(Code::Protocol, &long.to_string()),
            }
        }
    }

    /// Does what is due: says that it lives, or gives the node up.
    pub fn tick(&mut self, now_ms: u64) {
        if self.state == State::Ended {
            return;
        }
        if now_ms.saturating_sub(self.heard_ms) >= SILENCE_MS_MAX {
            self.end(End::Silent);
        } else if self.state == State::Node && now_ms.saturating_sub(self.said_ms) >= ALIVE_MS {
            self.say(now_ms, &ToNode::Alive);
        }
    }

    /// When [`Server::tick`] has something to do.
    pub fn timeout_ms(&self) -> u64 {
        let silent = self.heard_ms + SILENCE_MS_MAX;
        if self.state == State::Node { silent.min(self.said_ms + ALIVE_MS) } else { silent }
    }

    /// Brings the node in step with its part: by what it lacks, or by the word that it lacks nothing. Says whether the
    /// node is further than the server, and nothing was sent.
    pub fn offer(&mut self, now_ms: u64, snapshot: &Snapshot) -> bool {
        if self.state != State::Node {
            return false;
        }
        match self.held {
            Some(held) if held.revision > snapshot.held.revision => return true,
            Some(held) if held == snapshot.held => self.say(now_ms, &ToNode::InStep(held)),
            Some(held) if held.checksum == snapshot.held.checksum => {
                self.held = Some(snapshot.held);
                self.say(now_ms, &ToNode::InStep(snapshot.held));
            }
            _ => self.say(now_ms, &ToNode::Snapshot(Box::new(snapshot.clone()))),
        }
        false
    }

    /// What the node has, as far as it is known.
    pub fn held(&self) -> Option<Held> {
        self.held
    }

    /// Asks the node for a request of a new key.
    pub fn ask_renewal(&mut self, now_ms: u64) {
        if self.state == State::Node {
            self.renewal_asked = true;
            self.say(now_ms, &ToNode::Renew);
        }
    }

    /// Answers a request for another certificate.
    pub fn renewed(&mut self, now_ms: u64, certificate: Vec<u8>) {
        self.say(now_ms, &ToNode::Renewed(certificate));
    }

    /// Answers a join.
    pub fn joined(&mut self, now_ms: u64, certificate: Vec<u8>, authority: Vec<u8>) {
        self.say(now_ms, &ToNode::Joined { certificate, authority });
        self.end(End::Done);
    }

    /// Ends the connection with a reason.
    pub fn refuse(&mut self, code: Code, why: &str) {
        if self.state != State::Ended {
            self.say(self.heard_ms, &ToNode::Error { code, why: why.to_owned() });
            self.end(End::Refused(code, why.to_owned()));
        }
    }

    /// What happened, in its order.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Bytes to send, all that wait.
    pub fn take_output(&mut self) -> Vec<u8> {
        core::mem::take(&mut self.output)
    }

    fn take(&mut self, now_ms: u64, message: ToServer) {
        self.heard_ms = now_ms;
        match (self.state, message) {
            (State::New, ToServer::Hello { version, node, held }) => match &self.name {
                _ if version != VERSION => self.version(version),
                None => self.refuse(Code::NotAdmitted, "no certificate came with this connection"),
                Some(name) if *name != node => {
                    let why = format!("this is the certificate of {name}, not of {}", shown(&node));
                    self.refuse(Code::WrongNode, &why);
                }
                Some(_) => {
                    self.state = State::Node;
                    self.held = held;
                    self.events.push_back(Event::Hello(held));
                }
            },
            (State::New, ToServer::Join(join)) => {
                if join.version != VERSION {
                    self.version(join.version);
                } else if self.name.is_some() {
                    self.refuse(Code::Protocol, "a node that has a certificate does not join");
                } else {
                    self.state = State::Joining;
                    self.events.push_back(Event::Join(Box::new(join)));
                }
            }
            (State::Node, ToServer::Applied(held)) => {
                self.held = Some(held);
                self.events.push_back(Event::Applied(held));
            }
            (State::Node, ToServer::Refused { held, why }) => {
                self.events.push_back(Event::Refused(held, why));
            }
            (State::Node, ToServer::Report(report)) => {
                let lists = [
                    report.links.len(),
                    report.paths.len(),
                    report.alarms.len(),
                    report.counters.drops.len(),
                    report.load.busy_ms.len(),
                ];
                if lists.iter().all(|entries| *entries <= ENTRIES_MAX) {
                    self.events.push_back(Event::Report(report));
                } else {
                    self.refuse(Code::Protocol, "a report with more entries than there can be");
                }
            }
            // One for each time that it was asked: certificates are signed, and kept on disk.
            (State::Node, ToServer::Renew(request)) if self.renewal_asked => {
                self.renewal_asked = false;
                self.events.push_back(Event::Renew(request));
            }
            (State::Node, ToServer::Alive) => {}
            _ => self.refuse(Code::Protocol, "a message out of its turn"),
        }
    }

    fn version(&mut self, version: u16) {
        self.refuse(Code::Version, &format!("version {version} of the protocol, where {VERSION} is spoken"));
    }

    fn end(&mut self, end: End) {
        if self.state != State::Ended {
            self.state = State::Ended;
            self.events.push_back(Event::Ended(end));
        }
    }

    fn say(&mut self, now_ms: u64, message: &ToNode) {
        if self.state != State::Ended
            && let Some(bytes) = frame(message, TO_NODE_BYTES_MAX)
        {
            self.output.extend_from_slice(&bytes);
            self.said_ms = now_ms;
        }
    }
}

/// A stranger's word, fit for a log.
fn shown(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic()).take(64).collect()
}
