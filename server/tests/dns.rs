//! The DNS over real sockets: who is answered with what as edges come and go, and what those get who mean no good.

#![allow(clippy::panic, clippy::unwrap_used)] // a failed unwrap here is a failed test

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use overlay::sync::report::{Load, Report};
use proa_server::authority::Authority;
use proa_server::dns::Dns;
use proa_server::hub::Hub;
use proa_server::registry::Registry;
use proa_server::store::Embedded;

const OVERLAY: &str = include_str!("two-edge-regions.toml");
const WEB: &str = "web.apps.example.com.";

struct Server {
    hub: Arc<Hub>,
    dns: Arc<Dns>,
    address: SocketAddr,
    _directory: tempfile::TempDir,
}

fn server(responses_per_second: u32) -> Server {
    let directory = tempfile::tempdir().unwrap();
    Authority::init(directory.path()).unwrap();
    let store = Embedded::open(&directory.path().join("store.redb")).unwrap();
    let registry = Registry::new(Box::new(store), directory.path()).unwrap();
    registry.apply(OVERLAY, 0, "test").unwrap();
    let hub = Arc::new(Hub::new(registry));
    // A port that UDP and TCP both have free.
    loop {
        let address = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let settings = conf::server::Dns {
            listen: vec![address],
            zone: "apps.example.com".to_owned(),
            name_servers: vec!["ns1.example.com".to_owned()],
            contact: "hostmaster.example.com".to_owned(),
            ttl_s: 20,
            hold_s: 30,
            responses_per_second,
        };
        let dns = Dns::new(hub.clone(), &settings).unwrap();
        if dns.clone().start(&settings).is_ok() {
            return Server { hub, dns, address, _directory: directory };
        }
    }
}

fn question(name: &str, kind: RecordType) -> Vec<u8> {
    let mut message = Message::new(1, MessageType::Query, OpCode::Query);
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message.to_vec().unwrap()
}

