//! How far a session is, which decides how long it lives without traffic.
//!
//! TCP follows the state machine of RFC 7857 section 2 (figure 1):
//!
//! ```text
//!             client SYN            other side's SYN, first side's ACK
//!   CLOSED ---------------> INIT -----------------------------------> ESTABLISHED ---- client FIN ---> C FIN RCV
//!      ^  ------------->      |                                        |  ^  |  |                          |
//!      |    origin SYN        |                                        |  |  |  +---- origin FIN ---> S FIN RCV
//!      |                      |                       RST, no packet   |  |  | another                       |
//!      |  opening timeout     |                       for 2 h 4 min    v  |  | packet        the other FIN   v
//!      |<---------------------+                                       TRANS --+               C FIN + S FIN RCV
//!      |                                                                |                                  |
//!      +<-------------------------- closing timeout --------------------+----------------------------------+
//! ```
//!
//! It is stricter in one thing: a connection is established when the handshake is complete, not when the second SYN
//! has been seen, so that a flood of SYNs that are answered never gets the long timeout. In INIT, and once both sides
//! have sent FINs, packets from the origin's side do not lengthen a session's life; nor does a RST, from either side
//! (section 7.1). A RST may come in any state; the next packet without restores the state before it (section 2.2).

use crate::Timeouts;
use packet::IpVersion;
use packet::transport::{ICMP, ICMPV6, TCP, Tcp, UDP};

/// How far a session is, and of which protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct State(pub(crate) u8);

/// The bit that all states of TCP have.
const CONNECTION: u8 = 0x20;
/// The origin has answered, other than by a RST.
const ANSWERED: u8 = 0x01;
/// The client has acknowledged the origin's answer: the handshake is complete.
const ESTABLISHED: u8 = 0x02;
/// The client has sent a FIN.
const CLIENT_FIN: u8 = 0x04;
/// The origin has sent a FIN.
const ORIGIN_FIN: u8 = 0x08;
/// The last packet was a RST.
const RESET: u8 = 0x10;
const BOTH_FINS: u8 = CLIENT_FIN | ORIGIN_FIN;

impl State {
    /// Bits that a state takes.
    pub(crate) const BITS: u32 = 6;
    /// No session.
    pub(crate) const FREE: State = State(0);
    pub(crate) const UDP: State = State(1);
    pub(crate) const ICMP: State = State(2);
    pub(crate) const ICMPV6: State = State(3);
    /// UDP that packets from the origin's side do not keep alive.
    pub(crate) const UDP_QUIET: State = State(8);
    /// UDP from the origin's side that the client has not answered. It may not keep a mapping alive: who sends without
    /// being asked could hold it for ever.
    pub(crate) const UDP_UNANSWERED: State = State(9);
    /// The same, to become [`State::UDP_QUIET`].
    pub(crate) const UDP_QUIET_UNANSWERED: State = State(10);
    /// A connection that was made at another gateway, and was established there.
    pub(crate) const ELSEWHERE: State = State(CONNECTION | ANSWERED | ESTABLISHED);
    /// Before the first packet of a connection.
    pub(crate) const CONNECTION: State = State(CONNECTION);

    /// The first state of a session; `None` for a protocol that is not translated in this IP version.
    pub(crate) fn initial(
        protocol: u8,
        version: IpVersion,
        is_inbound: bool,
        inbound_refresh: bool,
    ) -> Option<State> {
        match (protocol, version) {
            (TCP, _) => Some(State::CONNECTION),
            (UDP, _) => Some(match (is_inbound, inbound_refresh) {
                (false, true) => State::UDP,
                (false, false) => State::UDP_QUIET,
                (true, true) => State::UDP_UNANSWERED,
                (true, false) => State::UDP_QUIET_UNANSWERED,
            }),
            (ICMP, IpVersion::V4) => Some(State::ICMP),
            (ICMPV6, IpVersion::V6) => Some(State::ICMPV6),
            _ => None,
        }
    }

    /// The protocol of the session.
    #[inline(always)]
    pub fn protocol(self) -> u8 {
        match self {
            State::FREE => 0,
            State::UDP | State::UDP_QUIET | State::UDP_UNANSWERED | State::UDP_QUIET_UNANSWERED => UDP,
            State::ICMP => ICMP,
            State::ICMPV6 => ICMPV6,
            _ => TCP,
        }
    }

