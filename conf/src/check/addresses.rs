//! Addresses of the whole overlay: each means one thing only, or packets to it would go astray.

use std::collections::HashMap;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use super::prefixes;
use crate::problems::{At, Place, Problems, error};
use crate::topology_file::{RawNode, TopologyFile};

/// Addresses of one gateway's pool: each takes a table of its ports.
const POOL_ADDRESSES_MAX: u128 = 65_536;

/// What the addresses of the overlay mean.
#[derive(Default)]
pub(crate) struct Claims {
    single: HashMap<IpAddr, Claim>,
    /// Ranges of pools in order, none within another.
    pools: Vec<(RangeInclusive<IpAddr>, Claim)>,
}

/// Who has an address.
#[derive(Clone)]
pub(crate) struct Claim {
    /// As it stands in a message: "virtual IP of application `web`".
    pub(crate) what: String,
    pub(crate) kind: Kind,
    pub(crate) place: Place,
}

/// What an address is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Underlay address of the node at this position.
    Underlay(usize),
    Vip,
    Origin,
    Pool,
    /// What clients are translated to by prefix.
    Prefix,
}

impl Claim {
    /// What the address is, after "is" or "is also".
    pub(crate) fn role(&self) -> String {
        format!(
            "{} {}",
            if matches!(self.kind, Kind::Pool | Kind::Prefix) { "in the" } else { "the" },
            self.what
        )
    }
}

impl Claims {
    /// Who else has this address.
    pub(crate) fn of(&self, address: IpAddr) -> Option<&Claim> {
        if let Some(claim) = self.single.get(&address) {
            return Some(claim);
        }
        let next = self.pools.partition_point(|(range, _)| *range.start() <= address);
        let (range, claim) = self.pools.get(next.checked_sub(1)?)?;
        range.contains(&address).then_some(claim)
    }

    fn add(&mut self, address: &At<IpAddr>, kind: Kind, what: String, help: &str, p: &mut Problems) {
        let place = address.place;
        match self.of(address.value) {
            // Applications may share an origin.
            Some(other) if kind == Kind::Origin && other.kind == Kind::Origin => {}
            Some(other) => {
                let message = format!("{} is the {what}, but also {}", address.value, other.role());
                error(place, message).label("again").also(other.place, "first").help(p, help);
            }
            None => {
                self.single.insert(address.value, Claim { what, kind, place });
            }
        }
    }
}

/// Tells addresses that mean more than one thing, and pools that cannot be.
pub(crate) fn check(file: &TopologyFile, p: &mut Problems) -> Claims {
    let mut claims = Claims { pools: pools(file, p), ..Claims::default() };
    for (position, node) in file.nodes.items.iter().enumerate() {
        let versions: Vec<bool> = node.value.underlay.items.iter().map(|at| at.value.is_ipv4()).collect();
        for (i, address) in node.value.underlay.items.iter().enumerate() {
            if versions[..i].contains(&versions[i]) {
                error(address.place, "a second underlay address of the same IP version")
                    .help(p, "keep one IPv4 and one IPv6 address at most");
            }
            let what = format!("underlay address of {}", title("node", &node.value.name));
            let help = "give every node an address of its own";
            claims.add(address, Kind::Underlay(position), what, help, p);
        }
        if node.value.underlay.items.is_empty() && node.value.underlay.complete {
            error(node.place, format!("{} has no underlay address", title("node", &node.value.name)))
                .help(p, "write underlay = [\"192.0.2.1\"], where other nodes send to");
        }
    }
    for application in &file.applications.items {
        for vip in application.value.vips.items.iter().filter_map(|vip| vip.value.address.as_ref()) {
            let what = format!("virtual IP of {}", title("application", &application.value.name));
            claims.add(vip, Kind::Vip, what, "use an address that nothing else has", p);
        }
    }
    for application in &file.applications.items {
        for origin in
            application.value.origins.items.iter().filter_map(|origin| origin.value.address.as_ref())
        {
            let what = format!("origin of {}", title("application", &application.value.name));
            claims.add(origin, Kind::Origin, what, "use the server's own address", p);
        }
    }
    claims
}

