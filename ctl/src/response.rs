//! What the daemon answers.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::Family;
use crate::choices::Paths;
use crate::gateways::Gateways;
use crate::keys::Keys;
use crate::links::Links;
use crate::liveness::{Incoming, Neighbor, PathEnd};
use crate::prefixes::Prefixes;
use crate::traces::Traces;

/// One line of the daemon's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Response {
    /// Answers [`Request::Status`].
    Status(Box<Status>),
    /// Answers [`Request::Paths`].
    Paths(Box<Paths>),
    /// Answers [`Request::Drops`]: every reason, in the order of their numbers.
    Drops(Vec<Drop>),
    /// Answers [`Request::Links`].
    Links(Box<Links>),
    /// Answers [`Request::Keys`] and [`Request::RotateKey`].
    Keys(Box<Keys>),
    /// Answers [`Request::Gateways`], [`Request::DrainGateway`] and [`Request::ResumeGateway`].
    Gateways(Box<Gateways>),
    /// Answers [`Request::Prefixes`].
    Prefixes(Box<Prefixes>),
    /// Answers [`Request::Traces`].
    Traces(Box<Traces>),
    /// One entry of [`Request::Flows`].
    Flow(Flow),
    /// One entry of [`Request::Sessions`].
    Session(Session),
    /// One entry of [`Request::Pool`].
    PoolUse(PoolUse),
    /// One entry of [`Request::Clients`].
    Client(Client),
    /// One entry of [`Request::Streams`].
    Stream(Stream),
    /// The end of a list.
    End(End),
    /// The request can not be answered, and why.
    Error(String),
}

/// How the node is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Whether the node forwards: its workers run, its ports are started, its control thread answers.
    pub ready: bool,
    /// Version of the daemon.
    pub version: String,
    /// Version of DPDK.
    pub dpdk: String,
    /// The node's name.
    pub node: String,
    /// The node's number on the wire.
    pub id: u16,
    /// Its region.
    pub region: String,
    /// `edge`, `intermediate`, `gateway`.
    pub roles: Vec<String>,
    /// Seconds since it started.
    pub uptime_seconds: u64,
    /// Times that the configuration was taken over since the start.
    pub reloads: u64,
    /// Times that a new configuration was refused.
    pub reloads_refused: u64,
    /// Ports in the order of the configuration.
    pub ports: Vec<Port>,
    /// Workers in the order of the configuration.
    pub workers: Vec<Worker>,
    /// Packet buffers in use.
    pub buffers_used: u64,
    /// Packet buffers in all.
    pub buffers_capacity: u64,
    /// Flow entries in use, all workers together.
    pub flows_used: u64,
    /// Flow entries in all.
    pub flows_capacity: u64,
    /// Translated sessions, all workers together.
    pub sessions_used: u64,
    /// Room for translated sessions.
    pub sessions_capacity: u64,
    /// Neighbours.
    pub neighbors: NeighborStatus,
    /// Links to neighbouring nodes, where liveness is on.
    #[serde(default)]
    pub links: Vec<Neighbor>,
}

/// What is known of stations on the node's links.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeighborStatus {
    /// Neighbours whose Ethernet address is known.
    pub known: u64,
    /// Next hops named by the configuration that do not answer: port and address.
    pub unresolved: Vec<(String, IpAddr)>,
    /// Times that another station claimed one of the node's addresses.
    pub conflicts: u64,
}

/// A port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its name in the configuration.
    pub name: String,
    /// Its device.
    pub device: String,
    /// Its Ethernet address.
    pub mac: String,
    /// Its link.
    pub link: Link,
    /// Frames received.
    pub rx_packets: u64,
    /// Bytes received.
    pub rx_bytes: u64,
    /// Frames that the device lost because nobody took them in time, or no buffer was free.
    pub rx_missed: u64,
    /// Frames sent.
    pub tx_packets: u64,
    /// Bytes sent.
    pub tx_bytes: u64,
}

/// The state of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Link {
    /// Whether it carries traffic.
    pub up: bool,
    /// Megabits per second, where known.
    pub speed_mbps: Option<u32>,
}

/// A worker.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Worker {
    /// The core it runs on.
    pub core: u16,
    /// Share of the time since the status was asked last in which it had packets to handle: 0 to 1.
    pub busy: f64,
    /// Packets handled, from ports and from other workers.
    pub packets: u64,
    /// Flow entries in use.
    pub flows: u64,
    /// Translated sessions.
    pub sessions: u64,
    /// Streams received so far.
    pub streams: u64,
    /// Packets given to other workers, whose streams or sessions they belong to.
    pub handed_off: u64,
    /// Of the streams, those of which a path has silently stopped to contribute.
    #[serde(default)]
    pub latent_streams: u64,
}

