//! ICMP errors that the node owes as an IP hop, built in place of the packet that caused them.
//!
//! Whoever forges a source has the errors sent to somebody else, so they must never add up to more bytes than came in for
//! them. A quote is cut to what leaves the error no longer than its packet, though not below what RFC 792 and RFC 4443
//! need to find the sender's socket: the IP header and eight bytes. What is longer even so (an IPv6 packet of less than 96
//! bytes, an IPv4 packet of less than 56) is paid for by packets that were not answered.

use crate::source_limit::SourceLimit;
use foldhash::fast::FixedState;
use packet::checksum;
use packet::icmp;
use packet::ip::{Fragment, Ipv4, Ipv6, Packet};
use packet::transport::{ICMP, ICMPV6};
use packet::{Addr, Headers, IpVersion, PacketBuf, Reason};
use std::hash::BuildHasher;

/// What to tell the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// TTL or hop limit ran out here.
    TimeExceeded,
    /// The packet may have at most this many bytes.
    TooBig(u16),
}

impl Answer {
    /// What happened to the packet that is answered.
    pub fn reason(self) -> Reason {
        match self {
            Answer::TimeExceeded => Reason::TtlExpired,
            Answer::TooBig(_) => Reason::TooBig,
        }
    }
}

/// Bytes of an ICMP error at most (RFC 1812 section 4.3.2.3; RFC 4443 section 2.4 (c)).
const LEN_MAX_V4: usize = 576;
const LEN_MAX_V6: usize = 1280;
/// TTL of errors.
const TTL: u8 = 64;

/// Bytes of headers before the quote.
const HEAD_V4: usize = Ipv4::LEN + 8;
const HEAD_V6: usize = Ipv6::LEN + 8;

/// Bytes of a packet that an error about it quotes, and of that error.
fn lengths(packet: &Packet) -> (usize, usize) {
    let (head, most) = match packet.version {
        IpVersion::V4 => (HEAD_V4, LEN_MAX_V4),
        IpVersion::V6 => (HEAD_V6, LEN_MAX_V6),
    };
    let len = packet.len as usize;
    let least = packet.transport_at as usize + 8;
    let quote = len.saturating_sub(head).max(least).min(most - head).min(len);
    (quote, head + quote)
}

/// Limits the errors that one worker sends: in all, for each source, and in bytes.
pub struct Answers {
    all: TokenBucket,
    sources: SourceLimit,
    /// Bytes that came for nothing, by the sources' hash.
    credits: Box<[u16]>,
    hasher: FixedState,
}

/// Places of credits.
const CREDITS: usize = 1024;
/// Most bytes of credit: enough for the shortest packets, too little to save up for a burst.
const CREDIT_MAX: u64 = 128;

impl Answers {
    /// So many a second in all, and an eighth of that for each source.
    pub fn new(per_second: u64, seed: u64) -> Answers {
        let each = u32::try_from(per_second / 8).unwrap_or(u32::MAX);
        Answers {
            all: TokenBucket::new(per_second),
            sources: SourceLimit::new(each, seed),
            credits: vec![0; CREDITS].into_boxed_slice(),
            hasher: FixedState::with_seed(seed.rotate_left(7)),
        }
    }

    /// Whether this packet may be answered.
    pub fn take(&mut self, now_ns: u64, packet: &Packet) -> bool {
        let place = self.hasher.hash_one(packet.src.to_bits()) as usize % CREDITS;
        let Some(credit) = self.credits.get_mut(place) else { return false };
        let have = u64::from(packet.len) + u64::from(*credit);
        let (_, need) = lengths(packet);
        let affordable = have >= need as u64;
        if affordable && !(self.sources.take(now_ns, packet.src) && self.all.take(now_ns)) {
            return false;
        }
        let left = if affordable { have - need as u64 } else { have };
        *credit = left.min(CREDIT_MAX) as u16;
        affordable
    }
}

/// Limits a rate: so many a second, and as many at once.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    per_second: u64,
    tokens: u64,
    filled_ns: u64,
}

impl TokenBucket {
    /// A full bucket.
    pub fn new(per_second: u64) -> TokenBucket {
        TokenBucket { per_second, tokens: per_second, filled_ns: 0 }
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now_ns: u64) -> bool {
        let elapsed_ns = now_ns.saturating_sub(self.filled_ns);
        let earned = (elapsed_ns as u128 * self.per_second as u128 / 1_000_000_000) as u64;
        if earned > 0 {
            self.tokens = self.tokens.saturating_add(earned).min(self.per_second);
            self.filled_ns = now_ns;
        }
        let taken = self.tokens > 0;
        self.tokens -= taken as u64;
        taken
    }
}

