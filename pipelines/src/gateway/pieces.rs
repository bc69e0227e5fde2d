//! What is not of the plain kind, through the gateway: fragments, whole packets that have to leave it as fragments, and
//! protocols that are not common.
//!
//! The first fragment has ports and is translated as a whole packet would be: the transport checksum covers the whole
//! datagram, so its change is the same. Later fragments follow it to its session; of these only addresses change. A
//! client's fragments all come on its stream's worker, which has its sessions. An origin's come on whichever the NIC
//! chose: they meet on the worker that their identification names, and go on together to the one that has the session.

use super::{
    Reply, Request, To, Way, answer_to_client, block_for, new_session, refuse, return_flight, session,
};
use super::{nat64, prefix};
use crate::answer::Answer;
use crate::emit::Context;
use crate::fragments::{Place, Target, datagram};
use crate::mss;
use crate::tables::{Flight, Tables};
use nat::{Nat, Quote, Seconds, ServiceId, SessionIndex, SessionView};
use packet::extent::Extent;
use packet::fragment::{self, may_cut};
use packet::icmp::Kind;
use packet::ip::{self, Fragment, Packet};
use packet::transport::is_common;
use packet::{Addr, BufPool, Headers, IpVersion, PacketBuf, Reason};

pub type Outcome<P> = Result<(), (<P as BufPool>::Buf, Reason)>;

