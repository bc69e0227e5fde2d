//! Link state between nodes: what this node's links are like, the datagrams that carry it and everybody else's, and the
//! views that follow, as a state machine that knows no device or clock.
//!
//! Messages go straight between neighbours' underlay addresses, over UDP. Workers punt what members send here; the
//! control thread feeds it in with [`LinkState::handle`], passes the links and the time with [`LinkState::tick`], takes frames
//! to send from [`LinkState::poll_frame`] and compiles tables by [`LinkState::view`].

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use overlay::bfd::State;
use overlay::health::Phase;
use overlay::keys::{Identity, Now, PublicIdentity};
use overlay::linkstate::{self, Flood, Kind, LINKS_MAX, LinkNow, Member, PORT, Refused, Reporter, Settings};
use overlay::neighbors::Neighbors;
use overlay::plan::Quality;
use overlay::routing::LinkView;
use overlay::topology::{IpVersion, NodeId, Planned, Topology};
use packet::{Addr, Reason};

use crate::PortIndex;
use crate::datagram::{self, Headers, Udp};
use crate::live::Link;
use crate::tables::Tables;

/// TTL of its packets: what comes from a neighbour has passed routers of the underlay only.
const TTL: u8 = 64;
/// DS field of network control (CS6, RFC 2474 section 4.2.2).
const CLASS: u8 = 0xc0;
/// How often links are looked at, ns.
const REPORT_NS: u64 = 20_000_000;
/// Views are made anew no more often than this, ns: many changes at once become one.
const VIEW_NS: u64 = 50_000_000;
/// Frames waiting for [`LinkState::poll_frame`] at most; what comes on top is lost, and sent again later.
const FRAMES_MAX: usize = 4096;
const MS: u64 = 1_000_000;
const VERSIONS: [IpVersion; 2] = [IpVersion::V4, IpVersion::V6];

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames given to [`LinkState::handle`].
    pub taken: u64,
    /// Of these, frames of which everything was taken or known.
    pub consumed: u64,
    /// Frames handed out by [`LinkState::poll_frame`].
    pub sent: u64,
}

/// What it is made with.
pub struct Start {
    /// What signs for this node, where it has a key.
    pub identity: Option<Identity>,
    /// Milliseconds from 1970 to the zero of the caller's clock.
    pub unix_offset_ms: u64,
}

/// A node's link state.
pub struct LinkState {
    flood: Flood,
    reporter: Reporter,
    unix_offset_ms: u64,
    topology: Topology,
    /// Own and other address of neighbours by which they are reached now.
    addresses: BTreeMap<NodeId, (Addr, Addr)>,
    neighbors: BTreeSet<NodeId>,
    pieces: u16,
    out: VecDeque<(PortIndex, Vec<u8>)>,
    report_ns: u64,
    views: [LinkView; 2],
    /// The flood's version that the views are of, and when they were made, ns.
    viewed: (u64, u64),
    version: u64,
    counters: Counters,
    drops: [u64; Reason::COUNT],
}

impl LinkState {
    /// Nothing known yet.
    pub fn new(
        start: Start,
        topology: &Topology,
        node: NodeId,
        identities: &[(NodeId, PublicIdentity)],
    ) -> LinkState {
        let settings = Settings { overlay_id: topology.overlay_id, node };
        let mut state = LinkState {
            flood: Flood::new(settings, start.identity),
            reporter: Reporter::default(),
            unix_offset_ms: start.unix_offset_ms,
            topology: Topology::default(),
            addresses: BTreeMap::new(),
            neighbors: BTreeSet::new(),
            pieces: 0,
            out: VecDeque::new(),
            report_ns: 0,
            views: Default::default(),
            viewed: (0, 0),
            version: 0,
            counters: Counters::default(),
            drops: [0; Reason::COUNT],
        };
        state.reconfigure(topology, node, identities);
        state
    }

    /// Takes another topology: what nodes that stay have said, stays.
    pub fn reconfigure(
        &mut self,
        topology: &Topology,
        node: NodeId,
        identities: &[(NodeId, PublicIdentity)],
    ) {
        let neighbors = Neighbors::new(topology);
        let identities: BTreeMap<NodeId, PublicIdentity> = identities.iter().copied().collect();
        let member = |node: NodeId| {
            let links = neighbors.of(node).len() * VERSIONS.len();
            // A piece more, so that a node whose topology is newer than ours is heard.
            let pieces = links.div_ceil(LINKS_MAX) as u16 + 1;
            let is_planner = |planned: &Planned| {
                let this = topology.node(node).filter(|this| this.roles.gateway);
                this.is_some_and(|this| this.region == planned.gateway)
            };
            let plans =
                if topology.planned.iter().any(is_planner) { topology.regions.len() as u16 } else { 0 };
            Member { identity: identities.get(&node).copied(), pieces, plans }
        };
        let members = topology.nodes.iter().map(|node| (node.id, member(node.id))).collect();
        let near = if topology.liveness.is_some() { neighbors.of(node) } else { Vec::new() };
        self.flood.reconfigure(members, &near);
        self.neighbors = near.into_iter().collect();
        // What views are made from: nothing of it is needed but where nodes stand.
        self.topology = Topology { nodes: topology.nodes.clone(), ..Topology::default() };
        self.report_ns = 0;
    }

