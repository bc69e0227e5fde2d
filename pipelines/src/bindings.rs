//! Binding records on their way: from the gateway to the edge with the first packets of a connection, and back from the edge to
//! the gateway that has taken over the block.

use crate::batch::Told;
use crate::emit::Context;
use crate::flow::{FlowKey, FlowTable};
use crate::gateway;
use crate::tables::{Flight, Local, Tables};
use nat::Nat;
use overlay::topology::NodeId;
use overlay::wire::{CARRIER, RECORD_LEN, Record, RecordKind};
use packet::checksum;
use packet::ip::{Ipv4, Ipv6, Packet};
use packet::{Addr, BufPool, IpVersion, PacketBuf, Reason};

/// Flows looked at in one step when bindings are given back.
const SCAN_PLACES: usize = 1024;
/// Bindings given back in one step.
const INSTALLS: usize = 64;
/// Pause between two rounds over the flows, ns.
const ROUND_NS: u64 = 50_000_000;
/// Rounds at most: what was not answered by then is given back by its flow's own packets.
const ROUNDS: u32 = 40;
/// TTL of packets that hold nothing but a record: no router is to pass them on.
const TTL: u8 = 1;

/// A round over an edge's flows, for bindings that are to be given back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scan {
    rounds: u32,
    next_ns: u64,
    cursor: u32,
    found: bool,
}

impl Scan {
    /// Begins anew.
    pub fn start(&mut self) {
        *self = Scan { rounds: ROUNDS, ..Scan::default() };
    }

    /// Whether something is to be done.
    #[inline(always)]
    pub fn is_due(&self, now_ns: u64) -> bool {
        self.rounds > 0 && now_ns >= self.next_ns
    }
}

/// Gives the next bindings back.
#[cold]
pub fn scan<P: BufPool>(scan: &mut Scan, flows: &mut FlowTable, context: &mut Context<P>) {
    let mut sent = 0;
    let next = flows.scan(scan.cursor, SCAN_PLACES, |flow, record| {
        let Some((flight, record)) = overdue(&flow.key, record, context.tables) else { return true };
        scan.found = true;
        let bucket = overlay::pick::bucket(flow.key.client, context.tables.streams);
        context.send_record(flight, bucket, (flow.key.client, flow.key.vip), &record);
        sent += 1;
        sent < INSTALLS
    });
    scan.cursor = next.unwrap_or(0);
    if next.is_none() {
        scan.rounds = if scan.found { scan.rounds - 1 } else { 0 };
        scan.found = false;
        scan.next_ns = context.now_ns.saturating_add(ROUND_NS);
    }
}

/// The record to give back for a flow, and the flight to who is to have it; `None` where that is known to have it already.
pub fn overdue<'a>(key: &FlowKey, record: &Record, tables: &'a Tables) -> Option<(&'a Flight, Record)> {
    let block = tables.block(record.home).filter(|block| block.revision != 0)?;
    if block.revision == record.revision {
        return None;
    }
    let flight = flight_to(key.vip, record.home, tables)?;
    Some((flight, Record { kind: RecordKind::Install, revision: block.revision, ..*record }))
}

/// The flight to who holds a block, for packets to a virtual IP of this node.
fn flight_to(vip: Addr, home: NodeId, tables: &Tables) -> Option<&Flight> {
    let Some(Local::Vip(application)) = tables.local.get(vip) else { return None };
    let gateways = &tables.applications.get(application as usize)?.gateways;
    let (_, flight) = gateways.iter().find(|(gateway, _)| *gateway == home)?;
    tables.flights.get(*flight as usize)
}

/// Works on the records that came with a burst.
#[cold]
#[inline(never)]
pub fn take<P: BufPool>(flows: &mut FlowTable, mut nat: Option<&mut Nat>, context: &mut Context<P>) {
    while let Some(told) = context.out.told.pop() {
        let taken = match told.record.kind {
            RecordKind::Install => match &mut nat {
                Some(nat) => gateway::install(&told, nat, context),
                None => Err(Reason::WrongRole),
            },
            RecordKind::Binding | RecordKind::Refusal => remember(&told, flows, context.tables),
            _ if !context.tables.is_partner(told.from) => Err(Reason::OverlayInnerSource),
            RecordKind::Stored | RecordKind::NotStored => {
                let may_end = context.tables.partner.is_some_and(|partner| partner.may_say(told.sealed));
                match context.handover.answered(&told.record, may_end) {
                    true => Ok(()),
                    false => Err(Reason::NatNoSession),
                }
            }
            RecordKind::Session | RecordKind::Whole => match &mut nat {
                Some(nat) => gateway::store(&told, nat, context),
                None => Err(Reason::WrongRole),
            },
        };
        match taken {
            Ok(()) => context.counters.roles.bindings_taken.add(1),
            // The client's packets may come to another worker than the replies.
            Err(Reason::Binding) if context.workers > 1 && !context.out.astray.is_full() => {
                context.out.astray.push(told);
            }
            Err(_) => context.counters.roles.bindings_refused.add(1),
        }
    }
}

