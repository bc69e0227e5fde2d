//! Mistakes that others made in this field, each with the test that would show it here.

use overlay::elimination::{Elimination, StreamKey};
use overlay::parity::Coding;
use overlay::plan::verify;
use overlay::protocol::Protocol;
use overlay::topology::NodeId;
use overlay::window::Verdict;
use packet::Reason;
use proa_tests::sim::{Action, Link, Loss, MILLISECOND, Plan, SECOND, Shape, World, seeds};

/// One edge, two paths of one intermediate each, one gateway; two copies of everything.
fn pair(workers: u64) -> Shape {
    Shape {
        edges: 1..=1,
        regions: 2..=2,
        per_region: 1..=1,
        gateways: 1..=1,
        copies: 2..=2,
        workers: workers..=workers,
        applications: 1..=1,
        ..Shape::default()
    }
}

/// Index of the intermediate of the set's first path, and the path's slot in the counters.
fn first_path(world: &World) -> usize {
    let region = world.plan.topology.path_sets[0].paths[0].via[0];
    world.plan.topology.nodes.iter().position(|node| node.region == region).unwrap()
}

/// Loss of a path, as its two ends count it.
fn loss(world: &World, from: usize, to: usize, path: usize) -> f64 {
    let id = world.plan.topology.path_sets[0].paths[path].id;
    let slot = |node: usize| {
        let paths = &world.nodes[node].tables().registry.paths;
        paths.iter().position(|known| *known == id).unwrap()
    };
    let (at_sender, at_receiver) = (slot(from), slot(to));
    let sent = world.nodes[from].sum(|counters| &counters.paths[at_sender].sent) as f64;
    let arrived = world.nodes[to].sum(|counters| &counters.paths[at_receiver].passed)
        + world.nodes[to].sum(|counters| &counters.paths[at_receiver].discarded)
        + world.nodes[to].sum(|counters| &counters.paths[at_receiver].rogue);
    1.0 - arrived as f64 / sent
}

/// Loss computed from a sequence that all paths share shows half of everything lost on a perfect pair.
#[test]
fn the_loss_of_each_path_is_its_own() {
    let mut world = World::new(Plan::draw(7, &pair(2)), 7, MILLISECOND);
    let (edge, gateway) =
        (world.plan.with_role(|roles| roles.edge)[0], world.plan.with_role(|roles| roles.gateway)[0]);
    let middle = first_path(&world);
    let mut link = world.wan(edge, middle).clone();
    link.loss = Loss::Random(0.3);
    world.at(2 * SECOND, Action::Wan { from: edge, to: middle, link });
    world.plan_requests(1000, 40, 3 * SECOND, 4 * SECOND);
    world.run_until(4 * SECOND);
    world.finish();
    world.check_complete(|_| true);
    let forth = [loss(&world, edge, gateway, 0), loss(&world, edge, gateway, 1)];
    let back = [loss(&world, gateway, edge, 0), loss(&world, gateway, edge, 1)];
    assert!((0.25..0.35).contains(&forth[0]), "{forth:?}");
    assert_eq!((forth[1], back), (0.0, [0.0, 0.0]));
}

/// A reorder buffer lets one slow path delay everything; here the first copy goes on at once.
#[test]
fn a_slow_path_delays_nobody() {
    let mut world = World::new(Plan::draw(8, &pair(1)), 8, MILLISECOND);
    let middle = first_path(&world);
    for node in (0..world.nodes.len()).filter(|node| *node != middle) {
        let link = Link::perfect(400 * MILLISECOND);
        world.at(2 * SECOND, Action::Wan { from: node, to: middle, link });
    }
    world.plan_requests(300, 40, 3 * SECOND, 4 * SECOND);
    world.run_until(4 * SECOND);
    world.finish();
    world.check_complete(|_| true);
    for exchange in &world.ledger.exchanges {
        assert!(exchange.returned_at - exchange.sent_at < 20 * MILLISECOND, "{exchange:?}");
    }
}

/// At a million packets a second and 50 ms of skew a window needs 50,000 places, and a 16-bit sequence would wrap
/// within it.
#[test]
fn the_window_covers_a_million_packets_a_second_and_50_ms_of_skew() {
    let run = |window: usize| {
        let mut elimination = Elimination::new(1, window, 1);
        let stream = elimination.stream(StreamKey { source: NodeId(1), stream: 0, sealed: false }).unwrap();
        let mut counts = [0; 4];
        // Copies over the slow path come 50,000 packets later; every tenth is lost on the fast one.
        for sequence in 0..250_000u64 {
            if sequence % 10 != 0 {
                counts[elimination.offer(stream, sequence) as usize] += 1;
            }
            if let Some(late) = sequence.checked_sub(50_000) {
                counts[elimination.offer(stream, late) as usize] += 1;
            }
        }
        counts
    };
    let [pass, out_of_order, discard, rogue] = [
        Verdict::Pass as usize,
        Verdict::PassOutOfOrder as usize,
        Verdict::Discard as usize,
        Verdict::Rogue as usize,
    ];
    let wide = run(65_536);
    assert_eq!((wide[pass], wide[out_of_order], wide[discard], wide[rogue]), (225_000, 20_000, 180_000, 0));
    let narrow = run(16_384);
    assert_eq!((narrow[pass], narrow[out_of_order], narrow[rogue]), (225_000, 0, 200_000));
}

