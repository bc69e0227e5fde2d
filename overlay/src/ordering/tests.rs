use super::*;
use proptest::prelude::*;
use std::collections::BTreeMap;

const HOLD_NS: u64 = 50;

fn key(flow: u32) -> FlowKey {
    FlowKey::new(NodeId(1), 2, flow)
}

fn ordering(packets: usize) -> Ordering<(u32, u64)> {
    Ordering::new(Bounds { hold_ns: HOLD_NS, packets, flows: 64 }, 7)
}

/// Offers a packet of flow 1 and returns the numbers that leave.
fn offer(ordering: &mut Ordering<(u32, u64)>, now_ns: u64, sequence: u64, before: u64) -> Vec<u64> {
    let first = ordering.offer(now_ns, key(1), sequence, before, (1, sequence));
    first.into_iter().chain(std::iter::from_fn(|| ordering.take(now_ns))).map(|(_, number)| number).collect()
}

#[test]
fn what_is_missing_is_waited_for_and_then_given_up() {
    let mut ordering = ordering(64);
    assert_eq!(offer(&mut ordering, 0, 10, 0), [10]);
    assert_eq!(offer(&mut ordering, 1, 12, 11), []);
    assert_eq!(offer(&mut ordering, 2, 13, 12), []);
    assert_eq!(offer(&mut ordering, 3, 11, 10), [11, 12, 13]);
    assert_eq!(offer(&mut ordering, 4, 15, 14), []);
    assert_eq!(offer(&mut ordering, 5, 16, 15), []);
    assert!(!ordering.is_due(53) && ordering.is_due(54));
    assert_eq!(std::iter::from_fn(|| ordering.take(54)).collect::<Vec<_>>(), [(1, 15), (1, 16)]);
    assert_eq!(offer(&mut ordering, 60, 14, 13), [14], "late, but not lost");
    assert_eq!(ordering.counts(), Counts { held: 4, given_up: 1, late: 1, no_room: 0 });
    assert!(ordering.is_empty() && !ordering.is_due(u64::MAX - 1));
}

#[test]
fn a_flow_has_its_share_of_the_places_and_no_more() {
    let mut ordering = ordering(8);
    assert_eq!(offer(&mut ordering, 0, 10, 0), [10]);
    assert_eq!([offer(&mut ordering, 0, 12, 11), offer(&mut ordering, 0, 14, 13)], [[0; 0]; 2]);
    assert_eq!(offer(&mut ordering, 0, 16, 15), [12], "the first makes room");
    assert_eq!(offer(&mut ordering, 0, 13, 12), [13, 14]);
    assert_eq!((ordering.len(), ordering.counts().no_room), (1, 1));
}

#[test]
fn lies_about_what_went_before_cost_one_hold_time_at_most() {
    let mut ordering = ordering(64);
    // Of an unknown flow, far ahead, far back, and waiting for what will never be.
    assert_eq!(offer(&mut ordering, 0, 1 << 50, (1 << 50) - 1), []);
    assert_eq!(ordering.take(HOLD_NS), Some((1, 1 << 50)));
    assert_eq!(offer(&mut ordering, 60, 5, 0), [5], "a sender that began anew");
    assert_eq!(offer(&mut ordering, 60, 7, 6), [], "has its packets put in order again");
    assert_eq!(offer(&mut ordering, 60, 6, 5), [6, 7]);
    assert_eq!(offer(&mut ordering, 61, u64::MAX, u64::MAX - 1), []);
    assert_eq!(ordering.take(61 + HOLD_NS), Some((1, u64::MAX)));
}

#[test]
fn closed_it_holds_nothing() {
    let mut ordering = ordering(64);
    assert_eq!(offer(&mut ordering, 0, 12, 11), []);
    assert_eq!(ordering.close().collect::<Vec<_>>(), [(1, 12)]);
    assert_eq!(offer(&mut ordering, 1, 14, 13), [14]);
    assert!(ordering.is_empty() && ordering.take(u64::MAX).is_none());
}

proptest! {
    /// Flows over ways that delay and lose: every packet that comes leaves once, none is held for longer than the hold time,
    /// packets that are not late leave in order, and a flow that loses nothing is in no one's way.
    #[test]
    fn flows_leave_in_order_each_by_itself(
        packets in proptest::collection::vec((0u32..4, 0u64..HOLD_NS - 1, any::<bool>()), 1..300),
        room in prop_oneof![Just(4096usize), 4usize..40],
    ) {
        let mut last: BTreeMap<u32, u64> = BTreeMap::new();
        let mut arrivals = Vec::new();
        for (number, (flow, delay, is_lost)) in packets.iter().enumerate() {
            let sequence = 1000 + number as u64;
            let before = last.insert(*flow, sequence).unwrap_or(0);
            // Flow 0 loses nothing.
            if !*is_lost || *flow == 0 {
                arrivals.push((number as u64 + delay, *flow, sequence, before));
            }
        }
        arrivals.sort_unstable();
        let mut ordering = ordering(room);
        let mut came: BTreeMap<u64, u64> = BTreeMap::new();
        let mut left: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        let end = arrivals.last().map_or(0, |arrival| arrival.0) + 2 * HOLD_NS;
        let mut next = arrivals.iter().peekable();
        for now_ns in 0..=end {
            let mut leave = |(flow, sequence): (u32, u64), came: &BTreeMap<u64, u64>| {
                assert!(now_ns <= came[&sequence] + HOLD_NS, "held for too long");
                left.entry(flow).or_default().push(sequence);
            };
            while let Some(&(_, flow, sequence, before)) = next.next_if(|arrival| arrival.0 == now_ns) {
                came.insert(sequence, now_ns);
                let passed = ordering.offer(now_ns, key(flow), sequence, before, (flow, sequence));
                passed.into_iter().for_each(|item| leave(item, &came));
            }
            while let Some(item) = ordering.take(now_ns) {
                leave(item, &came);
            }
            prop_assert!(ordering.len() <= room);
        }
        let mut all: Vec<u64> = left.values().flatten().copied().collect();
        all.sort_unstable();
        prop_assert_eq!(all, came.keys().copied().collect::<Vec<_>>());
        if room == 4096 {
            let late: u64 = left.values().map(|left| left.windows(2).filter(|two| two[1] < two[0]).count() as u64).sum();
            prop_assert!(late <= ordering.counts().late);
            // Nothing is delayed by as much as it may be held for, so what loses nothing is in order throughout.
            prop_assert!(left.get(&0).is_none_or(|left| left.is_sorted()));
            prop_assert_eq!(ordering.counts().no_room, 0);
        }
    }
}
