//! What probes and acknowledgements look like: UDP between two nodes' underlay addresses, with "don't fragment" set.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |    Version    |     Kind      |             Count             |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                             Token                             |
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |             Path              |              MTU              | × count, acknowledgements only
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! A probe is padded with zeros. An acknowledgement tells what the links behind its sender carry of the paths that the
//! prober's packets take through it: so the ends of a path know the smallest MTU of all its links. It is never longer
//! than the probe.

use crate::topology::PathId;

/// UDP port of both, as source and as destination.
pub const PORT: u16 = 4794;
/// Bytes of a probe without its padding.
pub const PROBE_LEN: usize = 12;
/// Bytes of an acknowledgement that tells of no path.
pub const ACK_LEN: usize = 12;

const VERSION: u8 = 1;
const PROBE: u8 = 1;
const ACK: u8 = 2;
/// Bytes that tell of a path.
const ENTRY_LEN: usize = 4;

/// Why a packet is neither.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no probe or acknowledgement of this version")]
pub struct Refusal;

/// A probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// What its acknowledgement repeats.
    pub token: u64,
}

/// An acknowledgement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// The probe's.
    pub token: u64,
    /// Bytes that packets may have from there on, by path.
    pub onward: Vec<(PathId, u16)>,
}

fn head(kind: u8, count: u16, token: u64) -> Vec<u8> {
    let mut bytes = vec![VERSION, kind];
    bytes.extend(count.to_be_bytes());
    bytes.extend(token.to_be_bytes());
    bytes
}

fn read_head(payload: &[u8], kind: u8) -> Result<(u16, u64, &[u8]), Refusal> {
    let (&[version, found, high, low], rest) = payload.split_first_chunk().ok_or(Refusal)?;
    let (token, rest) = rest.split_first_chunk().ok_or(Refusal)?;
    if version != VERSION || found != kind {
        return Err(Refusal);
    }
    Ok((u16::from_be_bytes([high, low]), u64::from_be_bytes(*token), rest))
}

impl Probe {
    /// Reads a UDP payload.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn parse(payload: &[u8]) -> Result<Probe, Refusal> {
        read_head(payload, PROBE).map(|(_, token, _)| Probe { token })
    }

    /// The UDP payload without its padding.
    pub fn to_bytes(&self) -> Vec<u8> {
        head(PROBE, 0, self.token)
    }
}

impl Ack {
    /// Reads a UDP payload.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn parse(payload: &[u8]) -> Result<Ack, Refusal> {
        let (count, token, rest) = read_head(payload, ACK)?;
        let entries = rest.get(..count as usize * ENTRY_LEN).ok_or(Refusal)?;
        let entry = |&[a, b, c, d]: &[u8; ENTRY_LEN]| {
            (PathId(u16::from_be_bytes([a, b])), u16::from_be_bytes([c, d]))
        };
        Ok(Ack { token, onward: entries.as_chunks().0.iter().map(entry).collect() })
    }

    /// The UDP payload, of `most` bytes at most: paths for which there is no room are left out.
    pub fn to_bytes(&self, most: usize) -> Vec<u8> {
        let room = most.saturating_sub(ACK_LEN) / ENTRY_LEN;
        let told = self.onward.get(..room).unwrap_or(&self.onward);
        let mut bytes = head(ACK, told.len() as u16, self.token);
        for (path, mtu) in told {
            bytes.extend(path.0.to_be_bytes());
            bytes.extend(mtu.to_be_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(token: u64, onward in proptest::collection::vec((any::<u16>(), any::<u16>()), 0..50), most in 12usize..200) {
            prop_assert_eq!(Probe::parse(&Probe { token }.to_bytes()), Ok(Probe { token }));
            let ack = Ack { token, onward: onward.iter().map(|(path, mtu)| (PathId(*path), *mtu)).collect() };
            let bytes = ack.to_bytes(most);
            prop_assert!(bytes.len() <= most);
            let read = Ack::parse(&bytes).unwrap();
            prop_assert_eq!(read.token, token);
            prop_assert!(ack.onward.starts_with(&read.onward));
            prop_assert_eq!(Ack::parse(&ack.to_bytes(1000)), Ok(ack));
            prop_assert!(Probe::parse(&bytes).is_err());
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (Probe::parse(&bytes), Ack::parse(&bytes));
            let _ = Ack::parse(&[&[VERSION, ACK], bytes.as_slice()].concat());
        }
    }
}