/// Parity that goes where the data goes makes a path that is full lose more. Here the path that loses carries the packets and nothing
/// else, and when the other one is gone there is no parity at all; what is rebuilt is delivered once.
#[test]
fn parity_adds_nothing_to_the_path_that_loses() {
    for lost in [0.0, 0.05] {
        let mut plan = Plan::draw(5, &Shape { protocols: vec![Protocol::Parity], ..pair(1) });
        plan.topology.streams = 1;
        let routing = &mut plan.topology.applications[0].routing;
        (routing.to_origin, routing.to_client, routing.ordered) = (Protocol::Parity, Protocol::Parity, false);
        routing.coding = Coding { packets: 4, parity: 2, wait_us: 5000 };
        let mut world = World::new(plan, 5, MILLISECOND);
        let (edge, gateway) =
            (world.plan.with_role(|roles| roles.edge)[0], world.plan.with_role(|roles| roles.gateway)[0]);
        let middle = first_path(&world);
        for end in [edge, gateway] {
            let mut link = world.wan(end, middle).clone();
            link.loss = Loss::Random(lost);
            world.at(2 * SECOND, Action::Wan { from: end, to: middle, link });
        }
        world.plan_requests(4000, 60, 3 * SECOND, 4 * SECOND);
        world.run_until(5 * SECOND);
        world.finish();
        let (asked, back) = (world.ledger.exchanges.len(), world.ledger.returned());
        if lost == 0.0 {
            world.check_complete(|_| true);
        }
        // Of a group of six, three or more lost: 0.05 % of packets each way, where one path would lose 10 % of exchanges.
        assert!(asked - back <= asked / 200, "{} of {asked} are missing", asked - back);
        let (mut sent, mut parity, mut rebuilt) = (0, 0, 0);
        for end in [edge, gateway] {
            let id = world.plan.topology.path_sets[0].paths[0].id;
            let slot =
                world.nodes[end].tables().registry.paths.iter().position(|known| *known == id).unwrap();
            sent += world.nodes[end].sum(|counters| &counters.paths[slot].sent);
            parity += world.nodes[end].sum(|counters| &counters.roles.parity_sent);
            rebuilt += world.nodes[end].sum(|counters| &counters.roles.parity_rebuilt);
            let usual = [Reason::Duplicate, Reason::Parity];
            assert!(
                world.nodes[end].drops().keys().all(|reason| usual.contains(reason)),
                "{}",
                world.report()
            );
        }
        let entered = world.nodes[edge].sum(|counters| &counters.roles.edge_ingress)
            + world.nodes[gateway].sum(|counters| &counters.roles.gateway_reverse);
        assert_eq!(sent, entered, "the first path carries each packet once, and no parity");
        // Without loss some are rebuilt as well where parity is the quicker: whichever comes first counts.
        assert!(parity > 0 && rebuilt > 100, "{parity} parity packets, {rebuilt} rebuilt");
    }
}

/// A later copy than the window reaches is rogue: it is never delivered twice, and never harms.
#[test]
fn copies_beyond_the_window_are_rogue() {
    let mut plan = Plan::draw(9, &Shape { window: 64, ..pair(1) });
    plan.topology.streams = 1;
    let mut world = World::new(plan, 9, MILLISECOND);
    let middle = first_path(&world);
    let edge = world.plan.with_role(|roles| roles.edge)[0];
    world.at(2 * SECOND, Action::Wan { from: edge, to: middle, link: Link::perfect(300 * MILLISECOND) });
    world.plan_requests(2000, 40, 3 * SECOND, 4 * SECOND);
    world.run_until(4 * SECOND);
    world.finish();
    world.check_complete(|_| true);
    let gateway = world.plan.with_role(|roles| roles.gateway)[0];
    assert!(world.nodes[gateway].drops()[&Reason::Rogue] > 1000, "{}", world.report());
}

/// Sessions made by one worker and looked up by another: neither copies nor replies come to the worker that owns
/// them, and all of them get there.
#[test]
fn sessions_are_found_whichever_worker_receives() {
    seeds("traps", "sessions_are_found_whichever_worker_receives", 8, |seed| {
        let mut world = World::new(Plan::draw(seed, &Shape { rss: 0.0, ..pair(3) }), seed, MILLISECOND);
        world.plan_requests(400, 60, 3 * SECOND, 4 * SECOND);
        world.run_until(4 * SECOND);
        world.finish();
        world.check_complete(|_| true);
        for node in world.plan.with_role(|roles| roles.edge || roles.gateway) {
            assert!(world.nodes[node].sum(|counters| &counters.roles.handoff_out) > 50);
        }
    });
}

/// Copies come from different last hops, which would spread them; where the receiver's hashing is known, the last
/// hop picks the port that brings them together, and nothing is handed over.
#[test]
fn copies_meet_on_one_worker_by_the_last_hops_choice_of_port() {
    seeds("traps", "copies_meet_on_one_worker_by_the_last_hops_choice_of_port", 8, |seed| {
        let mut world = World::new(Plan::draw(seed, &Shape { rss: 1.0, ..pair(3) }), seed, MILLISECOND);
        world.plan_requests(400, 60, 3 * SECOND, 4 * SECOND);
        world.run_until(4 * SECOND);
        world.finish();
        world.check_complete(|_| true);
        let edge = world.plan.with_role(|roles| roles.edge)[0];
        assert_eq!(world.nodes[edge].sum(|counters| &counters.roles.handoff_out), 0, "{}", world.report());
    });
}

/// "Different" paths that share a region protect against nothing.
#[test]
fn simulated_paths_share_no_region() {
    for seed in 1..200 {
        assert_eq!(verify(&Plan::draw(seed, &Shape::default()).topology), Ok(()));
    }
}
