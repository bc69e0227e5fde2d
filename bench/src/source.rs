//! Packets made out of templates: flows in shuffled order, sequences that ascend, any number of flows.
//!
//! A capture in a loop repeats its sequences, so a gateway would eliminate everything from the second round on;
//! and its frames must all fit the pool. Here each packet is a copy of a template with the flow's inner headers
//! written over the template's, and with the next sequence of its stream. The work per packet is that of
//! `net_pcap` in a loop (take a buffer, copy, hand over), and must cost no more, or the source would be measured.

use crate::frame::{Flow, PATH_OFFSET, SEQUENCE_OFFSET};
use crate::{shuffle, world};
use arrayvec::ArrayVec;
use packet::transport::UDP;
use packet::{Addr, BufPool, PacketBuf, checksum};
use std::net::Ipv4Addr;
use std::ops::Range;

/// Seeds the order of flows.
const SEED: u64 = 0x5eed;

/// How far the second copy lags behind the first, in packets.
const LAG: usize = 1_024;

/// Bytes of the inner IPv4 and UDP headers.
const HEADERS: usize = 20 + 8;

/// What differs between the packets of a source: their inner headers, and the bucket of their flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(align(32))]
struct Record {
    headers: [u8; HEADERS],
    bucket: u8,
}

/// Where a record's fields stand among the inner headers.
#[derive(Clone, Copy, Debug)]
struct Places {
    /// The changing address.
    address: usize,
    /// The changing port.
    port: usize,
}

/// An endless source of packets.
#[derive(Debug)]
pub struct Source {
    /// One per copy.
    templates: Vec<Vec<u8>>,
    is_overlay: bool,
    /// Where the inner headers start.
    ip: usize,
    records: Vec<Record>,
    /// The next record.
    cursor: usize,
    /// The next template.
    turn: usize,
    /// Last sequence by bucket.
    sequences: Box<[u64; 256]>,
    /// Record and sequence of the last packets, for their second copies.
    recent: Vec<(u32, u64)>,
    /// First copies made so far.
    made: usize,
    /// Second copies made so far.
    copied: usize,
}

/// Ethernet's header.
const ETHERNET_LEN: usize = 14;
/// Where an overlay frame's client packet starts.
const INNER: usize = ETHERNET_LEN + crate::frame::OVERLAY_LEN;
/// Where an overlay frame's bucket stands.
const BUCKET_OFFSET: usize = PATH_OFFSET - 1;

impl Source {
    /// Clients' frames to the virtual IP.
    pub fn clients(flows: Range<u32>, size: usize) -> Source {
        let template = crate::frame::client_frame(Flow::nth(0), size);
        Source::new(vec![template], ETHERNET_LEN, true, shuffled(flows))
    }

    /// Clients' packets as they reach the gateway through the overlay, one copy or two.
    pub fn overlay(flows: Range<u32>, size: usize, copies: u8) -> Source {
        let template = |path| world::from_intermediate(Flow::nth(0), size, path);
        let templates = (1..=u16::from(copies.clamp(1, 2))).map(template).collect();
        Source::new(templates, INNER, true, shuffled(flows))
    }

    /// Clients' packets on their way from the edge to an intermediate.
    pub fn transit(flows: Range<u32>, size: usize) -> Source {
        let template = world::from_edge(Flow::nth(0), size, 0);
        Source::new(vec![template], INNER, true, shuffled(flows))
    }

    /// The same with room for a hop record in each.
    pub fn traced(flows: Range<u32>, size: usize) -> Source {
        let template = crate::frame::with_trace(&world::from_edge(Flow::nth(0), size, 0));
        let ip = INNER + crate::frame::TRACE_LEN;
        Source { is_overlay: true, ..Source::new(vec![template], ip, true, shuffled(flows)) }
    }

    /// The origin's replies to these addresses and ports of the NAT pool, in an order of their own.
    pub fn origin(sessions: &[(Ipv4Addr, u16)], size: usize) -> Source {
        let template = world::from_origin((world::ORIGIN, 1_024), size);
        let endpoints = shuffle::order(sessions.len() as u32, SEED)
            .into_iter()
            .filter_map(|number| sessions.get(number as usize))
            .map(|(client, port)| Flow { client: *client, port: *port });
        Source::new(vec![template], ETHERNET_LEN, false, endpoints)
    }

    fn new(
        templates: Vec<Vec<u8>>,
        ip: usize,
        changes_source: bool,
        endpoints: impl Iterator<Item = Flow>,
    ) -> Source {
        let places =
            if changes_source { Places { address: 12, port: 20 } } else { Places { address: 16, port: 22 } };
        let records = endpoints.map(|flow| Record::new(flow, &templates[0][ip..], places)).collect();
        Source {
            templates,
            is_overlay: ip == INNER,
            ip,
            records,
            cursor: 0,
            turn: 0,
            // Far above zero, as a sender starts.
            sequences: Box::new([1 << 40; 256]),
            recent: vec![(0, 0); LAG * 2],
            made: 0,
            copied: 0,
        }
    }

    /// Different flows.
    pub fn flows(&self) -> usize {
        self.records.len()
    }

