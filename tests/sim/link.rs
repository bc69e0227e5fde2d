//! What happens to frames between two ports of a segment, in one direction.

use super::random::Random;

/// How frames are lost.
#[derive(Clone, Debug, Default)]
pub enum Loss {
    /// None is.
    #[default]
    None,
    /// Each with this probability, independent of the others.
    Random(f64),
    /// In bursts (Gilbert and Elliott): the link is good or bad, and changes with these probabilities per frame;
    /// while bad, each frame is lost with the last one.
    Bursts {
        /// From good to bad.
        worsens: f64,
        /// From bad to good.
        mends: f64,
        /// Loss while bad.
        lost: f64,
    },
}

/// A link in one direction.
#[derive(Clone, Debug)]
pub struct Link {
    /// Time on the way, ns.
    pub latency_ns: u64,
    /// Up to so much more, ns.
    pub jitter_ns: u64,
    /// How frames are lost.
    pub loss: Loss,
    /// Probability that a frame arrives twice.
    pub duplicate: f64,
    /// Probability that a bit of a frame changes without the check sequence telling.
    pub corrupt: f64,
    /// Probability that a frame is overtaken by later ones; otherwise frames keep their order.
    pub reorder: f64,
    /// How long an overtaken frame is held, at most, ns.
    pub reorder_ns: u64,
    /// Bytes of an IP packet at most; larger ones are lost.
    pub mtu: usize,
    /// Whether anything passes.
    pub up: bool,
    bad: bool,
    last_arrival: u64,
}

/// What a link did to a frame.
pub(super) enum Passage {
    /// Arrives at these times, twice where the second is there; and whether bits changed.
    Arrives(u64, Option<u64>, bool),
    /// Lost by chance.
    Lost,
    /// The link is down.
    Cut,
    /// Larger than the link takes.
    Oversize,
}

impl Link {
    /// A perfect link.
    pub fn perfect(latency_ns: u64) -> Link {
        Link {
            latency_ns,
            jitter_ns: 0,
            loss: Loss::None,
            duplicate: 0.0,
            corrupt: 0.0,
            reorder: 0.0,
            reorder_ns: 0,
            mtu: 9_000,
            up: true,
            bad: false,
            last_arrival: 0,
        }
    }

    /// Whether every frame arrives once, as it was sent.
    pub fn is_whole(&self) -> bool {
        self.up && matches!(self.loss, Loss::None) && self.duplicate == 0.0 && self.corrupt == 0.0
    }

    pub(super) fn pass(&mut self, now: u64, ip_len: usize, random: &mut Random) -> Passage {
        if !self.up {
            return Passage::Cut;
        }
        if ip_len > self.mtu {
            return Passage::Oversize;
        }
        if self.loses(random) {
            return Passage::Lost;
        }
        let mut arrival = now + self.latency_ns + random.below(self.jitter_ns + 1);
        if random.chance(self.reorder) {
            arrival += random.below(self.reorder_ns + 1);
        } else {
            arrival = arrival.max(self.last_arrival);
            self.last_arrival = arrival;
        }
        let again =
            random.chance(self.duplicate).then(|| arrival + random.below(self.jitter_ns + self.latency_ns));
        Passage::Arrives(arrival, again, random.chance(self.corrupt))
    }

    fn loses(&mut self, random: &mut Random) -> bool {
        match self.loss {
            Loss::None => false,
            Loss::Random(lost) => random.chance(lost),
            Loss::Bursts { worsens, mends, lost } => {
                if random.chance(if self.bad { mends } else { worsens }) {
                    self.bad = !self.bad;
                }
                self.bad && random.chance(lost)
            }
        }
    }
}
