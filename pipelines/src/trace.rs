//! Hop records: written into the packets that are sampled, and read where these end (D7).
//!
//! ```text
//!  sender ─────────── intermediate ─────────── receiver
//!  room for records    fills in the next        copies them for the control thread,
//!  behind the header   free one in place        with what became of the copy
//! ```
//!
//! All of this is for few packets, and apart from what all others go through: a sender multiplies the number that it has
//! given the packet, a receiver looks at one field of what it has read.

use crate::emit::Context;
use crate::intermediate::{self, Copy, Transit};
use crate::tables::{self, Departure, Link, Passenger, Tables};
use crate::{Output, PortIndex, seal};
use overlay::topology::NodeId;
use overlay::wire::trace::{self, DATA_LEN_MAX, Record, Unwritten, option_len};
use overlay::wire::{COPIES_AT, COPIES_MASK, HEADER_LEN, TracePlace};
use packet::{BufPool, Counter, PacketBuf, Reason, ip};

/// What a worker counts of hop records.
#[derive(Debug, Default)]
pub struct TraceCounters {
    /// Packets of this node that left with room for records.
    pub sampled: Counter,
    /// Packets that were to be sampled, but have no room for a trace within the MTU of a path.
    pub unfit: Counter,
    /// Records written.
    pub records: Counter,
    /// Copies without a free record for this node.
    pub full: Counter,
    /// Copies whose trace is none that a sender writes; they went on without.
    pub malformed: Counter,
    /// Copies with a trace that ended here.
    pub ended: Counter,
}

/// What became of a copy at the end of its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was the first.
    Won,
    /// Another copy had come before it.
    Lost,
    /// It was older than the window.
    Late,
}

/// A copy with a trace that came to the end of its path.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// Who put it into the overlay.
    pub source: NodeId,
    /// Its stream.
    pub stream: u16,
    /// Its number in the stream: copies of a packet have the same.
    pub sequence: u64,
    /// The slot of its path's counters.
    pub path_slot: u16,
    /// Its application by this node's tables; known of first copies only, which alone are opened.
    pub application: Option<u16>,
    /// The epoch of these tables.
    pub epoch: u16,
    /// What became of it.
    pub outcome: Outcome,
    /// When it came in, ns since 1970 by this node's clock.
    pub arrived_ns: u64,
    data: [u8; DATA_LEN_MAX],
    len: u8,
}

impl Seen {
    /// The data of its trace option.
    pub fn trace(&self) -> &[u8] {
        self.data.get(..self.len as usize).unwrap_or_default()
    }
}

/// What a worker keeps for tracing.
pub struct Tracer {
    /// Nanoseconds from 1970 to the zero of the node's clock.
    unix_offset_ns: u64,
    /// The copy that is being judged.
    current: Seen,
}

impl Tracer {
    /// For a clock whose zero is so long after 1970.
    pub fn new(unix_offset_ns: u64) -> Tracer {
        let current = Seen {
            source: NodeId(0),
            stream: 0,
            sequence: 0,
            path_slot: 0,
            application: None,
            epoch: 0,
            outcome: Outcome::Lost,
            arrived_ns: 0,
            data: [0; DATA_LEN_MAX],
            len: 0,
        };
        Tracer { unix_offset_ns, current }
    }
}

/// A frame to be transmitted whose record lacks its transit delay: the time until then is not known before.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    port: PortIndex,
    /// Its place among the frames to that port.
    place: u16,
    /// Where the record starts in it, bytes.
    record_at: u16,
    came_ns: u64,
}

impl<B: PacketBuf> Output<B> {
    /// Writes into the records of this burst how long the node had the packets, just before they are transmitted.
    #[cold]
    pub fn stamp(&mut self, now_ns: u64) {
        for stamp in self.stamps.drain(..) {
            let frames = self.tx.get_mut(stamp.port.0 as usize);
            if let Some(frame) = frames.and_then(|frames| frames.get_mut(stamp.place as usize)) {
                let transit_ns = now_ns.saturating_sub(stamp.came_ns);
                trace::set_transit(frame.data_mut(), stamp.record_at as usize, transit_ns);
            }
        }
    }
}

