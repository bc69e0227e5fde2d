//! Liveness of links and paths over four real data paths, in virtual time: what dies, leaves the tables in time; what is
//! forged, changes nothing.
#![allow(clippy::unwrap_used)] // a failed unwrap fails its test

mod common;

use common::*;
use overlay::bfd::State;
use overlay::health::Phase;
use overlay::topology::{IpVersion, Liveness, NodeId, PathId, Probing, Topology};
use packet::{Addr, BufPool, Mac, PacketBuf};
use pipelines::live::{Live, Start};
use pipelines::tables::{Dead, Input, Mtus, Tables};
use pipelines::{Cause, PortIndex};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

const MS: u64 = 1_000_000;
const UNIX_NS: u64 = 1_800_000_000_000_000_000;

/// A frame on its way: arrival, order, from and to which node, and the frame.
type OnTheWay = (u64, u64, usize, usize, Vec<u8>);

/// The lab, with the control thread of each node and a wire that takes a millisecond.
struct Net {
    lab: Lab,
    topology: Topology,
    lives: Vec<Live>,
    tables: Vec<Arc<Tables>>,
    versions: Vec<u64>,
    compiled: u64,
    wire: BinaryHeap<Reverse<OnTheWay>>,
    count: u64,
    /// Directions that carry nothing.
    cut: Vec<(usize, usize)>,
    /// Nodes that do nothing, and receive nothing.
    frozen: Vec<usize>,
    /// Every frame between nodes that bore liveness.
    seen: Vec<(usize, Vec<u8>)>,
    /// A node whose port carries less than others, bytes of an IP packet.
    narrow: Option<(usize, usize)>,
    /// A pair of nodes between whom less is carried.
    narrow_link: Option<(usize, usize, usize)>,
}

fn watched() -> Topology {
    Topology {
        liveness: Some(Liveness { interval_ms: 50, multiplier: 3, hold_down_ms: 1000, damping_seconds: 15 }),
        quality: Some(Probing { interval_ms: 50, packet_bytes: vec![128, 512, 1400] }),
        ..topology()
    }
}

fn compile(
    topology: &Topology,
    node: usize,
    previous: Option<&Tables>,
    (dead, mtus): (&Dead, &Mtus),
) -> Arc<Tables> {
    let input = Input {
        topology,
        node: NodeId(node as u16 + 1),
        interfaces: &interfaces(node),
        neighbors: &neighbors(),
        seed: 3,
        previous,
        dead,
        mtus,
        hops: &Default::default(),
        blocks: &[],
        neighbors_only: previous.is_some(),
    };
    Arc::new(Tables::compile(&input).unwrap())
}

impl Net {
    fn new(topology: Topology) -> Net {
        let mut lab = Lab::with(&topology, 1);
        lab.now_ns = 0;
        let tables: Vec<_> =
            (0..4).map(|node| compile(&topology, node, None, (&Dead::default(), &Mtus::default()))).collect();
        let lives = tables.iter().enumerate().map(|(node, tables)| {
            Live::new(0, Start { unix_offset_ns: UNIX_NS, seed: node as u64 }, &topology, tables)
        });
        Net {
            lives: lives.collect(),
            tables,
            lab,
            topology,
            versions: vec![0; 4],
            compiled: 0,
            wire: BinaryHeap::new(),
            count: 0,
            cut: Vec::new(),
            frozen: Vec::new(),
            seen: Vec::new(),
            narrow: None,
            narrow_link: None,
        }
    }

    fn up() -> Net {
        let mut net = Net::new(watched());
        net.run_for(3000 * MS);
        for (node, live) in net.lives.iter().enumerate() {
            assert!(live.links().iter().all(|link| link.session.state() == State::Up), "node {node}");
            assert_eq!(live.dead(), &Dead::default(), "node {node}");
        }
        net
    }

    fn run_for(&mut self, time_ns: u64) {
        let end_ns = self.lab.now_ns + time_ns;
        loop {
            for node in 0..4 {
                self.control(node);
            }
            let arrival = self.wire.peek().map_or(u64::MAX, |first| first.0.0);
            let due = self.lives.iter().enumerate().filter(|(node, _)| !self.frozen.contains(node));
            let due = due.filter_map(|(_, live)| live.poll_timeout()).min().unwrap_or(u64::MAX);
            let next = arrival.min(due).max(self.lab.now_ns);
            if next > end_ns {
                self.lab.now_ns = end_ns;
                return;
            }
            self.lab.now_ns = next;
            while self.wire.peek().is_some_and(|first| first.0.0 <= next) {
                let Reverse((_, _, from, to, frame)) = self.wire.pop().unwrap();
                if !self.cut.contains(&(from, to))
                    && !self.frozen.contains(&to)
                    && !self.frozen.contains(&from)
                {
                    self.receive(to, &frame);
                }
            }
        }
    }

