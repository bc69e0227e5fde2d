//! The intermediate: no flow state; the next hop comes from the packet and this node's own table (A7, D5, D6).

use crate::batch::PortIndex;
use crate::classify::{Place, came_along};
use crate::emit::Context;
use crate::known::{self, Passing};
use crate::seal;
use crate::tables::{LINK_LEN_MAX, Link, Tables, Template};
use overlay::protocol::Protocol;
use overlay::topology::{NodeId, PathId};
use overlay::wire::{self, Header, Located, SourceRoute};
use packet::{BufPool, IpVersion, PacketBuf, Reason};

/// Where copies of one sender, path and destination go next.
#[derive(Clone, Copy, Debug)]
pub struct Transit {
    next: Next,
    /// Whether the next node is the destination.
    last: bool,
    path_slot: u16,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    /// This link.
    Link(u16),
    /// One of those to the next region on a path, by stream: towards its edge or its gateway, by IP version.
    Several { path: PathId, towards: u8, family: u8 },
    /// One of those towards a destination, by stream.
    Any { protocol: Protocol, version: IpVersion, destination: NodeId },
}

impl Transit {
    /// The link by which copies of a stream leave.
    #[inline(always)]
    pub fn link<'a>(&self, tables: &'a Tables, stream: u16) -> Option<&'a Link> {
        let number = match self.next {
            Next::Link(number) => number,
            Next::Several { path, towards, family } => {
                let several = tables.path(path)?.next.get(towards as usize)?.get(family as usize)?;
                *several.get(wire::bucket(stream) as usize % several.len().max(1))?
            }
            Next::Any { protocol, version, destination } => {
                let several = tables.next_hops_of.onward(protocol, version, destination);
                *several.get(wire::bucket(stream) as usize % several.len().max(1))?
            }
        };
        tables.links.get(number as usize)
    }
}

/// Finds out where a copy goes next; `found` was located in `geneve`.
pub fn admit(
    version: IpVersion,
    sender: NodeId,
    found: &Located,
    geneve: &[u8],
    tables: &Tables,
) -> Result<Transit, Reason> {
    let header = &found.header;
    if !tables.roles.intermediate {
        return Err(Reason::WrongRole);
    }
    if header.hop_limit == 0 {
        return Err(Reason::OverlayHopLimit);
    }
    let destination = tables.peer(header.destination).ok_or(Reason::OverlayUnknownNode)?;
    if header.path.0 == 0 {
        return admit_without_path(version, sender, found, geneve, tables);
    }
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
    let next = if last {
        Next::Link(destination.link[family].ok_or(Reason::NoRoute)?)
    } else {
        match path.next[towards][family].as_slice() {
            [] => return Err(Reason::NoRoute),
            [only] => Next::Link(*only),
            _ => Next::Several { path: header.path, towards: towards as u8, family: family as u8 },
        }
    };
    Ok(Transit { next, last, path_slot: path.slot })
}

