//! Clients of IPv6 that are translated by prefix (RFC 6296): no session, no port, nothing to remember. Everything that a
//! session would know follows from the packet:
//!
//! ```text
//!  client's packet    (virtual IP, client)     -> rule -> address outside, application
//!                     (application, client)    -> origin
//!  origin's packet    address outside          -> rule -> client, virtual IP, edge, application
//!                     (application, client)    -> origin, which must be its sender
//! ```
//!
//! So any worker of any gateway of the region translates alike, and fragments need not meet.

use super::pieces::{Outcome, send_back};
use super::{Reply, Request, answer_to_client, origin_of};
use crate::answer::Answer;
use crate::emit::Context;
use crate::mss;
use crate::tables::{Flight, Origin, Prefixed, Tables};
use nat::{Ends, Quote};
use packet::icmp::Kind;
use packet::ip::{self, Fragment, Packet};
use packet::transport::{SCTP, TCP, UDP, UDP_LITE};
use packet::{Addr, BufPool, Headers, IpVersion, PacketBuf, Reason};

/// The port that a packet tells of its origin's end.
#[derive(Clone, Copy)]
enum Port {
    /// Of the virtual IP.
    Vip(u16),
    /// Of the origin.
    Origin(u16),
    /// None: a later fragment.
    Unknown,
}

impl Port {
    fn told(fragment: Fragment, port: Port) -> Port {
        if fragment == Fragment::Later { Port::Unknown } else { port }
    }
}

/// The rule for a client's packet, if there is one.
#[inline(always)]
pub fn of_request<'a>(packet: &impl Headers, tables: &'a Tables) -> Option<&'a Prefixed> {
    if packet.version() == IpVersion::V4 || tables.prefixes.is_empty() {
        return None;
    }
    tables.prefixes.of_client(packet.dst(), packet.src())
}

/// The rule for a client's ICMP error, and what that quotes: a packet to a client that is translated by prefix.
#[cold]
pub fn of_request_error<'a>(
    bytes: &[u8],
    packet: &Packet,
    tables: &'a Tables,
) -> Option<(&'a Prefixed, Quote)> {
    if packet.version == IpVersion::V4 || tables.prefixes.is_empty() {
        return None;
    }
    let quote = Quote::of(bytes, packet).ok()?;
    Some((tables.prefixes.of_client(packet.dst, quote.dst)?, quote))
}

/// Translates a client's packet and hands it to its origin.
#[inline(never)]
pub fn request<P: BufPool>(
    mut buf: P::Buf,
    entry: &Request<Packet>,
    rule: &Prefixed,
    context: &mut Context<P>,
) -> Outcome<P> {
    let packet = &entry.packet;
    let tables = context.tables;
    let port = Port::told(packet.fragment, Port::Vip(packet.dst_port));
    let found = rule.pair.outward(packet.src).ok_or(Reason::NatPrefix);
    let found = found.and_then(|external| ends(rule, (packet.src, external), packet.protocol, port, tables));
    let (ends, origin) = match found {
        Ok(found) => found,
        Err(reason) => return Err((buf, reason)),
    };
    let Some(egress) = origin.egress.as_ref() else {
        return Err((buf, Reason::NoRoute));
    };
    if packet.ttl <= 1 {
        return answer_to_client(buf, packet, entry, Answer::TimeExceeded, context);
    }
    if packet.len > egress.mtu {
        return answer_to_client(buf, packet, entry, Answer::TooBig(egress.mtu), context);
    }
    ends.forward(buf.data_mut(), packet);
    ip::decrement_ttl(buf.data_mut());
    if mss::may_announce(packet) {
        mss::clamp_leaving(buf.data_mut(), *packet, flight_back(rule, tables));
    }
    context.counters.roles.gateway_forward.add(1);
    context.counters.roles.prefix_forward.add(1);
    context.deliver(egress, packet.version, buf);
    Ok(())
}

/// Translates a client's ICMP error. It fits every port, being short.
#[cold]
pub fn request_error<P: BufPool>(
    mut buf: P::Buf,
    packet: &Packet,
    (rule, quote): (&Prefixed, Quote),
    context: &mut Context<P>,
) -> Outcome<P> {
    let tables = context.tables;
    let client = quote.dst;
    let found = rule.pair.outward(client).ok_or(Reason::NatPrefix).and_then(|external| {
        ends(rule, (client, external), quote.protocol, Port::Vip(quote.src_port), tables)
    });
    let translated = found.and_then(|(ends, origin)| {
        ends.forward_error(buf.data_mut(), packet, &quote)?;
        origin.egress.as_ref().ok_or(Reason::NoRoute)
    });
    let egress = match translated {
        Ok(egress) => egress,
        Err(reason) => return Err((buf, reason)),
    };
    ip::decrement_ttl(buf.data_mut());
    context.counters.roles.gateway_forward.add(1);
    context.counters.roles.prefix_forward.add(1);
    context.deliver(egress, packet.version, buf);
    Ok(())
}

