//! One end of a link that is watched: real BFD, real STAMP, and what they say.
//!
//! As the daemon has it (`pipelines::live::link` and `meter`), less the frames around the packets.

use super::layout::{LIVENESS, PROBE_MS};
use super::router::UNIX_MS;
use crate::sim::{MILLISECOND, Random};
use overlay::bfd::{self, Packet, Session, State};
use overlay::health::{self, Health, Phase};
use overlay::linkstate::LinkNow;
use overlay::plan::Quality;
use overlay::quality::sender::ANSWER_NS_MAX;
use overlay::quality::{self, Gauge, Reflected, Reflector, Sender, Test};
use overlay::topology::{IpVersion, NodeId};

/// What ends of links send each other.
#[derive(Clone, Debug)]
pub enum Signal {
    /// BFD.
    Hello(Packet),
    /// A STAMP test packet.
    Probe(Test),
    /// The answer to one.
    Answer(Reflected),
}

/// An end.
pub struct End {
    session: Session,
    health: Health,
    was_up: bool,
    sender: Sender,
    reflector: Reflector,
    gauge: Gauge,
    /// Until then losses are of probes from before the link lived, ns.
    settled_ns: u64,
    /// Round trips that the gauge has seen.
    seen: Option<u64>,
    random: Random,
}

impl End {
    /// An end that has heard nothing yet.
    pub fn new(now_ns: u64, seed: u64) -> End {
        let mut random = Random::new(seed, 35);
        let settings = bfd::Settings { interval_us: LIVENESS.0 * 1000, multiplier: LIVENESS.1 };
        let probing =
            quality::Settings { interval_ns: u64::from(PROBE_MS) * MILLISECOND, multiplier: LIVENESS.1 };
        let judging = health::Settings {
            hold_down_ns: 1_000 * MILLISECOND,
            half_life_ns: 0,
            grace_ns: 5_000 * MILLISECOND,
        };
        End {
            session: Session::new(now_ns, settings, random.bits() as u32),
            health: Health::new(now_ns, judging),
            was_up: false,
            sender: Sender::new(now_ns, probing, 1),
            reflector: Reflector::new(probing.interval_ns),
            gauge: Gauge::default(),
            settled_ns: now_ns,
            seen: None,
            random,
        }
    }

    /// Does what is due; `send` takes what is sent.
    pub fn poll(&mut self, now_ns: u64, mut send: impl FnMut(Signal)) {
        loop {
            let packet = self.session.poll(now_ns, self.random.bits());
            let is_up = self.session.state() == State::Up;
            self.was_up |= is_up;
            let before = self.health.phase();
            self.health.update(now_ns, self.was_up.then_some(is_up));
            if before != Phase::Up && self.health.phase() == Phase::Up {
                self.settled_ns = now_ns + ANSWER_NS_MAX;
                self.gauge.restart(self.sender.stats().counts);
            }
            let Some(packet) = packet else { break };
            send(Signal::Hello(packet));
        }
        let test = self.sender.poll(now_ns, UNIX_MS * MILLISECOND + now_ns, self.random.bits());
        let counts = self.sender.stats().counts;
        if now_ns < self.settled_ns {
            self.gauge.skip(counts);
        } else {
            self.gauge.counts(counts);
        }
        if let Some(test) = test {
            send(Signal::Probe(test));
        }
    }

    /// Takes what the other end sent; an answer to it is returned.
    pub fn handle(&mut self, now_ns: u64, signal: &Signal) -> Option<Signal> {
        let unix_ns = UNIX_MS * MILLISECOND + now_ns;
        match signal {
            Signal::Hello(packet) => {
                // A refusal is a packet of an earlier life: nothing to do.
                let _ = self.session.handle(now_ns, packet);
                None
            }
            Signal::Probe(test) => self.reflector.reflect(now_ns, unix_ns, 255, test).map(Signal::Answer),
            Signal::Answer(answer) => {
                if self.sender.handle(now_ns, unix_ns, answer).is_ok()
                    && let Some((ns, number)) = self.sender.stats().latest
                    && self.seen != Some(number)
                {
                    self.seen = Some(number);
                    self.gauge.round_trip(ns);
                }
                None
            }
        }
    }

    /// When [`End::poll`] has something to do, ns.
    pub fn timeout(&self) -> u64 {
        let health = self.health.timeout().unwrap_or(u64::MAX);
        health.min(self.session.timeout()).min(self.sender.timeout())
    }

    /// Whether the neighbour is reached.
    pub fn is_up(&self) -> bool {
        self.session.state() == State::Up
    }

    /// Whether packets should go there.
    pub fn is_usable(&self) -> bool {
        self.health.phase().is_usable()
    }

    /// What this end says of the link; nothing before it has ever lived.
    pub fn now(&self, neighbor: NodeId) -> Option<LinkNow> {
        let phase = self.health.phase();
        let quality = self
            .gauge
            .reading()
            .map(|reading| Quality { latency_us: reading.latency_us, loss_ppm: reading.loss_out_ppm });
        let up = phase == Phase::Up;
        (phase != Phase::Starting).then_some(LinkNow { neighbor, version: IpVersion::V4, up, quality })
    }
}
