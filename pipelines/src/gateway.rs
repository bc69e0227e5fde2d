//! The gateway: requests out of the overlay are translated and handed to origins (A9, A10, A12), replies are
//! translated back and enter the overlay (A11).

mod fence;
pub mod inbound;
mod nat64;
mod pieces;
mod prefix;
mod told;

pub use fence::fence;
pub use told::{install, store};

use crate::answer::{self, Answer, Unreachable};
use crate::batch::{Lane, PortIndex};
use crate::edge::may_enter;
use crate::emit::Context;
use crate::forwarder::Stores;
use crate::fragments;
use crate::leases::{AWAIT_NS, SETTLE_NS};
use crate::mss;
use crate::tables::{Application, Flight, Origin, Services, Tables};
use nat::{Guess, Key, Nat, NewSession, Quote, ReverseSlot, Seconds, ServiceId, SessionIndex, Tag};
use overlay::topology::NodeId;
use overlay::wire::{Record, RecordKind};
use packet::icmp::Kind;
use packet::ip::{self, Fragment, Packet};
use packet::transport::{SCTP, TCP, Tcp, is_common};
use packet::{Addr, BufPool, Headers, IpVersion, PacketBuf, Reason};

/// A client's packet out of the overlay; the buffer holds the inner packet and nothing else.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request<H> {
    packet: H,
    /// The edge that it entered at.
    edge: NodeId,
    service: ServiceId,
    hash: u64,
    /// Where its session stands, once guessed.
    guess: Guess,
}

/// A service's number with the port that the client sent to: the identity of a session's far end.
fn service_id(service: u16, port: u16) -> ServiceId {
    ServiceId((service as u32) << 16 | port as u32)
}

/// The service's number and the port again.
fn service_parts(id: ServiceId) -> (u16, u16) {
    ((id.0 >> 16) as u16, id.0 as u16)
}

/// What a session keeps for the data path: where its packets go in each direction, valid in one epoch.
#[derive(Clone, Copy)]
struct Way {
    epoch: u16,
    edge: NodeId,
    origin: u16,
    flight: u16,
}

impl Way {
    fn tag(self) -> Tag {
        let [epoch, edge, origin, flight] =
            [self.epoch, self.edge.0, self.origin, self.flight].map(u64::from);
        Tag(epoch << 48 | edge << 32 | origin << 16 | flight)
    }

    #[inline(always)]
    fn of(Tag(bits): Tag) -> Way {
        Way {
            epoch: (bits >> 48) as u16,
            edge: NodeId((bits >> 32) as u16),
            origin: (bits >> 16) as u16,
            flight: bits as u16,
        }
    }
}

/// Whether an edge may send packets to a service: it holds the virtual IP, and seals what must be sealed.
#[inline(always)]
fn may_speak(services: Services, edge: NodeId, epoch: u8) -> Result<(), Reason> {
    if services.node != edge {
        return Err(Reason::OverlayInnerSource);
    }
    if services.sealed && epoch == 0 { Err(Reason::OverlayUnsealed) } else { Ok(()) }
}

/// The same, of the other gateway, too: it passes on what came there late.
#[inline(always)]
fn may_pass_on(services: Services, from: NodeId, epoch: u8, tables: &Tables) -> Result<(), Reason> {
    match may_speak(services, from, epoch) {
        Err(Reason::OverlayInnerSource) if tables.is_partner(from) => {
            may_speak(services, services.node, epoch)
        }
        other => other,
    }
}

