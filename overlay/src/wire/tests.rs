use super::*;
use proptest::prelude::*;

fn header() -> Header {
    Header {
        vni: 1,
        inner: IpVersion::V4,
        protocol: PROTOCOL_REPLICATE,
        copies: 0,
        hop_limit: HOP_LIMIT_DEFAULT,
        source: NodeId(1),
        destination: NodeId(4),
        authenticator: 0,
        stream: stream_id(3, 7),
        path: PathId(2),
        epoch: 0,
        path_sequence: 0,
        sequence: initial_sequence(1_700_000_000_000),
    }
}

fn written(header: &Header) -> [u8; HEADER_LEN] {
    let mut bytes = [0xa5; HEADER_LEN];
    header.write(&mut bytes);
    bytes
}

/// An option of `words` words of data.
fn option(class: u16, kind: u8, words: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![(class >> 8) as u8, class as u8, kind, words];
    bytes.extend(data);
    bytes.resize(4 + usize::from(words) * 4, 0);
    bytes
}

/// A packet with these options behind a GENEVE header that announces them, and a byte of inner packet.
fn with_options(options: &[&[u8]]) -> Vec<u8> {
    let mut bytes = written(&header())[..GENEVE_LEN].to_vec();
    options.iter().for_each(|option| bytes.extend(*option));
    bytes[0] = ((bytes.len() - GENEVE_LEN) / 4) as u8;
    bytes.push(0x45);
    bytes
}

fn our_options() -> (Vec<u8>, Vec<u8>) {
    let bytes = written(&header());
    (bytes[8..28].to_vec(), bytes[28..48].to_vec())
}

#[test]
fn offsets_name_the_fields_they_promise() {
    let mut bytes = written(&header());
    let found = locate(&bytes).unwrap();
    assert_eq!((found.hop_limit_at, found.inner_at), (HOP_LIMIT_AT, HEADER_LEN));
    bytes[STREAM_AT..STREAM_AT + 2].copy_from_slice(&stream_id(9, 8).to_be_bytes());
    bytes[PATH_AT..PATH_AT + 2].copy_from_slice(&77u16.to_be_bytes());
    bytes[SEQUENCE_AT..SEQUENCE_AT + 8].copy_from_slice(&42u64.to_be_bytes());
    let (changed, _) = Header::parse(&bytes).unwrap();
    assert_eq!(changed, Header { stream: 0x0908, path: PathId(77), sequence: 42, ..header() });
    assert_eq!((worker(changed.stream), bucket(changed.stream)), (9, 8));
}

#[test]
fn the_hop_limit_ends_at_zero() {
    let mut bytes = written(&Header { hop_limit: 1, ..header() });
    let at = locate(&bytes).unwrap().hop_limit_at;
    assert_eq!(decrement_hop_limit(&mut bytes, at), Ok(0));
    assert_eq!(Header::parse(&bytes).unwrap().0.hop_limit, 0);
    assert_eq!(decrement_hop_limit(&mut bytes, at), Err(Reason::OverlayHopLimit));
    assert_eq!(bytes[at], 0);
    assert_eq!(decrement_hop_limit(&mut bytes, HEADER_LEN), Err(Reason::OverlayTruncated));
}

#[test]
fn any_order_and_unknown_options_that_may_be_skipped() {
    let (route, stream) = our_options();
    let skipped = option(OPTION_CLASS, 0x03, 2, &[1; 8]);
    let foreign = option(0x0102, TYPE_ROUTE & 0x7f, 0, &[]);
    for options in [
        [&stream[..], &route, &[]],
        [&skipped, &route, &stream],
        [&route, &skipped, &stream],
        [&stream, &route, &skipped],
        [&foreign, &stream, &route],
    ] {
        let mut packet = with_options(&options);
        let found = locate(&packet).unwrap();
        assert_eq!(found.header, header());
        assert_eq!(packet[found.inner_at], 0x45);
        decrement_hop_limit(&mut packet, found.hop_limit_at).unwrap();
        assert_eq!(locate(&packet).unwrap().header.hop_limit, HOP_LIMIT_DEFAULT - 1);
    }
}

