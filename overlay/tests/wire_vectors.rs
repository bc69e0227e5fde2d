//! The codec against the test vectors of `docs/vectors`, both ways.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)] // a failed unwrap here is a failed test

mod vectors;

use packet::Reason;
use proa_overlay::wire::trace::{self, Trace};
use proa_overlay::wire::{self, HEADER_LEN, Header};
use std::collections::BTreeSet;
use vectors::{INVALID, VALID, read};

#[test]
fn valid_vectors_give_their_fields_and_fields_give_the_bytes() {
    let vectors = read(VALID);
    assert!(vectors.len() >= 10);
    for vector in &vectors {
        let expected = vector.located();
        assert_eq!(wire::locate(&vector.bytes), Ok(expected), "[{}]", vector.name);
        assert_eq!(
            Header::parse(&vector.bytes),
            Ok((expected.header, expected.inner_at)),
            "[{}]",
            vector.name
        );
        // What has extensions is written in two parts.
        if !expected.extensions.is_empty() {
            continue;
        }
        let mut written = [0xa5; HEADER_LEN];
        expected.header.write(&mut written);
        let canonical = vector.text("canonical") == "yes";
        assert_eq!(written[..] == vector.bytes[..expected.inner_at], canonical, "[{}]", vector.name);
        assert_eq!(
            wire::locate(&written).map(|found| found.header),
            Ok(expected.header),
            "[{}]",
            vector.name
        );
    }
}

#[test]
fn invalid_vectors_are_dropped_for_their_reason() {
    let vectors = read(INVALID);
    for vector in &vectors {
        assert_eq!(Header::parse(&vector.bytes), Err(vector.reason()), "[{}]", vector.name);
    }
    // Every reason that the codec gives has a vector.
    let shown: BTreeSet<Reason> = vectors.iter().map(|vector| vector.reason()).collect();
    let given = BTreeSet::from([
        Reason::OverlayTruncated,
        Reason::OverlayVersion,
        Reason::OverlayOption,
        Reason::OverlayProtocol,
        Reason::OverlayUnknownNode,
        Reason::OverlayUnknownPath,
        Reason::OverlayUnexpectedKey,
        Reason::OverlayInner,
    ]);
    assert_eq!(shown, given);
}

#[test]
fn trace_options_are_read_and_records_written_as_the_vectors_have_them() {
    let traced = |vector: &vectors::Vector| {
        let place = vector.located().trace?;
        Some(vector.bytes[place.at as usize..(place.at + place.len) as usize].to_vec())
    };
    let vectors = read(VALID);
    let data: Vec<_> = vectors.iter().filter_map(|vector| Some((vector, traced(vector)?))).collect();
    assert_eq!(data.len(), 5);
    for (vector, data) in &data {
        assert_eq!(Trace::parse(data), vector.trace(), "[{}]", vector.name);
    }
    let named = |name| &data.iter().find(|(vector, _)| vector.name == name).unwrap().1;
    let sent = named("trace-as-sent");
    let mut written = vec![0xa5; trace::option_len(2)];
    trace::write(&mut written, 2, 1_782_579_200_000_000_000);
    assert_eq!(&written[4..], sent);
    let later = vectors.iter().find(|vector| vector.name == "trace-after-one-hop").unwrap();
    let record = later.trace().unwrap().records[0];
    assert_eq!(trace::append(&mut written[4..], &record), Ok(trace::HEAD_LEN));
    assert_eq!(&written[4..], named(later.name));
}

#[test]
fn an_intermediate_changes_the_hop_limit_alone() {
    for vector in read(VALID) {
        let found = vector.located();
        let mut forwarded = vector.bytes.clone();
        match wire::decrement_hop_limit(&mut forwarded, found.hop_limit_at) {
            Ok(left) => {
                let header = Header { hop_limit: left, ..found.header };
                assert_eq!(left + 1, found.header.hop_limit, "[{}]", vector.name);
                assert_eq!(Header::parse(&forwarded), Ok((header, found.inner_at)), "[{}]", vector.name);
                forwarded[found.hop_limit_at] += 1;
            }
            Err(reason) => {
                assert_eq!((reason, found.header.hop_limit), (Reason::OverlayHopLimit, 0));
            }
        }
        assert_eq!(forwarded, vector.bytes, "[{}]", vector.name);
    }
}
