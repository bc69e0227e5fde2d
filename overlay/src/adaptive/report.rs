//! What a receiver tells a sender of its paths: UDP inside an overlay packet with the O bit, which goes back the way of a path.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |    Version    |     Count     |           reserved            |
//! |                             Life                              |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |             Path              |           reserved            | × count
//! |                           Numbered                            |
//! |                           Received                            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! *Numbered* is how many packets the sender has numbered on the path so far, as far as the receiver knows, and *received* how many of them came;
//! both modulo 2³², from anywhere, in a *life* of the receiver. They are told again and again, so a report that is lost is made up for by
//! the next.

use crate::topology::PathId;

/// UDP port, as source and as destination.
pub const PORT: u16 = 4798;
/// Paths that one report tells of.
pub const PATHS_MAX: usize = 8;
/// Bytes of a report at most.
pub const REPORT_LEN_MAX: usize = HEAD_LEN + PATHS_MAX * ENTRY_LEN;

const VERSION: u8 = 1;
const HEAD_LEN: usize = 8;
const ENTRY_LEN: usize = 12;

/// Why a packet is no report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no loss report of this version")]
pub struct Refusal;

/// What has come over one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The path.
    pub path: PathId,
    /// Packets numbered on it.
    pub numbered: u32,
    /// Of these, packets that came.
    pub received: u32,
}

/// A report.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The receiver's life: with another one its counts begin anew.
    pub life: u32,
    /// By path; at most [`PATHS_MAX`].
    pub entries: Vec<Entry>,
}

impl Report {
    /// Reads a UDP payload; what follows is padding.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn parse(payload: &[u8]) -> Result<Report, Refusal> {
        let (&[version, count, _, _, a, b, c, d], rest) = payload.split_first_chunk().ok_or(Refusal)?;
        let count = usize::from(count);
        let entries = rest.get(..count * ENTRY_LEN).ok_or(Refusal)?;
        if version != VERSION || count > PATHS_MAX {
            return Err(Refusal);
        }
        let read = |entry: &[u8]| {
            let &[high, low, _, _, n0, n1, n2, n3, r0, r1, r2, r3] = entry.first_chunk()?;
            let path = PathId(u16::from_be_bytes([high, low]));
            let (numbered, received) =
                (u32::from_be_bytes([n0, n1, n2, n3]), u32::from_be_bytes([r0, r1, r2, r3]));
            (path.0 != 0).then_some(Entry { path, numbered, received })
        };
        let entries = entries.chunks_exact(ENTRY_LEN).map(read).collect::<Option<_>>().ok_or(Refusal)?;
        Ok(Report { life: u32::from_be_bytes([a, b, c, d]), entries })
    }

    /// The UDP payload.
    pub fn to_bytes(&self) -> Vec<u8> {
        let entries = self.entries.iter().take(PATHS_MAX);
        let mut bytes = vec![VERSION, entries.len() as u8, 0, 0];
        bytes.extend(self.life.to_be_bytes());
        for Entry { path, numbered, received } in entries {
            bytes.extend(path.0.to_be_bytes());
            bytes.extend([0, 0]);
            bytes.extend(numbered.to_be_bytes());
            bytes.extend(received.to_be_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_stand_where_they_are_drawn() {
        let entries = vec![Entry { path: PathId(0x0102), numbered: 0x0304_0506, received: 0x0708_090a }];
        let bytes = Report { life: 0x1122_3344, entries }.to_bytes();
        assert_eq!(bytes, [1, 1, 0, 0, 0x11, 0x22, 0x33, 0x44, 1, 2, 0, 0, 3, 4, 5, 6, 7, 8, 9, 10]);
        assert_eq!(Report::parse(&bytes[..19]), Err(Refusal));
        assert_eq!(Report::parse(&[2, 0, 0, 0, 0, 0, 0, 0]), Err(Refusal));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..120), head in any::<bool>()) {
            let mut bytes = bytes;
            if head && bytes.len() > 1 {
                (bytes[0], bytes[1]) = (1, bytes[1] % 10);
            }
            if let Ok(report) = Report::parse(&bytes) {
                prop_assert_eq!(Report::parse(&report.to_bytes()), Ok(report));
            }
        }
    }
}
