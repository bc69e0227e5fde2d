//! `proa-server run`: opens the store, listens, and serves until a signal.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use conf::server::Server as Settings;
use rustix::fs::Mode;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::signal::unix::{SignalKind, signal};

use crate::authority::{self, Authority};
use crate::dns::Dns;
use crate::hub::Hub;
use crate::nodes::Door;
use crate::registry::{self, Registry};
use crate::store::{self, Embedded};
use crate::{away, http, tls};

/// Why the server does not run: a sentence that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its file is wrong.
    #[error("{0}")]
    Config(conf::Errors),
    /// It has no authority.
    #[error(transparent)]
    Authority(#[from] authority::Error),
    /// It has no store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// What it keeps can not be read.
    #[error(transparent)]
    Registry(#[from] registry::Error),
    /// No TLS.
    #[error(transparent)]
    Tls(#[from] tls::Error),
    /// An address can not be had.
    #[error("{0} can not be listened on ({1}): set another `listen`, or stop who has it")]
    Listen(SocketAddr, io::Error),
    /// Its zone is none.
    #[error("`{0}` or a name beside it in [dns] can not be a name of the DNS: shorten it")]
    Zone(String),
    /// A socket can not be had.
    #[error("no socket at {0} ({1}): set another `socket`, or stop the server that has it")]
    Socket(PathBuf, io::Error),
    /// The system refuses something that it never does.
    #[error("the system refuses ({0})")]
    System(#[from] io::Error),
}

/// Makes the authority and the store.
///
/// # Errors
/// [`Error`].
pub fn init(config: &Path) -> Result<(), Error> {
    let settings = Settings::load(config).map_err(Error::Config)?;
    Authority::init(&settings.data)?;
    open(&settings).map(drop)
}

/// The registry of a server that does not run.
///
/// # Errors
/// [`Error`].
pub fn registry(config: &Path) -> Result<Registry, Error> {
    open(&Settings::load(config).map_err(Error::Config)?)
}

fn open(settings: &Settings) -> Result<Registry, Error> {
    // The authority first: without it there was no `init`, and the store would be made by mistake.
    Authority::load(&settings.data)?;
    let store = Embedded::open(&settings.data.join("store.redb"))?;
    Ok(Registry::new(Box::new(store), &settings.data)?.certifying_for(settings.certificate_s))
}

/// Runs the server until SIGTERM or SIGINT.
///
/// # Errors
/// [`Error`].
pub fn run(config: &Path) -> Result<(), Error> {
    let settings = Settings::load(config).map_err(Error::Config)?;
    allow_connections();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().worker_threads(2).build()?;
    runtime.block_on(serve(&settings))
}

/// A connection is a descriptor, and of these a process has 1024 by default, which a thousand nodes use up: as many as the system allows.
pub fn allow_connections() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!("no more descriptors than the system gives by default ({error})");
    }
}

async fn serve(settings: &Settings) -> Result<(), Error> {
    let registry = open(settings)?;
    let tls = tls::settings(registry.authority())?;
    let revision = registry.definition()?.revision;
    let hub = Arc::new(Hub::new(registry));
    let door = Door::new(hub.clone(), tls);
    for address in &settings.listen {
        let listener = TcpListener::bind(address).await.map_err(|error| Error::Listen(*address, error))?;
        tokio::spawn(door.clone().open(listener));
    }
    let socket =
        socket(&settings.socket).await.map_err(|error| Error::Socket(settings.socket.clone(), error))?;
    let dns = match &settings.dns {
        None => None,
        Some(own) => {
            let dns = Dns::new(hub.clone(), own).ok_or_else(|| Error::Zone(own.zone.clone()))?;
            dns.clone().start(own).map_err(|(address, error)| Error::Listen(address, error))?;
            tracing::info!("answers for {} on {:?}", own.zone, own.listen);
            Some(dns)
        }
    };
    let interface = http::router(hub.clone(), dns);
    if let Some(own) = &settings.api {
        serve_away(own, hub, interface.clone()).await?;
    }
    let api = interface.into_make_service_with_connect_info::<http::Operator>();
    let operators = tokio::spawn(async move { axum::serve(socket, api).await });
    tracing::info!("listens on {:?}, the overlay is of revision {revision}", settings.listen);
    drop(sd_notify::notify(&[sd_notify::NotifyState::Ready]));
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
        ended = operators => {
            if let Ok(Err(error)) = ended {
                return Err(error.into());
            }
        }
    }
    tracing::info!("stopping");
    drop(sd_notify::notify(&[sd_notify::NotifyState::Stopping]));
    drop(std::fs::remove_file(&settings.socket));
    Ok(())
}

/// The interface and the page for operators elsewhere.
async fn serve_away(own: &conf::server::Api, hub: Arc<Hub>, interface: Router) -> Result<(), Error> {
    let tls = away::settings(hub.registry.authority(), own.certificate.as_ref())?;
    let mut listeners = Vec::new();
    for address in &own.listen {
        let listener = TcpListener::bind(address).await.map_err(|error| Error::Listen(*address, error))?;
        listeners.push(listener);
    }
    let listener = away::Listener::new(listeners, tls)?;
    let router = away::router(hub, interface);
    tokio::spawn(async move { axum::serve(listener, router).await });
    tracing::info!("the web page is on https://{:?}", own.listen);
    Ok(())
}

/// The operators' socket, for the server's user only; one that nobody listens on is replaced.
async fn socket(path: &Path) -> io::Result<UnixListener> {
    use std::os::unix::fs::FileTypeExt;
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => return Err(io::ErrorKind::AlreadyExists.into()),
        Ok(_) if UnixStream::connect(path).await.is_ok() => return Err(io::ErrorKind::AddrInUse.into()),
        Ok(_) => std::fs::remove_file(path)?,
        Err(_) => {}
    }
    // The mode has to be right from the first moment on; a chmod would come too late.
    let before = rustix::process::umask(Mode::from_raw_mode(0o177));
    let bound = UnixListener::bind(path);
    rustix::process::umask(before);
    bound
}
