//! The captures in `tests/pcaps`: built here from the test vectors, with the fields that a dissector must show.
//!
//! The test compares them with the committed files; `PROA_WRITE_CAPTURES=1` writes them instead.
//! `tests/pcaps/test_dissector.sh` then compares what tshark shows, so codec and dissector agree.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)] // a failed unwrap here is a failed test

mod vectors;

use etherparse::PacketBuilder;
use proa_overlay::topology::{IpVersion, NodeId, PathId};
use proa_overlay::wire::trace::Record;
use proa_overlay::wire::{self, GENEVE_PORT, HEADER_LEN, Header, PROTOCOL_REPLICATE};
use std::fmt::Write;
use std::path::Path;
use vectors::{INVALID, VALID, read};

/// A capture file under construction, with a line of expected fields for each frame.
#[derive(Default)]
struct Capture {
    frames: Vec<Vec<u8>>,
    expected: String,
}

/// One hop of the underlay.
#[derive(Clone, Copy)]
struct Hop {
    version: IpVersion,
    vlan: Option<u16>,
    from: u8,
    to: u8,
}

fn hop(version: IpVersion, from: u8, to: u8) -> Hop {
    Hop { version, vlan: None, from, to }
}

fn v4(last: u8) -> [u8; 4] {
    [192, 0, 2, last]
}

fn v6(last: u8) -> [u8; 16] {
    [0x20, 0x01, 0x0d, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]
}

const CLIENT_V4: [u8; 4] = [198, 51, 100, 7];
const VIP_V4: [u8; 4] = [203, 0, 113, 10];
const CLIENT_V6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0xc, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
const VIP_V6: [u8; 16] = [0x20, 0x01, 0x0d, 0xb8, 0, 0xa, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10];

/// The frame that carries this UDP payload over a hop. The UDP checksum is 0, as the protocol has it.
fn frame(hop: Hop, geneve: &[u8]) -> Vec<u8> {
    let mac = |number| [2, 0, 0, 0, 0, number];
    let link = PacketBuilder::ethernet2(mac(hop.from), mac(hop.to));
    let udp_at =
        14 + if hop.vlan.is_some() { 4 } else { 0 } + if hop.version == IpVersion::V4 { 20 } else { 40 };
    let mut bytes = Vec::new();
    macro_rules! outer {
        ($link:expr) => {
            match hop.version {
                IpVersion::V4 => {
                    $link.ipv4(v4(hop.from), v4(hop.to), 64).udp(50000, GENEVE_PORT).write(&mut bytes, geneve)
                }
                IpVersion::V6 => {
                    $link.ipv6(v6(hop.from), v6(hop.to), 64).udp(50000, GENEVE_PORT).write(&mut bytes, geneve)
                }
            }
        };
    }
    match hop.vlan {
        Some(vlan) => outer!(link.single_vlan(vlan.try_into().unwrap())).unwrap(),
        None => outer!(link).unwrap(),
    }
    bytes[udp_at + 6..udp_at + 8].fill(0);
    bytes
}

/// An inner packet of the client, or with `reply` of the virtual IP.
fn inner(version: IpVersion, protocol: u8, reply: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let (four, six) = ((CLIENT_V4, VIP_V4), (CLIENT_V6, VIP_V6));
    let (four, six) = if reply { ((four.1, four.0), (six.1, six.0)) } else { (four, six) };
    let (source, destination) = if reply { (80, 40000) } else { (40000, 80) };
    let start = match version {
        IpVersion::V4 => PacketBuilder::ipv4(four.0, four.1, 63),
        IpVersion::V6 => PacketBuilder::ipv6(six.0, six.1, 63),
    };
    match (protocol, version) {
        (packet::transport::TCP, _) if reply => {
            start.tcp(source, destination, 7000, 65535).syn().ack(1001).write(&mut bytes, &[])
        }
        (packet::transport::TCP, _) => {
            start.tcp(source, destination, 1000, 65535).syn().write(&mut bytes, &[])
        }
        (packet::transport::UDP, _) => start.udp(source, 443).write(&mut bytes, b"proa"),
        (_, IpVersion::V4) => start.icmpv4_echo_request(77, 1).write(&mut bytes, b"echo"),
        (_, IpVersion::V6) => start.icmpv6_echo_request(77, 1).write(&mut bytes, b"echo"),
    }
    .unwrap();
    bytes
}

