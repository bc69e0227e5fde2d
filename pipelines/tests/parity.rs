//! Lost packets are rebuilt of parity packets on another path, through four real data paths.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a failed unwrap fails its test

mod common;

use common::*;
use overlay::parity::{Bounds, Coding};
use overlay::protocol::Protocol;
use overlay::topology::*;
use packet::{Counter, Reason};
use proptest::prelude::*;
use std::sync::Arc;

const CLIENT: &str = "198.51.100.77";
const VIP: &str = "203.0.113.10";
/// Where GENEVE starts in a frame, and fields from there.
const GENEVE_AT: usize = 14 + 20 + 8;
const PROTOCOL_AT: usize = GENEVE_AT + 13;
const PATH_AT: usize = GENEVE_AT + 34;
const OPTION_AT: usize = GENEVE_AT + 48;
const WAIT_NS: u64 = 5_000_000;

fn topology_with(packets: u8, parity: u8) -> Topology {
    let mut topology = topology();
    let coding = Coding { packets, parity, wait_us: (WAIT_NS / 1000) as u32 };
    let (to_origin, to_client) = (Protocol::Parity, Protocol::Parity);
    topology.applications[0].routing = Routing { to_origin, to_client, coding, ..Routing::default() };
    topology
}

fn lab_of(topology: &Topology) -> Lab {
    Lab::of(topology, 1, |setup| setup.parity = Bounds { bytes: 1 << 18, groups: 16, hold_ns: 50_000_000 })
}

fn request(lab: &mut Lab, port: u16, number: u8, len: usize) -> Vec<Sent> {
    lab.give(EDGE, OUTSIDE, &frame(EDGE, CLIENT, port, VIP, 53, 17, &vec![number; len]))
}

fn is_parity(sent: &Sent) -> bool {
    sent.2[PROTOCOL_AT] == 5
        && sent.2[GENEVE_AT] & 0x3f == 14
        && sent.2[OPTION_AT..OPTION_AT + 3] == [0xff, 0x50, 0x86]
}

/// The numbers that leave, each with how many bytes its packet has.
fn numbers(left: &[Sent]) -> Vec<(u8, usize)> {
    left.iter().map(|sent| (*sent.2.last().unwrap(), read(&sent.2).len as usize - 28)).collect()
}

/// What a node has counted: rebuilt, received, unneeded, unfinished, unusable.
fn counts(lab: &mut Lab, node: usize) -> [u64; 5] {
    lab.sweep();
    let roles = &lab.nodes[node].counters.roles;
    [
        &roles.parity_rebuilt,
        &roles.parity_received,
        &roles.parity_unneeded,
        &roles.parity_unfinished,
        &roles.parity_unusable,
    ]
    .map(Counter::get)
}

#[test]
fn data_goes_out_at_once_and_parity_over_the_other_path() {
    let mut lab = lab_of(&topology_with(3, 2));
    for number in 0..6u8 {
        let sent = request(&mut lab, 40000, number, 4);
        let (parity, data): (Vec<Sent>, Vec<Sent>) = sent.into_iter().partition(is_parity);
        assert_eq!((data.len(), data[0].2[PROTOCOL_AT], data[0].2[PATH_AT + 1]), (1, 5, 11));
        assert_eq!(data[0].2[GENEVE_AT] & 0x3f, 10, "a data packet has no option of its own");
        assert_eq!(parity.len(), if number % 3 == 2 { 2 } else { 0 });
        for (index, sent) in (0..).zip(&parity) {
            assert_eq!(sent.2[PATH_AT + 1], 12);
            assert_eq!(sent.2[OPTION_AT + 4..OPTION_AT + 16], [index, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7]);
        }
        assert_eq!(numbers(&lab.run(data)), [(number, 4)]);
        assert!(lab.run(parity).is_empty());
    }
    assert_eq!(counts(&mut lab, GATEWAY), [0, 4, 4, 0, 0]);
    assert_eq!(lab.dropped(GATEWAY, Reason::Parity), 4);
}

