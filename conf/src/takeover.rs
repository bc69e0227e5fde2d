//! Reads `[[takeover]]` of the topology file: gateways that stand in for each other.

use std::net::IpAddr;

use overlay::topology::{NodeId, Takeover, Topology};

use crate::check::addresses::title;
use crate::check::names::{Links, TakeoverLinks, Unique};
use crate::problems::{At, Problems, error, warning};
use crate::reader::{List, Table, counted, list};
use crate::topology_file::{RawNode, TopologyFile};
use crate::values::{integer, name};

/// Most entries.
pub(crate) const TAKEOVERS_MAX: usize = 1024;
/// Most witnesses of one.
const WITNESSES_MAX: usize = 32;
/// How long a vote holds where the file does not say, milliseconds.
const LEASE_MS: u32 = 1000;

/// `[[takeover]]` as read.
#[derive(Clone, Debug)]
pub(crate) struct RawTakeover {
    pub(crate) gateways: Option<At<List<String>>>,
    pub(crate) witnesses: Option<At<List<String>>>,
    lease_ms: u32,
}

pub(crate) fn takeover(t: &mut Table<'_>, p: &mut Problems) -> RawTakeover {
    let example = "gateways = [\"gateway-1\", \"gateway-2\"], two of one region";
    RawTakeover {
        gateways: t.required("gateways", example, p, list(2, name)),
        witnesses: t.optional("witnesses", p, list(WITNESSES_MAX, name)),
        lease_ms: t.optional("lease_ms", p, integer(200..=60_000)).map_or(LEASE_MS, |at| at.value),
    }
}

/// Tells pairs that can not stand in for each other, and votes that no majority could win.
pub(crate) fn check(file: &TopologyFile, links: &Links, p: &mut Problems) {
    let mut paired = Unique::default();
    for (at, found) in file.takeovers.items.iter().zip(&links.takeovers) {
        let Some(named) = &at.value.gateways else { continue };
        if named.value.complete && named.value.items.len() < 2 {
            error(named.place, "a takeover needs two gateways")
                .help(p, "name both, as in gateways = [\"gateway-1\", \"gateway-2\"]");
        }
        for (gateway, node) in named.value.items.iter().zip(&found.gateways) {
            let Some(node) = *node else { continue };
            let message = || format!("`{}` stands in for another gateway already", gateway.value);
            paired.add(node, gateway.place, message, "name each gateway once, in one [[takeover]]", p);
            let Some(raw) = file.nodes.items.get(node).map(|node| &node.value) else { continue };
            if raw.roles.as_ref().is_some_and(|roles| !roles.value.gateway) {
                error(gateway.place, format!("`{}` is no gateway", gateway.value))
                    .help(p, "name two nodes whose roles have \"gateway\"");
            }
        }
        if let ([Some(one), Some(other)], Some(second)) = (&found.gateways[..], named.value.items.get(1))
            && one != other
        {
            alike(file, links, (*one, *other), second, p);
        }
        witnesses(file, links, (at, found), p);
    }
}

/// Both must have what the other one's sessions need.
fn alike(
    file: &TopologyFile,
    links: &Links,
    (one, other): (usize, usize),
    at: &At<String>,
    p: &mut Problems,
) {
    let region = |node: usize| links.node_regions.get(node).copied().flatten();
    let (Some(first), Some(second)) = (file.nodes.items.get(one), file.nodes.items.get(other)) else {
        return;
    };
    let who = [first, second].map(|node| title("node", &node.value.name));
    if region(one) != region(other) && region(one).is_some() && region(other).is_some() {
        error(at.place, format!("{} and {} are in different regions", who[0], who[1]))
            .help(p, "pair gateways of one region: they share its origins' network");
    }
    let workers = |node: &RawNode| node.workers.as_ref().map_or(1, |at| at.value);
    if workers(&first.value) != workers(&second.value) {
        let [a, b] = [workers(&first.value), workers(&second.value)].map(usize::from);
        error(
            at.place,
            format!("{} has {}, {} has {}", who[0], counted(a, "worker"), who[1], counted(b, "worker")),
        )
        .help(p, "give both as many: ports belong to workers, and keep theirs when they move");
    }
    let is_gateway = |node: &RawNode| node.roles.as_ref().is_some_and(|roles| roles.value.gateway);
    if !is_gateway(&first.value) || !is_gateway(&second.value) {
        return;
    }
    let has = |node: &RawNode, v4: bool| {
        let ranges = node.nat_pool.iter().flat_map(|pool| &pool.value.items);
        ranges.into_iter().any(|range| matches!(range.value.start(), IpAddr::V4(_)) == v4)
    };
    for (v4, version) in [(true, "IPv4"), (false, "IPv6")] {
        if has(&first.value, v4) != has(&second.value, v4) {
            let lacks = if has(&first.value, v4) { &who[1] } else { &who[0] };
            error(at.place, format!("{lacks} has no {version} address in its NAT pool, the other one has"))
                .help(p, "give both pools addresses of the same IP versions");
        }
    }
}

