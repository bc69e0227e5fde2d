//! Milliseconds for every path set towards one gateway over 1,000 regions and 20,000 links, and for planning again after
//! a link has changed: any link, and the one that most sets use; without shared risks, and with 1,000 ducts and cables.
//! Then what is hard: risks nearly everywhere, and a sparse graph where many paths are too long.
#![allow(clippy::unwrap_used, missing_docs, reason = "nothing to measure without it")]

#[path = "../tests/plan/draw.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod draw;

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use proa_overlay::plan::{Checker, Graph, Plan, Planner, Quality};
use proa_overlay::topology::{LinkIndex, Path, PathId, PathSet, RegionIndex, Topology};

const REGIONS: u16 = 1000;
const GATEWAY: RegionIndex = RegionIndex(0);

/// The thread's processor time, so that other work on the machine counts as little as possible.
fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn planner(topology: &Topology, wanted: usize) -> Planner {
    Planner::new(Graph::new(topology).unwrap(), GATEWAY, (1..REGIONS).map(RegionIndex), wanted)
}

fn set(plan: &Plan) -> PathSet {
    let path = |(number, via): (u16, &Vec<RegionIndex>)| Path { id: PathId(number), via: via.clone() };
    let paths = (1..).zip(plan.routes.iter().map(|route| &route.via)).map(path).collect();
    PathSet { name: "set".to_owned(), edge: plan.edge, gateway: GATEWAY, paths }
}

/// The link that most plans use.
fn most_used(topology: &Topology, planner: &Planner) -> usize {
    let mut uses = vec![0; topology.ground.links.len()];
    for plan in planner.plans() {
        for route in &plan.routes {
            let hops = [plan.edge].into_iter().chain(route.via.iter().copied());
            for (from, to) in hops.zip(route.via.iter().copied().chain([GATEWAY])) {
                let found = topology
                    .ground
                    .links
                    .iter()
                    .position(|link| link.between == [from, to] || link.between == [to, from]);
                uses[found.unwrap()] += 1;
            }
        }
    }
    (0..uses.len()).max_by_key(|link| uses[*link]).unwrap()
}

fn plan(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(300));
    for (links, ducts, wanted) in [
        (20_000, 0, 2),
        (20_000, 0, 4),
        (20_000, 1000, 2),
        (20_000, 1000, 4),
        (20_000, 8000, 2),
        (3_000, 300, 2),
    ] {
        let topology = draw::geometric(1, usize::from(REGIONS), links, ducts);
        let name = format!("{wanted} paths, {links} links, {ducts} risks");
        group.bench_function(BenchmarkId::new("every set", &name), |bencher| {
            bencher.iter_custom(|count| {
                let start = now();
                (0..count).for_each(|_| drop(black_box(planner(&topology, wanted))));
                now() - start
            });
        });
        let mut current = planner(&topology, wanted);
        let unproven = current.plans().filter(|plan| !plan.proven).count();
        let alarms = current.plans().filter(|plan| plan.alarm().is_some()).count();
        println!("{name}: {alarms} alarms, {unproven} sets not proven the best");
        let busiest = most_used(&topology, &current);
        let mut random = draw::Draw(5);
        let (mut anew, mut changes, mut slowest) = (0, 0, Duration::ZERO);
        let mut change = |current: &mut Planner, link: usize| {
            let was = topology.ground.links[link].quality;
            let worse = Quality { latency_us: was.latency_us * 2, ..was };
            let mut whole = Duration::ZERO;
            for quality in [Some(worse), Some(was), None, Some(was)] {
                let start = now();
                anew += current.change(LinkIndex(link as u32), quality).len();
                changes += 1;
                slowest = slowest.max(now() - start);
                whole += now() - start;
            }
            whole / 4
        };
        group.bench_function(BenchmarkId::new("after any link changed", &name), |bencher| {
            bencher.iter_custom(|count| {
                (0..count).map(|_| change(&mut current, random.below(links as u64) as usize)).sum()
            });
        });
        group.bench_function(BenchmarkId::new("after the busiest link changed", &name), |bencher| {
            bencher.iter_custom(|count| (0..count).map(|_| change(&mut current, busiest)).sum());
        });
        println!("{name}: {anew} plans anew in {changes} changes, the slowest took {slowest:?}");
        let sets: Vec<PathSet> = current.plans().filter(|plan| !plan.routes.is_empty()).map(set).collect();
        group.bench_function(BenchmarkId::new("check every certificate", &name), |bencher| {
            bencher.iter_custom(|count| {
                let start = now();
                for _ in 0..count {
                    let checker = Checker::new(&topology);
                    assert!(sets.iter().all(|set| checker.check(&checker.certify(set)).is_empty()));
                }
                now() - start
            });
        });
    }
    group.finish();
}

criterion_group!(benches, plan);
criterion_main!(benches);
