//! Link state among all nodes: a real [`Flood`] in each, whose messages go over the lines; measured where links are watched.
//!
//! Links that nothing happens to are told as they are, from the start; see `docs/decisions/0028-large-simulation.md`.

use super::layout::{Overlay, id};
use super::router::UNIX_MS;
use super::watch::{End, Signal};
use crate::sim::MILLISECOND;
use overlay::keys::Now;
use overlay::linkstate::{Flood, Key, Kind, LINKS_MAX, LinkNow, Member, Reporter, Settings, Writer, view};
use overlay::neighbors::Neighbors;
use overlay::plan::Quality;
use overlay::routing::LinkView;
use overlay::topology::{IpVersion, NodeId, Topology};
use pipelines::tables::Dead;
use std::collections::BTreeMap;

/// A node as the others hear it.
struct Speaker {
    flood: Flood,
    reporter: Reporter,
    /// By neighbour: what is told of links that are not watched.
    steady: BTreeMap<NodeId, Quality>,
    /// Ends of links that are watched, by neighbour.
    watched: BTreeMap<usize, End>,
}

/// Every node's link state.
pub struct Control {
    speakers: Vec<Speaker>,
    /// By node.
    neighbors: Vec<Vec<usize>>,
    /// Where nodes stand: all that views are made from.
    places: Topology,
    /// Bytes of messages sent.
    pub sent_bytes: u64,
    /// Messages sent.
    pub sent: u64,
    /// Nobody says anything yet.
    is_silent: bool,
}

/// The caller's clock as floods count it.
fn now(now_ns: u64) -> Now {
    let monotonic_ms = now_ns / MILLISECOND;
    Now { monotonic_ms, unix_ms: UNIX_MS + monotonic_ms }
}

impl Control {
    /// All nodes, none of which has said anything; links between the watched pairs of regions are measured.
    pub fn new(overlay: &Overlay, watched_cables: &[usize]) -> Control {
        let topology = &overlay.topology;
        let all = Neighbors::new(topology);
        let neighbors: Vec<Vec<usize>> = (0..topology.nodes.len())
            .map(|node| all.of(id(node)).into_iter().map(|other| usize::from(other.0) - 1).collect())
            .collect();
        let member = |node: usize| {
            let pieces = neighbors[node].len().div_ceil(LINKS_MAX) as u16 + 1;
            (id(node), Member { identity: None, pieces, plans: 0 })
        };
        let members: BTreeMap<NodeId, Member> = (0..topology.nodes.len()).map(member).collect();
        let speaker = |node: usize| {
            let settings = Settings { overlay_id: topology.overlay_id, node: id(node) };
            let mut flood = Flood::new(settings, None);
            let near: Vec<NodeId> = neighbors[node].iter().map(|other| id(*other)).collect();
            flood.reconfigure(members.clone(), &near);
            let (mut steady, mut watched) = (BTreeMap::new(), BTreeMap::new());
            for other in &neighbors[node] {
                let cable = overlay.map.cable(overlay.region(node), overlay.region(*other));
                let latency_us = match cable {
                    Some(cable) if watched_cables.contains(&cable) => {
                        let seed = (node as u64) << 20 | *other as u64;
                        watched.insert(*other, End::new(seed % (50 * MILLISECOND), seed));
                        continue;
                    }
                    Some(cable) => overlay.map.cables[cable].latency_us,
                    None => overlay.map.direct_us(overlay.region(node), overlay.region(*other)),
                };
                steady.insert(id(*other), Quality { latency_us, loss_ppm: 0 });
            }
            Speaker { flood, reporter: Reporter::default(), steady, watched }
        };
        let speakers = (0..topology.nodes.len()).map(speaker).collect();
        let places = Topology { nodes: topology.nodes.clone(), ..Topology::default() };
        Control { speakers, neighbors, places, sent_bytes: 0, sent: 0, is_silent: true }
    }

