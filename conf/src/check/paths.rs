//! Path sets: every path leads from end to end through others' regions.

use std::collections::HashSet;

use overlay::plan::{Certificate, Checker};
use overlay::topology::{Roles, Topology};

use super::addresses::title;
use super::disjoint;
use super::names::{Links, PathSetLinks, Unique};
use crate::plan::Planned;
use crate::problems::{At, Problems, error};
use crate::topology_file::{RawPathSet, TopologyFile};

/// Tells path sets that cannot work, and those whose paths can fail together. Gives the certificates of the sets that
/// could be read.
pub(crate) fn check(
    file: &TopologyFile,
    links: &Links,
    ground: &Topology,
    planned: Vec<Option<Planned>>,
    p: &mut Problems,
) -> Vec<Certificate> {
    let regions = Regions::new(file, links);
    let checker = Checker::new(ground);
    let mut certificates = Vec::new();
    let mut pairs = Unique::default();
    let mut told = HashSet::new();
    for ((set, ends), planned) in file.path_sets.items.iter().zip(&links.path_sets).zip(planned) {
        let who = title("path set", &set.value.name);
        if let (Some(edge), Some(gateway)) = (ends.edge, ends.gateway) {
            let message = || format!("{who} joins two regions that another path set joins already");
            pairs.add((edge, gateway), set.place, message, "put all their paths into one path set", p);
            if edge == gateway {
                error(set.place, format!("{who} begins and ends in the same region"))
                    .help(p, "name two regions: the edge's and the gateway's");
            }
        }
        let mut lacks = |region: Option<usize>,
                         role: &'static str,
                         has: fn(&Roles) -> bool,
                         at: &At<String>,
                         p: &mut Problems| {
            if let Some(region) = region.filter(|region| !regions.any(*region, has))
                && told.insert((region, role))
            {
                error(at.place, format!("region `{}` has no node with the role \"{role}\"", at.value))
                    .help(p, format!("add such a node there, or add \"{role}\" to the roles of one"));
            }
        };
        if let Some(at) = &set.value.edge {
            lacks(ends.edge, "edge", |roles| roles.edge, at, p);
        }
        if let Some(at) = &set.value.gateway {
            lacks(ends.gateway, "gateway", |roles| roles.gateway, at, p);
        }
        for (path, via) in set.value.paths.items.iter().zip(&ends.via) {
            let own_end = |region: &Option<usize>| [ends.edge, ends.gateway].contains(region);
            for (at, region) in path.value.via.items.iter().zip(via).filter(|(_, region)| !own_end(region)) {
                lacks(*region, "intermediate", |roles| roles.intermediate, at, p);
            }
        }
        each_path(set, ends, p);
        let about = disjoint::About { set, ends, file, ground, checker: &checker };
        certificates.extend(about.check(planned, p));
    }
    certificates
}

/// Which roles the nodes of each region have.
pub(crate) struct Regions {
    roles: Vec<Vec<Roles>>,
    complete: bool,
}

impl Regions {
    pub(crate) fn new(file: &TopologyFile, links: &Links) -> Regions {
        let mut roles = vec![Vec::new(); file.regions.items.len()];
        let mut complete = file.nodes.complete;
        for (node, region) in file.nodes.items.iter().zip(&links.node_regions) {
            match (region.and_then(|region| roles.get_mut(region)), &node.value.roles) {
                (Some(list), Some(found)) => list.push(found.value),
                // A node that could not be read, or stands nowhere, might be the one that is looked for.
                _ => complete = false,
            }
        }
        Regions { roles, complete }
    }

    /// Whether a node of the region has the role, as far as that is known.
    pub(crate) fn any(&self, region: usize, has: fn(&Roles) -> bool) -> bool {
        !self.complete || self.roles.get(region).is_some_and(|roles| roles.iter().any(has))
    }
}

fn each_path(set: &At<RawPathSet>, ends: &PathSetLinks, p: &mut Problems) {
    let who = title("path set", &set.value.name);
    for (path, via) in set.value.paths.items.iter().zip(&ends.via) {
        let names = &path.value.via;
        if names.items.is_empty() && names.complete {
            error(path.place, format!("a path of {who} has no intermediate region"))
                .help(p, "name at least one region in `via`: a path leads through another region");
        }
        let mut passed = Unique::default();
        for (name, region) in names.items.iter().zip(via) {
            let Some(region) = region else { continue };
            if [ends.edge, ends.gateway].contains(&Some(*region)) {
                error(name.place, format!("this path of {who} passes through its own end `{}`", name.value))
                    .help(p, "name only the regions between the two ends in `via`");
            }
            let message = || format!("this path passes through region `{}` twice", name.value);
            passed.add(*region, name.place, message, "name every region of a path once", p);
        }
    }
}
