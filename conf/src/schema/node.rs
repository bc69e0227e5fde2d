//! The node file as JSON Schema describes it.

use schemars::JsonSchema;

use super::NAME;

/// What concerns one node: its cores, ports, limits and control socket.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct NodeFile {
    /// The topology file, relative to this one; left out where there is a server.
    topology: Option<String>,
    /// The control server that the topology comes from, instead of a file.
    server: Option<Servers>,
    /// Which of the topology's nodes this is.
    #[schemars(regex(pattern = NAME))]
    node: String,
    /// DPDK's environment abstraction layer.
    eal: Option<Eal>,
    /// Which cores work, and how eagerly.
    workers: Workers,
    /// DPDK ports.
    #[schemars(length(min = 1, max = 16))]
    port: Vec<Port>,
    /// Where packets go next on this node's own word, by protocols that are hop by hop.
    #[schemars(length(max = 1024))]
    route: Option<Vec<NextHop>>,
    /// Capacities, allocated at start.
    limits: Option<Limits>,
    /// How received streams are watched.
    elimination: Option<Elimination>,
    /// What is held of packets that leave in order.
    ordering: Option<Ordering>,
    /// How much is kept of packets of which others may be rebuilt.
    parity: Option<Parity>,
    /// How long idle state is kept, in seconds.
    timeouts: Option<Timeouts>,
    /// What a gateway lets clients have, and how it gives ports out.
    nat: Option<Nat>,
    /// Where events of sessions are written; nowhere if left out.
    events: Option<Events>,
    /// What a gateway that stands in for another tells others.
    takeover: Option<Takeover>,
    /// The operator's way in.
    control: Option<Control>,
    /// Who this node is; needed where the topology has its public key.
    key: Option<Key>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Servers {
    /// Where it listens for nodes: addresses with ports.
    #[schemars(length(min = 1, max = 8))]
    addresses: Vec<String>,
    /// Where this node's certificate and its last good snapshot are kept, relative to this file.
    directory: String,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct NextHop {
    /// The routing protocol.
    #[schemars(extend("enum" = ["shortest", "cleanest"]))]
    protocol: String,
    /// The edge or gateway that packets are for.
    #[schemars(regex(pattern = NAME))]
    destination: String,
    /// The node to send them to.
    #[schemars(regex(pattern = NAME))]
    next: String,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Key {
    /// The private key, as `proa key generate` wrote it, relative to this file.
    file: String,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Eal {
    /// Packet memory in hugepages; false for labs with virtual devices.
    #[schemars(extend("default" = true))]
    hugepages: Option<bool>,
    /// Packet memory in MiB.
    #[schemars(range(min = 64, max = 1_048_576), extend("default" = 512))]
    memory_mib: Option<u32>,
    /// Keeps the DPDK programs of one machine apart; proa- and the node's name if left out.
    #[schemars(regex(pattern = NAME))]
    file_prefix: Option<String>,
    /// Arguments handed to DPDK as they are.
    #[schemars(length(max = 64))]
    extra: Option<Vec<String>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Workers {
    /// One worker on each of these cores.
    #[schemars(length(min = 1, max = 64), inner(range(min = 0, max = 1023)))]
    cores: Vec<u16>,
    /// The control thread's core.
    #[schemars(range(min = 0, max = 1023), extend("default" = 0))]
    control_core: Option<u16>,
    /// What a worker does when no packet waits: sleep longer and longer, or never.
    #[schemars(extend("enum" = ["adaptive", "busy"], "default" = "adaptive"))]
    poll: Option<String>,
    /// Packets taken from a queue at once.
    #[schemars(range(min = 1, max = 64), extend("default" = 32))]
    burst: Option<u8>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Port {
    /// Its name.
    #[schemars(regex(pattern = NAME))]
    name: String,
    /// PCI address, or a virtual device with its arguments.
    device: String,
    /// Largest IP packet in bytes; at least 1280 with an IPv6 address.
    #[schemars(range(min = 576, max = 9702), extend("default" = 1500))]
    mtu: Option<u16>,
    /// VLAN of all frames; untagged if left out.
    #[schemars(range(min = 1, max = 4094))]
    vlan: Option<u16>,
    /// This node's own addresses, with the prefix length of the link's network.
    #[schemars(length(min = 1, max = 16))]
    addresses: Vec<String>,
    /// Networks behind routers on this link.
    #[schemars(length(max = 4096))]
    routes: Option<Vec<Route>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Route {
    /// The destinations.
    to: String,
    /// The router, on this port's link.
    via: String,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Limits {
    /// Flow entries of each worker.
    #[schemars(range(min = 64, max = 16_777_216), extend("default" = 1_048_576))]
    flows: Option<u32>,
    /// Translated sessions of each worker.
    #[schemars(range(min = 64, max = 16_777_216), extend("default" = 1_048_576))]
    sessions: Option<u32>,
    /// Elimination window in packets per stream.
    #[schemars(range(min = 64, max = 1_048_576), extend("multipleOf" = 64, "default" = 65_536))]
    window: Option<u32>,
    /// Packet buffers of the node.
    #[schemars(range(min = 1024, max = 4_194_304), extend("default" = 16_384))]
    buffers: Option<u32>,
    /// Packets waiting for the control thread.
    #[schemars(range(min = 16, max = 65_536), extend("default" = 1024))]
    punt_queue: Option<u32>,
    /// Neighbours remembered.
    #[schemars(range(min = 16, max = 65_536), extend("default" = 4096))]
    neighbors: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Elimination {
    /// An unsealed stream that passes nothing for so many milliseconds begins anew.
    #[schemars(range(min = 100, max = 3_600_000), extend("default" = 2000))]
    reset_ms: Option<u32>,
    /// How long a test for paths that have fallen silent takes, in milliseconds.
    #[schemars(range(min = 100, max = 3_600_000), extend("default" = 2000))]
    latent_period_ms: Option<u32>,
    /// Copies that may be owed in it.
    #[schemars(range(min = 1, max = 1_000_000_000), extend("default" = 100))]
    latent_difference: Option<u32>,
    /// Largest step of a sealed stream's sequence that raises no alarm.
    #[schemars(range(min = 1, max = 4_294_967_295u32), extend("default" = 1_048_576))]
    jump: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Ordering {
    /// How long a packet waits at most for one that went before it, in milliseconds.
    #[schemars(range(min = 1, max = 1000), extend("default" = 50))]
    hold_ms: Option<u32>,
    /// Packets that wait at each worker; each flow may have a quarter of them.
    #[schemars(range(min = 16, max = 65_536), extend("default" = 1024))]
    packets: Option<u32>,
    /// Flows that each worker remembers.
    #[schemars(range(min = 64, max = 1_048_576), extend("default" = 16_384))]
    flows: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Parity {
    /// Memory for recent packets at each worker, MiB; claimed where packets with parity end.
    #[schemars(range(min = 1, max = 1024), extend("default" = 16))]
    memory_mib: Option<u32>,
    /// Groups that wait for more of their packets, at each worker.
    #[schemars(range(min = 16, max = 65_535), extend("default" = 1024))]
    groups: Option<u32>,
    /// How long a group waits at most, in milliseconds.
    #[schemars(range(min = 1, max = 1000), extend("default" = 100))]
    hold_ms: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Timeouts {
    /// An established TCP connection; RFC 5382 allows no less than 7440.
    #[schemars(range(min = 1, max = 604_800), extend("default" = 7440))]
    tcp_established: Option<u32>,
    /// A TCP connection that opens or closes; RFC 5382 allows no less than 240.
    #[schemars(range(min = 1, max = 604_800), extend("default" = 240))]
    tcp_transitory: Option<u32>,
    /// A TCP connection that opens, where that differs from `tcp_transitory`.
    #[schemars(range(min = 1, max = 604_800))]
    tcp_opening: Option<u32>,
    /// A TCP connection that closes or was reset, where that differs from `tcp_transitory`.
    #[schemars(range(min = 1, max = 604_800))]
    tcp_closing: Option<u32>,
    /// UDP; RFC 4787 allows no less than 120.
    #[schemars(range(min = 1, max = 604_800), extend("default" = 300))]
    udp: Option<u32>,
    /// ICMP queries; RFC 5508 allows no less than 60.
    #[schemars(range(min = 1, max = 604_800), extend("default" = 60))]
    icmp: Option<u32>,
    /// A flow entry that no packet uses.
    #[schemars(range(min = 1, max = 604_800), extend("default" = 300))]
    flow_idle: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Nat {
    /// Clients with sessions on each worker; half as many as sessions if 0 or left out.
    #[schemars(range(min = 0, max = 16_777_216), extend("default" = 0))]
    clients: Option<u32>,
    /// TCP sessions of one client; as many as there is room for if left out.
    #[schemars(range(min = 1))]
    tcp_sessions_per_client: Option<u32>,
    /// UDP sessions of one client; as many as there is room for if left out.
    #[schemars(range(min = 1))]
    udp_sessions_per_client: Option<u32>,
    /// ICMP sessions of one client; as many as there is room for if left out.
    #[schemars(range(min = 1))]
    icmp_sessions_per_client: Option<u32>,
    /// External ports of one client; as many as there are if left out.
    #[schemars(range(min = 1))]
    ports_per_client: Option<u32>,
    /// New sessions of one client per second; as many as come if 0 or left out.
    #[schemars(range(min = 0, max = 1_000_000), extend("default" = 0))]
    sessions_per_second: Option<u32>,
    /// New sessions of one client at once, before its rate counts; ten times the rate if left out.
    #[schemars(range(min = 1, max = 10_000_000))]
    burst: Option<u32>,
    /// Percent of sessions and ports kept for clients that have few of them.
    #[schemars(range(min = 0, max = 90), extend("default" = 5))]
    reserve_percent: Option<u8>,
    /// How many are few.
    #[schemars(range(min = 1, max = 65_535), extend("default" = 16))]
    few: Option<u32>,
    /// Seconds that a port rests before it is given out again.
    #[schemars(range(min = 0, max = 3600), extend("default" = 120))]
    quarantine: Option<u32>,
    /// Whether even ports become even ones and odd ports odd ones.
    #[schemars(extend("default" = true))]
    parity: Option<bool>,
    /// Whether packets from origins keep UDP sessions alive too.
    #[schemars(extend("default" = true))]
    inbound_refresh: Option<bool>,
    /// Whether a client is told by ICMP that it gets no session.
    #[schemars(extend("default" = true))]
    icmp_errors: Option<bool>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Takeover {
    /// A file or pipe to which a line is written for each prefix of a pool that is taken or given up, as ExaBGP reads them.
    #[schemars(regex(pattern = "^/.*[^/]$"))]
    notices: String,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Events {
    /// A file of JSON lines.
    #[schemars(regex(pattern = "^/.*[^/]$"))]
    json_file: Option<String>,
    /// A file of IPFIX messages.
    #[schemars(regex(pattern = "^/.*[^/]$"))]
    ipfix_file: Option<String>,
    /// A collector of IPFIX over UDP: an address with a port.
    ipfix_collector: Option<String>,
    /// Whether virtual IPs and origins are written too.
    #[schemars(extend("default" = false))]
    destinations: Option<bool>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Control {
    /// Unix socket of proactl; /run/proa/NODE.sock if left out.
    #[schemars(length(max = 107), regex(pattern = "^/.*[^/]$"))]
    socket: Option<String>,
    /// Where metrics are served: a loopback address with a port; nowhere if left out.
    metrics: Option<String>,
}
