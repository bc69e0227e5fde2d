//! The choice of the step: up at once, down slowly, and off under congestion.
//!
//! ```text
//!   none ─► parity ─► copy ─► triple     at once, to the lowest that leaves no more than the target
//!        ◄─        ◄─      ◄─            one at a time, each after the recovery time, where half the target is enough
//!   none ◄──────────────────────         at once under congestion; up again after the recovery time
//! ```
//!
//! What a step leaves follows from what its paths lose, each for itself: that they share nothing is what the planner saw to.

use super::{PATHS, Settings, Step};

/// By how much a path must have got slower before that is a sign of congestion: a quarter, and so many µs.
const SLOWER_US_MIN: u32 = 5_000;

/// What is known of a sender's paths, in the order in which copies take them, and of its own ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// Paths that there are, [`PATHS`] at most.
    pub paths: u8,
    /// What each loses now, parts per million.
    pub lost_ppm: [u32; PATHS],
    /// What each takes now, µs; 0 where that is not known.
    pub latency_us: [u32; PATHS],
    /// What each took at its best, µs.
    pub latency_best_us: [u32; PATHS],
    /// Whether own ports or queues had no room for packets since the last time.
    pub drops_here: bool,
    /// Packets for each parity packet, as the sender codes them; 0 where it does not.
    pub parity_packets: u8,
}

/// Why a step is the one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Why {
    /// It leaves no more than the target.
    #[default]
    Enough,
    /// None leaves as little as the target, and there is no higher one.
    Highest,
    /// A lower one would be enough now, but was not a moment ago.
    Recovery,
    /// Packets find no room, or all paths lose packets and got slower: more packets would make it worse.
    Congestion,
    /// There was congestion a moment ago.
    AfterCongestion,
}

impl Why {
    /// A few words for operators.
    pub const fn name(self) -> &'static str {
        match self {
            Why::Enough => "it leaves less loss than the target",
            Why::Highest => "there is no higher step",
            Why::Recovery => "a lower one was not enough a moment ago",
            Why::Congestion => "there is congestion",
            Why::AfterCongestion => "there was congestion a moment ago",
        }
    }
}

/// The choice of one sender for one application and destination.
#[derive(Clone, Debug)]
pub struct Ladder {
    settings: Settings,
    step: Step,
    why: Why,
    /// Since when a lower step would have been enough, ms.
    enough_ms: Option<u64>,
    /// When there was congestion last, ms.
    congested_ms: Option<u64>,
    changes: u64,
    sheds: u64,
    signs: Signs,
}

impl Ladder {
    /// Nothing beside the data, as long as nothing is known.
    pub fn new(settings: Settings) -> Ladder {
        Ladder {
            settings,
            step: Step::None,
            why: Why::Enough,
            enough_ms: None,
            congested_ms: None,
            changes: 0,
            sheds: 0,
            signs: Signs::default(),
        }
    }

    /// Takes other settings over; the step stays until signs are looked at again.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Looks at the signs as they are now. Says whether the step has changed.
    pub fn look(&mut self, now_ms: u64, signs: Signs) -> bool {
        self.signs = signs;
        let before = self.step;
        (self.step, self.why) = self.choose(now_ms);
        if self.step != before {
            self.changes += 1;
        }
        self.step != before
    }

    /// What is sent beside each packet.
    pub fn step(&self) -> Step {
        self.step
    }

    /// Why.
    pub fn why(&self) -> Why {
        self.why
    }

    /// How often the step has changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// How often congestion has ended redundancy.
    pub fn sheds(&self) -> u64 {
        self.sheds
    }

    /// What was seen last.
    pub fn signs(&self) -> &Signs {
        &self.signs
    }

    /// What the present step is expected to leave, parts per million.
    pub fn residual_ppm(&self) -> u32 {
        residual_ppm(self.step, &self.signs)
    }

    fn choose(&mut self, now_ms: u64) -> (Step, Why) {
        let recovery_ms = u64::from(self.settings.recovery_ms);
        let recent = |at_ms: u64| now_ms.saturating_sub(at_ms) < recovery_ms;
        let highest = highest(&self.signs);
        if self.signs.paths > 0 && is_congested(&self.signs, self.settings.target_ppm) {
            self.congested_ms = Some(now_ms);
            self.enough_ms = None;
            self.sheds += u64::from(self.step > Step::None);
            return (Step::None, Why::Congestion);
        }
        if self.congested_ms.is_some_and(recent) {
            return (Step::None, Why::AfterCongestion);
        }
        // Where a path or parity is gone, what is left of it.
        let there = |step: &Step| is_there(*step, &self.signs);
        let step =
            Step::ALL.into_iter().rev().filter(there).find(|step| *step <= self.step).unwrap_or_default();
        let target_ppm = self.settings.target_ppm;
        let is_enough = |step: &Step, ppm: u32| residual_ppm(*step, &self.signs) <= ppm;
        let mut steps = Step::ALL.into_iter().filter(|step| is_there(*step, &self.signs));
        let wanted = steps.find(|step| is_enough(step, target_ppm));
        match wanted {
            None => {
                self.enough_ms = None;
                return (highest, Why::Highest);
            }
            Some(wanted) if wanted > step => {
                self.enough_ms = None;
                return (wanted, Why::Enough);
            }
            Some(_) => {}
        }
        // The next lower one, if it has been enough by a margin all the time.
        let lower = Step::ALL.into_iter().rev().find(|lower| *lower < step && is_there(*lower, &self.signs));
        let Some(lower) = lower.filter(|lower| is_enough(lower, target_ppm / 2)) else {
            self.enough_ms = None;
            return (step, Why::Enough);
        };
        let since_ms = *self.enough_ms.get_or_insert(now_ms);
        if recent(since_ms) {
            return (step, Why::Recovery);
        }
        self.enough_ms = Some(now_ms);
        (lower, if lower == Step::None { Why::Enough } else { Why::Recovery })
    }
}

