//! Services: no port is served twice, and what has no ports to translate finds what it needs.

use std::net::IpAddr;

use overlay::topology::{IpVersion, Service};

use crate::check::addresses::title;
use crate::problems::{At, Problems, error, warning};
use crate::topology_file::{RawApplication, RawNode};

/// No port is served twice, and SCTP keeps its ports.
pub(crate) fn check(application: &At<RawApplication>, p: &mut Problems) {
    let services = &application.value.services.items;
    for (i, service) in services.iter().enumerate() {
        let again = services[..i].iter().find(|earlier| overlap(&earlier.value, &service.value));
        if let Some(earlier) = again {
            error(service.place, "this service overlaps one before it")
                .label("again")
                .also(earlier.place, "first")
                .help(p, "name every port once");
        }
    }
    let Some(sctp) = services.iter().find(|service| matches!(service.value, Service::Sctp(_))) else {
        return;
    };
    let ports = application.value.origins.items.iter().filter_map(|origin| origin.value.port.as_ref());
    for port in ports {
        error(port.place, "this origin has a port of its own, but SCTP keeps its ports")
            .also(sctp.place, "SCTP is served here")
            .help(p, "remove `port`, or give SCTP an application of its own");
    }
}

fn overlap(a: &Service, b: &Service) -> bool {
    match (a, b) {
        (Service::Tcp(a), Service::Tcp(b))
        | (Service::Udp(a), Service::Udp(b))
        | (Service::UdpLite(a), Service::UdpLite(b))
        | (Service::Sctp(a), Service::Sctp(b)) => a.start() <= b.end() && b.start() <= a.end(),
        (Service::Protocol(a), Service::Protocol(b)) => a == b,
        (Service::Icmp, Service::Icmp) => true,
        _ => false,
    }
}

/// Protocols that are translated by address need an address for each worker of a gateway.
pub(crate) fn pool(
    application: &At<RawApplication>,
    node: &RawNode,
    versions: impl Iterator<Item = IpVersion>,
    p: &mut Problems,
) {
    let by_address =
        |service: &&At<Service>| matches!(service.value, Service::Sctp(_) | Service::Protocol(_));
    let Some(service) = application.value.services.items.iter().find(by_address) else { return };
    let workers = node.workers.as_ref().map_or(1, |at| u128::from(at.value));
    let Some(pool) = &node.nat_pool else { return };
    for version in versions {
        let ranges = pool.value.items.iter().map(|range| &range.value);
        let mine = ranges.filter(|range| IpVersion::of(*range.start()) == version);
        let bits = |address: &IpAddr| match address {
            IpAddr::V4(v4) => u128::from(v4.to_bits()),
            IpAddr::V6(v6) => v6.to_bits(),
        };
        let addresses: u128 = mine.map(|range| bits(range.end()) - bits(range.start()) + 1).sum();
        if addresses > 0 && addresses < workers {
            let title = title("node", &node.name);
            let label = if version == IpVersion::V4 { "IPv4" } else { "IPv6" };
            warning(
                service.place,
                format!("{title} has {workers} workers and {addresses} {label} addresses: this service works on {addresses} of them only"),
            )
            .also(pool.place, "the pool")
            .help(p, "give the pool an address for each worker");
        }
    }
}
