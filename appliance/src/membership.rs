//! What makes this machine one of the overlay's nodes, in the directory that its node file names: a TLS key that never leaves
//! it, the certificate that the server gave, the authority's certificate, and the last good snapshot.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use conf::Servers;
use overlay::sync::Snapshot;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

/// The name that every server's certificate has.
pub const SERVER_NAME: &str = "proa-server";

/// The certificate and its key in one file, so that at any moment there are two that belong together.
const CERTIFICATE: &str = "node.pem";
const AUTHORITY: &str = "authority.pem";

/// Why the node can not speak with the server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the directory can not be read.
    #[error("{0} can not be read ({1}): run `proa join` with a token of the server")]
    File(PathBuf, String),
    /// A file of the directory can not be written.
    #[error("{0} can not be written ({1}): let this user write there, or name another [server] directory")]
    Unwritten(PathBuf, io::Error),
    /// The certificates do not fit.
    #[error("the certificates in {0} can not be used ({1}): run `proa join` with a new token")]
    Certificates(PathBuf, String),
}

/// TLS with the certificate of a node that has joined.
///
/// # Errors
/// [`Error`].
pub fn tls(servers: &Servers) -> Result<Arc<ClientConfig>, Error> {
    let unusable = |error: rustls::Error| Error::Certificates(servers.directory.clone(), error.to_string());
    let path = |name: &str| servers.directory.join(name);
    let unread = |name: &str| {
        let path = path(name);
        move |error: rustls::pki_types::pem::Error| Error::File(path, error.to_string())
    };
    let certificate = CertificateDer::from_pem_file(path(CERTIFICATE)).map_err(unread(CERTIFICATE))?;
    let key = PrivateKeyDer::from_pem_file(path(CERTIFICATE)).map_err(unread(CERTIFICATE))?;
    let authority = CertificateDer::from_pem_file(path(AUTHORITY)).map_err(unread(AUTHORITY))?;
    let mut roots = RootCertStore::empty();
    roots.add(authority).map_err(unusable)?;
    let settings = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(unusable)?
        .with_root_certificates(roots)
        .with_client_auth_cert(vec![certificate], key)
        .map_err(unusable)?;
    Ok(Arc::new(settings))
}

/// TLS of a node that is to join: it knows nothing of the server but its authority's fingerprint.
///
/// # Errors
/// The library's.
pub fn tls_to_join(authority: [u8; 32]) -> Result<Arc<ClientConfig>, rustls::Error> {
    let pinned = Pinned { authority, provider: provider() };
    let settings = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(pinned))
        .with_no_client_auth();
    Ok(Arc::new(settings))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Keeps what a join brought.
///
/// # Errors
/// [`Error::Unwritten`].
pub fn keep_certificates(
    servers: &Servers,
    key: &str,
    certificate: &[u8],
    authority: &[u8],
) -> Result<(), Error> {
    let directory = &servers.directory;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| Error::Unwritten(directory.clone(), error))?;
    write(&directory.join(AUTHORITY), &pem(authority))?;
    keep_certificate(servers, key, certificate)
}

/// Keeps another certificate with its key, written as PEM.
///
/// # Errors
/// [`Error::Unwritten`].
pub fn keep_certificate(servers: &Servers, key: &str, certificate: &[u8]) -> Result<(), Error> {
    write(&servers.directory.join(CERTIFICATE), &(pem(certificate) + key))
}

/// Whether a certificate that has come is of this key: one of another would leave the node without any that works.
///
/// # Errors
/// What is wrong.
pub fn check_certificate(key: &str, certificate: &[u8]) -> Result<(), String> {
    let certificate = CertificateDer::from(certificate.to_vec());
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|error| error.to_string())?;
    rustls::sign::CertifiedKey::from_der(vec![certificate], key, &provider())
        .map(drop)
        .map_err(|error| error.to_string())
}

/// A new key, written as PEM, and a request for a certificate of it (PKCS #10), DER.
///
/// # Errors
/// The library's.
pub fn request() -> Result<(String, Vec<u8>), rcgen::Error> {
    let key = rcgen::KeyPair::generate()?;
    let request = rcgen::CertificateParams::new(Vec::new())?.serialize_request(&key)?;
    Ok((key.serialize_pem(), request.der().to_vec()))
}

/// The last good snapshot; `None` where there is none, or it is damaged.
pub fn kept(servers: &Servers) -> Option<Snapshot> {
    let text = std::fs::read_to_string(servers.snapshot_file()).ok()?;
    match Snapshot::from_file(&text) {
        Ok(snapshot) => Some(snapshot),
        Err(why) => {
            tracing::warn!("{} is not used: {why}", servers.snapshot_file().display());
            None
        }
    }
}

/// Keeps a snapshot; what was kept before stays until this one is on the disk.
///
/// # Errors
/// [`Error::Unwritten`].
pub fn keep(servers: &Servers, snapshot: &Snapshot) -> Result<(), Error> {
    write(&servers.snapshot_file(), &snapshot.to_file())
}

/// Writes a file so that at any moment there is the old one or the new one, whole.
fn write(path: &Path, text: &str) -> Result<(), Error> {
    let new = path.with_extension("new");
    let result = (|| {
        drop(std::fs::remove_file(&new));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    })();
    result.map_err(|error| Error::Unwritten(path.to_owned(), error))
}

/// A certificate as text (RFC 7468).
fn pem(der: &[u8]) -> String {
    use std::fmt::Write;
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let value =
                (0..3).fold(0u32, |value, at| value << 8 | u32::from(three.get(at).copied().unwrap_or(0)));
            for digit in 0..4 {
                let sextet = (value >> (18 - 6 * digit) & 63) as usize;
                let shown = if digit <= three.len() { char::from(DIGITS[sextet]) } else { '=' };
                let _ = write!(text, "{shown}");
            }
        }
        text.push('\n');
    }
    text + "-----END CERTIFICATE-----\n"
}

/// Trusts whom the authority of a fingerprint vouches for. The server sends that authority's certificate along.
#[derive(Debug)]
struct Pinned {
    authority: [u8; 32],
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let named = |one: &&CertificateDer<'_>| digest(&SHA256, one).as_ref() == self.authority;
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let authority = intermediates.iter().find(named).ok_or_else(unknown)?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone()).build();
        let verifier = verifier.map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certificates_are_written_as_they_are_read() {
        for length in [1, 2, 3, 47, 48, 49, 500] {
            let der: Vec<u8> = (0..length).map(|at| (at * 7) as u8).collect();
            let read = CertificateDer::from_pem_slice(pem(&der).as_bytes()).unwrap();
            assert_eq!(read.as_ref(), der);
        }
    }

    #[test]
    fn a_damaged_snapshot_is_not_used_and_a_new_one_takes_its_place() {
        let folder = tempfile::tempdir().unwrap();
        let servers = Servers { addresses: Vec::new(), directory: folder.path().to_owned() };
        assert!(kept(&servers).is_none());
        let snapshot = Snapshot::new(3, "overlay_id = 1\n".to_owned());
        keep(&servers, &snapshot).unwrap();
        assert_eq!(kept(&servers), Some(snapshot.clone()));
        let whole = std::fs::read(servers.snapshot_file()).unwrap();
        std::fs::write(servers.snapshot_file(), &whole[..whole.len() - 3]).unwrap();
        assert!(kept(&servers).is_none());
        keep(&servers, &snapshot).unwrap();
        assert_eq!(kept(&servers), Some(snapshot));
    }
}
