//! Liveness and quality: the control thread's BFD sessions with neighbouring nodes and its probes of whole paths, as a
//! state machine that knows no device, clock or thread.
//!
//! ```text
//!   edge ◄──── BFD ────► intermediate ◄──── BFD ────► gateway
//!     └─────────────── probes of the path ───────────────┘
//! ```
//!
//! Neighbours watch and measure the link between them; that is quick, and every node knows about its own links. What dies beyond
//! them, an end sees by its probes, which go the way of its data. A path is dead when its probes do not come back, or
//! when no node of its first region is reached. The tables are compiled without what [`Live::dead`] names.
//!
//! Workers punt what members send here; the control thread feeds it in with [`Live::handle`], passes the time with
//! [`Live::tick`] and takes frames to send from [`Live::poll_frame`].

mod link;
mod meter;
mod mtu;
mod path;
mod random;

use std::collections::VecDeque;
use std::sync::Arc;

use overlay::adaptive::{self, Report};
use overlay::bfd::{self, Packet};
use overlay::health;
use overlay::plpmtud;
use overlay::quality::{self, Reflected, Test};
use overlay::seal::SealTable;
use overlay::topology::{IpVersion, NodeId, PathId, Topology};
use overlay::wire::{self, GENEVE_PORT};
use packet::{Addr, Reason};

pub use link::Link;
pub use meter::Meter;
pub use mtu::Measured;
pub use path::Path;

use path::Way;
use random::Random;

use crate::PortIndex;
use crate::datagram;
use crate::receipts::Told;
use crate::tables::{Dead, Mtus, Tables};

/// Frames waiting for [`Live::poll_frame`] at most; what comes on top is lost.
const FRAMES_MAX: usize = 8192;
/// Reports waiting for [`Live::poll_report`] at most.
const REPORTS_MAX: usize = 256;
/// How long after the start something may be unheard of before it counts as dead, in intervals of a BFD session that
/// is not up: three, and a little more.
const GRACE_NS: u64 = 5_000_000_000;

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames given to [`Live::handle`].
    pub taken: u64,
    /// Of these, frames that counted.
    pub consumed: u64,
    /// Frames handed out by [`Live::poll_frame`].
    pub sent: u64,
}

/// What the sessions are made with.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Nanoseconds from 1970 to the zero of the caller's clock.
    pub unix_offset_ns: u64,
    /// Unpredictable.
    pub seed: u64,
}

/// All sessions of a node.
pub struct Live {
    start: Start,
    random: Random,
    /// Whether anything may be dead: liveness is on.
    judges: bool,
    keys: Arc<SealTable>,
    links: Vec<Link>,
    paths: Vec<Path>,
    out: VecDeque<(PortIndex, Vec<u8>)>,
    /// Reports that came, waiting for [`Live::poll_report`].
    reports: VecDeque<(NodeId, IpVersion, Report)>,
    /// Counts reports, so that each takes another path.
    turn: usize,
    dead: Dead,
    mtus: Mtus,
    version: u64,
    next_ns: u64,
    counters: Counters,
    drops: [u64; Reason::COUNT],
}

impl Live {
    /// The sessions that a topology asks of a node; none where it asks for neither liveness nor quality.
    pub fn new(now_ns: u64, start: Start, topology: &Topology, tables: &Tables) -> Live {
        let mut live = Live {
            start,
            random: Random::new(start.seed),
            judges: false,
            keys: Arc::default(),
            links: Vec::new(),
            paths: Vec::new(),
            out: VecDeque::new(),
            reports: VecDeque::new(),
            turn: 0,
            dead: Dead::default(),
            mtus: Mtus::default(),
            version: 0,
            next_ns: now_ns,
            counters: Counters::default(),
            drops: [0; Reason::COUNT],
        };
        live.reconfigure(now_ns, topology, tables);
        live
    }

    /// Takes another topology: sessions that it still asks for go on.
    pub fn reconfigure(&mut self, now_ns: u64, topology: &Topology, tables: &Tables) {
        self.judges = topology.liveness.is_some();
        link::reconfigure(&mut self.links, now_ns, topology, tables.node, &mut self.random);
        path::reconfigure(&mut self.paths, &self.links, now_ns, topology, tables.node);
        self.next_ns = now_ns;
        self.judge();
    }

    /// Authenticates probes with other keys from now on.
    pub fn swap_keys(&mut self, keys: Arc<SealTable>) {
        self.keys = keys;
    }

    /// A frame of a member, for the node itself: BFD, or a probe whose way was checked.
    pub fn handle(&mut self, now_ns: u64, tables: &Tables, bytes: &[u8]) {
        self.counters.taken += 1;
        match self.take(now_ns, tables, bytes) {
            Ok(()) => self.counters.consumed += 1,
            Err(reason) => self.drops[reason.index()] += 1,
        }
    }

