//! Applications: each has a way from its virtual IPs to origins that can serve them.

use std::collections::{BTreeSet, HashMap, HashSet};

use overlay::topology::IpVersion;

use super::addresses::title;
use super::names::{ApplicationLinks, Links, PathSetLinks, Unique};
use super::{keys, prefixes, services};
use crate::problems::{At, Problems, error, warning};
use crate::reader::counted;
use crate::topology_file::{RawApplication, RawNode, TopologyFile};
use crate::{revoked, routing};

/// The topology with what its references lead to.
struct Overlay<'a> {
    file: &'a TopologyFile,
    links: &'a Links,
    /// Path sets by edge and gateway region; the first counts.
    sets: HashMap<(usize, usize), usize>,
    /// Nodes by region.
    nodes: HashMap<usize, Vec<usize>>,
}

/// Tells applications that could not carry traffic.
pub(crate) fn check(file: &TopologyFile, links: &Links, p: &mut Problems) {
    let mut sets = HashMap::new();
    for (position, set) in links.path_sets.iter().enumerate() {
        if let (Some(edge), Some(gateway)) = (set.edge, set.gateway) {
            sets.entry((edge, gateway)).or_insert(position);
        }
    }
    let mut nodes: HashMap<usize, Vec<usize>> = HashMap::new();
    for (position, region) in links.node_regions.iter().enumerate() {
        if let Some(region) = region {
            nodes.entry(*region).or_default().push(position);
        }
    }
    let overlay = Overlay { file, links, sets, nodes };
    let mut told = HashSet::new();
    for (application, ends) in file.applications.items.iter().zip(&links.applications) {
        vips(application, ends, &overlay, p);
        services::check(application, p);
        origins(application, p);
        routing::check(application, &ends.hops, file, p);
        routing::weights(application, &paths_to(ends, &overlay), p);
        routing::coding(application, &paths_to(ends, &overlay), p);
        pools(application, ends, &overlay, &mut told, p);
        let nodes = on_the_way(ends, &overlay);
        underlay(application, ends, &nodes, &overlay, p);
        keys::application(application, nodes.iter().filter_map(|node| overlay.node(*node)), p);
    }
}

/// The path sets of an application with the number of their paths, as far as it is known.
fn paths_to(ends: &ApplicationLinks, overlay: &Overlay<'_>) -> Vec<(String, usize)> {
    let regions =
        ends.vip_nodes.iter().flatten().filter_map(|node| *overlay.links.node_regions.get(*node)?);
    let regions: BTreeSet<usize> = regions.collect();
    let set = |region: &usize| {
        let set = overlay.file.path_sets.items.get(*overlay.sets.get(&(*region, ends.gateway?))?)?;
        let paths = &set.value.paths;
        paths.complete.then(|| (title("path set", &set.value.name), paths.items.len()))
    };
    regions.iter().filter_map(set).collect()
}

/// Every virtual IP stands at an edge from which enough paths lead to the gateway.
fn vips(application: &At<RawApplication>, ends: &ApplicationLinks, overlay: &Overlay<'_>, p: &mut Problems) {
    let who = title("application", &application.value.name);
    let mut regions = HashSet::new();
    for (vip, node) in application.value.vips.items.iter().zip(&ends.vip_nodes) {
        let Some(position) = *node else { continue };
        let Some(node) = overlay.node(position) else { continue };
        let place = vip.value.node.as_ref().map_or(vip.place, |at| at.place);
        if node.roles.as_ref().is_some_and(|roles| !roles.value.edge) {
            error(place, format!("{} holds a virtual IP, but is no edge", title("node", &node.name)))
                .help(p, "name an edge node, or add \"edge\" to its roles");
            continue;
        }
        let (Some(Some(region)), Some(gateway)) = (overlay.links.node_regions.get(position), ends.gateway)
        else {
            continue;
        };
        // Once for each region: several virtual IPs commonly stand at one node.
        if !regions.insert(*region) {
            continue;
        }
        let Some(set) = overlay.sets.get(&(*region, gateway)) else {
            if overlay.path_sets_are_known() {
                let (edge, gateway) = (overlay.region(*region), overlay.region(gateway));
                error(
                    place,
                    format!("{who} has no path set from region `{edge}` to its gateway region `{gateway}`"),
                )
                .help(p, format!("add a [[path_set]] with edge = \"{edge}\" and gateway = \"{gateway}\""));
            }
            continue;
        };
        let Some(set) = overlay.file.path_sets.items.get(*set) else { continue };
        let paths = set.value.paths.items.len();
        if let Some(copies) = &application.value.copies
            && set.value.paths.complete
            && usize::from(copies.value) > paths
            && paths > 0
        {
            let plan = set.value.plan.as_ref();
            // With fewer paths than planned that is told at the set, and where it is accepted, so are fewer copies.
            if plan.is_some_and(|wanted| paths < usize::from(wanted.value) && copies.value <= wanted.value) {
                continue;
            }
            let more = if plan.is_some() { "plan more paths" } else { "add paths to the set" };
            let set = title("path set", &set.value.name);
            error(
                copies.place,
                format!("{who} wants {} copies, but {set} has {}", copies.value, counted(paths, "path")),
            )
            .help(p, format!("set copies = {paths}, or {more}"));
        }
    }
}

