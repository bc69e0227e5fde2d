//! The overlay as it is now, in one piece: what its nodes say of links, paths and pools, beside what the definition says of them.

use std::collections::BTreeMap;

use conf::Overlay;
use overlay::topology::{NodeId, RegionIndex, Topology};
use serde::Serialize;

use crate::hub::{Hub, NodeView};
use crate::registry::Error;

/// The overlay as it is now.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Status {
    /// Revision of the definition.
    pub revision: u64,
    /// By the server's clock, milliseconds since 1970.
    pub at_ms: u64,
    /// Regions, in the order of the definition.
    pub regions: Vec<Region>,
    /// Nodes.
    pub nodes: Vec<Node>,
    /// Links between regions.
    pub links: Vec<Link>,
    /// Path sets.
    pub path_sets: Vec<PathSet>,
    /// Applications.
    pub applications: Vec<Application>,
}

/// A region.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Region {
    /// Its name.
    pub name: String,
    /// What its nodes do: edge, intermediate, gateway.
    pub roles: Vec<&'static str>,
}

/// A node.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// What it does.
    pub roles: Vec<&'static str>,
    /// In a word: ready, connected, away, invited, revoked, or unknown to the server.
    pub state: &'static str,
    /// Whether it forwards by the newest revision.
    pub in_step: bool,
    /// What is wrong with it.
    pub alarms: Vec<String>,
    /// How busy its busiest worker is, percent.
    pub busy_percent: Option<u8>,
    /// Translated sessions in use, of gateways.
    pub sessions: Option<u64>,
    /// Room for them.
    pub sessions_max: Option<u64>,
}

/// What joins two regions, by the links of all their nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// The regions.
    pub between: [String; 2],
    /// Links that are used.
    pub up: usize,
    /// Links that are dead.
    pub down: usize,
    /// Least round-trip time, µs.
    pub rtt_us: Option<u32>,
    /// Most that any loses, parts per million.
    pub loss_ppm: Option<u32>,
}

/// A path set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PathSet {
    /// Its name.
    pub name: String,
    /// The clients' end.
    pub edge: String,
    /// The origins' end.
    pub gateway: String,
    /// Its paths.
    pub paths: Vec<Path>,
}

/// A path, by what both its ends say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Path {
    /// Its number.
    pub path: u16,
    /// The regions between its ends.
    pub via: Vec<String>,
    /// Whether it lives at all ends that watch it; nothing where none does.
    pub up: Option<bool>,
    /// Whether packets are sent over it.
    pub in_force: bool,
    /// Most of its ends' round-trip times, µs.
    pub rtt_us: Option<u32>,
    /// Most that any end loses, parts per million.
    pub loss_ppm: Option<u32>,
    /// Copies sent, by both ends.
    pub sent: u64,
    /// How often its copy was the first, at both ends.
    pub won: u64,
}

/// An application.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// Its hostname.
    pub hostname: Option<String>,
    /// The region of its gateways.
    pub gateway: String,
    /// The routing protocols, to the origin and back.
    pub routing: [&'static str; 2],
    /// Its virtual IPs and who holds them.
    pub vips: Vec<(String, String)>,
    /// The path sets that its packets take.
    pub path_sets: Vec<String>,
}

/// The overlay as it is now.
///
/// # Errors
/// [`Error`].
pub fn status(hub: &Hub) -> Result<Status, Error> {
    let views = hub.nodes()?;
    let Some((revision, overlay)) = hub.overlay()? else {
        return Ok(Status { at_ms: crate::unix_ms(), ..Status::default() });
    };
    Ok(of(revision, crate::unix_ms(), &overlay, &views))
}

fn of(revision: u64, at_ms: u64, overlay: &Overlay, views: &[NodeView]) -> Status {
    let topology = &overlay.topology;
    let by_name: BTreeMap<&str, &NodeView> = views.iter().map(|view| (view.name.as_str(), view)).collect();
    let view = |node: &overlay::topology::Node| by_name.get(node.name.as_str()).copied();
    let in_region =
        |region: usize| topology.nodes.iter().filter(move |node| usize::from(node.region.0) == region);
    let region = |(index, region): (usize, &overlay::topology::Region)| {
        let mut roles: Vec<&str> = in_region(index).flat_map(|node| roles(node.roles)).collect();
        roles.sort_unstable();
        roles.dedup();
        Region { name: region.name.clone(), roles }
    };
    Status {
        revision,
        at_ms,
        regions: topology.regions.iter().enumerate().map(region).collect(),
        nodes: topology.nodes.iter().map(|one| node(topology, one, view(one))).collect(),
        links: links(topology, &by_name),
        path_sets: path_sets(topology, &by_name),
        applications: applications(overlay),
    }
}

fn name(topology: &Topology, region: RegionIndex) -> String {
    topology.region(region).map(|region| region.name.clone()).unwrap_or_default()
}

fn roles(roles: overlay::topology::Roles) -> Vec<&'static str> {
    let all = [(roles.edge, "edge"), (roles.intermediate, "intermediate"), (roles.gateway, "gateway")];
    all.into_iter().filter(|(has, _)| *has).map(|(_, name)| name).collect()
}

