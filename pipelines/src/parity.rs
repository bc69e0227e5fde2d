//! Parity packets at their sender: data packets leave as they come, and are added up; the sums leave behind each group.

use crate::emit::Context;
use crate::tables::{Coded, Flight};
use overlay::parity::{Closed, GroupIndex, Kind, Member};
use overlay::wire::{OPTION_HEADER_LEN, Order, Parity, bucket};
use packet::{BufPool, IpVersion, PacketBuf, Reason};

/// Groups that end by their time in one go at most: the frames to be transmitted have room for their parity packets.
const OVERDUE_MAX: usize = 32;

impl<P: BufPool> Context<'_, P> {
    /// Adds a packet that is complete but for its headers to its group; returns the group if it is full: it is to be ended
    /// once the packet has left.
    #[inline(never)]
    #[expect(clippy::too_many_arguments, reason = "as for copies")]
    pub fn add_to_group(
        &mut self,
        flight: &Flight,
        coded: &Coded,
        version: IpVersion,
        stream: u16,
        sequence: u64,
        epoch: u8,
        buf: &P::Buf,
    ) -> Option<GroupIndex> {
        if coded.coding.parity == 0 || coded.copies.is_empty() {
            return None;
        }
        // Behind the order option's header stands its data, if it has one, and then what is covered.
        let order = flight.is_ordered.then(|| Order::read(buf.data(), OPTION_HEADER_LEN)).flatten();
        let kind = Kind { version, order };
        let from = if order.is_some() { overlay::wire::ORDER_LEN } else { 0 };
        let (destination, way) = (flight.number, coded.number);
        let bucket = bucket(stream);
        let member = Member { destination, bucket, sequence, epoch, kind, coding: coded.coding, way };
        while let Some(group) = self.encoder.in_the_way(&member) {
            self.end_group(group);
        }
        self.encoder.add(self.now_ns, &member, buf.data().get(from..).unwrap_or_default())
    }

    /// Ends groups whose time is over.
    #[cold]
    pub fn end_overdue_groups(&mut self) {
        for _ in 0..OVERDUE_MAX {
            let Some(group) = self.encoder.overdue(self.now_ns) else { return };
            self.end_group(group);
        }
    }

    /// Ends a group, and sends its parity packets.
    #[inline(never)]
    pub(crate) fn end_group(&mut self, group: GroupIndex) {
        let Some(closed) = self.encoder.close(group) else { return };
        let tables = self.tables;
        let flight = tables.flights.get(usize::from(closed.way));
        // The last way but one may be gone: then no parity packet shares the way of what it is for.
        let Some(coded) = flight.and_then(|flight| flight.coded.as_deref()) else { return };
        let Closed { first, epoch, members, parity: count, .. } = closed;
        let stream = self.sequences.stream(closed.bucket);
        for (index, copy) in (0..count).zip(coded.copies.iter().cycle()) {
            let Some(sum) = self.encoder.sum(group, index) else { return };
            self.counters.roles.copies_made.add(1);
            if sum.len() > usize::from(copy.mtu) {
                self.counters.drop(Reason::TooBig);
                continue;
            }
            let Some(mut buf) = self.pool.alloc() else {
                self.counters.drop(Reason::NoBuffer);
                continue;
            };
            // The option in the data's room, not in the headroom: with IPv6 and a tag there would be too little of that.
            let option = Parity { index, count, members }.option();
            if buf.append(option.len() + sum.len()).is_err() {
                self.drop(buf, Reason::NoTailroom);
                continue;
            }
            if let Some((front, behind)) = buf.data_mut().split_at_mut_checked(option.len()) {
                front.copy_from_slice(&option);
                behind.copy_from_slice(sum);
            }
            self.counters.roles.parity_sent.add(1);
            self.send_any_copy(copy, IpVersion::V4, stream, first, epoch, true, buf);
        }
    }
}
