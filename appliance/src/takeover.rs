//! Gateways that stand in for each other, on the control thread: what workers are told of leases, and what follows from a block's
//! coming and going for tables and announcements.

use nat::BLOCKS;
use overlay::lease::{Event, Phase};
use packet::BufPool;
use pipelines::leases::Lease;
use pipelines::tables::Block;

use crate::core::Core;
use crate::exchange::Order;
use crate::setup;

/// How often workers are asked whether they have done what they were told, ns.
const ASK_NS: u64 = 1_000_000;

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
    /// Blocks that are to be let go of, once all workers have this generation.
    stopping: [Option<u64>; BLOCKS],
    /// Whether workers are still to take a block.
    pending: bool,
}

impl<P: BufPool> Core<P> {
    /// Does what is due for blocks of addresses, before anything is answered in their name.
    pub(crate) fn pump_takeover(&mut self, now_ns: u64) {
        if self.takeovers.parties().is_empty() {
            return;
        }
        self.takeovers.tick(now_ns, &self.tables);
        self.take_events();
        self.tell_workers(now_ns);
        // What followed is said at once.
        self.takeovers.tick(now_ns, &self.tables);
        let blocks = self.blocks();
        if blocks != self.tables.blocks {
            self.take_blocks_over(now_ns, &blocks);
        }
    }

    /// When something is to be done although nothing comes in, ns.
    pub(crate) fn takeover_timeout(&self) -> Option<u64> {
        let waits = self.leases.pending || self.leases.stopping.iter().any(Option::is_some);
        let asks = waits.then_some(self.now_ns + ASK_NS);
        [self.takeovers.poll_timeout(), asks].into_iter().flatten().min()
    }

    fn take_events(&mut self) {
        let Some(party) = self.takeovers.own() else { return };
        let own = party.own().unwrap_or(0);
        while let Some(event) = party.poll_event() {
            let leases = &mut self.leases;
            match event {
                Event::Took { block, revision, kept } => {
                    let home = party.pair().gateways[block];
                    let after = if kept { ", nobody else had it meanwhile" } else { "" };
                    tracing::warn!("the NAT pool of node {} is taken, revision {revision}{after}", home.0);
                    leases.wanted[block ^ own] = Lease { revision, until_ns: party.until_ns(block), kept };
                }
                Event::Lapsed { block } => {
                    let home = party.pair().gateways[block];
                    tracing::warn!("the lease on the NAT pool of node {} has run out", home.0);
                    leases.wanted[block ^ own].until_ns = 0;
                }
                Event::Stop { block } => {
                    leases.wanted[block ^ own].until_ns = 0;
                    leases.stopping[block ^ own] = Some(leases.generation + 1);
                }
                Event::Superseded { block } => {
                    let home = party.pair().gateways[block];
                    tracing::warn!("another gateway has the NAT pool of node {} now", home.0);
                    leases.wanted[block ^ own] = Lease::default();
                }
            }
        }
        for block in 0..BLOCKS {
            if party.phase(block) == Phase::Holding {
                self.leases.wanted[block ^ own].until_ns = party.until_ns(block);
            }
        }
    }

    /// Passes on to the workers what they must know, and hears what they have done.
    fn tell_workers(&mut self, now_ns: u64) {
        let Core { takeovers, leases, exchange, counters, .. } = self;
        let Some(party) = takeovers.own() else { return };
        let own = party.own().unwrap_or(0);
        if leases.wanted != leases.told || leases.stopping.iter().flatten().any(|at| *at > leases.generation)
        {
            leases.told = leases.wanted;
            leases.generation += 1;
            leases.sent = 0;
        }
        while leases.sent < exchange.workers()
            && exchange.order(leases.sent, Order::Leases(leases.told, leases.generation)).is_ok()
        {
            leases.sent += 1;
        }
        let heard = counters.iter().map(|worker| worker.own.leases_generation.get()).min().unwrap_or(0);
        for (block, stopping) in leases.stopping.iter_mut().enumerate() {
            if stopping.take_if(|generation| heard >= *generation).is_some() {
                party.stopped(now_ns, block ^ own);
            }
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
        for party in self.takeovers.parties().iter().filter(|party| party.own().is_some()) {
            for (number, home) in party.pair().gateways.into_iter().enumerate() {
                let lost = party.phase(number) != Phase::Holding;
                let own =
                    blocks.iter_mut().filter(|block| block.home == home && block.owner == self.config.node);
                own.filter(|_| lost).for_each(|block| block.revision = 0);
            }
        }
        blocks
    }

    /// Forwards by another distribution of blocks: what this gateway has taken is announced.
    fn take_blocks_over(&mut self, now_ns: u64, blocks: &[Block]) {
        for block in blocks.iter().filter(|block| !self.tables.blocks.contains(block) && block.revision != 0)
        {
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
