//! The seeds of each target's corpus, made from test vectors, captures and example files.

use crate::world::{EDGE, GATEWAY, MID, examples};
use crate::{frame, handover, keys, linkstate, nat, parity, sync, takeover, trace};
use etherparse::PacketBuilder;
use std::path::Path;

/// A seed: the name of its file, and its bytes.
pub type Seed = (String, Vec<u8>);

const CLIENT_V4: [u8; 4] = [198, 51, 100, 7];
const VIP_V4: [u8; 4] = [203, 0, 113, 10];
const ORIGIN_V4: [u8; 4] = [10, 9, 0, 2];
const POOL_V4: [u8; 4] = [10, 9, 0, 100];
const CLIENT_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0xc, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
const VIP_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 0xa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];
const ORIGIN_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2];
const POOL_V6: [u8; 16] = [0x20, 1, 0xd, 0xb8, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0];

/// The seeds of a target. `root` is the repository's.
pub fn of(target: &str, root: &Path) -> Vec<Seed> {
    match target {
        "wire" => ["valid", "invalid"].iter().flat_map(|name| vectors(root, name)).collect(),
        "headers" => frames(root),
        "config" => configurations(root),
        "nat" => translations(),
        "frame" => scenes(root),
        "bfd" => handshakes(),
        "report" => reports(),
        "stamp" => answers(),
        "trace" => trace::seeds(),
        "parity" => parity::seeds(),
        "keys" => keys::seeds(),
        "linkstate" => linkstate::seeds(),
        "takeover" => takeover::seeds(),
        "handover" => handover::seeds(),
        "sync" => sync::seeds(),
        _ => Vec::new(),
    }
}

/// Control packets that bring the fuzzed session up, then take it down.
fn handshakes() -> Vec<Seed> {
    use overlay::bfd::{Packet, State};
    let sound = Packet {
        detect_multiplier: 3,
        my_discriminator: 9,
        desired_min_tx_us: 50_000,
        required_min_rx_us: 50_000,
        ..Packet::default()
    };
    let known = Packet { your_discriminator: 0x0102_0304, ..sound };
    let scenes: [(&str, &[(u8, Packet)]); 3] = [
        ("stranger", &[(1, sound), (200, sound), (200, sound)]),
        (
            "up",
            &[
                (1, Packet { state: State::Down, ..sound }),
                (1, Packet { state: State::Init, ..known }),
                (40, Packet { state: State::Up, poll: true, ..known }),
                (40, Packet { state: State::Up, is_final: true, ..known }),
                (200, Packet { state: State::Up, ..known }),
            ],
        ),
        (
            "down",
            &[
                (1, Packet { state: State::Init, ..known }),
                (40, Packet { state: State::Down, ..known }),
                (40, Packet { state: State::AdminDown, ..known }),
            ],
        ),
    ];
    let bytes = |records: &[(u8, Packet)]| {
        records.iter().flat_map(|(ms, packet)| [*ms].into_iter().chain(packet.to_bytes())).collect()
    };
    scenes.iter().map(|(name, records)| ((*name).to_owned(), bytes(records))).collect()
}

/// Answers as they come, out of order, with jumps, and foreign.
fn answers() -> Vec<Seed> {
    let foreign = [[50, 2].as_slice(), &[0x5a; 44]].concat();
    vec![
        ("in-order".to_owned(), [50, 0].repeat(20)),
        ("jumps".to_owned(), (0..20u8).flat_map(|n| [50, 1, n / 7, n.wrapping_mul(31)]).collect()),
        ("foreign".to_owned(), foreign.repeat(3)),
    ]
}

