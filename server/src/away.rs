//! The same interface for operators who are away from the server's machine: over TLS, with a token for each, and the web page.
//!
//! ```text
//!  browser, proactl ─► TLS 1.3 ─► token: who, and in which role ─► the interface of http.rs
//!                                 └─► without one: the page alone, which has nothing in it
//! ```

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::authority::Authority;
use crate::http::{Operator, Problem};
use crate::hub::Hub;
use crate::operators::Role;
use crate::strangers::{Stranger, Strangers};
use crate::tls;

/// How long a handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Connections that wait to be served.
const WAITING_MAX: usize = 64;

/// What the page consists of.
const PAGE: [(&str, &str, &str); 3] = [
    ("/", "text/html; charset=utf-8", include_str!("page/page.html")),
    ("/page.js", "text/javascript; charset=utf-8", include_str!("page/page.js")),
    ("/page.css", "text/css; charset=utf-8", include_str!("page/page.css")),
];
/// Nothing from anywhere else, and nobody may show it inside another page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";

/// TLS with a certificate that browsers trust, or with the server's own.
///
/// # Errors
/// What is wrong with the certificate.
pub fn settings(
    authority: &Authority,
    certificate: Option<&(std::path::PathBuf, std::path::PathBuf)>,
) -> Result<Arc<rustls::ServerConfig>, tls::Error> {
    let (chain, key) = match certificate {
        None => {
            let (certificate, key) = authority.server();
            (vec![certificate, authority.certificate().clone()], key)
        }
        Some((certificate, key)) => {
            let unread = |path: &std::path::Path| {
                let path = path.display().to_string();
                move |error: rustls::pki_types::pem::Error| tls::Error(format!("{path}: {error}"))
            };
            let chain = CertificateDer::pem_file_iter(certificate).map_err(unread(certificate))?;
            let chain: Result<Vec<_>, _> = chain.collect();
            let chain = chain.map_err(unread(certificate))?;
            (chain, PrivateKeyDer::from_pem_file(key).map_err(unread(key))?)
        }
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let settings = rustls::ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .and_then(|settings| settings.with_no_client_auth().with_single_cert(chain, key));
    Ok(Arc::new(settings.map_err(|error| tls::Error(error.to_string()))?))
}

/// The page, and the interface behind it for who has a token.
pub fn router(hub: Arc<Hub>, interface: Router) -> Router {
    let interface = interface.layer(middleware::from_fn_with_state(hub, admit));
    PAGE.into_iter().fold(interface, |router, (path, kind, text)| {
        let headers = [
            (header::CONTENT_TYPE, kind),
            (header::CONTENT_SECURITY_POLICY, POLICY),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (header::REFERRER_POLICY, "no-referrer"),
            (header::CACHE_CONTROL, "no-cache"),
        ];
        router.route(path, get(move || async move { (headers, text) }))
    })
}

/// Lets who has a token in, to what the role opens.
async fn admit(State(hub): State<Arc<Hub>>, mut request: Request, next: Next) -> Response {
    let found = match bearer(request.headers()) {
        Some(token) => tokio::task::block_in_place(|| hub.registry.operator(token)),
        None => Ok(None),
    };
    let operator = match found {
        Ok(Some(operator)) => operator,
        Ok(None) => {
            let why = "this needs a token: `proactl operator add` on the server's machine makes one";
            let mut refused = refusal(StatusCode::UNAUTHORIZED, why);
            refused.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            return refused;
        }
        Err(error) => return error.into_response(),
    };
    if operator.role == Role::Viewer && request.method() != Method::GET {
        return refusal(StatusCode::FORBIDDEN, "a viewer looks and changes nothing");
    }
    request.extensions_mut().insert(ConnectInfo(Operator(format!("operator {}", operator.name))));
    let mut answer = next.run(request).await;
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn refusal(status: StatusCode, why: &str) -> Response {
    (status, Json(Problem { error: why.to_owned() })).into_response()
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

/// Connections whose handshake is done, from all addresses together.
pub struct Listener {
    ready: mpsc::Receiver<(Guarded, SocketAddr)>,
    address: SocketAddr,
}

impl Listener {
    /// Takes connections on these sockets; a slow handshake keeps nobody else waiting.
    ///
    /// # Errors
    /// A socket that has no address.
    pub fn new(listeners: Vec<TcpListener>, tls: Arc<rustls::ServerConfig>) -> io::Result<Listener> {
        let (sender, ready) = mpsc::channel(WAITING_MAX);
        let address = listeners.first().ok_or(io::ErrorKind::AddrNotAvailable)?.local_addr()?;
        let clients = Strangers::default();
        for listener in listeners {
            tokio::spawn(take(listener, TlsAcceptor::from(tls.clone()), clients.clone(), sender.clone()));
        }
        Ok(Listener { ready, address })
    }
}

async fn take(
    listener: TcpListener,
    tls: TlsAcceptor,
    clients: Strangers,
    ready: mpsc::Sender<(Guarded, SocketAddr)>,
) {
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                let client = clients.admit(from.ip());
                let (tls, ready) = (tls.clone(), ready.clone());
                tokio::spawn(async move {
                    drop(stream.set_nodelay(true));
                    let shaken = tokio::select! {
                        shaken = tokio::time::timeout(HANDSHAKE_MAX, tls.accept(stream)) => shaken,
                        () = client.evicted() => return,
                    };
                    // Who does not speak TLS is no news.
                    if let Ok(Ok(stream)) = shaken {
                        drop(ready.send((Guarded::new(stream, client), from)).await);
                    }
                });
            }
            Err(error) => {
                tracing::warn!("a connection to the interface is not taken: {error}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

impl axum::serve::Listener for Listener {
    type Io = Guarded;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Guarded, SocketAddr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            // Those who take connections never end.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.address)
    }
}

/// A connection that ends when it has to make room for another.
pub struct Guarded {
    stream: TlsStream<TcpStream>,
    evicted: Pin<Box<dyn Future<Output = ()> + Send>>,
}

impl Guarded {
    fn new(stream: TlsStream<TcpStream>, client: Stranger) -> Guarded {
        Guarded { stream, evicted: Box::pin(async move { client.evicted().await }) }
    }

    fn look(&mut self, context: &mut Context<'_>) -> io::Result<()> {
        match self.evicted.as_mut().poll(context) {
            Poll::Ready(()) => Err(io::ErrorKind::ConnectionAborted.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Guarded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Err(error) = self.look(context) {
            // The future has ended and must not be asked again.
            self.evicted = Box::pin(std::future::pending());
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Guarded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
