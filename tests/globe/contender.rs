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
    contender("parity 8+1", Protocol::Parity, |app| coded(app, 8, 1)),
    contender("parity 4+2", Protocol::Parity, |app| coded(app, 4, 2)),
    contender("replicate ×2", Protocol::Replicate, |app| by(app, Protocol::Replicate, 2)),
    contender("replicate ×3", Protocol::Replicate, |app| by(app, Protocol::Replicate, 3)),
    contender("adaptive", Protocol::Adaptive, |app| by(app, Protocol::Adaptive, 1)),
];

const fn contender(name: &'static str, protocol: Protocol, configure: fn(&mut Application)) -> Contender {
    Contender { name, protocol, configure }
}

fn coded(application: &mut Application, packets: u8, parity: u8) {
    by(application, Protocol::Parity, 2);
    application.routing.coding = Coding { packets, parity, ..Coding::default() };
}

fn by(application: &mut Application, protocol: Protocol, copies: u8) {
    (application.routing.to_origin, application.routing.to_client) = (protocol, protocol);
    application.copies = copies;
}
