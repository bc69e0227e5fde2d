//! The end of the overlay: the first copy of each packet passes, the others are eliminated (A8), and what is inside
//! goes to the gateway's translation or to the edge's clients.

use crate::batch::Lane;
use crate::classify::{Place, came_along};
use crate::edge;
use crate::emit::Context;
use crate::forwarder::Lanes;
use crate::gateway::Request;
use crate::tables::Local;
use overlay::elimination::{Elimination, StreamIndex, StreamKey};
use overlay::topology::NodeId;
use overlay::window::Verdict;
use overlay::wire::{self, Located};
use packet::ip::{self, Packet};
use packet::{BufPool, IpVersion, PacketBuf, Reason};

/// A copy that reached its destination.
#[derive(Clone, Copy, Debug)]
pub struct Arrival {
    /// Who put it into the overlay.
    pub source: NodeId,
    stream: u16,
    sequence: u64,
    /// Where the inner packet starts, bytes from the frame's start.
    inner_at: u16,
    end: u16,
    inner: IpVersion,
    path_slot: u16,
    place: Option<StreamIndex>,
}

/// Checks that a copy came over its path from a node that may send the stream.
#[inline(always)]
pub fn admit<P: BufPool>(
    place: Place,
    sender: NodeId,
    found: &Located,
    context: &Context<P>,
) -> Result<Arrival, Reason> {
    let tables = context.tables;
    let header = &found.header;
    let source = tables.peer(header.source).ok_or(Reason::OverlayUnknownNode)?;
    let path = tables.path(header.path).ok_or(Reason::OverlayUnknownPath)?;
    // It must have come the whole path: from its other end, and from the region next to this one.
    let before = match source.region {
        region if region == path.edge && path.gateway == tables.region => path.beside[0],
        region if region == path.gateway && path.edge == tables.region => path.beside[1],
        _ => return Err(Reason::OverlayUnknownPath),
    };
    if !came_along(tables, before, sender) {
        return Err(Reason::OverlayWrongHop);
    }
    if wire::bucket(header.stream) as u16 >= tables.streams
        || wire::worker(header.stream) as u16 >= source.workers
    {
        return Err(Reason::OverlayUnknownStream);
    }
    Ok(Arrival {
        source: header.source,
        stream: header.stream,
        sequence: header.sequence,
        inner_at: place.geneve_at + found.inner_at as u16,
        end: place.end,
        inner: header.inner,
        path_slot: path.slot,
        place: None,
    })
}

impl Arrival {
    /// The worker that has the stream.
    #[inline(always)]
    pub fn owner(&self, workers: u16) -> u16 {
        wire::bucket(self.stream) as u16 % workers.max(1)
    }
}

/// Eliminates and decapsulates a lane of copies.
#[inline(always)]
pub fn run<P: BufPool>(lanes: &mut Lanes<P::Buf>, elimination: &mut Elimination, context: &mut Context<P>) {
    for entry in lanes.arrivals.iter_mut() {
        entry.place = elimination.stream(StreamKey { source: entry.source, stream: entry.stream }).ok();
        if let Some(place) = entry.place {
            elimination.prefetch(place, entry.sequence);
        }
    }
    let requests = &mut lanes.requests;
    lanes.arrivals.drain(|buf, entry| {
        let Some(place) = entry.place else {
            return context.drop(buf, Reason::OverlayUnknownStream);
        };
        let verdict = elimination.look(place, entry.sequence);
        let Some(path) = context.counters.paths.get(entry.path_slot as usize) else {
            return context.drop(buf, Reason::OverlayUnknownPath);
        };
        match verdict {
            Verdict::Discard => {
                path.discarded.add(1);
                return context.drop(buf, Reason::Duplicate);
            }
            Verdict::Rogue => {
                path.rogue.add(1);
                return context.drop(buf, Reason::Rogue);
            }
            Verdict::Pass | Verdict::PassOutOfOrder => {}
        }
        match decapsulate(buf, entry) {
            Ok((buf, packet)) => {
                // Only a copy that is whole may take its sequence number, or a damaged one would cost the good one.
                elimination.mark(place, entry.sequence);
                path.passed.add(1);
                path.out_of_order.add((verdict == Verdict::PassOutOfOrder) as u64);
                hand_on(buf, &packet, entry.source, requests, context);
            }
            Err((buf, reason)) => context.drop(buf, reason),
        }
    });
}

/// Takes the inner packet out.
#[inline(always)]
fn decapsulate<B: PacketBuf>(mut buf: B, entry: &Arrival) -> Result<(B, Packet), (B, Reason)> {
    buf.truncate(entry.end as usize);
    if buf.trim_front(entry.inner_at as usize).is_err() {
        return Err((buf, Reason::OverlayTruncated));
    }
    match ip::parse(buf.data()) {
        Ok(packet) if packet.version == entry.inner && packet.len as usize == buf.len() => Ok((buf, packet)),
        _ => Err((buf, Reason::OverlayInner)),
    }
}

/// Gives an inner packet to the role that it is for.
#[inline(always)]
fn hand_on<P: BufPool>(
    buf: P::Buf,
    packet: &Packet,
    source: NodeId,
    requests: &mut Lane<P::Buf, Request>,
    context: &mut Context<P>,
) {
    let tables = context.tables;
    // Only a virtual IP of this node speaks to clients; everything else is a request to the gateway. Both sides are
    // bound to their sender: the packet's path has ended in the sender's region, checked on admission.
    if tables.roles.edge && matches!(tables.local.get(packet.src), Some(Local::Vip(_))) {
        return edge::egress(buf, packet, context);
    }
    if !tables.roles.gateway {
        return context.drop(buf, Reason::WrongRole);
    }
    match Request::admit(*packet, source, tables) {
        Ok(request) => {
            requests.note(request);
            requests.take(buf);
        }
        Err(reason) => context.drop(buf, reason),
    }
}
