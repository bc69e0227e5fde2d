//! Classification: what a frame is, and so which role has it.

use crate::batch::{Burst, Cause, Lane, PortIndex};
use crate::edge::{Ingress, may_enter};
use crate::emit::Context;
use crate::forwarder::{Lanes, Stores};
use crate::gateway::Reply;
use crate::intermediate::{self, Copy, Express, Transit};
use crate::keyed::Destination;
use crate::keys;
use crate::known::{self, Answer, Known, Passing};
use crate::seal;
use crate::tables::{Local, Port};
use crate::terminate;
use crate::trace::Mark;
use overlay::bfd;
use overlay::lease;
use overlay::linkstate;
use overlay::plpmtud;
use overlay::quality;
use overlay::topology::{NodeId, RegionIndex};
use overlay::wire::{self, GENEVE_PORT, TracePlace};
use packet::ethernet::{self, TYPE_ARP, TYPE_IPV4, TYPE_IPV6};
use packet::icmp::{V6_NEIGHBOR_ADVERTISEMENT, V6_NEIGHBOR_SOLICITATION};
use packet::ip::{self, Fragment, Packet};
use packet::plain::Plain;
use packet::transport::{ICMPV6, UDP};
use packet::{Addr, BufPool, Headers, PacketBuf, Reason};

/// What becomes of a frame that is read the general way.
enum Class {
    Ingress,
    Reply,
    Transit(Copy, Transit),
    Traced(Copy, Transit, Mark),
    Arrival,
    Discovery,
    Local,
    Liveness,
    Keys,
    LinkState,
    Takeover,
}

/// Bytes of a UDP header.
const UDP_LEN: usize = 8;

/// Sorts a burst into the roles' lanes, and sends on what goes on to another node; what no role takes is punted or
/// dropped.
#[inline(always)]
pub fn run<P: BufPool>(
    port: PortIndex,
    burst: &mut Burst<P::Buf>,
    lanes: &mut Lanes<P::Buf>,
    known: &mut Known,
    stores: Stores,
    context: &mut Context<P>,
) {
    let Some(own) = context.tables.ports.get(port.0 as usize) else {
        return burst.drain(..).for_each(|buf| context.drop(buf, Reason::EthernetNotOurs));
    };
    burst.iter().for_each(PacketBuf::prefetch);
    let ours = Ours::of(own);
    for buf in burst.drain(..) {
        if let Some((answer, passing)) = known.find(port, buf.data()) {
            pass(port, buf, answer, passing, lanes, context);
        } else if let Some(packet) = plain(ours, buf.data()) {
            sort_plain(port, buf, packet, lanes, known, stores, context);
        } else {
            sort_any(port, own, buf, lanes, stores, context);
        }
    }
}

/// The first six bytes of untagged frames to a port, as one word: compared at once, and read before the burst.
#[derive(Clone, Copy)]
struct Ours(u64);

impl Ours {
    /// No frame's: the two bytes behind are not compared.
    const NOBODY: Ours = Ours(u64::MAX);
    const MASK: u64 = u64::from_ne_bytes([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0]);

    #[inline(always)]
    fn of(own: &Port) -> Ours {
        let [a, b, c, d, e, f] = own.mac.0;
        if own.vlan == 0 { Ours(u64::from_ne_bytes([a, b, c, d, e, f, 0, 0])) } else { Ours::NOBODY }
    }

    #[inline(always)]
    fn has(self, first: &[u8; 8]) -> bool {
        u64::from_ne_bytes(*first) & Ours::MASK == self.0
    }
}

/// A plain packet in an untagged frame to this node, which is what nearly all frames hold.
#[inline(always)]
fn plain(ours: Ours, data: &[u8]) -> Option<Plain> {
    let (head, payload) = data.split_first_chunk::<{ ethernet::HEADER_LEN }>()?;
    let is_ours = head.first_chunk().is_some_and(|first| ours.has(first))
        && head.last_chunk() == Some(&TYPE_IPV4.to_be_bytes());
    if is_ours { Plain::read(payload) } else { None }
}

