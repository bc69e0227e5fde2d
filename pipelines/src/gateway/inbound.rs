//! Packets from the origins' side that belong to no session: to a client's mapping (RFC 4787 REQ-8, RFC 5382 REQ-3), to
//! a client that keeps its own address, or not asked for at all.
//!
//! The outside of this translation is what clients can address: origins, as the virtual IPs that stand for them. A
//! packet from an origin's endpoint that no virtual IP of the client's edge stands for could not be answered, and an
//! edge lets a gateway speak for virtual IPs only; so it is dropped, whatever the filter.

use super::{Reply, To, Way, return_flight, service_id};
use crate::answer::{Answer, Unreachable};
use crate::batch::PortIndex;
use crate::emit::Context;
use crate::tables::{Served, Tables};
use nat::{Key, Mapping, Nat, NewSession, Seconds, SessionIndex};
use overlay::topology::NodeId;
use packet::ip::{self, Fragment, Packet};
use packet::transport::{TCP, Tcp, UDP};
use packet::{BufPool, Headers, PacketBuf, Reason};

/// The session of a packet for which none was found.
#[cold]
#[inline(never)]
pub fn session<P: BufPool, H: Headers>(
    entry: &Reply<H>,
    reason: Reason,
    nat: &mut Nat,
    context: &Context<P>,
) -> Result<SessionIndex, Reason> {
    let packet = entry.packet.packet();
    if entry.to == To::Client {
        let (dst, src) = ((packet.dst, packet.dst_port), (packet.src, packet.src_port));
        return nat.find_untranslated(dst, packet.protocol, src);
    }
    let opens = match packet.protocol {
        TCP => packet.detail & (Tcp::SYN | Tcp::ACK | Tcp::RST) == Tcp::SYN,
        UDP => true,
        _ => false,
    };
    let slot = entry.slot.filter(|_| opens && packet.fragment == Fragment::No).ok_or(reason)?;
    let mapping = nat.mapping(slot, packet.src)?;
    // Clients of the other IP version are reached by those that they have sent to.
    if mapping.client.is_v4() != packet.src.is_v4() {
        return Err(Reason::NatWrongPeer);
    }
    let edge = Way::of(mapping.tag).edge;
    let served = stands_for(context.tables, edge, &packet).ok_or(Reason::NatNoVip)?;
    let (key, new) = open(context.tables, edge, &mapping, &packet, served)?;
    nat.create_inbound(Seconds(context.now_s), slot, key, new)
}

/// What stands for the packet's sender at an edge.
fn stands_for<'a>(tables: &'a Tables, edge: NodeId, packet: &Packet) -> Option<&'a Served> {
    let all = tables.served.get(&(packet.src, packet.protocol))?;
    all.iter().find(|served| served.edge == edge && served.is_from(packet.src_port))
}

/// The session that the client would have opened to the packet's sender.
fn open(
    tables: &Tables,
    edge: NodeId,
    mapping: &Mapping,
    packet: &Packet,
    served: &Served,
) -> Result<(Key, NewSession), Reason> {
    let port = served.vip_port(packet.src_port);
    let service = service_id(served.service, port);
    let application = tables.applications.get(served.application as usize).ok_or(Reason::NatNoVip)?;
    let vip = tables.services.get(served.service as usize).ok_or(Reason::NatNoVip)?.vip;
    let flight = return_flight(tables, edge, service)?;
    let way = Way { epoch: tables.epoch, edge, origin: served.origin, flight };
    let key = Key { client: mapping.client, port: mapping.client_port, service };
    let new = NewSession {
        protocol: packet.protocol,
        vip,
        vip_port: port,
        origin: packet.src,
        origin_port: packet.src_port,
        tag: way.tag(),
        filtering: application.filtering(packet.protocol),
    };
    Ok((key, new))
}

