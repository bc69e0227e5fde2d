//! Both halves together, over a way that loses, reorders and repeats.

use super::*;
use crate::elimination::StreamIndex;
use crate::topology::NodeId;
use crate::wire::{Order, Parity};
use packet::IpVersion;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const BASE: u64 = 1 << 60;

#[derive(Clone, Debug)]
struct Sent {
    sequence: u64,
    kind: Kind,
    payload: Vec<u8>,
}

#[derive(Clone, Debug)]
enum Packet {
    Data(Sent),
    Parity(u64, Parity, Vec<u8>),
}

/// A sender of one stream.
fn encode(sent: &[Sent], coding: Coding) -> Vec<Packet> {
    let mut encoder = Encoder::default();
    encoder.reserve(1);
    let mut out = Vec::new();
    let close = |encoder: &mut Encoder, at, out: &mut Vec<Packet>| {
        let closed = encoder.close(at).expect("an open group");
        for index in 0..closed.parity {
            let parity = Parity { index, count: closed.parity, members: closed.members };
            out.push(Packet::Parity(closed.first, parity, encoder.sum(at, index).expect("a sum").to_vec()));
        }
    };
    for Sent { sequence, kind, payload } in sent {
        let member =
            Member { destination: 0, bucket: 3, sequence: *sequence, epoch: 1, kind: *kind, coding, way: 0 };
        while let Some(at) = encoder.in_the_way(&member) {
            close(&mut encoder, at, &mut out);
        }
        let full = encoder.add(0, &member, payload);
        out.push(Packet::Data(Sent { sequence: *sequence, kind: *kind, payload: payload.clone() }));
        if let Some(at) = full {
            close(&mut encoder, at, &mut out);
        }
    }
    while let Some(at) = encoder.overdue(u64::MAX) {
        close(&mut encoder, at, &mut out);
    }
    assert!(encoder.is_empty() && encoder.overdue(u64::MAX).is_none());
    out
}

/// A receiver that takes what it is given; returns what it delivered, by number, and checks that nothing comes twice.
#[derive(Default)]
struct Receiver {
    decoder: Decoder,
    passed: BTreeMap<u64, (Kind, Vec<u8>)>,
    rebuilt: BTreeSet<u64>,
}

impl Receiver {
    fn new(bounds: Bounds) -> Receiver {
        let mut receiver = Receiver::default();
        receiver.decoder.reserve(bounds);
        receiver
    }

    fn take(&mut self, now_ns: u64, packet: &Packet) -> Option<Taken> {
        let from = From { place: StreamIndex(9), source: NodeId(1), stream: 3, epoch: 1, path: 0 };
        let taken = match packet {
            Packet::Data(Sent { sequence, kind, payload }) => {
                if !self.passed.contains_key(sequence) {
                    let copied = self.decoder.copy(kind, payload);
                    self.passed.insert(*sequence, (*kind, payload.clone()));
                    copied
                        .into_iter()
                        .for_each(|copied| self.decoder.keep(copied, StreamIndex(9), *sequence));
                }
                None
            }
            Packet::Parity(first, parity, payload) => {
                let passed = &self.passed;
                let is_missing = |sequence: u64| !passed.contains_key(&sequence);
                Some(self.decoder.take(now_ns, from, *first, *parity, payload, is_missing))
            }
        };
        let Receiver { decoder, passed, rebuilt } = self;
        while decoder.rebuild(|got, sequence, shard| {
            assert_eq!(got, from);
            if let std::collections::btree_map::Entry::Vacant(vacant) = passed.entry(sequence) {
                vacant.insert((shard.kind, shard.payload.to_vec()));
                rebuilt.insert(sequence);
            }
        }) {}
        taken
    }
}

fn packets() -> impl Strategy<Value = Vec<Sent>> {
    let payload = prop_oneof![
        4 => proptest::collection::vec(any::<u8>(), 1..80),
        1 => (1000usize..1500, any::<u8>()).prop_map(|(len, byte)| vec![byte; len]),
    ];
    let one = (payload, any::<bool>(), proptest::option::of((any::<u32>(), any::<u32>())), 1u64..4);
    proptest::collection::vec(one, 1..80).prop_map(|packets| {
        let mut sequence = BASE;
        let sent = packets.into_iter().map(|(payload, v6, order, step)| {
            sequence += step;
            let version = if v6 { IpVersion::V6 } else { IpVersion::V4 };
            let order = order.map(|(flow, back)| Order { flow, back });
            Sent { sequence, kind: Kind { version, order }, payload }
        });
        sent.collect()
    })
}

/// The groups of what was sent, by their first number: members and count of parity packets.
fn groups(sent: &[Packet]) -> BTreeMap<u64, Parity> {
    let parity = sent.iter().filter_map(|packet| match packet {
        Packet::Parity(first, parity, _) => Some((*first, *parity)),
        Packet::Data(_) => None,
    });
    parity.collect()
}

