//! When a link or a path that lives again is used again: hold-down, and damping of those that flap.
//!
//! What dies is out of use at once. What comes back waits for the hold-down; each death adds to a penalty that decays
//! by half every half-life (the figure of merit of RFC 2439 section 4.4), and while the penalty is too high, it waits longer.

/// What an operator chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How long something must live before it is used again, ns.
    pub hold_down_ns: u64,
    /// Time in which a penalty halves, ns; 0 turns damping off.
    pub half_life_ns: u64,
    /// How long something may be unheard of after the start before it counts as dead, ns.
    pub grace_ns: u64,
}

/// Penalty of one death.
const PENALTY: f64 = 1.0;
/// Above this, what comes back is suppressed: with the fourth death within half a half-life or so.
const SUPPRESS: f64 = 3.0;
/// Below this it is used again.
const REUSE: f64 = 1.0;
/// The penalty never grows beyond, so that nothing waits longer than three half-lives.
const CEILING: f64 = 8.0;

/// Whether it can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing has been heard since the start, but not for long; used.
    Starting,
    /// It lives; used.
    Up,
    /// It lives again, but not for long enough; not used.
    Held,
    /// It is dead; not used.
    Down,
}

impl Phase {
    /// The phase's stable name, in snake case.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Starting => "starting",
            Phase::Up => "up",
            Phase::Held => "held",
            Phase::Down => "down",
        }
    }

    /// Whether packets should go there.
    pub fn is_usable(self) -> bool {
        matches!(self, Phase::Starting | Phase::Up)
    }
}

/// The health of one link or path.
#[derive(Clone, Debug)]
pub struct Health {
    settings: Settings,
    phase: Phase,
    since_ns: u64,
    /// When [`Phase::Starting`] or [`Phase::Held`] ends.
    until_ns: u64,
    penalty: f64,
    penalized_ns: u64,
    deaths: u64,
}

impl Health {
    /// Of something that is new.
    pub fn new(now_ns: u64, settings: Settings) -> Health {
        let until_ns = now_ns.saturating_add(settings.grace_ns);
        Health {
            settings,
            phase: Phase::Starting,
            since_ns: now_ns,
            until_ns,
            penalty: 0.0,
            penalized_ns: now_ns,
            deaths: 0,
        }
    }