/// Finds out where a packet goes next that names no path: its protocol and this node's own table say so (D6).
#[cold]
fn admit_without_path(
    version: IpVersion,
    sender: NodeId,
    found: &Located,
    geneve: &[u8],
    tables: &Tables,
) -> Result<Transit, Reason> {
    let header = &found.header;
    let path_slot = tables.pathless.ok_or(Reason::OverlayUnknownPath)?;
    let protocol = Protocol::of(header.protocol).ok_or(Reason::OverlayProtocol)?;
    tables.peer(header.source).ok_or(Reason::OverlayUnknownNode)?;
    // A packet that is back at its source has gone in a circle.
    if header.source == tables.node {
        return Err(Reason::OverlayWrongHop);
    }
    let link = |to: NodeId| -> Result<Next, Reason> {
        let to = tables.peer(to).ok_or(Reason::OverlayUnknownNode)?;
        to.link[(version == IpVersion::V6) as usize].map(Next::Link).ok_or(Reason::NoRoute)
    };
    let destination = header.destination;
    match protocol {
        Protocol::SourceRoute => {
            let ends = [header.source, destination];
            let route = SourceRoute::read(geneve, found.extensions.source_route_at, ends)?;
            if route.hop(route.passed()) != Some(tables.node) || route.before(header.source) != Some(sender) {
                return Err(Reason::OverlayWrongHop);
            }
            let next = route.after(destination).ok_or(Reason::OverlaySourceRoute)?;
            let is_hop = next == destination || tables.peer(next).is_some_and(|next| next.intermediate);
            let next_link = if is_hop { link(next)? } else { return Err(Reason::OverlayUnknownNode) };
            Ok(Transit { next: next_link, last: next == destination, path_slot })
        }
        Protocol::Shortest | Protocol::Cleanest => {
            let may_send =
                sender == header.source || tables.peer(sender).is_some_and(|peer| peer.intermediate);
            if !may_send || !tables.is_beside(sender) {
                return Err(Reason::OverlayWrongHop);
            }
            match tables.next_hops_of.onward(protocol, version, destination) {
                [] => Err(Reason::NoRoute),
                [only] => {
                    let last = tables.links.get(*only as usize).is_some_and(|link| link.to == destination);
                    Ok(Transit { next: Next::Link(*only), last, path_slot })
                }
                _ => {
                    Ok(Transit { next: Next::Any { protocol, version, destination }, last: false, path_slot })
                }
            }
        }
        // From one end to the other, it is nobody else's.
        Protocol::Replicate | Protocol::Spread | Protocol::Direct => Err(Reason::OverlayWrongHop),
    }
}

/// A way by one link of untagged Ethernet and IPv4, of copies that came in by such a link: nothing moves, and all that
/// is needed stands here.
#[derive(Clone, Copy, Debug)]
pub struct Express {
    template: Template<LINK_LEN_MAX>,
    /// Bytes that a frame may have.
    frame_max: u16,
    port: PortIndex,
    path_slot: u16,
    next: NodeId,
}

impl Express {
    /// The express way of a transit, if it has one.
    pub fn of(transit: &Transit, tables: &Tables) -> Option<Express> {
        let Next::Link(number) = transit.next else { return None };
        let link = tables.links.get(number as usize)?;
        let same_kind = link.template.is_plain() && link.egress.mac.is_some();
        let spread_by_stream_alone = !transit.last || !link.is_steered();
        (same_kind && spread_by_stream_alone).then_some(Express {
            template: link.template,
            frame_max: link.mtu().saturating_add(link.template.ip_at() as u16),
            port: link.egress.hop.port,
            path_slot: transit.path_slot,
            next: link.to,
        })
    }

    /// The next node.
    pub fn next(&self) -> NodeId {
        self.next
    }

    /// Sends a copy on, as [`forward`] does, over a link without a key.
    #[inline(always)]
    pub fn forward<P: BufPool>(&self, mut buf: P::Buf, passing: Passing, context: &mut Context<P>) {
        if passing.end > self.frame_max {
            return context.drop(buf, Reason::TooBig);
        }
        buf.truncate(passing.end as usize);
        let Some(head) = buf.data_mut().first_chunk_mut::<{ known::FRAME_HEAD }>() else {
            return context.drop(buf, Reason::OverlayTruncated);
        };
        let hop_limit = &mut head[known::GENEVE_AT + wire::HOP_LIMIT_AT];
        if *hop_limit == 0 {
            return context.drop(buf, Reason::OverlayHopLimit);
        }
        *hop_limit -= 1;
        self.template.write_plain(head, passing.end, Link::source_port(passing.stream));
        self.leave(buf, context);
    }

