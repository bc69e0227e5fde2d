//! Reads how gateways translate: an application's `nat` in the topology file, and `[nat]` of the node file.

use ipnetwork::IpNetwork;
use overlay::topology::{Filtering, Translation};

use crate::local::Nat;
use crate::node_values::prefix;
use crate::problems::{At, Problems, error, warning};
use crate::reader::{Item, List, Table};
use crate::values::{boolean, integer, word};

/// Most prefixes of origins that are not translated for.
const UNTRANSLATED_MAX: usize = 64;

/// The least quarantine that RFC 6888 (REQ-8) asks for, seconds.
const QUARANTINE_S: u32 = 120;

/// An application's `nat` as read.
#[derive(Clone, Debug)]
pub(crate) struct RawTranslation {
    tcp: Option<At<Filtering>>,
    udp: Option<At<Filtering>>,
    untranslated: List<IpNetwork>,
}

impl RawTranslation {
    pub(crate) fn build(&self) -> Translation {
        let filtering = |filtering: &Option<At<Filtering>>| {
            filtering.as_ref().map_or_else(Filtering::default, |at| at.value)
        };
        Translation {
            tcp: filtering(&self.tcp),
            udp: filtering(&self.udp),
            untranslated: self.untranslated.items.iter().map(|at| at.value).collect(),
        }
    }
}

/// An application's `nat`.
pub(crate) fn application(t: &mut Table<'_>, p: &mut Problems) -> RawTranslation {
    RawTranslation {
        tcp: t.optional("filter_tcp", p, filtering),
        udp: t.optional("filter_udp", p, filtering),
        untranslated: t.list("untranslated", UNTRANSLATED_MAX, p, prefix),
    }
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
