//! Two ends over a link that loses, delays, reorders and repeats, in virtual time.

use super::super::packet::{Packet, State};
use super::*;
use proptest::prelude::*;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

const MS: u64 = 1_000_000;
const SETTINGS: Settings = Settings { interval_us: 50_000, multiplier: 3 };

/// What happens to a packet.
#[derive(Clone, Copy, Debug)]
struct Fate {
    lost: bool,
    delay_ns: u64,
    repeated_after_ns: Option<u64>,
}

/// What is on its way: arrival, order, to which end, bytes.
type Message = (u64, u64, usize, Vec<u8>);

/// Both ends, and what is on its way, earliest first.
struct Pair {
    now_ns: u64,
    ends: [Session; 2],
    on_the_way: BinaryHeap<Reverse<Message>>,
    random: u64,
    sent: u64,
    /// Packets lost in a row towards each end.
    run: [u32; 2],
    run_max: u32,
    /// When each end was last seen going down.
    downs: [Vec<u64>; 2],
    history: Vec<(usize, Vec<u8>)>,
}

impl Pair {
    fn new(seed: u64) -> Pair {
        let mut pair = Pair {
            now_ns: 0,
            ends: [Session::new(0, SETTINGS, 7), Session::new(0, SETTINGS, 9)],
            on_the_way: BinaryHeap::new(),
            random: seed,
            sent: 0,
            run: [0; 2],
            run_max: u32::MAX,
            downs: [Vec::new(), Vec::new()],
            history: Vec::new(),
        };
        pair.random();
        pair
    }

    fn random(&mut self) -> u64 {
        // Knuth's multiplier and increment for 64 bits; the low bits are the weak ones.
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.random ^ self.random >> 33
    }

    fn run_until(&mut self, end_ns: u64, mut fate: impl FnMut(u64, usize, u64) -> Fate) {
        loop {
            for at in 0..2 {
                self.send(at, &mut fate);
            }
            let arrival = self.on_the_way.peek().map_or(u64::MAX, |first| first.0.0);
            let due = self.ends.iter().map(Session::timeout).min().unwrap();
            let next = arrival.min(due).max(self.now_ns);
            if next > end_ns {
                self.now_ns = end_ns;
                return;
            }
            self.now_ns = next;
            while self.on_the_way.peek().is_some_and(|first| first.0.0 <= next) {
                let Reverse((_, _, to, bytes)) = self.on_the_way.pop().unwrap();
                self.deliver(to, &bytes);
            }
        }
    }

    fn deliver(&mut self, to: usize, bytes: &[u8]) {
        let before = self.ends[to].state();
        let _ = self.ends[to].handle(self.now_ns, &Packet::parse(bytes).unwrap());
        self.note(to, before);
    }

    fn send(&mut self, at: usize, fate: &mut impl FnMut(u64, usize, u64) -> Fate) {
        loop {
            let random = self.random();
            let before = self.ends[at].state();
            let packet = self.ends[at].poll(self.now_ns, random);
            self.note(at, before);
            let Some(packet) = packet else { return };
            let to = 1 - at;
            self.sent += 1;
            self.history.push((to, packet.to_bytes().to_vec()));
            let dice = self.random();
            let fate = fate(self.now_ns, to, dice);
            if fate.lost && self.run[to] < self.run_max {
                self.run[to] += 1;
                continue;
            }
            self.run[to] = 0;
            for delay_ns in [Some(fate.delay_ns), fate.repeated_after_ns].into_iter().flatten() {
                let entry = (self.now_ns + delay_ns, self.sent, to, packet.to_bytes().to_vec());
                self.on_the_way.push(Reverse(entry));
            }
        }
    }

    fn note(&mut self, at: usize, before: State) {
        if before == State::Up && self.ends[at].state() != State::Up {
            self.downs[at].push(self.now_ns);
        }
    }

    fn are_up(&self) -> bool {
        self.ends.iter().all(|end| end.state() == State::Up)
    }
}

fn good(_: u64, _: usize, _: u64) -> Fate {
    Fate { lost: false, delay_ns: MS, repeated_after_ns: None }
}

fn dead(_: u64, _: usize, _: u64) -> Fate {
    Fate { lost: true, delay_ns: 0, repeated_after_ns: None }
}

#[test]
fn both_ends_come_up_in_three_packets_and_agree_on_the_interval() {
    let mut pair = Pair::new(1);
    pair.run_until(20 * MS, good);
    assert!(pair.are_up());
    pair.run_until(1000 * MS, good);
    let before = pair.sent;
    pair.run_until(11_000 * MS, good);
    // 10 s at 37.5 to 45 ms for each of two ends.
    assert!((444..=534).contains(&(pair.sent - before)), "{}", pair.sent - before);
    assert!(pair.ends.iter().all(|end| !end.polling && end.detection_ns() == 150 * MS));
}

#[test]
fn a_dead_link_is_known_within_the_detection_time_at_both_ends_and_comes_back() {
    for seed in 0..50 {
        let mut pair = Pair::new(seed);
        let cut = (2000 + seed * 7) * MS;
        pair.run_until(cut, good);
        pair.run_until(cut + 151 * MS, dead);
        assert!(pair.ends.iter().all(|end| end.state() == State::Down), "seed {seed}");
        assert!(pair.ends.iter().all(|end| end.diagnostic() == Diagnostic::Expired));
        pair.run_until(cut + 30_000 * MS, dead);
        assert!(!pair.are_up());
        pair.run_until(cut + 32_500 * MS, good);
        assert!(pair.are_up(), "seed {seed}");
    }
}