/// A group may span flows of a stream, and packets of all lengths.
#[test]
fn what_is_lost_is_rebuilt_once() {
    let mut lab = lab_of(&topology_with(4, 2));
    let (mut left, mut late) = (Vec::new(), Vec::new());
    for number in 0..4u8 {
        let sent = request(&mut lab, 40000 + u16::from(number) % 2, number, 10 + 300 * usize::from(number));
        let (lost, come): (Vec<Sent>, Vec<Sent>) =
            sent.into_iter().partition(|sent| !is_parity(sent) && [1, 3].contains(&number));
        late.extend(lost);
        left.extend(lab.run(come));
    }
    let mut got = numbers(&left);
    got.sort_unstable();
    assert_eq!(got, [(0, 10), (1, 310), (2, 610), (3, 910)]);
    assert!(lab.run(late).is_empty(), "what was rebuilt has passed");
    assert_eq!(lab.dropped(GATEWAY, Reason::Duplicate), 2);
    assert_eq!(counts(&mut lab, GATEWAY), [2, 2, 0, 0, 0]);
}

#[test]
fn a_short_group_ends_by_its_time() {
    let mut lab = lab_of(&topology_with(8, 2));
    let sent = request(&mut lab, 40000, 9, 4);
    assert_eq!(sent.len(), 1);
    lab.now_ns += WAIT_NS - 1;
    assert!(catch_up(&mut lab, EDGE).is_empty());
    lab.now_ns += 1;
    let parity = catch_up(&mut lab, EDGE);
    assert_eq!(parity.iter().filter(|sent| is_parity(sent)).count(), 1, "of one packet one is enough");
    assert_eq!(numbers(&lab.run(parity)), [(9, 4)]);
    assert!(lab.run(sent).is_empty());
}

/// Parity that comes first waits for the packets that it needs.
#[test]
fn parity_may_come_before_its_data() {
    let mut lab = lab_of(&topology_with(3, 1));
    let sent: Vec<Sent> = (0..3).flat_map(|number| request(&mut lab, 40000, number, 8)).collect();
    let (parity, data): (Vec<Sent>, Vec<Sent>) = sent.into_iter().partition(is_parity);
    assert!(lab.run(parity).is_empty());
    assert_eq!(numbers(&lab.run(vec![data[2].clone()])), [(2, 8)]);
    let mut got = numbers(&lab.run(vec![data[0].clone()]));
    got.sort_unstable();
    assert_eq!(got, [(0, 8), (1, 8)], "one that came, and one that was rebuilt");
    assert_eq!(counts(&mut lab, GATEWAY), [1, 1, 0, 0, 0]);
}

#[test]
fn groups_that_never_complete_are_given_up() {
    let mut lab = lab_of(&topology_with(4, 1));
    for round in 0..40 {
        let sent: Vec<Sent> = (0..4).flat_map(|number| request(&mut lab, 40000, number, 8)).collect();
        let parity: Vec<Sent> = sent.into_iter().filter(is_parity).collect();
        assert!(lab.run(parity).is_empty());
        lab.now_ns += 1_000_000;
        lab.sweep();
        let waiting = lab.nodes[GATEWAY].counters.roles.parity_waiting.get();
        assert_eq!(waiting, (round + 1).min(16), "no more than there is room for");
    }
    lab.now_ns += 50_000_000;
    assert_eq!(counts(&mut lab, GATEWAY), [0, 40, 0, 40, 0]);
    assert_eq!(lab.nodes[GATEWAY].counters.roles.parity_waiting.get(), 0);
}

/// The gateway codes as well, and the edge rebuilds.
#[test]
fn replies_are_rebuilt() {
    let mut lab = lab_of(&topology_with(2, 1));
    let sent = request(&mut lab, 40000, 0, 4);
    let left = lab.run(sent);
    let at_origin = read(&left[0].2);
    let (origin, external) = (at_origin.dst.to_string(), at_origin.src.to_string());
    let mut come = Vec::new();
    for number in 0..2u8 {
        let reply = frame(GATEWAY, &origin, 8080, &external, at_origin.src_port, 17, &[number; 20]);
        let sent = lab.give(GATEWAY, OUTSIDE, &reply);
        come.extend(sent.into_iter().filter(|sent| is_parity(sent) || number == 0));
    }
    let left = lab.run(come);
    assert!(left.iter().all(|(node, port, _)| (*node, *port) == (EDGE, OUTSIDE)));
    assert_eq!(numbers(&left), [(0, 20), (1, 20)]);
}