/// Virtual IPs have origins that they can be served by, and origins serve some virtual IP. Clients of IPv6 may have origins
/// of IPv4 (RFC 6146), those of IPv4 none of IPv6.
fn origins(application: &At<RawApplication>, p: &mut Problems) {
    let who = title("application", &application.value.name);
    let (vips, origins) = (&application.value.vips, &application.value.origins);
    let mut told = HashSet::new();
    for vip in vips.items.iter().filter_map(|vip| vip.value.address.as_ref()) {
        let version = IpVersion::of(vip.value);
        let found = serving(application, version).is_some();
        if !found && origins.complete && !origins.items.is_empty() && told.insert(version) {
            error(vip.place, format!("{who} has no {0} origin for its {0} virtual IP", label(version)))
                .help(p, format!("add an {} origin, or remove this virtual IP", label(version)));
        }
    }
    let mut unique = Unique::default();
    for origin in &origins.items {
        let Some(address) = &origin.value.address else { continue };
        let port = origin.value.port.as_ref().map(|at| at.value);
        let message = || format!("origin {} is named twice in {who}", address.value);
        unique.add((address.value, port), address.place, message, "name it once", p);
        let version = IpVersion::of(address.value);
        let served = vips.items.iter().any(|vip| match &vip.value.address {
            Some(vip) => {
                serving(application, IpVersion::of(vip.value)).is_none_or(|serving| serving == version)
            }
            None => true,
        });
        if !served && vips.complete && !vips.items.is_empty() {
            warning(
                address.place,
                format!("{who} has no {} virtual IP that this origin could serve", label(version)),
            )
            .help(p, format!("add an {} virtual IP, or remove this origin", label(version)));
        }
    }
}

/// The IP version of the origins that serve virtual IPs of this version, as far as it is known.
fn serving(application: &At<RawApplication>, version: IpVersion) -> Option<IpVersion> {
    let has = |version| {
        application.value.origins.items.iter().any(|origin| match &origin.value.address {
            Some(address) => IpVersion::of(address.value) == version,
            None => true,
        })
    };
    let versions = if version == IpVersion::V6 { [IpVersion::V6, IpVersion::V4] } else { [version; 2] };
    versions.into_iter().find(|version| has(*version))
}

/// Every gateway of the region has pool addresses of the virtual IPs' versions. Told once for each gateway.
fn pools(
    application: &At<RawApplication>,
    ends: &ApplicationLinks,
    overlay: &Overlay<'_>,
    told: &mut HashSet<(usize, IpVersion)>,
    p: &mut Problems,
) {
    let (Some(gateway), Some(at)) = (ends.gateway, &application.value.gateway) else { return };
    let who = title("application", &application.value.name);
    let mut gateways = overlay.gateways(gateway).peekable();
    if gateways.peek().is_none()
        && overlay.nodes_are_known()
        && !overlay.sets.keys().any(|ends| ends.1 == gateway)
    {
        // Where a path set leads there, that has told it.
        error(
            at.place,
            format!("{who} has its origins behind region `{}`, where no node is a gateway", at.value),
        )
        .help(p, "name a region with a gateway, or add \"gateway\" to the roles of a node there");
    }
    let vips = application.value.vips.items.iter().filter_map(|vip| vip.value.address.as_ref());
    // Where clients are translated by prefix, those without a rule may be refused.
    let refuses = !prefixes::rules(&application.value).is_empty();
    let versions: HashSet<IpVersion> = vips
        .filter_map(|vip| serving(application, IpVersion::of(vip.value)))
        .filter(|version| *version == IpVersion::V4 || !refuses)
        .collect();
    for (position, node) in gateways {
        // A gateway without any pool has been told as such.
        let Some(pool) = node.nat_pool.as_ref().filter(|pool| !pool.value.items.is_empty()) else { continue };
        let needed =
            || [IpVersion::V4, IpVersion::V6].into_iter().filter(|version| versions.contains(version));
        services::pool(application, node, needed(), p);
        for version in needed() {
            let has = pool.value.items.iter().any(|range| IpVersion::of(*range.value.start()) == version);
            if !has && pool.value.complete && told.insert((position, version)) {
                let node = title("node", &node.name);
                error(
                    pool.place,
                    format!("{node} has no {} address in its pool, which {who} needs", label(version)),
                )
                .help(p, format!("add an {} address or range to this nat_pool", label(version)));
            }
        }
    }
}

