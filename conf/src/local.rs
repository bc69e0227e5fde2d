//! What concerns one node only: its cores, ports, limits and control socket.
//!
//! Plain data, already checked; every field has its unit in its name or its comment.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnetwork::IpNetwork;
use overlay::topology::Detour;

/// One node's own settings, from the node file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Local {
    /// How DPDK's environment abstraction layer starts.
    pub eal: Eal,
    /// Which cores work, and how eagerly.
    pub workers: Workers,
    /// Ports in the order of the file, 1 to 16; names, devices and addresses are unique.
    pub ports: Vec<Port>,
    /// Next hops on the operator's word, instead of what the node finds itself.
    pub detours: Vec<Detour>,
    /// Capacities, allocated at start.
    pub limits: Limits,
    /// How received streams are watched.
    pub elimination: Elimination,
    /// What is held of packets that leave in order.
    pub ordering: Ordering,
    /// How much is kept of packets of which others may be rebuilt.
    pub parity: Parity,
    /// How long idle state is kept.
    pub timeouts: Timeouts,
    /// What a gateway lets clients have.
    pub nat: Nat,
    /// Where events of sessions are written; `None` where they are not.
    pub events: Option<Events>,
    /// The file or pipe to which a gateway writes which pools it takes and gives up; `None` for nowhere.
    pub takeover_notices: Option<PathBuf>,
    /// The operator's way in.
    pub control: Control,
    /// Where the topology comes from; `None` where from a file.
    pub server: Option<Servers>,
}

/// The control server of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Servers {
    /// Where it listens for nodes, 1 to 8; any one will do.
    pub addresses: Vec<SocketAddr>,
    /// Where the node keeps its certificate and the last good snapshot.
    pub directory: PathBuf,
}

impl Servers {
    /// The file of the last good snapshot: a topology file with a first line of its own.
    pub fn snapshot_file(&self) -> PathBuf {
        self.directory.join("topology.toml")
    }
}

/// Where a gateway's events of sessions are written; to one place at least.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// A file of JSON lines.
    pub json_file: Option<PathBuf>,
    /// A file of IPFIX messages (RFC 5655).
    pub ipfix_file: Option<PathBuf>,
    /// A collector of IPFIX over UDP (RFC 7011 section 10.3).
    pub ipfix_collector: Option<SocketAddr>,
    /// Whether virtual IPs and origins are written too (RFC 6888 REQ-12). Default false.
    pub destinations: bool,
}

/// Settings of DPDK's environment abstraction layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Eal {
    /// Whether packet memory lies in hugepages. Default true.
    pub hugepages: bool,
    /// Packet memory in MiB, 64 to 1,048,576. Default 512.
    pub memory_mib: u32,
    /// Keeps the DPDK processes of one machine apart. Default `proa-` and the node's name.
    pub file_prefix: String,
    /// Arguments handed on as they are; never one that another setting already gives.
    pub extra: Vec<String>,
}

/// The node's worker threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workers {
    /// One worker on each of these cores, 1 to 64 of them, each named once; as many as the node's `workers`.
    pub cores: Vec<u16>,
    /// The control thread's core. Default 0.
    pub control_core: u16,
    /// What a worker does when no packet waits. Default [`Poll::Adaptive`].
    pub poll: Poll,
    /// Packets taken from a queue at once, 1 to 64. Default 32.
    pub burst: u8,
}

/// What a worker does when no packet waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Poll {
    /// Sleeps, longer and longer up to a bound: an idle node costs nothing.
    Adaptive,
    /// Never sleeps: the lowest latency, and one full core for each worker.
    Busy,
}

/// A DPDK port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// The operator's name for it.
    pub name: String,
    /// PCI address, or a virtual device with its arguments.
    pub device: String,
    /// Largest IP packet in bytes, without Ethernet's header; 576 to 9702. Default 1500.
    pub mtu_bytes: u16,
    /// VLAN of all its frames, 1 to 4094.
    pub vlan: Option<u16>,
    /// Its own addresses, each with the length of the network on the link; 1 to 16.
    pub addresses: Vec<IpNetwork>,
    /// Networks behind routers on this link.
    pub routes: Vec<Route>,
}

/// A network behind a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The destinations; no bit is set beyond the prefix.
    pub to: IpNetwork,
    /// The router, on the link of its port.
    pub via: IpAddr,
}

/// Capacities, allocated at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Flow entries of each worker, 64 to 16,777,216. Default 1,048,576.
    pub flows: u32,
    /// Translated sessions of each worker, 64 to 16,777,216. Default 1,048,576.
    pub sessions: u32,
    /// Elimination window of each stream in packets: a multiple of 64, 64 to 1,048,576. Default 65,536.
    pub window_packets: u32,
    /// Packet buffers in the node's pool, 1024 to 4,194,304. Default 16,384.
    pub buffers: u32,
    /// Packets waiting for the control thread, 16 to 65,536. Default 1024.
    pub punt_queue_packets: u32,
    /// Neighbours remembered, 16 to 65,536. Default 4096.
    pub neighbors: u32,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            flows: 1_048_576,
            sessions: 1_048_576,
            window_packets: 65_536,
            buffers: 16_384,
            punt_queue_packets: 1024,
            neighbors: 4096,
        }
    }
}

