//! Leaving the data path: transmit, punt, or drop.

use crate::answer::{self, Answer, Answers};
use crate::batch::{Cause, Handoff, Output, PortIndex, Punt};
use crate::counters::WorkerCounters;
use crate::detour::Detour;
use crate::encapsulate::Sequences;
use crate::fragments::Fragments;
use crate::gateway::inbound::Held;
use crate::handover::Handover;
use crate::leases::Leases;
use crate::tables::{Egress, Tables};
use crate::trace::Tracer;
use overlay::parity::Encoder;
use overlay::seal::SealTable;
use packet::ethernet::{self, HEADER_LEN, TYPE_IPV4, TYPE_IPV6, TYPE_VLAN, VLAN_LEN};
use packet::ip::Packet;
use packet::{BufPool, IpVersion, Mac, PacketBuf, Reason};

/// What every stage works with: the time, the snapshot, and the ways out.
pub struct Context<'a, P: BufPool> {
    /// Monotonic time, nanoseconds.
    pub now_ns: u64,
    /// The same in seconds.
    pub now_s: u32,
    /// This worker's number.
    pub worker: u16,
    /// Workers of the node.
    pub workers: u16,
    /// The snapshot to forward by.
    pub tables: &'a Tables,
    /// The keys shared with other nodes.
    pub keys: &'a SealTable,
    /// This worker's counters.
    pub counters: &'a WorkerCounters,
    /// Where buffers come from and go to.
    pub pool: &'a mut P,
    /// Where packets go.
    pub out: &'a mut Output<P::Buf>,
    /// Numbers of the streams that this worker sends.
    pub sequences: &'a mut Sequences,
    /// Groups of packets whose parity packets have not left yet.
    pub encoder: &'a mut Encoder,
    /// Bounds the ICMP errors that this worker sends.
    pub answers: &'a mut Answers,
    /// Datagrams that come in fragments.
    pub fragments: &'a mut Fragments<P::Buf>,
    /// The hop records under way.
    pub tracer: &'a mut Tracer,
    /// Connections from outside that nobody has asked for.
    pub held: &'a mut Held<P::Buf>,
    /// Packets of blocks that have just left.
    pub detour: &'a mut Detour<P::Buf>,
    /// What the other gateway has been told of sessions.
    pub handover: &'a mut Handover,
    /// Which blocks of addresses may be translated.
    pub leases: &'a Leases,
    /// Whether a client is told that it gets no session.
    pub refuses_aloud: bool,
    /// Whether the burst comes from another worker.
    pub handed: bool,
}

impl<P: BufPool> Context<'_, P> {
    /// Drops a packet and counts why.
    #[inline(always)]
    pub fn drop(&mut self, buf: P::Buf, reason: Reason) {
        self.counters.drop(reason);
        self.pool.free(buf);
    }

    /// Transmits a frame.
    #[inline(always)]
    pub fn transmit(&mut self, port: PortIndex, buf: P::Buf) {
        let Some(queue) = self.out.tx.get_mut(port.0 as usize) else {
            return self.drop(buf, Reason::TransmitFull);
        };
        let is_first = queue.is_empty();
        match queue.try_push(buf) {
            Ok(()) if is_first => self.out.ports |= 1 << port.0,
            Ok(()) => {}
            Err(full) => self.drop(full.element(), Reason::TransmitFull),
        }
    }

    /// Hands a frame to the control thread.
    #[inline(always)]
    pub fn punt(&mut self, buf: P::Buf, port: PortIndex, cause: Cause) {
        if self.out.punts.is_full() {
            return self.drop(buf, Reason::PuntLimited);
        }
        self.out.punts.push(Punt { buf, port, cause });
    }

    /// Hands a frame to the worker that has its stream or session.
    #[inline(always)]
    pub fn hand_off(&mut self, buf: P::Buf, port: PortIndex, worker: u16) {
        if self.out.handoffs.is_full() {
            return self.drop(buf, Reason::HandoffFull);
        }
        self.counters.roles.handoff_out.add(1);
        self.out.handoffs.push(Handoff { buf, port, worker });
    }

    /// Transmits a frame whose Ethernet header is there, or has the control thread resolve its next hop first.
    #[inline(always)]
    pub fn transmit_to(&mut self, egress: &Egress, buf: P::Buf) {
        match egress.mac {
            Some(_) => self.transmit(egress.hop.port, buf),
            None => self.punt(buf, egress.hop.port, Cause::Unresolved(egress.hop.address)),
        }
    }

    /// Puts an Ethernet header before an IP packet and transmits it.
    #[inline(always)]
    pub fn deliver(&mut self, egress: &Egress, version: IpVersion, mut buf: P::Buf) {
        if egress.mac.is_none() || egress.vlan != 0 {
            return self.deliver_any(egress, version, buf);
        }
        let Ok(head) = buf.prepend_array::<HEADER_LEN>() else {
            return self.drop(buf, Reason::NoHeadroom);
        };
        put_untagged(head, &egress.addresses, version);
        self.transmit(egress.hop.port, buf);
    }

    /// The same with a tag, or where the next hop's Ethernet address is not known yet.
    #[inline(never)]
    fn deliver_any(&mut self, egress: &Egress, version: IpVersion, mut buf: P::Buf) {
        let put = put_ethernet(egress.source, egress.vlan, egress.mac.unwrap_or_default(), version, &mut buf);
        match put {
            Ok(()) => self.transmit_to(egress, buf),
            Err(reason) => self.drop(buf, reason),
        }
    }
}