    fn receive(&mut self, node: usize, frame: &[u8]) {
        let sent = self.lab.give(node, UNDERLAY, frame);
        self.transmit(node, sent.into_iter().map(|(_, port, frame)| (port, frame)).collect());
        let punts: Vec<_> = self.lab.nodes[node].out.punts.drain(..).collect();
        for punt in punts {
            if punt.cause == Cause::Liveness {
                self.lives[node].handle(self.lab.now_ns, &self.tables[node], punt.buf.data());
            }
            self.lab.pool.free(punt.buf);
        }
        self.control(node);
    }

    fn control(&mut self, node: usize) {
        if self.frozen.contains(&node) {
            return;
        }
        self.lives[node].tick(self.lab.now_ns, &self.tables[node]);
        let frames: Vec<_> = std::iter::from_fn(|| self.lives[node].poll_frame()).collect();
        self.transmit(node, frames);
        if self.lives[node].version() != self.versions[node] {
            self.versions[node] = self.lives[node].version();
            self.compiled += 1;
            let live = &self.lives[node];
            let tables = compile(&self.topology, node, Some(&self.tables[node]), (live.dead(), live.mtus()));
            self.lab.nodes[node].forwarder.swap_tables(tables.clone());
            self.tables[node] = tables;
        }
    }

    fn transmit(&mut self, node: usize, frames: Vec<(PortIndex, Vec<u8>)>) {
        for (port, frame) in frames {
            let to = frame[4] as usize;
            let fits = |mtu: usize| frame.len() <= 14 + mtu;
            let at_port = self.narrow.is_none_or(|(at, mtu)| fits(mtu) || (at != node && at != to));
            let between = self
                .narrow_link
                .is_none_or(|(a, b, mtu)| fits(mtu) || ![(a, b), (b, a)].contains(&(node, to)));
            if port == UNDERLAY && to < 4 && at_port && between {
                self.count += 1;
                self.seen.push((to, frame.clone()));
                self.wire.push(Reverse((self.lab.now_ns + MS, self.count, node, to, frame)));
            }
        }
    }

    /// Paths over which a packet of a client leaves the edge.
    fn paths_used(&mut self) -> Vec<u16> {
        let request = frame(EDGE, "198.51.100.77", 7, "203.0.113.10", 80, 6, b"");
        let copies = self.lab.give(EDGE, OUTSIDE, &request);
        let mut paths: Vec<_> = copies
            .iter()
            .map(|(_, _, frame)| u16::from_be_bytes([frame[14 + 28 + 34], frame[14 + 28 + 35]]))
            .collect();
        paths.sort_unstable();
        paths
    }
}

#[test]
fn neighbours_and_ends_find_each_other_and_nothing_flaps() {
    let mut net = Net::up();
    let links: Vec<_> = net.lives.iter().map(|live| live.links().len()).collect();
    let paths: Vec<_> = net.lives.iter().map(|live| live.paths().len()).collect();
    assert_eq!((links, paths), (vec![2, 2, 2, 2], vec![2, 0, 0, 2]));
    net.run_for(60_000 * MS);
    assert_eq!(net.compiled, 0);
    for live in &net.lives {
        assert!(live.drops().iter().all(|count| *count == 0));
        assert!(live.links().iter().all(|link| link.health.deaths() == 0 && link.refused == 0));
        for path in live.paths() {
            let stats = path.stats().unwrap();
            assert_eq!((stats.counts.lost_forward(), stats.counts.lost_backward()), (0, 0));
            assert!(stats.counts.sent > 1000 && path.reflected > 1000);
            // Two hops of a millisecond there, and two back.
            assert!(stats.round_trip().unwrap()[1].abs_diff(4 * MS) < MS / 10);
        }
    }
    assert_eq!(net.paths_used(), [11, 12]);
}

#[test]
fn a_frozen_intermediate_is_known_at_both_ends_within_the_detection_time() {
    for start in 0..20 {
        let mut net = Net::up();
        net.run_for(start * 7 * MS);
        net.frozen = vec![MID_1];
        net.run_for(152 * MS);
        for end in [EDGE, GATEWAY] {
            assert_eq!(net.lives[end].dead().links, [(NodeId(2), IpVersion::V4)]);
            let peer = NodeId(if end == EDGE { 4 } else { 1 });
            assert_eq!(net.lives[end].dead().paths, [(PathId(11), peer, IpVersion::V4)]);
        }
        assert_eq!(net.paths_used(), [12]);
    }
}

