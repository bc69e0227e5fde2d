//! Attacks on the gateway's translation, as they come over the wire: floods, guesses, lies. What lives must go on, nothing that was not asked
//! for may reach anybody, and every buffer must come back.
#![allow(clippy::unwrap_used)] // a failed unwrap fails its test

mod common;

use common::*;
use overlay::topology::{Service, Topology};
use packet::transport::Tcp;
use packet::{Reason, checksum};
use pipelines::Setup;

const SYN: u8 = Tcp::SYN;
const ACK: u8 = Tcp::ACK;
const RST: u8 = Tcp::RST;

/// With this much behind its headers a packet pays for the ICMP error that it causes.
const ROOM: &[u8] = &[0; 60];

#[derive(Clone, Copy, Debug)]
struct Family {
    client: &'static str,
    vip: &'static str,
    origin: &'static str,
    /// A host beside the origin.
    stranger: &'static str,
    /// What all forged clients begin with.
    forged: &'static str,
    icmp: u8,
    echo: u16,
}

const FAMILIES: [Family; 2] = [
    Family {
        client: "198.51.100.77",
        vip: "203.0.113.10",
        origin: "10.9.0.2",
        stranger: "10.9.0.55",
        forged: "100.64.",
        icmp: 1,
        echo: 8,
    },
    Family {
        client: "2001:db8:c::77",
        vip: "2001:db8:a::10",
        origin: "2001:db8:9::2",
        stranger: "2001:db8:9::55",
        forged: "2001:db8:bad::",
        icmp: 58,
        echo: 128,
    },
];

/// One origin for each IP version, and services of every kind.
fn topology() -> Topology {
    let mut topology = common::topology();
    let web = &mut topology.applications[0];
    web.origins.retain(|origin| origin.address != ip("10.9.0.3"));
    web.services.extend([Service::UdpLite(53..=53), Service::Protocol(47)]);
    topology
}

fn lab(change: impl Fn(&mut Setup)) -> Lab {
    Lab::of(&topology(), 1, |setup| {
        setup.flows = 20_000;
        change(setup);
    })
}

/// A TCP segment in a frame, its checksum right.
fn segment(
    node: usize,
    src: (&str, u16),
    dst: (&str, u16),
    flags: u8,
    numbers: (u32, u32),
    payload: &[u8],
) -> Vec<u8> {
    let mut out = frame(node, src.0, src.1, dst.0, dst.1, 6, payload);
    let at = if addr(src.0).is_v4() { 34 } else { 54 };
    out[at + 4..at + 8].copy_from_slice(&numbers.0.to_be_bytes());
    out[at + 8..at + 12].copy_from_slice(&numbers.1.to_be_bytes());
    out[at + 13] = flags;
    out[at + 16..at + 18].fill(0);
    let pseudo = checksum::pseudo_header(addr(src.0), addr(dst.0), 6, (out.len() - at) as u32);
    let sum = !checksum::sum_onto(pseudo, &out[at..]);
    out[at + 16..at + 18].copy_from_slice(&sum.to_be_bytes());
    out
}

/// What leaves at the other side of the overlay.
fn pass(lab: &mut Lab, node: usize, frame: &[u8]) -> Vec<Vec<u8>> {
    let far = if node == EDGE { GATEWAY } else { EDGE };
    let sent = lab.give(node, OUTSIDE, frame);
    lab.run(sent).into_iter().filter(|sent| sent.0 == far).map(|sent| sent.2).collect()
}

/// A connection with a transfer in it.
struct Connection {
    family: Family,
    external: String,
    port: u16,
    /// Next sequence numbers of the client and of the origin.
    next: (u32, u32),
}

impl Connection {
    fn open(lab: &mut Lab, family: Family) -> Connection {
        let syn = segment(EDGE, (family.client, 4000), (family.vip, 80), SYN, (1000, 0), b"");
        let seen = read(&pass(lab, EDGE, &syn)[0]);
        let mut connection = Connection {
            family,
            external: seen.src.to_string(),
            port: seen.src_port,
            next: (1001, 0x7000_0001),
        };
        let answer = connection.origin_says(SYN | ACK, (0x7000_0000, 1001), b"");
        assert_eq!(pass(lab, GATEWAY, &answer).len(), 1);
        connection.transfer(lab);
        connection
    }

