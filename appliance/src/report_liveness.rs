//! What operators are told of links and paths.

use ctl::{LinkNow, Neighbor, PathEnd, Percentiles, Quality};
use overlay::plpmtud::Plpmtud;
use overlay::quality::Stats;
use overlay::topology::{IpVersion, NodeId, PathId};
use packet::BufPool;

use crate::core::Core;

impl<P: BufPool> Core<P> {
    /// The links to neighbouring nodes.
    pub fn links(&self) -> Vec<Neighbor> {
        let links = self.live.links().iter();
        links
            .map(|link| Neighbor {
                node: self.node_name(link.node),
                address: link.peer.to_ip(),
                session: link.session.state().name().to_owned(),
                remote: link.session.remote_state().name().to_owned(),
                diagnostic: link.session.diagnostic().name().to_owned(),
                state: link.health.phase().name().to_owned(),
                since_ms: self.ms_since(link.health.since_ns()),
                deaths: link.health.deaths(),
                interval_us: link.session.interval_us(),
                detection_ms: link.session.detection_ns() / 1_000_000,
                sent: link.sent,
                received: link.received,
                refused: link.refused,
                mtu: link.measured.search().map_or(0, Plpmtud::mtu),
                mtu_searching: link.measured.search().is_some_and(Plpmtud::is_searching),
                black_holes: link.measured.search().map_or(0, Plpmtud::black_holes),
                quality: link.meter.as_ref().map(|meter| quality(meter.stats())),
                now: link.meter.as_ref().and_then(|meter| meter.reading()).map(|reading| LinkNow {
                    latency_us: reading.latency_us,
                    loss_percent: f64::from(reading.loss_out_ppm) / 10_000.0,
                }),
            })
            .collect()
    }

    /// The nodes at a path's other end.
    pub(crate) fn ends(&self, path: PathId) -> Vec<PathEnd> {
        let paths = self.live.paths().iter().filter(|end| end.path == path);
        paths
            .map(|end| PathEnd {
                node: self.node_name(end.peer),
                version: if end.version == IpVersion::V4 { 4 } else { 6 },
                usable: self.live.is_usable(end),
                state: end.health.phase().name().to_owned(),
                since_ms: self.ms_since(end.health.since_ns()),
                deaths: end.health.deaths(),
                quality: end.stats().map(quality),
            })
            .collect()
    }

    pub(crate) fn node_name(&self, node: NodeId) -> String {
        let node = self.config.topology.node(node);
        node.map_or_else(String::new, |node| node.name.clone())
    }

    fn ms_since(&self, ns: u64) -> u64 {
        self.now_ns.saturating_sub(ns) / 1_000_000
    }
}

fn quality(stats: &Stats) -> Quality {
    let (all, recent) = (stats.counts, stats.recent());
    let percent = |share: Option<f64>| share.map(|share| share * 100.0);
    let times = |ns: Option<[u64; 3]>| {
        ns.map(|ns| ns.map(|ns| ns as f64 / 1000.0)).map(|[p50, p90, p99]| Percentiles { p50, p90, p99 })
    };
    Quality {
        probes: all.sent,
        lost_forward: all.lost_forward(),
        lost_backward: all.lost_backward(),
        loss_forward_percent: percent(recent.loss_forward()),
        loss_backward_percent: percent(recent.loss_backward()),
        round_trip_us: times(stats.round_trip()),
        variation_forward_us: times(stats.variation_forward()),
        variation_backward_us: times(stats.variation_backward()),
    }
}
