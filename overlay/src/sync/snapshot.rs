//! A node's part of the overlay at one revision: complete, numbered, and checked.

use core::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};

/// What the first line of a kept snapshot begins with.
const MARK: &str = "# Kept by proa, do not edit: revision ";

/// SHA-256 over a topology's text.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Checksum(pub [u8; 32]);

/// What a node has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The revision of the overlay that it is part of. Revisions only grow.
    pub revision: u64,
    /// The checksum of the node's part at this revision.
    pub checksum: Checksum,
}

/// A node's part of the overlay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Which it is.
    pub held: Held,
    /// A topology file's text.
    pub topology: String,
}

/// Why a kept snapshot can not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// It does not begin as one.
    #[error("its first line is not that of a kept snapshot")]
    NoSnapshot,
    /// Text and checksum are not of each other.
    #[error("its text does not match its checksum")]
    Changed,
}

impl Checksum {
    /// The checksum of a topology's text.
    pub fn of(topology: &str) -> Checksum {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, topology.as_bytes()).as_ref());
        Checksum(bytes)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Snapshot {
    /// A topology's text at a revision.
    pub fn new(revision: u64, topology: String) -> Snapshot {
        Snapshot { held: Held { revision, checksum: Checksum::of(&topology) }, topology }
    }

    /// Whether text and checksum are of each other.
    pub fn is_whole(&self) -> bool {
        Checksum::of(&self.topology) == self.held.checksum
    }

    /// The snapshot as a file: a topology file whose first line is a comment with revision and checksum.
    pub fn to_file(&self) -> String {
        format!("{MARK}{} sha256 {}\n{}", self.held.revision, self.held.checksum, self.topology)
    }

    /// The snapshot that a file holds.
    ///
    /// # Errors
    /// [`Broken`].
    pub fn from_file(text: &str) -> Result<Snapshot, Broken> {
        let (line, topology) = text.split_once('\n').ok_or(Broken::NoSnapshot)?;
        let (revision, checksum) =
            line.strip_prefix(MARK).and_then(|rest| rest.split_once(" sha256 ")).ok_or(Broken::NoSnapshot)?;
        let snapshot = Snapshot::new(revision.parse().map_err(|_| Broken::NoSnapshot)?, topology.to_owned());
        if snapshot.held.checksum.to_string() != checksum {
            return Err(Broken::Changed);
        }
        Ok(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_holds_what_was_put_in_and_no_changed_byte_passes() {
        let snapshot = Snapshot::new(7, "overlay_id = 1\n\n[[region]]\nname = \"paris\"\n".to_owned());
        let file = snapshot.to_file();
        assert_eq!(Snapshot::from_file(&file), Ok(snapshot.clone()));
        for at in 0..file.len() {
            let mut changed = file.clone().into_bytes();
            changed[at] ^= 1;
            let read = Snapshot::from_file(core::str::from_utf8(&changed).unwrap());
            // A digit of the revision is no part of the text; all else is found.
            assert!(read.is_err() || read.unwrap().topology == snapshot.topology);
        }
        for cut in 0..file.len() {
            assert!(Snapshot::from_file(&file[..cut]).is_err());
        }
    }
}
