//! What the control server's DNS goes by: hostnames of applications, where clients are, and edges that take no new ones.

use ipnetwork::IpNetwork;
use overlay::topology::{NodeId, RegionIndex};

use crate::check::addresses::title;
use crate::check::names::{Links, Unique};
use crate::problems::{Problems, error, warning};
use crate::reader::{Item, List, Table, list, shown};
use crate::topology_file::TopologyFile;
use crate::values::{name, network, text};

/// Most `[[client]]`.
pub(crate) const CLIENTS_MAX: usize = 4096;
/// Most prefixes of one.
const PREFIXES_MAX: usize = 1024;
/// Most regions of one.
const REGIONS_MAX: usize = 16;
/// Bytes of a name of the DNS without its last dot, and of a label (RFC 1035 section 2.3.4).
const HOSTNAME_BYTES_MAX: usize = 253;
const LABEL_BYTES_MAX: usize = 63;

/// What DNS goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dns {
    /// Hostnames with the position of their application, in lower case, without the last dot.
    pub hostnames: Vec<(String, usize)>,
    /// Where clients are: the edge regions that those of a prefix are to use, the best first.
    pub clients: Vec<(IpNetwork, Vec<RegionIndex>)>,
    /// Edges that take no new clients.
    pub draining: Vec<NodeId>,
}

/// `[[client]]` as read.
#[derive(Clone, Debug)]
pub(crate) struct RawClient {
    pub(crate) prefixes: List<IpNetwork>,
    pub(crate) regions: List<String>,
}

pub(crate) fn client(t: &mut Table<'_>, p: &mut Problems) -> RawClient {
    fn none<T>() -> List<T> {
        List { items: Vec::new(), complete: false }
    }
    let example = "prefixes = [\"198.51.100.0/24\"], where clients are";
    let prefixes = t.required("prefixes", example, p, list(PREFIXES_MAX, prefix));
    let example = "regions = [\"paris\", \"london\"], the edge regions that they are to use, the best first";
    let regions = t.required("regions", example, p, list(REGIONS_MAX, name));
    RawClient {
        prefixes: prefixes.map_or_else(none, |list| list.value),
        regions: regions.map_or_else(none, |list| list.value),
    }
}

/// A network, written as one.
fn prefix(item: &Item<'_>, p: &mut Problems) -> Option<IpNetwork> {
    let network = network(item, p)?;
    if network.network() == network.ip() {
        return Some(network);
    }
    error(item.place, format!("{network} is an address in a network"))
        .help(p, format!("write the network, \"{}/{}\"", network.network(), network.prefix()));
    None
}

/// A name of the DNS that hosts have (RFC 1123 section 2.1), in lower case.
pub(crate) fn hostname(item: &Item<'_>, p: &mut Problems) -> Option<String> {
    let text = text(item, p)?;
    let lower = text.to_ascii_lowercase();
    match hostname_fault(&lower) {
        None => Some(lower),
        Some(fault) => {
            error(item.place, format!("`{}` is not a hostname: {fault}", shown(&text)))
                .help(p, "write it in full and without the last dot, as in \"web.example.com\"");
            None
        }
    }
}

/// What is wrong with a name in lower case.
pub(crate) fn hostname_fault(name: &str) -> Option<&'static str> {
    let plain = |label: &str| label.bytes().all(|c| matches!(c, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    let hyphen = |label: &str| label.starts_with('-') || label.ends_with('-');
    match name {
        _ if name.len() > HOSTNAME_BYTES_MAX => Some("it has more than 253 bytes"),
        _ if name.split('.').any(str::is_empty) => Some("it has an empty label"),
        _ if name.split('.').any(|label| label.len() > LABEL_BYTES_MAX) => {
            Some("it has a label of more than 63 bytes")
        }
        _ if !name.split('.').all(plain) => Some("a label has other characters than a-z, 0-9 and -"),
        _ if name.split('.').any(hyphen) => Some("a label begins or ends with -"),
        _ if !name.contains('.') => Some("it has one label only"),
        _ if name.parse::<std::net::IpAddr>().is_ok() => Some("it is an address"),
        _ => None,
    }
}

/// Tells names and prefixes that are given twice, and regions and edges that could not be meant.
pub(crate) fn check(file: &TopologyFile, links: &Links, p: &mut Problems) {
    let mut hostnames = Unique::default();
    for application in &file.applications.items {
        let Some(hostname) = &application.value.hostname else { continue };
        let message = || format!("`{}` is another application's hostname already", hostname.value);
        hostnames.add(hostname.value.as_str(), hostname.place, message, "give each its own", p);
    }
    let edges = |region: usize| {
        let nodes = file.nodes.items.iter().zip(&links.node_regions);
        nodes.clone().any(|(node, of)| {
            *of == Some(region) && node.value.roles.as_ref().is_none_or(|roles| roles.value.edge)
        })
    };
    let mut prefixes = Unique::default();
    for (client, regions) in file.clients.items.iter().zip(&links.clients) {
        for prefix in &client.value.prefixes.items {
            let message = || format!("{} has its regions already", prefix.value);
            prefixes.add(prefix.value, prefix.place, message, "name each prefix once", p);
        }
        for (named, region) in client.value.regions.items.iter().zip(regions) {
            if region.is_some_and(|region| !edges(region)) {
                warning(named.place, format!("there is no edge in region `{}`", named.value))
                    .help(p, "clients are sent to edges: name a region that has one");
            }
        }
    }
    for node in &file.nodes.items {
        let (Some(draining), Some(roles)) = (&node.value.draining, &node.value.roles) else { continue };
        if draining.value && !roles.value.edge {
            let who = title("node", &node.value.name);
            error(draining.place, format!("{who} is no edge: nobody is sent to it"))
                .help(p, "leave `draining` out; gateways are drained with `proactl gateway drain`");
        }
    }
}

/// What was read, by what it leads to; `None` where something is missing.
pub(crate) fn build(file: &TopologyFile, links: &Links) -> Option<Dns> {
    let hostnames = file.applications.items.iter().enumerate();
    let hostnames =
        hostnames.filter_map(|(position, at)| Some((at.value.hostname.as_ref()?.value.clone(), position)));
    let mut clients = Vec::new();
    for (client, regions) in file.clients.items.iter().zip(&links.clients) {
        let regions: Option<Vec<_>> =
            regions.iter().map(|region| Some(RegionIndex((*region)? as u16))).collect();
        let regions = regions?;
        clients.extend(client.value.prefixes.items.iter().map(|prefix| (prefix.value, regions.clone())));
    }
    let draining = file.nodes.items.iter().filter(|at| at.value.draining.as_ref().is_some_and(|at| at.value));
    let draining: Option<Vec<_>> = draining.map(|at| Some(NodeId(at.value.id.as_ref()?.value))).collect();
    Some(Dns { hostnames: hostnames.collect(), clients, draining: draining? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostnames_are_those_of_hosts() {
        for good in ["web.example.com", "a.b", "xn--bcher-kva.example", "0.a"] {
            assert_eq!(hostname_fault(good), None, "{good}");
        }
        let long = format!("{}.com", "a".repeat(64));
        for bad in ["", "com", "a..b", ".a.b", "a.b.", "-a.b", "a-.b", "a_b.c", "192.0.2.1", "ä.de", &long] {
            assert!(hostname_fault(bad).is_some(), "{bad}");
        }
        assert!(hostname_fault(&["abcdefg"; 32].join(".")).is_some());
    }
}
