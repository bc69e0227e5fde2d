//! Gateways that stand in for each other, on the control thread: what workers are told of leases, and what follows from a block's
//! coming and going for tables and announcements.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nat::BLOCKS;
use overlay::lease::{Event, Phase};
use overlay::topology::NodeId;
use packet::BufPool;
use pipelines::leases::Lease;
use pipelines::tables::Block;

use crate::core::Core;
use crate::exchange::Order;
use crate::setup;
use crate::worker::OwnCounters;

/// How often it is tried again to write notices, ns.
const NOTICE_NS: u64 = 1_000_000_000;
/// A block leaves without more ado when so long no session was told of, ns.
const STUCK_NS: u64 = 1_000_000_000;
/// How long workers that have stopped may take to tell the other gateway of the last sessions, ns.
const END_NS: u64 = 250_000_000;
/// How long packets are passed on to the gateway that has taken a block, ns.
const PASS_NS: u64 = 10_000_000_000;
/// How often workers are asked whether they have done what they were told, ns.
const ASK_NS: u64 = 1_000_000;

/// A block on its way to the other gateway.
#[derive(Clone, Copy)]
enum Leaving {
    /// It is told of the sessions: of so many at this time.
    Telling { told: u64, at_ns: u64 },
    /// Workers stop with this generation of orders; they were told so at this time.
    Stopping { generation: u64, at_ns: u64 },
    /// The other one has it, or is to take it; what comes late is passed on until this time.
    Passing { until_ns: u64 },
}

/// What workers have been told.
#[derive(Default)]
pub struct Leases {
    /// By block as workers count them: this gateway's own, and its peer's.
    told: [Lease; BLOCKS],
    wanted: [Lease; BLOCKS],
    /// Grows with each order.
    generation: u64,
    /// How many workers, from the first on, have the newest order.
    sent: usize,
    /// Blocks on their way to the other gateway.
    leaving: [Option<Leaving>; BLOCKS],
    /// Whether workers are still to take a block.
    pending: bool,
    /// Gateways whose pools were announced by notices, and when the next try is due, ns.
    noticed: Vec<NodeId>,
    notice_ns: u64,
    /// Whether the node stops: then nothing is announced any more.
    closed: bool,
    /// Times that notices could not be written.
    pub(crate) notices_failed: u64,
}

impl<P: BufPool> Core<P> {
    /// Does what is due for blocks of addresses, before anything is answered in their name.
    pub(crate) fn pump_takeover(&mut self, now_ns: u64) {
        if self.takeovers.parties().is_empty() {
            return;
        }
        self.takeovers.tick(now_ns, &self.tables);
        self.take_events(now_ns);
        self.follow_leaving(now_ns);
        self.take_events(now_ns);
        self.tell_workers(now_ns);
        // What followed is said at once.
        self.takeovers.tick(now_ns, &self.tables);
        let blocks = self.blocks();
        if blocks != self.tables.blocks {
            self.take_blocks_over(now_ns, &blocks);
        }
        let node = self.config.node;
        let held = blocks.iter().filter(|block| block.owner == node && block.revision != 0);
        let held: Vec<NodeId> = held.map(|block| block.home).collect();
        self.give_notice(now_ns, &held);
    }

    /// Writes which pools this gateway has taken and given up, for routing daemons, where the node's file names a place.
    fn give_notice(&mut self, now_ns: u64, held: &[NodeId]) {
        let Some(path) = self.config.local.takeover_notices.clone() else { return };
        let held = if self.leases.closed { &[] } else { held };
        if self.leases.noticed == held || now_ns < self.leases.notice_ns {
            return;
        }
        let pool = |home: &NodeId| {
            let node = self.config.topology.node(*home);
            node.map(|node| node.nat_pool.as_slice()).unwrap_or_default().iter().flat_map(prefixes)
        };
        let gone = self.leases.noticed.iter().filter(|home| !held.contains(home)).flat_map(pool);
        let new = held.iter().filter(|home| !self.leases.noticed.contains(home)).flat_map(pool);
        let gone = gone.map(|prefix| format!("withdraw route {prefix} next-hop self\n"));
        let lines: String =
            gone.chain(new.map(|prefix| format!("announce route {prefix} next-hop self\n"))).collect();
        match write_notice(&path, &lines) {
            Ok(()) => self.leases.noticed = held.to_vec(),
            Err(error) => {
                self.leases.notices_failed += 1;
                self.leases.notice_ns = now_ns + NOTICE_NS;
                tracing::warn!("notices of NAT pools can not be written to {} ({error})", path.display());
            }
        }
    }

