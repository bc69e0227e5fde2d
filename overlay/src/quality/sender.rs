//! The session-sender of one path (RFC 8762 section 4.2), and what its answers say.
//!
//! A packet that is not answered within a second is lost, and one that was overtaken by far counts as lost until its answer comes after
//! all. In which direction, the reflector's own numbers tell: what is
//! missing among them was lost on the way back, the rest on the way there. Packets that arrive in another order are
//! not missed, since both numberings are looked up and never compared with the last one.

use super::stamp::{ERROR_ESTIMATE, Reflected, Test, Timestamp};
use super::stats::Stats;
use crate::window::{Verdict, Window, words_for};

/// Packets remembered: a second's worth at the shortest interval, and as many again. A power of two.
const SLOTS: usize = 256;
/// An answer that takes longer comes too late, ns.
pub const ANSWER_NS_MAX: u64 = 1_000_000_000;
/// A packet is overtaken when one is answered that was sent so many intervals later,
const OVERTAKEN: u64 = 3;
/// and so long, ns: beyond what reordering does as a rule.
const OVERTAKEN_NS_MIN: u64 = 50_000_000;
/// Shortest interval, ns: then all packets of [`ANSWER_NS_MAX`] have a slot, jitter included.
pub const INTERVAL_NS_MIN: u64 = 10_000_000;
/// How far the reflector's numbering may be behind the sender's before it must have started anew: beyond what
/// reordering does.
const REORDERED_MAX: u32 = 64;

/// What an operator chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Interval between packets, ns, at least [`INTERVAL_NS_MIN`].
    pub interval_ns: u64,
    /// Packets in a row that must be without an answer before the path is dead.
    pub multiplier: u8,
}

/// Why an answer counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It answers no packet of this session: another path's, another life's, or nobody's.
    #[error("it answers no packet of this session")]
    NotOurs,
    /// It comes too late, or once more.
    #[error("that packet is answered or given up")]
    Late,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    sequence: u32,
    timestamp: Timestamp,
    sent_ns: u64,
    answered: bool,
}

/// One session's sender.
#[derive(Clone, Debug)]
pub struct Sender {
    settings: Settings,
    session: u16,
    next: u32,
    /// The first packet that is neither answered and counted nor given up.
    oldest: u32,
    slots: Box<[Slot]>,
    due_ns: u64,
    /// When the last answer came.
    heard_ns: Option<u64>,
    returns: Returns,
    forward: Variation,
    backward: Variation,
    stats: Stats,
}

impl Sender {
    /// A sender that sends its first packet at once; `session` is the number that its packets bear.
    pub fn new(now_ns: u64, settings: Settings, session: u16) -> Sender {
        Sender {
            settings: sound(settings),
            session,
            next: 0,
            oldest: 0,
            slots: vec![Slot::default(); SLOTS].into_boxed_slice(),
            due_ns: now_ns,
            heard_ns: None,
            returns: Returns::default(),
            forward: Variation::default(),
            backward: Variation::default(),
            stats: Stats::new(now_ns),
        }
    }

    /// Takes other settings over.
    pub fn configure(&mut self, settings: Settings) {
        self.settings = sound(settings);
    }

    /// The next packet, when one is due; `unix_ns` is the time since 1970, `random` a new random number.
    pub fn poll(&mut self, now_ns: u64, unix_ns: u64, random: u64) -> Option<Test> {
        self.give_up(now_ns);
        self.stats.turn(now_ns);
        if now_ns < self.due_ns {
            return None;
        }
        // Jittered like BFD's packets, for the same reasons: see `bfd::session`.
        let interval_ns = self.settings.interval_ns;
        let jitter_ns = (interval_ns * 15 / 100).saturating_mul(random & 0xffff) / 0x1_0000;
        self.due_ns = now_ns + interval_ns - interval_ns / 10 - jitter_ns;
        if self.next.wrapping_sub(self.oldest) as usize >= SLOTS {
            self.finish_oldest();
        }
        let sequence = self.next;
        self.next = self.next.wrapping_add(1);
        let timestamp = Timestamp::from_unix_ns(unix_ns);
        if let Some(slot) = self.slots.get_mut(place(sequence)) {
            *slot = Slot { sequence, timestamp, sent_ns: now_ns, answered: false };
        }
        Some(Test { sequence, timestamp, error: ERROR_ESTIMATE, session: self.session })
    }