    fn client_says(&self, flags: u8, numbers: (u32, u32), payload: &[u8]) -> Vec<u8> {
        segment(EDGE, (self.family.client, 4000), (self.family.vip, 80), flags, numbers, payload)
    }

    fn origin_says(&self, flags: u8, numbers: (u32, u32), payload: &[u8]) -> Vec<u8> {
        let (origin, external) = ((self.family.origin, 8080), (self.external.as_str(), self.port));
        segment(GATEWAY, origin, external, flags, numbers, payload)
    }

    /// Data in both directions, by the same address and port as ever.
    fn transfer(&mut self, lab: &mut Lab) {
        let (client, origin) = self.next;
        let left = pass(lab, EDGE, &self.client_says(ACK, (client, origin), b"question"));
        assert_eq!(left.len(), 1, "the client's data did not arrive");
        let seen = read(&left[0]);
        assert_eq!((seen.src.to_string(), seen.src_port), (self.external.clone(), self.port));
        let left = pass(lab, GATEWAY, &self.origin_says(ACK, (origin, client + 8), b"answer"));
        assert_eq!(left.len(), 1, "the origin's data did not arrive");
        assert_eq!((read(&left[0]).dst, read(&left[0]).dst_port), (addr(self.family.client), 4000));
        self.next = (client + 8, origin + 6);
    }
}

/// Lets so many seconds pass, and sweeps until nothing is left over.
fn wait(lab: &mut Lab, seconds: u64) {
    lab.now_ns += seconds * SECOND;
    (0..100).for_each(|_| lab.sweep());
}

/// Every buffer is back, but for what the control threads were given.
fn assert_no_leak(lab: &mut Lab) {
    (0..4).for_each(|node| drop(lab.punts(node)));
    assert_eq!(lab.pool.available(), lab.pool.capacity());
}

fn drops(lab: &Lab, node: usize) -> u64 {
    Reason::ALL.iter().map(|reason| lab.dropped(node, *reason)).sum()
}

#[test]
fn threat7_a_flood_of_half_open_connections_leaves_open_ones_alone() {
    for family in FAMILIES {
        let mut lab = lab(|setup| setup.nat.sessions_max = 300);
        let mut connection = Connection::open(&mut lab, family);
        for number in 0..3000u32 {
            let forged = format!(
                "{}{}",
                family.forged,
                match family.icmp {
                    1 => format!("{}.{}", number / 256, number % 256),
                    _ => format!("{number:x}"),
                }
            );
            let syn = segment(EDGE, (&forged, 5000), (family.vip, 80), SYN, (number, 0), ROOM);
            pass(&mut lab, EDGE, &syn);
            lab.now_ns += 10_000;
            if number % 100 == 0 {
                connection.transfer(&mut lab);
            }
        }
        lab.sweep();
        let roles = &lab.nodes[GATEWAY].counters.roles;
        // Places for clients are half as many as sessions.
        assert_eq!(roles.sessions_made.get(), 150);
        assert_eq!(
            lab.dropped(GATEWAY, Reason::NatTableFull) + lab.dropped(GATEWAY, Reason::AnswerLimited),
            2851
        );
        // Those who are forged do not all hear of it.
        assert!((1..=103).contains(&roles.answers.get()), "{}", roles.answers.get());
        assert_no_leak(&mut lab);
        // Half-open ones have four minutes; the open one has two hours.
        wait(&mut lab, 241);
        connection.transfer(&mut lab);
        let late = segment(EDGE, (family.client, 4001), (family.vip, 80), SYN, (5, 0), ROOM);
        assert_eq!(pass(&mut lab, EDGE, &late).len(), 1);
    }
}