    /// Puts `count` packets into `burst`, fewer where the pool or the burst's room ends. All are copies over one
    /// path; the paths take turns.
    #[inline]
    pub fn fill<P: BufPool, const N: usize>(
        &mut self,
        pool: &mut P,
        burst: &mut ArrayVec<P::Buf, N>,
        count: usize,
    ) {
        let turn = if self.made < self.copied + LAG { 0 } else { self.turn };
        for _ in 0..count.min(burst.remaining_capacity()) {
            let Some(mut buf) = pool.alloc() else { break };
            if buf.append(self.templates[turn].len()).is_err() {
                break;
            }
            let (index, sequence) = if turn == 0 { self.first() } else { self.again() };
            let record = &self.records[index];
            let frame = buf.data_mut();
            copy(&self.templates[turn], frame);
            if let Some(headers) = frame.get_mut(self.ip..).and_then(|inner| inner.first_chunk_mut()) {
                *headers = record.headers;
            }
            if self.is_overlay
                && let Some(head) = frame.first_chunk_mut::<{ SEQUENCE_OFFSET + 8 }>()
            {
                head[BUCKET_OFFSET] = record.bucket;
                head[SEQUENCE_OFFSET..].copy_from_slice(&sequence.to_be_bytes());
            }
            burst.push(buf);
        }
        let next = turn + 1;
        self.turn = if next == self.templates.len() { 0 } else { next };
    }

    #[inline(always)]
    fn first(&mut self) -> (usize, u64) {
        let index = self.cursor;
        self.cursor = if index + 1 == self.records.len() { 0 } else { index + 1 };
        let sequence = &mut self.sequences[usize::from(self.records[index].bucket)];
        *sequence += 1;
        let sequence = *sequence;
        if self.templates.len() > 1 {
            self.recent[self.made % (LAG * 2)] = (index as u32, sequence);
        }
        self.made += 1;
        (index, sequence)
    }

    #[inline(always)]
    fn again(&mut self) -> (usize, u64) {
        let (index, sequence) = self.recent[self.copied % (LAG * 2)];
        self.copied += 1;
        (index as usize, sequence)
    }
}

/// Copies a template into a frame of its length, a block at a time: short as they are, a call would cost as much again.
#[inline(always)]
fn copy(template: &[u8], frame: &mut [u8]) {
    const BLOCK: usize = 32;
    let (from, _) = template.as_chunks::<BLOCK>();
    let (to, _) = frame.as_chunks_mut::<BLOCK>();
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    // No frame is shorter than a block, so the last one ends with it.
    if let (Some(to), Some(from)) = (frame.last_chunk_mut::<BLOCK>(), template.last_chunk()) {
        *to = *from;
    }
}

impl Record {
    /// The headers of a flow in place of a template's, with the checksums that follow from them.
    fn new(flow: Flow, template: &[u8], places: Places) -> Record {
        let mut packet = template.to_vec();
        let Places { address, port } = places;
        packet[address..address + 4].copy_from_slice(&flow.client.octets());
        packet[port..port + 2].copy_from_slice(&flow.port.to_be_bytes());
        packet[10..12].fill(0);
        packet[26..28].fill(0);
        let addresses = [12, 16].map(|at| Addr::from_v4([0, 1, 2, 3].map(|byte| packet[at + byte])));
        let udp = &packet[20..];
        let pseudo = checksum::pseudo_header(addresses[0], addresses[1], UDP, udp.len() as u32);
        let udp_checksum = nonzero(!checksum::sum_onto(pseudo, udp));
        let ip_checksum = !checksum::sum(&packet[..20]);
        packet[10..12].copy_from_slice(&ip_checksum.to_be_bytes());
        packet[26..28].copy_from_slice(&udp_checksum.to_be_bytes());
        let mut headers = [0; HEADERS];
        headers.copy_from_slice(&packet[..HEADERS]);
        Record { headers, bucket: world::bucket(flow) }
    }
}

/// A UDP checksum of zero is sent as all ones: zero says that there is none (RFC 768).
fn nonzero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

fn shuffled(flows: Range<u32>) -> impl Iterator<Item = Flow> {
    let start = flows.start;
    shuffle::order(flows.end - flows.start, SEED).into_iter().map(move |number| Flow::nth(start + number))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame;
    use packet::heap::HeapPool;

    #[test]
    fn packets_are_those_that_the_frames_are() {
        let mut source = Source::clients(0..100, 64);
        let mut expected: Vec<Vec<u8>> = (0..100).map(|n| frame::client_frame(Flow::nth(n), 64)).collect();
        let mut made = packets(&mut source, 100);
        expected.sort();
        made.sort();
        assert_eq!(made, expected);
    }

    #[test]
    fn second_copies_follow_first_ones_with_the_same_sequence() {
        let mut source = Source::overlay(0..300, 64, 2);
        let made = packets(&mut source, 4_096);
        let key = |packet: &Vec<u8>| (packet[BUCKET_OFFSET], packet[SEQUENCE_OFFSET..][..8].to_vec());
        let path = |packet: &&Vec<u8>, path: u8| packet[PATH_OFFSET + 1] == path;
        let first: Vec<_> = made.iter().filter(|packet| path(packet, 1)).map(key).collect();
        let second: Vec<_> = made.iter().filter(|packet| path(packet, 2)).map(key).collect();
        assert!(second.len() > 1_000);
        assert_eq!(first[..second.len()], second);
        let mut unique = first.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), first.len());
    }

    fn packets(source: &mut Source, count: usize) -> Vec<Vec<u8>> {
        let mut pool = HeapPool::new(64);
        let mut made = Vec::new();
        while made.len() < count {
            let mut burst = ArrayVec::<_, 64>::new();
            source.fill(&mut pool, &mut burst, 32.min(count - made.len()));
            made.extend(burst.iter().map(|buf| buf.data().to_vec()));
        }
        made
    }
}
