//! ICMP and ICMPv6 errors (RFC 5508 section 4): the outer header and the quoted packet are translated together, and
//! all checksums around them updated. An error neither keeps a session alive nor ends it (REQ-6, RFC 5382 REQ-10).

use crate::quote::Quote;
use crate::session::{Key, ServiceId, SessionIndex};
use crate::table::Nat;
use crate::translate::{Rewrite, addresses_delta, update};
use packet::checksum::{Delta, sum};
use packet::icmp::{Header, Kind};
use packet::ip::Packet;
use packet::{Addr, IpVersion, Reason};

/// Quoted transport bytes that translation may change: up to TCP's checksum.
const TRANSPORT_CHANGED: usize = 18;

impl Nat {
    /// Translates an error from the origin's side in place, so that it goes to the client as if the VIP had sent
    /// it, whoever has: the client may not see addresses behind the gateway.
    ///
    /// # Errors
    /// As [`Quote::of`]; [`Reason::NatQuote`] where the error is not addressed to the quoted packet's source,
    /// [`Reason::NatNoSession`], [`Reason::NatWrongPeer`]. The packet is unchanged then.
    pub fn reverse_error(&self, bytes: &mut [u8], packet: &Packet) -> Result<SessionIndex, Reason> {
        let quote = Quote::of(bytes, packet)?;
        if quote.src != packet.dst {
            return Err(Reason::NatQuote);
        }
        if quote.echo == Kind::EchoReply {
            return Err(Reason::NatIcmp);
        }
        let slot =
            self.reverse_slot(quote.src, quote.protocol, quote.src_port).ok_or(Reason::NatNoSession)?;
        let index = self.find_reverse(slot, quote.dst, quote.dst_port)?;
        let session = &self.sessions[index.index()];
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
    /// [`Reason::UnknownService`], [`Reason::NatNoSession`]. The packet is unchanged then.
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
        let external = self.reverse.address(session.external);
        let quoted = Rewrite {
            src: session.origin,
            dst: external,
            src_port: session.origin_port,
            dst_port: session.external_port,
            addresses: session.addresses,
            transport: session.transport,
        };
        translate(bytes, packet, &quote, &quoted, (external, session.origin));
        Ok(index)
    }
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
