//! The BFD control packet without an authentication section (RFC 5880 section 4.1).
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |Vers |  Diag   |Sta|P|F|C|A|D|M|  Detect Mult  |    Length     |  0
//! |                       My Discriminator                        |  4
//! |                      Your Discriminator                       |  8
//! |                    Desired Min TX Interval                    | 12
//! |                   Required Min RX Interval                    | 16
//! |                 Required Min Echo RX Interval                 | 20
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! ```

/// Bytes of a control packet without authentication.
pub const LEN: usize = 24;
/// Version of the protocol.
const VERSION: u8 = 1;

const POLL: u8 = 0x20;
const FINAL: u8 = 0x10;
const CONTROL_PLANE_INDEPENDENT: u8 = 0x08;
const AUTHENTICATION: u8 = 0x04;
const DEMAND: u8 = 0x02;
const MULTIPOINT: u8 = 0x01;

/// A session's state, as both ends tell each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Held down by an operator.
    AdminDown,
    /// The other end is not heard.
    #[default]
    Down,
    /// The other end is heard, but does not hear this one yet.
    Init,
    /// Both hear each other.
    Up,
}

impl State {
    fn from_bits(bits: u8) -> State {
        match bits & 3 {
            0 => State::AdminDown,
            1 => State::Down,
            2 => State::Init,
            _ => State::Up,
        }
    }

    /// The state's stable name, in snake case.
    pub fn name(self) -> &'static str {
        match self {
            State::AdminDown => "admin_down",
            State::Down => "down",
            State::Init => "init",
            State::Up => "up",
        }
    }
}

/// Why a session last went down.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Diagnostic {
    /// It has not.
    #[default]
    None,
    /// Nothing came within the detection time.
    Expired,
    /// The other end said that it is down.
    NeighborDown,
    /// Any other; the RFC's number, 0 to 31.
    Other(u8),
}

impl Diagnostic {
    fn from_bits(bits: u8) -> Diagnostic {
        match bits & 0x1f {
            0 => Diagnostic::None,
            1 => Diagnostic::Expired,
            3 => Diagnostic::NeighborDown,
            other => Diagnostic::Other(other),
        }
    }

    fn bits(self) -> u8 {
        match self {
            Diagnostic::None => 0,
            Diagnostic::Expired => 1,
            Diagnostic::NeighborDown => 3,
            Diagnostic::Other(number) => number & 0x1f,
        }
    }

    /// The diagnostic's stable name, in snake case.
    pub fn name(self) -> &'static str {
        match self {
            Diagnostic::None => "none",
            Diagnostic::Expired => "detection_time_expired",
            Diagnostic::NeighborDown => "neighbor_signaled_down",
            Diagnostic::Other(_) => "other",
        }
    }
}

/// A control packet's fields. Intervals are microseconds, as on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender's session last went down.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// Whether the sender asks for an answer with `is_final`: a poll sequence.
    pub poll: bool,
    /// Whether this answers a poll.
    pub is_final: bool,
    /// Whether the sender lives on when its control plane dies.
    pub control_plane_independent: bool,
    /// Whether the sender wants no periodic packets (demand mode).
    pub demand: bool,
    /// How many packets in a row may be missing before the sender is given up.
    pub detect_multiplier: u8,
    /// The sender's number for this session, never 0.
    pub my_discriminator: u32,
    /// The receiver's number for this session; 0 where the sender does not know it.
    pub your_discriminator: u32,
    /// Shortest interval at which the sender wants to send, µs.
    pub desired_min_tx_us: u32,
    /// Shortest interval at which the sender can receive, µs; 0 asks for silence.
    pub required_min_rx_us: u32,
    /// Shortest interval between echo packets that the sender can receive, µs; 0 for none.
    pub required_min_echo_us: u32,
}

/// Why bytes are no control packet that may be looked at (RFC 5880 section 6.8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Shorter than a control packet, or than it says itself.
    #[error("too short")]
    Truncated,
    /// Another version than 1.
    #[error("another version")]
    Version,
    /// A length below 24, or one with authentication, which no session here uses.
    #[error("a wrong length, or authentication that nobody asked for")]
    Length,
    /// A detection multiplier of 0.
    #[error("a detection multiplier of 0")]
    Multiplier,
    /// The multipoint bit.
    #[error("the multipoint bit is set")]
    Multipoint,
    /// A zero discriminator of the sender, or of the receiver in a state that knows it.
    #[error("a discriminator is missing")]
    Discriminator,
    /// Poll and final at once (section 6.5).
    #[error("poll and final at once")]
    PollAndFinal,
}

impl Packet {
    /// Reads a control packet out of a UDP payload and checks what can be checked without a session.
    ///
    /// # Errors
    /// [`Malformed`], by the rules of RFC 5880 section 6.8.6 in their order.
    pub fn parse(payload: &[u8]) -> Result<Packet, Malformed> {
        let bytes: &[u8; LEN] = payload.first_chunk().ok_or(Malformed::Truncated)?;
        let [first, flags, detect_multiplier, length, ..] = *bytes;
        if first >> 5 != VERSION {
            return Err(Malformed::Version);
        }
        if usize::from(length) > payload.len() {
            return Err(Malformed::Truncated);
        }
        // Without authentication a packet has this length and no other; with it, no session here takes it.
        if usize::from(length) != LEN || flags & AUTHENTICATION != 0 {
            return Err(Malformed::Length);
        }
        if detect_multiplier == 0 {
            return Err(Malformed::Multiplier);
        }
        if flags & MULTIPOINT != 0 {
            return Err(Malformed::Multipoint);
        }
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let packet = Packet {
            diagnostic: Diagnostic::from_bits(first),
            state: State::from_bits(flags >> 6),
            poll: flags & POLL != 0,
            is_final: flags & FINAL != 0,
            control_plane_independent: flags & CONTROL_PLANE_INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            detect_multiplier,
            my_discriminator: word(4),
            your_discriminator: word(8),
            desired_min_tx_us: word(12),
            required_min_rx_us: word(16),
            required_min_echo_us: word(20),
        };
        let nameless = packet.your_discriminator == 0;
        if packet.my_discriminator == 0 || nameless && matches!(packet.state, State::Init | State::Up) {
            return Err(Malformed::Discriminator);
        }
        if packet.poll && packet.is_final {
            return Err(Malformed::PollAndFinal);
        }
        Ok(packet)
    }

    /// The packet as it goes over the wire.
    pub fn to_bytes(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[0] = VERSION << 5 | self.diagnostic.bits();
        let flag = |set: bool, bit: u8| if set { bit } else { 0 };
        bytes[1] = (self.state as u8) << 6
            | flag(self.poll, POLL)
            | flag(self.is_final, FINAL)
            | flag(self.control_plane_independent, CONTROL_PLANE_INDEPENDENT)
            | flag(self.demand, DEMAND);
        bytes[2] = self.detect_multiplier;
        bytes[3] = LEN as u8;
        let words = [
            self.my_discriminator,
            self.your_discriminator,
            self.desired_min_tx_us,
            self.required_min_rx_us,
            self.required_min_echo_us,
        ];
        for (to, word) in bytes[4..].chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// As tcpdump shows it: version 1, up, multiplier 3, discriminators 0x11 and 0x22, 50 ms both ways.
    const SAMPLE: [u8; LEN] =
        [0x20, 0xc0, 3, 24, 0, 0, 0, 0x11, 0, 0, 0, 0x22, 0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50, 0, 0, 0, 0];

    #[test]
    fn the_fields_stand_where_the_rfc_draws_them() {
        let packet = Packet::parse(&SAMPLE).unwrap();
        assert_eq!(
            (packet.state, packet.diagnostic, packet.detect_multiplier),
            (State::Up, Diagnostic::None, 3)
        );
        assert_eq!((packet.my_discriminator, packet.your_discriminator), (0x11, 0x22));
        assert_eq!((packet.desired_min_tx_us, packet.required_min_rx_us), (50_000, 50_000));
        assert_eq!(packet.to_bytes(), SAMPLE);
        for (bit, read) in
            [(POLL, Packet { poll: true, ..packet }), (DEMAND, Packet { demand: true, ..packet })]
        {
            let mut bytes = SAMPLE;
            bytes[1] |= bit;
            assert_eq!(Packet::parse(&bytes), Ok(read));
        }
    }

    #[test]
    fn what_the_rfc_discards_is_refused_for_its_reason() {
        let with = |at: usize, value: u8| {
            let mut bytes = SAMPLE;
            bytes[at] = value;
            Packet::parse(&bytes).unwrap_err()
        };
        assert_eq!(with(0, 0x40), Malformed::Version);
        assert_eq!([with(3, 23), with(3, 26)], [Malformed::Length, Malformed::Truncated]);
        assert_eq!([with(1, 0xc4), with(1, 0xc1)], [Malformed::Length, Malformed::Multipoint]);
        assert_eq!(with(2, 0), Malformed::Multiplier);
        assert_eq!([with(7, 0), with(11, 0)], [Malformed::Discriminator; 2]);
        assert_eq!(with(1, 0xf0), Malformed::PollAndFinal);
        for len in 0..LEN {
            assert_eq!(Packet::parse(&SAMPLE[..len]), Err(Malformed::Truncated));
        }
    }

    proptest! {
        #[test]
        fn bytes_that_are_read_are_written_the_same(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Ok(packet) = Packet::parse(&bytes) {
                prop_assert_eq!(&packet.to_bytes()[..], &bytes[..LEN]);
            }
        }
    }
}