/// What a path has done, as this node saw it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Path {
    /// The path's number.
    pub path: u16,
    /// Its path set; empty for a path that the configuration no longer has.
    pub set: String,
    /// Its regions from edge to gateway.
    pub regions: Vec<String>,
    /// Whether packets are sent over it; a path of a plan that is to come, or is gone, is only taken from others.
    #[serde(default)]
    pub in_force: bool,
    /// Copies that this node sent as the first.
    pub sent: u64,
    /// Copies that this node forwarded between others.
    pub forwarded: u64,
    /// Copies that ended here: passed, discarded and rogue together.
    pub received: u64,
    /// First copies, which went on: how often the path won.
    pub passed: u64,
    /// Later copies, which were eliminated.
    pub discarded: u64,
    /// Copies older than the window.
    pub rogue: u64,
    /// Of those passed, the ones that came after a younger packet.
    pub out_of_order: u64,
    /// Streams received here in which it has stopped to contribute while others go on.
    #[serde(default)]
    pub silent_streams: u64,
    /// Nodes at its other end, where it ends here and is watched.
    #[serde(default)]
    pub ends: Vec<PathEnd>,
    /// Data that came over it, where it ends here, from each node at its other end.
    #[serde(default)]
    pub incoming: Vec<Incoming>,
}

/// Packets dropped for one reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drop {
    /// The reason's name.
    pub reason: String,
    /// How many packets.
    pub packets: u64,
    /// What it means, in a sentence.
    pub description: String,
}

/// A client's flow at an edge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    /// The worker that has it.
    pub worker: u16,
    /// Protocol.
    pub protocol: Family,
    /// The client.
    pub client: IpAddr,
    /// Its port, or the identifier of an echo.
    pub client_port: u16,
    /// The virtual IP.
    pub vip: IpAddr,
    /// Its port; 0 for an echo.
    pub vip_port: u16,
    /// The application's name, as far as it is still configured.
    pub application: String,
    /// The gateway node's name.
    pub gateway: String,
    /// The routing protocol of its packets towards the gateway; empty while its way is compiled anew.
    #[serde(default)]
    pub routing: String,
    /// The stream that carries it.
    pub stream: u16,
    /// Packets from the client so far.
    pub packets: u64,
    /// Seconds since its last packet.
    pub idle_seconds: u32,
}

/// A translated session at a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The worker that has it.
    pub worker: u16,
    /// Protocol.
    pub protocol: Family,
    /// The client.
    pub client: IpAddr,
    /// Its port, or the identifier of an echo.
    pub client_port: u16,
    /// The virtual IP.
    pub vip: IpAddr,
    /// Its port; 0 for an echo.
    pub vip_port: u16,
    /// The address that the origin sees.
    pub external: IpAddr,
    /// The port, or the identifier of an echo, that the origin sees.
    pub external_port: u16,
    /// The origin.
    pub origin: IpAddr,
    /// Its port; 0 for an echo.
    pub origin_port: u16,
    /// State of the connection.
    pub state: String,
    /// Seconds until it ends unless a packet comes.
    pub seconds_left: u32,
}

/// How an address of a gateway's pool is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolUse {
    /// The address.
    pub address: IpAddr,
    /// Protocol.
    pub protocol: Family,
    /// Ports in use, or identifiers of echoes, of all workers together.
    pub used: u64,
    /// Ports in all.
    pub total: u64,
}

/// What a client has at a gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The client.
    pub client: IpAddr,
    /// Its sessions of TCP.
    pub tcp: u32,
    /// Of UDP.
    pub udp: u32,
    /// Of all other protocols.
    pub other: u32,
    /// External ports that it has.
    pub ports: u32,
}

/// A stream that a node receives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stream {
    /// The worker that has it.
    pub worker: u16,
    /// The sending node's name.
    pub source: String,
    /// The worker that sends it.
    pub sending_worker: u8,
    /// Its share of that worker's clients.
    pub bucket: u8,
    /// Whether its packets are sealed.
    pub sealed: bool,
    /// Its window, packets.
    pub window: u32,
    /// The highest sequence number that passed since it last began anew.
    pub highest: Option<u64>,
    /// First copies, which went on.
    pub passed: u64,
    /// Further copies, which were eliminated.
    pub discarded: u64,
    /// Of those passed, the ones that came after a younger packet.
    pub out_of_order: u64,
    /// Copies older than the window.
    pub rogue: u64,
    /// Packets of which no copy came in time.
    pub lost: u64,
    /// Times that it began anew.
    pub resets: u64,
    /// Whether a path owes its copies while others bring theirs: one of `paths`, or one that never brought any.
    pub latent: bool,
    /// What each path contributed.
    pub paths: Vec<StreamPath>,
}

/// What a path contributed to a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamPath {
    /// The path's number.
    pub path: u16,
    /// First copies.
    pub passed: u64,
    /// Further copies.
    pub discarded: u64,
    /// Of those passed, the ones that came after a younger packet.
    pub out_of_order: u64,
    /// Copies older than the window.
    pub rogue: u64,
    /// Whether it has stopped to contribute.
    pub silent: bool,
}

/// The end of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    /// Entries sent.
    pub shown: u64,
    /// Whether there are more that match.
    pub more: bool,
}
