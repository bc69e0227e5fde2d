//! A gateway that is to let go of a block of addresses tells the other one of its sessions first, while it goes on translating
//! them; of those that are made meanwhile, too; and when it has stopped, of the last ones.
//!
//! ```text
//!   table, once ──┐
//!                 ├──► [256 under way] ──► record ──► the other gateway stores it
//!   newly made ───┘          ▲                                  │
//!                            └───────────── answer ─────────────┘
//! ```
//!
//! A record that is not answered is sent again. Those of one worker go to the worker of the same number.

use crate::emit::Context;
use crate::tables::Partner;
use nat::{BLOCKS, Nat, SessionIndex, SessionView};
use overlay::topology::NodeId;
use overlay::wire::{Record, RecordKind};
use packet::{Addr, BufPool};

/// Records under way.
const UNDER_WAY: usize = 256;
/// Places of the table that are looked at in one step.
const PLACES: u32 = 4096;
/// After this time a record that was not answered is sent again, ns.
const AGAIN_NS: u64 = 20_000_000;
/// Numbers of records that tell of the end, one for each block; below are those of sessions.
const WHOLE: u16 = 0xff00;

/// A record under way.
#[derive(Clone, Copy)]
struct Sent {
    session: SessionIndex,
    client_port: u16,
    external_port: u16,
    at_ns: u64,
}

/// How far a block is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Block {
    /// Of the tenure that ends; 0 where the block does not leave.
    revision: u64,
    /// Whether the other gateway knows all that was there.
    is_copied: bool,
    /// When it was told last that this was all, ns.
    end_told_ns: Option<u64>,
    /// Whether it has answered that.
    is_whole: bool,
}

/// What a worker has told the other gateway.
pub struct Handover {
    blocks: [Block; BLOCKS],
    sent: Box<[Option<Sent>]>,
    /// Where the table goes on; `None` at its end.
    cursor: Option<u32>,
}

impl Handover {
    /// Nothing leaves. `is_paired` is whether there is another gateway.
    pub fn new(is_paired: bool) -> Handover {
        let room = if is_paired { UNDER_WAY } else { 0 };
        Handover { blocks: Default::default(), sent: vec![None; room].into_boxed_slice(), cursor: None }
    }

    /// Says which tenure of each block ends; 0 for none.
    pub fn set(&mut self, revisions: [u64; BLOCKS], nat: &mut Nat) {
        let before = self.blocks.map(|block| block.revision);
        if before == revisions {
            return;
        }
        let begins = revisions.iter().zip(&before).any(|(now, before)| *now != 0 && now != before);
        for (block, revision) in self.blocks.iter_mut().zip(revisions) {
            if block.revision != revision {
                *block = Block { revision, ..Block::default() };
            }
        }
        if begins {
            self.blocks.iter_mut().for_each(|block| block.is_copied = false);
            self.cursor = Some(0);
            nat.remember_made(true);
        } else if !self.is_busy() {
            self.sent.fill(None);
            self.cursor = None;
            nat.remember_made(false);
        }
    }

    /// Whether some block leaves.
    #[inline(always)]
    pub fn is_busy(&self) -> bool {
        self.blocks[0].revision | self.blocks[1].revision != 0
    }

    /// Of each block, the revision of the tenure whose sessions the other gateway knows: it may be ended.
    pub fn copied(&self) -> [u64; BLOCKS] {
        self.blocks.map(|block| if block.is_copied { block.revision } else { 0 })
    }

    /// Of each block, the revision of the tenure of which the other gateway knows that it knows all.
    pub fn whole(&self) -> [u64; BLOCKS] {
        self.blocks.map(|block| if block.is_whole { block.revision } else { 0 })
    }

    /// Takes the other gateway's answer; says whether it was awaited. `may_end` is whether it may be about the end.
    pub fn answered(&mut self, record: &Record, may_end: bool) -> bool {
        if let Some(block) = record.number.checked_sub(WHOLE) {
            let block = self.blocks.get_mut(usize::from(block));
            let is_it = |block: &&mut Block| block.end_told_ns.is_some() && block.revision == record.revision;
            let block = block.filter(|block| may_end && is_it(block));
            return block.map(|block| block.is_whole = true).is_some();
        }
        let place = self.sent.get_mut(usize::from(record.number));
        let is_it = |sent: &mut Sent| {
            (sent.client_port, sent.external_port) == (record.client_port, record.external_port)
        };
        place.and_then(|place| place.take_if(is_it)).is_some()
    }

