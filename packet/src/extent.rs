//! Which part of its datagram a fragment carries, with the lengths that could lie checked.

use crate::ip::{Packet, fragment_header_at};
use crate::transport::TCP;
use crate::{IpVersion, Reason};

/// The part of a datagram's payload that one fragment carries, in units of 8 bytes.
///
/// ```text
///  0        start          end
///  |---------|##############|------------
///            <- fragment ->   more follows unless it is the last
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Its first unit.
    pub start: u16,
    /// The unit behind it; that of the last fragment is rounded up.
    pub end: u16,
    /// Whether the datagram ends here.
    pub last: bool,
}

/// Bytes that the payload of a datagram may have: what fits the length field of a packet without options.
const PAYLOAD_MAX: usize = u16::MAX as usize - 20;
const MORE_V4: u16 = 0x2000;

impl Extent {
    /// The part that `packet`, a fragment read from `bytes`, carries.
    ///
    /// # Errors
    /// [`Reason::FragmentMalformed`] where it is empty, reaches beyond the longest datagram, or is not the last and its
    /// length no multiple of 8 (RFC 791 section 3.2, RFC 8200 section 4.5); [`Reason::FragmentTiny`] where it could
    /// overwrite TCP's flags in a receiver that lets fragments overlap (RFC 3128).
    pub fn of(bytes: &[u8], packet: &Packet) -> Result<Extent, Reason> {
        let malformed = Reason::FragmentMalformed;
        let (start, last, data_at) = match packet.version {
            IpVersion::V4 => {
                let field = word(bytes, 6).ok_or(malformed)?;
                (field & 0x1fff, field & MORE_V4 == 0, packet.transport_at as usize)
            }
            IpVersion::V6 => {
                let at = fragment_header_at(bytes).ok_or(malformed)?;
                let field = word(bytes, at + 2).ok_or(malformed)?;
                (field >> 3, field & 1 == 0, at + 8)
            }
        };
        let len = (packet.len as usize).checked_sub(data_at).ok_or(malformed)?;
        if len == 0 || (!last && len % 8 != 0) || start as usize * 8 + len > PAYLOAD_MAX {
            return Err(malformed);
        }
        if start == 1 && packet.protocol == TCP {
            return Err(Reason::FragmentTiny);
        }
        Ok(Extent { start, end: start + len.div_ceil(8) as u16, last })
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|word| u16::from_be_bytes(*word))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fragment::Pieces;
    use crate::{checksum, ip};
    use etherparse::PacketBuilder;
    use proptest::prelude::*;

    fn mend(bytes: &mut [u8]) {
        bytes[10..12].fill(0);
        let sum = !checksum::sum(&bytes[..20]);
        bytes[10..12].copy_from_slice(&sum.to_be_bytes());
    }

    fn v4(protocol: u8, field: u16, payload: &[u8]) -> Result<Extent, Reason> {
        let mut bytes = vec![0x45, 0, 0, 0, 0, 9, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2];
        bytes[2..4].copy_from_slice(&(20 + payload.len() as u16).to_be_bytes());
        bytes[6..8].copy_from_slice(&field.to_be_bytes());
        mend(&mut bytes);
        bytes.extend(payload);
        Extent::of(&bytes, &ip::parse(&bytes)?)
    }

    #[test]
    fn lying_lengths_are_told() {
        assert_eq!(v4(17, 0x2002, &[0; 16]), Ok(Extent { start: 2, end: 4, last: false }));
        assert_eq!(v4(17, 0x0002, &[0; 9]), Ok(Extent { start: 2, end: 4, last: true }));
        for (field, len) in [(0x2002, 9), (0x2002, 0), (0x0002, 0), (0x1fff, 30), (0x1ffe, 8), (0x2001, 7)] {
            assert_eq!(v4(17, field, &vec![0; len]), Err(Reason::FragmentMalformed), "{field:04x} {len}");
        }
        // The longest that a packet's length field can tell of.
        assert_eq!(v4(17, 0x1ffd, &[0; 3]), Ok(Extent { start: 0x1ffd, end: 0x1ffe, last: true }));
        assert_eq!(v4(17, 0x1ffd, &[0; 4]), Err(Reason::FragmentMalformed));
    }

    #[test]
    fn fragments_that_reach_into_a_transport_header_are_refused() {
        assert_eq!(v4(TCP, 0x2001, &[0; 8]), Err(Reason::FragmentTiny));
        assert_eq!(v4(17, 0x2001, &[0; 8]), Ok(Extent { start: 1, end: 2, last: false }));
        let mut tcp = [0; 24];
        tcp[12] = 0x60;
        assert_eq!(v4(TCP, 0x2000, &tcp), Ok(Extent { start: 0, end: 3, last: false }));
        assert_eq!(v4(TCP, 0x2000, &tcp[..16]), Err(Reason::FragmentTiny));
        // Its options must be there as well.
        tcp[12] = 0x70;
        assert_eq!(v4(TCP, 0x2000, &tcp), Err(Reason::FragmentTiny));
        assert_eq!(v4(17, 0x2000, &[0, 1, 0, 2, 0, 0, 0, 0]), Err(Reason::TransportMalformed));
        assert_eq!(v4(1, 0x2000, &[8, 0]), Err(Reason::FragmentTiny));
    }

    #[test]
    fn ipv6_counts_from_behind_its_fragment_header() {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 32, 60, 64];
        bytes.extend([0x20; 32]);
        bytes.extend([44, 0, 1, 4, 0, 0, 0, 0]);
        bytes.extend([17, 0, 0, 0x19, 1, 2, 3, 4]);
        bytes.extend([0; 16]);
        let extent = |bytes: &[u8]| Extent::of(bytes, &ip::parse(bytes).unwrap());
        assert_eq!(extent(&bytes), Ok(Extent { start: 3, end: 5, last: false }));
        bytes[51] = 0x18;
        assert_eq!(extent(&bytes), Ok(Extent { start: 3, end: 5, last: true }));
        bytes[50..52].copy_from_slice(&[0xff, 0xf8]);
        assert_eq!(extent(&bytes), Err(Reason::FragmentMalformed));
    }

    proptest! {
        #[test]
        fn the_pieces_of_a_packet_lie_side_by_side(payload in proptest::collection::vec(any::<u8>(), 600..6000), mtu in 68u16..1500) {
            let mut whole = Vec::new();
            PacketBuilder::ipv4([192, 0, 2, 1], [192, 0, 2, 2], 64).udp(7, 9).write(&mut whole, &payload).unwrap();
            whole[6] = 0;
            mend(&mut whole);
            let mut at = 0;
            let mut ended = false;
            prop_assume!(whole.len() > mtu as usize);
            for piece in Pieces::of(&whole, mtu).unwrap() {
                let mut bytes = vec![0; piece.len()];
                piece.write(&whole, &mut bytes);
                let extent = Extent::of(&bytes, &ip::parse(&bytes).unwrap()).unwrap();
                prop_assert_eq!((extent.start, ended), (at, false));
                (at, ended) = (extent.end, extent.last);
            }
            prop_assert!(ended && at as usize == (whole.len() - 20).div_ceil(8));
        }

        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..100), six: bool) {
            let mut bytes = bytes;
            if let Some(first) = bytes.first_mut() {
                *first = if six { 0x60 } else { 0x45 };
            }
            if bytes.len() >= 20 && !six {
                mend(&mut bytes);
            }
            if let Ok(packet) = ip::parse(&bytes)
                && let Ok(extent) = Extent::of(&bytes, &packet)
            {
                prop_assert!(extent.start < extent.end && extent.end <= 0x2000);
            }
        }
    }
}
