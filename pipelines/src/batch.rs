//! What goes into the data path and what comes out of it.

use crate::trace::{Seen, Stamp};
use arrayvec::ArrayVec;
use overlay::topology::NodeId;
use overlay::wire::Record;
use packet::Addr;

/// Packets in a burst at most.
pub const BURST_MAX: usize = 64;
/// Ports of a node at most.
pub const PORTS_MAX: usize = 16;
/// Packets that one burst may put on one port: every packet of a burst copied eight times.
pub const TX_MAX: usize = BURST_MAX * 8;

/// Which port of the node, counting along its configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortIndex(pub u8);

/// Packets received together.
pub type Burst<B> = ArrayVec<B, BURST_MAX>;

/// Packets of one kind out of a burst, and what classification found about each.
///
/// Buffers and findings lie apart, and findings are worked on where they lie: moving them from stage to stage
/// would cost more than most stages do. They are written field by field into their place, by code that is inlined: a
/// function that took them by reference would read as a whole what was written in pieces just before.
pub struct Lane<B, T> {
    bufs: Box<[Option<B>; BURST_MAX]>,
    /// What is beyond `held` is of former bursts.
    found: Box<[T; BURST_MAX]>,
    held: usize,
}

impl<B, T: Copy + Default> Default for Lane<B, T> {
    fn default() -> Lane<B, T> {
        let bufs = Box::new(core::array::from_fn(|_| None));
        Lane { bufs, found: Box::new([T::default(); BURST_MAX]), held: 0 }
    }
}

impl<B, T: Copy> Lane<B, T> {
    /// Whether there is no packet.
    #[inline(always)]
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Notes what was found about a packet; its buffer follows by [`Lane::take`], or goes elsewhere.
    #[inline(always)]
    pub fn note(&mut self, found: T) {
        self.found[self.held] = found;
    }

    /// Takes the buffer of the packet noted last.
    #[inline(always)]
    pub fn take(&mut self, buf: B) {
        // What was there has been taken out: nothing is lost by forgetting it, and nobody has to look.
        core::mem::forget(self.bufs[self.held].replace(buf));
        self.held += 1;
    }

    /// What was found about the packet noted last, whose buffer was not taken yet.
    #[inline(always)]
    pub fn noted(&self) -> Option<&T> {
        self.found.get(self.held)
    }

    /// What was found about each packet.
    #[inline(always)]
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.found[..self.held].iter_mut()
    }

    /// Takes out what has a fate of its own, for `each` to see to.
    #[cold]
    pub fn sort_out<F>(&mut self, mut fate: impl FnMut(&T) -> Option<F>, mut each: impl FnMut(B, &T, F)) {
        let mut kept = 0;
        for at in 0..core::mem::take(&mut self.held) {
            match fate(&self.found[at]) {
                None => {
                    self.found[kept] = self.found[at];
                    self.bufs.swap(kept, at);
                    kept += 1;
                }
                Some(fate) => {
                    if let Some(buf) = self.bufs[at].take() {
                        each(buf, &self.found[at], fate);
                    }
                }
            }
        }
        self.held = kept;
    }

    /// Takes all packets out, in their order.
    #[inline(always)]
    pub fn drain(&mut self) -> impl Iterator<Item = (B, &T)> {
        let held = core::mem::take(&mut self.held);
        let places = self.bufs[..held].iter_mut().zip(&self.found[..held]);
        places.filter_map(|(place, found)| Some((place.take()?, found)))
    }
}

/// Why a packet goes to the control thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// ARP, or ICMPv6 neighbour discovery.
    NeighborDiscovery,
    /// An IP packet to one of the node's own addresses.
    Local,
    /// A member's BFD packet, or its probe of a path that ends here.
    Liveness,
    /// A member's message about keys.
    Keys,
    /// A member's message about link state.
    LinkState,
    /// A member's message about who holds which block of addresses.
    Takeover,
    /// A frame ready to leave, but for the Ethernet address of this next hop: its destination is all zero.
    Unresolved(Addr),
}

impl Cause {
    /// Causes there are, for tables indexed by [`Cause::index`].
    pub const COUNT: usize = 7;

    /// The cause's number.
    pub fn index(self) -> usize {
        match self {
            Cause::NeighborDiscovery => 0,
            Cause::Local => 1,
            Cause::Unresolved(_) => 2,
            Cause::Liveness => 3,
            Cause::Keys => 4,
            Cause::LinkState => 5,
            Cause::Takeover => 6,
        }
    }

    /// The cause's stable name, in snake case.
    pub fn name(self) -> &'static str {
        match self {
            Cause::NeighborDiscovery => "neighbor_discovery",
            Cause::Local => "local",
            Cause::Liveness => "liveness",
            Cause::Keys => "keys",
            Cause::LinkState => "link_state",
            Cause::Takeover => "takeover",
            Cause::Unresolved(_) => "unresolved",
        }
    }
}

/// A packet for the control thread.
#[derive(Debug)]
pub struct Punt<B> {
    /// The frame.
    pub buf: B,
    /// Where it came in; for [`Cause::Unresolved`], where it is to leave.
    pub port: PortIndex,
    /// Why it comes.
    pub cause: Cause,
}

/// A packet for another worker: its stream or session lives there.
#[derive(Debug)]
pub struct Handoff<B> {
    /// The frame as received.
    pub buf: B,
    /// Where it came in.
    pub port: PortIndex,
    /// Who is to have it.
    pub worker: u16,
}

/// A binding record that came with a packet.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    /// The node that sent the packet.
    pub from: NodeId,
    /// The inner packet's source.
    pub src: Addr,
    /// The inner packet's destination.
    pub dst: Addr,
    /// Whether it was sealed.
    pub sealed: bool,
    /// The record.
    pub record: Record,
}

/// Where the data path puts packets; emptied by the caller after each burst.
#[derive(Debug)]
pub struct Output<B> {
    /// Frames to transmit, by port.
    pub tx: [ArrayVec<B, TX_MAX>; PORTS_MAX],
    /// Ports that have frames to transmit: a bit each.
    pub ports: u16,
    /// Packets for the control thread.
    pub punts: ArrayVec<Punt<B>, BURST_MAX>,
    /// Packets for other workers.
    pub handoffs: ArrayVec<Handoff<B>, BURST_MAX>,
    /// Hop records whose transit delay is not known yet; see [`Output::stamp`]. Those of the last burst only.
    pub stamps: ArrayVec<Stamp, BURST_MAX>,
    /// Hop records that ended here. Those of the last burst only.
    pub seen: ArrayVec<Seen, BURST_MAX>,
    /// Binding records of the burst that have not been worked on yet.
    pub told: ArrayVec<Told, BURST_MAX>,
    /// Binding records about flows that this worker does not have: another one may.
    pub astray: ArrayVec<Told, BURST_MAX>,
}

impl<B> Default for Output<B> {
    fn default() -> Output<B> {
        Output {
            tx: [const { ArrayVec::new_const() }; PORTS_MAX],
            ports: 0,
            punts: ArrayVec::new(),
            handoffs: ArrayVec::new(),
            stamps: ArrayVec::new(),
            seen: ArrayVec::new(),
            told: ArrayVec::new(),
            astray: ArrayVec::new(),
        }
    }
}
