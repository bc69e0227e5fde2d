//! The table of sessions: making, forgetting and showing them.

use crate::config::{Config, InvalidConfig};
use crate::other::Others;
use crate::ports::{PROTOCOLS, PoolUse, Ports, Share, space_of};
use crate::reverse::{Reverse, ReverseSlot};
use crate::session::{Expiry, Key, NewSession, Seconds, Session, SessionIndex, SessionView, Tag};
use crate::state::{Lifetimes, State};
use crate::translate::deltas;
use crate::vips::Vips;
use foldhash::SharedSeed;
use packet::index::HashIndex;
use packet::transport::{ICMP, ICMPV6, TCP, UDP};
use packet::{IpVersion, Reason};

/// One worker's sessions and share of the pool's ports; see the crate's documentation.
pub struct Nat {
    pub(crate) sessions: Box<[Session]>,
    pub(crate) index: HashIndex,
    pub(crate) reverse: Reverse,
    pub(crate) ports: Ports,
    pub(crate) vips: Vips,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) others: Others,
    pub(crate) seed: u64,
    pub(crate) shared_seed: SharedSeed,
    /// The last place freed; from there each free place names the next.
    free: u32,
    /// Places used at least once.
    pub(crate) used: u32,
    /// Where the sweep goes on.
    pub(crate) sweep_at: u32,
}

const NO_PLACE: u32 = u32::MAX;
/// Sessions of other protocols than TCP, UDP and ICMP at most.
const OTHERS_MAX: usize = 1 << 16;

