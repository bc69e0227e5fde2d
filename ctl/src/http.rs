//! Asks the control server: HTTP/1.1 over its Unix socket, one request per connection.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

/// Longest answer that is taken, bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long the server may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No server.
    #[error("no proa-server answers on {0} ({1}): start it, or name its socket with --server")]
    Away(std::path::PathBuf, io::Error),
    /// The connection ended.
    #[error("the server's answer did not come: {0}")]
    Lost(#[from] io::Error),
    /// Not HTTP, or not JSON.
    #[error("the server's answer is not understood; server and proactl of one release belong together")]
    Nonsense,
    /// The server says no.
    #[error("{0}")]
    Refused(String),
}

/// Sends a request and returns the JSON of a good answer. `target` is a path with its query.
///
/// # Errors
/// [`Error`].
pub fn request(
    socket: &Path,
    method: &str,
    target: &str,
    (kind, body): (&str, &[u8]),
) -> Result<Value, Error> {
    let away = |error| Error::Away(socket.to_owned(), error);
    let mut stream = UnixStream::connect(socket).map_err(away)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let length = body.len();
    let head = format!(
        "{method} {target} HTTP/1.1\r\nHost: proa-server\r\nContent-Type: {kind}\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    // A server that refuses may not wait for the whole body; its answer says why.
    let sent = stream.write_all(body);
    let mut answer = Vec::new();
    let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer);
    if answer.is_empty() {
        sent?;
        read?;
    }
    parse(&answer)
}

fn parse(answer: &[u8]) -> Result<Value, Error> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n").ok_or(Error::Nonsense)?;
    let (head, body) = (answer.get(..end).unwrap_or(&[]), answer.get(end + 4..).unwrap_or(&[]));
    let head = core::str::from_utf8(head).map_err(|_| Error::Nonsense)?;
    let status: u16 = head.split(' ').nth(1).and_then(|word| word.parse().ok()).ok_or(Error::Nonsense)?;
    let value: Result<Value, _> = serde_json::from_slice(body);
    if (200..300).contains(&status) {
        return value.map_err(|_| Error::Nonsense);
    }
    let told = value.ok().and_then(|value| Some(value.get("error")?.as_str()?.to_owned()));
    // What no handler of ours wrote is plain text.
    Err(Error::Refused(told.unwrap_or_else(|| String::from_utf8_lossy(body).trim().to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_refusals_told() {
        assert_eq!(parse(b"HTTP/1.1 200 OK\r\nx: y\r\n\r\n{\"a\":1}").unwrap()["a"], 1);
        let refused = parse(b"HTTP/1.1 409 Conflict\r\n\r\n{\"error\":\"moved\"}").unwrap_err();
        assert!(matches!(refused, Error::Refused(why) if why == "moved"));
        let plain = parse(b"HTTP/1.1 413 Payload Too Large\r\n\r\nlength limit exceeded").unwrap_err();
        assert!(matches!(plain, Error::Refused(why) if why == "length limit exceeded"));
        for nonsense in [&b""[..], b"SSH-2.0", b"HTTP/1.1 200 OK\r\n\r\n{"] {
            assert!(matches!(parse(nonsense), Err(Error::Nonsense)));
        }
    }
}
