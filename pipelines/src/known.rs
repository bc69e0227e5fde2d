//! Ways of overlay packets through this node that have been checked once and are remembered.
//!
//! Almost everything that is asked about an overlay packet (is it for this node, is its sender a member, does its path
//! lead through here, did it come from the hop before, are its options laid out as a sender writes them) depends on
//! the same 60 bytes of its headers. The answer is kept under these bytes, so that the next packet of the same sender,
//! path and end is admitted by one comparison. It is no flow state: there are as many answers as pairs of a path and
//! a neighbour, each follows from the tables and keys alone, and a new snapshot of either forgets them all. Where a link
//! has a key, the answer is not yet admission: see [`Keyed`].

use crate::batch::PortIndex;
use crate::intermediate::{Express, Transit};
use crate::keyed::{Destination, Keyed};
use crate::terminate::Way;
use overlay::seal::SealTable;
use overlay::topology::NodeId;
use overlay::wire::{
    AUTHENTICATOR_AT, COPIES_AT, COPIES_MASK, EPOCH_AT, GENEVE_PORT, HEADER_LEN, HOP_LIMIT_AT, Header,
    PATH_SEQUENCE_MASK, SEQUENCE_AT, STREAM_AT,
};
use packet::ip::Ipv4;
use packet::{IpVersion, checksum, ethernet};
use wide::{u8x32, u8x64};

/// Ways that are remembered; one more takes the place of another.
const PLACES: usize = 1024;
const BITS: u32 = PLACES.ilog2();
/// Where IP starts in a frame that is untagged.
const IP_AT: usize = ethernet::HEADER_LEN;
/// Where GENEVE starts in such a frame of IPv4 without options.
pub const GENEVE_AT: usize = IP_AT + Ipv4::LEN + 8;
/// Bytes of such a frame before the inner packet.
pub const FRAME_HEAD: usize = GENEVE_AT + HEADER_LEN;
/// Where the second half of the compared bytes starts: at the outer source address.
const REST_AT: usize = IP_AT + 12;

/// What a way leads to.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// On to the next node by a link of the same kind.
    Express(Express),
    /// On to the next node.
    Transit(Transit),
    /// Out of the overlay.
    Arrival(Way),
    /// Any of these, where a link has a key.
    Keyed(Keyed),
}

impl Answer {
    /// What packets of this neighbour get that are to go there.
    pub fn of(sender: NodeId, to: Destination, keys: &SealTable) -> Answer {
        let has_key = |node| keys.peer(node).is_some();
        match to {
            Destination::Express(express) if !has_key(sender) && !has_key(express.next()) => {
                Answer::Express(express)
            }
            // Of the next link it is asked once the stream has said which it is.
            Destination::Transit(transit) if !has_key(sender) => Answer::Transit(transit),
            Destination::Arrival(way) if !has_key(sender) => Answer::Arrival(way),
            to => Answer::Keyed(Keyed { sender, to }),
        }
    }
}

/// What differs between packets of one way.
#[derive(Clone, Copy, Debug)]
pub struct Passing {
    /// Where the packet ends, bytes from the frame's start.
    pub end: u16,
    /// Its stream.
    pub stream: u16,
    /// Its number in it.
    pub sequence: u64,
    /// Version of the inner packet.
    pub inner: IpVersion,
    /// The key epoch that it is sealed under; 0 if it is not.
    pub epoch: u8,
    /// The copy's number on its path.
    pub path_sequence: u32,
    /// How many copies left its sender; 0 if that is not known.
    pub copies: u8,
}

/// The ways that one worker remembers.
pub struct Known {
    ways: Box<[Remembered]>,
}

#[derive(Clone)]
#[repr(C, align(64))]
struct Remembered {
    /// The frame's first 32 bytes under [`MASK_FIRST`].
    first: [u8; 32],
    /// The frame's bytes from [`REST_AT`] on under [`MASK_REST`].
    rest: [u8; 64],
    /// Where the frame came in.
    port: PortIndex,
    answer: Option<Answer>,
}

/// The first bytes that decide: destination, EtherType, IP version and header length, fragmentation, protocol.
const MASK_FIRST: [u8; 32] = {
    let mut mask = [0; 32];
    set(&mut mask, 0, 6, 0xff);
    set(&mut mask, 12, IP_AT + 1, 0xff);
    set(&mut mask, IP_AT + 6, IP_AT + 7, (Ipv4::FRAGMENT_MASK >> 8) as u8);
    set(&mut mask, IP_AT + 7, IP_AT + 8, Ipv4::FRAGMENT_MASK as u8);
    set(&mut mask, IP_AT + 9, IP_AT + 10, 0xff);
    mask
};

/// The bytes from [`REST_AT`] on that decide: all but UDP's source port, length and checksum, and the hop limit,
/// authenticator, number of copies, stream, sequence and path sequence of the overlay.
const MASK_REST: [u8; 64] = {
    let mut mask = [0xff; 64];
    set(&mut mask, GENEVE_AT - 8 - REST_AT, GENEVE_AT - 6 - REST_AT, 0);
    set(&mut mask, GENEVE_AT - 4 - REST_AT, GENEVE_AT - REST_AT, 0);
    let overlay = GENEVE_AT - REST_AT;
    mask[overlay + COPIES_AT] = !COPIES_MASK;
    set(&mut mask, overlay + HOP_LIMIT_AT, overlay + HOP_LIMIT_AT + 1, 0);
    set(&mut mask, overlay + AUTHENTICATOR_AT, overlay + AUTHENTICATOR_AT + 8, 0);
    set(&mut mask, overlay + STREAM_AT, overlay + STREAM_AT + 2, 0);
    set(&mut mask, overlay + EPOCH_AT + 1, overlay + EPOCH_AT + 4, 0);
    set(&mut mask, overlay + SEQUENCE_AT, overlay + SEQUENCE_AT + 8, 0);
    mask
};

