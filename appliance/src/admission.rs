//! Which packets may go to the control thread: a rate for each cause, so that no flood of one kind keeps another out.
//!
//! Of ARP and neighbour discovery the answers to our own questions matter most: without them neighbours in use would
//! be given up. Questions to us come next; what other stations ask each other, on a large link most of it, only
//! updates what is known. Of what anybody may send, each source has a share of its own, so that one that floods does not
//! take the others'. What tells whether links and paths live has a rate for each member, so that a flood with one
//! member's address leaves the others theirs.

use overlay::bfd;
use overlay::plpmtud;
use overlay::topology::NodeId;
use packet::PacketBuf;
use packet::ethernet::{self, Arp, TYPE_ARP};
use packet::icmp::V6_NEIGHBOR_SOLICITATION;
use packet::ip;
use packet::{Addr, BufPool};
use pipelines::slow::Bucket;
use pipelines::source_limit::SourceLimit;
use pipelines::{Cause, Forwarder, Punt};
use zerocopy::FromBytes;

/// Packets per second of each kind, in the order of [`Kind`].
const PER_SECOND: [u32; 5] = [2000, 1000, 200, 1000, 5000];

/// Packets per second of one source, of those that anybody may send for the node itself.
const PER_SOURCE: u32 = 300;
/// BFD packets per second of one member: both IP versions at the shortest interval, and as much again.
const BFD_PER_SECOND: u32 = 500;
/// Probes of the MTU and acknowledgements per second of one member: both IP versions at the shortest interval, three at
/// once and both ways.
const SIZES_PER_SECOND: u32 = 1200;
/// Messages about keys per second of one member, which says a few in an hour.
const KEYS_PER_SECOND: u32 = 20;
/// Messages about link state per second of one member, which sends no more than 400.
const LINK_STATE_PER_SECOND: u32 = 600;
/// Messages about blocks of addresses per second of one member: at the shortest lease some 120 while one is claimed.
const TAKEOVERS_PER_SECOND: u32 = 300;
/// Probes and answers per second of one member: sixteen paths at the shortest interval, and a little more.
const PROBES_PER_SECOND: u32 = 4000;
/// Rates for members; those whose numbers are equal modulo this share one.
const MEMBERS: usize = 256;

/// What a punted packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A neighbour's answer, sent to this station alone.
    Answer,
    /// A question about one of this node's addresses.
    Question,
    /// Neighbour discovery among others.
    Foreign,
    /// To one of the node's own addresses.
    Local,
    /// On its way, but without a known neighbour.
    Unresolved,
    /// A member's message about keys.
    Keys(NodeId),
    /// A member's message about link state.
    LinkState(NodeId),
    /// A member's message about who holds which block of addresses.
    Takeover(NodeId),
    /// A member's BFD packet.
    Bfd(NodeId),
    /// A member's probe of the MTU, or its acknowledgement of one.
    Size(NodeId),
    /// A member's probe, or its answer to one.
    Probe(NodeId),
}

/// One worker's rates.
pub struct Admission {
    rates: [Bucket; PER_SECOND.len()],
    sources: SourceLimit,
    bfd: Box<[Bucket]>,
    keys: Box<[Bucket]>,
    link_state: Box<[Bucket]>,
    takeovers: Box<[Bucket]>,
    sizes: Box<[Bucket]>,
    probes: Box<[Bucket]>,
}

impl Admission {
    /// Full rates; `seed` is unpredictable.
    pub fn new(seed: u64) -> Admission {
        let members = |per_second| vec![Bucket::new(per_second); MEMBERS].into_boxed_slice();
        Admission {
            rates: PER_SECOND.map(Bucket::new),
            sources: SourceLimit::new(PER_SOURCE, seed),
            bfd: members(BFD_PER_SECOND),
            keys: members(KEYS_PER_SECOND),
            link_state: members(LINK_STATE_PER_SECOND),
            takeovers: members(TAKEOVERS_PER_SECOND),
            sizes: members(SIZES_PER_SECOND),
            probes: members(PROBES_PER_SECOND),
        }
    }

