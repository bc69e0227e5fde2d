use super::*;
use crate::wire::trace::Record;
use proptest::prelude::*;

const MS: u64 = 1_000_000;
const START: u64 = 1_700_000_000_000 * MS;

fn number(sequence: u64) -> Number {
    Number { source: NodeId(1), stream: 7, sequence }
}

/// A copy over a path with one intermediate, whose clock is 300 ms ahead.
fn copy(path: u16, outcome: Outcome, sent_ns: u64, link_ms: u64) -> Copy {
    let record = Record {
        hop_limit: 7,
        queue: path as u8,
        node: NodeId(10 + path),
        ingress: NodeId(1),
        egress: NodeId(4),
        time_us: ((sent_ns + (link_ms + 300) * MS) / 1000) as u32,
        transit_ns: 5_000,
    };
    let trace = Trace { sent_ns, overflow: false, records: [record].into_iter().collect() };
    Copy { path: PathId(path), outcome, arrived_ns: sent_ns + (link_ms + 10) * MS, trace }
}

#[test]
fn the_winner_its_margin_and_delays_by_hop_are_told_whatever_the_clocks_say() {
    let mut collector = Collector::default();
    for packet in 0..100 {
        let sent_ns = START + packet * 20 * MS;
        let jitter = packet % 10;
        collector.take(number(packet), Some("web"), copy(1, Outcome::Won, sent_ns, 5 + jitter));
        collector.take(number(packet), None, copy(2, Outcome::Lost, sent_ns, 25));
    }
    let [first, second] = collector.paths("web").collect::<Vec<_>>()[..] else { panic!("two paths") };
    assert_eq!((first.path, first.won, first.lost), (PathId(1), 100, 0));
    assert_eq!((second.path, second.won, second.lost), (PathId(2), 0, 100));
    assert_eq!(first.delay.least_ns(), Some(15 * MS as i64));
    let [half, most, _] = first.margin.percentiles().unwrap();
    assert!((14 * MS..=17 * MS).contains(&half) && (18 * MS..=21 * MS).contains(&most), "{half} {most}");
    let hops: Vec<_> = collector.hops("web").collect();
    assert_eq!(hops.len(), 4);
    assert_eq!((hops[0].node, hops[0].ingress, hops[0].copies), (Some(NodeId(11)), NodeId(1), 100));
    assert_eq!((hops[1].node, hops[1].ingress), (None, NodeId(11)));
    // The clock that is ahead makes one link long and the next one negative; what varies is right in both.
    assert_eq!(hops[0].link.least_ns(), Some(305 * MS as i64));
    assert_eq!(hops[1].link.least_ns(), Some(-290 * MS as i64 - 5_000));
    let [half, _, most] = hops[0].link.percentiles().unwrap();
    assert!((4 * MS..=5 * MS).contains(&half) && (8 * MS..=10 * MS).contains(&most), "{half} {most}");
    let transit = hops[0].transit.percentiles().unwrap();
    assert!(transit.iter().all(|ns| (5_000..=5_400).contains(ns)), "{transit:?}");
    assert_eq!(collector.packets("web").next().unwrap().number, number(99));
    assert_eq!(collector.packets("web").next().unwrap().margin_ns(), Some(11 * MS));
    assert_eq!((collector.packets("mail").count(), collector.missed()), (0, Missed::default()));
}

#[test]
fn a_window_forgets_what_is_more_than_two_minutes_old() {
    let mut collector = Collector::default();
    let mut add = |at: u64, link| {
        let sent_ns = START + at * 1000 * MS;
        collector.take(number(at), Some("web"), copy(1, Outcome::Won, sent_ns, link));
        collector.paths("web").next().unwrap().delay.least_ns()
    };
    assert_eq!(add(0, 5), Some(15 * MS as i64));
    assert_eq!(add(70, 9), Some(15 * MS as i64));
    assert_eq!(add(140, 8), Some(18 * MS as i64));
}

#[test]
fn what_has_no_room_or_no_match_is_counted() {
    let mut collector = Collector::default();
    collector.take(number(1), None, copy(1, Outcome::Lost, START, 5));
    collector.take(number(2), None, copy(1, Outcome::Won, START, 5));
    assert_eq!(collector.missed(), Missed { unmatched: 1, unknown: 1, crowded: 0 });
    // A copy that is replayed for ever.
    collector.take(number(3), Some("web"), copy(1, Outcome::Won, START, 5));
    for _ in 0..100 {
        collector.take(number(3), None, copy(2, Outcome::Lost, START, 9));
    }
    assert_eq!(collector.missed().crowded, 101 - COPIES_MAX as u64);
    // Records that name ever other nodes.
    for other in 0..5000 {
        let mut copy = copy(1, Outcome::Won, START, 5);
        copy.trace.records[0].node = NodeId(other);
        collector.take(number(10 + u64::from(other)), Some("web"), copy);
    }
    assert_eq!(collector.packets("web").count(), PACKETS_MAX);
    assert_eq!(collector.hops("web").count(), HOPS_MAX);
    assert!(collector.missed().crowded > 2000);
}

proptest! {
    #[test]
    fn no_record_breaks_the_sums(
        copies in proptest::collection::vec((any::<u64>(), any::<u64>(), any::<u32>(), any::<u32>(), any::<bool>(), 0u64..4), 0..60),
    ) {
        let mut collector = Collector::default();
        for (sent_ns, arrived_ns, time_us, transit_ns, won, sequence) in copies {
            let outcome = if won { Outcome::Won } else { Outcome::Lost };
            let mut copy = copy(1, outcome, START, 5);
            (copy.trace.sent_ns, copy.arrived_ns) = (sent_ns, arrived_ns);
            (copy.trace.records[0].time_us, copy.trace.records[0].transit_ns) = (time_us, transit_ns);
            collector.take(number(sequence), won.then_some("web"), copy);
        }
        for hop in collector.hops("web") {
            // None where all that came over the hop is more than two windows old by the clocks in the records.
            if let Some([half, most, all]) = hop.link.percentiles() {
                prop_assert!(half <= most && most <= all);
            }
        }
    }
}
