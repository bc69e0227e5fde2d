//! The control server's protocol: any bytes may come to either side, in any pieces. A node never takes what is older.

use overlay::sync::frame::frame;
use overlay::sync::node::Event;
use overlay::sync::{Code, Held, Join, Node, Report, Server, Snapshot, ToNode, ToServer, VERSION};

/// Conversations of either side, each after the length of its pieces.
pub fn seeds() -> Vec<(String, Vec<u8>)> {
    let snapshot = |revision| Snapshot::new(revision, "overlay_id = 1\n".to_owned());
    let held = snapshot(4).held;
    let hello = ToServer::Hello { version: VERSION, node: "edge-1".to_owned(), held: Some(held) };
    let join = Join {
        version: VERSION,
        node: "edge-1".to_owned(),
        secret: [1; 32],
        request: vec![0x30],
        identity: None,
    };
    let refused = ToServer::Refused { held, why: "no".to_owned() };
    let report = ToServer::Report(Box::new(Report::default()));
    let reports = [hello, ToServer::Applied(held), refused, report, ToServer::Renew(vec![0x30])];
    let error = ToNode::Error { code: Code::Busy, why: "later".to_owned() };
    let snapshots = [4, 2, 5].map(|revision| ToNode::Snapshot(Box::new(snapshot(revision))));
    let offers =
        snapshots.into_iter().chain([ToNode::InStep(snapshot(5).held), ToNode::Renew, ToNode::Alive, error]);
    let file = snapshot(9).to_file().into_bytes();
    let said =
        |frames: Vec<Option<Vec<u8>>>| [vec![5], frames.into_iter().flatten().flatten().collect()].concat();
    vec![
        ("node".to_owned(), said(reports.iter().map(|message| frame(message, 4096)).collect())),
        ("join".to_owned(), said(vec![frame(&ToServer::Join(join), 4096)])),
        ("server".to_owned(), said(offers.map(|message| frame(&message, 4096)).collect())),
        ("file".to_owned(), [vec![1], file].concat()),
    ]
}

/// Gives both sides the input in pieces of the length that its first byte says.
///
/// # Panics
/// Where a promise is broken.
pub fn run(data: &[u8]) {
    let Some((size, data)) = data.split_first() else { return };
    let size = usize::from(*size).max(1);
    let held = Snapshot::new(3, "overlay_id = 1\n".to_owned()).held;
    for held in [None, Some(held)] {
        to_node(size, data, held);
    }
    for name in [None, Some("edge-1".to_owned())] {
        let mut server = Server::new(0, name);
        for piece in data.chunks(size) {
            server.handle(0, piece);
            while server.poll_event().is_some() {}
            server.take_output();
        }
        server.tick(u64::MAX);
    }
    if let Ok(text) = core::str::from_utf8(data)
        && let Ok(snapshot) = Snapshot::from_file(text)
    {
        let again = Snapshot::from_file(&snapshot.to_file());
        assert_eq!(again.as_ref(), Ok(&snapshot), "a file reads as it was written");
    }
}

fn to_node(size: usize, data: &[u8], held: Option<Held>) {
    let mut node = Node::new(0, "edge-1", held);
    let mut newest = held.map_or(0, |held| held.revision);
    for piece in data.chunks(size) {
        node.handle(0, piece);
        while let Some(event) = node.poll_event() {
            if let Event::Apply(snapshot) = event {
                assert!(snapshot.is_whole(), "a broken snapshot");
                assert!(snapshot.held.revision >= newest, "an older snapshot");
                newest = snapshot.held.revision;
                node.applied(0, snapshot.held);
            }
        }
        assert!(node.held().is_none_or(|now| held.is_none_or(|before| now.revision >= before.revision)));
    }
    node.tick(u64::MAX);
}