    /// Whether this gateway holds a block, or is letting go of one.
    pub(crate) fn holds_blocks(&self) -> bool {
        let parties = self.takeovers.parties().iter();
        parties
            .flat_map(|party| [party.phase(0), party.phase(1)])
            .any(|phase| phase.holds() || phase == Phase::Stopping)
    }

    /// Whether the other gateway is about to get a block.
    pub(crate) fn is_handing_over(&self) -> bool {
        let is_on_its_way =
            |leaving: &Leaving| matches!(leaving, Leaving::Telling { .. } | Leaving::Stopping { .. });
        self.leases.leaving.iter().flatten().any(is_on_its_way)
    }

    /// Packets that were passed on to the gateway that has taken over.
    pub(crate) fn passed_on(&self) -> u64 {
        self.sum_roles(|roles| roles.passed_on.get())
    }

    /// Takes notices back, as the node stops.
    pub(crate) fn withdraw_blocks(&mut self, now_ns: u64) {
        self.leases.notice_ns = 0;
        self.leases.closed = true;
        self.give_notice(now_ns, &[]);
    }

    /// When something is to be done although nothing comes in, ns.
    pub(crate) fn takeover_timeout(&self) -> Option<u64> {
        let asks = |leaving: &Option<Leaving>| match leaving {
            None => None,
            Some(Leaving::Passing { until_ns }) => Some(*until_ns),
            Some(_) => Some(self.now_ns + ASK_NS),
        };
        let asks = self.leases.leaving.iter().filter_map(asks).min();
        let asks = asks.into_iter().chain(self.leases.pending.then_some(self.now_ns + ASK_NS)).min();
        [self.takeovers.poll_timeout(), asks].into_iter().flatten().min()
    }

    fn take_events(&mut self, now_ns: u64) {
        let Some(party) = self.takeovers.own() else { return };
        let own = party.own().unwrap_or(0);
        while let Some(event) = party.poll_event() {
            let leases = &mut self.leases;
            match event {
                Event::Took { block, revision, kept, after } => {
                    let home = party.pair().gateways[block];
                    let alone = if kept { ", nobody else had it meanwhile" } else { "" };
                    tracing::warn!("the NAT pool of node {} is taken, revision {revision}{alone}", home.0);
                    let until_ns = party.until_ns(block);
                    leases.wanted[block ^ own] =
                        Lease { revision, until_ns, kept, after, ..Lease::default() };
                    leases.leaving[block ^ own] = None;
                }
                Event::Lapsed { block } => {
                    let home = party.pair().gateways[block];
                    tracing::warn!("the lease on the NAT pool of node {} has run out", home.0);
                    leases.wanted[block ^ own].until_ns = 0;
                    leases.leaving[block ^ own] = None;
                }
                Event::HandOver { block } => {
                    let home = party.pair().gateways[block];
                    tracing::info!("the NAT pool of node {} is to be the other gateway's", home.0);
                    leases.leaving[block ^ own] = Some(Leaving::Telling { told: 0, at_ns: now_ns });
                }
                Event::Keep { block } => leases.leaving[block ^ own] = None,
                Event::Stop { block } => {
                    leases.wanted[block ^ own].until_ns = 0;
                    let generation = leases.generation + 1;
                    leases.leaving[block ^ own] = Some(Leaving::Stopping { generation, at_ns: now_ns });
                }
                Event::Superseded { block } => {
                    let home = party.pair().gateways[block];
                    tracing::warn!("another gateway has the NAT pool of node {} now", home.0);
                    leases.wanted[block ^ own] = Lease::default();
                }
            }
        }
        for block in 0..BLOCKS {
            if party.phase(block).holds() {
                self.leases.wanted[block ^ own].until_ns = party.until_ns(block);
            }
        }
    }

