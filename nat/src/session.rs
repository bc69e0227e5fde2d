//! A session: 64 bytes, one cache line, all that either direction reads or writes.

use crate::rules::Filtering;
use crate::sequence::Next;
use crate::state::State;
use packet::Addr;
use packet::checksum::Delta;

/// Seconds of any clock that only goes forward; it may start anywhere and wrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Seconds(pub u32);

/// A service, (VIP, protocol, port), as a dense number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct ServiceId(pub u32);

/// Whatever the owner of the NAT wants to find again with a session; opaque here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Tag(pub u64);

/// Which session. Valid until the session expires, which happens in [`Nat::sweep`](crate::Nat::sweep) only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionIndex(pub(crate) u32);

/// Where a session may stand; see [`Nat::guess`](crate::Nat::guess).
#[derive(Clone, Copy, Debug, Default)]
pub struct Guess(pub(crate) u32);

impl SessionIndex {
    /// The place in the table, below its capacity.
    #[inline(always)]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a packet from the client's side is looked up by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// The client's address.
    pub client: Addr,
    /// TCP's or UDP's source port, or an ICMP echo's identifier.
    pub port: u16,
    /// The service that it talks to. Services of different protocols are different services.
    pub service: ServiceId,
}

/// What else makes a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// TCP, UDP, or ICMP of the client's IP version.
    pub protocol: u8,
    /// What the client sends to.
    pub vip: Addr,
    /// Its port there; ICMP: ignored.
    pub vip_port: u16,
    /// What the gateway sends to instead; of the client's IP version.
    pub origin: Addr,
    /// The port there; ICMP: ignored.
    pub origin_port: u16,
    /// Kept with the session.
    pub tag: Tag,
    /// Who else may send to the external address and port that this session uses. Of all sessions that use it the
    /// strictest counts, for as long as one is left.
    pub filtering: Filtering,
}

/// A session as lists show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionView {
    /// Which session.
    pub index: SessionIndex,
    /// What packets from the client's side find it by.
    pub key: Key,
    /// TCP, UDP, ICMP or ICMPv6.
    pub protocol: u8,
    /// What the client sends to.
    pub vip: Addr,
    /// Its port there; ICMP: 0.
    pub vip_port: u16,
    /// What the gateway sends to instead.
    pub origin: Addr,
    /// The port there; ICMP: 0.
    pub origin_port: u16,
    /// The gateway's address that the origin sees.
    pub external: Addr,
    /// The port or echo identifier that the origin sees.
    pub external_port: u16,
    /// How far the connection is.
    pub state: State,
    /// Kept for the owner of the NAT.
    pub tag: Tag,
    /// Whether a packet from the origin's side opened it, and the client has not answered.
    pub is_inbound: bool,
    pub(crate) expiry: Expiry,
}

impl SessionView {
    /// Seconds left to live without traffic; 0 when it awaits the sweep.
    pub fn seconds_left(&self, now: Seconds) -> u32 {
        self.expiry.seconds_left(now)
    }
}

/// When a session expires and which state it is in, packed in one word:
///
/// ```text
///   31                            6 5          0
///  +-------------------------------+------------+
///  | second of expiry, modulo 2^26 |   state    |
///  +-------------------------------+------------+
/// ```
///
/// Seconds are compared modulo 2^26 (two years), so a table must be swept once in a year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Expiry(u32);

impl Expiry {
    /// Stands in a place without a session.
    pub(crate) const FREE: Expiry = Expiry(State::FREE.0 as u32);
    /// Longest time to live, seconds.
    pub(crate) const LIFETIME_MAX: u32 = (1 << 25) - 1;

    #[inline(always)]
    pub(crate) fn new(now: Seconds, lifetime: u32, state: State) -> Expiry {
        Expiry(now.0.wrapping_add(lifetime) << State::BITS | state.0 as u32)
    }

    #[inline(always)]
    pub(crate) fn state(self) -> State {
        State(self.0 as u8 & ((1 << State::BITS) - 1))
    }

    #[inline(always)]
    pub(crate) fn is_due(self, now: Seconds) -> bool {
        self.until(now) <= 0
    }

    pub(crate) fn seconds_left(self, now: Seconds) -> u32 {
        self.until(now).max(0) as u32
    }

