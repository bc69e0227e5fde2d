//! The edge: clients' packets enter the overlay here, and packets for clients leave it (A3–A5, A11).

use crate::answer::Answer;
use crate::batch::{Lane, PortIndex};
use crate::bindings;
use crate::classify::is_own;
use crate::emit::Context;
use crate::flow::{FlowKey, FlowTable, Guess, Way};
use crate::mss;
use crate::tables::{Egress, Flight};
use packet::fragment;
use packet::icmp::Kind;
use packet::ip::{self, Fragment, HopMore, Packet};
use packet::transport::{ICMP, ICMPV6, TCP, UDP};
use packet::{BufPool, Headers, PacketBuf, Reason};

/// A client's packet to a virtual IP.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ingress<H> {
    /// Its headers.
    packet: H,
    /// Where its IP header starts, bytes from the frame's start.
    at: u16,
    /// Where it came in.
    port: PortIndex,
    /// The application behind the virtual IP.
    application: u16,
    /// The flow's hash.
    hash: u64,
    /// Where the flow stands, once guessed.
    guess: Guess,
}

impl<H: Headers> Ingress<H> {
    /// A client's packet to a virtual IP of this application, which [`may_enter`]. Its flow is looked for from here on.
    #[inline(always)]
    pub fn new(port: PortIndex, at: u16, packet: H, application: u16, flows: &FlowTable) -> Ingress<H> {
        let hash = flows.hash(&FlowKey::of(&packet));
        flows.prefetch(hash);
        Ingress { packet, at, port, application, hash, guess: Guess::default() }
    }
}

/// What no path carries: sources that can not be answered, ICMP that is neither echo nor error.
///
/// Of a plain packet only the source is in question, and that is asked when its flow is compiled: no flow has a source
/// that can not be answered.
#[inline(always)]
pub fn may_enter(packet: &impl Headers) -> Result<(), Reason> {
    if packet.fragment() == Fragment::Later {
        return later_may_enter(packet.packet());
    }
    if !packet.source_is_forwardable() {
        return Err(Reason::IpAddress);
    }
    match packet.protocol() {
        TCP | UDP => Ok(()),
        ICMP | ICMPV6 => match packet.icmp_kind() {
            Kind::Other => Err(Reason::NatIcmp),
            // An error is short, and of a piece nobody knows what it quotes.
            Kind::Error if packet.fragment() != Fragment::No => Err(Reason::Fragment),
            _ => Ok(()),
        },
        // Whether it is carried is for its virtual IP to say.
        _ => Ok(()),
    }
}

/// As [`may_enter`] for a fragment without a transport header: what it belongs to is known by its first.
#[cold]
fn later_may_enter(packet: Packet) -> Result<(), Reason> {
    if packet.source_is_forwardable() { Ok(()) } else { Err(Reason::IpAddress) }
}

/// Ingress: look the flow up (compiling it on its first packet) and replicate.
#[inline(always)]
pub fn ingress<P: BufPool, H: Headers>(
    lane: &mut Lane<P::Buf, Ingress<H>>,
    flows: &mut FlowTable,
    context: &mut Context<P>,
) {
    for entry in lane.iter_mut() {
        entry.guess = flows.guess(entry.hash);
    }
    for (buf, entry) in lane.drain() {
        match flight(entry, flows, context) {
            Ok((flight, bucket)) => enter(buf, entry, flight, bucket, context),
            Err(reason) => context.drop(buf, reason),
        }
    }
}

/// The flight and the bucket of a packet's flow.
#[inline(always)]
fn flight<P: BufPool, H: Headers>(
    entry: &Ingress<H>,
    flows: &mut FlowTable,
    context: &mut Context<P>,
) -> Result<(u16, u8), Reason> {
    let key = FlowKey::of(&entry.packet);
    match flows.find(entry.guess, entry.hash, key) {
        Some(flow) => {
            flow.seen_s = context.now_s;
            flow.packets = flow.packets.wrapping_add(1);
            if flow.epoch != context.tables.epoch {
                return renew(entry, flows, context);
            }
            Ok((flow.flight, flow.bucket))
        }
        None => open(entry, flows, context),
    }
}

/// The same for a flow that is not there. Apart, so that nothing it needs is put in memory for packets whose flow is.
#[cold]
#[inline(never)]
fn open<P: BufPool, H: Headers>(
    entry: &Ingress<H>,
    flows: &mut FlowTable,
    context: &Context<P>,
) -> Result<(u16, u8), Reason> {
    let way = compile(&entry.packet.packet(), entry.application, context)?;
    // An ICMP error belongs to the flow that it quotes, a later fragment to that of its first: neither opens one.
    if has_ports(&entry.packet) {
        flows.insert(entry.hash, FlowKey::of(&entry.packet), way, context.now_s)?;
    }
    Ok((way.flight, way.bucket))
}

/// Brings a flow up to date after a change of the configuration, or of who holds the block of its binding: then the binding
/// is given back first, with each packet until the holder has answered.
#[cold]
#[inline(never)]
fn renew<P: BufPool, H: Headers>(
    entry: &Ingress<H>,
    flows: &mut FlowTable,
    context: &mut Context<P>,
) -> Result<(u16, u8), Reason> {
    let key = FlowKey::of(&entry.packet);
    let way = compile(&entry.packet.packet(), entry.application, context)?;
    let (flow, record) = flows.with_binding(key).ok_or(Reason::FlowTableFull)?;
    (flow.bucket, flow.flight, flow.epoch) = (way.bucket, way.flight, way.epoch);
    let Some(record) = record else { return Ok((way.flight, way.bucket)) };
    let tables = context.tables;
    // Whoever is the client's gateway now: the one that holds its binding has its connection.
    let application = tables.applications.get(entry.application as usize);
    let gateways = application.map(|application| application.gateways.as_slice()).unwrap_or_default();
    if let Some((_, flight)) = gateways.iter().find(|(gateway, _)| *gateway == record.home) {
        flow.flight = *flight;
    }
    let flight = flow.flight;
    if let Some((to, record)) = bindings::overdue(&key, &record, tables) {
        flow.epoch = tables.epoch.wrapping_sub(1);
        context.send_record(to, way.bucket, (key.client, key.vip), &record);
    }
    Ok((flight, way.bucket))
}