    /// Ends what is due of a block's way to the other gateway.
    fn follow_leaving(&mut self, now_ns: u64) {
        let told = self.sum_roles(|roles| roles.sessions_told.get());
        let Core { takeovers, leases, counters, .. } = self;
        let Some(party) = takeovers.own() else { return };
        let own = party.own().unwrap_or(0);
        for block in 0..BLOCKS {
            let revision = leases.wanted[block].revision;
            let all = |of: fn(&OwnCounters) -> &[packet::Counter; BLOCKS]| {
                counters
                    .iter()
                    .all(|worker| of(&worker.own).get(block).is_some_and(|one| one.get() == revision))
            };
            let next = match leases.leaving[block] {
                Some(Leaving::Telling { told: before, at_ns }) => {
                    let is_stuck = told == before && now_ns.saturating_sub(at_ns) >= STUCK_NS;
                    if is_stuck {
                        tracing::warn!(
                            "the other gateway does not take sessions any more; it gets the pool without"
                        );
                    }
                    if is_stuck || all(|own| &own.copied) {
                        party.handed_over(block ^ own);
                    }
                    match told == before {
                        true => continue,
                        false => Some(Leaving::Telling { told, at_ns: now_ns }),
                    }
                }
                Some(Leaving::Stopping { generation, at_ns }) => {
                    let heard = counters.iter().map(|worker| worker.own.leases_generation.get()).min();
                    let (is_late, is_whole) = (now_ns.saturating_sub(at_ns) >= END_NS, all(|own| &own.whole));
                    if heard.unwrap_or(0) < generation || !(is_late || is_whole) {
                        continue;
                    }
                    let what = if is_whole { "knows all sessions" } else { "does not know all sessions" };
                    tracing::info!("{told} sessions told so far; the other gateway {what}");
                    party.stopped(now_ns, block ^ own);
                    Some(Leaving::Passing { until_ns: now_ns + PASS_NS })
                }
                Some(Leaving::Passing { until_ns }) if now_ns >= until_ns => None,
                _ => continue,
            };
            leases.leaving[block] = next;
        }
    }

    /// Passes on to the workers what they must know, and hears what they have done.
    fn tell_workers(&mut self, now_ns: u64) {
        let Core { takeovers, leases, exchange, counters, .. } = self;
        let Some(party) = takeovers.own() else { return };
        let own = party.own().unwrap_or(0);
        for (wanted, leaving) in leases.wanted.iter_mut().zip(&leases.leaving) {
            wanted.leaving = leaving.is_some();
        }
        let is_stopping = |leaving: &Option<Leaving>| matches!(leaving, Some(Leaving::Stopping { generation, .. }) if *generation > leases.generation);
        if leases.wanted != leases.told || leases.leaving.iter().any(is_stopping) {
            leases.told = leases.wanted;
            leases.generation += 1;
            leases.sent = 0;
        }
        while leases.sent < exchange.workers()
            && exchange.order(leases.sent, Order::Leases(leases.told, leases.generation)).is_ok()
        {
            leases.sent += 1;
        }
        leases.pending = leases.sent < exchange.workers();
        for block in 0..BLOCKS {
            if party.phase(block) != Phase::Holding {
                continue;
            }
            let revision = party.revision(block);
            let in_force = |worker: &crate::core::Counters| {
                worker.own.tenures.get(block ^ own).is_some_and(|tenure| tenure.get() == revision)
            };
            match counters.iter().all(in_force) {
                true => party.ready(now_ns, block, revision),
                false => leases.pending = true,
            }
        }
    }

