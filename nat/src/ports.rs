//! Which ports of this worker's share are free, and which may be given out.
//!
//! Free ports stand in rings, one for each address, protocol and *class*: well known or not, even or odd. A ring
//! starts shuffled. Ports are taken near its head and come back at its tail with the time, so that those that may be
//! used again stand before those that still rest (RFC 6888 REQ-8). Each is picked among the first few at random, so
//! that the order of the ports' return does not tell the order of their next use (RFC 6056 section 3.5, RFC 7857
//! section 9).
//!
//! ```text
//!   head                                        tail
//!    | may be given out            | resting     |
//!    +---+---+---+---+---+---+-----+----+----+---+
//!    | one of the first 32 is next |    |    |   |
//! ```

use crate::session::Seconds;
use crate::share::{PORT_MIN, Share};
use chacha20::ChaCha8Rng;
use chacha20::rand_core::{Rng, SeedableRng};
use packet::Reason;
use packet::rss::{Flow, Rss};

/// How many ports at a ring's head the next is picked from; they share a few cache lines.
const CHOICE: u32 = 32;
/// Ports tried for one whose replies come in at a queue.
const TRIES: usize = 64;

/// Classes of ports: low even, low odd, high even, high odd.
const CLASSES: usize = 4;
const HIGH: usize = 2;

/// Seconds of a unit of time at which ports came back; in 16 bits they tell three days apart.
const UNIT_S: u32 = 4;

/// A free port and when it came back.
#[derive(Clone, Copy)]
struct Free {
    port: u16,
    since: u16,
}

/// A ring of free ports in its part of [`Ports::rings`].
#[derive(Clone, Copy)]
struct Ring {
    head: u32,
    free: u32,
    /// How many from the head on have rested.
    rested: u32,
}

/// The queue on which replies are to come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue<'a> {
    pub rss: &'a Rss,
    /// Replies, but for their destination's port.
    pub flow: Flow,
    pub number: u16,
}

impl Queue<'_> {
    /// Whether the NIC puts those to a port there.
    fn takes(&self, port: u16) -> bool {
        self.rss.queue_of(self.flow.hash(port)) == self.number
    }
}

/// What a port is wanted for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish<'a> {
    /// The port that the client has; `None` for identifiers, which have no classes.
    pub like: Option<u16>,
    /// Free ports that must be left over.
    pub leave: usize,
    /// Where its replies are to come in; another port will do if there is none.
    pub queue: Option<Queue<'a>>,
}

/// The free ports of all spaces.
pub(crate) struct Ports {
    share: Share,
    rings: Box<[Free]>,
    spaces: Box<[[Ring; CLASSES]]>,
    random: ChaCha8Rng,
    quarantine: u16,
    parity: bool,
}

impl Ports {
    pub(crate) fn new(share: Share, spaces: usize, seed: u64, quarantine_s: u32, parity: bool) -> Ports {
        let mut ports = Ports {
            share,
            rings: vec![Free { port: 0, since: 0 }; spaces * share.len as usize].into_boxed_slice(),
            spaces: vec![[Ring { head: 0, free: 0, rested: 0 }; CLASSES]; spaces].into_boxed_slice(),
            random: ChaCha8Rng::seed_from_u64(seed),
            quarantine: units(quarantine_s),
            parity,
        };
        for space in 0..spaces {
            for ordinal in 0..share.len {
                let port = share.port(ordinal);
                if port != 0 {
                    let (ring, places) = ports.ring(space, class_of(port));
                    places[ring.free as usize] = Free { port, since: 0 };
                    ring.free += 1;
                    ring.rested += 1;
                }
            }
            for class in 0..CLASSES {
                let (ring, _) = ports.ring(space, class);
                for place in (1..ring.free).rev() {
                    let other = below(&mut ports.random, place + 1);
                    ports.ring(space, class).1.swap(place as usize, other as usize);
                }
            }
        }
        ports
    }

    /// Takes a free port out of a space: of the wished one's class; else of the other parity; and where a well-known
    /// one is wished but none is left, one of the others. Never the other way round.
    pub(crate) fn take(&mut self, now: Seconds, space: usize, wish: Wish) -> Result<u16, Reason> {
        if self.free(space) <= wish.leave {
            return Err(Reason::NatPortsExhausted);
        }
        let random = below(&mut self.random, 2) as usize;
        let odd = match wish.like {
            Some(port) if self.parity => (port & 1) as usize,
            _ => random,
        };
        let (low, high) = ([odd, odd ^ 1], [HIGH + odd, HIGH + (odd ^ 1)]);
        let classes = match wish.like {
            Some(port) if port >= PORT_MIN => [high, [CLASSES; 2]],
            Some(_) => [low, high],
            None => [high, low],
        };
        for class in classes.into_iter().flatten().filter(|class| *class < CLASSES) {
            if let Some(port) = self.take_of(now, space, class, wish.queue) {
                return Ok(port);
            }
        }
        Err(Reason::NatPortsExhausted)
    }