/// What an intermediate has read of a copy with a trace.
#[derive(Clone, core::marker::Copy, Debug)]
pub struct Mark {
    /// The node from which it came.
    pub sender: NodeId,
    /// The hop limit with which it came; at least 1.
    pub hop_limit: u8,
    /// Where its trace's data is.
    pub place: TracePlace,
}

impl<P: BufPool> Context<'_, P> {
    fn unix_ns(&self) -> u64 {
        self.tracer.unix_offset_ns.wrapping_add(self.now_ns)
    }

    /// As [`intermediate::forward`], with a record of this hop.
    #[cold]
    #[inline(never)]
    pub fn forward_traced(&mut self, mut buf: P::Buf, copy: &Copy, transit: &Transit, mark: Mark) {
        let Some(link) = transit.link(self.tables, copy.stream) else {
            return self.drop(buf, Reason::NoRoute);
        };
        let port = link.egress.hop.port;
        let waiting = |context: &Self| context.out.tx.get(port.0 as usize).map_or(0, |queue| queue.len());
        let queue = waiting(self);
        let record = Record {
            hop_limit: mark.hop_limit.saturating_sub(1),
            queue: u8::try_from(queue).unwrap_or(u8::MAX),
            node: self.tables.node,
            ingress: mark.sender,
            egress: link.to,
            time_us: (self.unix_ns() / 1_000) as u32,
            transit_ns: 0,
        };
        let data_at = (copy.place.geneve_at + mark.place.at) as usize;
        let data = buf.data_mut().get_mut(data_at..data_at + mark.place.len as usize);
        let written = data.map_or(Err(Unwritten::Malformed), |data| trace::append(data, &record));
        let counters = &self.counters.traces;
        match written {
            Ok(_) => counters.records.add(1),
            Err(Unwritten::Full) => counters.full.add(1),
            Err(Unwritten::Malformed) => counters.malformed.add(1),
        }
        let header_len = link.template.header_len();
        intermediate::forward(buf, copy, transit, self);
        if let Ok(at) = written
            && waiting(self) == queue + 1
        {
            let record_at = (header_len + mark.place.at as usize + at) as u16;
            let stamp = Stamp { port, place: queue as u16, record_at, came_ns: self.now_ns };
            // One for each packet of a burst at most, and as many have room.
            let _ = self.out.stamps.try_push(stamp);
        }
    }

    /// Whether a packet of so many bytes has room for a trace on each of these ways; counts it if not.
    #[cold]
    pub fn has_room_for_traces(
        &self,
        first: &tables::Copy,
        others: &[tables::Copy],
        inner_len: usize,
    ) -> bool {
        let fits = core::iter::once(first).chain(others).all(|copy| copy.records(inner_len).is_some());
        self.counters.traces.unfit.add((!fits).into());
        fits
    }

    /// Sends the copies of a packet that is complete but for their headers, each with room for records of its hops, as many as
    /// fit. The packet itself had `inner_len` bytes.
    #[cold]
    #[inline(never)]
    pub fn send_all_traced(
        &mut self,
        first: &tables::Copy,
        others: &[tables::Copy],
        passenger: Passenger,
        told: bool,
        inner_len: usize,
        buf: P::Buf,
    ) {
        self.counters.traces.sampled.add(1);
        self.counters.roles.copies_made.add(others.len() as u64);
        for copy in core::iter::once(first).chain(others) {
            let records = copy.records(inner_len).unwrap_or(0);
            self.send_traced(copy, passenger, told, records, &buf);
        }
        self.pool.free(buf);
    }

    /// A copy with a trace is put together in a buffer of its own: headers and records together are longer than a
    /// buffer's headroom. The trace stands before the options that `inner` begins with.
    fn send_traced(
        &mut self,
        copy: &tables::Copy,
        passenger: Passenger,
        told: bool,
        records: usize,
        inner: &P::Buf,
    ) {
        let Some(departure) = copy.departure(passenger.stream) else {
            return self.counters.drop(Reason::NoRoute);
        };
        let head_len = departure.template.header_len() + option_len(records);
        let Some(mut buf) = self.pool.alloc() else {
            return self.counters.drop(Reason::NoBuffer);
        };
        if buf.append(head_len + inner.len()).is_err() {
            return self.drop(buf, Reason::NoTailroom);
        }
        if let Some(behind) = buf.data_mut().get_mut(head_len..) {
            behind.copy_from_slice(inner.data());
        }
        let sent_ns = self.unix_ns();
        let passenger = Passenger { path_sequence: self.sequences.take_on_path(copy.way), ..passenger };
        write_traced(departure, passenger, (records, sent_ns), buf.data_mut());
        let geneve_at = departure.template.header_len() - HEADER_LEN;
        let geneve = buf.data_mut().get_mut(geneve_at..).unwrap_or_default();
        if !told && let Some(byte) = geneve.get_mut(COPIES_AT) {
            *byte &= !COPIES_MASK;
        }
        if let Err(reason) = seal::authenticate(self.keys, departure.next, geneve) {
            return self.drop(buf, reason);
        }
        if let Some(path) = self.counters.paths.get(copy.path_slot as usize) {
            path.sent.add(1);
        }
        self.transmit_to(&departure.egress, buf);
    }

    /// Remembers the trace of a copy that has come to its end, until [`Context::trace_ends`] tells what became of it.
    #[cold]
    #[inline(never)]
    pub fn trace_begins(&mut self, seen: Seen, buf: &P::Buf, at: u16, len: u16) {
        let data = buf.data().get(at as usize..(at + len) as usize).unwrap_or_default();
        let mut seen = Seen { arrived_ns: self.unix_ns(), epoch: self.tables.epoch, ..seen };
        seen.len = data.len().min(DATA_LEN_MAX) as u8;
        if let Some(kept) = seen.data.get_mut(..seen.len as usize) {
            kept.copy_from_slice(&data[..kept.len()]);
        }
        self.tracer.current = seen;
    }

    /// Gives the trace of the copy that [`Context::trace_begins`] took to the control thread. `inner` is the packet that it
    /// carried, where it was opened.
    #[cold]
    #[inline(never)]
    pub fn trace_ends(&mut self, outcome: Outcome, inner: &[u8]) {
        let mut seen = self.tracer.current;
        seen.outcome = outcome;
        seen.application = application(self.tables, inner);
        let counters = &self.counters.traces;
        counters.ended.add(1);
        if trace::Trace::parse(seen.trace()).is_none() {
            counters.malformed.add(1);
        } else {
            // One for each packet of a burst at most, and as many have room.
            let _ = self.out.seen.try_push(seen);
        }
    }
}

