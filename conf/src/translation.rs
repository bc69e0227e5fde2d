//! Reads how gateways translate: an application's `nat` in the topology file, and `[nat]` of the node file.

use std::net::IpAddr;

use ipnetwork::{IpNetwork, Ipv6Network};
use overlay::topology::{Filtering, PrefixRule, Translation};

use crate::check::prefixes;
use crate::local::Nat;
use crate::node_values::prefix;
use crate::problems::{At, Place, Problems, error, warning};
use crate::reader::{Item, List, Table, table};
use crate::topology_file::RawApplication;
use crate::values::{boolean, host, integer, word};

/// Most prefixes of origins that are not translated for.
const UNTRANSLATED_MAX: usize = 64;

/// Most prefixes of an application's clients that are translated.
const PREFIXES_MAX: usize = 64;

/// Bits of prefixes that are translated: what a provider has at most, and what leaves the interface identifier.
const PREFIX_BITS: std::ops::RangeInclusive<u8> = 32..=64;

/// The least quarantine that RFC 6888 (REQ-8) asks for, seconds.
const QUARANTINE_S: u32 = 120;

/// An application's `nat` as read.
#[derive(Clone, Debug)]
pub(crate) struct RawTranslation {
    tcp: Option<At<Filtering>>,
    udp: Option<At<Filtering>>,
    untranslated: List<IpNetwork>,
    prefixes: List<RawPrefix>,
}

/// Clients that are translated by prefix, as read.
#[derive(Clone, Debug)]
pub(crate) struct RawPrefix {
    pub(crate) inside: Option<At<Ipv6Network>>,
    pub(crate) outside: Option<At<Ipv6Network>>,
    pub(crate) vip: Option<At<IpAddr>>,
}

impl RawTranslation {
    pub(crate) fn prefixes(&self) -> &[At<RawPrefix>] {
        &self.prefixes.items
    }

    /// Where a filter is written that lets in less than all.
    pub(crate) fn filtered(&self) -> Option<Place> {
        let filters = [&self.tcp, &self.udp].into_iter().flatten();
        filters.filter(|at| at.value != Filtering::EndpointIndependent).map(|at| at.place).next()
    }

    pub(crate) fn build(&self, application: &RawApplication) -> Translation {
        let rule = |at: &At<RawPrefix>| {
            let RawPrefix { inside, outside, .. } = &at.value;
            let (inside, outside) = (inside.as_ref()?.value, outside.as_ref()?.value);
            Some(PrefixRule { inside, outside, vip: prefixes::vip_of(application, &at.value)? })
        };
        let filtering = |filtering: &Option<At<Filtering>>| {
            filtering.as_ref().map_or_else(Filtering::default, |at| at.value)
        };
        Translation {
            tcp: filtering(&self.tcp),
            udp: filtering(&self.udp),
            untranslated: self.untranslated.items.iter().map(|at| at.value).collect(),
            prefixes: self.prefixes.items.iter().filter_map(rule).collect(),
        }
    }
}

/// An application's `nat`.
pub(crate) fn application(t: &mut Table<'_>, p: &mut Problems) -> RawTranslation {
    RawTranslation {
        tcp: t.optional("filter_tcp", p, filtering),
        udp: t.optional("filter_udp", p, filtering),
        untranslated: t.list("untranslated", UNTRANSLATED_MAX, p, prefix),
        prefixes: t.list("prefixes", PREFIXES_MAX, p, |item, p| table(item, "`prefixes`", p, pair)),
    }
}

/// A prefix and what it is translated to.
fn pair(t: &mut Table<'_>, p: &mut Problems) -> RawPrefix {
    let inside = t.required("inside", "inside = \"2001:db8:c::/48\", the clients' prefix", p, prefix_v6);
    let outside = t.required("outside", "outside = \"2001:db8:f0::/48\", what origins see", p, prefix_v6);
    if let (Some(inside), Some(outside)) = (&inside, &outside)
        && inside.value.prefix() != outside.value.prefix()
    {
        let bits = inside.value.prefix();
        error(outside.place, format!("{} and {} are not of the same length", inside.value, outside.value))
            .also(inside.place, "the clients' prefix")
            .help(p, format!("use an outside prefix of {bits} bits: then each address has one of its own"));
    }
    RawPrefix { inside, outside, vip: t.optional("vip", p, host) }
}

