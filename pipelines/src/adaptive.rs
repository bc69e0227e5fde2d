//! Redundancy packet by packet: as much as the step of the moment asks for and its cap allows.

use crate::emit::Context;
use crate::tables::Flight;
use overlay::adaptive::Step;
use packet::BufPool;

/// What one packet gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Redundancy {
    /// Copies beside it.
    pub copies: usize,
    /// The flight that it takes instead, whose packets parity packets protect.
    pub with_parity: Option<u16>,
}

impl<P: BufPool> Context<'_, P> {
    /// What a packet of so many bytes gets beside it: what the step of the moment says, or less if that would be above the cap.
    pub(crate) fn redundancy(&mut self, flight: &Flight, len: usize) -> Redundancy {
        let Some(cell) = &flight.adaptive else { return Redundancy::default() };
        let roles = &self.counters.roles;
        roles.adaptive_bytes.add(len as u64);
        let step = cell.step();
        let Some(cap) = self.sequences.cap(cell.number()) else { return Redundancy::default() };
        cap.data(self.now_ns / 1_000_000_000, len, cell.extra_percent());
        if step == Step::Parity {
            let coded = flight.with_parity.and_then(|number| self.tables.flights.get(usize::from(number)));
            let coding = coded.and_then(|flight| Some(flight.coded.as_ref()?.coding));
            // Of each packet its share of its group's parity packets, at least: short groups have as many.
            let share =
                coding.map(|one| (len * usize::from(one.parity)).div_ceil(usize::from(one.packets.max(1))));
            let paid = share.filter(|share| cap.take(*share));
            roles.adaptive_extra_bytes.add(paid.unwrap_or(0) as u64);
            roles.adaptive_capped.add((share.is_some() && paid.is_none()).into());
            return Redundancy { copies: 0, with_parity: paid.and(flight.with_parity) };
        }
        let wanted = step.more().min(flight.others.len());
        let copies = (0..wanted).take_while(|_| cap.take(len)).count();
        roles.adaptive_extra_bytes.add((copies * len) as u64);
        roles.adaptive_capped.add((copies < wanted).into());
        Redundancy { copies, with_parity: None }
    }
}
