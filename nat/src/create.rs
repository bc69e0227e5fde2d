//! Making sessions. Whatever is refused, nothing that lives is touched for it (RFC 6888 REQ-11 d), and nothing is left
//! of the attempt.

use crate::ports::{Queue, Wish};
use crate::reverse::ReverseSlot;
use crate::rules::Filtering;
use crate::session::{Expiry, Flags, Key, NewSession, Seconds, Session, SessionIndex, UNTRANSLATED};
use crate::share::{PROTOCOLS, space_of};
use crate::state::State;
use crate::table::Nat;
use crate::translate::deltas;
use packet::rss::Flow;
use packet::transport::{ICMP, ICMPV6, TCP};
use packet::{Addr, IpVersion, Reason};

/// Who opens a session, and with which external port.
#[derive(Clone, Copy)]
enum Opening {
    /// The client, with its mapping's, or a new one in this block.
    Client(usize),
    /// Another gateway, with this place in the pool and this port.
    Elsewhere(u16, u16),
    /// The client, which keeps its own address and port.
    Untranslated,
    /// A packet from the origin's side, to this mapping.
    Outside(ReverseSlot),
}

/// Where a session's external port comes from.
struct Binding {
    external: u16,
    port: u16,
    slot: Option<ReverseSlot>,
    /// Whether the port was taken for this session.
    is_new: bool,
    is_alone: bool,
    is_inbound: bool,
    /// Whether the session was made at another gateway.
    is_elsewhere: bool,
}

impl Binding {
    /// A port that somebody has taken for the session.
    fn new(external: u16, port: u16, slot: Option<ReverseSlot>) -> Binding {
        Binding {
            external,
            port,
            slot,
            is_new: true,
            is_alone: false,
            is_inbound: false,
            is_elsewhere: false,
        }
    }
}

impl Nat {
    /// Makes a session for a client's packet: the external address and port are those of the client's mapping, if it
    /// has one; else the address is the client's (always the same one of the origin's IP version, RFC 4787 REQ-2), the port a
    /// random one out of this worker's share. Where the key has a session already, such as when two first packets
    /// stand in one burst, that one is returned unchanged.
    ///
    /// # Errors
    /// [`Reason::Transport`] for a protocol that is not translated, [`Reason::NoOrigin`] for a VIP of the other
    /// IP version or an IPv6 origin for an IPv4 client, [`Reason::NatNoPool`], [`Reason::NatPortsExhausted`], [`Reason::NatTableFull`],
    /// [`Reason::NatClientLimit`], [`Reason::NatClientRate`]. Nothing is changed then; live sessions are never evicted.
    pub fn create(
        &mut self,
        now: Seconds,
        hash: u64,
        key: Key,
        new: NewSession,
    ) -> Result<SessionIndex, Reason> {
        self.make(now, hash, key, new, Opening::Client(0))
    }

    /// As [`Nat::create`], with an address of this block where the client has no mapping.
    ///
    /// # Errors
    /// As [`Nat::create`]; [`Reason::NatNotHolder`] for a block that may not be translated now.
    pub fn create_in(
        &mut self,
        now: Seconds,
        hash: u64,
        key: Key,
        new: NewSession,
        block: usize,
    ) -> Result<SessionIndex, Reason> {
        self.make(now, hash, key, new, Opening::Client(block))
    }

    /// Makes a session that another gateway had made, with the external address and port that it has had there. Of TCP
    /// it is an established connection, with the life of one that opens until its next packet.
    ///
    /// # Errors
    /// As [`Nat::create`], but for the client's rate; [`Reason::NatNotHolder`] for an address that is not in a block
    /// that may be translated now; [`Reason::NatWrongPeer`] where the port, or the client's session, is another.
    pub fn install(
        &mut self,
        now: Seconds,
        hash: u64,
        key: Key,
        new: NewSession,
        external: Addr,
        port: u16,
    ) -> Result<SessionIndex, Reason> {
        let place = self.reverse.place(external).ok_or(Reason::NatNotHolder)?;
        if !self.is_held(self.blocks.of(place)) {
            return Err(Reason::NatNotHolder);
        }
        self.install_at(now, (hash, key), new, (place, port))
    }

