//! The present step of an application's redundancy to one destination: the control thread writes it, workers read it packet by packet.

use core::sync::atomic::{AtomicU8, AtomicU16, Ordering::Relaxed};

use overlay::adaptive::Step;

/// What one sender's packets to one destination are sent with. It outlives snapshots, so a change needs none.
#[derive(Debug, Default)]
pub struct StepCell {
    /// Its number among all of a node: workers keep their [caps](overlay::adaptive::Cap) by it.
    number: u16,
    step: AtomicU8,
    extra_percent: AtomicU16,
}

impl StepCell {
    /// A cell with this number: nothing beside the data.
    pub fn new(number: u16) -> StepCell {
        StepCell { number, ..StepCell::default() }
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// The step of now.
    #[inline(always)]
    pub fn step(&self) -> Step {
        Step::of(self.step.load(Relaxed)).unwrap_or_default()
    }

    /// Bytes of redundancy for 100 bytes of data at most.
    #[inline(always)]
    pub fn extra_percent(&self) -> u16 {
        self.extra_percent.load(Relaxed)
    }

    /// Has packets be sent with another step from now on.
    pub fn set(&self, step: Step) {
        self.step.store(step as u8, Relaxed);
    }

    /// Allows redundancy so much.
    pub fn allow(&self, extra_percent: u16) {
        self.extra_percent.store(extra_percent, Relaxed);
    }
}
