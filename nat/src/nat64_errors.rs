//! ICMP errors between IPv6 and IPv4 (RFC 7915 sections 4.2 and 5.2): the message, the packet that it quotes, and the MTU in it.
//! Extensions (RFC 4884) are left behind.

use crate::icmp::check;
use crate::nat64::{echo, goes_to_origin, towards_client, towards_origin};
use crate::quote::Quote;
use crate::session::{Key, ServiceId, Session, SessionIndex};
use crate::table::Nat;
use packet::checksum::{self, Delta, pseudo_header};
use packet::icmp::{
    Kind, V4_PARAMETER_PROBLEM, V4_TIME_EXCEEDED, V4_UNREACHABLE, V6_PARAMETER_PROBLEM, V6_TIME_EXCEEDED,
    V6_TOO_BIG, V6_UNREACHABLE,
};
use packet::ip::{Ipv4, Ipv6, Packet};
use packet::transport::{ICMP, ICMPV6};
use packet::{Addr, PacketBuf, Reason};

const ICMP_LEN: usize = 8;
/// Bytes of a quoted transport header and what follows, so that an error stays within 1280 and 576 bytes.
const QUOTED_MAX_V6: usize = 1280 - 2 * Ipv6::LEN - ICMP_LEN;
const QUOTED_MAX_V4: usize = 576 - 2 * Ipv4::LEN - ICMP_LEN;
/// What every IPv6 link carries.
const MTU_MIN_V6: u32 = 1280;
const GROWTH: u32 = 20;
const TTL: u8 = 64;

/// The first words of an ICMP message: type, code, and what follows the checksum.
type Message = (u8, u8, u32);

impl Nat {
    /// Whether an ICMP error from the origin's side is about a session that leads from IPv6 to IPv4.
    pub fn is_error_64(&self, bytes: &[u8], packet: &Packet) -> bool {
        Quote::of(bytes, packet)
            .and_then(|quote| self.quoted_from_origin(&quote))
            .is_ok_and(|one| self.is_nat64(one))
    }

    fn quoted_from_origin(&self, quote: &Quote) -> Result<SessionIndex, Reason> {
        let slot =
            self.reverse_slot(quote.src, quote.protocol, quote.src_port).ok_or(Reason::NatNoSession)?;
        self.find_reverse(slot, quote.dst, quote.dst_port)
    }

    /// As [`Nat::reverse_error`] for such a session: the buffer, which holds the error and nothing else, holds one of ICMPv6
    /// to the client afterwards.
    ///
    /// # Errors
    /// As there; [`Reason::NatIcmp`] for what ICMPv6 has no word for, [`Reason::NoHeadroom`].
    pub fn reverse_error_64<B: PacketBuf>(
        &self,
        buf: &mut B,
        packet: &Packet,
    ) -> Result<SessionIndex, Reason> {
        let quote = Quote::of(buf.data(), packet)?;
        if quote.src != packet.dst {
            return Err(Reason::NatQuote);
        }
        if !goes_to_origin(quote.echo) {
            return Err(Reason::NatIcmp);
        }
        let index = self.quoted_from_origin(&quote)?;
        let session = self.sessions[index.index()];
        check(buf.data(), packet, &quote, session.next.client)?;
        let vip = self.vips.address(session.vip);
        let head = *buf
            .data()
            .get(quote.at..)
            .and_then(|rest| rest.first_chunk::<{ Ipv4::LEN }>())
            .ok_or(Reason::NatQuote)?;
        let quoted_len = u16::from_be_bytes([head[2], head[3]]);
        let message = to_icmpv6(first_words(buf.data(), packet)?, quoted_len).ok_or(Reason::NatIcmp)?;
        let payload = quoted_len.saturating_sub(quote.transport_at as u16);
        cut_to_quote(buf, &quote, QUOTED_MAX_V6, 2 * Ipv6::LEN + ICMP_LEN)?;
        let (outer, rest) = buf.data_mut().split_at_mut(Ipv6::LEN);
        let (icmp, quoted) = rest.split_at_mut(ICMP_LEN);
        let (inner, transport) = quoted.split_at_mut(Ipv6::LEN);
        if quote.protocol == ICMP {
            let pseudo = pseudo_header(session.client, vip, ICMPV6, payload.into());
            echo(transport, session.client_port, Delta::between(0, pseudo));
        } else {
            let (src_port, dst_port) = (session.client_port, session.vip_port);
            let back = crate::translate::Rewrite { src_port, dst_port, ..towards_client(&session, vip) };
            back.transport(transport, quote.protocol);
        }
        let protocol = if quote.protocol == ICMP { ICMPV6 } else { quote.protocol };
        write_v6(inner, head[1], payload, (protocol, head[8]), (session.client, vip));
        let len = (icmp.len() + inner.len() + transport.len()) as u16;
        write_v6(outer, 0, len, (ICMPV6, packet.ttl), (vip, session.client));
        write_message(icmp, message);
        let pseudo = pseudo_header(vip, session.client, ICMPV6, len.into());
        finish(&mut buf.data_mut()[Ipv6::LEN..], pseudo);
        Ok(index)
    }