    /// Who holds which block, as the tables are to have it: what this gateway has said to hold, it may hold no longer.
    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks = self.takeovers.blocks();
        for (party, own) in self.takeovers.parties().iter().filter_map(|party| Some((party, party.own()?))) {
            for (number, home) in party.pair().gateways.into_iter().enumerate() {
                let lost = !party.phase(number).holds();
                let leaving = self.leases.leaving[number ^ own];
                for block in blocks.iter_mut().filter(|block| block.home == home) {
                    if lost && block.owner == self.config.node {
                        block.revision = 0;
                    }
                    block.passes =
                        matches!(leaving, Some(Leaving::Stopping { .. } | Leaving::Passing { .. }));
                }
            }
        }
        blocks
    }

    /// Forwards by another distribution of blocks: what this gateway has taken is announced.
    fn take_blocks_over(&mut self, now_ns: u64, blocks: &[Block]) {
        let is_known = |block: &&Block| {
            let known = self.tables.block(block.home);
            known.is_some_and(|known| (known.owner, known.revision) == (block.owner, block.revision))
        };
        for block in blocks.iter().filter(|block| block.revision != 0 && !is_known(block)) {
            let (home, owner) = (self.node_name(block.home), self.node_name(block.owner));
            tracing::warn!("the NAT pool of {home} is with {owner}, revision {}", block.revision);
        }
        match self.compile(&self.config.clone(), false) {
            Ok(tables) => {
                self.publish(tables);
                let answered = setup::answered(&self.tables);
                let next_hops = self.tables.next_hops.clone();
                self.slow.reconfigure(now_ns, &answered, &next_hops);
            }
            // The same topology compiled before; who holds a block can not make it fail.
            Err(error) => tracing::error!("no new snapshot: {error}"),
        }
    }
}

/// Appends to a file or a pipe, and never waits for who reads it.
fn write_notice(path: &Path, lines: &str) -> std::io::Result<()> {
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let mut file = OpenOptions::new().create(true).append(true).custom_flags(nonblocking).open(path)?;
    file.write_all(lines.as_bytes())
}

/// The fewest prefixes that make up a range.
fn prefixes(range: &RangeInclusive<IpAddr>) -> Vec<String> {
    let (first, last, width) = match (*range.start(), *range.end()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            (u128::from(first.to_bits()), u128::from(last.to_bits()), 32)
        }
        (IpAddr::V6(first), IpAddr::V6(last)) => (first.to_bits(), last.to_bits(), 128),
        _ => return Vec::new(),
    };
    let mut found = Vec::new();
    let mut at = first;
    while at <= last {
        let aligned = at.trailing_zeros().min(width);
        let left = (last - at).saturating_add(1);
        let bits = aligned.min(left.ilog2());
        let address: IpAddr = match width {
            32 => Ipv4Addr::from_bits(at as u32).into(),
            _ => Ipv6Addr::from_bits(at).into(),
        };
        found.push(format!("{address}/{}", width - bits));
        let Some(next) = 1u128.checked_shl(bits).and_then(|size| at.checked_add(size)) else { break };
        at = next;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_the_fewest_prefixes() {
        let range = |first: &str, last: &str| prefixes(&(first.parse().unwrap()..=last.parse().unwrap()));
        assert_eq!(range("10.9.0.100", "10.9.0.103"), ["10.9.0.100/30"]);
        assert_eq!(
            range("10.9.0.1", "10.9.0.6"),
            ["10.9.0.1/32", "10.9.0.2/31", "10.9.0.4/31", "10.9.0.6/32"]
        );
        assert_eq!(range("255.255.255.254", "255.255.255.255"), ["255.255.255.254/31"]);
        assert_eq!(range("0.0.0.0", "255.255.255.255"), ["0.0.0.0/0"]);
        assert_eq!(range("2001:db8:9::100", "2001:db8:9::101"), ["2001:db8:9::100/127"]);
        assert_eq!(
            range("ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff").len(),
            1
        );
    }

    #[test]
    fn a_pipe_that_nobody_reads_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("notices");
        write_notice(&file, "announce\n").unwrap();
        write_notice(&file, "withdraw\n").unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "announce\nwithdraw\n");
        let pipe = directory.path().join("pipe");
        let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success() && write_notice(&pipe, "announce\n").is_err());
    }
}