    /// A reflected packet that came over this session's path.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then but, for an answer that came more than once, the reflector's count.
    pub fn handle(&mut self, now_ns: u64, unix_ns: u64, answer: &Reflected) -> Result<(), Refusal> {
        self.give_up(now_ns);
        let sequence = answer.sender_sequence;
        let slot = self.slots.get_mut(place(sequence)).ok_or(Refusal::NotOurs)?;
        let is_ours = slot.sequence == sequence
            && slot.timestamp == answer.sender_timestamp
            && self.next.wrapping_sub(sequence).wrapping_sub(1) < SLOTS as u32
            && answer.session == self.session;
        if !is_ours {
            return Err(Refusal::NotOurs);
        }
        let is_open = now_ns.saturating_sub(slot.sent_ns) < ANSWER_NS_MAX;
        // A packet from before `oldest` is counted; the wrapped difference is then huge.
        let is_counted = sequence.wrapping_sub(self.oldest) >= SLOTS as u32;
        if is_open {
            self.returns.note(answer.sequence, sequence);
            self.stats.counts.reflected = self.returns.reflected();
            self.stats.counts.returned = self.returns.returned;
        }
        if slot.answered || !is_open {
            return Err(Refusal::Late);
        }
        slot.answered = true;
        // It was overtaken, and counted as lost.
        self.stats.counts.answered += u64::from(is_counted);
        let sent_ns = slot.sent_ns;
        self.heard_ns = Some(now_ns);
        let at_reflector_ns = answer.timestamp.since(answer.received).max(0) as u64;
        self.stats.add_round_trip(now_ns.saturating_sub(sent_ns).saturating_sub(at_reflector_ns));
        let there_ns = answer.received.since(answer.sender_timestamp);
        let back_ns = Timestamp::from_unix_ns(unix_ns).since(answer.timestamp);
        if let Some(ns) = self.forward.next(sequence, there_ns) {
            self.stats.add_variation(true, ns);
        }
        if let Some(ns) = self.backward.next(answer.sequence, back_ns) {
            self.stats.add_variation(false, ns);
        }
        self.overtake(sent_ns);
        Ok(())
    }

    /// When [`Sender::poll`] has a packet, ns.
    pub fn timeout(&self) -> u64 {
        self.due_ns
    }

    /// When the path is dead unless an answer comes, ns; `None` before the first.
    pub fn deadline_ns(&self) -> Option<u64> {
        let detection_ns = self.settings.interval_ns.saturating_mul(self.settings.multiplier.into());
        self.heard_ns.map(|heard| heard.saturating_add(detection_ns))
    }

    /// Whether the path lives; `None` before the first answer.
    pub fn is_alive(&self, now_ns: u64) -> Option<bool> {
        self.deadline_ns().map(|deadline| now_ns < deadline)
    }

    /// What is known about the path.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Counts packets whose time is over.
    fn give_up(&mut self, now_ns: u64) {
        while self.oldest != self.next
            && self
                .slots
                .get(place(self.oldest))
                .is_some_and(|slot| now_ns.saturating_sub(slot.sent_ns) >= ANSWER_NS_MAX)
        {
            self.finish_oldest();
        }
    }

    /// Counts packets that are answered, and those that were overtaken by the answer to one that was sent at this time. So losses are known
    /// as soon as something comes back, not only after [`ANSWER_NS_MAX`].
    fn overtake(&mut self, sent_ns: u64) {
        let ahead_ns = self.settings.interval_ns.saturating_mul(OVERTAKEN).max(OVERTAKEN_NS_MIN);
        let overtaken_ns = sent_ns.saturating_sub(ahead_ns);
        while self.oldest != self.next
            && self
                .slots
                .get(place(self.oldest))
                .is_some_and(|slot| slot.answered || slot.sent_ns < overtaken_ns)
        {
            self.finish_oldest();
        }
    }

