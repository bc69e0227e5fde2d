//! Fragments through the overlay: in any order, over both paths, to any worker, both ways; none that overlaps.
#![allow(clippy::unwrap_used)] // a failed unwrap fails its test

mod common;

use common::*;
use packet::extent::Extent;
use packet::fragment::{Piece, Pieces};
use packet::heap::HeapBuf;
use packet::{Addr, PacketBuf, Reason, checksum, ip};
use pipelines::{Burst, PortIndex};
use proptest::prelude::*;
use std::collections::HashSet;

#[derive(Clone, Copy, Debug)]
struct Ends {
    client: &'static str,
    vip: &'static str,
}

const FAMILIES: [Ends; 2] = [
    Ends { client: "198.51.100.77", vip: "203.0.113.10" },
    Ends { client: "2001:db8:c::77", vip: "2001:db8:a::10" },
];
const STEP: usize = 64;

/// A datagram's content.
fn content(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

/// A datagram in so many frames, of 64 bytes of payload each but the last.
fn pieces(
    node: usize,
    src: (&str, u16),
    dst: (&str, u16),
    count: usize,
    identification: u32,
) -> Vec<Vec<u8>> {
    let whole = frame(node, src.0, src.1, dst.0, dst.1, 17, &content(count * STEP - 11));
    if addr(src.0).is_v4() {
        let mut whole = whole;
        whole[18..20].copy_from_slice(&(identification as u16).to_be_bytes());
        whole[20..22].fill(0);
        whole[24..26].fill(0);
        let sum = !checksum::sum(&whole[14..34]);
        whole[24..26].copy_from_slice(&sum.to_be_bytes());
        let write = |piece: Piece| {
            let mut out = whole[..14].to_vec();
            out.resize(14 + piece.len(), 0);
            piece.write(&whole[14..], &mut out[14..]);
            out
        };
        return Pieces::of(&whole[14..], 20 + STEP as u16).unwrap().map(write).collect();
    }
    let chunks = whole[54..].chunks(STEP);
    let last = chunks.len() - 1;
    chunks
        .enumerate()
        .map(|(at, chunk)| six(&whole[..54], chunk, at * STEP, at < last, identification))
        .collect()
}

/// A fragment of IPv6 under the headers of the whole.
fn six(head: &[u8], chunk: &[u8], offset: usize, more: bool, identification: u32) -> Vec<u8> {
    let mut out = head.to_vec();
    out[18..20].copy_from_slice(&(8 + chunk.len() as u16).to_be_bytes());
    let next = core::mem::replace(&mut out[20], 44);
    out.extend([next, 0]);
    out.extend((offset as u16 | more as u16).to_be_bytes());
    out.extend(identification.to_be_bytes());
    out.extend(chunk);
    out
}

/// Puts frames together by another library; gives the ends of the datagram, whose checksum must hold.
fn assembled(frames: &[Vec<u8>], count: usize) -> ((Addr, u16), (Addr, u16)) {
    let mut pool = etherparse::defrag::IpDefragPool::<(), ()>::new();
    let mut found = None;
    for frame in frames {
        let sliced = etherparse::SlicedPacket::from_ip(&frame[14..]).unwrap();
        found = pool.process_sliced_packet(&sliced, (), ()).unwrap().or(found);
    }
    let udp = found.unwrap().payload;
    let first = frames
        .iter()
        .map(|frame| ip::parse(&frame[14..]).unwrap())
        .find(|packet| packet.dst_port != 0)
        .unwrap();
    let pseudo = checksum::pseudo_header(first.src, first.dst, 17, udp.len() as u32);
    assert_eq!(checksum::sum_onto(pseudo, &udp), 0xffff);
    assert_eq!(udp[8..], content(count * STEP - 11));
    ((first.src, first.src_port), (first.dst, first.dst_port))
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let shorter = permutations(count - 1);
    let with = |rest: &Vec<usize>| {
        let place = |at: usize| {
            let mut all = rest.clone();
            all.insert(at, count - 1);
            all
        };
        (0..count).map(place).collect::<Vec<_>>()
    };
    shorter.iter().flat_map(with).collect()
}

/// Gives frames to a node in this order and returns what leaves the overlay.
fn pass<'a>(lab: &mut Lab, node: usize, frames: impl Iterator<Item = &'a Vec<u8>>) -> Vec<Vec<u8>> {
    let mut left = Vec::new();
    for frame in frames {
        let sent = lab.give(node, OUTSIDE, frame);
        left.extend(lab.run(sent).into_iter().map(|(_, _, frame)| frame));
    }
    left
}

