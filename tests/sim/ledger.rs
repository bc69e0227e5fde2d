//! What hosts sent and received: the model that the overlay is held against.

use super::packets::{Body, Datagram};
use super::plan::Plan;
use overlay::topology::{Application, NodeId, RegionIndex, Topology};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// TTL that the way through the overlay takes: the edge and the gateway are one IP hop each.
const HOPS: u8 = 2;

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The client's host.
    pub station: usize,
    /// The application.
    pub application: usize,
    /// The request as the client sent it.
    pub request: Datagram,
    /// When it is sent, ns.
    pub sent_at: u64,
    /// How often it arrived at an origin.
    pub arrivals: u32,
    /// The request as the origin saw it, and the origin's host.
    pub seen: Option<(Datagram, usize)>,
    /// Whether the origin answers with an ICMP error instead.
    pub refused: bool,
    /// Whether the client sends an ICMP error about the reply.
    pub complains: bool,
    /// The reply as the origin sent it.
    pub reply: Option<Datagram>,
    /// How often the reply, or the error in its place, arrived at the client.
    pub returns: u32,
    /// When it did first, ns.
    pub returned_at: u64,
    /// How often the client's error about the reply arrived at the origin.
    pub complaints: u32,
}

/// What identifies a session: client and its port, virtual IP and its port, protocol.
type Session = (IpAddr, u16, IpAddr, u16, u8);
/// An address and port with their protocol.
type External = (IpAddr, u16, u8);

/// All exchanges of a run, and what has been seen of translation.
#[derive(Debug)]
pub struct Ledger {
    /// By their number, which stands in the payload.
    pub exchanges: Vec<Exchange>,
    /// Whether a packet may arrive twice, since the node that eliminates lost its memory.
    pub forgetful: bool,
    /// Whether a client's new sessions must meet the origin of its others; not so while origins come and go.
    pub sticky: bool,
    applications: Vec<Application>,
    pools: BTreeMap<IpAddr, (NodeId, RegionIndex)>,
    /// What each is translated to, and its origin.
    sessions: BTreeMap<Session, (External, (IpAddr, u16))>,
    externals: BTreeMap<External, (IpAddr, u16)>,
    address_of: BTreeMap<(IpAddr, NodeId), IpAddr>,
    origin_of: BTreeMap<(IpAddr, usize), IpAddr>,
    gateway_of: BTreeMap<(IpAddr, RegionIndex), NodeId>,
}

impl Ledger {
    pub(super) fn new(plan: &Plan) -> Ledger {
        let mut ledger = Ledger {
            exchanges: Vec::new(),
            forgetful: false,
            sticky: true,
            applications: plan.topology.applications.clone(),
            pools: BTreeMap::new(),
            sessions: BTreeMap::new(),
            externals: BTreeMap::new(),
            address_of: BTreeMap::new(),
            origin_of: BTreeMap::new(),
            gateway_of: BTreeMap::new(),
        };
        ledger.take_topology(&plan.topology);
        ledger
    }

    /// Another topology is about to be used, beside those before it: applications, known by their names, may have
    /// further origins.
    pub fn take_topology(&mut self, topology: &Topology) {
        for known in &mut self.applications {
            let new = topology.applications.iter().find(|one| one.name == known.name);
            known.origins.extend(new.iter().flat_map(|one| &one.origins));
        }
        for node in &topology.nodes {
            for address in node.nat_pool.iter().flat_map(pipelines::tables::pool_addresses) {
                self.pools.insert(address.to_ip(), (node.id, node.region));
            }
        }
    }

    pub(super) fn forget_gateway(&mut self, gateway: NodeId) {
        let pools = &self.pools;
        let lost = |external: &External| pools[&external.0].0 == gateway;
        self.sessions.retain(|_, (external, _)| !lost(external));
        self.externals.retain(|external, _| !lost(external));
        self.address_of.retain(|(_, node), _| *node != gateway);
    }

    /// The requests that an origin got.
    pub fn delivered(&self) -> usize {
        self.exchanges.iter().filter(|exchange| exchange.arrivals > 0).count()
    }

    /// The requests whose reply the client got.
    pub fn returned(&self) -> usize {
        self.exchanges.iter().filter(|exchange| exchange.returns > 0).count()
    }

