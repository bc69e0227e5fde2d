//! What became of each protocol's packets.

use crate::sim::MILLISECOND;
use std::collections::BTreeMap;

/// Latencies are counted in steps of so many ns.
const STEP_NS: u64 = MILLISECOND / 10;

/// A protocol's packets.
#[derive(Clone, Debug, Default)]
pub struct Score {
    /// Sent by clients.
    pub sent: u64,
    /// Delivered to origins.
    pub delivered: u64,
    /// Bytes of these, as clients sent them.
    sent_bytes: u64,
    /// Bytes that left the sender, with all headers from IP on.
    left_bytes: u64,
    /// Bytes over all lines.
    line_bytes: u64,
    /// From client to origin, by flow: how many packets took so many steps.
    latencies: Vec<BTreeMap<u64, u64>>,
    /// When a packet was last delivered, by flow, ns.
    last_ns: Vec<Option<u64>>,
    longest_gap_ns: u64,
}

impl Score {
    /// Nothing sent.
    pub fn new(flows: usize) -> Score {
        Score { last_ns: vec![None; flows], latencies: vec![BTreeMap::new(); flows], ..Score::default() }
    }

    /// A client sent a packet.
    pub fn sent(&mut self, bytes: usize) {
        self.sent += 1;
        self.sent_bytes += bytes as u64;
    }

    /// Something went on a line; whether it was its first.
    pub fn carried(&mut self, bytes: usize, first: bool) {
        self.line_bytes += bytes as u64;
        self.left_bytes += if first { bytes as u64 } else { 0 };
    }

    /// A packet reached its origin.
    pub fn delivered(&mut self, now_ns: u64, sent_ns: u64, flow: usize) {
        self.delivered += 1;
        *self.latencies[flow].entry((now_ns - sent_ns) / STEP_NS).or_default() += 1;
        if let Some(last_ns) = self.last_ns[flow].replace(now_ns) {
            self.longest_gap_ns = self.longest_gap_ns.max(now_ns - last_ns);
        }
    }

    /// Adds another run's, whose flows are others.
    pub fn merge(&mut self, other: &Score) {
        self.sent += other.sent;
        self.delivered += other.delivered;
        self.sent_bytes += other.sent_bytes;
        self.left_bytes += other.left_bytes;
        self.line_bytes += other.line_bytes;
        self.latencies.extend(other.latencies.iter().cloned());
        self.longest_gap_ns = self.longest_gap_ns.max(other.longest_gap_ns);
    }

    /// The share that was not delivered.
    pub fn residual(&self) -> f64 {
        (self.sent - self.delivered) as f64 / self.sent.max(1) as f64
    }

    /// Bytes that left the sender for each byte that came to it.
    pub fn bandwidth(&self) -> f64 {
        self.left_bytes as f64 / self.sent_bytes.max(1) as f64
    }

    /// Bytes over all lines for each byte that came to the sender.
    pub fn line_bandwidth(&self) -> f64 {
        self.line_bytes as f64 / self.sent_bytes.max(1) as f64
    }

    /// A percentile of latency, ms: of each flow for itself, whose mean is told, for some flows go further than others.
    pub fn latency_ms(&self, percent: u64) -> f64 {
        let flows = self.latencies.iter().filter(|latencies| !latencies.is_empty());
        let of_flow = |latencies: &BTreeMap<u64, u64>| {
            let mut below = latencies.values().sum::<u64>() * percent / 100;
            for (steps, count) in latencies {
                if below < *count {
                    return *steps;
                }
                below -= count;
            }
            0
        };
        let (count, steps) = flows.fold((0u64, 0), |(count, sum), flow| (count + 1, sum + of_flow(flow)));
        (steps * STEP_NS) as f64 / count.max(1) as f64 / MILLISECOND as f64
    }

    /// The longest time without a packet of a flow, ms.
    pub fn gap_ms(&self) -> u64 {
        self.longest_gap_ns / MILLISECOND
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_lost_spent_and_waited_for_is_told() {
        let mut score = Score::new(1);
        for packet in 0..10u64 {
            score.sent(100);
            score.carried(150, true);
            score.carried(150, false);
            if packet != 4 {
                score.delivered((packet * 20 + 5 + packet) * MILLISECOND, packet * 20 * MILLISECOND, 0);
            }
        }
        assert!((score.residual() - 0.1).abs() < 1e-9);
        assert_eq!((score.bandwidth(), score.line_bandwidth()), (1.5, 3.0));
        assert_eq!((score.latency_ms(0), score.latency_ms(99)), (5.0, 14.0));
        assert_eq!(score.gap_ms(), 42);
        let once = score.clone();
        score.merge(&once);
        assert_eq!((score.sent, score.delivered, score.bandwidth()), (20, 18, 1.5));
    }
}
