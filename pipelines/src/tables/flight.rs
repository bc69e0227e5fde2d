//! How packets reach the node that takes them out of the overlay: one copy per path.

use super::link::Link;
use super::routes::Egress;
use super::template::{COPY_LEN_MAX, Template};
use crate::step::StepCell;
use overlay::parity::Coding;
use overlay::protocol::Protocol;
use overlay::sampling::Threshold;
use overlay::seal::TAG_LEN;
use overlay::topology::{NodeId, Sampling};
use overlay::wire::trace::{self, RECORD_LEN, RECORDS_MAX};
use overlay::wire::{HEADER_LEN, Header, PROTOCOL_REPLICATE, SOURCE_ROUTE_LEN_MAX, SourceRoute};
use packet::IpVersion;
use std::sync::Arc;

/// The copies of a packet to one node for one application.
#[derive(Clone, Debug)]
pub struct Flight {
    /// Who takes the packet out of the overlay.
    pub destination: NodeId,
    /// The destination's number in the registry: its sequence counters.
    pub number: u16,
    /// The copy on the first path.
    pub first: Copy,
    /// The copies on the other paths.
    pub others: Vec<Copy>,
    /// Bytes that an inner packet may have: it must fit every path.
    pub mtu: u16,
    /// Whether packets are sealed before they are copied.
    pub sealed: bool,
    /// Whether anything is done to packets before they are copied.
    pub is_prepared: bool,
    /// The number of the routing protocol.
    pub protocol: u8,
    /// What stands between the overlay's header and the inner packet, the same in every packet.
    pub extension: Option<Box<Extension>>,
    /// Whether each packet says its place in its flow, behind which it is to leave the overlay.
    pub is_ordered: bool,
    /// In which turns packets take the paths, where each takes one.
    pub spread: Option<Spread>,
    /// What is sent beside each packet, where that changes.
    pub adaptive: Option<Arc<StepCell>>,
    /// The flight by which its packets go while parity packets protect them, by its number among all.
    pub with_parity: Option<u16>,
    /// How lost packets are to be rebuilt, where packets take one path and their parity packets the others.
    pub coded: Option<Box<Coded>>,
    /// Which packets carry records of their hops.
    pub sampled: Threshold,
}

/// How a flight's packets are coded, and where their parity packets go.
#[derive(Clone, Debug)]
pub struct Coded {
    /// The flight's own number.
    pub number: u16,
    /// Packets and parity packets of a group, and how long it stays open.
    pub coding: Coding,
    /// The paths of parity packets, which take turns within a group; none where only the packets' own lives. Their MTU is that of
    /// a shard.
    pub copies: Vec<Copy>,
}

/// An option of some protocols, as it leaves the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    bytes: [u8; SOURCE_ROUTE_LEN_MAX],
    len: u8,
}

impl Extension {
    /// A source route over these nodes.
    pub fn source_route(hops: &[NodeId]) -> Extension {
        let mut bytes = [0; SOURCE_ROUTE_LEN_MAX];
        let len = SourceRoute::write(hops, &mut bytes) as u8;
        Extension { bytes, len }
    }

    /// The option with its header.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len as usize).unwrap_or_default()
    }
}

/// In which turns packets take several paths.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spread {
    turns: Box<[u8]>,
}

impl Spread {
    /// Turns by weights, each at least 1, as evenly as they go: of two paths with weights of 3 and 1, the second has every
    /// fourth packet.
    pub fn new(weights: &[u8]) -> Spread {
        let weight = |weight: &u8| i32::from((*weight).max(1));
        let total: i32 = weights.iter().map(weight).sum();
        let mut credit = vec![0; weights.len()];
        let turn = |_| {
            credit.iter_mut().zip(weights).for_each(|(credit, own)| *credit += weight(own));
            let most = credit.iter().copied().max().unwrap_or(0);
            let next = credit.iter().position(|credit| *credit == most).unwrap_or(0);
            if let Some(credit) = credit.get_mut(next) {
                *credit -= total;
            }
            next as u8
        };
        Spread { turns: (0..total.max(1)).map(turn).collect() }
    }

