//! What redundancy may cost: a token bucket that data fills and redundancy empties. Data itself is never held back.
//!
//! The bucket is as deep as the share that redundancy may have of some seconds' data at the rate of now: so a short spell of loss may be
//! met with more than the share, as long as it was less before.

/// Credit that there is at any rate, and at the start, bytes.
const FLOOR: u64 = 65_536;
/// How long data fills the bucket before it is full, seconds.
const DEPTH_S: u64 = 5;

/// The bucket of one sender's packets by one worker.
#[derive(Clone, Copy, Debug)]
pub struct Cap {
    /// Bytes, in hundredths: a percent of a byte must not get lost.
    credit: u64,
    second: u64,
    /// Bytes of data in this second and in the one before.
    now: u64,
    before: u64,
}

impl Default for Cap {
    fn default() -> Cap {
        Cap { credit: FLOOR * 100, second: 0, now: 0, before: 0 }
    }
}

impl Cap {
    /// Takes note of data of so many bytes, of which redundancy may have a share.
    #[inline]
    pub fn data(&mut self, now_s: u64, bytes: usize, extra_percent: u16) {
        let bytes = bytes as u64;
        if now_s != self.second {
            self.before = if now_s == self.second.wrapping_add(1) { self.now } else { 0 };
            (self.second, self.now) = (now_s, 0);
        }
        self.now = self.now.saturating_add(bytes);
        let share = u64::from(extra_percent);
        let depth = self.now.max(self.before).saturating_mul(share * DEPTH_S).max(FLOOR * 100);
        // At a lower rate the bucket is smaller; what is in it is not taken away at once, but nothing comes in.
        if self.credit < depth {
            self.credit = (self.credit + bytes * share).min(depth);
        }
    }

    /// Whether so many bytes of redundancy may be sent; they are taken then.
    #[inline]
    pub fn take(&mut self, bytes: usize) -> bool {
        let cost = bytes as u64 * 100;
        let may = self.credit >= cost;
        if may {
            self.credit -= cost;
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_saved_is_there_for_a_spell() {
        let mut cap = Cap::default();
        // 1,000 packets a second for 20 s, and no redundancy.
        for packet in 0..20_000u64 {
            cap.data(packet / 1000, 1000, 50);
        }
        // Two copies of each: twice the data, four times what the share allows. It lasts for two seconds.
        let copied = (20_000..30_000u64).take_while(|packet| {
            cap.data(packet / 1000, 1000, 50);
            cap.take(2000)
        });
        let copied = copied.count();
        assert!((1_500..2_500).contains(&copied), "{copied}");
    }

    #[test]
    fn nothing_is_allowed_where_the_share_is_nothing() {
        let mut cap = Cap::default();
        let mut sent = 0;
        for packet in 0..10_000u64 {
            cap.data(packet / 100, 500, 0);
            sent += if cap.take(500) { 500 } else { 0 };
        }
        assert!(sent <= FLOOR, "{sent}");
    }

    proptest! {
        /// Whatever is sent when: from the start on, and from any packet on, redundancy is within its share of the data and the bucket.
        #[test]
        fn redundancy_is_never_above_its_share(
            packets in proptest::collection::vec((0u64..3, 1usize..1500, 0usize..3), 1..2000),
            extra_percent in 0u16..=200,
            from in 0usize..2000,
        ) {
            let mut cap = Cap::default();
            let (mut now_s, mut data, mut extra) = (0, 0u64, 0u64);
            let (mut later_data, mut later_extra, mut fastest) = (0u64, 0u64, 0u64);
            let mut second = (0, 0u64);
            for (at, (step, len, copies)) in packets.into_iter().enumerate() {
                now_s += step / 2;
                second = if second.0 == now_s { (now_s, second.1 + len as u64) } else { (now_s, len as u64) };
                fastest = fastest.max(second.1);
                cap.data(now_s, len, extra_percent);
                data += len as u64;
                later_data += if at >= from { len as u64 } else { 0 };
                for _ in 0..copies {
                    if cap.take(len) {
                        extra += len as u64;
                        later_extra += if at >= from { len as u64 } else { 0 };
                    }
                }
            }
            let share = u64::from(extra_percent);
            prop_assert!(extra * 100 <= data * share + FLOOR * 100);
            let depth = (fastest * share * DEPTH_S).max(FLOOR * 100);
            prop_assert!(later_extra * 100 <= later_data * share + depth);
        }
    }
}
