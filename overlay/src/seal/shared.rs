//! What a seal covers beside the inner packet: the fields that all copies of a packet have in common.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |version|   0   |routing protoc.|  type of the inner packet     |  0  additional authenticated data
//! |                          overlay id                           |  4
//! |          source node          |       destination node        |  8
//! |           stream              |   key epoch   |       0       | 12
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |           stream              |               0               |  0  combined with the key's salt: the nonce
//! |                           sequence                            |  4
//! |                                                               |  8
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! A packet with an order option has that option's data behind the additional data as well.
//! Path, path sequence, hop limit and hop authenticator differ between copies and hops: they are in neither.

use crate::topology::{IpVersion, NodeId};
use crate::wire::{Header, ORDER_DATA_LEN, Order, VERSION};

/// The fields that all copies share and that the keys are not already bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shared {
    /// The routing protocol.
    pub protocol: u8,
    /// Version of the inner packet, as GENEVE announces it.
    pub inner: IpVersion,
    /// The stream id.
    pub stream: u16,
    /// The packet's number in its stream.
    pub sequence: u64,
}

impl From<&Header> for Shared {
    #[inline(always)]
    fn from(header: &Header) -> Shared {
        let &Header { protocol, inner, stream, sequence, .. } = header;
        Shared { protocol, inner, stream, sequence }
    }
}

/// The authenticated data of a pair of epochs, but for what [`Shared`] holds.
#[derive(Clone, Copy)]
pub(super) struct Template(u128);

impl Template {
    /// For packets from one node to another, sealed under a pair of epochs of this name.
    pub(super) fn new(overlay_id: u32, source: NodeId, destination: NodeId, epoch: u8) -> Template {
        Template(
            ((VERSION as u128) << 124)
                | (overlay_id as u128) << 64
                | (source.0 as u128) << 48
                | (destination.0 as u128) << 32
                | (epoch as u128) << 8,
        )
    }

    /// The epochs' name.
    pub(super) fn epoch(self) -> u8 {
        (self.0 >> 8) as u8
    }

    /// The authenticated data of a packet.
    #[inline(always)]
    pub(super) fn fill(self, shared: &Shared) -> [u8; 16] {
        let inner: u16 = match shared.inner {
            IpVersion::V4 => 0x0800,
            IpVersion::V6 => 0x86dd,
        };
        let fields = (shared.protocol as u128) << 112 | (inner as u128) << 96 | (shared.stream as u128) << 16;
        (self.0 | fields).to_be_bytes()
    }

    /// The same of a packet with a place in its flow.
    pub(super) fn fill_ordered(self, shared: &Shared, order: Order) -> [u8; 16 + ORDER_DATA_LEN] {
        let mut data = [0; 16 + ORDER_DATA_LEN];
        data[..16].copy_from_slice(&self.fill(shared));
        data[16..].copy_from_slice(&order.data());
        data
    }
}

/// The nonce of a packet. Each stream of a key has its own 64-bit counter, so no two packets have the same.
#[inline(always)]
pub(super) fn nonce(salt: &[u8; 12], shared: &Shared) -> [u8; 12] {
    let [s0, s1, s2, s3, low @ ..] = salt;
    let high = u32::from_be_bytes([*s0, *s1, *s2, *s3]) ^ (shared.stream as u32) << 16;
    let low = u64::from_be_bytes(*low) ^ shared.sequence;
    let [h0, h1, h2, h3] = high.to_be_bytes();
    let [l0, l1, l2, l3, l4, l5, l6, l7] = low.to_be_bytes();
    [h0, h1, h2, h3, l0, l1, l2, l3, l4, l5, l6, l7]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_layouts_in_the_picture() {
        let template = Template::new(0x00aa_bbcc, NodeId(0x0102), NodeId(0x0304), 0x5a);
        let shared =
            Shared { protocol: 2, inner: IpVersion::V6, stream: 0x0708, sequence: 0x1122_3344_5566_7788 };
        let aad = [0x10, 2, 0x86, 0xdd, 0, 0xaa, 0xbb, 0xcc, 1, 2, 3, 4, 7, 8, 0x5a, 0];
        assert_eq!(template.fill(&shared), aad);
        assert_eq!(template.epoch(), 0x5a);
        let nonce_of_zeros = [7, 8, 0, 0, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88];
        assert_eq!(nonce(&[0; 12], &shared), nonce_of_zeros);
        assert_eq!(nonce(&[0xff; 12], &shared), nonce_of_zeros.map(|byte| !byte));
    }
}
