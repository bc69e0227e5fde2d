//! The order option: which flow a packet is of, and which packet of that flow went before it.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |      class 0xff50             |  type 0x84    |0 0 0| 2 words |
//! |                             flow                              |
//! |                             back                              |
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! *Back* counts in the stream's sequence, which all of its flows share: a receiver that has forgotten a flow, or a sender
//! that has, never leaves a number behind that others would wait for.

use super::{OPTION_CLASS, OPTION_HEADER_LEN, TYPE_ORDER};

/// Bytes of the option's data.
pub const ORDER_DATA_LEN: usize = 8;
/// Bytes of the option with its header.
pub const ORDER_LEN: usize = OPTION_HEADER_LEN + ORDER_DATA_LEN;

/// A packet's place in its flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Order {
    /// The flow's number among those of the stream.
    pub flow: u32,
    /// How far back in the stream the flow's packet before this one is; 0: none is to be waited for.
    pub back: u32,
}

impl Order {
    /// The option whose data stands at [`Extensions::order_at`](super::Extensions::order_at), or at any other place.
    pub fn read(bytes: &[u8], at: usize) -> Option<Order> {
        let data = bytes.get(at..)?.first_chunk::<ORDER_DATA_LEN>()?;
        let word = u64::from_be_bytes(*data);
        Some(Order { flow: (word >> 32) as u32, back: word as u32 })
    }

    /// The option's data, which the seal covers as well.
    pub fn data(&self) -> [u8; ORDER_DATA_LEN] {
        (u64::from(self.flow) << 32 | u64::from(self.back)).to_be_bytes()
    }

    /// The option with its header.
    pub fn option(&self) -> [u8; ORDER_LEN] {
        let mut option = [0; ORDER_LEN];
        option[..2].copy_from_slice(&OPTION_CLASS.to_be_bytes());
        option[2..4].copy_from_slice(&[TYPE_ORDER, (ORDER_DATA_LEN / 4) as u8]);
        option[OPTION_HEADER_LEN..].copy_from_slice(&self.data());
        option
    }

    /// The number in the stream of the packet that is to go before the one of this number; 0 where there is none.
    pub fn before(&self, sequence: u64) -> u64 {
        if self.back == 0 { 0 } else { sequence.saturating_sub(u64::from(self.back)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_layout_in_the_picture() {
        let order = Order { flow: 0x0102_0304, back: 5 };
        assert_eq!(order.option(), [0xff, 0x50, 0x84, 2, 1, 2, 3, 4, 0, 0, 0, 5]);
        assert_eq!([order.before(7), order.before(5), order.before(3)], [2, 0, 0]);
        assert_eq!(Order { back: 0, ..order }.before(7), 0);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_and_no_bytes_panic(
            flow: u32, back: u32, bytes in proptest::collection::vec(any::<u8>(), 0..20), at in 0usize..30,
        ) {
            let order = Order { flow, back };
            prop_assert_eq!(Order::read(&order.option(), OPTION_HEADER_LEN), Some(order));
            prop_assert_eq!(Order::read(&bytes, at).is_some(), at + ORDER_DATA_LEN <= bytes.len());
        }
    }
}