impl<H: Headers> Request<H> {
    /// Whether a packet out of the overlay may go to an origin: to a virtual IP that its edge holds. The caller has
    /// seen that the source of one that is not plain is none of this node's addresses, and goes on with
    /// [`Request::look_up`].
    ///
    /// Of a plain packet only the source could keep it out, and that is asked when its session is made, and again when
    /// the configuration has changed: no session has a source that can not be answered.
    #[inline(always)]
    pub fn admit(
        packet: H,
        is_plain: bool,
        edge: NodeId,
        epoch: u8,
        tables: &Tables,
    ) -> Result<Request<H>, Reason> {
        if !is_plain {
            may_enter(&packet)?;
        }
        if packet.icmp_kind() == Kind::EchoReply && packet.fragment() != Fragment::Later {
            return Err(Reason::NatIcmp);
        }
        // Of an ICMP error the service is that of the packet it quotes, which the translation looks up.
        if packet.icmp_kind() == Kind::Error {
            let services = tables.services_at(packet.dst()).ok_or(Reason::UnknownService)?;
            may_pass_on(services, edge, epoch, tables)?;
            return Ok(Request {
                packet,
                edge,
                service: ServiceId(u32::MAX),
                hash: 0,
                guess: Guess::default(),
            });
        }
        let (services, number) = tables.service_at(packet.dst(), packet.protocol(), packet.is_common())?;
        may_pass_on(services, edge, epoch, tables)?;
        // Of what the other gateway has passed on, the client is still at the edge that holds the virtual IP.
        let edge = services.node;
        let echo = packet.icmp_kind() != Kind::Other;
        let port = if echo { 0 } else { packet.dst_port() };
        Ok(Request { packet, edge, service: service_id(number, port), hash: 0, guess: Guess::default() })
    }

    /// Begins to look for its session. A step by itself: within [`Request::admit`]'s result the hash would be written
    /// byte by byte, and reading it whole would wait for the cache.
    #[inline(always)]
    pub fn look_up(mut self, nat: &Nat) -> Request<H> {
        self.hash = nat.hash(&self.key());
        nat.prefetch(self.hash);
        self
    }

    /// The same with headers of the general form.
    fn general(&self) -> Request<Packet> {
        let Request { packet, edge, service, hash, guess } = *self;
        Request { packet: packet.packet(), edge, service, hash, guess }
    }

    #[inline(always)]
    fn key(&self) -> Key {
        Key { client: self.packet.src(), port: self.packet.src_port(), service: self.service }
    }
}

/// Translates requests and hands them to their origins.
#[inline(always)]
pub fn requests<P: BufPool, H: Headers>(
    lane: &mut Lane<P::Buf, Request<H>>,
    nat: &mut Nat,
    context: &mut Context<P>,
) {
    for entry in lane.iter_mut() {
        entry.guess = nat.guess(entry.hash);
    }
    for (buf, entry) in lane.drain() {
        if let Err((buf, reason)) = request(buf, entry, nat, context) {
            context.drop(buf, reason);
        }
    }
}