fn node(topology: &Topology, node: &overlay::topology::Node, view: Option<&NodeView>) -> Node {
    let fresh = view.filter(|view| view.connected).and_then(|view| view.report.as_ref());
    let state = match view {
        None => "unknown",
        Some(view) if view.revoked => "revoked",
        Some(view) if !view.joined => "invited",
        Some(view) if !view.connected => "away",
        Some(_) if fresh.is_some_and(|report| report.ready) => "ready",
        Some(_) => "connected",
    };
    let of_gateway = fresh.filter(|_| node.roles.gateway).map(|report| &report.counters);
    Node {
        name: node.name.clone(),
        region: name(topology, node.region),
        roles: roles(node.roles),
        state,
        in_step: view.is_some_and(|view| view.in_step),
        alarms: fresh.map(|report| report.alarms.clone()).unwrap_or_default(),
        busy_percent: view.and_then(|view| view.busy_percent),
        sessions: of_gateway.map(|counters| counters.sessions),
        sessions_max: of_gateway.map(|counters| counters.sessions_max),
    }
}

/// What nodes whose reports are of now say.
fn reports<'v>(
    topology: &'v Topology,
    views: &'v BTreeMap<&str, &NodeView>,
) -> impl Iterator<Item = (&'v overlay::topology::Node, &'v overlay::sync::Report)> {
    topology.nodes.iter().filter_map(|node| {
        let view = views.get(node.name.as_str()).filter(|view| view.connected)?;
        Some((node, view.report.as_ref()?))
    })
}

fn links(topology: &Topology, views: &BTreeMap<&str, &NodeView>) -> Vec<Link> {
    let region_of: BTreeMap<&str, RegionIndex> =
        topology.nodes.iter().map(|node| (node.name.as_str(), node.region)).collect();
    let mut found: BTreeMap<(u16, u16), Link> = BTreeMap::new();
    for link in &topology.ground.links {
        let (a, b) = (link.between[0], link.between[1]);
        entry(&mut found, topology, a, b);
    }
    for (node, report) in reports(topology, views) {
        for told in &report.links {
            let Some(other) = region_of.get(told.neighbor.as_str()).filter(|other| **other != node.region)
            else {
                continue;
            };
            let link = entry(&mut found, topology, node.region, *other);
            match told.up {
                true => link.up += 1,
                false => link.down += 1,
            }
            if told.up {
                link.rtt_us = least(link.rtt_us, told.rtt_us);
                link.loss_ppm = link.loss_ppm.max(told.loss_ppm);
            }
        }
    }
    found.into_values().collect()
}

fn entry<'f>(
    found: &'f mut BTreeMap<(u16, u16), Link>,
    topology: &Topology,
    a: RegionIndex,
    b: RegionIndex,
) -> &'f mut Link {
    let (a, b) = if a.0 <= b.0 { (a, b) } else { (b, a) };
    found.entry((a.0, b.0)).or_insert_with(|| Link {
        between: [name(topology, a), name(topology, b)],
        up: 0,
        down: 0,
        rtt_us: None,
        loss_ppm: None,
    })
}

fn least(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    [one, other].into_iter().flatten().min()
}

fn path_sets(topology: &Topology, views: &BTreeMap<&str, &NodeView>) -> Vec<PathSet> {
    let mut told: BTreeMap<u16, Path> = BTreeMap::new();
    for (_, report) in reports(topology, views) {
        for path in &report.paths {
            let sum = told.entry(path.path).or_default();
            sum.in_force |= path.in_force;
            sum.up = match (sum.up, path.up) {
                (Some(one), Some(other)) => Some(one && other),
                (one, other) => one.or(other),
            };
            sum.rtt_us = sum.rtt_us.max(path.rtt_us);
            sum.loss_ppm = sum.loss_ppm.max(path.loss_ppm);
            sum.sent += path.sent;
            sum.won += path.passed;
        }
    }
    let path = |path: &overlay::topology::Path| Path {
        path: path.id.0,
        via: path.via.iter().map(|region| name(topology, *region)).collect(),
        ..told.get(&path.id.0).cloned().unwrap_or_default()
    };
    let set = |set: &overlay::topology::PathSet| PathSet {
        name: set.name.clone(),
        edge: name(topology, set.edge),
        gateway: name(topology, set.gateway),
        paths: set.paths.iter().map(path).collect(),
    };
    topology.path_sets.iter().map(set).collect()
}

fn applications(overlay: &Overlay) -> Vec<Application> {
    let topology = &overlay.topology;
    let holder = |node: NodeId| topology.node(node).map(|node| node.name.clone()).unwrap_or_default();
    let application = |(index, one): (usize, &overlay::topology::Application)| {
        let edges = one.vips.iter().filter_map(|vip| topology.node(vip.node)).map(|node| node.region);
        let edges: Vec<RegionIndex> = edges.collect();
        let sets = topology.path_sets.iter();
        let sets = sets.filter(|set| set.gateway == one.gateway && edges.contains(&set.edge));
        let hostname = overlay.dns.hostnames.iter().find(|(_, application)| *application == index);
        Application {
            name: one.name.clone(),
            hostname: hostname.map(|(hostname, _)| hostname.clone()),
            gateway: name(topology, one.gateway),
            routing: [one.routing.to_origin.name(), one.routing.to_client.name()],
            vips: one.vips.iter().map(|vip| (vip.address.to_string(), holder(vip.node))).collect(),
            path_sets: sets.map(|set| set.name.clone()).collect(),
        }
    };
    topology.applications.iter().enumerate().map(application).collect()
}