/// Reports of a path that loses a tenth for a second and then nothing, of two that both do, and of a receiver that starts anew.
fn reports() -> Vec<Seed> {
    use overlay::adaptive::{Entry, REPORT_LEN_MAX, Report};
    use overlay::topology::PathId;
    let scene = |paths: u16, lives: u32| -> Vec<u8> {
        let record = |at: u32| {
            let received = at * 100 - at.min(10) * 10;
            let entry = |path| Entry { path: PathId(path), numbered: at * 100, received };
            let report = Report { life: at * lives / 40, entries: (1..=paths).map(entry).collect() };
            let mut bytes = [vec![10], report.to_bytes()].concat();
            bytes.resize(1 + REPORT_LEN_MAX, 0);
            bytes
        };
        (0..40).flat_map(record).collect()
    };
    vec![
        ("one-path".to_owned(), scene(1, 1)),
        ("two-paths".to_owned(), scene(2, 1)),
        ("lives".to_owned(), scene(3, 5)),
    ]
}

fn vectors(root: &Path, name: &str) -> Vec<Seed> {
    let text = std::fs::read_to_string(root.join(format!("docs/vectors/{name}.txt"))).expect("test vectors");
    let mut seeds: Vec<Seed> = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.trim_end().strip_suffix(']')) {
            seeds.push((name.to_owned(), Vec::new()));
        } else if let (true, Some((_, bytes))) = (line.starts_with(' '), seeds.last_mut()) {
            let digits: String = line.split_whitespace().collect();
            bytes.extend(
                (0..digits.len() / 2)
                    .filter_map(|at| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()),
            );
        }
    }
    seeds
}

/// The frames of the captures.
fn frames(root: &Path) -> Vec<Seed> {
    let mut seeds = Vec::new();
    for name in ["ipv4", "ipv6"] {
        let file = std::fs::read(root.join(format!("tests/pcaps/{name}.pcap"))).expect("captures");
        let mut rest = &file[24..];
        while rest.len() > 16 {
            let len = u32::from_le_bytes([rest[8], rest[9], rest[10], rest[11]]) as usize;
            seeds.push((format!("{name}-{}", seeds.len() + 1), rest[16..16 + len].to_vec()));
            rest = &rest[16 + len..];
        }
    }
    seeds.retain(|(name, _)| !name.ends_with(['2', '4', '6', '8']));
    let mut options = Vec::new();
    let header = PacketBuilder::ethernet2([2; 6], [4; 6])
        .ip(etherparse::IpHeaders::Ipv4(
            etherparse::Ipv4Header {
                options: [0x94, 4, 0, 0].into(),
                source: CLIENT_V4,
                destination: VIP_V4,
                time_to_live: 9,
                ..Default::default()
            },
            Default::default(),
        ))
        .udp(40000, 443);
    header.write(&mut options, b"router alert").expect("a packet");
    seeds.push(("ipv4-options".to_owned(), options));
    seeds.push(("ipv6-extensions".to_owned(), with_extensions()));
    seeds
}

/// An IPv6 frame with hop-by-hop options, destination options and a fragment header.
fn with_extensions() -> Vec<u8> {
    let mut frame = vec![2, 2, 2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 0x86, 0xdd];
    frame.extend([0x60, 0, 0, 0, 0, 36, 0, 9]);
    frame.extend([CLIENT_V6, VIP_V6].concat());
    frame.extend([60, 0, 1, 4, 0, 0, 0, 0]);
    frame.extend([44, 0, 1, 4, 0, 0, 0, 0]);
    frame.extend([17, 0, 0, 1, 0, 0, 0, 7]);
    frame.extend([0x9c, 0x40, 1, 0xbb, 0, 12, 0, 0, 1, 2, 3, 4]);
    frame
}