fn prefix_v6(item: &Item<'_>, p: &mut Problems) -> Option<Ipv6Network> {
    let network = prefix(item, p)?;
    let IpNetwork::V6(v6) = network else {
        error(item.place, format!("`{network}` is an IPv4 prefix, and only IPv6 is translated by prefix"))
            .help(p, "write an IPv6 prefix; IPv4 clients are translated by the gateway's nat_pool");
        return None;
    };
    if !PREFIX_BITS.contains(&v6.prefix()) {
        let (least, most) = (PREFIX_BITS.start(), PREFIX_BITS.end());
        error(item.place, format!("a prefix of {} bits can not be translated", v6.prefix()))
            .help(p, format!("use {least} to {most} bits (RFC 6296)"));
        return None;
    }
    if !prefixes::is_global(v6) {
        error(item.place, format!("no host that can be reached has an address in {v6}"))
            .help(p, "use a global or unique local unicast prefix");
        return None;
    }
    Some(v6)
}

fn filtering(item: &Item<'_>, p: &mut Problems) -> Option<Filtering> {
    word(&[
        ("endpoint-independent", Filtering::EndpointIndependent),
        ("address-dependent", Filtering::AddressDependent),
        ("address-and-port-dependent", Filtering::AddressAndPortDependent),
    ])(item, p)
}

/// `[nat]` of the node file.
pub(crate) fn node(t: &mut Table<'_>, p: &mut Problems) -> Nat {
    let default = Nat::default();
    let mut number = |key, range, default| t.optional(key, p, integer(range)).map_or(default, |at| at.value);
    let clients = number("clients", 0..=16_777_216, default.clients);
    let tcp = number("tcp_sessions_per_client", 1..=u32::MAX, default.sessions_per_client[0]);
    let udp = number("udp_sessions_per_client", 1..=u32::MAX, default.sessions_per_client[1]);
    let other = number("icmp_sessions_per_client", 1..=u32::MAX, default.sessions_per_client[2]);
    let ports_per_client = number("ports_per_client", 1..=u32::MAX, default.ports_per_client);
    let rate = number("sessions_per_second", 0..=1_000_000, default.sessions_per_second);
    let burst = t.optional("burst", p, integer(1..=10_000_000));
    if let Some(burst) = burst.as_ref().filter(|_| rate == 0) {
        error(burst.place, "`burst` without a rate").help(p, "set sessions_per_second too, or remove burst");
    }
    let reserve_percent =
        t.optional("reserve_percent", p, integer(0..=90)).map_or(default.reserve_percent, |at| at.value);
    let few = t.optional("few", p, integer(1..=65_535)).map_or(default.few, |at| at.value);
    let quarantine = t.optional("quarantine", p, integer(0..=3600));
    if let Some(short) = quarantine.as_ref().filter(|at| at.value < QUARANTINE_S) {
        warning(short.place, "`quarantine` is shorter than RFC 6888 (REQ-8) asks for")
            .help(p, format!("use {QUARANTINE_S} or more, or late packets may reach another client"));
    }
    let mut flag = |key, default| t.optional(key, p, boolean).map_or(default, |at| at.value);
    let parity = flag("parity", default.parity);
    let inbound_refresh = flag("inbound_refresh", default.inbound_refresh);
    let errors = flag("icmp_errors", default.icmp_errors);
    Nat {
        clients,
        sessions_per_client: [tcp, udp, other],
        ports_per_client,
        sessions_per_second: rate,
        burst: burst.map_or(rate.saturating_mul(10), |at| at.value),
        reserve_percent,
        few,
        quarantine_seconds: quarantine.map_or(default.quarantine_seconds, |at| at.value),
        parity,
        inbound_refresh,
        icmp_errors: errors,
    }
}
