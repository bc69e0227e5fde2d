//! Keys between nodes: the control thread's keyring, and the datagrams that carry its messages, as a state machine that
//! knows no device, clock or randomness.
//!
//! Messages go straight between underlay addresses, over UDP: they are signed, so it does not matter what they pass.
//! Workers punt what members send here; the control thread feeds it in with [`Keys::handle`], passes time and random
//! bytes with [`Keys::tick`], has workers read the table that this returns, says so with [`Keys::published`], and takes
//! frames to send from [`Keys::poll_frame`].

use crate::PortIndex;
use crate::datagram::{self, Headers, Udp};
use crate::tables::Tables;
use overlay::keys::{Announcer, Event, Identity, Keyring, Now, PublicIdentity, Refused, Settings};
use overlay::seal::SealTable;
use overlay::topology::{IpVersion, NodeId, Topology};
use packet::{Addr, Reason};
use std::collections::{BTreeMap, VecDeque};

/// UDP port of messages about keys, at both ends.
pub const PORT: u16 = 4795;
/// TTL of their packets.
const TTL: u8 = 64;
/// DS field of network control (CS6, RFC 2474 section 4.2.2).
const CLASS: u8 = 0xc0;
/// How often keys that nobody needs any more are looked for, ns.
const EXPIRE_NS: u64 = 1_000_000_000;
/// Frames waiting for [`Keys::poll_frame`] at most; what comes on top is lost, and sent again later.
const FRAMES_MAX: usize = 1024;
const MS: u64 = 1_000_000;

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames given to [`Keys::handle`].
    pub taken: u64,
    /// Of these, frames that held what a peer had signed.
    pub consumed: u64,
    /// Frames handed out by [`Keys::poll_frame`].
    pub sent: u64,
    /// Keys made, the first one included.
    pub rotations: u64,
}

/// A node's keys, and its conversations about them.
pub struct Keys {
    announcer: Announcer,
    /// From the zero of the caller's clock to 1970, milliseconds.
    unix_offset_ms: u64,
    /// Underlay addresses, ours and the peer's.
    addresses: BTreeMap<NodeId, (Addr, Addr)>,
    out: VecDeque<(PortIndex, Vec<u8>)>,
    expire_ns: u64,
    counters: Counters,
    /// When each peer last said something that counted, ns.
    heard: BTreeMap<NodeId, u64>,
    /// Messages that were not taken, by [`Refused::name`].
    refused: BTreeMap<&'static str, u64>,
    drops: [u64; Reason::COUNT],
}

/// What the keys are made with.
pub struct Start {
    /// Who the node is.
    pub identity: Identity,
    /// Seconds from one key to the next.
    pub rotation_s: u32,
    /// Milliseconds from 1970 to the zero of the caller's clock.
    pub unix_offset_ms: u64,
    /// Unpredictable: the first key.
    pub random: [u8; 32],
}

impl Keys {
    /// A keyring with its first key; `None` where the library can not use it.
    pub fn new(
        now_ns: u64,
        start: Start,
        topology: &Topology,
        node: NodeId,
        peers: &[(NodeId, PublicIdentity)],
    ) -> Option<Keys> {
        let Start { identity, rotation_s, unix_offset_ms, random } = start;
        let settings = Settings { overlay_id: topology.overlay_id, node, rotation_s };
        let keyring = Keyring::new(settings, identity, now(now_ns, unix_offset_ms), &random)?;
        let mut keys = Keys {
            announcer: Announcer::new(keyring),
            unix_offset_ms,
            addresses: BTreeMap::new(),
            out: VecDeque::new(),
            expire_ns: now_ns,
            counters: Counters { rotations: 1, ..Counters::default() },
            heard: BTreeMap::new(),
            refused: BTreeMap::new(),
            drops: [0; Reason::COUNT],
        };
        keys.reconfigure(topology, node, peers);
        Some(keys)
    }

    /// Takes another topology: keys of peers that stay, stay.
    pub fn reconfigure(&mut self, topology: &Topology, node: NodeId, peers: &[(NodeId, PublicIdentity)]) {
        self.announcer.keyring_mut().set_peers(peers.iter().copied());
        let underlay = |node, version| Some(Addr::from(topology.node(node)?.underlay(version)?));
        let pair = |peer| {
            let versions = [IpVersion::V4, IpVersion::V6];
            versions
                .into_iter()
                .find_map(|version| Some((underlay(node, version)?, underlay(peer, version)?)))
        };
        self.heard.retain(|node, _| peers.iter().any(|(peer, _)| peer == node));
        self.addresses = peers.iter().filter_map(|(peer, _)| Some((*peer, pair(*peer)?))).collect();
    }