    /// As [`Nat::forward_error`] for a session that leads from IPv6 to IPv4, if it is about one: the buffer, which holds the
    /// error and nothing else, holds one of ICMP to the origin afterwards.
    ///
    /// # Errors
    /// As there; [`Reason::NatIcmp`] for what ICMP has no word for.
    pub fn forward_error_64<B: PacketBuf>(
        &self,
        buf: &mut B,
        packet: &Packet,
        find_service: impl FnOnce(Addr, u8, u16) -> Option<ServiceId>,
    ) -> Result<SessionIndex, Reason> {
        let quote = Quote::of(buf.data(), packet)?;
        let index = self.quoted_from_client(&quote, packet, find_service)?;
        let session = self.sessions[index.index()];
        check(buf.data(), packet, &quote, session.next.origin)?;
        let (external, origin) = (self.external(&session), self.origins.address(session.origin));
        let head = *buf
            .data()
            .get(quote.at..)
            .and_then(|rest| rest.first_chunk::<{ Ipv6::LEN }>())
            .ok_or(Reason::NatQuote)?;
        let message = to_icmp(first_words(buf.data(), packet)?).ok_or(Reason::NatIcmp)?;
        let behind = (quote.transport_at - Ipv6::LEN) as u16;
        let payload = u16::from_be_bytes([head[4], head[5]]).saturating_sub(behind);
        cut_to_quote(buf, &quote, QUOTED_MAX_V4, 2 * Ipv4::LEN + ICMP_LEN)?;
        let (outer, rest) = buf.data_mut().split_at_mut(Ipv4::LEN);
        let (icmp, quoted) = rest.split_at_mut(ICMP_LEN);
        let (inner, transport) = quoted.split_at_mut(Ipv4::LEN);
        if quote.protocol == ICMPV6 {
            let pseudo = pseudo_header(quote.src, quote.dst, ICMPV6, payload.into());
            echo(transport, session.external_port, Delta::between(pseudo, 0));
        } else {
            let there = towards_origin(&session, external, origin);
            let (src_port, dst_port) = (session.origin_port, session.external_port);
            crate::translate::Rewrite { src_port, dst_port, ..there }.transport(transport, quote.protocol);
        }
        let class = head[0] << 4 | head[1] >> 4;
        let protocol = if quote.protocol == ICMPV6 { ICMP } else { quote.protocol };
        let quoted_len = payload.saturating_add(Ipv4::LEN as u16);
        write_v4(inner, class, quoted_len, (protocol, head[7]), (origin, external));
        let len = (outer.len() + icmp.len() + inner.len() + transport.len()) as u16;
        write_v4(outer, 0xc0, len, (ICMP, TTL.min(packet.ttl)), (external, origin));
        write_message(icmp, message);
        finish(&mut buf.data_mut()[Ipv4::LEN..], 0);
        Ok(index)
    }

