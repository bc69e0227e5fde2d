//! The table of sessions: making, forgetting and showing them.

use crate::accounts::{Accounts, ClientUse};
use crate::addresses::Addresses;
use crate::blocks::Blocks;
use crate::config::{Config, InvalidConfig};
use crate::events::Log;
use crate::handover::Made;
use crate::other::Others;
use crate::ports::Ports;
use crate::reverse::{Reverse, ReverseSlot};
use crate::ring::Rings;
use crate::rules::Rules;
use crate::session::{Flags, Key, Seconds, ServiceId, Session, SessionIndex, SessionView, Tag, UNTRANSLATED};
use crate::share::{PROTOCOLS, PoolUse, Share, space_of};
use crate::state::Lifetimes;
use crate::wheel::Wheel;
use foldhash::SharedSeed;
use packet::index::HashIndex;
use packet::rss::Rss;
use packet::transport::{ICMP, ICMPV6, TCP, UDP};
use packet::{Addr, IpVersion};

/// One worker's sessions and share of the pool's ports; see the crate's documentation.
pub struct Nat {
    pub(crate) sessions: Box<[Session]>,
    pub(crate) index: HashIndex,
    pub(crate) reverse: Reverse,
    pub(crate) ports: Ports,
    pub(crate) vips: Addresses,
    pub(crate) origins: Addresses,
    pub(crate) lifetimes: Lifetimes,
    pub(crate) others: Others,
    pub(crate) rules: Rules,
    /// Sessions that only clients with few of them may have.
    pub(crate) reserved: usize,
    /// How replies are spread over workers, with this one's number; `None` where that is not known, or there is one.
    pub(crate) steering: Option<(Rss, u16)>,
    /// Sessions of one mapping.
    pub(crate) rings: Rings,
    /// First sessions by mapping, further ones by peer; see [`crate::mapping`].
    pub(crate) mapped: HashIndex,
    pub(crate) wheel: Wheel,
    pub(crate) accounts: Accounts,
    pub(crate) seed: u64,
    pub(crate) shared_seed: SharedSeed,
    /// Which addresses may be used.
    pub(crate) blocks: Blocks,
    /// What happens, where somebody wants to know.
    pub(crate) log: Option<Box<Log>>,
    /// Sessions made so far.
    pub(crate) made: u64,
    /// Sessions made while another gateway is told of them.
    pub(crate) fresh: Made,
    /// The last place freed; from there each free place names the next.
    free: u32,
    /// Places used at least once.
    pub(crate) used: u32,
}

const NO_PLACE: u32 = u32::MAX;
/// Sessions of other protocols than TCP, UDP and ICMP at most.
const OTHERS_MAX: usize = 1 << 16;

impl Nat {
    /// Allocates all that it ever needs. For each session: 64 bytes for itself, 32 to 64 for two indexes, 16 for the
    /// rings of its mapping and the timer wheel, and half of a client's 60 to 76. For each address and port of the
    /// worker's share: 24 bytes.
    ///
    /// # Errors
    /// What is wrong with the configuration.
    pub fn new(config: &Config) -> Result<Nat, InvalidConfig> {
        let own = config.distinct_pool().len();
        Nat::of(config, Blocks::alone(own))
    }

    /// The same for a gateway that stands in for another, whose pool is `peers`. It holds neither block until
    /// [`Nat::set_held`] says so.
    ///
    /// # Errors
    /// As [`Nat::new`].
    pub fn with_peer(config: &Config, peers: &[Addr]) -> Result<Nat, InvalidConfig> {
        let own = config.distinct_pool();
        let others = peers.iter().filter(|address| !own.contains(address));
        let pool = own.iter().chain(others).copied().collect();
        Nat::of(&Config { pool, ..config.clone() }, Blocks::paired(own.len()))
    }

    fn of(config: &Config, blocks: Blocks) -> Result<Nat, InvalidConfig> {
        config.validate()?;
        let pool = config.distinct_pool();
        let (own, peers) = pool.split_at_checked(blocks.peers_from as usize).unwrap_or_default();
        let fresh = if blocks.is_paired { Made::with_room() } else { Made::default() };
        let share = Share::new(config.worker, config.workers);
        Ok(Nat {
            sessions: vec![Session::EMPTY; config.sessions_max].into_boxed_slice(),
            index: HashIndex::new(config.sessions_max),
            ports: Ports::new(
                share,
                pool.len() * PROTOCOLS,
                config.seed,
                config.rules.quarantine_s,
                config.rules.parity,
            ),
            reverse: Reverse::new(share, &pool, blocks.peers_from),
            vips: Addresses::new(config.sessions_max),
            origins: Addresses::new(config.sessions_max),
            lifetimes: Lifetimes::new(&config.timeouts),
            others: Others::new(
                config.sessions_max.min(OTHERS_MAX),
                [own, peers],
                config.worker,
                config.workers,
                config.seed,
            ),
            rules: config.rules,
            steering: config.rss.clone().filter(|rss| rss.queues > 1).map(|rss| (rss, config.worker)),
            reserved: config.sessions_max / 100 * config.rules.reserve_percent as usize,
            rings: Rings::new(config.sessions_max),
            mapped: HashIndex::new(config.sessions_max),
            wheel: Wheel::new(config.sessions_max),
            accounts: Accounts::new(&config.rules, config.sessions_max),
            seed: config.seed.rotate_left(32),
            shared_seed: SharedSeed::from_u64(config.seed),
            blocks,
            log: None,
            made: 0,
            fresh,
            free: NO_PLACE,
            used: 0,
        })
    }

