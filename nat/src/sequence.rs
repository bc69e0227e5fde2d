//! TCP sequence numbers, as far as they tell a connection's own packets from forged ones.
//!
//! Of each side a session remembers what follows the highest sequence number it has sent. A RST must lie near that
//! (RFC 7857 section 2.2), and so must a segment that an ICMP error quotes (RFC 5927 section 4.1). Who can not see the
//! connection has to guess 32 bits of which about 24 do not matter, so one forged packet in some 250 gets that far; a
//! RST then shortens the session's life for as long as no other packet comes, and the ends of the connection check
//! again, exactly (RFC 5961).

use packet::Headers;
use packet::ip::Fragment;
use packet::transport::Tcp;

/// How far behind the highest sequence number a segment may be: in flight, or sent again. 16 MiB.
const BEHIND_MAX: u32 = 1 << 24;
/// How far beyond it: segments were lost before they came here.
const AHEAD_MAX: u32 = 1 << 20;

/// What follows the highest sequence number that each side has sent, and is at most one TCP header beyond it; 0 while
/// nothing is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Next {
    pub client: u32,
    pub origin: u32,
}

impl Next {
    pub(crate) const UNKNOWN: Next = Next { client: 0, origin: 0 };
}

/// Reads the four bytes at `at`.
#[inline(always)]
fn field(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk::<4>().map(|field| u32::from_be_bytes(*field))
}

const SEQUENCE_AT: usize = 4;
const ACKNOWLEDGEMENT_AT: usize = 8;

/// Moves a side's number on by a segment that it sent. For other protocols than TCP the number means nothing, and
/// asking which it is would cost more than this does.
#[inline(always)]
pub(crate) fn follow(next: &mut u32, bytes: &[u8], packet: &impl Headers) {
    if packet.fragment() != Fragment::No {
        return;
    }
    let at = packet.transport_at();
    if let Some(sequence) = field(bytes, at as usize + SEQUENCE_AT) {
        let end = sequence.wrapping_add(packet.total_len().wrapping_sub(at) as u32);
        if *next == 0 || end.wrapping_sub(*next) < AHEAD_MAX {
            *next = end;
        }
    }
}

/// Whether a sequence number is one that a side may have sent, as far as is known.
#[inline]
pub(crate) fn may_be(sequence: u32, next: u32) -> bool {
    next == 0 || sequence.wrapping_sub(next.wrapping_sub(BEHIND_MAX)) <= BEHIND_MAX + AHEAD_MAX
}

/// Whether a RST belongs to its connection: `own` is its sender's next number, `other` the other side's. Before its
/// sender has sent anything, it must acknowledge what the other has (RFC 9293 section 3.10.7.3).
pub(crate) fn is_reset_right(bytes: &[u8], packet: &impl Headers, own: u32, other: u32) -> bool {
    let at = packet.transport_at() as usize;
    let (Some(sequence), Some(acknowledged)) =
        (field(bytes, at + SEQUENCE_AT), field(bytes, at + ACKNOWLEDGEMENT_AT))
    else {
        return false;
    };
    if own != 0 || other == 0 {
        return may_be(sequence, own);
    }
    packet.detail() & Tcp::ACK != 0 && may_be(acknowledged, other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_lies_behind_the_highest_number() {
        for next in [5u32, 1 << 31, u32::MAX] {
            for (off, is_in) in [
                (0i64, true),
                (-(BEHIND_MAX as i64), true),
                (-(BEHIND_MAX as i64) - 1, false),
                (AHEAD_MAX as i64, true),
                (AHEAD_MAX as i64 + 1, false),
                (1 << 31, false),
            ] {
                assert_eq!(may_be((next as i64 + off) as u32, next), is_in, "{next} {off}");
            }
        }
        assert!(may_be(12345, 0));
    }
}
