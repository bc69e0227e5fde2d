//! What a worker's NAT is made from.

use crate::rules::Rules;
use crate::session::Expiry;
use crate::share::{PAIRS, PROTOCOLS};
use packet::Addr;
use packet::rss::Rss;

/// What a [`Nat`](crate::Nat) is made from.
#[derive(Clone, Debug)]
pub struct Config {
    /// Sessions held at most.
    pub sessions_max: usize,
    /// All external addresses of the gateway, IPv4 and IPv6, the same and in the same order on all workers.
    pub pool: Vec<Addr>,
    /// Which of the gateway's workers this is, from 0.
    pub worker: u16,
    /// How many workers share the pool's ports.
    pub workers: u16,
    /// How the gateway's NIC spreads origins' packets over workers, where that is known: ports are chosen by it.
    pub rss: Option<Rss>,
    /// How long sessions live without traffic.
    pub timeouts: Timeouts,
    /// What the operator has decided.
    pub rules: Rules,
    /// Where hash seeds and port choices come from. Must be unpredictable, and different on each worker.
    pub seed: u64,
}

/// How long sessions live without traffic, seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP between the handshake and the second FIN or a RST (RFC 5382 REQ-5: at least 2 h 4 min).
    pub tcp_established: u32,
    /// TCP before that (RFC 5382 REQ-5, RFC 7857 section 2.1: at least 4 min).
    pub tcp_opening: u32,
    /// TCP after that, and after a RST (at least 4 min).
    pub tcp_closing: u32,
    /// UDP (RFC 4787 REQ-5: 5 min by default).
    pub udp: u32,
    /// ICMP echo (RFC 5508 REQ-2: at least 1 min).
    pub icmp: u32,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts { tcp_established: 7440, tcp_opening: 240, tcp_closing: 240, udp: 300, icmp: 60 }
    }
}

/// Why no NAT can be made from a [`Config`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidConfig {
    /// Session numbers are 31 bits wide.
    #[error("sessions must be between 1 and {max}", max = SESSIONS_MAX)]
    Sessions,
    /// The worker's number is not among the workers, or they are more than pairs of ports.
    #[error("the worker's number must be below the number of workers, and that at most {PAIRS}")]
    Worker,
    /// The pool's ports have no room in a table of 2^32 places.
    #[error("the pool has too many addresses")]
    Pool,
    /// A timeout is 0 or too long for the timer's range.
    #[error("timeouts must be between 1 and {max} seconds", max = Expiry::LIFETIME_MAX)]
    Timeout,
}

const SESSIONS_MAX: usize = 1 << 31;

impl Config {
    /// The pool without repetitions, which would hand out a port twice.
    pub(crate) fn distinct_pool(&self) -> Vec<Addr> {
        let mut seen = std::collections::HashSet::new();
        self.pool.iter().copied().filter(|address| seen.insert(*address)).collect()
    }

    pub(crate) fn validate(&self) -> Result<(), InvalidConfig> {
        if !(1..=SESSIONS_MAX).contains(&self.sessions_max) {
            return Err(InvalidConfig::Sessions);
        }
        if self.worker >= self.workers || self.workers > PAIRS {
            return Err(InvalidConfig::Worker);
        }
        let spaces = self.pool.len() * PROTOCOLS;
        if self.pool.len() >= u16::MAX as usize
            || spaces.saturating_mul(PAIRS.div_ceil(self.workers) as usize * 2) >= u32::MAX as usize
        {
            return Err(InvalidConfig::Pool);
        }
        let Timeouts { tcp_established, tcp_opening, tcp_closing, udp, icmp } = self.timeouts;
        for timeout in [tcp_established, tcp_opening, tcp_closing, udp, icmp] {
            if !(1..=Expiry::LIFETIME_MAX).contains(&timeout) {
                return Err(InvalidConfig::Timeout);
            }
        }
        Ok(())
    }
}