/// The nodes that an application's packets pass: edges, intermediates, gateways.
fn on_the_way(ends: &ApplicationLinks, overlay: &Overlay<'_>) -> Vec<usize> {
    let Some(gateway) = ends.gateway else { return Vec::new() };
    let edges: Vec<usize> = ends.vip_nodes.iter().flatten().copied().collect();
    let gateways = overlay.gateways(gateway).map(|(position, _)| position);
    let hops = ends.hops.iter().flatten().copied();
    let mut nodes: Vec<usize> = edges.iter().copied().chain(gateways).chain(hops).collect();
    let regions: HashSet<usize> =
        edges.iter().filter_map(|edge| overlay.links.node_regions.get(*edge).copied().flatten()).collect();
    for set in regions.iter().filter_map(|region| overlay.sets.get(&(*region, gateway))) {
        let via = overlay.links.path_sets.get(*set).into_iter().flat_map(|set| set.via.iter().flatten());
        for region in via.flatten() {
            nodes.extend(overlay.intermediates(*region));
        }
    }
    // What they lack harms nobody.
    nodes.retain(|node| overlay.node(*node).is_none_or(|node| !revoked::is_revoked(node)));
    nodes.sort_unstable();
    nodes.dedup();
    nodes
}

/// Every node on the way has an underlay address of the version that the application's outer headers have.
fn underlay(
    application: &At<RawApplication>,
    ends: &ApplicationLinks,
    nodes: &[usize],
    overlay: &Overlay<'_>,
    p: &mut Problems,
) {
    let Some(gateway) = ends.gateway else { return };
    let written = application.value.underlay.as_ref();
    let edges = ends.vip_nodes.iter().flatten().copied();
    let mut both = edges.chain(overlay.gateways(gateway).map(|(position, _)| position));
    let all_have_v4 = both.all(|node| overlay.has_underlay(node, IpVersion::V4));
    let version = written.map_or(if all_have_v4 { IpVersion::V4 } else { IpVersion::V6 }, |at| at.value);
    let who = title("application", &application.value.name);
    let lacking: Vec<String> = nodes
        .iter()
        .filter(|node| !overlay.has_underlay(**node, version))
        .filter_map(|node| overlay.node(*node)?.name.as_ref())
        .map(|name| format!("`{}`", name.value))
        .collect();
    if !lacking.is_empty() {
        let place = written.map_or(application.place, |at| at.place);
        let message = format!(
            "{who} is carried over {}, but these nodes on its paths have no such underlay address: {}",
            label(version),
            lacking.join(", ")
        );
        let other = if version == IpVersion::V4 { "ipv6" } else { "ipv4" };
        let help = format!(
            "add an {} address to their `underlay`, or set underlay = \"{other}\" here",
            label(version)
        );
        error(place, message).help(p, help);
    }
}

impl Overlay<'_> {
    fn node(&self, position: usize) -> Option<&RawNode> {
        self.file.nodes.items.get(position).map(|node| &node.value)
    }

    fn region(&self, position: usize) -> &str {
        let region = self.file.regions.items.get(position);
        region.and_then(|region| region.value.name.as_ref()).map_or("?", |name| name.value.as_str())
    }

    fn gateways(&self, region: usize) -> impl Iterator<Item = (usize, &RawNode)> {
        let nodes = self.nodes.get(&region).into_iter().flatten();
        nodes
            .filter_map(|position| Some((*position, self.node(*position)?)))
            .filter(|(_, node)| node.roles.as_ref().is_some_and(|roles| roles.value.gateway))
    }

    fn intermediates(&self, region: usize) -> impl Iterator<Item = usize> {
        let nodes = self.nodes.get(&region).into_iter().flatten();
        nodes.copied().filter(|position| {
            let roles = self.node(*position).and_then(|node| node.roles.as_ref());
            roles.is_some_and(|roles| roles.value.intermediate)
        })
    }

    /// Whether no node is missing because it could not be read.
    fn nodes_are_known(&self) -> bool {
        self.file.nodes.complete
            && self.file.nodes.items.iter().all(|node| node.value.roles.is_some())
            && self.links.node_regions.iter().all(Option::is_some)
    }

    /// Whether no path set is missing because it, or one of its ends, could not be read.
    fn path_sets_are_known(&self) -> bool {
        let whole = |set: &PathSetLinks| set.edge.is_some() && set.gateway.is_some();
        self.file.path_sets.complete && self.links.path_sets.iter().all(whole)
    }

    fn has_underlay(&self, node: usize, version: IpVersion) -> bool {
        let Some(node) = self.node(node) else { return true };
        let list = &node.underlay;
        list.items.iter().any(|at| IpVersion::of(at.value) == version)
            || !list.complete
            || list.items.is_empty()
    }
}

fn label(version: IpVersion) -> &'static str {
    match version {
        IpVersion::V4 => "IPv4",
        IpVersion::V6 => "IPv6",
    }
}
