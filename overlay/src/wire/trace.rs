//! The trace option: records of the hops that a copy took, with the fields of IOAM's pre-allocated trace (RFC 9197).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |      class 0xff50             |  type 0x03    |0 0 0| length  |
//! |version|O|  0  |    filled     |           reserved            |  0  data
//! |               time at the sender, ns since 1970               |  4
//! |                                                               |  8
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |   hop limit   |  queue depth  |             node              | 12  first record
//! |         ingress node          |          egress node          | 16
//! |                    time, µs since 1970                        | 20
//! |                    transit delay, ns                          | 24
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                    more records …                             |
//! ```
//!
//! The sender makes room for all records; each intermediate fills in the next free one where it lies, so no length
//! changes on the way. How many there are follows from the option's length alone: seven at most, whatever `filled`
//! claims. The option is not critical, and nothing about it ever costs a packet.

use crate::topology::NodeId;
use arrayvec::ArrayVec;

/// Type of the trace option; its high bit is clear: who does not know it passes it on.
pub const TYPE_TRACE: u8 = 0x03;
/// Bytes of the option's data before the first record.
pub const HEAD_LEN: usize = 12;
/// Bytes of a record.
pub const RECORD_LEN: usize = 16;
/// Records that an option can hold: its length counts 31 words at most (RFC 8926 section 3.5).
pub const RECORDS_MAX: usize = (31 * 4 - HEAD_LEN) / RECORD_LEN;
/// Bytes of the longest option's data.
pub const DATA_LEN_MAX: usize = HEAD_LEN + RECORDS_MAX * RECORD_LEN;

const VERSION: u8 = 1;
/// O: an intermediate found no free record (RFC 9197 section 4.4.1, "overflow").
const OVERFLOW: u8 = 0x08;
const FILLED_AT: usize = 1;
const SENT_AT: usize = 4;
/// Where the transit delay stands in a record.
const TRANSIT_AT: usize = 12;

/// Bytes of a whole option with room for so many records, its header included.
pub const fn option_len(records: usize) -> usize {
    super::OPTION_HEADER_LEN + HEAD_LEN + records * RECORD_LEN
}

/// What an intermediate says of a copy that it passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// The overlay's hop limit with which the copy left it.
    pub hop_limit: u8,
    /// Frames that were to leave by the same port before it; 255 and more are 255.
    pub queue: u8,
    /// The node.
    pub node: NodeId,
    /// The node from which the copy came.
    pub ingress: NodeId,
    /// The node to which it went.
    pub egress: NodeId,
    /// When it came in, by the node's clock: the low 32 bits of microseconds since 1970.
    pub time_us: u32,
    /// How long the node had it, by one clock, ns; `u32::MAX` for 4.3 seconds or longer.
    pub transit_ns: u32,
}

/// A trace as its receiver reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// When the sender made it, by the sender's clock, ns since 1970.
    pub sent_ns: u64,
    /// Whether some intermediate found no free record.
    pub overflow: bool,
    /// The records of the first intermediates, in their order.
    pub records: ArrayVec<Record, RECORDS_MAX>,
}

/// Why no record was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unwritten {
    /// All records are taken; the option now says so.
    Full,
    /// Another version, or what it says contradicts its length: it is passed on as it is.
    Malformed,
}

/// Writes an option with free records for so many hops, as far as that is possible, into exactly
/// [`option_len`] bytes.
pub fn write(option: &mut [u8], records: usize, sent_ns: u64) {
    let records = records.min(RECORDS_MAX);
    let Some(option) = option.get_mut(..option_len(records)) else { return };
    option.fill(0);
    option[..2].copy_from_slice(&super::OPTION_CLASS.to_be_bytes());
    option[2] = TYPE_TRACE;
    option[3] = ((option.len() - super::OPTION_HEADER_LEN) / 4) as u8;
    let data = &mut option[super::OPTION_HEADER_LEN..];
    data[0] = VERSION << 4;
    data[SENT_AT..HEAD_LEN].copy_from_slice(&sent_ns.to_be_bytes());
}

