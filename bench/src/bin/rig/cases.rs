//! The cases: which forwarders run on which frames, and what their ratios must reach.

use crate::capture::{self, Load};
use crate::daemon::Daemon;
use crate::peers::ovs::{self, Job as Ovs};
use crate::peers::{l3fwd, nftables, testpmd};
use crate::proa::Role;
use crate::report::{Case, Cost};
use crate::subject::Subject;
use crate::worker::Job;
use miette::Result;
use proa_bench::frame;
use proa_bench::world::{self, Role as World};
use std::path::PathBuf;

/// Flows that every peer holds in its fastest table.
const FLOWS: u32 = 1_008;
/// Flows beyond the fast tables of the peers.
const FLOWS_16K: u32 = 16_128;
/// A worker's tables no longer fit the second-level cache.
const FLOWS_64K: u32 = 64_512;
/// As many as an operator's plan is likely to name.
const FLOWS_100K: u32 = 100_800;
/// They fit no cache.
const FLOWS_1M: u32 = 1_032_192;
/// As many as a gateway is made for.
const FLOWS_4M: u32 = 4_128_768;

/// Where a case keeps its files, and its frames.
pub struct Place {
    /// Captures, logs and sockets.
    pub out: PathBuf,
    /// Clients' frames.
    pub load: Load,
}

/// A case before it is run.
pub struct Spec {
    /// What is measured.
    pub name: &'static str,
    /// Different flows.
    pub flows: u32,
    /// Whether it is run for each frame size, or for the smallest only.
    pub all_sizes: bool,
    /// Whether a quick run has it.
    pub quick: bool,
    /// Starts its forwarders.
    pub start: fn(&Place) -> Result<Vec<Subject>>,
    /// Compares them.
    pub compare: fn(&mut Case),
}

/// All cases.
pub const CASES: [Spec; 12] = [
    Spec {
        name: "intermediate",
        flows: FLOWS,
        all_sizes: true,
        quick: true,
        start: intermediate,
        compare: |case| {
            // At most 1.6 times l3fwd's time.
            case.compare("Proa intermediate", "l3fwd", Some(1.0 / 1.6));
            case.compare("Proa intermediate", "OVS forward", None);
        },
    },
    Spec {
        name: "edge",
        flows: FLOWS,
        all_sizes: true,
        quick: true,
        start: edge,
        compare: |case| {
            case.compare("Proa edge, 1 copy", "OVS VXLAN encap", Some(1.5));
            case.compare("Proa edge, 2 copies", "OVS VXLAN encap", Some(1.0));
            case.compare("Proa edge, 1 copy", "l3fwd", None);
            // At most 3.5 times the time of the bare copy.
            case.compare_costs(
                Cost::Above("Proa edge, 2 copies", "Proa edge, 1 copy"),
                Cost::Whole("alloc + copy + free"),
                Some(1.0 / 3.5),
            );
            case.compare_costs(
                Cost::Above("Proa edge, 2 copies", "Proa edge, 1 copy"),
                Cost::Whole("the same in one stash"),
                None,
            );
        },
    },
    Spec {
        name: "gateway",
        flows: FLOWS,
        all_sizes: true,
        quick: true,
        start: gateway,
        compare: |case| {
            case.compare("Proa gateway", "OVS conntrack SNAT", Some(4.0));
            case.compare("Proa gateway, replies", "OVS conntrack SNAT", None);
            case.compare("Proa gateway, replies ×2", "OVS conntrack SNAT", None);
        },
    },
    Spec {
        name: "gateway",
        flows: FLOWS_16K,
        all_sizes: false,
        quick: false,
        start: gateway,
        compare: |case| case.compare("Proa gateway", "OVS conntrack SNAT", Some(5.0)),
    },
    Spec {
        name: "gateway, nftables",
        flows: FLOWS_64K,
        all_sizes: false,
        quick: false,
        start: kernel_gateway,
        compare: |case| {
            // The goal holds for both: the less favourable one decides.
            case.compare("Proa gateway", "nftables DNAT + SNAT", Some(10.0));
            case.compare_costs(
                Cost::Above("Proa gateway", "source"),
                Cost::Above("nftables DNAT + SNAT", "nftables source"),
                Some(10.0),
            );
        },
    },
    Spec {
        name: "gateway, sessions",
        flows: FLOWS_1M,
        all_sizes: false,
        quick: true,
        start: sessions,
        compare: |case| case.compare("1,032,192 sessions", "64,512 sessions", Some(0.5)),
    },
    Spec {
        name: "gateway replies, sessions",
        flows: FLOWS_1M,
        all_sizes: false,
        quick: false,
        start: reply_sessions,
        compare: |case| case.compare("1,032,192 sessions", "64,512 sessions", None),
    },
    Spec {
        name: "gateway, millions",
        flows: FLOWS_4M,
        all_sizes: false,
        quick: false,
        start: millions,
        compare: of_millions,
    },
    Spec {
        name: "gateway replies, millions",
        flows: FLOWS_4M,
        all_sizes: false,
        quick: false,
        start: reply_millions,
        compare: of_millions,
    },
    Spec {
        name: "edge, flows",
        flows: FLOWS_1M,
        all_sizes: false,
        quick: false,
        start: edge_flows,
        compare: |case| case.compare("1,032,192 flows", "64,512 flows", None),
    },
    Spec {
        name: "new sessions",
        flows: FLOWS_1M,
        all_sizes: false,
        quick: true,
        start: new_sessions,
        compare: |case| case.reach("new sessions", 1.5e6),
    },
    Spec {
        name: "two workers",
        flows: FLOWS_64K,
        all_sizes: false,
        quick: true,
        start: two_workers,
        compare: |case| {
            case.compare("gateway, 2 workers", "gateway, 1 worker", Some(1.8));
            case.compare("edge, 2 workers", "edge, 1 worker", Some(1.8));
        },
    },
];