    /// The external address of a client, for protocols with ports.
    pub(crate) fn paired_address(&self, client: Addr, block: usize) -> Option<Addr> {
        let version = if client.is_v4() { IpVersion::V4 } else { IpVersion::V6 };
        let place = self.reverse.choose(self.pair_hash(client), version, block)?;
        Some(self.reverse.address(place))
    }

    pub(crate) fn next_place(&self) -> Option<u32> {
        if self.free != NO_PLACE {
            return Some(self.free);
        }
        ((self.used as usize) < self.sessions.len()).then_some(self.used)
    }

    /// Puts a session in the place that [`Nat::next_place`] named; returns which place is free next.
    pub(crate) fn occupy(&mut self, at: u32, session: Session) -> u32 {
        let next = if at == self.used {
            self.used += 1;
            self.free
        } else {
            self.sessions[at as usize].service.0
        };
        self.free = next;
        self.sessions[at as usize] = session;
        next
    }

    /// Frees a place, which is the next to be used.
    pub(crate) fn vacate(&mut self, at: u32, next_free: u32) {
        self.sessions[at as usize] = Session { service: ServiceId(next_free), ..Session::EMPTY };
        self.free = at;
    }

    pub(crate) fn release_vip(&mut self, vip: u16) {
        let hash = self.hash_address(self.vips.address(vip));
        self.vips.release(hash, vip);
    }

    pub(crate) fn release_origin(&mut self, origin: u16) {
        let hash = self.hash_address(self.origins.address(origin));
        self.origins.release(hash, origin);
    }

    /// The space of a session's external port, and where that stands in the reverse table.
    pub(crate) fn space_and_slot(&self, at: u32) -> Option<(usize, ReverseSlot)> {
        let session = &self.sessions[at as usize];
        if session.external == UNTRANSLATED {
            return None;
        }
        let space = session.external as usize * PROTOCOLS + space_of(session.expiry.state().protocol())?;
        Some((space, self.reverse.slot_in(space, session.external_port)?))
    }

    /// Forgets the live session at `at` and gives back all that it held; `hash` is its key's.
    pub(crate) fn remove(&mut self, now: Seconds, hash: u64, at: u32) {
        self.tell_deleted(now, SessionIndex(at));
        let session = self.sessions[at as usize];
        let protocol = space_of(session.expiry.state().protocol());
        self.index.remove(hash, at);
        self.wheel.forget(at);
        self.leave(now, at);
        self.release_vip(session.vip);
        self.release_origin(session.origin);
        if let Some(protocol) = protocol {
            let client = self.hash_address(session.client);
            self.accounts.close(client, session.client, protocol);
        }
        self.vacate(at, self.free);
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
            origin: self.origins.address(session.origin),
            origin_port: port(session.origin_port),
            external: self.external(session),
            external_port: session.external_port,
            state,
            tag: session.tag,
            is_inbound: session.flags.has(Flags::INBOUND),
            expiry: session.expiry,
        })
    }

    /// Sessions made so far, of all protocols.
    pub fn made(&self) -> u64 {
        self.made
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

    /// Clients that have sessions.
    pub fn clients(&self) -> usize {
        self.accounts.len()
    }

    /// What a client has; `None` where it has no session.
    pub fn client(&self, client: Addr) -> Option<ClientUse> {
        self.accounts.usage(self.hash_address(client), client)
    }

    /// Shows what clients have, of `count` places of their table from `from` on. Returns where to go on, or `None` at
    /// the end.
    pub fn list_clients(&self, from: usize, count: usize, show: impl FnMut(ClientUse)) -> Option<usize> {
        self.accounts.list(from, count, show)
    }

    /// How the pool is used: each address with each protocol, in the pool's order.
    pub fn pool_use(&self) -> impl Iterator<Item = PoolUse> + '_ {
        (0..self.spaces()).map(|space| self.use_of(space))
    }

    /// Shows the use of `count` addresses with a protocol from number `from` on. Returns where to go on, or `None` at the
    /// end.
    pub fn list_pool(&self, from: usize, count: usize, show: impl FnMut(PoolUse)) -> Option<usize> {
        let end = from.saturating_add(count).min(self.spaces());
        (from..end).map(|space| self.use_of(space)).for_each(show);
        (end < self.spaces() && end > from).then_some(end)
    }

    fn spaces(&self) -> usize {
        self.reverse.addresses() * PROTOCOLS
    }

    fn use_of(&self, space: usize) -> PoolUse {
        let address = self.reverse.address((space / PROTOCOLS) as u16);
        let icmp = if address.is_v4() { ICMP } else { ICMPV6 };
        let total = self.ports.total();
        PoolUse {
            address,
            protocol: [TCP, UDP, icmp][space % PROTOCOLS],
            used: total - self.ports.free(space),
            total,
        }
    }
}
