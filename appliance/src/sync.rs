//! The node's connection to the control server, on the control thread: rustls over a socket that never blocks.
//!
//! A server that is away changes nothing but that it is asked again, for ever. What it offers is applied as a reload is, whole or
//! not at all, and kept on disk; once a second the node says how it is.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use conf::Servers;
use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use overlay::sync::node::Event;
use overlay::sync::{Held, Node, REPORT_MS, Snapshot};
use packet::BufPool;
use rustls::{ClientConfig, ClientConnection};

use crate::core::Core;
use crate::membership::{self, SERVER_NAME};
use crate::reload::Refused;

/// The connection's token.
pub(crate) const SERVER: Token = Token(2);
const MS: u64 = 1_000_000;
/// Pauses before the server is asked again: the first, doubled up to the last, milliseconds.
const PAUSE_MS_MIN: u64 = 500;
const PAUSE_MS_MAX: u64 = 3000;
/// How long a connection may take to be made, milliseconds.
const CONNECT_MS_MAX: u64 = 5000;
/// Bytes that may wait for a server that takes none; with more the connection is given up.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Between two lines about a server that is away, milliseconds.
const TELL_MS: u64 = 60_000;

/// How it stands with the server.
pub(crate) struct Sync {
    name: String,
    servers: Servers,
    tls: Arc<ClientConfig>,
    registry: Registry,
    held: Option<Held>,
    /// What the node forwards by, if a server gave it.
    in_force: Option<Snapshot>,
    link: Option<Link>,
    /// Which address is asked next.
    at: usize,
    pause_ms: u64,
    next_ms: u64,
    told_ms: Option<u64>,
    /// Spreads the nodes' attempts, milliseconds.
    spread_ms: u64,
    started_ms: u64,
    reported_ms: u64,
    /// The key of a certificate that was asked for and has not come, as PEM.
    new_key: Option<zeroize::Zeroizing<String>>,
    /// What could not be kept on disk, and why; tried again with each report.
    unkept: Option<(Snapshot, String)>,
}

/// A connection.
struct Link {
    address: SocketAddr,
    stream: TcpStream,
    tls: ClientConnection,
    node: Node,
    begun_ms: u64,
    is_up: bool,
}

impl Sync {
    /// A node that has joined, and what it started with.
    pub(crate) fn new(
        now_ns: u64,
        registry: Registry,
        (name, number): (&str, u16),
        servers: Servers,
    ) -> Result<Sync, membership::Error> {
        let in_force = membership::kept(&servers);
        Ok(Sync {
            name: name.to_owned(),
            tls: membership::tls(&servers)?,
            servers,
            registry,
            held: in_force.as_ref().map(|snapshot| snapshot.held),
            in_force,
            link: None,
            at: usize::from(number),
            pause_ms: PAUSE_MS_MIN,
            next_ms: now_ns / MS,
            told_ms: None,
            spread_ms: u64::from(number).wrapping_mul(37) % PAUSE_MS_MIN,
            started_ms: now_ns / MS,
            reported_ms: 0,
            new_key: None,
            unkept: None,
        })
    }

    /// When [`Sync::pump`] has something to do even if nothing comes, ns.
    pub(crate) fn timeout(&self) -> u64 {
        let due_ms = match &self.link {
            None => self.next_ms,
            Some(link) if !link.is_up => link.begun_ms + CONNECT_MS_MAX,
            Some(link) => link.node.timeout_ms().min(self.reported_ms + REPORT_MS),
        };
        due_ms.saturating_mul(MS)
    }

