//! Sessions that are known from binding records: those that an edge gives back, and those that the other gateway tells of.

use super::{Way, may_be_client, may_speak, return_flight, service_id, service_parts};
use crate::batch::Told;
use crate::emit::Context;
use crate::leases::INSTALL_NS;
use crate::tables::Tables;
use nat::{Elsewhere, Key, Nat, NewSession, Seconds, ServiceId};
use overlay::topology::NodeId;
use overlay::wire::{Record, RecordKind};
use packet::transport::{TCP, UDP, is_common};
use packet::{BufPool, Reason};

/// Stores a session that the other gateway tells of, or notes that it has told of all, and answers. Only for the tenure that it is
/// known to have.
pub fn store<P: BufPool>(told: &Told, nat: &mut Nat, context: &mut Context<P>) -> Result<(), Reason> {
    let Told { from, src: client, dst: vip, sealed, record } = *told;
    let tables = context.tables;
    let partner = tables.partner.filter(|partner| partner.node == from).ok_or(Reason::OverlayInnerSource)?;
    let block = context.leases.homes().and_then(|homes| homes.iter().position(|home| *home == record.home));
    let block = block.ok_or(Reason::Binding)?;
    // Who has heard less, or is not ready, is told again soon.
    let theirs = tables.block(record.home);
    let is_theirs = theirs.is_some_and(|held| held.owner == from && held.revision == record.revision);
    if !is_theirs || nat.is_held(block) || nat.is_purging(block) {
        return Err(Reason::NatNotHolder);
    }
    let made = match record.kind {
        RecordKind::Session => store_session(told, nat, context),
        _ if !partner.may_say(sealed) => return Err(Reason::OverlayUnsealed),
        _ => {
            context.leases.note_whole(block, record.revision);
            Ok(())
        }
    };
    context.leases.fence();
    let kind = if made.is_ok() { RecordKind::Stored } else { RecordKind::NotStored };
    let bucket = match record.kind {
        RecordKind::Session => overlay::pick::bucket(client, tables.streams),
        _ => context.worker as u8,
    };
    context.send_to_partner(&partner, sealed, bucket, (vip, client), &Record { kind, ..record });
    made
}

fn store_session<P: BufPool>(told: &Told, nat: &mut Nat, context: &Context<P>) -> Result<(), Reason> {
    let Told { dst: vip, sealed, record, .. } = *told;
    let tables = context.tables;
    let (services, number) = tables.service_at(vip, record.protocol, is_common(record.protocol))?;
    may_speak(services, services.node, sealed as u8)?;
    let service = service_id(number, record.vip_port);
    let flight = return_flight(tables, services.node, service)?;
    let (key, new) = told_session(told, service, (services.node, flight), tables)?;
    let at = Elsewhere { external: record.external, port: record.external_port, state: record.state };
    nat.store(Seconds(context.now_s), key, new, at)?;
    context.counters.roles.sessions_stored.add(1);
    Ok(())
}

/// Makes the session of a binding that an edge gives back, and answers it. Only an edge may, for a virtual IP that it
/// holds, and only for the tenure that this gateway has of the block.
pub fn install<P: BufPool>(told: &Told, nat: &mut Nat, context: &mut Context<P>) -> Result<(), Reason> {
    let Told { from, src: client, dst: vip, sealed, record } = *told;
    let tables = context.tables;
    let (services, number) = tables.service_at(vip, record.protocol, is_common(record.protocol))?;
    may_speak(services, from, sealed as u8)?;
    let service = service_id(number, record.vip_port);
    let flight = return_flight(tables, from, service)?;
    let made = make(told, service, flight, nat, context);
    let kind = if made.is_ok() { RecordKind::Binding } else { RecordKind::Refusal };
    // Who asks for another tenure than this one has heard less, or more, than this gateway: it asks again.
    if made == Err(Reason::NatNotHolder) {
        return Err(Reason::NatNotHolder);
    }
    if let Some(flight) = tables.flights.get(flight as usize) {
        let bucket = overlay::pick::bucket(client, tables.streams);
        context.send_record(flight, bucket, (vip, client), &Record { kind, ..record });
    }
    made
}

fn make<P: BufPool>(
    told: &Told,
    service: ServiceId,
    flight: u16,
    nat: &mut Nat,
    context: &Context<P>,
) -> Result<(), Reason> {
    let Told { from, record, .. } = *told;
    let (tables, leases) = (context.tables, context.leases);
    let homes = leases.homes().ok_or(Reason::WrongRole)?;
    let block = homes.iter().position(|home| *home == record.home).ok_or(Reason::Binding)?;
    if !nat.is_held(block) || leases.revision(block) != record.revision {
        return Err(Reason::NatNotHolder);
    }
    let is_late = !leases.is_younger(block, context.now_ns, INSTALL_NS);
    let (key, new) = told_session(told, service, (from, flight), tables)?;
    let hash = nat.hash(&key);
    let is_known = nat.find(hash, &key).is_some();
    if record.protocol != TCP || nat.block_of(record.external) != Some(block) || (is_late && !is_known) {
        return Err(Reason::Binding);
    }
    nat.install(Seconds(context.now_s), hash, key, new, record.external, record.external_port).map(|_| ())
}

/// The session that a record tells of, whose client is at an edge that this flight leads to.
fn told_session(
    told: &Told,
    service: ServiceId,
    (edge, flight): (NodeId, u16),
    tables: &Tables,
) -> Result<(Key, NewSession), Reason> {
    let Told { src: client, dst: vip, record, .. } = *told;
    let (number, _) = service_parts(service);
    let application = tables.application_of(number, record.vip_port).ok_or(Reason::UnknownService)?;
    let application = tables.applications.get(application as usize).ok_or(Reason::UnknownService)?;
    let has_ports = matches!(record.protocol, TCP | UDP);
    let is_it = |number: &&u16| {
        tables.origins.get(**number as usize).is_some_and(|origin| {
            let port = origin.port.unwrap_or(record.vip_port);
            origin.address == record.origin && (port == record.origin_port || !has_ports)
        })
    };
    let origin = *application.origins.iter().flatten().find(is_it).ok_or(Reason::NoOrigin)?;
    may_be_client(client, tables)?;
    let way = Way { epoch: tables.epoch, edge, origin, flight };
    let new = NewSession {
        protocol: record.protocol,
        vip,
        vip_port: record.vip_port,
        origin: record.origin,
        origin_port: record.origin_port,
        tag: way.tag(),
        filtering: application.filtering(record.protocol),
    };
    Ok((Key { client, port: record.client_port, service }, new))
}