#[test]
fn bits_that_a_receiver_ignores() {
    for (at, bits) in [(1, 0x3f), (7, 0xff), (15, 0xff)] {
        let mut bytes = written(&header());
        bytes[at] |= bits;
        assert_eq!(Header::parse(&bytes), Ok((header(), HEADER_LEN)), "byte {at}");
        assert!(is_canonical(&bytes), "byte {at}");
    }
    for at in [11, 31] {
        let mut bytes = written(&header());
        bytes[at] |= 0xe0;
        assert_eq!(Header::parse(&bytes), Ok((header(), HEADER_LEN)), "byte {at}");
    }
}

#[test]
fn a_control_packet_is_read_like_any_other_and_says_so() {
    let mut bytes = written(&header());
    assert!(!locate(&bytes).unwrap().control);
    bytes[CONTROL_AT] |= CONTROL;
    let found = locate(&bytes).unwrap();
    assert_eq!((found.header, found.control), (header(), true));
    bytes[CONTROL_AT] &= !CRITICAL;
    assert_eq!(locate(&bytes), Err(Reason::OverlayOption));
}

#[test]
fn malformed_options_are_refused() {
    let (route, stream) = our_options();
    let long = option(OPTION_CLASS, TYPE_STREAM, 5, &stream[4..]);
    let short = option(OPTION_CLASS, TYPE_ROUTE, 3, &route[4..16]);
    let empty = option(OPTION_CLASS, TYPE_ROUTE, 0, &[]);
    let unknown = option(OPTION_CLASS, 0x83, 0, &[]);
    let foreign = option(0x0102, TYPE_ROUTE, 4, &route[4..]);
    let overrun = option(OPTION_CLASS, 0x03, 0, &[]).iter().map(|b| b | 1).collect::<Vec<_>>();
    for options in [
        vec![],
        vec![&route[..]],
        vec![&stream],
        vec![&route, &route],
        vec![&route, &stream, &route],
        vec![&route, &stream, &stream],
        vec![&route, &long],
        vec![&short, &stream],
        vec![&empty, &stream],
        vec![&empty, &route, &stream],
        vec![&route, &unknown, &stream],
        vec![&foreign, &stream],
        vec![&route, &stream, &overrun],
    ] {
        assert_eq!(Header::parse(&with_options(&options)), Err(Reason::OverlayOption), "{options:x?}");
    }
}

#[test]
fn a_later_version_is_named_whatever_else_it_changed() {
    let (route, stream) = our_options();
    let mut later = option(OPTION_CLASS, TYPE_ROUTE, 6, &route[4..]);
    later[4] = 0x20;
    let unknown = option(OPTION_CLASS, 0x83, 1, &[]);
    for options in [vec![&later[..], &stream], vec![&unknown, &later], vec![&stream[..], &stream, &later]] {
        assert_eq!(Header::parse(&with_options(&options)), Err(Reason::OverlayVersion));
    }
}

#[test]
fn every_length_short_of_the_header_is_truncated() {
    let (route, stream) = our_options();
    let other = with_options(&[&stream, &route]);
    for bytes in [&written(&header())[..], &other[..HEADER_LEN]] {
        for len in 0..HEADER_LEN {
            assert_eq!(Header::parse(&bytes[..len]), Err(Reason::OverlayTruncated), "{len}");
        }
        assert!(Header::parse(bytes).is_ok());
    }
}