    /// A frame that came to [`PORT`] from a member's address. Returns why its message was not taken, to be told.
    pub fn handle(&mut self, now_ns: u64, bytes: &[u8]) -> Option<Refused> {
        self.counters.taken += 1;
        match self.take(now_ns, bytes) {
            Ok(Ok(Event::Key(node, _) | Event::Acknowledged(node, _))) => {
                self.counters.consumed += 1;
                self.heard.insert(node, now_ns);
                None
            }
            // Whatever is wrong with it, nobody signed it for us: it is forged, or of long ago.
            Ok(Err(why)) => {
                self.drops[Reason::SlowPath.index()] += 1;
                *self.refused.entry(why.name()).or_default() += 1;
                Some(why)
            }
            Err(reason) => {
                self.drops[reason.index()] += 1;
                None
            }
        }
    }

    fn take(&mut self, now_ns: u64, bytes: &[u8]) -> Result<Result<Event, Refused>, Reason> {
        let datagram = Udp::of_frame(bytes)?;
        if datagram.packet.dst_port != PORT || !datagram.is_intact() {
            return Err(Reason::SlowPath);
        }
        Ok(self.announcer.handle(datagram.payload, now(now_ns, self.unix_offset_ms)))
    }

    /// Makes a new key before its time; `false` where one that may still be needed would be erased for it.
    pub fn rotate_early(&mut self, now_ns: u64, random: &[u8; 32]) -> bool {
        let now = now(now_ns, self.unix_offset_ms);
        let is_new = self.announcer.keyring_mut().rotate_early(now, random);
        self.counters.rotations += u64::from(is_new);
        is_new
    }

    /// Does what is due at this time. Returns the table that workers should read from now on, where it has changed.
    /// `random` gives 32 unpredictable bytes, if it can.
    pub fn tick(
        &mut self,
        now_ns: u64,
        tables: &Tables,
        random: impl FnOnce() -> Option<[u8; 32]>,
    ) -> Option<SealTable> {
        let now = now(now_ns, self.unix_offset_ms);
        let keyring = self.announcer.keyring_mut();
        if now.monotonic_ms >= keyring.rotation_at_ms()
            && let Some(random) = random()
            && keyring.rotate(now, &random)
        {
            self.counters.rotations += 1;
        }
        if now_ns >= self.expire_ns {
            self.expire_ns = now_ns + EXPIRE_NS;
            keyring.expire(now);
        }
        let table = keyring.compile();
        while let Some((to, message)) = self.announcer.poll_transmit(now) {
            let frame = self.frame(to, &message, tables).filter(|_| self.out.len() < FRAMES_MAX);
            self.out.extend(frame);
        }
        table
    }

    /// Every worker reads the table of this generation, or a later one.
    pub fn published(&mut self, generation: u64) {
        self.announcer.keyring_mut().published(generation);
    }

    /// Workers have sealed so many packets more; to whom is not counted, so each peer's key wears by all of them.
    pub fn count_sealed(&mut self, packets: u64) {
        let peers: Vec<NodeId> = self.announcer.keyring().peers().collect();
        peers.into_iter().for_each(|peer| self.announcer.keyring_mut().count_sealed(peer, packets));
    }

    fn frame(&self, to: NodeId, message: &[u8], tables: &Tables) -> Option<(PortIndex, Vec<u8>)> {
        let (from, to) = *self.addresses.get(&to)?;
        let headers = Headers { from, to, ports: (PORT, PORT), class: CLASS, ttl: TTL };
        let egress = tables.routes.egress(to)?;
        datagram::ethernet(tables, egress, &headers.packet(message, 0))
    }

    /// The next frame to send, with its port.
    pub fn poll_frame(&mut self) -> Option<(PortIndex, Vec<u8>)> {
        let frame = self.out.pop_front()?;
        self.counters.sent += 1;
        Some(frame)
    }

    /// When [`Keys::tick`] has something to do next, ns on the caller's clock.
    pub fn poll_timeout(&self, now_ns: u64) -> u64 {
        let now = now(now_ns, self.unix_offset_ms);
        let rotation_ms = self.announcer.keyring().rotation_at_ms();
        let next_ms = self.announcer.next_ms(now).map_or(rotation_ms, |next| next.min(rotation_ms));
        next_ms.saturating_mul(MS).min(self.expire_ns)
    }

    /// The keyring, to be shown.
    pub fn keyring(&self) -> &Keyring {
        self.announcer.keyring()
    }

    /// When a peer last said something that counted, ns.
    pub fn heard_ns(&self, peer: NodeId) -> Option<u64> {
        self.heard.get(&peer).copied()
    }

    /// Messages that were not taken, by [`Refused::name`].
    pub fn refused(&self) -> &BTreeMap<&'static str, u64> {
        &self.refused
    }

    /// What has been done so far.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Frames dropped here, by [`Reason::index`].
    pub fn drops(&self) -> &[u64; Reason::COUNT] {
        &self.drops
    }
}

fn now(now_ns: u64, unix_offset_ms: u64) -> Now {
    let monotonic_ms = now_ns / MS;
    Now { monotonic_ms, unix_ms: monotonic_ms.wrapping_add(unix_offset_ms) }
}
