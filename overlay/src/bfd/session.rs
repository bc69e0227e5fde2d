//! One session: both ends of a link tell each other that they hear each other (RFC 5880 section 6).
//!
//! ```text
//!                  hears Down                 hears Init or Up
//!     ┌──────┐ ──────────────► ┌──────┐ ──────────────────────► ┌────┐
//!  ┌─►│ Down │                 │ Init │                         │ Up │
//!  │  └──────┘ ◄────────────── └──────┘                         └────┘
//!  │      │        silence                                        ▲ │
//!  │      └───────────────────── hears Init ──────────────────────┘ │
//!  └────────────── silence for the detection time, or hears Down ◄──┘
//! ```
//!
//! Two rules are stricter than the RFC's, so that nothing old or forged brings a session up or down without
//! authentication, by who has not seen its packets:
//!
//! - the local discriminator is drawn anew each time that the session has gone down, after the packet that says so:
//!   what the other end said to an earlier life of the session belongs to none;
//! - while the session is up, only packets with both discriminators count. Another end that has lost its memory is
//!   noticed by its silence instead.

use super::packet::{Diagnostic, Packet, State};
use crate::allowance::Allowance;

/// Interval while a session is not up (section 6.8.3), µs.
const SLOW_US: u32 = 1_000_000;
/// Longest interval that is asked for, µs: what the other end asks for before it is known counts only up to here.
pub const INTERVAL_US_MAX: u32 = 10_000_000;
/// Packets that may come in one interval, and at once.
const RECEIVED_PER_INTERVAL: u64 = 4;
const RECEIVED_AT_ONCE: u64 = 16;
/// Pause between packets of an end that does not know our discriminator, and how many at once, ns.
const STRANGERS_NS: u64 = 100_000_000;
const STRANGERS_AT_ONCE: u64 = 8;

/// What an operator chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Interval between packets in both directions while the session is up, µs, up to [`INTERVAL_US_MAX`].
    pub interval_us: u32,
    /// Packets in a row that must be missing before the session goes down, at least 1.
    pub multiplier: u8,
}

/// Why a packet counts for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It names another session, or an earlier life of this one.
    #[error("it names another session")]
    OtherSession,
    /// More packets than both ends have agreed on.
    #[error("too many packets")]
    TooMany,
}

/// One end of a session.
#[derive(Clone, Debug)]
pub struct Session {
    settings: Settings,
    state: State,
    diagnostic: Diagnostic,
    local: u32,
    remote: u32,
    remote_state: State,
    remote_min_rx_us: u32,
    remote_tx_us: u32,
    remote_multiplier: u8,
    remote_demand: bool,
    /// What this end says and what it goes by; they differ until the other end has confirmed.
    desired_tx_us: u32,
    tx_us: u32,
    rx_us: u32,
    polling: bool,
    owes_final: bool,
    /// What is to be told differs from what was told last.
    has_news: bool,
    /// A new discriminator is due once the end of the old life has been told.
    renews: bool,
    heard_ns: u64,
    due_ns: u64,
    changed_ns: u64,
    allowance: Allowance,
    strangers: Allowance,
}

impl Session {
    /// A session that is down and sends its first packet at once. The discriminator is a random number.
    pub fn new(now_ns: u64, settings: Settings, discriminator: u32) -> Session {
        let settings = sound(settings);
        Session {
            settings,
            state: State::Down,
            diagnostic: Diagnostic::None,
            local: discriminator.max(1),
            remote: 0,
            remote_state: State::Down,
            remote_min_rx_us: 1,
            remote_tx_us: SLOW_US,
            remote_multiplier: settings.multiplier,
            remote_demand: false,
            desired_tx_us: settings.interval_us.max(SLOW_US),
            tx_us: settings.interval_us.max(SLOW_US),
            rx_us: settings.interval_us,
            polling: false,
            owes_final: false,
            has_news: true,
            renews: false,
            heard_ns: now_ns,
            due_ns: now_ns,
            changed_ns: now_ns,
            allowance: allowance(settings),
            strangers: Allowance::new(STRANGERS_NS, STRANGERS_AT_ONCE),
        }
    }