    /// The stable name: `opening`, `established`, `closing` or `reset` for TCP, else `active`, or `unanswered` where
    /// the client has not answered what came from outside.
    pub fn name(self) -> &'static str {
        match self.0 {
            _ if matches!(self, State::UDP_UNANSWERED | State::UDP_QUIET_UNANSWERED) => "unanswered",
            state if state & CONNECTION == 0 => "active",
            state if state & RESET != 0 => "reset",
            state if state & BOTH_FINS == BOTH_FINS => "closing",
            state if state & ESTABLISHED == 0 => "opening",
            _ => "established",
        }
    }

    /// The number by which gateways tell each other of it.
    pub fn number(self) -> u8 {
        self.0
    }

    /// The state of a protocol's session with this number; `None` where there is none.
    pub(crate) fn restore(number: u8, protocol: u8) -> Option<State> {
        let state = State(number);
        let is_one = match protocol {
            TCP => number >> State::BITS == 0 && state.is_connection(),
            _ => matches!(protocol, UDP | ICMP | ICMPV6) && state.protocol() == protocol,
        };
        is_one.then_some(state)
    }

    #[inline(always)]
    pub(crate) fn is_connection(self) -> bool {
        self.0 & CONNECTION != 0
    }

    /// Whether it is a connection whose handshake is not complete.
    pub(crate) fn is_opening(self) -> bool {
        self.is_connection() && self.0 & ESTABLISHED == 0
    }

    /// Whether a packet with these flags only keeps the session alive, whichever side it comes from; nearly all do.
    /// `flags` are TCP's, and where others' types look like them, a longer way leads to the same end.
    #[inline(always)]
    pub(crate) fn is_settled(self, flags: u8) -> bool {
        (SETTLED >> self.0) & 1 != 0 && flags & (Tcp::SYN | Tcp::FIN | Tcp::RST) == 0
    }

    /// What a packet from the client does.
    pub(crate) fn after_client(self, flags: u8) -> Step {
        let state = match self {
            State::UDP_UNANSWERED => State::UDP,
            State::UDP_QUIET_UNANSWERED => State::UDP_QUIET,
            _ if !self.is_connection() => self,
            _ => return self.connection_after_client(flags),
        };
        Step { state, refreshes: true, begins: false }
    }

    /// What a packet from the origin does.
    pub(crate) fn after_origin(self, flags: u8) -> Step {
        if self.is_connection() {
            return self.connection_after_origin(flags);
        }
        let refreshes =
            !matches!(self, State::UDP_QUIET | State::UDP_UNANSWERED | State::UDP_QUIET_UNANSWERED);
        Step { state: self, refreshes, begins: false }
    }

    fn connection_after_client(self, flags: u8) -> Step {
        if flags & Tcp::RST != 0 {
            return self.reset();
        }
        let opens = flags & (Tcp::SYN | Tcp::ACK) == Tcp::SYN;
        if opens && (self.0 & RESET != 0 || self.0 & BOTH_FINS == BOTH_FINS) {
            // The client uses its port again.
            return Step { state: State::CONNECTION, refreshes: true, begins: true };
        }
        let mut state = self.0 & !RESET;
        if flags & Tcp::ACK != 0 && state & ANSWERED != 0 {
            state |= ESTABLISHED;
        }
        if flags & Tcp::FIN != 0 {
            state |= CLIENT_FIN;
        }
        Step { state: State(state), refreshes: state & BOTH_FINS != BOTH_FINS, begins: false }
    }

    fn connection_after_origin(self, flags: u8) -> Step {
        if flags & Tcp::RST != 0 {
            return self.reset();
        }
        let mut state = self.0 & !RESET | ANSWERED;
        if flags & Tcp::FIN != 0 {
            state |= ORIGIN_FIN;
        }
        let refreshes = state & ESTABLISHED != 0 && state & BOTH_FINS != BOTH_FINS;
        Step { state: State(state), refreshes, begins: false }
    }

    fn reset(self) -> Step {
        Step { state: State(self.0 | RESET), refreshes: false, begins: false }
    }

    /// What follows when a session's time is over: a connection that was established waits once more for as long as
    /// one that closes. `None` is the end.
    pub(crate) fn after_silence(self) -> Option<State> {
        (self.is_connection() && self.name() == "established").then_some(State(self.0 | RESET))
    }
}

/// States in which an ordinary packet from either side only keeps the session alive, one bit each.
const SETTLED: u64 = {
    let mut states = 1 << State::UDP.0 | 1 << State::ICMP.0 | 1 << State::ICMPV6.0;
    let mut state = CONNECTION;
    while state < 1 << State::BITS {
        if state & (RESET | ESTABLISHED) == ESTABLISHED && state & BOTH_FINS != BOTH_FINS {
            states |= 1 << state;
        }
        state += 1;
    }
    states
};

/// What a packet does to a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub state: State,
    /// Whether the session has its state's whole lifetime again; else it has at most that, and no more than before.
    pub refreshes: bool,
    /// Whether another connection begins, with other sequence numbers.
    pub begins: bool,
}

/// Seconds to live by state.
pub(crate) struct Lifetimes([u32; 1 << State::BITS]);

