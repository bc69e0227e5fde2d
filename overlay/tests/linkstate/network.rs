//! Nodes that flood link state over links that lose, delay and die, in virtual time of whole milliseconds.

use std::collections::BTreeMap;

use proa_overlay::keys::{Identity, Now};
use proa_overlay::linkstate::{Flood, Key, Kind, LinkNow, Member, Reporter, Settings, pieces};
use proa_overlay::plan::Quality;
use proa_overlay::topology::{IpVersion, NodeId};

use crate::draw::Draw;

/// Unix time at the start, ms.
pub const UNIX_MS: u64 = 1_800_000_000_000;
/// How long a dead link goes unnoticed.
pub const DETECTION_MS: u64 = 150;
/// What an end knows of its links: neighbour, whether it is up, latency and loss.
pub type Told = Vec<(u16, bool, Option<(u32, u32)>)>;

pub struct Edge {
    pub ends: [usize; 2],
    pub alive: bool,
    /// When its ends notice.
    noticed_ms: u64,
    pub quality: Quality,
    pub delay_ms: u64,
    pub loss_percent: u64,
}

pub struct Network {
    pub nodes: Vec<Flood>,
    reporters: Vec<Reporter>,
    pub edges: Vec<Edge>,
    pub now_ms: u64,
    /// By node: how far its clock is from the others'.
    pub clocks_ms: Vec<i64>,
    /// Messages under way: when, to, from, bytes.
    under_way: BTreeMap<(u64, u64), (usize, usize, Vec<u8>)>,
    count: u64,
    pub bytes: u64,
    /// Everything ever sent: to, from, bytes.
    pub heard: Vec<(usize, usize, Vec<u8>)>,
    draw: Draw,
    signed: bool,
}

/// Of a dead link it is no news.
fn quality_of(link: &LinkNow) -> Option<(u32, u32)> {
    link.quality.filter(|_| link.up).map(|quality| (quality.latency_us, quality.loss_ppm))
}

pub fn id(node: usize) -> NodeId {
    NodeId(node as u16 + 1)
}

pub fn identity(node: usize) -> Identity {
    let mut seed = [7; 32];
    seed[..8].copy_from_slice(&(node as u64).to_be_bytes());
    Identity::from_seed(&seed).unwrap()
}

impl Network {
    /// A ring with chords: connected, and one link may die.
    pub fn new(seed: u64, count: usize, chords: usize, loss_percent: u64, signed: bool) -> Network {
        let mut draw = Draw(seed);
        let mut pairs: Vec<[usize; 2]> = (0..count).map(|at| [at, (at + 1) % count]).collect();
        while pairs.len() < count + chords {
            let [a, b] = [0; 2].map(|_| draw.below(count as u64) as usize);
            if a != b && !pairs.contains(&[a, b]) && !pairs.contains(&[b, a]) {
                pairs.push([a, b]);
            }
        }
        Network::of(draw.next(), count, pairs, loss_percent, signed)
    }

    /// These links, with nodes that may all be planners.
    pub fn of(seed: u64, count: usize, pairs: Vec<[usize; 2]>, loss_percent: u64, signed: bool) -> Network {
        let mut draw = Draw(seed);
        let edges = pairs.into_iter().map(|ends| Edge {
            ends,
            alive: true,
            noticed_ms: 0,
            quality: Quality { latency_us: 1_000 + draw.below(40_000) as u32, loss_ppm: 0 },
            delay_ms: 1 + draw.below(40),
            loss_percent,
        });
        let mut network = Network {
            edges: edges.collect(),
            nodes: Vec::new(),
            reporters: Vec::new(),
            now_ms: 1_000,
            clocks_ms: vec![0; count],
            under_way: BTreeMap::new(),
            count: 0,
            bytes: 0,
            heard: Vec::new(),
            draw,
            signed,
        };
        for node in 0..count {
            let flood = network.start(node);
            network.nodes.push(flood);
            network.reporters.push(Reporter::default());
        }
        network
    }

    fn start(&self, node: usize) -> Flood {
        let settings = Settings { overlay_id: 1, node: id(node) };
        let mut flood = Flood::new(settings, self.signed.then(|| identity(node)));
        let count = self.clocks_ms.len();
        let member =
            |node| Member { identity: self.signed.then(|| identity(node).public()), pieces: 1, plans: 1 };
        let members = (0..count).map(|node| (id(node), member(node))).collect();
        let neighbors: Vec<NodeId> = self.neighbors(node).map(|(_, other)| id(other)).collect();
        flood.reconfigure(members, &neighbors);
        flood
    }

