//! Rewriting packets in place. Checksums are updated by the session's ready-made differences, never computed anew:
//! a packet that came with a wrong one leaves with a wrong one (RFC 1624; RFC 4787 forbids to repair it).

use crate::addresses::Addresses;
use crate::reverse::Reverse;
use crate::sequence::follow;
use crate::session::{Expiry, Seconds, Session, SessionIndex};
use crate::state::Lifetimes;
use crate::table::Nat;
use packet::checksum::{Delta, add, sum};
use packet::ip::{Fragment, Packet};
use packet::transport::{ICMP, ICMPV6, TCP, Tcp, UDP, UDP_LITE, Udp};
use packet::{Addr, Headers, IpVersion, Reason};

/// New addresses and ports, and what they do to checksums.
pub(crate) struct Rewrite {
    pub src: Addr,
    pub dst: Addr,
    /// Of an ICMP echo, both ports are the identifier.
    pub src_port: u16,
    pub dst_port: u16,
    pub addresses: Delta,
    pub transport: Delta,
}

impl Nat {
    /// Translates a packet from the client's side in place: `bytes` starts at the IP header that `packet` was
    /// parsed from. Keeps the session alive.
    ///
    /// # Errors
    /// [`Reason::NatNoSession`] where the session has expired, [`Reason::NatTcpSequence`] for a RST that is none of its
    /// connection's. Nothing is changed then.
    #[inline(always)]
    pub fn forward(
        &mut self,
        now: Seconds,
        session: SessionIndex,
        bytes: &mut [u8],
        packet: &impl Headers,
    ) -> Result<(), Reason> {
        let at = session;
        let Nat { sessions, lifetimes, reverse, origins, .. } = self;
        let session = &mut sessions[at.index()];
        if !session.keep_alive(now, lifetimes, packet) {
            return self.forward_step(now, at, bytes, &packet.packet());
        }
        follow(&mut session.next.client, bytes, packet);
        Rewrite::towards_origin(session, reverse, origins).packet(bytes, packet);
        Ok(())
    }

    /// As [`Nat::forward`] for a packet that may take its session a step further.
    #[cold]
    #[inline(never)]
    fn forward_step(
        &mut self,
        now: Seconds,
        session: SessionIndex,
        bytes: &mut [u8],
        packet: &Packet,
    ) -> Result<(), Reason> {
        self.step_client(now, session, bytes, packet)?;
        let session = &self.sessions[session.index()];
        Rewrite::towards_origin(session, &self.reverse, &self.origins).packet(bytes, packet);
        Ok(())
    }

    /// Translates an origin's packet in place, undoing both translations: its source becomes the VIP and the port
    /// there, its destination the client.
    ///
    /// # Errors
    /// As [`Nat::forward`].
    #[inline(always)]
    pub fn reverse(
        &mut self,
        now: Seconds,
        session: SessionIndex,
        bytes: &mut [u8],
        packet: &impl Headers,
    ) -> Result<(), Reason> {
        let at = session;
        let Nat { sessions, lifetimes, vips, .. } = self;
        let session = &mut sessions[at.index()];
        if !session.keep_alive(now, lifetimes, packet) {
            return self.reverse_step(now, at, bytes, &packet.packet());
        }
        follow(&mut session.next.origin, bytes, packet);
        Rewrite::towards_client(session, vips).packet(bytes, packet);
        Ok(())
    }

    /// As [`Nat::reverse`] for a packet that may take its session a step further.
    #[cold]
    #[inline(never)]
    fn reverse_step(
        &mut self,
        now: Seconds,
        session: SessionIndex,
        bytes: &mut [u8],
        packet: &Packet,
    ) -> Result<(), Reason> {
        self.step_origin(now, session, bytes, packet)?;
        let session = &self.sessions[session.index()];
        Rewrite::towards_client(session, &self.vips).packet(bytes, packet);
        Ok(())
    }
}

impl Nat {
    /// Keeps a session alive, or takes it a step further, for a packet from the client's side.
    #[inline(always)]
    pub(crate) fn heed_client(
        &mut self,
        now: Seconds,
        session: SessionIndex,
        bytes: &[u8],
        packet: &impl Headers,
    ) -> Result<(), Reason> {
        let kept = &mut self.sessions[session.index()];
        if !kept.keep_alive(now, &self.lifetimes, packet) {
            return self.step_client(now, session, bytes, &packet.packet());
        }
        follow(&mut kept.next.client, bytes, packet);
        Ok(())
    }

    /// As [`Nat::heed_client`] for an origin's packet.
    #[inline(always)]
    pub(crate) fn heed_origin(
        &mut self,
        now: Seconds,
        session: SessionIndex,
        bytes: &[u8],
        packet: &impl Headers,
    ) -> Result<(), Reason> {
        let kept = &mut self.sessions[session.index()];
        if !kept.keep_alive(now, &self.lifetimes, packet) {
            return self.step_origin(now, session, bytes, &packet.packet());
        }
        follow(&mut kept.next.origin, bytes, packet);
        Ok(())
    }
}

impl Session {
    /// Keeps the session alive for a packet that takes it no step further. For one that may, nothing is changed, and the answer
    /// is no.
    #[inline(always)]
    fn keep_alive(&mut self, now: Seconds, lifetimes: &Lifetimes, packet: &impl Headers) -> bool {
        let state = self.expiry.state();
        let is_settled = state.is_settled(packet.detail());
        if is_settled {
            self.expiry = Expiry::new(now, lifetimes.of(state), state);
        }
        is_settled
    }
}