proptest! {
    /// Of every group of which no more packets are lost than parity packets come, all packets are delivered, bit for bit, in
    /// whatever order what is left of it comes; of others never anything that was not sent.
    #[test]
    fn what_can_be_rebuilt_is_and_nothing_else(
        sent in packets(), k in 1u8..=PACKETS_MAX, m in 1u8..=4, losses: u64, keys in proptest::collection::vec(any::<u64>(), 512),
        shuffled: bool,
    ) {
        let coding = Coding { packets: k, parity: m, wait_us: 1000 };
        let all = encode(&sent, coding);
        let lost = |at: usize| {
            (at as u64 + 1).wrapping_mul(losses | 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61 == 0
        };
        let mut left: Vec<&Packet> = all.iter().enumerate().filter(|(at, _)| !lost(*at)).map(|(_, packet)| packet).collect();
        if shuffled {
            let mut order: Vec<usize> = (0..left.len()).collect();
            order.sort_by_key(|at| keys[*at % keys.len()]);
            left = order.into_iter().map(|at| left[at]).collect();
        }
        let mut receiver = Receiver::new(Bounds { bytes: 1 << 20, groups: 128, hold_ns: 1 });
        for packet in &left {
            receiver.take(0, packet);
        }
        let sent: BTreeMap<u64, &Sent> = sent.iter().map(|one| (one.sequence, one)).collect();
        for (sequence, (kind, payload)) in &receiver.passed {
            let one = sent.get(sequence).expect("a number that was sent");
            prop_assert_eq!((&one.kind, &one.payload), (kind, payload), "number {}", sequence);
        }
        let came: BTreeSet<u64> = left.iter().filter_map(|packet| match packet {
            Packet::Data(one) => Some(one.sequence),
            Packet::Parity(..) => None,
        }).collect();
        for (first, group) in groups(&all) {
            let members: Vec<u64> = (0..SPAN).filter(|step| group.members >> step & 1 == 1).map(|step| first + step).collect();
            prop_assert!(u64::from(group.count) == u64::from(m).min(members.len() as u64));
            let missing = members.iter().filter(|sequence| !came.contains(sequence)).count();
            let parity = left.iter().filter(|packet| matches!(packet, Packet::Parity(of, ..) if *of == first)).count();
            let rebuilt = members.iter().all(|sequence| receiver.passed.contains_key(sequence));
            prop_assert_eq!(rebuilt, missing <= parity, "group {:?} lost {}, {} parity packets", group, missing, parity);
        }
        // Whatever waits ends with its time.
        receiver.decoder.sweep(1);
        prop_assert!(receiver.decoder.is_empty());
    }

    /// Bytes of anybody's neither panic, nor claim memory, nor deliver what no shard could be.
    #[test]
    fn hostile_parity_is_bounded(
        sent in packets(),
        forged in proptest::collection::vec((0u64..400, any::<u8>(), any::<u8>(), any::<u64>(), proptest::collection::vec(any::<u8>(), 0..90)), 1..200),
    ) {
        let mut receiver = Receiver::new(Bounds { bytes: 4096, groups: 8, hold_ns: 10 });
        let mut sent = sent.into_iter();
        for (now_ns, (ahead, index, count, members, payload)) in (0..).zip(forged) {
            if let Some(one) = sent.next() {
                receiver.take(now_ns, &Packet::Data(one));
            }
            let parity = Parity { index: index % 6, count: count % 6, members: members | u64::from(index & 1) };
            receiver.take(now_ns, &Packet::Parity(BASE + ahead, parity, payload));
            prop_assert!(receiver.decoder.len() <= 8);
        }
        receiver.decoder.sweep(u64::MAX);
        prop_assert!(receiver.decoder.is_empty());
    }
}

fn data(sequence: u64, payload: &[u8]) -> Sent {
    let kind = Kind { version: IpVersion::V4, order: None };
    Sent { sequence, kind, payload: payload.to_vec() }
}

#[test]
fn a_group_ends_by_its_packets_its_span_its_epoch_and_its_time() {
    let mut encoder = Encoder::default();
    encoder.reserve(2);
    let kind = Kind { version: IpVersion::V4, order: None };
    let coding = Coding { packets: 3, parity: 2, wait_us: 5 };
    let member =
        |sequence, epoch| Member { destination: 1, bucket: 0, sequence, epoch, kind, coding, way: 7 };
    assert_eq!(encoder.add(0, &member(1, 0), &[1]), None);
    assert_eq!(encoder.in_the_way(&member(64, 0)), None);
    let own = encoder.in_the_way(&member(65, 0)).unwrap();
    assert_eq!(encoder.in_the_way(&member(2, 1)), Some(own));
    assert_eq!(encoder.add(0, &member(2, 0), &[1]), None);
    assert_eq!(encoder.add(0, &member(4, 0), &[1, 2]), Some(own));
    let closed = encoder.close(own).unwrap();
    assert_eq!((closed.first, closed.members, closed.parity, closed.way), (1, 0b1011, 2, 7));
    // Lengths 1, 1 and 2; bytes 1, 1 and 1, then 2.
    assert_eq!(encoder.sum(own, 0).unwrap(), [0, 2, 0, 0, 1, 2]);
    assert!(encoder.close(own).is_none() && !encoder.is_due(u64::MAX));
    // A short one, after its time.
    assert_eq!(encoder.add(1000, &member(5, 0), &[1]), None);
    assert!(encoder.overdue(5999).is_none() && !encoder.is_due(5999) && encoder.is_due(6000));
    let at = encoder.overdue(6000).unwrap();
    assert_eq!(encoder.close(at).unwrap().parity, 1, "one packet has one parity packet");
    assert_eq!(encoder.counts(), EncoderCounts { full: 1, short: 1 });
}

#[test]
fn where_all_places_are_taken_the_oldest_group_ends() {
    let mut encoder = Encoder::default();
    encoder.reserve(1);
    let kind = Kind { version: IpVersion::V4, order: None };
    let member = |bucket| Member {
        destination: 0,
        bucket,
        sequence: 9,
        epoch: 0,
        kind,
        coding: Coding::default(),
        way: 0,
    };
    for bucket in 0..128 {
        assert_eq!(encoder.in_the_way(&member(bucket)), None);
        assert_eq!(encoder.add(u64::from(bucket), &member(bucket), &[1]), None);
    }
    let oldest = encoder.in_the_way(&member(200)).unwrap();
    assert_eq!(encoder.close(oldest).unwrap().bucket, 0);
    assert_eq!(encoder.in_the_way(&member(200)), None);
}

#[test]
fn what_is_no_longer_there_is_counted() {
    let coding = Coding { packets: 2, parity: 1, wait_us: 0 };
    let all = encode(&[data(BASE, &[7; 60]), data(BASE + 1, &[8; 60])], coding);
    let mut receiver = Receiver::new(Bounds { bytes: 1024, groups: 2, hold_ns: 5 });
    receiver.take(0, &all[0]);
    for later in 10..40 {
        receiver.take(0, &Packet::Data(data(BASE + later, &[9; 60])));
    }
    assert_eq!(receiver.take(0, &all[2]), Some(Taken::Unusable));
    // Nothing missing; nothing there at all, given up in time.
    let mut receiver = Receiver::new(Bounds { bytes: 1024, groups: 2, hold_ns: 5 });
    assert_eq!(receiver.take(0, &all[2]), Some(Taken::Waits));
    assert_eq!(receiver.decoder.len(), 1);
    receiver.decoder.sweep(4);
    assert_eq!(receiver.decoder.len(), 1);
    receiver.decoder.sweep(5);
    assert_eq!(receiver.decoder.len(), 0);
    receiver.take(6, &all[0]);
    receiver.take(6, &all[1]);
    assert_eq!(receiver.take(6, &all[2]), Some(Taken::Unneeded));
    assert_eq!(receiver.decoder.counts(), DecoderCounts { unneeded: 1, unfinished: 1, unusable: 0 });
}

/// A rebuilt packet whose shard contradicts itself is not delivered.
#[test]
fn lying_lengths_deliver_nothing() {
    let coding = Coding { packets: 2, parity: 1, wait_us: 0 };
    let all = encode(&[data(BASE, &[7; 60]), data(BASE + 1, &[8; 60])], coding);
    let Packet::Parity(first, parity, payload) = &all[2] else { panic!("{:?}", all[2]) };
    for at in 0..4 {
        let mut lying = payload.clone();
        lying[at] ^= 0x41;
        let mut receiver = Receiver::new(Bounds { bytes: 1024, groups: 2, hold_ns: 5 });
        receiver.take(0, &all[0]);
        let taken = receiver.take(0, &Packet::Parity(*first, *parity, lying));
        assert_eq!((taken, receiver.rebuilt.len()), (Some(Taken::Ready), 0), "byte {at}");
        assert_eq!(receiver.decoder.counts().unusable, 1);
    }
    let mut receiver = Receiver::new(Bounds { bytes: 1024, groups: 2, hold_ns: 5 });
    receiver.take(0, &all[0]);
    let short = Packet::Parity(*first, *parity, payload[..20].to_vec());
    assert_eq!((receiver.take(0, &short), receiver.rebuilt.len()), (Some(Taken::Ready), 0));
    for parity in
        [Parity { index: 1, ..*parity }, Parity { count: 5, ..*parity }, Parity { members: 2, ..*parity }]
    {
        assert_eq!(
            receiver.take(0, &Packet::Parity(*first, parity, payload.clone())),
            Some(Taken::Malformed)
        );
    }
}
