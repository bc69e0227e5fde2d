//! How long a gateway's worker is kept from its packets by what it does beside them: forgetting sessions that all
//! end in the same second, and listing millions of them.
//!
//! In process, on heap buffers; thread CPU time, so that only the worker's own pauses count.

use packet::BufPool;
use packet::heap::HeapPool;
use pipelines::Burst;
use proa_bench::node::{BURST, Node, Shape};
use proa_bench::source::Source;
use proa_bench::world::Role;
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;

/// Sessions of one worker.
const SESSIONS: [u32; 2] = [1_032_192, 4_128_768];
/// Places of the table that a listing looks at between two bursts, as in the appliance.
const PLACES: usize = 256;
/// Bursts that are taken with a listing under way, and as many without.
const BURSTS: usize = 65_536;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    println!("{:<44} {:>10} {:>10} {:>10} {:>10}", "µs", "median", "99.9 %", "longest", "total ms");
    for sessions in SESSIONS {
        measure(sessions)?;
    }
    Ok(())
}

fn measure(sessions: u32) -> Outcome<()> {
    let mut pool = HeapPool::new(1_024);
    let shape = Shape {
        role: Role::Gateway,
        copies: 1,
        worker: 0,
        workers: 1,
        capacity: sessions.next_multiple_of(1_024),
    };
    let mut node = Node::<HeapPool>::new(shape)?;
    node.open(Source::overlay(0..sessions, 64, 1), &mut pool)?;
    let mut now_ns = 2_000_000_000;

    let mut source = Source::overlay(0..sessions, 64, 1);
    let mut burst = Burst::new();
    let mut turn = |node: &mut Node<HeapPool>, pool: &mut HeapPool| {
        source.fill(pool, &mut burst, BURST);
        now_ns += 1_000;
        node.step(now_ns, &mut burst, pool, |pool, frames| {
            frames.drain(..).for_each(|frame| pool.free(frame))
        });
    };
    let start = cpu_ns();
    for _ in 0..BURSTS {
        turn(&mut node, &mut pool);
    }
    let alone_ns = cpu_ns() - start;

    let mut pages = Vec::with_capacity(BURSTS);
    let mut page = Vec::with_capacity(PLACES);
    let mut cursor = 0;
    for _ in 0..BURSTS {
        turn(&mut node, &mut pool);
        let before = cpu_ns();
        page.clear();
        let nat = node.nat().ok_or("a gateway has a translation")?;
        cursor = nat.list_all(cursor, PLACES, |session| page.push(session)).unwrap_or(0);
        pages.push(cpu_ns() - before);
    }
    show(&format!("{sessions} sessions: a page of a listing"), &mut pages);
    let alone = alone_ns / (BURSTS * BURST) as f64;
    println!("  {alone:.1} ns per packet without it; {} pages show all", sessions.div_ceil(PLACES as u32));

    // Long after the last packet: all of them end at once.
    now_ns += 1_000_000_000_000;
    let mut sweeps = Vec::new();
    while node.sessions() > 0 {
        let before = cpu_ns();
        node.sweep(now_ns);
        sweeps.push(cpu_ns() - before);
    }
    show(&format!("{sessions} sessions end: a piece of the sweep"), &mut sweeps);
    Ok(())
}

/// Prints the row of durations, ns.
fn show(name: &str, durations: &mut [f64]) {
    durations.sort_by(f64::total_cmp);
    let at = |share: f64| durations[((durations.len() - 1) as f64 * share) as usize] / 1e3;
    let total = durations.iter().sum::<f64>() / 1e6;
    println!("{name:<44} {:>10.1} {:>10.1} {:>10.1} {total:>10.0}", at(0.5), at(0.999), at(1.0));
}

fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