#[test]
fn every_order_of_three_to_five_fragments_passes_both_ways() {
    for ends in FAMILIES {
        let mut lab = Lab::new();
        let mut number = 0;
        for count in 3..=5 {
            for order in permutations(count) {
                number += 1;
                let request = pieces(EDGE, (ends.client, 4000), (ends.vip, 53), count, number);
                assert_eq!(request.len(), count);
                let left = pass(&mut lab, EDGE, order.iter().map(|at| &request[*at]));
                assert_eq!(left.len(), count, "{order:?}");
                let (external, origin) = assembled(&left, count);
                let (from, to) = (origin.0.to_string(), external.0.to_string());
                let reply = pieces(GATEWAY, (&from, origin.1), (&to, external.1), count, number);
                let left = pass(&mut lab, GATEWAY, order.iter().map(|at| &reply[*at]));
                assert_eq!(left.len(), count, "{order:?}");
                let (vip, client) = assembled(&left, count);
                assert_eq!((vip, client), ((addr(ends.vip), 53), (addr(ends.client), 4000)));
            }
        }
        assert_eq!(lab.nodes[GATEWAY].counters.roles.fragments_held.get(), 0);
        let reasons = Reason::ALL.iter().filter(|reason| lab.dropped(GATEWAY, **reason) > 0);
        assert_eq!(reasons.collect::<Vec<_>>(), [&Reason::Duplicate]);
        assert_eq!(lab.pool.available(), lab.pool.capacity());
    }
}

#[test]
fn clients_that_use_one_identification_get_different_ones() {
    for ends in FAMILIES {
        let mut lab = Lab::new();
        let mut leaving = Vec::new();
        let sent: Vec<_> =
            (0..40).map(|port| pieces(EDGE, (ends.client, 4000 + port), (ends.vip, 53), 3, 7)).collect();
        // Two at a time, interleaved as far as they come from different hosts; here it is the ports that differ.
        for frames in &sent {
            leaving.push(pass(&mut lab, EDGE, frames.iter()));
        }
        let identification = |frame: &Vec<u8>| {
            packet::fragment::identification(&frame[14..], &ip::parse(&frame[14..]).unwrap()).unwrap()
        };
        let mut seen = HashSet::new();
        for frames in &leaving {
            assembled(frames, 3);
            let own: HashSet<u32> = frames.iter().map(identification).collect();
            assert_eq!(own.len(), 1);
            assert!(seen.insert(identification(&frames[0])));
        }
    }
}

/// Two clients behind one external address fragment at the same time with the same identification to the same origin.
#[test]
fn interleaved_datagrams_of_two_clients_are_put_together_right() {
    let mut topology = topology();
    topology.nodes[GATEWAY].nat_pool = vec![common::ip("10.9.0.100")..=common::ip("10.9.0.100")];
    topology.applications[0].origins.truncate(1);
    let mut lab = Lab::with(&topology, 1);
    let clients = ["198.51.100.77", "198.51.100.78"];
    let sent = clients.map(|client| pieces(EDGE, (client, 4000), ("203.0.113.10", 53), 4, 99));
    let order = [(0, 0), (1, 3), (1, 0), (0, 2), (0, 1), (1, 1), (1, 2), (0, 3)];
    let left = pass(&mut lab, EDGE, order.iter().map(|(client, at)| &sent[*client][*at]));
    let identifications: HashSet<_> = left.iter().map(|frame| frame[18..20].to_vec()).collect();
    assert_eq!(identifications.len(), 2);
    for identification in identifications {
        let own: Vec<_> = left.iter().filter(|frame| frame[18..20] == identification).cloned().collect();
        assembled(&own, 4);
    }
}

