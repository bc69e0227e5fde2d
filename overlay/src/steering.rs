//! Receive-side scaling as the receiver's NIC does it, so that the last hop of a path can pick the UDP source port
//! that puts a copy on its stream's worker: all copies of one stream must meet there.

use crate::topology::Rss;
use crate::wire::SOURCE_PORT_MIN;
use core::net::IpAddr;

/// The Toeplitz hash of NICs over source and destination address and port.
pub fn toeplitz(key: &[u8], src: IpAddr, dst: IpAddr, src_port: u16, dst_port: u16) -> u32 {
    let mut input = [0u8; 36];
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
    put(&dst_port.to_be_bytes());
    // The key's 32-bit window slides by one bit for each bit of the input; each set bit adds the window.
    let bit = |at: usize| key.get(at / 8).map_or(0, |byte| (byte >> (7 - at % 8) & 1) as u32);
    let mut window = (0..32).fold(0u32, |window, at| window << 1 | bit(at));
    let mut hash = 0;
    for (number, byte) in input.iter().take(len).enumerate() {
        for place in 0..8 {
            if byte >> (7 - place) & 1 == 1 {
                hash ^= window;
            }
            window = window << 1 | bit(32 + number * 8 + place);
        }
    }
    hash
}

/// The queue that a receiver puts a packet on; queues and workers are numbered alike.
pub fn queue(rss: &Rss, src: IpAddr, dst: IpAddr, src_port: u16, dst_port: u16) -> u16 {
    let entry = toeplitz(&rss.key, src, dst, src_port, dst_port) & (rss.table.max(1) as u32 - 1);
    (entry % rss.queues.max(1) as u32) as u16
}

/// A source port from [`SOURCE_PORT_MIN`] on that makes the receiver's NIC put packets on `worker`'s queue;
/// `None` where no port of the range does.
pub fn source_port(rss: &Rss, src: IpAddr, dst: IpAddr, dst_port: u16, worker: u16) -> Option<u16> {
    (SOURCE_PORT_MIN..=u16::MAX).find(|port| queue(rss, src, dst, *port, dst_port) == worker)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The key and the vectors that Microsoft publishes to verify an RSS hash.
    const KEY: [u8; 40] = [
        0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0,
        0xca, 0x2b, 0xcb, 0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42,
        0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
    ];

    fn hash(src: &str, src_port: u16, dst: &str, dst_port: u16) -> u32 {
        toeplitz(&KEY, src.parse().unwrap(), dst.parse().unwrap(), src_port, dst_port)
    }

    #[test]
    fn the_published_vectors() {
        assert_eq!(hash("66.9.149.187", 2794, "161.142.100.80", 1766), 0x51cc_c178);
        assert_eq!(hash("199.92.111.2", 14230, "65.69.140.83", 4739), 0xc626_b0ea);
        assert_eq!(hash("3ffe:2501:200:1fff::7", 2794, "3ffe:2501:200:3::1", 1766), 0x4020_7d3d);
    }

    #[test]
    fn every_worker_can_be_reached_from_every_hop() {
        let rss = Rss { key: KEY.to_vec(), queues: 4, table: 128 };
        let dst: IpAddr = "192.0.2.9".parse().unwrap();
        for hop in ["192.0.2.1", "192.0.2.2", "198.51.100.77"] {
            let src: IpAddr = hop.parse().unwrap();
            for worker in 0..4 {
                let port = source_port(&rss, src, dst, 6081, worker).unwrap();
                assert!(port >= SOURCE_PORT_MIN);
                assert_eq!(queue(&rss, src, dst, port, 6081), worker);
            }
            assert_eq!(source_port(&rss, src, dst, 6081, 4), None);
        }
    }
}
