//! Which edges may be answered with, as time goes by: an edge leaves at once, and comes back only when it has been well for a
//! while; so one that flaps changes answers no more than once in that time.

use std::collections::BTreeMap;

/// Busy share at which an edge takes no more clients, percent, and below which it does again.
const OVERLOADED_PERCENT: u8 = 90;
const RELIEVED_PERCENT: u8 = 70;
/// How long after the start edges that have not been heard of yet count as well, ms: a server that starts anew knows nobody.
const GRACE_MS: u64 = 10_000;
/// By how much another region must be quicker to take a region's place: a tenth, and so many µs.
const QUICKER_US_MIN: u32 = 5_000;

/// An edge as it is seen now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Whether it is connected, its report is of now, and its workers run.
    pub alive: bool,
    /// Whether it is to take no new clients.
    pub draining: bool,
    /// How busy its busiest worker is, percent; nothing before it is known.
    pub busy_percent: Option<u8>,
    /// Round-trip time to each gateway region by the best path that is up, µs.
    pub round_trip_us: BTreeMap<usize, u32>,
}

/// Why an edge is not answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Absence {
    /// Not heard of, or not ready.
    Dead,
    /// Its definition says so.
    Draining,
    /// It has too much to do.
    Overloaded,
    /// It is well, but not for long enough.
    Recovering,
}

impl Absence {
    /// The same in a few words.
    pub fn why(self) -> &'static str {
        match self {
            Absence::Dead => "it is dead",
            Absence::Draining => "it is draining",
            Absence::Overloaded => "it is overloaded",
            Absence::Recovering => "it has not been well for long",
        }
    }
}

#[derive(Debug)]
struct Standing {
    sight: Sight,
    /// Whether it was ever seen alive.
    was_alive: bool,
    overloaded: bool,
    /// Since when it has been well, ms; `None` while it is not.
    well_since_ms: Option<u64>,
    absence: Option<Absence>,
}

/// All edges, and for each gateway region which edge region leads there quickest.
#[derive(Debug)]
pub struct Board {
    hold_ms: u64,
    begun_ms: u64,
    edges: BTreeMap<String, Standing>,
    quickest: BTreeMap<usize, Quickest>,
}

#[derive(Debug)]
struct Quickest {
    region: usize,
    /// Another that has been quicker, and since when, ms.
    rival: Option<(usize, u64)>,
}

impl Board {
    /// Nobody has been seen yet. An edge must be well for so long, ms, to come back.
    pub fn new(now_ms: u64, hold_ms: u64) -> Board {
        Board { hold_ms, begun_ms: now_ms, edges: BTreeMap::new(), quickest: BTreeMap::new() }
    }

    /// Takes what is seen of all edges now, each with its name and the number of its region; returns whose standing has
    /// changed, and how.
    pub fn look(
        &mut self,
        now_ms: u64,
        seen: impl IntoIterator<Item = (String, usize, Sight)>,
    ) -> Vec<(String, Option<Absence>)> {
        let in_grace = now_ms.saturating_sub(self.begun_ms) < GRACE_MS;
        let (mut changed, mut now, mut regions) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for (name, region, sight) in seen {
            let known = self.edges.remove(&name);
            let is_new = known.is_none();
            let mut standing = known.unwrap_or_else(Standing::unseen);
            let before = standing.absence;
            standing.take(now_ms, sight, self.hold_ms, in_grace);
            if standing.absence != before && !(is_new && in_grace) {
                changed.push((name.clone(), standing.absence));
            }
            if standing.absence.is_none() {
                for (gateway, round_trip_us) in &standing.sight.round_trip_us {
                    let least: &mut u32 = regions.entry((*gateway, region)).or_insert(u32::MAX);
                    *least = (*least).min(*round_trip_us);
                }
            }
            now.insert(name, standing);
        }
        self.edges = now;
        self.choose(now_ms, &regions);
        changed
    }

    /// Keeps or replaces the quickest edge region of each gateway region.
    fn choose(&mut self, now_ms: u64, regions: &BTreeMap<(usize, usize), u32>) {
        let mut best: BTreeMap<usize, (u32, usize)> = BTreeMap::new();
        for ((gateway, region), round_trip_us) in regions {
            let least = best.entry(*gateway).or_insert((u32::MAX, usize::MAX));
            *least = (*least).min((*round_trip_us, *region));
        }
        self.quickest.retain(|gateway, _| best.contains_key(gateway));
        for (gateway, (least_us, rival)) in best {
            let quickest = self.quickest.entry(gateway).or_insert(Quickest { region: rival, rival: None });
            let Some(own_us) = regions.get(&(gateway, quickest.region)).copied() else {
                // Its edges are gone: nothing to wait for.
                *quickest = Quickest { region: rival, rival: None };
                continue;
            };
            if least_us >= (own_us - own_us / 10).saturating_sub(QUICKER_US_MIN) {
                quickest.rival = None;
                continue;
            }
            let since_ms = match quickest.rival {
                Some((same, since_ms)) if same == rival => since_ms,
                _ => now_ms,
            };
            *quickest = match now_ms.saturating_sub(since_ms) >= self.hold_ms {
                true => Quickest { region: rival, rival: None },
                false => Quickest { rival: Some((rival, since_ms)), ..*quickest },
            };
        }
    }

    /// Why an edge is not answered with; `None` if it is.
    pub fn absence(&self, edge: &str) -> Option<Absence> {
        self.edges.get(edge).map_or(Some(Absence::Dead), |standing| standing.absence)
    }

    /// What was seen of an edge last.
    pub fn sight(&self, edge: &str) -> Option<&Sight> {
        self.edges.get(edge).map(|standing| &standing.sight)
    }