    /// Sends a copy on over a link of any kind. `found` is its header, which has been checked: nothing is read from the
    /// bytes again that are written here.
    #[inline(always)]
    pub fn forward_keyed<P: BufPool>(
        &self,
        mut buf: P::Buf,
        passing: Passing,
        found: &Located,
        context: &mut Context<P>,
    ) {
        let Some(hop_limit) = found.header.hop_limit.checked_sub(1) else {
            return context.drop(buf, Reason::OverlayHopLimit);
        };
        if passing.end > self.frame_max {
            return context.drop(buf, Reason::TooBig);
        }
        buf.truncate(passing.end as usize);
        let frame = buf.data_mut();
        let Some(head) = frame.first_chunk_mut::<{ known::FRAME_HEAD }>() else {
            return context.drop(buf, Reason::OverlayTruncated);
        };
        self.template.write_plain(head, passing.end, Link::source_port(passing.stream));
        head[known::GENEVE_AT + wire::HOP_LIMIT_AT] = hop_limit;
        let found = Located { header: Header { hop_limit, ..found.header }, ..*found };
        let geneve = frame.get_mut(known::GENEVE_AT..).unwrap_or_default();
        match seal::authenticate_found(context.keys, self.next, &found, geneve) {
            Ok(()) => self.leave(buf, context),
            Err(reason) => context.drop(buf, reason),
        }
    }

    /// Counts a copy that is ready, and transmits it.
    #[inline(always)]
    fn leave<P: BufPool>(&self, buf: P::Buf, context: &mut Context<P>) {
        if let Some(path) = context.counters.paths.get(self.path_slot as usize) {
            path.forwarded.add(1);
        }
        context.counters.roles.intermediate.add(1);
        context.transmit(self.port, buf);
    }
}

/// What passing a copy on needs of its headers.
#[derive(Clone, Copy, Debug)]
pub struct Copy {
    /// Where its overlay part lies.
    pub place: Place,
    /// Where its hop limit stands, bytes from GENEVE's start.
    pub hop_limit_at: u16,
    /// Its stream.
    pub stream: u16,
    /// Where its source route stands, bytes from GENEVE's start; 0 if it has none.
    pub source_route_at: u16,
}

impl Copy {
    /// Of a header that was read option by option.
    pub fn of(place: Place, found: &Located) -> Copy {
        Copy {
            place,
            hop_limit_at: found.hop_limit_at as u16,
            stream: found.header.stream,
            source_route_at: found.extensions.source_route_at,
        }
    }
}

/// Sends a copy to its next hop: new outer headers, one less hop limit, everything else as it came.
#[inline(always)]
pub fn forward<P: BufPool>(mut buf: P::Buf, copy: &Copy, transit: &Transit, context: &mut Context<P>) {
    let Some(link) = transit.link(context.tables, copy.stream) else {
        return context.drop(buf, Reason::NoRoute);
    };
    let (geneve_at, end) = (copy.place.geneve_at as usize, copy.place.end as usize);
    if link.ip_len(end - geneve_at) > link.mtu() as usize {
        return context.drop(buf, Reason::TooBig);
    }
    buf.truncate(end);
    // Between links of one kind the headers have one length, and nothing moves.
    let link_len = link.template.header_len();
    if geneve_at != link_len && (buf.trim_front(geneve_at).is_err() || buf.prepend(link_len).is_err()) {
        return context.drop(buf, Reason::NoHeadroom);
    }
    let frame = buf.data_mut();
    let source_port =
        if transit.last { link.last_source_port(copy.stream) } else { Link::source_port(copy.stream) };
    link.template.write_link(frame, source_port);
    let geneve = frame.get_mut(link_len..).unwrap_or_default();
    let done = wire::decrement_hop_limit(geneve, copy.hop_limit_at as usize)
        .and_then(|_| match copy.source_route_at {
            0 => Ok(()),
            at => SourceRoute::pass(geneve, at),
        })
        .and_then(|_| seal::authenticate(context.keys, link.to, geneve));
    if let Err(reason) = done {
        return context.drop(buf, reason);
    }
    if let Some(path) = context.counters.paths.get(transit.path_slot as usize) {
        path.forwarded.add(1);
    }
    context.counters.roles.intermediate.add(1);
    context.transmit_to(&link.egress, buf);
}
