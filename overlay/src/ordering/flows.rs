//! The flows whose packets are put in order: a table of sets of four, in which a flow that holds nothing makes room.

use super::{FlowKey, NONE};
use foldhash::fast::FixedState;
use std::hash::BuildHasher;

/// Flows of a set.
const WAYS: usize = 4;

/// One flow.
#[derive(Clone)]
pub(super) struct Flow {
    key: FlowKey,
    seen_ns: u64,
    /// Up to this number of the stream its packets have left, or were given up.
    pub(super) through: u64,
    /// Its held packets, by their numbers: the first and the last.
    pub(super) first: u32,
    pub(super) last: u32,
    pub(super) count: u32,
    /// The next of the flows whose first packet may leave.
    pub(super) next_ready: u32,
    pub(super) is_ready: bool,
}

pub(super) struct Flows {
    flows: Box<[Flow]>,
    hasher: FixedState,
}

impl Flows {
    pub(super) fn new(capacity: usize, seed: u64) -> Flows {
        let nobody = Flow {
            // No node has the number 0, so no packet is of this flow.
            key: FlowKey(0),
            seen_ns: 0,
            through: 0,
            first: NONE,
            last: NONE,
            count: 0,
            next_ready: NONE,
            is_ready: false,
        };
        let places = capacity.max(WAYS).next_power_of_two();
        Flows { flows: vec![nobody; places].into(), hasher: FixedState::with_seed(seed) }
    }

    /// A flow by its place.
    pub(super) fn get(&mut self, at: u32) -> Option<&mut Flow> {
        self.flows.get_mut(at as usize)
    }

    /// The place of a flow: a new one takes that of the one not seen for longest. `None` where all others hold packets.
    pub(super) fn find(&mut self, key: FlowKey, now_ns: u64) -> Option<(u32, &mut Flow)> {
        let start = self.hasher.hash_one(key) as usize & (self.flows.len() - 1) & !(WAYS - 1);
        let set = self.flows.get_mut(start..start + WAYS)?;
        let way = match set.iter().position(|flow| flow.key == key) {
            Some(way) => way,
            None => {
                let idle = set.iter().enumerate().filter(|(_, flow)| flow.count == 0 && !flow.is_ready);
                let (way, _) = idle.min_by_key(|(_, flow)| flow.seen_ns)?;
                let flow = set.get_mut(way)?;
                (flow.key, flow.through) = (key, 0);
                way
            }
        };
        let flow = set.get_mut(way)?;
        flow.seen_ns = now_ns;
        Some(((start + way) as u32, flow))
    }
}
