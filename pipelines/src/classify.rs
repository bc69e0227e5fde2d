//! Classification: what a frame is, and so which role has it.

use crate::batch::{Burst, Cause, PortIndex};
use crate::edge::Ingress;
use crate::emit::Context;
use crate::forwarder::Lanes;
use crate::gateway::Reply;
use crate::intermediate;
use crate::tables::Local;
use crate::terminate;
use overlay::wire::{self, GENEVE_PORT};
use packet::checksum::sum_ipv4_header;
use packet::ethernet::{self, TYPE_ARP, TYPE_IPV4, TYPE_IPV6};
use packet::icmp::{V6_NEIGHBOR_ADVERTISEMENT, V6_NEIGHBOR_SOLICITATION};
use packet::ip::{self, Fragment, Ipv4};
use packet::transport::{ICMPV6, UDP};
use packet::{Addr, BufPool, IpVersion, PacketBuf, Reason};

/// What becomes of a frame.
#[derive(Clone, Copy)]
enum Class {
    Ingress,
    Transit,
    Arrival,
    Reply,
    Discovery,
    Local,
}

/// Bytes of a UDP header.
const UDP_LEN: usize = 8;

/// Sorts a burst into the roles' lanes; what no role takes is punted or dropped.
#[inline(always)]
pub fn run<P: BufPool>(
    port: PortIndex,
    burst: &mut Burst<P::Buf>,
    lanes: &mut Lanes<P::Buf>,
    context: &mut Context<P>,
) {
    burst.iter().for_each(PacketBuf::prefetch);
    for buf in burst.drain(..) {
        match classify(port, buf.data(), lanes, context) {
            Ok(Class::Ingress) => lanes.ingress.take(buf),
            Ok(Class::Transit) => lanes.transit.take(buf),
            Ok(Class::Arrival) => match lanes.arrivals.last().map(|found| found.owner(context.workers)) {
                Some(owner) if owner != context.worker => {
                    lanes.arrivals.forget();
                    context.hand_off(buf, port, owner);
                }
                _ => lanes.arrivals.take(buf),
            },
            Ok(Class::Reply) => match lanes.replies.last().and_then(|found| found.owner(context.workers)) {
                Some(owner) if owner != context.worker => {
                    lanes.replies.forget();
                    context.hand_off(buf, port, owner);
                }
                _ => lanes.replies.take(buf),
            },
            Ok(Class::Discovery) => context.punt(buf, port, Cause::NeighborDiscovery),
            Ok(Class::Local) => context.punt(buf, port, Cause::Local),
            Err(reason) => context.drop(buf, reason),
        }
    }
}

/// Notes a frame in its lane; the caller moves its buffer there.
#[inline(always)]
fn classify<P: BufPool>(
    port: PortIndex,
    data: &[u8],
    lanes: &mut Lanes<P::Buf>,
    context: &Context<P>,
) -> Result<Class, Reason> {
    let frame = ethernet::parse(data)?;
    let own = context.tables.ports.get(port.0 as usize).ok_or(Reason::EthernetNotOurs)?;
    let group = match ethernet::destination(data) {
        Some(mac) if mac == own.mac => false,
        Some(mac) if mac.is_group() => true,
        _ => return Err(Reason::EthernetNotOurs),
    };
    if frame.vlan != own.vlan {
        return Err(Reason::Vlan);
    }
    if !group
        && let Some(outer) = plain_overlay(data)
        && let Some(Local::Underlay) = context.tables.local.get(outer.dst)
    {
        return overlay_packet(data, &outer, lanes, context);
    }
    let packet = match frame.ether_type {
        TYPE_IPV4 => ip::parse_v4(&data[frame.payload_at..])?,
        TYPE_IPV6 => ip::parse_v6(&data[frame.payload_at..])?,
        TYPE_ARP => return Ok(Class::Discovery),
        _ => return Err(Reason::EthernetType),
    };
    let discovery = packet.protocol == ICMPV6
        && matches!(packet.detail, V6_NEIGHBOR_SOLICITATION | V6_NEIGHBOR_ADVERTISEMENT);
    if discovery {
        return Ok(Class::Discovery);
    }
    // An IP packet in a group frame is for nobody here (RFC 1122 section 3.3.6), whatever address it names.
    if group {
        return Err(Reason::EthernetNotOurs);
    }
    let local = context.tables.local.get(packet.dst).ok_or(Reason::NoDestination)?;
    let at = frame.payload_at as u16;
    match local {
        Local::Vip(application) => {
            lanes.ingress.note(Ingress::admit(port, at, packet, application)?);
            Ok(Class::Ingress)
        }
        Local::Pool => {
            lanes.replies.note(Reply::admit(port, at, packet, &data[frame.payload_at..])?);
            Ok(Class::Reply)
        }
        Local::Underlay if packet.protocol == UDP && packet.dst_port == GENEVE_PORT => {
            if packet.fragment != Fragment::No {
                return Err(Reason::Fragment);
            }
            let geneve_at = at + packet.transport_at + UDP_LEN as u16;
            let place = Place { geneve_at, end: at + packet.len };
            let outer = Outer { src: packet.src, dst: packet.dst, version: packet.version, place };
            overlay_packet(data, &outer, lanes, context)
        }
        Local::Underlay | Local::Own => Ok(Class::Local),
    }
}

