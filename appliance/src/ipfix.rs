//! Events of sessions as IPFIX messages (RFC 7011) with the information elements of RFC 8158.
//!
//! ```text
//!  +---------+--------+-------------+----------+--------+
//!  | version | length | export time | sequence | domain |    16 bytes
//!  +---------+--------+-------------+----------+--------+
//!  | set id | length | records …                        |    templates, then data
//!  +--------+--------+----------------------------------+
//! ```

use std::net::IpAddr;

/// Bytes of a message at most: it fits one datagram on every path.
pub const MESSAGE_MAX: usize = 1_400;
/// Where an exporter over UDP sends its templates again, ms (RFC 7011 section 8.4).
pub const TEMPLATES_MS: u64 = 60_000;

const VERSION: u16 = 10;
const HEADER: usize = 16;
const SET_HEADER: usize = 4;
const TEMPLATES: u16 = 2;

/// An information element: its number and its length in bytes (IANA's registry).
type Element = (u16, u16);

const TIME: Element = (323, 8);
const EVENT: Element = (230, 1);
const PROTOCOL: Element = (4, 1);
const SOURCE: [Element; 2] = [(8, 4), (27, 16)];
const SOURCE_PORT: Element = (7, 2);
const POST_SOURCE: [Element; 2] = [(225, 4), (281, 16)];
const POST_SOURCE_PORT: Element = (227, 2);
const DESTINATION: [Element; 2] = [(12, 4), (28, 16)];
const DESTINATION_PORT: Element = (11, 2);
const POST_DESTINATION: [Element; 2] = [(226, 4), (282, 16)];
const POST_DESTINATION_PORT: Element = (228, 2);
const QUOTA: Element = (466, 4);

/// Values of natEvent (RFC 8158 section 4.3).
pub mod nat_event {
    /// A translation of addresses of one version other than IPv4 begins; the registry has no closer value.
    pub const CREATE: u8 = 1;
    /// It ends.
    pub const DELETE: u8 = 2;
    /// No address of the pool fits.
    pub const ADDRESSES_EXHAUSTED: u8 = 3;
    /// A session from IPv4 to IPv4 begins.
    pub const NAT44_CREATE: u8 = 4;
    /// It ends.
    pub const NAT44_DELETE: u8 = 5;
    /// A session from IPv6 to IPv4 begins.
    pub const NAT64_CREATE: u8 = 6;
    /// It ends.
    pub const NAT64_DELETE: u8 = 7;
    /// No port of the client's address is free.
    pub const PORTS_EXHAUSTED: u8 = 12;
    /// A limit is reached.
    pub const QUOTA_EXCEEDED: u8 = 13;
}

/// Values of natQuotaExceededEvent (RFC 8158 section 4.3).
pub mod quota {
    /// The table of sessions is full.
    pub const SESSIONS: u32 = 1;
    /// A client has, or makes, as many as it may.
    pub const PER_USER: u32 = 3;
}

/// An endpoint before and after translation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Side {
    /// As its own side sees it.
    pub before: (IpAddr, u16),
    /// As the other side sees it.
    pub after: (IpAddr, u16),
}

/// What a record tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A session begins or ends.
    Session {
        /// The client, and its external address and port.
        source: Side,
        /// The virtual IP and the origin, where they are told.
        destination: Option<Side>,
    },
    /// A client got none for want of addresses or ports.
    Exhausted(IpAddr),
    /// A client got none for a limit.
    Quota(IpAddr, u32),
}

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record {
    /// When, ms since 1970.
    pub at_ms: u64,
    /// natEvent.
    pub event: u8,
    /// IP's protocol number.
    pub protocol: u8,
    /// What.
    pub what: What,
}

/// IP versions, as places of the elements.
fn version(address: IpAddr) -> usize {
    usize::from(address.is_ipv6())
}

/// What a template is for: kind, version of the client, version towards the origin.
fn template_of(what: &What) -> u16 {
    match what {
        What::Session { source, destination } => {
            256 + (version(source.before.0) << 1
                | version(source.after.0)
                | usize::from(destination.is_some()) << 2) as u16
        }
        What::Exhausted(client) => 264 + version(*client) as u16,
        What::Quota(client, _) => 266 + version(*client) as u16,
    }
}

