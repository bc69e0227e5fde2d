//! A sender and a reflector over a path that loses, delays, reorders and repeats, in virtual time.

use super::super::{Counts, Reflected, Reflector, Test};
use super::*;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const MS: u64 = 1_000_000;
const INTERVAL: u64 = 50 * MS;
const SETTINGS: Settings = Settings { interval_ns: INTERVAL, multiplier: 3 };
/// The two ends' clocks, ns since 1970: 123 ms apart.
const CLOCKS: [u64; 2] = [1_800_000_000_000_000_000, 1_800_000_000_123_000_000];

enum Message {
    There(Test),
    Back(Reflected),
}

/// What happens to a packet: how long it takes, nothing where it is lost; and when it comes once more.
type Fate = (Option<u64>, Option<u64>);

struct World {
    now_ns: u64,
    sender: Sender,
    reflector: Reflector,
    random: u64,
    on_the_way: BinaryHeap<Reverse<(u64, u64)>>,
    messages: Vec<Option<Message>>,
    /// What the path itself has lost, there and back.
    lost: [u64; 2],
    sent: u64,
}

impl World {
    fn new(seed: u64) -> World {
        World {
            now_ns: 0,
            sender: Sender::new(0, SETTINGS, 7),
            reflector: Reflector::new(INTERVAL),
            random: seed,
            on_the_way: BinaryHeap::new(),
            messages: Vec::new(),
            lost: [0; 2],
            sent: 0,
        }
    }

    fn random(&mut self) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random ^ self.random >> 33
    }

    /// `fate` gets the direction, how many were sent so far, and a random number.
    fn run_until(&mut self, end_ns: u64, mut fate: impl FnMut(usize, u64, u64) -> Fate) {
        loop {
            let random = self.random();
            if let Some(test) = self.sender.poll(self.now_ns, CLOCKS[0] + self.now_ns, random) {
                self.sent += 1;
                self.carry(0, || Message::There(test), &mut fate);
                continue;
            }
            let arrival = self.on_the_way.peek().map_or(u64::MAX, |first| first.0.0);
            let next = arrival.min(self.sender.timeout()).max(self.now_ns);
            if next > end_ns {
                self.now_ns = end_ns;
                return;
            }
            self.now_ns = next;
            if arrival <= next {
                let Reverse((_, at)) = self.on_the_way.pop().unwrap();
                match self.messages[at as usize].take().unwrap() {
                    Message::There(test) => {
                        let unix_ns = CLOCKS[1] + self.now_ns;
                        let answer = self.reflector.reflect(self.now_ns, unix_ns, 60, &test).unwrap();
                        self.carry(1, || Message::Back(answer), &mut fate);
                    }
                    Message::Back(answer) => {
                        let _ = self.sender.handle(self.now_ns, CLOCKS[0] + self.now_ns, &answer);
                    }
                }
            }
        }
    }

    fn carry(
        &mut self,
        direction: usize,
        message: impl Fn() -> Message,
        fate: &mut impl FnMut(usize, u64, u64) -> Fate,
    ) {
        let random = self.random();
        let (delay, again) = fate(direction, self.sent, random);
        self.lost[direction] += u64::from(delay.is_none());
        for delay_ns in [delay, again].into_iter().flatten() {
            self.on_the_way.push(Reverse((self.now_ns + delay_ns, self.messages.len() as u64)));
            self.messages.push(Some(message()));
        }
    }

    /// Nothing more is sent, and everything is answered or given up.
    fn settle(&mut self) -> Counts {
        self.sender.due_ns = u64::MAX;
        self.run_until(self.now_ns + 3000 * MS, |_, _, _| (Some(MS), None));
        self.sender.give_up(self.now_ns);
        self.sender.stats().counts
    }
}

fn good(_: usize, _: u64, _: u64) -> Fate {
    (Some(10 * MS), None)
}