/// In order as well: what is rebuilt takes its turn.
#[test]
fn rebuilt_packets_take_their_turn() {
    let mut topology = topology_with(3, 1);
    topology.applications[0].routing.ordered = true;
    let mut lab = lab_of(&topology);
    let mut left = Vec::new();
    for number in 0..3u8 {
        let sent = request(&mut lab, 40000, number, 8);
        left.extend(lab.run(sent.into_iter().filter(|sent| is_parity(sent) || number != 1).collect()));
    }
    assert_eq!(numbers(&left), [(0, 8), (1, 8), (2, 8)]);
    assert_eq!(counts(&mut lab, GATEWAY), [1, 1, 0, 0, 0]);
}

/// A packet of the largest size fits, and so does the parity packet that covers it; a larger one is refused.
#[test]
fn parity_fits_the_mtu() {
    let mut lab = lab_of(&topology_with(2, 1));
    // 1500 less 76 for the overlay, 16 for the option, 4 for the shard, 28 for the client's own headers.
    let most = 1500 - 76 - 16 - 4 - 28;
    let mut sent = request(&mut lab, 40000, 1, most);
    sent.extend(request(&mut lab, 40000, 2, most));
    assert_eq!(sent.iter().map(|sent| sent.2.len()).max(), Some(14 + 1500));
    let come: Vec<Sent> = sent.into_iter().filter(is_parity).collect();
    assert_eq!(come.len(), 1);
    assert_eq!(request(&mut lab, 40000, 3, most + 1)[0].1, OUTSIDE, "an ICMP error");
}

/// With one path left there is no parity: it would load the path that loses packets, and be lost with them.
#[test]
fn no_parity_over_the_path_of_the_data() {
    let topology = topology_with(2, 1);
    let mut dead = pipelines::tables::Dead::default();
    dead.paths.push((PathId(12), NodeId(4), IpVersion::V4));
    let mut lab = lab_of(&topology);
    lab.nodes[EDGE].forwarder.swap_tables(Arc::new(tables_without(&topology, EDGE, &dead)));
    for number in 0..4 {
        let sent = request(&mut lab, 40000, number, 8);
        assert_eq!((sent.len(), sent.iter().filter(|sent| is_parity(sent)).count()), (1, 0));
        assert_eq!(numbers(&lab.run(sent)), [(number, 8)]);
    }
}

/// Other tables, with another coding, lose no group.
#[test]
fn a_group_survives_other_tables() {
    let before = topology_with(8, 2);
    let mut lab = lab_of(&before);
    let mut sent: Vec<Sent> = (0..3).flat_map(|number| request(&mut lab, 40000, number, 8)).collect();
    let old = lab.nodes[EDGE].forwarder.tables().clone();
    lab.nodes[EDGE].forwarder.swap_tables(Arc::new(tables(&topology_with(4, 1), EDGE, Some(&old))));
    sent.extend(request(&mut lab, 40000, 3, 8));
    lab.now_ns += WAIT_NS;
    sent.extend(catch_up(&mut lab, EDGE));
    let (parity, data): (Vec<Sent>, Vec<Sent>) = sent.into_iter().partition(is_parity);
    assert_eq!((parity.len(), data.len()), (2, 4), "a group keeps the coding that it began with");
    let mut got =
        numbers(&lab.run(vec![data[0].clone(), data[3].clone()].into_iter().chain(parity).collect()));
    got.sort_unstable();
    assert_eq!(got, [(0, 8), (1, 8), (2, 8), (3, 8)]);
    // From now on by the new one.
    let sent: Vec<Sent> = (0..4).flat_map(|number| request(&mut lab, 40000, number, 8)).collect();
    assert_eq!(sent.iter().filter(|sent| is_parity(sent)).count(), 1);
}