/// All templates; there is none from IPv4 to IPv6.
fn templates() -> Vec<(u16, Vec<Element>)> {
    let mut all = Vec::new();
    for (before, after) in [(0, 0), (1, 0), (1, 1)] {
        let id = 256 + (before << 1 | after) as u16;
        let source =
            [TIME, EVENT, PROTOCOL, SOURCE[before], SOURCE_PORT, POST_SOURCE[after], POST_SOURCE_PORT];
        let destination =
            [DESTINATION[before], DESTINATION_PORT, POST_DESTINATION[after], POST_DESTINATION_PORT];
        all.push((id, source.to_vec()));
        all.push((id + 4, source.into_iter().chain(destination).collect()));
    }
    for (number, client) in (0..).zip(SOURCE) {
        all.push((264 + number, vec![TIME, EVENT, PROTOCOL, client]));
        all.push((266 + number, vec![TIME, EVENT, PROTOCOL, client, QUOTA]));
    }
    all
}

/// Makes messages for one receiver.
#[derive(Debug)]
pub struct Exporter {
    domain: u32,
    /// Data records sent, modulo 2^32.
    sequence: u32,
    /// When the templates were sent last, ms.
    told_ms: Option<u64>,
    message: Vec<u8>,
    /// Where the set that is being filled starts, and its number.
    set: Option<(usize, u16)>,
    records: u32,
}

impl Exporter {
    /// For an observation domain: the node's number.
    pub fn new(domain: u32) -> Exporter {
        Exporter { domain, sequence: 0, told_ms: None, message: Vec::new(), set: None, records: 0 }
    }

    /// Sends the templates once more with the next message, as after a file was begun anew.
    pub fn begin_anew(&mut self) {
        self.told_ms = None;
    }

    /// Adds a record; gives the message before, where that is full.
    pub fn add(&mut self, now_ms: u64, record: &Record) -> Option<Vec<u8>> {
        let template = template_of(&record.what);
        let mut data = Vec::with_capacity(96);
        put(&mut data, record);
        let needed = data.len() + SET_HEADER;
        let full = self.message.len() + needed > MESSAGE_MAX;
        let done = if full { self.finish(now_ms) } else { None };
        if self.message.is_empty() {
            self.begin(now_ms);
        }
        if self.set.is_none_or(|(_, number)| number != template) {
            self.close_set();
            self.open_set(template);
        }
        self.message.extend_from_slice(&data);
        self.records = self.records.wrapping_add(1);
        done
    }

    /// Ends the message that is being filled.
    pub fn finish(&mut self, now_ms: u64) -> Option<Vec<u8>> {
        if self.message.is_empty() {
            return None;
        }
        self.close_set();
        let mut message = core::mem::take(&mut self.message);
        let len = message.len() as u16;
        message[2..4].copy_from_slice(&len.to_be_bytes());
        message[4..8].copy_from_slice(&((now_ms / 1000) as u32).to_be_bytes());
        message[8..12].copy_from_slice(&self.sequence.to_be_bytes());
        self.sequence = self.sequence.wrapping_add(core::mem::take(&mut self.records));
        Some(message)
    }

    fn begin(&mut self, now_ms: u64) {
        self.message.extend_from_slice(&VERSION.to_be_bytes());
        self.message.resize(HEADER - 4, 0);
        self.message.extend_from_slice(&self.domain.to_be_bytes());
        if self.told_ms.is_some_and(|told_ms| now_ms.saturating_sub(told_ms) < TEMPLATES_MS) {
            return;
        }
        self.told_ms = Some(now_ms);
        self.open_set(TEMPLATES);
        for (number, elements) in templates() {
            self.message.extend_from_slice(&number.to_be_bytes());
            self.message.extend_from_slice(&(elements.len() as u16).to_be_bytes());
            for (element, len) in elements {
                self.message.extend_from_slice(&element.to_be_bytes());
                self.message.extend_from_slice(&len.to_be_bytes());
            }
        }
        self.close_set();
    }

    fn open_set(&mut self, number: u16) {
        self.set = Some((self.message.len(), number));
        self.message.extend_from_slice(&number.to_be_bytes());
        self.message.extend_from_slice(&[0; 2]);
    }

    fn close_set(&mut self) {
        let Some((start, _)) = self.set.take() else { return };
        let len = (self.message.len() - start) as u16;
        self.message[start + 2..start + 4].copy_from_slice(&len.to_be_bytes());
    }
}

fn put(data: &mut Vec<u8>, record: &Record) {
    data.extend_from_slice(&record.at_ms.to_be_bytes());
    data.extend_from_slice(&[record.event, record.protocol]);
    match &record.what {
        What::Session { source, destination } => {
            for side in [Some(source), destination.as_ref()].into_iter().flatten() {
                for (address, port) in [side.before, side.after] {
                    put_address(data, address);
                    data.extend_from_slice(&port.to_be_bytes());
                }
            }
        }
        What::Exhausted(client) => put_address(data, *client),
        What::Quota(client, quota) => {
            put_address(data, *client);
            data.extend_from_slice(&quota.to_be_bytes());
        }
    }
}

