//! The slow path: ARP, neighbour discovery and echo for the node's own addresses, as a state machine that knows
//! no device, clock or thread.
//!
//! Workers punt what they cannot finish. The control thread feeds it in with [`SlowPath::handle`] (a frame for the
//! node itself) or [`SlowPath::resolve`] (a frame whose next hop has no Ethernet address yet), passes the time with
//! [`SlowPath::tick`], and takes frames to send from [`SlowPath::poll_frame`]. Whenever [`SlowPath::version`] has
//! changed, it compiles [`SlowPath::neighbors`] into new tables for the workers.

mod announce;
mod arp;
mod echo;
mod frame;
mod ndp;
mod neighbor;
mod own;
mod rate;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use ipnetwork::IpNetwork;
use packet::{Addr, Mac, Reason, ethernet, ip};

pub use neighbor::HELD_PER_NEIGHBOR_MAX;
pub use own::link_local;
pub use rate::Bucket;

use announce::Announcements;
use neighbor::{Action, Neighbors};
use own::Own;

use crate::PortIndex;
use crate::source_limit::SourceLimit;

/// Frames waiting for [`SlowPath::poll_frame`] at most; what comes on top is dropped.
const FRAMES_MAX: usize = 4096;

/// Answers to ARP, to neighbour discovery and to echo requests, each, per second.
const ANSWERS_PER_SECOND: u32 = 1000;

/// Of these, as many for each source.
const ANSWERS_PER_SOURCE: u32 = 250;

/// One kind of answers' rates: for each source, and then in all.
struct Rate {
    all: Bucket,
    sources: SourceLimit,
}

impl Rate {
    fn new(seed: u64) -> Rate {
        let sources = SourceLimit::new(ANSWERS_PER_SOURCE, seed);
        Rate { all: Bucket::new(ANSWERS_PER_SECOND), sources }
    }

    fn take(&mut self, now_ns: u64, source: Addr) -> bool {
        self.sources.take(now_ns, source) && self.all.take(now_ns)
    }
}

/// One of the node's ports, as the slow path sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Its Ethernet address.
    pub mac: Mac,
    /// VLAN of all its frames.
    pub vlan: Option<u16>,
    /// Its addresses, each with the network on its link.
    pub addresses: Vec<IpNetwork>,
}

/// What the slow path is made from. A port is named by its position in `ports`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The node's ports.
    pub ports: Vec<Port>,
    /// Further addresses (virtual IPs, NAT addresses) for which the node answers ARP and neighbour discovery on
    /// the ports whose network contains them.
    pub answered: Vec<Addr>,
    /// Next hops that configuration names: resolved before anyone asks, and kept so.
    pub next_hops: Vec<(PortIndex, Addr)>,
    /// Neighbours remembered at most, beside those in `next_hops`.
    pub neighbors_max: usize,
    /// Seeds the hashes of what others choose.
    pub seed: u64,
}

/// What the slow path has done since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames given to [`SlowPath::handle`] and [`SlowPath::resolve`].
    pub taken: u64,
    /// Of these, frames that have done their work: answered, or learned from.
    pub consumed: u64,
    /// Of these, frames that were sent on once their neighbour was known.
    pub released: u64,
    /// Frames handed out by [`SlowPath::poll_frame`].
    pub sent: u64,
    /// Other stations that claimed one of this node's addresses.
    pub conflicts: u64,
}

/// The slow path's state.
pub struct SlowPath {
    ports: Vec<Port>,
    own: Own,
    neighbors: Neighbors,
    announcements: Announcements,
    out: VecDeque<(PortIndex, Vec<u8>)>,
    arp_rate: Rate,
    ndp_rate: Rate,
    echo_rate: Rate,
    counters: Counters,
    drops: [u64; Reason::COUNT],
}

impl SlowPath {
    /// A slow path that announces the node's addresses and starts to resolve its next hops at once.
    pub fn new(now_ns: u64, config: &Config) -> SlowPath {
        let mut slow = SlowPath {
            ports: config.ports.clone(),
            own: Own::new(&config.ports, &config.answered),
            neighbors: Neighbors::new(config.neighbors_max),
            announcements: Announcements::default(),
            out: VecDeque::new(),
            arp_rate: Rate::new(config.seed),
            ndp_rate: Rate::new(config.seed.rotate_left(21)),
            echo_rate: Rate::new(config.seed.rotate_left(42)),
            counters: Counters::default(),
            drops: [0; Reason::COUNT],
        };
        slow.announcements.start(now_ns, slow.own.announced());
        slow.neighbors.keep(now_ns, &config.next_hops);
        slow.tick(now_ns);
        slow
    }

    /// Takes a new list of answered addresses and of next hops; ports stay as they are. Addresses that are new are
    /// announced; what is known of neighbours is kept.
    pub fn reconfigure(&mut self, now_ns: u64, answered: &[Addr], next_hops: &[(PortIndex, Addr)]) {
        let own = Own::new(&self.ports, answered);
        let known = core::mem::replace(&mut self.own, own);
        let new = self.own.announced().into_iter().filter(|(port, addr)| !known.answers(*port, *addr));
        self.announcements.start(now_ns, new.collect());
        self.neighbors.keep(now_ns, next_hops);
        self.tick(now_ns);
    }

    /// A frame that was received for the node itself: ARP, or IP to one of its addresses.
    pub fn handle(&mut self, now_ns: u64, port: PortIndex, frame: &[u8]) {
        self.counters.taken += 1;
        match self.answer(now_ns, port, frame) {
            Ok(()) => self.counters.consumed += 1,
            Err(reason) => self.drop_for(reason, 1),
        }
        self.tick(now_ns);
    }

