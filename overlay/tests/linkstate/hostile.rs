//! Everything that is not to be believed.

use proa_overlay::linkstate::{AGE_MS_MAX, Key, Kind, LinkNow, Links, Record, Refused, Writer, write};
use proa_overlay::plan::Quality;
use proa_overlay::topology::{IpVersion, NodeId};

use crate::network::{Network, UNIX_MS, id, identity};

fn converged(signed: bool) -> Network {
    let mut network = Network::new(1, 5, 1, 0, signed);
    let nodes: Vec<usize> = (0..5).collect();
    assert!(network.converge(&nodes, 3_000).is_some());
    (0..500).for_each(|_| network.step());
    network
}

fn body(neighbor: usize) -> Vec<u8> {
    let quality = Some(Quality { latency_us: 1, loss_ppm: 0 });
    let link = LinkNow { neighbor: id(neighbor), version: IpVersion::V4, up: true, quality };
    Links { pieces: 1, links: vec![link] }.to_bytes()
}

/// A message from node 1 to node 0 with one record.
fn message(record: &[u8], age_ms: u32, receiver: bool) -> Vec<u8> {
    let mut writer = Writer::new(1, id(1));
    assert!(writer.record(age_ms, record));
    writer.finish(receiver.then(|| identity(0).public()).as_ref())
}

fn key(origin: usize) -> Key {
    Key { origin: id(origin), kind: Kind::Links, index: 0 }
}

#[test]
fn what_is_forged_ancient_of_strangers_or_makes_no_sense_changes_nothing() {
    let mut network = converged(true);
    let now = network.now(0);
    let sequence = now.unix_ms + 5;
    let signer = identity(3);
    let day_ms = 86_400_000;
    let good = write(1, key(3), sequence, &body(2), Some(&signer)).unwrap();
    let record = |overlay, key, sequence, body: &[u8], by| write(overlay, key, sequence, body, by).unwrap();
    let cases = [
        (Refused::Forged, record(1, key(3), sequence, &body(2), Some(&identity(1)))),
        (Refused::Forged, record(1, key(3), sequence, &body(2), None)),
        (Refused::UnknownOrigin, record(1, key(40), sequence, &body(2), Some(&identity(40)))),
        (Refused::UnknownOrigin, record(2, key(3), sequence, &body(2), Some(&signer))),
        (Refused::UnknownOrigin, record(1, Key { index: 1, ..key(3) }, sequence, &body(2), Some(&signer))),
        (Refused::BadRecord, record(1, key(3), sequence, &body(2)[..7], Some(&signer))),
        (Refused::BadRecord, good[..good.len() - 1].to_vec()),
        (Refused::Future, record(1, key(3), now.unix_ms + day_ms + 1, &body(2), Some(&signer))),
        (Refused::Old, record(1, key(3), UNIX_MS - 1, &body(2), Some(&signer))),
    ];
    let before: Vec<_> = (0..5).map(|origin| network.told(0, origin)).collect();
    for (why, record) in &cases {
        assert_eq!(network.nodes[0].handle(id(1), &message(record, 0, true), now), Err(*why));
    }
    let flood = &mut network.nodes[0];
    assert_eq!(flood.handle(id(1), &message(&good, AGE_MS_MAX as u32, true), now), Err(Refused::Ancient));
    assert_eq!(flood.handle(id(1), &message(&good, 0, false), now), Err(Refused::Malformed));
    // From a member that is no neighbour, and in another's name.
    assert_eq!(flood.handle(id(3), &message(&good, 0, true), now), Err(Refused::Stranger));
    assert_eq!(flood.handle(NodeId(99), &message(&good, 0, true), now), Err(Refused::Stranger));
    let after: Vec<_> = (0..5).map(|origin| network.told(0, origin)).collect();
    assert_eq!(before, after);
    // The same record is taken where nothing is wrong with it.
    assert_eq!(network.nodes[0].handle(id(1), &message(&good, 0, true), now), Ok(()));
    assert_ne!(network.told(0, 3), before[3]);
}

#[test]
fn without_keys_a_signed_record_is_none() {
    let mut network = converged(false);
    let now = network.now(0);
    let signed = write(1, key(3), now.unix_ms + 5, &body(2), Some(&identity(3))).unwrap();
    assert_eq!(network.nodes[0].handle(id(1), &message(&signed, 0, false), now), Err(Refused::Forged));
}

#[test]
fn everything_ever_said_repeated_changes_nothing() {
    let mut network = converged(true);
    network.edges[0].quality.latency_us += 20_000;
    (0..2_000).for_each(|_| network.step());
    let nodes: Vec<usize> = (0..5).collect();
    assert!(network.agree(&nodes));
    let heard = network.heard.clone();
    for (to, from, bytes) in &heard {
        let now = network.now(*to);
        let _ = network.nodes[*to].handle(id(*from), bytes, now);
    }
    assert!(network.agree(&nodes));
    (0..3_000).for_each(|_| network.step());
    assert!(network.agree(&nodes));
}

#[test]
fn a_flood_of_forged_records_costs_a_bounded_number_of_signatures_and_no_memory() {
    let mut network = converged(true);
    let now = network.now(0);
    let held = network.nodes[0].records().count();
    let mut forged = [0; 2];
    for number in 0..2_000 {
        let record = write(1, key(3), now.unix_ms + 10 + number, &body(2), Some(&identity(1))).unwrap();
        let message = message(&record, 0, true);
        match network.nodes[0].handle(id(1), &message, now) {
            Err(Refused::Forged) => forged[0] += 1,
            Err(Refused::Limited) => forged[1] += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(forged[0] <= 256, "{forged:?}");
    assert_eq!(network.nodes[0].records().count(), held);
    // Another neighbour's records are still heard.
    let good = write(1, key(3), now.unix_ms + 5, &body(2), Some(&identity(3))).unwrap();
    let mut writer = Writer::new(1, id(4));
    writer.record(0, &good);
    let message = writer.finish(Some(&identity(0).public()));
    assert_eq!(network.nodes[0].handle(id(4), &message, now), Ok(()));
    let known: Vec<Key> = network.nodes[0].records().map(|record: Record| record.key).collect();
    assert_eq!(known.len(), held);
}
