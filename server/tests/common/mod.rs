//! A server with an overlay, and clients that speak with it as nodes do.

#![allow(dead_code, clippy::panic, clippy::unwrap_used)] // each test uses its part; a failed unwrap fails its test

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
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

pub const OVERLAY: &str = include_str!("../../../conf/examples/overlay.toml");
/// A node of that overlay, and another.
pub const NODES: [&str; 2] = ["edge-1", "gateway-1"];

pub struct Server {
    pub hub: Arc<Hub>,
    pub address: SocketAddr,
    pub directory: tempfile::TempDir,
    pub runtime: Option<tokio::runtime::Runtime>,
}

/// A server with an overlay, on a port of its own.
pub fn server() -> Server {
    server_certifying_for(86_400)
}

/// The same with certificates of nodes that last so many seconds.
pub fn server_certifying_for(certificate_s: u64) -> Server {
    let directory = tempfile::tempdir().unwrap();
    Authority::init(directory.path()).unwrap();
    let store = Embedded::open(&directory.path().join("store.redb")).unwrap();
    let registry = Registry::new(Box::new(store), directory.path()).unwrap().certifying_for(certificate_s);
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

pub type Certified = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Server {
    pub fn token(&self, node: &str) -> Token {
        self.hub.registry.add_node(node, "test").unwrap()
    }

    pub fn settings(&self, certified: Option<&Certified>) -> Arc<ClientConfig> {
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

    pub fn connect(&self, certified: Option<&Certified>) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
        let tls = ClientConnection::new(self.settings(certified), SERVER_NAME.try_into().unwrap()).unwrap();
        Client { stream: StreamOwned::new(tls, stream), frames: Frames::new(TO_NODE_BYTES_MAX) }
    }

    /// A node that joins, and its certificate.
    pub fn join(&self, node: &str) -> Certified {
        let (join, key) = request(node, self.token(node).secret);
        let mut client = self.connect(None);
        client.say(&ToServer::Join(join));
        match client.hear().unwrap() {
            ToNode::Joined { certificate, .. } => (certificate.into(), key),
            other => panic!("{other:?}"),
        }
    }

    /// A node that is there and in step.
    pub fn node(&self, node: &str, certified: &Certified) -> Client {
        let mut client = self.connect(Some(certified));
        client.say(&hello(node));
        match client.hear().unwrap() {
            ToNode::Snapshot(snapshot) => client.say(&ToServer::Applied(snapshot.held)),
            other => panic!("{other:?}"),
        }
        client
    }

    pub fn has_noted(&self, what: &str) -> bool {
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

pub fn hello(node: &str) -> ToServer {
    ToServer::Hello { version: VERSION, node: node.to_owned(), held: None }
}

pub fn request(node: &str, secret: [u8; 32]) -> (Join, PrivateKeyDer<'static>) {
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

pub struct Client {
    pub stream: StreamOwned<ClientConnection, TcpStream>,
    pub frames: Frames,
}

impl Client {
    pub fn say(&mut self, message: &ToServer) {
        // Whom the server has refused may find the connection closed.
        drop(self.stream.write_all(&frame(message, usize::MAX).unwrap()));
        drop(self.stream.flush());
    }

    /// The next message but signs of life.
    pub fn hear(&mut self) -> io::Result<ToNode> {
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
    pub fn refused(&mut self) -> (Code, String) {
        match self.hear().unwrap() {
            ToNode::Error { code, why } => (code, why),
            other => panic!("{other:?}"),
        }
    }

    /// Whether the server still sends signs of life.
    pub fn is_alive(&mut self) -> bool {
        self.say(&ToServer::Alive);
        let mut bytes = vec![0; 16 * 1024];
        matches!(self.stream.read(&mut bytes), Ok(count) if count > 0)
    }
}
