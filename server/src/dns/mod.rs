//! The authoritative DNS of the overlay's hostnames: each client gets the virtual IP of the edge that is best for it.
//!
//! ```text
//!  definition ──┐
//!               ├─► board: who is well ─► view: what is answered now ──┐
//!  reports ─────┘      (twice a second)                               ▼
//!                            resolver ─► listen ─► limit ─► answer ─► resolver
//! ```
//!
//! It runs on a thread of its own, so that a flood of questions keeps no node waiting.

pub mod answer;
pub mod board;
pub mod limit;
mod listen;
pub mod view;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use serde::Serialize;
use tokio::net::{TcpListener, UdpSocket};

use crate::hub::Hub;
use crate::registry::Error;
use answer::{Outcome, Zone};
use board::{Absence, Board, Sight};
use limit::{Limit, Verdict};
use view::View;

/// How often edges are looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The DNS of one zone.
pub struct Dns {
    hub: Arc<Hub>,
    zone: Zone,
    name: String,
    view: RwLock<Arc<View>>,
    limit: Mutex<Limit>,
    outcomes: [AtomicU64; Outcome::ALL.len()],
    held: AtomicU64,
}

/// What the DNS answers now, for operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DnsView {
    /// The zone.
    pub zone: String,
    /// Hostnames that are answered for.
    pub hosts: Vec<HostView>,
    /// Questions since the server's start, by what became of them.
    pub questions: std::collections::BTreeMap<&'static str, u64>,
}

/// A hostname for operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostView {
    /// The hostname.
    pub hostname: String,
    /// The application.
    pub application: String,
    /// Whether the name is in the zone; else nobody is answered.
    pub in_zone: bool,
    /// Its virtual IPs.
    pub addresses: Vec<AddressView>,
}

/// A virtual IP for operators.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AddressView {
    /// The address.
    pub address: std::net::IpAddr,
    /// The edge that holds it.
    pub edge: String,
    /// Whether it is answered.
    pub in_answers: bool,
    /// Whether clients of whom nothing is known are sent there.
    pub preferred: bool,
    /// Why it is not answered, in a few words.
    pub why: Option<&'static str>,
}

impl Dns {
    /// The DNS that a server's file describes; `None` if its names are none.
    pub fn new(hub: Arc<Hub>, settings: &conf::server::Dns) -> Option<Arc<Dns>> {
        Some(Arc::new(Dns {
            hub,
            zone: Zone::new(settings)?,
            name: settings.zone.clone(),
            view: RwLock::default(),
            limit: Mutex::new(Limit::new(settings.responses_per_second)),
            outcomes: Default::default(),
            held: AtomicU64::new(0),
        }))
    }

