//! Messages about link state as `docs/vectors/linkstate.txt` has them: bytes give the fields, fields give the bytes.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashSet};

use proa_overlay::keys::Identity;
use proa_overlay::linkstate::{Item, Key, Kind, LinkNow, Links, Message, Record, Writer, write};
use proa_overlay::plan::Quality;
use proa_overlay::plans::{Paths, fingerprint, number};
use proa_overlay::topology::{IpVersion, NodeId, Path, PathId, Region, RegionIndex, Topology};

const VECTORS: &str = include_str!("../../docs/vectors/linkstate.txt");

struct Vector {
    name: &'static str,
    bytes: Vec<u8>,
    fields: BTreeMap<&'static str, &'static str>,
}

fn vectors() -> Vec<Vector> {
    let blocks = VECTORS.split("\n[").skip(1);
    blocks
        .map(|block| {
            let (name, rest) = block.split_once("]\n").unwrap();
            let mut vector = Vector { name, bytes: Vec::new(), fields: BTreeMap::new() };
            for line in rest.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
                if let Some(digits) = line.strip_prefix("  ") {
                    let digits: Vec<u8> = digits.bytes().filter(|byte| *byte != b' ').collect();
                    let pairs = digits.chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
                    vector.bytes.extend(pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()));
                } else {
                    let (key, value) = line.split_once('=').unwrap();
                    vector.fields.insert(key.trim(), value.trim());
                }
            }
            vector
        })
        .collect()
}

impl Vector {
    fn number<T: TryFrom<u64>>(&self, key: &str) -> T {
        let number: u64 = self.fields[key].parse().unwrap();
        T::try_from(number).unwrap_or_else(|_| panic!("[{}] {key}", self.name))
    }

    fn identity(&self, key: &str) -> Option<Identity> {
        let seed = self.fields.get(key)?.parse().unwrap();
        Some(Identity::from_seed(&[seed; 32]).unwrap())
    }

    fn links(&self) -> Links {
        let links = self.fields["links"].split(',').filter(|link| !link.is_empty()).map(|link| {
            let numbers: Vec<u32> = link.split_whitespace().map(|number| number.parse().unwrap()).collect();
            let [neighbor, flags, latency_us, loss_ppm] = numbers[..] else { panic!("{link}") };
            LinkNow {
                neighbor: NodeId(neighbor as u16),
                version: if flags & 2 > 0 { IpVersion::V6 } else { IpVersion::V4 },
                up: flags & 1 > 0,
                quality: (flags & 4 > 0).then_some(Quality { latency_us, loss_ppm }),
            }
        });
        Links { pieces: self.number("pieces"), links: links.collect() }
    }
}

#[test]
fn records_are_read_and_written_as_in_the_vectors() {
    let records = vectors().into_iter().filter(|vector| vector.fields.contains_key("origin"));
    let mut count = 0;
    for vector in records {
        let (overlay, sender) = (vector.number("overlay"), NodeId(vector.number("sender")));
        let receiver = vector.identity("receiver_seed").map(|identity| identity.public());
        let key =
            Key { origin: NodeId(vector.number("origin")), kind: Kind::Links, index: vector.number("index") };
        let signer = vector.identity("seed");
        let message = Message::parse(&vector.bytes, overlay, receiver.as_ref()).unwrap();
        assert_eq!(message.from, sender);
        let items: Vec<Item> = message.items().flatten().collect();
        let [Item::Record { age_ms, record }] = items[..] else { panic!("[{}]", vector.name) };
        let read = Record::parse(record).unwrap();
        assert_eq!((age_ms, read.key), (vector.number("age_ms"), key));
        assert_eq!((read.sequence, read.overlay_id), (vector.number("sequence"), overlay));
        assert_eq!(Links::parse(read.body), Some(vector.links()));
        assert_eq!(
            signer.as_ref().map(|signer| read.is_signed_by(&signer.public())),
            signer.as_ref().map(|_| true)
        );
        let written =
            write(overlay, key, read.sequence, &vector.links().to_bytes(), signer.as_ref()).unwrap();
        let mut writer = Writer::new(overlay, sender);
        assert!(writer.record(age_ms, &written));
        assert_eq!(writer.finish(receiver.as_ref()), vector.bytes, "[{}]", vector.name);
        count += 1;
    }
    assert_eq!(count, 2);
}

#[test]
fn acknowledgements_and_summaries_are_those_of_the_vectors() {
    let vectors = vectors();
    let vector = vectors.iter().find(|vector| vector.name == "acknowledgement-and-summary").unwrap();
    let key = |origin, index| Key { origin: NodeId(origin), kind: Kind::Links, index };
    let held = [(key(1, 0), 1_800_000_000_123), (key(11, 0), 1_800_000_000_500)];
    let mut writer = Writer::new(1, NodeId(2));
    writer.acknowledgements(&held[..1]);
    writer.summary(key(0, 0), key(65_535, 65_535), &held);
    assert_eq!(writer.finish(None), vector.bytes);
    let message = Message::parse(&vector.bytes, 1, None).unwrap();
    let items: Vec<Item> = message.items().flatten().collect();
    let [Item::Acknowledgement(acks), Item::Summary { after, last, entries }] = items[..] else {
        panic!("{items:?}");
    };
    assert_eq!(acks.iter().collect::<Vec<_>>(), held[..1]);
    assert_eq!((after, last), (key(0, 0), key(65_535, 65_535)));
    assert_eq!(entries.iter().collect::<Vec<_>>(), held);
}

#[test]
fn plans_and_the_numbers_of_their_paths_are_those_of_the_vectors() {
    let vectors = vectors();
    let vector = vectors.iter().find(|vector| vector.name == "plan").unwrap();
    let names: Vec<&str> = vector.fields["regions"].split(", ").collect();
    let regions = names.iter().map(|name| Region { name: (*name).to_owned() }).collect();
    let topology = Topology { regions, ..Topology::default() };
    let ends = (RegionIndex(vector.number("edge")), RegionIndex(vector.number("gateway")));
    let paths = vector.fields["paths"].split(',').map(|path| {
        let numbers: Vec<u16> = path.split_whitespace().map(|number| number.parse().unwrap()).collect();
        let via: Vec<RegionIndex> = numbers[1..].iter().copied().map(RegionIndex).collect();
        let whole = [ends.0].into_iter().chain(via.iter().copied()).chain([ends.1]);
        let by_name = number(whole.map(|region| names[usize::from(region.0)]), &mut HashSet::new());
        assert_eq!(by_name, numbers[0]);
        Path { id: PathId(numbers[0]), via }
    });
    let (fingerprint, paths) = (fingerprint(&topology), paths.collect());
    let said = Paths { fingerprint, edge: ends.0, gateway: ends.1, paths };
    let key = Key { origin: NodeId(2), kind: Kind::Plan, index: ends.0.0 };
    let record = write(1, key, vector.number("sequence"), &said.to_bytes(), None).unwrap();
    let mut writer = Writer::new(1, NodeId(2));
    assert!(writer.record(0, &record));
    assert_eq!(writer.finish(None), vector.bytes);
    assert_eq!(Paths::parse(Record::parse(&record).unwrap().body), Some(said));
}
