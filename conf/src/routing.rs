//! How packets find their ways: the routing protocols of an application, and a node's own word on next hops.

use overlay::adaptive;
use overlay::auto::Settings;
use overlay::parity::{Coding, PACKETS_MAX, PARITY_MAX};
use overlay::protocol::Protocol;
use overlay::topology::{AutoRouting, Detour, NodeId, Routing, Topology};
use overlay::wire::HOPS_MAX;
use toml::de::DeValue;

use crate::check::addresses::title;
use crate::check::names::Unique;
use crate::problems::{At, Problems, error};
use crate::reader::{Item, List, Table, counted, table};
use crate::topology_file::{RawApplication, RawNode, TopologyFile};
use crate::values::{decimal, integer, name, word};

/// Detours of a node at most.
pub(crate) const DETOURS_MAX: usize = 1024;

/// How the packets of a direction are carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// By this protocol.
    By(Protocol),
    /// By the protocol of `auto`, or straight.
    Auto,
}

/// The ways of both directions.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RawRouting {
    pub(crate) to_origin: Option<Way>,
    pub(crate) to_client: Option<Way>,
}

/// How ways are weighed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RawAuto {
    /// The protocol over the overlay.
    pub(crate) overlay: Protocol,
    pub(crate) settings: Settings,
}

impl RawRouting {
    /// Whether a direction is weighed.
    fn weighs(&self) -> [bool; 2] {
        [self.to_origin, self.to_client].map(|way| way == Some(Way::Auto))
    }

    /// The protocols of both directions, over the overlay where that is weighed.
    pub(crate) fn protocols(&self, auto: Option<&RawAuto>) -> [Protocol; 2] {
        [self.to_origin, self.to_client].map(|way| match way {
            None => Protocol::default(),
            Some(Way::By(protocol)) => protocol,
            Some(Way::Auto) => auto.copied().unwrap_or_default().overlay,
        })
    }

    /// Whether copies are sent in either direction.
    pub(crate) fn replicates(&self, auto: Option<&RawAuto>) -> bool {
        self.protocols(auto).contains(&Protocol::Replicate)
    }
}

/// A node's own word on where packets go next.
#[derive(Clone, Debug)]
pub(crate) struct RawDetour {
    pub(crate) protocol: Option<At<Protocol>>,
    pub(crate) destination: Option<At<String>>,
    pub(crate) next: Option<At<String>>,
}

const WAYS: &[(&str, Way)] = &[
    ("shortest", Way::By(Protocol::Shortest)),
    ("replicate", Way::By(Protocol::Replicate)),
    ("cleanest", Way::By(Protocol::Cleanest)),
    ("spread", Way::By(Protocol::Spread)),
    ("parity", Way::By(Protocol::Parity)),
    ("adaptive", Way::By(Protocol::Adaptive)),
    ("source-route", Way::By(Protocol::SourceRoute)),
    ("direct", Way::By(Protocol::Direct)),
    ("auto", Way::Auto),
];
/// What `auto` may choose beside the direct way.
const OVER_THE_OVERLAY: &[(&str, Protocol)] = &[
    ("shortest", Protocol::Shortest),
    ("replicate", Protocol::Replicate),
    ("cleanest", Protocol::Cleanest),
    ("spread", Protocol::Spread),
    ("parity", Protocol::Parity),
    ("adaptive", Protocol::Adaptive),
    ("source-route", Protocol::SourceRoute),
];
const HOP_BY_HOP: &[(&str, Protocol)] = &[("shortest", Protocol::Shortest), ("cleanest", Protocol::Cleanest)];

/// A protocol for both directions, or one for each.
pub(crate) fn routing(item: &Item<'_>, p: &mut Problems) -> Option<RawRouting> {
    if matches!(item.value, DeValue::Table(_)) {
        return table(item, "`routing`", p, |t, p| RawRouting {
            to_origin: t.optional("to_origin", p, word(WAYS)).map(|at| at.value),
            to_client: t.optional("to_client", p, word(WAYS)).map(|at| at.value),
        });
    }
    let both = Some(word(WAYS)(item, p)?);
    Some(RawRouting { to_origin: both, to_client: both })
}

/// How `auto` weighs.
pub(crate) fn auto(item: &Item<'_>, p: &mut Problems) -> Option<RawAuto> {
    table(item, "`auto`", p, |t, p| {
        let default = Settings::default();
        let price_ms = t.optional("price_ms", p, decimal(0.0..=PRICE_MS_MAX));
        let margin_percent = t.optional("margin_percent", p, integer(0..=100));
        let dwell_seconds = t.optional("dwell_seconds", p, integer(0..=DWELL_S_MAX));
        RawAuto {
            overlay: t
                .optional("overlay", p, word(OVER_THE_OVERLAY))
                .map_or_else(Default::default, |at| at.value),
            settings: Settings {
                price_us: price_ms.map_or(default.price_us, |at| (at.value * 1e3).round() as u32),
                margin_percent: margin_percent.map_or(default.margin_percent, |at| at.value),
                dwell_ms: dwell_seconds.map_or(default.dwell_ms, |at| at.value * 1000),
            },
        }
    })
}

