//! Nanoseconds to seal, to open, and to authenticate a hop: ours beside the raw library in the same loop, and what
//! else the hop authenticator could have been.
#![allow(clippy::unwrap_used, reason = "nothing to measure without it")]

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{cmac, hmac};
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use proa_overlay::keys::{End, Epoch, EpochSecret, derive};
use proa_overlay::seal::{HopKey, Opener, Sealer, Shared, tail};
use proa_overlay::topology::{IpVersion, NodeId, PathId};
use proa_overlay::wire::{Header, PROTOCOL_REPLICATE};
use siphasher::sip::{SipHasher13, SipHasher24};
use std::hint::black_box;
use std::time::Duration;

/// The thread's processor time, so that other work on the machine counts as little as possible.
fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Measures a closure that gets the number of the call.
fn measure(bench: &mut criterion::Bencher<'_>, mut run: impl FnMut(u64)) {
    bench.iter_custom(|times| {
        let start = now();
        (0..times).for_each(&mut run);
        now() - start
    });
}

fn ends() -> (End, End) {
    let end = |node| End { node: NodeId(node), epoch: Epoch(node as u64), public: [node as u8; 32] };
    (end(1), end(2))
}

fn shared(sequence: u64) -> Shared {
    Shared { protocol: PROTOCOL_REPLICATE, inner: IpVersion::V4, stream: 0x0107, sequence }
}

fn nonce(sequence: u64) -> Nonce {
    let mut nonce = [7; 12];
    nonce[4..].copy_from_slice(&sequence.to_be_bytes());
    Nonce::assume_unique_for_key(nonce)
}

fn sealing(criterion: &mut Criterion) {
    let (from, to) = ends();
    let keys = derive(&[3; 32], 1, &from, &to).unwrap();
    let sealer = Sealer::new(&keys, 1, &from, &to).unwrap();
    let opener = Opener::new(&keys, 1, &from, &to).unwrap();
    let raw = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &keys.seal).unwrap());
    let aad = [9; 16];
    for len in [64, 512, 1400] {
        let mut group = criterion.benchmark_group("seal");
        let mut packet = vec![0x45; len];
        group.bench_function(BenchmarkId::new("ours", len), |bench| {
            measure(bench, |number| {
                black_box(sealer.seal(&shared(number), black_box(&mut packet)).unwrap());
            });
        });
        group.bench_function(BenchmarkId::new("raw", len), |bench| {
            measure(bench, |number| {
                let aad = Aad::from(black_box(aad));
                let tag = raw.seal_in_place_separate_tag(nonce(number), aad, black_box(&mut packet));
                let _ = black_box(tag.unwrap());
            });
        });
        group.finish();
        // Opening needs a sealed packet each time: the copy is in both.
        let mut group = criterion.benchmark_group("open");
        let mut sealed = vec![0x45; len];
        let tag = sealer.seal(&shared(5), &mut sealed).unwrap();
        sealed.extend(tag);
        let mut buffer = sealed.clone();
        group.bench_function(BenchmarkId::new("ours", len), |bench| {
            measure(bench, |_| {
                buffer.copy_from_slice(black_box(&sealed));
                black_box(opener.open(&shared(5), &mut buffer).unwrap());
            });
        });
        let mut sealed = vec![0x45; len];
        let tag = raw.seal_in_place_separate_tag(nonce(5), Aad::from(aad), &mut sealed).unwrap();
        sealed.extend(tag.as_ref());
        group.bench_function(BenchmarkId::new("raw", len), |bench| {
            measure(bench, |_| {
                buffer.copy_from_slice(black_box(&sealed));
                black_box(raw.open_in_place(nonce(5), Aad::from(black_box(aad)), &mut buffer).unwrap());
            });
        });
        group.finish();
    }
}

fn hops(criterion: &mut Criterion) {
    let header = |sequence| Header {
        vni: 1,
        inner: IpVersion::V4,
        protocol: PROTOCOL_REPLICATE,
        copies: 0,
        hop_limit: 8,
        source: NodeId(1),
        destination: NodeId(4),
        authenticator: 0,
        stream: 7,
        path: PathId(2),
        epoch: 0x12,
        path_sequence: 7,
        sequence,
    };
    let key = HopKey::new([9; 16], 0x34);
    let mut group = criterion.benchmark_group("hop");
    for len in [64, 1400] {
        let packet = vec![0x45; len];
        group.bench_function(BenchmarkId::new("ours", len), |bench| {
            measure(bench, |number| {
                let hop = tail(black_box(&packet)).unwrap();
                black_box(key.authenticator(&header(number), &hop));
            });
        });
    }
    group.finish();

    // The alternatives, over as many bytes as ours covers, and over 64.
    let mut group = criterion.benchmark_group("hop primitive");
    let gmac = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &[9; 16]).unwrap());
    let cmac = cmac::Key::new(cmac::AES_128, &[9; 16]).unwrap();
    let hmac = hmac::Key::new(hmac::HMAC_SHA256, &[9; 16]);
    for len in [40, 64] {
        let mut input = vec![0x45; len];
        let mut one = |name: &str, run: &mut dyn FnMut(u64, &[u8]) -> u64| {
            group.bench_function(BenchmarkId::new(name, len), |bench| {
                measure(bench, |number| {
                    input[..8].copy_from_slice(&number.to_be_bytes());
                    black_box(run(number, black_box(&input)));
                });
            });
        };
        let first = |bytes: &[u8]| u64::from_be_bytes(*bytes.first_chunk().unwrap());
        let sip = black_box([9; 16]);
        one("SipHash-2-4", &mut |_, input| SipHasher24::new_with_key(&sip).hash(input));
        one("SipHash-1-3", &mut |_, input| SipHasher13::new_with_key(&sip).hash(input));
        one("AES-128-GMAC", &mut |number, input| {
            let tag = gmac.seal_in_place_separate_tag(nonce(number), Aad::from(input), &mut []).unwrap();
            first(tag.as_ref())
        });
        one("AES-128-CMAC", &mut |_, input| first(cmac::sign(&cmac, input).unwrap().as_ref()));
        one("BLAKE3 keyed", &mut |_, input| first(blake3::keyed_hash(&[9; 32], input).as_bytes()));
        one("HMAC-SHA-256", &mut |_, input| first(hmac::sign(&hmac, input).as_ref()));
    }
    group.finish();
}

fn agreement(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("control");
    let [ours, theirs] = [1, 2].map(|seed| EpochSecret::new(&[seed; 32]).unwrap());
    let (from, to) = ends();
    group.bench_function("agree and derive one direction", |bench| {
        measure(bench, |_| {
            let secret = ours.agree(&theirs.public()).unwrap();
            black_box(derive(&secret, 1, &from, &to).unwrap());
        });
    });
    group.finish();
}

criterion_group!(benches, sealing, hops, agreement);
criterion_main!(benches);
