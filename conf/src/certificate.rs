//! The proof, for people, that no single failure between a path set's ends stops two of its paths.

use core::fmt::{self, Display, Formatter};

use overlay::plan::{self, Checker, Violation};
use overlay::topology::{PathSet, RegionIndex, RiskIndex};

use crate::Config;

/// What is known of one path set: its paths, and what two of them share, were there anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The path set's name.
    pub path_set: String,
    /// Name of the edge region.
    pub edge: String,
    /// Name of the gateway region.
    pub gateway: String,
    /// Its paths in order of preference.
    pub paths: Vec<CertifiedPath>,
    /// What all links of all paths cost, µs: latency, and a second for each unit of −ln(1 − loss). 0 without links.
    pub cost_us: u64,
    /// Whether shared risks are known at all.
    pub risks_known: bool,
    /// Each shared region's or risk's name with the numbers of the paths that have it; empty when the paths are disjoint.
    pub shared: Vec<(String, Vec<u16>)>,
    /// What else does not hold, as sentences; empty for a checked configuration under `disjoint = "require"`.
    pub violations: Vec<String>,
}

/// A path of a set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertifiedPath {
    /// Its number on the wire.
    pub id: u16,
    /// Names of its intermediate regions, edge first.
    pub via: Vec<String>,
    /// What its links cost, µs.
    pub cost_us: u64,
    /// Names of the shared risks of its links and regions.
    pub risks: Vec<String>,
}

impl Config {
    /// One certificate for each path set, in the order of the topology file, each checked.
    pub fn certificates(&self) -> Vec<Certificate> {
        let checker = Checker::new(&self.topology);
        self.topology.path_sets.iter().map(|set| self.certificate(set, &checker)).collect()
    }

    fn certificate(&self, set: &PathSet, checker: &Checker<'_>) -> Certificate {
        let stated = self.topology.certificates.iter().find(|found| found.is_of(set));
        let derived: plan::Certificate;
        let certificate = match stated {
            Some(certificate) => certificate,
            None => {
                derived = checker.certify(set);
                &derived
            }
        };
        let (mut shared, mut violations) = (Vec::new(), Vec::new());
        for violation in checker.check(certificate) {
            match violation {
                Violation::SharedRegion(one) => {
                    shared.push((self.region(one.shared), one.paths.iter().map(|id| id.0).collect()));
                }
                Violation::SharedRisk(one) => {
                    shared.push((self.risk(one.shared), one.paths.iter().map(|id| id.0).collect()));
                }
                Violation::NoLink(path, from, to) => {
                    let (from, to) = (self.region(from), self.region(to));
                    violations
                        .push(format!("path {} leads from {from} to {to}, which no link joins", path.0));
                }
                other => violations.push(other.to_string()),
            }
        }
        let path = |path: &plan::Proof| CertifiedPath {
            id: path.id.0,
            via: path.via.iter().map(|region| self.region(*region)).collect(),
            cost_us: path.cost_us,
            risks: path.risks.iter().map(|risk| self.risk(*risk)).collect(),
        };
        Certificate {
            path_set: set.name.clone(),
            edge: self.region(set.edge),
            gateway: self.region(set.gateway),
            paths: certificate.paths.iter().map(path).collect(),
            cost_us: certificate.cost_us,
            risks_known: !self.topology.ground.risks.is_empty(),
            shared,
            violations,
        }
    }

    fn region(&self, index: RegionIndex) -> String {
        self.topology.region(index).map_or_else(|| "?".to_owned(), |region| region.name.clone())
    }

    fn risk(&self, index: RiskIndex) -> String {
        let risk = self.topology.ground.risks.get(usize::from(index.0));
        risk.map_or_else(|| "?".to_owned(), |risk| risk.name.clone())
    }
}

impl Certificate {
    /// Whether no intermediate region and no risk lies on two of the paths.
    pub fn is_disjoint(&self) -> bool {
        self.shared.is_empty()
    }
}

/// A verdict, then each path from end to end on a line of its own; no newline at the end.
impl Display for Certificate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "path set {}: ", self.path_set)?;
        match (self.paths.len(), self.shared.as_slice()) {
            (0, _) => f.write_str("no path")?,
            (1, _) => f.write_str("one path, nothing to fall back on")?,
            (count, []) => {
                let risks = if self.risks_known { " or shared risk" } else { "" };
                write!(f, "{count} paths, no intermediate region{risks} on two of them")?;
            }
            (_, shared) => {
                let names: Vec<&str> = shared.iter().map(|(name, _)| name.as_str()).collect();
                write!(f, "NOT disjoint, shared: {}", names.join(", "))?;
            }
        }
        if self.cost_us > 0 {
            write!(f, ", cost {}", Milliseconds(self.cost_us))?;
        }
        for violation in &self.violations {
            write!(f, "; NOT PROVEN: {violation}")?;
        }
        for path in &self.paths {
            write!(f, "\n  path {}: {} > {} > {}", path.id, self.edge, path.via.join(" > "), self.gateway)?;
            if path.cost_us > 0 {
                write!(f, " ({})", Milliseconds(path.cost_us))?;
            }
            if !path.risks.is_empty() {
                write!(f, " [{}]", path.risks.join(", "))?;
            }
        }
        Ok(())
    }
}

/// Microseconds in milliseconds, as in `12.5 ms`.
struct Milliseconds(u64);

impl Display for Milliseconds {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let fraction = format!("{:03}", self.0 % 1000);
        let fraction = fraction.trim_end_matches('0');
        let point = if fraction.is_empty() { "" } else { "." };
        write!(f, "{}{point}{fraction} ms", self.0 / 1000)
    }
}