impl Server {
    fn socket(&self) -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.connect(self.address).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket
    }

    fn ask(&self, bytes: &[u8]) -> Option<Message> {
        let socket = self.socket();
        socket.send(bytes).unwrap();
        let mut reply = [0; 4096];
        let len = socket.recv(&mut reply).ok()?;
        Some(Message::from_vec(&reply[..len]).unwrap())
    }

    fn address_of(&self, name: &str) -> Option<IpAddr> {
        let reply = self.ask(&question(name, RecordType::A))?;
        reply.answers.iter().find_map(|record| match record.data {
            RData::A(a) => Some(a.0.into()),
            _ => None,
        })
    }

    fn reports(&self, node: &str, uptime_ms: u64, busy_ms: u64) {
        let load = Load { uptime_ms, busy_ms: vec![busy_ms, 0] };
        self.hub.reported(node, Report { ready: true, load, ..Report::default() });
    }

    fn eventually(&self, what: &str, is: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is() {
            assert!(begun.elapsed() < Duration::from_secs(4), "{what}: {:?}", self.dns.shown());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn an_edge_that_goes_is_answered_with_no_more_and_an_overloaded_one_neither() {
    let server = server(0);
    let peer = "127.0.0.1:1".parse().unwrap();
    let connections = ["p1", "p2", "o1"].map(|edge| {
        let (connection, _) = server.hub.connected(edge, peer, None);
        server.reports(edge, 1_000, 0);
        connection
    });
    server.eventually("all edges are answered with", || {
        server.dns.shown().hosts.iter().any(|host| host.addresses.iter().all(|one| one.in_answers))
    });
    let first = server.address_of(WEB).unwrap().to_string();
    let edges = [("203.0.113.1", 0), ("203.0.113.2", 1), ("203.0.113.3", 2)];
    let (_, at) = *edges.iter().find(|(address, _)| *address == first).unwrap();
    server.hub.disconnected(["p1", "p2", "o1"][at], connections[at], "killed");
    server.eventually("another is answered with", || {
        server.address_of(WEB).is_some_and(|address| address.to_string() != first)
    });
    let second = server.address_of(WEB).unwrap().to_string();
    let (_, next) = *edges.iter().find(|(address, _)| *address == second).unwrap();
    server.reports(["p1", "p2", "o1"][next], 2_000, 950);
    server.eventually("not with one that is 95 % busy", || {
        server
            .address_of(WEB)
            .is_some_and(|address| address.to_string() != second && address.to_string() != first)
    });
    let events = server.hub.events(0);
    let told = |why: &str| events.iter().any(|event| event.what.contains(why));
    assert!(told("clients are not sent here: it is dead") && told("it is overloaded"), "{events:?}");
    // A definition that drains the last one leaves nobody but those who are worse.
    let now = server.hub.registry.definition().unwrap().revision;
    let renamed = OVERLAY.replace("hostname = \"web.", "hostname = \"new.");
    server.hub.registry.apply(&renamed, now, "test").unwrap();
    server
        .eventually("the new name is answered for", || server.address_of("new.apps.example.com.").is_some());
    let gone = server.ask(&question(WEB, RecordType::A)).unwrap();
    assert_eq!(gone.metadata.response_code, ResponseCode::NXDomain);
}

#[test]
fn connections_carry_several_questions_and_slow_ones_end() {
    let server = server(1);
    server.eventually("the name is answered for", || !server.dns.shown().hosts.is_empty());
    let framed = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
    let mut slow = TcpStream::connect(server.address).unwrap();
    slow.write_all(&[0, 40, 1, 2]).unwrap();
    let mut lie = TcpStream::connect(server.address).unwrap();
    lie.write_all(&framed(&[0xff; 11])).unwrap();
    let mut good = TcpStream::connect(server.address).unwrap();
    good.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    // Over a connection the sender's address is no lie, and no rate holds.
    for _ in 0..50 {
        good.write_all(&framed(&question(WEB, RecordType::A))).unwrap();
        let mut len = [0; 2];
        good.read_exact(&mut len).unwrap();
        let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
        good.read_exact(&mut reply).unwrap();
        assert_eq!(Message::from_vec(&reply).unwrap().answers.len(), 1);
    }
    for (what, mut stream) in [("lies", lie), ("is slow", slow)] {
        stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        assert_eq!(stream.read(&mut [0; 16]).unwrap(), 0, "who {what} is not cut off");
    }
}

#[test]
fn a_flood_from_one_prefix_gets_its_rate_and_no_more() {
    let server = server(20);
    let socket = server.socket();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let bytes = question("nothing.apps.example.com.", RecordType::A);
    for _ in 0..500 {
        socket.send(&bytes).unwrap();
    }
    let (mut whole, mut short, mut reply) = (0, 0, [0; 4096]);
    while let Ok(len) = socket.recv(&mut reply) {
        match Message::from_vec(&reply[..len]).unwrap().metadata.truncation {
            true => short += 1,
            false => whole += 1,
        }
    }
    assert!((40..80).contains(&whole), "{whole} whole answers of two seconds of 20");
    assert!(short <= 250, "{short} truncated");
    let held = server.dns.shown().questions["held_back"];
    assert!(held >= 50, "{held} held back");
}

#[test]
fn noise_disturbs_nobody() {
    let server = server(0);
    server.eventually("the name is answered for", || server.address_of(WEB).is_some());
    let socket = server.socket();
    let good = question(WEB, RecordType::A);
    for at in 0..2_000usize {
        let mut bytes = good.clone();
        let place = at % bytes.len();
        bytes[place] = bytes[place].wrapping_add((at / 7) as u8 | 1);
        bytes.truncate(bytes.len() - at % 3 * (at % 5));
        socket.send(&bytes).unwrap();
        if at % 100 == 0 {
            assert!(server.address_of(WEB).is_some());
        }
    }
    assert!(server.address_of(WEB).is_some());
    assert!(server.dns.shown().questions["malformed"] > 100);
}
