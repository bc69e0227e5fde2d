//! Key messages as frames between four nodes over a network that loses and repeats them, in virtual time.
#![allow(clippy::unwrap_used)] // a failed unwrap fails its test

mod common;

use common::*;
use overlay::keys::{Identity, PublicIdentity};
use overlay::topology::NodeId;
use pipelines::keys::{Keys, Start};
use pipelines::tables::{Dead, Input, Tables};

const MS: u64 = 1_000_000;
const NODES: usize = 4;

fn identity(node: usize) -> Identity {
    Identity::from_seed(&[node as u8 + 1; 32]).unwrap()
}

fn peers(count: usize) -> Vec<(NodeId, PublicIdentity)> {
    (0..count).map(|node| (NodeId(node as u16 + 1), identity(node).public())).collect()
}

/// Numbers that are the same everywhere (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

struct Net {
    now_ns: u64,
    keys: Vec<Keys>,
    tables: Vec<Tables>,
    dice: Dice,
    loss_percent: u64,
    /// Frames that were sent, with who is to have them.
    seen: Vec<(usize, Vec<u8>)>,
    /// Generations that workers get in the next step.
    publishing: Vec<u64>,
}

impl Net {
    fn new(loss_percent: u64) -> Net {
        let topology = topology();
        let table = |node: usize| {
            Tables::compile(&Input {
                topology: &topology,
                node: NodeId(node as u16 + 1),
                interfaces: &interfaces(node),
                neighbors: &neighbors(),
                seed: 3,
                previous: None,
                dead: &Dead::default(),
                hops: &Default::default(),
                blocks: &[],
                neighbors_only: false,
                mtus: &pipelines::tables::Mtus::default(),
            })
        };
        let keys = |node: usize| {
            let random = [node as u8 + 100; 32];
            let unix_offset_ms = 1_780_000_000_000;
            let start = Start { identity: identity(node), rotation_s: 60, unix_offset_ms, random };
            Keys::new(MS, start, &topology, NodeId(node as u16 + 1), &peers(NODES)).unwrap()
        };
        Net {
            now_ns: MS,
            keys: (0..NODES).map(keys).collect(),
            tables: (0..NODES).map(|node| table(node).unwrap()).collect(),
            dice: Dice(5),
            loss_percent,
            seen: Vec::new(),
            publishing: vec![0; NODES],
        }
    }

    fn step(&mut self, ms: u64) {
        self.now_ns += ms * MS;
        let mut sent = Vec::new();
        for node in 0..NODES {
            let mut random = [0; 32];
            random.chunks_mut(8).for_each(|eight| eight.copy_from_slice(&self.dice.next().to_be_bytes()));
            self.keys[node].published(self.publishing[node]);
            if let Some(table) = self.keys[node].tick(self.now_ns, &self.tables[node], || Some(random)) {
                self.publishing[node] = table.generation();
            }
            sent.extend(std::iter::from_fn(|| self.keys[node].poll_frame()));
        }
        for (_, frame) in sent {
            let to = usize::from(frame[4]);
            self.seen.push((to, frame.clone()));
            // Lost, or once, or now and then twice.
            while self.dice.next() % 100 >= self.loss_percent {
                self.keys[to].handle(self.now_ns, &frame);
                if !self.dice.next().is_multiple_of(5) {
                    break;
                }
            }
        }
    }

    fn is_meshed(&self) -> bool {
        let has_all = |keys: &Keys| {
            let ring = keys.keyring();
            ring.peers().all(|peer| ring.standing(peer).unwrap().sending.is_some())
        };
        self.keys.iter().all(has_all)
    }
}

#[test]
fn nodes_agree_over_a_lossy_network_and_stay_agreed_while_keys_change() {
    let mut net = Net::new(40);
    while !net.is_meshed() {
        net.step(20);
        assert!(net.now_ns < 60_000 * MS, "no keys after a minute");
    }
    for _ in 0..6000 {
        net.step(100);
        assert!(net.is_meshed(), "at {} ns", net.now_ns);
    }
    for keys in &net.keys {
        assert!(keys.counters().rotations >= 10, "{:?}", keys.counters());
        assert!((1..=3).all(|peer| keys.keyring().peers().nth(peer - 1).is_some()));
        let counters = keys.counters();
        assert_eq!(counters.taken, counters.consumed + keys.drops().iter().sum::<u64>());
    }
}

#[test]
fn what_is_replayed_or_spoilt_is_refused_counted_and_answered_with_no_more_than_came() {
    let mut net = Net::new(0);
    (0..100).for_each(|_| net.step(20));
    assert!(net.is_meshed());
    (0..100).for_each(|_| net.step(20));
    let recorded = net.seen.clone();
    let (mut came, before) = (0, net.seen.len());
    let taken = net.keys.iter().map(|keys| keys.counters().consumed).sum::<u64>();
    let mut spoilt = 0;
    for _ in 0..50 {
        for (to, frame) in &recorded {
            net.keys[*to].handle(net.now_ns, frame);
            let mut changed = frame.clone();
            let at = 42 + (net.dice.next() as usize) % (frame.len() - 42);
            changed[at] ^= 1 << (net.dice.next() % 8);
            // The checksum of IPv4 may be left out, which is what a forger would do.
            changed[40..42].fill(0);
            assert!(net.keys[*to].handle(net.now_ns, &changed).is_some());
            came += 2 * frame.len();
            spoilt += 1;
        }
        net.step(1);
    }
    let sent: usize = net.seen[before..].iter().map(|(_, frame)| frame.len()).sum();
    assert!(sent <= came, "{sent} sent for {came}");
    let refused: u64 = net.keys.iter().flat_map(|keys| keys.refused().values()).sum();
    assert!(refused >= spoilt, "{refused} of {spoilt}");
    assert!(net.keys.iter().map(|keys| keys.counters().consumed).sum::<u64>() > taken);
    assert!(net.is_meshed());
}

#[test]
fn a_node_that_leaves_the_topology_is_forgotten_and_early_keys_are_limited() {
    let mut net = Net::new(0);
    (0..100).for_each(|_| net.step(20));
    assert!(net.is_meshed());
    let early = (0..5).filter(|byte| net.keys[0].rotate_early(net.now_ns, &[*byte + 1; 32])).count();
    assert_eq!(early, 2);
    (0..100).for_each(|_| net.step(20));
    assert!(net.is_meshed());
    assert!(net.keys[0].keyring().standing(NodeId(2)).unwrap().acknowledged);
    net.keys[0].reconfigure(&topology(), NodeId(1), &peers(NODES - 1));
    net.step(20);
    assert_eq!(net.keys[0].keyring().peers().count(), 2);
    assert!(net.keys[0].heard_ns(NodeId(4)).is_none());
    let (_, frame) = net.seen.iter().rev().find(|(to, frame)| *to == 0 && frame[10] == 3).unwrap().clone();
    assert_eq!(net.keys[0].handle(net.now_ns, &frame).unwrap().name(), "unknown_node");
}
