//! Clients of IPv6 whose origins speak IPv4 (RFC 6146, RFC 7915): sessions are as any, packets change their headers, and so
//! their length. All of it is chosen by the session; what stays in one IP version does not come here.

use super::pieces::{Outcome, any_flight_back};
use super::{Reply, Request, Way, answer_to_client};
use crate::answer::Answer;
use crate::emit::Context;
use crate::mss;
use crate::tables::Flight;
use nat::{Nat, Seconds, ServiceId, SessionIndex};
use packet::fragment::may_cut;
use packet::ip::{self, Fragment, Ipv4, Packet};
use packet::transport::TCP;
use packet::{Addr, BufPool, IpVersion, PacketBuf, Reason, siit};

/// What every IPv6 link carries: a datagram that an origin lets be cut is cut to this, for its client's links can not.
const V6_MTU_MIN: u16 = 1280;
/// Bytes that a fragment grows by.
const FRAGMENT_GROWTH: u16 = siit::GROWTH + siit::FRAGMENT_HEADER_LEN;

/// Sends a request, or a fragment of one, to its origin.
pub fn forward<P: BufPool>(
    mut buf: P::Buf,
    entry: &Request<Packet>,
    (session, identification): (SessionIndex, u32),
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Outcome<P> {
    let packet = &entry.packet;
    let way = Way::of(nat.tag(session));
    let tables = context.tables;
    let Some(egress) = tables.origins.get(way.origin as usize).and_then(|origin| origin.egress) else {
        return Err((buf, Reason::NoRoute));
    };
    if packet.ttl <= 1 {
        return answer_to_client(buf, packet, entry, Answer::TimeExceeded, context);
    }
    let fits = siit::len_after(packet) <= egress.mtu as usize;
    if !fits && packet.fragment == Fragment::No {
        let mtu = egress.mtu.saturating_add(siit::GROWTH).max(V6_MTU_MIN);
        return answer_to_client(buf, packet, entry, Answer::TooBig(mtu), context);
    }
    if mss::may_announce(packet) {
        mss::clamp_leaving(buf.data_mut(), *packet, tables.flights.get(way.flight as usize));
    }
    let now = Seconds(context.now_s);
    if let Err(reason) = nat.forward_64(now, session, &mut buf, packet, identification as u16) {
        return Err((buf, reason));
    }
    ip::decrement_ttl(buf.data_mut());
    context.counters.roles.gateway_forward.add(1);
    match fits {
        true => context.deliver(&egress, IpVersion::V4, buf),
        false => context.deliver_large(egress, buf),
    }
    Ok(())
}

/// Sends a reply, or a fragment of one, to its client over this flight.
pub fn reverse<P: BufPool>(
    mut buf: P::Buf,
    entry: &Reply<Packet>,
    session: SessionIndex,
    (flight, client): (&Flight, Addr),
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Outcome<P> {
    let packet = &entry.packet;
    let refused = match packet.ttl {
        0 | 1 => Some(Answer::TimeExceeded),
        _ if siit::len_after(packet) <= flight.mtu as usize || may_cut(packet) => None,
        _ => Some(Answer::TooBig(flight.mtu.saturating_sub(siit::GROWTH))),
    };
    if let Some(answer) = refused {
        context.answer_on_wire(buf, entry.port, entry.at, packet, answer);
        return Ok(());
    }
    if buf.keep(entry.at as usize, packet.len as usize).is_err() {
        return Err((buf, Reason::IpTruncated));
    }
    ip::decrement_ttl(buf.data_mut());
    if mss::may_announce(packet) && packet.protocol == TCP {
        let tcp = buf.data_mut().get_mut(packet.transport_at as usize..).unwrap_or_default();
        packet::mss::clamp(tcp, packet::mss::of_mtu(IpVersion::V6, flight.mtu));
    }
    context.counters.roles.gateway_reverse.add(1);
    let bucket = overlay::pick::bucket(client, context.tables.streams);
    let limit = flight.mtu.min(V6_MTU_MIN);
    if siit::len_after(packet) <= limit as usize || !may_cut(packet) {
        return send(buf, packet, session, (flight, bucket), nat, context);
    }
    nat.prepare_64(buf.data_mut(), packet);
    context.in_pieces(buf, limit.saturating_sub(FRAGMENT_GROWTH), |context, piece| {
        let sent = match ip::parse(piece.data()) {
            Ok(packet) => send(piece, &packet, session, (flight, bucket), nat, context),
            Err(reason) => Err((piece, reason)),
        };
        if let Err((buf, reason)) = sent {
            context.drop(buf, reason);
        }
    });
    Ok(())
}

fn send<P: BufPool>(
    mut buf: P::Buf,
    packet: &Packet,
    session: SessionIndex,
    (flight, bucket): (&Flight, u8),
    nat: &mut Nat,
    context: &mut Context<P>,
) -> Outcome<P> {
    match nat.reverse_64(Seconds(context.now_s), session, &mut buf, packet) {
        Ok(()) => context.replicate(flight, bucket, IpVersion::V6, buf),
        Err(reason) => return Err((buf, reason)),
    }
    Ok(())
}

/// An ICMP error from the origin's side about a request that came as IPv6.
pub fn reply_error<P: BufPool>(
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
    let found = nat.reverse_error_64(&mut buf, packet);
    let (flight, client) = match found.and_then(|session| any_flight_back(session, nat, context.tables)) {
        Ok(found) => found,
        Err(reason) => return Err((buf, reason)),
    };
    let Some(flight) =
        context.tables.flights.get(flight as usize).filter(|flight| buf.len() <= flight.mtu as usize)
    else {
        return Err((buf, Reason::TooBig));
    };
    ip::decrement_ttl(buf.data_mut());
    context.counters.roles.gateway_reverse.add(1);
    let bucket = overlay::pick::bucket(client, context.tables.streams);
    context.replicate(flight, bucket, IpVersion::V6, buf);
    Ok(())
}

/// A client's ICMPv6 error about a reply that came as IPv4.
pub fn request_error<P: BufPool>(
    mut buf: P::Buf,
    packet: &Packet,
    nat: &mut Nat,
    context: &mut Context<P>,
    find: impl FnOnce(Addr, u8, u16) -> Option<ServiceId>,
) -> Outcome<P> {
    let session = match nat.forward_error_64(&mut buf, packet, find) {
        Ok(session) => session,
        Err(reason) => return Err((buf, reason)),
    };
    let origin = context.tables.origins.get(Way::of(nat.tag(session)).origin as usize);
    let Some(egress) = origin.and_then(|origin| origin.egress) else {
        return Err((buf, Reason::NoRoute));
    };
    context.counters.roles.gateway_forward.add(1);
    context.deliver(&egress, IpVersion::V4, buf);
    Ok(())
}

/// Whether a packet that is not plain, of this session, changes its IP version.
pub fn changes(packet: &Packet, session: SessionIndex, nat: &Nat) -> bool {
    // Sessions of other protocols stay in their version.
    packet::transport::is_common(packet.protocol) && nat.is_nat64(session)
}

const _: () = assert!(Ipv4::LEN as u16 == siit::GROWTH, "an IPv6 header is as long as two of IPv4");
