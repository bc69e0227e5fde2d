//! What each path contributes to a stream: counted in the stream's own cache line for the two paths that nearly every
//! stream has, beside it for two more.

use crate::window::Verdict;

/// Paths of a stream that are told apart. What comes over more is counted with the last.
pub const SHARES: usize = 4;
/// Paths that are counted in the stream's own cache line.
pub const NEAR: usize = 2;

/// No path yet.
const FREE: u16 = u16::MAX;

/// One path's counts since they were last taken.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Share {
    /// The path, by the caller's number for it.
    pub path: u16,
    rogue: u16,
    passed: u32,
    discarded: u32,
    out_of_order: u32,
}

impl Default for Share {
    fn default() -> Share {
        Share { path: FREE, rogue: 0, passed: 0, discarded: 0, out_of_order: 0 }
    }
}

/// A path's counts, packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PathCounts {
    /// First copies that came over it.
    pub passed: u64,
    /// Of these, the ones that came after a younger packet.
    pub out_of_order: u64,
    /// Further copies.
    pub discarded: u64,
    /// Copies older than the window.
    pub rogue: u64,
}

impl Share {
    /// Whether a path is counted here.
    pub fn is_taken(&self) -> bool {
        self.path != FREE
    }

    /// Counts a copy by its verdict.
    #[inline(always)]
    pub fn count(&mut self, verdict: Verdict) {
        match verdict {
            Verdict::Pass => self.passed = self.passed.wrapping_add(1),
            Verdict::PassOutOfOrder => {
                self.passed = self.passed.wrapping_add(1);
                self.out_of_order = self.out_of_order.wrapping_add(1);
            }
            Verdict::Discard => self.discarded = self.discarded.wrapping_add(1),
            Verdict::Rogue => self.rogue = self.rogue.saturating_add(1),
        }
    }

    /// What has been counted since the last time.
    pub fn counts(&self) -> PathCounts {
        PathCounts {
            passed: self.passed.into(),
            out_of_order: self.out_of_order.into(),
            discarded: self.discarded.into(),
            rogue: self.rogue.into(),
        }
    }

    /// The same, and begins again from 0.
    pub fn take(&mut self) -> PathCounts {
        let counts = self.counts();
        *self = Share { path: self.path, ..Share::default() };
        counts
    }
}

/// The place of a path in the stream that stands `at` among all, made if it has none; the last one is everybody's.
#[inline(always)]
pub fn share<'a>(
    near: &'a mut [Share; NEAR],
    far: &'a mut [[Share; SHARES - NEAR]],
    at: usize,
    path: u16,
) -> &'a mut Share {
    let [first, second] = near;
    if first.path == path {
        first
    } else if second.path == path {
        second
    } else {
        search(first, second, far.get_mut(at), path)
    }
}

#[cold]
fn search<'a>(
    first: &'a mut Share,
    second: &'a mut Share,
    far: Option<&'a mut [Share; SHARES - NEAR]>,
    path: u16,
) -> &'a mut Share {
    // Every stream has those.
    let Some([third, last]) = far else { return second };
    for place in [first, second, third] {
        if place.path == FREE {
            place.path = path;
        }
        if place.path == path {
            return place;
        }
    }
    if last.path == FREE {
        last.path = path;
    }
    last
}

impl core::ops::AddAssign for PathCounts {
    fn add_assign(&mut self, other: PathCounts) {
        self.passed += other.passed;
        self.out_of_order += other.out_of_order;
        self.discarded += other.discarded;
        self.rogue += other.rogue;
    }
}
