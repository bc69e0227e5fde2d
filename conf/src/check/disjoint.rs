//! Whether a set's paths can fail together, by its certificate; and what the planner could not find.

use overlay::disjoint::Shared;
use overlay::plan::{Alarm, Certificate, Checker, Violation};
use overlay::topology::{Disjoint, Path, PathId, PathSet, RegionIndex, Topology};

use super::addresses::title;
use super::names::PathSetLinks;
use crate::ground::index;
use crate::plan::Planned;
use crate::problems::{At, Place, Problems, error, warning};
use crate::reader::counted;
use crate::topology_file::{RawPathSet, TopologyFile};

/// One path set with all that is known of it.
pub(super) struct About<'a> {
    pub(super) set: &'a At<RawPathSet>,
    pub(super) ends: &'a PathSetLinks,
    pub(super) file: &'a TopologyFile,
    pub(super) ground: &'a Topology,
    pub(super) checker: &'a Checker<'a>,
}

impl About<'_> {
    /// Tells what is wrong with the set as a whole. Gives its certificate, unless something of it could not be read.
    pub(super) fn check(&self, planned: Option<Planned>, p: &mut Problems) -> Option<Certificate> {
        let who = title("path set", &self.set.value.name);
        let paths = self.paths()?;
        if let Some(planned) = planned {
            self.alarm(&planned, p);
            // Trusted no more than what people write.
            for violation in self.checker.check(&planned.certificate) {
                if violation != Violation::NoPath && violation != Violation::Ends {
                    error(self.set.place, format!("the plan of {who} does not hold: {violation}"))
                        .help(p, "report this with the topology file; until then write its paths by hand");
                }
            }
            return Some(planned.certificate);
        }
        match paths.len() {
            0 => error(self.set.place, format!("{who} has no path"))
                .help(p, "write paths = [{ id = 1, via = [\"…\"] }]"),
            1 => {
                warning(self.set.place, format!("{who} has one path only: when that fails, nothing arrives"))
                    .help(p, "add a second path that shares no intermediate region with the first")
            }
            _ => {}
        }
        let (edge, gateway) = (index(self.ends.edge?)?, index(self.ends.gateway?)?);
        let certificate = self.checker.certify(&PathSet { name: String::new(), edge, gateway, paths });
        self.judge(self.checker.check(&certificate), p);
        Some(certificate)
    }

    /// The paths, if all of them are known.
    fn paths(&self) -> Option<Vec<Path>> {
        let list = &self.set.value.paths;
        let paths = list.items.iter().zip(&self.ends.via).map(|(path, via)| {
            let via = via.iter().map(|region| index((*region)?));
            Some(Path { id: PathId(path.value.id.as_ref()?.value), via: via.collect::<Option<_>>()? })
        });
        paths.collect::<Option<_>>().filter(|_| list.complete)
    }

    /// Tells what the planner looked for in vain.
    fn alarm(&self, planned: &Planned, p: &mut Problems) {
        let who = title("path set", &self.set.value.name);
        let Some(wanted) = &self.set.value.plan else { return };
        let plan = &planned.plan;
        let (edge, gateway) = (self.region(plan.edge), self.region(planned.certificate.gateway));
        let maybe = if plan.proven { "" } else { ", as far as the planner looked" };
        match plan.alarm() {
            // That is told already.
            _ if edge == gateway => {}
            None => {}
            Some(Alarm::Cut) => {
                error(wanted.place, format!("no path leads from `{edge}` to `{gateway}` for {who}")).help(
                    p,
                    "add links by way of a third region with an intermediate node, 8 such regions at most",
                );
            }
            Some(Alarm::Single) => {
                let via: Vec<&str> = plan
                    .routes
                    .iter()
                    .flat_map(|route| &route.via)
                    .map(|region| self.region(*region))
                    .collect();
                let message = format!(
                    "{who} has no two paths that cannot fail together{maybe}: its one path leads over {}",
                    via.join(", ")
                );
                self.as_policy_says(
                    wanted.place,
                    message,
                    "add links or regions that the path does not need",
                    p,
                );
            }
            Some(Alarm::Fewer) => {
                let found = plan.routes.len();
                let message = format!(
                    "{who} has only {} that cannot fail together, not {}{maybe}",
                    counted(found, "path"),
                    wanted.value
                );
                self.as_policy_says(
                    wanted.place,
                    message,
                    &format!("set plan = {found}, or add links or regions"),
                    p,
                );
            }
        }
    }

    /// Tells what written paths share. What else can be wrong with them is told key by key.
    fn judge(&self, violations: Vec<Violation>, p: &mut Problems) {
        let who = title("path set", &self.set.value.name);
        let mut regions = Vec::new();
        let mut risks = Vec::new();
        for violation in violations {
            match violation {
                Violation::SharedRegion(shared) => regions.push(listed(self.region(shared.shared), &shared)),
                Violation::SharedRisk(shared) => {
                    let risk = self.ground.ground.risks.get(usize::from(shared.shared.0));
                    risks.push(listed(risk.map_or("?", |risk| risk.name.as_str()), &shared));
                }
                Violation::NoLink(path, from, to) if self.links_are_known() => {
                    let (from, to) = (self.region(from), self.region(to));
                    let message = format!(
                        "path {} of {who} leads from `{from}` to `{to}`, which no link joins",
                        path.0
                    );
                    let help = format!(
                        "add a [[link]] with between = [\"{from}\", \"{to}\"], or lead it over links"
                    );
                    let position = self
                        .set
                        .value
                        .paths
                        .items
                        .iter()
                        .find(|item| item.value.id.as_ref().is_some_and(|id| id.value == path.0));
                    let place = position.map_or(self.set.place, |item| item.place);
                    self.as_policy_says(place, message, &help, p);
                }
                _ => {}
            }
        }
        if !regions.is_empty() {
            let message = format!("paths of {who} share intermediate regions: {}", regions.join("; "));
            let help = "lead them through different regions, so that one failure cannot stop every copy";
            self.as_policy_says(self.set.place, message, help, p);
        }
        if !risks.is_empty() {
            let message = format!("paths of {who} share risks: {}", risks.join("; "));
            let help = "lead them over links and regions without a common risk, so that one failure cannot stop every copy";
            self.as_policy_says(self.set.place, message, help, p);
        }
    }

    /// An error, or a warning where the file says so.
    fn as_policy_says(&self, place: Place, message: String, help: &str, p: &mut Problems) {
        match self.ground.ground.disjoint {
            Disjoint::Require => {
                let help = format!("{help}; or write disjoint = \"warn\" at the top to accept it");
                error(place, message).help(p, help);
            }
            Disjoint::Warn => warning(place, message).help(p, help),
        }
    }

    fn region(&self, region: RegionIndex) -> &str {
        self.ground.region(region).map_or("?", |region| region.name.as_str())
    }

    /// Whether no link is missing because it could not be read.
    fn links_are_known(&self) -> bool {
        let links = &self.file.links;
        links.complete && links.items.len() == self.ground.ground.links.len()
    }
}

/// "`london` (paths 1, 2)".
fn listed<T>(name: &str, shared: &Shared<T>) -> String {
    let ids: Vec<String> = shared.paths.iter().map(|id| id.0.to_string()).collect();
    format!("`{name}` (paths {})", ids.join(", "))
}
