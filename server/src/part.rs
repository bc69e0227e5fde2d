//! A node's part of the overlay: the definition less what does not concern it, with the public keys of all who have joined.
//!
//! Every node has regions, links, nodes and path sets whole: it checks plans by them. Of applications it has those that end at
//! it: whose virtual IPs it holds, or whose gateway it is. Others only where their packets are routed hop by hop or by the
//! packet, since then any node may be on their way. What only the DNS goes by, nobody has.

use conf::Members;
use toml::{Table, Value};

/// The part of a node, as a topology file's text, with the keys of those that have joined and with those marked that are revoked; `None`
/// where the overlay has no such node.
///
/// The same definition and keys give the same text, so that a node whose part did not change is told so by its checksum.
pub fn part(definition: &Table, node: &str, members: &Members) -> Option<String> {
    let mut part = definition.clone();
    let this = entries(definition, "node").find(|one| name(one) == Some(node))?;
    let region = this.get("region").and_then(Value::as_str);
    let roles = this.get("roles").and_then(Value::as_array);
    let is_gateway = roles.is_some_and(|roles| roles.iter().any(|role| role.as_str() == Some("gateway")));
    let concerns = |application: &Table| {
        let holds = |vip: &Value| vip.get("node").and_then(Value::as_str) == Some(node);
        let vips = application.get("vips").and_then(Value::as_array);
        let translates = is_gateway && application.get("gateway").and_then(Value::as_str) == region;
        vips.is_some_and(|vips| vips.iter().any(holds)) || translates || is_routed(application)
    };
    part.remove("client");
    let applications = entries(definition, "application").filter(|one| concerns(one)).cloned();
    let without_hostname = |mut application: Table| {
        application.remove("hostname");
        Value::Table(application)
    };
    part.insert("application".to_owned(), Value::Array(applications.map(without_hostname).collect()));
    if let Some(Value::Array(nodes)) = part.get_mut("node") {
        for one in nodes.iter_mut().filter_map(Value::as_table_mut) {
            one.remove("draining");
            if name(one).is_some_and(|name| members.revoked.contains(name)) {
                one.insert("revoked".to_owned(), Value::Boolean(true));
            }
            if let Some(key) = name(one).and_then(|name| members.keys.get(name)) {
                one.insert("public_key".to_owned(), Value::String(key.to_string()));
            }
        }
    }
    toml::to_string(&part).ok()
}

/// The tables of a list.
pub fn entries<'t>(table: &'t Table, key: &str) -> impl Iterator<Item = &'t Table> {
    table.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table)
}

/// A table's name.
pub fn name(table: &Table) -> Option<&str> {
    table.get("name").and_then(Value::as_str)
}

/// Whether its packets leave path sets, in either direction.
fn is_routed(application: &Table) -> bool {
    let replicates = |word: &Value| word.as_str().is_none_or(|word| word == "replicate");
    match application.get("routing") {
        None => false,
        Some(Value::Table(each)) => !each.values().all(replicates),
        Some(both) => !replicates(both),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use conf::Overlay;
    use overlay::keys::PublicIdentity;
    use std::collections::{BTreeMap, BTreeSet};

    const OVERLAY: &str = include_str!("../../conf/examples/overlay.toml");

    fn names(part: &str) -> Vec<String> {
        let table: Table = part.parse().unwrap();
        entries(&table, "application").filter_map(name).map(str::to_owned).collect()
    }

    #[test]
    fn a_node_gets_what_ends_at_it_and_the_rest_is_a_good_topology() {
        let definition: Table = OVERLAY.parse().unwrap();
        let none = Members::default();
        let all = names(&toml::to_string(&definition).unwrap());
        assert!(!all.is_empty());
        for node in entries(&definition, "node").filter_map(name) {
            let part = part(&definition, node, &none).unwrap();
            let checked =
                Overlay::check("part", &part, &none).unwrap_or_else(|errors| panic!("{node}: {errors}"));
            let whole = Overlay::check("whole", OVERLAY, &none).unwrap();
            assert_eq!(checked.topology.path_sets, whole.topology.path_sets);
            assert_eq!(checked.topology.nodes, whole.topology.nodes);
            let edge = whole.topology.nodes.iter().find(|one| one.name == node).unwrap().roles.edge;
            let vips = whole.topology.applications.iter().flat_map(|one| &one.vips);
            let id = whole.topology.nodes.iter().find(|one| one.name == node).unwrap().id;
            if edge && vips.clone().any(|vip| vip.node == id) {
                assert!(!names(&part).is_empty(), "{node}");
            }
        }
        assert_eq!(part(&definition, "nobody", &none), None);
    }

    #[test]
    fn a_node_on_the_way_learns_of_no_origin_and_one_with_two_edges_only_of_its_own() {
        let text = "[[region]]\nname = \"a\"\n[[node]]\nname = \"e1\"\nregion = \"a\"\nroles = [\"edge\"]\n\
            [[node]]\nname = \"m\"\nregion = \"b\"\nroles = [\"intermediate\"]\n\
            [[application]]\nname = \"one\"\ngateway = \"z\"\nvips = [{ address = \"192.0.2.1\", node = \"e1\" }]\n\
            [[application]]\nname = \"two\"\ngateway = \"z\"\nvips = [{ address = \"192.0.2.2\", node = \"e2\" }]\n\
            [[application]]\nname = \"hops\"\ngateway = \"z\"\nvips = []\nrouting = { to_client = \"shortest\" }\n";
        let definition: Table = text.parse().unwrap();
        assert_eq!(names(&part(&definition, "e1", &Members::default()).unwrap()), ["one", "hops"]);
        assert_eq!(names(&part(&definition, "m", &Members::default()).unwrap()), ["hops"]);
    }

    #[test]
    fn keys_of_nodes_that_joined_are_introduced() {
        let definition: Table = OVERLAY.parse().unwrap();
        let key = PublicIdentity([7; 32]);
        let name = entries(&definition, "node").find_map(name).unwrap();
        let members = Members { keys: BTreeMap::from([(name.to_owned(), key)]), ..Members::default() };
        let part = part(&definition, name, &members).unwrap();
        assert!(part.contains(&key.to_string()));
    }

    #[test]
    fn a_revoked_node_is_marked_and_needs_no_key() {
        let definition: Table = OVERLAY.parse().unwrap();
        let name = entries(&definition, "node").filter_map(name).nth(1).unwrap();
        let members = Members { revoked: BTreeSet::from([name.to_owned()]), ..Members::default() };
        let other = entries(&definition, "node").find_map(super::name).unwrap();
        let without_key = OVERLAY.lines().scan(false, |inside, line| {
            *inside = (*inside && !line.starts_with("[[")) || line.starts_with(&format!("name = \"{name}\""));
            Some(if *inside && line.starts_with("public_key") { "" } else { line })
        });
        let text = without_key.collect::<Vec<_>>().join("\n");
        let part = part(&text.parse().unwrap(), other, &members).unwrap();
        let checked =
            Overlay::check("part", &part, &Members::default()).unwrap_or_else(|errors| panic!("{errors}"));
        let revoked = checked.topology.nodes.iter().find(|node| node.name == name).unwrap();
        assert!(revoked.underlay.is_empty());
        assert!(checked.identities.iter().all(|(node, _)| *node != revoked.id));
        assert!(Overlay::check("text", &text, &Members::default()).is_err(), "it was needed");
        assert!(Overlay::check("text", &text, &members).is_ok());
    }
}
