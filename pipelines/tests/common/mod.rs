//! A small overlay of real forwarders on heap buffers: a frame goes in at one node, and comes out at another.
#![allow(dead_code, clippy::unwrap_used)] // each test binary uses its part, and a failed unwrap fails its test

use ipnetwork::IpNetwork;
use overlay::topology::*;
use packet::heap::{HeapBuf, HeapPool};
use packet::{Addr, Mac, PacketBuf, Reason, checksum};
use pipelines::tables::{Input, Interface};
use pipelines::trace::Seen;
use pipelines::{Burst, Cause, Forwarder, Output, PortIndex, Setup, Tables, WorkerCounters};
pub use proa_pipelines as pipelines;
use std::net::IpAddr;
use std::sync::Arc;

pub const EDGE: usize = 0;
pub const MID_1: usize = 1;
pub const MID_2: usize = 2;
pub const GATEWAY: usize = 3;
/// Port 0 of each node is its underlay, port 1 faces clients or origins.
pub const UNDERLAY: PortIndex = PortIndex(0);
pub const OUTSIDE: PortIndex = PortIndex(1);
pub const SECOND: u64 = 1_000_000_000;
/// How long a node has a packet.
pub const TRANSIT_NS: u64 = 700;

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn addr(text: &str) -> Addr {
    ip(text).into()
}

/// The Ethernet address of a node's port, or of a host (node 9).
pub fn mac(node: usize, port: PortIndex) -> Mac {
    Mac([2, 0, 0, 0, node as u8, port.0])
}

pub fn topology() -> Topology {
    let region = |name: &str| Region { name: name.into() };
    let node = |name: &str, number: u16, edge: bool, intermediate: bool, gateway: bool| Node {
        name: name.into(),
        id: NodeId(number),
        region: RegionIndex(number - 1),
        roles: Roles { edge, intermediate, gateway },
        underlay: vec![ip(&format!("192.0.2.{number}")), ip(&format!("2001:db8:1::{number}"))],
        workers: 1,
        nat_pool: if gateway {
            vec![ip("10.9.0.100")..=ip("10.9.0.101"), ip("2001:db8:9::100")..=ip("2001:db8:9::101")]
        } else {
            Vec::new()
        },
        rss: None,
    };
    Topology {
        overlay_id: 7,
        streams: 16,
        regions: ["paris", "london", "madrid", "frankfurt"].map(region).into(),
        nodes: vec![
            node("edge", 1, true, false, false),
            node("mid-1", 2, false, true, false),
            node("mid-2", 3, false, true, false),
            node("gateway", 4, false, false, true),
        ],
        path_sets: vec![PathSet {
            name: "paris-frankfurt".into(),
            edge: RegionIndex(0),
            gateway: RegionIndex(3),
            paths: vec![
                Path { id: PathId(11), via: vec![RegionIndex(1)] },
                Path { id: PathId(12), via: vec![RegionIndex(2)] },
            ],
        }],
        applications: vec![Application {
            name: "web".into(),
            vips: ["203.0.113.10", "2001:db8:a::10"]
                .map(|vip| Vip { address: ip(vip), node: NodeId(1) })
                .into(),
            services: vec![Service::Tcp(80..=81), Service::Udp(53..=53), Service::Icmp],
            gateway: RegionIndex(3),
            origins: ["10.9.0.2", "10.9.0.3", "2001:db8:9::2"]
                .map(|origin| Origin { address: ip(origin), port: Some(8080) })
                .into(),
            copies: 2,
            underlay: IpVersion::V4,
            seal: overlay::topology::Seal::None,
            trace: overlay::topology::Sampling::default(),
            routing: Default::default(),
            translation: overlay::topology::Translation::default(),
        }],
        ..Topology::default()
    }
}

pub fn interfaces(node: usize) -> Vec<Interface> {
    let number = node + 1;
    let interface = |port, addresses: [String; 2]| Interface {
        mac: mac(node, port),
        vlan: 0,
        mtu: 1500,
        addresses: addresses.map(|text| text.parse::<IpNetwork>().unwrap()).into(),
        routes: Vec::new(),
    };
    let outside = if node == EDGE {
        ["198.51.100.1/24", "2001:db8:c::1/64"]
    } else {
        ["10.9.0.1/24", "2001:db8:9::1/64"]
    };
    vec![
        interface(UNDERLAY, [format!("192.0.2.{number}/24"), format!("2001:db8:1::{number}/64")]),
        interface(OUTSIDE, outside.map(String::from)),
    ]
}

pub fn neighbors() -> Vec<(PortIndex, Addr, Mac)> {
    let nodes = (0..4).flat_map(|node| {
        [format!("192.0.2.{}", node + 1), format!("2001:db8:1::{}", node + 1)]
            .map(|text| (UNDERLAY, addr(&text), mac(node, UNDERLAY)))
    });
    let hosts = ["198.51.100.77", "2001:db8:c::77", "10.9.0.2", "10.9.0.3", "2001:db8:9::2"];
    nodes.chain(hosts.map(|host| (OUTSIDE, addr(host), mac(9, OUTSIDE)))).collect()
}

