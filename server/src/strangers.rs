//! Whoever is connected and has not proved to be a node yet: so many at once, in all and from one place, and the oldest makes
//! room for the newest. A node proves itself within a few round trips; who connects and says nothing, from however many
//! addresses, can only shorten the time that others like it have.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Strangers at once, from all places.
pub const ALL_MAX: usize = 512;
/// Strangers at once from one place.
pub const PLACE_MAX: usize = 16;

/// Where a stranger connects from: an address of IPv4, or the 64-bit prefix of one of IPv6, which one host may have whole.
fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

#[derive(Default)]
struct State {
    /// By the order in which they came.
    all: BTreeMap<u64, (IpAddr, Arc<Notify>)>,
    by_place: HashMap<IpAddr, BTreeSet<u64>>,
    next: u64,
    evicted: u64,
}

/// All strangers.
#[derive(Clone, Default)]
pub struct Strangers(Arc<Mutex<State>>);

/// One of them, until it is dropped.
pub struct Stranger {
    strangers: Strangers,
    number: u64,
    evicted: Arc<Notify>,
}

impl Strangers {
    /// One more has come. The oldest from its place, or of all, has to go where there is no room.
    pub fn admit(&self, address: IpAddr) -> Stranger {
        let place = place(address);
        let evicted = Arc::new(Notify::new());
        let mut state = self.state();
        let here = state.by_place.get(&place);
        let oldest_here = here.filter(|here| here.len() >= PLACE_MAX).and_then(BTreeSet::first);
        let oldest = state.all.keys().next().filter(|_| state.all.len() >= ALL_MAX);
        if let Some(number) = oldest_here.or(oldest).copied() {
            state.evict(number);
        }
        let number = state.next;
        state.next += 1;
        state.all.insert(number, (place, evicted.clone()));
        state.by_place.entry(place).or_default().insert(number);
        drop(state);
        Stranger { strangers: self.clone(), number, evicted }
    }

    /// How many have made room so far.
    pub fn evicted(&self) -> u64 {
        self.state().evicted
    }

    /// A panic of another thread leaves nothing half done in here.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn evict(&mut self, number: u64) {
        if let Some(evicted) = self.remove(number) {
            self.evicted += 1;
            evicted.notify_one();
        }
    }

    fn remove(&mut self, number: u64) -> Option<Arc<Notify>> {
        let (place, evicted) = self.all.remove(&number)?;
        if let Some(here) = self.by_place.get_mut(&place) {
            here.remove(&number);
            if here.is_empty() {
                self.by_place.remove(&place);
            }
        }
        Some(evicted)
    }
}

impl Stranger {
    /// Ends once it has to make room.
    pub async fn evicted(&self) {
        self.evicted.notified().await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.strangers.state().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::Future;

    fn is_evicted(stranger: &Stranger) -> bool {
        // A permit that waits is taken at once.
        let mut evicted = Box::pin(stranger.evicted());
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        evicted.as_mut().poll(&mut context).is_ready()
    }

    #[test]
    fn the_oldest_of_a_full_place_makes_room_and_nobody_elsewhere() {
        let strangers = Strangers::default();
        let elsewhere = strangers.admit("192.0.2.1".parse().unwrap());
        // All addresses of one prefix are one place.
        let address = |number: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, number]);
        let mut here: Vec<_> = (0..PLACE_MAX as u16).map(|number| strangers.admit(address(number))).collect();
        assert_eq!(strangers.evicted(), 0);
        here.push(strangers.admit(address(1000)));
        let evicted: Vec<bool> = here.iter().map(is_evicted).collect();
        assert!(evicted[0] && !evicted[1..].contains(&true) && !is_evicted(&elsewhere));
        drop(here);
        let _again: Vec<_> = (0..PLACE_MAX as u16).map(|number| strangers.admit(address(number))).collect();
        assert_eq!(strangers.evicted(), 1);
        assert!(!is_evicted(&elsewhere));
    }

    #[test]
    fn a_flood_from_everywhere_is_bounded_and_the_newest_has_its_turn() {
        let strangers = Strangers::default();
        let address = |number: u32| IpAddr::from(number.to_be_bytes());
        let all: Vec<_> = (0..ALL_MAX as u32 + 100).map(|number| strangers.admit(address(number))).collect();
        let evicted: Vec<bool> = all.iter().map(is_evicted).collect();
        assert!(evicted[..100].iter().all(|evicted| *evicted));
        assert!(evicted[100..].iter().all(|evicted| !evicted));
        drop(all);
        let state = strangers.state();
        assert!(state.all.is_empty() && state.by_place.is_empty());
    }
}