/// One request. On error the buffer comes back with the reason.
#[inline(always)]
fn request<P: BufPool, H: Headers>(
    mut buf: P::Buf,
    entry: &Request<H>,
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Result<(), (P::Buf, Reason)> {
    let packet = &entry.packet;
    if packet.icmp_kind() == Kind::Error {
        return request_error(buf, &packet.packet(), nat, context);
    }
    if let Some(rule) = prefix::of_request(packet, context.tables) {
        return prefix::request(buf, &entry.general(), rule, context);
    }
    if packet.fragment() != Fragment::No || !packet.is_common() {
        return pieces::request(buf, entry, nat, context);
    }
    let (session, way) = match session(entry, nat, context) {
        Ok(found) => found,
        Err(reason) => return refuse(buf, reason, entry, context),
    };
    let origin = context.tables.origins.get(way.origin as usize);
    let Some(egress) = origin.and_then(|origin| origin.egress.as_ref()) else {
        return Err((buf, Reason::NoRoute));
    };
    if packet.ttl() <= 1 {
        return answer_to_client(buf, &packet.packet(), entry, Answer::TimeExceeded, context);
    }
    if packet.total_len() > egress.mtu || (packet.version() == IpVersion::V6 && egress_is_v4(origin)) {
        return pieces::request(buf, entry, nat, context);
    }
    let bytes = buf.data_mut();
    lower_ttl(bytes, packet);
    if let Err(reason) = nat.forward(Seconds(context.now_s), session, bytes, packet) {
        return Err((buf, reason));
    }
    if mss::may_announce(packet) {
        let back = context.tables.flights.get(way.flight as usize);
        mss::clamp_leaving(buf.data_mut(), packet.packet(), back);
    }
    context.counters.roles.gateway_forward.add(1);
    context.deliver(egress, packet.version(), buf);
    Ok(())
}

/// Tells a client that it gets no session, and why as far as it concerns it.
#[cold]
fn refuse<P: BufPool, H: Headers>(
    buf: P::Buf,
    reason: Reason,
    entry: &Request<H>,
    context: &mut Context<P>,
) -> Result<(), (P::Buf, Reason)> {
    let what = match reason {
        Reason::NatTableFull | Reason::NatPortsExhausted | Reason::NatNoPool => Unreachable::Host,
        Reason::NatClientLimit | Reason::NatClientRate => Unreachable::Prohibited,
        _ => return Err((buf, reason)),
    };
    if !context.refuses_aloud {
        return Err((buf, reason));
    }
    answer_to_client(buf, &entry.packet.packet(), entry, Answer::Unreachable(what, reason), context)
}

/// Takes one from a packet's TTL, before it is translated: the TTL shares a word with the checksum, and loading a word
/// that was just written in part waits for the cache.
#[inline(always)]
fn lower_ttl(bytes: &mut [u8], packet: &impl Headers) {
    match bytes.first_chunk_mut() {
        Some(header) if packet.version() == IpVersion::V4 => ip::decrement_ttl_v4(header),
        _ => ip::decrement_ttl(bytes),
    }
}

/// A client's ICMP error about a packet from its origin. It fits every port, being short.
#[cold]
fn request_error<P: BufPool>(
    mut buf: P::Buf,
    packet: &Packet,
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Result<(), (P::Buf, Reason)> {
    let tables = context.tables;
    if packet.ttl <= 1 {
        return Err((buf, Reason::TtlExpired));
    }
    if let Some(about) = prefix::of_request_error(buf.data(), packet, tables) {
        return prefix::request_error(buf, packet, about, context);
    }
    let find = |vip: Addr, protocol: u8, port: u16| {
        let number = tables.service_of(vip, protocol)?;
        Some(service_id(number, port))
    };
    if packet.version == IpVersion::V6 && nat.is_client_error_64(buf.data(), packet, find) {
        return nat64::request_error(buf, packet, nat, context, find);
    }
    let session = match pieces::request_error(buf.data_mut(), packet, nat, find) {
        Ok(session) => session,
        Err(reason) => return Err((buf, reason)),
    };
    ip::decrement_ttl(buf.data_mut());
    let tag = nat.any_tag_and_key(session).map(|(tag, _)| tag).unwrap_or_default();
    let origin = tables.origins.get(Way::of(tag).origin as usize);
    match origin.and_then(|origin| origin.egress.as_ref()) {
        Some(egress) => {
            context.counters.roles.gateway_forward.add(1);
            context.deliver(egress, packet.version, buf);
            Ok(())
        }
        None => Err((buf, Reason::NoRoute)),
    }
}

/// Whether an origin speaks IPv4.
#[inline(always)]
fn egress_is_v4(origin: Option<&Origin>) -> bool {
    origin.is_some_and(|origin| origin.address.is_v4())
}

/// The session of a request, made on its first packet and brought up to date after a change of the configuration.
#[inline(always)]
fn session<P: BufPool, H: Headers>(
    entry: &Request<H>,
    nat: &mut Nat,
    context: &Context<P>,
) -> Result<(SessionIndex, Way), Reason> {
    let key = entry.key();
    let (session, tag) = match nat.find_guessed(entry.guess, entry.hash, &key) {
        Some(found) => found,
        None => {
            let session = create(&entry.packet.packet(), entry.edge, (entry.hash, key), nat, context)?;
            (session, nat.tag(session))
        }
    };
    let mut way = Way::of(tag);
    if way.epoch != context.tables.epoch {
        may_be_client(key.client, context.tables)?;
        let flight = return_flight(context.tables, entry.edge, entry.service)?;
        way = Way { epoch: context.tables.epoch, edge: entry.edge, flight, ..way };
        nat.set_tag(session, way.tag());
    }
    Ok((session, way))
}

/// A client that claims one of the node's own addresses would have its reply come back here for ever.
#[cold]
fn may_be_client(client: Addr, tables: &Tables) -> Result<(), Reason> {
    if tables.local.get(client).is_some() { Err(Reason::IpAddress) } else { Ok(()) }
}

/// The flight back to a client's edge.
fn return_flight(tables: &Tables, edge: NodeId, service: ServiceId) -> Result<u16, Reason> {
    let (number, port) = service_parts(service);
    let application = tables.application_of(number, port).ok_or(Reason::UnknownService)?;
    tables.returns.get(&(edge, application)).copied().ok_or(Reason::UnknownService)
}

/// The slow path of a session's first packet: application, origin, external address and port.
#[cold]
fn create<P: BufPool>(
    packet: &Packet,
    edge: NodeId,
    (hash, key): (u64, Key),
    nat: &mut Nat,
    context: &Context<P>,
) -> Result<SessionIndex, Reason> {
    if !packet.source_is_forwardable() {
        return Err(Reason::IpAddress);
    }
    may_be_client(packet.src, context.tables)?;
    let new = new_session(packet, edge, key.service, context.tables)?;
    let (number, port) = service_parts(key.service);
    let application = context.tables.application_of(number, port).map(usize::from);
    let application = application.and_then(|number| context.tables.applications.get(number));
    // Who changes its IP version can not keep its address.
    let may_keep = new.origin.is_v4() == packet.src.is_v4();
    if may_keep && application.is_some_and(|application| application.is_untranslated(new.origin)) {
        return nat.create_untranslated(Seconds(context.now_s), hash, key, new);
    }
    if context.leases.is_paired() {
        let block = block_for(packet, nat, context)?;
        return nat.create_in(Seconds(context.now_s), hash, key, new, block);
    }
    nat.create(Seconds(context.now_s), hash, key, new)
}

/// The block of addresses for a client's new session, where this gateway has a peer: that of the client's own gateway, so
/// that it keeps its address whoever holds that.
fn block_for<P: BufPool>(packet: &Packet, nat: &Nat, context: &Context<P>) -> Result<usize, Reason> {
    let block = context.leases.block_of_home(context.tables.home_of(packet.src));
    if !nat.is_held(block) {
        return Err(Reason::NatNotHolder);
    }
    // A segment of a connection whose binding has not come back yet would leave with another port, and be reset.
    let opens = packet.protocol != TCP || packet.detail & (Tcp::SYN | Tcp::ACK) == Tcp::SYN;
    let wait_ns = if opens { SETTLE_NS } else { AWAIT_NS };
    if context.leases.is_younger(block, context.now_ns, wait_ns) {
        return Err(Reason::NatSettling);
    }
    Ok(block)
}

/// Clamps what an origin's SYN announces, and puts the session's binding behind it where an edge should know that. Takes the
/// buffer and gives it back: a reference would keep it in memory for all packets.
#[cold]
#[inline(never)]
fn announce<P: BufPool>(
    mut buf: P::Buf,
    packet: Packet,
    session: SessionIndex,
    flight: &Flight,
    nat: &Nat,
    context: &mut Context<P>,
) -> P::Buf {
    mss::clamp(buf.data_mut(), packet, flight.mtu);
    let homes = context.leases.homes().filter(|_| packet.protocol == TCP);
    if let (Some(homes), Some(block)) = (homes, nat.block_of_session(session))
        && let (Some(home), Some(view)) = (homes.get(block), nat.session(session))
    {
        let record = Record {
            kind: RecordKind::Binding,
            protocol: view.protocol,
            state: 0,
            client_port: view.key.port,
            vip_port: view.vip_port,
            external_port: view.external_port,
            origin_port: view.origin_port,
            home: *home,
            number: 0,
            revision: context.leases.revision(block),
            external: view.external,
            origin: view.origin,
        };
        context.append_record(flight, &mut buf, &record);
    }
    buf
}

/// The number of an application's origin for a client.
fn origin_of(
    application: &Application,
    client: Addr,
    version: IpVersion,
    tables: &Tables,
) -> Result<u16, Reason> {
    // IPv6 clients have origins of IPv4 where there are no others.
    let [v4, v6] = &application.origins;
    let origins = if version == IpVersion::V4 || v6.is_empty() { v4 } else { v6 };
    // The client's address alone decides, so that it meets the same origin with every connection (A12), at this
    // gateway and at any other.
    let members = origins.iter().filter_map(|origin| tables.origins.get(*origin as usize));
    let choice = overlay::pick::rendezvous(client, members.map(Origin::identity));
    choice.and_then(|choice| origins.get(choice)).copied().ok_or(Reason::NoOrigin)
}

/// What a packet's session is made of: its application's origin for this client, and the way back.
fn new_session(
    packet: &Packet,
    edge: NodeId,
    service: ServiceId,
    tables: &Tables,
) -> Result<NewSession, Reason> {
    let (number, port) = service_parts(service);
    let application = tables.application_of(number, port).ok_or(Reason::UnknownService)?;
    let flight = return_flight(tables, edge, service)?;
    let application = tables.applications.get(application as usize).ok_or(Reason::UnknownService)?;
    let number = origin_of(application, packet.src, packet.version, tables)?;
    let origin = tables.origins.get(number as usize).ok_or(Reason::NoOrigin)?;
    let way = Way { epoch: tables.epoch, edge, origin: number, flight };
    // SCTP keeps its ports.
    let origin_port = origin.port.filter(|_| packet.protocol != SCTP).unwrap_or(port);
    Ok(NewSession {
        protocol: packet.protocol,
        vip: packet.dst,
        vip_port: port,
        origin: origin.address,
        origin_port,
        tag: way.tag(),
        filtering: application.filtering(packet.protocol),
    })
}

/// Sends an ICMP error about a request back through the overlay, in the request's buffer.
#[cold]
fn answer_to_client<P: BufPool, H: Headers>(
    mut buf: P::Buf,
    packet: &Packet,
    entry: &Request<H>,
    what: Answer,
    context: &mut Context<P>,
) -> Result<(), (P::Buf, Reason)> {
    let flight = match return_flight(context.tables, entry.edge, entry.service) {
        Ok(flight) if answer::may_answer(packet) => flight,
        _ => return Err((buf, what.reason())),
    };
    if !context.answers.take(context.now_ns, packet) {
        return Err((buf, Reason::AnswerLimited));
    }
    // The client knows this node by its virtual IP only.
    if !answer::turn_into(&mut buf, packet, what, packet.dst) {
        return Err((buf, Reason::NoHeadroom));
    }
    let Some(flight) = context.tables.flights.get(flight as usize) else {
        return Err((buf, Reason::NoRoute));
    };
    context.counters.roles.answers.add(1);
    context.counters.roles.copies_made.add(1);
    context.counters.drop(what.reason());
    let bucket = overlay::pick::bucket(packet.src, context.tables.streams);
    context.replicate(flight, bucket, packet.version, buf);
    Ok(())
}

/// A packet from the origins' side to an address that clients are translated to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reply<H> {
    packet: H,
    /// Where its IP header starts, bytes from the frame's start.
    at: u16,
    port: PortIndex,
    /// Protocol and port that the session is found by: of an ICMP error, those of the packet that it quotes.
    protocol: u8,
    external_port: u16,
    /// Where a packet from the wire goes first whose own ports do not tell: of a fragment, where its datagram's meet.
    home: Option<u16>,
    slot: Option<ReverseSlot>,
    to: To,
}

/// What a packet from the origins' side is addressed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum To {
    /// An address of the pool.
    #[default]
    Pool,
    /// A client itself, which keeps its address for some origins.
    Client,
    /// What a client's address is translated to by prefix.
    Prefix,
}

