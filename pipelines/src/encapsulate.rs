//! The replication function: one packet becomes one copy per path, all with the same sequence number.

use crate::adaptive::Redundancy;
use crate::emit::Context;
use crate::seal;
use crate::tables::{Common, Copy, Departure, Flight, Link, PLAIN_COPY_LEN, Passenger};
use overlay::adaptive::Cap;
use overlay::ordering::Chains;
use overlay::wire::{COPIES_AT, COPIES_MASK, HEADER_LEN, Header, Order, PATH_SEQUENCE_MASK, stream_id};
use packet::ip::{self, Fragment};
use packet::{BufPool, IpVersion, PacketBuf, Reason};

/// The sequence numbers of all streams that one worker sends.
pub struct Sequences {
    /// Next number, by destination × [`BUCKETS`] + bucket.
    next: Vec<u64>,
    first: u64,
    /// The next number on each path to each destination, by [`Copy::way`].
    on_path: Vec<u32>,
    worker: u8,
    /// Flows whose packets are to leave the overlay in order.
    chains: Option<Chains>,
    seed: u64,
    /// What redundancy may cost, by the number of its [`StepCell`](crate::step::StepCell).
    caps: Vec<Cap>,
}

/// Flows in order that a worker remembers.
const CHAINS: usize = 16_384;

const BUCKETS: usize = 256;

impl Sequences {
    /// Counters that start at `first`, for a worker's number.
    /// `seed` keeps senders of flows from choosing which of them share a number.
    pub fn new(first: u64, worker: u16, seed: u64) -> Sequences {
        let (next, on_path) = (Vec::new(), Vec::new());
        Sequences { next, first, on_path, worker: worker as u8, chains: None, seed, caps: Vec::new() }
    }

    /// Makes room for so many destinations and paths to them; what is counted already stays.
    pub fn reserve(&mut self, destinations: usize, ways: usize) {
        let len = (destinations * BUCKETS).max(self.next.len());
        self.next.resize(len, self.first);
        // A life's numbers begin anywhere, or a receiver could take another life for a little loss.
        let anywhere = (self.first.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32;
        self.on_path.resize(ways.max(self.on_path.len()), anywhere);
    }

    /// Makes room for flows in order, if there is none yet.
    pub fn reserve_chains(&mut self) {
        self.chains.get_or_insert_with(|| Chains::new(CHAINS, self.seed));
    }

    /// Makes room for so many applications and destinations whose redundancy has a cap.
    pub fn reserve_caps(&mut self, caps: usize) {
        self.caps.resize(caps.max(self.caps.len()), Cap::default());
    }

    /// The cap of this number.
    #[inline(always)]
    pub fn cap(&mut self, number: u16) -> Option<&mut Cap> {
        self.caps.get_mut(usize::from(number))
    }

    /// The place of an inner packet in its flow, and how many packets of the flow there were.
    fn place(&mut self, now_ms: u32, destination: u16, sequence: u64, inner: &[u8]) -> Option<(Order, u32)> {
        let chains = self.chains.as_mut()?;
        let packet = ip::parse(inner).ok()?;
        // Fragments after the first have no ports, and all of a datagram's are of one flow.
        let whole = packet.fragment == Fragment::No;
        let ports = if whole { (packet.src_port, packet.dst_port) } else { (0, 0) };
        let flow = chains.flow(destination, packet.src, packet.dst, packet.protocol, ports);
        Some(chains.follow(now_ms, flow, sequence))
    }

    /// The number of this worker's stream of a bucket.
    pub fn stream(&self, bucket: u8) -> u16 {
        stream_id(self.worker, bucket)
    }

    /// The next number on a path to a destination.
    #[inline(always)]
    pub fn take_on_path(&mut self, way: u32) -> u32 {
        self.on_path.get_mut(way as usize).map_or(0, |next| {
            *next = next.wrapping_add(1);
            *next
        })
    }

    #[inline(always)]
    fn take(&mut self, destination: u16, bucket: u8) -> Option<u64> {
        let next = self.next.get_mut(destination as usize * BUCKETS + bucket as usize)?;
        let sequence = *next;
        *next += 1;
        Some(sequence)
    }
}

/// Puts an option before what the overlay's header will stand before.
fn extend<B: PacketBuf>(buf: &mut B, bytes: &[u8]) -> Result<(), Reason> {
    buf.prepend(bytes.len()).map_err(|_| Reason::NoHeadroom)?;
    if let Some(place) = buf.data_mut().get_mut(..bytes.len()) {
        place.copy_from_slice(bytes);
    }
    Ok(())
}

impl<P: BufPool> Context<'_, P> {
    /// Sends a packet over the overlay: a copy on each path of the flight. The buffer holds the inner IP packet and
    /// nothing else; the caller has checked that it fits the flight's MTU. `bucket` is its client's.
    #[inline(always)]
    pub fn replicate(&mut self, flight: &Flight, bucket: u8, version: IpVersion, buf: P::Buf) {
        self.replicate_and(flight, bucket, version, buf, |_| {});
    }

