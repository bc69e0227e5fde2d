//! How large packets may be on a link: packetization layer path MTU discovery (RFC 8899), without help from ICMP.
//!
//! Padded probes are sent to the node at the link's other end, which acknowledges each shortly.
//!
//! ```text
//!              three probes lost, small ones not            all sizes tried
//!   COMPLETE ───────────────────────────────────► SEARCH ──────────────────► COMPLETE
//!   mtu is confirmed over and over   mtu = base,  by halves    raise timer: SEARCH again
//! ```
//!
//! What differs from the RFC's example: a link starts with the MTU that the operator gave its port and is confirmed from
//! then on, instead of starting small; and the probe timer is that of liveness, not 15 s, for nothing else tells within
//! a retransmission timeout that large packets vanish. Its rate is constant and small, as BFD's is. A link that loses
//! everything is no matter of size: a size counts as too large only if the smallest passed at the same time.
//!
//! Pure: time and randomness are passed in. [`Plpmtud::poll`] gives probes to send, [`Plpmtud::handle`] takes
//! acknowledgements.

mod packet;

pub use packet::{ACK_LEN, Ack, PORT, PROBE_LEN, Probe, Refusal};

use crate::topology::IpVersion;

/// Losses of a size after which it counts as too large (RFC 8899 section 5.1.2, MAX_PROBES).
const LOSSES_MAX: u8 = 3;
/// Probes whose acknowledgements are still awaited: late ones count.
const AWAITED: usize = 32;
/// Probes that one step sends at most.
const AT_ONCE: usize = 3;

/// The smallest packet that a link must carry, bytes: RFC 8899's BASE_PLPMTU for IPv4, the least of IPv6 links.
pub const fn base(version: IpVersion) -> u16 {
    match version {
        IpVersion::V4 => 1200,
        IpVersion::V6 => 1280,
    }
}

/// The timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Between probes, and until one counts as lost, nanoseconds.
    pub interval_ns: u64,
    /// Until a larger size is tried again, nanoseconds (RFC 8899 section 5.1.1, PMTU_RAISE_TIMER: 600 s).
    pub raise_ns: u64,
}

/// What is done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The MTU is known.
    Complete,
    /// A size is tried; `too_large` is known not to pass.
    Search { too_large: u16 },
}

#[derive(Clone, Copy, Debug, Default)]
struct Awaited {
    token: u64,
    size: u16,
}

/// One direction of one link.
#[derive(Clone, Debug)]
pub struct Plpmtud {
    settings: Settings,
    base: u16,
    max: u16,
    mtu: u16,
    phase: Phase,
    /// What is probed now.
    size: u16,
    /// Probes of this size in a row without an answer.
    losses: u8,
    /// Whether one is under way.
    probing: bool,
    /// Whether the smallest size has passed since the first of them was lost.
    base_passes: bool,
    next_ns: u64,
    raise_at_ns: u64,
    awaited: [Awaited; AWAITED],
    sent: usize,
    /// Sizes that this step has yet to send.
    due: [u16; AT_ONCE],
    /// Times that the MTU fell.
    black_holes: u64,
}

impl Plpmtud {
    /// A link whose port carries `max` bytes, and `base` at least.
    pub fn new(now_ns: u64, settings: Settings, base: u16, max: u16) -> Plpmtud {
        let base = base.min(max);
        Plpmtud {
            settings,
            base,
            max,
            mtu: max,
            phase: Phase::Complete,
            size: max,
            losses: 0,
            probing: false,
            base_passes: false,
            next_ns: now_ns,
            raise_at_ns: u64::MAX,
            awaited: [Awaited::default(); AWAITED],
            sent: 0,
            due: [0; AT_ONCE],
            black_holes: 0,
        }
    }

    /// Other timers, or another MTU of the port: that starts the search anew.
    pub fn configure(&mut self, now_ns: u64, settings: Settings, max: u16) {
        self.settings = settings;
        if max != self.max {
            let (base, black_holes) = (self.base, self.black_holes);
            *self = Plpmtud { black_holes, ..Plpmtud::new(now_ns, settings, base, max) };
        }
    }

    /// Bytes that a packet may have, its IP header included.
    pub fn mtu(&self) -> u16 {
        self.mtu
    }

