//! Link state: any bytes may come, in any order, at any time, between what honest nodes say.

use crate::input::Input;
use overlay::keys::{Identity, Now};
use overlay::linkstate::{
    AGE_MS_MAX, Flood, Kind, LinkNow, Links, MESSAGE_LEN_MAX, Member, Message, Record, Settings, Writer,
    write,
};
use overlay::plan::Quality;
use overlay::topology::{IpVersion, NodeId};

const OVERLAY: u32 = 1;
const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const UNIX_MS: u64 = 1_800_000_000_000;

fn identity(node: NodeId) -> Identity {
    Identity::from_seed(&[node.0 as u8; 32]).expect("any seed is one")
}

/// Node 1, whose neighbours are 2 and 3; node 3 has no key.
fn node() -> Flood {
    let mut flood = Flood::new(Settings { overlay_id: OVERLAY, node: NODES[0] }, Some(identity(NODES[0])));
    let member = |node: NodeId| Member {
        identity: (node != NODES[2]).then(|| identity(node).public()),
        pieces: 1,
        plans: 0,
    };
    flood.reconfigure(NODES.iter().map(|node| (*node, member(*node))).collect(), &NODES[1..]);
    flood
}

fn body(latency_us: u32) -> Vec<u8> {
    let quality = Some(Quality { latency_us, loss_ppm: 7 });
    let link = LinkNow { neighbor: NODES[0], version: IpVersion::V4, up: true, quality };
    Links { pieces: 1, links: vec![link] }.to_bytes()
}

/// What node 2 said of its links: only this may ever be held as its word.
fn said(sequence: u64) -> Vec<u8> {
    let key = overlay::linkstate::Key { origin: NODES[1], kind: Kind::Links, index: 0 };
    write(OVERLAY, key, UNIX_MS + sequence, &body(sequence as u32), Some(&identity(NODES[1])))
        .expect("a short body")
}

fn wrapped(from: NodeId, record: &[u8]) -> Option<Vec<u8>> {
    let mut writer = Writer::new(OVERLAY, from);
    writer.record(0, record).then(|| writer.finish(Some(&identity(NODES[0]).public())))
}

/// Records of one action each: 0 time passes; 1 the rest of a length as it is, from a node; 2 the same with the prefilter that an insider
/// makes; 3 as a record in a sound message; 4 what node 2 truly said, with a byte changed perhaps; 5 a session comes or goes; 6 news.
pub fn run(data: &[u8]) {
    let _ = Message::parse(data, OVERLAY, None).map(|message| message.items().count());
    if let Some(record) = Record::parse(data) {
        assert_eq!(record.bytes, data);
    }
    if let Some(links) = Links::parse(data) {
        assert_eq!(Links::parse(&links.to_bytes()), Some(links), "read as written");
    }
    let mut flood = node();
    let mut input = Input(data);
    let mut now = Now { monotonic_ms: 1_000, unix_ms: UNIX_MS };
    while !input.is_empty() {
        let action = input.byte();
        let from = NODES[1 + usize::from(action >> 7)];
        match action & 7 {
            0 => {
                let passed = u64::from(input.word());
                now = Now { monotonic_ms: now.monotonic_ms + passed, unix_ms: now.unix_ms + passed };
            }
            kind @ 1..=3 => {
                let len = usize::from(input.byte()) * 4;
                let bytes = input.take(len);
                let message = match kind {
                    1 => Some(bytes.to_vec()),
                    2 => {
                        let prefilter = overlay::keys::prefilter(&identity(NODES[0]).public(), bytes);
                        Some([bytes, &prefilter.to_be_bytes()].concat())
                    }
                    _ => wrapped(from, bytes),
                };
                let _ = message.map(|message| flood.handle(from, &message, now));
            }
            4 => {
                let sequence = u64::from(input.byte());
                let mut record = said(sequence);
                let at = usize::from(input.byte());
                let change = input.byte();
                if let Some(byte) = record.get_mut(at) {
                    *byte ^= change;
                }
                let _ = wrapped(from, &record).map(|message| flood.handle(from, &message, now));
            }
            5 => flood.set_neighbor(from, input.byte() & 1 > 0, now),
            _ => flood.say(Kind::Links, 0, body(input.word().into()), true),
        }
        let mut sent = 0;
        while let Some((to, message)) = flood.poll_transmit(now) {
            assert!(NODES[1..].contains(&to) && message.len() <= MESSAGE_LEN_MAX);
            sent += 1;
            assert!(sent <= 100, "never an end");
        }
        assert!(flood.records().count() <= NODES.len(), "bounded");
        for record in flood.records().filter(|record| record.key.origin == NODES[1]) {
            // Bytes that a signature covers are exactly what was signed.
            assert_eq!(said(record.sequence - UNIX_MS), record.bytes, "forged");
            let age_ms = flood.age_ms(record.key, now).expect("it is held");
            assert!(age_ms < AGE_MS_MAX + 2_000);
        }
    }
}

/// Scenes that lead to records held, refused and repeated.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let open = overlay::linkstate::Key { origin: NODES[2], kind: Kind::Links, index: 0 };
    let mut open = write(OVERLAY, open, UNIX_MS, &body(5), None).expect("a short body");
    open.resize(open.len().div_ceil(4) * 4, 0);
    let mut writer = Writer::new(OVERLAY, NODES[1]);
    let key = overlay::linkstate::Key { origin: NODES[1], kind: Kind::Links, index: 0 };
    writer.summary(overlay::linkstate::Key { origin: NodeId(0), ..key }, key, &[(key, UNIX_MS + 9)]);
    writer.acknowledgements(&[(key, UNIX_MS + 2), (key, UNIX_MS + 9)]);
    let mut message = writer.finish(None);
    message.resize(message.len().div_ceil(4) * 4, 0);
    let bytes = |kind: u8, bytes: &[u8]| [&[kind, (bytes.len() / 4) as u8], bytes].concat();
    let truth = |sequence: u8| vec![4, sequence, 255, 0];
    vec![
        (
            "truth".to_owned(),
            [vec![5, 1], truth(3), vec![0, 0, 60], truth(2), truth(4), vec![6, 0, 9]].concat(),
        ),
        ("changed".to_owned(), [vec![5, 1], vec![4, 3, 25, 1], vec![4, 3, 100, 128]].concat()),
        ("summary".to_owned(), [vec![5, 1], truth(9), bytes(2, &message), vec![0, 4, 0]].concat()),
        ("no_key".to_owned(), [vec![0x85, 1], bytes(0x83, &open), vec![0, 255, 255]].concat()),
        ("aged".to_owned(), [vec![5, 1], truth(3), [0, 255, 255].repeat(4), truth(3)].concat()),
        ("links".to_owned(), body(77)),
        ("record".to_owned(), said(1)),
    ]
}
