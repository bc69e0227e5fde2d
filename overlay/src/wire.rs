//! The overlay's header on the wire, version 1: GENEVE (RFC 8926) with a route and a stream option.
//!
//! ```text
//!  0                   1                   2                   3
//!  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |0 0|  10 words |0|1|  reserved |  type of the inner packet     |  0  GENEVE
//! |          overlay id (VNI)                     |   reserved    |  4
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |      class 0xff50             |  type 0x81    |0 0 0| 4 words |  8  route option
//! |version| copies| routing proto |   hop limit   |  link epoch   | 12
//! |          source node          |       destination node        | 16
//! |                       hop authenticator                       | 20
//! |                                                               | 24
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |      class 0xff50             |  type 0x82    |0 0 0| 4 words | 28  stream option
//! | sending worker|     bucket    |             path              | 32
//! |   key epoch   |                 path sequence                 | 36
//! |                           sequence                            | 40
//! |                                                               | 44
//! +-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//! |                     inner IP packet …                         | 48
//! ```
//!
//! This is what a sender writes. A receiver reads it with a few comparisons; any other arrangement that RFC 8926
//! allows (another order, options that it may skip) it reads option by option, to the same result.
//! `docs/protocol.md` has the rules, `docs/vectors` the test vectors.

mod binding;
mod extension;
mod hop;
mod order;
mod parity;
mod source_route;
pub mod trace;
mod walk;

pub use binding::{CARRIER, RECORD_LEN, Record, RecordKind};
pub use extension::{DATA_LEN_MAX as EXTENSIONS_LEN_MAX, Extensions};
pub use hop::{AUTHENTICATOR_AT, link_epoch, write_hop};
pub use order::{ORDER_DATA_LEN, ORDER_LEN, Order};
pub use parity::{PARITY_DATA_LEN, PARITY_LEN, Parity};
pub use source_route::{HOPS_MAX, SOURCE_ROUTE_LEN_MAX, SourceRoute};

use crate::protocol::Protocol;
use crate::topology::{IpVersion, NodeId, PathId};
use packet::Reason;

/// UDP destination port of GENEVE (RFC 8926 section 3.3).
pub const GENEVE_PORT: u16 = 6081;
/// First of the UDP source ports that carry a stream's entropy; the last is 65535 (RFC 8926 section 3.3).
pub const SOURCE_PORT_MIN: u16 = 49152;
/// Class of the overlay's options, from the range for experiments (RFC 8926 section 7).
pub const OPTION_CLASS: u16 = 0xff50;
/// Type of the route option; the high bit says that a receiver must understand it.
pub const TYPE_ROUTE: u8 = 0x81;
/// Type of the stream option; the high bit says that a receiver must understand it.
pub const TYPE_STREAM: u8 = 0x82;
/// Type of the order option; a receiver must understand it.
pub const TYPE_ORDER: u8 = 0x84;
/// Type of the source route option; a receiver must understand it.
pub const TYPE_SOURCE_ROUTE: u8 = 0x85;
/// Type of the parity option; a receiver must understand it.
pub const TYPE_PARITY: u8 = 0x86;
/// Version of the overlay's options.
pub const VERSION: u8 = 1;
/// Routing protocol: one copy on each of several node-disjoint paths.
pub const PROTOCOL_REPLICATE: u8 = Protocol::Replicate.id();
/// Hop limit that a sender writes.
pub const HOP_LIMIT_DEFAULT: u8 = 8;

/// Bytes of a GENEVE header without options.
pub const GENEVE_LEN: usize = 8;
/// Bytes of an option's header.
pub const OPTION_HEADER_LEN: usize = 4;
/// Bytes of data in the route option, and in the stream option.
pub const OPTION_DATA_LEN: usize = 16;
/// Bytes that a sender writes from the start of GENEVE to the inner packet.
pub const HEADER_LEN: usize = GENEVE_LEN + 2 * (OPTION_HEADER_LEN + OPTION_DATA_LEN);
/// Bytes that the overlay takes of an IPv4 underlay's MTU: IPv4, UDP, GENEVE with options.
pub const OVERHEAD_V4: usize = 20 + 8 + HEADER_LEN;
/// Bytes that the overlay takes of an IPv6 underlay's MTU: IPv6, UDP, GENEVE with options.
pub const OVERHEAD_V6: usize = 40 + 8 + HEADER_LEN;

