//! Keys change under continuous traffic, over a network that does its worst, and no packet notices.
#![allow(clippy::panic, clippy::unwrap_used, clippy::expect_used)] // a failed unwrap here is a failed test

mod network;

use network::{Weather, World, identity};
use proa_overlay::keys::{DRAIN_MS, EPOCHS_MAX, Event, ROTATION_MIN_S};
use proa_overlay::topology::NodeId;
use proptest::prelude::*;

const NODES: [u16; 3] = [1, 2, 4];
const FINE: Weather = Weather { loss: 0, duplicates: 0, delay_ms: 20, publish_ms: 5 };
const FOUL: Weather = Weather { loss: 30, duplicates: 20, delay_ms: 400, publish_ms: 100 };

/// Runs until everybody has everybody's keys.
fn mesh(world: &mut World) {
    let start_ms = world.now_ms;
    while !world.is_meshed() {
        world.step(50);
        assert!(world.now_ms < start_ms + 60_000, "no keys after a minute");
    }
    world.without_key = 0;
}

#[test]
fn a_hundred_rotations_lose_no_packet() {
    let mut world = World::new(1, &NODES, ROTATION_MIN_S, FOUL);
    mesh(&mut world);
    let recorded = world.packets();
    assert!(!recorded.is_empty());
    let mut epochs = vec![0; NODES.len()];
    let end_ms = world.now_ms + 101 * u64::from(ROTATION_MIN_S) * 1000;
    let mut rotations = 0;
    let mut names = vec![0; NODES.len()];
    while world.now_ms < end_ms {
        world.step(200);
        for (place, node) in world.nodes.values().enumerate() {
            epochs[place] = epochs[place].max(node.announcer.keyring().own_epochs());
            let keys = node.table.peer(NodeId(if place == 0 { 2 } else { 1 })).unwrap();
            let name = keys.sealer().unwrap().epoch() >> 4;
            rotations += u32::from(place == 0 && name != names[0]);
            names[place] = name;
        }
    }
    assert!(rotations > 100, "{rotations}");
    assert_eq!(world.without_key, 0, "every packet could be sealed");
    assert!(world.opened > 150_000, "{}", world.opened);
    assert!(epochs.iter().all(|most| (2..=EPOCHS_MAX).contains(most)), "{epochs:?}");
    // The names have gone round several times; what was recorded under them opens no more.
    for packet in &recorded {
        assert!(world.open(packet).is_err());
    }
}

/// The control thread is quick, the network too, and the workers get their tables half a second later.
#[test]
fn workers_that_are_slow_to_change_lose_no_packet_either() {
    let weather = Weather { loss: 5, duplicates: 5, delay_ms: 3, publish_ms: 500 };
    for seed in 0..4 {
        let mut world = World::new(10 + seed, &NODES, ROTATION_MIN_S, weather);
        mesh(&mut world);
        // Slowly where nothing happens.
        for _ in 0..8 {
            (0..55).for_each(|_| world.step(1000));
            (0..500).for_each(|_| world.step(20));
        }
        assert_eq!(world.without_key, 0);
    }
}

#[test]
fn a_quiet_network_has_one_key_each_and_says_nothing() {
    let mut world = World::new(2, &NODES, 3600, FINE);
    mesh(&mut world);
    (0..20).for_each(|_| world.step(50));
    let said = world.heard.len();
    // Everybody's key to everybody, and an acknowledgement of each.
    assert!(said <= 2 * 2 * 6, "{said}");
    (0..600).for_each(|_| world.step(5000));
    assert_eq!(world.heard.len(), said);
    let before = world.packets();
    // One rotation: two private keys until all have the new one and nothing is under way, then one.
    (0..240).for_each(|_| world.step(5000));
    assert!(world.heard.len() > said);
    assert!(world.nodes.values().all(|node| node.announcer.keyring().own_epochs() == 1));
    assert_eq!(world.without_key, 0);
    // The old private key is erased on both sides: what was recorded opens nowhere.
    for packet in &before {
        assert!(world.open(packet).is_err());
    }
}

#[test]
fn old_private_keys_outlive_what_is_under_way() {
    let mut world = World::new(3, &NODES, 3600, FINE);
    mesh(&mut world);
    world.now_ms += 3600 * 1000 - 60_000;
    world.lose_everything();
    while world.nodes.values().any(|node| node.announcer.keyring().own_epochs() == 1) {
        world.step(100);
    }
    let late = world.packets();
    // DRAIN later they still open.
    world.lose_everything();
    let until = world.now_ms + DRAIN_MS - 1000;
    while world.now_ms < until {
        world.step(1000);
    }
    for packet in &late {
        assert_eq!(world.open(packet), Ok(()));
    }
}

#[test]
fn an_hour_of_silence_ends_when_the_network_heals() {
    let mut world = World::new(4, &NODES, ROTATION_MIN_S, FINE);
    mesh(&mut world);
    world.weather = Weather { loss: 100, ..FINE };
    // Packets are cut off too.
    for _ in 0..3600 {
        world.step(1000);
        world.lose_everything();
    }
    assert!(world.nodes.values().all(|node| node.announcer.keyring().own_epochs() <= EPOCHS_MAX));
    let said = world.heard.len();
    assert!(said < 3600 * 6, "retries are limited: {said}");
    world.weather = FINE;
    let healed_ms = world.now_ms;
    mesh(&mut world);
    assert!(world.now_ms - healed_ms <= 7000, "{} ms", world.now_ms - healed_ms);
}

