//! The slow path against a station on its link, in virtual time.

use super::*;
use etherparse::{Icmpv4Type, Icmpv6Type, PacketBuilder};
use packet::{checksum, transport};
use proptest::prelude::*;
use std::net::IpAddr;

const PORT: PortIndex = PortIndex(0);
const SECOND_NS: u64 = 1_000_000_000;
const OWN: Mac = Mac([2, 0, 0, 0, 0, 1]);
const PEER: Mac = Mac([2, 0, 0, 0, 0, 9]);

fn addr(text: &str) -> Addr {
    text.parse::<IpAddr>().unwrap().into()
}

fn config(vlan: Option<u16>) -> Config {
    let addresses = vec!["192.0.2.1/24".parse().unwrap(), "2001:db8:1::1/64".parse().unwrap()];
    Config {
        ports: vec![Port { mac: OWN, vlan, addresses }],
        answered: vec![addr("192.0.2.77"), addr("203.0.113.5"), addr("2001:db8:1::77")],
        next_hops: Vec::new(),
        neighbors_max: 4,
        seed: 3,
    }
}

/// A slow path whose announcements are over.
fn quiet(config: &Config) -> (SlowPath, u64) {
    let mut slow = SlowPath::new(0, config);
    let now = 10 * SECOND_NS;
    slow.tick(now);
    slow.tick(2 * now);
    frames(&mut slow);
    (slow, 2 * now)
}

fn frames(slow: &mut SlowPath) -> Vec<Vec<u8>> {
    core::iter::from_fn(|| slow.poll_frame()).map(|(_, frame)| frame).collect()
}

fn arp(operation: u8, sender: (Mac, &str), target: (Mac, &str)) -> Vec<u8> {
    let mut frame = Vec::new();
    frame.extend([0xff; 6]);
    frame.extend(sender.0.0);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
    frame.extend(sender.0.0);
    frame.extend(addr(sender.1).v4_bytes());
    frame.extend(target.0.0);
    frame.extend(addr(target.1).v4_bytes());
    frame
}

/// A neighbour discovery message with one option; `hop_limit` 255 is right.
fn ndp(kind: u8, flags: u8, src: &str, dst: &str, target: &str, option: u8, hop_limit: u8) -> Vec<u8> {
    let mut message = vec![kind, 0, 0, 0, flags, 0, 0, 0];
    message.extend(addr(target).v6_bytes());
    if option != 0 {
        message.extend([option, 1]);
        message.extend(PEER.0);
    }
    let mut frame = Vec::new();
    frame.extend(OWN.0);
    frame.extend(PEER.0);
    frame.extend([0x86, 0xdd]);
    super::frame::push_icmpv6(&mut frame, addr(src), addr(dst), hop_limit, &message);
    frame
}

const ASK: (u8, u8) = (1, 135);
const TELL: (u8, u8) = (2, 136);
const NO_MAC: Mac = Mac([0; 6]);

#[test]
fn announces_every_address_on_its_link() {
    let mut slow = SlowPath::new(0, &config(Some(7)));
    let sent = frames(&mut slow);
    // Two own addresses, a link-local one, and the two further ones that are on the link.
    assert_eq!(sent.len(), 5);
    assert!(sent.iter().all(|frame| frame.len() >= 60 && frame[12..16] == [0x81, 0, 0, 7]));
    let v4: Vec<_> = sent.iter().filter(|f| f[16..18] == [8, 6]).map(|f| f[32..36].to_vec()).collect();
    assert_eq!(v4, [[192, 0, 2, 1], [192, 0, 2, 77]]);
}