    /// The next session to tell of.
    fn next(&mut self, nat: &mut Nat, places: &mut u32) -> Option<SessionIndex> {
        if let Some(made) = nat.next_made() {
            return Some(made);
        }
        if nat.has_forgotten_made() {
            self.cursor = Some(0);
        }
        let from = self.cursor?;
        let (found, next) = nat.session_from(from, *places);
        *places = places.saturating_sub(next.unwrap_or(u32::MAX).saturating_sub(from));
        self.cursor = next;
        found
    }
}

impl<P: BufPool> Context<'_, P> {
    /// Tells the other gateway of the next sessions.
    #[cold]
    pub fn tell_sessions(&mut self, nat: &mut Nat) {
        let Some(partner) = self.tables.partner else { return };
        let now_ns = self.now_ns;
        for place in 0..self.handover.sent.len() {
            let Some(sent) = self.handover.sent[place] else { continue };
            if now_ns.saturating_sub(sent.at_ns) >= AGAIN_NS {
                self.handover.sent[place] = None;
                self.tell_session(place, sent.session, &partner, nat);
            }
        }
        let mut left = PLACES;
        let mut place = 0;
        while left > 0 && place < self.handover.sent.len() {
            if self.handover.sent[place].is_some() {
                place += 1;
                continue;
            }
            match self.handover.next(nat, &mut left) {
                Some(session) => {
                    let told = self.tell_session(place, session, &partner, nat);
                    self.counters.roles.sessions_told.add(u64::from(told));
                }
                None if self.handover.cursor.is_none() => break,
                None => {}
            }
        }
        if self.handover.cursor.is_none() && self.handover.sent.iter().all(Option::is_none) {
            self.end_told(&partner, nat);
        }
    }

    /// Tells of one; says whether there was something to tell.
    fn tell_session(&mut self, place: usize, session: SessionIndex, partner: &Partner, nat: &Nat) -> bool {
        let Some(view) = nat.any_session(session) else { return false };
        let Some(block) = nat.block_of(view.external) else { return false };
        let revision = self.handover.blocks.get(block).map_or(0, |block| block.revision);
        let home = self.leases.homes().and_then(|homes| homes.get(block).copied());
        let (Some(home), true) = (home, revision != 0) else { return false };
        // What only the origin's side has opened, it opens again.
        if view.is_inbound {
            return false;
        }
        let record = session_record(&view, place as u16, home, revision);
        let sealed = self.tables.services_at(view.vip).is_some_and(|services| services.sealed);
        let bucket = overlay::pick::bucket(view.key.client, self.tables.streams);
        self.send_to_partner(partner, sealed, bucket, (view.key.client, view.vip), &record);
        let (client_port, external_port) = (record.client_port, record.external_port);
        if let Some(sent) = self.handover.sent.get_mut(place) {
            *sent = Some(Sent { session, client_port, external_port, at_ns: self.now_ns });
        }
        true
    }

    /// Everything is known there: of what is translated no more, it is told that this was all.
    fn end_told(&mut self, partner: &Partner, nat: &Nat) {
        let Some(homes) = self.leases.homes() else { return };
        for (number, home) in homes.into_iter().enumerate() {
            let Some(block) = self.handover.blocks.get_mut(number).filter(|block| block.revision != 0) else {
                continue;
            };
            block.is_copied = true;
            let is_due = block.end_told_ns.is_none_or(|at_ns| self.now_ns.saturating_sub(at_ns) >= AGAIN_NS);
            if nat.is_held(number) || block.is_whole || !is_due {
                continue;
            }
            block.end_told_ns = Some(self.now_ns);
            let none = Addr::from_v4([0; 4]);
            let record = Record {
                kind: RecordKind::Whole,
                protocol: 0,
                state: 0,
                client_port: 0,
                vip_port: 0,
                external_port: 0,
                origin_port: 0,
                home,
                number: WHOLE + number as u16,
                revision: block.revision,
                external: none,
                origin: none,
            };
            self.send_to_partner(partner, true, self.worker as u8, (none, none), &record);
        }
    }

    /// Sends a record to the other gateway.
    pub fn send_to_partner(
        &mut self,
        partner: &Partner,
        sealed: bool,
        bucket: u8,
        ends: (Addr, Addr),
        record: &Record,
    ) {
        let flight = partner.flight(sealed).and_then(|flight| self.tables.flights.get(usize::from(flight)));
        if let Some(flight) = flight {
            self.send_record(flight, bucket, ends, record);
        }
    }
}

/// What the other gateway must know of a session.
fn session_record(view: &SessionView, number: u16, home: NodeId, revision: u64) -> Record {
    Record {
        kind: RecordKind::Session,
        protocol: view.inside_protocol(),
        state: view.state.number(),
        client_port: view.key.port,
        vip_port: view.vip_port,
        external_port: view.external_port,
        origin_port: view.origin_port,
        home,
        number,
        revision,
        external: view.external,
        origin: view.origin,
    }
}
