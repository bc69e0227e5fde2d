//! Mappings: a client's address and port, of one protocol, has one external address and port, whatever it talks to
//! (endpoint-independent mapping, RFC 4787 REQ-1, RFC 5382 REQ-1, RFC 5508 REQ-1 a).
//!
//! A mapping is the ring of its sessions. Its first session stands in the reverse table under the external port, where
//! packets from its origin, which are nearly all, find it without hashing. One more index, which only new sessions and
//! what does not belong to the first session need, holds for each session one entry:
//!
//! ```text
//!   (client, port, protocol)                          -> the first session of the mapping
//!   (external, port, protocol, origin, origin's port) -> each further session
//! ```
//!
//! Two virtual IPs can stand for one and the same port of an origin. A client that uses one port of its own for both
//! can not have one external port for both, since replies would not tell which is meant: the second session gets a
//! port *alone*.

use crate::reverse::ReverseSlot;
use crate::rules::Filtering;
use crate::session::{Flags, Seconds, Session, SessionIndex, Tag, UNTRANSLATED};
use crate::share::{PROTOCOLS, space_of};
use crate::table::Nat;
use core::hash::Hasher;
use foldhash::quality;
use packet::{Addr, Reason};

/// Sessions of a mapping that are asked whether the client has sent to an address.
const ASKED_MAX: usize = 32;

/// A mapping as packets from outside meet it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Whose it is.
    pub client: Addr,
    /// The client's port, or echo identifier.
    pub client_port: u16,
    /// The external address.
    pub external: Addr,
    /// The external port, or echo identifier.
    pub external_port: u16,
    /// Of its first session.
    pub tag: Tag,
    /// Who may send to it.
    pub filtering: Filtering,
}

/// What a session of another mapping or no mapping is told apart by.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    pub external: Addr,
    pub external_port: u16,
    /// The number of the protocol's space.
    pub protocol: usize,
    pub origin: Addr,
    pub origin_port: u16,
}

