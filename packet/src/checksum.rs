//! The Internet checksum (RFC 1071) and its incremental update (RFC 1624).

/// The one's complement sum of `bytes`, big-endian 16-bit words, an odd last byte padded with zero; not inverted.
#[inline]
pub fn sum(bytes: &[u8]) -> u16 {
    sum_onto(0, bytes)
}

/// As [`sum`], continuing from an earlier sum over an even number of bytes.
#[inline]
pub fn sum_onto(start: u16, bytes: &[u8]) -> u16 {
    // Adding in native byte order and swapping once at the end gives the same sum (RFC 1071 section 2 (B)), and
    // 32-bit words added into 64 bits never overflow within an IP packet.
    let mut total = u16::from_be(start) as u64;
    let mut chunks = bytes.chunks_exact(4);
    for chunk in &mut chunks {
        if let Ok(word) = chunk.try_into() {
            total += u32::from_ne_bytes(word) as u64;
        }
    }
    match *chunks.remainder() {
        [a] => total += u16::from_ne_bytes([a, 0]) as u64,
        [a, b] => total += u16::from_ne_bytes([a, b]) as u64,
        [a, b, c] => total += u16::from_ne_bytes([a, b]) as u64 + u16::from_ne_bytes([c, 0]) as u64,
        _ => {}
    }
    u16::from_be(fold(total))
}

/// As [`sum`] for an IPv4 header without options, whose fixed length needs no loop.
#[inline(always)]
pub fn sum_ipv4_header(header: &[u8; 20]) -> u16 {
    let (words, _) = header.as_chunks::<4>();
    u16::from_be(fold(words.iter().map(|word| u32::from_ne_bytes(*word) as u64).sum()))
}

/// Whether an IPv4 header without options has the right checksum: its sum is then all ones, so a multiple of 65,535,
/// whatever the order of bytes, and never 0 behind a version.
#[inline(always)]
pub fn is_right(header: &[u8; 20]) -> bool {
    let (words, _) = header.as_chunks::<4>();
    words.iter().map(|word| u32::from_ne_bytes(*word) as u64).sum::<u64>().is_multiple_of(0xffff)
}

#[inline(always)]
fn fold(mut total: u64) -> u16 {
    total = (total & 0xffff_ffff) + (total >> 32);
    total = (total & 0xffff) + ((total >> 16) & 0xffff) + (total >> 32);
    total = (total & 0xffff) + (total >> 16);
    total = (total & 0xffff) + (total >> 16);
    total as u16
}

/// One's complement addition.
#[inline(always)]
pub const fn add(a: u16, b: u16) -> u16 {
    let (sum, carry) = a.overflowing_add(b);
    sum + carry as u16
}

/// The sum of the pseudo-header of TCP, UDP and ICMPv6 (RFC 9293 section 3.1, RFC 8200 section 8.1).
pub fn pseudo_header(src: crate::Addr, dst: crate::Addr, protocol: u8, transport_len: u32) -> u16 {
    let addresses = if src.is_v4() {
        sum_onto(sum(&src.v4_bytes()), &dst.v4_bytes())
    } else {
        sum_onto(sum(&src.v6_bytes()), &dst.v6_bytes())
    };
    let len = add((transport_len >> 16) as u16, transport_len as u16);
    add(add(addresses, len), protocol as u16)
}

/// What a rewrite adds to a checksum: `new - old` in one's complement, to be computed once per session and
/// applied to each packet (RFC 1624, equation 3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta(u16);

impl Delta {
    /// Nothing changes.
    pub const NONE: Delta = Delta(0);

    /// The change from one sum to another; both are results of [`sum`].
    #[inline(always)]
    pub const fn between(old: u16, new: u16) -> Delta {
        Delta(add(!old, new))
    }

    /// Both changes together.
    #[inline(always)]
    #[must_use]
    pub const fn and(self, other: Delta) -> Delta {
        Delta(add(self.0, other.0))
    }

    /// The change back.
    #[inline(always)]
    #[must_use]
    pub const fn reversed(self) -> Delta {
        Delta(!self.0)
    }

    /// The header's checksum field after the change.
    #[inline(always)]
    pub const fn apply(self, checksum: u16) -> u16 {
        !add(!checksum, self.0)
    }

    /// As [`Delta::apply`] for UDP over IPv4 or IPv6: zero means "none" and stays, and a sum that comes out as
    /// zero is sent as all ones (RFC 768).
    #[inline(always)]
    pub const fn apply_udp(self, checksum: u16) -> u16 {
        if checksum == 0 {
            return 0;
        }
        match self.apply(checksum) {
            0 => 0xffff,
            updated => updated,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(bytes: &[u8]) -> u16 {
        bytes.chunks(2).fold(0, |total, pair| {
            add(total, u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]))
        })
    }

    #[test]
    fn the_example_of_rfc_1071() {
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
    }

    proptest! {
        #[test]
        fn a_header_sums_as_any_bytes(header: [u8; 20]) {
            prop_assert_eq!(sum_ipv4_header(&header), sum(&header));
            let mut header = header;
            header[0] |= 0x40;
            prop_assert_eq!(is_right(&header), sum(&header) == 0xffff);
            header[10..12].fill(0);
            let mended = !sum(&header);
            header[10..12].copy_from_slice(&mended.to_be_bytes());
            prop_assert!(is_right(&header));
        }

        #[test]
        fn sums_as_the_plain_loop(bytes in proptest::collection::vec(any::<u8>(), 0..200), start: u16) {
            let expected = add(start, plain(&bytes));
            // Zero has two forms in one's complement.
            prop_assert_eq!(sum_onto(start, &bytes) % 0xffff, expected % 0xffff);
        }

        #[test]
        fn an_update_equals_a_new_sum(
            head in proptest::collection::vec(1u8.., 8),
            old in proptest::collection::vec(any::<u8>(), 6),
            new in proptest::collection::vec(any::<u8>(), 6),
        ) {
            let before = !sum(&[head.clone(), old.clone()].concat());
            let after = !sum(&[head, new.clone()].concat());
            let delta = Delta::between(sum(&old), sum(&new));
            prop_assert_eq!(delta.apply(before), after);
            prop_assert_eq!(delta.reversed().apply(after), before);
        }
    }
}