impl Place {
    /// Clients' frames, and the capture that holds them.
    fn clients(&self) -> Result<(Vec<Vec<u8>>, PathBuf)> {
        let frames = capture::frames(self.load, |flow| frame::client_frame(flow, self.load.size));
        self.keep("clients", frames)
    }

    /// The edge's frames to an intermediate, and the capture that holds them.
    fn overlay(&self) -> Result<(Vec<Vec<u8>>, PathBuf)> {
        let mut sequence = 1 << 40;
        let frames = capture::frames(self.load, |flow| {
            sequence += 1;
            world::from_edge(flow, self.load.size, sequence)
        });
        self.keep("overlay", frames)
    }

    fn keep(&self, name: &str, frames: Vec<Vec<u8>>) -> Result<(Vec<Vec<u8>>, PathBuf)> {
        let path = self.out.join(format!("{name}-{}-{}.pcap", self.load.flows, self.load.size));
        capture::write(&path, &frames)?;
        Ok((frames, path))
    }

    fn daemon(&self, name: &str, role: World, copies: u8, frames: &[Vec<u8>]) -> Result<Subject> {
        Daemon { name, role, copies, frames }.start(&self.out)
    }

    fn role(&self, name: &str, job: Job, copies: u8) -> Result<Subject> {
        let Load { flows, size } = self.load;
        Role { name, job, flows, size, copies, workers: 1 }.start(&self.out)
    }

    fn many(&self, name: &str, job: Job, flows: u32, workers: usize) -> Result<Subject> {
        Role { name, job, flows, size: self.load.size, copies: 1, workers }.start(&self.out)
    }
}

fn intermediate(place: &Place) -> Result<Vec<Subject>> {
    let (frames, overlay) = place.overlay()?;
    Ok(vec![
        testpmd::start(&place.out, &overlay)?,
        l3fwd::start(&place.out, &overlay, "192.0.2.0/24")?,
        place.daemon("Proa intermediate", World::Intermediate, 1, &frames)?,
        ovs::start(&place.out, Ovs::Forward, &overlay, place.load.flows)?,
    ])
}

