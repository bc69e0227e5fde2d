//! TCP connections through the overlay use segments that fit it from the start.
//!
//! The size that a SYN announces bounds what comes *back*: of a client's SYN it is the gateway's flight that must carry
//! the segments, of an origin's it is the edge's. The node where a SYN enters the overlay knows the path's other
//! direction only; where both have the same MTU, as links mostly have, lowering it there is enough, for each SYN enters
//! once. Where they differ, the node where it leaves, which is the one that will send the segments, lowers it further.

use crate::tables::{Flight, Tables};
use packet::ip::Packet;
use packet::mss;
use packet::transport::{TCP, Tcp};
use packet::{Addr, Headers};

/// Whether a packet is worth a closer look: of others than TCP this is no flag, and nothing comes of it.
#[inline(always)]
pub fn may_announce(packet: &impl Headers) -> bool {
    packet.detail() & Tcp::SYN != 0
}

/// Lowers what the packet at the start of `inner` announces to what fits this MTU.
#[cold]
#[inline(never)]
pub fn clamp(inner: &mut [u8], packet: Packet, mtu: u16) {
    if packet.protocol == TCP
        && let Some(tcp) = inner.get_mut(packet.transport_at as usize..packet.len as usize)
    {
        mss::clamp(tcp, mss::of_mtu(packet.version, mtu));
    }
}

/// The same for what leaves the overlay, by the flight in the opposite direction.
#[cold]
#[inline(never)]
pub fn clamp_leaving(inner: &mut [u8], packet: Packet, back: Option<&Flight>) {
    if let Some(flight) = back {
        clamp(inner, packet, flight.mtu);
    }
}

/// The flight that a client's packets to a virtual IP of this node take.
#[cold]
pub fn flight_of(tables: &Tables, client: Addr, vip: Addr) -> Option<&Flight> {
    let application = match tables.local.get(vip) {
        Some(crate::tables::Local::Vip(number)) => tables.applications.get(number as usize)?,
        _ => return None,
    };
    let gateways = &application.gateways;
    let choice = overlay::pick::rendezvous(client, gateways.iter().map(|(node, _)| node.0 as u64));
    tables.flights.get(gateways.get(choice?)?.1 as usize)
}
