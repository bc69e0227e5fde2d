//! What a link is like *now*, from its probes: quick to follow a change, slow to wobble.
//!
//! Latency is the median of the last few round trips, halved: one late packet moves nothing, and after four of seven the new
//! one counts. Loss is counted in blocks; it is the mean over many blocks, until the last of them can not have come from that mean
//! any more: then only they count.

use super::stats::Counts;
use crate::plan::{LATENCY_US_MAX, LOSS_PPM_MAX};

/// Round trips that the median is taken of.
const ROUND_TRIPS: usize = 7;
/// Round trips before anything is said.
const ROUND_TRIPS_MIN: usize = 3;
/// Probes of a block.
const BLOCK: u64 = 20;
/// Blocks that are looked at together, at most: a small change shows over several only.
const RECENT: usize = 5;
/// Probes that the mean is taken over, at most; older ones fade.
const PROBES_MAX: u64 = 2000;

/// What is known of one link.
#[derive(Clone, Debug, Default)]
pub struct Gauge {
    round_trips: [u64; ROUND_TRIPS],
    seen: usize,
    before: Counts,
    out: Loss,
    back: Loss,
}

/// One end's view of a link, each direction for itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Half the round-trip time, µs: without common clocks neither direction is known alone.
    pub latency_us: u32,
    /// Lost on the way to the other end, parts per million.
    pub loss_out_ppm: u32,
    /// Lost on the way back.
    pub loss_back_ppm: u32,
}

/// Losses of one direction.
#[derive(Clone, Copy, Debug, Default)]
struct Loss {
    sent: u64,
    lost: u64,
    /// Losses of the last blocks, the newest first.
    blocks: [u64; RECENT],
    counted: usize,
}

impl Gauge {
    /// A probe came back after so long.
    pub fn round_trip(&mut self, ns: u64) {
        self.round_trips[self.seen % ROUND_TRIPS] = ns;
        self.seen = if self.seen + 1 >= 2 * ROUND_TRIPS { ROUND_TRIPS } else { self.seen + 1 };
    }

    /// What was counted since the start of the probes.
    pub fn counts(&mut self, now: Counts) {
        if now.sent < self.before.sent {
            // The probes began anew.
            self.before = now;
        }
        let sent = now.sent - self.before.sent;
        if sent < BLOCK {
            return;
        }
        let lost =
            |of: fn(&Counts) -> u64| of(&now).saturating_sub(of(&self.before)).min(sent) * BLOCK / sent;
        let (out, back) = (lost(Counts::lost_forward), lost(Counts::lost_backward));
        self.out.add(out);
        self.back.add(back);
        self.before = now;
    }

    /// Leaves losses counted so far out.
    pub fn skip(&mut self, now: Counts) {
        self.before = now;
    }

    /// Forgets what was, after an outage: it says nothing about what comes.
    pub fn restart(&mut self, now: Counts) {
        *self = Gauge { before: now, ..Gauge::default() };
    }

    /// What the link is like; none before a few probes came back.
    pub fn reading(&self) -> Option<Reading> {
        let known = self.seen.min(ROUND_TRIPS);
        if known < ROUND_TRIPS_MIN {
            return None;
        }
        let mut sorted = self.round_trips;
        let sorted = sorted.get_mut(..known)?;
        sorted.sort_unstable();
        let median_ns = sorted.get(known / 2).copied()?;
        let latency_us = (median_ns / 2000).clamp(1, LATENCY_US_MAX.into()) as u32;
        Some(Reading { latency_us, loss_out_ppm: self.out.ppm(), loss_back_ppm: self.back.ppm() })
    }
}

impl Loss {
    fn add(&mut self, lost: u64) {
        self.blocks.rotate_right(1);
        self.blocks[0] = lost;
        self.counted = (self.counted + 1).min(RECENT);
        let mut recent = 0;
        for (blocks, lost) in (1..).zip(&self.blocks[..self.counted]) {
            recent += lost;
            let sent = blocks * BLOCK;
            if self.sent > 0 && self.can_not_give(sent, recent) {
                (self.sent, self.lost) = (sent, recent);
                return;
            }
        }
        self.sent += BLOCK;
        self.lost += lost;
        if self.sent > PROBES_MAX {
            (self.sent, self.lost) = (self.sent / 2, self.lost / 2);
        }
    }