/// Translates a packet from the origins' side to an address outside and sends it to the client's edge.
#[inline(never)]
pub fn reply<P: BufPool>(buf: P::Buf, entry: &Reply<Packet>, context: &mut Context<P>) -> Outcome<P> {
    let packet = &entry.packet;
    let tables = context.tables;
    let Some(rule) = tables.prefixes.of_outside(packet.dst) else {
        return Err((buf, Reason::NoDestination));
    };
    let Some(flight) = flight_back(rule, tables) else {
        return Err((buf, Reason::NoRoute));
    };
    let bytes = buf.data().get(entry.at as usize..).unwrap_or_default();
    let (ends, quote) = match reply_ends(bytes, packet, rule, tables) {
        Ok(found) => found,
        Err(reason) => return Err((buf, reason)),
    };
    let roles = &context.counters.roles;
    send_back(buf, entry, (flight, ends.client), context, |bytes| {
        match quote {
            Some(quote) => ends.reverse_error(bytes, packet, &quote)?,
            None => ends.reverse(bytes, packet),
        }
        roles.prefix_reverse.add(1);
        Ok(())
    })
}

/// The client that a packet from the origins' side is for, with its origin; of an ICMP error, what that quotes as well.
fn reply_ends(
    bytes: &[u8],
    packet: &Packet,
    rule: &Prefixed,
    tables: &Tables,
) -> Result<(Ends, Option<Quote>), Reason> {
    let external = packet.dst;
    let client = rule.pair.inward(external).ok_or(Reason::NatPrefix)?;
    let quote = match packet.icmp_kind() {
        Kind::Error => Some(Quote::of(bytes, packet)?),
        _ => None,
    };
    let (sender, protocol, port) = match &quote {
        Some(quote) => (quote.dst, quote.protocol, Port::Origin(quote.dst_port)),
        None => (packet.src, packet.protocol, Port::told(packet.fragment, Port::Origin(packet.src_port))),
    };
    let (ends, _) = ends(rule, (client, external), protocol, port, tables)?;
    // The client's answer would go to its own origin.
    if ends.origin != sender {
        return Err(Reason::NatWrongPeer);
    }
    Ok((ends, quote))
}

/// A client and its origin as both sides know them. The protocol must be one that the application serves, and the port as
/// well, where the packet tells it.
fn ends<'a>(
    rule: &Prefixed,
    (client, external): (Addr, Addr),
    protocol: u8,
    port: Port,
    tables: &'a Tables,
) -> Result<(Ends, &'a Origin), Reason> {
    let service = tables.service_of(rule.vip, protocol).ok_or(Reason::UnknownService)?;
    let application = tables.applications.get(rule.application as usize).ok_or(Reason::UnknownService)?;
    let number = origin_of(application, client, IpVersion::V6, tables)?;
    let origin = tables.origins.get(number as usize).ok_or(Reason::NoOrigin)?;
    // Clients with origins of the other IP version have sessions.
    if origin.address.is_v4() {
        return Err(Reason::NoOrigin);
    }
    // SCTP keeps its ports.
    let own = origin.port.filter(|_| protocol != SCTP);
    let (vip_port, origin_port) = match port {
        _ if !matches!(protocol, TCP | UDP | UDP_LITE | SCTP) => (0, 0),
        Port::Vip(port) => (port, own.unwrap_or(port)),
        Port::Origin(port) if own.is_some_and(|own| own != port) => return Err(Reason::NatWrongPeer),
        Port::Origin(port) => {
            // An origin has a port of its own only where one port of a protocol is served.
            let served = tables.services.get(service as usize).and_then(|service| service.ports.first());
            let (first, ..) = served.ok_or(Reason::UnknownService)?;
            (if own.is_some() { *first } else { port }, port)
        }
        Port::Unknown => (0, 0),
    };
    let is_served = tables.application_of(service, vip_port) == Some(rule.application);
    if !is_served && !matches!(port, Port::Unknown) {
        return Err(Reason::UnknownService);
    }
    let ends = Ends { client, external, vip: rule.vip, vip_port, origin: origin.address, origin_port };
    Ok((ends, origin))
}

/// The flight to the edge that holds a rule's virtual IP.
fn flight_back<'a>(rule: &Prefixed, tables: &'a Tables) -> Option<&'a Flight> {
    let flight = tables.returns.get(&(rule.edge, rule.application))?;
    tables.flights.get(*flight as usize)
}