    /// Whether a packet may go; `source` is who sent it, as far as that can be told.
    pub fn admit(&mut self, now_ns: u64, kind: Kind, source: Option<Addr>) -> bool {
        let shares = matches!(kind, Kind::Question | Kind::Foreign | Kind::Local);
        if shares && source.is_some_and(|source| !self.sources.take(now_ns, source)) {
            return false;
        }
        let rate = match kind {
            Kind::Answer => &mut self.rates[0],
            Kind::Question => &mut self.rates[1],
            Kind::Foreign => &mut self.rates[2],
            Kind::Local => &mut self.rates[3],
            Kind::Unresolved => &mut self.rates[4],
            Kind::Keys(node) => &mut self.keys[node.0 as usize % MEMBERS],
            Kind::LinkState(node) => &mut self.link_state[node.0 as usize % MEMBERS],
            Kind::Takeover(node) => &mut self.takeovers[node.0 as usize % MEMBERS],
            Kind::Bfd(node) => &mut self.bfd[node.0 as usize % MEMBERS],
            Kind::Size(node) => &mut self.sizes[node.0 as usize % MEMBERS],
            Kind::Probe(node) => &mut self.probes[node.0 as usize % MEMBERS],
        };
        rate.take(now_ns)
    }
}

/// Who sent a punted packet: the source of IP, or the sender that ARP names.
pub fn source(frame: &[u8]) -> Option<Addr> {
    let link = ethernet::parse(frame).ok()?;
    let payload = frame.get(link.payload_at..)?;
    if link.ether_type == TYPE_ARP {
        let (arp, _) = Arp::ref_from_prefix(payload).ok()?;
        return Some(Addr::from_v4(arp.sender_ip));
    }
    ip::parse(payload).ok().map(|packet| packet.src)
}

/// What a punted packet is, under the worker's tables.
pub fn kind<P: BufPool>(punt: &Punt<P::Buf>, forwarder: &Forwarder<P>) -> Kind {
    match punt.cause {
        Cause::Local => Kind::Local,
        Cause::Unresolved(_) => Kind::Unresolved,
        Cause::Keys => by_source(punt.buf.data(), |addr| forwarder.tables().members.get(addr), Kind::Keys),
        Cause::LinkState => {
            by_source(punt.buf.data(), |addr| forwarder.tables().members.get(addr), Kind::LinkState)
        }
        Cause::Takeover => {
            by_source(punt.buf.data(), |addr| forwarder.tables().members.get(addr), Kind::Takeover)
        }
        Cause::Liveness => liveness(punt.buf.data(), |addr| forwarder.tables().members.get(addr)),
        Cause::NeighborDiscovery => {
            discovery(punt.buf.data(), |addr| forwarder.tables().local.get(addr).is_some())
        }
    }
}

/// By its source, as [`liveness`].
fn by_source(frame: &[u8], member: impl Fn(Addr) -> Option<NodeId>, kind: impl Fn(NodeId) -> Kind) -> Kind {
    let packet = ethernet::parse(frame).ok().and_then(|link| ip::parse(frame.get(link.payload_at..)?).ok());
    packet.and_then(|packet| member(packet.src)).map_or(Kind::Local, kind)
}

/// By its outer source, which classification has found to be a member's.
fn liveness(frame: &[u8], member: impl Fn(Addr) -> Option<NodeId>) -> Kind {
    let packet = ethernet::parse(frame).ok().and_then(|link| ip::parse(frame.get(link.payload_at..)?).ok());
    match packet.map(|packet| (packet.dst_port, member(packet.src))) {
        Some((bfd::PORT, Some(node))) => Kind::Bfd(node),
        Some((plpmtud::PORT, Some(node))) => Kind::Size(node),
        Some((_, Some(node))) => Kind::Probe(node),
        _ => Kind::Local,
    }
}