    /// Takes other settings over; what is held already keeps its time.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = settings;
    }

    /// Tells whether it lives, where that is known, and lets time pass.
    pub fn update(&mut self, now_ns: u64, alive: Option<bool>) {
        let waited = now_ns >= self.until_ns;
        match (self.phase, alive) {
            (Phase::Starting, Some(true)) => self.enter(now_ns, Phase::Up),
            (Phase::Starting, Some(false)) => self.die(now_ns),
            // Never heard of: no death, and so no penalty.
            (Phase::Starting, None) if waited => self.enter(now_ns, Phase::Down),
            (Phase::Up, Some(false)) => self.die(now_ns),
            (Phase::Held, Some(false)) => self.die(now_ns),
            (Phase::Held, Some(true)) if waited => self.enter(now_ns, Phase::Up),
            (Phase::Down, Some(true)) => self.hold(now_ns),
            _ => {}
        }
    }

    /// When [`Health::update`] may change something by time alone, ns.
    pub fn timeout(&self) -> Option<u64> {
        matches!(self.phase, Phase::Starting | Phase::Held).then_some(self.until_ns)
    }

    /// Whether it can be used.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Since when it is in this phase, ns.
    pub fn since_ns(&self) -> u64 {
        self.since_ns
    }

    /// Times that it died.
    pub fn deaths(&self) -> u64 {
        self.deaths
    }

    fn enter(&mut self, now_ns: u64, phase: Phase) {
        self.phase = phase;
        self.since_ns = now_ns;
    }

    fn die(&mut self, now_ns: u64) {
        self.deaths += 1;
        self.penalty = (self.penalty_at(now_ns) + PENALTY).min(CEILING);
        self.penalized_ns = now_ns;
        self.enter(now_ns, Phase::Down);
    }

    /// The first hold of all is the hold-down alone; a flapping link waits until its penalty has decayed.
    fn hold(&mut self, now_ns: u64) {
        let mut wait_ns = self.settings.hold_down_ns;
        let penalty = self.penalty_at(now_ns);
        if penalty > SUPPRESS {
            let half_lives = (penalty / REUSE).log2();
            wait_ns = wait_ns.max((self.settings.half_life_ns as f64 * half_lives) as u64);
        }
        self.until_ns = now_ns.saturating_add(wait_ns);
        self.enter(now_ns, Phase::Held);
    }

    fn penalty_at(&self, now_ns: u64) -> f64 {
        if self.settings.half_life_ns == 0 {
            return 0.0;
        }
        let passed_ns = now_ns.saturating_sub(self.penalized_ns) as f64;
        self.penalty * (-passed_ns / self.settings.half_life_ns as f64).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: u64 = 1_000_000_000;
    const SETTINGS: Settings =
        Settings { hold_down_ns: SECOND, half_life_ns: 15 * SECOND, grace_ns: 5 * SECOND };

    fn phases(health: &mut Health, told: &[(u64, Option<bool>)]) -> Vec<Phase> {
        let tell = |(now, alive): &(u64, Option<bool>)| {
            health.update(*now, *alive);
            health.phase()
        };
        told.iter().map(tell).collect()
    }

    #[test]
    fn the_first_life_starts_at_once_and_the_next_after_the_hold_down() {
        let mut health = Health::new(0, SETTINGS);
        assert!(health.phase().is_usable());
        let told = [
            (1, Some(true)),
            (2, Some(false)),
            (3, Some(true)),
            (SECOND + 2, Some(true)),
            (SECOND + 3, Some(true)),
        ];
        assert_eq!(phases(&mut health, &told), [Phase::Up, Phase::Down, Phase::Held, Phase::Held, Phase::Up]);
        assert_eq!((health.deaths(), health.since_ns()), (1, SECOND + 3));
    }

    #[test]
    fn what_is_never_heard_of_is_dead_after_the_grace_without_a_penalty() {
        let mut health = Health::new(0, SETTINGS);
        assert_eq!(
            phases(&mut health, &[(5 * SECOND - 1, None), (5 * SECOND, None)]),
            [Phase::Starting, Phase::Down]
        );
        assert_eq!(health.deaths(), 0);
    }

    #[test]
    fn what_flaps_waits_for_its_penalty_and_never_longer_than_three_half_lives() {
        let mut health = Health::new(0, SETTINGS);
        let mut now = 0;
        let mut waited = Vec::new();
        for _ in 0..20 {
            health.update(now, Some(true));
            let until = health.timeout().filter(|_| health.phase() == Phase::Held).unwrap_or(now);
            waited.push(until - now);
            now = until;
            health.update(now, Some(true));
            assert_eq!(health.phase(), Phase::Up);
            now += SECOND / 10;
            health.update(now, Some(false));
        }
        assert_eq!(waited[0], 0);
        assert!(waited[1..4].iter().all(|wait| *wait == SECOND), "{waited:?}");
        assert!(waited.iter().any(|wait| *wait > 20 * SECOND), "{waited:?}");
        assert!(waited.iter().all(|wait| *wait <= 45 * SECOND), "{waited:?}");
    }

    proptest! {
        #[test]
        fn it_is_never_used_within_the_hold_down_after_a_death(
            steps in proptest::collection::vec((1u64..3 * SECOND, any::<bool>()), 1..200),
        ) {
            let mut health = Health::new(0, SETTINGS);
            let (mut now, mut died, mut lived) = (0, None, None);
            for (step, alive) in steps {
                now += step;
                health.update(now, Some(alive));
                if alive { lived = lived.or(Some(now)) } else { lived = None; died = Some(now) }
                prop_assert!(!health.phase().is_usable() || alive);
                if health.phase() == Phase::Up && died.is_some() {
                    prop_assert!(now - lived.unwrap() >= SECOND || health.deaths() == 0);
                }
            }
        }
    }
}
