//! A node's private key in a file: one line of text, for its owner's eyes only.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use overlay::keys::{Identity, PublicIdentity};
use zeroize::{Zeroize, Zeroizing};

/// What stands before the digits.
const PREFIX: &str = "ed25519-private:";

/// Longest file that is read, in bytes.
const BYTES_MAX: u64 = 4096;

/// Why a key file can not be used, with its mend.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It can not be read.
    #[error("the key file {path} can not be read: {why}; make one with `proa key generate --out {path}`, readable by this user", why = .1, path = .0.display())]
    Unreadable(PathBuf, #[source] io::Error),
    /// It is a directory, a device, or the like.
    #[error("the key file {path} is no ordinary file; name the one that `proa key generate` wrote", path = .0.display())]
    NoFile(PathBuf),
    /// Others than its owner may read or change it. The second value is its mode.
    #[error("the key file {path} may be read or changed by others (mode {mode:04o}); run `chmod 600 {path}`, and make a new key if somebody may have read it", path = .0.display(), mode = .1)]
    Exposed(PathBuf, u32),
    /// It holds something else.
    #[error("the key file {path} holds no private key; it should have a line {PREFIX} with 64 hexadecimal digits, as `proa key generate` writes it", path = .0.display())]
    NoKey(PathBuf),
    /// It holds another node's key. The second value is the public half of what it holds.
    #[error("the key file {path} is not the key that the topology has for this node; put public_key = \"{public}\" there, or name the right file", path = .0.display(), public = .1)]
    Other(PathBuf, PublicIdentity),
}

/// Reads the identity of a key file.
///
/// # Errors
/// Why it can not be used, and what to do.
pub fn read(path: &Path) -> Result<Identity, KeyError> {
    let unreadable = |error| KeyError::Unreadable(path.to_owned(), error);
    // A pipe must not make us wait for its writer.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path).map_err(unreadable)?;
    let opened = file.metadata().map_err(unreadable)?;
    if !opened.is_file() {
        return Err(KeyError::NoFile(path.to_owned()));
    }
    if opened.mode() & 0o077 != 0 {
        return Err(KeyError::Exposed(path.to_owned(), opened.mode() & 0o7777));
    }
    // Claimed at once, so that growing leaves no copy behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES_MAX as usize));
    file.take(BYTES_MAX).read_to_end(&mut bytes).map_err(unreadable)?;
    parse(&bytes).ok_or_else(|| KeyError::NoKey(path.to_owned()))
}

/// What a key file holds, from 32 random bytes.
pub fn text(seed: &[u8; 32]) -> Zeroizing<String> {
    let mut text = String::with_capacity(256);
    text.push_str("# The private key of a Proa node. Whoever reads it can stand in for the node.\n");
    text.push_str(PREFIX);
    for byte in seed {
        for half in [byte >> 4, byte & 0xf] {
            text.push(char::from_digit(half.into(), 16).unwrap_or('0'));
        }
    }
    text.push('\n');
    Zeroizing::new(text)
}

fn parse(bytes: &[u8]) -> Option<Identity> {
    let text = core::str::from_utf8(bytes).ok()?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let digits = lines.next()?.strip_prefix(PREFIX)?.as_bytes();
    if digits.len() != 64 || lines.next().is_some() {
        return None;
    }
    let mut seed = Zeroizing::new([0; 32]);
    for (byte, pair) in seed.iter_mut().zip(digits.chunks_exact(2)) {
        let mut value = 0;
        for digit in pair {
            value = value << 4 | char::from(*digit).to_digit(16)? as u8;
        }
        *byte = value;
        value.zeroize();
    }
    Identity::from_seed(&seed).ok()
}

#[cfg(test)]
mod tests {
    use std::fs::{Permissions, set_permissions, write};
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file(text: &[u8], mode: u32) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("node.key");
        write(&path, text).unwrap();
        set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        (folder, path)
    }

    #[test]
    fn what_is_written_is_read() {
        let seed = [0xa7; 32];
        let (_folder, path) = file(text(&seed).as_bytes(), 0o600);
        assert_eq!(read(&path).unwrap().public(), Identity::from_seed(&seed).unwrap().public());
    }

    #[test]
    fn a_file_that_others_can_read_is_refused_with_the_command_that_mends_it() {
        for mode in [0o640, 0o604, 0o620, 0o666, 0o601] {
            let (_folder, path) = file(text(&[1; 32]).as_bytes(), mode);
            let error = read(&path).unwrap_err();
            assert!(matches!(error, KeyError::Exposed(_, found) if found == mode), "{mode:o}");
            assert!(error.to_string().contains("chmod 600 "), "{error}");
        }
    }

    #[test]
    fn other_files_are_no_key() {
        let good = text(&[1; 32]);
        let public = Identity::from_seed(&[1; 32]).unwrap().public().to_string();
        let cases: [&[u8]; 6] = [
            b"",
            b"\xff\xfe",
            &good.as_bytes()[..good.len() - 3],
            &[b'#'; 9000],
            public.as_bytes(),
            b"ed25519-private:zz",
        ];
        for text in cases {
            let (_folder, path) = file(text, 0o600);
            assert!(matches!(read(&path), Err(KeyError::NoKey(_))));
        }
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read(folder.path()), Err(KeyError::NoFile(_))));
        assert!(matches!(read(&folder.path().join("none")), Err(KeyError::Unreadable(..))));
    }
}
