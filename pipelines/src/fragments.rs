//! The gateway's memory of fragments: only the first one has ports, the others follow it to its session.
//!
//! Nothing is put together here, so nothing waits and no buffer is held: a later fragment that comes before its first
//! is dropped, as is one whose first was lost. Memory is bounded; where many datagrams are under way at once, the
//! oldest of a group of places makes room.

use core::hash::BuildHasher;
use foldhash::quality::FixedState;
use nat::SessionIndex;
use packet::Addr;

/// What the fragments of one datagram have in common (RFC 791 section 3.2, RFC 8200 section 4.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Datagram {
    /// Source address.
    pub src: Addr,
    /// Destination address.
    pub dst: Addr,
    /// Identification.
    pub identification: u32,
    /// Protocol.
    pub protocol: u8,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    datagram: Datagram,
    session: SessionIndex,
    identification: u16,
    until_s: u32,
}

/// Datagrams remembered at most.
const PLACES: usize = 1024;
/// Places that a datagram may stand in.
const WAYS: usize = 4;
/// How long, seconds: as long as a receiver waits for fragments at most (RFC 1122 section 3.3.2, Linux' 30 s).
const LIFETIME_S: u32 = 30;

/// Datagrams whose first fragment has passed.
#[derive(Debug)]
pub struct Fragments {
    entries: Box<[Option<Entry>]>,
    hasher: FixedState,
    /// Which of its identifications comes next.
    next: u32,
    /// How many it has.
    turn: u32,
    worker: u16,
    workers: u16,
}

impl Fragments {
    /// An empty table. Each worker gives out identifications of its own.
    pub fn new(seed: u64, worker: u16, workers: u16) -> Fragments {
        let workers = workers.max(1);
        let turn = (1 << 16) / workers as u32;
        Fragments {
            entries: vec![None; PLACES].into_boxed_slice(),
            hasher: FixedState::with_seed(seed),
            next: (seed >> 48) as u32 % turn,
            turn,
            worker: worker % workers,
            workers,
        }
    }

    /// Another identification for fragments that leave with an address that several clients share (RFC 6864 section
    /// 4.3 has them differ): clients choose theirs without knowing of each other.
    pub fn identify(&mut self) -> u16 {
        let taken = self.next as u16 * self.workers + self.worker;
        self.next = (self.next + 1) % self.turn;
        taken
    }

    /// Remembers the session of a datagram's first fragment; gives the identification to leave with.
    pub fn insert(&mut self, now_s: u32, datagram: Datagram, session: SessionIndex) -> u16 {
        let until_s = now_s.saturating_add(LIFETIME_S);
        // A first fragment that comes again belongs to the same datagram.
        if let Some(entry) = self.find_mut(now_s, &datagram).filter(|entry| entry.session == session) {
            entry.until_s = until_s;
            return entry.identification;
        }
        let identification = self.identify();
        let group = self.group(&datagram);
        let group = &mut self.entries[group];
        let same = |entry: &Option<Entry>| entry.is_some_and(|entry| entry.datagram == datagram);
        let at = group
            .iter()
            .position(same)
            .or_else(|| (0..group.len()).min_by_key(|at| group[*at].map_or(0, |entry| entry.until_s)));
        if let Some(place) = at.and_then(|at| group.get_mut(at)) {
            *place = Some(Entry { datagram, session, identification, until_s });
        }
        identification
    }

    /// The session and the identification of a later fragment's datagram. The session may have ended since.
    pub fn find(&mut self, now_s: u32, datagram: &Datagram) -> Option<(SessionIndex, u16)> {
        self.find_mut(now_s, datagram).map(|entry| (entry.session, entry.identification))
    }

    fn find_mut(&mut self, now_s: u32, datagram: &Datagram) -> Option<&mut Entry> {
        let group = self.group(datagram);
        let mut entries = self.entries[group].iter_mut().flatten();
        entries.find(|entry| entry.datagram == *datagram && now_s < entry.until_s)
    }

    fn group(&self, datagram: &Datagram) -> core::ops::Range<usize> {
        let group = self.hasher.hash_one(datagram) as usize % (PLACES / WAYS);
        group * WAYS..(group + 1) * WAYS
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nat::{Config, Filtering, Key, Nat, NewSession, Seconds, ServiceId, Tag, Timeouts};

    fn sessions(count: u16) -> Vec<SessionIndex> {
        let [pool, client, vip] = [[10, 9, 0, 1], [198, 51, 100, 7], [203, 0, 113, 1]].map(Addr::from_v4);
        let mut nat = Nat::new(&Config {
            sessions_max: 1 << 16,
            pool: vec![pool],
            worker: 0,
            workers: 1,
            rules: nat::Rules::default(),
            timeouts: Timeouts::default(),
            seed: 1,
        })
        .unwrap();
        let create = |port| {
            let key = Key { client, port, service: ServiceId(1) };
            let new = NewSession {
                protocol: 17,
                vip,
                vip_port: 7,
                origin: pool,
                origin_port: 7,
                tag: Tag(0),
                filtering: Filtering::default(),
            };
            nat.create(Seconds(0), nat.hash(&key), key, new).unwrap()
        };
        (0..count).map(create).collect()
    }

    fn datagram(identification: u32) -> Datagram {
        let [src, dst] = [[198, 51, 100, 7], [203, 0, 113, 1]].map(Addr::from_v4);
        Datagram { src, dst, identification, protocol: 17 }
    }

    #[test]
    fn later_fragments_find_their_session_for_a_while() {
        let sessions = sessions(2);
        let mut table = Fragments::new(9, 0, 1);
        assert_eq!(table.find(100, &datagram(1)), None);
        let first = table.insert(100, datagram(1), sessions[0]);
        assert_eq!(table.find(129, &datagram(1)), Some((sessions[0], first)));
        assert_eq!(table.find(130, &datagram(1)), None);
        assert_eq!(table.find(101, &Datagram { protocol: 6, ..datagram(1) }), None);
        assert_eq!(table.insert(110, datagram(1), sessions[0]), first);
        assert_eq!(table.find(139, &datagram(1)), Some((sessions[0], first)));
        // The same identification in use again, for another session.
        let second = table.insert(111, datagram(1), sessions[1]);
        assert_ne!(first, second);
        assert_eq!(table.find(112, &datagram(1)), Some((sessions[1], second)));
    }

    #[test]
    fn a_flood_of_first_fragments_takes_no_more_memory_and_leaves_the_newest() {
        let sessions = sessions(1);
        let mut table = Fragments::new(9, 0, 1);
        for number in 0..100_000 {
            table.insert(number / 10_000, datagram(number), sessions[0]);
            assert!(table.find(number / 10_000, &datagram(number)).is_some());
        }
        assert_eq!(table.entries.len(), PLACES);
    }

    #[test]
    fn identifications_are_each_workers_own_and_come_again_only_after_all_others() {
        let mut seen = std::collections::HashSet::new();
        for worker in 0..3 {
            let mut table = Fragments::new(0xffff << 48, worker, 3);
            for _ in 0..21_845 {
                assert!(seen.insert(table.identify()));
            }
        }
    }
}
