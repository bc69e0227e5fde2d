//! Routing protocols: how a packet finds its way. The packet names one, and every node obeys the packet's by its own
//! table.

/// A routing protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Protocol {
    /// Hop by hop, each to the next node of the way with the lowest latency.
    Shortest = 1,
    /// One copy on each of several node-disjoint paths.
    #[default]
    Replicate = 2,
    /// Hop by hop, each to the next node of the way with the lowest loss.
    Cleanest = 3,
    /// Each packet over one of several node-disjoint paths, by their weights, and in order again at the end.
    Spread = 4,
    /// Each packet once over the best path, and parity packets, of which lost ones are rebuilt, over the others.
    Parity = 5,
    /// Over one path, and as many copies over others as losses ask for.
    Adaptive = 6,
    /// Over the nodes that the packet names.
    SourceRoute = 7,
    /// Straight from one end to the other.
    Direct = 8,
}

impl Protocol {
    /// All of them, in the order of their numbers.
    pub const ALL: [Protocol; 8] = [
        Protocol::Shortest,
        Protocol::Replicate,
        Protocol::Cleanest,
        Protocol::Spread,
        Protocol::Parity,
        Protocol::Adaptive,
        Protocol::SourceRoute,
        Protocol::Direct,
    ];

    /// The protocol of a number in a packet.
    #[inline(always)]
    pub const fn of(id: u8) -> Option<Protocol> {
        match id {
            1 => Some(Protocol::Shortest),
            2 => Some(Protocol::Replicate),
            3 => Some(Protocol::Cleanest),
            4 => Some(Protocol::Spread),
            5 => Some(Protocol::Parity),
            6 => Some(Protocol::Adaptive),
            7 => Some(Protocol::SourceRoute),
            8 => Some(Protocol::Direct),
            _ => None,
        }
    }

    /// Its number in packets.
    #[inline(always)]
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// Its name in configurations and lists.
    pub const fn name(self) -> &'static str {
        match self {
            Protocol::Shortest => "shortest",
            Protocol::Replicate => "replicate",
            Protocol::Cleanest => "cleanest",
            Protocol::Spread => "spread",
            Protocol::Parity => "parity",
            Protocol::Adaptive => "adaptive",
            Protocol::SourceRoute => "source-route",
            Protocol::Direct => "direct",
        }
    }

    /// Whether packets name the path that they take; in those of others the path's number is 0.
    #[inline(always)]
    pub const fn has_path(self) -> bool {
        matches!(self, Protocol::Replicate | Protocol::Spread | Protocol::Parity | Protocol::Adaptive)
    }

    /// Whether each node chooses the next one from its own table of ways to the destination.
    #[inline(always)]
    pub const fn is_hop_by_hop(self) -> bool {
        matches!(self, Protocol::Shortest | Protocol::Cleanest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_protocols_are_one_to_one() {
        let known: Vec<Protocol> = (0..=255).filter_map(Protocol::of).collect();
        assert_eq!(known, Protocol::ALL);
        for protocol in Protocol::ALL {
            assert_eq!(Protocol::of(protocol.id()), Some(protocol));
        }
    }
}