/// The fields of one frame, in the order of `test_dissector.sh`.
fn fields(header: &Header) -> String {
    let inner = if header.inner == IpVersion::V4 { "0x0800" } else { "0x86dd" };
    let Header { vni, copies, protocol, hop_limit, source, destination, authenticator, .. } = *header;
    let (worker, bucket) = (wire::worker(header.stream), wire::bucket(header.stream));
    format!(
        "{vni}|{inner}|1|{copies}|{protocol}|{hop_limit}|{}|{}|0x{authenticator:016x}|{worker}|{bucket}|{}|{}|{}|{}|",
        source.0, destination.0, header.path.0, header.epoch, header.path_sequence, header.sequence
    )
}

impl Capture {
    /// Adds a frame; `copy_of` is the frame that showed the same packet first.
    fn push(&mut self, hop: Hop, header: &Header, inner: &[u8], copy_of: Option<usize>) {
        let mut geneve = [0; HEADER_LEN];
        header.write(&mut geneve);
        self.push_bytes(hop, &[&geneve[..], inner].concat(), &fields(header), copy_of);
    }

    fn push_bytes(&mut self, hop: Hop, geneve: &[u8], fields: &str, copy_of: Option<usize>) {
        self.frames.push(frame(hop, geneve));
        let copy_of = copy_of.map(|frame| frame.to_string()).unwrap_or_default();
        writeln!(self.expected, "{}|{fields}{copy_of}", self.frames.len()).unwrap();
    }

    /// The file's bytes: microseconds, Ethernet, a frame each millisecond.
    fn pcap(&self) -> Vec<u8> {
        let mut file = Vec::new();
        for word in [0xa1b2_c3d4, 0x0004_0002, 0, 0, 65535, 1u32] {
            file.extend(word.to_le_bytes());
        }
        for (number, frame) in self.frames.iter().enumerate() {
            let len = frame.len() as u32;
            for word in [1_700_000_000, number as u32 * 1000, len, len] {
                file.extend(word.to_le_bytes());
            }
            file.extend(frame);
        }
        file
    }

    fn check(&self, name: &str) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/pcaps");
        for (suffix, bytes) in [("pcap", self.pcap()), ("expected", self.expected.clone().into_bytes())] {
            let file = folder.join(format!("{name}.{suffix}"));
            if std::env::var_os("PROA_WRITE_CAPTURES").is_some() {
                std::fs::write(&file, bytes).unwrap();
            } else {
                let committed = std::fs::read(&file).unwrap();
                assert!(committed == bytes, "{} differs from what the vectors give", file.display());
            }
        }
    }
}

/// Client packets over two paths and replies back, as a capture of every link shows them:
/// edge 1, intermediates 2 and 3, gateway 4.
fn spine(underlay: IpVersion, packets: &[(IpVersion, u8)]) -> Capture {
    let mut capture = Capture::default();
    let mut sequence = wire::initial_sequence(1_700_000_000_000);
    for (number, &(version, protocol)) in packets.iter().enumerate() {
        for reply in [false, true] {
            if reply && protocol != packet::transport::TCP {
                continue;
            }
            let (source, destination) = if reply { (4, 1) } else { (1, 4) };
            let header = Header {
                vni: 1,
                inner: version,
                protocol: PROTOCOL_REPLICATE,
                copies: 2,
                hop_limit: wire::HOP_LIMIT_DEFAULT,
                source: NodeId(source),
                destination: NodeId(destination),
                authenticator: 0,
                stream: wire::stream_id(number as u8, 7),
                path: PathId(1),
                epoch: 0,
                path_sequence: 0x12_0000 + number as u32,
                sequence,
            };
            let inner = inner(version, protocol, reply);
            let first = capture.frames.len() + 1;
            for (path, via) in [(1, 2), (2, 3)] {
                let path_sequence = header.path_sequence + 100 * u32::from(path);
                let sent = Header { path: PathId(path), path_sequence, ..header };
                let forwarded = Header { hop_limit: sent.hop_limit - 1, ..sent };
                let copy_of = |frame: usize| (frame > first).then_some(first);
                let vlan = (number == 1).then_some(100);
                let up = Hop { vlan, ..hop(underlay, source as u8, via) };
                capture.push(up, &sent, &inner, copy_of(capture.frames.len() + 1));
                let down = hop(underlay, via, destination as u8);
                capture.push(down, &forwarded, &inner, copy_of(capture.frames.len() + 1));
            }
            sequence += 1;
        }
    }
    capture
}

