//! Erasure correction over packets: of a group of data packets, any that are lost are computed from the others and from as many
//! parity packets, which go over another path.
//!
//! ```text
//!   path 1    d0  d1  d2  d3      d4  d5  d6  d7         as they come, unchanged, none waits
//!   path 2                    p0                  p0     behind each group, or after a bounded time
//! ```
//!
//! The code is systematic, and linear over GF(2^8): parity packet *i* of a group is the sum of its packets, each times
//! [`field::coefficient`]`(i, n)`, where *n* is how far the packet stands behind the group's first in its stream. For *i* = 0 all
//! factors are 1 (exclusive or); with the others they are a Cauchy matrix whose columns are scaled, so any square part of it
//! can be solved: any packets that are lost, as many as there are parity packets.
//! Neither factor depends on how many packets or parity packets a group has: a sender changes both whenever it likes, and ends a group
//! whenever it likes.
//!
//! What is summed is a *shard*: four bytes, then what stands behind the packet's options, sealed if it is sealed. Packets of
//! different lengths are as if filled up with zeros.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |      length of all behind     |         0         |O|6|   0   |
//! |         order option's data, if O is 1 (8 bytes)              |
//! |                     inner packet …                            |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

mod decoder;
mod encoder;
pub mod field;
mod log;
mod shard;

pub use decoder::{Bounds, Decoder, DecoderCounts, From, Taken};
pub use encoder::{Closed, Encoder, EncoderCounts, GroupIndex, Member};
pub use shard::{Kind, SHARD_HEAD, SHARD_MAX, Shard};

/// Parity packets of a group at most.
pub const PARITY_MAX: usize = 4;
/// Numbers of a stream that a group spans at most: its last packet's number is less than its first's and this.
pub const SPAN: u64 = 64;
/// Data packets of a group at most, as configured.
pub const PACKETS_MAX: u8 = 32;

/// How a sender codes: a plain value, which may be another one from packet to packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Coding {
    /// Data packets of a group, 1 to [`PACKETS_MAX`].
    pub packets: u8,
    /// Parity packets of a group, 0 to [`PARITY_MAX`]; 0: none are sent.
    pub parity: u8,
    /// A group ends when its first packet is so old, microseconds.
    pub wait_us: u32,
}

impl Default for Coding {
    fn default() -> Coding {
        Coding { packets: 8, parity: 1, wait_us: 5_000 }
    }
}

impl Coding {
    /// The bandwidth of parity, as a share of that of full groups of packets of one length, in thousandths.
    pub fn share_permille(&self) -> u32 {
        u32::from(self.parity) * 1000 / u32::from(self.packets.max(1))
    }
}

#[cfg(test)]
mod tests;