impl Seen {
    /// What is known of a copy before its trace is looked at.
    pub fn arrival(source: NodeId, stream: u16, sequence: u64, path_slot: u16) -> Seen {
        Seen { source, stream, sequence, path_slot, ..Tracer::new(0).current }
    }
}

/// Writes the headers of a traced copy before the inner packet, which is there already.
fn write_traced(
    departure: &Departure,
    passenger: Passenger,
    (records, sent_ns): (usize, u64),
    frame: &mut [u8],
) {
    let header_len = departure.template.header_len();
    departure.template.write_copy(frame, Link::source_port(passenger.stream), passenger);
    if let Some(words) = frame.get_mut(header_len - HEADER_LEN) {
        *words += (option_len(records) / 4) as u8;
    }
    if let Some(option) = frame.get_mut(header_len..) {
        trace::write(option, records, sent_ns);
    }
}

/// The application of an inner packet: its virtual IP is the destination on the way to a gateway, else the source.
fn application(tables: &Tables, inner: &[u8]) -> Option<u16> {
    let packet = ip::parse(inner).ok()?;
    let of = |vip, port| {
        let service = tables.service_of(vip, packet.protocol)?;
        tables.application_of(service, port)
    };
    of(packet.dst, packet.dst_port).or_else(|| of(packet.src, packet.src_port))
}
