//! IPv6 clients of IPv4 origins (RFC 6146): a session whose client and virtual IP are of IPv6, and whose external address and
//! origin are of IPv4. Sessions, ports and timers are those of any session; what differs is that headers change (RFC 7915).
//!
//! ```text
//!   client ──── IPv6 ──── VIP            external ──── IPv4 ──── origin
//! ```
//!
//! Sums over the two pseudo-headers differ by the addresses only, so the session's ready-made difference serves TCP and UDP
//! as ever. ICMPv6 covers a pseudo-header and ICMP none, which needs the message's length: fragments of it are not
//! translated (RFC 7915 section 1.2).

use crate::session::{Seconds, Session, SessionIndex};
use crate::table::Nat;
use crate::translate::{Rewrite, update};
use packet::checksum::{self, Delta, add, pseudo_header};
use packet::icmp::{Header, Kind, V4_ECHO_REPLY, V4_ECHO_REQUEST, V6_ECHO_REPLY, V6_ECHO_REQUEST};
use packet::ip::{Fragment, Packet};
use packet::transport::{ICMP, ICMPV6, UDP, Udp};
use packet::{Addr, PacketBuf, Reason, siit};

impl Nat {
    /// Whether a session leads from IPv6 to IPv4.
    pub fn is_nat64(&self, session: SessionIndex) -> bool {
        self.sessions
            .get(session.index())
            .is_some_and(|session| session.client.is_v4() != self.external(session).is_v4())
    }

    /// As [`Nat::forward`] for such a session: the buffer, which holds the packet and nothing else, holds one of IPv4
    /// afterwards. It has this identification where it needs one.
    ///
    /// # Errors
    /// [`Reason::Fragment`] for a fragment of ICMPv6, [`Reason::IpExtension`]; as [`Nat::forward`] where that has any.
    pub fn forward_64<B: PacketBuf>(
        &mut self,
        now: Seconds,
        session: SessionIndex,
        buf: &mut B,
        packet: &Packet,
        identification: u16,
    ) -> Result<(), Reason> {
        self.heed_client(now, session, buf.data(), packet)?;
        let session = self.sessions[session.index()];
        let (external, origin) = (self.external(&session), self.origins.address(session.origin));
        let protocol = match packet.protocol {
            ICMPV6 if packet.fragment != Fragment::No => return Err(Reason::Fragment),
            ICMPV6 => ICMP,
            protocol => protocol,
        };
        let addresses = (external.v4_bytes(), origin.v4_bytes());
        siit::to_v4(buf, packet, addresses, protocol, identification)?;
        let transport = buf.data_mut().get_mut(20..).unwrap_or_default();
        match protocol {
            _ if packet.fragment == Fragment::Later => {}
            ICMP => {
                let pseudo = pseudo_header(packet.src, packet.dst, ICMPV6, transport.len() as u32);
                echo(transport, session.external_port, Delta::between(pseudo, 0));
            }
            _ => towards_origin(&session, external, origin).transport(transport, protocol),
        }
        Ok(())
    }

    /// As [`Nat::reverse`] for such a session: the buffer, which holds the packet and nothing else, holds one of IPv6
    /// afterwards.
    ///
    /// # Errors
    /// [`Reason::Fragment`] for a fragment of ICMP and the first of a UDP datagram without a checksum,
    /// [`Reason::NoHeadroom`]; as [`Nat::reverse`] where that has any.
    pub fn reverse_64<B: PacketBuf>(
        &mut self,
        now: Seconds,
        session: SessionIndex,
        buf: &mut B,
        packet: &Packet,
    ) -> Result<(), Reason> {
        self.heed_origin(now, session, buf.data(), packet)?;
        let session = self.sessions[session.index()];
        let vip = self.vips.address(session.vip);
        let protocol = match packet.protocol {
            ICMP if packet.fragment != Fragment::No => return Err(Reason::Fragment),
            ICMP => ICMPV6,
            protocol => protocol,
        };
        let transport_at = packet.transport_at as usize;
        let unsummed = packet.protocol == UDP
            && packet.fragment != Fragment::Later
            && buf
                .data()
                .get(transport_at + Udp::CHECKSUM_AT..)
                .is_some_and(|rest| rest.starts_with(&[0, 0]));
        if unsummed && !fill_checksum(buf.data_mut(), packet) {
            return Err(Reason::Fragment);
        }
        siit::to_v6(buf, packet, (vip.v6_bytes(), session.client.v6_bytes()), protocol)?;
        let head = siit::len_after(packet) - (packet.len as usize - transport_at);
        let transport = buf.data_mut().get_mut(head..).unwrap_or_default();
        match protocol {
            _ if packet.fragment == Fragment::Later => {}
            ICMPV6 => {
                let pseudo = pseudo_header(vip, session.client, ICMPV6, transport.len() as u32);
                echo(transport, session.client_port, Delta::between(0, pseudo));
            }
            _ => towards_client(&session, vip).transport(transport, protocol),
        }
        Ok(())
    }

