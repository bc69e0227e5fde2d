//! What belongs to one hop and is written anew by each: the link epoch and the authenticator.
//!
//! Both stand in the route option's data beside the hop limit, so that one place is enough to find them in any layout.

use super::Located;
use packet::Reason;

/// From the hop limit to the link epoch, bytes.
const LINK_EPOCH: usize = 1;
/// From the hop limit to the authenticator, bytes.
const AUTHENTICATOR: usize = 6;
/// Where the authenticator stands in the sender's layout, bytes from the start of GENEVE.
pub const AUTHENTICATOR_AT: usize = super::HOP_LIMIT_AT + AUTHENTICATOR;

/// Which pair of the two nodes' epochs the authenticator of this hop is of; 0 on a link without a key. `geneve` is
/// what `found` was located in.
#[inline(always)]
pub fn link_epoch(geneve: &[u8], found: &Located) -> u8 {
    geneve.get(found.hop_limit_at + LINK_EPOCH).copied().unwrap_or(0)
}

/// Writes what the next hop checks; `at` is [`Located::hop_limit_at`], or [`HOP_LIMIT_AT`](super::HOP_LIMIT_AT) in the
/// sender's layout.
///
/// # Errors
/// [`Reason::OverlayTruncated`] where that is beyond the packet.
#[inline(always)]
pub fn write_hop(geneve: &mut [u8], at: usize, link_epoch: u8, authenticator: u64) -> Result<(), Reason> {
    let route = geneve.get_mut(at..).ok_or(Reason::OverlayTruncated)?;
    let [_, epoch, _, _, _, _, value @ ..] =
        route.first_chunk_mut::<{ AUTHENTICATOR + 8 }>().ok_or(Reason::OverlayTruncated)?;
    *epoch = link_epoch;
    *value = authenticator.to_be_bytes();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use super::*;

    #[test]
    fn what_is_written_for_a_hop_is_read_in_any_layout() {
        let header = Header {
            vni: 1,
            inner: IpVersion::V4,
            protocol: PROTOCOL_REPLICATE,
            copies: 0,
            hop_limit: 8,
            source: NodeId(1),
            destination: NodeId(4),
            authenticator: 0,
            stream: 7,
            path: PathId(1),
            epoch: 0x12,
            path_sequence: 7,
            sequence: 9,
        };
        let mut first = [0; HEADER_LEN];
        header.write(&mut first);
        let mut turned = first;
        turned[8..28].copy_from_slice(&first[28..]);
        turned[28..].copy_from_slice(&first[8..28]);
        for mut bytes in [first, turned] {
            let found = locate_keyed(&bytes).unwrap();
            assert_eq!((found.header, link_epoch(&bytes, &found)), (header, 0));
            assert_eq!(locate(&bytes), Err(Reason::OverlayUnexpectedKey));
            write_hop(&mut bytes, found.hop_limit_at, 0x34, 0x1122_3344_5566_7788).unwrap();
            let found = locate_keyed(&bytes).unwrap();
            assert_eq!(found.header, Header { authenticator: 0x1122_3344_5566_7788, ..header });
            assert_eq!(link_epoch(&bytes, &found), 0x34);
        }
        assert_eq!(write_hop(&mut first, HEADER_LEN - 13, 0, 0), Err(Reason::OverlayTruncated));
    }
}