/// A request that is a fragment, too large for its origin's port, or of another protocol. On error the buffer comes back with the reason.
#[cold]
#[inline(never)]
pub fn request<P: BufPool, H: Headers>(
    buf: P::Buf,
    entry: &Request<H>,
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Outcome<P> {
    let entry = entry.general();
    if entry.packet.fragment != Fragment::No {
        let outcome = request_fragment(buf, entry, nat, context);
        context.counters.roles.fragments_held.set(context.fragments.held() as u64);
        return outcome;
    }
    let target = any_session(&entry, nat, context)
        .map(|session| Target::Session(session, context.fragments.identify()));
    forward(buf, &entry, target.unwrap_or_else(Target::Nowhere), nat, context)
}

fn request_fragment<P: BufPool>(
    buf: P::Buf,
    entry: Request<Packet>,
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Outcome<P> {
    let packet = &entry.packet;
    let (place, target) = match track(buf.data(), packet, context, true) {
        Ok(found) => found,
        Err(reason) => return Err((buf, reason)),
    };
    match target {
        Some(target) => forward(buf, &entry, target, nat, context),
        None if packet.fragment == Fragment::Later => {
            let Context { fragments, counters, pool, now_s, .. } = context;
            fragments.requests.hold(*now_s, place, buf, entry, |buf, reason| {
                counters.drop(reason);
                pool.free(buf);
            });
            Ok(())
        }
        None => {
            let found = any_session(&entry, nat, context);
            let target = found.map(|session| Target::Session(session, context.fragments.identify()));
            let target = target.unwrap_or_else(Target::Nowhere);
            context.fragments.requests.settle(place, target);
            let outcome = forward(buf, &entry, target, nat, context);
            while let Some((buf, entry)) = context.fragments.requests.release(place) {
                if let Err((buf, reason)) = forward(buf, &entry, target, nat, context) {
                    context.drop(buf, reason);
                }
            }
            outcome
        }
    }
}

/// Notes a fragment and finds where its datagram goes, if that is known.
fn track<P: BufPool>(
    bytes: &[u8],
    packet: &Packet,
    context: &mut Context<P>,
    request: bool,
) -> Result<(Place, Option<Target>), Reason> {
    let (datagram, part) = (datagram(bytes, packet)?, Extent::of(bytes, packet)?);
    let Context { fragments, counters, pool, now_s, .. } = context;
    let thrown = |buf, reason| {
        counters.drop(reason);
        pool.free(buf);
    };
    match request {
        true => fragments.requests.track(*now_s, datagram, part, thrown),
        false => fragments.replies.track(*now_s, datagram, part, thrown),
    }
}

/// Sends a request, or a fragment of one, to its origin.
fn forward<P: BufPool>(
    mut buf: P::Buf,
    entry: &Request<Packet>,
    target: Target,
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Outcome<P> {
    let packet = &entry.packet;
    let is_right = |view: &SessionView| view.key.client == packet.src && view.vip == packet.dst;
    let (session, identification) = match of_target(target, packet, nat, is_right) {
        Ok(found) => found,
        Err(reason) => return refuse(buf, reason, entry, context),
    };
    if packet.version == IpVersion::V6 && nat64::changes(packet, session, nat) {
        return nat64::forward(buf, entry, (session, identification), nat, context);
    }
    let Some((tag, _)) = nat.any_tag_and_key(session) else {
        return Err((buf, Reason::NatNoSession));
    };
    let way = Way::of(tag);
    let tables = context.tables;
    let Some(egress) = tables.origins.get(way.origin as usize).and_then(|origin| origin.egress) else {
        return Err((buf, Reason::NoRoute));
    };
    if packet.ttl <= 1 {
        return answer_to_client(buf, packet, entry, Answer::TimeExceeded, context);
    }
    let fits = packet.len <= egress.mtu;
    if !fits && !may_cut(packet) {
        return answer_to_client(buf, packet, entry, Answer::TooBig(egress.mtu), context);
    }
    if let Err(reason) = nat.forward_any(Seconds(context.now_s), session, buf.data_mut(), packet) {
        return Err((buf, reason));
    }
    ip::decrement_ttl(buf.data_mut());
    if packet.fragment != Fragment::No || !fits {
        fragment::set_identification(buf.data_mut(), packet.version, identification);
    }
    if mss::may_announce(packet) {
        mss::clamp_leaving(buf.data_mut(), *packet, tables.flights.get(way.flight as usize));
    }
    context.counters.roles.gateway_forward.add(1);
    match fits {
        true => context.deliver(&egress, packet.version, buf),
        false => context.deliver_large(egress, buf),
    }
    Ok(())
}

/// The session that a datagram goes through. Its place may be another's by now.
fn of_target(
    target: Target,
    packet: &Packet,
    nat: &Nat,
    is_right: impl FnOnce(&SessionView) -> bool,
) -> Result<(SessionIndex, u32), Reason> {
    match target {
        // What follows a first fragment may be looked at long after it.
        Target::Session(session, identification) if packet.fragment == Fragment::Later => {
            let is_same =
                |view: &SessionView| packet.version == IpVersion::V6 || view.protocol == packet.protocol;
            let view = nat.any_session(session).filter(|view| is_same(view) && is_right(view));
            view.map(|_| (session, identification)).ok_or(Reason::FragmentOrphan)
        }
        Target::Session(session, identification) => Ok((session, identification)),
        Target::Nowhere(reason) => Err(reason),
        Target::Worker(_) => Err(Reason::FragmentOrphan),
    }
}

/// A reply that is a fragment, or too large for its flight's MTU.
#[cold]
#[inline(never)]
pub fn reply<P: BufPool, H: Headers>(
    buf: P::Buf,
    entry: &Reply<H>,
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Outcome<P> {
    let Reply { packet, at, port, protocol, external_port, home, slot, to } = *entry;
    let packet = packet.packet();
    let entry = Reply { packet, at, port, protocol, external_port, home, slot, to };
    if to == To::Prefix {
        return prefix::reply(buf, &entry, context);
    }
    if entry.packet.fragment != Fragment::No {
        let outcome = reply_fragment(buf, entry, nat, context);
        context.counters.roles.fragments_held.set(context.fragments.held() as u64);
        return outcome;
    }
    if !is_common(entry.protocol) && entry.packet.icmp_kind() == Kind::Error {
        return reply_error(buf, &entry, nat, context);
    }
    if entry.packet.icmp_kind() == Kind::Error
        && entry.packet.version == IpVersion::V4
        && nat.is_error_64(buf.data().get(entry.at as usize..).unwrap_or_default(), &entry.packet)
    {
        return nat64::reply_error(buf, &entry, nat, context);
    }
    // An error is translated by now; it is about as long as all paths carry, and nobody is told about errors.
    if entry.packet.icmp_kind() == Kind::Error {
        return Err((buf, Reason::TooBig));
    }
    let target = reply_target(&entry, nat, context);
    reverse(buf, &entry, target, nat, context)
}

fn reply_fragment<P: BufPool>(
    buf: P::Buf,
    entry: Reply<Packet>,
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Outcome<P> {
    let packet = &entry.packet;
    let bytes = buf.data().get(entry.at as usize..).unwrap_or_default();
    let (place, target) = match track(bytes, packet, context, false) {
        Ok(found) => found,
        Err(reason) => return Err((buf, reason)),
    };
    match target {
        Some(target) => reverse(buf, &entry, target, nat, context),
        None if packet.fragment == Fragment::Later => {
            let Context { fragments, counters, pool, now_s, .. } = context;
            fragments.replies.hold(*now_s, place, buf, entry, |buf, reason| {
                counters.drop(reason);
                pool.free(buf);
            });
            Ok(())
        }
        None => {
            let target = reply_target(&entry, nat, context);
            context.fragments.replies.settle(place, target);
            let outcome = reverse(buf, &entry, target, nat, context);
            while let Some((buf, entry)) = context.fragments.replies.release(place) {
                if let Err((buf, reason)) = reverse(buf, &entry, target, nat, context) {
                    context.drop(buf, reason);
                }
            }
            outcome
        }
    }
}

/// Where a reply with ports goes.
fn reply_target<P: BufPool>(entry: &Reply<Packet>, nat: &Nat, context: &Context<P>) -> Target {
    let Reply { protocol, external_port, packet, .. } = *entry;
    let owner = match is_common(protocol) {
        true => nat::owner(protocol, external_port, context.workers),
        false => nat.owner_other(protocol, packet.dst, external_port),
    };
    if let Some(owner) = owner.filter(|owner| *owner != context.worker) {
        return Target::Worker(owner);
    }
    let (dst, src) = ((packet.dst, packet.dst_port), (packet.src, packet.src_port));
    let found = match entry.slot {
        _ if !is_common(protocol) => nat.find_other_reverse(src, dst, protocol),
        Some(slot) => nat.find_reverse(slot, src.0, src.1),
        None if entry.to == To::Client => nat.find_untranslated(dst, packet.protocol, src),
        None => Err(Reason::NatNoSession),
    };
    match found {
        Ok(session) => Target::Session(session, 0),
        Err(reason) => Target::Nowhere(reason),
    }
}

/// Sends a reply, or a fragment of one, to its client, or to the worker that has its session.
fn reverse<P: BufPool>(
    buf: P::Buf,
    entry: &Reply<Packet>,
    target: Target,
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Outcome<P> {
    if let Target::Worker(owner) = target {
        context.hand_off(buf, entry.port, owner);
        return Ok(());
    }
    let packet = &entry.packet;
    let tables = context.tables;
    let is_right = |view: &SessionView| view.origin == packet.src && view.external == packet.dst;
    let found = of_target(target, packet, nat, is_right)
        .and_then(|(session, _)| Ok((session, any_flight_back(session, nat, tables)?)));
    let (session, (flight, client)) = match found {
        Ok(found) => found,
        Err(reason) => return Err((buf, reason)),
    };
    let Some(flight) = tables.flights.get(flight as usize) else {
        return Err((buf, Reason::NoRoute));
    };
    if packet.version == IpVersion::V4 && nat64::changes(packet, session, nat) {
        return nat64::reverse(buf, entry, session, (flight, client), nat, context);
    }
    let now = Seconds(context.now_s);
    let translate = |bytes: &mut [u8]| nat.reverse_any(now, session, bytes, packet);
    send_back(buf, entry, (flight, client), context, translate)
}

/// Translates a packet from the origins' side in place and sends it to the client's edge, in fragments where it is too large and may be;
/// answers it where it may not, or its time is over.
pub fn send_back<P: BufPool>(
    mut buf: P::Buf,
    entry: &Reply<Packet>,
    (flight, client): (&Flight, Addr),
    context: &mut Context<P>,
    translate: impl FnOnce(&mut [u8]) -> Result<(), Reason>,
) -> Outcome<P> {
    let packet = &entry.packet;
    let refused = match packet.ttl {
        0 | 1 => Some(Answer::TimeExceeded),
        _ => flight.refuses(packet).map(Answer::TooBig),
    };
    if let Some(answer) = refused {
        context.answer_on_wire(buf, entry.port, entry.at, packet, answer);
        return Ok(());
    }
    if buf.keep(entry.at as usize, packet.len as usize).is_err() {
        return Err((buf, Reason::IpTruncated));
    }
    if let Err(reason) = translate(buf.data_mut()) {
        return Err((buf, reason));
    }
    ip::decrement_ttl(buf.data_mut());
    if mss::may_announce(packet) {
        mss::clamp(buf.data_mut(), *packet, flight.mtu);
    }
    context.counters.roles.gateway_reverse.add(1);
    let bucket = overlay::pick::bucket(client, context.tables.streams);
    match packet.len <= flight.mtu {
        true => context.replicate(flight, bucket, packet.version, buf),
        false => context.replicate_large(flight, bucket, packet.version, buf),
    }
    Ok(())
}

/// The session of a request of any protocol.
fn any_session<P: BufPool>(
    entry: &Request<Packet>,
    nat: &mut Nat,
    context: &Context<P>,
) -> Result<SessionIndex, Reason> {
    if is_common(entry.packet.protocol) {
        return session(entry, nat, context).map(|(session, _)| session);
    }
    let key = entry.key();
    let Some(session) = nat.find_other(&key) else {
        let new = new_session(&entry.packet, entry.edge, key.service, context.tables)?;
        let block = if context.leases.is_paired() { block_for(&entry.packet, nat, context)? } else { 0 };
        return nat.create_other(Seconds(context.now_s), key, new, block);
    };
    any_flight_back(session, nat, context.tables).map(|_| session)
}

/// As [`flight_back`](super::flight_back), of a session of any protocol.
pub fn any_flight_back(session: SessionIndex, nat: &mut Nat, tables: &Tables) -> Result<(u16, Addr), Reason> {
    let (tag, key) = nat.any_tag_and_key(session).ok_or(Reason::NatNoSession)?;
    let way = Way::of(tag);
    if way.epoch == tables.epoch {
        return Ok((way.flight, key.client));
    }
    let flight = return_flight(tables, way.edge, key.service)?;
    nat.set_any_tag(session, Way { epoch: tables.epoch, flight, ..way }.tag());
    Ok((flight, key.client))
}

/// Translates a client's ICMP error about a packet of any protocol.
pub fn request_error(
    bytes: &mut [u8],
    packet: &Packet,
    nat: &mut Nat,
    find: impl FnOnce(Addr, u8, u16) -> Option<ServiceId>,
) -> Result<SessionIndex, Reason> {
    match is_common(Quote::of(bytes, packet)?.protocol) {
        true => nat.forward_error(bytes, packet, find),
        false => nat.forward_error_other(bytes, packet, find),
    }
}

/// An ICMP error about a packet of a protocol that is not common.
fn reply_error<P: BufPool>(
    mut buf: P::Buf,
    entry: &Reply<Packet>,
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Outcome<P> {
    let packet = &entry.packet;
    if packet.ttl <= 1 {
        return Err((buf, Reason::TtlExpired));
    }
    if buf.keep(entry.at as usize, packet.len as usize).is_err() {
        return Err((buf, Reason::IpTruncated));
    }
    let found = nat.reverse_error_other(buf.data_mut(), packet);
    let (flight, client) = match found.and_then(|session| any_flight_back(session, nat, context.tables)) {
        Ok(found) => found,
        Err(reason) => return Err((buf, reason)),
    };
    let Some(flight) = context.tables.flights.get(flight as usize).filter(|flight| packet.len <= flight.mtu)
    else {
        return Err((buf, Reason::TooBig));
    };
    ip::decrement_ttl(buf.data_mut());
    context.counters.roles.gateway_reverse.add(1);
    let bucket = overlay::pick::bucket(client, context.tables.streams);
    context.replicate(flight, bucket, packet.version, buf);
    Ok(())
}
