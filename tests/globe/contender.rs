//! The routing protocols that are compared. A new one is one line of [`CONTENDERS`].

use overlay::parity::Coding;
use overlay::protocol::Protocol;
use overlay::topology::Application;

/// A protocol with what it needs of its application.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// Its name in tables.
    pub name: &'static str,
    /// Its number on the wire.
    pub protocol: Protocol,
    /// Sets an application up for it.
    pub configure: fn(&mut Application),
}

/// All of them, in the order of the table.
pub const CONTENDERS: &[Contender] = &[
    contender("direct", Protocol::Direct, |app| by(app, Protocol::Direct, 1)),
    contender("source-route", Protocol::SourceRoute, |app| by(app, Protocol::SourceRoute, 1)),
    contender("shortest", Protocol::Shortest, |app| by(app, Protocol::Shortest, 1)),
    contender("cleanest", Protocol::Cleanest, |app| by(app, Protocol::Cleanest, 1)),
    contender("one path", Protocol::Replicate, |app| by(app, Protocol::Replicate, 1)),
    contender("parity 8+2", Protocol::Parity, |app| coded(app, 8, 2)),
    contender("replicate ×2", Protocol::Replicate, |app| by(app, Protocol::Replicate, 2)),
    contender("replicate ×3", Protocol::Replicate, |app| by(app, Protocol::Replicate, 3)),
    contender("adaptive", Protocol::Adaptive, |app| adaptive(app, Coding { parity: 0, ..Coding::default() })),
];

const fn contender(name: &'static str, protocol: Protocol, configure: fn(&mut Application)) -> Contender {
    Contender { name, protocol, configure }
}

fn coded(application: &mut Application, packets: u8, parity: u8) {
    by(application, Protocol::Parity, 2);
    // As long as a group takes to fill: a stream has a packet every few milliseconds.
    application.routing.coding = Coding { packets, parity, wait_us: 80_000 };
}

/// Without parity packets where others have some in the same streams: groups are of a stream, and would be of both.
pub fn adaptive(application: &mut Application, coding: Coding) {
    by(application, Protocol::Adaptive, 1);
    application.routing.coding = coding;
}

fn by(application: &mut Application, protocol: Protocol, copies: u8) {
    (application.routing.to_origin, application.routing.to_client) = (protocol, protocol);
    application.copies = copies;
}
