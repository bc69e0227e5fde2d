//! Link state among a thousand nodes: tables follow what happens within a second, and nothing goes in circles for longer than it takes
//! all nodes to agree.

use overlay::protocol::Protocol;
use overlay::routing::{LinkView, Metric, Network};
use overlay::topology::RegionIndex;
use packet::Reason;
use proa_tests::globe::{CONTENDERS, Contender, Overlay, REGIONS, World};
use proa_tests::sim::{MILLISECOND, SECOND, seeds};
use std::collections::BTreeMap;

/// When everything has been heard that is to be heard at the start.
const SETTLED_NS: u64 = 8 * SECOND;
/// When watched links have been measured.
const MEASURED_NS: u64 = 4 * SECOND;
/// When the last packet is sent.
const ENDS_NS: u64 = 15 * SECOND;
const STEP_NS: u64 = 20 * MILLISECOND;
/// How long is looked for what a change leads to.
const STEPS: u64 = 65;
/// Until silence is noticed: three intervals of BFD, ms.
const DETECTION_MS: u64 = 150;

fn shortest() -> Vec<Contender> {
    CONTENDERS.iter().filter(|contender| contender.protocol == Protocol::Shortest).copied().collect()
}

fn routers(overlay: &Overlay) -> Vec<usize> {
    (0..REGIONS).flat_map(|region| overlay.intermediates(region)).collect()
}

/// Which cables the shortest way of a flow takes, by the map.
fn cables_of(overlay: &Overlay, flow: usize) -> Vec<usize> {
    let [from, to] = [overlay.flows[flow].edge, overlay.flows[flow].gateway].map(|node| overlay.region(node));
    let network = Network::new(&overlay.topology, &LinkView::default());
    let (mut at, mut cables) = (from, Vec::new());
    while at != to {
        let here = RegionIndex(at as u16);
        let table = if at == from {
            network.first_hops(here, Metric::Latency)
        } else {
            network.next_hops(here, Metric::Latency)
        };
        let next = usize::from(table[to].expect("a way").0);
        cables.extend(overlay.map.cable(at, next));
        at = next;
    }
    cables
}

/// Where packets go next from each living router, to each end of a flow.
fn next_nodes(world: &mut World) -> BTreeMap<(usize, usize), Vec<usize>> {
    let ends: Vec<usize> = world.overlay.flows.iter().flat_map(|flow| [flow.edge, flow.gateway]).collect();
    let is_dark = |node: usize| world.conditions.dark[world.overlay.region(node)];
    let living: Vec<usize> = routers(&world.overlay).into_iter().filter(|node| !is_dark(*node)).collect();
    let mut next = BTreeMap::new();
    for node in living {
        for end in &ends {
            next.insert((node, *end), world.next_nodes(node, *end, Protocol::Shortest));
        }
    }
    next
}

/// By pair of regions: how long the quickest way takes over links as they are, µs.
fn distances(world: &World) -> Vec<Vec<u64>> {
    let mut distances = vec![vec![u64::MAX / 4; REGIONS]; REGIONS];
    for (region, row) in distances.iter_mut().enumerate() {
        row[region] = 0;
    }
    for (at, cable) in world.overlay.map.cables.iter().enumerate() {
        if world.conditions.passes(&world.overlay.map, at) {
            let [a, b] = cable.between;
            let latency_us = u64::from(world.conditions.latency_us(&world.overlay.map, at));
            (distances[a][b], distances[b][a]) = (latency_us, latency_us);
        }
    }
    for via in 0..REGIONS {
        for from in 0..REGIONS {
            for to in 0..REGIONS {
                distances[from][to] = distances[from][to].min(distances[from][via] + distances[via][to]);
            }
        }
    }
    distances
}

/// How many routers' tables do not lead along the quickest way, or one that is as good by what link state tells of: an eighth and 500 µs.
fn behind(world: &World, distances: &[Vec<u64>], next: &BTreeMap<(usize, usize), Vec<usize>>) -> usize {
    let is_behind = |((node, end), nodes): &(&(usize, usize), &Vec<usize>)| {
        let (here, there) = (world.overlay.region(*node), world.overlay.region(*end));
        let best_us = distances[here][there];
        if here == there || best_us >= u64::MAX / 4 {
            return false;
        }
        let leads_astray = |next: &usize| {
            let by = world.overlay.region(*next);
            let cable = world
                .overlay
                .map
                .cable(here, by)
                .filter(|at| world.conditions.passes(&world.overlay.map, *at));
            let first_us = cable.map(|at| u64::from(world.conditions.latency_us(&world.overlay.map, at)));
            first_us.is_none_or(|first_us| first_us + distances[by][there] > best_us + best_us / 8 + 500)
        };
        nodes.is_empty() || nodes.iter().any(leads_astray)
    };
    next.iter().filter(is_behind).count()
}

/// Whether a packet to some end could come back to a router that it has passed.
fn has_loop(next: &BTreeMap<(usize, usize), Vec<usize>>) -> bool {
    let mut ends: Vec<usize> = next.keys().map(|(_, end)| *end).collect();
    ends.sort_unstable();
    ends.dedup();
    ends.into_iter().any(|end| {
        // Takes away who can only reach who was taken away: what stays, turns in circles.
        let mut left: BTreeMap<usize, &Vec<usize>> =
            next.iter().filter(|((_, of), _)| *of == end).map(|((node, _), to)| (*node, to)).collect();
        loop {
            let gone: Vec<usize> = left
                .iter()
                .filter(|(_, to)| to.iter().all(|next| *next == end || !left.contains_key(next)))
                .map(|(node, _)| *node)
                .collect();
            if gone.is_empty() {
                return !left.is_empty();
            }
            for node in &gone {
                left.remove(node);
            }
        }
    })
}