/// Whether an error about this packet may be sent at all: not about ICMP errors, later fragments, or packets that
/// no single host sent (RFC 1122 section 3.2.2, RFC 4443 section 2.4 (e)).
pub fn may_answer(packet: &Packet) -> bool {
    let icmp = matches!(packet.protocol, ICMP | ICMPV6);
    let query = matches!(packet.icmp_kind(), icmp::Kind::EchoRequest | icmp::Kind::EchoReply);
    packet.fragment != Fragment::Later && packet.source_is_forwardable() && (!icmp || query)
}

/// Turns a packet into the error about it, from `source` to the packet's sender. The buffer holds the IP packet and
/// nothing else, and so it does afterwards. Says whether there was room.
pub fn turn_into<B: PacketBuf>(buf: &mut B, packet: &Packet, answer: Answer, source: Addr) -> bool {
    match packet.version {
        IpVersion::V4 => {
            buf.truncate(lengths(packet).0);
            let (kind, code, rest) = match answer {
                Answer::TimeExceeded => (icmp::V4_TIME_EXCEEDED, 0, [0; 4]),
                Answer::TooBig(mtu) => {
                    let [high, low] = mtu.to_be_bytes();
                    (icmp::V4_UNREACHABLE, icmp::V4_CODE_FRAGMENTATION_NEEDED, [0, 0, high, low])
                }
            };
            prepend_icmp(buf, kind, code, rest, 0)
                && prepend_v4(buf, source.v4_bytes(), packet.src.v4_bytes())
        }
        IpVersion::V6 => {
            buf.truncate(lengths(packet).0);
            let (kind, rest) = match answer {
                Answer::TimeExceeded => (icmp::V6_TIME_EXCEEDED, [0; 4]),
                Answer::TooBig(mtu) => (icmp::V6_TOO_BIG, (mtu as u32).to_be_bytes()),
            };
            let pseudo = checksum::pseudo_header(source, packet.src, ICMPV6, buf.len() as u32 + 8);
            prepend_icmp(buf, kind, 0, rest, pseudo)
                && prepend_v6(buf, source.v6_bytes(), packet.src.v6_bytes())
        }
    }
}

fn prepend_icmp<B: PacketBuf>(buf: &mut B, kind: u8, code: u8, rest: [u8; 4], pseudo: u16) -> bool {
    if buf.prepend(8).is_err() {
        return false;
    }
    let message = buf.data_mut();
    message[..4].copy_from_slice(&[kind, code, 0, 0]);
    message[4..8].copy_from_slice(&rest);
    let sum = !checksum::sum_onto(pseudo, message);
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    true
}

fn prepend_v4<B: PacketBuf>(buf: &mut B, src: [u8; 4], dst: [u8; 4]) -> bool {
    if buf.prepend(Ipv4::LEN).is_err() {
        return false;
    }
    let bytes = buf.data_mut();
    let len = (bytes.len() as u16).to_be_bytes();
    bytes[..12].copy_from_slice(&[0x45, 0xc0, len[0], len[1], 0, 0, 0x40, 0, TTL, ICMP, 0, 0]);
    bytes[12..16].copy_from_slice(&src);
    bytes[16..20].copy_from_slice(&dst);
    let sum = !checksum::sum(&bytes[..Ipv4::LEN]);
    bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    true
}