/// Lets an overlay packet pass whose way is known.
#[inline(always)]
fn pass<P: BufPool>(
    port: PortIndex,
    buf: P::Buf,
    answer: &Answer,
    passing: Passing,
    lanes: &mut Lanes<P::Buf>,
    context: &mut Context<P>,
) {
    match answer {
        Answer::Express(express) => express.forward(buf, passing, context),
        Answer::Transit(transit) => {
            let place = Place { geneve_at: known::GENEVE_AT as u16, end: passing.end };
            let hop_limit_at = wire::HOP_LIMIT_AT as u16;
            let copy = Copy { place, hop_limit_at, stream: passing.stream, source_route_at: 0 };
            intermediate::forward(buf, &copy, transit, context);
        }
        Answer::Arrival(way) => match way.may_send(passing.stream, context.tables) {
            Ok(()) => {
                let arrival = way.arrival(known::FRAME_HEAD as u16, passing);
                keep(&mut lanes.arrivals, arrival, buf, port, context, |arrival, workers, _| {
                    arrival.owner(workers)
                });
            }
            Err(reason) => context.drop(buf, reason),
        },
        Answer::Keyed(keyed) => keyed.pass(port, buf, passing.end, lanes, context),
    }
}

/// Sorts a frame that [`plain`] has read. Findings go straight to where they are used: packed into one value on the
/// way, they would have to be written and read again as a whole, which costs more than all the rest.
#[inline(always)]
fn sort_plain<P: BufPool>(
    port: PortIndex,
    buf: P::Buf,
    packet: Plain,
    lanes: &mut Lanes<P::Buf>,
    known: &mut Known,
    stores: Stores,
    context: &mut Context<P>,
) {
    const AT: u16 = ethernet::HEADER_LEN as u16;
    let local = context.tables.local.get(packet.dst());
    // Asked first and apart: a branch that is foreseen costs less than a jump through a table.
    if let Some(Local::Vip(application)) = local {
        lanes.plain.ingress.note(Ingress::new(port, AT, packet, application, stores.flows));
        return lanes.plain.ingress.take(buf);
    }
    match local {
        Some(Local::Vip(_)) => {}
        Some(Local::Pool | Local::Passing) => match Reply::admit(port, AT, packet, &[], stores.nat) {
            Ok(reply) => keep(&mut lanes.plain.replies, reply, buf, port, context, owner_of_reply),
            Err(reason) => context.drop(buf, reason),
        },
        Some(Local::Underlay) if packet.protocol() == UDP && packet.dst_port() == GENEVE_PORT => {
            let known = Some((known, port));
            let class = overlay_packet(AT, buf.data(), &packet.packet(), lanes, known, context);
            put(port, buf, class, lanes, context);
        }
        Some(Local::Underlay) => {
            let class = to_underlay(&packet.packet(), context);
            put(port, buf, class, lanes, context);
        }
        Some(Local::Own) => context.punt(buf, port, Cause::Local),
        None => {
            let bytes = buf.data().get(AT as usize..).unwrap_or_default();
            match Reply::admit_untranslated(port, AT, packet, bytes, stores, context.tables) {
                Ok(reply) => keep(&mut lanes.plain.replies, reply, buf, port, context, owner_of_reply),
                Err(reason) => context.drop(buf, reason),
            }
        }
    }
}

/// The worker that has a reply's session.
#[inline(always)]
fn owner_of_reply<H: Headers>(reply: &Reply<H>, workers: u16, streams: u16) -> Option<u16> {
    reply.owner(workers, streams)
}

/// Sorts any frame.
#[inline(never)]
fn sort_any<P: BufPool>(
    port: PortIndex,
    own: &Port,
    buf: P::Buf,
    lanes: &mut Lanes<P::Buf>,
    stores: Stores,
    context: &mut Context<P>,
) {
    let class = classify(port, own, buf.data(), lanes, stores, context);
    put(port, buf, class, lanes, context);
}

