//! Fragments: cutting an IPv4 packet (RFC 791 section 3.2), and what fragments of one packet have in common.

use crate::IpVersion;
use crate::checksum::{self, Delta};
use crate::ip::{Fragment, Ipv4, Packet, fragment_header_at};

/// "More fragments", in [`Ipv4::fragment`].
const MORE: u16 = 0x2000;
const FRAGMENT_AT: usize = 6;
const IDENTIFICATION_AT: usize = 4;

/// Whether a router may cut a packet that does not fit: IPv4 without "don't fragment". With options it may not here:
/// these would have to be sorted into those that each fragment repeats and those that it does not, for packets that
/// next to nobody sends.
pub fn may_cut(packet: &Packet) -> bool {
    packet.version == IpVersion::V4 && !packet.dont_fragment && packet.transport_at as usize == Ipv4::LEN
}

/// The fragments of a packet, in order.
#[derive(Clone, Debug)]
pub struct Pieces {
    at: usize,
    end: usize,
    /// Payload that a fragment has room for, bytes.
    room: usize,
    /// Payload of every fragment but the last, bytes: a multiple of 8.
    step: usize,
    /// The packet's own flags and offset.
    field: u16,
}

/// One fragment of a packet.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    at: usize,
    len: usize,
    field: u16,
}

impl Pieces {
    /// Fragments of at most `mtu` bytes of a packet that [`may_cut`] allows to cut, which may be a fragment itself.
    /// `None` where an MTU leaves no room for 8 bytes, or `packet` is shorter than its header.
    pub fn of(packet: &[u8], mtu: u16) -> Option<Pieces> {
        let header = packet.first_chunk::<{ Ipv4::LEN }>()?;
        let room = (mtu as usize).checked_sub(Ipv4::LEN)?;
        let step = room & !7;
        let field = u16::from_be_bytes([header[FRAGMENT_AT], header[FRAGMENT_AT + 1]]);
        (step > 0).then_some(Pieces { at: Ipv4::LEN, end: packet.len(), room, step, field })
    }
}

impl Iterator for Pieces {
    type Item = Piece;

    fn next(&mut self) -> Option<Piece> {
        let (at, left) = (self.at, self.end.checked_sub(self.at).filter(|left| *left > 0)?);
        let fits = left <= self.room;
        let len = if fits { left } else { self.step };
        self.at += len;
        let more = if fits { self.field & MORE } else { MORE };
        let offset = (self.field & 0x1fff) + ((at - Ipv4::LEN) / 8) as u16;
        Some(Piece { at, len, field: more | (offset & 0x1fff) })
    }
}

impl Piece {
    /// Bytes of the fragment.
    pub fn len(&self) -> usize {
        Ipv4::LEN + self.len
    }

    /// Never: a fragment has a header.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Writes the fragment to `out`, which has its length. `packet` is what it was cut from.
    pub fn write(&self, packet: &[u8], out: &mut [u8]) {
        let (Some(header), Some(payload)) =
            (packet.get(..Ipv4::LEN), packet.get(self.at..self.at + self.len))
        else {
            return;
        };
        let total = self.len() as u16;
        let Some((head, rest)) = out.split_first_chunk_mut::<{ Ipv4::LEN }>() else { return };
        head.copy_from_slice(header);
        head[2..4].copy_from_slice(&total.to_be_bytes());
        head[FRAGMENT_AT..FRAGMENT_AT + 2].copy_from_slice(&self.field.to_be_bytes());
        head[10..12].fill(0);
        let sum = !checksum::sum_ipv4_header(head);
        head[10..12].copy_from_slice(&sum.to_be_bytes());
        if let Some(rest) = rest.get_mut(..self.len) {
            rest.copy_from_slice(payload);
        }
    }
}

/// What the fragments of one packet, between the same hosts and of the same protocol, are told from others' by. `None`
/// for a whole IPv6 packet: it has none.
pub fn identification(bytes: &[u8], packet: &Packet) -> Option<u32> {
    let at = match packet.version {
        IpVersion::V4 => {
            return bytes.get(IDENTIFICATION_AT..)?.first_chunk().map(|id| u16::from_be_bytes(*id).into());
        }
        IpVersion::V6 if packet.fragment == Fragment::No => return None,
        IpVersion::V6 => fragment_header_at(bytes)? + IDENTIFICATION_AT,
    };
    bytes.get(at..)?.first_chunk().map(|id| u32::from_be_bytes(*id))
}

