//! What a path set claims of itself, and the check of it.
//!
//! Planning is hard to get right, checking is easy: one look at every hop. So whoever uses a set checks it for himself:
//! `proa check`, the configuration that planned it, and the data path before it compiles the set.

use std::collections::{HashMap, HashSet};

use super::search::VIA_MAX;
use super::violation::Violation;
use crate::disjoint::shared;
use crate::topology::{Disjoint, Link, Path, PathId, PathSet, RegionIndex, RiskIndex, Topology};

/// Proof that the paths of a set are whole and that no single failure between its ends stops two of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// The clients' end.
    pub edge: RegionIndex,
    /// The origins' end.
    pub gateway: RegionIndex,
    /// One for each path, in the order of the set.
    pub paths: Vec<Proof>,
    /// What all links of all paths cost, µs; 0 where the topology names no links.
    pub cost_us: u64,
}

/// What a certificate states of one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The path's number.
    pub id: PathId,
    /// The regions between the ends, edge first.
    pub via: Vec<RegionIndex>,
    /// The risks of its links and regions in order, each once, without those that an end itself is in.
    pub risks: Vec<RiskIndex>,
    /// What its links cost, µs.
    pub cost_us: u64,
}

/// A path set that must not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("path set `{set}`: {violation}")]
pub struct Refused {
    /// The set's name.
    pub set: String,
    /// The first thing wrong with it.
    pub violation: Violation,
}

/// Looks up what certificates are about.
pub struct Checker<'a> {
    topology: &'a Topology,
    links: HashMap<(RegionIndex, RegionIndex), &'a Link>,
    transit: HashSet<RegionIndex>,
    region_risks: HashMap<RegionIndex, Vec<RiskIndex>>,
}

/// Holds every path set of a topology against its certificate, or where it has none against the same conditions. What
/// the topology's policy accepts is accepted.
///
/// # Errors
/// The first set that must not be used.
pub fn verify(topology: &Topology) -> Result<(), Refused> {
    let checker = Checker::new(topology);
    let certificates: HashMap<_, _> =
        topology.certificates.iter().map(|found| ((found.edge, found.gateway), found)).collect();
    let warn = topology.ground.disjoint == Disjoint::Warn;
    for set in &topology.path_sets {
        let found = match certificates.get(&(set.edge, set.gateway)) {
            Some(certificate) if !certificate.is_of(set) => vec![Violation::OtherPaths],
            Some(certificate) => checker.check(certificate),
            None => checker.check(&checker.certify(set)),
        };
        if let Some(violation) = found.into_iter().find(|found| !(warn && found.may_be_accepted())) {
            return Err(Refused { set: set.name.clone(), violation });
        }
    }
    Ok(())
}

impl Certificate {
    /// Whether it speaks of exactly this set's ends and paths.
    pub fn is_of(&self, set: &PathSet) -> bool {
        let same = |(proof, path): (&Proof, &Path)| proof.id == path.id && proof.via == path.via;
        (self.edge, self.gateway, self.paths.len()) == (set.edge, set.gateway, set.paths.len())
            && self.paths.iter().zip(&set.paths).all(same)
    }

    /// Holds it against a topology; [`Checker::check`] for several at once.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of its paths, what they share last.
    pub fn verify(&self, topology: &Topology) -> Result<(), Vec<Violation>> {
        let found = Checker::new(topology).check(self);
        if found.is_empty() { Ok(()) } else { Err(found) }
    }
}

