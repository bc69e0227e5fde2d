//! Packets of clients that are translated by prefix (see [`prefix`](crate::prefix)): the source's change is neutral to
//! checksums, the destination's from virtual IP to origin is not, and is made up for as elsewhere.

use crate::icmp::{check, translate};
use crate::quote::Quote;
use crate::translate::{Rewrite, addresses_delta};
use packet::checksum::Delta;
use packet::icmp::Kind;
use packet::ip::Packet;
use packet::transport::ICMPV6;
use packet::{Addr, Headers, Reason};

/// A client and its origin, each as the other side knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub client: Addr,
    /// What the origin takes it for.
    pub external: Addr,
    /// What the client takes the origin for.
    pub vip: Addr,
    /// The port there; ICMPv6 and protocols without ports: 0.
    pub vip_port: u16,
    /// The origin.
    pub origin: Addr,
    /// The port there; ICMPv6 and protocols without ports: 0.
    pub origin_port: u16,
}

impl Ends {
    /// Translates a client's packet in place; `bytes` starts at its IP header.
    pub fn forward(&self, bytes: &mut [u8], packet: &impl Headers) {
        let ports = (packet.src_port(), self.origin_port);
        self.towards_origin(packet.protocol(), ports).packet(bytes, packet);
    }

    /// Translates an origin's packet in place.
    pub fn reverse(&self, bytes: &mut [u8], packet: &impl Headers) {
        let ports = (packet.dst_port(), self.vip_port);
        self.towards_client(packet.protocol(), ports).packet(bytes, packet);
    }

    /// Translates an error from the origin's side in place, about a packet that the client sent: it goes to the client as
    /// if the virtual IP had sent it.
    ///
    /// # Errors
    /// [`Reason::NatQuote`] where it is not about such a packet, [`Reason::NatIcmp`], [`Reason::NatMtuFloor`]. The packet is unchanged then.
    pub fn reverse_error(&self, bytes: &mut [u8], packet: &Packet, quote: &Quote) -> Result<(), Reason> {
        if quote.echo == Kind::EchoReply {
            return Err(Reason::NatIcmp);
        }
        let is_ours = (quote.src, quote.dst) == (self.external, self.origin) && packet.dst == self.external;
        let has_port = quote.protocol == ICMPV6 || quote.dst_port == self.origin_port;
        if !is_ours || !has_port {
            return Err(Reason::NatQuote);
        }
        check(bytes, packet, quote, 0)?;
        let quoted = self.towards_client(quote.protocol, (quote.src_port, self.vip_port)).quoted();
        translate(bytes, packet, quote, &quoted, (self.vip, self.client));
        Ok(())
    }

    /// Translates an error from the client's side in place, about a packet that the origin sent: it goes to the origin as
    /// if the client had sent it, whoever has.
    ///
    /// # Errors
    /// As [`Ends::reverse_error`].
    pub fn forward_error(&self, bytes: &mut [u8], packet: &Packet, quote: &Quote) -> Result<(), Reason> {
        if quote.echo == Kind::EchoRequest {
            return Err(Reason::NatIcmp);
        }
        let is_ours = (quote.src, quote.dst) == (self.vip, self.client) && packet.dst == self.vip;
        let has_port = quote.protocol == ICMPV6 || quote.src_port == self.vip_port;
        if !is_ours || !has_port {
            return Err(Reason::NatQuote);
        }
        check(bytes, packet, quote, 0)?;
        let quoted = self.towards_origin(quote.protocol, (quote.dst_port, self.origin_port)).quoted();
        translate(bytes, packet, quote, &quoted, (self.external, self.origin));
        Ok(())
    }

    /// What changes towards the origin: the client's port, or an echo's identifier, stays.
    fn towards_origin(&self, protocol: u8, (client_port, origin_port): (u16, u16)) -> Rewrite {
        let (addresses, transport) = self.deltas(protocol);
        // An echo has one identifier for both sides.
        let dst_port = if protocol == ICMPV6 { client_port } else { origin_port };
        let (src, dst) = (self.external, self.origin);
        Rewrite { src, dst, src_port: client_port, dst_port, addresses, transport }
    }

    fn towards_client(&self, protocol: u8, (client_port, vip_port): (u16, u16)) -> Rewrite {
        let (addresses, transport) = self.deltas(protocol);
        Rewrite {
            src: self.vip,
            dst: self.client,
            src_port: if protocol == ICMPV6 { client_port } else { vip_port },
            dst_port: client_port,
            addresses: addresses.reversed(),
            transport: transport.reversed(),
        }
    }

    /// What the way towards the origin does to a sum over the addresses, and to the transport checksum.
    fn deltas(&self, protocol: u8) -> (Delta, Delta) {
        // Both sources have the same sum.
        let addresses = addresses_delta((self.client, self.vip), (self.client, self.origin));
        let ports = Delta::between(self.vip_port, self.origin_port);
        (addresses, if protocol == ICMPV6 { addresses } else { addresses.and(ports) })
    }
}
