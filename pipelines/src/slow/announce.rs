//! Announcing the node's addresses, paced: twice, two seconds apart (RFC 5227 section 2.3), so that switches and
//! neighbours that knew another station under an address change their mind.

use std::collections::VecDeque;

use packet::Addr;

use crate::PortIndex;

const INTERVAL_NS: u64 = 2_000_000_000;
const ROUNDS: u8 = 2;
/// Frames in a row, and the pause after them: a large NAT pool must not flood the link.
const BURST: u8 = 64;
const PAUSE_NS: u64 = 10_000_000;

/// Announcements still to be sent.
#[derive(Default)]
pub(super) struct Announcements {
    /// In the order of their time: (earliest time, rounds left, port, address).
    waiting: VecDeque<(u64, u8, PortIndex, Addr)>,
    paused_until_ns: u64,
    in_a_row: u8,
}

impl Announcements {
    /// Adds addresses, in front of older ones' repetitions.
    pub(super) fn start(&mut self, now_ns: u64, addresses: Vec<(PortIndex, Addr)>) {
        for (port, addr) in addresses.into_iter().rev() {
            self.waiting.push_front((now_ns, ROUNDS, port, addr));
        }
    }

    /// The next one that is due.
    pub(super) fn poll(&mut self, now_ns: u64) -> Option<(PortIndex, Addr)> {
        if self.next()? > now_ns {
            return None;
        }
        let (_, rounds, port, addr) = self.waiting.pop_front()?;
        if rounds > 1 {
            self.waiting.push_back((now_ns + INTERVAL_NS, rounds - 1, port, addr));
        }
        self.in_a_row += 1;
        if self.in_a_row == BURST {
            self.in_a_row = 0;
            self.paused_until_ns = now_ns + PAUSE_NS;
        }
        Some((port, addr))
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<u64> {
        self.waiting.front().map(|(at, ..)| (*at).max(self.paused_until_ns))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[test]
    fn each_address_is_announced_twice_and_in_paced_bursts() {
        let mut announcements = Announcements::default();
        let addresses: Vec<_> =
            (0..200u8).map(|n| (PortIndex(0), Addr::from(Ipv4Addr::new(10, 0, 0, n)))).collect();
        announcements.start(0, addresses);
        let (mut now, mut sent, mut most) = (0, 0, 0);
        while let Some(at) = announcements.next() {
            now = at.max(now);
            let burst = core::iter::from_fn(|| announcements.poll(now)).count();
            sent += burst;
            most = most.max(burst);
        }
        assert_eq!((sent, most), (400, BURST as usize));
        assert!((INTERVAL_NS..2 * INTERVAL_NS).contains(&now));
    }
}
