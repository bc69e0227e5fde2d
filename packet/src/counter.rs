//! A counter that one thread writes and any thread may read.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter with a single writer. Reading is always allowed; adding is a plain load, add and store, since no
/// second thread ever adds to the same counter, so it costs no locked instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`. Only the owning thread may call this.
    #[inline(always)]
    pub fn add(&self, count: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(count), Relaxed);
    }

    /// Sets the value, for gauges. Only the owning thread may call this.
    #[inline(always)]
    pub fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    /// The value now.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