pub fn tables(topology: &Topology, node: usize, previous: Option<&Tables>) -> Tables {
    tables_with(topology, node, previous, &[])
}

pub fn tables_with(
    topology: &Topology,
    node: usize,
    previous: Option<&Tables>,
    detours: &[Detour],
) -> Tables {
    compile(topology, node, previous, detours, &pipelines::tables::Dead::default())
}

pub fn tables_without(topology: &Topology, node: usize, dead: &pipelines::tables::Dead) -> Tables {
    compile(topology, node, None, &[], dead)
}

fn compile(
    topology: &Topology,
    node: usize,
    previous: Option<&Tables>,
    detours: &[Detour],
    dead: &pipelines::tables::Dead,
) -> Tables {
    let input = Input {
        topology,
        node: NodeId(node as u16 + 1),
        interfaces: &interfaces(node),
        neighbors: &neighbors(),
        seed: 3,
        previous,
        dead,
        mtus: &pipelines::tables::Mtus::default(),
        hops: &pipelines::tables::Hops { detours: detours.to_vec(), ..Default::default() },
        blocks: &[],
        neighbors_only: false,
    };
    Tables::compile(&input).unwrap()
}

pub struct Node_ {
    pub forwarder: Forwarder<HeapPool>,
    pub counters: Arc<WorkerCounters>,
    pub out: Output<HeapBuf>,
    /// Traces that ended here.
    pub seen: Vec<Seen>,
}

impl Node_ {
    /// One worker of a node.
    pub fn new(topology: &Topology, node: usize, worker: u16, workers: u16) -> Node_ {
        Node_::of(topology, node, worker, workers, |_| ())
    }

    /// The same, set up otherwise.
    pub fn of(
        topology: &Topology,
        node: usize,
        worker: u16,
        workers: u16,
        change: impl Fn(&mut Setup),
    ) -> Node_ {
        let counters = Arc::new(WorkerCounters::default());
        let tables = Arc::new(tables(topology, node, None));
        let this = &topology.nodes[node];
        let pool = this.nat_pool.iter().flat_map(pipelines::tables::pool_addresses).collect();
        let nat = nat::Config {
            sessions_max: 1000,
            pool,
            worker,
            workers,
            rss: None,
            rules: nat::Rules::default(),
            timeouts: nat::Timeouts::default(),
            seed: 5 + worker as u64,
        };
        let mut setup = Setup {
            worker,
            workers,
            flows: 1000,
            nat,
            peer: None,
            bindings: false,
            streams: 64,
            window: 1024,
            watching: overlay::elimination::Watching::default(),
            ordering: overlay::ordering::Bounds::default(),
            parity: overlay::parity::Bounds::default(),
            flow_idle_s: 300,
            refuses_aloud: true,
            answers_per_second: 100,
            seed: 9,
            first_sequence: 1 << 40,
            unix_offset_ns: 1_700_000_000 * SECOND,
        };
        change(&mut setup);
        let forwarder = Forwarder::new(&setup, tables, counters.clone()).unwrap();
        Node_ { forwarder, counters, out: Output::default(), seen: Vec::new() }
    }
}

pub struct Lab {
    pub nodes: Vec<Node_>,
    pub pool: HeapPool,
    pub now_ns: u64,
}

/// A frame with where it was sent from.
pub type Sent = (usize, PortIndex, Vec<u8>);

impl Lab {
    pub fn new() -> Lab {
        Lab::with(&topology(), 1)
    }

    pub fn with(topology: &Topology, workers: u16) -> Lab {
        Lab::of(topology, workers, |_| ())
    }

    /// A lab whose nodes are set up otherwise.
    pub fn of(topology: &Topology, workers: u16, change: impl Fn(&mut Setup)) -> Lab {
        let nodes = (0..4).map(|node| Node_::of(topology, node, 0, workers, &change));
        Lab { nodes: nodes.collect(), pool: HeapPool::new(512), now_ns: 1000 * SECOND }
    }

    /// Lets time do its work on all nodes.
    pub fn sweep(&mut self) {
        for node in &mut self.nodes {
            node.forwarder.sweep(self.now_ns);
        }
    }

    /// Gives a node one frame; returns what it transmits.
    pub fn give(&mut self, node: usize, port: PortIndex, frame: &[u8]) -> Vec<Sent> {
        let mut burst = Burst::new();
        burst.push(self.pool.with(frame).unwrap());
        let Node_ { forwarder, out, seen, .. } = &mut self.nodes[node];
        forwarder.process(self.now_ns, port, &mut burst, &mut self.pool, out);
        out.stamp(self.now_ns + TRANSIT_NS);
        seen.append(&mut out.seen.drain(..).collect());
        assert!(burst.is_empty());
        let mut sent = Vec::new();
        for (number, queue) in out.tx.iter_mut().enumerate() {
            sent.extend(queue.drain(..).map(|buf| (node, PortIndex(number as u8), buf.data().to_vec())));
        }
        out.ports = 0;
        sent
    }