fn put_address(data: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => data.extend_from_slice(&address.octets()),
        IpAddr::V6(address) => data.extend_from_slice(&address.octets()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    /// Reads a message as a collector does, by the templates it was sent.
    fn read(message: &[u8], known: &mut HashMap<u16, Vec<Element>>) -> Vec<Vec<(u16, Vec<u8>)>> {
        let u16_at = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
        assert_eq!((u16_at(0), u16_at(2) as usize), (10, message.len()));
        let (mut at, mut records) = (HEADER, Vec::new());
        while at < message.len() {
            let (number, end) = (u16_at(at), at + u16_at(at + 2) as usize);
            at += SET_HEADER;
            while at < end {
                if number == TEMPLATES {
                    let (id, count) = (u16_at(at), u16_at(at + 2) as usize);
                    let elements = (0..count).map(|n| (u16_at(at + 4 + n * 4), u16_at(at + 6 + n * 4)));
                    known.insert(id, elements.collect());
                    at += 4 + count * 4;
                } else {
                    let mut record = Vec::new();
                    for (element, len) in &known[&number] {
                        record.push((*element, message[at..at + *len as usize].to_vec()));
                        at += *len as usize;
                    }
                    records.push(record);
                }
            }
            assert_eq!(at, end);
        }
        records
    }

    fn session(number: u16, v6: (bool, bool), tells: bool) -> Record {
        let address = |v6: bool, last: u8| -> IpAddr {
            if v6 { format!("2001:db8::{last}").parse().unwrap() } else { [192, 0, 2, last].into() }
        };
        let side = |last| Side {
            before: (address(v6.0, last), number),
            after: (address(v6.1, last + 1), number + 1),
        };
        let what = What::Session { source: side(1), destination: tells.then(|| side(3)) };
        Record { at_ms: 1_000 + u64::from(number), event: nat_event::NAT44_CREATE, protocol: 6, what }
    }

    #[test]
    fn a_collector_reads_every_record_by_its_template() {
        let mut exporter = Exporter::new(7);
        let mut known = HashMap::new();
        let mut sent = Vec::new();
        let mut messages = Vec::new();
        for number in 0..200u16 {
            let v6 = [(false, false), (true, false), (true, true)][number as usize % 3];
            sent.push(session(number, v6, number % 2 == 0));
        }
        let client: IpAddr = [198, 51, 100, 9].into();
        let refused = |what, event| Record { at_ms: 5, event, protocol: 17, what };
        sent.push(refused(What::Exhausted(client), nat_event::PORTS_EXHAUSTED));
        sent.push(refused(What::Quota(client, quota::PER_USER), nat_event::QUOTA_EXCEEDED));
        for record in &sent {
            messages.extend(exporter.add(10_000, record));
        }
        messages.extend(exporter.finish(10_000));
        assert!(messages.len() > 3 && messages.iter().all(|message| message.len() <= MESSAGE_MAX));
        let mut read_so_far = 0;
        let mut records = Vec::new();
        for message in &messages {
            let sequence = u32::from_be_bytes([message[8], message[9], message[10], message[11]]);
            assert_eq!(sequence as usize, read_so_far);
            records.extend(read(message, &mut known));
            read_so_far = records.len();
        }
        assert_eq!(records.len(), sent.len());
        for (record, sent) in records.iter().zip(&sent) {
            let field = |element: u16| {
                record.iter().find(|(held, _)| *held == element).map(|(_, bytes)| bytes.clone())
            };
            assert_eq!(field(323), Some(sent.at_ms.to_be_bytes().to_vec()));
            assert_eq!(field(230), Some(vec![sent.event]));
            if let What::Session { source, destination } = sent.what {
                assert_eq!(field(7), Some(source.before.1.to_be_bytes().to_vec()));
                assert_eq!(field(227), Some(source.after.1.to_be_bytes().to_vec()));
                assert_eq!(field(228).is_some(), destination.is_some());
            }
        }
        assert!(exporter.finish(0).is_none());
    }

    #[test]
    fn templates_come_again_after_a_minute_and_in_a_new_file() {
        let mut exporter = Exporter::new(7);
        let mut len = |now_ms, anew: bool| {
            if anew {
                exporter.begin_anew();
            }
            assert!(exporter.add(now_ms, &session(1, (false, false), false)).is_none());
            exporter.finish(now_ms).unwrap().len()
        };
        let (first, second) = (len(0, false), len(59_999, false));
        assert!(first > second);
        assert_eq!((len(60_000, false), len(60_001, false), len(60_002, true)), (first, second, first));
    }
}