    /// As [`Nat::install`], in any block.
    pub(crate) fn install_at(
        &mut self,
        now: Seconds,
        (hash, key): (u64, Key),
        new: NewSession,
        (place, port): (u16, u16),
    ) -> Result<SessionIndex, Reason> {
        let session = self.make(now, hash, key, new, Opening::Elsewhere(place, port))?;
        let Session { external: place_now, external_port, .. } = self.sessions[session.index()];
        if (place_now, external_port) == (place, port) { Ok(session) } else { Err(Reason::NatWrongPeer) }
    }

    /// As [`Nat::create`], with the client's own address and port as the external ones (RFC 6888 REQ-6).
    ///
    /// # Errors
    /// As [`Nat::create`]; [`Reason::NatPortsExhausted`] where the client uses the port with the same origin already.
    pub fn create_untranslated(
        &mut self,
        now: Seconds,
        hash: u64,
        key: Key,
        new: NewSession,
    ) -> Result<SessionIndex, Reason> {
        self.make(now, hash, key, new, Opening::Untranslated)
    }

    /// Makes a session for a packet from the origin's side that [`Nat::mapping`] lets in, as if the client had sent to
    /// the origin first. It does not keep the mapping alive unless the client answers.
    ///
    /// # Errors
    /// As [`Nat::create`]; [`Reason::NatNoSession`] without a mapping, [`Reason::NatWrongPeer`] where the key has a session, [`Reason::NatIcmp`] for an echo, which is only
    /// ever answered.
    pub fn create_inbound(
        &mut self,
        now: Seconds,
        slot: ReverseSlot,
        key: Key,
        new: NewSession,
    ) -> Result<SessionIndex, Reason> {
        if matches!(new.protocol, ICMP | ICMPV6) {
            return Err(Reason::NatIcmp);
        }
        self.reverse.get(slot).ok_or(Reason::NatNoSession)?;
        // What the client would see as its sender talks to it already, from another of its origins.
        if self.find(self.hash(&key), &key).is_some() {
            return Err(Reason::NatWrongPeer);
        }
        self.make(now, self.hash(&key), key, new, Opening::Outside(slot))
    }

    fn make(
        &mut self,
        now: Seconds,
        hash: u64,
        key: Key,
        new: NewSession,
        opening: Opening,
    ) -> Result<SessionIndex, Reason> {
        if let Some(session) = self.find(hash, &key) {
            return Ok(session);
        }
        let made = self.admit(now, hash, key, new, opening);
        self.tell_made(now, key.client, new.protocol, made)
    }

    /// Makes it, if the client may have it.
    fn admit(
        &mut self,
        now: Seconds,
        hash: u64,
        key: Key,
        new: NewSession,
        opening: Opening,
    ) -> Result<SessionIndex, Reason> {
        // An IPv6 client may have an IPv4 origin (RFC 6146), not the other way round.
        let [client_v4, vip_v4, origin_v4] = [key.client, new.vip, new.origin].map(Addr::is_v4);
        let version = if client_v4 || origin_v4 { IpVersion::V4 } else { IpVersion::V6 };
        let changes = origin_v4 && !client_v4;
        let new = match new.protocol {
            ICMPV6 if changes => NewSession { protocol: ICMP, ..new },
            _ => new,
        };
        let is_inbound = matches!(opening, Opening::Outside(_));
        let is_elsewhere = matches!(opening, Opening::Elsewhere(..));
        let state = match new.protocol {
            TCP if is_elsewhere => Some(State::ELSEWHERE),
            _ => State::initial(new.protocol, version, is_inbound, self.rules.inbound_refresh),
        };
        let (state, space) = state.zip(space_of(new.protocol)).ok_or(Reason::Transport)?;
        let keeps = matches!(opening, Opening::Untranslated);
        if vip_v4 != client_v4 || (client_v4 && !origin_v4) || (changes && keeps) {
            return Err(Reason::NoOrigin);
        }
        let at = self.next_place().ok_or(Reason::NatTableFull)?;
        let client = self.hash_address(key.client);
        let account = self.accounts.open(now, client, key.client, space, !is_elsewhere)?;
        let is_large = self.accounts.sessions(account) > self.rules.few;
        if is_large && self.len() + self.reserved >= self.sessions.len() {
            self.accounts.close(client, key.client, space);
            return Err(Reason::NatTableFull);
        }
        let made = self.hold(now, (hash, at), (key, new), (state, space), (account, opening));
        if made.is_err() {
            self.accounts.close(client, key.client, space);
        }
        made
    }