fn configurations(root: &Path) -> Vec<Seed> {
    let join = |node: &str, topology: &str| [node, topology].join("\0").into_bytes();
    let mut seeds: Vec<Seed> = examples()
        .enumerate()
        .map(|(number, (node, topology))| (format!("example-{number}"), join(node, topology)))
        .collect();
    // Each bad file stands beside a good one.
    let (good_node, good_topology) = examples().next().expect("examples");
    let entries = std::fs::read_dir(root.join("conf/tests/bad")).expect("bad files").flatten();
    let mut paths: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| path.extension() == Some("toml".as_ref())).collect();
    paths.sort();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let bad = String::from_utf8_lossy(&std::fs::read(&path).expect("a bad file")).into_owned();
        // Files that are bad by their size say nothing here.
        if bad.len() < 4096 {
            let node = name.starts_with("node");
            seeds.push((name, if node { join(&bad, good_topology) } else { join(good_node, &bad) }));
        }
    }
    // Comments only slow the fuzzer down.
    for (_, bytes) in &mut seeds {
        let text = String::from_utf8_lossy(bytes).into_owned();
        let kept = text.lines().map(|line| line.split(" #").next().unwrap_or_default().trim_end());
        let kept: Vec<&str> = kept.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
        *bytes = kept.join("\n").into_bytes();
    }
    seeds
}

fn builder(
    version: u8,
    source: usize,
    destination: usize,
) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
    let four = [CLIENT_V4, VIP_V4, ORIGIN_V4, POOL_V4];
    let six = [CLIENT_V6, VIP_V6, ORIGIN_V6, POOL_V6];
    match version {
        4 => PacketBuilder::ipv4(four[source], four[destination], 64),
        _ => PacketBuilder::ipv6(six[source], six[destination], 64),
    }
}

/// Packets of every protocol from one party to another, by their places in the lists above.
fn packets(
    version: u8,
    source: usize,
    destination: usize,
    ports: (u16, u16),
) -> Vec<(&'static str, Vec<u8>)> {
    let start = || builder(version, source, destination);
    let mut list = Vec::new();
    let mut add = |name, write: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = Vec::new();
        write(&mut bytes);
        list.push((name, bytes));
    };
    add("tcp", &|bytes| start().tcp(ports.0, ports.1, 1, 65535).syn().write(bytes, &[]).expect("a packet"));
    add("udp", &|bytes| start().udp(ports.0, 443).write(bytes, b"proa").expect("a packet"));
    if version == 4 {
        add("echo", &|bytes| {
            start().icmpv4_echo_request(ports.0, 1).write(bytes, b"echo").expect("a packet")
        });
    } else {
        add("echo", &|bytes| {
            start().icmpv6_echo_request(ports.0, 1).write(bytes, b"echo").expect("a packet")
        });
    }
    list
}

/// An ICMP "too big" from a router about a packet.
fn too_big(version: u8, source: usize, about: &[u8], to: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    match version {
        4 => builder(4, source, to).icmpv4_raw(3, 4, [0, 0, 5, 0]).write(&mut bytes, about),
        _ => builder(6, source, to).icmpv6_raw(2, 0, [0, 0, 5, 0]).write(&mut bytes, about),
    }
    .expect("a packet");
    bytes
}

fn translations() -> Vec<Seed> {
    let record = |kind: u8, bytes: &[u8]| [&[kind, bytes.len() as u8], bytes].concat();
    let mut seeds = Vec::new();
    for version in [4, 6] {
        for (name, packet) in packets(version, 0, 1, (40000, 80)) {
            let error = too_big(version, 0, &turned_by(&packet), 1);
            let seed = [
                record(nat::kind::CLIENT, &packet),
                record(nat::kind::ANSWER, &[]),
                record(nat::kind::CLIENT, &packet),
                record(nat::kind::CLIENT, &error),
                record(nat::kind::TIME, &[0; 20]),
            ];
            seeds.push((format!("{name}-{version}"), seed.concat()));
        }
        // Ports are given out at random, but with a fixed seed: an answer to each port that may be first.
        for (name, packet) in packets(version, 0, 1, (40000, 80)) {
            let mut seed = record(nat::kind::CLIENT, &packet);
            let answers = packets(version, 2, 3, (80, 1024));
            for (_, answer) in answers.iter().filter(|(other, _)| *other == name) {
                seed.extend(record(nat::kind::ORIGIN, answer));
            }
            for (_, sent) in packets(version, 3, 2, (1024, 80)).iter().filter(|(other, _)| *other == name) {
                seed.extend(record(nat::kind::ORIGIN, &too_big(version, 2, sent, 3)));
            }
            seeds.push((format!("{name}-{version}-from-origin"), seed));
        }
    }
    seeds
}