    /// As [`Context::replicate`], with the packet's last change made to each copy by itself: bytes that were just
    /// written can be copied only once they have reached the cache, which takes longer than writing them twice.
    #[inline(always)]
    pub fn replicate_and(
        &mut self,
        flight: &Flight,
        bucket: u8,
        version: IpVersion,
        mut buf: P::Buf,
        finish: impl Fn(&mut [u8]),
    ) {
        let Some(sequence) = self.sequences.take(flight.number, bucket) else {
            return self.drop(buf, Reason::OverlayUnknownNode);
        };
        let stream = stream_id(self.sequences.worker, bucket);
        if flight.is_prepared || flight.sampled.takes(sequence) {
            finish(buf.data_mut());
            return self.replicate_prepared(flight, version, stream, sequence, buf);
        }
        if flight.others.is_empty() {
            finish(buf.data_mut());
            return self.send_copy(&flight.first, version, stream, sequence, 0, buf);
        }
        let total = (PLAIN_COPY_LEN + buf.len()) as u16;
        let common = Common::new(total, Link::source_port(stream), version, stream, sequence, 0);
        for copy in &flight.others {
            // A copy for which there is no buffer counts as made and dropped, so that the counters add up.
            self.counters.roles.copies_made.add(1);
            let Some(departure) = self.straight(copy) else {
                self.send_twin(copy, version, stream, sequence, &buf, &finish);
                continue;
            };
            let Some(mut twin) = self.pool.copy_behind::<PLAIN_COPY_LEN>(&buf) else {
                self.counters.drop(Reason::NoBuffer);
                continue;
            };
            let Some((head, inner)) = twin.data_mut().split_first_chunk_mut() else {
                self.drop(twin, Reason::NoHeadroom);
                continue;
            };
            let path_sequence = self.sequences.take_on_path(copy.way);
            departure.template.write_plain_copy(head, &common, path_sequence);
            finish(inner);
            self.leave(copy, departure, twin);
        }
        finish(buf.data_mut());
        let Some(departure) = self.straight(&flight.first) else {
            return self.send_any_copy(&flight.first, version, stream, sequence, 0, true, buf);
        };
        self.send_straight(&flight.first, departure, &common, buf);
    }

    /// Sends a copy of a packet the general way.
    #[inline(never)]
    fn send_twin(
        &mut self,
        copy: &Copy,
        version: IpVersion,
        stream: u16,
        sequence: u64,
        buf: &P::Buf,
        finish: &impl Fn(&mut [u8]),
    ) {
        match self.pool.copy(buf) {
            Some(mut twin) => {
                finish(twin.data_mut());
                self.send_any_copy(copy, version, stream, sequence, 0, true, twin);
            }
            None => self.counters.drop(Reason::NoBuffer),
        }
    }

