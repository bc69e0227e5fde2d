//! The messages. postcard numbers variants by their order: new ones go to the end, and none is ever taken out.

use serde::{Deserialize, Serialize};

use super::report::Report;
use super::snapshot::{Held, Snapshot};

/// The protocol's version: the first field of the first message, so that any other is told so.
pub const VERSION: u16 = 1;

/// What a node says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToServer {
    /// The first message of a node that has a certificate.
    Hello {
        /// [`VERSION`].
        version: u16,
        /// Its name, which must be that of its certificate.
        node: String,
        /// What it forwards by; nothing before its first snapshot.
        held: Option<Held>,
    },
    /// The only message of a node without certificate.
    Join(Join),
    /// A snapshot is in force.
    Applied(Held),
    /// A snapshot can not be applied.
    Refused {
        /// Which.
        held: Held,
        /// Why.
        why: String,
    },
    /// How the node is.
    Report(Box<Report>),
    /// Nothing new.
    Alive,
    /// What [`ToNode::Renew`] asks for: a request for a certificate (PKCS #10, RFC 2986), DER, of a key that is new.
    Renew(Vec<u8>),
}

/// A wish to be one of the overlay's nodes.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Join {
    /// [`VERSION`].
    pub version: u16,
    /// The node's name.
    pub node: String,
    /// The one-time token's secret.
    pub secret: [u8; 32],
    /// A request for a certificate (PKCS #10, RFC 2986), DER: signed by the key that it is for.
    pub request: Vec<u8>,
    /// The overlay identity that seals its traffic, if it has one, with its signature of [`Join::signed`].
    pub identity: Option<([u8; 32], Signature)>,
}

/// An Ed25519 signature.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Signature(pub Vec<u8>);

/// Shows no secret.
impl core::fmt::Debug for Join {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Join")
            .field("version", &self.version)
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

impl core::fmt::Debug for Signature {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Signature")
    }
}

impl Join {
    /// What an identity signs: that it belongs to this name and to the key of this request.
    pub fn signed(node: &str, request: &[u8]) -> Vec<u8> {
        let mut bytes = b"proa join v1\0".to_vec();
        bytes.extend_from_slice(node.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(request);
        bytes
    }
}

/// What the server says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ToNode {
    /// A new part of the overlay.
    Snapshot(Box<Snapshot>),
    /// The node's part has not changed since: it is of this revision too.
    InStep(Held),
    /// The certificate that a [`Join`] asked for.
    Joined {
        /// The node's certificate, DER.
        certificate: Vec<u8>,
        /// The authority's, DER.
        authority: Vec<u8>,
    },
    /// The last message before the connection ends.
    Error {
        /// What kind.
        code: Code,
        /// A sentence about it.
        why: String,
    },
    /// Nothing new.
    Alive,
    /// The node's certificate grows old: it is to make another key and to ask for a certificate of it.
    Renew,
    /// The certificate that the node asked for, DER. It is good from now on, and the old one until this one is first used.
    Renewed(Vec<u8>),
}

impl ToNode {
    /// The message in a frame; `None` where it is none, or something stands behind it.
    pub fn read(body: &[u8]) -> Option<ToNode> {
        super::frame::read(body)
    }
}

/// Why the server ends a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Code {
    /// It speaks another version.
    Version,
    /// The message makes no sense, or not here.
    Protocol,
    /// It names another node than its certificate.
    WrongNode,
    /// There is no such token, it was used, or its time is over; or the certificate is not in use.
    NotAdmitted,
    /// Another connection of this node has taken its place.
    Replaced,
    /// Too many connections.
    Busy,
}
