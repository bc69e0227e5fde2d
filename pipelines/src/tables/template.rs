//! Outer headers ready-made: Ethernet, IP and UDP, and for a sender the overlay's header too, of which only lengths,
//! a checksum, the UDP source port and the stream's fields differ from packet to packet.

use super::routes::Egress;
use overlay::wire::{EPOCH_AT, GENEVE_PORT, HEADER_LEN, PATH_SEQUENCE_MASK, SEQUENCE_AT, STREAM_AT};
use packet::ethernet::{TYPE_IPV4, TYPE_IPV6, TYPE_VLAN};
use packet::ip::Ipv4;
use packet::transport::UDP;
use packet::{Addr, IpVersion, checksum};

/// Longest header of a link: Ethernet with a tag, IPv6, UDP.
pub const LINK_LEN_MAX: usize = 18 + 40 + 8;
/// Longest header of a copy: that of its first link, and the overlay's.
pub const COPY_LEN_MAX: usize = LINK_LEN_MAX + HEADER_LEN;

/// Bytes of untagged Ethernet.
const ETHERNET_LEN: usize = 14;
/// Header of a link over untagged Ethernet and IPv4: by far the most common.
const PLAIN_LINK_LEN: usize = ETHERNET_LEN + 20 + 8;
/// The same of a copy.
pub const PLAIN_COPY_LEN: usize = PLAIN_LINK_LEN + HEADER_LEN;

/// Headers of at most `MAX` bytes; their content is complete but for what [`Template::write_link`] and
/// [`Template::write_copy`] fill in.
#[derive(Clone, Copy, Debug)]
pub struct Template<const MAX: usize> {
    bytes: [u8; MAX],
    len: u8,
    /// Where IP starts.
    ip_at: u8,
    v4: bool,
    /// Whether it is untagged Ethernet and IPv4, whose places are known when this is compiled.
    plain: bool,
    /// Sum over the IPv4 header with the length left out; unused for IPv6.
    sum: u16,
}

impl Template<LINK_LEN_MAX> {
    /// The headers from `src` to `dst`, both of one IP version, towards a next hop.
    pub fn link(src: Addr, dst: Addr, egress: &Egress) -> Template<LINK_LEN_MAX> {
        let mut bytes = [0; LINK_LEN_MAX];
        let mut len = 0;
        let mut put = |part: &[u8]| {
            bytes[len..len + part.len()].copy_from_slice(part);
            len += part.len();
            len
        };
        put(&egress.mac.unwrap_or_default().0);
        put(&egress.source.0);
        if egress.vlan != 0 {
            put(&TYPE_VLAN.to_be_bytes());
            put(&egress.vlan.to_be_bytes());
        }
        let v4 = src.is_v4();
        let ip_at = put(&if v4 { TYPE_IPV4 } else { TYPE_IPV6 }.to_be_bytes());
        let mut sum = 0;
        if v4 {
            // Atomic packets (RFC 6864): DF set, identification 0.
            put(&[0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, UDP, 0, 0]);
            put(&src.v4_bytes());
            let end = put(&dst.v4_bytes());
            sum = checksum::sum(&bytes[ip_at..end]);
            len = end;
        } else {
            put(&[0x60, 0, 0, 0, 0, 0, UDP, 64]);
            put(&src.v6_bytes());
            len = put(&dst.v6_bytes());
        }
        bytes[len + 2..len + 4].copy_from_slice(&GENEVE_PORT.to_be_bytes());
        len += 8;
        Template { bytes, len: len as u8, ip_at: ip_at as u8, v4, plain: v4 && ip_at == ETHERNET_LEN, sum }
    }

    /// These headers with the overlay's behind them.
    pub fn with(&self, overlay: &[u8; HEADER_LEN]) -> Template<COPY_LEN_MAX> {
        let mut bytes = [0; COPY_LEN_MAX];
        let own = self.len as usize;
        bytes[..own].copy_from_slice(&self.bytes[..own]);
        bytes[own..own + HEADER_LEN].copy_from_slice(overlay);
        // What differs from packet to packet is put in by adding it.
        for (at, len) in [(2, 2), (STREAM_AT, 2), (EPOCH_AT, 4), (SEQUENCE_AT, 8)] {
            bytes[own + at..own + at + len].fill(0);
        }
        let Template { ip_at, v4, plain, sum, .. } = *self;
        Template { bytes, len: (own + HEADER_LEN) as u8, ip_at, v4, plain, sum }
    }

