//! A token bucket: so many packets per second, with a burst of a tenth of a second's worth.

const SECOND_NS: u64 = 1_000_000_000;

/// A rate limit over a clock that the caller passes in.
#[derive(Clone, Debug)]
pub struct Bucket {
    /// What one token costs.
    token_ns: u64,
    /// The most that may be saved up.
    saved_ns_max: u64,
    saved_ns: u64,
    last_ns: u64,
}

impl Bucket {
    /// A full bucket of `per_second` tokens, at least 1.
    pub fn new(per_second: u32) -> Bucket {
        let token_ns = SECOND_NS / per_second.max(1) as u64;
        let saved_ns_max = (SECOND_NS / 10).max(token_ns);
        Bucket { token_ns, saved_ns_max, saved_ns: saved_ns_max, last_ns: 0 }
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now_ns: u64) -> bool {
        let passed_ns = now_ns.saturating_sub(self.last_ns);
        self.last_ns = self.last_ns.max(now_ns);
        self.saved_ns = self.saved_ns.saturating_add(passed_ns).min(self.saved_ns_max);
        let enough = self.saved_ns >= self.token_ns;
        if enough {
            self.saved_ns -= self.token_ns;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_rate_over_time_and_the_burst_at_once() {
        let mut bucket = Bucket::new(100);
        assert_eq!((0..100).filter(|_| bucket.take(0)).count(), 10);
        let taken = (0..10_000u64).filter(|step| bucket.take(step * SECOND_NS / 1000)).count();
        assert!((995..=1005).contains(&taken), "{taken}");
        assert!(!bucket.take(0), "a clock that runs backwards gives nothing");
    }
}
