//! Receive-side scaling: on which queue a NIC puts a packet, by the Toeplitz hash over its addresses and ports.

use core::net::IpAddr;

/// How a NIC spreads packets: queue = table\[hash mod entries\], the table filled round robin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rss {
    /// The hash key, 40 bytes or more.
    pub key: Vec<u8>,
    /// Queues; one per worker.
    pub queues: u16,
    /// Entries of the redirection table, a power of two.
    pub table: u16,
}

/// The key that Microsoft publishes to verify hashes, which many drivers have as their own.
pub const VERIFICATION_KEY: [u8; 40] = [
    0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
    0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
    0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
];

/// The hash over source and destination address and port.
pub fn toeplitz(key: &[u8], src: IpAddr, dst: IpAddr, src_port: u16, dst_port: u16) -> u32 {
    Flow::new(key, src, dst, src_port).hash(dst_port)
}

/// All that is hashed but the destination's port: the hash is linear, so that each bit of that adds its part.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    hash: u32,
    /// What each bit of the port adds, the first one first.
    parts: [u32; 16],
}

impl Flow {
    /// Packets from an address and port to an address.
    pub fn new(key: &[u8], src: IpAddr, dst: IpAddr, src_port: u16) -> Flow {
        let mut input = [0u8; 34];
        let mut len = 0;
        let mut put = |bytes: &[u8]| {
            if let Some(place) = input.get_mut(len..len + bytes.len()) {
                place.copy_from_slice(bytes);
                len += bytes.len();
            }
        };
        for address in [src, dst] {
            match address {
                IpAddr::V4(v4) => put(&v4.octets()),
                IpAddr::V6(v6) => put(&v6.octets()),
            }
        }
        put(&src_port.to_be_bytes());
        // The key's 32-bit window slides by one bit for each bit of the input; each set bit adds the window.
        let bit = |at: usize| key.get(at / 8).map_or(0, |byte| (byte >> (7 - at % 8) & 1) as u32);
        let mut window = (0..32).fold(0u32, |window, at| window << 1 | bit(at));
        let mut slides = 32..;
        let mut slide = || {
            let now = window;
            window = window << 1 | slides.next().map_or(0, bit);
            now
        };
        let mut hash = 0;
        for byte in input.iter().take(len) {
            for place in 0..8 {
                let window = slide();
                if byte >> (7 - place) & 1 == 1 {
                    hash ^= window;
                }
            }
        }
        Flow { hash, parts: core::array::from_fn(|_| slide()) }
    }

    /// The hash of those to this port.
    #[inline]
    pub fn hash(&self, dst_port: u16) -> u32 {
        let set = |bit: &usize| dst_port >> (15 - bit) & 1 == 1;
        (0..16).filter(set).fold(self.hash, |hash, bit| hash ^ self.parts.get(bit).copied().unwrap_or(0))
    }
}

impl Rss {
    /// The queue of a hash; queues and workers are numbered alike.
    #[inline]
    pub fn queue_of(&self, hash: u32) -> u16 {
        let entry = hash & (u32::from(self.table.max(1)) - 1);
        (entry % u32::from(self.queues.max(1))) as u16
    }

    /// The queue that a packet comes to.
    pub fn queue(&self, src: IpAddr, dst: IpAddr, src_port: u16, dst_port: u16) -> u16 {
        self.queue_of(toeplitz(&self.key, src, dst, src_port, dst_port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(src: &str, src_port: u16, dst: &str, dst_port: u16) -> u32 {
        toeplitz(&VERIFICATION_KEY, src.parse().unwrap(), dst.parse().unwrap(), src_port, dst_port)
    }

    /// With the key, Microsoft publishes these.
    #[test]
    fn the_published_vectors() {
        assert_eq!(hash("66.9.149.187", 2794, "161.142.100.80", 1766), 0x51cc_c178);
        assert_eq!(hash("199.92.111.2", 14230, "65.69.140.83", 4739), 0xc626_b0ea);
        assert_eq!(hash("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766), 0x4020_7d3d);
    }

    #[test]
    fn queues_are_filled_round_robin() {
        let rss = Rss { key: VERIFICATION_KEY.to_vec(), queues: 3, table: 128 };
        assert_eq!([0, 1, 2, 3, 127, 128, 129].map(|hash| rss.queue_of(hash)), [0, 1, 2, 0, 1, 0, 1]);
    }
}
