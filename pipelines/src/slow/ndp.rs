//! Neighbour discovery (RFC 4861) for hosts' needs: solicitations and advertisements, no routers' messages.
//!
//! ```text
//! +------+------+----------+---------------------------------------+
//! | type | code | checksum | R S O and reserved bits               |
//! +------+------+----------+---------------------------------------+
//! | target address (16 bytes)                                      |
//! +---------------------------------------------------------------+
//! | options: type, length in units of 8 bytes, content …           |
//! +---------------------------------------------------------------+
//! ```

use packet::icmp::{V6_NEIGHBOR_ADVERTISEMENT, V6_NEIGHBOR_SOLICITATION};
use packet::ip::{Fragment, Packet};
use packet::{Addr, IpVersion, Mac, Reason, checksum, ethernet, transport};

use super::{SlowPath, frame};
use crate::PortIndex;

const SOURCE_LINK_LAYER: u8 = 1;
const TARGET_LINK_LAYER: u8 = 2;
const MESSAGE_LEN: usize = 24;
/// Proof that no router was between (RFC 4861 section 3.1).
const HOP_LIMIT: u8 = 255;
/// Flags of an advertisement. The node forwards, but it is nobody's default router: no R.
const SOLICITED: u8 = 0x40;
const OVERRIDE: u8 = 0x20;
/// All nodes on the link: ff02::1.
const ALL_NODES: [u8; 16] = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];

/// Whether this is a message of neighbour discovery that a host handles.
pub(super) fn is_neighbor_discovery(packet: &Packet) -> bool {
    packet.version == IpVersion::V6
        && packet.protocol == transport::ICMPV6
        && matches!(packet.detail, V6_NEIGHBOR_SOLICITATION | V6_NEIGHBOR_ADVERTISEMENT)
}

impl SlowPath {
    /// `message` is the ICMPv6 message from its type on.
    pub(super) fn handle_ndp(
        &mut self,
        now_ns: u64,
        port: PortIndex,
        packet: &Packet,
        message: &[u8],
    ) -> Result<(), Reason> {
        let (target, options) = validate(packet, message).ok_or(Reason::SlowPath)?;
        if self.own.answers(port, packet.src) {
            self.counters.conflicts += 1;
            return Err(Reason::SlowPath);
        }
        if packet.detail == V6_NEIGHBOR_SOLICITATION {
            self.handle_solicitation(now_ns, port, packet, target, options.source)
        } else {
            self.handle_advertisement(now_ns, port, packet, target, message[4], options.target)
        }
    }

    fn handle_solicitation(
        &mut self,
        now_ns: u64,
        port: PortIndex,
        packet: &Packet,
        target: Addr,
        source_mac: Option<Mac>,
    ) -> Result<(), Reason> {
        let unspecified = packet.src == Addr::UNSPECIFIED;
        // RFC 4861 section 7.1.1: duplicate address detection carries no source address and goes to the group.
        if unspecified && (source_mac.is_some() || packet.dst != solicited_node(target)) {
            return Err(Reason::SlowPath);
        }
        // RFC 4861 section 4.3: who has an address names its link-layer address to a group. A shorter question would have
        // a longer answer.
        if !unspecified && source_mac.is_none() && is_multicast(packet.dst) {
            return Err(Reason::SlowPath);
        }
        let is_for_us = self.own.answers(port, target);
        if let Some(mac) = source_mac
            && self.own.on_link(port, packet.src)
        {
            let held = self.neighbors.heard(now_ns, port, packet.src, mac, is_for_us);
            self.learned(port, mac, held);
        }
        if !is_for_us {
            return Ok(());
        }
        if !self.ndp_rate.take(now_ns, packet.src) {
            return Err(Reason::AnswerLimited);
        }
        let flags = SOLICITED | OVERRIDE;
        match source_mac {
            // RFC 4861 section 7.2.4: whoever has no address yet is answered through the group of all nodes.
            None if unspecified => self.announce_ndp(port, target),
            Some(mac) => self.send_advertisement(port, target, packet.src, mac, flags),
            // The same section: one station, which holds the link-layer address already, needs no option. Where it is not
            // known itself, it asks the group in the end, and names its own.
            None => {
                let mac = self.neighbors.mac(port, packet.src).ok_or(Reason::SlowPath)?;
                let message = bare(V6_NEIGHBOR_ADVERTISEMENT, flags, target);
                self.send_message(port, mac, target, packet.src, &message);
            }
        }
        Ok(())
    }

