//! The control socket: only its owner may use it, and a forgotten one is replaced.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use mio::net::UnixListener;
use rustix::fs::Mode;

/// Why there is no control socket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A daemon answers there.
    #[error("another proa answers on the control socket {0}: stop it, or set another control.socket")]
    InUse(PathBuf),
    /// Something else has this name.
    #[error("{0} is there already and is no socket: remove it, or set another control.socket")]
    NotASocket(PathBuf),
    /// The system refuses.
    #[error("no control socket at {0} ({1}): the directory must exist and be writable for this user")]
    System(PathBuf, io::Error),
}

/// A socket that listens, and that is removed at the end.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
}

impl Socket {
    /// Listens at `path`, whose directory is made if it is missing.
    ///
    /// # Errors
    /// [`Error`].
    pub fn bind(path: &Path) -> Result<(Socket, UnixListener), Error> {
        use std::os::unix::fs::FileTypeExt;
        let system = |error| Error::System(path.to_owned(), error);
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(system)?;
        }
        match std::fs::symlink_metadata(path) {
            Ok(found) if !found.file_type().is_socket() => return Err(Error::NotASocket(path.to_owned())),
            Ok(_) if UnixStream::connect(path).is_ok() => return Err(Error::InUse(path.to_owned())),
            // Nobody listens any more.
            Ok(_) => std::fs::remove_file(path).map_err(system)?,
            Err(_) => {}
        }
        // The mode has to be right from the first moment on; a chmod would come too late.
        let before = rustix::process::umask(Mode::from_raw_mode(0o177));
        let bound = UnixListener::bind(path);
        rustix::process::umask(before);
        Ok((Socket { path: path.to_owned() }, bound.map_err(system)?))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.path));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn is_private_refuses_a_second_and_replaces_a_forgotten_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/node.sock");
        let (socket, listener) = Socket::bind(&path).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(Socket::bind(&path), Err(Error::InUse(_))));
        drop(listener);
        let (second, _listener) = Socket::bind(&path).unwrap();
        drop((socket, second));
        assert!(!path.exists());
        std::fs::write(&path, "precious").unwrap();
        assert!(matches!(Socket::bind(&path), Err(Error::NotASocket(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
    }
}
