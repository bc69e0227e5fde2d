//! The gateway's translation on its own, with a table and a port range small enough to run full.
//!
//! ```text
//! input  = record *
//! record = control (1 byte) | length (1 byte) | bytes
//! control: bits 0-1 0 a packet from the client's side, 1 from the origin's side, 2 the answer to the last packet that
//!          went to an origin, 3 time passes
//! ```

use crate::input::Input;
use crate::mend;
use crate::reply::turned;
use nat::{Config, Filtering, Key, Nat, NewSession, Rules, Seconds, ServiceId, SessionIndex, Tag, Timeouts};
use packet::icmp::Kind;
use packet::ip::{self, Fragment, Packet};
use packet::transport::{ICMP, ICMPV6, TCP, UDP};
use packet::{Addr, Headers, IpVersion};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Kinds of record, in the control byte.
pub mod kind {
    /// A packet from the client's side.
    pub const CLIENT: u8 = 0;
    /// A packet from the origin's side.
    pub const ORIGIN: u8 = 1;
    /// The answer to the last packet that went to an origin.
    pub const ANSWER: u8 = 2;
    /// Seconds pass: the record's length, squared.
    pub const TIME: u8 = 3;
}

/// Sessions of a table that runs full.
pub(crate) const SESSIONS: usize = 24;
/// So many workers leave 64 ports of each space to this one.
pub(crate) const WORKERS: u16 = 1008;
const INPUT_MAX: usize = 4096;

struct Rig {
    nat: Nat,
    now: Seconds,
    /// The packet that last went to an origin, as it left, and as it was before.
    last: Option<(Vec<u8>, Packet)>,
}

/// A translation to these addresses with few sessions, of one worker with few ports.
pub(crate) fn config(pool: &[Addr]) -> Config {
    Config {
        sessions_max: SESSIONS,
        pool: pool.to_vec(),
        worker: 0,
        workers: WORKERS,
        rss: None,
        timeouts: Timeouts::default(),
        rules: Rules::default(),
        seed: 1,
    }
}

/// Translations are exactly undone, no external port is given twice, and malformed packets harm nothing.
pub fn run(data: &[u8]) {
    let pool = ["10.9.0.100", "2001:db8:9::100"].map(address);
    let nat = Nat::new(&config(&pool)).expect("the configuration is right");
    let mut rig = Rig { nat, now: Seconds(1), last: None };
    let mut input = Input(&data[..data.len().min(INPUT_MAX)]);
    while !input.is_empty() {
        let control = input.byte() & 3;
        let len = input.byte() as usize;
        let mut bytes = input.take(len).to_vec();
        match control {
            kind::CLIENT => {
                mend::ip(&mut bytes);
                rig.client(bytes);
            }
            kind::ORIGIN => {
                mend::ip(&mut bytes);
                rig.origin(bytes);
            }
            kind::ANSWER => rig.answer(),
            _ => {
                rig.now = Seconds(rig.now.0.wrapping_add((len * len) as u32));
                rig.nat.sweep(rig.now, SESSIONS);
            }
        }
    }
    rig.check();
}

fn address(text: &str) -> Addr {
    text.parse::<IpAddr>().expect("an address").into()
}

/// Every protocol of a VIP is a service; the port is part of its number.
fn service(protocol: u8, port: u16) -> ServiceId {
    ServiceId(u32::from(protocol) << 16 | u32::from(port))
}

/// What the data path lets in.
fn may_enter(packet: &Packet) -> bool {
    packet.fragment == Fragment::No
        && match packet.protocol {
            TCP | UDP => true,
            ICMP | ICMPV6 => packet.icmp_kind() != Kind::Other,
            _ => false,
        }
}

