//! The session-reflector, stateful (RFC 8762 section 4.3): it numbers what it sends back.

use super::stamp::{ERROR_ESTIMATE, Reflected, Test, Timestamp};
use crate::allowance::Allowance;

/// Packets that may come in one interval, and at once.
const RECEIVED_PER_INTERVAL: u64 = 4;
const RECEIVED_AT_ONCE: u64 = 64;

/// One session's reflector.
#[derive(Clone, Debug)]
pub struct Reflector {
    next: u32,
    allowance: Allowance,
}

impl Reflector {
    /// A reflector for a sender that sends at this interval, ns.
    pub fn new(interval_ns: u64) -> Reflector {
        let allowance = Allowance::new(interval_ns / RECEIVED_PER_INTERVAL, RECEIVED_AT_ONCE);
        Reflector { next: 0, allowance }
    }

    /// Answers a test packet, which came with this TTL at this time, ns since 1970; `None` where too many come.
    pub fn reflect(&mut self, now_ns: u64, unix_ns: u64, ttl: u8, test: &Test) -> Option<Reflected> {
        if !self.allowance.take(now_ns) {
            return None;
        }
        let sequence = self.next;
        self.next = self.next.wrapping_add(1);
        Some(Reflected {
            sequence,
            timestamp: Timestamp::from_unix_ns(unix_ns),
            error: ERROR_ESTIMATE,
            session: test.session,
            received: Timestamp::from_unix_ns(unix_ns),
            sender_sequence: test.sequence,
            sender_timestamp: test.timestamp,
            sender_error: test.error,
            sender_ttl: ttl,
        })
    }
}
