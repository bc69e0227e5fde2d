//! What a session-sender knows about its path: counts, and distributions of times over the last one to two minutes.

use hdrhistogram::Histogram;

/// How long one window collects, ns.
const WINDOW_NS: u64 = 60_000_000_000;
/// Shortest and longest time told apart, ns; others count as the nearest.
const SHORTEST_NS: u64 = 1_000;
const LONGEST_NS: u64 = 10_000_000_000;
/// Significant decimal digits of a percentile.
const DIGITS: u8 = 2;

/// What became of test packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Packets sent long enough ago to be answered or lost.
    pub sent: u64,
    /// Of these, answered in time.
    pub answered: u64,
    /// Packets that the reflector has sent back, by its own numbers.
    pub reflected: u64,
    /// Of these, received.
    pub returned: u64,
}

impl Counts {
    /// Lost on the way there. A packet that was neither answered nor lost on the way back was lost on the way there.
    pub fn lost_forward(&self) -> u64 {
        self.sent.saturating_sub(self.answered).saturating_sub(self.lost_backward())
    }

    /// Lost on the way back.
    pub fn lost_backward(&self) -> u64 {
        self.reflected.saturating_sub(self.returned)
    }

    /// Share of packets lost on the way there, 0 to 1; `None` before any was sent.
    pub fn loss_forward(&self) -> Option<f64> {
        (self.sent > 0).then(|| self.lost_forward() as f64 / self.sent as f64)
    }

    /// Share of packets lost on the way back, 0 to 1; `None` before any was sent back.
    pub fn loss_backward(&self) -> Option<f64> {
        (self.reflected > 0).then(|| self.lost_backward() as f64 / self.reflected as f64)
    }

    fn since(&self, before: &Counts) -> Counts {
        Counts {
            sent: self.sent.saturating_sub(before.sent),
            answered: self.answered.saturating_sub(before.answered),
            reflected: self.reflected.saturating_sub(before.reflected),
            returned: self.returned.saturating_sub(before.returned),
        }
    }
}

/// Three distributions, ns.
#[derive(Clone, Debug)]
struct Window {
    round_trip: Histogram<u32>,
    forward: Histogram<u32>,
    backward: Histogram<u32>,
    /// The counts when the window began.
    before: Counts,
}

/// Percentiles 50, 90 and 99, ns.
pub type Percentiles = [u64; 3];

/// The last two windows, the one that collects and the one before.
#[derive(Clone, Debug)]
pub struct Stats {
    /// Counts since the start.
    pub counts: Counts,
    /// The last round-trip time, ns, with how many there were before it.
    pub latest: Option<(u64, u64)>,
    /// The windows, where histograms of these bounds can be made: always.
    windows: Option<[Window; 2]>,
    began_ns: u64,
}

impl Stats {
    /// Empty ones.
    pub fn new(now_ns: u64) -> Stats {
        let window = Window::new();
        Stats {
            counts: Counts::default(),
            latest: None,
            windows: window.clone().zip(window).map(<[_; 2]>::from),
            began_ns: now_ns,
        }
    }

    /// Starts a new window when the last is full.
    pub(super) fn turn(&mut self, now_ns: u64) {
        if now_ns.saturating_sub(self.began_ns) < WINDOW_NS {
            return;
        }
        self.began_ns = now_ns;
        if let Some(windows) = &mut self.windows {
            windows.swap(0, 1);
            windows[0].clear(self.counts);
        }
    }

    pub(super) fn add_round_trip(&mut self, ns: u64) {
        self.latest = Some((ns, self.latest.map_or(0, |(_, number)| number + 1)));
        if let Some([window, _]) = &mut self.windows {
            window.round_trip.saturating_record(ns);
        }
    }

    pub(super) fn add_variation(&mut self, forward: bool, ns: u64) {
        if let Some([window, _]) = &mut self.windows {
            let histogram = if forward { &mut window.forward } else { &mut window.backward };
            histogram.saturating_record(ns);
        }
    }

    /// Counts of the last one to two minutes.
    pub fn recent(&self) -> Counts {
        self.windows.as_ref().map_or(self.counts, |[_, older]| self.counts.since(&older.before))
    }

    /// Round-trip time; `None` where nothing was measured.
    pub fn round_trip(&self) -> Option<Percentiles> {
        self.percentiles(|window| &window.round_trip)
    }

    /// Delay variation on the way there (IPDV, RFC 5481 section 4.1, its absolute value).
    pub fn variation_forward(&self) -> Option<Percentiles> {
        self.percentiles(|window| &window.forward)
    }

    /// Delay variation on the way back.
    pub fn variation_backward(&self) -> Option<Percentiles> {
        self.percentiles(|window| &window.backward)
    }

    fn percentiles(&self, of: impl Fn(&Window) -> &Histogram<u32>) -> Option<Percentiles> {
        let [newer, older] = self.windows.as_ref()?;
        let mut both = of(newer).clone();
        both.add(of(older)).ok()?;
        (!both.is_empty()).then(|| [50.0, 90.0, 99.0].map(|percent| both.value_at_percentile(percent)))
    }
}

impl Window {
    fn new() -> Option<Window> {
        let histogram = Histogram::new_with_bounds(SHORTEST_NS, LONGEST_NS, DIGITS).ok()?;
        Some(Window {
            round_trip: histogram.clone(),
            forward: histogram.clone(),
            backward: histogram,
            before: Counts::default(),
        })
    }

    fn clear(&mut self, before: Counts) {
        self.round_trip.reset();
        self.forward.reset();
        self.backward.reset();
        self.before = before;
    }
}