#[test]
fn a_perfect_path_shows_no_loss_and_its_round_trip_whatever_the_clocks_say() {
    let mut world = World::new(1);
    world.run_until(30_000 * MS, |direction, _, _| {
        (Some(if direction == 0 { 10 * MS } else { 25 * MS }), None)
    });
    let counts = world.settle();
    assert_eq!([counts.lost_forward(), counts.lost_backward()], [0, 0]);
    assert_eq!((counts.sent, counts.answered), (world.sent, world.sent));
    let stats = world.sender.stats();
    let [p50, _, p99] = stats.round_trip().unwrap();
    assert!(p50.abs_diff(35 * MS) < MS / 2 && p99.abs_diff(35 * MS) < MS / 2, "{p50} {p99}");
    assert!(stats.variation_forward().unwrap()[2] < 2000 && stats.variation_backward().unwrap()[2] < 2000);
}

/// As soon as packets that were sent 150 ms later come back, not after a second.
#[test]
fn losses_are_known_once_they_are_overtaken() {
    let mut world = World::new(3);
    world.run_until(2_000 * MS, good);
    world.run_until(2_100 * MS, |direction, _, _| ((direction == 1).then_some(10 * MS), None));
    let lost = world.lost[0];
    assert!(lost >= 2);
    world.run_until(2_350 * MS, good);
    assert_eq!(world.sender.stats().counts.lost_forward(), lost);
}

#[test]
fn variation_is_told_apart_by_direction() {
    let mut world = World::new(2);
    world.run_until(30_000 * MS, |direction, sent, _| {
        (Some(if direction == 0 { 10 * MS + sent % 2 * 4 * MS } else { 10 * MS }), None)
    });
    let stats = world.sender.stats();
    assert!(stats.variation_forward().unwrap()[0].abs_diff(4 * MS) < MS / 10);
    assert!(stats.variation_backward().unwrap()[2] < 2000);
}

#[test]
fn a_dead_path_is_known_within_the_detection_time_of_the_last_answer() {
    for seed in 0..50 {
        let mut world = World::new(seed);
        let cut_ns = (1000 + seed * 3) * MS;
        world.run_until(cut_ns, good);
        assert_eq!(world.sender.is_alive(cut_ns), Some(true));
        world.run_until(cut_ns + 170 * MS, |_, _, _| (None, None));
        assert_eq!(world.sender.is_alive(world.now_ns), Some(false));
    }
}

#[test]
fn a_restarted_reflector_costs_no_loss_on_the_way_back() {
    for before_ms in [300, 700, 3000, 20_000] {
        let mut world = World::new(before_ms);
        world.run_until(before_ms * MS, good);
        world.run_until((before_ms + 4000) * MS, |_, _, _| (None, None));
        world.reflector = Reflector::new(INTERVAL);
        world.run_until((before_ms + 20_000) * MS, good);
        let counts = world.settle();
        assert!(counts.lost_backward() <= 1, "{counts:?} after {before_ms} ms");
        assert_eq!(counts.sent - counts.answered, counts.lost_forward() + counts.lost_backward());
    }
}

#[test]
fn answers_of_another_path_another_life_or_nobody_count_for_nothing() {
    let mut sender = Sender::new(0, SETTINGS, 7);
    let mut reflector = Reflector::new(INTERVAL);
    let test = sender.poll(0, CLOCKS[0], 0).unwrap();
    let answer = reflector.reflect(1, CLOCKS[1], 64, &test).unwrap();
    let forged = [
        Reflected { session: 8, ..answer },
        Reflected { sender_timestamp: Timestamp(test.timestamp.0 + 1), ..answer },
        Reflected { sender_sequence: 1, ..answer },
        Reflected { sender_sequence: u32::MAX, ..answer },
    ];
    for forged in forged {
        assert_eq!(sender.handle(2, CLOCKS[0] + 2, &forged), Err(Refusal::NotOurs));
    }
    assert_eq!(sender.is_alive(3), None);
    assert_eq!(sender.handle(2, CLOCKS[0] + 2, &answer), Ok(()));
    assert_eq!(sender.handle(2, CLOCKS[0] + 2, &answer), Err(Refusal::Late));
    assert_eq!(sender.stats().counts.returned, 1);
}