    /// Holds what a session needs, addresses first.
    fn hold(
        &mut self,
        now: Seconds,
        (hash, at): (u64, u32),
        (key, new): (Key, NewSession),
        (state, space): (State, usize),
        (account, opening): (u32, Opening),
    ) -> Result<SessionIndex, Reason> {
        let vip = self.vips.hold(self.hash_address(new.vip), new.vip)?;
        let origin = match self.origins.hold(self.hash_address(new.origin), new.origin) {
            Ok(origin) => origin,
            Err(reason) => {
                self.release_vip(vip);
                return Err(reason);
            }
        };
        let made = self.bind(now, key, &new, space, (account, opening)).and_then(|binding| {
            let made = self.place((hash, at), (key, &new), state, &binding, (now, vip, origin));
            if made.is_err() && binding.is_new {
                self.unbind(now, key, space, &binding);
            }
            made
        });
        if made.is_err() {
            self.release_vip(vip);
            self.release_origin(origin);
        }
        made.map(|()| SessionIndex(at))
    }

    /// The external address and port for a session.
    fn bind(
        &mut self,
        now: Seconds,
        key: Key,
        new: &NewSession,
        space: usize,
        (account, opening): (u32, Opening),
    ) -> Result<Binding, Reason> {
        let first = match opening {
            Opening::Untranslated => return self.keep(key, new),
            Opening::Outside(slot) => self.reverse.get(slot),
            Opening::Client(_) | Opening::Elsewhere(..) => {
                self.mapping_of(key.client, key.port, space, new.origin.is_v4())
            }
        };
        let is_inbound = matches!(opening, Opening::Outside(_));
        let is_elsewhere = matches!(opening, Opening::Elsewhere(..));
        let mut is_alone = false;
        if let Some(first) = first {
            let session = self.sessions[first as usize];
            if !is_elsewhere && !self.is_held(self.blocks.of(session.external)) {
                return Err(Reason::NatNotHolder);
            }
            let origin_port =
                if matches!(new.protocol, ICMP | ICMPV6) { session.external_port } else { new.origin_port };
            let is_firsts =
                self.origins.address(session.origin) == new.origin && session.origin_port == origin_port;
            let is_wanted = match opening {
                Opening::Elsewhere(place, port) => (session.external, session.external_port) == (place, port),
                _ => true,
            };
            if is_wanted && !is_firsts && self.find_further(first, new.origin, origin_port).is_none() {
                let slot = self.space_and_slot(first).map(|(_, slot)| slot);
                let Session { external, external_port: port, .. } = session;
                let bound = Binding::new(external, port, slot);
                return Ok(Binding { is_new: false, is_inbound, is_elsewhere, ..bound });
            }
            if is_inbound {
                // The packet's session would not need to be made.
                return Err(Reason::NatWrongPeer);
            }
            is_alone = true;
        }
        match opening {
            Opening::Elsewhere(place, port) => {
                self.take_this_port(key, (place, port), space, account, is_alone)
            }
            Opening::Client(block) if !self.is_held(block) => Err(Reason::NatNotHolder),
            Opening::Client(block) => self.take_port(now, key, new, space, account, (block, is_alone)),
            _ => self.take_port(now, key, new, space, account, (0, is_alone)),
        }
    }

    /// Takes the port that a mapping has had at another gateway.
    fn take_this_port(
        &mut self,
        key: Key,
        (external, port): (u16, u16),
        space: usize,
        account: u32,
        is_alone: bool,
    ) -> Result<Binding, Reason> {
        self.accounts.take_port(account)?;
        let space = external as usize * PROTOCOLS + space;
        if !self.ports.take_this(space, port) {
            let client = self.hash_address(key.client);
            self.accounts.give_port(client, key.client);
            return Err(Reason::NatWrongPeer);
        }
        let slot = self.reverse.slot_in(space, port);
        Ok(Binding { is_alone, is_elsewhere: true, ..Binding::new(external, port, slot) })
    }

