//! In virtual time against a link whose MTU changes and that loses, by a seed.

use super::*;
use proptest::prelude::*;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
const SETTINGS: Settings = Settings { interval_ns: 100 * MS, raise_ns: 600 * SECOND };
const ROUND_TRIP: u64 = 20 * MS;

struct Link {
    now_ns: u64,
    machine: Plpmtud,
    carries: u16,
    /// In percent.
    loss: u64,
    random: u64,
    acks: std::collections::VecDeque<(u64, u64)>,
    sent: u64,
}

impl Link {
    fn new(max: u16, carries: u16, seed: u64) -> Link {
        let machine = Plpmtud::new(0, SETTINGS, 1200, max);
        Link { now_ns: 0, machine, carries, loss: 0, random: seed, acks: Default::default(), sent: 0 }
    }

    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        self.random ^ self.random >> 32
    }

    fn run_until(&mut self, end_ns: u64) {
        loop {
            let random = self.draw();
            while let Some((size, token)) = self.machine.poll(self.now_ns, random ^ self.sent << 1) {
                self.sent += 1;
                if size <= self.carries && self.draw() % 100 >= self.loss {
                    self.acks.push_back((self.now_ns + ROUND_TRIP, token));
                }
            }
            let arrival = self.acks.front().map_or(u64::MAX, |first| first.0);
            let next = arrival.min(self.machine.timeout()).max(self.now_ns);
            if next > end_ns {
                self.now_ns = end_ns;
                return;
            }
            self.now_ns = next;
            while let Some((_, token)) = self.acks.pop_front_if(|first| first.0 <= next) {
                assert!(self.machine.handle(next, token));
                assert!(!self.machine.handle(next, token));
            }
        }
    }

    fn run_for(&mut self, time_ns: u64) {
        self.run_until(self.now_ns + time_ns);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_shrunk_link_is_noticed_in_time_and_measured_exactly(
        max in 1201u16..9001, share in 0.0f64..1.0, after_ms in 0u64..5000, seed: u64,
    ) {
        let carries = 1200 + ((max - 1200) as f64 * share) as u16;
        let mut link = Link::new(max, max, seed);
        link.run_until(after_ms * MS);
        prop_assert_eq!(link.machine.mtu(), max);
        link.carries = carries;
        // The pause until the next probe, and three losses.
        link.run_for(4 * SETTINGS.interval_ns + ROUND_TRIP);
        prop_assert!(link.machine.mtu() <= carries);
        link.run_for(10 * SECOND);
        prop_assert_eq!(link.machine.mtu(), carries);
        prop_assert!(!link.machine.is_searching());
        prop_assert_eq!(link.machine.black_holes(), (carries < max) as u64);
        // It stays so, at one probe per interval, until the raise timer finds the link as it was.
        let before = link.sent;
        link.run_for(60 * SECOND);
        prop_assert!(link.sent - before <= 601);
        link.carries = max;
        link.run_for(600 * SECOND);
        prop_assert_eq!(link.machine.mtu(), max);
    }

    #[test]
    fn never_more_than_the_link_carries_once_settled(
        changes in proptest::collection::vec((1200u16..1600, 11u64..900), 1..8), seed: u64,
    ) {
        let mut link = Link::new(1500, 1500, seed);
        for (carries, seconds) in changes {
            link.carries = carries;
            link.run_for(seconds * SECOND);
            prop_assert!(link.machine.mtu() <= carries.min(1500));
            prop_assert!(link.machine.mtu() >= 1200);
        }
        link.run_for(620 * SECOND);
        prop_assert_eq!(link.machine.mtu(), link.carries.min(1500));
    }

    #[test]
    fn a_link_that_loses_everything_keeps_its_mtu(outage_ms in 1u64..10_000, seed: u64) {
        let mut link = Link::new(1500, 1500, seed);
        link.run_for(SECOND);
        link.loss = 100;
        link.run_for(outage_ms * MS);
        prop_assert_eq!(link.machine.mtu(), 1500);
        link.loss = 0;
        link.run_for(SECOND);
        prop_assert_eq!((link.machine.mtu(), link.machine.black_holes()), (1500, 0));
    }

    #[test]
    fn who_does_not_see_probes_acknowledges_nothing(tokens in proptest::collection::vec(any::<u64>(), 0..100), seed: u64) {
        let mut link = Link::new(1500, 1300, seed);
        link.run_for(3 * SECOND);
        for token in tokens.into_iter().chain([0]) {
            prop_assert!(!link.machine.handle(link.now_ns, token));
        }
    }
}

#[test]
fn chance_losses_seldom_look_like_a_black_hole() {
    let mut link = Link::new(1500, 1500, 42);
    link.loss = 10;
    link.run_for(3600 * SECOND);
    assert!(link.machine.black_holes() <= 2, "{} in an hour", link.machine.black_holes());
    link.loss = 0;
    link.run_for(10 * SECOND);
    assert_eq!(link.machine.mtu(), 1500);
}

#[test]
fn another_port_mtu_is_taken_at_once() {
    let mut link = Link::new(1500, 9000, 1);
    link.run_for(SECOND);
    link.machine.configure(link.now_ns, SETTINGS, 9000);
    link.acks.clear();
    link.run_for(SECOND);
    assert_eq!(link.machine.mtu(), 9000);
    link.machine.configure(link.now_ns, SETTINGS, 1400);
    assert_eq!(link.machine.mtu(), 1400);
}