    fn take_of(&mut self, now: Seconds, space: usize, class: usize, queue: Option<Queue>) -> Option<u16> {
        self.wake(now, space, class);
        let (ring, places) = self.ring(space, class);
        if ring.rested == 0 {
            return None;
        }
        let len = places.len() as u32;
        let Ring { head, rested, .. } = *ring;
        ring.head = wrap(head + 1, len);
        ring.free -= 1;
        ring.rested -= 1;
        let mut choice = below(&mut self.random, rested.min(CHOICE));
        if let Some(queue) = queue {
            // Among all that have rested: near the head the fitting ones of an origin that many talk to would be used up soon.
            for _ in 0..TRIES {
                choice = below(&mut self.random, rested);
                let (_, places) = self.ring(space, class);
                if queue.takes(places[wrap(head + choice, len) as usize].port) {
                    break;
                }
            }
        }
        let (_, places) = self.ring(space, class);
        places.swap(head as usize, wrap(head + choice, len) as usize);
        Some(places[head as usize].port)
    }

    /// Takes one port out of a space, also one that rests; `false` where it is not free, or not of this worker's share.
    /// All free ports of its class may have to be looked at, which are 16 thousand at most.
    pub(crate) fn take_this(&mut self, space: usize, port: u16) -> bool {
        if port == 0 || self.share.ordinal(port).is_none() {
            return false;
        }
        let (ring, places) = self.ring(space, class_of(port));
        let Ring { head, free, rested } = *ring;
        let len = places.len() as u32;
        let found = (0..free).find(|step| places[wrap(head + step, len) as usize].port == port);
        let Some(step) = found else { return false };
        // The head moves on, so what stood there takes the place; among those that rest, the first of them does, and the head
        // takes that one's.
        ring.head = wrap(head + 1, len);
        ring.free -= 1;
        let mut hole = step;
        if step >= rested {
            places[wrap(head + step, len) as usize] = places[wrap(head + rested, len) as usize];
            hole = rested;
        } else {
            ring.rested -= 1;
        }
        places[wrap(head + hole, len) as usize] = places[head as usize];
        true
    }

    /// Lets ports that have rested long enough be given out: two for each one taken or given back, or until there is
    /// one to take.
    fn wake(&mut self, now: Seconds, space: usize, class: usize) {
        let (quarantine, now) = (self.quarantine, unit(now));
        let (ring, places) = self.ring(space, class);
        let len = places.len() as u32;
        for _ in 0..2 {
            if ring.rested == ring.free {
                break;
            }
            let next = places[wrap(ring.head + ring.rested, len) as usize];
            if now.wrapping_sub(next.since) < quarantine {
                break;
            }
            ring.rested += 1;
        }
    }

    /// Gives a port back that was taken out of the same space.
    pub(crate) fn give(&mut self, now: Seconds, space: usize, port: u16) {
        let class = class_of(port);
        self.wake(now, space, class);
        let (ring, places) = self.ring(space, class);
        let len = places.len() as u32;
        debug_assert!(ring.free < len, "a port came back that was not taken");
        places[wrap(ring.head + ring.free, len) as usize] = Free { port, since: unit(now) };
        ring.free += 1;
    }

    /// Free ports of a space, resting ones too.
    pub(crate) fn free(&self, space: usize) -> usize {
        self.spaces[space].iter().map(|ring| ring.free as usize).sum()
    }

    /// Ports of each space.
    pub(crate) fn total(&self) -> usize {
        self.share.ports()
    }

    #[inline(always)]
    fn ring(&mut self, space: usize, class: usize) -> (&mut Ring, &mut [Free]) {
        let (len, low) = (self.share.len as usize, self.share.low as usize / 2);
        let high = len / 2 - low;
        let (at, len) = [(0, low), (low, low), (low * 2, high), (low * 2 + high, high)]
            .map(|(at, count)| (space * len + at, count))[class];
        (&mut self.spaces[space][class], &mut self.rings[at..][..len])
    }
}

#[inline(always)]
fn class_of(port: u16) -> usize {
    let high = if port < PORT_MIN { 0 } else { HIGH };
    high + (port & 1) as usize
}