impl<H: Headers> Reply<H> {
    /// Whether a packet from the origins' side may enter; `bytes` starts at its IP header.
    #[inline(always)]
    pub fn admit(
        port: PortIndex,
        at: u16,
        packet: H,
        bytes: &[u8],
        nat: Option<&Nat>,
    ) -> Result<Reply<H>, Reason> {
        // A reload may make the node a gateway; translation is set up at the start only.
        let nat = nat.ok_or(Reason::WrongRole)?;
        may_enter(&packet)?;
        let (protocol, external_port) = match packet.icmp_kind() {
            Kind::EchoRequest => return Err(Reason::NatIcmp),
            Kind::Error => {
                Quote::of(bytes, &packet.packet()).map(|quote| (quote.protocol, quote.src_port))?
            }
            _ => (packet.protocol(), packet.dst_port()),
        };
        let slot = nat.reverse_slot(packet.dst(), protocol, external_port);
        if let Some(slot) = slot {
            nat.prefetch_reverse(slot);
        }
        Ok(Reply { packet, at, port, protocol, external_port, home: None, slot, to: To::Pool })
    }

    /// Has a packet that is not handed over taken to another worker first, where its ports do not tell which.
    #[cold]
    pub fn steer(&mut self, bytes: &[u8], nat: Option<&Nat>, workers: u16) {
        let packet = self.packet.packet();
        self.home = match packet.fragment {
            Fragment::No => {
                nat.and_then(|nat| nat.owner_other(self.protocol, packet.dst, self.external_port))
            }
            _ => fragments::home(bytes, &packet, workers),
        };
    }