    /// Does what is due at this time.
    pub fn tick(&mut self, now_ns: u64, tables: &Tables) {
        if now_ns < self.next_ns {
            return;
        }
        self.next_ns = u64::MAX;
        for at in 0..self.links.len() {
            self.serve_link(now_ns, tables, at);
        }
        for at in 0..self.paths.len() {
            self.serve_path(now_ns, tables, at);
        }
        self.judge();
    }

    /// The next frame to send, with its port.
    pub fn poll_frame(&mut self) -> Option<(PortIndex, Vec<u8>)> {
        let frame = self.out.pop_front()?;
        self.counters.sent += 1;
        Some(frame)
    }

    /// Tells a node what has come of its packets: over one path in turn, or over all of them.
    pub fn report(&mut self, tables: &Tables, told: &Told) {
        let Live { paths, out, keys, dead, turn, .. } = self;
        let way = Way { tables, keys };
        let ours = |path: &&Path| path.peer == told.to && path.version == told.version;
        let lives = |path: &&Path| !dead.paths.contains(&path.key());
        let count = paths.iter().filter(ours).filter(lives).count();
        let only = if told.is_news { None } else { Some(*turn % count.max(1)) };
        *turn = turn.wrapping_add(1);
        let payload = told.report.to_bytes();
        let chosen = paths.iter().filter(ours).filter(lives).enumerate();
        for (_, path) in chosen.filter(|(at, _)| only.is_none_or(|only| only == *at)) {
            let ports = (adaptive::PORT, adaptive::PORT);
            let frame = path.frame(&way, 0, 0, ports, &payload, payload.len());
            if let Some(frame) = frame.filter(|_| out.len() < FRAMES_MAX) {
                out.push_back(frame);
            }
        }
    }

    /// The next report of what has come of this node's packets: who tells it, over which IP version.
    pub fn poll_report(&mut self) -> Option<(NodeId, IpVersion, Report)> {
        self.reports.pop_front()
    }

    /// When [`Live::tick`] has something to do next, ns on the caller's clock.
    pub fn poll_timeout(&self) -> Option<u64> {
        (self.next_ns != u64::MAX).then_some(self.next_ns)
    }

    /// Grows whenever [`Live::dead`] or [`Live::mtus`] has changed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// What the tables are to be compiled without.
    pub fn dead(&self) -> &Dead {
        &self.dead
    }

    /// What links and paths were found to carry.
    pub fn mtus(&self) -> &Mtus {
        &self.mtus
    }

    /// The links to neighbouring nodes.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The paths that end here, once for each node at their other end.
    pub fn paths(&self) -> &[Path] {
        &self.paths
    }

    /// Whether packets should take a path to a node.
    pub fn is_usable(&self, path: &Path) -> bool {
        !self.dead.paths.contains(&(path.path, path.peer, path.version))
    }

    /// What has been done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Frames dropped here, by [`Reason::index`].
    pub fn drops(&self) -> &[u64; Reason::COUNT] {
        &self.drops
    }

    fn take(&mut self, now_ns: u64, tables: &Tables, bytes: &[u8]) -> Result<(), Reason> {
        let outer = datagram::Udp::of_frame(bytes)?;
        match outer.packet.dst_port {
            bfd::PORT => self.take_bfd(now_ns, tables, &outer),
            GENEVE_PORT => self.take_probe(now_ns, tables, &outer),
            plpmtud::PORT => self.take_size(now_ns, tables, &outer),
            quality::PORT | meter::SENDER_PORT => self.take_meter(now_ns, tables, &outer),
            _ => Err(Reason::SlowPath),
        }
    }

    fn take_bfd(&mut self, now_ns: u64, tables: &Tables, outer: &datagram::Udp) -> Result<(), Reason> {
        let (from, to) = (outer.packet.src, outer.packet.dst);
        let found = self.links.iter().position(|link| link.peer == from && link.own == to);
        let at = found.filter(|_| outer.is_intact()).ok_or(Reason::SlowPath)?;
        let packet = Packet::parse(outer.payload).map_err(|_| Reason::SlowPath)?;
        let link = self.links.get_mut(at).ok_or(Reason::SlowPath)?;
        let taken = link.handle(now_ns, &packet);
        self.serve_link(now_ns, tables, at);
        self.judge();
        taken.map_err(|_| Reason::SlowPath)
    }

