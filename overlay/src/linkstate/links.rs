//! The body of a record about links: what the origin knows of the links to its neighbours.
//!
//! ```text
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |            pieces             |        number of links        |  0
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |          neighbour            |     flags     |       0       |  4  and again for each link
//! |                          latency, µs                          |
//! |            lost on the way to the neighbour, ppm              |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Links are in the order of neighbours and IP versions, each once. Where they do not fit, they go on in the next piece; `pieces` says
//! how many there are, and pieces beyond are void.

use crate::plan::{LATENCY_US_MAX, LOSS_PPM_MAX, Quality};
use crate::topology::{IpVersion, NodeId};

/// The link is used.
const UP: u8 = 1;
/// The underlay is IPv6.
const V6: u8 = 2;
/// Latency and loss were measured.
const MEASURED: u8 = 4;

const ENTRY_LEN: usize = 12;
/// Links in a piece.
pub const LINKS_MAX: usize = 80;

/// One end's word about a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkNow {
    /// The node at its other end.
    pub neighbor: NodeId,
    /// IP version of the underlay.
    pub version: IpVersion,
    /// Whether it is used.
    pub up: bool,
    /// Latency in either direction, and loss on the way to the neighbour; none before they are measured.
    pub quality: Option<Quality>,
}

impl LinkNow {
    fn order(&self) -> (NodeId, bool) {
        (self.neighbor, self.version == IpVersion::V6)
    }
}

/// A piece of a node's links.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Links {
    /// How many pieces there are; 0 where the origin has no links.
    pub pieces: u16,
    /// The links of this one.
    pub links: Vec<LinkNow>,
}

impl Links {
    /// Reads a body; none for anything else.
    pub fn parse(body: &[u8]) -> Option<Links> {
        let (header, rest) = body.split_first_chunk::<4>()?;
        let [p0, p1, c0, c1] = *header;
        let count = usize::from(u16::from_be_bytes([c0, c1]));
        if rest.len() != count * ENTRY_LEN || count > LINKS_MAX {
            return None;
        }
        let links: Option<Vec<LinkNow>> = rest.chunks_exact(ENTRY_LEN).map(entry).collect();
        let links = links?;
        let sorted = links.windows(2).all(|pair| pair[0].order() < pair[1].order());
        sorted.then_some(Links { pieces: u16::from_be_bytes([p0, p1]), links })
    }

    /// The body.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(4 + self.links.len() * ENTRY_LEN);
        bytes.extend(self.pieces.to_be_bytes());
        bytes.extend((self.links.len() as u16).to_be_bytes());
        for link in &self.links {
            let flag = |is: bool, flag: u8| if is { flag } else { 0 };
            let flags = flag(link.up, UP)
                | flag(link.version == IpVersion::V6, V6)
                | flag(link.quality.is_some(), MEASURED);
            let quality = link.quality.unwrap_or(Quality { latency_us: 0, loss_ppm: 0 });
            bytes.extend(link.neighbor.0.to_be_bytes());
            bytes.extend([flags, 0]);
            bytes.extend(quality.latency_us.to_be_bytes());
            bytes.extend(quality.loss_ppm.to_be_bytes());
        }
        bytes
    }
}

/// A flag that is not known is no matter; a quality that can not be makes the record none.
fn entry(bytes: &[u8]) -> Option<LinkNow> {
    let [n0, n1, flags, _, l0, l1, l2, l3, p0, p1, p2, p3] = *bytes.first_chunk::<ENTRY_LEN>()?;
    let quality = Quality {
        latency_us: u32::from_be_bytes([l0, l1, l2, l3]),
        loss_ppm: u32::from_be_bytes([p0, p1, p2, p3]),
    };
    if quality.latency_us > LATENCY_US_MAX || quality.loss_ppm > LOSS_PPM_MAX {
        return None;
    }
    Some(LinkNow {
        neighbor: NodeId(u16::from_be_bytes([n0, n1])),
        version: if flags & V6 == 0 { IpVersion::V4 } else { IpVersion::V6 },
        up: flags & UP != 0,
        quality: (flags & MEASURED != 0).then_some(quality),
    })
}

/// Cuts a node's links into pieces: at least one, so that losing the last link is told too.
pub fn pieces(mut links: Vec<LinkNow>) -> Vec<Links> {
    links.sort_by_key(LinkNow::order);
    links.dedup_by_key(|link| link.order());
    let pieces = links.len().div_ceil(LINKS_MAX).max(1);
    let piece = |at: usize| Links {
        pieces: pieces as u16,
        links: links.iter().skip(at * LINKS_MAX).take(LINKS_MAX).copied().collect(),
    };
    (0..pieces).map(piece).collect()
}

#[cfg(test)]
mod tests {
    use super::super::record::BODY_LEN_MAX;
    use super::*;
    use proptest::prelude::*;

    fn links() -> impl Strategy<Value = Vec<LinkNow>> {
        let link = (any::<u16>(), any::<bool>(), any::<bool>(), any::<Option<(u32, u32)>>());
        let link = link.prop_map(|(neighbor, v6, up, quality)| LinkNow {
            neighbor: NodeId(neighbor),
            version: if v6 { IpVersion::V6 } else { IpVersion::V4 },
            up,
            quality: quality.map(|(latency_us, loss_ppm)| Quality {
                latency_us: latency_us % (LATENCY_US_MAX + 1),
                loss_ppm: loss_ppm % (LOSS_PPM_MAX + 1),
            }),
        });
        proptest::collection::vec(link, 0..300)
    }

    proptest! {
        #[test]
        fn pieces_hold_every_link_once_and_are_read_as_written(links in links()) {
            let mut orders: Vec<_> = links.iter().map(LinkNow::order).collect();
            orders.sort_unstable();
            orders.dedup();
            let pieces = pieces(links);
            prop_assert!(pieces.iter().all(|piece| usize::from(piece.pieces) == pieces.len()));
            let read: Vec<LinkNow> = pieces.iter().flat_map(|piece| {
                let bytes = piece.to_bytes();
                assert!(bytes.len() <= BODY_LEN_MAX);
                assert_eq!(Links::parse(&bytes).as_ref(), Some(piece));
                Links::parse(&bytes).unwrap().links
            }).collect();
            prop_assert_eq!(read.iter().map(LinkNow::order).collect::<Vec<_>>(), orders);
        }

        #[test]
        fn any_bytes_are_read_or_refused(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Some(links) = Links::parse(&body) {
                prop_assert!(links.links.len() <= LINKS_MAX);
            }
        }
    }

    #[test]
    fn what_lies_is_refused() {
        let link = LinkNow { neighbor: NodeId(5), version: IpVersion::V4, up: true, quality: None };
        let good = Links { pieces: 1, links: vec![link] }.to_bytes();
        assert!(Links::parse(&good).is_some());
        assert_eq!(Links::parse(&good[..good.len() - 1]), None);
        let twice = Links { pieces: 1, links: vec![link, link] }.to_bytes();
        assert_eq!(Links::parse(&twice), None);
        let mut claims = good.clone();
        claims[3] = 200;
        assert_eq!(Links::parse(&claims), None);
        let mut slow = good;
        slow[8] = 0xff;
        assert_eq!(Links::parse(&slow), None);
    }
}
