//! When a node's links are news: hysteresis between what was measured and what is told.

use std::collections::BTreeMap;

use super::links::{LinkNow, Links, pieces};
use crate::plan::Quality;
use crate::topology::{IpVersion, NodeId};

/// Latency that differs by no more than a part of this of what was told is no news.
const LATENCY_PART: u32 = 8;
/// Nor is less than this, µs.
const LATENCY_US_MIN: u32 = 500;
/// Loss that differs by less than this is no news, ppm; nor is less than a quarter of what was told.
const LOSS_PPM_MIN: u32 = 2_000;
const LOSS_PART: u32 = 4;

/// What was told last of each link.
#[derive(Clone, Debug, Default)]
pub struct Reporter {
    told: BTreeMap<(NodeId, bool), LinkNow>,
}

impl Reporter {
    /// Looks at the links as they are. Returns the pieces to tell, and whether they are news; if not, the next renewal
    /// carries them.
    pub fn report(&mut self, links: Vec<LinkNow>) -> (Vec<Links>, bool) {
        let key = |link: &LinkNow| (link.neighbor, link.version == IpVersion::V6);
        let gone = self.told.len() != links.len();
        let news =
            gone || links.iter().any(|link| self.told.get(&key(link)).is_none_or(|told| differs(told, link)));
        if news {
            self.told = links.iter().map(|link| (key(link), *link)).collect();
        }
        (pieces(links), news)
    }
}

/// Whether a link's state is news to whoever was told another.
fn differs(told: &LinkNow, now: &LinkNow) -> bool {
    match (told.quality, now.quality) {
        _ if told.up != now.up => true,
        // What nobody uses may be like anything: its probes get lost, which is no news.
        _ if !now.up => false,
        (Some(told), Some(now)) => latency_differs(told, now) || loss_differs(told, now),
        (told, now) => told.is_some() != now.is_some(),
    }
}

fn latency_differs(told: Quality, now: Quality) -> bool {
    told.latency_us.abs_diff(now.latency_us) > (told.latency_us / LATENCY_PART).max(LATENCY_US_MIN)
}

fn loss_differs(told: Quality, now: Quality) -> bool {
    told.loss_ppm.abs_diff(now.loss_ppm) > (told.loss_ppm / LOSS_PART).max(LOSS_PPM_MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_wobbles_is_no_news_and_what_changes_is() {
        let mut reporter = Reporter::default();
        let link = |latency_us, loss_ppm, up| LinkNow {
            neighbor: NodeId(2),
            version: IpVersion::V4,
            up,
            quality: Some(Quality { latency_us, loss_ppm }),
        };
        let mut news = |links: &[LinkNow]| reporter.report(links.to_vec()).1;
        assert!(news(&[link(20_000, 0, true)]));
        for wobble in [20_000, 22_000, 18_500, 20_001] {
            assert!(!news(&[link(wobble, 1_500, true)]));
        }
        assert!(news(&[link(23_000, 0, true)]));
        assert!(!news(&[link(23_000, 0, true)]));
        assert!(news(&[link(23_000, 10_000, true)]));
        assert!(!news(&[link(23_000, 12_000, true)]));
        assert!(news(&[link(23_000, 12_000, false)]));
        assert!(!news(&[link(23_000, 700_000, false)]));
        assert!(news(&[]));
        assert!(!news(&[]));
    }
}
