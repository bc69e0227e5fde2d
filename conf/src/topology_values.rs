//! Readers of the topology file's own notations: roles, address ranges, services, receive-side scaling.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use overlay::keys::PublicIdentity;
use overlay::topology::{Roles, Rss, Sampling, Service};

use crate::problems::{Problems, error};
use crate::reader::{Item, Table, list, shown, wrong_type};
use crate::values::{host_kind, integer, text, word};

/// What a node does; at least one role.
pub(crate) fn roles(item: &Item<'_>, p: &mut Problems) -> Option<Roles> {
    #[derive(Clone, Copy, PartialEq)]
    enum Role {
        Edge,
        Intermediate,
        Gateway,
    }
    let one = word(&[("edge", Role::Edge), ("intermediate", Role::Intermediate), ("gateway", Role::Gateway)]);
    let list = list(3, one)(item, p)?;
    if list.items.is_empty() && list.complete {
        error(item.place, "this node has no role")
            .help(p, "give it \"edge\", \"intermediate\" or \"gateway\"");
    }
    let has = |role| list.items.iter().any(|at| at.value == role);
    let roles =
        Roles { edge: has(Role::Edge), intermediate: has(Role::Intermediate), gateway: has(Role::Gateway) };
    (list.complete && !list.items.is_empty()).then_some(roles)
}

/// One address, or the first and the last of a range.
pub(crate) fn address_range(item: &Item<'_>, p: &mut Problems) -> Option<RangeInclusive<IpAddr>> {
    let written = text(item, p)?;
    let (first, last) = written.split_once('-').unwrap_or((&written, &written));
    let (Ok(first), Ok(last)) = (first.trim().parse::<IpAddr>(), last.trim().parse::<IpAddr>()) else {
        let help = match written.parse::<ipnetwork::IpNetwork>() {
            Ok(network) => format!("write the range as \"{}-{}\"", network.network(), network.broadcast()),
            Err(_) => "write one address or FIRST-LAST, as in \"10.9.0.100-10.9.0.103\"".to_owned(),
        };
        error(item.place, format!("`{}` is not an address or a range of addresses", shown(&written)))
            .help(p, help);
        return None;
    };
    if first.is_ipv4() != last.is_ipv4() {
        let message = "a range from one IP version to the other";
        error(item.place, message).help(p, "write a range for IPv4 and another for IPv6");
        return None;
    }
    if first > last {
        error(item.place, "the range runs backwards").help(p, format!("write \"{last}-{first}\""));
        return None;
    }
    host_kind(item, first, p)?;
    host_kind(item, last, p)?;
    Some(first..=last)
}

/// A node's public key.
pub(crate) fn public_key(item: &Item<'_>, p: &mut Problems) -> Option<PublicIdentity> {
    let written = text(item, p)?;
    let key = written.parse().ok();
    if key.is_none() {
        error(item.place, "this is not a public key")
            .help(p, "write the line that `proa key generate` printed: ed25519: and 64 hexadecimal digits");
    }
    key
}

/// The NIC's receive-side scaling.
pub(crate) fn rss(t: &mut Table<'_>, p: &mut Problems) -> Option<Rss> {
    let key = t.required("key", "key = \"6d5a…\", the NIC's hash key in hexadecimal", p, hash_key);
    let queues = t.required("queues", "queues = 2, one for each worker", p, integer(1..=64));
    let entries = t.required("table", "table = 128, the entries of the NIC's table", p, table_entries);
    Some(Rss { key: key?.value, queues: queues?.value, table: entries?.value })
}

/// Which packets carry records of their hops.
pub(crate) fn sampling(t: &mut Table<'_>, p: &mut Problems) -> Sampling {
    let Sampling { one_in, hops_max } = Sampling::default();
    Sampling {
        one_in: t.optional("one_in", p, integer(0..=SAMPLING_MAX)).map_or(one_in, |at| at.value),
        hops_max: t.optional("hops_max", p, integer(1..=Sampling::HOPS_MAX)).map_or(hops_max, |at| at.value),
    }
}

/// Packets of which one is sampled, at most.
const SAMPLING_MAX: u32 = 1_000_000_000;

fn hash_key(item: &Item<'_>, p: &mut Problems) -> Option<Vec<u8>> {
    let digits = text(item, p)?;
    let bytes: Option<Vec<u8>> = digits
        .as_bytes()
        .chunks(2)
        .map(|pair| {
            core::str::from_utf8(pair).ok().filter(|pair| pair.bytes().all(|b| b.is_ascii_hexdigit()))
        })
        .map(|pair| pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()))
        .collect();
    match bytes {
        Some(bytes) if digits.len() % 2 == 0 && (40..=64).contains(&bytes.len()) => Some(bytes),
        _ => {
            error(item.place, "this is not a hash key")
                .help(p, "write the NIC's 40 bytes (some have 52) as 80 (104) hexadecimal digits");
            None
        }
    }
}

fn table_entries(item: &Item<'_>, p: &mut Problems) -> Option<u16> {
    let entries: u16 = integer(1..=4096)(item, p)?;
    if !entries.is_power_of_two() {
        error(item.place, format!("`table` is {entries}, not a power of two"))
            .help(p, format!("use {} if the NIC has as many", entries.next_power_of_two()));
        return None;
    }
    Some(entries)
}

/// A protocol with its ports, as in `tcp/443` or `udp/5000-5010`.
pub(crate) fn service(item: &Item<'_>, p: &mut Problems) -> Option<Service> {
    if !matches!(item.value, toml::de::DeValue::String(_)) {
        wrong_type(item, "a service", "write \"tcp/443\", \"udp/5000-5010\" or \"icmp\"", p);
        return None;
    }
    let written = text(item, p)?;
    if written == "icmp" {
        return Some(Service::Icmp);
    }
    let (protocol, ports) = written.split_once('/').unwrap_or((&written, ""));
    let (low, high) = ports.split_once('-').unwrap_or((ports, ports));
    let message = |why: &str| format!("`{}` is not a service: {why}", shown(&written));
    let (Ok(low), Ok(high)) = (low.parse::<u16>(), high.parse::<u16>()) else {
        error(item.place, message("it names no port from 1 to 65535"))
            .help(p, "write \"tcp/443\", \"udp/5000-5010\" or \"icmp\"");
        return None;
    };
    if low == 0 {
        let help = format!("begin with port 1 or higher, as in \"{protocol}/443\"");
        error(item.place, message("port 0 cannot be used")).help(p, help);
        return None;
    }
    if low > high {
        let help = format!("write \"{protocol}/{high}-{low}\"");
        error(item.place, message("its range runs backwards")).help(p, help);
        return None;
    }
    match protocol {
        "tcp" => Some(Service::Tcp(low..=high)),
        "udp" => Some(Service::Udp(low..=high)),
        _ => {
            error(item.place, message("its protocol is unknown")).help(p, "use tcp, udp or icmp");
            None
        }
    }
}