/// Gives the fragment at the start of `bytes`, or the IPv4 packet, another identification: of IPv4 its low 16 bits.
pub fn set_identification(bytes: &mut [u8], version: IpVersion, identification: u32) {
    match version {
        IpVersion::V4 => set_identification_v4(bytes, identification as u16),
        IpVersion::V6 => {
            let field = fragment_header_at(bytes).and_then(|at| bytes.get_mut(at + IDENTIFICATION_AT..));
            if let Some(field) = field.and_then(|field| field.first_chunk_mut()) {
                *field = identification.to_be_bytes();
            }
        }
    }
}

fn set_identification_v4(bytes: &mut [u8], identification: u16) {
    if let Some(header) = bytes.first_chunk_mut::<{ Ipv4::LEN }>() {
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let checksum = Delta::between(word(IDENTIFICATION_AT), identification).apply(word(10));
        header[IDENTIFICATION_AT..IDENTIFICATION_AT + 2].copy_from_slice(&identification.to_be_bytes());
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ip;
    use etherparse::defrag::IpDefragPool;
    use etherparse::{PacketBuilder, SlicedPacket};
    use proptest::prelude::*;

    fn datagram(payload: &[u8], identification: u16) -> Vec<u8> {
        let mut bytes = Vec::new();
        PacketBuilder::ipv4([192, 0, 2, 1], [203, 0, 113, 7], 64)
            .udp(7, 9)
            .write(&mut bytes, payload)
            .unwrap();
        bytes[4..6].copy_from_slice(&identification.to_be_bytes());
        bytes[6] = 0;
        bytes[10..12].fill(0);
        let sum = !checksum::sum(&bytes[..20]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    fn cut(packet: &[u8], mtu: u16) -> Vec<Vec<u8>> {
        let write = |piece: Piece| {
            let mut out = vec![0xa5; piece.len()];
            piece.write(packet, &mut out);
            out
        };
        Pieces::of(packet, mtu).unwrap().map(write).collect()
    }

    proptest! {
        #[test]
        fn another_library_puts_together_what_was_cut_even_twice(
            payload in proptest::collection::vec(any::<u8>(), 0..4000), identification: u16, mtu in 28u16..1600, again in 28u16..1600,
        ) {
            let whole = datagram(&payload, identification);
            prop_assert!(may_cut(&ip::parse(&whole).unwrap()));
            let mut pool = IpDefragPool::<(), ()>::new();
            let mut assembled = None;
            for once in cut(&whole, mtu) {
                prop_assert!(once.len() <= mtu as usize);
                for piece in cut(&once, again) {
                    prop_assert!(piece.len() <= again.min(mtu) as usize);
                    prop_assert_eq!(checksum::sum(&piece[..20]), 0xffff);
                    let sliced = SlicedPacket::from_ip(&piece).unwrap();
                    assembled = match pool.process_sliced_packet(&sliced, (), ()) {
                        Ok(found) => found.map(|found| found.payload).or(assembled),
                        Err(error) => return Err(TestCaseError::fail(format!("{error:?}"))),
                    };
                }
            }
            let small = whole.len() <= mtu.min(again) as usize;
            prop_assert_eq!(assembled, (!small).then(|| whole[20..].to_vec()));
        }

        #[test]
        fn a_new_identification_keeps_the_checksum_right(old: u16, new: u16) {
            let mut bytes = datagram(b"proa", old);
            let packet = ip::parse(&bytes).unwrap();
            prop_assert_eq!(identification(&bytes, &packet), Some(old.into()));
            set_identification(&mut bytes, IpVersion::V4, new.into());
            prop_assert_eq!(ip::parse(&bytes), Ok(packet));
            prop_assert_eq!(identification(&bytes, &packet), Some(new.into()));
        }

        #[test]
        fn any_bytes_are_cut_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200), mtu: u16) {
            if let Some(pieces) = Pieces::of(&bytes, mtu) {
                for piece in pieces {
                    let mut out = vec![0; piece.len()];
                    piece.write(&bytes, &mut out);
                }
            }
        }
    }

    #[test]
    fn ipv6_fragments_have_their_identification_behind_other_extensions() {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 28, 60, 64];
        bytes.extend([0x20; 32]);
        bytes.extend([44, 0, 1, 4, 0, 0, 0, 0]);
        bytes.extend([17, 0, 0, 9, 1, 2, 3, 4]);
        bytes.extend([0; 12]);
        let packet = ip::parse(&bytes).unwrap();
        assert_eq!(packet.fragment, Fragment::Later);
        assert_eq!(identification(&bytes, &packet), Some(0x0102_0304));
        set_identification(&mut bytes, IpVersion::V6, 0x0a0b_0c0d);
        assert_eq!(identification(&bytes, &packet), Some(0x0a0b_0c0d));
        assert_eq!(ip::parse(&bytes), Ok(packet));
        assert!(!may_cut(&packet));
    }
}