#[test]
fn threat6_one_client_s_flood_leaves_the_others_their_sessions_and_room_for_new_ones() {
    for family in FAMILIES {
        let mut lab = lab(|setup| setup.nat.sessions_max = 1000);
        let mut connection = Connection::open(&mut lab, family);
        let attacker = if family.icmp == 1 { "198.51.100.66" } else { "2001:db8:c::66" };
        for port in 1024..9000 {
            let evil = frame(EDGE, attacker, port, family.vip, 53, 17, ROOM);
            pass(&mut lab, EDGE, &evil);
            if port % 500 == 0 {
                connection.transfer(&mut lab);
            }
        }
        // Not all of them are answered, which is a reason of its own.
        let refused =
            [Reason::NatTableFull, Reason::AnswerLimited].map(|reason| lab.dropped(GATEWAY, reason));
        assert!(refused[0] > 0 && refused.iter().sum::<u64>() > 6000, "{refused:?}");
        for port in 4001..4011 {
            let udp = frame(EDGE, family.client, port, family.vip, 53, 17, b"new");
            assert_eq!(pass(&mut lab, EDGE, &udp).len(), 1, "{port}");
        }
        assert_no_leak(&mut lab);
        // What was taken comes back with time, to anybody.
        wait(&mut lab, 301);
        connection.transfer(&mut lab);
        for port in 5000..5200 {
            let udp = frame(EDGE, attacker, port, family.vip, 53, 17, b"new");
            assert_eq!(pass(&mut lab, EDGE, &udp).len(), 1, "{port}");
        }
    }
}

#[test]
fn threat10_resets_that_are_guessed_end_no_connection() {
    for family in FAMILIES {
        let mut lab = lab(|_| ());
        let mut connection = Connection::open(&mut lab, family);
        let (mine, theirs) = connection.next;
        let mut guesses = 0;
        // All ports by one number each; the right port by numbers all over.
        for port in (1..=u16::MAX).filter(|port| *port != connection.port) {
            let rst =
                segment(GATEWAY, (family.origin, 8080), (&connection.external, port), RST, (theirs, 0), b"");
            assert!(pass(&mut lab, GATEWAY, &rst).is_empty());
            guesses += 1;
        }
        for number in (0..1024u32).map(|number| number << 22) {
            let off = number.wrapping_sub(theirs);
            // Near enough: one in 240 guesses, and then the next packet brings the connection back (RFC 7857 section 2.2).
            if !(2 << 20..u32::MAX - (17 << 20)).contains(&off) {
                continue;
            }
            for (flags, other) in [(RST, 0), (RST | ACK, mine)] {
                assert!(
                    pass(&mut lab, GATEWAY, &connection.origin_says(flags, (number, other), b"")).is_empty()
                );
                guesses += 1;
            }
        }
        let refused =
            [Reason::NatTcpSequence, Reason::NatNoSession].map(|reason| lab.dropped(GATEWAY, reason));
        assert!(refused[0] > 2000 && refused[1] > 60_000, "{refused:?}");
        assert_eq!(refused.iter().sum::<u64>(), guesses);
        // A reset would leave it four minutes.
        wait(&mut lab, 300);
        connection.transfer(&mut lab);
    }
}

/// An ICMP error in a frame, about a packet.
fn error(
    family: Family,
    node: usize,
    src: &str,
    dst: &str,
    (kind, code): (u16, u8),
    rest: u32,
    quoted: &[u8],
) -> Vec<u8> {
    let mut out = frame(node, src, 0, dst, kind, family.icmp, quoted);
    let at = if family.icmp == 1 { 34 } else { 54 };
    out[at + 1] = code;
    out[at + 4..at + 8].copy_from_slice(&rest.to_be_bytes());
    out[at + 2..at + 4].fill(0);
    let pseudo = match family.icmp {
        1 => 0,
        _ => checksum::pseudo_header(addr(src), addr(dst), 58, (out.len() - at) as u32),
    };
    let sum = !checksum::sum_onto(pseudo, &out[at..]);
    out[at + 2..at + 4].copy_from_slice(&sum.to_be_bytes());
    out
}

