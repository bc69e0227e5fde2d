//! The source route option: the nodes that a packet is to pass, and how many of them it has passed.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |      class 0xff50             |  type 0x85    |0 0 0|  words  |
//! |     count     |    passed     |           reserved            |
//! |             hop 1             |             hop 2             |
//! |             …                 |        0, if count is odd     |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

use super::{OPTION_CLASS, OPTION_HEADER_LEN, TYPE_SOURCE_ROUTE};
use crate::topology::NodeId;
use packet::Reason;

/// Hops that a packet names at most.
pub const HOPS_MAX: usize = 8;
/// Bytes of the longest option, with its header.
pub const SOURCE_ROUTE_LEN_MAX: usize = OPTION_HEADER_LEN + HOPS_AT + 2 * HOPS_MAX;

const PASSED_AT: usize = 1;
const HOPS_AT: usize = 4;

/// The option's data.
#[derive(Clone, Copy, Debug)]
pub struct SourceRoute<'a>(&'a [u8]);

impl<'a> SourceRoute<'a> {
    /// Bytes of the option with so many hops, its header included.
    pub const fn option_len(hops: usize) -> usize {
        OPTION_HEADER_LEN + HOPS_AT + hops.div_ceil(2) * 4
    }

    /// Whether the data is as long as its count says, and that is 1 to [`HOPS_MAX`].
    pub(super) fn is_sized(data: &[u8]) -> bool {
        let count = data.first().map_or(0, |count| usize::from(*count));
        (1..=HOPS_MAX).contains(&count) && data.len() + OPTION_HEADER_LEN == Self::option_len(count)
    }

