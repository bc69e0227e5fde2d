//! The choice between two ways: by cost, with a margin, for a while at least.

use super::Settings;
use crate::plan::Quality;

/// Ways whose costs differ by less are the same, µs.
const DIFFERENCE_US_MIN: u64 = 500;

/// Which way packets take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Over intermediates, by the application's routing protocol.
    Overlay,
    /// Straight to the other end.
    Direct,
}

impl Side {
    /// The other way.
    pub const fn other(self) -> Side {
        match self {
            Side::Overlay => Side::Direct,
            Side::Direct => Side::Overlay,
        }
    }

    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Side::Overlay => "overlay",
            Side::Direct => "direct",
        }
    }
}

/// What is known of a way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// Nothing yet.
    Nothing,
    /// It is not there.
    Dead,
    /// It is like this.
    Measured(Quality),
}

/// Why a way is the one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing is known of the direct way yet, so packets go as they would without `auto`.
    Unmeasured,
    /// It costs less.
    Cheaper,
    /// The other is not there.
    OtherDead,
    /// Neither is there.
    BothDead,
    /// The other costs less, but not by enough.
    Margin,
    /// The other costs less, but this one was chosen a moment ago.
    Dwell,
}

impl Why {
    /// A few words for operators.
    pub const fn name(self) -> &'static str {
        match self {
            Why::Unmeasured => "the direct way is not measured yet",
            Why::Cheaper => "it costs less",
            Why::OtherDead => "the other way is dead",
            Why::BothDead => "both ways are dead",
            Why::Margin => "the other way is not better by enough",
            Why::Dwell => "it was chosen a moment ago",
        }
    }
}

/// The choice of one sender for one application and destination.
#[derive(Clone, Debug)]
pub struct Auto {
    settings: Settings,
    side: Side,
    why: Why,
    /// When it was chosen last by what was measured, ms; none before.
    chosen_ms: Option<u64>,
    changes: u64,
    direct: Known,
    overlay: Known,
}

impl Auto {
    /// Over the overlay, as long as nothing is known.
    pub fn new(settings: Settings) -> Auto {
        Auto {
            settings,
            side: Side::Overlay,
            why: Why::Unmeasured,
            chosen_ms: None,
            changes: 0,
            direct: Known::Nothing,
            overlay: Known::Nothing,
        }
    }

    /// Takes other settings over; what is chosen stays until it is weighed again.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Weighs both ways as they are now. Says whether the choice has changed.
    pub fn weigh(&mut self, now_ms: u64, direct: Known, overlay: Known) -> bool {
        (self.direct, self.overlay) = (direct, overlay);
        let before = self.side;
        let (side, why) = self.choose(now_ms);
        (self.side, self.why) = (side, why);
        if side != before {
            self.chosen_ms = Some(now_ms);
            self.changes += 1;
        }
        side != before
    }

    /// The way that packets take.
    pub fn side(&self) -> Side {
        self.side
    }

    /// Why they take it.
    pub fn why(&self) -> Why {
        self.why
    }

    /// How often it has changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// What is known of a way.
    pub fn known(&self, side: Side) -> Known {
        match side {
            Side::Overlay => self.overlay,
            Side::Direct => self.direct,
        }
    }

    /// What a way costs, µs; none where it is not measured.
    pub fn cost_us(&self, side: Side) -> Option<u64> {
        let Known::Measured(quality) = self.known(side) else { return None };
        let price_us = if side == Side::Overlay { self.settings.price_us } else { 0 };
        Some(u64::from(quality.cost_us()) + u64::from(price_us))
    }

