//! A node's own settings against each other.

use super::addresses::title;
use crate::problems::{Problems, error, warning};
use crate::reader::counted;
use crate::topology_file::TopologyFile;

/// Tells receive queues that do not match workers, and workers that no stream would ever reach.
pub(crate) fn check(file: &TopologyFile, p: &mut Problems) {
    let streams = file.streams.as_ref().map_or(crate::build::STREAMS, |at| at.value);
    for node in &file.nodes.items {
        let who = title("node", &node.value.name);
        let workers = node.value.workers.as_ref().map_or(1, |at| at.value);
        if let Some(rss) = &node.value.rss
            && let Some(found) = &rss.value
        {
            if found.queues != workers {
                error(
                    rss.place,
                    format!(
                        "{who} has {} for {}",
                        counted(usize::from(found.queues), "receive queue"),
                        counted(usize::from(workers), "worker")
                    ),
                )
                .help(p, format!("set queues = {workers}: every worker polls one queue"));
            }
            if found.table < found.queues {
                error(
                    rss.place,
                    format!("a table of {} entries cannot name {} queues", found.table, found.queues),
                )
                .help(p, "set `table` to the entries of the NIC's redirection table, as in 128");
            }
        }
        if workers > streams {
            let place = node.value.workers.as_ref().map_or(node.place, |at| at.place);
            warning(
                place,
                format!("{who} has {workers} workers, but `streams` is {streams}: some get no work"),
            )
            .help(p, format!("set streams = {} or more at the top", workers.next_power_of_two()));
        }
    }
}