/// Whether a packet itself tells which flow it belongs to.
#[inline(always)]
fn has_ports(packet: &impl Headers) -> bool {
    packet.icmp_kind() != Kind::Error && packet.fragment() != Fragment::Later
}

/// The slow path of a flow's first packet: does the application listen there, and which gateway has the client?
#[cold]
fn compile<P: BufPool>(packet: &Packet, application: u16, context: &Context<P>) -> Result<Way, Reason> {
    let tables = context.tables;
    // A client that claims one of the node's own addresses would have the reply come back here for ever.
    if !packet.source_is_forwardable() || is_own(tables, packet.src) {
        return Err(Reason::IpAddress);
    }
    // Of an ICMP error it is the gateway that knows what it is about, and of a later fragment.
    if has_ports(packet) {
        let unknown = if packet.is_common() { Reason::UnknownService } else { Reason::Transport };
        let service = tables.service_of(packet.dst, packet.protocol).ok_or(unknown)?;
        tables.application_of(service, packet.dst_port).ok_or(Reason::UnknownService)?;
    }
    let application = tables.applications.get(application as usize).ok_or(Reason::UnknownService)?;
    let gateways = &application.gateways;
    let choice = overlay::pick::rendezvous(packet.src, gateways.iter().map(|(node, _)| node.0 as u64));
    let &(_, flight) = choice.and_then(|choice| gateways.get(choice)).ok_or(Reason::NoRoute)?;
    context.counters.roles.flows_compiled.add(1);
    Ok(Way { bucket: overlay::pick::bucket(packet.src, tables.streams), flight, epoch: tables.epoch })
}

#[inline(always)]
fn enter<P: BufPool, H: Headers>(
    mut buf: P::Buf,
    entry: &Ingress<H>,
    flight: u16,
    bucket: u8,
    context: &mut Context<P>,
) {
    let packet = &entry.packet;
    let Some(flight) = context.tables.flights.get(flight as usize) else {
        return context.drop(buf, Reason::NoRoute);
    };
    if packet.ttl() <= 1 {
        return context.answer_on_wire(buf, entry.port, entry.at, &packet.packet(), Answer::TimeExceeded);
    }
    if packet.total_len() > flight.mtu {
        return context.enter_large(buf, entry.port, entry.at, packet.packet(), flight, bucket);
    }
    // Ethernet pads short frames; the padding stays behind.
    if buf.keep(entry.at as usize, packet.total_len() as usize).is_err() {
        return context.drop(buf, Reason::IpTruncated);
    }
    context.counters.roles.edge_ingress.add(1);
    let version = packet.version();
    if mss::may_announce(packet) {
        return enter_announcing(buf, packet.packet(), flight, bucket, context);
    }
    let Some(hop) = HopMore::of(version, buf.data()) else {
        return context.drop(buf, Reason::IpTruncated);
    };
    context.replicate_and(flight, bucket, version, buf, |inner| hop.write(inner));
}

/// The first packet of a connection, which announces how large segments may be.
#[cold]
#[inline(never)]
fn enter_announcing<P: BufPool>(
    mut buf: P::Buf,
    packet: Packet,
    flight: &Flight,
    bucket: u8,
    context: &mut Context<P>,
) {
    ip::decrement_ttl(buf.data_mut());
    mss::clamp(buf.data_mut(), packet, flight.mtu);
    context.replicate(flight, bucket, packet.version, buf);
}

/// Egress: a packet that came out of the overlay goes to its client. The gateway has restored VIP:port → client,
/// so a route is all that is needed.
#[inline(always)]
pub fn egress<P: BufPool>(mut buf: P::Buf, packet: &impl Headers, context: &mut Context<P>) {
    // Into the overlay and out of it the edge is one IP hop.
    if packet.ttl() <= 1 {
        return context.drop(buf, Reason::TtlExpired);
    }
    match context.tables.routes.egress(packet.dst()) {
        Some(egress) => {
            if buf.len() > egress.mtu as usize {
                return egress_large(buf, packet.packet(), egress, context);
            }
            context.counters.roles.edge_egress.add(1);
            ip::decrement_ttl(buf.data_mut());
            if mss::may_announce(packet) {
                let back = mss::flight_of(context.tables, packet.dst(), packet.src());
                mss::clamp_leaving(buf.data_mut(), packet.packet(), back);
            }
            context.deliver(&egress, packet.version(), buf);
        }
        None => context.drop(buf, Reason::NoRoute),
    }
}

/// A packet that is too large for the port that leads to its client.
#[cold]
#[inline(never)]
fn egress_large<P: BufPool>(mut buf: P::Buf, packet: Packet, egress: Egress, context: &mut Context<P>) {
    if !fragment::may_cut(&packet) {
        return context.drop(buf, Reason::TooBig);
    }
    context.counters.roles.edge_egress.add(1);
    ip::decrement_ttl(buf.data_mut());
    context.deliver_large(egress, buf);
}
