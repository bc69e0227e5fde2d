use super::*;
use nat::{Config, Filtering, Key, Nat, NewSession, Seconds, ServiceId, Tag, Timeouts};

fn session() -> SessionIndex {
    let [pool, client, vip] = [[10, 9, 0, 1], [198, 51, 100, 7], [203, 0, 113, 1]].map(Addr::from_v4);
    let mut nat = Nat::new(&Config {
        sessions_max: 1 << 10,
        pool: vec![pool],
        worker: 0,
        workers: 1,
        rss: None,
        rules: nat::Rules::default(),
        timeouts: Timeouts::default(),
        seed: 1,
    })
    .unwrap();
    let key = Key { client, port: 7, service: ServiceId(1) };
    let new = NewSession {
        protocol: 17,
        vip,
        vip_port: 7,
        origin: pool,
        origin_port: 7,
        tag: Tag(0),
        filtering: Filtering::default(),
    };
    nat.create(Seconds(0), nat.hash(&key), key, new).unwrap()
}

fn datagram(source: u32, identification: u32) -> Datagram {
    let dst = Addr::from_v4([203, 0, 113, 1]);
    Datagram { src: Addr::from_v4(source.to_be_bytes()), dst, identification, protocol: 17 }
}

const FIRST: Extent = Extent { start: 0, end: 10, last: false };
const MIDDLE: Extent = Extent { start: 10, end: 20, last: false };
const LAST: Extent = Extent { start: 20, end: 25, last: true };

type Table = Assembly<u32, ()>;

/// Tracks a fragment of which nothing is thrown out.
fn track(
    table: &mut Table,
    now_s: u32,
    datagram: Datagram,
    part: Extent,
) -> Result<(Place, Option<Target>), Reason> {
    table.track(now_s, datagram, part, |buf, reason| panic!("{buf} thrown for {reason:?}"))
}

#[test]
fn what_comes_before_its_first_waits_for_it() {
    let mut table = Table::new(9, true);
    let target = Target::Session(session(), 77);
    for (number, part) in [(1, LAST), (2, MIDDLE)] {
        let (place, found) = track(&mut table, 100, datagram(5, 1), part).unwrap();
        assert_eq!(found, None);
        table.hold(100, place, number, (), |_, _| panic!());
    }
    assert_eq!(table.held(), 2);
    let (place, found) = track(&mut table, 100, datagram(5, 1), FIRST).unwrap();
    assert_eq!(found, None);
    table.settle(place, target);
    let released: Vec<_> = core::iter::from_fn(|| table.release(place)).map(|(buf, ())| buf).collect();
    assert_eq!(released, [1, 2]);
    assert_eq!(table.held(), 0);
    // It was whole, and so is forgotten: the same identification is another datagram's.
    assert!(table.entries.iter().all(Option::is_none) && table.tags.iter().all(|tag| *tag == EMPTY));
}

#[test]
fn what_comes_in_order_passes_at_once_and_for_a_while() {
    let mut table = Table::new(9, true);
    let target = Target::Session(session(), 77);
    let (place, _) = track(&mut table, 100, datagram(5, 1), FIRST).unwrap();
    table.settle(place, target);
    assert_eq!(track(&mut table, 129, datagram(5, 1), MIDDLE), Ok((place, Some(target))));
    assert_eq!(track(&mut table, 129, datagram(5, 1), FIRST), Err(Reason::FragmentDuplicate));
    assert_eq!(track(&mut table, 130, datagram(5, 1), LAST).unwrap().1, None);
}

#[test]
fn nothing_of_a_datagram_passes_after_an_overlap() {
    let mut table = Table::new(9, true);
    let (place, _) = track(&mut table, 100, datagram(5, 1), FIRST).unwrap();
    table.settle(place, Target::Session(session(), 77));
    let overlapping = Extent { start: 9, end: 12, last: false };
    assert_eq!(track(&mut table, 100, datagram(5, 1), overlapping), Err(Reason::FragmentOverlap));
    for part in [MIDDLE, LAST, FIRST] {
        assert_eq!(track(&mut table, 101, datagram(5, 1), part), Err(Reason::FragmentOverlap));
    }
    // Another datagram of the same source is none the worse for it.
    assert!(track(&mut table, 101, datagram(5, 2), FIRST).is_ok());
}

#[test]
fn a_flood_takes_no_more_memory_and_none_of_another_source() {
    let mut table = Table::new(9, true);
    let (victim, attacker) = (datagram(5, 1), 6);
    let set = |table: &Table, source: u32| {
        table.hasher.hash_one(prefix(Addr::from_v4(source.to_be_bytes()))) as usize % SETS
    };
    assert_ne!(set(&table, 5), set(&table, attacker), "this seed shows nothing");
    let (place, _) = track(&mut table, 100, victim, MIDDLE).unwrap();
    table.hold(100, place, 0, (), |_, _| panic!());
    let mut thrown = 0;
    for number in 0..100_000 {
        let (place, _) = table.track(100, datagram(attacker, number), LAST, |_, _| thrown += 1).unwrap();
        table.hold(100, place, number + 1, (), |_, _| thrown += 1);
    }
    assert_eq!((table.entries.len(), table.held.len()), (SETS * WAYS, HELD_MAX));
    assert_eq!(table.held() + thrown, 100_001);
    assert!(table.held() <= 1 + HELD_SET_MAX as usize);
    let (place, found) = track(&mut table, 100, victim, FIRST).unwrap();
    assert_eq!(found, None);
    table.settle(place, Target::Session(session(), 1));
    assert_eq!(table.release(place), Some((0, ())));
}

#[test]
fn many_sources_together_hold_no_more_than_fits() {
    let mut table = Table::new(9, true);
    let mut thrown = 0;
    for source in 0..10_000 {
        let (place, _) = table.track(100, datagram(source, 1), LAST, |_, _| thrown += 1).unwrap();
        table.hold(100, place, source, (), |_, _| thrown += 1);
    }
    assert_eq!((table.held(), thrown), (HELD_MAX, 10_000 - HELD_MAX));
    assert_eq!(table.held_of_set.iter().map(|count| *count as usize).sum::<usize>(), HELD_MAX);
}

#[test]
fn nothing_waits_for_long() {
    let mut table = Table::new(9, true);
    let (place, _) = track(&mut table, 100, datagram(5, 1), LAST).unwrap();
    table.hold(100, place, 1, (), |_, _| panic!());
    let mut swept = Vec::new();
    for now_s in 100..104 {
        table.sweep(now_s, |buf, reason| swept.push((now_s, buf, reason)));
    }
    assert_eq!(swept, [(102, 1, Reason::FragmentOrphan)]);
    table.hold(103, place, 2, (), |_, _| panic!());
    let mut closed = Vec::new();
    table.close(|buf, reason| closed.push((buf, reason)));
    table.hold(103, place, 3, (), |buf, reason| closed.push((buf, reason)));
    assert_eq!(closed, [(2, Reason::Stopping), (3, Reason::FragmentLimit)]);
    assert_eq!(table.held(), 0);
    assert_eq!(Table::new(9, false).track(1, datagram(5, 1), FIRST, |_, _| ()), Err(Reason::WrongRole));
}
