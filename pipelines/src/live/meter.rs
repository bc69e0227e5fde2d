//! How good the link to one neighbouring node is: STAMP straight between both underlay addresses.
//!
//! Probes of paths go the way of data and say how a path is as a whole; which of its links is slow or lossy they do not say, nor
//! how links are that no path takes. For that each two neighbours probe the link between them.

use overlay::linkstate;
use overlay::quality::sender::ANSWER_NS_MAX;
use overlay::quality::{self, Gauge, PORT, Reading, Reflected, Reflector, Refusal, Sender, Stats, Test};

use super::mtu::Way;
use crate::PortIndex;
use crate::datagram::{self, Headers};
use crate::tables::Tables;

/// Where probes come from: the port of link state, whose measure they are. Not [`PORT`]: two reflectors would answer each
/// other for ever.
pub(super) const SENDER_PORT: u16 = linkstate::PORT;
/// Class selector 0: probes shall meet what data meets.
const CLASS: u8 = 0;
const TTL: u8 = 255;

/// Both halves of a link's test session, and what it says.
pub struct Meter {
    sender: Sender,
    reflector: Reflector,
    gauge: Gauge,
    /// Until then losses are of probes from before the link lived, ns.
    settled_ns: u64,
    /// Round trips that the gauge has seen.
    seen: Option<u64>,
    /// Probes sent.
    pub sent: u64,
    /// Probes of the other end that were answered.
    pub reflected: u64,
}

impl Meter {
    pub(super) fn new(now_ns: u64, settings: quality::Settings, session: u16) -> Meter {
        Meter {
            sender: Sender::new(now_ns, settings, session),
            reflector: Reflector::new(settings.interval_ns),
            gauge: Gauge::default(),
            settled_ns: now_ns,
            seen: None,
            sent: 0,
            reflected: 0,
        }
    }

    pub(super) fn configure(&mut self, settings: quality::Settings) {
        self.sender.configure(settings);
    }

    /// The link lives again: what was measured before says nothing about it.
    pub(super) fn restart(&mut self, now_ns: u64) {
        self.settled_ns = now_ns + ANSWER_NS_MAX;
        self.gauge.restart(self.sender.stats().counts);
    }

    /// Counts and percentiles.
    pub fn stats(&self) -> &Stats {
        self.sender.stats()
    }

    /// What the link is like now.
    pub fn reading(&self) -> Option<Reading> {
        self.gauge.reading()
    }

    /// The probe that is due.
    pub(super) fn poll(
        &mut self,
        now_ns: u64,
        unix_ns: u64,
        random: u64,
        way: &Way,
        tables: &Tables,
    ) -> Option<(PortIndex, Vec<u8>)> {
        let test = self.sender.poll(now_ns, unix_ns, random);
        let counts = self.sender.stats().counts;
        if now_ns < self.settled_ns {
            self.gauge.skip(counts)
        } else {
            self.gauge.counts(counts)
        }
        let frame = frame(way, tables, (SENDER_PORT, PORT), &test?.to_bytes())?;
        self.sent += 1;
        Some(frame)
    }

    /// Answers the other end's probe.
    pub(super) fn reflect(
        &mut self,
        now_ns: u64,
        unix_ns: u64,
        ttl: u8,
        test: &Test,
        way: &Way,
        tables: &Tables,
    ) -> Option<(PortIndex, Vec<u8>)> {
        let answer = self.reflector.reflect(now_ns, unix_ns, ttl, test)?;
        let frame = frame(way, tables, (PORT, SENDER_PORT), &answer.to_bytes())?;
        self.reflected += 1;
        Some(frame)
    }

    /// An answer to one of this end's probes.
    pub(super) fn handle(&mut self, now_ns: u64, unix_ns: u64, answer: &Reflected) -> Result<(), Refusal> {
        self.sender.handle(now_ns, unix_ns, answer)?;
        if let Some((ns, number)) = self.sender.stats().latest
            && self.seen != Some(number)
        {
            self.seen = Some(number);
            self.gauge.round_trip(ns);
        }
        Ok(())
    }

    pub(super) fn timeout(&self) -> u64 {
        self.sender.timeout()
    }
}

fn frame(way: &Way, tables: &Tables, ports: (u16, u16), payload: &[u8]) -> Option<(PortIndex, Vec<u8>)> {
    let headers = Headers { from: way.own, to: way.peer, ports, class: CLASS, ttl: TTL };
    datagram::ethernet(tables, way.egress, &headers.packet(payload, 0))
}

/// The meter of a link, made or kept as the topology asks.
pub(super) fn renew(
    before: Option<Meter>,
    now_ns: u64,
    settings: Option<quality::Settings>,
    session: u16,
) -> Option<Meter> {
    let settings = settings?;
    let mut meter = before.unwrap_or_else(|| Meter::new(now_ns, settings, session));
    meter.configure(settings);
    Some(meter)
}
