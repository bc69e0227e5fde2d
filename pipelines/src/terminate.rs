//! The end of the overlay: the first copy of each packet passes, the others are eliminated (A8), and what is inside
//! goes to the gateway's translation or to the edge's clients.

use crate::batch::{BURST_MAX, PortIndex, TX_MAX, Told};
use crate::bindings;
use crate::classify::came_along;
use crate::counters::{PathCounters, WorkerCounters};
use crate::edge;
use crate::emit::Context;
use crate::forwarder::{Lanes, Sorted};
use crate::gateway::{Reply, Request};
use crate::known::Passing;
use crate::seal;
use crate::tables::{Local, Tables};
use crate::trace::{Outcome, Seen};
use nat::Nat;
use overlay::elimination::{Elimination, StreamIndex, StreamKey};
use overlay::ordering::{FlowKey, Ordering};
use overlay::parity::{Decoder, Kind};
use overlay::protocol::Protocol;
use overlay::seal::{PeerKeys, SealTable, Shared};
use overlay::topology::NodeId;
use overlay::window::Verdict;
use overlay::wire::{self, Header, Located, Order, Record, SourceRoute};
use packet::ip::{self, Packet};
use packet::plain::Plain;
use packet::{BufPool, Headers, IpVersion, PacketBuf, Reason};

mod parity;
pub use parity::rebuild_ready;

/// Beyond all places where copies are counted, with any worker's number added.
const NOT_COUNTED: u32 = u32::MAX >> 1;

/// The way from one sender over one path that ends here.
#[derive(Clone, Copy, Debug, Default)]
pub struct Way {
    source: NodeId,
    /// Workers that the sender may send with.
    workers: u16,
    path_slot: u16,
    /// Where what the sender's worker 0 puts on the path is counted.
    counted_at: u32,
    /// The number of the routing protocol.
    protocol: u8,
}

/// A copy that reached its destination. What is known of all copies of its way is taken over as it is; what its header
/// says is in fields of its own, since it was read just now: what was written in pieces is not read back as a whole
/// before it has reached the cache.
#[derive(Clone, Copy, Debug, Default)]
pub struct Arrival {
    way: Way,
    end: u16,
    stream: u16,
    sequence: u64,
    inner: IpVersion,
    /// The key epoch that it is sealed under; 0 if it is not.
    epoch: u8,
    path_sequence: u32,
    /// How many copies left its sender.
    copies: u8,
    /// Where the inner packet starts, bytes from the frame's start.
    inner_at: u16,
    place: Option<StreamIndex>,
    /// Where the data of its trace starts, bytes from the frame's start, and its length; 0 and 0 for nearly all.
    trace: (u16, u16),
    /// Where the data of its order option starts, bytes from the frame's start; 0 where it has none.
    order_at: u16,
    /// Where the data of its parity option starts, bytes from the frame's start; 0 where it has none.
    parity_at: u16,
}

/// Checks that a copy came over its path, from one end to the other; `found` was located in `geneve`.
pub fn admit(sender: NodeId, found: &Located, geneve: &[u8], tables: &Tables) -> Result<Way, Reason> {
    let header = &found.header;
    let source = tables.peer(header.source).ok_or(Reason::OverlayUnknownNode)?;
    if header.path.0 == 0 {
        return admit_without_path(sender, found, geneve, tables);
    }
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
    let counted = path.incoming.iter().find(|(node, _)| *node == header.source);
    let counted_at = counted.map_or(NOT_COUNTED, |(_, first)| *first);
    let (workers, path_slot, protocol) = (source.workers, path.slot, header.protocol);
    Ok(Way { source: header.source, workers, path_slot, counted_at, protocol })
}