    /// What is missing of some exchanges: each should have gone there and back again.
    pub fn missing(&self, required: impl Fn(&Exchange) -> bool) -> Vec<String> {
        let mut missing = Vec::new();
        for (number, exchange) in self.exchanges.iter().enumerate().filter(|(_, one)| required(one)) {
            let complaints = (exchange.complains && !exchange.refused) as u32;
            if exchange.arrivals == 0 {
                missing.push(format!("request {number} never arrived: {exchange:?}"));
            } else if exchange.returns == 0 {
                missing.push(format!("the reply to {number} never arrived: {exchange:?}"));
            } else if exchange.complaints != complaints {
                missing.push(format!("the client's error about {number} never arrived: {exchange:?}"));
            }
        }
        missing
    }

    /// The exchange that a packet says it belongs to, if there is one.
    pub(super) fn number_of(&self, seen: &Datagram) -> Option<usize> {
        number_in(seen.body.payload()).filter(|number| *number < self.exchanges.len())
    }

    /// A packet that an origin got: which exchange it belongs to.
    pub(super) fn at_origin(&mut self, station: usize, seen: &Datagram) -> usize {
        let number = number_in(seen.body.payload()).unwrap_or_else(|| panic!("nobody sent this: {seen:?}"));
        let exchange = &mut self.exchanges[number];
        let request = &exchange.request;
        exchange.arrivals += 1;
        assert!(
            exchange.arrivals == 1 || self.forgetful,
            "request {number} arrived {} times: {seen:?}",
            exchange.arrivals
        );
        let mut expected = request.clone();
        let (external, origin) = (seen.body.ports().0, seen.body.ports().1);
        (expected.src, expected.dst) = (seen.src, seen.dst);
        expected.ttl -= HOPS;
        expected.body = expected.body.with_ports((external, origin)).with_segments_of(&seen.body);
        assert_eq!(*seen, expected, "request {number} was changed: {request:?}");
        exchange.seen = Some((seen.clone(), station));

        let echo = matches!(request.body, Body::Echo { .. });
        let (client_port, service) = request.body.ports();
        let service = if echo { 0 } else { service };
        let application = &self.applications[exchange.application];
        let wanted = application
            .origins
            .iter()
            .any(|one| one.address == seen.dst && (echo || one.port.unwrap_or(service) == origin));
        assert!(wanted, "request {number} arrived at an origin of another application: {seen:?}");
        let protocol = seen.body.protocol(seen.src.is_ipv4());
        let session = (request.src, client_port, request.dst, service, protocol);
        let key = (request.src, exchange.application);
        let at = (seen.dst, if echo { 0 } else { origin });
        match prefix_of(application, request) {
            Some(address) => {
                assert_eq!((seen.src, external), (address, client_port), "by prefix: {request:?}")
            }
            None => self.check_translation(session, (seen.src, external, protocol), at),
        }
        let client = session.0;
        let known = *self.origin_of.entry(key).or_insert(seen.dst);
        assert!(known == seen.dst || !self.sticky, "client {client} met origins {known} and {}", seen.dst);
        number
    }

    /// The translation is one-to-one and stays; a client keeps its address and its gateway.
    fn check_translation(&mut self, session: Session, external: External, origin: (IpAddr, u16)) {
        let (gateway, region) =
            *self.pools.get(&external.0).unwrap_or_else(|| panic!("{external:?} is no gateway's address"));
        assert!(external.1 >= nat::PORT_MIN || session.1 < nat::PORT_MIN, "{external:?} for {session:?}");
        let known = *self.sessions.entry(session).or_insert((external, origin));
        assert_eq!(known, (external, origin), "the session {session:?} was translated anew");
        // A client's port has one external port for all that it talks to, and no other client's has that.
        let inside = (session.0, session.1);
        let holder = *self.externals.entry(external).or_insert(inside);
        assert_eq!(holder, inside, "two clients' ports share {external:?}");
        let address = *self.address_of.entry((session.0, gateway)).or_insert(external.0);
        assert_eq!(address, external.0, "client {} has two addresses", session.0);
        let chosen = *self.gateway_of.entry((session.0, region)).or_insert(gateway);
        assert_eq!(chosen, gateway, "client {} meets two gateways of one region", session.0);
    }