    /// Takes other settings over; while the session is up, by a poll sequence (section 6.8.3).
    pub fn configure(&mut self, settings: Settings) {
        let settings = sound(settings);
        if settings == self.settings {
            return;
        }
        self.settings = settings;
        self.allowance = allowance(settings);
        if self.state == State::Up {
            self.desired_tx_us = settings.interval_us;
            // A shorter interval to send, and a longer one to receive, harm nobody at once.
            self.tx_us = self.tx_us.min(settings.interval_us);
            self.rx_us = self.rx_us.max(settings.interval_us);
            self.polling = true;
            self.has_news = true;
        } else {
            self.desired_tx_us = settings.interval_us.max(SLOW_US);
            self.tx_us = self.desired_tx_us;
            self.rx_us = settings.interval_us;
        }
    }

    /// A control packet from the session's other end, by its address (section 6.8.6).
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn handle(&mut self, now_ns: u64, packet: &Packet) -> Result<(), Refusal> {
        let knows_us = packet.your_discriminator == self.local;
        let is_stranger = packet.your_discriminator == 0;
        if !knows_us && !is_stranger {
            return Err(Refusal::OtherSession);
        }
        if self.state == State::Up && (is_stranger || packet.my_discriminator != self.remote) {
            return Err(Refusal::OtherSession);
        }
        // Each kind has its own allowance: who does not know our discriminator can not use up the other's.
        let allowance = if is_stranger { &mut self.strangers } else { &mut self.allowance };
        if !allowance.take(now_ns) {
            return Err(Refusal::TooMany);
        }
        self.remote = packet.my_discriminator;
        self.remote_state = packet.state;
        self.remote_demand = packet.demand;
        self.remote_min_rx_us = packet.required_min_rx_us;
        self.remote_tx_us = packet.desired_min_tx_us;
        self.remote_multiplier = packet.detect_multiplier;
        if self.polling && packet.is_final {
            self.polling = false;
            self.tx_us = self.desired_tx_us;
            self.rx_us = self.settings.interval_us;
        }
        self.heard_ns = now_ns;
        match (self.state, packet.state) {
            (State::Init | State::Up, State::AdminDown) | (State::Up, State::Down) => {
                self.go_down(now_ns, Diagnostic::NeighborDown);
            }
            (State::Down, State::Down) => self.enter(now_ns, State::Init),
            (State::Down, State::Init) | (State::Init, State::Init | State::Up) => self.come_up(now_ns),
            _ => {}
        }
        self.owes_final |= packet.poll;
        Ok(())
    }

    /// Does what is due at this time; returns the next packet to send, to be called until there is none. `random` is
    /// a new random number each time.
    pub fn poll(&mut self, now_ns: u64, random: u64) -> Option<Packet> {
        if self.deadline_ns().is_some_and(|deadline| now_ns >= deadline) {
            self.go_down(now_ns, Diagnostic::Expired);
        }
        if self.owes_final {
            self.owes_final = false;
            return Some(Packet { poll: false, is_final: true, ..self.packet() });
        }
        let is_due = now_ns >= self.due_ns && !self.is_silenced();
        if !self.has_news && !is_due {
            if now_ns >= self.due_ns {
                self.due_ns = now_ns + self.interval_ns(random);
            }
            return None;
        }
        let packet = self.packet();
        self.has_news = false;
        if self.renews {
            self.renews = false;
            self.remote = 0;
            self.local = ((random >> 32) as u32).max(1);
        }
        self.due_ns = now_ns + self.interval_ns(random);
        Some(packet)
    }

    /// When [`Session::poll`] has something to do next, ns.
    pub fn timeout(&self) -> u64 {
        if self.owes_final || self.has_news {
            return 0;
        }
        self.deadline_ns().map_or(self.due_ns, |deadline| deadline.min(self.due_ns))
    }

    /// The session's state.
    pub fn state(&self) -> State {
        self.state
    }

