//! Nanoseconds and heap allocations per packet of each stage and role, in process, on heap buffers.
//!
//! Thread CPU time; the minimum and the median of nine runs. No device and no pool of DPDK takes part: the rig
//! measures those.

use overlay::elimination::{Elimination, StreamKey};
use overlay::topology::NodeId;
use overlay::wire::{self, Header};
use packet::heap::HeapPool;
use packet::{BufPool, PacketBuf, ip};
use proa_bench::frame::{self, Flow};
use proa_bench::node::{BURST, Node, Shape};
use proa_bench::scenario::{Running, Scenario};
use proa_bench::world::{self, Role};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;
use std::hint::black_box;

/// Packets per run.
const PACKETS: usize = 1_008 * 256;
/// Runs.
const RUNS: usize = 9;
/// Where an overlay frame's GENEVE header starts.
const GENEVE_AT: usize = 14 + 20 + 8;

fn main() -> Result<(), Box<dyn Error>> {
    println!("{:<36} {:>8} {:>8} {:>12}", "ns per packet", "min", "median", "allocations");
    let mut rows = Vec::new();
    stages(&mut rows)?;
    for flows in [1_008, 64_512] {
        roles(flows, &mut rows)?;
    }
    for sessions in [1_032_192, 4_128_768] {
        memory(sessions)?;
    }
    let rows: Vec<_> = rows
        .iter()
        .map(|row| serde_json::json!({"name": row.name, "min_ns": row.min, "median_ns": row.median, "allocations": row.allocations}))
        .collect();
    if let Ok(path) = std::env::var("STAGES_JSON") {
        std::fs::write(path, serde_json::to_string_pretty(&rows)?)?;
    }
    Ok(())
}

struct Row {
    name: String,
    min: f64,
    median: f64,
    allocations: f64,
}

/// Measures `run`, which handles `packets` packets per call, and prints the row.
fn row(rows: &mut Vec<Row>, name: String, packets: usize, mut run: impl FnMut()) {
    run();
    let mut times: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = cpu_ns();
            run();
            (cpu_ns() - start) / packets as f64
        })
        .collect();
    times.sort_by(f64::total_cmp);
    let allocations = allocation_counter::measure(&mut run).count_total as f64 / packets as f64;
    let (min, median) = (times[0], times[RUNS / 2]);
    println!("{name:<36} {min:>8.1} {median:>8.1} {allocations:>12}");
    rows.push(Row { name, min, median, allocations });
}

fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

fn stages(rows: &mut Vec<Row>) -> Result<(), Box<dyn Error>> {
    let clients: Vec<Vec<u8>> = (0..1_008).map(|n| frame::client_frame(Flow::nth(n), 64)).collect();
    let overlay: Vec<Vec<u8>> = (0..1_008).map(|n| world::from_edge(Flow::nth(n), 64, 1 << 40)).collect();
    let rounds = PACKETS / clients.len();
    let mut each = |name: &str, mut stage: Box<dyn FnMut(usize)>| {
        row(rows, name.to_owned(), PACKETS, || {
            for _ in 0..rounds {
                (0..1_008).for_each(&mut *stage);
            }
        });
    };
    let headers = clients.clone();
    each("read IPv4 and UDP", Box::new(move |n| assert!(black_box(ip::parse_v4(&headers[n][14..])).is_ok())));
    let headers = overlay.clone();
    each(
        "read the overlay's header",
        Box::new(move |n| assert!(black_box(wire::locate(&headers[n][GENEVE_AT..])).is_ok())),
    );
    let (header, _) = Header::parse(&overlay[0][GENEVE_AT..]).map_err(|reason| reason.name())?;
    let mut bytes = [0; wire::HEADER_LEN];
    each(
        "write the overlay's header",
        Box::new(move |n| {
            Header { sequence: n as u64, ..header }.write(&mut bytes);
            black_box(&bytes);
        }),
    );
    let mut elimination = Elimination::new(256, 65_536, 7);
    let mut sequence = 1 << 40;
    each(
        "eliminate: stream and window",
        Box::new(move |n| {
            sequence += 1;
            let key = StreamKey { source: NodeId(1), stream: n as u16 % world::STREAMS, sealed: false };
            if let Ok(stream) = elimination.stream(key) {
                black_box(elimination.offer(stream, sequence));
            }
        }),
    );
    let tables = world::tables(Role::Edge, 1, 1, 1)?;
    let mut frames = overlay;
    each(
        "write outer headers",
        Box::new(move |n| tables.links[0].template.write_link(&mut frames[n], 50_000)),
    );
    let mut pool = HeapPool::new(8);
    let packet = pool.with(&clients[0]).ok_or("no room in the pool")?;
    each(
        "duplicate 60 B: alloc, copy, free",
        Box::new(move |_| {
            if let Some(copy) = pool.copy(&packet) {
                black_box(copy.data());
                pool.free(copy);
            }
        }),
    );
    Ok(())
}

/// Each role with the making of its packets, and that alone.
fn roles(flows: u32, rows: &mut Vec<Row>) -> Result<(), Box<dyn Error>> {
    for scenario in Scenario::ALL {
        let mut pool = HeapPool::new(1_024);
        let mut running = Running::start(scenario, flows, 64, &mut pool)?;
        let turns = (PACKETS / BURST) as u64;
        let mut now_ns = 2_000_000_000;
        let whole = format!("{}, {flows} flows, with its source", scenario.name());
        row(rows, whole, PACKETS, || {
            for _ in 0..turns {
                now_ns += 1_000;
                running.turn(now_ns, &mut pool);
            }
        });
    }
    let mut pool = HeapPool::new(1_024);
    let mut running = Running::start(Scenario::Forward(1), flows, 64, &mut pool)?;
    row(rows, format!("the source alone, {flows} flows"), PACKETS, || {
        for _ in 0..PACKETS / BURST {
            running.idle_turn(&mut pool);
        }
    });
    Ok(())
}

/// What a gateway's worker claims at start, for so many sessions.
fn memory(sessions: u32) -> Result<(), Box<dyn Error>> {
    let shape = Shape { role: Role::Gateway, copies: 1, worker: 0, workers: 1, capacity: sessions };
    let mut node = None;
    let claimed = allocation_counter::measure(|| node = Some(Node::<HeapPool>::new(shape)));
    node.ok_or("no node was made")??;
    let mib = claimed.bytes_current as f64 / f64::from(1 << 20);
    let each = claimed.bytes_current as f64 / f64::from(sessions);
    println!("a gateway's worker for {sessions} sessions: {mib:.0} MiB, {each:.0} bytes per session");
    Ok(())
}
