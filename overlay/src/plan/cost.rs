//! What a link costs: its latency, and what its losses delay, in microseconds.
//!
//! Costs add up along a path: latencies do, and so does −ln(1 − p), the logarithm of the chance that a packet arrives.
//! One lost packet delays its sender by a retransmission timeout, a second at least (RFC 6298, 2.4), so the unit of the
//! logarithm weighs a second: one percent of loss costs as much as 10 ms.
//!
//! Integers throughout, so that every node computes the same.

/// What −ln(1 − p) = 1 costs, µs: RFC 6298's least retransmission timeout.
pub const LOSS_WEIGHT_US: u32 = 1_000_000;

/// Longest latency of a link, µs.
pub const LATENCY_US_MAX: u32 = 2_000_000;

/// Highest loss of a link, parts per million. What loses everything is no link.
pub const LOSS_PPM_MAX: u32 = 999_999;

/// How good a link is, the same in both directions: the mean where they differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quality {
    /// Latency in one direction, µs; more than [`LATENCY_US_MAX`] counts as that.
    pub latency_us: u32,
    /// Lost packets, parts per million; more than [`LOSS_PPM_MAX`] counts as that.
    pub loss_ppm: u32,
}

impl Quality {
    /// The link's cost, µs: at least 1 and less than 2^24.
    pub fn cost_us(self) -> u32 {
        let latency = self.latency_us.min(LATENCY_US_MAX);
        (latency + loss_us(self.loss_ppm)).max(1)
    }
}

/// −ln(1 − p) × [`LOSS_WEIGHT_US`], rounded; more than [`LOSS_PPM_MAX`] counts as that.
pub(crate) fn loss_us(loss_ppm: u32) -> u32 {
    const LN_2: u128 = 2_977_044_472; // × 2^32
    // log2 of 1 / (1 − p), bit by bit: squaring doubles a logarithm, and halving takes one from it.
    let mut x = (1_000_000u128 << 32) / u128::from(1_000_000 - loss_ppm.min(LOSS_PPM_MAX));
    let mut log = 0u128;
    while x >= 2 << 32 {
        x >>= 1;
        log += 1;
    }
    for _ in 0..32 {
        x = (x * x) >> 32;
        log <<= 1;
        if x >= 2 << 32 {
            x >>= 1;
            log |= 1;
        }
    }
    let half = 1 << 63;
    ((log * LN_2 * u128::from(LOSS_WEIGHT_US) + half) >> 64) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_the_logarithm_to_a_microsecond() {
        for ppm in (0..1_000_000).step_by(37).chain([1, 2, 3, 999_998, 999_999]) {
            let exact = -(1.0 - f64::from(ppm) / 1e6).ln() * f64::from(LOSS_WEIGHT_US);
            assert!((f64::from(loss_us(ppm)) - exact).abs() <= 1.0, "{ppm}: {} {exact}", loss_us(ppm));
        }
    }

    #[test]
    fn adds_up_latency_and_loss() {
        let cost = |latency_us, loss_ppm| Quality { latency_us, loss_ppm }.cost_us();
        assert_eq!(cost(12_500, 0), 12_500);
        assert_eq!(cost(12_500, 10_000), 12_500 + 10_050);
        assert_eq!(cost(0, 0), 1);
        assert!(cost(u32::MAX, u32::MAX) < 1 << 24);
        // Two links of 1 % lose 1.99 %.
        assert!(cost(0, 19_900).abs_diff(cost(0, 10_000) * 2) <= 1);
    }
}
