//! Options that only some packets have, by their routing protocol or because they are to leave in order. They stand behind the stream option, and a packet without any is laid
//! out as if there were none in the world.

use super::OPTION_HEADER_LEN;
use crate::protocol::Protocol;
use packet::Reason;

/// Bytes of all extensions' data together at most.
pub const DATA_LEN_MAX: usize = super::ORDER_DATA_LEN + super::SOURCE_ROUTE_LEN_MAX - OPTION_HEADER_LEN;

/// Where a packet's extensions have their data, bytes from the start of GENEVE; 0 for one that is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// The packet's place in its flow.
    pub order_at: u16,
    /// The source route.
    pub source_route_at: u16,
    /// Which packets it covers: it is a parity packet.
    pub parity_at: u16,
}

impl Extensions {
    /// Whether there is none.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        *self == Extensions::default()
    }

    /// Whether these are the extensions that a protocol has. Packets of any may be ordered; those of some always are, and parity
    /// packets never.
    ///
    /// # Errors
    /// [`Reason::OverlayOption`] where one is missing, or is none of the protocol's.
    #[inline(always)]
    pub fn check(&self, protocol: u8) -> Result<(), Reason> {
        let routed = protocol == Protocol::SourceRoute.id();
        let ordered = protocol != Protocol::Spread.id() || self.order_at != 0;
        let coded = self.parity_at == 0 || (protocol == Protocol::Parity.id() && self.order_at == 0);
        if routed == (self.source_route_at != 0) && ordered && coded {
            Ok(())
        } else {
            Err(Reason::OverlayOption)
        }
    }

    /// What of them a hop's authenticator covers: the data of each, in the order of their types. `geneve` is what they
    /// were located in.
    pub fn covered<'a>(&self, geneve: &'a [u8], into: &'a mut [u8; DATA_LEN_MAX]) -> &'a [u8] {
        let mut len = 0;
        let options = [self.order_at, self.source_route_at, self.parity_at];
        for at in options.into_iter().filter(|at| *at != 0).map(usize::from) {
            // The length stands in the option's header, in words; that it holds was checked when it was located.
            let words = geneve.get(at.wrapping_sub(1)).map_or(0, |length| usize::from(length & 0x1f));
            let data = geneve.get(at..at + words * 4).unwrap_or_default();
            if let Some(place) = into.get_mut(len..len + data.len()) {
                place.copy_from_slice(data);
                len += data.len();
            }
        }
        into.get(..len).unwrap_or_default()
    }
}