/// Checks that a packet without a path came from where its protocol sends it: by an intermediate that is beside this node
/// (D10), by the last hop of its source route, or straight from its source.
#[cold]
fn admit_without_path(
    sender: NodeId,
    found: &Located,
    geneve: &[u8],
    tables: &Tables,
) -> Result<Way, Reason> {
    let &Header { source, destination, protocol, .. } = &found.header;
    let peer = tables.peer(source).ok_or(Reason::OverlayUnknownNode)?;
    let path_slot = tables.pathless.ok_or(Reason::OverlayUnknownPath)?;
    let is_passed_on = tables.is_partner(source) && protocol == Protocol::Direct.id();
    if !tables.is_facing(source) && !is_passed_on {
        return Err(Reason::OverlayUnknownPath);
    }
    let from_there = match Protocol::of(protocol).ok_or(Reason::OverlayProtocol)? {
        Protocol::SourceRoute => {
            let at = found.extensions.source_route_at;
            let route = SourceRoute::read(geneve, at, [source, destination])?;
            route.passed() == route.count() && route.before(source) == Some(sender)
        }
        Protocol::Direct => sender == source,
        Protocol::Shortest | Protocol::Cleanest => {
            let passes_on = tables.peer(sender).is_some_and(|peer| peer.intermediate);
            passes_on && sender != source && tables.is_beside(sender)
        }
        Protocol::Replicate | Protocol::Spread | Protocol::Parity | Protocol::Adaptive => false,
    };
    if !from_there {
        return Err(Reason::OverlayWrongHop);
    }
    Ok(Way { source, workers: peer.workers, path_slot, counted_at: NOT_COUNTED, protocol })
}

impl Way {
    /// Whether its sender may send a stream.
    ///
    /// # Errors
    /// [`Reason::OverlayUnknownStream`].
    #[inline(always)]
    pub fn may_send(&self, stream: u16, tables: &Tables) -> Result<(), Reason> {
        if wire::bucket(stream) as u16 >= tables.streams || wire::worker(stream) as u16 >= self.workers {
            return Err(Reason::OverlayUnknownStream);
        }
        Ok(())
    }

    /// A copy that came this way, of a stream that its sender may send. `inner_at` is where the inner packet starts.
    #[inline(always)]
    pub fn arrival(&self, inner_at: u16, passing: Passing) -> Arrival {
        let Passing { end, stream, sequence, inner, epoch, path_sequence, copies } = passing;
        let (way, place, trace, order_at, parity_at) = (*self, None, (0, 0), 0, 0);
        Arrival {
            way,
            end,
            stream,
            sequence,
            inner,
            epoch,
            path_sequence,
            copies,
            inner_at,
            place,
            trace,
            order_at,
            parity_at,
        }
    }
}

impl Arrival {
    /// The same with a trace, if it has one: where its data starts, bytes from the frame's start, and its length.
    pub fn with_trace(self, trace: Option<(u16, u16)>) -> Arrival {
        Arrival { trace: trace.unwrap_or_default(), ..self }
    }

    /// The same with a place in its flow, if it has one: where its data starts, bytes from the frame's start.
    pub fn with_order(self, order_at: Option<u16>) -> Arrival {
        Arrival { order_at: order_at.unwrap_or_default(), ..self }
    }

    /// The same as a parity packet, if it is one: where its option's data starts, bytes from the frame's start.
    pub fn with_parity(self, parity_at: Option<u16>) -> Arrival {
        Arrival { parity_at: parity_at.unwrap_or_default(), ..self }
    }

    /// Whether it is a parity packet.
    pub fn is_parity(&self) -> bool {
        self.parity_at != 0
    }

    /// Where its inner packet's bytes stand in its frame: start and length.
    pub fn inner(&self) -> (usize, usize) {
        (usize::from(self.inner_at), usize::from(self.end.saturating_sub(self.inner_at)))
    }

    /// Who sent it.
    fn sender(&self) -> Sender {
        Sender { source: self.way.source, epoch: self.epoch }
    }

    /// The worker that has the stream.
    #[inline(always)]
    pub fn owner(&self, workers: u16) -> Option<u16> {
        Some(wire::bucket(self.stream) as u16 % workers.max(1))
    }

    /// Counts the copy on its path. One that is too old for the window is not: it may be anybody's replay.
    #[inline(always)]
    fn count(&self, counters: &WorkerCounters) {
        let at = self.way.counted_at + u32::from(wire::worker(self.stream));
        if let Some(way) = counters.ways.get(at as usize) {
            way.count(self.path_sequence);
        }
    }

