//! Parity packets at the end of the overlay, and the packets that are rebuilt of them: these are opened and eliminated as if
//! they had come, so parity that somebody forged delivers nothing that is sealed.

use super::{Arrival, Sender, Waiting, life_of, record_behind, resume, room, take_record, wait};
use crate::emit::Context;
use crate::forwarder::Lanes;
use crate::seal;
use nat::Nat;
use overlay::elimination::{Elimination, Recovery, StreamIndex};
use overlay::ordering::Ordering;
use overlay::parity::{Decoder, From, PARITY_MAX, Shard, Taken};
use overlay::protocol::Protocol;
use overlay::seal::Shared;
use overlay::wire::Parity;
use packet::{BufPool, PacketBuf, Reason, ip};

/// Takes a parity packet in: what it holds is kept for as long as its group may need it.
#[inline(never)]
pub(super) fn take<P: BufPool>(
    buf: P::Buf,
    entry: &Arrival,
    place: StreamIndex,
    recovery: &Recovery,
    decoder: &mut Decoder,
    context: &mut Context<P>,
) {
    let &Arrival { stream, sequence, epoch, way, .. } = entry;
    let parity = Parity::read(buf.data(), usize::from(entry.parity_at));
    let (from, len) = entry.inner();
    let (Some(parity), Some(payload)) = (parity, buf.data().get(from..from + len)) else {
        return context.drop(buf, Reason::OverlayTruncated);
    };
    let another_life = epoch != 0 && recovery.life() != life_of(context.keys, way.source);
    // Of another life nothing has passed in this window.
    let is_missing = |sequence| another_life || recovery.look(sequence).passes();
    let from = From { place, source: way.source, stream, epoch, path: way.path_slot };
    let taken = decoder.take(context.now_ns, from, sequence, parity, payload, is_missing);
    if taken == Taken::Malformed {
        return context.drop(buf, Reason::ParityMalformed);
    }
    entry.count(context.counters);
    context.counters.roles.parity_received.add(1);
    context.drop(buf, Reason::Parity);
}

/// Rebuilds packets, as many as the lanes and the frames to be transmitted have room for; says whether there may be more.
#[cold]
pub fn rebuild_ready<P: BufPool>(
    lanes: &mut Lanes<P::Buf>,
    elimination: &mut Elimination,
    ordering: &mut Ordering<Waiting<P::Buf>>,
    decoder: &mut Decoder,
    nat: Option<&Nat>,
    context: &mut Context<P>,
) -> bool {
    let room = room(context);
    let (mut count, mut solved) = (0, false);
    while count + PARITY_MAX <= room
        && decoder.rebuild(|from, sequence, shard| {
            count += 1;
            if let Some(leaving) = pass_rebuilt(from, sequence, shard, elimination, ordering, context) {
                resume(leaving, &mut lanes.plain, &mut lanes.general, nat, context);
            }
        })
    {
        solved = true;
    }
    solved
}

/// Opens a packet that was rebuilt, and lets it pass if it is whole and has not come meanwhile. Returns the packet that leaves
/// now, if one does.
fn pass_rebuilt<P: BufPool>(
    from: From,
    sequence: u64,
    shard: Shard,
    elimination: &mut Elimination,
    ordering: &mut Ordering<Waiting<P::Buf>>,
    context: &mut Context<P>,
) -> Option<Waiting<P::Buf>> {
    let From { place, source, stream, epoch, path } = from;
    let mut recovery = elimination.recovery(place)?;
    let verdict = recovery.look(sequence);
    if !verdict.passes() {
        return None;
    }
    // A frame that leaves without having come in, as a copy does.
    context.counters.roles.copies_made.add(1);
    if epoch != 0 && recovery.life() != life_of(context.keys, source) {
        context.counters.drop(Reason::ParityStale);
        return None;
    }
    let Some(mut buf) = context.pool.alloc() else {
        context.counters.drop(Reason::NoBuffer);
        return None;
    };
    if buf.append(shard.payload.len()).is_err() {
        context.drop(buf, Reason::NoTailroom);
        return None;
    }
    buf.data_mut().copy_from_slice(shard.payload);
    let (version, order) = (shard.kind.version, shard.kind.order);
    if epoch != 0 {
        let shared = Shared { protocol: Protocol::Parity.id(), inner: version, stream, sequence };
        if let Err(reason) = seal::open_any(context.keys, source, epoch, shared, order, &mut buf) {
            context.drop(buf, reason);
            return None;
        }
    }
    let read = ip::parse(buf.data()).ok().filter(|packet| packet.version == version);
    let Some((packet, record)) = read.and_then(|packet| Some((packet, record_behind(&packet, buf.data())?)))
    else {
        context.drop(buf, Reason::OverlayInner);
        return None;
    };
    recovery.pass(sequence, verdict, path, 0);
    context.counters.roles.parity_rebuilt.add(1);
    let sender = Sender { source, epoch };
    let buf = take_record(buf, &packet, record, sender, context)?;
    wait(buf, sender, (stream, sequence), order, ordering, context)
}