#[test]
fn single_fields_have_their_reasons() {
    let refused = |at: usize, value: u8| {
        let mut bytes = written(&header());
        bytes[at] = value;
        Header::parse(&bytes).unwrap_err()
    };
    assert_eq!(refused(0, 0x4a), Reason::OverlayVersion);
    assert_eq!(refused(0, 0x3f), Reason::OverlayTruncated);
    assert_eq!(refused(1, 0x00), Reason::OverlayOption);
    assert_eq!(refused(2, 0x65), Reason::OverlayInner);
    assert_eq!(refused(8, 0xfe), Reason::OverlayOption);
    assert_eq!(refused(12, 0x00), Reason::OverlayVersion);
    assert_eq!(refused(12, 0x20), Reason::OverlayVersion);
    assert_eq!(refused(13, 9), Reason::OverlayProtocol);
    assert_eq!(refused(13, 1), Reason::OverlayUnknownPath);
    assert_eq!(refused(13, 7), Reason::OverlayUnknownPath);
    assert_eq!(refused(17, 0), Reason::OverlayUnknownNode);
    assert_eq!(refused(19, 0), Reason::OverlayUnknownNode);
    assert_eq!(refused(27, 1), Reason::OverlayUnexpectedKey);
    assert_eq!(refused(35, 0), Reason::OverlayUnknownPath);
    assert_eq!(refused(36, 1), Reason::OverlayUnexpectedKey);
}

#[test]
fn a_restarted_sender_is_ahead_of_its_former_life() {
    let ten_seconds_at_full_rate = initial_sequence(1_700_000_000_000) + 10_000 * 100_000;
    assert!(initial_sequence(1_700_000_010_001) > ten_seconds_at_full_rate);
    assert!(initial_sequence(4_102_444_800_000) < u64::MAX / 4, "the year 2100 leaves room");
}

fn any_header() -> impl Strategy<Value = Header> {
    (
        0u32..1 << 24,
        any::<bool>(),
        any::<u8>(),
        1u16..,
        1u16..,
        any::<u16>(),
        1u16..,
        any::<u64>(),
        0u32..1 << 24,
    )
        .prop_map(|(vni, v6, hop_limit, source, destination, stream, path, sequence, path_sequence)| {
            Header {
                vni,
                inner: if v6 { IpVersion::V6 } else { IpVersion::V4 },
                hop_limit,
                source: NodeId(source),
                destination: NodeId(destination),
                stream,
                path: PathId(path),
                path_sequence,
                sequence,
                ..header()
            }
        })
}

proptest! {
    #[test]
    fn what_is_written_is_read(header in any_header()) {
        let bytes = written(&header);
        prop_assert!(is_canonical(&bytes));
        prop_assert_eq!(Header::parse(&bytes), Ok((header, HEADER_LEN)));
    }

    /// Every way to spoil a few bytes gives the same answer on the fast path as option by option.
    #[test]
    fn both_ways_to_read_agree(
        header in any_header(),
        spoilt in proptest::collection::vec((0..HEADER_LEN, any::<u8>()), 0..4),
        len in 0..=HEADER_LEN + 1,
    ) {
        let mut bytes = written(&header).to_vec();
        bytes.push(0x60);
        for (at, value) in spoilt {
            bytes[at] = value;
        }
        bytes.truncate(len);
        prop_assert_eq!(locate_keyed(&bytes), walk::locate(&bytes));
    }

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(found) = locate(&bytes) {
            prop_assert!(found.inner_at <= bytes.len() && found.hop_limit_at < found.inner_at);
        }
    }

    /// Options of every kind in every order: what is accepted holds exactly one of each of ours.
    #[test]
    fn no_option_list_panics(
        kinds in proptest::collection::vec((0usize..6, 0u8..7), 0..7),
        cut in 0usize..300,
    ) {
        let (route, stream) = our_options();
        let options: Vec<Vec<u8>> = kinds.iter().map(|&(kind, words)| match kind {
            0 | 1 => route.clone(),
            2 | 3 => stream.clone(),
            4 => option(OPTION_CLASS, words, words, &[]),
            _ => option(OPTION_CLASS, 0x80 | words, words, &[]),
        }).collect();
        let slices: Vec<&[u8]> = options.iter().map(Vec::as_slice).collect();
        let mut packet = with_options(&slices);
        packet.truncate(cut);
        if Header::parse(&packet).is_ok() {
            prop_assert_eq!(kinds.iter().filter(|(kind, _)| *kind < 2).count(), 1);
            prop_assert_eq!(kinds.iter().filter(|(kind, _)| (2..4).contains(kind)).count(), 1);
            prop_assert!(kinds.iter().all(|(kind, _)| *kind < 5));
        }
    }
}
