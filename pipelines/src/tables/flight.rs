//! How packets reach the node that takes them out of the overlay: one copy per path.

use overlay::topology::NodeId;
use overlay::wire::HEADER_LEN;

/// The copies of a packet to one node for one application.
#[derive(Clone, Debug)]
pub struct Flight {
    /// Who takes the packet out of the overlay.
    pub destination: NodeId,
    /// The destination's number in the registry: its sequence counters.
    pub number: u16,
    /// One copy per path.
    pub copies: Vec<Copy>,
    /// Bytes that an inner packet may have: it must fit every path.
    pub mtu: u16,
}

/// One copy: its path and the header that it gets.
#[derive(Clone, Debug)]
pub struct Copy {
    /// The slot of the path's counters.
    pub path_slot: u16,
    /// Links to the nodes of the path's first intermediate region; a stream takes one of them.
    pub links: Vec<u16>,
    /// The overlay's header, complete but for inner type, stream and sequence.
    pub header: [u8; HEADER_LEN],
}