    /// A frame that is complete but for its destination: holds it until the neighbour is known.
    pub fn resolve(&mut self, now_ns: u64, port: PortIndex, next_hop: Addr, frame: Vec<u8>) {
        self.counters.taken += 1;
        self.tick(now_ns);
        if self.ports.get(port.0 as usize).is_none() || frame.len() < ethernet::HEADER_LEN {
            return self.drop_for(Reason::SlowPath, 1);
        }
        // Between a worker's look-up and now the neighbour may have answered.
        if let Some(mac) = self.neighbors.mac(port, next_hop) {
            return self.release(port, mac, frame);
        }
        if self.neighbors.hold(now_ns, port, next_hop, frame).is_err() {
            self.drop_for(Reason::NeighborUnknown, 1);
        }
        // Asks for the neighbour if it is a new one.
        self.tick(now_ns);
    }

    /// Does what is due at this time: probes, announcements, expiry.
    pub fn tick(&mut self, now_ns: u64) {
        while let Some((port, addr)) = self.announcements.poll(now_ns) {
            self.announce(port, addr);
        }
        while let Some(action) = self.neighbors.poll(now_ns) {
            match action {
                Action::Probe { port, addr, mac } => self.probe(port, addr, mac),
                Action::GiveUp { held } => self.drop_for(Reason::NeighborUnknown, held as u64),
            }
        }
    }

    /// The next frame to send, with its port.
    pub fn poll_frame(&mut self) -> Option<(PortIndex, Vec<u8>)> {
        let frame = self.out.pop_front()?;
        self.counters.sent += 1;
        Some(frame)
    }

    /// When [`SlowPath::tick`] has something to do next, ns on the caller's clock.
    pub fn poll_timeout(&self) -> Option<u64> {
        match (self.announcements.next(), self.neighbors.next()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Grows whenever [`SlowPath::neighbors`] has changed.
    pub fn version(&self) -> u64 {
        self.neighbors.version()
    }

    /// Every neighbour whose Ethernet address is known: port, IP address, Ethernet address.
    pub fn neighbors(&self) -> impl Iterator<Item = (PortIndex, Addr, Mac)> + '_ {
        self.neighbors.known()
    }

    /// Next hops named by the configuration that have not answered yet.
    pub fn unresolved(&self) -> impl Iterator<Item = (PortIndex, Addr)> + '_ {
        self.neighbors.unresolved()
    }

    /// Frames that wait for a neighbour.
    pub fn held(&self) -> usize {
        self.neighbors.held()
    }

    /// What has been done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Frames dropped here, by [`Reason::index`].
    pub fn drops(&self) -> &[u64; Reason::COUNT] {
        &self.drops
    }

    /// Drops what is still held, at the end: every frame taken is then consumed, released or dropped.
    pub fn stop(&mut self) {
        let held = self.neighbors.let_go();
        self.drop_for(Reason::Stopping, held as u64);
    }

    fn answer(&mut self, now_ns: u64, port: PortIndex, bytes: &[u8]) -> Result<(), Reason> {
        let link = ethernet::parse(bytes)?;
        let own_vlan = self.ports.get(port.0 as usize).ok_or(Reason::SlowPath)?.vlan.unwrap_or(0);
        if link.vlan != own_vlan {
            return Err(Reason::Vlan);
        }
        let payload = bytes.get(link.payload_at..).ok_or(Reason::EthernetTruncated)?;
        match link.ether_type {
            ethernet::TYPE_ARP => self.handle_arp(now_ns, port, payload),
            ethernet::TYPE_IPV4 | ethernet::TYPE_IPV6 => {
                let parsed = ip::parse(payload)?;
                let source = ethernet::source(bytes).filter(|mac| !mac.is_group()).ok_or(Reason::SlowPath)?;
                let message = payload
                    .get(parsed.transport_at as usize..parsed.len as usize)
                    .ok_or(Reason::TransportTruncated)?;
                if ndp::is_neighbor_discovery(&parsed) {
                    self.handle_ndp(now_ns, port, &parsed, message)
                } else {
                    self.handle_echo(now_ns, port, source, &parsed, message)
                }
            }
            _ => Err(Reason::EthernetType),
        }
    }

    fn send(&mut self, port: PortIndex, frame: Vec<u8>) {
        if self.out.len() < FRAMES_MAX {
            self.out.push_back((port, frame));
        }
    }

    /// Sends a frame that waited for its destination.
    fn release(&mut self, port: PortIndex, mac: Mac, mut frame: Vec<u8>) {
        if self.out.len() >= FRAMES_MAX {
            return self.drop_for(Reason::NeighborUnknown, 1);
        }
        frame[..6].copy_from_slice(&mac.0);
        self.counters.released += 1;
        self.out.push_back((port, frame));
    }

    /// A neighbour's address is known (again): sends what waited for it.
    fn learned(&mut self, port: PortIndex, mac: Mac, held: VecDeque<Vec<u8>>) {
        for frame in held {
            self.release(port, mac, frame);
        }
    }

    fn drop_for(&mut self, reason: Reason, count: u64) {
        self.drops[reason.index()] += count;
    }

    fn probe(&mut self, port: PortIndex, addr: Addr, mac: Option<Mac>) {
        if addr.is_v4() {
            self.send_arp_request(port, addr, mac)
        } else {
            self.send_solicitation(port, addr, mac)
        }
    }

    fn announce(&mut self, port: PortIndex, addr: Addr) {
        if addr.is_v4() { self.announce_arp(port, addr) } else { self.announce_ndp(port, addr) }
    }
}
