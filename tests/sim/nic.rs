//! Receive-side scaling: which worker's queue a NIC puts a frame in.

use super::decode::decode_ip;
use super::frame;
use overlay::topology::Rss;
use packet::Addr;
use std::net::IpAddr;

/// By the hash that the topology knows, or else by some other over addresses and ports.
pub(super) fn queue(bytes: &[u8], rss: Option<&Rss>, workers: usize) -> usize {
    let plain = frame::untagged(bytes.to_vec());
    let Ok((datagram, _)) = decode_ip(frame::payload(&plain).1) else { return 0 };
    let ports = datagram.body.ports();
    if let Some(rss) = rss {
        return rss.queue(datagram.src, datagram.dst, ports.0, ports.1) as usize;
    }
    let bits = |address: IpAddr| Addr::from(address).to_bits() as u64;
    let mixed = bits(datagram.src) ^ bits(datagram.dst).rotate_left(9) ^ u64::from(ports.0 ^ ports.1) << 3;
    (mixed.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % workers
}