/// Options and lengths that lie are dropped with their reason; none delivers anything that was not sent.
#[test]
fn lies_are_counted() {
    let mut lab = lab_of(&topology_with(2, 1));
    let sent: Vec<Sent> = (0..2).flat_map(|number| request(&mut lab, 40000, number, 8)).collect();
    let (parity, data): (Vec<Sent>, Vec<Sent>) = sent.into_iter().partition(is_parity);
    for (at, value) in [(4, 1), (4, 255), (5, 0), (5, 9), (15, 2)] {
        let mut lying = parity.clone();
        lying[0].2[OPTION_AT + at] = value;
        assert!(lab.run(lying).is_empty(), "byte {at} as {value}");
    }
    assert_eq!(lab.dropped(GATEWAY, Reason::ParityMalformed), 5);
    // Beyond any group: nothing is there that it could be about.
    let mut jumping = parity.clone();
    jumping[0].2[GENEVE_AT + 40] = 0xff;
    assert!(lab.run(jumping).is_empty());
    // A length of the sum that no packet has.
    let mut lying = parity.clone();
    lying[0].2[OPTION_AT + 16] ^= 0x7f;
    assert_eq!(numbers(&lab.run(vec![data[0].clone(), lying[0].clone()])), [(0, 8)]);
    assert_eq!(counts(&mut lab, GATEWAY)[4], 1);
    // And what is right is right still.
    assert_eq!(numbers(&lab.run(parity)), [(1, 8)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever is lost: each packet is delivered at most once and as it was sent; and where no group loses more than its parity
    /// packets, all are.
    #[test]
    fn delivered_once_and_whenever_it_can_be(
        (k, m) in (1u8..9, 1u8..4), packets in proptest::collection::vec((0u16..3, 1usize..600), 1..60),
        lost in proptest::collection::vec(0u8..6, 200), replied in any::<bool>(),
    ) {
        let mut lab = lab_of(&topology_with(k, m.min(k)));
        let mut sent = Vec::new();
        for (number, (flow, len)) in packets.iter().enumerate() {
            sent.extend(request(&mut lab, 40000 + flow, number as u8, *len));
        }
        lab.now_ns += WAIT_NS;
        sent.extend(catch_up(&mut lab, EDGE));
        // Groups by their first packets' number: lost data, and parity that came.
        let word = |sent: &Sent, at: usize| u64::from_be_bytes(sent.2[at..at + 8].try_into().unwrap());
        let gone: Vec<bool> = sent.iter().zip(&lost).map(|(_, lost)| *lost == 0).collect();
        let mut all = true;
        for parity in sent.iter().filter(|sent| is_parity(sent)) {
            let (first, members) = (word(parity, GENEVE_AT + 40), word(parity, OPTION_AT + 8));
            let of = |sent: &Sent| {
                let step = word(sent, GENEVE_AT + 40).wrapping_sub(first);
                !is_parity(sent) && step < 64 && members >> step & 1 == 1
            };
            let missing = sent.iter().zip(&gone).filter(|(sent, gone)| of(sent) && **gone).count();
            let came = sent.iter().zip(&gone).filter(|(sent, gone)| is_parity(sent) && word(sent, GENEVE_AT + 40) == first && !**gone);
            all &= missing <= came.count();
        }
        let mut come: Vec<Sent> = sent.iter().zip(&gone).filter(|(_, gone)| !**gone).map(|(sent, _)| sent.clone()).collect();
        if replied {
            // All of it a second time, as a network may.
            come.extend(come.clone());
        }
        let mut got = numbers(&lab.run(come));
        let count = got.len();
        got.sort_unstable();
        got.dedup();
        prop_assert_eq!(got.len(), count, "twice");
        let expected: Vec<(u8, usize)> = (0..).zip(packets.iter().map(|(_, len)| *len)).collect();
        prop_assert!(got.iter().all(|packet| expected.contains(packet)), "{:?}", got);
        if all {
            prop_assert_eq!(got, expected);
        }
    }
}
