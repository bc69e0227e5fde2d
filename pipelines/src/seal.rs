//! Sealing and hop authentication in the data path: what keys there are decides, never the packet.
//!
//! A packet is sealed once, before it is copied; each copy is authenticated for its first link, and by each node on the
//! way for the next. Where a neighbour has no key, packets of the link carry none.

use crate::emit::Context;
use crate::tables::Flight;
use overlay::seal::{Hop, HopKey, SealTable, Shared, TAG_LEN, tail};
use overlay::topology::NodeId;
use overlay::wire::{self, EXTENSIONS_LEN_MAX, Header, Located, Order};
use packet::{BufPool, IpVersion, PacketBuf, Reason};

/// Checks the authenticator of a packet that a neighbour sent: before anything else is done with it, so that what is
/// spoofed dies at the first node. `geneve` is the whole UDP payload.
///
/// # Errors
/// [`Reason::OverlayUnexpectedKey`] from a neighbour without a key, [`Reason::OverlayForgedHop`],
/// [`Reason::OverlayUnknownKey`].
#[inline(always)]
pub fn check_hop(keys: &SealTable, sender: NodeId, geneve: &[u8], found: &Located) -> Result<(), Reason> {
    let epoch = wire::link_epoch(geneve, found);
    let Some(peer) = keys.peer(sender) else {
        let none = epoch == 0 && found.header.authenticator == 0;
        return if none { Ok(()) } else { Err(Reason::OverlayUnexpectedKey) };
    };
    let hop = geneve.get(found.inner_at..).and_then(tail).ok_or(Reason::OverlayForgedHop)?;
    let key = peer.hop_in(epoch)?;
    let right = if found.extensions.is_empty() {
        key.check(&found.header, &hop)
    } else {
        over(key, geneve, found, &hop) ^ found.header.authenticator == 0
    };
    if right { Ok(()) } else { Err(Reason::OverlayForgedHop) }
}

/// Authenticates a packet for the neighbour that it goes to next. `geneve` is the whole UDP payload, complete but for
/// what this writes.
///
/// # Errors
/// [`Reason::OverlayNoKey`] where the neighbour has a key, but has acknowledged none of ours.
pub fn authenticate(keys: &SealTable, next: NodeId, geneve: &mut [u8]) -> Result<(), Reason> {
    let found = wire::locate_keyed(geneve)?;
    authenticate_found(keys, next, &found, geneve)
}

/// The same where the header has been read already; `found` has the hop limit that the packet leaves with.
#[inline(always)]
pub fn authenticate_found(
    keys: &SealTable,
    next: NodeId,
    found: &Located,
    geneve: &mut [u8],
) -> Result<(), Reason> {
    let Some(peer) = keys.peer(next) else {
        if found.header.authenticator == 0 && wire::link_epoch(geneve, found) == 0 {
            return Ok(());
        }
        return wire::write_hop(geneve, found.hop_limit_at, 0, 0);
    };
    let key = peer.hop_out()?;
    let hop = geneve.get(found.inner_at..).and_then(tail).ok_or(Reason::OverlayTruncated)?;
    let authenticator = if found.extensions.is_empty() {
        key.authenticator(&found.header, &hop)
    } else {
        over(key, geneve, found, &hop)
    };
    wire::write_hop(geneve, found.hop_limit_at, key.epoch(), authenticator)
}

/// The authenticator of a packet that may have extensions.
fn over(key: &HopKey, geneve: &[u8], found: &Located, hop: &Hop) -> u64 {
    let mut covered = [0; EXTENSIONS_LEN_MAX];
    key.authenticator_over(&found.header, hop, found.extensions.covered(geneve, &mut covered))
}

/// The same for a header that was just written in the sender's layout, and is known.
#[inline(never)]
pub fn authenticate_own(
    keys: &SealTable,
    next: NodeId,
    header: Header,
    geneve: &mut [u8],
) -> Result<(), Reason> {
    let key = keys.peer(next).ok_or(Reason::OverlayNoKey)?.hop_out()?;
    let hop = geneve.get(wire::HEADER_LEN..).and_then(tail).ok_or(Reason::OverlayTruncated)?;
    let authenticator = key.authenticator(&header, &hop);
    wire::write_hop(geneve, wire::HOP_LIMIT_AT, key.epoch(), authenticator)
}

/// Opens a sealed packet in place and cuts it to what was inside.
///
/// # Errors
/// [`Reason::OverlayUnexpectedKey`] from a node without a key, [`Reason::OverlayUnknownKey`],
/// [`Reason::OverlayForged`].
#[inline(never)]
pub fn open<B: PacketBuf>(
    keys: &SealTable,
    source: NodeId,
    epoch: u8,
    shared: Shared,
    buf: &mut B,
) -> Result<(), Reason> {
    let peer = keys.peer(source).ok_or(Reason::OverlayUnexpectedKey)?;
    let len = peer.opener(epoch)?.open(&shared, buf.data_mut())?;
    buf.truncate(len);
    Ok(())
}

/// The same for a packet that may have a place in its flow, which is authenticated with it.
///
/// # Errors
/// As [`open`].
pub fn open_any<B: PacketBuf>(
    keys: &SealTable,
    source: NodeId,
    epoch: u8,
    shared: Shared,
    order: Option<Order>,
    buf: &mut B,
) -> Result<(), Reason> {
    let Some(order) = order else { return open(keys, source, epoch, shared, buf) };
    let peer = keys.peer(source).ok_or(Reason::OverlayUnexpectedKey)?;
    let len = peer.opener(epoch)?.open_ordered(&shared, order, buf.data_mut())?;
    buf.truncate(len);
    Ok(())
}

impl<P: BufPool> Context<'_, P> {
    /// Seals an inner packet for its destination, with its place in its flow, if it has one, in place, with the tag behind it; returns the key epoch for its
    /// header.
    ///
    /// # Errors
    /// [`Reason::OverlayNoKey`], or [`Reason::NoTailroom`].
    #[inline(never)]
    pub fn seal(
        &mut self,
        flight: &Flight,
        version: IpVersion,
        stream: u16,
        sequence: u64,
        order: Option<Order>,
        buf: &mut P::Buf,
    ) -> Result<u8, Reason> {
        let sealer = self.keys.peer(flight.destination).ok_or(Reason::OverlayNoKey)?.sealer()?;
        let len = buf.len();
        buf.append(TAG_LEN).map_err(|_| Reason::NoTailroom)?;
        let shared = Shared { protocol: flight.protocol, inner: version, stream, sequence };
        let (inner, behind) = buf.data_mut().split_at_mut_checked(len).ok_or(Reason::NoTailroom)?;
        let tag = match order {
            Some(order) => sealer.seal_ordered(&shared, order, inner)?,
            None => sealer.seal(&shared, inner)?,
        };
        behind.copy_from_slice(&tag);
        self.counters.roles.sealed.add(1);
        Ok(sealer.epoch())
    }
}