/// Whether a packet opens a TCP connection, and so is held before it is refused (RFC 5382 REQ-4).
pub fn is_held(packet: &impl Headers) -> bool {
    packet.protocol() == TCP
        && packet.detail() & (Tcp::SYN | Tcp::ACK | Tcp::RST) == Tcp::SYN
        && packet.fragment() == Fragment::No
}

/// How long an unsolicited SYN stays unanswered, ns.
const HOLD_NS: u64 = 6_000_000_000;
/// SYNs held at one time at most.
const HELD_MAX: usize = 64;

/// An unsolicited SYN, with the frame around it.
struct Syn<B> {
    due_ns: u64,
    buf: B,
    port: PortIndex,
    at: u16,
}

/// SYNs from outside that no session was found for. Each is looked at again after six seconds: if the client has
/// opened the same connection by then, both sides meant it, and the SYN is dropped without a word; else its sender is
/// told that the port is unreachable.
pub struct Held<B> {
    syns: std::collections::VecDeque<Syn<B>>,
    due_ns: u64,
    is_closed: bool,
}

impl<B> Default for Held<B> {
    fn default() -> Held<B> {
        Held { syns: std::collections::VecDeque::with_capacity(HELD_MAX), due_ns: u64::MAX, is_closed: false }
    }
}

impl<B> Held<B> {
    /// Holds a frame, whose IP header starts at `at`; gives it back where there is no room.
    pub fn put(&mut self, now_ns: u64, buf: B, port: PortIndex, at: u16) -> Result<(), B> {
        if self.is_closed || self.syns.len() >= HELD_MAX {
            return Err(buf);
        }
        self.syns.push_back(Syn { due_ns: now_ns.saturating_add(HOLD_NS), buf, port, at });
        self.due_ns = self.syns.front().map_or(u64::MAX, |syn| syn.due_ns);
        Ok(())
    }

    /// How many are held.
    pub fn len(&self) -> usize {
        self.syns.len()
    }

    /// Whether one has been held for long enough.
    #[inline(always)]
    pub fn is_due(&self, now_ns: u64) -> bool {
        now_ns >= self.due_ns
    }

    /// Takes the next that has been held for long enough.
    fn take(&mut self, now_ns: u64) -> Option<Syn<B>> {
        let syn = if self.is_due(now_ns) { self.syns.pop_front() } else { None };
        self.due_ns = self.syns.front().map_or(u64::MAX, |syn| syn.due_ns);
        syn
    }

    /// Gives up all frames, and takes no more.
    pub fn close(&mut self) -> impl Iterator<Item = B> + '_ {
        (self.due_ns, self.is_closed) = (u64::MAX, true);
        self.syns.drain(..).map(|syn| syn.buf)
    }
}

/// Decides about the SYNs that have been held for long enough.
#[cold]
#[inline(never)]
pub fn release<P: BufPool>(held: &mut Held<P::Buf>, nat: &Nat, context: &mut Context<P>) {
    while let Some(Syn { buf, port, at, .. }) = held.take(context.now_ns) {
        let bytes = buf.data().get(at as usize..).unwrap_or_default();
        let Ok(packet) = ip::parse(bytes) else {
            context.drop(buf, Reason::NatUnsolicited);
            continue;
        };
        // Nothing is said in the name of addresses that another gateway may have by now.
        if nat.block_of(packet.dst).is_some_and(|block| !nat.is_held(block)) {
            context.drop(buf, Reason::NatNotHolder);
            continue;
        }
        let slot = nat.reverse_slot(packet.dst, packet.protocol, packet.dst_port);
        let session = slot.map(|slot| nat.find_reverse(slot, packet.src, packet.src_port));
        match session {
            Some(Ok(_)) => context.drop(buf, Reason::NatUnsolicited),
            _ => {
                let answer = Answer::Unreachable(Unreachable::Port, Reason::NatUnsolicited);
                context.answer_on_wire(buf, port, at, &packet, answer);
            }
        }
    }
    context.counters.roles.connections_held.set(held.len() as u64);
}