#[test]
fn a_path_that_comes_back_waits_for_the_hold_down() {
    let mut net = Net::up();
    net.frozen = vec![MID_1];
    net.run_for(5000 * MS);
    net.frozen.clear();
    let mut waited = 0;
    while net.paths_used() != [11, 12] {
        net.run_for(10 * MS);
        waited += 10;
        assert!(waited < 10_000, "it never came back");
    }
    assert!((1000..3500).contains(&waited), "{waited} ms");
    assert!(net.lives[EDGE].links().iter().all(|link| link.health.phase() == Phase::Up));
}

#[test]
fn a_link_cut_in_one_direction_is_known_at_both_its_ends_and_at_the_far_end_of_its_path() {
    for cut in [(EDGE, MID_1), (MID_1, EDGE), (GATEWAY, MID_1), (MID_1, GATEWAY)] {
        let mut net = Net::up();
        net.cut = vec![cut];
        net.run_for(160 * MS);
        for end in [EDGE, GATEWAY] {
            assert_eq!(net.lives[end].dead().paths.len(), 1, "{cut:?} at node {end}");
            assert_eq!(net.lives[end].dead().paths[0].0, PathId(11));
        }
        assert_eq!(net.paths_used(), [12]);
    }
}

#[test]
fn loss_is_told_by_direction_and_path() {
    let mut net = Net::up();
    net.cut = vec![(MID_2, GATEWAY)];
    // From the edge: all that goes there over path 12 is lost; nothing else is.
    net.run_for(20_000 * MS);
    // The next answer that comes back tells in which direction the others were lost.
    net.cut.clear();
    net.run_for(5_000 * MS);
    let counts = |net: &Net, end: usize, id: u16| {
        let path = net.lives[end].paths().iter().find(|path| path.path == PathId(id)).unwrap();
        path.stats().unwrap().counts
    };
    assert!(counts(&net, EDGE, 12).lost_forward() > 300);
    assert_eq!((counts(&net, EDGE, 12).lost_backward(), counts(&net, GATEWAY, 12).lost_forward()), (0, 0));
    let other = counts(&net, EDGE, 11);
    assert_eq!((other.lost_forward(), other.lost_backward()), (0, 0));
}

#[test]
fn with_every_path_dead_all_stay_in_use() {
    let mut net = Net::up();
    net.frozen = vec![MID_1, MID_2];
    net.run_for(1000 * MS);
    assert_eq!(net.lives[EDGE].dead().paths.len(), 2);
    assert_eq!(net.paths_used(), [11, 12]);
}

#[test]
fn one_copy_moves_to_the_next_path_that_lives() {
    let mut topology = watched();
    topology.applications[0].copies = 1;
    let mut net = Net::new(topology);
    net.run_for(3000 * MS);
    assert_eq!(net.paths_used(), [11]);
    net.frozen = vec![MID_1];
    net.run_for(160 * MS);
    assert_eq!(net.paths_used(), [12]);
}

#[test]
fn what_members_sent_before_and_what_others_forge_brings_nothing_up() {
    let mut net = Net::up();
    net.frozen = vec![MID_1];
    net.run_for(500 * MS);
    // All that the edge ever received, once more; the intermediate stays frozen.
    let seen: Vec<_> =
        net.seen.iter().filter(|(to, _)| *to == EDGE).map(|(_, frame)| frame.clone()).collect();
    assert!(seen.len() > 50);
    for frame in seen {
        net.receive(EDGE, &frame);
        net.run_for(MS);
        let link = net.lives[EDGE].links().iter().find(|link| link.node == NodeId(2)).unwrap();
        assert_ne!(link.session.state(), State::Up);
        assert!(net.lives[EDGE].dead().paths.iter().any(|(path, ..)| *path == PathId(11)));
    }
}

