//! Four whole nodes in one thread: client - edge - two intermediates - gateway - origin.
//!
//! Everything of the daemon takes part but DPDK, sockets and threads: workers, hand-off, slow path, snapshots,
//! lists, reload and the account at the end.
#![allow(clippy::unwrap_used, clippy::panic)] // clippy knows tests by their attribute, and not their helpers

use std::net::{IpAddr, Ipv4Addr};

use conf::Config;
use ctl::{Family, Filter, ListRequest, Response};
use packet::ethernet::{self, TYPE_IPV4};
use packet::ip::{self, Ipv4};
use packet::transport::UDP;
use packet::{Mac, checksum};
use pipelines::PortIndex;
use proa_appliance::listing::Table;
use proa_appliance::replay::neighborhood::Neighborhood;
use proa_appliance::sandbox::Sandbox;
use proa_appliance::setup::Start;

const STEP_NS: u64 = 1_000_000;
const WAN: PortIndex = PortIndex(0);
const LAN: PortIndex = PortIndex(1);
const CLIENT: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 2);
const VIP: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);

const TOPOLOGY: &str = r#"
overlay_id = 1
disjoint = "require"
region = [{ name = "paris" }, { name = "frankfurt" }, { name = "london" }, { name = "madrid" }]
node = [
  { name = "edge", id = 1, region = "paris", roles = ["edge"], underlay = ["192.0.2.1"] },
  { name = "gateway", id = 2, region = "frankfurt", roles = ["gateway"], underlay = ["192.0.2.2"], workers = 2, nat_pool = ["10.9.0.100-10.9.0.103"] },
  { name = "mid-1", id = 11, region = "london", roles = ["intermediate"], underlay = ["192.0.2.11"] },
  { name = "mid-2", id = 12, region = "madrid", roles = ["intermediate"], underlay = ["192.0.2.12"] },
]
path_set = [{ name = "p", edge = "paris", gateway = "frankfurt", paths = [{ id = 1, via = ["london"] }, { id = 2, via = ["madrid"] }] }]

[[application]]
name = "echo"
vips = [{ address = "203.0.113.10", node = "edge" }]
services = ["udp/7", "icmp"]
gateway = "frankfurt"
origins = [{ address = "10.9.0.2" }]
copies = 2
seal = "none"
"#;

fn node_file(name: &str, wan: &str, lan: Option<&str>, cores: &str) -> String {
    let mut text = format!(
        "topology = \"overlay.toml\"\nnode = \"{name}\"\n[workers]\ncores = {cores}\ncontrol_core = 7\n\
         [limits]\nflows = 1024\nsessions = 1024\nbuffers = 2048\n[control]\nsocket = \"/tmp/{name}.sock\"\n\
         [[port]]\nname = \"wan\"\ndevice = \"net_null0\"\naddresses = [\"{wan}/24\"]\n"
    );
    if let Some(lan) = lan {
        text += &format!("[[port]]\nname = \"lan\"\ndevice = \"net_null1\"\naddresses = [\"{lan}/24\"]\n");
    }
    text
}

/// The four nodes, and the stations behind the edge and the gateway.
struct Lab {
    nodes: Vec<Sandbox>,
    macs: Vec<Vec<Mac>>,
    stations: Neighborhood,
    now_ns: u64,
    /// What reached the client and the origin.
    client: Vec<Vec<u8>>,
    origin: Vec<Vec<u8>>,
}

const EDGE: usize = 0;
const GATEWAY: usize = 1;

impl Lab {
    fn new() -> Lab {
        let files = [
            node_file("edge", "192.0.2.1", Some("198.51.100.1"), "[0]"),
            node_file("gateway", "192.0.2.2", Some("10.9.0.1"), "[0, 1]"),
            node_file("mid-1", "192.0.2.11", None, "[0]"),
            node_file("mid-2", "192.0.2.12", None, "[0]"),
        ];
        let mut nodes = Vec::new();
        let mut macs = Vec::new();
        for (number, file) in files.iter().enumerate() {
            let config = Config::load_str(file, TOPOLOGY).unwrap_or_else(|errors| panic!("{errors}")).config;
            let own: Vec<Mac> = (0..config.local.ports.len())
                .map(|port| Mac([2, 0, 0, 0, number as u8, port as u8]))
                .collect();
            let start = Start {
                seed: 7 + number as u64,
                unix_ms: 1_700_000_000_000,
                unix_offset_ns: 1_700_000_000_000_000_000,
            };
            nodes.push(Sandbox::new(0, config, &own, start).unwrap());
            macs.push(own);
        }
        let stations = Neighborhood::default();
        let mut lab = Lab { nodes, macs, stations, now_ns: 0, client: Vec::new(), origin: Vec::new() };
        lab.pass(20);
        lab
    }

