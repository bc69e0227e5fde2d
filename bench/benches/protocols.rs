//! What each routing protocol costs, and hop records in every packet: the same packets through edge, intermediate and gateway,
//! one copy each.
//!
//! In process, on heap buffers; thread CPU time, the median of the runs.

use overlay::plan::Quality;
use overlay::protocol::Protocol;
use overlay::topology::{Link, NodeId, RegionIndex, Routing, Sampling};
use packet::PacketBuf;
use packet::heap::{HeapBuf, HeapPool};
use pipelines::Burst;
use proa_bench::frame;
use proa_bench::node::{BURST, Node, Shape};
use proa_bench::source::Source;
use proa_bench::world::{self, Role};
use rustix::time::{ClockId, clock_gettime};
use std::error::Error;

/// Bursts that each stage takes at once, so that reading the clock counts for nothing.
const BURSTS: usize = 32;
/// Runs of that.
const RUNS: usize = 301;
/// Flows.
const FLOWS: u32 = 1_008;
/// Bytes of a client's frame.
const SIZE: usize = 64;

/// Where GENEVE starts in a frame, and how it begins in a parity packet.
const GENEVE_AT: usize = 14 + 20 + 8;
const WORDS_OF_PARITY: u8 = 14;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> Outcome<()> {
    let titles = ["edge", "intermediate", "gateway"].map(|role| format!("{role:>13}")).concat();
    println!("  {:<24}{titles}{titles}", format!("{SIZE} B frames, ns/packet"));
    println!("  {:<24}{:>39}{:>39}", "", "without records", "a record of each hop");
    for protocol in Protocol::ALL {
        let columns = [stages(protocol, 0)?, stages(protocol, 1)?];
        let columns = columns.concat().iter().map(|ns| format!("{ns:>13.1}")).collect::<String>();
        println!("  {:<24}{columns}", protocol.name());
    }
    Ok(())
}

/// Nanoseconds per packet of edge, intermediate and gateway, one in so many packets with hop records; not a number where a
/// role has nothing to do.
fn stages(protocol: Protocol, one_in: u32) -> Outcome<[f64; 3]> {
    let mut topology = world::topology(1, 1, FLOWS);
    topology.applications[0].trace = Sampling { one_in, ..Sampling::default() };
    topology.applications[0].routing =
        Routing { to_origin: protocol, to_client: protocol, hops: vec![NodeId(2)], ..Routing::default() };
    // Only one intermediate is measured: what is spread has no other path here.
    if protocol == Protocol::Spread {
        topology.path_sets.iter_mut().for_each(|set| set.paths.truncate(1));
    }
    // By either metric the way leads through the intermediate that is measured.
    let link = |a, b, latency_us, loss_ppm| Link {
        between: [RegionIndex(a), RegionIndex(b)],
        quality: Quality { latency_us, loss_ppm },
        risks: Vec::new(),
    };
    topology.ground.links =
        vec![link(0, 1, 1_000, 0), link(1, 3, 1_000, 0), link(0, 2, 9_000, 9_000), link(2, 3, 9_000, 9_000)];
    let roles = match protocol {
        Protocol::Direct => vec![Role::Edge, Role::Gateway],
        _ => vec![Role::Edge, Role::Intermediate, Role::Gateway],
    };
    let mut nodes = Vec::new();
    for role in &roles {
        let capacity = FLOWS.next_multiple_of(1_024);
        let shape = Shape { role: *role, copies: 1, worker: 0, workers: 1, capacity };
        nodes.push(Node::of(shape, world::compile(*role, &topology)?)?);
    }
    let mut pool = HeapPool::new(BURSTS * BURST * 2);
    let mut source = Source::clients(0..FLOWS, SIZE);
    let mut times = vec![Vec::new(); roles.len()];
    for run in 0..RUNS as u64 {
        let mut bursts: Vec<Burst<HeapBuf>> = Vec::new();
        for _ in 0..BURSTS {
            let mut burst = Burst::new();
            source.fill(&mut pool, &mut burst, BURST);
            bursts.push(burst);
        }
        for (node, times) in nodes.iter_mut().zip(&mut times) {
            let mut left: Vec<HeapBuf> = Vec::with_capacity(BURSTS * BURST);
            let start = cpu_ns();
            for burst in &mut bursts {
                node.step(2_000_000_000 + run, burst, &mut pool, |_, frames| left.extend(frames.drain(..)));
            }
            times.push((cpu_ns() - start) / (BURSTS * BURST) as f64);
            // Parity packets are paid for; the next role takes as many packets as ever.
            left.retain(|buf| {
                protocol != Protocol::Parity || buf.data().get(GENEVE_AT) != Some(&WORDS_OF_PARITY)
            });
            if left.len() != BURSTS * BURST {
                let lost = BURSTS * BURST - left.len();
                return Err(format!("{}: {lost} packets lost: {:?}", protocol.name(), node.drops()).into());
            }
            // Each node's port has the same address.
            left.iter_mut().for_each(|buf| buf.data_mut()[..6].copy_from_slice(&frame::PORT_MAC));
            bursts.iter_mut().for_each(|burst| burst.extend(left.drain(..BURST)));
        }
        bursts
            .iter_mut()
            .flat_map(|burst| burst.drain(..))
            .for_each(|buf| packet::BufPool::free(&mut pool, buf));
    }
    let mut medians = times.into_iter().map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[RUNS / 2]
    });
    let mut median = || medians.next().unwrap_or(f64::NAN);
    Ok(match protocol {
        Protocol::Direct => [median(), f64::NAN, median()],
        _ => [median(), median(), median()],
    })
}

/// Thread CPU time, ns.
fn cpu_ns() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}