    /// Whether a client's ICMP error is about such a session.
    pub fn is_client_error_64(
        &self,
        bytes: &[u8],
        packet: &Packet,
        find_service: impl FnOnce(Addr, u8, u16) -> Option<ServiceId>,
    ) -> bool {
        let quote = Quote::of(bytes, packet);
        let found = quote.and_then(|quote| self.quoted_from_client(&quote, packet, find_service));
        found.is_ok_and(|session| self.is_nat64(session))
    }

    fn quoted_from_client(
        &self,
        quote: &Quote,
        packet: &Packet,
        find_service: impl FnOnce(Addr, u8, u16) -> Option<ServiceId>,
    ) -> Result<SessionIndex, Reason> {
        if quote.src != packet.dst {
            return Err(Reason::NatQuote);
        }
        if quote.echo == Kind::EchoRequest {
            return Err(Reason::NatIcmp);
        }
        let vip_port = if quote.echo == Kind::EchoReply { 0 } else { quote.src_port };
        let service = find_service(quote.src, quote.protocol, vip_port).ok_or(Reason::UnknownService)?;
        let key = Key { client: quote.dst, port: quote.dst_port, service };
        let index = self.find(self.hash(&key), &key).ok_or(Reason::NatNoSession)?;
        let session: &Session = &self.sessions[index.index()];
        // A service may cover many ports; the quoted packet must be one that this session let through.
        if self.vips.address(session.vip) != quote.src || session.vip_port != quote.src_port {
            return Err(Reason::NatNoSession);
        }
        Ok(index)
    }
}

fn first_words(bytes: &[u8], packet: &Packet) -> Result<Message, Reason> {
    let header = bytes.get(packet.transport_at as usize..).and_then(|rest| rest.first_chunk::<8>());
    let header = header.ok_or(Reason::TransportTruncated)?;
    Ok((header[0], header[1], u32::from_be_bytes([header[4], header[5], header[6], header[7]])))
}

/// Leaves the quoted transport header, and what follows, at most so much, with so much room before it.
fn cut_to_quote<B: PacketBuf>(buf: &mut B, quote: &Quote, most: usize, room: usize) -> Result<(), Reason> {
    let at = quote.at + quote.transport_at;
    let len = quote.end.saturating_sub(at).min(most);
    if room.saturating_sub(at) > buf.headroom() {
        return Err(Reason::NoHeadroom);
    }
    buf.truncate(at + len);
    buf.trim_front(at).map_err(|_| Reason::NatQuote)?;
    buf.prepend(room).map_err(|_| Reason::NoHeadroom)
}

/// What an ICMP error says in the words of ICMPv6; `quoted_len` is the length of the packet that it is about.
fn to_icmpv6((kind, code, rest): Message, quoted_len: u16) -> Option<Message> {
    match (kind, code) {
        (V4_UNREACHABLE, 2) => Some((V6_PARAMETER_PROBLEM, 1, 6)),
        (V4_UNREACHABLE, 3) => Some((V6_UNREACHABLE, 4, 0)),
        (V4_UNREACHABLE, 4) => {
            let mtu = match rest & 0xffff {
                0 => plateau(quoted_len) as u32,
                mtu => mtu,
            };
            Some((V6_TOO_BIG, 0, (mtu + GROWTH).max(MTU_MIN_V6)))
        }
        (V4_UNREACHABLE, 0 | 1 | 5..=8 | 11 | 12) => Some((V6_UNREACHABLE, 0, 0)),
        (V4_UNREACHABLE, 9 | 10 | 13 | 15) => Some((V6_UNREACHABLE, 1, 0)),
        (V4_TIME_EXCEEDED, code) => Some((V6_TIME_EXCEEDED, code, 0)),
        (V4_PARAMETER_PROBLEM, 0 | 2) => {
            let pointer = match rest >> 24 {
                pointer @ (0 | 1) => pointer,
                2 | 3 => 4,
                8 => 7,
                9 => 6,
                12..=15 => 8,
                16..=19 => 24,
                _ => return None,
            };
            Some((V6_PARAMETER_PROBLEM, 0, pointer))
        }
        _ => None,
    }
}

