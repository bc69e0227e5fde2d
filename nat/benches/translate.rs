//! Nanoseconds per packet and per session: looking up and translating in batches of 32 with staged prefetch, flows
//! in shuffled order; making sessions and forgetting them.
#![allow(clippy::unwrap_used, clippy::panic, reason = "nothing to measure without it")]

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use etherparse::PacketBuilder;
use packet::ip::{Packet, parse};
use packet::transport::TCP;
use packet::{Addr, IpVersion};
use proa_nat::{
    Config, Filtering, Key, Nat, NewSession, Rules, Seconds, ServiceId, SessionIndex, SessionView, Tag,
    Timeouts,
};
use std::hint::black_box;
use std::time::Duration;

/// The thread's processor time, so that other work on the machine counts as little as possible.
#[derive(Clone, Copy)]
struct Instant(Duration);

impl Instant {
    fn now() -> Instant {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Instant(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    }

    fn elapsed(self) -> Duration {
        Instant::now().0 - self.0
    }
}

const BATCH: usize = 32;
const NOW: Seconds = Seconds(1000);

fn v4(number: u32) -> Addr {
    Addr::from_v4(number.to_be_bytes())
}

fn v6(number: u32) -> Addr {
    Addr::from_v6((0x2001_0db8_u128 << 96 | number as u128).to_be_bytes())
}

fn address(version: IpVersion, number: u32) -> Addr {
    if version == IpVersion::V4 { v4(number) } else { v6(number) }
}

/// A permutation of `0..2^32`, to walk through flows in no order.
fn scatter(number: u32) -> u32 {
    let mut x = number.wrapping_mul(0x9e37_79b1);
    x ^= x >> 15;
    x = x.wrapping_mul(0x85eb_ca77);
    x ^ x >> 13
}

fn key(version: IpVersion, number: usize) -> Key {
    let mixed = scatter(number as u32);
    Key { client: address(version, mixed), port: (mixed >> 7) as u16, service: ServiceId(number as u32 % 64) }
}

fn session(version: IpVersion) -> NewSession {
    let (vip, origin) = (address(version, 0xc000_0201), address(version, 0x0a00_0001));
    NewSession {
        protocol: TCP,
        vip,
        vip_port: 443,
        origin,
        origin_port: 8443,
        tag: Tag(7),
        filtering: Filtering::default(),
    }
}

fn new_nat(sessions: usize, version: IpVersion) -> Nat {
    let addresses = (sessions as u32).div_ceil(32 * 1024);
    Nat::new(&Config {
        sessions_max: sessions,
        pool: (0..addresses).map(|number| address(version, 0x0a00_0100 + number)).collect(),
        worker: 0,
        workers: 1,
        rss: None,
        timeouts: Timeouts::default(),
        // Each session has a client of its own, and all places are used.
        rules: Rules { clients_max: sessions, reserve_percent: 0, quarantine_s: 0, ..Rules::default() },
        seed: 1,
    })
    .unwrap()
}

fn create(nat: &mut Nat, version: IpVersion, from: usize, count: usize) {
    let new = session(version);
    for first in (from..from + count).step_by(BATCH) {
        let keys: [Key; BATCH] = std::array::from_fn(|number| key(version, first + number));
        let hashes = keys.map(|key| nat.hash(&key));
        hashes.iter().for_each(|hash| nat.prefetch(*hash));
        for (key, hash) in keys.into_iter().zip(hashes) {
            black_box(nat.create(NOW, hash, key, new)).unwrap();
        }
    }
}

/// All sessions in shuffled order, their connections established.
fn shuffled(nat: &mut Nat, ack: &(Vec<u8>, Packet)) -> Vec<SessionView> {
    let mut views = Vec::new();
    assert_eq!(nat.list(0, usize::MAX, |view| views.push(view)), None);
    for view in &views {
        nat.reverse(NOW, view.index, &mut ack.0.clone(), &ack.1).unwrap();
        nat.forward(NOW, view.index, &mut ack.0.clone(), &ack.1).unwrap();
    }
    for place in (1..views.len()).rev() {
        views.swap(place, scatter(place as u32) as usize % (place + 1));
    }
    views
}

fn ack(version: IpVersion) -> (Vec<u8>, Packet) {
    let mut bytes = Vec::new();
    let builder = match version {
        IpVersion::V4 => PacketBuilder::ipv4([1, 2, 3, 4], [5, 6, 7, 8], 64),
        IpVersion::V6 => PacketBuilder::ipv6([1; 16], [2; 16], 64),
    };
    builder.tcp(1, 2, 3, 4).ack(5).write(&mut bytes, &[0; 6]).unwrap();
    let packet = parse(&bytes).unwrap();
    (bytes, packet)
}

/// Time of `packets` packets, batch after batch.
fn batches(packets: u64, len: usize, mut batch: impl FnMut(usize)) -> Duration {
    let batches = packets.div_ceil(BATCH as u64);
    let start = Instant::now();
    let mut at = 0;
    for _ in 0..batches {
        if at + BATCH > len {
            at = 0;
        }
        batch(at);
        at += BATCH;
    }
    start.elapsed().mul_f64(packets as f64 / (batches * BATCH as u64) as f64)
}

fn translate(criterion: &mut Criterion) {
    for version in [IpVersion::V4, IpVersion::V6] {
        let mut group = criterion.benchmark_group(format!("{version:?}"));
        let ack = ack(version);
        for sessions in [1 << 10, 1 << 16, 1 << 20] {
            let mut nat = new_nat(sessions, version);
            create(&mut nat, version, 0, sessions);
            let views = shuffled(&mut nat, &ack);
            let keys: Vec<_> = views.iter().map(|view| view.key).collect();
            let replies: Vec<_> = views
                .iter()
                .map(|view| (view.external, view.external_port, view.origin, view.origin_port))
                .collect();
            let mut buffers = vec![ack.0.clone(); BATCH];
            group.bench_function(BenchmarkId::new("forward", sessions), |bencher| {
                bencher.iter_custom(|packets| {
                    batches(packets, sessions, |at| {
                        let keys: &[Key; BATCH] = keys[at..].first_chunk().unwrap();
                        let mut hashes = [0; BATCH];
                        for (hash, key) in hashes.iter_mut().zip(keys) {
                            *hash = nat.hash(key);
                            nat.prefetch(*hash);
                        }
                        let guesses = hashes.map(|hash| nat.guess(hash));
                        for (at, buffer) in buffers.iter_mut().enumerate() {
                            let (session, _) = nat.find_guessed(guesses[at], hashes[at], &keys[at]).unwrap();
                            nat.forward(NOW, session, buffer, black_box(&ack.1)).unwrap();
                        }
                    })
                });
            });
            group.bench_function(BenchmarkId::new("reverse", sessions), |bencher| {
                bencher.iter_custom(|packets| {
                    batches(packets, sessions, |at| {
                        let replies: &[_; BATCH] = replies[at..].first_chunk().unwrap();
                        let slots = replies.map(|(external, port, ..)| {
                            let slot = nat.reverse_slot(external, TCP, port).unwrap();
                            nat.prefetch_reverse(slot);
                            slot
                        });
                        for slot in slots {
                            nat.guess_prefetch_reverse(slot);
                        }
                        for ((reply, slot), buffer) in replies.iter().zip(slots).zip(&mut buffers) {
                            let session: SessionIndex = nat.find_reverse(slot, reply.2, reply.3).unwrap();
                            nat.reverse(NOW, session, buffer, black_box(&ack.1)).unwrap();
                        }
                    })
                });
            });
        }
    }
}

/// Sessions made in an empty table and forgotten out of a full one, a million at a time.
fn churn(criterion: &mut Criterion) {
    const SESSIONS: usize = 1 << 20;
    const LATER: Seconds = Seconds(NOW.0 + 100_000);
    let mut group = criterion.benchmark_group("sessions");
    let mut nat = new_nat(SESSIONS, IpVersion::V4);
    let mut number = 0;
    group.bench_function("create", |bencher| {
        bencher.iter_custom(|sessions| {
            let mut time = Duration::ZERO;
            let mut left = (sessions as usize).next_multiple_of(BATCH);
            let total = left;
            while left > 0 {
                let count = left.min(SESSIONS);
                let start = Instant::now();
                create(&mut nat, IpVersion::V4, number, count);
                time += start.elapsed();
                nat.sweep(LATER, SESSIONS);
                number += count;
                left -= count;
            }
            time.mul_f64(sessions as f64 / total as f64)
        });
    });
    group.bench_function("forget", |bencher| {
        bencher.iter_custom(|sessions| {
            let mut time = Duration::ZERO;
            let total = (sessions as usize).next_multiple_of(SESSIONS);
            for _ in 0..total / SESSIONS {
                create(&mut nat, IpVersion::V4, number, SESSIONS);
                number += SESSIONS;
                let start = Instant::now();
                assert_eq!(nat.sweep(LATER, SESSIONS), SESSIONS);
                time += start.elapsed();
            }
            time.mul_f64(sessions as f64 / total as f64)
        });
    });
    // The longest of all sweeps while a million sessions end in one second: what a worker is away for at worst.
    group.bench_function("worst_sweep_of_256", |bencher| {
        bencher.iter_custom(|rounds| {
            create(&mut nat, IpVersion::V4, number, SESSIONS);
            number += SESSIONS;
            let mut worst = Duration::ZERO;
            while !nat.is_empty() {
                let start = Instant::now();
                nat.sweep(LATER, 256);
                worst = worst.max(start.elapsed());
            }
            worst.mul_f64(rounds as f64)
        });
    });
    create(&mut nat, IpVersion::V4, number, SESSIONS);
    group.bench_function("look_at", |bencher| {
        bencher.iter_custom(|sessions| {
            let start = Instant::now();
            for _ in 0..sessions.div_ceil(1 << 16) {
                assert_eq!(nat.sweep(NOW, 1 << 16), 0);
            }
            start.elapsed().mul_f64(sessions as f64 / (sessions.div_ceil(1 << 16) << 16) as f64)
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(20).measurement_time(Duration::from_secs(2));
    targets = translate, churn
}
criterion_main!(benches);