/// Where the hop limit stands in a header as [`Header::write`] lays it out, bytes.
pub const HOP_LIMIT_AT: usize = 14;
/// Where the stream id stands in a header as [`Header::write`] lays it out, bytes.
pub const STREAM_AT: usize = 32;
/// Where the path stands in a header as [`Header::write`] lays it out, bytes.
pub const PATH_AT: usize = 34;
/// Where the key epoch stands in a header as [`Header::write`] lays it out, bytes; the path sequence follows it.
pub const EPOCH_AT: usize = 36;
/// Where the number of copies stands in a header as [`Header::write`] lays it out, bytes; in the low half.
pub const COPIES_AT: usize = 12;
/// The bits of a number of copies.
pub const COPIES_MASK: u8 = 0x0f;
/// The bits of a path sequence.
pub const PATH_SEQUENCE_MASK: u32 = 0xff_ffff;
/// Where the sequence stands in a header as [`Header::write`] lays it out, bytes.
pub const SEQUENCE_AT: usize = 40;

/// EtherType of IPv4, as GENEVE's protocol type.
const INNER_V4: u16 = 0x0800;
/// EtherType of IPv6, as GENEVE's protocol type.
const INNER_V6: u16 = 0x86dd;
/// Options, 32-bit words, in the sender's layout.
const OPTION_WORDS: u8 = ((HEADER_LEN - GENEVE_LEN) / 4) as u8;
/// GENEVE's O bit: a control packet, which is a probe of its path.
pub const CONTROL: u8 = 0x80;
/// Where GENEVE's O bit stands, bytes.
pub const CONTROL_AT: usize = 1;
/// GENEVE's C bit: critical options are present.
const CRITICAL: u8 = 0x40;
/// The route option's header in the sender's layout.
const ROUTE_HEAD: [u8; 4] = [(OPTION_CLASS >> 8) as u8, OPTION_CLASS as u8, TYPE_ROUTE, 4];
/// The stream option's header in the sender's layout.
const STREAM_HEAD: [u8; 4] = [(OPTION_CLASS >> 8) as u8, OPTION_CLASS as u8, TYPE_STREAM, 4];
/// Where the hop limit stands in the route option, bytes from the option's data.
const HOP_LIMIT_IN_ROUTE: usize = 2;

/// Everything that the overlay's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The overlay's number, 24 bits.
    pub vni: u32,
    /// Version of the inner packet, by GENEVE's protocol type. The inner packet itself is not looked at.
    pub inner: IpVersion,
    /// Routing protocol: the number of a [`Protocol`].
    pub protocol: u8,
    /// How many copies of the packet left its sender, 1 to 15; 0 where it does not say.
    pub copies: u8,
    /// How many more intermediates may forward the packet.
    pub hop_limit: u8,
    /// The node that put the packet into the overlay.
    pub source: NodeId,
    /// The node that takes it out again.
    pub destination: NodeId,
    /// Authenticator of the last hop; 0 on a link without a key.
    pub authenticator: u64,
    /// Stream among those from source to destination, see [`stream_id`].
    pub stream: u16,
    /// The path that this copy takes; 0 where its protocol has none.
    pub path: PathId,
    /// Key epoch of the sealed payload; 0 where it is not sealed.
    pub epoch: u8,
    /// The copy's number among all that its sender's worker sends to the destination over this path, 24 bits.
    pub path_sequence: u32,
    /// The packet's number in its stream, the same in all copies.
    pub sequence: u64,
}

/// A header and where a forwarder finds what it needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Located {
    /// The header's fields.
    pub header: Header,
    /// Where the hop limit stands, bytes from the start of GENEVE.
    pub hop_limit_at: usize,
    /// Where the inner packet starts, bytes from the start of GENEVE.
    pub inner_at: usize,
    /// A control packet (O): a probe, which the destination's control thread takes and no stream counts.
    pub control: bool,
    /// Where the options stand that only some protocols have.
    pub extensions: Extensions,
    /// The data of the first trace option, if there is one.
    pub trace: Option<TracePlace>,
}

/// Where the data of a trace option lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TracePlace {
    /// Where it starts, bytes from the start of GENEVE.
    pub at: u16,
    /// Bytes of it.
    pub len: u16,
}