#[inline(always)]
fn unit(now: Seconds) -> u16 {
    (now.0 / UNIT_S) as u16
}

/// Units that are over when so many seconds surely are: the one in which a port came back does not count.
fn units(quarantine_s: u32) -> u16 {
    if quarantine_s == 0 { 0 } else { (quarantine_s.div_ceil(UNIT_S) + 1).min(u16::MAX as u32 / 2) as u16 }
}

#[inline(always)]
fn wrap(place: u32, len: u32) -> u32 {
    if place >= len { place - len } else { place }
}

/// A random number below `bound`, each as likely as the others but for one part in 2^16 at most.
fn below(random: &mut ChaCha8Rng, bound: u32) -> u32 {
    ((random.next_u32() as u64 * bound as u64) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::share::owner;
    use packet::transport::UDP;
    use std::collections::HashSet;

    const NOW: Seconds = Seconds(1000);
    const HIGH_PORT: Wish<'static> = Wish { like: Some(5000), leave: 0, queue: None };

    #[test]
    fn all_ports_come_out_once_and_freed_ports_rest() {
        let mut ports = Ports::new(Share::new(1, 4), 2, 7, 120, true);
        let low = Wish { like: Some(80), leave: 0, queue: None };
        let all: HashSet<_> = (0..ports.total()).map(|_| ports.take(NOW, 1, low).unwrap()).collect();
        assert_eq!(all.len(), ports.total());
        assert!(all.iter().all(|port| owner(UDP, *port, 4) == Some(1)));
        assert_eq!(ports.take(NOW, 1, low), Err(Reason::NatPortsExhausted));
        assert_eq!(ports.free(0), ports.total());
        for port in &all {
            ports.give(NOW, 1, *port);
        }
        assert_eq!(ports.take(Seconds(NOW.0 + 119), 1, low), Err(Reason::NatPortsExhausted));
        let again = Seconds(NOW.0 + 120 + UNIT_S);
        assert!((0..ports.total()).all(|_| ports.take(again, 1, low).is_ok()));
    }

    #[test]
    fn the_order_of_return_is_not_the_order_of_use() {
        let mut ports = Ports::new(Share::new(0, 64), 1, 1, 0, false);
        let high = ports.total() - ports.share.low as usize + 1;
        let mut once: Vec<_> = (0..high).map(|_| ports.take(NOW, 0, HIGH_PORT).unwrap()).collect();
        once.sort_unstable();
        once.iter().for_each(|port| ports.give(NOW, 0, *port));
        let again: Vec<_> = (0..high).map(|_| ports.take(NOW, 0, HIGH_PORT).unwrap()).collect();
        assert!(once.iter().zip(&again).filter(|(before, after)| before == after).count() < 100);
    }

    #[test]
    fn any_free_port_can_be_had_and_the_others_stay_free() {
        let mut ports = Ports::new(Share::new(1, 16), 1, 3, 120, true);
        let mut taken = HashSet::new();
        // Some in use, some at rest.
        for number in 0..ports.total() / 2 {
            let port = ports.take(NOW, 0, HIGH_PORT).unwrap();
            if number % 3 == 0 { ports.give(NOW, 0, port) } else { assert!(taken.insert(port)) }
        }
        let share = ports.share;
        let all: Vec<u16> = (0..share.len).map(|ordinal| share.port(ordinal)).collect();
        for port in all.iter().rev().step_by(2) {
            assert_eq!(ports.take_this(0, *port), taken.insert(*port), "{port}");
            assert!(!ports.take_this(0, *port));
        }
        assert!(!ports.take_this(0, 0) && !ports.take_this(0, share.port(0) ^ 2));
        assert_eq!(ports.free(0), ports.total() - taken.len());
        let later = Seconds(NOW.0 + 1000);
        while let Ok(port) = ports.take(later, 0, Wish { like: Some(80), leave: 0, queue: None }) {
            assert!(taken.insert(port), "{port} came twice");
        }
        assert_eq!(taken.len(), ports.total());
    }

    #[test]
    fn some_are_left_for_those_who_have_few() {
        let mut ports = Ports::new(Share::new(0, 1000), 1, 1, 0, false);
        let leave = ports.total() - 3;
        let wish = Wish { like: Some(5000), leave, queue: None };
        assert_eq!((0..10).filter(|_| ports.take(NOW, 0, wish).is_ok()).count(), 3);
        assert!(ports.take(NOW, 0, HIGH_PORT).is_ok());
    }
}
