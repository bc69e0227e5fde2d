//! The node's keys as the control thread has them: made and agreed on in `pipelines::keys`, published to the workers
//! here.

use std::collections::BTreeMap;
use std::sync::Arc;

use overlay::seal::SealTable;
use packet::BufPool;
use pipelines::Tables;
use pipelines::keys::Keys;

use crate::core::Counters;
use crate::exchange::{Exchange, Order};

/// How often workers are asked whether they read the newest keys, ns.
const ASK_NS: u64 = 1_000_000;

/// How often a reason for which messages are not taken is told, ns.
const TELL_NS: u64 = 60_000_000_000;

/// The keys and what workers know of them.
pub struct Keyring {
    /// Keys and messages about them.
    pub keys: Keys,
    table: Arc<SealTable>,
    /// Tables that a worker may still use: freed here, never by a worker.
    retired: Vec<Arc<SealTable>>,
    /// How many workers, from the first on, have been told of the table.
    told: usize,
    /// Whether every worker reads the table.
    published: bool,
    /// Packets that were sealed when they were last counted.
    sealed: u64,
    /// When each reason to refuse a message was last told, ns.
    told_ns: BTreeMap<&'static str, u64>,
}

impl Keyring {
    /// Keys that no worker knows yet.
    pub fn new(keys: Keys) -> Keyring {
        let table = Arc::default();
        let told_ns = BTreeMap::new();
        Keyring { keys, table, retired: Vec::new(), told: 0, published: true, sealed: 0, told_ns }
    }

    /// A punted message about keys.
    pub fn handle(&mut self, now_ns: u64, frame: &[u8]) {
        let Some(why) = self.keys.handle(now_ns, frame) else { return };
        let last_ns = self.told_ns.get(why.name());
        if last_ns.is_none_or(|last_ns| now_ns.saturating_sub(*last_ns) >= TELL_NS) {
            self.told_ns.insert(why.name(), now_ns);
            let count = self.keys.refused().get(why.name()).copied().unwrap_or_default();
            tracing::warn!("a message about keys is not taken: {why}; {count} so far");
        }
    }

    /// Does what is due. Returns the table that is to be read from now on, where it has changed.
    pub fn pump<P: BufPool>(
        &mut self,
        now_ns: u64,
        tables: &Tables,
        exchange: &Exchange<P::Buf>,
        counters: &[Counters],
    ) -> Option<Arc<SealTable>> {
        let sealed: u64 = counters.iter().map(|worker| worker.path.roles.sealed.get()).sum();
        if sealed != self.sealed {
            self.keys.count_sealed(sealed.wrapping_sub(self.sealed));
            self.sealed = sealed;
        }
        let rotations = self.keys.counters().rotations;
        let table = self.keys.tick(now_ns, tables, random).map(Arc::new);
        if self.keys.counters().rotations != rotations {
            tracing::info!("a new key, the {}th", self.keys.counters().rotations);
        }
        if let Some(table) = &table {
            self.retired.push(core::mem::replace(&mut self.table, table.clone()));
            (self.told, self.published) = (0, false);
        }
        self.retired.retain(|table| Arc::strong_count(table) > 1);
        while self.told < exchange.workers()
            && exchange.order(self.told, Order::Keys(self.table.clone())).is_ok()
        {
            self.told += 1;
        }
        let generation = self.table.generation();
        if !self.published && counters.iter().all(|worker| worker.own.keys_generation.get() >= generation) {
            self.published = true;
            self.keys.published(generation);
            // What waited for this is said at once.
            return self.keys.tick(now_ns, tables, random).map(|table| self.again(table)).or(table);
        }
        table
    }

    /// A table right behind another.
    fn again(&mut self, table: SealTable) -> Arc<SealTable> {
        let table = Arc::new(table);
        self.retired.push(core::mem::replace(&mut self.table, table.clone()));
        (self.told, self.published) = (0, false);
        table
    }

    /// When [`Keyring::pump`] has something to do next, ns.
    pub fn timeout(&self, now_ns: u64) -> u64 {
        let asks = if self.published { u64::MAX } else { now_ns + ASK_NS };
        self.keys.poll_timeout(now_ns).min(asks)
    }
}

/// 32 bytes that nobody can guess.
pub fn random() -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty()).ok()?;
    (filled == bytes.len()).then_some(bytes)
}
