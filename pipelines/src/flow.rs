//! The edge's flow table: one cache line per flow, compiled on its first packet.

use foldhash::fast::FixedState;
use overlay::wire::Record;
use packet::index::HashIndex;
use packet::{Addr, Headers, Reason};
use prefetch_index::prefetch_index;
use std::hash::{BuildHasher, Hasher};

/// What makes a flow: addresses, ports (an ICMP echo's identifier) and protocol.
#[derive(Clone, Copy, Debug)]
pub struct FlowKey {
    /// The client.
    pub client: Addr,
    /// The virtual IP.
    pub vip: Addr,
    /// Both ports and the protocol, in one word: they are compared and hashed as one.
    small: u64,
}

impl PartialEq for FlowKey {
    /// All at once: keys that are compared are nearly always equal, so a branch for each field is a waste.
    #[inline(always)]
    fn eq(&self, other: &FlowKey) -> bool {
        (self.client == other.client) & (self.vip == other.vip) & (self.small == other.small)
    }
}

impl Eq for FlowKey {}

impl FlowKey {
    const NOBODY: FlowKey = FlowKey { client: Addr::UNSPECIFIED, vip: Addr::UNSPECIFIED, small: 0 };

    /// The flow of a connection.
    pub fn new(client: Addr, vip: Addr, client_port: u16, vip_port: u16, protocol: u8) -> FlowKey {
        let ports = (client_port as u64) << 16 | vip_port as u64;
        FlowKey { client, vip, small: ports << 8 | protocol as u64 }
    }

    /// The flow of a packet from a client.
    #[inline(always)]
    pub fn of(packet: &impl Headers) -> FlowKey {
        FlowKey {
            client: packet.src(),
            vip: packet.dst(),
            small: (packet.ports() as u64) << 8 | packet.protocol() as u64,
        }
    }

    /// The client's port.
    pub fn client_port(&self) -> u16 {
        (self.small >> 24) as u16
    }

    /// The virtual IP's port.
    pub fn vip_port(&self) -> u16 {
        (self.small >> 8) as u16
    }

    /// Protocol number.
    pub fn protocol(&self) -> u8 {
        self.small as u8
    }
}

/// A flow with what its packets need.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
pub struct Flow {
    /// Which packets belong to it.
    pub key: FlowKey,
    /// Whether the place is taken.
    live: bool,
    /// Whether its binding at a gateway is known.
    pub is_bound: bool,
    /// The client's bucket.
    pub bucket: u8,
    /// The flight that its packets take, valid in this epoch of the tables.
    pub flight: u16,
    /// The epoch.
    pub epoch: u16,
    /// When its last packet passed, seconds.
    pub seen_s: u32,
    /// Packets so far.
    pub packets: u32,
}

/// What the slow path finds for a flow.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The client's bucket.
    pub bucket: u8,
    /// The flight that its packets take.
    pub flight: u16,
    /// The epoch of the tables that it was found in.
    pub epoch: u16,
}

/// Where a flow may stand.
#[derive(Clone, Copy, Debug, Default)]
pub struct Guess(u32);

/// The flows of one worker, bounded.
pub struct FlowTable {
    index: HashIndex,
    flows: Box<[Flow]>,
    free: Vec<u32>,
    /// By place: the binding of the flow there. Empty where no gateway has a peer.
    bindings: Box<[Option<Record>]>,
    bound: usize,
    hasher: FixedState,
    sweep_at: u32,
}

impl FlowTable {
    /// A table for `capacity` flows, about 85 bytes each.
    pub fn new(capacity: usize, seed: u64) -> FlowTable {
        let empty = Flow {
            key: FlowKey::NOBODY,
            live: false,
            is_bound: false,
            bucket: 0,
            flight: 0,
            epoch: 0,
            seen_s: 0,
            packets: 0,
        };
        FlowTable {
            index: HashIndex::new(capacity),
            flows: vec![empty; capacity].into_boxed_slice(),
            free: (0..capacity as u32).rev().collect(),
            bindings: Box::default(),
            bound: 0,
            hasher: FixedState::with_seed(seed),
            sweep_at: 0,
        }
    }

    /// The same with room for each flow's binding, 64 bytes more.
    pub fn with_bindings(capacity: usize, seed: u64) -> FlowTable {
        FlowTable { bindings: vec![None; capacity].into_boxed_slice(), ..FlowTable::new(capacity, seed) }
    }

