//! Entries of lists that are told together at the end: an address's ports over all workers, and the clients with the most
//! sessions.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ctl::{Client, Family, PoolUse, Response};

/// Addresses of a pool that are summed up; a pool may have 2^16.
const POOL_MAX: usize = 3 << 16;

/// Entries that are shown at most.
const ENTRIES_MAX: u64 = 200_000;

/// What is summed up so far.
#[derive(Default)]
pub struct Sums {
    limit: usize,
    /// Used and all ports.
    pool: BTreeMap<(IpAddr, Family), (u64, u64)>,
    /// Up to twice as many as are wanted: then those with fewer sessions are left out.
    clients: Vec<Client>,
    left_out: bool,
}

impl Sums {
    /// Nothing yet; so many entries are wanted.
    pub fn new(limit: u64) -> Sums {
        Sums { limit: limit.min(ENTRIES_MAX) as usize, ..Sums::default() }
    }

    /// Adds one worker's share of an address.
    pub fn add_pool(&mut self, used: &nat::PoolUse) {
        let Some(protocol) = Family::of(used.protocol) else { return };
        let key = (used.address.to_ip(), protocol);
        if self.pool.len() >= POOL_MAX && !self.pool.contains_key(&key) {
            self.left_out = true;
            return;
        }
        let sum = self.pool.entry(key).or_default();
        *sum = (sum.0 + used.used as u64, sum.1 + used.total as u64);
    }

    /// Adds what a client has at one worker.
    pub fn add_client(&mut self, client: &nat::ClientUse) {
        let [tcp, udp, other] = client.sessions;
        self.clients.push(Client { client: client.client.to_ip(), tcp, udp, other, ports: client.ports });
        if self.clients.len() >= self.limit.saturating_mul(2).max(1024) {
            self.cut();
        }
    }

    /// Keeps those with the most sessions.
    fn cut(&mut self) {
        let sessions =
            |client: &Client| u64::from(client.tcp) + u64::from(client.udp) + u64::from(client.other);
        self.clients.sort_by_key(|client| (core::cmp::Reverse(sessions(client)), client.client));
        self.left_out |= self.clients.len() > self.limit;
        self.clients.truncate(self.limit);
    }

    /// All entries, and whether there are more.
    pub fn take(&mut self) -> (Vec<Response>, bool) {
        self.cut();
        let pool = core::mem::take(&mut self.pool);
        self.left_out |= pool.len() > self.limit;
        let pool = pool.into_iter().take(self.limit).map(|((address, protocol), (used, total))| {
            Response::PoolUse(PoolUse { address, protocol, used, total })
        });
        let clients = core::mem::take(&mut self.clients).into_iter().map(Response::Client);
        (pool.chain(clients).collect(), self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use packet::Addr;

    #[test]
    fn workers_are_summed_up_and_the_largest_clients_come_first() {
        let address = Addr::from_v4([192, 0, 2, 1]);
        let mut sums = Sums::new(3);
        for used in [5, 7] {
            sums.add_pool(&nat::PoolUse { address, protocol: 17, used, total: 100 });
        }
        let (entries, more) = sums.take();
        let expected = PoolUse { address: address.to_ip(), protocol: Family::Udp, used: 12, total: 200 };
        assert_eq!((entries, more), (vec![Response::PoolUse(expected)], false));

        let mut sums = Sums::new(3);
        for number in 0..5000u32 {
            let client = Addr::from_v4((number * 7919 % 5000).to_be_bytes());
            sums.add_client(&nat::ClientUse { client, sessions: [number * 7919 % 5000, 0, 1], ports: 1 });
        }
        let (entries, more) = sums.take();
        let tcp: Vec<u32> = entries
            .iter()
            .map(|entry| if let Response::Client(client) = entry { client.tcp } else { 0 })
            .collect();
        assert_eq!((tcp, more), (vec![4999, 4998, 4997], true));
    }
}
