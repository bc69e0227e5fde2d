//! Reads the node file: every key, its type and its range.

use std::net::IpAddr;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnetwork::IpNetwork;

use crate::events;
use crate::local::{Elimination, Events, Limits, Nat, Ordering, Parity, Poll, Timeouts};
use crate::node_values::{
    device, eal_argument, metrics, mtu, own_address, prefix, socket, timeout, written_file,
};
use crate::problems::{At, Problems, error};
use crate::reader::{List, Table, list, table};
use crate::routing::{self, RawDetour};
use crate::translation;
use crate::values::{boolean, host, integer, name, socket_address, text, word};

/// Most entries of each kind.
pub(crate) const CORES_MAX: usize = 64;
pub(crate) const PORTS_MAX: usize = 16;
const ADDRESSES_MAX: usize = 16;
const SERVERS_MAX: usize = 8;
const ROUTES_MAX: usize = 4096;
const EAL_ARGUMENTS_MAX: usize = 64;

/// The node file as read; what could not be read is missing and has been told.
#[derive(Clone, Debug)]
pub(crate) struct NodeFile {
    /// Left out where there is a server.
    pub(crate) topology: Option<At<String>>,
    pub(crate) server: Option<At<RawServer>>,
    pub(crate) node: Option<At<String>>,
    pub(crate) eal: RawEal,
    pub(crate) workers: Option<RawWorkers>,
    pub(crate) ports: Option<At<List<RawPort>>>,
    pub(crate) detours: List<RawDetour>,
    pub(crate) limits: Limits,
    pub(crate) elimination: Elimination,
    pub(crate) ordering: Ordering,
    pub(crate) parity: Parity,
    pub(crate) timeouts: Timeouts,
    pub(crate) nat: Nat,
    pub(crate) events: Option<Events>,
    pub(crate) takeover_notices: Option<PathBuf>,
    pub(crate) key_file: Option<At<Option<At<String>>>>,
    pub(crate) socket: Option<PathBuf>,
    pub(crate) metrics: Option<SocketAddr>,
}

/// Where the topology comes from instead of a file.
#[derive(Clone, Debug)]
pub(crate) struct RawServer {
    pub(crate) addresses: Option<At<List<SocketAddr>>>,
    pub(crate) directory: Option<At<String>>,
}

#[derive(Clone, Debug)]
pub(crate) struct RawEal {
    pub(crate) hugepages: bool,
    pub(crate) memory_mib: u32,
    pub(crate) file_prefix: Option<String>,
    pub(crate) extra: List<String>,
}

#[derive(Clone, Debug)]
pub(crate) struct RawWorkers {
    pub(crate) cores: Option<At<List<u16>>>,
    pub(crate) control_core: Option<At<u16>>,
    pub(crate) poll: Poll,
    pub(crate) burst: u8,
}

#[derive(Clone, Debug)]
pub(crate) struct RawPort {
    pub(crate) name: Option<At<String>>,
    pub(crate) device: Option<At<String>>,
    pub(crate) mtu_bytes: Option<At<u16>>,
    pub(crate) vlan: Option<u16>,
    pub(crate) addresses: Option<At<List<IpNetwork>>>,
    pub(crate) routes: List<RawRoute>,
}

#[derive(Clone, Debug)]
pub(crate) struct RawRoute {
    pub(crate) to: Option<At<IpNetwork>>,
    pub(crate) via: Option<At<IpAddr>>,
}