/// Fills in the next free record of an option's data, and says where it starts there.
///
/// # Errors
/// [`Unwritten`]; no byte is changed then, but for the flag that says that it was full.
pub fn append(data: &mut [u8], record: &Record) -> Result<usize, Unwritten> {
    let (filled, room) = fill(data).ok_or(Unwritten::Malformed)?;
    if filled == room {
        data[0] |= OVERFLOW;
        return Err(Unwritten::Full);
    }
    let at = HEAD_LEN + filled * RECORD_LEN;
    let place = data.get_mut(at..at + RECORD_LEN).ok_or(Unwritten::Malformed)?;
    place[0] = record.hop_limit;
    place[1] = record.queue;
    place[2..4].copy_from_slice(&record.node.0.to_be_bytes());
    place[4..6].copy_from_slice(&record.ingress.0.to_be_bytes());
    place[6..8].copy_from_slice(&record.egress.0.to_be_bytes());
    place[8..12].copy_from_slice(&record.time_us.to_be_bytes());
    place[TRANSIT_AT..].copy_from_slice(&record.transit_ns.to_be_bytes());
    data[FILLED_AT] = filled as u8 + 1;
    Ok(at)
}

/// Corrects the transit delay of a record that starts at `at`, once it is known; does nothing beyond the end.
#[inline]
pub fn set_transit(bytes: &mut [u8], at: usize, transit_ns: u64) {
    let value = u32::try_from(transit_ns).unwrap_or(u32::MAX);
    if let Some(place) = bytes.get_mut(at + TRANSIT_AT..at + RECORD_LEN) {
        place.copy_from_slice(&value.to_be_bytes());
    }
}

/// Records that are taken, and that there are; `None` for what no sender of this version writes.
fn fill(data: &[u8]) -> Option<(usize, usize)> {
    let records = data.len().checked_sub(HEAD_LEN)?;
    let filled = data[FILLED_AT] as usize;
    let sound = data[0] >> 4 == VERSION
        && records.is_multiple_of(RECORD_LEN)
        && records <= RECORDS_MAX * RECORD_LEN
        && filled * RECORD_LEN <= records;
    sound.then_some((filled, records / RECORD_LEN))
}

impl Trace {
    /// Reads an option's data; `None` for what no sender of this version writes.
    pub fn parse(data: &[u8]) -> Option<Trace> {
        let (filled, _) = fill(data)?;
        let (head, rest) = data.split_first_chunk::<HEAD_LEN>()?;
        let (places, _) = rest.as_chunks::<RECORD_LEN>();
        let records = places.iter().take(filled).map(Record::parse).collect();
        let sent_ns = head.last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        Some(Trace { sent_ns, overflow: head[0] & OVERFLOW != 0, records })
    }
}

impl Record {
    fn parse(bytes: &[u8; RECORD_LEN]) -> Record {
        let [a, b, c, d, e, f, g, h, rest @ ..] = *bytes;
        let [t0, t1, t2, t3, d0, d1, d2, d3] = rest;
        Record {
            hop_limit: a,
            queue: b,
            node: NodeId(u16::from_be_bytes([c, d])),
            ingress: NodeId(u16::from_be_bytes([e, f])),
            egress: NodeId(u16::from_be_bytes([g, h])),
            time_us: u32::from_be_bytes([t0, t1, t2, t3]),
            transit_ns: u32::from_be_bytes([d0, d1, d2, d3]),
        }
    }