/// What the outer headers of an overlay packet say.
struct Outer {
    src: Addr,
    dst: Addr,
    version: IpVersion,
    place: Place,
}

/// The outer headers in the form that nodes send them almost always: untagged, IPv4 without options, not a fragment,
/// UDP to GENEVE's port that fills the packet. What looks otherwise is read the general way, to the same result.
#[inline(always)]
fn plain_overlay(data: &[u8]) -> Option<Outer> {
    const IP_AT: usize = ethernet::HEADER_LEN;
    const GENEVE_AT: usize = IP_AT + Ipv4::LEN + UDP_LEN;
    let head = data.first_chunk::<GENEVE_AT>()?;
    let u16_at = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
    let len = u16_at(IP_AT + 2);
    let end = IP_AT + len as usize;
    let plain = u16_at(12) == TYPE_IPV4
        && head[IP_AT] == 0x45
        && u16_at(IP_AT + 6) & Ipv4::FRAGMENT_MASK == 0
        && head[IP_AT + 9] == UDP
        && u16_at(IP_AT + 22) == GENEVE_PORT
        && u16_at(IP_AT + 24).checked_add(Ipv4::LEN as u16) == Some(len)
        && (GENEVE_AT..=data.len()).contains(&end);
    let ip = head.get(IP_AT..)?.first_chunk::<{ Ipv4::LEN }>()?;
    if !plain || sum_ipv4_header(ip) != 0xffff {
        return None;
    }
    let address = |at: usize| Addr::from_v4([ip[at], ip[at + 1], ip[at + 2], ip[at + 3]]);
    let place = Place { geneve_at: GENEVE_AT as u16, end: end as u16 };
    Some(Outer { src: address(12), dst: address(16), version: IpVersion::V4, place })
}

/// A packet of the overlay: for another node, or to be taken out here.
#[inline(always)]
fn overlay_packet<P: BufPool>(
    data: &[u8],
    outer: &Outer,
    lanes: &mut Lanes<P::Buf>,
    context: &Context<P>,
) -> Result<Class, Reason> {
    let sender = context.tables.members.get(outer.src).ok_or(Reason::OverlayNotMember)?;
    let place = outer.place;
    let geneve = data.get(place.geneve_at as usize..place.end as usize).ok_or(Reason::OverlayTruncated)?;
    let found = wire::locate(geneve)?;
    if found.header.vni != context.tables.overlay_id {
        return Err(Reason::OverlayNotMember);
    }
    if found.header.destination == context.tables.node {
        lanes.arrivals.note(terminate::admit(place, sender, &found, context)?);
        Ok(Class::Arrival)
    } else {
        lanes.transit.note(intermediate::admit(place, outer.version, sender, &found, context)?);
        Ok(Class::Transit)
    }
}

/// Where the overlay's part of a frame lies.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Where GENEVE starts, bytes from the frame's start.
    pub geneve_at: u16,
    /// Where the outer IP packet ends.
    pub end: u16,
}

/// Whether a packet came into a path from the hop that lies before this node on it: an end's or an intermediate's
/// region, towards `destination`.
#[inline(always)]
pub fn came_along(
    tables: &crate::Tables,
    before: Option<overlay::topology::RegionIndex>,
    sender: overlay::topology::NodeId,
) -> bool {
    before.is_some() && tables.peer(sender).map(|peer| peer.region) == before
}

/// An address that no packet may claim as its source when it comes from a client or an origin: one of the node's
/// own.
#[inline(always)]
pub fn is_own(tables: &crate::Tables, address: Addr) -> bool {
    tables.local.get(address).is_some()
}
