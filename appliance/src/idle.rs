//! What a worker does when nothing waits for it.

use std::hint::spin_loop;
use std::time::Duration;

/// A sleep takes this part of the time that the worker has been idle, so that a packet's added delay is a small
/// part of the pause before it.
const PART: u64 = 64;
/// Longest sleep, ns: 4000 wake-ups a second cost an idle core some percent, and a receive ring of 1024 frames holds
/// what comes at 4 Mpps meanwhile.
const SLEEP_NS_MAX: u64 = 250_000;
/// Below this a sleep costs more than it saves, ns.
const SLEEP_NS_MIN: u64 = 1_000;

/// The micro-sleep ramp.
#[derive(Debug)]
pub struct Ramp {
    busy: bool,
    idle_since_ns: Option<u64>,
}

impl Ramp {
    /// A ramp; one for `poll = "busy"` never sleeps.
    pub fn new(busy: bool) -> Ramp {
        Ramp { busy, idle_since_ns: None }
    }

    /// There were packets.
    #[inline(always)]
    pub fn worked(&mut self) {
        self.idle_since_ns = None;
    }

    /// There were none: how long to sleep, if at all.
    pub fn pause(&mut self, now_ns: u64) -> Option<Duration> {
        if self.busy {
            return None;
        }
        let since_ns = *self.idle_since_ns.get_or_insert(now_ns);
        let sleep_ns = (now_ns.saturating_sub(since_ns) / PART).min(SLEEP_NS_MAX);
        (sleep_ns >= SLEEP_NS_MIN).then(|| Duration::from_nanos(sleep_ns))
    }

    /// Sleeps as [`Ramp::pause`] says.
    pub fn rest(&mut self, now_ns: u64) {
        match self.pause(now_ns) {
            Some(pause) => std::thread::sleep(pause),
            None => spin_loop(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sleeps_grow_with_the_pause_up_to_a_bound() {
        let mut ramp = Ramp::new(false);
        assert_eq!(ramp.pause(5_000_000), None);
        assert_eq!(ramp.pause(5_010_000), None);
        assert_eq!(ramp.pause(5_000_000 + 640_000), Some(Duration::from_micros(10)));
        assert_eq!(ramp.pause(5_000_000_000), Some(Duration::from_micros(250)));
        ramp.worked();
        assert_eq!(ramp.pause(6_000_000_000), None);
    }

    #[test]
    fn a_busy_worker_never_sleeps() {
        let mut ramp = Ramp::new(true);
        assert!((0..100).all(|second| ramp.pause(second * 1_000_000_000).is_none()));
    }
}
