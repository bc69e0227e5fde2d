//! Names and numbers: each given once, and every reference leads somewhere.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use super::risks::{self, RiskLinks};
use crate::problems::{At, Place, Problems, error};
use crate::reader::List;
use crate::suggest::nearest;
use crate::topology_file::TopologyFile;

/// What the topology's references lead to, as positions in its lists; none where one leads nowhere, which has
/// been told.
pub(crate) struct Links {
    /// By node: its region.
    pub(crate) node_regions: Vec<Option<usize>>,
    /// By link: its two regions.
    pub(crate) links: Vec<[Option<usize>; 2]>,
    /// What regions and links name as shared risks.
    pub(crate) risks: RiskLinks,
    /// By path set.
    pub(crate) path_sets: Vec<PathSetLinks>,
    /// By application.
    pub(crate) applications: Vec<ApplicationLinks>,
    /// By pair of gateways that stand in for each other.
    pub(crate) takeovers: Vec<TakeoverLinks>,
    /// By entry of where clients are: the regions.
    pub(crate) clients: Vec<Vec<Option<usize>>>,
}

pub(crate) struct PathSetLinks {
    pub(crate) edge: Option<usize>,
    pub(crate) gateway: Option<usize>,
    /// By path: its intermediate regions.
    pub(crate) via: Vec<Vec<Option<usize>>>,
}

pub(crate) struct ApplicationLinks {
    pub(crate) gateway: Option<usize>,
    /// By virtual IP: the node that holds it.
    pub(crate) vip_nodes: Vec<Option<usize>>,
    /// By hop of its source route: the node.
    pub(crate) hops: Vec<Option<usize>>,
}

pub(crate) struct TakeoverLinks {
    /// The two nodes.
    pub(crate) gateways: Vec<Option<usize>>,
    /// Who votes with them.
    pub(crate) witnesses: Vec<Option<usize>>,
}

/// Tells what is given twice, and what every reference leads to.
pub(crate) fn check(file: &TopologyFile, p: &mut Problems) -> Links {
    let regions = names("region", file.regions.items.iter().map(|region| region.value.name.as_ref()), p);
    let nodes = names("node", file.nodes.items.iter().map(|node| node.value.name.as_ref()), p);
    names("path set", file.path_sets.items.iter().map(|set| set.value.name.as_ref()), p);
    names("application", file.applications.items.iter().map(|app| app.value.name.as_ref()), p);
    numbers(file, p);

    let regions_known =
        file.regions.complete && file.regions.items.iter().all(|region| region.value.name.is_some());
    let nodes_known = file.nodes.complete && file.nodes.items.iter().all(|node| node.value.name.is_some());
    let region_of = |name: &Option<At<String>>, p: &mut Problems| {
        name.as_ref().and_then(|name| find("region", &regions, name, regions_known, p))
    };
    let node_regions = file.nodes.items.iter().map(|node| region_of(&node.value.region, p)).collect();
    let links = file.links.items.iter();
    let links = links
        .map(|link| {
            let mut ends = link.value.between.items.iter();
            [ends.next(), ends.next()]
                .map(|name| name.and_then(|name| find("region", &regions, name, regions_known, p)))
        })
        .collect();
    let risks = risks::check(file, p);
    let mut path_sets = Vec::new();
    for set in &file.path_sets.items {
        let edge = region_of(&set.value.edge, p);
        let gateway = region_of(&set.value.gateway, p);
        let mut via = Vec::new();
        for path in &set.value.paths.items {
            let names = path.value.via.items.iter();
            via.push(names.map(|name| find("region", &regions, name, regions_known, p)).collect());
        }
        path_sets.push(PathSetLinks { edge, gateway, via });
    }
    let mut applications = Vec::new();
    for application in &file.applications.items {
        let gateway = region_of(&application.value.gateway, p);
        let mut vip_nodes = Vec::new();
        for vip in &application.value.vips.items {
            let name = vip.value.node.as_ref();
            vip_nodes.push(name.and_then(|name| find("node", &nodes, name, nodes_known, p)));
        }
        let hops = application.value.source_route.iter().flat_map(|route| &route.value.items);
        let hops = hops.map(|name| find("node", &nodes, name, nodes_known, p)).collect();
        applications.push(ApplicationLinks { gateway, vip_nodes, hops });
    }
    let mut takeovers = Vec::new();
    for takeover in &file.takeovers.items {
        let mut nodes_of = |named: &Option<At<List<String>>>| -> Vec<Option<usize>> {
            let names = named.iter().flat_map(|named| &named.value.items);
            names.map(|name| find("node", &nodes, name, nodes_known, p)).collect()
        };
        let gateways = nodes_of(&takeover.value.gateways);
        let witnesses = nodes_of(&takeover.value.witnesses);
        takeovers.push(TakeoverLinks { gateways, witnesses });
    }
    let mut clients = Vec::new();
    for client in &file.clients.items {
        let names = client.value.regions.items.iter();
        clients.push(names.map(|name| find("region", &regions, name, regions_known, p)).collect());
    }
    Links { node_regions, links, risks, path_sets, applications, takeovers, clients }
}

