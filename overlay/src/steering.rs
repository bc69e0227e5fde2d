//! Receive-side scaling as the receiver's NIC does it, so that the last hop of a path can pick the UDP source port
//! that puts a copy on its stream's worker: all copies of one stream must meet there.

use crate::topology::Rss;
use crate::wire::SOURCE_PORT_MIN;
use core::net::IpAddr;

/// A source port from [`SOURCE_PORT_MIN`] on that makes the receiver's NIC put packets on `worker`'s queue;
/// `None` where no port of the range does.
pub fn source_port(rss: &Rss, src: IpAddr, dst: IpAddr, dst_port: u16, worker: u16) -> Option<u16> {
    (SOURCE_PORT_MIN..=u16::MAX).find(|port| rss.queue(src, dst, *port, dst_port) == worker)
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::rss::VERIFICATION_KEY;

    #[test]
    fn every_worker_can_be_reached_from_every_hop() {
        let rss = Rss { key: VERIFICATION_KEY.to_vec(), queues: 4, table: 128 };
        let dst: IpAddr = "192.0.2.9".parse().unwrap();
        for hop in ["192.0.2.1", "192.0.2.2", "198.51.100.77"] {
            let src: IpAddr = hop.parse().unwrap();
            for worker in 0..4 {
                let port = source_port(&rss, src, dst, 6081, worker).unwrap();
                assert!(port >= SOURCE_PORT_MIN);
                assert_eq!(rss.queue(src, dst, port, 6081), worker);
            }
            assert_eq!(source_port(&rss, src, dst, 6081, 4), None);
        }
    }
}
