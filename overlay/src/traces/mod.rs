//! What hop records tell at the end of paths: which copy of a packet won and by how much, where it spent its time.
//!
//! Copies of a packet are found by source, stream and number. Those seen last are kept as they were; of all, sums are
//! kept by path and by hop. Everything here is bounded, and what finds no room is counted.
//!
//! **Clocks.** A node's transit delay is of one clock, and right. The time over a link is the difference of two nodes'
//! clocks, and so are path delays; both are told as the least seen in the last one to two minutes, which contains the
//! clocks' difference, and as what others took above that, which does not. Delays of paths between the same two nodes contain the
//! same difference: they can be compared. How much earlier one copy came than another is of the receiver's clock alone.

mod sums;

pub use sums::{Hop, Path, Spread};

use crate::topology::{NodeId, PathId};
use crate::wire::trace::Trace;
use arrayvec::ArrayVec;
use std::collections::VecDeque;

/// Packets that are kept as they were.
pub const PACKETS_MAX: usize = 1024;
/// Copies of one packet: as many as an application can have.
pub const COPIES_MAX: usize = 8;
/// Applications that are told apart.
pub const APPLICATIONS_MAX: usize = 1024;
/// Paths with their application and source.
pub const PATHS_MAX: usize = 512;
/// Hops of these paths.
pub const HOPS_MAX: usize = 2048;
/// How long a window collects, ns.
const WINDOW_NS: u64 = 60_000_000_000;

/// What became of a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was the first of its packet.
    Won,
    /// It came after another.
    Lost,
    /// It came too late to tell whether another had come.
    Late,
}

/// Which packet a copy is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// Who sent it.
    pub source: NodeId,
    /// Its stream.
    pub stream: u16,
    /// Its number in the stream.
    pub sequence: u64,
}

/// A copy that came to the end of its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Its path.
    pub path: PathId,
    /// What became of it.
    pub outcome: Outcome,
    /// When it came, ns since 1970.
    pub arrived_ns: u64,
    /// The records that it brought.
    pub trace: Trace,
}

/// A packet with its copies in the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    application: usize,
    /// Which it is.
    pub number: Number,
    /// Its copies.
    pub copies: ArrayVec<Copy, COPIES_MAX>,
}

impl Packet {
    /// How much later the second copy came than the first, ns.
    pub fn margin_ns(&self) -> Option<u64> {
        let [first, second, ..] = self.copies.as_slice() else { return None };
        Some(second.arrived_ns.saturating_sub(first.arrived_ns))
    }
}

/// What was not told because there was no room, or nothing to tell it by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Later copies of packets whose first is not, or no longer, known.
    pub unmatched: u64,
    /// First copies of no application that is configured.
    pub unknown: u64,
    /// Copies that no sum has room for.
    pub crowded: u64,
}

/// All that was seen.
#[derive(Debug, Default)]
pub struct Collector {
    applications: Vec<String>,
    packets: VecDeque<Packet>,
    sums: sums::Sums,
    missed: Missed,
    window_ns: u64,
}

impl Collector {
    /// Takes a copy; `application` is known of first copies.
    pub fn take(&mut self, number: Number, application: Option<&str>, copy: Copy) {
        if copy.arrived_ns.saturating_sub(self.window_ns) >= WINDOW_NS {
            self.window_ns = copy.arrived_ns;
            self.sums.begin_window();
        }
        let at = match (copy.outcome, application) {
            (Outcome::Won, Some(name)) => self.open(number, name),
            (Outcome::Won, None) => {
                self.missed.unknown += 1;
                None
            }
            // The newest first: copies of a packet come soon after each other.
            _ => {
                let found = self.packets.iter().rposition(|packet| packet.number == number);
                self.missed.unmatched += u64::from(found.is_none());
                found
            }
        };
        let Some(packet) = at.and_then(|at| self.packets.get_mut(at)) else { return };
        if packet.copies.try_push(copy).is_err() {
            self.missed.crowded += 1;
            return;
        }
        if !self.sums.add(packet.application, packet) {
            self.missed.crowded += 1;
        }
    }

    /// The newest packets of an application, newest first.
    pub fn packets<'a>(&'a self, application: &str) -> impl Iterator<Item = &'a Packet> + use<'a> {
        let wanted = self.number_of(application);
        self.packets.iter().rev().filter(move |packet| Some(packet.application) == wanted)
    }

    /// Sums by path of an application.
    pub fn paths<'a>(&'a self, application: &str) -> impl Iterator<Item = &'a Path> + use<'a> {
        let wanted = self.number_of(application);
        self.sums.paths.iter().filter(move |path| Some(path.application) == wanted)
    }

    /// Sums by hop of an application, along each path in the order of the nodes.
    pub fn hops<'a>(&'a self, application: &str) -> impl Iterator<Item = &'a Hop> + use<'a> {
        let wanted = self.number_of(application);
        self.sums.hops.iter().filter(move |hop| Some(hop.application) == wanted)
    }

    /// Applications of which something was seen.
    pub fn applications(&self) -> impl Iterator<Item = &str> {
        self.applications.iter().map(String::as_str)
    }

    /// What was not told.
    pub fn missed(&self) -> Missed {
        self.missed
    }

    fn number_of(&self, application: &str) -> Option<usize> {
        self.applications.iter().position(|name| name == application)
    }

    /// Makes a place for a packet, the oldest one's if there is no other.
    fn open(&mut self, number: Number, name: &str) -> Option<usize> {
        let application = match self.number_of(name) {
            Some(known) => known,
            None if self.applications.len() < APPLICATIONS_MAX => {
                self.applications.push(name.to_owned());
                self.applications.len() - 1
            }
            None => {
                self.missed.crowded += 1;
                return None;
            }
        };
        if self.packets.len() >= PACKETS_MAX {
            self.packets.pop_front();
        }
        self.packets.push_back(Packet { application, number, copies: ArrayVec::new() });
        Some(self.packets.len() - 1)
    }
}

#[cfg(test)]
mod tests;
