//! The certificate authority: made by `proa-server init`, it vouches for the server and for every node that joined.
//!
//! Of a node's request for a certificate nothing is taken but its public key; all else is written here.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, OffsetDateTime};

/// The name that the server's certificate has, whatever its address is.
pub const SERVER_NAME: &str = "proa-server";
/// How long the authority and the server's certificate last, days. The latter is made at each start.
const AUTHORITY_DAYS: i64 = 3650;
/// What clocks may differ, hours.
const SLACK_HOURS: i64 = 24;
/// Longest request for a certificate, bytes.
const REQUEST_BYTES_MAX: usize = 8192;

/// Why there is no authority, or no certificate.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file can not be read or written.
    #[error("{0}: {1}; run `proa-server init` first, as the user that runs the server")]
    File(PathBuf, std::io::Error),
    /// `init` was run before.
    #[error("{0} is there already: this server has an authority")]
    Exists(PathBuf),
    /// A file holds no certificate or no key.
    #[error("{0} is damaged; restore it from a backup")]
    Damaged(PathBuf),
    /// The library refuses.
    #[error("no certificate can be made: {0}")]
    Library(#[from] rcgen::Error),
    /// The request is none, or its signature is not its key's.
    #[error("the request for a certificate is not signed by its own key, or is none")]
    Request,
}

/// The authority, and the server's own certificate.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    server: (CertificateDer<'static>, PrivateKeyDer<'static>),
}

impl Authority {
    /// Makes an authority in a directory, which is made too. Nothing that is there is overwritten.
    ///
    /// # Errors
    /// [`Error`].
    pub fn init(directory: &Path) -> Result<(), Error> {
        use std::os::unix::fs::DirBuilderExt;
        let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
        made.map_err(|error| Error::File(directory.to_owned(), error))?;
        let key = KeyPair::generate()?;
        let mut params = named("Proa authority", Duration::days(AUTHORITY_DAYS))?;
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key)?;
        write(&directory.join("authority.key"), &key.serialize_pem())?;
        write(&directory.join("authority.pem"), &certificate.pem())
    }

    /// Reads what [`Authority::init`] made.
    ///
    /// # Errors
    /// [`Error`].
    pub fn load(directory: &Path) -> Result<Authority, Error> {
        let text = |name: &str| {
            let path = directory.join(name);
            std::fs::read_to_string(&path).map_err(|error| Error::File(path, error))
        };
        let damaged = |name: &str| Error::Damaged(directory.join(name));
        let certificate =
            |name: &str| CertificateDer::from_pem_slice(text(name)?.as_bytes()).map_err(|_| damaged(name));
        let key = |name: &str| KeyPair::from_pem(&text(name)?).map_err(|_| damaged(name));
        let authority = certificate("authority.pem")?;
        let issuer = Issuer::from_ca_cert_der(&authority, key("authority.key")?)?;
        let server_key = KeyPair::generate()?;
        let mut params = named(SERVER_NAME, Duration::days(AUTHORITY_DAYS))?;
        params.subject_alt_names = vec![rcgen::SanType::DnsName(SERVER_NAME.try_into()?)];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let server = params.signed_by(&server_key, &issuer)?.der().clone();
        let server_key = PrivatePkcs8KeyDer::from(server_key.serialize_der());
        Ok(Authority { issuer, certificate: authority, server: (server, server_key.into()) })
    }

    /// The authority's own certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// SHA-256 of the authority's certificate, as join tokens carry it.
    pub fn fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.certificate)
    }

    /// The server's certificate with its key.
    pub fn server(&self) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
        (self.server.0.clone(), self.server.1.clone_key())
    }

    /// A certificate for a node, for the key that signed its request, good for so many seconds from now; of a negative number
    /// comes a certificate whose time is over.
    ///
    /// # Errors
    /// [`Error::Request`].
    pub fn certify(
        &self,
        node: &str,
        request: &[u8],
        seconds: i64,
    ) -> Result<CertificateDer<'static>, Error> {
        if request.len() > REQUEST_BYTES_MAX {
            return Err(Error::Request);
        }
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(request));
        let key = request.map_err(|_| Error::Request)?.public_key;
        let mut params = named(node, Duration::seconds(seconds))?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        Ok(params.signed_by(&key, &self.issuer)?.der().clone())
    }
}

/// SHA-256 of a certificate.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest(&SHA256, certificate).as_ref());
    bytes
}

fn named(name: &str, lasts: Duration) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before =
        OffsetDateTime::now_utc() - Duration::hours(SLACK_HOURS) - (-lasts).max(Duration::ZERO);
    params.not_after = OffsetDateTime::now_utc() + lasts;
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = opened.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Error::Exists(path.to_owned()),
        _ => Error::File(path.to_owned(), error),
    })?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
    written.map_err(|error| Error::File(path.to_owned(), error))
}