#[test]
fn answers_arp_for_its_addresses_only_and_learns_who_asked() {
    let (mut slow, now) = quiet(&config(None));
    for (target, answers) in [("192.0.2.1", 1), ("192.0.2.77", 1), ("203.0.113.5", 0), ("192.0.2.3", 0)] {
        slow.handle(now, PORT, &arp(ASK.0, (PEER, "192.0.2.9"), (NO_MAC, target)));
        let sent = frames(&mut slow);
        assert_eq!(sent.len(), answers, "{target}");
        for frame in sent {
            assert_eq!((&frame[..6], &frame[6..12], frame[21]), (&PEER.0[..], &OWN.0[..], 2));
            assert_eq!(&frame[28..32], &addr(target).v4_bytes());
        }
    }
    assert_eq!(slow.neighbors().collect::<Vec<_>>(), [(PORT, addr("192.0.2.9"), PEER)]);
    // It is confirmed soon, asked directly; and gone after three silent probes and three to everyone.
    let mut probes = Vec::new();
    while let Some(at) = slow.poll_timeout().filter(|at| *at < now + 60 * SECOND_NS) {
        slow.tick(at);
        probes.extend(frames(&mut slow).iter().map(|frame| (at - now, Mac(*frame.first_chunk().unwrap()))));
    }
    let seconds = |n: u64| n * SECOND_NS;
    let expected =
        [(5, PEER), (6, PEER), (7, PEER), (8, Mac::BROADCAST), (9, Mac::BROADCAST), (10, Mac::BROADCAST)];
    assert_eq!(probes, expected.map(|(at, mac)| (seconds(at), mac)));
    assert_eq!(slow.neighbors().count(), 0);
}

#[test]
fn a_probe_or_a_foreign_request_makes_no_entry_but_updates_one() {
    let (mut slow, now) = quiet(&config(None));
    slow.handle(now, PORT, &arp(ASK.0, (PEER, "0.0.0.0"), (NO_MAC, "192.0.2.1")));
    assert_eq!(frames(&mut slow).len(), 1);
    slow.handle(now, PORT, &arp(ASK.0, (PEER, "192.0.2.9"), (NO_MAC, "192.0.2.3")));
    slow.handle(now, PORT, &arp(TELL.0, (PEER, "192.0.2.9"), (OWN, "192.0.2.1")));
    slow.handle(now, PORT, &arp(ASK.0, (PEER, "198.51.100.9"), (NO_MAC, "192.0.2.1")));
    assert_eq!(slow.neighbors().count(), 0);
    slow.handle(now, PORT, &arp(ASK.0, (PEER, "192.0.2.9"), (NO_MAC, "192.0.2.1")));
    let moved = Mac([2, 0, 0, 0, 0, 10]);
    let before = slow.version();
    slow.handle(now, PORT, &arp(ASK.0, (moved, "192.0.2.9"), (NO_MAC, "192.0.2.9")));
    assert_eq!(slow.neighbors().collect::<Vec<_>>(), [(PORT, addr("192.0.2.9"), moved)]);
    assert!(slow.version() > before);
}

#[test]
fn another_station_with_our_address_is_counted_and_not_learned() {
    let (mut slow, now) = quiet(&config(None));
    slow.handle(now, PORT, &arp(ASK.0, (PEER, "192.0.2.1"), (NO_MAC, "192.0.2.1")));
    slow.handle(now, PORT, &ndp(TELL.1, 0x20, "2001:db8:1::1", "ff02::1", "2001:db8:1::1", 2, 255));
    assert_eq!((slow.counters().conflicts, slow.neighbors().count()), (2, 0));
}

#[test]
fn holds_frames_until_the_neighbor_answers() {
    let (mut slow, now) = quiet(&config(None));
    let hop = addr("192.0.2.9");
    for _ in 0..HELD_PER_NEIGHBOR_MAX + 2 {
        slow.resolve(now, PORT, hop, vec![0xee; 80]);
    }
    assert_eq!(slow.held(), HELD_PER_NEIGHBOR_MAX);
    assert_eq!(slow.drops()[Reason::NeighborUnknown.index()], 2);
    let asked = frames(&mut slow);
    assert_eq!((asked.len(), &asked[0][38..42]), (1, &hop.v4_bytes()[..]));
    slow.handle(now + 1, PORT, &arp(TELL.0, (PEER, "192.0.2.9"), (OWN, "192.0.2.1")));
    let released = frames(&mut slow);
    assert_eq!(released.len(), HELD_PER_NEIGHBOR_MAX);
    assert!(released.iter().all(|frame| frame[..6] == PEER.0 && frame.len() == 80));
    // What arrives late goes out at once.
    slow.resolve(now + 2, PORT, hop, vec![0xee; 80]);
    assert_eq!((frames(&mut slow).len(), slow.held()), (1, 0));
    let counters = slow.counters();
    assert_eq!(counters.taken, counters.consumed + counters.released + slow.drops().iter().sum::<u64>());
}

