//! The proof, for people, that each path set shares no intermediate region.

use core::fmt::{self, Display, Formatter};

use overlay::disjoint::shared;
use overlay::topology::{PathSet, RegionIndex};

use crate::Config;

/// What is known of one path set: the proof that its paths are disjoint, or the regions that they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The path set's name.
    pub path_set: String,
    /// Name of the edge region.
    pub edge: String,
    /// Name of the gateway region.
    pub gateway: String,
    /// Each path's number with the names of its intermediate regions, edge first.
    pub paths: Vec<(u16, Vec<String>)>,
    /// Each shared region's name with the numbers of the paths through it; empty when the paths are disjoint.
    pub shared: Vec<(String, Vec<u16>)>,
}

impl Config {
    /// One certificate for each path set, in the order of the topology file.
    pub fn certificates(&self) -> Vec<Certificate> {
        self.topology.path_sets.iter().map(|set| self.certificate(set)).collect()
    }

    fn certificate(&self, set: &PathSet) -> Certificate {
        let name = |index: RegionIndex| {
            self.topology.region(index).map_or_else(|| "?".to_owned(), |region| region.name.clone())
        };
        let shared = shared(set.paths.iter().map(|path| (path.id, path.via.as_slice())));
        Certificate {
            path_set: set.name.clone(),
            edge: name(set.edge),
            gateway: name(set.gateway),
            paths: set
                .paths
                .iter()
                .map(|p| (p.id.0, p.via.iter().map(|region| name(*region)).collect()))
                .collect(),
            shared: shared
                .into_iter()
                .map(|one| (name(one.shared), one.paths.iter().map(|id| id.0).collect()))
                .collect(),
        }
    }
}

impl Certificate {
    /// Whether no intermediate region lies on two of the paths.
    pub fn is_disjoint(&self) -> bool {
        self.shared.is_empty()
    }
}

/// A verdict, then each path from end to end on a line of its own; no newline at the end.
impl Display for Certificate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "path set {}: ", self.path_set)?;
        match (self.paths.len(), self.shared.as_slice()) {
            (1, _) => f.write_str("one path, nothing to fall back on")?,
            (count, []) => write!(f, "{count} paths, no intermediate region on two of them")?,
            (_, shared) => {
                let regions: Vec<&str> = shared.iter().map(|(region, _)| region.as_str()).collect();
                write!(f, "NOT disjoint, shared: {}", regions.join(", "))?;
            }
        }
        for (id, via) in &self.paths {
            write!(f, "\n  path {id}: {} > {} > {}", self.edge, via.join(" > "), self.gateway)?;
        }
        Ok(())
    }
}
