//! Links: each joins two regions, and no other joins the same.

use super::names::{Links, Unique};
use crate::problems::{Problems, error};
use crate::topology_file::TopologyFile;

/// Tells links that join a region to itself, or two regions again.
pub(crate) fn check(file: &TopologyFile, links: &Links, p: &mut Problems) {
    let mut pairs = Unique::default();
    for (link, ends) in file.links.items.iter().zip(&links.links) {
        let [Some(a), Some(b)] = *ends else { continue };
        if a == b {
            error(link.place, "this link joins a region to itself").help(p, "name two regions in `between`");
            continue;
        }
        let message = || "this link joins two regions that another link joins already".to_owned();
        let help =
            "keep one link for each pair of regions: a path names regions, and may take any way between them";
        pairs.add((a.min(b), a.max(b)), link.place, message, help, p);
    }
}