    /// Nodes that watch links.
    pub fn watching(&self) -> impl Iterator<Item = usize> + '_ {
        (0..self.speakers.len()).filter(|node| !self.speakers[*node].watched.is_empty())
    }

    /// Gives every node what all have to say at the start, as if it had run for long; then neighbours meet.
    pub fn warm_up(&mut self, now_ns: u64) {
        self.is_silent = false;
        let overlay_id = 77;
        let at = now(now_ns);
        let mut writers = vec![Writer::new(overlay_id, NodeId(0))];
        for node in 0..self.speakers.len() {
            self.report(node, now_ns);
            let Speaker { flood, watched, .. } = &mut self.speakers[node];
            watched.keys().for_each(|other| flood.set_neighbor(id(*other), false, at));
            assert!(flood.poll_transmit(at).is_none(), "nobody is there yet");
            for record in flood.records() {
                if !writers.last_mut().is_some_and(|writer| writer.record(0, record.bytes)) {
                    let mut next = Writer::new(overlay_id, NodeId(0));
                    assert!(next.record(0, record.bytes), "a record fits a message");
                    writers.push(next);
                }
            }
        }
        let mut messages: Vec<Vec<u8>> = writers.into_iter().map(|writer| writer.finish(None)).collect();
        for (node, speaker) in self.speakers.iter_mut().enumerate() {
            let neighbors = &self.neighbors[node];
            for (number, message) in messages.iter_mut().enumerate() {
                let from = id(neighbors[number % neighbors.len()]);
                message[2..4].copy_from_slice(&from.0.to_be_bytes());
                assert_eq!(speaker.flood.handle(from, message, at), Ok(()));
            }
        }
        self.meet(now_ns);
    }

    /// Neighbours meet; those of links that are watched, where these are up.
    fn meet(&mut self, now_ns: u64) {
        for (node, speaker) in self.speakers.iter_mut().enumerate() {
            for other in &self.neighbors[node] {
                let up = speaker.watched.get(other).is_none_or(End::is_up);
                speaker.flood.set_neighbor(id(*other), up, now(now_ns));
            }
        }
    }

    /// Every node says what its links are like, having heard nobody yet, and neighbours meet.
    pub fn start_cold(&mut self, now_ns: u64) {
        self.is_silent = false;
        (0..self.speakers.len()).for_each(|node| self.report(node, now_ns));
        self.meet(now_ns);
    }

    /// Looks at a node's links as they are, as the daemon does every 20 ms.
    pub fn report(&mut self, node: usize, now_ns: u64) {
        if self.is_silent {
            return;
        }
        let Speaker { flood, reporter, steady, watched } = &mut self.speakers[node];
        let link = |(neighbor, quality): (&NodeId, &Quality)| LinkNow {
            neighbor: *neighbor,
            version: IpVersion::V4,
            up: true,
            quality: Some(*quality),
        };
        let mut links: Vec<LinkNow> = steady.iter().map(link).collect();
        for (other, end) in watched.iter() {
            flood.set_neighbor(id(*other), end.is_up(), now(now_ns));
            links.extend(end.now(id(*other)));
        }
        let (pieces, is_news) = reporter.report(links);
        for (index, piece) in (0..).zip(pieces) {
            flood.say(Kind::Links, index, piece.to_bytes(), is_news);
        }
    }

    /// Takes a message.
    pub fn handle(&mut self, from: usize, to: usize, message: &[u8], now_ns: u64) {
        // What is refused is older than what is held: the newer one is on its way back.
        let _ = self.speakers[to].flood.handle(id(from), message, now(now_ns));
    }

    /// The next message of a node, and to whom.
    pub fn poll(&mut self, node: usize, now_ns: u64) -> Option<(usize, Vec<u8>)> {
        let (to, message) = self.speakers[node].flood.poll_transmit(now(now_ns))?;
        self.sent += 1;
        self.sent_bytes += message.len() as u64;
        Some((usize::from(to.0) - 1, message))
    }

    /// When a node has something to send, ns.
    pub fn due_ns(&self, node: usize, now_ns: u64) -> u64 {
        self.speakers[node].flood.next_ms(now(now_ns)).saturating_mul(MILLISECOND)
    }

    /// The end of a watched link.
    pub fn end(&mut self, node: usize, other: usize) -> Option<&mut End> {
        self.speakers[node].watched.get_mut(&other)
    }

    /// All ends of watched links: node and neighbour.
    pub fn ends(&self) -> Vec<(usize, usize)> {
        let of = |(node, speaker): (usize, &Speaker)| {
            speaker.watched.keys().map(move |other| (node, *other)).collect::<Vec<_>>()
        };
        self.speakers.iter().enumerate().flat_map(of).collect()
    }

    /// Takes what the other end of a watched link sent.
    pub fn signal(&mut self, node: usize, from: usize, signal: &Signal, now_ns: u64) -> Option<Signal> {
        self.end(node, from)?.handle(now_ns, signal)
    }

    /// Grows whenever what a node holds has changed.
    pub fn version(&self, node: usize) -> u64 {
        self.speakers[node].flood.version()
    }

    /// What a node knows of the ways between regions.
    pub fn view(&self, node: usize) -> LinkView {
        view(&self.speakers[node].flood, &self.places, IpVersion::V4)
    }

    /// Which of a node's own links are dead.
    pub fn dead(&self, node: usize) -> Dead {
        let dead = self.speakers[node].watched.iter().filter(|(_, end)| !end.is_usable());
        Dead { links: dead.map(|(other, _)| (id(*other), IpVersion::V4)).collect(), paths: Vec::new() }
    }

    /// The sequence of the newest record of an origin that a node holds.
    pub fn sequence(&self, node: usize, origin: usize, piece: u16) -> Option<u64> {
        self.speakers[node].flood.sequence(Key { origin: id(origin), kind: Kind::Links, index: piece })
    }

    /// The largest age and number of records that a node holds, to be told.
    pub fn records(&self, node: usize) -> usize {
        self.speakers[node].flood.records().count()
    }
}