    /// A probe of a link's MTU, or an acknowledgement of one.
    fn take_size(&mut self, now_ns: u64, tables: &Tables, outer: &datagram::Udp) -> Result<(), Reason> {
        let (from, to) = (outer.packet.src, outer.packet.dst);
        let found = self.links.iter().position(|link| link.peer == from && link.own == to);
        let at = found.filter(|_| outer.is_intact()).ok_or(Reason::SlowPath)?;
        let link = self.links.get_mut(at).ok_or(Reason::SlowPath)?;
        if let Ok(plpmtud::Probe { token }) = plpmtud::Probe::parse(outer.payload) {
            let (way, node, version) = (mtu::Way::of(link, tables), link.node, link.version);
            let ack = plpmtud::Ack { token, onward: mtu::onward(&self.links, tables, node, version) };
            self.send(way.and_then(|way| way.answer(tables, &ack, outer.payload.len())));
            return Ok(());
        }
        let ack = plpmtud::Ack::parse(outer.payload).map_err(|_| Reason::SlowPath)?;
        let taken = link.measured.handle(now_ns, ack);
        self.serve_link(now_ns, tables, at);
        self.judge();
        taken
    }

    /// A probe of a link's quality, or an answer to one.
    fn take_meter(&mut self, now_ns: u64, tables: &Tables, outer: &datagram::Udp) -> Result<(), Reason> {
        let (from, to) = (outer.packet.src, outer.packet.dst);
        let found = self.links.iter().position(|link| link.peer == from && link.own == to);
        let at = found.filter(|_| outer.is_intact()).ok_or(Reason::SlowPath)?;
        let unix_ns = self.start.unix_offset_ns.wrapping_add(now_ns);
        let link = self.links.get_mut(at).ok_or(Reason::SlowPath)?;
        let way = mtu::Way::of(link, tables);
        let meter = link.meter.as_mut().ok_or(Reason::SlowPath)?;
        match (outer.packet.src_port, outer.packet.dst_port) {
            (meter::SENDER_PORT, quality::PORT) => {
                let test = Test::parse(outer.payload).map_err(|_| Reason::SlowPath)?;
                let way = way.ok_or(Reason::NeighborUnknown)?;
                let answer = meter.reflect(now_ns, unix_ns, outer.packet.ttl, &test, &way, tables);
                self.send(Some(answer.ok_or(Reason::AnswerLimited)?));
                Ok(())
            }
            (quality::PORT, meter::SENDER_PORT) => {
                let answer = Reflected::parse(outer.payload).map_err(|_| Reason::SlowPath)?;
                meter.handle(now_ns, unix_ns, &answer).map_err(|_| Reason::SlowPath)
            }
            _ => Err(Reason::SlowPath),
        }
    }

    fn take_probe(&mut self, now_ns: u64, tables: &Tables, outer: &datagram::Udp) -> Result<(), Reason> {
        let found = wire::locate_keyed(outer.payload)?;
        let header = &found.header;
        let inner =
            datagram::Udp::of_packet(outer.payload.get(found.inner_at..).ok_or(Reason::OverlayInner)?)?;
        let version = outer.packet.version;
        let key = (header.path, header.source, version);
        let at = self.paths.iter().position(|path| path.key() == key).ok_or(Reason::SlowPath)?;
        let path = self.paths.get_mut(at).ok_or(Reason::SlowPath)?;
        let fits = found.control && inner.packet.src == path.far && inner.packet.dst == path.own;
        if !fits || !inner.is_intact() {
            return Err(Reason::OverlayInner);
        }
        let unix_ns = self.start.unix_offset_ns.wrapping_add(now_ns);
        match (inner.packet.src_port, inner.packet.dst_port) {
            // Only to a port that no reflector has: two of them would answer each other for ever.
            (port, quality::PORT) if port >= bfd::SOURCE_PORT_MIN => {
                let test = Test::parse(inner.payload).map_err(|_| Reason::OverlayInner)?;
                let answer = path.reflect(now_ns, unix_ns, header.hop_limit, &test);
                let answer = answer.ok_or(Reason::AnswerLimited)?;
                let bucket = wire::bucket(header.stream);
                let ports = (quality::PORT, port);
                let way = Way { tables, keys: &self.keys };
                let sent =
                    path.frame(&way, bucket, test.sequence, ports, &answer.to_bytes(), inner.payload.len());
                self.send(sent);
                Ok(())
            }
            (adaptive::PORT, adaptive::PORT) => {
                let report = Report::parse(inner.payload).map_err(|_| Reason::OverlayInner)?;
                if self.reports.len() >= REPORTS_MAX {
                    return Err(Reason::SlowPath);
                }
                self.reports.push_back((header.source, version, report));
                Ok(())
            }
            (quality::PORT, _) => {
                let answer = Reflected::parse(inner.payload).map_err(|_| Reason::OverlayInner)?;
                let taken = path.handle(now_ns, unix_ns, &answer);
                self.serve_path(now_ns, tables, at);
                self.judge();
                taken.map_err(|_| Reason::SlowPath)
            }
            _ => Err(Reason::OverlayInner),
        }
    }

