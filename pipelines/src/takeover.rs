//! Who holds which block of addresses, between nodes: the node's parts in pairs of gateways, and the datagrams that carry
//! their messages, as a state machine that knows no device or clock.
//!
//! Messages go straight between underlay addresses, over UDP, signed where their sender has a key. Workers punt what members
//! send here; the control thread feeds it in with [`Takeovers::handle`], passes the time with [`Takeovers::tick`], takes frames to
//! send from [`Takeovers::poll_frame`] and compiles tables by [`Takeovers::blocks`].

use std::collections::{BTreeMap, VecDeque};

use overlay::keys::{Identity, PublicIdentity};
use overlay::lease::{self, Message, PORT, Pair, Party};
use overlay::topology::{IpVersion, NodeId, Topology};
use packet::{Addr, Reason};

use crate::PortIndex;
use crate::datagram::{self, Headers, Udp};
use crate::tables::{Block, Tables};

/// TTL of their packets.
const TTL: u8 = 64;
/// DS field of network control (CS6, RFC 2474 section 4.2.2).
const CLASS: u8 = 0xc0;
/// Frames waiting for [`Takeovers::poll_frame`] at most; what comes on top is lost, and said again soon.
const FRAMES_MAX: usize = 1024;

/// What was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames given to [`Takeovers::handle`].
    pub taken: u64,
    /// Of these, frames that somebody signed who is in one of the pairs.
    pub consumed: u64,
    /// Frames handed out by [`Takeovers::poll_frame`].
    pub sent: u64,
    /// Of those taken, frames whose signature was missing or wrong.
    pub forged: u64,
}

/// What it is made with.
pub struct Start {
    /// What signs for this node, where it has a key.
    pub identity: Option<Identity>,
    /// Milliseconds from 1970 to the zero of the caller's clock.
    pub unix_offset_ms: u64,
}

/// A node's parts in pairs of gateways.
pub struct Takeovers {
    parties: Vec<Party>,
    start: Start,
    overlay_id: u32,
    identities: BTreeMap<NodeId, PublicIdentity>,
    /// Own and other address of nodes.
    addresses: BTreeMap<NodeId, (Addr, Addr)>,
    out: VecDeque<(PortIndex, Vec<u8>)>,
    counters: Counters,
    drops: [u64; Reason::COUNT],
}

impl Takeovers {
    /// The pairs of a topology that concern a node.
    pub fn new(
        now_ns: u64,
        start: Start,
        topology: &Topology,
        node: NodeId,
        identities: &[(NodeId, PublicIdentity)],
    ) -> Takeovers {
        let mut takeovers = Takeovers {
            parties: Vec::new(),
            start,
            overlay_id: topology.overlay_id,
            identities: BTreeMap::new(),
            addresses: BTreeMap::new(),
            out: VecDeque::new(),
            counters: Counters::default(),
            drops: [0; Reason::COUNT],
        };
        takeovers.reconfigure(now_ns, topology, node, identities);
        takeovers
    }

    /// Takes another topology: pairs that are as they were go on. A part in a pair that has changed begins anew, and promises
    /// nothing for as long as anything that it promised before may last.
    pub fn reconfigure(
        &mut self,
        now_ns: u64,
        topology: &Topology,
        node: NodeId,
        identities: &[(NodeId, PublicIdentity)],
    ) {
        self.identities = identities.iter().copied().collect();
        let underlay = |node, version| Some(Addr::from(topology.node(node)?.underlay(version)?));
        let versions = [IpVersion::V4, IpVersion::V6];
        let pair = |peer| {
            versions
                .into_iter()
                .find_map(|version| Some((underlay(node, version)?, underlay(peer, version)?)))
        };
        let others = topology.nodes.iter().filter(|other| other.id != node);
        self.addresses = others.filter_map(|other| Some((other.id, pair(other.id)?))).collect();
        let mut before = std::mem::take(&mut self.parties);
        for takeover in &topology.takeovers {
            let pair = Pair::new(topology, takeover);
            if !pair.voters.contains(&node) && !pair.listeners.contains(&node) {
                continue;
            }
            let kept = before.iter().position(|party| *party.pair() == pair);
            let unix_ms = (now_ns / 1_000_000).wrapping_add(self.start.unix_offset_ms);
            let begun = lease::Start { node, life: unix_ms, unix_offset_ms: self.start.unix_offset_ms };
            let party = kept.map(|at| before.swap_remove(at));
            self.parties.push(party.unwrap_or_else(|| Party::new(now_ns, begun, pair)));
        }
    }

