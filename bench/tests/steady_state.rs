//! In the steady state no role allocates, and none drops what it should carry.

use packet::heap::HeapPool;
use proa_bench::node::BURST;
use proa_bench::scenario::{Running, Scenario};

#[test]
fn no_packet_costs_a_heap_allocation() {
    for scenario in Scenario::ALL {
        let mut pool = HeapPool::new(1_024);
        let mut running = Running::start(scenario, 1_008, 64, &mut pool).unwrap();
        let mut now_ns = 2_000_000_000;
        let mut turns = |count: u32, running: &mut Running<HeapPool>| {
            for _ in 0..count {
                now_ns += 10_000;
                running.turn(now_ns, &mut pool);
            }
        };
        turns(200, &mut running);
        let sent = running.sent();
        let allocated = allocation_counter::measure(|| turns(1_000, &mut running));
        assert_eq!(allocated.count_total, 0, "{}: {allocated:?}", scenario.name());
        let sent = running.sent() - sent;
        let received = 1_000 * BURST as u64;
        match scenario {
            Scenario::Edge(2) | Scenario::Reverse(2) => assert_eq!(sent, 2 * received),
            Scenario::Forward(2) => assert_eq!(sent, received / 2),
            _ => assert_eq!(sent, received, "{}: {:?}", scenario.name(), running.drops()),
        }
        let duplicates =
            |drops: Vec<(&str, u64)>| drops.into_iter().filter(|(name, _)| *name != "duplicate").count();
        assert_eq!(duplicates(running.drops()), 0, "{}: {:?}", scenario.name(), running.drops());
    }
}