const fn set(mask: &mut [u8], from: usize, to: usize, value: u8) {
    let mut at = from;
    while at < to {
        mask[at] = value;
        at += 1;
    }
}

impl Default for Known {
    fn default() -> Known {
        let nothing = Remembered { first: [0; 32], rest: [0; 64], port: PortIndex(0), answer: None };
        Known { ways: vec![nothing; PLACES].into() }
    }
}

impl Known {
    /// Forgets everything, as a new snapshot demands.
    pub fn forget(&mut self) {
        self.ways.iter_mut().for_each(|way| way.answer = None);
    }

    /// The answer for a frame, if it is one of GENEVE over untagged Ethernet and IPv4 whose way is known, and has
    /// nothing wrong with it. All others are read in more steps.
    #[inline(always)]
    pub fn find(&self, port: PortIndex, frame: &[u8]) -> Option<(&Answer, Passing)> {
        let head = frame.first_chunk::<FRAME_HEAD>()?;
        if [head[GENEVE_AT - 6], head[GENEVE_AT - 5]] != GENEVE_PORT.to_be_bytes() {
            return None;
        }
        let (first, rest) = halves(head);
        let way = self.ways.get(place(rest))?;
        let same = (mask_rest(rest).simd_eq(u8x64::new(way.rest)).all())
            & (mask_first(first).simd_eq(u8x32::new(way.first)).all())
            & (way.port.0 == port.0);
        let u16_at = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let len = u16_at(IP_AT + 2);
        let end = len as usize + IP_AT;
        let sound = (end <= frame.len())
            & (end >= FRAME_HEAD)
            & (u16_at(IP_AT + 24) as usize + Ipv4::LEN == len as usize)
            & checksum::is_right(ip_header(head));
        let authenticator = head[GENEVE_AT + AUTHENTICATOR_AT..].first_chunk::<8>();
        let bare = authenticator == Some(&[0; 8]);
        let answer = way.answer.as_ref().filter(|_| same & sound)?;
        // Where no link has a key, there must be no authenticator; where one has, that is looked at by itself.
        if !bare && !matches!(answer, Answer::Keyed(_)) {
            return None;
        }
        let stream = u16_at(GENEVE_AT + STREAM_AT);
        let sequence = head.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let inner = if head[GENEVE_AT + 2] == 0x08 { IpVersion::V4 } else { IpVersion::V6 };
        let at = GENEVE_AT + EPOCH_AT;
        let word = u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let copies = head[GENEVE_AT + COPIES_AT] & COPIES_MASK;
        let (epoch, path_sequence) = ((word >> 24) as u8, word & PATH_SEQUENCE_MASK);
        Some((answer, Passing { end: end as u16, stream, sequence, inner, epoch, path_sequence, copies }))
    }

    /// Remembers the answer for a frame as [`Known::find`] takes it.
    #[cold]
    pub fn learn(&mut self, port: PortIndex, frame: &[u8], answer: Answer) {
        let Some(head) = frame.first_chunk::<FRAME_HEAD>() else { return };
        let (first, rest) = halves(head);
        self.ways[place(rest)] = Remembered {
            first: mask_first(first).to_array(),
            rest: mask_rest(rest).to_array(),
            port,
            answer: Some(answer),
        };
    }
}

impl Passing {
    /// Of a header that was read field by field, in a packet that ends there.
    pub fn of(header: &Header, end: u16) -> Passing {
        let Header { stream, sequence, inner, epoch, path_sequence, copies, .. } = *header;
        Passing { end, stream, sequence, inner, epoch, path_sequence, copies }
    }
}

#[inline(always)]
fn halves(head: &[u8; FRAME_HEAD]) -> (&[u8; 32], &[u8; 64]) {
    const { assert!(REST_AT + 64 == FRAME_HEAD && REST_AT <= 32) };
    // The lengths are right by the assertion; the fallbacks are never taken.
    (head.first_chunk().unwrap_or(&[0; 32]), head.last_chunk().unwrap_or(&[0; 64]))
}

#[inline(always)]
fn ip_header(head: &[u8; FRAME_HEAD]) -> &[u8; Ipv4::LEN] {
    head.get(IP_AT..).and_then(|rest| rest.first_chunk()).unwrap_or(&[0; Ipv4::LEN])
}

#[inline(always)]
fn mask_first(bytes: &[u8; 32]) -> u8x32 {
    u8x32::new(*bytes) & u8x32::new(MASK_FIRST)
}

#[inline(always)]
fn mask_rest(bytes: &[u8; 64]) -> u8x64 {
    u8x64::new(*bytes) & u8x64::new(MASK_REST)
}

/// By outer source, inner version, source and destination node, and path.
#[inline(always)]
fn place(rest: &[u8; 64]) -> usize {
    const OVERLAY: usize = GENEVE_AT - REST_AT;
    let word = |at: usize| u32::from_ne_bytes([rest[at], rest[at + 1], rest[at + 2], rest[at + 3]]) as u64;
    let (from, nodes, stream_and_path) = (word(0), word(OVERLAY + 16), word(OVERLAY + STREAM_AT));
    let inner = rest[OVERLAY + 3] as u64;
    // The path is in the high half, the stream below it is shifted out.
    let mixed = (nodes << 32 | from) ^ (stream_and_path >> 16 << 24) ^ inner << 40;
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - BITS)) as usize
}