impl Header {
    /// Reads a header, given the UDP payload. Returns it with the length of GENEVE and its options, bytes:
    /// where the inner packet starts.
    ///
    /// The overlay id and whether the nodes and the path exist are the caller's to check.
    ///
    /// # Errors
    /// The reason to drop the packet, see [`locate`].
    #[inline(always)]
    pub fn parse(geneve: &[u8]) -> Result<(Header, usize), Reason> {
        locate(geneve).map(|found| (found.header, found.inner_at))
    }

    /// Writes the header in the layout above. Of the overlay id, the low 24 bits are written.
    #[inline]
    pub fn write(&self, out: &mut [u8; HEADER_LEN]) {
        let inner = match self.inner {
            IpVersion::V4 => INNER_V4,
            IpVersion::V6 => INNER_V6,
        };
        out[0] = OPTION_WORDS;
        out[1] = CRITICAL;
        out[2..4].copy_from_slice(&inner.to_be_bytes());
        out[4..8].copy_from_slice(&(self.vni << 8).to_be_bytes());

        out[8..12].copy_from_slice(&ROUTE_HEAD);
        out[12..16].copy_from_slice(&[
            VERSION << 4 | self.copies & COPIES_MASK,
            self.protocol,
            self.hop_limit,
            0,
        ]);
        out[16..18].copy_from_slice(&self.source.0.to_be_bytes());
        out[18..20].copy_from_slice(&self.destination.0.to_be_bytes());
        out[20..28].copy_from_slice(&self.authenticator.to_be_bytes());

        out[28..32].copy_from_slice(&STREAM_HEAD);
        out[32..34].copy_from_slice(&self.stream.to_be_bytes());
        out[34..36].copy_from_slice(&self.path.0.to_be_bytes());
        let path_sequence = self.path_sequence & PATH_SEQUENCE_MASK;
        out[36..40].copy_from_slice(&((self.epoch as u32) << 24 | path_sequence).to_be_bytes());
        out[40..48].copy_from_slice(&self.sequence.to_be_bytes());
    }
}

/// Reads a header, given the UDP payload, and says where its hop limit and the inner packet stand.
///
/// # Errors
/// The reason to drop the packet, the first that applies:
/// - [`Reason::OverlayTruncated`]: shorter than GENEVE's header, or than the options it announces;
/// - [`Reason::OverlayVersion`]: GENEVE's version is not 0, or the route option's is not [`VERSION`];
/// - [`Reason::OverlayOption`]: no critical options announced (C), an unknown critical
///   option, or one of ours missing, twice there, of a wrong length or beyond the options' end;
/// - [`Reason::OverlayInner`]: the inner packet is announced as neither IPv4 nor IPv6;
/// - [`Reason::OverlayProtocol`]: the routing protocol is unknown;
/// - [`Reason::OverlayUnknownNode`], [`Reason::OverlayUnknownPath`]: node 0; path 0, or a path where the protocol has none;
/// - [`Reason::OverlayUnexpectedKey`]: an authenticator or a key epoch, which no link has a key for.
#[inline(always)]
pub fn locate(geneve: &[u8]) -> Result<Located, Reason> {
    let found = locate_keyed(geneve)?;
    if found.header.epoch != 0 || found.header.authenticator != 0 {
        return Err(Reason::OverlayUnexpectedKey);
    }
    Ok(found)
}

/// The same on a node that has keys: any authenticator and any key epoch are read. Whether they must be there, and
/// whether they hold, is the caller's to check.
///
/// # Errors
/// As [`locate`], but never [`Reason::OverlayUnexpectedKey`].
#[inline(always)]
pub fn locate_keyed(geneve: &[u8]) -> Result<Located, Reason> {
    match geneve.first_chunk::<HEADER_LEN>() {
        Some(bytes) if is_canonical(bytes) => {
            let route = chunk(bytes, GENEVE_LEN + OPTION_HEADER_LEN);
            let stream = chunk(bytes, HEADER_LEN - OPTION_DATA_LEN);
            let header = decode(chunk(bytes, 0), route, stream)?;
            let (hop_limit_at, inner_at, extensions) = (HOP_LIMIT_AT, HEADER_LEN, Extensions::default());
            extensions.check(header.protocol)?;
            Ok(Located { header, hop_limit_at, inner_at, control: false, extensions, trace: None })
        }
        _ => walk::locate(geneve),
    }
}

