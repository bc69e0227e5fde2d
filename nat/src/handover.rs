//! Sessions that move from one gateway to another while both live: the one that leaves goes through its table and is told what
//! was made meanwhile; the other one stores what it hears, in a block that it does not hold yet.

use crate::other::OTHER;
use crate::session::{Expiry, Key, NewSession, Seconds, SessionIndex, SessionView};
use crate::share::{PROTOCOLS, space_of};
use crate::state::State;
use crate::table::Nat;
use packet::transport::{ICMP, ICMPV6, is_common};
use packet::{Addr, Reason};

/// Sessions that are remembered as made since the table was gone through.
const MADE_MAX: usize = 4096;

/// Sessions made while others are told of them.
#[derive(Default)]
pub(crate) struct Made {
    is_on: bool,
    sessions: Vec<SessionIndex>,
    overflowed: bool,
}

impl Made {
    /// With room, for gateways that have a peer.
    pub(crate) fn with_room() -> Made {
        Made { sessions: Vec::with_capacity(MADE_MAX), ..Made::default() }
    }

    pub(crate) fn add(&mut self, session: SessionIndex) {
        if !self.is_on {
            return;
        }
        if self.sessions.len() < self.sessions.capacity() {
            self.sessions.push(session);
        } else {
            self.overflowed = true;
        }
    }
}

/// What another gateway says of a session.
#[derive(Clone, Copy, Debug)]
pub struct Elsewhere {
    /// Its external address.
    pub external: Addr,
    /// Its external port, or echo identifier.
    pub port: u16,
    /// How far it is, as [`State::number`](crate::State::number) said there.
    pub state: u8,
}

impl Nat {
    /// Begins or ends to remember which sessions are made.
    pub fn remember_made(&mut self, on: bool) {
        self.fresh.is_on = on;
        self.fresh.overflowed = false;
        self.fresh.sessions.clear();
    }

    /// A session that was made since, each once and in no order. It may have ended.
    pub fn next_made(&mut self) -> Option<SessionIndex> {
        self.fresh.sessions.pop()
    }

    /// Whether more were made than could be remembered, since this was asked last.
    pub fn has_forgotten_made(&mut self) -> bool {
        core::mem::take(&mut self.fresh.overflowed)
    }

    /// The first session at a place of the table or behind it, of so many places, and where to go on; `None` at the end.
    pub fn session_from(&self, from: u32, places: u32) -> (Option<SessionIndex>, Option<u32>) {
        if from >= OTHER {
            return self.others.session_from(from, places);
        }
        let end = from.saturating_add(places).min(self.used);
        let found = (from..end).find(|at| self.sessions[*at as usize].is_live());
        let next = found.map_or(end, |at| at + 1);
        let others = (self.others_len() > 0).then_some(OTHER);
        (found.map(SessionIndex), if next < self.used { Some(next) } else { others })
    }

    /// Stores a session that another gateway has, which still translates it. It lives on only if packets come: of TCP, as long
    /// as one that opens, at most. What stands in its way was true once, and is forgotten for it.
    ///
    /// # Errors
    /// [`Reason::NatNotHolder`] for an address of no block, or of one that is held here; [`Reason::Transport`] for a state
    /// that the protocol has not; else as [`Nat::install`].
    pub fn store(&mut self, now: Seconds, key: Key, new: NewSession, at: Elsewhere) -> Result<(), Reason> {
        let place = self.reverse.place(at.external).ok_or(Reason::NatNotHolder)?;
        let block = self.blocks.of(place);
        if self.is_held(block) {
            return Err(Reason::NatNotHolder);
        }
        if !is_common(new.protocol) {
            self.blocks.note_stored(block);
            return self.store_other(now, key, new, at);
        }
        let protocol = match new.protocol {
            ICMPV6 if new.origin.is_v4() => ICMP,
            other => other,
        };
        let state = State::restore(at.state, protocol).ok_or(Reason::Transport)?;
        let hash = self.hash(&key);
        if let Some(known) = self.find(hash, &key) {
            let session = &self.sessions[known.index()];
            if (session.external, session.external_port) == (place, at.port) {
                self.put_off(now, known, state);
                return Ok(());
            }
            self.remove(now, hash, known.0);
        }
        self.blocks.note_stored(block);
        let mut made = self.install_at(now, (hash, key), new, (place, at.port));
        if made == Err(Reason::NatWrongPeer) {
            self.make_way(now, place, protocol, at.port);
            made = self.install_at(now, (hash, key), new, (place, at.port));
        }
        made.map(|session| self.put_off(now, session, state))
    }

    /// Gives a session that was stored a state, and time to hear of its packets.
    fn put_off(&mut self, now: Seconds, session: SessionIndex, state: State) {
        let lifetime = self.lifetimes.of(state);
        let opening = self.lifetimes.of(State::CONNECTION);
        let lifetime = if state.is_connection() { lifetime.min(opening) } else { lifetime };
        self.sessions[session.index()].expiry = Expiry::new(now, lifetime, state);
        self.wheel.look_in(now, lifetime, session.0);
    }

    /// Forgets whoever has a port.
    fn make_way(&mut self, now: Seconds, place: u16, protocol: u8, port: u16) {
        let Some(space) = space_of(protocol) else { return };
        let Some(slot) = self.reverse.slot_in(place as usize * PROTOCOLS + space, port) else { return };
        while let Some(first) = self.reverse.get(slot) {
            let hash = self.hash(&self.sessions[first as usize].key());
            self.remove(now, hash, first);
        }
    }
}

impl SessionView {
    /// The protocol as the client's packets have it.
    pub fn inside_protocol(&self) -> u8 {
        if self.protocol == ICMP && !self.key.client.is_v4() { ICMPV6 } else { self.protocol }
    }
}