    fn choose(&self, now_ms: u64) -> (Side, Why) {
        let (side, other) = (self.side, self.side.other());
        match (self.known(side), self.known(other)) {
            (Known::Dead, Known::Dead) => return (side, Why::BothDead),
            (Known::Dead, Known::Measured(_)) => return (other, Why::OtherDead),
            (Known::Measured(_), Known::Dead) => return (side, Why::OtherDead),
            _ => {}
        }
        let (Some(cost_us), Some(other_us)) = (self.cost_us(side), self.cost_us(other)) else {
            return (Side::Overlay, Why::Unmeasured);
        };
        let (percent, saved_us) =
            (100 + u64::from(self.settings.margin_percent), cost_us.saturating_sub(other_us));
        let is_better = saved_us >= DIFFERENCE_US_MIN && other_us * percent < cost_us * 100;
        let dwells = self
            .chosen_ms
            .is_some_and(|chosen_ms| now_ms.saturating_sub(chosen_ms) < u64::from(self.settings.dwell_ms));
        match (is_better, dwells) {
            (true, true) => (side, Why::Dwell),
            (true, false) => (other, Why::Cheaper),
            (false, _) if saved_us > 0 => (side, Why::Margin),
            (false, _) => (side, Why::Cheaper),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn measured(latency_us: u32, loss_ppm: u32) -> Known {
        Known::Measured(Quality { latency_us, loss_ppm })
    }

    const SETTINGS: Settings = Settings { price_us: 5_000, margin_percent: 10, dwell_ms: 10_000 };

    #[test]
    fn the_overlay_is_used_where_it_is_worth_its_price() {
        let mut auto = Auto::new(SETTINGS);
        assert!(!auto.weigh(0, Known::Nothing, measured(40_000, 0)));
        assert_eq!((auto.side(), auto.why()), (Side::Overlay, Why::Unmeasured));
        // The first measured choice is made at once: 42 ms against 40 and a price of 5.
        assert!(!auto.weigh(1, measured(42_000, 0), measured(40_000, 0)));
        assert_eq!((auto.side(), auto.why()), (Side::Overlay, Why::Margin));
        assert!(auto.weigh(2, measured(40_000, 0), measured(40_000, 0)));
        assert_eq!((auto.side(), auto.why()), (Side::Direct, Why::Cheaper));
        // A percent of loss is 10 ms: the overlay is worth it, but not yet.
        assert!(!auto.weigh(5_000, measured(40_000, 20_000), measured(40_000, 0)));
        assert_eq!((auto.side(), auto.why()), (Side::Direct, Why::Dwell));
        assert!(auto.weigh(10_002, measured(40_000, 20_000), measured(40_000, 0)));
        assert_eq!((auto.side(), auto.why(), auto.changes()), (Side::Overlay, Why::Cheaper, 2));
    }

    #[test]
    fn what_is_dead_is_left_at_once_and_not_gone_back_to_for_a_while() {
        let mut auto = Auto::new(SETTINGS);
        assert!(auto.weigh(0, measured(10_000, 0), measured(40_000, 0)));
        assert!(auto.weigh(1, Known::Dead, measured(40_000, 0)));
        assert_eq!((auto.side(), auto.why()), (Side::Overlay, Why::OtherDead));
        assert!(!auto.weigh(2, measured(10_000, 0), measured(40_000, 0)));
        assert_eq!(auto.why(), Why::Dwell);
        assert!(auto.weigh(2, measured(10_000, 0), Known::Dead));
        assert!(!auto.weigh(3, Known::Dead, Known::Dead));
        assert_eq!(auto.why(), Why::BothDead);
    }

    /// A way in words of proptest.
    fn known() -> impl Strategy<Value = Known> {
        prop_oneof![
            1 => Just(Known::Nothing),
            1 => Just(Known::Dead),
            8 => (1u32..200_000, prop_oneof![Just(0u32), 0u32..200_000]).prop_map(|(us, ppm)| measured(us, ppm)),
        ]
    }

    proptest! {
        /// Whatever is measured: no way is left before its time unless it is dead or unknown, the other is then better by the margin,
        /// and nobody stays with a dead way while the other lives.
        #[test]
        fn it_changes_for_a_reason_and_no_more_often_than_it_may(
            steps in proptest::collection::vec((1u64..4_000, known(), known()), 1..60),
            price_us in 0u32..20_000,
            margin_percent in 0u8..50,
            dwell_ms in 0u32..20_000,
        ) {
            let settings = Settings { price_us, margin_percent, dwell_ms };
            let mut auto = Auto::new(settings);
            let (mut now_ms, mut chosen_ms) = (0, None);
            for (passed, direct, overlay) in steps {
                now_ms += passed;
                let before = auto.side();
                let changed = auto.weigh(now_ms, direct, overlay);
                prop_assert_eq!(changed, auto.side() != before);
                let (here, there) = (auto.known(auto.side()), auto.known(auto.side().other()));
                prop_assert!(!(here == Known::Dead && matches!(there, Known::Measured(_))));
                if changed {
                    let left = there;
                    if let (Known::Measured(_), Some(left_us), Some(now_us)) =
                        (left, auto.cost_us(before), auto.cost_us(auto.side()))
                    {
                        let percent = 100 + u64::from(margin_percent);
                        prop_assert!(now_us * percent < left_us * 100);
                        let waited = chosen_ms.is_none_or(|at| now_ms - at >= u64::from(dwell_ms));
                        prop_assert!(waited, "changed too early");
                    }
                    chosen_ms = Some(now_ms);
                }
            }
        }

        /// Links that stay as they are: one change at most, and then never again.
        #[test]
        fn what_stays_as_it_is_is_chosen_once(direct in known(), overlay in known(), dwell_ms in 0u32..5_000) {
            let mut auto = Auto::new(Settings { dwell_ms, ..SETTINGS });
            let changes = (0..40).filter(|step| auto.weigh(step * 1_000, direct, overlay)).count();
            prop_assert!(changes <= 1, "{} changes", changes);
        }

        /// What wobbles within the margin changes nothing.
        #[test]
        fn what_wobbles_changes_nothing(
            base_us in 20_000u32..100_000,
            wobbles in proptest::collection::vec(0u32..4, 1..50),
        ) {
            let mut auto = Auto::new(Settings { price_us: 0, margin_percent: 10, dwell_ms: 0 });
            auto.weigh(0, measured(base_us, 0), measured(base_us, 0));
            let before = auto.side();
            for (step, percent) in (1..).zip(wobbles) {
                let direct = base_us + base_us / 100 * percent;
                auto.weigh(step, measured(direct, 0), measured(base_us + base_us / 100 * (3 - percent), 0));
                prop_assert_eq!(auto.side(), before);
            }
        }
    }
}
