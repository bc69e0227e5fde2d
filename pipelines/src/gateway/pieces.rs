//! Fragments through the gateway, and whole packets that have to leave it as fragments.
//!
//! The first fragment has ports and is translated as a whole packet would be: the transport checksum covers the whole
//! datagram, so its change is the same. Later fragments follow it to its session; of these only addresses change. A
//! client's fragments all come on its stream's worker, which has its sessions. An origin's come on whichever the NIC
//! chose: they meet on the worker that their identification names, and go on together to the one that has the session.

use super::{Reply, Request, Way, answer_to_client, flight_back, session};
use crate::answer::Answer;
use crate::emit::Context;
use crate::fragments::{Place, Target, datagram};
use crate::mss;
use nat::{Nat, Seconds, SessionIndex, SessionView};
use packet::extent::Extent;
use packet::fragment::{self, may_cut};
use packet::icmp::Kind;
use packet::ip::{self, Fragment, Packet};
use packet::{BufPool, Headers, IpVersion, PacketBuf, Reason};

type Outcome<P> = Result<(), (<P as BufPool>::Buf, Reason)>;

/// A request that is a fragment, or too large for its origin's port. On error the buffer comes back with the reason.
#[cold]
#[inline(never)]
pub fn request<P: BufPool, H: Headers>(
    buf: P::Buf,
    entry: &Request<H>,
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Outcome<P> {
    let Request { packet, edge, service, hash, guess } = *entry;
    let entry = Request { packet: packet.packet(), edge, service, hash, guess };
    if entry.packet.fragment != Fragment::No {
        let outcome = request_fragment(buf, entry, nat, context);
        context.counters.roles.fragments_held.set(context.fragments.held() as u64);
        return outcome;
    }
    let target = session(&entry, nat, context)
        .map(|(session, _)| Target::Session(session, context.fragments.identify()));
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
            let found = session(&entry, nat, context);
            let target = found.map(|(session, _)| Target::Session(session, context.fragments.identify()));
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
        Err(reason) => return Err((buf, reason)),
    };
    let way = Way::of(nat.tag(session));
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
    nat.forward(Seconds(context.now_s), session, buf.data_mut(), packet);
    ip::decrement_ttl(buf.data_mut());
    if packet.fragment != Fragment::No || packet.version == IpVersion::V4 {
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
            let view = nat.session(session).filter(|view| is_same(view) && is_right(view));
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
    let Reply { packet, at, port, protocol, external_port, home, slot } = *entry;
    let entry = Reply { packet: packet.packet(), at, port, protocol, external_port, home, slot };
    if entry.packet.fragment != Fragment::No {
        let outcome = reply_fragment(buf, entry, nat, context);
        context.counters.roles.fragments_held.set(context.fragments.held() as u64);
        return outcome;
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
    let owner = nat::owner(entry.protocol, entry.external_port, context.workers);
    if let Some(owner) = owner.filter(|owner| *owner != context.worker) {
        return Target::Worker(owner);
    }
    let slot = entry.slot.ok_or(Reason::NatNoSession);
    match slot.and_then(|slot| nat.find_reverse(slot, entry.packet.src, entry.packet.src_port)) {
        Ok(session) => Target::Session(session, 0),
        Err(reason) => Target::Nowhere(reason),
    }
}

/// Sends a reply, or a fragment of one, to its client, or to the worker that has its session.
fn reverse<P: BufPool>(
    mut buf: P::Buf,
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
        .and_then(|(session, _)| Ok((session, flight_back(session, nat, tables)?)));
    let (session, (flight, client)) = match found {
        Ok(found) => found,
        Err(reason) => return Err((buf, reason)),
    };
    let Some(flight) = tables.flights.get(flight as usize) else {
        return Err((buf, Reason::NoRoute));
    };
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
    nat.reverse(Seconds(context.now_s), session, buf.data_mut(), packet);
    ip::decrement_ttl(buf.data_mut());
    if mss::may_announce(packet) {
        mss::clamp(buf.data_mut(), *packet, flight.mtu);
    }
    context.counters.roles.gateway_reverse.add(1);
    let bucket = overlay::pick::bucket(client, tables.streams);
    match packet.len <= flight.mtu {
        true => context.replicate(flight, bucket, packet.version, buf),
        false => context.replicate_large(flight, bucket, packet.version, buf),
    }
    Ok(())
}
