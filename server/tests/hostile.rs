//! Who comes to the server over TLS and means no good, or is wrong: refused with a reason, and nobody else is disturbed.

#![allow(clippy::panic, clippy::unwrap_used)] // a failed unwrap here is a failed test

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use overlay::sync::frame::{Frames, frame};
use overlay::sync::{Code, Join, TO_NODE_BYTES_MAX, ToNode, ToServer, Token, VERSION};
use proa_server::authority::{Authority, SERVER_NAME};
use proa_server::hub::Hub;
use proa_server::nodes::Door;
use proa_server::registry::Registry;
use proa_server::store::Embedded;
use proa_server::tls;
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

const OVERLAY: &str = include_str!("../../conf/examples/overlay.toml");
/// A node of that overlay, and another.
const NODES: [&str; 2] = ["edge-1", "gateway-1"];

struct Server {
    hub: Arc<Hub>,
    address: SocketAddr,
    directory: tempfile::TempDir,
    runtime: Option<tokio::runtime::Runtime>,
}

/// A server with an overlay, on a port of its own.
fn server() -> Server {
    let directory = tempfile::tempdir().unwrap();
    Authority::init(directory.path()).unwrap();
    let store = Embedded::open(&directory.path().join("store.redb")).unwrap();
    let registry = Registry::new(Box::new(store), directory.path()).unwrap();
    registry.apply(OVERLAY, 0, "test").unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let settings = tls::settings(registry.authority()).unwrap();
    let hub = Arc::new(Hub::new(registry));
    let door = Door::new(hub.clone(), settings);
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(door.open(listener));
    Server { hub, address, directory, runtime: Some(runtime) }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

type Certified = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Server {
    fn token(&self, node: &str) -> Token {
        self.hub.registry.add_node(node, "test").unwrap()
    }

    fn settings(&self, certified: Option<&Certified>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(self.hub.registry.authority().certificate().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let settings = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        Arc::new(match certified {
            Some((certificate, key)) => {
                settings.with_client_auth_cert(vec![certificate.clone()], key.clone_key()).unwrap()
            }
            None => settings.with_no_client_auth(),
        })
    }

    fn connect(&self, certified: Option<&Certified>) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        let tls = ClientConnection::new(self.settings(certified), SERVER_NAME.try_into().unwrap()).unwrap();
        Client { stream: StreamOwned::new(tls, stream), frames: Frames::new(TO_NODE_BYTES_MAX) }
    }

    /// A node that joins, and its certificate.
    fn join(&self, node: &str) -> Certified {
        let (join, key) = request(node, self.token(node).secret);
        let mut client = self.connect(None);
        client.say(&ToServer::Join(join));
        match client.hear().unwrap() {
            ToNode::Joined { certificate, .. } => (certificate.into(), key),
            other => panic!("{other:?}"),
        }
    }

    /// A node that is there and in step.
    fn node(&self, node: &str, certified: &Certified) -> Client {
        let mut client = self.connect(Some(certified));
        client.say(&hello(node));
        match client.hear().unwrap() {
            ToNode::Snapshot(snapshot) => client.say(&ToServer::Applied(snapshot.held)),
            other => panic!("{other:?}"),
        }
        client
    }

    fn has_noted(&self, what: &str) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(5) {
            if self.hub.events(0).iter().any(|event| event.what.contains(what)) {
                return true;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

fn hello(node: &str) -> ToServer {
    ToServer::Hello { version: VERSION, node: node.to_owned(), held: None }
}

fn request(node: &str, secret: [u8; 32]) -> (Join, PrivateKeyDer<'static>) {
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::new(Vec::new()).unwrap().serialize_request(&key).unwrap();
    let join = Join {
        version: VERSION,
        node: node.to_owned(),
        secret,
        request: request.der().to_vec(),
        identity: None,
    };
    (join, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
}

struct Client {
    stream: StreamOwned<ClientConnection, TcpStream>,
    frames: Frames,
}

impl Client {
    fn say(&mut self, message: &ToServer) {
        // Whom the server has refused may find the connection closed.
        drop(self.stream.write_all(&frame(message, usize::MAX).unwrap()));
        drop(self.stream.flush());
    }

    /// The next message but signs of life.
    fn hear(&mut self) -> io::Result<ToNode> {
        let mut bytes = vec![0; 16 * 1024];
        loop {
            while let Some(body) = self.frames.pop().unwrap() {
                match ToNode::read(&body).unwrap() {
                    ToNode::Alive => {}
                    other => return Ok(other),
                }
            }
            match self.stream.read(&mut bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => self.frames.push(&bytes[..count]).unwrap(),
            }
        }
    }

    /// The error that the server ends the connection with.
    fn refused(&mut self) -> (Code, String) {
        match self.hear().unwrap() {
            ToNode::Error { code, why } => (code, why),
            other => panic!("{other:?}"),
        }
    }

    /// Whether the server still sends signs of life.
    fn is_alive(&mut self) -> bool {
        self.say(&ToServer::Alive);
        let mut bytes = vec![0; 16 * 1024];
        matches!(self.stream.read(&mut bytes), Ok(count) if count > 0)
    }
}

#[test]
fn certificates_that_prove_nothing_open_nothing() {
    let server = server();
    let good = server.join(NODES[0]);
    let mut node = server.node(NODES[0], &good);

    // Of another authority, and one whose time is over: the handshake fails.
    let other = tempfile::tempdir().unwrap();
    Authority::init(other.path()).unwrap();
    let other = Authority::load(other.path()).unwrap();
    let (join, key) = request(NODES[0], [0; 32]);
    let foreign = (other.certify(NODES[0], &join.request).unwrap(), key);
    let authority = Authority::load(server.directory.path()).unwrap();
    let (join, key) = request(NODES[0], [0; 32]);
    let expired = (authority.certify_until(NODES[0], &join.request, -1).unwrap(), key);
    for wrong in [&foreign, &expired] {
        let mut client = server.connect(Some(wrong));
        client.say(&hello(NODES[0]));
        assert!(client.hear().is_err());
    }

    // Of this authority and in time, but not the one in use: of a node that joined anew, or that never did.
    let (join, key) = request(NODES[0], [0; 32]);
    let unused = (authority.certify(NODES[0], &join.request).unwrap(), key);
    let mut client = server.connect(Some(&unused));
    client.say(&hello(NODES[0]));
    assert_eq!(client.refused().0, Code::NotAdmitted);

    // None, and that of another node.
    let mut client = server.connect(None);
    client.say(&hello(NODES[0]));
    assert_eq!(client.refused().0, Code::NotAdmitted);
    let second = server.join(NODES[1]);
    let mut client = server.connect(Some(&second));
    client.say(&hello(NODES[0]));
    let (code, why) = client.refused();
    assert!(code == Code::WrongNode && why.contains(NODES[1]), "{why}");

    assert!(node.is_alive());
}

#[test]
fn a_token_admits_one_node_once() {
    let server = server();
    let token = server.token(NODES[0]);
    let ask = |node: &str, secret| {
        let mut client = server.connect(None);
        client.say(&ToServer::Join(request(node, secret).0));
        client.hear().unwrap()
    };
    let refused = |answer| matches!(answer, ToNode::Error { code: Code::NotAdmitted, .. });
    assert!(refused(ask(NODES[1], token.secret)), "another's name");
    assert!(refused(ask(NODES[0], [7; 32])), "a guess");
    assert!(matches!(ask(NODES[0], token.secret), ToNode::Joined { .. }));
    assert!(refused(ask(NODES[0], token.secret)), "used before");
    assert!(server.has_noted("may not join"));
}

#[test]
fn what_is_no_message_ends_the_connection_at_once_and_takes_no_memory() {
    let server = server();
    let certified = server.join(NODES[0]);
    let good = server.join(NODES[1]);
    let mut node = server.node(NODES[1], &good);
    let many = u32::to_be_bytes(100 << 20);
    let nonsense: [&[u8]; 4] = [&many, &[0, 0, 0, 1, 0xff], &[0, 0, 0, 0], &[0, 0, 0, 3, 0, 0xff, 0xff]];
    for bytes in nonsense {
        for (who, is_node) in [(None, false), (Some(&certified), true)] {
            let mut client = server.connect(who);
            if is_node {
                client.say(&hello(NODES[0]));
                assert!(matches!(client.hear().unwrap(), ToNode::Snapshot(_)));
            }
            client.stream.write_all(bytes).unwrap();
            // Megabytes behind it are not waited for.
            let begun = Instant::now();
            let piece = vec![0; 1 << 20];
            while client.stream.write_all(&piece).is_ok() && begun.elapsed() < Duration::from_secs(8) {}
            assert!(begun.elapsed() < Duration::from_secs(8), "{bytes:?}: still taken");
        }
    }
    assert!(node.is_alive());
}

#[test]
fn who_says_nothing_keeps_no_node_out() {
    let server = server();
    let certified = server.join(NODES[0]);
    // Many more than have a place: some that never begin TLS, some that go no further after it.
    let mut idle = Vec::new();
    for number in 0..200 {
        let Ok(mut stream) = TcpStream::connect(server.address) else { continue };
        if number % 2 == 0 {
            // The first bytes of a handshake that never goes on.
            drop(stream.write_all(&[22, 3, 1, 2, 0, 1]));
        }
        idle.push(stream);
        if number % 40 == 39 {
            let begun = Instant::now();
            server.node(NODES[0], &certified);
            assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        }
    }
    // Those that had to make room are closed.
    let mut closed = 0;
    for mut stream in idle.into_iter().take(100) {
        stream.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
        closed += usize::from(matches!(stream.read(&mut [0; 8]), Ok(0) | Err(_)));
    }
    assert_eq!(closed, 100);
}

#[test]
fn a_node_that_joins_anew_ends_its_old_connection() {
    let server = server();
    let old = server.join(NODES[0]);
    let mut before = server.node(NODES[0], &old);
    let new = server.join(NODES[0]);
    assert_eq!(before.refused().0, Code::Replaced);
    let mut again = server.connect(Some(&old));
    again.say(&hello(NODES[0]));
    assert_eq!(again.refused().0, Code::NotAdmitted);
    assert!(server.node(NODES[0], &new).is_alive());
}

#[test]
fn a_part_that_no_node_could_take_is_refused_when_it_is_applied() {
    let server = server();
    // Written as a part is, one origin to a table, origins take nearly twice the room.
    let origins: String = (0..256u32)
        .map(|number| format!("{{address=\"{}\"}},", Ipv4Addr::from_bits((11 << 24) + number)))
        .collect();
    let application = |number: u32| {
        let vip = Ipv4Addr::from_bits((203 << 24) + number);
        format!(
            "[[application]]\nname=\"a{number}\"\nvips=[{{address=\"{vip}\",node=\"edge-1\"}}]\n\
             services=[\"tcp/80\"]\ncopies=2\ngateway=\"frankfurt\"\norigins=[{origins}]\n"
        )
    };
    let text = OVERLAY.to_owned() + &(0..500).map(application).collect::<String>();
    assert!(text.len() < 4 << 20);
    let error = server.hub.registry.apply(&text, 1, "test").unwrap_err().to_string();
    assert!(error.contains("a node takes"), "{}", error.chars().take(300).collect::<String>());
    assert_eq!(server.hub.registry.definition().unwrap().revision, 1);
}
