//! What one path loses now, from its receiver's counts: quick to see a spell of losses, never alarmed by one packet.
//!
//! Counts grow from report to report, so one that gets lost changes nothing but the time. A loss counts over the shorter window in which
//! there is enough of it: a spell shows in some tens of milliseconds at a thousand packets a second, a little loss in seconds.

/// Windows, ms.
const WINDOWS_MS: [u64; 2] = [200, 2_000];
/// Losses that a window must have: fewer are chance.
const LOST_MIN: i64 = 3;
/// Packets of the longest window that say that nothing is lost.
const NUMBERED_MIN: u64 = 20;
/// How long a path on which nothing is sent is taken for what it was, ms.
const REMEMBERED_MS: u64 = 10_000;
/// Reports that are remembered: those of the longest window, and some more.
const REPORTS: usize = 128;

#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    at_ms: u64,
    numbered: u32,
    /// Fewer than none where late ones came.
    lost: i32,
}

/// One path to one node.
#[derive(Clone, Debug)]
pub struct Spell {
    pieces: Box<[Piece]>,
    next: usize,
    /// Of the last report: the receiver's life, and its counts.
    before: Option<(u32, u32, u32)>,
    ppm: u32,
    /// When the path was measured last, ms.
    known_ms: u64,
}

impl Default for Spell {
    fn default() -> Spell {
        let pieces = vec![Piece::default(); REPORTS].into_boxed_slice();
        Spell { pieces, next: 0, before: None, ppm: 0, known_ms: 0 }
    }
}

impl Spell {
    /// A report: packets that were numbered on the path so far, and those that came, modulo 2³².
    pub fn take(&mut self, now_ms: u64, life: u32, numbered: u32, received: u32) {
        let before = self.before.replace((life, numbered, received));
        // The first report of a life says where it begins.
        let Some((_, numbered_before, received_before)) = before.filter(|(of, ..)| *of == life) else {
            return;
        };
        let (numbered, received) =
            (numbered.wrapping_sub(numbered_before), received.wrapping_sub(received_before));
        if numbered as i32 <= 0 && received as i32 <= 0 {
            // An older report that came later, or nothing new.
            if (numbered as i32) < 0 {
                self.before = before;
            }
            return;
        }
        let lost = numbered.wrapping_sub(received) as i32;
        if let Some(piece) = self.pieces.get_mut(self.next) {
            *piece = Piece { at_ms: now_ms, numbered, lost };
        }
        self.next = (self.next + 1) % REPORTS;
    }

    /// What the path loses now, parts per million.
    pub fn ppm(&mut self, now_ms: u64) -> u32 {
        let (mut worst, mut numbered_of_longest) = (0, 0);
        for window_ms in WINDOWS_MS {
            let within =
                |piece: &&Piece| piece.numbered > 0 && now_ms.saturating_sub(piece.at_ms) < window_ms;
            let (mut numbered, mut lost) = (0u64, 0i64);
            for piece in self.pieces.iter().filter(within) {
                (numbered, lost) = (numbered + u64::from(piece.numbered), lost + i64::from(piece.lost));
            }
            if lost >= LOST_MIN {
                worst = worst.max((lost as u64).saturating_mul(1_000_000) / numbered.max(1)).min(1_000_000);
            }
            numbered_of_longest = numbered;
        }
        if worst > 0 || numbered_of_longest >= NUMBERED_MIN {
            (self.ppm, self.known_ms) = (worst as u32, now_ms);
        } else if now_ms.saturating_sub(self.known_ms) >= REMEMBERED_MS {
            self.ppm = 0;
        }
        self.ppm
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reports every 20 ms of a thousand packets a second, from a time to another; `lost` of each twenty.
    fn report(spell: &mut Spell, counts: &mut (u32, u32), ms: std::ops::Range<u64>, lost: u32) {
        for at in ms.step_by(20) {
            *counts = (counts.0.wrapping_add(20), counts.1.wrapping_add(20 - lost));
            spell.take(at, 7, counts.0, counts.1);
        }
    }

    #[test]
    fn a_spell_is_seen_in_the_next_report_and_its_end_in_two_seconds() {
        let (mut spell, mut counts) = (Spell::default(), (u32::MAX - 5_000, u32::MAX - 5_000));
        report(&mut spell, &mut counts, 0..10_000, 0);
        assert_eq!(spell.ppm(10_000), 0);
        report(&mut spell, &mut counts, 10_000..10_020, 4);
        assert_eq!(spell.ppm(10_000), 20_000, "4 of 200");
        report(&mut spell, &mut counts, 10_020..10_200, 4);
        assert_eq!(spell.ppm(10_190), 200_000);
        report(&mut spell, &mut counts, 10_200..12_300, 0);
        assert_eq!(spell.ppm(12_290), 0);
    }

    #[test]
    fn one_packet_alarms_nobody_and_late_ones_are_no_loss() {
        let (mut spell, mut counts) = (Spell::default(), (0, 0));
        report(&mut spell, &mut counts, 0..1_000, 0);
        report(&mut spell, &mut counts, 1_000..1_020, 2);
        assert_eq!(spell.ppm(1_010), 0);
        // They were only late.
        counts.1 += 2;
        report(&mut spell, &mut counts, 1_020..1_040, 1);
        assert_eq!(spell.ppm(1_030), 0);
    }

    #[test]
    fn lost_and_late_reports_change_only_the_time() {
        let mut spell = Spell::default();
        spell.take(0, 1, 1_000, 1_000);
        spell.take(100, 1, 1_300, 1_270);
        assert_eq!(spell.ppm(100), 100_000);
        spell.take(110, 1, 1_200, 1_190);
        spell.take(120, 1, 1_400, 1_370);
        assert_eq!(spell.ppm(120), 75_000);
        // The receiver starts anew: that is no loss.
        spell.take(3_000, 2, 5, 5);
        spell.take(3_020, 2, 105, 105);
        assert_eq!(spell.ppm(3_020), 0);
    }

    #[test]
    fn a_path_that_is_not_used_is_remembered_for_a_while() {
        let (mut spell, mut counts) = (Spell::default(), (0, 0));
        report(&mut spell, &mut counts, 0..1_000, 4);
        assert_eq!([spell.ppm(1_000), spell.ppm(10_000), spell.ppm(13_000)], [200_000, 200_000, 0]);
    }
}
