//! The sender's part: which packet of a flow went before.

use crate::wire::Order;
use foldhash::fast::FixedState;
use packet::Addr;
use std::hash::BuildHasher;

/// Flows of a set.
const WAYS: usize = 4;
/// A packet does not wait for one that was sent so long before it, milliseconds: that has come or is lost.
const IDLE_MS: u32 = 1000;

#[derive(Clone, Copy, Default)]
struct Chain {
    flow: u32,
    /// Packets of it so far.
    count: u32,
    seen_ms: u32,
    /// The last one's number in its stream; 0 for nobody's place.
    last: u64,
}

/// The flows of one sending worker.
pub struct Chains {
    chains: Box<[Chain]>,
    hasher: FixedState,
}

impl Chains {
    /// Remembers so many flows, four at least.
    pub fn new(capacity: usize, seed: u64) -> Chains {
        let places = capacity.max(WAYS).next_power_of_two();
        Chains { chains: vec![Chain::default(); places].into(), hasher: FixedState::with_seed(seed) }
    }

    /// The number of a flow: of its addresses, protocol and ports, towards a destination.
    pub fn flow(&self, destination: u16, src: Addr, dst: Addr, protocol: u8, ports: (u16, u16)) -> u32 {
        self.hasher.hash_one((destination, src, dst, protocol, ports)) as u32
    }

    /// The place in its flow of a packet with this number in its stream, and how many packets of the flow there were; the
    /// count begins anywhere.
    pub fn follow(&mut self, now_ms: u32, flow: u32, sequence: u64) -> (Order, u32) {
        let start = (flow as usize).wrapping_mul(WAYS) & (self.chains.len() - 1);
        let set = self.chains.get_mut(start..start + WAYS).unwrap_or_default();
        let own = set.iter().position(|chain| chain.flow == flow && chain.last != 0);
        let oldest = || {
            let age =
                |chain: &Chain| if chain.last == 0 { u32::MAX } else { now_ms.wrapping_sub(chain.seen_ms) };
            set.iter().enumerate().max_by_key(|(_, chain)| age(chain)).map(|(way, _)| way)
        };
        let Some(chain) = own.or_else(oldest).and_then(|way| set.get_mut(way)) else {
            return (Order { flow, back: 0 }, flow);
        };
        if own.is_none() {
            *chain = Chain { flow, count: flow, ..Chain::default() };
        }
        let recent = chain.last != 0 && now_ms.wrapping_sub(chain.seen_ms) < IDLE_MS;
        let back = sequence.checked_sub(chain.last).and_then(|back| u32::try_from(back).ok());
        let back = back.filter(|_| recent).unwrap_or(0);
        chain.count = chain.count.wrapping_add(1);
        (chain.last, chain.seen_ms) = (sequence, now_ms);
        (Order { flow, back }, chain.count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_packet_names_the_one_before_it_in_its_own_flow() {
        let mut chains = Chains::new(64, 1);
        let mut back = |now_ms, flow, sequence| chains.follow(now_ms, flow, sequence).0.back;
        assert_eq!([back(0, 7, 100), back(0, 8, 101), back(1, 7, 103), back(2, 8, 104)], [0, 0, 3, 3]);
        // After a pause nothing is waited for; nor after a step that the option can not tell, or one back.
        assert_eq!([back(2000, 7, 110), back(2001, 7, 111)], [0, 1]);
        assert_eq!([back(2001, 7, 1 << 40), back(2001, 7, 5)], [0, 0]);
    }

    #[test]
    fn a_flow_that_was_forgotten_begins_anew() {
        let mut chains = Chains::new(4, 1);
        for flow in 0..5 {
            assert_eq!(chains.follow(flow, flow, 100 + u64::from(flow)).0.back, 0);
        }
        assert_eq!(chains.follow(6, 4, 106).0.back, 2);
        assert_eq!(chains.follow(6, 0, 107).0.back, 0);
    }
}
