//! The run: a thousand nodes, what they tell each other, what packets cross, and the events between them.

use super::control::Control;
use super::layout::{CLIENTS, Overlay, id, mac, node_of};
use super::lines::{Conditions, Lines};
use super::packets::{self, ETHERNET_LEN, INNER_LEN, Mark};
use super::router::{OUTSIDE, Router, UNDERLAY};
use super::score::Score;
use super::watch::Signal;
use crate::sim::{Events, MICROSECOND, MILLISECOND};
use overlay::adaptive::{REPORT_MS, Report};
use overlay::protocol::Protocol;
use overlay::routing::LinkView;
use packet::Reason;
use pipelines::receipts::Told;
use pipelines::tables::Dead;
use std::collections::{BTreeMap, BTreeSet};

/// How long a node has a packet, ns.
const TRANSIT_NS: u64 = 20 * MICROSECOND;
/// How often links are looked at, as in the daemon, ns.
const REPORT_NS: u64 = 20 * MILLISECOND;
/// Views are made anew no more often than this, as in the daemon, ns.
const VIEW_NS: u64 = 50 * MILLISECOND;

enum Event {
    /// A frame reaches a node's underlay port.
    Frame(usize, Vec<u8>),
    /// Clients send.
    Source,
    /// Link state: from, to.
    Message(usize, usize, Vec<u8>),
    /// A node's flood has something to do.
    Flood(usize),
    /// A node looks at its links.
    Report(usize),
    /// An end of a watched link has something to do: node and neighbour.
    Watch(usize, usize),
    /// What one end of a watched link sent: from, to.
    Signal(usize, usize, Signal),
    /// A node looks at what it knows.
    Learn(usize),
    /// A node does what is due.
    Due(usize),
    /// An end of flows looks at what is lost.
    Adapt(usize),
    /// A report by a node on what has come, at the first of these nodes, on its way to the last.
    Told(usize, Vec<usize>, Report),
}

/// What a router was compiled by.
#[derive(Default)]
struct Known {
    version: u64,
    view: LinkView,
    dead: Dead,
    at_ns: u64,
    is_due: bool,
}

/// A run.
pub struct World {
    /// What is simulated.
    pub overlay: Overlay,
    /// What the world is like; [`World::change`] after it was changed.
    pub conditions: Conditions,
    /// Time since the start, ns.
    pub now_ns: u64,
    /// By contender.
    pub scores: Vec<Score>,
    /// Link state; none where tables are as configured.
    pub control: Option<Control>,
    /// By node, those that packets may cross.
    routers: Vec<Option<Router>>,
    known: Vec<Known>,
    /// By node, whether it is going to do what is due.
    due: Vec<bool>,
    lines: Lines,
    events: Events<Event>,
    /// By node: when its flood is looked at next, ns.
    floods_ns: Vec<u64>,
    /// By flow, contender and client.
    templates: Vec<Vec<Vec<u8>>>,
    every_ns: u64,
    until_ns: u64,
    number: u32,
    /// By number of a routing protocol: the only contender that it has.
    only: BTreeMap<u8, usize>,
    /// Nodes whose tables stay as they are, whatever they hear.
    pub deaf: BTreeSet<usize>,
    /// Packets lost on lines, or at nodes without power.
    pub lost: u64,
    /// Packets that came more than once, which none may.
    seen_twice: u64,
    arrived: BTreeMap<(usize, usize), Vec<u64>>,
}

impl World {
    /// A world at rest. With `watched` cables, nodes tell each other what links are like; without, tables are as configured.
    pub fn new(overlay: Overlay, seed: u64, watched: Option<&[usize]>) -> World {
        let count = overlay.topology.nodes.len();
        let conditions = Conditions::fair(&overlay.map);
        let control = watched.map(|cables| Control::new(&overlay, cables));
        let flows = overlay.flows.len();
        let templates = (0..flows).map(|flow| {
            let of = |contender| (0..CLIENTS).map(move |client| (contender, client)).collect::<Vec<_>>();
            let each = (0..overlay.contenders.len()).flat_map(of);
            each.map(|(contender, client)| packets::template(&overlay, flow, contender, client)).collect()
        });
        let templates: Vec<Vec<Vec<u8>>> = templates.collect();
        let mut uses: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
        for (at, contender) in overlay.contenders.iter().enumerate() {
            uses.entry(contender.protocol.id()).or_default().push(at);
        }
        let mut only: BTreeMap<u8, usize> =
            uses.into_iter().filter(|(_, at)| at.len() == 1).map(|(id, at)| (id, at[0])).collect();
        // Adaptive packets may be those of parity for a while.
        if let Some(at) = only.get(&Protocol::Adaptive.id()).copied() {
            only.entry(Protocol::Parity.id()).or_insert(at);
        }
        let mut world = World {
            conditions,
            now_ns: 0,
            scores: vec![Score::new(flows); overlay.contenders.len()],
            control,
            routers: (0..count).map(|_| None).collect(),
            known: (0..count).map(|_| Known::default()).collect(),
            due: vec![false; count],
            lines: Lines::new(seed),
            events: Events::new(),
            floods_ns: vec![u64::MAX; count],
            templates,
            every_ns: MILLISECOND,
            until_ns: 0,
            number: 0,
            only,
            deaf: BTreeSet::new(),
            lost: 0,
            seen_twice: 0,
            arrived: BTreeMap::new(),
            overlay,
        };
        world.start_watching();
        world.start_adapting();
        world
    }