    /// Counts the copy that passed.
    #[inline(always)]
    fn count_passed(&self, verdict: Verdict, path: &PathCounters, counters: &WorkerCounters) {
        path.passed.add(1);
        self.count(counters);
        if verdict == Verdict::PassOutOfOrder {
            path.out_of_order.add(1);
        }
    }
}

/// The number of the life that a node is in, by its keys.
#[inline(never)]
fn life_of(keys: &SealTable, source: NodeId) -> u16 {
    keys.peer(source).map_or(0, PeerKeys::life)
}

/// Who put a packet into the overlay, and under which key epoch it was sealed; 0 if it was not.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    source: NodeId,
    epoch: u8,
}

/// An inner packet that is not to leave before its turn.
pub struct Waiting<B> {
    buf: B,
    sender: Sender,
}

/// Eliminates and decapsulates a lane of copies.
#[inline(always)]
pub fn run<P: BufPool>(
    lanes: &mut Lanes<P::Buf>,
    elimination: &mut Elimination,
    ordering: &mut Ordering<Waiting<P::Buf>>,
    decoder: &mut Decoder,
    nat: Option<&Nat>,
    context: &mut Context<P>,
) {
    for entry in lanes.arrivals.iter_mut() {
        let Arrival { stream, sequence, epoch, .. } = *entry;
        let key = StreamKey { source: entry.way.source, stream, sealed: epoch != 0 };
        entry.place = elimination.stream(key).ok();
        if let Some(place) = entry.place {
            elimination.prefetch(place, sequence);
        }
    }
    let Lanes { plain, general, arrivals } = lanes;
    arrivals.drain().for_each(|(mut buf, entry)| {
        let Some(place) = entry.place else {
            return context.drop(buf, Reason::OverlayUnknownStream);
        };
        let Some(mut recovery) = elimination.recovery(place) else {
            return context.drop(buf, Reason::OverlayUnknownStream);
        };
        if entry.is_parity() {
            return parity::take(buf, entry, place, &recovery, decoder, context);
        }
        let mut verdict = recovery.look(entry.sequence);
        // Another life of its sender has other keys, and a window of its own as soon as one of its packets opens.
        let life = if entry.epoch != 0 { life_of(context.keys, entry.way.source) } else { 0 };
        let another_life = recovery.life() != life;
        if another_life {
            verdict = Verdict::Pass;
        }
        let Some(path) = context.counters.paths.get(entry.way.path_slot as usize) else {
            return context.drop(buf, Reason::OverlayUnknownPath);
        };
        let traced = entry.trace.0 != 0;
        if traced {
            let seen = Seen::arrival(entry.way.source, entry.stream, entry.sequence, entry.way.path_slot);
            context.trace_begins(seen, &buf, entry.trace.0, entry.trace.1);
        }
        if !verdict.passes() {
            recovery.refuse(verdict, entry.way.path_slot);
            return refuse(buf, entry, verdict, path, context);
        }
        if entry.order_at != 0 || entry.way.protocol == Protocol::Parity.id() {
            let life = another_life.then_some(life);
            let judged = Judged { place, verdict, life };
            let leaving = pass_noted(buf, entry, judged, elimination, (ordering, decoder), path, context);
            return leaving.map_or((), |waiting| resume(waiting, plain, general, nat, context));
        }
        if buf.keep(entry.inner_at as usize, (entry.end - entry.inner_at) as usize).is_err() {
            return context.drop(buf, Reason::OverlayTruncated);
        }
        if entry.epoch != 0 {
            let Arrival { stream, sequence, inner, epoch, .. } = *entry;
            let Way { source, protocol, .. } = entry.way;
            let shared = Shared { protocol, inner, stream, sequence };
            if let Err(reason) = seal::open(context.keys, source, epoch, shared, &mut buf) {
                return context.drop(buf, reason);
            }
            if another_life {
                elimination.begin(place, life);
                recovery = match elimination.recovery(place) {
                    Some(recovery) => recovery,
                    None => return context.drop(buf, Reason::OverlayUnknownStream),
                };
            }
        }
        // Only a copy that is whole may take its sequence number, or a damaged one would cost the good one.
        if entry.inner == IpVersion::V4
            && let Some(packet) =
                Plain::read(buf.data()).filter(|packet| packet.total_len() as usize == buf.len())
        {
            recovery.pass(entry.sequence, verdict, entry.way.path_slot, entry.copies);
            entry.count_passed(verdict, path, context.counters);
            if traced {
                context.trace_ends(Outcome::Won, buf.data());
            }
            return hand_on(buf, packet, true, entry.sender(), plain, nat, context);
        }
        hand_on_any(buf, entry, verdict, elimination, path, general, nat, context);
    });
}

