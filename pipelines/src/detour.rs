//! Packets of a block that has just left this gateway: edges and origins that have not heard of it yet send here. They wait while
//! nobody may translate them, a moment, and then go to the gateway that has the block, as they came out of the overlay or
//! off the wire.

use crate::emit::Context;
use crate::leases::Leases;
use crate::tables::Tables;
use packet::{BufPool, IpVersion, PacketBuf, Reason};
use std::collections::VecDeque;

/// Packets that wait at most.
const WAITING_MAX: usize = 8192;
/// Of these, packets that go on in one step.
const STEP: usize = 256;

/// A packet on its way to the other gateway: the buffer holds an IP packet and nothing else.
pub struct Detoured<B> {
    /// The packet.
    pub buf: B,
    /// Its IP version.
    pub version: IpVersion,
    /// Whether it is to be sealed.
    pub sealed: bool,
    /// The bucket of its client.
    pub bucket: u8,
    /// Of which block it is.
    pub block: usize,
}

/// Packets that wait for their block to be held by somebody.
pub struct Detour<B> {
    waiting: VecDeque<Detoured<B>>,
    max: usize,
}

impl<B> Detour<B> {
    /// None waits. `is_paired` is whether there is another gateway.
    pub fn new(is_paired: bool) -> Detour<B> {
        let max = if is_paired { WAITING_MAX } else { 0 };
        Detour { waiting: VecDeque::with_capacity(max), max }
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether the first that waits can go on, or need not wait any longer.
    pub fn is_due(&self, tables: &Tables, leases: &Leases) -> bool {
        let is_ready =
            |packet: &Detoured<B>| !leases.is_leaving(packet.block) || may_go(packet.block, tables, leases);
        self.waiting.front().is_some_and(is_ready)
    }

    /// Gives up all that waits, and takes no more.
    pub fn close(&mut self) -> impl Iterator<Item = B> + '_ {
        self.max = 0;
        self.waiting.drain(..).map(|packet| packet.buf)
    }
}

/// Whether the other gateway has a block.
fn may_go(block: usize, tables: &Tables, leases: &Leases) -> bool {
    let home = leases.homes().and_then(|homes| homes.get(block).copied());
    let held = home.and_then(|home| tables.block(home)).filter(|held| held.revision != 0);
    held.is_some_and(|held| tables.is_partner(held.owner))
}

impl<P: BufPool> Context<'_, P> {
    /// Sends packets on that have waited.
    #[cold]
    pub fn end_detour(&mut self) {
        for _ in 0..STEP {
            if !self.detour.is_due(self.tables, self.leases) {
                break;
            }
            if let Some(packet) = self.detour.waiting.pop_front() {
                self.pass_on(packet);
            }
        }
    }

    /// A packet of a block that is not held: to the other gateway, at once or soon, if it is to have the block.
    #[cold]
    pub fn take_detour(&mut self, packet: Detoured<P::Buf>) {
        if !self.leases.is_leaving(packet.block) {
            return self.drop(packet.buf, Reason::NatNotHolder);
        }
        // None overtakes those that wait.
        if self.detour.waiting.is_empty() && may_go(packet.block, self.tables, self.leases) {
            return self.pass_on(packet);
        }
        if self.detour.waiting.len() >= self.detour.max {
            return self.drop(packet.buf, Reason::NatNotHolder);
        }
        self.detour.waiting.push_back(packet);
    }

    fn pass_on(&mut self, packet: Detoured<P::Buf>) {
        let Detoured { buf, version, sealed, bucket, block } = packet;
        let tables = self.tables;
        let flight = tables.partner.and_then(|partner| partner.flight(sealed));
        let flight = flight.and_then(|flight| tables.flights.get(usize::from(flight)));
        let Some(flight) = flight.filter(|_| may_go(block, tables, self.leases)) else {
            return self.drop(buf, Reason::NatNotHolder);
        };
        if buf.len() > usize::from(flight.mtu) {
            return self.drop(buf, Reason::TooBig);
        }
        self.counters.roles.passed_on.add(1);
        self.replicate(flight, bucket, version, buf);
    }
}