    /// Whether it is less than what the port would carry.
    pub fn is_narrow(&self) -> bool {
        self.mtu < self.max
    }

    /// Whether larger sizes than [`Plpmtud::mtu`] are being tried.
    pub fn is_searching(&self) -> bool {
        self.phase != Phase::Complete
    }

    /// Times that packets of the MTU stopped passing.
    pub fn black_holes(&self) -> u64 {
        self.black_holes
    }

    /// When [`Plpmtud::poll`] has something to do next.
    pub fn timeout(&self) -> u64 {
        self.next_ns
    }

    /// The next probe to send: its size as an IP packet, and its token. To be called until there is none. `random` must
    /// be unpredictable: who does not see a probe can not acknowledge it.
    pub fn poll(&mut self, now_ns: u64, random: u64) -> Option<(u16, u64)> {
        if now_ns >= self.next_ns {
            self.step(now_ns);
        }
        let due = self.due.iter_mut().find(|due| **due > 0)?;
        let size = core::mem::take(due);
        // 0 stands for none.
        let token = random | 1;
        self.awaited[self.sent % AWAITED] = Awaited { token, size };
        self.sent = self.sent.wrapping_add(1);
        Some((size, token))
    }

    /// An acknowledgement by the other end; says whether it is of a probe that was sent and not yet acknowledged.
    pub fn handle(&mut self, now_ns: u64, token: u64) -> bool {
        let found = self.awaited.iter_mut().find(|awaited| awaited.token == token && token != 0);
        let Some(size) = found.map(|awaited| core::mem::take(awaited).size) else {
            return false;
        };
        if size >= self.size {
            self.passed(now_ns, size);
        } else if size <= self.base {
            self.base_passes = true;
        }
        true
    }

    fn step(&mut self, now_ns: u64) {
        self.next_ns = now_ns.saturating_add(self.settings.interval_ns);
        if self.probing {
            self.losses = self.losses.saturating_add(1);
        }
        if self.losses >= LOSSES_MAX && self.base_passes {
            self.failed(now_ns);
        }
        if self.phase == Phase::Complete && now_ns >= self.raise_at_ns && self.mtu < self.max {
            self.phase = Phase::Search { too_large: self.max + 1 };
            self.probe(self.max);
        }
        self.probing = true;
        // Once one is lost, two of the size go with one of the smallest: chance losses must not look like a black hole.
        self.due = match self.losses {
            0 => [self.size, 0, 0],
            _ => [self.size, self.size, self.base],
        };
    }

    fn probe(&mut self, size: u16) {
        self.size = size;
        self.losses = 0;
        self.probing = false;
        self.base_passes = false;
        self.due = [0; AT_ONCE];
    }

    fn passed(&mut self, now_ns: u64, size: u16) {
        (self.losses, self.probing, self.base_passes) = (0, false, false);
        self.mtu = self.mtu.max(size.min(self.max));
        if let Phase::Search { too_large } = self.phase {
            self.narrow(now_ns, too_large);
        }
    }

    fn failed(&mut self, now_ns: u64) {
        match self.phase {
            Phase::Search { .. } => self.narrow(now_ns, self.size),
            // RFC 8899 section 4.3. The smallest has just passed.
            Phase::Complete if self.size > self.base => {
                self.black_holes += 1;
                self.mtu = self.base;
                // What was lost is tried first: a black hole that was none costs one round trip.
                self.phase = Phase::Search { too_large: self.size + 1 };
                self.probe(self.size);
            }
            Phase::Complete => self.probe(self.size),
        }
    }

    /// Goes on between the MTU and what is too large, by halves.
    fn narrow(&mut self, now_ns: u64, too_large: u16) {
        if too_large <= self.mtu + 1 {
            self.phase = Phase::Complete;
            self.raise_at_ns = now_ns.saturating_add(self.settings.raise_ns);
            self.probe(self.mtu);
            return;
        }
        self.phase = Phase::Search { too_large };
        self.probe(self.mtu + (too_large - self.mtu) / 2);
        // The next size follows at once.
        self.next_ns = now_ns;
    }
}

#[cfg(test)]
mod tests;