/// Takes one hop off a packet's hop limit, in place; `at` is [`Located::hop_limit_at`]. Returns what is left.
///
/// # Errors
/// [`Reason::OverlayHopLimit`] where the limit was 0 already; [`Reason::OverlayTruncated`] where `at` is beyond
/// the packet.
#[inline(always)]
pub fn decrement_hop_limit(geneve: &mut [u8], at: usize) -> Result<u8, Reason> {
    let limit = geneve.get_mut(at).ok_or(Reason::OverlayTruncated)?;
    *limit = limit.checked_sub(1).ok_or(Reason::OverlayHopLimit)?;
    Ok(*limit)
}

/// A stream's number: who sends it, and which share of that worker's clients it carries.
#[inline(always)]
pub const fn stream_id(worker: u8, bucket: u8) -> u16 {
    (worker as u16) << 8 | bucket as u16
}

/// The bucket of a stream's number.
#[inline(always)]
pub const fn bucket(stream: u16) -> u8 {
    stream as u8
}

/// The sending worker of a stream's number.
#[inline(always)]
pub const fn worker(stream: u16) -> u8 {
    (stream >> 8) as u8
}

/// The first sequence of a sender that starts at this time, Unix milliseconds: ahead of all that it sent in
/// former lives, as long as it stayed below 2^20 packets per millisecond and stream.
pub const fn initial_sequence(unix_ms: u64) -> u64 {
    unix_ms << 20
}

/// Whether these bytes are laid out as [`Header::write`] does; bits that a receiver ignores may differ. Control packets
/// are few, and read the general way.
#[inline(always)]
fn is_canonical(bytes: &[u8; HEADER_LEN]) -> bool {
    bytes[0] == OPTION_WORDS
        && bytes[1] & (CONTROL | CRITICAL) == CRITICAL
        && chunk::<4>(bytes, GENEVE_LEN) == &ROUTE_HEAD
        && chunk::<4>(bytes, HEADER_LEN - OPTION_DATA_LEN - OPTION_HEADER_LEN) == &STREAM_HEAD
}

/// The `N` bytes from `at` on. Both are constants at every call, so the check is gone once inlined.
#[inline(always)]
fn chunk<const N: usize>(bytes: &[u8; HEADER_LEN], at: usize) -> &[u8; N] {
    match bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        Some(found) => found,
        None => &[0; N],
    }
}

/// Reads the fields and refuses those that version 1 can not handle.
#[inline(always)]
fn decode(
    geneve: &[u8; GENEVE_LEN],
    route: &[u8; OPTION_DATA_LEN],
    stream: &[u8; OPTION_DATA_LEN],
) -> Result<Header, Reason> {
    // Five loads; the rest is shifts.
    let geneve = u64::from_be_bytes(*geneve);
    let [route, authenticator] = halves(route);
    let [stream, sequence] = halves(stream);
    if (route >> 60) as u8 != VERSION {
        return Err(Reason::OverlayVersion);
    }
    let inner = match (geneve >> 32) as u16 {
        INNER_V4 => IpVersion::V4,
        INNER_V6 => IpVersion::V6,
        _ => return Err(Reason::OverlayInner),
    };
    let header = Header {
        vni: geneve as u32 >> 8,
        inner,
        copies: (route >> 56) as u8 & COPIES_MASK,
        protocol: (route >> 48) as u8,
        hop_limit: (route >> 40) as u8,
        source: NodeId((route >> 16) as u16),
        destination: NodeId(route as u16),
        authenticator,
        stream: (stream >> 48) as u16,
        path: PathId((stream >> 32) as u16),
        epoch: (stream >> 24) as u8,
        path_sequence: stream as u32 & PATH_SEQUENCE_MASK,
        sequence,
    };
    let Some(protocol) = Protocol::of(header.protocol) else {
        return Err(Reason::OverlayProtocol);
    };
    if header.source.0 == 0 || header.destination.0 == 0 {
        Err(Reason::OverlayUnknownNode)
    } else if (header.path.0 != 0) != protocol.has_path() {
        Err(Reason::OverlayUnknownPath)
    } else {
        Ok(header)
    }
}

/// An option's data as two numbers.
#[inline(always)]
fn halves(data: &[u8; OPTION_DATA_LEN]) -> [u64; 2] {
    let data = u128::from_be_bytes(*data);
    [(data >> 64) as u64, data as u64]
}

#[cfg(test)]
mod tests;