/// How received streams are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Elimination {
    /// An unsealed stream that passes nothing for so long begins anew, milliseconds; 100 to 3,600,000. Default 2000.
    pub reset_ms: u32,
    /// How long a test for silent paths takes, milliseconds; 100 to 3,600,000. Default 2000.
    pub latent_period_ms: u32,
    /// Copies that may be owed in it, 1 to 1,000,000,000. Default 100.
    pub latent_difference: u32,
    /// Largest step of a sealed stream's sequence that raises no alarm, 1 to 4,294,967,295. Default 1,048,576.
    pub jump_packets: u32,
}

impl Default for Elimination {
    fn default() -> Elimination {
        Elimination { reset_ms: 2000, latent_period_ms: 2000, latent_difference: 100, jump_packets: 1 << 20 }
    }
}

/// What each worker holds of packets that leave the overlay in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ordering {
    /// How long a packet waits at most for one that went before it, milliseconds; 1 to 1000. Default 50.
    pub hold_ms: u32,
    /// Packets that wait at one time, 16 to 65,536; each flow may have a quarter of them. Default 1024.
    pub packets: u32,
    /// Flows that are remembered, 64 to 1,048,576. Default 16,384.
    pub flows: u32,
}

impl Default for Ordering {
    fn default() -> Ordering {
        Ordering { hold_ms: 50, packets: 1024, flows: 16_384 }
    }
}

/// How much a worker keeps of packets of which others may be rebuilt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parity {
    /// Memory for recent packets, MiB; 1 to 1024. Default 16.
    pub memory_mib: u32,
    /// Groups that wait for more of their packets, 16 to 65,535. Default 1024.
    pub groups: u32,
    /// How long a group waits at most, milliseconds; 1 to 1000. Default 100.
    pub hold_ms: u32,
}

impl Default for Parity {
    fn default() -> Parity {
        Parity { memory_mib: 16, groups: 1024, hold_ms: 100 }
    }
}

/// How long idle state is kept, in seconds; each 1 to 604,800 (a week).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// An established TCP connection. Default 7440, the least that RFC 5382 (REQ-5) allows.
    pub tcp_established_seconds: u32,
    /// A TCP connection that opens. Default 240, the least that RFC 5382 (REQ-5) allows.
    pub tcp_opening_seconds: u32,
    /// A TCP connection that closes, or was reset. Default 240, the least that RFC 5382 (REQ-5) allows.
    pub tcp_closing_seconds: u32,
    /// UDP. Default 300, as RFC 4787 (REQ-5) recommends; the least it allows is 120.
    pub udp_seconds: u32,
    /// ICMP queries. Default 60, the least that RFC 5508 (REQ-1) allows.
    pub icmp_seconds: u32,
    /// A flow entry. Default 300.
    pub flow_idle_seconds: u32,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            tcp_established_seconds: 7440,
            tcp_opening_seconds: 240,
            tcp_closing_seconds: 240,
            udp_seconds: 300,
            icmp_seconds: 60,
            flow_idle_seconds: 300,
        }
    }
}

/// What each worker of a gateway lets clients have, and how it gives ports out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nat {
    /// Clients with sessions at one time; 0, the default, for half as many as sessions.
    pub clients: u32,
    /// TCP, UDP and ICMP sessions of one client. Default: as many as there is room for.
    pub sessions_per_client: [u32; 3],
    /// External ports of one client (RFC 6888 REQ-4). Default: as many as there are.
    pub ports_per_client: u32,
    /// New sessions of one client per second; 0, the default, for as many as come.
    pub sessions_per_second: u32,
    /// New sessions of one client at once, before its rate counts. Default ten times the rate.
    pub burst: u32,
    /// Percent of sessions and ports kept for clients that have few of them, 0 to 90. Default 5.
    pub reserve_percent: u8,
    /// How many are few. Default 16.
    pub few: u32,
    /// How long a port rests before it is given out again, 0 to 3600. Default 120, the least that RFC 6888 (REQ-8)
    /// asks for.
    pub quarantine_seconds: u32,
    /// Whether even ports become even ones and odd ports odd ones (RFC 4787 REQ-4). Default true.
    pub parity: bool,
    /// Whether packets from origins keep UDP sessions alive too (RFC 4787 REQ-6 a). Default true.
    pub inbound_refresh: bool,
    /// Whether a client is told by ICMP that it gets no session (RFC 5508 REQ-9). Default true.
    pub icmp_errors: bool,
}

impl Default for Nat {
    fn default() -> Nat {
        Nat {
            clients: 0,
            sessions_per_client: [u32::MAX; 3],
            ports_per_client: u32::MAX,
            sessions_per_second: 0,
            burst: 0,
            reserve_percent: 5,
            few: 16,
            quarantine_seconds: 120,
            parity: true,
            inbound_refresh: true,
            icmp_errors: true,
        }
    }
}

/// The operator's way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Control {
    /// Unix socket of `proactl`: an absolute path of at most 107 bytes. Default `/run/proa/<node>.sock`.
    pub socket: PathBuf,
    /// Where metrics are served over HTTP; a loopback address. Default: nowhere.
    pub metrics: Option<SocketAddr>,
}
