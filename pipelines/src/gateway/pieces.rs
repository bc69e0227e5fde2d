//! Fragments through the gateway, and whole packets that have to leave it as fragments.
//!
//! The first fragment has ports and is translated as a whole packet would be: the transport checksum covers the whole
//! datagram, so its change is the same. Later fragments follow it to its session; of these only addresses change.

use super::{Reply, Request, Way, answer_to_client, flight_back, session};
use crate::answer::Answer;
use crate::emit::Context;
use crate::fragments::Datagram;
use crate::mss;
use nat::{Nat, Seconds, SessionIndex, SessionView};
use packet::fragment::{self, may_cut};
use packet::icmp::Kind;
use packet::ip::{self, Fragment, Packet};
use packet::{BufPool, Headers, IpVersion, PacketBuf, Reason};

/// What the fragments of this packet are known by; `bytes` starts at its IP header.
fn datagram(bytes: &[u8], packet: &Packet) -> Result<Datagram, Reason> {
    let Packet { src, dst, protocol, .. } = *packet;
    let identification = fragment::identification(bytes, packet).ok_or(Reason::IpExtension)?;
    Ok(Datagram { src, dst, identification, protocol })
}

/// The session of a later fragment, with the identification to leave with. The session's place may be another's by now.
fn of_first<P: BufPool>(
    bytes: &[u8],
    packet: &Packet,
    nat: &Nat,
    context: &mut Context<P>,
    is_right: impl FnOnce(&SessionView) -> bool,
) -> Result<(SessionIndex, u16), Reason> {
    let found = context.fragments.find(context.now_s, &datagram(bytes, packet)?);
    let (session, identification) = found.ok_or(Reason::FragmentOrphan)?;
    let view = nat.session(session).filter(|view| view.protocol == packet.protocol && is_right(view));
    view.map(|_| (session, identification)).ok_or(Reason::FragmentOrphan)
}

/// A request that is a fragment, or too large for its origin's port. On error the buffer comes back with the reason.
#[cold]
#[inline(never)]
pub fn request<P: BufPool, H: Headers>(
    mut buf: P::Buf,
    entry: &Request<H>,
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Result<(), (P::Buf, Reason)> {
    let packet = entry.packet.packet();
    let (session, identification) = match request_session(buf.data(), &packet, entry, nat, context) {
        Ok(found) => found,
        Err(reason) => return Err((buf, reason)),
    };
    let way = Way::of(nat.tag(session));
    let tables = context.tables;
    let Some(egress) = tables.origins.get(way.origin as usize).and_then(|origin| origin.egress) else {
        return Err((buf, Reason::NoRoute));
    };
    if packet.ttl <= 1 {
        return answer_to_client(buf, &packet, entry, Answer::TimeExceeded, context);
    }
    let fits = packet.len <= egress.mtu;
    if !fits && !may_cut(&packet) {
        return answer_to_client(buf, &packet, entry, Answer::TooBig(egress.mtu), context);
    }
    if let Err(reason) = nat.forward(Seconds(context.now_s), session, buf.data_mut(), &packet) {
        return Err((buf, reason));
    }
    ip::decrement_ttl(buf.data_mut());
    if packet.version == IpVersion::V4 {
        fragment::set_identification(buf.data_mut(), identification);
    }
    if mss::may_announce(&packet) {
        mss::clamp_leaving(buf.data_mut(), packet, tables.flights.get(way.flight as usize));
    }
    context.counters.roles.gateway_forward.add(1);
    match fits {
        true => context.deliver(&egress, packet.version, buf),
        false => context.deliver_large(egress, buf),
    }
    Ok(())
}

fn request_session<P: BufPool, H: Headers>(
    bytes: &[u8],
    packet: &Packet,
    entry: &Request<H>,
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Result<(SessionIndex, u16), Reason> {
    if packet.fragment == Fragment::Later {
        let is_right = |view: &SessionView| view.key.client == packet.src && view.vip == packet.dst;
        return of_first(bytes, packet, nat, context, is_right);
    }
    let session = session(entry, nat, context)?;
    let identification = match packet.fragment {
        Fragment::No => context.fragments.identify(),
        _ => context.fragments.insert(context.now_s, datagram(bytes, packet)?, session),
    };
    Ok((session, identification))
}

/// A reply that is a fragment, or too large for its flight's MTU.
#[cold]
#[inline(never)]
pub fn reply<P: BufPool, H: Headers>(
    mut buf: P::Buf,
    entry: &Reply<H>,
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Result<(), (P::Buf, Reason)> {
    let packet = entry.packet.packet();
    let tables = context.tables;
    let bytes = buf.data().get(entry.at as usize..).unwrap_or_default();
    let found = reply_session(bytes, &packet, entry, nat, context)
        .and_then(|session| Ok((session, flight_back(session, nat, tables)?)));
    let (session, (flight, client)) = match found {
        Ok(found) => found,
        Err(reason) => return Err((buf, reason)),
    };
    let Some(flight) = tables.flights.get(flight as usize) else {
        return Err((buf, Reason::NoRoute));
    };
    let refused = match packet.ttl {
        0 | 1 => Some(Answer::TimeExceeded),
        _ => flight.refuses(&packet).map(Answer::TooBig),
    };
    if let Some(answer) = refused {
        context.answer_on_wire(buf, entry.port, entry.at, &packet, answer);
        return Ok(());
    }
    if buf.keep(entry.at as usize, packet.len as usize).is_err() {
        return Err((buf, Reason::IpTruncated));
    }
    if let Err(reason) = nat.reverse(Seconds(context.now_s), session, buf.data_mut(), &packet) {
        return Err((buf, reason));
    }
    ip::decrement_ttl(buf.data_mut());
    if mss::may_announce(&packet) {
        mss::clamp(buf.data_mut(), packet, flight.mtu);
    }
    context.counters.roles.gateway_reverse.add(1);
    let bucket = overlay::pick::bucket(client, tables.streams);
    match packet.len <= flight.mtu {
        true => context.replicate(flight, bucket, packet.version, buf),
        false => context.replicate_large(flight, bucket, packet.version, buf),
    }
    Ok(())
}

fn reply_session<P: BufPool, H: Headers>(
    bytes: &[u8],
    packet: &Packet,
    entry: &Reply<H>,
    nat: &Nat,
    context: &mut Context<P>,
) -> Result<SessionIndex, Reason> {
    if packet.fragment == Fragment::Later {
        let is_right = |view: &SessionView| view.origin == packet.src && view.external == packet.dst;
        return of_first(bytes, packet, nat, context, is_right).map(|(session, _)| session);
    }
    // An error is translated by now; it is about as long as all paths carry, and nobody is told about errors.
    if packet.icmp_kind() == Kind::Error {
        return Err(Reason::TooBig);
    }
    let session = match entry.slot {
        Some(slot) => nat.find_reverse(slot, packet.src, packet.src_port)?,
        None if entry.is_untranslated => {
            let (dst, src) = ((packet.dst, packet.dst_port), (packet.src, packet.src_port));
            nat.find_untranslated(dst, packet.protocol, src)?
        }
        None => return Err(Reason::NatNoSession),
    };
    if packet.fragment == Fragment::First {
        context.fragments.insert(context.now_s, datagram(bytes, packet)?, session);
    }
    Ok(session)
}
