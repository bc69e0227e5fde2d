//! Shared risks: named by the regions and links that have them, nowhere else.

use std::collections::HashMap;

use crate::problems::{At, Problems, error, warning};
use crate::suggest::nearest;
use crate::topology_file::TopologyFile;

/// Most different risks of an overlay.
const RISKS_MAX: usize = 8192;

/// The risks in the order in which they are first named, with what each region and link has.
#[derive(Default)]
pub(crate) struct RiskLinks {
    pub(crate) names: Vec<String>,
    /// By region: positions in `names`, each once.
    pub(crate) regions: Vec<Vec<usize>>,
    /// By link.
    pub(crate) links: Vec<Vec<usize>>,
}

/// Numbers the risks, and tells those that nothing shares: a slip of the pen would go unseen until the cable breaks.
pub(crate) fn check(file: &TopologyFile, p: &mut Problems) -> RiskLinks {
    let mut risks = RiskLinks::default();
    let mut known: HashMap<&str, (usize, &At<String>, usize)> = HashMap::new();
    let of_regions = file.regions.items.iter().map(|region| (&region.value.shared_risk, true));
    let of_links = file.links.items.iter().map(|link| (&link.value.shared_risk, false));
    for (list, is_region) in of_regions.chain(of_links) {
        let mut has = Vec::new();
        for name in &list.items {
            let number = known.len();
            let entry = known.entry(name.value.as_str()).or_insert((number, name, 0));
            if entry.2 == 0 {
                risks.names.push(name.value.clone());
            }
            if has.contains(&entry.0) {
                warning(name.place, format!("shared risk `{}` is named twice here", name.value))
                    .help(p, "name it once");
                continue;
            }
            entry.2 += 1;
            has.push(entry.0);
        }
        if is_region { risks.regions.push(has) } else { risks.links.push(has) }
    }
    if let Some((_, at, _)) = known.values().find(|(number, ..)| *number == RISKS_MAX) {
        let message = format!("{} shared risks are more than the {RISKS_MAX} there may be", known.len());
        error(at.place, message).help(p, "give one name to risks of the same links and regions");
    }
    let whole = file.regions.complete
        && file.links.complete
        && file.links.items.iter().all(|link| link.value.shared_risk.complete)
        && file.regions.items.iter().all(|region| region.value.shared_risk.complete);
    let mut alone: Vec<&At<String>> =
        known.values().filter(|(_, _, uses)| *uses == 1).map(|(_, at, _)| *at).collect();
    alone.sort_by_key(|at| at.place.span.start);
    for at in alone.into_iter().filter(|_| whole) {
        let others = known.keys().copied().filter(|name| *name != at.value);
        let near = if p.is_full() { None } else { nearest(&at.value, others) };
        let help = match near {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "name it at every link and region that it stops, or remove it".to_owned(),
        };
        warning(at.place, format!("nothing else has the shared risk `{}`", at.value)).help(p, help);
    }
    risks
}
