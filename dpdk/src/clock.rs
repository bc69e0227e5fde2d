//! Time from the processor's time stamp counter.

use crate::eal::Eal;

/// The time stamp counter.
#[inline(always)]
pub fn cycles() -> u64 {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: reading the counter has no precondition on this architecture.
    unsafe {
        std::arch::x86_64::_rdtsc()
    }
    #[cfg(not(target_arch = "x86_64"))]
    // SAFETY: reading the counter has no precondition.
    unsafe {
        dpdk_sys::proa_cycles()
    }
}

/// Nanoseconds since the clock was made, from the time stamp counter. Copies agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: u64,
    hz: u64,
    /// Nanoseconds per cycle, times 2^32.
    scale: u64,
}

impl Clock {
    /// A clock that starts at zero.
    pub fn new(eal: &Eal) -> Clock {
        let hz = eal.tsc_hz().max(1);
        Clock { start: cycles(), hz, scale: ((1_000_000_000u128 << 32) / u128::from(hz)) as u64 }
    }

    /// Now, ns.
    #[inline(always)]
    pub fn now_ns(&self) -> u64 {
        self.to_ns(cycles().wrapping_sub(self.start))
    }

    /// A number of cycles in ns.
    #[inline(always)]
    pub fn to_ns(&self, cycles: u64) -> u64 {
        ((u128::from(cycles) * u128::from(self.scale)) >> 32) as u64
    }

    /// The counter's frequency, Hz.
    pub fn hz(&self) -> u64 {
        self.hz
    }
}