/// Puts a frame where its class has it; what was found is noted in its lane already.
#[inline(never)]
fn put<P: BufPool>(
    port: PortIndex,
    buf: P::Buf,
    class: Result<Class, Reason>,
    lanes: &mut Lanes<P::Buf>,
    context: &mut Context<P>,
) {
    match class {
        Ok(Class::Ingress) => lanes.general.ingress.take(buf),
        Ok(Class::Transit(copy, transit)) => intermediate::forward(buf, &copy, &transit, context),
        Ok(Class::Traced(copy, transit, mark)) => context.forward_traced(buf, &copy, &transit, mark),
        Ok(Class::Arrival) => {
            settle(&mut lanes.arrivals, buf, port, context, |arrival, workers, _| arrival.owner(workers))
        }
        Ok(Class::Reply) => settle(&mut lanes.general.replies, buf, port, context, owner_of_reply),
        Ok(Class::Discovery) => context.punt(buf, port, Cause::NeighborDiscovery),
        Ok(Class::Local) => context.punt(buf, port, Cause::Local),
        Ok(Class::Liveness) => context.punt(buf, port, Cause::Liveness),
        Ok(Class::LinkState) => context.punt(buf, port, Cause::LinkState),
        Ok(Class::Takeover) => context.punt(buf, port, Cause::Takeover),
        Ok(Class::Keys) => context.punt(buf, port, Cause::Keys),
        Err(reason) => context.drop(buf, reason),
    }
}

/// Notes what was found about a packet and takes it; see [`settle`].
#[inline(always)]
pub fn keep<P: BufPool, T: core::marker::Copy>(
    lane: &mut Lane<P::Buf, T>,
    found: T,
    buf: P::Buf,
    port: PortIndex,
    context: &mut Context<P>,
    owner: impl FnOnce(&T, u16, u16) -> Option<u16>,
) {
    lane.note(found);
    settle(lane, buf, port, context, owner);
}

/// Takes the packet that was noted last, or hands it to the worker that owns its stream or session.
#[inline(always)]
fn settle<P: BufPool, T: core::marker::Copy>(
    lane: &mut Lane<P::Buf, T>,
    buf: P::Buf,
    port: PortIndex,
    context: &mut Context<P>,
    owner: impl FnOnce(&T, u16, u16) -> Option<u16>,
) {
    if context.workers > 1
        && let Some(owner) =
            lane.noted().and_then(|found| owner(found, context.workers, context.tables.streams))
        && owner != context.worker
    {
        context.hand_off(buf, port, owner);
    } else {
        lane.take(buf);
    }
}