#[test]
fn threat9_forged_errors_reach_nobody() {
    for family in FAMILIES {
        let mut lab = lab(|_| ());
        let mut connection = Connection::open(&mut lab, family);
        let (mine, theirs) = connection.next;
        let external = connection.external.clone();
        let origin = (family.origin, 8080);
        let sent = |port: u16, number: u32, to: (&str, u16)| {
            segment(GATEWAY, (&external, port), to, ACK, (number, theirs), ROOM).split_off(14)
        };
        let true_port = connection.port;
        let (unreachable, too_big) = if family.icmp == 1 { ((3, 1), (3, 4)) } else { ((1, 3), (2, 0)) };
        let floor = if family.icmp == 1 { 575 } else { 1279 };
        let right = sent(true_port, mine, origin);
        let cases = [
            (unreachable, 0, sent(true_port, mine.wrapping_add(1 << 30), origin), Reason::NatTcpSequence),
            (too_big, 1400, sent(true_port, mine.wrapping_sub(1 << 30), origin), Reason::NatTcpSequence),
            (too_big, floor, right.clone(), Reason::NatMtuFloor),
            (too_big, 68, right.clone(), Reason::NatMtuFloor),
            (unreachable, 0, sent(true_port ^ 2, mine, origin), Reason::NatNoSession),
            (unreachable, 0, sent(true_port, mine, (family.origin, 8081)), Reason::NatWrongPeer),
            (unreachable, 0, sent(true_port, mine, (family.stranger, 8080)), Reason::NatWrongPeer),
            // Cut before the ports are whole.
            (unreachable, 0, right[..right.len() - 20 - ROOM.len() + 7].to_vec(), Reason::NatQuote),
            (unreachable, 0, Vec::new(), Reason::NatQuote),
        ];
        for (kind, rest, quoted, reason) in cases {
            let before = lab.dropped(GATEWAY, reason);
            let forged = error(family, GATEWAY, family.stranger, &external, kind, rest, &quoted);
            assert!(pass(&mut lab, GATEWAY, &forged).is_empty(), "{reason:?}");
            assert_eq!(lab.dropped(GATEWAY, reason), before + 1, "{reason:?}");
        }
        // A true one gets through, from any router, and ends nothing.
        let about = error(family, GATEWAY, family.stranger, &external, unreachable, 0, &right);
        assert_eq!(pass(&mut lab, GATEWAY, &about).len(), 1);
        connection.transfer(&mut lab);
        assert_no_leak(&mut lab);
    }
}

#[test]
fn threat10_a_stranger_that_tries_every_port_reaches_nobody_and_keeps_nothing_alive() {
    for family in FAMILIES {
        let mut lab = lab(|_| ());
        let sent = pass(&mut lab, EDGE, &frame(EDGE, family.client, 4000, family.vip, 53, 17, b"query"));
        let (external, port) = (read(&sent[0]).src.to_string(), read(&sent[0]).src_port);
        lab.now_ns += 200 * SECOND;
        for port in 1..=u16::MAX {
            let guess = frame(GATEWAY, family.stranger, 53, &external, port, 17, b"x");
            assert!(pass(&mut lab, GATEWAY, &guess).is_empty());
        }
        let refused = [Reason::NatNoSession, Reason::NatNoVip].map(|reason| lab.dropped(GATEWAY, reason));
        assert_eq!(refused, [65_534, 1]);
        let answer = frame(GATEWAY, family.origin, 8080, &external, port, 17, b"answer");
        assert_eq!(pass(&mut lab, GATEWAY, &answer).len(), 1);
        // The origin's answer has kept it alive for as long again, the guesses have not.
        wait(&mut lab, 299);
        assert_eq!(pass(&mut lab, GATEWAY, &answer).len(), 1);
        lab.now_ns += 200 * SECOND;
        assert!(
            pass(&mut lab, GATEWAY, &frame(GATEWAY, family.stranger, 53, &external, port, 17, b"x"))
                .is_empty()
        );
        wait(&mut lab, 101);
        assert!(pass(&mut lab, GATEWAY, &answer).is_empty());
    }
}

/// The kinds of packet that open a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opener {
    Tcp,
    Udp,
    Echo,
    UdpLite,
    Gre,
    FirstFragment,
}

const OPENERS: [Opener; 6] =
    [Opener::Tcp, Opener::Udp, Opener::Echo, Opener::UdpLite, Opener::Gre, Opener::FirstFragment];

impl Opener {
    /// The packet that opens the `number`th session: of one client, but where that has one only.
    fn frame(self, family: Family, number: u16) -> Vec<u8> {
        let port = 4000 + number;
        let udp = frame(EDGE, family.client, port, family.vip, 53, 17, ROOM);
        match self {
            Opener::Tcp => frame(EDGE, family.client, port, family.vip, 80, 6, ROOM),
            Opener::Udp => udp,
            Opener::Echo => frame(EDGE, family.client, port, family.vip, family.echo, family.icmp, ROOM),
            Opener::UdpLite => with_protocol(udp, 136),
            Opener::Gre => {
                let client = format!(
                    "{}{}",
                    if family.icmp == 1 { "198.51.100." } else { "2001:db8:c::" },
                    77 + number
                );
                with_protocol(frame(EDGE, &client, port, family.vip, 53, 17, ROOM), 47)
            }
            Opener::FirstFragment => first_fragment(udp),
        }
    }
}