/// Keeps what a gateway says of a flow's binding.
pub fn remember(told: &Told, flows: &mut FlowTable, tables: &Tables) -> Result<(), Reason> {
    let Told { from, src: vip, dst: client, sealed, record } = *told;
    let Some(Local::Vip(application)) = tables.local.get(vip) else { return Err(Reason::OverlayInnerSource) };
    let application = tables.applications.get(application as usize).ok_or(Reason::UnknownService)?;
    if application.sealed && !sealed {
        return Err(Reason::OverlayUnsealed);
    }
    if tables.peer(from).is_none_or(|peer| peer.region != application.gateway) {
        return Err(Reason::OverlayInnerSource);
    }
    // Only who holds the block may speak of it.
    if tables.block(record.home).is_none_or(|block| block.revision != 0 && block.owner != from) {
        return Err(Reason::NatNotHolder);
    }
    let key = FlowKey::new(client, vip, record.client_port, record.vip_port, record.protocol);
    match record.kind {
        RecordKind::Refusal => flows.unbind(key),
        _ => flows.bind(key, record),
    }
}

impl<P: BufPool> Context<'_, P> {
    /// Sends a record in a packet of its own, from one address to another.
    #[cold]
    pub fn send_record(&mut self, flight: &Flight, bucket: u8, (src, dst): (Addr, Addr), record: &Record) {
        let version = if src.is_v4() { IpVersion::V4 } else { IpVersion::V6 };
        let Some(mut buf) = self.pool.alloc() else { return };
        self.counters.roles.copies_made.add(1);
        let header = carrier(src, dst);
        let len = if version == IpVersion::V4 { Ipv4::LEN } else { Ipv6::LEN };
        if buf.append(len + RECORD_LEN).is_err() {
            return self.drop(buf, Reason::NoTailroom);
        }
        let data = buf.data_mut();
        if let (Some(head), Some(header)) = (data.get_mut(..len), header.get(..len)) {
            head.copy_from_slice(header);
        }
        if let Some(behind) = data.get_mut(len..) {
            behind.copy_from_slice(&record.to_bytes());
        }
        self.counters.roles.bindings_sent.add(1);
        self.replicate(flight, bucket, version, buf);
    }

    /// Puts a record behind an inner packet, if there is room.
    #[cold]
    pub fn append_record(&mut self, flight: &Flight, buf: &mut P::Buf, record: &Record) {
        let fits = buf.len() + RECORD_LEN <= flight.mtu as usize;
        if fits && buf.append(RECORD_LEN).is_ok() {
            if let Some(behind) = buf.data_mut().last_chunk_mut::<RECORD_LEN>() {
                *behind = record.to_bytes();
            }
            self.counters.roles.bindings_sent.add(1);
        }
    }
}

/// The header of a packet that holds nothing but a record; of IPv4, its first 20 bytes.
fn carrier(src: Addr, dst: Addr) -> [u8; Ipv6::LEN] {
    let mut header = [0; Ipv6::LEN];
    if src.is_v4() {
        header[..10].copy_from_slice(&[0x45, 0, 0, Ipv4::LEN as u8, 0, 0, 0x40, 0, TTL, CARRIER]);
        header[12..16].copy_from_slice(&src.v4_bytes());
        header[16..20].copy_from_slice(&dst.v4_bytes());
        let sum = !checksum::sum(header.get(..Ipv4::LEN).unwrap_or_default());
        header[10..12].copy_from_slice(&sum.to_be_bytes());
    } else {
        header[..8].copy_from_slice(&[0x60, 0, 0, 0, 0, 0, CARRIER, TTL]);
        header[8..24].copy_from_slice(&src.v6_bytes());
        header[24..40].copy_from_slice(&dst.v6_bytes());
    }
    header
}

/// Whether a packet holds nothing but the record behind it.
pub fn is_carrier(packet: &Packet) -> bool {
    packet.protocol == CARRIER && packet.transport_at == packet.len
}