/// All pools' ranges in order; those that overlap another are told and left out.
fn pools(file: &TopologyFile, p: &mut Problems) -> Vec<(RangeInclusive<IpAddr>, Claim)> {
    let mut all: Vec<(RangeInclusive<IpAddr>, Claim)> = Vec::new();
    for node in &file.nodes.items {
        pool_of(node, p);
        let ranges = node.value.nat_pool.iter().flat_map(|pool| &pool.value.items);
        for range in ranges {
            let what = format!("NAT pool of {}", title("node", &node.value.name));
            all.push((range.value.clone(), Claim { what, kind: Kind::Pool, place: range.place }));
        }
    }
    // What clients are translated to by prefix is a pool without ports.
    for application in &file.applications.items {
        for rule in prefixes::rules(&application.value) {
            let Some(outside) = &rule.value.outside else { continue };
            let range = IpAddr::V6(outside.value.network())..=IpAddr::V6(outside.value.broadcast());
            let what = format!("outside prefix of {}", title("application", &application.value.name));
            all.push((range, Claim { what, kind: Kind::Prefix, place: outside.place }));
        }
    }
    all.sort_by_key(|(range, claim)| (*range.start(), claim.place.span.start));
    let mut apart: Vec<(RangeInclusive<IpAddr>, Claim)> = Vec::new();
    for (range, claim) in all {
        match apart.last() {
            Some((before, first)) if range.start() <= before.end() => {
                let both = text(&(*range.start()..=*range.end().min(before.end())));
                let message = if first.what == claim.what {
                    format!("the {} has {both} twice", claim.what)
                } else {
                    format!("the {} and the {} both have {both}", first.what, claim.what)
                };
                let help = match [first.kind, claim.kind].contains(&Kind::Prefix) {
                    true => "use an outside prefix that is nowhere else in use",
                    false => "give every gateway addresses of its own, each once",
                };
                error(claim.place, message).label("overlaps").also(first.place, "with this").help(p, help);
            }
            _ => apart.push((range, claim)),
        }
    }
    apart
}

/// One node's pool: only at a gateway, not empty, of bounded size.
fn pool_of(node: &At<RawNode>, p: &mut Problems) {
    let Some(roles) = &node.value.roles else { return };
    let who = title("node", &node.value.name);
    let Some(pool) = &node.value.nat_pool else {
        if roles.value.gateway {
            error(node.place, format!("{who} is a gateway without a NAT pool")).help(
                p,
                "add nat_pool = [\"10.9.0.100-10.9.0.103\"], addresses that origins send replies to",
            );
        }
        return;
    };
    if !roles.value.gateway {
        error(pool.place, format!("{who} has a NAT pool, but is no gateway"))
            .also(roles.place, "its roles")
            .help(p, "remove nat_pool, or add \"gateway\" to its roles");
    } else if pool.value.items.is_empty() && pool.value.complete {
        error(pool.place, format!("the NAT pool of {who} is empty"))
            .help(p, "write at least one address, as in \"10.9.0.100\"");
    }
    let addresses =
        pool.value.items.iter().fold(0, |sum: u128, range| sum.saturating_add(size(&range.value)));
    if addresses > POOL_ADDRESSES_MAX {
        error(pool.place, format!("the NAT pool of {who} has {addresses} addresses")).help(
            p,
            format!("use at most {POOL_ADDRESSES_MAX}: one serves some 64,000 sessions to each origin"),
        );
    }
}

fn size(range: &RangeInclusive<IpAddr>) -> u128 {
    let number = |address: &IpAddr| match address {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits(),
    };
    number(range.end()).saturating_sub(number(range.start())).saturating_add(1)
}

fn text(range: &RangeInclusive<IpAddr>) -> String {
    if range.start() == range.end() {
        range.start().to_string()
    } else {
        format!("{} to {}", range.start(), range.end())
    }
}

/// "node `edge-1`", or "a node" when its name could not be read.
pub(crate) fn title(kind: &str, name: &Option<At<String>>) -> String {
    match name {
        Some(name) => format!("{kind} `{}`", name.value),
        None => format!("a nameless {kind}"),
    }
}
