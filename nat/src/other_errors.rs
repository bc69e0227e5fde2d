//! ICMP errors about sessions of other protocols; see [`icmp`](crate::icmp).

use crate::icmp::translate;
use crate::quote::Quote;
use crate::session::{Key, ServiceId, SessionIndex};
use crate::table::Nat;
use packet::ip::Packet;
use packet::{Addr, Reason};

impl Nat {
    /// As [`Nat::reverse_error`], of a quoted packet whose protocol is not common.
    ///
    /// # Errors
    /// As there.
    pub fn reverse_error_other(&self, bytes: &mut [u8], packet: &Packet) -> Result<SessionIndex, Reason> {
        let quote = Quote::of(bytes, packet)?;
        if quote.src != packet.dst {
            return Err(Reason::NatQuote);
        }
        let (origin, external) = ((quote.dst, quote.dst_port), (quote.src, quote.src_port));
        let session = self.find_other_reverse(origin, external, quote.protocol)?;
        let entry = self.others.entry(session).ok_or(Reason::NatNoSession)?;
        translate(bytes, packet, &quote, &entry.towards_client().quoted(), (entry.vip, entry.key.client));
        Ok(session)
    }

    /// As [`Nat::forward_error`], of a quoted packet whose protocol is not common.
    ///
    /// # Errors
    /// As there.
    pub fn forward_error_other(
        &self,
        bytes: &mut [u8],
        packet: &Packet,
        find_service: impl FnOnce(Addr, u8, u16) -> Option<ServiceId>,
    ) -> Result<SessionIndex, Reason> {
        let quote = Quote::of(bytes, packet)?;
        if quote.src != packet.dst {
            return Err(Reason::NatQuote);
        }
        let service =
            find_service(quote.src, quote.protocol, quote.src_port).ok_or(Reason::UnknownService)?;
        let key = Key { client: quote.dst, port: quote.dst_port, service };
        let session = self.find_other(&key).ok_or(Reason::NatNoSession)?;
        let entry = self.others.entry(session).ok_or(Reason::NatNoSession)?;
        let outer = (entry.outside.external, entry.outside.origin);
        translate(bytes, packet, &quote, &entry.towards_origin().quoted(), outer);
        Ok(session)
    }
}