/// How packets are coded.
pub(crate) fn parity(item: &Item<'_>, p: &mut Problems) -> Option<Coding> {
    table(item, "`parity`", p, |t, p| {
        let default = Coding::default();
        let packets = t.optional("data_packets", p, integer(1..=PACKETS_MAX));
        let parity = t.optional("parity_packets", p, integer(1..=PARITY_MAX as u8));
        let wait_ms = t.optional("wait_ms", p, decimal(0.1..=WAIT_MS_MAX));
        Coding {
            packets: packets.map_or(default.packets, |at| at.value),
            parity: parity.map_or(default.parity, |at| at.value),
            wait_us: wait_ms.map_or(default.wait_us, |at| (at.value * 1e3).round() as u32),
        }
    })
}

/// How adaptive redundancy is chosen.
pub(crate) fn adaptive(item: &Item<'_>, p: &mut Problems) -> Option<adaptive::Settings> {
    table(item, "`adaptive`", p, |t, p| {
        let default = adaptive::Settings::default();
        let target_percent =
            t.optional("target_percent", p, decimal(TARGET_PERCENT_MIN..=TARGET_PERCENT_MAX));
        let recovery_seconds = t.optional("recovery_seconds", p, integer(1..=RECOVERY_S_MAX));
        let extra_percent = t.optional("extra_percent", p, integer(0..=EXTRA_PERCENT_MAX));
        adaptive::Settings {
            target_ppm: target_percent.map_or(default.target_ppm, |at| (at.value * 1e4).round() as u32),
            recovery_ms: recovery_seconds.map_or(default.recovery_ms, |at| at.value * 1000),
            extra_percent: extra_percent.map_or(default.extra_percent, |at| at.value),
        }
    })
}

/// A group stays open for so long at most, ms.
const WAIT_MS_MAX: f64 = 100.0;
/// The loss that may be left, percent.
const TARGET_PERCENT_MIN: f64 = 0.001;
const TARGET_PERCENT_MAX: f64 = 50.0;
/// The longest recovery time, seconds.
const RECOVERY_S_MAX: u32 = 3_600;
/// Two copies beside each packet: more are never sent.
const EXTRA_PERCENT_MAX: u16 = 200;

/// The highest price of the overlay, ms, and the longest dwell time, seconds.
const PRICE_MS_MAX: f64 = 10_000.0;
const DWELL_S_MAX: u32 = 86_400;

/// An entry of a node file's list.
pub(crate) fn detour(item: &Item<'_>, p: &mut Problems) -> Option<RawDetour> {
    table(item, "[[route]]", p, |t: &mut Table<'_>, p| RawDetour {
        protocol: t.required("protocol", "protocol = \"shortest\", or \"cleanest\"", p, word(HOP_BY_HOP)),
        destination: t.required("destination", "destination = \"…\", an edge or gateway node", p, name),
        next: t.required("next", "next = \"…\", the node to send to", p, name),
    })
}

impl RawApplication {
    fn protocols(&self) -> [Protocol; 2] {
        let routing = self.routing.as_ref().map(|at| at.value).unwrap_or_default();
        routing.protocols(self.auto.as_ref().map(|at| &at.value))
    }

    /// Whether ways to origins and to clients are weighed.
    fn weighs(&self) -> [bool; 2] {
        self.routing.as_ref().map_or([false; 2], |at| at.value.weighs())
    }

    /// Whether any of its packets are carried by a protocol.
    pub(crate) fn uses(&self, protocol: Protocol) -> bool {
        let straight = protocol == Protocol::Direct && self.weighs().contains(&true);
        straight || self.protocols().contains(&protocol)
    }
}

/// Tells weights that nothing is spread by, or more of them than a path set has paths.
pub(crate) fn weights(application: &At<RawApplication>, paths: &[(String, usize)], p: &mut Problems) {
    let raw = &application.value;
    let who = title("application", &raw.name);
    let Some(weights) = &raw.weights else { return };
    if !raw.uses(Protocol::Spread) {
        error(weights.place, format!("{who} has weights, but no packet of it is spread over paths"))
            .help(p, "set routing = \"spread\", or remove weights");
        return;
    }
    let count = weights.value.items.len();
    if count == 0 && weights.value.complete {
        error(weights.place, "`weights` is empty")
            .help(p, "name the share of each path, as in weights = [2, 1]");
    }
    for (set, paths) in paths.iter().filter(|(_, paths)| *paths > 0 && *paths < count) {
        let message = format!("{who} has {count} weights, but {set} has {}", counted(*paths, "path"));
        error(weights.place, message)
            .help(p, format!("name {paths} at most, in the order of the set's paths"));
    }
}

