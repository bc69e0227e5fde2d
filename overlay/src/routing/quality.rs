//! What a way of several links is like, and what copies over several ways are.

use super::network::links;
use super::view::{LinkView, Way};
use crate::plan::{LATENCY_US_MAX, LOSS_PPM_MAX, Quality};
use crate::topology::{RegionIndex, Topology};

const MILLION: u64 = 1_000_000;
/// Shares of what arrives are counted in parts of this.
const WHOLE: u64 = 1_000_000_000;

/// A way over these regions, as its links are now, or as configured where nothing was told; none where one of them is down or not there.
pub fn along(topology: &Topology, view: &LinkView, stops: &[RegionIndex]) -> Option<Quality> {
    let configured = links(topology);
    let (mut latency_us, mut arrives) = (0u64, WHOLE);
    for hop in stops.windows(2) {
        let [from, to] = [*hop.first()?, *hop.last()?];
        if from == to {
            continue;
        }
        let link = configured.get(&(from.min(to), from.max(to)))?;
        let quality = match view.get(from, to) {
            Some(Way::Down) => return None,
            Some(Way::Measured(quality)) => quality,
            None => *link,
        };
        latency_us += u64::from(quality.latency_us);
        arrives = arrives * (MILLION - u64::from(quality.loss_ppm.min(LOSS_PPM_MAX))) / MILLION;
    }
    Some(quality(latency_us, WHOLE - arrives))
}

/// What a packet experiences of which one copy takes each of two ways that share nothing: the first copy counts, and both must be lost.
pub fn combined(one: Quality, other: Quality) -> Quality {
    let lost = u64::from(one.loss_ppm) * u64::from(other.loss_ppm) * WHOLE / (MILLION * MILLION);
    quality(u64::from(one.latency_us.min(other.latency_us)), lost)
}

/// `lost` in parts of [`WHOLE`].
fn quality(latency_us: u64, lost: u64) -> Quality {
    Quality {
        latency_us: latency_us.min(LATENCY_US_MAX.into()) as u32,
        loss_ppm: (lost * MILLION / WHOLE).min(LOSS_PPM_MAX.into()) as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::{Ground, Link, Region};

    fn topology() -> Topology {
        let link = |a, b, latency_us, loss_ppm| Link {
            between: [RegionIndex(a), RegionIndex(b)],
            quality: Quality { latency_us, loss_ppm },
            risks: Vec::new(),
        };
        let regions = (0..4).map(|region| Region { name: region.to_string() }).collect();
        let links = vec![link(0, 1, 10_000, 100_000), link(1, 2, 20_000, 100_000)];
        Topology { regions, ground: Ground { links, ..Ground::default() }, ..Topology::default() }
    }

    #[test]
    fn latencies_add_up_and_what_arrives_multiplies() {
        let (topology, mut view) = (topology(), LinkView::default());
        let stops = [0, 1, 2].map(RegionIndex);
        let way = along(&topology, &view, &stops);
        assert_eq!(way, Some(Quality { latency_us: 30_000, loss_ppm: 190_000 }));
        view.set(RegionIndex(1), RegionIndex(2), Way::Measured(Quality { latency_us: 5_000, loss_ppm: 0 }));
        let way = along(&topology, &view, &stops);
        assert_eq!(way, Some(Quality { latency_us: 15_000, loss_ppm: 100_000 }));
        view.set(RegionIndex(1), RegionIndex(2), Way::Down);
        assert_eq!(along(&topology, &view, &stops), None);
        assert!(along(&topology, &view, &[2, 1, 0].map(RegionIndex)).is_some(), "the other direction");
        assert_eq!(along(&topology, &view, &[0, 3].map(RegionIndex)), None, "no link");
    }

    #[test]
    fn of_two_copies_the_first_counts_and_both_must_be_lost() {
        let one = Quality { latency_us: 30_000, loss_ppm: 100_000 };
        let other = Quality { latency_us: 20_000, loss_ppm: 20_000 };
        assert_eq!(combined(one, other), Quality { latency_us: 20_000, loss_ppm: 2_000 });
    }
}
