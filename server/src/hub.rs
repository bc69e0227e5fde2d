//! What the server knows for now: who is connected, what each node forwards by, how it is, and what happened of late.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use conf::Overlay;
use overlay::sync::{Held, REPORT_MS, Report};
use serde::Serialize;
use tokio::sync::{Notify, watch};

use crate::registry::{Error, NodeRecord, Registry};
use crate::unix_ms;

/// Events that are remembered.
const EVENTS_MAX: usize = 1000;
/// A report older than this says nothing of now, milliseconds.
const FRESH_MS: u64 = 3 * REPORT_MS;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// Its number, counted up from the server's start.
    pub number: u64,
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// The node that it is about; empty for the overlay.
    pub node: String,
    /// What, a sentence.
    pub what: String,
}

/// A node as operators see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Whether it has joined.
    pub joined: bool,
    /// Whether it was revoked, and has not joined since.
    pub revoked: bool,
    /// When its certificate's time is over, milliseconds since 1970.
    pub certificate_until_ms: Option<u64>,
    /// Whether it is connected and its report is of now.
    pub connected: bool,
    /// Where it is connected from.
    pub peer: Option<SocketAddr>,
    /// The revision that it forwards by.
    pub revision: Option<u64>,
    /// Whether that is the newest.
    pub in_step: bool,
    /// Why it did not take a revision.
    pub refused: Option<(u64, String)>,
    /// Its public key.
    pub public_key: Option<String>,
    /// Since its last report, milliseconds.
    pub report_age_ms: Option<u64>,
    /// That report.
    pub report: Option<Report>,
    /// How busy its busiest worker was a moment ago, percent.
    pub busy_percent: Option<u8>,
}

#[derive(Default)]
struct Live {
    connection: u64,
    peer: Option<SocketAddr>,
    replaced: Arc<Notify>,
    held: Option<Held>,
    refused: Option<(u64, String)>,
    report: Option<(u64, Report)>,
    /// How busy the busiest worker was between the last two reports, percent.
    busy_percent: Option<u8>,
}

/// What an edge said a moment ago.
pub struct Fresh {
    /// Its report.
    pub report: Report,
    /// How busy its busiest worker is, percent.
    pub busy_percent: Option<u8>,
}

#[derive(Default)]
struct State {
    live: BTreeMap<String, Live>,
    connections: u64,
    events: VecDeque<Event>,
    numbered: u64,
}

/// The registry, and what is known for now.
pub struct Hub {
    /// What is known for good.
    pub registry: Registry,
    changed: watch::Sender<u64>,
    noted: watch::Sender<u64>,
    /// The definition, checked, as it was looked at last, with its revision.
    overlay: Mutex<Option<(u64, Arc<Overlay>)>>,
    state: Mutex<State>,
}

impl Hub {
    /// Nobody is connected yet.
    pub fn new(registry: Registry) -> Hub {
        Hub {
            registry,
            changed: watch::Sender::new(0),
            noted: watch::Sender::new(0),
            overlay: Mutex::default(),
            state: Mutex::default(),
        }
    }

