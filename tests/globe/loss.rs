//! How a line loses packets, in its own time: independent of how many are sent.

use crate::sim::{MILLISECOND, Random};

/// How a line loses packets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weather {
    /// It does not.
    Fair,
    /// Each packet with this probability, independent of the others.
    Random(f64),
    /// In spells (Gilbert and Elliott): the line is good or bad, each for a while that is drawn anew every time; while bad, packets
    /// are lost with a probability.
    Spells {
        /// Mean duration of a good spell, ns.
        good_ns: f64,
        /// Mean duration of a bad one, ns.
        bad_ns: f64,
        /// Loss while bad.
        lost: f64,
    },
}

/// Mean duration of a burst of losses, ns.
const BURST_NS: f64 = 40.0 * MILLISECOND as f64;
/// Loss in a burst.
const BURST_LOST: f64 = 0.5;

impl Weather {
    /// Bursts of half the packets over tens of milliseconds that lose this share in all.
    pub fn bursts(share: f64) -> Weather {
        Weather::spells(share, BURST_NS, BURST_LOST)
    }

    /// Spells of a duration and a loss that lose this share in all.
    pub fn spells(share: f64, bad_ns: f64, lost: f64) -> Weather {
        let bad = share / lost;
        Weather::Spells { good_ns: bad_ns * (1.0 - bad) / bad, bad_ns, lost }
    }

    /// The share that it loses in all.
    pub fn share(self) -> f64 {
        match self {
            Weather::Fair => 0.0,
            Weather::Random(share) => share,
            Weather::Spells { good_ns, bad_ns, lost } => lost * bad_ns / (good_ns + bad_ns),
        }
    }
}

/// A line's losses.
#[derive(Clone, Debug)]
pub struct Losses {
    weather: Weather,
    is_bad: bool,
    /// When good turns to bad or bad to good.
    turns_ns: u64,
    random: Random,
}

impl Losses {
    /// From a time on; two lines with the same seed lose alike.
    pub fn new(weather: Weather, now_ns: u64, seed: u64) -> Losses {
        let mut random = Random::new(seed, 32);
        let mut losses = Losses { weather, is_bad: false, turns_ns: now_ns, random: random.clone() };
        if let Weather::Spells { good_ns, bad_ns, .. } = weather {
            // It begins in the middle of either, as often as it is in either.
            losses.is_bad = !random.chance(bad_ns / (good_ns + bad_ns));
            losses.random = random;
        }
        losses
    }

    /// Whether a packet is lost that is sent now; times never go back.
    pub fn loses(&mut self, now_ns: u64) -> bool {
        match self.weather {
            Weather::Fair => false,
            Weather::Random(share) => self.random.chance(share),
            Weather::Spells { good_ns, bad_ns, lost } => {
                while self.turns_ns <= now_ns {
                    self.is_bad = !self.is_bad;
                    let mean_ns = if self.is_bad { bad_ns } else { good_ns };
                    self.turns_ns += (exponential(&mut self.random) * mean_ns) as u64 + 1;
                }
                self.is_bad && self.random.chance(lost)
            }
        }
    }
}

/// Of mean 1.
pub(super) fn exponential(random: &mut Random) -> f64 {
    let even = (random.bits() >> 11) as f64 / (1u64 << 53) as f64;
    -(1.0 - even).ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_much_is_lost_as_was_asked_for_and_bursts_hit_neighbours() {
        for (weather, share, neighbours) in [
            (Weather::Fair, 0.0, 0.0),
            (Weather::Random(0.05), 0.05, 0.05),
            (Weather::bursts(0.05), 0.05, 0.49),
            (Weather::spells(0.02, 3e9, 0.1), 0.02, 0.1),
        ] {
            assert!((weather.share() - share).abs() < 1e-9);
            let (mut lost, mut pairs, mut before) = (0u32, 0u32, false);
            let count = 10_000_000;
            let mut losses = Losses::new(weather, 0, 5);
            for packet in 0..count {
                let loses = losses.loses(packet * MILLISECOND);
                lost += u32::from(loses);
                pairs += u32::from(loses && before);
                before = loses;
            }
            let seen = f64::from(lost) / count as f64;
            assert!((seen - share).abs() <= share * 0.15, "{weather:?}: {seen}");
            let again = f64::from(pairs) / f64::from(lost.max(1));
            assert!((again - neighbours).abs() < 0.03, "{weather:?}: {again} of losses follow another");
        }
    }
}
