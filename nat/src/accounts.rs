//! What each client has: sessions by protocol, ports, and how many sessions it has made of late.

use crate::rules::{ClientLimits, Rules};
use crate::session::Seconds;
use crate::share::PROTOCOLS;
use packet::index::HashIndex;
use packet::{Addr, Reason};

/// Clients at one time at least.
const CLIENTS_MIN: usize = 64;

#[derive(Clone, Copy)]
struct Account {
    client: Addr,
    sessions: [u32; PROTOCOLS],
    ports: u32,
    /// Sessions that it may make at once.
    tokens: u32,
    filled: Seconds,
}

/// What a client has, as lists show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientUse {
    /// The client.
    pub client: Addr,
    /// Its sessions of TCP, of UDP and of all other protocols.
    pub sessions: [u32; PROTOCOLS],
    /// Its external ports.
    pub ports: u32,
}

/// The accounts of all clients that have sessions.
pub(crate) struct Accounts {
    accounts: Box<[Account]>,
    index: HashIndex,
    free: Vec<u32>,
    limits: ClientLimits,
}

impl Accounts {
    pub(crate) fn new(rules: &Rules, sessions_max: usize) -> Accounts {
        let usual = (sessions_max / 2).max(CLIENTS_MIN);
        let capacity = if rules.clients_max == 0 { usual } else { rules.clients_max }.min(sessions_max);
        let empty = Account {
            client: Addr::UNSPECIFIED,
            sessions: [0; PROTOCOLS],
            ports: 0,
            tokens: 0,
            filled: Seconds(0),
        };
        Accounts {
            accounts: vec![empty; capacity].into_boxed_slice(),
            index: HashIndex::new(capacity),
            free: (0..capacity as u32).rev().collect(),
            limits: rules.client,
        }
    }

    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u64) {
        self.index.prefetch(hash);
    }

    fn find(&self, hash: u64, client: Addr) -> Option<u32> {
        let accounts = &self.accounts;
        self.index.find(hash, |at| accounts[at as usize].client == client)
    }

    /// Puts one more session on a client's account, if it may have it; `hash` is the address's. One that is not metered was made
    /// at another gateway, and has no part in the client's rate. Each needs one
    /// [`Accounts::close`].
    ///
    /// # Errors
    /// [`Reason::NatClientLimit`], [`Reason::NatClientRate`]; [`Reason::NatTableFull`] for one client too many.
    pub(crate) fn open(
        &mut self,
        now: Seconds,
        hash: u64,
        client: Addr,
        space: usize,
        is_metered: bool,
    ) -> Result<u32, Reason> {
        let at = match self.find(hash, client) {
            Some(at) => at,
            None => self.add(now, hash, client)?,
        };
        let account = &mut self.accounts[at as usize];
        let refused = if account.sessions[space] >= self.limits.sessions[space] {
            Some(Reason::NatClientLimit)
        } else if is_metered && !account.has_token(now, &self.limits) {
            Some(Reason::NatClientRate)
        } else {
            account.sessions[space] += 1;
            None
        };
        match refused {
            Some(reason) => {
                self.forget_empty(hash, at);
                Err(reason)
            }
            None => Ok(at),
        }
    }

    fn add(&mut self, now: Seconds, hash: u64, client: Addr) -> Result<u32, Reason> {
        let at = *self.free.last().ok_or(Reason::NatTableFull)?;
        self.index.insert(hash, at).map_err(|_| Reason::NatTableFull)?;
        self.free.pop();
        self.accounts[at as usize] =
            Account { client, sessions: [0; PROTOCOLS], ports: 0, tokens: u32::MAX, filled: now };
        Ok(at)
    }

    /// Sessions of a client.
    pub(crate) fn sessions(&self, at: u32) -> u32 {
        self.accounts[at as usize].sessions.iter().sum()
    }

    /// Ports of a client.
    pub(crate) fn ports(&self, at: u32) -> u32 {
        self.accounts[at as usize].ports
    }

    /// Puts one more port on a client's account.
    pub(crate) fn take_port(&mut self, at: u32) -> Result<(), Reason> {
        let account = &mut self.accounts[at as usize];
        if account.ports >= self.limits.ports {
            return Err(Reason::NatClientLimit);
        }
        account.ports += 1;
        Ok(())
    }

    /// Takes a port off again.
    pub(crate) fn give_port(&mut self, hash: u64, client: Addr) {
        if let Some(at) = self.find(hash, client) {
            self.accounts[at as usize].ports -= 1;
        }
    }

    /// Takes a session off a client's account.
    pub(crate) fn close(&mut self, hash: u64, client: Addr, space: usize) {
        if let Some(at) = self.find(hash, client) {
            self.accounts[at as usize].sessions[space] -= 1;
            self.forget_empty(hash, at);
        }
    }

    /// A rate is remembered as long as there is one session; a client that has none has a burst again.
    fn forget_empty(&mut self, hash: u64, at: u32) {
        if self.sessions(at) == 0 {
            self.index.remove(hash, at);
            self.accounts[at as usize].client = Addr::UNSPECIFIED;
            self.free.push(at);
        }
    }

    /// Clients that have sessions.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// What a client has.
    pub(crate) fn usage(&self, hash: u64, client: Addr) -> Option<ClientUse> {
        let Account { sessions, ports, .. } = self.accounts[self.find(hash, client)? as usize];
        Some(ClientUse { client, sessions, ports })
    }

    /// Shows the clients in `count` places from `from` on; returns where to go on.
    pub(crate) fn list(&self, from: usize, count: usize, mut show: impl FnMut(ClientUse)) -> Option<usize> {
        let end = from.saturating_add(count).min(self.accounts.len());
        for account in self.accounts.get(from..end)?.iter().filter(|account| account.sessions != [0; 3]) {
            let Account { client, sessions, ports, .. } = *account;
            show(ClientUse { client, sessions, ports });
        }
        (end < self.accounts.len() && end > from).then_some(end)
    }
}

