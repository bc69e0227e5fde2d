//! Certificates that renew themselves, and nodes that are revoked.

#![allow(clippy::panic, clippy::unwrap_used)] // a failed unwrap here is a failed test

mod common;

use std::time::{Duration, Instant};

use common::{Certified, Client, NODES, Server, hello, request, server, server_certifying_for};
use overlay::sync::{Code, ToNode, ToServer};

/// Waits until the server asks for a new key, and asks for a certificate of one.
fn renew(client: &mut Client) -> Certified {
    loop {
        match client.hear().unwrap() {
            ToNode::Renew => break,
            ToNode::InStep(_) | ToNode::Snapshot(_) => {}
            other => panic!("{other:?}"),
        }
    }
    let (join, key) = request("any", [0; 32]);
    client.say(&ToServer::Renew(join.request));
    loop {
        match client.hear().unwrap() {
            ToNode::Renewed(certificate) => return (certificate.into(), key),
            ToNode::InStep(_) | ToNode::Snapshot(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

fn is_refused(server: &Server, certified: &Certified, node: &str) -> bool {
    let mut client = server.connect(Some(certified));
    client.say(&hello(node));
    matches!(client.hear(), Ok(ToNode::Error { code: Code::NotAdmitted, .. }))
}

#[test]
fn a_certificate_that_grows_old_is_renewed_and_the_old_one_is_good_until_the_new_one_is_used() {
    let server = server_certifying_for(12);
    let old = server.join(NODES[0]);
    let begun = Instant::now();
    let mut node = server.node(NODES[0], &old);
    let new = renew(&mut node);
    // Two thirds of twelve seconds; the server's clock counts, whatever the node's says.
    assert!((7..11).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
    // The new one was lost on its way: the old one still opens, and another is to be had.
    drop(node);
    let mut node = server.node(NODES[0], &old);
    let newer = renew(&mut node);
    assert!(is_refused(&server, &new, NODES[0]), "one that was never used and has a successor");
    // The first use of the new one ends the old one.
    assert!(server.node(NODES[0], &newer).is_alive());
    assert!(is_refused(&server, &old, NODES[0]), "the old one after the new one's first use");
    assert!(!is_refused(&server, &newer, NODES[0]));
}

#[test]
fn nobody_renews_unasked_or_for_another() {
    let server = server();
    let own = server.join(NODES[0]);
    let other = server.join(NODES[1]);
    let mut node = server.node(NODES[0], &own);
    node.say(&ToServer::Renew(request(NODES[0], [0; 32]).0.request));
    assert_eq!(node.refused().0, Code::Protocol);
    // A node has no say in the name of its certificate: it stays that of the connection.
    let mut client = server.connect(Some(&other));
    client.say(&hello(NODES[0]));
    assert_eq!(client.refused().0, Code::WrongNode);
    // A request that is none.
    let short = server_certifying_for(1);
    let certified = short.join(NODES[0]);
    let mut node = short.node(NODES[0], &certified);
    while !matches!(node.hear().unwrap(), ToNode::Renew) {}
    node.say(&ToServer::Renew(vec![0x30; 400]));
    assert_eq!(node.refused().0, Code::NotAdmitted);
    assert!(short.has_noted("gets no new certificate"));
}

#[test]
fn a_revoked_node_is_out_at_once_and_the_others_are_told() {
    let server = server();
    let (bad, good) = (server.join(NODES[0]), server.join(NODES[1]));
    let (mut revoked, mut other) = (server.node(NODES[0], &bad), server.node(NODES[1], &good));
    let unused = server.token(NODES[0]);
    let begun = Instant::now();
    server.hub.registry.revoke(NODES[0], "test").unwrap();
    server.hub.supersede(NODES[0]);
    server.hub.overlay_changed();
    assert_eq!(revoked.refused().0, Code::NotAdmitted);
    let snapshot = loop {
        if let ToNode::Snapshot(snapshot) = other.hear().unwrap() {
            break snapshot;
        }
    };
    assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
    assert!(snapshot.topology.contains("revoked = true"), "{}", snapshot.topology);
    assert!(is_refused(&server, &bad, NODES[0]));
    // Neither does a token that it had open anything.
    let mut client = server.connect(None);
    client.say(&ToServer::Join(request(NODES[0], unused.secret).0));
    assert_eq!(client.refused().0, Code::NotAdmitted);
    let view = server.hub.nodes().unwrap().into_iter().find(|node| node.name == NODES[0]).unwrap();
    assert!(view.revoked && !view.joined && !view.connected);
    // With a new token it is a node again.
    let again = server.join(NODES[0]);
    assert!(server.node(NODES[0], &again).is_alive());
    assert!(server.hub.registry.revoke("nobody", "test").is_err());
}
