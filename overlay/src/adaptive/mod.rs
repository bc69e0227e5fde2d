//! `adaptive`: redundancy by what paths lose, and none where that is not needed.
//!
//! ```text
//!   receiver                              sender
//!   copies counted, path by path ─Report─► Spell (loss of each path now) ─► Ladder ─► Step ─► packets
//!                                          own ports' drops, latency ─────────┘        Cap ──────┘
//! ```
//!
//! A [`Step`] says what is sent beside each packet. The [`Ladder`] climbs to the lowest step that leaves less loss than asked for as soon
//! as a [`Report`] shows that it must, and goes down by a step at a time once a lower one has been enough for the recovery time. Under
//! congestion redundancy is the first to go. A [`Cap`] bounds what it may cost, packet by packet.
//!
//! Nothing of the choice travels: packets bear the protocol's number, and a receiver eliminates whatever comes.

mod cap;
mod ladder;
mod report;
mod spell;

pub use cap::Cap;
pub use ladder::{Ladder, Signs, Why};
pub use report::{Entry, PATHS_MAX, PORT, REPORT_LEN_MAX, Refusal, Report};
pub use spell::Spell;

/// How often a receiver looks what has come, and tells, ms.
pub const REPORT_MS: u64 = 20;
/// Paths that packets take at most.
pub const PATHS: usize = 3;

/// What is sent beside each packet, from the least to the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Step {
    /// Nothing.
    #[default]
    None = 0,
    /// A parity packet now and then, over another path.
    Parity = 1,
    /// A copy over a second path.
    Copy = 2,
    /// Copies over a second and a third path.
    Triple = 3,
}

impl Step {
    /// All of them, from the least to the most.
    pub const ALL: [Step; 4] = [Step::None, Step::Parity, Step::Copy, Step::Triple];

    /// The step of a number.
    #[inline(always)]
    pub const fn of(number: u8) -> Option<Step> {
        match number {
            0 => Some(Step::None),
            1 => Some(Step::Parity),
            2 => Some(Step::Copy),
            3 => Some(Step::Triple),
            _ => None,
        }
    }

    /// Its stable name.
    pub const fn name(self) -> &'static str {
        match self {
            Step::None => "none",
            Step::Parity => "parity",
            Step::Copy => "copy",
            Step::Triple => "triple",
        }
    }

    /// Copies that it sends beyond the first.
    #[inline(always)]
    pub const fn more(self) -> usize {
        match self {
            Step::None | Step::Parity => 0,
            Step::Copy => 1,
            Step::Triple => 2,
        }
    }
}

/// What an operator sets for an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The loss that may be left, parts per million.
    pub target_ppm: u32,
    /// How long a lower step must have been enough before it is taken, ms.
    pub recovery_ms: u32,
    /// Bytes of redundancy for 100 bytes of data at most, in the long run.
    pub extra_percent: u16,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { target_ppm: 5_000, recovery_ms: 10_000, extra_percent: 100 }
    }
}
