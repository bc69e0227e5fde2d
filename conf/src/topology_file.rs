//! Reads the topology file: every key, its type and its range. What refers to what is checked afterwards.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use overlay::keys::{PublicIdentity, ROTATION_MAX_S, ROTATION_MIN_S};
use overlay::parity::Coding;
use overlay::plan::{LATENCY_US_MAX, LOSS_PPM_MAX, PATHS_MAX as PLAN_MAX};
use overlay::topology::{Disjoint, IpVersion, Roles, Rss, Sampling, Seal, Service};
use overlay::wire::HOPS_MAX;

use crate::dns::{self, CLIENTS_MAX, RawClient};
use crate::monitoring::{self, RawLiveness, RawQuality};
use crate::problems::{At, Problems, error};
use crate::reader::{Item, List, Table, list, table};
use crate::routing::{self, RawAuto, RawRouting};
use crate::service::service;
use crate::takeover::{self, RawTakeover, TAKEOVERS_MAX};
use crate::topology_values::{address_range, public_key, roles, rss, sampling};
use crate::translation::{self, RawTranslation};
use crate::values::{boolean, decimal, host, integer, name, word};

/// Most entries of each kind; the checks' work and the tables' memory grow with them.
pub(crate) const REGIONS_MAX: usize = 1024;
pub(crate) const LINKS_MAX: usize = 32_768;
pub(crate) const RISKS_MAX: usize = 16;
pub(crate) const NODES_MAX: usize = 4096;
pub(crate) const PATH_SETS_MAX: usize = 4096;
pub(crate) const PATHS_MAX: usize = 16;
/// A packet leaves with hop limit 8 and each intermediate takes one.
pub(crate) const VIA_MAX: usize = 8;
pub(crate) const APPLICATIONS_MAX: usize = 4096;
pub(crate) const VIPS_MAX: usize = 64;
pub(crate) const SERVICES_MAX: usize = 64;
pub(crate) const ORIGINS_MAX: usize = 256;
pub(crate) const POOL_RANGES_MAX: usize = 64;

/// The topology file as read; what could not be read is missing and has been told.
#[derive(Clone, Debug)]
pub(crate) struct TopologyFile {
    pub(crate) overlay_id: Option<At<u32>>,
    pub(crate) streams: Option<At<u16>>,
    pub(crate) disjoint: Option<At<Disjoint>>,
    pub(crate) key_rotation_s: Option<At<u32>>,
    pub(crate) regions: List<RawRegion>,
    pub(crate) links: List<RawLink>,
    pub(crate) nodes: List<RawNode>,
    pub(crate) path_sets: List<RawPathSet>,
    pub(crate) applications: List<RawApplication>,
    pub(crate) takeovers: List<RawTakeover>,
    pub(crate) clients: List<RawClient>,
    pub(crate) liveness: RawLiveness,
    pub(crate) quality: RawQuality,
}

