//! Packets that change how far a session is: what opens, closes or resets a connection, or comes without being asked.

use crate::sequence::{Next, follow, is_reset_right};
use crate::session::{Expiry, Flags, Seconds, SessionIndex};
use crate::state::Step;
use crate::table::Nat;
use packet::Reason;
use packet::ip::Packet;
use packet::transport::Tcp;

impl Nat {
    #[cold]
    #[inline(never)]
    pub(crate) fn step_client(
        &mut self,
        now: Seconds,
        index: SessionIndex,
        bytes: &[u8],
        packet: &Packet,
    ) -> Result<(), Reason> {
        let session = &mut self.sessions[index.index()];
        if !session.is_live() {
            return Err(Reason::NatNoSession);
        }
        let state = session.expiry.state();
        let Next { client, origin } = session.next;
        if state.is_connection()
            && packet.detail & Tcp::RST != 0
            && !is_reset_right(bytes, packet, client, origin)
        {
            return Err(Reason::NatTcpSequence);
        }
        session.flags.clear(Flags::INBOUND);
        let step = state.after_client(packet.detail);
        if step.begins {
            session.next = Next::UNKNOWN;
        } else if packet.detail & Tcp::SYN != 0 && state.is_opening() {
            // Another attempt may have other numbers.
            session.next.client = 0;
        }
        if packet.detail & Tcp::RST == 0 {
            follow(&mut session.next.client, bytes, packet);
        }
        self.settle(now, index, step);
        Ok(())
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn step_origin(
        &mut self,
        now: Seconds,
        index: SessionIndex,
        bytes: &[u8],
        packet: &Packet,
    ) -> Result<(), Reason> {
        let session = &mut self.sessions[index.index()];
        if !session.is_live() {
            return Err(Reason::NatNoSession);
        }
        let state = session.expiry.state();
        let Next { client, origin } = session.next;
        if state.is_connection()
            && packet.detail & Tcp::RST != 0
            && !is_reset_right(bytes, packet, origin, client)
        {
            return Err(Reason::NatTcpSequence);
        }
        if packet.detail & Tcp::SYN != 0 && state.is_opening() {
            session.next.origin = 0;
        }
        if packet.detail & Tcp::RST == 0 {
            follow(&mut session.next.origin, bytes, packet);
        }
        let step = state.after_origin(packet.detail);
        self.settle(now, index, step);
        Ok(())
    }

    /// Gives a session its new state, and the time that it has in it.
    fn settle(&mut self, now: Seconds, index: SessionIndex, step: Step) {
        let session = &mut self.sessions[index.index()];
        let lifetime = self.lifetimes.of(step.state);
        let before = session.expiry.seconds_left(now);
        let left = if step.refreshes { lifetime } else { lifetime.min(before) };
        session.expiry = Expiry::new(now, left, step.state);
        if left < before {
            self.wheel.look_in(now, left, index.0);
        }
    }
}
