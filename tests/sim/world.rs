//! The run: nodes, hosts and segments, and the events between them.

use super::events::Events;
use super::ledger::{Exchange, Ledger};
use super::link::Link;
use super::node::{Node, NodeSetup};
use super::plan::Plan;
use super::random::Random;
use super::segment::{Endpoint, Segment};
use super::station::Station;
use super::{MICROSECOND, MILLISECOND, SECOND};
use overlay::topology::Topology;
use std::sync::Arc;

/// What a scenario does to the world at a time.
pub enum Action {
    /// A node stops at once, with all that it holds.
    Crash(usize),
    /// A node that crashed starts again.
    Restart(usize),
    /// A node takes another topology.
    Reload(usize, Arc<Topology>),
    /// The link between two nodes' underlay ports becomes another, in one direction.
    Wan {
        /// From this node.
        from: usize,
        /// To this node.
        to: usize,
        /// What the link is from now on.
        link: Link,
    },
    /// A host's port receives a frame that no host sent; see [`World::inject`].
    Frame {
        /// The node.
        node: usize,
        /// Its port.
        port: u8,
        /// The frame, without a tag.
        frame: Vec<u8>,
    },
}

pub(super) enum Event {
    Arrive(Endpoint, Vec<u8>),
    Poll { node: usize, worker: usize, life: u32 },
    Control { node: usize, life: u32 },
    Tick { node: usize, life: u32 },
    Request(usize),
    Reply(usize),
    Resolve(usize),
    Do(Action),
}

/// A run.
pub struct World {
    /// What is simulated.
    pub plan: Plan,
    /// Time since the start, ns.
    pub now: u64,
    /// Nodes, in the topology's order.
    pub nodes: Vec<Node>,
    /// Hosts.
    pub stations: Vec<Station>,
    /// Segments; the first is the underlay's.
    pub segments: Vec<Segment>,
    /// What was sent and what arrived.
    pub ledger: Ledger,
    /// Whether packets may be changed on the way, or made up: hosts then take what they can read, and copies cannot
    /// be counted by their headers.
    pub corrupting: bool,
    /// How long an origin thinks about a request at most, ns.
    pub think_ns: u64,
    /// A number that depends on every frame that arrived anywhere and when.
    pub trace: u64,
    pub(super) random: Random,
    pub(super) events: Events<Event>,
    /// Segment and switch port of each node's ports.
    node_ports: Vec<Vec<(usize, usize)>>,
    station_ports: Vec<(usize, usize)>,
}

impl World {
    /// The world of a plan. Links between nodes have latencies of up to `latency_ns_max` and no other fault.
    pub fn new(plan: Plan, seed: u64, latency_ns_max: u64) -> World {
        let mut random = Random::new(seed, 2);
        let mut segments: Vec<Segment> = (0..plan.segments).map(|_| Segment::default()).collect();
        let topology = Arc::new(plan.topology.clone());
        let mut node_ports = Vec::new();
        let mut nodes = Vec::new();
        for (node, planned) in plan.nodes.iter().enumerate() {
            let attach = |(port, (interface, segment)): (usize, &(pipelines::tables::Interface, usize))| {
                let tag = (interface.vlan != 0).then_some(interface.vlan);
                let endpoint = Endpoint::Node { node, port: port as u8 };
                (*segment, segments[*segment].attach(endpoint, tag))
            };
            node_ports.push(planned.ports.iter().enumerate().map(attach).collect::<Vec<_>>());
            let setup = NodeSetup {
                plan: planned.clone(),
                window: plan.window,
                buffers: plan.buffers,
                seed: seed.wrapping_mul(1000) + node as u64,
            };
            nodes.push(Node::new(0, setup, topology.clone()));
        }
        let mut station_ports = Vec::new();
        for (station, planned) in plan.stations.iter().enumerate() {
            let port = segments[planned.segment].attach(Endpoint::Station(station), None);
            station_ports.push((planned.segment, port));
        }
        let stations = plan.stations.iter().cloned().map(Station::new).collect();
        let ledger = Ledger::new(&plan);
        let mut world = World {
            plan,
            now: 0,
            nodes,
            stations,
            segments,
            ledger,
            corrupting: false,
            think_ns: 500 * MICROSECOND,
            trace: 0,
            random: Random::new(seed, 3),
            events: Events::new(),
            node_ports,
            station_ports,
        };
        world.set_links(&mut random, latency_ns_max);
        for node in 0..world.nodes.len() {
            world.events.add(0, Event::Tick { node, life: 1 });
        }
        for station in 0..world.stations.len() {
            world.events.add(500 * MILLISECOND, Event::Resolve(station));
        }
        world
    }