    /// The option whose data stands at [`Extensions::source_route_at`](super::Extensions::source_route_at).
    ///
    /// # Errors
    /// [`Reason::OverlaySourceRoute`] for one that leads nowhere: it names a node twice, or node 0, or an end of the
    /// packet's way, or has passed more hops than it has; [`Reason::OverlayOption`] where none was located.
    pub fn read(geneve: &'a [u8], at: u16, ends: [NodeId; 2]) -> Result<SourceRoute<'a>, Reason> {
        let data = geneve.get(usize::from(at)..).filter(|_| at != 0).ok_or(Reason::OverlayOption)?;
        let count = data.first().map_or(0, |count| usize::from(*count).min(HOPS_MAX));
        let data = data.get(..HOPS_AT + 2 * count).ok_or(Reason::OverlayOption)?;
        let route = SourceRoute(data);
        for place in 0..count {
            let hop = route.hop(place).ok_or(Reason::OverlayOption)?;
            let again = (0..place).any(|earlier| route.hop(earlier) == Some(hop));
            if again || hop.0 == 0 || ends.contains(&hop) {
                return Err(Reason::OverlaySourceRoute);
            }
        }
        if route.passed() > count { Err(Reason::OverlaySourceRoute) } else { Ok(route) }
    }

    /// Writes the option for these hops, none of them passed; returns its length. More than [`HOPS_MAX`] are cut off.
    pub fn write(hops: &[NodeId], out: &mut [u8; SOURCE_ROUTE_LEN_MAX]) -> usize {
        let hops = hops.get(..HOPS_MAX).unwrap_or(hops);
        let len = Self::option_len(hops.len());
        let words = ((len - OPTION_HEADER_LEN) / 4) as u8;
        *out = [0; SOURCE_ROUTE_LEN_MAX];
        out[..2].copy_from_slice(&OPTION_CLASS.to_be_bytes());
        out[2..6].copy_from_slice(&[TYPE_SOURCE_ROUTE, words, hops.len() as u8, 0]);
        for (place, hop) in out[OPTION_HEADER_LEN + HOPS_AT..].chunks_exact_mut(2).zip(hops) {
            place.copy_from_slice(&hop.0.to_be_bytes());
        }
        len
    }

    /// How many hops it has.
    pub fn count(&self) -> usize {
        (self.0.len() - HOPS_AT) / 2
    }

    /// How many of them the packet has passed.
    pub fn passed(&self) -> usize {
        self.0.get(PASSED_AT).map_or(0, |passed| usize::from(*passed))
    }

    /// A hop by its place, from 0.
    pub fn hop(&self, place: usize) -> Option<NodeId> {
        let bytes = self.0.get(HOPS_AT + 2 * place..)?.first_chunk()?;
        Some(NodeId(u16::from_be_bytes(*bytes)))
    }

    /// Who must have sent the packet to where it is now: the hop passed last, or the source.
    pub fn before(&self, source: NodeId) -> Option<NodeId> {
        match self.passed().checked_sub(1) {
            Some(last) => self.hop(last),
            None => Some(source),
        }
    }

    /// Where the hop that has the packet now sends it: the next hop, or the destination.
    pub fn after(&self, destination: NodeId) -> Option<NodeId> {
        match self.passed() + 1 {
            next if next == self.count() => Some(destination),
            next => self.hop(next),
        }
    }

    /// Counts a hop as passed, in place.
    ///
    /// # Errors
    /// [`Reason::OverlayTruncated`] where `at` is beyond the packet.
    pub fn pass(geneve: &mut [u8], at: u16) -> Result<(), Reason> {
        let passed = geneve.get_mut(usize::from(at) + PASSED_AT).ok_or(Reason::OverlayTruncated)?;
        *passed = passed.saturating_add(1);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ENDS: [NodeId; 2] = [NodeId(1), NodeId(2)];

    fn option(hops: &[u16]) -> Vec<u8> {
        let hops: Vec<NodeId> = hops.iter().map(|hop| NodeId(*hop)).collect();
        let mut bytes = [0xa5; SOURCE_ROUTE_LEN_MAX];
        let len = SourceRoute::write(&hops, &mut bytes);
        bytes[..len].to_vec()
    }

    #[test]
    fn a_packet_passes_hop_after_hop() {
        let mut bytes = option(&[11, 12, 13]);
        assert_eq!(bytes, [0xff, 0x50, 0x85, 3, 3, 0, 0, 0, 0, 11, 0, 12, 0, 13, 0, 0]);
        assert!(SourceRoute::is_sized(&bytes[4..]));
        for (before, after) in [(1, 12), (11, 13), (12, 2)] {
            let route = SourceRoute::read(&bytes, 4, ENDS).unwrap();
            assert_eq!(
                (route.before(ENDS[0]), route.after(ENDS[1])),
                (Some(NodeId(before)), Some(NodeId(after)))
            );
            SourceRoute::pass(&mut bytes, 4).unwrap();
        }
        let route = SourceRoute::read(&bytes, 4, ENDS).unwrap();
        assert_eq!((route.passed(), route.count(), route.before(ENDS[0])), (3, 3, Some(NodeId(13))));
        SourceRoute::pass(&mut bytes, 4).unwrap();
        assert_eq!(SourceRoute::read(&bytes, 4, ENDS).unwrap_err(), Reason::OverlaySourceRoute);
    }

    #[test]
    fn routes_that_lead_nowhere() {
        for hops in [&[11, 12, 11][..], &[0], &[11, 1], &[2], &[11, 11]] {
            let read = SourceRoute::read(&option(hops), 4, ENDS).map(|route| route.count());
            assert_eq!(read, Err(Reason::OverlaySourceRoute), "{hops:?}");
        }
        for data in [&[][..], &[0; 4], &[1; 4], &[9; 24], &[3, 0, 0, 0, 1, 1, 2, 2], &[255; 12]] {
            assert!(!SourceRoute::is_sized(data), "{data:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40), at: u16) {
            if let Ok(route) = SourceRoute::read(&bytes, at % 44, ENDS) {
                prop_assert!(route.passed() <= route.count() && route.count() <= HOPS_MAX);
                prop_assert!(route.before(ENDS[0]).is_some());
            }
        }
    }
}