    /// Tells connections that parts may have changed.
    pub fn overlay_changed(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Wakes whenever parts may have changed.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// A node is there; an older connection of it is told to end. Returns this one's number, and what wakes when a newer
    /// takes its place.
    pub fn connected(&self, node: &str, peer: SocketAddr, held: Option<Held>) -> (u64, Arc<Notify>) {
        let mut state = self.state();
        state.connections += 1;
        let number = state.connections;
        let live = state.live.entry(node.to_owned()).or_default();
        live.replaced.notify_one();
        let replaced = Arc::new(Notify::new());
        *live = Live {
            connection: number,
            peer: Some(peer),
            replaced: replaced.clone(),
            held,
            refused: live.refused.take(),
            report: None,
            busy_percent: None,
        };
        drop(state);
        let what = match held {
            Some(held) => format!("connected from {peer} with revision {}", held.revision),
            None => format!("connected from {peer} without a revision"),
        };
        self.note(node, what);
        (number, replaced)
    }

    /// A node has another certificate or none: the connection that it made with the old one is told to end.
    pub fn supersede(&self, node: &str) {
        if let Some(live) = self.state().live.get(node) {
            live.replaced.notify_one();
        }
    }

    /// A connection has ended.
    pub fn disconnected(&self, node: &str, connection: u64, why: &str) {
        let mut state = self.state();
        if let Some(live) = state.live.get_mut(node).filter(|live| live.connection == connection) {
            live.peer = None;
            drop(state);
            self.note(node, format!("disconnected: {why}"));
        }
    }

    /// A node forwards by this.
    pub fn applied(&self, node: &str, held: Held) {
        let mut state = self.state();
        let live = state.live.entry(node.to_owned()).or_default();
        (live.held, live.refused) = (Some(held), None);
        drop(state);
        self.note(node, format!("forwards by revision {}", held.revision));
    }

    /// What a node has is of this revision too: no news, but a number.
    pub fn in_step(&self, node: &str, held: Held) {
        self.state().live.entry(node.to_owned()).or_default().held = Some(held);
    }

    /// A node does not take this.
    pub fn refused(&self, node: &str, held: Held, why: String) {
        self.note(node, format!("refuses revision {}: {why}", held.revision));
        self.state().live.entry(node.to_owned()).or_default().refused = Some((held.revision, why));
    }

    /// How a node is.
    pub fn reported(&self, node: &str, report: Report) {
        let mut state = self.state();
        let live = state.live.entry(node.to_owned()).or_default();
        let before = live.report.replace((unix_ms(), report.clone())).map(|(_, before)| before);
        live.busy_percent = before.as_ref().and_then(|before| report.load.busy_percent_since(&before.load));
        drop(state);
        for what in differences(before.as_ref(), &report) {
            self.note(node, what);
        }
    }

    /// What a node that is connected said a moment ago.
    pub fn fresh(&self, node: &str, now_ms: u64) -> Option<Fresh> {
        let state = self.state();
        let live = state.live.get(node).filter(|live| live.peer.is_some())?;
        let (at_ms, report) = live.report.as_ref()?;
        let is_fresh = now_ms.saturating_sub(*at_ms) < FRESH_MS;
        is_fresh.then(|| Fresh { report: report.clone(), busy_percent: live.busy_percent })
    }

    /// The definition in force, checked, with its revision; `None` before the first. It is checked once for each revision.
    ///
    /// # Errors
    /// As [`Registry::overlay`].
    pub fn overlay(&self) -> Result<Option<(u64, Arc<Overlay>)>, Error> {
        let mut known = self.overlay.lock().unwrap_or_else(PoisonError::into_inner);
        let revision = known.as_ref().map(|(revision, _)| *revision);
        if let Some((revision, overlay)) = self.registry.overlay(revision)? {
            *known = Some((revision, Arc::new(overlay)));
        }
        Ok(known.clone())
    }

    /// Remembers that something happened.
    pub fn note(&self, node: &str, what: String) {
        tracing::info!("{}{}{what}", node, if node.is_empty() { "" } else { ": " });
        let mut state = self.state();
        state.numbered += 1;
        let event = Event { number: state.numbered, at_ms: unix_ms(), node: node.to_owned(), what };
        state.events.push_back(event);
        if state.events.len() > EVENTS_MAX {
            state.events.pop_front();
        }
        let number = state.numbered;
        drop(state);
        self.noted.send_replace(number);
    }

    /// The number of the newest event; wakes with each.
    pub fn noted(&self) -> watch::Receiver<u64> {
        self.noted.subscribe()
    }

    /// Events after a number, as far as they are remembered.
    pub fn events(&self, after: u64) -> Vec<Event> {
        self.state().events.iter().filter(|event| event.number > after).cloned().collect()
    }

    /// All nodes as they are now.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn nodes(&self) -> Result<Vec<NodeView>, Error> {
        let records = self.registry.nodes()?;
        let revision = self.registry.definition()?.revision;
        let now_ms = unix_ms();
        let state = self.state();
        let view = |(name, record): (String, NodeRecord)| {
            let live = state.live.get(&name);
            let report = live.and_then(|live| live.report.as_ref());
            let age_ms = report.map(|(at_ms, _)| now_ms.saturating_sub(*at_ms));
            let held = live.and_then(|live| live.held).map(|held| held.revision);
            let peer = live.and_then(|live| live.peer);
            NodeView {
                joined: record.joined_ms.is_some(),
                revoked: record.revoked_ms.is_some(),
                certificate_until_ms: record.certified_ms.map(|(_, until_ms)| until_ms),
                connected: peer.is_some() && age_ms.is_none_or(|age_ms| age_ms < FRESH_MS),
                peer,
                revision: held,
                in_step: held == Some(revision),
                refused: live.and_then(|live| live.refused.clone()),
                public_key: record.public_key,
                report_age_ms: age_ms,
                report: report.map(|(_, report)| report.clone()),
                busy_percent: live.and_then(|live| live.busy_percent),
                name,
            }
        };
        Ok(records.into_iter().map(view).collect())
    }

    /// A panic of another thread leaves nothing half done in here.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a report says that the one before it did not: links and paths that went up or down, alarms.
fn differences(before: Option<&Report>, now: &Report) -> Vec<String> {
    let mut told = Vec::new();
    let word = |up: bool| if up { "up" } else { "down" };
    for link in &now.links {
        let same = |other: &&overlay::sync::report::Link| {
            other.neighbor == link.neighbor && other.version == link.version
        };
        let was = before.and_then(|before| before.links.iter().find(same)).map(|link| link.up);
        if was.is_some_and(|was| was != link.up) {
            told.push(format!("link to {} over IPv{} is {}", link.neighbor, link.version, word(link.up)));
        }
    }
    for path in &now.paths {
        let was = before.and_then(|before| before.paths.iter().find(|other| other.path == path.path));
        if let (Some(Some(was)), Some(is)) = (was.map(|was| was.up), path.up)
            && was != is
        {
            told.push(format!("path {} of {} is {}", path.path, path.set, word(is)));
        }
    }
    let new = |alarm: &&String| before.is_none_or(|before| !before.alarms.contains(*alarm));
    told.extend(now.alarms.iter().filter(new).map(|alarm| format!("alarm: {alarm}")));
    told
}
