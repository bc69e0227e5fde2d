//! Puts the checked parts together. By now nothing is missing; what is, gives none.

use std::net::IpAddr;
use std::path::PathBuf;

use overlay::keys::{PublicIdentity, ROTATION_DEFAULT_S};
use overlay::plan::Certificate;
use overlay::topology::{
    Application, IpVersion, Node, NodeId, Origin, Path, PathId, PathSet, Planned, Region, RegionIndex,
    Topology, Translation, Vip,
};

use crate::Keys;
use crate::check::names::Links;
use crate::ground::{ground, index};
use crate::local::{Control, Eal, Local, Port, Route, Servers, Workers};
use crate::monitoring;
use crate::node_file::{NodeFile, RawServer};
use crate::reader::List;
use crate::revoked;
use crate::routing;
use crate::takeover;
use crate::topology_file::{RawApplication, RawNode, TopologyFile};

/// Streams where the topology names no number.
pub(crate) const STREAMS: u16 = 16;

/// The overlay's number where the topology names none.
const OVERLAY_ID: u32 = 1;

/// An Ethernet port's MTU where the node file names none.
const MTU_BYTES: u16 = 1500;

/// The topology as the data path reads it.
pub(crate) fn topology(
    file: &TopologyFile,
    links: &Links,
    certificates: Vec<Certificate>,
) -> Option<Topology> {
    let mut topology = Topology {
        certificates,
        ground: ground(file, links),
        overlay_id: file.overlay_id.as_ref().map_or(OVERLAY_ID, |at| at.value),
        streams: file.streams.as_ref().map_or(STREAMS, |at| at.value),
        ..Topology::default()
    };
    (topology.liveness, topology.quality) = monitoring::build(&file.liveness, &file.quality);
    for region in &file.regions.items {
        topology.regions.push(Region { name: region.value.name.as_ref()?.value.clone() });
    }
    for (node, region) in file.nodes.items.iter().zip(&links.node_regions) {
        topology.nodes.push(build_node(&node.value, index((*region)?)?)?);
    }
    for (set, ends) in file.path_sets.items.iter().zip(&links.path_sets) {
        let mut paths = Vec::new();
        for (path, via) in set.value.paths.items.iter().zip(&ends.via) {
            let via = via.iter().map(|region| index((*region)?)).collect::<Option<_>>()?;
            paths.push(Path { id: PathId(path.value.id.as_ref()?.value), via });
        }
        if let Some(wanted) = &set.value.plan {
            let (edge, gateway) = (index(ends.edge?)?, index(ends.gateway?)?);
            topology.planned.push(Planned { edge, gateway, paths: wanted.value });
        }
        topology.path_sets.push(PathSet {
            name: set.value.name.as_ref()?.value.clone(),
            edge: index(ends.edge?)?,
            gateway: index(ends.gateway?)?,
            paths,
        });
    }
    for (application, ends) in file.applications.items.iter().zip(&links.applications) {
        let gateway = index(ends.gateway?)?;
        let mut vips = Vec::new();
        for (vip, node) in application.value.vips.items.iter().zip(&ends.vip_nodes) {
            let node = topology.nodes.get((*node)?)?.id;
            vips.push(Vip { address: vip.value.address.as_ref()?.value, node });
        }
        let application = build_application(&application.value, vips, gateway, &ends.hops, &topology)?;
        topology.applications.push(application);
    }
    topology.takeovers = takeover::build(file, links, &topology)?;
    revoked::leave_out(file, &mut topology);
    Some(topology)
}

fn values<T: Clone>(list: &List<T>) -> Vec<T> {
    list.items.iter().map(|at| at.value.clone()).collect()
}

fn build_node(raw: &RawNode, region: RegionIndex) -> Option<Node> {
    Some(Node {
        name: raw.name.as_ref()?.value.clone(),
        id: NodeId(raw.id.as_ref()?.value),
        region,
        roles: raw.roles.as_ref()?.value,
        underlay: values(&raw.underlay),
        workers: raw.workers.as_ref().map_or(1, |at| at.value),
        nat_pool: raw.nat_pool.as_ref().map_or_else(Vec::new, |pool| values(&pool.value)),
        rss: raw.rss.as_ref().and_then(|rss| rss.value.clone()),
    })
}