#[test]
fn strangers_are_dropped_by_the_data_path_and_answers_on_another_path_count_for_nothing() {
    let mut net = Net::up();
    // From an address of no member.
    let forged = frame(EDGE, "198.51.100.9", 49_152, "192.0.2.1", 4784, 17, &[0x20, 0x40, 3, 24]);
    let before = net.lab.dropped(EDGE, packet::Reason::OverlayNotMember);
    let mut forged = forged;
    forged[..6].copy_from_slice(&mac(EDGE, UNDERLAY).0);
    net.receive(EDGE, &forged);
    assert_eq!(net.lab.dropped(EDGE, packet::Reason::OverlayNotMember), before + 1);
    // An answer to a probe of path 11, moved to path 12: the intermediate before it is the wrong one.
    net.seen.clear();
    net.run_for(100 * MS);
    let is_probe = |frame: &[u8]| frame.len() > 100 && frame[14 + 28 + 1] & 0x80 != 0;
    let answers: Vec<_> =
        net.seen.iter().filter(|(to, frame)| *to == EDGE && is_probe(frame)).cloned().collect();
    assert!(!answers.is_empty());
    for (_, mut frame) in answers {
        let path = &mut frame[14 + 28 + 35];
        *path = if *path == 11 { 12 } else { 11 };
        let taken = net.lives[EDGE].counters().taken;
        net.receive(EDGE, &frame);
        assert_eq!(net.lives[EDGE].counters().taken, taken);
        // Even where it comes to the control thread, it answers nothing that was asked there.
        let (now_ns, consumed) = (net.lab.now_ns, net.lives[EDGE].counters().consumed);
        let tables = net.tables[EDGE].clone();
        let answers_only = frame[14 + 28 + 48 + 20] == 3;
        net.lives[EDGE].handle(now_ns, &tables, &frame);
        assert!(!answers_only || net.lives[EDGE].counters().consumed == consumed);
    }
}

#[test]
fn a_neighbour_whose_ethernet_address_is_not_known_costs_nothing() {
    let topology = watched();
    let input = Input {
        topology: &topology,
        node: NodeId(1),
        interfaces: &interfaces(EDGE),
        neighbors: &[] as &[(PortIndex, Addr, Mac)],
        seed: 3,
        previous: None,
        dead: &Dead::default(),
        mtus: &Default::default(),
        hops: &Default::default(),
        blocks: &[],
        neighbors_only: false,
    };
    let tables = Tables::compile(&input).unwrap();
    let mut live = Live::new(0, Start { unix_offset_ns: UNIX_NS, seed: 1 }, &topology, &tables);
    live.tick(0, &tables);
    assert!(live.poll_frame().is_none());
    assert!(live.poll_timeout().is_some_and(|at| at > 0));
}

/// What a node's first flight carries.
fn flight_mtu(net: &Net, node: usize) -> u16 {
    net.tables[node].flights[0].mtu
}

#[test]
fn a_link_that_shrinks_is_measured_and_flows_follow() {
    let mut net = Net::up();
    assert_eq!(flight_mtu(&net, EDGE), 1424);
    net.narrow = Some((MID_1, 1280));
    net.run_for(500 * MS);
    for end in [EDGE, GATEWAY] {
        assert!(flight_mtu(&net, end) <= 1280 - 76, "node {end} within five intervals");
    }
    net.run_for(10_000 * MS);
    for end in [EDGE, GATEWAY] {
        assert_eq!(flight_mtu(&net, end), 1280 - 76, "node {end}");
        let copies: Vec<_> = net.tables[end].flights[0].copies().map(|copy| copy.mtu).collect();
        assert_eq!(copies, [1280 - 76, 1424]);
        assert_eq!(net.lives[end].dead(), &Dead::default());
    }
}

#[test]
fn an_end_knows_what_links_behind_its_first_carry() {
    let mut net = Net::up();
    // Only between the intermediate and the gateway.
    net.narrow_link = Some((MID_1, GATEWAY, 1300));
    net.run_for(10_000 * MS);
    assert_eq!((flight_mtu(&net, EDGE), flight_mtu(&net, GATEWAY)), (1300 - 76, 1300 - 76));
}

#[test]
fn acknowledgements_are_shorter_than_probes_and_forged_ones_change_nothing() {
    let mut net = Net::up();
    net.run_for(1000 * MS);
    let sizes = net.seen.iter().filter(|(_, frame)| frame[36..38] == 4794u16.to_be_bytes());
    let (probes, acks): (Vec<_>, Vec<_>) = sizes.map(|(_, frame)| frame).partition(|frame| frame[43] == 1);
    assert!(probes.len() > 20 && acks.len().abs_diff(probes.len()) < 20);
    assert!(probes.iter().all(|frame| frame.len() == 14 + 1500 && frame[20] == 0x40));
    assert!(acks.iter().all(|frame| frame.len() < 100));
    let mut forged = acks[0].clone();
    forged[46] ^= 1;
    forged[40..42].fill(0);
    let before = net.lives.iter().map(|live| live.mtus().clone()).collect::<Vec<_>>();
    net.receive(forged[4] as usize, &forged);
    assert_eq!(before, net.lives.iter().map(|live| live.mtus().clone()).collect::<Vec<_>>());
}