impl Lifetimes {
    pub(crate) fn new(timeouts: &Timeouts) -> Lifetimes {
        let mut lifetimes = [0; 1 << State::BITS];
        for (state, lifetime) in lifetimes.iter_mut().enumerate() {
            let state = State(state as u8);
            *lifetime = match state {
                _ if state.protocol() == UDP => timeouts.udp,
                State::ICMP | State::ICMPV6 => timeouts.icmp,
                _ if state.name() == "established" => timeouts.tcp_established,
                _ if state.name() == "opening" => timeouts.tcp_opening,
                _ => timeouts.tcp_closing,
            };
        }
        Lifetimes(lifetimes)
    }

    #[inline(always)]
    pub(crate) fn of(&self, state: State) -> u32 {
        self.0[(state.0 & ((1 << State::BITS) - 1)) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const SYN: u8 = Tcp::SYN;
    const ACK: u8 = Tcp::ACK;
    const FIN: u8 = Tcp::FIN;
    const RST: u8 = Tcp::RST;

    /// The names of the states that packets lead through; `>` comes from the client, `<` from the origin.
    fn walk(steps: &[(char, u8)]) -> Vec<&'static str> {
        let mut state = State::CONNECTION;
        let mut names = Vec::new();
        for (side, flags) in steps {
            state = if *side == '>' { state.after_client(*flags) } else { state.after_origin(*flags) }.state;
            names.push(state.name());
        }
        names
    }

    #[test]
    fn a_connection_opens_and_closes() {
        let steps = [
            ('>', SYN),
            ('<', SYN | ACK),
            ('>', ACK),
            ('<', ACK),
            ('<', ACK | FIN),
            ('>', ACK),
            ('>', ACK | FIN),
            ('<', ACK),
        ];
        let names = walk(&steps);
        assert_eq!(names[..3], ["opening", "opening", "established"]);
        assert_eq!(names[3..], ["established", "established", "established", "closing", "closing"]);
    }

    #[test]
    fn a_syn_flood_never_gets_the_long_timeout() {
        let answered = [('>', SYN), ('<', SYN | ACK), ('<', SYN | ACK), ('>', SYN)];
        assert!(walk(&answered).iter().all(|name| *name == "opening"));
        assert!(walk(&[('>', SYN), ('>', ACK), ('>', ACK)]).iter().all(|name| *name == "opening"));
    }

    #[test]
    fn a_reset_shortens_and_data_restores() {
        let open = [('>', SYN), ('<', SYN | ACK), ('>', ACK), ('<', RST), ('>', ACK), ('>', RST | ACK)];
        assert_eq!(walk(&open)[2..], ["established", "reset", "established", "reset"]);
        assert_eq!(walk(&[('>', SYN), ('<', RST | ACK), ('>', SYN)]), ["opening", "reset", "opening"]);
    }

    #[test]
    fn simultaneous_open_and_port_reuse_are_connections() {
        let crossing = [('>', SYN), ('<', SYN), ('>', SYN | ACK), ('<', SYN | ACK)];
        assert_eq!(walk(&crossing)[2..], ["established", "established"]);
        let again = [('>', SYN), ('<', SYN | ACK), ('>', FIN | ACK), ('<', FIN | ACK), ('>', SYN)];
        assert_eq!(walk(&again)[3..], ["closing", "opening"]);
    }

    #[test]
    fn a_number_stands_for_one_state_of_one_protocol() {
        for number in 0..=u8::MAX {
            let of = [TCP, UDP, ICMP, ICMPV6, 132].map(|protocol| State::restore(number, protocol));
            assert!(of.iter().flatten().count() <= 1);
            assert!(of.iter().flatten().all(|state| state.number() == number));
            assert_eq!(of[0].is_some(), (0x20..0x40).contains(&number));
        }
        assert_eq!([1, 8, 9, 10].map(|number| State::restore(number, UDP).is_some()), [true; 4]);
    }

    #[test]
    fn each_state_has_its_lifetime() {
        let timeouts = Timeouts { tcp_established: 4, tcp_opening: 3, tcp_closing: 5, udp: 2, icmp: 1 };
        let lifetimes = Lifetimes::new(&timeouts);
        assert_eq!(lifetimes.of(State::UDP), 2);
        assert_eq!((lifetimes.of(State::ICMP), lifetimes.of(State::ICMPV6)), (1, 1));
        assert_eq!(lifetimes.of(State::CONNECTION), 3);
        assert_eq!(lifetimes.of(State(CONNECTION | ANSWERED | ESTABLISHED)), 4);
        assert_eq!(lifetimes.of(State(CONNECTION | ANSWERED | ESTABLISHED | CLIENT_FIN)), 4);
        assert_eq!(lifetimes.of(State(CONNECTION | ANSWERED | ESTABLISHED | BOTH_FINS)), 5);
        assert_eq!(lifetimes.of(State(CONNECTION | ANSWERED | ESTABLISHED | RESET)), 5);
        assert_eq!(State::UDP.after_origin(RST).state, State::UDP);
    }
}
