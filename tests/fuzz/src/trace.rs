//! Hop records: any bytes may come as the data of a trace option, to an intermediate and to the end of a path.

use crate::input::Input;
use crate::seeds::Seed;
use overlay::topology::{NodeId, PathId};
use overlay::traces::{COPIES_MAX, Collector, Copy, HOPS_MAX, Number, Outcome, PACKETS_MAX};
use overlay::wire::trace::{self, DATA_LEN_MAX, HEAD_LEN, RECORD_LEN, Record, Trace, Unwritten};

const ARRIVED_NS: u64 = 1_800_000_000_000_000_000;

const RECORD: Record = Record {
    hop_limit: 7,
    queue: 1,
    node: NodeId(9),
    ingress: NodeId(1),
    egress: NodeId(4),
    time_us: 5,
    transit_ns: 700,
};

/// Takes records of: which packet and what becomes of the copy (1 byte), a length (1 byte), so much data.
pub fn run(data: &[u8]) {
    let mut input = Input(data);
    let mut collector = Collector::default();
    let mut arrived_ns = ARRIVED_NS;
    while !input.is_empty() {
        let which = input.byte();
        let len = usize::from(input.byte()) % (DATA_LEN_MAX + 5);
        let option = input.take(len);
        hop(option);
        let Some(trace) = Trace::parse(option) else { continue };
        assert!(trace.records.len() * RECORD_LEN + HEAD_LEN <= option.len());
        arrived_ns += 1_000_000;
        let outcome = if which & 1 == 0 { Outcome::Won } else { Outcome::Lost };
        let number = Number { source: NodeId(1), stream: 0, sequence: u64::from(which >> 2) };
        let application = (which & 1 == 0).then_some("web");
        let copy = Copy { path: PathId(u16::from(which >> 1 & 1)), outcome, arrived_ns, trace };
        collector.take(number, application, copy);
    }
    assert!(collector.hops("web").count() <= HOPS_MAX && collector.packets("web").count() <= PACKETS_MAX);
    assert!(collector.packets("web").all(|packet| (1..=COPIES_MAX).contains(&packet.copies.len())));
    for hop in collector.hops("web") {
        assert!(hop.link.percentiles().is_some() && hop.link.least_ns().is_some());
    }
}

/// What an intermediate does with a trace.
fn hop(before: &[u8]) {
    let mut after = before.to_vec();
    match trace::append(&mut after, &RECORD) {
        Ok(at) => {
            let (read, held) = (Trace::parse(&after).expect("sound"), Trace::parse(before).expect("sound"));
            assert_eq!(read.records.len(), held.records.len() + 1);
            assert_eq!(read.records.last(), Some(&RECORD));
            after[1] = before[1];
            after[at..at + RECORD_LEN].copy_from_slice(&before[at..at + RECORD_LEN]);
        }
        Err(Unwritten::Full) => {
            assert!(Trace::parse(&after).is_some_and(|trace| trace.overflow));
            after[0] = before[0];
        }
        Err(Unwritten::Malformed) => assert_eq!(Trace::parse(before), None),
    }
    assert_eq!(after, before);
}

/// Options as senders write them, with some, all and too many records.
pub fn seeds() -> Vec<Seed> {
    let option = |room: usize, records: usize| {
        let mut option = vec![0; trace::option_len(room)];
        trace::write(&mut option, room, ARRIVED_NS - 3_000_000);
        (0..records).for_each(|_| {
            let _ = trace::append(&mut option[4..], &RECORD);
        });
        option.split_off(4)
    };
    let record = |which: u8, data: &[u8]| [&[which, data.len() as u8], data].concat();
    let race = [record(0, &option(2, 2)), record(3, &option(2, 1)), record(4, &option(1, 0))].concat();
    let mut lies = option(1, 0);
    lies[1] = 255;
    vec![
        ("race".to_owned(), race),
        ("full".to_owned(), record(0, &option(7, 8))),
        ("no-room".to_owned(), record(0, &option(0, 1))),
        ("lies".to_owned(), record(0, &lies)),
    ]
}