    /// Passes frames on through the underlay until they leave it; returns what left.
    pub fn run(&mut self, frames: Vec<Sent>) -> Vec<Sent> {
        let mut left = Vec::new();
        let mut queue = std::collections::VecDeque::from(frames);
        while let Some((node, port, frame)) = queue.pop_front() {
            let to = frame[4] as usize;
            if port == UNDERLAY && to < 4 {
                queue.extend(self.give(to, UNDERLAY, &frame));
            } else {
                left.push((node, port, frame));
            }
        }
        left
    }

    pub fn dropped(&self, node: usize, reason: Reason) -> u64 {
        self.nodes[node].counters.drops[reason.index()].get()
    }

    /// Packets punted and not yet taken, with their causes.
    pub fn punts(&mut self, node: usize) -> Vec<Cause> {
        self.nodes[node].out.punts.drain(..).map(|punt| punt.cause).collect()
    }
}

/// A UDP, TCP or echo packet in an Ethernet frame from a host to a node's outside port, all checksums right.
pub fn frame(
    node: usize,
    src: &str,
    sport: u16,
    dst: &str,
    dport: u16,
    protocol: u8,
    payload: &[u8],
) -> Vec<u8> {
    let (src, dst) = (addr(src), addr(dst));
    let mut transport = Vec::new();
    match protocol {
        6 => {
            transport.extend(sport.to_be_bytes());
            transport.extend(dport.to_be_bytes());
            transport.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 1, 0, 0, 0, 0, 0]);
        }
        17 => {
            transport.extend(sport.to_be_bytes());
            transport.extend(dport.to_be_bytes());
            transport.extend((8 + payload.len() as u16).to_be_bytes());
            transport.extend([0, 0]);
        }
        _ => {
            // `dport` is the ICMP type here, `sport` the identifier.
            transport.extend([dport as u8, 0, 0, 0]);
            transport.extend(sport.to_be_bytes());
            transport.extend([0, 1]);
        }
    }
    transport.extend(payload);
    let pseudo =
        if protocol == 1 { 0 } else { checksum::pseudo_header(src, dst, protocol, transport.len() as u32) };
    let at = match protocol {
        6 => 16,
        17 => 6,
        _ => 2,
    };
    let sum = !checksum::sum_onto(pseudo, &transport);
    transport[at..at + 2].copy_from_slice(&sum.to_be_bytes());
    let mut frame = Vec::new();
    frame.extend(mac(node, OUTSIDE).0);
    frame.extend(mac(9, OUTSIDE).0);
    if src.is_v4() {
        frame.extend([8, 0]);
        let mut head = vec![0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0];
        head[2..4].copy_from_slice(&(20 + transport.len() as u16).to_be_bytes());
        head.extend(src.v4_bytes());
        head.extend(dst.v4_bytes());
        let sum = !checksum::sum(&head);
        head[10..12].copy_from_slice(&sum.to_be_bytes());
        frame.extend(head);
    } else {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend((transport.len() as u16).to_be_bytes());
        frame.extend([protocol, 64]);
        frame.extend(src.v6_bytes());
        frame.extend(dst.v6_bytes());
    }
    frame.extend(transport);
    frame
}

/// Reads a frame's IP packet and checks every checksum in it.
pub fn read(frame: &[u8]) -> packet::ip::Packet {
    let packet = packet::ip::parse(&frame[14..]).unwrap();
    let transport = &frame[14 + packet.transport_at as usize..14 + packet.len as usize];
    let pseudo = match packet.protocol {
        1 => 0,
        protocol => checksum::pseudo_header(packet.src, packet.dst, protocol, transport.len() as u32),
    };
    assert_eq!(checksum::sum_onto(pseudo, transport), 0xffff, "checksum of {packet:?}");
    packet
}

/// Lets a node do what is due; returns what it transmits.
pub fn catch_up(lab: &mut Lab, node: usize) -> Vec<Sent> {
    let Lab { nodes, pool, now_ns } = lab;
    let at = &mut nodes[node];
    if !at.forwarder.is_due(*now_ns) {
        return Vec::new();
    }
    at.forwarder.catch_up(*now_ns, pool, &mut at.out);
    let mut sent = Vec::new();
    for (number, queue) in at.out.tx.iter_mut().enumerate() {
        let frames = queue.drain(..).map(|buf| buf.data().to_vec());
        sent.extend(frames.map(|frame| (node, PortIndex(number as u8), frame)));
    }
    at.out.ports = 0;
    sent
}