#[test]
fn gives_up_with_longer_and_longer_pauses_and_a_bounded_table() {
    let (mut slow, mut now) = quiet(&config(None));
    for last in 0..9 {
        slow.resolve(now, PORT, addr(&format!("192.0.2.{}", 100 + last)), vec![0; 60]);
    }
    assert_eq!((slow.held(), slow.drops()[Reason::NeighborUnknown.index()]), (4, 5));
    let mut asked = 0;
    for _ in 0..300 {
        now += SECOND_NS;
        slow.resolve(now, PORT, addr("192.0.2.100"), vec![0; 60]);
        asked += frames(&mut slow).len();
    }
    assert!((20..40).contains(&asked), "{asked} questions in five minutes");
    slow.stop();
    let counters = slow.counters();
    assert_eq!(counters.taken, counters.consumed + counters.released + slow.drops().iter().sum::<u64>());
}

#[test]
fn next_hops_of_the_configuration_are_resolved_unasked_and_for_ever() {
    let hop = addr("2001:db8:1::9");
    let (mut slow, now) = quiet(&Config { next_hops: vec![(PORT, hop)], ..config(None) });
    assert_eq!(slow.unresolved().collect::<Vec<_>>(), [(PORT, hop)]);
    let deadline = now + 3600 * SECOND_NS;
    slow.tick(deadline);
    let until = deadline + 10 * SECOND_NS;
    while let Some(at) = slow.poll_timeout().filter(|at| *at < until) {
        slow.tick(at);
    }
    let asked = frames(&mut slow);
    assert!(asked.len() >= 5);
    let solicitation = asked.last().unwrap();
    assert_eq!(&solicitation[..6], &[0x33, 0x33, 0xff, 0, 0, 9]);
    assert_eq!(&solicitation[38..54], &addr("ff02::1:ff00:9").v6_bytes());
    slow.handle(until, PORT, &ndp(TELL.1, 0x60, "2001:db8:1::9", "2001:db8:1::1", "2001:db8:1::9", 2, 255));
    assert_eq!(slow.neighbors().collect::<Vec<_>>(), [(PORT, hop, PEER)]);
    assert_eq!(slow.unresolved().count(), 0);
    slow.reconfigure(until, &[], &[(PORT, addr("192.0.2.8"))]);
    assert_eq!(slow.unresolved().collect::<Vec<_>>(), [(PORT, addr("192.0.2.8"))]);
    assert_eq!(slow.neighbors().count(), 1, "what is known is kept");
}