pub(crate) fn read(t: &mut Table<'_>, p: &mut Problems) -> NodeFile {
    let written = t.has("topology");
    let server = t.optional("server", p, |item, p| table(item, "[server]", p, server));
    let topology = if server.is_some() && !written {
        None
    } else {
        t.required("topology", "topology = \"overlay.toml\", the topology file, or [server]", p, text)
    };
    if let (Some(topology), Some(server)) = (&topology, &server) {
        error(server.place, "the topology comes from a server and from a file")
            .also(topology.place, "the file")
            .help(p, "keep `topology` or [server]");
    }
    let node = t.required("node", "node = \"…\", the name of one of the topology's nodes", p, name);
    let eal = t.optional("eal", p, |item, p| table(item, "[eal]", p, eal));
    let workers = t
        .required("workers", "[workers] with cores = [1]", p, |item, p| table(item, "[workers]", p, workers));
    let ports = t.required("port", "at least one [[port]]", p, |item, p| {
        list(PORTS_MAX, |item, p| table(item, "[[port]]", p, port))(item, p)
    });
    let detours = t.list("route", routing::DETOURS_MAX, p, routing::detour);
    let limits = t.optional("limits", p, |item, p| table(item, "[limits]", p, limits));
    let elimination = t.optional("elimination", p, |item, p| table(item, "[elimination]", p, elimination));
    let ordering = t.optional("ordering", p, |item, p| table(item, "[ordering]", p, ordering));
    let parity = t.optional("parity", p, |item, p| table(item, "[parity]", p, parity));
    let timeouts = t.optional("timeouts", p, |item, p| table(item, "[timeouts]", p, timeouts));
    let nat = t.optional("nat", p, |item, p| table(item, "[nat]", p, translation::node));
    let events = t.optional("events", p, |item, p| table(item, "[events]", p, events::read));
    let example = "notices = \"/run/exabgp.in\", a file or pipe to write to";
    let notices = |t: &mut Table<'_>, p: &mut Problems| t.required("notices", example, p, written_file);
    let takeover = t.optional("takeover", p, |item, p| table(item, "[takeover]", p, notices));
    let control = t.optional("control", p, |item, p| {
        table(item, "[control]", p, |t, p| {
            (t.optional("socket", p, socket), t.optional("metrics", p, metrics))
        })
    });
    let key_file = t.optional("key", p, |item, p| {
        table(item, "[key]", p, |t, p| t.required("file", "file = \"proa.key\", the private key", p, text))
    });
    let (socket, metrics) = control.map_or((None, None), |control| control.value);
    NodeFile {
        topology,
        server,
        node,
        eal: eal.map_or_else(default_eal, |eal| eal.value),
        workers: workers.map(|workers| workers.value),
        ports,
        detours,
        limits: limits.map_or_else(Limits::default, |limits| limits.value),
        elimination: elimination.map_or_else(Elimination::default, |elimination| elimination.value),
        ordering: ordering.map_or_else(Ordering::default, |ordering| ordering.value),
        parity: parity.map_or_else(Parity::default, |parity| parity.value),
        timeouts: timeouts.map_or_else(Timeouts::default, |timeouts| timeouts.value),
        nat: nat.map_or_else(Nat::default, |nat| nat.value),
        events: events.and_then(|events| events::checked(events, p)),
        takeover_notices: takeover.and_then(|at| at.value).map(|at| at.value),
        key_file,
        socket: socket.map(|socket| socket.value),
        metrics: metrics.map(|metrics| metrics.value),
    }
}

fn server(t: &mut Table<'_>, p: &mut Problems) -> RawServer {
    let addresses = "addresses = [\"192.0.2.50:7443\"], where the server listens for nodes";
    let read = t.required("addresses", addresses, p, list(SERVERS_MAX, socket_address));
    if let Some(list) = read.as_ref().filter(|list| list.value.items.is_empty() && list.value.complete) {
        error(list.place, "`addresses` is empty").help(p, format!("write {addresses}"));
    }
    let directory = "directory = \"edge-1\", where `proa join` puts this node's certificate";
    RawServer { addresses: read, directory: t.required("directory", directory, p, text) }
}

fn default_eal() -> RawEal {
    RawEal { hugepages: true, memory_mib: 512, file_prefix: None, extra: List::default() }
}

fn eal(t: &mut Table<'_>, p: &mut Problems) -> RawEal {
    let default = default_eal();
    RawEal {
        hugepages: t.optional("hugepages", p, boolean).map_or(default.hugepages, |at| at.value),
        memory_mib: t
            .optional("memory_mib", p, integer(64..=1_048_576))
            .map_or(default.memory_mib, |at| at.value),
        file_prefix: t.optional("file_prefix", p, name).map(|at| at.value),
        extra: t.list("extra", EAL_ARGUMENTS_MAX, p, eal_argument),
    }
}

fn workers(t: &mut Table<'_>, p: &mut Problems) -> RawWorkers {
    RawWorkers {
        cores: t.required("cores", "cores = [1], one worker on each", p, list(CORES_MAX, integer(0..=1023))),
        control_core: t.optional("control_core", p, integer(0..=1023)),
        poll: t
            .optional("poll", p, word(&[("adaptive", Poll::Adaptive), ("busy", Poll::Busy)]))
            .map_or(Poll::Adaptive, |at| at.value),
        burst: t.optional("burst", p, integer(1..=64)).map_or(32, |at| at.value),
    }
}