#[derive(Clone, Debug)]
pub(crate) struct RawRegion {
    pub(crate) name: Option<At<String>>,
    pub(crate) shared_risk: List<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct RawLink {
    pub(crate) between: List<String>,
    pub(crate) latency_us: Option<At<u32>>,
    /// Parts per million.
    pub(crate) loss_ppm: Option<At<u32>>,
    pub(crate) shared_risk: List<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct RawNode {
    pub(crate) name: Option<At<String>>,
    pub(crate) id: Option<At<u16>>,
    pub(crate) region: Option<At<String>>,
    pub(crate) roles: Option<At<Roles>>,
    pub(crate) underlay: List<IpAddr>,
    pub(crate) workers: Option<At<u16>>,
    pub(crate) nat_pool: Option<At<List<RangeInclusive<IpAddr>>>>,
    pub(crate) rss: Option<At<Option<Rss>>>,
    pub(crate) public_key: Option<At<Option<PublicIdentity>>>,
    pub(crate) draining: Option<At<bool>>,
    pub(crate) revoked: Option<At<bool>>,
}

#[derive(Clone, Debug)]
pub(crate) struct RawPathSet {
    pub(crate) name: Option<At<String>>,
    pub(crate) edge: Option<At<String>>,
    pub(crate) gateway: Option<At<String>>,
    /// How many paths to plan, where none are written.
    pub(crate) plan: Option<At<u8>>,
    pub(crate) paths: List<RawPath>,
}

#[derive(Clone, Debug)]
pub(crate) struct RawPath {
    pub(crate) id: Option<At<u16>>,
    pub(crate) via: List<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct RawApplication {
    pub(crate) name: Option<At<String>>,
    pub(crate) hostname: Option<At<String>>,
    pub(crate) vips: List<RawVip>,
    pub(crate) services: List<Service>,
    pub(crate) gateway: Option<At<String>>,
    pub(crate) origins: List<RawOrigin>,
    pub(crate) copies: Option<At<u8>>,
    pub(crate) underlay: Option<At<IpVersion>>,
    pub(crate) seal: Option<At<Option<Seal>>>,
    pub(crate) trace: Option<At<Sampling>>,
    pub(crate) routing: Option<At<RawRouting>>,
    pub(crate) source_route: Option<At<List<String>>>,
    pub(crate) auto: Option<At<RawAuto>>,
    pub(crate) adaptive: Option<At<overlay::adaptive::Settings>>,
    pub(crate) ordered: Option<At<bool>>,
    pub(crate) weights: Option<At<List<u8>>>,
    pub(crate) parity: Option<At<Coding>>,
    pub(crate) translation: Option<RawTranslation>,
}

#[derive(Clone, Debug)]
pub(crate) struct RawVip {
    pub(crate) address: Option<At<IpAddr>>,
    pub(crate) node: Option<At<String>>,
}

#[derive(Clone, Debug)]
pub(crate) struct RawOrigin {
    pub(crate) address: Option<At<IpAddr>>,
    pub(crate) port: Option<At<u16>>,
}

pub(crate) fn read(t: &mut Table<'_>, p: &mut Problems) -> TopologyFile {
    TopologyFile {
        overlay_id: t.optional("overlay_id", p, integer(0..=0xff_ffff)),
        streams: t.optional("streams", p, integer(1..=256)),
        disjoint: t.optional(
            "disjoint",
            p,
            word(&[("require", Disjoint::Require), ("warn", Disjoint::Warn)]),
        ),
        key_rotation_s: t.optional("key_rotation", p, integer(ROTATION_MIN_S..=ROTATION_MAX_S)),
        regions: entries(t, "region", REGIONS_MAX, p, |item, p| {
            table(item, "[[region]]", p, |t, p| RawRegion {
                name: t.required("name", "name = \"paris\"", p, name),
                shared_risk: t.list("shared_risk", RISKS_MAX, p, name),
            })
        }),
        links: t.list("link", LINKS_MAX, p, |item, p| table(item, "[[link]]", p, link)),
        nodes: entries(t, "node", NODES_MAX, p, |item, p| table(item, "[[node]]", p, node)),
        path_sets: entries(t, "path_set", PATH_SETS_MAX, p, |item, p| {
            table(item, "[[path_set]]", p, path_set)
        }),
        applications: entries(t, "application", APPLICATIONS_MAX, p, |item, p| {
            table(item, "[[application]]", p, application)
        }),
        takeovers: t
            .list("takeover", TAKEOVERS_MAX, p, |item, p| table(item, "[[takeover]]", p, takeover::takeover)),
        clients: t.list("client", CLIENTS_MAX, p, |item, p| table(item, "[[client]]", p, dns::client)),
        liveness: t
            .optional("liveness", p, |item, p| table(item, "[liveness]", p, monitoring::liveness))
            .map_or_else(RawLiveness::default, |at| at.value),
        quality: t
            .optional("quality", p, |item, p| table(item, "[quality]", p, monitoring::quality))
            .map_or_else(RawQuality::default, |at| at.value),
    }
}

fn link(t: &mut Table<'_>, p: &mut Problems) -> RawLink {
    let between = t.required("between", "between = [\"…\", \"…\"], the two regions", p, list(2, name));
    if let Some(ends) = between.as_ref().filter(|ends| ends.value.complete && ends.value.items.len() < 2) {
        error(ends.place, "a link joins two regions")
            .help(p, "name both, as in between = [\"paris\", \"london\"]");
    }
    let micros = |value: f64| (value * 1e3).round() as u32;
    let parts = |value: f64| (value * 1e6).round() as u32;
    let latency = t.required(
        "latency_ms",
        "latency_ms = 12.5, the latency in one direction",
        p,
        decimal(0.0..=f64::from(LATENCY_US_MAX) / 1e3),
    );
    let loss = t.optional("loss", p, decimal(0.0..=f64::from(LOSS_PPM_MAX) / 1e6));
    RawLink {
        between: between.map_or(List { items: Vec::new(), complete: false }, |list| list.value),
        latency_us: latency.map(|at| At { value: micros(at.value), place: at.place }),
        loss_ppm: loss.map(|at| At { value: parts(at.value), place: at.place }),
        shared_risk: t.list("shared_risk", RISKS_MAX, p, name),
    }
}

/// A list of tables of which there must be at least one.
fn entries<T>(
    t: &mut Table<'_>,
    key: &'static str,
    max: usize,
    p: &mut Problems,
    read: impl FnMut(&Item<'_>, &mut Problems) -> Option<T>,
) -> List<T> {
    let broken = List { items: Vec::new(), complete: false };
    let example = format!("at least one [[{key}]]");
    match t.required(key, &example, p, list(max, read)) {
        Some(list) => list.value,
        None => broken,
    }
}

fn node(t: &mut Table<'_>, p: &mut Problems) -> RawNode {
    RawNode {
        name: t.required("name", "name = \"edge-1\"", p, name),
        id: t.required("id", "id = 1, a number that no other node has", p, integer(1..=u16::MAX)),
        region: t.required("region", "region = \"…\", the name of a [[region]]", p, name),
        roles: t.required("roles", "roles = [\"edge\"], or \"intermediate\" or \"gateway\"", p, roles),
        underlay: t
            .required("underlay", "underlay = [\"192.0.2.1\"], where other nodes send to", p, list(2, host))
            .map_or(List { items: Vec::new(), complete: false }, |list| list.value),
        workers: t.optional("workers", p, integer(1..=64)),
        nat_pool: t.optional("nat_pool", p, list(POOL_RANGES_MAX, address_range)),
        rss: t.optional("rss", p, |item, p| table(item, "`rss`", p, rss)),
        public_key: t.optional("public_key", p, |item, p| Some(public_key(item, p))),
        draining: t.optional("draining", p, boolean),
        revoked: t.optional("revoked", p, boolean),
    }
}

fn path_set(t: &mut Table<'_>, p: &mut Problems) -> RawPathSet {
    let example = "plan = 2, or paths = [{ id = 1, via = [\"london\"] }]";
    let planned = t.has("plan");
    let written = t.has("paths");
    let plan = t.optional("plan", p, integer(2..=PLAN_MAX as u8));
    let paths =
        if planned && !written { None } else { t.required("paths", example, p, list(PATHS_MAX, path)) };
    if let (Some(plan), Some(paths)) = (&plan, &paths) {
        error(plan.place, "this path set is both planned and written out")
            .also(paths.place, "written here")
            .help(p, "keep `plan` or `paths`");
    }
    RawPathSet {
        name: t.required("name", "name = \"paris-frankfurt\"", p, name),
        edge: t.required("edge", "edge = \"…\", the region at the clients' end", p, name),
        gateway: t.required("gateway", "gateway = \"…\", the region at the origins' end", p, name),
        plan: plan.filter(|_| !written),
        paths: paths.map_or(List { items: Vec::new(), complete: false }, |list| list.value),
    }
}

fn path(item: &Item<'_>, p: &mut Problems) -> Option<RawPath> {
    table(item, "a path", p, |t, p| RawPath {
        id: t.required("id", "id = 1, a number that no other path has", p, integer(1..=u16::MAX)),
        via: t
            .required("via", "via = [\"…\"], the regions between", p, list(VIA_MAX, name))
            .map_or(List { items: Vec::new(), complete: false }, |list| list.value),
    })
}

fn application(t: &mut Table<'_>, p: &mut Problems) -> RawApplication {
    let routing = t.optional("routing", p, routing::routing);
    let auto = t.optional("auto", p, routing::auto);
    let weighed = auto.as_ref().map(|at| &at.value);
    let replicates = routing.as_ref().is_none_or(|at| at.value.replicates(weighed));
    let copies = integer(1..=8);
    RawApplication {
        name: t.required("name", "name = \"web\"", p, name),
        hostname: t.optional("hostname", p, dns::hostname),
        vips: filled(
            t,
            "vips",
            "vips = [{ address = \"203.0.113.10\", node = \"edge-1\" }]",
            VIPS_MAX,
            p,
            vip,
        ),
        services: filled(t, "services", "services = [\"tcp/443\"]", SERVICES_MAX, p, service),
        gateway: t.required("gateway", "gateway = \"…\", the region at the origins' end", p, name),
        origins: filled(t, "origins", "origins = [{ address = \"10.9.0.2\" }]", ORIGINS_MAX, p, origin),
        copies: match replicates {
            true => t.required("copies", "copies = 2", p, copies),
            false => t.optional("copies", p, copies),
        },
        underlay: t.optional("underlay", p, word(&[("ipv4", IpVersion::V4), ("ipv6", IpVersion::V6)])),
        seal: t.optional("seal", p, |item, p| {
            Some(word(&[("aes-256-gcm", Seal::Aes256Gcm), ("none", Seal::None)])(item, p))
        }),
        trace: t.optional("trace", p, |item, p| table(item, "`trace`", p, sampling)),
        source_route: t.optional("source_route", p, list(HOPS_MAX, name)),
        ordered: t.optional("ordered", p, boolean),
        weights: t.optional("weights", p, list(PATHS_MAX, integer(1..=100))),
        parity: t.optional("parity", p, routing::parity),
        routing,
        auto,
        adaptive: t.optional("adaptive", p, routing::adaptive),
        translation: t
            .optional("nat", p, |item, p| table(item, "`nat`", p, translation::application))
            .map(|at| at.value),
    }
}

/// A list that must be there and not be empty.
fn filled<T>(
    t: &mut Table<'_>,
    key: &'static str,
    example: &str,
    max: usize,
    p: &mut Problems,
    read: impl FnMut(&Item<'_>, &mut Problems) -> Option<T>,
) -> List<T> {
    match t.required(key, example, p, list(max, read)) {
        Some(list) => {
            if list.value.items.is_empty() && list.value.complete {
                error(list.place, format!("`{key}` is empty")).help(p, format!("write {example}"));
            }
            list.value
        }
        None => List { items: Vec::new(), complete: false },
    }
}

fn vip(item: &Item<'_>, p: &mut Problems) -> Option<RawVip> {
    table(item, "a virtual IP", p, |t, p| RawVip {
        address: t.required("address", "address = \"203.0.113.10\"", p, host),
        node: t.required("node", "node = \"…\", the edge node that holds it", p, name),
    })
}

fn origin(item: &Item<'_>, p: &mut Problems) -> Option<RawOrigin> {
    table(item, "an origin", p, |t, p| RawOrigin {
        address: t.required("address", "address = \"10.9.0.2\"", p, host),
        port: t.optional("port", p, integer(1..=u16::MAX)),
    })
}