    /// Whether it is a whole packet of a common protocol, or an error about one, and a session is needed for it.
    #[inline(always)]
    pub fn is_common(&self) -> bool {
        if self.packet.version() == IpVersion::V6 && self.to == To::Prefix {
            return false;
        }
        self.packet.is_common() && (self.packet.icmp_kind() != Kind::Error || is_common(self.protocol))
    }

    /// As [`Reply::admit`] for a packet that is addressed to none of the node's addresses: it may be for a client that
    /// keeps its own, or is translated by prefix.
    #[cold]
    pub fn admit_untranslated(
        port: PortIndex,
        at: u16,
        packet: H,
        bytes: &[u8],
        stores: Stores,
        tables: &Tables,
    ) -> Result<Reply<H>, Reason> {
        let dst = packet.dst();
        let to = match stores.nat {
            Some(_) if tables.prefixes.of_outside(dst).is_some() => To::Prefix,
            Some(_) if tables.has_untranslated => To::Client,
            _ => return Err(Reason::NoDestination),
        };
        let reply = Reply::admit(port, at, packet, bytes, stores.nat)?;
        Ok(Reply { to, slot: None, ..reply })
    }

    /// The worker that has the session: ports are partitioned among workers, and a client that keeps its own is where
    /// its streams are.
    #[inline(always)]
    pub fn owner(&self, workers: u16, streams: u16) -> Option<u16> {
        if self.packet.fragment() != Fragment::No || !self.is_common() {
            return self.home;
        }
        if self.to == To::Client {
            return Some(overlay::pick::bucket(self.packet.dst(), streams) as u16 % workers.max(1));
        }
        nat::owner(self.protocol, self.external_port, workers)
    }
}