    /// Has a whole IPv4 packet ready to be cut before it becomes one of IPv6: a UDP datagram gets its checksum.
    pub fn prepare_64(&self, bytes: &mut [u8], packet: &Packet) {
        let at = packet.transport_at as usize + Udp::CHECKSUM_AT;
        if packet.protocol == UDP && bytes.get(at..).is_some_and(|rest| rest.starts_with(&[0, 0])) {
            fill_checksum(bytes, packet);
        }
    }
}

pub(crate) fn towards_origin(session: &Session, external: Addr, origin: Addr) -> Rewrite {
    Rewrite {
        src: external,
        dst: origin,
        src_port: session.external_port,
        dst_port: session.origin_port,
        addresses: session.addresses,
        transport: session.transport,
    }
}

pub(crate) fn towards_client(session: &Session, vip: Addr) -> Rewrite {
    Rewrite {
        src: vip,
        dst: session.client,
        src_port: session.vip_port,
        dst_port: session.client_port,
        addresses: session.addresses.reversed(),
        transport: session.transport.reversed(),
    }
}

/// The type of an echo in the other version of ICMP.
fn other_echo(kind: u8) -> Option<u8> {
    match kind {
        V6_ECHO_REQUEST => Some(V4_ECHO_REQUEST),
        V6_ECHO_REPLY => Some(V4_ECHO_REPLY),
        V4_ECHO_REQUEST => Some(V6_ECHO_REQUEST),
        V4_ECHO_REPLY => Some(V6_ECHO_REPLY),
        _ => None,
    }
}

/// Makes an echo one of the other version, with this identifier; `pseudo` is what that does to the sum beside.
pub(crate) fn echo(message: &mut [u8], identifier: u16, pseudo: Delta) {
    let Some(header) = message.first_chunk_mut::<8>() else { return };
    let word = |header: &[u8; 8], at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let sum = |header: &[u8; 8]| add(word(header, 0), word(header, Header::IDENTIFIER_AT));
    let before = sum(header);
    header[0] = other_echo(header[0]).unwrap_or(header[0]);
    header[Header::IDENTIFIER_AT..][..2].copy_from_slice(&identifier.to_be_bytes());
    let delta = Delta::between(before, sum(header)).and(pseudo);
    update(header, Header::CHECKSUM_AT, |checksum| delta.apply(checksum));
}

/// Gives a whole UDP datagram over IPv4 that has no checksum one, which IPv6 demands (RFC 7915 section 4.5).
fn fill_checksum(bytes: &mut [u8], packet: &Packet) -> bool {
    if packet.fragment != Fragment::No {
        return false;
    }
    let Some(udp) = bytes.get_mut(packet.transport_at as usize..) else { return false };
    let len = udp.get(4..6).map_or(0, |len| u16::from_be_bytes([len[0], len[1]]));
    let Some(udp) = udp.get_mut(..len as usize) else { return false };
    let pseudo = pseudo_header(packet.src, packet.dst, UDP, len as u32);
    let sum = match !checksum::sum_onto(pseudo, udp) {
        0 => 0xffff,
        sum => sum,
    };
    update(udp, Udp::CHECKSUM_AT, |_| sum);
    true
}

/// Whether a quoted echo went the way that a session allows: requests towards the origin.
pub(crate) fn goes_to_origin(echo: Kind) -> bool {
    echo != Kind::EchoReply
}