    /// The place of the path for a flow's packet of this number.
    #[inline]
    pub fn turn(&self, number: u32) -> usize {
        let turn = number as usize % self.turns.len().max(1);
        self.turns.get(turn).map_or(0, |path| usize::from(*path))
    }
}

/// What every IPv6 link must carry (RFC 8200 section 5).
pub(super) const V6_MTU_MIN: u16 = 1280;

impl Flight {
    /// A flight to a node, numbered in the registry, of these copies; its packets have `most` bytes at most, and are
    /// sealed or not.
    pub fn new(
        destination: NodeId,
        number: u16,
        mut first: Copy,
        mut others: Vec<Copy>,
        most: Option<u16>,
        sealed: bool,
        trace: Sampling,
    ) -> Flight {
        let most = most.unwrap_or(u16::MAX).min(first.mtu);
        let mtu = others.iter().fold(most, |mtu, copy| mtu.min(copy.mtu));
        let sampled = Threshold::one_in(trace.one_in);
        for copy in core::iter::once(&mut first).chain(&mut others) {
            copy.hops = copy.hops.min(trace.hops_max);
        }
        let (protocol, extension) = (PROTOCOL_REPLICATE, None);
        let is_prepared = sealed;
        Flight {
            destination,
            number,
            first,
            others,
            mtu,
            sealed,
            is_prepared,
            protocol,
            extension,
            is_ordered: false,
            spread: None,
            coded: None,
            adaptive: None,
            with_parity: None,
            sampled,
        }
    }

    /// The same by another routing protocol.
    pub fn routed(self, protocol: u8, extension: Option<Extension>) -> Flight {
        let is_prepared = self.sealed || extension.is_some();
        Flight { is_prepared, protocol, extension: extension.map(Box::new), ..self }
    }

    /// The same with packets that leave the overlay in order.
    pub fn ordered(self) -> Flight {
        Flight { is_prepared: true, is_ordered: true, ..self }
    }

    /// The same with each packet on one of the paths, by these weights.
    pub fn spread(self, weights: &[u8]) -> Flight {
        let protocol = Protocol::Spread.id();
        Flight { protocol, spread: Some(Spread::new(weights)), ..self.ordered() }
    }

    /// The same with each packet on the first path alone, and parity packets on others.
    pub fn coded(self, coded: Coded) -> Flight {
        Flight { is_prepared: true, protocol: Protocol::Parity.id(), coded: Some(Box::new(coded)), ..self }
    }

    /// The same with as many copies as the cell says, or by another flight with parity packets, whose packets have `most` bytes at most.
    pub fn adaptive(self, cell: Arc<StepCell>, with_parity: Option<u16>, most: Option<u16>) -> Flight {
        let protocol = Protocol::Adaptive.id();
        let mtu = most.map_or(self.mtu, |most| most.min(self.mtu));
        Flight { protocol, mtu, is_prepared: true, adaptive: Some(cell), with_parity, ..self }
    }

    /// The copy on a path by its place.
    #[inline]
    pub fn copy(&self, place: usize) -> Option<&Copy> {
        place.checked_sub(1).map_or(Some(&self.first), |other| self.others.get(other))
    }

    /// Bytes that sealing adds to a packet.
    pub fn seal_len(&self) -> usize {
        if self.sealed { TAG_LEN } else { 0 }
    }

    /// The copies, one for each path.
    pub fn copies(&self) -> impl Iterator<Item = &Copy> {
        core::iter::once(&self.first).chain(&self.others)
    }

    /// The MTU that a packet's sender is told. That of IPv6 must not be less than 1280 bytes, or the sender would not
    /// listen: a path that carries less is left out of larger packets, as long as another one carries them.
    pub fn told(&self, version: IpVersion) -> u16 {
        let wide = self.copies().map(|copy| copy.mtu).filter(|mtu| *mtu >= V6_MTU_MIN).min();
        match (version, wide) {
            (IpVersion::V6, Some(mtu)) => mtu,
            _ => self.mtu,
        }
    }
}

