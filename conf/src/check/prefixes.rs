//! Prefix translation: each rule has a virtual IP and origins to lead back to, and no address two meanings.
//!
//! That outside prefixes are apart from each other and from all other addresses is checked with the NAT pools, which they
//! are like; see [`addresses`](super::addresses).

use std::net::{IpAddr, Ipv6Addr};

use ipnetwork::Ipv6Network;
use overlay::topology::{IpVersion, Service};

use super::addresses::title;
use crate::problems::{At, Problems, error, warning};
use crate::topology_file::{RawApplication, TopologyFile};
use crate::translation::{RawPrefix, RawTranslation};

/// The rules of an application.
pub(crate) fn rules(application: &RawApplication) -> &[At<RawPrefix>] {
    application.translation.as_ref().map_or(&[], RawTranslation::prefixes)
}

/// Tells rules that could not be obeyed.
pub(crate) fn check(file: &TopologyFile, p: &mut Problems) {
    let applications = || file.applications.items.iter().filter(|one| !rules(&one.value).is_empty());
    let mut outside: Vec<&At<Ipv6Network>> = Vec::new();
    for application in applications() {
        outside.extend(rules(&application.value).iter().filter_map(|rule| rule.value.outside.as_ref()));
    }
    outside.sort_by_key(|prefix| (prefix.value.network(), prefix.value.prefix()));
    for application in applications() {
        for rule in rules(&application.value) {
            vip(application, rule, p);
            if let Some(inside) = &rule.value.inside {
                apart(inside, &outside, p);
            }
        }
        insides(application, p);
        origins(application, p);
        filters(application, p);
    }
}

/// The IPv6 virtual IPs of an application.
fn vips(application: &RawApplication) -> impl Iterator<Item = IpAddr> {
    let addresses = application.vips.items.iter().filter_map(|vip| Some(vip.value.address.as_ref()?.value));
    addresses.filter(IpAddr::is_ipv6)
}

/// The virtual IP of a rule: the one that it names, or the only one there is.
pub(crate) fn vip_of(application: &RawApplication, rule: &RawPrefix) -> Option<IpAddr> {
    if let Some(vip) = &rule.vip {
        return Some(vip.value);
    }
    let mut vips = vips(application);
    vips.next().filter(|_| vips.next().is_none())
}

/// A rule is for clients of one virtual IP, whose edge replies go to.
fn vip(application: &At<RawApplication>, rule: &At<RawPrefix>, p: &mut Problems) {
    let list = &application.value.vips;
    if !list.complete || list.items.iter().any(|vip| vip.value.address.is_none()) {
        return;
    }
    let who = title("application", &application.value.name);
    let count = vips(&application.value).count();
    match &rule.value.vip {
        Some(vip) if !vips(&application.value).any(|address| address == vip.value) => {
            error(vip.place, format!("{} is no IPv6 virtual IP of {who}", vip.value))
                .help(p, "name one of its `vips`, the one that these clients send to");
        }
        None if count == 0 => {
            error(rule.place, format!("{who} has no IPv6 virtual IP, so no client to translate by prefix"))
                .help(p, "add an IPv6 virtual IP, or remove `prefixes`");
        }
        None if count > 1 => {
            let message =
                format!("{who} has {count} IPv6 virtual IPs: replies would not tell which is meant");
            error(rule.place, message)
                .help(p, "name one with vip = \"…\", and write a rule with another outside prefix for each");
        }
        _ => {}
    }
}

/// A client's prefix is not what another's becomes.
fn apart(inside: &At<Ipv6Network>, outside: &[&At<Ipv6Network>], p: &mut Problems) {
    let next = outside.partition_point(|prefix| prefix.value.network() < inside.value.network());
    let within = next.checked_sub(1).and_then(|before| outside.get(before));
    let around = outside.get(next).filter(|prefix| inside.value.contains(prefix.value.network()));
    let other = within.filter(|prefix| prefix.value.contains(inside.value.network())).or(around);
    if let Some(other) = other {
        let message =
            format!("clients of {} are inside, but {} is an outside prefix", inside.value, other.value);
        error(inside.place, message)
            .also(other.place, "the outside prefix")
            .help(p, "use an outside prefix that no client has");
    }
}

/// A client has one rule at each virtual IP.
fn insides(application: &At<RawApplication>, p: &mut Problems) {
    let rules = rules(&application.value);
    for (i, rule) in rules.iter().enumerate() {
        let Some(inside) = &rule.value.inside else { continue };
        let vip = vip_of(&application.value, &rule.value);
        let clash = rules[..i].iter().find_map(|earlier| {
            let other = earlier.value.inside.as_ref()?;
            let overlap =
                other.value.contains(inside.value.network()) || inside.value.contains(other.value.network());
            (overlap && vip_of(&application.value, &earlier.value) == vip).then_some(other)
        });
        if let Some(other) = clash {
            error(inside.place, format!("{} overlaps {}, of the same virtual IP", inside.value, other.value))
                .label("overlaps")
                .also(other.place, "with this")
                .help(p, "let each client be in one of them");
        }
    }
}

/// Replies must tell which port of the virtual IP is meant, by the origin's port alone.
fn origins(application: &At<RawApplication>, p: &mut Problems) {
    let Some(first) = rules(&application.value).first() else { return };
    let who = title("application", &application.value.name);
    let list = &application.value.origins;
    let known = |version| {
        list.items.iter().filter(move |origin| {
            origin.value.address.as_ref().is_some_and(|address| IpVersion::of(address.value) == version)
        })
    };
    if list.complete && !list.items.is_empty() && known(IpVersion::V6).next().is_none() {
        error(first.place, format!("{who} has no IPv6 origin, and prefixes are not translated to IPv4"))
            .help(p, "add an IPv6 origin, or remove `prefixes`");
    }
    let Some((name, ports)) = most_ports(&application.value) else { return };
    for port in known(IpVersion::V6).filter_map(|origin| origin.value.port.as_ref()) {
        let message = format!(
            "this origin has a port of its own, but {who} serves {ports} {name} ports: replies to clients that are \
             translated by prefix would not tell which is meant"
        );
        error(port.place, message)
            .also(first.place, "translated by prefix")
            .help(p, "remove `port`, or serve one port of each protocol");
    }
}

/// The protocol with the most ports that an application serves, if that is more than one.
fn most_ports(application: &RawApplication) -> Option<(&'static str, u32)> {
    let mut ports = [("TCP", 0), ("UDP", 0), ("UDP-Lite", 0)];
    for service in &application.services.items {
        let (at, range) = match &service.value {
            Service::Tcp(range) => (0, range),
            Service::Udp(range) => (1, range),
            Service::UdpLite(range) => (2, range),
            _ => continue,
        };
        ports[at].1 += u32::from(range.end() - range.start()) + 1;
    }
    ports.into_iter().max_by_key(|(_, ports)| *ports).filter(|(_, ports)| *ports > 1)
}

/// Without sessions there is nothing to filter by.
fn filters(application: &At<RawApplication>, p: &mut Problems) {
    let Some(translation) = &application.value.translation else { return };
    if let Some(place) = translation.filtered() {
        warning(place, "this filter does not hold for clients that are translated by prefix")
            .help(p, "their origin reaches them at any port, as it would without translation");
    }
}

/// A prefix that hosts can have.
pub(crate) fn is_global(prefix: Ipv6Network) -> bool {
    let first: Ipv6Addr = prefix.network();
    first.segments()[0] != 0 && !first.is_multicast() && !first.is_unicast_link_local()
}
