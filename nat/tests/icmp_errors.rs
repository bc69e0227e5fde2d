//! ICMP errors in both directions: what each side gets is exactly an error about the packet that it sent itself.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed unwrap is a failed test")]

mod common;

use common::*;
use etherparse::PacketBuilder;
use packet::checksum::sum;
use packet::ip::parse;
use packet::transport::{TCP, UDP};
use packet::{Addr, IpVersion, Reason};
use proa_nat::*;
use proptest::prelude::*;

/// An ICMP error about `quote`; `kind` is one of unreachable, too big, time exceeded, parameter problem.
fn error(src: Addr, dst: Addr, kind: usize, rest: [u8; 4], quote: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if src.is_v4() {
        let (kind, code) = [(3, 1), (3, 4), (11, 0), (12, 0)][kind];
        PacketBuilder::ipv4(src.v4_bytes(), dst.v4_bytes(), 64)
            .icmpv4_raw(kind, code, rest)
            .write(&mut bytes, quote)
            .unwrap();
    } else {
        let (kind, code) = [(1, 4), (2, 0), (3, 0), (4, 1)][kind];
        PacketBuilder::ipv6(src.v6_bytes(), dst.v6_bytes(), 64)
            .icmpv6_raw(kind, code, rest)
            .write(&mut bytes, quote)
            .unwrap();
    }
    bytes
}

/// Sets the ICMP checksum right again after a change.
fn finish(bytes: &mut [u8]) {
    let at = parse(bytes).unwrap().transport_at as usize + 2;
    let (_, computed) = checksums(bytes);
    bytes[at..at + 2].copy_from_slice(&computed.to_be_bytes());
}

/// Where the quote starts.
fn quote_at(bytes: &[u8]) -> usize {
    parse(bytes).unwrap().transport_at as usize + 8
}

/// The rest of an error's header, with an MTU that a path may have where it is about one.
const MTU: [u8; 4] = [0, 0, 5, 0];

struct Case {
    nat: Nat,
    flow: Flow,
    index: SessionIndex,
    /// What the client sent, and what the origin got.
    request: Vec<u8>,
    forwarded: Vec<u8>,
    /// What the origin sent, and what the client got.
    reply: Vec<u8>,
    delivered: Vec<u8>,
}

fn case(version: IpVersion, protocol: u8) -> Case {
    let mut nat = nat();
    let flow = Flow::new(version, protocol, 7, 4321);
    let index = flow.create(&mut nat).unwrap();
    let request = flow.request(b"payload of the request");
    let mut forwarded = request.clone();
    forward(&mut nat, &flow, &mut forwarded);
    let reply = flow.reply(&parse(&forwarded).unwrap(), b"payload of the reply");
    let mut delivered = reply.clone();
    reverse(&mut nat, &mut delivered).unwrap();
    Case { nat, flow, index, request, forwarded, reply, delivered }
}

impl Case {
    fn external(&self) -> Addr {
        parse(&self.forwarded).unwrap().src
    }

    fn reverse_error(&self, bytes: &mut [u8]) -> Result<SessionIndex, Reason> {
        self.nat.reverse_error(bytes, &parse(bytes).unwrap())
    }

    fn forward_error(&self, bytes: &mut [u8]) -> Result<SessionIndex, Reason> {
        let flow = self.flow;
        let port = if matches!(flow.protocol, TCP | UDP) { flow.vip.1 } else { 0 };
        self.nat.forward_error(bytes, &parse(bytes).unwrap(), |vip, protocol, vip_port| {
            ((vip, protocol, vip_port) == (flow.vip.0, flow.protocol, port)).then_some(SERVICE)
        })
    }
}

/// A quote after its translation; half a TCP checksum can not be updated and stays.
fn cut_quote(protocol: u8, cut: usize, quote: &[u8], before: &[u8]) -> Vec<u8> {
    let mut quote = quote.to_vec();
    if protocol == TCP && cut == 9 {
        let last = quote.len() - 1;
        quote[last] = before[last];
    }
    quote
}

fn any_kind() -> impl Strategy<Value = (IpVersion, u8)> {
    proptest::sample::select(kinds())
}

