//! Asking the daemon.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::{Request, Response};

/// How long the daemon may be silent.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens there.
    #[error("no proa answers at {path} ({source}): is it running, and is this its socket?")]
    Connect {
        /// The socket.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
    /// The connection broke.
    #[error("proa stopped answering: {0}")]
    Broken(#[from] std::io::Error),
    /// The answer is none of this protocol.
    #[error("the answer is not understood ({0}): are proa and proactl of one version?")]
    Garbled(#[from] serde_json::Error),
    /// The daemon can not answer.
    #[error("{0}")]
    Refused(String),
}

/// Asks, and hands over each line of the answer.
///
/// # Errors
/// [`Error`]; what was handed over until then is sound.
pub fn ask(socket: &Path, request: &Request, mut take: impl FnMut(Response)) -> Result<(), Error> {
    let stream = UnixStream::connect(socket)
        .map_err(|source| Error::Connect { path: socket.display().to_string(), source })?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let mut line = serde_json::to_string(request)?;
    line.push('\n');
    (&stream).write_all(line.as_bytes())?;
    for line in BufReader::new(&stream).lines() {
        match serde_json::from_str(&line?)? {
            Response::Error(message) => return Err(Error::Refused(message)),
            response => take(response),
        }
    }
    Ok(())
}