/// Another protocol in an IP header; what is behind that stays.
fn with_protocol(mut frame: Vec<u8>, protocol: u8) -> Vec<u8> {
    if frame[14] >> 4 == 6 {
        frame[20] = protocol;
        return frame;
    }
    frame[23] = protocol;
    renew(&mut frame);
    frame
}

/// Gives an IPv4 header its checksum.
fn renew(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let sum = !checksum::sum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

/// The same packet as the first fragment of a longer one.
fn first_fragment(mut frame: Vec<u8>) -> Vec<u8> {
    if frame[14] >> 4 == 4 {
        frame.truncate(34 + 64);
        frame[16..18].copy_from_slice(&84u16.to_be_bytes());
        frame[20..22].copy_from_slice(&0x2000u16.to_be_bytes());
        // Each a datagram of its own.
        frame.copy_within(34..36, 18);
        renew(&mut frame);
        return frame;
    }
    let mut out = frame[..54].to_vec();
    out[18..20].copy_from_slice(&72u16.to_be_bytes());
    let next = core::mem::replace(&mut out[20], 44);
    out.extend([next, 0, 0, 1, 0, 0, 0, frame[55]]);
    out.extend(&frame[54..54 + 64]);
    out
}

#[test]
fn rfc6888_req11_whoever_is_refused_is_told_why_whatever_it_sends() {
    type Change = fn(&mut Setup);
    let cases: [(&str, Change, Reason, (u8, u8)); 5] = [
        ("sessions", |setup| setup.nat.sessions_max = 3, Reason::NatTableFull, (1, 3)),
        // Of an address this worker has three ports.
        ("ports", |setup| setup.nat.workers = 20_000, Reason::NatPortsExhausted, (1, 3)),
        ("pool", |setup| setup.nat.pool.clear(), Reason::NatNoPool, (1, 3)),
        ("limit", |setup| setup.nat.rules.client.sessions = [3; 3], Reason::NatClientLimit, (13, 1)),
        (
            "rate",
            |setup| (setup.nat.rules.client.sessions_per_second, setup.nat.rules.client.burst) = (1, 3),
            Reason::NatClientRate,
            (13, 1),
        ),
    ];
    for (name, change, reason, (v4_code, v6_code)) in cases {
        for family in FAMILIES {
            for opener in OPENERS {
                // A client has one session of it with each origin, and addresses run out before sessions do.
                if opener == Opener::Gre && !matches!(reason, Reason::NatPortsExhausted | Reason::NatNoPool) {
                    continue;
                }
                let mut lab = lab(|setup| {
                    setup.nat.rules.reserve_percent = 0;
                    change(setup);
                });
                let told = |lab: &mut Lab, number| {
                    let sent = lab.give(EDGE, OUTSIDE, &opener.frame(family, number));
                    lab.run(sent)
                };
                let mut opened = Vec::new();
                let mut refused = 0;
                for number in 0..20 {
                    // Slowly, for each source has its share of answers, but not so that a rate lets one more through.
                    lab.now_ns += 40_000_000;
                    let left = told(&mut lab, number);
                    match left.first() {
                        Some((GATEWAY, ..)) => opened.push(number),
                        Some((EDGE, _, frame)) => {
                            let error = read(frame);
                            let at = 14 + error.transport_at as usize;
                            let wanted = if family.icmp == 1 { (3, v4_code) } else { (1, v6_code) };
                            assert_eq!((frame[at], frame[at + 1]), wanted, "{name} {opener:?}");
                            assert_eq!(error.src, addr(family.vip));
                            refused += 1;
                        }
                        // Only the one client has an Ethernet address that the edge knows.
                        _ => refused += 1,
                    }
                }
                let context = format!("{name} {family:?} {opener:?}");
                let is_empty = reason == Reason::NatNoPool;
                assert_eq!(opened.is_empty(), is_empty, "{context}");
                assert!(refused >= 12 && opened.len() + refused == 20, "{context}: {refused}");
                let dropped = lab.dropped(GATEWAY, reason) + lab.dropped(GATEWAY, Reason::AnswerLimited);
                assert_eq!(dropped, refused as u64, "{context}");
                assert!(lab.nodes[GATEWAY].counters.roles.answers.get() > 5, "{context}");
                // What was there goes on.
                if opener != Opener::FirstFragment {
                    assert!(opened.iter().all(|number| told(&mut lab, *number)[0].0 == GATEWAY), "{context}");
                }
                wait(&mut lab, 40);
                assert_no_leak(&mut lab);
            }
        }
    }
}

#[test]
fn threat8_fragments_that_lie_about_lengths_leave_nothing_behind() {
    for family in FAMILIES {
        for node in [EDGE, GATEWAY] {
            let mut lab = lab(|_| ());
            let query = frame(EDGE, family.client, 4000, family.vip, 53, 17, b"query");
            let seen = read(&pass(&mut lab, EDGE, &query)[0]);
            let external = seen.src.to_string();
            let whole = match node {
                EDGE => frame(EDGE, family.client, 4000, family.vip, 53, 17, &[7; 120]),
                _ => frame(GATEWAY, family.origin, 8080, &external, seen.src_port, 17, &[7; 120]),
            };
            for lie in lies(&whole) {
                let before = [drops(&lab, EDGE), drops(&lab, GATEWAY)];
                let left = pass(&mut lab, node, &lie);
                assert!(left.is_empty(), "{lie:02x?} left as {left:02x?}");
                let after = [drops(&lab, EDGE), drops(&lab, GATEWAY)];
                assert!(after.iter().sum::<u64>() > before.iter().sum(), "{lie:02x?} vanished");
                // Also what waits for a first fragment is let go.
                wait(&mut lab, 3);
                assert_no_leak(&mut lab);
            }
            // The session is none the worse for it.
            let answer = frame(GATEWAY, family.origin, 8080, &external, seen.src_port, 17, b"answer");
            assert_eq!(pass(&mut lab, GATEWAY, &answer).len(), 1);
        }
    }
}

/// Fragments of a packet whose lengths can not be true.
fn lies(whole: &[u8]) -> Vec<Vec<u8>> {
    let first = first_fragment(whole.to_vec());
    if whole[14] >> 4 == 4 {
        let lie = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut lie = first.clone();
            change(&mut lie);
            renew(&mut lie);
            lie
        };
        return vec![
            // Longer than the frame, shorter than its own header, a header longer than the packet.
            lie(&|lie| lie[16..18].copy_from_slice(&1000u16.to_be_bytes())),
            lie(&|lie| lie[16..18].copy_from_slice(&19u16.to_be_bytes())),
            lie(&|lie| lie[16..18].copy_from_slice(&20u16.to_be_bytes())),
            lie(&|lie| {
                lie[14] = 0x4f;
                lie[16..18].copy_from_slice(&50u16.to_be_bytes());
            }),
            // Not the last, yet of odd length; nothing in it.
            lie(&|lie| lie[16..18].copy_from_slice(&83u16.to_be_bytes())),
            // Beyond the longest packet there can be.
            lie(&|lie| lie[20..22].copy_from_slice(&0x1fffu16.to_be_bytes())),
            lie(&|lie| lie[20..22].copy_from_slice(&0x3ffeu16.to_be_bytes())),
            // A datagram that is said to be shorter than its own header.
            lie(&|lie| lie[38..40].copy_from_slice(&7u16.to_be_bytes())),
            // A first one too short for ports.
            lie(&|lie| {
                lie.truncate(34);
                lie[16..18].copy_from_slice(&20u16.to_be_bytes());
            }),
        ];
    }
    let lie = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut lie = first.clone();
        change(&mut lie);
        lie
    };
    vec![
        lie(&|lie| lie[18..20].copy_from_slice(&1000u16.to_be_bytes())),
        lie(&|lie| lie[18..20].copy_from_slice(&7u16.to_be_bytes())),
        lie(&|lie| lie[18..20].copy_from_slice(&8u16.to_be_bytes())),
        lie(&|lie| lie[18..20].copy_from_slice(&71u16.to_be_bytes())),
        lie(&|lie| lie[56..58].copy_from_slice(&0xfff8u16.to_be_bytes())),
        lie(&|lie| lie[56..58].copy_from_slice(&0xfff1u16.to_be_bytes())),
        lie(&|lie| lie[66..68].copy_from_slice(&7u16.to_be_bytes())),
        // A fragment header within a fragment's, and one that is cut.
        lie(&|lie| lie[54] = 44),
        lie(&|lie| {
            lie.truncate(58);
            lie[18..20].copy_from_slice(&4u16.to_be_bytes());
        }),
    ]
}
