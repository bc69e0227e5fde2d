//! What must not be translated here, because its block of addresses is not held.

use super::{Reply, Request, To, prefix};
use crate::batch::Lane;
use crate::detour::Detoured;
use crate::emit::Context;
use crate::forwarder::Lanes;
use crate::leases::Leases;
use crate::tables::Tables;
use nat::Nat;
use packet::icmp::Kind;
use packet::ip::Fragment;
use packet::{BufPool, Headers, PacketBuf, Reason};

/// Takes out what must not be translated now, because its block of addresses is not held: it is dropped, or goes to the other
/// gateway, where that is to have the block.
#[cold]
#[inline(never)]
pub fn fence<P: BufPool>(lanes: &mut Lanes<P::Buf>, nat: &Nat, context: &mut Context<P>) {
    context.end_detour();
    fence_requests(&mut lanes.plain.requests, nat, context);
    fence_requests(&mut lanes.general.requests, nat, context);
    fence_replies(&mut lanes.plain.replies, nat, context);
    fence_replies(&mut lanes.general.replies, nat, context);
}

fn fence_requests<P: BufPool, H: Headers>(
    requests: &mut Lane<P::Buf, Request<H>>,
    nat: &Nat,
    context: &mut Context<P>,
) {
    let (tables, leases) = (context.tables, context.leases);
    let not_held = |entry: &Request<H>| {
        block_of_request(entry, nat, leases, tables).filter(|block| !nat.is_held(*block))
    };
    requests.sort_out(not_held, |buf, entry, block| {
        let packet = &entry.packet;
        context.take_detour(Detoured {
            buf,
            version: packet.version(),
            sealed: tables.services_at(packet.dst()).is_some_and(|services| services.sealed),
            bucket: overlay::pick::bucket(packet.src(), tables.streams),
            block,
        });
    });
}

/// The block that a request needs; `None` where it needs none, or it is for its session's making to say.
fn block_of_request<H: Headers>(
    entry: &Request<H>,
    nat: &Nat,
    leases: &Leases,
    tables: &Tables,
) -> Option<usize> {
    let packet = &entry.packet;
    // A prefix is in no block.
    if prefix::of_request(packet, tables).is_some() {
        return None;
    }
    let is_plain = packet.fragment() == Fragment::No && packet.icmp_kind() != Kind::Error;
    let session = match (is_plain, packet.is_common()) {
        (true, true) => nat.find(entry.hash, &entry.key()),
        (true, false) => nat.find_other(&entry.key()),
        _ => None,
    };
    if let Some(session) = session {
        return nat.block_of_session(session);
    }
    // Of what has no session of its own in sight nobody knows whose it is: most likely its client's gateway's.
    let home = leases.block_of_home(tables.home_of(packet.src()));
    let both = nat.is_held(0) && nat.is_held(1);
    match is_plain {
        true => Some(home).filter(|home| leases.is_leaving(*home)),
        false if both => None,
        false if leases.is_leaving(0) || leases.is_leaving(1) => Some(home),
        false => Some(usize::from(nat.is_held(0))),
    }
}

fn fence_replies<P: BufPool, H: Headers>(
    replies: &mut Lane<P::Buf, Reply<H>>,
    nat: &Nat,
    context: &mut Context<P>,
) {
    let tables = context.tables;
    let not_held = |entry: &Reply<H>| {
        let block = if entry.to == To::Pool { nat.block_of(entry.packet.dst()) } else { None };
        block.filter(|block| !nat.is_held(*block))
    };
    replies.sort_out(not_held, |mut buf, entry, block| {
        let packet = &entry.packet;
        if buf.keep(entry.at as usize, packet.total_len() as usize).is_err() {
            return context.drop(buf, Reason::IpTruncated);
        }
        let session = entry.slot.map(|slot| nat.find_reverse(slot, packet.src(), packet.src_port()));
        let vip = session.and_then(Result::ok).and_then(|session| nat.session(session)).map(|view| view.vip);
        let services = vip.and_then(|vip| tables.services_at(vip));
        context.take_detour(Detoured {
            buf,
            version: packet.version(),
            sealed: services.is_none_or(|services| services.sealed),
            // Where its session is: workers of both have the same ports.
            bucket: context.worker as u8,
            block,
        });
    });
}
