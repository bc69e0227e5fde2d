//! A token bucket: so many at once, so many in a time.

/// Tokens in thousandths; what limits verifications and answers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    /// Thousandths of a token that are there.
    level: u64,
    /// Most tokens.
    burst: u64,
    /// Tokens that come back in a second: thousandths in a millisecond.
    per_s: u64,
    /// When the level was right, monotonic milliseconds.
    at_ms: u64,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn new(burst: u64, per_s: u64) -> Bucket {
        Bucket { level: burst * 1000, burst, per_s, at_ms: 0 }
    }

    /// Takes a token if there is one.
    pub(crate) fn take(&mut self, now_ms: u64) -> bool {
        let passed = now_ms.saturating_sub(self.at_ms);
        self.at_ms = self.at_ms.max(now_ms);
        self.level = passed.saturating_mul(self.per_s).saturating_add(self.level).min(self.burst * 1000);
        let enough = self.level >= 1000;
        self.level -= if enough { 1000 } else { 0 };
        enough
    }

    /// Milliseconds until there is a token.
    pub(crate) fn wait_ms(&self, now_ms: u64) -> u64 {
        let level = now_ms.saturating_sub(self.at_ms).saturating_mul(self.per_s).saturating_add(self.level);
        1000u64.saturating_sub(level).div_ceil(self.per_s.max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let mut bucket = Bucket::new(3, 2);
        assert_eq!((0..10).filter(|_| bucket.take(5000)).count(), 3);
        assert_eq!(bucket.wait_ms(5000), 500);
        assert!(!bucket.take(5499) && bucket.take(5500) && !bucket.take(5500));
        assert_eq!((5500..105_500).filter(|now| bucket.take(*now)).count(), 199);
        assert_eq!((0..10).filter(|_| bucket.take(u64::MAX)).count(), 3);
    }
}
