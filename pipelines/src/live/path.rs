//! One path to one node at its other end: probes that go the way of the data, and the answers to the other end's.
//!
//! A probe is an overlay packet with GENEVE's O bit. Each has the tuple of another bucket's stream in turn, so that
//! all ways by which the underlay and regions with several nodes spread the path's data are tested, and one of several
//! sizes.

use overlay::bfd;
use overlay::health::Health;
use overlay::quality::{self, PORT, Reflected, Reflector, Refusal, Sender, Stats, Test, stamp};
use overlay::seal::SealTable;
use overlay::topology::{IpVersion, NodeId, PathId, Topology};
use overlay::wire::{
    CONTROL, CONTROL_AT, HEADER_LEN, HOP_LIMIT_DEFAULT, Header, PROTOCOL_REPLICATE, stream_id,
};
use packet::Addr;
use std::sync::Arc;

use super::{Key, Link, addresses, health, versions};
use crate::PortIndex;
use crate::datagram::Headers;
use crate::seal;
use crate::tables::{self, Tables};

/// Paths watched at most, the first of the topology: each takes 60 KiB for its distributions.
const PATHS_MAX: usize = 1024;
/// TTL of the packet inside a probe (RFC 8762 section 4.1.1).
const TTL: u8 = 255;

/// A path to a node.
pub struct Path {
    /// The path.
    pub path: PathId,
    /// The node at its other end.
    pub peer: NodeId,
    /// IP version of the underlay.
    pub version: IpVersion,
    /// Whether its probes come back; without probes, what its links say decides alone.
    pub health: Health,
    /// Probes sent.
    pub sent: u64,
    /// Probes of the other end that were answered.
    pub reflected: u64,
    pub(super) own: Addr,
    pub(super) far: Addr,
    /// The links to the nodes of the path's first region, as positions in the list of links.
    pub(super) first_hops: Vec<usize>,
    /// 1 from edge to gateway, 0 back.
    towards: usize,
    probes: Option<Probes>,
    sizes: Arc<[u16]>,
}

/// Both halves of the test session.
struct Probes {
    sender: Sender,
    reflector: Reflector,
}

impl Path {
    pub(super) fn key(&self) -> Key {
        (self.path, self.peer, self.version)
    }

    /// What the probes say; `None` where there are none.
    pub fn stats(&self) -> Option<&Stats> {
        self.probes.as_ref().map(|probes| probes.sender.stats())
    }

    pub(super) fn reflect(&mut self, now_ns: u64, unix_ns: u64, ttl: u8, test: &Test) -> Option<Reflected> {
        let answer = self.probes.as_mut()?.reflector.reflect(now_ns, unix_ns, ttl, test)?;
        self.reflected += 1;
        Some(answer)
    }

    pub(super) fn handle(&mut self, now_ns: u64, unix_ns: u64, answer: &Reflected) -> Result<(), Refusal> {
        self.probes.as_mut().ok_or(Refusal::NotOurs)?.sender.handle(now_ns, unix_ns, answer)
    }

    /// The probe that is due, if there is one and it can be sent.
    pub(super) fn poll(
        &mut self,
        now_ns: u64,
        unix_ns: u64,
        way: &Way,
        random: u64,
    ) -> Option<(PortIndex, Vec<u8>)> {
        let probes = self.probes.as_mut()?;
        let test = probes.sender.poll(now_ns, unix_ns, random);
        let alive = probes.sender.is_alive(now_ns);
        self.health.update(now_ns, alive);
        let test = test?;
        let bucket = (test.sequence % u32::from(way.tables.streams.max(1))) as u8;
        let ports = (bfd::SOURCE_PORT_MIN | self.path.0, PORT);
        let headers = if self.version == IpVersion::V4 { 28 } else { 48 };
        let size = match self.sizes.len() {
            0 => 0,
            len => self.sizes.get(test.sequence as usize % len).copied().unwrap_or(0),
        };
        let len = usize::from(size).saturating_sub(headers);
        let frame = self.frame(way, bucket, test.sequence, ports, &test.to_bytes(), len)?;
        self.sent += 1;
        Some(frame)
    }

    pub(super) fn timeout(&self, now_ns: u64) -> u64 {
        let Some(probes) = &self.probes else { return u64::MAX };
        // A deadline that has passed has had its effect.
        let deadline = probes.sender.deadline_ns().filter(|deadline| *deadline > now_ns);
        let until = self.health.timeout().filter(|until| *until > now_ns);
        [deadline, until].into_iter().flatten().fold(probes.sender.timeout(), u64::min)
    }