    /// Takes the addresses, and answers on a thread of its own for ever.
    ///
    /// # Errors
    /// The address that can not be had.
    pub fn start(self: Arc<Self>, settings: &conf::server::Dns) -> Result<(), (SocketAddr, io::Error)> {
        let mut sockets = Vec::new();
        for address in &settings.listen {
            let taken = std::net::UdpSocket::bind(address).and_then(|udp| {
                let tcp = std::net::TcpListener::bind(address)?;
                udp.set_nonblocking(true)?;
                tcp.set_nonblocking(true)?;
                Ok((udp, tcp))
            });
            sockets.push(taken.map_err(|error| (*address, error))?);
        }
        let hold_ms = u64::from(settings.hold_s) * 1000;
        let first = settings.listen.first().copied();
        let thread = std::thread::Builder::new().name("dns".to_owned());
        let running = thread.spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            match runtime {
                Ok(runtime) => runtime.block_on(self.serve(sockets, hold_ms)),
                Err(error) => tracing::error!("no DNS: the system refuses a thread's means ({error})"),
            }
        });
        match (running, first) {
            (Err(error), Some(address)) => Err((address, error)),
            _ => Ok(()),
        }
    }

    async fn serve(
        self: Arc<Self>,
        sockets: Vec<(std::net::UdpSocket, std::net::TcpListener)>,
        hold_ms: u64,
    ) {
        for (udp, tcp) in sockets {
            match (UdpSocket::from_std(udp), TcpListener::from_std(tcp)) {
                (Ok(udp), Ok(tcp)) => {
                    tokio::spawn(listen::udp(self.clone(), udp));
                    tokio::spawn(listen::tcp(self.clone(), tcp));
                }
                (Err(error), _) | (_, Err(error)) => tracing::error!("no DNS: {error}"),
            }
        }
        let mut watcher = Watcher::new(hold_ms);
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            match watcher.look(&self.hub, crate::unix_ms()) {
                Ok(view) => *self.view.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(view),
                Err(error) => tracing::warn!("DNS goes on with what it knew: {error}"),
            }
        }
    }

    /// What is answered now.
    pub fn view(&self) -> Arc<View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn charge(&self, to: SocketAddr) -> Verdict {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner).charge(crate::unix_ms(), to.ip())
    }

    /// The answer to a message, counted.
    fn answer(
        &self,
        message: &[u8],
        from: SocketAddr,
        over: answer::Transport,
        verdict: Verdict,
    ) -> Option<Vec<u8>> {
        if verdict == Verdict::Hold {
            self.held.fetch_add(1, Ordering::Relaxed);
        }
        let answer = answer::answer(&self.zone, &self.view(), message, from.ip(), over, verdict)?;
        if let Some(count) = self.outcomes.get(answer.outcome as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        Some(answer.bytes)
    }

    /// The same for operators.
    pub fn shown(&self) -> DnsView {
        let view = self.view();
        let host = |(hostname, host): (&String, &view::Host)| HostView {
            hostname: hostname.clone(),
            application: host.application.clone(),
            in_zone: self.zone.holds(hostname),
            addresses: host
                .candidates
                .iter()
                .map(|candidate| AddressView {
                    address: candidate.address,
                    edge: candidate.edge.clone(),
                    in_answers: candidate.absence.is_none(),
                    preferred: candidate.absence.is_none() && host.quickest == Some(candidate.region),
                    why: candidate.absence.map(Absence::why),
                })
                .collect(),
        };
        let count = |outcome: Outcome| {
            let count = self.outcomes.get(outcome as usize).map_or(0, |count| count.load(Ordering::Relaxed));
            (outcome.name(), count)
        };
        let held = ("held_back", self.held.load(Ordering::Relaxed));
        DnsView {
            zone: self.name.clone(),
            hosts: view.hosts.iter().map(host).collect(),
            questions: Outcome::ALL.into_iter().map(count).chain([held]).collect(),
        }
    }
}

/// Looks at the definition and at edges.
struct Watcher {
    hold_ms: u64,
    board: Option<Board>,
}

impl Watcher {
    fn new(hold_ms: u64) -> Watcher {
        Watcher { hold_ms, board: None }
    }

    fn look(&mut self, hub: &Hub, now_ms: u64) -> Result<View, Error> {
        let board = self.board.get_or_insert_with(|| Board::new(now_ms, self.hold_ms));
        let Some((revision, overlay)) = hub.overlay()? else { return Ok(View::default()) };
        let changed = board.look(now_ms, sights(hub, &overlay, now_ms));
        for (edge, absence) in changed {
            let what = match absence {
                None => "clients are sent here again".to_owned(),
                Some(absence) => format!("clients are not sent here: {}", absence.why()),
            };
            hub.note(&edge, what);
        }
        Ok(View::new(revision, &overlay, board))
    }
}

/// What is seen of all edges that hold virtual IPs.
fn sights(hub: &Hub, overlay: &conf::Overlay, now_ms: u64) -> Vec<(String, usize, Sight)> {
    let topology = &overlay.topology;
    let gateway_of = |set: &str| {
        let set = topology.path_sets.iter().find(|one| one.name == set)?;
        Some((set.edge, usize::from(set.gateway.0)))
    };
    let edges = topology.nodes.iter().filter(|node| node.roles.edge);
    let sight = |node: &overlay::topology::Node| {
        let draining = overlay.dns.draining.contains(&node.id);
        let Some(fresh) = hub.fresh(&node.name, now_ms) else {
            return Sight { draining, ..Sight::default() };
        };
        let mut sight = Sight {
            alive: fresh.report.ready,
            draining,
            busy_percent: fresh.busy_percent,
            ..Sight::default()
        };
        for path in fresh.report.paths.iter().filter(|path| path.in_force && path.up != Some(false)) {
            if let (Some(round_trip_us), Some((edge, gateway))) = (path.rtt_us, gateway_of(&path.set))
                && edge == node.region
            {
                let least = sight.round_trip_us.entry(gateway).or_insert(u32::MAX);
                *least = (*least).min(round_trip_us);
            }
        }
        sight
    };
    edges.map(|node| (node.name.clone(), usize::from(node.region.0), sight(node))).collect()
}