    /// The headers of a copy that can only leave one way, over a link without a key.
    #[inline(always)]
    fn straight<'b>(&self, copy: &'b Copy) -> Option<&'b Departure> {
        copy.straight().filter(|departure| self.keys.peer(departure.next).is_none())
    }

    /// Counts a copy that is ready, and transmits it.
    #[inline(always)]
    fn leave(&mut self, copy: &Copy, departure: &Departure, buf: P::Buf) {
        if let Some(path) = self.counters.paths.get(copy.path_slot as usize) {
            path.sent.add(1);
        }
        self.transmit(departure.egress.hop.port, buf);
    }

    /// Sends a packet that has its number: sealed, with extensions, by the paths that its protocol picks, or with records of its
    /// hops.
    #[inline(never)]
    fn replicate_prepared(
        &mut self,
        flight: &Flight,
        version: IpVersion,
        stream: u16,
        sequence: u64,
        mut buf: P::Buf,
    ) {
        let is_sampled = flight.sampled.takes(sequence);
        let inner_len = buf.len();
        let mut flight = flight;
        let mut more = flight.others.len();
        if flight.adaptive.is_some() {
            let Redundancy { copies, with_parity } = self.redundancy(flight, inner_len);
            more = copies;
            let tables = self.tables;
            flight = with_parity.and_then(|number| tables.flights.get(usize::from(number))).unwrap_or(flight);
        }
        let (epoch, turn) = match self.prepare(flight, version, stream, sequence, &mut buf) {
            Ok(prepared) => prepared,
            Err(reason) => return self.drop(buf, reason),
        };
        let one = flight.spread.as_ref().and_then(|spread| flight.copy(spread.turn(turn)));
        let others = if one.is_some() { &[] } else { flight.others.get(..more).unwrap_or_default() };
        let first = one.unwrap_or(&flight.first);
        let closed = flight
            .coded
            .as_ref()
            .and_then(|coded| self.add_to_group(flight, coded, version, stream, sequence, epoch, &buf));
        // A receiver is told how many copies there are of a packet where that is the same for all packets.
        let told = flight.adaptive.is_none();
        if is_sampled && self.has_room_for_traces(first, others, inner_len) {
            let passenger = Passenger { version, stream, sequence, epoch, path_sequence: 0 };
            self.send_all_traced(first, others, passenger, told, inner_len, buf);
        } else {
            self.send_all(first, others, version, stream, sequence, epoch, told, buf);
        }
        if let Some(group) = closed {
            self.end_group(group);
        }
    }

    /// Sends the copies of a packet that is complete but for their headers.
    #[inline(always)]
    #[allow(clippy::too_many_arguments)] // see [`Context::send_copy`]
    fn send_all(
        &mut self,
        first: &Copy,
        others: &[Copy],
        version: IpVersion,
        stream: u16,
        sequence: u64,
        epoch: u8,
        told: bool,
        buf: P::Buf,
    ) {
        for copy in others {
            self.counters.roles.copies_made.add(1);
            match self.pool.copy(&buf) {
                Some(twin) if told => self.send_copy(copy, version, stream, sequence, epoch, twin),
                Some(twin) => self.send_any_copy(copy, version, stream, sequence, epoch, false, twin),
                None => self.counters.drop(Reason::NoBuffer),
            }
        }
        match told {
            true => self.send_copy(first, version, stream, sequence, epoch, buf),
            false => self.send_any_copy(first, version, stream, sequence, epoch, false, buf),
        }
    }

    /// Numbers a packet in its stream, and seals it where its application asks for that.
    #[inline(always)]
    fn board(
        &mut self,
        flight: &Flight,
        bucket: u8,
        version: IpVersion,
        buf: &mut P::Buf,
    ) -> Result<Passenger, Reason> {
        let sequence = self.sequences.take(flight.number, bucket).ok_or(Reason::OverlayUnknownNode)?;
        let stream = stream_id(self.sequences.worker, bucket);
        let (epoch, _) = self.prepare(flight, version, stream, sequence, buf)?;
        Ok(Passenger { version, stream, sequence, epoch, path_sequence: 0 })
    }

    /// Does to a packet what is done once, before it is copied; returns the key epoch that it is sealed under, and how many
    /// packets of its flow there were, where that is ordered.
    fn prepare(
        &mut self,
        flight: &Flight,
        version: IpVersion,
        stream: u16,
        sequence: u64,
        buf: &mut P::Buf,
    ) -> Result<(u8, u32), Reason> {
        let mut order = None;
        let mut turn = 0;
        if flight.is_ordered {
            let now_ms = (self.now_ns / 1_000_000) as u32;
            let placed = self.sequences.place(now_ms, flight.number, sequence, buf.data());
            let (place, count) = placed.ok_or(Reason::IpMalformed)?;
            (order, turn) = (Some(place), count);
        }
        let epoch = if flight.sealed { self.seal(flight, version, stream, sequence, order, buf)? } else { 0 };
        if let Some(extension) = &flight.extension {
            extend(buf, extension.bytes())?;
        }
        if let Some(order) = order {
            extend(buf, &order.option())?;
        }
        Ok((epoch, turn))
    }

    /// Authenticates a copy for its first link.
    fn authenticate_copy(
        &self,
        departure: &Departure,
        passenger: Passenger,
        told: bool,
        buf: &mut P::Buf,
    ) -> Result<(), Reason> {
        let Passenger { version, stream, sequence, epoch, path_sequence } = passenger;
        if departure.extended {
            let at = departure.template.header_len() - HEADER_LEN;
            let geneve = buf.data_mut().get_mut(at..).ok_or(Reason::OverlayTruncated)?;
            return seal::authenticate(self.keys, departure.next, geneve);
        }
        let copies = if told { departure.header.copies } else { 0 };
        let path_sequence = path_sequence & PATH_SEQUENCE_MASK;
        let header =
            Header { inner: version, stream, sequence, epoch, copies, path_sequence, ..departure.header };
        let at = departure.template.header_len() - HEADER_LEN;
        let geneve = buf.data_mut().get_mut(at..).ok_or(Reason::OverlayTruncated)?;
        seal::authenticate_own(self.keys, departure.next, header, geneve)
    }

    /// As [`Context::replicate`], of a packet that is too large for some paths: over the others.
    #[cold]
    pub fn replicate_where_it_fits(
        &mut self,
        flight: &Flight,
        bucket: u8,
        version: IpVersion,
        mut buf: P::Buf,
    ) {
        let len = buf.len();
        let mut fitting = flight.copies().filter(|copy| copy.mtu as usize >= len);
        let Some(last) = fitting.next() else {
            return self.drop(buf, Reason::TooBig);
        };
        let Passenger { stream, sequence, epoch, .. } = match self.board(flight, bucket, version, &mut buf) {
            Ok(passenger) => passenger,
            Err(reason) => return self.drop(buf, reason),
        };
        // Of those that it could be spread over, one is enough.
        let more = match &flight.adaptive {
            Some(_) => self.redundancy(flight, len).copies,
            None if flight.spread.is_some() || flight.coded.is_some() => 0,
            None => usize::MAX,
        };
        for copy in fitting.take(more) {
            self.counters.roles.copies_made.add(1);
            match self.pool.copy(&buf) {
                // Not told how many: what the others do not carry is not owed.
                Some(twin) => self.send_any_copy(copy, version, stream, sequence, epoch, false, twin),
                None => self.counters.drop(Reason::NoBuffer),
            }
        }
        self.send_any_copy(last, version, stream, sequence, epoch, false, buf);
    }

    /// Puts the outer headers of one path before a copy and transmits it.
    ///
    /// Takes a [`Passenger`]'s values one by one: as a structure, which [`Context::send_any_copy`] would be given by
    /// reference, they would be written to memory in pieces and read back as a whole, which waits for the cache.
    #[inline(always)]
    fn send_copy(
        &mut self,
        copy: &Copy,
        version: IpVersion,
        stream: u16,
        sequence: u64,
        epoch: u8,
        buf: P::Buf,
    ) {
        let Some(departure) = self.straight(copy) else {
            return self.send_any_copy(copy, version, stream, sequence, epoch, true, buf);
        };
        let total = (PLAIN_COPY_LEN + buf.len()) as u16;
        let common = Common::new(total, Link::source_port(stream), version, stream, sequence, epoch);
        self.send_straight(copy, departure, &common, buf);
    }

    /// The same for a copy that can only leave one way, over a link without a key.
    #[inline(always)]
    fn send_straight(&mut self, copy: &Copy, departure: &Departure, common: &Common, mut buf: P::Buf) {
        let Ok(head) = buf.prepend_array() else {
            return self.drop(buf, Reason::NoHeadroom);
        };
        let path_sequence = self.sequences.take_on_path(copy.way);
        departure.template.write_plain_copy(head, common, path_sequence);
        self.leave(copy, departure, buf);
    }

    /// The same for a copy of any kind, which tells how many copies there are of its packet or not.
    #[inline(never)]
    #[allow(clippy::too_many_arguments)] // see above
    pub(crate) fn send_any_copy(
        &mut self,
        copy: &Copy,
        version: IpVersion,
        stream: u16,
        sequence: u64,
        epoch: u8,
        told: bool,
        mut buf: P::Buf,
    ) {
        let Some(departure) = copy.departure(stream) else {
            return self.drop(buf, Reason::NoRoute);
        };
        if buf.prepend(departure.template.header_len()).is_err() {
            return self.drop(buf, Reason::NoHeadroom);
        }
        let path_sequence = self.sequences.take_on_path(copy.way);
        let passenger = Passenger { version, stream, sequence, epoch, path_sequence };
        departure.template.write_copy(buf.data_mut(), Link::source_port(stream), passenger);
        let geneve_at = departure.template.header_len() - HEADER_LEN;
        if !told && let Some(byte) = buf.data_mut().get_mut(geneve_at + COPIES_AT) {
            *byte &= !COPIES_MASK;
        }
        if self.keys.peer(departure.next).is_some()
            && let Err(reason) = self.authenticate_copy(departure, passenger, told, &mut buf)
        {
            return self.drop(buf, reason);
        }
        if let Some(path) = self.counters.paths.get(copy.path_slot as usize) {
            path.sent.add(1);
        }
        self.transmit_to(&departure.egress, buf);
    }
}