    fn start_watching(&mut self) {
        let Some(control) = &self.control else { return };
        let ends = control.ends();
        let watching: Vec<usize> = control.watching().collect();
        for (node, other) in ends {
            // Not all at once.
            self.events.add((node as u64 * 37 % 100) * MILLISECOND, Event::Watch(node, other));
        }
        for node in watching {
            self.events.add((node as u64 * 7 % 20) * MILLISECOND, Event::Report(node));
        }
    }

    fn start_adapting(&mut self) {
        if self.overlay.contenders.iter().all(|contender| contender.protocol != Protocol::Adaptive) {
            return;
        }
        let ends = self.overlay.flows.iter().flat_map(|flow| [flow.edge, flow.gateway]);
        for (turn, node) in ends.enumerate() {
            // Not all at once.
            self.events.add(turn as u64 * 7 % 20 * MILLISECOND, Event::Adapt(node));
        }
    }

    /// Has nodes that are to forward compile their tables; the others do when a packet first comes.
    pub fn prepare(&mut self, nodes: &[usize]) {
        for node in nodes {
            self.router(*node);
        }
    }

    /// Has clients send, one packet of each flow by each protocol every so often, until a time.
    pub fn send(&mut self, every_ns: u64, until_ns: u64) {
        (self.every_ns, self.until_ns) = (every_ns, until_ns);
        self.events.add(self.now_ns, Event::Source);
    }

    /// Has lines look at [`World::conditions`] again.
    pub fn change(&mut self) {
        self.lines.change();
    }

    /// Has every node's flood look whether it has something to do.
    pub fn wake_all(&mut self) {
        (0..self.floods_ns.len()).for_each(|node| self.plan_flood(node));
    }

    /// Lets time pass.
    pub fn run_until(&mut self, until_ns: u64) {
        while let Some((at_ns, event)) = self.events.next(until_ns) {
            self.now_ns = at_ns;
            self.handle(event);
        }
        self.now_ns = until_ns;
    }

    /// What all routers have dropped, by reason.
    pub fn drops(&self) -> BTreeMap<Reason, u64> {
        let mut all = BTreeMap::new();
        for (reason, count) in self.routers.iter().flatten().flat_map(Router::drops) {
            *all.entry(reason).or_default() += count;
        }
        all
    }

    /// Checks that no packet was delivered twice.
    ///
    /// # Panics
    /// Where one was.
    pub fn check_once(&self) {
        assert_eq!(self.seen_twice, 0, "packets that were delivered twice");
    }

    /// Where packets of a hop-by-hop protocol go next from a node towards another.
    pub fn next_nodes(
        &mut self,
        node: usize,
        destination: usize,
        protocol: overlay::protocol::Protocol,
    ) -> Vec<usize> {
        let tables = self.router(node).tables();
        let onward = tables.next_hops_of.onward(protocol, overlay::topology::IpVersion::V4, id(destination));
        let links = onward.iter().filter_map(|link| tables.links.get(usize::from(*link)));
        links.map(|link| usize::from(link.to.0) - 1).collect()
    }

