//! The timer wheel: which sessions to look at in which second.
//!
//! ```text
//!   second mod 512:  0     1     2                511
//!                  +-----+-----+-----+-- … --+-----+
//!                  |  o  |     |  o  |       |     |      o-o-o   rings of sessions
//!                  +--|--+-----+--|--+-- … --+-----+
//!                     o           o
//!                     o
//! ```
//!
//! A packet changes when its session expires, but does not touch the wheel: a session whose second has come before it
//! is due goes on to a later one. So the wheel costs packets nothing, and each session one look in 512 seconds. Only
//! what shortens a session's life moves it at once.

use crate::ring::Rings;
use crate::session::Seconds;

/// Seconds of one turn.
const SECONDS: u32 = 512;

/// Sessions, each in the second in which it is looked at next.
pub(crate) struct Wheel {
    /// Sessions by their number, and behind them one node for each second, which is always there.
    rings: Rings,
    sessions: u32,
    /// The second whose sessions are being looked at.
    second: Option<Seconds>,
}

impl Wheel {
    pub(crate) fn new(sessions: usize) -> Wheel {
        Wheel { rings: Rings::new(sessions + SECONDS as usize), sessions: sessions as u32, second: None }
    }

    /// Has a session looked at in so many seconds, or before; instead of when it was to be looked at until now.
    pub(crate) fn look_in(&mut self, now: Seconds, seconds: u32, session: u32) {
        let current = self.second.get_or_insert(now).0;
        // Seconds that the sweep has still to make up for come before.
        let ahead = now.0.wrapping_sub(current).saturating_add(seconds).clamp(1, SECONDS - 1);
        let place = self.sessions + current.wrapping_add(ahead) % SECONDS;
        self.rings.leave(session);
        self.rings.join(session, place);
    }

    /// Nobody looks at a session any more.
    pub(crate) fn forget(&mut self, session: u32) {
        self.rings.leave(session);
    }

    /// Takes the next sessions whose second has come, as many as there is room for; returns how many. Each must be
    /// given back to [`Wheel::look_in`] or be forgotten.
    pub(crate) fn take(&mut self, now: Seconds, sessions: &mut [u32]) -> usize {
        let mut second = self.second.unwrap_or(now).0;
        let behind = now.0.wrapping_sub(second);
        if behind > SECONDS && behind < 1 << 31 {
            second = now.0.wrapping_sub(SECONDS);
        }
        let mut taken = 0;
        while taken < sessions.len() {
            let place = self.sessions + second % SECONDS;
            match self.rings.next(place) {
                session if session != place => {
                    self.rings.leave(session);
                    sessions[taken] = session;
                    taken += 1;
                }
                _ if (now.0.wrapping_sub(second) as i32) <= 0 => break,
                _ => second = second.wrapping_add(1),
            }
        }
        self.second = Some(Seconds(second));
        taken
    }

    /// Whether there are sessions whose second has come. Of seconds that have not been begun it does not know yet.
    pub(crate) fn is_behind(&self) -> bool {
        self.second.is_some_and(|second| {
            let place = self.sessions + second.0 % SECONDS;
            self.rings.next(place) != place
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(wheel: &mut Wheel, now: u32) -> Vec<u32> {
        let mut found = [0; 100];
        let count = wheel.take(Seconds(now), &mut found);
        let mut found = found[..count].to_vec();
        found.sort_unstable();
        found
    }

    #[test]
    fn sessions_come_in_their_second() {
        for start in [0, 1000, u32::MAX - 3] {
            let at = |seconds: u32| start.wrapping_add(seconds);
            let mut wheel = Wheel::new(5);
            for (session, seconds) in [(0, 1), (1, 5), (2, 5), (3, 5000), (4, 300)] {
                wheel.look_in(Seconds(start), seconds, session);
            }
            assert!(all(&mut wheel, start).is_empty());
            assert_eq!(all(&mut wheel, at(4)), [0]);
            assert!(!wheel.is_behind());
            let mut one = [0];
            assert_eq!(wheel.take(Seconds(at(5)), &mut one), 1);
            assert!(wheel.is_behind());
            assert_eq!(one[0] + all(&mut wheel, at(5))[0], 1 + 2);
            assert!(!wheel.is_behind());
            // Its time is shortened, or beyond one turn.
            wheel.look_in(Seconds(at(5)), 2, 4);
            assert_eq!(all(&mut wheel, at(7)), [4]);
            assert_eq!(all(&mut wheel, at(510)), [0u32; 0]);
            assert_eq!(all(&mut wheel, at(511)), [3]);
        }
    }

    #[test]
    fn a_late_sweep_misses_none_and_takes_pieces() {
        let mut wheel = Wheel::new(50);
        (0..50).for_each(|session| wheel.look_in(Seconds(7), session * 10, session));
        let mut seen = Vec::new();
        let mut piece = [0; 3];
        loop {
            let count = wheel.take(Seconds(100_000), &mut piece);
            if count == 0 {
                break;
            }
            seen.extend_from_slice(&piece[..count]);
            // What comes in between has its whole time.
            wheel.look_in(Seconds(100_000), 3, piece[0]);
            wheel.forget(piece[0]);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..50).collect::<Vec<_>>());
    }
}