#[test]
fn both_numberings_may_wrap() {
    let mut world = World::new(9);
    world.sender.next = u32::MAX - 100;
    world.sender.oldest = u32::MAX - 100;
    world.run_until(30_000 * MS, good);
    let counts = world.settle();
    assert_eq!((counts.sent, counts.answered, counts.returned), (world.sent, world.sent, world.sent));

    let mut returns = Returns::default();
    (0..400u32).for_each(|step| returns.note((u32::MAX - 200).wrapping_add(step), step));
    assert_eq!((returns.reflected(), returns.returned), (400, 400));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn loss_is_counted_exactly_in_each_direction_under_reordering(
        seed in any::<u64>(),
        loss in [0u64..60, 0u64..60],
        jitter_ms in 0u64..300,
    ) {
        let mut world = World::new(seed);
        // The first answer tells where the reflector's numbers begin.
        world.run_until(40 * MS, |_, _, _| (Some(MS), None));
        world.run_until(60_000 * MS, |direction, _, dice| {
            let lost = dice % 100 < loss[direction];
            ((!lost).then_some(MS + (dice >> 8) % (jitter_ms * MS + 1)), None)
        });
        // The last packets are not lost, so that the reflector's last number is known.
        world.run_until(61_000 * MS, |_, _, _| (Some(MS), None));
        let counts = world.settle();
        prop_assert_eq!(counts.sent, world.sent);
        prop_assert_eq!([counts.lost_forward(), counts.lost_backward()], world.lost);
    }

    #[test]
    fn what_comes_more_than_once_adds_no_loss(seed in any::<u64>(), jitter_ms in 0u64..100) {
        let mut world = World::new(seed);
        world.run_until(20_000 * MS, |_, _, dice| {
            let delay_ns = MS + (dice >> 8) % (jitter_ms * MS + 1);
            (Some(delay_ns), (dice >> 60 == 0).then_some(delay_ns * 2))
        });
        let counts = world.settle();
        prop_assert_eq!([counts.lost_forward(), counts.lost_backward()], [0, 0]);
    }

    #[test]
    fn fewer_than_three_losses_in_a_row_never_kill_a_path(seed in any::<u64>(), jitter_us in 0u64..7000) {
        let mut world = World::new(seed);
        let mut lost_in_a_row = 0;
        world.run_until(1000 * MS, |_, _, _| (Some(20 * MS), None));
        let mut now_ns = world.now_ns;
        while now_ns < 20_000 * MS {
            now_ns += MS;
            world.run_until(now_ns, |direction, _, dice| {
                // A round trip is lost once, on the way there or back.
                let lost = direction == 0 && lost_in_a_row < 2 && dice % 3 > 0;
                if direction == 0 { lost_in_a_row = if lost { lost_in_a_row + 1 } else { 0 } }
                ((!lost).then_some(20 * MS + (dice >> 8) % (jitter_us * 1000 + 1)), None)
            });
            prop_assert_eq!(world.sender.is_alive(now_ns), Some(true));
        }
    }

    #[test]
    fn hostile_answers_never_panic_and_never_count(bytes in proptest::collection::vec(any::<u8>(), 44..60)) {
        let mut sender = Sender::new(0, SETTINGS, 7);
        for step in 0..300u64 {
            let _ = sender.poll(step * INTERVAL, CLOCKS[0] + step * INTERVAL, step);
            let _ = sender.handle(step * INTERVAL, CLOCKS[0], &Reflected::parse(&bytes).unwrap());
        }
        prop_assert_eq!(sender.is_alive(0), None);
    }
}