impl Nat {
    /// Allocates all that it ever needs: 64 bytes per session for itself, 16 to 32 for its index, and 18 bytes per
    /// address and port of the worker's share.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(config: &Config) -> Result<Nat, InvalidConfig> {
        config.validate()?;
        let pool = config.distinct_pool();
        let share = Share::new(config.worker, config.workers);
        Ok(Nat {
            sessions: vec![Session::EMPTY; config.sessions_max].into_boxed_slice(),
            index: HashIndex::new(config.sessions_max),
            ports: Ports::new(share, pool.len() * PROTOCOLS, config.seed),
            reverse: Reverse::new(share, &pool),
            vips: Vips::new(config.sessions_max),
            lifetimes: Lifetimes::new(&config.timeouts),
            others: Others::new(
                config.sessions_max.min(OTHERS_MAX),
                &pool,
                config.worker,
                config.workers,
                config.seed,
            ),
            seed: config.seed.rotate_left(32),
            shared_seed: SharedSeed::from_u64(config.seed),
            free: NO_PLACE,
            used: 0,
            sweep_at: 0,
        })
    }

    /// Makes a session: the external address is the client's (always the same one of its IP version), the port a
    /// random one out of this worker's share. Where the key has a session already, such as when two first packets
    /// stand in one burst, that one is returned unchanged.
    ///
    /// # Errors
    /// [`Reason::Transport`] for a protocol that is not translated, [`Reason::NoOrigin`] for an origin or VIP of
    /// the other IP version, [`Reason::NatNoPool`], [`Reason::NatPortsExhausted`], [`Reason::NatTableFull`].
    /// Nothing is changed then; live sessions are never evicted.
    pub fn create(
        &mut self,
        now: Seconds,
        hash: u64,
        key: Key,
        new: NewSession,
    ) -> Result<SessionIndex, Reason> {
        if let Some(session) = self.find(hash, &key) {
            return Ok(session);
        }
        // An IPv6 client may have an IPv4 origin (RFC 6146), not the other way round.
        let [client_v4, vip_v4, origin_v4] = [key.client, new.vip, new.origin].map(packet::Addr::is_v4);
        if vip_v4 != client_v4 || (client_v4 && !origin_v4) {
            return Err(Reason::NoOrigin);
        }
        let version = if origin_v4 { IpVersion::V4 } else { IpVersion::V6 };
        let outside = if new.protocol == ICMPV6 && origin_v4 && !client_v4 { ICMP } else { new.protocol };
        let new = NewSession { protocol: outside, ..new };
        let state = State::initial(new.protocol, version).ok_or(Reason::Transport)?;
        let external =
            self.reverse.choose(self.hash_address(key.client), version).ok_or(Reason::NatNoPool)?;
        let space = external as usize * PROTOCOLS + space_of(new.protocol).ok_or(Reason::Transport)?;
        let at = self.next_place().ok_or(Reason::NatTableFull)?;
        let vip = self.vips.hold(self.hash_address(new.vip), new.vip)?;
        let port = match self.take_port(hash, at, space) {
            Ok(port) => port,
            Err(reason) => {
                self.release_vip(vip);
                return Err(reason);
            }
        };
        let icmp = matches!(new.protocol, ICMP | ICMPV6);
        let mut session = Session {
            client: key.client,
            origin: new.origin,
            tag: new.tag,
            service: key.service,
            expiry: Expiry::new(now, self.lifetimes.of(state), state),
            client_port: key.port,
            origin_port: if icmp { port } else { new.origin_port },
            external_port: port,
            vip_port: if icmp { key.port } else { new.vip_port },
            external,
            vip,
            ..Session::EMPTY
        };
        (session.addresses, session.transport) =
            deltas(&session, new.vip, self.reverse.address(external), new.protocol);
        self.occupy(at, session);
        Ok(SessionIndex(at))
    }

    /// Takes a port of a space for the session at `at`, and enters that in the index and the reverse table.
    fn take_port(&mut self, hash: u64, at: u32, space: usize) -> Result<u16, Reason> {
        let port = self.ports.take(space)?;
        let slot = self.reverse.slot_in(space, port);
        match (slot, self.index.insert(hash, at)) {
            (Some(slot), Ok(())) => {
                self.reverse.set(slot, Some(at));
                Ok(port)
            }
            _ => {
                self.ports.give(space, port);
                Err(Reason::NatTableFull)
            }
        }
    }

    /// The external address of a client, for protocols with ports.
    pub(crate) fn paired_address(&self, client: packet::Addr) -> Option<packet::Addr> {
        let version = if client.is_v4() { IpVersion::V4 } else { IpVersion::V6 };
        let place = self.reverse.choose(self.hash_address(client), version)?;
        Some(self.reverse.address(place))
    }

    fn next_place(&self) -> Option<u32> {
        if self.free != NO_PLACE {
            return Some(self.free);
        }
        ((self.used as usize) < self.sessions.len()).then_some(self.used)
    }

    fn occupy(&mut self, at: u32, session: Session) {
        if at == self.used {
            self.used += 1;
        } else {
            self.free = self.sessions[at as usize].service.0;
        }
        self.sessions[at as usize] = session;
    }

    fn release_vip(&mut self, vip: u16) {
        let hash = self.hash_address(self.vips.address(vip));
        self.vips.release(hash, vip);
    }

    /// Where the session at `at` stands in the reverse table.
    pub(crate) fn space_and_slot(&self, at: u32) -> Option<(usize, ReverseSlot)> {
        let session = &self.sessions[at as usize];
        let space = session.external as usize * PROTOCOLS + space_of(session.expiry.state().protocol())?;
        Some((space, self.reverse.slot_in(space, session.external_port)?))
    }

    /// Forgets the live session at `at` and gives back all that it held; `hash` is its key's.
    pub(crate) fn remove(&mut self, hash: u64, at: u32) {
        let Some((space, slot)) = self.space_and_slot(at) else { return };
        let session = self.sessions[at as usize];
        self.index.remove(hash, at);
        self.reverse.set(slot, None);
        self.ports.give(space, session.external_port);
        self.release_vip(session.vip);
        self.sessions[at as usize] = Session { service: crate::ServiceId(self.free), ..Session::EMPTY };
        self.free = at;
    }

    /// What packets from the client's side find a session by.
    #[inline(always)]
    pub fn key(&self, session: SessionIndex) -> Key {
        self.sessions[session.index()].key()
    }

    /// The tag of a session.
    #[inline(always)]
    pub fn tag(&self, session: SessionIndex) -> Tag {
        self.sessions[session.index()].tag
    }

    /// Changes the tag of a session, such as when its client now comes through another edge.
    #[inline(always)]
    pub fn set_tag(&mut self, session: SessionIndex, tag: Tag) {
        self.sessions[session.index()].tag = tag;
    }

    /// All about a session; `None` where it has expired.
    pub fn session(&self, index: SessionIndex) -> Option<SessionView> {
        let session = self.sessions.get(index.index()).filter(|session| session.is_live())?;
        let state = session.expiry.state();
        let port = |port| if matches!(state.protocol(), ICMP | ICMPV6) { 0 } else { port };
        Some(SessionView {
            index,
            key: session.key(),
            protocol: state.protocol(),
            vip: self.vips.address(session.vip),
            vip_port: port(session.vip_port),
            origin: session.origin,
            origin_port: port(session.origin_port),
            external: self.reverse.address(session.external),
            external_port: session.external_port,
            state,
            tag: session.tag,
            expiry: session.expiry,
        })
    }

    /// Sessions held.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no session is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Sessions held at most.
    pub fn capacity(&self) -> usize {
        self.sessions.len()
    }

    /// How the pool is used: each address with each protocol, in the pool's order.
    pub fn pool_use(&self) -> impl Iterator<Item = PoolUse> + '_ {
        (0..self.reverse.addresses() * PROTOCOLS).map(|space| {
            let address = self.reverse.address((space / PROTOCOLS) as u16);
            let icmp = if address.is_v4() { ICMP } else { ICMPV6 };
            let total = self.ports.total();
            PoolUse {
                address,
                protocol: [TCP, UDP, icmp][space % PROTOCOLS],
                used: total - self.ports.free(space),
                total,
            }
        })
    }
}
