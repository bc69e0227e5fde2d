//! Loss reports: any bytes may come as one, and steps follow from what they tell.

use crate::input::Input;
use overlay::adaptive::{Ladder, REPORT_LEN_MAX, Report, Settings, Signs, Spell, Step};

/// What is read is written the same. Then records of tens of milliseconds (1 byte) and a report (104 bytes), whose first paths are those of a
/// sender: whatever is told, no path loses more than everything, and no step is taken back within the recovery time.
pub fn run(data: &[u8]) {
    if let Ok(report) = Report::parse(data) {
        assert_eq!(Report::parse(&report.to_bytes()), Ok(report));
    }
    let settings = Settings { recovery_ms: 1_000, ..Settings::default() };
    let (mut spells, mut ladder) = ([(); 3].map(|()| Spell::default()), Ladder::new(settings));
    let mut input = Input(data);
    let (mut now_ms, mut changed_ms) = (0u64, 0u64);
    while !input.is_empty() {
        now_ms += u64::from(input.byte()) * 10;
        if let Ok(report) = Report::parse(input.take(REPORT_LEN_MAX)) {
            for (entry, spell) in report.entries.iter().zip(&mut spells) {
                spell.take(now_ms, report.life, entry.numbered, entry.received);
            }
        }
        let mut signs = Signs { paths: 3, parity_packets: 8, ..Signs::default() };
        for (ppm, spell) in signs.lost_ppm.iter_mut().zip(&mut spells) {
            *ppm = spell.ppm(now_ms);
            assert!(*ppm <= 1_000_000);
        }
        let before = ladder.step();
        if ladder.look(now_ms, signs) {
            let down = ladder.step() < before;
            assert!(!down || now_ms - changed_ms >= u64::from(settings.recovery_ms));
            changed_ms = now_ms;
        }
        assert!(ladder.step() <= Step::Triple);
    }
}