    /// Links between nodes have one latency both ways; those of hosts are short. None takes more than its ports do.
    fn set_links(&mut self, random: &mut Random, latency_ns_max: u64) {
        for (number, segment) in self.segments.iter_mut().enumerate() {
            let mtu = if number == 0 { self.plan.wan_mtu } else { self.plan.lan_mtu };
            for from in 0..segment.ports() {
                for to in 0..segment.ports() {
                    let mut link = Link::perfect(5 * MICROSECOND);
                    link.mtu = mtu as usize;
                    segment.set_link(from, to, link);
                }
            }
        }
        for from in 0..self.nodes.len() {
            for to in 0..from {
                let latency = random.within(10 * MICROSECOND..=latency_ns_max);
                self.wan(from, to).latency_ns = latency;
                self.wan(to, from).latency_ns = latency;
            }
        }
    }

    /// A node of the plan under another topology, to be put in its place before the start.
    pub fn node_with(&self, node: usize, topology: Arc<Topology>) -> Node {
        Node::new(0, self.nodes[node].setup.clone(), topology)
    }

    fn wan_port(&self, node: usize) -> usize {
        self.node_ports[node].iter().find(|(segment, _)| *segment == 0).expect("an underlay port").1
    }

    /// The link between the underlay ports of two nodes.
    pub fn wan(&mut self, from: usize, to: usize) -> &mut Link {
        let (from, to) = (self.wan_port(from), self.wan_port(to));
        self.segments[0].link(from, to)
    }

    /// Has something happen at a time.
    pub fn at(&mut self, at: u64, action: Action) {
        self.events.add(at, Event::Do(action));
    }

    /// Lets time pass.
    pub fn run_until(&mut self, until: u64) {
        while let Some((at, event)) = self.events.next(until) {
            self.now = at;
            self.handle(event);
        }
        self.now = until;
    }

    /// Lets what is under way arrive, then checks that every node is at rest with all its buffers back and all its
    /// counters explained.
    pub fn finish(&mut self) {
        self.run_until(self.now + SECOND);
        for node in &mut self.nodes {
            node.audit(!self.corrupting);
        }
    }

    /// Checks that some exchanges went there and back again.
    pub fn check_complete(&self, required: impl Fn(&Exchange) -> bool) {
        let missing = self.ledger.missing(required);
        if let Some(first) = missing.first() {
            panic!(
                "{} of {} exchanges: {first}\n{}",
                missing.len(),
                self.ledger.exchanges.len(),
                self.report()
            );
        }
    }

    /// What every node dropped, and what the wires lost.
    pub fn report(&self) -> String {
        let mut lines: Vec<String> = Vec::new();
        for node in &self.nodes {
            let slow = node.slow.drops().iter().zip(packet::Reason::ALL).filter(|(count, _)| **count > 0);
            lines.push(format!(
                "{}, {:?}: drops {:?}, missed {}, hand-offs lost {}, slow path {:?} {:?}",
                node.name(),
                node.this().roles,
                node.drops(),
                node.missed,
                node.handoffs_lost,
                node.slow.counters(),
                slow.collect::<Vec<_>>(),
            ));
        }
        lines.extend(
            self.segments.iter().enumerate().map(|(number, one)| format!("{number}: {:?}", one.wire)),
        );
        lines.join("\n")
    }

    fn handle(&mut self, event: Event) {
        if let Event::Arrive(_, frame) = &event {
            let bytes = frame.iter().fold(self.now, |sum, byte| sum.wrapping_mul(31) ^ u64::from(*byte));
            self.trace = self.trace.rotate_left(7).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ bytes;
        }
        match event {
            Event::Arrive(Endpoint::Node { node, port }, frame) => self.arrive(node, port, &frame),
            Event::Arrive(Endpoint::Station(station), frame) => self.arrive_at_host(station, &frame),
            Event::Poll { node, worker, life } if self.lives(node, life) => self.poll(node, worker),
            Event::Control { node, life } if self.lives(node, life) => self.control(node),
            Event::Tick { node, life } if self.lives(node, life) => {
                self.nodes[node].tick_at = u64::MAX;
                self.control(node);
            }
            Event::Poll { .. } | Event::Control { .. } | Event::Tick { .. } => {}
            Event::Request(exchange) => self.request(exchange),
            Event::Reply(exchange) => self.reply(exchange),
            Event::Resolve(station) => {
                for router in self.stations[station].plan.routers.clone() {
                    let frame = self.stations[station].ask(router);
                    self.send_from_host(station, vec![frame]);
                }
            }
            Event::Do(action) => self.act(action),
        }
    }

