//! How much may come at most: one event per interval on average, a few at once.

/// A rate limit over a clock that the caller passes in.
#[derive(Clone, Debug)]
pub struct Allowance {
    interval_ns: u64,
    saved_ns_max: u64,
    saved_ns: u64,
    last_ns: u64,
}

impl Allowance {
    /// One event per `interval_ns`, and up to `burst` at once.
    pub fn new(interval_ns: u64, burst: u64) -> Allowance {
        let interval_ns = interval_ns.max(1);
        let saved_ns_max = interval_ns.saturating_mul(burst.max(1));
        Allowance { interval_ns, saved_ns_max, saved_ns: saved_ns_max, last_ns: 0 }
    }

    /// Whether one more may come now.
    pub fn take(&mut self, now_ns: u64) -> bool {
        let passed_ns = now_ns.saturating_sub(self.last_ns);
        self.last_ns = self.last_ns.max(now_ns);
        self.saved_ns = self.saved_ns.saturating_add(passed_ns).min(self.saved_ns_max);
        let enough = self.saved_ns >= self.interval_ns;
        if enough {
            self.saved_ns -= self.interval_ns;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_burst_at_once_and_the_rate_over_time() {
        let mut allowance = Allowance::new(100, 5);
        assert_eq!((0..50).filter(|_| allowance.take(1)).count(), 5);
        let taken = (0..10_000).filter(|now| allowance.take(*now)).count();
        assert!((99..=100).contains(&taken), "{taken}");
        assert!(!allowance.take(0), "a clock that runs backwards gives nothing");
    }
}