proptest! {
    #[test]
    fn from_the_origin_side((version, protocol) in any_kind(), kind in 0..4usize, cut in 0usize..64,
                            from_origin: bool, rest: [u8; 2]) {
        let case = case(version, protocol);
        let router = if from_origin { case.flow.origin.0 } else { address(version, ROUTERS, 1) };
        let header = parse(&case.forwarded).unwrap().transport_at as usize;
        let len = case.forwarded.len().min(header + 8 + cut);
        let rest = [0, 0, rest[0] | 5, rest[1]];
        let mut bytes = error(router, case.external(), kind, rest, &case.forwarded[..len]);
        prop_assert_eq!(case.reverse_error(&mut bytes), Ok(case.index));
        let quote = cut_quote(protocol, cut, &case.request[..len], &case.forwarded);
        let expected = error(case.flow.vip.0, case.flow.client.0, kind, rest, &quote);
        parse_valid(&bytes);
        prop_assert_eq!(bytes, expected);
    }

    #[test]
    fn from_the_client_side((version, protocol) in any_kind(), kind in 0..4usize, cut in 0usize..64,
                            from_client: bool) {
        let case = case(version, protocol);
        let router = if from_client { case.flow.client.0 } else { address(version, ROUTERS, 1) };
        let header = parse(&case.delivered).unwrap().transport_at as usize;
        let len = case.delivered.len().min(header + 8 + cut);
        let mut bytes = error(router, case.flow.vip.0, kind, MTU, &case.delivered[..len]);
        prop_assert_eq!(case.forward_error(&mut bytes), Ok(case.index));
        let quote = cut_quote(protocol, cut, &case.reply[..len], &case.delivered);
        let expected = error(case.external(), case.flow.origin.0, kind, MTU, &quote);
        parse_valid(&bytes);
        prop_assert_eq!(bytes, expected);
    }

    #[test]
    fn no_bytes_panic((version, protocol) in any_kind(), inside: bool, cut in 0usize..120, repair: bool,
                      changes in proptest::collection::vec((0usize..120, any::<u8>()), 0..6)) {
        let case = case(version, protocol);
        let mut bytes = if inside {
            error(case.flow.client.0, case.flow.vip.0, 0, [0; 4], &case.delivered)
        } else {
            error(case.flow.origin.0, case.external(), 0, [0; 4], &case.forwarded)
        };
        let header = quote_at(&bytes) - 8;
        for (at, value) in changes {
            if let Some(byte) = bytes.get_mut(header + at) { *byte = value; }
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        if repair && parse(&bytes).is_ok() { finish(&mut bytes); }
        if let Ok(packet) = parse(&bytes) {
            for direction in [true, false] {
                let mut translated = bytes.clone();
                let result = if direction {
                    case.forward_error(&mut translated)
                } else {
                    case.nat.reverse_error(&mut translated, &packet)
                };
                match result {
                    Ok(_) => { parse_valid(&translated); }
                    Err(_) => prop_assert_eq!(&translated, &bytes),
                }
                // A packet that is taken for another one must not panic either.
                let mut nat = nat();
                case.flow.create(&mut nat).unwrap();
                let _ = nat.forward(NOW, case.index, &mut translated, &packet);
                let _ = nat.reverse(NOW, case.index, &mut translated[..cut.min(bytes.len())], &packet);
            }
        }
    }
}

#[test]
fn the_quoted_transport_checksum_is_not_validated() {
    for (version, protocol) in kinds() {
        let mut case = case(version, protocol);
        let at = parse(&case.forwarded).unwrap().transport_at as usize
            + if protocol == TCP {
                16
            } else if protocol == UDP {
                6
            } else {
                2
            };
        case.forwarded[at] ^= 0x40;
        let mut bytes = error(case.flow.origin.0, case.external(), 0, [0; 4], &case.forwarded);
        assert_eq!(case.reverse_error(&mut bytes), Ok(case.index));
        let quote = quote_at(&bytes);
        let wrong = |bytes: &[u8]| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
        assert_ne!(wrong(&bytes[quote..]), wrong(&case.request));
        parse_valid(&bytes);
    }
}

#[test]
fn a_quoted_udp_checksum_of_zero_stays() {
    let mut case = case(IpVersion::V4, UDP);
    case.forwarded[26..28].fill(0);
    let mut bytes = error(case.flow.origin.0, case.external(), 0, [0; 4], &case.forwarded);
    case.reverse_error(&mut bytes).unwrap();
    assert_eq!(bytes[28 + 26..28 + 28], [0, 0]);
    parse_valid(&bytes);
}

#[test]
fn wrong_checksums_are_dropped() {
    for (version, protocol) in kinds() {
        let case = case(version, protocol);
        let good = error(case.flow.origin.0, case.external(), 0, [0; 4], &case.forwarded);
        let mut bytes = good.clone();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        assert_eq!(case.reverse_error(&mut bytes), Err(Reason::IcmpChecksum));
        if version == IpVersion::V4 {
            let mut bytes = good.clone();
            bytes[28 + 8] ^= 1;
            finish(&mut bytes);
            assert_eq!(case.reverse_error(&mut bytes), Err(Reason::NatQuote));
        }
    }
}

/// The quoted packet's IPv4 header with `words` words of options.
fn with_options(packet: &[u8], words: usize) -> Vec<u8> {
    let mut bytes = packet[..20].to_vec();
    bytes.extend(std::iter::repeat_n([1, 1, 1, 1], words).flatten());
    bytes[0] = 0x45 + words as u8;
    let len = (packet.len() + words * 4) as u16;
    bytes[2..4].copy_from_slice(&len.to_be_bytes());
    bytes[10..12].fill(0);
    let checksum = !sum(&bytes);
    bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
    bytes.extend(&packet[20..]);
    bytes
}

#[test]
fn quoted_ip_options_are_skipped() {
    for protocol in [TCP, UDP, 1] {
        for words in 1..=10 {
            let case = case(IpVersion::V4, protocol);
            let quote = with_options(&case.forwarded, words);
            let mut bytes = error(case.flow.origin.0, case.external(), 2, [0; 4], &quote);
            assert_eq!(case.reverse_error(&mut bytes), Ok(case.index));
            parse_valid(&bytes);
            assert_eq!(bytes[28..], with_options(&case.request, words));
        }
    }
}

#[test]
fn extensions_stay_as_they_are() {
    // RFC 4884: the quote is padded to 128 bytes, its length given, and an extension structure follows.
    let extension = [0x20, 0, 0x12, 0x34, 0, 8, 1, 1, 0xab, 0xcd, 0xe1, 0x40];
    for (version, protocol) in kinds() {
        let case = case(version, protocol);
        let pad = |packet: &[u8]| {
            let mut quote = packet.to_vec();
            quote.resize(128, 0);
            quote.extend(extension);
            quote
        };
        let rest = if version == IpVersion::V4 { [0, 32, 0, 0] } else { [16, 0, 0, 0] };
        let kind = if version == IpVersion::V4 { 0 } else { 2 };
        let mut bytes = error(case.flow.origin.0, case.external(), kind, rest, &pad(&case.forwarded));
        assert_eq!(case.reverse_error(&mut bytes), Ok(case.index));
        parse_valid(&bytes);
        let quote = quote_at(&bytes);
        assert_eq!(bytes[quote..], pad(&case.request));
        // A quote that ends before the transport checksum, by the length given: the padding is no header.
        if version == IpVersion::V4 && protocol == TCP {
            let mut short = pad(&case.forwarded[..28]);
            short.drain(28..128);
            let mut bytes = error(case.flow.origin.0, case.external(), 0, [0, 7, 0, 0], &short);
            assert_eq!(case.reverse_error(&mut bytes), Ok(case.index));
            parse_valid(&bytes);
            assert_eq!(bytes[28 + 28..], extension);
        }
    }
}

#[test]
fn errors_without_a_session_or_a_true_addressee_are_dropped() {
    for (version, protocol) in kinds() {
        let case = case(version, protocol);
        let origin = case.flow.origin.0;
        let refused = |quote: &[u8], to: Addr| {
            case.reverse_error(&mut error(origin, to, 0, [0; 4], quote)).unwrap_err()
        };
        assert_eq!(refused(&case.forwarded, address(version, POOL, 99)), Reason::NatQuote);
        assert_eq!(refused(&case.forwarded[..27], case.external()), Reason::NatQuote);
        let other = End(address(version, ORIGINS, 50), 8080);
        let sent = parse(&case.forwarded).unwrap();
        let elsewhere = build(protocol, End(sent.src, sent.src_port), other, true, b"");
        assert_eq!(refused(&elsewhere, case.external()), Reason::NatWrongPeer);
        let unused = build(protocol, End(sent.src, 1023), End(origin, 8080), true, b"");
        assert_eq!(refused(&unused, case.external()), Reason::NatNoSession);
        // An error about an error, and about a protocol that is not translated.
        let nested = error(case.external(), origin, 0, [0; 4], &case.forwarded);
        assert_eq!(refused(&nested, case.external()), Reason::NatIcmp);
        let vip = case.flow.vip.0;
        let inside = |quote: &[u8]| case.forward_error(&mut error(case.flow.client.0, vip, 0, [0; 4], quote));
        let stranger = build(protocol, case.flow.vip, End(case.flow.client.0, 99), false, b"");
        assert_eq!(inside(&stranger), Err(Reason::NatNoSession));
        let mut not_an_error = case.flow.request(b"");
        let expected = Err(Reason::NatIcmp);
        assert_eq!(case.reverse_error(&mut not_an_error), expected);
    }
    let case = case(IpVersion::V4, UDP);
    let unknown = build(UDP, End(case.flow.vip.0, 81), case.flow.client, false, b"");
    let mut bytes = error(case.flow.client.0, case.flow.vip.0, 0, [0; 4], &unknown);
    assert_eq!(case.forward_error(&mut bytes), Err(Reason::UnknownService));
}

#[test]
fn a_quote_tells_where_its_error_belongs() {
    let case = case(IpVersion::V4, UDP);
    let bytes = error(case.flow.origin.0, case.external(), 0, [0; 4], &case.forwarded);
    let quote = Quote::of(&bytes, &parse(&bytes).unwrap()).unwrap();
    assert_eq!((quote.src, quote.protocol, quote.dst_port), (case.external(), UDP, 8080));
    assert_eq!(owner(quote.protocol, quote.src_port, 700), Some(5));
}

#[test]
fn forged_errors_are_dropped() {
    // Segments that the client has not sent of late, and MTUs that no path has.
    let case = case(IpVersion::V4, TCP);
    let about = |sequence: u32| {
        let mut quote = case.forwarded.clone();
        quote[24..28].copy_from_slice(&sequence.to_be_bytes());
        error(case.flow.origin.0, case.external(), 1, MTU, &quote)
    };
    let first = u32::from_be_bytes(*case.forwarded[24..28].first_chunk().unwrap());
    for (off, result) in [
        (0, Ok(case.index)),
        (-(1 << 24) + 100, Ok(case.index)),
        (-(1 << 25), Err(Reason::NatTcpSequence)),
        (1 << 22, Err(Reason::NatTcpSequence)),
        (1 << 31, Err(Reason::NatTcpSequence)),
    ] {
        let mut bytes = about((first as i64 + off) as u32);
        assert_eq!(case.reverse_error(&mut bytes), result, "{off}");
    }
    for (version, mtus) in [
        (IpVersion::V4, [(68, false), (575, false), (576, true), (0, true)]),
        (IpVersion::V6, [(68, false), (1279, false), (1280, true), (0, false)]),
    ] {
        let case = self::case(version, UDP);
        for (mtu, passes) in mtus {
            let rest = u32::to_be_bytes(mtu);
            let mut bytes = error(case.flow.origin.0, case.external(), 1, rest, &case.forwarded);
            let expected = if passes { Ok(case.index) } else { Err(Reason::NatMtuFloor) };
            assert_eq!(case.reverse_error(&mut bytes), expected, "{mtu}");
        }
    }
}

#[test]
fn errors_neither_end_nor_refresh_a_session() {
    for (version, protocol) in kinds() {
        let mut case = case(version, protocol);
        let left = |case: &Case, now| case.nat.session(case.index).unwrap().seconds_left(Seconds(now));
        let before = (left(&case, NOW.0), case.nat.session(case.index).unwrap());
        for kind in 0..4 {
            let mut bytes = error(case.flow.origin.0, case.external(), kind, MTU, &case.forwarded);
            case.reverse_error(&mut bytes).unwrap();
            let mut bytes = error(case.flow.client.0, case.flow.vip.0, kind, MTU, &case.delivered);
            case.forward_error(&mut bytes).unwrap();
        }
        assert_eq!((left(&case, NOW.0), case.nat.session(case.index).unwrap()), before);
        let mut bytes = case.request.clone();
        forward(&mut case.nat, &case.flow, &mut bytes);
        assert_eq!(bytes, case.forwarded);
    }
}
