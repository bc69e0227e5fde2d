//! TLS 1.3 towards nodes: those with a certificate of this authority, and those that come to join.

use std::sync::Arc;

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::authority::Authority;

/// Why TLS can not be set up.
#[derive(Debug, thiserror::Error)]
#[error("TLS can not be set up with these certificates: {0}")]
pub struct Error(pub(crate) String);

/// The settings. A certificate is asked for but need not come: who has none may join and do nothing else, by
/// `overlay::sync::Server`. One that is wrong or whose time is over ends the handshake.
///
/// # Errors
/// [`Error`].
pub fn settings(authority: &Authority) -> Result<Arc<ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).map_err(|error| Error(error.to_string()))?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|error| Error(error.to_string()))?;
    let (certificate, key) = authority.server();
    let mut settings = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| Error(error.to_string()))?
        .with_client_cert_verifier(verifier)
        // The authority comes along: a node that joins knows its fingerprint only.
        .with_single_cert(vec![certificate, authority.certificate().clone()], key)
        .map_err(|error| Error(error.to_string()))?;
    // A ticket would let a node in whose certificate is not looked at again.
    settings.send_tls13_tickets = 0;
    Ok(Arc::new(settings))
}
