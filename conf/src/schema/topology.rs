//! The topology file as JSON Schema describes it.

use schemars::JsonSchema;

use super::NAME;

/// The whole overlay, the same file on every node.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub(super) struct TopologyFile {
    /// The overlay's number. Overlays with different numbers do not hear each other.
    #[schemars(range(min = 0, max = 16_777_215), extend("default" = 1))]
    overlay_id: Option<u32>,
    /// Over how many streams a node spreads its clients; at least as many as any node has workers.
    #[schemars(range(min = 1, max = 256), extend("default" = 16))]
    streams: Option<u16>,
    /// What to do with a path set whose paths share an intermediate region or a risk, or of which planning finds too few.
    #[schemars(extend("enum" = ["require", "warn"], "default" = "require"))]
    disjoint: Option<String>,
    /// How long each key seals packets, in seconds.
    #[schemars(range(min = 60, max = 86_400), extend("default" = 3600))]
    key_rotation: Option<u32>,
    /// Places whose nodes may fail together.
    #[schemars(length(min = 1, max = 1024))]
    region: Vec<Region>,
    /// How regions are joined: what paths are planned and checked over. Without any, every hop is taken as possible.
    #[schemars(length(max = 32768))]
    link: Option<Vec<Link>>,
    /// The servers of the overlay.
    #[schemars(length(min = 1, max = 4096))]
    node: Vec<Node>,
    /// How packets travel between an edge region and a gateway region, both ways.
    #[schemars(length(min = 1, max = 4096))]
    path_set: Vec<PathSet>,
    /// What clients reach.
    #[schemars(length(min = 1, max = 4096))]
    application: Vec<Application>,
    /// Gateways that stand in for each other.
    #[schemars(length(max = 1024))]
    takeover: Option<Vec<Takeover>>,
    /// Where clients are, for the control server's DNS. Who is in no prefix goes to the edge that is best by measurement.
    #[schemars(length(max = 4096))]
    client: Option<Vec<Client>>,
    /// How nodes watch their links and paths.
    liveness: Option<Liveness>,
    /// How the ends of paths measure them.
    quality: Option<Quality>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Takeover {
    /// Two gateways of one region: each takes over the other's nat_pool when it dies.
    #[schemars(length(min = 2, max = 2), inner(regex(pattern = NAME)))]
    gateways: Vec<String>,
    /// Nodes that vote with them on who has which pool. If left out: the edges that they serve.
    #[schemars(length(min = 1, max = 32), inner(regex(pattern = NAME)))]
    witnesses: Option<Vec<String>>,
    /// How long a vote holds, milliseconds; a dead gateway is replaced a little later than this.
    #[schemars(range(min = 200, max = 60_000), extend("default" = 1000))]
    lease_ms: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Client {
    /// Networks that clients are in; of several that hold an address the longest counts.
    #[schemars(length(max = 1024))]
    prefixes: Vec<String>,
    /// The edge regions that they are to use, the best first.
    #[schemars(length(max = 16), inner(regex(pattern = NAME)))]
    regions: Vec<String>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Liveness {
    /// Whether links and paths are watched at all, and dead ones left out.
    #[schemars(extend("default" = true))]
    enabled: Option<bool>,
    /// Interval between packets in each direction, milliseconds.
    #[schemars(range(min = 10, max = 10_000), extend("default" = 100))]
    interval_ms: Option<u32>,
    /// Packets in a row that must be missing before a link or path is dead.
    #[schemars(range(min = 1, max = 50), extend("default" = 3))]
    multiplier: Option<u8>,
    /// How long what was dead must live again before it is used, milliseconds.
    #[schemars(range(min = 0, max = 3_600_000), extend("default" = 1000))]
    hold_down_ms: Option<u32>,
    /// Time in which the penalty of what flaps halves, seconds; 0 for no damping.
    #[schemars(range(min = 0, max = 3600), extend("default" = 15))]
    damping_seconds: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Quality {
    /// Whether paths are measured at all.
    #[schemars(extend("default" = true))]
    enabled: Option<bool>,
    /// Interval between probes of each path, milliseconds. If left out: that of [liveness].
    #[schemars(range(min = 10, max = 10_000))]
    interval_ms: Option<u32>,
    /// Lengths of the packets inside probes, taken in turn.
    #[schemars(length(min = 1, max = 8), inner(range(min = 92, max = 9000)), extend("default" = [128, 512, 1400]))]
    packet_bytes: Option<Vec<u16>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Region {
    /// Its name.
    #[schemars(regex(pattern = NAME))]
    name: String,
    /// What stops it together with other regions or links, by names of one's own.
    #[schemars(length(max = 16), inner(regex(pattern = NAME)))]
    shared_risk: Option<Vec<String>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Link {
    /// The two regions that it joins, in either order.
    #[schemars(length(min = 2, max = 2), inner(regex(pattern = NAME)))]
    between: Vec<String>,
    /// Latency in one direction, milliseconds; the mean where the directions differ.
    #[schemars(range(min = 0, max = 2000))]
    latency_ms: f64,
    /// The part of packets that is lost: 0.01 is one percent.
    #[schemars(range(min = 0, max = 0.999999), extend("default" = 0))]
    loss: Option<f64>,
    /// What stops it together with other links or regions, by names of one's own.
    #[schemars(length(max = 16), inner(regex(pattern = NAME)))]
    shared_risk: Option<Vec<String>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Node {
    /// Its name.
    #[schemars(regex(pattern = NAME))]
    name: String,
    /// Its number on the wire, unique in the overlay.
    #[schemars(range(min = 1, max = 65535))]
    id: u16,
    /// The region where it stands.
    #[schemars(regex(pattern = NAME))]
    region: String,
    /// What it does.
    #[schemars(length(min = 1, max = 3))]
    roles: Vec<Role>,
    /// Where other nodes send to: at most one address of each IP version.
    #[schemars(length(min = 1, max = 2))]
    underlay: Vec<String>,
    /// Its workers: as many as its own file names cores.
    #[schemars(range(min = 1, max = 64), extend("default" = 1))]
    workers: Option<u16>,
    /// Gateways only: the addresses that origins see clients come from, single ones or FIRST-LAST.
    #[schemars(length(max = 64))]
    nat_pool: Option<Vec<String>>,
    /// How its NIC spreads packets over queues, where that is known: other nodes then choose UDP ports, and a gateway its NAT
    /// ports, by which each packet reaches its worker.
    rss: Option<Rss>,
    /// What `proa key generate` printed on it; needed on the way of every application that is sealed.
    #[schemars(regex(pattern = "^ed25519:[0-9A-Fa-f]{64}$"))]
    public_key: Option<String>,
    /// Edges only: the control server's DNS sends no clients here any more.
    #[schemars(extend("default" = false))]
    draining: Option<bool>,
    /// The others take none of its packets and send it none, as if it were not there.
    #[schemars(extend("default" = false))]
    revoked: Option<bool>,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
enum Role {
    Edge,
    Intermediate,
    Gateway,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Rss {
    /// The NIC's Toeplitz hash key.
    #[schemars(regex(pattern = "^([0-9A-Fa-f]{2}){40,64}$"))]
    key: String,
    /// Its queues, one for each worker.
    #[schemars(range(min = 1, max = 64))]
    queues: u16,
    /// Entries of its redirection table, a power of two.
    #[schemars(range(min = 1, max = 4096))]
    table: u16,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct PathSet {
    /// Its name.
    #[schemars(regex(pattern = NAME))]
    name: String,
    /// The region at the clients' end.
    #[schemars(regex(pattern = NAME))]
    edge: String,
    /// The region at the origins' end.
    #[schemars(regex(pattern = NAME))]
    gateway: String,
    /// How many paths to plan over the links, instead of `paths`.
    #[schemars(range(min = 2, max = 8))]
    plan: Option<u8>,
    /// Paths in order of preference: an application with N copies uses the first N. Either these or `plan`.
    #[schemars(length(min = 1, max = 16))]
    paths: Option<Vec<Path>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Path {
    /// Its number on the wire, unique in the overlay.
    #[schemars(range(min = 1, max = 65535))]
    id: u16,
    /// The regions between the two ends, edge first.
    #[schemars(length(min = 1, max = 8), inner(regex(pattern = NAME)))]
    via: Vec<String>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Application {
    /// Its name.
    #[schemars(regex(pattern = NAME))]
    name: String,
    /// What clients ask the control server's DNS for, without the last dot.
    #[schemars(length(max = 253))]
    hostname: Option<String>,
    /// The addresses that clients send to, each held by one edge.
    #[schemars(length(min = 1, max = 64))]
    vips: Vec<Vip>,
    /// What is served there: tcp/PORT, udp/LOW-HIGH, icmp.
    #[schemars(
        length(min = 1, max = 64),
        inner(regex(
            pattern = "^(icmp|gre|protocol/[0-9]{1,3}|(tcp|udp|udplite|sctp)/[0-9]{1,5}(-[0-9]{1,5})?)$"
        ))
    )]
    services: Vec<String>,
    /// The region whose gateways translate and hand over to the origins.
    #[schemars(regex(pattern = NAME))]
    gateway: String,
    /// The servers; each serves the virtual IPs of its own IP version.
    #[schemars(length(min = 1, max = 256))]
    origins: Vec<Origin>,
    /// How many copies of each packet leave, each over a path of its own. May be left out where nothing is replicated.
    #[schemars(range(min = 1, max = 8))]
    copies: Option<u8>,
    /// The IP version between nodes. If left out: IPv4 where edge and gateways have it.
    #[schemars(extend("enum" = ["ipv4", "ipv6"]))]
    underlay: Option<String>,
    /// How packets are protected between edge and gateway; "none" leaves them open to who is on the path.
    #[schemars(extend("enum" = ["aes-256-gcm", "none"], "default" = "aes-256-gcm"))]
    seal: Option<String>,
    /// The routing protocol of both directions, or of each. If left out: "replicate".
    routing: Option<Routing>,
    /// How routing "auto" weighs the overlay against the direct way.
    auto: Option<Auto>,
    /// How routing "adaptive" chooses what is sent beside each packet.
    adaptive: Option<Adaptive>,
    /// The hops of "source-route": intermediate nodes from edge to gateway; back the other way round.
    #[schemars(length(min = 1, max = 8), inner(regex(pattern = NAME)))]
    source_route: Option<Vec<String>>,
    /// Whether packets leave the overlay in the order in which they came in. Those of "spread" always do.
    #[schemars(extend("default" = false))]
    ordered: Option<bool>,
    /// Shares of the path set's paths in packets that are spread, in the order of the paths; 1 where left out.
    #[schemars(length(min = 1), inner(range(min = 1, max = 100)))]
    weights: Option<Vec<u8>>,
    /// How packets of "parity" are coded.
    parity: Option<Parity>,
    /// Which packets carry records of their hops, for `proactl path trace`.
    trace: Option<Trace>,
    /// How the gateway translates for it.
    nat: Option<Translation>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
enum Routing {
    Both(RoutingProtocol),
    Each(Directions),
}

/// The routing protocol of each direction.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Directions {
    /// From clients to origins.
    to_origin: Option<RoutingProtocol>,
    /// From origins to clients.
    to_client: Option<RoutingProtocol>,
}

/// How packets find their ways.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
enum RoutingProtocol {
    Shortest,
    Replicate,
    Cleanest,
    Spread,
    Parity,
    Adaptive,
    SourceRoute,
    Direct,
    Auto,
}

/// How packets are coded: any that are lost of a group are rebuilt, as many as it has parity packets.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Parity {
    /// Packets of a group.
    #[schemars(range(min = 1, max = 32), extend("default" = 8))]
    data_packets: Option<u8>,
    /// Parity packets of a group, which go over other paths; no more than data packets.
    #[schemars(range(min = 1, max = 4), extend("default" = 1))]
    parity_packets: Option<u8>,
    /// A group ends when its first packet is so old, milliseconds.
    #[schemars(range(min = 0.1, max = 100), extend("default" = 5))]
    wait_ms: Option<f64>,
}

/// How redundancy is chosen by what paths lose.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Adaptive {
    /// The loss that may be left, percent.
    #[schemars(range(min = 0.001, max = 50), extend("default" = 0.5))]
    target_percent: Option<f64>,
    /// For how long less must have been enough before less is sent, seconds.
    #[schemars(range(min = 1, max = 3600), extend("default" = 10))]
    recovery_seconds: Option<u32>,
    /// Bytes of redundancy for 100 bytes of data at most, in the long run.
    #[schemars(range(min = 0, max = 200), extend("default" = 100))]
    extra_percent: Option<u16>,
}

/// How the overlay is weighed against the direct way.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Auto {
    /// The routing protocol over the overlay.
    #[schemars(extend("enum" = ["shortest", "replicate", "cleanest", "spread", "parity", "adaptive", "source-route"], "default" = "replicate"))]
    overlay: Option<String>,
    /// What the overlay must be worth, milliseconds of latency; 1 % of loss counts as 10.
    #[schemars(range(min = 0, max = 10_000), extend("default" = 5))]
    price_ms: Option<f64>,
    /// By how much the other way must be better, percent of what it costs.
    #[schemars(range(min = 0, max = 100), extend("default" = 10))]
    margin_percent: Option<u8>,
    /// How long a choice stays at least, unless its way dies.
    #[schemars(range(min = 0, max = 86400), extend("default" = 10))]
    dwell_seconds: Option<u32>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Trace {
    /// One in so many packets; 0 for none.
    #[schemars(range(min = 0, max = 1_000_000_000), extend("default" = 1000))]
    one_in: Option<u32>,
    /// Links of a path that are recorded at most.
    #[schemars(range(min = 1, max = 8), extend("default" = 8))]
    hops_max: Option<u8>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Translation {
    /// Who may send to clients' external TCP ports.
    #[schemars(extend("enum" = ["endpoint-independent", "address-dependent", "address-and-port-dependent"], "default" = "endpoint-independent"))]
    filter_tcp: Option<String>,
    /// Who may send to clients' external UDP ports.
    #[schemars(extend("enum" = ["endpoint-independent", "address-dependent", "address-and-port-dependent"], "default" = "endpoint-independent"))]
    filter_udp: Option<String>,
    /// Origins that see clients' own addresses and ports.
    #[schemars(length(max = 64))]
    untranslated: Option<Vec<String>>,
    /// IPv6 clients whose addresses are translated by prefix (RFC 6296), without sessions.
    #[schemars(length(max = 64))]
    prefixes: Option<Vec<PrefixRule>>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct PrefixRule {
    /// The clients' prefix, 32 to 64 bits.
    inside: String,
    /// What origins see instead: of the same length, routed to the gateways of the application's region.
    outside: String,
    /// The virtual IP that these clients send to; may be left out where there is one of IPv6 only.
    vip: Option<String>,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Vip {
    /// The address, unique in the overlay.
    address: String,
    /// The edge node that holds it.
    #[schemars(regex(pattern = NAME))]
    node: String,
}

#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
struct Origin {
    /// Its address.
    address: String,
    /// Its port, where it differs from the service's.
    #[schemars(range(min = 1, max = 65535))]
    port: Option<u16>,
}