/// What is known of a copy that may pass.
struct Judged {
    place: StreamIndex,
    verdict: Verdict,
    /// The life of its sender, where that is another than the window's.
    life: Option<u16>,
}

/// Opens a copy of a packet that has a place in its flow, or parity packets, lets it pass if it is whole, and has it wait for its turn
/// where it has one. Returns the packet that leaves now, if one does. Apart, so that other packets pay one look at a field for it.
#[inline(never)]
fn pass_noted<P: BufPool>(
    mut buf: P::Buf,
    entry: &Arrival,
    judged: Judged,
    elimination: &mut Elimination,
    (ordering, decoder): (&mut Ordering<Waiting<P::Buf>>, &mut Decoder),
    path: &PathCounters,
    context: &mut Context<P>,
) -> Option<Waiting<P::Buf>> {
    let Judged { place, verdict, life } = judged;
    let &Arrival { stream, sequence, inner, epoch, way, .. } = entry;
    let order = match entry.order_at {
        0 => Ok(None),
        at => Order::read(buf.data(), at as usize).map(Some).ok_or(Reason::OverlayTruncated),
    };
    let kept = buf.keep(entry.inner_at as usize, (entry.end - entry.inner_at) as usize);
    let (Ok(order), Ok(())) = (order, kept) else {
        context.drop(buf, Reason::OverlayTruncated);
        return None;
    };
    // As it came: opening changes it in place. It is kept only once it has passed.
    let is_coded = way.protocol == Protocol::Parity.id();
    let copied = if is_coded { decoder.copy(&Kind { version: inner, order }, buf.data()) } else { None };
    if epoch != 0 {
        let shared = Shared { protocol: way.protocol, inner, stream, sequence };
        if let Err(reason) = seal::open_any(context.keys, way.source, epoch, shared, order, &mut buf) {
            context.drop(buf, reason);
            return None;
        }
        if let Some(life) = life {
            elimination.begin(place, life);
        }
    }
    let read = ip::parse(buf.data()).ok().filter(|packet| packet.version == inner);
    let whole = read.and_then(|packet| Some((packet, record_behind(&packet, buf.data())?)));
    let (Some((packet, record)), Some(mut recovery)) = (whole, elimination.recovery(place)) else {
        context.drop(buf, Reason::OverlayInner);
        return None;
    };
    recovery.pass(sequence, verdict, way.path_slot, entry.copies);
    entry.count_passed(verdict, path, context.counters);
    if let Some(copied) = copied {
        decoder.keep(copied, place, sequence);
    }
    if entry.trace.0 != 0 {
        context.trace_ends(Outcome::Won, buf.data());
    }
    let buf = take_record(buf, &packet, record, entry.sender(), context)?;
    wait(buf, entry.sender(), (stream, sequence), order, ordering, context)
}

/// Has a packet that has passed wait for its turn, where it has one; returns the packet that leaves now, if one does.
fn wait<P: BufPool>(
    buf: P::Buf,
    sender: Sender,
    (stream, sequence): (u16, u64),
    order: Option<Order>,
    ordering: &mut Ordering<Waiting<P::Buf>>,
    context: &Context<P>,
) -> Option<Waiting<P::Buf>> {
    let waiting = Waiting { buf, sender };
    let Some(order) = order else { return Some(waiting) };
    let key = FlowKey::new(sender.source, stream, order.flow);
    ordering.offer(context.now_ns, key, sequence, order.before(sequence), waiting)
}

/// Hands on packets whose turn has come, as many as the lanes and the frames to be transmitted have room for; says whether
/// there were any.
#[cold]
pub fn resume_ready<P: BufPool>(
    lanes: &mut Lanes<P::Buf>,
    ordering: &mut Ordering<Waiting<P::Buf>>,
    nat: Option<&Nat>,
    context: &mut Context<P>,
) -> bool {
    let room = room(context);
    let mut count = 0;
    while count < room
        && let Some(waiting) = ordering.take(context.now_ns)
    {
        resume(waiting, &mut lanes.plain, &mut lanes.general, nat, context);
        count += 1;
    }
    count > 0
}