fn port(t: &mut Table<'_>, p: &mut Problems) -> RawPort {
    RawPort {
        name: t.required("name", "name = \"wan\"", p, name),
        device: t.required("device", "device = \"0000:3b:00.0\", or a virtual device", p, device),
        mtu_bytes: t.optional("mtu", p, mtu),
        vlan: t.optional("vlan", p, integer(1..=4094)).map(|at| at.value),
        addresses: t.required(
            "addresses",
            "addresses = [\"192.0.2.1/24\"]",
            p,
            list(ADDRESSES_MAX, own_address),
        ),
        routes: t.list("routes", ROUTES_MAX, p, |item, p| {
            table(item, "a route", p, |t, p| RawRoute {
                to: t.required("to", "to = \"0.0.0.0/0\", the destinations", p, prefix),
                via: t.required("via", "via = \"192.0.2.254\", the router", p, host),
            })
        }),
    }
}

fn limits(t: &mut Table<'_>, p: &mut Problems) -> Limits {
    let default = Limits::default();
    let mut limit = |key, range, default| t.optional(key, p, integer(range)).map_or(default, |at| at.value);
    let flows = limit("flows", 64..=16_777_216, default.flows);
    let sessions = limit("sessions", 64..=16_777_216, default.sessions);
    let buffers = limit("buffers", 1024..=4_194_304, default.buffers);
    let punt_queue_packets = limit("punt_queue", 16..=65_536, default.punt_queue_packets);
    let neighbors = limit("neighbors", 16..=65_536, default.neighbors);
    let window = t.optional("window", p, crate::node_values::window);
    let window_packets = window.map_or(default.window_packets, |at| at.value);
    Limits { flows, sessions, window_packets, buffers, punt_queue_packets, neighbors }
}

fn elimination(t: &mut Table<'_>, p: &mut Problems) -> Elimination {
    let default = Elimination::default();
    let mut number = |key, range, default| t.optional(key, p, integer(range)).map_or(default, |at| at.value);
    Elimination {
        reset_ms: number("reset_ms", 100..=3_600_000, default.reset_ms),
        latent_period_ms: number("latent_period_ms", 100..=3_600_000, default.latent_period_ms),
        latent_difference: number("latent_difference", 1..=1_000_000_000, default.latent_difference),
        jump_packets: number("jump", 1..=u32::MAX, default.jump_packets),
    }
}

fn ordering(t: &mut Table<'_>, p: &mut Problems) -> Ordering {
    let default = Ordering::default();
    let mut number = |key, range, default| t.optional(key, p, integer(range)).map_or(default, |at| at.value);
    Ordering {
        hold_ms: number("hold_ms", 1..=1000, default.hold_ms),
        packets: number("packets", 16..=65_536, default.packets),
        flows: number("flows", 64..=1_048_576, default.flows),
    }
}

fn parity(t: &mut Table<'_>, p: &mut Problems) -> Parity {
    let default = Parity::default();
    let mut number = |key, range, default| t.optional(key, p, integer(range)).map_or(default, |at| at.value);
    Parity {
        memory_mib: number("memory_mib", 1..=1024, default.memory_mib),
        groups: number("groups", 16..=65_535, default.groups),
        hold_ms: number("hold_ms", 1..=1000, default.hold_ms),
    }
}

fn timeouts(t: &mut Table<'_>, p: &mut Problems) -> Timeouts {
    let default = Timeouts::default();
    let mut seconds = |key, least: Option<(u32, &'static str)>, default| {
        t.optional(key, p, timeout(least)).map_or(default, |at| at.value)
    };
    let tcp_transitory_seconds =
        seconds("tcp_transitory", Some((240, "RFC 5382 (REQ-5)")), default.tcp_opening_seconds);
    Timeouts {
        tcp_established_seconds: seconds(
            "tcp_established",
            Some((7440, "RFC 5382 (REQ-5)")),
            default.tcp_established_seconds,
        ),
        tcp_opening_seconds: seconds("tcp_opening", Some((240, "RFC 5382 (REQ-5)")), tcp_transitory_seconds),
        tcp_closing_seconds: seconds("tcp_closing", Some((240, "RFC 5382 (REQ-5)")), tcp_transitory_seconds),
        udp_seconds: seconds("udp", Some((120, "RFC 4787 (REQ-5)")), default.udp_seconds),
        icmp_seconds: seconds("icmp", Some((60, "RFC 5508 (REQ-1)")), default.icmp_seconds),
        flow_idle_seconds: seconds("flow_idle", None, default.flow_idle_seconds),
    }
}