impl Account {
    /// Takes one of the sessions that the client may make now.
    fn has_token(&mut self, now: Seconds, limits: &ClientLimits) -> bool {
        if limits.sessions_per_second == 0 {
            return true;
        }
        let elapsed = now.0.wrapping_sub(self.filled.0);
        let earned = elapsed.saturating_mul(limits.sessions_per_second);
        self.tokens = self.tokens.saturating_add(earned).min(limits.burst.max(limits.sessions_per_second));
        self.filled = now;
        let has = self.tokens > 0;
        self.tokens -= has as u32;
        has
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(number: u8) -> Addr {
        Addr::from_v4([192, 0, 2, number])
    }

    fn accounts(client: ClientLimits) -> Accounts {
        Accounts::new(&Rules { clients_max: 2, client, ..Rules::default() }, 100)
    }

    #[test]
    fn an_account_is_as_old_as_its_sessions() {
        let mut accounts = accounts(ClientLimits::default());
        assert!(accounts.open(Seconds(0), 1, client(1), 0, true).is_ok());
        assert!(accounts.open(Seconds(0), 1, client(1), 1, true).is_ok());
        assert!(accounts.open(Seconds(0), 2, client(2), 0, true).is_ok());
        assert_eq!(accounts.open(Seconds(0), 3, client(3), 0, true), Err(Reason::NatTableFull));
        assert_eq!(accounts.usage(1, client(1)).unwrap().sessions, [1, 1, 0]);
        accounts.close(1, client(1), 0);
        assert_eq!(accounts.open(Seconds(0), 3, client(3), 0, true), Err(Reason::NatTableFull));
        accounts.close(1, client(1), 1);
        assert_eq!((accounts.len(), accounts.usage(1, client(1))), (1, None));
        assert!(accounts.open(Seconds(0), 3, client(3), 0, true).is_ok());
    }

    #[test]
    fn a_rate_lets_a_burst_through_and_then_so_many_a_second() {
        let mut accounts =
            accounts(ClientLimits { sessions_per_second: 3, burst: 10, ..ClientLimits::default() });
        let mut made = |now: u32| {
            (0..100).filter(|_| accounts.open(Seconds(now), 1, client(1), 0, true).is_ok()).count()
        };
        assert_eq!([made(5), made(5), made(6), made(8), made(100)], [10, 0, 3, 6, 10]);
        let refused = accounts.open(Seconds(100), 1, client(1), 0, true);
        assert_eq!(refused, Err(Reason::NatClientRate));
    }
}
