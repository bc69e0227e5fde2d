//! The link to one neighbouring node: a BFD session between both underlay addresses.

use overlay::bfd::{self, Packet, Refusal, Session, State};
use overlay::health::{Health, Phase};
use overlay::neighbors::Neighbors;
use overlay::quality;
use overlay::topology::{IpVersion, NodeId, Topology};
use packet::Addr;

use super::meter::{self, Meter};
use super::mtu::{Measured, Way};
use super::random::Random;
use super::{addresses, health, versions};
use crate::PortIndex;
use crate::datagram::{self, Headers};
use crate::tables::Tables;

/// Links watched at most, the first of the topology.
const LINKS_MAX: usize = 4096;
/// Links probed at most, the first of the topology: each takes 60 KiB for its distributions.
const METERS_MAX: usize = 1024;
/// Class selector 6, network control (RFC 4594 section 3.1).
const NETWORK_CONTROL: u8 = 0xc0;

/// A link.
pub struct Link {
    /// The node at its other end.
    pub node: NodeId,
    /// IP version of the underlay.
    pub version: IpVersion,
    /// This node's underlay address.
    pub own: Addr,
    /// The other node's.
    pub peer: Addr,
    /// The session.
    pub session: Session,
    /// Whether it is used.
    pub health: Health,
    /// Packets sent.
    pub sent: u64,
    /// Packets received that counted.
    pub received: u64,
    /// Packets received that did not.
    pub refused: u64,
    /// What it carries.
    pub measured: Measured,
    /// How good it is; none where probes are off.
    pub meter: Option<Meter>,
    was_up: bool,
}

impl Link {
    pub(super) fn handle(&mut self, now_ns: u64, packet: &Packet) -> Result<(), Refusal> {
        let taken = self.session.handle(now_ns, packet);
        match taken {
            Ok(()) => self.received += 1,
            Err(_) => self.refused += 1,
        }
        taken
    }

    /// The next frame, to be called until there is none; one that can not be sent yet is `Some(None)`.
    pub(super) fn poll(
        &mut self,
        now_ns: u64,
        tables: &Tables,
        random: &mut Random,
    ) -> Option<Option<(PortIndex, Vec<u8>)>> {
        let packet = self.session.poll(now_ns, random.next());
        let is_up = self.session.state() == State::Up;
        self.was_up |= is_up;
        // What was never up is not dead yet, but unknown.
        let before = self.health.phase();
        self.health.update(now_ns, self.was_up.then_some(is_up));
        if before != Phase::Up && self.health.phase() == Phase::Up {
            self.meter.iter_mut().for_each(|meter| meter.restart(now_ns));
        }
        packet.map(|packet| {
            let headers = Headers {
                from: self.own,
                to: self.peer,
                ports: (bfd::SOURCE_PORT_MIN | self.node.0, bfd::PORT),
                class: NETWORK_CONTROL,
                ttl: 255,
            };
            let link = tables.peer(self.node)?.link[(self.version == IpVersion::V6) as usize]?;
            let egress = tables.links.get(link as usize)?.egress;
            let frame = datagram::ethernet(tables, egress, &headers.packet(&packet.to_bytes(), 0))?;
            self.sent += 1;
            Some(frame)
        })
    }

    /// Sends the probes of its MTU that are due.
    pub(super) fn measure(
        &mut self,
        now_ns: u64,
        tables: &Tables,
        random: &mut Random,
        send: impl FnMut((PortIndex, Vec<u8>)),
    ) {
        if let Some(way) = Way::of(self, tables) {
            self.measured.poll(now_ns, tables, way, self.version, || random.next(), send);
        }
    }

    /// Sends the probe of its quality that is due.
    pub(super) fn probe(
        &mut self,
        now_ns: u64,
        unix_ns: u64,
        tables: &Tables,
        random: &mut Random,
    ) -> Option<(PortIndex, Vec<u8>)> {
        let way = Way::of(self, tables)?;
        self.meter.as_mut()?.poll(now_ns, unix_ns, random.next(), &way, tables)
    }

    pub(super) fn timeout(&self) -> u64 {
        let health = self.health.timeout().unwrap_or(u64::MAX);
        let meter = self.meter.as_ref().map_or(u64::MAX, Meter::timeout);
        health.min(self.session.timeout()).min(self.measured.timeout()).min(meter)
    }
}

/// Brings the sessions in line with a topology; those that stay, go on.
pub(super) fn reconfigure(
    links: &mut Vec<Link>,
    now_ns: u64,
    topology: &Topology,
    node: NodeId,
    random: &mut Random,
) {
    let mut before = core::mem::take(links);
    let Some(liveness) = topology.liveness else { return };
    let settings = bfd::Settings {
        interval_us: liveness.interval_ms.saturating_mul(1000),
        multiplier: liveness.multiplier,
    };
    let interval_ns = u64::from(liveness.interval_ms) * 1_000_000;
    let probing = topology.quality.as_ref().map(|quality| quality::Settings {
        interval_ns: u64::from(quality.interval_ms) * 1_000_000,
        multiplier: liveness.multiplier,
    });
    for other in Neighbors::new(topology).of(node) {
        for version in versions(topology, |_| true) {
            let Some((own, peer)) = addresses(topology, node, other, version) else { continue };
            if links.len() == LINKS_MAX {
                return;
            }
            let probing = probing.filter(|_| links.len() < METERS_MAX);
            if let Some(at) = before.iter().position(|link| link.own == own && link.peer == peer) {
                let mut link = before.swap_remove(at);
                link.node = other;
                link.session.configure(settings);
                link.measured.configure(interval_ns);
                link.health.configure(health(topology));
                link.meter = meter::renew(link.meter.take(), now_ns, probing, other.0);
                links.push(link);
                continue;
            }
            links.push(Link {
                node: other,
                version,
                own,
                peer,
                session: Session::new(now_ns, settings, random.next() as u32),
                health: Health::new(now_ns, health(topology)),
                sent: 0,
                received: 0,
                refused: 0,
                measured: Measured::new(interval_ns),
                meter: meter::renew(None, now_ns, probing, other.0),
                was_up: false,
            });
        }
    }
}