    #[inline(always)]
    fn until(self, now: Seconds) -> i32 {
        let second = self.0 & !((1 << State::BITS) - 1);
        second.wrapping_sub(now.0 << State::BITS) as i32 >> State::BITS
    }
}

/// A session in its place of the table.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub(crate) struct Session {
    pub client: Addr,
    pub tag: Tag,
    /// In a free place: the next free place.
    pub service: ServiceId,
    pub expiry: Expiry,
    /// TCP: behind the highest sequence number that the client and the origin have sent; 0 while none is known.
    pub next: Next,
    pub client_port: u16,
    /// ICMP: the external port, so that replies compare alike for all protocols.
    pub origin_port: u16,
    pub external_port: u16,
    pub vip_port: u16,
    /// What the change of addresses does to a sum, towards the origin.
    pub addresses: Delta,
    /// What the change of addresses and ports does to the transport checksum, towards the origin.
    pub transport: Delta,
    /// Place in the pool; [`UNTRANSLATED`] where the client keeps its own address and port.
    pub external: u16,
    /// Place among the VIPs in use.
    pub vip: u16,
    /// Place among the origins in use.
    pub origin: u16,
    pub flags: Flags,
}

/// Stands in the place of an address of the pool, and is beyond all of them.
pub(crate) const UNTRANSLATED: u16 = u16::MAX;

/// What else is to be known of a session, seldom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Flags(pub u8);

impl Flags {
    /// The external port is for this session alone, since another of the client's sessions with the same origin's port
    /// has the one that it would share.
    pub(crate) const ALONE: Flags = Flags(0b100);
    /// A packet from the origin's side opened the session, and the client has not answered.
    pub(crate) const INBOUND: Flags = Flags(0b1000);

    pub(crate) fn has(self, flag: Flags) -> bool {
        self.0 & flag.0 != 0
    }

    pub(crate) fn clear(&mut self, flag: Flags) {
        self.0 &= !flag.0;
    }

    pub(crate) fn filtering(self) -> Filtering {
        Filtering::of(self.0)
    }

    pub(crate) fn set_filtering(&mut self, filtering: Filtering) {
        self.0 = self.0 & !Filtering::MASK | filtering as u8;
    }
}

const _: () = assert!(size_of::<Session>() == 64);

impl Session {
    pub(crate) const EMPTY: Session = Session {
        client: Addr::UNSPECIFIED,
        tag: Tag(0),
        service: ServiceId(0),
        expiry: Expiry::FREE,
        next: Next::UNKNOWN,
        client_port: 0,
        origin_port: 0,
        external_port: 0,
        vip_port: 0,
        addresses: Delta::NONE,
        transport: Delta::NONE,
        external: 0,
        vip: 0,
        origin: 0,
        flags: Flags(0),
    };

    #[inline(always)]
    pub(crate) fn is_live(&self) -> bool {
        self.expiry.state() != State::FREE
    }

    #[inline(always)]
    pub(crate) fn key(&self) -> Key {
        Key { client: self.client, port: self.client_port, service: self.service }
    }

    /// Whether packets with this key belong here.
    #[inline(always)]
    pub(crate) fn is_for(&self, key: &Key) -> bool {
        // All at once: what is compared is nearly always equal.
        (self.client == key.client) & (self.client_port == key.port) & (self.service == key.service)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_survives_the_wrap_of_its_clock() {
        for start in [0u32, 1 << 26, (1 << 26) - 5, u32::MAX - 3] {
            let expiry = Expiry::new(Seconds(start), 10, State::UDP);
            assert_eq!(expiry.state(), State::UDP);
            assert_eq!(expiry.seconds_left(Seconds(start)), 10);
            assert!(!expiry.is_due(Seconds(start.wrapping_add(9))));
            assert!(expiry.is_due(Seconds(start.wrapping_add(10))));
            assert!(expiry.is_due(Seconds(start.wrapping_add(1 << 24))));
            assert_eq!(expiry.seconds_left(Seconds(start.wrapping_add(11))), 0);
        }
        let longest = Expiry::new(Seconds(7), Expiry::LIFETIME_MAX, State::ICMP);
        assert!(!longest.is_due(Seconds(7)));
        assert_eq!(longest.seconds_left(Seconds(7)), Expiry::LIFETIME_MAX);
    }
}
