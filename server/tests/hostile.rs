//! Who comes to the server over TLS and means no good, or is wrong: refused with a reason, and nobody else is disturbed.

#![allow(clippy::panic, clippy::unwrap_used)] // a failed unwrap here is a failed test

mod common;

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::time::{Duration, Instant};

use common::{NODES, OVERLAY, hello, request, server};
use overlay::sync::{Code, ToNode, ToServer};
use proa_server::authority::Authority;

#[test]
fn certificates_that_prove_nothing_open_nothing() {
    let server = server();
    let good = server.join(NODES[0]);
    let mut node = server.node(NODES[0], &good);

    // Of another authority, and one whose time is over: the handshake fails.
    let other = tempfile::tempdir().unwrap();
    Authority::init(other.path()).unwrap();
    let other = Authority::load(other.path()).unwrap();
    let (join, key) = request(NODES[0], [0; 32]);
    let foreign = (other.certify(NODES[0], &join.request, 86_400).unwrap(), key);
    let authority = Authority::load(server.directory.path()).unwrap();
    let (join, key) = request(NODES[0], [0; 32]);
    let expired = (authority.certify(NODES[0], &join.request, -86_400).unwrap(), key);
    for wrong in [&foreign, &expired] {
        let mut client = server.connect(Some(wrong));
        client.say(&hello(NODES[0]));
        assert!(client.hear().is_err());
    }

    // Of this authority and in time, but not the one in use: of a node that joined anew, or that never did.
    let (join, key) = request(NODES[0], [0; 32]);
    let unused = (authority.certify(NODES[0], &join.request, 86_400).unwrap(), key);
    let mut client = server.connect(Some(&unused));
    client.say(&hello(NODES[0]));
    assert_eq!(client.refused().0, Code::NotAdmitted);

    // None, and that of another node.
    let mut client = server.connect(None);
    client.say(&hello(NODES[0]));
    assert_eq!(client.refused().0, Code::NotAdmitted);
    let second = server.join(NODES[1]);
    let mut client = server.connect(Some(&second));
    client.say(&hello(NODES[0]));
    let (code, why) = client.refused();
    assert!(code == Code::WrongNode && why.contains(NODES[1]), "{why}");

    assert!(node.is_alive());
}

#[test]
fn a_token_admits_one_node_once() {
    let server = server();
    let token = server.token(NODES[0]);
    let ask = |node: &str, secret| {
        let mut client = server.connect(None);
        client.say(&ToServer::Join(request(node, secret).0));
        client.hear().unwrap()
    };
    let refused = |answer| matches!(answer, ToNode::Error { code: Code::NotAdmitted, .. });
    assert!(refused(ask(NODES[1], token.secret)), "another's name");
    assert!(refused(ask(NODES[0], [7; 32])), "a guess");
    assert!(matches!(ask(NODES[0], token.secret), ToNode::Joined { .. }));
    assert!(refused(ask(NODES[0], token.secret)), "used before");
    assert!(server.has_noted("may not join"));
}

#[test]
fn what_is_no_message_ends_the_connection_at_once_and_takes_no_memory() {
    let server = server();
    let certified = server.join(NODES[0]);
    let good = server.join(NODES[1]);
    let mut node = server.node(NODES[1], &good);
    let many = u32::to_be_bytes(100 << 20);
    let nonsense: [&[u8]; 4] = [&many, &[0, 0, 0, 1, 0xff], &[0, 0, 0, 0], &[0, 0, 0, 3, 0, 0xff, 0xff]];
    for bytes in nonsense {
        for (who, is_node) in [(None, false), (Some(&certified), true)] {
            let mut client = server.connect(who);
            if is_node {
                client.say(&hello(NODES[0]));
                assert!(matches!(client.hear().unwrap(), ToNode::Snapshot(_)));
            }
            client.stream.write_all(bytes).unwrap();
            // Megabytes behind it are not waited for.
            let begun = Instant::now();
            let piece = vec![0; 1 << 20];
            while client.stream.write_all(&piece).is_ok() && begun.elapsed() < Duration::from_secs(8) {}
            assert!(begun.elapsed() < Duration::from_secs(8), "{bytes:?}: still taken");
        }
    }
    assert!(node.is_alive());
}

#[test]
fn who_says_nothing_keeps_no_node_out() {
    let server = server();
    let certified = server.join(NODES[0]);
    // Many more than have a place: some that never begin TLS, some that go no further after it.
    let mut idle = Vec::new();
    for number in 0..200 {
        let Ok(mut stream) = TcpStream::connect(server.address) else { continue };
        if number % 2 == 0 {
            // The first bytes of a handshake that never goes on.
            drop(stream.write_all(&[22, 3, 1, 2, 0, 1]));
        }
        idle.push(stream);
        if number % 40 == 39 {
            let begun = Instant::now();
            server.node(NODES[0], &certified);
            assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
        }
    }
    // Those that had to make room are closed.
    let mut closed = 0;
    for mut stream in idle.into_iter().take(100) {
        stream.set_read_timeout(Some(Duration::from_secs(6))).unwrap();
        closed += usize::from(matches!(stream.read(&mut [0; 8]), Ok(0) | Err(_)));
    }
    assert_eq!(closed, 100);
}

#[test]
fn a_node_that_joins_anew_ends_its_old_connection() {
    let server = server();
    let old = server.join(NODES[0]);
    let mut before = server.node(NODES[0], &old);
    let new = server.join(NODES[0]);
    assert_eq!(before.refused().0, Code::NotAdmitted);
    let mut again = server.connect(Some(&old));
    again.say(&hello(NODES[0]));
    assert_eq!(again.refused().0, Code::NotAdmitted);
    assert!(server.node(NODES[0], &new).is_alive());
}

#[test]
fn a_part_that_no_node_could_take_is_refused_when_it_is_applied() {
    let server = server();
    // Written as a part is, one origin to a table, origins take nearly twice the room.
    let origins: String = (0..256u32)
        .map(|number| format!("{{address=\"{}\"}},", Ipv4Addr::from_bits((11 << 24) + number)))
        .collect();
    let application = |number: u32| {
        let vip = Ipv4Addr::from_bits((203 << 24) + number);
        format!(
            "[[application]]\nname=\"a{number}\"\nvips=[{{address=\"{vip}\",node=\"edge-1\"}}]\n\
             services=[\"tcp/80\"]\ncopies=2\ngateway=\"frankfurt\"\norigins=[{origins}]\n"
        )
    };
    let text = OVERLAY.to_owned() + &(0..500).map(application).collect::<String>();
    assert!(text.len() < 4 << 20);
    let error = server.hub.registry.apply(&text, 1, "test").unwrap_err().to_string();
    assert!(error.contains("a node takes"), "{}", error.chars().take(300).collect::<String>());
    assert_eq!(server.hub.registry.definition().unwrap().revision, 1);
}