/// Whether all living nodes hold the newest word of those beside a cable.
fn agree(world: &World, cable: usize) -> bool {
    let control = world.control.as_ref().expect("link state");
    let lives = |node: &usize| !world.conditions.dark[world.overlay.region(*node)];
    let regions = world.overlay.map.cables[cable].between.into_iter();
    let origins: Vec<usize> = regions.flat_map(|region| world.overlay.nodes(region)).filter(lives).collect();
    let nodes: Vec<usize> = (0..world.overlay.topology.nodes.len()).filter(lives).collect();
    origins.iter().all(|origin| {
        (0..2).all(|piece| {
            let newest = control.sequence(*origin, *origin, piece);
            nodes.iter().all(|node| control.sequence(*node, *origin, piece) == newest)
        })
    })
}

/// What came of a change.
#[derive(Debug, Default)]
struct Outcome {
    /// When the last router's table was as it should be, ms after the change.
    followed_ms: u64,
    /// When all nodes held the newest word after that.
    agreed_ms: u64,
    /// When something could last have gone in a circle; 0 for never.
    circled_ms: u64,
}

fn change(world: &mut World, cable: usize, act: impl FnOnce(&mut World)) -> Outcome {
    act(world);
    world.change();
    let start_ns = world.now_ns;
    let distances = distances(world);
    let mut outcome = Outcome::default();
    for _ in 0..STEPS {
        world.run_until(world.now_ns + STEP_NS);
        let passed_ms = (world.now_ns - start_ns) / MILLISECOND;
        let next = next_nodes(world);
        if behind(world, &distances, &next) > 0 {
            outcome.followed_ms = passed_ms + STEP_NS / MILLISECOND;
        }
        if !agree(world, cable) {
            outcome.agreed_ms = passed_ms + STEP_NS / MILLISECOND;
        }
        if has_loop(&next) {
            outcome.circled_ms = passed_ms;
        }
    }
    outcome
}

fn check(what: &str, outcome: &Outcome, limit_ms: u64) {
    println!("{what}: {outcome:?}");
    assert!(outcome.followed_ms > 0, "{what}: nothing changed, so nothing was tested");
    assert!(outcome.followed_ms <= limit_ms, "{what}: {outcome:?}");
    assert!(outcome.agreed_ms <= limit_ms, "{what}: {outcome:?}");
    let converged_ms = outcome.agreed_ms.max(outcome.followed_ms);
    assert!(outcome.circled_ms <= converged_ms, "{what}: {outcome:?}");
}

/// A world whose nodes have heard of each other, and the cable in the middle of its flow's way, whose links are measured.
fn settled(seed: u64) -> (World, usize) {
    let overlay = Overlay::draw(seed, 1, &shortest());
    let cables = cables_of(&overlay, 0);
    let cable = cables[cables.len() / 2];
    let mut world = World::new(overlay, seed, Some(&[cable]));
    world.prepare(&routers(&world.overlay));
    world.run_until(MEASURED_NS);
    world.control.as_mut().expect("link state").warm_up(MEASURED_NS);
    world.wake_all();
    world.run_until(SETTLED_NS);
    let next = next_nodes(&mut world);
    assert_eq!(behind(&world, &distances(&world), &next), 0, "at the start");
    (world, cable)
}

#[test]
fn tables_follow_within_a_second_and_circle_no_longer_than_views_differ() {
    seeds("globe_links", "tables_follow_within_a_second_and_circle_no_longer_than_views_differ", 1, |seed| {
        let (mut world, cable) = settled(seed);
        world.send(2 * MILLISECOND, ENDS_NS);
        let slow = change(&mut world, cable, |world| world.conditions.slowed[cable] = 300);
        check("three times as slow", &slow, 1_000);
        let quick = change(&mut world, cable, |world| world.conditions.slowed[cable] = 100);
        check("as quick as before", &quick, 1_000);
        let cut = change(&mut world, cable, |world| world.conditions.cut[cable] += 1);
        check("cut", &cut, DETECTION_MS + 1_000);
        // Where views go on to differ: the cable is back, but one end of it hears nothing of that, and sends back what comes for it.
        let end = world.overlay.map.cables[cable].between[0];
        world.deaf = world.overlay.intermediates(end).collect();
        world.conditions.cut[cable] = 0;
        world.change();
        world.run_until(ENDS_NS + SECOND);
        // Whatever turned in a circle has met its hop limit: what was sent was delivered, lost on a cut line or thrown away, and nothing
        // is under way any more.
        let (drops, score) = (world.drops(), &world.scores[0]);
        println!("{drops:?}, {} of {} delivered, {} lost on lines", score.delivered, score.sent, world.lost);
        assert_eq!(score.sent, score.delivered + world.lost + drops.values().sum::<u64>());
        let expected = [Reason::OverlayHopLimit, Reason::NoRoute, Reason::OverlayWrongHop];
        assert!(drops.keys().all(|reason| expected.contains(reason)), "{drops:?}");
        world.check_once();
    });
}
