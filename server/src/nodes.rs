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
/// How often a node whose certificate grows old is asked again at most, milliseconds.
const RENEW_AGAIN_MS: u64 = 2000;
/// What a certificate that counts no more is refused with.
const NOT_IN_USE: &str =
    "this certificate is not in use, the node was revoked or has joined again: join with a new token";
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
        let fingerprint = certificate.map(fingerprint);
        let name = match &fingerprint {
            Some(fingerprint) => {
                let found = blocking(|| self.hub.registry.node_of(fingerprint));
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
            fingerprint,
            renew_at: None,
            stranger: Some(stranger),
            live: None,
        };
        if !admitted {
            connection.protocol.refuse(Code::NotAdmitted, NOT_IN_USE);
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
    /// SHA-256 of its certificate.
    fingerprint: Option<[u8; 32]>,
    /// When the node is asked to renew its certificate.
    renew_at: Option<Instant>,
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
            let renew_at = self.renew_at;
            let renewal = async {
                match renew_at {
                    Some(at) => tokio::time::sleep_until(at.into()).await,
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
                    // Without a word of TLS before, as by a process that was killed.
                    Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                        return "the node has closed the connection".to_owned();
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
                () = is_replaced => match self.is_in_use() {
                    true => {
                        self.protocol.refuse(Code::Replaced, "a newer connection of this node has taken its place");
                    }
                    false => self.protocol.refuse(Code::NotAdmitted, NOT_IN_USE),
                },
                () = renewal => self.ask_renewal(),
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
            Event::Renew(request) => self.renew(&request),
            Event::Ended(_) => {}
        }
    }

    /// Whether the certificate that the connection was made with still counts.
    fn is_in_use(&self) -> bool {
        let Some(fingerprint) = &self.fingerprint else { return true };
        // What can not be looked up is not known to be revoked; the node comes again and is looked at again.
        blocking(|| self.hub.registry.node_of(fingerprint)).is_ok_and(|found| found.is_some())
    }

    /// Looks when the certificate grows old; one that does is asked for at once, and again as long as it stays.
    fn look_at_age(&mut self) {
        let Some(name) = &self.name else { return };
        match blocking(|| self.hub.registry.renewal_due(name)) {
            Ok(Some((in_ms, lasts_ms))) => {
                let again_ms = if in_ms > 0 { in_ms } else { (lasts_ms / 30).max(RENEW_AGAIN_MS) };
                if in_ms == 0 {
                    self.protocol.ask_renewal(self.now_ms());
                }
                self.renew_at = Instant::now().checked_add(Duration::from_millis(again_ms));
            }
            Ok(None) => self.renew_at = None,
            Err(error) => tracing::error!("{name}: {error}"),
        }
    }

    fn ask_renewal(&mut self) {
        self.renew_at = None;
        self.look_at_age();
    }

    fn renew(&mut self, request: &[u8]) {
        let Some(name) = self.name.clone() else { return };
        match blocking(|| self.hub.registry.renew(&name, request)) {
            Ok(certificate) => {
                self.hub.note(&name, "has a new certificate".to_owned());
                self.protocol.renewed(self.now_ms(), certificate);
            }
            Err(error) => {
                self.hub.note(&name, format!("gets no new certificate: {error}"));
                self.protocol.refuse(Code::NotAdmitted, &told(&error));
            }
        }
    }

    fn hello(&mut self, held: Option<Held>) {
        self.stranger = None;
        if let Some(name) = &self.name {
            if let Some(fingerprint) = &self.fingerprint
                && let Err(error) = blocking(|| self.hub.registry.used(name, fingerprint))
            {
                tracing::error!("{name}: {error}");
            }
            self.live = Some(self.hub.connected(name, self.peer, held));
        }
        self.offer();
        self.look_at_age();
    }

    /// Brings the node in step with its part as it is now.
    fn offer(&mut self) {
        let Some(name) = self.name.clone().filter(|_| self.live.is_some()) else { return };
        // Who is revoked is not told what the others are.
        if !self.is_in_use() {
            return self.protocol.refuse(Code::NotAdmitted, NOT_IN_USE);
        }
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