/// How many packets may be taken into empty lanes.
fn room<P: BufPool>(context: &Context<P>) -> usize {
    let frames = context.out.tx.iter().map(|frames| frames.len()).max().unwrap_or(0);
    BURST_MAX.min(TX_MAX.saturating_sub(frames))
}

/// Gives a packet whose turn has come to the role that it is for.
#[inline(never)]
fn resume<P: BufPool>(
    waiting: Waiting<P::Buf>,
    plain: &mut Sorted<P::Buf, Plain>,
    general: &mut Sorted<P::Buf, Packet>,
    nat: Option<&Nat>,
    context: &mut Context<P>,
) {
    let Waiting { buf, sender } = waiting;
    if let Some(packet) = Plain::read(buf.data()) {
        return hand_on(buf, packet, true, sender, plain, nat, context);
    }
    match ip::parse(buf.data()) {
        Ok(packet) => hand_on(buf, packet, false, sender, general, nat, context),
        Err(_) => context.drop(buf, Reason::OverlayInner),
    }
}

/// Counts and drops a copy that does not pass; its window has counted it.
#[inline(always)]
fn refuse<P: BufPool>(
    buf: P::Buf,
    entry: &Arrival,
    verdict: Verdict,
    path: &PathCounters,
    context: &mut Context<P>,
) {
    let traced = entry.trace.0 != 0;
    if verdict == Verdict::Discard {
        path.discarded.add(1);
        entry.count(context.counters);
        if traced {
            context.trace_ends(Outcome::Lost, &[]);
        }
        context.drop(buf, Reason::Duplicate);
    } else {
        path.rogue.add(1);
        if traced {
            context.trace_ends(Outcome::Late, &[]);
        }
        context.drop(buf, Reason::Rogue);
    }
}

/// Reads an inner packet that is not plain, lets it pass if it is whole, and gives it to the role that it is for. Apart,
/// so that what it needs takes no registers from plain packets.
#[inline(never)]
#[expect(clippy::too_many_arguments, reason = "what the loop holds, one by one")]
fn hand_on_any<P: BufPool>(
    buf: P::Buf,
    entry: &Arrival,
    verdict: Verdict,
    elimination: &mut Elimination,
    path: &PathCounters,
    general: &mut Sorted<P::Buf, Packet>,
    nat: Option<&Nat>,
    context: &mut Context<P>,
) {
    match ip::parse(buf.data()) {
        Ok(packet) if packet.version == entry.inner => {
            let Some(record) = record_behind(&packet, buf.data()) else {
                return context.drop(buf, Reason::OverlayInner);
            };
            if let Some(mut recovery) = entry.place.and_then(|place| elimination.recovery(place)) {
                recovery.pass(entry.sequence, verdict, entry.way.path_slot, entry.copies);
            }
            entry.count_passed(verdict, path, context.counters);
            if entry.trace.0 != 0 {
                context.trace_ends(Outcome::Won, buf.data());
            }
            if let Some(buf) = take_record(buf, &packet, record, entry.sender(), context) {
                hand_on(buf, packet, false, entry.sender(), general, nat, context);
            }
        }
        _ => context.drop(buf, Reason::OverlayInner),
    }
}

/// The binding record behind a packet, if there is one; `None` where something else is, or the packet is not whole.
fn record_behind(packet: &Packet, bytes: &[u8]) -> Option<Option<Record>> {
    match bytes.get(packet.len as usize..)? {
        [] => Some(None),
        behind => Record::parse(behind).map(Some),
    }
}