/// Whether there are the paths that a step takes.
fn is_there(step: Step, signs: &Signs) -> bool {
    match step {
        Step::None => true,
        Step::Parity => signs.parity_packets > 0 && signs.paths >= 2,
        Step::Copy => signs.paths >= 2,
        Step::Triple => signs.paths >= 3,
    }
}

fn highest(signs: &Signs) -> Step {
    Step::ALL.into_iter().rev().find(|step| is_there(*step, signs)).unwrap_or_default()
}

/// What a step leaves, parts per million.
fn residual_ppm(step: Step, signs: &Signs) -> u32 {
    let million = 1_000_000u64;
    let [first, second, third] = signs.lost_ppm.map(|ppm| u64::from(ppm).min(million));
    // Never rounded down to nothing: a path that loses, loses.
    let both = |a: u64, b: u64| (a * b).div_ceil(million);
    let left = match step {
        Step::None => first,
        // It is lost unless all others of its group come.
        Step::Parity => {
            let all_come =
                (0..signs.parity_packets).fold(million, |all, _| all * (million - first) / million);
            both(first, million - all_come * (million - second) / million)
        }
        Step::Copy => both(first, second),
        Step::Triple => both(both(first, second), third),
    };
    left as u32
}

/// Whether packets are lost because there are too many: here, or on all paths, which got slower at the same time.
fn is_congested(signs: &Signs, target_ppm: u32) -> bool {
    let is_slower = |at: usize| {
        let (now_us, best_us) = (signs.latency_us[at], signs.latency_best_us[at]);
        best_us > 0 && now_us > best_us.saturating_add((best_us / 4).max(SLOWER_US_MIN))
    };
    let paths = usize::from(signs.paths).min(PATHS);
    let all_suffer = paths >= 2 && (0..paths).all(|at| signs.lost_ppm[at] > target_ppm && is_slower(at));
    signs.drops_here || all_suffer
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SETTINGS: Settings = Settings { target_ppm: 5_000, recovery_ms: 10_000, extra_percent: 100 };

    fn signs(lost_percent: [u32; 3]) -> Signs {
        Signs { paths: 3, lost_ppm: lost_percent.map(|percent| percent * 10_000), ..Signs::default() }
    }

    #[test]
    fn it_climbs_at_once_and_comes_down_a_step_at_a_time() {
        let mut ladder = Ladder::new(SETTINGS);
        assert!(!ladder.look(0, signs([0, 0, 0])));
        assert!(ladder.look(20, signs([20, 0, 0])));
        assert_eq!((ladder.step(), ladder.why()), (Step::Copy, Why::Enough));
        assert!(ladder.look(40, signs([20, 10, 0])), "2 % left");
        assert_eq!(ladder.step(), Step::Triple);
        assert!(!ladder.look(60, signs([0, 0, 0])));
        assert_eq!((ladder.step(), ladder.why()), (Step::Triple, Why::Recovery));
        assert!(!ladder.look(10_059, signs([0, 0, 0])));
        assert!(ladder.look(10_060, signs([0, 0, 0])));
        assert_eq!(ladder.step(), Step::Copy);
        assert!(!ladder.look(20_059, signs([0, 0, 0])));
        assert!(ladder.look(20_060, signs([0, 0, 0])));
        assert_eq!((ladder.step(), ladder.why(), ladder.changes()), (Step::None, Why::Enough, 4));
    }

    #[test]
    fn parity_is_enough_for_a_little_loss_where_there_is_any() {
        let mut ladder = Ladder::new(SETTINGS);
        let little = Signs { parity_packets: 4, ..signs([1, 0, 0]) };
        assert!(ladder.look(0, little));
        assert_eq!((ladder.step(), ladder.residual_ppm()), (Step::Parity, 395));
        assert!(ladder.look(20, Signs { parity_packets: 4, ..signs([10, 0, 0]) }));
        assert_eq!(ladder.step(), Step::Copy);
        let mut without = Ladder::new(SETTINGS);
        without.look(0, signs([1, 0, 0]));
        assert_eq!(without.step(), Step::Copy);
    }

    #[test]
    fn where_paths_are_few_the_highest_step_is_lower() {
        let mut ladder = Ladder::new(SETTINGS);
        ladder.look(0, Signs { paths: 2, ..signs([50, 50, 50]) });
        assert_eq!((ladder.step(), ladder.why()), (Step::Copy, Why::Highest));
        ladder.look(1, Signs { paths: 1, ..signs([50, 50, 50]) });
        assert_eq!((ladder.step(), ladder.why()), (Step::None, Why::Highest));
    }

    #[test]
    fn congestion_ends_redundancy_and_loss_alone_does_not() {
        let mut ladder = Ladder::new(SETTINGS);
        let mut all_lose = signs([5, 5, 5]);
        (all_lose.latency_us, all_lose.latency_best_us) = ([20_000; 3], [20_000; 3]);
        ladder.look(0, all_lose);
        assert_eq!(ladder.step(), Step::Copy);
        let slower = Signs { latency_us: [40_000; 3], ..all_lose };
        assert!(ladder.look(20, slower));
        assert_eq!((ladder.step(), ladder.why(), ladder.sheds()), (Step::None, Why::Congestion, 1));
        assert!(!ladder.look(10_000, all_lose));
        assert_eq!(ladder.why(), Why::AfterCongestion);
        assert!(ladder.look(10_020, all_lose));
        assert!(ladder.look(10_040, Signs { drops_here: true, ..all_lose }));
        assert_eq!(ladder.step(), Step::None);
        // One path that got slower and loses is that path's trouble.
        let mut one = Ladder::new(SETTINGS);
        one.look(0, Signs { latency_us: [90_000, 20_000, 20_000], ..all_lose });
        assert_eq!(one.step(), Step::Copy);
    }

    prop_compose! {
        fn any_signs()(
            paths in 0u8..=3,
            lost_ppm in proptest::array::uniform3(prop_oneof![3 => Just(0u32), 1 => 0u32..20_000, 1 => 0u32..=1_000_000]),
            latency_us in proptest::array::uniform3(10_000u32..60_000),
            drops_here in proptest::bool::weighted(0.05),
            parity_packets in 0u8..=8,
        ) -> Signs {
            Signs { paths, lost_ppm, latency_us, latency_best_us: [10_000; 3], drops_here, parity_packets }
        }
    }

    proptest! {
        /// Whatever is seen: nothing goes up twice within the recovery time with a step down in between, and down goes one step at a time
        /// after the recovery time, unless there is congestion or a path is gone. Under congestion there is no redundancy. What is there
        /// is enough, or the most there is.
        #[test]
        fn it_never_flaps_and_sheds_first(
            looks in proptest::collection::vec((1u64..3_000, any_signs()), 1..120),
            recovery_ms in 100u32..12_000,
            target_ppm in 1u32..50_000,
        ) {
            let settings = Settings { recovery_ms, target_ppm, ..SETTINGS };
            let mut ladder = Ladder::new(settings);
            let (mut now_ms, mut needed_ms) = (0u64, None::<u64>);
            let mut congested_ms = None::<u64>;
            for (passed, signs) in looks {
                now_ms += passed;
                let before = ladder.step();
                ladder.look(now_ms, signs);
                let after = ladder.step();
                prop_assert!(is_there(after, &signs));
                if ladder.why() == Why::Congestion {
                    prop_assert_eq!(after, Step::None);
                    congested_ms = Some(now_ms);
                    needed_ms = None;
                    continue;
                }
                if let Some(at_ms) = congested_ms.filter(|at_ms| now_ms - at_ms < u64::from(recovery_ms)) {
                    prop_assert_eq!(after, Step::None, "congestion was at {}", at_ms);
                    continue;
                }
                if after < before && is_there(before, &signs) {
                    let since = needed_ms.map(|at_ms| now_ms - at_ms);
                    prop_assert!(since.is_none_or(|ms| ms >= u64::from(recovery_ms)), "down after {:?}", since);
                    let between = Step::ALL.into_iter().filter(|step| *step > after && *step < before);
                    prop_assert!(between.into_iter().all(|step| !is_there(step, &signs)), "more than one step down");
                    needed_ms = Some(now_ms);
                }
                if after > before {
                    needed_ms = Some(now_ms);
                }
                let enough = residual_ppm(after, &signs) <= target_ppm;
                prop_assert!(enough || after == highest(&signs), "{:?} leaves {}", after, residual_ppm(after, &signs));
            }
        }

        /// What more is sent never leaves more.
        #[test]
        fn each_step_leaves_no_more_than_the_one_below(signs in any_signs()) {
            let left = Step::ALL.map(|step| residual_ppm(step, &signs));
            prop_assert!(left[1] <= left[0] && left[2] <= left[0] && left[3] <= left[2], "{:?}", left);
        }
    }
}
