//! Parity: any parity packets may come, in any order, between an honest sender's packets of which any may be lost.

use crate::input::Input;
use crate::seeds::Seed;
use overlay::elimination::StreamIndex;
use overlay::parity::{Bounds, Coding, Decoder, Encoder, From, Kind, Member, SHARD_MAX, Taken};
use overlay::topology::NodeId;
use overlay::wire::Parity;
use packet::IpVersion;
use std::collections::BTreeSet;

const GROUPS: usize = 8;
const FIRST: u64 = 1 << 40;
const KIND: Kind = Kind { version: IpVersion::V4, order: None };

/// What a step does; the byte's high bits are its argument.
mod step {
    /// The sender sends a packet: a length and how it is coded follow, a byte each. Lost where the argument is odd.
    pub const SEND: u8 = 0;
    /// Its open group ends. Its parity packets whose bits the argument has are lost.
    pub const END: u8 = 1;
    /// Somebody's parity packet: how far from the first number, index, count, members (8 bytes), a length and so many bytes.
    pub const FORGE: u8 = 2;
    /// Time passes.
    pub const WAIT: u8 = 3;
}

/// Takes steps until the input ends.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut encoder = Encoder::default();
    encoder.reserve(1);
    let mut receiver = Receiver::default();
    receiver.decoder.reserve(Bounds { bytes: 8192, groups: GROUPS, hold_ns: 50 });
    let mut sequence = FIRST;
    while !input.is_empty() {
        let byte = input.byte();
        let argument = byte >> 2;
        match byte & 3 {
            step::SEND => {
                sequence += 1 + u64::from(argument >> 3);
                // No packet is empty.
                let (len, coding) = (usize::from(input.byte()) * 5 + 1, input.byte());
                let coding = Coding { packets: coding % 16 + 1, parity: coding >> 4 & 3, wait_us: 1 };
                let payload = vec![sequence as u8; len];
                let member =
                    Member { destination: 0, bucket: 0, sequence, epoch: 0, kind: KIND, coding, way: 0 };
                while let Some(at) = encoder.in_the_way(&member) {
                    receiver.end(&mut encoder, at, 0);
                }
                let full = encoder.add(receiver.now_ns, &member, &payload);
                if argument & 1 == 0 {
                    receiver.data(sequence, &payload);
                }
                full.into_iter().for_each(|at| receiver.end(&mut encoder, at, 0));
            }
            step::END => {
                if let Some(at) = encoder.overdue(u64::MAX) {
                    receiver.end(&mut encoder, at, argument);
                }
            }
            step::FORGE => {
                let first = FIRST.wrapping_add_signed(i64::from(input.byte() as i8));
                let (index, count) = (input.byte(), input.byte());
                let members = input.take(8).iter().fold(0, |word, byte| word << 8 | u64::from(*byte));
                let len = usize::from(input.byte());
                receiver.parity(first, Parity { index, count, members }, input.take(len), true);
            }
            _ => {
                receiver.now_ns += u64::from(argument);
                receiver.decoder.sweep(receiver.now_ns);
            }
        }
        assert!(receiver.decoder.len() <= GROUPS);
    }
    receiver.decoder.sweep(u64::MAX);
    assert!(receiver.decoder.is_empty());
}

#[derive(Default)]
struct Receiver {
    decoder: Decoder,
    now_ns: u64,
    passed: BTreeSet<u64>,
    /// Whether anything came that the sender did not send.
    is_forged: bool,
}

impl Receiver {
    fn end(&mut self, encoder: &mut Encoder, at: overlay::parity::GroupIndex, lost: u8) {
        let closed = encoder.close(at).expect("an open group");
        for index in (0..closed.parity).filter(|index| lost >> index & 1 == 0) {
            let parity = Parity { index, count: closed.parity, members: closed.members };
            let sum = encoder.sum(at, index).expect("the sum of a parity packet").to_vec();
            let taken = self.parity(closed.first, parity, &sum, false);
            assert!(taken != Taken::Malformed || self.is_forged, "{closed:?}");
        }
    }

    fn data(&mut self, sequence: u64, payload: &[u8]) {
        let copied = self.decoder.copy(&KIND, payload);
        if self.passed.insert(sequence) {
            copied.into_iter().for_each(|copied| self.decoder.keep(copied, StreamIndex::default(), sequence));
        }
        self.rebuild();
    }

    fn parity(&mut self, first: u64, parity: Parity, payload: &[u8], is_forged: bool) -> Taken {
        self.is_forged |= is_forged;
        let (place, source) = (StreamIndex::default(), NodeId(1));
        let from = From { place, source, stream: 0, epoch: 0, path: 0 };
        let is_missing = |sequence| !self.passed.contains(&sequence);
        let taken = self.decoder.take(self.now_ns, from, first, parity, payload, is_missing);
        self.rebuild();
        taken
    }

    /// What is rebuilt of an honest sender's packets is what he sent.
    fn rebuild(&mut self) {
        let Receiver { decoder, passed, is_forged, .. } = self;
        while decoder.rebuild(|_, sequence, shard| {
            assert!(shard.payload.len() <= SHARD_MAX);
            if !*is_forged {
                assert_eq!(shard.kind, KIND);
                assert!(shard.payload.iter().all(|byte| *byte == sequence as u8), "{sequence}");
            }
            passed.insert(sequence);
        }) {}
    }
}

/// A loss that is repaired, one that is too much, and lies.
pub fn seeds() -> Vec<Seed> {
    let send = |lost: u8| [step::SEND | lost << 2, 20, 0x13];
    let forged =
        [&[step::FORGE, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 6, 0, 1, 0, 0, 9, 9][..], &send(0), &send(1)]
            .concat();
    let wait = [step::WAIT | 63 << 2];
    vec![
        ("repaired".to_owned(), [send(0), send(1), send(0), send(0)].concat()),
        ("too-much".to_owned(), [&[send(1), send(1), send(0), send(0)].concat()[..], &wait].concat()),
        ("short".to_owned(), [&send(1)[..], &[step::END], &wait].concat()),
        ("forged".to_owned(), forged),
    ]
}