#[test]
fn overlapping_fragments_and_what_follows_never_leave() {
    for ends in FAMILIES {
        let mut lab = Lab::new();
        let sent = pieces(EDGE, (ends.client, 4000), (ends.vip, 53), 4, 7);
        // Eight bytes further back than it was: it overlaps the one before it.
        let mut evil = sent[1].clone();
        match evil[14] >> 4 {
            4 => {
                evil[21] -= 1;
                evil[24..26].fill(0);
                let sum = !checksum::sum(&evil[14..34]);
                evil[24..26].copy_from_slice(&sum.to_be_bytes());
            }
            _ => evil[57] -= 8,
        }
        for order in [[&sent[0], &evil, &sent[1], &sent[3]], [&evil, &sent[3], &sent[0], &sent[1]]] {
            let left = pass(&mut lab, EDGE, order.into_iter());
            let extents: Vec<_> = left
                .iter()
                .map(|frame| Extent::of(&frame[14..], &ip::parse(&frame[14..]).unwrap()).unwrap())
                .collect();
            let apart = |a: &Extent, b: &Extent| a.end <= b.start || b.end <= a.start;
            assert!(extents.iter().enumerate().all(|(at, a)| extents[..at].iter().all(|b| apart(a, b))));
            assert!(left.len() <= 1 && lab.dropped(GATEWAY, Reason::FragmentOverlap) >= 2, "{}", left.len());
            lab.now_ns += 40 * SECOND;
            lab.sweep();
        }
        assert_eq!(lab.pool.available(), lab.pool.capacity());
    }
}

/// Copies of fragments come over two paths, in any order and with one of both copies missing.
fn over_two_paths(ends: Ends, order: &[prop::sample::Index], lost: &[bool]) {
    let mut lab = Lab::new();
    let sent = pieces(EDGE, (ends.client, 4000), (ends.vip, 53), 5, 7);
    let mut copies: Vec<Sent> = Vec::new();
    for (frame, lost) in sent.iter().zip(lost) {
        let both = lab.give(EDGE, OUTSIDE, frame);
        assert_eq!(both.len(), 2);
        copies.extend(both.into_iter().skip(*lost as usize));
    }
    let mut left = Vec::new();
    for index in order {
        if !copies.is_empty() {
            let next = copies.remove(index.index(copies.len()));
            left.extend(lab.run(vec![next]));
        }
    }
    left.extend(lab.run(copies));
    assert_eq!(left.len(), 5);
    assembled(&left.into_iter().map(|(_, _, frame)| frame).collect::<Vec<_>>(), 5);
    assert_eq!(lab.pool.available(), lab.pool.capacity());
}

/// A gateway of several workers; frames come in on any of them.
struct Workers {
    workers: Vec<Node_>,
}

impl Workers {
    /// Gives a frame to a worker, and what it hands over to the others; returns what leaves.
    fn give(&mut self, lab: &mut Lab, worker: usize, port: PortIndex, frame: &[u8]) -> Vec<Sent> {
        let mut sent = Vec::new();
        let mut queue = vec![(worker, port, lab.pool.with(frame).unwrap(), false)];
        let mut turns = 0;
        while let Some((worker, port, buf, handed)) = queue.pop() {
            turns += 1;
            assert!(turns < 50, "handed around for ever");
            let mut burst: Burst<HeapBuf> = Burst::new();
            burst.push(buf);
            let Node_ { forwarder, out, .. } = &mut self.workers[worker];
            match handed {
                true => forwarder.process_handed(lab.now_ns, port, &mut burst, &mut lab.pool, out),
                false => forwarder.process(lab.now_ns, port, &mut burst, &mut lab.pool, out),
            }
            for (number, frames) in out.tx.iter_mut().enumerate() {
                sent.extend(
                    frames.drain(..).map(|buf| (GATEWAY, PortIndex(number as u8), buf.data().to_vec())),
                );
            }
            out.ports = 0;
            // A queue: what was handed over first comes first.
            for handoff in out.handoffs.drain(..) {
                queue.insert(0, (handoff.worker as usize, handoff.port, handoff.buf, true));
            }
        }
        sent
    }
}