fn discovery(frame: &[u8], is_own: impl Fn(Addr) -> bool) -> Kind {
    let target = || {
        let link = ethernet::parse(frame).ok()?;
        let payload = frame.get(link.payload_at..)?;
        if link.ether_type == TYPE_ARP {
            let (arp, _) = Arp::ref_from_prefix(payload).ok()?;
            return Some((arp.operation.get() == Arp::REQUEST, Addr::from_v4(arp.target_ip)));
        }
        let packet = ip::parse(payload).ok()?;
        let target = payload.get(packet.transport_at as usize + 8..)?.first_chunk()?;
        let is_question = packet.detail == V6_NEIGHBOR_SOLICITATION;
        Some((is_question, if is_question { Addr::from_v6(*target) } else { packet.dst }))
    };
    // Only frames to this station's own address or to a group come this far.
    let to_us_alone = ethernet::destination(frame).is_some_and(|mac| !mac.is_group());
    match target() {
        Some((false, addr)) if to_us_alone && is_own(addr) => Kind::Answer,
        Some((true, addr)) if is_own(addr) => Kind::Question,
        _ => Kind::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::Mac;

    fn arp(to: Mac, operation: u8, target: [u8; 4]) -> Vec<u8> {
        let mut frame = to.0.to_vec();
        frame.extend([2, 0, 0, 0, 0, 9, 8, 6, 0, 1, 8, 0, 6, 4, 0, operation]);
        frame.extend([2, 0, 0, 0, 0, 9, 192, 0, 2, 9, 0, 0, 0, 0, 0, 0]);
        frame.extend(target);
        frame
    }

    #[test]
    fn answers_questions_and_the_rest_are_told_apart() {
        let own = Addr::from_v4([192, 0, 2, 1]);
        let kind = |frame: &[u8]| discovery(frame, |addr| addr == own);
        let us = Mac([2, 0, 0, 0, 0, 1]);
        assert_eq!(kind(&arp(us, 2, [192, 0, 2, 1])), Kind::Answer);
        assert_eq!(kind(&arp(us, 2, [192, 0, 2, 9])), Kind::Foreign);
        assert_eq!(kind(&arp(Mac::BROADCAST, 2, [192, 0, 2, 1])), Kind::Foreign);
        assert_eq!(kind(&arp(Mac::BROADCAST, 1, [192, 0, 2, 1])), Kind::Question);
        assert_eq!(kind(&arp(us, 1, [192, 0, 2, 1])), Kind::Question);
        assert_eq!(kind(&arp(Mac::BROADCAST, 1, [192, 0, 2, 9])), Kind::Foreign);
        assert_eq!(kind(&arp(us, 1, [192, 0, 2, 1])[..30]), Kind::Foreign);
    }

    #[test]
    fn a_flood_of_one_kind_leaves_the_others_their_rate() {
        let mut admission = Admission::new(5);
        let admitted = (0..100_000).filter(|_| admission.admit(1, Kind::Foreign, None)).count();
        assert_eq!(admitted, 20);
        assert!(admission.admit(1, Kind::Answer, None) && admission.admit(1, Kind::Question, None));
    }

    #[test]
    fn a_flood_with_one_members_address_leaves_the_others_theirs() {
        let mut admission = Admission::new(5);
        let admitted = (0..100_000).filter(|_| admission.admit(1, Kind::Bfd(NodeId(7)), None)).count();
        assert_eq!(admitted, 50);
        assert!(admission.admit(1, Kind::Bfd(NodeId(8)), None));
        assert!(admission.admit(1, Kind::Probe(NodeId(7)), None));
        let flood = [Kind::Local, Kind::Unresolved, Kind::Foreign];
        for at in 0..100_000 {
            let _ = admission.admit(1, flood[at % 3], None);
        }
        assert!(admission.admit(1, Kind::Bfd(NodeId(9)), None));
    }

    #[test]
    fn a_flood_of_one_source_leaves_the_others_theirs() {
        let mut admission = Admission::new(5);
        let source = |host| Some(Addr::from_v4([198, 51, 100, host]));
        let flood =
            (0..10_000u64).filter(|at| admission.admit(1 + at * 100_000, Kind::Local, source(1))).count();
        assert!((300..=340).contains(&flood), "{flood}");
        let others =
            (2..52).filter(|host| admission.admit(1_000_000_000, Kind::Local, source(*host))).count();
        assert!(others >= 49, "{others}");
        let us = Mac([2, 0, 0, 0, 0, 1]);
        assert_eq!(super::source(&arp(us, 1, [192, 0, 2, 1])), Some(Addr::from_v4([192, 0, 2, 9])));
    }
}
