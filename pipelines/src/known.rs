//! Ways of overlay packets through this node that have been checked once and are remembered.
//!
//! Almost everything that admission asks about an overlay packet (is its sender a member, does its path lead through
//! here, did it come from the hop before, are its options laid out as a sender writes them) depends on the same 44
//! bytes of its headers. The answer is kept under these bytes, so that the next packet of the same sender, path and
//! end is admitted by one comparison. It is no flow state: there are as many answers as pairs of a path and a neighbour,
//! each follows from the tables alone, and a new snapshot forgets them all.

use crate::intermediate::Transit;
use crate::terminate::Way;
use overlay::wire::Header;
use packet::ip::Ipv4;
use packet::{IpVersion, ethernet};
use wide::u8x64;

/// Ways that are remembered; one more takes the place of another.
const PLACES: usize = 1024;
const BITS: u32 = PLACES.ilog2();
/// Where GENEVE starts in a frame that is untagged, of IPv4 without options.
pub const GENEVE_AT: usize = ethernet::HEADER_LEN + Ipv4::LEN + 8;
/// Bytes of such a frame before the inner packet.
pub const FRAME_HEAD: usize = GENEVE_AT + overlay::wire::HEADER_LEN;
/// Where the compared bytes start: at the outer source address.
const AT: usize = ethernet::HEADER_LEN + 12;

/// What a way leads to.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// On to the next node.
    Transit(Transit),
    /// Out of the overlay.
    Arrival(Way),
}

/// What differs between packets of one way.
#[derive(Clone, Copy, Debug)]
pub struct Passing {
    /// Their stream.
    pub stream: u16,
    /// Their number in it.
    pub sequence: u64,
    /// Version of the inner packet.
    pub inner: IpVersion,
}

/// The ways that one worker remembers.
pub struct Known {
    heads: Box<[[u8; 64]]>,
    answers: Box<[Option<Answer>]>,
}

/// The bytes that decide, from [`AT`] on: ones where they are compared.
const MASK: [u8; 64] = {
    let mut mask = [0xff; 64];
    // UDP: source port, length and checksum.
    clear(&mut mask, 34, 36);
    clear(&mut mask, 38, 42);
    // Hop limit, stream, sequence.
    clear(&mut mask, GENEVE_AT + overlay::wire::HOP_LIMIT_AT, GENEVE_AT + overlay::wire::HOP_LIMIT_AT + 1);
    clear(&mut mask, GENEVE_AT + overlay::wire::STREAM_AT, GENEVE_AT + overlay::wire::STREAM_AT + 2);
    clear(&mut mask, GENEVE_AT + overlay::wire::SEQUENCE_AT, GENEVE_AT + overlay::wire::SEQUENCE_AT + 8);
    mask
};

const fn clear(mask: &mut [u8; 64], from: usize, to: usize) {
    let mut at = from;
    while at < to {
        mask[at - AT] = 0;
        at += 1;
    }
}

impl Default for Known {
    fn default() -> Known {
        Known { heads: vec![[0; 64]; PLACES].into(), answers: vec![None; PLACES].into() }
    }
}

impl Known {
    /// Forgets everything, as a new snapshot demands.
    pub fn forget(&mut self) {
        self.answers.fill(None);
    }

    /// The answer for a frame whose outer headers are plain and whose UDP destination port is GENEVE's.
    #[inline(always)]
    pub fn find(&self, frame: &[u8]) -> Option<(&Answer, Passing)> {
        let head = frame.first_chunk::<FRAME_HEAD>()?;
        let bytes = decisive(head);
        let place = place(bytes);
        let same = masked(bytes).simd_eq(u8x64::new(*self.heads.get(place)?)).all();
        let answer = self.answers.get(place)?.as_ref().filter(|_| same)?;
        Some((answer, Passing::of(head)))
    }

    /// Remembers the answer for a frame as [`Known::find`] takes it.
    #[cold]
    pub fn learn(&mut self, frame: &[u8], answer: Answer) {
        let Some(head) = frame.first_chunk::<FRAME_HEAD>() else { return };
        let bytes = decisive(head);
        let place = place(bytes);
        self.heads[place] = masked(bytes).to_array();
        self.answers[place] = Some(answer);
    }
}

impl From<&Header> for Passing {
    fn from(header: &Header) -> Passing {
        let Header { stream, sequence, inner, .. } = *header;
        Passing { stream, sequence, inner }
    }
}

impl Passing {
    #[inline(always)]
    fn of(head: &[u8; FRAME_HEAD]) -> Passing {
        let at = GENEVE_AT + overlay::wire::STREAM_AT;
        let stream = u16::from_be_bytes([head[at], head[at + 1]]);
        let mut sequence = [0; 8];
        sequence.copy_from_slice(&head[GENEVE_AT + overlay::wire::SEQUENCE_AT..FRAME_HEAD]);
        let v4 = head[GENEVE_AT + 2] == 0x08;
        Passing {
            stream,
            sequence: u64::from_be_bytes(sequence),
            inner: if v4 { IpVersion::V4 } else { IpVersion::V6 },
        }
    }
}

#[inline(always)]
fn decisive(head: &[u8; FRAME_HEAD]) -> &[u8; 64] {
    const { assert!(AT + 64 == FRAME_HEAD) };
    // The length is right by the assertion; the fallback is never taken.
    head.last_chunk::<64>().unwrap_or(&[0; 64])
}

#[inline(always)]
fn masked(bytes: &[u8; 64]) -> u8x64 {
    u8x64::new(*bytes) & u8x64::new(MASK)
}

/// By outer source, inner version, source and destination node, and path.
#[inline(always)]
fn place(bytes: &[u8; 64]) -> usize {
    let word = |at: usize| {
        u32::from_ne_bytes([bytes[at - AT], bytes[at + 1 - AT], bytes[at + 2 - AT], bytes[at + 3 - AT]])
    };
    let (from, nodes) = (word(AT), word(GENEVE_AT + 16));
    let path = u16::from_ne_bytes([bytes[GENEVE_AT + 34 - AT], bytes[GENEVE_AT + 35 - AT]]);
    let inner = bytes[GENEVE_AT + 3 - AT];
    let mixed = ((nodes as u64) << 32 | from as u64) ^ ((path as u64) << 24 | (inner as u64) << 40);
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - BITS)) as usize
}