    fn finish_oldest(&mut self) {
        let answered = self.slots.get(place(self.oldest)).is_some_and(|slot| slot.answered);
        self.stats.counts.sent += 1;
        self.stats.counts.answered += u64::from(answered);
        self.oldest = self.oldest.wrapping_add(1);
    }
}

fn place(sequence: u32) -> usize {
    sequence as usize % SLOTS
}

fn sound(settings: Settings) -> Settings {
    Settings {
        interval_ns: settings.interval_ns.max(INTERVAL_NS_MIN),
        multiplier: settings.multiplier.max(1),
    }
}

/// Which of the reflector's numbers have come back.
#[derive(Clone, Debug)]
struct Returns {
    window: Window,
    ring: Box<[u64]>,
    /// What the reflector's number 0 of its present life is here, and the first number of that life that came.
    base: u64,
    first: u64,
    /// The highest number so far, and the sender's number that it answered.
    highest: Option<(u64, u32)>,
    /// Packets that earlier lives of the reflector sent back.
    earlier: u64,
    returned: u64,
}

impl Default for Returns {
    fn default() -> Returns {
        let ring = vec![0; words_for(SLOTS)].into_boxed_slice();
        // Room below for numbers that wrap, and for what comes before the first.
        let base = 1 << 32;
        Returns { window: Window::default(), ring, base, first: base, highest: None, earlier: 0, returned: 0 }
    }
}

impl Returns {
    fn note(&mut self, sequence: u32, sender_sequence: u32) {
        let (highest, answered) = match self.highest {
            Some(highest) => highest,
            None => {
                self.first = self.base + u64::from(sequence);
                (self.first, sender_sequence)
            }
        };
        let step = sequence.wrapping_sub((highest - self.base) as u32) as i32;
        let ahead = sender_sequence.wrapping_sub(answered) as i32;
        if step < 0 && ahead > REORDERED_MAX as i32 || step > SLOTS as i32 + ahead.max(0) {
            // It counts from the start again, or jumps where no packet of ours has led it.
            return self.restart(sequence, sender_sequence);
        }
        let number = highest.saturating_add_signed(i64::from(step));
        self.first = self.first.min(number);
        if number >= highest {
            self.highest = Some((number, sender_sequence));
        }
        match self.window.look(&self.ring, SLOTS as u64, number) {
            Verdict::Pass | Verdict::PassOutOfOrder => {
                self.window.mark(&mut self.ring, number);
                self.returned += 1;
            }
            Verdict::Discard | Verdict::Rogue => {}
        }
    }

    /// Begins the numbers of another life of the reflector.
    fn restart(&mut self, sequence: u32, sender_sequence: u32) {
        self.earlier = self.reflected();
        let base = self.base;
        *self = Returns { earlier: self.earlier, returned: self.returned, ..Returns::default() };
        self.base = base;
        self.note(sequence, sender_sequence);
    }

    fn reflected(&self) -> u64 {
        self.earlier + self.highest.map_or(0, |(highest, _)| highest + 1 - self.first)
    }
}

/// Delay variation between packets that were sent one after the other (RFC 3393 section 2.6, with consecutive packets
/// selected): needs no common clock.
#[derive(Clone, Copy, Debug, Default)]
struct Variation {
    last: Option<(u32, i64)>,
}

impl Variation {
    fn next(&mut self, sequence: u32, delay_ns: i64) -> Option<u64> {
        let last = self.last.replace((sequence, delay_ns))?;
        let follows = last.0.wrapping_add(1) == sequence;
        follows.then(|| delay_ns.saturating_sub(last.1).unsigned_abs())
    }
}

#[cfg(test)]
mod tests;
