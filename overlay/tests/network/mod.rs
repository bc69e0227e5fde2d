//! Nodes with keyrings on a virtual network that loses, delays, reorders and duplicates, in virtual time.

use packet::Reason;
use proa_overlay::keys::{Announcer, Identity, Keyring, MESSAGE_LEN_MAX, Now, PublicIdentity, Settings};
use proa_overlay::seal::{SealTable, Shared, tail};
use proa_overlay::topology::{IpVersion, NodeId, PathId};
use proa_overlay::wire::{Header, PROTOCOL_REPLICATE, initial_sequence};
use std::collections::{BTreeMap, HashSet};

pub const OVERLAY: u32 = 7;
/// 2026, in Unix milliseconds.
pub const START_UNIX_MS: u64 = 1_780_000_000_000;

/// A generator of numbers that is the same everywhere (SplitMix64).
pub struct Numbers(pub u64);

impl Numbers {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub fn bytes(&mut self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.chunks_mut(8).for_each(|chunk| chunk.copy_from_slice(&self.next().to_be_bytes()));
        bytes
    }
}

pub fn identity(node: NodeId) -> Identity {
    Identity::from_seed(&[node.0 as u8; 32]).unwrap()
}

/// How bad the network is, in percent; times in milliseconds.
#[derive(Clone, Copy)]
pub struct Weather {
    pub loss: u64,
    pub duplicates: u64,
    pub delay_ms: u64,
    /// From the control thread to the workers.
    pub publish_ms: u64,
}

pub struct Node {
    pub announcer: Announcer,
    /// What the workers read, and what is on its way to them.
    pub table: SealTable,
    pending: Vec<(u64, SealTable)>,
    /// How far the wall clock is off, milliseconds.
    pub clock_ms: i64,
    sequence: u64,
}

/// A sealed packet on its way.
#[derive(Clone)]
pub struct Packet {
    pub from: NodeId,
    pub to: NodeId,
    pub header: Header,
    pub link_epoch: u8,
    pub sealed: Vec<u8>,
}

enum Flying {
    Message(NodeId, Vec<u8>),
    Packet(Box<Packet>),
}

pub struct World {
    pub now_ms: u64,
    pub nodes: BTreeMap<NodeId, Node>,
    pub numbers: Numbers,
    pub weather: Weather,
    pub rotation_s: u32,
    flying: BTreeMap<(u64, u64), Flying>,
    /// Every message that ever was sent, for the adversary.
    pub heard: Vec<(NodeId, Vec<u8>)>,
    /// What a stretch of zeros was sealed to, ever: with the same key and nonce it would be the same again.
    keystreams: HashSet<[u8; 16]>,
    pub opened: u64,
    pub without_key: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
}

impl World {
    pub fn new(seed: u64, nodes: &[u16], rotation_s: u32, weather: Weather) -> World {
        let mut world = World {
            now_ms: 5000,
            nodes: BTreeMap::new(),
            numbers: Numbers(seed),
            weather,
            rotation_s,
            flying: BTreeMap::new(),
            heard: vec![],
            keystreams: HashSet::new(),
            opened: 0,
            without_key: 0,
            bytes_in: 0,
            bytes_out: 0,
        };
        for node in nodes {
            let clock_ms = world.numbers.below(7_200_000) as i64 - 3_600_000;
            world.start(NodeId(*node), clock_ms, nodes);
        }
        world
    }

    /// Starts a node, or starts it anew: it has forgotten everything but its identity.
    pub fn start(&mut self, node: NodeId, clock_ms: i64, nodes: &[u16]) {
        let now = self.time(clock_ms);
        let settings = Settings { overlay_id: OVERLAY, node, rotation_s: self.rotation_s };
        let mut keyring = Keyring::new(settings, identity(node), now, &self.numbers.bytes()).unwrap();
        let public =
            |node: &u16| -> (NodeId, PublicIdentity) { (NodeId(*node), identity(NodeId(*node)).public()) };
        keyring.set_peers(nodes.iter().map(public));
        let sequence = initial_sequence(now.unix_ms);
        let announcer = Announcer::new(keyring);
        let table = SealTable::default();
        self.nodes.insert(node, Node { announcer, table, pending: vec![], clock_ms, sequence });
    }

    fn time(&self, clock_ms: i64) -> Now {
        let unix_ms = (START_UNIX_MS + self.now_ms).saturating_add_signed(clock_ms);
        Now { monotonic_ms: self.now_ms, unix_ms }
    }

    pub fn now(&self, node: NodeId) -> Now {
        self.time(self.nodes[&node].clock_ms)
    }

    fn fly(&mut self, what: Flying) {
        let at = self.now_ms + 1 + self.numbers.below(self.weather.delay_ms);
        let number = self.numbers.next();
        self.flying.insert((at, number), what);
    }

    fn send(&mut self, to: NodeId, message: Vec<u8>) {
        assert!(message.len() <= MESSAGE_LEN_MAX);
        self.heard.push((to, message.clone()));
        let copies = u64::from(self.numbers.below(100) >= self.weather.loss)
            + u64::from(self.numbers.below(100) < self.weather.duplicates);
        (0..copies).for_each(|_| self.fly(Flying::Message(to, message.clone())));
    }