/// What the way towards the origin does to a sum over the addresses, and to the transport checksum: TCP, UDP and
/// ICMPv6 cover addresses and ports (or the identifier), ICMP the identifier only.
pub(crate) fn deltas(
    session: &Session,
    (vip, origin): (Addr, Addr),
    external: Addr,
    protocol: u8,
) -> (Delta, Delta) {
    let addresses = addresses_delta((session.client, vip), (external, origin));
    let ports = match protocol {
        ICMP | ICMPV6 => Delta::between(session.client_port, session.external_port),
        _ => Delta::between(
            add(session.client_port, session.vip_port),
            add(session.external_port, session.origin_port),
        ),
    };
    (addresses, if protocol == ICMP { ports } else { addresses.and(ports) })
}

/// What it does to a sum that two addresses are replaced by two others of the same IP version.
pub(crate) fn addresses_delta(old: (Addr, Addr), new: (Addr, Addr)) -> Delta {
    let pair = |(a, b): (Addr, Addr)| {
        if a.is_v4() {
            add(sum(&a.v4_bytes()), sum(&b.v4_bytes()))
        } else {
            add(sum(&a.v6_bytes()), sum(&b.v6_bytes()))
        }
    };
    Delta::between(pair(old), pair(new))
}

impl Rewrite {
    #[inline(always)]
    fn towards_origin(session: &Session, pool: &Reverse, origins: &Addresses) -> Rewrite {
        Rewrite {
            // A client that keeps its own address has none of the pool.
            src: pool.get_address(session.external).unwrap_or(session.client),
            dst: origins.address(session.origin),
            src_port: session.external_port,
            dst_port: session.origin_port,
            addresses: session.addresses,
            transport: session.transport,
        }
    }

    #[inline(always)]
    fn towards_client(session: &Session, vips: &Addresses) -> Rewrite {
        Rewrite {
            src: vips.address(session.vip),
            dst: session.client,
            src_port: session.vip_port,
            dst_port: session.client_port,
            addresses: session.addresses.reversed(),
            transport: session.transport.reversed(),
        }
    }

    /// The same for a quoted packet, which went the other way.
    pub(crate) fn quoted(self) -> Rewrite {
        let Rewrite { src, dst, src_port, dst_port, .. } = self;
        Rewrite { src: dst, dst: src, src_port: dst_port, dst_port: src_port, ..self }
    }

    #[inline(always)]
    pub(crate) fn packet(&self, bytes: &mut [u8], packet: &impl Headers) {
        self.addresses(bytes, packet.version());
        // A later fragment has no transport header; the first one's checksum covers the whole datagram.
        if packet.fragment() != Fragment::Later
            && let Some(transport) = bytes.get_mut(packet.transport_at() as usize..)
        {
            self.transport(transport, packet.protocol());
        }
    }

    /// Rewrites the IP header at the start of `bytes`.
    #[inline(always)]
    pub(crate) fn addresses(&self, bytes: &mut [u8], version: IpVersion) {
        match version {
            IpVersion::V4 => {
                if let Some(header) = bytes.first_chunk_mut::<20>() {
                    let checksum = self.addresses.apply(u16::from_be_bytes([header[10], header[11]]));
                    header[10..12].copy_from_slice(&checksum.to_be_bytes());
                    header[12..16].copy_from_slice(&self.src.v4_bytes());
                    header[16..20].copy_from_slice(&self.dst.v4_bytes());
                }
            }
            IpVersion::V6 => {
                if let Some(header) = bytes.first_chunk_mut::<40>() {
                    header[8..24].copy_from_slice(&self.src.v6_bytes());
                    header[24..40].copy_from_slice(&self.dst.v6_bytes());
                }
            }
        }
    }

    /// Rewrites the transport header at the start of `bytes`, which may be cut after its first eight bytes, as
    /// quoted ones are: what is not there is left alone.
    #[inline(always)]
    pub(crate) fn transport(&self, bytes: &mut [u8], protocol: u8) {
        match protocol {
            TCP => {
                self.ports(bytes);
                update(bytes, Tcp::CHECKSUM_AT, |checksum| self.transport.apply(checksum));
            }
            UDP => {
                self.ports(bytes);
                update(bytes, Udp::CHECKSUM_AT, |checksum| self.transport.apply_udp(checksum));
            }
            ICMP | ICMPV6 => {
                update(bytes, packet::icmp::Header::IDENTIFIER_AT, |_| self.src_port);
                update(bytes, packet::icmp::Header::CHECKSUM_AT, |checksum| self.transport.apply(checksum));
            }
            // The checksum stands where UDP's does, and covers the header whatever else it covers (RFC 3828 section 3.1).
            UDP_LITE => {
                self.ports(bytes);
                update(bytes, Udp::CHECKSUM_AT, |checksum| self.transport.apply_udp(checksum));
            }
            _ => {}
        }
    }

    #[inline(always)]
    fn ports(&self, bytes: &mut [u8]) {
        if let Some(ports) = bytes.first_chunk_mut::<4>() {
            *ports = ((self.src_port as u32) << 16 | self.dst_port as u32).to_be_bytes();
        }
    }
}

/// Changes the 16-bit field at `at`, if it is there.
#[inline(always)]
pub(crate) fn update(bytes: &mut [u8], at: usize, change: impl FnOnce(u16) -> u16) {
    if let Some(field) = bytes.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<2>()) {
        *field = change(u16::from_be_bytes(*field)).to_be_bytes();
    }
}
