//! How far a session is, which decides how long it lives without traffic.
//!
//! TCP follows RFC 7857 section 2 as far as timers go: transitory until the handshake is complete, established
//! from then, transitory again after the FINs of both sides or a RST. Nothing ends a session at once: a forged RST
//! shortens its life to the transitory timeout, and the next packet without RST restores it (section 2.2).

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
    /// Before the first packet of a connection.
    pub(crate) const CONNECTION: State = State(CONNECTION);

    /// The first state of a session; `None` for a protocol that is not translated in this IP version.
    pub(crate) fn initial(protocol: u8, version: IpVersion) -> Option<State> {
        match (protocol, version) {
            (TCP, _) => Some(State::CONNECTION),
            (UDP, _) => Some(State::UDP),
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
            State::UDP => UDP,
            State::ICMP => ICMP,
            State::ICMPV6 => ICMPV6,
            _ => TCP,
        }
    }

    /// The stable name: `opening`, `established`, `closing` or `reset` for TCP, else `active`.
    pub fn name(self) -> &'static str {
        match self.0 {
            state if state & CONNECTION == 0 => "active",
            state if state & RESET != 0 => "reset",
            state if state & BOTH_FINS == BOTH_FINS => "closing",
            state if state & ESTABLISHED == 0 => "opening",
            _ => "established",
        }
    }

    /// The state after a packet from the client; `flags` are TCP's, and of no effect for others.
    #[inline(always)]
    pub(crate) fn after_client(self, flags: u8) -> State {
        if self.is_settled(flags) { self } else { self.step_client(flags) }
    }

    /// The state after a packet from the origin.
    #[inline(always)]
    pub(crate) fn after_origin(self, flags: u8) -> State {
        if self.is_settled(flags) { self } else { self.step_origin(flags) }
    }

    /// Whether nothing can change: not TCP, or plain data on a connection that is simply established.
    #[inline(always)]
    fn is_settled(self, flags: u8) -> bool {
        self.0 & CONNECTION == 0
            || (flags & (Tcp::SYN | Tcp::FIN | Tcp::RST) == 0
                && self.0 & (RESET | ESTABLISHED) == ESTABLISHED)
    }

    fn step_client(self, flags: u8) -> State {
        if flags & Tcp::RST != 0 {
            return State(self.0 | RESET);
        }
        let opens = flags & (Tcp::SYN | Tcp::ACK) == Tcp::SYN;
        if opens && (self.0 & RESET != 0 || self.0 & BOTH_FINS == BOTH_FINS) {
            // The client uses its port again.
            return State::CONNECTION;
        }
        let mut state = self.0 & !RESET;
        if flags & Tcp::ACK != 0 && state & ANSWERED != 0 {
            state |= ESTABLISHED;
        }
        if flags & Tcp::FIN != 0 {
            state |= CLIENT_FIN;
        }
        State(state)
    }

    fn step_origin(self, flags: u8) -> State {
        if flags & Tcp::RST != 0 {
            return State(self.0 | RESET);
        }
        let mut state = self.0 & !RESET | ANSWERED;
        if flags & Tcp::FIN != 0 {
            state |= ORIGIN_FIN;
        }
        State(state)
    }
}

/// Seconds to live by state.
pub(crate) struct Lifetimes([u32; 1 << State::BITS]);

impl Lifetimes {
    pub(crate) fn new(timeouts: &Timeouts) -> Lifetimes {
        let mut lifetimes = [0; 1 << State::BITS];
        for (state, lifetime) in lifetimes.iter_mut().enumerate() {
            let state = State(state as u8);
            *lifetime = match state {
                State::UDP => timeouts.udp,
                State::ICMP | State::ICMPV6 => timeouts.icmp,
                _ if state.name() == "established" => timeouts.tcp_established,
                _ => timeouts.tcp_transitory,
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
            state = if *side == '>' { state.after_client(*flags) } else { state.after_origin(*flags) };
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
    fn each_state_has_its_lifetime() {
        let timeouts = Timeouts { tcp_established: 4, tcp_transitory: 3, udp: 2, icmp: 1 };
        let lifetimes = Lifetimes::new(&timeouts);
        assert_eq!(lifetimes.of(State::UDP), 2);
        assert_eq!((lifetimes.of(State::ICMP), lifetimes.of(State::ICMPV6)), (1, 1));
        assert_eq!(lifetimes.of(State::CONNECTION), 3);
        assert_eq!(lifetimes.of(State(CONNECTION | ANSWERED | ESTABLISHED)), 4);
        assert_eq!(lifetimes.of(State(CONNECTION | ANSWERED | ESTABLISHED | CLIENT_FIN)), 4);
        assert_eq!(lifetimes.of(State(CONNECTION | ANSWERED | ESTABLISHED | BOTH_FINS)), 3);
        assert_eq!(lifetimes.of(State(CONNECTION | ANSWERED | ESTABLISHED | RESET)), 3);
        assert_eq!(State::UDP.after_origin(RST), State::UDP);
    }
}