    /// Does what is due, and what has come.
    pub(crate) fn pump<P: BufPool>(&mut self, now_ns: u64, core: &mut Core<P>, config_file: &Path) {
        let now_ms = now_ns / MS;
        if self.link.is_none() && now_ms >= self.next_ms {
            self.connect(now_ms);
        }
        let Some(mut link) = self.link.take() else { return };
        let mut ended = link.receive(now_ms).err().map(|error| error.to_string());
        if !link.is_up && now_ms.saturating_sub(link.begun_ms) >= CONNECT_MS_MAX {
            ended = Some("no answer".to_owned());
        }
        link.node.tick(now_ms);
        let mut renewed = false;
        while let Some(event) = link.node.poll_event() {
            match event {
                Event::Apply(snapshot) => self.apply(now_ns, core, config_file, &snapshot, &mut link.node),
                Event::InStep(held) => self.in_step(held),
                Event::Stale { offered, held } => {
                    tracing::warn!("the server offers revision {offered}, but the node has {held}; it stays");
                }
                Event::Renew => self.ask_renewal(now_ms, &mut link.node),
                Event::Renewed(certificate) => match self.renewed(&certificate) {
                    Ok(()) => renewed = true,
                    Err(why) => tracing::error!("the node keeps its old certificate: {why}"),
                },
                Event::Ended(end) => ended = Some(end.to_string()),
            }
        }
        if renewed {
            // To the same server with the new certificate: then the old one counts no more.
            drop(self.registry.deregister(&mut link.stream));
            self.next_ms = now_ms;
            return;
        }
        if link.is_up && now_ms.saturating_sub(self.reported_ms) >= REPORT_MS {
            self.reported_ms = now_ms;
            let mut report = core.report(now_ms.saturating_sub(self.started_ms));
            if let Some((snapshot, _)) = self.unkept.clone() {
                self.keep(&snapshot);
            }
            report.alarms.extend(self.unkept.iter().map(|(_, why)| why.clone()));
            link.node.report(now_ms, report);
        }
        if let Err(error) = link.send() {
            ended.get_or_insert(error.to_string());
        }
        match ended {
            None => {
                if link.is_up && self.told_ms.take().is_some() {
                    tracing::info!("the server {} is there", link.address);
                }
                self.link = Some(link);
            }
            Some(why) => self.lost(now_ms, link, &why),
        }
    }

    fn connect(&mut self, now_ms: u64) {
        let Some(address) = self.servers.addresses.get(self.at % self.servers.addresses.len().max(1)) else {
            return;
        };
        match Link::new(now_ms, *address, &self.tls, &self.registry, &self.name, self.held) {
            Ok(link) => self.link = Some(link),
            Err(error) => {
                let address = *address;
                self.pause(now_ms, address, &error.to_string());
            }
        }
    }

    /// Makes a key, and asks for a certificate of it.
    fn ask_renewal(&mut self, now_ms: u64, node: &mut Node) {
        match membership::request() {
            Ok((key, request)) => {
                self.new_key = Some(zeroize::Zeroizing::new(key));
                node.renew(now_ms, request);
            }
            Err(error) => tracing::error!("no key for a new certificate: {error}"),
        }
    }

    /// Keeps a certificate that has come, and speaks with it from now on.
    fn renewed(&mut self, certificate: &[u8]) -> Result<(), String> {
        let key = self.new_key.take().ok_or("none was asked for")?;
        let told = |error: membership::Error| error.to_string();
        membership::check_certificate(&key, certificate)?;
        membership::keep_certificate(&self.servers, &key, certificate).map_err(told)?;
        self.tls = membership::tls(&self.servers).map_err(told)?;
        tracing::info!("the node has a new certificate");
        Ok(())
    }

    fn lost(&mut self, now_ms: u64, mut link: Link, why: &str) {
        drop(self.registry.deregister(&mut link.stream));
        if link.is_up && now_ms.saturating_sub(link.begun_ms) > PAUSE_MS_MAX {
            self.pause_ms = PAUSE_MS_MIN;
        }
        self.pause(now_ms, link.address, why);
    }

    fn pause(&mut self, now_ms: u64, address: SocketAddr, why: &str) {
        if self.told_ms.is_none_or(|told_ms| now_ms.saturating_sub(told_ms) >= TELL_MS) {
            self.told_ms = Some(now_ms);
            tracing::warn!("the server {address} is away ({why}); the node goes on with what it has");
        }
        self.at = self.at.wrapping_add(1);
        self.next_ms = now_ms + self.pause_ms + self.spread_ms;
        self.pause_ms = (self.pause_ms * 2).min(PAUSE_MS_MAX);
    }

