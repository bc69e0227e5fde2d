//! From a question to its answer (RFC 1034, 1035, 2308, 6891, 7871, 8482): no I/O, no clock, nothing from the wire panics.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::opt::{ClientSubnet, EdnsCode, EdnsOption};
use hickory_proto::rr::rdata::{A, AAAA, HINFO, NS, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::limit::Verdict;
use super::view::{Host, View, truncated};

/// Bytes that a message over UDP has at most, whatever a client offers: what passes everywhere (RFC 9715).
const UDP_BYTES_MAX: u16 = 1232;
/// Bytes that one without EDNS has at most (RFC 1035 section 2.3.4).
const UDP_BYTES_PLAIN: u16 = 512;
/// A message's header.
const HEADER_LEN: usize = 12;
/// Timers of the SOA record, which nobody goes by: there are no zone transfers.
const REFRESH_S: i32 = 3600;
const RETRY_S: i32 = 600;
const EXPIRE_S: i32 = 86_400;

/// How a question came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram.
    Udp,
    /// Over a connection.
    Tcp,
}

/// What became of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It has an answer.
    Answered,
    /// The name is there, and has nothing of this type.
    NoData,
    /// There is no such name.
    NoName,
    /// It is not for this server.
    Refused,
    /// It is of a kind that is not spoken here.
    NotImplemented,
    /// It contradicts itself.
    Malformed,
    /// It is answered in short, to be asked again over TCP.
    Truncated,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 7] = [
        Outcome::Answered,
        Outcome::NoData,
        Outcome::NoName,
        Outcome::Refused,
        Outcome::NotImplemented,
        Outcome::Malformed,
        Outcome::Truncated,
    ];

    /// Its name where it is counted.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Answered => "answered",
            Outcome::NoData => "no_data",
            Outcome::NoName => "no_name",
            Outcome::Refused => "refused",
            Outcome::NotImplemented => "not_implemented",
            Outcome::Malformed => "malformed",
            Outcome::Truncated => "truncated",
        }
    }
}

/// The zone that is answered for.
#[derive(Clone, Debug)]
pub struct Zone {
    origin: Name,
    /// Lower case, without the last dot.
    text: String,
    soa: SOA,
    name_servers: Vec<Name>,
    ttl_s: u32,
}

impl Zone {
    /// As the server's file describes it; `None` if its names are none.
    pub fn new(settings: &conf::server::Dns) -> Option<Zone> {
        let name = |text: &str| Name::from_ascii(format!("{text}.")).ok();
        let name_servers: Option<Vec<Name>> = settings.name_servers.iter().map(|text| name(text)).collect();
        let name_servers = name_servers?;
        let (primary, contact) = (name_servers.first()?.clone(), name(&settings.contact)?);
        Some(Zone {
            origin: name(&settings.zone)?,
            text: settings.zone.clone(),
            soa: SOA::new(primary, contact, 0, REFRESH_S, RETRY_S, EXPIRE_S, settings.ttl_s),
            name_servers,
            ttl_s: settings.ttl_s,
        })
    }

    /// Whether a name is its own or below it.
    pub fn holds(&self, name: &str) -> bool {
        name.strip_suffix(self.text.as_str()).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }

    fn soa(&self, revision: u64) -> Record {
        let mut soa = self.soa.clone();
        soa.serial = revision as u32;
        Record::from_rdata(self.origin.clone(), self.ttl_s, RData::SOA(soa))
    }
}

/// What is sent back, and what became of the question.
#[derive(Debug)]
pub struct Answer {
    /// The message.
    pub bytes: Vec<u8>,
    /// What became of the question.
    pub outcome: Outcome,
}