    /// When the copy came in, ns since 1970, given another clock's time that is within half an hour.
    pub fn time_ns(&self, near_ns: u64) -> u64 {
        let near_us = near_ns / 1_000;
        let ahead = self.time_us.wrapping_sub(near_us as u32) as i32;
        near_us.saturating_add_signed(ahead.into()).saturating_mul(1_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(node: u16) -> Record {
        Record {
            hop_limit: 7,
            queue: 3,
            node: NodeId(node),
            ingress: NodeId(1),
            egress: NodeId(4),
            time_us: 0x0102_0304,
            transit_ns: 1500,
        }
    }

    fn option(records: usize) -> Vec<u8> {
        let mut option = vec![0xa5; option_len(records)];
        write(&mut option, records, 1_700_000_000_123_456_789);
        option
    }

    #[test]
    fn records_are_filled_in_one_after_the_other_and_then_it_is_full() {
        assert_eq!(RECORDS_MAX, 7);
        for room in 0..=RECORDS_MAX {
            let mut option = option(room);
            let len = option.len();
            assert_eq!(option[3] as usize * 4 + 4, len);
            let data = &mut option[4..];
            for node in 0..room {
                assert_eq!(append(data, &record(node as u16)), Ok(HEAD_LEN + node * RECORD_LEN));
            }
            let trace = Trace::parse(data).unwrap();
            assert_eq!((trace.sent_ns, trace.overflow), (1_700_000_000_123_456_789, false));
            assert_eq!(trace.records.len(), room);
            assert!(trace.records.iter().zip(0..).all(|(held, node)| *held == record(node)));
            let before = data.to_vec();
            assert_eq!(append(data, &record(9)), Err(Unwritten::Full));
            assert_eq!(&data[1..], &before[1..]);
            assert!(Trace::parse(data).unwrap().overflow);
        }
    }

    #[test]
    fn counts_and_lengths_that_lie_change_nothing() {
        let good = option(2);
        for (at, value) in [(4, 0x20), (4, 0), (5, 3), (5, 255)] {
            let mut option = good.clone();
            option[at] = value;
            let before = option.clone();
            assert_eq!(append(&mut option[4..], &record(1)), Err(Unwritten::Malformed));
            assert_eq!((option, Trace::parse(&before[4..])), (before, None));
        }
        for len in (0..good.len() - 4).filter(|len| ![12, 28, 44].contains(len)) {
            assert_eq!(append(&mut good[4..4 + len].to_vec(), &record(1)), Err(Unwritten::Malformed));
        }
        assert_eq!(Trace::parse(&[0x10; DATA_LEN_MAX + RECORD_LEN]), None);
    }

    #[test]
    fn times_are_told_near_another_clock_and_delays_end_at_the_longest() {
        let near = 1_700_000_000_000_000_000u64;
        for ahead in [-1_800_000_000i64, -1, 0, 1, 1_800_000_000] {
            let at = (near / 1000).saturating_add_signed(ahead);
            let record = Record { time_us: at as u32, ..record(1) };
            assert_eq!(record.time_ns(near), at * 1000);
        }
        let mut option = option(1);
        let at = append(&mut option[4..], &record(1)).unwrap();
        set_transit(&mut option[4..], at, 77);
        assert_eq!(Trace::parse(&option[4..]).unwrap().records[0], Record { transit_ns: 77, ..record(1) });
        set_transit(&mut option[4..], at, 1 << 40);
        assert_eq!(Trace::parse(&option[4..]).unwrap().records[0].transit_ns, u32::MAX);
        set_transit(&mut option, usize::MAX - RECORD_LEN, 5);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_only_one_record_changes(
            mut data in proptest::collection::vec(any::<u8>(), 0..160),
            sound: bool,
        ) {
            if sound && data.len() >= HEAD_LEN {
                data.truncate(HEAD_LEN + (data.len() - HEAD_LEN) / RECORD_LEN * RECORD_LEN);
                data[0] = data[0] & 0x0f | VERSION << 4;
                data[1] %= 9;
            }
            let before = data.clone();
            match append(&mut data, &record(5)) {
                Ok(at) => {
                    let trace = Trace::parse(&data).unwrap();
                    prop_assert_eq!(trace.records.last(), Some(&record(5)));
                    prop_assert_eq!(data[FILLED_AT], before[FILLED_AT] + 1);
                    data[FILLED_AT] -= 1;
                    data[at..at + RECORD_LEN].copy_from_slice(&before[at..at + RECORD_LEN]);
                }
                Err(Unwritten::Full) => data[0] = before[0],
                Err(Unwritten::Malformed) => prop_assert_eq!(Trace::parse(&data), None),
            }
            prop_assert_eq!(data, before);
        }
    }
}