/// Reads any frame and notes it in its lane; the caller moves its buffer there.
fn classify<P: BufPool>(
    port: PortIndex,
    own: &Port,
    data: &[u8],
    lanes: &mut Lanes<P::Buf>,
    stores: Stores,
    context: &Context<P>,
) -> Result<Class, Reason> {
    let frame = ethernet::parse(data)?;
    let group = match ethernet::destination(data) {
        Some(mac) if mac == own.mac => false,
        Some(mac) if mac.is_group() => true,
        _ => return Err(Reason::EthernetNotOurs),
    };
    if frame.vlan != own.vlan {
        return Err(Reason::Vlan);
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
    let at = frame.payload_at as u16;
    let Some(local) = context.tables.local.get(packet.dst) else {
        let bytes = &data[frame.payload_at..];
        lanes.general.replies.note(Reply::admit_untranslated(
            port,
            at,
            packet,
            bytes,
            stores,
            context.tables,
        )?);
        return Ok(Class::Reply);
    };
    match local {
        Local::Vip(application) => {
            may_enter(&packet)?;
            lanes.general.ingress.note(Ingress::new(port, at, packet, application, stores.flows));
            Ok(Class::Ingress)
        }
        Local::Pool | Local::Passing => {
            let bytes = &data[frame.payload_at..];
            let mut reply = Reply::admit(port, at, packet, bytes, stores.nat)?;
            if !context.handed && (packet.fragment != Fragment::No || !reply.is_common()) {
                reply.steer(bytes, stores.nat, context.workers);
            }
            lanes.general.replies.note(reply);
            Ok(Class::Reply)
        }
        Local::Underlay if packet.protocol == UDP && packet.dst_port == GENEVE_PORT => {
            if packet.fragment != Fragment::No {
                return Err(Reason::Fragment);
            }
            overlay_packet(at, data, &packet, lanes, None, context)
        }
        Local::Underlay => to_underlay(&packet, context),
        Local::Own => Ok(Class::Local),
    }
}

/// A packet to an underlay address that is none of the overlay: a member's BFD, probe of the link, message about keys or
/// link state, or for the node itself.
#[cold]
fn to_underlay<P: BufPool>(packet: &Packet, context: &Context<P>) -> Result<Class, Reason> {
    let class = match (packet.protocol, packet.dst_port) {
        (UDP, bfd::PORT | plpmtud::PORT | quality::PORT) => Class::Liveness,
        // Answers to probes of a link come to the port of link state, whose measure they are.
        (UDP, linkstate::PORT) if packet.src_port == quality::PORT => Class::Liveness,
        (UDP, linkstate::PORT) => Class::LinkState,
        (UDP, lease::PORT) => Class::Takeover,
        (UDP, keys::PORT) => Class::Keys,
        _ => return Ok(Class::Local),
    };
    context.tables.members.get(packet.src).map(|_| class).ok_or(Reason::OverlayNotMember)
}

/// A packet of the overlay whose way is not known yet: for another node, or to be taken out here. Its way is learnt
/// where frames of its kind are looked up in `known`.
#[inline(never)]
fn overlay_packet<P: BufPool>(
    at: u16,
    data: &[u8],
    outer: &Packet,
    lanes: &mut Lanes<P::Buf>,
    known: Option<(&mut Known, PortIndex)>,
    context: &Context<P>,
) -> Result<Class, Reason> {
    let tables = context.tables;
    let place = Place { geneve_at: at + outer.transport_at + UDP_LEN as u16, end: at + outer.len };
    let sender = tables.members.get(outer.src).ok_or(Reason::OverlayNotMember)?;
    let geneve = data.get(place.geneve_at as usize..place.end as usize).ok_or(Reason::OverlayTruncated)?;
    let found = wire::locate_keyed(geneve)?;
    if found.header.vni != tables.overlay_id {
        return Err(Reason::OverlayNotMember);
    }
    seal::check_hop(context.keys, sender, geneve, &found)?;
    // Only a header in the layout that senders write has all its fields where they are looked for, and neither extensions
    // nor a trace, for which it has no room.
    let usual = found.hop_limit_at == wire::HOP_LIMIT_AT && found.inner_at == wire::HEADER_LEN;
    let known = known.filter(|_| usual && !found.control);
    if found.header.destination == tables.node {
        let way = terminate::admit(sender, &found, geneve, tables)?;
        let passing = Passing::of(&found.header, place.end);
        way.may_send(passing.stream, tables)?;
        let arrival = way.arrival(place.geneve_at + found.inner_at as u16, passing);
        // A probe came the same way as data, but is for the control thread and moves no stream's window.
        if found.control {
            return Ok(Class::Liveness);
        }
        let at = |trace: TracePlace| (place.geneve_at + trace.at, trace.len);
        let order_at = found.extensions.order_at;
        let order = (order_at != 0).then_some(place.geneve_at + order_at);
        let parity_at = found.extensions.parity_at;
        let parity = (parity_at != 0).then_some(place.geneve_at + parity_at);
        lanes.arrivals.note(arrival.with_trace(found.trace.map(at)).with_order(order).with_parity(parity));
        if let Some((known, port)) = known {
            known.learn(port, data, Answer::of(sender, Destination::Arrival(way), context.keys));
        }
        Ok(Class::Arrival)
    } else {
        let transit = intermediate::admit(outer.version, sender, &found, geneve, tables)?;
        if let Some((known, port)) = known {
            let express = Express::of(&transit, tables);
            let to = express.map_or(Destination::Transit(transit), Destination::Express);
            known.learn(port, data, Answer::of(sender, to, context.keys));
        }
        let copy = Copy::of(place, &found);
        Ok(match found.trace {
            Some(place) => {
                Class::Traced(copy, transit, Mark { sender, hop_limit: found.header.hop_limit, place })
            }
            None => Class::Transit(copy, transit),
        })
    }
}

/// Where the overlay's part of a frame lies.
#[derive(Clone, core::marker::Copy, Debug)]
pub struct Place {
    /// Where GENEVE starts, bytes from the frame's start.
    pub geneve_at: u16,
    /// Where the outer IP packet ends.
    pub end: u16,
}

/// Whether a packet came into a path from the hop that lies before this node on it: an end's or an intermediate's
/// region, towards `destination`.
#[inline(always)]
pub fn came_along(tables: &crate::Tables, before: Option<RegionIndex>, sender: NodeId) -> bool {
    before.is_some() && tables.peer(sender).map(|peer| peer.region) == before
}

/// An address that no packet may claim as its source when it comes from a client or an origin: one of the node's
/// own.
#[inline(always)]
pub fn is_own(tables: &crate::Tables, address: Addr) -> bool {
    tables.local.get(address).is_some()
}
