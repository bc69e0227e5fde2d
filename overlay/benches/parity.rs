//! Nanoseconds per data packet to add it to its group, to keep it at the receiver, and to rebuild a lost one.
#![allow(clippy::unwrap_used, reason = "nothing to measure without it")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use proa_overlay::elimination::StreamIndex;
use proa_overlay::parity::{Bounds, Coding, Decoder, Encoder, From, Kind, Member, Taken};
use proa_overlay::topology::{IpVersion, NodeId};
use proa_overlay::wire::Parity;
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

const KIND: Kind = Kind { version: IpVersion::V4, order: None };

fn member(sequence: u64, packets: u8, parity: u8) -> Member {
    let coding = Coding { packets, parity, wait_us: 1000 };
    Member { destination: 0, bucket: 7, sequence, epoch: 0, kind: KIND, coding, way: 0 }
}

/// With the parity packets' bytes written out, as a sender does.
fn encoding(criterion: &mut Criterion) {
    for len in [64, 512, 1400] {
        let mut group = criterion.benchmark_group("parity/encode");
        let packet = vec![0x45; len];
        for (packets, parity) in [(8, 1), (8, 2), (4, 2), (8, 4)] {
            let mut encoder = Encoder::default();
            encoder.reserve(1);
            let mut out = vec![0; 2000];
            let mut sequence = 0;
            group.bench_function(BenchmarkId::new(format!("{packets}+{parity}"), len), |bench| {
                measure(bench, |_| {
                    sequence += 1;
                    let member = member(sequence, packets, parity);
                    if let Some(at) = encoder.add(0, black_box(&member), black_box(&packet)) {
                        let closed = encoder.close(at).unwrap();
                        for index in 0..closed.parity {
                            let sum = encoder.sum(at, index).unwrap();
                            out[..sum.len()].copy_from_slice(sum);
                        }
                        black_box(&mut out);
                    }
                });
            });
        }
        group.finish();
    }
}

fn keeping(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parity/keep");
    for len in [64, 512, 1400] {
        let packet = vec![0x45; len];
        let mut decoder = Decoder::default();
        decoder.reserve(Bounds::default());
        let mut sequence = 0;
        group.bench_function(BenchmarkId::from_parameter(len), |bench| {
            measure(bench, |_| {
                sequence += 1;
                let copied = decoder.copy(&KIND, black_box(&packet)).unwrap();
                decoder.keep(copied, StreamIndex::default(), sequence);
            });
        });
    }
    group.finish();
}

/// A group of eight that lost as many as it has parity packets, from its first packet to its last: per group.
fn rebuilding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parity/group-of-8");
    for (lost, len) in [(0, 1400), (1, 64), (1, 1400), (2, 1400), (4, 1400)] {
        let packets: Vec<Vec<u8>> = (0..8).map(|number| vec![number; len]).collect();
        let mut encoder = Encoder::default();
        encoder.reserve(1);
        let count = lost.max(1) as u8;
        let full = packets
            .iter()
            .zip(0..)
            .map(|(packet, sequence)| encoder.add(0, &member(sequence, 8, count), packet));
        let at = full.flatten().last().unwrap();
        let closed = encoder.close(at).unwrap();
        let sums: Vec<Vec<u8>> = (0..count).map(|index| encoder.sum(at, index).unwrap().to_vec()).collect();
        let mut decoder = Decoder::default();
        decoder.reserve(Bounds::default());
        let place = StreamIndex::default();
        let from = From { place, source: NodeId(1), stream: 7, epoch: 0, path: 0 };
        group.bench_function(BenchmarkId::new(format!("lost-{lost}"), len), |bench| {
            measure(bench, |number| {
                let first = number * 64;
                for (step, packet) in (lost..8).zip(packets.iter().skip(lost as usize)) {
                    let copied = decoder.copy(&KIND, black_box(packet)).unwrap();
                    decoder.keep(copied, place, first + step);
                }
                for (index, sum) in (0..count).zip(&sums) {
                    let parity = Parity { index, count, members: closed.members };
                    let missing = |sequence| sequence - first < lost;
                    let taken = decoder.take(0, from, first, parity, sum, missing);
                    assert_ne!(taken, Taken::Malformed);
                }
                while decoder.rebuild(|_, _, shard| {
                    black_box(shard.payload);
                }) {}
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encoding, keeping, rebuilding);
criterion_main!(benches);
