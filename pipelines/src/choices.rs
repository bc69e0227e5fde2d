//! What `auto` has chosen on this node: for each application and node that it sends to, whether packets take the overlay or go straight.
//!
//! The control thread passes what it knows of links with [`Choices::tick`] and compiles tables by [`Choices::straight`].

use std::collections::{BTreeMap, BTreeSet};

use overlay::auto::{Auto, Known, overlay_quality};
use overlay::health::Phase;
use overlay::plan::Quality;
use overlay::routing::LinkView;
use overlay::topology::{Application, IpVersion, NodeId, RegionIndex, Topology};

use crate::live::Link;

/// How often ways are weighed, ns.
const WEIGH_NS: u64 = 100_000_000;
const MS: u64 = 1_000_000;

/// Names a choice: an application, by its place in the topology, and the node that its packets go to.
pub type Key = (u16, NodeId);

/// A sender's choice.
pub struct Choice {
    /// The application's name.
    pub application: String,
    /// Whether packets go to origins.
    pub towards_gateway: bool,
    /// Which way, and why.
    pub auto: Auto,
    regions: [RegionIndex; 2],
    version: IpVersion,
}

/// All choices of a node.
#[derive(Default)]
pub struct Choices {
    choices: BTreeMap<Key, Choice>,
    due_ns: u64,
    version: u64,
    straight: BTreeSet<Key>,
}

impl Choices {
    /// Those that a topology asks of a node.
    pub fn new(topology: &Topology, node: NodeId) -> Choices {
        let mut choices =
            Choices { choices: BTreeMap::new(), due_ns: 0, version: 0, straight: BTreeSet::new() };
        choices.reconfigure(topology, node);
        choices
    }

    /// Takes another topology: what was chosen for an application of the same name stays.
    pub fn reconfigure(&mut self, topology: &Topology, node: NodeId) {
        let mut before: BTreeMap<(String, NodeId), Auto> = core::mem::take(&mut self.choices)
            .into_iter()
            .map(|((_, to), choice)| ((choice.application, to), choice.auto))
            .collect();
        let Some(this) = topology.node(node) else { return };
        for (index, application) in (0..).zip(&topology.applications) {
            for (there, towards_gateway) in topology.opposites(node, application) {
                let Some(settings) = application.routing.auto_towards(towards_gateway) else { continue };
                let known = before.remove(&(application.name.clone(), there.id));
                let mut auto = known.unwrap_or_else(|| Auto::new(settings));
                auto.configure(settings);
                let choice = Choice {
                    application: application.name.clone(),
                    towards_gateway,
                    auto,
                    regions: [this.region, there.region],
                    version: application.underlay,
                };
                self.choices.insert((index, there.id), choice);
            }
        }
        self.due_ns = 0;
        self.collect();
    }

    /// Weighs all ways, if that is due, over this node's own links and over what is known of all others by IP version.
    pub fn tick(&mut self, now_ns: u64, topology: &Topology, links: &[Link], views: &[LinkView; 2]) {
        if now_ns < self.due_ns || self.choices.is_empty() {
            return;
        }
        self.due_ns = now_ns + WEIGH_NS;
        let mut changed = false;
        for ((index, destination), choice) in &mut self.choices {
            let Some(application) = topology.applications.get(usize::from(*index)) else { continue };
            let link = links.iter().find(|link| link.node == *destination && link.version == choice.version);
            let direct = link.map_or(Known::Nothing, direct);
            let [v4, v6] = views;
            let view = if choice.version == IpVersion::V6 { v6 } else { v4 };
            let Application { routing, copies, .. } = application;
            let overlay =
                overlay_quality(topology, view, routing, *copies, choice.regions, choice.towards_gateway);
            changed |= choice.auto.weigh(now_ns / MS, direct, overlay);
        }
        if changed {
            self.collect();
        }
    }

    /// When [`Choices::tick`] has something to do, ns.
    pub fn timeout(&self) -> Option<u64> {
        (!self.choices.is_empty()).then_some(self.due_ns)
    }

    /// The packets that go straight.
    pub fn straight(&self) -> &BTreeSet<Key> {
        &self.straight
    }

    /// Grows whenever [`Choices::straight`] has changed.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Every choice, by application and destination.
    pub fn iter(&self) -> impl Iterator<Item = (Key, &Choice)> {
        self.choices.iter().map(|(key, choice)| (*key, choice))
    }

    fn collect(&mut self) {
        let is_straight = |(_, choice): &(&Key, &Choice)| choice.auto.side() == overlay::auto::Side::Direct;
        let straight = self.choices.iter().filter(is_straight).map(|(key, _)| *key).collect();
        if straight != self.straight {
            self.straight = straight;
            self.version += 1;
        }
    }
}

/// What a link of this node is like.
fn direct(link: &Link) -> Known {
    let reading = link.meter.as_ref().and_then(|meter| meter.reading());
    match (link.health.phase(), reading) {
        (Phase::Down | Phase::Held, _) => Known::Dead,
        (_, None) => Known::Nothing,
        (_, Some(reading)) => {
            let (latency_us, loss_ppm) = (reading.latency_us, reading.loss_out_ppm);
            Known::Measured(Quality { latency_us, loss_ppm })
        }
    }
}
