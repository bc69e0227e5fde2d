//! `proa replay`: a capture through the node's own pipelines, without device, root or clock.
//!
//! Time is the capture's. Sequence numbers and seeds follow from it, so the same capture gives the same result.

pub mod capture;
pub mod neighborhood;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use conf::Config;
use packet::{Addr, Mac, Reason};
use pipelines::PortIndex;

use crate::balance::Balance;
use crate::sandbox::{self, Sandbox};
use crate::setup::Start;
use capture::{Frame, Writer};
use neighborhood::Neighborhood;

/// Time before the first frame, in which next hops are resolved, ns.
const WARM_UP_NS: u64 = 10_000_000_000;
/// How far the clock moves at once while it warms up, ns.
const STEP_NS: u64 = 10_000_000;

/// What the operator chooses.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The port for all frames; otherwise by the interface's name, or its number.
    pub port: Option<String>,
    /// Ethernet addresses of ports, by name; others have that of the first frame they get.
    pub macs: Vec<(String, Mac)>,
    /// Ethernet addresses of neighbours; others have one made of their IP address.
    pub neighbors: Vec<(Addr, Mac)>,
}

/// Why a capture can not be replayed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A capture can not be read or written.
    #[error(transparent)]
    Capture(#[from] capture::Error),
    /// The output can not be written to.
    #[error("the output can not be written: {0}")]
    Output(String),
    /// The node can not be made.
    #[error(transparent)]
    Node(#[from] sandbox::Error),
    /// There is no such port.
    #[error("no port of the configuration is called {0}")]
    NoPort(String),
    /// A frame's interface is no port.
    #[error("interface {0} of the capture is no port of the configuration: name a port with --port")]
    NoInterface(String),
    /// The packets do not add up.
    #[error("the packets do not balance: {0}")]
    Balance(Balance),
}

/// Replays `input` into `output`; returns the counters for people.
///
/// # Errors
/// [`Error`].
pub fn replay(mut config: Config, input: &Path, output: &Path, options: &Options) -> Result<String, Error> {
    // A capture's nodes answer nobody, and what the node would ask them is not what it did to the capture.
    config.topology.liveness = None;
    config.topology.quality = None;
    let names: Vec<String> = config.local.ports.iter().map(|port| port.name.clone()).collect();
    let seen = look(&names, input, options)?;
    let macs = macs(&names, options, &seen.macs)?;
    let first = seen.first.unwrap_or_default();
    let unix_offset_ns = (first.as_nanos() as u64).wrapping_sub(WARM_UP_NS);
    let start = Start { seed: 1, unix_ms: first.as_millis() as u64, unix_offset_ns };
    let mut node = Sandbox::new(0, config, &macs, start)?;
    let neighborhood = Neighborhood::new(options.neighbors.iter().copied());
    let mut writer = Writer::create(output, &names)?;

    for now_ns in (0..WARM_UP_NS).step_by(STEP_NS as usize) {
        settle(&mut node, now_ns, &neighborhood, |_, _| Ok(()))?;
    }
    let mut now_ns = WARM_UP_NS;
    capture::read(input, |frame| {
        let port = place(&names, options, &frame)?;
        let since = frame.time.saturating_sub(first);
        // A capture may have frames out of order; the clock never goes back.
        now_ns = now_ns.max(WARM_UP_NS.saturating_add(since.as_nanos() as u64));
        node.offer(port, &frame.data);
        let time = first + Duration::from_nanos(now_ns - WARM_UP_NS);
        settle(&mut node, now_ns, &neighborhood, |port, sent| {
            writer.write(time, port.0, sent).map_err(|error| Error::Output(error.to_string()))
        })
    })?;
    writer.finish().map_err(|error| Error::Output(error.to_string()))?;
    let mut text = summary(&node, seen.frames);
    let balance = node.stop(now_ns);
    let _ = writeln!(text, "{balance}");
    if balance.holds() { Ok(text) } else { Err(Error::Balance(balance)) }
}

/// What must be known of a capture before it is replayed.
#[derive(Default)]
struct Seen {
    frames: u64,
    first: Option<Duration>,
    /// The first station's address that frames to each port have.
    macs: BTreeMap<PortIndex, Mac>,
}

/// Reads a capture without keeping it: it may be larger than memory.
fn look(names: &[String], input: &Path, options: &Options) -> Result<Seen, Error> {
    let mut seen = Seen::default();
    capture::read(input, |frame| {
        let port = place(names, options, &frame)?;
        seen.frames += 1;
        seen.first.get_or_insert(frame.time);
        let destination = packet::ethernet::destination(&frame.data).filter(|mac| !mac.is_group());
        if let Some(mac) = destination {
            seen.macs.entry(port).or_insert(mac);
        }
        Ok::<_, Error>(())
    })?;
    Ok(seen)
}

/// Lets the node work, with neighbours that answer; `take` gets what it sends.
fn settle(
    node: &mut Sandbox,
    now_ns: u64,
    neighborhood: &Neighborhood,
    mut take: impl FnMut(PortIndex, &[u8]) -> Result<(), Error>,
) -> Result<(), Error> {
    loop {
        node.settle(now_ns);
        let sent = node.take_sent();
        if sent.is_empty() {
            return Ok(());
        }
        for (port, frame) in sent {
            if let Some(answer) = neighborhood.answer(&frame) {
                node.offer(port, &answer);
            }
            take(port, &frame)?;
        }
    }
}

/// The port that a frame came in by.
fn place(names: &[String], options: &Options, frame: &Frame) -> Result<PortIndex, Error> {
    let by_name = |wanted: &String| names.iter().position(|name| name == wanted);
    if let Some(port) = &options.port {
        return by_name(port).map(index).ok_or_else(|| Error::NoPort(port.clone()));
    }
    let named = frame.name.as_ref().and_then(by_name);
    let numbered = Some(frame.interface).filter(|number| *number < names.len());
    let unknown = || Error::NoInterface(frame.name.clone().unwrap_or_else(|| frame.interface.to_string()));
    named.or(numbered).map(index).ok_or_else(unknown)
}

fn index(port: usize) -> PortIndex {
    PortIndex(port as u8)
}

/// The ports' Ethernet addresses: as the operator says, or as the capture's frames have them.
fn macs(names: &[String], options: &Options, seen: &BTreeMap<PortIndex, Mac>) -> Result<Vec<Mac>, Error> {
    if let Some((unknown, _)) = options.macs.iter().find(|(name, _)| !names.contains(name)) {
        return Err(Error::NoPort(unknown.clone()));
    }
    let given = |name: &String| options.macs.iter().find(|(given, _)| given == name).map(|(_, mac)| *mac);
    let made = |port: usize| Mac([0x02, 0, 0, 0, 0, port as u8 + 1]);
    let ports = names.iter().enumerate();
    Ok(ports
        .map(|(port, name)| given(name).or(seen.get(&index(port)).copied()).unwrap_or_else(|| made(port)))
        .collect())
}

fn summary(node: &Sandbox, frames: u64) -> String {
    let mut text = format!("{frames} frames replayed\n");
    for path in node.core.paths() {
        let _ = writeln!(
            text,
            "path {}: {} sent, {} forwarded, {} passed, {} discarded, {} rogue, {} out of order",
            path.path, path.sent, path.forwarded, path.passed, path.discarded, path.rogue, path.out_of_order
        );
    }
    for reason in Reason::ALL {
        let dropped = node.core.dropped(*reason);
        if dropped > 0 {
            let _ = writeln!(text, "{dropped} dropped, {}: {}", reason.name(), reason.description());
        }
    }
    text
}
