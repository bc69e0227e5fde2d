//! Links and paths as metrics.

use ctl::{PathEnd, Percentiles, Quality};
use packet::BufPool;

use crate::core::Core;
use crate::metrics::{Labels, Metric, Value, Values, counter, gauge};

pub(crate) fn links<P: BufPool>(core: &Core<P>, metrics: &mut Vec<Metric>) {
    let links = core.links();
    let each = |of: fn(&ctl::Neighbor) -> u64| -> Values {
        let labels =
            |link: &ctl::Neighbor| vec![("node", link.node.clone()), ("address", link.address.to_string())];
        links.iter().map(|link| (labels(link), Value::Count(of(link)))).collect()
    };
    gauge(
        metrics,
        "link_session_up",
        "Whether the BFD session is up",
        each(|link| (link.session == "up").into()),
    );
    let used = |link: &ctl::Neighbor| matches!(link.state.as_str(), "up" | "starting").into();
    gauge(metrics, "link_used", "Whether the link is used", each(used));
    counter(metrics, "link_deaths", "Times that the link died", each(|link| link.deaths));
    let name = "link_mtu_bytes";
    gauge(metrics, name, "Bytes that an IP packet may have on the link", each(|link| link.mtu.into()));
    let name = "link_black_holes";
    counter(
        metrics,
        name,
        "Times that packets which had passed were too large",
        each(|link| link.black_holes),
    );
    counter(metrics, "link_bfd_sent", "BFD packets sent", each(|link| link.sent));
    counter(metrics, "link_bfd_received", "BFD packets received that counted", each(|link| link.received));
    counter(
        metrics,
        "link_bfd_refused",
        "BFD packets received that did not count",
        each(|link| link.refused),
    );
}

/// What probes of links say.
pub(crate) fn link_quality<P: BufPool>(core: &Core<P>, metrics: &mut Vec<Metric>) {
    let links = core.links();
    let labels =
        |link: &ctl::Neighbor| vec![("node", link.node.clone()), ("address", link.address.to_string())];
    let measured = |of: fn(&Quality) -> u64| -> Values {
        let values = links.iter().filter_map(|link| Some((labels(link), link.quality.as_ref()?)));
        values.map(|(labels, quality)| (labels, Value::Count(of(quality)))).collect()
    };
    let name = "link_probes";
    counter(metrics, name, "Probes of the link sent, and answered or given up", measured(|all| all.probes));
    let name = "link_probes_lost_forward";
    counter(metrics, name, "Probes of the link lost on the way there", measured(|all| all.lost_forward));
    let name = "link_probes_lost_backward";
    counter(metrics, name, "Probes of the link lost on the way back", measured(|all| all.lost_backward));
    let now = links.iter().filter_map(|link| Some((labels(link), link.now?)));
    let latency = now.map(|(labels, now)| (labels, Value::Seconds(f64::from(now.latency_us) / 1e6)));
    gauge(metrics, "link_latency_seconds", "Half the round-trip time of the link, now", latency.collect());
    let now = links.iter().filter_map(|link| Some((labels(link), link.now?)));
    let loss = now.map(|(labels, now)| (labels, Value::Seconds(now.loss_percent / 100.0)));
    let name = "link_loss_ratio";
    gauge(metrics, name, "Share lost on the way to the other end of the link, now", loss.collect());
    let times = links.iter().filter_map(|link| Some((link, link.quality.as_ref()?.round_trip_us?)));
    let quantiles = times.flat_map(|(link, times)| {
        [("0.5", times.p50), ("0.9", times.p90), ("0.99", times.p99)].map(|(quantile, us)| {
            let mut labels = labels(link);
            labels.push(("quantile", quantile.to_owned()));
            (labels, Value::Seconds(us / 1e6))
        })
    });
    let name = "link_round_trip_seconds";
    gauge(metrics, name, "Round-trip time of the link over the last one to two minutes", quantiles.collect());
}

/// Data on paths that end here.
pub(crate) fn incoming<P: BufPool>(core: &Core<P>, metrics: &mut Vec<Metric>) {
    let paths = core.paths();
    let each = |of: fn(&ctl::Incoming) -> u64| -> Values {
        let all = paths.iter().flat_map(|path| path.incoming.iter().map(move |from| (path.path, from)));
        let labels = |path: u16, node: &str| vec![("path", path.to_string()), ("node", node.to_owned())];
        all.map(|(path, from)| (labels(path, &from.node), Value::Count(of(from)))).collect()
    };
    counter(
        metrics,
        "path_data_received",
        "Copies of data that came from a node",
        each(|from| from.received),
    );
    counter(metrics, "path_data_lost", "Copies of data lost on the way from a node", each(|from| from.lost));
}

pub(crate) fn path_ends<P: BufPool>(core: &Core<P>, metrics: &mut Vec<Metric>) {
    let paths = core.paths();
    let ends: Vec<(Labels, &PathEnd)> = paths
        .iter()
        .flat_map(|path| path.ends.iter().map(move |end| (path.path, end)))
        .map(|(path, end)| {
            let labels = vec![
                ("path", path.to_string()),
                ("node", end.node.clone()),
                ("version", end.version.to_string()),
            ];
            (labels, end)
        })
        .collect();
    let each = |of: fn(&PathEnd) -> u64| -> Values {
        ends.iter().map(|(labels, end)| (labels.clone(), Value::Count(of(end)))).collect()
    };
    gauge(metrics, "path_used", "Whether packets take the path to this node", each(|end| end.usable.into()));
    counter(metrics, "path_deaths", "Times that its probes found the path dead", each(|end| end.deaths));
    let measured = |of: fn(&Quality) -> u64| -> Values {
        let values = ends.iter().filter_map(|(labels, end)| Some((labels, end.quality.as_ref()?)));
        values.map(|(labels, quality)| (labels.clone(), Value::Count(of(quality)))).collect()
    };
    counter(
        metrics,
        "path_probes",
        "Probes sent, and answered or given up",
        measured(|quality| quality.probes),
    );
    let name = "path_probes_lost_forward";
    counter(metrics, name, "Probes lost on the way there", measured(|quality| quality.lost_forward));
    let name = "path_probes_lost_backward";
    counter(metrics, name, "Probes lost on the way back", measured(|quality| quality.lost_backward));
    let times = |of: fn(&Quality) -> Option<Percentiles>| -> Values {
        let values = ends.iter().filter_map(|(labels, end)| Some((labels, of(end.quality.as_ref()?)?)));
        let quantiles = values.flat_map(|(labels, times)| {
            [("0.5", times.p50), ("0.9", times.p90), ("0.99", times.p99)].map(|(quantile, us)| {
                let mut labels = labels.clone();
                labels.push(("quantile", quantile.to_owned()));
                (labels, Value::Seconds(us / 1e6))
            })
        });
        quantiles.collect()
    };
    let name = "path_round_trip_seconds";
    gauge(
        metrics,
        name,
        "Round-trip time over the last one to two minutes",
        times(|quality| quality.round_trip_us),
    );
    let name = "path_variation_forward_seconds";
    gauge(metrics, name, "Delay variation on the way there", times(|quality| quality.variation_forward_us));
    let name = "path_variation_backward_seconds";
    gauge(metrics, name, "Delay variation on the way back", times(|quality| quality.variation_backward_us));
}