    fn router(&mut self, node: usize) -> &mut Router {
        if self.routers[node].is_none() {
            self.routers[node] = Some(Router::new(&self.overlay, node));
            if self.control.is_some() {
                self.learn(node);
            }
        }
        self.routers[node].as_mut().expect("made just now")
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Frame(node, frame) => self.forward(node, &[frame], UNDERLAY),
            Event::Source => self.source(),
            Event::Message(from, to, message) => {
                let now_ns = self.now_ns;
                if let Some(control) = &mut self.control {
                    control.handle(from, to, &message, now_ns);
                }
                self.plan_flood(to);
                self.plan_learning(to);
            }
            Event::Flood(node) if self.floods_ns[node] == self.now_ns => self.flood(node),
            Event::Flood(_) => {}
            Event::Report(node) => {
                let now_ns = self.now_ns;
                if let Some(control) = &mut self.control {
                    control.report(node, now_ns);
                }
                self.plan_flood(node);
                self.plan_learning(node);
                self.events.add(now_ns + REPORT_NS, Event::Report(node));
            }
            Event::Watch(node, other) => self.watch(node, other),
            Event::Signal(from, to, signal) => self.signal(from, to, &signal),
            Event::Learn(node) => self.learn(node),
            Event::Due(node) => {
                self.due[node] = false;
                self.forward(node, &[], UNDERLAY);
            }
            Event::Adapt(node) => self.adapt(node),
            Event::Told(from, hops, report) => self.told(from, &hops, report),
        }
    }

    fn source(&mut self) {
        let client = (self.number % u32::from(CLIENTS)) as usize;
        for flow in 0..self.overlay.flows.len() {
            let contenders = self.overlay.contenders.len();
            let frames: Vec<Vec<u8>> = (0..contenders)
                .map(|contender| {
                    let template = &self.templates[flow][contender * usize::from(CLIENTS) + client];
                    let mark = Mark { contender, flow, number: self.number, sent_ns: self.now_ns };
                    packets::marked(template, mark)
                })
                .collect();
            self.scores.iter_mut().for_each(|score| score.sent(INNER_LEN));
            self.forward(self.overlay.flows[flow].edge, &frames, OUTSIDE);
        }
        self.number += 1;
        if self.now_ns + self.every_ns < self.until_ns {
            self.events.add(self.now_ns + self.every_ns, Event::Source);
        }
    }

    /// A node takes frames in, and sends what comes of them.
    fn forward(&mut self, node: usize, frames: &[Vec<u8>], port: pipelines::PortIndex) {
        if self.conditions.dark[self.overlay.region(node)] {
            self.lost += frames.len() as u64;
            return;
        }
        self.router(node);
        let World { overlay, conditions, now_ns, routers, lines, events, scores, only, lost, .. } = self;
        let router = routers[node].as_mut().expect("made just now");
        let mut delivered = Vec::new();
        let mut last = None;
        router.give(overlay, *now_ns, port, frames, |port, frame| {
            if port == OUTSIDE {
                delivered.extend(Mark::read(frame));
                return;
            }
            let to = node_of(frame);
            debug_assert_eq!(&frame[..6], &mac(to).0);
            let route = packets::route_of(frame);
            // A parity packet has no mark: it leaves behind the last packet of its group, or is told by its protocol.
            let marked = Mark::read(frame).map(|mark| mark.contender).filter(|at| *at < scores.len());
            last = marked.or(last);
            let of_protocol = route.and_then(|(protocol, _)| only.get(&protocol).copied());
            let contender = marked.or(last).or(of_protocol);
            if let Some(score) = contender.and_then(|at| scores.get_mut(at)) {
                let is_first = route.is_some_and(|(_, source)| source == id(node));
                score.carried(frame.len() - ETHERNET_LEN, is_first);
            }
            let ends = [(node, overlay.region(node)), (to, overlay.region(to))];
            let arrives = lines.pass(&overlay.map, conditions, *now_ns + TRANSIT_NS, ends);
            match arrives {
                Some(at_ns) => events.add(at_ns, Event::Frame(to, frame.to_vec())),
                None => *lost += 1,
            }
        });
        let is_due = router.has_open_groups() && !core::mem::replace(&mut self.due[node], true);
        if is_due {
            self.events.add(self.now_ns + MILLISECOND, Event::Due(node));
        }
        for mark in delivered {
            self.deliver(mark);
        }
    }

    fn deliver(&mut self, mark: Mark) {
        let arrived = self.arrived.entry((mark.flow, mark.contender)).or_default();
        let (word, bit) = ((mark.number / 64) as usize, mark.number % 64);
        if arrived.len() <= word {
            arrived.resize(word + 1, 0);
        }
        if arrived[word] >> bit & 1 == 1 {
            self.seen_twice += 1;
            return;
        }
        arrived[word] |= 1 << bit;
        let now_ns = self.now_ns + TRANSIT_NS;
        self.scores[mark.contender].delivered(now_ns, mark.sent_ns, mark.flow);
    }

    fn pass(&mut self, from: usize, to: usize) -> Option<u64> {
        let ends = [from, to].map(|node| (node, self.overlay.region(node)));
        self.lines.pass(&self.overlay.map, &self.conditions, self.now_ns, ends)
    }

    /// Both halves of adaptive redundancy, as often as the daemon does them.
    fn adapt(&mut self, node: usize) {
        let now_ns = self.now_ns;
        self.router(node);
        let router = self.routers[node].as_mut().expect("made just now");
        for told in router.adapt(&self.overlay, now_ns) {
            let to = usize::from(told.to.0) - 1;
            for hops in self.ways_back(node, to, &told) {
                self.pass_report(node, node, hops, told.report.clone());
            }
        }
        self.events.add(now_ns + REPORT_MS * MILLISECOND, Event::Adapt(node));
    }

    /// The nodes that a report passes: on every path where it is news, else on one.
    fn ways_back(&self, from: usize, to: usize, told: &Told) -> Vec<Vec<usize>> {
        let Overlay { topology, .. } = &self.overlay;
        let [gateway, edge] = [from, to].map(|node| topology.nodes[node].region);
        // Flows go one way only, so reports go from gateways to edges.
        let Some(set) = topology.path_set(edge, gateway) else { return Vec::new() };
        let count = if told.is_news { set.paths.len() } else { 1 };
        let first = (self.now_ns / (REPORT_MS * MILLISECOND)) as usize;
        let paths = (0..count).map(|at| &set.paths[(first + at) % set.paths.len()]);
        let node = |region: usize| self.overlay.intermediates(region).start;
        paths
            .map(|path| {
                let via = path.via.iter().rev().map(|region| node(usize::from(region.0)));
                via.chain([to]).collect()
            })
            .collect()
    }

    /// A report leaves a node for the next.
    fn pass_report(&mut self, teller: usize, from: usize, hops: Vec<usize>, report: Report) {
        if let Some(at_ns) = hops.first().and_then(|to| self.pass(from, *to)) {
            self.events.add(at_ns + TRANSIT_NS, Event::Told(teller, hops, report));
        }
    }

    /// A report has come to a node.
    fn told(&mut self, teller: usize, hops: &[usize], report: Report) {
        match hops {
            [] => {}
            [last] => {
                let now_ns = self.now_ns;
                self.router(*last).hear(now_ns, teller, &report);
            }
            [here, onward @ ..] => self.pass_report(teller, *here, onward.to_vec(), report),
        }
    }

    fn is_dark(&self, node: usize) -> bool {
        self.conditions.dark[self.overlay.region(node)]
    }

    /// Messages of a node leave together, a millisecond after what they answer.
    fn plan_flood(&mut self, node: usize) {
        let Some(control) = &self.control else { return };
        let next_ns = (self.now_ns / MILLISECOND + 1) * MILLISECOND;
        let due_ns = control.due_ns(node, self.now_ns).max(next_ns);
        if due_ns < self.floods_ns[node] {
            self.floods_ns[node] = due_ns;
            self.events.add(due_ns, Event::Flood(node));
        }
    }

    fn flood(&mut self, node: usize) {
        self.floods_ns[node] = u64::MAX;
        let now_ns = self.now_ns;
        while let Some((to, message)) = self.control.as_mut().and_then(|control| control.poll(node, now_ns)) {
            if !self.is_dark(node)
                && let Some(at_ns) = self.pass(node, to)
            {
                self.events.add(at_ns, Event::Message(node, to, message));
            }
        }
        self.plan_flood(node);
        self.plan_learning(node);
    }

    fn watch(&mut self, node: usize, other: usize) {
        let now_ns = self.now_ns;
        let mut signals = Vec::new();
        let Some(end) = self.control.as_mut().and_then(|control| control.end(node, other)) else { return };
        end.poll(now_ns, |signal| signals.push(signal));
        let next_ns = end.timeout().max(now_ns + MILLISECOND);
        self.events.add(next_ns, Event::Watch(node, other));
        signals.into_iter().for_each(|signal| self.emit(node, other, signal));
    }

    fn emit(&mut self, from: usize, to: usize, signal: Signal) {
        if let Some(at_ns) = self.pass(from, to) {
            self.events.add(at_ns, Event::Signal(from, to, signal));
        }
    }

    fn signal(&mut self, from: usize, to: usize, signal: &Signal) {
        let now_ns = self.now_ns;
        let answer = self.control.as_mut().and_then(|control| control.signal(to, from, signal, now_ns));
        if let Some(answer) = answer {
            self.emit(to, from, answer);
        }
    }

    /// Tables follow what a node knows, no more often than the daemon has them.
    fn plan_learning(&mut self, node: usize) {
        let Some(control) = &self.control else { return };
        let known = &mut self.known[node];
        if self.routers[node].is_some() && !known.is_due && known.version != control.version(node) {
            known.is_due = true;
            self.events.add((known.at_ns + VIEW_NS).max(self.now_ns), Event::Learn(node));
        }
    }

    fn learn(&mut self, node: usize) {
        if self.deaf.contains(&node) {
            return;
        }
        let Some(control) = &self.control else { return };
        let known = &mut self.known[node];
        (known.is_due, known.at_ns, known.version) = (false, self.now_ns, control.version(node));
        let (view, dead) = (control.view(node), control.dead(node));
        if (&view, &dead) == (&known.view, &known.dead) {
            return;
        }
        if let Some(router) = &mut self.routers[node] {
            router.learn(&self.overlay, &view, &dead);
        }
        (known.view, known.dead) = (view, dead);
    }
}