impl<'a> Checker<'a> {
    /// For the certificates of one topology.
    pub fn new(topology: &'a Topology) -> Checker<'a> {
        let ground = &topology.ground;
        let links = ground.links.iter().flat_map(|link| {
            let [a, b] = link.between;
            [((a, b), link), ((b, a), link)]
        });
        let nodes = topology.nodes.iter().filter(|node| node.roles.intermediate);
        let mut region_risks: HashMap<RegionIndex, Vec<RiskIndex>> = HashMap::new();
        for (risk, number) in ground.risks.iter().zip(0..) {
            for region in &risk.regions {
                region_risks.entry(*region).or_default().push(RiskIndex(number));
            }
        }
        Checker {
            topology,
            links: links.collect(),
            transit: nodes.map(|node| node.region).collect(),
            region_risks,
        }
    }

    /// Writes down what the topology says of a set's paths. That this is a proof is [`Checker::check`]'s to say.
    pub fn certify(&self, set: &PathSet) -> Certificate {
        let proof = |path: &Path| {
            let (risks, cost_us) = self.facts(set.edge, set.gateway, &path.via);
            Proof { id: path.id, via: path.via.clone(), risks, cost_us }
        };
        let paths: Vec<Proof> = set.paths.iter().map(proof).collect();
        let cost_us = paths.iter().map(|path| path.cost_us).sum();
        Certificate { edge: set.edge, gateway: set.gateway, paths, cost_us }
    }

    /// Everything that is wrong with a certificate, in the order of its paths, what they share last.
    pub fn check(&self, certificate: &Certificate) -> Vec<Violation> {
        let mut found = Vec::new();
        let (edge, gateway) = (certificate.edge, certificate.gateway);
        if edge == gateway || [edge, gateway].iter().any(|end| self.topology.region(*end).is_none()) {
            found.push(Violation::Ends);
        }
        if certificate.paths.is_empty() {
            found.push(Violation::NoPath);
        }
        let mut numbers = HashSet::new();
        for path in &certificate.paths {
            if !numbers.insert(path.id) {
                found.push(Violation::SameNumber(path.id));
            }
            self.check_path(certificate, path, &mut found);
        }
        if certificate.cost_us != certificate.paths.iter().map(|path| path.cost_us).sum::<u64>() {
            found.push(Violation::OtherCost);
        }
        let regions = certificate.paths.iter().map(|path| (path.id, path.via.as_slice()));
        found.extend(shared(regions).into_iter().map(Violation::SharedRegion));
        let risks = certificate.paths.iter().map(|path| (path.id, path.risks.as_slice()));
        found.extend(shared(risks).into_iter().map(Violation::SharedRisk));
        found
    }

    fn check_path(&self, certificate: &Certificate, path: &Proof, found: &mut Vec<Violation>) {
        let ends = [certificate.edge, certificate.gateway];
        if path.via.is_empty() {
            found.push(Violation::Direct(path.id));
        }
        if path.via.len() > VIA_MAX {
            found.push(Violation::TooLong(path.id));
        }
        let mut passed = HashSet::new();
        for region in &path.via {
            if ends.contains(region) {
                found.push(Violation::OwnEnd(path.id));
            } else if !self.transit.contains(region) {
                found.push(Violation::NoIntermediate(path.id, *region));
            }
            if !passed.insert(region) {
                found.push(Violation::Twice(path.id, *region));
            }
        }
        if !self.links.is_empty() {
            let missing = hops(ends, &path.via).filter(|hop| !self.links.contains_key(hop));
            found.extend(missing.map(|(from, to)| Violation::NoLink(path.id, from, to)));
        }
        let (risks, cost_us) = self.facts(certificate.edge, certificate.gateway, &path.via);
        if risks != path.risks {
            found.push(Violation::OtherRisks(path.id));
        }
        if cost_us != path.cost_us {
            found.push(Violation::OtherCost);
        }
    }

    /// The risks of a path and the cost of its links. A hop without a link has neither.
    fn facts(&self, edge: RegionIndex, gateway: RegionIndex, via: &[RegionIndex]) -> (Vec<RiskIndex>, u64) {
        let of_region = |region: &RegionIndex| self.region_risks.get(region).into_iter().flatten().copied();
        let links: Vec<&Link> =
            hops([edge, gateway], via).filter_map(|hop| self.links.get(&hop).copied()).collect();
        let of_links = links.iter().flat_map(|link| link.risks.iter().copied());
        let own: Vec<RiskIndex> = of_region(&edge).chain(of_region(&gateway)).collect();
        let mut risks: Vec<RiskIndex> = via.iter().flat_map(of_region).chain(of_links).collect();
        risks.retain(|risk| !own.contains(risk));
        risks.sort_unstable();
        risks.dedup();
        (risks, links.iter().map(|link| u64::from(link.quality.cost_us())).sum())
    }
}

/// The hops of a path, each by its two regions.
fn hops(
    ends: [RegionIndex; 2],
    via: &[RegionIndex],
) -> impl Iterator<Item = (RegionIndex, RegionIndex)> + '_ {
    let from = [ends[0]].into_iter().chain(via.iter().copied());
    from.zip(via.iter().copied().chain([ends[1]]))
}
