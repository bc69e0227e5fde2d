//! ICMP and ICMPv6 errors (RFC 5508 section 4): the outer header and the quoted packet are translated together, and
//! all checksums around them updated. An error neither keeps a session alive nor ends it (REQ-6, RFC 5382 REQ-10).

use crate::quote::Quote;
use crate::sequence;
use crate::session::{Key, ServiceId, SessionIndex};
use crate::table::Nat;
use crate::translate::{Rewrite, addresses_delta, update};
use packet::checksum::{Delta, sum};
use packet::icmp::{Header, Kind, V4_CODE_FRAGMENTATION_NEEDED, V4_UNREACHABLE, V6_TOO_BIG};
use packet::ip::Packet;
use packet::transport::TCP;
use packet::{Addr, IpVersion, Reason};

/// Quoted transport bytes that translation may change: up to TCP's checksum.
const TRANSPORT_CHANGED: usize = 18;

impl Nat {
    /// Translates an error from the origin's side in place, so that it goes to the client as if the VIP had sent
    /// it, whoever has: the client may not see addresses behind the gateway.
    ///
    /// # Errors
    /// As [`Quote::of`]; [`Reason::NatQuote`] where the error is not addressed to the quoted packet's source,
    /// [`Reason::NatNoSession`], [`Reason::NatWrongPeer`]; [`Reason::NatTcpSequence`] where the quoted segment is none
    /// that the client can have sent of late, [`Reason::NatMtuFloor`]. The packet is unchanged then.
    pub fn reverse_error(&self, bytes: &mut [u8], packet: &Packet) -> Result<SessionIndex, Reason> {
        let quote = Quote::of(bytes, packet)?;
        if quote.src != packet.dst {
            return Err(Reason::NatQuote);
        }
        if quote.echo == Kind::EchoReply {
            return Err(Reason::NatIcmp);
        }
        let (src, dst) = ((quote.src, quote.src_port), (quote.dst, quote.dst_port));
        let index = match self.reverse_slot(src.0, quote.protocol, src.1) {
            Some(slot) => self.find_reverse(slot, dst.0, dst.1)?,
            None => self.find_untranslated(src, quote.protocol, dst)?,
        };
        let session = &self.sessions[index.index()];
        check(bytes, packet, &quote, session.next.client)?;
        let vip = self.vips.address(session.vip);
        let quoted = Rewrite {
            src: session.client,
            dst: vip,
            src_port: session.client_port,
            dst_port: session.vip_port,
            addresses: session.addresses.reversed(),
            transport: session.transport.reversed(),
        };
        translate(bytes, packet, &quote, &quoted, (vip, session.client));
        Ok(index)
    }

    /// Translates an error from the client's side, about a packet that came from the origin, in place, so that it
    /// goes to the origin as if the gateway had sent it. `find_service` says which service a VIP, protocol and
    /// port (ICMP: 0) are.
    ///
    /// # Errors
    /// As [`Quote::of`]; [`Reason::NatQuote`] where the error is not addressed to the quoted packet's source,
    /// [`Reason::UnknownService`], [`Reason::NatNoSession`], [`Reason::NatTcpSequence`], [`Reason::NatMtuFloor`]. The
    /// packet is unchanged then.
    pub fn forward_error(
        &self,
        bytes: &mut [u8],
        packet: &Packet,
        find_service: impl FnOnce(Addr, u8, u16) -> Option<ServiceId>,
    ) -> Result<SessionIndex, Reason> {
        let quote = Quote::of(bytes, packet)?;
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
        let session = &self.sessions[index.index()];
        // A service may cover many ports; the quoted packet must be one that this session let through.
        if session.expiry.state().protocol() != quote.protocol
            || self.vips.address(session.vip) != quote.src
            || (session.vip_port != quote.src_port)
        {
            return Err(Reason::NatNoSession);
        }
        check(bytes, packet, &quote, session.next.origin)?;
        let (external, origin) = (self.external(session), self.origins.address(session.origin));
        let quoted = Rewrite {
            src: origin,
            dst: external,
            src_port: session.origin_port,
            dst_port: session.external_port,
            addresses: session.addresses,
            transport: session.transport,
        };
        translate(bytes, packet, &quote, &quoted, (external, origin));
        Ok(index)
    }
}

/// The least MTU that a path can have: hosts need not take larger IPv4 packets (RFC 791), links must carry such IPv6
/// packets (RFC 8200 section 5). What is told to be less is wrong, or meant to slow a sender down.
const MTU_MIN_V4: u16 = 576;
const MTU_MIN_V6: u32 = 1280;

/// Whether an error may be about a session: `next` is the sequence number that its quoted packet's sender has reached.
pub(crate) fn check(bytes: &[u8], packet: &Packet, quote: &Quote, next: u32) -> Result<(), Reason> {
    if quote.protocol == TCP && !sequence::may_be(quote.sequence, next) {
        return Err(Reason::NatTcpSequence);
    }
    let message = bytes.get(packet.transport_at as usize..).and_then(|message| message.first_chunk::<8>());
    let [kind, code, .., a, b, c, d] = *message.ok_or(Reason::NatQuote)?;
    let is_below = match (packet.version, kind, code) {
        // 0 stands for unknown (RFC 1191 section 5).
        (IpVersion::V4, V4_UNREACHABLE, V4_CODE_FRAGMENTATION_NEEDED) => {
            (1..MTU_MIN_V4).contains(&u16::from_be_bytes([c, d]))
        }
        (IpVersion::V6, V6_TOO_BIG, _) => u32::from_be_bytes([a, b, c, d]) < MTU_MIN_V6,
        _ => false,
    };
    if is_below { Err(Reason::NatMtuFloor) } else { Ok(()) }
}

/// Rewrites the quoted packet, then the outer header, keeping all checksums as right as they were.
pub(crate) fn translate(
    bytes: &mut [u8],
    packet: &Packet,
    quote: &Quote,
    quoted: &Rewrite,
    outer: (Addr, Addr),
) {
    let version = packet.version;
    let end = quote.end.min(quote.at + quote.transport_at + TRANSPORT_CHANGED);
    let Some(changed) = bytes.get_mut(quote.at..end) else { return };
    let before = sum(changed);
    quoted.addresses(changed, version);
    if let Some(transport) = changed.get_mut(quote.transport_at..) {
        quoted.transport(transport, quote.protocol);
    }
    let message = Delta::between(before, sum(changed));
    let addresses = addresses_delta((packet.src, packet.dst), outer);
    let covered = match version {
        IpVersion::V4 => message,
        IpVersion::V6 => message.and(addresses),
    };
    update(bytes, packet.transport_at as usize + Header::CHECKSUM_AT, |checksum| covered.apply(checksum));
    let (src, dst) = outer;
    let header = Rewrite { src, dst, src_port: 0, dst_port: 0, addresses, transport: Delta::NONE };
    header.addresses(bytes, version);
}
