//! The parity option: which data packets a parity packet covers.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |      class 0xff50             |  type 0x86    |0 0 0| 3 words |
//! |     index     |     count     |           reserved            |
//! |                            members                            |
//! |                                                               |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! The stream option's sequence is the group's first packet's, and its key epoch that of all of them.

use super::{OPTION_CLASS, OPTION_HEADER_LEN, TYPE_PARITY};

/// Bytes of the option's data.
pub const PARITY_DATA_LEN: usize = 12;
/// Bytes of the option with its header.
pub const PARITY_LEN: usize = OPTION_HEADER_LEN + PARITY_DATA_LEN;

/// Which packets a parity packet covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parity {
    /// The parity packet's number in its group, from 0.
    pub index: u8,
    /// How many parity packets its group has.
    pub count: u8,
    /// The group's data packets: bit *n*, from the lowest, for the sequence of the packet plus *n*. Bit 0 is set.
    pub members: u64,
}

impl Parity {
    /// The option whose data stands at [`Extensions::parity_at`](super::Extensions::parity_at), or at any other place.
    pub fn read(bytes: &[u8], at: usize) -> Option<Parity> {
        let data = bytes.get(at..)?.first_chunk::<PARITY_DATA_LEN>()?;
        let members = u64::from_be_bytes(*data.last_chunk::<8>()?);
        Some(Parity { index: data[0], count: data[1], members })
    }

    /// The option with its header.
    pub fn option(&self) -> [u8; PARITY_LEN] {
        let mut option = [0; PARITY_LEN];
        option[..2].copy_from_slice(&OPTION_CLASS.to_be_bytes());
        option[2..4].copy_from_slice(&[TYPE_PARITY, (PARITY_DATA_LEN / 4) as u8]);
        option[4..6].copy_from_slice(&[self.index, self.count]);
        option[8..].copy_from_slice(&self.members.to_be_bytes());
        option
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_layout_in_the_picture() {
        let parity = Parity { index: 1, count: 2, members: 0x0102 };
        assert_eq!(parity.option(), [0xff, 0x50, 0x86, 3, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_no_bytes_panic(
            index: u8, count: u8, members: u64, bytes in proptest::collection::vec(any::<u8>(), 0..24), at in 0usize..30,
        ) {
            let parity = Parity { index, count, members };
            prop_assert_eq!(Parity::read(&parity.option(), OPTION_HEADER_LEN), Some(parity));
            prop_assert_eq!(Parity::read(&bytes, at).is_some(), at + PARITY_DATA_LEN <= bytes.len());
        }
    }
}