    /// As [`Template::write_link`], where the headers are known to be plain: to the start of a frame of so many bytes.
    #[inline(always)]
    pub fn write_plain(&self, head: &mut [u8], total: u16, source_port: u16) {
        if let (Some(head), Some(bytes)) =
            (head.first_chunk_mut::<PLAIN_LINK_LEN>(), self.bytes.first_chunk())
        {
            *head = *bytes;
            self.patch_plain(head, total, source_port);
        }
    }

    /// Writes the headers to the start of `frame`, which already holds the UDP payload behind them.
    #[inline(always)]
    pub fn write_link(&self, frame: &mut [u8], source_port: u16) {
        let total = frame.len();
        if self.plain
            && let Some(head) = frame.first_chunk_mut::<PLAIN_LINK_LEN>()
            && let Some(bytes) = self.bytes.first_chunk()
        {
            *head = *bytes;
            self.patch(head, ETHERNET_LEN, PLAIN_LINK_LEN, total, source_port);
        } else {
            self.write_any(frame, source_port);
        }
    }

    #[inline(never)]
    fn write_any(&self, frame: &mut [u8], source_port: u16) {
        let (len, total) = (self.len as usize, frame.len());
        if let (Some(head), Some(bytes)) = (frame.get_mut(..len), self.bytes.get(..len)) {
            head.copy_from_slice(bytes);
            self.patch(head, self.ip_at as usize, len, total, source_port);
        }
    }
}

/// What a copy's headers say of its packet.
#[derive(Clone, Copy)]
pub struct Passenger {
    /// Version of the inner packet.
    pub version: IpVersion,
    /// Its stream.
    pub stream: u16,
    /// Its number there.
    pub sequence: u64,
    /// The key epoch that it is sealed under; 0 if it is not.
    pub epoch: u8,
    /// The copy's number on its path; the low 24 bits count.
    pub path_sequence: u32,
}

/// What all plain copies of a packet have in common, as words of their headers.
///
/// Word by word, each with its fields put in before it is written: each field written by itself would be a store
/// more, and stores are what writing headers takes most of.
pub struct Common {
    /// Length of the outer IP packet.
    ip_len: u16,
    /// UDP's source port and length.
    udp: u64,
    /// The inner packet's EtherType.
    inner: u64,
    stream_and_epoch: u64,
    sequence: [u8; 8],
}

impl Common {
    /// Of copies whose frames have so many bytes.
    #[inline(always)]
    pub fn new(
        total: u16,
        source_port: u16,
        version: IpVersion,
        stream: u16,
        sequence: u64,
        epoch: u8,
    ) -> Common {
        let ip_len = total - ETHERNET_LEN as u16;
        let inner = if version == IpVersion::V4 { TYPE_IPV4 } else { TYPE_IPV6 };
        Common {
            ip_len,
            udp: field(source_port, 2) | field(ip_len - Ipv4::LEN as u16, 6),
            inner: field(inner, 4),
            stream_and_epoch: field(stream, 2) | field((epoch as u16) << 8, 6),
            sequence: sequence.to_be_bytes(),
        }
    }
}

/// A field of two bytes in network byte order, so many bytes from the start of its word.
#[inline(always)]
fn field(value: u16, at: u32) -> u64 {
    (value.swap_bytes() as u64) << (at * 8)
}