    /// Lets so many milliseconds pass.
    fn pass(&mut self, steps: u64) {
        for _ in 0..steps {
            self.now_ns += STEP_NS;
            while self.deliver() {}
        }
    }

    /// Lets all nodes work once and carries their frames; says whether there were any.
    fn deliver(&mut self) -> bool {
        let mut sent = Vec::new();
        for (number, node) in self.nodes.iter_mut().enumerate() {
            assert!(node.settle(self.now_ns), "node {number} spins");
            sent.extend(node.take_sent().into_iter().map(|(port, frame)| (number, port, frame)));
        }
        for (from, port, frame) in &sent {
            let to = ethernet::destination(frame).unwrap();
            if *port == WAN {
                for (number, node) in self.nodes.iter_mut().enumerate() {
                    if number != *from && (to.is_group() || self.macs[number][0] == to) {
                        assert!(node.offer(WAN, frame));
                    }
                }
                continue;
            }
            if let Some(answer) = self.stations.answer(frame) {
                assert!(self.nodes[*from].offer(LAN, &answer));
            }
            if ethernet::parse(frame).unwrap().ether_type == TYPE_IPV4 {
                let seen = if *from == EDGE { &mut self.client } else { &mut self.origin };
                seen.push(frame.clone());
            }
        }
        !sent.is_empty()
    }

    fn client_sends(&mut self, client: Ipv4Addr, port: u16, payload: &[u8]) {
        let frame =
            udp(self.stations.mac(client.into()), self.macs[EDGE][1], (client, port), (VIP, 7), payload);
        assert!(self.nodes[EDGE].offer(LAN, &frame));
        self.pass(10);
    }

    /// The origin echoes the last datagram that it got.
    fn origin_echoes(&mut self) {
        let frame = self.origin.last().unwrap().clone();
        let packet = ip::parse(&frame[14..]).unwrap();
        let v4 = |addr: packet::Addr| Ipv4Addr::from(addr.v4_bytes());
        let payload = frame[14 + 28..14 + packet.len as usize].to_vec();
        let reply = udp(
            self.stations.mac(packet.dst),
            self.macs[GATEWAY][1],
            (v4(packet.dst), packet.dst_port),
            (v4(packet.src), packet.src_port),
            &payload,
        );
        assert!(self.nodes[GATEWAY].offer(LAN, &reply));
        self.pass(10);
    }

    fn list(&mut self, node: usize, table: Table, filter: Filter, limit: u64) -> Vec<Response> {
        self.nodes[node].core.lists.start(1, table, ListRequest { filter, limit }).unwrap();
        let mut found = Vec::new();
        loop {
            self.pass(1);
            let (entries, ended) = self.nodes[node].core.lists.ready(1).unwrap();
            found.extend(entries);
            if ended {
                return found;
            }
        }
    }

    fn stop(self) {
        for (number, node) in self.nodes.into_iter().enumerate() {
            let balance = node.stop(self.now_ns);
            assert!(balance.holds(), "node {number}: {balance}");
        }
    }
}

fn udp(from: Mac, to: Mac, src: (Ipv4Addr, u16), dst: (Ipv4Addr, u16), payload: &[u8]) -> Vec<u8> {
    let mut frame = [to.0, from.0].concat();
    frame.extend(TYPE_IPV4.to_be_bytes());
    let len = (Ipv4::LEN + 8 + payload.len()) as u16;
    let mut header = vec![0x45, 0];
    header.extend(len.to_be_bytes());
    header.extend([0, 0, 0x40, 0, 64, UDP, 0, 0]);
    header.extend(src.0.octets());
    header.extend(dst.0.octets());
    let sum = !checksum::sum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    frame.extend(header);
    for field in [src.1, dst.1, 8 + payload.len() as u16, 0] {
        frame.extend(field.to_be_bytes());
    }
    frame.extend(payload);
    frame
}

