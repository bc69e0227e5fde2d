//! The MTU of the link to one neighbouring node, and of paths behind it.

use overlay::plpmtud::{self, Ack, PORT, PROBE_LEN, Plpmtud, Probe};
use overlay::topology::{IpVersion, NodeId, PathId};
use packet::{Addr, Reason};

use super::Link;
use crate::PortIndex;
use crate::datagram::{self, Headers};
use crate::tables::{Egress, Mtus, Tables};

/// Until a link that was found narrow is tried with more, ns (RFC 8899 section 5.1.1).
const RAISE_NS: u64 = 600_000_000_000;
/// Class selector 0: probes shall meet what data meets.
const CLASS: u8 = 0;
const TTL: u8 = 255;

/// What a link carries.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The search, once the link's port is known.
    machine: Option<Plpmtud>,
    interval_ns: u64,
    /// What the other end says of paths behind it.
    onward: Vec<(PathId, u16)>,
    /// Probes sent.
    pub sent: u64,
    /// Probes acknowledged.
    pub acknowledged: u64,
}

/// Both addresses of a link, and how to send there.
#[derive(Clone, Copy)]
pub(super) struct Way {
    pub(super) own: Addr,
    pub(super) peer: Addr,
    pub(super) egress: Egress,
}

fn headers_len(version: IpVersion) -> usize {
    if version == IpVersion::V4 { 28 } else { 48 }
}

impl Way {
    pub(super) fn of(link: &Link, tables: &Tables) -> Option<Way> {
        let at = tables.peer(link.node)?.link[(link.version == IpVersion::V6) as usize]?;
        let egress = tables.links.get(at as usize)?.egress;
        Some(Way { own: link.own, peer: link.peer, egress })
    }

    fn frame(&self, tables: &Tables, payload: &[u8], len: usize) -> Option<(PortIndex, Vec<u8>)> {
        let headers = Headers { from: self.own, to: self.peer, ports: (PORT, PORT), class: CLASS, ttl: TTL };
        datagram::ethernet(tables, self.egress, &headers.packet(payload, len))
    }

    /// The answer to a probe whose payload had `len` bytes.
    pub(super) fn answer(&self, tables: &Tables, ack: &Ack, len: usize) -> Option<(PortIndex, Vec<u8>)> {
        self.frame(tables, &ack.to_bytes(len), 0)
    }
}

impl Measured {
    pub(super) fn new(interval_ns: u64) -> Measured {
        Measured { machine: None, interval_ns, onward: Vec::new(), sent: 0, acknowledged: 0 }
    }

    pub(super) fn configure(&mut self, interval_ns: u64) {
        self.interval_ns = interval_ns;
    }

    /// The search; `None` before there is a way to the node.
    pub fn search(&self) -> Option<&Plpmtud> {
        self.machine.as_ref()
    }

    /// Bytes from the other end on along a path.
    pub(super) fn onward(&self, path: PathId) -> u16 {
        self.onward.iter().find(|(at, _)| *at == path).map_or(u16::MAX, |(_, mtu)| *mtu)
    }

    pub(super) fn mtu(&self) -> u16 {
        self.machine.as_ref().map_or(u16::MAX, Plpmtud::mtu)
    }

    /// The probes that are due.
    pub(super) fn poll(
        &mut self,
        now_ns: u64,
        tables: &Tables,
        way: Way,
        version: IpVersion,
        mut random: impl FnMut() -> u64,
        mut send: impl FnMut((PortIndex, Vec<u8>)),
    ) {
        let settings = plpmtud::Settings { interval_ns: self.interval_ns, raise_ns: RAISE_NS };
        let machine = self
            .machine
            .get_or_insert_with(|| Plpmtud::new(now_ns, settings, plpmtud::base(version), way.egress.mtu));
        machine.configure(now_ns, settings, way.egress.mtu);
        while let Some((size, token)) = machine.poll(now_ns, random()) {
            let len = usize::from(size).saturating_sub(headers_len(version)).max(PROBE_LEN);
            if let Some(frame) = way.frame(tables, &Probe { token }.to_bytes(), len) {
                self.sent += 1;
                send(frame);
            }
        }
    }

    pub(super) fn timeout(&self) -> u64 {
        self.machine.as_ref().map_or(u64::MAX, Plpmtud::timeout)
    }

    pub(super) fn handle(&mut self, now_ns: u64, ack: Ack) -> Result<(), Reason> {
        let machine = self.machine.as_mut().ok_or(Reason::SlowPath)?;
        if !machine.handle(now_ns, ack.token) {
            return Err(Reason::SlowPath);
        }
        self.acknowledged += 1;
        self.onward = ack.onward;
        Ok(())
    }
}

/// What packets of a node's paths may have behind this one: the least of all links by which they may go on.
pub(super) fn onward(
    links: &[Link],
    tables: &Tables,
    asker: NodeId,
    version: IpVersion,
) -> Vec<(PathId, u16)> {
    let Some(from) = tables.peer(asker).map(|peer| peer.region) else { return Vec::new() };
    let mut told = Vec::new();
    for (number, entry) in tables.paths.iter().enumerate() {
        let path = PathId(number as u16);
        let beside = entry.as_deref().map_or([None, None], |entry| entry.beside);
        let next = match beside {
            [Some(before), next] if before == from => next,
            [next, Some(before)] if before == from => next,
            _ => continue,
        };
        let Some(next) = next else { continue };
        let there = |link: &&Link| {
            link.version == version && tables.peer(link.node).is_some_and(|peer| peer.region == next)
        };
        let links = links.iter().filter(there);
        let least = links.map(|link| link.measured.mtu().min(link.measured.onward(path))).min();
        told.extend(least.filter(|mtu| *mtu < u16::MAX).map(|mtu| (path, mtu)));
    }
    told
}

/// What is narrower than ports and links would let expect, for the tables: nothing, most of the time.
pub(super) fn mtus(links: &[Link]) -> Mtus {
    let mut mtus = Mtus::default();
    for link in links {
        let search = link.measured.search().filter(|search| search.is_narrow());
        mtus.links.extend(search.map(|search| (link.node, link.version, search.mtu())));
        let onward = link.measured.onward.iter().filter(|(_, mtu)| *mtu < link.measured.mtu());
        mtus.onward.extend(onward.map(|(path, mtu)| (link.node, link.version, *path, *mtu)));
    }
    mtus
}