#[test]
fn answers_solicitations_that_obey_the_rfc() {
    let (mut slow, now) = quiet(&config(None));
    let group = "ff02::1:ff00:77";
    slow.handle(now, PORT, &ndp(ASK.1, 0, "2001:db8:1::9", group, "2001:db8:1::77", 1, 255));
    let sent = frames(&mut slow);
    assert_eq!((sent.len(), &sent[0][..6]), (1, &PEER.0[..]));
    let packet = ip::parse(&sent[0][14..]).unwrap();
    assert_eq!((packet.src, packet.dst, packet.ttl), (addr("2001:db8:1::77"), addr("2001:db8:1::9"), 255));
    let message = &sent[0][54..];
    let pseudo = checksum::pseudo_header(packet.src, packet.dst, transport::ICMPV6, 32);
    assert_eq!(checksum::sum_onto(pseudo, message), 0xffff);
    assert_eq!((message[0], message[4], &message[26..32]), (136, 0x60, &OWN.0[..]));
    assert_eq!(slow.neighbors().collect::<Vec<_>>(), [(PORT, addr("2001:db8:1::9"), PEER)]);
    // One station that names no link-layer address has ours: it is told no more than it asked with, where it is known.
    let probe = ndp(ASK.1, 0, "2001:db8:1::9", "2001:db8:1::77", "2001:db8:1::77", 0, 255);
    slow.handle(now, PORT, &probe);
    let sent = frames(&mut slow);
    assert_eq!((sent.len(), sent[0].len(), &sent[0][..6]), (1, probe.len(), &PEER.0[..]));
    assert_eq!((sent[0][54], sent[0][58]), (136, 0x60));
    // Duplicate address detection is answered to everyone.
    slow.handle(now, PORT, &ndp(ASK.1, 0, "::", group, "2001:db8:1::77", 0, 255));
    assert_eq!(frames(&mut slow)[0][..6], [0x33, 0x33, 0, 0, 0, 1]);
    // A router was between; an option where none may be; a wrong checksum; an option of length zero.
    let mut wrong_sum = ndp(ASK.1, 0, "2001:db8:1::8", group, "2001:db8:1::77", 1, 255);
    wrong_sum[56] ^= 1;
    let refused = [
        ndp(ASK.1, 0, "2001:db8:1::8", group, "2001:db8:1::77", 1, 254),
        ndp(ASK.1, 0, "::", group, "2001:db8:1::77", 1, 255),
        ndp(TELL.1, 0x60, "2001:db8:1::8", "ff02::1", "2001:db8:1::8", 2, 255),
        // Whoever has an address must name its link-layer address to a group; and one that is not known must ask again.
        ndp(ASK.1, 0, "2001:db8:1::8", group, "2001:db8:1::77", 0, 255),
        ndp(ASK.1, 0, "2001:db8:1::8", "2001:db8:1::77", "2001:db8:1::77", 0, 255),
        wrong_sum,
    ];
    let before = slow.drops()[Reason::SlowPath.index()];
    for frame in &refused {
        slow.handle(now, PORT, frame);
    }
    assert_eq!(slow.drops()[Reason::SlowPath.index()] - before, refused.len() as u64);
    assert!(frames(&mut slow).is_empty());
}

#[test]
fn an_advertisement_without_override_only_raises_a_doubt() {
    let (mut slow, now) = quiet(&config(None));
    slow.handle(now, PORT, &ndp(ASK.1, 0, "2001:db8:1::9", "2001:db8:1::1", "2001:db8:1::1", 1, 255));
    frames(&mut slow);
    let mut other = ndp(TELL.1, 0, "2001:db8:1::9", "ff02::1", "2001:db8:1::9", 2, 255);
    let len = other.len();
    other[len - 1] = 0x55;
    other[56..58].fill(0);
    let packet = ip::parse(&other[14..]).unwrap();
    let pseudo = checksum::pseudo_header(packet.src, packet.dst, transport::ICMPV6, 32);
    let sum = !checksum::sum_onto(pseudo, &other[54..]);
    other[56..58].copy_from_slice(&sum.to_be_bytes());
    slow.handle(now, PORT, &other);
    assert_eq!(slow.neighbors().collect::<Vec<_>>(), [(PORT, addr("2001:db8:1::9"), PEER)]);
    assert_eq!(frames(&mut slow).len(), 1, "asks the one it knows");
}

