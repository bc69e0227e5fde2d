//! Response rate limiting: what is answered to one prefix is bounded, so that whoever writes another's address into questions
//! sends that one little. Of answers that are held back every second one goes out empty and truncated: who asked in
//! earnest asks again over TCP, where addresses can not be made up.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;

use super::view::truncated;

/// Accounts; two prefixes that fall on one take turns.
const ACCOUNTS: usize = 1 << 14;
/// Prefix lengths of an account, of IPv4 and IPv6.
const PREFIX: [u8; 2] = [24, 56];
/// Answers that may come at once, in seconds of the rate.
const BURST_S: u32 = 2;

/// What to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is sent.
    Send,
    /// It is sent without its records, truncated.
    Slip,
    /// It is not sent.
    Hold,
}

#[derive(Clone, Copy, Default)]
struct Account {
    owner: u64,
    /// Thousandths of answers.
    credit: u32,
    at_ms: u64,
    held: u32,
}

/// Accounts of all prefixes, in a bounded table that nobody outside can predict.
pub struct Limit {
    per_second: u32,
    seed: RandomState,
    accounts: Box<[Account]>,
}

impl Limit {
    /// So many answers a second for each prefix; 0 for no limit.
    pub fn new(per_second: u32) -> Limit {
        let accounts = vec![Account::default(); if per_second == 0 { 0 } else { ACCOUNTS }];
        Limit { per_second, seed: RandomState::new(), accounts: accounts.into_boxed_slice() }
    }

    /// Charges an answer to an address.
    pub fn charge(&mut self, now_ms: u64, to: IpAddr) -> Verdict {
        let to = to.to_canonical();
        let owner = self.seed.hash_one(truncated(to, PREFIX[usize::from(to.is_ipv6())]));
        let Some(account) = self.accounts.get_mut(owner as usize % ACCOUNTS) else { return Verdict::Send };
        let full = self.per_second.saturating_mul(BURST_S).saturating_mul(1000);
        if account.owner != owner {
            *account = Account { owner, credit: full, at_ms: now_ms, held: 0 };
        }
        let earned = now_ms.saturating_sub(account.at_ms).saturating_mul(u64::from(self.per_second));
        account.credit = u64::from(account.credit).saturating_add(earned).min(u64::from(full)) as u32;
        account.at_ms = now_ms;
        if let Some(left) = account.credit.checked_sub(1000) {
            account.credit = left;
            return Verdict::Send;
        }
        account.held = account.held.wrapping_add(1);
        if account.held % 2 == 1 { Verdict::Slip } else { Verdict::Hold }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(limit: &mut Limit, now_ms: u64, to: &str, count: usize) -> [usize; 3] {
        let mut verdicts = [0; 3];
        for _ in 0..count {
            verdicts[limit.charge(now_ms, to.parse().unwrap()) as usize] += 1;
        }
        verdicts
    }

    #[test]
    fn a_prefix_gets_its_rate_and_others_are_not_charged() {
        let mut limit = Limit::new(10);
        assert_eq!(sent(&mut limit, 0, "192.0.2.1", 100), [20, 40, 40]);
        assert_eq!(sent(&mut limit, 500, "192.0.2.200", 7), [5, 1, 1], "of the same prefix");
        assert_eq!(sent(&mut limit, 500, "198.51.100.1", 5), [5, 0, 0]);
        assert_eq!(sent(&mut limit, 500, "2001:db8::1", 30), [20, 5, 5]);
        assert_eq!(sent(&mut limit, 500, "2001:db8:0:ff::1", 2), [0, 1, 1], "of the same prefix");
        assert_eq!(sent(&mut limit, 3_600_000, "192.0.2.1", 21), [20, 1, 0], "credit is bounded");
    }

    #[test]
    fn without_a_rate_there_is_no_limit() {
        assert_eq!(sent(&mut Limit::new(0), 0, "192.0.2.1", 1000), [1000, 0, 0]);
    }
}
