//! Connections from nodes: TLS, `overlay::sync`, and limits on whoever is not a node yet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use overlay::sync::server::{End, Event};
use overlay::sync::{Code, Held, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::authority::fingerprint;
use crate::hub::Hub;
use crate::registry::{Error, PART_BYTES_MAX};
use crate::strangers::{Stranger, Strangers};

/// Connections at once.
const CONNECTIONS_MAX: usize = 8192;
/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// How long a node may take no bytes.
const WRITE_MAX: Duration = Duration::from_secs(10);
/// Why a stranger has to go.
const CROWDED: &str = "it did not prove to be a node before others needed its place";
/// Bytes read at once.
const READ_BYTES: usize = 16 * 1024;

/// Who takes connections, on all addresses together.
#[derive(Clone)]
pub struct Door {
    hub: Arc<Hub>,
    tls: TlsAcceptor,
    connections: Arc<Semaphore>,
    strangers: Strangers,
}

impl Door {
    /// Lets nodes in to this hub.
    pub fn new(hub: Arc<Hub>, tls: Arc<rustls::ServerConfig>) -> Door {
        Door {
            hub,
            tls: TlsAcceptor::from(tls),
            connections: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            strangers: Strangers::default(),
        }
    }

    /// Takes connections for ever.
    pub async fn open(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    // Who finds no room is closed at once, and comes again.
                    let room = self.connections.clone().try_acquire_owned();
                    if let Ok(room) = room {
                        let stranger = self.strangers.admit(peer.ip());
                        let door = self.clone();
                        tokio::spawn(async move {
                            if let Err(why) = door.admit(stream, peer, stranger).await {
                                tracing::warn!("{peer}: {why}");
                            }
                            drop(room);
                        });
                    }
                }
                // Out of descriptors, or the client was gone already.
                Err(error) => {
                    tracing::warn!("a connection is not taken: {error}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    async fn admit(&self, stream: TcpStream, peer: SocketAddr, stranger: Stranger) -> Result<(), String> {
        drop(stream.set_nodelay(true));
        let accepted = tokio::select! {
            accepted = tokio::time::timeout(HANDSHAKE_MAX, self.tls.accept(stream)) => accepted,
            () = stranger.evicted() => return Err(CROWDED.to_owned()),
        };
        let stream = accepted.map_err(|_| "the handshake takes too long".to_owned())?;
        let stream = stream.map_err(|error| format!("no TLS: {error}"))?;
        let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        let mut admitted = true;
        let name = match certificate.map(fingerprint) {
            Some(fingerprint) => {
                let found = blocking(|| self.hub.registry.node_of(&fingerprint));
                let name = found.map_err(|error| error.to_string())?;
                admitted = name.is_some();
                name
            }
            None => None,
        };
        let begun = Instant::now();
        let protocol = Server::new(0, name.clone());
        let mut connection = Connection {
            hub: self.hub.clone(),
            stream,
            peer,
            protocol,
            begun,
            name,
            stranger: Some(stranger),
            live: None,
        };
        if !admitted {
            connection.protocol.refuse(Code::NotAdmitted, "this certificate is not in use: join again");
        }
        let ended = connection.serve().await;
        if let (Some(name), Some((number, _))) = (&connection.name, &connection.live) {
            self.hub.disconnected(name, *number, &ended);
            return Ok(());
        }
        if ended == End::Done.to_string() { Ok(()) } else { Err(ended) }
    }
}

/// The store waits for the disk, which must not hold up other connections.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    tokio::task::block_in_place(work)
}

struct Connection {
    hub: Arc<Hub>,
    stream: TlsStream<TcpStream>,
    peer: SocketAddr,
    protocol: Server,
    begun: Instant,
    name: Option<String>,
    /// Given back once the node has proved to be one.
    stranger: Option<Stranger>,
    /// Its number in the hub, and what wakes when it is replaced.
    live: Option<(u64, Arc<Notify>)>,
}

impl Connection {
    /// Serves until the end, and says why it came.
    async fn serve(&mut self) -> String {
        let mut changes = self.hub.changes();
        let mut bytes = vec![0; READ_BYTES];
        loop {
            while let Some(event) = self.protocol.poll_event() {
                if let Event::Ended(end) = event {
                    drop(self.flush().await);
                    drop(tokio::time::timeout(WRITE_MAX, self.stream.shutdown()).await);
                    return end.to_string();
                }
                self.take(event);
            }
            if let Err(why) = self.flush().await {
                return why;
            }
            let evicted = async {
                match &self.stranger {
                    Some(stranger) => stranger.evicted().await,
                    None => std::future::pending().await,
                }
            };
            let due = self.begun + Duration::from_millis(self.protocol.timeout_ms());
            let replaced = self.live.as_ref().map(|(_, replaced)| replaced.clone());
            let is_replaced = async {
                match &replaced {
                    Some(replaced) => replaced.notified().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                read = self.stream.read(&mut bytes) => match read {
                    Ok(0) => return "the node has closed the connection".to_owned(),
                    Ok(count) => {
                        let now_ms = self.now_ms();
                        self.protocol.handle(now_ms, bytes.get(..count).unwrap_or(&[]));
                    }
                    Err(error) => return error.to_string(),
                },
                changed = changes.changed() => {
                    if changed.is_err() {
                        return "the server stops".to_owned();
                    }
                    self.offer();
                }
                () = evicted => return CROWDED.to_owned(),
                () = is_replaced => {
                    self.protocol.refuse(Code::Replaced, "a newer connection of this node has taken its place");
                }
                () = tokio::time::sleep_until(due.into()) => self.protocol.tick(self.now_ms()),
            }
        }
    }

    fn take(&mut self, event: Event) {
        match event {
            Event::Hello(held) => self.hello(held),
            Event::Join(join) => {
                let now_ms = self.now_ms();
                match blocking(|| self.hub.registry.join(&join)) {
                    Ok((certificate, introduced)) => {
                        self.hub.note(&join.node, format!("joined from {}", self.peer));
                        self.hub.supersede(&join.node);
                        if introduced {
                            self.hub.overlay_changed();
                        }
                        let authority = self.hub.registry.authority().certificate().to_vec();
                        self.protocol.joined(now_ms, certificate, authority);
                    }
                    Err(error) => {
                        let shown = join.node.escape_debug().take(64).collect::<String>();
                        self.hub.note("", format!("{} may not join as {shown}: {error}", self.peer));
                        self.protocol.refuse(Code::NotAdmitted, &told(&error));
                    }
                }
            }
            Event::Applied(held) => self.with_name(|hub, name| hub.applied(name, held)),
            Event::Refused(held, why) => self.with_name(|hub, name| hub.refused(name, held, why)),
            Event::Report(report) => self.with_name(|hub, name| hub.reported(name, *report)),
            Event::Ended(_) => {}
        }
    }

    fn hello(&mut self, held: Option<Held>) {
        self.stranger = None;
        if let Some(name) = &self.name {
            self.live = Some(self.hub.connected(name, self.peer, held));
        }
        self.offer();
    }

    /// Brings the node in step with its part as it is now.
    fn offer(&mut self) {
        let Some(name) = self.name.clone().filter(|_| self.live.is_some()) else { return };
        match blocking(|| self.hub.registry.snapshot(&name)) {
            // Keys came after the definition was looked at.
            Ok(Some(snapshot)) if snapshot.topology.len() > PART_BYTES_MAX => {
                let error = Error::TooLarge { node: name.clone(), bytes: snapshot.topology.len() };
                self.hub.note(&name, error.to_string());
            }
            Ok(Some(snapshot)) => {
                let now_ms = self.now_ms();
                if self.protocol.offer(now_ms, &snapshot) {
                    let revision = snapshot.held.revision;
                    let what = format!(
                        "has a later revision than the server's, {revision}: was the store restored?"
                    );
                    self.hub.note(&name, what);
                } else if let Some(held) = self.protocol.held().filter(|held| *held == snapshot.held) {
                    self.hub.in_step(&name, held);
                }
            }
            Ok(None) => {}
            Err(error) => tracing::error!("{name}: {error}"),
        }
    }

    async fn flush(&mut self) -> Result<(), String> {
        let output = self.protocol.take_output();
        if output.is_empty() {
            return Ok(());
        }
        let written = tokio::time::timeout(WRITE_MAX, async {
            self.stream.write_all(&output).await?;
            self.stream.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("it takes no bytes".to_owned()),
        }
    }

    fn with_name(&self, act: impl FnOnce(&Hub, &str)) {
        if let Some(name) = &self.name {
            act(&self.hub, name);
        }
    }

    fn now_ms(&self) -> u64 {
        self.begun.elapsed().as_millis() as u64
    }
}

/// What a stranger may know of why it is not let in.
fn told(error: &Error) -> String {
    match error {
        Error::Store(_) | Error::Damaged(_) | Error::Authority(crate::authority::Error::Library(_)) => {
            "the server can not admit anybody now; its log says why".to_owned()
        }
        error => error.to_string(),
    }
}