impl Template<COPY_LEN_MAX> {
    /// As [`Template::write_copy`], where the headers are known to be plain: in front of an inner packet, as `common`
    /// has it.
    #[inline(always)]
    pub fn write_plain_copy(&self, head: &mut [u8; PLAIN_COPY_LEN], common: &Common, path_sequence: u32) {
        const GENEVE_AT: usize = PLAIN_LINK_LEN;
        // The places below are what these say.
        const { assert!(GENEVE_AT == 42 && STREAM_AT == 32 && EPOCH_AT == 36 && SEQUENCE_AT == 40) };
        let sum = !checksum::add(self.sum, common.ip_len);
        let path_sequence = path_sequence & PATH_SEQUENCE_MASK;
        let mut put = |at: usize, fields: u64| {
            if let (Some(to), Some(from)) = (head[at..].first_chunk_mut(), self.bytes[at..].first_chunk()) {
                *to = (u64::from_le_bytes(*from) | fields).to_le_bytes();
            }
        };
        put(16, field(common.ip_len, 0));
        put(24, field(sum, 0));
        put(32, common.udp);
        put(40, common.inner);
        put(72, common.stream_and_epoch | field((path_sequence >> 16) as u16, 6));
        head[..16].copy_from_slice(&self.bytes[..16]);
        head[48..72].copy_from_slice(&self.bytes[48..72]);
        head[80..82].copy_from_slice(&(path_sequence as u16).to_be_bytes());
        head[82..].copy_from_slice(&common.sequence);
    }

    /// Writes the headers to the start of `frame`, which already holds the inner packet behind them.
    #[inline(always)]
    pub fn write_copy(&self, frame: &mut [u8], source_port: u16, passenger: Passenger) {
        let total = frame.len();
        if self.plain
            && let Some(head) = frame.first_chunk_mut::<PLAIN_COPY_LEN>()
            && let Some(bytes) = self.bytes.first_chunk()
        {
            *head = *bytes;
            self.patch(head, ETHERNET_LEN, PLAIN_LINK_LEN, total, source_port);
            passenger.board(head, PLAIN_LINK_LEN);
        } else {
            self.write_any(frame, source_port, passenger);
        }
    }

    #[inline(never)]
    fn write_any(&self, frame: &mut [u8], source_port: u16, passenger: Passenger) {
        let (len, total) = (self.len as usize, frame.len());
        if let (Some(head), Some(bytes)) = (frame.get_mut(..len), self.bytes.get(..len)) {
            head.copy_from_slice(bytes);
            self.patch(head, self.ip_at as usize, len - HEADER_LEN, total, source_port);
            passenger.board(head, len - HEADER_LEN);
        }
    }
}

impl Passenger {
    /// The word that both stand in.
    #[inline(always)]
    fn epoch_and_path_sequence(&self) -> u32 {
        (self.epoch as u32) << 24 | self.path_sequence & PATH_SEQUENCE_MASK
    }

    /// Fills in the overlay's header, which stands at `at`.
    #[inline(always)]
    fn board(&self, head: &mut [u8], at: usize) {
        let Some(header) = head.get_mut(at..).and_then(|rest| rest.first_chunk_mut::<HEADER_LEN>()) else {
            return;
        };
        let inner = if self.version == IpVersion::V4 { TYPE_IPV4 } else { TYPE_IPV6 };
        header[2..4].copy_from_slice(&inner.to_be_bytes());
        header[STREAM_AT..STREAM_AT + 2].copy_from_slice(&self.stream.to_be_bytes());
        header[EPOCH_AT..EPOCH_AT + 4].copy_from_slice(&self.epoch_and_path_sequence().to_be_bytes());
        header[SEQUENCE_AT..SEQUENCE_AT + 8].copy_from_slice(&self.sequence.to_be_bytes());
    }
}

impl<const MAX: usize> Template<MAX> {
    /// Whether it is of untagged Ethernet and IPv4.
    pub fn is_plain(&self) -> bool {
        self.plain
    }

    /// Bytes of all headers.
    #[inline(always)]
    pub fn header_len(&self) -> usize {
        self.len as usize
    }

    /// Where the IP header stands: bytes of Ethernet with its tag.
    #[inline(always)]
    pub fn ip_at(&self) -> usize {
        self.ip_at as usize
    }

