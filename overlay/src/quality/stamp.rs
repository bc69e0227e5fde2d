//! STAMP test packets in unauthenticated mode (RFC 8762 sections 4.2.1 and 4.3.1), with the session identifier of
//! RFC 8972 section 3.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                        Sequence Number                        |  0
//! |                           Timestamp                           |  4
//! |                                                               |  8
//! |         Error Estimate        |       Session identifier      | 12
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                       Receive Timestamp                       | 16   zero from the sender to the end
//! |                                                               | 20
//! |                 Session-Sender Sequence Number                | 24
//! |                    Session-Sender Timestamp                   | 28
//! |                                                               | 32
//! | Session-Sender Error Estimate |           zero                | 36
//! |Ses-Sender TTL |                   zero                        | 40
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```
//!
//! What follows is padding. The reflector's packet is as long as the sender's.

/// Bytes of either packet without padding.
pub const LEN: usize = 44;
/// Error estimate (RFC 4656 section 4.1.2): not synchronized, NTP format, 2^-10 s or about a millisecond.
pub const ERROR_ESTIMATE: u16 = 22 << 8 | 1;
/// From 1900, where NTP's time starts, to 1970, seconds.
const UNIX_EPOCH_S: u64 = 2_208_988_800;

/// A time in NTP's 64-bit format (RFC 5905 section 6): seconds since 1900, modulo 2^32, and a fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// From nanoseconds since 1970.
    pub fn from_unix_ns(unix_ns: u64) -> Timestamp {
        let seconds = unix_ns / 1_000_000_000 + UNIX_EPOCH_S;
        let fraction = ((unix_ns % 1_000_000_000) << 32) / 1_000_000_000;
        Timestamp(seconds << 32 | fraction)
    }

    /// How much later this time is than another, ns; negative if it is earlier. Right for times less than 68 years
    /// apart.
    pub fn since(self, earlier: Timestamp) -> i64 {
        let difference = self.0.wrapping_sub(earlier.0) as i64;
        ((difference as i128 * 1_000_000_000) >> 32) as i64
    }
}

/// A test packet is shorter than [`LEN`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shorter than a test packet")]
pub struct Truncated;

/// What the session-sender sends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Test {
    /// The packet's number in its session.
    pub sequence: u32,
    /// When it was sent.
    pub timestamp: Timestamp,
    /// How far off the timestamp may be.
    pub error: u16,
    /// The session.
    pub session: u16,
}

impl Test {
    /// Reads a sender's packet; what must be zero is not looked at (RFC 8762 section 4.2).
    ///
    /// # Errors
    /// [`Truncated`].
    pub fn parse(payload: &[u8]) -> Result<Test, Truncated> {
        let bytes: &[u8; LEN] = payload.first_chunk().ok_or(Truncated)?;
        Ok(Test {
            sequence: word(bytes, 0),
            timestamp: time(bytes, 4),
            error: half(bytes, 12),
            session: half(bytes, 14),
        })
    }

    /// The packet as it goes over the wire, without padding.
    pub fn to_bytes(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..4].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.timestamp.0.to_be_bytes());
        bytes[12..14].copy_from_slice(&self.error.to_be_bytes());
        bytes[14..16].copy_from_slice(&self.session.to_be_bytes());
        bytes
    }
}

/// What the session-reflector sends back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reflected {
    /// The reflector's own number.
    pub sequence: u32,
    /// When it was sent back.
    pub timestamp: Timestamp,
    /// How far off the reflector's timestamps may be.
    pub error: u16,
    /// The session.
    pub session: u16,
    /// When the sender's packet was received.
    pub received: Timestamp,
    /// The sender's number.
    pub sender_sequence: u32,
    /// The sender's timestamp.
    pub sender_timestamp: Timestamp,
    /// The sender's error estimate.
    pub sender_error: u16,
    /// The TTL or hop limit with which the sender's packet came.
    pub sender_ttl: u8,
}

impl Reflected {
    /// Reads a reflector's packet; what must be zero is not looked at.
    ///
    /// # Errors
    /// [`Truncated`].
    pub fn parse(payload: &[u8]) -> Result<Reflected, Truncated> {
        let bytes: &[u8; LEN] = payload.first_chunk().ok_or(Truncated)?;
        Ok(Reflected {
            sequence: word(bytes, 0),
            timestamp: time(bytes, 4),
            error: half(bytes, 12),
            session: half(bytes, 14),
            received: time(bytes, 16),
            sender_sequence: word(bytes, 24),
            sender_timestamp: time(bytes, 28),
            sender_error: half(bytes, 36),
            sender_ttl: bytes[40],
        })
    }

    /// The packet as it goes over the wire, without padding.
    pub fn to_bytes(&self) -> [u8; LEN] {
        let Reflected { sequence, timestamp, error, session, .. } = *self;
        let mut bytes = Test { sequence, timestamp, error, session }.to_bytes();
        bytes[16..24].copy_from_slice(&self.received.0.to_be_bytes());
        bytes[24..28].copy_from_slice(&self.sender_sequence.to_be_bytes());
        bytes[28..36].copy_from_slice(&self.sender_timestamp.0.to_be_bytes());
        bytes[36..38].copy_from_slice(&self.sender_error.to_be_bytes());
        bytes[40] = self.sender_ttl;
        bytes
    }
}

fn half(bytes: &[u8; LEN], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn word(bytes: &[u8; LEN], at: usize) -> u32 {
    u32::from(half(bytes, at)) << 16 | u32::from(half(bytes, at + 2))
}

fn time(bytes: &[u8; LEN], at: usize) -> Timestamp {
    Timestamp(u64::from(word(bytes, at)) << 32 | u64::from(word(bytes, at + 4)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn times_are_ntps() {
        // RFC 5905 figure 4: 1970-01-01 is 2,208,988,800 s after the prime epoch.
        assert_eq!(Timestamp::from_unix_ns(0).0, 2_208_988_800 << 32);
        assert_eq!(Timestamp::from_unix_ns(500_000_000).0 as u32, 1 << 31);
        let (early, late) = (Timestamp::from_unix_ns(10), Timestamp::from_unix_ns(1_000_000_010));
        assert_eq!([late.since(early), early.since(late)], [1_000_000_000, -1_000_000_000]);
        // NTP's first era ends in 2036.
        let (before, after) = (Timestamp(u64::MAX), Timestamp(1 << 32));
        assert!((999_999_999..=1_000_000_001).contains(&after.since(before)));
    }

    #[test]
    fn the_reflectors_fields_stand_where_the_rfc_draws_them() {
        let mut bytes = [0; LEN];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = at as u8;
        }
        let reflected = Reflected::parse(&bytes).unwrap();
        assert_eq!((reflected.sequence, reflected.session), (0x0001_0203, 0x0e0f));
        assert_eq!(reflected.received.0, 0x1011_1213_1415_1617);
        assert_eq!(reflected.sender_sequence, 0x1819_1a1b);
        assert_eq!(reflected.sender_timestamp.0, 0x1c1d_1e1f_2021_2223);
        assert_eq!((reflected.sender_error, reflected.sender_ttl), (0x2425, 0x28));
        assert_eq!(Reflected::parse(&bytes[..43]), Err(Truncated));
    }

    proptest! {
        #[test]
        fn fields_are_read_as_they_were_written(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(test) = Test::parse(&bytes) {
                prop_assert_eq!(Test::parse(&test.to_bytes()), Ok(test));
                let reflected = Reflected::parse(&bytes).unwrap();
                prop_assert_eq!(Reflected::parse(&reflected.to_bytes()), Ok(reflected));
            }
        }

        #[test]
        fn time_differences_are_right_to_a_nanosecond(start in 0u64..4_000_000_000_000_000_000, step in 0u64..1_000_000_000_000) {
            let difference = Timestamp::from_unix_ns(start + step).since(Timestamp::from_unix_ns(start));
            prop_assert!((difference - step as i64).abs() <= 1, "{difference} for {step}");
        }
    }
}