impl Nat {
    fn hasher(&self) -> quality::FoldHasher<'_> {
        quality::FoldHasher::with_seed(self.seed.rotate_left(16), &self.shared_seed)
    }

    pub(crate) fn hash_mapping(&self, client: Addr, port: u16, protocol: usize) -> u64 {
        let mut hasher = self.hasher();
        hasher.write_u128(client.to_bits());
        hasher.write_u64((port as u64) << 8 | protocol as u64);
        hasher.finish()
    }

    pub(crate) fn hash_peer(&self, peer: &Peer) -> u64 {
        let ports = (peer.external_port as u64) << 24 | (peer.origin_port as u64) << 8;
        let mut hasher = self.hasher();
        hasher.write_u128(peer.external.to_bits());
        hasher.write_u128(peer.origin.to_bits());
        hasher.write_u64(ports | peer.protocol as u64);
        hasher.finish()
    }

    /// The external address of a session: the client's own where it keeps that.
    #[inline(always)]
    pub(crate) fn external(&self, session: &Session) -> Addr {
        self.reverse.get_address(session.external).unwrap_or(session.client)
    }

    pub(crate) fn peer_of(&self, session: &Session) -> Peer {
        Peer {
            external: self.external(session),
            external_port: session.external_port,
            protocol: space_of(session.expiry.state().protocol()).unwrap_or(PROTOCOLS),
            origin: self.origins.address(session.origin),
            origin_port: session.origin_port,
        }
    }

    /// The first session of a client's mapping. A client of IPv6 may have one towards each IP version.
    pub(crate) fn mapping_of(&self, client: Addr, port: u16, protocol: usize, to_v4: bool) -> Option<u32> {
        self.mapped.find(self.hash_mapping(client, port, protocol), |at| {
            let session = &self.sessions[at as usize];
            (session.client == client)
                & (session.client_port == port)
                & !session.flags.has(Flags::ALONE)
                & (session.external != UNTRANSLATED)
                && space_of(session.expiry.state().protocol()) == Some(protocol)
                && self.external(session).is_v4() == to_v4
                && self.is_first(at)
        })
    }

    /// The session, other than the first of its mapping, that talks to this peer.
    pub(crate) fn find_peer(&self, peer: &Peer) -> Option<u32> {
        self.mapped.find(self.hash_peer(peer), |at| {
            let found = self.peer_of(&self.sessions[at as usize]);
            (found.external == peer.external)
                & (found.external_port == peer.external_port)
                & (found.origin == peer.origin)
                & (found.origin_port == peer.origin_port)
                & (found.protocol == peer.protocol)
                && !self.is_first(at)
        })
    }

    /// Whether a session is the one that stands under its external port.
    fn is_first(&self, at: u32) -> bool {
        self.space_and_slot(at).is_some_and(|(_, slot)| self.reverse.get(slot) == Some(at))
    }

    /// The session in a slot's mapping that talks to this peer, where it is not the first.
    #[cold]
    #[inline(never)]
    pub(crate) fn find_further(&self, first: u32, src: Addr, src_port: u16) -> Option<u32> {
        if self.rings.is_alone(first) {
            return None;
        }
        let peer = self.peer_of(&self.sessions[first as usize]);
        self.find_peer(&Peer { origin: src, origin_port: src_port, ..peer })
    }

    /// The mapping at a slot, if its filter lets in a packet from this endpoint that belongs to none of its sessions.
    ///
    /// # Errors
    /// [`Reason::NatNoSession`], [`Reason::NatWrongPeer`].
    #[cold]
    pub fn mapping(&self, slot: ReverseSlot, src: Addr) -> Result<Mapping, Reason> {
        let first = self.reverse.get(slot).ok_or(Reason::NatNoSession)?;
        let session = &self.sessions[first as usize];
        let filtering = session.flags.filtering();
        let lets_in = match filtering {
            _ if session.flags.has(Flags::ALONE) => false,
            Filtering::EndpointIndependent => true,
            Filtering::AddressDependent => self.rings.of(first).take(ASKED_MAX).any(|at| {
                let session = &self.sessions[at as usize];
                !session.flags.has(Flags::INBOUND) && self.origins.address(session.origin) == src
            }),
            Filtering::AddressAndPortDependent => false,
        };
        if !lets_in {
            return Err(Reason::NatWrongPeer);
        }
        Ok(Mapping {
            client: session.client,
            client_port: session.client_port,
            external: self.external(session),
            external_port: session.external_port,
            tag: session.tag,
            filtering,
        })
    }

    /// Enters a session that stands in its place already: as the first of a mapping in `slot`, or as a further one
    /// where that has a first. On error nothing is changed.
    pub(crate) fn enter(&mut self, at: u32, slot: Option<ReverseSlot>) -> Result<(), Reason> {
        let session = self.sessions[at as usize];
        let first = slot.and_then(|slot| self.reverse.get(slot));
        let hash = match (slot, first) {
            (Some(_), None) if session.flags.has(Flags::ALONE) => None,
            (Some(_), None) => {
                let protocol = self.peer_of(&session).protocol;
                Some(self.hash_mapping(session.client, session.client_port, protocol))
            }
            _ => Some(self.hash_peer(&self.peer_of(&session))),
        };
        if let Some(hash) = hash {
            self.mapped.insert(hash, at).map_err(|_| Reason::NatTableFull)?;
        }
        match (slot, first) {
            (Some(slot), None) => self.reverse.set(slot, Some(at)),
            (_, Some(first)) => {
                self.rings.join(at, first);
                let flags = &mut self.sessions[first as usize].flags;
                flags.set_filtering(flags.filtering().max(session.flags.filtering()));
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// Takes a session out of its mapping again, which ends with its last one; another becomes the first.
    pub(crate) fn leave(&mut self, now: Seconds, at: u32) {
        let session = self.sessions[at as usize];
        let peer = self.peer_of(&session);
        let place = self.space_and_slot(at).filter(|(_, slot)| self.reverse.get(*slot) == Some(at));
        let Some((space, slot)) = place else {
            self.mapped.remove(self.hash_peer(&peer), at);
            return self.rings.leave(at);
        };
        let hash = self.hash_mapping(session.client, session.client_port, peer.protocol);
        self.mapped.remove(hash, at);
        let heir = self.rings.next(at);
        self.rings.leave(at);
        if heir == at {
            self.reverse.set(slot, None);
            self.ports.give(now, space, session.external_port);
            let client = self.hash_address(session.client);
            return self.accounts.give_port(client, session.client);
        }
        self.mapped.remove(self.hash_peer(&self.peer_of(&self.sessions[heir as usize])), heir);
        // Where the index has no place under this hash, which is as good as never, the client's next session finds
        // another port.
        let _ = self.mapped.insert(hash, heir);
        self.reverse.set(slot, Some(heir));
        let flags = &mut self.sessions[heir as usize].flags;
        flags.set_filtering(flags.filtering().max(session.flags.filtering()));
    }

    /// The session of a packet from the origin's side to a client that keeps its own address and port.
    ///
    /// # Errors
    /// [`Reason::NatNoSession`].
    #[cold]
    pub fn find_untranslated(
        &self,
        dst: (Addr, u16),
        protocol: u8,
        src: (Addr, u16),
    ) -> Result<SessionIndex, Reason> {
        let protocol = space_of(protocol).ok_or(Reason::NatNoSession)?;
        let peer =
            Peer { external: dst.0, external_port: dst.1, protocol, origin: src.0, origin_port: src.1 };
        self.find_peer(&peer).map(SessionIndex).ok_or(Reason::NatNoSession)
    }
}
