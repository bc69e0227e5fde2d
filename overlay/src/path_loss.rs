//! How much of the data that a sender's worker puts on a path arrives: by the path's own sequence, never by a stream's,
//! of which each path carries a part only when it is spread, and every path all when it is replicated.
//!
//! Workers count what arrives and keep the highest number, each for the streams that it receives. The control thread
//! reads them every [`NOTE_NS`] and puts them together here: what was numbered since the last reading and did not come is
//! lost. Three things are not:
//!
//! - *Reordering.* A copy that is missed may come late. What was missed a second ago and is not lost has come late since;
//!   so of the least deficit of that second as many are lost as did not come late, at least. What that leaves out while
//!   packets are being reordered is made up for when they are not.
//! - *Another life of the sender, or of its counter.* It begins at any number. A sender is away for a second at least when
//!   it starts anew; so after a second of silence a step of more than [`GAP_MAX`] numbers says nothing.
//! - *Copies that come twice.* They fill the place of others only as long as those are not counted yet: less can not be
//!   missed than was lost, unless some came twice.
//!
//! It is exact where one worker receives. Several see less of the reordering, since each knows its own share of the
//! numbers: what is late is then taken as many times as there are workers.

use crate::wire::PATH_SEQUENCE_MASK;

/// Time between two readings, ns.
pub const NOTE_NS: u64 = 100_000_000;
/// A silence after which large steps say nothing, ns; see [`crate::window::RESTART_STEP`].
pub const SILENCE_NS: u64 = 1_000_000_000;
/// The largest step after a silence that is taken for loss. A sender that starts anew begins by chance within so many
/// numbers ahead once in 4,096 times.
pub const GAP_MAX: u32 = 4096;
/// How far behind the highest a number may come and still be a late one.
pub const LATE_MAX: u32 = 1 << 16;
/// Readings over which what is missed may still come.
pub const READINGS: usize = 10;
/// How long a piece of the recent past is, ns: what is told of it is one to two of these old.
const RECENT_NS: u64 = 60_000_000_000;

/// Whether a number becomes the highest of those that one worker has received; see [`Reading`].
#[inline(always)]
pub const fn is_ahead(highest: u32, number: u32) -> bool {
    number.wrapping_sub(highest) & PATH_SEQUENCE_MASK <= PATH_SEQUENCE_MASK - LATE_MAX
}

/// What one worker says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Copies received; read before `highest`, which its worker writes first, or a copy would be missed.
    pub received: u64,
    /// Of these, the ones that came after one with a higher number.
    pub late: u64,
    /// The highest of their numbers, 24 bits.
    pub highest: u32,
}

/// Copies, received and lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Received.
    pub received: u64,
    /// Lost.
    pub lost: u64,
}

impl Counts {
    /// Share lost; `None` where nothing was sent.
    pub fn loss(&self) -> Option<f64> {
        let sent = self.received + self.lost;
        (sent > 0).then(|| self.lost as f64 / sent as f64)
    }
}

impl core::ops::Add for Counts {
    type Output = Counts;

    fn add(self, other: Counts) -> Counts {
        Counts { received: self.received + other.received, lost: self.lost + other.lost }
    }
}

/// What arrived of what one worker of one sender put on one path.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Copies that each of our workers had received at the last reading.
    read: Vec<u64>,
    counts: Counts,
    /// The highest number.
    highest: u32,
    /// Copies that must have come if none was lost.
    expected: u64,
    /// By how many fewer had come, and how many had come late, at the last readings.
    deficits: [(u64, u64); READINGS],
    at: usize,
    /// When the last copy came.
    heard_ns: u64,
    /// The counts when the present and the former piece of the recent past began.
    marks: [Counts; 2],
    marked_ns: u64,
}

impl Tally {
    /// Takes a reading of each worker, in the same order every time, at most every [`NOTE_NS`].
    pub fn note(&mut self, now_ns: u64, readings: impl Iterator<Item = Reading>) {
        if now_ns.saturating_sub(self.marked_ns) >= RECENT_NS {
            self.marks = [self.counts, self.marks[0]];
            self.marked_ns = now_ns;
        }
        let (mut received, mut late, mut workers, mut front) = (0, 0, 0, None);
        for (worker, reading) in readings.enumerate() {
            (late, workers) = (late + reading.late, workers + 1);
            if self.read.len() <= worker {
                self.read.push(0);
            }
            let before = core::mem::replace(&mut self.read[worker], reading.received);
            received += reading.received;
            if before != reading.received {
                let other = front.unwrap_or(reading.highest);
                front = Some(if step(other, reading.highest) > 0 { reading.highest } else { other });
            }
        }
        if let Some(front) = front {
            self.advance(now_ns, front, received);
        }
        let mut deficit = self.expected.saturating_sub(self.counts.received);
        if deficit < self.counts.lost {
            deficit = self.counts.lost;
            self.expected = self.counts.received + deficit;
        }
        self.deficits[self.at] = (deficit, late);
        self.at = (self.at + 1) % READINGS;
        let (_, before) = self.deficits[self.at];
        let least = self.deficits.iter().map(|(deficit, _)| *deficit).min().unwrap_or(0);
        self.counts.lost = self.counts.lost.max(least.saturating_sub((late - before) * workers));
    }

    /// Since the start.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Copies that the sender has numbered so far, as far as the last reading tells: those that are not received are lost or late.
    pub fn numbered(&self) -> u64 {
        self.expected.max(self.counts.received)
    }

    /// Of the last one to two minutes.
    pub fn recent(&self) -> Counts {
        let [_, before] = self.marks;
        Counts { received: self.counts.received - before.received, lost: self.counts.lost - before.lost }
    }