    /// Takes a port for a new mapping.
    fn take_port(
        &mut self,
        now: Seconds,
        key: Key,
        new: &NewSession,
        space: usize,
        account: u32,
        (block, is_alone): (usize, bool),
    ) -> Result<Binding, Reason> {
        let version = if new.origin.is_v4() { IpVersion::V4 } else { IpVersion::V6 };
        let client = self.hash_address(key.client);
        let paired = self.pair_hash(key.client);
        let external = self.reverse.choose(paired, version, block).ok_or(Reason::NatNoPool)?;
        let is_large = self.accounts.ports(account) >= self.rules.few;
        let reserved = self.ports.total() * self.rules.reserve_percent as usize / 100;
        let has_ports = !matches!(new.protocol, ICMP | ICMPV6);
        // Of its first origin: those that follow share the port, and their replies are handed over.
        let queue = self.steering.as_ref().filter(|_| has_ports).map(|(rss, worker)| {
            let external = self.reverse.address(external).to_ip();
            Queue {
                rss,
                flow: Flow::new(&rss.key, new.origin.to_ip(), external, new.origin_port),
                number: *worker,
            }
        });
        let wish =
            Wish { like: has_ports.then_some(key.port), leave: if is_large { reserved } else { 0 }, queue };
        self.accounts.take_port(account)?;
        let space = external as usize * PROTOCOLS + space;
        match self.ports.take(now, space, wish) {
            Ok(port) => {
                let slot = self.reverse.slot_in(space, port);
                Ok(Binding { is_alone, ..Binding::new(external, port, slot) })
            }
            Err(reason) => {
                self.accounts.give_port(client, key.client);
                Err(reason)
            }
        }
    }

    /// Leaves a client its own address and port, if no other session is in the way.
    fn keep(&self, key: Key, new: &NewSession) -> Result<Binding, Reason> {
        let origin_port = if matches!(new.protocol, ICMP | ICMPV6) { key.port } else { new.origin_port };
        let taken = self.find_untranslated((key.client, key.port), new.protocol, (new.origin, origin_port));
        match taken {
            Ok(_) => Err(Reason::NatPortsExhausted),
            Err(_) => Ok(Binding { is_new: false, ..Binding::new(UNTRANSLATED, key.port, None) }),
        }
    }

    fn unbind(&mut self, now: Seconds, key: Key, space: usize, binding: &Binding) {
        self.ports.give(now, binding.external as usize * PROTOCOLS + space, binding.port);
        let client = self.hash_address(key.client);
        self.accounts.give_port(client, key.client);
    }

    /// Puts a session in its place and enters it everywhere, or nowhere.
    fn place(
        &mut self,
        (hash, at): (u64, u32),
        (key, new): (Key, &NewSession),
        state: State,
        binding: &Binding,
        (now, vip, origin): (Seconds, u16, u16),
    ) -> Result<(), Reason> {
        let icmp = matches!(new.protocol, ICMP | ICMPV6);
        // A connection that another gateway has made lives on only if packets come.
        let is_awaited = binding.is_elsewhere && state.is_connection();
        let lifetime = self.lifetimes.of(if is_awaited { State::CONNECTION } else { state });
        let mut flags = Flags(new.filtering as u8);
        if binding.is_alone {
            flags = Flags(Filtering::AddressAndPortDependent as u8 | Flags::ALONE.0);
        }
        if binding.is_inbound {
            flags.0 |= Flags::INBOUND.0;
        }
        let mut session = Session {
            client: key.client,
            tag: new.tag,
            service: key.service,
            expiry: Expiry::new(now, lifetime, state),
            client_port: key.port,
            origin_port: if icmp { binding.port } else { new.origin_port },
            external_port: binding.port,
            vip_port: if icmp { key.port } else { new.vip_port },
            external: binding.external,
            vip,
            origin,
            flags,
            ..Session::EMPTY
        };
        (session.addresses, session.transport) =
            deltas(&session, (new.vip, new.origin), self.external(&session), new.protocol);
        self.index.insert(hash, at).map_err(|_| Reason::NatTableFull)?;
        let free = self.occupy(at, session);
        if let Err(reason) = self.enter(at, binding.slot) {
            self.index.remove(hash, at);
            self.vacate(at, free);
            return Err(reason);
        }
        self.wheel.look_in(now, lifetime, at);
        Ok(())
    }
}