fn edge(place: &Place) -> Result<Vec<Subject>> {
    let (frames, clients) = place.clients()?;
    Ok(vec![
        testpmd::start(&place.out, &clients)?,
        l3fwd::start(&place.out, &clients, "203.0.113.0/24")?,
        place.daemon("Proa edge, 1 copy", World::Edge, 1, &frames)?,
        ovs::start(&place.out, Ovs::Vxlan, &clients, place.load.flows)?,
        place.daemon("Proa edge, 2 copies", World::Edge, 2, &frames)?.sending(2.0),
        place.role("alloc + copy + free", Job::Copy, 1)?,
        place.role("the same in one stash", Job::CopyInStash, 1)?,
    ])
}

fn gateway(place: &Place) -> Result<Vec<Subject>> {
    let (_, clients) = place.clients()?;
    Ok(vec![
        place.role("source", Job::Source, 1)?,
        place.role("Proa gateway", Job::Forward, 1)?,
        ovs::start(&place.out, Ovs::Snat, &clients, place.load.flows)?,
        place.role("Proa gateway, 2 copies", Job::Forward, 2)?.sending(0.5),
        place.role("Proa gateway, replies", Job::Reverse, 1)?,
        place.role("Proa gateway, replies ×2", Job::Reverse, 2)?.sending(2.0),
    ])
}

fn kernel_gateway(place: &Place) -> Result<Vec<Subject>> {
    let (_, clients) = place.clients()?;
    Ok(vec![
        place.role("source", Job::Source, 1)?,
        place.role("Proa gateway", Job::Forward, 1)?,
        nftables::source(&place.out, &clients)?,
        nftables::start(&place.out, &clients, place.load.flows)?,
    ])
}

fn sessions(place: &Place) -> Result<Vec<Subject>> {
    Ok(vec![
        place.many("64,512 sessions", Job::Forward, FLOWS_64K, 1)?,
        place.many("1,032,192 sessions", Job::Forward, FLOWS_1M, 1)?,
    ])
}

fn reply_sessions(place: &Place) -> Result<Vec<Subject>> {
    Ok(vec![
        place.many("64,512 sessions", Job::Reverse, FLOWS_64K, 1)?,
        place.many("1,032,192 sessions", Job::Reverse, FLOWS_1M, 1)?,
    ])
}

/// A thousand, a hundred thousand and four millions, each in a process of its own.
fn millions_of(place: &Place, job: Job) -> Result<Vec<Subject>> {
    Ok(vec![
        place.many("1,008 sessions", job, FLOWS, 1)?,
        place.many("100,800 sessions", job, FLOWS_100K, 1)?,
        place.many("4,128,768 sessions", job, FLOWS_4M, 1)?,
    ])
}

fn millions(place: &Place) -> Result<Vec<Subject>> {
    millions_of(place, Job::Forward)
}

fn reply_millions(place: &Place) -> Result<Vec<Subject>> {
    millions_of(place, Job::Reverse)
}

fn of_millions(case: &mut Case) {
    case.compare("4,128,768 sessions", "1,008 sessions", None);
    case.compare("4,128,768 sessions", "100,800 sessions", None);
    case.compare("100,800 sessions", "1,008 sessions", None);
}

fn edge_flows(place: &Place) -> Result<Vec<Subject>> {
    Ok(vec![
        place.many("64,512 flows", Job::Edge, FLOWS_64K, 1)?,
        place.many("1,032,192 flows", Job::Edge, FLOWS_1M, 1)?,
    ])
}

fn new_sessions(place: &Place) -> Result<Vec<Subject>> {
    Ok(vec![place.many("new sessions", Job::NewSessions, FLOWS_1M, 1)?])
}

fn two_workers(place: &Place) -> Result<Vec<Subject>> {
    Ok(vec![
        place.many("gateway, 1 worker", Job::Forward, FLOWS_64K, 1)?,
        place.many("gateway, 2 workers", Job::Forward, FLOWS_64K, 2)?,
        place.many("edge, 1 worker", Job::Edge, FLOWS_64K, 1)?,
        place.many("edge, 2 workers", Job::Edge, FLOWS_64K, 2)?,
    ])
}
