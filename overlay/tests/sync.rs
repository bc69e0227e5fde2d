//! The control server's protocol between its two sides: whatever is cut, lost, repeated or forged, a node never goes back, and
//! is in step as soon as it is let be.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use proa_overlay::sync::frame::frame;
use proa_overlay::sync::node::{End, Event, Node};
use proa_overlay::sync::server::{self, Server};
use proa_overlay::sync::{
    Code, Held, Join, Report, SILENCE_MS_MAX, Snapshot, TO_NODE_BYTES_MAX, TO_SERVER_BYTES_MAX, ToNode,
    ToServer,
};
use proptest::prelude::*;

fn snapshot(revision: u64, text: u8) -> Snapshot {
    Snapshot::new(revision, format!("overlay_id = {text}\n").repeat(20))
}

/// A node that keeps what it has over its connections.
#[derive(Default)]
struct Keeper {
    held: Option<Held>,
    /// Whatever was put in force, in its order.
    forced: Vec<Held>,
}

impl Keeper {
    /// Does as the connection says; whether it is still of use.
    fn follow(&mut self, now_ms: u64, node: &mut Node, refuse: bool) -> bool {
        let mut open = true;
        while let Some(event) = node.poll_event() {
            match event {
                Event::Apply(snapshot) if refuse => node.refused(now_ms, snapshot.held, "no"),
                Event::Apply(snapshot) => {
                    self.forced.push(snapshot.held);
                    self.held = Some(snapshot.held);
                    node.applied(now_ms, snapshot.held);
                }
                Event::InStep(held) => self.held = Some(held),
                Event::Stale { offered, held } => assert!(offered <= held),
                Event::Renew | Event::Renewed(_) => {}
                Event::Ended(_) => open = false,
            }
        }
        open
    }
}

/// Lets both sides talk until nothing is left to say.
fn talk(now_ms: u64, keeper: &mut Keeper, node: &mut Node, server: &mut Server, newest: &Snapshot) {
    for _ in 0..8 {
        server.handle(now_ms, &node.take_output());
        while let Some(event) = server.poll_event() {
            if let server::Event::Hello(_) = event {
                server.offer(now_ms, newest);
            }
        }
        node.handle(now_ms, &server.take_output());
        keeper.follow(now_ms, node, false);
    }
}

#[derive(Clone, Debug)]
enum Step {
    /// The overlay changes: the next revision has this text.
    Change(u8),
    /// A connection is made and talks as long as this many bytes pass towards the node.
    Connect(usize),
    /// Something that was once sent to the node is sent again, on a connection of its own.
    Replay(usize),
    /// The node can not apply what it is offered.
    Unable,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0u8..3).prop_map(Step::Change),
        (0usize..900).prop_map(Step::Connect),
        (0usize..1000).prop_map(Step::Replay),
        Just(Step::Unable),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_node_never_goes_back_and_catches_up(steps in prop::collection::vec(step(), 1..40)) {
        let mut newest = snapshot(1, 0);
        let mut keeper = Keeper::default();
        let mut sent: Vec<Vec<u8>> = Vec::new();
        for step in steps {
            let (mut node, mut server) = (Node::new(0, "edge-1", keeper.held), Server::new(0, Some("edge-1".to_owned())));
            match step {
                Step::Change(text) => newest = snapshot(newest.held.revision + 1, text),
                Step::Connect(bytes) => {
                    server.handle(0, &node.take_output());
                    server.offer(0, &newest);
                    let output = server.take_output();
                    let part = &output[..bytes.min(output.len())];
                    sent.push(output.clone());
                    for piece in part.chunks(7) {
                        node.handle(0, piece);
                    }
                    keeper.follow(0, &mut node, false);
                }
                Step::Replay(at) => {
                    if let Some(bytes) = sent.get(at % sent.len().max(1)) {
                        node.handle(0, bytes);
                        keeper.follow(0, &mut node, false);
                    }
                }
                Step::Unable => {
                    server.handle(0, &node.take_output());
                    server.offer(0, &newest);
                    node.handle(0, &server.take_output());
                    keeper.follow(0, &mut node, true);
                }
            }
            let revisions: Vec<u64> = keeper.forced.iter().map(|held| held.revision).collect();
            prop_assert!(revisions.is_sorted(), "{revisions:?}");
        }
        let (mut node, mut server) = (Node::new(0, "edge-1", keeper.held), Server::new(0, Some("edge-1".to_owned())));
        talk(0, &mut keeper, &mut node, &mut server, &newest);
        prop_assert_eq!(keeper.held, Some(newest.held));
    }

    #[test]
    fn no_bytes_disturb_either_side(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut node = Node::new(0, "edge-1", None);
        node.handle(0, &bytes);
        while node.poll_event().is_some() {}
        for name in [None, Some("edge-1".to_owned())] {
            let mut server = Server::new(0, name);
            server.handle(0, &bytes);
            while server.poll_event().is_some() {}
        }
    }
}

fn met(name: Option<&str>, message: &ToServer) -> Server {
    let mut server = Server::new(0, name.map(str::to_owned));
    server.handle(0, &frame(message, TO_SERVER_BYTES_MAX).unwrap());
    server
}

fn code(server: &mut Server) -> Option<Code> {
    core::iter::from_fn(|| server.poll_event()).find_map(|event| match event {
        server::Event::Ended(server::End::Refused(code, _)) => Some(code),
        _ => None,
    })
}