/// The answer to a message from an address; `None` where silence is the answer: to what is too short to be a message, and to
/// answers, which could go back and forth for ever.
pub fn answer(
    zone: &Zone,
    view: &View,
    message: &[u8],
    from: IpAddr,
    over: Transport,
    verdict: Verdict,
) -> Option<Answer> {
    let header: &[u8; HEADER_LEN] = message.first_chunk()?;
    let is_answer = header[2] & 0x80 != 0;
    if is_answer || verdict == Verdict::Hold {
        return None;
    }
    let op_code = OpCode::from_u8((header[2] >> 3) & 0x0f);
    if op_code != OpCode::Query {
        return Some(bare(header, ResponseCode::NotImp, Outcome::NotImplemented));
    }
    // Looked at before the parser does: it makes room for as many questions as the header claims. An IXFR question has an
    // authority record, and a question may have options and a signature.
    let count = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    if count(4) != 1 || count(6) != 0 || count(8) > 1 || count(10) > 2 {
        return Some(bare(header, ResponseCode::FormErr, Outcome::Malformed));
    }
    let Ok(asked) = Message::from_vec(message) else {
        return Some(bare(header, ResponseCode::FormErr, Outcome::Malformed));
    };
    let Some(query) = asked.queries.first() else {
        return Some(bare(header, ResponseCode::FormErr, Outcome::Malformed));
    };
    let mut reply = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
    reply.metadata.recursion_desired = asked.metadata.recursion_desired;
    reply.add_query(query.clone());
    let (mut client, mut known_bits) = (from.to_canonical(), 128);
    if let Some(offered) = &asked.edns {
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_BYTES_MAX).set_version(0).set_dnssec_ok(offered.flags().dnssec_ok);
        let subnet = subnet(offered);
        if let Ok(Some(subnet)) = subnet
            && subnet.source_prefix() > 0
        {
            (client, known_bits) = (subnet.addr(), subnet.source_prefix());
        }
        if let Ok(Some(subnet)) = subnet {
            // Without an address the answer is for everybody who gives none.
            let scope = if subnet.source_prefix() > 0 { view.scope(subnet.addr()) } else { 0 };
            let told = ClientSubnet::new(subnet.addr(), subnet.source_prefix(), scope);
            edns.options_mut().insert(EdnsOption::Subnet(told));
        }
        reply.set_edns(edns);
        if offered.version() > 0 {
            reply.metadata.response_code = ResponseCode::BADVERS;
            return finished(reply, over, &asked, Outcome::Refused);
        }
        if subnet.is_err() {
            reply.metadata.response_code = ResponseCode::FormErr;
            return finished(reply, over, &asked, Outcome::Malformed);
        }
    }
    if verdict == Verdict::Slip {
        reply.metadata.truncation = true;
        return finished(reply, over, &asked, Outcome::Truncated);
    }
    let outcome = fill(&mut reply, query, zone, view, client, known_bits);
    finished(reply, over, &asked, outcome)
}

/// Puts in what is known.
fn fill(reply: &mut Message, query: &Query, zone: &Zone, view: &View, client: IpAddr, bits: u8) -> Outcome {
    let name = query.name().to_lowercase().to_ascii();
    let name = name.strip_suffix('.').unwrap_or(&name);
    let kind = query.query_type();
    let transfer = matches!(kind, RecordType::AXFR | RecordType::IXFR);
    if query.query_class() != DNSClass::IN || transfer || !zone.holds(name) {
        reply.metadata.response_code = ResponseCode::Refused;
        return Outcome::Refused;
    }
    reply.metadata.authoritative = true;
    let is_origin = name == zone.text;
    let host = view.hosts.get(name);
    let owner = query.name();
    match kind {
        RecordType::SOA if is_origin => drop(reply.add_answer(zone.soa(view.revision))),
        RecordType::NS if is_origin => {
            let server =
                |name: &Name| Record::from_rdata(owner.clone(), zone.ttl_s, RData::NS(NS(name.clone())));
            reply.add_answers(zone.name_servers.iter().map(server));
        }
        // One small record for "whatever there is" (RFC 8482 section 4.2).
        RecordType::ANY if is_origin || host.is_some() => {
            let nothing = HINFO::new("RFC8482".to_owned(), String::new());
            reply.add_answer(Record::from_rdata(owner.clone(), zone.ttl_s, RData::HINFO(nothing)));
        }
        RecordType::A | RecordType::AAAA => {
            let v6 = kind == RecordType::AAAA;
            let choose = |host: &Host| view.choose(host, v6, client, bits);
            if let Some(address) = host.and_then(choose) {
                reply.add_answer(Record::from_rdata(owner.clone(), zone.ttl_s, data(address)));
            }
        }
        _ => {}
    }
    if !reply.answers.is_empty() {
        return Outcome::Answered;
    }
    // How long "no" may be kept is told by the SOA record (RFC 2308 section 3).
    reply.add_authority(zone.soa(view.revision));
    if is_origin || host.is_some() || view.is_above(name) {
        return Outcome::NoData;
    }
    reply.metadata.response_code = ResponseCode::NXDomain;
    Outcome::NoName
}