/// What an ICMPv6 error says in the words of ICMP.
fn to_icmp((kind, code, rest): Message) -> Option<Message> {
    match (kind, code) {
        (V6_UNREACHABLE, 0 | 2 | 3) => Some((V4_UNREACHABLE, 1, 0)),
        (V6_UNREACHABLE, 1) => Some((V4_UNREACHABLE, 10, 0)),
        (V6_UNREACHABLE, 4) => Some((V4_UNREACHABLE, 3, 0)),
        // Nobody is told less than every IPv6 link carries.
        (V6_TOO_BIG, _) => Some((V4_UNREACHABLE, 4, rest.clamp(MTU_MIN_V6, u16::MAX.into()) - GROWTH)),
        (V6_TIME_EXCEEDED, code) => Some((V4_TIME_EXCEEDED, code, 0)),
        (V6_PARAMETER_PROBLEM, 1) => Some((V4_UNREACHABLE, 2, 0)),
        (V6_PARAMETER_PROBLEM, 0) => {
            let pointer = match rest {
                0 | 1 => rest,
                4 | 5 => 2,
                6 => 9,
                7 => 8,
                8..=23 => 12,
                24..=39 => 16,
                _ => return None,
            };
            Some((V4_PARAMETER_PROBLEM, 0, pointer << 24))
        }
        _ => None,
    }
}

/// The next lower of the MTUs that links have had (RFC 1191 section 7.1), for routers that tell none.
fn plateau(len: u16) -> u16 {
    let plateaus = [32_000, 17_914, 8_166, 4_352, 2_002, 1_492, 1_006, 508, 296, 68];
    plateaus.into_iter().find(|plateau| *plateau < len).unwrap_or(68)
}

fn write_v6(header: &mut [u8], class: u8, payload: u16, (next, hop_limit): (u8, u8), ends: (Addr, Addr)) {
    let Some(header) = header.first_chunk_mut::<{ Ipv6::LEN }>() else { return };
    header[..4].copy_from_slice(&[0x60 | class >> 4, class << 4, 0, 0]);
    header[4..6].copy_from_slice(&payload.to_be_bytes());
    header[6..8].copy_from_slice(&[next, hop_limit]);
    header[8..24].copy_from_slice(&ends.0.v6_bytes());
    header[24..].copy_from_slice(&ends.1.v6_bytes());
}

fn write_v4(header: &mut [u8], class: u8, len: u16, (protocol, ttl): (u8, u8), ends: (Addr, Addr)) {
    let Some(header) = header.first_chunk_mut::<{ Ipv4::LEN }>() else { return };
    header[..2].copy_from_slice(&[0x45, class]);
    header[2..4].copy_from_slice(&len.to_be_bytes());
    header[4..12].copy_from_slice(&[0, 0, 0x40, 0, ttl, protocol, 0, 0]);
    header[12..16].copy_from_slice(&ends.0.v4_bytes());
    header[16..].copy_from_slice(&ends.1.v4_bytes());
    let sum = !checksum::sum_ipv4_header(header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
}

fn write_message(icmp: &mut [u8], (kind, code, rest): Message) {
    let Some(header) = icmp.first_chunk_mut::<ICMP_LEN>() else { return };
    header[..4].copy_from_slice(&[kind, code, 0, 0]);
    header[4..].copy_from_slice(&rest.to_be_bytes());
}

/// Writes the checksum of a message.
fn finish(message: &mut [u8], pseudo: u16) {
    let sum = !checksum::sum_onto(pseudo, message);
    crate::translate::update(message, 2, |_| sum);
}