fn prepend_v6<B: PacketBuf>(buf: &mut B, src: [u8; 16], dst: [u8; 16]) -> bool {
    let len = (buf.len() as u16).to_be_bytes();
    if buf.prepend(Ipv6::LEN).is_err() {
        return false;
    }
    let bytes = buf.data_mut();
    bytes[..8].copy_from_slice(&[0x60, 0, 0, 0, len[0], len[1], ICMPV6, TTL]);
    bytes[8..24].copy_from_slice(&src);
    bytes[24..40].copy_from_slice(&dst);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::heap::HeapBuf;
    use packet::ip;

    fn udp(version: IpVersion, payload: usize) -> Vec<u8> {
        let len = 8 + payload;
        let mut bytes = match version {
            IpVersion::V4 => {
                let total = ((20 + len) as u16).to_be_bytes();
                let mut head =
                    vec![0x45, 0, total[0], total[1], 0, 0, 0, 0, 1, 17, 0, 0, 192, 0, 2, 1, 203, 0, 113, 9];
                let sum = !checksum::sum(&head);
                head[10..12].copy_from_slice(&sum.to_be_bytes());
                head
            }
            IpVersion::V6 => {
                let payload = (len as u16).to_be_bytes();
                let mut head = vec![0x60, 0, 0, 0, payload[0], payload[1], 17, 1];
                head.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
                head.extend([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9]);
                head
            }
        };
        bytes.extend([0, 1, 0, 2]);
        bytes.extend((len as u16).to_be_bytes());
        bytes.extend(vec![0; 2 + payload]);
        bytes
    }

    #[test]
    fn errors_quote_the_packet_and_their_checksums_hold() {
        for (version, kinds, most) in [
            (IpVersion::V4, [icmp::V4_TIME_EXCEEDED, icmp::V4_UNREACHABLE], LEN_MAX_V4),
            (IpVersion::V6, [icmp::V6_TIME_EXCEEDED, icmp::V6_TOO_BIG], LEN_MAX_V6),
        ] {
            for (answer, kind) in [Answer::TimeExceeded, Answer::TooBig(1400)].into_iter().zip(kinds) {
                for payload in [0, 3, 1400] {
                    let original = udp(version, payload);
                    let mut buf = HeapBuf::detached(&original);
                    let packet = ip::parse(&original).unwrap();
                    let source = packet.dst;
                    assert!(turn_into(&mut buf, &packet, answer, source));
                    let error = ip::parse(buf.data()).unwrap();
                    assert_eq!((error.src, error.dst, error.detail), (source, packet.src, kind));
                    assert!(buf.len() <= most);
                    assert!(!may_answer(&error) && may_answer(&packet));
                    let message = &buf.data()[error.transport_at as usize..];
                    assert!(original.starts_with(&message[8..]));
                    let pseudo = match version {
                        IpVersion::V4 => 0,
                        IpVersion::V6 => {
                            checksum::pseudo_header(error.src, error.dst, ICMPV6, message.len() as u32)
                        }
                    };
                    assert_eq!(checksum::sum_onto(pseudo, message), 0xffff);
                }
            }
        }
    }

    #[test]
    fn a_bucket_bounds_the_rate() {
        let mut bucket = TokenBucket::new(100);
        let taken = |bucket: &mut TokenBucket, now_ns| (0..1000).filter(|_| bucket.take(now_ns)).count();
        assert_eq!(taken(&mut bucket, 1), 100);
        assert_eq!(taken(&mut bucket, 500_000_000), 49 + 1);
        assert_eq!(taken(&mut bucket, 10_000_000_000), 100);
    }

    #[test]
    fn errors_never_add_up_to_more_than_what_caused_them() {
        for version in [IpVersion::V4, IpVersion::V6] {
            for payload in [0, 1, 12, 30, 47, 48, 49, 500, 1400] {
                let mut answers = Answers::new(1_000_000, 3);
                let original = udp(version, payload);
                let packet = ip::parse(&original).unwrap();
                let (mut received, mut sent, mut answered) = (0, 0, 0);
                for at in 0..1000 {
                    received += original.len();
                    if answers.take(at * 1_000_000, &packet) {
                        let mut buf = HeapBuf::detached(&original);
                        assert!(turn_into(&mut buf, &packet, Answer::TimeExceeded, packet.dst));
                        (sent, answered) = (sent + buf.len(), answered + 1);
                    }
                    assert!(sent <= received, "{version:?} {payload}: {sent} for {received}");
                }
                // The shortest there are: 28 bytes, of whose packets every second is answered.
                assert!(answered >= 500, "{version:?} {payload}: {answered}");
            }
        }
    }

    #[test]
    fn a_source_that_floods_leaves_the_others_their_errors() {
        let mut answers = Answers::new(1000, 3);
        let (mut flood, mut other) = (udp(IpVersion::V4, 100), udp(IpVersion::V4, 100));
        let packet = ip::parse(&flood).unwrap();
        let answered = (0..10_000u64).filter(|at| answers.take(1 + at * 100_000, &packet)).count();
        assert!((120..=140).contains(&answered), "{answered}");
        let answered = (1..=200u8).filter(|host| {
            other[12..16].copy_from_slice(&[198, 51, 100, *host]);
            other[10..12].fill(0);
            let sum = !checksum::sum(&other[..20]);
            other[10..12].copy_from_slice(&sum.to_be_bytes());
            answers.take(1_000_000_000, &ip::parse(&other).unwrap())
        });
        assert!(answered.count() >= 199);
        flood.clear();
    }
}
