//! Reads `[events]` of the node file.

use crate::local::Events;
use crate::node_values::{collector, written_file};
use crate::problems::{At, Problems, error};
use crate::reader::Table;
use crate::values::boolean;

pub(crate) fn read(t: &mut Table<'_>, p: &mut Problems) -> (Events, bool) {
    let names_a_place = ["json_file", "ipfix_file", "ipfix_collector"].iter().any(|key| t.has(key));
    let events = Events {
        json_file: t.optional("json_file", p, written_file).map(|at| at.value),
        ipfix_file: t.optional("ipfix_file", p, written_file).map(|at| at.value),
        ipfix_collector: t.optional("ipfix_collector", p, collector).map(|at| at.value),
        destinations: t.optional("destinations", p, boolean).is_some_and(|at| at.value),
    };
    (events, names_a_place)
}

/// Events that go nowhere are a mistake, as are two forms in one file.
pub(crate) fn checked(events: At<(Events, bool)>, p: &mut Problems) -> Option<Events> {
    let At { value: (value, names_a_place), place } = events;
    if !names_a_place {
        error(place, "[events] names no place to write to")
            .help(p, "add json_file, ipfix_file or ipfix_collector, or remove [events]");
        return None;
    }
    if value.json_file.is_some() && value.json_file == value.ipfix_file {
        error(place, "[events] writes JSON and IPFIX into one file").help(p, "use two files");
        return None;
    }
    Some(value)
}