    /// A frame that came to [`PORT`] from a member's address. Returns why it was not taken whole, to be told.
    pub fn handle(&mut self, now_ns: u64, tables: &Tables, bytes: &[u8]) -> Option<Refused> {
        self.counters.taken += 1;
        let taken = self.take(now_ns, tables, bytes);
        match taken {
            // Of what is old, the newer is on its way to whoever said it.
            Ok(Ok(()) | Err(Refused::Old)) => {
                self.counters.consumed += 1;
                None
            }
            Ok(Err(why)) => {
                self.drops[Reason::LinkState.index()] += 1;
                Some(why)
            }
            Err(reason) => {
                self.drops[reason.index()] += 1;
                None
            }
        }
    }

    fn take(&mut self, now_ns: u64, tables: &Tables, bytes: &[u8]) -> Result<Result<(), Refused>, Reason> {
        let datagram = Udp::of_frame(bytes)?;
        let from = tables.members.get(datagram.packet.src).ok_or(Reason::OverlayNotMember)?;
        if datagram.packet.dst_port != PORT || datagram.packet.src_port != PORT || !datagram.is_intact() {
            return Err(Reason::SlowPath);
        }
        Ok(self.flood.handle(from, datagram.payload, self.now(now_ns)))
    }

    /// Does what is due at this time, with the node's links as they are.
    pub fn tick(&mut self, now_ns: u64, tables: &Tables, links: &[Link]) {
        let now = self.now(now_ns);
        if now_ns >= self.report_ns {
            self.report_ns = now_ns + REPORT_NS;
            self.report(now, links);
        }
        while self.out.len() < FRAMES_MAX
            && let Some((to, message)) = self.flood.poll_transmit(now)
        {
            let frame = self.frame(to, &message, tables);
            self.out.extend(frame);
        }
        if self.viewed.0 != self.flood.version() && now_ns.saturating_sub(self.viewed.1) >= VIEW_NS {
            self.viewed = (self.flood.version(), now_ns);
            let views = VERSIONS.map(|version| linkstate::view(&self.flood, &self.topology, version));
            if views != self.views {
                self.views = views;
                self.version += 1;
            }
        }
    }

    fn report(&mut self, now: Now, links: &[Link]) {
        let mut addresses = BTreeMap::new();
        for link in links.iter().filter(|link| link.session.state() == State::Up) {
            addresses.entry(link.node).or_insert((link.own, link.peer));
        }
        for node in &self.neighbors {
            self.flood.set_neighbor(*node, addresses.contains_key(node), now);
        }
        self.addresses = addresses;
        // What was never heard of is not told yet.
        let known = links.iter().filter(|link| link.health.phase() != Phase::Starting);
        let (pieces, is_news) = self.reporter.report(known.map(link_now).collect());
        let count = pieces.len() as u16;
        for (index, piece) in (0..).zip(pieces) {
            self.flood.say(Kind::Links, index, piece.to_bytes(), is_news);
        }
        if count < self.pieces {
            self.flood.fall_silent(Kind::Links, count);
        }
        self.pieces = count;
    }

    fn frame(&self, to: NodeId, message: &[u8], tables: &Tables) -> Option<(PortIndex, Vec<u8>)> {
        let (from, to) = *self.addresses.get(&to)?;
        let headers = Headers { from, to, ports: (PORT, PORT), class: CLASS, ttl: TTL };
        let egress = tables.routes.egress(to)?;
        datagram::ethernet(tables, egress, &headers.packet(message, 0))
    }

    /// The next frame to send, with its port.
    pub fn poll_frame(&mut self) -> Option<(PortIndex, Vec<u8>)> {
        let frame = self.out.pop_front()?;
        self.counters.sent += 1;
        Some(frame)
    }

    /// When [`LinkState::tick`] has something to do next, ns on the caller's clock; `None` where the node has no neighbours.
    pub fn poll_timeout(&self, now_ns: u64) -> Option<u64> {
        if self.neighbors.is_empty() {
            return None;
        }
        let flood_ns = self.flood.next_ms(self.now(now_ns)).saturating_mul(MS);
        let view_ns = if self.viewed.0 == self.flood.version() { u64::MAX } else { self.viewed.1 + VIEW_NS };
        Some(flood_ns.min(self.report_ns).min(view_ns))
    }

    /// What is known of links over one IP version.
    pub fn view(&self, version: IpVersion) -> &LinkView {
        &self.views[(version == IpVersion::V6) as usize]
    }

    /// Both views: IPv4's and IPv6's.
    pub fn views(&self) -> &[LinkView; 2] {
        &self.views
    }

    /// Grows whenever a view has changed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What is held, for who says something himself, with what is known of links over an IP version.
    pub fn flood_and_view(&mut self, version: IpVersion) -> (&mut Flood, &LinkView) {
        (&mut self.flood, &self.views[(version == IpVersion::V6) as usize])
    }

    /// What is held, to be shown.
    pub fn flood(&self) -> &Flood {
        &self.flood
    }

    /// What has been done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Frames dropped here, by [`Reason::index`].
    pub fn drops(&self) -> &[u64; Reason::COUNT] {
        &self.drops
    }

    /// The caller's clock as the flood counts time.
    pub fn now(&self, now_ns: u64) -> Now {
        let monotonic_ms = now_ns / MS;
        Now { monotonic_ms, unix_ms: monotonic_ms.wrapping_add(self.unix_offset_ms) }
    }
}

fn link_now(link: &Link) -> LinkNow {
    let reading = link.meter.as_ref().and_then(|meter| meter.reading());
    LinkNow {
        neighbor: link.node,
        version: link.version,
        up: link.health.phase() == Phase::Up,
        quality: reading
            .map(|reading| Quality { latency_us: reading.latency_us, loss_ppm: reading.loss_out_ppm }),
    }
}