    /// A probe or an answer as it leaves, as data of this bucket would; `None` without a way there.
    pub(super) fn frame(
        &self,
        way: &Way,
        bucket: u8,
        sequence: u32,
        ports: (u16, u16),
        payload: &[u8],
        len: usize,
    ) -> Option<(PortIndex, Vec<u8>)> {
        let Way { tables, keys } = *way;
        let links = &tables.path(self.path)?.next[self.towards][(self.version == IpVersion::V6) as usize];
        let link = tables.links.get(*links.get(usize::from(bucket) % links.len().max(1))? as usize)?;
        let headers = Headers { from: self.own, to: self.far, ports, class: 0, ttl: TTL };
        let mtu = usize::from(link.mtu()).saturating_sub(link.ip_len(HEADER_LEN));
        let room = mtu.saturating_sub(if self.version == IpVersion::V4 { 28 } else { 48 });
        let inner = headers.packet(payload, len.min(room).max(stamp::LEN));
        let header = Header {
            vni: tables.overlay_id,
            inner: self.version,
            protocol: PROTOCOL_REPLICATE,
            copies: 0,
            hop_limit: HOP_LIMIT_DEFAULT,
            source: tables.node,
            destination: self.peer,
            authenticator: 0,
            stream: stream_id(0, bucket),
            path: self.path,
            epoch: 0,
            path_sequence: 0,
            sequence: sequence.into(),
        };
        let mut bytes = [0; HEADER_LEN];
        header.write(&mut bytes);
        bytes[CONTROL_AT] |= CONTROL;
        link.egress.mac?;
        let mut frame = vec![0; link.template.header_len()];
        frame.extend(bytes);
        frame.extend(inner);
        link.template.write_link(&mut frame, tables::Link::source_port(stream_id(0, bucket)));
        seal::authenticate(keys, link.to, frame.get_mut(link.template.header_len()..)?).ok()?;
        Some((link.egress.hop.port, frame))
    }
}

/// What probes leave by: the tables, and the keys of the links.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    pub(super) tables: &'a Tables,
    pub(super) keys: &'a SealTable,
}

/// Brings the sessions in line with a topology; those that stay, go on.
pub(super) fn reconfigure(
    paths: &mut Vec<Path>,
    links: &[Link],
    now_ns: u64,
    topology: &Topology,
    node: NodeId,
) {
    let mut before = core::mem::take(paths);
    let Some(this) = topology.node(node) else { return };
    if topology.liveness.is_none() && topology.quality.is_none() {
        return;
    }
    let sizes: Arc<[u16]> =
        topology.quality.iter().flat_map(|quality| quality.packet_bytes.clone()).collect();
    let settings = topology.quality.as_ref().map(|quality| quality::Settings {
        interval_ns: u64::from(quality.interval_ms) * 1_000_000,
        multiplier: topology.liveness.map_or(3, |liveness| liveness.multiplier),
    });
    for set in &topology.path_sets {
        let here = [
            (set.edge == this.region && this.roles.edge, set.gateway, 1),
            (set.gateway == this.region && this.roles.gateway, set.edge, 0),
        ];
        for (_, far, towards) in here.into_iter().filter(|(is_end, ..)| *is_end) {
            let peers = topology.nodes.iter().filter(|peer| {
                let has_role = if towards == 1 { peer.roles.gateway } else { peer.roles.edge };
                peer.region == far && has_role
            });
            let at_edge = |id| topology.node(id).is_some_and(|node| node.region == set.edge);
            let versions = versions(topology, |application| {
                application.gateway == set.gateway && application.vips.iter().any(|vip| at_edge(vip.node))
            });
            for (peer, path) in peers.flat_map(|peer| set.paths.iter().map(move |path| (peer, path))) {
                for version in &versions {
                    let Some((own, far)) = addresses(topology, node, peer.id, *version) else { continue };
                    if paths.len() == PATHS_MAX {
                        return;
                    }
                    let first = if towards == 1 { path.via.first() } else { path.via.last() };
                    let stands_first = |link: &Link| {
                        let region = topology.node(link.node).map(|node| node.region);
                        link.version == *version && region == first.copied()
                    };
                    let first_hops = (0..links.len()).filter(|at| stands_first(&links[*at])).collect();
                    let key = (path.id, peer.id, *version);
                    let kept = before.iter().position(|path| path.key() == key && path.far == far);
                    let kept = kept.map(|at| before.swap_remove(at));
                    let (health, probes, sent, reflected) = match kept {
                        Some(kept) => (kept.health, kept.probes, kept.sent, kept.reflected),
                        None => (Health::new(now_ns, health(topology)), None, 0, 0),
                    };
                    paths.push(Path {
                        path: path.id,
                        peer: peer.id,
                        version: *version,
                        health,
                        sent,
                        reflected,
                        own,
                        far,
                        first_hops,
                        towards,
                        probes: settings.map(|settings| Probes::renew(probes, now_ns, settings, path.id)),
                        sizes: sizes.clone(),
                    });
                    if let Some(path) = paths.last_mut() {
                        path.health.configure(self::health(topology));
                    }
                }
            }
        }
    }
}

impl Probes {
    /// The probes as they are, or new ones, with these settings.
    fn renew(before: Option<Probes>, now_ns: u64, settings: quality::Settings, path: PathId) -> Probes {
        match before {
            Some(mut probes) => {
                probes.sender.configure(settings);
                probes
            }
            None => Probes {
                sender: Sender::new(now_ns, settings, path.0),
                reflector: Reflector::new(settings.interval_ns),
            },
        }
    }
}
