//! Ethernet, IP and transport headers: any bytes may come as a frame. The parser of another project judges.

use crate::mend;
use packet::extent::Extent;
use packet::fragment;
use packet::heap::HeapBuf;
use packet::ip::{self, Fragment, Packet};
use packet::plain::Plain;
use packet::transport::{TCP, UDP};
use packet::{Headers, IpVersion, PacketBuf, ethernet, mss, siit};

/// Protocol number of the IP authentication header (RFC 4302).
const AUTHENTICATION: u8 = 51;

/// What is accepted lies inside the frame and says what etherparse says.
pub fn run(data: &[u8]) {
    let Ok(frame) = ethernet::parse(data) else { return };
    assert!(frame.payload_at <= data.len() && frame.vlan < 4096);
    assert!(ethernet::destination(data).is_some() && ethernet::source(data).is_some());

    let mut bytes = data[frame.payload_at..].to_vec();
    read_alike(&bytes);
    mend::ip(&mut bytes);
    read_alike(&bytes);
    let Ok(packet) = ip::parse(&bytes) else { return };
    inside(&packet, &bytes);
    agrees(&packet, &bytes[..packet.len as usize]);
    let _ = (packet.icmp_kind(), packet.source_is_forwardable());

    // Padding behind the packet changes nothing; one byte less is too short.
    assert_eq!(ip::parse(&bytes[..packet.len as usize]), Ok(packet));
    assert!(ip::parse(&bytes[..packet.len as usize - 1]).is_err());

    segment_size_goes_down(&packet, bytes.clone());
    lies_inside_its_datagram(&packet, bytes.clone());
    changes_its_version(&packet, &bytes[..packet.len as usize]);

    if packet.ttl > 0 {
        ip::decrement_ttl(&mut bytes);
        assert_eq!(ip::parse(&bytes), Ok(Packet { ttl: packet.ttl - 1, ..packet }));
    }
}

/// A fragment's part is not empty and no longer than its packet, and another identification changes nothing else.
fn lies_inside_its_datagram(packet: &Packet, mut bytes: Vec<u8>) {
    if packet.fragment == Fragment::No {
        return;
    }
    if let Ok(part) = Extent::of(&bytes, packet) {
        assert!(part.start < part.end && (part.end - part.start) as usize * 8 < packet.len as usize);
        assert_eq!(part.start == 0, packet.fragment == Fragment::First);
    }
    let before = fragment::identification(&bytes, packet).expect("a fragment has an identification");
    fragment::set_identification(&mut bytes, packet.version, before ^ 0x5a5a);
    assert_eq!(fragment::identification(&bytes, packet), Some(before ^ 0x5a5a));
    assert_eq!(ip::parse(&bytes), Ok(*packet));
}

/// Translated to the other IP version, a packet has the length foretold and can be read; refused, it is unchanged.
fn changes_its_version(packet: &Packet, bytes: &[u8]) {
    let mut buf = HeapBuf::detached(bytes);
    let done = match packet.version {
        IpVersion::V6 => siit::to_v4(&mut buf, packet, ([192, 0, 2, 1], [192, 0, 2, 2]), packet.protocol, 7),
        IpVersion::V4 => siit::to_v6(&mut buf, packet, ([0x20; 16], [0x21; 16]), packet.protocol),
    };
    match done {
        Ok(()) => {
            assert_eq!(buf.len(), siit::len_after(packet));
            assert_eq!(ip::parse(buf.data()).map(|other| other.len as usize).unwrap_or(buf.len()), buf.len());
        }
        Err(_) => assert_eq!(buf.data(), bytes),
    }
}

/// A TCP header's announcement is lowered once and for all, and nothing outside the header changes.
fn segment_size_goes_down(packet: &Packet, mut bytes: Vec<u8>) {
    let before = bytes.clone();
    if packet.protocol == TCP && packet.fragment != Fragment::Later {
        let tcp = &mut bytes[packet.transport_at as usize..packet.len as usize];
        let changed = mss::clamp(tcp, 1000);
        let end = ((tcp[12] >> 4) as usize * 4).min(tcp.len());
        assert!(!mss::clamp(tcp, 1000));
        let end = packet.transport_at as usize + end;
        assert_eq!(changed, bytes != before);
        assert_eq!(bytes[end..], before[end..]);
    }
}

/// What is read in one go is what the general reader reads of a plain packet, and nothing else.
fn read_alike(bytes: &[u8]) {
    let plain = ip::parse(bytes).ok().filter(|packet| {
        packet.version == IpVersion::V4
            && packet.transport_at == 20
            && packet.fragment == Fragment::No
            && matches!(packet.protocol, TCP | UDP)
    });
    assert_eq!(Plain::read(bytes).map(|packet| packet.packet()), plain);
}

fn inside(packet: &Packet, bytes: &[u8]) {
    assert!(packet.len as usize <= bytes.len());
    assert!(packet.transport_at <= packet.len);
    let transport_min = match (packet.protocol, packet.fragment) {
        (_, Fragment::Later) => 0,
        (TCP, _) => 20,
        (UDP, _) => 8,
        _ => 0,
    };
    assert!(packet.len - packet.transport_at >= transport_min, "{packet:?}");
}

fn agrees(packet: &Packet, bytes: &[u8]) {
    use etherparse::{NetSlice, SlicedPacket, TransportSlice};
    let Ok(sliced) = SlicedPacket::from_ip(bytes) else { return };
    match &sliced.net {
        Some(NetSlice::Ipv4(slice)) => {
            let header = slice.header();
            assert_eq!(packet.version, IpVersion::V4);
            assert_eq!(packet.src.v4_bytes(), header.source());
            assert_eq!(packet.dst.v4_bytes(), header.destination());
            assert_eq!((packet.ttl, packet.dont_fragment), (header.ttl(), header.dont_fragment()));
        }
        Some(NetSlice::Ipv6(slice)) => {
            let header = slice.header();
            assert_eq!(packet.version, IpVersion::V6);
            assert_eq!(packet.src.v6_bytes(), header.source());
            assert_eq!(packet.dst.v6_bytes(), header.destination());
            assert_eq!(packet.ttl, header.hop_limit());
        }
        _ => {}
    }
    // Behind an authentication header in IPv4 etherparse finds ports; no path carries one, so it stays a protocol.
    if packet.fragment != Fragment::No || (packet.version, packet.protocol) == (IpVersion::V4, AUTHENTICATION)
    {
        return;
    }
    let ports = match &sliced.transport {
        Some(TransportSlice::Tcp(tcp)) => (TCP, tcp.source_port(), tcp.destination_port()),
        Some(TransportSlice::Udp(udp)) => (UDP, udp.source_port(), udp.destination_port()),
        _ => return,
    };
    assert_eq!((packet.protocol, packet.src_port, packet.dst_port), ports);
}