    /// Whether so many losses are further from the mean than three and a half standard deviations and one packet.
    fn can_not_give(&self, sent: u64, lost: u64) -> bool {
        let share = (self.lost as f64 + 0.5) / (self.sent as f64 + 1.0);
        let expected = share * sent as f64;
        let deviation = (expected * (1.0 - share)).sqrt();
        (lost as f64 - expected).abs() > 3.5 * deviation + 1.0
    }

    fn ppm(&self) -> u32 {
        let ppm = (self.lost * 1_000_000).checked_div(self.sent).unwrap_or(0);
        ppm.min(LOSS_PPM_MAX.into()) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SplitMix64.
    struct Draw(u64);

    impl Draw {
        fn below(&mut self, limit: u64) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
            (z ^ z >> 31) % limit
        }
    }

    fn probe(gauge: &mut Gauge, counts: &mut Counts, draw: &mut Draw, loss_per_mille: u64) -> u32 {
        counts.sent += 1;
        if draw.below(1000) >= loss_per_mille {
            (counts.answered, counts.reflected, counts.returned) =
                (counts.answered + 1, counts.reflected + 1, counts.returned + 1);
            gauge.round_trip(10_000_000);
        }
        gauge.counts(*counts);
        gauge.reading().map_or(0, |reading| reading.loss_out_ppm)
    }

    #[test]
    fn a_late_packet_moves_nothing_and_four_of_seven_do() {
        let mut gauge = Gauge::default();
        gauge.round_trip(2_000_000);
        gauge.round_trip(2_000_000);
        assert_eq!(gauge.reading(), None);
        (0..20).for_each(|_| gauge.round_trip(2_000_000));
        let latency = |gauge: &Gauge| gauge.reading().unwrap().latency_us;
        assert_eq!(latency(&gauge), 1_000);
        (0..3).for_each(|_| gauge.round_trip(80_000_000));
        assert_eq!(latency(&gauge), 1_000);
        gauge.round_trip(80_000_000);
        assert_eq!(latency(&gauge), 40_000);
    }

    #[test]
    fn loss_is_followed_in_seconds_and_steady_loss_does_not_wobble() {
        for seed in 0..40 {
            let (mut gauge, mut counts, mut draw) = (Gauge::default(), Counts::default(), Draw(seed));
            for _ in 0..2000 {
                assert_eq!(probe(&mut gauge, &mut counts, &mut draw, 0), 0);
            }
            let mut told = 0;
            let after = (0..200).find(|_| {
                told = probe(&mut gauge, &mut counts, &mut draw, 200);
                told > 100_000
            });
            assert!(after.is_some_and(|probes| probes <= 60), "seed {seed}: {after:?}");
            (0..2000).for_each(|_| {
                probe(&mut gauge, &mut counts, &mut draw, 200);
            });
            let steady: Vec<u32> =
                (0..2000).map(|_| probe(&mut gauge, &mut counts, &mut draw, 200)).collect();
            let inside = steady.iter().filter(|told| (140_000..260_000).contains(*told)).count();
            assert!(inside > 1850, "seed {seed}: {inside}");
            let healed = (0..400).find(|_| probe(&mut gauge, &mut counts, &mut draw, 0) < 20_000);
            assert!(healed.is_some_and(|probes| probes <= 200), "seed {seed}: {healed:?}");
        }
    }

    #[test]
    fn a_single_lost_probe_says_little() {
        let (mut gauge, mut counts, mut draw) = (Gauge::default(), Counts::default(), Draw(1));
        (0..200).for_each(|_| {
            probe(&mut gauge, &mut counts, &mut draw, 0);
        });
        probe(&mut gauge, &mut counts, &mut draw, 1000);
        let worst = (0..100).map(|_| probe(&mut gauge, &mut counts, &mut draw, 0)).max().unwrap();
        assert!(worst <= 5_000, "{worst}");
    }

    #[test]
    fn directions_are_told_apart() {
        let (mut gauge, mut counts) = (Gauge::default(), Counts::default());
        for number in 0..200 {
            counts.sent += 1;
            counts.reflected += 1;
            if number % 4 > 0 {
                counts.answered += 1;
                counts.returned += 1;
                gauge.round_trip(1_000_000);
            }
            gauge.counts(counts);
        }
        let reading = gauge.reading().unwrap();
        assert_eq!((reading.loss_out_ppm, reading.loss_back_ppm), (0, 250_000));
        gauge.restart(counts);
        assert_eq!(gauge.reading(), None);
    }
}