#[test]
fn a_datagram_goes_to_the_origin_and_back_once_each() {
    let mut lab = Lab::new();
    for node in &lab.nodes {
        assert_eq!(node.core.slow.unresolved().count(), 0, "next hops resolve each other");
    }
    let client = |round: u16| Ipv4Addr::from_bits(CLIENT.to_bits() + u32::from(round));
    // Many clients' streams: both workers of the gateway get some, though one receives everything.
    for round in 0..40u16 {
        let payload = format!("datagram {round}");
        lab.client_sends(client(round), 4000 + round, payload.as_bytes());
        assert_eq!(lab.origin.len(), round as usize + 1);
        assert!(lab.origin.last().unwrap().ends_with(payload.as_bytes()));
        lab.origin_echoes();
        assert_eq!(lab.client.len(), round as usize + 1, "round {round}");
        let back = lab.client.last().unwrap();
        let packet = ip::parse(&back[14..]).unwrap();
        assert_eq!(
            (packet.src, packet.dst, packet.dst_port),
            (VIP.into(), client(round).into(), 4000 + round)
        );
    }
    let paths = lab.nodes[GATEWAY].core.paths();
    assert_eq!(
        paths.iter().map(|path| (path.passed + path.discarded, path.sent)).collect::<Vec<_>>(),
        [(40, 40); 2]
    );
    assert_eq!(paths.iter().map(|path| path.passed).sum::<u64>(), 40);
    let handed: u64 = lab.nodes[GATEWAY].core.counters.iter().map(|c| c.path.roles.handoff_out.get()).sum();
    assert!(handed > 0, "the second worker takes part");
    lab.stop();
}

#[test]
fn lists_show_filtered_entries_of_all_workers() {
    let mut lab = Lab::new();
    for port in 0..30 {
        lab.client_sends(CLIENT, 5000 + port, b"x");
    }
    let flows = lab.list(EDGE, Table::Flows, Filter::default(), 100);
    assert_eq!(flows.len(), 31);
    assert!(matches!(flows.last(), Some(Response::End(end)) if end.shown == 30 && !end.more));
    let filter = Filter { port: Some(5007), protocol: Some(Family::Udp), address: Some(IpAddr::V4(CLIENT)) };
    let sessions = lab.list(GATEWAY, Table::Sessions, filter, 100);
    assert!(matches!(&sessions[..], [Response::Session(session), Response::End(_)]
        if session.client_port == 5007 && session.vip == IpAddr::V4(VIP)));
    let some = lab.list(EDGE, Table::Flows, Filter::default(), 5);
    assert!(matches!(some.last(), Some(Response::End(end)) if end.shown == 5 && end.more));
    lab.stop();
}

#[test]
fn a_reload_takes_a_new_topology_and_refuses_a_wrong_one() {
    let mut lab = Lab::new();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("edge.toml");
    let write = |topology: &str, node: String| {
        std::fs::write(directory.path().join("overlay.toml"), topology).unwrap();
        std::fs::write(&file, node).unwrap();
    };
    let node = || node_file("edge", "192.0.2.1", Some("198.51.100.1"), "[0]");
    lab.client_sends(CLIENT, 6000, b"before");

    write(&TOPOLOGY.replace("udp/7", "udp/9"), node());
    let now_ns = lab.now_ns;
    let reloaded = lab.nodes[EDGE].core.reload(now_ns, &file);
    assert_eq!(reloaded.unwrap(), [""; 0]);
    lab.client_sends(CLIENT, 6000, b"no longer a service");
    assert_eq!(lab.origin.len(), 1);

    write(TOPOLOGY, node().replace("flows = 1024", "flows = 2048"));
    assert_eq!(lab.nodes[EDGE].core.reload(now_ns, &file).unwrap(), ["[limits]"]);
    lab.client_sends(CLIENT, 6000, b"again");
    assert_eq!(lab.origin.len(), 2);

    for (topology, node) in [
        (TOPOLOGY.replace("copies = 2", "copies = 3"), node()),
        (TOPOLOGY.to_owned(), node_file("mid-1", "192.0.2.11", None, "[0]")),
        (TOPOLOGY.replace("roles = [\"edge\"]", "roles = [\"edge\", \"intermediate\"]"), node()),
    ] {
        write(&topology, node);
        assert!(lab.nodes[EDGE].core.reload(now_ns, &file).is_err());
    }
    lab.client_sends(CLIENT, 6000, b"still");
    assert_eq!((lab.origin.len(), lab.nodes[EDGE].core.reloads), (3, (2, 3)));
    lab.stop();
}