/// Requests reach their stream's worker and replies their session's, whichever worker the NIC gave a fragment to.
fn to_any_worker(ends: Ends, workers: u16, order: &[prop::sample::Index], given: &[prop::sample::Index]) {
    let mut topology = topology();
    topology.nodes[GATEWAY].workers = workers;
    let mut lab = Lab::with(&topology, 1);
    let nodes = (0..workers).map(|worker| Node_::new(&topology, GATEWAY, worker, workers));
    let mut gateway = Workers { workers: nodes.collect() };
    let mut given = given.iter().cycle();
    let mut any = || given.next().unwrap().index(workers as usize);
    let shuffled = |mut frames: Vec<Vec<u8>>| -> Vec<Vec<u8>> {
        order
            .iter()
            .map_while(|index| (!frames.is_empty()).then(|| frames.remove(index.index(frames.len()))))
            .collect()
    };
    for (client_port, identification) in [(4000, 1), (4001, 2), (4002, 12345)] {
        let mut left = Vec::new();
        for frame in shuffled(pieces(EDGE, (ends.client, client_port), (ends.vip, 53), 5, identification)) {
            for (node, _, copy) in lab.give(EDGE, OUTSIDE, &frame) {
                assert_eq!(node, EDGE);
                for (_, _, copy) in lab.give(copy[4] as usize, UNDERLAY, &copy) {
                    left.extend(gateway.give(&mut lab, any(), UNDERLAY, &copy));
                }
            }
        }
        let left: Vec<_> = left.into_iter().map(|(_, _, frame)| frame).collect();
        let (external, origin) = assembled(&left, 5);
        let (from, to) = (origin.0.to_string(), external.0.to_string());
        let mut back = Vec::new();
        for frame in shuffled(pieces(GATEWAY, (&from, origin.1), (&to, external.1), 5, identification)) {
            let copies = gateway.give(&mut lab, any(), OUTSIDE, &frame);
            back.extend(lab.run(copies).into_iter().map(|(_, _, frame)| frame));
        }
        let (vip, client) = assembled(&back, 5);
        assert_eq!((vip, client), ((addr(ends.vip), 53), (addr(ends.client), client_port)));
    }
    assert_eq!(lab.pool.available(), lab.pool.capacity());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn copies_over_two_paths_in_any_order(
        order in proptest::collection::vec(any::<prop::sample::Index>(), 10),
        lost: [bool; 5], family in 0usize..2,
    ) {
        over_two_paths(FAMILIES[family], &order, &lost);
    }

    #[test]
    fn fragments_find_their_worker(
        order in proptest::collection::vec(any::<prop::sample::Index>(), 5),
        given in proptest::collection::vec(any::<prop::sample::Index>(), 20),
        workers in 2u16..5, family in 0usize..2,
    ) {
        to_any_worker(FAMILIES[family], workers, &order, &given);
    }
}

/// A source that floods takes nothing from another's datagrams, nor from its unfragmented packets.
#[test]
fn a_flood_of_fragments_hurts_nobody_else() {
    for ends in FAMILIES {
        let mut lab = Lab::new();
        let attacker = if addr(ends.client).is_v4() { "198.51.100.99" } else { "2001:db8:c:9::99" };
        let sent = pieces(EDGE, (ends.client, 4000), (ends.vip, 53), 5, 7);
        let mut left = Vec::new();
        // The victim's come last to first, each after more of the attacker's than all places.
        for frame in sent.iter().rev() {
            for number in 0..300 {
                let evil = pieces(EDGE, (attacker, number as u16), (ends.vip, 53), 3, number);
                pass(&mut lab, EDGE, evil[1 + number as usize % 2..2 + number as usize % 2].iter());
            }
            left.extend(pass(&mut lab, EDGE, [frame].into_iter()));
        }
        assembled(&left, 5);
        assert!(lab.dropped(GATEWAY, Reason::FragmentLimit) > 1000);
        let plain = frame(EDGE, ends.client, 4001, ends.vip, 80, 6, &[]);
        assert_eq!(pass(&mut lab, EDGE, [&plain].into_iter()).len(), 1);
        lab.now_ns += 3 * SECOND;
        lab.sweep();
        assert_eq!(lab.pool.available(), lab.pool.capacity());
    }
}