impl Rig {
    fn client(&mut self, mut bytes: Vec<u8>) {
        let Some(packet) = ip::parse(&bytes).ok().filter(may_enter) else { return };
        if packet.icmp_kind() == Kind::Error {
            let before = bytes.clone();
            let done = self
                .nat
                .forward_error(&mut bytes, &packet, |_, protocol, port| Some(service(protocol, port)));
            return self.error(&before, &bytes, done.is_ok());
        }
        let port = if packet.icmp_kind() == Kind::Other { packet.dst_port } else { 0 };
        let key = Key { client: packet.src, port: packet.src_port, service: service(packet.protocol, port) };
        let hash = self.nat.hash(&key);
        let origin = if packet.version == IpVersion::V4 { "10.9.0.2" } else { "2001:db8:9::2" };
        let new = NewSession {
            protocol: packet.protocol,
            vip: packet.dst,
            vip_port: port,
            origin: address(origin),
            origin_port: port.max(1),
            tag: Tag(0),
            filtering: Filtering::default(),
        };
        let found = match self.nat.find(hash, &key) {
            Some(session) => Ok(session),
            None => self.nat.create(self.now, hash, key, new),
        };
        let Ok(session) = found else { return };
        // Services here do not name their VIP: a session of another VIP is another one's, as the data path has it.
        if self.view(session).is_none_or(|view| view.vip != packet.dst) {
            return;
        }
        if self.nat.forward(self.now, session, &mut bytes, &packet).is_err() {
            return;
        }
        let translated = ip::parse(&bytes).expect("translated packets are well formed");
        let view = self.view(session).expect("the session lives");
        assert_eq!((translated.src, translated.src_port), (view.external, view.external_port));
        assert_eq!((translated.dst, translated.protocol), (view.origin, packet.protocol));
        assert_eq!((translated.len, translated.ttl), (packet.len, packet.ttl));
        self.last = Some((bytes, packet));
    }

    fn origin(&mut self, mut bytes: Vec<u8>) {
        let Some(packet) = ip::parse(&bytes).ok().filter(may_enter) else { return };
        if packet.icmp_kind() == Kind::Error {
            let before = bytes.clone();
            let done = self.nat.reverse_error(&mut bytes, &packet);
            return self.error(&before, &bytes, done.is_ok());
        }
        let Some(slot) = self.nat.reverse_slot(packet.dst, packet.protocol, packet.dst_port) else { return };
        let Ok(session) = self.nat.find_reverse(slot, packet.src, packet.src_port) else { return };
        let view = self.view(session).expect("the session lives");
        if self.nat.reverse(self.now, session, &mut bytes, &packet).is_err() {
            return;
        }
        let translated = ip::parse(&bytes).expect("translated packets are well formed");
        assert_eq!((translated.src, translated.dst), (view.vip, view.key.client));
        assert_eq!(translated.dst_port, view.key.port);
    }

    /// An error that was refused is unchanged; one that was not has kept its length and is well formed.
    fn error(&self, before: &[u8], after: &[u8], translated: bool) {
        if translated {
            assert_eq!(before.len(), after.len());
            let packet = ip::parse(after).expect("translated errors are well formed");
            assert!(
                nat::Quote::of(after, &packet).is_ok(),
                "the quote's and the error's checksums are right"
            );
        } else {
            assert_eq!(before, after);
        }
    }

    /// Sends the last packet's answer: it must come out as from the VIP to the client.
    fn answer(&mut self) {
        let Some((sent, packet)) = self.last.take() else { return };
        let Some(mut reply) = turned(&sent) else { return };
        let parsed = ip::parse(&reply).expect("the answer is well formed");
        let Some(slot) = self.nat.reverse_slot(parsed.dst, parsed.protocol, parsed.dst_port) else { return };
        let Ok(session) = self.nat.find_reverse(slot, parsed.src, parsed.src_port) else { return };
        if self.nat.reverse(self.now, session, &mut reply, &parsed).is_err() {
            return;
        }
        let back = ip::parse(&reply).expect("translated packets are well formed");
        assert_eq!((back.src, back.dst), (packet.dst, packet.src));
        assert_eq!(back.dst_port, packet.src_port);
        assert_eq!(back.src_port, packet.dst_port);
    }

    fn view(&self, session: SessionIndex) -> Option<nat::SessionView> {
        self.nat.session(session)
    }

    fn check(&self) {
        let mut external = BTreeMap::new();
        let mut seen = 0;
        let mut from = Some(0);
        while let Some(at) = from {
            from = self.nat.list(at, 7, |view| {
                seen += 1;
                let space = (view.external.to_bits(), view.protocol, view.external_port);
                // A client's port has one external port, whatever it reaches by it; nobody else has that.
                let client = (view.key.client.to_bits(), view.key.port);
                assert_eq!(*external.entry(space).or_insert(client), client, "given twice: {view:?}");
                assert_eq!(nat::owner(view.protocol, view.external_port, WORKERS), Some(0));
            });
        }
        assert_eq!(seen, self.nat.len());
        assert_eq!(self.nat.pool_use().map(|space| space.used).sum::<usize>(), external.len());
    }
}