fn data(address: IpAddr) -> RData {
    match address {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    }
}

/// The client subnet option, which must not contradict itself (RFC 7871 section 6).
fn subnet(edns: &Edns) -> Result<Option<ClientSubnet>, ()> {
    let options = edns.options().get_all(EdnsCode::Subnet);
    let subnet = match options.as_slice() {
        [] => return Ok(None),
        [EdnsOption::Subnet(subnet)] => *subnet,
        _ => return Err(()),
    };
    let most = if subnet.addr().is_ipv4() { 32 } else { 128 };
    let is_good = subnet.scope_prefix() == 0
        && subnet.source_prefix() <= most
        && truncated(subnet.addr(), subnet.source_prefix()) == subnet.addr();
    if is_good { Ok(Some(subnet)) } else { Err(()) }
}

/// The bytes of a reply, without its records where they do not fit.
fn finished(mut reply: Message, over: Transport, asked: &Message, outcome: Outcome) -> Option<Answer> {
    let bytes = reply.to_vec().ok()?;
    let offered = asked.edns.as_ref().map_or(UDP_BYTES_PLAIN, Edns::max_payload);
    let most = match over {
        Transport::Udp => usize::from(offered.clamp(UDP_BYTES_PLAIN, UDP_BYTES_MAX)),
        Transport::Tcp => usize::from(u16::MAX),
    };
    if bytes.len() <= most {
        return Some(Answer { bytes, outcome });
    }
    reply.answers.clear();
    reply.authorities.clear();
    reply.metadata.truncation = true;
    Some(Answer { bytes: reply.to_vec().ok()?, outcome: Outcome::Truncated })
}

/// A reply that is a header only: what stood behind it was not understood.
fn bare(header: &[u8; HEADER_LEN], code: ResponseCode, outcome: Outcome) -> Answer {
    let [a, b, flags, ..] = *header;
    // An answer, of the same kind, recursion desired as it was (RFC 1035 section 4.1.1).
    let bytes = vec![a, b, 0x80 | (flags & 0x79), code.low(), 0, 0, 0, 0, 0, 0, 0, 0];
    Answer { bytes, outcome }
}

#[cfg(test)]
mod tests {
    use super::super::board::{Absence, Board};
    use super::super::view::{Candidate, tests::overlay};
    use super::*;
    use hickory_proto::rr::rdata::opt::OPT;
    use proptest::prelude::*;

    const WEB: &str = "web.apps.example.com";

    fn zone() -> Zone {
        Zone::new(&conf::server::Dns {
            listen: Vec::new(),
            zone: "apps.example.com".to_owned(),
            name_servers: vec!["ns1.example.com".to_owned(), "ns2.example.net".to_owned()],
            contact: "hostmaster.example.com".to_owned(),
            ttl_s: 20,
            hold_s: 0,
            responses_per_second: 0,
        })
        .unwrap()
    }

    fn view() -> View {
        View::new(7, &overlay(), &Board::new(0, 0))
    }