/// Writes an untagged Ethernet header.
#[inline(always)]
fn put_untagged(head: &mut [u8; HEADER_LEN], addresses: &[u8; 12], version: IpVersion) {
    let ether_type = if version == IpVersion::V4 { TYPE_IPV4 } else { TYPE_IPV6 };
    head[..12].copy_from_slice(addresses);
    head[12..].copy_from_slice(&ether_type.to_be_bytes());
}

/// Puts an Ethernet header, tagged unless `vlan` is 0, before an IP packet.
#[inline(always)]
fn put_ethernet<B: PacketBuf>(
    source: Mac,
    vlan: u16,
    destination: Mac,
    version: IpVersion,
    buf: &mut B,
) -> Result<(), Reason> {
    let len = if vlan == 0 { HEADER_LEN } else { HEADER_LEN + VLAN_LEN };
    buf.prepend(len).map_err(|_| Reason::NoHeadroom)?;
    let ether_type = if version == IpVersion::V4 { TYPE_IPV4 } else { TYPE_IPV6 };
    if let Some((head, rest)) = buf.data_mut().split_first_chunk_mut::<HEADER_LEN>() {
        head[..6].copy_from_slice(&destination.0);
        head[6..12].copy_from_slice(&source.0);
        match rest.first_chunk_mut::<VLAN_LEN>() {
            Some(tag) if vlan != 0 => {
                head[12..].copy_from_slice(&TYPE_VLAN.to_be_bytes());
                tag[..2].copy_from_slice(&vlan.to_be_bytes());
                tag[2..].copy_from_slice(&ether_type.to_be_bytes());
            }
            _ => head[12..].copy_from_slice(&ether_type.to_be_bytes()),
        }
    }
    Ok(())
}

impl<P: BufPool> Context<'_, P> {
    /// Answers a frame's sender with an ICMP error in the place of its packet, over the wire that it came from.
    #[cold]
    pub fn answer_on_wire(
        &mut self,
        mut buf: P::Buf,
        port: PortIndex,
        at: u16,
        packet: &Packet,
        answer: Answer,
    ) {
        let reason = answer.reason();
        let sender = ethernet::source(buf.data()).filter(|mac| !mac.is_group());
        let (Some(sender), true) = (sender, answer::may_answer(packet)) else {
            return self.drop(buf, reason);
        };
        if !self.answers.take(self.now_ns, packet) {
            return self.drop(buf, Reason::AnswerLimited);
        }
        if buf.trim_front(at as usize).is_err() {
            return self.drop(buf, reason);
        }
        buf.truncate(packet.len as usize);
        // From the port's own address (RFC 1812 section 4.3.2.4), or where it has none, from the one that was asked.
        let Some(own) = self.tables.ports.get(port.0 as usize) else {
            return self.drop(buf, Reason::NoRoute);
        };
        let address = own.address[(packet.version == IpVersion::V6) as usize];
        if !answer::turn_into(&mut buf, packet, answer, address.unwrap_or(packet.dst)) {
            return self.drop(buf, Reason::NoHeadroom);
        }
        if let Err(reason) = put_ethernet(own.mac, own.vlan, sender, packet.version, &mut buf) {
            return self.drop(buf, reason);
        }
        self.counters.roles.answers.add(1);
        self.counters.drop(reason);
        self.counters.roles.copies_made.add(1);
        self.transmit(port, buf);
    }
}