    /// One step of time: everybody rotates, compiles, says what is to be said, and sends a packet to everybody.
    pub fn step(&mut self, by_ms: u64) {
        self.now_ms += by_ms;
        while let Some(((at, number), _)) = self.flying.first_key_value()
            && *at <= self.now_ms
        {
            let key = (*at, *number);
            match self.flying.remove(&key).unwrap() {
                Flying::Message(to, message) => {
                    let now = self.now(to);
                    self.bytes_in += message.len() as u64;
                    let _ = self.nodes.get_mut(&to).unwrap().announcer.handle(&message, now);
                }
                Flying::Packet(packet) => self.arrive(&packet),
            }
        }
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.control(id);
        }
        for from in self.nodes.keys().copied().collect::<Vec<_>>() {
            for to in self.nodes.keys().copied().filter(|to| *to != from).collect::<Vec<_>>() {
                self.seal(from, to);
            }
        }
    }

    fn control(&mut self, id: NodeId) {
        let (now, random, wait) =
            (self.now(id), self.numbers.bytes(), self.numbers.below(self.weather.publish_ms));
        let node = self.nodes.get_mut(&id).unwrap();
        let keyring = node.announcer.keyring_mut();
        keyring.rotate(now, &random);
        keyring.expire(now);
        if let Some(table) = keyring.compile() {
            node.pending.push((now.monotonic_ms + wait, table));
        }
        while node.pending.first().is_some_and(|(at, _)| *at <= now.monotonic_ms) {
            node.table = node.pending.remove(0).1;
            node.announcer.keyring_mut().published(node.table.generation());
        }
        let due = node.announcer.next_ms(now);
        let mut out = Vec::new();
        while let Some(message) = node.announcer.poll_transmit(now) {
            out.push(message);
        }
        let was_due = due.is_some_and(|due| due <= now.monotonic_ms);
        assert_eq!(was_due, !out.is_empty(), "what is said is what was due");
        for (to, message) in out {
            self.bytes_out += message.len() as u64;
            self.send(to, message);
        }
    }

    fn seal(&mut self, from: NodeId, to: NodeId) {
        let node = self.nodes.get_mut(&from).unwrap();
        let keys = node.table.peer(to);
        let Some((sealer, hop)) = keys.and_then(|keys| Some((keys.sealer().ok()?, keys.hop_out().ok()?)))
        else {
            self.without_key += 1;
            return;
        };
        node.sequence += 1;
        let mut header = Header {
            vni: OVERLAY,
            inner: IpVersion::V4,
            protocol: PROTOCOL_REPLICATE,
            copies: 0,
            hop_limit: 8,
            source: from,
            destination: to,
            authenticator: 0,
            stream: 3,
            path: PathId(1),
            epoch: sealer.epoch(),
            path_sequence: 0,
            sequence: node.sequence,
        };
        let mut sealed = vec![0; 40];
        let tag = sealer.seal(&Shared::from(&header), &mut sealed).unwrap();
        assert!(self.keystreams.insert(sealed[..16].try_into().unwrap()), "a nonce was used twice");
        sealed.extend(tag);
        header.authenticator = hop.authenticator(&header, &tail(&sealed).unwrap());
        let packet = Packet { from, to, header, link_epoch: hop.epoch(), sealed };
        self.fly(Flying::Packet(Box::new(packet)));
    }

    fn arrive(&mut self, packet: &Packet) {
        if let Err(reason) = self.open(packet) {
            let Packet { from, to, header, .. } = packet;
            panic!("{}: {from:?} to {to:?}, epoch {:#x}, at {} ms", reason.name(), header.epoch, self.now_ms);
        }
        self.opened += 1;
    }

    /// What the receiver's worker does with a packet.
    pub fn open(&self, packet: &Packet) -> Result<(), Reason> {
        let keys = self.nodes[&packet.to].table.peer(packet.from).ok_or(Reason::OverlayUnknownKey)?;
        let hop = keys.hop_in(packet.link_epoch)?;
        if !hop.check(&packet.header, &tail(&packet.sealed).ok_or(Reason::OverlayInner)?) {
            return Err(Reason::OverlayForgedHop);
        }
        let mut sealed = packet.sealed.clone();
        let len = keys.opener(packet.header.epoch)?.open(&Shared::from(&packet.header), &mut sealed)?;
        assert_eq!(sealed[..len], [0; 40]);
        Ok(())
    }

    /// The packets and messages that are under way get lost.
    pub fn lose_everything(&mut self) {
        self.flying.clear();
    }

    /// The packets that are under way get lost; the messages arrive.
    pub fn lose_packets(&mut self) {
        self.flying.retain(|_, flying| matches!(flying, Flying::Message(..)));
    }

    /// The packets that are under way.
    pub fn packets(&self) -> Vec<Packet> {
        let packet = |flying: &Flying| match flying {
            Flying::Packet(packet) => Some((**packet).clone()),
            Flying::Message(..) => None,
        };
        self.flying.values().filter_map(packet).collect()
    }

    /// Whether everybody can seal to everybody.
    pub fn is_meshed(&self) -> bool {
        let ids: Vec<NodeId> = self.nodes.keys().copied().collect();
        self.nodes.iter().all(|(id, node)| {
            let sealer = |to: &NodeId| node.table.peer(*to).is_some_and(|keys| keys.sealer().is_ok());
            ids.iter().filter(|to| *to != id).all(sealer)
        })
    }
}