#[test]
fn echoes_what_is_sent_to_its_own_addresses() {
    let (mut slow, now) = quiet(&config(None));
    let request = |dst: [u8; 4]| {
        let mut bytes = Vec::new();
        let kind = Icmpv4Type::EchoRequest(etherparse::IcmpEchoHeader { id: 5, seq: 6 });
        let builder = PacketBuilder::ethernet2(PEER.0, OWN.0).ipv4([192, 0, 2, 9], dst, 3);
        builder.icmpv4(kind).write(&mut bytes, b"payload").unwrap();
        bytes
    };
    slow.handle(now, PORT, &request([192, 0, 2, 1]));
    let sent = frames(&mut slow);
    let packet = ip::parse(&sent[0][14..]).unwrap();
    assert_eq!((packet.src, packet.dst), (addr("192.0.2.1"), addr("192.0.2.9")));
    assert_eq!((&sent[0][..6], packet.ttl, packet.detail, packet.src_port), (&PEER.0[..], 64, 0, 5));
    let message = &sent[0][34..34 + 15];
    assert_eq!((checksum::sum(message), &message[6..]), (0xffff, &b"\0\x06payload"[..]));
    // An address that is only answered for is the origin's to echo.
    slow.handle(now, PORT, &request([192, 0, 2, 77]));
    assert!(frames(&mut slow).is_empty());

    let mut bytes = Vec::new();
    let kind = Icmpv6Type::EchoRequest(etherparse::IcmpEchoHeader { id: 5, seq: 6 });
    let src = addr("fe80::9").v6_bytes();
    let builder = PacketBuilder::ethernet2(PEER.0, OWN.0).ipv6(src, addr("2001:db8:1::1").v6_bytes(), 3);
    builder.icmpv6(kind).write(&mut bytes, b"payload").unwrap();
    slow.handle(now, PORT, &bytes);
    let sent = frames(&mut slow);
    let packet = ip::parse(&sent[0][14..]).unwrap();
    assert_eq!((packet.dst, packet.detail, packet.dst_port), (addr("fe80::9"), 129, 5));
    let pseudo = checksum::pseudo_header(packet.src, packet.dst, transport::ICMPV6, 15);
    assert_eq!(checksum::sum_onto(pseudo, &sent[0][54..69]), 0xffff);
    bytes[60] ^= 1;
    slow.handle(now, PORT, &bytes);
    assert!(frames(&mut slow).is_empty(), "a wrong checksum gets no answer");

    let mut bytes = Vec::new();
    let builder = PacketBuilder::ethernet2(PEER.0, OWN.0).ipv6(src, link_local(OWN).v6_bytes(), 3);
    builder.icmpv6(kind).write(&mut bytes, b"payload").unwrap();
    slow.handle(now, PORT, &bytes);
    assert_eq!(ip::parse(&frames(&mut slow)[0][14..]).unwrap().src, addr("fe80::ff:fe00:1"));
}

#[test]
fn answers_are_limited() {
    let (mut slow, now) = quiet(&config(None));
    for _ in 0..1000 {
        slow.handle(now, PORT, &arp(ASK.0, (PEER, "192.0.2.9"), (NO_MAC, "192.0.2.1")));
    }
    assert_eq!(frames(&mut slow).len() as u64 + slow.drops()[Reason::AnswerLimited.index()], 1000);
    assert!(slow.drops()[Reason::AnswerLimited.index()] > 800);
}

proptest! {
    #[test]
    fn no_frames_panic_and_every_frame_is_accounted_for(
        inputs in proptest::collection::vec(
            (0u8..3, 0usize..6, proptest::collection::vec(any::<u8>(), 0..120), any::<prop::sample::Index>(), any::<u8>(),
             0u64..40 * SECOND_NS),
            0..60,
        ),
    ) {
        let (mut slow, mut now) = quiet(&Config { next_hops: vec![(PORT, addr("192.0.2.8"))], ..config(None) });
        let good = [
            arp(1, (PEER, "192.0.2.9"), (NO_MAC, "192.0.2.1")),
            arp(2, (PEER, "192.0.2.8"), (OWN, "192.0.2.1")),
            ndp(135, 0, "2001:db8:1::9", "ff02::1:ff00:1", "2001:db8:1::1", 1, 255),
            ndp(136, 0x60, "2001:db8:1::9", "2001:db8:1::1", "2001:db8:1::9", 2, 255),
        ];
        for (port, kind, noise, at, byte, passed) in inputs {
            now += passed;
            match kind {
                4 => slow.handle(now, PortIndex(port), &noise),
                5 => slow.resolve(now, PortIndex(port), addr(&format!("192.0.2.{byte}")), noise),
                _ => {
                    let mut frame = good[kind].clone();
                    if byte > 64 {
                        let at = at.index(frame.len());
                        frame[at] = byte;
                    }
                    slow.handle(now, PortIndex(port), &frame);
                }
            }
            while slow.poll_frame().is_some() {}
            prop_assert!(slow.poll_timeout().is_none_or(|at| at > now));
            let counters = slow.counters();
            let dropped: u64 = slow.drops().iter().sum();
            prop_assert_eq!(counters.taken, counters.consumed + counters.released + dropped + slow.held() as u64);
        }
    }
}
