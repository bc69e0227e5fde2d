//! Gateways that stand in for each other: any bytes may come as a message about blocks or as what stands behind an inner packet,
//! and any message that somebody could have signed, in any order and at any time.

use crate::input::Input;
use crate::seeds::Seed;
use overlay::lease::{Item, Kind, MESSAGE_LEN, Message, Pair, Party, Start, is_signed_by};
use overlay::topology::NodeId;
use overlay::wire::{RECORD_LEN, Record};

const OVERLAY: u32 = 1;
const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const LEASE_NS: u64 = 1_000_000_000;

/// The first gateway; the third node votes with both.
fn party() -> Party {
    let pair = Pair {
        gateways: [NODES[0], NODES[1]],
        voters: NODES.to_vec(),
        listeners: Vec::new(),
        lease_ns: LEASE_NS,
        digest: 7,
    };
    Party::new(0, Start { node: NODES[0], life: 5, unix_offset_ms: 1_000 }, pair)
}

/// Records of one action each: 0 time passes; 1 a message of the rest of a fixed length as it is; 2 the same, from the second
/// gateway and of this pair and life; 3 the same from the voter; 4 workers do what they were told; 5 an operator drains or resumes.
pub fn run(data: &[u8]) {
    if let Some(record) = Record::parse(data) {
        assert_eq!(data.len(), RECORD_LEN);
        assert_eq!(Record::parse(&record.to_bytes()), Some(record), "read as written");
    }
    assert!(!is_signed_by(data, &overlay::keys::PublicIdentity([1; 32])));
    let mut party = party();
    let mut input = Input(data);
    let mut now_ns = 10 * LEASE_NS;
    while !input.is_empty() {
        match input.byte() {
            0 => now_ns += u64::from(input.word()) * 100_000,
            action @ 1..=3 => {
                let bytes = input.take(MESSAGE_LEN);
                let Some(mut message) = Message::parse(bytes, OVERLAY) else { continue };
                assert_eq!(
                    message.to_bytes(OVERLAY, None)[2..],
                    Message::parse(&message.to_bytes(OVERLAY, None), OVERLAY)
                        .expect("what is written is read")
                        .to_bytes(OVERLAY, None)[2..]
                );
                if action > 1 {
                    message.from = NODES[action as usize - 1];
                    (message.to, message.pair, message.digest) = (NODES[0], NODES[0], 7);
                    if message.kind == Kind::Answer {
                        message.life = 5;
                    }
                }
                party.handle(now_ns, &message);
            }
            4 => {
                for block in 0..2 {
                    party.handed_over(block);
                    party.stopped(now_ns, block);
                    party.ready(now_ns, block, party.revision(block));
                }
            }
            _ => {
                if input.byte() & 1 == 0 {
                    party.drain(now_ns);
                } else {
                    party.resume(now_ns);
                }
            }
        }
        party.tick(now_ns);
        let mut sent = 0;
        while let Some(message) = party.poll_transmit() {
            assert!(NODES[1..].contains(&message.to));
            sent += 1;
            assert!(sent <= 256, "bounded");
        }
        while party.poll_event().is_some() {}
        for block in 0..2 {
            // Nobody can promise more than a lease from now on, and who holds nothing translates nothing.
            assert!(party.until_ns(block) <= now_ns + LEASE_NS);
            assert!(party.phase(block).holds() || party.until_ns(block) == 0);
        }
    }
}

/// Scenes that lead to a tenure, its end, and another's.
pub fn seeds() -> Vec<Seed> {
    let message = |action: u8, kind: Kind, stamp: u64, items: [Item; 2]| {
        let message =
            Message { kind, from: NODES[1], to: NODES[0], pair: NODES[0], digest: 7, life: 5, stamp, items };
        [&[action][..], &message.to_bytes(OVERLAY, None)].concat()
    };
    let granted =
        |revision| Item { flags: Item::GRANTED, holder: NODES[0], revision, before: (NodeId(0), 0) };
    let held = |revision| Item {
        flags: Item::HELD | Item::WISH,
        holder: NODES[1],
        revision,
        before: (NodeId(0), 0),
    };
    let passes = |word: u16| [&[0][..], &word.to_be_bytes()].concat();
    let grants = message(3, Kind::Answer, 10 * LEASE_NS, [granted(11_000), granted(11_000)]);
    let other = message(2, Kind::Ask, 9, [held(99_000), held(1)]);
    vec![
        ("took".to_owned(), [passes(1), grants.clone(), vec![4], passes(9_000)].concat()),
        ("lapsed".to_owned(), [passes(1), grants.clone(), vec![4], passes(60_000), other.clone()].concat()),
        ("drained".to_owned(), [other, passes(1), grants, vec![4, 5, 0, 4], passes(1), vec![5, 1]].concat()),
        ("record".to_owned(), {
            let mut record = vec![0; RECORD_LEN];
            record[..3].copy_from_slice(&[1, 2, 6]);
            record
        }),
    ]
}