    fn question(name: &str, kind: RecordType) -> Message {
        let mut message = Message::new(4711, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = true;
        message.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), kind));
        message
    }

    fn with_subnet(mut message: Message, address: &str, source: u8, scope: u8) -> Message {
        let mut edns = Edns::new();
        edns.set_max_payload(4096);
        let subnet = ClientSubnet::new(address.parse().unwrap(), source, scope);
        edns.options_mut().insert(EdnsOption::Subnet(subnet));
        message.set_edns(edns);
        message
    }

    fn raw(bytes: &[u8], over: Transport) -> Option<(Message, Outcome)> {
        let from = "192.0.2.99".parse().unwrap();
        let answer = answer(&zone(), &view(), bytes, from, over, Verdict::Send)?;
        Some((Message::from_vec(&answer.bytes).unwrap(), answer.outcome))
    }

    fn asked(message: &Message) -> (Message, Outcome) {
        raw(&message.to_vec().unwrap(), Transport::Udp).unwrap()
    }

    #[test]
    fn a_hostname_is_answered_with_authority_and_without_recursion() {
        let (reply, outcome) = asked(&question("wEb.aPPs.example.COM", RecordType::A));
        assert_eq!(outcome, Outcome::Answered);
        assert!(reply.metadata.authoritative && reply.metadata.recursion_desired);
        assert!(!reply.metadata.recursion_available && !reply.metadata.truncation && reply.edns.is_none());
        assert_eq!((reply.metadata.id, reply.answers.len(), reply.answers[0].ttl), (4711, 1, 20));
        assert!(reply.queries[0].name().eq_case(&Name::from_ascii("wEb.aPPs.example.COM.").unwrap()), "0x20");
        let (reply, _) = asked(&question(WEB, RecordType::AAAA));
        assert_eq!(reply.answers[0].data, RData::AAAA(AAAA("2001:db8:a::3".parse().unwrap())));
    }

    #[test]
    fn the_zone_knows_its_soa_and_name_servers_and_any_is_small() {
        let (soa, _) = asked(&question("apps.example.com", RecordType::SOA));
        let RData::SOA(data) = &soa.answers[0].data else { panic!("{soa:?}") };
        assert_eq!(
            (data.serial, data.minimum, data.mname.to_ascii()),
            (7, 20, "ns1.example.com.".to_owned())
        );
        assert_eq!(asked(&question("apps.example.com", RecordType::NS)).0.answers.len(), 2);
        let (any, outcome) = asked(&question(WEB, RecordType::ANY));
        assert_eq!(
            (any.answers.len(), any.answers[0].record_type(), outcome),
            (1, RecordType::HINFO, Outcome::Answered)
        );
    }

    #[test]
    fn what_is_not_there_is_told_with_how_long_that_may_be_kept() {
        for (name, kind, code, outcome) in [
            (WEB, RecordType::MX, ResponseCode::NoError, Outcome::NoData),
            ("apps.example.com", RecordType::A, ResponseCode::NoError, Outcome::NoData),
            ("nothing.apps.example.com", RecordType::A, ResponseCode::NXDomain, Outcome::NoName),
            ("a.web.apps.example.com", RecordType::A, ResponseCode::NXDomain, Outcome::NoName),
        ] {
            let (reply, was) = asked(&question(name, kind));
            assert_eq!((reply.metadata.response_code, was), (code, outcome), "{name} {kind}");
            assert!(reply.metadata.authoritative && reply.answers.is_empty());
            assert_eq!(reply.authorities[0].record_type(), RecordType::SOA);
        }
    }

    #[test]
    fn what_is_not_for_this_server_is_refused() {
        let mut chaos = question("version.bind", RecordType::TXT);
        chaos.queries[0].set_query_class(DNSClass::CH);
        let mut transfer = question("apps.example.com", RecordType::IXFR);
        transfer.add_authority(zone().soa(1));
        for message in [
            question("www.example.org", RecordType::A),
            question("example.com", RecordType::A),
            question("xapps.example.com", RecordType::A),
            question("apps.example.com", RecordType::AXFR),
            transfer,
            chaos,
        ] {
            let (reply, outcome) = asked(&message);
            assert_eq!((reply.metadata.response_code, outcome), (ResponseCode::Refused, Outcome::Refused));
            assert!(
                !reply.metadata.authoritative && reply.answers.is_empty() && reply.authorities.is_empty()
            );
        }
        for op_code in [OpCode::Notify, OpCode::Update, OpCode::Status, OpCode::Unknown(9)] {
            let mut message = question(WEB, RecordType::A);
            message.metadata.op_code = op_code;
            let (reply, outcome) = asked(&message);
            assert_eq!(
                (reply.metadata.response_code, outcome),
                (ResponseCode::NotImp, Outcome::NotImplemented)
            );
            assert_eq!((reply.metadata.id, reply.metadata.op_code), (4711, op_code));
        }
    }

    #[test]
    fn the_clients_subnet_decides_and_the_scope_says_for_whom() {
        let chosen = |address: &str, source| {
            let (reply, _) = asked(&with_subnet(question(WEB, RecordType::A), address, source, 0));
            let edns = reply.edns.unwrap();
            assert_eq!(edns.max_payload(), UDP_BYTES_MAX);
            let Some(EdnsOption::Subnet(told)) = edns.option(EdnsCode::Subnet) else { panic!("no subnet") };
            assert_eq!((told.addr().to_string().as_str(), told.source_prefix()), (address, source));
            (reply.answers[0].data.to_string(), told.scope_prefix())
        };
        assert_eq!(chosen("198.51.100.0", 24), ("203.0.113.3".to_owned(), 24), "Oslo");
        let (paris, scope) = chosen("198.51.7.0", 24);
        assert_ne!((paris.as_str(), scope), ("203.0.113.3", 24));
        assert_eq!(chosen("2001:db8:c::", 56).1, 56);
        assert_eq!(chosen("0.0.0.0", 0).1, 0);
        // Twice, with bits behind its end, of an impossible length, with a scope: it contradicts itself.
        let mut twice = with_subnet(question(WEB, RecordType::A), "198.51.100.0", 24, 0);
        let again = EdnsOption::Subnet(ClientSubnet::new("198.51.100.0".parse().unwrap(), 24, 0));
        twice.edns.as_mut().unwrap().options_mut().insert(again);
        let bad = |address, source, scope| with_subnet(question(WEB, RecordType::A), address, source, scope);
        for message in [twice, bad("198.51.100.0", 20, 0), bad("198.51.100.0", 24, 24)] {
            let (reply, outcome) = asked(&message);
            assert_eq!((reply.metadata.response_code, outcome), (ResponseCode::FormErr, Outcome::Malformed));
        }
    }

    #[test]
    fn other_versions_of_edns_are_told_which_one_is_spoken() {
        let mut message = with_subnet(question(WEB, RecordType::A), "0.0.0.0", 0, 0);
        message.edns.as_mut().unwrap().set_version(1);
        let (reply, _) = asked(&message);
        assert_eq!((u16::from(reply.metadata.response_code), reply.edns.unwrap().version()), (16, 0));
        let mut unknown = question(WEB, RecordType::A);
        let mut edns = Edns::new();
        *edns.options_mut() =
            OPT::new(vec![(EdnsCode::Unknown(4242), EdnsOption::Unknown(4242, vec![1, 2, 3]))]);
        unknown.set_edns(edns);
        assert_eq!(asked(&unknown).1, Outcome::Answered);
    }

    #[test]
    fn messages_that_lie_about_their_lengths_are_told_so_or_met_with_silence() {
        let good = question(WEB, RecordType::A).to_vec().unwrap();
        assert!(raw(&[], Transport::Udp).is_none() && raw(&good[..11], Transport::Udp).is_none());
        let mut reply = good.clone();
        reply[2] |= 0x80;
        assert!(raw(&reply, Transport::Udp).is_none(), "answers are not answered");
        let changed = |at: usize, to: u8| {
            let mut bytes = good.clone();
            bytes[at] = to;
            bytes
        };
        let loops = [&good[..12], &[0xc0, 12, 0, 1, 0, 1]].concat();
        for bytes in [
            good[..12].to_vec(),
            good[..20].to_vec(),
            good[..good.len() - 1].to_vec(),
            changed(4, 0xff),  // 65,281 questions
            changed(5, 0),     // none
            changed(5, 2),     // two
            changed(7, 1),     // an answer
            changed(11, 2),    // records that are not there
            changed(12, 0x7f), // a label beyond the end
            loops,
        ] {
            let (reply, outcome) = raw(&bytes, Transport::Udp).unwrap();
            assert_eq!(
                (reply.metadata.response_code, outcome),
                (ResponseCode::FormErr, Outcome::Malformed),
                "{bytes:?}"
            );
            assert_eq!(reply.metadata.id, 4711);
        }
    }

    #[test]
    fn what_is_held_back_is_not_sent_or_sent_without_records() {
        let bytes = question(WEB, RecordType::A).to_vec().unwrap();
        let from = "192.0.2.99".parse().unwrap();
        let with = |verdict| answer(&zone(), &view(), &bytes, from, Transport::Udp, verdict);
        assert!(with(Verdict::Hold).is_none());
        let slip = with(Verdict::Slip).unwrap();
        let reply = Message::from_vec(&slip.bytes).unwrap();
        assert!(reply.metadata.truncation && reply.answers.is_empty());
        assert!(slip.bytes.len() <= bytes.len(), "no more than what was asked with");
    }

    #[test]
    fn what_does_not_fit_a_datagram_is_truncated_and_whole_over_a_connection() {
        let mut long = zone();
        long.name_servers = (0..40)
            .map(|at| Name::from_ascii(format!("ns{at}.{}.example.", "x".repeat(40))).unwrap())
            .collect();
        let bytes = question("apps.example.com", RecordType::NS).to_vec().unwrap();
        let from = "192.0.2.99".parse().unwrap();
        let over = |over| answer(&long, &view(), &bytes, from, over, Verdict::Send).unwrap();
        let short = over(Transport::Udp);
        assert!(short.bytes.len() <= 512 && short.outcome == Outcome::Truncated);
        assert!(Message::from_vec(&short.bytes).unwrap().metadata.truncation);
        assert_eq!(Message::from_vec(&over(Transport::Tcp).bytes).unwrap().answers.len(), 40);
    }

    #[test]
    fn an_absent_edge_is_not_answered_with() {
        let mut view = view();
        for candidate in &mut view.hosts.get_mut(WEB).unwrap().candidates {
            let Candidate { edge, absence, .. } = candidate;
            *absence = (edge != "p2").then_some(Absence::Dead);
        }
        let bytes = question(WEB, RecordType::A).to_vec().unwrap();
        let answer =
            answer(&zone(), &view, &bytes, "192.0.2.9".parse().unwrap(), Transport::Udp, Verdict::Send);
        let reply = Message::from_vec(&answer.unwrap().bytes).unwrap();
        assert_eq!(reply.answers[0].data.to_string(), "203.0.113.2");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Whatever comes, there is no panic; what goes out is a message, an answer to it, and no longer than allowed.
        #[test]
        fn nothing_from_the_wire_panics(
            noise in proptest::collection::vec(any::<u8>(), 0..300),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
            start in 0usize..4,
        ) {
            let mut bytes = match start {
                0 => noise,
                1 => question(WEB, RecordType::A).to_vec().unwrap(),
                2 => with_subnet(question(WEB, RecordType::ANY), "198.51.100.0", 24, 0).to_vec().unwrap(),
                _ => {
                    let mut bytes = with_subnet(question("a.b", RecordType::OPT), "2001:db8::", 32, 0).to_vec().unwrap();
                    bytes.extend(noise);
                    bytes
                }
            };
            for (at, to) in changes {
                if !bytes.is_empty() {
                    let at = at.index(bytes.len());
                    bytes[at] = to;
                }
            }
            let from = "192.0.2.99".parse().unwrap();
            if let Some(answer) = answer(&zone(), &view(), &bytes, from, Transport::Udp, Verdict::Send) {
                prop_assert!(answer.bytes.len() <= usize::from(UDP_BYTES_MAX));
                prop_assert_eq!(&answer.bytes[..2], &bytes[..2]);
                prop_assert!(answer.bytes[2] & 0x80 != 0 && bytes[2] & 0x80 == 0);
                prop_assert!(Message::from_vec(&answer.bytes).is_ok());
            }
        }
    }
}
