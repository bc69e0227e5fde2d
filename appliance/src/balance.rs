//! The account of all packets, drawn up when the node stops.

use std::fmt::{self, Display, Formatter};

use packet::{BufPool, Reason};

use crate::core::Core;

/// Where packets came from and where they went, over the life of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Balance {
    /// Frames received by the ports.
    pub received: u64,
    /// Copies and answers made.
    pub made: u64,
    /// Frames of the control thread.
    pub injected: u64,
    /// Frames that the devices took.
    pub transmitted: u64,
    /// Packets dropped by the workers.
    pub dropped: u64,
    /// Packets that held nothing but a binding record, which was taken out.
    pub carriers: u64,
    /// Packets given to the control thread.
    pub punted: u64,
    /// Of these, answered or learned from.
    pub punts_consumed: u64,
    /// Of these, sent on.
    pub punts_released: u64,
    /// Of these, dropped by the slow path.
    pub punts_dropped: u64,
    /// Packet buffers that did not come back.
    pub buffers_missing: u64,
}

impl Balance {
    /// What the counters say. The workers have ended.
    pub fn of<P: BufPool>(core: &Core<P>, buffers_missing: u64) -> Balance {
        let workers = || core.counters.iter();
        let ports = || workers().flat_map(|worker| &worker.path.ports);
        let slow = core.slow.counters();
        let link_state = core.link_state.counters();
        let keys = core.keyring.as_ref().map(|keyring| keyring.keys.counters()).unwrap_or_default();
        Balance {
            received: ports().map(|port| port.rx_packets.get()).sum(),
            made: workers().map(|worker| worker.path.roles.copies_made.get()).sum(),
            injected: workers().map(|worker| worker.own.injected.get()).sum(),
            transmitted: ports().map(|port| port.tx_packets.get()).sum(),
            dropped: workers().map(|worker| worker.path.drops_total()).sum(),
            carriers: workers().map(|worker| worker.path.roles.carriers.get()).sum(),
            punted: workers().flat_map(|worker| &worker.path.punts).map(packet::Counter::get).sum(),
            punts_consumed: slow.consumed
                + core.live.counters().consumed
                + keys.consumed
                + core.takeovers.counters().consumed
                + link_state.consumed,
            punts_released: slow.released,
            punts_dropped: Reason::ALL.iter().map(|reason| core.dropped_by_control(*reason)).sum(),
            buffers_missing,
        }
    }

    /// Whether every packet is accounted for and every buffer is back.
    pub fn holds(&self) -> bool {
        self.received + self.made + self.injected
            == self.transmitted + self.dropped + self.punted + self.carriers
            && self.punted == self.punts_consumed + self.punts_released + self.punts_dropped
            && self.buffers_missing == 0
    }
}

impl Display for Balance {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Balance { received, made, injected, transmitted, dropped, punted, carriers, .. } = self;
        let (left, right) = (received + made + injected, transmitted + dropped + punted + carriers);
        let sign = if left == right { "=" } else { "is not" };
        write!(
            f,
            "{received} received + {made} copies and answers made + {injected} from control {sign} {transmitted} \
             transmitted + {dropped} dropped + {carriers} with records only + {punted} punted ({} consumed, {} sent on, {} dropped); {} buffers missing",
            self.punts_consumed, self.punts_released, self.punts_dropped, self.buffers_missing
        )
    }
}

/// The drops that there were, as `reason: count`.
pub fn drops<P: BufPool>(core: &Core<P>) -> String {
    let dropped = Reason::ALL.iter().map(|reason| (reason.name(), core.dropped(*reason)));
    let shown: Vec<String> =
        dropped.filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name}: {count}")).collect();
    if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
}
