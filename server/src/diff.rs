//! What a new definition changes, as an operator reads it: a line for each thing that comes, goes or differs.

use std::collections::BTreeMap;

use toml::{Table, Value};

/// The lists of a definition, and what an entry of each is called.
const LISTS: [(&str, &str); 5] = [
    ("region", "region"),
    ("link", "link"),
    ("node", "node"),
    ("path_set", "path set"),
    ("application", "application"),
];

/// The changes from one definition to another; none where they say the same.
pub fn diff(old: &Table, new: &Table) -> Vec<String> {
    let mut lines = Vec::new();
    let is_list = |key: &str| LISTS.iter().any(|(list, _)| *list == key);
    let top = |table: &Table| -> Table {
        table
            .iter()
            .filter(|(key, _)| !is_list(key))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect()
    };
    lines.extend(changes(&top(old), &top(new)).map(|change| format!("~ overlay: {change}")));
    for (list, called) in LISTS {
        let (old, new) = (by_name(old, list), by_name(new, list));
        for name in old.keys().filter(|name| !new.contains_key(*name)) {
            lines.push(format!("- {called} {name}"));
        }
        for (name, entry) in &new {
            match old.get(name) {
                None => lines.push(format!("+ {called} {name}")),
                Some(before) => {
                    lines.extend(changes(before, entry).map(|change| format!("~ {called} {name}: {change}")));
                }
            }
        }
    }
    lines
}

fn by_name<'t>(table: &'t Table, list: &str) -> BTreeMap<String, &'t Table> {
    let entries = table.get(list).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table);
    entries.map(|entry| (called(entry), entry)).collect()
}

/// A link has no name of its own: its two regions in either order are it.
fn called(entry: &Table) -> String {
    if let Some(name) = entry.get("name").and_then(Value::as_str) {
        return name.to_owned();
    }
    let ends = entry.get("between").and_then(Value::as_array).into_iter().flatten();
    let mut ends: Vec<&str> = ends.filter_map(Value::as_str).collect();
    ends.sort_unstable();
    ends.join("-")
}

fn changes<'t>(old: &'t Table, new: &'t Table) -> impl Iterator<Item = String> + 't {
    let gone = old
        .iter()
        .filter(|(key, _)| !new.contains_key(*key))
        .map(|(key, value)| format!("{key} {value} -> (none)"));
    let come = new.iter().filter_map(|(key, value)| match old.get(key) {
        Some(before) if before == value => None,
        Some(before) => Some(format!("{key} {before} -> {value}")),
        None => Some(format!("{key} (none) -> {value}")),
    });
    gone.chain(come)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_goes_and_differs_is_told_and_order_does_not_matter() {
        let old: Table = "overlay_id = 1\n[[region]]\nname = \"a\"\n[[region]]\nname = \"b\"\n[[link]]\n\
            between = [\"a\", \"b\"]\nlatency_ms = 5\n[[application]]\nname = \"web\"\ncopies = 2\n"
            .parse()
            .unwrap();
        let new: Table = "overlay_id = 2\n[[region]]\nname = \"c\"\n[[region]]\nname = \"a\"\n[[link]]\n\
            between = [\"b\", \"a\"]\nlatency_ms = 5\n[[application]]\nname = \"web\"\ncopies = 3\nseal = \"none\"\n"
            .parse()
            .unwrap();
        assert_eq!(
            diff(&old, &new),
            [
                "~ overlay: overlay_id 1 -> 2",
                "- region b",
                "+ region c",
                "~ link a-b: between [\"a\", \"b\"] -> [\"b\", \"a\"]",
                "~ application web: copies 2 -> 3",
                "~ application web: seal (none) -> \"none\"",
            ]
        );
        assert!(diff(&new, &new).is_empty());
    }
}