/// Translates replies back and sends them to their clients' edges.
#[inline(always)]
pub fn replies<P: BufPool, H: Headers>(
    lane: &mut Lane<P::Buf, Reply<H>>,
    nat: &mut Nat,
    context: &mut Context<P>,
) {
    for entry in lane.iter_mut() {
        if let Some(slot) = entry.slot {
            nat.guess_prefetch_reverse(slot);
        }
    }
    for (buf, entry) in lane.drain() {
        if let Err((buf, reason)) = reply(buf, entry, nat, context) {
            context.drop(buf, reason);
        }
    }
}

#[inline(always)]
fn reply<P: BufPool, H: Headers>(
    mut buf: P::Buf,
    entry: &Reply<H>,
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Result<(), (P::Buf, Reason)> {
    let packet = &entry.packet;
    if packet.fragment() != Fragment::No || !entry.is_common() {
        return pieces::reply(buf, entry, nat, context);
    }
    let now = Seconds(context.now_s);
    let bytes_at = entry.at as usize;
    let end = bytes_at + packet.total_len() as usize;
    let session = if packet.icmp_kind() == Kind::Error {
        if packet.version() == IpVersion::V4
            && nat.is_error_64(buf.data().get(bytes_at..end).unwrap_or_default(), &packet.packet())
        {
            return pieces::reply(buf, entry, nat, context);
        }
        // An error is translated at once: it tells which session it is about, and it fits every path, being short.
        let Some(bytes) = buf.data_mut().get_mut(bytes_at..end) else {
            return Err((buf, Reason::IpTruncated));
        };
        nat.reverse_error(bytes, &packet.packet())
    } else {
        let slot = entry.slot.ok_or(Reason::NatNoSession);
        slot.and_then(|slot| nat.find_reverse(slot, packet.src(), packet.src_port()))
    };
    let session = match session {
        Ok(session) => session,
        Err(reason) => match stray(buf, entry, reason, nat, context) {
            Ok((same, session)) => {
                buf = same;
                session
            }
            Err(refused) => return refused.map_or(Ok(()), Err),
        },
    };
    let (flight, client) = match flight_back(session, nat, context.tables) {
        Ok(found) => found,
        Err(reason) => return Err((buf, reason)),
    };
    let Some(flight) = context.tables.flights.get(flight as usize) else {
        return Err((buf, Reason::NoRoute));
    };
    // A client of the other IP version: its address is at hand, and this branch is one of two that is never taken.
    if packet.version() == IpVersion::V4 && !client.is_v4() {
        return pieces::reply(buf, entry, nat, context);
    }
    if packet.ttl() <= 1 {
        context.answer_on_wire(buf, entry.port, entry.at, &packet.packet(), Answer::TimeExceeded);
        return Ok(());
    }
    if packet.total_len() > flight.mtu {
        return pieces::reply(buf, entry, nat, context);
    }
    if buf.keep(bytes_at, packet.total_len() as usize).is_err() {
        return Err((buf, Reason::IpTruncated));
    }
    let bytes = buf.data_mut();
    lower_ttl(bytes, packet);
    if packet.icmp_kind() != Kind::Error
        && let Err(reason) = nat.reverse(now, session, bytes, packet)
    {
        return Err((buf, reason));
    }
    if mss::may_announce(packet) {
        buf = announce(buf, packet.packet(), session, flight, nat, context);
    }
    context.counters.roles.gateway_reverse.add(1);
    let bucket = overlay::pick::bucket(client, context.tables.streams);
    context.replicate(flight, bucket, packet.version(), buf);
    Ok(())
}

/// The buffer with its new session; else with the reason to drop it, or `Err(None)` where it is held.
type Stray<B> = Result<(B, SessionIndex), Option<(B, Reason)>>;

/// A reply for which no session was found: one is made, or it is held, or refused.
#[cold]
#[inline(never)]
fn stray<P: BufPool, H: Headers>(
    buf: P::Buf,
    entry: &Reply<H>,
    reason: Reason,
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Stray<P::Buf> {
    match inbound::session(entry, reason, nat, context) {
        Ok(session) => Ok((buf, session)),
        Err(_) if inbound::is_held(&entry.packet) && entry.to == To::Pool => {
            let put = context.held.put(context.now_ns, buf, entry.port, entry.at);
            context.counters.roles.connections_held.set(context.held.len() as u64);
            put.map_or_else(|buf| Err(Some((buf, Reason::NatUnsolicited))), |()| Err(None))
        }
        Err(reason) => Err(Some((buf, reason))),
    }
}

/// The flight and the client of a session, brought up to date after a change of the configuration.
#[inline(always)]
fn flight_back(session: SessionIndex, nat: &mut Nat, tables: &Tables) -> Result<(u16, Addr), Reason> {
    let way = Way::of(nat.tag(session));
    let key = nat.key(session);
    if way.epoch == tables.epoch {
        return Ok((way.flight, key.client));
    }
    let flight = return_flight(tables, way.edge, key.service)?;
    nat.set_tag(session, Way { epoch: tables.epoch, flight, ..way }.tag());
    Ok((flight, key.client))
}