    /// A node loses all that it knows.
    pub fn restart(&mut self, node: usize) {
        self.nodes[node] = self.start(node);
        self.reporters[node] = Reporter::default();
        let now_ms = self.now_ms;
        for edge in self.edges.iter_mut().filter(|edge| edge.ends.contains(&node)) {
            edge.noticed_ms = now_ms;
        }
        let others: Vec<usize> = self.neighbors(node).map(|(_, other)| other).collect();
        for other in others {
            let now = self.now(other);
            self.nodes[other].set_neighbor(id(node), false, now);
        }
    }

    fn neighbors(&self, node: usize) -> impl Iterator<Item = (&Edge, usize)> {
        self.edges.iter().filter_map(move |edge| match edge.ends {
            [a, b] if a == node => Some((edge, b)),
            [a, b] if b == node => Some((edge, a)),
            _ => None,
        })
    }

    pub fn now(&self, node: usize) -> Now {
        let unix_ms = (UNIX_MS + self.now_ms).saturating_add_signed(self.clocks_ms[node]);
        Now { monotonic_ms: self.now_ms, unix_ms }
    }

    pub fn cut(&mut self, edge: usize, alive: bool) {
        self.edges[edge].alive = alive;
        self.edges[edge].noticed_ms = self.now_ms + DETECTION_MS;
    }

    /// One millisecond passes.
    pub fn step(&mut self) {
        self.now_ms += 1;
        while let Some(first) = self.under_way.first_entry() {
            if first.key().0 > self.now_ms {
                break;
            }
            let (to, from, bytes) = first.remove();
            let now = self.now(to);
            let _ = self.nodes[to].handle(id(from), &bytes, now);
        }
        for node in 0..self.nodes.len() {
            let links: Vec<LinkNow> = self
                .neighbors(node)
                .map(|(edge, other)| LinkNow {
                    neighbor: id(other),
                    version: IpVersion::V4,
                    up: edge.alive == (edge.noticed_ms <= self.now_ms),
                    quality: Some(edge.quality),
                })
                .collect();
            let now = self.now(node);
            for link in &links {
                self.nodes[node].set_neighbor(link.neighbor, link.up, now);
            }
            let (pieces, news) = self.reporters[node].report(links);
            for (index, piece) in (0..).zip(pieces) {
                self.nodes[node].say(Kind::Links, index, piece.to_bytes(), news);
            }
            while let Some((to, bytes)) = self.nodes[node].poll_transmit(now) {
                self.bytes += bytes.len() as u64;
                self.send(node, usize::from(to.0) - 1, bytes);
            }
        }
    }

    fn send(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let edge =
            self.edges.iter().find(|edge| edge.ends.contains(&from) && edge.ends.contains(&to)).unwrap();
        let (delay_ms, alive, loss) = (edge.delay_ms, edge.alive, edge.loss_percent);
        if self.heard.len() < 20_000 {
            self.heard.push((to, from, bytes.clone()));
        }
        // Some come twice, and some later than others.
        let copies = 1 + usize::from(self.draw.percent(3));
        for _ in 0..copies {
            let late = if self.draw.percent(5) { self.draw.below(20) } else { 0 };
            if alive && !self.draw.percent(loss) {
                self.count += 1;
                self.under_way.insert((self.now_ms + delay_ms + late, self.count), (to, from, bytes.clone()));
            }
        }
    }

    /// What a node holds of another's links.
    pub fn told(&self, node: usize, origin: usize) -> Option<Told> {
        let links = self.nodes[node].links().filter(|(from, _)| *from == id(origin));
        let told: Told = links.map(|(_, link)| (link.neighbor.0, link.up, quality_of(&link))).collect();
        let key = Key { origin: id(origin), kind: Kind::Links, index: 0 };
        self.nodes[node].age_ms(key, self.now(node)).map(|_| told)
    }

    /// What a node would tell now.
    pub fn truth(&self, origin: usize) -> Told {
        let links = self.neighbors(origin).map(|(edge, other)| LinkNow {
            neighbor: id(other),
            version: IpVersion::V4,
            up: edge.alive,
            quality: Some(edge.quality),
        });
        let links = pieces(links.collect()).remove(0).links;
        let told = links.iter().map(|link| (link.neighbor.0, link.up, quality_of(link)));
        told.collect()
    }

    /// Whether every node of these knows the truth about all of them.
    pub fn agree(&self, nodes: &[usize]) -> bool {
        nodes.iter().all(|origin| {
            let truth = self.truth(*origin);
            nodes.iter().all(|node| self.told(*node, *origin).as_ref() == Some(&truth))
        })
    }

    /// Milliseconds until all of these agree.
    pub fn converge(&mut self, nodes: &[usize], limit_ms: u64) -> Option<u64> {
        (0..=limit_ms).find(|passed| {
            if *passed > 0 {
                self.step();
            }
            self.agree(nodes)
        })
    }
}
