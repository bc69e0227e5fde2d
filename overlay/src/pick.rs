//! Choices that every node of the overlay must make alike, without a word between them: a client's bucket, its
//! gateway among those of a region, its origin.
//!
//! They depend on the client's address alone, so all connections of one client meet the same gateway, the same
//! worker there, and the same origin, also when they come through different edges.

use packet::Addr;

/// Mixes a client's address with a salt into 64 well-spread bits; the finalizer of SplitMix64 over both halves.
#[inline(always)]
pub fn spread(client: Addr, salt: u64) -> u64 {
    let bits = client.to_bits();
    mix(mix(bits as u64 ^ salt).wrapping_add((bits >> 64) as u64))
}

#[inline(always)]
fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// The bucket of a client among `streams` (1 to 256).
#[inline(always)]
pub fn bucket(client: Addr, streams: u16) -> u8 {
    (((spread(client, 0) >> 32) * streams.clamp(1, 256) as u64) >> 32) as u8
}

/// The member of a group that serves a client, by rendezvous hashing over the members' numbers: when a member
/// leaves, only its own clients move. `None` for an empty group.
pub fn rendezvous(client: Addr, members: impl IntoIterator<Item = u64>) -> Option<usize> {
    let weights = members.into_iter().map(|member| spread(client, mix(member)));
    weights.enumerate().max_by_key(|(_, weight)| *weight).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::Ipv4Addr;

    fn clients() -> impl Iterator<Item = Addr> {
        (0..10_000u32).map(|number| Addr::from(Ipv4Addr::from(0x0a00_0000 + number)))
    }

    #[test]
    fn clients_spread_evenly_over_buckets() {
        let mut counts = [0; 16];
        clients().for_each(|client| counts[bucket(client, 16) as usize] += 1);
        assert!(counts.iter().all(|count| (500..750).contains(count)), "{counts:?}");
        assert!(clients().all(|client| bucket(client, 1) == 0));
    }

    #[test]
    fn only_the_clients_of_a_lost_member_move() {
        let mut moved = 0;
        for client in clients() {
            let before = [3, 5, 9][rendezvous(client, [3, 5, 9]).unwrap()];
            let after = [3, 9][rendezvous(client, [3, 9]).unwrap()];
            assert!(before == 5 || before == after);
            moved += (before != after) as u32;
        }
        assert!((3000..3700).contains(&moved), "{moved}");
        assert_eq!(rendezvous(Addr::UNSPECIFIED, []), None);
    }
}
