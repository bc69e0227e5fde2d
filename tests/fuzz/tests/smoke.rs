//! Every target over its corpus, and for a while over mutations of it: what `cargo test` can do without libFuzzer.
//!
//! `PROA_FUZZ_SECONDS` says for how long (default 2 for each target), `PROA_FUZZ_SEED` where the mutations start.
//! `PROA_WRITE_CORPUS=1` writes the seeds to the corpus.

use proa_fuzz::{TARGETS, Target, seeds};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = folder("corpus").join(target);
    if std::env::var_os("PROA_WRITE_CORPUS").is_some() {
        std::fs::create_dir_all(&folder).unwrap();
        for (name, bytes) in seeds::of(target, &Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")) {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
    }
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Runs one input; a failing one is kept, and named.
fn run((name, target): Target, input: &[u8]) {
    if catch_unwind(|| target(input)).is_err() {
        let folder = folder("artifacts");
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join(format!("{name}-smoke"));
        std::fs::write(&file, input).unwrap();
        panic!("{name} fails on {}", file.display());
    }
}

/// A generator of numbers that is the same everywhere (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Spoils an input in a few places, or joins it with another.
fn mutate(corpus: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    const TELLING: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, 0x40, 4, 5];
    let mut input = corpus[numbers.below(corpus.len())].clone();
    for _ in 0..1 + numbers.below(6) {
        let at = numbers.below(input.len());
        match numbers.below(7) {
            _ if input.is_empty() => input.push(numbers.next() as u8),
            0 => input[at] ^= 1 << numbers.below(8),
            1 => input[at] = numbers.next() as u8,
            2 => input[at] = TELLING[numbers.below(TELLING.len())],
            3 => input.truncate(at),
            4 => input.insert(at, numbers.next() as u8),
            5 => drop(input.remove(at)),
            _ => {
                let other = &corpus[numbers.below(corpus.len())];
                input.truncate(at);
                input.extend(&other[numbers.below(other.len())..]);
            }
        }
    }
    input
}

fn smoke(name: &str) {
    let target = *TARGETS.iter().find(|(other, _)| *other == name).unwrap();
    let number = |name, default| std::env::var(name).map_or(default, |text| text.parse().unwrap());
    let seed = number("PROA_FUZZ_SEED", 1);
    let time = Duration::from_secs(number("PROA_FUZZ_SECONDS", 2));
    let corpus = corpus(name);
    assert!(!corpus.is_empty(), "the corpus of {name} is empty");
    run(target, &[]);
    corpus.iter().for_each(|input| run(target, input));
    let start = Instant::now();
    let mut numbers = Numbers(seed);
    let mut runs = 0;
    while start.elapsed() < time {
        run(target, &mutate(&corpus, &mut numbers));
        runs += 1;
    }
    println!("{name}: {} files, {runs} mutations from seed {seed}", corpus.len());
}

#[test]
fn wire() {
    smoke("wire");
}

#[test]
fn headers() {
    smoke("headers");
}

#[test]
fn config() {
    smoke("config");
}

#[test]
fn nat() {
    smoke("nat");
}

#[test]
fn frame() {
    smoke("frame");
}

#[test]
fn bfd() {
    smoke("bfd");
}

#[test]
fn stamp() {
    smoke("stamp");
}

#[test]
fn report() {
    smoke("report");
}

#[test]
fn trace() {
    smoke("trace");
}

#[test]
fn parity() {
    smoke("parity");
}

#[test]
fn keys() {
    smoke("keys");
}

#[test]
fn linkstate() {
    smoke("linkstate");
}

#[test]
fn takeover() {
    smoke("takeover");
}

#[test]
fn handover() {
    smoke("handover");
}

#[test]
fn sync() {
    smoke("sync");
}

/// The seeds lead through the whole data path: else the fuzzer would have to find the way.
#[test]
fn seeds_of_frame_reach_every_role() {
    corpus("frame").iter().for_each(|input| proa_fuzz::frame::run(input));
    let counters = proa_fuzz::frame::counters();
    let roles = &counters.roles;
    let reached = [
        ("edge_ingress", &roles.edge_ingress),
        ("edge_egress", &roles.edge_egress),
        ("intermediate", &roles.intermediate),
        ("gateway_forward", &roles.gateway_forward),
        ("gateway_reverse", &roles.gateway_reverse),
        ("prefix_forward", &roles.prefix_forward),
        ("prefix_reverse", &roles.prefix_reverse),
        ("handoff_in", &roles.handoff_in),
        ("answers", &roles.answers),
        ("duplicates", &counters.drops[packet::Reason::Duplicate.index()]),
    ];
    for (name, counter) in reached {
        assert!(counter.get() > 0, "no seed reaches {name}");
    }
}
