//! The node file against the topology: cores and workers, ports and addresses, routes.

use std::collections::HashSet;
use std::net::IpAddr;

use ipnetwork::IpNetwork;

use super::addresses::{Claims, Kind};
use super::names::Unique;
use crate::node_file::{NodeFile, RawPort};
use crate::node_values::device_identity;
use crate::problems::{At, Place, Problems, error, warning};
use crate::reader::{List, counted};
use crate::topology_file::{RawNode, TopologyFile};

/// Tells what is wrong with the cores; `node` is this node in the topology.
pub(crate) fn cores(file: &NodeFile, node: Option<&RawNode>, p: &mut Problems) {
    let Some(workers) = &file.workers else { return };
    let Some(cores) = &workers.cores else { return };
    if cores.value.items.is_empty() && cores.value.complete {
        error(cores.place, "`cores` is empty").help(p, "write at least one core, as in cores = [1]");
        return;
    }
    let mut unique = Unique::default();
    for core in &cores.value.items {
        let message = || format!("core {} has a worker already", core.value);
        unique.add(core.value, core.place, message, "name every core once", p);
    }
    let control = workers.control_core.as_ref().map_or(0, |at| at.value);
    if let Some(shared) = cores.value.items.iter().find(|core| core.value == control) {
        let place = workers.control_core.as_ref().map_or(shared.place, |at| at.place);
        warning(place, format!("core {control} runs a worker and the control thread"))
            .help(p, "set control_core to a core without a worker, or packets wait for it");
    }
    let given = cores.value.items.len();
    if let Some(node) = node {
        let wanted = node.workers.as_ref().map_or(1, |at| at.value);
        if cores.value.complete && given != usize::from(wanted) {
            let name = node.name.as_ref().map_or("this node", |name| name.value.as_str());
            error(
                cores.place,
                format!(
                    "{} for {}: the topology gives `{name}` {wanted}",
                    counted(given, "core"),
                    counted(usize::from(wanted), "worker")
                ),
            )
            .help(
                p,
                format!(
                    "name {} here, or set workers = {given} in the topology on every node",
                    counted(usize::from(wanted), "core")
                ),
            );
        }
    }
}

/// Tells what is wrong with the ports.
pub(crate) fn ports(file: &NodeFile, topology: Option<(&TopologyFile, &Claims, usize)>, p: &mut Problems) {
    let Some(ports) = &file.ports else { return };
    let mut names = Unique::default();
    let mut devices = Unique::default();
    let mut addresses = Unique::default();
    let mut destinations = Unique::default();
    let mut networks: Vec<(usize, At<IpNetwork>)> = Vec::new();
    if ports.value.items.is_empty() && ports.value.complete {
        error(ports.place, "there is no port").help(p, "add at least one [[port]]");
    }
    for (position, port) in ports.value.items.iter().enumerate() {
        if let Some(name) = &port.value.name {
            let message = || format!("port `{}` is already defined", name.value);
            names.add(name.value.clone(), name.place, message, "give every port a name of its own", p);
        }
        if let Some(device) = &port.value.device {
            let help = "give every port a device of its own; a device takes frames of one VLAN or of none";
            let message = || "another port has this device already".to_owned();
            devices.add(device_identity(&device.value), device.place, message, help, p);
        }
        let Some(own) = &port.value.addresses else { continue };
        if own.value.items.is_empty() && own.value.complete {
            error(own.place, "this port has no address")
                .help(p, "write addresses = [\"192.0.2.1/24\"], the node's own on this link");
        }
        for network in &own.value.items {
            let message = || format!("{} is already an address of this node", network.value.ip());
            addresses.add(network.value.ip(), network.place, message, "name every address once", p);
            if let Some((_, claims, this)) = topology {
                not_otherwise_used(network, claims, this, p);
            }
            let overlapping =
                networks.iter().find(|(other, at)| *other != position && overlap(&at.value, &network.value));
            if let Some((_, other)) = overlapping {
                warning(network.place, format!("{} is on the link of another port too", network.value))
                    .also(other.place, "the other")
                    .help(p, "use networks that do not overlap: only one of the links can be chosen");
            }
            networks.push((position, network.clone()));
        }
        small_mtu(&port.value, &own.value, p);
        for route in &port.value.routes.items {
            if let Some(to) = &route.value.to {
                let message = || format!("there is a route to {} already", to.value);
                destinations.add(to.value, to.place, message, "keep one route for each destination", p);
            }
            if let Some(via) = &route.value.via {
                let to = route.value.to.as_ref().map(|to| to.value);
                on_link(via, to, &own.value, p);
            }
        }
    }
    if let Some((topology, _, this)) = topology
        && ports.value.complete
        && !ports.value.items.is_empty()
        && ports
            .value
            .items
            .iter()
            .all(|port| port.value.addresses.as_ref().is_some_and(|own| own.value.complete))
    {
        underlay_is_here(topology, this, ports.place, &networks, p);
    }
}