#[test]
fn one_dead_direction_takes_both_ends_down() {
    for seed in 0..50 {
        let mut pair = Pair::new(seed);
        pair.run_until(2000 * MS, good);
        pair.run_until(2152 * MS, |_, to, _| Fate { lost: to == 1, delay_ns: MS, repeated_after_ns: None });
        assert!(pair.ends.iter().all(|end| end.state() == State::Down), "seed {seed}");
        let diagnostics = pair.ends.each_ref().map(Session::diagnostic);
        assert_eq!(diagnostics, [Diagnostic::NeighborDown, Diagnostic::Expired]);
    }
}

#[test]
fn an_end_that_lost_its_memory_is_noticed_and_found_again() {
    let mut pair = Pair::new(3);
    pair.run_until(2000 * MS, good);
    pair.ends[1] = Session::new(pair.now_ns, SETTINGS, 77);
    pair.run_until(2160 * MS, good);
    assert_eq!(pair.downs[0].len(), 1);
    pair.run_until(4500 * MS, good);
    assert!(pair.are_up());
}

#[test]
fn other_settings_are_agreed_on_without_going_down() {
    let mut pair = Pair::new(4);
    pair.run_until(2000 * MS, good);
    for interval_us in [200_000, 10_000] {
        let settings = Settings { interval_us, multiplier: 3 };
        for at in 0..2 {
            pair.ends[at].configure(settings);
            pair.run_until(pair.now_ns + 3000 * MS, good);
        }
        assert!(pair.are_up() && pair.downs.iter().all(Vec::is_empty), "{interval_us}");
        assert_eq!(pair.ends[0].detection_ns(), u64::from(interval_us) * 3000);
    }
}

#[test]
fn forged_packets_neither_bring_a_session_up_nor_take_it_down() {
    let mut session = Session::new(0, SETTINGS, 0x1234_5678);
    let sound =
        Packet { detect_multiplier: 3, my_discriminator: 5, desired_min_tx_us: 1000, ..Packet::default() };
    for guess in 1..100_000u32 {
        let forged = Packet { state: State::Init, your_discriminator: guess, ..sound };
        assert_eq!(session.handle(u64::from(guess) * MS, &forged), Err(Refusal::OtherSession));
    }
    let down = Packet { state: State::Down, ..sound };
    session.handle(200_000 * MS, &down).unwrap();
    assert_eq!(session.state(), State::Init, "heard, but nothing says that it hears us");

    let mut pair = Pair::new(5);
    pair.run_until(2000 * MS, good);
    let now_ns = pair.now_ns;
    for state in [State::Down, State::AdminDown] {
        let forged = Packet { state, ..sound };
        assert_eq!(pair.ends[0].handle(now_ns, &forged), Err(Refusal::OtherSession));
    }
    assert!(pair.are_up());
}

#[test]
fn a_flood_of_strangers_leaves_the_other_end_its_allowance() {
    let mut pair = Pair::new(6);
    let flood = Packet { detect_multiplier: 3, my_discriminator: 5, ..Packet::default() };
    let refused = (0..10_000).filter(|_| pair.ends[0].handle(1, &flood).is_err()).count();
    assert_eq!(refused, 10_000 - STRANGERS_AT_ONCE as usize);
    pair.run_until(4000 * MS, good);
    assert!(pair.are_up());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn fewer_than_three_losses_in_a_row_never_take_it_down(
        seed in any::<u64>(),
        loss in 0u64..80,
        delay_ms in 0u64..100,
        jitter_us in 0u64..14_000,
        repeats in any::<bool>(),
    ) {
        let mut pair = Pair::new(seed);
        pair.run_until(3000 * MS, |_, _, _| Fate { lost: false, delay_ns: delay_ms * MS, repeated_after_ns: None });
        prop_assert!(pair.are_up());
        pair.run_max = 2;
        pair.run_until(60_000 * MS, |_, _, dice| Fate {
            lost: dice % 100 < loss,
            delay_ns: delay_ms * MS + (dice >> 8) % (jitter_us * 1000 + 1),
            repeated_after_ns: (repeats && dice >> 40 & 1 == 1).then_some(delay_ms * MS + (dice >> 20) % (13 * MS)),
        });
        prop_assert!(pair.are_up() && pair.downs.iter().all(Vec::is_empty), "{:?}", pair.downs);
    }

    #[test]
    fn it_is_always_down_within_the_detection_time_and_what_is_old_never_brings_it_up(
        seed in any::<u64>(),
        cut_ms in 1500u64..5000,
        delay_ms in 0u64..50,
        jitter_ms in 0u64..10,
    ) {
        let mut pair = Pair::new(seed);
        let fate = move |_: u64, _: usize, dice: u64| Fate {
            lost: false,
            delay_ns: delay_ms * MS + (dice >> 8) % (jitter_ms * MS + 1),
            repeated_after_ns: None,
        };
        pair.run_until(cut_ms * MS, fate);
        prop_assert!(pair.are_up());
        // What is on its way at the cut still arrives.
        let known = (cut_ms + delay_ms + jitter_ms + 150) * MS + 1;
        pair.run_until(known, dead);
        prop_assert!(pair.ends.iter().all(|end| end.state() == State::Down));
        // Everything that was ever sent comes once more, to both.
        let history = core::mem::take(&mut pair.history);
        for (step, (to, bytes)) in history.iter().enumerate() {
            pair.now_ns = known + step as u64 * 3 * MS;
            pair.deliver(*to, bytes);
            pair.run_until(pair.now_ns, dead);
            prop_assert!(pair.ends.iter().all(|end| end.state() != State::Up), "packet {step} of {}", history.len());
        }
    }
}