#[test]
fn who_has_no_certificate_or_anothers_learns_nothing() {
    let hello = |version, node: &str| ToServer::Hello { version, node: node.to_owned(), held: None };
    assert_eq!(code(&mut met(None, &hello(1, "edge-1"))), Some(Code::NotAdmitted));
    assert_eq!(code(&mut met(Some("edge-2"), &hello(1, "edge-1"))), Some(Code::WrongNode));
    assert_eq!(code(&mut met(Some("edge-1"), &hello(2, "edge-1"))), Some(Code::Version));
    assert_eq!(code(&mut met(Some("edge-1"), &ToServer::Alive)), Some(Code::Protocol));
    assert_eq!(code(&mut met(None, &ToServer::Report(Box::default()))), Some(Code::Protocol));
    let mut other = met(Some("edge-2"), &hello(1, "edge-1"));
    other.offer(0, &snapshot(1, 1));
    let mut node = Node::new(0, "edge-1", None);
    node.handle(0, &other.take_output());
    assert!(matches!(node.poll_event(), Some(Event::Ended(End::Told(Code::WrongNode, _)))));
    assert_eq!(node.poll_event(), None);
}

#[test]
fn a_certificate_does_not_join_again_and_a_join_is_answered_once() {
    let join =
        Join { version: 1, node: "edge-1".to_owned(), secret: [7; 32], request: vec![1], identity: None };
    let message = ToServer::Join(join.clone());
    assert_eq!(code(&mut met(Some("edge-1"), &message)), Some(Code::Protocol));
    let mut server = met(None, &message);
    assert_eq!(server.poll_event(), Some(server::Event::Join(Box::new(join.clone()))));
    server.handle(0, &frame(&message, TO_SERVER_BYTES_MAX).unwrap());
    assert_eq!(code(&mut server), Some(Code::Protocol));
    assert!(!format!("{join:?}").contains('7'), "a secret is shown");
}

#[test]
fn a_message_of_100_mb_is_refused_by_its_length() {
    let mut server = Server::new(0, Some("edge-1".to_owned()));
    server.handle(0, &100_000_000u32.to_be_bytes());
    assert_eq!(code(&mut server), Some(Code::Protocol));
    let mut node = Node::new(0, "edge-1", None);
    node.handle(0, &100_000_000u32.to_be_bytes());
    assert_eq!(node.poll_event(), Some(Event::Ended(End::Nonsense)));
}

#[test]
fn a_snapshot_that_was_changed_on_the_way_is_not_applied() {
    let mut forged = snapshot(5, 1);
    forged.topology.push('x');
    let mut node = Node::new(0, "edge-1", None);
    node.handle(0, &frame(&ToNode::Snapshot(Box::new(forged)), TO_NODE_BYTES_MAX).unwrap());
    assert_eq!(node.poll_event(), Some(Event::Ended(End::Nonsense)));
}

#[test]
fn what_did_not_change_is_not_sent_again_and_a_node_that_is_further_is_left_alone() {
    let held = snapshot(3, 1).held;
    let mut server =
        met(Some("edge-1"), &ToServer::Hello { version: 1, node: "edge-1".to_owned(), held: Some(held) });
    assert!(!server.offer(0, &snapshot(4, 1)));
    assert!(server.take_output().len() < 64);
    assert!(server.offer(0, &snapshot(2, 2)));
    assert!(server.take_output().is_empty());
}

#[test]
fn silence_ends_either_side_and_a_word_now_and_then_keeps_it() {
    let mut node = Node::new(0, "edge-1", None);
    let mut server = Server::new(0, Some("edge-1".to_owned()));
    for now_ms in (0..60_000).step_by(500) {
        server.handle(now_ms, &node.take_output());
        server.tick(now_ms);
        node.handle(now_ms, &server.take_output());
        node.tick(now_ms);
        assert_eq!(node.poll_event(), None);
    }
    node.report(60_000, Report::default());
    node.tick(60_000 + SILENCE_MS_MAX);
    assert_eq!(node.poll_event(), Some(Event::Ended(End::Silent)));
    server.tick(60_000 + SILENCE_MS_MAX);
    let last = core::iter::from_fn(|| server.poll_event()).last();
    assert_eq!(last, Some(server::Event::Ended(server::End::Silent)));
}

/// A certificate is given when the server has asked for a key, once, and taken when the node has asked for one.
#[test]
fn a_certificate_is_renewed_when_both_have_asked() {
    let mut server = Server::new(0, Some("a".to_owned()));
    let mut node = Node::new(0, "a", None);
    let heard = |server: &mut Server, node: &mut Node| {
        server.handle(1, &node.take_output());
        std::iter::from_fn(|| server.poll_event()).collect::<Vec<_>>()
    };
    heard(&mut server, &mut node);
    server.ask_renewal(1);
    node.handle(1, &server.take_output());
    assert_eq!(node.poll_event(), Some(Event::Renew));
    node.renew(1, vec![1, 2, 3]);
    assert_eq!(heard(&mut server, &mut node), [server::Event::Renew(vec![1, 2, 3])]);
    server.renewed(1, vec![4, 5]);
    node.handle(1, &server.take_output());
    assert_eq!(node.poll_event(), Some(Event::Renewed(vec![4, 5])));
    // One that nobody asked for is of no key that the node has.
    server.renewed(1, vec![6]);
    node.handle(1, &server.take_output());
    assert!(matches!(node.poll_event(), Some(Event::Ended(_))));
    // And a second request was not asked for.
    let mut node = Node::new(0, "a", None);
    let mut server = Server::new(0, Some("a".to_owned()));
    node.renew(1, vec![1]);
    let events = heard(&mut server, &mut node);
    assert!(matches!(events.last(), Some(server::Event::Ended(_))), "{events:?}");
}