fn build_application(
    raw: &RawApplication,
    vips: Vec<Vip>,
    gateway: RegionIndex,
    hops: &[Option<usize>],
    topology: &Topology,
) -> Option<Application> {
    let mut origins = Vec::new();
    for origin in &raw.origins.items {
        let address: IpAddr = origin.value.address.as_ref()?.value;
        origins.push(Origin { address, port: origin.value.port.as_ref().map(|at| at.value) });
    }
    let mut ends = topology.nodes.iter().filter(|node| {
        vips.iter().any(|vip| vip.node == node.id) || (node.region == gateway && node.roles.gateway)
    });
    let default =
        if ends.all(|node| node.underlay(IpVersion::V4).is_some()) { IpVersion::V4 } else { IpVersion::V6 };
    Some(Application {
        name: raw.name.as_ref()?.value.clone(),
        vips,
        services: values(&raw.services),
        gateway,
        origins,
        // Where nothing is replicated, the number may be left out.
        copies: raw.copies.as_ref().map_or(1, |at| at.value),
        underlay: raw.underlay.as_ref().map_or(default, |at| at.value),
        seal: raw.seal.as_ref().and_then(|at| at.value).unwrap_or_default(),
        trace: raw.trace.as_ref().map(|at| at.value).unwrap_or_default(),
        routing: routing::build(raw, hops, topology)?,
        translation: raw.translation.as_ref().map_or_else(Translation::default, |one| one.build(raw)),
    })
}

/// The public keys of the nodes that have one.
pub(crate) fn identities(topology: &TopologyFile) -> Option<Vec<(NodeId, PublicIdentity)>> {
    let mut identities = Vec::new();
    for node in topology.nodes.items.iter().filter(|node| !revoked::is_revoked(&node.value)) {
        let id = NodeId(node.value.id.as_ref()?.value);
        identities.extend(node.value.public_key.as_ref().and_then(|key| Some((id, key.value?))));
    }
    Some(identities)
}

/// Who has which key.
pub(crate) fn keys(topology: &TopologyFile, node: &NodeFile) -> Option<Keys> {
    let identities = identities(topology)?;
    let file = match &node.key_file {
        Some(file) => Some(PathBuf::from(&file.value.as_ref()?.value)),
        None => None,
    };
    let rotation_s = topology.key_rotation_s.as_ref().map_or(ROTATION_DEFAULT_S, |at| at.value);
    Some(Keys { file, rotation_s, identities })
}

/// Where the server is; its directory as written.
pub(crate) fn servers(raw: &RawServer) -> Option<Servers> {
    let directory = PathBuf::from(&raw.directory.as_ref()?.value);
    Some(Servers { addresses: values(&raw.addresses.as_ref()?.value), directory })
}

/// This node's own settings.
pub(crate) fn local(file: &NodeFile, topology: &Topology) -> Option<Local> {
    let node = &file.node.as_ref()?.value;
    let workers = file.workers.as_ref()?;
    let mut ports = Vec::new();
    for port in &file.ports.as_ref()?.value.items {
        let mut routes = Vec::new();
        for route in &port.value.routes.items {
            routes.push(Route { to: route.value.to.as_ref()?.value, via: route.value.via.as_ref()?.value });
        }
        ports.push(Port {
            name: port.value.name.as_ref()?.value.clone(),
            device: port.value.device.as_ref()?.value.clone(),
            mtu_bytes: port.value.mtu_bytes.as_ref().map_or(MTU_BYTES, |at| at.value),
            vlan: port.value.vlan,
            addresses: values(&port.value.addresses.as_ref()?.value),
            routes,
        });
    }
    Some(Local {
        eal: Eal {
            hugepages: file.eal.hugepages,
            memory_mib: file.eal.memory_mib,
            file_prefix: file.eal.file_prefix.clone().unwrap_or_else(|| format!("proa-{node}")),
            extra: values(&file.eal.extra),
        },
        workers: Workers {
            cores: values(&workers.cores.as_ref()?.value),
            control_core: workers.control_core.as_ref().map_or(0, |at| at.value),
            poll: workers.poll,
            burst: workers.burst,
        },
        ports,
        detours: routing::build_detours(&file.detours, topology)?,
        limits: file.limits,
        elimination: file.elimination,
        ordering: file.ordering,
        parity: file.parity,
        timeouts: file.timeouts,
        nat: file.nat,
        events: file.events.clone(),
        takeover_notices: file.takeover_notices.clone(),
        server: match &file.server {
            Some(server) => Some(servers(&server.value)?),
            None => None,
        },
        control: Control {
            socket: file.socket.clone().unwrap_or_else(|| PathBuf::from(format!("/run/proa/{node}.sock"))),
            metrics: file.metrics,
        },
    })
}