fn witnesses(
    file: &TopologyFile,
    links: &Links,
    (at, found): (&At<RawTakeover>, &TakeoverLinks),
    p: &mut Problems,
) {
    let Some(named) = &at.value.witnesses else {
        let known = found.gateways.iter().all(Option::is_some) && !found.gateways.is_empty();
        if known && served(file, links, &found.gateways).is_empty() {
            error(at.place, "no edge has a path set to these gateways, so nobody could vote with them")
                .help(p, "name witnesses = [\"…\"], nodes that both gateways reach");
        }
        return;
    };
    if named.value.items.is_empty() && named.value.complete {
        error(named.place, "`witnesses` is empty").help(
            p,
            "name a node that both gateways reach: two alone can not tell a dead peer from a cut wire",
        );
    }
    let mut once = Unique::default();
    let mut votes = 2;
    for (witness, node) in named.value.items.iter().zip(&found.witnesses) {
        let Some(node) = *node else { continue };
        let message = || format!("`{}` is a witness already", witness.value);
        votes += once.add(node, witness.place, message, "name each witness once", p) as usize;
        if found.gateways.contains(&Some(node)) {
            error(
                witness.place,
                format!("`{}` is one of the two gateways, which vote anyway", witness.value),
            )
            .help(p, "name another node");
        }
    }
    if votes > 2 && votes % 2 == 0 {
        warning(named.place, format!("of {votes} voters {} must live", votes / 2 + 1))
            .help(p, "name an odd number of witnesses: one less would do with the same majority");
    }
}

/// Edges that have a path set to the gateways' region.
fn served(file: &TopologyFile, links: &Links, gateways: &[Option<usize>]) -> Vec<usize> {
    let region_of = |node: usize| links.node_regions.get(node).copied().flatten();
    let Some(region) = gateways.first().copied().flatten().and_then(region_of) else { return Vec::new() };
    let nodes = file.nodes.items.iter().enumerate();
    let edges = nodes.filter(|(_, node)| node.value.roles.as_ref().is_some_and(|roles| roles.value.edge));
    edges
        .map(|(at, _)| at)
        .filter(|at| {
            let edge = region_of(*at);
            links.path_sets.iter().any(|set| set.edge == edge && set.gateway == Some(region))
        })
        .collect()
}

/// The checked pairs.
pub(crate) fn build(file: &TopologyFile, links: &Links, topology: &Topology) -> Option<Vec<Takeover>> {
    let id = |node: usize| -> Option<NodeId> { Some(topology.nodes.get(node)?.id) };
    let all = file.takeovers.items.iter().zip(&links.takeovers);
    all.map(|(at, found)| {
        let [one, other] = found.gateways[..] else { return None };
        let named: Vec<Option<usize>> = match at.value.witnesses {
            Some(_) => found.witnesses.clone(),
            None => served(file, links, &found.gateways).into_iter().map(Some).collect(),
        };
        Some(Takeover {
            gateways: [id(one?)?, id(other?)?],
            witnesses: named.into_iter().map(|node| id(node?)).collect::<Option<_>>()?,
            lease_ms: at.value.lease_ms,
        })
    })
    .collect()
}