    fn serve_link(&mut self, now_ns: u64, tables: &Tables, at: usize) {
        let Live { links, random, out, .. } = self;
        let Some(link) = links.get_mut(at) else { return };
        while let Some(frame) = link.poll(now_ns, tables, random) {
            if let Some(frame) = frame.filter(|_| out.len() < FRAMES_MAX) {
                out.push_back(frame);
            }
        }
        link.measure(now_ns, tables, random, |frame| {
            if out.len() < FRAMES_MAX {
                out.push_back(frame);
            }
        });
        let unix_ns = self.start.unix_offset_ns.wrapping_add(now_ns);
        if let Some(frame) = link.probe(now_ns, unix_ns, tables, random).filter(|_| out.len() < FRAMES_MAX) {
            out.push_back(frame);
        }
        self.next_ns = self.next_ns.min(link.timeout());
    }

    fn serve_path(&mut self, now_ns: u64, tables: &Tables, at: usize) {
        let unix_ns = self.start.unix_offset_ns.wrapping_add(now_ns);
        let Live { paths, random, out, keys, .. } = self;
        let way = Way { tables, keys };
        let Some(path) = paths.get_mut(at) else { return };
        if let Some(frame) =
            path.poll(now_ns, unix_ns, &way, random.next()).filter(|_| out.len() < FRAMES_MAX)
        {
            out.push_back(frame);
        }
        self.next_ns = self.next_ns.min(path.timeout(now_ns));
    }

    fn send(&mut self, frame: Option<(PortIndex, Vec<u8>)>) {
        if let Some(frame) = frame.filter(|_| self.out.len() < FRAMES_MAX) {
            self.out.push_back(frame);
        }
    }

    /// Brings [`Live::dead`] and [`Live::mtus`] up to date.
    fn judge(&mut self) {
        let mut dead = Dead::default();
        if self.judges {
            let links = self.links.iter().filter(|link| !link.health.phase().is_usable());
            dead.links = links.map(|link| (link.node, link.version)).collect();
            let is_cut = |path: &&Path| {
                let mut first = path.first_hops.iter().filter_map(|at| self.links.get(*at)).peekable();
                first.peek().is_some() && first.all(|link| !link.health.phase().is_usable())
            };
            let paths = self.paths.iter().filter(|path| !path.health.phase().is_usable() || is_cut(path));
            dead.paths = paths.map(Path::key).collect();
        }
        let mtus = mtu::mtus(&self.links);
        if dead != self.dead || mtus != self.mtus {
            (self.dead, self.mtus) = (dead, mtus);
            self.version += 1;
        }
    }
}

/// How long what was dead waits, as the topology says.
fn health(topology: &Topology) -> health::Settings {
    let (hold_down_ms, damping_seconds) =
        topology.liveness.map_or((0, 0), |liveness| (liveness.hold_down_ms, liveness.damping_seconds));
    health::Settings {
        hold_down_ns: u64::from(hold_down_ms) * 1_000_000,
        half_life_ns: u64::from(damping_seconds) * 1_000_000_000,
        grace_ns: GRACE_NS,
    }
}

/// The IP versions that packets between nodes have, by the applications.
fn versions(
    topology: &Topology,
    is_meant: impl Fn(&overlay::topology::Application) -> bool,
) -> Vec<IpVersion> {
    // A node that only forwards need not know any: packets have IPv4 where all nodes do, as applications have by default.
    if topology.applications.is_empty() {
        // Who is revoked has no address at all.
        let mut nodes = topology.nodes.iter().filter(|node| !node.underlay.is_empty());
        let all_have_v4 = nodes.all(|node| node.underlay(IpVersion::V4).is_some());
        return vec![if all_have_v4 { IpVersion::V4 } else { IpVersion::V6 }];
    }
    let used = |version: &IpVersion| {
        topology
            .applications
            .iter()
            .any(|application| application.underlay == *version && is_meant(application))
    };
    [IpVersion::V4, IpVersion::V6].into_iter().filter(used).collect()
}

/// The underlay addresses of this node and another, of one IP version.
fn addresses(topology: &Topology, node: NodeId, other: NodeId, version: IpVersion) -> Option<(Addr, Addr)> {
    let of = |node| Some(Addr::from(topology.node(node)?.underlay(version)?));
    Some((of(node)?, of(other)?))
}

/// Names a path to a node.
type Key = (PathId, NodeId, IpVersion);
