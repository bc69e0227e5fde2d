//! What happens to sessions, for a log: made, ended, refused. Nothing is kept unless somebody wants to know, and a packet
//! of a session that is there costs nothing either way.

use crate::session::{Seconds, SessionIndex, SessionView};
use crate::table::Nat;
use packet::{Addr, Reason};

/// Events that wait for their owner. It takes them after every burst and every sweep, which have fewer.
const WAITING_MAX: usize = 1024;

/// Something that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A session was made.
    Created(Seconds, SessionView),
    /// A session ended.
    Deleted(Seconds, SessionView),
    /// A client got no session.
    Refused(Refusal),
}

/// Clients that got no session for one reason, within one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// When.
    pub at: Seconds,
    /// The first client of them.
    pub client: Addr,
    /// Its packet's protocol.
    pub protocol: u8,
    /// Why: [`Reason::NatPortsExhausted`], [`Reason::NatTableFull`], [`Reason::NatNoPool`], [`Reason::NatClientLimit`] or
    /// [`Reason::NatClientRate`].
    pub reason: Reason,
    /// Packets that were refused for the same reason since that was told last, beside this one.
    pub further: u32,
}

/// Reasons that are told, each once a second: a flood of refusals must not drown everything else.
const TOLD: [Reason; 5] = [
    Reason::NatPortsExhausted,
    Reason::NatTableFull,
    Reason::NatNoPool,
    Reason::NatClientLimit,
    Reason::NatClientRate,
];

/// Events that wait to be taken.
pub(crate) struct Log {
    waiting: Vec<Event>,
    lost: u64,
    /// When each reason was told last, and how often it was not told since.
    told: [(Option<Seconds>, u32); TOLD.len()],
}

impl Log {
    fn add(&mut self, event: Event) {
        if self.waiting.len() < WAITING_MAX {
            self.waiting.push(event);
        } else {
            self.lost += 1;
        }
    }
}

impl Nat {
    /// Keeps events from now on, to be taken by [`Nat::drain_events`].
    pub fn record_events(&mut self) {
        let told = [(None, 0); TOLD.len()];
        self.log = Some(Box::new(Log { waiting: Vec::with_capacity(WAITING_MAX), lost: 0, told }));
    }

    /// Whether events wait.
    #[inline(always)]
    pub fn has_events(&self) -> bool {
        self.log.as_ref().is_some_and(|log| !log.waiting.is_empty())
    }

    /// Takes all events, in their order. Returns how many were lost since the last time, for want of room.
    pub fn drain_events(&mut self, take: impl FnMut(Event)) -> u64 {
        let Some(log) = &mut self.log else { return 0 };
        log.waiting.drain(..).for_each(take);
        core::mem::take(&mut log.lost)
    }

    /// To be called with what came of an attempt to make a session for a client, which is returned.
    pub(crate) fn tell_made(
        &mut self,
        now: Seconds,
        client: Addr,
        protocol: u8,
        made: Result<SessionIndex, Reason>,
    ) -> Result<SessionIndex, Reason> {
        match made {
            Ok(session) => self.tell_created(now, session),
            Err(reason) => self.tell_refused(now, client, protocol, reason),
        }
        made
    }

    fn tell_created(&mut self, now: Seconds, session: SessionIndex) {
        self.made += 1;
        self.fresh.add(session);
        if self.log.is_some()
            && let Some(view) = self.any_session(session)
            && let Some(log) = &mut self.log
        {
            log.add(Event::Created(now, view));
        }
    }

    /// To be called before a session is forgotten.
    pub(crate) fn tell_deleted(&mut self, now: Seconds, session: SessionIndex) {
        if self.log.is_some()
            && let Some(view) = self.any_session(session)
            && let Some(log) = &mut self.log
        {
            log.add(Event::Deleted(now, view));
        }
    }

    fn tell_refused(&mut self, at: Seconds, client: Addr, protocol: u8, reason: Reason) {
        let Some(log) = &mut self.log else { return };
        let Some(number) = TOLD.iter().position(|told| *told == reason) else { return };
        let Some((told, further)) = log.told.get_mut(number) else { return };
        if *told == Some(at) {
            *further = further.saturating_add(1);
            return;
        }
        *told = Some(at);
        let further = core::mem::take(further);
        log.add(Event::Refused(Refusal { at, client, protocol, reason, further }));
    }
}
