//! The replication function: one packet becomes one copy per path, all with the same sequence number.

use crate::emit::Context;
use crate::seal;
use crate::tables::{Copy, Departure, Flight, Link, Passenger};
use overlay::wire::{HEADER_LEN, Header, PATH_SEQUENCE_MASK, stream_id};
use packet::{BufPool, IpVersion, PacketBuf, Reason};

/// The sequence numbers of all streams that one worker sends.
pub struct Sequences {
    /// Next number, by destination × [`BUCKETS`] + bucket.
    next: Vec<u64>,
    first: u64,
    /// The next number on each path to each destination, by [`Copy::way`].
    on_path: Vec<u32>,
    worker: u8,
}

const BUCKETS: usize = 256;

impl Sequences {
    /// Counters that start at `first`, for a worker's number.
    pub fn new(first: u64, worker: u16) -> Sequences {
        Sequences { next: Vec::new(), first, on_path: Vec::new(), worker: worker as u8 }
    }

    /// Makes room for so many destinations and paths to them; what is counted already stays.
    pub fn reserve(&mut self, destinations: usize, ways: usize) {
        let len = (destinations * BUCKETS).max(self.next.len());
        self.next.resize(len, self.first);
        // A life's numbers begin anywhere, or a receiver could take another life for a little loss.
        let anywhere = (self.first.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as u32;
        self.on_path.resize(ways.max(self.on_path.len()), anywhere);
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

impl<P: BufPool> Context<'_, P> {
    /// Sends a packet over the overlay: a copy on each path of the flight. The buffer holds the inner IP packet and
    /// nothing else; the caller has checked that it fits the flight's MTU. `bucket` is its client's.
    #[inline(always)]
    pub fn replicate(&mut self, flight: &Flight, bucket: u8, version: IpVersion, mut buf: P::Buf) {
        let passenger = match self.board(flight, bucket, version, &mut buf) {
            Ok(passenger) => passenger,
            Err(reason) => return self.drop(buf, reason),
        };
        if flight.sampled.takes(passenger.sequence) {
            return self.replicate_traced(flight, passenger, buf);
        }
        self.replicate_copies(flight, passenger, buf);
    }

    /// Sends a copy of a packet that has its number on each path of the flight.
    #[inline(always)]
    pub fn replicate_copies(&mut self, flight: &Flight, passenger: Passenger, buf: P::Buf) {
        for copy in &flight.others {
            // A copy for which there is no buffer counts as made and dropped, so that the counters add up.
            self.counters.roles.copies_made.add(1);
            match self.pool.copy(&buf) {
                Some(twin) => self.send_copy(copy, passenger, twin),
                None => self.counters.drop(Reason::NoBuffer),
            }
        }
        self.send_copy(&flight.first, passenger, buf);
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
        let epoch =
            if flight.sealed { self.seal(flight.destination, version, stream, sequence, buf)? } else { 0 };
        Ok(Passenger { version, stream, sequence, epoch, path_sequence: 0 })
    }

    /// Authenticates a copy for its first link.
    fn authenticate_copy(
        &self,
        departure: &Departure,
        passenger: Passenger,
        buf: &mut P::Buf,
    ) -> Result<(), Reason> {
        let Passenger { version, stream, sequence, epoch, path_sequence } = passenger;
        let path_sequence = path_sequence & PATH_SEQUENCE_MASK;
        let header = Header { inner: version, stream, sequence, epoch, path_sequence, ..departure.header };
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
        let passenger = match self.board(flight, bucket, version, &mut buf) {
            Ok(passenger) => passenger,
            Err(reason) => return self.drop(buf, reason),
        };
        for copy in fitting {
            self.counters.roles.copies_made.add(1);
            match self.pool.copy(&buf) {
                Some(twin) => self.send_copy(copy, passenger, twin),
                None => self.counters.drop(Reason::NoBuffer),
            }
        }
        self.send_copy(last, passenger, buf);
    }

    /// Puts the outer headers of one path before a copy and transmits it.
    #[inline(always)]
    fn send_copy(&mut self, copy: &Copy, mut passenger: Passenger, mut buf: P::Buf) {
        let Some(departure) = copy.departure(passenger.stream) else {
            return self.drop(buf, Reason::NoRoute);
        };
        if buf.prepend(departure.template.header_len()).is_err() {
            return self.drop(buf, Reason::NoHeadroom);
        }
        passenger.path_sequence = self.sequences.take_on_path(copy.way);
        departure.template.write_copy(buf.data_mut(), Link::source_port(passenger.stream), passenger);
        if self.keys.peer(departure.next).is_some()
            && let Err(reason) = self.authenticate_copy(departure, passenger, &mut buf)
        {
            return self.drop(buf, reason);
        }
        if let Some(path) = self.counters.paths.get(copy.path_slot as usize) {
            path.sent.add(1);
        }
        self.transmit_to(&departure.egress, buf);
    }
}