    /// The edge region that leads quickest to a gateway region, where any is measured.
    pub fn quickest(&self, gateway: usize) -> Option<usize> {
        self.quickest.get(&gateway).map(|quickest| quickest.region)
    }
}

impl Standing {
    fn unseen() -> Standing {
        Standing {
            sight: Sight::default(),
            was_alive: false,
            overloaded: false,
            well_since_ms: None,
            absence: Some(Absence::Dead),
        }
    }

    fn take(&mut self, now_ms: u64, sight: Sight, hold_ms: u64, in_grace: bool) {
        let threshold = if self.overloaded { RELIEVED_PERCENT } else { OVERLOADED_PERCENT };
        self.overloaded = sight.busy_percent.is_some_and(|busy| busy >= threshold);
        let first = sight.alive && !self.was_alive && in_grace;
        self.was_alive |= sight.alive;
        let unheard = !self.was_alive && in_grace;
        let fault = match &sight {
            sight if !sight.alive && !unheard => Some(Absence::Dead),
            sight if sight.draining => Some(Absence::Draining),
            _ if self.overloaded => Some(Absence::Overloaded),
            _ => None,
        };
        self.sight = sight;
        if fault.is_some() {
            self.well_since_ms = None;
            self.absence = fault;
            return;
        }
        let since_ms = *self.well_since_ms.get_or_insert(now_ms);
        let was_present = self.absence.is_none();
        let held = now_ms.saturating_sub(since_ms) >= hold_ms;
        self.absence = if was_present || held || unheard || first { None } else { Some(Absence::Recovering) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn well() -> Sight {
        Sight { alive: true, ..Sight::default() }
    }

    fn one(board: &mut Board, now_ms: u64, sight: Sight) -> Option<Absence> {
        board.look(now_ms, [("e".to_owned(), 0, sight)]);
        board.absence("e")
    }

    #[test]
    fn a_server_that_starts_anew_takes_edges_for_well_until_it_could_know() {
        let mut board = Board::new(1_000, 30_000);
        assert_eq!(one(&mut board, 1_000, Sight::default()), None);
        assert_eq!(one(&mut board, 10_999, Sight::default()), None);
        assert_eq!(one(&mut board, 11_000, Sight::default()), Some(Absence::Dead));
        assert_eq!(one(&mut board, 12_000, well()), Some(Absence::Recovering));
        assert_eq!(one(&mut board, 41_999, well()), Some(Absence::Recovering));
        assert_eq!(one(&mut board, 42_000, well()), None);
    }

    #[test]
    fn it_leaves_at_once_and_comes_back_after_the_hold_time() {
        let mut board = Board::new(0, 30_000);
        assert_eq!(one(&mut board, 0, well()), None);
        let busy = |percent| Sight { busy_percent: Some(percent), ..well() };
        assert_eq!(one(&mut board, 20_000, busy(89)), None);
        assert_eq!(one(&mut board, 21_000, busy(90)), Some(Absence::Overloaded));
        assert_eq!(one(&mut board, 22_000, busy(75)), Some(Absence::Overloaded), "not relieved yet");
        assert_eq!(one(&mut board, 23_000, busy(69)), Some(Absence::Recovering));
        assert_eq!(one(&mut board, 53_000, busy(80)), None);
        let draining = Sight { draining: true, ..well() };
        assert_eq!(one(&mut board, 54_000, draining), Some(Absence::Draining));
        assert_eq!(one(&mut board, 55_000, Sight::default()), Some(Absence::Dead));
    }

    #[test]
    fn a_quicker_region_replaces_another_after_the_hold_time_and_a_dead_one_is_replaced_at_once() {
        let mut board = Board::new(0, 10_000);
        let at = |us| Sight { round_trip_us: BTreeMap::from([(9, us)]), ..well() };
        let both = |a, b| [("a".to_owned(), 0, at(a)), ("b".to_owned(), 1, at(b))];
        board.look(0, both(50_000, 60_000));
        assert_eq!(board.quickest(9), Some(0));
        board.look(1_000, both(50_000, 42_000));
        board.look(20_000, both(50_000, 42_000));
        assert_eq!(board.quickest(9), Some(0), "not by enough");
        board.look(21_000, both(50_000, 20_000));
        board.look(30_999, both(50_000, 20_000));
        assert_eq!(board.quickest(9), Some(0));
        board.look(31_000, both(50_000, 20_000));
        assert_eq!(board.quickest(9), Some(1));
        board.look(32_000, [("a".to_owned(), 0, at(50_000)), ("b".to_owned(), 1, Sight::default())]);
        assert_eq!(board.quickest(9), Some(0));
        assert_eq!((board.quickest(8), board.absence("nobody")), (None, Some(Absence::Dead)));
    }

    proptest! {
        /// Whatever it does, it comes back no sooner than the hold time after it was last unwell, and is never there while it is unwell.
        #[test]
        fn one_that_flaps_is_there_no_more_than_once_in_the_hold_time(
            steps in proptest::collection::vec((1u64..3_000, any::<bool>(), any::<bool>(), 0u8..=100), 1..200),
        ) {
            let mut board = Board::new(0, 5_000);
            let mut now_ms = GRACE_MS;
            let mut unwell_ms = now_ms;
            one(&mut board, now_ms, Sight::default());
            for (pause_ms, alive, draining, busy) in steps {
                now_ms += pause_ms;
                let sight = Sight { alive, draining: draining && alive, busy_percent: Some(busy), ..Sight::default() };
                let fault = !alive || sight.draining || busy >= OVERLOADED_PERCENT;
                let absence = one(&mut board, now_ms, sight);
                if fault {
                    unwell_ms = now_ms;
                    prop_assert!(absence.is_some());
                } else if absence.is_none() {
                    prop_assert!(now_ms - unwell_ms >= 5_000);
                }
            }
        }
    }
}
