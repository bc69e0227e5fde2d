//! The intermediate: no flow state; the next hop comes from the packet and this node's own table (A7, D5, D6).

use crate::batch::Lane;
use crate::classify::{Place, came_along};
use crate::emit::Context;
use crate::tables::Link;
use overlay::topology::NodeId;
use overlay::wire::{self, Located};
use packet::{BufPool, IpVersion, PacketBuf, Reason};

/// A copy on its way between other nodes.
#[derive(Clone, Copy, Debug)]
pub struct Transit {
    place: Place,
    /// Where the hop limit stands, bytes from GENEVE's start.
    hop_limit_at: u16,
    link: u16,
    source_port: u16,
    path_slot: u16,
}

/// Finds the next hop of a copy.
#[inline(always)]
pub fn admit<P: BufPool>(
    place: Place,
    version: IpVersion,
    sender: NodeId,
    found: &Located,
    context: &Context<P>,
) -> Result<Transit, Reason> {
    let tables = context.tables;
    let header = &found.header;
    if !tables.roles.intermediate {
        return Err(Reason::WrongRole);
    }
    if header.hop_limit == 0 {
        return Err(Reason::OverlayHopLimit);
    }
    let destination = tables.peer(header.destination).ok_or(Reason::OverlayUnknownNode)?;
    let path = tables.path(header.path).ok_or(Reason::OverlayUnknownPath)?;
    // The destination's region says which end of the path the copy goes to.
    let towards = match destination.region {
        region if region == path.gateway => 1,
        region if region == path.edge => 0,
        _ => return Err(Reason::OverlayUnknownPath),
    };
    let next = path.beside[towards].ok_or(Reason::OverlayUnknownPath)?;
    if !came_along(tables, path.beside[1 - towards], sender) {
        return Err(Reason::OverlayWrongHop);
    }
    let family = (version == IpVersion::V6) as usize;
    let last = next == destination.region;
    let link = if last {
        destination.link[family]
    } else {
        match path.next[towards][family].as_slice() {
            [] => None,
            several => several.get(header.stream as u8 as usize % several.len()).copied(),
        }
    };
    let link = link.ok_or(Reason::NoRoute)?;
    let source_port = match tables.links.get(link as usize) {
        Some(link) if last => link.last_source_port(header.stream),
        _ => Link::source_port(header.stream),
    };
    Ok(Transit { place, hop_limit_at: found.hop_limit_at as u16, link, source_port, path_slot: path.slot })
}

/// Sends each copy to its next hop: new outer headers, one less hop limit, everything else as it came.
#[inline(always)]
pub fn forward<P: BufPool>(lane: &mut Lane<P::Buf, Transit>, context: &mut Context<P>) {
    lane.drain(|buf, entry| {
        if let Err((buf, reason)) = pass(buf, entry, context) {
            context.drop(buf, reason);
        }
    });
}

#[inline(always)]
fn pass<P: BufPool>(
    mut buf: P::Buf,
    entry: &Transit,
    context: &mut Context<P>,
) -> Result<(), (P::Buf, Reason)> {
    let Some(link) = context.tables.links.get(entry.link as usize) else {
        return Err((buf, Reason::NoRoute));
    };
    let payload = (entry.place.end - entry.place.geneve_at) as usize;
    if link.ip_len(payload) > link.mtu as usize {
        return Err((buf, Reason::TooBig));
    }
    buf.truncate(entry.place.end as usize);
    if buf.trim_front(entry.place.geneve_at as usize).is_err() || buf.prepend(link.header_len()).is_err() {
        return Err((buf, Reason::NoHeadroom));
    }
    let frame = buf.data_mut();
    link.write(frame, entry.source_port);
    if let Some(geneve) = frame.get_mut(link.header_len()..)
        && let Err(reason) = wire::decrement_hop_limit(geneve, entry.hop_limit_at as usize)
    {
        return Err((buf, reason));
    }
    if let Some(path) = context.counters.paths.get(entry.path_slot as usize) {
        path.forwarded.add(1);
    }
    context.counters.roles.intermediate.add(1);
    context.transmit_to(link.egress, buf);
    Ok(())
}