/// A port's address is nobody's virtual IP, origin or pool address, and no other node's underlay address.
fn not_otherwise_used(network: &At<IpNetwork>, claims: &Claims, this: usize, p: &mut Problems) {
    let Some(claim) = claims.of(network.value.ip()) else { return };
    if claim.kind == Kind::Underlay(this) {
        return;
    }
    let help = match claim.kind {
        Kind::Underlay(_) => "use this node's own address, or correct `node` at the top",
        Kind::Vip => "remove it here: the edge takes packets to virtual IPs without having them on a port",
        Kind::Origin => "use this node's own address; the origin keeps its own",
        Kind::Prefix => "use an address outside of it: it stands for a client",
        Kind::Pool => "remove it here: the gateway answers for its pool without having it on a port",
    };
    error(network.place, format!("{} is {} in the topology", network.value.ip(), claim.role())).help(p, help);
}

/// IPv6 asks for links of 1280 bytes (RFC 8200, section 5).
fn small_mtu(port: &RawPort, own: &List<IpNetwork>, p: &mut Problems) {
    if let Some(mtu) = port.mtu_bytes.as_ref().filter(|mtu| mtu.value < 1280)
        && own.items.iter().any(|network| network.value.is_ipv6())
    {
        error(mtu.place, format!("an MTU of {} is too small for this port's IPv6 address", mtu.value))
            .help(p, "use 1280 or more (RFC 8200, section 5)");
    }
}

/// A router is a neighbour on its port's link, of the route's IP version, and not this node.
fn on_link(via: &At<IpAddr>, to: Option<IpNetwork>, own: &List<IpNetwork>, p: &mut Problems) {
    if let Some(to) = to.filter(|to| to.is_ipv4() != via.value.is_ipv4()) {
        error(via.place, format!("the route to {to} leads via a router of the other IP version"))
            .help(p, "name a router of the same IP version as `to`");
        return;
    }
    if own.items.iter().any(|network| network.value.ip() == via.value) {
        error(via.place, format!("{} is this node itself", via.value))
            .help(p, "name the next router on the link");
        return;
    }
    if own.complete && !own.items.iter().any(|network| network.value.contains(via.value)) {
        let networks: Vec<String> = own.items.iter().map(|network| network.value.to_string()).collect();
        error(via.place, format!("{} is not on this port's link", via.value)).help(
            p,
            format!("name a router within {}, or add the port's address on its network", networks.join(", ")),
        );
    }
}

/// Other nodes send to the underlay addresses: some port should have them.
fn underlay_is_here(
    topology: &TopologyFile,
    this: usize,
    place: Place,
    own: &[(usize, At<IpNetwork>)],
    p: &mut Problems,
) {
    let here: HashSet<IpAddr> = own.iter().map(|(_, network)| network.value.ip()).collect();
    let Some(node) = topology.nodes.items.get(this) else { return };
    for address in node.value.underlay.items.iter().filter(|address| !here.contains(&address.value)) {
        warning(place, format!("no port has this node's underlay address {}", address.value))
            .help(p, "add it to a port's `addresses`, unless a router leads it here");
    }
}

fn overlap(a: &IpNetwork, b: &IpNetwork) -> bool {
    a.contains(b.network()) || b.contains(a.network())
}