    /// The state that the other end has told last.
    pub fn remote_state(&self) -> State {
        self.remote_state
    }

    /// Why the session last went down.
    pub fn diagnostic(&self) -> Diagnostic {
        self.diagnostic
    }

    /// When the state last changed, ns.
    pub fn changed_ns(&self) -> u64 {
        self.changed_ns
    }

    /// This end's discriminator.
    pub fn discriminator(&self) -> u32 {
        self.local
    }

    /// Interval between packets of this end, before jitter, µs (section 6.8.2).
    pub fn interval_us(&self) -> u32 {
        if self.state == State::Up {
            self.tx_us.max(self.remote_min_rx_us)
        } else {
            self.tx_us.max(self.remote_min_rx_us.min(INTERVAL_US_MAX))
        }
    }

    /// How long the other end may be silent, ns (section 6.8.4).
    pub fn detection_ns(&self) -> u64 {
        let interval_us = self.rx_us.max(self.remote_tx_us);
        u64::from(self.remote_multiplier) * u64::from(interval_us) * 1000
    }

    fn deadline_ns(&self) -> Option<u64> {
        let listens = matches!(self.state, State::Init | State::Up);
        listens.then(|| self.heard_ns.saturating_add(self.detection_ns()))
    }

    /// Whether the other end has asked for no periodic packets (section 6.8.7).
    fn is_silenced(&self) -> bool {
        let demand = self.remote_demand && self.state == State::Up && self.remote_state == State::Up;
        self.state == State::Up && self.remote_min_rx_us == 0 || demand && !self.polling
    }

    /// The interval to the next packet, less 10 to 25 %: the RFC asks for up to 25 %. Never taking less than 10 leaves
    /// one packet's worth of delay variation in the detection time, at three packets.
    fn interval_ns(&self, random: u64) -> u64 {
        let interval_ns = u64::from(self.interval_us()) * 1000;
        interval_ns - interval_ns / 10 - (interval_ns * 15 / 100).saturating_mul(random & 0xffff) / 0x1_0000
    }

    fn packet(&self) -> Packet {
        Packet {
            diagnostic: self.diagnostic,
            state: self.state,
            poll: self.polling,
            is_final: false,
            control_plane_independent: false,
            demand: false,
            detect_multiplier: self.settings.multiplier,
            my_discriminator: self.local,
            your_discriminator: self.remote,
            desired_min_tx_us: self.desired_tx_us,
            required_min_rx_us: self.settings.interval_us,
            required_min_echo_us: 0,
        }
    }

    fn enter(&mut self, now_ns: u64, state: State) {
        self.state = state;
        self.changed_ns = now_ns;
        // "In order to more rapidly communicate a change in state" (section 6.8.7).
        self.has_news = true;
    }

    fn come_up(&mut self, now_ns: u64) {
        self.enter(now_ns, State::Up);
        self.polling = self.desired_tx_us != self.settings.interval_us;
        self.desired_tx_us = self.settings.interval_us;
        self.tx_us = self.settings.interval_us;
        self.rx_us = self.settings.interval_us;
    }

    fn go_down(&mut self, now_ns: u64, diagnostic: Diagnostic) {
        self.enter(now_ns, State::Down);
        self.diagnostic = diagnostic;
        self.polling = false;
        self.desired_tx_us = self.settings.interval_us.max(SLOW_US);
        self.tx_us = self.desired_tx_us;
        self.rx_us = self.settings.interval_us;
        self.remote_min_rx_us = 1;
        self.remote_demand = false;
        self.renews = true;
    }
}

fn sound(settings: Settings) -> Settings {
    Settings {
        interval_us: settings.interval_us.clamp(1, INTERVAL_US_MAX),
        multiplier: settings.multiplier.max(1),
    }
}

fn allowance(settings: Settings) -> Allowance {
    Allowance::new(u64::from(settings.interval_us) * 1000 / RECEIVED_PER_INTERVAL, RECEIVED_AT_ONCE)
}

#[cfg(test)]
mod tests;