/// Tells coding that no packet has, that costs more than copies, or that has no second path.
pub(crate) fn coding(application: &At<RawApplication>, paths: &[(String, usize)], p: &mut Problems) {
    let raw = &application.value;
    let who = title("application", &raw.name);
    if let Some(parity) = &raw.parity {
        if !raw.uses(Protocol::Parity) && !raw.uses(Protocol::Adaptive) {
            error(parity.place, format!("{who} says how packets are coded, but has no parity packets"))
                .help(p, "set routing = \"parity\", or remove parity");
            return;
        }
        let Coding { packets, parity: count, .. } = parity.value;
        if count > packets {
            let message = format!("{who} has {count} parity packets for {packets} of data");
            error(parity.place, message)
                .help(p, "set parity_packets to data_packets at most, or routing = \"replicate\", whose copies cost less");
        }
    }
    let place = raw.routing.as_ref().map_or(application.place, |at| at.place);
    for (set, _) in paths.iter().filter(|(_, paths)| *paths == 1 && raw.uses(Protocol::Parity)) {
        error(place, format!("{who} has parity packets, but {set} has no second path for them"))
            .help(p, "add a path to the set, or name another protocol");
    }
}

/// Hops of a source route at most where packets are ordered: more would not fit before a packet.
const ORDERED_HOPS_MAX: usize = 4;

/// The positions of an application's hops; tells those that can not be one.
pub(crate) fn check(
    application: &At<RawApplication>,
    hops: &[Option<usize>],
    file: &TopologyFile,
    p: &mut Problems,
) {
    let raw = &application.value;
    let who = title("application", &raw.name);
    let written = raw.source_route.as_ref();
    match (written, raw.uses(Protocol::SourceRoute)) {
        (None, true) => {
            let place = raw.routing.as_ref().map_or(application.place, |at| at.place);
            error(place, format!("{who} is routed by its source, but names no hops"))
                .help(p, "add source_route = [\"…\"], the intermediate nodes from edge to gateway");
        }
        (Some(written), false) => {
            error(written.place, format!("{who} names hops, but no packet of it is routed by its source"))
                .help(p, "set routing = \"source-route\", or remove source_route");
        }
        _ => {}
    }
    check_auto(application, file, p);
    check_adaptive(application, file, p);
    let Some(written) = written else { return };
    if written.value.items.is_empty() && written.value.complete {
        error(written.place, "`source_route` is empty")
            .help(p, "name 1 to 8 intermediate nodes: no packet goes straight by this protocol");
    }
    let count = written.value.items.len();
    if raw.ordered.as_ref().is_some_and(|at| at.value) && count > ORDERED_HOPS_MAX {
        error(written.place, format!("{who} is ordered and names {count} hops"))
            .help(p, format!("name {ORDERED_HOPS_MAX} at most, or remove ordered"));
    }
    let mut unique = Unique::default();
    for (name, position) in written.value.items.iter().zip(hops) {
        let message = || format!("`{}` is named twice: the packets would go in a circle", name.value);
        unique.add(name.value.as_str(), name.place, message, "name every hop once", p);
        let node = position.and_then(|position| file.nodes.items.get(position));
        if node.is_some_and(|node| node.value.roles.as_ref().is_some_and(|roles| !roles.value.intermediate)) {
            error(name.place, format!("node `{}` is a hop, but no intermediate", name.value))
                .help(p, "name an intermediate node, or add \"intermediate\" to its roles");
        }
    }
}

/// Tells what is to be weighed and can not be, and weights of nothing.
fn check_auto(application: &At<RawApplication>, file: &TopologyFile, p: &mut Problems) {
    let raw = &application.value;
    let who = title("application", &raw.name);
    let weighs = raw.weighs().contains(&true);
    if let (Some(auto), false) = (&raw.auto, weighs) {
        error(auto.place, format!("{who} says how ways are weighed, but weighs none"))
            .help(p, "set routing = \"auto\", or remove auto");
    }
    let measured = file.liveness.enabled && file.quality.enabled;
    if let Some(routing) = raw.routing.as_ref().filter(|_| weighs && !measured) {
        error(routing.place, format!("{who} weighs ways, but nothing is measured"))
            .help(p, "enable [liveness] and [quality], or name a protocol");
    }
}

