//! An Ethernet segment: a switch that learns stations, puts each port's VLAN tag on and takes it off, and changes no
//! other byte; behind each pair of its ports lies a [`Link`] of its own.

use super::frame;
use super::link::{Link, Passage};
use super::random::Random;
use packet::Mac;
use std::collections::{BTreeMap, VecDeque};

/// What stands at a port of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Endpoint {
    /// A node's port.
    Node { node: usize, port: u8 },
    /// A host.
    Station(usize),
}

/// What happened to frames on the wires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wire {
    /// Frames given to a link.
    pub sent: u64,
    /// Frames that arrived, the second ones of duplicates included.
    pub arrived: u64,
    /// Lost by chance.
    pub lost: u64,
    /// Lost because the link was down.
    pub cut: u64,
    /// Lost because they were larger than the link takes.
    pub oversize: u64,
    /// Arrived twice.
    pub duplicated: u64,
    /// Arrived with a bit changed.
    pub corrupted: u64,
}

struct Port {
    endpoint: Endpoint,
    /// The tag that this segment's frames have on this port.
    tag: Option<u16>,
}

/// Frames that [`Segment::sample`] picks from.
const RECENT: usize = 64;

/// A switch with its links.
#[derive(Default)]
pub struct Segment {
    ports: Vec<Port>,
    learned: BTreeMap<Mac, usize>,
    links: BTreeMap<(usize, usize), Link>,
    /// The last frames, untagged.
    recent: VecDeque<Vec<u8>>,
    /// What happened so far.
    pub wire: Wire,
}

impl Segment {
    pub(super) fn attach(&mut self, endpoint: Endpoint, tag: Option<u16>) -> usize {
        self.ports.push(Port { endpoint, tag });
        self.ports.len() - 1
    }

    pub(super) fn set_link(&mut self, from: usize, to: usize, link: Link) {
        self.links.insert((from, to), link);
    }

    /// The link between two ports.
    pub fn link(&mut self, from: usize, to: usize) -> &mut Link {
        self.links.get_mut(&(from, to)).expect("a link between every two ports")
    }

    /// One of the last frames, without its tag.
    pub fn sample(&self, random: &mut Random) -> Option<Vec<u8>> {
        (!self.recent.is_empty())
            .then(|| self.recent[random.below(self.recent.len() as u64) as usize].clone())
    }

    /// How many ports there are.
    pub fn ports(&self) -> usize {
        self.ports.len()
    }

    /// Takes a frame from the device at a port; returns who gets it when.
    pub(super) fn carry(
        &mut self,
        now: u64,
        from: usize,
        bytes: Vec<u8>,
        random: &mut Random,
    ) -> Vec<(u64, Endpoint, Vec<u8>)> {
        let tag = self.ports[from].tag;
        assert_eq!(frame::vlan(&bytes), tag, "sent with another VLAN than its port's: {bytes:02x?}");
        let plain = frame::untagged(bytes);
        let (source, destination) = (frame::source(&plain), frame::destination(&plain));
        assert!(!source.is_group(), "sent from a group address: {plain:02x?}");
        assert_ne!(destination, Mac([0; 6]), "sent to nobody: {plain:02x?}");
        self.learned.insert(source, from);
        self.recent.truncate(RECENT - 1);
        self.recent.push_front(plain.clone());
        let targets = match self.learned.get(&destination) {
            Some(to) if !destination.is_group() => vec![*to],
            _ => (0..self.ports.len()).collect(),
        };
        let mut arrivals = Vec::new();
        for to in targets.into_iter().filter(|to| *to != from) {
            self.pass(now, (from, to), &plain, random, &mut arrivals);
        }
        arrivals
    }

    fn pass(
        &mut self,
        now: u64,
        (from, to): (usize, usize),
        plain: &[u8],
        random: &mut Random,
        arrivals: &mut Vec<(u64, Endpoint, Vec<u8>)>,
    ) {
        self.wire.sent += 1;
        let passage = self.link(from, to).pass(now, frame::ip_len(plain), random);
        let (at, again, corrupt) = match passage {
            Passage::Arrives(at, again, corrupt) => (at, again, corrupt),
            Passage::Lost => return self.wire.lost += 1,
            Passage::Cut => return self.wire.cut += 1,
            Passage::Oversize => return self.wire.oversize += 1,
        };
        let port = &self.ports[to];
        let mut bytes = plain.to_vec();
        if let Some(tag) = port.tag {
            bytes = frame::tagged(bytes, tag);
        }
        if corrupt {
            self.wire.corrupted += 1;
            let bit = random.below(bytes.len() as u64 * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
            if random.chance(0.2) {
                bytes.truncate(random.within(14..=bytes.len() as u64) as usize);
            }
        }
        if let Some(again) = again {
            self.wire.duplicated += 1;
            self.wire.arrived += 1;
            arrivals.push((again, port.endpoint, bytes.clone()));
        }
        self.wire.arrived += 1;
        arrivals.push((at, port.endpoint, bytes));
    }
}