    /// A reply or an error that a client got: which exchange it belongs to.
    pub(super) fn at_client(&mut self, now: u64, seen: &Datagram) -> usize {
        if let Body::Error { kind, quote, .. } = &seen.body {
            return self.error_at_client(now, seen, *kind, quote);
        }
        let number = number_in(seen.body.payload()).unwrap_or_else(|| panic!("nobody sent this: {seen:?}"));
        let exchange = &mut self.exchanges[number];
        let reply = exchange.reply.as_ref().unwrap_or_else(|| panic!("no reply was sent: {seen:?}"));
        exchange.returns += 1;
        exchange.returned_at = now;
        assert!(
            exchange.returns == 1 || self.forgetful,
            "the reply to {number} arrived {} times: {seen:?}",
            exchange.returns
        );
        let (client, service) = exchange.request.body.ports();
        let mut expected = reply.clone();
        (expected.src, expected.dst) = (exchange.request.dst, exchange.request.src);
        expected.ttl -= HOPS;
        let back = if matches!(reply.body, Body::Echo { .. }) { (client, client) } else { (service, client) };
        expected.body = expected.body.with_ports(back).with_segments_of(&seen.body);
        assert_eq!(*seen, expected, "the reply to {number} was changed: {reply:?}");
        number
    }

    /// An error about a request: it comes from the virtual IP and quotes the request as the client sent it, less
    /// the hops on its way.
    fn error_at_client(&mut self, now: u64, seen: &Datagram, kind: u8, quote: &[u8]) -> usize {
        let (number, exchange) = find_quoted(&mut self.exchanges, quote, |exchange| Some(&exchange.request));
        assert!(exchange.refused, "nobody refused request {number}, but: {seen:?}");
        assert_eq!((seen.src, seen.dst), (exchange.request.dst, exchange.request.src), "{seen:?}");
        assert_eq!(kind, if seen.src.is_ipv4() { 3 } else { 1 });
        exchange.returns += 1;
        exchange.returned_at = now;
        assert!(exchange.returns == 1 || self.forgetful, "the error about {number} arrived twice");
        number
    }

    /// A client's error about a reply, as the origin got it.
    pub(super) fn error_at_origin(&mut self, seen: &Datagram) {
        let quote = seen.body.payload();
        let (number, exchange) = find_quoted(&mut self.exchanges, quote, |exchange| exchange.reply.as_ref());
        let reply = exchange.reply.as_ref().expect("the quoted reply");
        assert_eq!((seen.src, seen.dst), (reply.dst, reply.src), "about the reply to {number}: {seen:?}");
        exchange.complaints += 1;
        assert!(exchange.complaints == 1 || self.forgetful, "the error about {number} arrived twice");
    }
}

/// What a client's address becomes by prefix, if it does.
fn prefix_of(application: &Application, request: &Datagram) -> Option<IpAddr> {
    let IpAddr::V6(client) = request.src else { return None };
    let rules = &application.translation.prefixes;
    let rule = rules.iter().find(|rule| rule.vip == request.dst && rule.inside.contains(client))?;
    let ends = [rule.inside, rule.outside].map(|prefix| prefix.network().into());
    let pair = nat::PrefixPair::new(ends[0], ends[1], rule.inside.prefix()).unwrap();
    Some(pair.outward(client.into()).expect("a client that can be translated").to_ip())
}

/// The exchange that a quoted packet belongs to, once the quote is seen to be that packet as its sender knows it.
fn find_quoted<'a>(
    exchanges: &'a mut [Exchange],
    quote: &[u8],
    sent: impl Fn(&Exchange) -> Option<&Datagram>,
) -> (usize, &'a mut Exchange) {
    let (quoted, transport) = super::decode::decode_ip(quote).unwrap();
    let number =
        number_in(quoted.body.payload()).unwrap_or_else(|| panic!("a quote of nothing sent: {quoted:?}"));
    let exchange = &mut exchanges[number];
    let mut original =
        sent(exchange).unwrap_or_else(|| panic!("a quote of nothing sent: {quoted:?}")).clone();
    original.ttl -= HOPS;
    let bytes = original.encode();
    let header = quote.len() - transport.len();
    assert!(bytes.starts_with(quote), "quoted {quote:02x?}\nof {bytes:02x?}, header {header}");
    (number, exchange)
}

/// First bytes of every payload that hosts send.
const MAGIC: [u8; 4] = *b"PROA";
/// Bytes that a payload has at least: the magic number and the exchange's.
pub(super) const PAYLOAD_MIN: usize = 12;

/// A payload of so many bytes that tells its exchange, and whose other bytes follow from it.
pub(super) fn payload(number: usize, len: usize) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend((number as u64).to_be_bytes());
    let filler = (bytes.len()..len).map(|at| (at as u8).wrapping_mul(31) ^ number as u8);
    bytes.extend(filler);
    bytes
}

fn number_in(payload: &[u8]) -> Option<usize> {
    let number = payload.strip_prefix(&MAGIC)?.first_chunk::<8>()?;
    Some(u64::from_be_bytes(*number) as usize)
}