    /// The hash of a key under this table's seed.
    #[inline(always)]
    pub fn hash(&self, key: &FlowKey) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        // Both addresses of IPv4 fit one word: one multiplication instead of three.
        if key.client.is_v4() {
            hasher.write_u64((key.client.to_bits() as u64) << 32 | key.vip.to_bits() as u32 as u64);
        } else {
            hasher.write_u128(key.client.to_bits());
            hasher.write_u128(key.vip.to_bits());
        }
        hasher.write_u64(key.small);
        hasher.finish()
    }

    /// Hints that a hash is looked up soon: first step.
    #[inline(always)]
    pub fn prefetch(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    /// Where the flow of a hash stands, most likely, and hints that it is looked at soon: second step, once the first
    /// has arrived.
    #[inline(always)]
    pub fn guess(&self, hash: u64) -> Guess {
        let slot = self.index.guess(hash).unwrap_or(u32::MAX);
        prefetch_index(&self.flows, slot as usize);
        Guess(slot)
    }

    /// The flow of a key, which almost always stands where it was guessed to.
    #[inline(always)]
    pub fn find(&mut self, Guess(slot): Guess, hash: u64, key: FlowKey) -> Option<&mut Flow> {
        let slot = match self.flows.get(slot as usize) {
            Some(flow) if flow.key == key => slot,
            // Values, not the key: a reference would keep it in memory on the hot path as well.
            _ => self.search(hash, key.client.to_bits(), key.vip.to_bits(), key.small)?,
        };
        self.flows.get_mut(slot as usize)
    }

    #[cold]
    #[inline(never)]
    fn search(&self, hash: u64, client: u128, vip: u128, small: u64) -> Option<u32> {
        let is_it = |key: &FlowKey| {
            (key.client.to_bits() == client) & (key.vip.to_bits() == vip) & (key.small == small)
        };
        self.index.find(hash, |slot| self.flows.get(slot as usize).is_some_and(|flow| is_it(&flow.key)))
    }

    /// Adds a flow. The caller has seen that it is not there.
    ///
    /// # Errors
    /// [`Reason::FlowTableFull`].
    pub fn insert(&mut self, hash: u64, key: FlowKey, way: Way, now_s: u32) -> Result<(), Reason> {
        let Way { bucket, flight, epoch } = way;
        let slot = self.free.pop().ok_or(Reason::FlowTableFull)?;
        if self.index.insert(hash, slot).is_err() {
            self.free.push(slot);
            return Err(Reason::FlowTableFull);
        }
        self.flows[slot as usize] =
            Flow { key, live: true, is_bound: false, bucket, flight, epoch, seen_s: now_s, packets: 1 };
        Ok(())
    }

    /// Looks at the next `budget` places and removes flows that were idle for `idle_s` seconds.
    pub fn sweep(&mut self, now_s: u32, idle_s: u32, budget: usize) {
        for _ in 0..budget.min(self.flows.len()) {
            let slot = self.sweep_at;
            self.sweep_at = if slot as usize + 1 < self.flows.len() { slot + 1 } else { 0 };
            let flow = self.flows[slot as usize];
            if flow.live && now_s.saturating_sub(flow.seen_s) >= idle_s {
                let hash = self.hash(&flow.key);
                self.index.remove(hash, slot);
                self.forget_binding(slot);
                self.flows[slot as usize].live = false;
                // A removed flow matches no packet: no packet comes from the unspecified address.
                self.flows[slot as usize].key.client = Addr::UNSPECIFIED;
                self.free.push(slot);
            }
        }
    }

    /// Keeps the binding of a flow, instead of any that it had.
    ///
    /// # Errors
    /// [`Reason::Binding`] where there is no such flow, or no room for bindings.
    pub fn bind(&mut self, key: FlowKey, record: Record) -> Result<(), Reason> {
        let slot = self.slot_of(key).ok_or(Reason::Binding)?;
        let place = self.bindings.get_mut(slot as usize).ok_or(Reason::Binding)?;
        self.bound += place.replace(record).is_none() as usize;
        self.flows[slot as usize].is_bound = true;
        Ok(())
    }

    /// Forgets the binding of a flow.
    ///
    /// # Errors
    /// [`Reason::Binding`] where there is no such flow.
    pub fn unbind(&mut self, key: FlowKey) -> Result<(), Reason> {
        let slot = self.slot_of(key).ok_or(Reason::Binding)?;
        self.forget_binding(slot);
        Ok(())
    }

    fn forget_binding(&mut self, slot: u32) {
        let place = self.bindings.get_mut(slot as usize);
        self.bound -= place.and_then(Option::take).is_some() as usize;
        self.flows[slot as usize].is_bound = false;
    }

    fn slot_of(&self, key: FlowKey) -> Option<u32> {
        self.search(self.hash(&key), key.client.to_bits(), key.vip.to_bits(), key.small)
    }

    /// A flow with its binding, if that is known.
    pub fn with_binding(&mut self, key: FlowKey) -> Option<(&mut Flow, Option<Record>)> {
        let slot = self.slot_of(key)? as usize;
        let record = self.bindings.get(slot).copied().flatten();
        Some((self.flows.get_mut(slot)?, record))
    }

    /// Flows whose binding is known.
    pub fn bound(&self) -> usize {
        self.bound
    }

    /// Shows bound flows in at most `places` places from `cursor` on, for as long as `show` says so; returns the next cursor,
    /// `None` at the end.
    pub fn scan(
        &self,
        cursor: u32,
        places: usize,
        mut show: impl FnMut(&Flow, &Record) -> bool,
    ) -> Option<u32> {
        let end = (cursor as usize + places).min(self.bindings.len());
        let mut at = cursor as usize;
        while at < end {
            let (flow, record) = (self.flows.get(at)?, self.bindings.get(at)?);
            at += 1;
            if let Some(record) = record
                && !show(flow, record)
            {
                break;
            }
        }
        (at < self.bindings.len()).then_some(at as u32)
    }

    /// Flows held.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Whether no flow is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Flows that fit.
    pub fn capacity(&self) -> usize {
        self.flows.len()
    }

    /// Shows at most `places` places of the table from `cursor` on; returns the next cursor, `None` at the end.
    pub fn list(&self, cursor: u32, places: usize, mut show: impl FnMut(&Flow)) -> Option<u32> {
        let end = (cursor as usize + places).min(self.flows.len());
        self.flows.get(cursor as usize..end)?.iter().filter(|flow| flow.live).for_each(&mut show);
        (end < self.flows.len()).then_some(end as u32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const WAY: Way = Way { bucket: 5, flight: 3, epoch: 1 };

    fn key(number: u32) -> FlowKey {
        FlowKey {
            client: Ipv4Addr::from(0x0a00_0000 + number).into(),
            vip: Ipv4Addr::new(203, 0, 113, 1).into(),
            small: ((number as u16 as u64) << 16 | 80) << 8 | 6,
        }
    }

    #[test]
    fn a_key_gives_back_what_it_is_made_of() {
        let key = key(4711);
        assert_eq!((key.client_port(), key.vip_port(), key.protocol()), (4711, 80, 6));
    }

    #[test]
    fn a_flow_is_one_cache_line() {
        assert_eq!(size_of::<Flow>(), 64);
    }

    #[test]
    fn a_binding_lives_as_long_as_its_flow() {
        let record = Record {
            kind: overlay::wire::RecordKind::Binding,
            protocol: 6,
            state: 0,
            client_port: 1,
            vip_port: 80,
            external_port: 9,
            origin_port: 80,
            home: overlay::topology::NodeId(2),
            number: 0,
            revision: 5,
            external: Ipv4Addr::new(10, 9, 0, 100).into(),
            origin: Ipv4Addr::new(10, 9, 0, 2).into(),
        };
        let mut table = FlowTable::with_bindings(4, 7);
        assert_eq!(table.bind(key(1), record), Err(Reason::Binding));
        for number in 1..4 {
            table.insert(table.hash(&key(number)), key(number), WAY, number).unwrap();
        }
        table.bind(key(1), record).unwrap();
        table.bind(key(3), record).unwrap();
        table.bind(key(3), Record { external_port: 10, ..record }).unwrap();
        assert_eq!(table.bound(), 2);
        let found =
            table.with_binding(key(3)).map(|(flow, record)| (flow.is_bound, record.unwrap().external_port));
        assert_eq!(found, Some((true, 10)));
        let mut ports = Vec::new();
        let next = table.scan(0, 10, |_, record| {
            ports.push(record.external_port);
            false
        });
        assert!(next.is_some());
        assert_eq!(
            table.scan(next.unwrap(), 10, |_, record| {
                ports.push(record.external_port);
                true
            }),
            None
        );
        assert_eq!(ports.len(), 2);
        table.unbind(key(1)).unwrap();
        table.sweep(1000, 100, 100);
        assert_eq!((table.bound(), table.len()), (0, 0));
        // Without room for bindings there are none.
        let mut table = FlowTable::new(4, 7);
        table.insert(table.hash(&key(1)), key(1), WAY, 1).unwrap();
        assert_eq!(table.bind(key(1), record), Err(Reason::Binding));
    }

    #[test]
    fn fills_refuses_and_frees_idle_flows() {
        let mut table = FlowTable::new(100, 7);
        for number in 0..100 {
            let hash = table.hash(&key(number));
            table.insert(hash, key(number), WAY, number).unwrap();
        }
        let hash = table.hash(&key(100));
        assert_eq!(table.insert(hash, key(100), WAY, 100), Err(Reason::FlowTableFull));
        table.sweep(150, 100, 1000);
        assert_eq!(table.len(), 49);
        assert!(table.find(Guess::default(), table.hash(&key(50)), key(50)).is_none());
        assert!(table.find(Guess::default(), table.hash(&key(51)), key(51)).is_some());
        let mut listed = 0;
        let mut cursor = Some(0);
        while let Some(at) = cursor {
            cursor = table.list(at, 7, |_| listed += 1);
        }
        assert_eq!(listed, 49);
    }
}
