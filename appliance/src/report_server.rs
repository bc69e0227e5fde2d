//! What the node tells the control server every second.

use overlay::sync::report::{Counters, Link, Load, Path, Report};
use packet::BufPool;

use crate::core::Core;

/// Percent in parts per million.
fn ppm(percent: f64) -> u32 {
    (percent * 1e4).round() as u32
}

impl<P: BufPool> Core<P> {
    /// How the node is; `uptime_ms` since it started.
    pub fn report(&self, uptime_ms: u64) -> Report {
        let links: Vec<Link> = self.links().iter().map(link).collect();
        let paths: Vec<Path> = self.paths().iter().map(path).collect();
        let sum = |of: fn(&crate::core::Counters) -> u64| self.counters.iter().map(of).sum::<u64>();
        let roles = self.config.this_node().map(|node| node.roles).unwrap_or_default();
        let sessions_max = if roles.gateway { u64::from(self.config.local.limits.sessions) } else { 0 };
        let drops = self.drops().into_iter().filter(|drop| drop.packets > 0);
        let counters = Counters {
            drops: drops.map(|drop| (drop.reason, drop.packets)).collect(),
            flows: sum(|worker| worker.path.roles.flows.get()),
            sessions: sum(|worker| worker.path.roles.sessions.get()),
            sessions_max: sessions_max * self.counters.len() as u64,
            buffers: 0,
        };
        let busy_ms = self.counters.iter().map(|worker| worker.own.busy_ns.get() / 1_000_000);
        let ready = self.workers_turn(self.now_ns);
        Report {
            uptime_s: uptime_ms / 1000,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ready,
            alarms: self.told_alarms(&links, &paths, ready),
            links,
            paths,
            counters,
            load: Load { uptime_ms, busy_ms: busy_ms.collect() },
        }
    }

    fn told_alarms(&self, links: &[Link], paths: &[Path], ready: bool) -> Vec<String> {
        let mut told = Vec::new();
        if !ready {
            told.push("a worker is stuck".to_owned());
        }
        for (_, address) in self.slow.unresolved() {
            told.push(format!("the next hop {} does not answer", address.to_ip()));
        }
        let dead = links.iter().filter(|link| !link.up);
        told.extend(dead.map(|link| format!("link to {} over IPv{} is down", link.neighbor, link.version)));
        let dead = paths.iter().filter(|path| path.up == Some(false) && path.in_force);
        told.extend(dead.map(|path| format!("path {} of {} is down", path.path, path.set)));
        told
    }
}

fn link(link: &ctl::Neighbor) -> Link {
    Link {
        neighbor: link.node.clone(),
        version: if link.address.is_ipv4() { 4 } else { 6 },
        up: matches!(link.state.as_str(), "up" | "starting"),
        rtt_us: link.now.map(|now| now.latency_us.saturating_mul(2)),
        loss_ppm: link.now.map(|now| ppm(now.loss_percent)),
    }
}

/// A path with several ends is up while it leads to any of them, and as bad as the worst.
fn path(path: &ctl::Path) -> Path {
    let qualities = || path.ends.iter().filter_map(|end| end.quality.as_ref());
    let rtt = qualities().filter_map(|quality| quality.round_trip_us).map(|times| times.p50.round() as u32);
    let losses =
        qualities().flat_map(|quality| [quality.loss_forward_percent, quality.loss_backward_percent]);
    Path {
        path: path.path,
        set: path.set.clone(),
        in_force: path.in_force,
        up: (!path.ends.is_empty()).then(|| path.ends.iter().any(|end| end.usable)),
        rtt_us: rtt.max(),
        loss_ppm: losses.flatten().map(ppm).max(),
        sent: path.sent,
        forwarded: path.forwarded,
        passed: path.passed,
    }
}