    fn apply<P: BufPool>(
        &mut self,
        now_ns: u64,
        core: &mut Core<P>,
        config_file: &Path,
        snapshot: &Snapshot,
        node: &mut Node,
    ) {
        let held = snapshot.held;
        match core.reload_offered(now_ns, config_file, snapshot.topology.clone()) {
            Ok(later) => {
                tracing::info!("revision {} of the overlay is in force", held.revision);
                if !later.is_empty() {
                    tracing::warn!("of the node file, {} waits for a restart", later.join(", "));
                }
                self.keep(snapshot);
                self.held = Some(held);
                self.in_force = Some(snapshot.clone());
                node.applied(now_ns / MS, held);
            }
            Err(refused) => {
                for line in refused.to_string().lines() {
                    tracing::error!("{line}");
                }
                tracing::error!("revision {} is refused; the node goes on with what it has", held.revision);
                if matches!(refused, Refused::NeedsRestart(_)) {
                    // It is right, only not for a node that runs.
                    self.keep(snapshot);
                }
                node.refused(now_ns / MS, held, &refused.to_string());
            }
        }
    }

    fn keep(&mut self, snapshot: &Snapshot) {
        let before = self.unkept.take();
        let Err(error) = membership::keep(&self.servers, snapshot) else { return };
        let why = error.to_string();
        if before.is_none_or(|(_, said)| said != why) {
            tracing::error!("{why}; after a restart the node would begin with an older revision");
        }
        self.unkept = Some((snapshot.clone(), why));
    }

    /// The part in force under a later number: the file shall know it too, or an older snapshot could follow a restart, or
    /// one that waited for a restart and was taken back meanwhile.
    fn in_step(&mut self, held: Held) {
        if self.held == Some(held) {
            return;
        }
        self.held = Some(held);
        if let Some(mut snapshot) = self.in_force.take().filter(|one| one.held.checksum == held.checksum) {
            snapshot.held = held;
            self.keep(&snapshot);
            self.in_force = Some(snapshot);
        }
    }
}

/// What the TLS library says, with the mend where there is one.
fn refusal(error: rustls::Error) -> io::Error {
    use rustls::AlertDescription::CertificateExpired;
    match error {
        rustls::Error::AlertReceived(CertificateExpired) => io::Error::other(
            "the time of this node's certificate is over: run `proa join` with a new token of `proactl node add`",
        ),
        error => io::Error::other(error),
    }
}

impl Link {
    fn new(
        now_ms: u64,
        address: SocketAddr,
        tls: &Arc<ClientConfig>,
        registry: &Registry,
        name: &str,
        held: Option<Held>,
    ) -> io::Result<Link> {
        let mut stream = TcpStream::connect(address)?;
        registry.register(&mut stream, SERVER, Interest::READABLE | Interest::WRITABLE)?;
        let server = SERVER_NAME.try_into().map_err(io::Error::other)?;
        let mut tls = ClientConnection::new(tls.clone(), server).map_err(io::Error::other)?;
        tls.set_buffer_limit(Some(WAITING_BYTES_MAX));
        drop(stream.set_nodelay(true));
        Ok(Link { address, stream, tls, node: Node::new(now_ms, name, held), begun_ms: now_ms, is_up: false })
    }

    /// Reads what there is.
    fn receive(&mut self, now_ms: u64) -> io::Result<()> {
        let mut bytes = [0; 16 * 1024];
        loop {
            match self.tls.read_tls(&mut self.stream) {
                Ok(0) => {
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has closed the connection"));
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Not connected yet.
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if let Err(error) = self.tls.process_new_packets() {
                // The other side shall know why.
                drop(self.tls.write_tls(&mut self.stream));
                return Err(refusal(error));
            }
            loop {
                match self.tls.reader().read(&mut bytes) {
                    Ok(0) => break,
                    Ok(count) => {
                        // Only a server that has admitted this node says anything.
                        self.is_up = true;
                        self.node.handle(now_ms, bytes.get(..count).unwrap_or(&[]));
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Writes what can be written.
    fn send(&mut self) -> io::Result<()> {
        let output = self.node.take_output();
        if !output.is_empty() {
            self.tls.writer().write_all(&output)?;
        }
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.stream) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