/// The position of this node, which the node file names.
pub(crate) fn this_node(file: &TopologyFile, name: &At<String>, p: &mut Problems) -> Option<usize> {
    let named = file.nodes.items.iter().enumerate();
    let nodes = named.filter_map(|(i, node)| Some((node.value.name.as_ref()?.value.as_str(), i))).collect();
    let known = file.nodes.complete && file.nodes.items.iter().all(|node| node.value.name.is_some());
    find("node", &nodes, name, known, p)
}

/// Positions by name; the first of equal names counts.
fn names<'a>(
    kind: &str,
    given: impl Iterator<Item = Option<&'a At<String>>>,
    p: &mut Problems,
) -> HashMap<&'a str, usize> {
    let mut unique = Unique::default();
    let mut positions = HashMap::new();
    for (position, name) in given.enumerate() {
        let Some(name) = name else { continue };
        let message = || format!("{kind} `{}` is already defined", name.value);
        let help = format!("rename one of them, or remove it if it is the same {kind}");
        if unique.add(name.value.as_str(), name.place, message, &help, p) {
            positions.insert(name.value.as_str(), position);
        }
    }
    positions
}

fn numbers(file: &TopologyFile, p: &mut Problems) {
    let mut nodes = Unique::default();
    let mut largest = 0;
    for id in file.nodes.items.iter().filter_map(|node| node.value.id.as_ref()) {
        largest = largest.max(id.value);
        let message = || format!("node number {} is already taken", id.value);
        nodes.add(id.value, id.place, message, &next_number(largest), p);
    }
    let mut paths = Unique::default();
    let mut largest = 0;
    let all = file.path_sets.items.iter().flat_map(|set| &set.value.paths.items);
    for id in all.filter_map(|path| path.value.id.as_ref()) {
        largest = largest.max(id.value);
        let message =
            || format!("path number {} is already taken; path numbers hold for the whole overlay", id.value);
        paths.add(id.value, id.place, message, &next_number(largest), p);
    }
}

fn next_number(largest: u16) -> String {
    match largest.checked_add(1) {
        Some(next) => format!("use a number that is free, for example {next}"),
        None => "use a number that is free".to_owned(),
    }
}

fn find(
    kind: &str,
    known: &HashMap<&str, usize>,
    name: &At<String>,
    complete: bool,
    p: &mut Problems,
) -> Option<usize> {
    if let Some(position) = known.get(name.value.as_str()) {
        return Some(*position);
    }
    // Otherwise the name may belong to an entry that could not be read.
    if complete {
        let near = if p.is_full() { None } else { nearest(&name.value, known.keys().copied()) };
        let help = match near {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => format!("add the {kind} to the topology, or name one that is there"),
        };
        error(name.place, format!("there is no {kind} `{}`", name.value)).help(p, help);
    }
    None
}

/// Tells values that are given more than once.
pub(crate) struct Unique<T> {
    first: HashMap<T, Place>,
}

impl<T> Default for Unique<T> {
    fn default() -> Unique<T> {
        Unique { first: HashMap::new() }
    }
}

impl<T: Hash + Eq> Unique<T> {
    /// Whether this is the value's first time; otherwise that has been told.
    pub(crate) fn add(
        &mut self,
        value: T,
        place: Place,
        message: impl Fn() -> String,
        help: &str,
        p: &mut Problems,
    ) -> bool {
        match self.first.entry(value) {
            Entry::Vacant(entry) => {
                entry.insert(place);
                true
            }
            Entry::Occupied(entry) => {
                error(place, message()).label("again").also(*entry.get(), "first").help(p, help);
                false
            }
        }
    }
}