#[test]
fn a_node_that_starts_anew_is_met_anew_even_with_a_clock_that_lags_within_its_life() {
    let mut world = World::new(5, &NODES, 3600, FOUL);
    mesh(&mut world);
    for round in 0..5 {
        (0..100).for_each(|_| world.step(100));
        let node = NodeId(NODES[round % NODES.len()]);
        // Back, but by less than it was up.
        let clock_ms = world.nodes[&node].clock_ms - 5000;
        world.lose_everything();
        world.start(node, clock_ms, &NODES);
        // What the others seal to its former life is lost; then all is well.
        while !world.is_meshed() || world.packets().iter().any(|packet| world.open(packet).is_err()) {
            world.lose_packets();
            world.step(50);
        }
    }
}

#[test]
fn clocks_that_jump_by_hours_change_nothing_while_nodes_run() {
    let mut world = World::new(6, &NODES, ROTATION_MIN_S, FINE);
    mesh(&mut world);
    for round in 0..1000 {
        if round % 50 == 0 {
            let off = world.numbers.below(2 * 40_000_000) as i64 - 40_000_000;
            let node = NODES[round / 50 % NODES.len()];
            world.nodes.get_mut(&NodeId(node)).unwrap().clock_ms = off;
        }
        world.step(1000);
    }
    assert_eq!(world.without_key, 0);
}

#[test]
fn a_node_that_is_removed_is_shut_out_with_the_next_table() {
    let mut world = World::new(7, &NODES, 3600, FINE);
    mesh(&mut world);
    let packets = world.packets();
    let node = world.nodes.get_mut(&NodeId(1)).unwrap();
    node.announcer.keyring_mut().set_peers([(NodeId(4), identity(NodeId(4)).public())]);
    node.table = node.announcer.keyring_mut().compile().unwrap();
    for packet in packets.iter().filter(|packet| packet.to == NodeId(1)) {
        assert_eq!(world.open(packet).is_ok(), packet.from == NodeId(4));
    }
}

#[test]
fn a_worn_out_key_is_changed_before_its_time() {
    let mut world = World::new(8, &NODES, 3600, FINE);
    mesh(&mut world);
    let node = world.nodes.get_mut(&NodeId(1)).unwrap();
    let keyring = node.announcer.keyring_mut();
    let planned = keyring.rotation_at_ms();
    keyring.count_sealed(NodeId(4), proa_overlay::keys::PACKETS_MAX - 1);
    assert_eq!(keyring.rotation_at_ms(), planned);
    keyring.count_sealed(NodeId(4), 1);
    assert!(keyring.rotation_at_ms() <= world.now_ms + u64::from(ROTATION_MIN_S) * 1000);
    (0..70).for_each(|_| world.step(1000));
    let keyring = world.nodes[&NodeId(1)].announcer.keyring();
    assert_eq!(keyring.own_epochs(), 2);
    assert!(keyring.rotation_at_ms() > world.now_ms + 3_000_000, "the count began anew");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// An adversary hears every message, sends it again at any time to anybody, and spoils bits of it.
    #[test]
    fn forged_and_replayed_messages_change_nothing(seed: u64, loss in 0u64..50) {
        let mut world = World::new(seed, &NODES, ROTATION_MIN_S, Weather { loss, ..FOUL });
        mesh(&mut world);
        for _ in 0..600 {
            world.step(500);
            let pick = world.numbers.below(world.heard.len() as u64) as usize;
            let (to, message) = world.heard[pick].clone();
            let now = world.now(to);
            let mut spoilt = message.clone();
            let bit = world.numbers.below(message.len() as u64 * 8) as usize;
            spoilt[bit / 8] ^= 1 << (bit % 8);
            let announcer = &mut world.nodes.get_mut(&to).unwrap().announcer;
            prop_assert!(announcer.handle(&spoilt, now).is_err());
            // Again: either it says nothing new, or it was lost before and is news now, of which nothing is wrong.
            if let Ok(Event::Key(node, _)) = announcer.handle(&message, now) {
                prop_assert!(node != to);
            }
        }
        prop_assert_eq!(world.without_key, 0);
        prop_assert!(world.opened > 3000);
    }
}

#[test]
fn an_operator_changes_keys_at_will_but_never_one_that_is_needed() {
    let mut world = World::new(9, &NODES, 3600, FOUL);
    mesh(&mut world);
    let (mut made, mut refused) = (0, 0);
    for round in 0..3000u64 {
        if round % 7 == 0 {
            for node in NODES.map(NodeId) {
                let (now, random) = (world.now(node), world.numbers.bytes());
                let keyring = world.nodes.get_mut(&node).unwrap().announcer.keyring_mut();
                let before = keyring.own_epochs();
                let is_new = keyring.rotate_early(now, &random);
                assert!(!is_new || before < EPOCHS_MAX || keyring.own_epochs() <= EPOCHS_MAX);
                made += u32::from(is_new);
                refused += u32::from(!is_new);
            }
        }
        world.step(200);
    }
    assert!(made > 30 && refused > 100, "{made} made, {refused} refused");
    assert_eq!(world.without_key, 0);
}
