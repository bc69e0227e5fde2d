//! The gateway's memory of fragments: only a datagram's first one has ports, the others follow it to its session.
//!
//! This is virtual reassembly: fragments pass one by one as they come, once their first has told where to, and nothing
//! is put together. One that comes before its first waits. What has come is kept account of, so that none passes that
//! overlaps another, and the rest of such a datagram is dropped (RFC 5722).

mod assembly;
mod coverage;
mod identify;

pub use assembly::{Assembly, Datagram, Place, Target};

use crate::gateway::{Reply, Request};
use identify::Identifications;
use packet::fragment;
use packet::ip::Packet;
use packet::{IpVersion, PacketBuf, Reason};

/// The fragments of one worker.
pub struct Fragments<B> {
    /// From clients.
    pub requests: Assembly<B, Request<Packet>>,
    /// From origins.
    pub replies: Assembly<B, Reply<Packet>>,
    identifications: Identifications,
}

impl<B: PacketBuf> Fragments<B> {
    /// Nothing yet; of use to a gateway.
    pub fn new(seed: u64, worker: u16, workers: u16, gateway: bool) -> Fragments<B> {
        Fragments {
            requests: Assembly::new(seed, gateway),
            replies: Assembly::new(seed.rotate_left(23), gateway),
            identifications: Identifications::new(seed, worker, workers),
        }
    }

    /// Another identification for fragments that leave.
    pub fn identify(&mut self) -> u32 {
        self.identifications.take()
    }

    /// Fragments that wait for their first.
    pub fn held(&self) -> usize {
        self.requests.held() + self.replies.held()
    }

    /// Lets go of what has waited too long.
    pub fn sweep(&mut self, now_s: u32, mut count: impl FnMut(Reason)) {
        self.requests.sweep(now_s, |_, reason| count(reason));
        self.replies.sweep(now_s, |_, reason| count(reason));
    }

    /// Lets go of all that waits, and has nothing wait from now on.
    pub fn close(&mut self, mut count: impl FnMut(Reason)) {
        self.requests.close(|_, reason| count(reason));
        self.replies.close(|_, reason| count(reason));
    }
}

/// What the fragments of this packet are known by; `bytes` starts at its IP header.
///
/// # Errors
/// [`Reason::IpExtension`] for an IPv6 packet that has no fragment header.
pub fn datagram(bytes: &[u8], packet: &Packet) -> Result<Datagram, Reason> {
    let Packet { src, dst, version, protocol, .. } = *packet;
    let identification = fragment::identification(bytes, packet).ok_or(Reason::IpExtension)?;
    let protocol = if version == IpVersion::V4 { protocol } else { 0 };
    Ok(Datagram { src, dst, identification, protocol })
}

/// The worker that first sees all fragments of a datagram from an origin, whichever the NIC gave them to: only there
/// the ports of the first, which tell the worker that has the session, are known to the others.
pub fn home(bytes: &[u8], packet: &Packet, workers: u16) -> Option<u16> {
    let identification = fragment::identification(bytes, packet)?;
    Some((identification % workers.max(1) as u32) as u16)
}