    /// When the last copy came, ns, as far as readings can tell; 0 if none has.
    pub fn heard_ns(&self) -> u64 {
        self.heard_ns
    }

    /// More was received, and the highest number is this one.
    fn advance(&mut self, now_ns: u64, front: u32, received: u64) {
        let is_first = self.counts.received == 0;
        let silent = now_ns.saturating_sub(self.heard_ns) >= SILENCE_NS;
        self.counts.received = received;
        self.heard_ns = now_ns;
        let step = step(self.highest, front);
        if is_first || silent && !(-(LATE_MAX as i32)..=GAP_MAX as i32).contains(&step) {
            self.expected = received + self.counts.lost;
            self.highest = front;
        } else if step > 0 {
            self.expected += step as u64;
            self.highest = front;
        }
    }
}

/// How far one number is ahead of another, at most half of all numbers either way.
fn step(from: u32, to: u32) -> i32 {
    ((to.wrapping_sub(from) << 8) as i32) >> 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Some workers, and what they have counted.
    struct Rig {
        tally: Tally,
        workers: Vec<Reading>,
        now_ns: u64,
    }

    impl Rig {
        fn new(workers: usize) -> Rig {
            Rig { tally: Tally::default(), workers: vec![Reading::default(); workers], now_ns: 0 }
        }

        fn receive(&mut self, worker: usize, number: u64) {
            let reading = &mut self.workers[worker];
            let number = number as u32 & PATH_SEQUENCE_MASK;
            if reading.received == 0 || is_ahead(reading.highest, number) {
                reading.highest = number;
            } else {
                reading.late += 1;
            }
            reading.received += 1;
        }

        fn read(&mut self, times: usize) -> Counts {
            for _ in 0..times {
                self.now_ns += NOTE_NS;
                self.tally.note(self.now_ns, self.workers.iter().copied());
            }
            self.tally.counts()
        }
    }

    #[test]
    fn each_path_of_a_perfect_pair_has_lost_nothing_and_a_lossy_one_its_own_share() {
        // Both copies of every packet; the second path's sequence is its own, and loses every tenth.
        let (mut good, mut bad) = (Rig::new(2), Rig::new(2));
        for number in 0..100_000u64 {
            good.receive((number % 2) as usize, 16_700_000 + number);
            if number % 10 != 3 {
                bad.receive((number % 2) as usize, 123 + number);
            }
            if number % 1000 == 0 {
                good.read(1);
                bad.read(1);
            }
        }
        assert_eq!(good.read(READINGS), Counts { received: 100_000, lost: 0 });
        let Counts { received, lost } = bad.read(READINGS);
        assert_eq!((received, lost), (90_000, 10_000));
        assert_eq!(bad.tally.recent().loss(), Some(0.1));
    }

    #[test]
    fn a_restart_and_a_long_silence_are_no_loss_but_a_short_cut_is() {
        let mut rig = Rig::new(1);
        (0..1000).for_each(|number| rig.receive(0, number));
        rig.read(1);
        // Cut for half a second at 10,000/s.
        (6000..7000).for_each(|number| rig.receive(0, number));
        assert_eq!(rig.read(READINGS), Counts { received: 2000, lost: 5000 });
        // The sender starts anew, somewhere.
        for start in [3_000_000, 15_000_000, 6900, 12_000_000, 7_001_000] {
            rig.read(20);
            (start..start + 1000).for_each(|number| rig.receive(0, number));
            assert_eq!(rig.read(READINGS).lost, 5000, "{start}");
        }
        // A little that was lost before or during a silence is seen.
        rig.read(20);
        (7_002_100..7_002_200).for_each(|number| rig.receive(0, number));
        assert_eq!(rig.read(READINGS).lost, 5100);
    }

    #[test]
    fn copies_that_come_twice_do_not_hide_what_is_lost_afterwards() {
        let mut rig = Rig::new(1);
        for number in 0..1000 {
            rig.receive(0, number);
            rig.receive(0, number);
        }
        rig.read(2);
        (1000..2000).for_each(|number| rig.receive(0, number));
        rig.read(2);
        (2500..3000).for_each(|number| rig.receive(0, number));
        assert_eq!(rig.read(READINGS).lost, 500);
    }

    proptest! {
        /// Reordering, any start: never more than was lost, and in the end exactly that. With several workers, nearly.
        #[test]
        fn what_is_lost_is_counted_and_nothing_else(
            start in 0u64..1 << 24,
            workers in 1usize..5,
            packets in proptest::collection::vec((0u8..20, 0usize..64, 0usize..5), 2000..3000),
        ) {
            let mut rig = Rig::new(workers);
            let slack = if workers > 1 { 3 } else { 0 };
            // Of the first reading the beginning is not known: nothing is lost or late there.
            (0..100).for_each(|number| rig.receive((number as usize) % workers, start + number));
            rig.read(1);
            let mut line: Vec<(usize, u64, usize)> = Vec::new();
            let (mut lost, mut number) = (0, start + 100);
            for (fate, late, worker) in packets {
                if fate == 0 { lost += 1 } else { line.push((line.len() + late, number, worker % workers)) }
                number += 1;
            }
            // The last ones show that all before were numbered.
            line.push((usize::MAX, number, 0));
            line.sort();
            for (at, (_, number, worker)) in line.into_iter().enumerate() {
                rig.receive(worker, number);
                if at % 50 == 0 {
                    let counted = rig.read(1).lost;
                    prop_assert!(counted <= lost + slack, "{} of {}", counted, lost);
                }
            }
            let counted = rig.read(READINGS).lost;
            prop_assert!(counted.abs_diff(lost) <= slack, "{} of {}", counted, lost);
        }
    }
}