    fn handle_advertisement(
        &mut self,
        now_ns: u64,
        port: PortIndex,
        packet: &Packet,
        target: Addr,
        flags: u8,
        target_mac: Option<Mac>,
    ) -> Result<(), Reason> {
        let solicited = flags & SOLICITED != 0;
        // RFC 4861 section 7.1.2: an answer to a question is never sent to a group.
        if solicited && is_multicast(packet.dst) {
            return Err(Reason::SlowPath);
        }
        if self.own.answers(port, target) {
            self.counters.conflicts += 1;
            return Err(Reason::SlowPath);
        }
        // RFC 4861 section 7.2.5: without the option it can only confirm what is known.
        let known = self.neighbors.mac(port, target);
        let mac = target_mac.or(known).ok_or(Reason::SlowPath)?;
        if known.is_some_and(|known| known != mac) && flags & OVERRIDE == 0 {
            self.neighbors.doubt(now_ns, port, target);
            return Ok(());
        }
        let held = if solicited && self.own.answers(port, packet.dst) {
            self.neighbors.confirmed(now_ns, port, target, mac)
        } else {
            self.neighbors.heard(now_ns, port, target, mac, false)
        };
        self.learned(port, mac, held);
        Ok(())
    }

    /// Asks for a neighbour: its solicited-node group, or only the station that held the address last.
    pub(super) fn send_solicitation(&mut self, port: PortIndex, addr: Addr, mac: Option<Mac>) {
        let Some(source) = self.own.source_for(port, addr) else { return };
        let (dst, to) = match mac {
            Some(mac) => (addr, mac),
            None => (solicited_node(addr), group_mac(solicited_node(addr))),
        };
        let message = self.message(port, V6_NEIGHBOR_SOLICITATION, 0, addr, SOURCE_LINK_LAYER);
        self.send_message(port, to, source, dst, &message);
    }

    /// Tells everyone that an address is here (RFC 4861 section 7.2.6).
    pub(super) fn announce_ndp(&mut self, port: PortIndex, addr: Addr) {
        let all_nodes = Addr::from_v6(ALL_NODES);
        self.send_advertisement(port, addr, all_nodes, group_mac(all_nodes), OVERRIDE);
    }

    fn send_advertisement(&mut self, port: PortIndex, target: Addr, dst: Addr, to: Mac, flags: u8) {
        let message = self.message(port, V6_NEIGHBOR_ADVERTISEMENT, flags, target, TARGET_LINK_LAYER);
        self.send_message(port, to, target, dst, &message);
    }

    fn message(&self, port: PortIndex, kind: u8, flags: u8, target: Addr, option: u8) -> Vec<u8> {
        let mut message = bare(kind, flags, target);
        message.extend([option, 1]);
        message.extend(self.ports[port.0 as usize].mac.0);
        message
    }

    fn send_message(&mut self, port: PortIndex, to: Mac, src: Addr, dst: Addr, message: &[u8]) {
        let mut frame = frame::begin(&self.ports[port.0 as usize], to, ethernet::TYPE_IPV6);
        frame::push_icmpv6(&mut frame, src, dst, HOP_LIMIT, message);
        self.send(port, frame::finish(frame));
    }
}

/// A message without options.
fn bare(kind: u8, flags: u8, target: Addr) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    message.extend(target.v6_bytes());
    message
}

/// The link-layer addresses that a message's options name.
#[derive(Default)]
struct Options {
    source: Option<Mac>,
    target: Option<Mac>,
}

/// The checks of RFC 4861 sections 7.1.1 and 7.1.2 that both messages share: target and options if all hold.
fn validate(packet: &Packet, message: &[u8]) -> Option<(Addr, Options)> {
    let pseudo = checksum::pseudo_header(packet.src, packet.dst, transport::ICMPV6, message.len() as u32);
    let sum_is_right = checksum::sum_onto(pseudo, message) == 0xffff;
    let code = *message.get(1)?;
    if packet.ttl != HOP_LIMIT || code != 0 || !sum_is_right || packet.fragment != Fragment::No {
        return None;
    }
    let target = Addr::from_v6(*message.get(8..MESSAGE_LEN)?.first_chunk()?);
    if is_multicast(target) || target == Addr::UNSPECIFIED || target.is_v4() {
        return None;
    }
    let mut options = Options::default();
    let mut rest = &message[MESSAGE_LEN..];
    while let [kind, units, ..] = *rest {
        let len = units as usize * 8;
        // An option of length zero makes the whole message void (RFC 4861 section 4.6).
        let content = rest.get(2..len)?;
        let mac = || {
            content.first_chunk().map(|bytes| Mac(*bytes)).filter(|mac| !mac.is_group() && mac.0 != [0; 6])
        };
        match kind {
            SOURCE_LINK_LAYER => options.source = Some(mac()?),
            TARGET_LINK_LAYER => options.target = Some(mac()?),
            _ => {}
        }
        rest = &rest[len..];
    }
    rest.is_empty().then_some((target, options))
}

/// The group in which a station listens for solicitations of its address (RFC 4291 section 2.7.1).
fn solicited_node(addr: Addr) -> Addr {
    let mut group = [0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, 0, 0, 0];
    group[13..].copy_from_slice(&addr.v6_bytes()[13..]);
    Addr::from_v6(group)
}

fn group_mac(group: Addr) -> Mac {
    Mac::for_ipv6_multicast(group.v6_bytes().into())
}

fn is_multicast(addr: Addr) -> bool {
    !addr.is_v4() && addr.to_bits() >> 120 == 0xff
}