    /// As [`Template::patch`], of headers that are known to be plain.
    #[inline(always)]
    fn patch_plain(&self, head: &mut [u8], total: u16, source_port: u16) {
        let (udp_at, ip_len) = (PLAIN_LINK_LEN - 8, total - ETHERNET_LEN as u16);
        if let Some(head) = head.first_chunk_mut::<PLAIN_LINK_LEN>() {
            let mut put = |at: usize, value: u16| head[at..at + 2].copy_from_slice(&value.to_be_bytes());
            put(ETHERNET_LEN + 2, ip_len);
            put(ETHERNET_LEN + 10, !checksum::add(self.sum, ip_len));
            put(udp_at, source_port);
            put(udp_at + 4, ip_len - (udp_at - ETHERNET_LEN) as u16);
        }
    }

    /// Fills in lengths, IPv4's checksum and the UDP source port, of a frame of `total` bytes whose IP header stands
    /// at `ip_at` and whose UDP header ends at `udp_end`.
    #[inline(always)]
    fn patch(&self, head: &mut [u8], ip_at: usize, udp_end: usize, total: usize, source_port: u16) {
        if let Some(udp) = head.get_mut(udp_end - 8..udp_end) {
            udp[0..2].copy_from_slice(&source_port.to_be_bytes());
            udp[4..6].copy_from_slice(&((total - udp_end + 8) as u16).to_be_bytes());
        }
        let Some(ip) = head.get_mut(ip_at..ip_at + 20) else { return };
        if self.v4 {
            let ip_len = (total - ip_at) as u16;
            ip[2..4].copy_from_slice(&ip_len.to_be_bytes());
            ip[10..12].copy_from_slice(&(!checksum::add(self.sum, ip_len)).to_be_bytes());
        } else {
            ip[4..6].copy_from_slice(&((total - ip_at - 40) as u16).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::PortIndex;
    use crate::tables::NextHop;
    use overlay::topology::{NodeId, PathId};
    use overlay::wire::{Header, PROTOCOL_REPLICATE};
    use packet::Mac;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn word_by_word_it_writes_what_field_by_field_it_writes(
            src: [u8; 4], dst: [u8; 4], mac: [u8; 6], vni: u16, nodes: (u16, u16), path: u16, hop_limit: u8,
            inner_len in 20usize..9_000, v6: bool, source_port: u16, stream: u16, sequence: u64, epoch: u8,
            path_sequence: u32, stale: (u16, u64),
        ) {
            let hop = NextHop { port: PortIndex(0), address: Addr::from_v4(dst) };
            let egress = Egress::new(hop, Some(Mac(mac)), (Mac([2; 6]), 0, 9_216));
            // What stands in a header that a template is made from must not come through.
            let header = Header {
                vni: vni.into(), inner: IpVersion::V6, protocol: PROTOCOL_REPLICATE, copies: 3, hop_limit,
                source: NodeId(nodes.0), destination: NodeId(nodes.1), authenticator: 0, stream: stale.0,
                path: PathId(path), epoch: 7, path_sequence: 9, sequence: stale.1,
            };
            let mut bytes = [0; HEADER_LEN];
            header.write(&mut bytes);
            let template = Template::link(Addr::from_v4(src), Addr::from_v4(dst), &egress).with(&bytes);
            prop_assert!(template.is_plain() && template.header_len() == PLAIN_COPY_LEN);
            let version = if v6 { IpVersion::V6 } else { IpVersion::V4 };
            let passenger = Passenger { version, stream, sequence, epoch, path_sequence };
            let mut expected = vec![0xa5; PLAIN_COPY_LEN + inner_len];
            template.write_any(&mut expected, source_port, passenger);
            let mut usual = vec![0xa5; PLAIN_COPY_LEN + inner_len];
            template.write_copy(&mut usual, source_port, passenger);
            prop_assert_eq!(&usual, &expected);
            let mut head = [0xa5; PLAIN_COPY_LEN];
            let common = Common::new(usual.len() as u16, source_port, version, stream, sequence, epoch);
            template.write_plain_copy(&mut head, &common, path_sequence);
            prop_assert_eq!(&head[..], &expected[..PLAIN_COPY_LEN]);
        }
    }
}