/// Tells redundancy that can not follow losses, and settings of none.
fn check_adaptive(application: &At<RawApplication>, file: &TopologyFile, p: &mut Problems) {
    let raw = &application.value;
    let who = title("application", &raw.name);
    let adapts = raw.uses(Protocol::Adaptive);
    if let (Some(adaptive), false) = (&raw.adaptive, adapts) {
        error(
            adaptive.place,
            format!("{who} says how redundancy is chosen, but no packet of it is adaptive"),
        )
        .help(p, "set routing = \"adaptive\", or remove adaptive");
    }
    let watched = file.liveness.enabled || file.quality.enabled;
    let place = raw.auto.as_ref().map(|at| at.place).or(raw.routing.as_ref().map(|at| at.place));
    if let Some(place) = place.filter(|_| adapts && !watched) {
        error(place, format!("{who} is adaptive, but paths are neither watched nor measured"))
            .help(p, "enable [liveness] or [quality], or name another protocol");
    }
}

/// Tells a node's detours that lead nowhere.
pub(crate) fn detours(detours: &List<RawDetour>, this: &RawNode, topology: &TopologyFile, p: &mut Problems) {
    let find = |name: &At<String>| {
        let mut nodes = topology.nodes.items.iter().map(|node| &node.value);
        nodes.find(|node| node.name.as_ref().is_some_and(|own| own.value == name.value))
    };
    let mut unique = Unique::default();
    for detour in &detours.items {
        let (Some(destination), Some(next)) = (&detour.value.destination, &detour.value.next) else {
            continue;
        };
        for name in [destination, next].into_iter().filter(|name| find(name).is_none()) {
            if topology.nodes.complete {
                error(name.place, format!("there is no node `{}`", name.value))
                    .help(p, "name a node of the topology");
            }
        }
        let is_end = |node: &RawNode| node.roles.as_ref().is_none_or(|at| at.value.edge || at.value.gateway);
        if find(destination).is_some_and(|node| !is_end(node)) {
            error(
                destination.place,
                format!("packets end at no node `{}`: it is no edge or gateway", destination.value),
            )
            .help(p, "name an edge or a gateway");
        }
        let passes = |node: &RawNode| node.roles.as_ref().is_none_or(|at| at.value.intermediate);
        let is_own = this.name.as_ref().is_some_and(|own| own.value == next.value);
        if is_own || (next.value != destination.value && find(next).is_some_and(|node| !passes(node))) {
            error(next.place, format!("`{}` is not a node that could pass packets on", next.value))
                .help(p, "name another node that is an intermediate, or the destination itself");
        }
        if let Some(protocol) = &detour.value.protocol {
            let message =
                || format!("packets to `{}` by this protocol have a next node already", destination.value);
            let key = (protocol.value, destination.value.as_str());
            unique.add(key, detour.place, message, "keep one of them", p);
        }
    }
}

/// What an application's packets are routed by.
pub(crate) fn build(raw: &RawApplication, hops: &[Option<usize>], topology: &Topology) -> Option<Routing> {
    let [to_origin, to_client] = raw.protocols();
    let hop = |position: &Option<usize>| Some(topology.nodes.get((*position)?)?.id);
    let hops: Vec<NodeId> = hops.iter().take(HOPS_MAX).map(hop).collect::<Option<_>>()?;
    let weighs = raw.weighs();
    let auto = weighs.contains(&true).then(|| AutoRouting {
        to_origin: weighs[0],
        to_client: weighs[1],
        settings: raw.auto.as_ref().map(|at| at.value.settings).unwrap_or_default(),
    });
    let ordered = raw.ordered.as_ref().is_some_and(|at| at.value);
    let weights = raw.weights.iter().flat_map(|at| &at.value.items).map(|at| at.value).collect();
    let coding = raw.parity.as_ref().map(|at| at.value).unwrap_or_default();
    let adaptive = raw.adaptive.as_ref().map(|at| at.value).unwrap_or_default();
    Some(Routing { to_origin, to_client, hops, auto, ordered, weights, coding, adaptive })
}

/// A node's detours.
pub(crate) fn build_detours(detours: &List<RawDetour>, topology: &Topology) -> Option<Vec<Detour>> {
    let id = |name: &Option<At<String>>| {
        let name = &name.as_ref()?.value;
        Some(topology.nodes.iter().find(|node| node.name == *name)?.id)
    };
    let build = |at: &At<RawDetour>| {
        let RawDetour { protocol, destination, next } = &at.value;
        Some(Detour { protocol: protocol.as_ref()?.value, destination: id(destination)?, next: id(next)? })
    };
    detours.items.iter().map(build).collect()
}