    fn lives(&self, node: usize, life: u32) -> bool {
        self.nodes[node].up && self.nodes[node].life == life
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Crash(node) => {
                self.nodes[node].drop_everything();
                self.nodes[node].audit(false);
                self.nodes[node].up = false;
                self.ledger.forget_gateway(self.nodes[node].setup.plan.id);
            }
            Action::Restart(node) => {
                self.nodes[node].restart(self.now);
                let life = self.nodes[node].life;
                self.events.add(self.now, Event::Tick { node, life });
            }
            Action::Reload(node, topology) => {
                self.nodes[node].reload(self.now, topology);
                self.control(node);
                self.wake_all(node);
            }
            Action::Wan { from, to, link } => *self.wan(from, to) = link,
            Action::Frame { node, port, frame } => self.inject(node, port, frame),
        }
    }

    /// Puts an untagged frame on a node's port, as if it came from a host there.
    pub fn inject(&mut self, node: usize, port: u8, frame: Vec<u8>) {
        let vlan = self.nodes[node].setup.plan.ports[port as usize].0.vlan;
        let frame = if vlan == 0 { frame } else { super::frame::tagged(frame, vlan) };
        self.arrive(node, port, &frame);
    }

    fn arrive(&mut self, node: usize, port: u8, frame: &[u8]) {
        if let Some(worker) = self.nodes[node].receive(port, frame) {
            self.wake(node, worker);
        }
    }

    /// Has a worker look at its queues soon; now and then it is busy elsewhere for a while.
    fn wake(&mut self, node: usize, worker: usize) {
        let life = self.nodes[node].life;
        let at = &mut self.nodes[node].workers[worker];
        if !at.polling {
            at.polling = true;
            let busy = if self.random.chance(0.02) { 200 * MICROSECOND } else { 0 };
            let delay = MICROSECOND + busy + self.random.below(3 * MICROSECOND);
            self.events.add(self.now + delay, Event::Poll { node, worker, life });
        }
    }

    fn wake_all(&mut self, node: usize) {
        (0..self.nodes[node].workers.len()).for_each(|worker| self.wake(node, worker));
    }

    fn poll(&mut self, node: usize, worker: usize) {
        self.nodes[node].workers[worker].polling = false;
        let turn = self.nodes[node].poll(self.now, worker);
        for (port, frame) in turn.sent {
            let (segment, from) = self.node_ports[node][port as usize];
            self.carry(segment, from, frame);
        }
        turn.woken.into_iter().for_each(|worker| self.wake(node, worker));
        if turn.again {
            self.wake(node, worker);
        }
        // Workers look every millisecond for what has waited for long enough.
        let at = &mut self.nodes[node].workers[worker];
        if turn.waits && self.now >= at.look_at {
            at.look_at = self.now + MILLISECOND;
            let life = self.nodes[node].life;
            self.events.add(self.now + MILLISECOND, Event::Poll { node, worker, life });
        }
        if turn.control {
            let life = self.nodes[node].life;
            let delay = self.random.within(5 * MICROSECOND..=100 * MICROSECOND);
            self.events.add(self.now + delay, Event::Control { node, life });
        }
    }

    fn control(&mut self, node: usize) {
        if self.nodes[node].control(self.now) {
            self.wake_all(node);
        }
        let life = self.nodes[node].life;
        let due =
            self.nodes[node].slow.poll_timeout().map_or(u64::MAX, |due| due.max(self.now + MILLISECOND));
        if due < self.nodes[node].tick_at {
            self.nodes[node].tick_at = due;
            self.events.add(due, Event::Tick { node, life });
        }
    }

    fn carry(&mut self, segment: usize, from: usize, frame: Vec<u8>) {
        for (at, endpoint, frame) in self.segments[segment].carry(self.now, from, frame, &mut self.random) {
            self.events.add(at, Event::Arrive(endpoint, frame));
        }
    }

    pub(super) fn send_from_host(&mut self, station: usize, frames: Vec<Vec<u8>>) {
        let (segment, from) = self.station_ports[station];
        frames.into_iter().for_each(|frame| self.carry(segment, from, frame));
    }
}
