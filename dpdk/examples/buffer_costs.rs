//! What taking, copying, giving back, receiving and sending packet buffers costs: prints ns per packet, the least
//! and the median of nine runs.
//!
//! `cargo run --release -p proa-dpdk --example buffer_costs [EAL options]`; without options it does without
//! hugepages.

use arrayvec::ArrayVec;
use dpdk::{Clock, Device, Eal, Error, Mbuf, Mempool, Pool, PoolConfig, PortConfig, Registration, free_all};
use packet::{BufPool, PacketBuf};
use std::hint::black_box;

const BATCH: usize = 32;
const PACKETS: usize = BATCH * 50_000;
const RUNS: usize = 9;

type Burst = ArrayVec<Mbuf, 64>;

fn main() -> Result<(), Error> {
    let mut args: Vec<String> = std::env::args().skip(1).collect();
    if args.is_empty() {
        args = ["--no-huge", "--no-shconf", "-m", "256", "--no-pci", "--lcores=0@0"].map(String::from).into();
    }
    let eal = Eal::init(&args)?;
    let clock = Clock::new(&eal);
    let mempool = Mempool::new(&eal, &PoolConfig::default())?;

    // The main thread is DPDK's already; packet threads register, so that is what is measured.
    std::thread::scope(|scope| {
        let measuring = scope.spawn(|| {
            let _registration = Registration::new(&eal)?;
            measure(&eal, clock, &mempool)
        });
        measuring.join().unwrap_or(Ok(()))
    })
}

fn measure(eal: &Eal, clock: Clock, mempool: &Mempool) -> Result<(), Error> {
    let mut pool = Pool::new(mempool);
    let mut burst = Burst::new();

    report(clock, "alloc + free, one by one", || {
        for _ in 0..PACKETS {
            if let Some(mbuf) = pool.alloc() {
                pool.free(black_box(mbuf));
            }
        }
    });
    report(clock, "alloc 32, free 32 to the stash", || {
        for _ in 0..PACKETS / BATCH {
            fill(&mut pool, &mut burst);
            burst.drain(..).for_each(|mbuf| pool.free(mbuf));
        }
    });
    report(clock, "alloc 32, free in one call", || {
        for _ in 0..PACKETS / BATCH {
            fill(&mut pool, &mut burst);
            free_all(&mut burst);
        }
    });
    report(clock, "alloc 32, drop each", || {
        for _ in 0..PACKETS / BATCH {
            fill(&mut pool, &mut burst);
            burst.clear();
        }
    });
    for len in [60, 200, 600, 1400] {
        let Some(mut source) = pool.alloc() else { continue };
        let _ = source.append(len);
        source.data_mut().fill(1);
        report(clock, &format!("copy {len} B, 32 at once, and free"), || {
            for _ in 0..PACKETS / BATCH {
                burst.extend((0..BATCH).filter_map(|_| pool.copy(black_box(&source))));
                burst.drain(..).for_each(|mbuf| pool.free(mbuf));
            }
        });
        pool.free(source);
    }

    let device = Device::find(eal, "net_null_costs,size=60")?;
    let (_port, mut rx, mut tx) = device.start(&PortConfig::default(), mempool)?;
    let (Some(rx), Some(tx)) = (rx.first_mut(), tx.first_mut()) else { return Ok(()) };
    report(clock, "receive 32 and send 32, null device", || {
        let mut burst = ArrayVec::<Mbuf, BATCH>::new();
        for _ in 0..PACKETS / BATCH {
            rx.burst(&mut burst);
            tx.burst(&mut burst);
        }
    });
    report(clock, "receive 32, free 32 to the stash", || {
        let mut burst = ArrayVec::<Mbuf, BATCH>::new();
        for _ in 0..PACKETS / BATCH {
            rx.burst(&mut burst);
            burst.drain(..).for_each(|mbuf| pool.free(mbuf));
        }
    });
    Ok(())
}

#[inline(always)]
fn fill(pool: &mut Pool, burst: &mut Burst) {
    burst.extend((0..BATCH).filter_map(|_| pool.alloc()));
    black_box(burst);
}

fn report(clock: Clock, what: &str, mut run: impl FnMut()) {
    run();
    let mut costs: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = clock.now_ns();
            run();
            (clock.now_ns() - start) as f64 / PACKETS as f64
        })
        .collect();
    costs.sort_by(f64::total_cmp);
    println!("{what:<40} {:6.2} {:6.2} ns", costs[0], costs[RUNS / 2]);
}