    /// A frame that came to [`PORT`] from a member's address.
    pub fn handle(&mut self, now_ns: u64, tables: &Tables, bytes: &[u8]) {
        self.counters.taken += 1;
        match self.take(now_ns, tables, bytes) {
            Ok(()) => self.counters.consumed += 1,
            Err(reason) => self.drops[reason.index()] += 1,
        }
    }

    fn take(&mut self, now_ns: u64, tables: &Tables, bytes: &[u8]) -> Result<(), Reason> {
        let datagram = Udp::of_frame(bytes)?;
        let from = tables.members.get(datagram.packet.src).ok_or(Reason::OverlayNotMember)?;
        if datagram.packet.dst_port != PORT || datagram.packet.src_port != PORT || !datagram.is_intact() {
            return Err(Reason::SlowPath);
        }
        let message = Message::parse(datagram.payload, self.overlay_id).ok_or(Reason::SlowPath)?;
        let party = self.parties.iter_mut().find(|party| party.pair().gateways[0] == message.pair);
        let party = party.filter(|_| message.from == from).ok_or(Reason::SlowPath)?;
        let identity = self.identities.get(&from);
        if identity.is_some_and(|identity| !lease::is_signed_by(datagram.payload, identity)) {
            self.counters.forged += 1;
            return Err(Reason::SlowPath);
        }
        party.handle(now_ns, &message);
        Ok(())
    }

    /// Does what is due at this time.
    pub fn tick(&mut self, now_ns: u64, tables: &Tables) {
        let mut messages = Vec::new();
        for party in &mut self.parties {
            party.tick(now_ns);
            messages.extend(std::iter::from_fn(|| party.poll_transmit()));
        }
        for message in messages {
            let frame = self.frame(&message, tables).filter(|_| self.out.len() < FRAMES_MAX);
            self.out.extend(frame);
        }
    }

    fn frame(&self, message: &Message, tables: &Tables) -> Option<(PortIndex, Vec<u8>)> {
        let (from, to) = *self.addresses.get(&message.to)?;
        let headers = Headers { from, to, ports: (PORT, PORT), class: CLASS, ttl: TTL };
        let egress = tables.routes.egress(to)?;
        let bytes = message.to_bytes(self.overlay_id, self.start.identity.as_ref());
        datagram::ethernet(tables, egress, &headers.packet(&bytes, 0))
    }

    /// The next frame to send, with its port.
    pub fn poll_frame(&mut self) -> Option<(PortIndex, Vec<u8>)> {
        let frame = self.out.pop_front()?;
        self.counters.sent += 1;
        Some(frame)
    }

    /// When [`Takeovers::tick`] has something to do next, ns on the caller's clock.
    pub fn poll_timeout(&self) -> Option<u64> {
        self.parties.iter().filter_map(Party::poll_timeout).min()
    }

    /// The parts in pairs.
    pub fn parties(&self) -> &[Party] {
        &self.parties
    }

    /// The part of a gateway, if this node is one.
    pub fn own(&mut self) -> Option<&mut Party> {
        self.parties.iter_mut().find(|party| party.own().is_some())
    }

    /// Who holds which block, as far as it was heard.
    pub fn blocks(&self) -> Vec<Block> {
        let of = |party: &Party| {
            let homes = party.pair().gateways;
            let owners = *party.owners();
            homes.into_iter().zip(owners).map(|(home, owner)| Block {
                home,
                owner: owner.node,
                revision: owner.revision,
                passes: false,
            })
        };
        self.parties.iter().flat_map(|party| of(party).collect::<Vec<_>>()).collect()
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
