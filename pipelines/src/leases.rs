//! Until when a worker of a gateway may translate which block of addresses, where two gateways stand in for each other.
//!
//! A worker looks at the time of each burst itself, so that a process that was stopped and wakes up translates nothing that
//! somebody else has taken over meanwhile, whatever its control thread has not heard yet.

use core::cell::Cell;
use nat::{BLOCKS, Nat, Seconds};
use overlay::topology::NodeId;

/// How long after a tenure's begin no new mapping is made in its block, ns: bindings that come back find their ports free.
pub const SETTLE_NS: u64 = 500_000_000;
/// How long after a tenure's begin a TCP segment that opens no connection makes no session, ns.
pub const AWAIT_NS: u64 = 10_000_000_000;
/// How long after a tenure's begin bindings are taken back, ns.
pub const INSTALL_NS: u64 = 120_000_000_000;
/// Places of the table that are looked at in one step of a purge.
const PURGE_PLACES: u32 = 1024;

/// A tenure of a block, as workers are told of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Of the tenure; 0 for none.
    pub revision: u64,
    /// It is over at this time, ns; 0: at once.
    pub until_ns: u64,
    /// Whether sessions of the tenure before are still right.
    pub kept: bool,
    /// Revision of the other gateway's tenure that was the last before; 0 where it is not known.
    pub after: u64,
    /// Whether the block is to be the other gateway's, or has just become so: that is told of sessions, and of packets that come
    /// late.
    pub leaving: bool,
}

/// A worker's leases. Block 0 is that of the gateway itself, 1 that of its peer.
pub struct Leases {
    /// The gateways whose pools the blocks are; `None` where there is no peer.
    homes: Option<[NodeId; BLOCKS]>,
    current: [Lease; BLOCKS],
    begun_ns: [u64; BLOCKS],
    /// Whether sessions may be left in a block.
    used: [bool; BLOCKS],
    /// When the next lease is over, ns.
    next_ns: u64,
    fenced: Cell<bool>,
    /// Of which tenure of the other gateway all sessions are known; 0 for none.
    whole: Cell<[u64; BLOCKS]>,
}

impl Leases {
    /// Nothing is held yet; without a peer, everything is for ever.
    pub fn new(homes: Option<[NodeId; BLOCKS]>) -> Leases {
        Leases {
            homes,
            current: Default::default(),
            begun_ns: [0; BLOCKS],
            used: [false; BLOCKS],
            next_ns: u64::MAX,
            fenced: Cell::new(false),
            whole: Cell::default(),
        }
    }

    /// Whether this gateway has a peer.
    #[inline(always)]
    pub fn is_paired(&self) -> bool {
        self.homes.is_some()
    }

    /// The gateways whose pools the blocks are.
    pub fn homes(&self) -> Option<[NodeId; BLOCKS]> {
        self.homes
    }

    /// The block of a gateway's clients: of those of no gateway of the pair, the own one.
    pub fn block_of_home(&self, home: Option<NodeId>) -> usize {
        let homes = self.homes.unwrap_or_default();
        homes.iter().position(|node| Some(*node) == home).unwrap_or(0)
    }

    /// When the next lease is over, ns: from then on nothing of before may be transmitted. `u64::MAX` where none runs.
    #[inline(always)]
    pub fn next_ns(&self) -> u64 {
        self.next_ns
    }

    /// Whether there may be sessions that must not be translated.
    #[inline(always)]
    pub fn is_fenced(&self) -> bool {
        self.fenced.get()
    }

    /// There are sessions now that must not be translated.
    pub fn fence(&self) {
        self.fenced.set(true);
    }

    /// The other gateway has told of all sessions that it had in a block, in a tenure of this revision.
    pub fn note_whole(&self, block: usize, revision: u64) {
        let mut whole = self.whole.get();
        if let Some(place) = whole.get_mut(block) {
            *place = revision;
        }
        self.whole.set(whole);
    }

    /// Whether packets of a block that is not held are the other gateway's.
    pub fn is_leaving(&self, block: usize) -> bool {
        self.current.get(block).is_some_and(|lease| lease.leaving)
    }

    /// The revisions of tenures that are to end.
    pub fn leaving(&self) -> [u64; BLOCKS] {
        self.current.map(|lease| if lease.leaving { lease.revision } else { 0 })
    }

    /// The revision of a block's tenure.
    pub fn revision(&self, block: usize) -> u64 {
        self.current.get(block).map_or(0, |lease| lease.revision)
    }

    /// Whether a block's tenure, if sessions of the one before are not kept, is younger than this.
    pub fn is_younger(&self, block: usize, now_ns: u64, age_ns: u64) -> bool {
        let fresh = self.current.get(block).is_some_and(|lease| !lease.kept);
        fresh && self.begun_ns.get(block).is_some_and(|begun_ns| now_ns.saturating_sub(*begun_ns) < age_ns)
    }

    /// Takes what the control thread says.
    pub fn set(&mut self, now_ns: u64, leases: [Lease; BLOCKS], nat: &mut Nat) {
        for (block, mut lease) in leases.into_iter().enumerate() {
            let before = self.current[block];
            if lease.revision == before.revision {
                lease.kept = before.kept;
            } else {
                lease.kept |= lease.after != 0 && self.whole.get()[block] == lease.after;
                self.begun_ns[block] = now_ns;
                nat.set_held(block, false);
                if !lease.kept && (self.used[block] || nat.has_stored(block)) {
                    nat.begin_purge(block);
                }
            }
            self.current[block] = lease;
        }
        self.look(now_ns, nat);
    }

    /// Brings what is held in line with the time.
    #[cold]
    pub fn look(&mut self, now_ns: u64, nat: &mut Nat) {
        self.next_ns = u64::MAX;
        let mut fenced = false;
        for (block, lease) in self.current.iter().enumerate() {
            let purged = !nat.is_purging(block);
            if purged && lease.revision == 0 {
                self.used[block] = false;
            }
            let held = lease.revision != 0 && now_ns < lease.until_ns && purged;
            nat.set_held(block, held);
            if held {
                self.used[block] = true;
                self.next_ns = self.next_ns.min(lease.until_ns);
            }
            fenced |= (self.used[block] || nat.has_stored(block) || lease.leaving) && !held;
        }
        self.fenced.set(fenced);
    }

    /// Goes on with what has to be forgotten; says of each block which tenure is in force.
    pub fn sweep(&mut self, now_ns: u64, nat: &mut Nat) -> [u64; BLOCKS] {
        if (0..BLOCKS).any(|block| nat.is_purging(block)) {
            nat.purge(Seconds((now_ns / 1_000_000_000) as u32), PURGE_PLACES);
            self.look(now_ns, nat);
        }
        [0, 1].map(|block| if nat.is_held(block) { self.current[block].revision } else { 0 })
    }
}
