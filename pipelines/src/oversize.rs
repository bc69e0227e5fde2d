//! Packets that do not fit: cut where that is allowed, over the paths that carry them where there are such, and else
//! their sender is told. All of it is rare: a host that was told once sends smaller ones.

use crate::answer::Answer;
use crate::batch::PortIndex;
use crate::emit::Context;
use crate::tables::{Egress, Flight};
use packet::fragment::{self, Pieces};
use packet::ip::{self, Packet};
use packet::{BufPool, IpVersion, PacketBuf, Reason};

impl Flight {
    /// The MTU to tell the sender of a packet that is too large for all paths together: `None` where it can be
    /// carried nevertheless, in pieces or over some of the paths.
    pub fn refuses(&self, packet: &Packet) -> Option<u16> {
        let mtu = self.told(packet.version);
        (packet.len > mtu && !fragment::may_cut(packet)).then_some(mtu)
    }
}

impl<P: BufPool> Context<'_, P> {
    /// A client's packet that is too large for its flight's MTU.
    #[cold]
    #[inline(never)]
    pub fn enter_large(
        &mut self,
        mut buf: P::Buf,
        port: PortIndex,
        at: u16,
        packet: Packet,
        flight: &Flight,
        bucket: u8,
    ) {
        if let Some(mtu) = flight.refuses(&packet) {
            return self.answer_on_wire(buf, port, at, &packet, Answer::TooBig(mtu));
        }
        if buf.keep(at as usize, packet.len as usize).is_err() {
            return self.drop(buf, Reason::IpTruncated);
        }
        ip::decrement_ttl(buf.data_mut());
        self.counters.roles.edge_ingress.add(1);
        self.replicate_large(flight, bucket, packet.version, buf);
    }

    /// Sends a packet over the overlay that [`Flight::refuses`] does not refuse; the buffer holds it and nothing else.
    #[cold]
    #[inline(never)]
    pub fn replicate_large(&mut self, flight: &Flight, bucket: u8, version: IpVersion, buf: P::Buf) {
        match version {
            IpVersion::V4 => self.in_pieces(buf, flight.mtu, |context, piece| {
                context.replicate(flight, bucket, version, piece);
            }),
            IpVersion::V6 => self.replicate_where_it_fits(flight, bucket, version, buf),
        }
    }

    /// Delivers an IPv4 packet that may be cut over a port that it is too large for.
    #[cold]
    #[inline(never)]
    pub fn deliver_large(&mut self, egress: Egress, buf: P::Buf) {
        self.in_pieces(buf, egress.mtu, |context, piece| context.deliver(&egress, IpVersion::V4, piece));
    }

    /// Cuts a packet. A fragment for which there is no buffer counts as made and dropped, so that the counters add up.
    pub fn in_pieces(&mut self, buf: P::Buf, mtu: u16, mut each: impl FnMut(&mut Self, P::Buf)) {
        let Some(pieces) = Pieces::of(buf.data(), mtu) else {
            return self.drop(buf, Reason::TooBig);
        };
        let mut made = 0;
        for piece in pieces {
            made += 1;
            let filled = self.pool.alloc().and_then(|mut out| match out.append(piece.len()) {
                Ok(()) => Some(out),
                Err(_) => None,
            });
            match filled {
                Some(mut out) => {
                    piece.write(buf.data(), out.data_mut());
                    each(self, out);
                }
                None => self.counters.drop(Reason::NoBuffer),
            }
        }
        if made == 0 {
            return self.drop(buf, Reason::IpTruncated);
        }
        self.counters.roles.copies_made.add(made - 1);
        self.pool.free(buf);
    }
}
