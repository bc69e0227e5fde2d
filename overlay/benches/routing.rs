//! Milliseconds for a node's tables over 1,000 regions and 20,000 links: both metrics, for what passes and what begins.
#![allow(missing_docs, reason = "nothing to document in a benchmark")]

#[path = "../tests/plan/draw.rs"]
#[allow(dead_code, reason = "the tests use the rest")]
mod draw;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use proa_overlay::routing::{LinkView, Metric, Network};
use proa_overlay::topology::RegionIndex;

/// The thread's processor time, so that other work on the machine counts as little as possible.
fn now() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn routing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("routing");
    group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(300));
    let topology = draw::geometric(1, 1000, 20_000, 0);
    let view = LinkView::default();
    let network = Network::new(&topology, &view);
    let from = RegionIndex(7);
    let mut measure = |name: &str, work: &dyn Fn()| {
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                let start = now();
                (0..count).for_each(|_| work());
                now() - start
            });
        });
    };
    measure("network of 1,000 regions and 20,000 links", &|| drop(black_box(Network::new(&topology, &view))));
    measure("next hops by one metric", &|| drop(black_box(network.next_hops(from, Metric::Latency))));
    measure("first hops by one metric", &|| drop(black_box(network.first_hops(from, Metric::Latency))));
    measure("all that a node needs", &|| {
        let network = Network::new(&topology, &view);
        for metric in [Metric::Latency, Metric::Loss] {
            black_box((network.next_hops(from, metric), network.first_hops(from, metric)));
        }
    });
    group.finish();
}

criterion_group!(benches, routing);
criterion_main!(benches);
