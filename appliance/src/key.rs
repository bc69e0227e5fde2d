//! `proa key`: makes a node's key and shows its public half, as the topology file wants it.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use overlay::keys::{Identity, PublicIdentity};
use rustix::rand::{GetRandomFlags, getrandom};
use zeroize::Zeroizing;

/// Writes a new private key into a file that is not there yet, and returns the line for the topology file.
///
/// # Errors
/// What went wrong, as a sentence with its mend.
pub fn generate(path: &Path) -> Result<String, String> {
    let mut seed = Zeroizing::new([0; 32]);
    let filled = getrandom(&mut seed[..], GetRandomFlags::empty());
    if filled != Ok(seed.len()) {
        return Err("the kernel gave no random bytes; try again".to_owned());
    }
    let identity = Identity::from_seed(&seed).map_err(|error| error.to_string())?;
    let failed = |error: std::io::Error| match error.kind() {
        ErrorKind::AlreadyExists => {
            format!(
                "{} is there already; name another file with --out, or show it with `proa key show`",
                path.display()
            )
        }
        _ => format!("{} can not be written: {error}; name another file with --out", path.display()),
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    file.write_all(conf::key::text(&seed).as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(line(identity.public()))
}

/// The line for the topology file of the key in a file.
///
/// # Errors
/// Why the file can not be used, as a sentence with its mend.
pub fn show(path: &Path) -> Result<String, String> {
    conf::key::read(path).map(|identity| line(identity.public())).map_err(|error| error.to_string())
}

fn line(public: PublicIdentity) -> String {
    format!("public_key = \"{public}\"")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_is_made_once_and_for_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("edge-1.key");
        let line = generate(&path).unwrap();
        assert!(line.starts_with("public_key = \"ed25519:") && line.len() == 14 + 8 + 64 + 1, "{line}");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(show(&path), Ok(line.clone()));
        let again = generate(&path).unwrap_err();
        assert!(again.contains("is there already"), "{again}");
        assert_eq!(show(&path), Ok(line.clone()));
        assert_ne!(generate(&folder.path().join("other.key")), Ok(line));
        assert!(generate(&folder.path().join("no/folder.key")).is_err());
    }
}