/// The packet with its addresses exchanged, and its ports.
fn turned_by(packet: &[u8]) -> Vec<u8> {
    let mut bytes = packet.to_vec();
    let (at, len, transport) = if bytes[0] >> 4 == 4 { (12, 4, 20) } else { (8, 16, 40) };
    for place in at..at + len {
        bytes.swap(place, place + len);
    }
    bytes.swap(transport, transport + 2);
    bytes.swap(transport + 1, transport + 3);
    bytes
}

fn scenes(root: &Path) -> Vec<Seed> {
    let record =
        |control: u8, bytes: &[u8]| [&[control], &(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
    let lan = 1 << 2;
    let mut seeds = Vec::new();
    for version in [4, 6] {
        for (name, packet) in packets(version, 0, 1, (40000, 80)) {
            let mut hopeless = packet.clone();
            hopeless[if version == 4 { 8 } else { 7 }] = 1;
            let seed = [
                record(EDGE | lan, &packet),
                record(frame::kind::ANSWER, &[]),
                record(EDGE | lan, &packet),
                record(frame::kind::ANSWER, if version == 4 { &[3, 4] } else { &[2, 0] }),
                record(frame::kind::RELOAD | EDGE, &[]),
                record(frame::kind::RELOAD | GATEWAY, &[]),
                record(EDGE | lan, &packet),
                // Each pays for a part of the error about it.
                record(EDGE | lan, &hopeless).repeat(3),
                record(frame::kind::TIME, &[0; 18]),
            ];
            seeds.push((format!("{name}-{version}"), seed.concat()));
        }
        for (name, packet) in packets(version, 2, 3, (80, 1024)) {
            let error = too_big(version, 2, &turned_by(&packet), 3);
            let seed = [record(GATEWAY | lan, &packet), record(GATEWAY | lan, &error)].concat();
            seeds.push((format!("{name}-{version}-from-origin"), seed));
        }
    }
    // Of a client that the example translates by prefix: there, back, an error about it, and again.
    for (name, mut packet) in packets(6, 0, 1, (40000, 80)) {
        packet[14..16].copy_from_slice(&[0, 8]);
        let seed = [
            record(EDGE | lan, &packet),
            record(frame::kind::ANSWER, &[]),
            record(EDGE | lan, &packet),
            record(frame::kind::ANSWER, &[2, 0]),
            record(EDGE | lan, &packet),
            record(frame::kind::ANSWER, &[1, 4]),
        ];
        seeds.push((format!("prefix-{name}"), seed.concat()));
    }
    // Forged packets of the overlay, to each node.
    for (name, vector) in ["valid", "invalid"].iter().flat_map(|name| vectors(root, name)) {
        let mut packet = Vec::new();
        let start =
            PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 11], 64).udp(50000, overlay::wire::GENEVE_PORT);
        start.write(&mut packet, &vector).expect("a packet");
        seeds.push((format!("overlay-{name}"), record(MID, &packet)));
    }
    seeds.push(("arp".to_owned(), arp()));
    seeds
}

/// A client asks for the edge's address.
fn arp() -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([
        2, 0, 0, 0, 0xff, 0, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1, 2, 0, 0, 0, 0xff, 0, 192, 0, 2, 11, 0, 0, 0, 0, 0,
        0,
    ]);
    frame.extend([192, 0, 2, 1]);
    [&[frame::kind::FRAME | EDGE, 0, frame.len() as u8], &frame[..]].concat()
}
