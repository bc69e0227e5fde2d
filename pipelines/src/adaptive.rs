//! Redundancy packet by packet: as many copies as the step of the moment asks for and its cap allows.

use crate::emit::Context;
use crate::step::StepCell;
use crate::tables::Flight;
use packet::{BufPool, IpVersion, PacketBuf, Reason};

impl<P: BufPool> Context<'_, P> {
    /// How many copies beside it a packet of so many bytes gets, of so many that there are paths for: those of the step of the moment, or fewer
    /// if they would be above the cap.
    pub(crate) fn redundancy(&mut self, cell: &StepCell, len: usize, paths: usize) -> usize {
        let roles = &self.counters.roles;
        roles.adaptive_bytes.add(len as u64);
        let wanted = cell.step().more().min(paths);
        let Some(cap) = self.sequences.cap(cell.number()) else { return 0 };
        cap.data(self.now_ns / 1_000_000_000, len, cell.extra_percent());
        let copies = (0..wanted).take_while(|_| cap.take(len)).count();
        roles.adaptive_extra_bytes.add((copies * len) as u64);
        if copies < wanted {
            roles.adaptive_capped.add(1);
        }
        copies
    }

    /// Sends a packet that is complete but for its headers over the first path, and copies of it over others.
    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "as for other copies")]
    pub(crate) fn send_adaptive(
        &mut self,
        flight: &Flight,
        cell: &StepCell,
        version: IpVersion,
        stream: u16,
        sequence: u64,
        epoch: u8,
        buf: P::Buf,
    ) {
        let more = self.redundancy(cell, buf.len(), flight.others.len());
        for copy in flight.others.iter().take(more) {
            self.counters.roles.copies_made.add(1);
            match self.pool.copy(&buf) {
                Some(twin) => self.send_any_copy(copy, version, stream, sequence, epoch, false, twin),
                None => self.counters.drop(Reason::NoBuffer),
            }
        }
        self.send_any_copy(&flight.first, version, stream, sequence, epoch, false, buf);
    }
}