/// One copy: its path and the headers that it gets.
#[derive(Clone, Debug)]
pub struct Copy {
    /// The slot of the path's counters.
    pub path_slot: u16,
    /// The number of its path to the destination in the registry: what its copies are counted by.
    pub way: u32,
    /// Bytes that an inner packet may have on this path.
    pub mtu: u16,
    /// Links of the path that are recorded in packets with a trace, at most.
    pub hops: u8,
    /// Bytes that an inner packet and its trace may have together.
    pub traced_mtu: u16,
    /// Headers to the node of the path's first intermediate region; `None` where no link leads there.
    departure: Option<Departure>,
    /// Headers to the other nodes of that region, if there are more: a stream takes one of all.
    others: Vec<Departure>,
    /// Whether all packets take the first, over untagged Ethernet and IPv4, to a neighbour whose Ethernet address is
    /// known.
    straight: bool,
}

/// The headers of one path from its first link to the overlay's own.
#[derive(Clone, Debug)]
pub struct Departure {
    /// Complete but for lengths, stream and sequence.
    pub template: Template<COPY_LEN_MAX>,
    /// The next hop.
    pub egress: Egress,
    /// The node there.
    pub next: NodeId,
    /// The overlay's header in the template.
    pub header: Header,
    /// Whether extensions stand behind it.
    pub extended: bool,
}

impl Copy {
    /// A copy over a path of so many links with this slot, numbered in the registry, with this MTU for inner packets, by one of
    /// these links, with this overlay header and so many bytes of extensions behind it.
    pub fn new<'a>(
        path_slot: u16,
        way: u32,
        mtu: u16,
        hops: u8,
        links: impl Iterator<Item = &'a Link>,
        header: Header,
        extension_len: usize,
    ) -> Copy {
        let mut bytes = [0; HEADER_LEN];
        header.write(&mut bytes);
        // GENEVE counts its options in words.
        bytes[0] += (extension_len / 4) as u8;
        let mut departures = links.map(|link| Departure {
            template: link.template.with(&bytes),
            egress: link.egress,
            next: link.to,
            header,
            extended: extension_len > 0,
        });
        let (departure, others) = (departures.next(), departures.collect::<Vec<_>>());
        let is_plain = |first: &Departure| first.template.is_plain() && first.egress.mac.is_some();
        let straight = others.is_empty() && departure.as_ref().is_some_and(is_plain);
        Copy { path_slot, way, mtu, hops, traced_mtu: mtu, departure, others, straight }
    }

    /// The same with less room for packets with a trace.
    pub fn with_traced_mtu(self, traced_mtu: u16) -> Copy {
        Copy { traced_mtu: traced_mtu.min(self.mtu), ..self }
    }

    /// How many records a packet of so many bytes has room for on this way, at most as many as there are nodes between its
    /// ends; `None` if not even for a trace without.
    pub fn records(&self, inner_len: usize) -> Option<usize> {
        let room = usize::from(self.traced_mtu).checked_sub(inner_len + trace::option_len(0))?;
        Some((room / RECORD_LEN).min(usize::from(self.hops).saturating_sub(1)).min(RECORDS_MAX))
    }

    /// How all packets leave, where nothing is left to be decided: their headers are those of
    /// [`Template::write_plain_copy`].
    #[inline(always)]
    pub fn straight(&self) -> Option<&Departure> {
        if self.straight { self.departure.as_ref() } else { None }
    }

    /// How a stream's packets leave.
    #[inline(always)]
    pub fn departure(&self, stream: u16) -> Option<&Departure> {
        if self.others.is_empty() {
            return self.departure.as_ref();
        }
        match overlay::wire::bucket(stream) as usize % (self.others.len() + 1) {
            0 => self.departure.as_ref(),
            several => self.others.get(several - 1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn turns_alternate_by_weight() {
        let turns = |weights: &[u8]| Spread::new(weights).turns.to_vec();
        assert_eq!([turns(&[1, 1]), turns(&[3, 1]), turns(&[])], [vec![0, 1], vec![0, 0, 1, 0], vec![0]]);
    }

    proptest! {
        #[test]
        fn each_path_has_its_share_of_every_round(weights in proptest::collection::vec(1u8..=100, 1..9)) {
            let spread = Spread::new(&weights);
            let round: u32 = weights.iter().map(|weight| u32::from(*weight)).sum();
            for (path, weight) in weights.iter().enumerate() {
                let turns = (17..17 + round).filter(|number| spread.turn(*number) == path).count();
                prop_assert_eq!(turns, usize::from(*weight));
            }
        }
    }
}