#[test]
fn over_an_ipv4_underlay() {
    use packet::transport::{ICMP, TCP, UDP};
    let packets = [(IpVersion::V4, TCP), (IpVersion::V4, UDP), (IpVersion::V4, ICMP), (IpVersion::V6, TCP)];
    spine(IpVersion::V4, &packets).check("ipv4");
}

#[test]
fn over_an_ipv6_underlay() {
    use packet::transport::{ICMPV6, TCP, UDP};
    let packets = [(IpVersion::V6, TCP), (IpVersion::V6, UDP), (IpVersion::V6, ICMPV6), (IpVersion::V4, TCP)];
    spine(IpVersion::V6, &packets).check("ipv6");
}

/// Every valid vector, each with a whole inner packet, which is no packet where the vector is a parity packet's.
#[test]
fn accepted() {
    let mut capture = Capture::default();
    let mut seen: Vec<(Header, usize)> = Vec::new();
    for vector in read(VALID) {
        let found = vector.located();
        let inner = inner(found.header.inner, packet::transport::UDP, false);
        let identity = Header {
            path: PathId(1),
            path_sequence: 0,
            copies: 0,
            hop_limit: 0,
            inner: IpVersion::V4,
            ..found.header
        };
        let is_parity = found.extensions.parity_at != 0;
        let copy_of = seen
            .iter()
            .filter(|_| !is_parity)
            .find(|(header, _)| *header == identity)
            .map(|(_, frame)| *frame);
        let geneve = [&vector.bytes[..found.inner_at], &inner].concat();
        capture.push_bytes(hop(IpVersion::V4, 1, 4), &geneve, &fields(&found.header), copy_of);
        seen.push((identity, capture.frames.len()));
    }
    capture.check("accepted");
}

/// Every valid vector with a trace option; the expected fields are the option's.
#[test]
fn traces() {
    let mut capture = Capture::default();
    for vector in read(VALID).into_iter().filter(|vector| vector.located().trace.is_some()) {
        let found = vector.located();
        let inner = inner(found.header.inner, packet::transport::UDP, false);
        let geneve = [&vector.bytes[..found.inner_at], &inner].concat();
        let fields = match vector.trace() {
            None => "ignored".to_owned(),
            Some(trace) => {
                let all = |of: &dyn Fn(&Record) -> u32| {
                    let each: Vec<String> =
                        trace.records.iter().map(|record| of(record).to_string()).collect();
                    each.join(",")
                };
                format!(
                    "{}|{}|{}|{}|{}|{}|{}|{}|{}|{}",
                    trace.sent_ns,
                    u8::from(trace.overflow),
                    trace.records.len(),
                    all(&|record| record.hop_limit.into()),
                    all(&|record| record.queue.into()),
                    all(&|record| record.node.0.into()),
                    all(&|record| record.ingress.0.into()),
                    all(&|record| record.egress.0.into()),
                    all(&|record| record.time_us),
                    all(&|record| record.transit_ns),
                )
            }
        };
        capture.push_bytes(hop(IpVersion::V4, 1, 4), &geneve, &fields, None);
    }
    capture.check("traces");
}

/// Every invalid vector as it stands, but for the empty one: Wireshark shows no dissector an empty payload.
/// The expected field is the drop's reason.
#[test]
fn malformed() {
    let mut capture = Capture::default();
    for vector in read(INVALID).into_iter().filter(|vector| !vector.bytes.is_empty()) {
        capture.push_bytes(hop(IpVersion::V4, 1, 4), &vector.bytes, vector.reason().name(), None);
    }
    capture.check("malformed");
}
