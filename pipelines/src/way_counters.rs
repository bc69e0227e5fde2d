//! What a worker counts of data that ends here: for each path, sender, and worker of the sender, of the sender's own
//! numbers on that path. See [`overlay::path_loss`].

use overlay::path_loss::{Reading, is_ahead};
use packet::Counter;

/// Ways that can be counted apart: each worker of each node at the other end of each path. What is beyond is carried
/// all the same, but not counted.
pub const WAYS_MAX: usize = 16_384;

/// One way, in one cache line. The worker alone writes; the control thread reads at any time.
#[derive(Debug, Default)]
#[repr(align(32))]
pub struct WayCounters {
    received: Counter,
    late: Counter,
    highest: Counter,
}

impl WayCounters {
    /// Counts a copy with this number.
    #[inline(always)]
    pub fn count(&self, number: u32) {
        let received = self.received.get();
        // Most numbers are ahead; only of others it is asked whether they are the first.
        if is_ahead(self.highest.get() as u32, number) || received == 0 {
            self.highest.set(number.into());
        } else {
            self.late.add(1);
        }
        // After the highest: who reads in the other order never sees a copy that was not numbered.
        self.received.set(received + 1);
    }

    /// What has been counted.
    pub fn read(&self) -> Reading {
        let received = self.received.get();
        Reading { received, late: self.late.get(), highest: self.highest.get() as u32 }
    }
}
