//! The binding record: a session's external address and port, behind an inner packet and inside its seal. A gateway gives
//! it to the client's edge; the edge gives it back to the gateway that has taken over. And a gateway that is to let go of its block
//! tells the other one of its sessions by such records.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |   version 1   |     kind      |   protocol    |     state     |  0
//! |          client's port        |       virtual IP's port       |  4
//! |         external port         |         origin's port         |  8
//! |       home of the block       |            number             | 12
//! |                            revision                           | 16
//! |                                                               | 20
//! |                        external address                       | 24  16 bytes
//! |                        origin's address                       | 40  16 bytes
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! Client and virtual IP are the addresses of the inner packet that it stands behind. That packet is the client's or the
//! origin's own, or one of [`CARRIER`] that holds nothing else.

use crate::topology::NodeId;
use packet::Addr;

/// Bytes of a record.
pub const RECORD_LEN: usize = 56;
/// IP protocol of an inner packet that has nothing but a record behind it: for experiments (RFC 3692 section 2.1).
pub const CARRIER: u8 = 253;
const VERSION: u8 = 1;

/// What a record is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordKind {
    /// From a gateway: the session has this binding, at this revision.
    Binding = 1,
    /// From an edge: make the session with this binding.
    Install = 2,
    /// From a gateway: the session can not be made with this binding; forget it.
    Refusal = 3,
    /// From a gateway to the other: there is this session, in this state. Answered by [`RecordKind::Stored`] or
    /// [`RecordKind::NotStored`].
    Session = 4,
    /// From a gateway to the other: it has been told of all sessions of its worker. Answered by [`RecordKind::Stored`].
    Whole = 5,
    /// From a gateway to the other: what has this number was taken.
    Stored = 6,
    /// From a gateway to the other: the session of this number can not be had.
    NotStored = 7,
}

/// A binding record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// What it is for.
    pub kind: RecordKind,
    /// Protocol number of the session.
    pub protocol: u8,
    /// How far the session is, as gateways number that; between gateways only, else 0.
    pub state: u8,
    /// The client's port.
    pub client_port: u16,
    /// The virtual IP's port.
    pub vip_port: u16,
    /// The port that the origin sees.
    pub external_port: u16,
    /// The port of the origin.
    pub origin_port: u16,
    /// The gateway whose pool has the external address.
    pub home: NodeId,
    /// What the answer repeats; between gateways only, else 0.
    pub number: u16,
    /// Of the tenure in which the session was made, or is to be made.
    pub revision: u64,
    /// The address that the origin sees.
    pub external: Addr,
    /// The origin.
    pub origin: Addr,
}

impl Record {
    /// The record's bytes.
    pub fn to_bytes(&self) -> [u8; RECORD_LEN] {
        let mut bytes = [0; RECORD_LEN];
        bytes[..4].copy_from_slice(&[VERSION, self.kind as u8, self.protocol, self.state]);
        bytes[4..6].copy_from_slice(&self.client_port.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.vip_port.to_be_bytes());
        bytes[8..10].copy_from_slice(&self.external_port.to_be_bytes());
        bytes[10..12].copy_from_slice(&self.origin_port.to_be_bytes());
        bytes[12..14].copy_from_slice(&self.home.0.to_be_bytes());
        bytes[14..16].copy_from_slice(&self.number.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.revision.to_be_bytes());
        bytes[24..40].copy_from_slice(&self.external.v6_bytes());
        bytes[40..56].copy_from_slice(&self.origin.v6_bytes());
        bytes
    }

    /// Reads what stands behind an inner packet; none for anything but a record of a kind that is known.
    pub fn parse(bytes: &[u8]) -> Option<Record> {
        let bytes: &[u8; RECORD_LEN] = bytes.try_into().ok()?;
        let kind = match (bytes[0], bytes[1]) {
            (VERSION, 1) => RecordKind::Binding,
            (VERSION, 2) => RecordKind::Install,
            (VERSION, 3) => RecordKind::Refusal,
            (VERSION, 4) => RecordKind::Session,
            (VERSION, 5) => RecordKind::Whole,
            (VERSION, 6) => RecordKind::Stored,
            (VERSION, 7) => RecordKind::NotStored,
            _ => return None,
        };
        let short = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        let address = |at: usize| bytes[at..].first_chunk().copied().map(Addr::from_v6);
        Some(Record {
            kind,
            protocol: bytes[2],
            state: bytes[3],
            client_port: short(4),
            vip_port: short(6),
            external_port: short(8),
            origin_port: short(10),
            home: NodeId(short(12)),
            number: short(14),
            revision: u64::from_be_bytes(*bytes[16..].first_chunk()?),
            external: address(24)?,
            origin: address(40)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut record = Record {
            kind: RecordKind::Install,
            protocol: 6,
            state: 0x23,
            client_port: 0x0102,
            vip_port: 0x0304,
            external_port: 0x0506,
            origin_port: 0x0708,
            home: NodeId(0x090a),
            number: 0x1314,
            revision: 0x0b0c_0d0e_0f10_1112,
            external: Addr::from_v4([10, 9, 0, 100]),
            origin: Addr::from_v6([7; 16]),
        };
        assert_eq!(Record::parse(&record.to_bytes()), Some(record));
        for kind in [
            RecordKind::Binding,
            RecordKind::Refusal,
            RecordKind::Session,
            RecordKind::Whole,
            RecordKind::Stored,
            RecordKind::NotStored,
        ] {
            record.kind = kind;
            assert_eq!(Record::parse(&record.to_bytes()), Some(record));
        }
        let bytes = record.to_bytes();
        assert_eq!(Record::parse(&bytes), Some(record));
        assert_eq!(Record::parse(&bytes[1..]), None);
        assert_eq!(Record::parse(&[&bytes[..], &[0]].concat()), None);
        for (at, value) in [(0, 0), (0, 2), (1, 0), (1, 8)] {
            let mut changed = bytes;
            changed[at] = value;
            assert_eq!(Record::parse(&changed), None);
        }
    }
}