/// Notes what the record behind a packet says; returns the packet without it, unless it was there for the record alone.
fn take_record<P: BufPool>(
    mut buf: P::Buf,
    packet: &Packet,
    record: Option<Record>,
    sender: Sender,
    context: &mut Context<P>,
) -> Option<P::Buf> {
    let Some(record) = record else { return Some(buf) };
    let (from, sealed) = (sender.source, sender.epoch != 0);
    let told = Told { from, src: packet.src, dst: packet.dst, sealed, record };
    // There is room: a burst has no more packets.
    let _ = context.out.told.try_push(told);
    if bindings::is_carrier(packet) {
        context.counters.roles.carriers.add(1);
        context.pool.free(buf);
        return None;
    }
    buf.truncate(packet.len as usize);
    Some(buf)
}

/// Whether a packet's sender may speak for the virtual IPs of an application: it stands in the region that answers for
/// it, and seals what must be sealed.
#[inline(always)]
fn speaks_for(application: u16, sender: Sender, tables: &Tables) -> Result<(), Reason> {
    let application = tables.applications.get(application as usize).ok_or(Reason::NoDestination)?;
    if application.sealed && sender.epoch == 0 {
        return Err(Reason::OverlayUnsealed);
    }
    let region = tables.peer(sender.source).map(|peer| peer.region);
    if region == Some(application.gateway) { Ok(()) } else { Err(Reason::OverlayInnerSource) }
}

/// Whether a client claims an address that others are translated to by prefix: its reply would be theirs.
#[inline(always)]
fn is_outside(packet: &impl Headers, tables: &Tables) -> bool {
    packet.version() == IpVersion::V6
        && !tables.prefixes.is_empty()
        && tables.prefixes.of_outside(packet.src()).is_some()
}

/// Gives an inner packet to the role that it is for. `is_plain` is whether `H` is [`Plain`].
#[inline(always)]
fn hand_on<P: BufPool, H: Headers>(
    buf: P::Buf,
    packet: H,
    is_plain: bool,
    sender: Sender,
    sorted: &mut Sorted<P::Buf, H>,
    nat: Option<&Nat>,
    context: &mut Context<P>,
) {
    let tables = context.tables;
    // Only a virtual IP of this node speaks to clients; everything else is a request to the gateway. Both sides are
    // bound to their sender: the packet's path has ended in the sender's region, checked on admission. Where there is
    // no edge, a plain packet's source is asked about when its session is made: nearly every one would be looked for in
    // vain, and where such a search ends can not be foretold.
    let own = if tables.roles.edge || !is_plain { tables.local.get(packet.src()) } else { None };
    if tables.roles.edge
        && let Some(Local::Vip(application)) = own
    {
        return match speaks_for(application, sender, tables) {
            Ok(()) => edge::egress(buf, &packet, context),
            Err(reason) => context.drop(buf, reason),
        };
    }
    // A reload may make the node a gateway; translation is set up at the start only.
    let Some(nat) = nat.filter(|_| tables.roles.gateway) else {
        return context.drop(buf, Reason::WrongRole);
    };
    // A client that claims one of the node's own addresses would have its reply come back here for ever.
    if own.is_some() || is_outside(&packet, tables) {
        return context.drop(buf, Reason::IpAddress);
    }
    match Request::admit(packet, is_plain, sender.source, sender.epoch, tables) {
        Ok(request) => {
            sorted.requests.note(request.look_up(nat));
            sorted.requests.take(buf);
        }
        Err(reason) => take_late_reply(buf, packet, sender, reason, sorted, nat, context),
    }
}

/// A packet that is no request: it may be a reply that came to the other gateway, which has this one's addresses no more.
#[cold]
#[inline(never)]
fn take_late_reply<P: BufPool, H: Headers>(
    buf: P::Buf,
    packet: H,
    sender: Sender,
    reason: Reason,
    sorted: &mut Sorted<P::Buf, H>,
    nat: &Nat,
    context: &mut Context<P>,
) {
    let tables = context.tables;
    let to_pool = || matches!(tables.local.get(packet.dst()), Some(Local::Pool));
    if !tables.is_partner(sender.source) || !to_pool() {
        return context.drop(buf, reason);
    }
    // It has come in by none of this node's ports, and nobody is answered there.
    match Reply::admit(PortIndex(u8::MAX), 0, packet, buf.data(), Some(nat)) {
        Ok(reply) => {
            sorted.replies.note(reply);
            sorted.replies.take(buf);
        }
        Err(reason) => context.drop(buf, reason),
    }
}
